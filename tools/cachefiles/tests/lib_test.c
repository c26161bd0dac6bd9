// SPDX-License-Identifier: GPL-2.0-or-later
/* Tests of the library that need no kernel: messages, commands, fills. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cachefiles_ondemand.h"
#include "fake.h"
#include "tap.h"

static struct cfod_msgbuf buf;
static struct cfod_event event;

static size_t make_head(uint32_t opcode, size_t len)
{
	struct cachefiles_msg *msg = (void *)buf.bytes;

	msg->msg_id = 7;
	msg->opcode = opcode;
	msg->object_id = 9;
	msg->len = len;
	return len;
}

static size_t make_open(const char *volume, size_t volume_size,
			const char *key, size_t key_size)
{
	struct cachefiles_msg *msg = (void *)buf.bytes;
	struct cachefiles_open *load = (void *)msg->data;

	load->volume_key_size = volume_size;
	load->cookie_key_size = key_size;
	load->fd = 5;
	load->flags = 0;
	memcpy(load->data, volume, volume_size);
	memcpy(load->data + volume_size, key, key_size);
	return make_head(CACHEFILES_OP_OPEN, sizeof(*msg) + sizeof(*load) +
			 volume_size + key_size);
}

static size_t make_read(uint64_t off, uint64_t len)
{
	struct cachefiles_msg *msg = (void *)buf.bytes;
	struct cachefiles_read *load = (void *)msg->data;

	load->off = off;
	load->len = len;
	return make_head(CACHEFILES_OP_READ, sizeof(*msg) + sizeof(*load));
}

static struct cachefiles_open *open_load(void)
{
	return (void *)((struct cachefiles_msg *)buf.bytes)->data;
}

static void test_open(void)
{
	size_t len = make_open("erofs,dom", 10, "blob", 4);
	size_t cut;
	bool good;

	ok(cfod_parse(&buf, len, &event) == 1 &&
	   event.opcode == CACHEFILES_OP_OPEN && event.msg_id == 7 &&
	   event.object_id == 9 && event.open.fd == 5 &&
	   event.open.volume_len == 9 &&
	   !strcmp(event.open.volume, "erofs,dom") &&
	   event.open.key_len == 4 && !memcmp(event.open.key, "blob", 4),
	   "OPEN is understood");

	good = true;
	for (cut = 0; cut < len; cut++) {
		make_head(CACHEFILES_OP_OPEN, cut);
		good &= cfod_parse(&buf, cut, &event) == -EBADMSG;
	}
	ok(good, "OPEN cut anywhere is refused");

	make_open("erofs,dom", 10, "blob", 4);
	ok(cfod_parse(&buf, len - 1, &event) == -EBADMSG,
	   "a length other than read(2)'s is refused");

	len = make_open("erofs,dom", 9, "blob", 4);
	ok(cfod_parse(&buf, len, &event) == -EBADMSG,
	   "a volume key without its NUL is refused");
	len = make_open("ero\0s,dom", 10, "blob", 4);
	ok(cfod_parse(&buf, len, &event) == -EBADMSG,
	   "a volume key with a NUL within is refused");

	len = make_open("erofs,dom", 10, "blob", 4);
	open_load()->volume_key_size = UINT32_MAX;
	ok(cfod_parse(&buf, len, &event) == -EBADMSG,
	   "a volume key longer than the message is refused");
	len = make_open("erofs,dom", 10, "blob", 4);
	open_load()->cookie_key_size = UINT32_MAX - 5;
	ok(cfod_parse(&buf, len, &event) == -EBADMSG,
	   "a key longer than the message is refused");
	len = make_open("erofs,dom", 10, "blob", 4);
	open_load()->fd = -1;
	ok(cfod_parse(&buf, len, &event) == -EBADMSG,
	   "OPEN without an fd is refused");
}

static void test_others(void)
{
	size_t len = make_read(8192, 4096);

	ok(cfod_parse(&buf, len, &event) == 1 && event.read.off == 8192 &&
	   event.read.len == 4096, "READ is understood");
	make_head(CACHEFILES_OP_READ, len - 1);
	ok(cfod_parse(&buf, len - 1, &event) == -EBADMSG,
	   "a short READ is refused");
	len = make_read(8192, 0);
	ok(cfod_parse(&buf, len, &event) == -EBADMSG,
	   "READ of nothing is refused");
	len = make_read(INT64_MAX - 4095, 8192);
	ok(cfod_parse(&buf, len, &event) == -EBADMSG,
	   "READ beyond 2^63 is refused");

	len = make_head(CACHEFILES_OP_CLOSE, sizeof(struct cachefiles_msg));
	ok(cfod_parse(&buf, len, &event) == 1 &&
	   event.opcode == CACHEFILES_OP_CLOSE && event.object_id == 9,
	   "CLOSE is understood");
	len = make_head(CACHEFILES_OP_FULL, sizeof(struct cachefiles_msg));
	ok(cfod_parse(&buf, len, &event) == 1 &&
	   event.opcode == CACHEFILES_OP_FULL && event.object_id == 9,
	   "FULL is understood");
	len = make_head(77, sizeof(struct cachefiles_msg));
	ok(cfod_parse(&buf, len, &event) == -EOPNOTSUPP && event.msg_id == 7,
	   "an unknown opcode is told apart");
}

/* What arrives at the other end of @fds when this is sent. */
static bool arrives(int fds[2], int ret, const char *text)
{
	char got[256];
	ssize_t n = recv(fds[1], got, sizeof(got), MSG_DONTWAIT);

	return ret == 0 && n == (ssize_t)strlen(text) && !memcmp(got, text, n);
}

static void test_commands(void)
{
	const struct cfod_mode all = { .park = 86400, .keep = true, .full = true };
	const struct cfod_mode keep = { .keep = true };
	enum cfod_step step = CFOD_STEP_BIND;
	char longest[5000];
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds))
		exit(1);
	ok(arrives(fds, cfod_answer_open(fds[0], 4000000000u, 1ll << 40),
		   "copen 4000000000,1099511627776"), "an OPEN is answered");
	ok(arrives(fds, cfod_answer_open(fds[0], 3, -ENOENT), "copen 3,-2"),
	   "an OPEN is answered with an error");
	ok(arrives(fds, cfod_answer_open(fds[0], 3, -512), "copen 3,-5"),
	   "an error that no mount can return becomes EIO");
	ok(arrives(fds, cfod_restore(fds[0]), "restore"), "restore");
	ok(arrives(fds, cfod_command(fds[0], "brun", "10%"), "brun 10%"),
	   "a command with an argument");

	memset(longest, 'x', sizeof(longest));
	longest[sizeof(longest) - 1] = '\0';
	ok(cfod_command(fds[0], "dir", "/a\nb") == -EINVAL &&
	   cfod_command(fds[0], "dir", " /a") == -EINVAL &&
	   cfod_command(fds[0], "dir", "") == -EINVAL &&
	   cfod_command(fds[0], "", NULL) == -EINVAL &&
	   cfod_command(fds[0], "d ir", "/a") == -EINVAL,
	   "what the kernel would read otherwise is not sent");
	ok(cfod_command(fds[0], "dir", longest) == -ENAMETOOLONG,
	   "what is too long is not sent");

	ok(cfod_bind(fds[0], "/a\nb", NULL, &step) == -EINVAL &&
	   step == CFOD_STEP_DIR, "bind tells which step failed");
	step = CFOD_STEP_OPEN;
	ok(cfod_bind(fds[0], "/cache", "name", &step) == 0 &&
	   arrives(fds, 0, "dir /cache") && arrives(fds, 0, "tag name") &&
	   arrives(fds, 0, "bind ondemand") && step == CFOD_STEP_OPEN,
	   "bind names the directory, the cache and the mode");
	ok(cfod_bind_mode(fds[0], "/c", NULL, &all, NULL) == 0 &&
	   arrives(fds, 0, "dir /c") &&
	   arrives(fds, 0, "bind ondemand park=86400 keep full"),
	   "bind has its options, one blank between them");
	ok(cfod_bind_mode(fds[0], "/c", NULL, &keep, NULL) == 0 &&
	   arrives(fds, 0, "dir /c") && arrives(fds, 0, "bind ondemand keep"),
	   "and only those that are wanted");

	ok(cfod_next(fds[0], &buf, &event) == 0, "no message");
	close(fds[1]);
	ok(cfod_restore(fds[0]) == -EPIPE, "a failing write returns its error");
	ok(cfod_open("/nonexistent/cachefiles") == -ENOENT,
	   "a missing device is told apart");
	close(fds[0]);
}

/* The kernel's own rules for a limit, and where it begins. */
static unsigned int run_limit = 7, cull_limit = 5, stop_limit = 1;

static bool kernel_takes(int fd, char kind)
{
	unsigned int value;
	char got[64] = "";
	char limit[8], is;

	if (recv(fd, got, sizeof(got) - 1, MSG_DONTWAIT) < 0 ||
	    sscanf(got, "%c%7[a-z] %u%%", &is, limit, &value) != 3 ||
	    is != kind || got[strlen(got) - 1] != '%')
		return false;
	if (!strcmp(limit, "run"))
		return (run_limit = value) > cull_limit && value < 100;
	if (!strcmp(limit, "cull"))
		return (cull_limit = value) > stop_limit && value < run_limit;
	return !strcmp(limit, "stop") && (stop_limit = value) < cull_limit;
}

/* Do these limits arrive, each step in order with those before? */
static bool limits(int fds[2], unsigned int run, unsigned int cull,
		   unsigned int stop)
{
	static const char kinds[] = "bf";
	unsigned int old[] = { run_limit, cull_limit, stop_limit };
	bool good = cfod_limits(fds[0], run, cull, stop) == 0;
	int i, k;

	for (k = 0; k < 2; k++) {
		run_limit = old[0];
		cull_limit = old[1];
		stop_limit = old[2];
		for (i = 0; i < 5; i++)
			good &= kernel_takes(fds[1], kinds[k]);
		good &= run_limit == run && cull_limit == cull &&
			stop_limit == stop;
	}
	return good;
}

static void test_limits(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds))
		exit(1);
	ok(limits(fds, 4, 3, 2) && limits(fds, 99, 98, 97) &&
	   limits(fds, 2, 1, 0) && limits(fds, 50, 10, 5),
	   "limits are set, whatever they were before");
	ok(cfod_limits(fds[0], 100, 5, 1) == -ERANGE &&
	   cfod_limits(fds[0], 7, 7, 1) == -ERANGE &&
	   cfod_limits(fds[0], 7, 1, 1) == -ERANGE &&
	   cfod_limits(fds[0], 5, 7, 1) == -ERANGE &&
	   recv(fds[1], &(char){ 0 }, 1, MSG_DONTWAIT) < 0,
	   "limits that are out of order are not sent");
	close(fds[0]);
	close(fds[1]);
}

static void test_features(void)
{
	char name[] = "/tmp/cfod-test.XXXXXX", path[64];
	struct cachefiles_space space;
	uint64_t features = 1;
	int dev = fake_device();
	int dir;

	ok(cfod_features(dev, &features) == 0 && features == 0x1f,
	   "features are told");
	ok(cfod_space(dev, &space) == 0 && space.blocks == 100 &&
	   space.bstop == 1 && space.frun == 7, "space is told");
	ok(cfod_complete_read(dev, 0) == -EINVAL &&
	   cfod_fail_read(dev, 0, -EIO) == -EINVAL,
	   "an answer that nobody waits for");
	ok(cfod_fail_read(dev, 1, -ETIMEDOUT) == 0 &&
	   fake_read_error(1) == -ETIMEDOUT, "a READ is failed");
	cfod_fail_read(dev, 2, -512);
	cfod_fail_read(dev, 3, 0);
	cfod_fail_read(dev, 4, 5);
	ok(fake_read_error(2) == -EIO && fake_read_error(3) == -EIO &&
	   fake_read_error(4) == -EIO, "what is no errno becomes EIO");

	if (!mkdtemp(name))
		exit(1);
	dir = open(name, O_RDONLY | O_DIRECTORY);
	snprintf(path, sizeof(path), "%s/Dfree", name);
	close(fake_object_fd(path));
	ok(cfod_inuse(dev, dir, "Dfree") == 0 && !access(path, F_OK) &&
	   cfod_cull(dev, dir, "Dfree") == 0 && access(path, F_OK),
	   "a file of the directory is culled");
	ok(cfod_cull(dev, dir, "Dfree") == -ESTALE &&
	   cfod_inuse(dev, dir, "Dfree") == -ESTALE, "and then gone");
	snprintf(path, sizeof(path), "%s/Dbusy", name);
	close(fake_object_fd(path));
	ok(cfod_inuse(dev, dir, "Dbusy") == -EBUSY &&
	   cfod_cull(dev, dir, "Dbusy") == -EBUSY, "not one in use");
	ok(cfod_cull(dev, -1, "Dbusy") == -EBADF, "no directory");
	unlink(path);
	rmdir(name);
	close(dir);

	fake_features(0);
	ok(cfod_features(dev, &features) == 0 && features == 0,
	   "a kernel without features has none");
	ok(cfod_space(dev, &space) == -ENOTTY &&
	   cfod_fail_read(dev, 5, -EIO) == -ENOTTY, "nor does it do them");
	fake_hang_up();
	close(dev);
	ok(cfod_features(dev, &features) == -EBADF, "other errors are told");
}

static void test_explain(void)
{
	ok(cfod_explain(CFOD_STEP_OPEN, -EPERM) &&
	   cfod_explain(CFOD_STEP_OPEN, -EBUSY) &&
	   strstr(cfod_explain(CFOD_STEP_OPEN, -ENOENT), "CONFIG_CACHEFILES") &&
	   strstr(cfod_explain(CFOD_STEP_BIND, -EINVAL),
		  "CONFIG_CACHEFILES_ONDEMAND") &&
	   cfod_explain(CFOD_STEP_BIND, -EROFS) &&
	   strstr(cfod_explain(CFOD_STEP_BIND, -EOPNOTSUPP),
		  "extended attributes"),
	   "common failures have an explanation");
	ok(!cfod_explain(CFOD_STEP_OPEN, -EIO), "others have none");
}

static void test_fill(void)
{
	char name[] = "/tmp/cfod-test.XXXXXX";
	int fd = mkstemp(name);
	struct iovec iov[] = {
		{ .iov_base = (char *)"ab", .iov_len = 2 },
		{ .iov_base = NULL, .iov_len = 0 },
		{ .iov_base = (char *)"cde", .iov_len = 3 },
	};
	char got[8] = "";

	if (fd < 0)
		exit(1);
	unlink(name);
	ok(cfod_fillv(fd, iov, 3, 10) == 0 && pread(fd, got, 8, 10) == 5 &&
	   !memcmp(got, "abcde", 5), "pieces are filled one behind the other");
	ok(cfod_fill(fd, "xy", 2, 0) == 0 && pread(fd, got, 2, 0) == 2 &&
	   !memcmp(got, "xy", 2) && lseek(fd, 0, SEEK_CUR) == 0,
	   "a fill does not move the file position");
	ok(cfod_next_hole(fd, 0) >= 0 &&
	   cfod_next_hole(fd, 1 << 20) == -ENXIO, "holes are found");
	close(fd);
	ok(cfod_fill(-1, "x", 1, 0) == -EBADF, "a failing fill does, too");
}

int main(void)
{
	test_open();
	test_others();
	test_commands();
	test_limits();
	test_features();
	test_explain();
	test_fill();
	return tap_end();
}
