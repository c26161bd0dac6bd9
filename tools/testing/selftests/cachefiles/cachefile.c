// SPDX-License-Identifier: GPL-2.0
/*
 * Finding a cache file, waiting until the kernel has let go of it, and reading
 * the presence map in it.
 */
#include <endian.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "cachefile.h"

#define MAP_CHUNK	4096	/* the map is whole chunks of so many bytes */

/* What the kernel records in the file's extended attribute. */
#define RECORD_NAME	"user.CacheFiles.cache"
#define RECORD_BYTES	22
#define RECORD_SIZE	0	/* of the object, big endian */
#define RECORD_CONTENT	17
#define CONTENT_ALL	2
#define CONTENT_MAP	3

/* There is one of the name at most: volumes of tests do not share blobs. */
int cachefile_path(const char *root, const char *key, char *path, size_t len)
{
	char pattern[512];
	glob_t found;
	int ret;

	snprintf(pattern, sizeof(pattern), "%s/cache/I*/@*/D%s", root, key);
	ret = glob(pattern, GLOB_NOSORT, NULL, &found);
	if (!ret)
		snprintf(path, len, "%s", found.gl_pathv[0]);
	globfree(&found);
	return ret ? -ENOENT : 0;
}

int cachefile_open(const char *root, const char *key, int flags)
{
	char path[512];
	int fd, ret;

	ret = cachefile_path(root, key, path, sizeof(path));
	if (ret)
		return ret;
	fd = open(path, flags | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* A command that takes the name of a file in the current directory. */
static int command_on(int dev, const char *root, const char *key,
		      const char *command)
{
	char path[512], *name;
	int ret;

	ret = cachefile_path(root, key, path, sizeof(path));
	if (ret)
		return ret;
	name = strrchr(path, '/');
	*name++ = 0;
	if (chdir(path) < 0)
		return -errno;
	ret = cf_cmd(dev, "%s %s", command, name);
	/* It is not to keep the file system busy. */
	return chdir("/") < 0 ? -errno : ret;
}

/* After the last umount, until everything is in the file. */
int cachefile_wait_closed(int dev, const char *root, const char *key)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	int ret;

	while ((ret = command_on(dev, root, key, "inuse")) == -EBUSY) {
		if (cf_now_ms() > end)
			return -ETIME;
		usleep(5000);
	}
	return ret;
}

int cachefile_cull(int dev, const char *root, const char *key)
{
	return command_on(dev, root, key, "cull");
}

/*
 * What would be present if the file were opened now, one bool per granule.
 * Returns how many granules are.
 */
int cachefile_map(int fd, __u64 size, bool *present)
{
	__u64 i, nr = granules(size), bytes = (nr + 7) / 8;
	unsigned char record[RECORD_BYTES + 1], *map;
	__be64 recorded;
	int count = 0;
	struct stat st;
	ssize_t n;

	memset(present, 0, nr * sizeof(*present));
	n = fgetxattr(fd, RECORD_NAME, record, sizeof(record));
	if (n < 0)
		return errno == ENODATA ? 0 : -errno;
	memcpy(&recorded, record + RECORD_SIZE, sizeof(recorded));
	if (n != RECORD_BYTES || be64toh(recorded) != size)
		return 0;
	if (record[RECORD_CONTENT] == CONTENT_ALL) {
		memset(present, 1, nr * sizeof(*present));
		return nr;
	}
	if (record[RECORD_CONTENT] != CONTENT_MAP)
		return 0;

	bytes = (bytes + MAP_CHUNK - 1) / MAP_CHUNK * MAP_CHUNK;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (st.st_size < (off_t)(nr * GRANULE + bytes))
		return 0;
	/*
	 * Mapped, for it may be in use: a read() may have page faults below the
	 * file's lock, which lockdep takes for a deadlock.
	 */
	map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, nr * GRANULE);
	if (map == MAP_FAILED)
		return -errno;
	for (i = 0; i < nr; i++) {
		present[i] = map[i / 8] >> i % 8 & 1;
		count += present[i];
	}
	munmap(map, bytes);
	return count;
}

static bool has(int fd, __u64 size, __u64 off, __u64 len)
{
	bool *present = malloc(granules(size) * sizeof(*present));
	bool all = cachefile_map(fd, size, present) >= 0;
	__u64 i;

	for (i = off / GRANULE; all && i < granules(off + len); i++)
		all = present[i];
	free(present);
	return all;
}

/* Until the kernel has written back that a range is present. */
int cachefile_wait_present(const char *root, const char *key, __u64 size,
			   __u64 off, __u64 len)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	int fd = cachefile_open(root, key, O_RDONLY);

	if (fd < 0)
		return fd;
	while (!has(fd, size, off, len)) {
		if (cf_now_ms() > end) {
			close(fd);
			return -ETIME;
		}
		usleep(50000);
	}
	close(fd);
	return 0;
}
