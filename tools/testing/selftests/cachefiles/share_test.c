// SPDX-License-Identifier: GPL-2.0
/*
 * inode_share: files of two images with one page cache, whichever of the two
 * blobs the bytes come from.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "kselftest_harness.h"
#include "image.h"
#include "odserver.h"

#define FILE_SIZE	(256 << 10)
#define AWAY		(FILE_SIZE - GRANULE)	/* not asked for with the metadata */
#define FINGERPRINT	0x1122334455667788ULL

FIXTURE(share)
{
	struct cf_env env;
	struct img img[2];
	struct od_server srv;
	struct cf_task t;	/* of what must not wait for the daemon */
};

/* eventfds: the daemon may answer READs of data; it may not, and is asked. */
static int may_answer, asked;
static const char *asked_blob;

static int fill_if_allowed(struct od_server *srv, struct od_object *o, __u64 off, __u64 len)
{
	struct pollfd pfd = { .fd = may_answer, .events = POLLIN };

	if (off >= IMG_DATA_POS && !poll(&pfd, 1, 0)) {
		asked_blob = o->blob->key;
		eventfd_write(asked, 1);
		poll(&pfd, 1, -1);
	}
	return od_fill(srv, o, off, len);
}

static const struct od_ops silent_at_times = {
	.open	= od_open,
	.fill	= fill_if_allowed,
	.reply	= od_reply,
};

static int be_silent(void)
{
	eventfd_t value;

	return eventfd_read(may_answer, &value) < 0 ? -errno : 0;
}

static int answer(void)
{
	return eventfd_write(may_answer, 1) < 0 ? -errno : 0;
}

/* The blob whose READ is not answered; none if the daemon is not asked. */
static const char *wait_asked(void)
{
	struct pollfd pfd = { .fd = asked, .events = POLLIN };

	return poll(&pfd, 1, WAIT_MS) == 1 ? asked_blob : "";
}

static long mount_image(struct cf_env *env, const char *name)
{
	return cf_mount(env, name, "fsid=%s,domain_id=d,inode_share", name);
}

static int look_up(struct cf_env *env, const char *name)
{
	char path[256], value[8];
	ssize_t n;

	snprintf(path, sizeof(path), "%s/%s", env->tmp, name);
	n = getxattr(path, "user.fp", value, sizeof(value));
	return n == sizeof(value) ? 0 : n < 0 ? -errno : -EMSGSIZE;
}

/* The common file is the first one of one image and the second of the other. */
FIXTURE_SETUP(share)
{
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
	may_answer = eventfd(1, EFD_CLOEXEC);
	ASSERT_LE(0, may_answer);
	asked = eventfd(0, EFD_CLOEXEC);
	ASSERT_LE(0, asked);
	od_init(&self->srv, self->env.dev);
	self->srv.ops = &silent_at_times;
	od_add(&self->srv, "a", self->img[0].data, self->img[0].size);
	od_add(&self->srv, "b", self->img[1].data, self->img[1].size);
	ASSERT_EQ(0, od_run(&self->srv, 1));

	ret = mount_image(&self->env, "a");
	if (ret == -EINVAL || ret == -EOPNOTSUPP)
		SKIP(return, "CONFIG_EROFS_FS_PAGE_CACHE_SHARE is off");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, mount_image(&self->env, "b"));
	/* Pages may outlive all mounts, and so the test before, for a while. */
	ASSERT_EQ(0, cf_drop_caches());
	ASSERT_EQ(0, look_up(&self->env, "b/f01"));
}

/* Whoever waits for the daemon is to go before it does. */
FIXTURE_TEARDOWN(share)
{
	answer();
	if (self->t.pid)
		cf_wait(&self->t, WAIT_MS);
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
		if (n != sizeof(buf) ||
		    memcmp(buf, r->img->data + r->img->file[0].pos + off, n))
			return -EILSEQ;
		nr++;
	}
	close(fd);
	return nr;
}

/* As container engines do, on "overlay". */
static int mount_overlay(struct cf_env *env, const char *name)
{
	char on[256], empty[256], options[1024];

	snprintf(on, sizeof(on), "%s/overlay", env->tmp);
	snprintf(empty, sizeof(empty), "%s/empty", env->tmp);
	snprintf(options, sizeof(options), "lowerdir=%s/%s:%s", env->tmp, name, empty);
	if (mkdir(on, 0700) < 0 || mkdir(empty, 0700) < 0 ||
	    mount("overlay", on, "overlay", MS_RDONLY, options) < 0)
		return -errno;
	return 0;
}

/*
 * The pages are those of two mounts.  What is cached of the one is read, and the
 * other one, which was looked up last, has nothing and a daemon that fails.
 */
TEST_F(share, each_by_its_own)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/a/f00", self->env.tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	/* The inode of this one is in use. */
	EXPECT_EQ(0, cf_drop_caches());
	ASSERT_EQ(0, look_up(&self->env, "b/f01"));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	ASSERT_EQ(0, cf_dev_close(&self->env));
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	EXPECT_EQ(0, cf_drop_caches());
	EXPECT_EQ(-EIO, check(&self->env, self->img, "b/f01"));
	EXPECT_EQ(0, mount_overlay(&self->env, "a"));
	EXPECT_EQ(0, check(&self->env, self->img, "overlay/f00"));
	snprintf(path, sizeof(path), "%s/overlay", self->env.tmp);
	EXPECT_EQ(0, umount(path));
	close(fd);
}

/* A mount goes whose pages another mount has, too. */
TEST_F_TIMEOUT(share, umount_under_reads, 300)
{
	int i, rounds = cf_rounds(40, 1000);
	struct sharer *r;
	struct cf_task t[2];

	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, r);
	r->env = &self->env;
	r->img = &self->img[0];
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	for (i = 0; i < 2; i++)
		ASSERT_EQ(0, cf_start(&t[i], read_again_and_again, r, 0));
	for (i = 0; i < rounds; i++) {
		ASSERT_EQ(0, cf_umount(&self->env, "b", 0));
		ASSERT_EQ(0, mount_image(&self->env, "b"));
		ASSERT_EQ(0, look_up(&self->env, "b/f01"));
		usleep(i % 8 * 1000);
	}
	__atomic_store_n(&r->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		EXPECT_LT(0, cf_wait(&t[i], WAIT_MS));
}

/* A reader that was killed has left READs behind, and nothing uses the inodes. */
TEST_F_TIMEOUT(share, reclaim_after_kill, 120)
{
	struct cf_task reader;

	ASSERT_EQ(0, be_silent());
	ASSERT_EQ(0, cf_read_start(&self->env, &reader, "a/f00", AWAY, GRANULE));
	ASSERT_STREQ("a", wait_asked());
	ASSERT_EQ(-EOWNERDEAD, cf_kill(&reader));
	ASSERT_EQ(0, cf_reclaim_start(&self->t));
	EXPECT_EQ(0, cf_wait(&self->t, WAIT_MS));
	EXPECT_EQ(0, answer());
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	EXPECT_EQ(0, check(&self->env, self->img, "b/f01"));
	EXPECT_EQ(0, cf_umount(&self->env, "a", 0));
	EXPECT_EQ(0, cf_umount(&self->env, "b", 0));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

/* Ask for pages, and wait for none. */
static long ask_and_close(void *arg, struct cf_out *out)
{
	struct cf_env *env = arg;
	char path[256];
	int fd, ret;

	snprintf(path, sizeof(path), "%s/a/f00", env->tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = posix_fadvise(fd, AWAY, GRANULE, POSIX_FADV_WILLNEED);
	close(fd);
	return -ret;
}

/* The same without a signal; and the mounts can go before there is an answer. */
TEST_F_TIMEOUT(share, reclaim_after_close, 120)
{
	struct cf_task t;

	ASSERT_EQ(0, be_silent());
	ASSERT_EQ(0, cf_start(&t, ask_and_close, &self->env, 0));
	ASSERT_EQ(0, cf_wait(&t, PROMPT_MS));
	ASSERT_STREQ("a", wait_asked());
	ASSERT_EQ(0, cf_reclaim_start(&self->t));
	ASSERT_EQ(0, cf_wait(&self->t, WAIT_MS));
	EXPECT_EQ(0, cf_umount(&self->env, "a", 0));
	EXPECT_EQ(0, cf_umount(&self->env, "b", 0));
	EXPECT_EQ(0, answer());
	ASSERT_EQ(0, mount_image(&self->env, "a"));
	ASSERT_EQ(0, mount_image(&self->env, "b"));
	EXPECT_EQ(0, check(&self->env, self->img, "a/f00"));
	EXPECT_EQ(0, check(&self->env, self->img, "b/f01"));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

/*
 * A mount goes whose pages another one is reading, and waits for its daemon.  Then
 * the other one goes, with the last inode and with pages that nobody waits for.
 */
TEST_F_TIMEOUT(share, umount_with_other_silent, 120)
{
	struct cf_task reader;

	ASSERT_EQ(0, be_silent());
	ASSERT_EQ(0, cf_read_start(&self->env, &reader, "a/f00", AWAY, GRANULE));
	ASSERT_STREQ("a", wait_asked());
	/* The reader has the file of "a" open. */
	ASSERT_EQ(0, cf_reclaim_start(&self->t));
	ASSERT_EQ(0, cf_wait(&self->t, WAIT_MS));
	EXPECT_EQ(0, cf_umount_within(&self->env, "b", 0, PROMPT_MS));
	ASSERT_EQ(-EOWNERDEAD, cf_kill(&reader));
	EXPECT_EQ(0, cf_umount_within(&self->env, "a", 0, PROMPT_MS));
	EXPECT_EQ(0, answer());
	ASSERT_EQ(0, mount_image(&self->env, "b"));
	EXPECT_EQ(0, check(&self->env, self->img, "b/f01"));
	EXPECT_EQ(0, cf_umount(&self->env, "b", 0));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
