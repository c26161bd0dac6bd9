// SPDX-License-Identifier: GPL-2.0
/*
 * The signs that Documentation/admin-guide/cachefiles-ondemand-signs.rst tells of,
 * word by word: those of the daemon.  Those of requests and reads are in
 * signs_read_test.c, of the cache in signs_disk_test.c, and of what fails again
 * and again in observe_test.c.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "scene.h"

#define FRUITLESS	100	/* times that a blob is opened again for nothing */

FIXTURE(signs)
{
	struct scene s;
	const char *name;	/* of the cache */
	int log[2];
};

FIXTURE_SETUP(signs)
{
	struct scene *s = &self->s;
	int i;

	ASSERT_EQ(0, scene_init(s, GRANULE));
	self->name = strrchr(s->env.root, '/') + 1;
	for (i = 0; i < 2; i++) {
		self->log[i] = ob_log_begin();
		ASSERT_LE(0, self->log[i]);
	}
	ASSERT_EQ(0, ob_events_begin());
}

FIXTURE_TEARDOWN(signs)
{
	ob_events_end();
	close(self->log[0]);
	close(self->log[1]);
	scene_fini(&self->s);
}

#define AWAITED	", requests wait for the next daemon"
#define KEPT	", kept for what is complete"

static const struct {
	const char *how, *left;
	int binds;		/* of the instance, afterwards; -1 if it has gone */
} binds[] = {
	{ "ondemand", "", -1 },
	{ "ondemand park=60", AWAITED, 1 },
	{ "ondemand keep", KEPT, 2 },
	{ "ondemand park=60 keep", AWAITED KEPT, 3 },
	{ "ondemand", "", -1 },
};

TEST_F(signs, bound_and_unbound)
{
	struct cf_env *env = &self->s.env;
	unsigned int i;

	ASSERT_EQ(0, cf_dev_close(env));
	EXPECT_EQ(1, ob_log_count(self->log[1], " unbound\n"));
	for (i = 0; i < ARRAY_SIZE(binds); i++) {
		ASSERT_EQ(0, cf_bind(env, binds[i].how));
		EXPECT_EQ(1, ob_log_count(self->log[0],
					  OB_OURS "on-demand cache at %s bound\n",
					  env->root));
		EXPECT_EQ(0, ob_counter(" daemon=bound pending="));
		EXPECT_EQ(i + 1, ob_events_count("cachefiles_od_cache: %s bound pending=0\n",
						 self->name));
		ASSERT_EQ(0, cf_dev_close(env));
		EXPECT_EQ(1, ob_log_count(self->log[1],
					  OB_OURS "on-demand cache at %s unbound%s\n",
					  env->root, binds[i].left));
		EXPECT_EQ(binds[i].binds, ob_counter(" binds="));
		EXPECT_EQ(i == 2 ? 0 : -1, ob_counter(" daemon=none pending="));
	}
	/* The first one is that of the setup. */
	EXPECT_EQ(1 + i, ob_events_count("cachefiles_od_cache: %s unbound pending=0\n",
					 self->name));
	EXPECT_EQ(2, ob_events_count("cachefiles_od_cache: %s parked pending=0\n", self->name));
}

TEST_F(signs, expired)
{
	struct cf_env *env = &self->s.env;
	__u64 end = cf_now_ms() + 2 * WAIT_MS;
	char text[300], rest[100];

	ASSERT_EQ(0, cf_dev_close(env));
	ASSERT_EQ(0, cf_bind(env, "ondemand park=1"));
	ASSERT_EQ(0, cf_dev_close(env));
	snprintf(text, sizeof(text), OB_OURS
		 "on-demand cache %s: no daemon has come within 1 s, what waits fails\n",
		 self->name);
	EXPECT_EQ(0, ob_log_wait(self->log[0], text, rest, sizeof(rest), WAIT_MS));
	/* It goes when all that has been said. */
	while (ob_counter(" binds=") >= 0 && cf_now_ms() < end)
		usleep(10000);
	EXPECT_EQ(-1, ob_counter(" binds="));
	EXPECT_EQ(0, ob_log_count(self->log[0], "no daemon has come within"));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_cache: %s expired pending=0\n", self->name));
}

TEST_F(signs, read_only)
{
	struct cf_env *env = &self->s.env, other = *env;

	ASSERT_EQ(0, cf_dev_close(env));
	other.dev = -1;
	strcpy(other.root, env->tmp);
	strcat(other.root, "/ro");
	ASSERT_EQ(0, mkdir(other.root, 0700));
	ASSERT_EQ(0, mount("none", other.root, "tmpfs", MS_RDONLY, NULL));
	EXPECT_EQ(-EROFS, cf_bind(&other, "ondemand"));
	close(other.dev);
	EXPECT_EQ(1, ob_log_count(self->log[0],
				  OB_OURS "binding %s in on-demand mode failed: -30\n",
				  other.root));
	EXPECT_EQ(0, umount(other.root));
}

/* Where a power cut can make a map of what was on the disk before. */
TEST_F(signs, unsafe_file_system)
{
	struct cf_env *env = &self->s.env, other = *env;
	char cmd[600];

	ASSERT_EQ(0, cf_dev_close(env));
	other.dev = -1;
	strcpy(other.root, env->tmp);
	strcat(other.root, "/ext2");
	/* A loop device that is open for writing can't be mounted; it goes with the mount. */
	snprintf(cmd, sizeof(cmd),
		 "exec 2>/dev/null; mkdir %s && cd %s/.. && truncate -s 4M img && mke2fs -q -t ext2 img && dev=$(losetup -f --show img) && mount -t ext2 $dev ext2 && losetup -d $dev",
		 other.root, other.root);
	if (system(cmd))
		SKIP(return, "no loop devices, no ext2, or no tools for it");
	EXPECT_EQ(-EOPNOTSUPP, cf_bind(&other, "ondemand"));
	close(other.dev);
	EXPECT_EQ(1, ob_log_count(self->log[0], OB_OURS "on-demand mode needs %s: not so on loop",
				  "blocks that are written before a file has them"));
	EXPECT_EQ(0, umount(other.root));
}

TEST_F(signs, blob_is_unknown)
{
	struct scene *s = &self->s;
	struct cf_task t;
	char text[100];

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_LE(0, ob_counter(" op=open state=sent age_ms="));
	close(s->fd);
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, -ENOENT));
	EXPECT_EQ(-ENOENT, cf_wait(&t, WAIT_MS));
	EXPECT_EQ(1, ob_log_count(self->log[0], ";erofs: blob img can't be opened: -2\n"));
	EXPECT_EQ(1, ob_counter(" open_fails="));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_trouble: erofs,img/img open error=-2\n"));
	snprintf(text, sizeof(text), "erofs,img/img oid=%u opening -> closed size=-1\n", s->object);
	EXPECT_EQ(1, ob_events_count("cachefiles_od_object: %s", text));
	EXPECT_EQ(1, ob_events_count("closed -> dropped size=-1\n"));
}

TEST_F(signs, no_cache)
{
	struct cf_env *env = &self->s.env;

	ASSERT_EQ(0, cf_dev_close(env));
	EXPECT_EQ(-ENOTCONN, cf_mount(env, "m", "fsid=img"));
	EXPECT_EQ(1, ob_log_count(self->log[0],
				  ";erofs: no daemon has a cache bound in on-demand mode\n"));
}

/* Each time that it is given an fd, the daemon takes the READ and closes it. */
TEST_F_TIMEOUT(signs, closed_fds, 90)
{
	struct scene *s = &self->s;
	int ret, fd, fruitless, closed = 1;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, GRANULE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	close(s->fd);
	while (cf_running(&t, 0)) {
		ret = cf_next(s->env.dev, &m, 10);
		if (ret == -ETIME)
			continue;
		ASSERT_EQ(0, ret);
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		fd = m.fd;
		ASSERT_EQ(0, cf_copen(s->env.dev, m.id, s->img.size));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_READ));
		close(fd);
		closed++;
	}
	EXPECT_EQ(-EIO, cf_wait(&t, WAIT_MS));
	fruitless = ob_counter(" closed_fds=");
	EXPECT_LE(1, fruitless);
	EXPECT_EQ(fruitless * (FRUITLESS + 1), closed);
	EXPECT_EQ(closed, ob_events_count(" open -> closed size=%llu\n", s->img.size));
	EXPECT_EQ(closed, ob_counter(" resent="));
	EXPECT_EQ(fruitless,
		  ob_events_count("cachefiles_od_trouble: erofs,img/img closed error=-5\n"));
	EXPECT_EQ(1, ob_log_count(self->log[0], OB_OURS
				  "erofs,img/img: its fd is closed again and again (-5)\n"));
}

TEST_F(signs, stale_answers)
{
	struct scene *s = &self->s;
	__u32 id = 1000000;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	EXPECT_EQ(0, ob_counter(" stale_answers="));
	EXPECT_EQ(-EINVAL, cf_copen(s->env.dev, id, s->img.size));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, id + 1));
	EXPECT_EQ(-EINVAL, cf_fail(s->fd, id + 2, -EIO));
	EXPECT_EQ(3, ob_counter(" stale_answers="));
	EXPECT_EQ(3, ob_events_count("cachefiles_od_stale_answer: %s ", self->name));
	EXPECT_EQ(1, ob_events_count("%s OPEN id=%u\n", self->name, id));
	EXPECT_EQ(1, ob_events_count("%s READ id=%u\n", self->name, id + 1));
	EXPECT_EQ(1, ob_events_count("%s READ id=%u\n", self->name, id + 2));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
