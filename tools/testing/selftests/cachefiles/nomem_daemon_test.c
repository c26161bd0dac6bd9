// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that runs out at each point of what a daemon does with the device, in
 * turn: a command succeeds, or has changed nothing and can be given again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "nomem.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)

FIXTURE(nomem_daemon)
{
	struct scene s;
	struct nomem nm;
};

FIXTURE_SETUP(nomem_daemon)
{
	self->s.env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(nomem_daemon)
{
	EXPECT_EQ(0, chdir("/"));
	scene_fini(&self->s);
}

/* A message that can't be made is delivered later. */
TEST_F_TIMEOUT(nomem_daemon, message, 300)
{
	char buf[CACHEFILES_MSG_MAX_SIZE];
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	struct cf_task t;
	struct cf_msg m;
	ssize_t n;

	for (nomem_first(nm, 1); nomem_next(nm); ) {
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
		ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
		nomem_begin(nm);
		n = read(s->env.dev, buf, sizeof(buf));
		nomem_end(nm);
		if (n > 0) {
			ASSERT_EQ(0, cf_parse(&m, buf, n));
		} else {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(0, n);
			ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
		}
		/* That of the mount before. */
		while (m.op == CACHEFILES_OP_CLOSE)
			ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		ASSERT_EQ(0, cf_copen(s->env.dev, m.id, -ENOENT));
		close(m.fd);
		EXPECT_EQ(-ENOENT, cf_wait(&t, WAIT_MS));
	}
	EXPECT_LT(3, nm->nr_faults);
}

/* The answer to an OPEN makes the file: the mount fails as the answer does. */
TEST_F_TIMEOUT(nomem_daemon, copen, 600)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	struct cf_task t;
	struct cf_msg m;
	long ret;

	for (nomem_first(nm, 1); nomem_next(nm); ) {
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
		s->fd = m.fd;
		s->object = m.object;
		nomem_begin(nm);
		ret = cf_copen(s->env.dev, m.id, s->img.size);
		nomem_end(nm);
		/* The command itself needs memory, and can be tried again. */
		if (ret == -ENOMEM && cf_running(&t, QUIET_MS))
			ret = cf_copen(s->env.dev, m.id, s->img.size);
		if (!ret) {
			EXPECT_EQ(0, scene_fill_metadata(s));
			EXPECT_EQ(0, scene_absorb(s, &t));
			EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
			EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
		} else {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(ret, cf_wait(&t, WAIT_MS));
		}
		close(s->fd);
	}
	EXPECT_LT(3, nm->nr_faults);
}

/* Everything is sent again, or nothing has changed. */
TEST_F_TIMEOUT(nomem_daemon, restore, 120)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	struct cf_task t;
	struct cf_msg m;
	int ret, old;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, GRANULE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	for (nomem_first(nm, 1); nomem_next(nm); ) {
		nomem_begin(nm);
		ret = cf_cmd(s->env.dev, "restore");
		nomem_end(nm);
		if (ret) {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(-ENOMEM, ret);
			EXPECT_EQ(0, cf_readable(s->env.dev, 0));
			continue;
		}
		old = s->fd;
		EXPECT_EQ(-EINVAL, cf_complete(old, m.id));
		ASSERT_EQ(0, scene_open(s, s->img.size));
		ASSERT_EQ(0, scene_expect_read(s, &m, 0));
		close(old);
	}
	EXPECT_LT(0, nm->nr_faults);
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, scene_check(s, &t, 0, GRANULE));
}

/* A blob that is in the cache, and that nobody uses; its directory is entered. */
static int make_unused(struct scene *s)
{
	char path[512];
	int ret;

	ret = scene_mount(s, "m", "fsid=img") ?: cf_umount(&s->env, "m", 0);
	close(s->fd);
	ret = ret ?: cachefile_wait_closed(s->env.dev, s->env.root, "img") ?:
	      cachefile_path(s->env.root, "img", path, sizeof(path));
	if (ret)
		return ret;
	*strrchr(path, '/') = 0;
	return chdir(path) < 0 ? -errno : cf_expect(s->env.dev, &(struct cf_msg){},
						    CACHEFILES_OP_CLOSE);
}

/* The directories are let go of a moment after the file. */
static int wait_unused(struct scene *s, const char *name)
{
	__u64 end = cf_now_ms() + PROMPT_MS;
	int ret;

	while ((ret = cf_cmd(s->env.dev, "inuse %s", name)) == -EBUSY && cf_now_ms() < end)
		usleep(5000);
	return ret;
}

/* It is removed, or it is there and not in use. */
TEST_F_TIMEOUT(nomem_daemon, cull, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	struct cf_task t;
	int ret;

	ASSERT_EQ(0, make_unused(s));
	for (nomem_first(nm, 1); nomem_next(nm); ) {
		nomem_begin(nm);
		ret = cf_cmd(s->env.dev, "inuse Dimg");
		nomem_end(nm);
		EXPECT_TRUE(!ret || (ret == -ENOMEM && nm->fault)) {
			TH_LOG("inuse: %d", ret);
		}
	}
	EXPECT_LT(0, nm->nr_faults);

	for (nomem_first(nm, 1); nomem_next(nm); ) {
		nomem_begin(nm);
		ret = cf_cmd(s->env.dev, "cull Dimg");
		nomem_end(nm);
		if (!ret) {
			EXPECT_EQ(-1, access("Dimg", F_OK));
			ASSERT_EQ(0, make_unused(s));
			continue;
		}
		EXPECT_TRUE(nm->fault);
		EXPECT_EQ(-ENOMEM, ret);
		EXPECT_EQ(0, cf_cmd(s->env.dev, "inuse Dimg"));
		EXPECT_EQ(0, access("Dimg", F_OK));
	}
	EXPECT_LT(0, nm->nr_faults);

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* A directory is moved away instead. */
TEST_F_TIMEOUT(nomem_daemon, cull_directory, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	int ret;

	ASSERT_EQ(0, make_unused(s));
	ASSERT_EQ(0, chdir("../.."));
	for (nomem_first(nm, 1); nomem_next(nm); ) {
		ASSERT_EQ(0, wait_unused(s, "Ierofs,img"));
		nomem_begin(nm);
		ret = cf_cmd(s->env.dev, "cull Ierofs,img");
		nomem_end(nm);
		if (!ret) {
			EXPECT_EQ(-1, access("Ierofs,img", F_OK)) {
				TH_LOG("allocation %d", nm->nth);
			}
			ASSERT_EQ(0, make_unused(s));
			ASSERT_EQ(0, chdir("../.."));
			continue;
		}
		EXPECT_TRUE(nm->fault);
		/* That of the rename itself is not told. */
		EXPECT_TRUE(ret == -ENOMEM || ret == -EIO);
		EXPECT_EQ(0, access("Ierofs,img", F_OK));
	}
	EXPECT_LT(0, nm->nr_faults);
}

TEST_F_TIMEOUT(nomem_daemon, space, 60)
{
	struct cachefiles_space space;
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	int ret;

	for (nomem_first(nm, 1); nomem_next(nm); ) {
		memset(&space, 0, sizeof(space));
		nomem_begin(nm);
		ret = ioctl(s->env.dev, CACHEFILES_IOC_SPACE, &space);
		nomem_end(nm);
		EXPECT_EQ(0, ret);
		EXPECT_LT(0, space.blocks);
	}
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
