// SPDX-License-Identifier: GPL-2.0
/*
 * What the protocol has beyond that of Linux 5.19 to 7.2: what a kernel has of
 * it, READs that fail with an errno, and the word that an object is full.
 */
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)

/* Asked before anything else is done with the device. */
TEST(features)
{
	__u64 features = 0, all = CACHEFILES_FEATURE_READ_FAIL |
		CACHEFILES_FEATURE_PARK | CACHEFILES_FEATURE_KEEP |
		CACHEFILES_FEATURE_FULL | CACHEFILES_FEATURE_SPACE;
	struct cachefiles_space space;
	int dev = cf_dev_open();

	ASSERT_LE(0, dev);
	EXPECT_EQ(0, ioctl(dev, CACHEFILES_IOC_FEATURES, &features));
	EXPECT_EQ(all, features);
	EXPECT_EQ(-1, ioctl(dev, CACHEFILES_IOC_FEATURES, NULL));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, ioctl(dev, CACHEFILES_IOC_SPACE, &space));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, ioctl(dev, CACHEFILES_IOC_READ_FAIL, &features));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(dev, CACHEFILES_IOC_READ_COMPLETE, 1));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(0, close(dev));
}

/* What does not fit the grammar changes nothing. */
TEST(bind_options)
{
	static const char * const bad[] = {
		"ondemand park", "ondemand park=0", "ondemand park=86401",
		"ondemand park=1 park=1", "ondemand keep keep",
		"ondemand  keep", "ondemand keep,full", "ondemandkeep",
	};
	struct cf_env env;
	unsigned int i;

	ASSERT_EQ(0, cf_env_init(&env));
	env.dev = cf_dev_open();
	ASSERT_LE(0, env.dev);
	ASSERT_EQ(0, cf_cmd(env.dev, "dir %s", env.root));
	for (i = 0; i < ARRAY_SIZE(bad); i++)
		EXPECT_EQ(-EINVAL, cf_cmd(env.dev, "bind %s", bad[i]));
	EXPECT_EQ(0, cf_cmd(env.dev, "bind ondemand park=1 full"));
	cf_env_fini(&env);
}

FIXTURE(fail)
{
	struct scene s;
};

FIXTURE_SETUP(fail)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
}

FIXTURE_TEARDOWN(fail)
{
	scene_fini(&self->s);
}

/* Fail whatever is asked for until the task ends; how often that was. */
static int fail_all(struct scene *s, struct cf_task *t, int error)
{
	struct cf_msg m;
	int n = 0;

	while (cf_running(t, 0)) {
		if (cf_next(s->env.dev, &m, 10))
			continue;
		if (m.op == CACHEFILES_OP_CLOSE)
			continue;
		if (m.op != CACHEFILES_OP_READ || cf_fail(s->fd, m.id, error))
			return -EPROTO;
		n++;
	}
	return n;
}

/* read(2) gives what the daemon gave, whatever it is. */
TEST_F(fail, errno_of_the_daemon)
{
	static const int error[] = {
		-ETIMEDOUT, -ENOENT, -EIO, -EACCES, -ENOSPC, -ESTALE, -1, -511,
	};
	struct scene *s = &self->s;
	struct cf_task t;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(error); i++) {
		ASSERT_EQ(0, scene_read_start(s, &t, 0, GRANULE));
		EXPECT_LT(0, fail_all(s, &t, error[i]));
		EXPECT_EQ(error[i], cf_wait(&t, PROMPT_MS));
	}
	/* It is over with the next good answer. */
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* Readers of what came before it failed get that, the others the error. */
TEST_F(fail, half_filled)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	char buf[GRANULE];

	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, GRANULE));
	ASSERT_EQ(0, cf_fail(s->fd, m.id, -ENOLINK));
	EXPECT_LE(0, fail_all(s, &t, -ENOLINK));
	cf_wait(&t, PROMPT_MS);
	ASSERT_EQ(GRANULE, cf_read(&s->env, SCENE_FILE, 0, GRANULE, buf));
	EXPECT_EQ(0, memcmp(buf, s->img.data + s->img.file[0].pos, GRANULE));
	ASSERT_EQ(0, scene_read_start(s, &t, FILE_SIZE - GRANULE, GRANULE));
	EXPECT_LT(0, fail_all(s, &t, -ENOLINK));
	EXPECT_EQ(-ENOLINK, cf_wait(&t, PROMPT_MS));
}

/* Of two READs of one window one fails: what the other one brought is there. */
TEST_F(fail, one_of_two)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[0].pos, half = FILE_SIZE / 2;
	int failed = 0, filled = 0;
	char buf[FILE_SIZE / 2];
	struct cf_task t;
	struct cf_msg m;

	/* It divides the window. */
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, pos + half, GRANULE));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 10))
			continue;
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		if (m.off < pos + half) {
			ASSERT_GE(pos + half, m.off + m.size);
			ASSERT_EQ(0, cf_fail(s->fd, m.id, -ENOLINK));
			failed++;
		} else {
			ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
			ASSERT_EQ(0, cf_complete(s->fd, m.id));
			filled++;
		}
	}
	EXPECT_LT(0, failed);
	EXPECT_EQ(1, filled);
	EXPECT_EQ(-ENOLINK, cf_wait(&t, PROMPT_MS));
	ASSERT_EQ(half, cf_read(&s->env, SCENE_FILE, half, half, buf));
	EXPECT_EQ(0, memcmp(buf, s->img.data + pos + half, half));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
}

/* What matches no READ, and what is no errno, changes nothing. */
TEST_F(fail, wrong_answers)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	int fd;

	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	EXPECT_EQ(-EINVAL, cf_fail(s->fd, m.id, 0));
	EXPECT_EQ(-EINVAL, cf_fail(s->fd, m.id, 1));
	EXPECT_EQ(-EINVAL, cf_fail(s->fd, m.id, -512));
	EXPECT_EQ(-EINVAL, cf_fail(s->fd, m.id + 1, -EIO));
	EXPECT_EQ(-EINVAL, cf_fail(s->fd, 0, -EIO));
	EXPECT_EQ(-EINVAL, cf_fail(s->fd, s->open_id, -EIO));
	EXPECT_EQ(-1, ioctl(s->fd, CACHEFILES_IOC_READ_FAIL, NULL));
	EXPECT_EQ(EFAULT, errno);
	fd = s->fd;
	ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
	EXPECT_EQ(-EINVAL, cf_fail(fd, m.id, -EIO));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
	close(fd);
}

static long touch_map(void *arg, struct cf_out *out)
{
	const char *path = arg;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *p;

	if (fd < 0)
		return -errno;
	p = mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, fd, 0);
	if (p == MAP_FAILED)
		return -errno;
	out->ready = 1;
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

/*
 * The READs of a whole window fail one after the other, and the reader, who
 * waited for the first page of it, runs when all have: it is told why even so.
 */
TEST(errno_of_a_window)
{
	const struct sched_param prio = { .sched_priority = 1 };
	int n = 0, first = -1, size = 3 << 20;
	struct cf_msg m[64], again;
	struct cf_task t;
	struct scene s;
	cpu_set_t cpus;
	__u64 pos;

	ASSERT_EQ(0, scene_init(&s, size));
	ASSERT_EQ(0, scene_mount(&s, "m", "fsid=img"));
	pos = s.img.file[0].pos;
	/* Both on one CPU, of which the reader gets what the daemon leaves. */
	CPU_ZERO(&cpus);
	CPU_SET(sched_getcpu(), &cpus);
	ASSERT_EQ(0, sched_setaffinity(0, sizeof(cpus), &cpus));
	ASSERT_EQ(0, scene_read_start(&s, &t, 0, size));
	while (n < (int)ARRAY_SIZE(m) &&
	       !cf_next(s.env.dev, &m[n], n ? QUIET_MS : WAIT_MS)) {
		if (m[n].off <= pos && pos < m[n].off + m[n].size)
			first = n;
		n++;
	}
	ASSERT_LE(0, first);
	EXPECT_LT(10, n);
	ASSERT_EQ(0, cf_fail(s.fd, m[first].id, -ENOLINK));
	/* The page cache tries again, with the one page. */
	ASSERT_EQ(0, cf_expect(s.env.dev, &again, CACHEFILES_OP_READ));
	EXPECT_EQ(pos, again.off);
	if (sched_setscheduler(0, SCHED_FIFO, &prio) < 0) {
		scene_fini(&s);
		SKIP(return, "no realtime scheduling here");
	}
	EXPECT_EQ(0, cf_fail(s.fd, again.id, -ENOLINK));
	while (n--) {
		if (n != first)
			EXPECT_EQ(0, cf_fail(s.fd, m[n].id, -ENOLINK));
	}
	EXPECT_EQ(-ENOLINK, cf_wait(&t, WAIT_MS));
	scene_fini(&s);
}

/* A page fault can't have an errno: it is a SIGBUS, and no hang. */
TEST_F(fail, mmap)
{
	struct scene *s = &self->s;
	struct cf_task t;
	char path[256];

	snprintf(path, sizeof(path), "%s/" SCENE_FILE, s->env.tmp);
	ASSERT_EQ(0, cf_start(&t, touch_map, path, 0));
	EXPECT_LT(0, fail_all(s, &t, -ETIMEDOUT));
	EXPECT_EQ(-EOWNERDEAD, cf_wait(&t, PROMPT_MS));
}

/* The first metadata: mount(2) itself gets it. */
TEST_F(fail, mount)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m2", "fsid=img2"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_LT(0, fail_all(s, &t, -ETIMEDOUT));
	EXPECT_EQ(-ETIMEDOUT, cf_wait(&t, PROMPT_MS));
}

FIXTURE(full)
{
	struct scene s;
};

FIXTURE_SETUP(full)
{
	struct scene *s = &self->s;

	memset(s, 0, sizeof(*s));
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand full"));
}

FIXTURE_TEARDOWN(full)
{
	scene_fini(&self->s);
}

/* Once, when the last byte has come; then the fd is of no use any more. */
TEST_F(full, told_once)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size - GRANULE));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.size - GRANULE,
			     GRANULE));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_FULL));
	EXPECT_EQ(s->object, m.object);
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, close(s->fd));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));

	ASSERT_EQ(0, cf_drop_caches());
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	/* Who has no fd is not told of the end either. */
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
}

/* What was complete already is told right after the answer to the OPEN. */
TEST_F(full, told_at_open)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_FULL));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	close(s->fd);

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_FULL));
	EXPECT_EQ(s->object, m.object);
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	close(s->fd);
}

/* The daemon before knew it, and the next one need not. */
TEST_F(full, not_for_the_next_daemon)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, close(s->fd));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand full"));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* Unless it is opened again: the daemon before may not have asked for it. */
TEST_F(full, filled_after_its_daemon)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	int fd;

	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand park=60"));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	fd = s->fd;
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_fill(fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, close(fd));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand full"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	do {
		ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
	} while (m.op == CACHEFILES_OP_READ);
	EXPECT_EQ(CACHEFILES_OP_FULL, m.op);
	EXPECT_EQ(s->object, m.object);
	close(s->fd);
}

/* Who has not asked for it does not get it, whoever was there before. */
TEST_F(full, not_for_who_did_not_ask)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	EXPECT_EQ(0, close(s->fd));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
	while (!cf_next(s->env.dev, &m, QUIET_MS))
		EXPECT_EQ(CACHEFILES_OP_READ, m.op);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
