// SPDX-License-Identifier: GPL-2.0
/*
 * reader CASE N PLAN DIRECTORY: does the reading that is timed.
 *
 *	sequential N	the first file by N readers, each its own part
 *	random N	N pages of the second file, none twice, in a fixed order
 *	trace N		the first N of the other files, each read whole
 *
 * Prints as JSON the seconds, the latencies' 50th and 99th percentile, and how
 * many bytes they were.  An operation is a read of 128 KiB, a read of 4 KiB, or
 * opening, reading and closing a file of the trace.  Nothing reads more than
 * 128 KiB at once.
 *
 * The content is compared afterwards, every byte of it.
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>
#include "content.h"
#include "plan.h"

#define READ_BYTES		(128 << 10)
#define RANDOM_BYTES		4096

/* A piece that has been read, to be compared later. */
struct piece {
	const struct plan_file	*file;
	uint64_t		offset;
	uint64_t		len;
	uint64_t		ns;
	char			*data;
};

static struct plan plan;
static struct piece *pieces;
static size_t nr_pieces;
static pthread_barrier_t barrier;

static uint64_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

static int open_file(const struct plan_file *file)
{
	int fd = open(file->path, O_RDONLY);

	if (fd < 0)
		err(1, "%s", file->path);
	return fd;
}

static void read_piece(int fd, struct piece *piece)
{
	uint64_t begin = now(), done, len;

	for (done = 0; done < piece->len; done += len) {
		ssize_t n;

		len = piece->len - done < READ_BYTES ? piece->len - done : READ_BYTES;
		n = pread(fd, piece->data + done, len, piece->offset + done);
		if (n < 0)
			err(1, "%s at %lu", piece->file->path, piece->offset + done);
		if ((uint64_t)n != len)
			errx(1, "%s at %lu: %zd bytes instead of %lu", piece->file->path,
			     piece->offset + done, n, len);
	}
	piece->ns = now() - begin;
}

static void add_piece(const struct plan_file *file, uint64_t offset, uint64_t len)
{
	pieces[nr_pieces++] = (struct piece){ .file = file, .offset = offset, .len = len };
}

static void plan_sequential(void)
{
	for (uint64_t pos = 0; pos < plan.files[0].size; pos += READ_BYTES)
		add_piece(&plan.files[0], pos, READ_BYTES);
}

static void plan_random(size_t nr)
{
	const struct plan_file *file = &plan.files[1];
	uint64_t nr_pages = file->size / RANDOM_BYTES, x = 1;
	char *taken = calloc(nr_pages, 1);

	while (nr_pieces < nr) {
		uint64_t page = content_mix(x++) % nr_pages;

		if (!taken[page])
			add_piece(file, page * RANDOM_BYTES, RANDOM_BYTES);
		taken[page] = 1;
	}
	free(taken);
}

static void plan_trace(size_t nr)
{
	for (size_t i = 2; i < plan.nr && nr_pieces < nr; i++)
		add_piece(&plan.files[i], 0, plan.files[i].size);
}

/*
 * The memory is there before the clock starts.  Not where a file's pages and those
 * that they are copied to have the same low bits of their page numbers: what QEMU
 * emulates a TLB with has one place for both then, and copies at a third of the speed.
 * Large folios and large mappings have such numbers, those of some runs and not of
 * others.
 */
#define ASIDE_BYTES	(37 * 4096)

static void allocate(void)
{
	uint64_t total = ASIDE_BYTES;
	char *data;

	for (size_t i = 0; i < nr_pieces; i++)
		total += pieces[i].len;
	data = mmap(NULL, total, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
		    -1, 0);
	if (data == MAP_FAILED)
		err(1, "%lu bytes of memory", total);
	data += ASIDE_BYTES;
	for (size_t i = 0; i < nr_pieces; i++) {
		pieces[i].data = data;
		data += pieces[i].len;
	}
}

struct part {
	pthread_t	thread;
	size_t		first;
	size_t		end;
};

static void *read_part(void *arg)
{
	struct part *part = arg;
	int fd = open_file(pieces[part->first].file);

	pthread_barrier_wait(&barrier);
	for (size_t i = part->first; i < part->end; i++)
		read_piece(fd, &pieces[i]);
	pthread_barrier_wait(&barrier);
	close(fd);
	return NULL;
}

static uint64_t run_parts(size_t nr)
{
	struct part parts[nr];
	uint64_t begin, ns;

	pthread_barrier_init(&barrier, NULL, nr + 1);
	for (size_t i = 0; i < nr; i++) {
		parts[i].first = nr_pieces * i / nr;
		parts[i].end = nr_pieces * (i + 1) / nr;
		if (pthread_create(&parts[i].thread, NULL, read_part, &parts[i]))
			errx(1, "no thread");
	}
	pthread_barrier_wait(&barrier);
	begin = now();
	pthread_barrier_wait(&barrier);
	ns = now() - begin;
	for (size_t i = 0; i < nr; i++)
		pthread_join(parts[i].thread, NULL);
	return ns;
}

static uint64_t run_trace(void)
{
	uint64_t begin = now();

	for (size_t i = 0; i < nr_pieces; i++) {
		uint64_t opened = now();
		int fd = open_file(pieces[i].file);

		read_piece(fd, &pieces[i]);
		close(fd);
		pieces[i].ns = now() - opened;
	}
	return now() - begin;
}

static uint64_t check(void)
{
	uint64_t total = 0;

	for (size_t i = 0; i < nr_pieces; i++) {
		struct piece *p = &pieces[i];
		size_t right = content_check(p->data, p->file->number, p->offset, p->len);

		if (right != p->len)
			errx(1, "%s: wrong content at %lu", p->file->path, p->offset + right);
		total += p->len;
	}
	return total;
}

static int compare_ns(const void *a, const void *b)
{
	const struct piece *p = a, *q = b;

	return p->ns < q->ns ? -1 : p->ns > q->ns;
}

static double percentile_us(unsigned int percent)
{
	return pieces[(nr_pieces - 1) * percent / 100].ns / 1000.0;
}

int main(int argc, char **argv)
{
	uint64_t ns, bytes;
	size_t nr;

	if (argc != 5)
		errx(2, "usage: reader sequential|random|trace N PLAN DIRECTORY");
	nr = strtoul(argv[2], NULL, 10);
	plan_read(&plan, argv[3]);
	if (chdir(argv[4]))
		err(1, "%s", argv[4]);
	pieces = calloc(plan.files[0].size / READ_BYTES + PLAN_MAX + nr, sizeof(*pieces));
	if (!strcmp(argv[1], "sequential"))
		plan_sequential();
	else if (!strcmp(argv[1], "random"))
		plan_random(nr);
	else
		plan_trace(nr);
	allocate();
	if (!strcmp(argv[1], "trace"))
		ns = run_trace();
	else
		ns = run_parts(strcmp(argv[1], "sequential") ? 1 : nr);
	bytes = check();
	qsort(pieces, nr_pieces, sizeof(*pieces), compare_ns);
	printf("{\"seconds\": %.6f, \"ops\": %zu, \"bytes\": %lu, \"p50_us\": %.1f, \"p99_us\": %.1f}\n",
	       ns / 1e9, nr_pieces, bytes, percentile_us(50), percentile_us(99));
	return 0;
}
