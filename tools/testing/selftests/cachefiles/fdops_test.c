// SPDX-License-Identifier: GPL-2.0
/*
 * The file descriptor of an object: whatever is done to it, in each state of the
 * object, has the result that the protocol says, or that is every file's; and
 * nothing is different afterwards.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "fdops.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)
#define EXTRA		100		/* an object ends anywhere */
/* In the file: there already, filled in the course of it, and not before the end. */
#define PRESENT		(128 << 10)
#define FILLED		(160 << 10)
#define MISSING		(192 << 10)

enum {
	OPENING,	/* its OPEN is not answered */
	OPEN,
	READING,	/* a READ is with the daemon */
	FULL,
	EMPTY,		/* it has no bytes */
	REFUSED,	/* its OPEN was answered with an error */
	CLOSED,		/* it is not mounted any more */
	ORPHAN,		/* the device has been closed */
	REPLACED,	/* the next daemon has opened it again */
	RESTORED,	/* so it will: the device has had "restore" */
};

static char junk[1000];
#define LEN	((int)sizeof(junk))

/*
 * What is written to present granules counts, whoever has the object by now.  The
 * size is not known before "copen" has told it, nor if that told an error; nothing
 * is before the end of an object of no bytes; and what nobody uses is ESTALE.
 */
#define WRITES(n) {		\
	[0 ... FDOPS_STATES - 1] = (n),	\
	[OPENING] = -ENOBUFS,	\
	[EMPTY] = -EFBIG,	\
	[REFUSED] = -ENOBUFS,	\
	[CLOSED] = -ESTALE,	\
}

/* The same, but it is seen first that this can't be written where it is to go. */
#define WRITES_NOT(error) {	\
	[0 ... FDOPS_STATES - 1] = -(error),	\
	[OPENING] = -ENOBUFS,	\
	[EMPTY] = -EFBIG,	\
	[REFUSED] = -ENOBUFS,	\
}

/* Seeking needs the size, and goes on for as long as there is the descriptor. */
#define SEEKS(where) {		\
	[0 ... FDOPS_STATES - 1] = (where),	\
	[OPENING] = -ENOBUFS,	\
	[REFUSED] = -ENOBUFS,	\
}

/* What there is to find is different if there is all, and if there can't be any. */
#define FINDS(where, if_full) {	\
	[0 ... FDOPS_STATES - 1] = (where),	\
	[OPENING] = -ENOBUFS,	\
	[FULL] = (if_full),	\
	[EMPTY] = -ENXIO,	\
	[REFUSED] = -ENOBUFS,	\
}

/* What is right, to where it is missing. */
static long op_fill(struct fdops *c, long a, long b)
{
	struct scene *s = c->arg;
	loff_t pos = s->img.file[0].pos + FILLED;
	ssize_t n = pwrite(c->fd, s->img.data + pos, GRANULE, pos);

	return n < 0 ? -errno : n;
}

static const struct fdop ops[] = {
	/* It is for writing only. */
	FDOP(op_read, 100, 0, ALWAYS(-EBADF)),
	FDOP(op_read, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_read_bad, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_readv, 100, 0, ALWAYS(-EBADF)),
	FDOP(op_pread, 100, 0, ALWAYS(-EBADF)),
	FDOP(op_preadv2, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_splice_from, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_sendfile_from, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_tee, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_uring, IORING_OP_READ, WAIT_MS, ALWAYS(-EBADF)),
	FDOP(op_elsewhere, BY_FORK, TO_READ, ALWAYS(-EBADF)),
	FDOP(op_elsewhere, BY_SOCKET, TO_READ, ALWAYS(-EBADF)),
	FDOP(op_elsewhere, BY_DUP, TO_READ, ALWAYS(-EBADF)),
	FDOP(op_readahead, 0, 0, ALWAYS(-EBADF)),

	/* Every way to write is as good as another. */
	FDOP(op_write, 0, 0, WRITES(LEN)),
	FDOP(op_pwrite, 0, 0, WRITES(LEN)),
	FDOP(op_writev, 1, 0, WRITES(LEN)),
	FDOP(op_writev, 2, 0, WRITES(2 * LEN)),
	FDOP(op_splice_to, 0, 0, WRITES(LEN)),
	FDOP(op_splice_to, 1, 0, WRITES(LEN)),
	FDOP(op_sendfile_to, 0, 0, WRITES(LEN)),
	FDOP(op_uring, IORING_OP_WRITE, WAIT_MS, WRITES(LEN)),
	FDOP(op_elsewhere, BY_FORK, TO_WRITE, WRITES(LEN)),
	FDOP(op_elsewhere, BY_SOCKET, TO_WRITE, WRITES(LEN)),
	FDOP(op_elsewhere, BY_DUP, TO_WRITE, WRITES(LEN)),
	FDOP(op_fill, 0, 0, WRITES(GRANULE)),
	/* No bytes go nowhere, and have no place that could be wrong. */
	FDOP(op_write_nothing, 0, 0, SEEKS(0)),
	FDOP(op_writev, 0, 0, ALWAYS(0)),
	/* The daemon's memory is looked at before the object is. */
	FDOP(op_write_bad, 0, 0, WRITES_NOT(EFAULT)),
	FDOP(op_pwrite_at, 0, 0, WRITES_NOT(EFBIG)),
	FDOP(op_pwrite_at, 1L << 40, 0, WRITES_NOT(EFBIG)),
	FDOP(op_pwrite_at, -1, 0, ALWAYS(-EINVAL)),
	/* A write that changes nothing has nothing to sync, and no signal to send. */
	FDOP(op_pwritev2, 0, 0, WRITES(LEN)),
	FDOP(op_pwritev2, RWF_HIPRI, 0, WRITES(LEN)),
	FDOP(op_pwritev2, RWF_DSYNC, 0, WRITES(LEN)),
	FDOP(op_pwritev2, RWF_SYNC, 0, WRITES(LEN)),
	FDOP(op_pwritev2, RWF_NOAPPEND, 0, WRITES(LEN)),
	FDOP(op_pwritev2, RWF_NOSIGNAL, 0, WRITES(LEN)),
	/* The end is where nothing can be appended. */
	FDOP(op_pwritev2, RWF_APPEND, 0, WRITES_NOT(EFBIG)),
	FDOP(op_setfl, O_APPEND, 0, WRITES_NOT(EFBIG)),
	/* What only some files can do. */
	FDOP(op_pwritev2, RWF_NOWAIT, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_ATOMIC, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_DONTCACHE, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_APPEND | RWF_NOAPPEND, 0, ALWAYS(-EINVAL)),
	FDOP(op_pwritev2, 1 << 15, 0, ALWAYS(-EOPNOTSUPP)),

	/* It is no regular file and no pipe, so its size and content are its own. */
	FDOP(op_copy_from, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_copy_to, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_copy_self, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_vmsplice, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_ftruncate, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_ftruncate, 1 << 30, 0, ALWAYS(-EINVAL)),
	FDOP(op_ftruncate, -1, 0, ALWAYS(-EINVAL)),
	FDOP(op_fallocate, 0, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, FALLOC_FL_KEEP_SIZE, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, FALLOC_FL_PUNCH_HOLE, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_fallocate, FALLOC_FL_COLLAPSE_RANGE, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, FALLOC_FL_INSERT_RANGE, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, FALLOC_FL_ZERO_RANGE, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, FALLOC_FL_UNSHARE_RANGE, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, FALLOC_FL_WRITE_ZEROES, 0, ALWAYS(-ENODEV)),
	FDOP(op_fallocate, 1 << 15, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_uring, IORING_OP_FALLOCATE, WAIT_MS, ALWAYS(-ENODEV)),
	FDOP(op_fsync, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_fdatasync, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_uring, IORING_OP_FSYNC, WAIT_MS, ALWAYS(-EINVAL)),
	FDOP(op_sync_file_range, SYNC_FILE_RANGE_WRITE, 0, ALWAYS(-ESPIPE)),
	FDOP(op_sync_file_range, 1 << 15, 0, ALWAYS(-EINVAL)),
	/* Of the file system that all such descriptors are in, where there is nothing. */
	FDOP(op_syncfs, 0, 0, ALWAYS(0)),
	/* Mapping is reading, too. */
	FDOP(op_mmap, PROT_READ, MAP_SHARED, ALWAYS(-EACCES)),
	FDOP(op_mmap, PROT_READ, MAP_PRIVATE, ALWAYS(-EACCES)),
	FDOP(op_mmap, PROT_WRITE, MAP_SHARED, ALWAYS(-EACCES)),
	FDOP(op_mmap, PROT_WRITE, MAP_PRIVATE, ALWAYS(-EACCES)),
	FDOP(op_mmap, PROT_EXEC, MAP_SHARED, ALWAYS(-EACCES)),
	FDOP(op_mmap, PROT_EXEC, MAP_PRIVATE, ALWAYS(-EACCES)),
	FDOP(op_mmap, PROT_NONE, MAP_PRIVATE, ALWAYS(-EACCES)),

	/* No READ has such a number. */
	FDOP(op_ioctl, CACHEFILES_IOC_READ_COMPLETE, 0, ALWAYS(-EINVAL)),
	FDOP(op_ioctl, CACHEFILES_IOC_READ_COMPLETE, -1, ALWAYS(-EINVAL)),
	FDOP(op_ioctl_bad, CACHEFILES_IOC_READ_FAIL, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_room, CACHEFILES_IOC_READ_FAIL, 0, ALWAYS(-EINVAL)),
	/* These are the device's. */
	FDOP(op_ioctl_room, CACHEFILES_IOC_FEATURES, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_room, CACHEFILES_IOC_SPACE, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl, _IO(0x98, 1), 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl, _IOWR(0x98, 3, struct cachefiles_read_fail), 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl, 0, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl, -1, 0, ALWAYS(-ENOTTY)),
	/* So are these, of files. */
	FDOP(op_ioctl_bad, FIONREAD, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FIBMAP, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FIOQSIZE, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FS_IOC_GETFLAGS, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FS_IOC_FSGETXATTR, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_room, FS_IOC_SETFLAGS, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_room, FS_IOC_FSSETXATTR, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FS_IOC_FIEMAP, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_ioctl, FIFREEZE, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_ioctl, FITHAW, 0, ALWAYS(-EINVAL)),
	/* There is nobody to copy from, and nothing to take for the same. */
	FDOP(op_ioctl, FICLONE, -1, ALWAYS(-EBADF)),
	FDOP(op_ioctl_bad, FICLONERANGE, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_bad, FIDEDUPERANGE, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_room, FIDEDUPERANGE, 0, ALWAYS(-EINVAL)),
	/* Every descriptor has these. */
	FDOP(op_ioctl_bad, FIGETBSZ, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_room, FIGETBSZ, 0, ALWAYS(0)),
	FDOP(op_ioctl_bad, FIONBIO, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_room, FIONBIO, 0, ALWAYS(0)),
	FDOP(op_ioctl_bad, FIOASYNC, 0, ALWAYS(-EFAULT)),

	/* A file is always ready, so epoll does not take it. */
	FDOP(op_poll, POLLIN | POLLOUT | POLLPRI, 0, ALWAYS(POLLIN | POLLOUT)),
	FDOP(op_epoll, 0, 0, ALWAYS(-EPERM)),

	FDOP(op_fcntl, F_GETFD, 0, ALWAYS(FD_CLOEXEC)),
	FDOP(op_fcntl, F_DUPFD, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_DUPFD_CLOEXEC, 0, ALWAYS(0)),
	FDOP(op_getfl, O_ACCMODE | O_APPEND | O_NONBLOCK, 0, ALWAYS(O_WRONLY)),
	FDOP(op_setfl, O_NONBLOCK, 0, WRITES(LEN)),
	FDOP(op_setfl, O_ASYNC, 0, WRITES(LEN)),
	FDOP(op_setfl, O_DIRECT, 0, ALWAYS(-EINVAL)),
	FDOP(op_setfl, O_APPEND, 1, ALWAYS(-EINVAL)),
	FDOP(op_fcntl, F_SETOWN, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_GETOWN, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_SETSIG, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_GETLEASE, 0, ALWAYS(F_UNLCK)),
	FDOP(op_fcntl, F_SETLEASE, F_RDLCK, ALWAYS(-EINVAL)),
	FDOP(op_fcntl, F_SETLEASE, F_WRLCK, ALWAYS(-EINVAL)),
	FDOP(op_notify, 0, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_fcntl, F_SETPIPE_SZ, 1 << 16, ALWAYS(-EBADF)),
	FDOP(op_fcntl, F_GETPIPE_SZ, 0, ALWAYS(-EBADF)),
	FDOP(op_fcntl, F_ADD_SEALS, F_SEAL_WRITE, ALWAYS(-EINVAL)),
	FDOP(op_fcntl, F_GET_SEALS, 0, ALWAYS(-EINVAL)),
	FDOP(op_fcntl_bad, F_SETLK, 0, ALWAYS(-EFAULT)),
	FDOP(op_fcntl, 999, 0, ALWAYS(-EINVAL)),
	/* A lock for reading needs a descriptor for reading. */
	FDOP(op_lock, F_SETLK, F_WRLCK, ALWAYS(0)),
	FDOP(op_lock, F_SETLK, F_RDLCK, ALWAYS(-EBADF)),
	FDOP(op_lock, F_OFD_SETLK, F_WRLCK, ALWAYS(0)),
	FDOP(op_lock, F_OFD_SETLK, F_RDLCK, ALWAYS(-EBADF)),
	FDOP(op_flock, LOCK_EX | LOCK_NB, 0, ALWAYS(0)),
	FDOP(op_flock, LOCK_SH | LOCK_NB, 0, ALWAYS(0)),

	/* All such descriptors have one inode, of no type, that nobody changes. */
	FDOP(op_fstat, 0, 0, ALWAYS(0)),
	FDOP(op_fstatfs, 0, 0, ALWAYS(0)),
	FDOP(op_fchmod, 0, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_fchown, 0, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_futimens, 0, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_getxattr, 0, 0, ALWAYS(-ENODATA)),
	FDOP(op_setxattr, 0, 0, ALWAYS(-EPERM)),
	FDOP(op_listxattr, 0, 0, ALWAYS(0)),
	FDOP(op_removexattr, 0, 0, ALWAYS(-EPERM)),
	FDOP(op_getdents, 0, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_fchdir, 0, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_exec, 0, 0, ALWAYS(-EACCES)),
	FDOP(op_handle, 0, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_fadvise, POSIX_FADV_NORMAL, 0, ALWAYS(0)),
	FDOP(op_fadvise, POSIX_FADV_WILLNEED, 0, ALWAYS(0)),
	FDOP(op_fadvise, POSIX_FADV_DONTNEED, 0, ALWAYS(0)),
	FDOP(op_fadvise, 99, 0, ALWAYS(-EINVAL)),
	/* There is nothing to open but what the kernel gives out. */
	FDOP(op_reopen, O_RDONLY, 0, ALWAYS(-ENXIO)),
	FDOP(op_reopen, O_WRONLY, 0, ALWAYS(-ENXIO)),
	FDOP(op_reopen, O_RDWR, 0, ALWAYS(-ENXIO)),
	FDOP(op_reopen, O_WRONLY | O_TRUNC, 0, ALWAYS(-ENXIO)),
	FDOP(op_reopen, O_WRONLY | O_APPEND, 0, ALWAYS(-ENXIO)),
	FDOP(op_reopen, O_RDONLY | O_DIRECTORY, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_reopen, O_PATH, 0, ALWAYS(0)),

	/* The last, as they see what any of those above has done to the object. */
	FDOP(op_lseek, SEEK_SET, AT_5, SEEKS(SEEKS_HERE)),
	FDOP(op_lseek, SEEK_CUR, AT_5, SEEKS(SEEKS_ELSEWHERE)),
	FDOP(op_lseek, SEEK_SET, AT_MINUS_1, SEEKS(-EINVAL)),
	FDOP(op_lseek, SEEK_HOLE + 1, AT_5, ALWAYS(-EINVAL)),
	FDOP(op_lseek, SEEK_DATA, AT_OFF, FINDS(SEEKS_HERE, SEEKS_HERE)),
	FDOP(op_lseek, SEEK_HOLE, AT_OFF, FINDS(SEEKS_ELSEWHERE, SEEKS_SIZE)),
	FDOP(op_lseek, SEEK_DATA, AT_HOLE, FINDS(-ENXIO, SEEKS_HERE)),
	FDOP(op_lseek, SEEK_HOLE, AT_HOLE, FINDS(SEEKS_HERE, SEEKS_SIZE)),
	FDOP(op_lseek, SEEK_DATA, AT_SIZE, SEEKS(-ENXIO)),
	FDOP(op_lseek, SEEK_HOLE, AT_SIZE, SEEKS(-ENXIO)),
	FDOP(op_lseek, SEEK_HOLE, AT_MINUS_1, SEEKS(-ENXIO)),
};

FIXTURE(object)
{
	struct scene s;
	struct fdops c;
	struct cf_task t;	/* it waits for the daemon, if anything does */
	struct cf_msg m;
};

FIXTURE_VARIANT(object)
{
	int state;
};

FIXTURE_VARIANT_ADD(object, opening) { OPENING };
FIXTURE_VARIANT_ADD(object, open) { OPEN };
FIXTURE_VARIANT_ADD(object, reading) { READING };
FIXTURE_VARIANT_ADD(object, full) { FULL };
FIXTURE_VARIANT_ADD(object, empty) { EMPTY };
FIXTURE_VARIANT_ADD(object, refused) { REFUSED };
FIXTURE_VARIANT_ADD(object, closed) { CLOSED };
FIXTURE_VARIANT_ADD(object, orphan) { ORPHAN };
FIXTURE_VARIANT_ADD(object, replaced) { REPLACED };
FIXTURE_VARIANT_ADD(object, restored) { RESTORED };

FIXTURE_SETUP(object)
{
	struct scene *s = &self->s;
	struct fdops *c = &self->c;

	memset(junk, 0xdb, sizeof(junk));
	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	s->img.size += EXTRA;
	*c = (struct fdops){
		.data = junk, .len = sizeof(junk), .arg = s,
		.off = s->img.file[0].pos + PRESENT + 50,
		.hole = s->img.file[0].pos + MISSING,
		.size = variant->state == EMPTY ? 0 : s->img.size,
	};
	ASSERT_EQ(0, fdops_init(c));
}

FIXTURE_TEARDOWN(object)
{
	fdops_fini(&self->c);
	scene_fini(&self->s);
}

/* Mounted, with the metadata and two granules of the file. */
static int mount_it(struct scene *s)
{
	__u64 pos = s->img.file[0].pos + PRESENT;

	return scene_mount(s, "m", "fsid=img") ?: cf_fill(s->fd, s->img.data, pos, 2 * GRANULE);
}

/* With a blob beside it that has no bytes. */
static int mount_with_empty(struct scene *s, struct fdops *c)
{
	struct cf_task t;
	struct cf_msg m;
	int ret;

	img_devices(&s->img, 1, 1);
	ret = cf_mount_start(&s->env, &t, "m", "fsid=img,device=none") ?:
	      scene_open(s, s->img.size) ?: scene_fill_metadata(s);
	if (ret)
		return ret;
	while (!(ret = cf_next(s->env.dev, &m, WAIT_MS)) && m.op == CACHEFILES_OP_READ) {
		ret = cf_complete(s->fd, m.id);
		if (ret)
			return ret;
	}
	if (ret || m.op != CACHEFILES_OP_OPEN)
		return ret ?: -EPROTO;
	c->fd = m.fd;
	return cf_copen(s->env.dev, m.id, 0) ?: scene_absorb(s, &t) ?: cf_wait(&t, WAIT_MS);
}

/* A miss opens it again, and gets nothing: what is missing stays so. */
static int open_again(struct scene *s)
{
	struct cf_task t;
	struct cf_msg m;
	int ret;

	ret = scene_read_start(s, &t, 0, 100) ?: scene_open(s, s->img.size);
	while (!ret && cf_running(&t, 0)) {
		ret = cf_next(s->env.dev, &m, 10);
		if (!ret)
			ret = cf_fail(s->fd, m.id, -EIO);
		else if (ret == -ETIME)
			ret = 0;
	}
	return ret ?: cf_wait(&t, WAIT_MS) < 0 ? 0 : -EPROTO;
}

/* Where it has the state, the descriptor is that of the object of c->arg. */
static int reach(struct fdops *c, int state, struct cf_task *t, struct cf_msg *m)
{
	struct scene *s = c->arg;
	int ret;

	switch (state) {
	case OPENING:
	case REFUSED:
		ret = cf_mount_start(&s->env, t, "m", "fsid=img") ?: scene_open(s, 0);
		break;
	case EMPTY:
		return mount_with_empty(s, c);
	default:
		ret = mount_it(s);
	}
	c->fd = s->fd;
	if (ret)
		return ret;

	switch (state) {
	case REFUSED:
		ret = cf_copen(s->env.dev, s->open_id, -ENOENT);
		return ret ?: cf_wait(t, WAIT_MS) == -ENOENT ? 0 : -EPROTO;
	case READING:
		return scene_read_start(s, t, 0, 100) ?: scene_expect_read(s, m, 0);
	case FULL:
		return cf_fill(c->fd, s->img.data, 0, s->img.size);
	case CLOSED:
		return cf_umount(&s->env, "m", 0) ?: cf_expect(s->env.dev, m, CACHEFILES_OP_CLOSE);
	case ORPHAN:
		return cf_dev_close(&s->env);
	case REPLACED:
		return cf_dev_close(&s->env) ?: cf_bind(&s->env, "ondemand") ?:
		       open_again(s);
	case RESTORED:
		return cf_cmd(s->env.dev, "restore");
	}
	return 0;
}

/* It goes on from there as if nothing had been. */
static int go_on(struct fdops *c, int state, struct cf_task *t, struct cf_msg *m)
{
	struct scene *s = c->arg;
	__u64 present = s->img.file[0].pos + PRESENT, rest = present + 2 * GRANULE;
	struct cf_task alone;

	switch (state) {
	case OPENING:
		return cf_copen(s->env.dev, s->open_id, s->img.size) ?: scene_fill_metadata(s) ?:
		       scene_absorb(s, t) ?: cf_wait(t, WAIT_MS);
	case READING:
		if (!cf_running(t, 0))
			return -EEXIST;
		return cf_fill(c->fd, s->img.data, m->off, m->size) ?: cf_complete(c->fd, m->id) ?:
		       scene_serve(s, t) ?: scene_check(s, t, 0, 100);
	case FULL:
		return cf_drop_caches() ?: scene_read_start(s, &alone, 0, FILE_SIZE) ?:
		       scene_check(s, &alone, 0, FILE_SIZE) ?: cf_quiet(s->env.dev, 0);
	case REFUSED:
	case CLOSED:
		return scene_mount(s, "m", "fsid=img");
	case ORPHAN:
		/* There is no daemon, but there is its descriptor for what is missing. */
		return cf_fill(c->fd, s->img.data, 0, present) ?:
		       cf_fill(c->fd, s->img.data, rest, s->img.size - rest) ?:
		       scene_read_start(s, &alone, 0, FILE_SIZE) ?:
		       scene_check(s, &alone, 0, FILE_SIZE) ?: cf_bind(&s->env, "ondemand");
	}
	return 0;
}

/* From the cache, and what it lacks from the daemon. */
static int read_all(struct scene *s)
{
	struct cf_task t;

	return cf_drop_caches() ?: scene_read_start(s, &t, 0, FILE_SIZE) ?: scene_serve(s, &t) ?:
	       scene_check(s, &t, 0, FILE_SIZE);
}

static loff_t length_on_disk(struct scene *s)
{
	int fd = cachefile_open(s->env.root, "img", O_RDONLY);
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		st.st_size = -errno;
	close(fd);
	return st.st_size;
}

TEST_F_TIMEOUT(object, everything, 120)
{
	struct scene *s = &self->s;
	struct fdops *c = &self->c;
	int state = variant->state;
	struct cf_task again;
	loff_t length;

	ASSERT_EQ(0, reach(c, state, &self->t, &self->m));
	length = length_on_disk(s);
	EXPECT_EQ(0, fdops_run(c, ops, ARRAY_SIZE(ops), state));
	EXPECT_EQ(length, length_on_disk(s));

	ASSERT_EQ(0, go_on(c, state, &self->t, &self->m));
	EXPECT_EQ(0, read_all(s));
	if (state == EMPTY)
		return;
	/* What is on the disk is as right, and the old descriptor is of no use. */
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(state == REFUSED ? -ENOBUFS : -ESTALE, op_pwrite(c, 0, 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &again, "m", "fsid=img"));
	ASSERT_EQ(0, scene_serve(s, &again));
	ASSERT_EQ(0, cf_wait(&again, WAIT_MS));
	EXPECT_EQ(0, read_all(s));
	EXPECT_EQ(s->img.size, lseek(s->fd, 0, SEEK_END));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
