// SPDX-License-Identifier: GPL-2.0
/*
 * The loop of the test daemon, its table of objects, and the honest answers.
 *
 * Any number of threads take messages.  Each looks up the object, and an
 * object's fd is closed when the kernel has sent CLOSE and the last thread has
 * done with it.
 */
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

#include "odserver.h"

const struct od_ops od_honest = {
	.open	= od_open,
	.fill	= od_fill,
	.reply	= od_reply,
};

void od_error(struct od_server *srv, const char *fmt, ...)
{
	va_list ap;

	pthread_mutex_lock(&srv->lock);
	if (!*srv->error) {
		va_start(ap, fmt);
		vsnprintf(srv->error, sizeof(srv->error), fmt, ap);
		va_end(ap);
	}
	pthread_mutex_unlock(&srv->lock);
}

void od_step(struct od_server *srv, enum od_step step)
{
	if (srv->die_at == step)
		kill(getpid(), SIGKILL);
}

void od_open(struct od_server *srv, struct od_object *o,
	     const struct cf_msg *m)
{
	long long answer = -ENOENT;
	int ret;

	if (o->blob)
		answer = o->blob->error ? -o->blob->error :
					  (long long)o->blob->size;
	ret = cf_copen(srv->dev, m->id, answer);
	if (ret)
		od_error(srv, "copen %u,%lld: %d", m->id, answer, ret);
}

int od_fill(struct od_server *srv, struct od_object *o, __u64 off,
	    __u64 len)
{
	__u64 half = len > GRANULE ? GRANULE : len / 2;

	if (srv->die_at == OD_READ_HALF && off >= srv->data_pos) {
		cf_fill(o->fd, o->blob->data, off, half);
		od_step(srv, OD_READ_HALF);
	}
	return cf_fill(o->fd, o->blob->data, off, len);
}

void od_reply(struct od_server *srv, struct od_object *o,
	      const struct cf_msg *m)
{
	int ret = cf_complete(o->fd, m->id);

	/* EINVAL: the waiter went away with its mount. */
	if (ret && ret != -EINVAL)
		od_error(srv, "completion of %u: %d", m->id, ret);
}

static void put_object(struct od_server *srv, struct od_object *o)
{
	int fd = -1;

	pthread_mutex_lock(&srv->lock);
	if (!--o->users && o->closed) {
		fd = o->fd;
		o->id = 0;
	}
	pthread_mutex_unlock(&srv->lock);
	if (fd >= 0)
		close(fd);
}

static struct od_object *get_object(struct od_server *srv, __u32 id)
{
	struct od_object *o, *found = NULL;

	pthread_mutex_lock(&srv->lock);
	for (o = srv->object; o < srv->object + OD_MAX_OBJECTS; o++) {
		if (o->id == id && !o->closed) {
			o->users++;
			found = o;
			break;
		}
	}
	pthread_mutex_unlock(&srv->lock);
	return found;
}

static struct od_object *new_object(struct od_server *srv,
				    const struct cf_msg *m)
{
	struct od_object *o, *found = NULL;
	int i;

	pthread_mutex_lock(&srv->lock);
	for (o = srv->object; o < srv->object + OD_MAX_OBJECTS; o++) {
		if (!o->id) {
			memset(o, 0, sizeof(*o));
			o->id = m->object;
			o->fd = m->fd;
			o->users = 1;
			for (i = 0; i < srv->nr_blobs; i++)
				if (!strcmp(srv->blob[i].key, m->key))
					o->blob = &srv->blob[i];
			found = o;
			break;
		}
	}
	pthread_mutex_unlock(&srv->lock);
	return found;
}

static void do_read(struct od_server *srv, const struct cf_msg *m)
{
	struct od_object *o = get_object(srv, m->object);
	__u64 end = m->off + m->size;
	bool counts = m->off >= srv->data_pos;
	int ret;

	pthread_mutex_lock(&srv->lock);
	if (srv->nr_read < OD_MAX_LOG)
		srv->log[srv->nr_read] = (struct od_read){
			m->object, m->off, m->size };
	srv->nr_read++;
	srv->bytes += m->size;
	pthread_mutex_unlock(&srv->lock);

	/* With several threads a CLOSE may overtake it here. */
	if (!o) {
		if (srv->nr_threads <= 1)
			od_error(srv, "READ for unknown object %u", m->object);
		return;
	}
	if (counts)
		od_step(srv, OD_READ_TAKEN);
	if (end > o->blob->size || (end % GRANULE && end != o->blob->size))
		od_error(srv, "READ ends at %llu of %llu",
			 (unsigned long long)end,
			 (unsigned long long)o->blob->size);
	if (srv->delay_us)
		usleep(srv->delay_us);
	ret = srv->ops->fill(srv, o, m->off, m->size);
	/* ESTALE: the blob has been unmounted meanwhile. */
	if (ret && ret != -ESTALE)
		od_error(srv, "fill %llu+%llu: %d", (unsigned long long)m->off,
			 (unsigned long long)m->size, ret);
	if (counts)
		od_step(srv, OD_READ_FILLED);
	srv->ops->reply(srv, o, m);
	if (counts)
		od_step(srv, OD_READ_ANSWERED);
	put_object(srv, o);
}

static void count(struct od_server *srv, int *nr)
{
	pthread_mutex_lock(&srv->lock);
	++*nr;
	pthread_mutex_unlock(&srv->lock);
}

static void handle(struct od_server *srv, const struct cf_msg *m)
{
	struct od_object *o;

	switch (m->op) {
	case CACHEFILES_OP_OPEN:
		count(srv, &srv->nr_open);
		od_step(srv, OD_OPEN_TAKEN);
		o = new_object(srv, m);
		if (!o) {
			od_error(srv, "too many objects");
			break;
		}
		srv->ops->open(srv, o, m);
		od_step(srv, OD_OPEN_ANSWERED);
		put_object(srv, o);
		break;
	case CACHEFILES_OP_CLOSE:
		o = get_object(srv, m->object);
		if (!o) {
			od_error(srv, "CLOSE of unknown object %u", m->object);
			break;
		}
		count(srv, &srv->nr_close);
		o->closed = true;
		put_object(srv, o);
		break;
	case CACHEFILES_OP_READ:
		do_read(srv, m);
		break;
	}
}

/* Take messages until there is none; how many were there? */
static int drain(struct od_server *srv)
{
	char buf[CACHEFILES_MSG_MAX_SIZE];
	struct cf_msg m;
	ssize_t n;
	int nr;

	for (nr = 0; (n = read(srv->dev, buf, sizeof(buf))) > 0; nr++) {
		if (cf_parse(&m, buf, n)) {
			od_error(srv, "bad message");
			continue;
		}
		pthread_mutex_lock(&srv->lock);
		if (++srv->nr_busy > srv->max_busy)
			srv->max_busy = srv->nr_busy;
		pthread_mutex_unlock(&srv->lock);
		handle(srv, &m);
		pthread_mutex_lock(&srv->lock);
		srv->nr_busy--;
		pthread_mutex_unlock(&srv->lock);
	}
	if (n < 0)
		od_error(srv, "read of a message: errno %d", errno);
	return nr;
}

static void loop_poll(struct od_server *srv)
{
	struct pollfd pfd[2] = {
		{ .fd = srv->dev, .events = POLLIN },
		{ .fd = srv->stop_fd, .events = POLLIN },
	};

	while (poll(pfd, 2, -1) > 0 && !pfd[1].revents) {
		if (pfd[0].revents & (POLLERR | POLLHUP)) {
			od_error(srv, "poll: %#x", pfd[0].revents);
			break;
		}
		if (!drain(srv))
			srv->nr_spurious++;
	}
}

static void loop_epoll(struct od_server *srv)
{
	struct epoll_event ev;

	while (epoll_wait(srv->epoll_fd, &ev, 1, -1) > 0) {
		if (ev.data.fd == srv->stop_fd)
			break;
		if (ev.events & (EPOLLERR | EPOLLHUP)) {
			od_error(srv, "epoll: %#x", ev.events);
			break;
		}
		drain(srv);
	}
}

/* Serve in this thread, until od_stop() or death. */
void od_main(struct od_server *srv)
{
	od_step(srv, OD_STARTED);
	if (srv->edge)
		loop_epoll(srv);
	else
		loop_poll(srv);
}

static void *thread_main(void *arg)
{
	od_main(arg);
	return NULL;
}

void od_init(struct od_server *srv, int dev)
{
	memset(srv, 0, sizeof(*srv));
	pthread_mutex_init(&srv->lock, NULL);
	srv->dev = dev;
	srv->ops = &od_honest;
	srv->stop_fd = eventfd(0, EFD_CLOEXEC);
}

struct od_blob *od_add(struct od_server *srv, const char *key,
		       const void *data, __u64 size)
{
	struct od_blob *blob = &srv->blob[srv->nr_blobs++];

	snprintf(blob->key, sizeof(blob->key), "%s", key);
	blob->data = data;
	blob->size = size;
	return blob;
}

int od_run(struct od_server *srv, int nr_threads)
{
	struct epoll_event dev = { EPOLLIN | EPOLLET, { .fd = srv->dev } };
	struct epoll_event stop = { EPOLLIN, { .fd = srv->stop_fd } };
	int i, ret;

	if (srv->edge) {
		srv->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
		if (srv->epoll_fd < 0 ||
		    epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, srv->dev, &dev) ||
		    epoll_ctl(srv->epoll_fd, EPOLL_CTL_ADD, srv->stop_fd,
			      &stop))
			return -errno;
	}
	for (i = 0; i < nr_threads; i++) {
		ret = pthread_create(&srv->thread[i], NULL, thread_main, srv);
		if (ret)
			return -ret;
		srv->nr_threads++;
	}
	return 0;
}

/* 0 if all went by the book; srv->error says what did not. */
int od_stop(struct od_server *srv)
{
	struct od_object *o;
	__u64 one = 1;
	int i;

	if (write(srv->stop_fd, &one, sizeof(one)) != sizeof(one))
		return -errno;
	for (i = 0; i < srv->nr_threads; i++)
		pthread_join(srv->thread[i], NULL);
	srv->nr_threads = 0;
	for (o = srv->object; o < srv->object + OD_MAX_OBJECTS; o++)
		if (o->id)
			close(o->fd);
	if (srv->edge)
		close(srv->epoll_fd);
	close(srv->stop_fd);
	return *srv->error ? -EPROTO : 0;
}

/* Was any byte asked for twice under one object id? */
bool od_log_overlaps(struct od_server *srv)
{
	int i, j, nr = srv->nr_read;

	if (nr > OD_MAX_LOG)
		nr = OD_MAX_LOG;
	for (i = 0; i < nr; i++) {
		const struct od_read *a = &srv->log[i];

		for (j = 0; j < i; j++) {
			const struct od_read *b = &srv->log[j];

			if (a->object == b->object &&
			    a->off < b->off + b->len &&
			    b->off < a->off + a->len)
				return true;
		}
	}
	return false;
}

void od_log_reset(struct od_server *srv)
{
	pthread_mutex_lock(&srv->lock);
	srv->nr_read = 0;
	srv->bytes = 0;
	pthread_mutex_unlock(&srv->lock);
}
