// SPDX-License-Identifier: GPL-2.0
/*
 * A daemon that does not answer, and those who wait for it: for what somebody
 * else has asked for before them, and for what they have asked for themselves
 * in readahead.  All can be killed, and the next ones are served.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(64 << 10)
#define LINK_SIZE	3000
#define DIR_BLOCKS	4

FIXTURE(killable)
{
	struct scene s;
	struct cf_task t[2];
	char path[2][192];
};

/* Two files, a symlink and a large directory; none of the names is here. */
FIXTURE_SETUP(killable)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_begin(&s->img, 12));
	img_add(&s->img, FILE_SIZE);
	img_add(&s->img, FILE_SIZE);
	img_add_link(&s->img, LINK_SIZE);
	img_add_dir(&s->img, DIR_BLOCKS);
	img_end(&s->img);
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, IMG_AROUND));
	ASSERT_EQ(0, scene_absorb(s, &t));
	ASSERT_EQ(0, cf_wait(&t, WAIT_MS));
}

FIXTURE_TEARDOWN(killable)
{
	scene_fini(&self->s);
}

static void name(struct cf_env *env, char *path, size_t size, const char *what)
{
	snprintf(path, size, "%s/m/%s", env->tmp, what);
}

static int fill_names(struct scene *s)
{
	return cf_fill(s->fd, s->img.data, IMG_DIR_POS, IMG_AROUND);
}

static long do_stat(void *arg, struct cf_out *out)
{
	struct stat st;

	return lstat(arg, &st) < 0 ? -errno : 0;
}

static long do_readlink(void *arg, struct cf_out *out)
{
	ssize_t n = readlink(arg, out->buf, LINK_SIZE + 1);

	return n < 0 ? -errno : n;
}

/* How many names are there? */
static long do_list(void *arg, struct cf_out *out)
{
	DIR *dir = opendir(arg);
	struct dirent *de;
	int nr = 0;

	if (!dir)
		return -errno;
	errno = 0;
	while ((de = readdir(dir)))
		nr++;
	nr = errno ? -errno : nr;
	closedir(dir);
	return nr;
}

/* Both begin, and wait; the one that came later is killed first. */
static long kill_both(struct cf_task *t)
{
	if (!cf_running(&t[0], QUIET_MS) || !cf_running(&t[1], QUIET_MS))
		return -EALREADY;
	if (cf_kill(&t[1]) != -EOWNERDEAD || cf_kill(&t[0]) != -EOWNERDEAD)
		return -EBUSY;
	return 0;
}

/* Whoever comes then is served, and so is what has been left behind. */
static long serve(struct scene *s, struct cf_task *t,
		  long (*fn)(void *arg, struct cf_out *out), char *path,
		  size_t cap)
{
	long ret = cf_start(t, fn, path, cap);

	return ret ?: scene_serve(s, t) ?: cf_wait(t, WAIT_MS);
}

/* Two names that are looked for in one block of a directory. */
TEST_F(killable, lookups_in_one_block)
{
	struct scene *s = &self->s;
	int i;

	for (i = 0; i < 2; i++) {
		name(&s->env, self->path[i], sizeof(self->path[i]),
		     i ? "f01" : "f00");
		ASSERT_EQ(0, cf_start(&self->t[i], do_stat, self->path[i], 0));
		ASSERT_TRUE(cf_running(&self->t[i], QUIET_MS));
	}
	EXPECT_EQ(0, kill_both(self->t));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, serve(s, &self->t[i], do_stat, self->path[i], 0));
}

/* The second one waits for the first one's read, and not in vain. */
TEST_F(killable, first_of_two_lookups)
{
	struct scene *s = &self->s;
	int i;

	for (i = 0; i < 2; i++) {
		name(&s->env, self->path[i], sizeof(self->path[i]),
		     i ? "f01" : "f00");
		ASSERT_EQ(0, cf_start(&self->t[i], do_stat, self->path[i], 0));
		ASSERT_TRUE(cf_running(&self->t[i], QUIET_MS));
	}
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&self->t[0]));
	EXPECT_TRUE(cf_running(&self->t[1], QUIET_MS));
	EXPECT_EQ(0, scene_serve(s, &self->t[1]));
	EXPECT_EQ(0, cf_wait(&self->t[1], WAIT_MS));
}

TEST_F(killable, readers_of_one_symlink)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[2].pos;
	int i;

	ASSERT_EQ(0, fill_names(s));
	for (i = 0; i < 2; i++) {
		name(&s->env, self->path[i], sizeof(self->path[i]), "f02");
		ASSERT_EQ(0, cf_start(&self->t[i], do_readlink, self->path[i],
				      LINK_SIZE + 1));
		ASSERT_TRUE(cf_running(&self->t[i], QUIET_MS));
	}
	EXPECT_EQ(0, kill_both(self->t));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(LINK_SIZE, serve(s, &self->t[i], do_readlink,
					   self->path[i], LINK_SIZE + 1));
		EXPECT_EQ(0, memcmp(self->t[i].out->buf, s->img.data + pos,
				    LINK_SIZE));
	}
}

/* Readahead has asked for what the one who lists then waits for. */
TEST_F(killable, list_of_a_large_directory)
{
	struct scene *s = &self->s;
	struct cf_task *t = self->t;

	ASSERT_EQ(0, fill_names(s));
	name(&s->env, self->path[0], sizeof(self->path[0]), "f03");
	ASSERT_EQ(0, cf_start(t, do_list, self->path[0], 0));
	ASSERT_TRUE(cf_running(t, QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(t));
	EXPECT_EQ(DIR_BLOCKS * 100, serve(s, t, do_list, self->path[0], 0));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
