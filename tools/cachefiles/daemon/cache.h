/* SPDX-License-Identifier: GPL-2.0-or-later */
/* How the daemon gets its cache. */
#ifndef CACHE_H
#define CACHE_H

#include "options.h"

/**
 * cache_bind - make a directory the device's cache, as the options say
 * @dev: the device
 * @dir: the directory, by an absolute path
 * @options: the command line's
 * @features: set to what the kernel has
 *
 * Return: 0, or -1 after a message in the log.
 */
int cache_bind(int dev, const char *dir, const struct options *options,
	       uint64_t *features);

/**
 * cache_get - open the device and bind the cache
 * @options: the command line's
 * @features: set to what the kernel has
 * @dir: set to the cache's directory, to be freed
 *
 * Return: the device, or -1 after a message in the log.
 */
int cache_get(const struct options *options, uint64_t *features, char **dir);

#endif
