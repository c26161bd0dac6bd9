// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Objects on disk: where the cache file is, and what it says of itself.
 *
 * A cache file is DIR/cache/I<volume key>/@<fan-out>/D<cookie key>.  It has the
 * object's data, padded to a whole granule, then the presence map, a little
 * endian bit per granule, in whole map chunks.  An extended attribute records
 * the size, and whether the object is complete so that the map does not matter.
 *
 * The map on disk never says more than the data on disk has: a bit is written
 * only after the data it stands for has been flushed.  Bits are only ever set,
 * so a map that is torn by a crash is a mix of two that are both right.  There is
 * no checksum: the file system must not show blocks that were never written, see
 * cachefiles_ondemand_check_root().
 */
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/security.h>
#include <linux/slab.h>
#include <linux/xattr.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

static const char cachefiles_od_xattr_name[] = XATTR_USER_PREFIX "CacheFiles.cache";

/*
 * The head is what cachefiles has for every object, so that tools find what
 * they expect; the version keeps anybody else from taking the file for theirs.
 */
struct cachefiles_od_xattr {
	__be64	object_size;
	__be64	zero_point;
	__u8	type;
	__u8	content;
	__be32	version;
} __packed;

#define CACHEFILES_OD_XATTR_TYPE	1
#define CACHEFILES_OD_XATTR_VERSION	1

static int cachefiles_store_set_xattr(struct dentry *dentry, const void *value, size_t size)
{
	return cachefiles_inject_write_error() ?:
		vfs_setxattr(&nop_mnt_idmap, dentry, cachefiles_od_xattr_name, value, size, 0);
}

/**
 * cachefiles_store_record - write the record of a cache file
 * @object: the object, its file open
 * @size: its size in bytes
 * @content: enum cachefiles_content: nothing to rely on, what the map says, or all
 *
 * Context: may sleep, for the local disk; under the cache's credentials.
 * Return: 0, or an error of the file system.
 */
int cachefiles_store_record(struct cachefiles_od_object *object, loff_t size,
			    unsigned int content)
{
	struct cachefiles_od_xattr xattr = {
		.object_size	= cpu_to_be64(size),
		.type		= CACHEFILES_OD_XATTR_TYPE,
		.content	= content,
		.version	= cpu_to_be32(CACHEFILES_OD_XATTR_VERSION),
	};
	int ret = mnt_want_write_file(object->file);

	if (ret)
		return ret;
	ret = cachefiles_store_set_xattr(object->file->f_path.dentry, &xattr, sizeof(xattr));
	mnt_drop_write_file(object->file);
	return ret;
}

static int cachefiles_store_read_record(struct cachefiles_od_object *object)
{
	struct cachefiles_od_xattr xattr;
	ssize_t len;

	object->stored_size = -1;
	object->stored_full = false;
	len = cachefiles_inject_read_error() ?:
		vfs_getxattr(&nop_mnt_idmap, object->file->f_path.dentry, cachefiles_od_xattr_name,
			     &xattr, sizeof(xattr));
	/* A disk that can't tell does not say that there is none. */
	if (len < 0 && len != -ENODATA && len != -ERANGE)
		return len;
	if (len != sizeof(xattr) || xattr.type != CACHEFILES_OD_XATTR_TYPE ||
	    xattr.version != cpu_to_be32(CACHEFILES_OD_XATTR_VERSION) ||
	    (xattr.content != CACHEFILES_CONTENT_ALL &&
	     xattr.content != CACHEFILES_CONTENT_BACKFS_MAP))
		return 0;
	object->stored_size = be64_to_cpu(xattr.object_size);
	object->stored_full = xattr.content == CACHEFILES_CONTENT_ALL;
	return 0;
}

/* The mark that keeps "cull" and everybody else in the kernel off a file. */
static bool cachefiles_store_mark(struct inode *inode)
{
	bool marked;

	inode_lock(inode);
	marked = !(inode->i_flags & S_KERNEL_FILE);
	inode->i_flags |= S_KERNEL_FILE;
	inode_unlock(inode);
	return marked;
}

/**
 * cachefiles_store_unmark - a file of the cache is not in use any more
 * @inode: its inode
 *
 * Context: may sleep.
 */
void cachefiles_store_unmark(struct inode *inode)
{
	inode_lock(inode);
	inode->i_flags &= ~S_KERNEL_FILE;
	inode_unlock(inode);
}

/* Find a directory, or with @create make it, and mark it as in use. */
static struct dentry *cachefiles_store_get_dir(struct cachefiles_ondemand *od,
					       struct dentry *parent, const char *name,
					       bool create, bool *is_new)
{
	struct dentry *dentry;
	int ret = 0;

	if (create)
		return cachefiles_get_directory(od->cache, parent, name, is_new);
	dentry = lookup_one_positive_unlocked(&nop_mnt_idmap, &QSTR(name), parent);
	if (IS_ERR(dentry))
		return dentry;
	if (!d_can_lookup(dentry))
		ret = -ENOTDIR;
	else if (!cachefiles_store_mark(d_inode(dentry)))
		ret = -EBUSY;
	/* The mark keeps the daemon from removing it, or it, or one before, was too late. */
	if (ret != -ENOTDIR && IS_DEADDIR(d_inode(dentry)))
		ret = -ENOENT;
	if (!ret)
		return dentry;
	dput(dentry);
	return ERR_PTR(ret);
}

/* Find or make the directory of a volume, marked as in use. */
static int cachefiles_store_volume_dir(struct cachefiles_od_volume *volume, bool create)
{
	struct cachefiles_ondemand *od = volume->od;
	const __be32 coherency = 0;
	struct dentry *dentry;
	bool is_new = false;

	char *name __free(kfree) = kasprintf(GFP_KERNEL, "I%s", volume->key);
	if (!name)
		return -ENOMEM;
	dentry = cachefiles_store_get_dir(od, od->store, name, create, &is_new);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	/* As the plain mode marks its volumes; nothing depends on it. */
	if (is_new)
		cachefiles_store_set_xattr(dentry, &coherency, sizeof(coherency));
	volume->dentry = dentry;
	return 0;
}

/**
 * cachefiles_store_release_volume - let go of the directories of a volume
 * @volume: the volume, without objects
 *
 * Context: may sleep.
 */
void cachefiles_store_release_volume(struct cachefiles_od_volume *volume)
{
	struct dentry *fan;
	unsigned long index;

	xa_for_each(&volume->fanout, index, fan)
		cachefiles_put_directory(fan);
	xa_destroy(&volume->fanout);
	cachefiles_put_directory(volume->dentry);
}

/* The fan-out directory of an object, pinned when first needed. */
static struct dentry *cachefiles_store_pin_fanout(struct cachefiles_od_object *object, bool create)
{
	struct cachefiles_od_volume *volume = object->volume;
	u8 index = object->key_hash;
	struct dentry *fan;
	char name[4];
	int ret;

	guard(mutex)(&volume->od->names_mutex);
	if (!volume->dentry) {
		ret = cachefiles_store_volume_dir(volume, create);
		if (ret)
			return ERR_PTR(ret);
	}
	fan = xa_load(&volume->fanout, index);
	if (fan)
		return fan;
	snprintf(name, sizeof(name), "@%02x", index);
	fan = cachefiles_store_get_dir(volume->od, volume->dentry, name, create, NULL);
	if (IS_ERR(fan))
		return fan;
	ret = xa_err(xa_store(&volume->fanout, index, fan, GFP_KERNEL));
	if (ret) {
		cachefiles_put_directory(fan);
		return ERR_PTR(ret);
	}
	return fan;
}

static struct dentry *cachefiles_store_fanout(struct cachefiles_od_object *object, bool create)
{
	struct dentry *fan = cachefiles_store_pin_fanout(object, create);

	/* The plain mode's word for a cache that is too full. */
	return fan == ERR_PTR(-ENOBUFS) ? ERR_PTR(-ENOSPC) : fan;
}

/*
 * Look the cache file up, and with @create make it, under its final name, if there
 * is none.
 */
static struct dentry *cachefiles_store_lookup(struct cachefiles_od_object *object,
					      struct dentry *fan, const char *name, bool create)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);
	struct path dir = { .mnt = od->mnt, .dentry = fan };
	struct dentry *dentry;
	int ret;

	dentry = lookup_one_positive_unlocked(&nop_mnt_idmap, &QSTR(name), fan);
	if (dentry != ERR_PTR(-ENOENT) || !create)
		return dentry;

	ret = cachefiles_has_space(od->cache, 1, 0, cachefiles_has_space_for_create);
	if (ret < 0)
		return ERR_PTR(ret == -ENOBUFS ? -ENOSPC : ret);
	dentry = start_creating(&nop_mnt_idmap, fan, &QSTR(name));
	if (!IS_ERR(dentry)) {
		if (d_is_negative(dentry)) {
			ret = security_path_mknod(&dir, dentry, S_IFREG | 0600, 0) ?:
				cachefiles_inject_write_error() ?:
				vfs_create(&nop_mnt_idmap, dentry, S_IFREG | 0600, NULL);
		}
		if (ret) {
			end_creating(dentry);
			dentry = ERR_PTR(ret);
		} else {
			dentry = end_creating_keep(dentry);
		}
	}
	return dentry;
}

/*
 * The i_rwsem of a cache file in use, for lockdep.  A file system that takes it
 * to read has it below the locks of the mount that is read, while a user's read
 * of any other file there has page faults, and so these locks, below it.  Ours
 * never fault: the memory is always the kernel's.
 */
#define CACHEFILES_OD_FILE_SUBCLASS	(I_MUTEX_PARENT2 + 1)

/**
 * cachefiles_store_close - close the cache file of an object
 * @object: the object; without a file nothing is done
 *
 * Context: may sleep, for the local disk; under fill_mutex.
 */
void cachefiles_store_close(struct cachefiles_od_object *object)
{
	if (!object->file)
		return;
	lockdep_set_subclass(&file_inode(object->file)->i_rwsem, I_MUTEX_NORMAL);
	cachefiles_store_unmark(file_inode(object->file));
	/* Now, and not some time: the disk may be waited for to be unmounted. */
	__fput_sync(object->file);
	object->file = NULL;
}

/* With @create the caller has write access to the mount. */
static int cachefiles_store_find_file(struct cachefiles_od_object *object, bool create)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);
	struct path path = { .mnt = od->mnt };
	struct dentry *fan;
	struct file *file;
	int ret = 0;

	char *name __free(kfree) = kasprintf(GFP_KERNEL, "D%s", object->key);
	if (!name)
		return -ENOMEM;
	/* What is found here is not culled before it is marked. */
	guard(rwsem_read)(&od->cull_sem);
	fan = cachefiles_store_fanout(object, create);
	if (IS_ERR(fan))
		return PTR_ERR(fan);
	path.dentry = cachefiles_store_lookup(object, fan, name, create);
	if (IS_ERR(path.dentry))
		return PTR_ERR(path.dentry);

	if (!d_is_reg(path.dentry)) {
		pr_err_ratelimited("%s/%s in the cache is not a regular file: remove it\n",
				   object->volume->key, name);
		ret = -EEXIST;
	} else if (!cachefiles_store_mark(d_inode(path.dentry))) {
		ret = -EBUSY;
	}
	if (ret) {
		dput(path.dentry);
		return ret;
	}
	file = kernel_file_open(&path, O_RDWR | O_LARGEFILE, od->cred);
	if (IS_ERR(file)) {
		cachefiles_store_unmark(d_inode(path.dentry));
		dput(path.dentry);
		return PTR_ERR(file);
	}
	dput(path.dentry);
	lockdep_set_subclass(&file_inode(file)->i_rwsem, CACHEFILES_OD_FILE_SUBCLASS);
	object->file = file;
	/* What went wrong before is of no consequence: what the map on disk has is safe. */
	errseq_check_and_advance(&file->f_mapping->wb_err, &file->f_wb_err);
	object->wb_err = file->f_wb_err;
	ret = cachefiles_store_read_record(object);
	if (ret) {
		cachefiles_store_close(object);
		return ret;
	}
	/* Nothing else updates it, and who culls goes by it. */
	touch_atime(&file->f_path);
	return 0;
}

static int cachefiles_store_open_file(struct cachefiles_od_object *object, bool create)
{
	struct vfsmount *mnt = cachefiles_od(object)->mnt;
	int ret = cachefiles_store_find_file(object, false);

	if (ret != -ENOENT || !create)
		return ret;
	/* Without locks that others need: a disk that is frozen holds up only this. */
	ret = mnt_want_write(mnt);
	if (ret)
		return ret;
	ret = cachefiles_store_find_file(object, true);
	mnt_drop_write(mnt);
	return ret;
}

/* Read the presence map from the cache file. */
static int cachefiles_store_load_map(struct cachefiles_od_object *object, loff_t map_pos,
				     loff_t end)
{
	__le64 *buf __free(kfree) = kmalloc(CACHEFILES_MAP_CHUNK_BYTES, GFP_KERNEL);
	loff_t pos;
	ssize_t ret;

	if (!buf)
		return -ENOMEM;
	for (pos = map_pos; pos < end; ) {
		unsigned long index;
		loff_t at;

		/* A hole in the map is nothing present; this can only skip zeros. */
		pos = vfs_llseek(object->file, pos, SEEK_DATA);
		if (pos < 0)
			return pos == -ENXIO ? 0 : pos;
		if (pos >= end)
			break;
		index = (pos - map_pos) / CACHEFILES_MAP_CHUNK_BYTES;
		pos = map_pos + (loff_t)index * CACHEFILES_MAP_CHUNK_BYTES;
		at = pos;
		ret = cachefiles_inject_read_error() ?:
			kernel_read(object->file, buf, CACHEFILES_MAP_CHUNK_BYTES, &at);
		if (ret != CACHEFILES_MAP_CHUNK_BYTES)
			return ret < 0 ? ret : -EIO;
		ret = cachefiles_map_load_chunk(&object->map, index, buf);
		if (ret)
			return ret;
		pos += CACHEFILES_MAP_CHUNK_BYTES;
		if (fatal_signal_pending(current))
			return -EINTR;
		cond_resched();
	}
	return 0;
}

static unsigned long cachefiles_store_nr_chunks(unsigned long nr_granules)
{
	return DIV_ROUND_UP(nr_granules, CACHEFILES_MAP_CHUNK_BITS);
}

/*
 * Make the file one of @total bytes in which nothing is present.  The record is
 * void while this lasts: a crash in between leaves a file that starts empty.
 */
static int cachefiles_store_reset(struct cachefiles_od_object *object, loff_t size, loff_t total)
{
	const struct path *path = &object->file->f_path;

	return cachefiles_store_record(object, size, CACHEFILES_CONTENT_NO_DATA) ?:
		vfs_truncate(path, 0) ?:
		cachefiles_inject_write_error() ?:
		vfs_truncate(path, total) ?:
		cachefiles_store_record(object, size, CACHEFILES_CONTENT_BACKFS_MAP);
}

static u64 cachefiles_store_nr_granules(loff_t size)
{
	return DIV_ROUND_UP_ULL((u64)size, CACHEFILES_GRANULE_SIZE);
}

/* How long the cache file of an object of this size is: its data and its map. */
static u64 cachefiles_store_total(loff_t size)
{
	u64 nr = cachefiles_store_nr_granules(size);

	return (nr << CACHEFILES_GRANULE_SHIFT) +
	       (u64)cachefiles_store_nr_chunks(nr) * CACHEFILES_MAP_CHUNK_BYTES;
}

/* What has been filled is about to be thrown away. */
static void cachefiles_store_note_emptied(struct cachefiles_od_object *object, loff_t size)
{
	cachefiles_od_trouble(object, CACHEFILES_OD_EMPTIED, 0);
	pr_notice_ratelimited("%s/%s: its cache file %s, and starts empty\n",
			      object->volume->key, object->key,
			      object->stored_size < 0 ? "has no valid record" :
			      object->stored_size != size ? "was for another size" :
			      "has the wrong length");
}

/* Open the cache file, create it if need be, and make it fit for the size. */
static int cachefiles_store_prepare(struct cachefiles_od_object *object, loff_t size)
{
	struct super_block *sb = cachefiles_od(object)->mnt->mnt_sb;
	u64 total = cachefiles_store_total(size);
	int ret;

	if (total > sb->s_maxbytes)
		return -EFBIG;
	if (!object->file) {
		ret = cachefiles_store_open_file(object, true);
		if (ret)
			return ret;
	}
	cachefiles_map_init(&object->map, cachefiles_store_nr_granules(size));
	if (object->stored_size != size || i_size_read(file_inode(object->file)) != total) {
		if (i_size_read(file_inode(object->file)))
			cachefiles_store_note_emptied(object, size);
		object->stored_full = false;
		return cachefiles_store_reset(object, size, total);
	}
	if (object->stored_full)
		return 0;
	return cachefiles_store_load_map(object, cachefiles_data_end(size), total);
}

/**
 * cachefiles_store_set_size - open the cache file of an object
 * @object: the object
 * @size: its size in bytes, as the daemon says
 *
 * A file that was recorded with this size is taken with what is present in it;
 * any other starts empty.  Nothing is made on disk for a blob that the daemon
 * does not have, as this is not called for it.
 *
 * Context: may sleep, killably.
 * Return: 0; -ESTALE if the object has been dropped or is known with another
 * size; -EFBIG if the file system can't have such a file; -EBUSY if somebody
 * else in the kernel uses it; -EEXIST if there is something else of its name;
 * -ENOSPC if the cache is too full for a new one; -EINTR; -EIO if the daemon has
 * gone; or another error of the file system.
 */
int cachefiles_store_set_size(struct cachefiles_od_object *object, loff_t size)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);
	int ret;

	guard(rwsem_read)(&od->attach_sem);
	ACQUIRE(mutex_kill, lock)(&object->fill_mutex);
	if (ACQUIRE_ERR(mutex_kill, &lock))
		return -EINTR;
	if (READ_ONCE(object->state) == CACHEFILES_OD_DROPPED)
		return -ESTALE;
	if (object->size >= 0) {
		if (object->size != size)
			return -ESTALE;
		/* It may have been filled through an fd that outlived its daemon. */
		cachefiles_od_object_prepare_full(object);
		return 0;
	}
	if (!od->cache)
		return -EIO;

	scoped_with_creds(od->cred)
		ret = cachefiles_store_prepare(object, size);
	if (ret) {
		cachefiles_map_destroy(&object->map);
		return ret;
	}
	cachefiles_od_object_prepare_full(object);
	scoped_guard(spinlock, &object->lock) {
		object->full = object->stored_full || cachefiles_map_full(&object->map);
		/* Whoever sees the size finds the file and the map. */
		smp_store_release(&object->size, size);
	}
	/* Perhaps it only could not be recorded. */
	if (object->full && !object->stored_full)
		cachefiles_store_flush_soon(object, 0);
	return 0;
}

/* Open the cache file if there is one and it was recorded as complete. */
static int cachefiles_store_find_complete(struct cachefiles_od_object *object)
{
	int ret = object->file ? 0 : cachefiles_store_open_file(object, false);

	if (ret)
		return ret;
	if (!object->stored_full || object->stored_size < 0 ||
	    i_size_read(file_inode(object->file)) != cachefiles_store_total(object->stored_size))
		return -ENODATA;
	return 0;
}

/**
 * cachefiles_store_open_complete - open an object without asking the daemon
 * @object: the object
 *
 * Possible if its cache file is complete; it then has the size that it was
 * recorded with.  Nothing is made on disk.
 *
 * Context: may sleep, killably.
 * Return: 0; -ENOENT if there is no cache file; -ENODATA if it is not complete;
 * -ESTALE if the object has been dropped; -EBUSY if somebody else in the kernel
 * uses it; -EINTR; or another error of the file system.
 */
int cachefiles_store_open_complete(struct cachefiles_od_object *object)
{
	int ret;

	ACQUIRE(mutex_kill, lock)(&object->fill_mutex);
	if (ACQUIRE_ERR(mutex_kill, &lock))
		return -EINTR;
	if (READ_ONCE(object->state) == CACHEFILES_OD_DROPPED)
		return -ESTALE;
	if (object->size >= 0)
		return 0;
	scoped_with_creds(cachefiles_od(object)->cred)
		ret = cachefiles_store_find_complete(object);
	if (ret)
		return ret;
	cachefiles_map_init(&object->map, cachefiles_store_nr_granules(object->stored_size));
	guard(spinlock)(&object->lock);
	object->full = true;
	/* As in cachefiles_store_set_size(). */
	smp_store_release(&object->size, object->stored_size);
	wake_up_all(&object->open_wq);
	return 0;
}
