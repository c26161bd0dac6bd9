// SPDX-License-Identifier: GPL-2.0
/*
 * Ten thousand requests that wait: answered, failed, or parked and asked again,
 * none is lost and nobody is held up.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "scene.h"

#define NR		10000	/* at most */
#define STRIDE		(2 * GRANULE)	/* so that no two of them are merged */
#define FILE_SIZE	(NR * (__u64)STRIDE)

FIXTURE(scale)
{
	struct scene s;
	char path[300];
	int file;
	int nr;
	bool seen[NR];
};

enum end {
	ANSWERED,
	RESTORED,
	UNMOUNTED,
	FAILED,
	PARKED,
};

FIXTURE_VARIANT(scale)
{
	enum end end;
	const char *how;
	int usual;	/* what takes long is done with NR if there is time */
};

FIXTURE_VARIANT_ADD(scale, answered) { ANSWERED, "ondemand", 500 };
FIXTURE_VARIANT_ADD(scale, restored) { RESTORED, "ondemand", 500 };
FIXTURE_VARIANT_ADD(scale, unmounted) { UNMOUNTED, "ondemand", 500 };
FIXTURE_VARIANT_ADD(scale, failed) { FAILED, "ondemand", 500 };
FIXTURE_VARIANT_ADD(scale, parked) { PARKED, "ondemand park=600", NR };

FIXTURE_SETUP(scale)
{
	struct scene *s = &self->s;
	int i;

	memset(s, 0, sizeof(*s));
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	snprintf(self->path, sizeof(self->path), "%s/" SCENE_FILE, s->env.tmp);
	self->file = open(self->path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, self->file);
	/* Asked for, and not waited for. */
	self->nr = cf_rounds(variant->usual, NR);
	for (i = 0; i < self->nr; i++)
		ASSERT_EQ(0, posix_fadvise(self->file, i * (off_t)STRIDE, GRANULE,
					   POSIX_FADV_WILLNEED));
}

FIXTURE_TEARDOWN(scale)
{
	close(self->file);
	cf_kill_all();
	if (self->s.env.dev < 0)
		cf_bind(&self->s.env, "ondemand");
	cf_dev_close(&self->s.env);
	cf_bind(&self->s.env, "ondemand");
	scene_fini(&self->s);
}

/* Take so many READs, each for another piece, and fill them if so asked. */
static int take(struct scene *s, bool *seen, int nr, bool fill)
{
	__u64 pos = s->img.file[0].pos;
	struct cf_msg m;
	int ret, n;

	for (n = 0; n < nr; n++) {
		__u64 at;

		ret = cf_expect(s->env.dev, &m, CACHEFILES_OP_READ);
		if (ret)
			return ret;
		at = (m.off - pos) / STRIDE;
		if (m.off < pos || at >= NR || m.size != GRANULE || seen[at])
			return -EPROTO;
		seen[at] = true;
		if (!fill)
			continue;
		ret = cf_fill(s->fd, s->img.data, m.off, m.size) ?:
		      cf_complete(s->fd, m.id);
		if (ret)
			return ret;
	}
	return 0;
}

static int count(const char *what)
{
	char line[300];
	int n = -1;
	FILE *f;

	f = fopen("/proc/fs/fscache/ondemand", "re");
	if (!f)
		return -errno;
	while (fgets(line, sizeof(line), f)) {
		char *at = strstr(line, what);

		if (at && !strncmp(line, "cache ", 6))
			n = atoi(at + strlen(what));
	}
	fclose(f);
	return n;
}

static int check_all(struct scene *s, int file, int nr)
{
	char buf[GRANULE];
	int i;

	for (i = 0; i < nr; i++) {
		off_t off = i * (off_t)STRIDE;

		if (pread(file, buf, sizeof(buf), off) != sizeof(buf))
			return -errno;
		if (memcmp(buf, s->img.data + s->img.file[0].pos + off,
			   sizeof(buf)))
			return -EILSEQ;
	}
	return 0;
}

/* Half of them are delivered, and then: */
TEST_F_TIMEOUT(scale, pending, 300)
{
	struct scene *s = &self->s;
	int nr = self->nr;
	char buf[GRANULE];

	EXPECT_EQ(nr, count(" pending="));
	ASSERT_EQ(0, take(s, self->seen, nr / 2, variant->end == ANSWERED));
	switch (variant->end) {
	case ANSWERED:
		ASSERT_EQ(0, take(s, self->seen, nr - nr / 2, true));
		EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
		EXPECT_EQ(0, count(" pending="));
		break;
	case UNMOUNTED:
		/* Nobody answers, and umount does not wait for it. */
		close(self->file);
		self->file = -1;
		EXPECT_EQ(0, cf_umount_within(&s->env, "m", 0, 3 * WAIT_MS));
		EXPECT_GE(1, count(" pending="));
		return;
	case FAILED:
		close(s->fd);
		ASSERT_EQ(0, cf_dev_close(&s->env));
		EXPECT_EQ(0, count(" pending="));
		EXPECT_EQ(-EIO, cf_read(&s->env, SCENE_FILE, 0, 1, buf));
		return;
	case PARKED:
		close(s->fd);
		ASSERT_EQ(0, cf_dev_close(&s->env));
		/* The OPEN is one more. */
		EXPECT_EQ(nr + 1, count(" pending="));
		ASSERT_EQ(0, cf_bind(&s->env, variant->how));
		break;
	case RESTORED:
		close(s->fd);
		ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
		break;
	}
	if (variant->end != ANSWERED) {
		ASSERT_EQ(0, scene_open(s, s->img.size));
		memset(self->seen, 0, sizeof(self->seen));
		ASSERT_EQ(0, take(s, self->seen, nr, true));
	}
	EXPECT_EQ(0, check_all(s, self->file, nr));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
