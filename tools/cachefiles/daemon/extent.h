/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranges of an object that are being fetched, and the READs that wait for them.
 *
 * A READ is cut into what somebody is fetching already, which it waits for, and
 * the rest, which it fetches; it is answered when the last piece has ended.  No
 * thread waits for another one.
 *
 * A fill that failed because there is no space waits for a round of eviction, and
 * is tried once more.  Then, and for any other reason at once, the READs fail.
 *
 * A range that could not be fetched is remembered for EXTENT_FAILED_MS: before
 * it fails the reader the kernel may ask a second time, and so may the page
 * cache; that second READ must not cost another --timeout.
 */
#ifndef EXTENT_H
#define EXTENT_H

#include "evict.h"
#include "object.h"

SLIST_HEAD(extent_stack, extent);

#define EXTENT_FAILED_MS 2000

/* Failures remembered per object; beyond that the oldest is forgotten. */
#define EXTENT_FAILED_MAX 32

/**
 * struct fetcher - what a thread fetches by
 * @engine: the thread's own
 * @stats: count here
 * @unit: fetch whole units of this size around a READ; 0: just what is asked for
 * @features: the kernel's
 * @evictor: who makes room; NULL: nobody
 * @waiting: ranges that wait for room; the thread's own
 */
struct fetcher {
	struct engine *engine;
	struct stats *stats;
	uint64_t unit;
	uint64_t features;
	struct evictor *evictor;
	struct extent_stack waiting;
};

/* Go on with the ranges that wait for room, if that has come. */
void fetcher_run(struct fetcher *by);

/* Give up what waits; the engine has been freed. */
void fetcher_end(struct fetcher *by);

/**
 * struct read - a READ that has not been answered
 * @object: what it reads; holds a reference
 * @by: the fetcher that began it
 * @msg_id: the kernel's name for it
 * @off: first byte
 * @end: byte behind the last one
 * @pending: pieces that have not ended, and one while they are being cut
 * @error: of the first piece that failed
 */
struct read {
	struct object *object;
	struct fetcher *by;
	uint32_t msg_id;
	uint64_t off;
	uint64_t end;
	atomic_uint pending;
	atomic_int error;
};

/**
 * read_begin - serve a READ; it will be answered
 * @by: the calling thread's
 * @object: what is read; takes over the caller's reference
 * @msg_id: the kernel's name for the READ
 * @off: first byte
 * @len: how many
 */
void read_begin(struct fetcher *by, struct object *object, uint32_t msg_id,
		uint64_t off, uint64_t len);

/* Forget the failures of an object that goes away. */
void extents_free(struct extents *extents);

#endif
