// SPDX-License-Identifier: GPL-2.0
/*
 * Filling: the right bytes in every way there is, and other bytes where the
 * right ones are present already and must stay.
 */
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/uio.h>

#include "odfuzz.h"

#define PIECES 8

/* What a fill may fail with whatever happens around it. */
static int check(struct fz_object *o, const char *how, ssize_t n, size_t len)
{
	int ret = n < 0 ? -errno : 0;

	fz_result("fill", ret);
	switch (ret) {
	case 0:
		fz_add("bytes filled", 0, n);
		if ((size_t)n > len)
			fz_fail("%s: %zd of %zu bytes", how, n, len);
		return (size_t)n == len ? 0 : -EIO;
	case -ENOBUFS:
	case -EFBIG:
	case -ENOSPC:
	case -ESTALE:
	case -EINTR:
	case -ENOMEM:
		return ret;
	}
	fz_fail("%s of %zu bytes to object %u: %d", how, len, o->id, ret);
	return ret;
}

static int put(struct fz_object *o, const char *data, __u64 off, __u64 len)
{
	return check(o, "pwrite", pwrite(o->fd, data + off, len, off), len);
}

/* In pieces that are cut anywhere and come in any order. */
static int fill_pieces(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
		       __u64 len)
{
	__u64 cut[PIECES + 1];
	int i, at, ret = 0, start = fz_below(w, PIECES);

	for (i = 0; i <= PIECES; i++)
		cut[i] = off + len * i / PIECES;
	for (i = 1; i < PIECES; i++)
		if (cut[i + 1] > cut[i])
			cut[i] += fz_below(w, cut[i + 1] - cut[i]);
	for (i = 0; i < PIECES && !ret; i++) {
		at = (start + i * 3) % PIECES;
		if (cut[at + 1] > cut[at])
			ret = put(o, data, cut[at], cut[at + 1] - cut[at]);
	}
	return ret;
}

/* At the fd's own position, in a few odd steps. */
static int fill_sequence(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
			 __u64 len)
{
	__u64 n, end = off + len, step = 1 + fz_below(w, len);
	int ret = 0;

	if (step < len / PIECES)
		step = len / PIECES;
	pthread_mutex_lock(&o->position);
	if (lseek(o->fd, off, SEEK_SET) != (off_t)off)
		ret = -ESPIPE;
	for (; off < end && !ret; off += n) {
		n = end - off < step ? end - off : step;
		ret = check(o, "write", write(o->fd, data + off, n), n);
	}
	pthread_mutex_unlock(&o->position);
	return ret;
}

static int fill_vector(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
		       __u64 len)
{
	struct iovec iov[PIECES];
	__u64 n, at = off, end = off + len;
	ssize_t ret;
	int i;

	for (i = 0; i < PIECES; i++, at += n) {
		n = i + 1 < PIECES ? fz_below(w, end - at + 1) : end - at;
		iov[i].iov_base = (char *)data + at;
		iov[i].iov_len = n;
	}
	if (fz_chance(w, 50))
		return check(o, "pwritev", pwritev(o->fd, iov, PIECES, off), len);
	pthread_mutex_lock(&o->position);
	ret = lseek(o->fd, off, SEEK_SET) != (off_t)off ? -ESPIPE :
	      check(o, "writev", writev(o->fd, iov, PIECES), len);
	pthread_mutex_unlock(&o->position);
	return ret;
}

/* Pages of the source itself, or copies. */
static int fill_splice(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
		       __u64 len)
{
	bool pages = fz_chance(w, 50);
	struct iovec iov;
	int pfd[2], ret = 0;
	ssize_t n;
	loff_t pos;

	if (pipe2(pfd, O_CLOEXEC | O_NONBLOCK) < 0)
		return put(o, data, off, len);
	while (!ret && len) {
		iov.iov_base = (char *)data + off;
		iov.iov_len = len < 60000 ? len : 60000;
		n = pages ? vmsplice(pfd[1], &iov, 1, 0) : writev(pfd[1], &iov, 1);
		if (n <= 0) {
			ret = -EIO;
			break;
		}
		pos = off;
		ret = check(o, "splice", splice(pfd[0], NULL, o->fd, &pos, n, 0), n);
		off += n;
		len -= n;
	}
	close(pfd[0]);
	close(pfd[1]);
	return ret;
}

/* The source ends in the middle of it. */
static int fill_fault(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
		      __u64 len)
{
	__u64 have = fz_below(w, 2 * GRANULE);
	char *p, *src;
	ssize_t n;

	if (have > len)
		have = len;
	p = mmap(NULL, 3 * GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p == MAP_FAILED)
		return -ENOMEM;
	mprotect(p + 2 * GRANULE, GRANULE, PROT_NONE);
	src = p + 2 * GRANULE - have;
	memcpy(src, data + off, have);
	n = pwrite(o->fd, src, have + 1 + fz_below(w, GRANULE), off);
	if (n >= 0 || errno != EFAULT)
		check(o, "pwrite from bad memory", n, n > 0 ? have : 0);
	munmap(p, 3 * GRANULE);
	return put(o, data, off, len);
}

/* More than was asked for, on both sides. */
static int fill_around(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
		       __u64 len)
{
	__u64 before = fz_below(w, 20000), after = fz_below(w, 20000);
	int ret;

	if (before > off)
		before = off;
	if (off + len + after > o->blob->room)
		after = 0;
	ret = put(o, data, off - before, before + len + after);
	/* Behind the end there is nothing to be filled. */
	return ret == -EIO ? put(o, data, off, len) : ret;
}

static int fill_twice(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
		      __u64 len)
{
	__u64 cut = fz_below(w, len);
	int ret;

	ret = put(o, data, off, len) ?: put(o, data, off, len);
	return ret ?: put(o, data, off + cut, len - cut);
}

static int fill_whole(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
		      __u64 len)
{
	return put(o, data, off, len);
}

static int (*const fills[])(struct fz_worker *w, struct fz_object *o, const char *data, __u64 off,
			    __u64 len) = {
	fill_whole, fill_whole, fill_whole, fill_pieces, fill_pieces, fill_sequence, fill_vector,
	fill_splice, fill_fault, fill_around, fill_twice,
};

/* Fill with the bytes of the blob; of nobody's blob, with any. */
int fz_fill(struct fz_worker *w, struct fz_object *o, __u64 off, __u64 len)
{
	static const char zeros[GRANULE];
	const char *data;

	if (!o->blob)
		return check(o, "pwrite", pwrite(o->fd, zeros, sizeof(zeros), off), sizeof(zeros));
	if (off >= o->blob->room || !len)
		return -ERANGE;
	if (len > o->blob->room - off)
		len = o->blob->room - off;
	data = o->blob->data;
	/* Bytes of another place, where nobody will look at them. */
	if (o->blob->loose && fz_chance(w, 10) && off + len < o->blob->room - GRANULE)
		data += GRANULE;
	return fills[fz_below(w, FZ_NELEM(fills))](w, o, data, off, len);
}

/* Something that nobody has asked for. */
long fz_prefetch(struct fz_worker *w, void *ctx)
{
	struct fz_object *o = fz_object_any(ctx, w);
	__u64 off, len = 1 + fz_below(w, 3 * GRANULE);
	int ret = -ENOENT;

	if (!o)
		return ret;
	if (o->blob && o->size > 0) {
		off = fz_below(w, o->blob->size + GRANULE);
		if (fz_chance(w, 50))
			off = fz_below(w, 3 * GRANULE);
		ret = fz_fill(w, o, off, len);
	}
	fz_object_put(ctx, o);
	return ret;
}

/* Other bytes over what is present: taken, and without any effect. */
long fz_fill_present(struct fz_worker *w, void *ctx)
{
	struct fz_object *o = fz_object_any(ctx, w);
	char junk[2 * GRANULE];
	off_t from, to;
	ssize_t n;
	size_t len;

	if (!o)
		return -ENOENT;
	memset(junk, 1 + fz_below(w, 255), sizeof(junk));
	pthread_mutex_lock(&o->position);
	from = lseek(o->fd, fz_below(w, o->blob ? o->blob->size : 1), SEEK_DATA);
	to = from < 0 ? -1 : lseek(o->fd, from, SEEK_HOLE);
	pthread_mutex_unlock(&o->position);
	n = -ENODATA;
	if (to > from) {
		if ((to - from) > (off_t)sizeof(junk))
			from += fz_below(w, to - from - sizeof(junk));
		len = 1 + fz_below(w, to - from < (off_t)sizeof(junk) ? to - from : sizeof(junk));
		n = pwrite(o->fd, junk, len, from);
		if (n != (ssize_t)len && !(n < 0 && (errno == ESTALE || errno == EINTR)))
			fz_fail("%zu bytes over what is present: %zd, %s", len, n, strerror(errno));
		n = n < 0 ? -errno : 0;
	}
	fz_object_put(ctx, o);
	return n;
}
