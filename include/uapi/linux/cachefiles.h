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
 * @CACHEFILES_OP_FULL: nothing of a blob is missing any more, and its fd may be
 *	closed; there is no answer.  Sent only to a daemon that has bound with
 *	"full"
 */
enum cachefiles_opcode {
	CACHEFILES_OP_OPEN,
	CACHEFILES_OP_CLOSE,
	CACHEFILES_OP_READ,
	CACHEFILES_OP_FULL,
};

/**
 * struct cachefiles_msg - head of every message
 * @msg_id: names the request in the answer; not 0
 * @opcode: enum cachefiles_opcode
 * @len: bytes in the message, this head included
 * @object_id: the object that is meant; a new one for each OPEN
 * @data: &struct cachefiles_open or &struct cachefiles_read; CLOSE and FULL have none
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

/*
 * What this kernel has beyond Linux 5.19 to 7.2: an ioctl of the device, bound
 * or not.  A kernel without any of it answers ENOTTY.
 */
#define CACHEFILES_IOC_FEATURES		_IOR(0x98, 2, __u64)

/* CACHEFILES_IOC_READ_FAIL */
#define CACHEFILES_FEATURE_READ_FAIL	(1ULL << 0)
/* "bind ondemand park=SECONDS": requests wait that long for the next daemon */
#define CACHEFILES_FEATURE_PARK		(1ULL << 1)
/* "bind ondemand keep": the cache stays bound when the device is closed */
#define CACHEFILES_FEATURE_KEEP		(1ULL << 2)
/* "bind ondemand full": CACHEFILES_OP_FULL is sent */
#define CACHEFILES_FEATURE_FULL		(1ULL << 3)
/* CACHEFILES_IOC_SPACE */
#define CACHEFILES_FEATURE_SPACE	(1ULL << 4)

/**
 * struct cachefiles_read_fail - answer to a READ that can't be filled
 * @msg_id: the READ
 * @error: -errno for the readers, from -511 to -1
 */
struct cachefiles_read_fail {
	__u32	msg_id;
	__s32	error;
};

/* Answer a READ with an error, on the fd of the object that it was for. */
#define CACHEFILES_IOC_READ_FAIL	_IOW(0x98, 3, struct cachefiles_read_fail)

/**
 * struct cachefiles_space - how full the cache's file system is
 * @flags: CACHEFILES_SPACE_*
 * @block_size: bytes in a block
 * @blocks: free blocks
 * @brun: stop culling above this many free blocks
 * @bcull: begin culling below
 * @bstop: nothing is filled below
 * @files: free inodes
 * @frun: stop culling above this many free inodes
 * @fcull: begin culling below
 * @fstop: no cache file is made below
 */
struct cachefiles_space {
	__u32	flags;
	__u32	block_size;
	__u64	blocks;
	__u64	brun;
	__u64	bcull;
	__u64	bstop;
	__u64	files;
	__u64	frun;
	__u64	fcull;
	__u64	fstop;
};

/* Fallen below a "cull" limit, and not yet above "run"; poll says EPOLLOUT. */
#define CACHEFILES_SPACE_CULL		(1U << 0)
/* Below a "stop" limit. */
#define CACHEFILES_SPACE_STOP		(1U << 1)

/* Look at the free space: an ioctl of the device, once bound. */
#define CACHEFILES_IOC_SPACE		_IOR(0x98, 4, struct cachefiles_space)

#endif /* _UAPI_LINUX_CACHEFILES_H */
