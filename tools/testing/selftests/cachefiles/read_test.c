// SPDX-License-Identifier: GPL-2.0
/*
 * READ, one at a time: every outcome of it, as the reader sees it.
 */
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(64 << 10)

FIXTURE(read)
{
	struct scene s;
	struct cf_task t;
	struct cf_msg m;
};

/* Somebody waits for the first bytes of the file, and the READ is taken. */
FIXTURE_SETUP(read)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(&self->s, &self->t, 0, 5000));
	ASSERT_EQ(0, scene_expect_read(&self->s, &self->m, 0));
}

FIXTURE_TEARDOWN(read)
{
	scene_fini(&self->s);
}

static int fill(struct scene *s, struct cf_msg *m)
{
	return cf_fill(s->fd, s->img.data, m->off, m->size);
}

static int finish(struct scene *s, struct cf_task *t)
{
	return scene_serve(s, t) ?: scene_check(s, t, 0, 5000);
}

TEST_F(read, filled_and_answered)
{
	ASSERT_EQ(0, fill(&self->s, &self->m));
	EXPECT_EQ(0, cf_complete(self->s.fd, self->m.id));
	EXPECT_EQ(0, finish(&self->s, &self->t));
}

TEST_F(read, waits_for_the_daemon)
{
	EXPECT_TRUE(cf_running(&self->t, QUIET_MS));
	ASSERT_EQ(0, fill(&self->s, &self->m));
	EXPECT_EQ(0, cf_complete(self->s.fd, self->m.id));
	EXPECT_EQ(0, finish(&self->s, &self->t));
}

/* The bytes are what the reader waits for, whoever asked for them. */
TEST_F(read, filled_is_enough)
{
	struct scene *s = &self->s;

	/* All of the file: readahead may have sent more than one READ. */
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos,
			     FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &self->t, 0, 5000));
	/* The answer may come later, and only once. */
	EXPECT_EQ(0, cf_complete(s->fd, self->m.id));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, self->m.id));
}

/*
 * An answer without data: asked once more, then the reader has an error; and
 * the next reader makes the kernel ask again.
 */
TEST_F(read, answered_without_data)
{
	struct scene *s = &self->s;
	__u32 last = self->m.id;
	int n = 1;

	EXPECT_EQ(0, cf_complete(s->fd, last));
	/* Readahead fails first and then the reader asks for itself. */
	while (cf_running(&self->t, 0)) {
		if (cf_next(s->env.dev, &self->m, 20))
			continue;
		ASSERT_EQ(CACHEFILES_OP_READ, self->m.op);
		EXPECT_NE(last, self->m.id);
		last = self->m.id;
		EXPECT_EQ(0, cf_complete(s->fd, last));
		ASSERT_GE(64, ++n);
	}
	EXPECT_EQ(-EIO, cf_wait(&self->t, PROMPT_MS));
	EXPECT_LE(2, n);

	ASSERT_EQ(0, scene_read_start(s, &self->t, 0, 5000));
	EXPECT_EQ(0, finish(s, &self->t));
}

TEST_F(read, filled_at_second_try)
{
	struct scene *s = &self->s;
	__u32 first = self->m.id;

	EXPECT_EQ(0, cf_complete(s->fd, first));
	EXPECT_TRUE(cf_running(&self->t, 50));
	ASSERT_EQ(0, scene_expect_read(s, &self->m, 0));
	EXPECT_NE(first, self->m.id);
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, first));
	ASSERT_EQ(0, fill(s, &self->m));
	EXPECT_EQ(0, cf_complete(s->fd, self->m.id));
	EXPECT_EQ(0, finish(s, &self->t));
}

/* Half of a READ at the first try, the other half at the second. */
TEST_F(read, filled_in_two_tries)
{
	struct scene *s = &self->s;
	struct cf_msg *m = &self->m;

	if (m->size < 2 * GRANULE)
		SKIP(return, "the READ is of a single granule");
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m->off + m->size / 2,
			     m->size - m->size / 2));
	EXPECT_EQ(0, cf_complete(s->fd, m->id));
	ASSERT_EQ(0, scene_expect_read(s, m, 0));
	ASSERT_EQ(0, fill(s, m));
	EXPECT_EQ(0, cf_complete(s->fd, m->id));
	EXPECT_EQ(0, finish(s, &self->t));
}

TEST_F(read, wrong_id)
{
	struct scene *s = &self->s;
	__u32 id = self->m.id;

	EXPECT_EQ(-EINVAL, cf_complete(s->fd, 0));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, id + 1000));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, ~0U));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, s->open_id));
	EXPECT_TRUE(cf_running(&self->t, QUIET_MS));
	ASSERT_EQ(0, fill(s, &self->m));
	EXPECT_EQ(0, cf_complete(s->fd, id));
	EXPECT_EQ(0, finish(s, &self->t));
}

/* The READ of one object answered on the fd of another one. */
TEST_F(read, wrong_object)
{
	struct scene *s = &self->s, other = *s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "other", "fsid=other"));
	do {
		struct cf_msg m;

		ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
		other.fd = m.fd;
		other.open_id = m.id;
		other.object = m.object;
	} while (other.fd < 0);
	EXPECT_NE(s->object, other.object);
	EXPECT_EQ(-EINVAL, cf_complete(other.fd, self->m.id));
	EXPECT_EQ(0, cf_copen(s->env.dev, other.open_id, s->img.size));
	EXPECT_EQ(-EINVAL, cf_complete(other.fd, self->m.id));
	/* Bytes for the other object are not for this one. */
	ASSERT_EQ(0, cf_fill(other.fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
	EXPECT_TRUE(cf_running(&self->t, QUIET_MS));

	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, cf_complete(s->fd, self->m.id));
	EXPECT_EQ(0, scene_check(s, &self->t, 0, 5000));
}

TEST_F(read, answered_twice)
{
	ASSERT_EQ(0, fill(&self->s, &self->m));
	EXPECT_EQ(0, cf_complete(self->s.fd, self->m.id));
	EXPECT_EQ(-EINVAL, cf_complete(self->s.fd, self->m.id));
	EXPECT_EQ(0, finish(&self->s, &self->t));
}

/* A duplicate of the fd is as good as the fd. */
TEST_F(read, answered_on_a_dup)
{
	struct scene *s = &self->s;
	int fd = dup(s->fd);

	ASSERT_LE(0, fd);
	close(s->fd);
	s->fd = fd;
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	ASSERT_EQ(0, fill(s, &self->m));
	EXPECT_EQ(0, cf_complete(fd, self->m.id));
	EXPECT_EQ(0, finish(s, &self->t));
}

/* With the fd goes the answer: the READ comes again, after a new OPEN. */
TEST_F(read, fd_closed)
{
	struct scene *s = &self->s;
	__u32 object = s->object;

	close(s->fd);
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_NE(object, s->object);
	EXPECT_STREQ("erofs,img", s->volume);
	ASSERT_EQ(0, scene_expect_read(s, &self->m, 0));
	ASSERT_EQ(0, fill(s, &self->m));
	EXPECT_EQ(0, cf_complete(s->fd, self->m.id));
	EXPECT_EQ(0, finish(s, &self->t));
}

TEST_F(read, fd_closed_after_filling)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	close(s->fd);
	EXPECT_EQ(0, scene_check(s, &self->t, 0, 5000));
}

/* The daemon cannot open the object again: the reader gets its error. */
TEST_F(read, reopen_fails)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	close(s->fd);
	while (cf_running(&self->t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -ENOENT));
		close(m.fd);
	}
	EXPECT_EQ(-ENOENT, cf_wait(&self->t, PROMPT_MS));

	/* And the next miss tries again. */
	ASSERT_EQ(0, scene_read_start(s, &self->t, 0, 5000));
	EXPECT_EQ(0, finish(s, &self->t));
}

/* The blob has changed under a mount: better no data than two kinds of it. */
TEST_F(read, reopen_with_another_size)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	close(s->fd);
	while (cf_running(&self->t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		EXPECT_EQ(-ESTALE, cf_copen(s->env.dev, m.id,
					    s->img.size + GRANULE));
		close(m.fd);
	}
	EXPECT_EQ(-ESTALE, cf_wait(&self->t, PROMPT_MS));
}

/* Closed before the answer, which then cannot bring the data any more. */
TEST_F(read, reopen_closed_then_size)
{
	struct scene *s = &self->s;
	struct cf_msg m;
	int n = 0;

	close(s->fd);
	while (cf_running(&self->t, 0) && n < 50) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		close(m.fd);
		EXPECT_EQ(0, cf_copen(s->env.dev, m.id, s->img.size));
		n++;
	}
	EXPECT_EQ(-EIO, cf_wait(&self->t, PROMPT_MS));
}

/* A killed reader is gone at once; what it asked for may still come. */
TEST_F(read, reader_killed)
{
	struct scene *s = &self->s;
	int ret;

	EXPECT_EQ(-EOWNERDEAD, cf_kill(&self->t));
	ASSERT_EQ(0, fill(s, &self->m));
	ret = cf_complete(s->fd, self->m.id);
	EXPECT_TRUE(ret == 0 || ret == -EINVAL);
	ASSERT_EQ(0, scene_read_start(s, &self->t, 0, 5000));
	EXPECT_EQ(0, finish(s, &self->t));
}

TEST_F(read, reader_killed_and_answered_without_data)
{
	struct scene *s = &self->s;

	EXPECT_EQ(-EOWNERDEAD, cf_kill(&self->t));
	cf_complete(s->fd, self->m.id);
	ASSERT_EQ(0, scene_read_start(s, &self->t, 0, 5000));
	EXPECT_EQ(0, finish(s, &self->t));
}

TEST_F(read, device_closed)
{
	EXPECT_EQ(0, cf_dev_close(&self->s.env));
	EXPECT_EQ(-EIO, cf_wait(&self->t, PROMPT_MS));
}

FIXTURE(metadata)
{
	struct scene s;
};

FIXTURE_SETUP(metadata)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(metadata)
{
	scene_fini(&self->s);
}

/*
 * Directories are read block by block, without readahead: what a single miss
 * costs can be counted.  Two READs, one of them the retry, then EIO.
 */
TEST_F(metadata, one_retry)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	int n = 0;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, IMG_AROUND));
	ASSERT_EQ(0, scene_absorb(s, &t));
	ASSERT_EQ(0, cf_wait(&t, WAIT_MS));

	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		ASSERT_GE(IMG_DIR_POS, m.off);
		ASSERT_LT(IMG_DIR_POS, m.off + m.size);
		EXPECT_EQ(0, cf_complete(s->fd, m.id));
		ASSERT_GE(64, ++n);
	}
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	EXPECT_EQ(2, n);

	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
}

/* An image of zeros, which is what a hole would read as, must not mount. */
TEST_F(metadata, superblock_missing)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 20) ||
		    m.op == CACHEFILES_OP_CLOSE)
			continue;
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		EXPECT_EQ(0, cf_complete(s->fd, m.id));
	}
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
