/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A daemon that dies and the one that comes next, for the tests of what the
 * others see.
 */
#ifndef CACHEFILES_SELFTEST_DEATHS_H
#define CACHEFILES_SELFTEST_DEATHS_H

#include "odserver.h"
#include "scene.h"

#define DEATHS_FILE	(256 << 10)

/* What a test and its helpers share. */
struct deaths {
	struct scene s;
	struct od_server srv;	/* the next daemon */
	struct cf_task t;
	struct cf_msg m;
	int park_ms;		/* 0: nothing waits */
	__u64 died;
};

int deaths_begin(struct scene *s, const char *how);
void deaths_end(struct scene *s);
int deaths_die(struct scene *s);
int deaths_read(struct scene *s, __u64 off, size_t len);
int deaths_next_daemon(struct scene *s, struct od_server *srv, const char *how);

#endif /* CACHEFILES_SELFTEST_DEATHS_H */
