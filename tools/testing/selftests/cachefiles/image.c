// SPDX-License-Identifier: GPL-2.0
/*
 * A writer of small EROFS images: a directory of flat or chunk-based files, of
 * symlinks, and of directories of many names.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "common.h"
#include "image.h"

#define ROOM		(128ULL << 20)
#define SB_POS		1024
#define INODE_POS	2048	/* the root directory's */
#define DEVT_POS	(IMG_META_END / 2)
#define PREFIX_POS	(IMG_META_END - 64)
#define SLOT		32

/* Fields of the on-disk format that are used here, at their offsets. */
#define SB_MAGIC		0
#define SB_COMPAT		8
#define SB_BLKBITS		12
#define SB_ROOT_NID		14
#define SB_INOS			16
#define SB_BLOCKS		36
#define SB_INCOMPAT		80
#define SB_DEVICES		86
#define SB_DEVT_SLOT		88
#define SB_PREFIX_COUNT		91
#define SB_PREFIX_START		92
#define SB_PACKED_NID		96
#define SB_SHARE_PREFIX		105
#define I_FORMAT		0
#define I_XATTR_COUNT		2
#define I_MODE			4
#define I_SIZE			8
#define I_U			16
#define I_INO			20
#define I_NLINK			44
#define I_BYTES			64
#define DEV_TAG			0
#define DEV_BLOCKS		64
#define DEV_BYTES		128

#define MAGIC			0xe0f5e1e2
#define INCOMPAT_CHUNKED	0x4
#define INCOMPAT_DEVICES	0x8
#define INCOMPAT_FRAGMENTS	0x20
#define INCOMPAT_PREFIXES	0x40
#define COMPAT_PLAIN_PREFIXES	0x10
#define COMPAT_SHARE		0x20
#define XATTR_HEAD		12
#define XATTR_USER		1
#define LAYOUT_FLAT		((0 << 1) | 1)
#define LAYOUT_CHUNKS		((4 << 1) | 1)
#define CHUNK_INDEXES		0x20
#define FT_REG			1
#define FT_DIR			2
#define FT_LNK			7
#define DIR_NAMES		100	/* in a block of a large directory */

static void put16(void *p, __u16 v)
{
	v = htole16(v);
	memcpy(p, &v, sizeof(v));
}

static void put32(void *p, __u32 v)
{
	v = htole32(v);
	memcpy(p, &v, sizeof(v));
}

static void put64(void *p, __u64 v)
{
	v = htole64(v);
	memcpy(p, &v, sizeof(v));
}

static void sb_set(struct img *img, int field, __u32 bits)
{
	char *p = img->data + SB_POS + field;
	__u32 v;

	memcpy(&v, p, sizeof(v));
	put32(p, le32toh(v) | bits);
}

static __u64 round_up(__u64 v, __u64 to)
{
	return (v + to - 1) / to * to;
}

/* Bytes that differ from zeros and from each other's neighbourhood. */
void img_pattern(void *buf, __u64 len, __u64 seed)
{
	unsigned char *p = buf;
	__u64 i, x = 0;

	for (i = 0; i < len; i++) {
		if (i % 8 == 0) {
			x = (seed << 40) + i / 8 + 1;
			x *= 0x9e3779b97f4a7c15ULL;
			x ^= x >> 29;
		}
		p[i] = (x >> (i % 8 * 8)) | 1;
	}
}

static char *inode_at(struct img *img, __u64 pos, __u16 layout,
		      __u16 mode, __u64 size, __u32 u)
{
	char *p = img->data + pos;

	put16(p + I_FORMAT, layout);
	put16(p + I_MODE, mode);
	put64(p + I_SIZE, size);
	put32(p + I_U, u);
	put32(p + I_INO, pos / SLOT);
	put32(p + I_NLINK, S_ISDIR(mode) ? 2 : 1);
	return p;
}

static struct img_file *new_file(struct img *img, __u64 size)
{
	struct img_file *f = &img->file[img->nr];

	snprintf(f->name, sizeof(f->name), "f%02d", img->nr);
	f->size = size;
	f->type = FT_REG;
	f->inode = img->meta_pos;
	img->nr++;
	return f;
}

/* The room is address space only, memory is what gets written to. */
int img_begin(struct img *img, unsigned int blkbits)
{
	memset(img, 0, sizeof(*img));
	img->room = ROOM;
	img->data = mmap(NULL, img->room, PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (img->data == MAP_FAILED)
		return -errno;
	img->blkbits = blkbits;
	img->root = INODE_POS;
	img->meta_pos = INODE_POS + I_BYTES;
	img->data_pos = IMG_DATA_POS;
	return 0;
}

/* A file with its data in one piece, at the start of a granule. */
struct img_file *img_add(struct img *img, __u64 size)
{
	struct img_file *f = new_file(img, size);

	f->pos = img->data_pos;
	inode_at(img, f->inode, LAYOUT_FLAT, S_IFREG | 0444, size,
		 f->pos >> img->blkbits);
	img->meta_pos += I_BYTES;
	img_pattern(img->data + f->pos, size, img->nr);
	img->size = f->pos + round_up(size, 1ULL << img->blkbits);
	img->data_pos = round_up(img->size, IMG_GAP) + IMG_GAP;
	return f;
}

/* A symlink whose target does not lie beside its inode. */
struct img_file *img_add_link(struct img *img, __u64 size)
{
	struct img_file *f = img_add(img, size);
	__u64 i;

	put16(img->data + f->inode + I_MODE, S_IFLNK | 0777);
	f->type = FT_LNK;
	for (i = 0; i < size; i++)
		img->data[f->pos + i] = 'a' + i % 26;
	return f;
}

/* A directory of so many blocks of 4 KiB, all names of which are the root's. */
struct img_file *img_add_dir(struct img *img, int blocks)
{
	struct img_file *f = img_add(img, blocks * GRANULE);
	int i, nr, off;
	char *de;

	put16(img->data + f->inode + I_MODE, S_IFDIR | 0755);
	f->type = FT_DIR;
	for (i = 0; i < blocks; i++) {
		de = img->data + f->pos + i * GRANULE;
		off = DIR_NAMES * 12;
		memset(de, 0, GRANULE);
		for (nr = 0; nr < DIR_NAMES; nr++, de += 12) {
			put64(de, img->root / SLOT);
			put16(de + 8, off);
			de[10] = FT_DIR;
			off += sprintf(img->data + f->pos + i * GRANULE + off,
				       "%02d-%03d", i, nr);
		}
	}
	return f;
}

/* An inode that a mount looks at, as an image with fragments has. */
void img_packed(struct img *img, __u64 pos)
{
	inode_at(img, pos, LAYOUT_FLAT, S_IFREG | 0444, 0, 0);
	put64(img->data + SB_POS + SB_PACKED_NID, pos / SLOT);
	sb_set(img, SB_INCOMPAT, INCOMPAT_FRAGMENTS);
}

/*
 * A file whose page cache may be shared with that of files of other images,
 * which have the same fingerprint in the attribute "user.fp".
 */
struct img_file *img_add_shared(struct img *img, __u64 size,
				__u64 fingerprint)
{
	struct img_file *f = img_add(img, size);
	char *p = img->data + PREFIX_POS;

	/* The one long prefix of attribute names is all of the name. */
	put16(p, 3);
	p[2] = XATTR_USER;
	memcpy(p + 3, "fp", 2);
	sb_set(img, SB_INCOMPAT, INCOMPAT_PREFIXES);
	sb_set(img, SB_COMPAT, COMPAT_PLAIN_PREFIXES | COMPAT_SHARE);
	img->data[SB_POS + SB_PREFIX_COUNT] = 1;
	put32(img->data + SB_POS + SB_PREFIX_START, PREFIX_POS / 4);
	img->data[SB_POS + SB_SHARE_PREFIX] = 0;

	/* A head, an entry of 4 bytes, a name of 2, a value of 8, padding. */
	put16(img->data + f->inode + I_XATTR_COUNT, 1 + 16 / 4);
	p = img->data + f->inode + I_BYTES + XATTR_HEAD;
	p[0] = 2;
	p[1] = XATTR_USER;
	put16(p + 2, sizeof(fingerprint));
	memcpy(p + 4, "fp", 2);
	put64(p + 6, fingerprint);
	img->meta_pos += SLOT;
	return f;
}

/* A file of chunks that lie anywhere; their data is the caller's matter. */
struct img_file *img_add_chunks(struct img *img, __u64 size,
				unsigned int chunkbits,
				const struct img_chunk *chunk, int nr)
{
	struct img_file *f = new_file(img, size);
	char *p;
	int i;

	p = inode_at(img, f->inode, LAYOUT_CHUNKS, S_IFREG | 0444, size,
		     CHUNK_INDEXES | (chunkbits - img->blkbits)) + I_BYTES;
	for (i = 0; i < nr; i++, p += 8) {
		put16(p, chunk[i].block == IMG_HOLE ? 0xffff : 0);
		put16(p + 2, chunk[i].device);
		put32(p + 4, chunk[i].block);
	}
	img->meta_pos = round_up(f->inode + I_BYTES + 8 * nr, SLOT);
	sb_set(img, SB_INCOMPAT, INCOMPAT_CHUNKED);
	return f;
}

/* Name the devices that chunks refer to. */
void img_devices(struct img *img, int nr, __u32 blocks)
{
	char *slot = img->data + DEVT_POS;
	int i;

	for (i = 0; i < nr; i++, slot += DEV_BYTES) {
		snprintf(slot + DEV_TAG, 64, "device%d", i);
		put32(slot + DEV_BLOCKS, blocks);
	}
	sb_set(img, SB_INCOMPAT, INCOMPAT_DEVICES);
	put16(img->data + SB_POS + SB_DEVICES, nr);
	put16(img->data + SB_POS + SB_DEVT_SLOT, DEVT_POS / DEV_BYTES);
}

/* Directory and superblock, when all files are known. */
void img_end(struct img *img)
{
	char *sb = img->data + SB_POS, *dir = img->data + IMG_DIR_POS, *de = dir;
	int i, nr = img->nr + 2;
	__u16 off = nr * 12;

	for (i = 0; i < nr; i++, de += 12) {
		const char *name = i == 0 ? "." : i == 1 ? ".." :
				   img->file[i - 2].name;
		__u64 pos = i < 2 ? img->root : img->file[i - 2].inode;

		put64(de, pos / SLOT);
		put16(de + 8, off);
		de[10] = i < 2 ? FT_DIR : img->file[i - 2].type;
		memcpy(dir + off, name, strlen(name));
		off += strlen(name);
	}
	inode_at(img, img->root, LAYOUT_FLAT, S_IFDIR | 0755, off,
		 IMG_DIR_POS >> img->blkbits);

	if (img->size < IMG_DIR_POS + GRANULE)
		img->size = IMG_DIR_POS + GRANULE;
	put32(sb + SB_MAGIC, MAGIC);
	sb[SB_BLKBITS] = img->blkbits;
	put16(sb + SB_ROOT_NID, img->root / SLOT);
	put64(sb + SB_INOS, img->nr + 1);
	put32(sb + SB_BLOCKS, img->size >> img->blkbits);
}

int img_simple(struct img *img, __u64 size)
{
	int ret = img_begin(img, 12);

	if (!ret) {
		img_add(img, size);
		img_end(img);
	}
	return ret;
}
