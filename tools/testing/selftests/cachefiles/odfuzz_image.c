// SPDX-License-Identifier: GPL-2.0
/*
 * What the daemons of the fuzzer serve: images of all kinds whose files are
 * known to the byte, one that nobody compares, and spoiled ones.
 */
#include <endian.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "image.h"
#include "mkfs.h"
#include "odfuzz.h"
#include "tree.h"

struct fz_image fz_image[FZ_IMAGES];
struct fz_blob fz_blob[FZ_BLOBS];
int fz_nr_images, fz_nr_blobs;

#define EXTRA_ROOM	0x100000	/* behind a blob, for fills that go too far */
#define DEVICE_SIZE	(96 << 10)
#define CHUNK		8192
#define NR_CHUNKS	(DEVICE_SIZE / CHUNK)
#define FINGERPRINT	0x4455667788990011ULL
#define SHARED_SIZE	(160 << 10)
#define SB_POS		1024
#define SB_END		(SB_POS + 128)
#define SB_COMPAT	8
#define COMPAT_CHECKSUM	1

static void *room_for(__u64 size)
{
	void *p = mmap(NULL, size, PROT_READ | PROT_WRITE,
		       MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p == MAP_FAILED ? NULL : p;
}

const struct fz_blob *fz_find_blob(const char *key)
{
	int i;

	for (i = 0; i < fz_nr_blobs; i++)
		if (!strcmp(fz_blob[i].key, key))
			return &fz_blob[i];
	return NULL;
}

void fz_point(char *path, size_t len, int image, int point)
{
	snprintf(path, len, "%s/%d.%d", fz->tmp, image, point);
}

static struct fz_blob *add_blob(const char *key, char *data, __u64 size, __u64 room)
{
	struct fz_blob *b = &fz_blob[fz_nr_blobs++];

	snprintf(b->key, sizeof(b->key), "%s", key);
	b->data = data;
	b->size = size;
	b->room = room;
	b->meta_end = IMG_META_END;
	return b;
}

static struct fz_image *add_image(const char *key, const char *opts)
{
	struct fz_image *img = &fz_image[fz_nr_images++];

	snprintf(img->key, sizeof(img->key), "%s", key);
	snprintf(img->opts, sizeof(img->opts), "fsid=%s%s", key, opts);
	img->compared = true;
	img->honest = true;
	return img;
}

/* The files of an image, as they lie in it. */
static void add_files(struct fz_image *img, const struct img *from)
{
	int i;

	for (i = 0; i < from->nr; i++) {
		struct fz_file *f = &img->file[img->nr_files++];

		snprintf(f->path, sizeof(f->path), "%s", from->file[i].name);
		f->data = from->data + from->file[i].pos;
		f->size = from->file[i].size;
	}
}

static int add_plain(const char *key, const char *opts, unsigned int blkbits)
{
	struct img img;
	int ret;

	ret = img_begin(&img, blkbits);
	if (ret)
		return ret;
	img_add(&img, 300000);
	img_add(&img, 1);
	img_add(&img, 65536);
	img_add(&img, 4097);
	img_end(&img);
	add_blob(key, img.data, img.size, img.room);
	add_files(add_image(key, opts), &img);
	return 0;
}

/* Chunks by turns on two devices, and some nowhere. */
static int add_chunked(const char *key, char * const *device)
{
	struct img_chunk c[NR_CHUNKS];
	struct fz_image *fimg;
	struct img img;
	char *data;
	int i, ret;

	ret = img_begin(&img, 12);
	data = room_for(DEVICE_SIZE);
	if (ret || !data)
		return ret ?: -ENOMEM;
	for (i = 0; i < NR_CHUNKS; i++) {
		c[i].device = i % 2 + 1;
		c[i].block = i % 5 == 3 ? IMG_HOLE : i * CHUNK / 4096;
		if (i % 5 != 3)
			memcpy(data + i * CHUNK, device[i % 2] + i * CHUNK, CHUNK);
	}
	img_add_chunks(&img, DEVICE_SIZE - 1000, 13, c, NR_CHUNKS);
	img_devices(&img, 2, DEVICE_SIZE / 4096);
	img_end(&img);
	add_blob(key, img.data, img.size, img.room);
	fimg = add_image(key, ",device=blob0,device=blob1,domain_id=da");
	add_files(fimg, &img);
	fimg->file[0].data = data;
	return 0;
}

static int add_devices(char **device)
{
	int i;

	for (i = 0; i < 2; i++) {
		char key[16];

		device[i] = room_for(DEVICE_SIZE + EXTRA_ROOM);
		if (!device[i])
			return -ENOMEM;
		img_pattern(device[i], DEVICE_SIZE, 100 + i);
		snprintf(key, sizeof(key), "blob%d", i);
		add_blob(key, device[i], DEVICE_SIZE, DEVICE_SIZE + EXTRA_ROOM);
	}
	return 0;
}

/* Two images that share the page cache of a file, which is the last of each. */
static int add_shared(int nr)
{
	struct img img;
	char key[16];
	int ret;

	ret = img_begin(&img, 12);
	if (ret)
		return ret;
	if (nr)
		img_add(&img, 10000);
	img_add_shared(&img, SHARED_SIZE, FINGERPRINT);
	img_end(&img);
	img_pattern(img.data + img.file[nr].pos, SHARED_SIZE, 42);
	snprintf(key, sizeof(key), "share%d", nr);
	add_blob(key, img.data, img.size, img.room);
	add_files(add_image(key, ",domain_id=ds,inode_share"), &img);
	return 0;
}

static struct fz_image *tree_image;
static size_t tree_root;

static char *read_file(const char *path, __u64 size, __u64 room)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *data = room_for(room);
	__u64 done;
	ssize_t n;

	if (fd < 0 || !data)
		return NULL;
	for (done = 0; done < size; done += n) {
		n = read(fd, data + done, size - done);
		if (n <= 0)
			return NULL;
	}
	close(fd);
	return data;
}

/* What is small and many in the tree adds nothing here. */
static int add_tree_file(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	struct fz_file *f = &tree_image->file[tree_image->nr_files];

	if (type != FTW_F || tree_image->nr_files == FZ_FILES || strstr(path, "/a.rather") ||
	    strlen(path + tree_root) >= sizeof(f->path))
		return 0;
	f->size = st->st_size;
	f->data = read_file(path, f->size, f->size + 1);
	snprintf(f->path, sizeof(f->path), "%s", path + tree_root);
	tree_image->nr_files++;
	return f->data ? 0 : -1;
}

/* An image as mkfs.erofs makes it; none where it can't. */
static int add_compressed(struct cf_env *env, const char *key, const char *opts, const char *mkfs)
{
	char source[160], path[160], name[32], *data;
	struct stat st;
	__u64 room;

	snprintf(source, sizeof(source), "%s/source", env->tmp);
	snprintf(name, sizeof(name), "%s.erofs", key);
	snprintf(path, sizeof(path), "%s/%s", env->tmp, name);
	if (mkfs_erofs(env->tmp, mkfs, name, "source") || stat(path, &st) < 0) {
		ksft_print_msg("no image %s: %s %s fails\n", key, mkfs_erofs_name(), mkfs);
		return 0;
	}
	room = st.st_size + EXTRA_ROOM;
	data = read_file(path, st.st_size, room);
	unlink(path);
	if (!data)
		return -EIO;
	add_blob(key, data, st.st_size, room)->meta_end = st.st_size;
	tree_image = add_image(key, opts);
	tree_root = strlen(source) + 1;
	return nftw(source, add_tree_file, 16, FTW_PHYS) ? -EIO : 0;
}

/* A copy that is spoiled anew for each round. */
static int add_spoiled(const char *key, const char *of, const char *opts)
{
	const struct fz_blob *from = fz_find_blob(of);
	struct fz_image *img;
	struct fz_blob *b;
	char *data;

	if (!from)
		return 0;
	data = room_for(from->room);
	if (!data)
		return -ENOMEM;
	memcpy(data, from->data, from->size);
	b = add_blob(key, data, from->size, from->room);
	b->loose = true;
	b->origin = from->data;
	b->meta_end = from->meta_end;
	img = add_image(key, opts);
	img->compared = false;
	img->honest = false;
	return 0;
}

int fz_make_images(struct cf_env *env)
{
	char *device[2], path[160];
	int ret, i;

	snprintf(path, sizeof(path), "%s/source", env->tmp);
	ret = tree_make(path) ?:
	      add_devices(device) ?:
	      add_plain("plain0", "", 12) ?:
	      add_plain("plain1", ",domain_id=da", 12) ?:
	      add_plain("direct", ",directio", 12) ?:
	      add_plain("small", "", 9) ?:
	      add_chunked("chunks0", device) ?:
	      add_chunked("chunks1", device) ?:
	      add_shared(0) ?:
	      add_shared(1) ?:
	      add_compressed(env, "lz4", "", "-zlz4") ?:
	      add_compressed(env, "pack", ",domain_id=db",
			     "-zlz4hc -C65536 -Eztailpacking,fragments") ?:
	      add_plain("loose", "", 12);
	if (ret)
		return ret;
	fz_blob[fz_nr_blobs - 1].loose = true;
	fz_image[fz_nr_images - 1].compared = false;
	ret = add_spoiled("bad0", "plain0", "") ?:
	      add_spoiled("bad1", "chunks0", ",device=blob0,device=blob1,domain_id=da") ?:
	      add_spoiled("bad2", "share0", ",domain_id=dx,inode_share") ?:
	      add_spoiled("bad3", "lz4", "");
	for (i = 0; !ret && i < fz_nr_images * FZ_POINTS; i++) {
		fz_point(path, sizeof(path), i / FZ_POINTS, i % FZ_POINTS);
		if (mkdir(path, 0755) < 0)
			ret = -errno;
	}
	return ret;
}

/* One place: a flipped bit, or a number that points far away. */
static void spoil(struct fz_worker *w, struct fz_blob *b)
{
	__u64 at, value;

	switch (fz_below(w, 4)) {
	case 0:
		at = SB_POS + fz_below(w, SB_END - SB_POS);
		break;
	case 1:
		at = IMG_DIR_POS + fz_below(w, 128);
		break;
	default:
		at = SB_END + fz_below(w, b->meta_end - SB_END - 8);
		/* Most of it is empty. */
		if (at < IMG_META_END && fz_chance(w, 80))
			at = 2048 + fz_below(w, 512);
	}
	if (at + 8 > b->size)
		return;
	switch (fz_below(w, 4)) {
	case 0:
		b->data[at] ^= 1 << fz_below(w, 8);
		break;
	case 1:
		b->data[at] = fz_rand(w);
		break;
	case 2:
		value = fz_chance(w, 50) ? fz_rand(w) : b->size / 512 + fz_below(w, 9);
		memcpy(b->data + (at & ~3ULL), &value, 4);
		break;
	case 3:
		value = (1ULL << fz_below(w, 64)) - fz_below(w, 2);
		memcpy(b->data + (at & ~7ULL), &value, 8);
		break;
	}
}

void fz_spoil_images(void)
{
	struct fz_worker *w = fz_worker_find("spoiler", 0);
	__u32 compat;
	int i, n;

	fz_begin(w, "spoil images");
	for (i = 0; i < fz_nr_blobs; i++) {
		struct fz_blob *b = &fz_blob[i];

		if (!b->origin)
			continue;
		memcpy(b->data, b->origin, b->size);
		/* Not refused at once for the sum over the superblock. */
		memcpy(&compat, b->data + SB_POS + SB_COMPAT, sizeof(compat));
		compat &= htole32(~COMPAT_CHECKSUM);
		memcpy(b->data + SB_POS + SB_COMPAT, &compat, sizeof(compat));
		for (n = fz_below(w, 6); n >= 0; n--)
			spoil(w, b);
	}
	fz_end(w, 0);
}
