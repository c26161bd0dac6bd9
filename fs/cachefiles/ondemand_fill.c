// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Filling the cache file with what the daemon writes, from any task, at any
 * time, in pieces of any size.
 *
 * A granule is written, and marked present, when there are all its bytes, and is
 * never written again: a filled byte does not change under a reader.
 */
#include <linux/slab.h>
#include <linux/uio.h>
#include "internal.h"

/*
 * The daemon's data is copied before it is written: a page fault on its memory
 * can take for ever, and must not happen under a lock of the cache's file system
 * or under fill_mutex.  Readers have each chunk when it is written: a large one
 * has them wait and is in no CPU's cache any more when it is written.
 */
#define CACHEFILES_FILL_CHUNK	SZ_128K

/* The cache's file system does not take it. */
static void cachefiles_fill_refused(struct cachefiles_od_object *object, int error)
{
	/* The task is being killed, and nothing is wrong with the disk. */
	if (error == -EINTR)
		return;
	cachefiles_od_trouble(object, CACHEFILES_OD_FILL_ERRORS, error);
	cachefiles_od_complain(object, CACHEFILES_OD_NOT_FILLED, error);
}

/* Write to the cache file; how much has been, and if that is not all @error says why. */
static size_t cachefiles_fill_file(struct cachefiles_od_object *object, loff_t pos,
				   const void *buf, size_t len, int *error)
{
	size_t done = 0;

	while (done < len) {
		ssize_t ret = cachefiles_inject_write_error();

		if (!ret) {
			scoped_with_creds(cachefiles_od(object)->cred)
				ret = kernel_write(object->file, buf + done, len - done, &pos);
		}
		if (ret <= 0) {
			*error = ret ?: -EIO;
			cachefiles_fill_refused(object, *error);
			break;
		}
		done += ret;
	}
	return done;
}

/* Get the memory to note parts of granules. */
static bool cachefiles_fill_has_slots(struct cachefiles_od_object *object)
{
	if (!object->partial)
		object->partial = kzalloc_objs(*object->partial, CACHEFILES_NR_PARTIAL);
	return object->partial;
}

/**
 * cachefiles_fill_forget_parts - give up the granules that are unfinished
 * @object: the object, whose fill_mutex is held or which nobody has any more
 */
void cachefiles_fill_forget_parts(struct cachefiles_od_object *object)
{
	unsigned int i;

	for (i = 0; object->partial && i < CACHEFILES_NR_PARTIAL; i++)
		kfree(object->partial[i].data);
	kfree(object->partial);
	object->partial = NULL;
}

/*
 * Take a part of a granule of @size bytes.  It stays in memory until there is all:
 * no map has it, and so nothing would find out that the cache's file system has
 * dropped it.  One extent per granule is kept: a piece that does not touch it takes
 * its place, and what was forgotten has to be written again.
 *
 * Return: how many bytes have been taken, or an error.
 */
static ssize_t cachefiles_fill_part(struct cachefiles_od_object *object, unsigned long granule,
				    unsigned int start, unsigned int end, unsigned int size,
				    const void *buf, struct list_head *ended)
{
	struct cachefiles_partial *slot, *slots = object->partial;
	int error;

	for (slot = slots; slot < slots + CACHEFILES_NR_PARTIAL; slot++)
		if (slot->end && slot->granule == granule)
			break;
	if (slot == slots + CACHEFILES_NR_PARTIAL) {
		slot = &slots[object->next_partial++ % CACHEFILES_NR_PARTIAL];
		slot->end = 0;
	}
	if (!slot->data)
		slot->data = kmalloc(CACHEFILES_GRANULE_SIZE, GFP_KERNEL);
	if (!slot->data)
		return -ENOMEM;
	memcpy(slot->data + start, buf, end - start);
	slot->granule = granule;
	if (slot->end && start <= slot->end && end >= slot->start) {
		slot->start = min(start, slot->start);
		slot->end = max(end, slot->end);
	} else {
		slot->start = start;
		slot->end = end;
	}
	if (slot->start || slot->end < size)
		return end - start;
	/* Whoever writes any of it again has all of it tried again. */
	if (cachefiles_fill_file(object, (loff_t)granule << CACHEFILES_GRANULE_SHIFT,
				 slot->data, size, &error) < size)
		return error;
	slot->end = 0;
	kfree(slot->data);
	slot->data = NULL;
	cachefiles_fetch_filled(object, granule, granule, NULL, ended);
	return end - start;
}

/* Take bytes of missing granules, all of one granule or all in whole ones. */
static ssize_t cachefiles_fill_missing(struct cachefiles_od_object *object, loff_t pos,
				       const void *buf, size_t len, struct list_head *ended)
{
	unsigned long granule = cachefiles_granule(pos);
	loff_t start = (loff_t)granule << CACHEFILES_GRANULE_SHIFT;
	unsigned int size = min_t(u64, CACHEFILES_GRANULE_SIZE, object->size - start);
	size_t done;
	int error;

	if (pos != start || len < size)
		return cachefiles_fill_part(object, granule, pos - start,
					    min_t(u64, pos - start + len, size), size, buf, ended);
	if (pos + len != object->size)
		len = round_down(len, CACHEFILES_GRANULE_SIZE);
	done = cachefiles_fill_file(object, pos, buf, len, &error);
	/* Of a granule that is not all there nothing counts. */
	if (done < len)
		done = round_down(done, CACHEFILES_GRANULE_SIZE);
	if (!done)
		return error;
	cachefiles_fetch_filled(object, granule, cachefiles_granule(pos + done - 1), buf, ended);
	return done;
}

/* Whether this begins or ends inside a granule. */
static bool cachefiles_fill_is_partial(struct cachefiles_od_object *object, loff_t pos, size_t len)
{
	loff_t end = pos + len;

	return pos % CACHEFILES_GRANULE_SIZE ||
		(end % CACHEFILES_GRANULE_SIZE && end != object->size);
}

/* How many bytes from @pos on are alike, present or missing; at most @len. */
static size_t cachefiles_fill_run(struct cachefiles_od_object *object, loff_t pos, size_t len,
				  bool *present)
{
	unsigned long first = cachefiles_granule(pos), last = cachefiles_granule(pos + len - 1);
	unsigned long next;

	guard(spinlock)(&object->lock);
	*present = object->full || cachefiles_map_next_missing(&object->map, first, first) > first;
	if (object->full)
		return len;
	next = *present ? cachefiles_map_next_missing(&object->map, first, last) :
			  cachefiles_map_next_present(&object->map, first, last);
	return min_t(u64, len, ((u64)next << CACHEFILES_GRANULE_SHIFT) - pos);
}

/*
 * How much to write next of @left bytes.  What is left then begins with a granule:
 * between two chunks other fills may take the place of one that is unfinished.
 */
static size_t cachefiles_fill_next(loff_t pos, size_t left)
{
	if (left <= CACHEFILES_FILL_CHUNK)
		return left;
	return CACHEFILES_FILL_CHUNK - pos % CACHEFILES_GRANULE_SIZE;
}

/* Write what is missing of @buf; how much of it is present or written now. */
static ssize_t cachefiles_fill_chunk(struct cachefiles_od_object *object, loff_t pos, void *buf,
				     size_t len, struct list_head *ended)
{
	size_t done = 0;
	int ret;

	ACQUIRE(mutex_kill, lock)(&object->fill_mutex);
	if (ACQUIRE_ERR(mutex_kill, &lock))
		return -EINTR;
	if (!object->file || READ_ONCE(object->state) == CACHEFILES_OD_DROPPED)
		return -ESTALE;
	if (!object->full) {
		ret = cachefiles_map_prepare(&object->map, cachefiles_granule(pos),
					     cachefiles_granule(pos + len - 1));
		if (ret)
			return ret;
		if (cachefiles_fill_is_partial(object, pos, len) &&
		    !cachefiles_fill_has_slots(object))
			return -ENOMEM;
		cachefiles_od_object_prepare_full(object);
	}
	while (done < len) {
		bool present;
		ssize_t n = cachefiles_fill_run(object, pos + done, len - done, &present);

		if (!present) {
			n = cachefiles_fill_missing(object, pos + done, buf + done, n, ended);
			if (n < 0) {
				ret = n;
				break;
			}
		}
		done += n;
	}
	if (object->full)
		cachefiles_fill_forget_parts(object);
	if (!done)
		return ret;
	cachefiles_store_flush_soon(object, READ_ONCE(object->full) ? 0 : CACHEFILES_FLUSH_DELAY);
	return done;
}

/**
 * cachefiles_fill - take what the daemon has written to an object
 * @object: the object
 * @pos: where it belongs
 * @from: the data
 *
 * What is present already is skipped, and counts as written.  Reads that wait
 * for what is written are ended before this returns.
 *
 * Context: may sleep.
 * Return: how many bytes are now present or noted, less than asked if the rest
 * is beyond the object's size or failed; -ENOBUFS before the size is known,
 * -EFBIG at or beyond the size, -ESTALE if the object has been dropped, -ENOSPC
 * below the cache's limits, -EFAULT, -EINTR, or an error of the file system.
 */
ssize_t cachefiles_fill(struct cachefiles_od_object *object, loff_t pos, struct iov_iter *from)
{
	ssize_t ret, done = 0;
	loff_t size;

	/* Pairs with the release in cachefiles_store_set_size(). */
	size = smp_load_acquire(&object->size);
	if (size < 0)
		return -ENOBUFS;
	if (!iov_iter_count(from))
		return 0;
	if (pos >= size)
		return -EFBIG;
	iov_iter_truncate(from, size - pos);
	if (!cachefiles_od_present(object, cachefiles_granule(pos),
				   cachefiles_granule(pos + iov_iter_count(from) - 1))) {
		ret = cachefiles_ondemand_check_space(cachefiles_od(object), iov_iter_count(from));
		/* That the limits are reached has been told. */
		if (ret && ret != -ENOSPC)
			cachefiles_fill_refused(object, ret);
		if (ret)
			return ret;
	}

	void *buf __free(kvfree) = kvmalloc(min(iov_iter_count(from), CACHEFILES_FILL_CHUNK),
					    GFP_KERNEL);
	if (!buf)
		return -ENOMEM;

	while (iov_iter_count(from)) {
		size_t len = cachefiles_fill_next(pos + done, iov_iter_count(from));
		size_t copied = copy_from_iter(buf, len, from);
		LIST_HEAD(ended);

		if (!copied) {
			ret = -EFAULT;
			break;
		}
		ret = cachefiles_fill_chunk(object, pos + done, buf, copied, &ended);
		cachefiles_fetch_finish(&ended);
		if (ret < 0)
			break;
		done += ret;
		if (ret < copied)
			break;
	}
	return done ?: ret;
}
