// SPDX-License-Identifier: GPL-2.0
/*
 * "bind ondemand park=SECONDS": when the daemon goes, what waits for it waits
 * for the next one, killably and for a bounded time.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)

FIXTURE(park)
{
	struct scene s;
};

FIXTURE_VARIANT(park)
{
	const char *how;
};

/* Long enough for all that has to happen in it. */
FIXTURE_VARIANT_ADD(park, alone) { "ondemand park=600" };
FIXTURE_VARIANT_ADD(park, keep) { "ondemand park=600 keep full" };

FIXTURE_SETUP(park)
{
	struct scene *s = &self->s;

	memset(s, 0, sizeof(*s));
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
}

/* Whoever binds without it and goes leaves nothing that waits, and nothing kept. */
FIXTURE_TEARDOWN(park)
{
	cf_kill_all();
	if (self->s.env.dev < 0)
		cf_bind(&self->s.env, "ondemand");
	cf_dev_close(&self->s.env);
	cf_bind(&self->s.env, "ondemand");
	scene_fini(&self->s);
}

/* A reader waits, and is served by the next daemon under a new name. */
TEST_F(park, reader)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	__u32 object;
	int old;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	object = s->object;
	old = s->fd;
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_TRUE(cf_running(&t, 4 * QUIET_MS));
	EXPECT_EQ(-EINVAL, cf_complete(old, m.id));
	EXPECT_EQ(-EINVAL, cf_fail(old, m.id, -EIO));

	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_NE(object, s->object);
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	close(old);
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* A reader that comes while there is no daemon waits as well. */
TEST_F(park, late_reader)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_TRUE(cf_running(&t, 4 * QUIET_MS));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* So does a mount: with its OPEN delivered, not delivered, and not yet made. */
TEST_F(park, mounts)
{
	struct scene *s = &self->s;
	struct cf_task t[3];
	struct cf_msg m;
	char name[16];
	int i;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t[0], "m0", "fsid=a"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[1], "m1", "fsid=b"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[2], "m2", "fsid=c"));
	EXPECT_TRUE(cf_running(&t[2], 4 * QUIET_MS));
	EXPECT_TRUE(cf_running(&t[1], 0));
	EXPECT_TRUE(cf_running(&t[0], 0));
	close(m.fd);

	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
		EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EACCES));
		close(m.fd);
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-EACCES, cf_wait(&t[i], PROMPT_MS));
	snprintf(name, sizeof(name), "m0");
	ASSERT_EQ(0, scene_mount(s, name, "fsid=img"));
	EXPECT_EQ(0, cf_umount(&s->env, name, 0));
	close(s->fd);
}

/* Nobody is held: not a reader that is killed, nor a mount, nor an umount. */
TEST_F(park, killed)
{
	struct scene *s = &self->s;
	struct cf_task r, m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, scene_read_start(s, &r, 0, FILE_SIZE));
	ASSERT_EQ(0, cf_mount_start(&s->env, &m, "m2", "fsid=other"));
	EXPECT_TRUE(cf_running(&m, QUIET_MS));
	EXPECT_TRUE(cf_running(&r, QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&r));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&m));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* The daemon before is told nothing of what the next one does not know. */
TEST_F(park, no_close_for_the_next)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_mount(s, "m2", "fsid=img2"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(0, cf_umount(&s->env, "m2", 0));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	EXPECT_EQ(-ETIME, cf_next(s->env.dev, &m, QUIET_MS));
}

/* A daemon that binds without it ends the policy, not what waits. */
TEST_F(park, policy_of_the_last_bind)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	close(m.fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
}

/* Nobody comes: an end with an error, for all that waits, and from then on. */
TEST(expires)
{
	struct cf_task t, mt, mt2;
	struct scene s = {};
	__u64 start;
	char buf[100];

	ASSERT_EQ(0, cf_env_init(&s.env));
	ASSERT_EQ(0, img_simple(&s.img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s.env, "ondemand park=3"));
	ASSERT_EQ(0, scene_mount(&s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_mount_start(&s.env, &mt, "m2", "fsid=other"));
	ASSERT_EQ(1, cf_readable(s.env.dev, WAIT_MS));
	ASSERT_EQ(0, scene_read_start(&s, &t, 0, FILE_SIZE));
	close(s.fd);
	start = cf_now_ms();
	ASSERT_EQ(0, cf_dev_close(&s.env));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	EXPECT_LE(2900, cf_now_ms() - start);
	EXPECT_EQ(-EIO, cf_wait(&mt, PROMPT_MS));
	EXPECT_EQ(-EIO, cf_read(&s.env, SCENE_FILE, 0, 100, buf));
	EXPECT_EQ(-ENOTCONN, cf_mount(&s.env, "m3", "fsid=third"));

	/* A daemon that comes late finds what is mounted. */
	ASSERT_EQ(0, cf_bind(&s.env, "ondemand"));
	ASSERT_EQ(0, scene_read_start(&s, &mt2, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(&s, &mt2));
	EXPECT_EQ(0, scene_check(&s, &mt2, 0, FILE_SIZE));
	scene_fini(&s);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
