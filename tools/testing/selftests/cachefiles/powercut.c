// SPDX-License-Identifier: GPL-2.0
/*
 * A cache whose machine loses its power.  Not a test by itself: somebody cuts
 * the power while "load" runs, starts the machine again and runs "check" with
 * what "load" had said.
 *
 *	powercut load ROOT ROUND SEED
 *	powercut zero ROOT ROUND CLAIMS
 *	powercut alone ROOT ROUND CLAIMS
 *	powercut check ROOT ROUND CLAIMS
 *
 * "load" is a daemon, its readers and an administrator in one, on the blobs of
 * the round: it fills at random, reads, mounts and unmounts.  The line
 * "power-cut" says that all this is under way.  A line "safe BLOB FIRST LAST ."
 * says of these granules that they must be there after a power cut: the cache
 * file says that they are present, and has been fsynced after it was asked.  A
 * line "complete BLOB ." says that it needs no daemon after a power cut.
 *
 * "zero" has the file system put zeros where the cache files have holes, which
 * it may.  "alone" has no daemon: what can be mounted must be right, and what is
 * complete in CLAIMS must be mounted.
 *
 * "check" is an honest daemon on the same blobs.  Every byte must be right, and
 * nothing that is in CLAIMS may be asked for.  The blobs are culled in the end.
 */
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "cachefile.h"
#include "powercut.h"

#define FILE_SIZE	(6 << 20)
#define SMALL_SIZE	(300 << 10)

struct cf_env env = { .dev = -1 };
struct blob blobs[BLOBS];
struct od_server srv;

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("wrong: ");
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

/* The same content whenever the machine is up: it depends on the name alone. */
static void make_blob(struct blob *b, int round, int i)
{
	__u64 size = i < SMALL ? SMALL_SIZE : FILE_SIZE;
	int ret;

	snprintf(b->name, sizeof(b->name), "round%d.%d", round, i);
	/* Half of them end inside a granule. */
	ret = img_begin(&b->img, i % 2 ? 9 : 12);
	if (ret)
		die("no memory for %s", b->name);
	img_add(&b->img, size - 512 * i);
	img_pattern(b->img.data + b->img.file[0].pos, b->img.file[0].size,
		    1000 * round + i + 1);
	img_end(&b->img);
	b->nr = granules(b->img.size);
	b->safe = calloc(b->nr, sizeof(*b->safe));
	b->present = calloc(b->nr, sizeof(*b->present));
	b->filled_ms = calloc(b->nr, sizeof(*b->filled_ms));
	b->quiet = i % 3 == 2;
}

struct blob *blob_of(const struct od_object *o)
{
	return &blobs[o->blob - srv.blob];
}

static void begin(const char *root, int round)
{
	int i;

	snprintf(env.root, sizeof(env.root), "%s", root);
	snprintf(env.tmp, sizeof(env.tmp), "/tmp/powercut.XXXXXX");
	mkdir(root, 0755);
	if (!mkdtemp(env.tmp))
		die("no directory for mounts: %s", strerror(errno));
	for (i = 0; i < BLOBS; i++)
		make_blob(&blobs[i], round, i);
}

static void bind_cache(const char *how)
{
	int ret = cf_bind(&env, how);

	if (ret)
		die("bind: %s", strerror(-ret));
}

static void serve(const struct od_ops *ops)
{
	int i;

	bind_cache("ondemand");
	od_init(&srv, env.dev);
	srv.ops = ops;
	for (i = 0; i < BLOBS; i++)
		od_add(&srv, blobs[i].name, blobs[i].img.data, blobs[i].img.size);
	if (od_run(&srv, 2))
		die("no threads");
}

static int try_mount(struct blob *b)
{
	char path[256], opts[64];

	snprintf(path, sizeof(path), "%s/%s", env.tmp, b->name);
	snprintf(opts, sizeof(opts), "fsid=%s", b->name);
	mkdir(path, 0755);
	if (mount("none", path, "erofs", MS_RDONLY, opts) < 0)
		return -errno;
	b->mounted = true;
	return 0;
}

void mount_blob(struct blob *b)
{
	int ret = try_mount(b);

	if (ret)
		die("mount of %s: %s", b->name, strerror(-ret));
}

/* False if somebody is just reading. */
bool umount_blob(struct blob *b)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", env.tmp, b->name);
	if (umount(path) < 0) {
		if (errno != EBUSY)
			die("umount of %s: %s", b->name, strerror(errno));
		return false;
	}
	b->mounted = false;
	return true;
}

/* Returns false if the blob is not mounted. */
bool read_and_compare(struct blob *b, __u64 off, __u64 len)
{
	struct img_file *f = &b->img.file[0];
	char path[256], buf[PIECE];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s/f00", env.tmp, b->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (len > f->size - off)
		len = f->size - off;
	for (; len; off += n, len -= n) {
		n = pread(fd, buf, len < PIECE ? len : PIECE, off);
		if (n <= 0)
			die("reading %s at %llu: %s", b->name,
			    (unsigned long long)off, strerror(errno));
		if (memcmp(buf, b->img.data + f->pos + off, n))
			die("bytes of %s at %llu", b->name,
			    (unsigned long long)off);
	}
	close(fd);
	return true;
}

/* Open the cache file and see what is present in it. */
int look(struct blob *b)
{
	int fd = cachefile_open(env.root, b->name, O_RDONLY);

	if (fd < 0 || cachefile_map(fd, b->img.size, b->present) < 0)
		die("the cache file of %s", b->name);
	return fd;
}

static int fill_if_unclaimed(struct od_server *s, struct od_object *o,
			     __u64 off, __u64 len)
{
	struct blob *b = blob_of(o);
	__u64 i;

	for (i = off / GRANULE; i < granules(off + len); i++)
		if (b->safe[i])
			die("granule %llu of %s was safe and is asked for",
			    (unsigned long long)i, b->name);
	b->asked += granules(len);
	return od_fill(s, o, off, len);
}

static const struct od_ops check_ops = { od_open, fill_if_unclaimed, od_reply };

static void read_claims(const char *path)
{
	unsigned long long first, last;
	char line[128], name[24], dot;
	FILE *f = fopen(path, "r");
	int i;

	if (!f)
		die("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "complete %23s %c", name, &dot) == 2 && dot == '.') {
			for (i = 0; i < BLOBS; i++)
				blobs[i].complete |= !strcmp(name, blobs[i].name);
			continue;
		}
		if (sscanf(line, "safe %23s %llu %llu %c", name, &first, &last,
			   &dot) != 4 || dot != '.')
			continue;
		for (i = 0; i < BLOBS; i++) {
			struct blob *b = &blobs[i];

			if (strcmp(name, b->name))
				continue;
			for (; first <= last && first < b->nr; first++)
				b->safe[first] = true;
		}
	}
	fclose(f);
}

/* Zeros for each hole of a cache file. */
static void zero_holes(struct blob *b)
{
	static const char zeros[PIECE];
	int fd = cachefile_open(env.root, b->name, O_RDWR);
	off_t at = 0, end;
	ssize_t n;

	if (fd == -ENOENT)
		return;
	if (fd < 0)
		die("the cache file of %s: %s", b->name, strerror(-fd));
	while ((at = lseek(fd, at, SEEK_HOLE)) >= 0 && at < lseek(fd, 0, SEEK_END)) {
		end = lseek(fd, at, SEEK_DATA);
		if (end < 0)
			end = lseek(fd, 0, SEEK_END);
		for (; at < end; at += n) {
			n = pwrite(fd, zeros, end - at < PIECE ? end - at : PIECE, at);
			if (n <= 0)
				die("zeros for %s: %s", b->name, strerror(errno));
		}
	}
	if (fsync(fd) < 0)
		die("fsync of %s: %s", b->name, strerror(errno));
	close(fd);
}

static void zero(void)
{
	int i;

	for (i = 0; i < BLOBS; i++)
		zero_holes(&blobs[i]);
}

static void alone(void)
{
	int i, ret, claimed = 0, complete = 0;

	bind_cache("ondemand keep");
	cf_dev_close(&env);
	for (i = 0; i < BLOBS; i++) {
		struct blob *b = &blobs[i];

		ret = try_mount(b);
		claimed += b->complete;
		if (ret == -ENOTCONN && !b->complete)
			continue;
		if (ret)
			die("mount of %s without a daemon: %s", b->name, strerror(-ret));
		if (!read_and_compare(b, 0, b->img.file[0].size))
			die("%s cannot be opened", b->name);
		if (!umount_blob(b))
			die("%s stays in use", b->name);
		complete++;
	}
	printf("without a daemon: %d of %d were complete, %d known to be\n", complete, BLOBS,
	       claimed);
	fflush(stdout);
}

static void check(void)
{
	__u64 safe = 0, asked = 0, nr = 0, g;
	int i;

	for (i = 0; i < BLOBS; i++) {
		struct blob *b = &blobs[i];
		__u64 first = b->img.file[0].pos / GRANULE;

		mount_blob(b);
		if (!read_and_compare(b, 0, b->img.file[0].size))
			die("%s cannot be opened", b->name);
		if (!umount_blob(b) ||
		    cachefile_wait_closed(env.dev, env.root, b->name))
			die("%s stays in use", b->name);
		for (g = first; g < b->nr; g++)
			safe += b->safe[g];
		close(look(b));
		for (g = first; g < b->nr; g++)
			if (!b->present[g])
				die("granule %llu of %s is lost again",
				    (unsigned long long)g, b->name);
		asked += b->asked;
		nr += b->nr - first;
		if (cachefile_cull(env.dev, env.root, b->name))
			die("%s cannot be culled", b->name);
	}
	if (od_stop(&srv))
		die("%s", srv.error);
	printf("checked: of %llu granules %llu were known to be safe, %llu were asked for\n",
	       (unsigned long long)nr, (unsigned long long)safe,
	       (unsigned long long)asked);
	fflush(stdout);
}

int main(int argc, char **argv)
{
	const char *what = argc == 5 ? argv[1] : "";

	if (strcmp(what, "load") && strcmp(what, "zero") && strcmp(what, "alone") &&
	    strcmp(what, "check")) {
		fprintf(stderr, "usage: powercut load ROOT ROUND SEED\n"
				"       powercut zero|alone|check ROOT ROUND CLAIMS\n");
		return 2;
	}
	begin(argv[2], atoi(argv[3]));
	if (!strcmp(what, "load")) {
		serve(&load_ops);
		load(strtoul(argv[4], NULL, 0));
	}
	read_claims(argv[4]);
	if (!strcmp(what, "zero")) {
		zero();
	} else if (!strcmp(what, "alone")) {
		alone();
	} else {
		serve(&check_ops);
		check();
	}
	return 0;
}
