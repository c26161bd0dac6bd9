// SPDX-License-Identifier: GPL-2.0
/*
 * Cache files that are not as they were left: what is not to be trusted starts
 * empty, what is right is used, and none of them is in the way for ever.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)
#define RECORD		"user.CacheFiles.cache"

FIXTURE(damage)
{
	struct scene s;
	char file[300];
	struct stat st;
};

/* Unmount, and wait until the cache file is closed, as who wants its name does. */
static int finish(struct scene *s)
{
	struct cf_task t;
	struct cf_msg m;
	int ret;

	ret = cf_umount(&s->env, "m", 0) ?:
	      cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE);
	close(s->fd);
	ret = ret ?: cf_mount_start(&s->env, &t, "m", "fsid=img") ?:
	      cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN);
	if (ret)
		return ret;
	close(m.fd);
	ret = cf_copen(s->env.dev, m.id, -ENOENT);
	return ret ?: cf_wait(&t, WAIT_MS) == -ENOENT ? 0 : -EPROTO;
}

/* A complete cache file, at its place, that nobody uses. */
FIXTURE_SETUP(damage)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, finish(s));
	/* As fscache has always placed "erofs,img" and "img". */
	snprintf(self->file, sizeof(self->file),
		 "%s/cache/Ierofs,img/@e1/Dimg", s->env.root);
	ASSERT_EQ(0, stat(self->file, &self->st));
}

FIXTURE_TEARDOWN(damage)
{
	scene_fini(&self->s);
}

/* Mount, and have the file's content asked for or not; it is right anyway. */
static int use(struct scene *s, bool *asked)
{
	struct cf_task t;
	struct cf_msg m;
	int ret;

	*asked = false;
	ret = cf_mount_start(&s->env, &t, "m", "fsid=img") ?:
	      scene_open(s, s->img.size);
	while (!ret && cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 10))
			continue;
		ret = cf_fill(s->fd, s->img.data, m.off, m.size) ?:
		      cf_complete(s->fd, m.id);
	}
	ret = ret ?: cf_wait(&t, WAIT_MS) ?:
	      scene_read_start(s, &t, 0, FILE_SIZE);
	while (!ret && cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 10))
			continue;
		*asked = true;
		ret = cf_fill(s->fd, s->img.data, m.off, m.size) ?:
		      cf_complete(s->fd, m.id);
	}
	return ret ?: scene_check(s, &t, 0, FILE_SIZE);
}

TEST_F(damage, none)
{
	bool asked;

	ASSERT_EQ(0, use(&self->s, &asked));
	EXPECT_FALSE(asked);
}

TEST_F(damage, no_record)
{
	bool asked;

	ASSERT_EQ(0, removexattr(self->file, RECORD));
	ASSERT_EQ(0, use(&self->s, &asked));
	EXPECT_TRUE(asked);
}

/* Each byte of the record, one after the other, says something else. */
TEST_F_TIMEOUT(damage, wrong_record, 300)
{
	struct scene *s = &self->s;
	unsigned char record[64];
	ssize_t n, i;
	bool asked;

	n = getxattr(self->file, RECORD, record, sizeof(record));
	ASSERT_LT(0, n);
	for (i = 0; i < n; i++) {
		record[i] ^= 0x5a;
		ASSERT_EQ(0, setxattr(self->file, RECORD, record, n, 0));
		record[i] ^= 0x5a;
		/* Right bytes, whatever is believed; the zero point is not ours. */
		ASSERT_EQ(0, use(s, &asked));
		if (i < 8 || i > 15)
			EXPECT_TRUE(asked);
		ASSERT_EQ(0, finish(s));
	}
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, setxattr(self->file, RECORD, record,
				      i == 2 ? 64 : i * (n - 1), 0));
		ASSERT_EQ(0, use(s, &asked));
		EXPECT_TRUE(asked);
		ASSERT_EQ(0, finish(s));
	}
}

static const long long deltas[] = { -1, 1, -GRANULE, GRANULE };

/* Of another length than was recorded: its map could be anywhere. */
TEST_F_TIMEOUT(damage, wrong_length, 120)
{
	struct scene *s = &self->s;
	unsigned int i;
	bool asked;

	for (i = 0; i < ARRAY_SIZE(deltas); i++) {
		ASSERT_EQ(0, truncate(self->file,
				      self->st.st_size + deltas[i]));
		ASSERT_EQ(0, use(s, &asked));
		EXPECT_TRUE(asked);
		ASSERT_EQ(0, finish(s));
	}
	ASSERT_EQ(0, truncate(self->file, 0));
	ASSERT_EQ(0, use(s, &asked));
	EXPECT_TRUE(asked);
}

/* Something else in its place is told, and no reason for more. */
TEST_F(damage, no_file)
{
	struct scene *s = &self->s;
	struct cf_task t;
	bool asked;

	ASSERT_EQ(0, unlink(self->file));
	ASSERT_EQ(0, mkdir(self->file, 0700));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_EQ(-EEXIST, cf_copen(s->env.dev, s->open_id, s->img.size));
	EXPECT_EQ(-EEXIST, cf_wait(&t, WAIT_MS));
	close(s->fd);
	ASSERT_EQ(0, rmdir(self->file));
	ASSERT_EQ(0, use(s, &asked));
	EXPECT_TRUE(asked);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
