/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The objects that the kernel has open here, by their ids. */
#ifndef OBJECT_H
#define OBJECT_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/queue.h>

#include "source.h"

struct extent;
LIST_HEAD(extents, extent);

/**
 * struct object - an object that the kernel opened
 * @link: in the table
 * @id: the kernel's name for it
 * @fd: its content is written here; closed with the last reference
 * @blob: where that comes from
 * @refs: we keep one for: the table, the OPEN or READ that is being answered,
 *	each range that is being fetched
 * @lock: guards what follows
 * @size: bytes; 0 until the blob was found
 * @extents: ranges that are being fetched, or that failed a moment ago
 * @nr_failed: how many of these failed
 */
struct object {
	LIST_ENTRY(object) link;
	uint32_t id;
	int fd;
	struct blob *blob;
	atomic_uint refs;
	pthread_mutex_t lock;
	uint64_t size;
	struct extents extents;
	unsigned int nr_failed;
};

#define OBJECT_BUCKETS 256

/* The table; its lock is held for a look-up only, and no other within it. */
struct objects {
	pthread_mutex_t lock;
	LIST_HEAD(, object) buckets[OBJECT_BUCKETS];
};

void objects_init(struct objects *objects);

/* Empty the table. */
void objects_clear(struct objects *objects);

/**
 * objects_add - put a new object into the table
 * @objects: the table
 * @id: the kernel's name for it; an object that has it already is dropped
 * @fd: taken over
 * @blob: taken over
 *
 * Return: the object, with a reference for the caller; NULL if there is no
 * memory: then @fd and @blob are still the caller's.
 */
struct object *objects_add(struct objects *objects, uint32_t id, int fd,
			   struct blob *blob);

/* Find an object; the caller gets a reference. */
struct object *objects_get(struct objects *objects, uint32_t id);

/*
 * Take an object out of the table, if that is where it is: nobody finds it any
 * more, and what is under way for it may end early.  Return: was it there?
 */
bool objects_drop(struct objects *objects, uint32_t id);

void object_put(struct object *object);

#endif
