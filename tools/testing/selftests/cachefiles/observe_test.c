// SPDX-License-Identifier: GPL-2.0
/*
 * Whatever goes wrong is counted, traced, and told in the log by its name: each
 * time by the first two, and once by the log.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "observe.h"
#include "scene.h"

#define INJECTION	"/proc/sys/cachefiles/error_injection"
#define NO_SPACE	"1"	/* for what is written */
#define IO_ERROR	"2"	/* for all */
#define TIMES		5

FIXTURE(observe)
{
	struct scene s;
	int log;
};

FIXTURE_SETUP(observe)
{
	ASSERT_EQ(0, scene_init(&self->s, 256 << 10));
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
	self->log = ob_log_begin();
	ASSERT_LE(0, self->log);
	ASSERT_EQ(0, ob_events_begin());
}

static int inject(const char *what)
{
	int fd = open(INJECTION, O_WRONLY | O_CLOEXEC);
	int ret = fd < 0 || write(fd, what, 1) != 1 ? -errno : 0;

	close(fd);
	return ret;
}

FIXTURE_TEARDOWN(observe)
{
	inject("0");
	ob_events_end();
	close(self->log);
	scene_fini(&self->s);
}

/* What a daemon does about each message of this opcode; others it serves. */
struct bad_daemon {
	__u32 op;
	int (*act)(struct scene *s, struct cf_msg *m);
	int nr;
};

/* Until the task ends; its result. */
static long be_bad(struct scene *s, struct cf_task *t, struct bad_daemon *bad)
{
	struct cf_msg m;
	int ret;

	while (cf_running(t, 0)) {
		ret = cf_next(s->env.dev, &m, 10);
		if (ret == -ETIME)
			continue;
		if (!ret && m.op == bad->op) {
			bad->nr++;
			ret = bad->act(s, &m);
		} else if (!ret && m.op == CACHEFILES_OP_OPEN) {
			s->fd = m.fd;
			s->object = m.object;
			ret = cf_copen(s->env.dev, m.id, s->img.size);
		}
		if (ret)
			return ret;
	}
	return cf_wait(t, WAIT_MS);
}

/* Reads that fail, one after the other; the page before is not read again. */
static int reads_fail(struct scene *s, struct bad_daemon *bad, long error)
{
	struct cf_task t;
	int i;

	for (i = 0; i < TIMES; i++) {
		long ret = scene_read_start(s, &t, i * GRANULE, 100) ?: be_bad(s, &t, bad);

		if (ret != error) {
			ksft_print_msg("read %d: %ld\n", i, ret);
			return -EPROTO;
		}
	}
	return 0;
}

static int refuse(struct scene *s, struct cf_msg *m)
{
	close(m->fd);
	return cf_copen(s->env.dev, m->id, -ENOENT);
}

TEST_F_TIMEOUT(observe, not_opened_again, 90)
{
	struct bad_daemon bad = { CACHEFILES_OP_OPEN, refuse };
	struct scene *s = &self->s;

	close(s->fd);
	ASSERT_EQ(0, ob_counter(" open_fails="));
	ASSERT_EQ(0, reads_fail(s, &bad, -ENOENT));
	EXPECT_LE(TIMES, bad.nr);
	EXPECT_EQ(bad.nr, ob_counter(" open_fails="));
	EXPECT_EQ(bad.nr, ob_events_count("erofs,img/img open error=-2"));
	EXPECT_EQ(1, ob_log_count(self->log, "erofs,img/img: it can't be opened again (-2)"));
}

static int fail(struct scene *s, struct cf_msg *m)
{
	return cf_fail(s->fd, m->id, -ETIMEDOUT);
}

TEST_F_TIMEOUT(observe, read_fails, 90)
{
	struct bad_daemon bad = { CACHEFILES_OP_READ, fail };
	struct scene *s = &self->s;

	ASSERT_EQ(0, reads_fail(s, &bad, -ETIMEDOUT));
	EXPECT_LE(TIMES, bad.nr);
	EXPECT_EQ(bad.nr, ob_counter(" read_fails="));
	EXPECT_LE(TIMES, ob_counter(" errors="));
	EXPECT_EQ(bad.nr, ob_events_count("cachefiles_od_read_fail: erofs,img/img"));
	EXPECT_EQ(1, ob_log_count(self->log, "erofs,img/img: the daemon can't fill it (-110)"));
}

static int answer_without(struct scene *s, struct cf_msg *m)
{
	return cf_complete(s->fd, m->id);
}

TEST_F_TIMEOUT(observe, empty_reads, 90)
{
	struct bad_daemon bad = { CACHEFILES_OP_READ, answer_without };
	struct scene *s = &self->s;

	ASSERT_EQ(0, reads_fail(s, &bad, -EIO));
	EXPECT_LE(TIMES, bad.nr);
	EXPECT_EQ(bad.nr, ob_counter(" empty_reads="));
	EXPECT_EQ(bad.nr, ob_events_count("erofs,img/img empty error=-5"));
	EXPECT_EQ(1, ob_log_count(self->log,
				  "erofs,img/img: READs are answered without their data (-5)"));
}

/* What has been told of one trouble does not hide another one. */
TEST_F_TIMEOUT(observe, one_trouble_after_another, 90)
{
	struct bad_daemon failing = { CACHEFILES_OP_READ, fail };
	struct bad_daemon empty = { CACHEFILES_OP_READ, answer_without };
	struct scene *s = &self->s;
	int i, lines;

	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, reads_fail(s, &failing, -ETIMEDOUT));
		EXPECT_EQ(!i, ob_log_count(self->log,
					   "erofs,img/img: the daemon can't fill it (-110)"));
		ASSERT_EQ(0, reads_fail(s, &empty, -EIO));
		lines = ob_log_count(self->log,
				     "erofs,img/img: READs are answered without their data (-5)");
		EXPECT_EQ(!i, lines);
	}
}

TEST_F_TIMEOUT(observe, fills_fail, 90)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[0].pos;
	int i, round;

	if (access(INJECTION, W_OK) < 0)
		SKIP(return, "the kernel has no CACHEFILES_ERROR_INJECTION");
	for (round = 0; round < 2; round++, pos += GRANULE) {
		ASSERT_EQ(0, inject(NO_SPACE));
		for (i = 0; i < TIMES; i++)
			EXPECT_EQ(-ENOSPC, cf_fill(s->fd, s->img.data, pos, GRANULE));
		ASSERT_EQ(0, inject("0"));
		/* That it works again is the end of it. */
		EXPECT_EQ(0, cf_fill(s->fd, s->img.data, pos, GRANULE));
		EXPECT_EQ(1, ob_log_count(self->log, "erofs,img/img: it can't be filled (-28)"));
	}
	EXPECT_EQ(2 * TIMES, ob_counter(" fill_errors="));
	EXPECT_EQ(2 * TIMES, ob_events_count("erofs,img/img fill error=-28"));
}

TEST_F_TIMEOUT(observe, disk_fails, 90)
{
	struct scene *s = &self->s;
	char buf[100];
	int i;

	if (access(INJECTION, W_OK) < 0)
		SKIP(return, "the kernel has no CACHEFILES_ERROR_INJECTION");
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(1, ob_counter(" completed="));
	/* Written back before what follows. */
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, inject(IO_ERROR));
	for (i = 0; i < TIMES; i++)
		EXPECT_EQ(-EIO, cf_read(&s->env, SCENE_FILE, i * GRANULE, 100, buf));
	ASSERT_EQ(0, inject("0"));
	EXPECT_EQ(100, cf_read(&s->env, SCENE_FILE, 0, 100, buf));
	EXPECT_LE(TIMES, ob_counter(" disk_errors="));
	EXPECT_EQ(ob_counter(" disk_errors="),
		  ob_events_count("erofs,img/img disk error=-5"));
	EXPECT_EQ(1, ob_log_count(self->log, "erofs,img/img: its cache file can't be read (-5)"));
}

/* Two readers of what is missing, and a daemon that is replaced meanwhile. */
TEST_F_TIMEOUT(observe, joined_and_resent, 90)
{
	struct scene *s = &self->s;
	struct cf_task t[2];
	struct cf_msg m;
	int i;

	ASSERT_EQ(0, scene_read_start(s, &t[0], 0, 100));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_mount(&s->env, "n", "fsid=img"));
	ASSERT_EQ(0, cf_read_start(&s->env, &t[1], "n/f00", 0, 100));
	ASSERT_TRUE(cf_running(&t[1], QUIET_MS));
	EXPECT_LT(0, ob_counter(" joined="));
	EXPECT_EQ(0, ob_counter(" resent="));
	ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
	EXPECT_LT(0, ob_counter(" resent="));
	for (i = 0; i < 2; i++) {
		EXPECT_EQ(0, scene_serve(s, &t[i]));
		EXPECT_EQ(0, scene_check(s, &t[i], 0, 100));
	}
	EXPECT_EQ(0, cf_umount(&s->env, "n", 0));
}

TEST_F_TIMEOUT(observe, culled, 90)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	EXPECT_EQ(0, ob_counter(" culled="));
	EXPECT_EQ(0, cachefile_cull(s->env.dev, s->env.root, "img"));
	EXPECT_EQ(1, ob_counter(" culled="));
}

/* Nobody comes in time for those that wait. */
TEST_F_TIMEOUT(observe, expired, 90)
{
	struct scene *s = &self->s;
	struct cf_task t;

	close(s->fd);
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand park=1"));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_TRUE(cf_running(&t, QUIET_MS));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-EIO, cf_wait(&t, WAIT_MS));
	EXPECT_EQ(1, ob_counter(" expiries="));
	EXPECT_EQ(1, ob_events_count(" parked "));
	EXPECT_EQ(1, ob_events_count(" expired "));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
