// SPDX-License-Identifier: GPL-2.0-or-later
/* KUnit tests of the arguments of the "copen" command. */
#include "internal.h"
#include <kunit/test.h>

/**
 * struct copen_row - what becomes of some arguments
 * @why: why the row is here
 * @args: the arguments
 * @ret: the result
 * @id: the msg_id, if @ret is 0
 * @size: the size or -errno, if @ret is 0
 */
struct copen_row {
	const char	*why;
	const char	*args;
	int		ret;
	u32		id;
	loff_t		size;
};

static const struct copen_row copen_rows[] = {
	{ "a size", "1,4096", 0, 1, 4096 },
	{ "an object may be empty", "1,0", 0, 1, 0 },
	{ "a size need not be aligned", "1,4097", 0, 1, 4097 },
	{ "more than 32 bits of size", "7,5000000000", 0, 7, 5000000000LL },
	{ "the largest size", "1,9223372036854775807", 0, 1, LLONG_MAX },
	{ "the largest id", "4294967295,1", 0, U32_MAX, 1 },
	/* No request has it: that is found when it is looked for. */
	{ "id 0 is a number", "0,1", 0, 0, 1 },
	{ "leading zeros are not octal", "010,010", 0, 10, 10 },
	{ "a sign that kstrtox takes", "+1,+2", 0, 1, 2 },
	{ "the final newline of echo", "1,2\n", 0, 1, 2 },
	{ "minus nothing is a size", "1,-0", 0, 1, 0 },

	{ "the error that daemons send for all", "1,-1", 0, 1, -EPERM },
	{ "an error by its name", "1,-2", 0, 1, -ENOENT },
	{ "the last errno user space may see", "1,-511", 0, 1, -511 },
	{ "ERESTARTSYS must not reach mount(2)", "1,-512", -EINVAL },
	{ "EIOCBQUEUED must not reach mount(2)", "1,-529", -EINVAL },
	{ "MAX_ERRNO is none of user space's", "1,-4095", -EINVAL },
	{ "no pointer is an error", "1,-4096", -EINVAL },
	{ "not even 32 bits of errno", "1,-4294967295", -EINVAL },
	{ "the smallest number", "1,-9223372036854775808", -EINVAL },

	{ "nothing at all", "", -EINVAL },
	{ "no comma", "1", -EINVAL },
	{ "nothing but a comma", ",", -EINVAL },
	{ "no id", ",4096", -EINVAL },
	{ "no size", "1,", -EINVAL },
	{ "another separator", "1 4096", -EINVAL },
	{ "an argument too many", "1,2,3", -EINVAL },
	{ "a comma too many", "1,2,", -EINVAL },
	{ "two commas", "1,,2", -EINVAL },
	{ "no sign on an id", "-1,4096", -EINVAL },
	{ "an id of 33 bits", "4294967296,4096", -EINVAL },
	{ "an id of 65 bits", "18446744073709551617,4096", -EINVAL },
	{ "a size of 64 bits", "1,9223372036854775808", -EINVAL },
	{ "a size of 65 bits", "1,18446744073709551616", -EINVAL },
	{ "an errno of 65 bits", "1,-18446744073709551615", -EINVAL },
	{ "letters for an id", "x,4096", -EINVAL },
	{ "letters for a size", "1,x", -EINVAL },
	{ "junk behind the id", "1x,4096", -EINVAL },
	{ "junk behind the size", "1,4096x", -EINVAL },
	{ "a unit", "1,4k", -EINVAL },
	{ "a fraction", "1,4096.0", -EINVAL },
	{ "hex for an id", "0x1,4096", -EINVAL },
	{ "hex for a size", "1,0x1000", -EINVAL },
	{ "a space before the id", " 1,4096", -EINVAL },
	{ "a space behind the id", "1 ,4096", -EINVAL },
	{ "a space before the size", "1, 4096", -EINVAL },
	{ "a space behind the size", "1,4096 ", -EINVAL },
	{ "a newline behind the id is kstrtox's", "1\n,4096", 0, 1, 4096 },
	{ "two signs", "1,--1", -EINVAL },
	{ "a sign and a sign", "1,-+1", -EINVAL },
	{ "a sign alone", "1,-", -EINVAL },
	{ "the name of an errno", "1,-ENOENT", -EINVAL },
};

KUNIT_ARRAY_PARAM_DESC(copen, copen_rows, why);

static void copen_parse(struct kunit *test)
{
	const struct copen_row *row = test->param_value;
	char *args = kunit_kstrdup(test, row->args, GFP_KERNEL);
	loff_t size = 0;
	u32 id = 0;

	KUNIT_ASSERT_NOT_NULL(test, args);
	KUNIT_ASSERT_EQ(test, cachefiles_parse_copen(args, &id, &size), row->ret);
	if (row->ret)
		return;
	KUNIT_EXPECT_EQ(test, id, row->id);
	KUNIT_EXPECT_EQ(test, size, row->size);
}

static struct kunit_case copen_cases[] = {
	KUNIT_CASE_PARAM(copen_parse, copen_gen_params),
	{}
};

static struct kunit_suite copen_suite = {
	.name		= "cachefiles_ondemand_copen",
	.test_cases	= copen_cases,
};

kunit_test_suite(copen_suite);
