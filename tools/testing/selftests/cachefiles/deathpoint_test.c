// SPDX-License-Identifier: GPL-2.0
/*
 * The second and third table under "Who dies, and what the others see" in
 * Documentation/admin-guide/cachefiles-ondemand-events.rst: where a daemon died,
 * and readers and mounters that die.
 */
#include <unistd.h>

#include "deaths.h"
#include "kselftest_harness.h"

FIXTURE(point)
{
	struct deaths x;
};

FIXTURE_VARIANT(point)
{
	const char *how;
	bool park;
};

FIXTURE_VARIANT_ADD(point, fail) { "ondemand" };
FIXTURE_VARIANT_ADD(point, park) { "ondemand park=600", true };

FIXTURE_SETUP(point)
{
	ASSERT_EQ(0, deaths_begin(&self->x.s, variant->how));
}

FIXTURE_TEARDOWN(point)
{
	deaths_end(&self->x.s);
}

/* A mount and a reader that waits; its READ is taken or not. */
static int reader_waits(struct deaths *x, bool taken)
{
	struct scene *s = &x->s;
	int ret;

	ret = scene_mount(s, "m", "fsid=img") ?: scene_read_start(s, &x->t, 0, DEATHS_FILE);
	if (ret)
		return ret;
	if (taken)
		return scene_expect_read(s, &x->m, 0);
	return cf_readable(s->env.dev, WAIT_MS) == 1 ? 0 : -ETIME;
}

/*
 * The next daemon gets the READ, after an OPEN, and the reader its bytes.  What has
 * been filled before is in the cache: other bytes for it change nothing.
 */
static int next_gets_read(struct deaths *x, const char *how, size_t filled)
{
	static const char zeros[DEATHS_FILE];
	struct scene *s = &x->s;
	__u64 pos = s->img.file[0].pos;
	struct cf_msg m;
	int ret;

	if (!cf_running(&x->t, QUIET_MS))
		return -ECHILD;
	ret = cf_bind(&s->env, how) ?:
	      scene_open(s, s->img.size) ?:
	      scene_expect_read(s, &m, filled);
	if (ret)
		return ret;
	if (filled && pwrite(s->fd, zeros, filled, pos) != (ssize_t)filled)
		return -EIO;
	return cf_fill(s->fd, s->img.data, pos + filled, DEATHS_FILE - filled) ?:
	       cf_complete(s->fd, m.id) ?:
	       scene_serve(s, &x->t) ?:
	       scene_check(s, &x->t, 0, DEATHS_FILE);
}

TEST_F(point, nothing_to_do)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, DEATHS_FILE / 2));
	ASSERT_EQ(0, deaths_die(s));
	ASSERT_EQ(0, deaths_next_daemon(s, &x->srv, variant->how));
	EXPECT_EQ(0, deaths_read(s, 0, DEATHS_FILE));
	EXPECT_EQ(0, od_stop(&x->srv));
}

TEST_F(point, open_not_answered)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	__u32 object;

	ASSERT_EQ(0, cf_mount_start(&s->env, &x->t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	object = s->object;
	ASSERT_EQ(0, deaths_die(s));
	if (!variant->park) {
		EXPECT_EQ(-EIO, cf_wait(&x->t, PROMPT_MS));
		return;
	}
	EXPECT_TRUE(cf_running(&x->t, QUIET_MS));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_NE(object, s->object);
	EXPECT_STREQ("erofs,img", s->volume);
	EXPECT_EQ(0, scene_serve(s, &x->t));
	EXPECT_EQ(0, cf_wait(&x->t, WAIT_MS));
}

TEST_F(point, read_not_taken)
{
	struct deaths *x = &self->x;

	ASSERT_EQ(0, reader_waits(x, false));
	ASSERT_EQ(0, deaths_die(&x->s));
	if (variant->park) {
		EXPECT_EQ(0, next_gets_read(x, variant->how, 0));
		return;
	}
	EXPECT_EQ(-EIO, cf_wait(&x->t, PROMPT_MS));
}

TEST_F(point, read_not_filled)
{
	struct deaths *x = &self->x;

	ASSERT_EQ(0, reader_waits(x, true));
	ASSERT_EQ(0, deaths_die(&x->s));
	if (variant->park) {
		EXPECT_EQ(0, next_gets_read(x, variant->how, 0));
		return;
	}
	EXPECT_EQ(-EIO, cf_wait(&x->t, PROMPT_MS));
}

TEST_F(point, read_half_filled)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;

	ASSERT_EQ(0, reader_waits(x, true));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, DEATHS_FILE / 2));
	ASSERT_EQ(0, deaths_die(s));
	if (variant->park) {
		EXPECT_EQ(0, next_gets_read(x, variant->how, DEATHS_FILE / 2));
		return;
	}
	EXPECT_EQ(-EIO, cf_wait(&x->t, PROMPT_MS));
	EXPECT_EQ(0, deaths_read(s, 0, DEATHS_FILE / 2));
}

TEST_F(point, read_filled_not_answered)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;

	ASSERT_EQ(0, reader_waits(x, true));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, DEATHS_FILE));
	ASSERT_EQ(0, deaths_die(s));
	EXPECT_EQ(0, scene_check(s, &x->t, 0, DEATHS_FILE));
}

TEST_F(point, close_not_taken)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;

	/* So that the next daemon has the same cache, not a new one. */
	ASSERT_EQ(0, scene_mount(s, "other", "fsid=other"));
	close(s->fd);
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, deaths_die(s));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 2 * QUIET_MS));
	EXPECT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* The third table: a reader dies, its READ stays, and others see nothing. */
TEST_F(point, reader_dies)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task reader, mt;
	struct cf_msg m;

	ASSERT_EQ(0, reader_waits(x, true));
	ASSERT_EQ(0, scene_read_start(s, &reader, 0, DEATHS_FILE));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mt, "other", "fsid=other"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&x->t));
	EXPECT_TRUE(cf_running(&reader, QUIET_MS));
	EXPECT_TRUE(cf_running(&mt, 0));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, DEATHS_FILE));
	EXPECT_EQ(0, cf_complete(s->fd, x->m.id));
	EXPECT_EQ(0, scene_check(s, &reader, 0, DEATHS_FILE));
	ASSERT_EQ(0, cf_drop_caches());
	EXPECT_EQ(0, deaths_read(s, 0, DEATHS_FILE));
	EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EACCES));
	EXPECT_EQ(-EACCES, cf_wait(&mt, PROMPT_MS));
	close(m.fd);
}

/* One of two tasks in mount(2) dies, then the other; a reader sees nothing. */
TEST_F(point, mounter_dies)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task mt[2];
	struct cf_msg m, end;

	ASSERT_EQ(0, reader_waits(x, true));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mt[0], "m1", "fsid=other,domain_id=d"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mt[1], "m2", "fsid=other,domain_id=d"));
	EXPECT_TRUE(cf_running(&mt[1], QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&mt[0]));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	EXPECT_TRUE(cf_running(&mt[1], 0));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&mt[1]));
	ASSERT_EQ(0, cf_expect(s->env.dev, &end, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(m.object, end.object);
	close(m.fd);
	EXPECT_TRUE(cf_running(&x->t, 0));
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, DEATHS_FILE));
	EXPECT_EQ(0, scene_check(s, &x->t, 0, DEATHS_FILE));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
