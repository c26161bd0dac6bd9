// SPDX-License-Identifier: GPL-2.0
/*
 * The cache's file system is frozen, as for a snapshot.  What would write to it
 * waits for the thaw, what does not goes on, and afterwards all does.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "disk.h"
#include "observe.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)
#define PAGES		(FILE_SIZE / GRANULE)

FIXTURE(fsfreeze)
{
	struct scene s;
	struct disk disk;
	int other_fd;		/* an image that is mounted, and complete */
};

static int do_ioctl(struct disk *d, unsigned long cmd)
{
	int fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, cmd, 0) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* What is read then is to come from the disk. */
static int freeze(struct disk *d)
{
	return cf_drop_caches() ?: do_ioctl(d, FIFREEZE);
}

static int thaw(struct disk *d)
{
	return do_ioctl(d, FITHAW);
}

FIXTURE_SETUP(fsfreeze)
{
	struct scene *s = &self->s;
	int ret;

	memset(s, 0, sizeof(*s));
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ret = disk_make(&self->disk, &s->env, "", "");
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, scene_mount(s, "other", "fsid=other"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, cachefile_wait_present(s->env.root, "other", s->img.size, 0, s->img.size));
	self->other_fd = s->fd;
}

FIXTURE_TEARDOWN(fsfreeze)
{
	thaw(&self->disk);
	cf_kill_all();
	if (self->s.env.dev >= 0)
		close(self->s.env.dev);
	self->s.env.dev = -1;
	disk_fini(&self->disk, &self->s.env);
	cf_env_fini(&self->s.env);
}

static int read_other(struct scene *s)
{
	static char buf[FILE_SIZE];
	long ret = cf_read(&s->env, "other/f00", 0, FILE_SIZE, buf);

	if (ret != FILE_SIZE)
		return ret < 0 ? ret : -EMSGSIZE;
	return memcmp(buf, s->img.data + s->img.file[0].pos, FILE_SIZE) ? -EILSEQ : 0;
}

/* What the daemon does, from a task that can be waited for. */
struct step {
	struct scene	*s;
	__u64		off;
	__u64		len;
};

static long do_fill(void *arg, struct cf_out *out)
{
	struct step *step = arg;

	return cf_fill(step->s->fd, step->s->img.data, step->off, step->len);
}

static int fill_start(struct scene *s, struct cf_task *t, __u64 off, __u64 len)
{
	struct step step = { s, s->img.file[0].pos + off, len };

	return cf_start_keep(t, do_fill, &step, 0);
}

static long do_copen(void *arg, struct cf_out *out)
{
	struct scene *s = arg;

	return cf_copen(s->env.dev, s->open_id, s->img.size);
}

static int copen_start(struct scene *s, struct cf_task *t)
{
	return cf_start_keep(t, do_copen, s, 0);
}

static int read_all(struct scene *s)
{
	struct cf_task t;

	return scene_read_start(s, &t, 0, FILE_SIZE) ?: scene_serve(s, &t) ?:
	       scene_check(s, &t, 0, FILE_SIZE);
}

/* The fill waits, under the lock of its file; the readers can be killed. */
TEST_F_TIMEOUT(fsfreeze, fill, 120)
{
	struct cf_task read[2], fill[2];
	struct scene *s = &self->s;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &read[0], 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, freeze(&self->disk));
	ASSERT_EQ(0, fill_start(s, &fill[0], 0, FILE_SIZE));
	EXPECT_TRUE(cf_running(&fill[0], QUIET_MS));
	ASSERT_EQ(0, fill_start(s, &fill[1], 0, FILE_SIZE));
	ASSERT_EQ(0, scene_read_start(s, &read[1], 0, FILE_SIZE));
	EXPECT_TRUE(cf_running(&fill[1], QUIET_MS));
	EXPECT_TRUE(cf_running(&read[1], 0));
	EXPECT_EQ(0, read_other(s));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&fill[1]));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&read[1]));
	EXPECT_TRUE(cf_running(&fill[0], 0));
	EXPECT_TRUE(cf_running(&read[0], 0));

	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(0, cf_wait(&fill[0], PROMPT_MS));
	EXPECT_EQ(0, scene_check(s, &read[0], 0, FILE_SIZE));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
}

/* Whoever fills may be killed; then it is filled by another. */
TEST_F_TIMEOUT(fsfreeze, fill_killed, 120)
{
	struct cf_task read, fill;
	struct scene *s = &self->s;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &read, 0, FILE_SIZE));
	ASSERT_EQ(0, freeze(&self->disk));
	ASSERT_EQ(0, fill_start(s, &fill, 0, FILE_SIZE));
	EXPECT_TRUE(cf_running(&fill, QUIET_MS));
	kill(fill.pid, SIGKILL);
	EXPECT_EQ(0, read_other(s));
	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(-EOWNERDEAD, cf_wait(&fill, PROMPT_MS));
	/* The disk has refused nothing. */
	EXPECT_EQ(0, ob_counter(" fill_errors="));
	EXPECT_EQ(0, scene_serve(s, &read));
	EXPECT_EQ(0, scene_check(s, &read, 0, FILE_SIZE));
}

/*
 * An umount does not wait for the disk; the next mount of the blob does.  The
 * fill ends at the chunk that comes after it.
 */
TEST_F_TIMEOUT(fsfreeze, umount, 120)
{
	struct scene *s = &self->s;
	struct cf_task mount, fill;
	int old;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	old = s->fd;
	ASSERT_EQ(0, freeze(&self->disk));
	ASSERT_EQ(0, fill_start(s, &fill, 0, FILE_SIZE));
	EXPECT_TRUE(cf_running(&fill, QUIET_MS));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mount, "m", "fsid=img"));
	EXPECT_TRUE(cf_running(&mount, QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&mount));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mount, "m", "fsid=img"));
	EXPECT_TRUE(cf_running(&mount, QUIET_MS));
	EXPECT_EQ(0, read_other(s));

	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(-ESTALE, cf_wait(&fill, PROMPT_MS));
	close(old);
	EXPECT_EQ(0, scene_serve(s, &mount));
	EXPECT_EQ(0, cf_wait(&mount, PROMPT_MS));
	EXPECT_EQ(0, read_all(s));
}

/* Begin a mount that needs a new cache file, in directories that there are. */
static int mount_new(struct scene *s, struct disk *d, struct cf_task *mount,
		     struct cf_task *copen)
{
	return scene_mount(s, "m", "fsid=img") ?: cf_umount(&s->env, "m", 0) ?: close(s->fd) ?:
	       cachefile_wait_closed(s->env.dev, s->env.root, "img") ?:
	       cachefile_cull(s->env.dev, s->env.root, "img") ?: freeze(d) ?:
	       cf_mount_start(&s->env, mount, "m", "fsid=img") ?: scene_open(s, 0) ?:
	       copen_start(s, copen);
}

static int finish_mount(struct scene *s, struct cf_task *mount)
{
	return scene_fill_metadata(s) ?: scene_absorb(s, mount) ?: cf_wait(mount, PROMPT_MS);
}

TEST_F_TIMEOUT(fsfreeze, create, 120)
{
	struct cf_task mount, copen;
	struct scene *s = &self->s;

	ASSERT_EQ(0, mount_new(s, &self->disk, &mount, &copen));
	EXPECT_TRUE(cf_running(&copen, QUIET_MS));
	EXPECT_TRUE(cf_running(&mount, QUIET_MS));
	EXPECT_EQ(0, read_other(s));

	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(0, cf_wait(&copen, PROMPT_MS));
	ASSERT_EQ(0, finish_mount(s, &mount));
	EXPECT_EQ(0, read_all(s));
}

/* Nothing else has to wait with the mount: not its end, nor the READs of others. */
TEST_F_TIMEOUT(fsfreeze, create_killed, 120)
{
	struct cf_task mount, copen, read;
	struct scene *s = &self->s;
	struct cf_msg m;
	int fd;

	ASSERT_EQ(0, scene_mount(s, "third", "fsid=third"));
	fd = s->fd;
	ASSERT_EQ(0, mount_new(s, &self->disk, &mount, &copen));
	EXPECT_TRUE(cf_running(&copen, QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&mount));
	EXPECT_TRUE(cf_running(&copen, QUIET_MS));
	ASSERT_EQ(0, cf_read_start(&s->env, &read, "third/f00", 0, FILE_SIZE));
	while (!cf_next(s->env.dev, &m, QUIET_MS))
		if (m.op == CACHEFILES_OP_READ)
			EXPECT_EQ(0, cf_fail(fd, m.id, -ETIMEDOUT));
	EXPECT_EQ(-ETIMEDOUT, cf_wait(&read, PROMPT_MS));
	EXPECT_EQ(0, read_other(s));

	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(0, cf_wait(&copen, PROMPT_MS));
	close(s->fd);
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	EXPECT_EQ(0, read_all(s));
}

/* Nothing may be made on a disk that is frozen: not the directories either. */
static bool is_made(struct scene *s)
{
	char path[200];

	snprintf(path, sizeof(path), "%s/cache/Ierofs,img", s->env.root);
	return !access(path, F_OK);
}

TEST_F_TIMEOUT(fsfreeze, create_directories, 120)
{
	struct cf_task mount, copen;
	struct scene *s = &self->s;

	ASSERT_EQ(0, freeze(&self->disk));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mount, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, copen_start(s, &copen));
	EXPECT_TRUE(cf_running(&copen, QUIET_MS));
	EXPECT_FALSE(is_made(s));
	EXPECT_EQ(0, read_other(s));

	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(0, cf_wait(&copen, PROMPT_MS));
	ASSERT_EQ(0, finish_mount(s, &mount));
	EXPECT_EQ(0, read_all(s));
}

/* Whoever waits to make them holds up nobody else. */
TEST_F_TIMEOUT(fsfreeze, directories_alone, 120)
{
	struct cf_task mount, copen;
	struct scene *s = &self->s;

	ASSERT_EQ(0, freeze(&self->disk));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mount, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, copen_start(s, &copen));
	EXPECT_TRUE(cf_running(&copen, QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&mount));
	EXPECT_EQ(0, cf_umount(&s->env, "other", 0));
	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(0, cf_wait(&copen, PROMPT_MS));
}

static long do_cull(void *arg, struct cf_out *out)
{
	struct scene *s = arg;

	return cachefile_cull(s->env.dev, s->env.root, "img");
}

static bool is_there(struct scene *s)
{
	char path[512];

	return !cachefile_path(s->env.root, "img", path, sizeof(path));
}

/* Nor may anything be removed. */
TEST_F_TIMEOUT(fsfreeze, cull, 120)
{
	struct scene *s = &self->s;
	struct cf_task cull;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	ASSERT_EQ(0, freeze(&self->disk));
	ASSERT_EQ(0, cf_start_keep(&cull, do_cull, s, 0));
	EXPECT_TRUE(cf_running(&cull, QUIET_MS));
	EXPECT_TRUE(is_there(s));
	EXPECT_EQ(0, read_other(s));

	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(0, cf_wait(&cull, PROMPT_MS));
	EXPECT_FALSE(is_there(s));
}

static long do_bind(void *arg, struct cf_out *out)
{
	struct scene *s = arg;
	struct cf_env env = { .dev = -1 };

	snprintf(env.root, sizeof(env.root), "%.100s/second", s->env.root);
	return cf_bind(&env, "ondemand");
}

/* A cache in a directory that is empty. */
TEST_F_TIMEOUT(fsfreeze, bind, 120)
{
	struct scene *s = &self->s;
	struct cf_task bind;
	char path[200];

	ASSERT_EQ(0, cf_dev_close(&s->env));
	snprintf(path, sizeof(path), "%s/second", s->env.root);
	ASSERT_EQ(0, mkdir(path, 0755));
	ASSERT_EQ(0, freeze(&self->disk));
	ASSERT_EQ(0, cf_start(&bind, do_bind, s, 0));
	EXPECT_TRUE(cf_running(&bind, QUIET_MS));
	snprintf(path, sizeof(path), "%s/second/cache", s->env.root);
	EXPECT_NE(0, access(path, F_OK));
	EXPECT_EQ(0, read_other(s));

	ASSERT_EQ(0, thaw(&self->disk));
	EXPECT_EQ(0, cf_wait(&bind, PROMPT_MS));
}

/* Answers that have nothing written are answers. */
TEST_F_TIMEOUT(fsfreeze, answers, 120)
{
	struct cf_task mount, copen, read;
	struct scene *s = &self->s;
	struct cf_msg m, ahead;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &read, 0, FILE_SIZE / 2));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &read, 0, FILE_SIZE / 2));
	/* What was read ahead may have been asked for by a READ of its own. */
	while (!cf_next(s->env.dev, &ahead, QUIET_MS))
		if (ahead.op == CACHEFILES_OP_READ)
			ASSERT_EQ(0, cf_complete(s->fd, ahead.id));
	ASSERT_EQ(0, cf_umount(&s->env, "other", 0));
	close(self->other_fd);
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "other"));
	ASSERT_EQ(0, freeze(&self->disk));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	ASSERT_EQ(0, scene_read_start(s, &read, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &read, 0, FILE_SIZE));

	ASSERT_EQ(0, cf_mount_start(&s->env, &mount, "refused", "fsid=refused"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EACCES));
	EXPECT_EQ(-EACCES, cf_wait(&mount, PROMPT_MS));
	close(m.fd);

	/* This one is in the cache as it is to be. */
	ASSERT_EQ(0, cf_mount_start(&s->env, &mount, "other", "fsid=other"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, copen_start(s, &copen));
	EXPECT_EQ(0, cf_wait(&copen, PROMPT_MS));
	EXPECT_EQ(0, cf_wait(&mount, PROMPT_MS));
	EXPECT_EQ(0, read_other(s));
}

/* One page after the other, but in no sequence. */
static long read_pages(void *arg, struct cf_out *out)
{
	struct scene *s = arg;
	char path[256], buf[GRANULE];
	int fd, i;

	snprintf(path, sizeof(path), "%s/m/f00", s->env.tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (i = 0; i < PAGES; i++) {
		__u64 off = (i * 37 + 11) % PAGES * GRANULE;

		if (pread(fd, buf, sizeof(buf), off) != sizeof(buf))
			return errno ? -errno : -EMSGSIZE;
		if (memcmp(buf, s->img.data + s->img.file[0].pos + off, sizeof(buf)))
			return -EILSEQ;
	}
	return 0;
}

TEST_F_TIMEOUT(fsfreeze, under_load, 120)
{
	struct scene *s = &self->s;
	struct od_server srv;
	struct cf_task t;
	int rounds = 0;

	od_init(&srv, s->env.dev);
	srv.delay_us = 10000;
	od_add(&srv, "img", s->img.data, s->img.size);
	ASSERT_EQ(0, od_run(&srv, 2));
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, cf_start(&t, read_pages, s, 0));
	while (cf_running(&t, 50)) {
		EXPECT_EQ(0, do_ioctl(&self->disk, FIFREEZE));
		usleep(50000);
		EXPECT_EQ(0, thaw(&self->disk));
		rounds++;
	}
	EXPECT_EQ(0, cf_wait(&t, PROMPT_MS));
	EXPECT_LT(2, rounds);
	EXPECT_EQ(0, od_stop(&srv));
	EXPECT_STREQ("", srv.error);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
