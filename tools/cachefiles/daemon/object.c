// SPDX-License-Identifier: GPL-2.0-or-later
/* The objects that the kernel has open here, by their ids. */
#include <stdlib.h>
#include <unistd.h>

#include "extent.h"
#include "object.h"

void objects_init(struct objects *objects)
{
	int i;

	pthread_mutex_init(&objects->lock, NULL);
	for (i = 0; i < OBJECT_BUCKETS; i++)
		LIST_INIT(&objects->buckets[i]);
}

/* With the table's lock held. */
static struct object *find(struct objects *objects, uint32_t id)
{
	struct object *object;

	LIST_FOREACH(object, &objects->buckets[id % OBJECT_BUCKETS], link)
		if (object->id == id)
			return object;
	return NULL;
}

struct object *objects_add(struct objects *objects, uint32_t id, int fd,
			   struct blob *blob)
{
	struct object *object = calloc(1, sizeof(*object));

	if (!object)
		return NULL;
	object->id = id;
	object->fd = fd;
	object->blob = blob;
	/* The table's and the caller's. */
	atomic_init(&object->refs, 2);
	pthread_mutex_init(&object->lock, NULL);
	LIST_INIT(&object->extents);

	objects_drop(objects, id);
	pthread_mutex_lock(&objects->lock);
	LIST_INSERT_HEAD(&objects->buckets[id % OBJECT_BUCKETS], object, link);
	pthread_mutex_unlock(&objects->lock);
	return object;
}

struct object *objects_get(struct objects *objects, uint32_t id)
{
	struct object *object;

	pthread_mutex_lock(&objects->lock);
	object = find(objects, id);
	if (object)
		atomic_fetch_add(&object->refs, 1);
	pthread_mutex_unlock(&objects->lock);
	return object;
}

bool objects_drop(struct objects *objects, uint32_t id)
{
	struct object *object;

	pthread_mutex_lock(&objects->lock);
	object = find(objects, id);
	if (object)
		LIST_REMOVE(object, link);
	pthread_mutex_unlock(&objects->lock);
	if (!object)
		return false;

	atomic_store(&object->blob->abandoned, true);
	object_put(object);
	return true;
}

void objects_clear(struct objects *objects)
{
	struct object *object;
	int i;

	for (i = 0; i < OBJECT_BUCKETS; i++)
		while ((object = LIST_FIRST(&objects->buckets[i])))
			objects_drop(objects, object->id);
}

void object_put(struct object *object)
{
	if (atomic_fetch_sub(&object->refs, 1) != 1)
		return;
	extents_free(&object->extents);
	close(object->fd);
	blob_free(object->blob);
	pthread_mutex_destroy(&object->lock);
	free(object);
}
