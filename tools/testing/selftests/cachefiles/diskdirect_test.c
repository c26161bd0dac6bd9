// SPDX-License-Identifier: GPL-2.0
/*
 * A disk with bad sectors below an image that is mounted with "directio": what
 * is read past the page cache fails in an interrupt, and fails no other way.
 */
#include <unistd.h>

#include "kselftest_harness.h"
#include "diskscene.h"
#include "observe.h"

#define BAD	(10 * GRANULE)
#define BAD_END	(18 * GRANULE)

FIXTURE(diskdirect)
{
	struct disk_scene s;
	int log;
};

FIXTURE_SETUP(diskdirect)
{
	struct disk_scene *s = &self->s;
	int ret = ds_init(s, "", "");

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, ds_bind(s));
	ASSERT_EQ(0, ds_fetch(s, 0));
	ASSERT_EQ(0, ds_fetch(s, 1));
	ASSERT_EQ(0, cf_umount(&s->env, "blob0", 0));
	ASSERT_EQ(0, cf_mount(&s->env, "blob0", "fsid=blob0,directio"));
	self->log = ob_log_begin();
	ASSERT_LE(0, self->log);
	ASSERT_EQ(0, ob_events_begin());
}

FIXTURE_TEARDOWN(diskdirect)
{
	ob_events_end();
	close(self->log);
	ds_fini(&self->s);
}

TEST_F_TIMEOUT(diskdirect, bad_sectors, 120)
{
	struct disk_scene *s = &self->s;
	int fd = ds_cachefile(s, 0);

	ASSERT_LE(0, fd);
	ASSERT_EQ(0, disk_bad_range(&s->disk, fd, ds_pos(s, 0) + BAD, BAD_END - BAD,
				    DISK_BAD_READS));
	close(fd);
	ASSERT_EQ(0, cf_drop_caches());

	EXPECT_EQ(0, ds_read(s, 0, 0, BAD));
	EXPECT_EQ(-EIO, ds_read(s, 0, BAD, GRANULE));
	EXPECT_EQ(-EIO, ds_read(s, 0, BAD_END - GRANULE, GRANULE));
	EXPECT_EQ(0, ds_read(s, 0, BAD_END, DS_FILE - BAD_END));
	EXPECT_EQ(0, ds_read(s, 1, 0, DS_FILE));
	EXPECT_LE(2, ob_counter(" disk_errors="));
	EXPECT_EQ(ob_counter(" disk_errors="), ob_events_count("erofs,blob0/blob0 disk error=-5"));
	EXPECT_EQ(1, ob_log_count(self->log,
				  "erofs,blob0/blob0: its cache file can't be read (-5)"));

	ASSERT_EQ(0, disk_well(&s->disk));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
