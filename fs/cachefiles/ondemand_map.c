// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * The presence map of an object: which granules the daemon has filled.
 *
 * It is the only thing that says what is there.  Holes of the backing file
 * system are not asked: extents may be bridged with zeros, or lost.
 */
#include <linux/bitmap.h>
#include <linux/slab.h>
#include "internal.h"

struct cachefiles_map_chunk {
	DECLARE_BITMAP(bits, CACHEFILES_MAP_CHUNK_BITS);
};

#define CACHEFILES_MAP_ALL	xa_mk_value(1)

static unsigned long cachefiles_map_index(unsigned long granule)
{
	return granule / CACHEFILES_MAP_CHUNK_BITS;
}

/* How many granules a chunk stands for; the last one may be short. */
static unsigned int cachefiles_map_chunk_nr(const struct cachefiles_map *map, unsigned long index)
{
	return min(map->nr - index * CACHEFILES_MAP_CHUNK_BITS, CACHEFILES_MAP_CHUNK_BITS);
}

/**
 * cachefiles_map_init - set up a map with nothing present
 * @map: the map
 * @nr: granules in the object
 */
void cachefiles_map_init(struct cachefiles_map *map, unsigned long nr)
{
	xa_init(&map->chunks);
	map->nr = nr;
	map->nr_present = 0;
}

/**
 * cachefiles_map_destroy - free what a map holds
 * @map: the map; afterwards it is an empty one
 */
void cachefiles_map_destroy(struct cachefiles_map *map)
{
	struct cachefiles_map_chunk *chunk;
	unsigned long index;

	xa_for_each(&map->chunks, index, chunk)
		if (!xa_is_value(chunk))
			kfree(chunk);
	xa_destroy(&map->chunks);
}

/**
 * cachefiles_map_prepare - get the memory to mark granules
 * @map: the map
 * @first: first granule
 * @last: last granule, inside the object
 *
 * A range of one chunk or more that was prepared can be marked without memory,
 * as a chunk is never freed but for a value entry.
 *
 * Context: may sleep; callers are serialised.
 * Return: 0 or -ENOMEM.
 */
int cachefiles_map_prepare(struct cachefiles_map *map, unsigned long first, unsigned long last)
{
	unsigned long index;

	for (index = cachefiles_map_index(first); index <= cachefiles_map_index(last); index++) {
		struct cachefiles_map_chunk *chunk;
		int ret;

		if (xa_load(&map->chunks, index))
			continue;
		chunk = kzalloc_obj(*chunk);
		if (!chunk)
			return -ENOMEM;
		ret = xa_err(xa_store(&map->chunks, index, chunk, GFP_KERNEL));
		if (ret) {
			kfree(chunk);
			return ret;
		}
	}
	return 0;
}

/**
 * cachefiles_map_set - mark granules present
 * @map: the map
 * @first: first granule
 * @last: last granule; the range has been prepared
 *
 * Return: how many were not present before.
 */
unsigned long cachefiles_map_set(struct cachefiles_map *map, unsigned long first,
				 unsigned long last)
{
	unsigned long added = 0;

	while (first <= last) {
		unsigned long index = cachefiles_map_index(first);
		unsigned int bit = first % CACHEFILES_MAP_CHUNK_BITS;
		unsigned int nr = min(last - first + 1, CACHEFILES_MAP_CHUNK_BITS - bit);
		unsigned int chunk_nr = cachefiles_map_chunk_nr(map, index);
		struct cachefiles_map_chunk *chunk = xa_load(&map->chunks, index);
		unsigned int old;

		first += nr;
		if (xa_is_value(chunk) || WARN_ON_ONCE(!chunk))
			continue;
		old = bitmap_weight_from(chunk->bits, bit, bit + nr);
		if (old == nr)
			continue;
		added += nr - old;
		bitmap_set(chunk->bits, bit, nr);
		if (bitmap_full(chunk->bits, chunk_nr)) {
			/* A store over an entry needs no memory. */
			xa_store(&map->chunks, index, CACHEFILES_MAP_ALL, 0);
			kfree(chunk);
		}
		xa_set_mark(&map->chunks, index, CACHEFILES_MAP_DIRTY);
	}
	map->nr_present += added;
	return added;
}

/* How many chunks are looked at in one step. */
#define CACHEFILES_MAP_STEP	64

/**
 * cachefiles_map_seek - take a step to the next granule that is (not) present
 * @map: the map
 * @pos: where to begin; moved to where the search has come
 * @last: where to end, inside the object
 * @present: look for one that is present
 *
 * For a range of any length: the caller may unlock the map between the steps.
 *
 * Return: true if @pos is what was looked for, or @last + 1; false if the search
 * goes on from there.
 */
bool cachefiles_map_seek(struct cachefiles_map *map, unsigned long *pos, unsigned long last,
			 bool present)
{
	unsigned int step, end, bit;

	for (step = 0; *pos <= last; step++) {
		unsigned long index = cachefiles_map_index(*pos), base;
		struct cachefiles_map_chunk *chunk;

		if (step == CACHEFILES_MAP_STEP)
			return false;
		/* In an object that is empty it may be very far to the next chunk. */
		chunk = present ? xa_find(&map->chunks, &index, cachefiles_map_index(last),
					  XA_PRESENT) :
				  xa_load(&map->chunks, index);
		base = index * CACHEFILES_MAP_CHUNK_BITS;
		if (!chunk) {
			*pos = present ? last + 1 : *pos;
			return true;
		}
		*pos = max(*pos, base);
		end = min(last - base + 1, CACHEFILES_MAP_CHUNK_BITS);
		if (xa_is_value(chunk))
			bit = present ? *pos - base : end;
		else
			bit = present ? find_next_bit(chunk->bits, end, *pos - base) :
					find_next_zero_bit(chunk->bits, end, *pos - base);
		*pos = base + bit;
		if (bit < end)
			return true;
	}
	return true;
}

static unsigned long cachefiles_map_next(struct cachefiles_map *map, unsigned long first,
					 unsigned long last, bool present)
{
	while (!cachefiles_map_seek(map, &first, last, present))
		;
	return first;
}

/**
 * cachefiles_map_next_missing - find a granule that is not present
 * @map: the map
 * @first: where to begin
 * @last: where to end, inside the object
 *
 * Return: the first one in the range, or @last + 1.
 */
unsigned long cachefiles_map_next_missing(struct cachefiles_map *map, unsigned long first,
					  unsigned long last)
{
	return cachefiles_map_next(map, first, last, false);
}

/**
 * cachefiles_map_next_present - find a granule that is present
 * @map: the map
 * @first: where to begin
 * @last: where to end, inside the object
 *
 * Return: the first one in the range, or @last + 1.
 */
unsigned long cachefiles_map_next_present(struct cachefiles_map *map, unsigned long first,
					  unsigned long last)
{
	return cachefiles_map_next(map, first, last, true);
}

/**
 * cachefiles_map_store_chunk - copy a chunk out, for the disk
 * @map: the map
 * @index: which chunk
 * @buf: CACHEFILES_MAP_CHUNK_BYTES
 *
 * The chunk is clean afterwards.
 *
 * Return: whether there is anything present in it; if not, @buf is not written.
 */
bool cachefiles_map_store_chunk(struct cachefiles_map *map, unsigned long index, __le64 *buf)
{
	struct cachefiles_map_chunk *chunk = xa_load(&map->chunks, index);
	unsigned int i, nr = cachefiles_map_chunk_nr(map, index);
	u64 *words = (__force u64 *)buf;

	xa_clear_mark(&map->chunks, index, CACHEFILES_MAP_DIRTY);
	if (!chunk)
		return false;
	if (xa_is_value(chunk)) {
		memset(buf, 0, CACHEFILES_MAP_CHUNK_BYTES);
		for (i = 0; i < nr; i += 64)
			words[i / 64] = nr - i >= 64 ? U64_MAX : GENMASK_ULL(nr - i - 1, 0);
	} else {
		bitmap_to_arr64(words, chunk->bits, CACHEFILES_MAP_CHUNK_BITS);
	}
	for (i = 0; i < CACHEFILES_MAP_CHUNK_BYTES / sizeof(*buf); i++)
		buf[i] = cpu_to_le64(words[i]);
	return true;
}

/**
 * cachefiles_map_load_chunk - add what the disk says is present
 * @map: the map, not yet in use by others
 * @index: which chunk, inside the map; nothing is present in it
 * @buf: CACHEFILES_MAP_CHUNK_BYTES
 *
 * Context: may sleep.
 * Return: 0 or -ENOMEM.
 */
int cachefiles_map_load_chunk(struct cachefiles_map *map, unsigned long index, const __le64 *buf)
{
	unsigned int i, nr = cachefiles_map_chunk_nr(map, index);
	struct cachefiles_map_chunk *chunk;
	unsigned int weight;
	void *entry;
	int ret;

	if (!memchr_inv(buf, 0, CACHEFILES_MAP_CHUNK_BYTES))
		return 0;
	chunk = kzalloc_obj(*chunk);
	if (!chunk)
		return -ENOMEM;
	for (i = 0; i < nr; i++)
		if (le64_to_cpu(buf[i / 64]) & BIT_ULL(i % 64))
			__set_bit(i, chunk->bits);
	weight = bitmap_weight(chunk->bits, nr);
	entry = chunk;
	if (weight == nr) {
		kfree(chunk);
		entry = CACHEFILES_MAP_ALL;
	}
	ret = xa_err(xa_store(&map->chunks, index, entry, GFP_KERNEL));
	if (ret) {
		if (!xa_is_value(entry))
			kfree(chunk);
		return ret;
	}
	map->nr_present += weight;
	return 0;
}

/**
 * cachefiles_map_restrict_chunk - take back what the disk does not have
 * @map: the map
 * @index: which chunk
 * @buf: CACHEFILES_MAP_CHUNK_BYTES, what may stay
 *
 * Context: does not sleep.
 * Return: 0, or -ENOMEM and everything in the chunk is missing.
 */
int cachefiles_map_restrict_chunk(struct cachefiles_map *map, unsigned long index,
				  const __le64 *buf)
{
	unsigned int i, nr = cachefiles_map_chunk_nr(map, index);
	struct cachefiles_map_chunk *chunk = xa_load(&map->chunks, index);

	if (!chunk)
		return 0;
	if (xa_is_value(chunk)) {
		map->nr_present -= nr;
		chunk = kzalloc_obj(*chunk, GFP_ATOMIC);
		/* A store over an entry needs no memory. */
		xa_store(&map->chunks, index, chunk, 0);
		if (!chunk)
			return -ENOMEM;
		bitmap_set(chunk->bits, 0, nr);
	} else {
		map->nr_present -= bitmap_weight(chunk->bits, nr);
	}
	for (i = 0; i < nr; i++)
		if (!(le64_to_cpu(buf[i / 64]) & BIT_ULL(i % 64)))
			__clear_bit(i, chunk->bits);
	map->nr_present += bitmap_weight(chunk->bits, nr);
	return 0;
}
