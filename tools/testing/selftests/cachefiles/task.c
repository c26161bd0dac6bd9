// SPDX-License-Identifier: GPL-2.0
/*
 * Children that mount, unmount and read.  Any of these can hang if the kernel
 * is wrong, so the test itself never does them.  And memory that has whoever uses
 * it hang.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/close_range.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "common.h"

#define MAX_TASKS 64

struct call {
	char		path[256];
	char		opts[1024];
	char		source[256];
	__u64	off;
	size_t		len;
	int		flags;
};

static pid_t tasks[MAX_TASKS];

static void task_note(pid_t old, pid_t new)
{
	int i;

	for (i = 0; i < MAX_TASKS; i++) {
		if (tasks[i] == old) {
			tasks[i] = new;
			return;
		}
	}
}

static int task_start(struct cf_task *t,
		      long (*fn)(void *arg, struct cf_out *out), void *arg,
		      size_t cap, bool keep_fds)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	pid_t parent = getpid();

	memset(t, 0, sizeof(*t));
	t->cap = sizeof(*t->out) + cap;
	t->out = mmap(NULL, t->cap, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (t->out == MAP_FAILED)
		return -errno;

	t->pid = fork();
	if (t->pid < 0)
		return -errno;
	if (!t->pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(1);
		/* An fd that lives on here would hide the test's close(2). */
		if (!keep_fds)
			syscall(SYS_close_range, 3, ~0U, 0);
		__atomic_store_n(&t->out->ready, 1, __ATOMIC_RELEASE);
		t->out->ret = fn(arg, t->out);
		__atomic_store_n(&t->out->done, 1, __ATOMIC_RELEASE);
		_exit(0);
	}
	task_note(0, t->pid);
	while (!__atomic_load_n(&t->out->ready, __ATOMIC_ACQUIRE)) {
		if (cf_now_ms() > end)
			return -ETIME;
		usleep(500);
	}
	return 0;
}

/* Run fn(arg) in a child that has none of the test's file descriptors. */
int cf_start(struct cf_task *t, long (*fn)(void *arg, struct cf_out *out),
	     void *arg, size_t cap)
{
	return task_start(t, fn, arg, cap, false);
}

/* The same, with all of them. */
int cf_start_keep(struct cf_task *t, long (*fn)(void *arg, struct cf_out *out),
		  void *arg, size_t cap)
{
	return task_start(t, fn, arg, cap, true);
}

/*
 * What fn() returned; -ETIME if it has not returned, -EOWNERDEAD if it never
 * will.
 */
long cf_wait(struct cf_task *t, int ms)
{
	__u64 end = cf_now_ms() + ms;
	int status, nap = 500;
	pid_t pid;

	if (!t->pid)
		return t->out->ret;
	for (;;) {
		pid = waitpid(t->pid, &status, WNOHANG);
		if (pid < 0)
			return -errno;
		if (pid)
			break;
		if (cf_now_ms() >= end)
			return -ETIME;
		usleep(nap);
		if (nap < 10000)
			nap *= 2;
	}
	task_note(t->pid, 0);
	t->pid = 0;
	if (!t->out->done)
		t->out->ret = -EOWNERDEAD;
	return t->out->ret;
}

bool cf_running(struct cf_task *t, int ms)
{
	return cf_wait(t, ms) == -ETIME;
}

/* Kill it; -ETIME if it does not die at once. */
long cf_kill(struct cf_task *t)
{
	if (t->pid)
		kill(t->pid, SIGKILL);
	return cf_wait(t, PROMPT_MS);
}

void cf_kill_all(void)
{
	int i;

	for (i = 0; i < MAX_TASKS; i++) {
		if (tasks[i]) {
			kill(tasks[i], SIGKILL);
			waitpid(tasks[i], NULL, WNOHANG);
			tasks[i] = 0;
		}
	}
}

/*
 * From now on the first use of this memory, whole pages, waits until it is given.
 * Its userfaultfd.
 */
int cf_slow_memory(void *mem, size_t len)
{
	int uffd = syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = {
		.range	= { (unsigned long)mem, len },
		.mode	= UFFDIO_REGISTER_MODE_MISSING,
	};

	if (uffd < 0 || ioctl(uffd, UFFDIO_API, &api) < 0 ||
	    ioctl(uffd, UFFDIO_REGISTER, &reg) < 0 || madvise(mem, len, MADV_DONTNEED) < 0)
		return -errno;
	return uffd;
}

/* Wait until somebody uses it. */
int cf_memory_wanted(int uffd, int ms)
{
	struct pollfd pfd = { .fd = uffd, .events = POLLIN };
	int ret = poll(&pfd, 1, ms);

	return ret < 0 ? -errno : ret ? 0 : -ETIME;
}

int cf_give_memory(int uffd, void *mem, const void *data, size_t len)
{
	struct uffdio_copy copy = {
		.dst = (unsigned long)mem, .src = (unsigned long)data, .len = len,
	};

	return ioctl(uffd, UFFDIO_COPY, &copy) < 0 ? -errno : 0;
}

static void call_path(struct cf_env *env, struct call *c, const char *name)
{
	memset(c, 0, sizeof(*c));
	snprintf(c->path, sizeof(c->path), "%s/%s", env->tmp, name);
}

static long do_mount(void *arg, struct cf_out *out)
{
	struct call *c = arg;

	if (mount(c->source, c->path, "erofs", MS_RDONLY, c->opts) < 0)
		return -errno;
	return 0;
}

static int mount_start(struct cf_env *env, struct cf_task *t, const char *name,
		       const char *source, const char *opts)
{
	struct call c;

	call_path(env, &c, name);
	mkdir(c.path, 0755);
	snprintf(c.source, sizeof(c.source), "%s", source);
	snprintf(c.opts, sizeof(c.opts), "%s", opts);
	return cf_start(t, do_mount, &c, 0);
}

/* mount(2) an EROFS with these options on <tmp>/<name>. */
int cf_mount_start(struct cf_env *env, struct cf_task *t, const char *name,
		   const char *fmt, ...)
{
	char opts[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(opts, sizeof(opts), fmt, ap);
	va_end(ap);
	return mount_start(env, t, name, "none", opts);
}

/* The same to its end, for mounts that need no daemon or have one. */
long cf_mount(struct cf_env *env, const char *name, const char *fmt, ...)
{
	struct cf_task t;
	char opts[1024];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(opts, sizeof(opts), fmt, ap);
	va_end(ap);
	ret = mount_start(env, &t, name, "none", opts);
	return ret ?: cf_wait(&t, WAIT_MS);
}

/* An image in a file, without the on-demand mode. */
long cf_mount_file(struct cf_env *env, const char *name, const char *file)
{
	struct cf_task t;
	int ret;

	ret = mount_start(env, &t, name, file, "");
	return ret ?: cf_wait(&t, WAIT_MS);
}

static long do_umount(void *arg, struct cf_out *out)
{
	struct call *c = arg;

	return umount2(c->path, c->flags) < 0 ? -errno : 0;
}

long cf_umount_within(struct cf_env *env, const char *name, int flags, int ms)
{
	struct cf_task t;
	struct call c;
	int ret;

	call_path(env, &c, name);
	c.flags = flags;
	ret = cf_start(&t, do_umount, &c, 0);
	return ret ?: cf_wait(&t, ms);
}

/* Nobody may hold up an umount, so there is little time for it. */
long cf_umount(struct cf_env *env, const char *name, int flags)
{
	return cf_umount_within(env, name, flags, PROMPT_MS);
}

static long do_read(void *arg, struct cf_out *out)
{
	struct call *c = arg;
	ssize_t n, total = 0;
	int fd;

	fd = open(c->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (total < (ssize_t)c->len) {
		n = pread(fd, out->buf + total, c->len - total,
			  c->off + total);
		if (n < 0)
			return -errno;
		if (!n)
			break;
		total += n;
	}
	return total;
}

/* open(2) and pread(2) <tmp>/<name>; the bytes come to t->out->buf. */
int cf_read_start(struct cf_env *env, struct cf_task *t, const char *name,
		  __u64 off, size_t len)
{
	struct call c;

	call_path(env, &c, name);
	c.off = off;
	c.len = len;
	return cf_start(t, do_read, &c, len);
}

long cf_read(struct cf_env *env, const char *name, __u64 off, size_t len,
	     void *buf)
{
	struct cf_task t;
	long ret;

	ret = cf_read_start(env, &t, name, off, len);
	if (!ret)
		ret = cf_wait(&t, WAIT_MS);
	if (ret > 0)
		memcpy(buf, t.out->buf, ret);
	munmap(t.out, t.cap);
	return ret;
}

/* What has been used of late is passed over at first, and it pins other things. */
#define RECLAIM_ROUNDS	4

static long do_reclaim(void *arg, struct cf_out *out)
{
	int i, ret = 0;

	for (i = 0; !ret && i < RECLAIM_ROUNDS; i++)
		ret = cf_drop("2");
	return ret ?: cf_drop("3");
}

/* Have the kernel drop all dentries and inodes that it can, and pages in the end. */
int cf_reclaim_start(struct cf_task *t)
{
	return cf_start(t, do_reclaim, NULL, 0);
}
