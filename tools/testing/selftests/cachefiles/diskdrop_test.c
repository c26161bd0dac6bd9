// SPDX-License-Identifier: GPL-2.0
/*
 * ext4 drops what it finds no blocks for when it writes it back, and no error is
 * left for who asks later: what was filled reads as zeros.  Nobody gets these, and
 * the map does not say that it is there.
 */
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

/* Fill something, and have it dropped: 0 if it is not in the cache file any more. */
static int fill_and_drop(struct disk_scene *s)
{
	off_t pos = ds_pos(s, 0);
	int fd, ret;

	ret = ds_read(s, 0, 0, PRESENT) ?: disk_bad(&s->disk, DISK_BAD_READS);
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

/* The disk works again, and so does the file system, once it is mounted anew. */
static int recover(struct disk_scene *s)
{
	return disk_well(&s->disk) ?: ds_umount(s, 0) ?: ds_unbind(s) ?: disk_umount(&s->disk) ?:
	       disk_mount(&s->disk) ?: ds_bind(s) ?: ds_mount(s, 0);
}

TEST_F_TIMEOUT(diskdrop, read, 120)
{
	struct disk_scene *s = &self->s;
	int ret, i;

	ASSERT_EQ(0, fill_and_drop(s));
	for (i = 0; i < 3; i++) {
		ret = ds_read(s, 0, 0, PRESENT);
		EXPECT_TRUE(ret == 0 || ret == -EIO) {
			TH_LOG("read: %d", ret);
		}
		ASSERT_EQ(0, cf_drop_caches());
	}
	ASSERT_EQ(0, recover(s));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
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
