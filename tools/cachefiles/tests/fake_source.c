// SPDX-License-Identifier: GPL-2.0-or-later
/* A source whose requests end when the test says so. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <unistd.h>

#include "clock.h"
#include "fake.h"

struct held {
	struct source_req *req;
	bool lookup;

	STAILQ_ENTRY(held) link;
};

STAILQ_HEAD(held_queue, held);

struct fake_engine {
	struct engine base;
	struct fake_source *source;
	int event;
	unsigned int nr_held;
	struct held_queue held;

	SLIST_ENTRY(fake_engine) link;
};

/* So that fake_release() can wake them. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static SLIST_HEAD(, fake_engine) engines = SLIST_HEAD_INITIALIZER(engines);

static void fake_free(struct source *source)
{
	(void)source;
}

static struct blob *fake_blob_new(struct source *source, const char *key)
{
	(void)source;
	(void)key;
	return calloc(1, sizeof(struct blob));
}

static void fake_blob_free(struct blob *blob)
{
	free(blob);
}

static struct engine *fake_engine_new(struct source *source)
{
	struct fake_engine *engine = calloc(1, sizeof(*engine));

	engine->source = (struct fake_source *)source;
	engine->event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	STAILQ_INIT(&engine->held);
	pthread_mutex_lock(&lock);
	SLIST_INSERT_HEAD(&engines, engine, link);
	pthread_mutex_unlock(&lock);
	return &engine->base;
}

static int fill(struct fake_source *source, struct source_req *req)
{
	unsigned char buf[4096];
	int ret = 0;

	while (req->pos < req->end) {
		uint64_t len = req->end - req->pos, i;

		if (source->fill_error)
			ret = source->fill_error();
		if (ret)
			break;

		if (len > sizeof(buf))
			len = sizeof(buf);
		for (i = 0; i < len; i++)
			buf[i] = fake_byte(req->pos + i);
		ret = cfod_fill(req->fd, buf, len, req->pos);
		if (ret)
			break;
		req->pos += len;
	}
	return ret;
}

static void finish(struct fake_engine *engine, struct held *held)
{
	struct source_req *req = held->req;
	int error = atomic_load(&engine->source->error);

	engine->nr_held--;
	if (atomic_load(&req->blob->abandoned)) {
		error = -ECANCELED;
		atomic_fetch_add(&engine->source->cancelled, 1);
	} else if (!error && held->lookup) {
		req->blob->size = atomic_load(&engine->source->size);
	} else if (!error) {
		error = fill(engine->source, req);
	}
	free(held);
	req->done(req, error);
}

static void fake_run(struct engine *base)
{
	struct fake_engine *engine = (struct fake_engine *)base;
	struct held_queue todo = STAILQ_HEAD_INITIALIZER(todo);
	struct held *held;
	uint64_t count;

	if (read(engine->event, &count, sizeof(count)) < 0)
		count = 0;
	STAILQ_CONCAT(&todo, &engine->held);
	while ((held = STAILQ_FIRST(&todo))) {
		STAILQ_REMOVE_HEAD(&todo, link);
		if (atomic_load(&engine->source->hold) &&
		    !atomic_load(&held->req->blob->abandoned))
			STAILQ_INSERT_TAIL(&engine->held, held, link);
		else
			finish(engine, held);
	}
}

static void begin(struct engine *base, struct source_req *req, bool lookup)
{
	struct fake_engine *engine = (struct fake_engine *)base;
	struct held *held = calloc(1, sizeof(*held));
	uint64_t one = 1;

	held->req = req;
	held->lookup = lookup;
	STAILQ_INSERT_TAIL(&engine->held, held, link);
	engine->nr_held++;
	atomic_fetch_add(lookup ? &engine->source->lookups :
				  &engine->source->fetches, 1);
	if (write(engine->event, &one, sizeof(one)) < 0)
		abort();
}

static void fake_lookup(struct engine *engine, struct source_req *req)
{
	begin(engine, req, true);
}

static void fake_fetch(struct engine *engine, struct source_req *req)
{
	begin(engine, req, false);
}

static int fake_fd(struct engine *engine)
{
	return ((struct fake_engine *)engine)->event;
}

static bool fake_engine_full(struct engine *base)
{
	struct fake_engine *engine = (struct fake_engine *)base;

	return engine->source->limit &&
	       engine->nr_held >= engine->source->limit;
}

static void fake_engine_free(struct engine *base)
{
	struct fake_engine *engine = (struct fake_engine *)base;
	struct held *held;

	pthread_mutex_lock(&lock);
	SLIST_REMOVE(&engines, engine, fake_engine, link);
	pthread_mutex_unlock(&lock);
	while ((held = STAILQ_FIRST(&engine->held))) {
		STAILQ_REMOVE_HEAD(&engine->held, link);
		atomic_fetch_add(&engine->source->cancelled, 1);
		held->req->done(held->req, -ECANCELED);
		free(held);
	}
	close(engine->event);
	free(engine);
}

static const struct source_ops fake_ops = {
	.name		= "fake",
	.free		= fake_free,
	.blob_new	= fake_blob_new,
	.blob_free	= fake_blob_free,
	.engine_new	= fake_engine_new,
	.engine_free	= fake_engine_free,
	.lookup		= fake_lookup,
	.fetch		= fake_fetch,
	.fd		= fake_fd,
	.run		= fake_run,
	.full		= fake_engine_full,
};

void fake_source_init(struct fake_source *source, struct stats *stats)
{
	memset(source, 0, sizeof(*source));
	source->base.ops = &fake_ops;
	source->base.stats = stats;
	source->size = 1 << 20;
}

void fake_release(struct fake_source *source)
{
	struct fake_engine *engine;
	uint64_t one = 1;

	atomic_store(&source->hold, false);
	pthread_mutex_lock(&lock);
	SLIST_FOREACH(engine, &engines, link)
		if (write(engine->event, &one, sizeof(one)) < 0)
			abort();
	pthread_mutex_unlock(&lock);
}
