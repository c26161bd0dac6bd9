// SPDX-License-Identifier: GPL-2.0-or-later
/* How the daemon gets its cache. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "cachefiles_ondemand.h"

/* Does the kernel have what an option asks for, or may it be left out? */
static bool may_use(const char *option, bool *wanted, bool has, bool optional)
{
	if (!*wanted || has)
		return true;
	*wanted = false;
	if (optional)
		log_warning("--%s: this kernel does not have it: going without",
			    option);
	else
		log_error("--%s: this kernel does not have it; leave it out, or add --optional",
			  option);
	return optional;
}

static const char *reason(enum cfod_step step, int error)
{
	return cfod_explain(step, error) ?: strerror(-error);
}

int cache_bind(int dev, const char *dir, const struct options *options,
	       uint64_t *features)
{
	bool park = options->park, keep = options->keep;
	enum cfod_step step = CFOD_STEP_LIMITS;
	struct cfod_mode mode;
	int ret;

	ret = cfod_features(dev, features);
	if (ret) {
		log_error("%s: %s", CFOD_DEVICE, strerror(-ret));
		return -1;
	}
	if (!may_use("park", &park, *features & CACHEFILES_FEATURE_PARK,
		     options->optional) ||
	    !may_use("keep", &keep, *features & CACHEFILES_FEATURE_KEEP,
		     options->optional))
		return -1;
	mode = (struct cfod_mode){
		.park = park ? options->park : 0,
		.keep = keep,
		.full = *features & CACHEFILES_FEATURE_FULL,
	};

	ret = options->run ? cfod_limits(dev, options->run, options->cull,
					 options->stop) : 0;
	if (ret) {
		log_error("--limits %u,%u,%u: %s", options->run, options->cull,
			  options->stop, reason(step, ret));
		return -1;
	}
	ret = cfod_bind_mode(dev, dir, options->tag, &mode, &step);
	if (ret) {
		log_error("--%s %s: %s", step == CFOD_STEP_TAG ? "tag" : "cache",
			  step == CFOD_STEP_TAG ? options->tag : dir,
			  reason(step, ret));
		return -1;
	}
	return 0;
}

int cache_get(const struct options *options, uint64_t *features, char **dir)
{
	int dev;

	*dir = realpath(options->cache, NULL);
	if (!*dir) {
		log_error("--cache %s: %s", options->cache, strerror(errno));
		return -1;
	}
	dev = cfod_open(NULL);
	if (dev < 0) {
		log_error("%s: %s", CFOD_DEVICE, reason(CFOD_STEP_OPEN, dev));
	} else if (cache_bind(dev, *dir, options, features)) {
		close(dev);
		dev = -1;
	}
	if (dev < 0)
		free(*dir);
	return dev < 0 ? -1 : dev;
}
