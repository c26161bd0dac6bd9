// SPDX-License-Identifier: GPL-2.0
/*
 * daemon DIRECTORY DELAY UNIT NAME BLOB [SIZE]: serves one blob to the kernel,
 * from memory, and measures what it is asked for.
 *
 * A fetch takes DELAY microseconds, however many are under way.  What is fetched
 * is just what a READ asks for, or if UNIT is not 0 the whole aligned units of so
 * many bytes that it touches, each once.  SIZE is a size to tell the kernel other
 * than the blob's own.
 *
 * Says with a line that it is ready.  Reads commands from its standard input and
 * answers each with a line:
 *
 *	stats		the numbers since the last "stats", as JSON
 *	fill		writes the whole blob into the cache
 *	sparse STEP	writes a page every STEP bytes
 *	hold		leaves READs unanswered from now on
 */
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <linux/cachefiles.h>
#include "serve.h"

static int device;
static const char *name;

__attribute__((format(printf, 1, 2))) static void command(const char *format, ...)
{
	char text[512];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (write(device, text, n) != n)
		err(1, "%s", text);
}

static void handle_open(const struct cachefiles_msg *msg)
{
	struct cachefiles_open open;
	const char *key;

	memcpy(&open, msg->data, sizeof(open));
	key = (const char *)msg->data + sizeof(open) + open.volume_key_size;
	if (open.cookie_key_size != strlen(name) || memcmp(key, name, open.cookie_key_size)) {
		command("copen %u,%d", msg->msg_id, -ENOENT);
		close(open.fd);
		return;
	}
	if (blob.fd >= 0)
		close(blob.fd);
	blob.fd = open.fd;
	command("copen %u,%lu", msg->msg_id, blob.size);
}

static void handle_device(void)
{
	union {
		struct cachefiles_msg msg;
		char bytes[CACHEFILES_MSG_MAX_SIZE];
	} buf;

	while (read(device, &buf, sizeof(buf)) > 0) {
		if (buf.msg.opcode == CACHEFILES_OP_READ) {
			struct cachefiles_read range;

			memcpy(&range, buf.msg.data, sizeof(range));
			serve_read(buf.msg.msg_id, range.off, range.len);
		} else if (buf.msg.opcode == CACHEFILES_OP_OPEN) {
			handle_open(&buf.msg);
		}
	}
}

static void write_sparsely(uint64_t step)
{
	for (uint64_t off = 0; off < blob.size; off += step)
		if (pwrite(blob.fd, blob.data, PAGE, off) != (ssize_t)PAGE)
			err(1, "write at %lu", off);
}

static void handle_command(void)
{
	char line[64];
	ssize_t n = read(0, line, sizeof(line) - 1);

	if (n <= 0)
		exit(0);
	line[n] = '\0';
	if (!strcmp(line, "stats\n")) {
		print_stats();
		return;
	}
	if (!strcmp(line, "fill\n"))
		write_blob(0, blob.bytes);
	else if (!strncmp(line, "sparse ", 7))
		write_sparsely(strtoull(line + 7, NULL, 0));
	else if (!strcmp(line, "hold\n"))
		serve_hold();
	else
		errx(1, "unknown command: %s", line);
	puts("{}");
}

static void map_blob(const char *path)
{
	struct stat st;
	int fd = open(path, O_RDONLY);

	if (fd < 0 || fstat(fd, &st))
		err(1, "%s", path);
	blob.bytes = blob.size = st.st_size;
	blob.data = mmap(NULL, blob.bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
	if (blob.data == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
}

int main(int argc, char **argv)
{
	struct pollfd fds[2] = { { .events = POLLIN }, { .events = POLLIN } };

	if (argc < 6)
		errx(2, "usage: daemon DIRECTORY DELAY UNIT NAME BLOB [SIZE]");
	name = argv[4];
	map_blob(argv[5]);
	if (argc > 6)
		blob.size = strtoull(argv[6], NULL, 0);

	device = open("/dev/cachefiles", O_RDWR);
	if (device < 0)
		err(1, "/dev/cachefiles");
	command("dir %s", argv[1]);
	command("tag bench");
	command("bind ondemand");
	serve_start(strtoull(argv[2], NULL, 0) * 1000, strtoull(argv[3], NULL, 0));
	setvbuf(stdout, NULL, _IOLBF, 0);
	puts("{}");

	fds[0].fd = device;
	while (poll(fds, 2, -1) >= 0) {
		if (fds[0].revents & POLLIN)
			handle_device();
		if (fds[1].revents)
			handle_command();
	}
	err(1, "poll");
}
