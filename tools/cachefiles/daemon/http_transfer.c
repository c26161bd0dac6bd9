// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * One request to an HTTP server: its tries, and the way of the bytes.
 *
 * A body goes straight from libcurl's buffer into the cache, in whole blocks;
 * at most one incomplete block is kept.  So a transfer needs the same memory
 * whatever its length, and a try that breaks off leaves all the blocks that
 * came; the next one goes on behind them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cachefiles_ondemand.h"
#include "clock.h"
#include "http.h"
#include "log.h"

/* Time to the first retry, doubled for each further one. */
#define BACKOFF_MS 200
#define BACKOFF_MAX_MS 5000

/* Longest body of an error reply that is read to keep the connection. */
#define ERROR_BODY_MAX (64 * 1024)

/* Per request in flight: 64 of them have 4 MiB of these. */
#define RECEIVE_BUFFER (64 * 1024)

/* Most time to connect; less if that is more than a third of --timeout. */
#define CONNECT_TIMEOUT_MS 10000

static size_t on_header(char *line, size_t size, size_t nmemb, void *arg)
{
	struct http_transfer *t = arg;

	http_reply_line(&t->reply, line, size * nmemb);
	return size * nmemb;
}

static void judge(struct http_transfer *t)
{
	if (t->judged)
		return;
	t->verdict = http_reply_judge(&t->reply, &t->want);
	t->judged = true;
	t->end = http_reply_end(&t->reply, &t->want);
}

static int write_blocks(struct http_transfer *t, const char *data, size_t len)
{
	struct iovec iov[2] = {
		{ .iov_base = t->carry, .iov_len = t->carry_len },
		{ .iov_base = (void *)data, .iov_len = len },
	};
	size_t total = t->carry_len + len;
	int ret;

	ret = cfod_fillv(t->req->fd, iov, 2, t->req->pos);
	if (ret)
		return ret;
	t->carry_len = 0;
	t->req->pos += total;
	t->tries = 0;
	stats_add(&t->engine->source->base.stats->fetch_bytes, total);
	return 0;
}

/* Pass on what makes up whole blocks, or the blob's end; keep the rest. */
static int take_body(struct http_transfer *t, const char *data, size_t len)
{
	uint64_t have = t->req->pos + t->carry_len + len;
	size_t rest = have == t->req->end ? 0 : have % HTTP_BLOCK;
	int ret;

	if (rest && rest >= len) {
		/* Not even the block that has begun is complete. */
		memcpy(t->carry + t->carry_len, data, len);
		t->carry_len += len;
		return 0;
	}
	ret = write_blocks(t, data, len - rest);
	if (ret)
		return ret;
	memcpy(t->carry, data + len - rest, rest);
	t->carry_len = rest;
	return 0;
}

/* Anything but @len as the return value ends the try with CURLE_WRITE_ERROR. */
static size_t on_body(char *data, size_t size, size_t nmemb, void *arg)
{
	struct http_transfer *t = arg;
	size_t len = size * nmemb;
	uint64_t room;

	if (atomic_load_explicit(&t->req->blob->abandoned,
				 memory_order_relaxed))
		return 0;
	judge(t);
	if (t->verdict.error) {
		/* Worth reading only if that saves the connection. */
		if (t->reply.status < 400 || !t->reply.has_length ||
		    t->reply.length > ERROR_BODY_MAX)
			return 0;
		return len;
	}
	if (t->probe)
		return len;

	room = t->end - t->req->pos - t->carry_len;
	if (len > room) {
		/* A reply with the whole blob goes on behind what we need. */
		if (t->reply.status != 200) {
			t->verdict.error = -EIO;
			t->verdict.why = "the body is longer than its Content-Range";
			return 0;
		}
		t->complete = true;
	}
	t->write_error = take_body(t, data, len > room ? room : len);
	return t->write_error || t->complete ? 0 : len;
}

struct http_transfer *http_transfer_new(struct http_engine *engine)
{
	const struct http_source *source = engine->source;
	struct http_transfer *t = calloc(1, sizeof(*t));
	long third = (source->timeout_ms + 2) / 3;
	CURL *easy;

	if (!t)
		return NULL;
	t->engine = engine;
	t->easy = curl_easy_init();
	if (!t->easy) {
		free(t);
		return NULL;
	}
	easy = t->easy;

	curl_easy_setopt(easy, CURLOPT_PRIVATE, t);
	curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
	curl_easy_setopt(easy, CURLOPT_HEADERDATA, t);
	curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(easy, CURLOPT_WRITEDATA, t);
	curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, t->reason);
	curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, (long)RECEIVE_BUFFER);
	curl_easy_setopt(easy, CURLOPT_USERAGENT,
			 "cachefiles-ondemandd/" VERSION);
	curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
	curl_easy_setopt(easy, CURLOPT_MAXREDIRS, 5L);
	curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
	/* Share an HTTP/2 connection rather than open another one. */
	curl_easy_setopt(easy, CURLOPT_PIPEWAIT, 1L);
	/* Do not wait for a name server that hangs when a try is over. */
	curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
	/* A try that brings nothing for a third of the time is a failed one. */
	curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS,
			 third < CONNECT_TIMEOUT_MS ? third :
			 (long)CONNECT_TIMEOUT_MS);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_LIMIT, 1L);
	curl_easy_setopt(easy, CURLOPT_LOW_SPEED_TIME,
			 (third + 999) / 1000);
	if (source->ca_file)
		curl_easy_setopt(easy, CURLOPT_CAINFO, source->ca_file);
	return t;
}

void http_transfer_free(struct http_transfer *t)
{
	curl_easy_cleanup(t->easy);
	free(t);
}

static void end(struct http_transfer *t, int error)
{
	struct source_req *req = t->req;

	t->req = NULL;
	http_engine_retire(t->engine, t);
	req->done(req, error);
}

void http_transfer_begin(struct http_transfer *t, struct source_req *req,
			 bool probe)
{
	t->req = req;
	t->probe = probe;
	t->tries = 0;
	t->deadline = clock_ms() + t->engine->source->timeout_ms;
	http_transfer_try(t);
}

void http_transfer_try(struct http_transfer *t)
{
	const struct http_blob *blob = (struct http_blob *)t->req->blob;
	uint64_t now = clock_ms();
	char range[48];
	long left;

	left = t->deadline > now ? (long)(t->deadline - now) : 1;
	memset(&t->reply, 0, sizeof(t->reply));
	memset(&t->verdict, 0, sizeof(t->verdict));
	t->judged = false;
	t->complete = false;
	t->write_error = 0;
	t->carry_len = 0;
	t->reason[0] = '\0';

	/* The first byte says the size, and whether there are ranges. */
	t->want = (struct http_want){
		.first = t->probe ? 0 : t->req->pos,
		.last = t->probe ? 0 : t->req->end - 1,
		.size = t->probe ? 0 : blob->base.size,
		.known = !t->probe,
		.etag = t->probe ? "" : blob->etag,
	};
	snprintf(range, sizeof(range), "%llu-%llu",
		 (unsigned long long)t->want.first,
		 (unsigned long long)t->want.last);

	curl_easy_setopt(t->easy, CURLOPT_URL, blob->url);
	curl_easy_setopt(t->easy, CURLOPT_RANGE, range);
	curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, left);
	t->active = true;
	if (curl_multi_add_handle(t->engine->multi, t->easy)) {
		t->active = false;
		end(t, -ENOMEM);
	}
}

/* What libcurl's errors are for whoever mounts or reads. */
static struct http_verdict judge_curl(struct http_transfer *t, int code)
{
	struct http_verdict v = { .error = -EIO, .retry = true };
	long os_errno = 0;

	v.why = t->reason[0] ? t->reason : curl_easy_strerror(code);
	switch (code) {
	case CURLE_OPERATION_TIMEDOUT:
		v.error = -ETIMEDOUT;
		break;
	case CURLE_COULDNT_CONNECT:
		curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &os_errno);
		v.error = os_errno == EHOSTUNREACH || os_errno == ENETUNREACH ||
			  os_errno == ETIMEDOUT ? -os_errno : -ECONNREFUSED;
		break;
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		v.error = -EHOSTUNREACH;
		break;
	case CURLE_OUT_OF_MEMORY:
		v.error = -ENOMEM;
		break;
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_ISSUER_ERROR:
	case CURLE_SSL_CERTPROBLEM:
		v.error = -EKEYREJECTED;
		v.retry = false;
		break;
	case CURLE_URL_MALFORMAT:
	case CURLE_UNSUPPORTED_PROTOCOL:
	case CURLE_TOO_MANY_REDIRECTS:
	case CURLE_BAD_CONTENT_ENCODING:
		v.retry = false;
		break;
	default:
		break;
	}
	return v;
}

/*
 * Is the reply the one that was to come?  Where the try broke off within its
 * head, or behind a redirect or a 103, it is not, and only libcurl knows why.
 */
static bool replied(const struct http_transfer *t, int code)
{
	const struct http_reply *reply = &t->reply;

	return reply->complete && reply->status >= 200 &&
	       (code == CURLE_OK || reply->status / 100 != 3);
}

/* What a try came to; error 0: all that this reply could bring is there. */
static struct http_verdict conclude(struct http_transfer *t, int code)
{
	struct http_verdict v = { 0 };

	if (atomic_load_explicit(&t->req->blob->abandoned,
				 memory_order_relaxed)) {
		v.error = -ECANCELED;
		return v;
	}
	if (t->write_error) {
		v.error = t->write_error;
		v.why = "it cannot be written to the cache";
		return v;
	}
	/* A body that was cut short says less than the head it came with. */
	if (replied(t, code))
		judge(t);
	if (t->judged && t->verdict.error)
		return t->verdict;
	if (code != CURLE_OK && !t->complete)
		return judge_curl(t, code);
	if (t->judged && t->probe)
		return v;
	if (!t->judged || t->req->pos + t->carry_len < t->end) {
		v.error = -EIO;
		v.retry = true;
		v.why = "the body is shorter than its Content-Range";
	} else if (t->req->pos == t->want.first) {
		/* Asking for the rest would not end. */
		v.error = -EIO;
		v.retry = true;
		v.why = "the server sends less than a block at a time";
	}
	return v;
}

static void probed(struct http_transfer *t)
{
	struct http_blob *blob = (struct http_blob *)t->req->blob;

	blob->base.size = t->reply.has_total ? t->reply.total : 0;
	memcpy(blob->etag, t->reply.etag, sizeof(blob->etag));
	end(t, 0);
}

/* Random, so that the readers of a server that fell over do not all return at
 * the same moment.
 */
static uint64_t backoff(struct http_transfer *t)
{
	unsigned int shift = t->tries < 6 ? t->tries : 6;
	uint64_t delay = (uint64_t)BACKOFF_MS << shift;
	curl_off_t asked = 0;

	if (delay > BACKOFF_MAX_MS)
		delay = BACKOFF_MAX_MS;
	delay = delay / 2 + rand_r(&t->engine->seed) % (delay / 2 + 1);

	curl_easy_getinfo(t->easy, CURLINFO_RETRY_AFTER, &asked);
	if (asked > 0 && (uint64_t)asked < UINT32_MAX &&
	    (uint64_t)asked * 1000 > delay)
		delay = (uint64_t)asked * 1000;
	return delay;
}

static void describe(struct http_transfer *t, enum log_level level,
		     const struct http_verdict *v, const char *next)
{
	char status[32] = "";

	if (t->reply.status)
		snprintf(status, sizeof(status), "HTTP %d: ", t->reply.status);
	log_write_limited(level, "%s, bytes %llu-%llu: %s%s%s",
			  t->req->blob->key, (unsigned long long)t->want.first,
			  (unsigned long long)t->want.last, status,
			  v->why ? v->why : strerror(-v->error), next);
}

static void failed(struct http_transfer *t, struct http_verdict v)
{
	uint64_t now = clock_ms();
	uint64_t delay;

	if (v.error == -ECANCELED || v.error == -ESTALE) {
		log_debug("%s: no longer wanted", t->req->blob->key);
		end(t, v.error);
		return;
	}
	if (!v.retry) {
		describe(t, LOG_LEVEL_WARNING, &v, "");
		end(t, v.error);
		return;
	}
	if (now >= t->deadline) {
		describe(t, LOG_LEVEL_WARNING, &v, "; no time left");
		end(t, -ETIMEDOUT);
		return;
	}
	delay = backoff(t);
	if (t->tries >= t->engine->source->retries ||
	    now + delay >= t->deadline) {
		describe(t, LOG_LEVEL_WARNING, &v, "; given up");
		end(t, v.error);
		return;
	}
	describe(t, LOG_LEVEL_INFO, &v, "; trying again");
	t->tries++;
	t->due = now + delay;
	stats_add(&t->engine->source->base.stats->retries, 1);
}

void http_transfer_tried(struct http_transfer *t, int code)
{
	struct http_verdict v;

	curl_multi_remove_handle(t->engine->multi, t->easy);
	t->active = false;

	v = conclude(t, code);
	if (v.error)
		failed(t, v);
	else if (t->probe)
		probed(t);
	else if (t->req->pos < t->req->end)
		/* The server may send less than asked: ask for the rest. */
		http_transfer_try(t);
	else
		end(t, 0);
}

void http_transfer_cancel(struct http_transfer *t)
{
	if (t->active) {
		curl_multi_remove_handle(t->engine->multi, t->easy);
		t->active = false;
	}
	end(t, -ECANCELED);
}
