// SPDX-License-Identifier: GPL-2.0-or-later
/* Where blobs come from: choosing the kind of source, and blob names. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "clock.h"
#include "source.h"

bool source_is_url(const char *where)
{
	return !strncasecmp(where, "http://", 7) ||
	       !strncasecmp(where, "https://", 8);
}

struct source *source_new(const struct source_config *config,
			  struct stats *stats, char *why, size_t why_len)
{
	struct source *source;

	if (source_is_url(config->where))
		source = source_http_new(config, why, why_len);
	else
		source = source_dir_new(config, why, why_len);
	if (source)
		source->stats = stats;
	return source;
}

void source_free(struct source *source)
{
	source->ops->free(source);
}

/*
 * A key names a file of the directory, or one segment of a URL's path.  It
 * cannot lead elsewhere: "." and ".." go no matter how they would be quoted,
 * for servers and libcurl resolve them.
 */
static bool key_is_name(const unsigned char *key, size_t len)
{
	if (!len || memchr(key, '/', len) || memchr(key, '\0', len))
		return false;
	return !(key[0] == '.' && (len == 1 || (len == 2 && key[1] == '.')));
}

struct blob *blob_new(struct source *source, const unsigned char *key,
		      size_t key_len, int *error)
{
	struct blob *blob;
	char *name;

	*error = -ENOENT;
	if (!key_is_name(key, key_len))
		return NULL;

	*error = -ENOMEM;
	name = strndup((const char *)key, key_len);
	if (!name)
		return NULL;
	blob = source->ops->blob_new(source, name);
	if (!blob) {
		free(name);
		return NULL;
	}
	blob->ops = source->ops;
	blob->key = name;
	atomic_init(&blob->abandoned, false);
	*error = 0;
	return blob;
}

void blob_free(struct blob *blob)
{
	free(blob->key);
	blob->ops->blob_free(blob);
}

struct engine *engine_new(struct source *source)
{
	struct engine *engine = source->ops->engine_new(source);

	if (engine)
		engine->ops = source->ops;
	return engine;
}

void engine_free(struct engine *engine)
{
	engine->ops->engine_free(engine);
}

void engine_lookup(struct engine *engine, struct source_req *req)
{
	engine->ops->lookup(engine, req);
}

void engine_fetch(struct engine *engine, struct source_req *req)
{
	engine->ops->fetch(engine, req);
}

int engine_fd(struct engine *engine)
{
	return engine->ops->fd ? engine->ops->fd(engine) : -1;
}

uint64_t engine_due(struct engine *engine)
{
	return engine->ops->due ? engine->ops->due(engine) : CLOCK_NEVER;
}

void engine_run(struct engine *engine)
{
	if (engine->ops->run)
		engine->ops->run(engine);
}

bool engine_full(struct engine *engine)
{
	return engine->ops->full && engine->ops->full(engine);
}
