/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The daemon of the tests.  Its loop is honest; what it does for a message is
 * in a table of operations, and odfault.c has those of a bad daemon.
 */
#ifndef CACHEFILES_SELFTEST_ODSERVER_H
#define CACHEFILES_SELFTEST_ODSERVER_H

#include <pthread.h>

#include "common.h"

#define OD_MAX_BLOBS	16
#define OD_MAX_OBJECTS	128
#define OD_MAX_THREADS	8
#define OD_MAX_LOG	4096

struct od_server;

/* What is served under a cookie key. */
struct od_blob {
	char		key[260];
	const char	*data;
	__u64	size;
	int		error;		/* the answer to OPEN, if not 0 */
};

struct od_object {
	__u32		id;	/* 0: slot is free */
	int			fd;
	int			users;
	bool			closed;
	const struct od_blob	*blob;
};

struct od_ops {
	void (*open)(struct od_server *srv, struct od_object *o,
		     const struct cf_msg *m);
	int (*fill)(struct od_server *srv, struct od_object *o, __u64 off,
		    __u64 len);
	void (*reply)(struct od_server *srv, struct od_object *o,
		      const struct cf_msg *m);
};

/* Points at which the daemon kills itself. */
enum od_step {
	OD_NEVER,
	OD_STARTED,
	OD_OPEN_TAKEN,		/* OPEN read, not answered */
	OD_OPEN_ANSWERED,
	OD_READ_TAKEN,		/* READ read, nothing filled */
	OD_READ_HALF,		/* the first part of it filled */
	OD_READ_FILLED,		/* all filled, not answered */
	OD_READ_ANSWERED,
};

struct od_read {
	__u32	object;
	__u64	off;
	__u64	len;
};

struct od_server {
	int			dev;
	const struct od_ops	*ops;
	bool			edge;		/* edge-triggered epoll */
	int			delay_us;	/* per READ */
	enum od_step		die_at;
	__u64		data_pos;	/* READs before do not count for die_at */

	pthread_mutex_t		lock;		/* for all below */
	int			nr_blobs;
	struct od_blob		blob[OD_MAX_BLOBS];
	struct od_object	object[OD_MAX_OBJECTS];
	int			nr_open, nr_close, nr_read;
	int			nr_spurious;	/* readable, but nothing came */
	int			nr_busy;	/* threads that have a message */
	int			max_busy;
	__u64		bytes;
	struct od_read		log[OD_MAX_LOG];
	char			error[256];	/* what went wrong first */

	int			stop_fd;
	int			epoll_fd;
	int			nr_threads;
	pthread_t		thread[OD_MAX_THREADS];
};

extern const struct od_ops od_honest;

void od_init(struct od_server *srv, int dev);
struct od_blob *od_add(struct od_server *srv, const char *key,
		       const void *data, __u64 size);
int od_run(struct od_server *srv, int nr_threads);
int od_stop(struct od_server *srv);
void od_main(struct od_server *srv);
void __printf(2, 3) od_error(struct od_server *srv, const char *fmt, ...);
void od_step(struct od_server *srv, enum od_step step);
bool od_log_overlaps(struct od_server *srv);
void od_log_reset(struct od_server *srv);

/* odserver.c: what an honest daemon does */
void od_open(struct od_server *srv, struct od_object *o,
	     const struct cf_msg *m);
int od_fill(struct od_server *srv, struct od_object *o, __u64 off,
	    __u64 len);
void od_reply(struct od_server *srv, struct od_object *o,
	      const struct cf_msg *m);

/* odfault.c: other ways to fill */
int od_fill_nothing(struct od_server *srv, struct od_object *o, __u64 off,
		    __u64 len);
int od_fill_sometimes(struct od_server *srv, struct od_object *o, __u64 off,
		      __u64 len);
int od_fill_prefix(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len);
int od_fill_middle(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len);
int od_fill_suffix(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len);
int od_fill_everything(struct od_server *srv, struct od_object *o,
		       __u64 off, __u64 len);
int od_fill_twice(struct od_server *srv, struct od_object *o, __u64 off,
		  __u64 len);
int od_fill_overlap(struct od_server *srv, struct od_object *o, __u64 off,
		    __u64 len);
int od_fill_tiny(struct od_server *srv, struct od_object *o, __u64 off,
		 __u64 len);
int od_fill_backwards(struct od_server *srv, struct od_object *o, __u64 off,
		      __u64 len);
int od_fill_writev(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len);
int od_fill_splice(struct od_server *srv, struct od_object *o, __u64 off,
		   __u64 len);

/* odfault.c: other ways to answer */
void od_reply_never(struct od_server *srv, struct od_object *o,
		    const struct cf_msg *m);
void od_reply_twice(struct od_server *srv, struct od_object *o,
		    const struct cf_msg *m);
void od_reply_wrong_id(struct od_server *srv, struct od_object *o,
		       const struct cf_msg *m);

#endif /* CACHEFILES_SELFTEST_ODSERVER_H */
