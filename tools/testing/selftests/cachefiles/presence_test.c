// SPDX-License-Identifier: GPL-2.0
/*
 * Holes of the cache file mean nothing: file systems may bridge them with zeros,
 * tools may punch zeros out or copy the file with or without its holes.  What
 * the daemon has filled is present after all that, and nothing else is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "image.h"
#include "odserver.h"

#define FILE_SIZE	(1024 << 10)
#define KEY		"img"
#define FILE_NAME	"m/f00"

enum tool {
	BRIDGE,		/* write zeros into all holes of the data */
	PUNCH,		/* make holes of all zeros of the data */
	COPY_SPARSE,	/* replace the file by a copy, zeros are holes */
	COPY_DENSE,	/* the same, holes are zeros */
};

FIXTURE(presence)
{
	struct cf_env env;
	struct img img;
	struct od_server srv;
	bool *before;
	bool *after;
};

FIXTURE_VARIANT(presence)
{
	enum tool tool;
	bool complete;
};

FIXTURE_VARIANT_ADD(presence, bridged) { BRIDGE };
FIXTURE_VARIANT_ADD(presence, punched) { PUNCH };
FIXTURE_VARIANT_ADD(presence, copied_sparse) { COPY_SPARSE };
FIXTURE_VARIANT_ADD(presence, copied_dense) { COPY_DENSE };
FIXTURE_VARIANT_ADD(presence, complete_punched) { PUNCH, true };
FIXTURE_VARIANT_ADD(presence, complete_copied_sparse) { COPY_SPARSE, true };

/* An image with zeros in it, which are content like any other. */
FIXTURE_SETUP(presence)
{
	char *data;
	int i;

	ASSERT_EQ(0, cf_env_init(&self->env));
	ASSERT_EQ(0, img_simple(&self->img, FILE_SIZE));
	data = self->img.data + self->img.file[0].pos;
	for (i = 0; i < FILE_SIZE; i += 8 * GRANULE)
		memset(data + i, 0, (1 + i / GRANULE % 5) * GRANULE);
	self->before = calloc(granules(self->img.size), sizeof(bool));
	self->after = calloc(granules(self->img.size), sizeof(bool));
	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	od_init(&self->srv, self->env.dev);
	od_add(&self->srv, KEY, self->img.data, self->img.size);
	ASSERT_EQ(0, od_run(&self->srv, 1));
}

FIXTURE_TEARDOWN(presence)
{
	cf_env_fini(&self->env);
}

/* The object that is open, of which there is one. */
static int object_fd(struct od_server *srv)
{
	struct od_object *o;

	for (o = srv->object; o < srv->object + OD_MAX_OBJECTS; o++)
		if (o->id && !o->closed)
			return o->fd;
	return -1;
}

/* What the kernel says is present, granule by granule; how many are. */
static int ask_kernel(int fd, __u64 size, bool *present)
{
	off_t begin, end = 0;
	int count = 0;

	memset(present, 0, granules(size) * sizeof(*present));
	while ((begin = lseek(fd, end, SEEK_DATA)) >= 0) {
		end = lseek(fd, begin, SEEK_HOLE);
		if (end <= begin)
			return -EIO;
		for (; begin < end; begin += GRANULE, count++)
			present[begin / GRANULE] = true;
		if (end >= (off_t)size)
			return count;
	}
	return errno == ENXIO ? count : -errno;
}

/* Runs of granules, of zeros and of others, with gaps between them. */
static int fill_some(struct img *img, int fd)
{
	__u64 at, pos = img->file[0].pos, seed = 3;
	int ret = 0;

	for (at = 0; !ret && at < FILE_SIZE; ) {
		__u64 len = (1 + (seed >> 60) % 7) * GRANULE;

		if (len > FILE_SIZE - at)
			len = FILE_SIZE - at;
		ret = cf_fill(fd, img->data, pos + at, len);
		seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
		at += len + (1 + (seed >> 50) % 5) * GRANULE;
	}
	return ret;
}

static int bridge(int fd, __u64 data_end)
{
	static const char zeros[GRANULE];
	off_t hole = 0, end;
	int n = 0;

	while ((hole = lseek(fd, hole, SEEK_HOLE)) >= 0 && hole < (off_t)data_end) {
		end = lseek(fd, hole, SEEK_DATA);
		if (end < 0 || end > (off_t)data_end)
			end = data_end;
		for (; hole < end; hole += sizeof(zeros), n++)
			if (pwrite(fd, zeros, sizeof(zeros), hole) != sizeof(zeros))
				return -errno;
	}
	return n;
}

static int punch(int fd, __u64 data_end)
{
	char buf[GRANULE];
	__u64 at;
	int n = 0;

	for (at = 0; at < data_end; at += sizeof(buf)) {
		if (pread(fd, buf, sizeof(buf), at) != sizeof(buf))
			return -errno;
		if (*buf || memcmp(buf, buf + 1, sizeof(buf) - 1))
			continue;
		if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, at,
			      sizeof(buf)) < 0)
			return -errno;
		n++;
	}
	return n;
}

static int copy(const char *path, const char *how)
{
	char cmd[2200];

	snprintf(cmd, sizeof(cmd), "cp -a --sparse=%s '%s' '%s.new' && mv '%s.new' '%s'",
		 how, path, path, path, path);
	return system(cmd) ? -EIO : 1;
}

/* Returns how much there was for the tool to do. */
static int use_tool(const char *path, enum tool tool, __u64 data_end)
{
	int fd, ret;

	if (tool == COPY_SPARSE || tool == COPY_DENSE)
		return copy(path, tool == COPY_SPARSE ? "always" : "never");
	fd = open(path, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* A file system has holes where it wants when the data is on the disk. */
	fsync(fd);
	ret = tool == BRIDGE ? bridge(fd, data_end) : punch(fd, data_end);
	fsync(fd);
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(presence, stays, 120)
{
	__u64 i, nr = granules(self->img.size), size = self->img.size;
	struct od_server *srv = &self->srv;
	struct cf_env *env = &self->env;
	static char buf[FILE_SIZE];
	char path[512];
	int fd, count;

	ASSERT_EQ(0, cf_mount(env, "m", "fsid=" KEY));
	fd = object_fd(srv);
	ASSERT_EQ(0, variant->complete ? cf_fill(fd, self->img.data, 0, size) :
					 fill_some(&self->img, fd));
	count = ask_kernel(fd, size, self->before);
	ASSERT_LT(0, count);
	EXPECT_EQ(variant->complete, count == (int)nr);
	ASSERT_EQ(0, cf_umount(env, "m", 0));
	ASSERT_EQ(0, cachefile_wait_closed(env->dev, env->root, KEY));

	ASSERT_EQ(0, cachefile_path(env->root, KEY, path, sizeof(path)));
	ASSERT_LT(0, use_tool(path, variant->tool, nr * GRANULE));
	ASSERT_EQ(0, cf_drop_caches());

	od_log_reset(srv);
	ASSERT_EQ(0, cf_mount(env, "m", "fsid=" KEY));
	EXPECT_EQ(count, ask_kernel(object_fd(srv), size, self->after));
	for (i = 0; i < nr; i++)
		ASSERT_EQ(self->before[i], self->after[i]) {
			TH_LOG("granule %llu", (unsigned long long)i);
		}
	ASSERT_EQ(FILE_SIZE, cf_read(env, FILE_NAME, 0, FILE_SIZE, buf));
	EXPECT_EQ(0, memcmp(buf, self->img.data + self->img.file[0].pos, FILE_SIZE));
	/* What is missing was asked for, and that alone. */
	EXPECT_EQ(variant->complete, srv->nr_read == 0);
	for (i = 0; i < (__u64)srv->nr_read && i < OD_MAX_LOG; i++) {
		__u64 g = srv->log[i].off / GRANULE;

		for (; g < granules(srv->log[i].off + srv->log[i].len); g++)
			EXPECT_FALSE(self->before[g]);
	}
	EXPECT_EQ(0, cf_umount(env, "m", 0));
	EXPECT_EQ(0, od_stop(srv)) {
		TH_LOG("%s", srv->error);
	}
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
