// SPDX-License-Identifier: GPL-2.0-or-later
/* A daemon that does not answer is named in the log, once for each time. */
#include "internal.h"

/* How long a request may wait before it is worth a line, in seconds. */
#define CACHEFILES_SLOW_SECS	30

/* The oldest request that waits, with a reference. */
static struct cachefiles_req *cachefiles_watch_oldest(struct cachefiles_reqs *table)
{
	struct cachefiles_req *req, *oldest = NULL;
	unsigned long id;

	guard(spinlock)(&table->ids.xa_lock);
	xa_for_each(&table->ids, id, req)
		if (req->state != CACHEFILES_REQ_NEW && req->object &&
		    (!oldest || ktime_before(req->since, oldest->since)))
			oldest = req;
	return oldest ? cachefiles_req_get(oldest) : NULL;
}

static void cachefiles_ondemand_watch_work(struct work_struct *work)
{
	struct cachefiles_ondemand *od =
		container_of(to_delayed_work(work), struct cachefiles_ondemand, watch_work);
	struct cachefiles_req *req;
	s64 age;

	/* Who frees the instance waits for this work. */
	if (!refcount_inc_not_zero(&od->ref))
		return;
	req = cachefiles_watch_oldest(&od->reqs);
	if (!req) {
		od->slow_id = 0;
		cachefiles_ondemand_put_later(od);
		return;
	}
	age = ktime_ms_delta(ktime_get(), req->since) / MSEC_PER_SEC;
	if (age >= CACHEFILES_SLOW_SECS && od->slow_id != req->id) {
		od->slow_id = req->id;
		pr_warn("on-demand cache %pd: %s: %s/%s has waited for %lld s, with %u others\n",
			od->root,
			READ_ONCE(od->cache) ? "the daemon is slow" : "there is no daemon",
			req->object->volume->key, req->object->key, age,
			max(READ_ONCE(od->reqs.nr_live), 1) - 1);
	}
	cachefiles_ondemand_watch(od);
	cachefiles_req_put(req);
	cachefiles_ondemand_put_later(od);
}

/**
 * cachefiles_ondemand_watch_init - set up what cachefiles_ondemand_watch() uses
 * @od: the instance
 */
void cachefiles_ondemand_watch_init(struct cachefiles_ondemand *od)
{
	INIT_DELAYED_WORK(&od->watch_work, cachefiles_ondemand_watch_work);
}

/**
 * cachefiles_ondemand_watch - there are requests: see that they are answered
 * @od: the instance
 *
 * Context: any; does not sleep.
 */
void cachefiles_ondemand_watch(struct cachefiles_ondemand *od)
{
	if (!delayed_work_pending(&od->watch_work))
		queue_delayed_work(cachefiles_ondemand_wq, &od->watch_work,
				   CACHEFILES_SLOW_SECS * HZ);
}
