// SPDX-License-Identifier: GPL-2.0
/*
 * What an operator sees of the cache: files that are complete, culled or emptied,
 * a disk that is full, and one that loses what is written.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "kselftest_harness.h"
#include "diskscene.h"
#include "observe.h"
#include "scene.h"

#define FILE_SIZE	(4 << 20)
#define STEP		(64 << 10)
#define RECORD		"user.CacheFiles.cache"

FIXTURE(signs_cache)
{
	struct scene s;
	const char *name;	/* of the cache */
	int log;
};

FIXTURE_SETUP(signs_cache)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	self->name = strrchr(s->env.root, '/') + 1;
	self->log = ob_log_begin();
	ASSERT_LE(0, self->log);
	ASSERT_EQ(0, ob_events_begin());
}

FIXTURE_TEARDOWN(signs_cache)
{
	ob_events_end();
	close(self->log);
	scene_fini(&self->s);
}

/* Mounted; all of it filled; unmounted, and its cache file closed. */
static int complete(struct scene *s)
{
	int ret = scene_mount(s, "m", "fsid=img") ?:
		  cf_fill(s->fd, s->img.data, 0, s->img.size) ?:
		  cf_umount(&s->env, "m", 0);

	close(s->fd);
	return ret ?: cachefile_wait_closed(s->env.dev, s->env.root, "img");
}

TEST_F(signs_cache, complete)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand full"));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	EXPECT_EQ(0, ob_counter(" completed="));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(1, ob_counter(" completed="));
	EXPECT_EQ((long long)s->img.size, ob_counter(" filled_bytes="));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_complete: erofs,img/img size=%llu recorded=0\n",
				     s->img.size));
	EXPECT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_LE(0, ob_counter(" op=full state=queued age_ms="));
	EXPECT_EQ(1, ob_counter(" completed="));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_complete: erofs,img/img size=%llu recorded=1\n",
				     s->img.size));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_req: FULL id=%lld oid=%u new -> queued ",
				     ob_counter(" request id="), s->object));
}

TEST_F(signs_cache, culled)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	EXPECT_EQ(-EBUSY, cachefile_cull(s->env.dev, s->env.root, "img"));
	EXPECT_EQ(0, ob_counter(" culled="));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_cull: %s Dimg error=-16\n", self->name));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	EXPECT_EQ(0, cachefile_cull(s->env.dev, s->env.root, "img"));
	EXPECT_EQ(1, ob_counter(" culled="));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_cull: %s Dimg error=0\n", self->name));
	EXPECT_EQ(2, ob_events_count("cachefiles_od_cull: "));
}

enum { NO_RECORD, LENGTH, SIZE, NR_CAUSES };

static const char * const causes[] = {
	[NO_RECORD]	= "has no valid record",
	[LENGTH]	= "has the wrong length",
	[SIZE]		= "was for another size",
};

TEST_F(signs_cache, emptied)
{
	struct scene *s = &self->s;
	char path[512];
	struct stat st;
	int i;

	for (i = 0; i < NR_CAUSES; i++) {
		ASSERT_EQ(0, complete(s));
		EXPECT_EQ(i, ob_counter(" emptied="));
		ASSERT_EQ(0, cachefile_path(s->env.root, "img", path, sizeof(path)));
		ASSERT_EQ(0, stat(path, &st));
		if (i == NO_RECORD)
			ASSERT_EQ(0, removexattr(path, RECORD));
		if (i == LENGTH)
			ASSERT_EQ(0, truncate(path, st.st_size + 1));
		s->img.size += i == SIZE ? GRANULE : 0;
		ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
		EXPECT_EQ(i + 1, ob_counter(" emptied="));
		EXPECT_EQ(i + 1, ob_events_count("cachefiles_od_trouble: %s emptied error=0\n",
						 "erofs,img/img"));
		EXPECT_EQ(1, ob_log_count(self->log, OB_OURS
					  "erofs,img/img: its cache file %s, and starts empty\n",
					  causes[i]));
		ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
		close(s->fd);
		ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	}
}

/* Bind with limits right below what there is. */
static int bind_limits(struct cf_env *env, struct statfs *st)
{
	int percent;

	if (statfs(env->root, st) < 0)
		return -errno;
	percent = st->f_bavail * 100 / st->f_blocks;
	env->dev = cf_dev_open();
	return cf_cmd(env->dev, "brun %d%%", percent - 2) ?:
	       cf_cmd(env->dev, "bcull %d%%", percent - 4) ?:
	       cf_cmd(env->dev, "bstop %d%%", percent - 8) ?:
	       cf_bind(env, "ondemand");
}

/* The limits are looked at now and then, and always while there is no space. */
TEST_F(signs_cache, no_space)
{
	struct scene *s = &self->s;
	__u64 end = cf_now_ms() + PROMPT_MS, off = IMG_DATA_POS;
	struct statfs st;
	char path[200];
	int fd, i, ret;

	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, bind_limits(&s->env, &st));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	snprintf(path, sizeof(path), "%s/big", s->env.root);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, posix_fallocate(fd, 0, st.f_blocks / 100 * 10 * st.f_bsize));
	EXPECT_EQ(0, ob_counter(" no_space="));
	do
		ret = cf_fill(s->fd, s->img.data, off += STEP, STEP);
	while (!ret && off < FILE_SIZE);
	EXPECT_EQ(-ENOSPC, ret);
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-ENOSPC, cf_fill(s->fd, s->img.data, off, STEP));
	EXPECT_EQ(3, ob_counter(" no_space="));
	EXPECT_EQ(0, ob_counter(" fill_errors="));
	EXPECT_EQ(3, ob_events_count("cachefiles_od_cache: %s no space pending=0\n", self->name));
	EXPECT_EQ(1, ob_log_count(self->log, OB_OURS
				  "on-demand cache %s is full up to its limits, fills fail\n",
				  self->name));

	/* Its blocks may be freed some time after its unlink(). */
	close(fd);
	ASSERT_EQ(0, unlink(path));
	while ((ret = cf_fill(s->fd, s->img.data, off, STEP)) == -ENOSPC && cf_now_ms() < end)
		usleep(50000);
	EXPECT_EQ(0, ret);
	EXPECT_EQ(0, ob_log_count(self->log, "is full up to its limits"));
}

FIXTURE(signs_disk)
{
	struct disk_scene s;
	int log;
};

FIXTURE_SETUP(signs_disk)
{
	int ret = ds_init(&self->s, "", "");

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, ds_bind(&self->s));
	self->log = ob_log_begin();
	ASSERT_LE(0, self->log);
	ASSERT_EQ(0, ob_events_begin());
}

FIXTURE_TEARDOWN(signs_disk)
{
	ob_events_end();
	close(self->log);
	ds_fini(&self->s);
}

/* What has been filled can't be written back; one flush hears of it. */
TEST_F_TIMEOUT(signs_disk, lost, 120)
{
	struct disk_scene *s = &self->s;
	static const char lost[] = OB_OURS
		"writing back erofs,blob0/blob0 failed (-5): what was not safe is missing again\n";
	static char junk[DS_HALF];
	char rest[100];
	int fd;

	ASSERT_EQ(0, ds_mount(s, 0));
	EXPECT_EQ(0, ob_counter(" lost="));
	/* Where it will be has to be known: have it allocated now. */
	memset(junk, 0x55, sizeof(junk));
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(DS_HALF, pwrite(fd, junk, DS_HALF, ds_pos(s, 0)));
	ASSERT_EQ(0, fsync(fd));
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, ds_pos(s, 0), DS_HALF, DISK_BAD_WRITES));
	close(fd);
	ASSERT_EQ(0, ds_fill(s, 0, 0, DS_HALF));
	ASSERT_EQ(0, ob_log_wait(self->log, lost, rest, sizeof(rest), WAIT_MS));
	EXPECT_EQ(1, ob_counter(" lost="));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_trouble: erofs,blob0/blob0 lost error=-5\n"));
	ASSERT_EQ(0, disk_well(&s->disk));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(1, ob_counter(" lost="));
	EXPECT_EQ(0, ob_log_count(self->log, "writing back"));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
