// SPDX-License-Identifier: GPL-2.0
/*
 * Memory that runs out at each point of what writes an object's presence map to
 * the disk, in turn: that is done later, or what is not safe is asked for again.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/mount.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "nomem.h"
#include "scene.h"

#define FILE_SIZE	(1024 << 10)

/*
 * How much of the range is in the cache file; all that is there has to be right.
 * Mapped, as cachefile_map() does it: the file may be in use.
 */
static int check_cache_file(struct scene *s, __u64 off, __u64 len)
{
	int fd = cachefile_open(s->env.root, "img", O_RDONLY), count = 0, ret;
	__u64 i, nr = granules(s->img.size);
	bool *present = calloc(nr, sizeof(*present));
	char *map;

	if (fd < 0)
		return fd;
	ret = cachefile_map(fd, s->img.size, present);
	map = mmap(NULL, s->img.size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (ret < 0 || map == MAP_FAILED)
		return ret < 0 ? ret : -ENOMEM;
	for (i = 0; i < nr; i++) {
		if (!present[i])
			continue;
		if (memcmp(map + i * GRANULE, s->img.data + i * GRANULE, GRANULE))
			return -EILSEQ;
		count += i * GRANULE >= off && i * GRANULE < off + len;
	}
	munmap(map, s->img.size);
	free(present);
	return count;
}

FIXTURE(nomem_drop)
{
	struct scene s;
	struct nomem nm;
};

FIXTURE_VARIANT(nomem_drop)
{
	bool worker;		/* it is the one that lacks memory */
};

FIXTURE_VARIANT_ADD(nomem_drop, umount) { false };
FIXTURE_VARIANT_ADD(nomem_drop, flush) { true };

FIXTURE_SETUP(nomem_drop)
{
	self->s.env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(nomem_drop)
{
	scene_fini(&self->s);
}

/* The last umount has the map written, and the cache file closed. */
TEST_F_TIMEOUT(nomem_drop, last_flush, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	__u64 pos = s->img.file[0].pos, end = pos + FILE_SIZE;
	char path[300];
	struct cf_task t;
	struct cf_msg m;
	int ret;

	snprintf(path, sizeof(path), "%s/m", s->env.tmp);
	for (nomem_first(nm, 3); nomem_next(nm); pos += GRANULE) {
		ASSERT_GT(end, pos);
		ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, pos, GRANULE));
		if (variant->worker)
			nomem_workers_begin(nm);
		else
			nomem_begin(nm);
		ret = umount2(path, 0) < 0 ? -errno : 0;
		if (!variant->worker)
			nomem_end(nm);
		if (ret) {
			EXPECT_TRUE(nm->fault);
			ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
		}
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
		close(s->fd);
		ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
		if (variant->worker)
			nomem_workers_end(nm);
		ret = check_cache_file(s, pos, GRANULE);
		ASSERT_LE(0, ret);
		if (!nm->fault || !variant->worker)
			EXPECT_EQ(1, ret);
	}
	EXPECT_LT(0, nm->nr_faults);
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

FIXTURE(nomem_full)
{
	struct scene s;
	struct nomem nm;
};

FIXTURE_SETUP(nomem_full)
{
	struct scene *s = &self->s;

	s->env.dev = -1;
	if (nomem_init(&self->nm))
		SKIP(return, "the kernel can't inject faults");
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand full"));
}

FIXTURE_TEARDOWN(nomem_full)
{
	scene_fini(&self->s);
}

/* What is complete is recorded as such when the map has been written. */
TEST_F_TIMEOUT(nomem_full, told, 300)
{
	struct scene *s = &self->s;
	struct nomem *nm = &self->nm;
	__u64 pos = s->img.file[0].pos, last = pos + GRANULE;
	int ret, nr_late = 0;
	struct cf_msg m;

	for (nomem_first(nm, 3); nomem_next(nm); ) {
		ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, pos));
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, last, s->img.size - last));
		/* So that little is left to be written when memory is wanting. */
		sync();
		nomem_workers_begin(nm);
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, pos, GRANULE));
		ret = cf_next(s->env.dev, &m, QUIET_MS);
		nomem_workers_end(nm);
		/* It is tried again without any help. */
		if (ret == -ETIME) {
			nr_late += nm->fault;
			ret = cf_next(s->env.dev, &m, WAIT_MS);
		}
		EXPECT_EQ(0, ret);
		EXPECT_EQ(CACHEFILES_OP_FULL, m.op);
		EXPECT_EQ(s->object, m.object);
		EXPECT_EQ(granules(FILE_SIZE), check_cache_file(s, pos, FILE_SIZE));
		ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
		close(s->fd);
		ASSERT_EQ(0, cachefile_wait_closed(s->env.dev, s->env.root, "img"));
		ASSERT_EQ(0, cachefile_cull(s->env.dev, s->env.root, "img"));
	}
	EXPECT_LT(0, nm->nr_faults);
	ksft_print_msg("%d were told late\n", nr_late);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
