// SPDX-License-Identifier: GPL-2.0-or-later
/* Eviction: the thread, its rounds, and who waits for them. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "clock.h"
#include "event.h"
#include "evict.h"
#include "evict_scan.h"
#include "log.h"

#define MIB (1024 * 1024)

/* After a round that could not free enough: until the next one by itself. */
#define AGAIN_MS 10000

/* And how often one is made, at most, if fills ask for it. */
#define PAUSE_MS 1000

/* Freed for a fill that fails though no limit is crossed: a quota, perhaps. */
#define QUOTA_BYTES (64ull * MIB)

/* This much above the stop limits is room for a fill. */
#define ROOM_BYTES (4ull * MIB)

/*
 * What was freed may take a while to be seen: xfs frees the blocks of a file in
 * the background.  To remove more before that would be for nothing.
 */
#define SETTLE_MS 20
#define SETTLE_TRIES 150

/**
 * struct evictor - the thread and what others see of it
 * @dev: the device
 * @dir: the cache
 * @stats: counted in
 * @ended: whom to call when a round has ended
 * @arg: for @ended
 * @thread: its handle
 * @epoll: where it waits: for @wake, and for the device to become writable
 * @wake: an eventfd: something was asked
 * @stopping: end
 * @asked: number of the last round that was asked for
 * @done: number of the last one that has ended; written after the next two
 * @removed: number of the last one that has removed something
 * @room: there was room for a fill when it was looked at last
 * @short_of_space: the last round could not free enough
 * @pause: no round before this time
 * @again: when to look again, whoever asks
 * @list: the blobs that are being looked at
 */
struct evictor {
	int dev;
	char *dir;
	struct stats *stats;
	void (*ended)(void *arg);
	void *arg;
	pthread_t thread;
	int epoll;
	int wake;
	atomic_bool stopping;
	atomic_ullong asked;
	atomic_ullong done;
	atomic_ullong removed;
	atomic_bool room;
	bool short_of_space;
	uint64_t pause;
	uint64_t again;
	struct evict_list list;
};

/**
 * struct round - a round of eviction
 * @evictor: whose
 * @space: as it was seen last
 * @bytes_left: to be freed
 * @files_left: to be removed
 * @blobs: that were removed
 * @bytes: that they had
 */
struct round {
	struct evictor *evictor;
	struct cachefiles_space space;
	uint64_t bytes_left;
	uint64_t files_left;
	uint64_t blobs;
	uint64_t bytes;
};

static uint64_t missing(uint64_t have, uint64_t wanted)
{
	return have < wanted ? wanted - have : 0;
}

static bool look(struct round *round)
{
	const struct cachefiles_space *space = &round->space;
	int ret = cfod_space(round->evictor->dev, &round->space);

	if (ret) {
		log_write_limited(LOG_LEVEL_ERROR, "the cache's space: %s",
				  strerror(-ret));
		round->space = (struct cachefiles_space){ 0 };
	}
	round->bytes_left = missing(space->blocks, space->brun) *
			    space->block_size;
	round->files_left = missing(space->files, space->frun);
	return space->flags & CACHEFILES_SPACE_CULL;
}

/* Wait for what was freed to be seen.  Return: is space still short? */
static bool settle(struct round *round)
{
	static const struct timespec moment = { .tv_nsec = SETTLE_MS * 1000000L };
	bool is_short;
	int tries;

	for (tries = SETTLE_TRIES; (is_short = look(round)) && tries &&
	     !atomic_load(&round->evictor->stopping); tries--)
		nanosleep(&moment, NULL);
	return is_short;
}

static bool enough(struct round *round)
{
	if (round->bytes_left || round->files_left)
		return false;
	settle(round);
	return !round->bytes_left && !round->files_left;
}

/* Remove a blob, then its directories if they are empty and not in use. */
static void cull(struct round *round, int cache, const struct evict_blob *blob)
{
	struct evictor *evictor = round->evictor;
	const char *name = strrchr(blob->path, '/');
	char path[EVICT_PATH_MAX];
	int dir, ret;

	snprintf(path, sizeof(path), "%.*s", (int)(name - blob->path),
		 blob->path);
	dir = openat(cache, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return;
	ret = cfod_cull(evictor->dev, dir, name + 1);
	close(dir);
	if (ret == -EBUSY || ret == -ESTALE)
		return;
	if (ret) {
		log_write_limited(LOG_LEVEL_ERROR, "%s cannot be culled: %s",
				  blob->path, strerror(-ret));
		return;
	}
	round->blobs++;
	round->bytes += blob->bytes;
	round->bytes_left = missing(blob->bytes, round->bytes_left);
	round->files_left = missing(1, round->files_left);
	stats_add(&evictor->stats->evicted, 1);
	stats_add(&evictor->stats->evicted_bytes, blob->bytes);
	log_debug("evicted %s", blob->path);

	/* The kernel marks directories that it uses, and then rmdir() fails. */
	if (!unlinkat(cache, path, AT_REMOVEDIR)) {
		*strchr(path, '/') = '\0';
		unlinkat(cache, path, AT_REMOVEDIR);
	}
}

static void cull_oldest(struct round *round)
{
	struct evictor *evictor = round->evictor;
	struct evict_list *list = &evictor->list;
	bool more = true, end = false;
	unsigned int i;
	int dir, cache;

	dir = open(evictor->dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cache = openat(dir, "cache", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0)
		close(dir);
	if (cache < 0)
		return;
	while (more && !end) {
		more = evict_scan(cache, list->nr ? &list->blobs[list->nr - 1] :
				  NULL, list, &evictor->stopping);
		for (i = 0; i < list->nr && !end; i++) {
			cull(round, cache, &list->blobs[i]);
			end = atomic_load(&evictor->stopping) || enough(round);
		}
	}
	evict_list_clear(list);
	close(cache);
	/* Hold on to no directory that somebody may want to remove. */
	if (chdir("/"))
		log_error("/: %s", strerror(errno));
}

static void report(struct round *round, bool short_of_space)
{
	const struct cachefiles_space *space = &round->space;
	struct evictor *evictor = round->evictor;

	if (round->blobs)
		log_write_limited(LOG_LEVEL_INFO,
				  "evicted %llu blobs of %llu MiB: %llu MiB and %llu files are free now",
				  (unsigned long long)round->blobs,
				  (unsigned long long)round->bytes / MIB,
				  (unsigned long long)(space->blocks *
				  space->block_size / MIB),
				  (unsigned long long)space->files);
	/* Once, and not as long as it is so. */
	if (short_of_space && !evictor->short_of_space)
		log_warning("space is short, and no blob is left that is not in use");
	evictor->short_of_space = short_of_space;
}

static bool has_room(const struct cachefiles_space *space)
{
	uint64_t stop = space->bstop * space->block_size + ROOM_BYTES;

	return !(space->flags & CACHEFILES_SPACE_CULL) ||
	       (space->blocks * space->block_size >= stop &&
		space->files > space->fstop);
}

/* One round, if need be.  Return: has anything been removed? */
static bool evict(struct evictor *evictor, bool asked)
{
	struct round round = { .evictor = evictor };
	bool is_short = look(&round);

	atomic_store(&evictor->room, has_room(&round.space));
	evictor->again = CLOCK_NEVER;
	if (!is_short && !asked)
		return false;
	if (clock_ms() < evictor->pause) {
		/* The device has told that space is short, and does so once. */
		if (is_short)
			evictor->again = evictor->pause;
		return false;
	}
	if (!is_short)
		round.bytes_left = QUOTA_BYTES;
	stats_add(&evictor->stats->evictions, 1);
	cull_oldest(&round);
	is_short = round.blobs ? settle(&round) : look(&round);
	evictor->pause = is_short || !round.blobs ? clock_ms() + PAUSE_MS : 0;
	if (is_short)
		evictor->again = clock_ms() + AGAIN_MS;
	report(&round, is_short);
	atomic_store(&evictor->room, has_room(&round.space));
	return round.blobs;
}

static void *evictor_main(void *arg)
{
	struct evictor *evictor = arg;
	struct epoll_event event;

	/* Culling goes by the working directory; let it be this thread's own. */
	if (unshare(CLONE_FS)) {
		log_error("nothing will be evicted: unshare: %s",
			  strerror(errno));
		/* Whoever asks is told that there is no room. */
		evictor->pause = CLOCK_NEVER;
	}
	while (!atomic_load(&evictor->stopping)) {
		uint64_t done = atomic_load(&evictor->done);
		uint64_t asked = atomic_load(&evictor->asked);

		/* Fills that failed meanwhile have room now, too. */
		if (evict(evictor, asked != done)) {
			asked = atomic_load(&evictor->asked);
			atomic_store(&evictor->removed, asked);
		}
		atomic_store(&evictor->done, asked);
		if (asked != done)
			evictor->ended(evictor->arg);
		if (epoll_wait(evictor->epoll, &event, 1,
			       clock_until(evictor->again)) == 1 &&
		    event.data.fd == evictor->wake)
			event_lower(evictor->wake);
	}
	return NULL;
}

static void evictor_free(struct evictor *evictor)
{
	if (evictor->epoll >= 0)
		close(evictor->epoll);
	if (evictor->wake >= 0)
		close(evictor->wake);
	free(evictor->dir);
	free(evictor);
}

struct evictor *evictor_start(int dev, const char *dir, struct stats *stats,
			      void (*ended)(void *arg), void *arg)
{
	/*
	 * The device stays writable for as long as space is short, even if
	 * nothing can be done about it.
	 */
	struct epoll_event writable = {
		.events = EPOLLOUT | EPOLLET, .data.fd = dev
	};
	struct evictor *evictor = calloc(1, sizeof(*evictor));
	struct epoll_event woken = { .events = EPOLLIN };

	if (!evictor)
		return NULL;
	evictor->dev = dev;
	evictor->dir = strdup(dir);
	evictor->stats = stats;
	evictor->ended = ended;
	evictor->arg = arg;
	evictor->wake = event_new();
	evictor->epoll = epoll_create1(EPOLL_CLOEXEC);
	woken.data.fd = evictor->wake;
	if (!evictor->dir || evictor->wake < 0 || evictor->epoll < 0 ||
	    epoll_ctl(evictor->epoll, EPOLL_CTL_ADD, evictor->wake, &woken) ||
	    epoll_ctl(evictor->epoll, EPOLL_CTL_ADD, dev, &writable) ||
	    pthread_create(&evictor->thread, NULL, evictor_main, evictor)) {
		evictor_free(evictor);
		return NULL;
	}
	return evictor;
}

bool evictor_stop(struct evictor *evictor, const struct timespec *limit)
{
	atomic_store(&evictor->stopping, true);
	event_raise(evictor->wake);
	if (pthread_timedjoin_np(evictor->thread, NULL, limit))
		return false;
	evictor_free(evictor);
	return true;
}

uint64_t evictor_ask(struct evictor *evictor)
{
	uint64_t round = atomic_fetch_add(&evictor->asked, 1) + 1;

	event_raise(evictor->wake);
	return round;
}

bool evictor_has_ended(struct evictor *evictor, uint64_t round, bool *room)
{
	if (atomic_load(&evictor->done) < round)
		return false;
	/* What was removed for it, nobody may find by looking again later. */
	*room = round <= atomic_load(&evictor->removed) ||
		atomic_load(&evictor->room);
	return true;
}
