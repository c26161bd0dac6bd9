// SPDX-License-Identifier: GPL-2.0
/*
 * The cache's file system refuses the attribute that says what a cache file
 * holds, and takes everything else.  For a file that is append-only, and open for
 * writing since before, that is just so.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)
#define HALF		(FILE_SIZE / 2)

static int set_flags(struct scene *s, int flags)
{
	int fd = cachefile_open(s->env.root, "img", O_RDONLY);
	int all, ret = 0;

	if (fd < 0)
		return fd;
	if (ioctl(fd, FS_IOC_GETFLAGS, &all) < 0)
		ret = -errno;
	all = (all & ~(FS_APPEND_FL | FS_IMMUTABLE_FL)) | flags;
	if (!ret && ioctl(fd, FS_IOC_SETFLAGS, &all) < 0)
		ret = -errno;
	/* What the test is about. */
	if (!ret && flags && (!fsetxattr(fd, "user.test", "", 0, 0) || errno != EPERM))
		ret = -EPROTO;
	close(fd);
	return ret;
}

FIXTURE(xattr)
{
	struct scene s;
};

/* Another image is mounted, and complete. */
FIXTURE_SETUP(xattr)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	memset(s, 0, sizeof(*s));
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand full"));
	ASSERT_EQ(0, scene_mount(s, "other", "fsid=other"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_FULL));
}

FIXTURE_TEARDOWN(xattr)
{
	set_flags(&self->s, 0);
	scene_fini(&self->s);
}

/* All bytes come, from the disk and without a READ. */
static int is_complete(struct scene *s, const char *path)
{
	static char buf[FILE_SIZE];
	long ret;

	ret = cf_drop_caches() ?: cf_read(&s->env, path, 0, FILE_SIZE, buf);
	if (ret != FILE_SIZE)
		return ret < 0 ? ret : -EMSGSIZE;
	return memcmp(buf, s->img.data + s->img.file[0].pos, FILE_SIZE) ? -EILSEQ : 0;
}

static int wait_closed(struct scene *s)
{
	return cf_umount(&s->env, "m", 0) ?:
	       cachefile_wait_closed(s->env.dev, s->env.root, "img");
}

/* A file that is complete, and can't be recorded as such, is so when it can. */
TEST_F_TIMEOUT(xattr, complete, 120)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, HALF));
	ASSERT_EQ(0, set_flags(s, FS_APPEND_FL));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, is_complete(s, "m/f00"));
	/* The last thing that is written before the record. */
	EXPECT_EQ(0, cachefile_wait_present(s->env.root, "img", s->img.size, 0, s->img.size));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 4 * QUIET_MS));
	EXPECT_EQ(0, is_complete(s, "m/f00"));
	EXPECT_EQ(0, is_complete(s, "other/f00"));

	ASSERT_EQ(0, set_flags(s, 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_FULL));
	EXPECT_EQ(s->object, m.object);
	EXPECT_EQ(0, is_complete(s, "m/f00"));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
}

/* Nor when it is unmounted: the map says it at the next mount, and again. */
TEST_F_TIMEOUT(xattr, complete_by_map, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, set_flags(s, FS_APPEND_FL));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	ASSERT_EQ(0, wait_closed(s));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	close(s->fd);

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_EQ(0, cf_wait(&t, PROMPT_MS));
	EXPECT_EQ(0, is_complete(s, "m/f00"));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 4 * QUIET_MS));

	ASSERT_EQ(0, set_flags(s, 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_FULL));
	EXPECT_EQ(s->object, m.object);
	EXPECT_EQ(0, is_complete(s, "m/f00"));
}

static int make_empty(struct scene *s)
{
	char path[512];
	int ret, fd;

	ret = cachefile_path(s->env.root, "img", path, sizeof(path));
	if (ret)
		return ret;
	if (unlink(path) < 0)
		return -errno;
	fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

/* Nothing can be recorded of a new cache file, so it is not used. */
static void refuse_new(struct __test_metadata *_metadata, struct scene *s, int flag)
{
	struct cf_task t;
	struct cf_msg m;

	/* For the directories. */
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, wait_closed(s));
	close(s->fd);
	ASSERT_EQ(0, make_empty(s));
	ASSERT_EQ(0, set_flags(s, flag));

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_EQ(-EPERM, cf_copen(s->env.dev, m.id, s->img.size));
	EXPECT_EQ(-EPERM, cf_wait(&t, PROMPT_MS));
	close(m.fd);
	EXPECT_EQ(0, is_complete(s, "other/f00"));
	ASSERT_EQ(0, scene_mount(s, "third", "fsid=third"));
	EXPECT_EQ(0, cf_umount(&s->env, "third", 0));
	close(s->fd);

	ASSERT_EQ(0, set_flags(s, 0));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, is_complete(s, "m/f00"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_FULL));
}

TEST_F_TIMEOUT(xattr, new_append_only, 120)
{
	refuse_new(_metadata, &self->s, FS_APPEND_FL);
}

TEST_F_TIMEOUT(xattr, new_immutable, 120)
{
	refuse_new(_metadata, &self->s, FS_IMMUTABLE_FL);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
