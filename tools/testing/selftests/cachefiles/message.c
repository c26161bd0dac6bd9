// SPDX-License-Identifier: GPL-2.0
/*
 * The kernel's messages and the answers to them, one at a time.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>

#include "common.h"

static int bad(const char *what, const struct cf_msg *m)
{
	ksft_print_msg("message %u, opcode %u, length %u, object %u, READ of %llu+%llu: %s\n",
		       m->id, m->op, m->len, m->object, (unsigned long long)m->off,
		       (unsigned long long)m->size, what);
	return -EPROTO;
}

static int parse_open(struct cf_msg *m, const struct cachefiles_msg *msg)
{
	const struct cachefiles_open *open = (const void *)msg->data;
	size_t head = sizeof(*msg) + sizeof(*open);

	if (m->len < head)
		return bad("short OPEN", m);
	m->volume_size = open->volume_key_size;
	m->key_size = open->cookie_key_size;
	m->fd = open->fd;
	m->flags = open->flags;

	if (m->volume_size >= sizeof(m->volume) ||
	    m->key_size >= sizeof(m->key) ||
	    m->len != head + m->volume_size + m->key_size)
		return bad("key sizes do not add up", m);
	if (!m->volume_size || !m->key_size)
		return bad("empty key", m);
	memcpy(m->volume, open->data, m->volume_size);
	memcpy(m->key, open->data + m->volume_size, m->key_size);
	if (strlen(m->volume) + 1 != m->volume_size)
		return bad("volume key not closed by its only NUL", m);
	if (strlen(m->key) != m->key_size)
		return bad("NUL in the cookie key", m);
	if (m->fd < 0 || m->flags)
		return bad("fd or flags", m);
	return 0;
}

static int parse_read(struct cf_msg *m, const struct cachefiles_msg *msg)
{
	const struct cachefiles_read *read = (const void *)msg->data;

	if (m->len != sizeof(*msg) + sizeof(*read))
		return bad("size of a READ", m);
	m->off = read->off;
	m->size = read->len;
	if (m->off % GRANULE)
		return bad("READ starts inside a granule", m);
	if (!m->size || m->size > READ_MAX)
		return bad("READ of no or too many bytes", m);
	return 0;
}

/* Decode and check whatever can be checked in a single message. */
int cf_parse(struct cf_msg *m, const void *buf, ssize_t n)
{
	const struct cachefiles_msg *msg = buf;

	memset(m, 0, sizeof(*m));
	m->fd = -1;
	if (n < (ssize_t)sizeof(*msg))
		return bad("no head", m);
	m->id = msg->msg_id;
	m->op = msg->opcode;
	m->len = msg->len;
	m->object = msg->object_id;
	if (n != m->len)
		return bad("length is not what read(2) returned", m);
	if (!m->id)
		return bad("message id 0", m);

	switch (m->op) {
	case CACHEFILES_OP_OPEN:
		return parse_open(m, msg);
	case CACHEFILES_OP_READ:
		return parse_read(m, msg);
	case CACHEFILES_OP_CLOSE:
	case CACHEFILES_OP_FULL:
		return m->len == sizeof(*msg) ? 0 : bad("size of a notice", m);
	}
	return bad("unknown opcode", m);
}

int cf_readable(int dev, int ms)
{
	struct pollfd pfd = { .fd = dev, .events = POLLIN };

	if (poll(&pfd, 1, ms) < 0)
		return -errno;
	if (pfd.revents & (POLLERR | POLLNVAL))
		return -EIO;
	return !!(pfd.revents & POLLIN);
}

/* The next message; -ETIME if none comes. */
int cf_next(int dev, struct cf_msg *m, int ms)
{
	__u64 now = cf_now_ms(), end = now + ms;
	char buf[CACHEFILES_MSG_MAX_SIZE];
	ssize_t n;
	int ret;

	for (;;) {
		ret = cf_readable(dev, end - now);
		if (ret < 0)
			return ret;
		n = read(dev, buf, sizeof(buf));
		if (n < 0)
			return -errno;
		if (n)
			return cf_parse(m, buf, n);
		now = cf_now_ms();
		if (now >= end)
			return -ETIME;
	}
}

/*
 * The next message has to be of this kind; a CLOSE that a former mount has left
 * may come before it.
 */
int cf_expect(int dev, struct cf_msg *m, __u32 op)
{
	int ret;

	do {
		ret = cf_next(dev, m, WAIT_MS);
	} while (!ret && m->op == CACHEFILES_OP_CLOSE && m->op != op);
	if (!ret && m->op != op)
		ret = bad("another opcode was expected", m);
	return ret;
}

/* 0 if no message comes for so long. */
int cf_quiet(int dev, int ms)
{
	struct cf_msg m;
	int ret = cf_next(dev, &m, ms);

	if (ret == -ETIME)
		return 0;
	if (!ret && m.op == CACHEFILES_OP_READ)
		ksft_print_msg("READ %llu+%llu of object %u\n",
			       (unsigned long long)m.off,
			       (unsigned long long)m.size, m.object);
	return ret ?: bad("no message was expected", &m);
}

int cf_copen(int dev, __u32 id, long long size)
{
	return cf_cmd(dev, "copen %u,%lld", id, size);
}

int cf_complete(int fd, __u32 id)
{
	unsigned long arg = id;

	return ioctl(fd, CACHEFILES_IOC_READ_COMPLETE, arg) < 0 ? -errno : 0;
}

int cf_fail(int fd, __u32 id, int error)
{
	struct cachefiles_read_fail fail = { .msg_id = id, .error = error };

	return ioctl(fd, CACHEFILES_IOC_READ_FAIL, &fail) < 0 ? -errno : 0;
}

/* Write [off, off + len) of an image to where it belongs. */
int cf_fill(int fd, const void *image, __u64 off, __u64 len)
{
	ssize_t n;

	while (len) {
		n = pwrite(fd, (const char *)image + off, len, off);
		if (n < 0)
			return -errno;
		if (!n)
			return -EIO;
		off += n;
		len -= n;
	}
	return 0;
}
