// SPDX-License-Identifier: GPL-2.0
/*
 * Daemons that fill and answer in every way there is.  Readers get the bytes of
 * the image or an error, now and after a second mount.
 */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "image.h"
#include "odserver.h"
#include "scene.h"

/* Sizes that end inside a granule, at one, and inside the first one. */
static const __u64 sizes[] = { 300 << 10, 10000, 4096, 1, 511, 70001 };

#define NR ARRAY_SIZE(sizes)

FIXTURE(fill)
{
	struct cf_env env;
	struct img img;
	struct od_server srv;
};

FIXTURE_VARIANT(fill)
{
	struct od_ops ops;
	bool may_fail;		/* the daemon leaves something out */
	unsigned int blkbits;
};

FIXTURE_VARIANT_ADD(fill, honest)
{
	.ops = { od_open, od_fill, od_reply }, .blkbits = 12,
};

/* Blocks of 512 bytes, so that the object's size is no multiple of 4096. */
FIXTURE_VARIANT_ADD(fill, small_blocks)
{
	.ops = { od_open, od_fill, od_reply }, .blkbits = 9,
};

FIXTURE_VARIANT_ADD(fill, small_blocks_tiny)
{
	.ops = { od_open, od_fill_tiny, od_reply }, .blkbits = 9,
};

FIXTURE_VARIANT_ADD(fill, everything)
{
	.ops = { od_open, od_fill_everything, od_reply }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, twice)
{
	.ops = { od_open, od_fill_twice, od_reply }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, overlap)
{
	.ops = { od_open, od_fill_overlap, od_reply }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, tiny)
{
	.ops = { od_open, od_fill_tiny, od_reply }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, backwards)
{
	.ops = { od_open, od_fill_backwards, od_reply }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, writev)
{
	.ops = { od_open, od_fill_writev, od_reply }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, splice)
{
	.ops = { od_open, od_fill_splice, od_reply }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, nothing)
{
	.ops = { od_open, od_fill_nothing, od_reply }, .blkbits = 12,
	.may_fail = true,
};

FIXTURE_VARIANT_ADD(fill, prefix)
{
	.ops = { od_open, od_fill_prefix, od_reply }, .blkbits = 12,
	.may_fail = true,
};

FIXTURE_VARIANT_ADD(fill, middle)
{
	.ops = { od_open, od_fill_middle, od_reply }, .blkbits = 12,
	.may_fail = true,
};

FIXTURE_VARIANT_ADD(fill, suffix)
{
	.ops = { od_open, od_fill_suffix, od_reply }, .blkbits = 12,
	.may_fail = true,
};

FIXTURE_VARIANT_ADD(fill, reply_never)
{
	.ops = { od_open, od_fill, od_reply_never }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, reply_twice)
{
	.ops = { od_open, od_fill, od_reply_twice }, .blkbits = 12,
};

FIXTURE_VARIANT_ADD(fill, reply_wrong_id)
{
	.ops = { od_open, od_fill, od_reply_wrong_id }, .blkbits = 12,
};

FIXTURE_SETUP(fill)
{
	unsigned int i;

	ASSERT_EQ(0, cf_env_init(&self->env));
	ASSERT_EQ(0, img_begin(&self->img, variant->blkbits));
	for (i = 0; i < NR; i++)
		img_add(&self->img, sizes[i]);
	img_end(&self->img);
	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	od_init(&self->srv, self->env.dev);
	od_add(&self->srv, "img", self->img.data, self->img.size);
	ASSERT_EQ(0, od_run(&self->srv, 1));
}

FIXTURE_TEARDOWN(fill)
{
	cf_env_fini(&self->env);
}

/* 0 if file i reads as it should, or an errno. */
static long check(struct cf_env *env, struct img *img, int i)
{
	struct img_file *f = &img->file[i];
	struct cf_task t;
	char path[32];
	long ret;

	snprintf(path, sizeof(path), "m/%s", f->name);
	ret = cf_read_start(env, &t, path, 0, f->size + 1);
	if (!ret)
		ret = cf_wait(&t, WAIT_MS);
	if (ret == (long)f->size)
		ret = memcmp(t.out->buf, img->data + f->pos, f->size) ?
			-EILSEQ : 0;
	else if (ret >= 0)
		ret = -EMSGSIZE;
	munmap(t.out, t.cap);
	return ret;
}

TEST_F_TIMEOUT(fill, read_all, 120)
{
	bool may_fail = variant->may_fail;
	unsigned int i;
	long ret;

	/* It is about file content: let the metadata come honestly. */
	ASSERT_EQ(0, cf_mount(&self->env, "m", "fsid=img"));
	ASSERT_EQ(0, cf_read(&self->env, "m/f00", 0, 0, NULL));
	self->srv.ops = &variant->ops;
	for (i = 0; i < NR; i++) {
		ret = check(&self->env, &self->img, i);
		if (ret != -EIO || !may_fail)
			EXPECT_EQ(0, ret);
	}
	ASSERT_EQ(0, cf_umount(&self->env, "m", 0));

	/* What is in the cache now are the same bytes; the rest can be had. */
	self->srv.ops = &od_honest;
	od_log_reset(&self->srv);
	ASSERT_EQ(0, cf_mount(&self->env, "m", "fsid=img"));
	for (i = 0; i < NR; i++)
		EXPECT_EQ(0, check(&self->env, &self->img, i));
	if (!may_fail)
		EXPECT_EQ(0, self->srv.nr_read);
	ASSERT_EQ(0, cf_umount(&self->env, "m", 0));

	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	EXPECT_EQ(0, self->srv.nr_spurious);
}

#define WHOLE	(1024 << 10)	/* more than the kernel takes at a time */
#define SLOW	(128 << 10)	/* where it has to wait for more */
#define OTHERS	100		/* more than it remembers unfinished granules */

FIXTURE(split)
{
	struct scene s;
};

FIXTURE_SETUP(split)
{
	ASSERT_EQ(0, scene_init(&self->s, 2 * WHOLE));
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
}

FIXTURE_TEARDOWN(split)
{
	scene_fini(&self->s);
}

struct split_write {
	int fd;
	char *buf;
	__u64 off;
};

static void *split_write(void *arg)
{
	struct split_write *w = arg;

	return (void *)pwrite(w->fd, w->buf, WHOLE, w->off);
}

/*
 * One write that lies on no boundary is taken in several pieces.  Whatever others
 * leave unfinished between two of these, what is told to be written is there.
 */
TEST_F(split, unfinished_granules_of_others)
{
	struct scene *s = &self->s;
	__u64 pos = s->img.file[0].pos, other = pos + WHOLE + 10 * GRANULE;
	struct split_write w = { s->fd, NULL, pos + 1 };
	const char *data = s->img.data;
	pthread_t writing;
	int uffd, i;
	void *ret;

	w.buf = mmap(NULL, WHOLE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, w.buf);
	memcpy(w.buf, data + w.off, WHOLE);
	uffd = cf_slow_memory(w.buf + SLOW, GRANULE);
	ASSERT_LE(0, uffd);
	ASSERT_EQ(0, pthread_create(&writing, NULL, split_write, &w));
	ASSERT_EQ(0, cf_memory_wanted(uffd, WAIT_MS));
	for (i = 0; i < OTHERS; i++, other += GRANULE)
		EXPECT_EQ(1, pwrite(s->fd, data + other, 1, other));
	ASSERT_EQ(0, cf_give_memory(uffd, w.buf + SLOW, data + w.off + SLOW, GRANULE));
	ASSERT_EQ(0, pthread_join(writing, &ret));
	EXPECT_EQ(WHOLE, (long)ret);
	close(uffd);

	/* All but the first byte of one granule, and only that of another. */
	EXPECT_EQ(pos + GRANULE, lseek(s->fd, pos, SEEK_DATA));
	EXPECT_EQ(pos + WHOLE, lseek(s->fd, pos + GRANULE, SEEK_HOLE));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
