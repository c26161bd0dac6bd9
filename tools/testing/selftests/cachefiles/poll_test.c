// SPDX-License-Identifier: GPL-2.0
/*
 * Readiness of the device: poll(2), and edge-triggered epoll with many threads.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

FIXTURE(poll)
{
	struct scene s;
	struct od_server srv;
	int ep;
};

FIXTURE_SETUP(poll)
{
	ASSERT_EQ(0, scene_init(&self->s, 64 << 10));
	self->ep = epoll_create1(EPOLL_CLOEXEC);
	ASSERT_LE(0, self->ep);
}

FIXTURE_TEARDOWN(poll)
{
	scene_fini(&self->s);
}

static int watch(int ep, int dev)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };

	return epoll_ctl(ep, EPOLL_CTL_ADD, dev, &ev);
}

static int edge(int ep, int ms)
{
	struct epoll_event ev = {};
	int n = epoll_wait(ep, &ev, 1, ms);

	return n == 1 ? (int)ev.events : -n;
}

static void drain(int dev)
{
	struct cf_msg m;

	while (!cf_next(dev, &m, 0))
		;
}

static short events(int dev)
{
	struct pollfd pfd = {
		.fd = dev,
		.events = POLLIN | POLLRDNORM | POLLPRI | POLLRDHUP,
	};

	return poll(&pfd, 1, 0) < 0 ? -1 : pfd.revents;
}

/* Readable as long as read(2) would deliver something, and no longer. */
TEST_F(poll, level)
{
	struct scene *s = &self->s;
	struct cf_task t[2];
	struct cf_msg m[2];
	int i;

	EXPECT_EQ(0, events(s->env.dev));
	for (i = 0; i < 2; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m%d", i);
		ASSERT_EQ(0, cf_mount_start(&s->env, &t[i], name, "fsid=%s",
					    name));
		ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	}
	/* Both have to be in the queue. */
	usleep(QUIET_MS * 1000);
	EXPECT_EQ(POLLIN, events(s->env.dev) & ~POLLRDNORM);
	ASSERT_EQ(0, cf_expect(s->env.dev, &m[0], CACHEFILES_OP_OPEN));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m[1], CACHEFILES_OP_OPEN));
	EXPECT_EQ(0, events(s->env.dev));

	/* An answer frees the mounter and makes nothing readable. */
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, cf_copen(s->env.dev, m[i].id, -EIO));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(-EIO, cf_wait(&t[i], PROMPT_MS));
}

/* Each message that is queued is an edge, whether or not others wait. */
TEST_F(poll, edge_per_message)
{
	struct scene *s = &self->s;
	struct cf_task t[3];
	struct cf_msg m;
	int i;

	ASSERT_EQ(0, watch(self->ep, s->env.dev));
	EXPECT_EQ(0, edge(self->ep, 0));
	for (i = 0; i < 3; i++) {
		char name[8];

		snprintf(name, sizeof(name), "m%d", i);
		ASSERT_EQ(0, cf_mount_start(&s->env, &t[i], name, "fsid=%s",
					    name));
		EXPECT_EQ(EPOLLIN, edge(self->ep, WAIT_MS));
		EXPECT_EQ(0, edge(self->ep, 0));
	}
	/* Drained by one thread after the three edges. */
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
		EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EIO));
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-EIO, cf_wait(&t[i], PROMPT_MS));
	cf_quiet(s->env.dev, 0);

	/* And the next one is an edge again. */
	while (edge(self->ep, 0) > 0)
		;
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[0], "m0", "fsid=m0"));
	EXPECT_EQ(EPOLLIN, edge(self->ep, WAIT_MS));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EIO));
	EXPECT_EQ(-EIO, cf_wait(&t[0], PROMPT_MS));
}

/* Daemons register the fd before they bind the cache. */
TEST_F(poll, watched_before_bind)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_dev_close(&s->env));
	s->env.dev = cf_dev_open();
	ASSERT_LE(0, s->env.dev);
	ASSERT_EQ(0, watch(self->ep, s->env.dev));
	EXPECT_EQ(0, edge(self->ep, 0));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	while (edge(self->ep, 0) > 0)
		;
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	EXPECT_EQ(EPOLLIN, edge(self->ep, WAIT_MS));
	ASSERT_EQ(0, scene_open(s, -EIO));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
}

/* What goes back to the queue is as new: after restore, after a lost fd. */
TEST_F(poll, edge_for_requeued)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, watch(self->ep, s->env.dev));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	EXPECT_EQ(EPOLLIN, edge(self->ep, WAIT_MS));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_EQ(0, edge(self->ep, 50));
	ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
	EXPECT_EQ(EPOLLIN, edge(self->ep, WAIT_MS));
	close(s->fd);
	ASSERT_EQ(0, scene_open(s, s->img.size));
	ASSERT_EQ(0, scene_fill_metadata(s));
	ASSERT_EQ(0, scene_absorb(s, &t));
	ASSERT_EQ(0, cf_wait(&t, WAIT_MS));

	while (edge(self->ep, 0) > 0)
		;
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 10));
	EXPECT_EQ(EPOLLIN, edge(self->ep, WAIT_MS));
	do {
		drain(s->env.dev);
	} while (edge(self->ep, 50) > 0);
	close(s->fd);
	EXPECT_EQ(EPOLLIN, edge(self->ep, WAIT_MS));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 10));
}

/* A withdrawn message leaves nothing behind that looks readable. */
TEST_F(poll, withdrawn)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&t));
	EXPECT_EQ(0, events(s->env.dev));
}

FIXTURE(threads)
{
	struct scene s;
	struct od_server srv;
};

FIXTURE_VARIANT(threads)
{
	int nr;
	bool edge;
};

FIXTURE_VARIANT_ADD(threads, one_level) { .nr = 1 };
FIXTURE_VARIANT_ADD(threads, eight_level) { .nr = 8 };
FIXTURE_VARIANT_ADD(threads, one_edge) { .nr = 1, .edge = true };
FIXTURE_VARIANT_ADD(threads, eight_edge) { .nr = 8, .edge = true };

FIXTURE_SETUP(threads)
{
	ASSERT_EQ(0, scene_init(&self->s, 256 << 10));
}

FIXTURE_TEARDOWN(threads)
{
	scene_fini(&self->s);
}

/* Many mounts and readers: every message is got by someone, once. */
TEST_F_TIMEOUT(threads, nothing_lost, 120)
{
	struct scene *s = &self->s;
	struct cf_task t[8];
	char name[16];
	int i;

	od_init(&self->srv, s->env.dev);
	self->srv.edge = variant->edge;
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "b%d", i);
		od_add(&self->srv, name, s->img.data, s->img.size);
	}
	ASSERT_EQ(0, od_run(&self->srv, variant->nr));
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "b%d", i);
		ASSERT_EQ(0, cf_mount_start(&s->env, &t[i], name, "fsid=%s",
					    name));
	}
	for (i = 0; i < 8; i++)
		EXPECT_EQ(0, cf_wait(&t[i], WAIT_MS));
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "b%d/f00", i);
		ASSERT_EQ(0, cf_read_start(&s->env, &t[i], name, 0, 256 << 10));
	}
	for (i = 0; i < 8; i++)
		EXPECT_EQ(0, scene_check(s, &t[i], 0, 256 << 10));
	for (i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "b%d", i);
		EXPECT_EQ(0, cf_umount(&s->env, name, 0));
	}
	for (i = 0; i < 100 && self->srv.nr_close < 8; i++)
		usleep(20000);
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	EXPECT_EQ(8, self->srv.nr_open);
	EXPECT_EQ(8, self->srv.nr_close);
	EXPECT_FALSE(od_log_overlaps(&self->srv));
	if (variant->nr == 1)
		EXPECT_EQ(0, self->srv.nr_spurious);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
