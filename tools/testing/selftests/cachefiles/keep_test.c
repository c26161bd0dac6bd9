// SPDX-License-Identifier: GPL-2.0
/*
 * Complete means independent: a blob that is complete is read, and mounted anew,
 * with nobody there to answer for it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)

FIXTURE(keep)
{
	struct scene s;
};

FIXTURE_SETUP(keep)
{
	struct scene *s = &self->s;

	memset(s, 0, sizeof(*s));
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
}

FIXTURE_TEARDOWN(keep)
{
	/* Nothing stays kept. */
	if (self->s.env.dev < 0)
		cf_bind(&self->s.env, "ondemand");
	scene_fini(&self->s);
}

/* Mount, fill up to so much, and unmount; the file is closed in the end. */
static int use_once(struct scene *s, const char *fsid, __u64 filled)
{
	struct cf_task t;
	struct cf_msg m;
	int ret;

	ret = scene_mount(s, "m", "fsid=%s", fsid) ?:
	      cf_fill(s->fd, s->img.data, 0, filled) ?:
	      cf_umount(&s->env, "m", 0) ?:
	      cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE);
	close(s->fd);
	s->fd = -1;
	/* Who wants the name waits until then. */
	ret = ret ?: cf_mount_start(&s->env, &t, "m", "fsid=%s", fsid) ?:
	      cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN);
	if (ret)
		return ret;
	close(m.fd);
	ret = cf_copen(s->env.dev, m.id, -ENOENT);
	return ret ?: cf_wait(&t, WAIT_MS) == -ENOENT ? 0 : -EPROTO;
}

/* What is being closed keeps the cache for a moment. */
static long mount_when_idle(struct cf_env *env, const char *opts)
{
	int i;

	for (i = 0; i < 100 && !cf_mount(env, "m", "%s", opts); i++) {
		cf_umount(env, "m", 0);
		usleep(PROMPT_MS * 10);
	}
	return cf_mount(env, "m", "%s", opts);
}

/* The device is bound for a moment, and need not be open. */
TEST_F(keep, mount_without_daemon)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, use_once(s, "img", s->img.size));
	ASSERT_EQ(0, use_once(s, "part", s->img.size - GRANULE));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-ENOTCONN, mount_when_idle(&s->env, "fsid=img"));

	ASSERT_EQ(0, cf_bind(&s->env, "ondemand keep"));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, cf_drop_caches());
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));

	/* Not what is not complete, and not what there never was. */
	EXPECT_EQ(-ENOTCONN, cf_mount(&s->env, "m2", "fsid=part"));
	EXPECT_EQ(-ENOTCONN, cf_mount(&s->env, "m2", "fsid=none"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));

	/* Whoever binds it without ends that. */
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-ENOTCONN, mount_when_idle(&s->env, "fsid=img"));
}

/* Nothing is made on disk for what is only asked for. */
TEST_F(keep, leaves_no_trace)
{
	struct scene *s = &self->s;
	char path[300];

	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand keep"));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-ENOTCONN, cf_mount(&s->env, "m", "fsid=none"));
	snprintf(path, sizeof(path), "%s/cache/Ierofs,none", s->env.root);
	EXPECT_EQ(-1, access(path, F_OK));
}

/* What a mount keeps alive need not be kept, for blobs that are complete. */
TEST_F(keep, by_a_mount)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, use_once(s, "img", s->img.size));
	ASSERT_EQ(0, scene_mount(s, "other", "fsid=other"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, cf_umount(&s->env, "other", 0));
}

/* The daemon dies while it is asked for a blob that is complete: no matter. */
TEST_F(keep, daemon_dies_at_open)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, use_once(s, "img", s->img.size));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(0, cf_wait(&t, PROMPT_MS));
	close(m.fd);
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* With a daemon there its word counts, complete or not. */
TEST_F(keep, the_daemon_is_asked)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, use_once(s, "img", s->img.size));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, -EACCES));
	EXPECT_EQ(-EACCES, cf_wait(&t, PROMPT_MS));
	close(s->fd);
}

/* A kept cache is bound again with all that is mounted from it. */
TEST_F(keep, bound_again)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, use_once(s, "img", s->img.size));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand keep"));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand keep"));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	ASSERT_EQ(0, scene_mount(s, "m2", "fsid=new"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	/* A mount that the daemon was never asked for ends without a word to it. */
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	EXPECT_EQ(0, cf_umount(&s->env, "m2", 0));
	close(s->fd);
}

struct reader_of_dir {
	int dir;
	void *mem;
	size_t len;
};

static void *read_dir(void *arg)
{
	struct reader_of_dir *reader = arg;

	return (void *)syscall(SYS_getdents64, reader->dir, reader->mem, reader->len);
}

static void *close_fd(void *arg)
{
	return (void *)(long)close(*(int *)arg);
}

static long bind_again(void *arg, struct cf_out *out)
{
	return cf_bind(arg, "ondemand");
}

/*
 * Whoever binds while the last user goes finds the cache as it was, or free.  The
 * last user is a daemon's fd of what could not be mounted, and it takes long to
 * go: somebody is reading a directory of the cache.
 */
TEST_F_TIMEOUT(keep, bound_as_the_last_user_goes, 90)
{
	struct scene *s = &self->s;
	static const char memory[4 * GRANULE];
	struct reader_of_dir reader = { .len = sizeof(memory) };
	pthread_t reading, closing;
	struct cf_task t, next;
	char path[512];
	struct cf_msg m;
	void *ret;
	int uffd;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	ASSERT_EQ(0, cf_copen(s->env.dev, m.id, -ENOENT));
	ASSERT_EQ(-ENOENT, cf_wait(&t, WAIT_MS));
	ASSERT_EQ(0, cf_dev_close(&s->env));

	reader.mem = mmap(NULL, reader.len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	ASSERT_NE(MAP_FAILED, reader.mem);
	uffd = cf_slow_memory(reader.mem, reader.len);
	ASSERT_LE(0, uffd);
	snprintf(path, sizeof(path), "%s/graveyard", s->env.root);
	reader.dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_LE(0, reader.dir);
	ASSERT_EQ(0, pthread_create(&reading, NULL, read_dir, &reader));
	usleep(QUIET_MS * 1000);
	ASSERT_EQ(0, pthread_create(&closing, NULL, close_fd, &m.fd));
	usleep(QUIET_MS * 1000);

	ASSERT_EQ(0, cf_start(&next, bind_again, &s->env, 0));
	EXPECT_TRUE(cf_running(&next, QUIET_MS));
	ASSERT_EQ(0, cf_give_memory(uffd, reader.mem, memory, sizeof(memory)));
	EXPECT_EQ(0, pthread_join(reading, &ret));
	EXPECT_LT(0, (long)ret);
	EXPECT_EQ(0, pthread_join(closing, &ret));
	EXPECT_EQ(0, (long)ret);
	EXPECT_EQ(0, cf_wait(&next, WAIT_MS));
	close(uffd);
	close(reader.dir);
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
