// SPDX-License-Identifier: GPL-2.0
/*
 * A look at all of a file system that may be damaged in any way, written down
 * in lines "what = result", where an error is a negative number.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>

#include "visit.h"

#define ROOM		(256 << 10)
#define MAX_DEPTH	4
#define MAX_ENTRIES	64
#define MAX_PAGES	40	/* of a file's beginning */
#define BULK		(64 << 10)

struct pad {
	struct cf_out	*out;
	size_t		len;
	int		pipe[2];
	char		buf[BULK];
};

static void __printf(2, 3) say(struct pad *pad, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(pad->out->buf + pad->len, ROOM - pad->len, fmt, ap);
	va_end(ap);
	pad->len += n < (int)(ROOM - pad->len) ? n : (int)(ROOM - pad->len) - 1;
}

static __u64 hash(const void *buf, size_t len)
{
	__u64 h = 0xcbf29ce484222325ULL ^ len, v;
	const unsigned char *p = buf;

	for (; len >= 8; len -= 8, p += 8) {
		memcpy(&v, p, 8);
		h = (h ^ v) * 0x100000001b3ULL;
		h ^= h >> 29;
	}
	while (len--)
		h = (h ^ *p++) * 0x100000001b3ULL;
	return h;
}

/* What a call returned, and the bytes that it brought. */
static void say_bytes(struct pad *pad, const char *name, const char *what,
		      __u64 pos, ssize_t n, const void *buf)
{
	if (n < 0)
		say(pad, "%s %s %llu = %d\n", name, what,
		    (unsigned long long)pos, -errno);
	else
		say(pad, "%s %s %llu = %zd bytes %llx\n", name, what,
		    (unsigned long long)pos, n,
		    (unsigned long long)hash(buf, n));
}

/* A page by pread(2) or, with an error in place of a signal, as it is mapped. */
static ssize_t get_page(struct pad *pad, int fd, __u64 pos, bool mapped)
{
	ssize_t n;
	char *map;

	if (!mapped)
		return pread(fd, pad->buf, GRANULE, pos);
	map = mmap(NULL, GRANULE, PROT_READ, MAP_SHARED, fd, pos);
	if (map == MAP_FAILED)
		return -1;
	madvise(map, GRANULE, MADV_RANDOM);
	n = write(pad->pipe[1], map, GRANULE);
	if (n > 0)
		n = read(pad->pipe[0], pad->buf, n);
	munmap(map, GRANULE);
	return n;
}

/*
 * What is wrong with one page of a large folio is wrong with all of it, and how
 * large it is depends on readahead: then the page is looked at by itself.
 */
static void look_at(struct pad *pad, const char *name, int fd, __u64 pos,
		    bool mapped)
{
	ssize_t n = get_page(pad, fd, pos, mapped);

	if (n < 0) {
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		n = get_page(pad, fd, pos, mapped);
		posix_fadvise(fd, 0, 0, POSIX_FADV_NORMAL);
	}
	say_bytes(pad, name, mapped ? "mapped" : "at", pos, n, pad->buf);
}

static void look_extents(struct pad *pad, const char *name, int fd)
{
	struct {
		struct fiemap head;
		struct fiemap_extent extent[8];
	} map = { .head = { .fm_length = ~0ULL, .fm_extent_count = 8 } };
	unsigned int i;

	say(pad, "%s hole = %lld\n", name,
	    (long long)lseek(fd, 0, SEEK_HOLE));
	if (ioctl(fd, FS_IOC_FIEMAP, &map) < 0) {
		say(pad, "%s extents = %d\n", name, -errno);
		return;
	}
	for (i = 0; i < map.head.fm_mapped_extents; i++)
		say(pad, "%s extent = %llx+%llx at %llx\n", name,
		    (unsigned long long)map.extent[i].fe_logical,
		    (unsigned long long)map.extent[i].fe_length,
		    (unsigned long long)map.extent[i].fe_physical);
}

static void look_in_file(struct pad *pad, const char *path, const char *name,
			 __u64 size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), direct, i;
	__u64 pos;

	if (fd < 0) {
		say(pad, "%s open = %d\n", name, -errno);
		return;
	}
	look_extents(pad, name, fd);
	for (i = 0; i < MAX_PAGES && i * GRANULE < size; i += 4)
		look_at(pad, name, fd, i * GRANULE, true);
	for (i = 0; i < MAX_PAGES && i * GRANULE < size; i++)
		look_at(pad, name, fd, i * GRANULE, false);
	if (size > MAX_PAGES * GRANULE) {
		for (pos = 1 << 20; pos < size && pos < 1ULL << 62; pos <<= 6)
			look_at(pad, name, fd, pos, false);
		look_at(pad, name, fd, (size - 1) & -GRANULE, true);
		look_at(pad, name, fd, size / 2, false);
		look_at(pad, name, fd, (size - 1) & -GRANULE, false);
	}
	close(fd);

	direct = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
	if (direct < 0) {
		say(pad, "%s open direct = %d\n", name, -errno);
		return;
	}
	look_at(pad, name, direct, 0, false);
	close(direct);
}

static void look_at_attributes(struct pad *pad, const char *path,
			       const char *name)
{
	static char names[4096];
	ssize_t len = llistxattr(path, names, sizeof(names)), n;
	char *attr;

	say_bytes(pad, name, "attributes", 0, len, names);
	for (attr = names; len > 0 && attr < names + len;
	     attr += strlen(attr) + 1) {
		n = lgetxattr(path, attr, pad->buf, sizeof(pad->buf));
		say_bytes(pad, name, "attribute", attr - names, n, pad->buf);
	}
	/* One that is not there is looked for among all. */
	n = lgetxattr(path, "user.no", pad->buf, sizeof(pad->buf));
	say_bytes(pad, name, "no attribute", 0, n, pad->buf);
}

static void look(struct pad *pad, const char *path, const char *name,
		 int depth);

static void look_in_dir(struct pad *pad, const char *path, const char *name,
			int depth)
{
	DIR *dir = opendir(path);
	struct dirent *de;
	char sub[1024], *p;
	int nr = 0;

	if (!dir) {
		say(pad, "%s opendir = %d\n", name, -errno);
		return;
	}
	for (errno = 0; (de = readdir(dir)); errno = 0) {
		if (++nr > MAX_ENTRIES)
			break;
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		snprintf(sub, sizeof(sub), "%s/%s", path, de->d_name);
		/* Whatever a damaged directory has for names. */
		for (p = de->d_name; *p; p++)
			if (*p <= ' ' || *p > '~')
				*p = '?';
		de->d_name[20] = 0;
		say(pad, "%s entry = %s type %u\n", name, de->d_name,
		    de->d_type);
		look(pad, sub, de->d_name, depth + 1);
	}
	say(pad, "%s end = %d\n", name, nr > MAX_ENTRIES ? 0 : -errno);
	closedir(dir);
}

static void look(struct pad *pad, const char *path, const char *name,
		 int depth)
{
	struct stat st;

	if (lstat(path, &st) < 0) {
		say(pad, "%s stat = %d\n", name, -errno);
		return;
	}
	say(pad, "%s stat = %o size %lld links %lu owner %u blocks %lld\n",
	    name, st.st_mode, (long long)st.st_size,
	    (unsigned long)st.st_nlink, st.st_uid, (long long)st.st_blocks);
	/* The directory's many names are what it is there for. */
	if (depth < 2)
		look_at_attributes(pad, path, name);
	if (S_ISREG(st.st_mode) && (st.st_size || depth < 2))
		look_in_file(pad, path, name, st.st_size);
	if (S_ISLNK(st.st_mode))
		say_bytes(pad, name, "link", 0,
			  readlink(path, pad->buf, sizeof(pad->buf)),
			  pad->buf);
	if (S_ISDIR(st.st_mode) && depth < MAX_DEPTH)
		look_in_dir(pad, path, name, depth);
}

static long look_elsewhere(const struct visit *v, struct pad *pad)
{
	int fd = open(v->meanwhile, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	n = pread(fd, pad->buf, v->len, v->pos);
	if (n < 0)
		n = -errno;
	else if (n != (ssize_t)v->len || memcmp(pad->buf, v->expect, n))
		n = -EILSEQ;
	close(fd);
	return n < 0 ? n : 0;
}

static long visit(void *arg, struct cf_out *out)
{
	static struct pad pad;
	struct visit *v = arg;
	struct statfs sf;
	long ret = 0;

	pad.out = out;
	if (pipe(pad.pipe) < 0)
		return -errno;
	if (mount(v->source, v->dir, "erofs", MS_RDONLY, v->opts) < 0) {
		say(&pad, "mount = %d\n", -errno);
	} else {
		say(&pad, "mount = 0\n");
		if (!statfs(v->dir, &sf))
			say(&pad, "statfs = %llu blocks, %llu files\n",
			    (unsigned long long)sf.f_blocks,
			    (unsigned long long)sf.f_files);
		look(&pad, v->dir, "", 0);
	}
	if (v->len)
		ret = look_elsewhere(v, &pad);
	say(&pad, "umount = %d\n", umount2(v->dir, 0) < 0 ? -errno : 0);
	if (pad.len >= ROOM - 1)
		ret = ret ?: -ENOSPC;
	return ret;
}

int visit_start(struct cf_task *t, const struct visit *v)
{
	return cf_start(t, visit, (void *)v, ROOM);
}

/* May there be this instead of that?  Of errors, any that tells of damage. */
static bool as_good(const char *want, const char *have)
{
	long error = strtol(have, NULL, 10);

	if (!strcmp(want, have))
		return true;
	return *want == '-' && (error == -EIO || error == -EUCLEAN ||
				error == -EOPNOTSUPP);
}

/*
 * Compare line by line; 1 and a message if there is a difference, 2 if it is that
 * the image is said to be damaged where it could be read.
 */
int visit_differs(const struct cf_task *want, const struct cf_task *have)
{
	char *a = want->out->buf, *b = have->out->buf;

	while (*a || *b) {
		size_t na = strcspn(a, "\n"), nb = strcspn(b, "\n");
		char *ra, *rb;

		if (a[na])
			a[na++] = 0;
		if (b[nb])
			b[nb++] = 0;
		ra = strstr(a, " = ");
		rb = strstr(b, " = ");
		if (!ra || !rb || ra - a != rb - b || memcmp(a, b, ra - a) ||
		    !as_good(ra + 3, rb + 3)) {
			ksft_print_msg("'%.300s' and not '%.300s'\n", b, a);
			return rb && strtol(rb + 3, NULL, 10) == -EUCLEAN ? 2 : 1;
		}
		a += na;
		b += nb;
	}
	return 0;
}
