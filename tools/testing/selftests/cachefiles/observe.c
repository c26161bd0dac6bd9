// SPDX-License-Identifier: GPL-2.0
/* What an operator sees: counters, lines of the kernel's log, events. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>

#include "observe.h"

#define TRACING	"/sys/kernel/tracing"

/* A number of /proc/fs/fscache/ondemand, of the only cache; -1 if there is none. */
long long ob_counter(const char *name)
{
	char buf[8192], *at;
	ssize_t n;
	int fd;

	fd = open("/proc/fs/fscache/ondemand", O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, sizeof(buf) - 1);
	close(fd);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	at = strstr(buf, name);
	return at ? atoll(at + strlen(name)) : -1;
}

/* What the kernel logs from now on; a file descriptor. */
int ob_log_begin(void)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);

	if (log < 0 || lseek(log, 0, SEEK_END) < 0)
		return -errno;
	return log;
}

/* The next line with this text; -EAGAIN if there is none yet. */
static int next_line(int log, const char *text, char *line, size_t len)
{
	ssize_t n;

	/* One line each; EPIPE tells of some that were overwritten. */
	while ((n = read(log, line, len - 1)) > 0 || errno == EPIPE) {
		line[n > 0 ? n : 0] = 0;
		if (strstr(line, text))
			return 0;
	}
	return -errno;
}

/* How many lines have come since the last time, or the begin, with this text. */
int ob_log_count(int log, const char *fmt, ...)
{
	char text[600], line[8192];
	int count = 0, ret;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while (!(ret = next_line(log, text, line, sizeof(line))))
		count++;
	return ret == -EAGAIN ? count : ret;
}

/* Wait for a line with this text; what follows the text in it comes to @rest. */
int ob_log_wait(int log, const char *text, char *rest, size_t len, int ms)
{
	__u64 end = cf_now_ms() + ms;
	char line[8192];
	int ret;

	while ((ret = next_line(log, text, line, sizeof(line))) == -EAGAIN) {
		if (cf_now_ms() > end)
			return -ETIME;
		usleep(20000);
	}
	if (!ret)
		snprintf(rest, len, "%s", strstr(line, text) + strlen(text));
	return ret;
}

static int put(const char *file, const char *text)
{
	char path[200];
	int fd, ret;

	snprintf(path, sizeof(path), TRACING "/%s", file);
	fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, text, strlen(text)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Have the mode's events recorded, and none from before. */
int ob_events_begin(void)
{
	if (access(TRACING "/trace", F_OK) < 0 &&
	    mount("none", TRACING, "tracefs", 0, NULL) < 0)
		return -errno;
	return put("trace", "") ?: put("events/cachefiles_ondemand/enable", "1");
}

/* How many of them have this text. */
int ob_events_count(const char *fmt, ...)
{
	FILE *f = fopen(TRACING "/trace", "re");
	char text[600], line[2000];
	int count = 0;
	va_list ap;

	if (!f)
		return -errno;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	while (fgets(line, sizeof(line), f))
		count += *line != '#' && strstr(line, text);
	fclose(f);
	return count;
}

void ob_events_end(void)
{
	put("events/cachefiles_ondemand/enable", "0");
}
