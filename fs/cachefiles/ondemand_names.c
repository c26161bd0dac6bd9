// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Volumes and objects by name, and how long they live.
 *
 * An object is found by name as long as its cache file is open, so a name never
 * has two.  When its last user has gone it is dropped: it can't be used again,
 * and who wants the name waits until the file has been closed, which depends on
 * the local disk only.
 */
#include <linux/slab.h>
#include <linux/fscache-cache.h>
#include "internal.h"

/* Keys become file names, and "." or ".." with a letter before are harmless. */
static bool cachefiles_key_ok(const char *key, size_t max)
{
	size_t len = strlen(key);

	if (!len || len > max)
		return false;
	while (*key)
		if (*key == '/' || !isascii(*key) || !isgraph(*key++))
			return false;
	return true;
}

/* fscache hashes keys padded with zeros to whole words. */
static u32 cachefiles_key_hash(u32 salt, const void *key, size_t len)
{
	u8 buf[round_up(NAME_MAX + 2, sizeof(__le32))] = {};

	memcpy(buf, key, len);
	return fscache_hash(salt, buf, round_up(len, sizeof(__le32)));
}

static u32 cachefiles_volume_hash(const char *key, size_t len)
{
	u8 buf[NAME_MAX + 2] = { len };

	/* fscache keeps the length in front and a NUL behind. */
	memcpy(buf + 1, key, len);
	return cachefiles_key_hash(0, buf, len + 2);
}

static struct cachefiles_od_volume *cachefiles_od_volume_get(struct cachefiles_ondemand *od,
							     const char *key)
{
	struct cachefiles_od_volume *volume;
	size_t len = strlen(key);

	lockdep_assert_held(&od->names_mutex);
	list_for_each_entry(volume, &od->volumes, link) {
		if (!strcmp(volume->key, key)) {
			refcount_inc(&volume->ref);
			return volume;
		}
	}

	volume = kzalloc_flex(*volume, key, len + 1);
	if (!volume)
		return ERR_PTR(-ENOMEM);
	refcount_set(&volume->ref, 1); /* the caller's */
	xa_init(&volume->fanout);
	volume->od = od;
	volume->key_size = len + 1;
	memcpy(volume->key, key, len + 1);
	volume->key_hash = cachefiles_volume_hash(key, len);
	refcount_inc(&od->ref);
	list_add(&volume->link, &od->volumes);
	return volume;
}

static void cachefiles_od_volume_put(struct cachefiles_od_volume *volume)
{
	struct cachefiles_ondemand *od = volume->od;

	if (!refcount_dec_and_mutex_lock(&volume->ref, &od->names_mutex))
		return;
	list_del(&volume->link);
	cachefiles_store_release_volume(volume);
	mutex_unlock(&od->names_mutex);
	kfree(volume);
	cachefiles_ondemand_put(od);
}

static struct cachefiles_od_object *cachefiles_od_object_find(struct cachefiles_od_volume *volume,
							      const char *key, u32 hash)
{
	struct cachefiles_od_object *object;

	hash_for_each_possible(volume->od->objects, object, hash, hash)
		if (object->volume == volume && !strcmp(object->key, key))
			return object;
	return NULL;
}

static struct cachefiles_od_object *cachefiles_od_object_add(struct cachefiles_od_volume *volume,
							     const char *key, u32 hash)
{
	struct cachefiles_ondemand *od = volume->od;
	size_t len = strlen(key);
	struct cachefiles_od_object *object = kzalloc_flex(*object, key, len + 1);

	if (!object)
		return ERR_PTR(-ENOMEM);
	object->close_req = cachefiles_req_alloc(&od->reqs, CACHEFILES_OP_CLOSE, NULL, NULL);
	refcount_set(&object->ref, 1); /* the users'; put when the file has been closed */
	spin_lock_init(&object->lock);
	mutex_init(&object->fill_mutex);
	mutex_init(&object->seek_mutex);
	init_waitqueue_head(&object->open_wq);
	INIT_LIST_HEAD(&object->held);
	INIT_DELAYED_WORK(&object->flush_work, cachefiles_store_flush_work);
	object->state = CACHEFILES_OD_CLOSED;
	object->inflight = RB_ROOT_CACHED;
	object->reads = RB_ROOT_CACHED;
	object->size = -1;
	object->stored_size = -1;
	cachefiles_map_init(&object->map, 0);
	object->key_size = len + 1;
	memcpy(object->key, key, len + 1);
	object->key_hash = hash;
	refcount_inc(&volume->ref);
	object->volume = volume;
	hash_add(od->objects, &object->hash, hash);
	return object;
}

/**
 * cachefiles_od_object_use - become a user of an object
 * @od: the instance
 * @volume_key: its volume
 * @key: its key
 *
 * The object is made if it is not in use.  Whether there is such a blob turns
 * out with cachefiles_od_object_open(), and nothing is made on disk before.
 *
 * Context: may sleep, killably.
 * Return: the object, or as an ERR_PTR(): -EINVAL for a key that can't be a file
 * name, -EINTR if the task was killed, or -ENOMEM.
 */
struct cachefiles_od_object *cachefiles_od_object_use(struct cachefiles_ondemand *od,
						      const char *volume_key, const char *key)
{
	struct cachefiles_od_object *object;
	struct cachefiles_od_volume *volume;
	unsigned int nr_dropped;
	bool busy;
	u32 hash;

	if (!cachefiles_key_ok(volume_key, CACHEFILES_VOLUME_KEY_MAX) ||
	    !cachefiles_key_ok(key, CACHEFILES_KEY_MAX))
		return ERR_PTR(-EINVAL);

	for (;;) {
		if (mutex_lock_killable(&od->names_mutex))
			return ERR_PTR(-EINTR);
		volume = cachefiles_od_volume_get(od, volume_key);
		if (IS_ERR(volume)) {
			mutex_unlock(&od->names_mutex);
			return ERR_CAST(volume);
		}
		hash = cachefiles_key_hash(volume->key_hash, key, strlen(key));
		object = cachefiles_od_object_find(volume, key, hash);
		if (!object)
			object = cachefiles_od_object_add(volume, key, hash);
		busy = !IS_ERR(object) && object->dropped;
		if (!IS_ERR(object) && !busy)
			object->users++;
		nr_dropped = od->nr_dropped;
		mutex_unlock(&od->names_mutex);

		cachefiles_od_volume_put(volume);
		if (!busy)
			return object;
		if (wait_event_killable(od->drop_wq, READ_ONCE(od->nr_dropped) != nr_dropped))
			return ERR_PTR(-EINTR);
	}
}

/**
 * cachefiles_od_object_unuse - cease to be a user of an object
 * @object: the object
 *
 * Context: may sleep.
 */
void cachefiles_od_object_unuse(struct cachefiles_od_object *object)
{
	/* The mutex must be there until it has been unlocked. */
	cachefiles_od_object_get(object);
	scoped_guard(mutex, &cachefiles_od(object)->names_mutex) {
		if (!--object->users) {
			object->dropped = true;
			cachefiles_od_object_drop(object);
		}
	}
	cachefiles_od_object_put(object);
}

/**
 * cachefiles_od_object_forget - the file of a dropped object has been closed
 * @object: the object
 *
 * Frees its name, and puts the reference that its users had.
 *
 * Context: may sleep.
 */
void cachefiles_od_object_forget(struct cachefiles_od_object *object)
{
	struct cachefiles_ondemand *od = cachefiles_od(object);

	scoped_guard(mutex, &od->names_mutex) {
		hash_del(&object->hash);
		WRITE_ONCE(od->nr_dropped, od->nr_dropped + 1);
	}
	wake_up_all(&od->drop_wq);
	cachefiles_od_object_put(object);
}

/**
 * cachefiles_od_object_put - drop a reference to an object
 * @object: the object
 *
 * Context: may sleep if this is the last one.
 */
void cachefiles_od_object_put(struct cachefiles_od_object *object)
{
	if (!refcount_dec_and_test(&object->ref))
		return;
	WARN_ON_ONCE(object->file);
	WARN_ON_ONCE(!RB_EMPTY_ROOT(&object->reads.rb_root));
	cachefiles_map_destroy(&object->map);
	cachefiles_req_discard(object->full_req);
	cachefiles_od_volume_put(object->volume);
	cachefiles_fill_forget_parts(object);
	kfree(object);
}
