// SPDX-License-Identifier: GPL-2.0
/*
 * A process that takes no part and so can't hang: it sees whether the others
 * do, and shows where.
 */
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/wait.h>

#include "odfuzz.h"

#define MAX_TASKS 256

/* A task that sleeps and can't be woken by a signal. */
struct sleeper {
	int	tid;
	__u64	switches;
	__u64	since_ms;
	bool	seen;
};

static struct sleeper sleepers[MAX_TASKS];

/* What is being done has this long; 0 s: as long as it likes. */
void fz_within(int seconds, const char *what)
{
	__atomic_store_n(&fz->deadline, 0, __ATOMIC_SEQ_CST);
	if (!seconds)
		return;
	snprintf(fz->doing, sizeof(fz->doing), "%s", what);
	__atomic_store_n(&fz->deadline, cf_now_ms() + seconds * 1000ULL, __ATOMIC_SEQ_CST);
}

/* With them the workers do the same again. */
void fz_print_options(void)
{
	const struct fz_options *opt = &fz->opt;

	ksft_print_msg("options: --seed %#llx --time %d --round %d --limit %d\n", opt->seed,
		       opt->seconds, opt->round, opt->limit);
	ksft_print_msg("         --servers %d --mounters %d --readers %d\n", opt->servers,
		       opt->mounters, opt->readers);
}

void fz_print_failures(void)
{
	int i;

	for (i = 0; i < FZ_WHYS && i < fz->nr_whys; i++)
		ksft_print_msg("FAILURE: %s\n", fz->why[i]);
	if (fz_failed())
		fz_print_options();
}

static int read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -errno;
	buf[n] = 0;
	return 0;
}

/* Its state, and of which session it is. */
static int task_stat(int pid, int tid, char *state, int *session, char *name, size_t size)
{
	char path[100], buf[600], *end;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	if (read_text(path, buf, sizeof(buf)) < 0)
		return -ESRCH;
	end = strrchr(buf, ')');
	if (!end || sscanf(end + 1, " %c %*d %*d %d", state, session) != 2)
		return -ESRCH;
	*end = 0;
	snprintf(name, size, "%s", strchr(buf, '(') + 1);
	return 0;
}

typedef void task_fn(int pid, int tid, char state, bool ours, const char *name);

static void visit_tasks(task_fn *fn)
{
	char path[300], name[64], state;
	struct dirent *pd, *td;
	DIR *procs, *tasks;
	int session;

	procs = opendir("/proc");
	while (procs && (pd = readdir(procs))) {
		if (!isdigit(*pd->d_name))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/task", pd->d_name);
		tasks = opendir(path);
		while (tasks && (td = readdir(tasks))) {
			int pid = atoi(pd->d_name), tid = atoi(td->d_name);

			if (tid && !task_stat(pid, tid, &state, &session, name, sizeof(name)))
				fn(pid, tid, state, session == fz->session, name);
		}
		if (tasks)
			closedir(tasks);
	}
	if (procs)
		closedir(procs);
}

static const struct fz_worker *worker_of(int tid)
{
	int i;

	for (i = 0; i < fz->nr_workers; i++)
		if (fz->worker[i].tid == tid)
			return &fz->worker[i];
	return NULL;
}

/* Ours, and whoever else is stuck. */
static void show_task(int pid, int tid, char state, bool ours, const char *name)
{
	const struct fz_worker *w = worker_of(tid);
	char path[100], stack[4000], *line, *next = stack;

	if (!ours && state != 'D')
		return;
	ksft_print_msg("task %d/%d %s, %c%s%s\n", pid, tid, name, state, w ? ", " : "",
		       w ? w->role : "");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/stack", pid, tid);
	if (read_text(path, stack, sizeof(stack)) < 0)
		return;
	while ((line = strsep(&next, "\n")) && *line)
		ksft_print_msg("    %s\n", line);
}

static void show_workers(void)
{
	__u64 now = cf_now_ms(), op;
	int i;

	for (i = 0; i < fz->nr_workers; i++) {
		const struct fz_worker *w = &fz->worker[i];

		if (!w->op)
			continue;
		ksft_print_msg("%s %u, task %d, operation %llu: %s for %llu ms\n", w->role,
			       w->index, w->tid, w->op, w->doing ?: "nothing", now - w->since_ms);
		for (op = w->op > FZ_PAST ? w->op - FZ_PAST : 0; op < w->op; op++) {
			const struct fz_past *past = &w->past[op % FZ_PAST];

			if (past->what)
				ksft_print_msg("    %llu %s: %ld\n", past->op, past->what,
					       past->ret);
		}
	}
}

static void show_state(void)
{
	char line[600];
	FILE *f = fopen("/proc/fs/fscache/ondemand", "re");
	int i;

	for (i = 0; f && i < 100 && fgets(line, sizeof(line), f); i++)
		ksft_print_msg("%s", line);
	if (f)
		fclose(f);
}

static void watch_sleeper(int pid, int tid, char state, bool ours, const char *name)
{
	__u64 now = cf_now_ms(), switches = 0, n;
	struct sleeper *s, *free = NULL;
	char path[100], buf[4000], *p;
	int limit = fz->opt.limit + fz->round_s;

	if (!ours || state != 'D')
		return;
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	if (read_text(path, buf, sizeof(buf)) < 0)
		return;
	for (p = buf; (p = strstr(p, "ctxt_switches:")); p++)
		if (sscanf(p, "ctxt_switches: %llu", &n) == 1)
			switches += n;
	for (s = sleepers; s < sleepers + MAX_TASKS; s++) {
		if (s->tid == tid)
			break;
		if (!s->tid && !free)
			free = s;
	}
	if (s == sleepers + MAX_TASKS) {
		s = free;
		if (!s)
			return;
		s->tid = tid;
		s->switches = ~0ULL;
	}
	s->seen = true;
	if (s->switches != switches) {
		s->switches = switches;
		s->since_ms = now;
	} else if (now - s->since_ms > limit * 1000ULL) {
		fz_fail("task %d (%s) sleeps in D state for %llu s", tid, name,
			(now - s->since_ms) / 1000);
	}
}

/* A task that was killed has to die, whatever it waits for. */
static void watch_killed(void)
{
	__u64 now = cf_now_ms();
	int i;

	for (i = 0; i < fz->nr_workers; i++) {
		__u64 since = fz->worker[i].killed_ms;

		if (since && now > since + fz->opt.limit * 1000ULL)
			fz_fail("%s %u was killed %llu s ago and lives", fz->worker[i].role,
				fz->worker[i].index, (now - since) / 1000);
	}
}

static void look(void)
{
	__u64 deadline = __atomic_load_n(&fz->deadline, __ATOMIC_SEQ_CST);
	struct sleeper *s;

	for (s = sleepers; s < sleepers + MAX_TASKS; s++)
		s->seen = false;
	visit_tasks(watch_sleeper);
	for (s = sleepers; s < sleepers + MAX_TASKS; s++)
		if (!s->seen)
			s->tid = 0;
	watch_killed();
	if (deadline && cf_now_ms() > deadline)
		fz_fail("time is up for: %s", fz->doing);
}

static void kill_one(int pid, int tid, char state, bool ours, const char *name)
{
	if (ours)
		kill(pid, SIGKILL);
}

/* Watch the process and all that it starts until it ends; 0 if all went well. */
int fz_watch(pid_t pid)
{
	int status = 0;
	bool ended;

	do {
		usleep(500000);
		ended = waitpid(pid, &status, WNOHANG) == pid;
		if (!ended && !fz_failed())
			look();
	} while (!ended && !fz_failed());
	if (ended && !fz_failed() && status)
		fz_fail("the fuzzer itself ended with status %#x", status);
	if (!fz_failed())
		return 0;
	fz_print_failures();
	show_workers();
	show_state();
	visit_tasks(show_task);
	visit_tasks(kill_one);
	return -EPROTO;
}
