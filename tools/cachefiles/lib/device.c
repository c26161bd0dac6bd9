// SPDX-License-Identifier: GPL-2.0-or-later
/* Getting a cache: open the device, send it commands, bind, and explain. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"

/* The kernel takes at most a page less one byte; no page is smaller. */
#define COMMAND_MAX 4095

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

int cfod_open(const char *path)
{
	int fd = open(path ? path : CFOD_DEVICE,
		      O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

int cfod_command(int dev, const char *name, const char *arg)
{
	char line[COMMAND_MAX + 1];
	ssize_t done;
	int len;

	/* The kernel would cut or skip these without a word. */
	if (!*name || strpbrk(name, " \t\n\v\f\r"))
		return -EINVAL;
	if (arg && (!*arg || strchr(" \t\v\f\r", *arg) || strchr(arg, '\n')))
		return -EINVAL;

	len = snprintf(line, sizeof(line), "%s%s%s", name, arg ? " " : "",
		       arg ? arg : "");
	if (len > COMMAND_MAX)
		return -ENAMETOOLONG;
	do {
		done = write(dev, line, len);
	} while (done < 0 && errno == EINTR);
	if (done < 0)
		return -errno;
	return done == len ? 0 : -EIO;
}

int cfod_features(int dev, uint64_t *features)
{
	*features = 0;
	if (ioctl(dev, CACHEFILES_IOC_FEATURES, features) && errno != ENOTTY)
		return -errno;
	return 0;
}

const char *cfod_feature_name(unsigned int bit)
{
	static const char * const names[] = {
		"read-fail", "park", "keep", "full", "space",
	};

	return bit < ARRAY_SIZE(names) ? names[bit] : NULL;
}

int cfod_bind(int dev, const char *dir, const char *tag,
	      enum cfod_step *failed)
{
	return cfod_bind_mode(dev, dir, tag, &(struct cfod_mode){ 0 }, failed);
}

int cfod_bind_mode(int dev, const char *dir, const char *tag,
		   const struct cfod_mode *mode, enum cfod_step *failed)
{
	enum cfod_step step = CFOD_STEP_DIR;
	char park[32] = "", bind[64];
	int ret;

	if (mode->park)
		snprintf(park, sizeof(park), " park=%u", mode->park);
	snprintf(bind, sizeof(bind), "ondemand%s%s%s", park,
		 mode->keep ? " keep" : "", mode->full ? " full" : "");

	ret = cfod_command(dev, "dir", dir);
	if (!ret && tag) {
		step = CFOD_STEP_TAG;
		ret = cfod_command(dev, "tag", tag);
	}
	if (!ret) {
		step = CFOD_STEP_BIND;
		ret = cfod_command(dev, "bind", bind);
	}
	if (ret && failed)
		*failed = step;
	return ret;
}

int cfod_restore(int dev)
{
	return cfod_command(dev, "restore", NULL);
}

static const struct {
	enum cfod_step step;
	int error;
	const char *text;
} explanations[] = {
	{
		CFOD_STEP_OPEN, EPERM,
		"needs CAP_SYS_ADMIN: run as root",
	},
	{
		CFOD_STEP_OPEN, EACCES,
		"no permission to open the device: run as root",
	},
	{
		CFOD_STEP_OPEN, EBUSY,
		"another daemon has the device open (cachefilesd?): stop that one first",
	},
	{
		CFOD_STEP_OPEN, ENOENT,
		"no such device: load the module (modprobe cachefiles), or build the kernel with CONFIG_CACHEFILES and CONFIG_CACHEFILES_ONDEMAND",
	},
	{
		CFOD_STEP_OPEN, ENXIO,
		"no driver for the device: load the module (modprobe cachefiles), or build the kernel with CONFIG_CACHEFILES and CONFIG_CACHEFILES_ONDEMAND",
	},
	{
		CFOD_STEP_OPEN, ENODEV,
		"no driver for the device: load the module (modprobe cachefiles), or build the kernel with CONFIG_CACHEFILES and CONFIG_CACHEFILES_ONDEMAND",
	},
	{
		CFOD_STEP_LIMITS, ERANGE,
		"wanted: 0 <= STOP < CULL < RUN < 100",
	},
	{
		CFOD_STEP_DIR, EEXIST,
		"the device has a cache directory already",
	},
	{
		CFOD_STEP_DIR, EINVAL,
		"the kernel cannot take this path (empty, a line break, or a blank in front)",
	},
	{
		CFOD_STEP_DIR, ENAMETOOLONG,
		"the path is too long for the kernel",
	},
	{
		CFOD_STEP_BIND, EINVAL,
		"this kernel is built without CONFIG_CACHEFILES_ONDEMAND (or the directory is on an id-mapped mount, which cachefiles does not support)",
	},
	{
		CFOD_STEP_BIND, EROFS,
		"the directory is on a read-only file system",
	},
	{
		CFOD_STEP_BIND, EOPNOTSUPP,
		"the directory's file system cannot hold a cache: it lacks extended attributes or O_TMPFILE, or its blocks are larger than a page (use ext4 or xfs)",
	},
	{
		CFOD_STEP_BIND, EBUSY,
		"the directory is in use as a cache already",
	},
	{
		CFOD_STEP_BIND, EEXIST,
		"a cache with this tag exists already",
	},
	{
		CFOD_STEP_BIND, ENOENT,
		"no such directory",
	},
	{
		CFOD_STEP_BIND, ENOTDIR,
		"not a directory",
	},
	{
		CFOD_STEP_BIND, ENOSPC,
		"the directory's file system is full",
	},
	{
		CFOD_STEP_BIND, ENOBUFS,
		"the directory's file system has less free space than the cache has to leave",
	},
	{
		CFOD_STEP_BIND, EACCES,
		"a security policy keeps the kernel from working in the directory",
	},
	{
		CFOD_STEP_BIND, EPERM,
		"the kernel may not work in the directory, or its file system lacks extended attributes",
	},
};

const char *cfod_explain(enum cfod_step step, int error)
{
	size_t i;

	for (i = 0; i < ARRAY_SIZE(explanations); i++)
		if (explanations[i].step == step &&
		    explanations[i].error == -error)
			return explanations[i].text;
	return NULL;
}
