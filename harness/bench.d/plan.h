/* SPDX-License-Identifier: GPL-2.0 */
/* The list of files that plan.py makes: one "NUMBER SIZE PATH" a line. */
#ifndef _PLAN_H
#define _PLAN_H

#include <err.h>
#include <stdint.h>
#include <stdio.h>

#define PLAN_MAX	1024

struct plan_file {
	uint64_t	number;
	uint64_t	size;
	char		path[112];
};

struct plan {
	size_t			nr;
	struct plan_file	files[PLAN_MAX];
};

static inline void plan_read(struct plan *plan, const char *name)
{
	FILE *f = fopen(name, "r");
	struct plan_file *file = plan->files;

	if (!f)
		err(1, "%s", name);
	while (file < plan->files + PLAN_MAX &&
	       fscanf(f, "%lu %lu %111s", &file->number, &file->size, file->path) == 3)
		file++;
	if (!feof(f) || file == plan->files)
		errx(1, "%s: bad line %zu", name, file - plan->files + 1);
	plan->nr = file - plan->files;
	fclose(f);
}

#endif /* _PLAN_H */
