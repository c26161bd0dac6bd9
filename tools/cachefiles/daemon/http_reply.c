// SPDX-License-Identifier: GPL-2.0-or-later
/* The head of an HTTP reply: what it says, and whether it is what we need. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "http_reply.h"

/* A decimal number at *@p, no sign; *@p moves behind it. */
static bool take_number(const char **p, uint64_t *value)
{
	const char *s = *p;
	uint64_t n = 0;

	if (!isdigit((unsigned char)*s))
		return false;
	for (; isdigit((unsigned char)*s); s++) {
		unsigned int digit = *s - '0';

		/* Sizes have 63 bits. */
		if (n > ((uint64_t)INT64_MAX - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*p = s;
	*value = n;
	return true;
}

/* "bytes 0-99/1000", where the size or the range may be a star. */
static void take_content_range(struct http_reply *reply, const char *s)
{
	reply->has_range = false;
	reply->has_total = false;
	reply->bad_range = true;

	if (strncasecmp(s, "bytes", 5) || (s[5] != ' ' && s[5] != '\t'))
		return;
	for (s += 5; *s == ' ' || *s == '\t';)
		s++;

	if (*s == '*') {
		s++;
	} else {
		if (!take_number(&s, &reply->first) || *s++ != '-' ||
		    !take_number(&s, &reply->last) ||
		    reply->last < reply->first)
			return;
		reply->has_range = true;
	}
	if (*s++ != '/')
		return;
	if (*s == '*') {
		s++;
	} else {
		if (!take_number(&s, &reply->total))
			return;
		reply->has_total = true;
	}
	if (*s)
		return;
	reply->bad_range = reply->has_range && reply->has_total &&
			   reply->last >= reply->total;
}

/* The value of header @name if @line is that one, else NULL. */
static const char *value_of(const char *line, const char *name)
{
	size_t len = strlen(name);

	if (strncasecmp(line, name, len) || line[len] != ':')
		return NULL;
	for (line += len + 1; *line == ' ' || *line == '\t';)
		line++;
	return line;
}

void http_reply_line(struct http_reply *reply, const char *line, size_t len)
{
	char text[512];
	const char *value;
	uint64_t number;

	while (len && isspace((unsigned char)line[len - 1]))
		len--;
	/* None of the headers that count is this long. */
	if (len >= sizeof(text))
		return;
	memcpy(text, line, len);
	text[len] = '\0';

	if (!strncasecmp(text, "HTTP/", 5)) {
		memset(reply, 0, sizeof(*reply));
		value = strchr(text, ' ');
		if (value++ && take_number(&value, &number) && number < 1000)
			reply->status = number;
		return;
	}
	/* A trailer changes nothing of what has been judged. */
	if (reply->complete)
		return;
	if (!len) {
		reply->complete = true;
		return;
	}

	value = value_of(text, "Content-Range");
	if (value) {
		take_content_range(reply, value);
		return;
	}
	value = value_of(text, "Content-Length");
	if (value) {
		reply->has_length = take_number(&value, &reply->length);
		return;
	}
	value = value_of(text, "Content-Encoding");
	if (value) {
		if (*value && strcasecmp(value, "identity"))
			reply->encoded = true;
		return;
	}
	value = value_of(text, "Content-Type");
	if (value) {
		if (!strncasecmp(value, "multipart/byteranges", 20))
			reply->encoded = true;
		return;
	}
	value = value_of(text, "ETag");
	/* A weak tag (W/"...") does not say that the bytes are the same. */
	if (value && *value == '"' && strlen(value) < sizeof(reply->etag))
		memcpy(reply->etag, value, strlen(value) + 1);
}

static struct http_verdict good(void)
{
	return (struct http_verdict){ 0 };
}

static struct http_verdict bad(int error, const char *why)
{
	return (struct http_verdict){ .error = error, .why = why };
}

static struct http_verdict try_again(int error, const char *why)
{
	return (struct http_verdict){
		.error = error, .retry = true, .why = why
	};
}

static struct http_verdict judge_status(int status)
{
	switch (status) {
	case 404:
	case 410:
		return bad(-ENOENT, "the server does not have it");
	case 401:
	case 403:
	case 407:
		return bad(-EACCES, "the server denies access");
	case 416:
		return bad(-EIO, "the server says the range is not there");
	case 408:
	case 425:
	case 429:
		return try_again(-EIO, "the server is busy");
	}
	if (status >= 500)
		return try_again(-EIO, "the server failed");
	return bad(-EIO, "unexpected HTTP status");
}

/* Is it still the blob that was opened? */
static struct http_verdict judge_same(const struct http_reply *reply,
				      const struct http_want *want,
				      bool has_size, uint64_t size)
{
	if (!want->known)
		return good();
	if (has_size && size != want->size)
		return bad(-EIO, "its size on the server has changed");
	if (*want->etag && *reply->etag && strcmp(want->etag, reply->etag))
		return bad(-EIO, "its content on the server has changed");
	return good();
}

struct http_verdict http_reply_judge(const struct http_reply *reply,
				     const struct http_want *want)
{
	/* The first byte of an empty blob is what no server can give. */
	if (reply->status == 416 && !want->known && !reply->bad_range &&
	    reply->has_total && !reply->total)
		return good();

	if (reply->status != 206 && reply->status != 200)
		return judge_status(reply->status);
	if (reply->encoded)
		return bad(-EIO, "the server sends it encoded");

	if (reply->status == 200) {
		if (!want->known) {
			if (reply->has_length && !reply->length)
				return good();
			return bad(-EOPNOTSUPP,
				   "the server does not do range requests");
		}
		if (want->first)
			return bad(-EIO,
				   "the server does not do range requests");
		/* It may be anything: the page of a portal, of maintenance. */
		if (!reply->has_length &&
		    !(*want->etag && !strcmp(want->etag, reply->etag)))
			return bad(-EIO, "the server does not tell its size");
		return judge_same(reply, want, reply->has_length,
				  reply->length);
	}

	if (reply->bad_range || !reply->has_range)
		return bad(-EIO, "no valid Content-Range in the reply");
	if (!want->known && !reply->has_total)
		return bad(-EIO, "the server does not tell its size");
	if (reply->first != want->first || reply->last > want->last)
		return bad(-EIO, "the reply has another range than asked for");
	return judge_same(reply, want, reply->has_total, reply->total);
}

uint64_t http_reply_end(const struct http_reply *reply,
			const struct http_want *want)
{
	return reply->status == 206 ? reply->last + 1 : want->last + 1;
}
