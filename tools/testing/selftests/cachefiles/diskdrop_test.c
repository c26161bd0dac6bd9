// SPDX-License-Identifier: GPL-2.0
/*
 * ext4 drops what it finds no blocks for when it writes it back, and no error is
 * left for who asks later: what was filled reads as zeros.  Nobody gets these, and
 * the map does not say that it is there.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "diskscene.h"

#define PRESENT		(4 * GRANULE)
#define FLUSHED_MS	12000	/* a fill is flushed after 5 s */

FIXTURE(diskdrop)
{
	struct disk_scene s;
};

/* What is read begins with a block of the cache's file system, or inside of one. */
FIXTURE_VARIANT(diskdrop)
{
	unsigned int blkbits;
	unsigned int shift;
};

FIXTURE_VARIANT_ADD(diskdrop, blocks_4k) { 12, 0 };
FIXTURE_VARIANT_ADD(diskdrop, blocks_512) { 9, 512 };

static int make_image(struct disk_scene *s, unsigned int blkbits, unsigned int shift)
{
	struct img *img = &s->img[0];
	int ret = img_begin(img, blkbits);

	if (ret)
		return ret;
	img->data_pos += shift;
	img_add(img, DS_FILE);
	img_end(img);
	return 0;
}

/* The block bitmaps are on the disk, and are read when they are needed. */
FIXTURE_SETUP(diskdrop)
{
	struct disk_scene *s = &self->s;
	int ret = ds_init(s, "-O ^metadata_csum,^uninit_bg", "no_prefetch_block_bitmaps");

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no ext4 of this kind");
	ASSERT_EQ(0, ret);
	if (s->disk.xfs)
		SKIP(return, "xfs remembers the error");
	ASSERT_EQ(0, make_image(s, variant->blkbits, variant->shift));
	/* All that has to be made before the file can be filled. */
	ASSERT_EQ(0, ds_bind(s));
	ASSERT_EQ(0, ds_mount(s, 0));
	ASSERT_EQ(0, ds_umount(s, 0));
	ASSERT_EQ(0, ds_unbind(s));
	ASSERT_EQ(0, disk_umount(&s->disk));
	ASSERT_EQ(0, disk_mount(&s->disk));
	ASSERT_EQ(0, ds_bind(s));
	ASSERT_EQ(0, ds_mount(s, 0));
}

FIXTURE_TEARDOWN(diskdrop)
{
	ds_fini(&self->s);
}

/* Have what is not written yet dropped: 0 if this is not in the cache file any more. */
static int drop(struct disk_scene *s, __u64 off)
{
	off_t pos = ds_pos(s, 0) + off;
	int fd, ret;

	ret = disk_bad(&s->disk, DISK_BAD_READS);
	if (ret)
		return ret;
	/* It may fail for all it has to write. */
	disk_sync(&s->disk);
	fd = ds_cachefile(s, 0);
	if (fd < 0)
		return fd;
	ret = lseek(fd, pos, SEEK_HOLE) == pos ? 0 : -EEXIST;
	close(fd);
	return ret ?: cf_drop_caches();
}

static int fill_and_drop(struct disk_scene *s)
{
	return ds_read(s, 0, 0, PRESENT) ?: drop(s, 0);
}

/* The disk works again, and so does the file system, once it is mounted anew. */
static int recover(struct disk_scene *s)
{
	return disk_well(&s->disk) ?: ds_umount(s, 0) ?: ds_unbind(s) ?: disk_umount(&s->disk) ?:
	       disk_mount(&s->disk) ?: ds_bind(s) ?: ds_mount(s, 0);
}

/* 0 if there were the right bytes, or none, each time. */
static int read_again_and_again(struct disk_scene *s)
{
	int ret, i;

	for (i = 0; i < 3; i++) {
		ret = ds_read(s, 0, 0, PRESENT);
		if (ret && ret != -EIO)
			return ret;
		ret = cf_drop_caches();
		if (ret)
			return ret;
	}
	return 0;
}

TEST_F_TIMEOUT(diskdrop, read, 120)
{
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, fill_and_drop(s));
	EXPECT_EQ(0, read_again_and_again(s));
	ASSERT_EQ(0, recover(s));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

/* Of what is read only the end is gone, as if that alone had been dropped. */
TEST_F_TIMEOUT(diskdrop, last_block, 120)
{
	__u64 last = PRESENT - (variant->shift ?: GRANULE);
	struct disk_scene *s = &self->s;
	int fd;

	ASSERT_EQ(0, ds_read(s, 0, 0, PRESENT));
	fd = ds_cachefile(s, 0);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
			       ds_pos(s, 0) + last, GRANULE));
	close(fd);
	ASSERT_EQ(0, cf_drop_caches());
	EXPECT_EQ(0, read_again_and_again(s));
	ASSERT_EQ(0, recover(s));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
}

/* It is dropped when the daemon has written half of it. */
TEST_F_TIMEOUT(diskdrop, half_granule, 120)
{
	__u64 off = DS_HALF - variant->shift;
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, ds_fill(s, 0, off, GRANULE / 2));
	ASSERT_EQ(0, drop(s, off));
	ASSERT_EQ(0, disk_well(&s->disk));
	ASSERT_EQ(0, ds_fill(s, 0, off + GRANULE / 2, GRANULE / 2));
	EXPECT_EQ(0, ds_read(s, 0, off, GRANULE));
	ASSERT_EQ(0, recover(s));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
}

/* Nobody reads it before the map is written. */
TEST_F_TIMEOUT(diskdrop, flush, 120)
{
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, fill_and_drop(s));
	usleep(FLUSHED_MS * 1000);
	ASSERT_EQ(0, recover(s));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_TRUE(ds_asked(s, 0, 0, PRESENT));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
