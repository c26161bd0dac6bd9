// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that runs out at each point of what is done with an object's file
 * descriptor, in turn: what failed can be done again, and nothing false is there.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "nomem.h"
#include "scene.h"

#define FILE_SIZE	(1024 << 10)
#define HALF		(GRANULE / 2)
#define STEP		(4 * GRANULE)

FIXTURE(nomem_fill)
{
	struct scene s;
	struct nomem nm;
	const char *data;	/* of the file */
	__u64 pos;		/* of the file */
};

FIXTURE_SETUP(nomem_fill)
{
	struct scene *s = &self->s;

	s->env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	self->pos = s->img.file[0].pos;
	self->data = s->img.data + self->pos;
}

FIXTURE_TEARDOWN(nomem_fill)
{
	scene_fini(&self->s);
}

static int read_again(struct scene *s, __u64 off, size_t len)
{
	struct cf_task t;

	return scene_read_start(s, &t, off, len) ?: scene_serve(s, &t) ?:
	       scene_check(s, &t, off, len);
}

/* A fill that failed can be done again. */
TEST_F_TIMEOUT(nomem_fill, whole, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	__u64 off = 0;
	ssize_t n;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	for (nomem_first(nm, 3); nomem_next(nm); off += GRANULE) {
		ASSERT_GT(FILE_SIZE, off);
		nomem_begin(nm);
		n = pwrite(s->fd, self->data + off, GRANULE, self->pos + off);
		nomem_end(nm);
		if (n != GRANULE) {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(0, cf_fill(s->fd, s->img.data, self->pos + off, GRANULE));
		}
	}
	/* With large folios most fills need no page of their own. */
	EXPECT_LT(1, nm->nr_faults);
	EXPECT_EQ(0, read_again(s, 0, FILE_SIZE));
}

/* Each try is the first of its object that is for less than a granule. */
TEST_F_TIMEOUT(nomem_fill, first_piece, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	__u64 pos = self->pos + STEP;
	struct cf_msg m;
	ssize_t n;

	for (nomem_first(nm, 1); nomem_next(nm); pos += 2 * STEP) {
		ASSERT_GT(self->pos + FILE_SIZE, pos);
		ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
		nomem_begin(nm);
		n = pwrite(s->fd, s->img.data + pos, HALF, pos);
		nomem_end(nm);
		if (n != HALF) {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(0, cf_fill(s->fd, s->img.data, pos, HALF));
		}
		EXPECT_NE(pos, lseek(s->fd, pos, SEEK_DATA));
		EXPECT_EQ(0, cf_fill(s->fd, s->img.data, pos + HALF, HALF));
		/* What was taken is remembered. */
		EXPECT_EQ(pos, lseek(s->fd, pos, SEEK_DATA)) {
			TH_LOG("allocation %d, pwrite: %zd", nm->nth, n);
		}
		EXPECT_EQ(0, read_again(s, pos - self->pos, GRANULE));
		ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
		close(s->fd);
	}
	/* The daemon's data, the slots for pieces, and what is kept of this one. */
	EXPECT_LE(3, nm->nr_faults);
}

/* The last piece ends a read in the daemon's task, with what is on the disk. */
TEST_F_TIMEOUT(nomem_fill, last_piece, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	__u64 pos, off = STEP;
	struct cf_task t;
	struct cf_msg m;
	ssize_t n;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	for (nomem_first(nm, 3); nomem_next(nm); off += STEP) {
		ASSERT_GT(FILE_SIZE, off);
		pos = self->pos + off;
		ASSERT_EQ(0, scene_read_start(s, &t, off, GRANULE));
		ASSERT_EQ(0, scene_expect_read(s, &m, off));
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, pos, HALF));
		sync();
		cf_drop_caches();
		nomem_begin(nm);
		n = pwrite(s->fd, s->img.data + pos + HALF, HALF, pos + HALF);
		nomem_end(nm);
		if (n != HALF) {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(0, cf_fill(s->fd, s->img.data, pos, GRANULE));
		}
		EXPECT_EQ(0, cf_complete(s->fd, m.id));
		/* What it could not read there it reads again. */
		EXPECT_EQ(0, scene_serve(s, &t));
		EXPECT_EQ(0, scene_check(s, &t, off, GRANULE));
		munmap(t.out, t.cap);
	}
	EXPECT_LT(3, nm->nr_faults);
}

FIXTURE(nomem_answer)
{
	struct scene s;
	struct nomem nm;
};

FIXTURE_VARIANT(nomem_answer)
{
	int error;
};

FIXTURE_VARIANT_ADD(nomem_answer, complete) { 0 };
FIXTURE_VARIANT_ADD(nomem_answer, fail) { -ETIMEDOUT };

FIXTURE_SETUP(nomem_answer)
{
	self->s.env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img"));
}

FIXTURE_TEARDOWN(nomem_answer)
{
	scene_fini(&self->s);
}

/* A READ that is answered with an error, or without the data: twice, at least. */
TEST_F_TIMEOUT(nomem_answer, without_data, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	__u64 off = STEP;
	struct cf_task t;
	struct cf_msg m;
	int ret;

	for (nomem_first(nm, 3); nomem_next(nm); off += STEP) {
		ASSERT_GT(FILE_SIZE, off);
		ASSERT_EQ(0, scene_read_start(s, &t, off, GRANULE));
		while (cf_running(&t, 0)) {
			if (cf_next(s->env.dev, &m, 10))
				continue;
			ASSERT_EQ(CACHEFILES_OP_READ, m.op);
			nomem_begin(nm);
			ret = variant->error ? cf_fail(s->fd, m.id, variant->error) :
					       cf_complete(s->fd, m.id);
			nomem_end(nm);
			EXPECT_EQ(0, ret);
		}
		EXPECT_EQ(variant->error ?: -EIO, cf_wait(&t, WAIT_MS));
		EXPECT_EQ(0, read_again(s, off, GRANULE));
		munmap(t.out, t.cap);
	}
}

/* Its fd is closed with a READ delivered, and the object is opened again. */
TEST_F_TIMEOUT(nomem_fill, reopen, 300)
{
	char buf[CACHEFILES_MSG_MAX_SIZE];
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	struct cf_task t;
	struct cf_msg m;
	int ret, copen;
	ssize_t n;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, GRANULE));
	for (nomem_first(nm, 1); nomem_next(nm); ) {
		ASSERT_EQ(0, scene_expect_read(s, &m, 0));
		nomem_begin(nm);
		ret = close(s->fd);
		n = read(s->env.dev, buf, sizeof(buf));
		copen = -ENOMEM;
		if (n > 0 && !cf_parse(&m, buf, n))
			copen = cf_copen(s->env.dev, m.id, s->img.size);
		nomem_end(nm);
		EXPECT_EQ(0, ret);
		if (n <= 0) {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(0, n);
			ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
		}
		ASSERT_EQ(CACHEFILES_OP_OPEN, m.op);
		if (copen) {
			EXPECT_TRUE(nm->fault);
			EXPECT_EQ(-ENOMEM, copen);
			EXPECT_EQ(0, cf_copen(s->env.dev, m.id, s->img.size));
		}
		s->fd = m.fd;
		s->object = m.object;
	}
	EXPECT_LT(3, nm->nr_faults);
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, GRANULE));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
