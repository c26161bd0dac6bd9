// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of the server against a kernel and a source that the test plays. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "scene.h"
#include "tap.h"

static void test_read(void)
{
	int fd;

	fake_source_init(&scene.source, &scene.stats);
	scene.source.size = MIB + 100;
	scene_start(&scene.source.base, 2, 0);
	fd = scene_open(1, "copen 1,1048676");
	ok(true, "OPEN is answered with the size");

	fake_read(2, 1, 8192, 4096);
	ok(fake_completed(2, FAKE_WAIT_MS) && scene_filled(8192, 12288),
	   "READ fills just what is asked for");
	fake_read(3, 1, MIB, 4096);
	ok(fake_completed(3, FAKE_WAIT_MS) && stats_get(&scene.stats.read_errors) == 0,
	   "READ of the tail, rounded up, ends at the size");
	fake_read(4, 1, 2 * MIB, 4096);
	ok(fake_completed(4, FAKE_WAIT_MS) && stats_get(&scene.stats.read_errors) == 1,
	   "READ beyond the size is answered, not filled");
	fake_read(5, 77, 0, 4096);
	fake_read(6, 1, 0, 4096);
	ok(fake_completed(6, FAKE_WAIT_MS) && !fake_completed(5, 0),
	   "READ of an unknown object is passed over");

	fake_send("junk", 4);
	fake_send("more junk than a head has, 32 byt", 33);
	fake_read(7, 1, 0, 4096);
	ok(fake_completed(7, FAKE_WAIT_MS), "junk is passed over");

	fake_close(8, 1);
	ok(fake_fd_closed(fd), "CLOSE closes the fd");
	ok(scene_stop() == 0 && stats_get(&scene.stats.closes) == 1, "a clean end");
}

static void test_open_errors(void)
{
	static const struct {
		const char *key;
		size_t len;
		int error;
	} keys[] = {
		{ "", 0, ENOENT }, { ".", 1, ENOENT }, { "..", 2, ENOENT },
		{ "a/b", 3, ENOENT }, { "/etc/passwd", 11, ENOENT },
		{ "a\0b", 3, ENOENT }, { "missing", 7, ENOENT },
		{ "out", 3, ENOENT }, { "loop", 4, ENOENT },
		{ "sub", 3, EISDIR }, { "fifo", 4, EINVAL },
	};
	struct source_config config = { .where = scene.dir };
	struct source *from;
	char why[256], path[128], want[32];
	size_t i;
	int fd;

	from = source_new(&config, &scene.stats, why, sizeof(why));
	if (!from)
		abort();
	snprintf(path, sizeof(path), "%s/out", scene.dir);
	if (symlink("/etc/passwd", path))
		abort();
	snprintf(path, sizeof(path), "%s/loop", scene.dir);
	if (symlink("loop", path))
		abort();
	snprintf(path, sizeof(path), "%s/sub", scene.dir);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/fifo", scene.dir);
	mkfifo(path, 0600);
	snprintf(path, sizeof(path), "%s/empty", scene.dir);
	close(fake_object_fd(path));

	scene_start(from, 1, 0);
	for (i = 0; i < ARRAY_SIZE(keys); i++) {
		fd = fake_object_fd(scene.object_path);
		fake_open(i, i, keys[i].key, keys[i].len, fd);
		snprintf(want, sizeof(want), "copen %zu,-%d", i, keys[i].error);
		ok(scene_answered(want) && fake_fd_closed(fd), "OPEN of '%s': %s",
		   keys[i].key, want);
	}
	fd = fake_object_fd(scene.object_path);
	fake_open(50, 50, "empty", 5, fd);
	ok(scene_answered("copen 50,0"), "OPEN of an empty file");
	ok(scene_stop() == 0 && stats_get(&scene.stats.open_errors) == i,
	   "failed OPENs are counted");
	source_free(from);
}

static void test_truncated(void)
{
	struct source_config config = { .where = scene.dir };
	struct source *from;
	char why[256], path[128];
	unsigned char zero = 1;
	int fd;

	from = source_new(&config, &scene.stats, why, sizeof(why));
	snprintf(path, sizeof(path), "%s/blob", scene.dir);
	fd = fake_object_fd(path);
	if (ftruncate(fd, MIB))
		abort();
	scene_start(from, 1, 0);
	fake_open(1, 1, "blob", 4, fake_object_fd(scene.object_path));
	if (!scene_answered("copen 1,1048576"))
		abort();
	if (ftruncate(fd, 300 * 1024 + 5))
		abort();
	fake_read(2, 1, 256 * 1024, 128 * 1024);
	ok(fake_completed(2, FAKE_WAIT_MS) && stats_get(&scene.stats.read_errors) == 1,
	   "READ behind a file's new end fails");
	close(fd);
	fd = open(scene.object_path, O_RDONLY);
	ok(pread(fd, &zero, 1, 300 * 1024) == 0, "and leaves no zeros");
	close(fd);
	fake_read(3, 1, 0, 128 * 1024);
	ok(fake_completed(3, FAKE_WAIT_MS) && stats_get(&scene.stats.read_errors) == 1,
	   "what is there is served on");
	scene_stop();
	source_free(from);
}

static void test_units(void)
{
	fake_source_init(&scene.source, &scene.stats);
	scene.source.size = MIB + 100;
	scene_start(&scene.source.base, 1, 256 * 1024);
	scene_open(1, "copen 1,1048676");

	fake_read(2, 1, 300 * 1024, 4096);
	ok(fake_completed(2, FAKE_WAIT_MS) && scene_filled(256 * 1024, 512 * 1024),
	   "the unit around a READ is filled");
	fake_read(3, 1, 400 * 1024, 8192);
	ok(fake_completed(3, FAKE_WAIT_MS) && scene.source.fetches == 1 &&
	   stats_get(&scene.stats.present) == 1,
	   "READ of what the unit had is answered without a fetch");
	fake_read(4, 1, 500 * 1024, 24 * 1024);
	ok(fake_completed(4, FAKE_WAIT_MS) && scene.source.fetches == 2 &&
	   stats_get(&scene.stats.reads) == 3 && scene_filled(256 * 1024, 768 * 1024),
	   "READ across units fetches the missing one");
	fake_read(5, 1, MIB, 4096);
	ok(fake_completed(5, FAKE_WAIT_MS) && scene.source.fetches == 3,
	   "the last unit ends at the size");
	scene_stop();
}

static void test_join(void)
{
	fake_source_init(&scene.source, &scene.stats);
	scene_start(&scene.source.base, 4, 128 * 1024);
	scene_open(1, "copen 1,1048576");

	atomic_store(&scene.source.hold, true);
	fake_read(2, 1, 0, 4096);
	fake_read(3, 1, 4096, 4096);
	fake_read(4, 1, 64 * 1024, 128 * 1024);
	ok(!fake_completed(4, FAKE_QUIET_MS) && !fake_completed(2, 0) &&
	   !fake_completed(3, 0) && stats_get(&scene.stats.joined) == 2 &&
	   scene.source.fetches == 2,
	   "READs of one unit wait for one fetch");
	fake_release(&scene.source);
	ok(fake_completed(2, FAKE_WAIT_MS) && fake_completed(3, FAKE_WAIT_MS) &&
	   fake_completed(4, FAKE_WAIT_MS) && scene_filled(0, 256 * 1024),
	   "and are all answered by it");
	ok(stats_get(&scene.stats.max_in_flight) == 3 &&
	   stats_get(&scene.stats.in_flight) == 0, "three were in flight");
	scene_stop();
}

static void test_failure(void)
{
	fake_source_init(&scene.source, &scene.stats);
	scene_start(&scene.source.base, 2, 0);
	scene_open(1, "copen 1,1048576");

	atomic_store(&scene.source.error, -ETIMEDOUT);
	fake_read(2, 1, 0, 8192);
	ok(fake_completed(2, FAKE_WAIT_MS) && scene_filled(0, 0),
	   "a failed READ is answered, not filled");
	fake_read(3, 1, 4096, 8192);
	ok(fake_completed(3, FAKE_WAIT_MS) && scene.source.fetches == 1,
	   "the kernel's second READ fails without another fetch");
	atomic_store(&scene.source.error, 0);
	fake_read(4, 1, 8192, 4096);
	ok(fake_completed(4, FAKE_WAIT_MS) && scene_filled(8192, 12288),
	   "READ of something else goes on");
	usleep(2100 * 1000);
	fake_read(5, 1, 0, 8192);
	ok(fake_completed(5, FAKE_WAIT_MS) && scene_filled(0, 12288) &&
	   stats_get(&scene.stats.read_errors) == 2,
	   "a failure is forgotten after two seconds");

	atomic_store(&scene.source.error, -EACCES);
	fake_open(6, 2, "blob", 4, fake_object_fd(scene.object_path));
	ok(scene_answered("copen 6,-13"), "a failed look-up fails the OPEN");
	scene_stop();
}

static void test_close_early(void)
{
	int fd;

	fake_source_init(&scene.source, &scene.stats);
	scene_start(&scene.source.base, 4, 0);
	fd = scene_open(1, "copen 1,1048576");
	atomic_store(&scene.source.hold, true);
	fake_read(2, 1, 0, 4096);
	fake_read(3, 1, 8192, 4096);
	while (scene.source.fetches < 2)
		usleep(1000);
	fake_close(4, 1);
	ok(fake_fd_closed(fd) && scene.source.cancelled == 2 &&
	   !fake_completed(2, 0) && !fake_completed(3, 0),
	   "CLOSE ends what is under way for the object");

	fd = fake_object_fd(scene.object_path);
	fake_open(5, 2, "blob", 4, fd);
	while (scene.source.lookups < 2)
		usleep(1000);
	fake_close(6, 2);
	ok(fake_fd_closed(fd) && !*fake_command(FAKE_QUIET_MS),
	   "CLOSE ends an OPEN that was not answered");

	scene_open(3, (fake_release(&scene.source), "copen 1,1048576"));
	atomic_store(&scene.source.hold, true);
	fake_read(7, 3, 0, 4096);
	while (scene.source.fetches < 3)
		usleep(1000);
	ok(scene_stop() == 0 && !fake_completed(7, 0),
	   "the end gives up what is under way");
}

static void test_full(void)
{
	bool good = true;
	uint32_t i;

	fake_source_init(&scene.source, &scene.stats);
	scene.source.limit = 4;
	scene_start(&scene.source.base, 3, 0);
	scene_open(1, "copen 1,1048576");
	atomic_store(&scene.source.hold, true);
	for (i = 0; i < 20; i++)
		fake_read(100 + i, 1, i * BLOCK, BLOCK);
	for (i = 0; i < FAKE_WAIT_MS && scene.source.fetches < 12; i++)
		usleep(1000);
	usleep(FAKE_QUIET_MS * 1000);
	ok(scene.source.fetches == 12, "three full threads hold three times four");
	fake_release(&scene.source);
	for (i = 0; i < 20; i++)
		good &= fake_completed(100 + i, FAKE_WAIT_MS);
	ok(good && scene_filled(0, 20 * BLOCK), "and take the rest after these");
	scene_stop();
}

static void test_hang_up(void)
{
	struct pollfd pfd;

	fake_source_init(&scene.source, &scene.stats);
	scene_start(&scene.source.base, 3, 0);
	scene_open(1, "copen 1,1048576");
	fake_hang_up();
	pfd = (struct pollfd){
		.fd = server_failed_fd(scene.server), .events = POLLIN
	};
	ok(poll(&pfd, 1, FAKE_WAIT_MS) == 1 && scene_stop() == -EIO,
	   "the device's end is the server's");
}

#define MANY 20000
#define OBJECTS 4

/* Many READs in many threads: each is answered once, each byte is right. */
static void test_many(uint64_t unit)
{
	bool good = true;
	uint32_t i;

	fake_source_init(&scene.source, &scene.stats);
	scene.source.size = 8 * MIB;
	scene_start(&scene.source.base, 8, unit);
	scene_open(1, "copen 1,8388608");
	for (i = 0; i < MANY; i++)
		fake_read(100 + i, 1, (uint64_t)(i * 7919u % 2048) * BLOCK,
			  BLOCK * (1 + i % 3));
	for (i = 0; i < MANY; i++)
		good &= fake_completed(100 + i, FAKE_WAIT_MS);
	ok(good && scene_filled(0, 8 * MIB) && stats_get(&scene.stats.in_flight) == 0,
	   "%d READs in 8 threads, unit %llu", MANY, (unsigned long long)unit);
	scene_stop();
}

int main(void)
{
	scene_init();
	test_read();
	test_open_errors();
	test_truncated();
	test_units();
	test_join();
	test_failure();
	test_close_early();
	test_full();
	test_hang_up();
	test_many(0);
	test_many(64 * 1024);

	scene_end();
	return tap_end();
}
