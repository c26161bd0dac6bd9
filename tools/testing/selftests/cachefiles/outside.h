/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What can be wrong with an image so that it points outside its blobs.
 */
#ifndef CACHEFILES_SELFTEST_OUTSIDE_H
#define CACHEFILES_SELFTEST_OUTSIDE_H

#include "ondisk.h"

/* Room to grow: twice as much as what is asked for around metadata. */
#define OUTSIDE_MORE	(256 << 10)

/* An image and the device that it may have. */
struct outside {
	struct ondisk	image, blob;
};

/* Which images it is worth trying on. */
#define ON_SUPER	0x001	/* the superblock's addresses */
#define ON_TREE		0x002	/* directories and links */
#define ON_FLAT		0x004
#define ON_CHUNKS	0x008
#define ON_DEVICE	0x010
#define ON_PACKED	0x020	/* compressed, with packed indexes */
#define ON_FULL		0x040	/* compressed, with an index for each cluster */
#define ON_HEADER	0x080	/* compressed, with more than that */
#define ON_FRAGMENTS	0x100
#define ON_CUT		0x200	/* blobs that are too short */

struct outside_case {
	const char	*name;
	const char	*path;
	__u64	value;
	int		row, column;	/* of the next one */
	int		nr, step;	/* one of so many is tried */
};

bool outside_next(struct outside_case *c, unsigned int on,
		  const struct outside *made, struct outside *bad);

#endif /* CACHEFILES_SELFTEST_OUTSIDE_H */
