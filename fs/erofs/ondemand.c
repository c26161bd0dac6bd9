// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Images whose blobs come from an on-demand cache.
 *
 * Each blob is a file whose reads wait for a daemon where the cache has holes,
 * and everything else is as for an image in a local file: see fileio.c.
 */
#include <linux/backing-dev.h>
#include <linux/cachefiles.h>
#include <linux/namei.h>
#include <linux/pagemap.h>
#include "ondemand.h"

/*
 * A miss costs a round trip, and requests overlap: ask far ahead.  Reads that
 * are not sequential are not read ahead at all, as ever.
 */
#define EROFS_ONDEMAND_RA_BYTES		(3 * SZ_1M)

/*
 * Metadata is read block by block, each known only from the one before.  Ask
 * for its neighbourhood at once, which is likely to be metadata too.
 */
#define EROFS_ONDEMAND_META_BYTES	SZ_128K

/*
 * How much of a file is asked for at once, at least, when it is read sequentially,
 * and the smallest readahead window that shows that it is.
 */
#define EROFS_ONDEMAND_AHEAD_BYTES	SZ_1M
#define EROFS_ONDEMAND_AHEAD_MIN_BYTES	SZ_64K

/**
 * erofs_ondemand_init_super - what is different for a superblock of this kind
 * @sb: the superblock, with a bdi of its own
 */
void erofs_ondemand_init_super(struct super_block *sb)
{
	struct erofs_sb_info *sbi = EROFS_SB(sb);

	if (!erofs_is_ondemand(sbi))
		return;
	/* Also the name in sysfs: the device keeps it unique, however it is cut. */
	snprintf(sb->s_id, sizeof(sb->s_id), "%u:%u-%s", MAJOR(sb->s_dev), MINOR(sb->s_dev),
		 sbi->fsid);
	sb->s_bdi->ra_pages = EROFS_ONDEMAND_RA_BYTES >> PAGE_SHIFT;
}

/**
 * erofs_ondemand_shutdown - end all reads of an image that is going away
 * @sbi: the image
 *
 * Its folios are locked by reads that wait for the daemon; nobody else does.
 *
 * Context: may sleep; there are no users of the superblock.
 */
void erofs_ondemand_shutdown(struct erofs_sb_info *sbi)
{
	struct erofs_device_info *dif;
	int id;

	if (!erofs_is_ondemand(sbi) || !sbi->dif0.file)
		return;
	/* Shared inodes are read through those of another mount from now on. */
	WRITE_ONCE(sbi->ondemand_shut, true);
	smp_mb(); /* then read ondemand_sharers: see erofs_ondemand_begin_share() */
	cachefiles_ondemand_shutdown(sbi->dif0.file);
	idr_for_each_entry(&sbi->devs->tree, dif, id)
		if (dif->file)
			cachefiles_ondemand_shutdown(dif->file);
	/* Those that have one of this mount wait for none of its reads any more. */
	wait_var_event(&sbi->ondemand_sharers, !atomic_read(&sbi->ondemand_sharers));
}

/**
 * erofs_ondemand_ask - ask for metadata, and what is around it
 * @file: the blob
 * @pos: where it begins there
 * @len: how many bytes
 *
 * Context: may sleep; does not wait for the daemon.
 */
void erofs_ondemand_ask(struct file *file, u64 pos, u64 len)
{
	u64 begin = round_down(pos, EROFS_ONDEMAND_META_BYTES);

	cachefiles_ondemand_prefetch(file, begin,
				     round_up(pos + len, EROFS_ONDEMAND_META_BYTES) - begin);
}

/**
 * erofs_ondemand_read_meta - a block of metadata is about to be read
 * @mdev: where it is
 *
 * Context: may sleep; does not wait for the daemon.
 */
void erofs_ondemand_read_meta(const struct erofs_map_dev *mdev)
{
	if (erofs_is_ondemand(EROFS_SB(mdev->m_sb)))
		erofs_ondemand_ask(mdev->m_dif->file, mdev->m_dif->fsoff + mdev->m_pa, 1);
}

static struct folio *erofs_ondemand_read_killably(struct address_space *mapping, pgoff_t index,
						  filler_t *filler)
{
	struct folio *folio;
	int err;

	for (;;) {
		folio = __filemap_get_folio(mapping, index,
					    FGP_CREAT | FGP_FOR_MMAP | FGP_ACCESSED,
					    mapping_gfp_mask(mapping));
		if (IS_ERR(folio) || folio_test_uptodate(folio))
			return folio;
		err = folio_lock_killable(folio);
		if (err)
			break;
		if (folio->mapping == mapping) {
			if (folio_test_uptodate(folio)) {
				folio_unlock(folio);
				return folio;
			}
			/* The end of the read unlocks it. */
			err = filler(NULL, folio) ?: folio_wait_locked_killable(folio);
			if (!err && folio_test_uptodate(folio))
				return folio;
			err = err ?: -EIO;
			break;
		}
		folio_unlock(folio);
		folio_put(folio);
	}
	folio_put(folio);
	return ERR_PTR(err);
}

/**
 * erofs_ondemand_read_folio - read_cache_folio(), killably
 * @mapping: metadata, or a file or directory, of any mount
 * @index: which page
 * @filler: what reads it, or NULL for the ->read_folio() of @mapping
 * @file: NULL
 *
 * That one waits for who reads the same folio already, until the daemon has
 * answered, and no signal ends that.
 *
 * Context: may sleep, killably if it is of an image of this kind.
 * Return: the folio, with its data, or an ERR_PTR(): -EINTR if the task was killed.
 */
struct folio *erofs_ondemand_read_folio(struct address_space *mapping, pgoff_t index,
					filler_t *filler, struct file *file)
{
	struct super_block *sb = mapping->host->i_sb;

	/* A block device's is no superblock of ours. */
	if (sb->s_op != &erofs_sops || !erofs_is_ondemand(EROFS_SB(sb)))
		return read_cache_folio(mapping, index, filler, file);
	return erofs_ondemand_read_killably(mapping, index, filler ?: mapping->a_ops->read_folio);
}

#ifdef CONFIG_EROFS_FS_PAGE_CACHE_SHARE
/**
 * erofs_ondemand_real_inode - the inode to read pages through
 * @inode: whose they are; may be one that has the page cache of several mounts
 * @file: what is read, as the page cache tells it; may be NULL
 * @need_iput: set if erofs_ondemand_put_real() is to be called
 *
 * What is cached here of one mount may not be of another one, and another daemon's
 * trouble is not to be this reader's: it is the one of the mount that is read.
 *
 * Context: any that may read pages.
 * Return: an inode of a mount, or NULL if none has this one any more.
 */
struct inode *erofs_ondemand_real_inode(struct inode *inode, const struct file *file,
					bool *need_iput)
{
	struct erofs_inode *shared = EROFS_I(inode), *vi;
	struct inode *opened;

	if (!file || inode->i_sb->s_type != &erofs_anon_fs_type ||
	    !test_bit(EROFS_I_ONDEMAND_BIT, &shared->flags))
		return erofs_real_inode(inode, need_iput);
	/* Set by erofs_ondemand_opened(); to be compared only, for it may be gone. */
	opened = file->private_data;
	scoped_guard(spinlock, &shared->ishare_lock) {
		list_for_each_entry(vi, &shared->ishare_list, ishare_list) {
			if (&vi->vfs_inode != opened)
				continue;
			if (!erofs_ondemand_begin_share(EROFS_I_SB(opened)))
				break;
			if (!igrab(opened)) {
				erofs_ondemand_end_share(EROFS_I_SB(opened));
				break;
			}
			*need_iput = true;
			return opened;
		}
	}
	return erofs_real_inode(inode, need_iput);
}
#endif

/**
 * erofs_ondemand_get_link - page_get_link(), killably
 * @dentry: the symlink, or NULL in RCU mode
 * @inode: the symlink
 * @done: puts what the target is in
 *
 * Context: as erofs_ondemand_read_folio(), if there is a @dentry.
 * Return: the target, or an ERR_PTR().
 */
const char *erofs_ondemand_get_link(struct dentry *dentry, struct inode *inode,
				    struct delayed_call *done)
{
	struct folio *folio;
	char *link;

	if (!dentry || !erofs_is_ondemand(EROFS_I_SB(inode)))
		return page_get_link(dentry, inode, done);
	folio = erofs_ondemand_read_folio(inode->i_mapping, 0, NULL, NULL);
	if (IS_ERR(folio))
		return ERR_CAST(folio);
	set_delayed_call(done, page_put_link, folio);
	link = folio_address(folio);
	nd_terminate_link(link, inode->i_size, PAGE_SIZE - 1);
	return link;
}

/**
 * erofs_ondemand_differs - does a read reach where others wait, or do not wait?
 * @mdev: where its next piece is, in the same blob
 * @so_far: how many bytes right before that it has
 * @len: how many the piece has
 *
 * A read ends as a whole.  What is cached must not be kept waiting for the daemon
 * with what is not.
 *
 * Context: any; does not sleep.
 * Return: whether of the two one is present and the other is not.
 */
bool erofs_ondemand_differs(const struct erofs_map_dev *mdev, u64 so_far, u64 len)
{
	struct file *file = mdev->m_dif->file;
	loff_t pos = mdev->m_dif->fsoff + mdev->m_pa;

	return cachefiles_ondemand_present(file, pos - so_far, so_far) !=
		cachefiles_ondemand_present(file, pos, len);
}

/**
 * erofs_ondemand_present - can a range of an image be read without the daemon?
 * @mdev: where it begins
 * @len: how many bytes it has
 *
 * Context: any; does not sleep.
 * Return: whether nothing of it is missing.
 */
bool erofs_ondemand_present(const struct erofs_map_dev *mdev, u64 len)
{
	return cachefiles_ondemand_present(mdev->m_dif->file,
					   mdev->m_dif->fsoff + mdev->m_pa, len);
}

/**
 * erofs_ondemand_is_complete - is everything of an image cached?
 * @sbi: the image, with its blobs open
 *
 * Context: any; does not sleep.
 * Return: whether nothing of its blobs is missing.
 */
bool erofs_ondemand_is_complete(struct erofs_sb_info *sbi)
{
	struct erofs_device_info *dif;
	int id;

	if (!cachefiles_ondemand_complete(sbi->dif0.file))
		return false;
	idr_for_each_entry(&sbi->devs->tree, dif, id)
		if (dif->file && !cachefiles_ondemand_complete(dif->file))
			return false;
	return true;
}

/**
 * erofs_ondemand_readahead - pages of a file have been asked for
 * @map: the extent that the last of them is in
 * @mdev: where that ends
 * @begin: where the pages begin in the file
 * @end: where they end
 *
 * Asks for what follows in the extent as well.  A readahead window begins small
 * and grows when it has been used, which costs a round trip at each turn.
 *
 * Context: may sleep; does not wait for the daemon.
 */
void erofs_ondemand_readahead(const struct erofs_map_blocks *map,
			      const struct erofs_map_dev *mdev, loff_t begin, loff_t end)
{
	u64 len = end - begin;

	/* Without a device there was nothing to read, or it failed. */
	if (!mdev->m_dif || !erofs_is_ondemand(EROFS_SB(mdev->m_sb)) ||
	    !(map->m_flags & EROFS_MAP_MAPPED) || map->m_flags & EROFS_MAP_META ||
	    !in_range(end, map->m_la, map->m_llen) || len < EROFS_ONDEMAND_AHEAD_MIN_BYTES ||
	    len >= EROFS_ONDEMAND_AHEAD_BYTES)
		return;
	cachefiles_ondemand_prefetch(mdev->m_dif->file, mdev->m_dif->fsoff + mdev->m_pa,
				     min(EROFS_ONDEMAND_AHEAD_BYTES - len,
					 map->m_la + map->m_llen - end));
}

static int erofs_ondemand_map(struct inode *inode, struct erofs_map_blocks *map)
{
#ifdef CONFIG_EROFS_FS_ZIP
	if (erofs_inode_is_data_compressed(EROFS_I(inode)->datalayout))
		return z_erofs_map_blocks_iter(inode, map, 0);
#endif
	return erofs_map_blocks(inode, map);
}

/* A file may be in the inode of fragments, and that in the one of metadata. */
#define EROFS_ONDEMAND_NESTED		3

/* Where in which blob is what this byte of a file is made of? */
static int erofs_ondemand_locate(struct inode *inode, loff_t pos, struct erofs_map_dev *mdev,
				 u64 *len)
{
	struct erofs_sb_info *sbi = EROFS_I_SB(inode);
	bool compressed;
	int level, err;

	/* A bad image may lead in circles. */
	for (level = 0; inode && level < EROFS_ONDEMAND_NESTED; level++) {
		struct erofs_map_blocks map = { .buf = __EROFS_BUF_INITIALIZER, .m_la = pos };

		err = erofs_ondemand_map(inode, &map);
		erofs_put_metabuf(&map.buf);
		if (err)
			return err;
		if (map.m_flags & EROFS_MAP_FRAGMENT) {
			pos += EROFS_I(inode)->z_fragmentoff - map.m_la;
			inode = sbi->packed_inode;
			continue;
		}
		if (!(map.m_flags & EROFS_MAP_MAPPED))
			return -ENODATA;
		compressed = erofs_inode_is_data_compressed(EROFS_I(inode)->datalayout);
		pos = map.m_pa + (compressed ? 0 : pos - map.m_la);
		if (map.m_flags & EROFS_MAP_META && erofs_inode_in_metabox(inode)) {
			inode = sbi->metabox_inode;
			continue;
		}
		*mdev = (struct erofs_map_dev) { .m_deviceid = map.m_deviceid, .m_pa = pos };
		*len = compressed ? map.m_plen : 1;
		return erofs_map_dev(inode->i_sb, mdev);
	}
	return -EFSCORRUPTED;
}

/**
 * erofs_ondemand_why - why did a read fail?
 * @inode: the file
 * @pos: the byte that it got no further than
 *
 * The page cache says -EIO whatever the daemon said.
 *
 * Context: may sleep, killably.
 * Return: the errno that the daemon failed the READ with, or -EIO.
 */
int erofs_ondemand_why(struct inode *inode, loff_t pos)
{
	struct erofs_map_dev mdev;
	u64 len;

	if (erofs_ondemand_locate(inode, pos, &mdev, &len))
		return -EIO;
	return cachefiles_ondemand_error(mdev.m_dif->file, mdev.m_dif->fsoff + mdev.m_pa, len);
}
