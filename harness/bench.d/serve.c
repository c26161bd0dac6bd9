// SPDX-License-Identifier: GPL-2.0
/* What the daemon does about a READ. */
#include <err.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <linux/cachefiles.h>
#include "delay.h"
#include "gauge.h"
#include "serve.h"

/* A fetch without delay of at most this is done by the thread that read the READ. */
#define INLINE_BYTES	(64 << 10)

struct blob blob = { .fd = -1 };

static uint64_t delay, unit;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool hold;
static struct gauge reads, fetches;
static unsigned int nr_pages, nr_failed;
/* With units: what has become of each, and the READs that wait for some. */
static enum { UNIT_MISSING, UNIT_COMING, UNIT_HERE } *units;
static struct fetch *waiting;

void write_blob(uint64_t off, uint64_t len)
{
	while (len) {
		ssize_t n = pwrite(blob.fd, blob.data + off, len, off);

		if (n <= 0)
			err(1, "write of %lu at %lu", len, off);
		off += n;
		len -= n;
	}
}

static void answer(struct fetch *read)
{
	int failed = ioctl(blob.fd, CACHEFILES_IOC_READ_COMPLETE, read->msg_id);

	pthread_mutex_lock(&lock);
	nr_failed += !!failed;
	gauge_end(&reads, now_ns());
	pthread_mutex_unlock(&lock);
	free(read);
}

/* Is every unit here that this READ touches? */
static bool units_here(const struct fetch *read)
{
	for (uint64_t u = read->off / unit; u * unit < read->off + read->len; u++)
		if (units[u] != UNIT_HERE)
			return false;
	return true;
}

/* Answer the READs whose units are all here. */
static void answer_ready(void)
{
	struct fetch *ready = NULL, **p = &waiting, *read;

	pthread_mutex_lock(&lock);
	while ((read = *p)) {
		if (!units_here(read)) {
			p = &read->next;
			continue;
		}
		*p = read->next;
		read->next = ready;
		ready = read;
	}
	pthread_mutex_unlock(&lock);
	while ((read = ready)) {
		ready = read->next;
		answer(read);
	}
}

/* What somebody waits for comes first. */
static void write_fetch(const struct fetch *fetch)
{
	uint64_t end = fetch->off + fetch->len;

	write_blob(fetch->first, fetch->last - fetch->first);
	write_blob(fetch->last, end - fetch->last);
	write_blob(fetch->off, fetch->first - fetch->off);
}

static void fetch_arrived(struct fetch *fetch)
{
	write_fetch(fetch);
	pthread_mutex_lock(&lock);
	gauge_end(&fetches, now_ns());
	if (!fetch->msg_id)
		units[fetch->off / unit] = UNIT_HERE;
	pthread_mutex_unlock(&lock);
	if (fetch->msg_id) {
		answer(fetch);
	} else {
		free(fetch);
		answer_ready();
	}
}

/* Without the lock. */
static void start_fetch(struct fetch *fetch)
{
	if (delay || fetch->len > INLINE_BYTES)
		delay_add(fetch);
	else
		fetch_arrived(fetch);
}

static struct fetch *new_fetch(uint32_t msg_id, uint64_t off, uint64_t len)
{
	struct fetch *fetch = malloc(sizeof(*fetch));

	if (!fetch)
		errx(1, "no memory");
	*fetch = (struct fetch){
		.msg_id = msg_id, .off = off, .len = len, .first = off, .last = off + len,
	};
	return fetch;
}

static void fetch_units(struct fetch *read)
{
	uint64_t end = read->off + read->len;
	struct fetch *new = NULL, *fetch;

	pthread_mutex_lock(&lock);
	read->next = waiting;
	waiting = read;
	for (uint64_t off = read->off / unit * unit; off < end; off += unit) {
		if (units[off / unit] != UNIT_MISSING)
			continue;
		units[off / unit] = UNIT_COMING;
		fetch = new_fetch(0, off, unit < blob.bytes - off ? unit : blob.bytes - off);
		if (read->off > fetch->first)
			fetch->first = read->off;
		if (end < fetch->last)
			fetch->last = end;
		gauge_begin(&fetches, fetch->len, now_ns());
		fetch->next = new;
		new = fetch;
	}
	pthread_mutex_unlock(&lock);
	while ((fetch = new)) {
		new = fetch->next;
		start_fetch(fetch);
	}
	answer_ready();
}

void serve_read(uint32_t msg_id, uint64_t off, uint64_t len)
{
	if (off + len > blob.bytes)
		errx(1, "READ of %lu at %lu is outside the blob", len, off);
	pthread_mutex_lock(&lock);
	gauge_begin(&reads, len, now_ns());
	nr_pages += len <= PAGE;
	if (!unit && !hold)
		gauge_begin(&fetches, len, now_ns());
	pthread_mutex_unlock(&lock);
	if (hold)
		return;
	if (unit)
		fetch_units(new_fetch(msg_id, off, len));
	else
		start_fetch(new_fetch(msg_id, off, len));
}

/* Leave READs unanswered from now on. */
void serve_hold(void)
{
	hold = true;
}

/* The numbers since the last time. */
void print_stats(void)
{
	pthread_mutex_lock(&lock);
	printf("{\"requests\": %u, \"asked_bytes\": %lu, \"one_page\": %u, \"fetches\": %u, "
	       "\"fetched_bytes\": %lu, \"average_in_flight\": %.2f, \"max_in_flight\": %u, "
	       "\"unfinished\": %u, \"failed\": %u}\n",
	       reads.total, reads.bytes, nr_pages, fetches.total, fetches.bytes,
	       gauge_average(&fetches), fetches.max, fetches.level, nr_failed);
	gauge_reset(&reads, now_ns());
	gauge_reset(&fetches, now_ns());
	nr_pages = nr_failed = 0;
	pthread_mutex_unlock(&lock);
}

void serve_start(uint64_t delay_ns, uint64_t unit_bytes)
{
	delay = delay_ns;
	unit = unit_bytes;
	if (unit)
		units = calloc(blob.bytes / unit + 1, sizeof(*units));
	delay_start(delay, fetch_arrived);
}
