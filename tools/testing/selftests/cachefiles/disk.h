/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A cache directory on a disk of its own, which can be made to fail.
 */
#ifndef CACHEFILES_SELFTEST_DISK_H
#define CACHEFILES_SELFTEST_DISK_H

#include "common.h"

struct disk {
	char	parent[128];	/* what the environment's directory was before */
	char	dir[128];	/* where the disk is mounted: the cache's directory */
	char	dev[64];
	char	name[32];	/* of the device mapper */
	char	loop[32];
	char	options[64];
	bool	xfs;
};

/* What a bad part of the disk does. */
#define DISK_BAD_READS	"1 error_reads"
#define DISK_BAD_WRITES	"1 error_writes"
#define DISK_DEAD	"2 error_reads error_writes"
#define DISK_SLOW_READS	"slow"
#define DISK_SLOW_MS	9000

int disk_make(struct disk *d, struct cf_env *env, const char *ext4,
	      const char *options);
void disk_fini(struct disk *d, struct cf_env *env);
int disk_mount(struct disk *d);
int disk_umount(struct disk *d);
int disk_sync(struct disk *d);
int disk_bad(struct disk *d, const char *how);
int disk_bad_range(struct disk *d, int fd, __u64 off, __u64 len,
		   const char *how);
int disk_well(struct disk *d);

#endif /* CACHEFILES_SELFTEST_DISK_H */
