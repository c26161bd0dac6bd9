// SPDX-License-Identifier: GPL-2.0
/*
 * Taking messages: with buffers of all kinds, and in all ways to wait.
 */
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "odfuzz.h"

#define NAP_MS 20

static void wait_for_message(struct fz_daemon *d, struct fz_worker *w)
{
	struct pollfd pfd = { .fd = d->dev, .events = POLLIN | POLLOUT };
	struct epoll_event ev;
	int own;

	switch (fz_below(w, 8)) {
	case 0:
		break;
	case 1:
	case 2:
		epoll_wait(d->epoll_fd, &ev, 1, NAP_MS);
		break;
	case 3:
		/* The last one to leave takes it with it. */
		own = epoll_create1(EPOLL_CLOEXEC);
		ev = (struct epoll_event){ .events = EPOLLIN | EPOLLONESHOT };
		if (own < 0)
			break;
		if (!epoll_ctl(own, EPOLL_CTL_ADD, d->dev, &ev))
			epoll_wait(own, &ev, 1, NAP_MS);
		close(own);
		break;
	default:
		pfd.events = POLLIN;
		if (poll(&pfd, 1, NAP_MS) > 0 && pfd.revents & (POLLERR | POLLHUP) &&
		    !__atomic_load_n(&d->shut, __ATOMIC_SEQ_CST))
			fz_fail("poll of the device: %#x", pfd.revents);
	}
}

/* Two pages, and nothing behind them. */
static char *edge_of_memory(void)
{
	static __thread char *p;

	if (!p) {
		p = mmap(NULL, 3 * GRANULE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (p == MAP_FAILED) {
			p = NULL;
			return NULL;
		}
		mprotect(p + 2 * GRANULE, GRANULE, PROT_NONE);
	}
	return p + 2 * GRANULE;
}

/* Read one message; how it was tried decides how it may fail. */
static ssize_t take(struct fz_daemon *d, struct fz_worker *w, char *buf)
{
	static const unsigned short sizes[] = { 0, 1, 15, 16, 17, 31, 32, 33, 48, 64, 100, 1023 };
	size_t len = CACHEFILES_MSG_MAX_SIZE;
	struct iovec iov = { buf, len };
	bool small = false, bad = false;
	char *p = buf;
	ssize_t n;

	switch (fz_below(w, 16)) {
	case 0:
	case 1:
		len = sizes[fz_below(w, FZ_NELEM(sizes))];
		small = true;
		break;
	case 2:
		len = 4096;
		break;
	case 3:
		bad = true;
		p = fz_chance(w, 50) ? NULL : edge_of_memory() - fz_below(w, 60);
		break;
	case 4:
		iov.iov_len = len;
		n = readv(d->dev, &iov, 1);
		goto out;
	case 5:
		n = pread(d->dev, buf, len, fz_rand(w) >> 2);
		goto out;
	}
	n = read(d->dev, p, len);
	/* It all was before the edge. */
	if (n > 0 && p != buf)
		memcpy(buf, p, n);
out:
	if (n >= 0)
		return n;
	n = -errno;
	if (!(small && n == -EMSGSIZE) && !(bad && n == -EFAULT) &&
	    !__atomic_load_n(&d->shut, __ATOMIC_SEQ_CST))
		fz_fail("read of a message: %zd", n);
	return n;
}

static void take_open(struct fz_daemon *d, struct fz_worker *w, const struct cf_msg *m)
{
	struct fz_object *o = fz_object_add(d, m);

	fz_count("OPEN");
	if (!o)
		return;
	fz_answer_open(d, w, o, m->id);
	fz_object_put(d, o);
}

/*
 * An object's OPEN comes first, but the thread that has read it may be about to
 * record it.
 */
static bool is_known(struct fz_daemon *d, __u32 id)
{
	int i;

	for (i = 0; i < 2000; i++) {
		if (fz_object_seen(d, id))
			return true;
		if (fz_stopping() || __atomic_load_n(&d->shut, __ATOMIC_SEQ_CST))
			return true;
		usleep(5000);
	}
	return false;
}

static void take_read(struct fz_daemon *d, struct fz_worker *w, const struct cf_msg *m)
{
	__u64 end = m->off + m->size;
	struct fz_object *o;
	long long size;

	fz_count("READ");
	if (d->alone && !is_known(d, m->object))
		fz_fail("READ for object %u, of which there was no OPEN", m->object);
	o = fz_object_get(d, m->object);
	if (!o) {
		fz_count("READ of a lost fd");
		return;
	}
	size = __atomic_load_n(&o->size, __ATOMIC_RELAXED);
	if (size >= 0 && (end > (__u64)size || (end % GRANULE && end != (__u64)size)))
		fz_fail("READ %llu+%llu of %lld bytes", m->off, m->size, size);
	fz_answer_read(d, w, o, m);
	fz_object_put(d, o);
}

static void take_close(struct fz_daemon *d, struct fz_worker *w, const struct cf_msg *m)
{
	struct fz_object *o = fz_object_get(d, m->object);

	fz_count("CLOSE");
	if (!o)
		return;
	if (fz_chance(w, 90))
		fz_object_close(d, o, true);
	fz_object_put(d, o);
}

/* Nothing is missing of the object, and its fd may be closed. */
static void take_full(struct fz_daemon *d, struct fz_worker *w, __u32 id)
{
	struct fz_object *o;
	off_t hole, end;

	fz_count("FULL");
	if (!d->full)
		fz_fail("FULL, which was not asked for");
	o = fz_object_get(d, id);
	if (!o)
		return;
	pthread_mutex_lock(&o->position);
	end = lseek(o->fd, 0, SEEK_END);
	hole = lseek(o->fd, 0, SEEK_HOLE);
	pthread_mutex_unlock(&o->position);
	if (end > 0 && hole != end)
		fz_fail("FULL for object %u with a hole at %lld", id, (long long)hole);
	if (__atomic_exchange_n(&o->full, true, __ATOMIC_RELAXED))
		fz_fail("FULL for object %u twice", id);
	if (fz_chance(w, 50))
		fz_object_close(d, o, true);
	fz_object_put(d, o);
}

/* Wait for a message, and do with it what comes to mind. */
long fz_serve(struct fz_worker *w, void *ctx)
{
	_Alignas(8) char buf[4096];
	const struct cachefiles_msg *head = (void *)buf;
	struct fz_daemon *d = ctx;
	struct cf_msg m;
	ssize_t n;

	wait_for_message(d, w);
	n = take(d, w, buf);
	if (n <= 0)
		return n ?: -ENOMSG;
	/* Later, or never. */
	if (fz_chance(w, 2))
		usleep(fz_below(w, 200000));
	if (n == sizeof(*head) && head->opcode == CACHEFILES_OP_FULL) {
		take_full(d, w, head->object_id);
		return 0;
	}
	if (cf_parse(&m, buf, n)) {
		fz_fail("a malformed message of %zd bytes", n);
		return -EPROTO;
	}
	switch (m.op) {
	case CACHEFILES_OP_OPEN:
		take_open(d, w, &m);
		break;
	case CACHEFILES_OP_READ:
		take_read(d, w, &m);
		break;
	case CACHEFILES_OP_CLOSE:
		take_close(d, w, &m);
		break;
	}
	return 0;
}
