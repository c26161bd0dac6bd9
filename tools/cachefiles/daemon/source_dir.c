// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Blobs that are files of a directory.
 *
 * Requests are served within the call, by the thread that read the message:
 * a page-cache hit costs one pread() and one pwrite(), and no other thread has
 * to wake up for it.  Requests overlap as far as there are threads.
 *
 * pread() and not mmap(): behind the new end of a file that somebody truncates
 * a mapping shows zeros, and zeros must never get into the cache; pread() comes
 * up short.  Not splice(): for ranges of this size the pipe costs more than the
 * copy.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "log.h"
#include "source.h"

/* Small enough for the CPU's second level cache, and for many threads. */
#define BUFFER_SIZE (128 * 1024)
#define BUFFER_ALIGN 4096

/* openat2() gives up, with EAGAIN, when a rename races with its checks. */
#define OPEN_TRIES 16

struct dir_source {
	struct source base;
	int fd;
};

struct dir_blob {
	struct blob base;
	int fd;
};

struct dir_engine {
	struct engine base;
	struct dir_source *source;
	unsigned char *buffer;
};

struct source *source_dir_new(const struct source_config *config, char *why,
			      size_t why_len)
{
	struct dir_source *dir = calloc(1, sizeof(*dir));

	if (!dir) {
		snprintf(why, why_len, "out of memory");
		return NULL;
	}
	dir->base.ops = &source_dir_ops;
	dir->fd = open(config->where, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir->fd < 0) {
		snprintf(why, why_len,
			 "%s: %s (wanted: a directory, or a URL that begins with http:// or https://)",
			 config->where, strerror(errno));
		free(dir);
		return NULL;
	}
	return &dir->base;
}

static void dir_free(struct source *base)
{
	struct dir_source *dir = (struct dir_source *)base;

	close(dir->fd);
	free(dir);
}

static struct blob *dir_blob_new(struct source *source, const char *key)
{
	struct dir_blob *blob = calloc(1, sizeof(*blob));

	(void)source;
	(void)key;
	if (!blob)
		return NULL;
	blob->fd = -1;
	return &blob->base;
}

static void dir_blob_free(struct blob *base)
{
	struct dir_blob *blob = (struct dir_blob *)base;

	if (blob->fd >= 0)
		close(blob->fd);
	free(blob);
}

static struct engine *dir_engine_new(struct source *source)
{
	struct dir_engine *engine = calloc(1, sizeof(*engine));

	if (!engine)
		return NULL;
	engine->source = (struct dir_source *)source;
	engine->buffer = aligned_alloc(BUFFER_ALIGN, BUFFER_SIZE);
	if (!engine->buffer) {
		free(engine);
		return NULL;
	}
	return &engine->base;
}

static void dir_engine_free(struct engine *base)
{
	struct dir_engine *engine = (struct dir_engine *)base;

	free(engine->buffer);
	free(engine);
}

/*
 * What a call that is about the source failed with.  A file system that has its
 * errors from elsewhere (FUSE, NFS) may give some that mean something else to
 * those who get this: the request is not wanted any more, the cache is full.
 */
static int source_error(void)
{
	switch (errno) {
	case ECANCELED:
	case ESTALE:
	case ENOSPC:
	case EDQUOT:
		return -EIO;
	}
	return -errno;
}

/* Symbolic links are followed as long as they stay in the directory. */
static int dir_open(const struct dir_source *dir, const char *key)
{
	struct open_how how = {
		/* O_NONBLOCK: do not hang on a FIFO. */
		.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int tries = OPEN_TRIES;
	long fd;

	do {
		fd = syscall(SYS_openat2, dir->fd, key, &how, sizeof(how));
	} while (fd < 0 && (errno == EAGAIN || errno == EINTR) && --tries);
	if (fd >= 0)
		return fd;
	/* For whoever mounts, what leads out of the directory is not there. */
	if (errno == EXDEV || errno == ELOOP || errno == ENAMETOOLONG)
		return -ENOENT;
	return source_error();
}

static void dir_lookup(struct engine *base, struct source_req *req)
{
	struct dir_engine *engine = (struct dir_engine *)base;
	struct dir_blob *blob = (struct dir_blob *)req->blob;
	struct stat st;
	int fd;

	fd = dir_open(engine->source, req->blob->key);
	if (fd < 0) {
		req->done(req, fd);
		return;
	}
	blob->fd = fd;
	if (fstat(fd, &st)) {
		req->done(req, source_error());
		return;
	}
	if (!S_ISREG(st.st_mode)) {
		log_warning("%s is not a regular file", req->blob->key);
		req->done(req, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL);
		return;
	}
	req->blob->size = st.st_size;
	req->done(req, 0);
}

static int dir_copy_piece(struct dir_engine *engine, struct source_req *req)
{
	struct dir_blob *blob = (struct dir_blob *)req->blob;
	uint64_t want = req->end - req->pos;
	size_t have = 0;
	int ret;

	if (want > BUFFER_SIZE)
		want = BUFFER_SIZE;
	while (have < want) {
		ssize_t n = pread(blob->fd, engine->buffer + have, want - have,
				  req->pos + have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return source_error();
		if (!n) {
			log_write_limited(LOG_LEVEL_ERROR,
					  "%s ends at %llu, it had %llu bytes when it was opened",
					  req->blob->key,
					  (unsigned long long)req->pos + have,
					  (unsigned long long)req->blob->size);
			return -EIO;
		}
		have += n;
	}

	ret = cfod_fill(req->fd, engine->buffer, have, req->pos);
	if (ret)
		return ret;
	req->pos += have;
	stats_add(&engine->source->base.stats->fetch_bytes, have);
	return 0;
}

static void dir_fetch(struct engine *base, struct source_req *req)
{
	struct dir_engine *engine = (struct dir_engine *)base;
	int ret = 0;

	while (!ret && req->pos < req->end) {
		if (atomic_load_explicit(&req->blob->abandoned,
					 memory_order_relaxed))
			ret = -ECANCELED;
		else
			ret = dir_copy_piece(engine, req);
	}
	req->done(req, ret);
}

const struct source_ops source_dir_ops = {
	.name		= "directory",
	.threads	= 8,
	.free		= dir_free,
	.blob_new	= dir_blob_new,
	.blob_free	= dir_blob_free,
	.engine_new	= dir_engine_new,
	.engine_free	= dir_engine_free,
	.lookup		= dir_lookup,
	.fetch		= dir_fetch,
};
