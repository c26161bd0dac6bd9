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
static int command_on_path(int dev, char *path, const char *command)
{
	char *name = strrchr(path, '/');
	int ret;

	*name = 0;
	ret = chdir(path) < 0 ? -errno : 0;
	*name++ = '/';
	if (ret)
		return ret;
	ret = cf_cmd(dev, "%s %s", command, name);
	/* It is not to keep the file system busy. */
	return chdir("/") < 0 ? -errno : ret;
}

static int within_limit(int dev, char *path, const char *command)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	int ret;

	while ((ret = command_on_path(dev, path, command)) == -EBUSY) {
		if (cf_now_ms() > end)
			return -ETIME;
		usleep(5000);
	}
	return ret;
}

/* After the last umount, until everything is in the file. */
int cachefile_wait_closed(int dev, const char *root, const char *key)
{
	char path[512];
	int ret;

	ret = cachefile_path(root, key, path, sizeof(path));
	return ret ?: within_limit(dev, path, "inuse");
}

/* A file, or a directory with all that is in it, which is let go of by and by. */
int cachefile_cull_path(int dev, char *path)
{
	return within_limit(dev, path, "cull");
}

int cachefile_cull(int dev, const char *root, const char *key)
{
	char path[512];
	int ret;

	ret = cachefile_path(root, key, path, sizeof(path));
	return ret ?: command_on_path(dev, path, "cull");
}

/* The content that the file is recorded with, and the size; or 0 for none. */
static int read_record(int fd, __u64 *size)
{
	unsigned char record[RECORD_BYTES + 1];
	__be64 recorded;
	ssize_t n;

	*size = 0;
	n = fgetxattr(fd, RECORD_NAME, record, sizeof(record));
	if (n < 0)
		return errno == ENODATA ? 0 : -errno;
	if (n != RECORD_BYTES)
		return 0;
	memcpy(&recorded, record + RECORD_SIZE, sizeof(recorded));
	*size = be64toh(recorded);
	if (record[RECORD_CONTENT] == CONTENT_ALL || record[RECORD_CONTENT] == CONTENT_MAP)
		return record[RECORD_CONTENT];
	return 0;
}

/* The size that what is in the file is for, or -ENODATA if it would start empty. */
long long cachefile_size(int fd)
{
	__u64 size;
	int content = read_record(fd, &size);

	return content > 0 ? (long long)size : content ?: -ENODATA;
}

/*
 * What would be present if the file were opened now, one bool per granule.
 * Returns how many granules are.
 */
int cachefile_map(int fd, __u64 size, bool *present)
{
	__u64 i, recorded, nr = granules(size), bytes = (nr + 7) / 8;
	int content = read_record(fd, &recorded), count = 0;
	unsigned char *map;
	struct stat st;

	memset(present, 0, nr * sizeof(*present));
	if (content <= 0)
		return content;
	if (recorded != size)
		return 0;
	if (content == CONTENT_ALL) {
		memset(present, 1, nr * sizeof(*present));
		return nr;
	}

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
