// SPDX-License-Identifier: GPL-2.0
/*
 * A cache whose disk has bad sectors, loses writes, or dies.  What needs the
 * disk fails; what does not goes on, in other mounts of the same cache too; no
 * byte is ever wrong; and what has failed works again with the disk.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/falloc.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "diskscene.h"

#define PRESENT		(4 * GRANULE)
#define FS_SHUTDOWN	_IOR('X', 125, __u32)	/* of ext4, and of xfs */

FIXTURE(diskfail)
{
	struct disk_scene s;
};

FIXTURE_SETUP(diskfail)
{
	int ret = ds_init(&self->s, "", "");

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, ds_bind(&self->s));
}

FIXTURE_TEARDOWN(diskfail)
{
	ds_fini(&self->s);
}

/* Some sectors of what is present can't be read. */
TEST_F_TIMEOUT(diskfail, bad_sectors, 120)
{
	struct disk_scene *s = &self->s;
	__u64 bad = 10 * GRANULE, end = 18 * GRANULE;
	int fd;

	ASSERT_EQ(0, ds_fetch(s, 0));
	ASSERT_EQ(0, ds_fetch(s, 1));
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, ds_pos(s, 0) + bad, end - bad,
				    DISK_BAD_READS));
	close(fd);
	ASSERT_EQ(0, cf_drop_caches());

	EXPECT_EQ(0, ds_read(s, 0, 0, bad));
	EXPECT_EQ(-EIO, ds_read(s, 0, bad, GRANULE));
	EXPECT_EQ(-EIO, ds_read(s, 0, end - GRANULE, GRANULE));
	EXPECT_EQ(0, ds_read(s, 0, end, DS_FILE - end));
	EXPECT_EQ(0, ds_read(s, 1, 0, DS_FILE));

	ASSERT_EQ(0, disk_well(&s->disk));
	EXPECT_EQ(0, ds_is_complete(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 1));
	EXPECT_EQ(0, ds_umount(s, 0));
	EXPECT_EQ(0, ds_umount(s, 1));
	EXPECT_EQ(0, ds_unbind(s));
}

/* It is the superblock of an image that can't be read. */
TEST_F_TIMEOUT(diskfail, bad_superblock, 120)
{
	struct disk_scene *s = &self->s;
	int fd;

	ASSERT_EQ(0, ds_fetch(s, 0));
	ASSERT_EQ(0, ds_fetch(s, 1));
	ASSERT_EQ(0, ds_umount(s, 0));
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "blob0"));
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, 0, GRANULE, DISK_BAD_READS));
	close(fd);
	ASSERT_EQ(0, cf_drop_caches());

	EXPECT_EQ(-EIO, ds_mount(s, 0));
	EXPECT_EQ(0, ds_read(s, 1, 0, DS_FILE));
	ASSERT_EQ(0, disk_well(&s->disk));
	memset(s->asked, 0, sizeof(s->asked));
	ASSERT_EQ(0, ds_mount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

/* Have blocks under this part of a file, and junk in them. */
static int allocate(int fd, off_t off, size_t len)
{
	static char junk[GRANULE];
	size_t done;

	memset(junk, 0xdb, sizeof(junk));
	for (done = 0; done < len; done += sizeof(junk))
		if (pwrite(fd, junk, sizeof(junk), off + done) != sizeof(junk))
			return -errno;
	return fsync(fd) < 0 ? -errno : 0;
}

/*
 * What has been filled can't be written to the disk.  It becomes missing again
 * when the kernel hears of it, and until then nobody gets anything else for it.
 */
TEST_F_TIMEOUT(diskfail, lost_writes, 240)
{
	struct disk_scene *s = &self->s;
	__u64 end = cf_now_ms() + 4 * WAIT_MS;
	struct cf_task bad, other;
	off_t half;
	int fd;

	ASSERT_EQ(0, ds_fetch(s, 1));
	ASSERT_EQ(0, ds_mount(s, 0));
	ASSERT_EQ(0, ds_fill(s, 0, 0, DS_HALF));
	ASSERT_EQ(0, ds_wait_present(s, 0, 0, DS_HALF));

	/* Where the rest will be has to be known: have it allocated now. */
	half = ds_pos(s, 0) + DS_HALF;
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, allocate(fd, half, DS_HALF));
	EXPECT_EQ(half, lseek(ds_fd(s, 0), half, SEEK_HOLE));
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, half, DS_HALF, DISK_BAD_WRITES));

	ASSERT_EQ(0, ds_fill(s, 0, DS_HALF, DS_HALF));
	EXPECT_EQ(0, ds_read(s, 0, DS_HALF, DS_HALF));
	EXPECT_EQ(-1, fsync(fd));
	EXPECT_EQ(EIO, errno);
	close(fd);
	while (lseek(ds_fd(s, 0), half, SEEK_HOLE) != half && cf_now_ms() < end)
		usleep(10000);
	EXPECT_EQ(half, lseek(ds_fd(s, 0), half, SEEK_HOLE));

	/* It is filled again and lost again, all the time. */
	ASSERT_EQ(0, ds_reader(s, 0, &bad, 8000));
	ASSERT_EQ(0, ds_reader(s, 1, &other, 8000));
	while (cf_running(&bad, 0)) {
		fd = ds_cachefile(s, 0);
		fsync(fd);
		close(fd);
		usleep(50000);
	}
	EXPECT_LE(0, cf_wait(&bad, WAIT_MS));
	EXPECT_EQ(0, cf_wait(&other, WAIT_MS));
	/* What was safe before is present all the time. */
	EXPECT_FALSE(ds_asked(s, 0, 0, DS_HALF));
	EXPECT_TRUE(ds_asked(s, 0, DS_HALF, DS_HALF));

	/* Others write and flush as ever. */
	ASSERT_EQ(0, ds_fetch(s, 2));

	ASSERT_EQ(0, disk_well(&s->disk));
	ASSERT_EQ(0, cf_drop_caches());
	do {
		/* Up to the flush that hears of the last error. */
		usleep(100000);
	} while (ds_read(s, 0, 0, DS_FILE) == -EIO && cf_now_ms() < end + 2 * WAIT_MS);
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	ASSERT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

/* Have no page of a range in the page cache; 0 or -errno. */
static int drop_pages(int fd, off_t pos, size_t len)
{
	void *pages = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, pos);
	int64_t end = cf_now_ms() + 4000;
	unsigned char resident[DS_HALF / GRANULE];
	int ret = -EAGAIN;

	if (pages == MAP_FAILED)
		return -errno;
	while (ret == -EAGAIN && cf_now_ms() < end) {
		if (posix_fadvise(fd, pos, len, POSIX_FADV_DONTNEED) ||
		    mincore(pages, len, resident))
			ret = -EINVAL;
		else if (!memchr(resident, 1, len / GRANULE))
			ret = 0;
		else
			usleep(1000);
	}
	munmap(pages, len);
	return ret;
}

/*
 * As before, but a read has begun when the kernel hears of the loss, and ends
 * later: what it has from the disk is not what has been filled.
 */
TEST_F_TIMEOUT(diskfail, lost_under_read, 120)
{
	static char junk[DS_HALF];
	struct disk_scene *s = &self->s;
	struct cf_task t;
	long ret;
	int fd;

	ASSERT_EQ(0, ds_mount(s, 0));
	/* Missing granules may have any bytes in the cache file. */
	memset(junk, 0x55, sizeof(junk));
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(DS_HALF, pwrite(fd, junk, DS_HALF, ds_pos(s, 0)));
	/* The flush of what the mount has read is not to be the one of the fill. */
	ASSERT_EQ(0, cachefile_wait_present(s->env.root, "blob0", s->img[0].size, 0, GRANULE));
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, ds_pos(s, 0), DS_HALF, DISK_BAD_WRITES));
	ASSERT_EQ(0, ds_fill(s, 0, 0, DS_HALF));
	/* The page cache lets go of what it could not write, when it has tried. */
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, ds_pos(s, 0), DS_HALF, DISK_SLOW_READS));
	ASSERT_EQ(0, drop_pages(fd, ds_pos(s, 0), DS_HALF));
	close(fd);

	/* The flush comes 5 s after the fill, and the bytes 9 s. */
	ASSERT_EQ(0, cf_read_start(&s->env, &t, "blob0/f00", 0, GRANULE));
	EXPECT_TRUE(cf_running(&t, DISK_SLOW_MS / 2));
	ret = cf_wait(&t, 2 * WAIT_MS);
	EXPECT_TRUE(ret == -EIO || ret == GRANULE);
	if (ret == GRANULE)
		EXPECT_EQ(0, memcmp(t.out->buf, s->img[0].data + ds_pos(s, 0), GRANULE));
	ASSERT_EQ(0, disk_well(&s->disk));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
}

/*
 * A reader is killed while the disk takes its time.  Others may wait for the pages
 * that it has begun to read, and they come.
 */
TEST_F_TIMEOUT(diskfail, killed_reader, 120)
{
	struct disk_scene *s = &self->s;
	unsigned char resident = 0;
	char path[256];
	struct cf_task t;
	void *map;
	int fd, i;

	ASSERT_EQ(0, ds_fetch(s, 0));
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, ds_pos(s, 0), PRESENT, DISK_SLOW_READS));
	close(fd);
	snprintf(path, sizeof(path), "%s/blob0/f00", s->env.tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	map = mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(MAP_FAILED, map);
	ASSERT_EQ(0, cf_drop_caches());

	ASSERT_EQ(0, cf_read_start(&s->env, &t, "blob0/f00", 0, GRANULE));
	EXPECT_TRUE(cf_running(&t, DISK_SLOW_MS / 3));
	ASSERT_EQ(-EOWNERDEAD, cf_kill(&t));
	ASSERT_EQ(0, mincore(map, GRANULE, &resident));
	EXPECT_FALSE(resident & 1);
	for (i = 0; i < 200 && !(resident & 1); i++) {
		usleep(DISK_SLOW_MS * 1000 / 100);
		ASSERT_EQ(0, mincore(map, GRANULE, &resident));
	}
	EXPECT_TRUE(resident & 1);
	munmap(map, GRANULE);
	close(fd);
	ASSERT_EQ(0, disk_well(&s->disk));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
}

/*
 * A read waits for the daemon; some of its bytes are filled before the rest, and
 * are lost.  It gets none of what was lost, and does not wait without end.
 */
TEST_F_TIMEOUT(diskfail, lost_while_waiting, 120)
{
	struct disk_scene *s = &self->s;
	struct cf_task t;
	long ret;
	int fd;

	ASSERT_EQ(0, ds_mount(s, 0));
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, allocate(fd, ds_pos(s, 0), PRESENT));
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, ds_pos(s, 0), PRESENT, DISK_BAD_WRITES));

	/* The flush comes 5 s after the fill, and the daemon after that. */
	s->srv.delay_us = 8000000;
	ASSERT_EQ(0, cf_read_start(&s->env, &t, "blob0/f00", 0, 2 * PRESENT));
	ASSERT_TRUE(cf_running(&t, QUIET_MS));
	ASSERT_EQ(0, ds_fill(s, 0, 0, PRESENT));
	EXPECT_EQ(-1, fsync(fd));
	close(fd);
	EXPECT_TRUE(cf_running(&t, 4000));
	ret = cf_wait(&t, 2 * WAIT_MS);
	EXPECT_TRUE(ret == -EIO || ret == 2 * PRESENT);
	if (ret > 0)
		EXPECT_EQ(0, memcmp(t.out->buf, s->img[0].data + ds_pos(s, 0), ret));
	s->srv.delay_us = 0;
	ASSERT_EQ(0, disk_well(&s->disk));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
}

/* A cache file that can't be opened; what has been read before can be still. */
TEST_F_TIMEOUT(diskfail, open, 120)
{
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, ds_fetch(s, 0));
	ASSERT_EQ(0, ds_fetch(s, 1));
	ASSERT_EQ(0, ds_umount(s, 0));
	ASSERT_EQ(0, ds_umount(s, 1));
	ASSERT_EQ(0, ds_unbind(s));
	ASSERT_EQ(0, disk_umount(&s->disk));
	ASSERT_EQ(0, disk_mount(&s->disk));
	ASSERT_EQ(0, ds_bind(s));
	ASSERT_EQ(0, ds_mount(s, 1));
	ASSERT_EQ(0, ds_read(s, 1, 0, DS_FILE));

	ASSERT_EQ(0, disk_bad(&s->disk, DISK_BAD_READS));
	EXPECT_EQ(-EIO, ds_mount(s, 0));
	EXPECT_EQ(0, ds_read(s, 1, 0, DS_FILE));
	ASSERT_EQ(0, disk_well(&s->disk));
	ASSERT_EQ(0, ds_mount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 1));

	/* The mount that failed holds nothing of the disk. */
	ASSERT_EQ(0, ds_umount(s, 0));
	ASSERT_EQ(0, ds_umount(s, 1));
	ASSERT_EQ(0, ds_unbind(s));
	ASSERT_EQ(0, disk_umount(&s->disk));
	ASSERT_EQ(0, disk_mount(&s->disk));
	ASSERT_EQ(0, ds_bind(s));
}

enum death {
	NO_IO,			/* the device fails everything */
	GOING_DOWN,		/* the file system is told to flush and stop */
	GOING_DOWN_LOG,		/* to flush its log and stop */
	GOING_DOWN_NOW,		/* to stop */
};

FIXTURE(dead)
{
	struct disk_scene s;
};

FIXTURE_VARIANT(dead)
{
	enum death death;
};

FIXTURE_VARIANT_ADD(dead, no_io) { NO_IO };
FIXTURE_VARIANT_ADD(dead, going_down) { GOING_DOWN };
FIXTURE_VARIANT_ADD(dead, going_down_log) { GOING_DOWN_LOG };
FIXTURE_VARIANT_ADD(dead, going_down_now) { GOING_DOWN_NOW };

FIXTURE_SETUP(dead)
{
	int ret = ds_init(&self->s, "", "");

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, ds_bind(&self->s));
}

FIXTURE_TEARDOWN(dead)
{
	ds_fini(&self->s);
}

static int die(struct disk *d, enum death death)
{
	__u32 how = death - GOING_DOWN;
	int fd, ret;

	if (death == NO_IO)
		return disk_bad(d, DISK_DEAD);
	fd = open(d->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = ioctl(fd, FS_SHUTDOWN, &how) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * All of the disk dies, under readers.  Nobody waits for it, neither do umount
 * and the daemon's end; with the disk back, what had been safe is there.
 */
TEST_F_TIMEOUT(dead, disk, 180)
{
	struct disk_scene *s = &self->s;
	struct cf_task t[2];
	long ret;

	ASSERT_EQ(0, ds_fetch(s, 1));
	ASSERT_EQ(0, ds_mount(s, 0));
	ASSERT_EQ(0, ds_fill(s, 0, 0, DS_HALF));
	ASSERT_EQ(0, ds_remount(s, 0));
	ASSERT_EQ(0, ds_fill(s, 0, DS_HALF, DS_HALF / 2));
	ASSERT_EQ(0, ds_reader(s, 0, &t[0], 4000));
	ASSERT_EQ(0, ds_reader(s, 1, &t[1], 4000));
	usleep(500000);
	ASSERT_EQ(0, die(&s->disk, variant->death));

	/* Whether there is anything of a new one on the disk does not matter. */
	ret = ds_mount(s, 2);
	EXPECT_NE(-ETIME, ret);
	if (!ret)
		EXPECT_EQ(0, ds_umount(s, 2));
	EXPECT_LE(0, cf_wait(&t[0], WAIT_MS));
	EXPECT_LE(0, cf_wait(&t[1], WAIT_MS));
	EXPECT_EQ(0, ds_umount(s, 0));
	EXPECT_EQ(0, ds_umount(s, 1));
	EXPECT_EQ(0, ds_unbind(s));

	ASSERT_EQ(0, disk_well(&s->disk));
	ASSERT_EQ(0, disk_umount(&s->disk));
	ASSERT_EQ(0, disk_mount(&s->disk));
	ASSERT_EQ(0, ds_bind(s));
	ASSERT_EQ(0, ds_mount(s, 0));
	ASSERT_EQ(0, ds_mount(s, 1));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_FALSE(ds_asked(s, 0, 0, DS_HALF));
	EXPECT_EQ(0, ds_is_complete(s, 1));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
