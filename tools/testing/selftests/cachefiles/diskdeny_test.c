// SPDX-License-Identifier: GPL-2.0
/*
 * A cache's file system that refuses: quotas, read-only, and errors that the
 * kernel injects.  The one request fails with the reason; other
 * mounts go on; and what has failed works when it is no longer refused.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <linux/capability.h>
#include <sys/mount.h>
#include <sys/quota.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "diskscene.h"

#define INJECTION	"/proc/sys/cachefiles/error_injection"
#define INJECT_ENOSPC	"1"	/* into what writes to the cache */
#define INJECT_EIO	"2"	/* into everything */
#define GROUP		4321

FIXTURE(diskdeny)
{
	struct disk_scene s;
	bool inject;
};

FIXTURE_SETUP(diskdeny)
{
	int ret = ds_init(&self->s, "", "");

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no loop devices, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
}

static int inject(const char *what)
{
	int fd = open(INJECTION, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, what, strlen(what)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

FIXTURE_TEARDOWN(diskdeny)
{
	inject("0");
	ds_fini(&self->s);
}

/* One blob is mounted and complete, and nothing of it is in the page cache. */
static int begin(struct disk_scene *s)
{
	return ds_bind(s) ?: ds_fetch(s, 1);
}

/* It must be read from the disk, and not be asked for. */
static int other_goes_on(struct disk_scene *s)
{
	return cf_drop_caches() ?: ds_is_complete(s, 1);
}

/* The limits, in bytes and files, of the group that the cache belongs to. */
static int set_quota(struct disk *d, __u64 bytes, __u64 files)
{
	struct dqblk q = {
		.dqb_bhardlimit = bytes >> 10,
		.dqb_ihardlimit = files,
		.dqb_valid = QIF_LIMITS,
	};

	if (quotactl(QCMD(Q_SETQUOTA, GRPQUOTA), d->dev, GROUP, (void *)&q) < 0)
		return -errno;
	return 0;
}

static int get_quota(struct disk *d, __u64 *bytes, __u64 *files)
{
	struct dqblk q;

	if (quotactl(QCMD(Q_GETQUOTA, GRPQUOTA), d->dev, GROUP, (void *)&q) < 0)
		return -errno;
	*bytes = q.dqb_curspace;
	*files = q.dqb_curinodes;
	return 0;
}

/* Who has this capability is above quotas; the cache acts as who has bound it. */
static int drop_capability(int cap)
{
	struct __user_cap_header_struct head = { _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (syscall(SYS_capget, &head, data) < 0)
		return -errno;
	data[cap / 32].effective &= ~(1U << cap % 32);
	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

FIXTURE(quota)
{
	struct disk_scene s;
};

FIXTURE_SETUP(quota)
{
	struct disk_scene *s = &self->s;
	int ret = ds_init(s, "-O quota -E quotatype=grpquota", "grpquota");

	if (ret == -EOPNOTSUPP)
		SKIP(return, "no quotas, no device mapper, or no tools for them");
	ASSERT_EQ(0, ret);
	ASSERT_EQ(0, chown(s->disk.dir, 0, GROUP));
	ASSERT_EQ(0, chmod(s->disk.dir, 02755));
	ASSERT_EQ(0, drop_capability(CAP_SYS_RESOURCE));
}

FIXTURE_TEARDOWN(quota)
{
	ds_fini(&self->s);
}

TEST_F_TIMEOUT(quota, bytes, 120)
{
	struct disk_scene *s = &self->s;
	__u64 bytes = 0, files, off;
	int ret = 0;

	ASSERT_EQ(0, begin(s));
	ASSERT_EQ(0, ds_mount(s, 0));
	ASSERT_EQ(0, disk_sync(&s->disk));
	ASSERT_EQ(0, get_quota(&s->disk, &bytes, &files));
	ASSERT_LT(DS_FILE, bytes);
	ASSERT_EQ(0, set_quota(&s->disk, bytes + DS_HALF, 0));

	for (off = 0; !ret && off < DS_FILE; off += ret ? 0 : 4 * GRANULE)
		ret = ds_fill(s, 0, off, 4 * GRANULE);
	EXPECT_EQ(-EDQUOT, ret);
	EXPECT_LE(DS_FILE / 8, off);
	EXPECT_EQ(0, ds_read(s, 0, 0, off));
	EXPECT_EQ(-EIO, ds_read(s, 0, DS_FILE - GRANULE, GRANULE));
	EXPECT_EQ(-EDQUOT, s->fill_error);
	EXPECT_EQ(0, other_goes_on(s));

	ASSERT_EQ(0, set_quota(&s->disk, bytes + 64 * DS_FILE, 0));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

TEST_F_TIMEOUT(quota, files, 120)
{
	struct disk_scene *s = &self->s;
	__u64 bytes, files = 0;

	ASSERT_EQ(0, begin(s));
	ASSERT_EQ(0, get_quota(&s->disk, &bytes, &files));
	ASSERT_EQ(0, set_quota(&s->disk, 0, files));
	EXPECT_EQ(-EDQUOT, ds_mount(s, 0));
	EXPECT_EQ(-EDQUOT, s->open_error);
	EXPECT_EQ(0, other_goes_on(s));

	ASSERT_EQ(0, set_quota(&s->disk, 0, 0));
	ASSERT_EQ(0, ds_mount(s, 0));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

static int remount_disk(struct disk *d, unsigned long flags)
{
	return mount(NULL, d->dir, NULL, MS_REMOUNT | flags, NULL) < 0 ? -errno : 0;
}

/* An open cache file keeps its disk writable; without one, nothing can be opened. */
TEST_F_TIMEOUT(diskdeny, read_only, 120)
{
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, begin(s));
	EXPECT_EQ(-EBUSY, remount_disk(&s->disk, MS_RDONLY));
	EXPECT_EQ(0, other_goes_on(s));
	ASSERT_EQ(0, ds_umount(s, 1));
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "blob1"));
	ASSERT_EQ(0, remount_disk(&s->disk, MS_RDONLY));

	EXPECT_EQ(-EROFS, ds_mount(s, 0));
	EXPECT_EQ(-EROFS, s->open_error);
	EXPECT_EQ(-EROFS, ds_mount(s, 1));

	ASSERT_EQ(0, remount_disk(&s->disk, 0));
	ASSERT_EQ(0, ds_mount(s, 1));
	EXPECT_EQ(0, other_goes_on(s));
	ASSERT_EQ(0, ds_mount(s, 0));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

/* Nothing can be made or recorded for a new blob. */
TEST_F_TIMEOUT(diskdeny, no_record, 120)
{
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, begin(s));
	if (inject(INJECT_ENOSPC))
		SKIP(return, "no CONFIG_CACHEFILES_ERROR_INJECTION");
	EXPECT_EQ(-ENOSPC, ds_mount(s, 0));
	EXPECT_EQ(-ENOSPC, s->open_error);
	EXPECT_EQ(0, other_goes_on(s));
	ASSERT_EQ(0, inject("0"));
	ASSERT_EQ(0, ds_mount(s, 0));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

/* The record of what is there can't be read: nothing of that is thrown away. */
TEST_F_TIMEOUT(diskdeny, unreadable_record, 120)
{
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, begin(s));
	ASSERT_EQ(0, ds_fetch(s, 0));
	ASSERT_EQ(0, ds_umount(s, 0));
	ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "blob0"));
	if (inject(INJECT_EIO))
		SKIP(return, "no CONFIG_CACHEFILES_ERROR_INJECTION");
	memset(s->asked, 0, sizeof(s->asked));
	EXPECT_EQ(-EIO, ds_mount(s, 0));
	EXPECT_EQ(-EIO, s->open_error);
	ASSERT_EQ(0, inject("0"));
	ASSERT_EQ(0, ds_mount(s, 0));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_FALSE(ds_asked(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, other_goes_on(s));
}

/* Writing to the cache file fails, then reading it too. */
TEST_F_TIMEOUT(diskdeny, fill, 120)
{
	struct disk_scene *s = &self->s;

	ASSERT_EQ(0, begin(s));
	ASSERT_EQ(0, ds_mount(s, 0));
	if (inject(INJECT_ENOSPC))
		SKIP(return, "no CONFIG_CACHEFILES_ERROR_INJECTION");
	EXPECT_EQ(-ENOSPC, ds_fill(s, 0, 0, GRANULE));
	EXPECT_EQ(-EIO, ds_read(s, 0, 0, GRANULE));
	EXPECT_EQ(-ENOSPC, s->fill_error);
	EXPECT_EQ(0, other_goes_on(s));
	ASSERT_EQ(0, inject(INJECT_EIO));
	EXPECT_EQ(-EIO, ds_fill(s, 0, 0, GRANULE));
	EXPECT_EQ(-EIO, ds_read(s, 0, 0, GRANULE));
	ASSERT_EQ(0, cf_drop_caches());
	EXPECT_EQ(-EIO, ds_read(s, 1, 0, GRANULE));

	ASSERT_EQ(0, inject("0"));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, other_goes_on(s));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

/* What has been filled can't be flushed: it is missing again, and comes again. */
TEST_F_TIMEOUT(diskdeny, flush, 120)
{
	struct disk_scene *s = &self->s;
	off_t pos = ds_pos(s, 0);
	__u64 end;

	ASSERT_EQ(0, begin(s));
	ASSERT_EQ(0, ds_mount(s, 0));
	ASSERT_EQ(0, ds_fill(s, 0, 0, DS_HALF));
	if (inject(INJECT_ENOSPC))
		SKIP(return, "no CONFIG_CACHEFILES_ERROR_INJECTION");
	EXPECT_EQ(pos, lseek(ds_fd(s, 0), pos, SEEK_DATA));
	end = cf_now_ms() + WAIT_MS;
	while (lseek(ds_fd(s, 0), pos, SEEK_HOLE) != pos && cf_now_ms() < end)
		usleep(10000);
	EXPECT_EQ(pos, lseek(ds_fd(s, 0), pos, SEEK_HOLE));
	EXPECT_EQ(0, other_goes_on(s));
	EXPECT_EQ(-EIO, ds_read(s, 0, 0, GRANULE));

	ASSERT_EQ(0, inject("0"));
	EXPECT_EQ(0, ds_read(s, 0, 0, DS_FILE));
	EXPECT_EQ(0, ds_remount(s, 0));
	EXPECT_EQ(0, ds_is_complete(s, 0));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
