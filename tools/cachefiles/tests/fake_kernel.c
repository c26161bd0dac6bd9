// SPDX-License-Identifier: GPL-2.0-or-later
/* The kernel's part, played over a socket pair. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fake.h"

#define IDS 65536

#define ALL_FEATURES (CACHEFILES_FEATURE_READ_FAIL | CACHEFILES_FEATURE_PARK | \
		      CACHEFILES_FEATURE_KEEP | CACHEFILES_FEATURE_FULL | \
		      CACHEFILES_FEATURE_SPACE)

static int server_end = -1;
static int kernel_end = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool completed[IDS];
static int errors[IDS];
static uint64_t features;
static struct cachefiles_space disk;
static bool culls_held;
static unsigned int culls;

int fake_device(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       0, fds))
		abort();
	server_end = fds[0];
	kernel_end = fds[1];
	memset(completed, 0, sizeof(completed));
	memset(errors, 0, sizeof(errors));
	culls = 0;
	fake_features(ALL_FEATURES);
	fake_disk(&(struct cachefiles_space){
		.block_size = 512,
		.blocks = 100, .brun = 7, .bcull = 5, .bstop = 1,
		.files = 100, .frun = 7, .fcull = 5, .fstop = 1,
	});
	return fds[0];
}

void fake_features(uint64_t now)
{
	pthread_mutex_lock(&lock);
	features = now;
	pthread_mutex_unlock(&lock);
}

void fake_disk(const struct cachefiles_space *space)
{
	pthread_mutex_lock(&lock);
	disk = *space;
	pthread_mutex_unlock(&lock);
}

struct cachefiles_space fake_disk_now(void)
{
	struct cachefiles_space now;

	pthread_mutex_lock(&lock);
	/* As the kernel does: culling goes on until the run limits are kept. */
	if (disk.blocks < disk.bcull || disk.files < disk.fcull)
		disk.flags |= CACHEFILES_SPACE_CULL;
	else if (disk.blocks >= disk.brun && disk.files >= disk.frun)
		disk.flags &= ~CACHEFILES_SPACE_CULL;
	if (disk.blocks < disk.bstop || disk.files < disk.fstop)
		disk.flags |= CACHEFILES_SPACE_STOP;
	else
		disk.flags &= ~CACHEFILES_SPACE_STOP;
	now = disk;
	pthread_mutex_unlock(&lock);
	return now;
}

bool fake_disk_take(uint64_t blocks)
{
	bool taken;

	pthread_mutex_lock(&lock);
	taken = disk.blocks >= disk.bstop + blocks;
	if (taken)
		disk.blocks -= blocks;
	pthread_mutex_unlock(&lock);
	return taken;
}

void fake_hold_culls(bool hold)
{
	pthread_mutex_lock(&lock);
	culls_held = hold;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
}

unsigned int fake_culls(void)
{
	unsigned int ret;

	pthread_mutex_lock(&lock);
	ret = culls;
	pthread_mutex_unlock(&lock);
	return ret;
}

void fake_hang_up(void)
{
	close(kernel_end);
	kernel_end = -1;
}

void fake_send(const void *data, size_t len)
{
	struct pollfd pfd = { .fd = kernel_end, .events = POLLOUT };

	while (send(kernel_end, data, len, 0) < 0) {
		if (errno != EAGAIN)
			abort();
		poll(&pfd, 1, FAKE_WAIT_MS);
	}
}

static void send_msg(uint32_t opcode, uint32_t msg_id, uint32_t object_id,
		     const void *load, size_t len)
{
	struct cfod_msgbuf buf;
	struct cachefiles_msg *msg = (void *)buf.bytes;

	*msg = (struct cachefiles_msg){
		.msg_id = msg_id,
		.opcode = opcode,
		.len = sizeof(*msg) + len,
		.object_id = object_id,
	};
	if (len)
		memcpy(msg->data, load, len);
	fake_send(msg, msg->len);
}

void fake_open(uint32_t msg_id, uint32_t object_id, const char *key,
	       size_t key_len, int fd)
{
	unsigned char buf[1000];
	struct cachefiles_open *load = (void *)buf;

	*load = (struct cachefiles_open){
		.volume_key_size = 10,
		.cookie_key_size = key_len,
		.fd = fd,
	};
	memcpy(load->data, "erofs,dom", 10);
	memcpy(load->data + 10, key, key_len);
	send_msg(CACHEFILES_OP_OPEN, msg_id, object_id, load,
		 sizeof(*load) + 10 + key_len);
}

void fake_read(uint32_t msg_id, uint32_t object_id, uint64_t off, uint64_t len)
{
	struct cachefiles_read load = { .off = off, .len = len };

	send_msg(CACHEFILES_OP_READ, msg_id, object_id, &load, sizeof(load));
}

void fake_close(uint32_t msg_id, uint32_t object_id)
{
	send_msg(CACHEFILES_OP_CLOSE, msg_id, object_id, NULL, 0);
}

void fake_full(uint32_t msg_id, uint32_t object_id)
{
	send_msg(CACHEFILES_OP_FULL, msg_id, object_id, NULL, 0);
}

const char *fake_command(int ms)
{
	static char text[512];
	struct pollfd pfd = { .fd = kernel_end, .events = POLLIN };
	ssize_t n = 0;

	if (poll(&pfd, 1, ms) == 1)
		n = recv(kernel_end, text, sizeof(text) - 1, MSG_DONTWAIT);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

/* Once, and on an fd that is open. */
static int answered(int fd, uint32_t msg_id, int error)
{
	if (!msg_id) {
		errno = EINVAL;
		return -1;
	}
	pthread_mutex_lock(&lock);
	if (msg_id >= IDS || completed[msg_id] || fcntl(fd, F_GETFD) < 0)
		abort();
	completed[msg_id] = true;
	errors[msg_id] = error;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	return 0;
}

static bool has(uint64_t feature)
{
	bool ret;

	pthread_mutex_lock(&lock);
	ret = features & feature;
	pthread_mutex_unlock(&lock);
	if (!ret)
		errno = ENOTTY;
	return ret;
}

/* Linked in the place of ioctl(). */
int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	const struct cachefiles_read_fail *fail;
	unsigned long arg;
	va_list args;

	va_start(args, cmd);
	arg = va_arg(args, unsigned long);
	va_end(args);
	switch (cmd) {
	case CACHEFILES_IOC_READ_COMPLETE:
		return answered(fd, arg, 0);
	case CACHEFILES_IOC_READ_FAIL:
		fail = (const void *)arg;
		if (!has(CACHEFILES_FEATURE_READ_FAIL))
			return -1;
		if (fail->error >= 0 || fail->error < -511)
			abort();
		return answered(fd, fail->msg_id, fail->error);
	case CACHEFILES_IOC_FEATURES:
		if (fcntl(fd, F_GETFD) < 0 || !has(~0ULL))
			return -1;
		*(uint64_t *)arg = features;
		return 0;
	case CACHEFILES_IOC_SPACE:
		if (!has(CACHEFILES_FEATURE_SPACE))
			return -1;
		*(struct cachefiles_space *)arg = fake_disk_now();
		return 0;
	}
	return __real_ioctl(fd, cmd, arg);
}

/* Like the kernel, goes by the working directory of the thread. */
static int cull(const char *name, bool remove)
{
	struct stat st;

	if (lstat(name, &st)) {
		errno = ESTALE;
		return -1;
	}
	if (strstr(name, "busy")) {
		errno = EBUSY;
		return -1;
	}
	if (!remove)
		return 0;
	if (unlink(name))
		abort();
	pthread_mutex_lock(&lock);
	culls++;
	while (culls_held)
		pthread_cond_wait(&cond, &lock);
	disk.blocks += st.st_blocks;
	disk.files++;
	pthread_mutex_unlock(&lock);
	return 0;
}

/* Linked in the place of write(). */
ssize_t __wrap_write(int fd, const void *buf, size_t len)
{
	char text[300] = "";
	const char *name;

	if (fd != server_end)
		return __real_write(fd, buf, len);
	memcpy(text, buf, len < sizeof(text) ? len : sizeof(text) - 1);
	name = strchr(text, ' ');
	if (!strncmp(text, "cull ", 5))
		return cull(name + 1, true) ? -1 : (ssize_t)len;
	if (!strncmp(text, "inuse ", 6))
		return cull(name + 1, false) ? -1 : (ssize_t)len;
	return __real_write(fd, buf, len);
}

bool fake_completed(uint32_t msg_id, int ms)
{
	struct timespec limit;
	int ret = 0;
	bool done;

	clock_gettime(CLOCK_REALTIME, &limit);
	limit.tv_nsec += ms % 1000 * 1000000L;
	limit.tv_sec += ms / 1000 + limit.tv_nsec / 1000000000;
	limit.tv_nsec %= 1000000000;

	pthread_mutex_lock(&lock);
	while (!completed[msg_id] && !ret)
		ret = pthread_cond_timedwait(&cond, &lock, &limit);
	done = completed[msg_id];
	pthread_mutex_unlock(&lock);
	return done;
}

int fake_read_error(uint32_t msg_id)
{
	int error;

	pthread_mutex_lock(&lock);
	error = errors[msg_id];
	pthread_mutex_unlock(&lock);
	return error;
}

bool fake_fd_closed(int fd)
{
	int i;

	for (i = 0; i < FAKE_WAIT_MS && fcntl(fd, F_GETFD) >= 0; i++)
		usleep(1000);
	return fcntl(fd, F_GETFD) < 0;
}

int fake_object_fd(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	if (fd < 0)
		abort();
	return fd;
}
