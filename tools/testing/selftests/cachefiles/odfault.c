// SPDX-License-Identifier: GPL-2.0
/*
 * What a daemon can do other than fill a READ in one piece and answer it once:
 * some of it unusual, some of it wrong.
 */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#include "odserver.h"

#define ODD_PIECE 1733		/* bytes; lies on no boundary of anything */

/* Nothing here crosses the object's end, so there are no short counts. */
static int wrote(ssize_t n, size_t len)
{
	if (n < 0)
		return -errno;
	return n == (ssize_t)len ? 0 : -EIO;
}

int od_fill_nothing(struct od_server *srv, struct od_object *o, __u64 off,
		    __u64 len)
{
	return 0;
}

/* Two of three; the superblock is not to be missed. */
int od_fill_sometimes(struct od_server *srv, struct od_object *o, __u64 off,
		      __u64 len)
{
	static unsigned int seed = 99;

	seed = seed * 1103515245 + 12345;
	if (off && (seed >> 16) % 3 == 0)
		return 0;
	return cf_fill(o->fd, o->blob->data, off, len);
}

/* The first half, cut inside a granule. */
int od_fill_prefix(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len)
{
	return cf_fill(o->fd, o->blob->data, off, len / 2 + 100);
}

int od_fill_middle(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len)
{
	return cf_fill(o->fd, o->blob->data, off + len / 4 + 1, len / 2);
}

int od_fill_suffix(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len)
{
	return cf_fill(o->fd, o->blob->data, off + len / 2 - 100,
		       len - len / 2 + 100);
}

/* Prefetch the whole object at the first request. */
int od_fill_everything(struct od_server *srv, struct od_object *o,
		       __u64 off, __u64 len)
{
	return cf_fill(o->fd, o->blob->data, 0, o->blob->size);
}

/* The right bytes, and then others, which must be taken and dropped. */
int od_fill_twice(struct od_server *srv, struct od_object *o, __u64 off,
		  __u64 len)
{
	char junk[GRANULE];
	__u64 i, n;
	int ret;

	ret = cf_fill(o->fd, o->blob->data, off, len);
	for (i = 0; i < sizeof(junk); i++)
		junk[i] = (i * 7) ^ 0x5a;
	for (i = 0; !ret && i < len; i += n) {
		n = len - i < sizeof(junk) ? len - i : sizeof(junk);
		ret = wrote(pwrite(o->fd, junk, n, off + i), n);
	}
	return ret;
}

/* More than was asked for, with both ends inside granules. */
int od_fill_overlap(struct od_server *srv, struct od_object *o, __u64 off,
		    __u64 len)
{
	__u64 from = off > 100 ? off - 100 : 0;
	__u64 to = off + len + 100;

	if (to > o->blob->size)
		to = o->blob->size;
	return cf_fill(o->fd, o->blob->data, from, to - from);
}

/* write(2) in odd pieces: the fd keeps the position. */
int od_fill_tiny(struct od_server *srv, struct od_object *o, __u64 off,
		 __u64 len)
{
	__u64 i, n;
	int ret = 0;

	if (lseek(o->fd, off, SEEK_SET) != (off_t)off)
		return -errno;
	for (i = 0; !ret && i < len; i += n) {
		n = len - i < ODD_PIECE ? len - i : ODD_PIECE;
		ret = wrote(write(o->fd, o->blob->data + off + i, n), n);
	}
	return ret;
}

/* Odd pieces from the end to the beginning. */
int od_fill_backwards(struct od_server *srv, struct od_object *o, __u64 off,
		      __u64 len)
{
	__u64 n, end;
	int ret = 0;

	for (end = off + len; !ret && end > off; end -= n) {
		n = end - off < ODD_PIECE ? end - off : ODD_PIECE;
		ret = wrote(pwrite(o->fd, o->blob->data + end - n, n, end - n),
			    n);
	}
	return ret;
}

int od_fill_writev(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len)
{
	char *data = (char *)o->blob->data + off;
	struct iovec iov[4] = {
		{ data, 1 },
		{ data + 1, len / 3 },
		{ data + 1 + len / 3, 0 },
		{ data + 1 + len / 3, len - len / 3 - 1 },
	};
	int ret;

	if (lseek(o->fd, off, SEEK_SET) != (off_t)off)
		return -errno;
	ret = wrote(writev(o->fd, iov, 4), len);
	if (ret)
		return ret;
	if (lseek(o->fd, 0, SEEK_CUR) != (off_t)(off + len))
		return -ESPIPE;
	return 0;
}

/* By turns at the fd's own position and at one that is given. */
int od_fill_splice(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len)
{
	loff_t pos;
	ssize_t n, m;
	int pfd[2], ret = 0, turn;

	if (pipe2(pfd, O_CLOEXEC) < 0)
		return -errno;
	for (turn = 0; !ret && len; turn++, off += n, len -= n) {
		n = write(pfd[1], o->blob->data + off,
			  len < 16 * 1024 ? len : 16 * 1024);
		if (n <= 0) {
			ret = -EIO;
			break;
		}
		pos = off;
		if (turn % 2)
			lseek(o->fd, off, SEEK_SET);
		m = splice(pfd[0], NULL, o->fd, turn % 2 ? NULL : &pos, n, 0);
		if (m < 0) {
			ret = -errno;
		} else if (m == 0) {
			ret = -EIO;
		} else if (m < n) {
			/* Give back what stays in the pipe. */
			char *rest = malloc(n);

			if (read(pfd[0], rest, n - m) != n - m)
				ret = -EIO;
			free(rest);
			n = m;
		}
	}
	close(pfd[0]);
	close(pfd[1]);
	return ret;
}

void od_reply_never(struct od_server *srv, struct od_object *o,
		    const struct cf_msg *m)
{
}

void od_reply_twice(struct od_server *srv, struct od_object *o,
		    const struct cf_msg *m)
{
	int ret;

	od_reply(srv, o, m);
	ret = cf_complete(o->fd, m->id);
	if (ret != -EINVAL)
		od_error(srv, "second completion: %d", ret);
}

/* Ids that name nothing, before the right one. */
void od_reply_wrong_id(struct od_server *srv, struct od_object *o,
		       const struct cf_msg *m)
{
	static const __u32 wrong[] = { 0, ~0U, 0x80000000 };
	unsigned int i;
	int ret;

	for (i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		ret = cf_complete(o->fd, wrong[i]);
		if (ret != -EINVAL)
			od_error(srv, "completion of %u: %d", wrong[i], ret);
	}
	ret = cf_complete(o->fd, m->id + 100000);
	if (ret != -EINVAL)
		od_error(srv, "completion of a future id: %d", ret);
	od_reply(srv, o, m);
}
