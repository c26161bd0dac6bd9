// SPDX-License-Identifier: GPL-2.0
/*
 * What must hold when the power is back.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "powercut.h"

static int fill_if_unclaimed(struct od_server *s, struct od_object *o,
			     __u64 off, __u64 len)
{
	struct blob *b = blob_of(o);
	__u64 i;

	for (i = off / GRANULE; i < granules(off + len); i++)
		if (b->safe[i])
			die("granule %llu of %s was safe and is asked for",
			    (unsigned long long)i, b->name);
	b->asked += granules(len);
	return od_fill(s, o, off, len);
}

const struct od_ops check_ops = { od_open, fill_if_unclaimed, od_reply };

void read_claims(const char *path)
{
	unsigned long long first, last;
	char line[128], name[24], dot;
	FILE *f = fopen(path, "r");
	int i;

	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "complete %23s %c", name, &dot) == 2 && dot == '.') {
			for (i = 0; i < BLOBS; i++)
				blobs[i].complete |= !strcmp(name, blobs[i].name);
			continue;
		}
		if (sscanf(line, "safe %23s %llu %llu %c", name, &first, &last,
			   &dot) != 4 || dot != '.')
			continue;
		for (i = 0; i < BLOBS; i++) {
			struct blob *b = &blobs[i];

			if (strcmp(name, b->name))
				continue;
			for (; first <= last && first < b->nr; first++)
				b->safe[first] = true;
		}
	}
	fclose(f);
}

/* Zeros for each hole of a cache file. */
static void zero_holes(struct blob *b)
{
	static const char zeros[PIECE];
	int fd = cachefile_open(env.root, b->name, O_RDWR);
	off_t at = 0, end;
	ssize_t n;

	if (fd == -ENOENT)
		return;
	if (fd < 0)
		die("the cache file of %s: %s", b->name, strerror(-fd));
	while ((at = lseek(fd, at, SEEK_HOLE)) >= 0 && at < lseek(fd, 0, SEEK_END)) {
		end = lseek(fd, at, SEEK_DATA);
		if (end < 0)
			end = lseek(fd, 0, SEEK_END);
		for (; at < end; at += n) {
			n = pwrite(fd, zeros, end - at < PIECE ? end - at : PIECE, at);
			if (n <= 0)
				die("zeros for %s: %s", b->name, strerror(errno));
		}
	}
	if (fsync(fd) < 0)
		die("fsync of %s: %s", b->name, strerror(errno));
	close(fd);
}

void zero(void)
{
	int i;

	for (i = 0; i < BLOBS; i++)
		zero_holes(&blobs[i]);
}

void alone(void)
{
	int i, ret, claimed = 0, complete = 0;

	for (i = 0; i < BLOBS; i++) {
		struct blob *b = &blobs[i];

		ret = try_mount(b);
		claimed += b->complete;
		if (ret == -ENOTCONN && !b->complete)
			continue;
		if (ret)
			die("mount of %s without a daemon: %s", b->name, strerror(-ret));
		if (!read_and_compare(b, 0, b->img.file[0].size))
			die("%s cannot be opened", b->name);
		if (!umount_blob(b))
			die("%s stays in use", b->name);
		complete++;
	}
	printf("without a daemon: %d of %d were complete, %d known to be\n", complete, BLOBS,
	       claimed);
	fflush(stdout);
}

void check(void)
{
	__u64 safe = 0, asked = 0, nr = 0, g;
	int i;

	for (i = 0; i < BLOBS; i++) {
		struct blob *b = &blobs[i];
		__u64 first = b->img.file[0].pos / GRANULE;

		mount_blob(b);
		if (!read_and_compare(b, 0, b->img.file[0].size))
			die("%s cannot be opened", b->name);
		if (!umount_blob(b) ||
		    cachefile_wait_closed(env.dev, env.root, b->name))
			die("%s stays in use", b->name);
		for (g = first; g < b->nr; g++)
			safe += b->safe[g];
		close(look(b));
		for (g = first; g < b->nr; g++)
			if (!b->present[g])
				die("granule %llu of %s is lost again",
				    (unsigned long long)g, b->name);
		asked += b->asked;
		nr += b->nr - first;
		if (cachefile_cull(env.dev, env.root, b->name))
			die("%s cannot be culled", b->name);
	}
	if (od_stop(&srv))
		die("%s", srv.error);
	printf("checked: of %llu granules %llu were known to be safe, %llu were asked for\n",
	       (unsigned long long)nr, (unsigned long long)safe,
	       (unsigned long long)asked);
	fflush(stdout);
}
