// SPDX-License-Identifier: GPL-2.0-or-later
/* The daemon's log: one line a message, on stderr. */
#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"

/* Longer lines are cut. */
#define LINE_MAX_BYTES 1024

static enum log_level threshold = LOG_LEVEL_INFO;
static bool journal;

/* The limiter's window, shared by all threads. */
static pthread_mutex_t limit_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t window_start;
static unsigned int window_lines;
static unsigned int left_out;

void log_init(enum log_level level)
{
	threshold = level;
	journal = getenv("JOURNAL_STREAM");
}

bool log_wants(enum log_level level)
{
	return level <= threshold;
}

static const char *level_name(enum log_level level)
{
	switch (level) {
	case LOG_LEVEL_ERROR:
		return "error: ";
	case LOG_LEVEL_WARNING:
		return "warning: ";
	case LOG_LEVEL_INFO:
		return "";
	case LOG_LEVEL_DEBUG:
		return "debug: ";
	}
	return "";
}

/* One write(2) a line, so that the lines of two threads do not mix. */
__printf(2, 0)
static void log_line(enum log_level level, const char *fmt, va_list args)
{
	char line[LINE_MAX_BYTES];
	size_t len, room;
	ssize_t ret;
	size_t i;
	int n;

	if (journal)
		len = snprintf(line, sizeof(line), "<%d>", level);
	else
		len = snprintf(line, sizeof(line), "cachefiles-ondemandd: %s",
			       level_name(level));
	room = sizeof(line) - len - 1;
	n = vsnprintf(line + len, room, fmt, args);
	if (n > 0)
		len += (size_t)n < room ? (size_t)n : room - 1;
	/* Names come from elsewhere: a line stays a line, a terminal sane. */
	for (i = 0; i < len; i++)
		if ((unsigned char)line[i] < ' ' || line[i] == 0x7f)
			line[i] = '?';
	line[len++] = '\n';

	do {
		ret = write(STDERR_FILENO, line, len);
	} while (ret < 0 && errno == EINTR);
}

void log_write(enum log_level level, const char *fmt, ...)
{
	va_list args;

	if (!log_wants(level))
		return;
	va_start(args, fmt);
	log_line(level, fmt, args);
	va_end(args);
}

void log_write_limited(enum log_level level, const char *fmt, ...)
{
	unsigned int report = 0;
	uint64_t now = clock_ms();
	va_list args;
	bool quiet;

	if (!log_wants(level))
		return;

	pthread_mutex_lock(&limit_lock);
	if (now - window_start >= LOG_BURST_MS) {
		window_start = now;
		window_lines = 0;
		report = left_out;
		left_out = 0;
	}
	quiet = window_lines >= LOG_BURST;
	if (quiet)
		left_out++;
	else
		window_lines++;
	pthread_mutex_unlock(&limit_lock);

	if (report)
		log_write(level, "%u messages like the next were left out",
			  report);
	if (quiet)
		return;
	va_start(args, fmt);
	log_line(level, fmt, args);
	va_end(args);
}
