// SPDX-License-Identifier: GPL-2.0
/*
 * A mount that waits for the daemon, at each of the things that it reads: nobody
 * else is held up by it.  sync(2) goes through all superblocks, and waits for one
 * that is being set up.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(64 << 10)
#define FAR		0x80000		/* not in the superblock's neighbourhood */

FIXTURE(mountwait)
{
	struct scene s;
	struct cf_task mount;
};

FIXTURE_VARIANT(mountwait)
{
	__u64	root;		/* where the root directory's inode is */
	__u64	packed;		/* where the packed inode is */
	int	devices;	/* blobs that the image names */
	bool	prefixes;	/* of attribute names */
	__u64	here;		/* so much of the image is present */
	bool	open;		/* it waits for the answer to an OPEN */
};

FIXTURE_VARIANT_ADD(mountwait, superblock)
{
};

FIXTURE_VARIANT_ADD(mountwait, root_inode)
{
	.root = FAR,
	.here = IMG_AROUND,
};

FIXTURE_VARIANT_ADD(mountwait, packed_inode)
{
	.packed = FAR,
	.here = IMG_AROUND,
};

FIXTURE_VARIANT_ADD(mountwait, prefixes)
{
	.prefixes = true,
	.here = GRANULE,
};

FIXTURE_VARIANT_ADD(mountwait, device_table)
{
	.devices = 2,
	.here = GRANULE,
};

FIXTURE_VARIANT_ADD(mountwait, first_device)
{
	.devices = 2,
	.here = IMG_AROUND,
	.open = true,
};

FIXTURE_SETUP(mountwait)
{
	struct scene *s = &self->s;
	struct img *img = &s->img;

	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_begin(img, 12));
	if (variant->root)
		img->root = variant->root;
	if (variant->prefixes)
		img_add_shared(img, FILE_SIZE, 1);
	else
		img_add(img, FILE_SIZE);
	if (variant->packed)
		img_packed(img, variant->packed);
	if (variant->devices)
		img_devices(img, variant->devices, FILE_SIZE / GRANULE);
	img_end(img);
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_mount_start(&s->env, &self->mount, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, img->size));
	if (variant->here)
		ASSERT_EQ(0, cf_fill(s->fd, img->data, 0, variant->here));
}

FIXTURE_TEARDOWN(mountwait)
{
	scene_fini(&self->s);
}

/* Take messages until one of this kind comes; all READs are left unanswered. */
static int take(struct scene *s, struct cf_msg *m, __u32 op)
{
	int ret;

	do {
		ret = cf_next(s->env.dev, m, WAIT_MS);
	} while (!ret && m->op != op);
	return ret;
}

static long do_sync(void *arg, struct cf_out *out)
{
	sync();
	return 0;
}

static long sync_promptly(void)
{
	struct cf_task t;
	int ret = cf_start(&t, do_sync, NULL, 0);

	return ret ?: cf_wait(&t, PROMPT_MS);
}

/* All metadata is there now, and all blobs that the image names. */
static long finish(struct scene *s, struct cf_task *mount)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	struct cf_msg m;
	int ret;

	ret = cf_fill(s->fd, s->img.data, 0, IMG_DATA_POS);
	while (!ret && cf_running(mount, 0)) {
		if (cf_now_ms() > end)
			return -ETIME;
		ret = cf_next(s->env.dev, &m, 10);
		if (ret == -ETIME)
			ret = 0;
		else if (!ret && m.op == CACHEFILES_OP_OPEN)
			ret = cf_copen(s->env.dev, m.id, FILE_SIZE);
		else if (!ret)
			ret = cf_complete(s->fd, m.id);
	}
	return ret ?: cf_wait(mount, 0);
}

TEST_F(mountwait, sync)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	if (variant->open)
		ASSERT_EQ(0, take(s, &m, CACHEFILES_OP_OPEN));
	/* Time to get as far as it can. */
	ASSERT_TRUE(cf_running(&self->mount, 4 * QUIET_MS));
	EXPECT_EQ(0, sync_promptly());
	if (variant->open)
		ASSERT_EQ(0, cf_copen(s->env.dev, m.id, FILE_SIZE));
	EXPECT_EQ(0, finish(s, &self->mount));
}

TEST_F(mountwait, killed)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	if (variant->open)
		ASSERT_EQ(0, take(s, &m, CACHEFILES_OP_OPEN));
	/* Time to get as far as it can. */
	ASSERT_TRUE(cf_running(&self->mount, 4 * QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&self->mount));
	/* A blob that has not been opened is closed before. */
	do {
		ASSERT_EQ(0, take(s, &m, CACHEFILES_OP_CLOSE));
	} while (m.object != s->object);
	EXPECT_EQ(0, sync_promptly());
	ASSERT_EQ(0, cf_mount_start(&s->env, &self->mount, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_EQ(0, finish(s, &self->mount));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
