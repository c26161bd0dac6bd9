// SPDX-License-Identifier: GPL-2.0-or-later
/* KUnit tests of the "bind" command: its arguments, and a disk that fails it. */
#include <linux/mount.h>
#include <linux/pseudo_fs.h>
#include "internal.h"
#include <kunit/test.h>

/**
 * struct bind_row - what becomes of some arguments
 * @why: why the row is here
 * @args: the arguments
 * @wanted: they ask for the on-demand mode
 * @ret: the result of parsing, if @wanted
 * @opts: what they ask for, if @ret is 0
 */
struct bind_row {
	const char			*why;
	const char			*args;
	bool				wanted;
	int				ret;
	struct cachefiles_bind_opts	opts;
};

static const struct bind_row bind_rows[] = {
	{ "the plain mode", "", false },
	{ "no word of ours", "on-demand", false },
	{ "a word that only begins so", "ondemandx", false },
	{ "another case", "Ondemand", false },
	{ "what daemons have always sent", "ondemand", true, 0 },
	{ "the least time", "ondemand park=1", true, 0, { .park_secs = 1 } },
	{ "the longest time", "ondemand park=86400", true, 0, { .park_secs = 86400 } },
	{ "keep", "ondemand keep", true, 0, { .keep = true } },
	{ "full", "ondemand full", true, 0, { .full = true } },
	{ "all of it", "ondemand park=30 keep full", true, 0,
	  { .park_secs = 30, .keep = true, .full = true } },
	{ "any order", "ondemand full park=30 keep", true, 0,
	  { .park_secs = 30, .keep = true, .full = true } },

	{ "a space behind", "ondemand ", true, -EINVAL },
	{ "two spaces", "ondemand  keep", true, -EINVAL },
	{ "a tab", "ondemand keep\tfull", true, -EINVAL },
	{ "an unknown option", "ondemand keep forever", true, -EINVAL },
	{ "a longer word", "ondemand keeps", true, -EINVAL },
	{ "keep twice", "ondemand keep keep", true, -EINVAL },
	{ "full twice", "ondemand full full", true, -EINVAL },
	{ "two times", "ondemand park=1 park=2", true, -EINVAL },
	{ "no time", "ondemand park", true, -EINVAL },
	{ "an empty time", "ondemand park=", true, -EINVAL },
	{ "no time at all is no park", "ondemand park=0", true, -EINVAL },
	{ "more than a day", "ondemand park=86401", true, -EINVAL },
	{ "33 bits of time", "ondemand park=4294967297", true, -EINVAL },
	{ "time before now", "ondemand park=-1", true, -EINVAL },
	{ "a unit", "ondemand park=30s", true, -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(bind, bind_rows, why);

static void bind_parse(struct kunit *test)
{
	const struct bind_row *row = test->param_value;
	char *args = kunit_kstrdup(test, row->args, GFP_KERNEL);
	struct cachefiles_bind_opts opts;

	KUNIT_ASSERT_NOT_NULL(test, args);
	KUNIT_ASSERT_EQ(test, cachefiles_ondemand_wanted(args), row->wanted);
	if (!row->wanted)
		return;
	memset(&opts, 0xff, sizeof(opts));
	KUNIT_ASSERT_EQ(test, cachefiles_parse_bind(args, &opts), row->ret);
	if (row->ret)
		return;
	KUNIT_EXPECT_EQ(test, opts.park_secs, row->opts.park_secs);
	KUNIT_EXPECT_EQ(test, opts.keep, row->opts.keep);
	KUNIT_EXPECT_EQ(test, opts.full, row->opts.full);
}

static int bad_disk_statfs(struct dentry *dentry, struct kstatfs *stats)
{
	return -EIO;
}

static const struct super_operations bad_disk_ops = {
	.statfs	= bad_disk_statfs,
};

static int bad_disk_init_fs_context(struct fs_context *fc)
{
	struct pseudo_fs_context *ctx = init_pseudo(fc, 0);

	if (!ctx)
		return -ENOMEM;
	ctx->ops = &bad_disk_ops;
	return 0;
}

static struct file_system_type bad_disk_type = {
	.name			= "cachefiles_bad_disk",
	.init_fs_context	= bad_disk_init_fs_context,
	.kill_sb		= kill_anon_super,
};

/*
 * When the directories of a new cache are made it is bound in no mode yet, and
 * fscache has never heard of it.
 */
static void bind_statfs_fails(struct kunit *test)
{
	struct cachefiles_cache *cache = kunit_kzalloc(test, sizeof(*cache), GFP_KERNEL);
	struct vfsmount *mnt = kern_mount(&bad_disk_type);

	KUNIT_ASSERT_NOT_ERR_OR_NULL(test, mnt);
	KUNIT_ASSERT_NOT_NULL(test, cache);
	cache->mnt = mnt;
	KUNIT_EXPECT_EQ(test, cachefiles_has_space(cache, 1, 0, cachefiles_has_space_for_create),
			-EIO);
	/* It can be tried again. */
	KUNIT_EXPECT_FALSE(test, test_bit(CACHEFILES_DEAD, &cache->flags));
	kern_unmount(mnt);
}

static struct kunit_case bind_cases[] = {
	KUNIT_CASE_PARAM(bind_parse, bind_gen_params),
	KUNIT_CASE(bind_statfs_fails),
	{}
};

static struct kunit_suite bind_suite = {
	.name		= "cachefiles_ondemand_bind",
	.test_cases	= bind_cases,
};

kunit_test_suite(bind_suite);
