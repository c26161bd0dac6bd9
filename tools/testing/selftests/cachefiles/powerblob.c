// SPDX-License-Identifier: GPL-2.0
/*
 * The blobs of a power cut: what is in them, and what can be done with one.
 */
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "powercut.h"

#define FILE_SIZE	(6 << 20)
#define SMALL_SIZE	(300 << 10)

/*
 * Of versions that follow each other some have cache files of the same length,
 * and some have the presence map where the other has data.
 */
static const __u64 version_size[VERSIONS] = {
	256 << 10, (256 << 10) - 512, 700 << 10, (256 << 10) - 1024, 24 << 10,
};

static __u64 file_size(int i, int version)
{
	if (i >= LASTING)
		return version_size[version];
	/* Half of them end inside a granule. */
	return (i < SMALL ? SMALL_SIZE : FILE_SIZE) - 512 * i;
}

/*
 * The same content whenever the machine is up: it depends on the name and the
 * version alone.
 */
void make_blob(struct blob *b, int round, int i)
{
	__u64 nr = 0;
	int v, ret;

	snprintf(b->name, sizeof(b->name), "round%d.%d", round, i);
	b->nr_versions = i < LASTING ? 1 : VERSIONS;
	for (v = 0; v < b->nr_versions; v++) {
		struct img *img = &b->img[v];

		ret = img_begin(img, i >= LASTING || i % 2 ? 9 : 12);
		if (ret)
			die("no memory for %s", b->name);
		img_add(img, file_size(i, v));
		img_pattern(img->data + img->file[0].pos, img->file[0].size,
			    (1000 * round + i + 1) * VERSIONS + v);
		img_end(img);
		b->served[v].data = img->data;
		b->served[v].size = img->size;
		if (granules(img->size) > nr)
			nr = granules(img->size);
	}
	b->safe = calloc(nr, sizeof(*b->safe));
	b->present = calloc(nr, sizeof(*b->present));
	b->filled_ms = calloc(nr, sizeof(*b->filled_ms));
	b->quiet = i % 3 == 2;
	start_empty(b, 0);
}

/* Of what there was before nothing is known, nor wanted. */
void start_empty(struct blob *b, int version)
{
	b->version = version;
	b->nr = granules(img_of(b)->size);
	memset(b->safe, 0, b->nr * sizeof(*b->safe));
	memset(b->filled_ms, 0, b->nr * sizeof(*b->filled_ms));
	b->complete = false;
	b->culled = false;
}

/* NULL if what the object was opened as is none of them. */
struct blob *blob_of(const struct od_object *o)
{
	struct blob *b;

	for (b = blobs; b < blobs + BLOBS; b++)
		if (o->blob >= b->served && o->blob < b->served + VERSIONS)
			return b;
	return NULL;
}

/* An object stays the version that it was opened as. */
void open_blob(struct od_server *s, struct od_object *o, const struct cf_msg *m)
{
	struct blob *b;

	pthread_mutex_lock(&s->lock);
	for (b = blobs; b < blobs + BLOBS; b++)
		if (!strcmp(b->name, m->key))
			o->blob = &b->served[b->version];
	pthread_mutex_unlock(&s->lock);
	od_open(s, o, m);
}

int try_mount(struct blob *b)
{
	char path[256], opts[64];

	snprintf(path, sizeof(path), "%s/%s", env.tmp, b->name);
	snprintf(opts, sizeof(opts), "fsid=%s", b->name);
	mkdir(path, 0755);
	if (mount("none", path, "erofs", MS_RDONLY, opts) < 0)
		return -errno;
	b->mounted = true;
	return 0;
}

void mount_blob(struct blob *b)
{
	int ret = try_mount(b);

	if (ret)
		die("mount of %s: %s", b->name, strerror(-ret));
}

/* False if somebody is just reading. */
bool umount_blob(struct blob *b)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", env.tmp, b->name);
	if (umount(path) < 0) {
		if (errno != EBUSY)
			die("umount of %s: %s", b->name, strerror(errno));
		return false;
	}
	b->mounted = false;
	return true;
}

/* Returns false if the blob is not mounted. */
bool read_and_compare(struct blob *b, __u64 off, __u64 len)
{
	struct img_file *f = file_of(b);
	char path[256], buf[PIECE];
	struct stat st;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/f00", env.tmp, b->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (fstat(fd, &st) < 0 || (__u64)st.st_size != f->size)
		die("%s has a file of %lld bytes, which is not version %d", b->name,
		    (long long)st.st_size, b->version);
	if (len > f->size - off)
		len = f->size - off;
	for (; len; off += n, len -= n) {
		n = pread(fd, buf, len < PIECE ? len : PIECE, off);
		if (n <= 0)
			die("reading %s at %llu: %s", b->name,
			    (unsigned long long)off, strerror(errno));
		if (memcmp(buf, img_of(b)->data + f->pos + off, n))
			die("bytes of %s, version %d, at %llu", b->name, b->version,
			    (unsigned long long)off);
	}
	close(fd);
	return true;
}

/* Open the cache file and see what is present in it. */
int look(struct blob *b)
{
	int fd = cachefile_open(env.root, b->name, O_RDONLY);

	if (fd < 0 || cachefile_map(fd, img_of(b)->size, b->present) < 0)
		die("the cache file of %s", b->name);
	return fd;
}

/* Remove a file or a directory of the cache which nobody uses any more. */
void cull_path(char *path)
{
	int ret = cachefile_cull_path(env.dev, path);

	if (ret)
		die("cull of %s: %s", path, strerror(-ret));
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	if (ftw->level && remove(path) < 0)
		die("%s can't be removed: %s", path, strerror(errno));
	return 0;
}

/* Directories that were culled are the daemon's to delete. */
void empty_graveyard(void)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/graveyard", env.root);
	if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) < 0)
		die("the graveyard: %s", strerror(errno));
}
