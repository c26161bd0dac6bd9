// SPDX-License-Identifier: GPL-2.0
/*
 * Many readers at once: what is missing is asked for once, in bounded pieces,
 * and a slow daemon has many requests in its hands at the same time.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define READERS		8
#define BIG		(6 << 20)

FIXTURE(load)
{
	struct scene s;
	struct od_server srv;
};

FIXTURE_SETUP(load)
{
	ASSERT_EQ(0, scene_init(&self->s, BIG));
}

FIXTURE_TEARDOWN(load)
{
	scene_fini(&self->s);
}

static void serve(struct __test_metadata *_metadata,
		  struct od_server *srv, struct scene *s, int threads)
{
	od_init(srv, s->env.dev);
	od_add(srv, "img", s->img.data, s->img.size);
	ASSERT_EQ(0, od_run(srv, threads));
}

/* No daemon yet, so all readers come before the first byte does. */
TEST_F_TIMEOUT(load, one_read_for_many_readers, 120)
{
	struct scene *s = &self->s;
	struct cf_task t[READERS];
	struct cf_msg m;
	int i, n = 0;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(0, scene_read_start(s, &t[i], 0, 100));

	/* Everything that is asked for while all of them wait. */
	while (!cf_next(s->env.dev, &m, n ? 1000 : WAIT_MS)) {
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		if (m.off <= s->img.file[0].pos &&
		    s->img.file[0].pos < m.off + m.size)
			n++;
	}
	EXPECT_EQ(1, n);
	for (i = 0; i < READERS; i++)
		EXPECT_TRUE(cf_running(&t[i], 0));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, BIG));
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, scene_check(s, &t[i], 0, 100));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 0));
}

/* Two mounts have two page caches, but the blob is one. */
TEST_F_TIMEOUT(load, one_read_for_two_mounts, 120)
{
	struct scene *s = &self->s;
	struct cf_task t[READERS];
	struct cf_msg m;
	int i, n = 0;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img,domain_id=d"));
	ASSERT_EQ(0, cf_mount(&s->env, "m2", "fsid=img,domain_id=d"));
	for (i = 0; i < READERS; i++)
		ASSERT_EQ(0, cf_read_start(&s->env, &t[i], i % 2 ? "m/f00" :
					   "m2/f00", 0, 100));
	while (!cf_next(s->env.dev, &m, n ? 1000 : WAIT_MS)) {
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		if (m.off <= s->img.file[0].pos &&
		    s->img.file[0].pos < m.off + m.size)
			n++;
	}
	EXPECT_EQ(1, n);
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, BIG));
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, scene_check(s, &t[i], 0, 100));
}

/*
 * One sequential reader: no byte is asked for twice, and the requests of a
 * readahead window are in flight together.
 */
TEST_F_TIMEOUT(load, sequential, 180)
{
	struct scene *s = &self->s;
	struct cf_task t;

	serve(_metadata, &self->srv, s, OD_MAX_THREADS);
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	self->srv.delay_us = 20000;
	ASSERT_EQ(0, scene_read_start(s, &t, 0, BIG));
	EXPECT_EQ(0, scene_check(s, &t, 0, BIG));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	EXPECT_FALSE(od_log_overlaps(&self->srv));
	EXPECT_LT(1, self->srv.max_busy);
	/* At least the file, and not much more. */
	EXPECT_LE(BIG, self->srv.bytes);
	EXPECT_GE(BIG + (4 << 20), self->srv.bytes);
}

struct random_arg {
	char		path[256];
	const char	*data;
	unsigned int	seed;
};

static long random_reads(void *p, struct cf_out *out)
{
	struct random_arg *arg = p;
	int fd = open(arg->path, O_RDONLY | O_CLOEXEC);
	char buf[9000];
	int i;

	if (fd < 0)
		return -errno;
	for (i = 0; i < 40; i++) {
		__u32 off, len;
		ssize_t n;

		arg->seed = arg->seed * 1103515245 + 12345;
		off = (arg->seed >> 3) % (BIG - sizeof(buf));
		len = (arg->seed >> 8) % sizeof(buf) + 1;
		n = pread(fd, buf, len, off);
		if (n < 0)
			return -errno;
		if (n != (ssize_t)len)
			return -EMSGSIZE;
		if (memcmp(buf, arg->data + off, len))
			return -EILSEQ;
	}
	return 0;
}

TEST_F_TIMEOUT(load, random, 180)
{
	struct scene *s = &self->s;
	struct cf_task t[READERS];
	struct random_arg arg;
	int i;

	serve(_metadata, &self->srv, s, OD_MAX_THREADS);
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	snprintf(arg.path, sizeof(arg.path), "%s/" SCENE_FILE, s->env.tmp);
	arg.data = s->img.data + s->img.file[0].pos;
	for (i = 0; i < READERS; i++) {
		arg.seed = i * 7919;
		ASSERT_EQ(0, cf_start(&t[i], random_reads, &arg, 0));
	}
	for (i = 0; i < READERS; i++)
		EXPECT_EQ(0, cf_wait(&t[i], 120000));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	EXPECT_FALSE(od_log_overlaps(&self->srv));
}

static long mmap_sum(void *p, struct cf_out *out)
{
	int fd = open(p, O_RDONLY | O_CLOEXEC);
	char *map;

	if (fd < 0)
		return -errno;
	map = mmap(NULL, BIG, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	memcpy(out->buf, map, BIG);
	return BIG;
}

/* Read a file on the cache's disk into a page that is not there yet. */
static long read_disk(void *p, struct cf_out *out)
{
	struct cf_env *env = p;
	char path[256];
	void *map;
	int fd;

	snprintf(path, sizeof(path), "%s/other", env->root);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	map = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (fd < 0 || map == MAP_FAILED ||
	    pwrite(fd, env->root, sizeof(env->root), 0) < 0)
		return -errno;
	return pread(fd, map, GRANULE, 0);
}

/* Lockdep sees the locks of both: of page faults in the mount, and outside. */
TEST_F_TIMEOUT(load, mmap, 180)
{
	struct scene *s = &self->s;
	struct cf_task t;
	char path[256];

	serve(_metadata, &self->srv, s, 1);
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	snprintf(path, sizeof(path), "%s/" SCENE_FILE, s->env.tmp);
	ASSERT_EQ(0, cf_start(&t, mmap_sum, path, BIG));
	EXPECT_EQ(0, scene_check(s, &t, 0, BIG));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	EXPECT_EQ(0, self->srv.nr_spurious);
	EXPECT_FALSE(od_log_overlaps(&self->srv));
	ASSERT_EQ(0, cf_start(&t, read_disk, &s->env, 0));
	EXPECT_EQ(sizeof(s->env.root), cf_wait(&t, WAIT_MS));
}

/* A reader that maps what the daemon does not bring gets SIGBUS, no zeros. */
TEST_F(load, mmap_error)
{
	struct scene *s = &self->s;
	struct cf_task t;
	char path[256];
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	snprintf(path, sizeof(path), "%s/" SCENE_FILE, s->env.tmp);
	ASSERT_EQ(0, cf_start(&t, mmap_sum, path, BIG));
	while (cf_running(&t, 0)) {
		if (cf_next(s->env.dev, &m, 20))
			continue;
		ASSERT_EQ(CACHEFILES_OP_READ, m.op);
		EXPECT_EQ(0, cf_complete(s->fd, m.id));
	}
	EXPECT_EQ(-EOWNERDEAD, cf_wait(&t, PROMPT_MS));
}

/* The backing file read with O_DIRECT: the same bytes. */
TEST_F_TIMEOUT(load, directio, 180)
{
	struct scene *s = &self->s;
	struct cf_task t;

	serve(_metadata, &self->srv, s, 2);
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img,directio"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, BIG));
	EXPECT_EQ(0, scene_check(s, &t, 0, BIG));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	od_log_reset(&self->srv);
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img,directio"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, BIG));
	EXPECT_EQ(0, scene_check(s, &t, 0, BIG));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	EXPECT_EQ(0, self->srv.nr_read);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
