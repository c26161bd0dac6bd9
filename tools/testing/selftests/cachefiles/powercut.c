// SPDX-License-Identifier: GPL-2.0
/*
 * A cache whose machine loses its power.  Not a test by itself: somebody cuts
 * the power while "load" runs, starts the machine again and runs "check" with
 * what "load" had said.
 *
 *	powercut load ROOT ROUND SEED
 *	powercut zero ROOT ROUND CLAIMS
 *	powercut alone ROOT ROUND CLAIMS
 *	powercut check ROOT ROUND CLAIMS
 *
 * "load" is a daemon, its readers and an administrator in one, on the blobs of
 * the round: it fills at random, reads, mounts, unmounts and culls, and some blobs
 * have another size the next time.  The line "power-cut" says that all this is
 * under way.  A line "safe BLOB FIRST LAST ." says of these granules that they must
 * be there after a power cut: the cache file says that they are present, and has
 * been fsynced after it was asked.  A line "complete BLOB ." says that it needs no
 * daemon after a power cut.  A line "culled BLOB ." says that it may be gone, but
 * if it is not, then all of the above still holds; "new BLOB VERSION ." that it is
 * now this version, and that nothing holds any more.  Each version of a blob has a
 * size and a content of its own.
 *
 * "zero" has the file system put zeros where the cache files have holes, which
 * it may.  "alone" has no daemon: what can be mounted must be right for its size,
 * and what is complete in CLAIMS must be mounted.
 *
 * "check" is an honest daemon on the same blobs.  Every byte must be right for the
 * version that it has, which is the last one in CLAIMS or the one before, and
 * nothing that is in CLAIMS may be asked for.  Blobs that change do so once more,
 * and are culled and made anew.  In the end everything is culled and deleted.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "powercut.h"

struct cf_env env = { .dev = -1 };
struct blob blobs[BLOBS];
struct od_server srv;

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("wrong: ");
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	_exit(1);
}

static void begin(const char *root, int round)
{
	int i;

	snprintf(env.root, sizeof(env.root), "%s", root);
	snprintf(env.tmp, sizeof(env.tmp), "/tmp/powercut.XXXXXX");
	mkdir(root, 0755);
	if (!mkdtemp(env.tmp))
		die("no directory for mounts: %s", strerror(errno));
	for (i = 0; i < BLOBS; i++)
		make_blob(&blobs[i], round, i);
}

static void bind_cache(const char *how)
{
	int ret = cf_bind(&env, how);

	if (ret)
		die("bind: %s", strerror(-ret));
}

static void serve(const struct od_ops *ops)
{
	bind_cache("ondemand");
	od_init(&srv, env.dev);
	srv.ops = ops;
	if (od_run(&srv, 2))
		die("no threads");
}

int main(int argc, char **argv)
{
	const char *what = argc == 5 ? argv[1] : "";

	if (strcmp(what, "load") && strcmp(what, "zero") && strcmp(what, "alone") &&
	    strcmp(what, "check")) {
		fprintf(stderr, "usage: powercut load ROOT ROUND SEED\n"
				"       powercut zero|alone|check ROOT ROUND CLAIMS\n");
		return 2;
	}
	begin(argv[2], atoi(argv[3]));
	if (!strcmp(what, "load")) {
		serve(&load_ops);
		load(strtoul(argv[4], NULL, 0));
	}
	read_claims(argv[4]);
	if (!strcmp(what, "zero")) {
		zero();
	} else if (!strcmp(what, "alone")) {
		bind_cache("ondemand keep");
		cf_dev_close(&env);
		alone();
	} else {
		serve(&check_ops);
		check(atoi(argv[3]));
	}
	return 0;
}
