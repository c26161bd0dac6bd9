/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What every test needs: a cache bound on a fresh directory, messages that are
 * read with a time limit, and tasks that may hang without hanging the test.
 *
 * Functions return 0 or a count, or a negative errno; -ETIME says that what
 * was waited for did not come.
 */
#ifndef CACHEFILES_SELFTEST_COMMON_H
#define CACHEFILES_SELFTEST_COMMON_H

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <linux/types.h>
#include <sys/types.h>
#include <linux/cachefiles.h>

#include "kselftest.h"

#define GRANULE		4096
#define READ_MAX	(2U << 20)

/*
 * The debug kernel under emulation is some twenty times slower than a real
 * machine, so limits are generous where something must happen.
 */
#define WAIT_MS		20000	/* it must happen */
#define PROMPT_MS	8000	/* it must happen without help of a daemon */
#define QUIET_MS	250	/* it must not happen */

struct cf_env {
	char	root[128];	/* the cache directory, on the backing fs */
	char	tmp[128];	/* a tmpfs for mount points and images */
	int	dev;		/* /dev/cachefiles, or -1 */
};

/* One message of the kernel, decoded. */
struct cf_msg {
	__u32	id;
	__u32	op;
	__u32	len;
	__u32	object;
	/* OPEN */
	int		fd;
	__u32	flags;
	__u32	volume_size;
	__u32	key_size;
	char		volume[512];
	char		key[512];
	/* READ */
	__u64	off;
	__u64	size;
};

/* A child process that does one thing which may never end. */
struct cf_out {
	int	ready;
	int	done;
	long	ret;
	char	buf[];
};

struct cf_task {
	pid_t		pid;
	size_t		cap;
	struct cf_out	*out;
};

/* common.c: the environment and the device */
const char *cf_cache_parent(void);
void cf_require(void);
int cf_env_init(struct cf_env *env);
void cf_env_fini(struct cf_env *env);
int cf_dev_open(void);
int cf_dev_close(struct cf_env *env);
int __printf(2, 3) cf_cmd(int dev, const char *fmt, ...);
int cf_bind(struct cf_env *env, const char *how);
__u64 cf_now_ms(void);
int cf_rounds(int usual, int many);
int cf_drop(const char *what);
int cf_drop_caches(void);
int cf_count_fds(void);

/* message.c: messages and their answers */
int cf_parse(struct cf_msg *m, const void *buf, ssize_t n);
int cf_next(int dev, struct cf_msg *m, int ms);
int cf_expect(int dev, struct cf_msg *m, __u32 op);
int cf_quiet(int dev, int ms);
int cf_readable(int dev, int ms);
int cf_copen(int dev, __u32 id, long long size);
int cf_complete(int fd, __u32 id);
int cf_fail(int fd, __u32 id, int error);
int cf_fill(int fd, const void *image, __u64 off, __u64 len);

/* task.c: things that may hang */
int cf_start(struct cf_task *t, long (*fn)(void *arg, struct cf_out *out),
	     void *arg, size_t cap);
int cf_start_keep(struct cf_task *t, long (*fn)(void *arg, struct cf_out *out),
		  void *arg, size_t cap);
long cf_wait(struct cf_task *t, int ms);
bool cf_running(struct cf_task *t, int ms);
long cf_kill(struct cf_task *t);
void cf_kill_all(void);
int cf_slow_memory(void *mem, size_t len);
int cf_memory_wanted(int uffd, int ms);
int cf_give_memory(int uffd, void *mem, const void *data, size_t len);
int __printf(4, 5) cf_mount_start(struct cf_env *env, struct cf_task *t,
				  const char *name, const char *fmt, ...);
long cf_mount_file(struct cf_env *env, const char *name, const char *file);
long __printf(3, 4) cf_mount(struct cf_env *env, const char *name,
			     const char *fmt, ...);
long cf_umount_within(struct cf_env *env, const char *name, int flags, int ms);
long cf_umount(struct cf_env *env, const char *name, int flags);
int cf_read_start(struct cf_env *env, struct cf_task *t, const char *name,
		  __u64 off, size_t len);
long cf_read(struct cf_env *env, const char *name, __u64 off, size_t len,
	     void *buf);
int cf_reclaim_start(struct cf_task *t);

#endif /* CACHEFILES_SELFTEST_COMMON_H */
