// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Objects on disk: where the cache file is, what it says of itself, and when
 * the presence map is written to it.
 *
 * A cache file is DIR/cache/I<volume key>/@<fan-out>/D<cookie key>.  It has the
 * object's data, padded to a whole granule, then the presence map, a little
 * endian bit per granule, in whole map chunks.  An extended attribute records
 * the size, and whether the object is complete so that the map does not matter.
 *
 * The map on disk never says more than the data on disk has: a bit is written
 * only after the data it stands for has been flushed.  Bits are only ever set,
 * so a map that is torn by a crash is a mix of two that are both right.
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

static int cachefiles_store_record(struct cachefiles_od_object *object, loff_t size,
				   enum cachefiles_content content)
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

static void cachefiles_store_close(struct cachefiles_od_object *object)
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
	object->wb_err = filemap_sample_wb_err(file->f_mapping);
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
	if (object->size >= 0)
		return object->size == size ? 0 : -ESTALE;
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

/*
 * Chunks of the map that are written back together.  The error of a writeback
 * is told once, for the whole file, so none may be written before all the data
 * has been flushed.
 */
#define CACHEFILES_FLUSH_BATCH	16

struct cachefiles_flush {
	unsigned long	next;
	unsigned int	nr;
	unsigned long	index[CACHEFILES_FLUSH_BATCH];
	__le64		map[CACHEFILES_FLUSH_BATCH][CACHEFILES_MAP_CHUNK_BYTES / sizeof(__le64)];
};

static loff_t cachefiles_store_map_pos(struct cachefiles_od_object *object, unsigned long index)
{
	return cachefiles_data_end(object->size) + (loff_t)index * CACHEFILES_MAP_CHUNK_BYTES;
}

/* Copy the next chunks that have changed; what is in the copies has been written. */
static void cachefiles_store_collect(struct cachefiles_od_object *object,
				     struct cachefiles_flush *flush)
{
	unsigned long index;
	void *entry;

	flush->nr = 0;
	guard(spinlock)(&object->lock);
	for (index = flush->next,
	     entry = xa_find(&object->map.chunks, &index, ULONG_MAX, CACHEFILES_MAP_DIRTY); entry;
	     entry = xa_find_after(&object->map.chunks, &index, ULONG_MAX, CACHEFILES_MAP_DIRTY)) {
		flush->next = index + 1;
		if (!cachefiles_map_store_chunk(&object->map, index, flush->map[flush->nr]))
			continue;
		flush->index[flush->nr++] = index;
		if (flush->nr == CACHEFILES_FLUSH_BATCH)
			break;
	}
}

static void cachefiles_store_mark_dirty(struct cachefiles_od_object *object,
					struct cachefiles_flush *flush)
{
	while (flush->nr)
		xa_set_mark(&object->map.chunks, flush->index[--flush->nr], CACHEFILES_MAP_DIRTY);
}

static bool cachefiles_store_has_failed(struct cachefiles_od_object *object)
{
	return filemap_check_wb_err(object->file->f_mapping, READ_ONCE(object->wb_err));
}

/*
 * Write back what has been marked present since the last time, in one pass: what
 * is filled behind it has queued the next.
 *
 * Return: 0; 1 if it has to be tried again later; or an error if the file system
 * has lost what was written to it.
 */
static int cachefiles_store_flush(struct cachefiles_od_object *object,
				  struct cachefiles_flush *flush)
{
	int ret;

	flush->next = 0;
	for (;;) {
		unsigned int i;

		cachefiles_store_collect(object, flush);
		if (!flush->nr && !cachefiles_store_has_failed(object))
			break;
		ret = cachefiles_inject_write_error() ?:
			vfs_fsync_range(object->file, 0, cachefiles_data_end(object->size) - 1, 1);
		if (ret) {
			cachefiles_store_mark_dirty(object, flush);
			return ret;
		}
		WRITE_ONCE(object->wb_err, READ_ONCE(object->file->f_wb_err));
		for (i = 0; i < flush->nr; i++) {
			loff_t pos = cachefiles_store_map_pos(object, flush->index[i]);

			if (kernel_write(object->file, flush->map[i], CACHEFILES_MAP_CHUNK_BYTES,
					 &pos) != CACHEFILES_MAP_CHUNK_BYTES) {
				cachefiles_store_mark_dirty(object, flush);
				return 1;
			}
		}
	}

	/* In this order: what made it full was marked before. */
	if (!smp_load_acquire(&object->full) ||
	    xa_marked(&object->map.chunks, CACHEFILES_MAP_DIRTY))
		return 0;
	if (cachefiles_store_record(object, object->size, CACHEFILES_CONTENT_ALL))
		return 1;
	/* Who sees it may trust the disk: cachefiles_store_trust(). */
	smp_store_release(&object->stored_full, true);
	trace_cachefiles_od_complete(object, true);
	scoped_guard(spinlock, &object->lock) {
		/* Nobody asks the map of a full object. */
		cachefiles_map_destroy(&object->map);
		cachefiles_od_object_tell_full(object);
	}
	cachefiles_ondemand_kick(cachefiles_od(object));
	return 0;
}

/*
 * The cache's disk has lost what was written to it.  Whatever the map on disk
 * does not have is missing again, and will be asked for again.
 */
static void cachefiles_store_lost(struct cachefiles_od_object *object, int error)
{
	__le64 *buf __free(kfree) = kmalloc(CACHEFILES_MAP_CHUNK_BYTES, GFP_KERNEL | __GFP_NOFAIL);
	unsigned long index;
	void *entry;

	lockdep_assert_held(&object->fill_mutex);
	cachefiles_od_trouble(object, CACHEFILES_OD_LOST, error);
	pr_err_ratelimited("writing back %s/%s failed (%d): what was not safe is missing again\n",
			   object->volume->key, object->key, error);
	xa_for_each_marked(&object->map.chunks, index, entry, CACHEFILES_MAP_DIRTY) {
		loff_t pos = cachefiles_store_map_pos(object, index);

		if (kernel_read(object->file, buf, CACHEFILES_MAP_CHUNK_BYTES, &pos) !=
		    CACHEFILES_MAP_CHUNK_BYTES)
			memset(buf, 0, CACHEFILES_MAP_CHUNK_BYTES);
		cachefiles_fetch_lost(object, index, buf);
	}
	if (object->partial)
		memset(object->partial, 0, CACHEFILES_NR_PARTIAL * sizeof(*object->partial));
	/*
	 * Reads may go on, up to the next error after those that the flush heard
	 * of: those that find the map as it is now, see cachefiles_store_trust().
	 */
	smp_store_release(&object->wb_err, READ_ONCE(object->file->f_wb_err));
}

/**
 * cachefiles_store_trust - begin a read of the cache file
 * @object: the object, open
 *
 * Context: any.
 * Return: to be taken before the presence map is asked, and to be given to
 * cachefiles_store_suspect() when the read has ended.
 */
struct cachefiles_trust cachefiles_store_trust(struct cachefiles_od_object *object)
{
	struct cachefiles_trust trust;

	/* Pairs with the release in cachefiles_store_flush(). */
	trust.complete = smp_load_acquire(&object->stored_full);
	/* Pairs with the release in cachefiles_store_lost(). */
	trust.wb_err = smp_load_acquire(&object->wb_err);
	return trust;
}

/**
 * cachefiles_store_suspect - may the cache file have lost what was written?
 * @object: the object, open
 * @trust: what the read went by
 *
 * Between the failure of a writeback and the flush that hears of it, a page may
 * be dropped and be read back as zeros, while the map still has it.  The flush
 * may come, and be done, while the read is under way.
 *
 * Context: any.
 * Return: true if what was read of the cache file is not to be trusted; the flush
 * that puts it right has been queued.
 */
bool cachefiles_store_suspect(struct cachefiles_od_object *object, struct cachefiles_trust trust)
{
	if (likely(trust.complete ||
		   !filemap_check_wb_err(object->file->f_mapping, trust.wb_err)))
		return false;
	cachefiles_store_flush_soon(object, 0);
	return true;
}

static void cachefiles_store_flush_object(struct cachefiles_od_object *object, bool locked)
{
	struct cachefiles_flush *flush;
	int error;

	if (!object->file || object->size < 0 || object->stored_full)
		return;
	flush = kvmalloc_obj(*flush);
	error = flush ? cachefiles_store_flush(object, flush) : 1;
	kvfree(flush);
	/* What is full is not filled any more, so no fill would have it tried again. */
	if (error > 0 && !locked)
		cachefiles_store_flush_soon(object, CACHEFILES_FLUSH_DELAY);
	if (error >= 0)
		return;
	if (!locked)
		mutex_lock(&object->fill_mutex);
	cachefiles_store_lost(object, error);
	if (locked)
		return;
	mutex_unlock(&object->fill_mutex);
	cachefiles_fetch_again(object);
}

/**
 * cachefiles_store_flush_work - write the map back; close a dropped object
 * @work: the object's flush_work
 *
 * Context: waits for the local disk, never for the daemon.
 */
void cachefiles_store_flush_work(struct work_struct *work)
{
	struct cachefiles_od_object *object =
		container_of(to_delayed_work(work), struct cachefiles_od_object, flush_work);
	bool close = READ_ONCE(object->state) == CACHEFILES_OD_DROPPED && !object->closed;

	/* A fill that is under way gets marked; one that comes now finds no file. */
	if (close)
		mutex_lock(&object->fill_mutex);
	scoped_with_creds(cachefiles_od(object)->cred)
		cachefiles_store_flush_object(object, close);
	if (close) {
		cachefiles_store_close(object);
		object->closed = true;
		/* That last fill may have queued this again. */
		if (cancel_delayed_work(&object->flush_work))
			cachefiles_od_object_put(object);
		mutex_unlock(&object->fill_mutex);
		cachefiles_od_object_forget(object);
	}
	cachefiles_od_object_put(object);
}

/**
 * cachefiles_store_flush_soon - have the map written back
 * @object: the object
 * @delay: jiffies from now at most; CACHEFILES_FLUSH_DELAY after a fill, 0 for a
 *	dropped object
 */
void cachefiles_store_flush_soon(struct cachefiles_od_object *object, unsigned long delay)
{
	bool queued;

	cachefiles_od_object_get(object);
	if (delay)
		queued = queue_delayed_work(cachefiles_ondemand_wq, &object->flush_work, delay);
	else
		queued = !mod_delayed_work(cachefiles_ondemand_wq, &object->flush_work, 0);
	if (!queued)
		cachefiles_od_object_put(object);
}
