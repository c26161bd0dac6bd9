/* SPDX-License-Identifier: GPL-2.0-or-later */
/* cachefiles-ondemandctl: its commands. */
#ifndef CTL_H
#define CTL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/**
 * struct verb - a command, for the parser, --help and the man page
 * @name: what is typed
 * @arg: name of its argument, or NULL
 * @text: what it does
 */
struct verb {
	const char *name;
	const char *arg;
	const char *text;
};

/* Where they are in the table. */
enum {
	VERB_FEATURES,
	VERB_BIND,
	VERB_RELEASE,
	VERB_STATUS,
	VERB_HELP,
	VERB_VERSION,
	VERB_COUNT
};

extern const struct verb verb_table[VERB_COUNT];

/* Print what the kernel has.  The three return 0, or -1 after a message. */
int ctl_features(int dev, FILE *out);

/* Make @dir a cache that stays when the device is closed. */
int ctl_bind(int dev, const char *dir);

/* Have such a cache end when the device is closed. */
int ctl_release(int dev, const char *dir);

/* Print what is in /proc/fs/fscache/ondemand for people. */
void ctl_status(FILE *in, FILE *out);

/* One line on stderr, with the program's name in front. */
__attribute((format(printf, 1, 2))) void ctl_error(const char *fmt, ...);

#endif
