// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * A blob as file systems see it: a file in the kernel that is read from the
 * cache file, at once where the data is present.
 */
#include <linux/anon_inodes.h>
#include <linux/cachefiles.h>
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/uio.h>
#include "internal.h"

/*
 * Is there a block of zeros in what has been read?  It may be one that the file
 * system has lost; a look at the first bytes that were read of each is cheaper than
 * asking for holes.
 */
static bool cachefiles_blob_has_zeros(struct cachefiles_od_object *object, loff_t pos,
				      const struct iov_iter *to, size_t len)
{
	size_t block = min(i_blocksize(file_inode(object->file)), CACHEFILES_GRANULE_SIZE);
	struct iov_iter read = *to;
	size_t step;

	read.data_source = ITER_SOURCE;
	iov_iter_truncate(&read, len);
	for (; iov_iter_count(&read); pos += step) {
		u64 word = 0;

		step = min(block - (pos & (block - 1)), iov_iter_count(&read));
		if (!copy_from_iter(&word, min(sizeof(word), step), &read) || !word)
			return true;
		iov_iter_advance(&read, step - min(sizeof(word), step));
	}
	return false;
}

/**
 * cachefiles_blob_read_file - read present granules from the cache file
 * @object: the object
 * @pos: where from
 * @to: where the data goes; not beyond the end of the page that the object ends in
 * @trust: from before the granules were found present
 *
 * What lies between the end of the data and the end of the page is zeros, as in
 * a mapped file: metadata is read in pages.
 *
 * Context: may sleep, for the local disk.
 * Return: how much was read, which is all, or an error.
 */
ssize_t cachefiles_blob_read_file(struct cachefiles_od_object *object, loff_t pos,
				  struct iov_iter *to, struct cachefiles_trust trust)
{
	size_t len = min_t(u64, iov_iter_count(to), cachefiles_data_end(object->size) - pos);
	size_t pad = iov_iter_count(to) - len;
	const struct iov_iter begin = *to;
	ssize_t ret, done = 0;
	struct kiocb kiocb;

	init_sync_kiocb(&kiocb, object->file);
	kiocb.ki_pos = pos;
	iov_iter_truncate(to, len);
	while (done < len) {
		ret = cachefiles_inject_read_error();
		if (!ret) {
			scoped_with_creds(cachefiles_od(object)->cred)
				ret = vfs_iocb_iter_read(object->file, &kiocb, to);
		}
		/* The file was made this long: somebody has cut it. */
		if (!ret)
			ret = -EIO;
		if (ret < 0)
			goto failed;
		done += ret;
	}
	ret = -EIO;
	if ((!trust.complete && cachefiles_blob_has_zeros(object, pos, &begin, len) &&
	     cachefiles_store_lacks(object, trust, pos, len)) ||
	    cachefiles_store_suspect(object, trust))
		goto failed;
	if (pad) {
		iov_iter_reexpand(to, pad);
		done += iov_iter_zero(pad, to);
	}
	return done;

failed:
	/* A task that is killed has a worker read again: cachefiles_blob_read_here(). */
	if (ret != -EINTR) {
		cachefiles_od_trouble(object, CACHEFILES_OD_DISK_ERRORS, ret);
		cachefiles_od_complain(object, CACHEFILES_OD_UNREADABLE, ret);
	}
	return ret;
}

/**
 * struct cachefiles_direct_op - a read of present granules that ends later
 * @kiocb: ours, for the cache file, if it is read past the page cache
 * @iocb: the caller's
 * @object: what it reads from, pinned by the blob until @iocb has ended
 * @iter: where the data goes
 * @work: reads through the page cache what could not be read otherwise
 * @trust: from before the granules were found present
 * @ref: one for who submits it, as file systems look at @kiocb once more after
 *	it may have ended, and one for its end
 */
struct cachefiles_direct_op {
	struct kiocb			kiocb;
	struct kiocb			*iocb;
	struct cachefiles_od_object	*object;
	struct iov_iter			iter;
	struct work_struct		work;
	struct cachefiles_trust		trust;
	refcount_t			ref;
};

static void cachefiles_direct_put(struct cachefiles_direct_op *op)
{
	if (refcount_dec_and_test(&op->ref))
		kfree(op);
}

static void cachefiles_direct_again(struct work_struct *work)
{
	struct cachefiles_direct_op *op = container_of(work, struct cachefiles_direct_op, work);
	struct kiocb *iocb = op->iocb;
	ssize_t ret;

	ret = cachefiles_blob_read_file(op->object, iocb->ki_pos, &op->iter, op->trust);
	cachefiles_direct_put(op);
	cachefiles_blob_end_read(iocb, ret);
}

static void cachefiles_wait_complete(struct kiocb *iocb, long ret);

/**
 * cachefiles_blob_read_here - read present granules, in the calling task
 * @object: the object
 * @iocb: the read
 * @to: where the data goes
 * @trust: from before the granules were found present
 *
 * If the task is killed a worker goes on: whoever reads the same compressed extent
 * waits for the same read, and has not been killed.
 *
 * Context: may sleep, for the local disk.
 * Return: how much was read, which is all; -EIOCBQUEUED if it goes on; or an error.
 */
ssize_t cachefiles_blob_read_here(struct cachefiles_od_object *object, struct kiocb *iocb,
				  struct iov_iter *to, struct cachefiles_trust trust)
{
	const struct iov_iter begin = *to;
	struct cachefiles_direct_op *op;
	ssize_t ret;

	ret = cachefiles_blob_read_file(object, iocb->ki_pos, to, trust);
	/* What cachefiles_ondemand_read_blob() reads it has for itself. */
	if (ret != -EINTR || iocb->ki_complete == cachefiles_wait_complete)
		return ret;
	op = kzalloc_obj(*op, GFP_NOFS | __GFP_NOFAIL);
	refcount_set(&op->ref, 1);
	op->iocb = iocb;
	op->object = object;
	op->iter = begin;
	op->trust = trust;
	INIT_WORK(&op->work, cachefiles_direct_again);
	queue_work(cachefiles_ondemand_wq, &op->work);
	return -EIOCBQUEUED;
}

/* Is what has been read past the page cache to be read once more? */
static bool cachefiles_direct_doubts(struct cachefiles_od_object *object, loff_t pos,
				     const struct iov_iter *to, struct cachefiles_trust trust)
{
	return (!trust.complete &&
		cachefiles_blob_has_zeros(object, pos, to, iov_iter_count(to))) ||
		cachefiles_store_suspect(object, trust);
}

static void cachefiles_direct_complete(struct kiocb *kiocb, long ret)
{
	struct cachefiles_direct_op *op = container_of(kiocb, struct cachefiles_direct_op, kiocb);
	struct kiocb *iocb = op->iocb;

	/* This may be an interrupt; an error is told from where it may be said. */
	if (ret != iov_iter_count(&op->iter) ||
	    cachefiles_direct_doubts(op->object, iocb->ki_pos, &op->iter, op->trust)) {
		INIT_WORK(&op->work, cachefiles_direct_again);
		queue_work(cachefiles_ondemand_wq, &op->work);
		return;
	}
	cachefiles_direct_put(op);
	cachefiles_blob_end_read(iocb, ret);
}

/* Past the page cache, if the file system can do this one so. */
static ssize_t cachefiles_blob_read_direct(struct cachefiles_od_object *object,
					   struct kiocb *iocb, struct iov_iter *to,
					   struct cachefiles_trust trust)
{
	struct cachefiles_direct_op *op;
	struct iov_iter iter = *to;
	ssize_t ret;

	if (!IS_ALIGNED(iocb->ki_pos | iov_iter_count(to), CACHEFILES_GRANULE_SIZE) ||
	    iocb->ki_pos + iov_iter_count(to) > cachefiles_data_end(object->size))
		return cachefiles_blob_read_here(object, iocb, to, trust);
	op = kzalloc_obj(*op, GFP_NOFS);
	if (!op)
		return cachefiles_blob_read_here(object, iocb, to, trust);
	refcount_set(&op->ref, 2);
	op->iocb = iocb;
	op->object = object;
	op->iter = *to;
	op->trust = trust;
	op->kiocb.ki_filp = object->file;
	op->kiocb.ki_pos = iocb->ki_pos;
	op->kiocb.ki_flags = IOCB_DIRECT;
	op->kiocb.ki_ioprio = iocb->ki_ioprio;
	op->kiocb.ki_complete = cachefiles_direct_complete;
	scoped_with_creds(cachefiles_od(object)->cred)
		ret = vfs_iocb_iter_read(object->file, &op->kiocb, &iter);
	if (ret == -EIOCBQUEUED) {
		cachefiles_direct_put(op);
		return ret;
	}
	kfree(op);
	if (ret == iov_iter_count(to) && !cachefiles_direct_doubts(object, iocb->ki_pos, to, trust))
		return ret;
	return cachefiles_blob_read_here(object, iocb, to, trust);
}

static void cachefiles_blob_put_read(struct cachefiles_blob *blob)
{
	/* The blob may be gone right after: its address is a mere key here. */
	if (atomic_dec_and_test(&blob->nr_reads))
		wake_up_var(&blob->nr_reads);
}

/**
 * cachefiles_blob_end_read - end a read that has returned -EIOCBQUEUED
 * @iocb: the read
 * @ret: how much was read, or an error
 *
 * Context: any that the caller's ->ki_complete can have; neither the blob nor
 * its object may be touched afterwards.
 */
void cachefiles_blob_end_read(struct kiocb *iocb, ssize_t ret)
{
	struct cachefiles_blob *blob = iocb->ki_filp->private_data;

	iocb->ki_complete(iocb, ret);
	cachefiles_blob_put_read(blob);
}

static ssize_t cachefiles_blob_do_read(struct kiocb *iocb, struct iov_iter *to)
{
	struct cachefiles_blob *blob = iocb->ki_filp->private_data;
	struct cachefiles_od_object *object = blob->object;
	loff_t pos = iocb->ki_pos, size = object->size;
	struct cachefiles_trust trust;
	unsigned long first, last;

	/* Only file systems have this file, and they read asynchronously. */
	if (is_sync_kiocb(iocb) || user_backed_iter(to))
		return -EOPNOTSUPP;
	/* The range comes from an image: nothing of it may be outside the blob. */
	if (pos < 0 || pos >= size)
		return 0;
	iov_iter_truncate(to, round_up(size, max(PAGE_SIZE, CACHEFILES_GRANULE_SIZE)) - pos);
	if (!iov_iter_count(to))
		return 0;

	first = cachefiles_granule(pos);
	last = cachefiles_granule(min_t(u64, size, pos + iov_iter_count(to)) - 1);
	trust = cachefiles_store_trust(object);
	if (!cachefiles_od_present(object, first, last))
		return cachefiles_fetch_wait(iocb, to, first, last);

	cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_HITS, 1);
	if (iocb->ki_flags & IOCB_DIRECT)
		return cachefiles_blob_read_direct(object, iocb, to, trust);
	return cachefiles_blob_read_here(object, iocb, to, trust);
}

static ssize_t cachefiles_blob_read_iter(struct kiocb *iocb, struct iov_iter *to)
{
	struct cachefiles_blob *blob = iocb->ki_filp->private_data;
	ssize_t ret = -EIO;

	/* Either this read sees the shutdown, or the shutdown waits for it. */
	atomic_inc(&blob->nr_reads);
	smp_mb__after_atomic(); /* pairs with that in cachefiles_ondemand_shutdown() */
	if (!READ_ONCE(blob->shut))
		ret = cachefiles_blob_do_read(iocb, to);
	if (ret != -EIOCBQUEUED)
		cachefiles_blob_put_read(blob);
	return ret;
}

static int cachefiles_blob_release(struct inode *inode, struct file *file)
{
	struct cachefiles_blob *blob = file->private_data;

	/* Who has ended the last read may not have let go of the blob yet. */
	wait_var_event(&blob->nr_reads, !atomic_read(&blob->nr_reads));
	WARN_ON_ONCE(!list_empty(&blob->reads));
	cachefiles_od_object_unuse(blob->object);
	kfree(blob);
	return 0;
}

static const struct file_operations cachefiles_blob_fops = {
	.owner		= THIS_MODULE,
	.read_iter	= cachefiles_blob_read_iter,
	.release	= cachefiles_blob_release,
};

/**
 * cachefiles_ondemand_open - open a blob of the bound on-demand cache
 * @volume_key: the volume: "erofs,NAME"
 * @key: the blob
 *
 * Waits, killably, until the daemon has told the blob's size.
 *
 * The file is for reading with an asynchronous &struct kiocb into kernel
 * memory.  A read that misses, a direct one, and one whose task is killed, return
 * -EIOCBQUEUED and end in ->ki_complete: in any task, without locks held, a direct
 * one of what is cached also in an interrupt.  One that fails does so with an error
 * and never with fewer bytes than are in the blob.
 *
 * Context: process context; may sleep; no locks held that a daemon might need.
 * Return: the file, or as an ERR_PTR(): -ENOTCONN if no daemon has a cache
 * bound in on-demand mode and the blob is not complete, -EINVAL if a key can't be
 * a file name, -EBUSY if
 * somebody else uses the cache file, -EINTR if the task was killed, -EIO if the
 * daemon went away, any error of the cache's file system, or what the daemon
 * answered.
 */
struct file *cachefiles_ondemand_open(const char *volume_key, const char *key)
{
	struct cachefiles_ondemand *od = cachefiles_ondemand_find();
	struct cachefiles_blob *blob __free(kfree) = kzalloc_obj(*blob);
	struct cachefiles_od_object *object;
	struct file *file;
	int ret;

	if (!od)
		return ERR_PTR(-ENOTCONN);
	if (!blob) {
		cachefiles_ondemand_put(od);
		return ERR_PTR(-ENOMEM);
	}
	object = cachefiles_od_object_use(od, volume_key, key);
	cachefiles_ondemand_put(od);
	if (IS_ERR(object))
		return ERR_CAST(object);

	blob->object = object;
	INIT_LIST_HEAD(&blob->reads);
	ret = cachefiles_od_object_open(object);
	file = ret ? ERR_PTR(ret) :
		anon_inode_getfile("[cachefiles-blob]", &cachefiles_blob_fops, blob, O_RDONLY);
	if (IS_ERR(file)) {
		cachefiles_od_object_unuse(object);
		return file;
	}
	file->f_mode |= object->file->f_mode & FMODE_CAN_ODIRECT;
	retain_and_null_ptr(blob);
	return file;
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_open);

/**
 * cachefiles_ondemand_shutdown - end all reads of a blob, now
 * @file: the blob, from cachefiles_ondemand_open()
 *
 * Those that wait, and all that come, end with -EIO.  For a file system that is
 * going away: the folios that its reads hold locked must not keep it waiting
 * for the daemon.  When this returns all reads have ended.
 *
 * Context: may sleep, for the local disk.
 */
void cachefiles_ondemand_shutdown(struct file *file)
{
	struct cachefiles_blob *blob = file->private_data;

	cachefiles_fetch_shutdown(blob);
	smp_mb(); /* set @shut, then read nr_reads: see cachefiles_blob_read_iter() */
	wait_var_event(&blob->nr_reads, !atomic_read(&blob->nr_reads));
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_shutdown);

/**
 * cachefiles_ondemand_prefetch - ask for bytes that will be read
 * @file: the blob, from cachefiles_ondemand_open()
 * @pos: first byte
 * @len: how many; may reach beyond the blob
 *
 * Asks the daemon for what is missing in the range; does not wait.
 *
 * Context: may sleep; does not recurse into file systems.
 */
void cachefiles_ondemand_prefetch(struct file *file, loff_t pos, size_t len)
{
	struct cachefiles_blob *blob = file->private_data;
	struct cachefiles_od_object *object = blob->object;
	loff_t end = min_t(u64, object->size, (u64)pos + len);

	if (pos < 0 || pos >= end)
		return;
	if (!cachefiles_od_present(object, cachefiles_granule(pos), cachefiles_granule(end - 1)))
		cachefiles_fetch(object, cachefiles_granule(pos), cachefiles_granule(end - 1));
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_prefetch);

/**
 * cachefiles_ondemand_present - can these bytes be read without the daemon?
 * @file: the blob, from cachefiles_ondemand_open()
 * @pos: first byte
 * @len: how many; may reach beyond the blob, where there is nothing to wait for
 *
 * To be asked for what one read may be made of: it takes a look at each granule.
 *
 * Context: any; does not sleep.
 * Return: whether nothing in the range is missing.
 */
bool cachefiles_ondemand_present(struct file *file, loff_t pos, u64 len)
{
	struct cachefiles_blob *blob = file->private_data;
	u64 size = blob->object->size;

	if (pos < 0 || pos >= size || !len)
		return true;
	return cachefiles_od_present(blob->object, cachefiles_granule(pos),
				     cachefiles_granule(pos + min(len, size - pos) - 1));
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_present);

/**
 * cachefiles_ondemand_complete - is all of a blob present?
 * @file: the blob, from cachefiles_ondemand_open()
 *
 * Context: any; does not sleep.
 * Return: whether nothing of it is missing.
 */
bool cachefiles_ondemand_complete(struct file *file)
{
	struct cachefiles_blob *blob = file->private_data;

	return READ_ONCE(blob->object->full);
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_complete);

/**
 * cachefiles_ondemand_error - why did a read of a blob fail?
 * @file: the blob, from cachefiles_ondemand_open()
 * @pos: first byte that was read
 * @len: how many
 *
 * For what has only an -EIO from the page cache to tell.
 *
 * Context: any; does not sleep.
 * Return: the error of the last READ that failed for bytes in the range that are
 * missing still, or -EIO.
 */
int cachefiles_ondemand_error(struct file *file, loff_t pos, u64 len)
{
	struct cachefiles_blob *blob = file->private_data;
	u64 size = blob->object->size;

	if (pos < 0 || pos >= size || !len)
		return -EIO;
	return cachefiles_od_failure(blob->object, cachefiles_granule(pos),
				     cachefiles_granule(pos + min(len, size - pos) - 1));
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_error);

/**
 * struct cachefiles_wait - a read that a task waits for
 * @iocb: the read
 * @done: it has ended
 * @ret: how
 */
struct cachefiles_wait {
	struct kiocb		iocb;
	struct completion	done;
	long			ret;
};

static void cachefiles_wait_complete(struct kiocb *iocb, long ret)
{
	struct cachefiles_wait *wait = container_of(iocb, struct cachefiles_wait, iocb);

	wait->ret = ret;
	complete(&wait->done);
}

/**
 * cachefiles_ondemand_read_blob - read from a blob, and wait for it
 * @file: the blob, from cachefiles_ondemand_open()
 * @pos: first byte
 * @buf: where the bytes go
 * @len: how many
 *
 * For a file system that is about to take locks under which it can only wait
 * without end.  If the task is killed the blob is shut down.
 *
 * Context: process context; may sleep, killably.
 * Return: how much was read, less than @len at the end of the blob only; -EINTR if
 * the task was killed; or the error of the read.
 */
ssize_t cachefiles_ondemand_read_blob(struct file *file, loff_t pos, void *buf, size_t len)
{
	struct kvec kvec = { .iov_base = buf, .iov_len = len };
	struct cachefiles_wait wait = {
		.iocb.ki_filp		= file,
		.iocb.ki_pos		= pos,
		.iocb.ki_complete	= cachefiles_wait_complete,
	};
	struct iov_iter iter;
	ssize_t ret;

	init_completion(&wait.done);
	iov_iter_kvec(&iter, ITER_DEST, &kvec, 1, kvec.iov_len);
	ret = cachefiles_blob_read_iter(&wait.iocb, &iter);
	if (ret != -EIOCBQUEUED)
		return ret;
	/* As cachefiles_od_object_open() does. */
	if (!wait_for_completion_state(&wait.done,
				       TASK_KILLABLE | TASK_FREEZABLE_UNSAFE))
		return wait.ret;
	/* This ends the read, so it can be waited for. */
	cachefiles_ondemand_shutdown(file);
	wait_for_completion(&wait.done);
	return -EINTR;
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_read_blob);

/**
 * cachefiles_ondemand_wait - wait until a range of a blob is present
 * @file: the blob, from cachefiles_ondemand_open()
 * @pos: first byte
 * @len: how many; may reach beyond the blob, where there is nothing to wait for
 *
 * Goes from one granule to the next: what is to be asked for at once has to be
 * prefetched before.
 *
 * Context: as cachefiles_ondemand_read_blob().
 * Return: 0, or an error as from cachefiles_ondemand_read_blob().
 */
int cachefiles_ondemand_wait(struct file *file, loff_t pos, u64 len)
{
	struct cachefiles_blob *blob = file->private_data;
	u64 size = blob->object->size;
	loff_t end;
	ssize_t ret;
	char byte;

	if (pos < 0 || pos >= size || !len)
		return 0;
	end = pos + min(len, size - pos);
	for (pos = round_down(pos, CACHEFILES_GRANULE_SIZE); pos < end;
	     pos += CACHEFILES_GRANULE_SIZE) {
		if (cachefiles_ondemand_present(file, pos, 1))
			continue;
		ret = cachefiles_ondemand_read_blob(file, pos, &byte, sizeof(byte));
		if (ret < 0)
			return ret;
		cond_resched();
	}
	return 0;
}
EXPORT_SYMBOL_GPL(cachefiles_ondemand_wait);
