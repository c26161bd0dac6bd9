/* SPDX-License-Identifier: GPL-2.0 */
/* What an operator sees: counters, lines of the kernel's log, events. */
#ifndef CACHEFILES_SELFTEST_OBSERVE_H
#define CACHEFILES_SELFTEST_OBSERVE_H

#include "common.h"

/* How a line of ours begins in /dev/kmsg. */
#define OB_OURS	";CacheFiles: "

long long ob_counter(const char *name);
int ob_log_begin(void);
int __printf(2, 3) ob_log_count(int log, const char *fmt, ...);
int ob_log_wait(int log, const char *text, char *rest, size_t len, int ms);
int ob_events_begin(void);
int __printf(1, 2) ob_events_count(const char *fmt, ...);
void ob_events_end(void);

#endif /* CACHEFILES_SELFTEST_OBSERVE_H */
