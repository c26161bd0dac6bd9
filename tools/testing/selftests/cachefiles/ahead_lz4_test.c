// SPDX-License-Identifier: GPL-2.0
/*
 * What is cached of a compressed file comes without a daemon, though an extent of
 * it is missing: those around it are read ahead with it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "mkfs.h"
#include "odserver.h"

#define FILE_SIZE	(2 << 20)
#define LINE		64

FIXTURE(ahead_lz4)
{
	struct cf_env	env;
	char		*want;		/* the file */
	const char	*data;		/* the image */
	__u64		size;
	__u64		hole;		/* what is missing of the image */
	__u64		begin;		/* the pages of the file that are made of it */
	__u64		end;
};

FIXTURE_VARIANT(ahead_lz4)
{
	const char *mkfs;
};

FIXTURE_VARIANT_ADD(ahead_lz4, small) { "-zlz4" };
FIXTURE_VARIANT_ADD(ahead_lz4, big) { "-zlz4hc -C65536" };

/* No two lines alike, and no two places. */
static char *make_text(void)
{
	char *text = malloc(FILE_SIZE + 1);
	unsigned int i, x = 1;

	for (i = 0; text && i < FILE_SIZE / LINE; i++) {
		x = x * 1103515245 + 12345;
		sprintf(text + i * LINE, "%8u of all lines is the one with %08x%08x in it ..\n",
			i, x, x * x);
	}
	return text;
}

static int make_image(struct cf_env *env, const char *options, const char *text)
{
	char path[256];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/source", env->root);
	if (mkdir(path, 0755) < 0)
		return -errno;
	strcat(path, "/f");
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	if (write(fd, text, FILE_SIZE) != FILE_SIZE)
		ret = -EIO;
	close(fd);
	return ret ?: mkfs_erofs(env->root, options, "image", "source");
}

static const char *map_image(struct cf_env *env, __u64 *size)
{
	char path[256];
	struct stat st;
	void *map;
	int fd;

	snprintf(path, sizeof(path), "%s/image", env->root);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	*size = st.st_size;
	map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return map == MAP_FAILED ? NULL : map;
}

/* The extent in the middle of the file. */
static int find_extent(struct cf_env *env, struct fiemap_extent *extent)
{
	char buf[sizeof(struct fiemap) + sizeof(*extent)] = "", path[256];
	struct fiemap *map = (void *)buf;
	int fd, ret;

	snprintf(path, sizeof(path), "%s/m/f", env->tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	map->fm_start = FILE_SIZE / 2;
	map->fm_length = 1;
	map->fm_extent_count = 1;
	ret = ioctl(fd, FS_IOC_FIEMAP, map) < 0 ? -errno : 0;
	close(fd);
	if (ret)
		return ret;
	*extent = map->fm_extents[0];
	return map->fm_mapped_extents == 1 ? 0 : -ENODATA;
}

FIXTURE_SETUP(ahead_lz4)
{
	struct cf_env *env = &self->env;
	struct fiemap_extent extent = {};
	struct od_server srv;

	ASSERT_EQ(0, cf_env_init(env));
	self->want = make_text();
	ASSERT_NE(NULL, self->want);
	ASSERT_EQ(0, make_image(env, variant->mkfs, self->want));
	self->data = map_image(env, &self->size);
	ASSERT_NE(NULL, self->data);

	ASSERT_EQ(0, cf_bind(env, "ondemand"));
	od_init(&srv, env->dev);
	od_add(&srv, "whole", self->data, self->size);
	ASSERT_EQ(0, od_run(&srv, 1));
	ASSERT_EQ(0, cf_mount(env, "m", "fsid=whole"));
	ASSERT_EQ(0, find_extent(env, &extent));
	ASSERT_EQ(0, cf_umount(env, "m", 0));
	ASSERT_EQ(0, od_stop(&srv));
	/* With the CLOSE that it may not have taken. */
	ASSERT_EQ(0, cf_dev_close(env));
	ASSERT_EQ(0, cf_bind(env, "ondemand"));

	self->hole = extent.fe_physical / GRANULE * GRANULE;
	self->begin = extent.fe_logical / GRANULE * GRANULE;
	self->end = (extent.fe_logical + extent.fe_length + GRANULE - 1) / GRANULE * GRANULE;
	ASSERT_LT(0, self->begin);
	ASSERT_LT(self->begin, self->end);
	ASSERT_LT(self->end, FILE_SIZE);
}

FIXTURE_TEARDOWN(ahead_lz4)
{
	cf_env_fini(&self->env);
}

/* All but the hole, and be silent from then on. */
static int mount_with_hole(struct cf_env *env, const char *data, __u64 size, __u64 hole, int *fd)
{
	__u64 after = hole + GRANULE;
	struct cf_task t;
	struct cf_msg m;
	int ret;

	ret = cf_mount_start(env, &t, "m", "fsid=holed") ?:
	      cf_expect(env->dev, &m, CACHEFILES_OP_OPEN);
	if (ret)
		return ret;
	*fd = m.fd;
	return cf_copen(env->dev, m.id, size) ?: cf_fill(*fd, data, 0, hole) ?:
	       cf_fill(*fd, data, after, size - after) ?: cf_wait(&t, WAIT_MS);
}

struct job {
	char		path[256];
	const char	*want;
};

static long read_page(int fd, const char *want, __u64 pos)
{
	static char buf[GRANULE];

	errno = EMSGSIZE;
	if (pread(fd, buf, GRANULE, pos) != GRANULE)
		return -errno;
	return memcmp(buf, want + pos, GRANULE) ? -EILSEQ : 0;
}

/* One page after the other, and tell how far it has come. */
static long read_in_order(void *arg, struct cf_out *out)
{
	struct job *job = arg;
	int fd = open(job->path, O_RDONLY | O_CLOEXEC);
	long ret = fd < 0 ? -errno : 0;
	__u64 pos;

	for (pos = 0; !ret && pos < FILE_SIZE; pos += GRANULE) {
		__atomic_store_n((__u64 *)out->buf, pos, __ATOMIC_RELAXED);
		ret = read_page(fd, job->want, pos);
	}
	return ret;
}

/* Each page alone; how many can't be read, and the first and last of them. */
static long read_apart(void *arg, struct cf_out *out)
{
	__u64 *failed = (void *)out->buf, pos;
	struct job *job = arg;
	int fd = open(job->path, O_RDONLY | O_CLOEXEC);
	long ret = 0;

	if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
		return -errno;
	for (pos = 0; pos < FILE_SIZE; pos += GRANULE) {
		ret = read_page(fd, job->want, pos);
		if (ret && ret != -EIO)
			return ret;
		if (ret && !failed[0]++)
			failed[1] = pos;
		if (ret)
			failed[2] = pos;
	}
	return 0;
}

/* Where a reader has been for a while. */
static __u64 stuck_at(struct cf_task *t)
{
	__u64 pos, now = 0, end;

	do {
		pos = now;
		end = cf_now_ms() + 8 * QUIET_MS;
		do {
			usleep(20000);
			now = __atomic_load_n((__u64 *)t->out->buf, __ATOMIC_RELAXED);
		} while (pos == now && cf_now_ms() < end);
	} while (pos != now);
	return pos;
}

TEST_F_TIMEOUT(ahead_lz4, around_a_hole, 180)
{
	struct job job = { .want = self->want };
	struct cf_env *env = &self->env;
	struct od_server srv;
	struct cf_task t;
	__u64 *failed;
	int fd;

	snprintf(job.path, sizeof(job.path), "%s/m/f", env->tmp);
	ASSERT_EQ(0, mount_with_hole(env, self->data, self->size, self->hole, &fd));

	/* The daemon is there: all that comes before is read. */
	ASSERT_EQ(0, cf_start(&t, read_in_order, &job, GRANULE));
	EXPECT_EQ(self->begin, stuck_at(&t));
	EXPECT_EQ(1, cf_readable(env->dev, 0));
	close(fd);
	ASSERT_EQ(0, cf_dev_close(env));
	EXPECT_EQ(-EIO, cf_wait(&t, WAIT_MS));

	/* It has gone: so is all else. */
	ASSERT_EQ(0, cf_start(&t, read_apart, &job, GRANULE));
	EXPECT_EQ(0, cf_wait(&t, 3 * WAIT_MS));
	failed = (void *)t.out->buf;
	EXPECT_EQ((self->end - self->begin) / GRANULE, failed[0]);
	EXPECT_EQ(self->begin, failed[1]);
	EXPECT_EQ(self->end - GRANULE, failed[2]);

	/* The next one brings what is missing. */
	ASSERT_EQ(0, cf_bind(env, "ondemand"));
	od_init(&srv, env->dev);
	od_add(&srv, "holed", self->data, self->size);
	ASSERT_EQ(0, od_run(&srv, 1));
	ASSERT_EQ(0, cf_start(&t, read_in_order, &job, GRANULE));
	EXPECT_EQ(0, cf_wait(&t, 3 * WAIT_MS));
	EXPECT_EQ(0, cf_umount(env, "m", 0));
	EXPECT_EQ(0, od_stop(&srv));
}

/*
 * What is missing comes while a reader waits for it: pages that hold parts of it and
 * of its neighbours, which have been there all along, are right.
 */
TEST_F_TIMEOUT(ahead_lz4, hole_filled, 180)
{
	struct job job = { .want = self->want };
	struct cf_env *env = &self->env;
	struct cf_task t;
	int fd;

	snprintf(job.path, sizeof(job.path), "%s/m/f", env->tmp);
	ASSERT_EQ(0, mount_with_hole(env, self->data, self->size, self->hole, &fd));
	ASSERT_EQ(0, cf_start(&t, read_in_order, &job, GRANULE));
	EXPECT_EQ(self->begin, stuck_at(&t));
	EXPECT_EQ(0, cf_fill(fd, self->data, self->hole, GRANULE));
	EXPECT_EQ(0, cf_wait(&t, 3 * WAIT_MS));
	close(fd);
	EXPECT_EQ(0, cf_umount(env, "m", 0));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
