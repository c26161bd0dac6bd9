// SPDX-License-Identifier: GPL-2.0
/*
 * A cache file system that is full or gone: the daemon's write(2) gets the
 * error, the reader gets one too, and nobody gets zeros.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "disk.h"
#include "scene.h"

#define FILE_SIZE	(2 << 20)
#define FS_SHUTDOWN	_IOR('X', 125, __u32)	/* EXT4_IOC_SHUTDOWN, and that of XFS */

FIXTURE(nospace)
{
	struct scene s;
	struct disk disk;
	char fill[160];
};

/* No limits but those of the file system. */
static int bind_to_the_last_block(struct cf_env *env, const char *how)
{
	static const char * const limits[] = {
		"bstop 0%", "bcull 1%", "brun 2%", "fstop 0%", "fcull 1%", "frun 2%",
	};
	unsigned int i;
	int ret = 0;

	env->dev = cf_dev_open();
	if (env->dev < 0)
		return env->dev;
	for (i = 0; !ret && i < ARRAY_SIZE(limits); i++)
		ret = cf_cmd(env->dev, "%s", limits[i]);
	return ret ?: cf_bind(env, how);
}

/* The cache directory is on a disk of its own. */
FIXTURE_SETUP(nospace)
{
	struct scene *s = &self->s;
	struct cf_env *env = &s->env;
	int ret;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	ASSERT_EQ(0, cf_env_init(env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ret = disk_make(&self->disk, env, "-O ^has_journal -m 0", "");
	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, bind_to_the_last_block(env, "ondemand"));
	snprintf(self->fill, sizeof(self->fill), "%s/fill", self->disk.dir);
}

FIXTURE_TEARDOWN(nospace)
{
	cf_kill_all();
	if (self->s.env.dev >= 0)
		close(self->s.env.dev);
	self->s.env.dev = -1;
	disk_fini(&self->disk, &self->s.env);
	cf_env_fini(&self->s.env);
}

/* Use up all space but so much; a file system may keep some back for itself. */
static int leave(const char *path, off_t left)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	off_t end = 0, len;
	struct statvfs st;

	if (fd < 0)
		return -errno;
	/* What is written back only now can free something as well. */
	syncfs(fd);
	for (;;) {
		if (fstatvfs(fd, &st) < 0)
			return -errno;
		len = (off_t)(st.f_bavail * st.f_frsize) - left;
		if (len <= 0)
			break;
		while (fallocate(fd, 0, end, len) < 0) {
			if (errno != ENOSPC)
				return -errno;
			len = len / 2 / (off_t)st.f_frsize * (off_t)st.f_frsize;
			if (!len)
				goto out;
		}
		end += len;
	}
out:
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

/* One that says why has the reader told so. */
TEST_F_TIMEOUT(nospace, reader_gets_enospc, 90)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	int ret;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, leave(self->fill, 0));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		ret = cf_fill(s->fd, s->img.data, m.off, m.size);
		EXPECT_EQ(0, ret ? cf_fail(s->fd, m.id, ret) : cf_complete(s->fd, m.id));
	}
	EXPECT_EQ(-ENOSPC, cf_wait(&t, PROMPT_MS));

	ASSERT_EQ(0, unlink(self->fill));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* Nothing can be made for a new object: both sides are told. */
TEST_F_TIMEOUT(nospace, open, 90)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, leave(self->fill, 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_EQ(-ENOSPC, cf_copen(s->env.dev, m.id, s->img.size));
	EXPECT_EQ(-ENOSPC, cf_wait(&t, PROMPT_MS));
	close(m.fd);

	ASSERT_EQ(0, unlink(self->fill));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* 0 if all of the file comes from the cache's disk, with nobody to ask. */
static int is_complete(struct scene *s, const char *name)
{
	static char buf[FILE_SIZE];
	char path[64];
	long ret;

	snprintf(path, sizeof(path), "%s/f00", name);
	ret = cf_drop_caches() ?: cf_read(&s->env, path, 0, FILE_SIZE, buf);
	if (ret != FILE_SIZE)
		return ret < 0 ? ret : -EMSGSIZE;
	return memcmp(buf, s->img.data + s->img.file[0].pos, FILE_SIZE) ? -EILSEQ : 0;
}

/* What is complete needs no space: mounted twice, or again, or without a daemon. */
TEST_F_TIMEOUT(nospace, complete, 90)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, bind_to_the_last_block(&s->env, "ondemand keep"));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img,domain_id=d"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, cachefile_wait_present(s->env.root, "img", s->img.size, 0, s->img.size));
	ASSERT_EQ(0, leave(self->fill, 0));
	EXPECT_EQ(0, cf_mount(&s->env, "m2", "fsid=img,domain_id=d"));
	EXPECT_EQ(0, is_complete(s, "m2"));
	EXPECT_EQ(0, is_complete(s, "m"));
	EXPECT_EQ(0, cf_umount(&s->env, "m2", 0));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	close(s->fd);

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img,domain_id=d"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_EQ(0, cf_wait(&t, PROMPT_MS));
	EXPECT_EQ(0, is_complete(s, "m"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	close(s->fd);

	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img,domain_id=d"));
	EXPECT_EQ(0, is_complete(s, "m"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));

	/* Nor does a daemon that comes then, and nothing is kept for the next test. */
	ASSERT_EQ(0, bind_to_the_last_block(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img,domain_id=d"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_EQ(0, cf_wait(&t, PROMPT_MS));
	EXPECT_EQ(0, is_complete(s, "m"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
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
	fd = open(self->disk.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
