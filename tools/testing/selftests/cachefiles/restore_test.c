// SPDX-License-Identifier: GPL-2.0
/*
 * "restore": a daemon takes over the device of another one, with or without
 * the fds of that one still being open somewhere.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE (64 << 10)

FIXTURE(restore)
{
	struct scene s;
};

FIXTURE_VARIANT(restore)
{
	bool old_fd_open;
};

FIXTURE_VARIANT_ADD(restore, fd_open) { true };
FIXTURE_VARIANT_ADD(restore, fd_closed) { false };

FIXTURE_SETUP(restore)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(restore)
{
	scene_fini(&self->s);
}

/* The old daemon is gone, perhaps not all of it, and the new one begins. */
static int take_over(struct scene *s, bool old_fd_open)
{
	if (!old_fd_open)
		close(s->fd);
	return cf_cmd(s->env.dev, "restore");
}

TEST_F(restore, open)
{
	struct scene *s = &self->s;
	struct cf_task t;
	__u32 object;
	int old;

	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m", "fsid=img"));
	ASSERT_EQ(0, scene_open(s, 0));
	object = s->object;
	old = s->fd;
	ASSERT_EQ(0, take_over(s, variant->old_fd_open));
	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_NE(object, s->object);
	/* What becomes of the old fd now is of no account. */
	if (variant->old_fd_open)
		close(old);
	EXPECT_TRUE(cf_running(&t, 50));
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, s->img.size));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, cf_wait(&t, WAIT_MS));
}

/* First the object is opened again, then come its READs. */
TEST_F(restore, read)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;
	__u32 object;
	int old;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	object = s->object;
	old = s->fd;
	ASSERT_EQ(0, take_over(s, variant->old_fd_open));

	ASSERT_EQ(0, scene_open(s, 0));
	EXPECT_NE(object, s->object);
	EXPECT_STREQ("erofs,img", s->volume);
	EXPECT_EQ(0, cf_quiet(s->env.dev, 50));
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, s->img.size));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	if (variant->old_fd_open)
		EXPECT_EQ(-EINVAL, cf_complete(old, m.id));
	EXPECT_TRUE(cf_running(&t, 50));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, m.off, m.size));
	EXPECT_EQ(0, cf_complete(s->fd, m.id));
	if (variant->old_fd_open)
		close(old);
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
}

/* An object that nobody waits for is opened when somebody does. */
TEST_F(restore, idle_object)
{
	struct scene *s = &self->s;
	struct cf_task t;
	int old;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	old = s->fd;
	ASSERT_EQ(0, take_over(s, variant->old_fd_open));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	ASSERT_EQ(0, scene_open(s, s->img.size));
	if (variant->old_fd_open)
		close(old);
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
}

/* A filled range is filled, whichever daemon has done it. */
TEST_F(restore, filled_but_not_answered)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, scene_expect_read(s, &m, 0));
	ASSERT_EQ(0, cf_fill(s->fd, s->img.data, s->img.file[0].pos,
			     FILE_SIZE));
	ASSERT_EQ(0, take_over(s, variant->old_fd_open));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

/* Again and again, with something delivered each time. */
TEST_F(restore, many_times)
{
	struct scene *s = &self->s;
	int old[10], i;
	struct cf_task t;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, 100));
	for (i = 0; i < 10; i++) {
		struct cf_msg m;

		ASSERT_EQ(0, scene_expect_read(s, &m, 0));
		old[i] = s->fd;
		ASSERT_EQ(0, take_over(s, variant->old_fd_open));
		ASSERT_EQ(0, scene_open(s, s->img.size));
	}
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, 100));
	for (i = 0; i < 10 && variant->old_fd_open; i++)
		EXPECT_EQ(0, close(old[i]));
}

FIXTURE(storm)
{
	struct scene s;
	struct od_server srv;
};

FIXTURE_SETUP(storm)
{
	ASSERT_EQ(0, scene_init(&self->s, 2 << 20));
}

FIXTURE_TEARDOWN(storm)
{
	scene_fini(&self->s);
}

/* A worker may lose its object at any step, that is no mistake of its own. */
static void reply_anything(struct od_server *srv, struct od_object *o,
			   const struct cf_msg *m)
{
	cf_complete(o->fd, m->id);
}

static void open_anything(struct od_server *srv, struct od_object *o,
			  const struct cf_msg *m)
{
	cf_copen(srv->dev, m->id, o->blob->size);
}

static int fill_anything(struct od_server *srv, struct od_object *o,
			 __u64 off, __u64 len)
{
	cf_fill(o->fd, o->blob->data, off, len);
	return 0;
}

/* Two threads take messages while a third one says "restore". */
TEST_F_TIMEOUT(storm, restore_under_load, 120)
{
	static const struct od_ops ops = {
		open_anything, fill_anything, reply_anything,
	};
	struct scene *s = &self->s;
	struct cf_task t[4];
	int i, n, ret;

	od_init(&self->srv, s->env.dev);
	self->srv.ops = &ops;
	self->srv.delay_us = 2000;
	for (i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "b%d", i);
		od_add(&self->srv, name, s->img.data, s->img.size);
	}
	ASSERT_EQ(0, od_run(&self->srv, 2));
	for (i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "b%d", i);
		ASSERT_EQ(0, cf_mount_start(&s->env, &t[i], name, "fsid=%s",
					    name));
	}
	for (n = 0; n < 5; n++) {
		ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
		usleep(10000);
	}
	for (i = 0; i < 4; i++)
		ASSERT_EQ(0, cf_wait(&t[i], WAIT_MS));
	for (i = 0; i < 4; i++) {
		char name[16];

		snprintf(name, sizeof(name), "b%d/f00", i);
		ASSERT_EQ(0, cf_read_start(&s->env, &t[i], name, 0, 2 << 20));
	}
	for (n = 0; n < 15; n++) {
		ASSERT_EQ(0, cf_cmd(s->env.dev, "restore"));
		usleep(20000);
	}
	for (i = 0; i < 4; i++) {
		ret = scene_check(s, &t[i], 0, 2 << 20);
		EXPECT_EQ(0, ret);
	}
	od_stop(&self->srv);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
