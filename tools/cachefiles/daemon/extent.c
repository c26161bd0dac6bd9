// SPDX-License-Identifier: GPL-2.0-or-later
/* Ranges of an object that are being fetched, and the READs that wait. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cachefiles_ondemand.h"
#include "clock.h"
#include "extent.h"
#include "log.h"

/* The kernel's granule: ranges begin and end at multiples, or at the size. */
#define GRANULE 4096

struct waiter {
	struct read *read;

	SLIST_ENTRY(waiter) link;
};

SLIST_HEAD(waiters, waiter);

/**
 * struct extent - a range that is being fetched, or failed a moment ago
 * @req: the request; first, for extent_done()
 * @by: the fetcher that began it; not valid once it has failed
 * @object: what it belongs to; holds a reference while @failed is 0
 * @start: first byte
 * @end: byte behind the last one
 * @failed: 0 while it is being fetched, else the error
 * @forget: when the error is no longer worth anything
 * @no_space: the error when there was no space, or 0; tried again since
 * @round: of eviction, that it waits for
 * @waiters: READs that need it
 * @link: in the object's list
 * @next: in the list of those that read_begin() has to start, or that wait for
 *	room
 */
struct extent {
	struct source_req req;
	struct fetcher *by;
	struct object *object;
	uint64_t start;
	uint64_t end;
	int failed;
	uint64_t forget;
	int no_space;
	uint64_t round;
	struct waiters waiters;

	LIST_ENTRY(extent) link;
	SLIST_ENTRY(extent) next;
};

/* What a reader can make use of: nobody should try again at once, for ever. */
static int error_for_reader(int error)
{
	switch (error) {
	case -EAGAIN:
	case -EINTR:
		return -EIO;
	case -EDQUOT:
		return -ENOSPC;
	}
	return error;
}

static void read_end(const struct fetcher *by, struct object *object,
		     uint32_t msg_id, int error)
{
	int ret;

	stats_end_read(by->stats, error);
	/* Given up for CLOSE, FULL or the daemon's end: nobody listens. */
	if (error != -ECANCELED) {
		if (error && (by->features & CACHEFILES_FEATURE_READ_FAIL))
			ret = cfod_fail_read(object->fd, msg_id,
					     error_for_reader(error));
		else
			ret = cfod_complete_read(object->fd, msg_id);
		if (ret)
			log_debug("READ %u: answer not taken: %s", msg_id,
				  strerror(-ret));
	}
	object_put(object);
}

static void read_answer(struct read *read)
{
	int error = atomic_load(&read->error);

	if (error && error != -ECANCELED && error != -ESTALE)
		log_write_limited(LOG_LEVEL_ERROR,
				  "%s, bytes %llu-%llu: read fails: %s",
				  read->object->blob->key,
				  (unsigned long long)read->off,
				  (unsigned long long)read->end - 1,
				  strerror(-error));
	read_end(read->by, read->object, read->msg_id, error);
	free(read);
}

/* One piece of a READ has ended. */
static void read_piece_done(struct read *read, int error)
{
	int none = 0;

	if (error)
		atomic_compare_exchange_strong(&read->error, &none, error);
	if (atomic_fetch_sub(&read->pending, 1) == 1)
		read_answer(read);
}

/* With the object's lock held, and so are the next ones. */
static void forget_failure(struct object *object, struct extent *extent)
{
	LIST_REMOVE(extent, link);
	object->nr_failed--;
	free(extent);
}

static void remember_failure(struct object *object, struct extent *extent,
			     int error)
{
	struct extent *e, *oldest = NULL;

	if (object->nr_failed >= EXTENT_FAILED_MAX) {
		LIST_FOREACH(e, &object->extents, link)
			if (e->failed && (!oldest || e->forget < oldest->forget))
				oldest = e;
		forget_failure(object, oldest);
	}
	extent->failed = error;
	extent->forget = clock_ms() + EXTENT_FAILED_MS;
	/* What is in front of it has been filled. */
	extent->start = extent->req.pos;
	object->nr_failed++;
}

static void forget_old_failures(struct object *object)
{
	struct extent *e, *next;
	uint64_t now;

	if (!object->nr_failed)
		return;
	now = clock_ms();
	for (e = LIST_FIRST(&object->extents); e; e = next) {
		next = LIST_NEXT(e, link);
		if (e->failed && e->forget <= now)
			forget_failure(object, e);
	}
}

/* The first extent that ends behind @pos. */
static struct extent *next_extent(struct object *object, uint64_t pos)
{
	struct extent *e, *found = NULL;

	LIST_FOREACH(e, &object->extents, link)
		if (e->end > pos && (!found || e->start < found->start))
			found = e;
	return found;
}

static int failure_in(struct object *object, uint64_t off, uint64_t end)
{
	struct extent *e;

	forget_old_failures(object);
	if (!object->nr_failed)
		return 0;
	LIST_FOREACH(e, &object->extents, link)
		if (e->failed && e->start < end && e->end > off)
			return e->failed;
	return 0;
}

static int wait_for(struct extent *extent, struct read *read)
{
	struct waiter *waiter = malloc(sizeof(*waiter));

	if (!waiter)
		return -ENOMEM;
	waiter->read = read;
	SLIST_INSERT_HEAD(&extent->waiters, waiter, link);
	atomic_fetch_add(&read->pending, 1);
	return 0;
}

static void extent_end(struct extent *extent, int error)
{
	struct object *object = extent->object;
	struct waiters waiters;
	struct waiter *waiter;
	bool remember;

	remember = error && error != -ECANCELED && error != -ESTALE;

	pthread_mutex_lock(&object->lock);
	waiters = extent->waiters;
	SLIST_INIT(&extent->waiters);
	if (remember)
		remember_failure(object, extent, error);
	else
		LIST_REMOVE(extent, link);
	pthread_mutex_unlock(&object->lock);
	/* What is remembered can be freed by another thread from here on. */
	if (!remember)
		free(extent);

	while ((waiter = SLIST_FIRST(&waiters))) {
		SLIST_REMOVE_HEAD(&waiters, link);
		read_piece_done(waiter->read, error);
		free(waiter);
	}
	object_put(object);
}

static void extent_done(struct source_req *req, int error)
{
	struct extent *extent = (struct extent *)req;
	struct fetcher *by = extent->by;

	if ((error != -ENOSPC && error != -EDQUOT) || !by->evictor ||
	    extent->no_space) {
		extent_end(extent, error);
		return;
	}
	extent->no_space = error;
	extent->round = evictor_ask(by->evictor);
	SLIST_INSERT_HEAD(&by->waiting, extent, next);
}

void fetcher_run(struct fetcher *by)
{
	struct extent *e, *next;
	bool room;

	for (e = SLIST_FIRST(&by->waiting); e; e = next) {
		next = SLIST_NEXT(e, next);
		if (!evictor_has_ended(by->evictor, e->round, &room))
			continue;
		/* The rest when the engine has ended some. */
		if (room && engine_full(by->engine))
			break;
		SLIST_REMOVE(&by->waiting, e, extent, next);
		if (room) {
			stats_add(&by->stats->refills, 1);
			engine_fetch(by->engine, &e->req);
		} else {
			extent_end(e, e->no_space);
		}
	}
}

void fetcher_end(struct fetcher *by)
{
	struct extent *extent;

	while ((extent = SLIST_FIRST(&by->waiting))) {
		SLIST_REMOVE_HEAD(&by->waiting, next);
		extent_end(extent, -ECANCELED);
	}
}

static struct extent *extent_new(struct object *object, struct fetcher *by,
				 uint64_t start, uint64_t end)
{
	struct extent *extent = calloc(1, sizeof(*extent));

	if (!extent)
		return NULL;
	extent->req = (struct source_req){
		.blob = object->blob,
		.fd = object->fd,
		.pos = start,
		.end = end,
		.done = extent_done,
	};
	extent->by = by;
	extent->object = object;
	atomic_fetch_add(&object->refs, 1);
	extent->start = start;
	extent->end = end;
	SLIST_INIT(&extent->waiters);
	LIST_INSERT_HEAD(&object->extents, extent, link);
	return extent;
}

/*
 * Cut [@start, @end): wait for what is being fetched, put the rest on @todo.
 * What lies outside the READ itself is fetched, but not waited for.
 */
static int cut(struct read *read, uint64_t start, uint64_t end,
	       struct extent_stack *todo)
{
	struct object *object = read->object;
	uint64_t pos = start, stop;
	bool joined = false;
	int ret = 0;

	for (; pos < end && !ret; pos = stop) {
		struct extent *e = next_extent(object, pos);

		if (!e || e->start > pos) {
			stop = e && e->start < end ? e->start : end;
			e = extent_new(object, read->by, pos, stop);
			if (!e)
				return -ENOMEM;
			SLIST_INSERT_HEAD(todo, e, next);
		} else {
			stop = e->end < end ? e->end : end;
			joined |= !e->failed;
		}
		if (!e->failed && e->start < read->end && e->end > read->off)
			ret = wait_for(e, read);
	}
	if (joined)
		stats_add(&read->by->stats->joined, 1);
	return ret;
}

/*
 * What to fetch for a READ.  Return: false if nothing is missing any more: a
 * unit that was fetched for another READ had it.
 */
static bool widen(struct read *read, uint64_t size, uint64_t *start,
		  uint64_t *end)
{
	uint64_t unit = read->by->unit;
	int64_t hole;

	*start = read->off;
	*end = read->end;
	if (!unit)
		return true;

	hole = cfod_next_hole(read->object->fd, read->off);
	if (hole >= 0 && (uint64_t)hole >= read->end)
		return false;

	*start -= *start % unit;
	*end += unit - 1;
	*end -= *end % unit;
	if (*end > size)
		*end = size;

	hole = cfod_next_hole(read->object->fd, *start);
	if (hole > 0 && (uint64_t)hole > *start && (uint64_t)hole < read->end)
		*start = hole - hole % GRANULE;
	return true;
}

void read_begin(struct fetcher *by, struct object *object, uint32_t msg_id,
		uint64_t off, uint64_t len)
{
	struct extent_stack todo = SLIST_HEAD_INITIALIZER(todo);
	struct read *read = calloc(1, sizeof(*read));
	uint64_t start, end, size;
	struct extent *extent;
	int error = 0;

	stats_begin_read(by->stats, len);
	if (!read) {
		log_write_limited(LOG_LEVEL_ERROR, "out of memory");
		read_end(by, object, msg_id, -ENOMEM);
		return;
	}

	pthread_mutex_lock(&object->lock);
	size = object->size;
	pthread_mutex_unlock(&object->lock);

	/* The last READ of an object may be rounded up. */
	end = off + len < size ? off + len : size;
	*read = (struct read){
		.object = object,
		.by = by,
		.msg_id = msg_id,
		.off = off,
		.end = end,
	};
	/* Not answered before all of it is cut. */
	atomic_init(&read->pending, 1);
	atomic_init(&read->error, 0);

	if (off >= end || off % GRANULE) {
		error = -ERANGE;
	} else if (!widen(read, size, &start, &end)) {
		stats_add(&by->stats->present, 1);
	} else {
		pthread_mutex_lock(&object->lock);
		error = failure_in(object, read->off, read->end);
		if (!error)
			error = cut(read, start, end, &todo);
		pthread_mutex_unlock(&object->lock);
	}

	while ((extent = SLIST_FIRST(&todo))) {
		SLIST_REMOVE_HEAD(&todo, next);
		stats_add(&by->stats->fetches, 1);
		engine_fetch(by->engine, &extent->req);
	}
	read_piece_done(read, error);
}

void extents_free(struct extents *extents)
{
	struct extent *extent;

	/* What is being fetched holds the object: these have failed. */
	while ((extent = LIST_FIRST(extents))) {
		LIST_REMOVE(extent, link);
		free(extent);
	}
}
