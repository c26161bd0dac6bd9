// SPDX-License-Identifier: GPL-2.0
/*
 * What can be done to a descriptor but reading from it and writing to it.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <sys/xattr.h>

#include "fdops.h"

#define XATTR	"user.selftest"

/* Positions are large and differ: what matters is where they are. */
long op_lseek(struct fdops *c, long whence, long from)
{
	const loff_t pos[] = {
		[AT_OFF] = c->off, [AT_HOLE] = c->hole, [AT_SIZE] = c->size,
		[AT_MINUS_1] = -1, [AT_5] = 5,
	};
	loff_t ret = lseek(c->fd, pos[from], whence);

	if (ret < 0)
		return -errno;
	return ret == pos[from] ? SEEKS_HERE : ret == c->size ? SEEKS_SIZE : SEEKS_ELSEWHERE;
}

long op_ftruncate(struct fdops *c, long size, long b)
{
	return result(ftruncate(c->fd, size));
}

long op_fallocate(struct fdops *c, long mode, long b)
{
	return result(syscall(SYS_fallocate, c->fd, (int)mode, c->off, (loff_t)GRANULE));
}

long op_fsync(struct fdops *c, long a, long b)
{
	return result(fsync(c->fd));
}

long op_fdatasync(struct fdops *c, long a, long b)
{
	return result(fdatasync(c->fd));
}

long op_syncfs(struct fdops *c, long a, long b)
{
	return result(syncfs(c->fd));
}

long op_sync_file_range(struct fdops *c, long flags, long b)
{
	return result(sync_file_range(c->fd, 0, 0, flags));
}

long op_mmap(struct fdops *c, long prot, long flags)
{
	void *map = mmap(NULL, GRANULE, prot, flags, c->fd, 0);

	if (map == MAP_FAILED)
		return -errno;
	munmap(map, GRANULE);
	return 0;
}

long op_ioctl(struct fdops *c, long cmd, long arg)
{
	return result(ioctl(c->fd, (unsigned int)cmd, arg));
}

/* With memory enough for any structure. */
long op_ioctl_room(struct fdops *c, long cmd, long b)
{
	static char room[GRANULE];

	memset(room, 0, sizeof(room));
	return result(ioctl(c->fd, (unsigned int)cmd, room));
}

long op_ioctl_bad(struct fdops *c, long cmd, long b)
{
	return result(ioctl(c->fd, (unsigned int)cmd, c->bad));
}

long op_poll(struct fdops *c, long events, long b)
{
	struct pollfd pfd = { .fd = c->fd, .events = events };

	return poll(&pfd, 1, 0) < 0 ? -errno : pfd.revents;
}

long op_epoll(struct fdops *c, long a, long b)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	long ret = result(epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &ev));

	if (!ret && epoll_wait(epoll, &ev, 1, 0) > 0)
		ret = ev.events;
	close(epoll);
	return ret;
}

long op_fcntl(struct fdops *c, long cmd, long arg)
{
	long ret = result(fcntl(c->fd, cmd, arg));

	if (ret >= 0 && (cmd == F_DUPFD || cmd == F_DUPFD_CLOEXEC)) {
		close(ret);
		return 0;
	}
	return ret;
}

long op_fcntl_bad(struct fdops *c, long cmd, long b)
{
	return result(fcntl(c->fd, cmd, c->bad));
}

long op_getfl(struct fdops *c, long mask, long b)
{
	long ret = result(fcntl(c->fd, F_GETFL));

	return ret < 0 ? ret : ret & mask;
}

/* What is written with this flag set, or spliced if @what is not 0. */
long op_setfl(struct fdops *c, long flag, long what)
{
	int flags = fcntl(c->fd, F_GETFL);
	long ret;

	if (fcntl(c->fd, F_SETFL, flags | flag) < 0)
		return -errno;
	ret = what ? op_splice_to(c, 0, 0) : op_write(c, 0, 0);
	return fcntl(c->fd, F_SETFL, flags) < 0 ? -errno : ret;
}

/* The kernel may not have this at all. */
long op_notify(struct fdops *c, long a, long b)
{
	long ret = result(fcntl(c->fd, F_NOTIFY, DN_MODIFY));

	return ret == -EINVAL ? -ENOTDIR : ret;
}

long op_lock(struct fdops *c, long cmd, long type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };
	long ret = result(fcntl(c->fd, cmd, &lock));

	lock = (struct flock){ .l_type = F_UNLCK, .l_whence = SEEK_SET };
	fcntl(c->fd, cmd, &lock);
	return ret;
}

long op_flock(struct fdops *c, long how, long b)
{
	long ret = result(flock(c->fd, how));

	flock(c->fd, LOCK_UN);
	return ret;
}

/* The type of what is behind it; none has a size. */
long op_fstat(struct fdops *c, long a, long b)
{
	struct stat st;

	if (fstat(c->fd, &st) < 0)
		return -errno;
	return st.st_size || st.st_blocks ? -EFBIG : st.st_mode & S_IFMT;
}

long op_fstatfs(struct fdops *c, long a, long b)
{
	struct statfs st;

	return result(fstatfs(c->fd, &st));
}

long op_fchmod(struct fdops *c, long a, long b)
{
	struct stat st;

	if (fstat(c->fd, &st) < 0)
		return -errno;
	return result(fchmod(c->fd, st.st_mode & 07777));
}

long op_fchown(struct fdops *c, long a, long b)
{
	return result(fchown(c->fd, -1, -1));
}

long op_futimens(struct fdops *c, long a, long b)
{
	return result(futimens(c->fd, NULL));
}

long op_getxattr(struct fdops *c, long a, long b)
{
	char value[16];

	return result(fgetxattr(c->fd, XATTR, value, sizeof(value)));
}

long op_setxattr(struct fdops *c, long a, long b)
{
	return result(fsetxattr(c->fd, XATTR, "", 1, 0));
}

/* What a security module has there is its own affair. */
long op_listxattr(struct fdops *c, long a, long b)
{
	char list[1024];
	long ret = result(flistxattr(c->fd, list, sizeof(list)));

	return ret > 0 ? 0 : ret;
}

long op_removexattr(struct fdops *c, long a, long b)
{
	return result(fremovexattr(c->fd, XATTR));
}

long op_getdents(struct fdops *c, long a, long b)
{
	char buf[1024];

	return result(syscall(SYS_getdents64, c->fd, buf, sizeof(buf)));
}

long op_fchdir(struct fdops *c, long a, long b)
{
	return result(fchdir(c->fd));
}

long op_readahead(struct fdops *c, long a, long b)
{
	return result(readahead(c->fd, c->off, GRANULE));
}

long op_fadvise(struct fdops *c, long advice, long b)
{
	return -posix_fadvise(c->fd, 0, 0, advice);
}

long op_reopen(struct fdops *c, long flags, long b)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", c->fd);
	fd = open(path, flags | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	close(fd);
	return 0;
}

long op_handle(struct fdops *c, long a, long b)
{
	struct {
		struct file_handle head;
		char room[128];
	} handle = { .head.handle_bytes = 128 };
	int mount_id;

	return result(name_to_handle_at(c->fd, "", &handle.head, &mount_id, AT_EMPTY_PATH));
}

long op_exec(struct fdops *c, long a, long b)
{
	static char * const none[] = { NULL };

	return result(syscall(SYS_execveat, c->fd, "", none, none, AT_EMPTY_PATH));
}
