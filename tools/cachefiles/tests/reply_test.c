// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of what is made of an HTTP reply's head. */
#include <errno.h>
#include <string.h>

#include "http_reply.h"
#include "tap.h"

/* What was asked for: bytes 4096-8191 of a blob of 10000. */
#define KNOWN .first = 4096, .last = 8191, .size = 10000, .known = true

static const struct http_want middle = { KNOWN, .etag = "\"a\"" };

static const struct http_want no_etag = { KNOWN, .etag = "" };

static const struct http_want start = {
	.first = 0, .last = 4095, .size = 10000, .known = true, .etag = "",
};

static const struct http_want start_etag = {
	.first = 0, .last = 4095, .size = 10000, .known = true, .etag = "\"a\"",
};

static const struct http_want probe = { .etag = "" };

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static const struct row {
	const char *name;
	const struct http_want *want;
	const char *head;
	int error;
	bool retry;
} rows[] = {
	{ "the range asked for", &middle,
	  "HTTP/1.1 206 Partial Content\nContent-Range: bytes 4096-8191/10000",
	  0, false },
	{ "HTTP/2, headers in lower case", &middle,
	  "HTTP/2 206\ncontent-range: bytes 4096-8191/10000", 0, false },
	{ "the begin of the range", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-5000/10000", 0, false },
	{ "the range, size unknown", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/*", 0, false },
	{ "the same entity tag", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000\nETag: \"a\"",
	  0, false },
	{ "another entity tag", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000\nETag: \"b\"",
	  -EIO, false },
	{ "another entity tag, none known", &no_etag,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000\nETag: \"b\"",
	  0, false },
	{ "a weak entity tag", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000\nETag: W/\"b\"",
	  0, false },
	{ "another size", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/9999", -EIO, false },
	{ "another begin", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 0-4095/10000", -EIO, false },
	{ "a later end", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-9999/10000", -EIO, false },
	{ "no Content-Range", &middle, "HTTP/1.1 206 x", -EIO, false },
	{ "Content-Range that is none", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-x/10000", -EIO, false },
	{ "Content-Range with more behind it", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000, 1", -EIO,
	  false },
	{ "Content-Range of 20 digits", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-99999999999999999999/*",
	  -EIO, false },
	{ "Content-Range backwards", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-4095/10000", -EIO, false },
	{ "Content-Range beyond its size", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/5000", -EIO, false },
	{ "several ranges", &middle,
	  "HTTP/1.1 206 x\nContent-Type: multipart/byteranges; boundary=x",
	  -EIO, false },
	{ "compressed", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000\nContent-Encoding: gzip",
	  -EIO, false },
	{ "encoding identity", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000\nContent-Encoding: identity",
	  0, false },
	{ "all of it, from the middle", &middle,
	  "HTTP/1.1 200 OK\nContent-Length: 10000", -EIO, false },
	{ "all of it, from the start", &start,
	  "HTTP/1.1 200 OK\nContent-Length: 10000", 0, false },
	{ "all of it, from the start, of no known length", &start,
	  "HTTP/1.1 200 OK\nTransfer-Encoding: chunked", -EIO, false },
	{ "all of it, of no known length, the same entity tag", &start_etag,
	  "HTTP/1.1 200 OK\nETag: \"a\"", 0, false },
	{ "all of it, of no known length, another entity tag", &start_etag,
	  "HTTP/1.1 200 OK\nETag: \"b\"", -EIO, false },
	{ "all of another size", &start,
	  "HTTP/1.1 200 OK\nContent-Length: 9999", -EIO, false },
	{ "a header of the reply before does not count", &middle,
	  "HTTP/1.1 302 Found\nContent-Range: bytes 0-1/2\nHTTP/1.1 206 x",
	  -EIO, false },
	{ "a trailer does not count", &middle,
	  "HTTP/1.1 206 x\nContent-Range: bytes 4096-8191/10000\n\nContent-Range: bytes 0-0/1",
	  0, false },
	{ "first byte, with the size", &probe,
	  "HTTP/1.1 206 x\nContent-Range: bytes 0-0/10000", 0, false },
	{ "first byte, without the size", &probe,
	  "HTTP/1.1 206 x\nContent-Range: bytes 0-0/*", -EIO, false },
	{ "no ranges", &probe, "HTTP/1.1 200 OK\nContent-Length: 10000",
	  -EOPNOTSUPP, false },
	{ "an empty blob, by 416", &probe,
	  "HTTP/1.1 416 x\nContent-Range: bytes */0", 0, false },
	{ "an empty blob, by 200", &probe,
	  "HTTP/1.1 200 OK\nContent-Length: 0", 0, false },
	{ "416", &middle, "HTTP/1.1 416 x\nContent-Range: bytes */10000", -EIO,
	  false },
	{ "404", &middle, "HTTP/1.1 404 x", -ENOENT, false },
	{ "410", &middle, "HTTP/1.1 410 x", -ENOENT, false },
	{ "401", &middle, "HTTP/1.1 401 x", -EACCES, false },
	{ "403", &middle, "HTTP/1.1 403 x", -EACCES, false },
	{ "407", &middle, "HTTP/1.1 407 x", -EACCES, false },
	{ "400", &middle, "HTTP/1.1 400 x", -EIO, false },
	{ "304", &middle, "HTTP/1.1 304 x", -EIO, false },
	{ "408", &middle, "HTTP/1.1 408 x", -EIO, true },
	{ "429", &middle, "HTTP/1.1 429 x", -EIO, true },
	{ "500", &middle, "HTTP/1.1 500 x", -EIO, true },
	{ "503", &middle, "HTTP/1.1 503 x", -EIO, true },
	{ "no status", &middle, "HTTP/1.1 wrong", -EIO, false },
};

int main(void)
{
	struct http_verdict v;
	struct http_reply reply;
	char line[1024];
	size_t i;

	for (i = 0; i < ARRAY_SIZE(rows); i++) {
		const char *head = rows[i].head;

		memset(&reply, 0, sizeof(reply));
		while (*head) {
			size_t len = strcspn(head, "\n");

			snprintf(line, sizeof(line), "%.*s\r\n", (int)len,
				 head);
			http_reply_line(&reply, line, strlen(line));
			head += len + !!head[len];
		}
		v = http_reply_judge(&reply, rows[i].want);
		ok(v.error == rows[i].error && v.retry == rows[i].retry &&
		   !v.error == !v.why, "%s: %d", rows[i].name, rows[i].error);
	}

	/* A line without end, and one longer than what is looked at. */
	memset(&reply, 0, sizeof(reply));
	http_reply_line(&reply, "HTTP/1.1 206", 12);
	memset(line, 'a', sizeof(line));
	http_reply_line(&reply, line, sizeof(line));
	http_reply_line(&reply, "ETag: \"", 7);
	ok(reply.status == 206 && !strcmp(reply.etag, "\""),
	   "odd lines do no harm");
	ok(!reply.complete, "a head without end");
	http_reply_line(&reply, "", 0);
	ok(reply.complete, "the end of a head");
	http_reply_line(&reply, "HTTP/1.1 206", 12);
	ok(!reply.complete, "the next one");

	memset(&reply, 0, sizeof(reply));
	http_reply_line(&reply, "HTTP/1.1 206", 12);
	http_reply_line(&reply, "Content-Range: bytes 4096-5000/*", 32);
	ok(http_reply_end(&reply, &middle) == 5001, "end of a shorter range");
	reply.status = 200;
	ok(http_reply_end(&reply, &start) == 4096, "end within a whole blob");
	return tap_end();
}
