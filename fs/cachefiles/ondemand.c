// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The table of requests to the on-demand daemon: who owns a request when, and
 * who ends it.  Nothing here knows files, presence maps or user memory.
 *
 * A submitted request is on exactly one of these: the queue, the deferred list,
 * its object's held list, or, while SENDING or SENT, in the index alone.
 * Whoever moves it to DONE takes it out of all of them in the same critical
 * section and is the only one to call its end function.
 */
#include <linux/slab.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

/* How long an OPEN waits for the daemon to have a file descriptor free. */
#define CACHEFILES_DEFER_DELAY	(HZ / 10)

static void cachefiles_req_set_state(struct cachefiles_req *req, enum cachefiles_req_state state)
{
	/* Where each state may go, as drawn above enum cachefiles_req_state. */
	static const u8 legal[] = {
		[CACHEFILES_REQ_NEW]	 = BIT(CACHEFILES_REQ_QUEUED) | BIT(CACHEFILES_REQ_HELD),
		[CACHEFILES_REQ_QUEUED]	 = BIT(CACHEFILES_REQ_SENDING) | BIT(CACHEFILES_REQ_HELD) |
					   BIT(CACHEFILES_REQ_DONE),
		[CACHEFILES_REQ_HELD]	 = BIT(CACHEFILES_REQ_QUEUED) | BIT(CACHEFILES_REQ_DONE),
		[CACHEFILES_REQ_SENDING] = BIT(CACHEFILES_REQ_SENT) | BIT(CACHEFILES_REQ_QUEUED) |
					   BIT(CACHEFILES_REQ_HELD) | BIT(CACHEFILES_REQ_DONE),
		[CACHEFILES_REQ_SENT]	 = BIT(CACHEFILES_REQ_HELD) | BIT(CACHEFILES_REQ_DONE),
		[CACHEFILES_REQ_DONE]	 = 0,
	};

	lockdep_assert_held(&req->table->ids.xa_lock);
	WARN_ON_ONCE(!(legal[req->state] & BIT(state)));
	trace_cachefiles_od_req(req, state);
	req->state = state;
}

/**
 * cachefiles_reqs_wake - tell the daemon that there is something to read
 * @table: the table
 *
 * Context: any; does not sleep.
 */
void cachefiles_reqs_wake(struct cachefiles_reqs *table)
{
	/* Under the lock that a device takes to leave with its wait queue. */
	guard(spinlock)(&table->ids.xa_lock);
	if (table->pollwq)
		wake_up_poll(table->pollwq, EPOLLIN | EPOLLRDNORM);
}

static void cachefiles_reqs_defer_work(struct work_struct *work)
{
	struct cachefiles_reqs *table =
		container_of(to_delayed_work(work), struct cachefiles_reqs, defer_work);

	scoped_guard(spinlock, &table->ids.xa_lock)
		list_splice_tail_init(&table->deferred, &table->queue);
	cachefiles_reqs_wake(table);
}

/**
 * cachefiles_reqs_init - set up a request table
 * @table: the table; dead until cachefiles_reqs_revive()
 */
void cachefiles_reqs_init(struct cachefiles_reqs *table)
{
	xa_init_flags(&table->ids, XA_FLAGS_ALLOC1);
	table->next_id = 0;
	INIT_LIST_HEAD(&table->queue);
	INIT_LIST_HEAD(&table->deferred);
	table->pollwq = NULL;
	INIT_DELAYED_WORK(&table->defer_work, cachefiles_reqs_defer_work);
	table->dead = true;
	table->nr_live = 0;
	table->max_live = 0;
}

/**
 * cachefiles_reqs_destroy - free what a request table holds
 * @table: the table; no request is left in it
 *
 * Context: may sleep.
 */
void cachefiles_reqs_destroy(struct cachefiles_reqs *table)
{
	cancel_delayed_work_sync(&table->defer_work);
	WARN_ON_ONCE(!xa_empty(&table->ids));
	xa_destroy(&table->ids);
}

/**
 * cachefiles_req_alloc - make a request
 * @table: where it will be submitted
 * @opcode: what it asks for
 * @object: whom it is for; pinned until the request is freed.  NULL for a CLOSE
 *	or FULL, which need no object to be delivered
 * @end: what finishes it, see &struct cachefiles_req
 *
 * The id is reserved here, so that submission can't fail for want of memory.
 *
 * Context: may sleep; does not recurse into file systems.
 * Return: the request, NEW, with one reference; never NULL.
 */
struct cachefiles_req *cachefiles_req_alloc(struct cachefiles_reqs *table,
					    enum cachefiles_opcode opcode,
					    struct cachefiles_od_object *object,
					    void (*end)(struct cachefiles_req *req, int error))
{
	/*
	 * A request that can't be made is an I/O error in some application, and
	 * the folios it is for are locked already: do not fail.
	 */
	const gfp_t gfp = GFP_NOFS | __GFP_NOFAIL;
	struct cachefiles_req *req = kzalloc_obj(*req, gfp);

	refcount_set(&req->ref, 1); /* the table's; until submission the caller's */
	INIT_LIST_HEAD(&req->link);
	req->table = table;
	req->opcode = opcode;
	req->end = end;
	req->state = CACHEFILES_REQ_NEW;
	/* Fails only when four billion requests are pending. */
	WARN_ON_ONCE(xa_alloc_cyclic(&table->ids, &req->id, req, xa_limit_32b, &table->next_id,
				     gfp) < 0);
	if (object)
		req->object = cachefiles_od_object_get(object);
	return req;
}

/**
 * cachefiles_req_put - drop a reference to a request
 * @req: the request, or NULL
 *
 * Context: may sleep, as this may be the object's last reference.
 */
void cachefiles_req_put(struct cachefiles_req *req)
{
	if (!req || !refcount_dec_and_test(&req->ref))
		return;
	if (req->object)
		cachefiles_od_object_put(req->object);
	kfree(req);
}

/**
 * cachefiles_req_discard - give up a request that was not submitted
 * @req: the request, NEW, or NULL
 *
 * Context: may sleep.
 */
void cachefiles_req_discard(struct cachefiles_req *req)
{
	if (!req)
		return;
	WARN_ON_ONCE(req->state != CACHEFILES_REQ_NEW);
	xa_erase(&req->table->ids, req->id);
	cachefiles_req_put(req);
}

/**
 * cachefiles_req_submit - enter a request
 * @req: the request, NEW
 * @held: NULL to queue it, or the list where it waits for its object to open
 *
 * Does not wake the daemon: see cachefiles_ondemand_kick().
 *
 * Context: any; does not sleep.
 * Return: 0, and the end function will be called exactly once; or -EIO when
 * there is no daemon, and it will not be called.
 */
int cachefiles_req_submit(struct cachefiles_req *req, struct list_head *held)
{
	struct cachefiles_reqs *table = req->table;

	guard(spinlock)(&table->ids.xa_lock);
	if (table->dead)
		return -EIO;
	req->since = ktime_get();
	cachefiles_req_set_state(req, held ? CACHEFILES_REQ_HELD : CACHEFILES_REQ_QUEUED);
	list_add_tail(&req->link, held ?: &table->queue);
	if (++table->nr_live > table->max_live)
		table->max_live = table->nr_live;
	return 0;
}

/**
 * cachefiles_req_next - take the oldest request from the queue for delivery
 * @table: the table
 * @start: where to put the first granule, if it is a READ
 * @last: where to put the last granule, if it is a READ
 *
 * Return: the request, SENDING, with a reference; NULL if there is none.
 */
struct cachefiles_req *cachefiles_req_next(struct cachefiles_reqs *table, u64 *start, u64 *last)
{
	struct cachefiles_req *req;

	guard(spinlock)(&table->ids.xa_lock);
	req = list_first_entry_or_null(&table->queue, struct cachefiles_req, link);
	if (!req)
		return NULL;
	list_del_init(&req->link);
	cachefiles_req_set_state(req, CACHEFILES_REQ_SENDING);
	req->sender = current;
	*start = req->span.start;
	*last = req->span.last;
	return cachefiles_req_get(req);
}

/*
 * Is the delivery that this task began still the one that counts?  The request
 * may have been taken back, and even be with another sender by now.
 */
static bool cachefiles_req_is_mine(struct cachefiles_req *req)
{
	return req->state == CACHEFILES_REQ_SENDING && req->sender == current;
}

/**
 * cachefiles_req_sent - note that the daemon has the message
 * @req: the request, from cachefiles_req_next()
 *
 * A CLOSE or FULL has no answer and is done with this.
 *
 * Return: true; false if the request was ended or taken back meanwhile, and the
 * message means nothing.
 */
bool cachefiles_req_sent(struct cachefiles_req *req)
{
	if (req->opcode == CACHEFILES_OP_CLOSE || req->opcode == CACHEFILES_OP_FULL)
		return cachefiles_req_end(req, 0);

	guard(spinlock)(&req->table->ids.xa_lock);
	if (!cachefiles_req_is_mine(req))
		return false;
	cachefiles_req_set_state(req, CACHEFILES_REQ_SENT);
	return true;
}

/**
 * cachefiles_req_unsend - put back a request that could not be delivered
 * @req: the request, from cachefiles_req_next()
 * @place: where to
 *
 * Does nothing if the request was ended or taken back meanwhile.
 */
void cachefiles_req_unsend(struct cachefiles_req *req, enum cachefiles_req_place place)
{
	struct cachefiles_reqs *table = req->table;

	scoped_guard(spinlock, &table->ids.xa_lock) {
		if (!cachefiles_req_is_mine(req))
			return;
		cachefiles_req_set_state(req, CACHEFILES_REQ_QUEUED);
		if (place == CACHEFILES_REQ_FIRST)
			list_add(&req->link, &table->queue);
		else if (place == CACHEFILES_REQ_LAST)
			list_add_tail(&req->link, &table->queue);
		else
			list_add_tail(&req->link, &table->deferred);
	}
	if (place == CACHEFILES_REQ_LATER)
		schedule_delayed_work(&table->defer_work, CACHEFILES_DEFER_DELAY);
	else
		cachefiles_reqs_wake(table);
}

/* To DONE and out of everything, in one step: the only way out of the table. */
static void cachefiles_req_finish_locked(struct cachefiles_req *req)
{
	list_del_init(&req->link);
	__xa_erase(&req->table->ids, req->id);
	req->table->nr_live--;
	cachefiles_req_set_state(req, CACHEFILES_REQ_DONE);
}

/**
 * cachefiles_req_take - claim the request that an answer is for
 * @table: the table
 * @id: msg_id in the answer
 * @opcode: what the answer answers
 * @object: the object it came for, or NULL if the answer doesn't say
 *
 * Return: the request, DONE, with the table's reference: the caller must see
 * its end through.  NULL if no delivered request matches; nothing has changed.
 */
struct cachefiles_req *cachefiles_req_take(struct cachefiles_reqs *table, u32 id,
					   enum cachefiles_opcode opcode,
					   struct cachefiles_od_object *object)
{
	struct cachefiles_req *req;

	guard(spinlock)(&table->ids.xa_lock);
	req = xa_load(&table->ids, id);
	if (!req || req->state != CACHEFILES_REQ_SENT || req->opcode != opcode ||
	    (object && req->object != object))
		return NULL;
	cachefiles_req_finish_locked(req);
	return req;
}

/**
 * cachefiles_req_claim - claim a request in order to end it
 * @req: the request; the caller has a reference of its own
 *
 * Return: true if the caller now has the table's reference too and must see the
 * end through; false if somebody else does.
 */
bool cachefiles_req_claim(struct cachefiles_req *req)
{
	guard(spinlock)(&req->table->ids.xa_lock);
	if (req->state == CACHEFILES_REQ_NEW || req->state == CACHEFILES_REQ_DONE)
		return false;
	cachefiles_req_finish_locked(req);
	return true;
}

/**
 * cachefiles_req_recall - claim a request that a daemon has, or is being given
 * @req: the request; the caller has a reference of its own
 *
 * Return: as cachefiles_req_claim(); false for a request that no daemon has
 * seen, too.
 */
bool cachefiles_req_recall(struct cachefiles_req *req)
{
	guard(spinlock)(&req->table->ids.xa_lock);
	if (req->state != CACHEFILES_REQ_SENDING && req->state != CACHEFILES_REQ_SENT)
		return false;
	cachefiles_req_finish_locked(req);
	return true;
}

/**
 * cachefiles_req_end - end a request, unless somebody else has
 * @req: the request; the caller has a reference of its own
 * @error: 0 or -errno
 *
 * For what is over when it has been delivered, a CLOSE or a FULL.  Answers come
 * through cachefiles_req_take(), the death of the daemon through
 * cachefiles_reqs_kill(), and who drops an object claims its requests.
 *
 * Context: may sleep; no lock of an object or of the table held.
 * Return: whether it was this call that ended it.
 */
bool cachefiles_req_end(struct cachefiles_req *req, int error)
{
	if (!cachefiles_req_claim(req))
		return false;
	if (req->end)
		req->end(req, error);
	cachefiles_req_put(req);
	return true;
}

/**
 * cachefiles_req_grow - make a READ ask for more
 * @req: the request
 * @last: its new last granule
 *
 * Context: under the object's lock; @req is not in the object's in-flight tree.
 * Return: false if it has been picked for delivery and is as it is.
 */
bool cachefiles_req_grow(struct cachefiles_req *req, unsigned long last)
{
	guard(spinlock)(&req->table->ids.xa_lock);
	if (req->state != CACHEFILES_REQ_QUEUED && req->state != CACHEFILES_REQ_HELD)
		return false;
	req->span.last = last;
	return true;
}

/**
 * cachefiles_req_is_new - may a daemon have to be told of a request?
 * @req: the request, in flight
 *
 * Context: under the object's lock.
 * Return: whether it, or the OPEN that it is behind, may be there to be picked.
 */
bool cachefiles_req_is_new(struct cachefiles_req *req)
{
	guard(spinlock)(&req->table->ids.xa_lock);
	return req->state == CACHEFILES_REQ_QUEUED || req->state == CACHEFILES_REQ_HELD;
}

/**
 * cachefiles_req_hold - keep a READ back until its object is opened again
 * @req: the request
 * @held: the object's list
 *
 * Whatever was delivered of it is void.  Does nothing to a request that is DONE
 * or on @held already.
 *
 * Return: whether a daemon had it, or was being given it.
 */
bool cachefiles_req_hold(struct cachefiles_req *req, struct list_head *held)
{
	bool delivered;

	guard(spinlock)(&req->table->ids.xa_lock);
	if (req->state == CACHEFILES_REQ_DONE || req->state == CACHEFILES_REQ_HELD)
		return false;
	delivered = req->state != CACHEFILES_REQ_QUEUED;
	cachefiles_req_set_state(req, CACHEFILES_REQ_HELD);
	list_move_tail(&req->link, held);
	return delivered;
}

/**
 * cachefiles_reqs_release - queue what was held for an object
 * @table: the table
 * @held: the object's list
 * @object_id: what the daemon now knows the object by
 */
void cachefiles_reqs_release(struct cachefiles_reqs *table, struct list_head *held, u32 object_id)
{
	struct cachefiles_req *req;

	guard(spinlock)(&table->ids.xa_lock);
	list_for_each_entry(req, held, link) {
		req->object_id = object_id;
		cachefiles_req_set_state(req, CACHEFILES_REQ_QUEUED);
	}
	list_splice_tail_init(held, &table->queue);
}

/**
 * cachefiles_reqs_move_held - take over what is held for an object
 * @table: the table
 * @held: the object's list
 * @list: where to, for cachefiles_reqs_claim_held()
 */
void cachefiles_reqs_move_held(struct cachefiles_reqs *table, struct list_head *held,
			       struct list_head *list)
{
	guard(spinlock)(&table->ids.xa_lock);
	list_splice_tail_init(held, list);
}

/**
 * cachefiles_reqs_claim_held - claim one of the requests held for an object
 * @table: the table
 * @held: the object's list, or one that it was moved to
 *
 * Return: as cachefiles_req_take(); NULL when there are no more.
 */
struct cachefiles_req *cachefiles_reqs_claim_held(struct cachefiles_reqs *table,
						  struct list_head *held)
{
	struct cachefiles_req *req;

	guard(spinlock)(&table->ids.xa_lock);
	req = list_first_entry_or_null(held, struct cachefiles_req, link);
	if (req)
		cachefiles_req_finish_locked(req);
	return req;
}

/*
 * Some request that is live, or with @notices one that has no answer, claimed;
 * NULL if there is none.
 */
static struct cachefiles_req *cachefiles_reqs_claim_any(struct cachefiles_reqs *table,
							unsigned long *cursor, bool notices)
{
	struct cachefiles_req *req;

	guard(spinlock)(&table->ids.xa_lock);
	for (req = xa_find(&table->ids, cursor, ULONG_MAX, XA_PRESENT); req;
	     req = xa_find_after(&table->ids, cursor, ULONG_MAX, XA_PRESENT)) {
		if (req->state == CACHEFILES_REQ_NEW || (notices && req->object))
			continue;
		cachefiles_req_finish_locked(req);
		return req;
	}
	return NULL;
}

/**
 * cachefiles_reqs_kill - the daemon has gone: end everything with -EIO
 * @table: the table
 *
 * From here on nothing can be submitted, until cachefiles_reqs_revive().
 *
 * Context: may sleep; no locks held that an end function takes.
 */
void cachefiles_reqs_kill(struct cachefiles_reqs *table)
{
	struct cachefiles_req *req;
	unsigned long cursor = 0;

	/* Submission tests this under the same lock: none gets in after it. */
	scoped_guard(spinlock, &table->ids.xa_lock) {
		table->dead = true;
		table->pollwq = NULL;
	}
	while ((req = cachefiles_reqs_claim_any(table, &cursor, false))) {
		if (req->end)
			req->end(req, -EIO);
		cachefiles_req_put(req);
	}
}

/**
 * cachefiles_reqs_park - the daemon has gone, but another one may come
 * @table: the table
 *
 * Requests stay, and can be submitted.  What the daemon would only have been
 * told is dropped: the next one does not know the objects.
 *
 * Context: may sleep.
 */
void cachefiles_reqs_park(struct cachefiles_reqs *table)
{
	struct cachefiles_req *req;
	unsigned long cursor = 0;

	scoped_guard(spinlock, &table->ids.xa_lock)
		table->pollwq = NULL;
	while ((req = cachefiles_reqs_claim_any(table, &cursor, true)))
		cachefiles_req_put(req);
}

/**
 * cachefiles_reqs_revive - a daemon is there
 * @table: the table
 * @pollwq: where its threads wait; to be kept until cachefiles_reqs_kill() or
 *	cachefiles_reqs_park()
 */
void cachefiles_reqs_revive(struct cachefiles_reqs *table, wait_queue_head_t *pollwq)
{
	guard(spinlock)(&table->ids.xa_lock);
	table->dead = false;
	table->pollwq = pollwq;
}

/**
 * cachefiles_reqs_readable - would cachefiles_req_next() find something?
 * @table: the table
 *
 * Context: any; takes no lock.  A caller that is to sleep on the answer is on
 * the wait queue before it asks.
 * Return: whether the queue has something.
 */
bool cachefiles_reqs_readable(struct cachefiles_reqs *table)
{
	return !list_empty_careful(&table->queue);
}
