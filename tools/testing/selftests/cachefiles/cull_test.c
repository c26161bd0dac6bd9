// SPDX-License-Identifier: GPL-2.0
/*
 * What a daemon does to have space: ask how much there is, and remove what is
 * not in use.
 */
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)

FIXTURE(cull)
{
	struct scene s;
};

FIXTURE_SETUP(cull)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(self->s.fd, self->s.img.data, 0,
			     self->s.img.size));
}

FIXTURE_TEARDOWN(cull)
{
	EXPECT_EQ(0, chdir("/"));
	scene_fini(&self->s);
}

static char found[512];

static int find_one(const char *path, const struct stat *st, int type,
		    struct FTW *ftw)
{
	if (type == FTW_F && !strcmp(path + ftw->base, "Dimg"))
		snprintf(found, sizeof(found), "%.*s", ftw->base - 1, path);
	return 0;
}

/* <dir>/cache/I<volume>/@<fan>/D<key>, where daemons expect it. */
static int chdir_to_object(struct scene *s)
{
	const char *vol;

	*found = 0;
	nftw(s->env.root, find_one, 16, FTW_PHYS);
	vol = strstr(found, "/cache/Ierofs,img/@");
	if (!vol || strlen(vol) != strlen("/cache/Ierofs,img/@xx"))
		return -ENOENT;
	return chdir(found) < 0 ? -errno : 0;
}

/* The cache file is closed when it has been written back. */
static int wait_unused(struct scene *s)
{
	int i;

	for (i = 0; i < 80 && cf_cmd(s->env.dev, "inuse Dimg"); i++)
		usleep(PROMPT_MS * 1000 / 80);
	return cf_cmd(s->env.dev, "inuse Dimg");
}

TEST_F(cull, in_use)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, chdir_to_object(s));
	EXPECT_EQ(-EBUSY, cf_cmd(s->env.dev, "inuse Dimg"));
	EXPECT_EQ(-EBUSY, cf_cmd(s->env.dev, "cull Dimg"));
	EXPECT_EQ(0, access("Dimg", F_OK));
}

TEST_F(cull, not_in_use)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, chdir_to_object(s));
	EXPECT_EQ(0, wait_unused(s));
	EXPECT_EQ(0, cf_cmd(s->env.dev, "cull Dimg"));
	EXPECT_EQ(-1, access("Dimg", F_OK));

	/* Gone is gone: everything is fetched anew. */
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
}

/* The cache file is a file of a known name as soon as it is opened. */
TEST_F(cull, linked_at_creation)
{
	struct stat st;

	ASSERT_EQ(0, chdir_to_object(&self->s));
	ASSERT_EQ(0, stat("Dimg", &st));
	EXPECT_TRUE(S_ISREG(st.st_mode));
	EXPECT_LE(self->s.img.size, st.st_size);
}

static int set_immutable(const char *path, bool on)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), flags, ret;

	if (fd < 0)
		return -errno;
	ret = ioctl(fd, FS_IOC_GETFLAGS, &flags);
	flags = on ? flags | FS_IMMUTABLE_FL : flags & ~FS_IMMUTABLE_FL;
	if (!ret)
		ret = ioctl(fd, FS_IOC_SETFLAGS, &flags);
	close(fd);
	return ret < 0 ? -errno : 0;
}

/* What can't be removed is as it was: not in use, and of use. */
TEST_F(cull, failed_unlink)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, chdir_to_object(s));
	ASSERT_EQ(0, wait_unused(s));
	ASSERT_EQ(0, set_immutable(".", true));
	EXPECT_GT(0, cf_cmd(s->env.dev, "cull Dimg"));
	EXPECT_EQ(0, cf_cmd(s->env.dev, "inuse Dimg"));
	EXPECT_EQ(0, set_immutable(".", false));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

TEST_F(cull, nothing_there)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, chdir_to_object(s));
	EXPECT_EQ(-ESTALE, cf_cmd(s->env.dev, "cull Dnone"));
	EXPECT_EQ(-ESTALE, cf_cmd(s->env.dev, "inuse Dnone"));
	EXPECT_EQ(-EINVAL, cf_cmd(s->env.dev, "cull ../Dimg"));
}

static long cull_for_ever(void *arg, struct cf_out *out)
{
	struct scene *s = arg;

	out->ready = 1;
	do
		cf_cmd(s->env.dev, "cull Dimg");
	while (out->ready);
	return 0;
}

/* A blob that is culled while it is opened is made anew: never EBUSY. */
TEST_F_TIMEOUT(cull, meets_open, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;
	int i;

	ASSERT_EQ(0, chdir_to_object(s));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, wait_unused(s));
	ASSERT_EQ(0, cf_start_keep(&t, cull_for_ever, s, 0));
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
		EXPECT_EQ(0, access("Dimg", F_OK));
		ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
		close(s->fd);
	}
	cf_kill(&t);
}

static long remove_for_ever(void *arg, struct cf_out *out)
{
	struct scene *s = arg;
	char volume[sizeof(found)];

	snprintf(volume, sizeof(volume), "%.*s", (int)(strrchr(found, '/') - found), found);
	out->ready = 1;
	do {
		if (!chdir(found))
			cf_cmd(s->env.dev, "cull Dimg");
		rmdir(found);
		rmdir(volume);
	} while (out->ready);
	return 0;
}

/* The same if the directories are removed that the blob was in: never ENOENT. */
TEST_F_TIMEOUT(cull, directory_meets_open, 120)
{
	struct scene *s = &self->s;
	struct cf_task t;
	int i;

	ASSERT_EQ(0, chdir_to_object(s));
	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, wait_unused(s));
	ASSERT_EQ(0, chdir("/"));
	ASSERT_EQ(0, cf_start_keep(&t, remove_for_ever, s, 0));
	for (i = 0; i < 40; i++) {
		ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
		ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
		close(s->fd);
	}
	cf_kill(&t);
}

/* Only files of this cache. */
TEST_F(cull, elsewhere)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, chdir(s->env.tmp));
	ASSERT_EQ(0, mkdir("other", 0700));
	ASSERT_EQ(0, chdir("other"));
	ASSERT_EQ(0, close(open("Dimg", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
	EXPECT_EQ(-ESTALE, cf_cmd(s->env.dev, "cull Dimg"));
	EXPECT_EQ(0, access("Dimg", F_OK));
	ASSERT_EQ(0, chdir(s->env.root));
	ASSERT_EQ(0, close(open("Dimg", O_CREAT | O_WRONLY | O_CLOEXEC, 0600)));
	EXPECT_EQ(-ESTALE, cf_cmd(s->env.dev, "cull Dimg"));
	EXPECT_EQ(0, access("Dimg", F_OK));
}

struct slow_space {
	int dev;
	void *mem;
};

static void *ask_space(void *arg)
{
	struct slow_space *slow = arg;

	return (void *)(long)(ioctl(slow->dev, CACHEFILES_IOC_SPACE, slow->mem) ? -errno : 0);
}

static long ask_use(void *arg, struct cf_out *out)
{
	struct scene *s = arg;

	return cf_cmd(s->env.dev, "inuse Dimg");
}

/* Where the answer is to go is memory that does not come: no command waits. */
TEST_F(cull, space_into_slow_memory)
{
	struct scene *s = &self->s;
	static const char zeros[GRANULE];
	struct slow_space slow = { .dev = s->env.dev };
	struct cachefiles_space *space;
	pthread_t asking;
	struct cf_task t;
	void *ret;
	int uffd;

	ASSERT_EQ(0, chdir_to_object(s));
	slow.mem = mmap(NULL, GRANULE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, slow.mem);
	uffd = cf_slow_memory(slow.mem, GRANULE);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, pthread_create(&asking, NULL, ask_space, &slow));
	ASSERT_EQ(0, cf_memory_wanted(uffd, WAIT_MS));
	ASSERT_EQ(0, cf_start_keep(&t, ask_use, s, 0));
	EXPECT_EQ(-EBUSY, cf_wait(&t, PROMPT_MS));
	ASSERT_EQ(0, cf_give_memory(uffd, slow.mem, zeros, GRANULE));
	ASSERT_EQ(0, pthread_join(asking, &ret));
	EXPECT_EQ(0, (long)ret);
	space = slow.mem;
	EXPECT_LT(0, space->block_size);
	close(uffd);
}

TEST_F(cull, space)
{
	struct cachefiles_space space;
	struct scene *s = &self->s;
	struct statfs st;

	memset(&space, 0xff, sizeof(space));
	ASSERT_EQ(0, ioctl(s->env.dev, CACHEFILES_IOC_SPACE, &space));
	ASSERT_EQ(0, statfs(s->env.root, &st));
	EXPECT_EQ((__u32)st.f_bsize, space.block_size);
	EXPECT_EQ((__u64)st.f_blocks / 100 * 7, space.brun);
	EXPECT_EQ((__u64)st.f_blocks / 100 * 5, space.bcull);
	EXPECT_EQ((__u64)st.f_blocks / 100, space.bstop);
	EXPECT_EQ((__u64)st.f_files / 100 * 7, space.frun);
	EXPECT_EQ((__u64)st.f_files / 100 * 5, space.fcull);
	EXPECT_EQ((__u64)st.f_files / 100, space.fstop);
	EXPECT_EQ(0, space.flags);
	EXPECT_LT(space.brun, space.blocks);
	EXPECT_LT(space.frun, space.files);
	EXPECT_EQ(-1, ioctl(s->env.dev, CACHEFILES_IOC_SPACE, NULL));
	EXPECT_EQ(EFAULT, errno);
}

static int pollout(int dev)
{
	struct pollfd pfd = { .fd = dev, .events = POLLIN | POLLOUT };

	return poll(&pfd, 1, 0) < 0 ? -errno : !!(pfd.revents & POLLOUT);
}

/* A file's blocks may be freed some time after its unlink(). */
static int wait_space(int dev)
{
	struct cachefiles_space space;
	int i;

	for (i = 0; i < 80; i++) {
		if (ioctl(dev, CACHEFILES_IOC_SPACE, &space))
			return -errno;
		if (!space.flags)
			return 0;
		usleep(PROMPT_MS * 1000 / 80);
	}
	return -ENOSPC;
}

/* Below the limits poll and the ioctl say so, and above they take it back. */
TEST_F(cull, space_is_short)
{
	struct cachefiles_space space;
	struct scene *s = &self->s;
	struct statfs st;
	char path[256];
	int percent, fd;

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, statfs(s->env.root, &st));
	percent = st.f_bavail * 100 / st.f_blocks;
	ASSERT_LT(20, percent);
	s->env.dev = cf_dev_open();
	ASSERT_LE(0, s->env.dev);
	ASSERT_EQ(0, cf_cmd(s->env.dev, "brun %d%%", percent - 2));
	ASSERT_EQ(0, cf_cmd(s->env.dev, "bcull %d%%", percent - 4));
	ASSERT_EQ(0, cf_cmd(s->env.dev, "bstop %d%%", percent - 8));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, ioctl(s->env.dev, CACHEFILES_IOC_SPACE, &space));
	EXPECT_EQ(0, space.flags);
	EXPECT_EQ(0, pollout(s->env.dev));

	snprintf(path, sizeof(path), "%s/big", s->env.root);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, posix_fallocate(fd, 0, st.f_blocks / 100 * 6 * st.f_bsize));
	ASSERT_EQ(0, ioctl(s->env.dev, CACHEFILES_IOC_SPACE, &space));
	EXPECT_EQ(CACHEFILES_SPACE_CULL, space.flags);
	EXPECT_EQ(1, pollout(s->env.dev));
	ASSERT_EQ(0, posix_fallocate(fd, 0,
				     st.f_blocks / 100 * 10 * st.f_bsize));
	ASSERT_EQ(0, ioctl(s->env.dev, CACHEFILES_IOC_SPACE, &space));
	EXPECT_EQ(CACHEFILES_SPACE_CULL | CACHEFILES_SPACE_STOP, space.flags);
	/* Nothing is made below the stop limit, and mount(2) says why. */
	EXPECT_EQ(-ENOSPC, scene_mount(s, "m", "fsid=new"));
	close(s->fd);

	close(fd);
	ASSERT_EQ(0, unlink(path));
	ASSERT_EQ(0, wait_space(s->env.dev));
	EXPECT_EQ(0, pollout(s->env.dev));
	EXPECT_EQ(0, cf_readable(s->env.dev, 0));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=new"));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
