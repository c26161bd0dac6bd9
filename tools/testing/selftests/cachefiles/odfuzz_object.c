// SPDX-License-Identifier: GPL-2.0
/*
 * The objects of a daemon.  An fd is closed when nobody uses it any more: its
 * number can then be that of another object's fd, and bytes would go astray.
 */
#include <string.h>
#include <unistd.h>

#include "odfuzz.h"

static __u64 name_of(const struct cf_msg *m)
{
	__u64 hash = 0;
	const char *p;

	for (p = m->volume; *p; p++)
		hash = fz_mix(hash ^ *p);
	hash = fz_mix(hash);
	for (p = m->key; *p; p++)
		hash = fz_mix(hash ^ *p);
	return hash;
}

static bool is_free(const struct fz_object *o)
{
	return !o->id || (!o->users && o->fd < 0);
}

/* A slot for a new one; the fd of another one is closed if there is none. */
static struct fz_object *find_slot(struct fz_daemon *d, __u32 id)
{
	struct fz_object *o, *idle = NULL;

	for (o = d->object; o < d->object + FZ_OBJECTS; o++)
		if (is_free(o))
			return o;
	for (o = d->object; o < d->object + FZ_OBJECTS; o++)
		if (!o->users && (!idle || o->id < idle->id))
			idle = o;
	if (idle) {
		close(idle->fd);
		idle->fd = -1;
	}
	return idle;
}

/* An OPEN: its object with a use, or NULL if it can't be kept. */
struct fz_object *fz_object_add(struct fz_daemon *d, const struct cf_msg *m)
{
	__u8 bit = 1 << m->object % 8, *seen = &d->seen[m->object % 65536 / 8];
	__u64 name = name_of(m);
	struct fz_object *o;
	bool again = false;

	pthread_mutex_lock(&d->lock);
	for (o = d->object; o < d->object + FZ_OBJECTS; o++) {
		if (o->id == m->object && *seen & bit)
			fz_fail("object id %u comes twice", m->object);
		if (o->id && o->name == name && !o->gone)
			again = true;
	}
	o = find_slot(d, m->object);
	if (o) {
		o->id = m->object;
		o->fd = m->fd;
		o->users = 1;
		o->closing = false;
		o->gone = false;
		o->full = false;
		o->name = name;
		o->blob = fz_find_blob(m->key);
		o->size = -1;
	}
	*seen |= bit;
	pthread_mutex_unlock(&d->lock);
	if (again)
		fz_count("OPEN again");
	if (!o)
		close(m->fd);
	return o;
}

/* Has there been an OPEN with this id? */
bool fz_object_seen(struct fz_daemon *d, __u32 id)
{
	bool seen;

	pthread_mutex_lock(&d->lock);
	seen = d->seen[id % 65536 / 8] & (1 << id % 8);
	pthread_mutex_unlock(&d->lock);
	return seen;
}

static bool is_usable(const struct fz_object *o)
{
	return o->id && o->fd >= 0 && !o->closing;
}

struct fz_object *fz_object_get(struct fz_daemon *d, __u32 id)
{
	struct fz_object *o, *found = NULL;

	pthread_mutex_lock(&d->lock);
	for (o = d->object; !found && o < d->object + FZ_OBJECTS; o++) {
		if (o->id == id && is_usable(o)) {
			o->users++;
			found = o;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return found;
}

/* Any one whose fd is open. */
struct fz_object *fz_object_any(struct fz_daemon *d, struct fz_worker *w)
{
	struct fz_object *o = NULL;
	int i, at = fz_below(w, FZ_OBJECTS);

	pthread_mutex_lock(&d->lock);
	for (i = 0; i < FZ_OBJECTS; i++, at++) {
		if (is_usable(&d->object[at % FZ_OBJECTS])) {
			o = &d->object[at % FZ_OBJECTS];
			o->users++;
			break;
		}
	}
	pthread_mutex_unlock(&d->lock);
	return o;
}

void fz_object_put(struct fz_daemon *d, struct fz_object *o)
{
	int fd = -1;

	pthread_mutex_lock(&d->lock);
	if (!--o->users && o->closing && o->fd >= 0) {
		fd = o->fd;
		o->fd = -1;
	}
	pthread_mutex_unlock(&d->lock);
	if (fd >= 0)
		close(fd);
}

/* To be closed by its last user. */
void fz_object_close(struct fz_daemon *d, struct fz_object *o, bool gone)
{
	pthread_mutex_lock(&d->lock);
	o->closing = true;
	o->gone |= gone;
	pthread_mutex_unlock(&d->lock);
}

/* All fds at once, but for those that are in use. */
void fz_objects_lose(struct fz_daemon *d)
{
	struct fz_object *o;

	for (o = d->object; o < d->object + FZ_OBJECTS; o++) {
		pthread_mutex_lock(&d->lock);
		o->users++;
		o->closing = true;
		pthread_mutex_unlock(&d->lock);
		fz_object_put(d, o);
	}
}

/* An answer for later, of this daemon or of the next one. */
void fz_put_off(struct fz_daemon *d, __u32 op, __u32 id, __u32 object, long long size)
{
	unsigned int nr = __atomic_fetch_add(&fz->nr_stale, 1, __ATOMIC_RELAXED);

	fz->stale[nr % FZ_NELEM(fz->stale)] = id;
	pthread_mutex_lock(&d->lock);
	d->late[d->nr_late++ % FZ_LATE] = (struct fz_late){ op, id, object, size };
	pthread_mutex_unlock(&d->lock);
}

bool fz_take_late(struct fz_daemon *d, struct fz_worker *w, struct fz_late *late)
{
	unsigned int at;

	pthread_mutex_lock(&d->lock);
	at = fz_below(w, d->nr_late < FZ_LATE ? d->nr_late : FZ_LATE);
	*late = d->late[at];
	/* Some are answered many times. */
	if (fz_chance(w, 70))
		d->late[at].id = 0;
	pthread_mutex_unlock(&d->lock);
	return late->id;
}
