// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The daemon's command line.  The table below is all there is to an option: it
 * makes the parser, --help, and the OPTIONS of the man page (optdoc.c).
 */
#include <getopt.h>
#include <string.h>
#include <strings.h>

#include "options.h"
#include "usage.h"

#define BLOCK 4096
#define FETCH_SIZE_MAX (1024ull * 1024 * 1024)
#define NUMBER_MAX 100000
/* The kernel's. */
#define PARK_MAX 86400

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Decimal digits only; strtoul() would take blanks, signs and more. */
static const char *digits(const char *s, uint64_t *value)
{
	const char *start = s;

	for (*value = 0; *s >= '0' && *s <= '9'; s++) {
		*value = *value * 10 + (*s - '0');
		if (*value > FETCH_SIZE_MAX)
			return NULL;
	}
	return s == start ? NULL : s;
}

static bool number(const char *s, unsigned int min, unsigned int max,
		   unsigned int *value)
{
	uint64_t n;

	s = digits(s, &n);
	if (!s || *s || n < min || n > max)
		return false;
	*value = n;
	return true;
}

static bool set_cache(struct options *options, const char *value)
{
	options->cache = value;
	return *value;
}

static bool set_source(struct options *options, const char *value)
{
	options->source = value;
	return *value;
}

static bool set_threads(struct options *options, const char *value)
{
	return number(value, 1, 256, &options->threads);
}

static bool set_connections(struct options *options, const char *value)
{
	return number(value, 1, 1024, &options->connections);
}

static bool set_fetch_size(struct options *options, const char *value)
{
	uint64_t n;
	const char *s = digits(value, &n);

	if (!s)
		return false;
	if (!strcasecmp(s, "K"))
		n <<= 10;
	else if (!strcasecmp(s, "M"))
		n <<= 20;
	else if (*s)
		return false;
	options->fetch_size = n;
	return n <= FETCH_SIZE_MAX && n % BLOCK == 0;
}

static bool set_timeout(struct options *options, const char *value)
{
	return number(value, 1, NUMBER_MAX, &options->timeout);
}

static bool set_retries(struct options *options, const char *value)
{
	return number(value, 0, NUMBER_MAX, &options->retries);
}

static bool set_ca_file(struct options *options, const char *value)
{
	options->ca_file = value;
	return *value;
}

static bool set_tag(struct options *options, const char *value)
{
	options->tag = value;
	return *value;
}

static bool set_park(struct options *options, const char *value)
{
	return number(value, 1, PARK_MAX, &options->park);
}

static bool set_keep(struct options *options, const char *value)
{
	(void)value;
	options->keep = true;
	return true;
}

static bool set_optional(struct options *options, const char *value)
{
	(void)value;
	options->optional = true;
	return true;
}

static bool set_limits(struct options *options, const char *value)
{
	uint64_t limits[3];
	int i;

	for (i = 0; i < 3; i++) {
		value = digits(value, &limits[i]);
		if (!value || *value++ != ",,"[i])
			return false;
	}
	options->run = limits[0];
	options->cull = limits[1];
	options->stop = limits[2];
	return limits[2] < limits[1] && limits[1] < limits[0] &&
	       limits[0] < 100;
}

static bool set_log_level(struct options *options, const char *value)
{
	static const struct {
		const char *name;
		enum log_level level;
	} levels[] = {
		{ "error", LOG_LEVEL_ERROR },
		{ "warning", LOG_LEVEL_WARNING },
		{ "info", LOG_LEVEL_INFO },
		{ "debug", LOG_LEVEL_DEBUG },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(levels); i++)
		if (!strcmp(value, levels[i].name)) {
			options->log_level = levels[i].level;
			return true;
		}
	return false;
}

static bool set_help(struct options *options, const char *value)
{
	(void)value;
	options->help = true;
	return true;
}

static bool set_version(struct options *options, const char *value)
{
	(void)value;
	options->version = true;
	return true;
}

const struct option_desc option_table[] = {
	{
		"cache", "DIR", set_cache, "a directory",
		"Keep what was fetched below this directory. Its file system has to have extended attributes and O_TMPFILE, as ext4 and xfs do. Required.",
	},
	{
		"source", "DIR|URL", set_source, "a directory or a URL",
		"Where blobs come from: files of a directory, or an http:// or https:// URL below which each blob lies under its name. A server has to do range requests. Required.",
	},
	{
		"threads", "N", set_threads, "a number from 1 to 256",
		"Serve requests in N threads. From a directory, as many requests are served at a time; from a URL, threads only spread the work over CPUs. Default: 8 for a directory, 2 for a URL.",
	},
	{
		"connections", "N", set_connections, "a number from 1 to 1024",
		"Have at most N requests to a URL's server under way; more wait in the kernel. Default: 64.",
	},
	{
		"fetch-size", "SIZE", set_fetch_size,
		"a multiple of 4096 up to 1024M, such as 65536, 64K or 1M",
		"Fetch whole units of SIZE bytes (K and M are understood), aligned, around what is asked for. 0: fetch just what is asked for. Default: 0.",
	},
	{
		"timeout", "SECONDS", set_timeout, "a number of seconds from 1",
		"Give a request up, and fail the mount or the read, after this time, retries included; it begins anew for a fill that is tried again after an eviction. For a URL only: how long a directory takes is up to its file system. Default: 60.",
	},
	{
		"retries", "N", set_retries, "a number",
		"Try a request to a server that failed up to N times more, unless the failure is final (no such blob, access denied); pauses grow from 0.2 to 5 seconds. Default: 5.",
	},
	{
		"ca-file", "FILE", set_ca_file, "a file",
		"Trust the certificates (PEM) in FILE instead of the system's.",
	},
	{
		"tag", "NAME", set_tag, "a name",
		"Name of the cache. Default: the kernel's, CacheFiles.",
	},
	{
		"limits", "RUN,CULL,STOP", set_limits,
		"three percentages, 0 <= STOP < CULL < RUN < 100, such as 7,5,1",
		"When less than CULL percent of the cache's file system are free, blocks or files, remove blobs from the cache that are not in use, those not used for longest first, until RUN percent are; when less than STOP percent are, nothing is filled. Default: the kernel's, 7,5,1.",
	},
	{
		"park", "SECONDS", set_park, "a number of seconds from 1 to 86400",
		"When the daemon ends, however it does, have requests wait so long for the next one instead of failing at once.",
	},
	{
		"keep", NULL, set_keep, NULL,
		"When the daemon ends, keep the cache in the kernel: images that are complete can still be mounted. See cachefiles-ondemandctl(8) for its end.",
	},
	{
		"optional", NULL, set_optional, NULL,
		"Do without --park and --keep, with a warning, if the kernel does not have them. Default: do not start then.",
	},
	{
		"log-level", "LEVEL", set_log_level,
		"error, warning, info or debug",
		"Log this and what is graver: error, warning, info, debug. Default: info.",
	},
	{
		"help", NULL, set_help, NULL,
		"Print the options and exit.",
	},
	{
		"version", NULL, set_version, NULL,
		"Print the version and exit.",
	},
};

const size_t option_count = ARRAY_SIZE(option_table);

bool options_parse(struct options *options, int argc, char **argv)
{
	struct option longs[ARRAY_SIZE(option_table) + 1] = { 0 };
	size_t i;
	int opt;

	for (i = 0; i < option_count; i++) {
		longs[i].name = option_table[i].name;
		longs[i].has_arg = option_table[i].arg ? required_argument :
							 no_argument;
		longs[i].val = i;
	}
	*options = (struct options){
		.connections = 64,
		.timeout = 60,
		.retries = 5,
		.log_level = LOG_LEVEL_INFO,
	};

	while ((opt = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		const struct option_desc *desc;

		if (opt == '?')
			goto usage;
		desc = &option_table[opt];
		if (!desc->set(options, optarg)) {
			fprintf(stderr, "%s: --%s %s: wanted: %s\n", argv[0],
				desc->name, optarg, desc->wanted);
			return false;
		}
	}
	if (options->help || options->version)
		return true;
	if (optind < argc) {
		fprintf(stderr, "%s: unexpected argument '%s'\n", argv[0],
			argv[optind]);
		goto usage;
	}
	if (!options->cache || !options->source) {
		fprintf(stderr, "%s: --%s is required\n", argv[0],
			options->cache ? "source" : "cache");
		goto usage;
	}
	return true;

usage:
	fprintf(stderr, "Try '%s --help'.\n", argv[0]);
	return false;
}

void options_help(FILE *out)
{
	size_t i;

	fputs("Usage: cachefiles-ondemandd --cache DIR --source DIR|URL [OPTION]...\n"
	      "Serve blobs to the kernel's on-demand cache as they are read.\n\n",
	      out);
	for (i = 0; i < option_count; i++) {
		const struct option_desc *desc = &option_table[i];

		usage_item(out, "--", desc->name, desc->arg, desc->text);
	}
}
