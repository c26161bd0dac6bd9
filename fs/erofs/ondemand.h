/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Images whose blobs come from an on-demand cache: what super.c and others call. */
#ifndef __EROFS_ONDEMAND_H
#define __EROFS_ONDEMAND_H

#include <linux/seq_file.h>
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
void erofs_ondemand_read_meta(const struct erofs_map_dev *mdev);
int erofs_ondemand_why(struct inode *inode, loff_t pos);

/* What a read that got @ret from the page cache tells its caller. */
static inline ssize_t erofs_ondemand_read_error(struct inode *inode, loff_t pos, ssize_t ret)
{
	if (ret == -EIO && erofs_is_ondemand(EROFS_I_SB(inode)))
		return erofs_ondemand_why(inode, pos);
	return ret;
}

static inline bool erofs_ondemand_is_shut(const struct erofs_sb_info *sbi)
{
	return READ_ONCE(sbi->ondemand_shut);
}

/*
 * Was an address of the whole image resolved into another blob?  Then it is no
 * longer one that can be compared with the next.
 */
static inline bool erofs_ondemand_remapped(const struct erofs_map_dev *mdev)
{
	return !mdev->m_deviceid && mdev->m_dif != &EROFS_SB(mdev->m_sb)->dif0;
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

static inline ssize_t erofs_ondemand_read_error(struct inode *inode, loff_t pos, ssize_t ret)
{
	return ret;
}

static inline bool erofs_ondemand_is_shut(const struct erofs_sb_info *sbi)
{
	return false;
}

static inline bool erofs_ondemand_remapped(const struct erofs_map_dev *mdev)
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
