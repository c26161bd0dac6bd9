// SPDX-License-Identifier: GPL-2.0
/*
 * Answers to OPEN that are malformed, out of range or meant for something
 * else: they are refused and change nothing.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "scene.h"

FIXTURE(copen)
{
	struct scene s;
};

FIXTURE_SETUP(copen)
{
	ASSERT_EQ(0, scene_init(&self->s, 64 << 10));
}

FIXTURE_TEARDOWN(copen)
{
	scene_fini(&self->s);
}

/* The OPEN that a wrong answer has not touched can still be answered. */
static int finish(struct scene *s, struct cf_task *t)
{
	int ret;

	if (!cf_running(t, 0))
		return -EPROTO;
	ret = cf_copen(s->env.dev, s->open_id, s->img.size);
	if (!ret)
		ret = scene_serve(s, t);
	return ret ?: cf_wait(t, WAIT_MS);
}

TEST_F(copen, malformed)
{
	static const char * const args[] = {
		"", " ", ",", "%u", "%u,", "%u ", ",4096", "x,4096", "%u,x",
		"%ux,4096", "%u,4096x", "%u,4096,", "%u,4096,1", "%u,-",
		"%u,--1", "%u;4096", "%u 4096", "-1,4096", "4294967296,4096",
		"99999999999999999999,4096", "%u,9223372036854775808",
		"%u,99999999999999999999", "%u,-9223372036854775809",
		"%u,1.5", "%u,4096 x", "%u,,4096",
	};
	struct scene *s = &self->s;
	char fmt[64];
	struct cf_task t;
	unsigned int i;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	for (i = 0; i < ARRAY_SIZE(args); i++) {
		snprintf(fmt, sizeof(fmt), "copen %s", args[i]);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		EXPECT_EQ(-EINVAL, cf_cmd(s->env.dev, fmt, s->open_id)) {
			TH_LOG("'%s' was taken", fmt);
		}
#pragma GCC diagnostic pop
	}
	EXPECT_EQ(-EINVAL, cf_cmd(s->env.dev, "copen"));
	EXPECT_EQ(0, finish(s, &t));
}

TEST_F(copen, not_an_errno)
{
	static const char * const size[] = {
		"-512", "-4095", "-4096", "-65536", "-2147483649",
		"-9223372036854775808",
	};
	struct scene *s = &self->s;
	struct cf_task t;
	unsigned int i;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	for (i = 0; i < ARRAY_SIZE(size); i++)
		EXPECT_EQ(-EINVAL, cf_cmd(s->env.dev, "copen %u,%s",
					  s->open_id, size[i]));
	EXPECT_EQ(0, finish(s, &t));
}

TEST_F(copen, trailing_newline)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_EQ(0, cf_cmd(s->env.dev, "copen %u,%d\n", s->open_id, -ENOENT));
	EXPECT_EQ(-ENOENT, cf_wait(&t, PROMPT_MS));
}

TEST_F(copen, unknown_id)
{
	struct scene *s = &self->s;
	struct cf_task t;

	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, 1, 4096));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, 0, 4096));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, s->open_id - 1, 4096));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, s->open_id + 1, 4096));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, s->object + 1000, 4096));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, ~0U, -EIO));
	EXPECT_EQ(0, finish(s, &t));
}

/* Ids go up by one, so the id of an OPEN in the queue can be guessed. */
TEST_F(copen, not_delivered)
{
	struct scene *s = &self->s;
	struct cf_task t;
	__u32 i, id;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, -EIO));
	ASSERT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	close(s->fd);
	id = s->open_id;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	for (i = 0; i < 64; i++) {
		EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, id + i, 4096));
		EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, id + i, -EIO));
	}
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_LT(id, s->open_id);
	EXPECT_GT(id + 64, s->open_id);
	EXPECT_EQ(0, finish(s, &t));
}

TEST_F(copen, twice)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, s->open_id, s->img.size));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, s->open_id, -EIO));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
	EXPECT_EQ(s->img.size, lseek(s->fd, 0, SEEK_END));
}

TEST_F(copen, of_a_read)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, m.id, 4096));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, m.id, -EIO));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));

	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
}

TEST_F(copen, of_a_close)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, m.id, 4096));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, m.id));
}

/* A completion cannot answer an OPEN. */
TEST_F(copen, open_is_no_read)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, s->open_id));
	EXPECT_EQ(0, finish(s, &t));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, s->open_id));
}

/* The fd of an object that could not be opened is good for nothing. */
TEST_F(copen, fd_kept_after_error)
{
	struct scene *s = &self->s;
	struct cf_task t;
	int fd;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, -ENOENT));
	ASSERT_EQ(-ENOENT, cf_wait(&t, PROMPT_MS));
	fd = s->fd;
	EXPECT_GT(0, cf_fill(fd, s->img.data, 0, GRANULE));
	EXPECT_EQ(-EINVAL, cf_complete(fd, s->open_id));

	/* Nor does it harm the next try. */
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	close(fd);
	EXPECT_EQ(0, finish(s, &t));
}

/* With "restore" an OPEN is no longer delivered, until it is read again. */
TEST_F(copen, after_restore)
{
	struct scene *s = &self->s;
	struct cf_task t;
	__u32 id;
	int fd;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	fd = s->fd;
	id = s->open_id;
	ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, id, -EIO));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	ASSERT_EQ(0, scene_open(s, 0));
	close(fd);
	EXPECT_EQ(0, finish(s, &t));
}

/* Answers at random never do more than answer what is there. */
TEST_F(copen, random)
{
	struct scene *s = &self->s;
	struct cf_task t[4];
	struct cf_msg m;
	int i, n = 0;

	srandom(1);
	for (i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m%d", i);
		ASSERT_EQ(0, cf_mount_start(&s->env, &t[i], name, "fsid=r%d",
					    i));
	}
	for (i = 0; i < 300; i++) {
		__u32 id = random() % 16;
		long long size = random() % 3 ? -(random() % 600) :
						random() % 5000;
		int ret = cf_copen(s->env.dev, id, size);

		EXPECT_TRUE(ret == 0 || ret == -EINVAL) {
			TH_LOG("copen %u,%lld: %d", id, size, ret);
		}
		if (i % 40 == 20 && !cf_next(s->env.dev, &m, 0))
			n += m.op == CACHEFILES_OP_OPEN;
	}
	EXPECT_LT(0, n);
	EXPECT_EQ(0, cf_dev_close(&s->env));
	for (i = 0; i < 4; i++)
		EXPECT_NE(-ETIME, cf_wait(&t[i], PROMPT_MS));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
