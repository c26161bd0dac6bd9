// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that runs out at each point of a bind, in turn, and of the end of what was
 * bound before: what waits is not lost, and the bind can be tried again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "nomem.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)

FIXTURE(nomem_bind)
{
	struct scene s;
	struct nomem nm;
};

FIXTURE_SETUP(nomem_bind)
{
	self->s.env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(nomem_bind)
{
	scene_fini(&self->s);
}

static int bind_once(struct cf_env *env, const char *how)
{
	env->dev = open("/dev/cachefiles", O_RDWR | O_CLOEXEC);
	if (env->dev < 0)
		return -errno;
	return cf_cmd(env->dev, "dir %s", env->root) ?: cf_cmd(env->dev, "bind %s", how);
}

/* What failed is tried again with the same device. */
static int bind_after_all(struct cf_env *env, const char *how)
{
	int ret;

	if (env->dev < 0)
		return bind_once(env, how);
	ret = cf_cmd(env->dev, "dir %s", env->root);
	return ret && ret != -EEXIST ? ret : cf_cmd(env->dev, "bind %s", how);
}

TEST_F_TIMEOUT(nomem_bind, fresh, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	int ret;

	for (nomem_first(nm, 1); nomem_next(nm); ) {
		if (s->env.dev >= 0)
			ASSERT_EQ(0, cf_dev_close(&s->env));
		nomem_begin(nm);
		ret = bind_once(&s->env, "ondemand park=1 full");
		nomem_end(nm);
		if (ret) {
			EXPECT_TRUE(nm->fault);
			ASSERT_EQ(0, bind_after_all(&s->env, "ondemand park=1 full"));
		}
	}
	EXPECT_LT(3, nm->nr_faults);
	EXPECT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* Without a daemon: what is complete can be mounted as soon as there is memory. */
TEST_F_TIMEOUT(nomem_bind, kept, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	struct cf_task t;
	char path[300];
	int ret;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand keep"));
	ASSERT_EQ(0, cf_dev_close(&s->env));

	snprintf(path, sizeof(path), "%s/m", s->env.tmp);
	for (nomem_first(nm, 1); nomem_next(nm); ) {
		nomem_begin(nm);
		ret = mount("none", path, "erofs", MS_RDONLY, "fsid=img") < 0 ? -errno : 0;
		nomem_end(nm);
		EXPECT_TRUE(!ret || nm->fault);
		if (!ret)
			EXPECT_EQ(0, umount(path));
		/* There is no daemon, but that is not why. */
		EXPECT_NE(-ENOTCONN, ret) {
			TH_LOG("allocation %d", nm->nth);
		}
	}
	EXPECT_LT(10, nm->nr_faults);
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	/* Whoever binds it without "keep" ends that. */
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
}

FIXTURE(nomem_adopt)
{
	struct scene s;
	struct nomem nm;
};

FIXTURE_VARIANT(nomem_adopt)
{
	const char *how;
	bool parked;
};

FIXTURE_VARIANT_ADD(nomem_adopt, mounts) { "ondemand", false };
FIXTURE_VARIANT_ADD(nomem_adopt, kept) { "ondemand keep full", false };
FIXTURE_VARIANT_ADD(nomem_adopt, parked) { "ondemand park=600", true };

FIXTURE_SETUP(nomem_adopt)
{
	struct scene *s = &self->s;

	s->env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

/* Whoever binds without it and goes leaves nothing that waits, and nothing kept. */
FIXTURE_TEARDOWN(nomem_adopt)
{
	cf_kill_all();
	if (self->s.env.dev >= 0)
		cf_dev_close(&self->s.env);
	cf_bind(&self->s.env, "ondemand");
	scene_fini(&self->s);
}

/* The next OPEN of a name; others are passed by. */
static int expect_open(struct scene *s, const char *key, struct cf_msg *m)
{
	int ret;

	while (!(ret = cf_expect(s->env.dev, m, CACHEFILES_OP_OPEN)) && strcmp(m->key, key))
		close(m->fd);
	return ret;
}

/* The device is closed, or bound again, with what waits for an answer. */
TEST_F_TIMEOUT(nomem_adopt, close_and_bind, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	struct cf_task r, mnt;
	struct cf_msg m;
	int i, ret, closing;

	ASSERT_EQ(0, scene_read_start(s, &r, 0, GRANULE));
	for (closing = 1; closing >= 0; closing--) {
		for (nomem_first(nm, 1); nomem_next(nm); ) {
			ASSERT_EQ(0, cf_mount_start(&s->env, &mnt, "m2", "fsid=other"));
			/* A READ, or in later rounds an OPEN; and the mount's OPEN. */
			for (i = 0; i < 2; i++) {
				ASSERT_EQ(0, cf_next(s->env.dev, &m, WAIT_MS));
				if (m.op == CACHEFILES_OP_OPEN)
					close(m.fd);
			}
			if (closing)
				nomem_begin(nm);
			ret = close(s->env.dev);
			if (closing)
				nomem_end(nm);
			EXPECT_EQ(0, ret);
			if (variant->parked) {
				EXPECT_TRUE(cf_running(&r, 0));
				EXPECT_TRUE(cf_running(&mnt, 0));
			} else {
				EXPECT_EQ(-EIO, cf_wait(&r, PROMPT_MS));
				EXPECT_EQ(-EIO, cf_wait(&mnt, PROMPT_MS));
			}
			if (!closing)
				nomem_begin(nm);
			ret = bind_once(&s->env, variant->how);
			if (!closing)
				nomem_end(nm);
			if (ret) {
				EXPECT_TRUE(!closing && nm->fault);
				ASSERT_EQ(0, bind_after_all(&s->env, variant->how));
			}
			if (variant->parked) {
				ASSERT_EQ(0, expect_open(s, "other", &m));
				EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -ENOENT));
				close(m.fd);
				EXPECT_EQ(-ENOENT, cf_wait(&mnt, WAIT_MS));
				ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
			} else {
				ASSERT_EQ(0, scene_read_start(s, &r, 0, GRANULE));
			}
		}
	}
	EXPECT_LT(3, nm->nr_faults);
	EXPECT_EQ(0, scene_serve(s, &r));
	EXPECT_EQ(0, scene_check(s, &r, 0, GRANULE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
