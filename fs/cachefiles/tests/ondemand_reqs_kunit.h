/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the KUnit suites of the request table share; see ondemand_reqs_kunit.c. */
#ifndef _CACHEFILES_ONDEMAND_REQS_KUNIT_H
#define _CACHEFILES_ONDEMAND_REQS_KUNIT_H

#include "internal.h"
#include <kunit/test.h>

/* Requests of a test, and how far their ids may be apart. */
#define REQS_KUNIT_MAX	256

/* Where a request is: its state, but for those that wait for a free fd. */
#define REQS_KUNIT_DEFERRED	(CACHEFILES_REQ_DONE + 1)
#define REQS_KUNIT_NR_PLACES	(CACHEFILES_REQ_DONE + 2)
#define REQS_KUNIT_LOST		REQS_KUNIT_NR_PLACES

/* What requests are ended with by reqs_kunit_cancel() and by an answer. */
#define REQS_KUNIT_CANCELLED	(-EINTR)
#define REQS_KUNIT_ANSWERED	0

/**
 * struct reqs_kunit - a request table under test, with a daemon
 * @od: the instance that it is in; nothing else of it is used but its references
 * @table: the table
 * @pollwq: the daemon's wait queue
 * @waiter: on @pollwq, counts @nr_wakeups
 * @object: whom the requests are for; nothing in it is used but its references
 * @held: the list of that object
 * @nr_wakeups: how often the daemon was woken
 * @nr_ends: how often a request was ended, by id
 * @errors: what it was ended with, by id
 * @reqs: requests of the test, with a reference each
 * @nr_reqs: how many
 */
struct reqs_kunit {
	struct cachefiles_ondemand	od;
	struct cachefiles_reqs		*table;
	wait_queue_head_t		pollwq;
	struct wait_queue_entry		waiter;
	struct cachefiles_od_object	*object;
	struct list_head		held;
	atomic_t			nr_wakeups;
	atomic_t			nr_ends[REQS_KUNIT_MAX];
	int				errors[REQS_KUNIT_MAX];
	struct cachefiles_req		*reqs[REQS_KUNIT_MAX];
	unsigned int			nr_reqs;
};

extern const char * const reqs_kunit_places[];

int reqs_kunit_init(struct kunit *test);
void reqs_kunit_exit(struct kunit *test);
struct cachefiles_req *reqs_kunit_new(struct kunit *test, enum cachefiles_opcode opcode,
				      struct cachefiles_od_object *object);
struct cachefiles_req *reqs_kunit_bring(struct kunit *test, struct cachefiles_req *req,
					unsigned int place);
unsigned int reqs_kunit_place(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_run(struct kunit *test, bool (*fn)(struct reqs_kunit *, struct cachefiles_req *),
		    struct cachefiles_req *req);

bool reqs_kunit_pick(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_sent(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_unsend_first(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_unsend_last(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_unsend_later(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_undefer(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_answer(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_cancel(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_hold(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_release(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_claim_held(struct reqs_kunit *rk, struct cachefiles_req *req);
bool reqs_kunit_kill(struct reqs_kunit *rk, struct cachefiles_req *req);

static inline int reqs_kunit_nr_ends(struct reqs_kunit *rk, const struct cachefiles_req *req)
{
	return atomic_read(&rk->nr_ends[req->id % REQS_KUNIT_MAX]);
}

static inline int reqs_kunit_error(struct reqs_kunit *rk, const struct cachefiles_req *req)
{
	return rk->errors[req->id % REQS_KUNIT_MAX];
}

/* The test's own, the table's until DONE, and one of a delivery that is under way. */
static inline unsigned int reqs_kunit_refs(unsigned int place, bool sending)
{
	return 1 + (place != CACHEFILES_REQ_DONE) + sending;
}

/*
 * Macros, so that a failure names the line that expected.  A request that is
 * DONE has been ended once, any other never.
 */
#define REQS_EXPECT(_test, _req, _place, _refs)						\
do {											\
	struct kunit *__test = (_test);							\
	struct cachefiles_req *__req = (_req);						\
	unsigned int __place = (_place), __is = reqs_kunit_place(__test->priv, __req);	\
											\
	KUNIT_EXPECT_EQ_MSG(__test, __is, __place, "it is %s, should be %s",		\
			    reqs_kunit_places[__is], reqs_kunit_places[__place]);	\
	KUNIT_EXPECT_EQ(__test, refcount_read(&__req->ref), _refs);			\
	KUNIT_EXPECT_EQ(__test, reqs_kunit_nr_ends(__test->priv, __req),		\
			__place == CACHEFILES_REQ_DONE);				\
} while (0)

#define REQS_EXPECT_ENDED(_test, _req, _error)						\
do {											\
	struct kunit *_t = (_test);							\
	struct cachefiles_req *_r = (_req);						\
											\
	REQS_EXPECT(_t, _r, CACHEFILES_REQ_DONE, 1);					\
	KUNIT_EXPECT_EQ(_t, reqs_kunit_error(_t->priv, _r), _error);			\
} while (0)

#endif /* _CACHEFILES_ONDEMAND_REQS_KUNIT_H */
