// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The device side: handing messages to the daemon, and taking its commands.
 *
 * A request is not in the daemon's hands before its message has been copied to
 * the daemon's buffer; a delivery that fails puts the request back.
 */
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include "internal.h"
#include <trace/events/cachefiles_ondemand.h>

static const char cachefiles_ondemand_word[] = "ondemand";

/* Do the arguments of "bind" ask for this mode? */
bool cachefiles_ondemand_wanted(const char *args)
{
	size_t len = strlen(cachefiles_ondemand_word);

	return !strncmp(args, cachefiles_ondemand_word, len) && (!args[len] || args[len] == ' ');
}

/**
 * cachefiles_parse_bind - take the arguments of "bind" apart
 * @args: "ondemand", then options, separated by single spaces; changed
 * @opts: where to put them
 *
 * Return: 0; -EINVAL for an option that is unknown, malformed or given twice.
 */
int cachefiles_parse_bind(char *args, struct cachefiles_bind_opts *opts)
{
	static const char park[] = "park=";
	char *word;

	memset(opts, 0, sizeof(*opts));
	args += strlen(cachefiles_ondemand_word);
	if (!*args)
		return 0;
	args++;
	while ((word = strsep(&args, " "))) {
		if (!strcmp(word, "keep") && !opts->keep)
			opts->keep = true;
		else if (!strcmp(word, "full") && !opts->full)
			opts->full = true;
		else if (strncmp(word, park, strlen(park)) || opts->park_secs ||
			 kstrtouint(word + strlen(park), 10, &opts->park_secs) ||
			 !in_range(opts->park_secs, 1, CACHEFILES_PARK_MAX))
			return -EINVAL;
	}
	return 0;
}

/**
 * cachefiles_parse_copen - take the arguments of "copen" apart
 * @args: "<msg_id>,<size>"; changed
 * @id: where to put the msg_id
 * @size: where to put the size, or -errno
 *
 * Return: 0; -EINVAL if it is malformed or the errno is none.
 */
int cachefiles_parse_copen(char *args, u32 *id, loff_t *size)
{
	char *comma = strchr(args, ',');

	if (!comma)
		return -EINVAL;
	*comma = '\0';
	if (kstrtou32(args, 10, id) || kstrtoll(comma + 1, 10, size))
		return -EINVAL;
	return *size < -CACHEFILES_MAX_ERRNO ? -EINVAL : 0;
}

/*
 * Answer an OPEN
 * - command: "copen <msg_id>,<size>"
 */
int cachefiles_ondemand_copen(struct cachefiles_cache *cache, char *args)
{
	struct cachefiles_req *req;
	loff_t size;
	u32 id;
	int ret;

	if (!cachefiles_in_ondemand_mode(cache))
		return -EOPNOTSUPP;
	ret = cachefiles_parse_copen(args, &id, &size);
	if (ret)
		return ret;
	req = cachefiles_req_take(&cache->ondemand->reqs, id, CACHEFILES_OP_OPEN, NULL);
	if (!req) {
		cachefiles_od_count(cache->ondemand, CACHEFILES_OD_STALE_ANSWERS, 1);
		trace_cachefiles_od_stale_answer(cache->ondemand, CACHEFILES_OP_OPEN, id);
		return -EINVAL;
	}
	return cachefiles_od_object_answer(req, size);
}

/*
 * Have everything sent again that was delivered and not answered: the daemon
 * that got it has been replaced
 * - command: "restore"
 */
int cachefiles_ondemand_restore(struct cachefiles_cache *cache, char *args)
{
	if (!cachefiles_in_ondemand_mode(cache))
		return -EOPNOTSUPP;
	if (*args)
		return -EINVAL;
	cachefiles_ondemand_restore_all(cache->ondemand);
	return 0;
}

static void cachefiles_fill_msg(struct cachefiles_msg *msg, struct cachefiles_req *req, u32 len)
{
	msg->msg_id = req->id;
	msg->opcode = req->opcode;
	msg->len = len;
	msg->object_id = req->object_id;
}

/*
 * The deliveries below return the length of the message, -EFAULT or -EMSGSIZE
 * for what the daemon has to know, and -EAGAIN if there may be another message
 * to deliver instead.
 */
static ssize_t cachefiles_deliver(struct cachefiles_req *req, const struct cachefiles_msg *msg,
				  char __user *buffer, size_t buflen)
{
	if (msg->len > buflen) {
		/* Behind the others, which may be short enough. */
		cachefiles_req_unsend(req, CACHEFILES_REQ_LAST);
		return -EMSGSIZE;
	}
	if (copy_to_user(buffer, msg, msg->len)) {
		cachefiles_req_unsend(req, CACHEFILES_REQ_FIRST);
		return -EFAULT;
	}
	return msg->len;
}

static ssize_t cachefiles_deliver_read(struct cachefiles_req *req, u64 first, u64 last,
				       char __user *buffer, size_t buflen)
{
	DEFINE_RAW_FLEX(struct cachefiles_msg, msg, data, sizeof(struct cachefiles_read));
	struct cachefiles_read *read = (struct cachefiles_read *)msg->data;
	u64 end = min_t(u64, (last + 1) << CACHEFILES_GRANULE_SHIFT, req->object->size);
	ssize_t ret;

	cachefiles_fill_msg(msg, req, sizeof(*msg) + sizeof(*read));
	read->off = first << CACHEFILES_GRANULE_SHIFT;
	read->len = end - read->off;
	ret = cachefiles_deliver(req, msg, buffer, buflen);
	return ret < 0 || cachefiles_req_sent(req) ? ret : -EAGAIN;
}

/* A CLOSE or FULL: it is all in the head. */
static ssize_t cachefiles_deliver_notice(struct cachefiles_req *req, char __user *buffer,
					 size_t buflen)
{
	struct cachefiles_msg msg;
	ssize_t ret;

	cachefiles_fill_msg(&msg, req, sizeof(msg));
	ret = cachefiles_deliver(req, &msg, buffer, buflen);
	return ret < 0 || cachefiles_req_sent(req) ? ret : -EAGAIN;
}

static ssize_t cachefiles_deliver_open(struct cachefiles_req *req, char __user *buffer,
				       size_t buflen)
{
	struct cachefiles_od_object *object = req->object;
	struct cachefiles_od_volume *volume = object->volume;
	u32 key_size = object->key_size - 1; /* this one is sent without its NUL */
	struct cachefiles_open *open;
	struct cachefiles_msg *msg;
	bool sent = false;
	ssize_t ret;

	BUILD_BUG_ON(sizeof(*msg) + sizeof(*open) + CACHEFILES_VOLUME_KEY_MAX + 1 +
		     CACHEFILES_KEY_MAX > CACHEFILES_MSG_MAX_SIZE);
	void *buf __free(kfree) = kzalloc(CACHEFILES_MSG_MAX_SIZE, GFP_KERNEL);
	FD_PREPARE(fdf, O_CLOEXEC, cachefiles_odfd_create(object, req->object_id));
	if (!buf || fdf.err) {
		/* No fault of the mount's: it waits until the daemon has one free. */
		cachefiles_req_unsend(req, CACHEFILES_REQ_LATER);
		return -EAGAIN;
	}

	msg = buf;
	open = (struct cachefiles_open *)msg->data;
	cachefiles_fill_msg(msg, req, sizeof(*msg) + sizeof(*open) + volume->key_size + key_size);
	open->volume_key_size = volume->key_size;
	open->cookie_key_size = key_size;
	open->fd = fd_prepare_fd(fdf);
	memcpy(open->data, volume->key, volume->key_size);
	memcpy(open->data + volume->key_size, object->key, key_size);
	ret = cachefiles_deliver(req, msg, buffer, buflen);
	if (ret < 0)
		return ret;

	scoped_guard(spinlock, &object->lock) {
		sent = cachefiles_req_sent(req);
		if (sent) {
			object->fd_live = true;
			object->announced = true;
		}
	}
	if (!sent)
		return -EAGAIN;
	/* Nothing below can fail: the fd is the daemon's. */
	cachefiles_odfd_set_sent(fd_prepare_file(fdf));
	fd_publish(fdf);
	return ret;
}

/**
 * cachefiles_ondemand_read - give the daemon the oldest message
 * @cache: the bound device
 * @buffer: where to
 * @buflen: its size
 *
 * Never waits for a message.
 *
 * Return: the message's length; 0 if there is none; -EMSGSIZE if @buffer is too
 * small for it, or -EFAULT: it will be delivered later.
 */
ssize_t cachefiles_ondemand_read(struct cachefiles_cache *cache, char __user *buffer, size_t buflen)
{
	struct cachefiles_reqs *table = &cache->ondemand->reqs;
	struct cachefiles_req *req;
	u64 first, last;
	ssize_t ret;

	do {
		req = cachefiles_req_next(table, &first, &last);
		if (!req)
			return 0;
		switch (req->opcode) {
		case CACHEFILES_OP_OPEN:
			ret = cachefiles_deliver_open(req, buffer, buflen);
			break;
		case CACHEFILES_OP_READ:
			ret = cachefiles_deliver_read(req, first, last, buffer, buflen);
			break;
		default:
			ret = cachefiles_deliver_notice(req, buffer, buflen);
		}
		cachefiles_req_put(req);
	} while (ret == -EAGAIN);
	return ret;
}

/**
 * cachefiles_ondemand_poll - is there a message?
 * @cache: the bound device; the caller is on its daemon_pollwq
 *
 * Return: EPOLLIN if a read would find a message.
 */
__poll_t cachefiles_ondemand_poll(struct cachefiles_cache *cache)
{
	return cachefiles_reqs_readable(&cache->ondemand->reqs) ? EPOLLIN | EPOLLRDNORM : 0;
}

#define CACHEFILES_FEATURES	(CACHEFILES_FEATURE_READ_FAIL | CACHEFILES_FEATURE_PARK | \
				 CACHEFILES_FEATURE_KEEP | CACHEFILES_FEATURE_FULL | \
				 CACHEFILES_FEATURE_SPACE)

static long cachefiles_ioc_features(__u64 __user *arg)
{
	static const __u64 features = CACHEFILES_FEATURES;

	return copy_to_user(arg, &features, sizeof(features)) ? -EFAULT : 0;
}

static long cachefiles_ioc_space(struct cachefiles_cache *cache,
				 struct cachefiles_space __user *arg)
{
	struct cachefiles_space space;
	int ret;

	scoped_guard(mutex, &cache->daemon_mutex) {
		if (!cachefiles_in_ondemand_mode(cache))
			return -EINVAL;
		ret = cachefiles_ondemand_space(cache, &space);
	}
	/* It may be long until this memory is there: behind the mutex. */
	if (!ret && copy_to_user(arg, &space, sizeof(space)))
		ret = -EFAULT;
	return ret;
}

/**
 * cachefiles_ondemand_ioctl - ioctls of the device
 * @file: the device
 * @cmd: CACHEFILES_IOC_*
 * @arg: where the answer goes
 *
 * Context: may sleep.
 * Return: 0; -EFAULT; -EINVAL if the device is to be bound in on-demand mode for
 * this and is not; -ENOTTY; or an error of the file system.
 */
long cachefiles_ondemand_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct cachefiles_cache *cache = file->private_data;

	switch (cmd) {
	case CACHEFILES_IOC_FEATURES:
		return cachefiles_ioc_features((void __user *)arg);
	case CACHEFILES_IOC_SPACE:
		return cachefiles_ioc_space(cache, (void __user *)arg);
	default:
		return -ENOTTY;
	}
}
