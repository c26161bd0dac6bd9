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

static void cachefiles_store_read_record(struct cachefiles_od_object *object)
{
	struct cachefiles_od_xattr xattr;
	ssize_t len;

	object->stored_size = -1;
	object->stored_full = false;
	len = cachefiles_inject_read_error() ?:
		vfs_getxattr(&nop_mnt_idmap, object->file->f_path.dentry, cachefiles_od_xattr_name,
			     &xattr, sizeof(xattr));
	if (len != sizeof(xattr) || xattr.type != CACHEFILES_OD_XATTR_TYPE ||
	    xattr.version != cpu_to_be32(CACHEFILES_OD_XATTR_VERSION) ||
	    (xattr.content != CACHEFILES_CONTENT_ALL &&
	     xattr.content != CACHEFILES_CONTENT_BACKFS_MAP))
		return;
	object->stored_size = be64_to_cpu(xattr.object_size);
	object->stored_full = xattr.content == CACHEFILES_CONTENT_ALL;
}

/* Find or make the directory of a volume, marked as in use. */
static int cachefiles_store_volume_dir(struct cachefiles_od_volume *volume)
{
	struct cachefiles_ondemand *od = volume->od;
	const __be32 coherency = 0;
	struct dentry *dentry;
	bool is_new = false;

	char *name __free(kfree) = kasprintf(GFP_KERNEL, "I%s", volume->key);
	if (!name)
		return -ENOMEM;
	dentry = cachefiles_get_directory(od->cache, od->store, name, &is_new);
	if (IS_ERR(dentry))
		return PTR_ERR(dentry);
	/* As the plain mode marks its volumes; nothing depends on it. */
	if (is_new && !mnt_want_write(od->mnt)) {
		cachefiles_store_set_xattr(dentry, &coherency, sizeof(coherency));
		mnt_drop_write(od->mnt);
	}
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

/* The fan-out directory of an object, made and pinned when first needed. */
static struct dentry *cachefiles_store_fanout(struct cachefiles_od_object *object)
{
	struct cachefiles_od_volume *volume = object->volume;
	u8 index = object->key_hash;
	struct dentry *fan;
	char name[4];
	int ret;

	guard(mutex)(&volume->od->names_mutex);
	if (!volume->dentry) {
		ret = cachefiles_store_volume_dir(volume);
		if (ret)
			return ERR_PTR(ret);
	}
	fan = xa_load(&volume->fanout, index);
	if (fan)
		return fan;
	snprintf(name, sizeof(name), "@%02x", index);
	fan = cachefiles_get_directory(volume->od->cache, volume->dentry, name, NULL);
	if (IS_ERR(fan))
		return fan;
	ret = xa_err(xa_store(&volume->fanout, index, fan, GFP_KERNEL));
	if (ret) {
		cachefiles_put_directory(fan);
		return ERR_PTR(ret);
	}
	return fan;
}

/* Look the cache file up, and create it, under its final name, if there is none. */
static struct dentry *cachefiles_store_lookup(struct cachefiles_od_object *object,
					      struct dentry *fan, const char *name)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);
	struct path dir = { .mnt = od->mnt, .dentry = fan };
	struct dentry *dentry;
	int ret;

	dentry = lookup_one_positive_unlocked(&nop_mnt_idmap, &QSTR(name), fan);
	if (dentry != ERR_PTR(-ENOENT))
		return dentry;

	if (cachefiles_has_space(od->cache, 1, 0, cachefiles_has_space_for_create) < 0)
		return ERR_PTR(-ENOSPC);
	ret = mnt_want_write(od->mnt);
	if (ret)
		return ERR_PTR(ret);
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
	mnt_drop_write(od->mnt);
	return dentry;
}

/* The mark that keeps "cull" and everybody else in the kernel off the file. */
static bool cachefiles_store_mark(struct inode *inode)
{
	bool marked;

	inode_lock(inode);
	marked = !(inode->i_flags & S_KERNEL_FILE);
	inode->i_flags |= S_KERNEL_FILE;
	inode_unlock(inode);
	return marked;
}

static void cachefiles_store_unmark(struct inode *inode)
{
	inode_lock(inode);
	inode->i_flags &= ~S_KERNEL_FILE;
	inode_unlock(inode);
}

static int cachefiles_store_open_file(struct cachefiles_od_object *object)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);
	struct path path = { .mnt = od->mnt };
	struct dentry *fan;
	struct file *file;
	int ret = 0;

	char *name __free(kfree) = kasprintf(GFP_KERNEL, "D%s", object->key);
	if (!name)
		return -ENOMEM;
	fan = cachefiles_store_fanout(object);
	if (IS_ERR(fan))
		return PTR_ERR(fan);
	path.dentry = cachefiles_store_lookup(object, fan, name);
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
	object->file = file;
	cachefiles_store_read_record(object);
	/* Nothing else updates it, and who culls goes by it. */
	touch_atime(&file->f_path);
	return 0;
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

/* Open the cache file, create it if need be, and make it fit for the size. */
static int cachefiles_store_prepare(struct cachefiles_od_object *object, loff_t size)
{
	struct super_block *sb = cachefiles_od(object)->mnt->mnt_sb;
	u64 nr = DIV_ROUND_UP_ULL((u64)size, CACHEFILES_GRANULE_SIZE);
	u64 data_end = nr << CACHEFILES_GRANULE_SHIFT;
	u64 total;
	int ret;

	if (nr > ULONG_MAX)
		return -EFBIG;
	total = data_end + (u64)cachefiles_store_nr_chunks(nr) * CACHEFILES_MAP_CHUNK_BYTES;
	if (total > sb->s_maxbytes)
		return -EFBIG;
	if (!object->file) {
		ret = cachefiles_store_open_file(object);
		if (ret)
			return ret;
	}
	cachefiles_map_init(&object->map, nr);
	if (object->stored_size != size || i_size_read(file_inode(object->file)) != total) {
		object->stored_full = false;
		return cachefiles_store_reset(object, size, total);
	}
	return object->stored_full ? 0 : cachefiles_store_load_map(object, data_end, total);
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
	guard(spinlock)(&object->lock);
	object->full = object->stored_full || cachefiles_map_full(&object->map);
	/* Whoever sees the size finds the file and the map. */
	smp_store_release(&object->size, size);
	return 0;
}

/*
 * The cache disk has lost what was written to it.  Whatever the map on disk
 * does not have is missing again, and asked for again.
 */
static void cachefiles_store_lost(struct cachefiles_od_object *object, unsigned long index,
				  __le64 *buf, int error)
{
	loff_t pos = cachefiles_data_end(object->size) +
		     (loff_t)index * CACHEFILES_MAP_CHUNK_BYTES;

	pr_err_ratelimited("writing back %s/%s failed (%d): what was not safe is missing again\n",
			   object->volume->key, object->key, error);
	if (kernel_read(object->file, buf, CACHEFILES_MAP_CHUNK_BYTES, &pos) !=
	    CACHEFILES_MAP_CHUNK_BYTES)
		memset(buf, 0, CACHEFILES_MAP_CHUNK_BYTES);
	cachefiles_fetch_lost(object, index, buf);
}

static void cachefiles_store_flush_chunk(struct cachefiles_od_object *object, unsigned long index,
					 __le64 *buf)
{
	loff_t chunk = (loff_t)CACHEFILES_MAP_CHUNK_BITS << CACHEFILES_GRANULE_SHIFT;
	loff_t data_end = cachefiles_data_end(object->size);
	loff_t start = index * chunk, end = min(start + chunk, data_end);
	loff_t pos = data_end + (loff_t)index * CACHEFILES_MAP_CHUNK_BYTES;
	ssize_t ret;

	/* The copy before the flush: it has nothing that the flush has not. */
	scoped_guard(spinlock, &object->lock)
		if (!cachefiles_map_store_chunk(&object->map, index, buf))
			return;
	ret = cachefiles_inject_write_error() ?: vfs_fsync_range(object->file, start, end - 1, 1);
	if (ret) {
		cachefiles_store_lost(object, index, buf, ret);
		return;
	}
	ret = kernel_write(object->file, buf, CACHEFILES_MAP_CHUNK_BYTES, &pos);
	if (ret != CACHEFILES_MAP_CHUNK_BYTES)
		xa_set_mark(&object->map.chunks, index, CACHEFILES_MAP_DIRTY);
}

/* Write back what has been marked present since the last time. */
static void cachefiles_store_flush(struct cachefiles_od_object *object)
{
	__le64 *buf __free(kfree) = NULL;
	unsigned long index;
	void *entry;

	if (object->size < 0 || object->stored_full || xa_empty(&object->map.chunks))
		return;
	buf = kmalloc(CACHEFILES_MAP_CHUNK_BYTES, GFP_KERNEL);
	if (!buf)
		return;
	xa_for_each_marked(&object->map.chunks, index, entry, CACHEFILES_MAP_DIRTY)
		cachefiles_store_flush_chunk(object, index, buf);

	if (!READ_ONCE(object->full) || xa_marked(&object->map.chunks, CACHEFILES_MAP_DIRTY) ||
	    cachefiles_store_record(object, object->size, CACHEFILES_CONTENT_ALL))
		return;
	object->stored_full = true;
	/* Nobody asks the map of a full object. */
	guard(spinlock)(&object->lock);
	cachefiles_map_destroy(&object->map);
}

static void cachefiles_store_close(struct cachefiles_od_object *object)
{
	if (!object->file)
		return;
	cachefiles_store_unmark(file_inode(object->file));
	fput(object->file);
	object->file = NULL;
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
	if (object->file) {
		scoped_with_creds(cachefiles_od(object)->cred)
			cachefiles_store_flush(object);
	}
	if (close) {
		cachefiles_store_close(object);
		object->closed = true;
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
