// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that runs out at each point of what mounts and reads, in turn: there is
 * an error or the right bytes, never anything else, and when it is done again
 * without the fault it succeeds.
 */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "mkfs.h"
#include "nomem.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE	(2048 << 10)
#define PLAIN_SIZE	(2048 << 10)	/* before it is compressed */

static char buf[GRANULE];

FIXTURE(nomem)
{
	struct scene s;
	struct nomem nm;
	struct od_server srv;
	char path[300];
};

FIXTURE_SETUP(nomem)
{
	self->s.env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	od_init(&self->srv, self->s.env.dev);
	od_add(&self->srv, "img", self->s.img.data, self->s.img.size);
	snprintf(self->path, sizeof(self->path), "%s/" SCENE_FILE, self->s.env.tmp);
}

FIXTURE_TEARDOWN(nomem)
{
	scene_fini(&self->s);
}

/* The mounting task: whatever fails, the next one mounts. */
TEST_F_TIMEOUT(nomem, mount, 600)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	char path[300];
	int ret;

	ASSERT_EQ(0, od_run(&self->srv, 2));
	snprintf(path, sizeof(path), "%s/m", s->env.tmp);
	mkdir(path, 0755);
	for (nomem_first(nm, 1); nomem_next(nm); ) {
		nomem_begin(nm);
		ret = mount("none", path, "erofs", MS_RDONLY, "fsid=img");
		if (ret)
			ret = -errno;
		nomem_end(nm);
		if (!nm->fault)
			EXPECT_EQ(0, ret);
		if (!ret)
			EXPECT_EQ(0, umount(path));
	}
	EXPECT_LT(10, nm->nr_faults);
	EXPECT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

/* A page of a file, by a task that has to open it; nothing around it. */
static ssize_t read_page(const char *path, off_t off)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
	n = pread(fd, buf, sizeof(buf), off);
	if (n < 0)
		n = -errno;
	close(fd);
	return n;
}

/* Each try has a page of its own, and the file has enough of them. */
static int read_all_nth(struct nomem *nm, const char *path, const char *data, off_t size,
			bool cold)
{
	off_t off = 0;
	ssize_t n;
	int i;

	for (nomem_first(nm, 3); nomem_next(nm); off += 2 * GRANULE) {
		if (off >= size)
			return -EFBIG;
		if (cold && cf_drop_caches())
			return -EIO;
		for (i = 0; i < 2; i++) {
			memset(buf, 0, sizeof(buf));
			if (!i)
				nomem_begin(nm);
			n = read_page(path, off);
			if (!i)
				nomem_end(nm);
			if (n < 0 && !i && nm->fault && (n == -ENOMEM || n == -EIO))
				continue;
			if (n != GRANULE || memcmp(buf, data + off, GRANULE)) {
				ksft_print_msg("allocation %d, %s: %zd\n", nm->nth,
					       i ? "again" : "at once", n);
				return n < 0 ? n : -EILSEQ;
			}
		}
	}
	return 0;
}

FIXTURE(nomem_read)
{
	struct scene s;
	struct nomem nm;
	struct od_server srv;
};

FIXTURE_VARIANT(nomem_read)
{
	const char *mount;
	bool present;		/* in the cache, and then not in memory */
};

FIXTURE_VARIANT_ADD(nomem_read, missing) { "" };
FIXTURE_VARIANT_ADD(nomem_read, present) { "", true };
FIXTURE_VARIANT_ADD(nomem_read, directio_missing) { ",directio" };
FIXTURE_VARIANT_ADD(nomem_read, directio_present) { ",directio", true };

FIXTURE_SETUP(nomem_read)
{
	struct scene *s = &self->s;

	s->env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img%s", variant->mount));
	if (variant->present)
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	close(s->fd);
	od_init(&self->srv, s->env.dev);
	od_add(&self->srv, "img", s->img.data, s->img.size);
	ASSERT_EQ(0, od_run(&self->srv, 2));
}

FIXTURE_TEARDOWN(nomem_read)
{
	scene_fini(&self->s);
}

TEST_F_TIMEOUT(nomem_read, page, 300)
{
	struct scene *s = &self->s;
	char path[300];

	snprintf(path, sizeof(path), "%s/" SCENE_FILE, s->env.tmp);
	EXPECT_EQ(0, read_all_nth(&self->nm, path, s->img.data + s->img.file[0].pos,
				  FILE_SIZE, variant->present));
	EXPECT_LT(5, self->nm.nr_faults);
	EXPECT_TRUE(variant->present ? !self->srv.nr_read :
				       self->srv.nr_read > self->nm.nr_faults) {
		TH_LOG("%d READs", self->srv.nr_read);
	}
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

static sigjmp_buf jump;

static void on_sigbus(int sig)
{
	siglongjmp(jump, 1);
}

/* Has the page mapped, and then a copy of it; false for a SIGBUS. */
static bool touch(char *at)
{
	if (sigsetjmp(jump, 1))
		return false;
	__atomic_store_n(at, __atomic_load_n(at, __ATOMIC_RELAXED), __ATOMIC_RELAXED);
	return true;
}

struct mapping {
	const char *path;
	const char *data;
};

/* The walk in a child; how many allocations have failed. */
static long map_all_nth(void *arg, struct cf_out *out)
{
	struct mapping *m = arg;
	static struct nomem nm;
	__u64 off = 0;
	char *map;
	int fd;

	signal(SIGBUS, on_sigbus);
	fd = open(m->path, O_RDONLY | O_CLOEXEC);
	map = mmap(NULL, FILE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED || madvise(map, FILE_SIZE, MADV_RANDOM) || nomem_init(&nm))
		return -EBADF;
	for (nomem_first(&nm, 3); nomem_next(&nm); off += 2 * GRANULE) {
		bool mapped;

		if (off >= FILE_SIZE)
			return -EFBIG;
		nomem_begin(&nm);
		mapped = touch(map + off);
		nomem_end(&nm);
		if (!mapped && !nm.fault)
			return -EPROTO;
		/* What failed once is not lost. */
		if (!touch(map + off))
			return -EFAULT;
		if (memcmp(map + off, m->data + off, GRANULE))
			return -EILSEQ;
	}
	return nm.nr_faults;
}

TEST_F_TIMEOUT(nomem, mapped, 300)
{
	struct scene *s = &self->s;
	struct mapping m = { self->path, s->img.data + s->img.file[0].pos };
	struct cf_task t;

	ASSERT_EQ(0, od_run(&self->srv, 2));
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, cf_start(&t, map_all_nth, &m, 0));
	EXPECT_LT(2, cf_wait(&t, 280000));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

/* Half of it can be said shorter. */
static int make_plain(const char *dir, char *data)
{
	char path[400];
	size_t i;
	int fd, ret;

	img_pattern(data, PLAIN_SIZE, 4711);
	for (i = 0; i < PLAIN_SIZE; i += 128)
		memcpy(data + i + 64, data + i, 64);
	if (mkdir(dir, 0755) < 0)
		return -errno;
	snprintf(path, sizeof(path), "%s/f00", dir);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	ret = write(fd, data, PLAIN_SIZE) == PLAIN_SIZE ? 0 : -EIO;
	close(fd);
	return ret;
}

TEST_F_TIMEOUT(nomem, compressed, 300)
{
	static char data[PLAIN_SIZE];
	struct scene *s = &self->s;
	char path[300];
	struct stat st;
	void *image;
	int fd;

	snprintf(path, sizeof(path), "%s/plain", s->env.root);
	ASSERT_EQ(0, make_plain(path, data));
	if (mkfs_erofs(s->env.root, "-zlz4", "lz4", "plain"))
		SKIP(return, "%s can't make it", mkfs_erofs_name());
	snprintf(path, sizeof(path), "%s/lz4", s->env.root);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_GT(PLAIN_SIZE * 3 / 4, st.st_size);
	image = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, image);
	close(fd);
	od_add(&self->srv, "lz4", image, st.st_size);
	ASSERT_EQ(0, od_run(&self->srv, 2));

	/* Clusters that are missing, and after that not in memory. */
	ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=lz4"));
	EXPECT_EQ(0, read_all_nth(&self->nm, self->path, data, PLAIN_SIZE, false));
	EXPECT_LT(5, self->nm.nr_faults);
	EXPECT_EQ(0, read_all_nth(&self->nm, self->path, data, PLAIN_SIZE, true));
	EXPECT_LT(5, self->nm.nr_faults);
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

/* Who looks at the counters gets all of them or an error. */
TEST_F_TIMEOUT(nomem, counters, 60)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	ssize_t n;
	int fd;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	for (nomem_first(nm, 1); nomem_next(nm); ) {
		memset(buf, 0, sizeof(buf));
		nomem_begin(nm);
		fd = open("/proc/fs/fscache/ondemand", O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -errno : read(fd, buf, sizeof(buf) - 1);
		if (fd >= 0 && n < 0)
			n = -errno;
		nomem_end(nm);
		if (fd >= 0)
			close(fd);
		if (n < 0) {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(-ENOMEM, n);
			continue;
		}
		EXPECT_EQ(0, strncmp(buf, "cache ", 6));
		EXPECT_NE(NULL, strstr(buf, " more="));
	}
	EXPECT_LT(1, nm->nr_faults);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
