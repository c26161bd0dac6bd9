// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fetches a blob, or ranges of it, from a source into an ordinary file, as the
 * daemon does into the kernel's; for the tests of the sources.
 *
 *	source_test [OPTION]... SOURCE KEY FILE
 *
 *	-c BYTES	fetch in pieces of this size (default: all at once)
 *	-f BYTES	begin here (default 0)
 *	-l BYTES	this many (default: to the end)
 *	-n N		at most N pieces at a time (default 1)
 *	-t MS		time limit of a request (default 10000)
 *	-r N		retries (default 2)
 *	-A FILE		certificates
 *	-x MS		give all up after this time
 *	-O ERRNO	openat2(2) fails with it
 *	-P ERRNO	pread(2) fails with it
 *
 * Prints one line: look-up's error, size, the first fetch's error, bytes
 * fetched, retries, milliseconds, memory at most.
 */
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"
#include "log.h"
#include "source.h"

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static struct engine *engine;
static struct blob *blob;
static uint64_t piece_size;
static uint64_t next_pos;
static uint64_t end_pos;
static int out = -1;
static unsigned int in_flight;
static unsigned int max_in_flight;
static unsigned int wanted = 1;
static int lookup_error = 1;
static int fetch_error;

static void looked_up(struct source_req *req, int error)
{
	(void)req;
	lookup_error = error;
	in_flight--;
}

static void fetched(struct source_req *req, int error)
{
	if (error && !fetch_error)
		fetch_error = error;
	in_flight--;
	free(req);
}

static void begin_pieces(void)
{
	while (next_pos < end_pos && in_flight < wanted && !fetch_error &&
	       !engine_full(engine)) {
		struct source_req *req = calloc(1, sizeof(*req));

		req->blob = blob;
		req->fd = out;
		req->pos = next_pos;
		req->end = next_pos + piece_size;
		if (req->end > end_pos || !piece_size)
			req->end = end_pos;
		req->done = fetched;
		next_pos = req->end;
		if (++in_flight > max_in_flight)
			max_in_flight = in_flight;
		engine_fetch(engine, req);
	}
}

/* The system call @nr fails with @error from here on. */
static bool break_call(unsigned int nr, unsigned int error)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog prog = {
		.len = ARRAY_SIZE(filter), .filter = filter
	};

	return !prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) &&
	       !prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog);
}

/* Until nothing is in flight. */
static void run(uint64_t give_up)
{
	struct pollfd pfd = { .fd = engine_fd(engine), .events = POLLIN };

	while (in_flight || next_pos < end_pos) {
		uint64_t due;

		if (give_up <= clock_ms()) {
			atomic_store(&blob->abandoned, true);
			give_up = CLOCK_NEVER;
			next_pos = end_pos;
		}
		begin_pieces();
		if (!in_flight)
			break;
		due = engine_due(engine);
		poll(&pfd, 1, clock_until(give_up < due ? give_up : due));
		engine_run(engine);
	}
}

int main(int argc, char **argv)
{
	struct source_config config = { .timeout_ms = 10000, .retries = 2 };
	struct stats stats = { 0 };
	uint64_t length = UINT64_MAX, start, give_up = CLOCK_NEVER;
	struct source_req req;
	struct source *source;
	unsigned int open_error = 0, read_error = 0;
	struct rusage usage;
	char why[512];
	int opt, error;

	while ((opt = getopt(argc, argv, "c:f:l:n:t:r:A:x:O:P:")) != -1) {
		uint64_t n = strtoull(optarg, NULL, 0);

		switch (opt) {
		case 'c':
			piece_size = n;
			break;
		case 'f':
			next_pos = n;
			break;
		case 'l':
			length = n;
			break;
		case 'n':
			wanted = n;
			break;
		case 't':
			config.timeout_ms = n;
			break;
		case 'r':
			config.retries = n;
			break;
		case 'A':
			config.ca_file = optarg;
			break;
		case 'x':
			give_up = clock_ms() + n;
			break;
		case 'O':
			open_error = n;
			break;
		case 'P':
			read_error = n;
			break;
		default:
			return 2;
		}
	}
	if (argc - optind != 3)
		return 2;
	log_init(LOG_LEVEL_INFO);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	config.where = argv[optind];
	config.connections = wanted;
	source = source_new(&config, &stats, why, sizeof(why));
	if (!source) {
		printf("source: %s\n", why);
		return 1;
	}
	blob = blob_new(source, (unsigned char *)argv[optind + 1],
			strlen(argv[optind + 1]), &error);
	if (!blob) {
		printf("lookup=%d\n", error);
		return 1;
	}
	out = open(argv[optind + 2], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	engine = engine_new(source);
	if (out < 0 || !engine ||
	    (open_error && !break_call(SYS_openat2, open_error)) ||
	    (read_error && !break_call(SYS_pread64, read_error)))
		return 1;

	start = clock_ms();
	req = (struct source_req){
		.blob = blob, .fd = -1, .done = looked_up
	};
	in_flight = 1;
	engine_lookup(engine, &req);
	run(give_up);
	if (!lookup_error) {
		end_pos = length < blob->size - next_pos ? next_pos + length :
							   blob->size;
		run(give_up);
	}
	getrusage(RUSAGE_SELF, &usage);
	printf("lookup=%d size=%llu fetch=%d bytes=%llu retries=%llu inflight=%u ms=%llu rss=%ld\n",
	       lookup_error, (unsigned long long)blob->size, fetch_error,
	       (unsigned long long)stats_get(&stats.fetch_bytes),
	       (unsigned long long)stats_get(&stats.retries), max_in_flight,
	       (unsigned long long)(clock_ms() - start), usage.ru_maxrss);

	engine_free(engine);
	blob_free(blob);
	source_free(source);
	curl_global_cleanup();
	return lookup_error || fetch_error;
}
