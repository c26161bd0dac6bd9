// SPDX-License-Identifier: GPL-2.0
/*
 * The blobs of a power cut: what is in them, and what can be done with one.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "powercut.h"

#define FILE_SIZE	(6 << 20)
#define SMALL_SIZE	(300 << 10)

/* The same content whenever the machine is up: it depends on the name alone. */
void make_blob(struct blob *b, int round, int i)
{
	__u64 size = i < SMALL ? SMALL_SIZE : FILE_SIZE;
	int ret;

	snprintf(b->name, sizeof(b->name), "round%d.%d", round, i);
	/* Half of them end inside a granule. */
	ret = img_begin(&b->img, i % 2 ? 9 : 12);
	if (ret)
		die("no memory for %s", b->name);
	img_add(&b->img, size - 512 * i);
	img_pattern(b->img.data + b->img.file[0].pos, b->img.file[0].size,
		    1000 * round + i + 1);
	img_end(&b->img);
	b->nr = granules(b->img.size);
	b->safe = calloc(b->nr, sizeof(*b->safe));
	b->present = calloc(b->nr, sizeof(*b->present));
	b->filled_ms = calloc(b->nr, sizeof(*b->filled_ms));
	b->quiet = i % 3 == 2;
}

struct blob *blob_of(const struct od_object *o)
{
	return &blobs[o->blob - srv.blob];
}

int try_mount(struct blob *b)
{
	char path[256], opts[64];

	snprintf(path, sizeof(path), "%s/%s", env.tmp, b->name);
	snprintf(opts, sizeof(opts), "fsid=%s", b->name);
	mkdir(path, 0755);
	if (mount("none", path, "erofs", MS_RDONLY, opts) < 0)
		return -errno;
	b->mounted = true;
	return 0;
}

void mount_blob(struct blob *b)
{
	int ret = try_mount(b);

	if (ret)
		die("mount of %s: %s", b->name, strerror(-ret));
}

/* False if somebody is just reading. */
bool umount_blob(struct blob *b)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", env.tmp, b->name);
	if (umount(path) < 0) {
		if (errno != EBUSY)
			die("umount of %s: %s", b->name, strerror(errno));
		return false;
	}
	b->mounted = false;
	return true;
}

/* Returns false if the blob is not mounted. */
bool read_and_compare(struct blob *b, __u64 off, __u64 len)
{
	struct img_file *f = &b->img.file[0];
	char path[256], buf[PIECE];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/f00", env.tmp, b->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (len > f->size - off)
		len = f->size - off;
	for (; len; off += n, len -= n) {
		n = pread(fd, buf, len < PIECE ? len : PIECE, off);
		if (n <= 0)
			die("reading %s at %llu: %s", b->name,
			    (unsigned long long)off, strerror(errno));
		if (memcmp(buf, b->img.data + f->pos + off, n))
			die("bytes of %s at %llu", b->name,
			    (unsigned long long)off);
	}
	close(fd);
	return true;
}

/* Open the cache file and see what is present in it. */
int look(struct blob *b)
{
	int fd = cachefile_open(env.root, b->name, O_RDONLY);

	if (fd < 0 || cachefile_map(fd, b->img.size, b->present) < 0)
		die("the cache file of %s", b->name);
	return fd;
}
