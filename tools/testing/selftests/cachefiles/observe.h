/* SPDX-License-Identifier: GPL-2.0 */
/* What an operator sees: counters, lines of the kernel's log, events. */
#ifndef CACHEFILES_SELFTEST_OBSERVE_H
#define CACHEFILES_SELFTEST_OBSERVE_H

long long ob_counter(const char *name);
int ob_log_begin(void);
int ob_log_count(int log, const char *text);
int ob_events_begin(void);
int ob_events_count(const char *text);
void ob_events_end(void);

#endif /* CACHEFILES_SELFTEST_OBSERVE_H */
