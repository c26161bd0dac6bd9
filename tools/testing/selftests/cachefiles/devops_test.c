// SPDX-License-Identifier: GPL-2.0
/*
 * The device: whatever is done to it, bound or not, with messages and without, has
 * the result that the protocol says, or that is every character device's; and the
 * cache works afterwards.
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
#include "fdops.h"
#include "scene.h"

#define FILE_SIZE	(64 << 10)
#define INJECTION	"/proc/sys/cachefiles/error_injection"

enum {
	UNBOUND,	/* it is open */
	IDLE,		/* it is bound in on-demand mode, and nobody wants anything */
	OPTIONS,	/* so it is with all options */
	STRUCK,		/* the disk has failed a command: of no consequence */
	QUEUED,		/* there is an OPEN to read */
	PLAIN,		/* it is bound in the plain mode */
	DEAD,		/* there the disk has failed a command */
};

/* The one command that succeeds again and again. */
static const char command[] = "restore";
#define LEN	((int)sizeof(command) - 1)

/* No message, one message, or one of the plain mode's lines. */
#define READS(n)	{ [QUEUED ... DEAD] = (n) }

/* A cache that is dead takes no command; the others see what they can do. */
#define UNLESS_DEAD(n)	{ [0 ... FDOPS_STATES - 1] = (n), [DEAD] = -EIO }

/* A command of both modes, and before it is bound. */
#define BOUND(unbound, bound) {	\
	[0 ... FDOPS_STATES - 1] = (bound),	\
	[UNBOUND] = (unbound),	\
	[DEAD] = -EIO,		\
}

/* A command of the on-demand mode. */
#define TAKES(n) {		\
	[0 ... FDOPS_STATES - 1] = (n),	\
	[UNBOUND] = -EOPNOTSUPP,\
	[PLAIN] = -EOPNOTSUPP,	\
	[DEAD] = -EIO,		\
}

/* What can be asked of a cache in on-demand mode. */
#define TELLS(n) {		\
	[0 ... FDOPS_STATES - 1] = (n),	\
	[UNBOUND] = -EINVAL,	\
	[PLAIN ... DEAD] = -EINVAL,	\
}

static long op_command(struct fdops *c, long line, long len)
{
	ssize_t n = write(c->fd, (const char *)line, len ?: (long)strlen((const char *)line));

	return n < 0 ? -errno : n;
}

static const char too_long[GRANULE + 1] = { [0 ... GRANULE - 1] = 'x' };

static const struct fdop ops[] = {
	/* One message each time, and it never blocks. */
	FDOP(op_read, CACHEFILES_MSG_MAX_SIZE, 0, READS(1)),
	FDOP(op_read, 8, 0, READS(-EMSGSIZE)),
	FDOP(op_read, 0, 0, READS(-EMSGSIZE)),
	FDOP(op_read_bad, 0, 0, READS(-EFAULT)),
	/* The position has no meaning. */
	FDOP(op_pread, CACHEFILES_MSG_MAX_SIZE, 0, READS(1)),
	FDOP(op_pread, CACHEFILES_MSG_MAX_SIZE, 12345, READS(1)),
	FDOP(op_pread, CACHEFILES_MSG_MAX_SIZE, -1, ALWAYS(-EINVAL)),
	/* A driver reads each part for itself. */
	FDOP(op_readv, CACHEFILES_MSG_MAX_SIZE, 0, READS(1)),
	FDOP(op_readv, 8, 0, READS(-EMSGSIZE)),
	FDOP(op_preadv2, 0, 0, READS(1)),
	FDOP(op_preadv2, RWF_HIPRI, 0, READS(1)),
	FDOP(op_preadv2, RWF_NOWAIT, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_preadv2, RWF_DONTCACHE, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_preadv2, 1 << 15, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_elsewhere, BY_FORK, TO_READ, READS(1)),
	FDOP(op_elsewhere, BY_SOCKET, TO_READ, READS(1)),
	FDOP(op_elsewhere, BY_DUP, TO_READ, READS(1)),

	/* One command each time. */
	FDOP(op_write, 0, 0, TAKES(LEN)),
	FDOP(op_pwrite, 0, 0, TAKES(LEN)),
	FDOP(op_pwrite_at, -1, 0, ALWAYS(-EINVAL)),
	FDOP(op_writev, 1, 0, TAKES(LEN)),
	FDOP(op_writev, 2, 0, TAKES(2 * LEN)),
	FDOP(op_writev, 0, 0, ALWAYS(0)),
	FDOP(op_write_nothing, 0, 0, UNLESS_DEAD(-EOPNOTSUPP)),
	FDOP(op_write_bad, 0, 0, UNLESS_DEAD(-EFAULT)),
	FDOP(op_pwritev2, 0, 0, TAKES(LEN)),
	FDOP(op_pwritev2, RWF_HIPRI, 0, TAKES(LEN)),
	FDOP(op_pwritev2, RWF_DSYNC, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_SYNC, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_NOWAIT, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_APPEND, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_NOAPPEND, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_ATOMIC, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_DONTCACHE, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, RWF_NOSIGNAL, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_pwritev2, 1 << 15, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_elsewhere, BY_FORK, TO_WRITE, TAKES(LEN)),
	FDOP(op_elsewhere, BY_SOCKET, TO_WRITE, TAKES(LEN)),
	FDOP(op_elsewhere, BY_DUP, TO_WRITE, TAKES(LEN)),
	FDOP(op_command, (long)"nonsense", 0, UNLESS_DEAD(-EOPNOTSUPP)),
	FDOP(op_command, (long)" restore", 0, UNLESS_DEAD(-EOPNOTSUPP)),
	FDOP(op_command, (long)"\nrestore", 0, UNLESS_DEAD(-EINVAL)),
	FDOP(op_command, (long)"restore\nbind", 0, TAKES(LEN + 5)),
	FDOP(op_command, (long)"restore x", 0, TAKES(-EINVAL)),
	FDOP(op_command, (long)"copen 1,4096", 0, TAKES(-EINVAL)),
	FDOP(op_command, (long)"copen 1", 0, TAKES(-EINVAL)),
	FDOP(op_command, (long)"bind", 0, BOUND(-EINVAL, -EBUSY)),
	FDOP(op_command, (long)"bind ondemand", 0, BOUND(-EINVAL, -EBUSY)),
	FDOP(op_command, (long)"dir", 0, UNLESS_DEAD(-EINVAL)),
	FDOP(op_command, (long)"tag", 0, UNLESS_DEAD(-EINVAL)),
	FDOP(op_command, (long)"debug 0", 0, UNLESS_DEAD(7)),
	FDOP(op_command, (long)"brun 0%", 0, UNLESS_DEAD(-EINVAL)),
	FDOP(op_command, (long)"cull nobody", 0, BOUND(-EIO, -ESTALE)),
	FDOP(op_command, (long)"inuse nobody", 0, BOUND(-EIO, -ESTALE)),
	FDOP(op_command, (long)"cull a/b", 0, UNLESS_DEAD(-EINVAL)),
	FDOP(op_command, (long)"inuse a/b", 0, UNLESS_DEAD(-EINVAL)),
	FDOP(op_command, (long)"restore\0", LEN + 1, UNLESS_DEAD(-EINVAL)),
	FDOP(op_command, (long)too_long, GRANULE, UNLESS_DEAD(-EOPNOTSUPP)),

	/* An io_uring waits until poll says that it can, which is what it says. */
	FDOP(op_uring, IORING_OP_READ, 2 * QUIET_MS, {
		[0 ... FDOPS_STATES - 1] = -ETIME, [QUEUED] = 1,
	}),
	FDOP(op_uring, IORING_OP_WRITE, 2 * QUIET_MS, ALWAYS(-ETIME)),
	FDOP(op_uring, IORING_OP_FSYNC, WAIT_MS, ALWAYS(-EINVAL)),
	FDOP(op_uring, IORING_OP_FALLOCATE, WAIT_MS, ALWAYS(-ENODEV)),
	FDOP(op_poll, POLLIN | POLLOUT | POLLPRI, 0, { [QUEUED] = POLLIN }),
	FDOP(op_epoll, 0, 0, { [QUEUED] = EPOLLIN }),

	/* A driver that has none of these. */
	FDOP(op_splice_from, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_splice_to, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_splice_to, 1, 0, ALWAYS(-EINVAL)),
	FDOP(op_sendfile_from, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_sendfile_to, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_tee, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_vmsplice, 0, 0, ALWAYS(-EBADF)),
	FDOP(op_copy_from, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_copy_to, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_copy_self, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_ftruncate, 0, 0, ALWAYS(-EINVAL)),
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
	FDOP(op_fsync, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_fdatasync, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_sync_file_range, SYNC_FILE_RANGE_WRITE, 0, ALWAYS(-ESPIPE)),
	FDOP(op_sync_file_range, 1 << 15, 0, ALWAYS(-EINVAL)),
	FDOP(op_syncfs, 0, 0, ALWAYS(0)),
	FDOP(op_mmap, PROT_READ, MAP_SHARED, ALWAYS(-ENODEV)),
	FDOP(op_mmap, PROT_READ, MAP_PRIVATE, ALWAYS(-ENODEV)),
	FDOP(op_mmap, PROT_READ | PROT_WRITE, MAP_SHARED, ALWAYS(-ENODEV)),
	FDOP(op_mmap, PROT_READ | PROT_WRITE, MAP_PRIVATE, ALWAYS(-ENODEV)),
	FDOP(op_mmap, PROT_NONE, MAP_PRIVATE, ALWAYS(-ENODEV)),
	/* It stays where it is, and that is no error. */
	FDOP(op_lseek, SEEK_SET, AT_5, ALWAYS(SEEKS_SIZE)),
	FDOP(op_lseek, SEEK_CUR, AT_5, ALWAYS(SEEKS_SIZE)),
	FDOP(op_lseek, SEEK_END, AT_5, ALWAYS(SEEKS_SIZE)),
	FDOP(op_lseek, SEEK_DATA, AT_5, ALWAYS(SEEKS_SIZE)),
	FDOP(op_lseek, SEEK_HOLE, AT_5, ALWAYS(SEEKS_SIZE)),
	FDOP(op_lseek, SEEK_HOLE + 1, AT_5, ALWAYS(-EINVAL)),

	FDOP(op_ioctl_room, CACHEFILES_IOC_FEATURES, 0, ALWAYS(0)),
	FDOP(op_ioctl_bad, CACHEFILES_IOC_FEATURES, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_room, CACHEFILES_IOC_SPACE, 0, TELLS(0)),
	FDOP(op_ioctl_bad, CACHEFILES_IOC_SPACE, 0, TELLS(-EFAULT)),
	/* These are an object's. */
	FDOP(op_ioctl, CACHEFILES_IOC_READ_COMPLETE, 1, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_room, CACHEFILES_IOC_READ_FAIL, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl, _IO(0x98, 2), 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl, 0, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl, -1, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FIONREAD, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FIBMAP, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FIOQSIZE, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FS_IOC_GETFLAGS, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FS_IOC_FSGETXATTR, 0, ALWAYS(-ENOTTY)),
	FDOP(op_ioctl_bad, FS_IOC_FIEMAP, 0, ALWAYS(-EOPNOTSUPP)),
	FDOP(op_ioctl, FICLONE, -1, ALWAYS(-EBADF)),
	FDOP(op_ioctl_bad, FICLONERANGE, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_bad, FIDEDUPERANGE, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_room, FIDEDUPERANGE, 0, ALWAYS(-EINVAL)),
	FDOP(op_ioctl_bad, FIGETBSZ, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_bad, FIONBIO, 0, ALWAYS(-EFAULT)),
	FDOP(op_ioctl_room, FIONBIO, 0, ALWAYS(0)),
	FDOP(op_ioctl_bad, FIOASYNC, 0, ALWAYS(-EFAULT)),

	FDOP(op_fcntl, F_GETFD, 0, ALWAYS(FD_CLOEXEC)),
	FDOP(op_fcntl, F_DUPFD, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_DUPFD_CLOEXEC, 0, ALWAYS(0)),
	FDOP(op_getfl, O_ACCMODE | O_APPEND | O_NONBLOCK, 0, ALWAYS(O_RDWR)),
	FDOP(op_setfl, O_NONBLOCK, 0, TAKES(LEN)),
	FDOP(op_setfl, O_ASYNC, 0, TAKES(LEN)),
	FDOP(op_setfl, O_APPEND, 0, TAKES(LEN)),
	FDOP(op_setfl, O_APPEND, 1, ALWAYS(-EINVAL)),
	FDOP(op_setfl, O_DIRECT, 0, ALWAYS(-EINVAL)),
	FDOP(op_fcntl, F_SETOWN, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_GETOWN, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_SETSIG, 0, ALWAYS(0)),
	FDOP(op_fcntl, F_GETLEASE, 0, ALWAYS(F_UNLCK)),
	FDOP(op_fcntl, F_SETLEASE, F_RDLCK, ALWAYS(-EINVAL)),
	FDOP(op_fcntl, F_SETLEASE, F_WRLCK, ALWAYS(-EINVAL)),
	FDOP(op_notify, 0, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_fcntl, F_SETPIPE_SZ, 1 << 16, ALWAYS(-EBADF)),
	FDOP(op_fcntl, F_ADD_SEALS, F_SEAL_WRITE, ALWAYS(-EINVAL)),
	FDOP(op_fcntl_bad, F_SETLK, 0, ALWAYS(-EFAULT)),
	FDOP(op_fcntl, 999, 0, ALWAYS(-EINVAL)),
	FDOP(op_lock, F_SETLK, F_WRLCK, ALWAYS(0)),
	FDOP(op_lock, F_SETLK, F_RDLCK, ALWAYS(0)),
	FDOP(op_lock, F_OFD_SETLK, F_WRLCK, ALWAYS(0)),
	FDOP(op_flock, LOCK_EX | LOCK_NB, 0, ALWAYS(0)),
	FDOP(op_flock, LOCK_SH | LOCK_NB, 0, ALWAYS(0)),

	/* The node in /dev is a file like others there. */
	FDOP(op_fstat, 0, 0, ALWAYS(S_IFCHR)),
	FDOP(op_fstatfs, 0, 0, ALWAYS(0)),
	FDOP(op_fchmod, 0, 0, ALWAYS(0)),
	FDOP(op_fchown, 0, 0, ALWAYS(0)),
	FDOP(op_futimens, 0, 0, ALWAYS(0)),
	FDOP(op_getxattr, 0, 0, ALWAYS(-ENODATA)),
	FDOP(op_setxattr, 0, 0, ALWAYS(-EPERM)),
	FDOP(op_listxattr, 0, 0, ALWAYS(0)),
	FDOP(op_removexattr, 0, 0, ALWAYS(-EPERM)),
	FDOP(op_getdents, 0, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_fchdir, 0, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_exec, 0, 0, ALWAYS(-EACCES)),
	FDOP(op_readahead, 0, 0, ALWAYS(-EINVAL)),
	FDOP(op_fadvise, POSIX_FADV_WILLNEED, 0, ALWAYS(0)),
	FDOP(op_fadvise, 99, 0, ALWAYS(-EINVAL)),
	/* To open it by its number is to open it once more. */
	FDOP(op_reopen, O_RDONLY, 0, ALWAYS(-EBUSY)),
	FDOP(op_reopen, O_WRONLY, 0, ALWAYS(-EBUSY)),
	FDOP(op_reopen, O_RDWR, 0, ALWAYS(-EBUSY)),
	FDOP(op_reopen, O_RDWR | O_TRUNC, 0, ALWAYS(-EBUSY)),
	FDOP(op_reopen, O_RDONLY | O_DIRECTORY, 0, ALWAYS(-ENOTDIR)),
	FDOP(op_reopen, O_PATH, 0, ALWAYS(0)),
};

FIXTURE(device)
{
	struct scene s;
	struct fdops c;
	struct cf_task t;	/* the mount that waits */
};

FIXTURE_VARIANT(device)
{
	int state;
	const char *how;
};

FIXTURE_VARIANT_ADD(device, unbound) { UNBOUND };
FIXTURE_VARIANT_ADD(device, idle) { IDLE, "ondemand" };
FIXTURE_VARIANT_ADD(device, queued) { QUEUED, "ondemand" };
FIXTURE_VARIANT_ADD(device, options) { OPTIONS, "ondemand park=60 keep full" };
FIXTURE_VARIANT_ADD(device, struck) { STRUCK, "ondemand" };
FIXTURE_VARIANT_ADD(device, plain) { PLAIN, "" };
FIXTURE_VARIANT_ADD(device, dead) { DEAD, "" };

/* Only an OPEN is there to be read, and it is put back for the next to read it. */
static long took_open(struct fdops *c, const void *buf, ssize_t n)
{
	struct cf_msg m;

	if (cf_parse(&m, buf, n) || m.op != CACHEFILES_OP_OPEN)
		return -EPROTO;
	close(m.fd);
	return cf_cmd(c->fd, "restore") ?: 1;
}

static long took_line(struct fdops *c, const void *buf, ssize_t n)
{
	return n > 6 && !memcmp(buf, "cull=0", 6) ? 1 : -EPROTO;
}

static int inject(const char *what)
{
	int fd = open(INJECTION, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, what, strlen(what)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

FIXTURE_SETUP(device)
{
	struct scene *s = &self->s;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	self->c = (struct fdops){ .data = command, .len = LEN };
	ASSERT_EQ(0, fdops_init(&self->c));
}

/* Whoever binds without options and goes leaves nothing. */
FIXTURE_TEARDOWN(device)
{
	inject("0");
	if (chdir("/") < 0)
		ksft_print_msg("no root\n");
	if (variant->state == OPTIONS) {
		cf_dev_close(&self->s.env);
		cf_bind(&self->s.env, "ondemand");
	}
	fdops_fini(&self->c);
	scene_fini(&self->s);
}

/* A directory that can't be culled, as moving it away is an error of the disk. */
static int strike(struct scene *s, int state)
{
	int ret;

	if (mkdir("victim", 0700) < 0)
		return -errno;
	ret = inject("2");
	if (ret)
		return ret;
	ret = cf_cmd(s->env.dev, "cull victim");
	if (state == STRUCK && ret != -EIO)
		return -EPROTO;
	return inject("0");
}

static int mount_and_read(struct scene *s)
{
	struct cf_task t;

	return cf_mount_start(&s->env, &t, "m", "fsid=img") ?: scene_serve(s, &t) ?:
	       cf_wait(&t, WAIT_MS) ?: scene_read_start(s, &t, 0, FILE_SIZE) ?:
	       scene_serve(s, &t) ?: scene_check(s, &t, 0, FILE_SIZE);
}

TEST_F_TIMEOUT(device, everything, 120)
{
	struct scene *s = &self->s;
	struct fdops *c = &self->c;
	int state = variant->state;
	char dir[200];

	if (state == UNBOUND)
		s->env.dev = cf_dev_open();
	else
		ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	ASSERT_LE(0, s->env.dev);
	c->fd = s->env.dev;
	/* Commands that name a file mean one of the current directory. */
	snprintf(dir, sizeof(dir), "%s/%s", s->env.root, state == UNBOUND ? "" : "cache");
	ASSERT_EQ(0, chdir(dir));
	if ((state == STRUCK || state == DEAD) && access(INJECTION, W_OK))
		SKIP(return, "no CONFIG_CACHEFILES_ERROR_INJECTION");
	if (state == STRUCK || state == DEAD)
		ASSERT_EQ(0, strike(s, state));
	if (state == PLAIN || state == DEAD)
		c->took = took_line;
	if (state == QUEUED) {
		ASSERT_EQ(0, cf_mount_start(&s->env, &self->t, "m", "fsid=img"));
		ASSERT_EQ(1, cf_readable(c->fd, WAIT_MS));
		c->took = took_open;
	}

	EXPECT_EQ(0, fdops_run(c, ops, ARRAY_SIZE(ops), state));

	if (state == QUEUED) {
		ASSERT_EQ(0, scene_serve(s, &self->t));
		ASSERT_EQ(0, cf_wait(&self->t, WAIT_MS));
		ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	}
	if (state == PLAIN)
		EXPECT_EQ(-ENOTCONN, cf_mount(&s->env, "m", "fsid=img"));
	if (state == PLAIN || state == DEAD)
		ASSERT_EQ(0, cf_dev_close(&s->env));
	if (state == PLAIN || state == DEAD || state == UNBOUND)
		ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	EXPECT_EQ(0, mount_and_read(s));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
