// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Serving the kernel's requests.
 *
 * Threads.  All threads of the server are alike: each has an epoll set with the
 * device, an eventfd that wakes it, and its engine's file descriptor if there
 * is one.  The thread that reads a message also serves it, so nothing is handed
 * from one thread to another.  What that means depends on the source:
 *
 * - A directory blocks: the thread copies the range, answers, and reads the
 *   next message.  A miss costs epoll_wait, read, pread, pwrite and ioctl; the
 *   reader goes on at the pwrite.  As many requests overlap as there are
 *   threads.
 *
 * - HTTP does not block: the thread starts a transfer and goes back to its
 *   epoll set, where the transfer's socket is by now.  Any number of requests
 *   overlap in one thread; a thread per request would need a parsed set of
 *   certificates per thread, more than 64 of them may use.  A thread whose
 *   engine is full takes the device out of its set: what waits, waits in the
 *   kernel, and memory stays bounded.
 *
 * The device is in all epoll sets with EPOLLEXCLUSIVE, so a message wakes one
 * idle thread, and not all.  A leader that polls for the others would cost a
 * hand-over per message.  A thread reads until nothing is left before it sleeps
 * again: that is off the readers' way, and saves a wake-up under load.
 *
 * Locks.  The table of objects has one, each object has one, and neither is
 * held while anything blocks.  Nothing else is shared.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "clock.h"
#include "extent.h"
#include "log.h"
#include "object.h"
#include "server.h"

/* Touched only as far as it is used; the deepest user is a TLS handshake. */
#define STACK_SIZE (512 * 1024)

/* Until a message can be read again when there was no memory for one. */
#define NO_MEMORY_MS 100

/* How long server_stop() waits for the threads. */
#define STOP_SECONDS 3

struct worker {
	struct server *server;
	pthread_t thread;
	struct engine *engine;
	int epoll;
	int wake;
	int engine_fd;
	bool listening;
};

struct server {
	int dev;
	struct source *source;
	struct stats *stats;
	uint64_t fetch_size;
	struct objects objects;
	atomic_bool stopping;
	atomic_int error;
	int failed;
	unsigned int nr_workers;
	struct worker workers[];
};

/* An OPEN that has not been answered. */
struct open {
	struct source_req req;
	struct server *server;
	struct object *object;
	uint32_t msg_id;
};

static void raise_event(int fd)
{
	uint64_t one = 1;

	while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
		;
}

static void lower_event(int fd)
{
	uint64_t count;

	while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
		;
}

/* The device is of no more use: have the main thread end it all. */
static void server_fail(struct server *server, int error)
{
	int none = 0;

	atomic_compare_exchange_strong(&server->error, &none, error);
	raise_event(server->failed);
}

static void open_answer(struct server *server, struct object *object,
			uint32_t msg_id, int error)
{
	const char *key = object->blob->key;
	int64_t result = error ? error : (int64_t)object->blob->size;
	int ret;

	if (error)
		stats_add(&server->stats->open_errors, 1);
	ret = cfod_answer_open(server->dev, msg_id, result);
	if (error) {
		log_write_limited(LOG_LEVEL_WARNING, "%s: open fails: %s", key,
				  strerror(-error));
	} else if (ret == -EINVAL) {
		/* The mount was given up. */
		log_debug("%s: answer to OPEN %u not taken", key, msg_id);
	} else if (ret) {
		log_write_limited(LOG_LEVEL_ERROR,
				  "%s: the cache does not take it: %s", key,
				  strerror(-ret));
	} else {
		log_info("%s: opened, %llu bytes", key,
			 (unsigned long long)result);
	}
	if (error || ret)
		objects_drop(&server->objects, object->id);
}

static void open_done(struct source_req *req, int error)
{
	struct open *open = (struct open *)req;
	struct object *object = open->object;

	/* READs come as soon as the answer is out: be ready before. */
	if (!error) {
		pthread_mutex_lock(&object->lock);
		object->size = object->blob->size;
		pthread_mutex_unlock(&object->lock);
	}
	/* Given up for CLOSE or the daemon's end: nobody listens. */
	if (error != -ECANCELED)
		open_answer(open->server, object, open->msg_id, error);
	object_put(object);
	free(open);
}

static void handle_open(struct worker *worker, const struct cfod_event *event)
{
	struct server *server = worker->server;
	struct object *object = NULL;
	struct open *open;
	struct blob *blob;
	int error;

	stats_add(&server->stats->opens, 1);
	blob = blob_new(server->source, event->open.key, event->open.key_len,
			&error);
	open = calloc(1, sizeof(*open));
	if (blob && open)
		object = objects_add(&server->objects, event->object_id,
				     event->open.fd, blob);
	if (!object) {
		if (!error)
			error = -ENOMEM;
		log_write_limited(LOG_LEVEL_WARNING, "%.*s: open fails: %s",
				  (int)event->open.key_len,
				  (const char *)event->open.key,
				  strerror(-error));
		stats_add(&server->stats->open_errors, 1);
		cfod_answer_open(server->dev, event->msg_id, error);
		close(event->open.fd);
		if (blob)
			blob_free(blob);
		free(open);
		return;
	}

	open->server = server;
	open->object = object;
	open->msg_id = event->msg_id;
	open->req.blob = blob;
	open->req.fd = -1;
	open->req.done = open_done;
	engine_lookup(worker->engine, &open->req);
}

static void handle_read(struct worker *worker, const struct cfod_event *event)
{
	struct server *server = worker->server;
	struct object *object;

	object = objects_get(&server->objects, event->object_id);
	if (!object) {
		/* It takes the object's fd to answer. */
		log_debug("READ %u: object %u is not open", event->msg_id,
			  event->object_id);
		return;
	}
	read_begin(worker->engine, server->stats, object, event->msg_id,
		   event->read.off, event->read.len, server->fetch_size);
}

static void handle_close(struct worker *worker, const struct cfod_event *event)
{
	struct server *server = worker->server;
	unsigned int i;

	stats_add(&server->stats->closes, 1);
	if (!objects_drop(&server->objects, event->object_id))
		return;
	/* Whichever thread is fetching for it can stop. */
	for (i = 0; i < server->nr_workers; i++)
		if (server->workers[i].engine_fd >= 0)
			raise_event(server->workers[i].wake);
}

/* Take a message and serve it.  Return: is it worth asking for more? */
static bool handle_next(struct worker *worker)
{
	static const struct timespec pause = {
		.tv_nsec = NO_MEMORY_MS * 1000000L
	};
	struct cfod_msgbuf buf;
	struct cfod_event event;
	int ret;

	ret = cfod_next(worker->server->dev, &buf, &event);
	if (ret == 0)
		return false;
	if (ret == -EBADMSG || ret == -EOPNOTSUPP) {
		log_write_limited(LOG_LEVEL_ERROR,
				  "a message that is not understood: %s",
				  strerror(-ret));
		return true;
	}
	if (ret == -ENOMEM) {
		log_write_limited(LOG_LEVEL_ERROR,
				  "no memory or file descriptor for a message");
		nanosleep(&pause, NULL);
		return false;
	}
	if (ret < 0) {
		log_error("reading %s: %s", CFOD_DEVICE, strerror(-ret));
		server_fail(worker->server, ret);
		return false;
	}

	switch (event.opcode) {
	case CACHEFILES_OP_OPEN:
		handle_open(worker, &event);
		break;
	case CACHEFILES_OP_READ:
		handle_read(worker, &event);
		break;
	case CACHEFILES_OP_CLOSE:
		handle_close(worker, &event);
		break;
	}
	return true;
}

static void wake_others(struct worker *worker)
{
	struct server *server = worker->server;
	unsigned int i;

	for (i = 0; i < server->nr_workers; i++)
		if (&server->workers[i] != worker)
			raise_event(server->workers[i].wake);
}

/* Wait for messages, or do not, for as long as the engine is full. */
static bool listen_to_device(struct worker *worker, bool listen)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.fd = worker->server->dev,
	};

	if (listen == worker->listening)
		return true;
	/* What is left in the device may have woken nobody but this one. */
	if (!listen)
		wake_others(worker);
	if (epoll_ctl(worker->epoll, listen ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
		      worker->server->dev, &event)) {
		log_error("epoll: %s", strerror(errno));
		server_fail(worker->server, -errno);
		return false;
	}
	worker->listening = listen;
	return true;
}

static void *worker_main(void *arg)
{
	struct worker *worker = arg;
	struct server *server = worker->server;
	struct epoll_event events[4];
	int i, n;

	while (!atomic_load(&server->stopping) &&
	       !atomic_load(&server->error)) {
		bool readable = false, hung_up = false;

		if (!listen_to_device(worker, !engine_full(worker->engine)))
			break;
		n = epoll_wait(worker->epoll, events, 4,
			       clock_until(engine_due(worker->engine)));
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == worker->engine_fd)
				continue;
			/* Whatever it is, a look at the device does no harm. */
			readable = true;
			if (events[i].data.fd == worker->wake)
				lower_event(worker->wake);
			else
				hung_up = events[i].events &
					  (EPOLLERR | EPOLLHUP);
		}
		while (readable && !engine_full(worker->engine) &&
		       !atomic_load(&server->stopping))
			readable = handle_next(worker);
		if (hung_up && !readable) {
			log_error("%s: hung up", CFOD_DEVICE);
			server_fail(server, -EIO);
			break;
		}
		engine_run(worker->engine);
	}
	engine_free(worker->engine);
	return NULL;
}

static bool worker_init(struct server *server, struct worker *worker)
{
	struct epoll_event event = { .events = EPOLLIN };

	worker->server = server;
	worker->engine = engine_new(server->source);
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	worker->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (!worker->engine || worker->epoll < 0 || worker->wake < 0)
		return false;

	event.data.fd = worker->wake;
	if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &event))
		return false;
	worker->engine_fd = engine_fd(worker->engine);
	event.data.fd = worker->engine_fd;
	return worker->engine_fd < 0 ||
	       !epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->engine_fd,
			  &event);
}

static void server_free(struct server *server)
{
	unsigned int i;

	objects_clear(&server->objects);
	for (i = 0; i < server->nr_workers; i++) {
		close(server->workers[i].epoll);
		close(server->workers[i].wake);
	}
	close(server->failed);
	free(server);
}

struct server *server_start(int dev, struct source *source,
			    struct stats *stats, unsigned int threads,
			    uint64_t fetch_size)
{
	struct server *server;
	pthread_attr_t attr;
	unsigned int i;

	server = calloc(1, sizeof(*server) + threads * sizeof(*server->workers));
	if (!server)
		return NULL;
	server->dev = dev;
	server->source = source;
	server->stats = stats;
	server->fetch_size = fetch_size;
	server->failed = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	objects_init(&server->objects);

	/* All engines are there before a thread can want to wake another. */
	for (i = 0; i < threads; i++) {
		server->nr_workers++;
		if (!worker_init(server, &server->workers[i]))
			goto no_worker;
	}

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	for (i = 0; i < threads; i++)
		if (pthread_create(&server->workers[i].thread, &attr,
				   worker_main, &server->workers[i]))
			break;
	pthread_attr_destroy(&attr);
	if (i == threads && server->failed >= 0)
		return server;

	atomic_store(&server->stopping, true);
	while (i--) {
		raise_event(server->workers[i].wake);
		pthread_join(server->workers[i].thread, NULL);
		server->workers[i].engine = NULL;
	}
no_worker:
	for (i = 0; i < server->nr_workers; i++)
		if (server->workers[i].engine)
			engine_free(server->workers[i].engine);
	server_free(server);
	return NULL;
}

int server_failed_fd(struct server *server)
{
	return server->failed;
}

int server_stop(struct server *server)
{
	struct timespec limit;
	unsigned int i;
	int error;

	atomic_store(&server->stopping, true);
	for (i = 0; i < server->nr_workers; i++)
		raise_event(server->workers[i].wake);

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += STOP_SECONDS;
	for (i = 0; i < server->nr_workers; i++)
		if (pthread_timedjoin_np(server->workers[i].thread, NULL,
					 &limit))
			return -ETIMEDOUT;

	error = atomic_load(&server->error);
	server_free(server);
	return error;
}
