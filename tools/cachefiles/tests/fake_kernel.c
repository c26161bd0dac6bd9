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
#include <time.h>
#include <unistd.h>

#include "fake.h"

#define IDS 65536

static int kernel_end = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
static bool completed[IDS];

int fake_device(void)
{
	int fds[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC,
		       0, fds))
		abort();
	kernel_end = fds[1];
	memset(completed, 0, sizeof(completed));
	return fds[0];
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

/* Linked in the place of ioctl(). */
int __wrap_ioctl(int fd, unsigned long cmd, ...)
{
	unsigned long arg;
	va_list args;

	va_start(args, cmd);
	arg = va_arg(args, unsigned long);
	va_end(args);
	if (cmd != CACHEFILES_IOC_READ_COMPLETE)
		return __real_ioctl(fd, cmd, arg);

	/* Once, and on an fd that is open. */
	pthread_mutex_lock(&lock);
	if ((uint32_t)arg >= IDS || completed[(uint32_t)arg] ||
	    fcntl(fd, F_GETFD) < 0)
		abort();
	completed[(uint32_t)arg] = true;
	pthread_cond_broadcast(&cond);
	pthread_mutex_unlock(&lock);
	return 0;
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
