// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of how the daemon gets its cache: options, and kernels without them. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache.h"
#include "cachefiles_ondemand.h"
#include "fake.h"
#include "tap.h"

static const struct options none;
static uint64_t features;
static char logged[4096];
static int bound;

/* Bind on a kernel with these features; what is logged is in @logged. */
static void bind_on(uint64_t has, const struct options *options)
{
	int saved = dup(STDERR_FILENO);
	int dev = fake_device();
	ssize_t n;
	int fds[2];

	fake_features(has);
	if (pipe(fds) || dup2(fds[1], STDERR_FILENO) < 0)
		abort();
	close(fds[1]);
	bound = cache_bind(dev, "/cache", options, &features);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(fds[0], logged, sizeof(logged) - 1);
	logged[n > 0 ? n : 0] = '\0';
	close(fds[0]);
	close(dev);
}

/* The last of the commands that came. */
static bool last_command(const char *text)
{
	char last[512] = "";
	const char *next;

	while (*(next = fake_command(0)))
		snprintf(last, sizeof(last), "%s", next);
	fake_hang_up();
	return !strcmp(last, text);
}

/* One line, with this text. */
static bool says(const char *text)
{
	char *end = strchr(logged, '\n');

	return strstr(logged, text) && end && !end[1];
}

int main(void)
{
	struct options options = none;

	bind_on(0, &none);
	ok(!bound && !features && last_command("bind ondemand") && !*logged,
	   "a kernel without features is bound as ever");
	bind_on(CACHEFILES_FEATURE_FULL | CACHEFILES_FEATURE_SPACE, &none);
	ok(!bound && last_command("bind ondemand full") &&
	   features == (CACHEFILES_FEATURE_FULL | CACHEFILES_FEATURE_SPACE),
	   "FULL is asked for where the kernel has it");

	options.park = 30;
	options.keep = true;
	bind_on(~0ULL, &options);
	ok(!bound && last_command("bind ondemand park=30 keep full"),
	   "--park and --keep");
	bind_on(CACHEFILES_FEATURE_KEEP, &options);
	ok(bound < 0 && last_command("") && says("error: --park: this kernel"),
	   "--park on a kernel without it: one line, not bound");
	bind_on(CACHEFILES_FEATURE_PARK, &options);
	ok(bound < 0 && last_command("") && says("error: --keep: this kernel"),
	   "--keep on a kernel without it: one line, not bound");
	options.optional = true;
	bind_on(CACHEFILES_FEATURE_KEEP, &options);
	ok(!bound && last_command("bind ondemand keep") &&
	   says("warning: --park: this kernel"),
	   "--optional: bound without it, after one line");

	options = none;
	options.run = 20;
	options.cull = 10;
	bind_on(0, &options);
	ok(!bound && !strcmp(fake_command(0), "brun 99%") &&
	   last_command("bind ondemand"), "--limits go ahead of the bind");
	options.cull = 20;
	bind_on(0, &options);
	ok(bound < 0 && last_command("") && says("--limits 20,20,0: wanted"),
	   "limits out of order: one line, not bound");
	return tap_end();
}
