// SPDX-License-Identifier: GPL-2.0
/*
 * A file without links, as no mkfs.erofs makes one.  Its inode is nothing to be
 * kept when nobody uses it, but its pages may wait for a daemon that does not
 * answer: reclaim does not wait for that.
 */
#include <stdio.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "ondisk.h"
#include "scene.h"

#define FILE_SIZE	(64 << 10)

FIXTURE(nlink)
{
	struct scene s;
	struct cf_task t;
};

FIXTURE_SETUP(nlink)
{
	struct scene *s = &self->s;
	struct ondisk img;

	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	img = (struct ondisk) {
		.data = (unsigned char *)s->img.data,
		.size = s->img.size,
		.room = s->img.size,
	};
	put32(&img, s->img.file[0].inode + INODE_NLINK, 0);
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
}

FIXTURE_TEARDOWN(nlink)
{
	scene_fini(&self->s);
}

static int read_all(struct scene *s)
{
	struct cf_task t;

	return scene_read_start(s, &t, 0, FILE_SIZE) ?: scene_serve(s, &t) ?:
	       scene_check(s, &t, 0, FILE_SIZE);
}

TEST_F_TIMEOUT(nlink, reclaim_after_kill, 120)
{
	struct scene *s = &self->s;
	struct cf_task reader;
	char path[256];
	struct cf_msg m;
	struct stat st;

	snprintf(path, sizeof(path), "%s/" SCENE_FILE, s->env.tmp);
	ASSERT_EQ(0, stat(path, &st));
	ASSERT_EQ(0, st.st_nlink);
	ASSERT_EQ(0, scene_read_start(s, &reader, 0, GRANULE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(-EOWNERDEAD, cf_kill(&reader));
	ASSERT_EQ(0, cf_reclaim_start(&self->t));
	EXPECT_EQ(0, cf_wait(&self->t, WAIT_MS));

	/* It ends now in any case. */
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, scene_serve(s, &self->t));
	EXPECT_EQ(0, read_all(s));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
