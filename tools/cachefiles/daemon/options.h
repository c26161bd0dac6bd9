/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The daemon's command line. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "log.h"

/**
 * struct options - what the command line said
 * @cache: directory of the cache
 * @source: where blobs come from
 * @tag: name of the cache, or NULL
 * @ca_file: certificates to trust instead of the system's, or NULL
 * @threads: 0: the source's default
 * @connections: most requests to a server at a time
 * @fetch_size: bytes; 0: just what is asked for
 * @timeout: seconds
 * @retries: per request
 * @run: percentage of space: stop culling above it; 0: the kernel's limits
 * @cull: begin culling below
 * @stop: fill nothing below
 * @park: seconds; 0: not at all
 * @keep: keep the cache at the end
 * @optional: --park and --keep may be left out
 * @log_level: what is logged
 * @help: --help was given
 * @version: --version was given
 */
struct options {
	const char *cache;
	const char *source;
	const char *tag;
	const char *ca_file;
	unsigned int threads;
	unsigned int connections;
	uint64_t fetch_size;
	unsigned int timeout;
	unsigned int retries;
	unsigned int run;
	unsigned int cull;
	unsigned int stop;
	unsigned int park;
	bool keep;
	bool optional;
	enum log_level log_level;
	bool help;
	bool version;
};

/**
 * struct option_desc - one option, for the parser, --help and the man page
 * @name: without its dashes
 * @arg: name of its argument, or NULL
 * @set: take @value in; false if it is not a valid one
 * @wanted: what a valid argument is
 * @text: what it does
 */
struct option_desc {
	const char *name;
	const char *arg;
	bool (*set)(struct options *options, const char *value);
	const char *wanted;
	const char *text;
};

extern const struct option_desc option_table[];
extern const size_t option_count;

/**
 * options_parse - understand the command line
 * @options: set, with defaults for what was not given
 * @argv: the command line
 * @argc: its length
 *
 * Return: false after a message on stderr.
 */
bool options_parse(struct options *options, int argc, char **argv);

/* Print how the program is used. */
void options_help(FILE *out);

#endif
