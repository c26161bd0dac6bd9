/* SPDX-License-Identifier: GPL-2.0 */
/* How many of a thing there are at a time, on average and at most. */
#ifndef _GAUGE_H
#define _GAUGE_H

#include <stdint.h>

/**
 * struct gauge - counts things that begin and end
 * @level: how many there are
 * @max: the most there have been
 * @total: how many have begun
 * @bytes: what they have asked for together
 * @first: when the first one began
 * @changed: when @level changed last
 * @area: sum of @level times nanoseconds, up to @changed
 *
 * The average is over the time from the first begin to the last end, so gaps
 * with nothing to do lower it.
 */
struct gauge {
	unsigned int	level;
	unsigned int	max;
	unsigned int	total;
	uint64_t	bytes;
	uint64_t	first;
	uint64_t	changed;
	uint64_t	area;
};

static inline void gauge_move(struct gauge *gauge, int by, uint64_t now)
{
	gauge->area += gauge->level * (now - gauge->changed);
	gauge->changed = now;
	gauge->level += by;
}

static inline void gauge_begin(struct gauge *gauge, uint64_t bytes, uint64_t now)
{
	if (!gauge->total++)
		gauge->first = gauge->changed = now;
	gauge->bytes += bytes;
	gauge_move(gauge, 1, now);
	if (gauge->level > gauge->max)
		gauge->max = gauge->level;
}

static inline void gauge_end(struct gauge *gauge, uint64_t now)
{
	gauge_move(gauge, -1, now);
}

static inline double gauge_average(const struct gauge *gauge)
{
	return gauge->changed > gauge->first ?
		(double)gauge->area / (gauge->changed - gauge->first) : 0;
}

/* Start anew; what has begun and not ended begins again now. */
static inline void gauge_reset(struct gauge *gauge, uint64_t now)
{
	unsigned int level = gauge->level;

	*gauge = (struct gauge){ .level = level, .max = level, .total = level, .first = now,
				 .changed = now };
}

#endif /* _GAUGE_H */
