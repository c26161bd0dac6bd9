// SPDX-License-Identifier: GPL-2.0
/*
 * What must hold when the power is back.
 */
#include <fcntl.h>
#include <glob.h>
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

const struct od_ops check_ops = { open_blob, fill_if_unclaimed, od_reply };

static struct blob *find_blob(const char *name)
{
	struct blob *b;

	for (b = blobs; b < blobs + BLOBS; b++)
		if (!strcmp(b->name, name))
			return b;
	return NULL;
}

static void read_claim(const char *line)
{
	unsigned long long first, last;
	char name[24], dot = 0;
	struct blob *b;
	int version;

	if (sscanf(line, "%*s %23s", name) != 1)
		return;
	b = find_blob(name);
	if (!b)
		return;
	if (sscanf(line, "safe %*s %llu %llu %c", &first, &last, &dot) == 3 && dot == '.') {
		for (; first <= last && first < b->nr; first++)
			b->safe[first] = true;
	} else if (sscanf(line, "complete %*s %c", &dot) == 1 && dot == '.') {
		b->complete = true;
	} else if (sscanf(line, "culled %*s %c", &dot) == 1 && dot == '.') {
		b->culled = true;
	} else if (sscanf(line, "new %*s %d %c", &version, &dot) == 2 && dot == '.' &&
		   version >= 0 && version < b->nr_versions) {
		if (version != b->version)
			b->version_before = b->version;
		start_empty(b, version);
	}
}

/* They void each other, so their order matters. */
void read_claims(const char *path)
{
	FILE *f = fopen(path, "r");
	char line[128];

	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f))
		read_claim(line);
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

/* Whether a blob that was culled is gone; else nothing of it may be missing. */
static bool is_gone(struct blob *b)
{
	char path[512];

	return b->culled && cachefile_path(env.root, b->name, path, sizeof(path));
}

/* A blob without a daemon may still be what it was before. */
static int recorded_version(struct blob *b)
{
	int fd = cachefile_open(env.root, b->name, O_RDONLY), v;
	long long size = -ENOENT;

	if (fd >= 0) {
		size = cachefile_size(fd);
		close(fd);
	}
	for (v = 0; v < b->nr_versions; v++)
		if (size == (long long)b->img[v].size)
			return v;
	return size == -ENOENT || size == -ENODATA ? size : -EINVAL;
}

void alone(void)
{
	int i, ret, version, claimed = 0, complete = 0;

	for (i = 0; i < BLOBS; i++) {
		struct blob *b = &blobs[i];
		bool must = b->complete && !is_gone(b);

		ret = try_mount(b);
		claimed += must;
		if (ret == -ENOTCONN && !must)
			continue;
		if (ret)
			die("mount of %s without a daemon: %s", b->name, strerror(-ret));
		version = recorded_version(b);
		if (version < 0 || (must && version != b->version))
			die("%s is mounted without a daemon, but not version %d", b->name,
			    b->version);
		b->version = version;
		if (!read_and_compare(b, 0, file_of(b)->size))
			die("%s cannot be opened", b->name);
		if (!umount_blob(b))
			die("%s stays in use", b->name);
		complete++;
	}
	printf("without a daemon: %d of %d were complete, %d known to be\n", complete, BLOBS,
	       claimed);
	fflush(stdout);
}

/* Every byte, and then all of it is there. */
static void check_all(struct blob *b)
{
	__u64 g;

	mount_blob(b);
	if (!read_and_compare(b, 0, file_of(b)->size))
		die("%s cannot be opened", b->name);
	if (!umount_blob(b) || cachefile_wait_closed(env.dev, env.root, b->name))
		die("%s stays in use", b->name);
	close(look(b));
	for (g = file_of(b)->pos / GRANULE; g < b->nr; g++)
		if (!b->present[g])
			die("granule %llu of %s is lost again", (unsigned long long)g, b->name);
}

static void cull_file(struct blob *b)
{
	if (cachefile_cull(env.dev, env.root, b->name))
		die("%s cannot be culled", b->name);
}

/* What the power cut has left of one that changes can be used as any other. */
static void check_changes(struct blob *b)
{
	start_empty(b, (b->version + 1) % VERSIONS);
	check_all(b);
	cull_file(b);
	check_all(b);
}

/* Nothing may stay which cannot be removed. */
static void cull_everything(void)
{
	char pattern[256];
	glob_t found;
	size_t i;

	snprintf(pattern, sizeof(pattern), "%s/cache/*", env.root);
	if (glob(pattern, GLOB_NOSORT, NULL, &found))
		die("no volumes");
	for (i = 0; i < found.gl_pathc; i++)
		cull_path(found.gl_pathv[i]);
	globfree(&found);
	empty_graveyard();
}

/* What a power cut has left of blobs that change; tells what the cuts have met. */
static void tell_left(void)
{
	int nr_gone = 0, nr_empty = 0, nr_other = 0;
	struct blob *b;

	for (b = blobs + LASTING; b < blobs + BLOBS; b++) {
		int version = recorded_version(b);

		if (version == -ENOENT)
			nr_gone++;
		else if (version == -ENODATA)
			nr_empty++;
		else if (version < 0)
			die("the cache file of %s is for no version", b->name);
		else if (version != b->version)
			nr_other++;
	}
	printf("left: of %d cache files %d are gone, %d begin empty, %d are for another version\n",
	       CHANGING, nr_gone, nr_empty, nr_other);
}

void check(int round)
{
	__u64 safe = 0, asked = 0, nr = 0, g;
	int i;

	tell_left();
	for (i = 0; i < BLOBS; i++) {
		struct blob *b = &blobs[i];

		if (is_gone(b))
			start_empty(b, b->version);
		/* A daemon may also be one that has not heard of the last change. */
		if (b->nr_versions > 1 && (round + i) % 3 == 0)
			start_empty(b, b->version_before);
		check_all(b);
		for (g = file_of(b)->pos / GRANULE; g < b->nr; g++)
			safe += b->safe[g];
		asked += b->asked;
		nr += b->nr - file_of(b)->pos / GRANULE;
		if (b->nr_versions > 1)
			check_changes(b);
		cull_file(b);
	}
	cull_everything();
	if (od_stop(&srv))
		die("%s", srv.error);
	printf("checked: of %llu granules %llu were known to be safe, %llu were asked for\n",
	       (unsigned long long)nr, (unsigned long long)safe,
	       (unsigned long long)asked);
	fflush(stdout);
}
