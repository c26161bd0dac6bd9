// SPDX-License-Identifier: GPL-2.0
/*
 * System calls that make no sense on an object's fd, or on the device, and fds
 * that are lost, copied, or cannot be had.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "odfuzz.h"

#define TYPE 0x98	/* of the ioctls */

static void expect(const char *what, long ret, int error)
{
	if (ret >= 0 || errno != error)
		fz_fail("%s: %ld, %s instead of %s", what, ret, strerror(errno), strerror(error));
}

/* lseek() of all kinds; the position is for those who write at it. */
static void seek(struct fz_worker *w, struct fz_object *o)
{
	static const int whence[] = { SEEK_SET, SEEK_CUR, SEEK_END, SEEK_DATA, SEEK_HOLE, 5, -1 };
	int how = whence[fz_below(w, FZ_NELEM(whence))];
	off_t off = fz_rand(w) >> fz_below(w, 64), at;

	if (fz_chance(w, 20))
		off = -off;
	pthread_mutex_lock(&o->position);
	at = lseek(o->fd, off, how);
	if (at < 0)
		at = -errno;
	pthread_mutex_unlock(&o->position);
	fz_result("lseek", at);
	if (how == SEEK_HOLE && at >= 0 && at < off)
		fz_fail("SEEK_HOLE from %lld: %lld", (long long)off, (long long)at);
	if (how == SEEK_DATA && at >= 0 && at < off)
		fz_fail("SEEK_DATA from %lld: %lld", (long long)off, (long long)at);
}

static void watch(struct fz_worker *w, int fd)
{
	struct pollfd pfd = { .fd = fd, .events = fz_rand(w) };

	poll(&pfd, 1, fz_below(w, 3));
}

/* No flag may change where bytes go, so none that would is left on. */
static void control(struct fz_worker *w, int fd)
{
	static const int flags[] = { 0, O_NONBLOCK, O_NOATIME, O_DIRECT, O_ASYNC };

	fcntl(fd, F_SETFL, flags[fz_below(w, FZ_NELEM(flags))]);
	fcntl(fd, F_GETFL);
	fcntl(fd, F_SETLEASE, F_RDLCK);
	fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE);
	fcntl(fd, F_SETOWN, getpid());
	flock(fd, LOCK_EX | LOCK_NB);
	flock(fd, LOCK_UN);
	fcntl(fd, F_SETFL, 0);
}

static void splice_from(int fd)
{
	int pfd[2];

	if (pipe2(pfd, O_CLOEXEC | O_NONBLOCK) < 0)
		return;
	if (splice(fd, NULL, pfd[1], NULL, GRANULE, SPLICE_F_NONBLOCK) >= 0)
		fz_fail("splice from the fd of an object");
	close(pfd[0]);
	close(pfd[1]);
}

long fz_prod_fd(struct fz_worker *w, void *ctx)
{
	struct fz_object *o = fz_object_any(ctx, w);
	struct stat st;
	char buf[64];
	void *p;

	if (!o)
		return -ENOENT;
	switch (fz_below(w, 12)) {
	case 0:
		expect("read of an object's fd", read(o->fd, buf, sizeof(buf)), EBADF);
		break;
	case 1:
		p = mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, o->fd, 0);
		expect("mmap of an object's fd", p == MAP_FAILED ? -1 : 0, EACCES);
		break;
	case 2:
		expect("fsync of an object's fd", fsync(o->fd), EINVAL);
		break;
	case 3:
		expect("ftruncate of an object's fd", ftruncate(o->fd, fz_rand(w) >> 1), EINVAL);
		break;
	case 4:
		if (!fallocate(o->fd, fz_below(w, 4), 0, GRANULE))
			fz_fail("fallocate of an object's fd");
		break;
	case 5:
		control(w, o->fd);
		break;
	case 6:
		splice_from(o->fd);
		break;
	case 7:
		watch(w, o->fd);
		break;
	case 8:
		if (sendfile(o->fd, o->fd, NULL, GRANULE) >= 0)
			fz_fail("sendfile from the fd of an object");
		break;
	case 9:
		fstat(o->fd, &st);
		posix_fadvise(o->fd, 0, 0, fz_below(w, 8));
		readahead(o->fd, 0, GRANULE);
		break;
	default:
		seek(w, o);
	}
	fz_object_put(ctx, o);
	return 0;
}

/* The numbers make sense, whatever there is of space. */
static void look_at_space(struct fz_daemon *d)
{
	struct cachefiles_space s = {};
	int ret = ioctl(d->dev, CACHEFILES_IOC_SPACE, &s) < 0 ? -errno : 0;

	fz_result("SPACE", ret);
	if (__atomic_load_n(&d->shut, __ATOMIC_SEQ_CST))
		return;
	if (ret != (fz->features & CACHEFILES_FEATURE_SPACE ? 0 : -ENOTTY))
		fz_fail("ioctl SPACE: %d", ret);
	if (!ret && (s.block_size < 512 || s.bstop > s.bcull || s.bcull > s.brun ||
		     s.fstop > s.fcull || s.fcull > s.frun ||
		     s.flags & ~(CACHEFILES_SPACE_CULL | CACHEFILES_SPACE_STOP)))
		fz_fail("ioctl SPACE: flags %#x, blocks of %u", s.flags, s.block_size);
}

long fz_prod_device(struct fz_worker *w, void *ctx)
{
	struct fz_daemon *d = ctx;
	struct stat st;
	int other;

	switch (fz_below(w, 9)) {
	case 0:
		/* It may be another file by now: see "device closed before the fds". */
		if (mmap(NULL, GRANULE, PROT_READ, MAP_PRIVATE, d->dev, 0) != MAP_FAILED)
			return 0;
		break;
	case 1:
		fsync(d->dev);
		break;
	case 2:
		lseek(d->dev, fz_rand(w) >> 1, fz_below(w, 5));
		break;
	case 3:
		if (!ftruncate(d->dev, 0) || !fallocate(d->dev, 0, 0, GRANULE))
			fz_fail("ftruncate or fallocate of the device");
		break;
	case 4:
		control(w, d->dev);
		break;
	case 5:
		other = open("/dev/cachefiles", O_RDWR | O_CLOEXEC);
		/* It has one opener at a time, but this may just have ceased to be it. */
		if (other >= 0 && !__atomic_load_n(&d->shut, __ATOMIC_SEQ_CST))
			fz_fail("the device was opened twice");
		if (other >= 0)
			close(other);
		break;
	case 6:
		fstat(d->dev, &st);
		watch(w, d->dev);
		break;
	case 7:
		look_at_space(d);
		break;
	default:
		splice_from(d->dev);
	}
	return 0;
}

/* Every number, with any argument: on the device, and on an object's fd. */
long fz_prod_ioctl(struct fz_worker *w, void *ctx)
{
	struct fz_object *o = fz_chance(w, 60) ? fz_object_any(ctx, w) : NULL;
	struct fz_daemon *d = ctx;
	__u64 arg[16], cmd;
	bool ours, known;
	long ret;
	int i;

	for (i = 0; i < (int)FZ_NELEM(arg); i++)
		arg[i] = fz_chance(w, 50) ? fz_below(w, 200) : fz_rand(w);
	ours = fz_chance(w, 80);
	cmd = ours ? _IOC(fz_below(w, 4), TYPE, fz_below(w, fz_chance(w, 70) ? 6 : 256),
			  fz_below(w, 3) * 4) : (__u32)fz_rand(w);
	if (ours && fz_chance(w, 40)) {
		static const __u32 real[] = {
			CACHEFILES_IOC_READ_COMPLETE, CACHEFILES_IOC_FEATURES,
			CACHEFILES_IOC_READ_FAIL, CACHEFILES_IOC_SPACE,
		};

		cmd = real[fz_below(w, FZ_NELEM(real))];
	}
	known = cmd == CACHEFILES_IOC_READ_COMPLETE || cmd == CACHEFILES_IOC_FEATURES ||
		cmd == CACHEFILES_IOC_READ_FAIL || cmd == CACHEFILES_IOC_SPACE;
	ret = ioctl(o ? o->fd : d->dev, cmd, fz_chance(w, 70) ? (__u64)arg :
		    fz_chance(w, 50) ? fz_below(w, 1000) : fz_rand(w));
	if (ret < 0)
		ret = -errno;
	if (ours && !known && ret != -ENOTTY)
		fz_fail("ioctl %#llx: %ld", cmd, ret);
	if (o)
		fz_object_put(d, o);
	return ret;
}

/* Close an fd that somebody may need. */
long fz_lose_fd(struct fz_worker *w, void *ctx)
{
	struct fz_object *o = fz_object_any(ctx, w);

	if (!o)
		return -ENOENT;
	fz_object_close(ctx, o, false);
	fz_object_put(ctx, o);
	return 0;
}

/* Copies live on when the fd has been closed, for some time. */
long fz_copy_fd(struct fz_worker *w, void *ctx)
{
	static __thread int copies[8];
	int *copy = &copies[fz_below(w, FZ_NELEM(copies))];
	struct fz_object *o;

	if (*copy > 0)
		close(*copy);
	*copy = 0;
	o = fz_object_any(ctx, w);
	if (!o)
		return -ENOENT;
	*copy = fcntl(o->fd, F_DUPFD_CLOEXEC, 0);
	fz_object_put(ctx, o);
	return 0;
}

/* Not one fd can be had for a while, neither by this process nor for it. */
long fz_starve_fds(struct fz_worker *w, void *ctx)
{
	struct rlimit old, few;

	if (getrlimit(RLIMIT_NOFILE, &old) < 0)
		return -errno;
	few = old;
	few.rlim_cur = fz_below(w, 20);
	setrlimit(RLIMIT_NOFILE, &few);
	usleep(fz_below(w, 200000));
	setrlimit(RLIMIT_NOFILE, &old);
	return 0;
}
