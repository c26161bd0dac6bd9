// SPDX-License-Identifier: GPL-2.0-or-later
/* KUnit tests of how a daemon hears of requests, and that it does so in time. */
#include <linux/blkdev.h>
#include "ondemand_reqs_kunit.h"

/* Whatever makes the table readable wakes, as edge-triggered pollers need. */
static void wake_when_readable(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);

	/* A submission is announced by the submitter, when it has made all of them. */
	reqs_kunit_bring(test, req, CACHEFILES_REQ_QUEUED);
	KUNIT_EXPECT_TRUE(test, cachefiles_reqs_readable(rk->table));
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 0);
	cachefiles_reqs_wake(rk->table);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 1);

	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req));
	KUNIT_EXPECT_FALSE(test, cachefiles_reqs_readable(rk->table));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_first(rk, req));
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 2);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_last(rk, req));
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 3);

	KUNIT_EXPECT_TRUE(test, reqs_kunit_pick(rk, req));
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_later(rk, req));
	KUNIT_EXPECT_FALSE(test, cachefiles_reqs_readable(rk->table));
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 3);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_undefer(rk, req));
	KUNIT_EXPECT_TRUE(test, cachefiles_reqs_readable(rk->table));
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 4);

	/* After its death the wait queue is not the table's to touch. */
	cachefiles_reqs_kill(rk->table);
	cachefiles_reqs_wake(rk->table);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 4);
}

/* The work that puts back what was put aside runs by itself, and in time. */
static void wake_for_deferred(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req = reqs_kunit_new(test, CACHEFILES_OP_OPEN, rk->object);
	unsigned long begin = jiffies;

	enable_delayed_work(&rk->table->defer_work);
	reqs_kunit_bring(test, req, CACHEFILES_REQ_SENDING);
	KUNIT_EXPECT_TRUE(test, reqs_kunit_unsend_later(rk, req));
	while (!cachefiles_reqs_readable(rk->table) && time_before(jiffies, begin + 10 * HZ))
		schedule_timeout_uninterruptible(1);
	REQS_EXPECT(test, req, CACHEFILES_REQ_QUEUED, 2);
	KUNIT_EXPECT_GE(test, jiffies - begin, HZ / 20);
	/* It wakes when it has let go of the lock. */
	flush_delayed_work(&rk->table->defer_work);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 1);
}

/* The misses of a readahead window are announced once, when all are there. */
static void wake_after_plug(struct kunit *test)
{
	struct reqs_kunit *rk = test->priv;
	struct cachefiles_req *req[3];
	struct blk_plug plug;
	int i;

	for (i = 0; i < ARRAY_SIZE(req); i++)
		req[i] = reqs_kunit_new(test, CACHEFILES_OP_READ, NULL);
	cachefiles_ondemand_kick(&rk->od);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 1);

	blk_start_plug(&plug);
	for (i = 0; i < ARRAY_SIZE(req); i++) {
		KUNIT_EXPECT_EQ(test, cachefiles_req_submit(req[i], NULL), 0);
		cachefiles_ondemand_kick(&rk->od);
	}
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 1);
	/* The plug may be finished when nobody else has the instance. */
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->od.ref), 2);
	blk_finish_plug(&plug);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 2);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->od.ref), 1);

	/* A task that sleeps in its plug does not keep the daemon waiting. */
	blk_start_plug(&plug);
	cachefiles_ondemand_kick(&rk->od);
	schedule_timeout_uninterruptible(1);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 3);
	blk_finish_plug(&plug);
	KUNIT_EXPECT_EQ(test, atomic_read(&rk->nr_wakeups), 3);
	KUNIT_EXPECT_EQ(test, refcount_read(&rk->od.ref), 1);
}

static struct kunit_case wake_cases[] = {
	KUNIT_CASE(wake_when_readable),
	KUNIT_CASE(wake_for_deferred),
	KUNIT_CASE(wake_after_plug),
	{}
};

static struct kunit_suite wake_suite = {
	.name		= "cachefiles_ondemand_wake",
	.init		= reqs_kunit_init,
	.exit		= reqs_kunit_exit,
	.test_cases	= wake_cases,
};

kunit_test_suite(wake_suite);
