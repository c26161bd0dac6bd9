// SPDX-License-Identifier: GPL-2.0
/* Allocations that fail, of the task itself or of the kernel's workers. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest.h"
#include "nomem.h"

#define DEBUG_DIR	"/sys/kernel/debug/"
#define MAX_NTH		2000

static int put(const char *path, const char *value)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC), ret;

	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

/*
 * An error where the kernel can't inject faults.  The file is opened here, so
 * that to begin and to end costs no memory.
 */
int nomem_init(struct nomem *nm)
{
	/* Allocations that may sleep are the interesting ones. */
	int ret = put(DEBUG_DIR "failslab/ignore-gfp-wait", "N") ?:
		  put(DEBUG_DIR "failslab/verbose", "0") ?:
		  put(DEBUG_DIR "fail_page_alloc/ignore-gfp-wait", "N") ?:
		  put(DEBUG_DIR "fail_page_alloc/ignore-gfp-highmem", "N") ?:
		  put(DEBUG_DIR "fail_page_alloc/min-order", "0") ?:
		  put(DEBUG_DIR "fail_page_alloc/verbose", "0");

	memset(nm, 0, sizeof(*nm));
	if (ret)
		return ret;
	nm->fd = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	return nm->fd < 0 ? -errno : 0;
}

/*
 * Where not each try makes the same allocations, one without a fault need not be
 * the end: @calm in a row are.
 */
void nomem_first(struct nomem *nm, int calm)
{
	nm->nth = 0;
	nm->nr_faults = 0;
	nm->nr_calm = 0;
	nm->calm = calm;
}

bool nomem_next(struct nomem *nm)
{
	if (nm->nth >= MAX_NTH) {
		ksft_print_msg("there is no end to the allocations\n");
		nm->nr_faults = -1;
		return false;
	}
	nm->nth++;
	if (nm->nr_calm < nm->calm)
		return true;
	ksft_print_msg("%d allocations failed\n", nm->nr_faults);
	return false;
}

static void set(int fd, int nth)
{
	char buf[16];

	if (pwrite(fd, buf, snprintf(buf, sizeof(buf), "%d", nth), 0) < 0)
		ksft_print_msg("fail-nth: %s\n", strerror(errno));
}

/* A worker that has ended can't be asked. */
static bool get(int fd)
{
	char buf[16] = "";

	if (pread(fd, buf, sizeof(buf) - 1, 0) <= 0)
		return false;
	set(fd, 0);
	return !atoi(buf);
}

static void count(struct nomem *nm, bool fault)
{
	nm->fault = fault;
	nm->nr_faults += fault;
	nm->nr_calm = fault ? 0 : nm->nr_calm + 1;
}

void nomem_begin(struct nomem *nm)
{
	set(nm->fd, nm->nth);
}

void nomem_end(struct nomem *nm)
{
	count(nm, get(nm->fd));
}

static int open_worker(const char *pid)
{
	char path[300], comm[32] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (read(fd, comm, sizeof(comm) - 1) < 0)
		*comm = 0;
	close(fd);
	if (strncmp(comm, "kworker/u", 9))
		return -1;
	snprintf(path, sizeof(path), "/proc/%s/fail-nth", pid);
	return open(path, O_RDWR | O_CLOEXEC);
}

/*
 * The same for each worker of the kernel that there is and that is bound to no
 * CPU.  Others' work is hit as well, and what is to be hit may have a new worker,
 * so which allocations of it fail is not as sure as it is for a task.
 */
void nomem_workers_begin(struct nomem *nm)
{
	DIR *dir = opendir("/proc");
	struct dirent *de;
	int fd;

	nm->nr_workers = 0;
	while (dir && nm->nr_workers < NOMEM_WORKERS && (de = readdir(dir))) {
		if (atoi(de->d_name) <= 0)
			continue;
		fd = open_worker(de->d_name);
		if (fd < 0)
			continue;
		set(fd, nm->nth);
		nm->worker[nm->nr_workers++] = fd;
	}
	if (dir)
		closedir(dir);
	if (!nm->nr_workers)
		ksft_print_msg("there are no workers\n");
}

void nomem_workers_end(struct nomem *nm)
{
	bool fault = false;

	while (nm->nr_workers) {
		int fd = nm->worker[--nm->nr_workers];

		fault |= get(fd);
		close(fd);
	}
	count(nm, fault);
}
