// SPDX-License-Identifier: GPL-2.0
/*
 * "bind ondemand park=SECONDS": when the daemon goes, what waits for it waits
 * for the next one, killably and for a bounded time.
 */
#include <fcntl.h>
#include <signal.h>
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

FIXTURE(park)
{
	struct scene s;
};

FIXTURE_VARIANT(park)
{
	const char *how;
};

/* Long enough for all that has to happen in it. */
FIXTURE_VARIANT_ADD(park, alone) { "ondemand park=600" };
FIXTURE_VARIANT_ADD(park, keep) { "ondemand park=600 keep full" };

FIXTURE_SETUP(park)
{
	struct scene *s = &self->s;

	memset(s, 0, sizeof(*s));
	ASSERT_EQ(0, cf_env_init(&s->env));
	ASSERT_EQ(0, img_simple(&s->img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
}

/* Whoever binds without it and goes leaves nothing that waits, and nothing kept. */
FIXTURE_TEARDOWN(park)
{
	cf_kill_all();
	if (self->s.env.dev < 0)
		cf_bind(&self->s.env, "ondemand");
	cf_dev_close(&self->s.env);
	cf_bind(&self->s.env, "ondemand");
	scene_fini(&self->s);
}

/* A reader waits, and is served by the next daemon under a new name. */
TEST_F(park, reader)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	__u32 object;
	int old;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	object = s->object;
	old = s->fd;
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_TRUE(cf_running(&t, 4 * QUIET_MS));
	EXPECT_EQ(-EINVAL, cf_complete(old, m.id));
	EXPECT_EQ(-EINVAL, cf_fail(old, m.id, -EIO));

	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_NE(object, s->object);
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	close(old);
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* A reader that comes while there is no daemon waits as well. */
TEST_F(park, late_reader)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_TRUE(cf_running(&t, 4 * QUIET_MS));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* So does a mount: with its OPEN delivered, not delivered, and not yet made. */
TEST_F(park, mounts)
{
	struct scene *s = &self->s;
	struct cf_task t[3];
	struct cf_msg m;
	char name[16];
	int i;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t[0], "m0", "fsid=a"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[1], "m1", "fsid=b"));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[2], "m2", "fsid=c"));
	EXPECT_TRUE(cf_running(&t[2], 4 * QUIET_MS));
	EXPECT_TRUE(cf_running(&t[1], 0));
	EXPECT_TRUE(cf_running(&t[0], 0));
	close(m.fd);

	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	for (i = 0; i < 3; i++) {
		ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
		EXPECT_EQ(0, cf_copen(s->env.dev, m.id, -EACCES));
		close(m.fd);
	}
	for (i = 0; i < 3; i++)
		EXPECT_EQ(-EACCES, cf_wait(&t[i], PROMPT_MS));
	snprintf(name, sizeof(name), "m0");
	ASSERT_EQ(0, scene_mount(s, name, "fsid=img"));
	EXPECT_EQ(0, cf_umount(&s->env, name, 0));
	close(s->fd);
}

/* Nobody is held: not a reader that is killed, nor a mount, nor an umount. */
TEST_F(park, killed)
{
	struct scene *s = &self->s;
	struct cf_task r, m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, scene_read_start(s, &r, 0, FILE_SIZE));
	ASSERT_EQ(0, cf_mount_start(&s->env, &m, "m2", "fsid=other"));
	EXPECT_TRUE(cf_running(&m, QUIET_MS));
	EXPECT_TRUE(cf_running(&r, QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&r));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&m));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

/* The daemon before is told nothing of what the next one does not know. */
TEST_F(park, no_close_for_the_next)
{
	struct scene *s = &self->s;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_mount(s, "m2", "fsid=img2"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(1, cf_readable(s->env.dev, WAIT_MS));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(0, cf_umount(&s->env, "m2", 0));
	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	EXPECT_EQ(-ETIME, cf_next(s->env.dev, &m, QUIET_MS));
}

/* A daemon that binds without it ends the policy, not what waits. */
TEST_F(park, policy_of_the_last_bind)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN));
	EXPECT_TRUE(cf_running(&t, QUIET_MS));
	close(m.fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
}

/* Again and again under load, with nothing lost, nothing wrong, nothing twice. */
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

TEST_F_TIMEOUT(park, replaced_under_load, 3000)
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
			ASSERT_EQ(0, cf_bind(&s->env, variant->how));
		od_init(&l->srv, s->env.dev);
		od_add(&l->srv, "load", l->img.data, l->img.size);
		l->srv.data_pos = l->img.file[0].pos;
		l->srv.die_at = die_at;
		ASSERT_EQ(0, cf_start_keep(&d, daemon_main, &l->srv, 0));
		close(s->env.dev);
		s->env.dev = -1;
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

	ASSERT_EQ(0, cf_bind(&s->env, variant->how));
	od_init(&l->srv, s->env.dev);
	od_add(&l->srv, "load", l->img.data, l->img.size);
	ASSERT_EQ(0, cf_start_keep(&d, daemon_main, &l->srv, 0));
	close(s->env.dev);
	s->env.dev = -1;
	usleep(QUIET_MS * 1000);
	__atomic_store_n(&l->stop, true, __ATOMIC_RELAXED);
	for (i = 0; i < 2; i++)
		EXPECT_LT(0, cf_wait(&t[i], WAIT_MS));
	cf_kill(&d);
	EXPECT_EQ(0, check_asked(l, filled, false));
	free(filled);
}

/* Nobody comes: an end with an error, for all that waits, and from then on. */
TEST(expires)
{
	struct cf_task t, mt, mt2;
	struct scene s = {};
	__u64 start;
	char buf[100];

	ASSERT_EQ(0, cf_env_init(&s.env));
	ASSERT_EQ(0, img_simple(&s.img, FILE_SIZE));
	ASSERT_EQ(0, cf_bind(&s.env, "ondemand park=3"));
	ASSERT_EQ(0, scene_mount(&s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_mount_start(&s.env, &mt, "m2", "fsid=other"));
	ASSERT_EQ(1, cf_readable(s.env.dev, WAIT_MS));
	ASSERT_EQ(0, scene_read_start(&s, &t, 0, FILE_SIZE));
	close(s.fd);
	start = cf_now_ms();
	ASSERT_EQ(0, cf_dev_close(&s.env));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	EXPECT_LE(2900, cf_now_ms() - start);
	EXPECT_EQ(-EIO, cf_wait(&mt, PROMPT_MS));
	EXPECT_EQ(-EIO, cf_read(&s.env, SCENE_FILE, 0, 100, buf));
	EXPECT_EQ(-ENOTCONN, cf_mount(&s.env, "m3", "fsid=third"));

	/* A daemon that comes late finds what is mounted. */
	ASSERT_EQ(0, cf_bind(&s.env, "ondemand"));
	ASSERT_EQ(0, scene_read_start(&s, &mt2, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(&s, &mt2));
	EXPECT_EQ(0, scene_check(&s, &mt2, 0, FILE_SIZE));
	scene_fini(&s);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
