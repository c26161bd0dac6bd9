/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Finding the blobs of a cache that have not been used for longest. */
#ifndef EVICT_SCAN_H
#define EVICT_SCAN_H

#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* Found at a time, so that memory does not grow with the cache. */
#define EVICT_BATCH 1024

/* Longest path of a blob below the cache: three names and two slashes. */
#define EVICT_PATH_MAX (3 * (NAME_MAX + 1))

/**
 * struct evict_blob - a file of the cache
 * @used: when it was used last, in nanoseconds of the epoch
 * @bytes: what it takes of the disk
 * @path: below the cache: I<volume>/@<fan-out>/D<key>
 */
struct evict_blob {
	int64_t used;
	uint64_t bytes;
	char *path;
};

/**
 * struct evict_list - the oldest blobs of a cache
 * @nr: how many there are
 * @blobs: oldest first; of the same age: by path
 */
struct evict_list {
	unsigned int nr;
	struct evict_blob blobs[2 * EVICT_BATCH];
};

/**
 * evict_scan - find the EVICT_BATCH oldest blobs
 * @cache: fd of the cache's directory
 * @after: only what comes behind this one, which may be in @list; NULL: all
 * @list: an earlier one, which is emptied; or zeroed
 * @stop: give up when this becomes true
 *
 * Return: whether there are more than were found.
 */
bool evict_scan(int cache, const struct evict_blob *after,
		struct evict_list *list, atomic_bool *stop);

/* Empty a list. */
void evict_list_clear(struct evict_list *list);

#endif
