/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Images that mkfs.erofs makes, or whatever program MKFS_EROFS names, with what
 * comes before the options of a test.
 */
#ifndef CACHEFILES_SELFTEST_MKFS_H
#define CACHEFILES_SELFTEST_MKFS_H

const char *mkfs_erofs_name(void);

/*
 * The options are divided by blanks.  All names are of the directory, where a file
 * "mkfs.log" then has what the program said.  0, or -ENOEXEC if it can't make it.
 */
int mkfs_erofs(const char *dir, const char *options, const char *image,
	       const char *source);

#endif /* CACHEFILES_SELFTEST_MKFS_H */
