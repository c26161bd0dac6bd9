/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the two halves of the power cut have in common: the blobs of a round.
 */
#ifndef CACHEFILES_SELFTEST_POWERCUT_H
#define CACHEFILES_SELFTEST_POWERCUT_H

#include "cachefile.h"
#include "image.h"
#include "odserver.h"

#define BLOBS		6
#define SMALL		2		/* the first ones, complete at times */
#define PIECE		(64 << 10)	/* read at once */

struct blob {
	char		name[24];
	struct img	img;
	__u64		nr;		/* granules */
	bool		*safe;		/* must survive, per granule */
	bool		*present;	/* by the cache file, at the last look() */
	/* of a load */
	__u32		*filled_ms;	/* when, or 0 */
	bool		mounted;
	bool		quiet;		/* nobody fsyncs it but the kernel */
	__u64		due_ms;		/* for the next claim */
	/* of a check */
	bool		complete;	/* needs no daemon */
	__u64		asked;
};

extern struct cf_env env;
extern struct blob blobs[BLOBS];
extern struct od_server srv;

void __noreturn __printf(1, 2) die(const char *fmt, ...);

/* powerblob.c */
void make_blob(struct blob *b, int round, int i);
struct blob *blob_of(const struct od_object *o);
int try_mount(struct blob *b);
void mount_blob(struct blob *b);
bool umount_blob(struct blob *b);
bool read_and_compare(struct blob *b, __u64 off, __u64 len);
int look(struct blob *b);

/* powerload.c */
extern const struct od_ops load_ops;
void __noreturn load(unsigned int seed);

/* powercheck.c */
extern const struct od_ops check_ops;
void read_claims(const char *path);
void zero(void);
void alone(void);
void check(void);

#endif /* CACHEFILES_SELFTEST_POWERCUT_H */
