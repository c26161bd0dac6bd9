// SPDX-License-Identifier: GPL-2.0
/*
 * A message that cannot be delivered: its buffer is too small or bad, or there
 * is no fd left for it.  It is not lost, and it holds up no other one.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "scene.h"

FIXTURE(buffers)
{
	struct scene s;
	struct cf_task t[2];
	char *page;		/* followed by one that cannot be written */
	struct rlimit nofile;
};

/* Two mounts wait, first that of "a", then that of "b". */
FIXTURE_SETUP(buffers)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	struct scene *s = &self->s;
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, scene_init(s, 64 << 10));
	self->page = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, self->page);
	ASSERT_EQ(0, mprotect(self->page + GRANULE, GRANULE, PROT_NONE));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &self->nofile));

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, s->env.dev, &ev));
	ASSERT_EQ(0, cf_mount_start(&s->env, &self->t[0], "a", "fsid=a"));
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, WAIT_MS));
	ASSERT_EQ(0, cf_mount_start(&s->env, &self->t[1], "b", "fsid=b"));
	ASSERT_EQ(1, epoll_wait(ep, &ev, 1, WAIT_MS));
	close(ep);
}

FIXTURE_TEARDOWN(buffers)
{
	setrlimit(RLIMIT_NOFILE, &self->nofile);
	scene_fini(&self->s);
}

/* Take the OPEN of this key and refuse it. */
static int take(struct scene *s, const char *key, struct cf_task *t)
{
	struct cf_msg m;
	int ret;

	ret = cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN);
	if (ret)
		return ret;
	if (strcmp(m.key, key))
		return -EBADMSG;
	ret = cf_copen(s->env.dev, m.id, -EIO);
	close(m.fd);
	return ret ?: cf_wait(t, PROMPT_MS) == -EIO ? 0 : -EPROTO;
}

/* No more fds than there are. */
static int exhaust_fds(void)
{
	struct rlimit rl;
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	close(fd);
	if (getrlimit(RLIMIT_NOFILE, &rl) < 0)
		return -errno;
	rl.rlim_cur = fd;
	return setrlimit(RLIMIT_NOFILE, &rl) < 0 ? -errno : 0;
}

/* The message goes behind the others: "b" is next, then "a". */
TEST_F(buffers, too_small)
{
	struct scene *s = &self->s;
	int fds = cf_count_fds();
	char buf[8];

	EXPECT_EQ(-1, read(s->env.dev, buf, sizeof(buf)));
	EXPECT_EQ(EMSGSIZE, errno);
	EXPECT_EQ(fds, cf_count_fds());
	EXPECT_EQ(1, cf_readable(s->env.dev, 0));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
}

TEST_F(buffers, one_byte_short)
{
	struct scene *s = &self->s;
	size_t size = 16 + 16 + sizeof("erofs,a") + 1;
	struct cf_msg m;
	char buf[64];
	ssize_t n;

	EXPECT_EQ(-1, read(s->env.dev, buf, size - 1));
	EXPECT_EQ(EMSGSIZE, errno);
	/* Enough is enough. */
	n = read(s->env.dev, buf, size);
	ASSERT_EQ(size, n);
	ASSERT_EQ(0, cf_parse(&m, buf, n));
	EXPECT_STREQ("b", m.key);
	EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EIO));
	EXPECT_EQ(-EIO, cf_wait(&self->t[1], PROMPT_MS));
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
}

/* Many times, and still both are there. */
TEST_F(buffers, too_small_again_and_again)
{
	struct scene *s = &self->s;
	char buf[31];
	int i;

	for (i = 0; i < 100; i++) {
		EXPECT_EQ(-1, read(s->env.dev, buf, i % sizeof(buf) + 1));
		EXPECT_EQ(EMSGSIZE, errno);
	}
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 0));
}

/* A bad pointer changes nothing, not even the order. */
TEST_F(buffers, bad_pointer)
{
	struct scene *s = &self->s;
	int fds = cf_count_fds(), i;

	for (i = 0; i < 20; i++) {
		EXPECT_EQ(-1, syscall(SYS_read, s->env.dev, NULL,
				      CACHEFILES_MSG_MAX_SIZE));
		EXPECT_EQ(EFAULT, errno);
		EXPECT_EQ(-1, read(s->env.dev, self->page + GRANULE,
				   CACHEFILES_MSG_MAX_SIZE));
		EXPECT_EQ(EFAULT, errno);
	}
	EXPECT_EQ(fds, cf_count_fds());
	EXPECT_TRUE(cf_running(&self->t[0], 0));
	EXPECT_TRUE(cf_running(&self->t[1], 0));
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
}

/* The copy fails in the middle of the message. */
TEST_F(buffers, half_bad_buffer)
{
	struct scene *s = &self->s;
	int fds = cf_count_fds();

	EXPECT_EQ(-1, read(s->env.dev, self->page + GRANULE - 20,
			   CACHEFILES_MSG_MAX_SIZE));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(fds, cf_count_fds());
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
}

/* The message is what counts, not how long the buffer claims to be. */
TEST_F(buffers, bad_behind_the_message)
{
	struct scene *s = &self->s;
	size_t size = 16 + 16 + sizeof("erofs,a") + 1;
	struct cf_msg m;
	ssize_t n;

	n = read(s->env.dev, self->page + GRANULE - size,
		 CACHEFILES_MSG_MAX_SIZE);
	ASSERT_EQ(size, n);
	ASSERT_EQ(0, cf_parse(&m, self->page + GRANULE - size, n));
	EXPECT_STREQ("a", m.key);
	EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EIO));
	EXPECT_EQ(-EIO, cf_wait(&self->t[0], PROMPT_MS));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
}

/* No fd left: no message and no error, and no loss. */
TEST_F(buffers, no_fd)
{
	struct scene *s = &self->s;
	char buf[CACHEFILES_MSG_MAX_SIZE];
	int i;

	ASSERT_EQ(0, exhaust_fds());
	for (i = 0; i < 20; i++)
		EXPECT_EQ(0, read(s->env.dev, buf, sizeof(buf)));
	EXPECT_TRUE(cf_running(&self->t[0], 0));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &self->nofile));
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
}

/* A daemon that polls meanwhile neither spins nor misses the moment. */
TEST_F(buffers, no_fd_and_poll)
{
	struct scene *s = &self->s;
	__u64 end = cf_now_ms() + 1000;
	char buf[CACHEFILES_MSG_MAX_SIZE];
	int ready = 0;

	ASSERT_EQ(0, exhaust_fds());
	while (cf_now_ms() < end) {
		if (cf_readable(s->env.dev, 200) != 1)
			continue;
		ready++;
		EXPECT_EQ(0, read(s->env.dev, buf, sizeof(buf)));
	}
	/* Two messages, ten times a second, at most. */
	EXPECT_LT(0, ready);
	EXPECT_GE(25, ready);
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &self->nofile));
	EXPECT_EQ(1, cf_readable(s->env.dev, PROMPT_MS));
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
}

/* The moment is an edge, too. */
TEST_F(buffers, no_fd_and_edge)
{
	struct scene *s = &self->s;
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	char buf[CACHEFILES_MSG_MAX_SIZE];
	int ep = epoll_create1(EPOLL_CLOEXEC);

	ASSERT_EQ(0, epoll_ctl(ep, EPOLL_CTL_ADD, s->env.dev, &ev));
	ASSERT_EQ(0, exhaust_fds());
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, WAIT_MS));
	EXPECT_EQ(0, read(s->env.dev, buf, sizeof(buf)));
	EXPECT_EQ(0, read(s->env.dev, buf, sizeof(buf)));
	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &self->nofile));
	EXPECT_EQ(1, epoll_wait(ep, &ev, 1, PROMPT_MS));
	EXPECT_EQ(0, take(s, "a", &self->t[0]));
	EXPECT_EQ(0, take(s, "b", &self->t[1]));
	close(ep);
}

FIXTURE(others)
{
	struct scene s;
	struct rlimit nofile;
};

FIXTURE_SETUP(others)
{
	ASSERT_EQ(0, scene_init(&self->s, 64 << 10));
	ASSERT_EQ(0, getrlimit(RLIMIT_NOFILE, &self->nofile));
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
}

FIXTURE_TEARDOWN(others)
{
	setrlimit(RLIMIT_NOFILE, &self->nofile);
	scene_fini(&self->s);
}

/* A READ needs no fd, so it is delivered past an OPEN that cannot be. */
TEST_F(others, read_passes_open)
{
	struct scene *s = &self->s;
	struct cf_task mnt, t;
	struct cf_msg m;

	ASSERT_EQ(0, cf_mount_start(&s->env, &mnt, "other", "fsid=other"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 10));
	ASSERT_EQ(0, exhaust_fds());
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 10));

	ASSERT_EQ(0, setrlimit(RLIMIT_NOFILE, &self->nofile));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_STREQ("other", m.key);
	EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EIO));
	EXPECT_EQ(-EIO, cf_wait(&mnt, PROMPT_MS));
}

/* A READ does not fit either: it waits its turn. */
TEST_F(others, read_too_large)
{
	struct scene *s = &self->s;
	struct cf_task t;
	char buf[31];

	ASSERT_EQ(0, scene_read_start(s, &t, 0, 10));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	EXPECT_EQ(-1, read(s->env.dev, buf, sizeof(buf)));
	EXPECT_EQ(EMSGSIZE, errno);
	EXPECT_TRUE(cf_running(&t, 0));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 10));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
