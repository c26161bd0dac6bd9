// SPDX-License-Identifier: GPL-2.0
/*
 * Commands: good ones at the wrong time, garbled ones, and "cull" and "inuse" of
 * whatever is in the cache.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/uio.h>

#include "odfuzz.h"

#define LONGEST 131072

static bool given_up(struct fz_daemon *d)
{
	return __atomic_load_n(&d->shut, __ATOMIC_SEQ_CST);
}

static long fixed(struct fz_daemon *d, struct fz_worker *w)
{
	/* What each has to be answered with; 1: anything. */
	static const struct {
		const char	*text;
		int		error;
	} cmd[] = {
		{ "dir /tmp", EEXIST }, { "dir", EINVAL }, { "bind", 1 },
		{ "bind ondemand", 1 }, { "bind ondemand keep", 1 }, { "tag x", 1 },
		{ "tag", EINVAL }, { "", EOPNOTSUPP }, { "restore x", EINVAL },
		{ "restore ", 0 }, { "cread 1", EOPNOTSUPP }, { "\n", EINVAL },
		{ "brun 7%", 1 }, { "bcull x%", EINVAL }, { "bstop 101%", EINVAL },
		{ "frun", EINVAL }, { "fcull 5", EINVAL }, { "fstop 1%%", EINVAL },
		{ "debug 0", 1 }, { "debug", 1 }, { "secctx", EINVAL },
		{ "secctx nothing", 1 }, { "cull", 1 }, { "cull a/b", EINVAL },
		{ "cull .", 1 }, { "cull ..", 1 }, { "inuse", 1 },
		{ "inuse /", EINVAL }, { "inuse nothing", 1 }, { " restore", EOPNOTSUPP },
		{ "Restore", EOPNOTSUPP }, { "restore\nx", 0 }, { "copen\n", EINVAL },
		{ "inuse .", 1 },
	};
	int i = fz_below(w, FZ_NELEM(cmd));
	ssize_t ret = write(d->dev, cmd[i].text, strlen(cmd[i].text));

	if (ret < 0)
		ret = -errno;
	if (cmd[i].error != 1 && (cmd[i].error ? ret != -cmd[i].error : ret < 0) && !given_up(d))
		fz_fail("\"%s\": %zd", cmd[i].text, ret);
	return ret;
}

/* Any bytes, any length; "debug" would flood the log. */
static long noise(struct fz_daemon *d, struct fz_worker *w)
{
	static const char * const head[] = { "", "copen ", "cull ", "inuse ", "restore ", "tag " };
	size_t len = fz_below(w, fz_chance(w, 70) ? 100 : LONGEST), at;
	unsigned int kind = fz_below(w, 3);
	char *buf = malloc(LONGEST + 16);
	ssize_t ret;

	if (!buf)
		return -ENOMEM;
	snprintf(buf, LONGEST, "%s", head[fz_below(w, FZ_NELEM(head))]);
	for (at = strlen(buf); at < len; at++)
		buf[at] = kind == 0 ? fz_rand(w) : kind == 1 ? 'a' : '0' + fz_below(w, 10);
	if (fz_chance(w, 5))
		ret = write(d->dev, NULL, len);
	else
		ret = write(d->dev, buf, len);
	free(buf);
	return ret < 0 ? -errno : ret;
}

/* Each piece is a command. */
static long several(struct fz_daemon *d)
{
	struct iovec iov[3] = { { "restore", 7 }, { "inuse x", 7 }, { "copen 1,-5", 10 } };
	ssize_t ret = writev(d->dev, iov, 3);

	return ret < 0 ? -errno : ret;
}

long fz_command(struct fz_worker *w, void *ctx)
{
	switch (fz_below(w, 5)) {
	case 0:
		return noise(ctx, w);
	case 1:
		return several(ctx);
	default:
		return fixed(ctx, w);
	}
}

/* Everything is asked again; what was answered meanwhile is void. */
long fz_restore(struct fz_worker *w, void *ctx)
{
	struct fz_daemon *d = ctx;
	int ret = cf_cmd(d->dev, "restore");

	if (ret && !given_up(d))
		fz_fail("restore: %d", ret);
	return ret;
}

/* Any entry of a directory; false if there is none. */
static bool any_entry(struct fz_worker *w, const char *path, char *name, size_t size)
{
	struct dirent *de;
	unsigned int nr = 0;
	DIR *dir;

	dir = opendir(path);
	if (!dir)
		return false;
	while ((de = readdir(dir)))
		if (*de->d_name != '.' && !fz_below(w, ++nr))
			snprintf(name, size, "%s", de->d_name);
	closedir(dir);
	return nr;
}

/*
 * Something in the cache: mostly an object, at times a directory of them.  It is
 * in use or it goes, and whoever mounts it meanwhile has it anyway.
 */
long fz_cull(struct fz_worker *w, void *ctx)
{
	unsigned int depth = fz_chance(w, 90) ? 2 : fz_below(w, 2), i;
	bool cull = fz_chance(w, 60);
	struct fz_daemon *d = ctx;
	char path[1024], name[300];
	int ret;

	snprintf(path, sizeof(path), "%s/cache", fz->root[0]);
	for (i = 0; i < depth; i++) {
		size_t len = strlen(path);

		if (!any_entry(w, path, name, sizeof(name)))
			return -ENOENT;
		snprintf(path + len, sizeof(path) - len, "/%s", name);
	}
	if (!any_entry(w, path, name, sizeof(name)) || chdir(path) < 0)
		return -ENOENT;
	ret = cf_cmd(d->dev, "%s %s", cull ? "cull" : "inuse", name);
	if (!given_up(d)) {
		fz_result(cull ? "cull" : "inuse", ret);
		/* The other daemon removes nothing of this cache. */
		if (cull && d->elsewhere ? ret != -ESTALE :
		    ret && ret != -EBUSY && ret != -ESTALE && ret != -ENOENT)
			fz_fail("%s %s/%s: %d", cull ? "cull" : "inuse", path, name, ret);
	}
	if (chdir("/") < 0)
		return -errno;
	return ret;
}
