// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The anonymous fd that comes with an OPEN: the daemon writes an object's
 * content to it, asks it what is there, and answers READs on it.
 */
#include <linux/anon_inodes.h>
#include <linux/compat.h>
#include <linux/slab.h>
#include <linux/splice.h>
#include <linux/uaccess.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

/**
 * struct cachefiles_odfd - private data of an anonymous fd
 * @object: the object, pinned
 * @object_id: the OPEN that it came with
 * @sent: it is the daemon's; without this it is released because its delivery
 *	failed, and the OPEN may have been delivered again by then
 */
struct cachefiles_odfd {
	struct cachefiles_od_object	*object;
	u32				object_id;
	bool				sent;
};

static ssize_t cachefiles_odfd_write_iter(struct kiocb *iocb, struct iov_iter *from)
{
	struct cachefiles_odfd *odfd = iocb->ki_filp->private_data;
	ssize_t ret;

	/* The end of the file is that of the object, where nothing can be written. */
	if (iocb->ki_flags & IOCB_APPEND)
		iocb->ki_pos = max(READ_ONCE(odfd->object->size), 0);
	ret = cachefiles_fill(odfd->object, iocb->ki_pos, from);
	if (ret > 0)
		iocb->ki_pos += ret;
	return ret;
}

static loff_t cachefiles_odfd_seek_map(struct cachefiles_od_object *object, loff_t offset,
				       int whence)
{
	bool data = whence == SEEK_DATA, found = false;
	unsigned long granule, last;

	if (offset < 0 || offset >= object->size)
		return -ENXIO;
	granule = cachefiles_granule(offset);
	last = cachefiles_granule(object->size - 1);
	/* It may be a long way, and readers want the lock. */
	while (!found) {
		scoped_guard(spinlock, &object->lock) {
			found = object->full ||
				cachefiles_map_seek(&object->map, &granule, last, data);
			if (object->full && !data)
				granule = last + 1;
		}
		cond_resched();
	}
	if (granule > last)
		return whence == SEEK_DATA ? -ENXIO : object->size;
	return max(offset, (loff_t)granule << CACHEFILES_GRANULE_SHIFT);
}

static loff_t cachefiles_odfd_llseek(struct file *file, loff_t offset, int whence)
{
	struct cachefiles_odfd *odfd = file->private_data;
	/* Pairs with the release in cachefiles_store_set_size(). */
	loff_t size = smp_load_acquire(&odfd->object->size);

	if (size < 0)
		return -ENOBUFS;
	if (whence != SEEK_DATA && whence != SEEK_HOLE)
		return generic_file_llseek_size(file, offset, whence, MAX_LFS_FILESIZE, size);
	offset = cachefiles_odfd_seek_map(odfd->object, offset, whence);
	return offset < 0 ? offset : vfs_setpos(file, offset, size);
}

static int cachefiles_odfd_answer(struct cachefiles_odfd *odfd, u32 msg_id, int error)
{
	struct cachefiles_od_object *object = odfd->object;
	struct cachefiles_req *req = NULL;

	scoped_guard(spinlock, &object->lock)
		if (object->state == CACHEFILES_OD_OPEN && object->object_id == odfd->object_id)
			req = cachefiles_req_take(&cachefiles_od(object)->reqs, msg_id,
						  CACHEFILES_OP_READ, object);
	if (!req) {
		cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_STALE_ANSWERS, 1);
		trace_cachefiles_od_stale_answer(cachefiles_od(object), CACHEFILES_OP_READ, msg_id);
		return -EINVAL;
	}
	if (error) {
		cachefiles_od_count(cachefiles_od(object), CACHEFILES_OD_READ_FAILS, 1);
		trace_cachefiles_od_read_fail(object, req, error);
		cachefiles_od_complain(object, CACHEFILES_OD_NOT_FETCHED, error);
	}
	req->end(req, error);
	cachefiles_req_put(req);
	return 0;
}

static int cachefiles_odfd_read_fail(struct cachefiles_odfd *odfd,
				     const struct cachefiles_read_fail __user *arg)
{
	struct cachefiles_read_fail fail;

	if (copy_from_user(&fail, arg, sizeof(fail)))
		return -EFAULT;
	if (fail.error >= 0 || fail.error < -CACHEFILES_MAX_ERRNO)
		return -EINVAL;
	return cachefiles_odfd_answer(odfd, fail.msg_id, fail.error);
}

static long cachefiles_odfd_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	switch (cmd) {
	case CACHEFILES_IOC_READ_COMPLETE:
		return cachefiles_odfd_answer(file->private_data, arg, 0);
	case CACHEFILES_IOC_READ_FAIL:
		return cachefiles_odfd_read_fail(file->private_data, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}

#ifdef CONFIG_COMPAT
static long cachefiles_odfd_compat_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	/* The one argument is a number, the other a pointer. */
	if (cmd == CACHEFILES_IOC_READ_FAIL)
		return cachefiles_odfd_read_fail(file->private_data, compat_ptr(arg));
	return cachefiles_odfd_ioctl(file, cmd, arg);
}
#endif

static int cachefiles_odfd_release(struct inode *inode, struct file *file)
{
	struct cachefiles_odfd *odfd = file->private_data;

	if (odfd->sent)
		cachefiles_od_object_lost_fd(odfd->object, odfd->object_id);
	cachefiles_od_object_put(odfd->object);
	kfree(odfd);
	return 0;
}

static const struct file_operations cachefiles_odfd_fops = {
	.owner		= THIS_MODULE,
	.write_iter	= cachefiles_odfd_write_iter,
	.splice_write	= iter_file_splice_write,
	.llseek		= cachefiles_odfd_llseek,
	.unlocked_ioctl	= cachefiles_odfd_ioctl,
#ifdef CONFIG_COMPAT
	.compat_ioctl	= cachefiles_odfd_compat_ioctl,
#endif
	.release	= cachefiles_odfd_release,
};

/**
 * cachefiles_odfd_create - make the file for an OPEN
 * @object: the object; pinned by the file
 * @object_id: the OPEN's object_id
 *
 * Context: may sleep.
 * Return: the file, not yet in any fd table, or an ERR_PTR().
 */
struct file *cachefiles_odfd_create(struct cachefiles_od_object *object, u32 object_id)
{
	struct cachefiles_odfd *odfd = kzalloc_obj(*odfd);
	struct file *file;

	if (!odfd)
		return ERR_PTR(-ENOMEM);
	odfd->object = cachefiles_od_object_get(object);
	odfd->object_id = object_id;
	/* It is seekable in all respects, so that pread(2) fails as read(2) does. */
	file = anon_inode_getfile_fmode("[cachefiles]", &cachefiles_odfd_fops, odfd, O_WRONLY,
					FMODE_PREAD | FMODE_PWRITE | FMODE_LSEEK |
					FMODE_ATOMIC_POS);
	if (IS_ERR(file)) {
		cachefiles_od_object_put(object);
		kfree(odfd);
	}
	return file;
}

/**
 * cachefiles_odfd_set_sent - note that the daemon gets the file
 * @file: from cachefiles_odfd_create(), about to be published
 */
void cachefiles_odfd_set_sent(struct file *file)
{
	struct cachefiles_odfd *odfd = file->private_data;

	odfd->sent = true;
}
