// SPDX-License-Identifier: GPL-2.0-or-later
/* What the daemon counts since its start. */
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
	if (error)
		stats_add(&stats->read_errors, 1);
	atomic_fetch_sub_explicit(&stats->in_flight, 1, memory_order_relaxed);
}

void stats_log(struct stats *stats)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
#define N(field) ((unsigned long long)stats_get(&stats->field))
	log_info("statistics: opens=%llu open_errors=%llu closes=%llu reads=%llu read_errors=%llu read_bytes=%llu joined=%llu present=%llu fetches=%llu fetch_bytes=%llu retries=%llu in_flight=%llu max_in_flight=%llu max_rss_kib=%ld",
		 N(opens), N(open_errors), N(closes), N(reads),
		 N(read_errors), N(read_bytes), N(joined), N(present),
		 N(fetches), N(fetch_bytes), N(retries), N(in_flight),
		 N(max_in_flight), usage.ru_maxrss);
#undef N
}
