// SPDX-License-Identifier: GPL-2.0
/*
 * Images that point outside their blobs.  Each is mounted from a file as well,
 * which has zeros up to the end of its last page: what is read and which errors
 * there are has to be the same, and the daemon is asked for nothing that is not
 * in the blobs.  Meanwhile another image goes on working.
 *
 * Every second image is present when it is mounted, the others are missing.
 * Usually a part of what can be wrong is tried, with $CACHEFILES_TEST_LONG all.
 * MKFS_EROFS names another mkfs.erofs.  What this one cannot do is skipped.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "kselftest_harness.h"
#include "image.h"
#include "mkfs.h"
#include "odserver.h"
#include "outside.h"
#include "visit.h"

#define DATA_SIZE	(88 * 1024 + 700)
#define NR_NAMES	18

/* What the daemon serves. */
enum { GOOD, GOOD_BLOB, IMAGE, BLOB };

struct run {
	struct cf_env env;
	struct od_server srv;
	struct outside made, bad;
	char content[DATA_SIZE];
	char key[32];
	int nr;
};

FIXTURE(outside)
{
	struct run r;
	bool ready;
};

FIXTURE_VARIANT(outside)
{
	const char *mkfs;
	const char *mount;
	__u32 incompat;		/* features that the image has to have */
	bool device;
	unsigned int what;
};

FIXTURE_VARIANT_ADD(outside, tail)
{
	.mkfs = "-Eforce-inode-extended -x1",
	.what = ON_SUPER | ON_FLAT | ON_TREE,
};

FIXTURE_VARIANT_ADD(outside, plain)
{
	.mkfs = "-Enoinline_data,force-inode-extended -x1",
	.mount = ",directio",
	.what = ON_FLAT,
};

FIXTURE_VARIANT_ADD(outside, compact)
{
	.mkfs = "-Eforce-inode-compact -x1",
	.what = ON_FLAT,
};

FIXTURE_VARIANT_ADD(outside, blocks_512)
{
	.mkfs = "-b512 -Eforce-inode-extended -x1",
	.what = ON_SUPER | ON_TREE | ON_CUT,
};

FIXTURE_VARIANT_ADD(outside, chunks)
{
	.mkfs = "--chunksize=4096 -Eforce-inode-extended",
	.incompat = INCOMPAT_CHUNKED,
	.what = ON_CHUNKS,
};

FIXTURE_VARIANT_ADD(outside, device)
{
	.mkfs = "--chunksize=8192",
	.incompat = INCOMPAT_CHUNKED | INCOMPAT_DEVICES,
	.device = true,
	.what = ON_CHUNKS | ON_DEVICE,
};

FIXTURE_VARIANT_ADD(outside, lz4)
{
	.mkfs = "-zlz4",
	.what = ON_PACKED | ON_CUT,
};

FIXTURE_VARIANT_ADD(outside, lz4_64k)
{
	.mkfs = "-zlz4hc -C65536",
	.mount = ",directio",
	.incompat = INCOMPAT_BIG_PCLUSTER,
	.what = ON_PACKED,
};

FIXTURE_VARIANT_ADD(outside, lz4_legacy)
{
	.mkfs = "-zlz4 -Elegacy-compress",
	.what = ON_FULL,
};

FIXTURE_VARIANT_ADD(outside, lz4_tail)
{
	.mkfs = "-zlz4 -Eztailpacking",
	.incompat = INCOMPAT_TAIL,
	.what = ON_PACKED | ON_HEADER,
};

FIXTURE_VARIANT_ADD(outside, lz4_fragments)
{
	.mkfs = "-zlz4 -Eall-fragments,dedupe",
	.incompat = INCOMPAT_FRAGMENTS,
	.what = ON_FRAGMENTS,
};

/* By turns what can be compressed and what cannot. */
static int make_tree(const char *root, char *content)
{
	char path[600], name[256];
	int fd, i;

	if (mkdir(root, 0755) < 0)
		return -errno;
	for (i = 0; i < DATA_SIZE; i += 512) {
		int len = DATA_SIZE - i < 512 ? DATA_SIZE - i : 512;

		memset(content + i, i >> 9, len);
		img_pattern(content + i, i < DATA_SIZE / 3 ? len : len / 6, i);
	}
	for (i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), i ? "%s/attr%d" : "%s/data",
			 root, i);
		fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
		if (fd < 0)
			return -errno;
		if (write(fd, content, i ? 200 * i : DATA_SIZE) < 0)
			return -errno;
		close(fd);
		/* More of them than -x says have it: it is stored once. */
		if (i && (setxattr(path, "user.shared", content, 300, 0) < 0 ||
			  setxattr(path, "user.own", path, i, 0) < 0))
			return -errno;
	}
	snprintf(path, sizeof(path), "%s/dir", root);
	if (mkdir(path, 0755) < 0)
		return -errno;
	memset(name, 'n', sizeof(name));
	for (i = 0; i < NR_NAMES; i++) {
		snprintf(name, 4, "%03d", i);
		name[3] = 'n';
		snprintf(path, sizeof(path), "%s/dir/%.230s", root, name);
		if (mknod(path, S_IFREG | 0644, 0) < 0)
			return -errno;
	}
	memset(name, 'l', sizeof(name) - 1);
	name[255] = 0;
	snprintf(path, sizeof(path), "%s/link", root);
	return symlink(name, path) < 0 ? -errno : 0;
}

/* Is all of a damaged image there when it is mounted? */
static bool present;

/* Who mounts what: its volume and its blobs. */
static void open_named(struct od_server *srv, struct od_object *o,
		       const struct cf_msg *m)
{
	bool good = !strcmp(m->volume, "erofs,good");
	const char *image = srv->blob[good ? GOOD : IMAGE].key;
	const char *blob = srv->blob[good ? GOOD_BLOB : BLOB].key;

	if (strcmp(m->volume + strlen("erofs,"), image) ||
	    (strcmp(m->key, image) && strcmp(m->key, blob)))
		od_error(srv, "OPEN of %.100s in %.100s", m->key, m->volume);
	od_open(srv, o, m);
	if (present && !good && o->blob &&
	    cf_fill(o->fd, o->blob->data, 0, o->blob->size))
		od_error(srv, "%s cannot be filled", m->key);
}

/* The loop has looked at where it ends, as far as numbers do not wrap round. */
static int fill_inside(struct od_server *srv, struct od_object *o, __u64 off,
		       __u64 len)
{
	if (!len || len > READ_MAX || off % GRANULE || off >= o->blob->size ||
	    len > o->blob->size - off) {
		od_error(srv, "READ %llu+%llu of %llu",
			 (unsigned long long)off, (unsigned long long)len,
			 (unsigned long long)o->blob->size);
		return 0;
	}
	return od_fill(srv, o, off, len);
}

static const struct od_ops named_ops = { open_named, fill_inside, od_reply };

static struct od_blob *serve(struct od_server *srv, const char *key,
			     const struct ondisk *img)
{
	return od_add(srv, key, img->data, img->size);
}

FIXTURE_SETUP(outside)
{
	char path[300], options[128];
	struct cf_env *env = &self->r.env;

	ASSERT_EQ(0, cf_env_init(env));
	snprintf(path, sizeof(path), "%s/source", env->tmp);
	ASSERT_EQ(0, make_tree(path, self->r.content));
	snprintf(path, sizeof(path), "%s/blob.made", env->tmp);
	if (variant->device)
		ASSERT_EQ(0, close(creat(path, 0600)));
	snprintf(options, sizeof(options), "%s%s", variant->mkfs,
		 variant->device ? " --blobdev=blob.made" : "");
	if (mkfs_erofs(env->tmp, options, "image.made", "source"))
		SKIP(return, "%s cannot make it: %s", mkfs_erofs_name(),
		     variant->mkfs);
	if (variant->device)
		ASSERT_EQ(0, ondisk_load(&self->r.made.blob, path, 0));
	snprintf(path, sizeof(path), "%s/image.made", env->tmp);
	ASSERT_EQ(0, ondisk_load(&self->r.made.image, path,
				 OUTSIDE_MORE));
	if ((get32(&self->r.made.image, SB_INCOMPAT) & variant->incompat) !=
	    variant->incompat)
		SKIP(return, "%s does not know of it: %s", mkfs_erofs_name(),
		     variant->mkfs);

	ASSERT_EQ(0, cf_bind(env, "ondemand"));
	od_init(&self->r.srv, env->dev);
	self->r.srv.ops = &named_ops;
	serve(&self->r.srv, "good", &self->r.made.image);
	serve(&self->r.srv, "goodblob", &self->r.made.blob);
	serve(&self->r.srv, "", &self->r.made.image);
	serve(&self->r.srv, "blob", &self->r.made.blob);
	ASSERT_EQ(0, od_run(&self->r.srv, 1));
	ASSERT_EQ(0, cf_mount(env, "good", "fsid=good%s%s",
			      variant->device ? ",device=goodblob" : "",
			      variant->mount ?: ""));
	self->ready = true;
}

FIXTURE_TEARDOWN(outside)
{
	if (self->ready) {
		EXPECT_EQ(0, cf_umount(&self->r.env, "good", 0));
		EXPECT_EQ(0, od_stop(&self->r.srv)) {
			TH_LOG("%s", self->r.srv.error);
		}
	}
	cf_env_fini(&self->r.env);
}

/* As a file, with zeros behind its end; tmpfs has none to mount. */
static int put_file(const char *path, const struct ondisk *img)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	int ret = 0;

	if (fd < 0)
		return -errno;
	if (write(fd, img->data, img->size) != (ssize_t)img->size ||
	    ftruncate(fd, (img->size + GRANULE - 1) & -GRANULE) < 0)
		ret = -EIO;
	close(fd);
	return ret;
}

/* Each object that was opened has been closed, but those that stay. */
static bool all_closed(struct od_server *srv, int stay)
{
	__u64 end = cf_now_ms() + WAIT_MS;

	while (srv->nr_open - srv->nr_close > stay) {
		if (cf_now_ms() > end)
			return false;
		usleep(1000);
	}
	return true;
}

/* Both mounts of one damaged image; 0, or there has been a message. */
static int compare(struct run *r, const char *devices,
		   const char *file_devices, const char *mount)
{
	struct od_server *srv = &r->srv;
	struct cf_env *env = &r->env;
	struct visit file = {}, here = {};
	int ret, stay = srv->nr_open - srv->nr_close;
	struct cf_task a, b;
	long ra, rb;

	snprintf(file.dir, sizeof(file.dir), "%s/file", env->tmp);
	snprintf(here.dir, sizeof(here.dir), "%s/here", env->tmp);
	mkdir(file.dir, 0755);
	mkdir(here.dir, 0755);
	snprintf(file.source, sizeof(file.source), "%s/image", env->root);
	snprintf(file.opts, sizeof(file.opts), "%s%s", file_devices, mount);
	snprintf(here.source, sizeof(here.source), "none");
	snprintf(here.opts, sizeof(here.opts), "fsid=%s%s%s", r->key,
		 devices, mount);
	snprintf(here.meanwhile, sizeof(here.meanwhile), "%s/good/data",
		 env->tmp);
	here.len = 8192;
	here.pos = r->nr * 3000 % (DATA_SIZE - here.len);
	here.expect = r->content + here.pos;

	ret = visit_start(&a, &file) ?: visit_start(&b, &here);
	if (ret)
		return ret;
	ra = cf_wait(&a, 2 * WAIT_MS);
	rb = cf_wait(&b, 2 * WAIT_MS);
	if (ra || rb) {
		ksft_print_msg("the file: %ld, here: %ld\n", ra, rb);
		return -EPROTO;
	}
	ret = visit_differs(&a, &b);
	munmap(a.out, a.cap);
	munmap(b.out, b.cap);
	if (!all_closed(srv, stay)) {
		ksft_print_msg("an object stays open\n");
		return -ETIME;
	}
	if (*srv->error) {
		ksft_print_msg("%s\n", srv->error);
		return -EPROTO;
	}
	return ret;
}

static int try(struct run *r, const char *devices,
	       const char *file_devices, const char *mount)
{
	struct outside *bad = &r->bad;
	struct od_server *srv = &r->srv;
	char path[300];
	int ret;

	snprintf(r->key, sizeof(r->key), "img%d", r->nr);
	ondisk_seal(&bad->image);
	snprintf(path, sizeof(path), "%s/image", r->env.root);
	ret = put_file(path, &bad->image);
	if (ret)
		return ret;
	snprintf(srv->blob[IMAGE].key, sizeof(srv->blob[IMAGE].key), "%s",
		 r->key);
	srv->blob[IMAGE].data = (void *)bad->image.data;
	srv->blob[IMAGE].size = bad->image.size;
	if (*devices) {
		snprintf(path, sizeof(path), "%s/blob", r->env.root);
		ret = put_file(path, &bad->blob);
		if (ret)
			return ret;
		srv->blob[BLOB].data = (void *)bad->blob.data;
		srv->blob[BLOB].size = bad->blob.size;
	}
	present = r->nr % 2;
	ret = compare(r, devices, file_devices, mount);
	r->nr++;
	return ret;
}

TEST_F_TIMEOUT(outside, damaged, 600)
{
	char file_devices[300] = "";
	struct outside_case c = { .step = cf_rounds(7, 1) };
	__u64 start = cf_now_ms();
	int ret, claimed = 0;

	if (variant->device)
		snprintf(file_devices, sizeof(file_devices), "device=%s/blob",
			 self->r.env.root);
	while (outside_next(&c, variant->what, &self->r.made, &self->r.bad)) {
		ret = try(&self->r, variant->device ? ",device=blob" : "",
			  file_devices, variant->mount ?: "");
		/*
		 * A compressed extent may claim metadata for its data.  While that
		 * has its page of the blob, reads of it as metadata fail, which
		 * EROFS on a file has in another place.
		 */
		if (ret == 2 && strstr(variant->mkfs, "-z")) {
			claimed++;
			ret = 0;
		}
		EXPECT_EQ(0, ret) {
			TH_LOG("%s, %s, %#llx", c.name, c.path,
			       (unsigned long long)c.value);
		}
		/* A daemon that has lost its way has no more to say. */
		if (ret < 0)
			break;
	}
	ksft_print_msg("%d images, %d ms\n", self->r.nr,
		       (int)(cf_now_ms() - start));
	EXPECT_LT(claimed, self->r.nr);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
