// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Mounting an image whose blobs come from an on-demand cache: the daemon is waited
 * for before there is a superblock.
 *
 * sync(2) and others wait for one that is being set up, and no signal ends that.
 * So what erofs_fc_fill_super() will read is made present before.  That one judges
 * the image: what is read here says where to read on, and nothing else.
 *
 * What can't be foreseen is waited for there: an inode or long attribute prefixes
 * in the metabox or in the packed inode, and metadata in a blob that has addresses
 * of the whole image.
 */
#include <linux/cachefiles.h>
#include <linux/file.h>
#include <linux/fs_context.h>
#include "ondemand.h"

/**
 * erofs_ondemand_open - open a blob of an image
 * @sbi: the image
 * @key: the blob's name
 *
 * Context: may sleep, killably, until the daemon has answered.
 * Return: the file, or an ERR_PTR() as from cachefiles_ondemand_open().
 */
struct file *erofs_ondemand_open(struct erofs_sb_info *sbi, const char *key)
{
	char *volume __free(kfree) =
		kasprintf(GFP_KERNEL, "erofs,%s", sbi->domain_id ?: sbi->fsid);

	if (!volume)
		return ERR_PTR(-ENOMEM);
	return cachefiles_ondemand_open(volume, key);
}

/* Open what device= or a table in the image names. */
static int erofs_ondemand_open_devices(struct fs_context *fc)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;
	struct erofs_device_info *dif;
	struct file *file;
	int id;

	idr_for_each_entry(&sbi->devs->tree, dif, id) {
		file = erofs_ondemand_open(sbi, dif->path);
		if (IS_ERR(file)) {
			errorfc(fc, "blob %s can't be opened: %ld", dif->path, PTR_ERR(file));
			return PTR_ERR(file);
		}
		dif->file = file;
	}
	return 0;
}

static int erofs_ondemand_open_primary(struct fs_context *fc)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;
	struct file *file = erofs_ondemand_open(sbi, sbi->fsid);
	int err;

	if (!IS_ERR(file)) {
		sbi->dif0.file = file;
		return 0;
	}
	err = PTR_ERR(file);
	if (err == -ENOTCONN)
		errorfc(fc, "no daemon has a cache bound in on-demand mode");
	else if (err == -EINVAL)
		errorfc(fc, "names must be printable, without '/', at most 248 bytes");
	else
		errorfc(fc, "blob %s can't be opened: %d", sbi->fsid, err);
	return err;
}

static int erofs_ondemand_cannot_read(struct fs_context *fc, int err)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;

	errorfc(fc, "the metadata of blob %s can't be read: %d", sbi->fsid, err);
	return err;
}

/* Ask for metadata, at its address in the image, and do not wait. */
static void erofs_ondemand_want(struct fs_context *fc, u64 pos, u64 len)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;

	erofs_ondemand_ask(sbi->dif0.file, sbi->dif0.fsoff + pos, len);
}

/* Wait until the pages that have it can be read. */
static int erofs_ondemand_need(struct fs_context *fc, u64 pos, u64 len)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;
	u64 begin = round_down(pos, PAGE_SIZE);
	int err;

	erofs_ondemand_want(fc, pos, len);
	err = cachefiles_ondemand_wait(sbi->dif0.file, sbi->dif0.fsoff + begin,
				       round_up(pos + len, PAGE_SIZE) - begin);
	return err ? erofs_ondemand_cannot_read(fc, err) : 0;
}

/* The same, and read it; beyond the end of the blob there are zeros. */
static int erofs_ondemand_get(struct fs_context *fc, u64 pos, void *buf, size_t len)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;
	ssize_t ret;

	memset(buf, 0, len);
	erofs_ondemand_want(fc, pos, len);
	ret = cachefiles_ondemand_read_blob(sbi->dif0.file, sbi->dif0.fsoff + pos, buf, len);
	if (ret < 0)
		return erofs_ondemand_cannot_read(fc, ret);
	return erofs_ondemand_need(fc, pos, len);
}

/* Note a blob that the image names as device= does. */
static int erofs_ondemand_add_device(struct erofs_dev_context *devs,
				     const struct erofs_deviceslot *slot)
{
	struct erofs_device_info *dif = kzalloc_obj(*dif);
	int id;

	if (!dif)
		return -ENOMEM;
	dif->path = kmemdup_nul(slot->tag, sizeof(slot->tag), GFP_KERNEL);
	id = dif->path ? idr_alloc(&devs->tree, dif, 0, 0, GFP_KERNEL) : -ENOMEM;
	if (id < 0) {
		kfree(dif->path);
		kfree(dif);
		return id;
	}
	++devs->extra_devices;
	return 0;
}

static int erofs_ondemand_need_devices(struct fs_context *fc, u64 pos, unsigned int nr)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;
	struct erofs_dev_context *devs = sbi->devs;
	struct erofs_deviceslot slot;
	int err;

	/* Another number than device= has given is an error, told later. */
	if (devs->extra_devices)
		return devs->extra_devices == nr ?
			erofs_ondemand_need(fc, pos, (u64)nr * EROFS_DEVT_SLOT_SIZE) : 0;
	for (; nr; nr--, pos += EROFS_DEVT_SLOT_SIZE) {
		err = erofs_ondemand_get(fc, pos, &slot, sizeof(slot));
		if (err)
			return err;
		if (!slot.tag[0])
			return invalfc(fc, "empty device tag @ pos %llu", pos);
		err = erofs_ondemand_add_device(devs, &slot);
		if (err)
			return err;
	}
	return erofs_ondemand_open_devices(fc);
}

static int erofs_ondemand_need_inode(struct fs_context *fc, u64 pos)
{
	__le16 format;
	int err = erofs_ondemand_get(fc, pos, &format, sizeof(format));

	if (err || erofs_inode_version(le16_to_cpu(format)) != EROFS_INODE_LAYOUT_EXTENDED)
		return err;
	return erofs_ondemand_need(fc, pos, sizeof(struct erofs_inode_extended));
}

/* What erofs_read_metadata() reads: each has its length before it. */
static int erofs_ondemand_need_records(struct fs_context *fc, u64 pos, unsigned int nr)
{
	__le16 len;
	int err;

	for (; nr; nr--) {
		pos = round_up(pos, 4);
		err = erofs_ondemand_get(fc, pos, &len, sizeof(len)) ?:
			erofs_ondemand_need(fc, pos + sizeof(len), le16_to_cpu(len) ?: SZ_64K);
		if (err)
			return err;
		pos += sizeof(len) + (le16_to_cpu(len) ?: SZ_64K);
	}
	return 0;
}

/* All that fill_super reads, in its order. */
static int erofs_ondemand_need_metadata(struct fs_context *fc,
					const struct erofs_super_block *dsb)
{
	const u32 incompat = le32_to_cpu(dsb->feature_incompat);
	const u32 compat = le32_to_cpu(dsb->feature_compat);
	const u64 devices = (u64)le16_to_cpu(dsb->devt_slotoff) * EROFS_DEVT_SLOT_SIZE;
	const u64 prefixes = (u64)le32_to_cpu(dsb->xattr_prefix_start) << 2;
	unsigned int i, nr_inodes = 0, nr_algs = 0, nr_devices = 0, nr_prefixes = 0;
	bool metabox = incompat & EROFS_FEATURE_INCOMPAT_METABOX;
	u64 nid[3], inode[3];
	int err;

	if (incompat & EROFS_FEATURE_INCOMPAT_COMPR_CFGS)
		nr_algs = hweight16(le16_to_cpu(dsb->u1.available_compr_algs));
	if (incompat & EROFS_FEATURE_INCOMPAT_DEVICE_TABLE)
		nr_devices = le16_to_cpu(dsb->extra_devices);
	if (incompat & EROFS_FEATURE_INCOMPAT_FRAGMENTS && dsb->packed_nid)
		nid[nr_inodes++] = le64_to_cpu(dsb->packed_nid);
	/* They are in the metabox or in that inode, if there is one, or plain. */
	if (IS_ENABLED(CONFIG_EROFS_FS_XATTR) &&
	    (compat & EROFS_FEATURE_COMPAT_PLAIN_XATTR_PFX || (!metabox && !nr_inodes)))
		nr_prefixes = dsb->xattr_prefix_count;
	if (metabox)
		nid[nr_inodes++] = le64_to_cpu(dsb->metabox_nid);
	if (incompat & EROFS_FEATURE_INCOMPAT_48BIT && dsb->rootnid_8b)
		nid[nr_inodes++] = le64_to_cpu(dsb->rootnid_8b);
	else
		nid[nr_inodes++] = le16_to_cpu(dsb->rb.rootnid_2b);

	/* So that the round trips overlap. */
	if (nr_devices)
		erofs_ondemand_want(fc, devices, (u64)nr_devices * EROFS_DEVT_SLOT_SIZE);
	for (i = 0; i < nr_inodes; i++) {
		inode[i] = ((u64)le32_to_cpu(dsb->meta_blkaddr) << dsb->blkszbits) +
			nid[i] * sizeof(struct erofs_inode_compact);
		if (!(nid[i] & BIT_ULL(EROFS_DIRENT_NID_METABOX_BIT)))
			erofs_ondemand_want(fc, inode[i], sizeof(struct erofs_inode_compact));
	}
	if (nr_prefixes)
		erofs_ondemand_want(fc, prefixes, sizeof(__le16));

	err = erofs_ondemand_need_records(fc, EROFS_SUPER_OFFSET + 128 +
					  dsb->sb_extslots * EROFS_SB_EXTSLOT_SIZE, nr_algs);
	if (!err && nr_devices)
		err = erofs_ondemand_need_devices(fc, devices, nr_devices);
	for (i = 0; !err && i < nr_inodes; i++)
		if (!(nid[i] & BIT_ULL(EROFS_DIRENT_NID_METABOX_BIT)))
			err = erofs_ondemand_need_inode(fc, inode[i]);
	return err ?: erofs_ondemand_need_records(fc, prefixes, nr_prefixes);
}

/**
 * erofs_ondemand_open_blobs - open the blobs of a mount
 * @fc: the mount, with fsid=
 *
 * Opens what the options and the image name, and waits for the metadata that a
 * mount reads.
 *
 * Context: as erofs_ondemand_open(); there is no superblock yet.
 * Return: 0 or -errno; the log of @fc says what can be done about it.
 */
int erofs_ondemand_open_blobs(struct fs_context *fc)
{
	struct erofs_sb_info *sbi = fc->s_fs_info;
	struct erofs_super_block dsb;
	int err;

	if (sbi->dif0.file)
		return invalf(fc, "fsid= and a source file exclude each other");
	err = erofs_ondemand_open_primary(fc) ?: erofs_ondemand_open_devices(fc) ?:
		erofs_ondemand_get(fc, EROFS_SUPER_OFFSET, &dsb, sizeof(dsb));
	if (err)
		return err;
	/* Which of these is wrong is told later. */
	if (le32_to_cpu(dsb.magic) != EROFS_SUPER_MAGIC_V1 ||
	    !in_range(dsb.blkszbits, 9, PAGE_SHIFT - 9 + 1) ||
	    le32_to_cpu(dsb.feature_incompat) & ~EROFS_ALL_FEATURE_INCOMPAT)
		return 0;
	return erofs_ondemand_need_metadata(fc, &dsb);
}
