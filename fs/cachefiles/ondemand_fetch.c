// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Misses: the READs that ask the daemon for them, and the reads that wait.
 *
 * fail-closed: a read leaves the tree when all its granules are in the presence
 * map, and is then answered from the cache file; or it ends with an error.
 */
#include <linux/slab.h>
#include <linux/uio.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

static unsigned long cachefiles_od_next_missing(struct cachefiles_od_object *object,
						unsigned long first, unsigned long last)
{
	lockdep_assert_held(&object->lock);
	return object->full ? last + 1 : cachefiles_map_next_missing(&object->map, first, last);
}

/**
 * cachefiles_od_present - are all these granules present?
 * @object: the object, its size known
 * @first: first granule
 * @last: last granule, inside the object
 *
 * What is present stays so, unless the cache's disk loses it.
 *
 * Return: true if nothing in the range is missing.
 */
bool cachefiles_od_present(struct cachefiles_od_object *object, unsigned long first,
			   unsigned long last)
{
	/* Pairs with the release in cachefiles_fetch_filled(). */
	if (smp_load_acquire(&object->full))
		return true;
	guard(spinlock)(&object->lock);
	return cachefiles_od_next_missing(object, first, last) > last;
}

static void cachefiles_read_op_finish(struct cachefiles_read_op *op);

static void cachefiles_read_op_work(struct work_struct *work)
{
	cachefiles_read_op_finish(container_of(work, struct cachefiles_read_op, work));
}

/* The counter for a read that has waited since then. */
static enum cachefiles_od_counter cachefiles_wait_class(ktime_t since)
{
	s64 waited = ktime_ms_delta(ktime_get(), since), limit = 1;
	unsigned int class;

	for (class = 0; class < CACHEFILES_OD_NR_WAITS - 1 && waited >= limit; class++)
		limit *= 10;
	return CACHEFILES_OD_WAITS + class;
}

static void cachefiles_read_op_finish(struct cachefiles_read_op *op)
{
	struct cachefiles_od_object *object = op->object;
	struct iov_iter iter = op->iter;
	struct kiocb *iocb = op->iocb;
	ssize_t ret = op->error;

	if (op->data) {
		size_t len = min_t(u64, iov_iter_count(&iter), object->size - iocb->ki_pos);

		ret = copy_to_iter(op->data, len, &iter);
		ret += iov_iter_zero(iov_iter_count(&iter), &iter);
	} else if (!ret) {
		ret = cachefiles_blob_read_file(object, iocb->ki_pos, &iter, op->trust);
		/* A killed task can't wait for a folio, but the reader can. */
		if (ret == -EINTR && fatal_signal_pending(current)) {
			INIT_WORK(&op->work, cachefiles_read_op_work);
			queue_work(cachefiles_ondemand_wq, &op->work);
			return;
		}
	}
	if (ret < 0)
		cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_READ_ERRORS, 1);
	cachefiles_od_count(cachefiles_od(object), cachefiles_wait_class(op->since), 1);
	trace_cachefiles_od_read_done(object, iocb->ki_pos, ret);
	kfree(op);
	cachefiles_blob_end_read(iocb, ret);
}

/**
 * cachefiles_fetch_finish - end reads that have been taken out of the tree
 * @ended: the reads
 *
 * Context: may sleep; no locks held, as the callers' completions run in here.
 */
void cachefiles_fetch_finish(struct list_head *ended)
{
	struct cachefiles_read_op *op, *next;

	list_for_each_entry_safe(op, next, ended, link)
		cachefiles_read_op_finish(op);
}

static void cachefiles_read_op_remove(struct cachefiles_od_object *object,
				      struct cachefiles_read_op *op, int error,
				      struct list_head *ended)
{
	lockdep_assert_held(&object->lock);
	interval_tree_remove(&op->span, &object->reads);
	op->error = error;
	list_move_tail(&op->link, ended);
}

/*
 * Take out the reads that need a granule which is missing in [first, last].
 * With @ended NULL only tell whether there are any.
 */
static bool cachefiles_od_fail_reads(struct cachefiles_od_object *object, unsigned long first,
				     unsigned long last, int error, struct list_head *ended)
{
	struct interval_tree_node *node, *next;
	bool found = false;

	for (node = interval_tree_iter_first(&object->reads, first, last); node; node = next) {
		struct cachefiles_read_op *op = container_of(node, struct cachefiles_read_op, span);
		unsigned long end = min(node->last, last);

		next = interval_tree_iter_next(node, first, last);
		if (cachefiles_od_next_missing(object, max(node->start, first), end) > end)
			continue;
		found = true;
		if (!ended)
			break;
		cachefiles_read_op_remove(object, op, error, ended);
	}
	return found;
}

/**
 * cachefiles_fetch_filled - mark granules present
 * @object: the object
 * @first: first granule
 * @last: last granule; the map is prepared for the range
 * @data: what has been written to them, kept until @ended has been finished; or
 *	NULL if it is not all in one place
 * @ended: where to put the reads that this satisfies, for
 *	cachefiles_fetch_finish()
 *
 * To be called when the write has completed.  Whatever caused the write: the
 * reads do not wait for the answer to their READ.
 *
 * Context: under fill_mutex.
 */
void cachefiles_fetch_filled(struct cachefiles_od_object *object, unsigned long first,
			     unsigned long last, const void *data, struct list_head *ended)
{
	/* What the disk loses under fill_mutex is not in the map any more. */
	const struct cachefiles_trust trust = cachefiles_store_trust(object);
	struct interval_tree_node *node, *next;
	bool now_full = false;
	unsigned long added;

	scoped_guard(spinlock, &object->lock) {
		if (object->full)
			return;
		added = cachefiles_map_set(&object->map, first, last);
		object->nr_fruitless = 0;
		object->complained = 0;
		if (cachefiles_map_full(&object->map)) {
			/* Whoever sees it finds the data: cachefiles_od_present(). */
			smp_store_release(&object->full, true);
			now_full = true;
		}
		for (node = interval_tree_iter_first(&object->reads, first, last); node;
		     node = next) {
			struct cachefiles_read_op *op =
				container_of(node, struct cachefiles_read_op, span);
			unsigned long end = node->last;

			next = interval_tree_iter_next(node, first, last);
			if (cachefiles_od_next_missing(object, node->start, end) <= end)
				continue;
			op->trust = trust;
			/* It need not be read back if all of it has come just now. */
			if (data && node->start >= first && end <= last)
				op->data = data + op->iocb->ki_pos -
					   ((loff_t)first << CACHEFILES_GRANULE_SHIFT);
			cachefiles_read_op_remove(object, op, 0, ended);
		}
	}
	cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_FILLED_BYTES,
			    added << CACHEFILES_GRANULE_SHIFT);
	trace_cachefiles_od_filled(object, first, last, added);
	if (now_full) {
		cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_COMPLETED, 1);
		trace_cachefiles_od_complete(object, false);
	}
}

/**
 * cachefiles_fetch_lost - part of the cache file has been lost
 * @object: the object
 * @index: the chunk of the map that it is in
 * @buf: what there is of it on disk
 */
void cachefiles_fetch_lost(struct cachefiles_od_object *object, unsigned long index,
			   const __le64 *buf)
{
	guard(spinlock)(&object->lock);
	cachefiles_map_restrict_chunk(&object->map, index, buf);
	WRITE_ONCE(object->full, cachefiles_map_full(&object->map));
	/* Who sees the map as it is now sees this: cachefiles_store_suspect(). */
	smp_store_release(&object->nr_lost, object->nr_lost + 1);
}

/**
 * struct cachefiles_fetch_reqs - requests made in advance, outside the lock
 * @read: a READ, or NULL
 * @open: an OPEN, or NULL
 */
struct cachefiles_fetch_reqs {
	struct cachefiles_req	*read;
	struct cachefiles_req	*open;
};

static bool cachefiles_fetch_needs_reqs(struct cachefiles_od_object *object,
					const struct cachefiles_fetch_reqs *reqs)
{
	return !reqs->read || (object->state == CACHEFILES_OD_CLOSED && !reqs->open);
}

static void cachefiles_fetch_alloc_reqs(struct cachefiles_od_object *object,
					struct cachefiles_fetch_reqs *reqs)
{
	if (!reqs->read)
		reqs->read = cachefiles_req_alloc(&cachefiles_od(object)->reqs, CACHEFILES_OP_READ,
						  object, cachefiles_read_req_end);
	if (!reqs->open && READ_ONCE(object->state) == CACHEFILES_OD_CLOSED)
		reqs->open = cachefiles_od_open_req_alloc(object);
}

static void cachefiles_fetch_discard_reqs(struct cachefiles_fetch_reqs *reqs)
{
	cachefiles_req_discard(reqs->read);
	cachefiles_req_discard(reqs->open);
}

/*
 * Make a READ part of the object, and have the object opened if it is not: a
 * READ that is held always has an OPEN under way that will release or fail it.
 */
static int cachefiles_od_submit_read(struct cachefiles_od_object *object,
				     struct cachefiles_fetch_reqs *reqs, unsigned long first,
				     unsigned long last)
{
	bool open = object->state == CACHEFILES_OD_OPEN;
	struct cachefiles_req *req = reqs->read;
	int ret;

	lockdep_assert_held(&object->lock);
	if (object->state == CACHEFILES_OD_DROPPED)
		return -EIO;
	if (cachefiles_fetch_needs_reqs(object, reqs))
		return -ENOMEM;
	req->span.start = first;
	req->span.last = last;
	req->object_id = object->object_id;
	ret = cachefiles_req_submit(req, open ? NULL : &object->held);
	if (ret)
		return ret;
	interval_tree_insert(&req->span, &object->inflight);
	reqs->read = NULL;
	if (object->state == CACHEFILES_OD_CLOSED) {
		cachefiles_od_object_begin_open(object, reqs->open);
		reqs->open = NULL;
	}
	return 0;
}

/* The @nth failure that is remembered; the first is the latest one. */
static struct cachefiles_failure *cachefiles_od_nth_failure(struct cachefiles_od_object *object,
							    unsigned int nth)
{
	return &object->failures[(object->next_failure - nth) % CACHEFILES_NR_FAILURES];
}

/*
 * Remember why, for cachefiles_ondemand_error(): the page cache only says -EIO.
 * The READs of a window often fail all, one beside the other, before the reader
 * that waited for the first one asks: they are remembered as one.
 */
static void cachefiles_od_note_failure(struct cachefiles_od_object *object, unsigned long first,
				       unsigned long last, int error)
{
	struct cachefiles_failure *failure;
	unsigned int nth;

	lockdep_assert_held(&object->lock);
	/* Between failures for the same reason it does not matter which is later. */
	for (nth = 1; nth <= CACHEFILES_NR_FAILURES; nth++) {
		failure = cachefiles_od_nth_failure(object, nth);
		if (failure->error != error)
			break;
		if (first <= failure->last + 1 && failure->first <= last + 1) {
			failure->first = min(first, failure->first);
			failure->last = max(last, failure->last);
			return;
		}
	}
	object->next_failure++;
	failure = cachefiles_od_nth_failure(object, 1);
	failure->first = first;
	failure->last = last;
	failure->error = error;
}

/**
 * cachefiles_od_failure - why could these granules not be had?
 * @object: the object
 * @first: first granule
 * @last: last granule, inside the object
 *
 * Return: the latest error of a READ for something that is missing in the range
 * still; -EIO if none is remembered.
 */
int cachefiles_od_failure(struct cachefiles_od_object *object, unsigned long first,
			  unsigned long last)
{
	const struct cachefiles_failure *failure;
	unsigned int nth;

	guard(spinlock)(&object->lock);
	for (nth = 1; nth <= CACHEFILES_NR_FAILURES; nth++) {
		unsigned long start, end;

		failure = cachefiles_od_nth_failure(object, nth);
		start = max(first, failure->first);
		end = min(last, failure->last);
		if (failure->error && start <= end &&
		    cachefiles_od_next_missing(object, start, end) <= end)
			return failure->error;
	}
	return -EIO;
}

/**
 * cachefiles_read_req_end - a READ has ended: see to the reads that wait for it
 * @req: the READ, DONE
 * @error: 0 if the daemon says that it has filled the range; what those get who
 *	wait for something that is missing in it
 *
 * If the daemon was wrong it is asked once more; then those who wait get -EIO.
 *
 * Context: may sleep; no locks held, as for cachefiles_fetch_finish().
 */
void cachefiles_read_req_end(struct cachefiles_req *req, int error)
{
	struct cachefiles_od_object *object = req->object;
	unsigned long first = req->span.start, last = req->span.last;
	struct cachefiles_fetch_reqs reqs = {};
	bool again, submitted = false, complain = false;
	LIST_HEAD(ended);

	lockdep_assert_not_held(&cachefiles_od(object)->names_mutex);
	again = !error && !req->asked_again && !cachefiles_od_present(object, first, last);
	if (again)
		cachefiles_fetch_alloc_reqs(object, &reqs);

	spin_lock(&object->lock);
	/*
	 * The object may have been lost after the requests were made.  The READ
	 * stays in flight until then, so that nobody else asks for its range.
	 */
	while (again && cachefiles_fetch_needs_reqs(object, &reqs)) {
		spin_unlock(&object->lock);
		cachefiles_fetch_alloc_reqs(object, &reqs);
		spin_lock(&object->lock);
	}
	interval_tree_remove(&req->span, &object->inflight);
	first = cachefiles_od_next_missing(object, first, last);
	if (first <= last) {
		if (again && cachefiles_od_fail_reads(object, first, last, 0, NULL)) {
			reqs.read->asked_again = true;
			submitted = !cachefiles_od_submit_read(object, &reqs, first, last);
		}
		if (!submitted) {
			cachefiles_od_note_failure(object, first, last, error ?: -EIO);
			cachefiles_od_fail_reads(object, first, last, error ?: -EIO, &ended);
			complain = !error && req->asked_again;
		}
	}
	spin_unlock(&object->lock);

	cachefiles_fetch_discard_reqs(&reqs);
	if (!error && first <= last)
		cachefiles_od_trouble(object, CACHEFILES_OD_EMPTY_READS, -EIO);
	if (complain)
		cachefiles_od_complain(object, CACHEFILES_OD_ANSWERED_EMPTY, -EIO);
	if (submitted)
		cachefiles_ondemand_kick(cachefiles_od(object));
	cachefiles_fetch_finish(&ended);
}

/* Let the READ that ends right before @first ask for up to @last too. */
static unsigned long cachefiles_od_grow_read(struct cachefiles_od_object *object,
					     unsigned long first, unsigned long last)
{
	struct interval_tree_node *node;
	struct cachefiles_req *req;
	unsigned long end;

	if (!first)
		return first;
	node = interval_tree_iter_first(&object->inflight, first - 1, first - 1);
	if (!node || node->last - node->start + 1 >= CACHEFILES_READ_GRANULES)
		return first;
	req = container_of(node, struct cachefiles_req, span);
	if (req->asked_again)
		return first;
	end = min(last, node->start + CACHEFILES_READ_GRANULES - 1);
	interval_tree_remove(node, &object->inflight);
	if (cachefiles_req_grow(req, end))
		first = end + 1;
	interval_tree_insert(node, &object->inflight);
	return first;
}

/**
 * cachefiles_fetch - ask for what is missing and not asked for yet
 * @object: the object, its size known
 * @first: first granule
 * @last: last granule, inside the object
 *
 * Does not wait.  If there is no daemon, the reads that need it end in here.
 *
 * Context: may sleep; does not recurse into file systems.
 */
void cachefiles_fetch(struct cachefiles_od_object *object, unsigned long first, unsigned long last)
{
	struct cachefiles_fetch_reqs reqs = {};
	unsigned int joined = 0;
	bool kick = false;
	LIST_HEAD(ended);

	spin_lock(&object->lock);
	for (first = cachefiles_od_next_missing(object, first, last); first <= last;
	     first = cachefiles_od_next_missing(object, first, last)) {
		struct interval_tree_node *node =
			interval_tree_iter_first(&object->inflight, first, last);
		unsigned long end, grown;
		int error;

		/*
		 * Who has submitted what is not picked yet may be in a block plug, and
		 * not run for long: there is no waiting for it to tell the daemon.
		 */
		if (node && node->start <= first) {
			kick |= cachefiles_req_is_new(container_of(node, struct cachefiles_req,
								   span));
			first = node->last + 1;
			joined++;
			continue;
		}
		end = cachefiles_map_next_present(&object->map, first,
						  node ? node->start - 1 : last) - 1;
		grown = cachefiles_od_grow_read(object, first, end);
		kick |= grown > first;
		first = grown;
		if (first > end)
			continue;
		end = min(end, first + CACHEFILES_READ_GRANULES - 1);

		if (cachefiles_fetch_needs_reqs(object, &reqs)) {
			spin_unlock(&object->lock);
			cachefiles_fetch_alloc_reqs(object, &reqs);
			spin_lock(&object->lock);
			continue;
		}
		error = cachefiles_od_submit_read(object, &reqs, first, end);
		if (error) {
			cachefiles_od_fail_reads(object, first, last, error, &ended);
			break;
		}
		kick = true;
		first = end + 1;
	}
	spin_unlock(&object->lock);

	cachefiles_fetch_discard_reqs(&reqs);
	if (kick)
		cachefiles_ondemand_kick(cachefiles_od(object));
	if (joined)
		cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_JOINED, joined);
	cachefiles_fetch_finish(&ended);
}

/**
 * cachefiles_fetch_again - ask for what reads wait for that has been lost
 * @object: the object, after cachefiles_fetch_lost()
 *
 * Part of what a waiting read needs may have been present when it came, and has
 * not been asked for.
 *
 * Context: may sleep; no locks held, as for cachefiles_fetch().
 */
void cachefiles_fetch_again(struct cachefiles_od_object *object)
{
	unsigned long pos = 0;

	for (;;) {
		struct interval_tree_node *node;
		unsigned long first, last;

		scoped_guard(spinlock, &object->lock) {
			node = interval_tree_iter_first(&object->reads, pos, ULONG_MAX);
			if (node) {
				first = node->start;
				last = node->last;
			}
		}
		if (!node)
			return;
		cachefiles_fetch(object, first, last);
		pos = last + 1;
	}
}

/**
 * cachefiles_fetch_wait - have a read of a blob wait for the daemon
 * @iocb: the read
 * @to: where the data goes
 * @first: first granule that it needs
 * @last: last granule, inside the object
 *
 * Context: may sleep; does not recurse into file systems.
 * Return: -EIOCBQUEUED, and the read ends in its ->ki_complete; what was read, if
 * the granules are present after all; or -EIO if the blob has been shut down.
 */
ssize_t cachefiles_fetch_wait(struct kiocb *iocb, struct iov_iter *to, unsigned long first,
			      unsigned long last)
{
	struct cachefiles_blob *blob = iocb->ki_filp->private_data;
	struct cachefiles_od_object *object = blob->object;
	/* As for requests: the folios are locked, and failing means an I/O error. */
	struct cachefiles_read_op *op = kzalloc_obj(*op, GFP_NOFS | __GFP_NOFAIL);
	const struct cachefiles_trust trust = cachefiles_store_trust(object);

	op->object = object;
	op->iocb = iocb;
	op->iter = *to;
	op->span.start = first;
	op->span.last = last;
	op->since = ktime_get();

	scoped_guard(spinlock, &object->lock) {
		if (blob->shut) {
			kfree(op);
			return -EIO;
		}
		if (cachefiles_od_next_missing(object, first, last) > last) {
			kfree(op);
			op = NULL;
			break;
		}
		interval_tree_insert(&op->span, &object->reads);
		list_add_tail(&op->link, &blob->reads);
	}
	if (!op)
		return cachefiles_blob_read_here(object, iocb, to, trust);

	/* From here on @op belongs to whoever takes it out of the tree. */
	trace_cachefiles_od_read_wait(object, first, last);
	cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_MISSES, 1);
	cachefiles_fetch(object, first, last);
	return -EIOCBQUEUED;
}

/**
 * cachefiles_fetch_shutdown - end all reads of a blob, those to come too
 * @blob: the blob
 *
 * Context: may sleep.
 */
void cachefiles_fetch_shutdown(struct cachefiles_blob *blob)
{
	struct cachefiles_od_object *object = blob->object;
	struct cachefiles_read_op *op, *next;
	LIST_HEAD(ended);

	scoped_guard(spinlock, &object->lock) {
		blob->shut = true;
		list_for_each_entry_safe(op, next, &blob->reads, link)
			cachefiles_read_op_remove(object, op, -EIO, &ended);
	}
	cachefiles_fetch_finish(&ended);
}
