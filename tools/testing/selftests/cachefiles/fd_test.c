// SPDX-License-Identifier: GPL-2.0
/*
 * The anonymous fd of an object: positions, counts, bounds and errors.
 */
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/uio.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(64 << 10)
#define EXTRA		100	/* bytes that the object has after the image */

FIXTURE(fd)
{
	struct scene s;
	char *data;		/* the file's content */
	__u64 pos;		/* and its place */
	__u64 size;		/* of the object */
};

/* A mounted object with an odd size and an empty data area. */
FIXTURE_SETUP(fd)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	s->img.size += EXTRA;
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	self->pos = s->img.file[0].pos;
	self->data = s->img.data + self->pos;
	self->size = s->img.size;
}

FIXTURE_TEARDOWN(fd)
{
	scene_fini(&self->s);
}

/* The file, all of which has been filled. */
static int check(struct scene *s)
{
	struct cf_task t;
	int ret;

	ret = scene_read_start(s, &t, 0, FILE_SIZE);
	return ret ?: scene_check(s, &t, 0, FILE_SIZE);
}

/* Each write(2) goes on where the last one ended. */
TEST_F(fd, write_moves_position)
{
	int fd = self->s.fd;
	size_t done, n;

	ASSERT_EQ(self->pos, lseek(fd, self->pos, SEEK_SET));
	for (done = 0; done < FILE_SIZE; done += n) {
		n = FILE_SIZE - done < 7000 ? FILE_SIZE - done : 7000;
		ASSERT_EQ(n, write(fd, self->data + done, n));
		ASSERT_EQ(self->pos + done + n, lseek(fd, 0, SEEK_CUR));
	}
	EXPECT_EQ(0, check(&self->s));
}

TEST_F(fd, pwrite_keeps_position)
{
	int fd = self->s.fd;

	ASSERT_EQ(123, lseek(fd, 123, SEEK_SET));
	ASSERT_EQ(FILE_SIZE, pwrite(fd, self->data, FILE_SIZE, self->pos));
	EXPECT_EQ(123, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(0, check(&self->s));
}

TEST_F(fd, writev)
{
	char *data = self->data;
	struct iovec iov[] = {
		{ data, 1 }, { data + 1, 4095 }, { data + 4096, 0 },
		{ data + 4096, 5000 }, { data + 9096, 0 },
		{ data + 9096, FILE_SIZE - 9096 },
	};
	int fd = self->s.fd;

	ASSERT_EQ(self->pos, lseek(fd, self->pos, SEEK_SET));
	EXPECT_EQ(FILE_SIZE, writev(fd, iov, ARRAY_SIZE(iov)));
	EXPECT_EQ(self->pos + FILE_SIZE, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(0, check(&self->s));
}

TEST_F(fd, pwritev_in_odd_pieces)
{
	size_t done, n;

	for (done = 0; done < FILE_SIZE; done += n) {
		struct iovec iov[2];

		n = FILE_SIZE - done < 3001 ? FILE_SIZE - done : 3001;
		iov[0] = (struct iovec){ self->data + done, n / 3 };
		iov[1] = (struct iovec){ self->data + done + n / 3, n - n / 3 };
		ASSERT_EQ(n, pwritev(self->s.fd, iov, 2, self->pos + done));
	}
	EXPECT_EQ(0, check(&self->s));
}

TEST_F(fd, splice)
{
	int fd = self->s.fd, pfd[2];
	loff_t off = self->pos;

	ASSERT_EQ(0, pipe2(pfd, O_CLOEXEC));
	ASSERT_EQ(5000, write(pfd[1], self->data, 5000));
	EXPECT_EQ(5000, splice(pfd[0], NULL, fd, &off, 5000, 0));
	EXPECT_EQ(self->pos + 5000, off);

	ASSERT_EQ(self->pos + 5000, lseek(fd, off, SEEK_SET));
	ASSERT_EQ(7000, write(pfd[1], self->data + 5000, 7000));
	EXPECT_EQ(7000, splice(pfd[0], NULL, fd, NULL, 7000, 0));
	EXPECT_EQ(self->pos + 12000, lseek(fd, 0, SEEK_CUR));

	ASSERT_EQ(FILE_SIZE - 12000,
		  write(fd, self->data + 12000, FILE_SIZE - 12000));
	EXPECT_EQ(0, check(&self->s));
}

TEST_F(fd, sendfile)
{
	int fd = self->s.fd, src;
	size_t done = 0;

	src = memfd_create("src", MFD_CLOEXEC);
	ASSERT_LE(0, src);
	ASSERT_EQ(FILE_SIZE, pwrite(src, self->data, FILE_SIZE, 0));
	ASSERT_EQ(self->pos, lseek(fd, self->pos, SEEK_SET));
	while (done < FILE_SIZE) {
		ssize_t n = sendfile(fd, src, NULL, FILE_SIZE - done);

		ASSERT_LT(0, n);
		done += n;
	}
	EXPECT_EQ(self->pos + FILE_SIZE, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(0, check(&self->s));
}

/* Nothing can be written at or behind the end, and nothing grows. */
TEST_F(fd, end_of_object)
{
	int fd = self->s.fd;
	char *tail = self->s.img.data + self->size - 50;

	EXPECT_EQ(-1, pwrite(fd, tail, 1, self->size));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_EQ(-1, pwrite(fd, tail, 4096, self->size + 1));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_EQ(-1, pwrite(fd, tail, 1, LLONG_MAX - 1));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_EQ(-1, pwrite(fd, tail, 1, -1));
	EXPECT_EQ(EINVAL, errno);

	/* Across the end: what fits. */
	EXPECT_EQ(50, pwrite(fd, tail, 60, self->size - 50));
	ASSERT_EQ(self->size - 50, lseek(fd, -50, SEEK_END));
	EXPECT_EQ(50, write(fd, tail, 4096));
	EXPECT_EQ(self->size, lseek(fd, 0, SEEK_CUR));
	EXPECT_EQ(-1, write(fd, tail, 1));
	EXPECT_EQ(EFBIG, errno);
	EXPECT_EQ(self->size, lseek(fd, 0, SEEK_END));
}

TEST_F(fd, empty_write)
{
	EXPECT_EQ(0, pwrite(self->s.fd, "", 0, 0));
	EXPECT_EQ(0, pwrite(self->s.fd, "", 0, self->pos));
}

/* What is there stays as it is, and the writer is none the wiser. */
TEST_F(fd, present_granules_do_not_change)
{
	static char junk[FILE_SIZE];
	int fd = self->s.fd;

	memset(junk, 0xdb, sizeof(junk));
	/* One granule first, then junk over a part of it ... */
	ASSERT_EQ(GRANULE, pwrite(fd, self->data, GRANULE, self->pos));
	EXPECT_EQ(100, pwrite(fd, junk, 100, self->pos + 50));
	EXPECT_EQ(GRANULE, pwrite(fd, junk, GRANULE, self->pos));
	/* ... then all of the file, and junk over all of it. */
	ASSERT_EQ(FILE_SIZE, pwrite(fd, self->data, FILE_SIZE, self->pos));
	EXPECT_EQ(FILE_SIZE, pwrite(fd, junk, FILE_SIZE, self->pos));
	EXPECT_EQ(0, check(&self->s));
	ASSERT_EQ(0, cf_drop_caches());
	EXPECT_EQ(0, check(&self->s));
}

/* A granule is there when all its pieces are, and not before. */
TEST_F(fd, granule_in_pieces)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	int i;

	ASSERT_EQ(1000, pwrite(s->fd, self->data, 1000, self->pos));
	EXPECT_EQ(-1, lseek(s->fd, self->pos, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);

	ASSERT_EQ(0, scene_read_start(s, &t, 0, 10));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	EXPECT_EQ(self->pos, m.off);
	ASSERT_EQ(2000, pwrite(s->fd, self->data + 1000, 2000,
			       self->pos + 1000));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	ASSERT_EQ(1096, pwrite(s->fd, self->data + 3000, 1096,
			       self->pos + 3000));
	EXPECT_EQ(self->pos, lseek(s->fd, self->pos, SEEK_DATA));
	/* The rest of a large folio may still be missing. */
	for (i = 1; i < 16 && cf_running(&t, 0); i++)
		ASSERT_LT(0, pwrite(s->fd, self->data + i * GRANULE, GRANULE,
				    self->pos + i * GRANULE));
	EXPECT_EQ(0, scene_check(s, &t, 0, 10));
}

/* More unfinished granules than the kernel keeps: never wrong bytes. */
TEST_F(fd, many_unfinished_granules)
{
	struct scene *s = &self->s;
	struct cf_task t;
	int i;

	for (i = 0; i < 200; i++) {
		__u64 off = IMG_DIR_POS + (i + 2) * GRANULE;
		ssize_t n = pwrite(s->fd, s->img.data + off, 10, off);

		EXPECT_TRUE(n == 10 || n < 0);
	}
	for (i = 0; i < 15; i++) {
		__u64 off = self->pos + i * GRANULE;
		ssize_t n = pwrite(s->fd, s->img.data + off, 2000, off);

		EXPECT_TRUE(n == 2000 || n < 0);
	}
	for (i = 0; i < 15; i++) {
		__u64 off = self->pos + i * GRANULE + 2000;
		ssize_t n = pwrite(s->fd, s->img.data + off, 2096, off);

		EXPECT_TRUE(n == 2096 || n < 0);
	}
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 15 * GRANULE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 15 * GRANULE));
}

TEST_F(fd, seek)
{
	int fd = self->s.fd;

	EXPECT_EQ(5, lseek(fd, 5, SEEK_SET));
	EXPECT_EQ(12, lseek(fd, 7, SEEK_CUR));
	EXPECT_EQ(2, lseek(fd, -10, SEEK_CUR));
	EXPECT_EQ(self->size, lseek(fd, 0, SEEK_END));
	EXPECT_EQ(self->size - 7, lseek(fd, -7, SEEK_END));
	EXPECT_EQ(-1, lseek(fd, -1, SEEK_SET));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(-1, lseek(fd, 0, 17));
	EXPECT_EQ(EINVAL, errno);
	EXPECT_EQ(self->size - 7, lseek(fd, 0, SEEK_CUR));
}

/* SEEK_DATA and SEEK_HOLE tell what is there, to the granule. */
TEST_F(fd, seek_data_and_hole)
{
	__u64 pos = self->pos, size = self->size;
	int fd = self->s.fd;

	/* The metadata is there, the file is not. */
	EXPECT_EQ(0, lseek(fd, 0, SEEK_DATA));
	EXPECT_EQ(IMG_AROUND, lseek(fd, 0, SEEK_HOLE));
	EXPECT_EQ(IMG_DIR_POS, lseek(fd, IMG_AROUND, SEEK_DATA));
	EXPECT_EQ(IMG_DIR_POS + IMG_AROUND, lseek(fd, IMG_DIR_POS, SEEK_HOLE));
	EXPECT_EQ(-1, lseek(fd, pos, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(pos + 5, lseek(fd, pos + 5, SEEK_HOLE));

	ASSERT_EQ(2 * GRANULE, pwrite(fd, self->data + 3 * GRANULE,
				      2 * GRANULE, pos + 3 * GRANULE));
	EXPECT_EQ(pos + 3 * GRANULE, lseek(fd, pos, SEEK_DATA));
	EXPECT_EQ(pos + 3 * GRANULE + 9, lseek(fd, pos + 3 * GRANULE + 9,
					       SEEK_DATA));
	EXPECT_EQ(pos + 5 * GRANULE, lseek(fd, pos + 3 * GRANULE, SEEK_HOLE));
	EXPECT_EQ(pos + 5 * GRANULE, lseek(fd, pos + 5 * GRANULE - 1,
					   SEEK_HOLE));
	EXPECT_EQ(-1, lseek(fd, pos + 5 * GRANULE, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);

	/* The tail is data too, and there is always a hole at the end. */
	ASSERT_EQ(0, cf_fill(fd, self->s.img.data, pos, size - pos));
	EXPECT_EQ(size, lseek(fd, pos, SEEK_HOLE));
	ASSERT_EQ(0, cf_fill(fd, self->s.img.data, 0, pos));
	EXPECT_EQ(size, lseek(fd, 0, SEEK_HOLE));
	EXPECT_EQ(size, lseek(fd, size - 1, SEEK_HOLE));
	EXPECT_EQ(size - 1, lseek(fd, size - 1, SEEK_DATA));
	EXPECT_EQ(-1, lseek(fd, size, SEEK_HOLE));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(fd, size, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
	EXPECT_EQ(-1, lseek(fd, -1, SEEK_DATA));
	EXPECT_EQ(0, check(&self->s));
}

struct seek {
	int fd;
	__u64 off;
	int whence;
};

static long do_seek(void *arg, struct cf_out *out)
{
	struct seek *seek = arg;
	off_t ret = lseek(seek->fd, seek->off, seek->whence);

	return ret < 0 ? -errno : ret;
}

/* What is there is found at once, however large the object is. */
TEST_F(fd, seek_in_a_huge_object)
{
	/* What daemons may say, and what some file systems have: ext4, xfs. */
	static const __u64 sizes[] = { 9000000000000000000ULL, 8ULL << 40 };
	struct scene *s = &self->s;
	int i, ret = -EFBIG, fd = -1;
	struct seek seek = {};
	struct cf_task t;
	struct cf_msg m;

	for (i = 0; ret == -EFBIG && i < 2; i++) {
		ASSERT_EQ(0, cf_mount_start(&s->env, &t, "huge", "fsid=huge%d", i));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
		fd = m.fd;
		ret = cf_copen(s->env.dev, m.id, sizes[i]);
	}
	if (ret == -EFBIG)
		SKIP(return, "the cache's file system has no files as large as that");
	ASSERT_EQ(0, ret);

	seek = (struct seek){ fd, 0, SEEK_DATA };
	ASSERT_EQ(0, cf_start_keep(&t, do_seek, &seek, 0));
	EXPECT_EQ(-ENXIO, cf_wait(&t, PROMPT_MS));
	seek.off = sizes[i - 1] / 3;
	ASSERT_EQ(GRANULE, pwrite(fd, self->data, GRANULE, sizes[i - 1] / 2));
	ASSERT_EQ(0, cf_start_keep(&t, do_seek, &seek, 0));
	EXPECT_EQ(sizes[i - 1] / 2, (__u64)cf_wait(&t, PROMPT_MS));
	seek.whence = SEEK_HOLE;
	ASSERT_EQ(0, cf_start_keep(&t, do_seek, &seek, 0));
	EXPECT_EQ(sizes[i - 1] / 3, (__u64)cf_wait(&t, PROMPT_MS));
	close(fd);
}

TEST_F(fd, bad_pointer)
{
	int fd = self->s.fd;
	void *map;

	map = mmap(NULL, GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		   0);
	ASSERT_NE(MAP_FAILED, map);
	EXPECT_EQ(-1, pwrite(fd, map, GRANULE, self->pos));
	EXPECT_EQ(EFAULT, errno);
	EXPECT_EQ(-1, lseek(fd, self->pos, SEEK_DATA));
	EXPECT_EQ(ENXIO, errno);
}

/* A buffer that ends in nothing: what was read from it counts, at most. */
TEST_F(fd, half_bad_buffer)
{
	struct scene *s = &self->s;
	struct cf_task t;
	ssize_t n;
	char *map;

	map = mmap(NULL, 2 * GRANULE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, munmap(map + GRANULE, GRANULE));
	memcpy(map, self->data, GRANULE);
	n = pwrite(s->fd, map + 100, 2 * GRANULE, self->pos + 100);
	EXPECT_TRUE(n == -1 || (n > 0 && n <= GRANULE - 100));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

TEST_F(fd, what_it_cannot_do)
{
	int fd = self->s.fd;
	char c;

	EXPECT_EQ(-1, read(fd, &c, 1));
	EXPECT_EQ(EBADF, errno);
	EXPECT_EQ(-1, pread(fd, &c, 1, 0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, GRANULE, PROT_WRITE, MAP_SHARED, fd,
				   0));
	EXPECT_EQ(MAP_FAILED, mmap(NULL, GRANULE, PROT_READ, MAP_PRIVATE, fd,
				   0));
	EXPECT_EQ(-1, ftruncate(fd, 0));
	EXPECT_EQ(-1, fallocate(fd, 0, 0, GRANULE));
	EXPECT_EQ(-1, ioctl(fd, _IOW(0x98, 2, int), 1));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(-1, ioctl(fd, _IO(0x98, 1), 1));
	EXPECT_EQ(ENOTTY, errno);
	EXPECT_EQ(self->size, lseek(fd, 0, SEEK_END));
}

/* Once nothing is mounted the fd is a dead end. */
TEST_F(fd, estale_after_umount)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(-1, pwrite(s->fd, self->data, GRANULE, self->pos));
	EXPECT_EQ(ESTALE, errno);
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, 1));
	EXPECT_EQ(0, close(s->fd));
}

/* Before copen the size is not known, so there is no place to write to. */
TEST_F(fd, enobufs_before_copen)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "other", "fsid=other"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_EQ(-1, write(m.fd, self->data, GRANULE));
	EXPECT_EQ(ENOBUFS, errno);
	EXPECT_EQ(-1, pwrite(m.fd, self->data, GRANULE, 0));
	EXPECT_EQ(ENOBUFS, errno);
	EXPECT_EQ(-1, lseek(m.fd, 0, SEEK_END));
	EXPECT_EQ(ENOBUFS, errno);
	EXPECT_EQ(-1, lseek(m.fd, 0, SEEK_HOLE));
	EXPECT_EQ(ENOBUFS, errno);
	EXPECT_EQ(-1, lseek(m.fd, 0, SEEK_DATA));
	EXPECT_EQ(ENOBUFS, errno);
	EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -ENOENT));
	EXPECT_EQ(-ENOENT, cf_wait(&t, PROMPT_MS));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
