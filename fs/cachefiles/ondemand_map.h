/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The presence map of an on-demand object, see ondemand_map.c */
#ifndef _CACHEFILES_ONDEMAND_MAP_H
#define _CACHEFILES_ONDEMAND_MAP_H

#include <linux/xarray.h>

/**
 * struct cachefiles_map - which granules of an object are present
 * @chunks: bitmaps of CACHEFILES_MAP_CHUNK_BITS granules each; NULL stands for
 *	none present, a value entry for all.  CACHEFILES_MAP_DIRTY marks what
 *	differs from the map on disk
 * @nr: granules in the object
 * @nr_present: how many are present
 *
 * Setting and testing are serialised by the caller.
 */
struct cachefiles_map {
	struct xarray	chunks;
	unsigned long	nr;
	unsigned long	nr_present;
};

#define CACHEFILES_MAP_CHUNK_BYTES	4096
#define CACHEFILES_MAP_CHUNK_BITS	(CACHEFILES_MAP_CHUNK_BYTES * BITS_PER_BYTE)
#define CACHEFILES_MAP_DIRTY		XA_MARK_0

void cachefiles_map_init(struct cachefiles_map *map, unsigned long nr);
void cachefiles_map_destroy(struct cachefiles_map *map);
int cachefiles_map_prepare(struct cachefiles_map *map, unsigned long first, unsigned long last);
unsigned long cachefiles_map_set(struct cachefiles_map *map, unsigned long first,
				 unsigned long last);
bool cachefiles_map_seek(struct cachefiles_map *map, unsigned long *pos, unsigned long last,
			 bool present);
unsigned long cachefiles_map_next_missing(struct cachefiles_map *map, unsigned long first,
					  unsigned long last);
unsigned long cachefiles_map_next_present(struct cachefiles_map *map, unsigned long first,
					  unsigned long last);
bool cachefiles_map_store_chunk(struct cachefiles_map *map, unsigned long index, __le64 *buf);
int cachefiles_map_load_chunk(struct cachefiles_map *map, unsigned long index, const __le64 *buf);
int cachefiles_map_restrict_chunk(struct cachefiles_map *map, unsigned long index,
				  const __le64 *buf);

static inline bool cachefiles_map_full(const struct cachefiles_map *map)
{
	return map->nr_present == map->nr;
}

#endif /* _CACHEFILES_ONDEMAND_MAP_H */
