// SPDX-License-Identifier: GPL-2.0-or-later
/* cachefiles-ondemandctl: look after on-demand caches without a daemon. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "ctl.h"
#include "usage.h"

/* Exit codes, as the man page has them. */
#define EXIT_FAILED 1
#define EXIT_USAGE 2

#define STATUS_FILE "/proc/fs/fscache/ondemand"

static int usage(const char *why, const char *what)
{
	ctl_error("%s%s%s; try '--help'", why, *what ? " " : "", what);
	return EXIT_USAGE;
}

static void help(void)
{
	int i;

	puts("Usage: cachefiles-ondemandctl COMMAND [DIR]\n"
	     "Look after the kernel's on-demand caches without a daemon.\n");
	for (i = 0; i < VERB_COUNT; i++)
		usage_item(stdout, "", verb_table[i].name, verb_table[i].arg,
			   verb_table[i].text);
}

static int status(void)
{
	FILE *in = fopen(STATUS_FILE, "r");

	if (!in) {
		if (errno == ENOENT)
			ctl_error("%s: %s", STATUS_FILE,
				  "there is no on-demand mode: load the module (modprobe cachefiles), or build the kernel with CONFIG_CACHEFILES_ONDEMAND");
		else
			ctl_error(STATUS_FILE ": %s%s", strerror(errno),
				  errno == EACCES ? ": run as root" : "");
		return -1;
	}
	ctl_status(in, stdout);
	fclose(in);
	return 0;
}

/* A command that needs the device, which is closed by then. */
static int with_device(int verb, const char *dir)
{
	int dev = cfod_open(NULL);
	int ret;

	if (dev < 0) {
		ctl_error("%s: %s", CFOD_DEVICE,
			  cfod_explain(CFOD_STEP_OPEN, dev) ?: strerror(-dev));
		return -1;
	}
	if (verb == VERB_FEATURES)
		ret = ctl_features(dev, stdout);
	else
		ret = verb == VERB_BIND ? ctl_bind(dev, dir) :
					  ctl_release(dev, dir);
	close(dev);
	return ret;
}

static int run(int verb, const char *arg)
{
	char *dir = NULL;
	int ret;

	if (arg) {
		dir = realpath(arg, NULL);
		if (!dir) {
			ctl_error("%s: %s", arg, strerror(errno));
			return EXIT_FAILED;
		}
	}
	ret = verb == VERB_STATUS ? status() : with_device(verb, dir);
	free(dir);
	if (!ret && (fflush(stdout) || ferror(stdout))) {
		ctl_error("cannot write: %s", strerror(errno));
		ret = -1;
	}
	return ret ? EXIT_FAILED : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	int verb;

	if (argc < 2)
		return usage("a command is needed", "");
	for (verb = 0; verb < VERB_COUNT; verb++)
		if (!strcmp(argv[1], verb_table[verb].name))
			break;
	if (verb == VERB_COUNT)
		return usage("no such command:", argv[1]);
	if (verb_table[verb].arg && argc < 3)
		return usage("a directory is needed behind", argv[1]);
	if (argc > 2 + !!verb_table[verb].arg)
		return usage("unexpected argument", argv[2 + !!verb_table[verb].arg]);

	switch (verb) {
	case VERB_HELP:
		help();
		return EXIT_SUCCESS;
	case VERB_VERSION:
		puts("cachefiles-ondemandctl " VERSION);
		return EXIT_SUCCESS;
	}
	return run(verb, verb_table[verb].arg ? argv[2] : NULL);
}
