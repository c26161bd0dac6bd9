// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The states of an object towards the daemon: opened, lost, opened again,
 * dropped.  They are drawn above enum cachefiles_od_state.
 */
#include <linux/ratelimit.h>
#include <linux/slab.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

static void cachefiles_od_set_state(struct cachefiles_od_object *object,
				    enum cachefiles_od_state state)
{
	lockdep_assert_held(&object->lock);
	WARN_ON_ONCE(object->state == CACHEFILES_OD_DROPPED);
	trace_cachefiles_od_object(object, state);
	object->state = state;
}

/**
 * cachefiles_od_trouble - count what went wrong, and trace it
 * @object: the object
 * @what: the counter
 * @error: negative errno
 *
 * Context: any.
 */
void cachefiles_od_trouble(struct cachefiles_od_object *object, enum cachefiles_od_counter what,
			   int error)
{
	cachefiles_od_count(cachefiles_od(object), what, 1);
	trace_cachefiles_od_trouble(object, what, error);
}

static const char * const cachefiles_od_complaints[] = {
	[CACHEFILES_OD_NOT_REOPENED]	= "it can't be opened again",
	[CACHEFILES_OD_FD_CLOSED]	= "its fd is closed again and again",
	[CACHEFILES_OD_NOT_FETCHED]	= "the daemon can't fill it",
	[CACHEFILES_OD_ANSWERED_EMPTY]	= "READs are answered without their data",
	[CACHEFILES_OD_NOT_FILLED]	= "it can't be filled",
	[CACHEFILES_OD_UNREADABLE]	= "its cache file can't be read",
};

/**
 * cachefiles_od_complain - have the log say why reads of an object fail
 * @object: the object
 * @what: what its daemon does, or its disk
 * @error: what the readers get
 *
 * Once for each @what, until something of the object is filled again.
 *
 * Context: any; not under the object's lock.
 */
void cachefiles_od_complain(struct cachefiles_od_object *object,
			    enum cachefiles_od_complaint what, int error)
{
	static DEFINE_RATELIMIT_STATE(limit, DEFAULT_RATELIMIT_INTERVAL,
				      DEFAULT_RATELIMIT_BURST);

	scoped_guard(spinlock, &object->lock) {
		/* What is not let through is told the next time. */
		if ((object->complained & BIT(what)) || !__ratelimit(&limit))
			return;
		object->complained |= BIT(what);
	}
	pr_warn("%s/%s: %s (%d)\n", object->volume->key, object->key,
		cachefiles_od_complaints[what], error);
}

/* End READs that waited for an OPEN which did not give the daemon an fd. */
static void cachefiles_od_fail_held(struct cachefiles_od_object *object, struct list_head *held,
				    int error)
{
	struct cachefiles_req *req;

	while ((req = cachefiles_reqs_claim_held(&cachefiles_od(object)->reqs, held))) {
		req->end(req, error);
		cachefiles_req_put(req);
	}
}

/**
 * cachefiles_od_object_prepare_full - be ready to tell the daemon of a full object
 * @object: the object
 *
 * Context: may sleep; under fill_mutex.
 */
void cachefiles_od_object_prepare_full(struct cachefiles_od_object *object)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);

	lockdep_assert_held(&object->fill_mutex);
	if (READ_ONCE(od->tell_full) && !READ_ONCE(object->full_req))
		WRITE_ONCE(object->full_req, cachefiles_req_alloc(&od->reqs, CACHEFILES_OP_FULL,
								  NULL, NULL));
}

/**
 * cachefiles_od_object_tell_full - send a FULL, if the object is and it was asked for
 * @object: the object
 *
 * Not before the cache's disk has all of it: what is lost is asked for again.
 *
 * Context: under the object's lock; the caller kicks the daemon afterwards.
 */
void cachefiles_od_object_tell_full(struct cachefiles_od_object *object)
{
	struct cachefiles_req *req = object->full_req;

	lockdep_assert_held(&object->lock);
	/* The daemon that @req was made for may have been another. */
	if (!req || !READ_ONCE(object->stored_full) || object->state != CACHEFILES_OD_OPEN ||
	    !READ_ONCE(cachefiles_od(object)->tell_full))
		return;
	req->object_id = object->object_id;
	if (!cachefiles_req_submit(req, NULL))
		object->full_req = NULL;
}

/*
 * An OPEN has ended.  0 means that the daemon has answered with a size; even
 * then its fd may have been closed already.
 */
static void cachefiles_od_object_end_open(struct cachefiles_od_object *object,
					  struct cachefiles_req *req, int error)
{
	struct cachefiles_reqs *table = &cachefiles_od(object)->reqs;
	bool opened = false;
	LIST_HEAD(failed);

	scoped_guard(spinlock, &object->lock) {
		/* A drop has taken it over. */
		if (object->open_req != req)
			return;
		object->open_req = NULL;
		opened = !error && object->fd_live;
		cachefiles_od_set_state(object, opened ? CACHEFILES_OD_OPEN : CACHEFILES_OD_CLOSED);
		if (opened) {
			cachefiles_reqs_release(table, &object->held, object->object_id);
			cachefiles_od_object_tell_full(object);
		} else {
			/* Those that come now have the next OPEN. */
			cachefiles_reqs_move_held(table, &object->held, &failed);
			object->announced = false;
		}
		object->open_error = error;
		object->nr_opens++;
	}
	wake_up_all(&object->open_wq);
	if (opened)
		cachefiles_ondemand_kick(cachefiles_od(object));
	cachefiles_od_fail_held(object, &failed, error ?: -EIO);
	cachefiles_req_put(req); /* that of open_req */
}

static void cachefiles_open_req_end(struct cachefiles_req *req, int error)
{
	cachefiles_od_object_end_open(req->object, req, error);
}

/**
 * cachefiles_od_open_req_alloc - make an OPEN
 * @object: the object
 *
 * Context: may sleep; does not recurse into file systems.
 * Return: the request, NEW; never NULL.
 */
struct cachefiles_req *cachefiles_od_open_req_alloc(struct cachefiles_od_object *object)
{
	return cachefiles_req_alloc(&cachefiles_od(object)->reqs, CACHEFILES_OP_OPEN, object,
				    cachefiles_open_req_end);
}

/* Not 0, which no fd has. */
static u32 cachefiles_od_new_id(struct cachefiles_od_object *object)
{
	atomic_t *last = &cachefiles_od(object)->last_object_id;

	return atomic_inc_return(last) ?: atomic_inc_return(last);
}

/**
 * cachefiles_od_object_begin_open - send an OPEN
 * @object: the object, CLOSED, or OPENING with an OPEN that has been claimed
 * @req: from cachefiles_od_open_req_alloc(); taken over
 *
 * Each OPEN has an object_id of its own, so that what comes late from a file
 * descriptor of an earlier one can be told apart.
 *
 * Context: under the object's lock; the caller kicks the daemon afterwards.
 */
void cachefiles_od_object_begin_open(struct cachefiles_od_object *object,
				     struct cachefiles_req *req)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);

	lockdep_assert_held(&object->lock);
	object->object_id = cachefiles_od_new_id(object);
	object->fd_live = false;
	object->open_req = cachefiles_req_get(req);
	req->object_id = object->object_id;
	cachefiles_od_set_state(object, CACHEFILES_OD_OPENING);
	cachefiles_od_count(od, CACHEFILES_OD_OPENS, 1);
	if (cachefiles_req_submit(req, NULL)) {
		/*
		 * No daemon.  Whoever killed the table ends what is held; the
		 * object's reference keeps both puts from being the last.
		 */
		object->open_req = NULL;
		cachefiles_od_set_state(object, CACHEFILES_OD_CLOSED);
		object->open_error = -EIO;
		object->nr_opens++;
		wake_up_all(&object->open_wq);
		xa_erase(&od->reqs.ids, req->id);
		cachefiles_req_put(req);
		cachefiles_req_put(req);
	}
}

/*
 * Send an OPEN if none is under way, and wait for its end.  A caller that is
 * killed leaves the OPEN alone, others may wait for it too; if nobody does, it
 * ends when the last user goes.
 */
static int cachefiles_od_object_ask(struct cachefiles_od_object *object)
{
	struct cachefiles_req *req;
	unsigned int nr_opens;
	int ret;

	req = cachefiles_od_open_req_alloc(object);
	scoped_guard(spinlock, &object->lock) {
		nr_opens = object->nr_opens;
		if (object->size < 0 && object->state == CACHEFILES_OD_CLOSED) {
			cachefiles_od_object_begin_open(object, req);
			req = NULL;
		}
	}
	if (req)
		cachefiles_req_discard(req);
	/* Also if the OPEN is another task's: as in cachefiles_fetch(). */
	cachefiles_ondemand_kick(cachefiles_od(object));

	/*
	 * Freezable: the daemon may be frozen first when the machine suspends.
	 * A mount holds locks here, as one of NFS does.
	 */
	ret = wait_event_state(object->open_wq,
			       READ_ONCE(object->size) >= 0 ||
			       READ_ONCE(object->nr_opens) != nr_opens,
			       (TASK_KILLABLE | TASK_FREEZABLE_UNSAFE));
	if (ret)
		return -EINTR;
	guard(spinlock)(&object->lock);
	/* A new daemon may have told the size after the OPEN failed: take it. */
	return object->size >= 0 ? 0 : object->open_error ?: -EIO;
}

/* Whether cachefiles_store_open_complete() found that a daemon is needed. */
static bool cachefiles_od_is_incomplete(int error)
{
	return error == -ENOENT || error == -ENODATA || error == -ESTALE;
}

/**
 * cachefiles_od_object_open - learn an object's size
 * @object: the object; the caller is one of its users
 *
 * The daemon is asked, even if the cache file is complete: its word counts.
 * Only without a daemon a complete cache file is taken as it is.  Does nothing
 * if the size is known: should the daemon have lost the object, the next miss
 * opens it again.
 *
 * Context: may sleep, killably, until the daemon has answered.
 * Return: 0; -ENOTCONN if there is no daemon and the cache file is not complete;
 * or an error as in cachefiles_ondemand_open().
 */
int cachefiles_od_object_open(struct cachefiles_od_object *object)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);
	int ret;

	if (!READ_ONCE(od->cache)) {
		ret = cachefiles_store_open_complete(object);
		if (!ret || ret == -EINTR)
			return ret;
		if (!cachefiles_ondemand_has_daemon(od))
			return cachefiles_od_is_incomplete(ret) ? -ENOTCONN : ret;
	}
	ret = cachefiles_od_object_ask(object);
	/* The daemon may have gone, or none may have come. */
	if (ret == -EIO && !READ_ONCE(od->cache) && !cachefiles_store_open_complete(object))
		return 0;
	return ret;
}

/*
 * Ask anew with an OPEN of its own: an answer to the old one, which has been
 * claimed, means nothing any more.
 */
static void cachefiles_od_object_ask_again(struct cachefiles_od_object *object,
					   struct cachefiles_req *old)
{
	struct cachefiles_req *req = cachefiles_od_open_req_alloc(object);
	bool ours;

	scoped_guard(spinlock, &object->lock) {
		ours = object->open_req == old;
		if (ours) {
			object->announced = false;
			cachefiles_od_object_begin_open(object, req);
		}
	}
	if (!ours) {
		cachefiles_req_discard(req);
		return;
	}
	cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_RESENT, 1);
	cachefiles_req_put(old); /* that of open_req */
	cachefiles_ondemand_kick(cachefiles_od(object));
}

/**
 * cachefiles_od_object_answer - the daemon has answered an OPEN
 * @req: the OPEN, from cachefiles_req_take()
 * @size: the object's size, or -errno
 *
 * Has the cache file open and ready before it returns, so that the daemon
 * can write to its fd as soon as its answer has been accepted.
 *
 * Context: may sleep; consumes the caller's reference to @req.
 * Return: 0; or the error with which the OPEN ended although @size is one:
 * -ESTALE if it is not the size of the live object, or one of the file system.
 */
int cachefiles_od_object_answer(struct cachefiles_req *req, loff_t size)
{
	struct cachefiles_od_object *object = req->object;
	bool again = READ_ONCE(object->size) >= 0;
	int error = size < 0 ? size : cachefiles_store_set_size(object, size);

	/* That the answering task was killed is no answer. */
	if (size >= 0 && error == -EINTR) {
		cachefiles_od_object_ask_again(object, req);
	} else {
		if (error)
			cachefiles_od_trouble(object, CACHEFILES_OD_OPEN_FAILS, error);
		/* The first time it is what mount(2) returns. */
		if (error && again)
			cachefiles_od_complain(object, CACHEFILES_OD_NOT_REOPENED, error);
		cachefiles_od_object_end_open(object, req, error);
	}
	cachefiles_req_put(req);
	return size < 0 ? 0 : error;
}

/*
 * Take the object's READs back from the daemon; the object is not OPEN.  Those
 * that were filled and only lack the answer are put on @filled instead.
 */
static void cachefiles_od_hold_reads(struct cachefiles_od_object *object, struct list_head *filled)
{
	struct interval_tree_node *node;
	unsigned int resent = 0;

	lockdep_assert_held(&object->lock);
	for (node = interval_tree_iter_first(&object->inflight, 0, ULONG_MAX); node;
	     node = interval_tree_iter_next(node, 0, ULONG_MAX)) {
		struct cachefiles_req *req = container_of(node, struct cachefiles_req, span);

		if (!object->full && cachefiles_map_next_missing(&object->map, node->start,
								 node->last) <= node->last)
			resent += cachefiles_req_hold(req, &object->held);
		else if (cachefiles_req_claim(req))
			list_add_tail(&req->link, filled);
	}
	cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_RESENT, resent);
}

/**
 * cachefiles_od_end_filled - end READs that have been filled and not answered
 * @filled: the READs, DONE
 *
 * Context: may sleep; no locks of this mode held, as reads may end in here.
 */
void cachefiles_od_end_filled(struct list_head *filled)
{
	struct cachefiles_req *req, *next;

	list_for_each_entry_safe(req, next, filled, link) {
		req->end(req, 0);
		cachefiles_req_put(req);
	}
}

/* As told below; @closed: the daemon has closed the fd, and was not replaced. */
static void cachefiles_od_lose_fd(struct cachefiles_od_object *object, u32 object_id, bool closed,
				  struct list_head *filled)
{
	struct cachefiles_req *req = cachefiles_od_open_req_alloc(object);
	LIST_HEAD(failed);

	scoped_guard(spinlock, &object->lock) {
		if (object->object_id != object_id || !object->fd_live)
			break;
		object->fd_live = false;
		if (object->state != CACHEFILES_OD_OPEN)
			break;
		cachefiles_od_set_state(object, CACHEFILES_OD_CLOSED);
		object->announced = false;
		cachefiles_od_hold_reads(object, filled);
		if (list_empty_careful(&object->held))
			break;
		if (closed && ++object->nr_fruitless > CACHEFILES_MAX_FRUITLESS) {
			object->nr_fruitless = 0;
			cachefiles_reqs_move_held(&cachefiles_od(object)->reqs, &object->held,
						  &failed);
			break;
		}
		cachefiles_od_object_begin_open(object, req);
		req = NULL;
	}
	if (!list_empty(&failed)) {
		cachefiles_od_trouble(object, CACHEFILES_OD_FDS_CLOSED, -EIO);
		cachefiles_od_complain(object, CACHEFILES_OD_FD_CLOSED, -EIO);
	}
	cachefiles_od_fail_held(object, &failed, -EIO);
	if (req)
		cachefiles_req_discard(req);
	else
		cachefiles_ondemand_kick(cachefiles_od(object));
}

/**
 * cachefiles_od_object_lost_fd - the daemon has closed an object's fd
 * @object: the object
 * @object_id: the OPEN that the fd came with
 *
 * READs that were for this fd go back; if there are any, the object is opened
 * again, unless that has led nowhere too often.  If its OPEN is not answered yet
 * the answer is still to come: daemons close the fd before they refuse.
 *
 * Context: may sleep; no locks held, as for cachefiles_od_end_filled().
 */
void cachefiles_od_object_lost_fd(struct cachefiles_od_object *object, u32 object_id)
{
	LIST_HEAD(filled);

	cachefiles_od_lose_fd(object, object_id, true, &filled);
	cachefiles_od_end_filled(&filled);
}

/**
 * cachefiles_od_object_restore - treat an object as unknown to the daemon
 * @object: the object
 * @filled: where to put READs for cachefiles_od_end_filled(), which may be called
 *	when the object has been let go of: they pin it
 *
 * An OPEN that was delivered, or is at this moment, is replaced by a new one: the
 * daemon before may still answer it.  An object that is open
 * loses its fd, though somebody may still have it.
 *
 * Context: may sleep.
 */
void cachefiles_od_object_restore(struct cachefiles_od_object *object, struct list_head *filled)
{
	struct cachefiles_req *req = NULL;
	u32 object_id = 0;

	scoped_guard(spinlock, &object->lock) {
		if (object->state == CACHEFILES_OD_OPENING &&
		    cachefiles_req_recall(object->open_req))
			req = object->open_req;
		else if (object->state == CACHEFILES_OD_OPEN)
			object_id = object->object_id;
	}
	if (req) {
		cachefiles_od_object_ask_again(object, req);
		cachefiles_req_put(req); /* the table's */
	}
	if (object_id)
		cachefiles_od_lose_fd(object, object_id, false, filled);
}

/**
 * cachefiles_od_object_detach - there is no daemon any more
 * @object: the object; the instance's requests have all been ended
 *
 * File descriptors that survive the device can fill, but not answer.
 */
void cachefiles_od_object_detach(struct cachefiles_od_object *object)
{
	guard(spinlock)(&object->lock);
	object->fd_live = false;
	object->announced = false;
	object->object_id = 0;
	if (object->state == CACHEFILES_OD_OPEN)
		cachefiles_od_set_state(object, CACHEFILES_OD_CLOSED);
}

/**
 * cachefiles_od_object_drop - the last user of an object has gone
 * @object: the object
 *
 * Ends its requests and tells the daemon.  The cache file is closed by the
 * object's flush work, which may take as long as the disk does.
 *
 * Context: may sleep; under names_mutex.
 */
void cachefiles_od_object_drop(struct cachefiles_od_object *object)
{
	struct cachefiles_req *open, *close = object->close_req;
	struct interval_tree_node *node, *next;
	struct cachefiles_req *req, *tmp;
	bool open_is_ours;
	LIST_HEAD(ended);

	object->close_req = NULL;
	scoped_guard(spinlock, &object->lock) {
		cachefiles_od_set_state(object, CACHEFILES_OD_DROPPED);
		open = object->open_req;
		object->open_req = NULL;
		/* If it can still be delivered, it is not, and needs no CLOSE. */
		open_is_ours = open && cachefiles_req_claim(open);
		close->object_id = object->object_id;
		if (object->announced && !cachefiles_req_submit(close, NULL))
			close = NULL;
		/* No read is left that could wait for these. */
		for (node = interval_tree_iter_first(&object->inflight, 0, ULONG_MAX); node;
		     node = next) {
			next = interval_tree_iter_next(node, 0, ULONG_MAX);
			req = container_of(node, struct cachefiles_req, span);
			/* If it is somebody else's, they take it out of the tree. */
			if (!cachefiles_req_claim(req))
				continue;
			interval_tree_remove(node, &object->inflight);
			list_add(&req->link, &ended);
		}
	}
	list_for_each_entry_safe(req, tmp, &ended, link)
		cachefiles_req_put(req);
	if (open_is_ours)
		cachefiles_req_put(open); /* the table's; nobody waits for its end */
	cachefiles_req_put(open); /* that of open_req */
	if (close)
		cachefiles_req_discard(close);
	else
		cachefiles_ondemand_kick(cachefiles_od(object));
	cachefiles_store_flush_soon(object, 0);
}
