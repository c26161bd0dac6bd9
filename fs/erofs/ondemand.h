/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images whose blobs come from an on-demand cache: what super.c and others call. */
#ifndef __EROFS_ONDEMAND_H
#define __EROFS_ONDEMAND_H

#include <linux/pagemap.h>
#include <linux/seq_file.h>
#include <linux/wait_bit.h>
#include "internal.h"

#ifdef CONFIG_EROFS_FS_ONDEMAND

static inline bool erofs_is_ondemand(const struct erofs_sb_info *sbi)
{
	return sbi->fsid;
}

int erofs_ondemand_open_blobs(struct fs_context *fc);
struct file *erofs_ondemand_open(struct erofs_sb_info *sbi, const char *key);
void erofs_ondemand_init_super(struct super_block *sb);
void erofs_ondemand_shutdown(struct erofs_sb_info *sbi);
void erofs_ondemand_ask(struct file *file, u64 pos, u64 len);
void erofs_ondemand_read_meta(const struct erofs_map_dev *mdev);
struct folio *erofs_ondemand_read_folio(struct address_space *mapping, pgoff_t index,
					filler_t *filler, struct file *file);
const char *erofs_ondemand_get_link(struct dentry *dentry, struct inode *inode,
				    struct delayed_call *done);
bool erofs_ondemand_differs(const struct erofs_map_dev *mdev, u64 so_far, u64 len);
bool erofs_ondemand_present(const struct erofs_map_dev *mdev, u64 len);
bool erofs_ondemand_is_complete(struct erofs_sb_info *sbi);
void erofs_ondemand_readahead(const struct erofs_map_blocks *map,
			      const struct erofs_map_dev *mdev, loff_t begin, loff_t end);
int erofs_ondemand_why(struct inode *inode, loff_t pos);

/* Must the next @len bytes, at @mdev, not be part of the read that ends there? */
static inline bool erofs_ondemand_splits(const struct erofs_map_dev *mdev, const struct bio *bio,
					 unsigned int len)
{
	return erofs_is_ondemand(EROFS_SB(mdev->m_sb)) &&
		erofs_ondemand_differs(mdev, bio->bi_iter.bi_size, len);
}

/*
 * A folio is read as a whole: of one that is missing in part, what is cached could
 * not be had without the daemon.
 */
static inline bool erofs_ondemand_large_folios(struct inode *inode)
{
	return !erofs_is_ondemand(EROFS_I_SB(inode)) ||
		erofs_ondemand_is_complete(EROFS_I_SB(inode));
}

/* Where readahead begins, for erofs_ondemand_readahead() at its end. */
static inline loff_t erofs_ondemand_readahead_begin(struct readahead_control *rac)
{
	return readahead_pos(rac);
}

/* What a read that got @ret from the page cache tells its caller. */
static inline ssize_t erofs_ondemand_read_error(struct inode *inode, loff_t pos, ssize_t ret)
{
	if (ret == -EIO && erofs_is_ondemand(EROFS_I_SB(inode)))
		return erofs_ondemand_why(inode, pos);
	return ret;
}

static inline void erofs_ondemand_drop_sharer(struct erofs_sb_info *sbi)
{
	/* The superblock may be gone right after: its address is a mere key here. */
	if (atomic_dec_and_test(&sbi->ondemand_sharers))
		wake_up_var(&sbi->ondemand_sharers);
}

static inline void erofs_ondemand_end_share(struct erofs_sb_info *sbi)
{
	if (erofs_is_ondemand(sbi))
		erofs_ondemand_drop_sharer(sbi);
}

/*
 * A read of shared pages, of any mount, wants an inode of this one to read them
 * through.  False if it is going away; else it waits for erofs_ondemand_end_share(),
 * for its inodes have to be nobody's when they are evicted.
 */
static inline bool erofs_ondemand_begin_share(struct erofs_sb_info *sbi)
{
	if (!erofs_is_ondemand(sbi))
		return true;
	atomic_inc(&sbi->ondemand_sharers);
	smp_mb__after_atomic(); /* pairs with that in erofs_ondemand_shutdown() */
	if (!READ_ONCE(sbi->ondemand_shut))
		return true;
	erofs_ondemand_drop_sharer(sbi);
	return false;
}

/* Drop what erofs_real_inode() has grabbed. */
static inline void erofs_ondemand_put_real(struct inode *inode)
{
	struct erofs_sb_info *sbi = EROFS_I_SB(inode);
	/* To be known before: a superblock that does not count may go with the inode. */
	bool counted = erofs_is_ondemand(sbi);

	iput(inode);
	if (counted)
		erofs_ondemand_drop_sharer(sbi);
}

/*
 * Was an address of the whole image resolved into another blob?  Then it is no
 * longer one that can be compared with the next.
 */
static inline bool erofs_ondemand_remapped(const struct erofs_map_dev *mdev)
{
	return !mdev->m_deviceid && mdev->m_dif != &EROFS_SB(mdev->m_sb)->dif0;
}

/* Rounded up to whole pages it has to be a size still. */
static inline bool erofs_ondemand_too_large(const struct inode *inode)
{
	return inode->i_size > round_down(MAX_LFS_FILESIZE, PAGE_SIZE);
}

/*
 * Reclaim must not wait for a page that waits for the daemon: whoever is in it may
 * be the daemon.  An inode that has pages stays until these are gone, though nobody
 * could find it any more by a name.
 */
static inline int erofs_ondemand_drop_inode(struct inode *inode)
{
	return inode_unhashed(inode) ||
		(!inode->i_nlink && !erofs_is_ondemand(EROFS_I_SB(inode)));
}

/* Those with the page cache of several mounts are in no superblock of ours. */
static inline void erofs_ondemand_mark_shared(struct inode *inode, struct inode *shared)
{
	if (erofs_is_ondemand(EROFS_I_SB(inode)))
		set_bit(EROFS_I_ONDEMAND_BIT, &EROFS_I(shared)->flags);
}

/* @file is one of a shared inode: which inode's mount has it been opened through? */
static inline void erofs_ondemand_opened(struct file *file, struct inode *inode)
{
	file->private_data = inode;
}

#ifdef CONFIG_EROFS_FS_PAGE_CACHE_SHARE
struct inode *erofs_ondemand_real_inode(struct inode *inode, const struct file *file,
					bool *need_iput);
#else
#define erofs_ondemand_real_inode(inode, file, need_iput)	\
	((void)(file), erofs_real_inode(inode, need_iput))
#endif

/* Nobody has it any more: it keeps no pages but those that are being read. */
static inline void erofs_ondemand_empty_shared(struct inode *shared)
{
	if (test_bit(EROFS_I_ONDEMAND_BIT, &EROFS_I(shared)->flags) &&
	    list_empty_careful(&EROFS_I(shared)->ishare_list))
		invalidate_mapping_pages(shared->i_mapping, 0, -1);
}

static inline int erofs_ondemand_drop_shared(struct inode *inode)
{
	return inode_unhashed(inode) || mapping_empty(inode->i_mapping) ||
		!test_bit(EROFS_I_ONDEMAND_BIT, &EROFS_I(inode)->flags);
}

/*
 * Lock a folio of compressed data that @pcl has found in the cache.  If it is being
 * read for something else it is not waited for, as no signal ends that, but read
 * once more, to somewhere else.  The reference to its own is the folio's.
 */
static inline bool erofs_ondemand_lock_cached(const struct inode *inode, struct folio *folio,
					      const void *pcl)
{
	if (erofs_is_ondemand(EROFS_I_SB(inode)) && READ_ONCE(folio->private) != pcl)
		return folio_trylock(folio);
	folio_lock(folio);
	return true;
}

/* Has this been compressed data, of a read that failed?  Then it is no metadata. */
static inline bool erofs_ondemand_is_data(const struct folio *folio)
{
	return folio_test_private(folio) && erofs_is_ondemand(EROFS_I_SB(folio->mapping->host));
}

/* What is locked can't be waited for: fragments are in no fragments. */
static inline bool erofs_ondemand_is_folio_of(const struct folio *folio, const struct inode *inode)
{
	return folio->mapping == inode->i_mapping;
}

static inline void erofs_ondemand_free(struct erofs_sb_info *sbi)
{
	kfree(sbi->fsid);
}

static inline void erofs_ondemand_show_options(struct seq_file *seq,
					       const struct erofs_sb_info *sbi)
{
	if (erofs_is_ondemand(sbi))
		seq_show_option(seq, "fsid", sbi->fsid);
}

#else

static inline bool erofs_is_ondemand(const struct erofs_sb_info *sbi)
{
	return false;
}

static inline int erofs_ondemand_open_blobs(struct fs_context *fc)
{
	return -EOPNOTSUPP;
}

static inline struct file *erofs_ondemand_open(struct erofs_sb_info *sbi, const char *key)
{
	return ERR_PTR(-EOPNOTSUPP);
}

static inline void erofs_ondemand_init_super(struct super_block *sb)
{
}

static inline void erofs_ondemand_shutdown(struct erofs_sb_info *sbi)
{
}

static inline void erofs_ondemand_read_meta(const struct erofs_map_dev *mdev)
{
}

static inline bool erofs_ondemand_present(const struct erofs_map_dev *mdev, u64 len)
{
	return true;
}

static inline loff_t erofs_ondemand_readahead_begin(struct readahead_control *rac)
{
	return 0;
}

static inline void erofs_ondemand_readahead(const struct erofs_map_blocks *map,
					    const struct erofs_map_dev *mdev, loff_t begin,
					    loff_t end)
{
}

static inline bool erofs_ondemand_splits(const struct erofs_map_dev *mdev, const struct bio *bio,
					 unsigned int len)
{
	return false;
}

static inline bool erofs_ondemand_large_folios(struct inode *inode)
{
	return true;
}

static inline ssize_t erofs_ondemand_read_error(struct inode *inode, loff_t pos, ssize_t ret)
{
	return ret;
}

static inline bool erofs_ondemand_begin_share(struct erofs_sb_info *sbi)
{
	return true;
}

static inline void erofs_ondemand_end_share(struct erofs_sb_info *sbi)
{
}

/* No functions: not even the order of instructions is another one without us. */
#define erofs_ondemand_read_folio	read_cache_folio
#define erofs_ondemand_get_link		page_get_link
#define erofs_ondemand_put_real(inode)	iput(inode)
#define erofs_ondemand_real_inode(inode, file, need_iput)	\
	((void)(file), erofs_real_inode(inode, need_iput))

static inline bool erofs_ondemand_remapped(const struct erofs_map_dev *mdev)
{
	return false;
}

static inline bool erofs_ondemand_too_large(const struct inode *inode)
{
	return false;
}

static inline bool erofs_ondemand_is_folio_of(const struct folio *folio, const struct inode *inode)
{
	return false;
}

#define erofs_ondemand_drop_inode	NULL
#define erofs_ondemand_drop_shared	inode_just_drop

static inline void erofs_ondemand_mark_shared(struct inode *inode, struct inode *shared)
{
}

static inline void erofs_ondemand_opened(struct file *file, struct inode *inode)
{
}

static inline void erofs_ondemand_empty_shared(struct inode *shared)
{
}

static inline bool erofs_ondemand_lock_cached(const struct inode *inode, struct folio *folio,
					      const void *pcl)
{
	folio_lock(folio);
	return true;
}

static inline bool erofs_ondemand_is_data(const struct folio *folio)
{
	return false;
}

static inline void erofs_ondemand_free(struct erofs_sb_info *sbi)
{
}

static inline void erofs_ondemand_show_options(struct seq_file *seq,
					       const struct erofs_sb_info *sbi)
{
}

#endif /* CONFIG_EROFS_FS_ONDEMAND */

#endif /* __EROFS_ONDEMAND_H */
