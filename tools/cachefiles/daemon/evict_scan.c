// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Finding the blobs of a cache that have not been used for longest.
 *
 * When a blob was used last is the later of its access and modification times:
 * with "relatime" the first is a day's matter, with "noatime" it stands still.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "evict_scan.h"

/* What names begin with: of volumes, of fan-out directories, of blobs. */
static const char kinds[] = "I@D";

#define BLOB_DEPTH 2

struct scan {
	const struct evict_blob *after;
	struct evict_list *list;
	atomic_bool *stop;
	bool more;
	char path[EVICT_PATH_MAX];
};

static int64_t nanoseconds(struct timespec ts)
{
	return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static int compare(const void *one, const void *other)
{
	const struct evict_blob *a = one, *b = other;

	if (a->used != b->used)
		return a->used < b->used ? -1 : 1;
	return strcmp(a->path, b->path);
}

/* Keep the oldest ones, in order. */
static void cut(struct scan *scan)
{
	struct evict_list *list = scan->list;

	qsort(list->blobs, list->nr, sizeof(*list->blobs), compare);
	while (list->nr > EVICT_BATCH) {
		free(list->blobs[--list->nr].path);
		scan->more = true;
	}
}

static void add(struct scan *scan, const struct stat *st)
{
	int64_t atime = nanoseconds(st->st_atim);
	int64_t mtime = nanoseconds(st->st_mtim);
	struct evict_list *list = scan->list;
	struct evict_blob blob = {
		.used = atime > mtime ? atime : mtime,
		.bytes = st->st_blocks * 512ull,
		.path = scan->path,
	};

	if (scan->after && compare(&blob, scan->after) <= 0)
		return;
	blob.path = strdup(scan->path);
	/* A blob that there is no memory for is left for the next time. */
	if (!blob.path)
		return;
	list->blobs[list->nr++] = blob;
	if (list->nr == 2 * EVICT_BATCH)
		cut(scan);
}

static void scan_dir(struct scan *scan, int parent, const char *name,
		     unsigned int depth)
{
	size_t len = strlen(scan->path);
	struct dirent *entry;
	struct stat st;
	DIR *dir;
	int fd;

	fd = openat(parent, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		if (fd >= 0)
			close(fd);
		return;
	}
	while (!atomic_load(scan->stop) && (entry = readdir(dir))) {
		if (entry->d_name[0] != kinds[depth])
			continue;
		snprintf(scan->path + len, sizeof(scan->path) - len, "%s%s",
			 depth ? "/" : "", entry->d_name);
		if (depth < BLOB_DEPTH)
			scan_dir(scan, fd, entry->d_name, depth + 1);
		else if (!fstatat(fd, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) &&
			 S_ISREG(st.st_mode))
			add(scan, &st);
		scan->path[len] = '\0';
	}
	closedir(dir);
}

bool evict_scan(int cache, const struct evict_blob *after,
		struct evict_list *list, atomic_bool *stop)
{
	struct scan scan = { .list = list, .stop = stop };
	struct evict_blob copy;
	char path[EVICT_PATH_MAX];

	if (after) {
		copy = *after;
		snprintf(path, sizeof(path), "%s", after->path);
		copy.path = path;
		scan.after = &copy;
	}
	evict_list_clear(list);
	scan_dir(&scan, cache, ".", 0);
	cut(&scan);
	return scan.more;
}

void evict_list_clear(struct evict_list *list)
{
	while (list->nr)
		free(list->blobs[--list->nr].path);
}
