// SPDX-License-Identifier: GPL-2.0
/*
 * Answers: right and wrong ones, none, too many, too late, and for something
 * else.
 */
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/ioctl.h>

#include "odfuzz.h"

/*
 * Any size but one that ends within a granule of the image: what is behind the
 * end is zeros, by the daemon's word, and a reader would see them.
 */
static long long wrong_size(struct fz_worker *w, const struct fz_blob *b)
{
	static const long long sizes[] = {
		0, 1, 4095, 4096, 4097, 12288, 1 << 20, 1LL << 31, (1LL << 31) + 1, 1LL << 40,
		LLONG_MAX, LLONG_MAX - 4095, LLONG_MIN, -1, -5, -12, -28, -511, -512, -4095,
	};
	long long size = sizes[fz_below(w, FZ_NELEM(sizes))];

	if (fz_chance(w, 20))
		size = b ? b->size + GRANULE * (1 + fz_below(w, 3)) : fz_below(w, 1 << 22);
	if (!b || !b->loose)
		if (size > 0 && size < 1 << 30 && (!b || size < (long long)b->size))
			size &= ~(GRANULE - 1LL);
	return size;
}

static long long right_size(const struct fz_blob *b)
{
	return b ? (long long)b->size : -ENOENT;
}

/* What a copen may fail with, when the command is in good order. */
static void check_copen(struct fz_daemon *d, long long size, int ret)
{
	bool strict = fz->features;

	fz_result("copen", ret);
	switch (ret) {
	case 0:
	case -EINVAL:
	case -ESTALE:
	case -EFBIG:
	case -ENOSPC:
	case -EEXIST:
	case -EINTR:
	case -ENOMEM:
		return;
	case -EBUSY:
		if (!strict)
			return;
	}
	if (!__atomic_load_n(&d->shut, __ATOMIC_SEQ_CST))
		fz_fail("copen with size %lld: %d", size, ret);
}

/* Its blob was mounted before this daemon came. */
static void note_adoption(const struct fz_object *o)
{
	int i, j;

	for (i = 0; o->blob && i < fz_nr_images; i++) {
		if (strcmp(fz_image[i].key, o->blob->key))
			continue;
		for (j = 0; j < FZ_POINTS; j++)
			if (fz->mounted[i][j] && fz->mounted[i][j] != fz->term)
				fz_count("mount taken over");
	}
}

static int answer(struct fz_daemon *d, struct fz_object *o, __u32 id, long long size)
{
	int ret;

	ret = cf_copen(d->dev, id, size);
	check_copen(d, size, ret);
	if (!ret && o && size >= 0) {
		__atomic_store_n(&o->size, size, __ATOMIC_RELAXED);
		note_adoption(o);
	}
	return ret;
}

static void garbage(struct fz_daemon *d, struct fz_worker *w, __u32 id)
{
	static const char * const text[] = {
		"copen %u", "copen %u,", "copen ,4096", "copen", "copen ", "copen %u,4096,",
		"copen %u;0", "copen %u,0x1000", "copen %u,1e3", "copen %u,4096 x",
		"copen %u, 4096", "copen %u,-", "copen %u,99999999999999999999", "copen -%u,4096",
		"copen 99999%u,4096", "copen x%u,1", "copen %u,--1", "copen %u,4096\t",
		"copen 0x%x,4096", "copen %u,+-4096", "copen%u,4096",
	};
	char cmd[100];
	int ret;

	snprintf(cmd, sizeof(cmd), text[fz_below(w, FZ_NELEM(text))], id);
	ret = cf_cmd(d->dev, "%s", cmd);
	fz_result("garbled copen", ret);
	if (ret != -EINVAL && ret != -EOPNOTSUPP &&
	    !__atomic_load_n(&d->shut, __ATOMIC_SEQ_CST))
		fz_fail("\"%s\": %d", cmd, ret);
}

void fz_answer_open(struct fz_daemon *d, struct fz_worker *w, struct fz_object *o, __u32 id)
{
	static const short errors[] = { 1, 2, 5, 11, 12, 13, 22, 28, 36, 95, 110, 122, 511 };
	const struct fz_blob *b = o->blob;

	/* Nobody's blob may be there all the same. */
	if (!b && fz_chance(w, 40)) {
		answer(d, o, id, wrong_size(w, b));
		return;
	}
	if (fz_chance(w, d->honesty)) {
		if (!answer(d, o, id, right_size(b)) && b && fz_chance(w, 5))
			fz_fill(w, o, 0, b->size);
		return;
	}
	switch (fz_below(w, 10)) {
	case 0:
		answer(d, o, id, -errors[fz_below(w, FZ_NELEM(errors))]);
		fz_object_close(d, o, true);
		break;
	case 1:
		answer(d, o, id, wrong_size(w, b));
		break;
	case 2:
		fz_put_off(d, CACHEFILES_OP_OPEN, id, o->id, right_size(b));
		break;
	case 3:
		answer(d, o, id, right_size(b));
		answer(d, o, id, right_size(b));
		break;
	case 4:
		garbage(d, w, id);
		answer(d, o, id, right_size(b));
		break;
	case 5:
		/* For others, who are asked something else or not at all. */
		answer(d, NULL, id + 1 + fz_below(w, 3), wrong_size(w, NULL));
		answer(d, NULL, fz_rand(w), wrong_size(w, NULL));
		answer(d, o, id, right_size(b));
		break;
	case 6:
		fz_put_off(d, CACHEFILES_OP_OPEN, id, o->id, right_size(b));
		fz_object_close(d, o, true);
		break;
	case 7:
		/* Too early for bytes. */
		fz_fill(w, o, fz_below(w, 1 << 20), GRANULE);
		answer(d, o, id, right_size(b));
		break;
	case 8:
		answer(d, o, id, right_size(b));
		fz_object_close(d, o, false);
		break;
	default:
		fz_put_off(d, CACHEFILES_OP_OPEN, id, o->id, wrong_size(w, b));
	}
}

static int complete(struct fz_object *o, __u32 id)
{
	int ret = cf_complete(o->fd, id);

	fz_result("READ_COMPLETE", ret);
	if (ret && ret != -EINVAL)
		fz_fail("READ_COMPLETE: %d", ret);
	return ret;
}

static void fail(struct fz_worker *w, struct fz_object *o, __u32 id)
{
	static const int errors[] = { -1, -5, -28, -110, -511, 0, 1, 5, -512, -4096, 1 << 31 };
	struct cachefiles_read_fail arg = { .msg_id = id };
	bool bad = fz_chance(w, 10);
	int ret;

	arg.error = errors[fz_below(w, FZ_NELEM(errors))];
	ret = ioctl(o->fd, CACHEFILES_IOC_READ_FAIL, bad ? NULL : &arg) < 0 ? -errno : 0;
	fz_result("READ_FAIL", ret);
	if (!(fz->features & CACHEFILES_FEATURE_READ_FAIL)) {
		if (ret != -ENOTTY)
			fz_fail("READ_FAIL, which there is not: %d", ret);
	} else if (bad ? ret != -EFAULT : ret && ret != -EINVAL) {
		fz_fail("READ_FAIL: %d", ret);
	} else if (!ret && (arg.error >= 0 || arg.error < -511)) {
		fz_fail("READ_FAIL with %d is taken", arg.error);
	}
}

/* On the fd of another blob it means nothing. */
static void complete_elsewhere(struct fz_daemon *d, struct fz_worker *w, struct fz_object *o,
			       __u32 id)
{
	struct fz_object *other = fz_object_any(d, w);

	if (!other)
		return;
	if (other->name != o->name && !complete(other, id))
		fz_fail("a READ was answered on the fd of another object");
	fz_object_put(d, other);
}

static void answer_well(struct fz_worker *w, struct fz_object *o, const struct cf_msg *m)
{
	int ret = fz_fill(w, o, m->off, m->size);

	/* A fill at the fd's limit or in the midst of a death. */
	if (!ret && !complete(o, m->id))
		fz_count("READ filled");
	else
		complete(o, m->id);
}

void fz_answer_read(struct fz_daemon *d, struct fz_worker *w, struct fz_object *o,
		    const struct cf_msg *m)
{
	__u64 cut = fz_below(w, m->size);

	if (fz_chance(w, d->honesty)) {
		answer_well(w, o, m);
		return;
	}
	switch (fz_below(w, 12)) {
	case 0:
		/* Never. */
		break;
	case 1:
		complete(o, m->id);
		break;
	case 2:
		fz_put_off(d, CACHEFILES_OP_READ, m->id, o->id, 0);
		break;
	case 3:
		fz_fill(w, o, m->off + cut, m->size - cut);
		complete(o, m->id);
		break;
	case 4:
		fz_fill(w, o, m->off, cut);
		fz_put_off(d, CACHEFILES_OP_READ, m->id, o->id, 0);
		break;
	case 5:
		fz_fill(w, o, m->off, m->size);
		break;
	case 6:
		complete(o, fz_rand(w));
		complete(o, m->id + 1 + fz_below(w, 3));
		answer_well(w, o, m);
		break;
	case 7:
		complete_elsewhere(d, w, o, m->id);
		answer_well(w, o, m);
		break;
	case 8:
		fail(w, o, m->id);
		break;
	case 9:
		fz_object_close(d, o, false);
		break;
	case 10:
		answer_well(w, o, m);
		complete(o, m->id);
		fail(w, o, m->id);
		break;
	default:
		fz_fill(w, o, m->off, cut);
		fail(w, o, m->id);
	}
}

/* What was put off, perhaps more than once. */
long fz_answer_late(struct fz_worker *w, void *ctx)
{
	struct fz_daemon *d = ctx;
	struct fz_object *o;
	struct fz_late late;
	int ret = -ESRCH;

	if (!fz_take_late(d, w, &late))
		return -ENOENT;
	o = fz_object_get(d, late.object);
	if (late.op == CACHEFILES_OP_OPEN)
		ret = answer(d, o, late.id, late.size);
	else if (o && fz_chance(w, 70))
		ret = complete(o, late.id);
	else if (o)
		fail(w, o, late.id);
	if (o)
		fz_object_put(d, o);
	return ret;
}

/* Ids of daemons that have gone, which may mean something else by now. */
long fz_answer_stale(struct fz_worker *w, void *ctx)
{
	__u32 id = fz->stale[fz_below(w, FZ_NELEM(fz->stale))];
	struct fz_daemon *d = ctx;
	struct fz_object *o;
	long ret;

	if (fz_chance(w, 50))
		return answer(d, NULL, id, wrong_size(w, NULL));
	o = fz_object_any(d, w);
	if (!o)
		return -ENOENT;
	ret = complete(o, id);
	fz_object_put(d, o);
	return ret;
}
