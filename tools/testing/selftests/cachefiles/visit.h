/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A task that mounts an image, has a look at everything in it, writes down what
 * it has seen or which error it got, and unmounts.
 */
#ifndef CACHEFILES_SELFTEST_VISIT_H
#define CACHEFILES_SELFTEST_VISIT_H

#include "common.h"

struct visit {
	char		dir[192];	/* to mount on */
	char		source[300];
	char		opts[700];
	char		meanwhile[200];	/* to be read while it is mounted */
	const char	*expect;	/* what is there */
	__u64	pos;
	size_t		len;
};

int visit_start(struct cf_task *t, const struct visit *v);
int visit_differs(const struct cf_task *want, const struct cf_task *have);

#endif /* CACHEFILES_SELFTEST_VISIT_H */
