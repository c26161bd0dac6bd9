/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the daemon counts since its start. */
#ifndef STATS_H
#define STATS_H

#include <stdatomic.h>
#include <stdint.h>

/**
 * struct stats - counters
 * @opens: OPEN messages
 * @open_errors: those answered with an error
 * @closes: CLOSE messages
 * @complete: objects that became, or were, complete
 * @reads: READ messages
 * @read_errors: those answered without being filled, or with an error
 * @read_bytes: bytes that READs asked for
 * @joined: READs that waited for bytes which another one was fetching
 * @present: READs for bytes that had been filled in the meantime
 * @fetches: ranges fetched from the source
 * @fetch_bytes: bytes written into the cache
 * @retries: requests to the source that were tried again
 * @evictions: rounds of eviction
 * @evicted: blobs that were removed
 * @evicted_bytes: bytes that they had
 * @refills: fetches that were tried again after a round
 * @in_flight: READs being served now
 * @max_in_flight: the most there ever were
 */
struct stats {
	atomic_ullong opens;
	atomic_ullong open_errors;
	atomic_ullong closes;
	atomic_ullong complete;
	atomic_ullong reads;
	atomic_ullong read_errors;
	atomic_ullong read_bytes;
	atomic_ullong joined;
	atomic_ullong present;
	atomic_ullong fetches;
	atomic_ullong fetch_bytes;
	atomic_ullong retries;
	atomic_ullong evictions;
	atomic_ullong evicted;
	atomic_ullong evicted_bytes;
	atomic_ullong refills;
	atomic_ullong in_flight;
	atomic_ullong max_in_flight;
};

static inline void stats_add(atomic_ullong *counter, uint64_t n)
{
	atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

static inline unsigned long long stats_get(atomic_ullong *counter)
{
	return atomic_load_explicit(counter, memory_order_relaxed);
}

/* A READ begins: count it as in flight. */
void stats_begin_read(struct stats *stats, uint64_t bytes);

/* It was answered, or given up; @error is 0 if it was filled. */
void stats_end_read(struct stats *stats, int error);

/* Write all of it to the log, with the memory that was used at most. */
void stats_log(struct stats *stats);

#endif
