// SPDX-License-Identifier: GPL-2.0
/*
 * The source of test images: compressible, random, sparse, tiny and many
 * files, links, attributes; and the comparison of such a tree with another.
 */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "image.h"
#include "tree.h"

#define MANY	60
#define WHERE	4096

static int put(const char *dir, const char *name, const void *data, size_t len)
{
	char path[512];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return -errno;
	n = write(fd, data, len);
	close(fd);
	return n == (ssize_t)len ? 0 : -EIO;
}

/* Text of few words, which every algorithm makes much smaller. */
static void text(char *buf, size_t len, unsigned int seed)
{
	static const char * const word[] = {
		"granule", "request", "daemon ", "volume\n", "object ",
		"the    ", "a      ", "reader ",
	};
	size_t i;

	for (i = 0; i < len; i++) {
		if (i % 7 == 0)
			seed = seed * 1103515245 + 12345;
		buf[i] = word[(seed >> 16) % 8][i % 7];
	}
}

static int put_attributes(const char *dir)
{
	/* An ACL in its binary form: user::rw- user:1:r-- group::r-- mask::r-- other::r-- */
	static const unsigned char acl[] = {
		2, 0, 0, 0,
		1, 0, 6, 0, 0xff, 0xff, 0xff, 0xff,
		2, 0, 4, 0, 1, 0, 0, 0,
		4, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
		16, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
		32, 0, 4, 0, 0xff, 0xff, 0xff, 0xff,
	};
	char path[512], value[1000];
	int i;

	memset(value, 'v', sizeof(value));
	for (i = 0; i < 6; i++) {
		char name[32];

		snprintf(path, sizeof(path), "attr%d", i);
		put(dir, path, value, i * 300);
		snprintf(path, sizeof(path), "%s/attr%d", dir, i);
		snprintf(name, sizeof(name), "user.name%d", i % 2);
		/* Where the source cannot have it, there is less to test. */
		setxattr(path, "user.shared", "common", 6, 0);
		setxattr(path, name, value, 1 + i * 150, 0);
		setxattr(path, "trusted.one", "t", 1, 0);
		setxattr(path, "system.posix_acl_access", acl, sizeof(acl), 0);
	}
	return 0;
}

/* Some 600 KiB: debug kernels under emulation take their time. */
int tree_make(const char *root)
{
	static const size_t edge[] = { 0, 1, 100, 511, 512, 513, 4095, 4096,
				       4097, 8191, 12288, 65535, 65536 };
	static char buf[160 << 10];
	char path[512], name[64];
	unsigned int i;
	int ret = 0, fd;

	if (mkdir(root, 0755) < 0)
		return -errno;
	text(buf, sizeof(buf), 1);
	ret = ret ?: put(root, "text", buf, sizeof(buf));
	text(buf, 50000, 1);
	ret = ret ?: put(root, "text.again", buf, 50000);
	img_pattern(buf, sizeof(buf), 5);
	ret = ret ?: put(root, "random", buf, 90 << 10);
	/* By turns what can be compressed and what cannot. */
	for (i = 0; i < 8; i++)
		text(buf + i * 18000, 9000 + i * 100, i);
	ret = ret ?: put(root, "mixed", buf, 140001);
	memset(buf, 0, 50000);
	ret = ret ?: put(root, "zeros", buf, 50000);
	for (i = 0; i < sizeof(edge) / sizeof(*edge); i++) {
		snprintf(name, sizeof(name), "edge%zu", edge[i]);
		text(buf, edge[i], i + 50);
		ret = ret ?: put(root, name, buf, edge[i]);
	}

	snprintf(path, sizeof(path), "%s/sparse", root);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (fd < 0 || ftruncate(fd, 500000) < 0 ||
	    pwrite(fd, "begin", 5, 0) != 5 ||
	    pwrite(fd, "middle", 6, 200000) != 6 ||
	    pwrite(fd, "end", 3, 499000) != 3)
		return -EIO;
	close(fd);

	snprintf(path, sizeof(path), "%s/many", root);
	mkdir(path, 0750);
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "a.rather.long.name.of.file.%u",
			 i * 7919 % 1000);
		ret = ret ?: put(path, name, name, strlen(name));
	}
	for (i = 0; i < 6; i++) {
		strncat(path, "/deeper", sizeof(path) - strlen(path) - 1);
		mkdir(path, 0755);
		ret = ret ?: put(path, "leaf", buf, 3000 + i);
	}
	snprintf(path, sizeof(path), "%s/link", root);
	if (symlink("many/deeper/leaf", path) < 0)
		return -errno;
	/* As long as XFS has them. */
	memset(buf, 'l', 1023);
	buf[1023] = 0;
	snprintf(path, sizeof(path), "%s/long.link", root);
	if (symlink(buf, path) < 0)
		return -errno;
	return ret ?: put_attributes(root);
}

/* Pieces in order or at random; those that fail may be left out. */
static int same_reads(int fd, const char *expect, size_t size,
		      unsigned int how, unsigned int *seed)
{
	bool random = (how & TREE_HOW) == TREE_RANDOM;
	static char buf[30000];
	size_t done, n, i;
	ssize_t got;

	for (done = 0; done < size; done += n) {
		i = done;
		n = random ? 5000 : sizeof(buf);
		if (n > size - done)
			n = size - done;
		if (random) {
			*seed = *seed * 1103515245 + 12345;
			i = (*seed >> 4) % (size - n + 1);
		}
		got = pread(fd, buf, n, i);
		if (how & TREE_EIO && got < 0 && errno == EIO)
			continue;
		if (got < 0)
			return -errno;
		if (memcmp(buf, expect + i, got))
			return -EILSEQ;
		if (got < (ssize_t)n && !(how & TREE_EIO))
			return -EMSGSIZE;
	}
	return 0;
}

static int same_bytes(const char *want, const char *have, size_t size,
		      unsigned int how, unsigned int *seed)
{
	int a = open(want, O_RDONLY | O_CLOEXEC);
	int b = open(have, O_RDONLY | O_CLOEXEC);
	char *expect, *map, c;
	int ret = 0;

	if (a < 0 || b < 0)
		return -errno;
	if (!size) {
		ret = read(b, &c, 1) ? -EMSGSIZE : 0;
		goto out;
	}
	expect = mmap(NULL, size, PROT_READ, MAP_PRIVATE, a, 0);
	map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, b, 0);
	if (expect == MAP_FAILED || map == MAP_FAILED)
		return -errno;
	if ((how & TREE_HOW) != TREE_MMAP)
		ret = same_reads(b, expect, size, how, seed);
	else if (memcmp(map, expect, size))
		ret = -EILSEQ;
	munmap(expect, size);
	munmap(map, size);
out:
	close(a);
	close(b);
	return ret;
}

/* Each attribute of the one is one of the other, and has the same value. */
static int same_attributes(const char *want, const char *have)
{
	char names[2000], a[1200], b[1200], *name;
	ssize_t len, n, m;

	len = llistxattr(want, names, sizeof(names));
	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (name = names; name < names + len; name += strlen(name) + 1) {
		n = lgetxattr(want, name, a, sizeof(a));
		m = lgetxattr(have, name, b, sizeof(b));
		if (m < 0)
			return -errno;
		if (n != m || memcmp(a, b, n))
			return -EBADMSG;
	}
	return 0;
}

static int same(const char *want, const char *have, unsigned int how,
		unsigned int *seed, char *where);

static int same_directory(const char *want, const char *have, unsigned int how,
			  unsigned int *seed, char *where)
{
	char a[4096], b[4096];
	struct dirent *de;
	int ret = 0, n = 0;
	DIR *dir;

	dir = opendir(want);
	if (!dir)
		return -errno;
	while (!ret && (de = readdir(dir))) {
		n++;
		if (!strcmp(de->d_name, ".") || !strcmp(de->d_name, ".."))
			continue;
		snprintf(a, sizeof(a), "%s/%s", want, de->d_name);
		snprintf(b, sizeof(b), "%s/%s", have, de->d_name);
		ret = same(a, b, how, seed, where);
		if (ret == -EIO && how & TREE_EIO)
			ret = 0;
	}
	closedir(dir);
	if (ret)
		return ret;

	snprintf(where, WHERE, "%s", have);
	dir = opendir(have);
	if (!dir)
		return -errno;
	while (readdir(dir))
		n--;
	closedir(dir);
	return n && !(how & TREE_EIO) ? -ENOTEMPTY : 0;
}

static int same(const char *want, const char *have, unsigned int how,
		unsigned int *seed, char *where)
{
	char a[4096], b[4096];
	struct stat sa, sb;
	int ret, n;

	snprintf(where, WHERE, "%s", have);
	if (lstat(want, &sa) < 0 || lstat(have, &sb) < 0)
		return -errno;
	if (sa.st_mode != sb.st_mode || sa.st_uid != sb.st_uid)
		return -EPERM;
	if (S_ISDIR(sa.st_mode))
		return same_directory(want, have, how, seed, where);
	if (S_ISLNK(sa.st_mode)) {
		n = readlink(want, a, sizeof(a));
		ret = readlink(have, b, sizeof(b));
		if (ret != n)
			return ret < 0 ? -errno : -EMSGSIZE;
		return memcmp(a, b, n) ? -EILSEQ : 0;
	}
	if (sa.st_size != sb.st_size)
		return -EMSGSIZE;
	ret = same_bytes(want, have, sa.st_size, how, seed);
	if (!ret && !(how & TREE_NO_XATTRS))
		ret = same_attributes(want, have);
	return ret;
}

struct arg {
	char		want[256];
	char		have[256];
	unsigned int	how;
};

static long compare(void *p, struct cf_out *out)
{
	struct arg *arg = p;
	unsigned int seed = 1;

	return same(arg->want, arg->have, arg->how, &seed, out->buf);
}

int tree_compare(struct cf_task *t, const char *want, const char *have,
		 unsigned int how)
{
	struct arg arg = { .how = how };

	snprintf(arg.want, sizeof(arg.want), "%s", want);
	snprintf(arg.have, sizeof(arg.have), "%s", have);
	return cf_start(t, compare, &arg, WHERE);
}
