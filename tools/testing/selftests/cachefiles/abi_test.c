// SPDX-License-Identifier: GPL-2.0
/*
 * The ABI: numbers, layouts, and the device before anything is mounted.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/capability.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

#include "kselftest_harness.h"
#include "observe.h"
#include "scene.h"

FIXTURE(abi)
{
	struct cf_env env;
};

FIXTURE_SETUP(abi)
{
	ASSERT_EQ(0, cf_env_init(&self->env));
}

FIXTURE_TEARDOWN(abi)
{
	cf_env_fini(&self->env);
}

TEST(numbers)
{
	EXPECT_EQ(0, CACHEFILES_OP_OPEN);
	EXPECT_EQ(1, CACHEFILES_OP_CLOSE);
	EXPECT_EQ(2, CACHEFILES_OP_READ);
	EXPECT_EQ(1024, CACHEFILES_MSG_MAX_SIZE);
	EXPECT_EQ(0x40049801, CACHEFILES_IOC_READ_COMPLETE);
	EXPECT_EQ(3, CACHEFILES_OP_FULL);
	EXPECT_EQ(0x80089802, CACHEFILES_IOC_FEATURES);
	EXPECT_EQ(0x40089803, CACHEFILES_IOC_READ_FAIL);
	EXPECT_EQ(0x80489804, CACHEFILES_IOC_SPACE);
}

TEST(layout)
{
	EXPECT_EQ(16, sizeof(struct cachefiles_msg));
	EXPECT_EQ(0, offsetof(struct cachefiles_msg, msg_id));
	EXPECT_EQ(4, offsetof(struct cachefiles_msg, opcode));
	EXPECT_EQ(8, offsetof(struct cachefiles_msg, len));
	EXPECT_EQ(12, offsetof(struct cachefiles_msg, object_id));
	EXPECT_EQ(16, offsetof(struct cachefiles_msg, data));

	EXPECT_EQ(16, sizeof(struct cachefiles_open));
	EXPECT_EQ(0, offsetof(struct cachefiles_open, volume_key_size));
	EXPECT_EQ(4, offsetof(struct cachefiles_open, cookie_key_size));
	EXPECT_EQ(8, offsetof(struct cachefiles_open, fd));
	EXPECT_EQ(12, offsetof(struct cachefiles_open, flags));
	EXPECT_EQ(16, offsetof(struct cachefiles_open, data));

	EXPECT_EQ(16, sizeof(struct cachefiles_read));
	EXPECT_EQ(0, offsetof(struct cachefiles_read, off));
	EXPECT_EQ(8, offsetof(struct cachefiles_read, len));
}

TEST_F(abi, second_opener_ebusy)
{
	int fd;

	self->env.dev = cf_dev_open();
	ASSERT_LE(0, self->env.dev);
	fd = open("/dev/cachefiles", O_RDWR | O_CLOEXEC);
	EXPECT_EQ(-1, fd);
	EXPECT_EQ(EBUSY, errno);

	EXPECT_EQ(0, cf_dev_close(&self->env));
	fd = open("/dev/cachefiles", O_RDWR | O_CLOEXEC);
	EXPECT_LE(0, fd);
	close(fd);
}

static long open_without_cap(void *arg, struct cf_out *out)
{
	struct __user_cap_header_struct hdr = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	int fd;

	if (syscall(SYS_capget, &hdr, data) < 0)
		return -errno;
	data[0].effective &= ~(1U << CAP_SYS_ADMIN);
	if (syscall(SYS_capset, &hdr, data) < 0)
		return -errno;
	fd = open("/dev/cachefiles", O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

TEST_F(abi, open_needs_cap_sys_admin)
{
	struct cf_task t;

	ASSERT_EQ(0, cf_start(&t, open_without_cap, NULL, 0));
	EXPECT_EQ(-EPERM, cf_wait(&t, WAIT_MS));
}

TEST_F(abi, not_bound)
{
	char buf[CACHEFILES_MSG_MAX_SIZE];

	self->env.dev = cf_dev_open();
	ASSERT_LE(0, self->env.dev);
	EXPECT_EQ(0, cf_readable(self->env.dev, 0));
	EXPECT_EQ(0, read(self->env.dev, buf, sizeof(buf)));
	EXPECT_EQ(-EOPNOTSUPP, cf_copen(self->env.dev, 1, 4096));
}

TEST_F(abi, bind_needs_dir)
{
	self->env.dev = cf_dev_open();
	ASSERT_LE(0, self->env.dev);
	EXPECT_EQ(-EINVAL, cf_cmd(self->env.dev, "bind ondemand"));
}

TEST_F(abi, bind_unknown_argument)
{
	EXPECT_EQ(-EINVAL, cf_bind(&self->env, "onDemand"));
	EXPECT_EQ(-EINVAL, cf_cmd(self->env.dev, "bind ondemandx"));
	EXPECT_EQ(-EINVAL, cf_cmd(self->env.dev, "bind ondemand x"));
	EXPECT_EQ(-EINVAL, cf_cmd(self->env.dev, "bind demand"));
	/* None of these has bound anything. */
	EXPECT_EQ(0, cf_cmd(self->env.dev, "bind ondemand"));
}

TEST_F(abi, bind_twice)
{
	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	EXPECT_EQ(-EBUSY, cf_cmd(self->env.dev, "bind ondemand"));
	EXPECT_EQ(-EBUSY, cf_cmd(self->env.dev, "bind"));
}

TEST_F(abi, commands)
{
	self->env.dev = cf_dev_open();
	ASSERT_LE(0, self->env.dev);
	EXPECT_EQ(0, cf_cmd(self->env.dev, "brun 12%%"));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "bcull 8%%"));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "bstop 2%%"));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "frun 12%%"));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "fcull 8%%"));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "fstop 2%%"));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "debug 0"));
	EXPECT_EQ(-EOPNOTSUPP, cf_cmd(self->env.dev, "nonsense"));
	/* A newline as of echo(1) is no part of a command. */
	EXPECT_EQ(0, cf_cmd(self->env.dev, "dir %s\n", self->env.root));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "tag newline\n"));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "bind ondemand\n"));
}

TEST_F(abi, bound_and_idle)
{
	char buf[CACHEFILES_MSG_MAX_SIZE];

	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	EXPECT_EQ(0, cf_readable(self->env.dev, 0));
	EXPECT_EQ(0, read(self->env.dev, buf, sizeof(buf)));
	EXPECT_EQ(0, pread(self->env.dev, buf, sizeof(buf), 4096));
	EXPECT_EQ(0, cf_cmd(self->env.dev, "restore"));
	EXPECT_EQ(0, cf_readable(self->env.dev, 0));
}

/* What is counted is what happens. */
TEST_F(abi, statistics)
{
	struct scene s = { .env = self->env, .fd = -1 };
	struct cf_task t[2];
	struct cf_msg m;
	char buf[100];

	ASSERT_EQ(0, img_simple(&s.img, 256 << 10));
	ASSERT_EQ(0, cf_bind(&s.env, "ondemand"));
	self->env.dev = s.env.dev;
	EXPECT_EQ(0, ob_counter(" opens="));
	ASSERT_EQ(0, scene_mount(&s, "m", "fsid=img"));
	EXPECT_EQ(1, ob_counter(" opens="));
	EXPECT_LT(0, ob_counter(" filled_bytes="));
	EXPECT_EQ(0, ob_counter(" pending="));
	EXPECT_EQ(0, ob_counter(" errors="));

	ASSERT_EQ(0, scene_read_start(&s, &t[0], 0, 100));
	ASSERT_EQ(0, scene_expect_read(&s, &m, 0));
	EXPECT_LT(0, ob_counter(" misses="));
	EXPECT_LT(0, ob_counter(" pending="));
	EXPECT_EQ(m.id, ob_counter("request id="));
	ASSERT_EQ(0, cf_fail(s.fd, m.id, -EIO));
	EXPECT_EQ(1, ob_counter(" read_fails="));
	EXPECT_LT(0, ob_counter(" errors="));
	EXPECT_EQ(0, ob_counter(" empty_reads="));
	EXPECT_EQ(0, scene_serve(&s, &t[0]));
	cf_wait(&t[0], WAIT_MS);
	ASSERT_EQ(0, cf_fill(s.fd, s.img.data, 0, s.img.size));
	EXPECT_EQ((long long)s.img.size, ob_counter(" filled_bytes="));
	ASSERT_EQ(0, cf_drop_caches());
	EXPECT_EQ(100, cf_read(&s.env, SCENE_FILE, 0, 100, buf));
	EXPECT_LT(0, ob_counter(" hits="));
	EXPECT_EQ(1, ob_counter(" completed="));
	EXPECT_EQ(1, ob_counter(" binds="));
	EXPECT_EQ(0, ob_counter(" resent="));
	EXPECT_EQ(0, ob_counter(" expiries="));
	close(s.fd);
}

/* An OPEN to the byte, and what comes with it. */
TEST_F(abi, open_message)
{
	static const char volume[] = "erofs,abi.img", key[] = "abi.img";
	char buf[CACHEFILES_MSG_MAX_SIZE], link[64], path[64];
	struct cachefiles_msg *msg = (void *)buf;
	struct cachefiles_open *open = (void *)msg->data;
	struct cf_task t;
	ssize_t n, size;

	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	ASSERT_EQ(0, cf_mount_start(&self->env, &t, "m", "fsid=abi.img"));
	ASSERT_EQ(1, cf_readable(self->env.dev, WAIT_MS));
	/* The offset of pread(2) means nothing here. */
	n = pread(self->env.dev, buf, sizeof(buf), 12345);

	size = sizeof(*msg) + sizeof(*open) + sizeof(volume) + strlen(key);
	ASSERT_EQ(size, n);
	EXPECT_NE(0, msg->msg_id);
	EXPECT_EQ(CACHEFILES_OP_OPEN, msg->opcode);
	EXPECT_EQ(size, msg->len);
	EXPECT_EQ(sizeof(volume), open->volume_key_size);
	EXPECT_EQ(strlen(key), open->cookie_key_size);
	EXPECT_EQ(0, open->flags);
	EXPECT_EQ(0, memcmp(open->data, volume, sizeof(volume)));
	EXPECT_EQ(0, memcmp(open->data + sizeof(volume), key, strlen(key)));

	EXPECT_EQ(FD_CLOEXEC, fcntl(open->fd, F_GETFD));
	EXPECT_EQ(O_WRONLY, fcntl(open->fd, F_GETFL) & O_ACCMODE);
	snprintf(path, sizeof(path), "/proc/self/fd/%u", open->fd);
	n = readlink(path, link, sizeof(link) - 1);
	ASSERT_LT(0, n);
	link[n] = 0;
	EXPECT_STREQ("anon_inode:[cachefiles]", link);

	EXPECT_EQ(0, cf_copen(self->env.dev, msg->msg_id, -ENOENT));
	EXPECT_EQ(-ENOENT, cf_wait(&t, WAIT_MS));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
