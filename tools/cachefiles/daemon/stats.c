// SPDX-License-Identifier: GPL-2.0-or-later
/* What the daemon counts since its start. */
#include <errno.h>
#include <sys/resource.h>

#include "log.h"
#include "stats.h"

void stats_begin_read(struct stats *stats, uint64_t bytes)
{
	unsigned long long now, max;

	stats_add(&stats->reads, 1);
	stats_add(&stats->read_bytes, bytes);
	now = atomic_fetch_add_explicit(&stats->in_flight, 1,
					memory_order_relaxed) + 1;
	max = stats_get(&stats->max_in_flight);
	while (now > max &&
	       !atomic_compare_exchange_weak_explicit(&stats->max_in_flight,
						      &max, now,
						      memory_order_relaxed,
						      memory_order_relaxed))
		;
}

void stats_end_read(struct stats *stats, int error)
{
	if (error && error != -ECANCELED)
		stats_add(&stats->read_errors, 1);
	atomic_fetch_sub_explicit(&stats->in_flight, 1, memory_order_relaxed);
}

void stats_log(struct stats *stats)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	log_info("statistics: opens=%llu open_errors=%llu closes=%llu complete=%llu reads=%llu read_errors=%llu read_bytes=%llu joined=%llu present=%llu fetches=%llu fetch_bytes=%llu retries=%llu evictions=%llu evicted=%llu evicted_bytes=%llu refills=%llu in_flight=%llu max_in_flight=%llu max_rss_kib=%ld",
		 stats_get(&stats->opens),
		 stats_get(&stats->open_errors),
		 stats_get(&stats->closes),
		 stats_get(&stats->complete),
		 stats_get(&stats->reads),
		 stats_get(&stats->read_errors),
		 stats_get(&stats->read_bytes),
		 stats_get(&stats->joined),
		 stats_get(&stats->present),
		 stats_get(&stats->fetches),
		 stats_get(&stats->fetch_bytes),
		 stats_get(&stats->retries),
		 stats_get(&stats->evictions),
		 stats_get(&stats->evicted),
		 stats_get(&stats->evicted_bytes),
		 stats_get(&stats->refills),
		 stats_get(&stats->in_flight),
		 stats_get(&stats->max_in_flight),
		 usage.ru_maxrss);
}
