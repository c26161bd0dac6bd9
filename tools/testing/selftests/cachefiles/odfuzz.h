/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The fuzzer: daemons, mounters and readers that do at random what they may and
 * what they may not, all at once.  Whatever the daemon does, a reader gets the
 * bytes of the image or an error, every task can be killed, and when all is over
 * an honest daemon can serve every image as if nothing had been.
 *
 * Each worker draws its operations from a stream of its own, so a seed gives the
 * same operations again.  A worker that is killed goes on with the next one.
 */
#ifndef CACHEFILES_SELFTEST_ODFUZZ_H
#define CACHEFILES_SELFTEST_ODFUZZ_H

#include <pthread.h>

#include "common.h"

#define FZ_SERVERS	4	/* threads of a daemon, at most */
#define FZ_WORKERS	40
#define FZ_PAST		8	/* operations of a worker that are remembered */
#define FZ_COUNTERS	1024
#define FZ_IMAGES	16
#define FZ_POINTS	2	/* mount points of an image */
#define FZ_FILES	40
#define FZ_BLOBS	20
#define FZ_OBJECTS	128
#define FZ_LATE		64
#define FZ_WHYS		4

/* The states that an operation was in, for who looks into a failure. */
struct fz_past {
	const char	*what;
	__u64		op;
	long		ret;
};

/*
 * A stream of operations.  In shared memory: it outlives the task that draws
 * from it.
 */
struct fz_worker {
	const char	*role;
	unsigned int	index;
	void		(*task)(struct fz_worker *w);	/* NULL for a thread */
	__u64		seed;
	__u64		op;		/* how many have begun */
	__u64		rng;
	pid_t		pid;		/* of a child of the main process that runs, or 0 */
	pid_t		tid;		/* of who draws from it */
	__u64		killed_ms;	/* when SIGKILL was sent, or 0 */
	const char	*doing;
	__u64		since_ms;
	struct fz_past	past[FZ_PAST];
};

struct fz_choice {
	unsigned int	weight;
	const char	*name;
	/* 0 or more, or a negative errno; both are counted under the name */
	long (*fn)(struct fz_worker *w, void *ctx);
};

/* How often something had this result. */
struct fz_counter {
	int	state;
	int	error;
	char	name[40];
	__u64	n;
};

struct fz_options {
	__u64	seed;
	int	seconds;	/* in all */
	int	round;		/* between two quiet points */
	int	limit;		/* for what may not hang */
	int	servers;
	int	mounters;
	int	readers;
};

struct fz_file {
	char		path[64];
	const char	*data;
	__u64		size;
};

struct fz_image {
	char		opts[96];
	char		key[16];	/* the primary blob's */
	bool		compared;	/* readers know every byte of it */
	bool		honest;		/* and a quiet point checks it */
	int		nr_files;
	struct fz_file	file[FZ_FILES];
};

struct fz_blob {
	char		key[16];
	char		*data;
	__u64		size;
	__u64		room;		/* behind the size there are zeros */
	bool		loose;		/* nobody compares it: fill it with anything */
	char		*origin;	/* of a spoiled image, or NULL */
	__u64		meta_end;	/* where its metadata ends */
};

/* Shared by all processes; there are no locks in it, as tasks are killed. */
struct fz_shared {
	struct fz_options	opt;
	char			root[2][128];	/* cache directories */
	char			tmp[128];	/* where the mount points are */
	__u64			features;
	pid_t			session;
	int			round_s;	/* how long this round is */
	int			stop;		/* the round is over */
	int			nr_whys;
	int			failed;
	char			why[FZ_WHYS][512];
	__u64			deadline;	/* of what is being done, or 0 */
	char			doing[80];
	__u32			term;		/* how many daemons there have been */
	__u32			mounted[FZ_IMAGES][FZ_POINTS];	/* in which term */
	__u32			stale[16];	/* ids of former daemons */
	unsigned int		nr_stale;
	struct fz_worker	worker[FZ_WORKERS];
	int			nr_workers;
	struct fz_counter	counter[FZ_COUNTERS];
};

/* An object as a daemon knows it. */
struct fz_object {
	__u32			id;		/* 0: the slot is free */
	int			fd;		/* or -1 */
	int			users;
	bool			closing;	/* the last user closes the fd */
	bool			gone;		/* CLOSE has come */
	bool			full;		/* FULL has come */
	__u64			name;		/* hash of both keys */
	const struct fz_blob	*blob;		/* or NULL, for a name of nobody's */
	long long		size;		/* as answered, or -1 */
	pthread_mutex_t		position;	/* of the fd */
};

/* An answer that was put off. */
struct fz_late {
	__u32		op;
	__u32		id;
	__u32		object;
	long long	size;
};

struct fz_daemon {
	int			dev;
	int			epoll_fd;	/* edge-triggered */
	bool			shut;		/* the device has been given up */
	bool			alone;		/* nobody else reads messages */
	bool			full;		/* FULL may come */
	bool			elsewhere;	/* its cache is the other one */
	unsigned int		honesty;	/* percent */
	int			slot;		/* of two daemons at once, which */
	pthread_mutex_t		lock;		/* for all below */
	struct fz_object	object[FZ_OBJECTS];
	struct fz_late		late[FZ_LATE];
	unsigned int		nr_late;
	__u8			seen[65536 / 8]; /* object ids */
};

extern struct fz_shared *fz;
extern struct fz_image fz_image[FZ_IMAGES];
extern struct fz_blob fz_blob[FZ_BLOBS];
extern int fz_nr_images, fz_nr_blobs;

#define FZ_NELEM(a) (sizeof(a) / sizeof(*(a)))

/* odfuzz_base.c: random numbers, counters, failures */
__u64 fz_mix(__u64 x);
__u64 fz_rand(struct fz_worker *w);
__u64 fz_below(struct fz_worker *w, __u64 n);
bool fz_chance(struct fz_worker *w, unsigned int percent);
struct fz_worker *fz_worker_add(const char *role, unsigned int index,
				void (*task)(struct fz_worker *w));
struct fz_worker *fz_worker_find(const char *role, unsigned int index);
void fz_begin(struct fz_worker *w, const char *what);
void fz_end(struct fz_worker *w, long ret);
long fz_step(struct fz_worker *w, const struct fz_choice *choice, int nr, void *ctx);
void fz_add(const char *name, int error, __u64 n);
void fz_count(const char *name);
void fz_result(const char *name, long ret);
__u64 fz_done(const char *name);
void fz_print_counters(void);
void __printf(1, 2) fz_fail(const char *fmt, ...);
bool fz_failed(void);
bool fz_stopping(void);

/* odfuzz_image.c: what is served */
int fz_make_images(struct cf_env *env);
void fz_spoil_images(void);
const struct fz_blob *fz_find_blob(const char *key);
void fz_point(char *path, size_t len, int image, int point);

/* odfuzz_daemon.c: the life of a daemon */
void fz_daemon_term(struct fz_worker *w);

/* odfuzz_object.c: its objects */
struct fz_object *fz_object_add(struct fz_daemon *d, const struct cf_msg *m);
struct fz_object *fz_object_get(struct fz_daemon *d, __u32 id);
struct fz_object *fz_object_any(struct fz_daemon *d, struct fz_worker *w);
void fz_object_put(struct fz_daemon *d, struct fz_object *o);
void fz_object_close(struct fz_daemon *d, struct fz_object *o, bool gone);
void fz_objects_lose(struct fz_daemon *d);
bool fz_object_seen(struct fz_daemon *d, __u32 id);
void fz_put_off(struct fz_daemon *d, __u32 op, __u32 id, __u32 object, long long size);
bool fz_take_late(struct fz_daemon *d, struct fz_worker *w, struct fz_late *late);

/* odfuzz_serve.c: messages */
long fz_serve(struct fz_worker *w, void *ctx);

/* odfuzz_answer.c: answers */
void fz_answer_open(struct fz_daemon *d, struct fz_worker *w, struct fz_object *o, __u32 id);
void fz_answer_read(struct fz_daemon *d, struct fz_worker *w, struct fz_object *o,
		    const struct cf_msg *m);
long fz_answer_late(struct fz_worker *w, void *ctx);
long fz_answer_stale(struct fz_worker *w, void *ctx);

/* odfuzz_fill.c: bytes */
int fz_fill(struct fz_worker *w, struct fz_object *o, __u64 off, __u64 len);
long fz_prefetch(struct fz_worker *w, void *ctx);
long fz_fill_present(struct fz_worker *w, void *ctx);

/* odfuzz_prod.c, odfuzz_command.c: what nobody should do with either fd */
long fz_prod_fd(struct fz_worker *w, void *ctx);
long fz_prod_device(struct fz_worker *w, void *ctx);
long fz_prod_ioctl(struct fz_worker *w, void *ctx);
long fz_lose_fd(struct fz_worker *w, void *ctx);
long fz_copy_fd(struct fz_worker *w, void *ctx);
long fz_starve_fds(struct fz_worker *w, void *ctx);
long fz_command(struct fz_worker *w, void *ctx);
long fz_restore(struct fz_worker *w, void *ctx);
long fz_cull(struct fz_worker *w, void *ctx);

/* odfuzz_mount.c, odfuzz_read.c: users of the images */
void fz_mounter(struct fz_worker *w);
void fz_reader(struct fz_worker *w);
bool fz_same(const struct fz_image *img, const struct fz_file *f, __u64 off, const void *buf,
	     size_t len, const char *how);
long fz_check_image(const struct fz_image *img, const char *point);

/* odfuzz_quiet.c: everything ends, and is whole again */
int fz_quiet(struct cf_env *env);

/* odfuzz_watch.c: who watches all this from outside */
int fz_watch(pid_t pid);
void fz_within(int seconds, const char *what);
void fz_print_options(void);
void fz_print_failures(void);

#endif /* CACHEFILES_SELFTEST_ODFUZZ_H */
