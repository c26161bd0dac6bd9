/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The cache file of a blob as it lies on the disk, for tests of what the disk
 * does to it.  Nobody else has to know what is in it.
 */
#ifndef CACHEFILES_SELFTEST_CACHEFILE_H
#define CACHEFILES_SELFTEST_CACHEFILE_H

#include "common.h"

int cachefile_path(const char *root, const char *key, char *path, size_t len);
int cachefile_open(const char *root, const char *key, int flags);
int cachefile_wait_closed(int dev, const char *root, const char *key);
int cachefile_cull(int dev, const char *root, const char *key);
int cachefile_cull_path(int dev, char *path);
long long cachefile_size(int fd);
int cachefile_map(int fd, __u64 size, bool *present);
int cachefile_wait_present(const char *root, const char *key, __u64 size,
			   __u64 off, __u64 len);

static inline __u64 granules(__u64 size)
{
	return (size + GRANULE - 1) / GRANULE;
}

#endif /* CACHEFILES_SELFTEST_CACHEFILE_H */
