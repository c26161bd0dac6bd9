// SPDX-License-Identifier: GPL-2.0
/*
 * Where in an image of mkfs.erofs what is; and the checksum, so that a changed
 * image is not refused for that.
 */
#include <endian.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "ondisk.h"

#define NID_BITS	5

/* What is outside reads as zeros, and is not written: images may be damaged. */
static bool inside(const struct ondisk *img, __u64 pos, __u64 len)
{
	return pos <= img->room && len <= img->room - pos;
}

static void get(const struct ondisk *img, __u64 pos, void *v, size_t len)
{
	if (inside(img, pos, len))
		memcpy(v, img->data + pos, len);
}

static void put(struct ondisk *img, __u64 pos, const void *v, size_t len)
{
	if (inside(img, pos, len))
		memcpy(img->data + pos, v, len);
}

__u16 get16(const struct ondisk *img, __u64 pos)
{
	__u16 v = 0;

	get(img, pos, &v, sizeof(v));
	return le16toh(v);
}

__u32 get32(const struct ondisk *img, __u64 pos)
{
	__u32 v = 0;

	get(img, pos, &v, sizeof(v));
	return le32toh(v);
}

__u64 get64(const struct ondisk *img, __u64 pos)
{
	__u64 v = 0;

	get(img, pos, &v, sizeof(v));
	return le64toh(v);
}

void put16(struct ondisk *img, __u64 pos, __u16 v)
{
	v = htole16(v);
	put(img, pos, &v, sizeof(v));
}

void put32(struct ondisk *img, __u64 pos, __u32 v)
{
	v = htole32(v);
	put(img, pos, &v, sizeof(v));
}

void put64(struct ondisk *img, __u64 pos, __u64 v)
{
	v = htole64(v);
	put(img, pos, &v, sizeof(v));
}

static int alloc_room(struct ondisk *img)
{
	img->data = mmap(NULL, img->room, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	return img->data == MAP_FAILED ? -errno : 0;
}

/* With room for @more bytes of zeros behind it. */
int ondisk_load(struct ondisk *img, const char *path, __u64 more)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), ret;
	struct stat st;

	memset(img, 0, sizeof(*img));
	if (fd < 0)
		return -errno;
	ret = fstat(fd, &st) < 0 ? -errno : 0;
	if (!ret) {
		img->size = st.st_size;
		img->room = img->size + more;
		ret = alloc_room(img);
	}
	if (!ret && read(fd, img->data, img->size) != (ssize_t)img->size)
		ret = -EIO;
	close(fd);
	if (!ret)
		img->blkbits = img->data[SB_BLKBITS];
	return ret;
}

/* The first time @to is all zeros, later it is an earlier copy. */
void ondisk_copy(struct ondisk *to, const struct ondisk *from)
{
	unsigned char *data = to->data;

	*to = *from;
	to->data = data;
	if (!data && alloc_room(to))
		return;
	memcpy(to->data, from->data, from->room);
}

static __u32 crc32c(__u32 crc, const unsigned char *p, size_t len)
{
	int i;

	while (len--) {
		crc ^= *p++;
		for (i = 0; i < 8; i++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return crc;
}

/* Let the checksum be right: of the first block, without what is before it. */
void ondisk_seal(struct ondisk *img)
{
	__u32 len = 1U << img->blkbits;
	/* Of the magic number, and zeros for itself. */
	const __u32 begin = 0x5045b54a;

	if (!(get32(img, SB_COMPAT) & COMPAT_CHECKSUM))
		return;
	if (len > SB_POS)
		len -= SB_POS;
	len -= 8;
	put32(img, SB_CHECKSUM,
	      crc32c(begin, img->data + SB_CHECKSUM + 4, len));
}

static __u64 inode_of(const struct ondisk *img, __u64 nid)
{
	return ((__u64)get32(img, SB_META) << img->blkbits) + (nid << NID_BITS);
}

__u64 ondisk_nid(const struct ondisk *img, __u64 inode)
{
	return (inode - ((__u64)get32(img, SB_META) << img->blkbits)) >>
	       NID_BITS;
}

bool ondisk_long(const struct ondisk *img, __u64 inode)
{
	return get16(img, inode + INODE_FORMAT) & 1;
}

enum ondisk_layout ondisk_layout(const struct ondisk *img, __u64 inode)
{
	return get16(img, inode + INODE_FORMAT) >> 1 & 7;
}

/* What follows the inode and its attributes. */
__u64 ondisk_body(const struct ondisk *img, __u64 inode)
{
	unsigned int xattrs = get16(img, inode + INODE_XATTRS);

	return inode + (ondisk_long(img, inode) ? 64 : 32) +
	       (xattrs ? 12 + 4 * (xattrs - 1) : 0);
}

__u64 ondisk_root(const struct ondisk *img)
{
	__u64 nid = get16(img, SB_ROOT);

	if (get32(img, SB_INCOMPAT) & INCOMPAT_48BIT &&
	    get64(img, SB_ROOT_8B))
		nid = get64(img, SB_ROOT_8B);
	return inode_of(img, nid);
}

/* The entry of that name in one block of a directory. */
static __u64 find_in(const struct ondisk *img, __u64 block, __u64 len,
		     const char *name, size_t name_len)
{
	unsigned int nr = get16(img, block + DIRENT_NAME) / DIRENT_SIZE, i;

	for (i = 0; i < nr; i++) {
		__u64 pos = block + i * DIRENT_SIZE;
		__u64 from = get16(img, pos + DIRENT_NAME), to = len;

		if (i + 1 < nr)
			to = get16(img, pos + DIRENT_SIZE + DIRENT_NAME);
		if (to < from || from + name_len > to || to > len ||
		    !inside(img, block, to))
			continue;
		if (!memcmp(img->data + block + from, name, name_len) &&
		    (from + name_len == to ||
		     !img->data[block + from + name_len]))
			return pos;
	}
	return 0;
}

/* The entry that the path, without a slash in front, ends at. */
__u64 ondisk_dirent(const struct ondisk *img, const char *path)
{
	__u64 dir = ondisk_root(img), bs = 1ULL << img->blkbits;

	for (;;) {
		size_t len = strcspn(path, "/");
		__u64 size = get32(img, dir + INODE_SIZE), done, found = 0;
		enum ondisk_layout layout = ondisk_layout(img, dir);

		if (layout != LAYOUT_PLAIN && layout != LAYOUT_INLINE)
			return 0;
		for (done = 0; !found && done < size; done += bs) {
			__u64 left = size - done < bs ? size - done : bs;
			__u64 block = ((__u64)get32(img, dir + INODE_BLOCK) <<
				       img->blkbits) + done;

			if (layout == LAYOUT_INLINE && done + bs >= size &&
			    size % bs)
				block = ondisk_body(img, dir);
			found = find_in(img, block, left, path, len);
		}
		if (!found || !path[len])
			return found;
		dir = inode_of(img, get64(img, found));
		path += len + 1;
	}
}

__u64 ondisk_inode(const struct ondisk *img, const char *path)
{
	__u64 dirent = ondisk_dirent(img, path);

	return dirent ? inode_of(img, get64(img, dirent)) : 0;
}
