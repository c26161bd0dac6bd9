/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Loop devices and device-mapper tables.  Functions return 0 or a negative errno;
 * -EOPNOTSUPP where the kernel has no such devices.
 */
#ifndef CACHEFILES_SELFTEST_BLOCKDEV_H
#define CACHEFILES_SELFTEST_BLOCKDEV_H

#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>

#define SECTOR		512

int loop_attach(const char *file, bool read_only, char *dev, size_t len);
int loop_detach(const char *dev);

/* A part of a device-mapper table, in sectors. */
struct dm_part {
	__u64		begin;
	__u64		len;
	char		type[16];
	char		params[128];
};

int dm_create(const char *name, char *dev, size_t len);
int dm_load(const char *name, const struct dm_part *part, int nr);
int dm_resume(const char *name);
int dm_remove(const char *name);

#endif /* CACHEFILES_SELFTEST_BLOCKDEV_H */
