/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Everything that can be done to a file descriptor, for tables of what comes of
 * it in each state of what is behind the descriptor.
 */
#ifndef CACHEFILES_SELFTEST_FDOPS_H
#define CACHEFILES_SELFTEST_FDOPS_H

#include "common.h"

#define FDOPS_STATES	10	/* columns of a table, at most */
#define FDOPS_ABSENT	0x10000	/* the kernel has no such operation */

/* A descriptor, and what is done to it if it can be. */
struct fdops {
	int		fd;
	const char	*data;		/* what is written */
	size_t		len;
	loff_t		off;		/* where to: there is something already */
	loff_t		hole;		/* nothing is from here to the end ... */
	loff_t		size;		/* ... which is here */
	/* Knows what has been read, and puts it back; for 0 bytes it is not called. */
	long		(*took)(struct fdops *c, const void *buf, ssize_t n);
	void		*arg;
	char		*bad;		/* memory that can't be touched */
	int		file;		/* has the data too */
};

struct fdop {
	const char	*name;
	/* 0, or what there is to tell, or -errno */
	long		(*fn)(struct fdops *c, long a, long b);
	long		a, b;
	int		want[FDOPS_STATES];
};

#define FDOP(fn, a, b, ...)	{ #fn " " #a " " #b, fn, a, b, __VA_ARGS__ }
#define ALWAYS(x)		{ [0 ... FDOPS_STATES - 1] = (x) }

/* Of a system call. */
static inline long result(long ret)
{
	return ret < 0 ? -errno : ret;
}

int fdops_init(struct fdops *c);
void fdops_fini(struct fdops *c);
int fdops_run(struct fdops *c, const struct fdop *ops, int nr, int state);

/* Where from, for op_lseek(). */
enum { AT_OFF, AT_HOLE, AT_SIZE, AT_MINUS_1, AT_5 };
/* What it finds. */
enum { SEEKS_HERE, SEEKS_SIZE, SEEKS_ELSEWHERE };
/* Whose hands the descriptor is in, for op_elsewhere(). */
enum { BY_FORK, BY_SOCKET, BY_DUP };
/* What is done there. */
enum { TO_READ, TO_WRITE };

/* fdops_io.c: bytes in and out */
long op_read(struct fdops *c, long size, long b);
long op_read_bad(struct fdops *c, long a, long b);
long op_pread(struct fdops *c, long size, long off);
long op_readv(struct fdops *c, long first, long b);
long op_preadv2(struct fdops *c, long flags, long b);
long op_write(struct fdops *c, long a, long b);
long op_write_nothing(struct fdops *c, long a, long b);
long op_write_bad(struct fdops *c, long a, long b);
long op_pwrite(struct fdops *c, long a, long b);
long op_pwrite_at(struct fdops *c, long at, long b);
long op_writev(struct fdops *c, long nr, long b);
long op_pwritev2(struct fdops *c, long flags, long b);
long op_splice_from(struct fdops *c, long a, long b);
long op_splice_to(struct fdops *c, long with_off, long b);
long op_vmsplice(struct fdops *c, long a, long b);
long op_tee(struct fdops *c, long a, long b);
long op_sendfile_from(struct fdops *c, long a, long b);
long op_sendfile_to(struct fdops *c, long a, long b);
long op_copy_from(struct fdops *c, long a, long b);
long op_copy_to(struct fdops *c, long a, long b);
long op_copy_self(struct fdops *c, long a, long b);
long op_elsewhere(struct fdops *c, long how, long what);
long op_uring(struct fdops *c, long opcode, long ms);

/* fdops_ctl.c: everything else */
long op_lseek(struct fdops *c, long whence, long from);
long op_ftruncate(struct fdops *c, long size, long b);
long op_fallocate(struct fdops *c, long mode, long b);
long op_fsync(struct fdops *c, long a, long b);
long op_fdatasync(struct fdops *c, long a, long b);
long op_syncfs(struct fdops *c, long a, long b);
long op_sync_file_range(struct fdops *c, long flags, long b);
long op_mmap(struct fdops *c, long prot, long flags);
long op_ioctl(struct fdops *c, long cmd, long arg);
long op_ioctl_room(struct fdops *c, long cmd, long b);
long op_ioctl_bad(struct fdops *c, long cmd, long b);
long op_poll(struct fdops *c, long events, long b);
long op_epoll(struct fdops *c, long a, long b);
long op_fcntl(struct fdops *c, long cmd, long arg);
long op_fcntl_bad(struct fdops *c, long cmd, long b);
long op_getfl(struct fdops *c, long mask, long b);
long op_setfl(struct fdops *c, long flag, long what);
long op_notify(struct fdops *c, long a, long b);
long op_lock(struct fdops *c, long cmd, long type);
long op_flock(struct fdops *c, long how, long b);
long op_fstat(struct fdops *c, long a, long b);
long op_fstatfs(struct fdops *c, long a, long b);
long op_fchmod(struct fdops *c, long a, long b);
long op_fchown(struct fdops *c, long a, long b);
long op_futimens(struct fdops *c, long a, long b);
long op_getxattr(struct fdops *c, long a, long b);
long op_setxattr(struct fdops *c, long a, long b);
long op_listxattr(struct fdops *c, long a, long b);
long op_removexattr(struct fdops *c, long a, long b);
long op_getdents(struct fdops *c, long a, long b);
long op_fchdir(struct fdops *c, long a, long b);
long op_readahead(struct fdops *c, long a, long b);
long op_fadvise(struct fdops *c, long advice, long b);
long op_reopen(struct fdops *c, long flags, long b);
long op_handle(struct fdops *c, long a, long b);
long op_exec(struct fdops *c, long a, long b);

#endif /* CACHEFILES_SELFTEST_FDOPS_H */
