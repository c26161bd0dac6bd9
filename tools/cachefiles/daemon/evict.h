/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Eviction: when the cache's file system runs out of space, blobs that are not
 * in use are removed from it, those that have not been used for longest first,
 * until the run limits are kept or none is left.
 *
 * One thread does it, in rounds.  It begins one when the kernel says that space
 * is short, and when it is asked to because a fill has failed.
 */
#ifndef EVICT_H
#define EVICT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "stats.h"

struct evictor;

/**
 * evictor_start - begin to look after the space of a cache
 * @dev: the device, bound; its kernel has CACHEFILES_FEATURE_SPACE
 * @dir: the directory that was bound; copied
 * @stats: counted in
 * @ended: called by the evictor's thread when a round that was asked for has
 *	ended
 * @arg: for @ended
 *
 * Return: NULL if there is no memory or no thread.
 */
struct evictor *evictor_start(int dev, const char *dir, struct stats *stats,
			      void (*ended)(void *arg), void *arg);

/* End the thread.  Return: false if it has not ended in time; nothing is freed. */
bool evictor_stop(struct evictor *evictor, const struct timespec *limit);

/* Ask for a round, for a fill has failed.  Return: its number. */
uint64_t evictor_ask(struct evictor *evictor);

/**
 * evictor_has_ended - has a round that was asked for ended?
 * @evictor: the evictor
 * @round: its number
 * @room: set if it has: it is worth trying again
 */
bool evictor_has_ended(struct evictor *evictor, uint64_t round, bool *room);

#endif
