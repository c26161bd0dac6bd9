// SPDX-License-Identifier: GPL-2.0
/*
 * Loop devices and device-mapper tables, by their ioctls: to run losetup and
 * dmsetup takes a debug kernel under emulation most of the time of a test.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/dm-ioctl.h>
#include <linux/loop.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "blockdev.h"

static int loop_configure(const char *dev, const struct loop_config *config)
{
	int fd = open(dev, O_RDWR | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, LOOP_CONFIGURE, config) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* @dev becomes the name of a loop device with that file behind it. */
int loop_attach(const char *file, bool read_only, char *dev, size_t len)
{
	struct loop_config config = {
		.info.lo_flags = read_only ? LO_FLAGS_READ_ONLY : 0,
	};
	int control, fd, nr, ret;

	control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
	if (control < 0)
		return -EOPNOTSUPP;
	fd = open(file, (read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		goto out;
	}
	config.fd = fd;
	do {
		nr = ioctl(control, LOOP_CTL_GET_FREE);
		if (nr < 0) {
			ret = -errno;
			break;
		}
		snprintf(dev, len, "/dev/loop%d", nr);
		ret = loop_configure(dev, &config);
	/* Somebody else has taken it. */
	} while (ret == -EBUSY);
	close(fd);
out:
	close(control);
	return ret;
}

/* It goes when nobody uses it any more. */
int loop_detach(const char *dev)
{
	int fd = open(dev, O_RDONLY | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, LOOP_CLR_FD) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int dm_do(unsigned long cmd, struct dm_ioctl *io, size_t size,
		 const char *name, __u32 flags)
{
	int fd = open("/dev/mapper/control", O_RDWR | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return -EOPNOTSUPP;
	io->version[0] = DM_VERSION_MAJOR;
	io->data_size = size;
	io->data_start = sizeof(*io);
	io->flags = flags;
	snprintf(io->name, sizeof(io->name), "%s", name);
	ret = ioctl(fd, cmd, io) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/* @dev becomes the name of a device that has no table yet. */
int dm_create(const char *name, char *dev, size_t len)
{
	struct dm_ioctl io = {};
	int ret = dm_do(DM_DEV_CREATE, &io, sizeof(io), name, 0);

	if (!ret)
		snprintf(dev, len, "/dev/dm-%u", minor(io.dev));
	return ret;
}

/* The table that is taken at the next resume. */
int dm_load(const char *name, const struct dm_part *part, int nr)
{
	size_t each = sizeof(struct dm_target_spec) + sizeof(part->params);
	size_t size = sizeof(struct dm_ioctl) + nr * each;
	struct dm_ioctl *io = calloc(1, size);
	char *at = (char *)(io + 1);
	int i, ret;

	if (!io)
		return -ENOMEM;
	io->target_count = nr;
	for (i = 0; i < nr; i++, at += each) {
		struct dm_target_spec *spec = (void *)at;

		spec->sector_start = part[i].begin;
		spec->length = part[i].len;
		spec->next = each;
		strcpy(spec->target_type, part[i].type);
		strcpy((char *)(spec + 1), part[i].params);
	}
	ret = dm_do(DM_TABLE_LOAD, io, size, name, 0);
	free(io);
	return ret;
}

/* Neither the file system on it nor its I/O under way is to know of it. */
int dm_resume(const char *name)
{
	struct dm_ioctl io = {};

	return dm_do(DM_DEV_SUSPEND, &io, sizeof(io), name,
		     DM_SKIP_LOCKFS_FLAG | DM_NOFLUSH_FLAG);
}

/* It goes when nobody uses it any more. */
int dm_remove(const char *name)
{
	struct dm_ioctl io = {};

	return dm_do(DM_DEV_REMOVE, &io, sizeof(io), name, DM_DEFERRED_REMOVE);
}
