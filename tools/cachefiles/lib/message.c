// SPDX-License-Identifier: GPL-2.0-or-later
/* Messages from the kernel: read one, check it, take it apart. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"

static int parse_open(const struct cachefiles_msg *msg, size_t room,
		      struct cfod_event *event)
{
	const struct cachefiles_open *load = (const void *)msg->data;
	const char *volume;

	if (room < sizeof(*load))
		return -EBADMSG;
	room -= sizeof(*load);
	if (!load->volume_key_size || load->volume_key_size > room ||
	    load->cookie_key_size > room - load->volume_key_size ||
	    (int32_t)load->fd < 0)
		return -EBADMSG;

	volume = (const char *)load->data;
	if (strnlen(volume, room) != load->volume_key_size - 1)
		return -EBADMSG;

	event->open.volume = volume;
	event->open.volume_len = load->volume_key_size - 1;
	event->open.key = load->data + load->volume_key_size;
	event->open.key_len = load->cookie_key_size;
	event->open.fd = load->fd;
	event->open.flags = load->flags;
	return 1;
}

static int parse_read(const struct cachefiles_msg *msg, size_t room,
		      struct cfod_event *event)
{
	const struct cachefiles_read *load = (const void *)msg->data;

	if (room < sizeof(*load) || !load->len ||
	    load->off > INT64_MAX || load->len > INT64_MAX - load->off)
		return -EBADMSG;

	event->read.off = load->off;
	event->read.len = load->len;
	return 1;
}

int cfod_parse(const struct cfod_msgbuf *buf, size_t len,
	       struct cfod_event *event)
{
	const struct cachefiles_msg *msg = (const void *)buf->bytes;
	size_t room;

	if (len < sizeof(*msg) || len > sizeof(buf->bytes) || msg->len != len)
		return -EBADMSG;
	room = len - sizeof(*msg);

	event->opcode = msg->opcode;
	event->msg_id = msg->msg_id;
	event->object_id = msg->object_id;

	switch (msg->opcode) {
	case CACHEFILES_OP_OPEN:
		return parse_open(msg, room, event);
	case CACHEFILES_OP_READ:
		return parse_read(msg, room, event);
	case CACHEFILES_OP_CLOSE:
	case CACHEFILES_OP_FULL:
		return 1;
	default:
		return -EOPNOTSUPP;
	}
}

int cfod_next(int dev, struct cfod_msgbuf *buf, struct cfod_event *event)
{
	ssize_t len;

	do {
		len = read(dev, buf->bytes, sizeof(buf->bytes));
	} while (len < 0 && errno == EINTR);

	/*
	 * No descriptor was free for an OPEN: this kernel keeps the OPEN and
	 * says nothing; should another one complain, the message is not lost.
	 */
	if (len < 0)
		switch (errno) {
		case EAGAIN:
			return 0;
		case EMFILE:
		case ENFILE:
			return -ENOMEM;
		default:
			return -errno;
		}
	if (!len)
		return 0;
	return cfod_parse(buf, len, event);
}
