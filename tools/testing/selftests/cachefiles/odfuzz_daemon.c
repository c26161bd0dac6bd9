// SPDX-License-Identifier: GPL-2.0
/*
 * The life of a daemon: it binds, in one way or another, serves with several
 * threads, better or worse, and goes, in one way or another.
 */
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "odfuzz.h"

static const struct fz_choice server_choices[] = {
	{ 820, "message", fz_serve },
	{ 40, "answer late", fz_answer_late },
	{ 10, "answer for another daemon", fz_answer_stale },
	{ 40, "prefetch", fz_prefetch },
	{ 25, "fill what is present", fz_fill_present },
	{ 15, "lose an fd", fz_lose_fd },
	{ 6, "restore", fz_restore },
};

static const struct fz_choice prodder_choices[] = {
	{ 30, "prod an fd", fz_prod_fd },
	{ 15, "prod the device", fz_prod_device },
	{ 20, "ioctl", fz_prod_ioctl },
	{ 10, "copy an fd", fz_copy_fd },
	{ 15, "command", fz_command },
	{ 1, "no more fds", fz_starve_fds },
	{ 40, "cull or inuse", fz_cull },
	{ 20, "prefetch", fz_prefetch },
	{ 10, "fill what is present", fz_fill_present },
};

struct thread {
	struct fz_daemon *d;
	struct fz_worker *w;
};

static void *serve(void *arg)
{
	struct thread *t = arg;

	while (!fz_stopping())
		fz_step(t->w, server_choices, FZ_NELEM(server_choices), t->d);
	return NULL;
}

static void *prod(void *arg)
{
	struct thread *t = arg;

	/* A directory of its own: commands go by it. */
	if (unshare(CLONE_FS) < 0)
		return NULL;
	while (!fz_stopping()) {
		fz_step(t->w, prodder_choices, FZ_NELEM(prodder_choices), t->d);
		usleep(fz_below(t->w, 10000));
	}
	return NULL;
}

/* Start the threads; they end with the process. */
/* As @proto, which has what the threads go by from their first message on. */
static struct fz_daemon *start(struct fz_worker *w, const struct fz_daemon *proto, int slot,
			       bool alone)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLET };
	static struct thread t[FZ_SERVERS + 1];
	static struct fz_daemon d;
	pthread_t thread;
	int i;

	d.dev = proto->dev;
	d.honesty = proto->honesty;
	d.full = proto->full;
	d.alone = alone;
	d.slot = slot;
	pthread_mutex_init(&d.lock, NULL);
	for (i = 0; i < FZ_OBJECTS; i++) {
		pthread_mutex_init(&d.object[i].position, NULL);
		d.object[i].fd = -1;
	}
	d.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(d.epoll_fd, EPOLL_CTL_ADD, d.dev, &ev);
	for (i = 0; i <= fz->opt.servers; i++) {
		bool prodder = i == fz->opt.servers;

		t[i].d = &d;
		t[i].w = prodder ? fz_worker_find("prodder", slot) :
				   fz_worker_find("server", slot * fz->opt.servers + i);
		if (pthread_create(&thread, NULL, prodder ? prod : serve, &t[i]))
			exit(1);
	}
	return &d;
}

static void nap(__u64 ms)
{
	__u64 end = cf_now_ms() + ms;

	while (!fz_stopping() && cf_now_ms() < end)
		usleep(20000);
}

/* The device goes before the fds of the objects do; threads are using it. */
static void give_device_up(struct fz_daemon *d)
{
	int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	if (null < 0)
		return;
	__atomic_store_n(&d->shut, true, __ATOMIC_SEQ_CST);
	/* Its number must not become that of an object's fd. */
	dup2(null, d->dev);
	fz_count("device closed before the fds");
}

static void leave(struct fz_worker *w, struct fz_daemon *d)
{
	switch (fz_below(w, 4)) {
	case 0:
		give_device_up(d);
		nap(fz_below(w, 600));
		break;
	case 1:
		fz_objects_lose(d);
		break;
	case 2:
		kill(getpid(), SIGKILL);
		break;
	}
	_exit(0);
}

static void reap(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* Daemons one after another with the same opening of the device. */
static void hand_over(struct fz_worker *w, struct fz_daemon *proto, __u64 life)
{
	bool overlap = fz_chance(w, 30);
	unsigned int nr = 2 + fz_below(w, 3), i;
	pid_t pid, last = 0;

	for (i = 0; i < nr && !fz_stopping(); i++) {
		bool restore = fz_chance(w, 80);

		if (last && !overlap) {
			reap(last);
			last = 0;
		}
		pid = fork();
		if (pid < 0)
			break;
		if (!pid) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (i && restore)
				fz_result("restore after a death", cf_cmd(proto->dev, "restore"));
			start(w, proto, i % 2, !overlap);
			for (;;)
				pause();
		}
		if (last) {
			nap(50);
			reap(last);
		}
		last = pid;
		fz_count("daemon replaced");
		nap(life / nr);
	}
	if (last)
		reap(last);
}

/* Was this cache bound before?  Then its directories are there. */
static bool has_been_bound(const char *root)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/graveyard", root);
	return !access(path, F_OK);
}

/* "bind" with options; those that are not known have to be refused. */
static int bind_cache(struct fz_worker *w, int dev, const char *root, bool *full)
{
	static const char * const wrong[] = {
		"ondemand ", "ondemand  keep", "ondemand keep keep", "ondemand park",
		"ondemand park=", "ondemand park=0", "ondemand park=86401", "ondemand park=-1",
		"ondemand park=1x", "ondemand full full", "ondemand keep,full", "ondemand x",
		"ondemandkeep", "demand", "ondemand park=1 park=1", "ondemand keep ",
		"ondemand park=99999999999999999999",
	};
	char opt[3][32] = {}, how[128];
	int ret, i, nr = 0;

	ret = cf_cmd(dev, "dir %s", root);
	if (!ret && fz_chance(w, 30))
		ret = cf_cmd(dev, "tag fuzz%u", fz->term);
	/* A disk that is as full as this has no room for directories. */
	if (!ret && fz_chance(w, 3) && has_been_bound(root))
		ret = cf_cmd(dev, "brun 99%%") ?: cf_cmd(dev, "bcull 98%%") ?:
		      cf_cmd(dev, "bstop 97%%");
	if (ret)
		fz_fail("a command before bind: %d", ret);
	if (fz_chance(w, 20)) {
		const char *bad = wrong[fz_below(w, FZ_NELEM(wrong))];

		ret = cf_cmd(dev, "bind %s", bad);
		if (ret != -EINVAL)
			fz_fail("\"bind %s\": %d", bad, ret);
	}
	if (fz->features & CACHEFILES_FEATURE_PARK && fz_chance(w, 40))
		snprintf(opt[nr++], sizeof(*opt), " park=%d", 1 + (int)fz_below(w, 4));
	if (fz->features & CACHEFILES_FEATURE_KEEP && fz_chance(w, 25))
		snprintf(opt[nr++], sizeof(*opt), " keep");
	*full = fz->features & CACHEFILES_FEATURE_FULL && fz_chance(w, 40);
	if (*full)
		snprintf(opt[nr++], sizeof(*opt), " full");
	i = fz_below(w, 3);
	snprintf(how, sizeof(how), "ondemand%s%s%s", opt[i], opt[(i + 1) % 3], opt[(i + 2) % 3]);
	ret = cf_cmd(dev, "bind %s", how);
	fz_result(how, ret);
	return ret;
}

/* Another use of the device: the plain mode, or none. */
static bool something_else(struct fz_worker *w, int dev)
{
	if (fz_chance(w, 95))
		return false;
	if (fz_chance(w, 50)) {
		cf_cmd(dev, "dir %s", fz->root[1]);
		fz_result("bind in the plain mode", cf_cmd(dev, "bind"));
	}
	nap(fz_below(w, 300));
	return true;
}

/* One daemon, in a process of its own. */
void fz_daemon_term(struct fz_worker *w)
{
	unsigned int honesty = fz_chance(w, 30) ? 98 : fz_chance(w, 15) ? 10 : 75;
	int dev = cf_dev_open(), root = fz_chance(w, 7);
	__u64 life = 300 + fz_below(w, fz_chance(w, 40) ? 1000 : 5000);
	struct fz_daemon proto = {}, *d;
	__u64 features = 0;
	int ret;

	fz_result("open the device", dev);
	if (dev < 0) {
		if (!fz_stopping())
			fz_fail("the device can't be opened: %d", dev);
		return;
	}
	if (ioctl(dev, CACHEFILES_IOC_FEATURES, &features) < 0 && errno != ENOTTY)
		fz_fail("ioctl FEATURES: %d", errno);
	if (features != fz->features)
		fz_fail("features %#llx, and %#llx before", features, fz->features);
	if (something_else(w, dev))
		return;
	ret = bind_cache(w, dev, fz->root[root], &proto.full);
	if (ret) {
		/* Two openings never overlap, so nothing can be in the way. */
		fz_fail("bind: %d", ret);
		return;
	}
	fz_count(root ? "daemon of the other cache" : "daemon");
	proto.dev = dev;
	proto.honesty = honesty;
	proto.elsewhere = root;
	if (fz_chance(w, 25)) {
		hand_over(w, &proto, life);
		_exit(0);
	}
	d = start(w, &proto, 0, true);
	nap(life);
	leave(w, d);
}
