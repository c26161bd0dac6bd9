// SPDX-License-Identifier: GPL-2.0-or-later
/* cachefiles-ondemandctl: what it has the kernel do. */
#include <errno.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "ctl.h"

void ctl_error(const char *fmt, ...)
{
	va_list args;

	fputs("cachefiles-ondemandctl: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
}

static int get_features(int dev, uint64_t *features)
{
	int ret = cfod_features(dev, features);

	if (ret)
		ctl_error("%s: %s", CFOD_DEVICE, strerror(-ret));
	return ret ? -1 : 0;
}

int ctl_features(int dev, FILE *out)
{
	const char *name;
	unsigned int bit;
	uint64_t features;

	if (get_features(dev, &features))
		return -1;
	for (bit = 0; (name = cfod_feature_name(bit)); bit++)
		fprintf(out, "%-9s %s\n", name,
			features & 1ULL << bit ? "yes" : "no");
	return 0;
}

static int bind_cache(int dev, const char *dir, bool keep)
{
	const struct cfod_mode mode = { .keep = keep };
	enum cfod_step step;
	uint64_t features;
	int ret;

	if (get_features(dev, &features))
		return -1;
	if (!(features & CACHEFILES_FEATURE_KEEP)) {
		ctl_error("%s",
			  "this kernel cannot keep a cache without a daemon: it lacks the feature \"keep\"");
		return -1;
	}
	ret = cfod_bind_mode(dev, dir, NULL, &mode, &step);
	if (ret)
		ctl_error("%s: %s", dir,
			  cfod_explain(step, ret) ?: strerror(-ret));
	return ret ? -1 : 0;
}

int ctl_bind(int dev, const char *dir)
{
	return bind_cache(dev, dir, true);
}

int ctl_release(int dev, const char *dir)
{
	char store[4096];

	/* Binding it would make it one. */
	snprintf(store, sizeof(store), "%s/cache", dir);
	if (access(store, F_OK)) {
		ctl_error("%s: there is no cache in it", dir);
		return -1;
	}
	return bind_cache(dev, dir, false);
}
