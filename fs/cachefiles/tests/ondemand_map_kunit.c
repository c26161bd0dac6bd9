// SPDX-License-Identifier: GPL-2.0-or-later
/* KUnit tests of the presence map, against a model that is one plain bitmap. */
#include <linux/bitmap.h>
#include <linux/prandom.h>
#include "internal.h"
#include <kunit/test.h>

#define CHUNK		CACHEFILES_MAP_CHUNK_BITS
#define MAX_GRANULES	(3 * CHUNK + 7)
#define MAX_CHUNKS	4
#define NR_STEPS	200

/**
 * struct map_kunit - a map and its model
 * @map: the map
 * @nr: granules in it
 * @present: the model: which ones are present
 * @dirty: the model: which chunks differ from the disk
 * @disk: what the disk has
 * @scratch: a chunk
 * @rnd: where chance comes from, the same in each run
 */
struct map_kunit {
	struct cachefiles_map	map;
	unsigned long		nr;
	DECLARE_BITMAP(present, MAX_GRANULES);
	DECLARE_BITMAP(dirty, MAX_CHUNKS);
	__le64			disk[MAX_CHUNKS][CACHEFILES_MAP_CHUNK_BYTES / sizeof(__le64)];
	__le64			scratch[CACHEFILES_MAP_CHUNK_BYTES / sizeof(__le64)];
	struct rnd_state	rnd;
};

static unsigned long nr_chunks(const struct map_kunit *m)
{
	return DIV_ROUND_UP(m->nr, CHUNK);
}

static unsigned int chunk_nr(const struct map_kunit *m, unsigned long index)
{
	return min(m->nr - index * CHUNK, CHUNK);
}

/* In [0, limit). */
static unsigned long below(struct map_kunit *m, unsigned long limit)
{
	return prandom_u32_state(&m->rnd) % limit;
}

static struct map_kunit *map_kunit(struct kunit *test, unsigned long nr)
{
	struct map_kunit *m = test->priv;

	m->nr = nr;
	cachefiles_map_init(&m->map, nr);
	return m;
}

static void map_set(struct kunit *test, struct map_kunit *m, unsigned long first,
		    unsigned long last)
{
	unsigned long index, added = last - first + 1;

	for (index = first / CHUNK; index <= last / CHUNK; index++) {
		unsigned long start = max(first, index * CHUNK);
		unsigned long end = min(last + 1, (index + 1) * CHUNK);

		if (find_next_zero_bit(m->present, end, start) < end)
			__set_bit(index, m->dirty);
	}
	added -= bitmap_weight_from(m->present, first, last + 1);
	bitmap_set(m->present, first, last - first + 1);

	KUNIT_ASSERT_EQ(test, cachefiles_map_prepare(&m->map, first, last), 0);
	KUNIT_EXPECT_EQ_MSG(test, cachefiles_map_set(&m->map, first, last), added,
			    "%lu-%lu", first, last);
}

static void map_expect_next(struct kunit *test, struct map_kunit *m, unsigned long first,
			    unsigned long last)
{
	KUNIT_EXPECT_EQ_MSG(test, cachefiles_map_next_missing(&m->map, first, last),
			    find_next_zero_bit(m->present, last + 1, first),
			    "%lu-%lu", first, last);
	KUNIT_EXPECT_EQ_MSG(test, cachefiles_map_next_present(&m->map, first, last),
			    find_next_bit(m->present, last + 1, first), "%lu-%lu", first, last);
}

/* Everything that can be asked of the map is as in the model. */
static void map_expect_same(struct kunit *test, struct map_kunit *m)
{
	unsigned long weight = bitmap_weight(m->present, m->nr);
	unsigned long first, start, end, index;
	void *entry;

	KUNIT_EXPECT_EQ(test, m->map.nr_present, weight);
	KUNIT_EXPECT_EQ(test, cachefiles_map_full(&m->map), weight == m->nr);
	/* Each border between present and missing, seen from its left. */
	for (first = 0; first < m->nr; first = end) {
		map_expect_next(test, m, first, m->nr - 1);
		start = find_next_bit(m->present, m->nr, first);
		end = find_next_zero_bit(m->present, m->nr, start);
		if (start < m->nr)
			map_expect_next(test, m, start, m->nr - 1);
	}
	for (index = 0; index < nr_chunks(m); index++) {
		KUNIT_EXPECT_EQ_MSG(test, xa_get_mark(&m->map.chunks, index, CACHEFILES_MAP_DIRTY),
				    test_bit(index, m->dirty), "chunk %lu", index);
		entry = xa_load(&m->map.chunks, index);
		start = index * CHUNK;
		end = start + chunk_nr(m, index);
		if (!entry)
			KUNIT_EXPECT_GE(test, find_next_bit(m->present, end, start), end);
		else if (xa_is_value(entry))
			KUNIT_EXPECT_GE(test, find_next_zero_bit(m->present, end, start), end);
	}
}

/* As for the disk: a little-endian bit per granule, nothing behind the last. */
static void map_model_chunk(struct map_kunit *m, unsigned long index, __le64 *buf)
{
	unsigned int i;

	memset(buf, 0, CACHEFILES_MAP_CHUNK_BYTES);
	for (i = 0; i < chunk_nr(m, index); i++)
		if (test_bit(index * CHUNK + i, m->present))
			((u8 *)buf)[i / 8] |= 1 << i % 8;
}

static void map_store(struct kunit *test, struct map_kunit *m, unsigned long index)
{
	bool any, same;

	map_model_chunk(m, index, m->scratch);
	any = memchr_inv(m->scratch, 0, CACHEFILES_MAP_CHUNK_BYTES);
	/* A chunk may be there without anything in it, but not the other way round. */
	if (cachefiles_map_store_chunk(&m->map, index, m->disk[index])) {
		same = !memcmp(m->disk[index], m->scratch, CACHEFILES_MAP_CHUNK_BYTES);
		KUNIT_ASSERT_TRUE_MSG(test, same, "chunk %lu", index);
	} else {
		KUNIT_ASSERT_FALSE_MSG(test, any, "chunk %lu", index);
	}
	__clear_bit(index, m->dirty);
}

/* As when the object is closed and opened again. */
static void map_reload(struct kunit *test, struct map_kunit *m)
{
	unsigned long index;

	for (index = 0; index < nr_chunks(m); index++)
		map_store(test, m, index);
	cachefiles_map_destroy(&m->map);
	cachefiles_map_init(&m->map, m->nr);
	for (index = 0; index < nr_chunks(m); index++)
		KUNIT_ASSERT_EQ(test, cachefiles_map_load_chunk(&m->map, index, m->disk[index]), 0);
}

/* As when writing back fails: what the disk does not have is missing. */
static void map_restrict(struct kunit *test, struct map_kunit *m, unsigned long index)
{
	unsigned int i;

	KUNIT_ASSERT_EQ(test, cachefiles_map_restrict_chunk(&m->map, index, m->disk[index]), 0);
	for (i = 0; i < chunk_nr(m, index); i++)
		if (!(((u8 *)m->disk[index])[i / 8] & 1 << i % 8))
			__clear_bit(index * CHUNK + i, m->present);
}

static const unsigned long map_sizes[] = {
	0, 1, 63, 64, 65, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, MAX_GRANULES,
};

static void map_size_desc(const unsigned long *nr, char *desc)
{
	snprintf(desc, KUNIT_PARAM_DESC_SIZE, "%lu granules", *nr);
}

KUNIT_ARRAY_PARAM(map_sizes, map_sizes, map_size_desc);

static void map_random(struct kunit *test)
{
	struct map_kunit *m = map_kunit(test, *(const unsigned long *)test->param_value);
	unsigned long first, last;
	int step;

	prandom_seed_state(&m->rnd, m->nr + 1);
	map_expect_same(test, m);
	for (step = 0; m->nr && step < NR_STEPS; step++) {
		/* Short ranges and long ones, and the ends more often than by chance. */
		first = below(m, 8) ? below(m, m->nr) : 0;
		last = first + below(m, min(m->nr - first, 1UL << below(m, 17)));
		if (!below(m, 16))
			last = m->nr - 1;

		switch (below(m, 16)) {
		case 0:
			map_reload(test, m);
			break;
		case 1 ... 2:
			map_restrict(test, m, first / CHUNK);
			break;
		case 3 ... 5:
			map_store(test, m, first / CHUNK);
			break;
		case 6 ... 8:
			map_expect_next(test, m, first, last);
			break;
		default:
			map_set(test, m, first, last);
		}
		map_expect_same(test, m);
		/* What comes after the first mistake tells nothing new. */
		KUNIT_ASSERT_EQ_MSG(test, test->status, KUNIT_SUCCESS, "step %d", step);
	}
}

/* Fill it to the last granule, from the left, in pieces of each length. */
static void map_becomes_full(struct kunit *test)
{
	struct map_kunit *m = map_kunit(test, *(const unsigned long *)test->param_value);
	unsigned long first, last, step = 1, index;

	for (first = 0; first < m->nr; first = last + 1, step += step) {
		KUNIT_EXPECT_FALSE(test, cachefiles_map_full(&m->map));
		last = min(first + step, m->nr) - 1;
		map_set(test, m, first, last);
		map_expect_same(test, m);
		KUNIT_EXPECT_EQ(test, cachefiles_map_next_missing(&m->map, 0, m->nr - 1), last + 1);
	}
	KUNIT_EXPECT_TRUE(test, cachefiles_map_full(&m->map));
	/* Complete chunks cost no memory, dirty ones still are. */
	for (index = 0; index < nr_chunks(m); index++)
		KUNIT_EXPECT_TRUE(test, xa_is_value(xa_load(&m->map.chunks, index)));
	map_reload(test, m);
	map_expect_same(test, m);
	for (index = 0; index < nr_chunks(m); index++)
		KUNIT_EXPECT_TRUE(test, xa_is_value(xa_load(&m->map.chunks, index)));
}

/* Everything but one granule is not everything. */
static void map_one_is_missing(struct kunit *test)
{
	struct map_kunit *m = map_kunit(test, *(const unsigned long *)test->param_value);
	unsigned long last = m->nr - 1;

	KUNIT_EXPECT_EQ(test, cachefiles_map_full(&m->map), !m->nr);
	if (!m->nr)
		return;
	if (last)
		map_set(test, m, 0, last - 1);
	KUNIT_EXPECT_FALSE(test, cachefiles_map_full(&m->map));
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_missing(&m->map, 0, last), last);
	map_reload(test, m);
	KUNIT_EXPECT_FALSE(test, cachefiles_map_full(&m->map));
	map_expect_same(test, m);
	map_set(test, m, last, last);
	KUNIT_EXPECT_TRUE(test, cachefiles_map_full(&m->map));
}

static void map_across_borders(struct kunit *test)
{
	struct map_kunit *m = map_kunit(test, MAX_GRANULES);

	map_set(test, m, CHUNK - 1, CHUNK);
	map_expect_same(test, m);
	/* The chunk in the middle at once, with a granule on both sides. */
	map_set(test, m, CHUNK - 1, 2 * CHUNK);
	map_expect_same(test, m);
	KUNIT_EXPECT_TRUE(test, xa_is_value(xa_load(&m->map.chunks, 1)));
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_missing(&m->map, CHUNK - 1, 2 * CHUNK),
			2 * CHUNK + 1);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, 0, CHUNK - 2), CHUNK - 1);
	/* The tail of seven. */
	map_set(test, m, 3 * CHUNK, 3 * CHUNK + 6);
	map_expect_same(test, m);
	KUNIT_EXPECT_TRUE(test, xa_is_value(xa_load(&m->map.chunks, 3)));
	map_set(test, m, 0, MAX_GRANULES - 1);
	KUNIT_EXPECT_TRUE(test, cachefiles_map_full(&m->map));
	map_expect_same(test, m);
}

/* Setting what is set makes nothing dirty and counts nothing. */
static void map_set_again(struct kunit *test)
{
	struct map_kunit *m = map_kunit(test, MAX_GRANULES);

	map_set(test, m, 5, CHUNK + 5);
	map_store(test, m, 0);
	map_store(test, m, 1);
	map_set(test, m, 6, CHUNK + 4);
	KUNIT_EXPECT_FALSE(test, xa_marked(&m->map.chunks, CACHEFILES_MAP_DIRTY));
	map_expect_same(test, m);
	map_set(test, m, 5, CHUNK + 6);
	KUNIT_EXPECT_FALSE(test, xa_get_mark(&m->map.chunks, 0, CACHEFILES_MAP_DIRTY));
	KUNIT_EXPECT_TRUE(test, xa_get_mark(&m->map.chunks, 1, CACHEFILES_MAP_DIRTY));
}

/* The disk may say anything about granules that are not: nobody hears it. */
static void map_load_beyond_the_end(struct kunit *test)
{
	struct map_kunit *m = map_kunit(test, CHUNK + 7);

	memset(m->scratch, 0xff, sizeof(m->scratch));
	m->scratch[0] = cpu_to_le64(~BIT_ULL(3));
	KUNIT_ASSERT_EQ(test, cachefiles_map_load_chunk(&m->map, 1, m->scratch), 0);
	bitmap_set(m->present, CHUNK, 7);
	__clear_bit(CHUNK + 3, m->present);
	map_expect_same(test, m);
	map_set(test, m, CHUNK + 3, CHUNK + 3);
	KUNIT_EXPECT_TRUE(test, xa_is_value(xa_load(&m->map.chunks, 1)));
	map_store(test, m, 1);
	map_expect_same(test, m);

	/* And nothing but that is nothing. */
	cachefiles_map_destroy(&m->map);
	cachefiles_map_init(&m->map, CHUNK + 7);
	bitmap_zero(m->present, MAX_GRANULES);
	m->scratch[0] = cpu_to_le64(~GENMASK_ULL(6, 0));
	KUNIT_ASSERT_EQ(test, cachefiles_map_load_chunk(&m->map, 1, m->scratch), 0);
	map_expect_same(test, m);
}

static void map_restrict_to_the_disk(struct kunit *test)
{
	struct map_kunit *m = map_kunit(test, MAX_GRANULES);

	map_set(test, m, 10, 20);
	map_store(test, m, 0);
	/* Complete, and then it turns out that the disk has only the first part. */
	map_set(test, m, 0, CHUNK + 20);
	map_restrict(test, m, 0);
	map_expect_same(test, m);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, 0, CHUNK - 1), 10);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_missing(&m->map, 10, CHUNK - 1), 21);
	/* The neighbour is as it was, and a chunk without anything loses nothing. */
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_missing(&m->map, CHUNK, 2 * CHUNK), CHUNK + 21);
	map_restrict(test, m, 2);
	map_expect_same(test, m);
	/* It can be completed again. */
	map_set(test, m, 0, MAX_GRANULES - 1);
	KUNIT_EXPECT_TRUE(test, cachefiles_map_full(&m->map));
	map_restrict(test, m, 3);
	KUNIT_EXPECT_FALSE(test, cachefiles_map_full(&m->map));
	map_expect_same(test, m);
}

/* The most that an object can have: 2^63 bytes, of which hardly anything is there. */
static void map_is_huge(struct kunit *test)
{
	const unsigned long nr = 1UL << 51, far = nr / 2 + 5;
	struct map_kunit *m = map_kunit(test, nr);
	unsigned long pos = 0;

	KUNIT_EXPECT_TRUE(test, cachefiles_map_seek(&m->map, &pos, nr - 1, true));
	KUNIT_EXPECT_EQ(test, pos, nr);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, 0, nr - 1), nr);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_missing(&m->map, 7, nr - 1), 7);

	KUNIT_ASSERT_EQ(test, cachefiles_map_prepare(&m->map, far, far), 0);
	KUNIT_ASSERT_EQ(test, cachefiles_map_prepare(&m->map, nr - 1, nr - 1), 0);
	KUNIT_EXPECT_EQ(test, cachefiles_map_set(&m->map, far, far), 1);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, 0, nr - 1), far);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, 0, far), far);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, 0, far - 1), far);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, far + 1, nr - 1), nr);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_missing(&m->map, far, nr - 1), far + 1);
	KUNIT_EXPECT_EQ(test, cachefiles_map_set(&m->map, nr - 1, nr - 1), 1);
	KUNIT_EXPECT_EQ(test, cachefiles_map_next_present(&m->map, far + 1, nr - 1), nr - 1);
}

/* Chunks that are there one after the other are not all looked at in one step. */
static void map_seek_in_steps(struct kunit *test)
{
	const unsigned long nr = 200 * CHUNK, last = nr - 1;
	struct map_kunit *m = map_kunit(test, nr);
	unsigned long pos, before;
	int present, steps;

	KUNIT_ASSERT_EQ(test, cachefiles_map_prepare(&m->map, 0, last), 0);
	for (present = 1; present >= 0; present--) {
		/* All are empty, then all but the last granule are present. */
		if (!present)
			cachefiles_map_set(&m->map, 0, last - 1);
		before = 0;
		pos = 3;
		for (steps = 1; !cachefiles_map_seek(&m->map, &pos, last, present); steps++) {
			KUNIT_ASSERT_GT(test, pos, before);
			before = pos;
		}
		KUNIT_EXPECT_EQ(test, pos, present ? nr : last);
		KUNIT_EXPECT_GT(test, steps, 1);
		KUNIT_EXPECT_LT(test, steps, 20);
	}
}

static int map_kunit_init(struct kunit *test)
{
	struct map_kunit *m = kunit_kzalloc(test, sizeof(*m), GFP_KERNEL);

	if (!m)
		return -ENOMEM;
	cachefiles_map_init(&m->map, 0);
	test->priv = m;
	return 0;
}

static void map_kunit_exit(struct kunit *test)
{
	struct map_kunit *m = test->priv;

	if (m)
		cachefiles_map_destroy(&m->map);
}

static struct kunit_case map_cases[] = {
	KUNIT_CASE_PARAM(map_random, map_sizes_gen_params),
	KUNIT_CASE_PARAM(map_becomes_full, map_sizes_gen_params),
	KUNIT_CASE_PARAM(map_one_is_missing, map_sizes_gen_params),
	KUNIT_CASE(map_across_borders),
	KUNIT_CASE(map_set_again),
	KUNIT_CASE(map_load_beyond_the_end),
	KUNIT_CASE(map_restrict_to_the_disk),
	KUNIT_CASE(map_is_huge),
	KUNIT_CASE(map_seek_in_steps),
	{}
};

static struct kunit_suite map_suite = {
	.name		= "cachefiles_ondemand_map",
	.init		= map_kunit_init,
	.exit		= map_kunit_exit,
	.test_cases	= map_cases,
};

kunit_test_suite(map_suite);
