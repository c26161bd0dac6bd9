// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What has been filled becomes safe, or is lost: when the presence map is written
 * to the cache file, and what a read of the file may be trusted for before.
 *
 * fail-closed: a read goes by the map, and so the map must not say more than the
 * file has.  A file system that can't write back what it has taken drops it, and
 * what has been dropped reads as zeros.
 */
#include <linux/slab.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

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
	__le64		on_disk[CACHEFILES_MAP_CHUNK_BYTES / sizeof(__le64)];
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

/*
 * The next hole of the cache file or, by @whence, the end of one; at most @end, or
 * an error.
 */
static loff_t cachefiles_store_seek(struct cachefiles_od_object *object, loff_t pos, loff_t end,
				    int whence)
{
	/* It moves the position of the file, which nobody uses. */
	guard(mutex)(&object->seek_mutex);
	return min(vfs_llseek(object->file, pos, whence), end);
}

/* What the map on disk says of a chunk. */
static void cachefiles_store_read_chunk(struct cachefiles_od_object *object, unsigned long index,
					__le64 *buf)
{
	loff_t pos = cachefiles_store_map_pos(object, index);

	if (kernel_read(object->file, buf, CACHEFILES_MAP_CHUNK_BYTES, &pos) !=
	    CACHEFILES_MAP_CHUNK_BYTES)
		memset(buf, 0, CACHEFILES_MAP_CHUNK_BYTES);
}

/*
 * Is one of these granules, all in a chunk, marked present and not so on disk?
 * @buf, if it has been read already, is what the map on disk says.
 */
static bool cachefiles_store_any_unsafe(struct cachefiles_od_object *object, unsigned long first,
					unsigned long last, __le64 *buf, bool *read)
{
	for (;; first++) {
		unsigned int bit;

		scoped_guard(spinlock, &object->lock)
			first = cachefiles_map_next_present(&object->map, first, last);
		if (first > last)
			return false;
		if (!*read)
			cachefiles_store_read_chunk(object, first / CACHEFILES_MAP_CHUNK_BITS, buf);
		*read = true;
		bit = first % CACHEFILES_MAP_CHUNK_BITS;
		if (!(le64_to_cpu(buf[bit / 64]) & BIT_ULL(bit % 64)))
			return true;
	}
}

/*
 * Are there holes in these bytes, all in one chunk of the map, where something has
 * been filled that is not safe yet?  A file system that finds no room for what it
 * has taken already may drop it and remember no error.  What was safe before it
 * became a hole is zeros.
 */
static bool cachefiles_store_chunk_lacks(struct cachefiles_od_object *object, loff_t pos,
					 loff_t end, __le64 *buf)
{
	bool read = false;
	loff_t data;

	for (; pos < end; pos = data) {
		loff_t hole = cachefiles_store_seek(object, pos, end, SEEK_HOLE);

		data = hole < 0 ? hole : cachefiles_store_seek(object, hole, end, SEEK_DATA);
		/* What can't be found out may all be a hole. */
		if (hole < 0)
			hole = pos;
		if (data < 0)
			data = end;
		if (data > hole &&
		    cachefiles_store_any_unsafe(object, cachefiles_granule(hole),
						cachefiles_granule(data - 1), buf, &read))
			return true;
		cond_resched();
	}
	return false;
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

/* The bytes of the object that a chunk of the map is about. */
#define CACHEFILES_CHUNK_SPAN	((u64)CACHEFILES_MAP_CHUNK_BITS << CACHEFILES_GRANULE_SHIFT)

/* Have the data of what was collected become holes, though the flush went well? */
static bool cachefiles_store_flushed_holes(struct cachefiles_od_object *object,
					   struct cachefiles_flush *flush)
{
	unsigned int i;

	for (i = 0; i < flush->nr; i++) {
		u64 pos = flush->index[i] * CACHEFILES_CHUNK_SPAN;
		u64 end = min_t(u64, pos + CACHEFILES_CHUNK_SPAN, object->size);

		if (cachefiles_store_chunk_lacks(object, pos, end, flush->on_disk))
			return true;
	}
	return false;
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
		/*
		 * An error may have been told to another user of the file, or be none
		 * that is told: some file systems that are read-only sync nothing.
		 */
		if (!ret && (cachefiles_store_has_failed(object) ||
			     cachefiles_store_flushed_holes(object, flush)))
			ret = -EIO;
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
		/*
		 * Nobody asks the map of a full object but a read that has begun
		 * before, and for that an empty one will do: @full is asked first.
		 */
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
	/* If the file system has not told it: all that is not safe will be gone. */
	error = file_check_and_advance_wb_err(object->file) ?: error;
	cachefiles_od_trouble(object, CACHEFILES_OD_LOST, error);
	pr_err_ratelimited("writing back %s/%s failed (%d): what was not safe is missing again\n",
			   object->volume->key, object->key, error);
	xa_for_each_marked(&object->map.chunks, index, entry, CACHEFILES_MAP_DIRTY) {
		cachefiles_store_read_chunk(object, index, buf);
		cachefiles_fetch_lost(object, index, buf);
	}
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
	/* Pairs with the release in cachefiles_store_lost(): the map is asked later. */
	trust.wb_err = smp_load_acquire(&object->wb_err);
	/* Pairs with the release in cachefiles_fetch_lost(). */
	trust.nr_lost = smp_load_acquire(&object->nr_lost);
	return trust;
}

/**
 * cachefiles_store_suspect - may the cache file have lost what was written?
 * @object: the object, open
 * @trust: what the read went by
 *
 * Between the failure of a writeback and the flush that hears of it, a page may
 * be dropped and be read back as zeros, while the map still has it.  The flush
 * may come, and be done, while the read is under way.  To be asked last of all:
 * what cachefiles_store_lacks() has found may have been the map after that.
 *
 * Context: any.
 * Return: true if what was read of the cache file is not to be trusted; the flush
 * that puts it right has been queued.
 */
bool cachefiles_store_suspect(struct cachefiles_od_object *object, struct cachefiles_trust trust)
{
	if (likely(trust.complete ||
		   (!filemap_check_wb_err(object->file->f_mapping, trust.wb_err) &&
		    trust.nr_lost == READ_ONCE(object->nr_lost))))
		return false;
	cachefiles_store_flush_soon(object, 0);
	return true;
}

/**
 * cachefiles_store_lacks - has the cache file lost these bytes, and told nobody?
 * @object: the object, open
 * @trust: what the read of them went by
 * @pos: first byte
 * @len: how many
 *
 * To be asked for what has been read as zeros, see cachefiles_store_chunk_lacks().
 *
 * Context: may sleep, for the local disk; does not recurse into file systems.
 * Return: as cachefiles_store_suspect().
 */
bool cachefiles_store_lacks(struct cachefiles_od_object *object, struct cachefiles_trust trust,
			    loff_t pos, size_t len)
{
	loff_t end = min_t(u64, object->size, pos + len), next;

	if (trust.complete)
		return false;
	__le64 *buf __free(kfree) = kmalloc(CACHEFILES_MAP_CHUNK_BYTES, GFP_NOFS | __GFP_NOFAIL);

	for (; pos < end; pos = next) {
		bool lacks;

		next = min_t(u64, end, round_up(pos + 1, CACHEFILES_CHUNK_SPAN));
		scoped_with_creds(cachefiles_od(object)->cred)
			lacks = cachefiles_store_chunk_lacks(object, pos, next, buf);
		if (lacks) {
			/* Even if the map was thought to be on disk. */
			xa_set_mark(&object->map.chunks, div64_u64(pos, CACHEFILES_CHUNK_SPAN),
				    CACHEFILES_MAP_DIRTY);
			cachefiles_store_flush_soon(object, 0);
			return true;
		}
	}
	return false;
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
