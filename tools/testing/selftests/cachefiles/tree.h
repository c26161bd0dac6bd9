/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A small tree of files of all kinds, and its comparison with a copy.
 */
#ifndef CACHEFILES_SELFTEST_TREE_H
#define CACHEFILES_SELFTEST_TREE_H

#include "common.h"

enum tree_how {
	TREE_SEQUENTIAL,
	TREE_RANDOM,
	TREE_MMAP,
};

#define TREE_NO_XATTRS	0x100	/* do not look at these */
#define TREE_EIO	0x200	/* nor at what cannot be read */
#define TREE_HOW	0xff

int tree_make(const char *path);

/*
 * Compare in a child: cf_wait() gives 0 or an error, and t->out->buf the file
 * that differs.
 */
int tree_compare(struct cf_task *t, const char *want, const char *have,
		 unsigned int how);

#endif /* CACHEFILES_SELFTEST_TREE_H */
