// SPDX-License-Identifier: GPL-2.0
/*
 * A read of what is cached comes without a daemon, though more is read ahead than
 * there is.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "scene.h"

#define FILE_SIZE	(8 << 20)

FIXTURE(ahead)
{
	struct scene s;
};

/* How many pages from the file's first on are cached, and how many are read at once. */
FIXTURE_VARIANT(ahead)
{
	int cached;
	int each;
};

FIXTURE_VARIANT_ADD(ahead, one) { 1, 1 };
FIXTURE_VARIANT_ADD(ahead, eight) { 8, 8 };
FIXTURE_VARIANT_ADD(ahead, sixteen) { 16, 16 };
FIXTURE_VARIANT_ADD(ahead, seventeen) { 17, 17 };
FIXTURE_VARIANT_ADD(ahead, one_by_one) { 23, 1 };
FIXTURE_VARIANT_ADD(ahead, large_folios) { 1411, 32 };

FIXTURE_SETUP(ahead)
{
	struct scene *s = &self->s;

	ASSERT_EQ(0, scene_init(s, FILE_SIZE));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos, variant->cached * GRANULE));
}

FIXTURE_TEARDOWN(ahead)
{
	scene_fini(&self->s);
}

struct job {
	struct scene	*s;
	int		cached;
	int		each;
};

static long do_reads(void *arg, struct cf_out *out)
{
	static char buf[FILE_SIZE];
	struct job *job = arg;
	char path[256];
	int fd, i, len;

	snprintf(path, sizeof(path), "%s/" SCENE_FILE, job->s->env.tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (i = 0; i < job->cached; i += job->each) {
		const char *data = job->s->img.data + job->s->img.file[0].pos + i * GRANULE;

		len = (job->each < job->cached - i ? job->each : job->cached - i) * GRANULE;
		errno = EMSGSIZE;
		if (pread(fd, buf, len, i * GRANULE) != len) {
			ksft_print_msg("at page %d of %d\n", i, job->cached);
			return -errno;
		}
		if (memcmp(buf, data, len))
			return -EILSEQ;
	}
	return 0;
}

/* One after the other: the page cache remembers, and reads ahead more and more. */
static long read_cached(struct scene *s, int cached, int each)
{
	struct job job = { s, cached, each };
	struct cf_task t;

	return cf_start(&t, do_reads, &job, 0) ?: cf_wait(&t, PROMPT_MS);
}

/* What was read ahead can be had later. */
static int read_all(struct scene *s)
{
	struct cf_task t;

	return scene_read_start(s, &t, 0, FILE_SIZE) ?: scene_serve(s, &t) ?:
	       scene_check(s, &t, 0, FILE_SIZE);
}

TEST_F_TIMEOUT(ahead, no_daemon, 120)
{
	struct scene *s = &self->s;

	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(0, read_cached(s, variant->cached, variant->each));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	EXPECT_EQ(0, read_all(s));
}

/* A daemon that answers nothing has nobody wait for what it has brought. */
TEST_F_TIMEOUT(ahead, silent_daemon, 120)
{
	struct scene *s = &self->s;

	EXPECT_EQ(0, read_cached(s, variant->cached, variant->each));
	EXPECT_EQ(1, cf_readable(s->env.dev, 0));
	EXPECT_EQ(0, read_all(s));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
