// SPDX-License-Identifier: GPL-2.0
/*
 * OPEN: every outcome of it, as mount(2) sees it.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "kselftest_harness.h"
#include "scene.h"

FIXTURE(open)
{
	struct scene s;
};

FIXTURE_SETUP(open)
{
	ASSERT_EQ(0, scene_init(&self->s, 64 << 10));
}

FIXTURE_TEARDOWN(open)
{
	scene_fini(&self->s);
}

TEST_F(open, ok)
{
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
	EXPECT_STREQ("erofs,img", self->s.volume);
	ASSERT_EQ(0, scene_read_start(&self->s, &t, 0, 64 << 10));
	EXPECT_EQ(0, scene_serve(&self->s, &t));
	EXPECT_EQ(0, scene_check(&self->s, &t, 0, 64 << 10));
}

/* What is mounted stays what it is, whatever a remount says. */
TEST_F(open, remount)
{
	struct scene *s = &self->s;
	struct statfs st;
	struct cf_task t;
	char path[256];

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img,domain_id=dom"));
	snprintf(path, sizeof(path), "%s/m", s->env.tmp);
	mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, "fsid=x,domain_id=y");
	mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, "device=z");
	EXPECT_EQ(0, mount(NULL, path, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	EXPECT_EQ(0, statfs(path, &st));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 64 << 10));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 64 << 10));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* Whatever errno the daemon gives is what mount(2) gives. */
TEST_F(open, daemon_errno)
{
	static const int err[] = {
		EPERM, ENOENT, EINTR, EIO, ENXIO, EAGAIN, ENOMEM, EACCES,
		EBUSY, ENOTBLK, ENODEV, EINVAL, ENOSPC, ENOTCONN, ETIMEDOUT,
		ESTALE, EDQUOT, ENOKEY, 133, 511,
	};
	struct scene *s = &self->s;
	struct cf_task t;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(err); i++) {
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
		ASSERT_EQ(0, scene_open(s, 0));
		ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, -err[i]));
		EXPECT_EQ(-err[i], cf_wait(&t, PROMPT_MS));
		close(s->fd);
	}
}

/* A failure is not remembered. */
TEST_F(open, ok_after_error)
{
	struct scene *s = &self->s;
	struct cf_task t;
	__u32 first;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, -EIO));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	first = s->object;
	close(s->fd);
	EXPECT_EQ(0, scene_mount(s, "m", "fsid=img"));
	EXPECT_NE(first, s->object);
}

FIXTURE(size)
{
	struct scene s;
};

FIXTURE_VARIANT(size)
{
	long long size;
};

FIXTURE_VARIANT_ADD(size, 0) { .size = 0 };
FIXTURE_VARIANT_ADD(size, 1) { .size = 1 };
FIXTURE_VARIANT_ADD(size, 4095) { .size = 4095 };
FIXTURE_VARIANT_ADD(size, 4096) { .size = 4096 };
FIXTURE_VARIANT_ADD(size, 4097) { .size = 4097 };
FIXTURE_VARIANT_ADD(size, 2_31) { .size = 1LL << 31 };
FIXTURE_VARIANT_ADD(size, 2_31_1) { .size = (1LL << 31) + 1 };
FIXTURE_VARIANT_ADD(size, 2_32) { .size = 1LL << 32 };
FIXTURE_VARIANT_ADD(size, 2_40) { .size = 1LL << 40 };

FIXTURE_SETUP(size)
{
	ASSERT_EQ(0, scene_init(&self->s, 64 << 10));
}

FIXTURE_TEARDOWN(size)
{
	scene_fini(&self->s);
}

/*
 * An object of any size can be opened.  If it is too short for the image then
 * mount(2) or the reader gets an error, without a READ of what is not there.
 */
TEST_F(size, mount)
{
	struct scene *s = &self->s;
	bool whole = variant->size >= (long long)s->img.size;
	char buf[GRANULE];
	struct cf_task t;
	struct cf_msg m;
	long ret;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, variant->size));
	EXPECT_EQ(variant->size, lseek(s->fd, 0, SEEK_END));

	while ((ret = cf_wait(&t, 0)) == -ETIME) {
		if (cf_next(s->env.dev, &m, 100))
			continue;
		if (m.op == CACHEFILES_OP_CLOSE)
			continue;
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		ASSERT_GE(variant->size, (long long)(m.off + m.size));
		ASSERT_TRUE((m.off + m.size) % GRANULE == 0 ||
			    (long long)(m.off + m.size) == variant->size);
		ASSERT_GE(s->img.room, m.off + m.size);
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
		ASSERT_EQ(0, cf_complete(s->fd, m.id));
	}
	/* There is no superblock in so little. */
	if (variant->size < 1024)
		EXPECT_NE(0, ret);
	if (whole) {
		ASSERT_EQ(0, ret);
		ASSERT_EQ(0, scene_read_start(s, &t, 0, GRANULE));
		EXPECT_EQ(0, scene_serve(s, &t));
		EXPECT_EQ(0, scene_check(s, &t, 0, GRANULE));
	} else if (!ret) {
		/* The directory lies beyond the end. */
		EXPECT_GT(0, cf_read(&s->env, SCENE_FILE, 0, GRANULE, buf));
		EXPECT_EQ(0, cf_quiet(s->env.dev, 0));
	}
}

/* More than the backing file system can hold: both sides are told. */
TEST_F(open, size_efbig)
{
	static const long long size[] = { LLONG_MAX, LLONG_MAX - 4096 };
	struct scene *s = &self->s;
	struct cf_task t;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(size); i++) {
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
		ASSERT_EQ(0, scene_open(s, 0));
		EXPECT_EQ(-EFBIG, cf_copen(s->env.dev, s->open_id, size[i]));
		EXPECT_EQ(-EFBIG, cf_wait(&t, PROMPT_MS));
		close(s->fd);
	}
	EXPECT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* Some daemons close the fd first and report the failure afterwards. */
TEST_F(open, closed_then_error)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	close(s->fd);
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	EXPECT_EQ(0, cf_copen(s->env.dev, s->open_id, -ENOENT));
	EXPECT_EQ(-ENOENT, cf_wait(&t, PROMPT_MS));
	while (!cf_next(s->env.dev, &m, QUIET_MS))
		EXPECT_EQ(CACHEFILES_OP_CLOSE, m.op);
}

/* The size counts, the fd is lost: the first miss opens again. */
TEST_F(open, closed_then_size)
{
	struct scene *s = &self->s;
	struct cf_task t;
	__u32 first;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	first = s->object;
	close(s->fd);
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, s->img.size));

	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_NE(first, s->object);
	EXPECT_STREQ("erofs,img", s->volume);
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
}

/* The fd is lost right after the answer, and again, and again. */
TEST_F(open, closed_after_answer)
{
	struct scene *s = &self->s;
	struct cf_task t;
	__u32 last = 0;
	int i;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	for (i = 0; i < 5; i++) {
		struct cf_msg m;

		/* A READ may have been queued before the fd was gone. */
		do {
			ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
		} while (m.op == CACHEFILES_OP_READ);
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		EXPECT_NE(last, m.object);
		last = m.object;
		ASSERT_EQ(0, cf_copen(s->env.dev, m.id, s->img.size));
		close(m.fd);
	}
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
}

/* A killed mounter goes at once and takes its OPEN with it. */
TEST_F(open, killed_while_queued)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&t));
	/* Not delivered, so not closed either. */
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	EXPECT_EQ(0, cf_readable(s->env.dev, 0));
	EXPECT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

TEST_F(open, killed_while_delivered)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&t));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, s->open_id, s->img.size));
	EXPECT_GT(0, cf_fill(s->fd, s->img.data, 0, GRANULE));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(s->object, m.object);
	close(s->fd);
	EXPECT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* Closing the device fails a waiting mount at once, with EIO. */
TEST_F(open, device_closed_while_queued)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
}

TEST_F(open, device_closed_while_delivered)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	close(s->fd);
}

TEST_F(open, no_cache_bound)
{
	ASSERT_EQ(0, cf_dev_close(&self->s.env));
	EXPECT_EQ(-ENOTCONN, cf_mount(&self->s.env, "m", "fsid=img"));
	self->s.env.dev = cf_dev_open();
	ASSERT_LE(0, self->s.env.dev);
	EXPECT_EQ(-ENOTCONN, cf_mount(&self->s.env, "m", "fsid=img"));
}

/* Names that cannot be a key are refused before the daemon hears of them. */
TEST_F(open, bad_name)
{
	struct scene *s = &self->s;
	char name[260];

	EXPECT_EQ(-EINVAL, cf_mount(&s->env, "m", "fsid=a/b"));
	EXPECT_EQ(-EINVAL, cf_mount(&s->env, "m", "fsid=/"));
	EXPECT_EQ(-EINVAL, cf_mount(&s->env, "m", "fsid=a\001b"));
	EXPECT_EQ(-EINVAL, cf_mount(&s->env, "m", "fsid=a\tb"));
	EXPECT_EQ(-EINVAL, cf_mount(&s->env, "m", "fsid="));
	memset(name, 'x', sizeof(name));
	name[249] = 0;
	EXPECT_EQ(-EINVAL, cf_mount(&s->env, "m", "fsid=%s", name));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 0));
}

TEST_F(open, longest_name)
{
	struct scene *s = &self->s;
	char name[249];

	memset(name, 'x', sizeof(name));
	name[248] = 0;
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=%s", name));
	EXPECT_EQ(6 + 248, strlen(s->volume));
}

/* What has been fetched is there for the next mount: no READ at all. */
TEST_F(open, cached_data_stays)
{
	struct scene *s = &self->s;
	char buf[64 << 10];
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	ASSERT_EQ(0, cf_wait(&t, WAIT_MS));
	ASSERT_EQ(sizeof(buf), cf_read(&s->env, SCENE_FILE, 0, sizeof(buf),
				       buf));
	EXPECT_EQ(0, memcmp(buf, s->img.data + s->img.file[0].pos,
			    sizeof(buf)));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 0));
}

/* A blob of another size is another blob, so nothing of the old one is used. */
TEST_F(open, size_changed_starts_empty)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[0].pos;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);

	s->img.size += GRANULE;
	img_pattern(s->img.data + pos, 64 << 10, 77);
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, GRANULE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	ASSERT_EQ(0, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, GRANULE));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
