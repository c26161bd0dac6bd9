// SPDX-License-Identifier: GPL-2.0
/*
 * The fuzzer's main process: it starts the daemons, mounters and readers, kills
 * some of them now and then, and has quiet points in between.
 */
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "odfuzz.h"

#define TICK_MS 10

/* In seconds: then all has its turn even where there are few rounds. */
#define LONG_ENOUGH 600

/* Without these the run has not been one. */
static const char * const must_happen[] = {
	"mount", "umount", "OPEN", "OPEN again", "READ", "READ filled", "CLOSE", "restore", "cull",
	"fill what is present", "mount taken over", "mounts taken over when quiet",
	"daemon replaced", "device closed before the fds", "reads compared", "bytes compared",
	"images made whole", "images found again", "objects culled when quiet", "mounter killed",
	"reader killed", "daemon killed", "READ of a lost fd",
};

static struct cf_env env;

static void __noreturn usage(void)
{
	ksft_print_msg("options: [--seed N] [--time S] [--round S] [--limit S]\n");
	ksft_exit_fail_msg("        [--servers 1..4] [--mounters 1..8] [--readers 1..8]\n");
}

static void parse(int argc, char **argv, struct fz_options *opt)
{
	static const struct option options[] = {
		{ "seed", required_argument, NULL, 0 },
		{ "time", required_argument, NULL, 1 },
		{ "round", required_argument, NULL, 2 },
		{ "limit", required_argument, NULL, 3 },
		{ "servers", required_argument, NULL, 4 },
		{ "mounters", required_argument, NULL, 5 },
		{ "readers", required_argument, NULL, 6 },
		{}
	};
	int *number[] = {
		NULL, &opt->seconds, &opt->round, &opt->limit, &opt->servers, &opt->mounters,
		&opt->readers,
	};
	struct timespec ts;
	int c;

	clock_gettime(CLOCK_REALTIME, &ts);
	*opt = (struct fz_options){
		.seed = fz_mix(ts.tv_sec * 1000000000ULL + ts.tv_nsec) >> 32, .seconds = 60,
		.round = 15, .limit = 60, .servers = 3, .mounters = 3, .readers = 4,
	};
	while ((c = getopt_long(argc, argv, "", options, NULL)) >= 0) {
		if (c == '?')
			usage();
		else if (!c)
			opt->seed = strtoull(optarg, NULL, 0);
		else
			*number[c] = atoi(optarg);
	}
	if (optind != argc || opt->seconds < 1 || opt->round < 1 || opt->limit < 1 ||
	    opt->servers < 1 || opt->servers > FZ_SERVERS || opt->mounters < 1 ||
	    opt->mounters > 8 || opt->readers < 1 || opt->readers > 8)
		usage();
}

static void run(struct fz_worker *w)
{
	bool is_daemon = w->task == fz_daemon_term;
	pid_t parent = getpid(), pid;

	if (is_daemon)
		fz->term++;
	pid = fork();
	if (pid < 0) {
		fz_fail("fork: %d", errno);
		return;
	}
	if (pid) {
		w->pid = pid;
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	/* A daemon's whole life is one operation. */
	if (is_daemon)
		fz_begin(w, "being a daemon");
	w->task(w);
	_exit(0);
}

/* Those who have ended; only a signal of ours may have ended them. */
static void reap(void)
{
	int status, i;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < fz->nr_workers; i++) {
			struct fz_worker *w = &fz->worker[i];

			if (w->pid != pid)
				continue;
			w->pid = 0;
			w->killed_ms = 0;
			if (w->doing)
				fz_end(w, WIFSIGNALED(status) ? -EOWNERDEAD : 0);
			if (WIFSIGNALED(status) ? WTERMSIG(status) != SIGKILL : status)
				fz_fail("%s %u ended with status %#x", w->role, w->index, status);
		}
	}
}

static void kill_worker(struct fz_worker *w)
{
	char name[40];

	if (!w || !w->pid || w->killed_ms)
		return;
	w->killed_ms = cf_now_ms();
	kill(w->pid, SIGKILL);
	snprintf(name, sizeof(name), "%s killed", w->role);
	fz_count(name);
}

/* As a machine does that is suspended or short of memory. */
static void freeze(struct fz_worker *w, struct fz_worker *victim)
{
	if (!victim->pid || victim->killed_ms)
		return;
	kill(victim->pid, SIGSTOP);
	usleep(fz_below(w, 400000));
	kill(victim->pid, SIGCONT);
	fz_count("daemon frozen");
}

static void disturb(struct fz_worker *w)
{
	switch (fz_below(w, 12)) {
	case 0:
	case 1:
	case 2:
		kill_worker(fz_worker_find("mounter", fz_below(w, fz->opt.mounters)));
		break;
	case 3:
	case 4:
	case 5:
		kill_worker(fz_worker_find("reader", fz_below(w, fz->opt.readers)));
		break;
	case 6:
		kill_worker(fz_worker_find("daemon", 0));
		break;
	case 7:
		freeze(w, fz_worker_find("daemon", 0));
		break;
	}
}

/* Until the round is over. */
static void play(struct fz_worker *w, __u64 end)
{
	struct fz_worker *daemon = fz_worker_find("daemon", 0);
	__u64 next = cf_now_ms() + 300, next_daemon = 0, now;
	int i;

	fz->stop = 0;
	fz_spoil_images();
	while ((now = cf_now_ms()) < end && !fz_failed()) {
		bool had_daemon = daemon->pid;

		reap();
		/* At times there is none for a while. */
		if (had_daemon && !daemon->pid)
			next_daemon = now + (fz_chance(w, 60) ? 0 : fz_below(w, 1200));
		for (i = 0; i < fz->nr_workers; i++) {
			struct fz_worker *child = &fz->worker[i];

			if (child->task && !child->pid && (child != daemon || now >= next_daemon))
				run(child);
		}
		if (now >= next) {
			fz_begin(w, "disturb");
			disturb(w);
			next = now + 50 + fz_below(w, 400);
			fz_end(w, 0);
		}
		usleep(TICK_MS * 1000);
	}
}

static void add_workers(void)
{
	int i;

	fz_worker_add("main", 0, NULL);
	fz_worker_add("spoiler", 0, NULL);
	fz_worker_add("quiet", 0, NULL);
	fz_worker_add("daemon", 0, fz_daemon_term);
	for (i = 0; i < 2 * fz->opt.servers; i++)
		fz_worker_add("server", i, NULL);
	for (i = 0; i < 2; i++)
		fz_worker_add("prodder", i, NULL);
	for (i = 0; i < fz->opt.mounters; i++)
		fz_worker_add("mounter", i, fz_mounter);
	for (i = 0; i < fz->opt.readers; i++)
		fz_worker_add("reader", i, fz_reader);
}

static int set_up(void)
{
	int i, ret;

	fz->session = setsid();
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	ret = cf_env_init(&env);
	if (ret)
		return ret;
	if (access("/proc/fs/fscache/ondemand", R_OK) < 0)
		return -errno;
	snprintf(fz->tmp, sizeof(fz->tmp), "%s", env.tmp);
	for (i = 0; i < 2; i++) {
		snprintf(fz->root[i], sizeof(fz->root[i]), "%.120s/%d", env.root, i);
		if (mkdir(fz->root[i], 0700) < 0)
			return -errno;
	}
	ret = fz_make_images(&env);
	if (ret)
		return ret;
	env.dev = cf_dev_open();
	if (env.dev < 0)
		return env.dev;
	if (ioctl(env.dev, CACHEFILES_IOC_FEATURES, &fz->features) < 0 && errno != ENOTTY)
		return -errno;
	ksft_print_msg("%d images, %d blobs; features of this kernel: %#llx\n", fz_nr_images,
		       fz_nr_blobs, fz->features);
	return cf_dev_close(&env);
}

/* All of it, in a process that is watched by another. */
static int run_all(void)
{
	__u64 begin = cf_now_ms(), end = begin + fz->opt.seconds * 1000ULL, round_end, start;
	__u64 usual = fz->opt.round * 1000ULL, length = usual, quiet;
	struct fz_worker *w = &fz->worker[0];
	char all[sizeof(env.root)];
	int ret, round;

	ret = set_up();
	if (ret) {
		fz_fail("it can't be set up: %s", strerror(-ret));
		return ret;
	}
	snprintf(all, sizeof(all), "%s", env.root);
	for (round = 1; !ret && cf_now_ms() < end; round++) {
		start = cf_now_ms();
		fz->round_s = length / 1000;
		round_end = start + length;
		play(w, round_end < end ? round_end : end);
		if (fz_failed())
			return -EPROTO;
		snprintf(env.root, sizeof(env.root), "%s", fz->root[0]);
		round_end = cf_now_ms();
		ret = fz_quiet(&env);
		quiet = cf_now_ms() - round_end;
		/* On a slow machine it is not quiet most of the time either. */
		length = quiet > usual ? quiet : usual;
		snprintf(env.root, sizeof(env.root), "%s", all);
		ksft_print_msg("round %d: %llu s and %llu s; %u daemons, %llu READs, %llu reads\n",
			       round, (round_end - start) / 1000, quiet / 1000,
			       fz->term, fz_done("READ filled"), fz_done("reads compared"));
	}
	if (!ret)
		cf_env_fini(&env);
	return ret;
}

static bool everything_happened(void)
{
	bool all = true;
	int i;

	for (i = 0; i < (int)FZ_NELEM(must_happen); i++) {
		if (!fz_done(must_happen[i])) {
			ksft_print_msg("never happened: %s\n", must_happen[i]);
			all = false;
		}
	}
	return all;
}

int main(int argc, char **argv)
{
	pid_t pid;
	int ret;

	fz = mmap(NULL, sizeof(*fz), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (fz == MAP_FAILED)
		return 1;
	ksft_print_header();
	setlinebuf(stdout);
	parse(argc, argv, &fz->opt);
	cf_require();
	ksft_set_plan(2);
	fz_print_options();
	add_workers();
	fflush(NULL);
	pid = fork();
	if (!pid)
		_exit(run_all() ? 1 : 0);
	if (pid < 0)
		return 1;
	ret = fz_watch(pid);
	fz_print_counters();
	fz_print_failures();
	ksft_test_result(!ret, "right bytes or an error, and nothing hangs\n");
	if (everything_happened())
		ksft_test_result_pass("all that has to be tried was\n");
	else if (fz->opt.seconds < LONG_ENOUGH)
		ksft_test_result_skip("all that has to be tried was: it takes longer than that\n");
	else
		ksft_test_result_fail("all that has to be tried was\n");
	ksft_finished();
}
