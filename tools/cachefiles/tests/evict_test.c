// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of eviction: a disk that fills up, blobs in use, nothing left. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "evict_scan.h"
#include "scene.h"
#include "tap.h"

/* What a blob of one block takes, in the blocks of stat(2). */
static uint64_t blob_blocks;

static const char *path_of(const char *name)
{
	static char path[300];

	snprintf(path, sizeof(path), "%s/cache/%s", scene.dir, name);
	return path;
}

static bool there(const char *name)
{
	return !access(path_of(name), F_OK);
}

/* Put a blob into the cache that was used so many days ago. */
static void blob(const char *name, int accessed, int modified)
{
	struct timespec times[2];
	char path[300], *slash;
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s", path_of(name));
	for (slash = path + strlen(scene.dir); slash; ) {
		slash = strchr(slash + 1, '/');
		if (slash) {
			*slash = '\0';
			mkdir(path, 0700);
			*slash = '/';
		}
	}
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	clock_gettime(CLOCK_REALTIME, &times[0]);
	times[1] = times[0];
	times[0].tv_sec -= accessed * 86400;
	times[1].tv_sec -= modified * 86400;
	if (fd < 0 || write(fd, path, 1) != 1 || fsync(fd) ||
	    futimens(fd, times) || fstat(fd, &st))
		abort();
	blob_blocks = st.st_blocks;
	close(fd);
}

/* A disk that wants @blobs of the blobs that it has to be removed. */
static void disk_wants(unsigned int blobs)
{
	fake_disk(&(struct cachefiles_space){
		.block_size = 512,
		.brun = 1000, .bcull = 900, .bstop = 100,
		.blocks = 1000 - blobs * blob_blocks + blob_blocks / 2,
		.files = 100, .frun = 7, .fcull = 5, .fstop = 1,
		.flags = blobs ? CACHEFILES_SPACE_CULL : 0,
	});
}

static void empty_cache(void)
{
	if (chdir(scene.dir) || system("rm -rf cache"))
		abort();
}

static void begin(unsigned int threads)
{
	fake_source_init(&scene.source, &scene.stats);
	scene.config.cache = scene.dir;
	scene_start(&scene.source.base, threads, 0);
}

static bool evicted(unsigned int n)
{
	int i;

	for (i = 0; i < FAKE_WAIT_MS && stats_get(&scene.stats.evicted) < n; i++)
		usleep(1000);
	usleep(FAKE_QUIET_MS * 1000);
	return stats_get(&scene.stats.evicted) == n && fake_culls() == n;
}

static void test_order(void)
{
	char before[300], after[300];

	blob("Ierofs,a/@01/Dsecond", 8, 8);
	blob("Ierofs,a/@02/Dbusy", 20, 20);
	blob("Ierofs,a/@03/Dlast", 20, 1);
	blob("Ierofs,b/@01/Dfirst", 9, 30);
	blob("Ierofs,b/@01/Dthird", 7, 30);
	blob("Ierofs,b/@01/Xother", 90, 90);
	blob("Ierofs,c/@01/Dfourth", 6, 30);
	if (symlink("Xother", path_of("Ierofs,b/@01/Dlink")) ||
	    !getcwd(before, sizeof(before)))
		abort();
	scene_device();
	disk_wants(3);
	begin(1);
	ok(evicted(3) && !there("Ierofs,b/@01/Dfirst") &&
	   !there("Ierofs,a/@01/Dsecond") && !there("Ierofs,b/@01/Dthird") &&
	   there("Ierofs,c/@01/Dfourth"),
	   "the oldest are evicted, until the run limit is kept");
	ok(there("Ierofs,a/@02/Dbusy"), "not one in use");
	ok(there("Ierofs,b/@01/Xother") && there("Ierofs,b/@01/Dlink"),
	   "nor what is no blob");
	ok(!there("Ierofs,a/@01") && there("Ierofs,a") && there("Ierofs,b/@01"),
	   "directories that are empty are removed");
	ok(getcwd(after, sizeof(after)) && !strcmp(before, after),
	   "the process' working directory stays");
	ok(stats_get(&scene.stats.evictions) == 1 &&
	   stats_get(&scene.stats.evicted_bytes) == 3 * 512 * blob_blocks,
	   "and all is counted");

	disk_wants(1);
	scene_open(1, "copen 1,1048576");
	ok(evicted(4) && !there("Ierofs,c"), "again when the device is writable");
	disk_wants(9);
	scene_open(2, "copen 1,1048576");
	ok(evicted(5) && !there("Ierofs,a/@03/Dlast"),
	   "a modification counts as use");
	ok(there("Ierofs,a/@02/Dbusy"), "one in use stays, however short it is");
	ok(scene_stop() == 0, "a clean end");
}

static void test_files(void)
{
	empty_cache();
	blob("Ierofs,a/@01/Done", 9, 9);
	blob("Ierofs,a/@01/Dtwo", 8, 8);
	blob("Ierofs,a/@01/Dthree", 7, 7);
	scene_device();
	fake_disk(&(struct cachefiles_space){
		.block_size = 512, .blocks = 100,
		.files = 4, .frun = 6, .fcull = 5,
	});
	begin(1);
	ok(evicted(2) && there("Ierofs,a/@01/Dthree"),
	   "a lack of files is a lack of space");
	scene_stop();
}

static void test_many_in_use(void)
{
	char name[64];
	int i;

	empty_cache();
	for (i = 0; i < EVICT_BATCH * 5 / 2; i++) {
		snprintf(name, sizeof(name), "Ierofs,a/@01/Dbusy%d", i);
		blob(name, 100, 100);
	}
	blob("Ierofs,a/@01/Dfree", 1, 1);
	scene_device();
	disk_wants(1);
	begin(1);
	ok(evicted(1) && !there("Ierofs,a/@01/Dfree") &&
	   there("Ierofs,a/@01/Dbusy2559"), "behind many that are in use");
	scene_stop();
}

static int disk_error(void)
{
	return fake_disk_take(1) ? 0 : -ENOSPC;
}

static void test_fill(void)
{
	empty_cache();
	blob("Ierofs,a/@01/Dold", 9, 9);
	scene_device();
	fake_disk(&(struct cachefiles_space){
		.block_size = 512, .blocks = 12,
		.bstop = 10, .bcull = 11, .brun = 12 + blob_blocks,
		.files = 100, .frun = 7, .fcull = 5, .fstop = 1,
	});
	begin(2);
	scene.source.fill_error = disk_error;
	scene_open(1, "copen 1,1048576");
	/* Let the evictor find that nothing is to be done yet. */
	usleep(FAKE_QUIET_MS * 1000);
	fake_read(10, 1, 0, 4 * BLOCK);
	ok(fake_completed(10, FAKE_WAIT_MS) && fake_read_error(10) == 0 &&
	   scene_filled(0, 4 * BLOCK) && !there("Ierofs,a"),
	   "a fill that fails for space is tried again when there is room");
	ok(stats_get(&scene.stats.refills) == 1 && scene.source.fetches == 2 &&
	   stats_get(&scene.stats.read_errors) == 0, "once");

	while (fake_disk_take(1))
		;
	fake_read(11, 1, 16 * BLOCK, BLOCK);
	ok(fake_completed(11, FAKE_WAIT_MS) && fake_read_error(11) == -ENOSPC &&
	   scene.source.fetches == 3, "nothing left to evict: ENOSPC");
	fake_read(12, 1, 0, BLOCK);
	ok(fake_completed(12, FAKE_WAIT_MS) && fake_read_error(12) == -ENOSPC,
	   "also at once again");
	scene_stop();
}

static int quota_error(void)
{
	return -EDQUOT;
}

static void test_quota(void)
{
	empty_cache();
	blob("Ierofs,a/@01/Dold", 9, 9);
	scene_device();
	begin(2);
	scene.source.fill_error = quota_error;
	scene_open(1, "copen 1,1048576");
	fake_read(10, 1, 0, BLOCK);
	ok(fake_completed(10, FAKE_WAIT_MS) && fake_read_error(10) == -ENOSPC &&
	   !there("Ierofs,a") && scene.source.fetches == 2,
	   "a quota: evicted and tried again, then ENOSPC");

	/* The next round finds nothing, and for a second there is none. */
	fake_read(11, 1, 16 * BLOCK, BLOCK);
	ok(fake_completed(11, FAKE_WAIT_MS) && fake_read_error(11) == -ENOSPC,
	   "nothing left to evict: ENOSPC");
	blob("Ierofs,a/@01/Dlate", 9, 9);
	disk_wants(1);
	scene_open(2, "copen 1,1048576");
	ok(evicted(2) && !there("Ierofs,a/@01/Dlate"),
	   "space gets short then: a round when that is over");
	scene_stop();
}

static void test_old_kernel(void)
{
	empty_cache();
	blob("Ierofs,a/@01/Dold", 9, 9);
	scene_device();
	fake_features(CACHEFILES_FEATURE_READ_FAIL);
	disk_wants(9);
	begin(2);
	scene.source.fill_error = quota_error;
	scene_open(1, "copen 1,1048576");
	fake_read(10, 1, 0, BLOCK);
	ok(fake_completed(10, FAKE_WAIT_MS) && scene.source.fetches == 1 &&
	   evicted(0) && there("Ierofs,a/@01/Dold"),
	   "a kernel that does not tell its space: no eviction");
	scene_stop();
}

static void test_close(void)
{
	int fd, fd2;

	scene_device();
	disk_wants(0);
	begin(2);
	scene.source.fill_error = quota_error;
	fd = scene_open(1, "copen 1,1048576");
	fd2 = scene_open(2, "copen 1,1048576");
	fake_hold_culls(true);
	fake_read(10, 1, 0, BLOCK);
	fake_read(11, 2, 0, BLOCK);
	while (scene.source.fetches < 2 || !fake_culls())
		usleep(1000);
	ok(!fake_completed(10, FAKE_QUIET_MS), "READ waits for the eviction");
	fake_close(12, 1);
	fake_full(13, 2);
	usleep(FAKE_QUIET_MS * 1000);
	fake_hold_culls(false);
	ok(fake_fd_closed(fd) && fake_fd_closed(fd2) &&
	   !fake_completed(10, 0) && !fake_completed(11, 0) &&
	   stats_get(&scene.stats.in_flight) == 0,
	   "CLOSE and FULL meanwhile: it ends, and is not answered");
	ok(scene_stop() == 0, "a clean end");
}

/* How many of the READs were filled; -1 if one had another end than that. */
static int nr_filled(uint32_t first, uint32_t n)
{
	uint32_t i;
	int nr = 0;

	for (i = first; i < first + n; i++) {
		if (!fake_completed(i, FAKE_WAIT_MS) ||
		    (fake_read_error(i) && fake_read_error(i) != -ENOSPC))
			return -1;
		nr += !fake_read_error(i);
	}
	return nr;
}

#define BLOBS 60

/* Eight threads fill a disk that is too small, and it is evicted meanwhile. */
static void test_race(void)
{
	char name[64];
	int i, good;

	empty_cache();
	for (i = 0; i < BLOBS; i++) {
		snprintf(name, sizeof(name), "Ierofs,%d/@01/D%d", i % 7, i);
		blob(name, i, i);
	}
	scene_device();
	disk_wants(0);
	begin(8);
	scene.source.fill_error = disk_error;
	scene.source.size = 32 * MIB;
	scene.source.limit = 4;
	scene_open(1, "copen 1,33554432");
	for (i = 0; i < 5000; i++)
		fake_read(100 + i, 1, i * BLOCK, BLOCK);
	good = nr_filled(100, 5000);
	ok(good > 900 && stats_get(&scene.stats.in_flight) == 0,
	   "many fills on a full disk: all are answered, %d of them filled",
	   good);
	ok(scene_stop() == 0 && stats_get(&scene.stats.evicted) == BLOBS &&
	   stats_get(&scene.stats.evictions) < 20,
	   "in few rounds, until nothing is left");
}

int main(void)
{
	scene_init();
	test_order();
	test_files();
	test_many_in_use();
	test_fill();
	test_quota();
	test_old_kernel();
	test_close();
	test_race();
	scene_end();
	return tap_end();
}
