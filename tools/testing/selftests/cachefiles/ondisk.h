/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Images of mkfs.erofs, in memory, to be changed where it is known what a field
 * means.  Positions are bytes from the start of the image, and 0 is none.
 */
#ifndef CACHEFILES_SELFTEST_ONDISK_H
#define CACHEFILES_SELFTEST_ONDISK_H

#include "common.h"

struct ondisk {
	unsigned char	*data;
	__u64	size;
	__u64	room;		/* there may be more behind the end */
	unsigned int	blkbits;
};

/* The superblock's fields, as positions. */
#define SB_POS			1024
#define SB_CHECKSUM		(SB_POS + 4)
#define SB_COMPAT		(SB_POS + 8)
#define SB_BLKBITS		(SB_POS + 12)
#define SB_ROOT			(SB_POS + 14)
#define SB_BLOCKS		(SB_POS + 36)
#define SB_META			(SB_POS + 40)
#define SB_XATTR		(SB_POS + 44)
#define SB_INCOMPAT		(SB_POS + 80)
#define SB_DEVICES		(SB_POS + 86)
#define SB_SLOTS		(SB_POS + 88)
#define SB_PREFIX_COUNT		(SB_POS + 91)
#define SB_PREFIX_START		(SB_POS + 92)
#define SB_PACKED		(SB_POS + 96)
#define SB_ROOT_8B		(SB_POS + 112)
#define SB_METABOX		(SB_POS + 128)

#define COMPAT_CHECKSUM		0x01
#define INCOMPAT_BIG_PCLUSTER	0x02
#define INCOMPAT_CHUNKED	0x04
#define INCOMPAT_DEVICES	0x08
#define INCOMPAT_TAIL		0x10
#define INCOMPAT_FRAGMENTS	0x20
#define INCOMPAT_PREFIXES	0x40
#define INCOMPAT_48BIT		0x80
#define INCOMPAT_METABOX	0x100

/* Of an inode, from its position; both forms have these at the same place. */
#define INODE_FORMAT		0
#define INODE_XATTRS		2
#define INODE_BLOCK_HI		6	/* the long form only */
#define INODE_SIZE		8	/* 4 bytes in the short form */
#define INODE_BLOCK		16
#define INODE_CHUNK_FORMAT	16
#define INODE_NLINK		44	/* the long form only */

#define CHUNK_BITS		0x1f
#define CHUNK_INDEXES		0x20
#define CHUNK_48BIT		0x40
#define CHUNK_SIZE		8

#define DIRENT_SIZE		12
#define DIRENT_NAME		8

#define SLOT_SIZE		128
#define SLOT_BLOCKS		64
#define SLOT_ADDR		68

enum ondisk_layout {
	LAYOUT_PLAIN,
	LAYOUT_FULL,		/* compressed, an index for each cluster */
	LAYOUT_INLINE,
	LAYOUT_COMPACT,		/* compressed, with packed indexes */
	LAYOUT_CHUNKS,
};

/* Of the header of what is compressed. */
#define HEADER_SIZE		8
#define HEADER_TAIL		2
#define HEADER_ADVISE		4
#define HEADER_ALGORITHM	6
#define HEADER_BITS		7
#define ADVISE_PACKED_2B	1
#define INDEX_SIZE		8
#define INDEX_OFS		2
#define INDEX_BLOCK		4
#define INDEX_NONHEAD		2

__u16 get16(const struct ondisk *img, __u64 pos);
__u32 get32(const struct ondisk *img, __u64 pos);
__u64 get64(const struct ondisk *img, __u64 pos);
void put16(struct ondisk *img, __u64 pos, __u16 v);
void put32(struct ondisk *img, __u64 pos, __u32 v);
void put64(struct ondisk *img, __u64 pos, __u64 v);

int ondisk_load(struct ondisk *img, const char *path, __u64 more);
void ondisk_copy(struct ondisk *to, const struct ondisk *from);
void ondisk_seal(struct ondisk *img);
__u64 ondisk_dirent(const struct ondisk *img, const char *path);
__u64 ondisk_inode(const struct ondisk *img, const char *path);
__u64 ondisk_root(const struct ondisk *img);
__u64 ondisk_nid(const struct ondisk *img, __u64 inode);
__u64 ondisk_body(const struct ondisk *img, __u64 inode);
enum ondisk_layout ondisk_layout(const struct ondisk *img, __u64 inode);
bool ondisk_long(const struct ondisk *img, __u64 inode);

#endif /* CACHEFILES_SELFTEST_ONDISK_H */
