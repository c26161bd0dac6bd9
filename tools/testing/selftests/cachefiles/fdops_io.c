// SPDX-License-Identifier: GPL-2.0
/*
 * Reading from a descriptor and writing to it in every way that there is, in the
 * task that has it or in another one; and the loop over a table.
 */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/io_uring.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

#include "fdops.h"

#define ROOM	CACHEFILES_MSG_MAX_SIZE

int fdops_init(struct fdops *c)
{
	c->bad = mmap(NULL, GRANULE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	c->file = memfd_create("data", MFD_CLOEXEC);
	if (c->bad == MAP_FAILED || c->file < 0)
		return -errno;
	return pwrite(c->file, c->data, c->len, 0) == (ssize_t)c->len ? 0 : -EIO;
}

void fdops_fini(struct fdops *c)
{
	munmap(c->bad, GRANULE);
	close(c->file);
}

/*
 * How many did not do what they should.  Each of them leaves the descriptor as it
 * was, and no other.
 */
int fdops_run(struct fdops *c, const struct fdop *ops, int nr, int state)
{
	int fds = cf_count_fds(), flags = fcntl(c->fd, F_GETFL), wrong = 0;
	const struct fdop *op;

	for (op = ops; op < ops + nr; op++) {
		long ret = op->fn(c, op->a, op->b);

		if (ret != op->want[state] && ret != FDOPS_ABSENT) {
			ksft_print_msg("%s: %ld instead of %d\n", op->name, ret, op->want[state]);
			wrong++;
		}
		if (cf_count_fds() != fds || fcntl(c->fd, F_GETFL) != flags) {
			ksft_print_msg("%s: leaves another descriptor behind\n", op->name);
			return wrong + 1;
		}
	}
	return wrong;
}

static long came(struct fdops *c, const void *buf, ssize_t n)
{
	if (n < 0)
		return -errno;
	return n && c->took ? c->took(c, buf, n) : n;
}

/* Where that is possible. */
static void aim(struct fdops *c)
{
	lseek(c->fd, c->off, SEEK_SET);
}

long op_read(struct fdops *c, long size, long b)
{
	char buf[ROOM];

	aim(c);
	return came(c, buf, read(c->fd, buf, size));
}

long op_read_bad(struct fdops *c, long a, long b)
{
	return result(read(c->fd, c->bad, ROOM));
}

long op_pread(struct fdops *c, long size, long off)
{
	char buf[ROOM];

	return came(c, buf, pread(c->fd, buf, size, off));
}

/* The first part of the buffer has so many bytes. */
long op_readv(struct fdops *c, long first, long b)
{
	char buf[ROOM];
	struct iovec iov[2] = { { buf, first }, { buf + first, ROOM - first } };

	aim(c);
	return came(c, buf, readv(c->fd, iov, 2));
}

long op_preadv2(struct fdops *c, long flags, long b)
{
	char buf[ROOM];
	struct iovec iov = { buf, sizeof(buf) };

	return came(c, buf, preadv2(c->fd, &iov, 1, c->off, flags));
}

long op_write(struct fdops *c, long a, long b)
{
	aim(c);
	return result(write(c->fd, c->data, c->len));
}

long op_write_nothing(struct fdops *c, long a, long b)
{
	aim(c);
	return result(write(c->fd, c->data, 0));
}

long op_write_bad(struct fdops *c, long a, long b)
{
	aim(c);
	return result(write(c->fd, c->bad, c->len));
}

long op_pwrite(struct fdops *c, long a, long b)
{
	return result(pwrite(c->fd, c->data, c->len, c->off));
}

/* At the size of the object or so far from there, or before the beginning. */
long op_pwrite_at(struct fdops *c, long at, long b)
{
	return result(pwrite(c->fd, c->data, c->len, at < 0 ? at : c->size + at));
}

/* The same again and again. */
long op_writev(struct fdops *c, long nr, long b)
{
	struct iovec iov[4];
	long i;

	for (i = 0; i < nr; i++)
		iov[i] = (struct iovec){ (void *)c->data, c->len };
	aim(c);
	return result(writev(c->fd, iov, nr));
}

long op_pwritev2(struct fdops *c, long flags, long b)
{
	struct iovec iov = { (void *)c->data, c->len };

	return result(pwritev2(c->fd, &iov, 1, c->off, flags));
}

long op_splice_from(struct fdops *c, long a, long b)
{
	char buf[ROOM];
	int pfd[2];
	long ret;

	if (pipe2(pfd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	ret = result(splice(c->fd, NULL, pfd[1], NULL, ROOM, SPLICE_F_NONBLOCK));
	if (ret > 0)
		ret = came(c, buf, read(pfd[0], buf, ret));
	close(pfd[0]);
	close(pfd[1]);
	return ret;
}

long op_splice_to(struct fdops *c, long with_off, long b)
{
	loff_t off = c->off;
	int pfd[2];
	long ret;

	if (pipe2(pfd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	aim(c);
	ret = result(write(pfd[1], c->data, c->len));
	if (ret > 0)
		ret = result(splice(pfd[0], NULL, c->fd, with_off ? &off : NULL, ret, 0));
	close(pfd[0]);
	close(pfd[1]);
	return ret;
}

/* This one is for pipes. */
long op_vmsplice(struct fdops *c, long a, long b)
{
	struct iovec iov = { (void *)c->data, c->len };

	return result(vmsplice(c->fd, &iov, 1, SPLICE_F_NONBLOCK));
}

/* So is this. */
long op_tee(struct fdops *c, long a, long b)
{
	int pfd[2];
	long ret;

	if (pipe2(pfd, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	ret = result(tee(c->fd, pfd[1], ROOM, SPLICE_F_NONBLOCK));
	close(pfd[0]);
	close(pfd[1]);
	return ret;
}

long op_sendfile_from(struct fdops *c, long a, long b)
{
	char buf[ROOM];
	loff_t off = c->len;
	long ret;

	aim(c);
	lseek(c->file, off, SEEK_SET);
	ret = result(sendfile(c->file, c->fd, NULL, ROOM));
	if (ret > 0)
		ret = came(c, buf, pread(c->file, buf, ret, off));
	return ret;
}

long op_sendfile_to(struct fdops *c, long a, long b)
{
	off_t off = 0;

	aim(c);
	return result(sendfile(c->fd, c->file, &off, c->len));
}

long op_copy_from(struct fdops *c, long a, long b)
{
	loff_t off = c->off, end = c->len;

	return result(copy_file_range(c->fd, &off, c->file, &end, ROOM, 0));
}

long op_copy_to(struct fdops *c, long a, long b)
{
	loff_t off = c->off, begin = 0;

	return result(copy_file_range(c->file, &begin, c->fd, &off, c->len, 0));
}

long op_copy_self(struct fdops *c, long a, long b)
{
	loff_t from = c->off, to = c->hole;

	return result(copy_file_range(c->fd, &from, c->fd, &to, c->len, 0));
}

static long do_there(struct fdops *c, long what)
{
	return what == TO_READ ? op_read(c, ROOM, 0) : op_write(c, 0, 0);
}

struct elsewhere {
	struct fdops	*c;
	long		what;
	int		sock;
};

static long in_child(void *arg, struct cf_out *out)
{
	struct elsewhere *e = arg;

	return do_there(e->c, e->what);
}

/* Whose only descriptor of it is the one that was sent to it. */
static long in_receiver(void *arg, struct cf_out *out)
{
	struct elsewhere *e = arg;
	char c, control[CMSG_SPACE(sizeof(int))];
	struct iovec iov = { &c, 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	int fd;

	close(e->c->fd);
	if (recvmsg(e->sock, &msg, MSG_CMSG_CLOEXEC) != 1 || !CMSG_FIRSTHDR(&msg))
		return -ENOMSG;
	memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
	/* By the number that it had. */
	if (fd != e->c->fd && dup3(fd, e->c->fd, O_CLOEXEC) < 0)
		return -errno;
	return do_there(e->c, e->what);
}

static int send_fd(int sock, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec iov = { "", 1 };
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1,
		.msg_control = control, .msg_controllen = sizeof(control),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(head), &fd, sizeof(fd));
	return sendmsg(sock, &msg, 0) == 1 ? 0 : -errno;
}

/* In another task or by another number, it is the same descriptor. */
long op_elsewhere(struct fdops *c, long how, long what)
{
	struct elsewhere e = { c, what };
	struct fdops copy = *c;
	struct cf_task t = {};
	int pair[2];
	long ret;

	switch (how) {
	case BY_DUP:
		copy.fd = dup(c->fd);
		if (copy.fd < 0)
			return -errno;
		ret = do_there(&copy, what);
		close(copy.fd);
		return ret;
	case BY_FORK:
		ret = cf_start_keep(&t, in_child, &e, 0) ?: cf_wait(&t, WAIT_MS);
		break;
	default:
		if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
			return -errno;
		e.sock = pair[1];
		ret = send_fd(pair[0], c->fd) ?: cf_start_keep(&t, in_receiver, &e, 0) ?:
		      cf_wait(&t, WAIT_MS);
		close(pair[0]);
		close(pair[1]);
	}
	if (t.out && t.out != MAP_FAILED)
		munmap(t.out, t.cap);
	return ret;
}

/* One entry, one completion; a worker of the kernel may be who does it. */
static long uring_do(int ring, struct io_uring_params *p, const struct io_uring_sqe *sqe)
{
	size_t sq_len = p->sq_off.array + p->sq_entries * sizeof(__u32);
	size_t cq_len = p->cq_off.cqes + p->cq_entries * sizeof(struct io_uring_cqe);
	size_t len = sq_len > cq_len ? sq_len : cq_len;
	struct io_uring_cqe *cqe;
	void *sqes;
	char *rings;
	long ret;

	/* Both rings are in one map, since 5.4. */
	rings = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	sqes = mmap(NULL, p->sq_entries * sizeof(*sqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring,
		    IORING_OFF_SQES);
	if (rings == MAP_FAILED || sqes == MAP_FAILED)
		return -errno;
	memcpy(sqes, sqe, sizeof(*sqe));
	*(__u32 *)(rings + p->sq_off.array) = 0;
	__atomic_store_n((__u32 *)(rings + p->sq_off.tail), 1, __ATOMIC_RELEASE);
	ret = result(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0));
	cqe = (void *)(rings + p->cq_off.cqes);
	if (ret == 1)
		ret = __atomic_load_n((__u32 *)(rings + p->cq_off.tail), __ATOMIC_ACQUIRE) == 1 ?
			cqe->res : -ENODATA;
	munmap(sqes, p->sq_entries * sizeof(*sqe));
	munmap(rings, len);
	return ret;
}

struct uring {
	struct fdops	*c;
	long		opcode;
};

static long in_uring(void *arg, struct cf_out *out)
{
	struct uring *u = arg;
	struct fdops *c = u->c;
	bool in = u->opcode == IORING_OP_READ;
	struct io_uring_sqe sqe = { .opcode = u->opcode, .fd = c->fd };
	struct io_uring_params p = {};
	char buf[ROOM];
	long ret;
	int ring;

	ring = syscall(SYS_io_uring_setup, 1, &p);
	/* It is not built in, or forbidden. */
	if (ring < 0)
		return errno == EPERM || access("/proc/sys/kernel/io_uring_disabled", F_OK) ?
			FDOPS_ABSENT : -errno;
	if (in || u->opcode == IORING_OP_WRITE) {
		sqe.addr = (unsigned long)(in ? buf : c->data);
		sqe.len = in ? ROOM : c->len;
		sqe.off = c->off;
	} else if (u->opcode == IORING_OP_FALLOCATE) {
		sqe.off = c->off;
		sqe.addr = GRANULE;
	}
	ret = uring_do(ring, &p, &sqe);
	return in && ret > 0 ? came(c, buf, ret) : ret;
}

/*
 * -ETIME after so long: it waits until poll(2) would say that it can be done.  What
 * waits goes with the child.
 */
long op_uring(struct fdops *c, long opcode, long ms)
{
	struct uring u = { c, opcode };
	struct cf_task t = {};
	long ret;

	ret = cf_start_keep(&t, in_uring, &u, 0) ?: cf_wait(&t, ms);
	if (ret == -ETIME)
		cf_kill(&t);
	if (t.out && t.out != MAP_FAILED)
		munmap(t.out, t.cap);
	return ret;
}
