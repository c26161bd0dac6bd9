/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The starting point of most tests: a bound cache and a mounted image of which
 * all metadata is present and no file content is.  The test is the daemon and
 * goes on message by message.
 */
#ifndef CACHEFILES_SELFTEST_SCENE_H
#define CACHEFILES_SELFTEST_SCENE_H

#include "common.h"
#include "image.h"

struct scene {
	struct cf_env	env;
	struct img	img;
	/* the latest OPEN */
	int		fd;
	__u32	object;
	__u32	open_id;
	char		volume[512];
	__u32		closed;		/* object of a CLOSE that was passed by */
};

int scene_init(struct scene *s, __u64 file_size);
void scene_fini(struct scene *s);
int scene_open(struct scene *s, long long size);
int scene_fill_metadata(struct scene *s);
int scene_absorb(struct scene *s, struct cf_task *t);
int __printf(3, 4) scene_mount(struct scene *s, const char *name,
			       const char *fmt, ...);
int scene_read_start(struct scene *s, struct cf_task *t, __u64 off,
		     size_t len);
int scene_expect_read(struct scene *s, struct cf_msg *m, __u64 off);
int scene_serve(struct scene *s, struct cf_task *t);
int scene_check(struct scene *s, struct cf_task *t, __u64 off, size_t len);

/* <name of mount>/<the only file> */
#define SCENE_FILE "m/f00"

#endif /* CACHEFILES_SELFTEST_SCENE_H */
