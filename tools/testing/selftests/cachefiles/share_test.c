// SPDX-License-Identifier: GPL-2.0
/*
 * inode_share: files of two images with one page cache, whichever of the two
 * blobs the bytes come from.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/xattr.h>

#include "kselftest_harness.h"
#include "image.h"
#include "odserver.h"

#define FILE_SIZE	(256 << 10)
#define FINGERPRINT	0x1122334455667788ULL

FIXTURE(share)
{
	struct cf_env env;
	struct img img[2];
	struct od_server srv;
};

/* The common file is the first one of one image and the second of the other. */
FIXTURE_SETUP(share)
{
	char path[256], value[8];
	long ret;
	int i;

	ASSERT_EQ(0, cf_env_init(&self->env));
	for (i = 0; i < 2; i++) {
		ASSERT_EQ(0, img_begin(&self->img[i], 12));
		if (i == 1)
			img_add(&self->img[i], 10000);
		img_add_shared(&self->img[i], FILE_SIZE, FINGERPRINT);
		img_end(&self->img[i]);
		img_pattern(self->img[i].data + self->img[i].file[i].pos,
			    FILE_SIZE, 42);
	}
	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	od_init(&self->srv, self->env.dev);
	od_add(&self->srv, "a", self->img[0].data, self->img[0].size);
	od_add(&self->srv, "b", self->img[1].data, self->img[1].size);
	ASSERT_EQ(0, od_run(&self->srv, 1));

	ret = cf_mount(&self->env, "a", "fsid=a,domain_id=d,inode_share");
	if (ret == -EINVAL || ret == -EOPNOTSUPP)
		SKIP(return, "CONFIG_EROFS_FS_PAGE_CACHE_SHARE is off");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, cf_mount(&self->env, "b",
			      "fsid=b,domain_id=d,inode_share"));
	snprintf(path, sizeof(path), "%s/b/f01", self->env.tmp);
	ASSERT_EQ(8, getxattr(path, "user.fp", value, sizeof(value)));
}

FIXTURE_TEARDOWN(share)
{
	cf_env_fini(&self->env);
}

static int check(struct cf_env *env, struct img *img, const char *name)
{
	static char buf[FILE_SIZE];
	long ret;

	ret = cf_read(env, name, 0, FILE_SIZE, buf);
	if (ret != FILE_SIZE)
		return ret < 0 ? ret : -EMSGSIZE;
	return memcmp(buf, img->data + img->file[0].pos, FILE_SIZE) ? -EILSEQ :
								      0;
}

static __u64 bytes_read(struct od_server *srv)
{
	__u64 bytes = srv->bytes;

	od_log_reset(srv);
	return bytes;
}

/* Read through one mount, the pages are there for the other. */
TEST_F(share, one_page_cache)
{
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	EXPECT_LE(FILE_SIZE, bytes_read(&self->srv));
	EXPECT_EQ(0, check(&self->env, self->img, "b/f01"));
	EXPECT_GT(FILE_SIZE / 2, bytes_read(&self->srv));
}

/* The mount that was read through goes: the other one's blob serves. */
TEST_F(share, other_blob_takes_over)
{
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	EXPECT_EQ(0, check(&self->env, self->img, "b/f01"));
	EXPECT_EQ(0, cf_umount(&self->env, "a", 0));
	EXPECT_EQ(0, cf_drop_caches());
	EXPECT_EQ(0, check(&self->env, self->img, "b/f01"));
	EXPECT_EQ(0, cf_umount(&self->env, "b", 0));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

struct sharer {
	struct cf_env *env;
	struct img *img;
	bool stop;
};

/* Through one mount, pages that are there for a moment only. */
static long read_again_and_again(void *arg, struct cf_out *out)
{
	struct sharer *r = arg;
	char path[256], buf[GRANULE];
	long n, nr = 0;
	off_t off = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/a/f00", r->env->tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (!__atomic_load_n(&r->stop, __ATOMIC_RELAXED)) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		off = (off + 13 * GRANULE) % FILE_SIZE;
		n = pread(fd, buf, sizeof(buf), off);
		/* The other mount was asked, and went: an error, no other bytes. */
		if (n < 0 && errno == EIO)
			continue;
		if (n != sizeof(buf) ||
		    memcmp(buf, r->img->data + r->img->file[0].pos + off, n))
			return -EILSEQ;
		nr++;
	}
	close(fd);
	return nr;
}

/* A mount goes whose inodes those of another mount are read through. */
TEST_F_TIMEOUT(share, umount_under_reads, 300)
{
	int i, rounds = cf_rounds(40, 1000);
	char path[256], value[8];
	struct sharer *r;
	struct cf_task t[2];

	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, r);
	r->env = &self->env;
	r->img = &self->img[0];
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, cf_start(&t[i], read_again_and_again, r, 0));
	snprintf(path, sizeof(path), "%s/b/f01", self->env.tmp);
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, cf_umount(&self->env, "b", 0));
		ASSERT_EQ(0, cf_mount(&self->env, "b", "fsid=b,domain_id=d,inode_share"));
		/* The one that was looked up last is the first that is asked. */
		ASSERT_EQ(8, getxattr(path, "user.fp", value, sizeof(value)));
		usleep(i % 8 * 1000);
	}
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		EXPECT_LT(0, cf_wait(&t[i], WAIT_MS));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
