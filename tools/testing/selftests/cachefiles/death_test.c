// SPDX-License-Identifier: GPL-2.0
/*
 * Daemons that die: readers and mounters get an error at once and never zeros,
 * and the next daemon takes over what there is.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE (256 << 10)

FIXTURE(death)
{
	struct scene s;
};

FIXTURE_SETUP(death)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(death)
{
	scene_fini(&self->s);
}

/* What has been fetched can be read without a daemon, the rest is EIO. */
TEST_F(death, device_closed)
{
	struct scene *s = &self->s;
	char buf[FILE_SIZE];

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos,
			     FILE_SIZE / 2));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(FILE_SIZE / 2, cf_read(&s->env, SCENE_FILE, 0, FILE_SIZE / 2,
					 buf));
	EXPECT_EQ(0, memcmp(buf, s->img.data + s->img.file[0].pos,
			    FILE_SIZE / 2));
	EXPECT_EQ(-EIO, cf_read(&s->env, SCENE_FILE, FILE_SIZE / 2 + GRANULE,
				GRANULE, buf));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
}

TEST_F(death, complete_object_needs_no_daemon)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, 0, s->img.size));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	ASSERT_EQ(0, cf_drop_caches());
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* An fd that outlives the device fills, but has nothing to answer. */
TEST_F(death, surviving_fd)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	char buf[100];

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-EIO, cf_wait(&t, PROMPT_MS));
	EXPECT_EQ(-EINVAL, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos,
			     FILE_SIZE));
	ASSERT_EQ(100, cf_read(&s->env, SCENE_FILE, 0, 100, buf));
	EXPECT_EQ(0, memcmp(buf, s->img.data + s->img.file[0].pos, 100));
}

/* A new daemon on the same directory has the live mounts, and they it. */
TEST_F(death, rebind_adopts_mounts)
{
	struct scene *s = &self->s;
	char buf[FILE_SIZE];
	struct cf_task t;
	struct cf_msg m;
	__u32 object;
	int old;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	object = s->object;
	old = s->fd;
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-EIO, cf_read(&s->env, SCENE_FILE, 0, 100, buf));

	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	EXPECT_NE(object, s->object);
	EXPECT_STREQ("erofs,img", s->volume);
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	EXPECT_EQ(-EINVAL, cf_complete(old, m.id));
	EXPECT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	close(old);

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(s->object, m.object);
}

/* Mounts of the old and of the new daemon's time see one object. */
TEST_F(death, rebind_and_mount_again)
{
	struct scene *s = &self->s;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img,domain_id=d"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));
	EXPECT_EQ(-ENOTCONN, cf_mount(&s->env, "m2", "fsid=x,domain_id=d"));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m2", "fsid=img,domain_id=d"));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, cf_read_start(&s->env, &t, "m2/f00", 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* A daemon on another directory has nothing to do with the mounts of this. */
TEST_F(death, another_directory)
{
	struct scene *s = &self->s;
	char dir[128], buf[100];
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	close(s->fd);
	ASSERT_EQ(0, cf_dev_close(&s->env));

	snprintf(dir, sizeof(dir), "%s", s->env.root);
	snprintf(s->env.root, sizeof(s->env.root), "%.100s/other", dir);
	ASSERT_EQ(0, mkdir(s->env.root, 0755));
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	EXPECT_EQ(-EIO, cf_read(&s->env, SCENE_FILE, 0, 100, buf));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 0));

	/* The same name is another object there. */
	ASSERT_EQ(0, scene_mount(s, "m2", "fsid=img"));
	EXPECT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	EXPECT_EQ(0, cf_umount(&s->env, "m2", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(s->object, m.object);
	close(s->fd);
	EXPECT_EQ(0, cf_dev_close(&s->env));
	snprintf(s->env.root, sizeof(s->env.root), "%s", dir);
}

/* A daemon process that is killed at a given point. */
FIXTURE(killed)
{
	struct scene s;
	struct cf_task daemon;
	struct od_server srv;
};

FIXTURE_VARIANT(killed)
{
	enum od_step step;
	bool supervised;	/* someone else holds the device open */
};

FIXTURE_VARIANT_ADD(killed, started) { OD_STARTED };
FIXTURE_VARIANT_ADD(killed, open_taken) { OD_OPEN_TAKEN };
FIXTURE_VARIANT_ADD(killed, open_answered) { OD_OPEN_ANSWERED };
FIXTURE_VARIANT_ADD(killed, read_taken) { OD_READ_TAKEN };
FIXTURE_VARIANT_ADD(killed, read_half) { OD_READ_HALF };
FIXTURE_VARIANT_ADD(killed, read_filled) { OD_READ_FILLED };
FIXTURE_VARIANT_ADD(killed, read_answered) { OD_READ_ANSWERED };
FIXTURE_VARIANT_ADD(killed, open_taken_held) { OD_OPEN_TAKEN, true };
FIXTURE_VARIANT_ADD(killed, open_answered_held) { OD_OPEN_ANSWERED, true };
FIXTURE_VARIANT_ADD(killed, read_taken_held) { OD_READ_TAKEN, true };
FIXTURE_VARIANT_ADD(killed, read_half_held) { OD_READ_HALF, true };
FIXTURE_VARIANT_ADD(killed, read_filled_held) { OD_READ_FILLED, true };
FIXTURE_VARIANT_ADD(killed, read_answered_held) { OD_READ_ANSWERED, true };

static long daemon_main(void *arg, struct cf_out *out)
{
	od_main(arg);
	return 0;
}

static int start_daemon(struct scene *s, struct od_server *srv,
			struct cf_task *t, enum od_step step)
{
	od_init(srv, s->env.dev);
	od_add(srv, "img", s->img.data, s->img.size);
	srv->die_at = step;
	srv->data_pos = s->img.file[0].pos;
	return cf_start_keep(t, daemon_main, srv, 0);
}

FIXTURE_SETUP(killed)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
	ASSERT_EQ(0, start_daemon(&self->s, &self->srv, &self->daemon,
				  variant->step));
	/* Unless there is a supervisor, the daemon alone holds the device. */
	if (!variant->supervised) {
		close(self->s.env.dev);
		self->s.env.dev = -1;
	}
}

FIXTURE_TEARDOWN(killed)
{
	scene_fini(&self->s);
}

/* What a mount of the image returns. */
static const int mounted[] = {
	[OD_STARTED]	= -ENOTCONN,
	[OD_OPEN_TAKEN]	= -EIO,
	[OD_OPEN_ANSWERED] = -EIO,	/* its superblock is missing */
	[OD_READ_TAKEN]	= 0,
	[OD_READ_HALF]	= 0,
	[OD_READ_FILLED] = 0,
	[OD_READ_ANSWERED] = 0,
};

/* The error that the missing daemon makes, and what it has filled before. */
TEST_F(killed, alone)
{
	bool filled = variant->step >= OD_READ_FILLED;
	struct scene *s = &self->s;
	struct cf_task t;

	if (variant->supervised)
		return;
	/* With nobody there before the mount begins, there is nobody to lose. */
	if (variant->step == OD_STARTED)
		ASSERT_EQ(-EOWNERDEAD, cf_wait(&self->daemon, WAIT_MS));
	ASSERT_EQ(mounted[variant->step], cf_mount(&s->env, "m", "fsid=img"));
	if (!mounted[variant->step]) {
		/* There may be more READs than the one that it has filled. */
		size_t len = filled ? GRANULE : FILE_SIZE;

		ASSERT_EQ(0, scene_read_start(s, &t, 0, len));
		EXPECT_EQ(filled ? 0 : -EIO, scene_check(s, &t, 0, len));
	}
	EXPECT_EQ(-EOWNERDEAD, cf_wait(&self->daemon, PROMPT_MS));

	/* The mount, if there is one, lives on with another daemon. */
	ASSERT_EQ(0, cf_bind(&s->env, "ondemand"));
	ASSERT_EQ(0, start_daemon(s, &self->srv, &self->daemon, OD_NEVER));
	if (mounted[variant->step])
		ASSERT_EQ(0, cf_mount(&s->env, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* Nobody notices: the next daemon takes the device over, and what waits. */
TEST_F(killed, supervised)
{
	struct scene *s = &self->s;
	struct cf_task m, t;

	if (!variant->supervised)
		return;
	ASSERT_EQ(0, cf_mount_start(&s->env, &m, "m", "fsid=img"));
	if (variant->step >= OD_READ_TAKEN) {
		ASSERT_EQ(0, cf_wait(&m, WAIT_MS));
		ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	}
	EXPECT_EQ(-EOWNERDEAD, cf_wait(&self->daemon, WAIT_MS));
	ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
	ASSERT_EQ(0, start_daemon(s, &self->srv, &self->daemon, OD_NEVER));
	if (variant->step < OD_READ_TAKEN) {
		EXPECT_EQ(0, cf_wait(&m, WAIT_MS));
		ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	}
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
