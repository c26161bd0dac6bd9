/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Small EROFS images whose layout the test knows to the byte, so that it can
 * have a given block missing.  Content is spread out: whatever a READ for one
 * file may cover in addition, it does not reach the next one.
 */
#ifndef CACHEFILES_SELFTEST_IMAGE_H
#define CACHEFILES_SELFTEST_IMAGE_H

#include <linux/types.h>
#include <sys/types.h>

#define IMG_MAX_FILES	12
#define IMG_META_END	8192		/* superblock and inodes end here */
#define IMG_DIR_POS	0x100000	/* the root directory's block */
#define IMG_DATA_POS	0x200000	/* the first file */
#define IMG_AROUND	0x20000		/* a miss asks for less than this around */
#define IMG_GAP		0x100000	/* between two files */

struct img_file {
	char		name[8];
	__u64	pos;		/* in the image or in its device */
	__u64	size;
	__u64	inode;
	unsigned char	type;		/* in directories */
};

struct img {
	char		*data;
	__u64	size;
	__u64	room;
	unsigned int	blkbits;
	__u64	root;		/* where the root directory's inode is */
	__u64	meta_pos;	/* of the next inode */
	__u64	data_pos;	/* of the next file */
	int		nr;
	struct img_file	file[IMG_MAX_FILES];
};

/* One chunk of a file: a block number on a device, 0 is the image itself. */
struct img_chunk {
	__u16	device;
	__u32	block;
};

#define IMG_HOLE	0xffffffffU

int img_begin(struct img *img, unsigned int blkbits);
struct img_file *img_add(struct img *img, __u64 size);
struct img_file *img_add_chunks(struct img *img, __u64 size,
				unsigned int chunkbits,
				const struct img_chunk *chunk, int nr);
struct img_file *img_add_link(struct img *img, __u64 size);
struct img_file *img_add_dir(struct img *img, int blocks);
struct img_file *img_add_shared(struct img *img, __u64 size,
				__u64 fingerprint);
void img_devices(struct img *img, int nr, __u32 blocks);
void img_packed(struct img *img, __u64 pos);
void img_end(struct img *img);
void img_pattern(void *buf, __u64 len, __u64 seed);

/* One file in a 4 KiB-block image, for tests that need no more. */
int img_simple(struct img *img, __u64 size);

#endif /* CACHEFILES_SELFTEST_IMAGE_H */
