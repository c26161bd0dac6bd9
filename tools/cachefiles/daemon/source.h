/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where blobs come from: a directory, or a URL below which they lie.
 *
 * A source is made once.  Each thread that serves requests has an engine of
 * its own, which no other thread touches.  A request is handed to an engine
 * and ends by exactly one call of its ->done(), from the thread of that engine:
 * from within engine_lookup() or engine_fetch() where the source blocks (a
 * directory), later, from within engine_run(), where it does not (HTTP).
 */
#ifndef SOURCE_H
#define SOURCE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "stats.h"

struct source_ops;

/**
 * struct source_config - what the user asked for
 * @where: a directory or an http(s):// URL
 * @ca_file: certificates to trust instead of the system's, or NULL
 * @timeout_ms: most time that a request may take, retries included
 * @retries: how often a request that failed is tried again
 * @connections: most requests to a server at a time, for one engine
 */
struct source_config {
	const char *where;
	const char *ca_file;
	unsigned int timeout_ms;
	unsigned int retries;
	unsigned int connections;
};

struct source {
	const struct source_ops *ops;
	struct stats *stats;
};

struct engine {
	const struct source_ops *ops;
};

/**
 * struct blob - one blob of a source
 * @ops: whose it is
 * @abandoned: nobody wants it any more: its requests may end early
 * @size: bytes; set by engine_lookup()
 * @key: its name
 */
struct blob {
	const struct source_ops *ops;
	atomic_bool abandoned;
	uint64_t size;
	char *key;
};

/**
 * struct source_req - a request to a source
 * @blob: the blob
 * @fd: engine_fetch() only: write what was fetched here, each byte at its
 *	offset
 * @pos: engine_fetch() only: first byte wanted, a multiple of 4096; moves on as
 *	bytes are written
 * @end: engine_fetch() only: byte behind the last one wanted, a multiple of
 *	4096 or the blob's size
 * @done: called once; @error is 0 or a negative errno; may free the request
 */
struct source_req {
	struct blob *blob;
	int fd;
	uint64_t pos;
	uint64_t end;
	void (*done)(struct source_req *req, int error);
};

struct source_ops {
	const char *name;
	/* Default of --threads. */
	unsigned int threads;
	void (*free)(struct source *source);
	struct blob *(*blob_new)(struct source *source, const char *key);
	void (*blob_free)(struct blob *blob);
	struct engine *(*engine_new)(struct source *source);
	void (*engine_free)(struct engine *engine);
	void (*lookup)(struct engine *engine, struct source_req *req);
	void (*fetch)(struct engine *engine, struct source_req *req);
	/* NULL, all four, where requests end within lookup() and fetch(). */
	int (*fd)(struct engine *engine);
	uint64_t (*due)(struct engine *engine);
	void (*run)(struct engine *engine);
	bool (*full)(struct engine *engine);
};

extern const struct source_ops source_dir_ops;
extern const struct source_ops source_http_ops;

struct source *source_dir_new(const struct source_config *config, char *why,
			      size_t why_len);
struct source *source_http_new(const struct source_config *config, char *why,
			       size_t why_len);

/* Is this the name of an http or https URL? */
bool source_is_url(const char *where);

/**
 * source_new - make the source that the user asked for
 * @config: copied
 * @stats: counted in
 * @why: on failure, one line that says why
 * @why_len: its size
 *
 * Return: NULL on failure.
 */
struct source *source_new(const struct source_config *config,
			  struct stats *stats, char *why, size_t why_len);
void source_free(struct source *source);

/**
 * blob_new - name a blob
 * @source: where it is
 * @key: its name: no path, any bytes but NUL
 * @key_len: length of @key
 * @error: set on failure: -ENOENT for what cannot be a blob's name
 *
 * Nothing is asked of the source yet.
 *
 * Return: NULL on failure.
 */
struct blob *blob_new(struct source *source, const unsigned char *key,
		      size_t key_len, int *error);
void blob_free(struct blob *blob);

/* Each engine belongs to the thread that calls the functions below. */
struct engine *engine_new(struct source *source);

/* Requests that have not ended do so now, with -ECANCELED. */
void engine_free(struct engine *engine);

/* Find the blob and set its size. */
void engine_lookup(struct engine *engine, struct source_req *req);

/* Fetch a range of the blob, into the request's fd. */
void engine_fetch(struct engine *engine, struct source_req *req);

/* Poll this for reading and call engine_run() when it is; -1: never. */
int engine_fd(struct engine *engine);

/* Call engine_run() at this time, if not before. */
uint64_t engine_due(struct engine *engine);

/* Do what is to be done now; does not block. */
void engine_run(struct engine *engine);

/* Is it time to stop handing in requests, until some have ended? */
bool engine_full(struct engine *engine);

#endif
