// SPDX-License-Identifier: GPL-2.0-or-later
/* The space that the cache may use: its limits, how full it is, culling. */
#include <errno.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"

static int set_limit(int dev, char kind, const char *limit, unsigned int value)
{
	char name[8], arg[16];

	snprintf(name, sizeof(name), "%c%s", kind, limit);
	snprintf(arg, sizeof(arg), "%u%%", value);
	return cfod_command(dev, name, arg);
}

/*
 * The kernel refuses a limit that is out of order with those that are set so
 * far, whatever these are: make room for "cull" first.
 */
static int set_limits(int dev, char kind, unsigned int run, unsigned int cull,
		      unsigned int stop)
{
	return set_limit(dev, kind, "run", 99) ?:
	       set_limit(dev, kind, "stop", 0) ?:
	       set_limit(dev, kind, "cull", cull) ?:
	       set_limit(dev, kind, "stop", stop) ?:
	       set_limit(dev, kind, "run", run);
}

int cfod_limits(int dev, unsigned int run, unsigned int cull, unsigned int stop)
{
	if (stop >= cull || cull >= run || run >= 100)
		return -ERANGE;
	return set_limits(dev, 'b', run, cull, stop) ?:
	       set_limits(dev, 'f', run, cull, stop);
}

int cfod_space(int dev, struct cachefiles_space *space)
{
	return ioctl(dev, CACHEFILES_IOC_SPACE, space) ? -errno : 0;
}

static int command_in(int dev, int dir, const char *command, const char *name)
{
	return fchdir(dir) ? -errno : cfod_command(dev, command, name);
}

int cfod_cull(int dev, int dir, const char *name)
{
	return command_in(dev, dir, "cull", name);
}

int cfod_inuse(int dev, int dir, const char *name)
{
	return command_in(dev, dir, "inuse", name);
}
