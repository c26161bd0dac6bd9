// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of the server: READs that fail with an errno, objects that are full. */
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "scene.h"
#include "tap.h"

#define NO_EVICTION (CACHEFILES_FEATURE_READ_FAIL | CACHEFILES_FEATURE_FULL)

static void begin(uint64_t features, unsigned int threads)
{
	fake_source_init(&scene.source, &scene.stats);
	scene_device();
	fake_features(features);
	scene_start(&scene.source.base, threads, 0);
	scene_open(1, "copen 1,1048576");
}

static void test_errors(void)
{
	static const struct {
		int source;
		int reader;
	} errors[] = {
		{ ETIMEDOUT, ETIMEDOUT }, { ENOENT, ENOENT },
		{ EACCES, EACCES }, { EIO, EIO }, { ECONNREFUSED, ECONNREFUSED },
		{ ENOSPC, ENOSPC }, { EDQUOT, ENOSPC },
		{ EAGAIN, EIO }, { EINTR, EIO }, { 512, EIO },
	};
	uint32_t i, id = 10;

	begin(NO_EVICTION, 2);
	for (i = 0; i < ARRAY_SIZE(errors); i++, id++) {
		atomic_store(&scene.source.error, -errors[i].source);
		fake_read(id, 1, i * BLOCK, BLOCK);
		ok(fake_completed(id, FAKE_WAIT_MS) &&
		   fake_read_error(id) == -errors[i].reader,
		   "errno %d of the source is %d for readers",
		   errors[i].source, errors[i].reader);
	}
	fake_read(id, 1, 0, BLOCK);
	ok(fake_completed(id, FAKE_WAIT_MS) &&
	   fake_read_error(id) == -ETIMEDOUT && scene.source.fetches == i,
	   "it is the same errno at once when asked again");
	fake_read(++id, 1, 4 * MIB, BLOCK);
	ok(fake_completed(id, FAKE_WAIT_MS) && fake_read_error(id) == -ERANGE,
	   "READ beyond the size");
	atomic_store(&scene.source.error, 0);
	fake_read(++id, 1, 64 * BLOCK, BLOCK);
	ok(fake_completed(id, FAKE_WAIT_MS) && fake_read_error(id) == 0 &&
	   scene_filled(64 * BLOCK, 65 * BLOCK), "others are served on");
	scene_stop();
}

static void test_joined_error(void)
{
	begin(NO_EVICTION, 2);
	atomic_store(&scene.source.hold, true);
	fake_read(10, 1, 0, BLOCK);
	while (scene.source.fetches < 1)
		usleep(1000);
	fake_read(11, 1, 0, 2 * BLOCK);
	while (scene.source.fetches < 2)
		usleep(1000);
	atomic_store(&scene.source.error, -ENOENT);
	fake_release(&scene.source);
	ok(fake_completed(10, FAKE_WAIT_MS) && fake_completed(11, FAKE_WAIT_MS) &&
	   fake_read_error(10) == -ENOENT && fake_read_error(11) == -ENOENT,
	   "all READs that waited for a fetch get its errno");
	scene_stop();
}

static void test_old_kernel(void)
{
	begin(0, 2);
	atomic_store(&scene.source.error, -ENOSPC);
	fake_read(10, 1, 0, BLOCK);
	ok(fake_completed(10, FAKE_WAIT_MS) && fake_read_error(10) == 0 &&
	   scene_filled(0, 0) && scene.source.fetches == 1,
	   "no features: a failed READ is completed, not filled");
	ok(scene_stop() == 0, "no features: a clean end");
}

static void test_full(void)
{
	int fd;

	begin(NO_EVICTION, 2);
	fd = scene_open(2, "copen 1,1048576");
	fake_read(10, 2, 0, BLOCK);
	fake_completed(10, FAKE_WAIT_MS);
	fake_full(11, 2);
	ok(fake_fd_closed(fd), "FULL closes the fd");
	fake_read(12, 2, 0, BLOCK);
	fake_full(13, 2);
	fake_close(14, 2);
	fake_full(15, 77);
	fake_read(16, 1, 0, BLOCK);
	ok(fake_completed(16, FAKE_WAIT_MS) && !fake_completed(12, 0) &&
	   !*fake_command(0), "the object is forgotten");

	fd = scene_open(3, "copen 1,1048576");
	atomic_store(&scene.source.hold, true);
	fake_read(20, 3, 0, BLOCK);
	while (scene.source.fetches < 3)
		usleep(1000);
	fake_full(21, 3);
	ok(fake_fd_closed(fd) && scene.source.cancelled == 1 &&
	   !fake_completed(20, 0) && stats_get(&scene.stats.read_errors) == 0,
	   "a fetch that is under way for it ends, and is no error");

	fd = fake_object_fd(scene.object_path);
	fake_open(30, 4, "blob", 4, fd);
	while (scene.source.lookups < 4)
		usleep(1000);
	fake_full(31, 4);
	ok(fake_fd_closed(fd), "FULL before the OPEN's answer is out");
	fake_release(&scene.source);
	ok(scene_stop() == 0 && stats_get(&scene.stats.complete) == 3 &&
	   stats_get(&scene.stats.in_flight) == 0, "and is counted");
}

#define ROUNDS 300

/* Objects become full while eight threads fetch for them. */
static void test_full_race(void)
{
	bool good = true;
	uint32_t i, k;

	begin(NO_EVICTION, 8);
	for (i = 0; i < ROUNDS; i++) {
		int fd = scene_open(10 + i, "copen 1,1048576");

		for (k = 0; k < 20; k++) {
			fake_read(1000 + 20 * i + k, 10 + i, k * BLOCK, BLOCK);
			if (k == i % 20)
				fake_full(999, 10 + i);
		}
		good &= fake_fd_closed(fd);
	}
	ok(good && scene_stop() == 0 &&
	   stats_get(&scene.stats.complete) == ROUNDS &&
	   stats_get(&scene.stats.read_errors) == 0 &&
	   stats_get(&scene.stats.in_flight) == 0,
	   "FULL races with READs and fetches");
}

int main(void)
{
	scene_init();
	test_errors();
	test_joined_error();
	test_old_kernel();
	test_full();
	test_full_race();
	scene_end();
	return tap_end();
}
