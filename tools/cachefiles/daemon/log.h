/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's log: one line a message, on stderr. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>

#define __printf(fmt, args) __attribute((format(printf, fmt, args)))

/* The numbers are those of syslog. */
enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/**
 * log_init - choose what is logged, and how
 * @level: this and what is graver
 *
 * Under systemd (JOURNAL_STREAM in the environment) each line begins with its
 * level in the form <N>, else with the program's name.
 */
void log_init(enum log_level level);

/* Is a message of this level logged? */
bool log_wants(enum log_level level);

__printf(2, 3)
void log_write(enum log_level level, const char *fmt, ...);

/*
 * As log_write(), for what a failing server can cause any number of times: at
 * most LOG_BURST lines in LOG_BURST_MS, then the count of those left out.
 */
#define LOG_BURST 20
#define LOG_BURST_MS 5000
__printf(2, 3)
void log_write_limited(enum log_level level, const char *fmt, ...);

#define log_error(...)	 log_write(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_write(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)	 log_write(LOG_LEVEL_INFO, __VA_ARGS__)

/* Costs a comparison when it is off: its arguments are not computed. */
#define log_debug(...)						\
	do {							\
		if (log_wants(LOG_LEVEL_DEBUG))			\
			log_write(LOG_LEVEL_DEBUG, __VA_ARGS__);	\
	} while (0)

#endif
