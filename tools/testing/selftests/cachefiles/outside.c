// SPDX-License-Identifier: GPL-2.0
/*
 * The table of what can be wrong with an image.
 *
 * A row is a field, and each of its values makes an image of its own.  Block
 * addresses have the same values everywhere: about the blob's end, where 31, 32
 * and 48 bits end, and such that bytes are beyond what a file can have.
 */
#include <stdlib.h>
#include <string.h>

#include "outside.h"

/* Change a field; false if the image does not have it or it has no such value. */
typedef bool (*set_fn)(struct outside *bad, const char *path, __u64 v);

static bool is_32bit(__u64 v)
{
	return v <= 0xffffffff;
}

static bool set_meta(struct outside *bad, const char *path, __u64 v)
{
	put32(&bad->image, SB_META, v);
	return is_32bit(v);
}

static bool set_xattr(struct outside *bad, const char *path, __u64 v)
{
	put32(&bad->image, SB_XATTR, v);
	return is_32bit(v);
}

/* The number of an inode at the beginning of that block. */
static __u64 nid_in(const struct ondisk *img, __u64 block)
{
	return ondisk_nid(img, block << img->blkbits);
}

static bool set_root(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;

	v = nid_in(img, v);
	if (get32(img, SB_INCOMPAT) & INCOMPAT_48BIT) {
		put64(img, SB_ROOT_8B, v);
		return true;
	}
	put16(img, SB_ROOT, v);
	return v <= 0xffff;
}

static bool set_prefixes(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;

	put32(img, SB_INCOMPAT, get32(img, SB_INCOMPAT) | INCOMPAT_PREFIXES);
	/* Not in an inode of their own. */
	put32(img, SB_COMPAT, get32(img, SB_COMPAT) | 0x10);
	img->data[SB_PREFIX_COUNT] = 3;
	v = (v << img->blkbits) / 4;
	put32(img, SB_PREFIX_START, v);
	return is_32bit(v);
}

static bool set_slots(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;

	v = (v << img->blkbits) / SLOT_SIZE;
	put16(img, SB_SLOTS, v);
	return v <= 0xffff;
}

static bool set_devices(struct outside *bad, const char *path, __u64 v)
{
	put16(&bad->image, SB_DEVICES, v);
	return true;
}

static bool set_packed(struct outside *bad, const char *path, __u64 v)
{
	put64(&bad->image, SB_PACKED, nid_in(&bad->image, v));
	return get32(&bad->image, SB_INCOMPAT) & INCOMPAT_FRAGMENTS;
}

/* Another file in the place of the one that has the fragments. */
static bool set_packed_to(struct outside *bad, const char *path, __u64 v)
{
	__u64 inode = ondisk_inode(&bad->image, path);

	put64(&bad->image, SB_PACKED, ondisk_nid(&bad->image, inode));
	return inode && get32(&bad->image, SB_INCOMPAT) & INCOMPAT_FRAGMENTS;
}

static bool set_blkbits(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;

	if (img->blkbits == v)
		return false;
	img->blkbits = v;
	img->data[SB_BLKBITS] = v;
	return true;
}

/* What is in blocks of its own, or claims to be. */
static bool set_block(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 inode = ondisk_inode(img, path);

	put32(img, inode + INODE_BLOCK, v);
	if (ondisk_long(img, inode))
		put16(img, inode + INODE_BLOCK_HI, v >> 32);
	else if (!is_32bit(v))
		return false;
	return inode;
}

/* The same without anything of it in line, so that it is all in blocks. */
static bool set_plain_block(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 inode = ondisk_inode(img, path);

	if (!inode || ondisk_layout(img, inode) != LAYOUT_INLINE)
		return false;
	put16(img, inode + INODE_FORMAT,
	      get16(img, inode + INODE_FORMAT) & ~(7 << 1));
	return set_block(bad, path, v);
}

static bool set_size(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 inode = ondisk_inode(img, path);

	if (ondisk_long(img, inode))
		put64(img, inode + INODE_SIZE, v);
	else if (is_32bit(v))
		put32(img, inode + INODE_SIZE, v);
	else
		return false;
	return inode;
}

static bool set_xattrs(struct outside *bad, const char *path, __u64 v)
{
	__u64 inode = ondisk_inode(&bad->image, path);

	put16(&bad->image, inode + INODE_XATTRS, v);
	return inode;
}

/* The first attribute that is shared, or how many are. */
static bool set_shared(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 inode = ondisk_inode(img, path);
	__u64 pos = inode + (ondisk_long(img, inode) ? 64 : 32);

	if (!inode || !get16(img, inode + INODE_XATTRS))
		return false;
	if (!img->data[pos + 4])
		return false;
	put32(img, pos + 12, v);
	return true;
}

static bool set_nid(struct outside *bad, const char *path, __u64 v)
{
	__u64 dirent = ondisk_dirent(&bad->image, path);

	put64(&bad->image, dirent, v);
	return dirent;
}

static bool set_nid_block(struct outside *bad, const char *path, __u64 v)
{
	return set_nid(bad, path, nid_in(&bad->image, v));
}

/* A directory that has one above it for its entry. */
static bool set_nid_root(struct outside *bad, const char *path, __u64 v)
{
	return set_nid(bad, path,
		       ondisk_nid(&bad->image, ondisk_root(&bad->image)));
}

static bool set_name(struct outside *bad, const char *path, __u64 v)
{
	__u64 dirent = ondisk_dirent(&bad->image, path);

	put16(&bad->image, dirent + DIRENT_NAME, v);
	return dirent;
}

static __u64 chunks_of(const struct ondisk *img, const char *path)
{
	__u64 inode = ondisk_inode(img, path);

	if (!inode || ondisk_layout(img, inode) != LAYOUT_CHUNKS)
		return 0;
	return (ondisk_body(img, inode) + 7) & ~7ULL;
}

static bool has_indexes(const struct ondisk *img, __u64 inode)
{
	return get16(img, inode + INODE_CHUNK_FORMAT) & CHUNK_INDEXES;
}

/* The second chunk: what it is merged with is right. */
static bool set_chunk(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 inode = ondisk_inode(img, path), pos = chunks_of(img, path);

	if (!pos)
		return false;
	if (!has_indexes(img, inode)) {
		pos = (ondisk_body(img, inode) + 3) & ~3ULL;
		put32(img, pos + 4, v);
		return is_32bit(v);
	}
	put32(img, pos + CHUNK_SIZE + 4, v);
	put16(img, pos + CHUNK_SIZE, v >> 32);
	if (!is_32bit(v))
		put16(img, inode + INODE_CHUNK_FORMAT,
		      get16(img, inode + INODE_CHUNK_FORMAT) | CHUNK_48BIT);
	return true;
}

static bool set_chunk_device(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 inode = ondisk_inode(img, path), pos = chunks_of(img, path);

	if (!pos || !has_indexes(img, inode))
		return false;
	put16(img, pos + CHUNK_SIZE + 2, v);
	return true;
}

static bool set_chunk_bits(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 pos = ondisk_inode(img, path) + INODE_CHUNK_FORMAT;

	put16(img, pos, (get16(img, pos) & ~CHUNK_BITS) | v);
	return chunks_of(img, path);
}

static __u64 slot(const struct ondisk *img)
{
	return (__u64)get16(img, SB_SLOTS) * SLOT_SIZE;
}

static bool set_device_addr(struct outside *bad, const char *path, __u64 v)
{
	put32(&bad->image, slot(&bad->image) + SLOT_ADDR, v);
	put32(&bad->image, slot(&bad->image) + SLOT_BLOCKS, 0xffffffff);
	return true;
}

static bool set_device_blocks(struct outside *bad, const char *path, __u64 v)
{
	put32(&bad->image, slot(&bad->image) + SLOT_BLOCKS, v);
	return true;
}

/* All addresses of a file that is compressed. */
static __u64 header_of(const struct ondisk *img, const char *path)
{
	__u64 inode = ondisk_inode(img, path);
	enum ondisk_layout layout = ondisk_layout(img, inode);

	if (!inode || (layout != LAYOUT_FULL && layout != LAYOUT_COMPACT))
		return 0;
	return (ondisk_body(img, inode) + 7) & ~7ULL;
}

static unsigned int clusters(const struct ondisk *img, const char *path)
{
	__u64 inode = ondisk_inode(img, path);

	return ((get32(img, inode + INODE_SIZE) - 1) >> img->blkbits) + 1;
}

static bool set_full_blocks(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 pos = header_of(img, path) + HEADER_SIZE + 8;
	unsigned int i;

	for (i = 0; i < clusters(img, path); i++, pos += INDEX_SIZE)
		if ((get16(img, pos) & 3) != INDEX_NONHEAD)
			put32(img, pos + INDEX_BLOCK, v);
	return header_of(img, path) && is_32bit(v);
}

/* Clusters that say how far away the beginning of theirs is, and none begins. */
static bool set_full_deltas(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 pos = header_of(img, path) + HEADER_SIZE + 8;
	unsigned int i;

	for (i = 0; i < clusters(img, path); i++, pos += INDEX_SIZE) {
		put16(img, pos, INDEX_NONHEAD);
		put32(img, pos + INDEX_BLOCK, v);
	}
	return header_of(img, path);
}

static bool set_full_offset(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 pos = header_of(img, path) + HEADER_SIZE + 8;

	put16(img, pos + INDEX_OFS, v);
	put16(img, pos + 2 * INDEX_SIZE + INDEX_OFS, v);
	return header_of(img, path);
}

/* Two or sixteen clusters share the address at their pack's end. */
static bool each_pack(struct ondisk *img, const char *path, __u64 v,
		      void (*set)(struct ondisk *img, __u64 pos, int len,
				  __u64 v))
{
	__u64 header = header_of(img, path), pos = header + HEADER_SIZE;
	unsigned int total = clusters(img, path), i, nr;
	unsigned int first = (32 - pos % 32) / 4 & 7, packed = 0;

	if (get16(img, header + HEADER_ADVISE) & ADVISE_PACKED_2B &&
	    first < total)
		packed = (total - first) / 16 * 16;
	else
		first = 0;
	for (i = 0; i < total; i += nr) {
		bool large = i >= first && i < first + packed;

		nr = large ? 16 : 2;
		set(img, pos, large ? 32 : 8, v);
		pos += large ? 32 : 8;
	}
	return header;
}

static void pack_block(struct ondisk *img, __u64 pos, int len, __u64 v)
{
	put32(img, pos + len - 4, v);
}

static bool set_pack_blocks(struct outside *bad, const char *path, __u64 v)
{
	/* The first of them has the next address. */
	return each_pack(&bad->image, path, v - 1, pack_block) && is_32bit(v);
}

static void pack_bits(struct ondisk *img, __u64 pos, int len, __u64 v)
{
	for (; len > 4; len -= 4, pos += 4)
		put32(img, pos, v);
}

static bool set_pack_bits(struct outside *bad, const char *path, __u64 v)
{
	return each_pack(&bad->image, path, v, pack_bits);
}

static bool set_map_bits(struct outside *bad, const char *path, __u64 v)
{
	bad->image.data[header_of(&bad->image, path) + HEADER_BITS] = v;
	return header_of(&bad->image, path);
}

static bool set_algorithm(struct outside *bad, const char *path, __u64 v)
{
	bad->image.data[header_of(&bad->image, path) + HEADER_ALGORITHM] = v;
	return header_of(&bad->image, path);
}

static bool set_advise(struct outside *bad, const char *path, __u64 v)
{
	put16(&bad->image, header_of(&bad->image, path) + HEADER_ADVISE, v);
	return header_of(&bad->image, path);
}

static bool set_tail_size(struct outside *bad, const char *path, __u64 v)
{
	put16(&bad->image, header_of(&bad->image, path) + HEADER_TAIL, v);
	return header_of(&bad->image, path);
}

static bool set_fragment(struct outside *bad, const char *path, __u64 v)
{
	__u64 header = header_of(&bad->image, path);

	/* All of the file, which leaves 63 bits for where it is. */
	put64(&bad->image, header, v | 1ULL << 63);
	return header && get32(&bad->image, SB_INCOMPAT) & INCOMPAT_FRAGMENTS;
}

/* Behind the beginning, or before the end. */
static bool cut(struct ondisk *img, __u64 v)
{
	__u64 old = img->size;

	img->size = v >> 63 ? old + v : v;
	return img->size < old;
}

static bool cut_image(struct outside *bad, const char *path, __u64 v)
{
	return cut(&bad->image, v);
}

/*
 * A blob that ends soon after a boundary, with a file there: no metadata is near,
 * so that only who reads the file asks for it.
 */
static bool set_end(struct outside *bad, const char *path, __u64 v)
{
	struct ondisk *img = &bad->image;
	__u64 begin = (img->size + OUTSIDE_MORE / 2 - 1) & -(OUTSIDE_MORE / 2);

	memset(img->data + begin, 0x5a, v);
	img->size = begin + v;
	return set_block(bad, path, begin >> img->blkbits);
}

static bool cut_blob(struct outside *bad, const char *path, __u64 v)
{
	return cut(&bad->blob, v);
}

struct row {
	unsigned int	on;
	const char	*name;
	set_fn		set;
	const char	*path;
	const __u64	*values;	/* NULL: addresses of blocks */
};

#define NO_MORE		0xfeedfeedfeedfeedULL
#define VALUES(...)	((const __u64[]){ __VA_ARGS__, NO_MORE })
#define MAX_NID		((1ULL << 63) - 1)
#define MAX_SIZE	((1ULL << 63) - 4096)
#define SIZES		VALUES(1, 92000, 0xffffffff, 1ULL << 44, MAX_SIZE, 1ULL << 63)

static const struct row rows[] = {
	/* Those that hang come first: no round leaves them out. */
	{ ON_FLAT, "largest size", set_size, "data", VALUES(MAX_NID) },
	{ ON_FRAGMENTS, "fragments in themselves", set_packed_to, "data",
	  VALUES(0) },

	{ ON_SUPER, "metadata", set_meta },
	{ ON_SUPER, "shared attributes", set_xattr },
	{ ON_SUPER, "root directory", set_root },
	{ ON_SUPER, "prefixes of attributes", set_prefixes },
	{ ON_SUPER, "size of blocks", set_blkbits, "", VALUES(9, 12) },
	{ ON_SUPER, "count of attributes", set_xattrs, "attr2",
	  VALUES(1, 2, 1000, 0xffff) },
	{ ON_SUPER, "shared attribute", set_shared, "attr2",
	  VALUES(90000, 0x3fffffff, 0xffffffff) },

	{ ON_FLAT, "data", set_block, "data" },
	{ ON_FLAT, "size", set_size, "data", SIZES },
	{ ON_FLAT, "size in line", set_size, "attr3",
	  VALUES(4096, 3900, 4097, 8000) },
	{ ON_FLAT, "inode", set_nid_block, "data" },
	{ ON_FLAT, "end of a page", set_end, "data",
	  VALUES(1, 511, 513, 2000, 4095, 4097) },
	{ ON_TREE, "directory", set_block, "dir" },
	{ ON_TREE, "directory not in line", set_plain_block, "dir" },
	{ ON_TREE, "size of a directory", set_size, "dir", SIZES },
	{ ON_TREE, "link", set_block, "link" },
	{ ON_TREE, "link not in line", set_plain_block, "link" },
	{ ON_TREE, "size of a link", set_size, "link", SIZES },
	{ ON_TREE, "directory's inode", set_nid, "dir",
	  VALUES(0, 1ULL << 59, MAX_NID, 1ULL << 63, ~0ULL) },
	{ ON_TREE, "root in itself", set_nid_root, "dir", VALUES(0) },
	{ ON_TREE, "name", set_name, "attr2", VALUES(0, 1, 4095, 0xffff) },

	{ ON_CHUNKS, "chunk", set_chunk, "data" },
	{ ON_CHUNKS, "chunk's device", set_chunk_device, "data",
	  VALUES(0, 1, 2, 3, 0x7fff, 0xffff) },
	{ ON_CHUNKS, "chunk's size", set_chunk_bits, "data",
	  VALUES(1, 4, 19, 31) },
	{ ON_CHUNKS, "size", set_size, "data", SIZES },
	{ ON_DEVICE, "device's address", set_device_addr, "",
	  VALUES(1, 2, 0xffffffff) },
	{ ON_DEVICE, "device's blocks", set_device_blocks, "",
	  VALUES(0, 1, 0xffffffff) },
	{ ON_DEVICE, "number of devices", set_devices, "",
	  VALUES(0, 2, 0xffff) },
	{ ON_DEVICE, "table of devices", set_slots },
	{ ON_DEVICE, "end of the device", cut_blob, "",
	  VALUES(0, 1, 5000, -4097, -4096, -1) },

	{ ON_PACKED, "clusters", set_pack_blocks, "data" },
	{ ON_PACKED, "indexes", set_pack_bits, "data",
	  VALUES(0, ~0U, 0xaaaaaaaa, 0x55555555, 0x80808080, 0x20012001) },
	{ ON_PACKED, "size", set_size, "data", SIZES },
	{ ON_FULL, "clusters", set_full_blocks, "data" },
	{ ON_FULL, "distances", set_full_deltas, "data",
	  VALUES(0, 1, 0x10001, 0xffff, 0xffffffff, 0x8010801) },
	{ ON_FULL, "offset", set_full_offset, "data",
	  VALUES(1, 4095, 4096, 0xffff) },
	{ ON_FULL | ON_HEADER, "size of clusters", set_map_bits, "data",
	  VALUES(1, 2, 15, 0x7f, 0x80) },
	{ ON_FULL | ON_HEADER, "algorithm", set_algorithm, "data",
	  VALUES(1, 2, 3, 4) },
	{ ON_FULL | ON_HEADER, "kind of clusters", set_advise, "data",
	  VALUES(0, 1, 7, 0x10, 0x21, 0xffff) },
	{ ON_FULL, "size", set_size, "data", SIZES },
	{ ON_HEADER, "size of the tail", set_tail_size, "data",
	  VALUES(1, 4000, 4096, 0xffff) },
	{ ON_FRAGMENTS, "file of fragments", set_packed },
	{ ON_FRAGMENTS, "file of fragments", set_packed_to, "dir", VALUES(0) },
	{ ON_FRAGMENTS, "fragment", set_fragment, "data",
	  VALUES(4096, 90000, 0x7fffffff, 0xffffffff, 1ULL << 44, 1ULL << 62,
		 MAX_NID) },

	{ ON_CUT, "end of the image", cut_image, "",
	  VALUES(0, 1, 1500, 4095, 5000, -8192, -4097, -4096, -513, -512, -1) },
};

#define BEHIND	1

static const __u64 *blocks(const struct ondisk *img)
{
	static __u64 v[6];

	v[0] = (img->size >> img->blkbits) - 1;
	/* A file has zeros up to its page's end, and a blob has none. */
	v[BEHIND] = ((img->size + GRANULE - 1) & -GRANULE) >> img->blkbits;
	v[2] = v[0] + 300;
	v[3] = 0xfffffffe;
	v[4] = (1ULL << 48) - 2;
	v[5] = NO_MORE;
	return v;
}

/* Damage an image in the next way that is possible; false after the last. */
bool outside_next(struct outside_case *c, unsigned int on,
		  const struct outside *made, struct outside *bad)
{
	for (; c->row < (int)(sizeof(rows) / sizeof(*rows));
	     c->column = 0, c->row++) {
		const struct row *row = &rows[c->row];
		const __u64 *values = row->values ?: blocks(&made->image);

		if (!(row->on & on))
			continue;
		c->name = row->name;
		c->path = row->path ?: "";
		while (values[c->column] != NO_MORE) {
			ondisk_copy(&bad->image, &made->image);
			if (made->blob.data)
				ondisk_copy(&bad->blob, &made->blob);
			c->value = values[c->column++];
			if (!row->set(bad, c->path, c->value))
				continue;
			/* What is right behind the end is always tried. */
			if ((!row->values && c->column == BEHIND + 1) ||
			    c->nr++ % c->step == 0)
				return true;
		}
	}
	return false;
}
