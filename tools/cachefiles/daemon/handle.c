// SPDX-License-Identifier: GPL-2.0-or-later
/* What the server does with each of the kernel's messages. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "event.h"
#include "log.h"
#include "worker.h"

/* Until a message can be read again when there was no memory for one. */
#define NO_MEMORY_MS 100

/* An OPEN that has not been answered. */
struct open {
	struct source_req req;
	struct server *server;
	struct object *object;
	uint32_t msg_id;
};

static void open_answer(struct server *server, struct object *object,
			uint32_t msg_id, int error)
{
	const char *key = object->blob->key;
	int64_t result = error ? error : (int64_t)object->blob->size;
	int ret;

	if (error)
		stats_add(&server->config.stats->open_errors, 1);
	ret = cfod_answer_open(server->config.dev, msg_id, result);
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

	stats_add(&server->config.stats->opens, 1);
	blob = blob_new(server->config.source, event->open.key,
			event->open.key_len, &error);
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
		stats_add(&server->config.stats->open_errors, 1);
		cfod_answer_open(server->config.dev, event->msg_id, error);
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
	engine_lookup(worker->fetcher.engine, &open->req);
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
	read_begin(&worker->fetcher, object, event->msg_id, event->read.off,
		   event->read.len);
}

/* The kernel has no more use for an object here. */
static void forget(struct server *server, uint32_t object_id)
{
	unsigned int i;

	if (!objects_drop(&server->objects, object_id))
		return;
	/* Whichever thread is fetching for it can stop. */
	for (i = 0; i < server->nr_workers; i++)
		if (server->workers[i].engine_fd >= 0)
			event_raise(server->workers[i].wake);
}

static void handle_full(struct server *server, uint32_t object_id)
{
	struct object *object = objects_get(&server->objects, object_id);

	if (!object)
		return;
	log_info("%s: complete", object->blob->key);
	stats_add(&server->config.stats->complete, 1);
	forget(server, object_id);
	object_put(object);
}

bool handle_next(struct worker *worker)
{
	static const struct timespec pause = {
		.tv_nsec = NO_MEMORY_MS * 1000000L
	};
	struct cfod_msgbuf buf;
	struct cfod_event event;
	int ret;

	ret = cfod_next(worker->server->config.dev, &buf, &event);
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
		stats_add(&worker->server->config.stats->closes, 1);
		forget(worker->server, event.object_id);
		break;
	case CACHEFILES_OP_FULL:
		handle_full(worker->server, event.object_id);
		break;
	}
	return true;
}
