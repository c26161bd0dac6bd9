// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of the daemon's small parts: notification, log, command line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "log.h"
#include "notify.h"
#include "options.h"
#include "tap.h"

/* What notify_send() gets across to a socket of this name. */
static bool notified(const char *name, bool abstract)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	char got[64] = "";
	char env[128];
	int fd;

	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0);
	memcpy(addr.sun_path + abstract, name, strlen(name));
	if (fd < 0 || bind(fd, (void *)&addr,
			   sizeof(addr.sun_family) + abstract + strlen(name)))
		return false;
	snprintf(env, sizeof(env), "%s%s", abstract ? "@" : "", name);
	setenv("NOTIFY_SOCKET", env, 1);
	notify_send("READY=1");
	if (recv(fd, got, sizeof(got) - 1, 0) < 0)
		got[0] = '\0';
	close(fd);
	unlink(name);
	return !strcmp(got, "READY=1");
}

static void test_notify(void)
{
	char name[64];

	snprintf(name, sizeof(name), "/tmp/cfod-notify.%d", getpid());
	ok(notified(name, false), "a service manager is told");
	ok(notified(name, true), "also by an abstract address");
	unsetenv("NOTIFY_SOCKET");
	notify_send("READY=1");
	setenv("NOTIFY_SOCKET", "vsock:1", 1);
	notify_send("READY=1");
	ok(true, "none, or one of another kind, does no harm");
}

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

static char logged[65536];

/* What @fn writes to the log. */
static void capture(void (*fn)(void))
{
	int saved = dup(STDERR_FILENO);
	size_t len = 0;
	ssize_t n;
	int fds[2];

	if (pipe(fds) || dup2(fds[1], STDERR_FILENO) < 0)
		abort();
	close(fds[1]);
	fn();
	dup2(saved, STDERR_FILENO);
	close(saved);
	while ((n = read(fds[0], logged + len, sizeof(logged) - 1 - len)) > 0)
		len += n;
	logged[len] = '\0';
	close(fds[0]);
}

static void log_some(void)
{
	char longest[3000];

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	log_error("one");
	log_info("two");
	log_debug("three");
	log_error("a\nb\033c");
	log_error("%s", longest);
}

static void log_flood(void)
{
	int i;

	for (i = 0; i < 10 * LOG_BURST; i++)
		log_write_limited(LOG_LEVEL_ERROR, "flood");
}

static unsigned int lines(void)
{
	unsigned int n = 0;
	const char *s;

	for (s = logged; (s = strchr(s, '\n')); s++)
		n++;
	return n;
}

static void test_log(void)
{
	unsetenv("JOURNAL_STREAM");
	log_init(LOG_LEVEL_INFO);
	capture(log_some);
	ok(!strncmp(logged, "cachefiles-ondemandd: error: one\n"
		    "cachefiles-ondemandd: two\n", 59),
	   "lines have name and level");
	ok(!strstr(logged, "three"), "what is below the level is left out");
	ok(strstr(logged, "a?b?c\n") && lines() == 4 && strlen(logged) < 1400,
	   "a message is one line, of bounded length");

	setenv("JOURNAL_STREAM", "1:2", 1);
	log_init(LOG_LEVEL_DEBUG);
	capture(log_some);
	ok(!strncmp(logged, "<3>one\n<6>two\n<7>three\n", 23),
	   "the journal gets levels as <N>");
	capture(log_flood);
	ok(lines() == LOG_BURST, "a flood is limited");
}

static struct options options;

/* Is this command line taken? */
static bool parse(const char *a, const char *b)
{
	const char *argv[6] = { "daemon", "--cache=c", "--source=s", a, b };

	optind = 0;
	return options_parse(&options, b ? 5 : a ? 4 : 3, (char **)argv);
}

static void parse_bad(void)
{
	static const char * const bad[][2] = {
		{ "--fetch-size", "1000" }, { "--fetch-size", "4096x" },
		{ "--fetch-size", "-4096" }, { "--fetch-size", "" },
		{ "--fetch-size", "1025M" }, { "--fetch-size", "K" },
		{ "--fetch-size", "99999999999999999999999" },
		{ "--timeout", "0" }, { "--timeout", " 1" },
		{ "--timeout", "1s" }, { "--threads", "0" },
		{ "--threads", "257" }, { "--connections", "0" },
		{ "--retries", "-1" }, { "--log-level", "loud" },
		{ "--cache", "" }, { "--tag", "" }, { "--nonsense", NULL },
		{ "argument", NULL }, { "--tag", NULL },
		{ "--park", "0" }, { "--park", "86401" }, { "--park", "1m" },
		{ "--keep=yes", NULL }, { "--limits", "7,5" },
		{ "--limits", "7,5,1,0" }, { "--limits", "7,5,5" },
		{ "--limits", "5,5,1" }, { "--limits", "1,5,7" },
		{ "--limits", "100,5,1" }, { "--limits", "7,5,-1" },
		{ "--limits", "7%,5%,1%" }, { "--limits", "7, 5, 1" },
	};
	size_t i;

	for (i = 0; i < ARRAY_SIZE(bad); i++)
		ok(!parse(bad[i][0], bad[i][1]), "refused: %s %s", bad[i][0],
		   bad[i][1] ? bad[i][1] : "(nothing)");
}

static void test_options(void)
{
	ok(parse(NULL, NULL) && !options.threads && !options.fetch_size &&
	   options.timeout == 60 && options.retries == 5 &&
	   options.connections == 64 && options.log_level == LOG_LEVEL_INFO,
	   "defaults");
	ok(parse("--fetch-size", "1M") && options.fetch_size == 1 << 20 &&
	   parse("--fetch-size", "64k") && options.fetch_size == 64 << 10 &&
	   parse("--fetch-size", "1024M") && options.fetch_size == 1 << 30 &&
	   parse("--fetch-size", "0") && !options.fetch_size, "sizes");
	ok(parse("--log-level", "debug") &&
	   options.log_level == LOG_LEVEL_DEBUG, "log levels");
	ok(parse("--limits", "2,1,0") && options.run == 2 &&
	   options.cull == 1 && options.stop == 0 &&
	   parse("--limits", "99,98,97") && options.stop == 97, "limits");
	ok(parse("--park=86400", "--keep") && options.park == 86400 &&
	   options.keep && !options.optional && parse("--optional", NULL) &&
	   options.optional && !options.keep, "how the cache is bound");
	capture(parse_bad);
	ok(strstr(logged, "--fetch-size 1000: wanted: a multiple of 4096"),
	   "an error says what is wanted");
}

int main(void)
{
	test_notify();
	test_log();
	test_options();
	return tap_end();
}
