/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ranges of an object that are being fetched, and the READs that wait for them.
 *
 * A READ is cut into what somebody is fetching already, which it waits for, and
 * the rest, which it fetches; it is answered when the last piece has ended.  No
 * thread waits for another one.
 *
 * A range that could not be fetched is remembered for EXTENT_FAILED_MS: the
 * kernel asks a second time before it fails the reader, and that second READ
 * must not cost another --timeout.
 */
#ifndef EXTENT_H
#define EXTENT_H

#include "object.h"

#define EXTENT_FAILED_MS 2000

/* Failures remembered per object; beyond that the oldest is forgotten. */
#define EXTENT_FAILED_MAX 32

/**
 * struct read - a READ that has not been answered
 * @object: what it reads; holds a reference
 * @stats: counted in
 * @msg_id: the kernel's name for it
 * @off: first byte
 * @end: byte behind the last one
 * @pending: pieces that have not ended, and one while they are being cut
 * @error: of the first piece that failed
 */
struct read {
	struct object *object;
	struct stats *stats;
	uint32_t msg_id;
	uint64_t off;
	uint64_t end;
	atomic_uint pending;
	atomic_int error;
};

/**
 * read_begin - serve a READ; it will be answered
 * @engine: fetch by this one, the caller's
 * @stats: count here
 * @object: what is read; takes over the caller's reference
 * @msg_id: the kernel's name for the READ
 * @off: first byte
 * @len: how many
 * @unit: fetch whole units of this size around it; 0: just what is asked for
 */
void read_begin(struct engine *engine, struct stats *stats,
		struct object *object, uint32_t msg_id, uint64_t off,
		uint64_t len, uint64_t unit);

/* Forget the failures of an object that goes away. */
void extents_free(struct extents *extents);

#endif
