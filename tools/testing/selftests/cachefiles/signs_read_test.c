// SPDX-License-Identifier: GPL-2.0
/*
 * What an operator sees of requests and reads, to the number and the word: how
 * many wait, for how long, and that nobody answers them.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "cachefile.h"
#include "observe.h"
#include "scene.h"

#define NR_FILES	5

FIXTURE(signs_read)
{
	struct scene s;
	const char *name;	/* of the cache */
	int log[2];
};

/* Files of one granule and far apart, so that a read is one request. */
FIXTURE_SETUP(signs_read)
{
	struct scene *s = &self->s;
	int i;

	ASSERT_EQ(0, scene_init(s, GRANULE));
	ASSERT_EQ(0, img_begin(&s->img, 12));
	for (i = 0; i < NR_FILES; i++)
		ASSERT_NE(NULL, img_add(&s->img, GRANULE));
	img_end(&s->img);
	self->name = strrchr(s->env.root, '/') + 1;
	for (i = 0; i < 2; i++) {
		self->log[i] = ob_log_begin();
		ASSERT_LE(0, self->log[i]);
	}
	ASSERT_EQ(0, ob_events_begin());
}

FIXTURE_TEARDOWN(signs_read)
{
	ob_events_end();
	close(self->log[0]);
	close(self->log[1]);
	scene_fini(&self->s);
}

static int read_file(struct scene *s, struct cf_task *t, int i)
{
	char path[16];

	snprintf(path, sizeof(path), "m/f%02d", i);
	return cf_read_start(&s->env, t, path, 0, GRANULE);
}

/* An object and a READ of it, through all of their states. */
TEST_F(signs_read, states)
{
	struct scene *s = &self->s;
	unsigned long long first;
	struct cf_task t;
	struct cf_msg m;
	char span[64];

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, read_file(s, &t, 0));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	first = m.off / GRANULE;
	snprintf(span, sizeof(span), "granules=%llu-%llu\n", first,
		 (m.off + m.size - 1) / GRANULE);
	EXPECT_LE(0, ob_counter(" op=read state=sent age_ms="));
	EXPECT_EQ(m.id, ob_counter(" request id="));
	EXPECT_EQ(s->object, ob_counter(" object_id="));
	EXPECT_EQ(first, ob_counter(" object=erofs,img/img granules="));
	EXPECT_EQ(1, ob_events_count("READ id=%u oid=%u new -> queued %s", m.id, s->object, span));
	EXPECT_EQ(1, ob_events_count(" queued -> sending %s", span));
	EXPECT_EQ(1, ob_events_count(" sending -> sent %s", span));

	ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
	EXPECT_LE(0, ob_counter(" op=read state=held age_ms="));
	EXPECT_EQ(1, ob_counter(" resent="));
	EXPECT_EQ(1, ob_events_count(" sent -> held %s", span));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, GRANULE));
	EXPECT_EQ(1, ob_events_count(" held -> queued %s", span));
	EXPECT_EQ(1, ob_events_count(" sent -> done %s", span));

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_LE(0, ob_counter(" op=close state=queued age_ms="));
	EXPECT_EQ(1, ob_events_count("cachefiles_od_req: CLOSE id="));
	EXPECT_EQ(1, ob_events_count(" closed -> opening size=-1\n"));
	EXPECT_EQ(1, ob_events_count(" open -> closed size=%llu\n", s->img.size));
	EXPECT_EQ(1, ob_events_count(" closed -> opening size=%llu\n", s->img.size));
	EXPECT_EQ(2, ob_events_count(" opening -> open size=%llu\n", s->img.size));
	EXPECT_EQ(1, ob_events_count(" open -> dropped size=%llu\n", s->img.size));
	EXPECT_EQ(2, ob_counter(" opens="));
}

static const char * const classes[] = {
	" 1ms=", " 10ms=", " 100ms=", " 1s=", " 10s=", " more=",
};

static unsigned int class_of(__u64 ms)
{
	unsigned int class;

	for (class = 0; class < ARRAY_SIZE(classes) - 1 && ms; class++)
		ms /= 10;
	return class;
}

static const int delays[NR_FILES] = { 0, 5, 50, 500, 2000 };

/* What takes longer than it should is bounded by what the test itself has waited. */
TEST_F_TIMEOUT(signs_read, waits, 60)
{
	struct scene *s = &self->s;
	unsigned int i, k, grown;
	struct cf_task t;
	struct cf_msg m;
	char span[64];
	__u64 start;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	for (i = 0; i < NR_FILES; i++) {
		unsigned long long pos = s->img.file[i].pos, at = pos / GRANULE;
		long long before[ARRAY_SIZE(classes)], misses = ob_counter(" misses=");

		for (k = 0; k < ARRAY_SIZE(classes); k++)
			before[k] = ob_counter(classes[k]);
		start = cf_now_ms();
		ASSERT_EQ(0, read_file(s, &t, i));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_READ));
		usleep(delays[i] * 1000);
		ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
		ASSERT_EQ(0, cf_complete(s->fd, m.id));
		ASSERT_EQ(GRANULE, cf_wait(&t, WAIT_MS));
		start = cf_now_ms() - start + 1;
		snprintf(span, sizeof(span), "granules=%llu-%llu", m.off / GRANULE,
			 (m.off + m.size) / GRANULE - 1);

		for (k = 0, grown = 0; k < ARRAY_SIZE(classes); k++) {
			if (ob_counter(classes[k]) == before[k])
				continue;
			EXPECT_EQ(before[k] + 1, ob_counter(classes[k]));
			EXPECT_LE(class_of(delays[i]), k);
			EXPECT_GE(class_of(start), k);
			grown++;
		}
		EXPECT_EQ(1, grown);
		EXPECT_EQ(misses + 1, ob_counter(" misses="));
		EXPECT_EQ(1, ob_events_count("cachefiles_od_read_wait: img granules=%llu-%llu\n",
					     at, at));
		EXPECT_EQ(1, ob_events_count("cachefiles_od_filled: img %s added=%llu\n", span,
					     m.size / GRANULE));
		EXPECT_EQ(1, ob_events_count("cachefiles_od_read_done: img pos=%llu ret=%d\n",
					     pos, GRANULE));
	}
	EXPECT_EQ(0, ob_counter(" more="));
}

/* The reader of another mount waits for the same READ; then nobody waits. */
TEST_F(signs_read, joined_and_hits)
{
	struct scene *s = &self->s;
	struct cf_task t[2];
	struct cf_msg m;
	long long joined, hits;
	int i;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_mount(&s->env, "n", "fsid=img"));
	joined = ob_counter(" joined=");
	ASSERT_EQ(0, read_file(s, &t[0], 0));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_read_start(&s->env, &t[1], "n/f00", 0, GRANULE));
	ASSERT_TRUE(cf_running(&t[1], QUIET_MS));
	EXPECT_EQ(joined + 1, ob_counter(" joined="));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	ASSERT_EQ(0, cf_complete(s->fd, m.id));
	for (i = 0; i < 2; i++)
		EXPECT_EQ(0, scene_check(s, &t[i], 0, GRANULE));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	hits = ob_counter(" hits=");
	ASSERT_EQ(0, read_file(s, &t[0], 1));
	EXPECT_EQ(GRANULE, cf_wait(&t[0], WAIT_MS));
	EXPECT_EQ(hits + 1, ob_counter(" hits="));
	EXPECT_EQ(joined + 1, ob_counter(" joined="));
	EXPECT_EQ(0, cf_umount(&s->env, "n", 0));
}

TEST_F(signs_read, pending)
{
	struct scene *s = &self->s;
	struct cf_task t[NR_FILES];
	struct cf_msg m[NR_FILES];
	int i;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	for (i = 0; i < NR_FILES; i++) {
		ASSERT_EQ(0, read_file(s, &t[i], i));
		ASSERT_EQ(0, cf_expect(s->env.dev, &m[i], CACHEFILES_OP_READ));
		ASSERT_EQ(1, cf_running(&t[i], QUIET_MS));
	}
	EXPECT_EQ(NR_FILES, ob_counter(" daemon=bound pending="));
	EXPECT_EQ(0, ob_counter(" errors="));
	for (i = 0; i < NR_FILES; i++)
		ASSERT_EQ(0, cf_fail(s->fd, m[i].id, -EIO));
	/* The kernel reads a page again of which readahead has failed. */
	for (i = 0; i < NR_FILES; i++) {
		EXPECT_EQ(0, scene_serve(s, &t[i]));
		EXPECT_EQ(GRANULE, cf_wait(&t[i], WAIT_MS));
	}
	EXPECT_EQ(0, ob_counter(" pending="));
	EXPECT_EQ(NR_FILES, ob_counter(" max_pending="));
	EXPECT_EQ(NR_FILES, ob_counter(" read_fails="));
	EXPECT_EQ(NR_FILES, ob_counter(" errors="));
	EXPECT_EQ(NR_FILES, ob_events_count("ret=-5\n"));
}

/* Wait for this line; how long the request has waited, or -errno. */
static int watched(int log, const char *cache, const char *what, unsigned int others, int ms)
{
	char text[300], rest[100];
	unsigned int n, secs;
	int ret;

	snprintf(text, sizeof(text), OB_OURS "on-demand cache %s: %s has waited for ", cache, what);
	ret = ob_log_wait(log, text, rest, sizeof(rest), ms);
	if (ret)
		return ret;
	if (sscanf(rest, "%u s, with %u others\n", &secs, &n) != 2 || n != others)
		return -EPROTO;
	return secs;
}

/* Two caches: the daemon of one has gone, that of the other does nothing. */
TEST_F_TIMEOUT(signs_read, slow_or_gone, 150)
{
	struct scene *s = &self->s, slow;
	struct cf_task t[3];
	int secs;

	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand park=300"));
	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, read_file(s, &t[0], 0));
	ASSERT_TRUE(cf_running(&t[0], QUIET_MS));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	/* The READ, and the OPEN that it waits for. */
	EXPECT_EQ(2, ob_counter(" daemon=awaited pending="));

	slow = *s;
	strcat(slow.env.root, "/slow");
	ASSERT_EQ(0, mkdir(slow.env.root, 0700));
	ASSERT_EQ(0, cf_bind(&slow.env, "ondemand"));
	ASSERT_EQ(0, scene_mount(&slow, "n", "fsid=other"));
	ASSERT_EQ(0, cf_read_start(&slow.env, &t[1], "n/f00", 0, GRANULE));
	ASSERT_TRUE(cf_running(&t[1], QUIET_MS));
	ASSERT_EQ(0, cf_read_start(&slow.env, &t[2], "n/f01", 0, GRANULE));
	secs = watched(self->log[0], self->name, "there is no daemon: erofs,img/img", 1, 65000);
	EXPECT_LE(30, secs);
	EXPECT_GE(60, secs);
	secs = watched(self->log[1], "slow", "the daemon is slow: erofs,other/other", 1, 65000);
	EXPECT_LE(30, secs);
	EXPECT_GE(60, secs);

	EXPECT_EQ(0, scene_serve(&slow, &t[1]));
	EXPECT_EQ(0, scene_serve(&slow, &t[2]));
	EXPECT_EQ(GRANULE, cf_wait(&t[2], 0));
	ASSERT_EQ(0, cf_umount(&slow.env, "n", 0));
	close(slow.fd);
	ASSERT_EQ(0, cachefile_wait_closed(slow.env.dev, slow.env.root, "other"));
	ASSERT_EQ(0, cf_dev_close(&slow.env));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	EXPECT_EQ(0, scene_serve(s, &t[0]));
	EXPECT_EQ(GRANULE, cf_wait(&t[0], WAIT_MS));
	EXPECT_EQ(1, ob_counter(" more="));
	/* Once for a request. */
	EXPECT_EQ(0, ob_log_count(self->log[0], "erofs,img/img has waited for"));
	EXPECT_EQ(0, ob_log_count(self->log[1], "erofs,other/other has waited for"));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
