// SPDX-License-Identifier: GPL-2.0
/*
 * Daemons that are replaced again and again under load, each of which dies at
 * another step: nothing is lost, nothing is wrong, nothing is asked for twice.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE	(256 << 10)
#define READ_STEP	61	/* granules from one read to the next */

FIXTURE(replaced)
{
	struct scene s;
};

FIXTURE_VARIANT(replaced)
{
	const char *how;
	bool held;	/* somebody else keeps the device, and restores */
};

/* Long enough for all that has to happen in it. */
FIXTURE_VARIANT_ADD(replaced, parked) { "ondemand park=600" };
FIXTURE_VARIANT_ADD(replaced, held) { "ondemand", true };

FIXTURE_SETUP(replaced)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	if (variant->held)
		return;
	ASSERT_EQ(0, cf_dev_close(&self->s.env));
	ASSERT_EQ(0, cf_bind(&self->s.env, variant->how));
}

/* Whoever binds without "park" and goes leaves nothing that waits. */
FIXTURE_TEARDOWN(replaced)
{
	cf_kill_all();
	if (self->s.env.dev < 0)
		cf_bind(&self->s.env, "ondemand");
	cf_dev_close(&self->s.env);
	cf_bind(&self->s.env, "ondemand");
	scene_fini(&self->s);
}

static long daemon_main(void *arg, struct cf_out *out)
{
	od_main(arg);
	return 0;
}

/* What readers and daemons, in processes of their own, have in common. */
struct load {
	struct od_server srv;
	struct cf_env *env;
	struct img img;
	unsigned int nr;	/* granules for each reader */
	bool stop;
};

struct load_reader {
	struct load *load;
	unsigned int first;
};

/* Granule by granule, each of them once and none beside the one before. */
static long read_about(void *arg, struct cf_out *out)
{
	struct load_reader *r = arg;
	struct load *l = r->load;
	char path[300], buf[GRANULE];
	unsigned int i;
	long ret = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/" SCENE_FILE, l->env->tmp);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM))
		return -EBADF;
	for (i = 0; !ret && !__atomic_load_n(&l->stop, __ATOMIC_RELAXED); i++) {
		off_t off = (r->first + (__u64)i * READ_STEP % l->nr) * GRANULE;

		if (i == l->nr)
			ret = -ENODATA;
		else if (pread(fd, buf, sizeof(buf), off) != sizeof(buf))
			ret = -errno;
		else if (memcmp(buf, l->img.data + l->img.file[0].pos + off, sizeof(buf)))
			ret = -EILSEQ;
	}
	close(fd);
	return ret ?: i;
}

/* What a daemon was asked for; all but the last it has filled and answered. */
static int check_asked(struct load *l, bool *filled, bool last_too)
{
	int i;

	for (i = 0; i < l->srv.nr_read && i < OD_MAX_LOG; i++) {
		struct od_read *r = &l->srv.log[i];
		__u64 g;

		for (g = r->off / GRANULE; g * GRANULE < r->off + r->len; g++) {
			if (filled[g]) {
				ksft_print_msg("granule %llu is asked for twice\n", g);
				return -EEXIST;
			}
			filled[g] = i < l->srv.nr_read - 1 || last_too;
		}
	}
	return 0;
}

/* The device that a daemon gets which takes over from one that has died. */
static int next_daemon(struct scene *s, const char *how, bool held)
{
	return held ? cf_cmd(s->env.dev, "restore") : cf_bind(&s->env, how);
}

/* Unless a supervisor holds the device, it goes with the daemon. */
static void leave_to_daemon(struct scene *s, bool held)
{
	if (held)
		return;
	close(s->env.dev);
	s->env.dev = -1;
}

TEST_F_TIMEOUT(replaced, under_load, 3000)
{
	int i, rounds = cf_rounds(40, 1000);
	struct load_reader reader[2];
	struct scene *s = &self->s;
	struct cf_task d, t[2];
	struct load *l;
	bool *filled;

	l = mmap(NULL, sizeof(*l), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ASSERT_NE(MAP_FAILED, l);
	l->env = &s->env;
	/* More than they can read, as each daemon answers a few at most. */
	l->nr = rounds * 4 + 500;
	l->nr += l->nr % READ_STEP == 0;
	ASSERT_EQ(0, img_simple(&l->img, 2ULL * l->nr * GRANULE));
	filled = calloc(l->img.size / GRANULE + 1, sizeof(*filled));
	ASSERT_NE(NULL, filled);

	for (i = 0; i < rounds; i++) {
		enum od_step die_at = OD_READ_TAKEN + i % (OD_READ_ANSWERED - OD_READ_TAKEN + 1);

		if (i)
			ASSERT_EQ(0, next_daemon(s, variant->how, variant->held));
		od_init(&l->srv, s->env.dev);
		od_add(&l->srv, "load", l->img.data, l->img.size);
		l->srv.data_pos = l->img.file[0].pos;
		l->srv.die_at = die_at;
		ASSERT_EQ(0, cf_start_keep(&d, daemon_main, &l->srv, 0));
		leave_to_daemon(s, variant->held);
		if (!i) {
			ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=load"));
			reader[0] = (struct load_reader){ l, 0 };
			reader[1] = (struct load_reader){ l, l->nr };
			ASSERT_EQ(0, cf_start(&t[0], read_about, &reader[0], 0));
			ASSERT_EQ(0, cf_start(&t[1], read_about, &reader[1], 0));
		}
		/* There is always something to ask, so it dies where it is to die. */
		ASSERT_EQ(-EOWNERDEAD, cf_wait(&d, WAIT_MS));
		ASSERT_EQ(0, check_asked(l, filled, die_at >= OD_READ_FILLED));
	}

	ASSERT_EQ(0, next_daemon(s, variant->how, variant->held));
	od_init(&l->srv, s->env.dev);
	od_add(&l->srv, "load", l->img.data, l->img.size);
	ASSERT_EQ(0, cf_start_keep(&d, daemon_main, &l->srv, 0));
	leave_to_daemon(s, variant->held);
	usleep(QUIET_MS * 1000);
	__atomic_store_n(&l->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		EXPECT_LT(0, cf_wait(&t[i], WAIT_MS));
	cf_kill(&d);
	EXPECT_EQ(0, check_asked(l, filled, false));
	free(filled);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
