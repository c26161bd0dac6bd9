// SPDX-License-Identifier: GPL-2.0
/*
 * A disk: a file, a loop device, and a device-mapper table that says which parts
 * of it work.  The file system on it is that of the tests' directory.
 */
#include <fcntl.h>
#include <glob.h>
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

#include "blockdev.h"
#include "disk.h"

#define DISK_SIZE	(320ULL << 20)	/* the smallest that mkfs.xfs makes */
#define MAX_EXTENTS	64
/* A bad part has one that works before it, and one is behind them all. */
#define MAX_PARTS	(2 * MAX_EXTENTS + 1)

/* Some of the disk, in bytes. */
struct part {
	__u64 begin, len;
};

static int by_begin(const void *a, const void *b)
{
	const struct part *x = a, *y = b;

	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

/* One line of the table: how this part of the disk works. */
static int line(struct disk *d, struct dm_part *part, __u64 begin, __u64 end,
		const char *how)
{
	unsigned long long at = begin;

	if (begin == end)
		return 0;
	part->begin = begin;
	part->len = end - begin;
	if (!how) {
		strcpy(part->type, "linear");
		snprintf(part->params, sizeof(part->params), "%s %llu",
			 d->loop, at);
	} else if (!strcmp(how, DISK_SLOW_READS)) {
		strcpy(part->type, "delay");
		snprintf(part->params, sizeof(part->params),
			 "%s %llu %u %s %llu 0", d->loop, at, DISK_SLOW_MS,
			 d->loop, at);
	} else {
		/* Up for 0 s, down for 1 s, and so on. */
		strcpy(part->type, "flakey");
		snprintf(part->params, sizeof(part->params), "%s %llu 0 1 %s",
			 d->loop, at, how);
	}
	return 1;
}

static int change(struct disk *d, struct part *bad, int nr, const char *how)
{
	struct dm_part part[MAX_PARTS] = {};
	int i, lines = 0;
	__u64 at = 0;

	qsort(bad, nr, sizeof(*bad), by_begin);
	for (i = 0; i < nr; i++) {
		__u64 begin = bad[i].begin / SECTOR;
		__u64 end = begin + bad[i].len / SECTOR;

		lines += line(d, part + lines, at, begin, NULL);
		lines += line(d, part + lines, begin, end, how);
		at = end;
	}
	lines += line(d, part + lines, at, DISK_SIZE / SECTOR, NULL);
	return dm_load(d->name, part, lines) ?: dm_resume(d->name);
}

int disk_bad(struct disk *d, const char *how)
{
	struct part all = { .len = DISK_SIZE };

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
	char options[80];

	/* The file system of the test before is the same, and may not be gone yet. */
	snprintf(options, sizeof(options), "%s%s", d->xfs ? "nouuid," : "", d->options);
	if (mount(d->dev, d->dir, d->xfs ? "xfs" : "ext4", 0, options) < 0)
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

/* All of a file but its holes. */
static int copy(const char *from, const char *to)
{
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	off_t at = 0, end;
	int ret = 0;

	if (in < 0 || out < 0 || ftruncate(out, DISK_SIZE) < 0)
		ret = -errno;
	while (!ret) {
		at = lseek(in, at, SEEK_DATA);
		end = at < 0 ? at : lseek(in, at, SEEK_HOLE);
		if (end < 0) {
			if (errno != ENXIO)
				ret = -errno;
			break;
		}
		while (!ret && at < end) {
			off_t same = at;

			if (copy_file_range(in, &at, out, &same, end - at, 0) <= 0)
				ret = -EIO;
		}
	}
	if (in >= 0)
		close(in);
	if (out >= 0)
		close(out);
	return ret;
}

/* The file systems that the tests of one program have made are kept until its end. */
static void model_name(char *name, size_t len, const char *dir, pid_t program,
		       const char *options)
{
	snprintf(name, len, "%s/selftest-disk.%d.%s", dir, program, options);
}

static void __attribute__((destructor)) remove_models(void)
{
	char pattern[256];
	glob_t found;
	size_t i;

	model_name(pattern, sizeof(pattern), cf_cache_parent(), getpid(), "*");
	if (glob(pattern, 0, NULL, &found))
		return;
	for (i = 0; i < found.gl_pathc; i++)
		unlink(found.gl_pathv[i]);
	globfree(&found);
}

/* A file with the file system; the options are those of mke2fs. */
static int make_fs(struct disk *d, const char *img, const char *ext4)
{
	const char *options = d->xfs ? "xfs" : ext4;
	char model[256], new[160], cmd[512];

	/* Each test is a child of its program. */
	model_name(model, sizeof(model), cf_cache_parent(), getppid(), options);
	if (access(model, R_OK) < 0) {
		snprintf(new, sizeof(new), "%s/new", d->parent);
		snprintf(cmd, sizeof(cmd),
			 "exec >/dev/null 2>&1; truncate -s %llu %s && %s %s %s",
			 DISK_SIZE, new,
			 d->xfs ? "mkfs.xfs -q" : "mke2fs -q -F -t ext4",
			 d->xfs ? "" : ext4, new);
		if (system(cmd) || rename(new, model) < 0)
			return -EOPNOTSUPP;
	}
	return copy(model, img);
}

/*
 * Make the disk, with these options for mke2fs and mount(2), and mount it; it
 * becomes the environment's cache directory.
 * -EOPNOTSUPP if something is lacking here.
 */
int disk_make(struct disk *d, struct cf_env *env, const char *ext4,
	      const char *options)
{
	char img[160];
	struct statfs st;
	int ret;

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
	ret = make_fs(d, img, ext4) ?:
	      loop_attach(img, false, d->loop, sizeof(d->loop));
	if (ret) {
		*d->loop = 0;
		return ret;
	}
	snprintf(d->name, sizeof(d->name), "cachefiles-%d", getpid());
	ret = dm_create(d->name, d->dev, sizeof(d->dev)) ?: disk_well(d);
	if (ret)
		return ret;
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
		dm_remove(d->name);
	}
	loop_detach(d->loop);
	snprintf(env->root, sizeof(env->root), "%s", d->parent);
}
