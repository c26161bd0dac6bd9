/* SPDX-License-Identifier: GPL-2.0-or-later */
/* An eventfd that wakes a thread out of its epoll_wait(). */
#ifndef EVENT_H
#define EVENT_H

#include <errno.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <unistd.h>

static inline int event_new(void)
{
	return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
}

static inline void event_raise(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static inline void event_lower(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

#endif
