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
 * Space is one more thread's affair (evict.c): for as long as it makes room, what
 * it is made for waits in a list of the thread that will go on with it.
 *
 * Locks.  The table of objects has one, each object has one, and neither is
 * held while anything blocks.  Nothing else is shared.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "clock.h"
#include "event.h"
#include "log.h"
#include "worker.h"

/* Touched only as far as it is used; the deepest user is a TLS handshake. */
#define STACK_SIZE (512 * 1024)

/* How long server_stop() waits for the threads. */
#define STOP_SECONDS 3

void server_fail(struct server *server, int error)
{
	int none = 0;

	atomic_compare_exchange_strong(&server->error, &none, error);
	event_raise(server->failed);
}

/* All, or all but one. */
static void wake_workers(struct server *server, const struct worker *but)
{
	unsigned int i;

	for (i = 0; i < server->nr_workers; i++)
		if (&server->workers[i] != but)
			event_raise(server->workers[i].wake);
}

static void eviction_ended(void *server)
{
	wake_workers(server, NULL);
}

/* Wait for messages, or do not, for as long as the engine is full. */
static bool listen_to_device(struct worker *worker, bool listen)
{
	struct epoll_event event = {
		.events = EPOLLIN | EPOLLEXCLUSIVE,
		.data.fd = worker->server->config.dev,
	};

	if (listen == worker->listening)
		return true;
	/* What is left in the device may have woken nobody but this one. */
	if (!listen)
		wake_workers(worker->server, worker);
	if (epoll_ctl(worker->epoll, listen ? EPOLL_CTL_ADD : EPOLL_CTL_DEL,
		      worker->server->config.dev, &event)) {
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

		if (!listen_to_device(worker, !engine_full(worker->fetcher.engine)))
			break;
		n = epoll_wait(worker->epoll, events, 4,
			       clock_until(engine_due(worker->fetcher.engine)));
		for (i = 0; i < n; i++) {
			if (events[i].data.fd == worker->engine_fd)
				continue;
			/* Whatever it is, a look at the device does no harm. */
			readable = true;
			if (events[i].data.fd == worker->wake)
				event_lower(worker->wake);
			else
				hung_up = events[i].events &
					  (EPOLLERR | EPOLLHUP);
		}
		while (readable && !engine_full(worker->fetcher.engine) &&
		       !atomic_load(&server->stopping))
			readable = handle_next(worker);
		if (hung_up && !readable) {
			log_error("%s: hung up", CFOD_DEVICE);
			server_fail(server, -EIO);
			break;
		}
		engine_run(worker->fetcher.engine);
		fetcher_run(&worker->fetcher);
	}
	engine_free(worker->fetcher.engine);
	fetcher_end(&worker->fetcher);
	return NULL;
}

static bool worker_init(struct server *server, struct worker *worker)
{
	struct epoll_event event = { .events = EPOLLIN };

	worker->server = server;
	worker->fetcher = (struct fetcher){
		.engine = engine_new(server->config.source),
		.stats = server->config.stats,
		.unit = server->config.fetch_size,
		.features = server->config.features,
		.evictor = server->evictor,
	};
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	worker->wake = event_new();
	if (!worker->fetcher.engine || worker->epoll < 0 || worker->wake < 0)
		return false;

	event.data.fd = worker->wake;
	if (epoll_ctl(worker->epoll, EPOLL_CTL_ADD, worker->wake, &event))
		return false;
	worker->engine_fd = engine_fd(worker->fetcher.engine);
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

/* The time by which all threads have to have ended. */
static struct timespec stop_limit(void)
{
	struct timespec limit;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_sec += STOP_SECONDS;
	return limit;
}

struct server *server_start(const struct server_config *config)
{
	unsigned int threads = config->threads;
	struct timespec limit;
	struct server *server;
	pthread_attr_t attr;
	unsigned int i;

	server = calloc(1, sizeof(*server) + threads * sizeof(*server->workers));
	if (!server)
		return NULL;
	server->config = *config;
	server->failed = event_new();
	objects_init(&server->objects);
	if (config->cache && (config->features & CACHEFILES_FEATURE_SPACE)) {
		server->evictor = evictor_start(config->dev, config->cache,
						config->stats, eviction_ended,
						server);
		if (!server->evictor)
			goto no_worker;
	}

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
		event_raise(server->workers[i].wake);
		pthread_join(server->workers[i].thread, NULL);
		server->workers[i].fetcher.engine = NULL;
	}
no_worker:
	for (i = 0; i < server->nr_workers; i++)
		if (server->workers[i].fetcher.engine)
			engine_free(server->workers[i].fetcher.engine);
	limit = stop_limit();
	if (!server->evictor || evictor_stop(server->evictor, &limit))
		server_free(server);
	return NULL;
}

int server_failed_fd(struct server *server)
{
	return server->failed;
}

int server_stop(struct server *server)
{
	struct timespec limit = stop_limit();
	unsigned int i;
	int error;

	atomic_store(&server->stopping, true);
	wake_workers(server, NULL);
	for (i = 0; i < server->nr_workers; i++)
		if (pthread_timedjoin_np(server->workers[i].thread, NULL,
					 &limit))
			return -ETIMEDOUT;
	if (server->evictor && !evictor_stop(server->evictor, &limit))
		return -ETIMEDOUT;

	error = atomic_load(&server->error);
	server_free(server);
	return error;
}
