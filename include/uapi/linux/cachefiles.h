/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * On-demand read mode of cachefiles: the messages between the kernel and the
 * daemon that holds /dev/cachefiles.
 *
 * The layout is that of Linux 5.19 to 7.2.  All fields are in host byte order.
 * See Documentation/filesystems/caching/ondemand-protocol.rst.
 */
#ifndef _UAPI_LINUX_CACHEFILES_H
#define _UAPI_LINUX_CACHEFILES_H

#include <linux/types.h>
#include <linux/ioctl.h>

/* No message is longer than this, so a buffer of this size always serves. */
#define CACHEFILES_MSG_MAX_SIZE	1024

/**
 * enum cachefiles_opcode - what the kernel asks of the daemon
 * @CACHEFILES_OP_OPEN: a blob is about to be used; answer with "copen"
 * @CACHEFILES_OP_CLOSE: a blob is no longer used; there is no answer
 * @CACHEFILES_OP_READ: bytes are missing; write them to the object's fd, then
 *	answer with CACHEFILES_IOC_READ_COMPLETE on that fd
 */
enum cachefiles_opcode {
	CACHEFILES_OP_OPEN,
	CACHEFILES_OP_CLOSE,
	CACHEFILES_OP_READ,
};

/**
 * struct cachefiles_msg - head of every message
 * @msg_id: names the request in the answer; not 0
 * @opcode: enum cachefiles_opcode
 * @len: bytes in the message, this head included
 * @object_id: the object that is meant; a new one for each OPEN
 * @data: &struct cachefiles_open or &struct cachefiles_read; CLOSE has none
 */
struct cachefiles_msg {
	__u32	msg_id;
	__u32	opcode;
	__u32	len;
	__u32	object_id;
	__u8	data[];
};

/**
 * struct cachefiles_open - payload of CACHEFILES_OP_OPEN
 * @volume_key_size: bytes of the volume key, its final NUL included
 * @cookie_key_size: bytes of the cookie key, which has no NUL
 * @fd: file descriptor for the object's content, open in the process that read
 *	the message
 * @flags: 0
 * @data: the volume key, then the cookie key
 */
struct cachefiles_open {
	__u32	volume_key_size;
	__u32	cookie_key_size;
	__u32	fd;
	__u32	flags;
	__u8	data[];
};

/**
 * struct cachefiles_read - payload of CACHEFILES_OP_READ
 * @off: first byte that is missing, a multiple of 4096
 * @len: how many bytes; @off + @len is a multiple of 4096 or the object's size
 */
struct cachefiles_read {
	__u64	off;
	__u64	len;
};

/*
 * Answer a READ: the argument is the msg_id itself, not a pointer to it.
 * Issued on the fd of the object that the READ was for.
 */
#define CACHEFILES_IOC_READ_COMPLETE	_IOW(0x98, 1, int)

#endif /* _UAPI_LINUX_CACHEFILES_H */
