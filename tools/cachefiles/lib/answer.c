// SPDX-License-Identifier: GPL-2.0-or-later
/* Answers to the kernel: the size of a blob, its bytes, the end of a READ. */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"

/* The kernel accepts errnos up to this one. */
#define ERROR_MAX 511

int cfod_answer_open(int dev, uint32_t msg_id, int64_t result)
{
	char arg[48];

	if (result < -ERROR_MAX)
		result = -EIO;
	snprintf(arg, sizeof(arg), "%u,%lld", msg_id, (long long)result);
	return cfod_command(dev, "copen", arg);
}

int cfod_fill(int fd, const void *data, size_t len, uint64_t off)
{
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };

	return cfod_fillv(fd, &iov, 1, off);
}

int cfod_fillv(int fd, struct iovec *iov, int iovcnt, uint64_t off)
{
	while (iovcnt) {
		ssize_t done;

		if (!iov->iov_len) {
			iov++;
			iovcnt--;
			continue;
		}
		done = iovcnt == 1 ?
			pwrite(fd, iov->iov_base, iov->iov_len, off) :
			pwritev(fd, iov, iovcnt, off);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return done ? -errno : -EIO;
		off += done;
		while (iovcnt && (size_t)done >= iov->iov_len) {
			done -= iov->iov_len;
			iov++;
			iovcnt--;
		}
		if (iovcnt) {
			iov->iov_base = (char *)iov->iov_base + done;
			iov->iov_len -= done;
		}
	}
	return 0;
}

int cfod_complete_read(int fd, uint32_t msg_id)
{
	return ioctl(fd, CACHEFILES_IOC_READ_COMPLETE, msg_id) ? -errno : 0;
}

int cfod_fail_read(int fd, uint32_t msg_id, int error)
{
	struct cachefiles_read_fail fail = {
		.msg_id = msg_id,
		.error = error < 0 && error >= -ERROR_MAX ? error : -EIO,
	};

	return ioctl(fd, CACHEFILES_IOC_READ_FAIL, &fail) ? -errno : 0;
}

int64_t cfod_next_hole(int fd, uint64_t off)
{
	off_t hole = lseek(fd, off, SEEK_HOLE);

	return hole < 0 ? -errno : hole;
}
