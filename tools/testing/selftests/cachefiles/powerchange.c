// SPDX-License-Identifier: GPL-2.0
/*
 * The part of the load that has blobs begin anew: their cache files are emptied,
 * as the blob has another size, or culled, alone or with the directories they are
 * in.  What it is about are the moments in between, so there is little else.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "powercut.h"

/* What was said of the blob up to now is void from here on, before it is so. */
static void renew(struct blob *b, int version)
{
	printf("new %s %d .\n", b->name, version);
	fflush(stdout);
	start_empty(b, version);
}

/* All of it, or pieces; and sometimes nothing at all. */
static void use(struct blob *b, unsigned int *seed)
{
	unsigned int i, nr = draw(seed) % 4;

	if (!nr)
		fill(b, 0, img_of(b)->size);
	for (i = 1; i < nr; i++) {
		fill(b, draw(seed) % img_of(b)->size, draw(seed) % PIECE + 1);
		if (!read_and_compare(b, draw(seed) % file_of(b)->size,
				      draw(seed) % PIECE + 1))
			die("%s cannot be opened", b->name);
	}
}

/* The file, or its fan-out directory, or its volume. */
static void cull(struct blob *b, unsigned int *seed)
{
	unsigned int up = draw(seed) % 3;
	char path[512];

	if (cachefile_path(env.root, b->name, path, sizeof(path)))
		die("%s has no cache file", b->name);
	while (up--)
		*strrchr(path, '/') = 0;
	printf("culled %s .\n", b->name);
	fflush(stdout);
	cull_path(path);
}

void *changer(void *arg)
{
	/* The seeds of the two follow each other. */
	unsigned int seed = (unsigned long)arg, half = seed % 2;

	/* Commands are about names in the current directory, which threads share. */
	if (unshare(CLONE_FS) < 0)
		die("unshare: %s", strerror(errno));
	for (;;) {
		struct blob *b = &blobs[LASTING + CHANGING / 2 * half +
					draw(&seed) % (CHANGING / 2)];
		bool culls = draw(&seed) % 3 == 0;

		use(b, &seed);
		b->quiet = draw(&seed) % 2;
		if (!close_and_claim(b))
			die("%s is in use by nobody", b->name);
		if (culls) {
			cull(b, &seed);
			usleep(draw(&seed) % 50000);
		}
		/* At times it is what it has been. */
		if (culls || draw(&seed) % 4)
			renew(b, draw(&seed) % VERSIONS);
		mount_blob(b);
		usleep(draw(&seed) % 50000);
	}
	return NULL;
}
