// SPDX-License-Identifier: GPL-2.0
/*
 * The environment of a test: a mount namespace that goes with it, a fresh
 * cache directory, and /dev/cachefiles.
 */
#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common.h"

#define DEVICE "/dev/cachefiles"

/* The directory that each test has its own in. */
const char *cf_cache_parent(void)
{
	const char *dir = getenv("CACHEFILES_TEST_DIR");

	return dir ?: "/cache";
}

__u64 cf_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000ULL + ts.tv_nsec / 1000000;
}

/* How often to do something that takes long: $CACHEFILES_TEST_LONG says many. */
int cf_rounds(int usual, int many)
{
	return getenv("CACHEFILES_TEST_LONG") ? many : usual;
}

/*
 * The device has one opener at a time, and the last one may be a task that is
 * just dying.
 */
int cf_dev_open(void)
{
	__u64 end = cf_now_ms() + PROMPT_MS;
	int fd;

	for (;;) {
		fd = open(DEVICE, O_RDWR | O_CLOEXEC);
		if (fd >= 0)
			return fd;
		if (errno != EBUSY || cf_now_ms() > end)
			return -errno;
		usleep(10000);
	}
}

/* A plain close, and an error where it takes long. */
int cf_dev_close(struct cf_env *env)
{
	__u64 start = cf_now_ms();
	int ret;

	ret = close(env->dev) < 0 ? -errno : 0;
	env->dev = -1;
	if (!ret && cf_now_ms() - start > PROMPT_MS)
		ret = -ETIME;
	return ret;
}

int cf_cmd(int dev, const char *fmt, ...)
{
	char cmd[512];
	va_list ap;
	ssize_t n;
	int len;

	va_start(ap, fmt);
	len = vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);

	n = write(dev, cmd, len);
	if (n < 0)
		return -errno;
	return n == len ? 0 : -EIO;
}

/* Open the device and bind it to the test's directory: "bind <how>". */
int cf_bind(struct cf_env *env, const char *how)
{
	int ret;

	if (env->dev < 0) {
		env->dev = cf_dev_open();
		if (env->dev < 0)
			return env->dev;
	}
	ret = cf_cmd(env->dev, "dir %s", env->root);
	if (!ret)
		ret = cf_cmd(env->dev, "tag selftest");
	if (!ret)
		ret = cf_cmd(env->dev, *how ? "bind %s" : "bind", how);
	return ret;
}

static int remove_one(const char *path, const struct stat *st, int type,
		      struct FTW *ftw)
{
	remove(path);
	return 0;
}

int cf_env_init(struct cf_env *env)
{
	const char *tmp = getenv("TMPDIR") ?: "/tmp";

	memset(env, 0, sizeof(*env));
	env->dev = -1;

	/* Whatever a failing test leaves mounted goes with its namespace. */
	if (unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return -errno;

	snprintf(env->tmp, sizeof(env->tmp), "%s/cachefiles.XXXXXX", tmp);
	if (!mkdtemp(env->tmp))
		return -errno;
	if (mount("none", env->tmp, "tmpfs", 0, NULL) < 0)
		return -errno;

	snprintf(env->root, sizeof(env->root), "%s/selftest.XXXXXX",
		 cf_cache_parent());
	if (!mkdtemp(env->root))
		return -errno;
	return 0;
}

void cf_env_fini(struct cf_env *env)
{
	cf_kill_all();
	if (env->dev >= 0)
		close(env->dev);
	if (*env->tmp) {
		umount2(env->tmp, MNT_DETACH);
		rmdir(env->tmp);
	}
	if (*env->root)
		nftw(env->root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static bool have_erofs(void)
{
	FILE *f = fopen("/proc/filesystems", "r");
	bool found = false;
	char line[64];

	while (f && !found && fgets(line, sizeof(line), f))
		found = !strcmp(line, "\terofs\n") || !strcmp(line, "nodev\terofs\n");
	if (f)
		fclose(f);
	return found;
}

/* Leave with KSFT_SKIP where there is nothing to be tested. */
void cf_require(void)
{
	struct cf_env env;
	pid_t pid;
	int ret;

	if (geteuid() != 0)
		ksft_exit_skip("needs root\n");
	if (access(DEVICE, F_OK) < 0 &&
	    (system("modprobe -q cachefiles") != 0 || access(DEVICE, F_OK) < 0))
		ksft_exit_skip("no " DEVICE ": CONFIG_CACHEFILES is off\n");
	if (access(cf_cache_parent(), W_OK) < 0)
		ksft_exit_skip("no directory %s: set CACHEFILES_TEST_DIR\n",
			       cf_cache_parent());
	if (!have_erofs() && system("modprobe -q erofs") != 0)
		ksft_exit_skip("no EROFS in this kernel\n");

	/* In a child: the namespace is to be a test's, not the program's. */
	fflush(NULL);
	pid = fork();
	if (!pid) {
		ret = cf_env_init(&env);
		if (!ret)
			ret = cf_bind(&env, "ondemand");
		cf_env_fini(&env);
		_exit(-ret);
	}
	if (pid < 0 || waitpid(pid, &ret, 0) != pid || !WIFEXITED(ret))
		ksft_exit_fail_msg("cannot probe for the on-demand mode\n");
	if (WEXITSTATUS(ret) == EINVAL)
		ksft_exit_skip("CONFIG_CACHEFILES_ONDEMAND is off\n");
	if (WEXITSTATUS(ret))
		ksft_exit_fail_msg("cannot bind a cache in %s: %s\n",
				   cf_cache_parent(), strerror(WEXITSTATUS(ret)));
}

/* "1" is clean pages, "2" dentries and inodes that nobody uses, "3" both. */
int cf_drop(const char *what)
{
	int fd = open("/proc/sys/vm/drop_caches", O_WRONLY | O_CLOEXEC);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, what, 1) != 1)
		ret = -errno;
	close(fd);
	return ret;
}

int cf_drop_caches(void)
{
	return cf_drop("3");
}

int cf_count_fds(void)
{
	struct dirent *de;
	int n = 0;
	DIR *dir;

	dir = opendir("/proc/self/fd");
	if (!dir)
		return -errno;
	while ((de = readdir(dir)))
		n += de->d_name[0] != '.';
	closedir(dir);
	return n - 1;
}
