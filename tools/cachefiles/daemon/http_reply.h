/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The head of an HTTP reply: what it says, and whether it is what we need. */
#ifndef HTTP_REPLY_H
#define HTTP_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTP_ETAG_MAX 128

/**
 * struct http_reply - what is of interest in a reply's head
 * @status: 206 and so on; 0 before the status line
 * @complete: the line behind the last header has come
 * @bad_range: there is a Content-Range that cannot be understood
 * @has_range: @first and @last are valid
 * @has_total: @total is valid
 * @first: first byte of the blob that the body has
 * @last: last one
 * @total: the blob's size
 * @has_length: @length is valid
 * @length: Content-Length
 * @encoded: the body is not the blob's bytes (compressed, multipart)
 * @etag: the blob's strong entity tag; empty if there is none
 */
struct http_reply {
	int status;
	bool complete;
	bool bad_range;
	bool has_range;
	bool has_total;
	uint64_t first;
	uint64_t last;
	uint64_t total;
	bool has_length;
	uint64_t length;
	bool encoded;
	char etag[HTTP_ETAG_MAX];
};

/**
 * struct http_want - what was asked for
 * @first: first byte
 * @last: last byte
 * @size: the blob's size, if @known
 * @known: the blob was seen before, by an OPEN
 * @etag: its entity tag then, or ""
 */
struct http_want {
	uint64_t first;
	uint64_t last;
	uint64_t size;
	bool known;
	const char *etag;
};

/**
 * struct http_verdict - what to make of a reply
 * @error: 0: the body is what was asked for, or its beginning; else a negative
 *	errno
 * @retry: it may be better next time
 * @why: for the log, on error
 */
struct http_verdict {
	int error;
	bool retry;
	const char *why;
};

/**
 * http_reply_line - take in one line of a reply's head
 * @reply: zeroed before the first line; a status line begins anew, and what
 *	comes behind the head but such a line is not looked at
 * @line: the line, not terminated
 * @len: its length
 */
void http_reply_line(struct http_reply *reply, const char *line, size_t len);

/* Judge a reply whose head is complete. */
struct http_verdict http_reply_judge(const struct http_reply *reply,
				     const struct http_want *want);

/* Byte behind the last one of the blob that the body of a good reply has. */
uint64_t http_reply_end(const struct http_reply *reply,
			const struct http_want *want);

#endif
