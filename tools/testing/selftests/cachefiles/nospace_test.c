// SPDX-License-Identifier: GPL-2.0
/*
 * A cache file system that is full or gone: the daemon's write(2) gets the
 * error, the reader gets one too, and nobody gets zeros.
 */
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(2 << 20)
#define FS_SHUTDOWN	_IOR('X', 125, __u32)	/* EXT4_IOC_SHUTDOWN */

FIXTURE(nospace)
{
	struct scene s;
	char disk[160];
	char fill[200];
};

/* The cache directory is on a loop device of its own. */
FIXTURE_SETUP(nospace)
{
	struct scene *s = &self->s;
	struct cf_env *env = &s->env;
	char cmd[600];

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	ASSERT_EQ(0, cf_env_init(env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	snprintf(self->disk, sizeof(self->disk), "%s/disk", env->root);
	ASSERT_EQ(0, mkdir(self->disk, 0755));
	/* The loop device goes when it is no longer mounted. */
	snprintf(cmd, sizeof(cmd),
		 "cd %s && truncate -s 12M img && mke2fs -q -t ext4 -O ^has_journal -m 0 img && dev=$(losetup -f --show img) && mount -t ext4 $dev disk && losetup -d $dev",
		 env->root);
	if (system(cmd) != 0)
		SKIP(return, "no mke2fs, or no loop devices");

	/* What is bound is the directory on it. */
	snprintf(env->root + strlen(env->root),
		 sizeof(env->root) - strlen(env->root), "/disk");
	env->dev = cf_dev_open();
	ASSERT_LE(0, env->dev);
	ASSERT_EQ(0, cf_cmd(env->dev, "bstop 0%%"));
	ASSERT_EQ(0, cf_cmd(env->dev, "bcull 1%%"));
	ASSERT_EQ(0, cf_cmd(env->dev, "brun 2%%"));
	ASSERT_EQ(0, cf_bind(env, "ondemand"));
	snprintf(self->fill, sizeof(self->fill), "%s/fill", self->disk);
}

FIXTURE_TEARDOWN(nospace)
{
	cf_kill_all();
	if (self->s.env.dev >= 0)
		close(self->s.env.dev);
	self->s.env.dev = -1;
	umount2(self->disk, MNT_DETACH);
	/* Back to the directory that was made. */
	if (strlen(self->s.env.root) > 5)
		self->s.env.root[strlen(self->s.env.root) - 5] = 0;
	cf_env_fini(&self->s.env);
}

/* Use up all space but so much. */
static int leave(const char *path, size_t left)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	static char buf[65536];
	struct stat st;

	if (fd < 0)
		return -errno;
	memset(buf, 0x77, sizeof(buf));
	while (write(fd, buf, sizeof(buf)) > 0)
		;
	fsync(fd);
	if (fstat(fd, &st) < 0 || ftruncate(fd, st.st_size - left) < 0)
		return -errno;
	fsync(fd);
	close(fd);
	return 0;
}

/* What does not fit is told to the writer, what fitted stays right. */
TEST_F_TIMEOUT(nospace, writer_is_told, 90)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[0].pos, off;
	struct cf_task t;
	struct cf_msg m;
	ssize_t n = 0;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, leave(self->fill, 512 << 10));
	for (off = 0; off < FILE_SIZE; off += n) {
		n = pwrite(s->fd, s->img.data + pos + off, 65536, pos + off);
		if (n <= 0)
			break;
	}
	EXPECT_EQ(-1, n);
	EXPECT_EQ(ENOSPC, errno);
	EXPECT_LT(0, off);
	EXPECT_EQ((off_t)pos, lseek(s->fd, pos, SEEK_DATA));
	EXPECT_LE(pos + off, (__u64)lseek(s->fd, pos, SEEK_HOLE));
	/* Readahead may ask for what there is no space for. */
	ASSERT_EQ(0, scene_read_start(s, &t, 0, off));
	while (cf_running(&t, 0)) {
		if (!cf_next(s->env.dev, &m, 20))
			EXPECT_EQ(0, cf_complete(s->fd, m.id));
	}
	EXPECT_EQ(0, scene_check(s, &t, 0, off));

	/* With space again the rest can be had. */
	ASSERT_EQ(0, unlink(self->fill));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* A daemon that cannot fill answers all the same: EIO, at once. */
TEST_F_TIMEOUT(nospace, reader_gets_eio, 90)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	int failed = 0;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, leave(self->fill, 0));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		if (cf_fill(s->fd, s->img.data, m.off, m.size) == -ENOSPC)
			failed++;
		EXPECT_EQ(0, cf_complete(s->fd, m.id));
	}
	EXPECT_LT(0, failed);
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));

	ASSERT_EQ(0, unlink(self->fill));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* Nothing can be made for a new object: both sides are told, or it can wait. */
TEST_F_TIMEOUT(nospace, open, 90)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	long ret;

	ASSERT_EQ(0, leave(self->fill, 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		if (m.op == CACHEFILES_OP_OPEN) {
			s->fd = m.fd;
			cf_copen(s->env.dev, m.id, s->img.size);
		} else if (m.op == CACHEFILES_OP_READ) {
			cf_fill(s->fd, s->img.data, m.off, m.size);
			cf_complete(s->fd, m.id);
		}
	}
	ret = cf_wait(&t, PROMPT_MS);
	EXPECT_TRUE(ret == -ENOSPC || ret == -EIO || ret == -ENOBUFS);
	close(s->fd);

	ASSERT_EQ(0, unlink(self->fill));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* The disk goes away altogether: errors all over, and nobody waits. */
TEST_F_TIMEOUT(nospace, shutdown, 90)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[0].pos;
	__u32 how = 2;		/* no flush of the log */
	struct cf_task t;
	struct cf_msg m;
	long ret;
	int fd;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, pos, GRANULE));
	fd = open(self->disk, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	if (ioctl(fd, FS_SHUTDOWN, &how) < 0)
		SKIP(return, "the file system cannot be shut down");
	close(fd);

	EXPECT_GT(0, cf_fill(s->fd, s->img.data, pos + GRANULE, GRANULE));
	ASSERT_EQ(0, scene_read_start(s, &t, GRANULE, GRANULE));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		if (m.op == CACHEFILES_OP_READ)
			cf_complete(s->fd, m.id);
	}
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	/* What had come may be lost with the disk, but not be wrong. */
	ASSERT_EQ(0, scene_read_start(s, &t, 0, GRANULE));
	ret = cf_wait(&t, PROMPT_MS);
	if (ret != -EIO)
		EXPECT_EQ(0, scene_check(s, &t, 0, GRANULE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, close(s->fd));
	EXPECT_EQ(0, cf_dev_close(&s->env));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
