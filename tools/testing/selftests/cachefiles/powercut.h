/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the two halves of the power cut have in common: the blobs of a round.
 */
#ifndef CACHEFILES_SELFTEST_POWERCUT_H
#define CACHEFILES_SELFTEST_POWERCUT_H

#include "cachefile.h"
#include "image.h"
#include "odserver.h"

#define LASTING		6		/* blobs that stay as they are */
#define SMALL		2		/* the first ones, complete at times */
#define CHANGING	4		/* blobs with other versions, and culled */
#define BLOBS		(LASTING + CHANGING)
#define VERSIONS	5		/* of one that changes, each of another size */
#define PIECE		(64 << 10)	/* read at once */

struct blob {
	char		name[24];
	int		nr_versions;
	int		version;	/* what the daemon has, and so all below */
	struct img	img[VERSIONS];
	struct od_blob	served[VERSIONS];
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
	bool		culled;		/* what was safe is whole, or is gone */
	int		version_before;
	__u64		asked;
};

static inline struct img *img_of(struct blob *b)
{
	return &b->img[b->version];
}

static inline struct img_file *file_of(struct blob *b)
{
	return &img_of(b)->file[0];
}

extern struct cf_env env;
extern struct blob blobs[BLOBS];
extern struct od_server srv;

void __noreturn __printf(1, 2) die(const char *fmt, ...);

/* powerblob.c */
void make_blob(struct blob *b, int round, int i);
void start_empty(struct blob *b, int version);
struct blob *blob_of(const struct od_object *o);
void open_blob(struct od_server *s, struct od_object *o, const struct cf_msg *m);
int try_mount(struct blob *b);
void mount_blob(struct blob *b);
bool umount_blob(struct blob *b);
bool read_and_compare(struct blob *b, __u64 off, __u64 len);
int look(struct blob *b);
void cull_path(char *path);
void empty_graveyard(void);

/* powerload.c */
extern const struct od_ops load_ops;
unsigned int draw(unsigned int *seed);
void fill(struct blob *b, __u64 off, __u64 len);
bool close_and_claim(struct blob *b);
void __noreturn load(unsigned int seed);

/* powerchange.c */
void *changer(void *arg);

/* powercheck.c */
extern const struct od_ops check_ops;
void read_claims(const char *path);
void zero(void);
void alone(void);
void check(int round);

#endif /* CACHEFILES_SELFTEST_POWERCUT_H */
