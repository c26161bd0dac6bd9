// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of cachefiles-ondemandctl that need no kernel. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "ctl.h"
#include "fake.h"
#include "tap.h"

static char said[4096];
static int result;

/* What @fn prints, its errors too. */
static void capture(int (*fn)(int dev, const char *dir), int dev,
		    const char *dir)
{
	int saved = dup(STDERR_FILENO);
	ssize_t n;
	int fds[2];

	if (pipe(fds) || dup2(fds[1], STDERR_FILENO) < 0)
		abort();
	close(fds[1]);
	result = fn(dev, dir);
	dup2(saved, STDERR_FILENO);
	close(saved);
	n = read(fds[0], said, sizeof(said) - 1);
	said[n > 0 ? n : 0] = '\0';
	close(fds[0]);
}

static bool one_line(const char *text)
{
	char *end = strchr(said, '\n');

	return strstr(said, text) && end && !end[1];
}

static void test_bind(void)
{
	char dir[] = "/tmp/cfod-ctl.XXXXXX", cache[64];
	int dev = fake_device();

	if (!mkdtemp(dir))
		exit(1);
	snprintf(cache, sizeof(cache), "%s/cache", dir);
	capture(ctl_bind, dev, dir);
	ok(!result && !strncmp(fake_command(0), "dir /tmp/cfod-ctl", 17) &&
	   !strcmp(fake_command(0), "bind ondemand keep") && !*said,
	   "bind keeps");
	capture(ctl_release, dev, dir);
	ok(result && !*fake_command(0) && one_line("no cache in it"),
	   "release of what is no cache: one line");
	mkdir(cache, 0700);
	capture(ctl_release, dev, dir);
	ok(!result && !strncmp(fake_command(0), "dir /tmp/cfod-ctl", 17) &&
	   !strcmp(fake_command(0), "bind ondemand") && !*said,
	   "release does not keep");
	fake_features(CACHEFILES_FEATURE_PARK);
	capture(ctl_bind, dev, dir);
	ok(result && !*fake_command(0) && one_line("feature \"keep\""),
	   "bind on a kernel that cannot keep: one line");
	capture(ctl_release, dev, dir);
	ok(result && !*fake_command(0) && one_line("feature \"keep\""),
	   "release, too");
	fake_features(CACHEFILES_FEATURE_KEEP);
	fake_hang_up();
	capture(ctl_bind, dev, dir);
	ok(result && one_line("cfod-ctl"), "a bind that fails: one line");
	close(dev);
	rmdir(cache);
	rmdir(dir);
}

static const char *features(uint64_t has)
{
	static char text[512];
	FILE *out = fmemopen(text, sizeof(text), "w");
	int dev = fake_device();

	fake_features(has);
	result = ctl_features(dev, out);
	fclose(out);
	close(dev);
	fake_hang_up();
	return text;
}

static void test_features(void)
{
	ok(!strcmp(features(CACHEFILES_FEATURE_PARK | CACHEFILES_FEATURE_SPACE),
		   "read-fail no\npark      yes\nkeep      no\nfull      no\nspace     yes\n") &&
	   !result, "features are listed by name");
	ok(!strstr(features(0), "yes") && !result,
	   "a kernel without features has none");
}

static const char *status(const char *kernel)
{
	static char text[4096];
	FILE *in = fmemopen((void *)kernel, strlen(kernel) + 1, "r");
	FILE *out = fmemopen(text, sizeof(text), "w");

	ctl_status(in, out);
	fclose(in);
	fclose(out);
	return text;
}

static void test_status(void)
{
	ok(!strcmp(status("cache /var/cache/images daemon=bound pending=1 max_pending=8\n"
			  "  reads hits=548 misses=0 filled_bytes=37064704\n"
			  "  waits 1ms=2 more=0\n"
			  "  request id=344 op=read age_ms=314 object=erofs,a/b\n"),
		   "/var/cache/images: daemon bound, pending 1, max pending 8\n"
		   "  reads: hits 548, misses 0, filled 35.3 MiB\n"
		   "  waits: 1ms 2, more 0\n"
		   "  request: id 344, op read, age 314 ms, object erofs,a/b\n"),
	   "status in words");
	ok(!strcmp(status("cache /\xc3\xa4\\040b\\012c\\134d daemon=none\n"
			  "  reads filled_bytes=0 new_field=1023 flag\n"
			  "cache /e daemon=awaited\n"),
		   "/\xc3\xa4 b?c\\d: daemon none\n"
		   "  reads: filled 0 bytes, new field 1023, flag\n"
		   "\n/e: daemon awaited\n"),
	   "several caches, odd paths, and fields that are new");
	ok(!strcmp(status(" "), "no cache is bound in on-demand mode\n"),
	   "no cache");
}

int main(void)
{
	test_bind();
	test_features();
	test_status();
	return tap_end();
}
