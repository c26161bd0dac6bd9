/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shared by the HTTP source (source_http.c) and its requests. */
#ifndef HTTP_H
#define HTTP_H

#include <curl/curl.h>
#include <sys/queue.h>

#include "http_reply.h"
#include "source.h"

/* What is written at a time; the cache knows no smaller unit. */
#define HTTP_BLOCK 4096

/**
 * struct http_source - blobs below a URL
 * @base: what is common to all sources
 * @prefix: the URL that a blob's name is put behind, with its last '/'
 * @suffix: what follows the name: "" or "?..."
 * @ca_file: certificates to trust instead of the system's, or NULL
 * @timeout_ms: most time that a request may take, retries included
 * @retries: how often a request that failed is tried again
 * @connections: most requests to a server at a time, for one engine
 */
struct http_source {
	struct source base;
	char *prefix;
	char *suffix;
	char *ca_file;
	unsigned int timeout_ms;
	unsigned int retries;
	unsigned int connections;
};

/**
 * struct http_blob - a blob behind a URL
 * @base: what is common to all blobs
 * @url: its URL
 * @etag: its entity tag when it was opened, or ""
 */
struct http_blob {
	struct blob base;
	char *url;
	char etag[HTTP_ETAG_MAX];
};

/**
 * struct http_transfer - a request to the source, and its tries
 * @link: in the engine's list of transfers, or of spare ones
 * @engine: whose it is
 * @easy: libcurl's handle, kept for the next transfer
 * @req: what is to be done; NULL while spare
 * @probe: find the blob (engine_lookup()), else fetch a range of it
 * @active: libcurl is at work; else wait for @due
 * @due: when the next try begins
 * @deadline: when there is no time left for any
 * @tries: tries in a row that brought nothing
 * @want: what this try asks for
 * @reply: what came back
 * @judged: @verdict is valid for this try
 * @verdict: what was made of @reply
 * @end: byte behind the last one that this try brings
 * @complete: all that was wanted has come, though the body goes on
 * @write_error: the cache refused the bytes
 * @carry_len: bytes in @carry
 * @carry: begin of a block whose rest has not come yet
 * @reason: where libcurl explains an error
 */
struct http_transfer {
	TAILQ_ENTRY(http_transfer) link;
	struct http_engine *engine;
	CURL *easy;
	struct source_req *req;
	bool probe;
	bool active;
	uint64_t due;
	uint64_t deadline;
	unsigned int tries;
	struct http_want want;
	struct http_reply reply;
	bool judged;
	struct http_verdict verdict;
	uint64_t end;
	bool complete;
	int write_error;
	size_t carry_len;
	unsigned char carry[HTTP_BLOCK];
	char reason[CURL_ERROR_SIZE];
};

TAILQ_HEAD(http_transfers, http_transfer);

/**
 * struct http_engine - one thread's transfers, and libcurl's view of them
 * @base: what is common to all engines
 * @source: where to fetch from
 * @multi: libcurl's handle: connections, names and certificates are cached here
 * @epoll: libcurl's sockets
 * @curl_due: when libcurl wants to be called
 * @busy: transfers under way
 * @nr_busy: how many
 * @spare: transfers whose handle can be used again
 * @nr_spare: how many
 * @seed: of the jitter
 */
struct http_engine {
	struct engine base;
	struct http_source *source;
	CURLM *multi;
	int epoll;
	uint64_t curl_due;
	struct http_transfers busy;
	unsigned int nr_busy;
	struct http_transfers spare;
	unsigned int nr_spare;
	unsigned int seed;
};

/* A transfer ready for http_transfer_begin(), or NULL. */
struct http_transfer *http_transfer_new(struct http_engine *engine);
void http_transfer_free(struct http_transfer *t);

/* Make the first try. */
void http_transfer_begin(struct http_transfer *t, struct source_req *req,
			 bool probe);

/* Make the next try, which is due. */
void http_transfer_try(struct http_transfer *t);

/* libcurl is through with a try: end the transfer, or plan the next one. */
void http_transfer_tried(struct http_transfer *t, int code);

/* Give the transfer up. */
void http_transfer_cancel(struct http_transfer *t);

/* source_http.c: the transfer is over; its request has not been told yet. */
void http_engine_retire(struct http_engine *engine, struct http_transfer *t);

#endif
