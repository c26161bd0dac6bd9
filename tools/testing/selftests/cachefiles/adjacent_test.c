// SPDX-License-Identifier: GPL-2.0
/*
 * Two blobs whose data meets: what is at offset N of one is followed by what is
 * at the next offset of the other.  No read may run on into the wrong blob.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "kselftest_harness.h"
#include "odserver.h"
#include "image.h"
#include "mkfs.h"

#define FILE_SIZE	(2 << 20)
#define WRONG		0xee

/* Of the superblock, from byte 1024 on; all little endian, as the tests' machine. */
#define SB		1024
#define SB_COMPAT	(SB + 8)
#define COMPAT_CHKSUM	1
#define SB_INCOMPAT	(SB + 80)
#define INCOMPAT_DEVICES 8
#define SB_DEVICES	(SB + 86)
#define SB_SLOTS	(SB + 88)
#define SLOT_SIZE	128
#define SLOT_BLOCKS	64
#define SLOT_ADDR	68

/* An image, and what it has on two devices. */
struct parts {
	char *image, *blob[2];
	__u64 size, blob_size;
};

FIXTURE(adjacent)
{
	struct cf_env env;
	struct od_server srv;
	struct parts parts;
	char *content;
	bool made;
};

FIXTURE_VARIANT(adjacent)
{
	const char *mkfs;
	int run;	/* blocks that have to come from one blob */
};

FIXTURE_VARIANT_ADD(adjacent, plain) { "-Enoinline_data" };
FIXTURE_VARIANT_ADD(adjacent, chunks) { "--chunksize=4096" };
FIXTURE_VARIANT_ADD(adjacent, lz4) { "-zlz4" };
FIXTURE_VARIANT_ADD(adjacent, lz4_64k) { "-zlz4hc -C65536", 16 };

static void put16(char *at, __u16 v)
{
	memcpy(at, &v, sizeof(v));
}

static void put32(char *at, __u32 v)
{
	memcpy(at, &v, sizeof(v));
}

static void or32(char *at, __u32 set, __u32 clear)
{
	__u32 v;

	memcpy(&v, at, sizeof(v));
	put32(at, (v | set) & ~clear);
}

/* Half of it can be compressed. */
static int make_file(const char *path, char *content)
{
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644), i;

	if (fd < 0)
		return -errno;
	for (i = 0; i < FILE_SIZE; i += 512) {
		img_pattern(content + i, 256, i);
		memset(content + i + 256, i >> 9, 256);
	}
	i = write(fd, content, FILE_SIZE) == FILE_SIZE ? 0 : -EIO;
	close(fd);
	return i;
}

/*
 * All but the first block is on two devices, which claim the same addresses; the
 * first has the first half of them, the second one all.  What begins in the
 * first may end behind it.
 */
static void split(struct parts *parts, const char *made, __u64 size, int run)
{
	__u32 blocks = size / GRANULE - 1, half = blocks / 2;
	char *slot;

	parts->size = size + GRANULE;
	parts->image = calloc(1, parts->size);
	memset(parts->image, WRONG, size);
	memcpy(parts->image, made, GRANULE);
	or32(parts->image + SB_COMPAT, 0, COMPAT_CHKSUM);
	or32(parts->image + SB_INCOMPAT, INCOMPAT_DEVICES, 0);
	put16(parts->image + SB_DEVICES, 2);
	put16(parts->image + SB_SLOTS, size / SLOT_SIZE);
	slot = parts->image + size;
	put32(slot + SLOT_BLOCKS, half);
	put32(slot + SLOT_ADDR, 1);
	put32(slot + SLOT_SIZE + SLOT_BLOCKS, blocks);
	put32(slot + SLOT_SIZE + SLOT_ADDR, 1);

	parts->blob_size = size - GRANULE;
	parts->blob[0] = malloc(parts->blob_size);
	parts->blob[1] = malloc(parts->blob_size);
	memset(parts->blob[0], WRONG, parts->blob_size);
	memset(parts->blob[1], WRONG, parts->blob_size);
	memcpy(parts->blob[0], made + GRANULE, (half + run) * (__u64)GRANULE);
	memcpy(parts->blob[1] + half * (__u64)GRANULE,
	       made + GRANULE + half * (__u64)GRANULE,
	       parts->blob_size - half * (__u64)GRANULE);
}

FIXTURE_SETUP(adjacent)
{
	char path[300];
	struct parts *parts;
	struct stat st;
	char *made;
	int fd;

	ASSERT_EQ(0, cf_env_init(&self->env));
	snprintf(path, sizeof(path), "%s/source", self->env.root);
	ASSERT_EQ(0, mkdir(path, 0755));
	snprintf(path, sizeof(path), "%s/source/f", self->env.root);
	self->content = malloc(FILE_SIZE);
	ASSERT_EQ(0, make_file(path, self->content));
	if (mkfs_erofs(self->env.root, variant->mkfs, "image", "source"))
		SKIP(return, "no mkfs.erofs that can make it");
	snprintf(path, sizeof(path), "%s/image", self->env.root);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	ASSERT_LE(0, fd);
	ASSERT_EQ(0, fstat(fd, &st));
	ASSERT_EQ(0, st.st_size % GRANULE);
	ASSERT_LT(64 * GRANULE, st.st_size);
	made = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	ASSERT_NE(MAP_FAILED, made);
	close(fd);
	split(&self->parts, made, st.st_size, variant->run);
	munmap(made, st.st_size);

	ASSERT_EQ(0, cf_bind(&self->env, "ondemand"));
	od_init(&self->srv, self->env.dev);
	parts = &self->parts;
	od_add(&self->srv, "img", parts->image, parts->size);
	od_add(&self->srv, "b0", parts->blob[0], parts->blob_size);
	od_add(&self->srv, "b1", parts->blob[1], parts->blob_size);
	ASSERT_EQ(0, od_run(&self->srv, 2));
	self->made = true;
}

FIXTURE_TEARDOWN(adjacent)
{
	if (self->made)
		od_stop(&self->srv);
	cf_env_fini(&self->env);
}

TEST_F_TIMEOUT(adjacent, content, 120)
{
	char *buf = malloc(FILE_SIZE);
	int i;

	ASSERT_EQ(0, cf_mount(&self->env, "m", "fsid=img,device=b0,device=b1"));
	/* Missing, then present, in large reads and in small ones. */
	for (i = 0; i < 3; i++) {
		memset(buf, 0, FILE_SIZE);
		ASSERT_EQ(FILE_SIZE, cf_read(&self->env, "m/f", 0, FILE_SIZE,
					     buf));
		EXPECT_EQ(0, memcmp(buf, self->content, FILE_SIZE));
		ASSERT_EQ(0, cf_drop_caches());
	}
	EXPECT_EQ(0, cf_umount(&self->env, "m", 0));
	free(buf);
}

int main(int argc, char **argv)
{
	cf_require();
	return test_harness_run(argc, argv);
}
