/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Serving the kernel's requests. */
#ifndef SERVER_H
#define SERVER_H

#include "source.h"

struct server;

/**
 * struct server_config - what is served, and how
 * @dev: the device, bound; not closed by server_stop()
 * @source: where blobs come from
 * @stats: counted in
 * @threads: how many threads
 * @fetch_size: fetch whole units of this size; 0: just what is asked for
 * @features: what the kernel has
 * @cache: the directory that was bound; not kept
 */
struct server_config {
	int dev;
	struct source *source;
	struct stats *stats;
	unsigned int threads;
	uint64_t fetch_size;
	uint64_t features;
	const char *cache;
};

/**
 * server_start - serve what comes from the device
 * @config: copied
 *
 * Signals that the caller has blocked stay blocked in the threads.
 *
 * Return: NULL if there is no memory or no thread.
 */
struct server *server_start(const struct server_config *config);

/* Becomes readable when the server cannot go on. */
int server_failed_fd(struct server *server);

/**
 * server_stop - end the threads and give up what they do
 * @server: freed
 *
 * Return: why the server could not go on, or 0.  -ETIMEDOUT: a thread hangs in
 * the file system it reads from; nothing was freed, the process has to end.
 */
int server_stop(struct server *server);

#endif
