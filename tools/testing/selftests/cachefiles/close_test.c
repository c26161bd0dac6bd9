// SPDX-License-Identifier: GPL-2.0
/*
 * The end of objects, mounts, fds and the device, in any order.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE (64 << 10)

FIXTURE(close)
{
	struct scene s;
};

FIXTURE_SETUP(close)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(close)
{
	scene_fini(&self->s);
}

TEST_F(close, message)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(s->object, m.object);
	EXPECT_EQ(16, m.len);
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
}

/* The CLOSE is that of the last OPEN, not of the first one. */
TEST_F(close, after_reopen)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	__u32 first;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	first = s->object;
	close(s->fd);
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	EXPECT_NE(first, s->object);
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(s->object, m.object);
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
}

/* Mounted again before the CLOSE has been read: two objects, in order. */
TEST_F(close, remount_before_close_is_read)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	__u32 first;
	int fd;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	first = s->object;
	fd = s->fd;
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
	EXPECT_EQ(CACHEFILES_OP_CLOSE, (int)m.op);
	EXPECT_EQ(first, m.object);
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_NE(first, s->object);
	/* The fd of the object that is gone has no say in the new one. */
	EXPECT_EQ(-1, pwrite(fd, s->img.data, GRANULE, 0));
	EXPECT_EQ(ESTALE, errno);
	close(fd);
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
}

/* A daemon that never takes its CLOSE holds up nobody. */
TEST_F(close, never_read)
{
	struct scene *s = &self->s;
	int i;

	for (i = 0; i < 5; i++) {
		ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
		EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
		close(s->fd);
	}
}

/*
 * Umount while a READ is out and the daemon does not move: the readers are
 * gone, what they have started is cancelled.
 */
TEST_F(close, umount_with_stuck_daemon)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&t));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, m.id));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
}

/* The same with a READ that the daemon has not even taken. */
TEST_F(close, umount_with_queued_read)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&t));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	/* No READ of an object that is gone. */
	ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
	EXPECT_EQ(CACHEFILES_OP_CLOSE, (int)m.op);
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
}

/* Detached under a waiting reader, who is still served. */
TEST_F(close, lazy_umount)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(-EBUSY, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_umount(&s->env, "m", MNT_DETACH));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	if (!s->closed) {
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
		s->closed = m.object;
	}
	EXPECT_EQ(s->object, s->closed);
}

FIXTURE(order)
{
	struct scene s;
};

FIXTURE_VARIANT(order)
{
	const char *steps;	/* device, fd, mount, reader */
};

FIXTURE_VARIANT_ADD(order, dfm) { "dfm" };
FIXTURE_VARIANT_ADD(order, dmf) { "dmf" };
FIXTURE_VARIANT_ADD(order, fdm) { "fdm" };
FIXTURE_VARIANT_ADD(order, fmd) { "fmd" };
FIXTURE_VARIANT_ADD(order, mdf) { "mdf" };
FIXTURE_VARIANT_ADD(order, mfd) { "mfd" };
FIXTURE_VARIANT_ADD(order, drfm) { "drfm" };
FIXTURE_VARIANT_ADD(order, frdm) { "frdm" };
FIXTURE_VARIANT_ADD(order, rfdm) { "rfdm" };
FIXTURE_VARIANT_ADD(order, drmf) { "drmf" };
FIXTURE_VARIANT_ADD(order, rmfd) { "rmfd" };

FIXTURE_SETUP(order)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(order)
{
	scene_fini(&self->s);
}

/* Whoever goes first, nobody waits, and the next daemon finds all in order. */
TEST_F(order, any)
{
	bool reader = strchr(variant->steps, 'r');
	struct scene *s = &self->s;
	const char *step;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	if (reader) {
		ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
		ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	}
	for (step = variant->steps; *step; step++) {
		switch (*step) {
		case 'd':
			EXPECT_EQ(0, cf_dev_close(&s->env));
			break;
		case 'f':
			EXPECT_EQ(0, close(s->fd));
			break;
		case 'm':
			EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
			break;
		case 'r':
			/* With the device gone it has ended by itself. */
			EXPECT_NE(-ETIME, cf_kill(&t));
			break;
		}
	}

	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	EXPECT_EQ(0, scene_serve(s, &t));
	ASSERT_EQ(0, cf_wait(&t, WAIT_MS));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* An fd that is closed again and again: its readers are not held for ever. */
TEST_F_TIMEOUT(close, again_and_again, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	int opens = 0;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 10))
			continue;
		if (m.op == CACHEFILES_OP_READ) {
			close(s->fd);
		} else if (m.op == CACHEFILES_OP_OPEN) {
			s->fd = m.fd;
			ASSERT_EQ(0, cf_copen(s->env.dev, m.id, s->img.size));
			ASSERT_GT(1000, ++opens);
		}
	}
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	/* Long enough for a daemon that is being replaced. */
	EXPECT_LT(50, opens);

	/* It is not lost: the next read asks anew. */
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
