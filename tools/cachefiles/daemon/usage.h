/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What --help prints, for the daemon and for cachefiles-ondemandctl. */
#ifndef USAGE_H
#define USAGE_H

#include <stdio.h>

/**
 * usage_item - print an option or a command, and what it does
 * @out: where to
 * @prefix: "--" for an option, else ""
 * @name: its name
 * @arg: its argument, or NULL
 * @text: what it does; broken into lines
 */
void usage_item(FILE *out, const char *prefix, const char *name,
		const char *arg, const char *text);

#endif
