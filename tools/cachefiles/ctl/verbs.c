// SPDX-License-Identifier: GPL-2.0-or-later
/* The commands of cachefiles-ondemandctl, for itself and for its man page. */
#include "ctl.h"

const struct verb verb_table[VERB_COUNT] = {
	[VERB_FEATURES] = {
		"features", NULL,
		"Say what the kernel's on-demand mode has of that which came after Linux 7.2: each feature's name, and yes or no. No daemon may be running.",
	},
	[VERB_BIND] = {
		"bind", "DIR",
		"Make the directory a cache that stays without a daemon, and exit: images that are complete in it can be mounted, until it is released or the machine is shut down. A daemon can be started on it at any time, and may leave it so with --keep. No daemon may be running.",
	},
	[VERB_RELEASE] = {
		"release", "DIR",
		"Have such a cache end, at once or when the last image in it has been unmounted. No daemon may be running.",
	},
	[VERB_STATUS] = {
		"status", NULL,
		"Show the caches that the kernel has, what they have done so far, and the requests that are under way.",
	},
	[VERB_HELP] = {
		"--help", NULL, "Print the commands and exit.",
	},
	[VERB_VERSION] = {
		"--version", NULL, "Print the version and exit.",
	},
};
