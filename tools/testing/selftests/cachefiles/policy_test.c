// SPDX-License-Identifier: GPL-2.0
/*
 * The first table under "Who dies, and what the others see" in
 * Documentation/admin-guide/cachefiles-ondemand-events.rst, a test for each row:
 * what a daemon leaves behind by the policy that it had bound.
 */
#include <unistd.h>

#include "deaths.h"
#include "kselftest_harness.h"

#define LONG_MS		(600 * 1000)	/* "park=600" is not over in a test */

/* Mount, fill up to so much, and unmount. */
static int use_once(struct scene *s, const char *fsid, __u64 filled)
{
	struct cf_msg m;
	int ret;

	ret = scene_mount(s, "m", "fsid=%s", fsid) ?:
	      cf_fill(s->fd, s->img.data, 0, filled) ?:
	      cf_umount(&s->env, "m", 0) ?:
	      cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE);
	close(s->fd);
	s->fd = -1;
	return ret;
}

FIXTURE(policy)
{
	struct deaths x;
};

FIXTURE_VARIANT(policy)
{
	const char *how;
	int park_ms;
	bool keep;
};

FIXTURE_VARIANT_ADD(policy, fail) { "ondemand" };
FIXTURE_VARIANT_ADD(policy, park_in_time) { "ondemand park=600", LONG_MS };
FIXTURE_VARIANT_ADD(policy, park_too_late) { "ondemand park=1", 1000 };
FIXTURE_VARIANT_ADD(policy, keep) { "ondemand keep", 0, true };
FIXTURE_VARIANT_ADD(policy, keep_park_in_time) { "ondemand park=600 keep", LONG_MS, true };
FIXTURE_VARIANT_ADD(policy, keep_park_too_late) { "ondemand park=1 keep", 1000, true };

FIXTURE_SETUP(policy)
{
	self->x.park_ms = variant->park_ms;
	ASSERT_EQ(0, deaths_begin(&self->x.s, variant->how));
}

FIXTURE_TEARDOWN(policy)
{
	deaths_end(&self->x.s);
}

static bool waits(const struct deaths *x)
{
	return x->park_ms == LONG_MS;
}

/* Does what waits get its error before it is time? */
static bool too_early(const struct deaths *x)
{
	return cf_now_ms() - x->died < x->park_ms * 9ULL / 10;
}

static int policy_die(struct deaths *x)
{
	x->died = cf_now_ms();
	return deaths_die(&x->s);
}

/* The daemon has died, and where it is to be too late, the time is up. */
static long die_and_expire(struct deaths *x)
{
	long ret = policy_die(x);

	if (ret || waits(x) || !x->park_ms)
		return ret;
	/* Either this mount waits for that, or it was over before. */
	ret = cf_mount(&x->s.env, "x", "fsid=nobody");
	if (too_early(x))
		return -ETIME;
	return ret == -EIO || ret == -ENOTCONN ? 0 : -EPROTO;
}

/* What has been waiting goes on, or ends with an error when it is time. */
static long outcome(struct deaths *x, struct cf_task *t)
{
	long ret;

	if (waits(x))
		return cf_running(t, 2 * QUIET_MS) ? -EINPROGRESS : cf_wait(t, 0);
	ret = cf_wait(t, x->park_ms + PROMPT_MS);
	return too_early(x) ? -ETIME : ret;
}

TEST_F(policy, read_of_what_is_cached)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, DEATHS_FILE));
	ASSERT_EQ(0, die_and_expire(x));
	ASSERT_EQ(0, cf_drop_caches());
	EXPECT_EQ(0, deaths_read(s, 0, DEATHS_FILE));
}

TEST_F(policy, read_that_waits)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, DEATHS_FILE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, policy_die(x));
	EXPECT_EQ(waits(x) ? -EINPROGRESS : -EIO, outcome(x, &t));
}

TEST_F(policy, read_later)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, die_and_expire(x));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, DEATHS_FILE));
	EXPECT_EQ(waits(x) ? -EINPROGRESS : -EIO, outcome(x, &t));
}

/* One whose OPEN the daemon had, and one whose OPEN it had not taken. */
TEST_F(policy, mount_that_waits)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task t[2];
	int i;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t[0], "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[1], "m2", "fsid=other"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, policy_die(x));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(waits(x) ? -EINPROGRESS : -EIO, outcome(x, &t[i]));
}

TEST_F(policy, mount_of_a_complete_image_that_waits)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task t;

	ASSERT_EQ(0, use_once(s, "img", s->img.size));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, policy_die(x));
	EXPECT_EQ(waits(x) ? -EINPROGRESS : 0, outcome(x, &t));
}

TEST_F(policy, new_mount_of_a_complete_image)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;

	ASSERT_EQ(0, use_once(s, "img", s->img.size));
	ASSERT_EQ(0, scene_mount(s, "other", "fsid=other"));
	ASSERT_EQ(0, die_and_expire(x));
	/* Another is mounted. */
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, cf_drop_caches());
	EXPECT_EQ(0, deaths_read(s, 0, DEATHS_FILE));
	EXPECT_EQ(0, cf_umount(&s->env, "other", 0));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));

	/* None is; what is being closed counts for a moment. */
	if (!waits(x) && !variant->keep) {
		__u64 end = cf_now_ms() + WAIT_MS;
		long ret;

		while (!(ret = cf_mount(&s->env, "m", "fsid=img")) && cf_now_ms() < end) {
			cf_umount(&s->env, "m", 0);
			usleep(50000);
		}
		EXPECT_EQ(-ENOTCONN, ret);
	} else {
		/* And stays so, however long ago that was. */
		usleep(4 * QUIET_MS * 1000);
		EXPECT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	}
}

/* One that is cached but for its end, and one that has never been seen. */
TEST_F(policy, new_mount_of_an_incomplete_image)
{
	static const char * const name[] = { "img", "none" };
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task t;
	int i;

	ASSERT_EQ(0, use_once(s, "img", s->img.size - GRANULE));
	ASSERT_EQ(0, scene_mount(s, "other", "fsid=other"));
	ASSERT_EQ(0, die_and_expire(x));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, name[i], "fsid=%s", name[i]));
		EXPECT_EQ(waits(x) ? -EINPROGRESS : -ENOTCONN, outcome(x, &t));
	}
}

/* Of one that is idle, and of one that has just been waited for. */
TEST_F(policy, umount)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "other", "fsid=other"));
	close(s->fd);
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, DEATHS_FILE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, die_and_expire(x));
	EXPECT_EQ(0, cf_umount(&s->env, "other", 0));
	EXPECT_EQ(waits(x) ? -EINPROGRESS : -EIO, outcome(x, &t));
	cf_kill(&t);
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* It has all mounts, and where they were parked, a read and a mount that wait. */
TEST_F(policy, next_daemon)
{
	struct deaths *x = &self->x;
	struct scene *s = &x->s;
	struct cf_task r, mt;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &r, 0, DEATHS_FILE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &mt, "other", "fsid=other"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, die_and_expire(x));
	EXPECT_EQ(waits(x) ? -EINPROGRESS : -EIO, outcome(x, &r));
	EXPECT_EQ(waits(x) ? -EINPROGRESS : -EIO, outcome(x, &mt));

	ASSERT_EQ(0, deaths_next_daemon(s, &x->srv, variant->how));
	if (waits(x)) {
		EXPECT_EQ(0, cf_wait(&mt, WAIT_MS));
		EXPECT_EQ(0, scene_check(s, &r, 0, DEATHS_FILE));
	} else {
		EXPECT_EQ(0, cf_mount(&s->env, "other", "fsid=other"));
		EXPECT_EQ(0, deaths_read(s, 0, DEATHS_FILE));
	}
	EXPECT_EQ(0, od_stop(&x->srv));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
