// SPDX-License-Identifier: GPL-2.0
/*
 * Images as mkfs.erofs makes them, in all its formats.  Each is compared with
 * the tree that it was made from: cold, with a random half of it present, and
 * warm, when the daemon may not be asked for anything.
 *
 * MKFS_EROFS names another mkfs.erofs.  What this one cannot do is skipped.
 */
#include <endian.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "blockdev.h"
#include "mkfs.h"
#include "odserver.h"
#include "tree.h"

FIXTURE(image)
{
	struct cf_env env;
	struct od_server srv;
	char source[160];
	char image[256];
	const char *data;
	__u64 size;
	const char *blob;
	__u64 blob_size;
	char opts[64];		/* of mount(2), after the name */
	char skip[128];
};

FIXTURE_VARIANT(image)
{
	const char *mkfs;
	const char *mount;
	__u32 incompat;		/* features that the image has to have */
	bool device;		/* data in a blob of its own */
	unsigned int how;	/* more for tree_compare() */
	bool not_from_file;	/* only the on-demand mode can read it */
};

#define BIG_PCLUSTER	0x02
#define CHUNKED		0x04
#define DEVICES		0x08
#define TAIL		0x10
#define FRAGMENTS	0x20	/* or dedupe: these have one bit */

FIXTURE_VARIANT_ADD(image, plain)
{
	.mkfs = "",
};

FIXTURE_VARIANT_ADD(image, no_inline)
{
	.mkfs = "-Enoinline_data",
};

FIXTURE_VARIANT_ADD(image, no_xattrs)
{
	.mkfs = "-x-1 -Eforce-inode-compact",
	.how = TREE_NO_XATTRS,
};

FIXTURE_VARIANT_ADD(image, extended)
{
	.mkfs = "-Eforce-inode-extended -x1",
};

FIXTURE_VARIANT_ADD(image, lz4)
{
	.mkfs = "-zlz4",
};

FIXTURE_VARIANT_ADD(image, lz4_legacy)
{
	.mkfs = "-zlz4 -Elegacy-compress",
};

FIXTURE_VARIANT_ADD(image, lz4hc_64k)
{
	.mkfs = "-zlz4hc -C65536",
	.incompat = BIG_PCLUSTER,
};

FIXTURE_VARIANT_ADD(image, lz4_tail)
{
	.mkfs = "-zlz4 -Eztailpacking",
	.incompat = TAIL,
};

FIXTURE_VARIANT_ADD(image, lz4_fragments)
{
	.mkfs = "-zlz4 -C16384 -Efragments",
	.incompat = FRAGMENTS,
};

FIXTURE_VARIANT_ADD(image, lz4_all_fragments)
{
	.mkfs = "-zlz4 -Eall-fragments",
	.incompat = FRAGMENTS,
};

FIXTURE_VARIANT_ADD(image, lz4_dedupe)
{
	.mkfs = "-zlz4 -Ededupe",
	.incompat = FRAGMENTS,
};

FIXTURE_VARIANT_ADD(image, lz4_all)
{
	.mkfs = "-zlz4hc -C65536 -Eall-fragments,dedupe,ztailpacking",
	.incompat = FRAGMENTS,
};

FIXTURE_VARIANT_ADD(image, lzma)
{
	.mkfs = "-zlzma -C65536",
};

FIXTURE_VARIANT_ADD(image, deflate)
{
	.mkfs = "-zdeflate -C32768",
};

FIXTURE_VARIANT_ADD(image, zstd)
{
	.mkfs = "-zzstd -C65536",
};

FIXTURE_VARIANT_ADD(image, chunks)
{
	.mkfs = "--chunksize=4096",
	.incompat = CHUNKED,
};

FIXTURE_VARIANT_ADD(image, chunks_64k)
{
	.mkfs = "--chunksize=65536",
	.incompat = CHUNKED,
};

FIXTURE_VARIANT_ADD(image, device)
{
	.mkfs = "--chunksize=4096",
	.device = true,
	.incompat = CHUNKED | DEVICES,
};

FIXTURE_VARIANT_ADD(image, device_64k)
{
	.mkfs = "--chunksize=65536",
	.device = true,
	.incompat = CHUNKED | DEVICES,
};

/* Its end is no multiple of 4096, which a plain file must not have. */
FIXTURE_VARIANT_ADD(image, blocks_512)
{
	.mkfs = "-b512",
	.not_from_file = true,
};

FIXTURE_VARIANT_ADD(image, blocks_1024_lz4)
{
	.mkfs = "-b1024 -zlz4",
};

FIXTURE_VARIANT_ADD(image, blocks_2048_chunks)
{
	.mkfs = "-b2048 --chunksize=4096",
};

FIXTURE_VARIANT_ADD(image, metadata_compressed)
{
	.mkfs = "-zlz4 -m4096",
};

FIXTURE_VARIANT_ADD(image, domain)
{
	.mkfs = "-zlz4",
	.mount = ",domain_id=dom",
};

FIXTURE_VARIANT_ADD(image, directio)
{
	.mkfs = "",
	.mount = ",directio",
};

FIXTURE_VARIANT_ADD(image, directio_lz4)
{
	.mkfs = "-zlz4 -C65536",
	.mount = ",directio",
};

static const char *map_file(const char *path, __u64 *size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0)
		return NULL;
	*size = st.st_size;
	map = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	return map == MAP_FAILED ? NULL : map;
}

/* Old versions of mkfs.erofs take what they do not know and do nothing. */
static bool has_features(const char *image, __u32 incompat)
{
	__u32 have;

	memcpy(&have, image + 1024 + 80, sizeof(have));
	return (le32toh(have) & incompat) == incompat;
}

static int compare(struct cf_env *env, const char *source, unsigned int how)
{
	char path[256];
	struct cf_task t;
	int ret;

	snprintf(path, sizeof(path), "%s/m", env->tmp);
	ret = tree_compare(&t, source, path, how);
	if (!ret)
		ret = cf_wait(&t, 3 * WAIT_MS);
	if (ret)
		ksft_print_msg("%s: %s\n", t.out->buf, strerror(-ret));
	return ret;
}

/*
 * Whether this kernel can read the image from a block device: 1, or 0 if it fails
 * there as it did in the mode under test, or another error, which is no reason to
 * leave the image out.
 */
static int supported(struct cf_env *env, const char *path, const char *source,
		     unsigned int how, long error)
{
	char loop[64];
	long ret;

	ret = loop_attach(path, true, loop, sizeof(loop));
	if (ret)
		return ret;
	ret = cf_mount_file(env, "m", loop);
	if (!ret) {
		ret = compare(env, source, how);
		cf_umount(env, "m", 0);
	}
	if (loop_detach(loop))
		return -ENODEV;
	return ret == error ? 0 : ret ?: 1;
}

FIXTURE_SETUP(image)
{
	char path[256], blob[256], options[128], cmd[600];
	int i;

	ASSERT_EQ(0, cf_env_init(&self->env));
	snprintf(self->source, sizeof(self->source), "%s/source",
		 self->env.root);
	ASSERT_EQ(0, tree_make(self->source));

	snprintf(self->image, sizeof(self->image), "%s/image", self->env.root);
	snprintf(blob, sizeof(blob), "%s/blob", self->env.root);
	if (variant->device)
		ASSERT_EQ(0, close(creat(blob, 0600)));
	snprintf(options, sizeof(options), "%s%s", variant->mkfs,
		 variant->device ? " --blobdev=blob" : "");
	if (mkfs_erofs(self->env.root, options, "image", "source")) {
		snprintf(cmd, sizeof(cmd),
			 "sed 's/^/# /' %s/mkfs.log | grep '<E>'",
			 self->env.root);
		if (system(cmd) != 0)
			ksft_print_msg("no reason is given\n");
		snprintf(self->skip, sizeof(self->skip),
			 "%s cannot make it: %s", mkfs_erofs_name(), variant->mkfs);
		return;
	}
	self->data = map_file(self->image, &self->size);
	ASSERT_NE(NULL, self->data);
	if (!has_features(self->data, variant->incompat)) {
		snprintf(self->skip, sizeof(self->skip),
			 "%s does not know of it: %s", mkfs_erofs_name(), variant->mkfs);
		return;
	}
	if (variant->device) {
		self->blob = map_file(blob, &self->blob_size);
		ASSERT_NE(NULL, self->blob);
	}

	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	od_init(&self->srv, self->env.dev);
	for (i = 0; i < 3; i++) {
		snprintf(path, sizeof(path), "img%d", i);
		od_add(&self->srv, path, self->data, self->size);
	}
	od_add(&self->srv, "blob", self->blob, self->blob_size);
	ASSERT_EQ(0, od_run(&self->srv, 1));
	snprintf(self->opts, sizeof(self->opts), "%s%s",
		 variant->device ? ",device=blob" : "", variant->mount ?: "");
}

FIXTURE_TEARDOWN(image)
{
	cf_env_fini(&self->env);
}

/* Every other granule, roughly, as a prefetching daemon would bring them. */
static void fill_half(struct od_server *srv)
{
	__u64 x = 12345, off;
	int i;

	for (i = 0; i < OD_MAX_OBJECTS; i++) {
		struct od_object *o = &srv->object[i];

		if (!o->id || o->closed)
			continue;
		for (off = 0; off < o->blob->size; off += GRANULE) {
			__u64 len = o->blob->size - off;

			x = x * 6364136223846793005ULL + 1442695040888963407ULL;
			if (x >> 63)
				cf_fill(o->fd, o->blob->data, off,
					len < GRANULE ? len : GRANULE);
		}
	}
}

TEST_F_TIMEOUT(image, compare, 240)
{
	struct od_server *srv = &self->srv;
	struct cf_env *env = &self->env;
	static const struct od_ops flaky = {
		od_open, od_fill_sometimes, od_reply,
	};
	unsigned int how = variant->how;
	int ret;

	if (*self->skip)
		SKIP(return, "%s", self->skip);

	/* Cold. */
	ret = cf_mount(env, "m", "fsid=img0%s", self->opts);
	if (!ret)
		ret = compare(env, self->source, how | TREE_SEQUENTIAL);
	if (ret && !variant->device && !variant->not_from_file) {
		int can;

		cf_umount(env, "m", 0);
		can = supported(env, self->image, self->source, how, ret);
		ASSERT_LE(0, can);
		if (!can)
			SKIP(return, "this kernel cannot read it: %s",
			     variant->mkfs);
	}
	ASSERT_EQ(0, ret);
	EXPECT_LT(0, srv->nr_read);
	EXPECT_FALSE(od_log_overlaps(srv));
	EXPECT_EQ(0, cf_umount(env, "m", 0));

	/* Warm: the file system is there, and the page cache is not. */
	od_log_reset(srv);
	ASSERT_EQ(0, cf_mount(env, "m", "fsid=img0%s", self->opts));
	EXPECT_EQ(0, compare(env, self->source, how | TREE_MMAP));
	EXPECT_EQ(0, srv->nr_read);
	EXPECT_EQ(0, cf_umount(env, "m", 0));

	/* With a daemon that often fails: the right bytes, or an error. */
	ASSERT_EQ(0, cf_mount(env, "m", "fsid=img1%s", self->opts));
	srv->ops = &flaky;
	EXPECT_EQ(0, compare(env, self->source, how | TREE_SEQUENTIAL |
			     TREE_EIO));
	EXPECT_EQ(0, cf_umount(env, "m", 0));
	srv->ops = &od_honest;

	/* With holes of all sizes, in no order. */
	ASSERT_EQ(0, cf_mount(env, "m", "fsid=img2%s", self->opts));
	fill_half(srv);
	EXPECT_EQ(0, compare(env, self->source, how | TREE_RANDOM));
	EXPECT_EQ(0, cf_umount(env, "m", 0));

	EXPECT_EQ(0, od_stop(srv)) {
		TH_LOG("%s", srv->error);
	}
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
