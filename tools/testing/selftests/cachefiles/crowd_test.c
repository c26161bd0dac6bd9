// SPDX-License-Identifier: GPL-2.0
/*
 * A node that starts all of its containers at once: every mount waits at the same
 * time, all are mounted at the same time, and all go at the same time.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	GRANULE
#define NR		1000	/* if there is time */
#define USUAL		100
#define STACK		(64 << 10)
#define LIMIT_MS	1200000

struct opened {
	__u32	object;
	int	fd;
};

struct server {
	struct img	img;
	struct opened	opened[NR];
	int		nr_open;
	int		nr_close;
};

FIXTURE(crowd)
{
	struct cf_env env;
	struct server srv;
};

FIXTURE_VARIANT(crowd)
{
	bool one_blob;
};

FIXTURE_VARIANT_ADD(crowd, of_one_blob) { true };
FIXTURE_VARIANT_ADD(crowd, of_many_blobs) { false };

FIXTURE_SETUP(crowd)
{
	struct rlimit many = { NR + 100, NR + 100 };

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &many));
	ASSERT_EQ(0, cf_env_init(&self->env));
	ASSERT_EQ(0, img_simple(&self->srv.img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
}

FIXTURE_TEARDOWN(crowd)
{
	cf_env_fini(&self->env);
}

/* The task that mounts: a thread for each mount, in step with one another. */
struct crowd {
	const struct cf_env	*env;
	const char		*content;
	int			nr;
	int			blobs;
	pthread_barrier_t	all;
	long			error;
};

struct member {
	struct crowd	*crowd;
	int		nr;
	pthread_t	thread;
};

static void fails(struct crowd *c, long error)
{
	long none = 0;

	__atomic_compare_exchange_n(&c->error, &none, error, false, __ATOMIC_RELAXED,
				    __ATOMIC_RELAXED);
}

static int read_file(struct crowd *c, const char *dir)
{
	char path[300], buf[FILE_SIZE];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/f00", dir);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (read(fd, buf, sizeof(buf)) != sizeof(buf))
		ret = -EIO;
	else if (memcmp(buf, c->content, sizeof(buf)))
		ret = -EILSEQ;
	close(fd);
	return ret;
}

static void *member_run(void *arg)
{
	struct member *m = arg;
	struct crowd *c = m->crowd;
	char dir[256], opts[64];
	int ret;

	snprintf(dir, sizeof(dir), "%s/c%d", c->env->tmp, m->nr);
	snprintf(opts, sizeof(opts), "fsid=img%d,domain_id=crowd", m->nr % c->blobs);
	mkdir(dir, 0755);
	pthread_barrier_wait(&c->all);
	ret = mount("none", dir, "erofs", MS_RDONLY, opts) < 0 ? -errno : read_file(c, dir);
	if (ret)
		fails(c, ret);
	pthread_barrier_wait(&c->all);
	if (umount2(dir, 0) < 0)
		fails(c, -errno);
	return NULL;
}

static long crowd_run(void *arg, struct cf_out *out)
{
	static struct member member[NR];
	struct crowd *c = arg;
	pthread_attr_t attr;
	int i;

	if (pthread_attr_init(&attr) || pthread_attr_setstacksize(&attr, STACK) ||
	    pthread_barrier_init(&c->all, NULL, c->nr))
		return -ENOMEM;
	for (i = 0; i < c->nr; i++) {
		member[i].crowd = c;
		member[i].nr = i;
		/* Those that run already wait for the others: the task is ended then. */
		if (pthread_create(&member[i].thread, &attr, member_run, &member[i]))
			return -EAGAIN;
	}
	for (i = 0; i < c->nr; i++)
		pthread_join(member[i].thread, NULL);
	return c->error;
}

static int serve(struct server *srv, const struct cf_msg *m)
{
	int i;

	for (i = 0; i < srv->nr_open && srv->opened[i].object != m->object; i++)
		;
	if (i == srv->nr_open)
		return -EPROTO;
	if (m->op == CACHEFILES_OP_READ)
		return cf_fill(srv->opened[i].fd, srv->img.data, m->off, m->size) ?:
		       cf_complete(srv->opened[i].fd, m->id);
	if (m->op != CACHEFILES_OP_CLOSE)
		return -EPROTO;
	srv->nr_close++;
	return close(srv->opened[i].fd);
}

TEST_F_TIMEOUT(crowd, mount_all_at_once, 2800)
{
	struct server *srv = &self->srv;
	struct crowd c = {
		.env = &self->env,
		.nr = cf_rounds(USUAL, NR),
		.content = srv->img.data + srv->img.file[0].pos,
	};
	__u64 end = cf_now_ms() + LIMIT_MS;
	static __u32 waiting[NR];
	struct cf_task t;
	struct cf_msg m;
	int i, ret;

	c.blobs = variant->one_blob ? 1 : c.nr;
	ASSERT_EQ(0, cf_start(&t, crowd_run, &c, 0));

	/* Nobody is answered before all have asked. */
	for (i = 0; i < c.blobs; i++) {
		ASSERT_EQ(0, cf_expect(self->env.dev, &m, CACHEFILES_OP_OPEN));
		waiting[i] = m.id;
		srv->opened[srv->nr_open++] = (struct opened){ m.object, m.fd };
	}
	EXPECT_EQ(0, cf_quiet(self->env.dev, QUIET_MS));
	for (i = 0; i < c.blobs; i++)
		ASSERT_EQ(0, cf_copen(self->env.dev, waiting[i], srv->img.size));

	while (cf_running(&t, 0)) {
		ASSERT_GT(end, cf_now_ms());
		ret = cf_next(self->env.dev, &m, 10);
		if (ret == -ETIME)
			continue;
		ASSERT_EQ(0, ret);
		ASSERT_EQ(0, serve(srv, &m));
	}
	EXPECT_EQ(0, cf_wait(&t, 0));
	ksft_print_msg("%d mounts came and went in %llu ms\n", c.nr,
		       (unsigned long long)(cf_now_ms() + LIMIT_MS - end));
	while (srv->nr_close < c.blobs) {
		ASSERT_EQ(0, cf_next(self->env.dev, &m, WAIT_MS));
		ASSERT_EQ(0, serve(srv, &m));
	}
	EXPECT_EQ(0, cf_quiet(self->env.dev, QUIET_MS));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
