/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the server's threads (server.c) and what they do (handle.c). */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>

#include "extent.h"
#include "object.h"
#include "server.h"

/**
 * struct worker - a thread of the server
 * @server: whose it is
 * @thread: its handle
 * @fetcher: by which it fetches, with its engine
 * @epoll: where it waits
 * @wake: an eventfd in @epoll: look around
 * @engine_fd: the engine's fd in @epoll, or -1
 * @listening: the device is in @epoll, too
 */
struct worker {
	struct server *server;
	pthread_t thread;
	struct fetcher fetcher;
	int epoll;
	int wake;
	int engine_fd;
	bool listening;
};

struct server {
	struct server_config config;
	struct objects objects;
	struct evictor *evictor;
	atomic_bool stopping;
	atomic_int error;
	int failed;
	unsigned int nr_workers;
	struct worker workers[];
};

/* The device is of no more use: have the main thread end it all. */
void server_fail(struct server *server, int error);

/* Take a message and serve it.  Return: is it worth asking for more? */
bool handle_next(struct worker *worker);

#endif
