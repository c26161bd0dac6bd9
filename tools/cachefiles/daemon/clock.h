/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Milliseconds of a clock that nobody sets. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>
#include <time.h>

/* A time that does not come. */
#define CLOCK_NEVER UINT64_MAX

static inline uint64_t clock_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* Timeout for epoll_wait(): rounded so that it never ends too early. */
static inline int clock_until(uint64_t due)
{
	uint64_t now;

	if (due == CLOCK_NEVER)
		return -1;
	now = clock_ms();
	if (due <= now)
		return 0;
	return due - now > 3600 * 1000 ? 3600 * 1000 : (int)(due - now);
}

#endif
