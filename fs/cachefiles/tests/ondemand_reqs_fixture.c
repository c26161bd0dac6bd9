// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A request table to test, and what the rest of the mode does to one, as moves
 * that tell whether they had an effect.
 */
#include <linux/completion.h>
#include <linux/kthread.h>
#include <linux/slab.h>
#include "ondemand_reqs_kunit.h"

const char * const reqs_kunit_places[] = {
	[CACHEFILES_REQ_NEW]	= "new",
	[CACHEFILES_REQ_QUEUED]	= "queued",
	[CACHEFILES_REQ_HELD]	= "held",
	[CACHEFILES_REQ_SENDING] = "being sent",
	[CACHEFILES_REQ_SENT]	= "sent",
	[CACHEFILES_REQ_DONE]	= "done",
	[REQS_KUNIT_DEFERRED]	= "deferred",
	[REQS_KUNIT_LOST]	= "not where its state says",
};

static void reqs_kunit_end(struct cachefiles_req *req, int error)
{
	struct reqs_kunit *rk = container_of(req->table, struct reqs_kunit, od.reqs);

	rk->errors[req->id % REQS_KUNIT_MAX] = error;
	atomic_inc(&rk->nr_ends[req->id % REQS_KUNIT_MAX]);
}

static int reqs_kunit_wakeup(struct wait_queue_entry *waiter, unsigned int mode, int flags,
			     void *key)
{
	struct reqs_kunit *rk = container_of(waiter, struct reqs_kunit, waiter);

	if (key_to_poll(key) & EPOLLIN)
		atomic_inc(&rk->nr_wakeups);
	return 0;
}

int reqs_kunit_init(struct kunit *test)
{
	struct reqs_kunit *rk = kunit_kzalloc(test, sizeof(*rk), GFP_KERNEL);

	if (!rk)
		return -ENOMEM;
	rk->object = kunit_kzalloc(test, sizeof(*rk->object), GFP_KERNEL);
	if (!rk->object)
		return -ENOMEM;
	refcount_set(&rk->object->ref, 1); /* the test's */
	INIT_LIST_HEAD(&rk->held);
	init_waitqueue_head(&rk->pollwq);
	init_waitqueue_func_entry(&rk->waiter, reqs_kunit_wakeup);
	add_wait_queue(&rk->pollwq, &rk->waiter);
	refcount_set(&rk->od.ref, 1); /* the test's */
	cachefiles_ondemand_watch_init(&rk->od);
	rk->table = &rk->od.reqs;
	cachefiles_reqs_init(rk->table);
	/* For a busy machine a tenth of a second is nothing: let time stand still. */
	disable_delayed_work(&rk->table->defer_work);
	cachefiles_reqs_revive(rk->table, &rk->pollwq);
	test->priv = rk;
	return 0;
}

/* Whatever a test did: in the end nothing is left, and nothing has leaked. */
void reqs_kunit_exit(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	unsigned int i;

	if (!rk)
		return;
	cancel_delayed_work_sync(&rk->od.watch_work);
	cachefiles_reqs_kill(rk->table);
	for (i = 0; i < rk->nr_reqs; i++) {
		struct cachefiles_req *req = rk->reqs[i];
		bool submitted = req->state != CACHEFILES_REQ_NEW;

		KUNIT_EXPECT_EQ(test, reqs_kunit_nr_ends(rk, req), submitted);
		if (!submitted)
			cachefiles_req_discard(req);
		KUNIT_EXPECT_EQ(test, refcount_read(&req->ref), 1);
		cachefiles_req_put(req);
	}
	KUNIT_EXPECT_TRUE(test, xa_empty(&rk->table->ids));
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 0);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->object->ref), 1);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->od.ref), 1);
	KUNIT_EXPECT_TRUE(test, list_empty(&rk->table->queue));
	KUNIT_EXPECT_TRUE(test, list_empty(&rk->table->deferred));
	KUNIT_EXPECT_TRUE(test, list_empty(&rk->held));
	cachefiles_reqs_destroy(rk->table);
}

/* A request that is NEW, with a reference for the test. */
struct cachefiles_req *reqs_kunit_new(struct kunit *test, enum cachefiles_opcode opcode,
				      struct cachefiles_od_object *object)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req;

	KUNIT_ASSERT_LT(test, rk->nr_reqs, REQS_KUNIT_MAX);
	req = cachefiles_req_alloc(rk->table, opcode, object, reqs_kunit_end);
	KUNIT_ASSERT_NOT_NULL(test, req);
	rk->reqs[rk->nr_reqs++] = cachefiles_req_get(req);
	KUNIT_ASSERT_EQ(test, reqs_kunit_nr_ends(rk, req), 0);
	REQS_EXPECT(test, req, CACHEFILES_REQ_NEW, 2);
	return req;
}

/*
 * Bring a NEW request to a place on the shortest way; with nothing else in the
 * queue.  On the way to SENDING this task becomes the sender.
 */
struct cachefiles_req *reqs_kunit_bring(struct kunit *test, struct cachefiles_req *req,
					unsigned int place)
{
	struct reqs_kunit *rk = test->priv;
	bool sending = place == CACHEFILES_REQ_SENDING;

	if (place == CACHEFILES_REQ_NEW)
		return req;
	KUNIT_ASSERT_EQ(test, cachefiles_req_submit(req, place == CACHEFILES_REQ_HELD ?
						    &rk->held : NULL), 0);
	if (sending || place == CACHEFILES_REQ_SENT || place == REQS_KUNIT_DEFERRED)
		KUNIT_ASSERT_TRUE(test, reqs_kunit_pick(rk, req));
	if (place == CACHEFILES_REQ_SENT)
		KUNIT_ASSERT_TRUE(test, reqs_kunit_sent(rk, req));
	if (place == REQS_KUNIT_DEFERRED)
		KUNIT_ASSERT_TRUE(test, reqs_kunit_unsend_later(rk, req));
	if (place == CACHEFILES_REQ_DONE)
		KUNIT_ASSERT_TRUE(test, reqs_kunit_cancel(rk, req));
	REQS_EXPECT(test, req, place, reqs_kunit_refs(place, sending));
	return req;
}

static unsigned int times_on(struct list_head *list, struct cachefiles_req *req)
{
	struct cachefiles_req *other;
	unsigned int n = 0;

	list_for_each_entry(other, list, link)
		n += other == req;
	return n;
}

/*
 * Where a request is.  Its state, the index and the lists must agree: it is on
 * exactly one list, or on none while it is new, being sent, sent or done.
 */
unsigned int reqs_kunit_place(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	unsigned int queued, deferred, held;
	bool indexed, done;

	guard(spinlock)(&rk->table->ids.xa_lock);
	queued = times_on(&rk->table->queue, req);
	deferred = times_on(&rk->table->deferred, req);
	held = times_on(&rk->held, req);
	indexed = xa_load(&rk->table->ids, req->id) == req;
	done = req->state == CACHEFILES_REQ_DONE;
	if (indexed == done)
		return REQS_KUNIT_LOST;
	if (req->state == CACHEFILES_REQ_QUEUED && queued + deferred == 1 && !held)
		return queued ? CACHEFILES_REQ_QUEUED : REQS_KUNIT_DEFERRED;
	if (req->state == CACHEFILES_REQ_HELD && held == 1 && !queued && !deferred)
		return CACHEFILES_REQ_HELD;
	if (req->state == CACHEFILES_REQ_QUEUED || req->state == CACHEFILES_REQ_HELD ||
	    !list_empty(&req->link))
		return REQS_KUNIT_LOST;
	return req->state;
}

struct reqs_kunit_task {
	struct reqs_kunit	*rk;
	struct cachefiles_req	*req;
	bool			(*fn)(struct reqs_kunit *rk, struct cachefiles_req *req);
	bool			ret;
	struct completion	done;
};

static int reqs_kunit_task(void *data)
{
	struct reqs_kunit_task *task = data;

	task->ret = task->fn(task->rk, task->req);
	complete(&task->done);
	return 0;
}

/* Make a move as another task. */
bool reqs_kunit_run(struct kunit *test, bool (*fn)(struct reqs_kunit *, struct cachefiles_req *),
		    struct cachefiles_req *req)
{
	struct reqs_kunit_task task = { .rk = test->priv, .req = req, .fn = fn };
	struct task_struct *thread;

	init_completion(&task.done);
	thread = kthread_run(reqs_kunit_task, &task, "reqs_kunit");
	KUNIT_ASSERT_FALSE(test, IS_ERR(thread));
	wait_for_completion(&task.done);
	return task.ret;
}

/*
 * The moves.  Each returns whether it had an effect on the request.  Those that
 * end a delivery put its reference.
 */

/* The oldest in the queue must be this one; the reference is the delivery's. */
bool reqs_kunit_pick(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	u64 first = 0, last = 0;
	struct cachefiles_req *next = cachefiles_req_next(rk->table, &first, &last);

	if (next && next != req) {
		cachefiles_req_unsend(next, CACHEFILES_REQ_FIRST);
		cachefiles_req_put(next);
	}
	return next == req && first == req->span.start && last == req->span.last;
}

bool reqs_kunit_sent(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	bool sent = cachefiles_req_sent(req);

	cachefiles_req_put(req);
	return sent;
}

static bool reqs_kunit_unsend(struct cachefiles_req *req, enum cachefiles_req_place place)
{
	u8 before = req->state;
	bool moved;

	cachefiles_req_unsend(req, place);
	moved = req->state != before;
	cachefiles_req_put(req);
	return moved;
}

bool reqs_kunit_unsend_first(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return reqs_kunit_unsend(req, CACHEFILES_REQ_FIRST);
}

bool reqs_kunit_unsend_last(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return reqs_kunit_unsend(req, CACHEFILES_REQ_LAST);
}

bool reqs_kunit_unsend_later(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return reqs_kunit_unsend(req, CACHEFILES_REQ_LATER);
}

/* Time passes. */
bool reqs_kunit_undefer(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	bool deferred = reqs_kunit_place(rk, req) == REQS_KUNIT_DEFERRED;

	enable_delayed_work(&rk->table->defer_work);
	schedule_delayed_work(&rk->table->defer_work, 0);
	flush_delayed_work(&rk->table->defer_work);
	disable_delayed_work_sync(&rk->table->defer_work);
	return deferred;
}

bool reqs_kunit_answer(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	struct cachefiles_req *taken = cachefiles_req_take(rk->table, req->id, req->opcode,
							   req->object);

	if (!taken)
		return false;
	taken->end(taken, REQS_KUNIT_ANSWERED);
	cachefiles_req_put(taken);
	return taken == req;
}

bool reqs_kunit_cancel(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return cachefiles_req_end(req, REQS_KUNIT_CANCELLED);
}

bool reqs_kunit_hold(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	u8 before = req->state;

	cachefiles_req_hold(req, &rk->held);
	return req->state != before;
}

bool reqs_kunit_release(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	u8 before = req->state;

	cachefiles_reqs_release(rk->table, &rk->held, req->object_id + 1);
	return req->state != before;
}

bool reqs_kunit_claim_held(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	struct cachefiles_req *held = cachefiles_reqs_claim_held(rk->table, &rk->held);

	if (!held)
		return false;
	held->end(held, -EIO);
	cachefiles_req_put(held);
	return held == req;
}

/* The daemon goes; and another one comes, so that the test can go on. */
bool reqs_kunit_kill(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	u8 before = req->state;

	cachefiles_reqs_kill(rk->table);
	cachefiles_reqs_revive(rk->table, &rk->pollwq);
	return req->state != before;
}
