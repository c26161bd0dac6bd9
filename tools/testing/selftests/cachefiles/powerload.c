// SPDX-License-Identifier: GPL-2.0
/*
 * The load under which the power is cut, and what it says of it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "powercut.h"

#define MAX_FILL	(512 << 10)

/*
 * The kernel writes the map back 5 s after a fill; it has to wait for the disk,
 * which has much to do, twice.
 */
#define LATE_MS		18000

unsigned int draw(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* What [off, off + len) has been filled from end to end. */
static void note_fill(struct blob *b, __u64 off, __u64 len)
{
	__u64 i, end = off + len;

	for (i = granules(off); i < b->nr; i++) {
		if ((i + 1) * GRANULE > end && end != img_of(b)->size)
			break;
		if (i * GRANULE >= end)
			break;
		if (!b->filled_ms[i])
			__atomic_store_n(&b->filled_ms[i], cf_now_ms(),
					 __ATOMIC_RELEASE);
	}
}

static int fill_and_note(struct od_server *s, struct od_object *o, __u64 off,
			 __u64 len)
{
	struct blob *b = blob_of(o);
	int ret = od_fill(s, o, off, len);

	/* One that changes may already be another: its own load does the noting. */
	if (!ret && b->nr_versions == 1)
		note_fill(b, off, len);
	return ret;
}

const struct od_ops load_ops = { open_blob, fill_and_note, od_reply };

/* The fd of a blob, if it is open, to write to while it may go away. */
static int dup_fd(struct blob *b)
{
	struct od_object *o, *last = NULL;
	int fd = -1;

	pthread_mutex_lock(&srv.lock);
	/* The CLOSE of the one before may be still to come. */
	for (o = srv.object; o < srv.object + OD_MAX_OBJECTS; o++)
		if (o->id && !o->closed && blob_of(o) == b &&
		    (!last || o->id > last->id))
			last = o;
	if (last)
		fd = dup(last->fd);
	pthread_mutex_unlock(&srv.lock);
	return fd;
}

void fill(struct blob *b, __u64 off, __u64 len)
{
	struct img *img = img_of(b);
	int fd = dup_fd(b);
	ssize_t n;

	if (fd < 0)
		return;
	if (len > img->size - off)
		len = img->size - off;
	n = pwrite(fd, img->data + off, len, off);
	if (n < 0 && errno != ESTALE && errno != ENOBUFS)
		die("filling %s: %s", b->name, strerror(errno));
	if (n > 0)
		note_fill(b, off, n);
	close(fd);
}

/* Pieces of all sizes, in no order; small ones often end inside a granule. */
static void *filler(void *arg)
{
	unsigned int seed = (unsigned long)arg;

	for (;;) {
		struct blob *b = &blobs[draw(&seed) % LASTING];
		__u64 off = draw(&seed) % img_of(b)->size;
		__u64 len = 1 + (draw(&seed) % MAX_FILL >> draw(&seed) % 8);

		if (draw(&seed) % 4)
			off -= off % GRANULE;
		fill(b, off, len);
		usleep(draw(&seed) % 100000);
	}
	return NULL;
}

static void *reader(void *arg)
{
	unsigned int seed = (unsigned long)arg;

	for (;;) {
		struct blob *b = &blobs[draw(&seed) % LASTING];

		read_and_compare(b, draw(&seed) % file_of(b)->size,
				 draw(&seed) % PIECE + 1);
		usleep(draw(&seed) % 400000);
	}
	return NULL;
}

/* What the cache file has, it is to have for ever once it has been fsynced. */
static void claim(struct blob *b, int fd)
{
	__u64 i, first;

	if (fsync(fd) < 0)
		die("fsync of %s: %s", b->name, strerror(errno));
	for (i = 0; i < b->nr; i++) {
		if (!b->present[i] || b->safe[i])
			continue;
		for (first = i; i < b->nr && b->present[i]; i++)
			b->safe[i] = true;
		printf("safe %s %llu %llu .\n", b->name,
		       (unsigned long long)first, (unsigned long long)i - 1);
	}
	fflush(stdout);
}

/* What was filled before @before_ms has to be there. */
static void look_and_claim(struct blob *b, __u64 before_ms)
{
	int fd = look(b);
	__u64 i;

	for (i = 0; i < b->nr; i++) {
		__u32 ms = __atomic_load_n(&b->filled_ms[i], __ATOMIC_ACQUIRE);

		if (ms && ms < before_ms && !b->present[i])
			die("granule %llu of %s is not in the map after %llu ms",
			    (unsigned long long)i, b->name,
			    (unsigned long long)(cf_now_ms() - ms));
	}
	if (!b->quiet)
		claim(b, fd);
	close(fd);
}

/* A drop does not wait for the delay: all is in the file when it is closed. */
bool close_and_claim(struct blob *b)
{
	__u64 before = cf_now_ms();

	if (!umount_blob(b))
		return false;
	if (cachefile_wait_closed(env.dev, env.root, b->name))
		die("%s stays in use", b->name);
	look_and_claim(b, before);
	/* What is closed and has all has been recorded so, before it was fsynced. */
	if (!b->quiet && !memchr(b->present, false, b->nr)) {
		printf("complete %s .\n", b->name);
		fflush(stdout);
	}
	return true;
}

static void set(const char *sysctl, const char *value)
{
	int fd = open(sysctl, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		die("%s: %s", sysctl, strerror(errno));
	close(fd);
}

/* Have pages reach the disk by themselves, as they do in the course of hours. */
static void write_back_often(void)
{
	set("/proc/sys/vm/dirty_writeback_centisecs", "50");
	set("/proc/sys/vm/dirty_expire_centisecs", "200");
}

void load(unsigned int seed)
{
	void *(*const fn[])(void *) = {
		filler, filler, reader, reader, changer, changer,
	};
	unsigned long i;
	pthread_t t;

	write_back_often();
	for (i = 0; i < BLOBS; i++)
		mount_blob(&blobs[i]);
	for (i = 0; i < ARRAY_SIZE(fn); i++)
		if (pthread_create(&t, NULL, fn[i],
				   (void *)(seed * ARRAY_SIZE(fn) + i)))
			die("no threads");
	printf("power-cut\n");
	fflush(stdout);

	for (;;) {
		struct blob *b = &blobs[draw(&seed) % LASTING];
		__u64 now = cf_now_ms();

		if (*srv.error)
			die("%s", srv.error);
		if (draw(&seed) % 8 == 0) {
			if (close_and_claim(b))
				mount_blob(b);
		} else if (draw(&seed) % 16 == 0) {
			b = &blobs[draw(&seed) % SMALL];
			fill(b, 0, img_of(b)->size);
		} else if (b->mounted && now > b->due_ms) {
			look_and_claim(b, now > LATE_MS ? now - LATE_MS : 0);
			b->due_ms = now + 500 + draw(&seed) % 4000;
		}
		if (draw(&seed) % 16 == 0)
			empty_graveyard();
		usleep(draw(&seed) % 200000);
	}
}
