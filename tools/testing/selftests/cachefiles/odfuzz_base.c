// SPDX-License-Identifier: GPL-2.0
/*
 * Streams of operations, what became of them, and the failures that end it all.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/syscall.h>

#include "odfuzz.h"

struct fz_shared *fz;

#define GOLDEN 0x9e3779b97f4a7c15ULL

__u64 fz_mix(__u64 x)
{
	x ^= x >> 31;
	x *= GOLDEN;
	x ^= x >> 29;
	x *= 0xd1b54a32d192ed03ULL;
	return x ^ (x >> 32);
}

__u64 fz_rand(struct fz_worker *w)
{
	w->rng += GOLDEN;
	return fz_mix(w->rng);
}

__u64 fz_below(struct fz_worker *w, __u64 n)
{
	return n ? fz_rand(w) % n : 0;
}

bool fz_chance(struct fz_worker *w, unsigned int percent)
{
	return fz_below(w, 100) < percent;
}

/* Only the main process adds, and before it has children. */
struct fz_worker *fz_worker_add(const char *role, unsigned int index,
				void (*task)(struct fz_worker *w))
{
	struct fz_worker *w = &fz->worker[fz->nr_workers++];
	const char *p;

	w->role = role;
	w->index = index;
	w->task = task;
	w->seed = fz_mix(fz->opt.seed + index);
	for (p = role; *p; p++)
		w->seed = fz_mix(w->seed ^ *p);
	return w;
}

struct fz_worker *fz_worker_find(const char *role, unsigned int index)
{
	int i;

	for (i = 0; i < fz->nr_workers; i++)
		if (fz->worker[i].index == index && !strcmp(fz->worker[i].role, role))
			return &fz->worker[i];
	return NULL;
}

/*
 * Each operation has numbers of its own: how many the one before has drawn, or
 * whether it was killed in the middle, makes no difference.
 */
void fz_begin(struct fz_worker *w, const char *what)
{
	w->op++;
	w->rng = w->seed ^ fz_mix(w->op);
	w->tid = syscall(SYS_gettid);
	w->since_ms = cf_now_ms();
	w->doing = what;
}

void fz_end(struct fz_worker *w, long ret)
{
	struct fz_past *past = &w->past[w->op % FZ_PAST];

	past->what = w->doing;
	past->op = w->op;
	past->ret = ret;
	w->doing = NULL;
}

/* One operation, drawn by weight. */
long fz_step(struct fz_worker *w, const struct fz_choice *choice, int nr, void *ctx)
{
	unsigned int sum = 0, at;
	long ret;
	int i;

	for (i = 0; i < nr; i++)
		sum += choice[i].weight;
	fz_begin(w, "");
	at = fz_below(w, sum);
	for (i = 0; at >= choice[i].weight; i++)
		at -= choice[i].weight;
	w->doing = choice[i].name;
	ret = choice[i].fn(w, ctx);
	fz_result(choice[i].name, ret);
	fz_end(w, ret);
	return ret;
}

enum { COUNTER_FREE, COUNTER_TAKEN, COUNTER_READY };

/* Who is killed while it names a counter leaves one that nobody uses. */
static struct fz_counter *find_counter(const char *name, int error)
{
	unsigned int i, at = error;
	const char *p;

	for (p = name; *p; p++)
		at = at * 31 + *p;
	for (i = 0; i < FZ_COUNTERS; i++, at++) {
		struct fz_counter *c = &fz->counter[at % FZ_COUNTERS];
		int state = COUNTER_FREE;

		if (__atomic_compare_exchange_n(&c->state, &state, COUNTER_TAKEN, false,
						__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE)) {
			snprintf(c->name, sizeof(c->name), "%s", name);
			c->error = error;
			__atomic_store_n(&c->state, COUNTER_READY, __ATOMIC_RELEASE);
			return c;
		}
		if (state == COUNTER_READY && c->error == error && !strcmp(c->name, name))
			return c;
	}
	return NULL;
}

void fz_add(const char *name, int error, __u64 n)
{
	struct fz_counter *c = find_counter(name, error);

	if (c)
		__atomic_fetch_add(&c->n, n, __ATOMIC_RELAXED);
}

void fz_count(const char *name)
{
	fz_add(name, 0, 1);
}

void fz_result(const char *name, long ret)
{
	fz_add(name, ret < 0 ? -ret : 0, 1);
}

/* How often it went well; two tasks may have named the same one twice. */
__u64 fz_done(const char *name)
{
	__u64 n = 0;
	int i;

	for (i = 0; i < FZ_COUNTERS; i++) {
		const struct fz_counter *c = &fz->counter[i];

		if (c->state == COUNTER_READY && !c->error && !strcmp(c->name, name))
			n += c->n;
	}
	return n;
}

static int compare_counters(const void *a, const void *b)
{
	const struct fz_counter *x = a, *y = b;

	return strcmp(x->name, y->name) ?: x->error - y->error;
}

static const char *error_name(int error)
{
	static char number[20];
	const char *name = strerrorname_np(error);

	snprintf(number, sizeof(number), "%d", error);
	return name ?: number;
}

/* "name: 12 EIO 3", in the order of the names. */
void fz_print_counters(void)
{
	static struct fz_counter sorted[FZ_COUNTERS];
	char line[1000] = "";
	int i, nr = 0, len = 0;

	for (i = 0; i < FZ_COUNTERS; i++)
		if (fz->counter[i].state == COUNTER_READY)
			sorted[nr++] = fz->counter[i];
	qsort(sorted, nr, sizeof(*sorted), compare_counters);
	for (i = 0; i < nr; i++) {
		struct fz_counter *c = &sorted[i];

		for (; i + 1 < nr && !compare_counters(c, c + 1); i++, c++)
			c[1].n += c[0].n;
		if (!len)
			len = snprintf(line, sizeof(line), "%s:", c->name);
		if (c->error)
			len += snprintf(line + len, sizeof(line) - len, " %s %llu",
					error_name(c->error), c->n);
		else
			len += snprintf(line + len, sizeof(line) - len, " %llu", c->n);
		if (i + 1 == nr || strcmp(c->name, c[1].name) || len > 800) {
			ksft_print_msg("%s\n", line);
			len = 0;
		}
	}
}

/* What must not be: everything stops, and who watches tells of it. */
void fz_fail(const char *fmt, ...)
{
	int i = __atomic_fetch_add(&fz->nr_whys, 1, __ATOMIC_RELAXED);
	va_list ap;

	if (i < FZ_WHYS) {
		va_start(ap, fmt);
		vsnprintf(fz->why[i], sizeof(fz->why[i]), fmt, ap);
		va_end(ap);
	}
	__atomic_store_n(&fz->failed, 1, __ATOMIC_RELEASE);
	__atomic_store_n(&fz->stop, 1, __ATOMIC_RELEASE);
}

bool fz_failed(void)
{
	return __atomic_load_n(&fz->failed, __ATOMIC_ACQUIRE);
}

bool fz_stopping(void)
{
	return __atomic_load_n(&fz->stop, __ATOMIC_ACQUIRE);
}
