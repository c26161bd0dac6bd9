// SPDX-License-Identifier: GPL-2.0
/*
 * A cache bound in the plain mode is what it always was.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kselftest_harness.h"
#include "scene.h"

FIXTURE(plain)
{
	struct cf_env env;
};

FIXTURE_SETUP(plain)
{
	ASSERT_EQ(0, cf_env_init(&self->env));
	ASSERT_EQ(0, cf_bind(&self->env, ""));
}

FIXTURE_TEARDOWN(plain)
{
	cf_env_fini(&self->env);
}

/* read(2) gives the state of the cache as text, again and again. */
TEST_F(plain, state)
{
	static const char * const key[] = {
		"cull=0", " frun=", " fcull=", " fstop=", " brun=", " bcull=",
		" bstop=", " freleased=", " breleased=",
	};
	char buf[512];
	unsigned int i, j;
	ssize_t n;

	for (i = 0; i < 3; i++) {
		n = read(self->env.dev, buf, sizeof(buf) - 1);
		ASSERT_LT(0, n);
		buf[n] = 0;
		for (j = 0; j < ARRAY_SIZE(key); j++)
			EXPECT_NE(NULL, strstr(buf, key[j]));
	}
	EXPECT_EQ(-1, read(self->env.dev, buf, 8));
	EXPECT_EQ(EMSGSIZE, errno);
}

TEST_F(plain, no_ondemand_commands)
{
	EXPECT_EQ(-EOPNOTSUPP, cf_copen(self->env.dev, 1, 4096));
	EXPECT_EQ(-EOPNOTSUPP, cf_cmd(self->env.dev, "copen garbage"));
}

TEST_F(plain, no_ondemand_mount)
{
	EXPECT_EQ(-ENOTCONN, cf_mount(&self->env, "m", "fsid=img"));
	EXPECT_EQ(-ENOTCONN, cf_mount(&self->env, "m",
				      "fsid=img,domain_id=dom"));
}

TEST_F(plain, directories)
{
	char path[256];
	struct stat st;

	snprintf(path, sizeof(path), "%s/cache", self->env.root);
	EXPECT_EQ(0, stat(path, &st));
	snprintf(path, sizeof(path), "%s/graveyard", self->env.root);
	EXPECT_EQ(0, stat(path, &st));
}

/* One and the same directory, first in one mode and then in the other. */
TEST_F(plain, modes_by_turns)
{
	struct scene s = { .env = self->env, .fd = -1 };
	struct cf_task t;
	int i, ret;
	__u64 end;

	ASSERT_EQ(0, img_simple(&s.img, 8192));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, cf_dev_close(&s.env));
		ASSERT_EQ(0, cf_bind(&s.env, "ondemand"));
		ASSERT_EQ(0, cf_mount_start(&s.env, &t, "m", "fsid=img"));
		EXPECT_EQ(0, scene_serve(&s, &t));
		ASSERT_EQ(0, cf_wait(&t, WAIT_MS));
		ASSERT_EQ(0, scene_read_start(&s, &t, 0, 8192));
		EXPECT_EQ(0, scene_serve(&s, &t));
		EXPECT_EQ(0, scene_check(&s, &t, 0, 8192));
		ASSERT_EQ(0, cf_umount(&s.env, "m", 0));
		close(s.fd);
		ASSERT_EQ(0, cf_dev_close(&s.env));
		/* The directory is in use until all has been written back. */
		end = cf_now_ms() + PROMPT_MS;
		ret = cf_bind(&s.env, "");
		while (ret == -EBUSY && cf_now_ms() < end) {
			usleep(50000);
			ret = cf_cmd(s.env.dev, "bind");
		}
		ASSERT_EQ(0, ret);
		EXPECT_EQ(-ENOTCONN, cf_mount(&s.env, "m", "fsid=img"));
	}
	self->env.dev = s.env.dev;
}

/* An erofs that is no on-demand mount does not care for the cache. */
TEST_F(plain, file_backed_erofs)
{
	char path[256], buf[8192];
	struct statfs st;
	struct img img;
	FILE *f;

	/* Where a user reads the image too, that is what it could come to. */
	ASSERT_EQ(0, statfs(self->env.root, &st));
	if (st.f_type == XFS_SUPER_MAGIC)
		SKIP(return, "lockdep takes its reads on xfs for a deadlock");

	ASSERT_EQ(0, img_simple(&img, 8192));
	/* Not on the tmpfs, which has no ->read_folio(). */
	snprintf(path, sizeof(path), "%s/img", self->env.root);
	f = fopen(path, "w");
	ASSERT_NE(NULL, f);
	ASSERT_EQ(1, fwrite(img.data, img.size, 1, f));
	ASSERT_EQ(0, fclose(f));
	ASSERT_EQ(0, cf_mount_file(&self->env, "m", path));
	EXPECT_EQ(8192, cf_read(&self->env, "m/f00", 0, 8192, buf));
	EXPECT_EQ(0, memcmp(buf, img.data + img.file[0].pos, 8192));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
