// SPDX-License-Identifier: GPL-2.0
/*
 * Everything at once: mounts and umounts, daemons that come and go, fds that
 * are closed and answers at random, under readers who check every byte.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE	(1024 << 10)
#define TASKS		4

FIXTURE(stress)
{
	struct scene s;
	struct od_server srv;
};

FIXTURE_SETUP(stress)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(stress)
{
	scene_fini(&self->s);
}

struct job {
	char		path[256];
	const char	*opts;
	const char	*data;
	unsigned int	seed;
	int		rounds;
	int		fd;
};

static unsigned int draw(unsigned int *seed)
{
	*seed = *seed * 1103515245 + 12345;
	return *seed >> 8;
}

/* Mount, read something, umount, again and again. */
static long mount_loop(void *arg, struct cf_out *out)
{
	struct job *job = arg;
	char name[300], buf[GRANULE];
	int i, fd;

	mkdir(job->path, 0755);
	snprintf(name, sizeof(name), "%s/f00", job->path);
	for (i = 0; i < job->rounds; i++) {
		__u32 off = draw(&job->seed) % (FILE_SIZE - sizeof(buf));

		if (mount("none", job->path, "erofs", MS_RDONLY, job->opts) < 0)
			return -errno;
		fd = open(name, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		if (pread(fd, buf, sizeof(buf), off) != sizeof(buf))
			return -EIO;
		if (memcmp(buf, job->data + off, sizeof(buf)))
			return -EILSEQ;
		close(fd);
		if (umount2(job->path, i % 3 ? 0 : MNT_DETACH) < 0)
			return -errno;
	}
	return 0;
}

/* Read at random; EIO is no surprise here, wrong bytes are. */
static long read_loop(void *arg, struct cf_out *out)
{
	struct job *job = arg;
	char buf[20000];
	int i, fd, errors = 0;

	fd = open(job->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (i = 0; i < job->rounds; i++) {
		__u32 off = draw(&job->seed) % (FILE_SIZE - sizeof(buf));
		ssize_t n = pread(fd, buf, sizeof(buf), off);

		if (n < 0) {
			if (errno != EIO)
				return -errno;
			errors++;
			usleep(1000);
			continue;
		}
		if (memcmp(buf, job->data + off, n))
			return -EILSEQ;
		if (i % 16 == 0)
			posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	}
	return errors;
}

static int start_readers(struct scene *s, struct cf_task *t, int rounds)
{
	struct job job = { .rounds = rounds };
	int i, ret = 0;

	snprintf(job.path, sizeof(job.path), "%s/" SCENE_FILE, s->env.tmp);
	job.data = s->img.data + s->img.file[0].pos;
	for (i = 0; i < TASKS && !ret; i++) {
		job.seed = i * 104729;
		ret = cf_start(&t[i], read_loop, &job, 0);
	}
	return ret;
}

static int start_daemon(struct scene *s, struct od_server *srv, int threads)
{
	od_init(srv, s->env.dev);
	od_add(srv, "img", s->img.data, s->img.size);
	srv->edge = true;
	return od_run(srv, threads);
}

static bool any_running(struct cf_task *t)
{
	bool running = false;
	int i;

	for (i = 0; i < TASKS; i++)
		running |= cf_running(&t[i], 0);
	return running;
}

FIXTURE(mounts)
{
	struct scene s;
	struct od_server srv;
};

FIXTURE_VARIANT(mounts)
{
	const char *opts;
};

FIXTURE_VARIANT_ADD(mounts, domain) { "fsid=img,domain_id=d" };
FIXTURE_VARIANT_ADD(mounts, no_domain) { "fsid=img" };

FIXTURE_SETUP(mounts)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(mounts)
{
	scene_fini(&self->s);
}

/* The same blob is opened and dropped by several mounts all the time. */
TEST_F_TIMEOUT(mounts, parallel, 1200)
{
	struct scene *s = &self->s;
	struct cf_task t[TASKS];
	struct job job = { .opts = variant->opts, .rounds = cf_rounds(20, 250) };
	long ret;
	int i;

	ASSERT_EQ(0, start_daemon(s, &self->srv, 4));
	job.data = s->img.data + s->img.file[0].pos;
	for (i = 0; i < TASKS; i++) {
		snprintf(job.path, sizeof(job.path), "%s/p%d", s->env.tmp, i);
		job.seed = i * 31;
		ASSERT_EQ(0, cf_start(&t[i], mount_loop, &job, 0));
	}
	for (i = 0; i < TASKS; i++) {
		ret = cf_wait(&t[i], cf_rounds(90, 1000) * 1000);
		EXPECT_EQ(0, ret);
	}
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

/* Daemons come and go, one after another, with a pause or without one. */
TEST_F_TIMEOUT(stress, rebind_under_load, 120)
{
	struct scene *s = &self->s;
	struct cf_task t[TASKS];
	int i;

	ASSERT_EQ(0, start_daemon(s, &self->srv, 2));
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, start_readers(s, t, 300));
	for (i = 0; i < 10; i++) {
		usleep(20000);
		/* Its objects' fds may go before or after the device. */
		if (i % 2) {
			EXPECT_EQ(0, od_stop(&self->srv)) {
				TH_LOG("%s", self->srv.error);
			}
			ASSERT_EQ(0, cf_dev_close(&s->env));
		} else {
			int old = s->env.dev, dev = dup(old);

			close(old);
			od_stop(&self->srv);
			close(dev);
			s->env.dev = -1;
		}
		ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
		ASSERT_EQ(0, start_daemon(s, &self->srv, 2));
	}
	for (i = 0; i < TASKS; i++)
		EXPECT_LE(0, cf_wait(&t[i], 60000));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

/* Fds are closed and ids answered without any reason. */
TEST_F_TIMEOUT(stress, mad_daemon, 120)
{
	struct scene *s = &self->s;
	__u64 end = cf_now_ms() + 60000;
	struct cf_task t[TASKS];
	unsigned int seed = 7;
	__u32 last_id = 0;
	int i;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, start_readers(s, t, 100));
	while (any_running(t)) {
		struct cf_msg m;
		int ret;

		ASSERT_GT(end, cf_now_ms());
		ret = cf_next(s->env.dev, &m, 5);
		if (ret == -ETIME)
			continue;
		ASSERT_EQ(0, ret);
		last_id = m.id;
		switch (draw(&seed) % 16) {
		case 0:
			close(s->fd);
			s->fd = -1;
			break;
		case 1:
			cf_cmd(s->env.dev, "restore");
			break;
		case 2:
			cf_complete(s->fd, last_id - draw(&seed) % 5);
			break;
		case 3:
			cf_copen(s->env.dev, last_id - draw(&seed) % 5,
				 s->img.size);
			break;
		}
		if (m.op == CACHEFILES_OP_OPEN) {
			if (draw(&seed) % 2)
				close(s->fd);
			s->fd = m.fd;
			cf_copen(s->env.dev, m.id, draw(&seed) % 8 ?
				 (long long)s->img.size : -EIO);
		} else if (m.op == CACHEFILES_OP_READ) {
			__u64 len = draw(&seed) % 4 ? m.size : m.size / 2 + 99;

			cf_fill(s->fd, s->img.data, m.off, len);
			cf_complete(s->fd, m.id);
		}
	}
	for (i = 0; i < TASKS; i++)
		EXPECT_LE(0, cf_wait(&t[i], PROMPT_MS));

	/* And with a sane one all is well. */
	ASSERT_EQ(0, scene_read_start(s, &t[0], 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t[0]));
	EXPECT_EQ(0, scene_check(s, &t[0], 0, FILE_SIZE));
}

/* Readers are killed all the time, those who stay get what they want. */
TEST_F_TIMEOUT(stress, killed_readers, 120)
{
	struct scene *s = &self->s;
	struct cf_task t[TASKS];
	int i, n;

	ASSERT_EQ(0, start_daemon(s, &self->srv, 2));
	self->srv.delay_us = 3000;
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	for (n = 0; n < 8; n++) {
		ASSERT_EQ(0, start_readers(s, t, 1000));
		usleep(5000 * n);
		for (i = 1; i < TASKS; i++)
			EXPECT_NE(-ETIME, cf_kill(&t[i]));
		EXPECT_NE(-ETIME, cf_kill(&t[0]));
	}
	self->srv.delay_us = 0;
	ASSERT_EQ(0, scene_read_start(s, &t[0], 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t[0], 0, FILE_SIZE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
