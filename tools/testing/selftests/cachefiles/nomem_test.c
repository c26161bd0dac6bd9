// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that runs out at each point of each operation in turn: it fails with
 * an error or succeeds, and when it is done again without the fault all is
 * there.  The kernel fails the Nth allocation of the task, for all N.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)
#define MAX_NTH		3000
#define DEBUG_DIR	"/sys/kernel/debug/"

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* Allocations that may sleep are the interesting ones. */
static int faults_init(void)
{
	return put(DEBUG_DIR "failslab/ignore-gfp-wait", "N") ?:
	       put(DEBUG_DIR "failslab/verbose", "0") ?:
	       put(DEBUG_DIR "fail_page_alloc/ignore-gfp-wait", "N") ?:
	       put(DEBUG_DIR "fail_page_alloc/ignore-gfp-highmem", "N") ?:
	       put(DEBUG_DIR "fail_page_alloc/min-order", "0") ?:
	       put(DEBUG_DIR "fail_page_alloc/verbose", "0");
}

/* Open beforehand, so that to begin and to end costs no memory. */
static int nth_open(void)
{
	return open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
}

static void nth_begin(int fd, int nth)
{
	char buf[16];

	if (pwrite(fd, buf, snprintf(buf, sizeof(buf), "%d", nth), 0) < 0)
		perror("fail-nth");
}

/* Whether there was a fault. */
static bool nth_end(int fd)
{
	char buf[16] = "";
	bool faulted = pread(fd, buf, sizeof(buf) - 1, 0) > 0 && !atoi(buf);

	nth_begin(fd, 0);
	return faulted;
}

FIXTURE(nomem)
{
	struct scene s;
	int nth;
};

FIXTURE_SETUP(nomem)
{
	self->s.env.dev = -1;
	if (faults_init())
		SKIP(return, "the kernel can't inject faults");
	self->nth = nth_open();
	ASSERT_LE(0, self->nth);
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(nomem)
{
	scene_fini(&self->s);
}

static int bind_once(struct cf_env *env, const char *how)
{
	char cmd[300];
	int n = snprintf(cmd, sizeof(cmd), "dir %s", env->root), ret = 0;

	env->dev = open("/dev/cachefiles", O_RDWR | O_CLOEXEC);
	if (env->dev < 0)
		return -errno;
	if (write(env->dev, cmd, n) < 0)
		ret = -errno;
	if (!ret && write(env->dev, how, strlen(how)) < 0)
		ret = -errno;
	return ret;
}

TEST_F_TIMEOUT(nomem, bind, 300)
{
	struct scene *s = &self->s;
	bool fault = true;
	int nth, ret;

	for (nth = 1; fault; nth++) {
		ASSERT_GT(MAX_NTH, nth);
		if (s->env.dev >= 0)
			ASSERT_EQ(0, cf_dev_close(&s->env));
		nth_begin(self->nth, nth);
		ret = bind_once(&s->env, "bind ondemand park=1 full");
		fault = nth_end(self->nth);
		if (!fault)
			EXPECT_EQ(0, ret);
	}
	ksft_print_msg("%d allocations failed\n", nth - 2);
	EXPECT_LT(3, nth);
	EXPECT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* The mounting task: whatever fails, the next one mounts. */
TEST_F_TIMEOUT(nomem, mount, 600)
{
	struct scene *s = &self->s;
	static struct od_server srv;
	bool fault = true;
	char path[300];
	int nth, ret;

	od_init(&srv, s->env.dev);
	od_add(&srv, "img", s->img.data, s->img.size);
	ASSERT_EQ(0, od_run(&srv, 2));
	snprintf(path, sizeof(path), "%s/m", s->env.tmp);
	mkdir(path, 0755);
	for (nth = 1; fault; nth++) {
		ASSERT_GT(MAX_NTH, nth);
		nth_begin(self->nth, nth);
		ret = mount("none", path, "erofs", MS_RDONLY, "fsid=img");
		if (ret)
			ret = -errno;
		fault = nth_end(self->nth);
		if (!fault)
			EXPECT_EQ(0, ret);
		if (!ret)
			EXPECT_EQ(0, umount(path));
	}
	ksft_print_msg("%d allocations failed\n", nth - 2);
	EXPECT_LT(10, nth);
	EXPECT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	EXPECT_EQ(0, od_stop(&srv));
}

/* A message that can't be made is delivered later. */
TEST_F_TIMEOUT(nomem, message, 300)
{
	char buf[CACHEFILES_MSG_MAX_SIZE];
	struct scene *s = &self->s;
	bool fault = true;
	struct cf_task t;
	struct cf_msg m;
	int nth, ret;
	ssize_t n;

	for (nth = 1; fault; nth++) {
		ASSERT_GT(MAX_NTH, nth);
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
		ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
		nth_begin(self->nth, nth);
		n = read(s->env.dev, buf, sizeof(buf));
		fault = nth_end(self->nth);
		if (n > 0) {
			ASSERT_EQ(0, cf_parse(&m, buf, n));
		} else {
			EXPECT_TRUE(fault);
			EXPECT_EQ(0, n);
			ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
		}
		/* That of the mount before. */
		while (m.op == CACHEFILES_OP_CLOSE)
			ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		ret = cf_copen(s->env.dev, m.id, -ENOENT);
		ASSERT_EQ(0, ret);
		close(m.fd);
		EXPECT_EQ(-ENOENT, cf_wait(&t, WAIT_MS));
	}
	ksft_print_msg("%d allocations failed\n", nth - 2);
	EXPECT_LT(3, nth);
}

/* The answer to an OPEN makes the file: the mount fails as the answer does. */
TEST_F_TIMEOUT(nomem, copen, 600)
{
	struct scene *s = &self->s;
	bool fault = true;
	char cmd[64];
	struct cf_task t;
	struct cf_msg m;
	int nth, len;
	long ret;

	for (nth = 1; fault; nth++) {
		ASSERT_GT(MAX_NTH, nth);
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
		s->fd = m.fd;
		s->object = m.object;
		len = snprintf(cmd, sizeof(cmd), "copen %u,%llu", m.id,
			       (unsigned long long)s->img.size);
		nth_begin(self->nth, nth);
		ret = write(s->env.dev, cmd, len) < 0 ? -errno : 0;
		fault = nth_end(self->nth);
		/* The command itself needs memory, and can be tried again. */
		if (ret == -ENOMEM && cf_running(&t, QUIET_MS))
			ret = cf_copen(s->env.dev, m.id, s->img.size);
		if (!ret) {
			EXPECT_EQ(0, scene_fill_metadata(s));
			EXPECT_EQ(0, scene_absorb(s, &t));
			EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
			EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
		} else {
			EXPECT_TRUE(fault);
			EXPECT_EQ(ret, cf_wait(&t, WAIT_MS));
		}
		close(s->fd);
	}
	ksft_print_msg("%d allocations failed\n", nth - 2);
	EXPECT_LT(3, nth);
}

/* A fill that failed can be done again, and nothing false is there. */
TEST_F_TIMEOUT(nomem, fill, 600)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[0].pos, off = 0;
	bool fault = true;
	struct cf_task t;
	ssize_t n;
	int nth;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	for (nth = 1; fault; nth++) {
		ASSERT_GT(FILE_SIZE, off);
		nth_begin(self->nth, nth);
		n = pwrite(s->fd, s->img.data + pos + off, GRANULE, pos + off);
		fault = nth_end(self->nth);
		if (n != GRANULE) {
			EXPECT_TRUE(fault);
			EXPECT_EQ(0, cf_fill(s->fd, s->img.data, pos + off,
					     GRANULE));
		}
		off += GRANULE;
	}
	ksft_print_msg("%d allocations failed\n", nth - 2);
	EXPECT_LT(3, nth);
	ASSERT_EQ(0, scene_read_start(s, &t, 0, off));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, off));
}

/* Readers of what is missing, and of what is there, and those who ask for space. */
TEST_F_TIMEOUT(nomem, reader, 600)
{
	struct cachefiles_space space;
	struct scene *s = &self->s;
	static struct od_server srv;
	char path[300], buf[GRANULE];
	bool fault = true;
	__u64 off = 0;
	ssize_t n;
	int nth, fd, nr;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	od_init(&srv, s->env.dev);
	od_add(&srv, "img", s->img.data, s->img.size);
	ASSERT_EQ(0, od_run(&srv, 2));
	snprintf(path, sizeof(path), "%s/" SCENE_FILE, s->env.tmp);
	for (nth = 1, nr = 0; nr < 8; nth++) {
		ASSERT_GT(MAX_NTH, nth);
		if (nth % 16 == 0)
			cf_drop_caches();
		nth_begin(self->nth, nth);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -errno : pread(fd, buf, sizeof(buf), off);
		ioctl(s->env.dev, CACHEFILES_IOC_SPACE, &space);
		fault = nth_end(self->nth);
		if (n < 0) {
			EXPECT_TRUE(fault);
		} else {
			EXPECT_EQ(0, memcmp(buf, s->img.data + off +
					    s->img.file[0].pos, n));
		}
		if (fd >= 0)
			close(fd);
		nr += !fault;
		off = (off + GRANULE) % FILE_SIZE;
	}
	ksft_print_msg("%d operations met a fault\n", nth - 1 - nr);
	EXPECT_LT(3, nth - nr);
	ASSERT_EQ(GRANULE, cf_read(&s->env, SCENE_FILE, 0, GRANULE, buf));
	EXPECT_EQ(0, od_stop(&srv));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
