// SPDX-License-Identifier: GPL-2.0
/*
 * A disk: a file, a loop device, and a device-mapper table that says which parts
 * of it work.  The file system on it is that of the tests' directory.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "disk.h"

#define SECTOR		512
#define MAX_EXTENTS	64
/* There is no udev to speak to, and dmsetup makes the nodes itself. */
#define DMSETUP		"DM_DISABLE_UDEV=1 dmsetup "

static int __printf(1, 2) shell(const char *fmt, ...)
{
	char cmd[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	return system(cmd) ? -EIO : 0;
}

static int output(const char *cmd, char *buf, size_t len)
{
	FILE *f = popen(cmd, "r");
	int ret;

	if (!f)
		return -errno;
	ret = fgets(buf, len, f) ? 0 : -EIO;
	buf[strcspn(buf, "\n")] = 0;
	return pclose(f) ? -EIO : ret;
}

/* One line of the table: how this part of the disk works. */
static void line(FILE *f, struct disk *d, __u64 begin, __u64 end,
		 const char *how)
{
	unsigned long long at = begin, nr = end - begin;

	if (!nr)
		return;
	if (!how)
		fprintf(f, "%llu %llu linear %s %llu\n", at, nr, d->loop, at);
	else if (!strcmp(how, DISK_SLOW_READS))
		fprintf(f, "%llu %llu delay %s %llu %u %s %llu 0\n", at, nr,
			d->loop, at, DISK_SLOW_MS, d->loop, at);
	else	/* Up for 0 s, down for 1 s, and so on. */
		fprintf(f, "%llu %llu flakey %s %llu 0 1 %s\n", at, nr, d->loop,
			at, how);
}

/* Some of the disk, in bytes. */
struct part {
	__u64 begin, len;
};

static int by_begin(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* @verb: create, or load for a device that there is. */
static int table(struct disk *d, const char *verb, struct part *bad, int nr,
		 const char *how)
{
	char cmd[128];
	__u64 at = 0;
	FILE *f;
	int i;

	snprintf(cmd, sizeof(cmd), DMSETUP "%s %s", verb, d->name);
	f = popen(cmd, "w");
	if (!f)
		return -errno;
	qsort(bad, nr, sizeof(*bad), by_begin);
	for (i = 0; i < nr; i++) {
		__u64 begin = bad[i].begin / SECTOR;
		__u64 end = begin + bad[i].len / SECTOR;

		line(f, d, at, begin, NULL);
		line(f, d, begin, end, how);
		at = end;
	}
	line(f, d, at, d->sectors, NULL);
	return pclose(f) ? -EIO : 0;
}

/* Neither the file system nor its I/O under way is to know of it. */
static int change(struct disk *d, struct part *bad, int nr, const char *how)
{
	return table(d, "load", bad, nr, how) ?:
	       shell(DMSETUP "suspend --nolockfs --noflush %s", d->name) ?:
	       shell(DMSETUP "resume --nolockfs --noflush %s", d->name);
}

int disk_bad(struct disk *d, const char *how)
{
	struct part all = { .len = d->sectors * SECTOR };

	return change(d, &all, 1, how);
}

int disk_well(struct disk *d)
{
	return change(d, NULL, 0, NULL);
}

/*
 * Only where this part of a file is, of whole blocks; it has to have been
 * allocated.  FIEMAP would ask for the tester's memory under locks of the file
 * system that reads of an image on it take under a page fault.
 */
int disk_bad_range(struct disk *d, int fd, __u64 off, __u64 len,
		   const char *how)
{
	struct part part[MAX_EXTENTS];
	int nr = 0, size;
	__u64 at;

	/* What is still to be allocated is now; errors are what this is for. */
	fsync(fd);
	if (ioctl(fd, FIGETBSZ, &size) < 0)
		return -errno;
	for (at = off; at < off + len; at += size) {
		int block = at / size;
		__u64 begin;

		if (ioctl(fd, FIBMAP, &block) < 0)
			return -errno;
		if (!block)
			return -ENODATA;
		begin = block * (__u64)size;
		if (nr && part[nr - 1].begin + part[nr - 1].len == begin) {
			part[nr - 1].len += size;
		} else {
			if (nr == MAX_EXTENTS)
				return -E2BIG;
			part[nr].begin = begin;
			part[nr++].len = size;
		}
	}
	return change(d, part, nr, how);
}

int disk_mount(struct disk *d)
{
	if (mount(d->dev, d->dir, d->xfs ? "xfs" : "ext4", 0, d->options) < 0)
		return -errno;
	return 0;
}

/* The kernel may still be letting go of the last cache file. */
int disk_umount(struct disk *d)
{
	__u64 end = cf_now_ms() + WAIT_MS;

	while (umount(d->dir) < 0) {
		if (errno != EBUSY || cf_now_ms() > end)
			return -errno;
		usleep(10000);
	}
	return 0;
}

int disk_sync(struct disk *d)
{
	int fd = open(d->dir, O_RDONLY | O_CLOEXEC);
	int ret = fd < 0 || syncfs(fd) < 0 ? -errno : 0;

	close(fd);
	return ret;
}

/*
 * Make the disk, with these options for mke2fs and mount(2), and mount it; it
 * becomes the environment's cache directory.
 * -EOPNOTSUPP if something is lacking here.
 */
int disk_make(struct disk *d, struct cf_env *env, const char *ext4,
	      const char *options)
{
	char cmd[512], img[160];
	struct statfs st;

	memset(d, 0, sizeof(*d));
	if (statfs(env->root, &st) < 0)
		return -errno;
	d->xfs = st.f_type == XFS_SUPER_MAGIC;
	snprintf(d->parent, sizeof(d->parent), "%s", env->root);
	snprintf(d->dir, sizeof(d->dir), "%.120s/disk", env->root);
	snprintf(d->options, sizeof(d->options), "%s", options);
	snprintf(img, sizeof(img), "%s/img", env->root);
	if (mkdir(d->dir, 0755) < 0)
		return -errno;
	/* The smallest that mkfs.xfs makes. */
	snprintf(cmd, sizeof(cmd),
		 "exec 2>/dev/null; truncate -s 320M %s && losetup -f --show %s",
		 img, img);
	if (output(cmd, d->loop, sizeof(d->loop)))
		return -EOPNOTSUPP;
	d->sectors = (320ULL << 20) / SECTOR;
	snprintf(d->name, sizeof(d->name), "cachefiles-%d", getpid());
	snprintf(d->dev, sizeof(d->dev), "/dev/mapper/%s", d->name);
	if (table(d, "create", NULL, 0, NULL) ||
	    shell("%s %s %s >/dev/null", d->xfs ? "mkfs.xfs -q" : "mke2fs -q -t ext4",
		  d->xfs ? "" : ext4, d->dev))
		return -EOPNOTSUPP;
	if (disk_mount(d))
		return -EOPNOTSUPP;
	snprintf(env->root, sizeof(env->root), "%s", d->dir);
	return 0;
}

/* Whatever state the test has left it in. */
void disk_fini(struct disk *d, struct cf_env *env)
{
	if (!*d->loop)
		return;
	if (*d->name) {
		disk_well(d);
		umount2(d->dir, MNT_DETACH);
		/* They go when nobody uses them any more. */
		shell(DMSETUP "remove --deferred %s", d->name);
	}
	shell("losetup -d %s", d->loop);
	snprintf(env->root, sizeof(env->root), "%s", d->parent);
}
