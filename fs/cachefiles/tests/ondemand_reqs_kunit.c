// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of the table of requests: each move of a request from each place,
 * and what the moves are in detail.  For those that meet see
 * ondemand_races_kunit.c.
 */
#include "ondemand_reqs_kunit.h"

/**
 * struct move - what can be done with a request
 * @what: the move
 * @why: why it has an effect from these places only
 * @fn: makes it
 * @from: the places where it has an effect
 * @to: where that leads, or REQS_KUNIT_LOST for "it stays where it is"
 * @never: places from which it is not to be made
 * @takes_ref: it begins a delivery
 * @puts_ref: it ends a delivery
 */
struct move {
	const char	*what;
	const char	*why;
	bool		(*fn)(struct reqs_kunit *rk, struct cachefiles_req *req);
	unsigned int	from;
	unsigned int	to;
	unsigned int	never;
	bool		takes_ref;
	bool		puts_ref;
};

#define NEW		BIT(CACHEFILES_REQ_NEW)
#define QUEUED		BIT(CACHEFILES_REQ_QUEUED)
#define HELD		BIT(CACHEFILES_REQ_HELD)
#define SENDING		BIT(CACHEFILES_REQ_SENDING)
#define SENT		BIT(CACHEFILES_REQ_SENT)
#define DONE		BIT(CACHEFILES_REQ_DONE)
#define DEFERRED	BIT(REQS_KUNIT_DEFERRED)
#define LIVE		(QUEUED | HELD | SENDING | SENT | DEFERRED)
#define STAYS		REQS_KUNIT_LOST

static bool move_submit(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return !cachefiles_req_submit(req, NULL);
}

static bool move_submit_held(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return !cachefiles_req_submit(req, &rk->held);
}

static bool move_answer_other_kind(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return cachefiles_req_take(rk->table, req->id, CACHEFILES_OP_OPEN, req->object) ||
	       cachefiles_req_take(rk->table, req->id, CACHEFILES_OP_CLOSE, req->object);
}

static bool move_answer_other_object(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return cachefiles_req_take(rk->table, req->id, req->opcode, rk->object + 1);
}

static bool move_answer_other_id(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return cachefiles_req_take(rk->table, 0, req->opcode, req->object) ||
	       cachefiles_req_take(rk->table, req->id + 1, req->opcode, req->object) ||
	       cachefiles_req_take(rk->table, U32_MAX, req->opcode, req->object);
}

static bool move_claim(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	if (!cachefiles_req_claim(req))
		return false;
	req->end(req, 0);
	cachefiles_req_put(req);
	return true;
}

static bool move_recall(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	if (!cachefiles_req_recall(req))
		return false;
	req->end(req, 0);
	cachefiles_req_put(req);
	return true;
}

static bool move_park(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	u8 before = req->state;

	cachefiles_reqs_park(rk->table);
	cachefiles_reqs_revive(rk->table, &rk->pollwq);
	return req->state != before;
}

static bool move_grow(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	unsigned long last = req->span.last;
	bool grown = cachefiles_req_grow(req, last + 1);

	return grown && req->span.last == last + 1;
}

static const struct move moves[] = {
	{ "submit", "once", move_submit,
	  NEW, CACHEFILES_REQ_QUEUED, .never = LIVE | DONE },
	{ "submit held", "once", move_submit_held,
	  NEW, CACHEFILES_REQ_HELD, .never = LIVE | DONE },
	{ "pick for delivery", "only the queue is delivered", reqs_kunit_pick,
	  QUEUED, CACHEFILES_REQ_SENDING, .takes_ref = true },
	{ "note as sent", "the delivery may be void", reqs_kunit_sent,
	  SENDING, CACHEFILES_REQ_SENT, .puts_ref = true },
	{ "put back first", "the delivery may be void", reqs_kunit_unsend_first,
	  SENDING, CACHEFILES_REQ_QUEUED, .puts_ref = true },
	{ "put back last", "the delivery may be void", reqs_kunit_unsend_last,
	  SENDING, CACHEFILES_REQ_QUEUED, .puts_ref = true },
	{ "put aside", "the delivery may be void", reqs_kunit_unsend_later,
	  SENDING, REQS_KUNIT_DEFERRED, .puts_ref = true },
	{ "deferred work", "only what was put aside comes back", reqs_kunit_undefer,
	  DEFERRED, CACHEFILES_REQ_QUEUED },
	{ "answer", "the daemon can answer only what it has", reqs_kunit_answer,
	  SENT, CACHEFILES_REQ_DONE },
	{ "answer as another kind", "the opcode must match", move_answer_other_kind,
	  0, STAYS },
	{ "answer for another object", "the object must match", move_answer_other_object,
	  0, STAYS },
	{ "answer to another id", "the id must match", move_answer_other_id,
	  0, STAYS },
	{ "claim", "whoever comes first has it", move_claim,
	  LIVE, CACHEFILES_REQ_DONE },
	{ "recall", "only what the daemon has, or is being given", move_recall,
	  SENDING | SENT, CACHEFILES_REQ_DONE },
	{ "park", "what has an answer stays for the next daemon", move_park,
	  0, STAYS },
	{ "cancel", "whoever comes first ends it", reqs_kunit_cancel,
	  LIVE, CACHEFILES_REQ_DONE },
	{ "grow", "a message that is being made is as it is", move_grow,
	  QUEUED | DEFERRED | HELD, STAYS },
	{ "hold", "what is over is over", reqs_kunit_hold,
	  LIVE & ~HELD, CACHEFILES_REQ_HELD, .never = NEW },
	{ "release", "only what was held", reqs_kunit_release,
	  HELD, CACHEFILES_REQ_QUEUED },
	{ "claim what is held", "only what was held", reqs_kunit_claim_held,
	  HELD, CACHEFILES_REQ_DONE },
	{ "kill", "all but what is not submitted", reqs_kunit_kill,
	  LIVE, CACHEFILES_REQ_DONE },
};

KUNIT_ARRAY_PARAM_DESC(moves, moves, what);

/* The legal moves have their effect, all others have none whatever. */
static void reqs_move(struct kunit *test)
{
	const struct move *move = test->param_value;
	struct reqs_kunit *rk = test->priv;
	unsigned int from, to;

	for (from = 0; from < REQS_KUNIT_NR_PLACES; from++) {
		bool legal = move->from & BIT(from);
		bool sending = from == CACHEFILES_REQ_SENDING;
		struct cachefiles_req *req;
		unsigned long last;
		u32 object_id;

		if (move->never & BIT(from))
			continue;
		req = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);
		req->span.start = 3;
		req->span.last = 5;
		req->object_id = 7;
		reqs_kunit_bring(test, req, from);
		last = req->span.last;
		object_id = req->object_id;
		if (move->puts_ref && !sending)
			cachefiles_req_get(req);

		KUNIT_EXPECT_EQ_MSG(test, move->fn(rk, req), legal, "%s from %s: %s",
				    move->what, reqs_kunit_places[from], move->why);

		to = legal && move->to != STAYS ? move->to : from;
		sending = (sending && !move->puts_ref) || (legal && move->takes_ref);
		REQS_EXPECT(test, req, to, reqs_kunit_refs(to, sending));
		KUNIT_EXPECT_EQ(test, rk->table->nr_live, !!(BIT(to) & LIVE));
		if (!legal) {
			KUNIT_EXPECT_EQ(test, req->span.last, last);
			KUNIT_EXPECT_EQ(test, req->object_id, object_id);
		}
		/* Nothing is left for the next round. */
		if (sending)
			cachefiles_req_put(req);
		reqs_kunit_cancel(rk, req);
	}
}

static void reqs_alloc(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);
	struct cachefiles_req *other = reqs_kunit_new(test, CACHEFILES_OP_CLOSE, NULL);

	KUNIT_EXPECT_EQ(test, req->id, 1);
	KUNIT_EXPECT_EQ(test, other->id, 2);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->object->ref), 2);
	/* What is not submitted is nobody's business. */
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 0);
	KUNIT_EXPECT_FALSE(test, cachefiles_reqs_readable(rk->table));
	cachefiles_req_discard(NULL);
	cachefiles_req_put(NULL);
}

/* A request that nobody else has goes with its end, and lets go of its object. */
static void reqs_last_reference(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req;

	req = cachefiles_req_alloc(rk->table, CACHEFILES_OP_READ, rk->object, NULL);
	KUNIT_ASSERT_NOT_NULL(test, req);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->object->ref), 2);
	cachefiles_req_discard(req);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->object->ref), 1);
	KUNIT_EXPECT_TRUE(test, xa_empty(&rk->table->ids));

	req = cachefiles_req_alloc(rk->table, CACHEFILES_OP_READ, rk->object, NULL);
	KUNIT_ASSERT_NOT_NULL(test, req);
	KUNIT_ASSERT_EQ(test, cachefiles_req_submit(req, NULL), 0);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->object->ref), 2);
	cachefiles_reqs_kill(rk->table);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->object->ref), 1);
}

/* The id space is walked around, and what lives in it is stepped over. */
static void reqs_ids_are_cyclic(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req;
	static const u32 ids[] = { 1, 2, U32_MAX - 1, U32_MAX, 3, 4 };
	int i;

	for (i = 0; i < ARRAY_SIZE(ids); i++) {
		if (ids[i] == U32_MAX - 1)
			rk->table->next_id = U32_MAX - 1;
		req = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
		KUNIT_EXPECT_EQ(test, req->id, ids[i]);
		reqs_kunit_bring(test, req, CACHEFILES_REQ_SENT);
	}
	/* An id that is free again is not the next one: late answers find nothing. */
	KUNIT_EXPECT_TRUE(test, reqs_kunit_answer(rk, rk->reqs[5]));
	req = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
	KUNIT_EXPECT_EQ(test, req->id, 5);
}

static void reqs_fifo(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req[6];
	int i;

	for (i = 0; i < ARRAY_SIZE(req); i++) {
		req[i] = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
		KUNIT_ASSERT_EQ(test, cachefiles_req_submit(req[i], i == 2 ? &rk->held : NULL), 0);
	}
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[0]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[1]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[3]));
	/* In front of all, behind all, and nowhere for now. */
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_first(rk, req[1]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_last(rk, req[0]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_later(rk, req[3]));
	/* What was held comes behind what is there. */
	KUNIT_EXPECT_TRUE(test, reqs_kunit_release(rk, req[2]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_undefer(rk, req[3]));

	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[1]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[4]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[5]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[0]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[2]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[3]));
	KUNIT_EXPECT_FALSE(test, cachefiles_reqs_readable(rk->table));
	for (i = 0; i < ARRAY_SIZE(req); i++)
		KUNIT_EXPECT_TRUE(test, reqs_kunit_sent(rk, req[i]));
}

/* Whatever waits for the object leaves in its order, under the new name. */
static void reqs_release_all(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req[4];
	int i;

	for (i = 0; i < ARRAY_SIZE(req); i++) {
		req[i] = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
		reqs_kunit_bring(test, req[i], i ? CACHEFILES_REQ_HELD : CACHEFILES_REQ_SENT);
	}
	KUNIT_EXPECT_TRUE(test, reqs_kunit_hold(rk, req[0]));
	KUNIT_EXPECT_FALSE(test, cachefiles_reqs_readable(rk->table));
	cachefiles_reqs_release(rk->table, &rk->held, 77);
	for (i = 0; i < ARRAY_SIZE(req); i++) {
		REQS_EXPECT(test, req[i], CACHEFILES_REQ_QUEUED, 2);
		KUNIT_EXPECT_EQ(test, req[i]->object_id, 77);
	}
	for (i = 1; i <= ARRAY_SIZE(req); i++) {
		KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[i % 4]));
		KUNIT_EXPECT_TRUE(test, reqs_kunit_sent(rk, req[i % 4]));
	}
}

/* What failed with an OPEN is taken as it is: what is held from then on is not in it. */
static void reqs_move_held(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req[4], *claimed;
	LIST_HEAD(failed);
	int i;

	for (i = 0; i < ARRAY_SIZE(req); i++)
		req[i] = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
	for (i = 0; i < 3; i++)
		KUNIT_ASSERT_EQ(test, cachefiles_req_submit(req[i], &rk->held), 0);
	cachefiles_reqs_move_held(rk->table, &rk->held, &failed);
	KUNIT_ASSERT_EQ(test, cachefiles_req_submit(req[3], &rk->held), 0);
	/* They can still be ended one by one, wherever they are. */
	KUNIT_EXPECT_TRUE(test, reqs_kunit_cancel(rk, req[1]));
	for (i = 0; i < 3; i += 2) {
		claimed = cachefiles_reqs_claim_held(rk->table, &failed);
		KUNIT_ASSERT_PTR_EQ(test, claimed, req[i]);
		claimed->end(claimed, -ENOENT);
		cachefiles_req_put(claimed);
		REQS_EXPECT_ENDED(test, req[i], -ENOENT);
	}
	KUNIT_EXPECT_NULL(test, cachefiles_reqs_claim_held(rk->table, &failed));
	REQS_EXPECT(test, req[3], CACHEFILES_REQ_HELD, 2);
}

/* The message is of what the READ was when it was picked. */
static void reqs_grow_before_pick(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
	u64 first, last;

	req->span.start = 10;
	req->span.last = 19;
	reqs_kunit_bring(test, req, CACHEFILES_REQ_QUEUED);
	KUNIT_EXPECT_TRUE(test, cachefiles_req_grow(req, 29));
	KUNIT_ASSERT_PTR_EQ(test, cachefiles_req_next(rk->table, &first, &last), req);
	KUNIT_EXPECT_EQ(test, first, 10);
	KUNIT_EXPECT_EQ(test, last, 29);
	KUNIT_EXPECT_FALSE(test, cachefiles_req_grow(req, 39));
	KUNIT_EXPECT_EQ(test, req->span.last, 29);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_sent(rk, req));
}

static const struct notice {
	const char		*what;
	enum cachefiles_opcode	opcode;
} notices[] = {
	{ "CLOSE", CACHEFILES_OP_CLOSE },
	{ "FULL", CACHEFILES_OP_FULL },
};

KUNIT_ARRAY_PARAM_DESC(notices, notices, what);

/* It has no answer: that it is in the daemon's buffer is its end. */
static void reqs_notice_ends_when_sent(struct kunit *test)
{
	enum cachefiles_opcode opcode = ((const struct notice *)test->param_value)->opcode;
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, opcode, NULL);

	reqs_kunit_bring(test, req, CACHEFILES_REQ_SENDING);
	KUNIT_EXPECT_FALSE(test, reqs_kunit_answer(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_sent(rk, req));
	REQS_EXPECT_ENDED(test, req, 0);

	/* A buffer that is too small does not lose it. */
	req = reqs_kunit_new(test, opcode, NULL);
	reqs_kunit_bring(test, req, CACHEFILES_REQ_SENDING);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_last(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req));
	cachefiles_reqs_kill(rk->table);
	KUNIT_EXPECT_FALSE(test, reqs_kunit_sent(rk, req));
	REQS_EXPECT_ENDED(test, req, -EIO);

	/* Nobody need be told of its end. */
	cachefiles_reqs_revive(rk->table, &rk->pollwq);
	req = cachefiles_req_alloc(rk->table, opcode, NULL, NULL);
	KUNIT_ASSERT_NOT_NULL(test, req);
	KUNIT_EXPECT_EQ(test, cachefiles_req_submit(req, NULL), 0);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_sent(rk, req));
	KUNIT_EXPECT_TRUE(test, xa_empty(&rk->table->ids));
}

/* What a daemon was only to be told is of no use to the next one. */
static void reqs_park_drops_notices(struct kunit *test)
{
	enum cachefiles_opcode opcode = ((const struct notice *)test->param_value)->opcode;
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *read = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);
	struct cachefiles_req *notice = reqs_kunit_new(test, opcode, NULL);
	struct cachefiles_req *unsent = reqs_kunit_new(test, opcode, NULL);

	KUNIT_ASSERT_EQ(test, cachefiles_req_submit(notice, NULL), 0);
	KUNIT_ASSERT_EQ(test, cachefiles_req_submit(read, NULL), 0);
	cachefiles_reqs_park(rk->table);
	KUNIT_EXPECT_EQ(test, notice->state, CACHEFILES_REQ_DONE);
	REQS_EXPECT(test, read, CACHEFILES_REQ_QUEUED, 2);
	REQS_EXPECT(test, unsent, CACHEFILES_REQ_NEW, 2);
	/* Nobody is there to be woken, and requests can be made. */
	cachefiles_reqs_wake(rk->table);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 0);
	KUNIT_EXPECT_EQ(test, cachefiles_req_submit(unsent, NULL), 0);
	/* What it is ended with does not matter: count it for the fixture. */
	notice->end(notice, 0);
}

static void reqs_count_live(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req[3];
	int i;

	KUNIT_EXPECT_EQ(test, rk->table->max_live, 0);
	for (i = 0; i < ARRAY_SIZE(req); i++) {
		req[i] = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
		KUNIT_EXPECT_EQ(test, rk->table->max_live, i);
		KUNIT_ASSERT_EQ(test, cachefiles_req_submit(req[i], i ? NULL : &rk->held), 0);
		KUNIT_EXPECT_EQ(test, rk->table->nr_live, i + 1);
		KUNIT_EXPECT_EQ(test, rk->table->max_live, i + 1);
	}
	KUNIT_EXPECT_TRUE(test, reqs_kunit_cancel(rk, req[1]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_claim_held(rk, req[0]));
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 1);
	/* A delivery that is put back is no second request. */
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req[2]));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_first(rk, req[2]));
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 1);
	cachefiles_reqs_kill(rk->table);
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 0);
	KUNIT_EXPECT_EQ(test, rk->table->max_live, 3);
}

static struct kunit_case reqs_cases[] = {
	KUNIT_CASE_PARAM(reqs_move, moves_gen_params),
	KUNIT_CASE(reqs_alloc),
	KUNIT_CASE(reqs_last_reference),
	KUNIT_CASE(reqs_ids_are_cyclic),
	KUNIT_CASE(reqs_fifo),
	KUNIT_CASE(reqs_release_all),
	KUNIT_CASE(reqs_move_held),
	KUNIT_CASE(reqs_grow_before_pick),
	KUNIT_CASE_PARAM(reqs_notice_ends_when_sent, notices_gen_params),
	KUNIT_CASE_PARAM(reqs_park_drops_notices, notices_gen_params),
	KUNIT_CASE(reqs_count_live),
	{}
};

static struct kunit_suite reqs_suite = {
	.name		= "cachefiles_ondemand_reqs",
	.init		= reqs_kunit_init,
	.exit		= reqs_kunit_exit,
	.test_cases	= reqs_cases,
};

kunit_test_suite(reqs_suite);
