// SPDX-License-Identifier: GPL-2.0-or-later
/* cachefiles-ondemandd: start, wait for a signal, end. */
#include <curl/curl.h>
#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "cache.h"
#include "cachefiles_ondemand.h"
#include "notify.h"
#include "server.h"
#include "stats.h"

/* Exit codes, as the man page has them. */
#define EXIT_FAILED 1
#define EXIT_USAGE 2

/* glibc's heaps: more of them than this only use more memory here. */
#define HEAPS 2

static struct stats stats;

/* Signals come by a file descriptor, to the main thread alone. */
static int block_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	if (pthread_sigmask(SIG_BLOCK, &set, NULL))
		return -1;
	signal(SIGPIPE, SIG_IGN);
	return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* An object takes one or two descriptors, a request to a server one. */
static void raise_fd_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit))
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

static struct source *make_source(const struct options *options,
				  unsigned int *threads)
{
	bool url = source_is_url(options->source);
	struct source_config config = {
		.where = options->source,
		.ca_file = options->ca_file,
		.timeout_ms = options->timeout * 1000,
		.retries = options->retries,
	};
	struct source *source;
	char why[512];

	*threads = options->threads;
	if (!*threads)
		*threads = url ? source_http_ops.threads :
				 source_dir_ops.threads;
	/* --connections is for all threads together. */
	if (url && *threads > options->connections)
		*threads = options->connections;
	config.connections = options->connections / *threads;

	source = source_new(&config, &stats, why, sizeof(why));
	if (!source)
		log_error("--source %s", why);
	return source;
}

/* Return: the server cannot go on. */
static bool wait_for_end(struct server *server, int signals)
{
	struct pollfd fds[] = {
		{ .fd = signals, .events = POLLIN },
		{ .fd = server_failed_fd(server), .events = POLLIN },
	};
	struct signalfd_siginfo info;

	for (;;) {
		if (poll(fds, 2, -1) < 0)
			continue;
		if (fds[1].revents)
			return true;
		if (read(signals, &info, sizeof(info)) != sizeof(info))
			continue;
		if (info.ssi_signo != SIGUSR1) {
			log_info("ends: %s", strsignal(info.ssi_signo));
			return false;
		}
		stats_log(&stats);
	}
}

/* A URL may have a password in it. */
static const char *public_name(const char *source)
{
	const char *host, *at;

	if (!source_is_url(source))
		return source;
	host = strstr(source, "//") + 2;
	at = memrchr(host, '@', strcspn(host, "/?"));
	return at ? at + 1 : source;
}

/* The names of features, each with a blank in front. */
static void name_features(uint64_t features, char *names, size_t size)
{
	const char *name;
	unsigned int bit;
	size_t len;

	snprintf(names, size, "%s", features ? "" : " none");
	for (bit = 0; (name = cfod_feature_name(bit)); bit++) {
		len = strlen(names);
		if (features & 1ULL << bit)
			snprintf(names + len, size - len, " %s", name);
	}
}

static int run(const struct options *options, int signals)
{
	struct source *source;
	struct server *server;
	unsigned int threads;
	uint64_t features;
	char names[128];
	int dev, ret;
	bool failed;
	char *dir;

	source = make_source(options, &threads);
	if (!source)
		return EXIT_FAILED;
	dev = cache_get(options, &features, &dir);
	if (dev < 0) {
		source_free(source);
		return EXIT_FAILED;
	}
	server = server_start(&(struct server_config){
		.dev = dev,
		.source = source,
		.stats = &stats,
		.threads = threads,
		.fetch_size = options->fetch_size,
		.features = features,
		.cache = dir,
	});
	free(dir);
	if (!server) {
		log_error("cannot start %u threads", threads);
		close(dev);
		source_free(source);
		return EXIT_FAILED;
	}

	name_features(features, names, sizeof(names));
	log_info("version %s: cache %s, source %s (%s), %u threads, fetch size %llu, timeout %u s, features:%s",
		 VERSION, options->cache, public_name(options->source),
		 source->ops->name, threads,
		 (unsigned long long)options->fetch_size, options->timeout,
		 names);
	notify_send("READY=1\nSTATUS=Serving");
	failed = wait_for_end(server, signals);
	notify_send("STOPPING=1");

	ret = server_stop(server);
	stats_log(&stats);
	if (ret == -ETIMEDOUT) {
		/* The kernel closes the device, and whoever reads gets EIO. */
		log_warning("a thread hangs in the source: ending without it");
		_exit(failed ? EXIT_FAILED : EXIT_SUCCESS);
	}
	close(dev);
	source_free(source);
	return failed ? EXIT_FAILED : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	struct options options;
	int signals, ret;

	if (!options_parse(&options, argc, argv))
		return EXIT_USAGE;
	if (options.help) {
		options_help(stdout);
		return EXIT_SUCCESS;
	}
	if (options.version) {
		puts("cachefiles-ondemandd " VERSION);
		return EXIT_SUCCESS;
	}

	log_init(options.log_level);
	mallopt(M_ARENA_MAX, HEAPS);
	raise_fd_limit();
	signals = block_signals();
	if (signals < 0 || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		log_error("cannot start: %s", strerror(errno));
		return EXIT_FAILED;
	}
	ret = run(&options, signals);
	curl_global_cleanup();
	close(signals);
	return ret;
}
