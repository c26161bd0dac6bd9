// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * KUnit tests of moves of requests that meet: each pair in both orders, and all
 * of them by chance in several tasks.
 */
#include <linux/kthread.h>
#include <linux/prandom.h>
#include "ondemand_reqs_kunit.h"

typedef bool (*move_fn)(struct reqs_kunit *rk, struct cachefiles_req *req);

static bool submit(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return !cachefiles_req_submit(req, NULL);
}

/* The daemon goes for good. */
static bool die(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	bool moved = reqs_kunit_kill(rk, req);

	cachefiles_reqs_kill(rk->table);
	return moved;
}

static bool grow(struct reqs_kunit *rk, struct cachefiles_req *req)
{
	return cachefiles_req_grow(req, req->span.last + 1);
}

/**
 * struct race - two moves of one request, one after the other
 * @what: the moves, and what comes of them
 * @from: where the request is before; SENDING is with this task
 * @first: the move that comes first
 * @second: the move that comes second
 * @first_wins: whether the first has an effect
 * @second_wins: whether the second has an effect, which it may have as well
 * @to: where the request is after both
 * @error: if that is DONE, what the request was ended with
 */
struct race {
	const char	*what;
	unsigned int	from;
	move_fn		first, second;
	bool		first_wins, second_wins;
	unsigned int	to;
	int		error;
};

#define AT(place)	CACHEFILES_REQ_##place
#define DONE		CACHEFILES_REQ_DONE
#define DEFERRED	REQS_KUNIT_DEFERRED
#define ANSWERED	REQS_KUNIT_ANSWERED
#define CANCELLED	REQS_KUNIT_CANCELLED

static const struct race races[] = {
	{ "cancel, answer: the answer is late",
	  AT(SENT), reqs_kunit_cancel, reqs_kunit_answer, true, false, DONE, CANCELLED },
	{ "answer, cancel: it was answered",
	  AT(SENT), reqs_kunit_answer, reqs_kunit_cancel, true, false, DONE, ANSWERED },
	{ "answer, answer: the second names nothing",
	  AT(SENT), reqs_kunit_answer, reqs_kunit_answer, true, false, DONE, ANSWERED },
	{ "cancel, cancel: one of them ends it",
	  AT(QUEUED), reqs_kunit_cancel, reqs_kunit_cancel, true, false, DONE, CANCELLED },

	{ "hold, sent: the message was void",
	  AT(SENDING), reqs_kunit_hold, reqs_kunit_sent, true, false, AT(HELD) },
	{ "sent, hold: what was sent is void",
	  AT(SENDING), reqs_kunit_sent, reqs_kunit_hold, true, true, AT(HELD) },
	{ "hold, put back first: it is held",
	  AT(SENDING), reqs_kunit_hold, reqs_kunit_unsend_first, true, false, AT(HELD) },
	{ "put back first, hold: it leaves the queue",
	  AT(SENDING), reqs_kunit_unsend_first, reqs_kunit_hold, true, true, AT(HELD) },
	{ "hold, put back last: it is held",
	  AT(SENDING), reqs_kunit_hold, reqs_kunit_unsend_last, true, false, AT(HELD) },
	{ "put back last, hold: it leaves the queue",
	  AT(SENDING), reqs_kunit_unsend_last, reqs_kunit_hold, true, true, AT(HELD) },
	{ "hold, put aside: it is held",
	  AT(SENDING), reqs_kunit_hold, reqs_kunit_unsend_later, true, false, AT(HELD) },
	{ "put aside, hold: the work does not find it",
	  AT(SENDING), reqs_kunit_unsend_later, reqs_kunit_hold, true, true, AT(HELD) },
	{ "hold, pick: it is not in the queue",
	  AT(QUEUED), reqs_kunit_hold, reqs_kunit_pick, true, false, AT(HELD) },
	{ "hold, answer: the answer is to nothing",
	  AT(SENT), reqs_kunit_hold, reqs_kunit_answer, true, false, AT(HELD) },
	{ "answer, hold: it is over",
	  AT(SENT), reqs_kunit_answer, reqs_kunit_hold, true, false, DONE, ANSWERED },
	{ "hold, cancel: it leaves the held list",
	  AT(SENT), reqs_kunit_hold, reqs_kunit_cancel, true, true, DONE, CANCELLED },
	{ "cancel, hold: it is over",
	  AT(SENT), reqs_kunit_cancel, reqs_kunit_hold, true, false, DONE, CANCELLED },
	{ "hold, hold: once",
	  AT(SENT), reqs_kunit_hold, reqs_kunit_hold, true, false, AT(HELD) },

	{ "kill, submit: there is no daemon, and no end",
	  AT(NEW), die, submit, false, false, AT(NEW) },
	{ "submit, kill: ended with it",
	  AT(NEW), submit, die, true, true, DONE, -EIO },
	{ "kill, answer: the answer is late",
	  AT(SENT), die, reqs_kunit_answer, true, false, DONE, -EIO },
	{ "answer, kill: it was answered",
	  AT(SENT), reqs_kunit_answer, die, true, false, DONE, ANSWERED },
	{ "kill, cancel: ended with the daemon",
	  AT(QUEUED), die, reqs_kunit_cancel, true, false, DONE, -EIO },
	{ "cancel, kill: it was cancelled",
	  AT(QUEUED), reqs_kunit_cancel, die, true, false, DONE, CANCELLED },
	{ "kill, sent: nobody will answer",
	  AT(SENDING), die, reqs_kunit_sent, true, false, DONE, -EIO },
	{ "sent, kill: ended with the daemon",
	  AT(SENDING), reqs_kunit_sent, die, true, true, DONE, -EIO },
	{ "kill, put back: there is no queue to go to",
	  AT(SENDING), die, reqs_kunit_unsend_first, true, false, DONE, -EIO },
	{ "put back, kill: found in the queue",
	  AT(SENDING), reqs_kunit_unsend_first, die, true, true, DONE, -EIO },
	{ "kill, put aside: nothing is deferred",
	  AT(SENDING), die, reqs_kunit_unsend_later, true, false, DONE, -EIO },
	{ "put aside, kill: found among the deferred",
	  AT(SENDING), reqs_kunit_unsend_later, die, true, true, DONE, -EIO },
	{ "kill, hold: it is over",
	  AT(SENT), die, reqs_kunit_hold, true, false, DONE, -EIO },
	{ "hold, kill: found on the held list",
	  AT(SENT), reqs_kunit_hold, die, true, true, DONE, -EIO },
	{ "kill, release: it is over",
	  AT(HELD), die, reqs_kunit_release, true, false, DONE, -EIO },
	{ "release, kill: found in the queue",
	  AT(HELD), reqs_kunit_release, die, true, true, DONE, -EIO },
	{ "kill, deferred work: it is over",
	  DEFERRED, die, reqs_kunit_undefer, true, false, DONE, -EIO },

	{ "cancel, sent: the message means nothing",
	  AT(SENDING), reqs_kunit_cancel, reqs_kunit_sent, true, false, DONE, CANCELLED },
	{ "sent, cancel: it was sent",
	  AT(SENDING), reqs_kunit_sent, reqs_kunit_cancel, true, true, DONE, CANCELLED },
	{ "cancel, put back: it is over",
	  AT(SENDING), reqs_kunit_cancel, reqs_kunit_unsend_first, true, false, DONE, CANCELLED },
	{ "put aside, cancel: it leaves the deferred list",
	  AT(SENDING), reqs_kunit_unsend_later, reqs_kunit_cancel, true, true, DONE, CANCELLED },
	{ "cancel, pick: it has left the queue",
	  AT(QUEUED), reqs_kunit_cancel, reqs_kunit_pick, true, false, DONE, CANCELLED },
	{ "cancel, release: it has left the held list",
	  AT(HELD), reqs_kunit_cancel, reqs_kunit_release, true, false, DONE, CANCELLED },
	{ "release, cancel: it leaves the queue",
	  AT(HELD), reqs_kunit_release, reqs_kunit_cancel, true, true, DONE, CANCELLED },
	{ "release, claim what is held: it is no longer",
	  AT(HELD), reqs_kunit_release, reqs_kunit_claim_held, true, false, AT(QUEUED) },
	{ "claim what is held, release: it is over",
	  AT(HELD), reqs_kunit_claim_held, reqs_kunit_release, true, false, DONE, -EIO },
	{ "cancel, deferred work: it is over",
	  DEFERRED, reqs_kunit_cancel, reqs_kunit_undefer, true, false, DONE, CANCELLED },
	{ "grow, cancel: it is over",
	  AT(HELD), grow, reqs_kunit_cancel, true, true, DONE, CANCELLED },
	{ "cancel, grow: somebody else must be asked",
	  AT(HELD), reqs_kunit_cancel, grow, true, false, DONE, CANCELLED },
	{ "release, grow: not too late in the queue",
	  AT(HELD), reqs_kunit_release, grow, true, true, AT(QUEUED) },
};

KUNIT_ARRAY_PARAM_DESC(races, races, what);

static void races_pair(struct kunit *test)
{
	const struct race *race = test->param_value;
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);

	reqs_kunit_bring(test, req, race->from);
	/* The moves that end a delivery put its reference; here each pair has one. */
	KUNIT_EXPECT_EQ(test, race->first(rk, req), race->first_wins);
	KUNIT_EXPECT_EQ(test, race->second(rk, req), race->second_wins);

	REQS_EXPECT(test, req, race->to, reqs_kunit_refs(race->to, false));
	if (race->to == DONE)
		REQS_EXPECT_ENDED(test, req, race->error);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->object->ref), 2);
}

/* A delivery that is overtaken by the next one of the same request is void. */
static void races_two_senders(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);

	reqs_kunit_bring(test, req, CACHEFILES_REQ_SENDING);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_hold(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_release(rk, req));
	/* Another task picks it: it is SENDING as before, but not by this one. */
	KUNIT_EXPECT_TRUE(test, reqs_kunit_run(test, reqs_kunit_pick, req));
	REQS_EXPECT(test, req, CACHEFILES_REQ_SENDING, 4);
	KUNIT_EXPECT_FALSE(test, cachefiles_req_sent(req));
	cachefiles_req_unsend(req, CACHEFILES_REQ_FIRST);
	REQS_EXPECT(test, req, CACHEFILES_REQ_SENDING, 4);
	cachefiles_req_unsend(req, CACHEFILES_REQ_LAST);
	cachefiles_req_unsend(req, CACHEFILES_REQ_LATER);
	REQS_EXPECT(test, req, CACHEFILES_REQ_SENDING, 4);
	KUNIT_EXPECT_FALSE(test, reqs_kunit_answer(rk, req));
	/* Both deliveries are over. */
	cachefiles_req_put(req);
	cachefiles_req_put(req);
}

/* Whoever is faster with the second delivery, the first one stays void. */
static void races_second_sender_is_faster(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);

	/* The other task is the first sender. */
	KUNIT_ASSERT_EQ(test, cachefiles_req_submit(req, NULL), 0);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_run(test, reqs_kunit_pick, req));
	KUNIT_EXPECT_FALSE(test, cachefiles_req_sent(req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_hold(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_release(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_sent(rk, req));
	/* It is SENT, but the first sender has no part in that. */
	KUNIT_EXPECT_FALSE(test, reqs_kunit_run(test, reqs_kunit_sent, req));
	REQS_EXPECT(test, req, CACHEFILES_REQ_SENT, 2);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_answer(rk, req));
	REQS_EXPECT_ENDED(test, req, ANSWERED);
}

/* The dead take nothing, and what was made before can be given up. */
static void races_nothing_after_death(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);
	struct cachefiles_req *late;

	cachefiles_reqs_kill(rk->table);
	late = reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object);
	KUNIT_EXPECT_EQ(test, cachefiles_req_submit(req, NULL), -EIO);
	KUNIT_EXPECT_EQ(test, cachefiles_req_submit(late, &rk->held), -EIO);
	REQS_EXPECT(test, req, CACHEFILES_REQ_NEW, 2);
	REQS_EXPECT(test, late, CACHEFILES_REQ_NEW, 2);
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 0);
	cachefiles_reqs_kill(rk->table);

	/* The next daemon gets what was not given up. */
	cachefiles_reqs_revive(rk->table, &rk->pollwq);
	KUNIT_EXPECT_EQ(test, cachefiles_req_submit(req, NULL), 0);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_sent(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_answer(rk, req));
	REQS_EXPECT_ENDED(test, req, ANSWERED);
}

/* A kill finds what it has to wherever that is, past what is none of its. */
static void races_kill_in_all_places(struct kunit *test)
{
	/* The queue comes last: nothing may be in it on the way to the others. */
	static const unsigned int places[] = {
		AT(NEW), AT(HELD), AT(SENT), DONE, AT(NEW), DEFERRED, AT(HELD), AT(SENDING),
		AT(SENT), DEFERRED, AT(QUEUED), AT(NEW),
	};
	struct reqs_kunit *rk = test->priv;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(places); i++)
		reqs_kunit_bring(test, reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object),
				 places[i]);
	cachefiles_reqs_kill(rk->table);
	for (i = 0; i < ARRAY_SIZE(places); i++) {
		unsigned int to = places[i] == AT(NEW) ? AT(NEW) : DONE;

		REQS_EXPECT(test, rk->reqs[i], to,
			    reqs_kunit_refs(to, places[i] == AT(SENDING)));
		if (places[i] == AT(SENDING))
			KUNIT_EXPECT_FALSE(test, reqs_kunit_sent(rk, rk->reqs[i]));
		if (to == DONE && places[i] != DONE)
			REQS_EXPECT_ENDED(test, rk->reqs[i], -EIO);
	}
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 0);
	KUNIT_EXPECT_FALSE(test, cachefiles_reqs_readable(rk->table));
	reqs_kunit_undefer(rk, rk->reqs[0]);
	KUNIT_EXPECT_FALSE(test, cachefiles_reqs_readable(rk->table));
}

#define STORM_REQS	200

/**
 * struct storm - moves in several tasks at once
 * @rk: the table
 * @seeds: numbers the tasks
 * @nr_sent: what was in the daemon's hands, void or not
 */
struct storm {
	struct reqs_kunit	*rk;
	atomic_t		seeds;
	atomic_t		nr_sent;
};

/* A thread of the daemon: takes messages, most of them whole. */
static int storm_deliver(void *data)
{
	struct storm *storm = data;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, atomic_inc_return(&storm->seeds));
	while (!kthread_should_stop()) {
		u64 first, last;
		struct cachefiles_req *req = cachefiles_req_next(storm->rk->table, &first, &last);
		u32 chance = prandom_u32_state(&rnd) % 64;

		if (req) {
			if (chance & 1)
				cond_resched();
			if (chance > 12)
				atomic_add(cachefiles_req_sent(req), &storm->nr_sent);
			else
				cachefiles_req_unsend(req, !chance ? CACHEFILES_REQ_LATER :
						      chance % 2 ? CACHEFILES_REQ_FIRST :
								   CACHEFILES_REQ_LAST);
			cachefiles_req_put(req);
		}
		cond_resched();
	}
	return 0;
}

/* Answers by chance, most of them to nothing. */
static int storm_answer(void *data)
{
	struct storm *storm = data;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, atomic_inc_return(&storm->seeds));
	while (!kthread_should_stop()) {
		struct reqs_kunit *rk = storm->rk;

		reqs_kunit_answer(rk, rk->reqs[prandom_u32_state(&rnd) % rk->nr_reqs]);
		cond_resched();
	}
	return 0;
}

/* The object: loses its fd, gets another, is dropped now and then. */
static int storm_object(void *data)
{
	struct storm *storm = data;
	struct rnd_state rnd;

	prandom_seed_state(&rnd, atomic_inc_return(&storm->seeds));
	while (!kthread_should_stop()) {
		struct reqs_kunit *rk = storm->rk;
		u32 chance = prandom_u32_state(&rnd);
		struct cachefiles_req *req = rk->reqs[chance % rk->nr_reqs];

		switch (chance >> 8 & 31) {
		case 0:
			reqs_kunit_cancel(rk, req);
			break;
		case 1 ... 4:
			cachefiles_req_hold(req, &rk->held);
			break;
		case 5:
			cachefiles_req_grow(req, chance);
			break;
		case 6 ... 8:
			cachefiles_reqs_release(rk->table, &rk->held, chance);
			break;
		}
		cond_resched();
	}
	return 0;
}

static void races_storm(struct kunit *test)
{
	static int (* const fns[])(void *) = {
		storm_deliver, storm_deliver, storm_answer, storm_object,
	};
	struct task_struct *threads[ARRAY_SIZE(fns)];
	struct storm storm = { .rk = test->priv };
	struct reqs_kunit *rk = test->priv;
	unsigned long end = jiffies + 30 * HZ;
	unsigned int i;

	enable_delayed_work(&rk->table->defer_work);
	for (i = 0; i < STORM_REQS; i++)
		reqs_kunit_bring(test, reqs_kunit_new(test, CACHEFILES_OP_READ, rk->object),
				 AT(QUEUED));
	for (i = 0; i < ARRAY_SIZE(fns); i++)
		threads[i] = kthread_run(fns[i], &storm, "reqs_kunit/%u", i);
	while (READ_ONCE(rk->table->nr_live) && time_before(jiffies, end))
		schedule_timeout_uninterruptible(1);
	for (i = 0; i < ARRAY_SIZE(fns); i++)
		if (!IS_ERR(threads[i]))
			kthread_stop(threads[i]);

	KUNIT_EXPECT_GT(test, atomic_read(&storm.nr_sent), 0);
	KUNIT_EXPECT_EQ(test, rk->table->nr_live, 0);
	KUNIT_EXPECT_EQ(test, rk->table->max_live, STORM_REQS);
	for (i = 0; i < STORM_REQS; i++)
		REQS_EXPECT(test, rk->reqs[i], DONE, 1);
}

static struct kunit_case races_cases[] = {
	KUNIT_CASE_PARAM(races_pair, races_gen_params),
	KUNIT_CASE(races_two_senders),
	KUNIT_CASE(races_second_sender_is_faster),
	KUNIT_CASE(races_nothing_after_death),
	KUNIT_CASE(races_kill_in_all_places),
	KUNIT_CASE(races_storm),
	{}
};

static struct kunit_suite races_suite = {
	.name		= "cachefiles_ondemand_races",
	.init		= reqs_kunit_init,
	.exit		= reqs_kunit_exit,
	.test_cases	= races_cases,
};

kunit_test_suite(races_suite);
