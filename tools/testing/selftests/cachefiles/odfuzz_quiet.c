// SPDX-License-Identifier: GPL-2.0
/*
 * Quiet points: whatever has been going on, tasks can be killed, mounts go, the
 * kernel has nothing left that waits, and an honest daemon serves every image,
 * is taken over by the next one, and finds again what has been fetched.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "odfuzz.h"
#include "odserver.h"

#define STATE "/proc/fs/fscache/ondemand"

static struct od_server server;

static void kill_all(void)
{
	int i;

	for (i = 0; i < fz->nr_workers; i++) {
		if (fz->worker[i].pid)
			kill(fz->worker[i].pid, SIGKILL);
		fz->worker[i].pid = 0;
		fz->worker[i].killed_ms = 0;
	}
	/* Those whose parents have died are ours too. */
	while (waitpid(-1, NULL, 0) > 0)
		;
}

/* Every EROFS below our directory, and in the order that lets each go. */
static int umount_all(void)
{
	char line[2000], path[1000], type[40];
	bool found;
	FILE *f;

	do {
		found = false;
		f = fopen("/proc/self/mounts", "re");
		if (!f)
			return -errno;
		while (fgets(line, sizeof(line), f)) {
			if (sscanf(line, "%*s %999s %39s", path, type) != 2 ||
			    strcmp(type, "erofs"))
				continue;
			found = true;
			/* Killed tasks are gone, but for the last of their work. */
			if (umount2(path, 0) < 0)
				usleep(10000);
		}
		fclose(f);
	} while (found);
	memset(fz->mounted, 0, sizeof(fz->mounted));
	return 0;
}

/* Is there a line with this in the kernel's state, by now? */
static bool state_has(const char *text)
{
	char line[1000];
	bool found = false;
	FILE *f = fopen(STATE, "re");

	while (f && !found && fgets(line, sizeof(line), f))
		found = strstr(line, text);
	if (f)
		fclose(f);
	return found;
}

static void wait_while(const char *text)
{
	while (state_has(text))
		usleep(20000);
}

/* Readahead goes on when its reader has what it wants. */
static void wait_for_requests(void)
{
	while (!state_has("pending=0 "))
		usleep(10000);
}

/* A cache that was told to stay ends with a daemon that does not tell it so. */
static int end_keep(struct cf_env *env)
{
	char *root = env->root, mine[sizeof(env->root)];
	int i, ret = 0;

	if (!(fz->features & CACHEFILES_FEATURE_KEEP))
		return 0;
	snprintf(mine, sizeof(mine), "%s", root);
	for (i = 0; i < 2 && !ret; i++) {
		snprintf(root, sizeof(env->root), "%s", fz->root[i]);
		ret = cf_bind(env, "ondemand") ?: cf_dev_close(env);
	}
	snprintf(root, sizeof(env->root), "%s", mine);
	return ret;
}

static int begin_service(struct cf_env *env)
{
	int i, ret;

	ret = cf_bind(env, "ondemand");
	if (ret)
		return ret;
	od_init(&server, env->dev);
	server.edge = true;
	for (i = 0; i < fz_nr_blobs; i++)
		if (!fz_blob[i].loose)
			od_add(&server, fz_blob[i].key, fz_blob[i].data, fz_blob[i].size);
	return od_run(&server, 2);
}

static int end_service(struct cf_env *env)
{
	int ret = od_stop(&server);

	if (ret)
		fz_fail("the honest daemon: %s", server.error);
	return ret ?: cf_dev_close(env);
}

struct job {
	const struct fz_image *img;
	char point[200];
};

static long check_image(void *arg, struct cf_out *out)
{
	struct job *job = arg;

	return fz_check_image(job->img, job->point);
}

/* Mounted now or before, the image is read from beginning to end. */
static int compare_image(struct cf_env *env, int i)
{
	struct job job = { .img = &fz_image[i] };
	struct cf_task t;
	int ret;

	snprintf(job.point, sizeof(job.point), "%s/quiet", env->tmp);
	ret = cf_start(&t, check_image, &job, 0);
	if (!ret)
		ret = cf_wait(&t, fz->opt.limit * 1000);
	if (ret)
		fz_fail("%s is not whole with an honest daemon: %s", job.img->opts, strerror(-ret));
	return ret;
}

static int mount_image(struct cf_env *env, int i)
{
	int ret = cf_mount(env, "quiet", "%s", fz_image[i].opts);

	if (ret)
		fz_fail("%s can't be mounted with an honest daemon: %s", fz_image[i].opts,
			strerror(-ret));
	return ret;
}

static int umount_image(struct cf_env *env)
{
	int ret = cf_umount(env, "quiet", 0);

	if (ret)
		fz_fail("umount with an honest daemon: %s", strerror(-ret));
	return ret;
}

/* Mount and read images; of those that were read before nothing is missing. */
static int serve_images(struct cf_env *env, unsigned int skip, bool warm)
{
	int i, ret = 0;

	for (i = 0; i < fz_nr_images && !ret; i++) {
		if (!fz_image[i].honest || !fz_image[i].compared || skip & 1 << i)
			continue;
		ret = mount_image(env, i) ?: compare_image(env, i);
		if (!ret) {
			wait_for_requests();
			ret = umount_image(env);
		}
		fz_count(warm ? "images found again" : "images made whole");
	}
	if (!ret && warm && server.nr_read) {
		fz_fail("%d READs for what had been fetched", server.nr_read);
		ret = -EPROTO;
	}
	return ret;
}

/* Half read, the daemon goes, another one comes: the mount goes on. */
static int take_over(struct cf_env *env, struct fz_worker *w)
{
	int i, ret;

	do {
		i = fz_below(w, fz_nr_images);
	} while (!fz_image[i].compared || !fz_image[i].honest);
	ret = mount_image(env, i) ?: end_service(env) ?: begin_service(env) ?:
	      compare_image(env, i) ?: umount_image(env);
	if (!ret)
		fz_count("mounts taken over when quiet");
	return ret;
}

/* In a child, as it changes its directory. */
static long cull_here(void *arg, struct cf_out *out)
{
	struct job *job = arg;
	char path[1200];
	struct dirent *de;
	int ret = 0;
	DIR *dir;

	if (chdir(job->point) < 0)
		return -errno;
	dir = opendir(".");
	if (!dir)
		return -errno;
	while (!ret && (de = readdir(dir))) {
		struct stat st;

		if (*de->d_name == '.' || stat(de->d_name, &st) < 0)
			continue;
		if (S_ISDIR(st.st_mode)) {
			struct job sub = *job;

			/* A name that a mounter has made up may be too long. */
			if (strlen(job->point) + strlen(de->d_name) + 2 > sizeof(sub.point))
				continue;
			snprintf(path, sizeof(path), "%s/%s", job->point, de->d_name);
			memcpy(sub.point, path, sizeof(sub.point));
			ret = cull_here(&sub, out);
			if (chdir(job->point) < 0)
				ret = -errno;
			continue;
		}
		/* In use until a moment after its last mount has gone. */
		do {
			ret = cf_cmd(server.dev, "cull %s", de->d_name);
		} while (ret == -EBUSY && !usleep(10000));
		if (!ret)
			out->buf[0]++;
	}
	closedir(dir);
	return ret;
}

static int cull_all(struct cf_env *env)
{
	struct job job = {};
	struct cf_task t;
	int ret;

	snprintf(job.point, sizeof(job.point), "%s/cache", env->root);
	ret = cf_start_keep(&t, cull_here, &job, 1);
	if (!ret)
		ret = cf_wait(&t, fz->opt.limit * 1000);
	if (ret)
		fz_fail("cull of what nobody uses: %s", strerror(-ret));
	else
		fz_add("objects culled when quiet", 0, (__u8)t.out->buf[0]);
	return ret;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	if (ftw->level)
		remove(path);
	return 0;
}

/* What the kernel has put there is for the daemon to delete. */
static void empty_graveyards(void)
{
	char path[200];
	int i;

	for (i = 0; i < 2; i++) {
		snprintf(path, sizeof(path), "%s/graveyard", fz->root[i]);
		nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	}
}

/* All that ran is killed; and with nobody left, so is what it had of the cache. */
int fz_quiet(struct cf_env *env)
{
	struct fz_worker *w = fz_worker_find("quiet", 0);
	int limit = fz->opt.limit, ret;

	fz_begin(w, "quiet point");
	fz_within(limit, "everybody being killed");
	fz->stop = 1;
	if (fz_chance(w, 50))
		usleep(fz_below(w, 500000));
	kill_all();
	fz_within(limit, "all mounts going away");
	ret = umount_all();
	fz_within(limit, "the end of caches that were kept");
	ret = ret ?: end_keep(env);
	fz_within(limit, "the end of all use of the cache");
	wait_while("cache ");
	empty_graveyards();

	fz_within(limit, "the start of an honest daemon");
	ret = ret ?: begin_service(env);
	fz_within(limit * 3, "all images becoming whole, and no request being left");
	ret = ret ?: serve_images(env, 0, false);
	fz_within(limit * 2, "the next daemon finding it all");
	ret = ret ?: end_service(env) ?: begin_service(env) ?:
	      serve_images(env, fz_rand(w) | fz_rand(w), true);
	if (!ret && fz_chance(w, 80)) {
		fz_within(limit, "all objects being culled");
		ret = cull_all(env);
	}
	fz_within(limit, "a daemon being replaced by another");
	ret = ret ?: take_over(env, w) ?: end_service(env);
	fz_within(limit, "the end of the honest daemon's cache");
	wait_while("cache ");
	fz_within(0, NULL);
	fz_end(w, ret);
	fz_result("quiet point", ret);
	if (ret)
		fz_fail("a quiet point failed: %s", strerror(-ret));
	return ret;
}
