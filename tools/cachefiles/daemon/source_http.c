// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blobs behind a URL: the source, and the engine that drives libcurl.
 *
 * An engine is libcurl's multi interface on an epoll of its own, so that one
 * thread has any number of requests in flight, and connections, names, TLS
 * sessions and the parsed certificates (the largest piece by far) are there
 * once a thread and not once a request.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "clock.h"
#include "http.h"

#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or later is needed"
#endif

/* Handles kept for the next request; the rest of a burst's are freed. */
#define SPARE_MAX 8

/* How long libcurl goes without a call while it has work. */
#define LOOK_IN_MS 1000

/* Sockets handled per call. */
#define EVENTS_MAX 32

/* The URL's syntax is libcurl's affair; what is no part of one is ours. */
static const char *check_url(const char *where)
{
	CURLU *url = curl_url();
	const char *why = NULL;
	char *fragment = NULL;
	int code;

	if (!url)
		return "out of memory";
	code = curl_url_set(url, CURLUPART_URL, where, 0);
	if (code)
		why = curl_url_strerror(code);
	else if (!curl_url_get(url, CURLUPART_FRAGMENT, &fragment, 0))
		why = "a URL with a '#' part cannot have blobs below it";
	curl_free(fragment);
	curl_url_cleanup(url);
	return why;
}

struct source *source_http_new(const struct source_config *config, char *why,
			       size_t why_len)
{
	const char *where = config->where;
	const char *query = strchr(where, '?');
	const char *wrong = check_url(where);
	struct http_source *source;
	size_t len;

	if (wrong) {
		snprintf(why, why_len, "%s: %s", where, wrong);
		return NULL;
	}
	if (config->ca_file && access(config->ca_file, R_OK)) {
		snprintf(why, why_len, "%s: %s", config->ca_file,
			 strerror(errno));
		return NULL;
	}
	source = calloc(1, sizeof(*source));
	if (!source)
		goto no_memory;

	len = query ? (size_t)(query - where) : strlen(where);
	while (len && where[len - 1] == '/')
		len--;
	if (asprintf(&source->prefix, "%.*s/", (int)len, where) < 0)
		goto no_memory;
	source->suffix = strdup(query ? query : "");
	if (config->ca_file)
		source->ca_file = strdup(config->ca_file);
	if (!source->suffix || (config->ca_file && !source->ca_file))
		goto no_memory;

	source->base.ops = &source_http_ops;
	source->timeout_ms = config->timeout_ms;
	source->retries = config->retries;
	source->connections = config->connections;
	return &source->base;

no_memory:
	if (source)
		source_http_ops.free(&source->base);
	snprintf(why, why_len, "out of memory");
	return NULL;
}

static void http_free(struct source *base)
{
	struct http_source *source = (struct http_source *)base;

	free(source->prefix);
	free(source->suffix);
	free(source->ca_file);
	free(source);
}

static struct blob *http_blob_new(struct source *base, const char *key)
{
	struct http_source *source = (struct http_source *)base;
	struct http_blob *blob = calloc(1, sizeof(*blob));
	char *escaped;

	if (!blob)
		return NULL;
	escaped = curl_easy_escape(NULL, key, strlen(key));
	if (!escaped || asprintf(&blob->url, "%s%s%s", source->prefix, escaped,
				 source->suffix) < 0) {
		curl_free(escaped);
		free(blob);
		return NULL;
	}
	curl_free(escaped);
	return &blob->base;
}

static void http_blob_free(struct blob *base)
{
	struct http_blob *blob = (struct http_blob *)base;

	free(blob->url);
	free(blob);
}

/* libcurl: watch this socket from now on. */
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg,
		     void *known)
{
	struct http_engine *engine = arg;
	struct epoll_event event = { .data.fd = fd };

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		epoll_ctl(engine->epoll, EPOLL_CTL_DEL, fd, NULL);
		return 0;
	}
	if (what & CURL_POLL_IN)
		event.events |= EPOLLIN;
	if (what & CURL_POLL_OUT)
		event.events |= EPOLLOUT;
	if (known && !epoll_ctl(engine->epoll, EPOLL_CTL_MOD, fd, &event))
		return 0;
	if (epoll_ctl(engine->epoll, EPOLL_CTL_ADD, fd, &event))
		return -1;
	curl_multi_assign(engine->multi, fd, engine);
	return 0;
}

/* libcurl: call me back after this time. */
static int on_timer(CURLM *multi, long timeout_ms, void *arg)
{
	struct http_engine *engine = arg;

	(void)multi;
	/* One more: our clock's fraction of a millisecond was cut off. */
	if (timeout_ms > 0)
		timeout_ms++;
	engine->curl_due = timeout_ms < 0 ? CLOCK_NEVER :
			   clock_ms() + timeout_ms;
	return 0;
}

static struct engine *http_engine_new(struct source *source)
{
	struct http_engine *engine = calloc(1, sizeof(*engine));
	CURLM *multi;

	if (!engine)
		return NULL;
	engine->source = (struct http_source *)source;
	engine->curl_due = CLOCK_NEVER;
	engine->seed = (unsigned int)time(NULL) ^ (unsigned int)getpid() ^
		       (unsigned int)(uintptr_t)engine;
	TAILQ_INIT(&engine->busy);
	TAILQ_INIT(&engine->spare);
	engine->epoll = epoll_create1(EPOLL_CLOEXEC);
	engine->multi = curl_multi_init();
	if (engine->epoll < 0 || !engine->multi)
		goto failed;

	multi = engine->multi;
	curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
	curl_multi_setopt(multi, CURLMOPT_SOCKETDATA, engine);
	curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
	curl_multi_setopt(multi, CURLMOPT_TIMERDATA, engine);
	curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS,
			  (long)engine->source->connections);
	return &engine->base;

failed:
	if (engine->multi)
		curl_multi_cleanup(engine->multi);
	if (engine->epoll >= 0)
		close(engine->epoll);
	free(engine);
	return NULL;
}

static void http_engine_free(struct engine *base)
{
	struct http_engine *engine = (struct http_engine *)base;
	struct http_transfer *t;

	while ((t = TAILQ_FIRST(&engine->busy)))
		http_transfer_cancel(t);
	while ((t = TAILQ_FIRST(&engine->spare))) {
		TAILQ_REMOVE(&engine->spare, t, link);
		http_transfer_free(t);
	}
	curl_multi_cleanup(engine->multi);
	close(engine->epoll);
	free(engine);
}

void http_engine_retire(struct http_engine *engine, struct http_transfer *t)
{
	TAILQ_REMOVE(&engine->busy, t, link);
	engine->nr_busy--;
	/* The handle may be in use right now: it is freed by run(). */
	TAILQ_INSERT_HEAD(&engine->spare, t, link);
	engine->nr_spare++;
}

static void http_begin(struct engine *base, struct source_req *req, bool probe)
{
	struct http_engine *engine = (struct http_engine *)base;
	struct http_transfer *t = TAILQ_FIRST(&engine->spare);

	if (t) {
		TAILQ_REMOVE(&engine->spare, t, link);
		engine->nr_spare--;
	} else {
		t = http_transfer_new(engine);
		if (!t) {
			req->done(req, -ENOMEM);
			return;
		}
	}
	TAILQ_INSERT_TAIL(&engine->busy, t, link);
	engine->nr_busy++;
	http_transfer_begin(t, req, probe);
}

static void http_lookup(struct engine *engine, struct source_req *req)
{
	http_begin(engine, req, true);
}

static void http_fetch(struct engine *engine, struct source_req *req)
{
	http_begin(engine, req, false);
}

static int http_fd(struct engine *base)
{
	return ((struct http_engine *)base)->epoll;
}

static uint64_t http_due(struct engine *base)
{
	struct http_engine *engine = (struct http_engine *)base;
	uint64_t due = engine->curl_due;
	struct http_transfer *t;

	TAILQ_FOREACH(t, &engine->busy, link)
		if (!t->active && t->due < due)
			due = t->due;
	return due;
}

static bool http_full(struct engine *base)
{
	struct http_engine *engine = (struct http_engine *)base;

	return engine->nr_busy >= engine->source->connections;
}

/* What libcurl is through with. */
static void reap(struct http_engine *engine)
{
	int left;

	for (;;) {
		__auto_type msg = curl_multi_info_read(engine->multi, &left);
		char *private = NULL;

		if (!msg)
			break;
		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &private);
		http_transfer_tried((struct http_transfer *)private,
				    msg->data.result);
	}
}

/* Tries that are due, and transfers that nobody waits for any more. */
static void wake(struct http_engine *engine)
{
	uint64_t now = clock_ms();
	struct http_transfer *t, *next;

	for (t = TAILQ_FIRST(&engine->busy); t; t = next) {
		next = TAILQ_NEXT(t, link);
		if (atomic_load_explicit(&t->req->blob->abandoned,
					 memory_order_relaxed))
			http_transfer_cancel(t);
		else if (!t->active && t->due <= now)
			http_transfer_try(t);
	}
}

static void http_run(struct engine *base)
{
	struct http_engine *engine = (struct http_engine *)base;
	struct epoll_event events[EVENTS_MAX];
	struct http_transfer *t;
	int i, n, running;
	uint64_t now;

	n = epoll_wait(engine->epoll, events, EVENTS_MAX, 0);
	for (i = 0; i < n; i++) {
		int what = 0;

		if (events[i].events & EPOLLIN)
			what |= CURL_CSELECT_IN;
		if (events[i].events & EPOLLOUT)
			what |= CURL_CSELECT_OUT;
		if (events[i].events & (EPOLLERR | EPOLLHUP))
			what |= CURL_CSELECT_ERR;
		curl_multi_socket_action(engine->multi, events[i].data.fd,
					 what, &running);
	}
	now = clock_ms();
	if (engine->curl_due <= now) {
		/*
		 * on_timer() is called from within where the next time is
		 * another one than libcurl told before; so look in anyway.
		 */
		engine->curl_due = engine->nr_busy ? now + LOOK_IN_MS :
						     CLOCK_NEVER;
		curl_multi_socket_action(engine->multi, CURL_SOCKET_TIMEOUT, 0,
					 &running);
	}
	reap(engine);
	wake(engine);

	while (engine->nr_spare > SPARE_MAX) {
		t = TAILQ_LAST(&engine->spare, http_transfers);
		TAILQ_REMOVE(&engine->spare, t, link);
		engine->nr_spare--;
		http_transfer_free(t);
	}
}

const struct source_ops source_http_ops = {
	.name		= "HTTP",
	.threads	= 2,
	.free		= http_free,
	.blob_new	= http_blob_new,
	.blob_free	= http_blob_free,
	.engine_new	= http_engine_new,
	.engine_free	= http_engine_free,
	.lookup		= http_lookup,
	.fetch		= http_fetch,
	.fd		= http_fd,
	.due		= http_due,
	.run		= http_run,
	.full		= http_full,
};
