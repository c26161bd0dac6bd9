// SPDX-License-Identifier: GPL-2.0
/*
 * The machine is to sleep while requests wait.  A mount that waits does not
 * keep it from that.  A read does, as one of a network file system does: the
 * machine stays awake, and all goes on.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(64 << 10)
#define POWER		"/sys/power/"

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * A file system that is busy with what the tests before have removed keeps the
 * machine awake too.  It is done with that before it is frozen.
 */
static int settle(const char *dir)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, FIFREEZE, 0) || ioctl(fd, FITHAW, 0) ? -errno : 0;
	close(fd);
	return ret;
}

FIXTURE(suspend)
{
	struct scene s;
};

/* Freeze everything, wait some seconds, thaw it. */
FIXTURE_SETUP(suspend)
{
	self->s.env.dev = -1;
	if (put(POWER "pm_test", "freezer") ||
	    put(POWER "pm_freeze_timeout", "3000"))
		SKIP(return, "the kernel can't test that");
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	ASSERT_EQ(0, settle(self->s.env.root));
}

FIXTURE_TEARDOWN(suspend)
{
	put(POWER "pm_test", "none");
	put(POWER "pm_freeze_timeout", "20000");
	/* Nothing is to stay parked. */
	if (self->s.env.dev < 0)
		cf_bind(&self->s.env, "ondemand");
	scene_fini(&self->s);
}

TEST_F_TIMEOUT(suspend, idle, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	EXPECT_EQ(0, put(POWER "state", "freeze"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

TEST_F_TIMEOUT(suspend, mount_waits, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(0, put(POWER "state", "freeze"));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
}

/* The image's first bytes are waited for in the same way. */
TEST_F_TIMEOUT(suspend, mount_reads, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(0, put(POWER "state", "freeze"));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
}

/* A page is waited for, and nobody can be frozen in that. */
TEST_F_TIMEOUT(suspend, read_waits, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(-EBUSY, put(POWER "state", "freeze"));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* A READ that nobody waits for keeps nothing awake. */
TEST_F_TIMEOUT(suspend, read_killed, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(-EOWNERDEAD, cf_kill(&t));
	EXPECT_EQ(0, put(POWER "state", "freeze"));
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* The daemon goes, and what waits for the next one has time. */
static int daemon_leaves(struct scene *s)
{
	return cf_dev_close(&s->env) ?: cf_bind(&s->env, "ondemand park=600") ?:
	       cf_dev_close(&s->env);
}

TEST_F_TIMEOUT(suspend, parked_mount, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, daemon_leaves(s));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_TRUE(cf_running(&t, QUIET_MS));
	EXPECT_EQ(0, put(POWER "state", "freeze"));
	EXPECT_TRUE(cf_running(&t, 0));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
}

TEST_F_TIMEOUT(suspend, parked_read, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, daemon_leaves(s));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_TRUE(cf_running(&t, QUIET_MS));
	EXPECT_EQ(-EBUSY, put(POWER "state", "freeze"));
	EXPECT_TRUE(cf_running(&t, 0));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
