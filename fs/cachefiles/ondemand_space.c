// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The space of the cache: its limits, what the daemon is told of it, and the
 * removal of what is not in use.
 */
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/statfs.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

/* How much may be filled before the free space is looked at again. */
#define CACHEFILES_SPACE_STEP	SZ_1M

/**
 * cachefiles_ondemand_set_limits - turn the limits into numbers of blocks and files
 * @cache: the device, with limits in percent
 * @root: the cache directory
 *
 * Context: may sleep; called with the cache's credentials.
 * Return: 0; -EOPNOTSUPP if the file system's blocks are of a size that can't be;
 * or its error.
 */
int cachefiles_ondemand_set_limits(struct cachefiles_cache *cache, const struct path *root)
{
	struct kstatfs stats;
	int ret = vfs_statfs(root, &stats);

	if (ret)
		return ret;
	if (stats.f_bsize <= 0 || stats.f_bsize > PAGE_SIZE)
		return -EOPNOTSUPP;
	cache->bsize = stats.f_bsize;
	cache->bshift = ilog2(stats.f_bsize);
	do_div(stats.f_files, 100);
	cache->fstop = stats.f_files * cache->fstop_percent;
	cache->fcull = stats.f_files * cache->fcull_percent;
	cache->frun = stats.f_files * cache->frun_percent;
	do_div(stats.f_blocks, 100);
	cache->bstop = stats.f_blocks * cache->bstop_percent;
	cache->bcull = stats.f_blocks * cache->bcull_percent;
	cache->brun = stats.f_blocks * cache->brun_percent;
	return 0;
}

/**
 * cachefiles_ondemand_check_space - may this much be filled?
 * @od: the instance
 * @bytes: how much
 *
 * Looks at the file system only every CACHEFILES_SPACE_STEP bytes, or while
 * there is too little.
 *
 * Context: may sleep.
 * Return: 0; -ENOSPC below the cache's "bstop" or "fstop" limit; or an error of
 * the file system.
 */
int cachefiles_ondemand_check_space(struct cachefiles_ondemand *od, size_t bytes)
{
	bool was_short = READ_ONCE(od->is_short), is_short;
	int ret = 0;

	if (atomic64_add_return(bytes, &od->unchecked) < CACHEFILES_SPACE_STEP)
		return 0;
	guard(rwsem_read)(&od->attach_sem);
	if (od->cache)
		ret = cachefiles_has_space(od->cache, 0, bytes >> od->cache->bshift,
					   cachefiles_has_space_for_write);
	if (ret < 0 && ret != -ENOBUFS)
		return ret;
	is_short = ret < 0;
	WRITE_ONCE(od->is_short, is_short);
	if (!is_short) {
		atomic64_set(&od->unchecked, 0);
		return 0;
	}
	cachefiles_od_count(od, CACHEFILES_OD_NO_SPACE, 1);
	trace_cachefiles_od_cache(od, CACHEFILES_OD_NO_SPACE_LEFT);
	if (!was_short)
		pr_warn_ratelimited("on-demand cache %pd is full up to its limits, fills fail\n",
				    od->root);
	return -ENOSPC;
}

/**
 * cachefiles_ondemand_space - tell the daemon how much space there is
 * @cache: the bound device
 * @space: where to
 *
 * Context: may sleep; under daemon_mutex.
 * Return: 0, or an error of the file system.
 */
int cachefiles_ondemand_space(struct cachefiles_cache *cache, struct cachefiles_space *space)
{
	const struct path path = { .mnt = cache->mnt, .dentry = cache->mnt->mnt_root };
	struct kstatfs stats;
	int ret;

	*space = (struct cachefiles_space) {
		.block_size	= cache->bsize,
		.brun		= cache->brun,
		.bcull		= cache->bcull,
		.bstop		= cache->bstop,
		.frun		= cache->frun,
		.fcull		= cache->fcull,
		.fstop		= cache->fstop,
	};
	/* Also sets, or clears, what poll says. */
	if (cachefiles_has_space(cache, 0, 0, cachefiles_has_space_check) < 0)
		space->flags |= CACHEFILES_SPACE_STOP;
	if (test_bit(CACHEFILES_CULLING, &cache->flags))
		space->flags |= CACHEFILES_SPACE_CULL;
	ret = vfs_statfs(&path, &stats);
	if (ret)
		return ret;
	space->blocks = stats.f_bavail;
	space->files = stats.f_ffree;
	return 0;
}

/* Remove a cache file or directory that is not in use. */
static int cachefiles_ondemand_remove(struct cachefiles_cache *cache, struct dentry *dir,
				      char *name)
{
	struct cachefiles_ondemand *od = cache->ondemand;
	struct dentry *victim;
	int ret;

	lockdep_assert_held_write(&od->cull_sem);
	/* Another cache's marks are none of ours, nor is cull_sem its lock. */
	if (!is_subdir(dir, od->store))
		return -ESTALE;
	victim = lookup_one_positive_unlocked(&nop_mnt_idmap, &QSTR(name), dir);
	if (IS_ERR(victim))
		return victim == ERR_PTR(-ENOENT) ? -ESTALE : PTR_ERR(victim);
	if (READ_ONCE(d_inode(victim)->i_flags) & S_KERNEL_FILE) {
		ret = -EBUSY;
	} else {
		ret = cachefiles_cull(cache, dir, name);
		/* That a directory could not be moved away is not told. */
		if (!ret && READ_ONCE(victim->d_parent) == dir && !d_unhashed(victim))
			ret = -EIO;
		/* It was marked, so that it is not picked up, and is still there. */
		if (ret)
			cachefiles_store_unmark(d_inode(victim));
		else
			cachefiles_od_count(od, CACHEFILES_OD_CULLED, 1);
	}
	dput(victim);
	trace_cachefiles_od_cull(od, name, ret);
	return ret;
}

/**
 * cachefiles_ondemand_cull - "cull" of a device in on-demand mode
 * @cache: the bound device
 * @dir: the directory that it is in
 * @name: the name of a cache file or directory
 *
 * An object that is being opened meanwhile is either found in use, or made anew.
 *
 * Context: may sleep; called with the cache's credentials.
 * Return: 0; -ESTALE if there is no such file, or @dir is not in the cache;
 * -EBUSY if it is in use; or an error, and then it can be used as before.
 */
int cachefiles_ondemand_cull(struct cachefiles_cache *cache, struct dentry *dir, char *name)
{
	struct cachefiles_ondemand *od = cache->ondemand;
	int ret;

	/* Before cull_sem: while the disk is frozen others go on. */
	ret = mnt_want_write(od->mnt);
	if (ret)
		return ret;
	scoped_guard(rwsem_write, &od->cull_sem)
		ret = cachefiles_ondemand_remove(cache, dir, name);
	mnt_drop_write(od->mnt);
	if (!ret)
		cachefiles_has_space(cache, 0, 0, cachefiles_has_space_check);
	return ret;
}
