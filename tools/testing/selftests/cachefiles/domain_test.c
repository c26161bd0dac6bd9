// SPDX-License-Identifier: GPL-2.0
/*
 * Blobs that are shared by the mounts of a domain, and images of several blobs.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "scene.h"

#define FILE_SIZE (64 << 10)

FIXTURE(domain)
{
	struct scene s;
};

FIXTURE_SETUP(domain)
{
	ASSERT_EQ(0, scene_init(&self->s, FILE_SIZE));
}

FIXTURE_TEARDOWN(domain)
{
	scene_fini(&self->s);
}

TEST_F(domain, volume_key)
{
	ASSERT_EQ(0, scene_mount(&self->s, "m", "fsid=img,domain_id=dom"));
	EXPECT_STREQ("erofs,dom", self->s.volume);
}

/* One blob, one OPEN, one CLOSE, however many mounts there are. */
TEST_F(domain, same_image_twice)
{
	struct scene *s = &self->s;
	struct cf_task t;
	struct cf_msg m;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img,domain_id=dom"));
	ASSERT_EQ(0, cf_mount(&s->env, "m2", "fsid=img,domain_id=dom"));
	EXPECT_EQ(0, cf_quiet(s->env.dev, 0));

	/* What is fetched through one mount is there for the other. */
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
	ASSERT_EQ(0, cf_read_start(&s->env, &t, "m2/f00", 0, FILE_SIZE));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));

	ASSERT_EQ(0, cf_umount(&s->env, "m", 0));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	ASSERT_EQ(0, cf_umount(&s->env, "m2", 0));
	ASSERT_EQ(0, cf_expect(s->env.dev, &m, CACHEFILES_OP_CLOSE));
	EXPECT_EQ(s->object, m.object);
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
}

/* Both mounts wait for the one OPEN, and have the one answer. */
TEST_F(domain, mounted_twice_at_once)
{
	struct scene *s = &self->s;
	struct cf_task t[2];

	ASSERT_EQ(0, cf_mount_start(&s->env, &t[0], "m", "fsid=img,domain_id=d"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[1], "m2", "fsid=img,domain_id=d"));
	EXPECT_EQ(0, cf_quiet(s->env.dev, QUIET_MS));
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, s->img.size));
	EXPECT_EQ(0, scene_serve(s, &t[0]));
	EXPECT_EQ(0, scene_serve(s, &t[1]));
	EXPECT_EQ(0, cf_wait(&t[0], WAIT_MS));
	EXPECT_EQ(0, cf_wait(&t[1], WAIT_MS));
}

/* One of two who wait is killed: the other one still has its answer. */
TEST_F(domain, one_of_two_killed)
{
	struct scene *s = &self->s;
	struct cf_task t[2];

	ASSERT_EQ(0, cf_mount_start(&s->env, &t[0], "m", "fsid=img,domain_id=d"));
	ASSERT_EQ(0, scene_open(s, 0));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t[1], "m2", "fsid=img,domain_id=d"));
	EXPECT_TRUE(cf_running(&t[1], QUIET_MS));
	EXPECT_EQ(-EOWNERDEAD, cf_kill(&t[0]));
	ASSERT_EQ(0, cf_copen(s->env.dev, s->open_id, s->img.size));
	EXPECT_EQ(0, scene_serve(s, &t[1]));
	EXPECT_EQ(0, cf_wait(&t[1], WAIT_MS));
}

/* The same name in another domain is another blob. */
TEST_F(domain, two_domains)
{
	struct scene *s = &self->s;
	__u32 object;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img,domain_id=d1"));
	object = s->object;
	ASSERT_EQ(0, scene_mount(s, "m2", "fsid=img,domain_id=d2"));
	EXPECT_STREQ("erofs,d2", s->volume);
	EXPECT_NE(object, s->object);
}

/* Without a domain the second mount may be refused, but never hang. */
TEST_F(domain, no_domain_twice)
{
	struct scene *s = &self->s;
	struct cf_task t;
	long ret;

	ASSERT_EQ(0, scene_mount(s, "m", "fsid=img"));
	ASSERT_EQ(0, cf_mount_start(&s->env, &t, "m2", "fsid=img"));
	EXPECT_EQ(0, scene_serve(s, &t));
	ret = cf_wait(&t, PROMPT_MS);
	EXPECT_TRUE(ret == 0 || ret == -EBUSY);
	if (!ret)
		EXPECT_EQ(0, cf_umount(&s->env, "m2", 0));
	ASSERT_EQ(0, scene_read_start(s, &t, 0, FILE_SIZE));
	EXPECT_EQ(0, scene_serve(s, &t));
	EXPECT_EQ(0, scene_check(s, &t, 0, FILE_SIZE));
}

FIXTURE(devices)
{
	struct cf_env env;
	struct img img;
	struct od_server srv;
	char *blob[2];
};

#define CHUNK	8192
#define NR	16			/* chunks of the file */

/*
 * A file whose chunks lie by turns on two devices, always at the block where
 * the chunk before ends on the other one, and some of them nowhere.
 */
FIXTURE_SETUP(devices)
{
	struct img_chunk c[NR];
	int i;

	ASSERT_EQ(0, cf_env_init(&self->env));
	ASSERT_EQ(0, img_begin(&self->img, 12));
	for (i = 0; i < 2; i++) {
		self->blob[i] = mmap(NULL, NR * CHUNK, PROT_READ | PROT_WRITE,
				     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		img_pattern(self->blob[i], NR * CHUNK, 100 + i);
	}
	for (i = 0; i < NR; i++) {
		c[i].device = i % 2 + 1;
		c[i].block = i % 5 == 3 ? IMG_HOLE : i * CHUNK / 4096;
	}
	img_add_chunks(&self->img, NR * CHUNK - 1000, 13, c, NR);
	img_devices(&self->img, 2, NR * CHUNK / 4096);
	img_end(&self->img);

	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	od_init(&self->srv, self->env.dev);
	od_add(&self->srv, "img", self->img.data, self->img.size);
	od_add(&self->srv, "blob0", self->blob[0], NR * CHUNK);
	od_add(&self->srv, "blob1", self->blob[1], NR * CHUNK);
	ASSERT_EQ(0, od_run(&self->srv, 1));
}

FIXTURE_TEARDOWN(devices)
{
	cf_env_fini(&self->env);
}

static int check_chunks(struct cf_env *env, char * const *blob,
			const char *path)
{
	static char zero[CHUNK], buf[NR * CHUNK];
	long ret;
	int i;

	ret = cf_read(env, path, 0, sizeof(buf), buf);
	if (ret != NR * CHUNK - 1000)
		return ret < 0 ? ret : -EMSGSIZE;
	for (i = 0; i < NR; i++) {
		const char *want = i % 5 == 3 ? zero :
						blob[i % 2] + i * CHUNK;

		if (memcmp(buf + i * CHUNK, want, i == NR - 1 ? CHUNK - 1000 :
			   CHUNK))
			return -EILSEQ;
	}
	return 0;
}

TEST_F(devices, content)
{
	ASSERT_EQ(0, cf_mount(&self->env, "m",
			      "fsid=img,device=blob0,device=blob1"));
	EXPECT_EQ(3, self->srv.nr_open);
	EXPECT_EQ(0, check_chunks(&self->env, self->blob, "m/f00"));
	ASSERT_EQ(0, cf_umount(&self->env, "m", 0));

	/* Warm, from the cache. */
	od_log_reset(&self->srv);
	ASSERT_EQ(0, cf_mount(&self->env, "m",
			      "fsid=img,device=blob0,device=blob1"));
	EXPECT_EQ(0, check_chunks(&self->env, self->blob, "m/f00"));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
	EXPECT_EQ(0, self->srv.nr_read);
}

TEST_F(devices, error_of_a_device)
{
	self->srv.blob[2].error = EACCES;
	EXPECT_EQ(-EACCES, cf_mount(&self->env, "m",
				    "fsid=img,device=blob0,device=blob1"));
	self->srv.blob[2].error = 0;
	ASSERT_EQ(0, cf_mount(&self->env, "m",
			      "fsid=img,device=blob0,device=blob1"));
	EXPECT_EQ(0, check_chunks(&self->env, self->blob, "m/f00"));
}

TEST_F(devices, wrong_number)
{
	EXPECT_EQ(-EINVAL, cf_mount(&self->env, "m", "fsid=img,device=blob0"));
}

TEST_F(devices, bad_name)
{
	EXPECT_EQ(-EINVAL, cf_mount(&self->env, "m",
				    "fsid=img,device=../blob0,device=blob1"));
}

/* A domain shares each blob by its name, also with other images. */
TEST_F(devices, shared_in_a_domain)
{
	ASSERT_EQ(0, cf_mount(&self->env, "m",
			      "fsid=img,device=blob0,device=blob1,domain_id=d"));
	EXPECT_EQ(0, check_chunks(&self->env, self->blob, "m/f00"));
	EXPECT_EQ(3, self->srv.nr_open);

	od_add(&self->srv, "img2", self->img.data, self->img.size);
	ASSERT_EQ(0, cf_mount(&self->env, "m2",
			      "fsid=img2,device=blob0,device=blob1,domain_id=d"));
	EXPECT_EQ(4, self->srv.nr_open);
	EXPECT_EQ(0, check_chunks(&self->env, self->blob, "m2/f00"));
	EXPECT_EQ(0, cf_umount(&self->env, "m", 0));
	EXPECT_EQ(0, cf_drop_caches());
	EXPECT_EQ(0, check_chunks(&self->env, self->blob, "m2/f00"));
	EXPECT_EQ(0, cf_umount(&self->env, "m2", 0));
	EXPECT_EQ(0, od_stop(&self->srv)) {
		TH_LOG("%s", self->srv.error);
	}
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
