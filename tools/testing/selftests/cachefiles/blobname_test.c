// SPDX-License-Identifier: GPL-2.0
/*
 * What images and mounts name as further blobs: the image itself, the same one
 * twice, more than can be had, and what can't be a name, of which the daemon
 * does not hear.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kselftest_harness.h"
#include "image.h"
#include "odserver.h"

#define TAGS		(IMG_META_END / 2)
#define TAG_SIZE	64
#define SLOT_SIZE	128
#define NR_DEVICES_POS	(1024 + 86)
#define CHUNK		4096
#define FIRST		4	/* block of the file's first chunk */

struct named {
	struct cf_env env;
	struct img img;
	struct od_server srv;
	char name[TAG_SIZE + 1];	/* the longest tag there is */
	int nr_failed;			/* OPENs, so that no CLOSE comes */
};

FIXTURE(blobname)
{
	struct named s;
};

/* A file of two chunks: one on the device, and one in the image. */
FIXTURE_SETUP(blobname)
{
	static const struct img_chunk c[] = { { 1, FIRST }, { 0, FIRST + 1 } };
	struct od_server *srv = &self->s.srv;

	ASSERT_EQ(0, cf_env_init(&self->s.env));
	ASSERT_EQ(0, img_begin(&self->s.img, 12));
	img_pattern(self->s.img.data + FIRST * CHUNK, 2 * CHUNK, 1);
	img_add_chunks(&self->s.img, 2 * CHUNK, 12, c, 2);
	img_devices(&self->s.img, 1, FIRST + 1);
	img_end(&self->s.img);
	memset(self->s.name, 'x', TAG_SIZE);

	ASSERT_EQ(0, cf_bind(&self->s.env, "ondemand"));
	od_init(srv, self->s.env.dev);
	od_add(srv, "img", self->s.img.data, self->s.img.size);
	/* Of the same content, so that each of them is the right device. */
	od_add(srv, self->s.name, self->s.img.data, self->s.img.size);
	od_add(srv, "..", self->s.img.data, self->s.img.size);
	ASSERT_EQ(0, od_run(srv, 1));
}

FIXTURE_TEARDOWN(blobname)
{
	EXPECT_EQ(0, od_stop(&self->s.srv)) {
		TH_LOG("%s", self->s.srv.error);
	}
	cf_env_fini(&self->s.env);
}

static void set_tag(struct img *img, int slot, const char *tag, size_t len)
{
	char *at = img->data + TAGS + slot * SLOT_SIZE;

	memset(at, 0, TAG_SIZE);
	memcpy(at, tag, len);
}

static void set_devices(struct img *img, __u16 nr)
{
	memcpy(img->data + NR_DEVICES_POS, &nr, sizeof(nr));
}

/*
 * Mount, read, unmount: what came of that?  All that was opened is closed then,
 * and @opens of them there were.
 */
static long use(struct named *s, int opens, const char *opts)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	int before = s->srv.nr_open;
	char buf[2 * CHUNK];
	long ret;

	ret = cf_mount(&s->env, "m", "fsid=img%s", opts);
	if (!ret) {
		ret = cf_read(&s->env, "m/f00", 0, sizeof(buf), buf);
		if (ret == sizeof(buf))
			ret = memcmp(buf, s->img.data + FIRST * CHUNK,
				     sizeof(buf)) ? -EILSEQ : 0;
		ret = cf_umount(&s->env, "m", 0) ?: ret;
	}
	s->nr_failed += ret == -ENOENT;
	while (s->srv.nr_close + s->nr_failed < s->srv.nr_open) {
		if (cf_now_ms() > end)
			return -ETIME;
		usleep(1000);
	}
	return s->srv.nr_open - before == opens ? ret : -EPROTO;
}

/* As a tag in the image, and as an option, with the same result. */
static long use_both(struct named *s, int opens, const char *tag, size_t len)
{
	char opts[300];
	long ret;

	set_tag(&s->img, 0, tag, len);
	ret = use(s, opens, "");
	snprintf(opts, sizeof(opts), ",device=%s", tag);
	return use(s, opens, opts) == ret ? ret : -EBADMSG;
}

/* It is one object for both. */
TEST_F(blobname, the_image_itself)
{
	EXPECT_EQ(0, use_both(&self->s, 1, "img", 3));
}

TEST_F(blobname, two_of_one_name)
{
	struct named *s = &self->s;

	img_devices(&s->img, 2, FIRST + 1);
	set_tag(&s->img, 0, s->name, TAG_SIZE);
	set_tag(&s->img, 1, s->name, TAG_SIZE);
	EXPECT_EQ(0, use(s, 2, ""));
}

/* There is no byte left for an end of it. */
TEST_F(blobname, longest_tag)
{
	EXPECT_EQ(0, use_both(&self->s, 2, self->s.name, TAG_SIZE));
}

/* It is a name and not a way out of the cache's directory. */
TEST_F(blobname, dots)
{
	EXPECT_EQ(0, use_both(&self->s, 2, "..", 2));
}

TEST_F(blobname, nobody_has_it)
{
	EXPECT_EQ(-ENOENT, use_both(&self->s, 2, "nobody", 6));
}

TEST_F_TIMEOUT(blobname, no_name, 60)
{
	set_tag(&self->s.img, 0, "", 0);
	EXPECT_EQ(-EINVAL, use(&self->s, 1, ""));
	EXPECT_EQ(-EINVAL, use(&self->s, 0, ",device="));
	EXPECT_EQ(-EINVAL, use_both(&self->s, 1, "/", 1));
	EXPECT_EQ(-EINVAL, use_both(&self->s, 1, "a/b", 3));
	EXPECT_EQ(-EINVAL, use_both(&self->s, 1, "../img", 6));
	EXPECT_EQ(-EINVAL, use_both(&self->s, 1, "a b", 3));
	EXPECT_EQ(-EINVAL, use_both(&self->s, 1, "a\n", 2));
	EXPECT_EQ(-EINVAL, use_both(&self->s, 1, "\177", 1));
	EXPECT_EQ(-EINVAL, use_both(&self->s, 1, "\303\251", 2));
}

TEST_F(blobname, too_long)
{
	char opts[1000] = ",device=";
	size_t len = strlen(opts), i;

	/* 252 is how long a name can be. */
	for (i = 253; i < 900; i += 320) {
		memset(opts + len, 'x', i);
		opts[len + i] = 0;
		EXPECT_EQ(-EINVAL, use(&self->s, 1, opts));
	}
}

/* What has been opened until it turns out is closed. */
TEST_F(blobname, more_than_named)
{
	struct named *s = &self->s;

	set_tag(&s->img, 0, s->name, TAG_SIZE);
	set_devices(&s->img, 0xffff);
	/* The table is read before anything is opened that it names. */
	EXPECT_EQ(-EINVAL, use(s, 1, ""));
	/* It is opened before the image can say how many there are. */
	EXPECT_EQ(-EINVAL, use(s, 2, ",device=.."));
	set_devices(&s->img, 0);
	EXPECT_EQ(-EINVAL, use(s, 2, ",device=.."));
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
