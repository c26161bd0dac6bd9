// SPDX-License-Identifier: GPL-2.0
/*
 * Those who mount and unmount, well and badly, and are killed while they do.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "odfuzz.h"

#define EROFS_MAGIC	0xe0f5e1e2U

/* Of the new mount API; the C library may have no names for it yet. */
#define CMD_STRING	1
#define CMD_CREATE	6

static bool is_mounted(const char *path)
{
	struct statfs st;

	return !statfs(path, &st) && (__u32)st.f_type == EROFS_MAGIC;
}

/* The image's own options and some that change nothing of what is read. */
static void options_of(struct fz_worker *w, const struct fz_image *img, char *opts, size_t size)
{
	static const char * const more[] = {
		"", "", "", "", ",directio", ",nodirectio", ",noacl", ",cache_strategy=disabled",
		",cache_strategy=readahead", ",cache_strategy=readaround",
	};

	snprintf(opts, size, "%s%s", img->opts, more[fz_below(w, FZ_NELEM(more))]);
}

static long check_mount(const struct fz_image *img, int ret)
{
	/* Nobody answers with this, and the cache has no other user. */
	if (ret == -EBUSY && fz->features)
		fz_fail("mount of %s: EBUSY", img->opts);
	return ret;
}

static long do_mount(struct fz_worker *w, void *ctx)
{
	int i = fz_below(w, fz_nr_images), j = fz_below(w, FZ_POINTS);
	char path[200], opts[200];
	int ret;

	/* The spoiled ones fill the log. */
	if (!fz_image[i].honest && fz_chance(w, 50))
		i = fz_below(w, fz_nr_images);
	fz_point(path, sizeof(path), i, j);
	if (is_mounted(path) && fz_chance(w, 85)) {
		j = (j + 1) % FZ_POINTS;
		fz_point(path, sizeof(path), i, j);
	}
	if (is_mounted(path) && fz_chance(w, 85))
		return -EALREADY;
	options_of(w, &fz_image[i], opts, sizeof(opts));
	ret = mount("none", path, "erofs", MS_RDONLY, opts) < 0 ? -errno : 0;
	if (!ret)
		fz->mounted[i][j] = fz->term;
	return check_mount(&fz_image[i], ret);
}

static long do_umount(struct fz_worker *w, void *ctx)
{
	static const int flags[] = { 0, 0, MNT_DETACH, MNT_DETACH, MNT_FORCE, MNT_EXPIRE };
	int i = fz_below(w, fz_nr_images), j = fz_below(w, FZ_POINTS), n;
	char path[200];

	for (n = 0; n < 4; n++, i = (i + 1) % fz_nr_images) {
		fz_point(path, sizeof(path), i, j);
		if (is_mounted(path))
			break;
	}
	fz->mounted[i][j] = 0;
	return umount2(path, flags[fz_below(w, FZ_NELEM(flags))]) < 0 ? -errno : 0;
}

static long do_remount(struct fz_worker *w, void *ctx)
{
	int i = fz_below(w, fz_nr_images);
	char path[200], opts[200];

	fz_point(path, sizeof(path), i, fz_below(w, FZ_POINTS));
	options_of(w, &fz_image[i], opts, sizeof(opts));
	return mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, fz_chance(w, 50) ? opts : "") < 0 ?
	       -errno : 0;
}

static long do_bad_mount(struct fz_worker *w, void *ctx)
{
	static const char * const bad[] = {
		"fsid=", "fsid", "fsid=a/b", "fsid=..", "fsid=.", "fsid=%s%n", "fsid=nobody",
		"fsid=nobody,domain_id=", "fsid=nobody,domain_id=a/b", "domain_id=da",
		"device=blob0",
		"fsid=plain0,device=nobody", "fsid=chunks0,device=blob0", "fsid=chunks0",
		"fsid=chunks0,device=blob0,device=blob1,device=blob0", "fsid=plain0,dax=always",
		"fsid=plain0,fsoffset=4096", "fsid=plain0,fsoffset=1", "fsid=plain0,bogus",
		"fsid=plain0,fsoffset=9223372036854771712", "fsid=plain0,inode_share",
		"fsid=blob0", "fsid=plain0,fsid=nobody", "fsid=plain0,device=plain0",
	};
	char path[200], opts[400];
	int ret;

	snprintf(path, sizeof(path), "%s/bad%u", fz->tmp, w->index);
	mkdir(path, 0755);
	if (fz_chance(w, 10)) {
		snprintf(opts, sizeof(opts), "fsid=%0*d", 1 + (int)fz_below(w, 300), 7);
	} else {
		snprintf(opts, sizeof(opts), "%s", bad[fz_below(w, FZ_NELEM(bad))]);
		if (fz_chance(w, 20))
			opts[fz_below(w, strlen(opts))] = 1 + fz_below(w, 255);
	}
	ret = mount("none", path, "erofs", MS_RDONLY, opts) < 0 ? -errno : 0;
	while (!umount2(path, MNT_DETACH))
		;
	return ret;
}

/* A mount that is made step by step and may never become one. */
static long do_context(struct fz_worker *w, void *ctx)
{
	int i = fz_below(w, fz_nr_images), fs, mnt = -1, dir;
	char opts[200], *key, *value, *next = opts;
	long ret = 0;

	fs = syscall(SYS_fsopen, "erofs", 1);
	if (fs < 0)
		return -errno;
	options_of(w, &fz_image[i], opts, sizeof(opts));
	while (!ret && (key = strsep(&next, ","))) {
		value = strchr(key, '=');
		if (value)
			*value++ = 0;
		if (value)
			ret = syscall(SYS_fsconfig, fs, CMD_STRING, key, value, 0);
	}
	if (!fz_chance(w, 10))
		ret = syscall(SYS_fsconfig, fs, CMD_CREATE, NULL, NULL, 0);
	ret = ret < 0 ? -errno : 0;
	if (!ret && fz_chance(w, 80))
		mnt = syscall(SYS_fsmount, fs, 1, 0);
	close(fs);
	if (mnt < 0)
		return ret;
	dir = openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	usleep(fz_below(w, 100000));
	close(mnt);
	if (dir >= 0)
		close(dir);
	return ret;
}

/* A second place for a mount, which keeps it when the first one goes. */
static long do_bind(struct fz_worker *w, void *ctx)
{
	char path[200], copy[200];
	long ret;

	snprintf(copy, sizeof(copy), "%s/copy%u", fz->tmp, w->index);
	mkdir(copy, 0755);
	fz_point(path, sizeof(path), fz_below(w, fz_nr_images), fz_below(w, FZ_POINTS));
	ret = mount(path, copy, NULL, MS_BIND, NULL) < 0 ? -errno : 0;
	usleep(fz_below(w, 50000));
	while (!umount2(copy, fz_chance(w, 50) ? MNT_DETACH : 0))
		;
	umount2(copy, MNT_DETACH);
	return ret;
}

static long do_sync(struct fz_worker *w, void *ctx)
{
	int fd = open(fz->tmp, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fz_chance(w, 80))
		syncfs(fd);
	else
		sync();
	close(fd);
	return 0;
}

static const struct fz_choice choices[] = {
	{ 50, "mount", do_mount },
	{ 45, "umount", do_umount },
	{ 4, "remount", do_remount },
	{ 6, "bad mount", do_bad_mount },
	{ 5, "mount step by step", do_context },
	{ 4, "bind mount", do_bind },
	{ 1, "sync", do_sync },
};

void fz_mounter(struct fz_worker *w)
{
	while (!fz_stopping()) {
		fz_step(w, choices, FZ_NELEM(choices), NULL);
		usleep(fz_below(w, 60000));
	}
}
