// SPDX-License-Identifier: GPL-2.0
/*
 * The steps of tests with a disk that fails.
 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "diskscene.h"

static struct disk_scene *scene_of(struct od_server *srv)
{
	return (void *)((char *)srv - offsetof(struct disk_scene, srv));
}

static void name_of(int i, char *name, size_t len)
{
	snprintf(name, len, "blob%d", i);
}

/* A size that the disk refuses is no mistake of the daemon. */
static void open_and_note(struct od_server *srv, struct od_object *o,
			  const struct cf_msg *m)
{
	int ret = cf_copen(srv->dev, m->id, o->blob ? (long long)o->blob->size : -ENOENT);

	if (ret)
		scene_of(srv)->open_error = ret;
}

static int fill_and_note(struct od_server *srv, struct od_object *o, __u64 off,
			 __u64 len)
{
	struct disk_scene *s = scene_of(srv);
	bool *asked = s->asked[o->blob - srv->blob];
	int ret;

	memset(asked + off / GRANULE, 1, granules(len));
	ret = od_fill(srv, o, off, len);
	if (ret)
		s->fill_error = ret;
	return 0;
}

static const struct od_ops ops = { open_and_note, fill_and_note, od_reply };

int ds_bind(struct disk_scene *s)
{
	char name[16];
	int i, ret;

	ret = cf_bind(&s->env, "ondemand");
	if (ret)
		return ret;
	memset(s->asked, 0, sizeof(s->asked));
	od_init(&s->srv, s->env.dev);
	s->srv.ops = &ops;
	for (i = 0; i < DS_BLOBS; i++) {
		name_of(i, name, sizeof(name));
		od_add(&s->srv, name, s->img[i].data, s->img[i].size);
	}
	return od_run(&s->srv, 1);
}

int ds_unbind(struct disk_scene *s)
{
	int ret = od_stop(&s->srv);

	return cf_dev_close(&s->env) ?: ret;
}

/* All but the bind; -EOPNOTSUPP if there can be no such disk. */
int ds_init(struct disk_scene *s, const char *ext4, const char *options)
{
	int i, ret;

	memset(s, 0, sizeof(*s));
	ret = cf_env_init(&s->env);
	for (i = 0; !ret && i < DS_BLOBS; i++) {
		ret = img_simple(&s->img[i], DS_FILE);
		if (!ret)
			img_pattern(s->img[i].data + ds_pos(s, i), DS_FILE, 77 + i);
	}
	return ret ?: disk_make(&s->disk, &s->env, ext4, options);
}

void ds_fini(struct disk_scene *s)
{
	cf_kill_all();
	/* It would read from whatever has its device's number next. */
	if (s->srv.nr_threads)
		od_stop(&s->srv);
	if (s->env.dev >= 0)
		close(s->env.dev);
	s->env.dev = -1;
	disk_fini(&s->disk, &s->env);
	cf_env_fini(&s->env);
}

/* Mount it, and have its metadata read. */
int ds_mount(struct disk_scene *s, int i)
{
	char name[16];
	int ret;

	name_of(i, name, sizeof(name));
	ret = cf_mount(&s->env, name, "fsid=%s", name);
	if (ret)
		return ret;
	ret = ds_read(s, i, 0, 0);
	if (ret)
		ds_umount(s, i);
	return ret;
}

int ds_umount(struct disk_scene *s, int i)
{
	char name[16];

	name_of(i, name, sizeof(name));
	return cf_umount(&s->env, name, 0);
}

/* 0 if all bytes came and are right. */
int ds_read(struct disk_scene *s, int i, __u64 off, size_t len)
{
	static char buf[DS_FILE];
	char path[32];
	long ret;

	snprintf(path, sizeof(path), "blob%d/f00", i);
	ret = cf_read(&s->env, path, off, len, buf);
	if (ret < 0)
		return ret;
	if (ret != (long)len)
		return -EMSGSIZE;
	return memcmp(buf, s->img[i].data + ds_pos(s, i) + off, len) ? -EILSEQ : 0;
}

/*
 * Unmount it, so that all of it is flushed, have it survive whatever happens to
 * the machine, and mount it without anything in the page cache.
 */
int ds_remount(struct disk_scene *s, int i)
{
	char name[16];
	int fd, ret;

	name_of(i, name, sizeof(name));
	ret = ds_umount(s, i) ?:
	      cachefile_wait_closed(s->env.dev, s->env.root, name);
	if (ret)
		return ret;
	fd = ds_cachefile(s, i);
	if (fd < 0)
		return fd;
	ret = fsync(fd) < 0 ? -errno : 0;
	close(fd);
	memset(s->asked[i], 0, sizeof(s->asked[i]));
	return ret ?: cf_drop_caches() ?: ds_mount(s, i);
}

/* Mount it with all of its file there. */
int ds_fetch(struct disk_scene *s, int i)
{
	return ds_mount(s, i) ?: ds_read(s, i, 0, DS_FILE) ?: ds_remount(s, i);
}

/* 0 if all of its file is there, and nothing was asked for since the remount. */
int ds_is_complete(struct disk_scene *s, int i)
{
	return ds_read(s, i, 0, DS_FILE) ?:
	       ds_asked(s, i, 0, DS_FILE) ? -EPROTO : 0;
}

/* The latest fd: others may wait for their CLOSE. */
int ds_fd(struct disk_scene *s, int i)
{
	struct od_object *o, *last = NULL;

	for (o = s->srv.object; o < s->srv.object + OD_MAX_OBJECTS; o++)
		if (o->id && !o->closed && o->blob == &s->srv.blob[i] &&
		    (!last || o->id > last->id))
			last = o;
	return last ? last->fd : -1;
}

int ds_fill(struct disk_scene *s, int i, __u64 off, size_t len)
{
	return cf_fill(ds_fd(s, i), s->img[i].data, ds_pos(s, i) + off, len);
}

int ds_wait_present(struct disk_scene *s, int i, __u64 off, size_t len)
{
	char name[16];

	name_of(i, name, sizeof(name));
	return cachefile_wait_present(s->env.root, name, s->img[i].size,
				      ds_pos(s, i) + off, len);
}

int ds_cachefile(struct disk_scene *s, int i)
{
	char name[16];

	name_of(i, name, sizeof(name));
	return cachefile_open(s->env.root, name, O_RDWR);
}

bool ds_asked(struct disk_scene *s, int i, __u64 off, size_t len)
{
	__u64 first = (ds_pos(s, i) + off) / GRANULE;

	return memchr(s->asked[i] + first, 1, granules(len));
}

struct job {
	char		path[256];
	const char	*data;
	__u64		end_ms;
};

/* The right bytes, or EIO, which is counted; nothing of it from the page cache. */
static long read_loop(void *arg, struct cf_out *out)
{
	static char buf[20000];
	struct job *job = arg;
	unsigned int seed = getpid();
	int fd, errors = 0;

	fd = open(job->path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while (cf_now_ms() < job->end_ms) {
		__u64 off;
		ssize_t n;

		seed = seed * 1103515245 + 12345;
		off = (seed >> 8) % (DS_FILE - sizeof(buf));
		n = pread(fd, buf, 1 + (seed >> 16) % sizeof(buf), off);
		if (n < 0 && errno != EIO)
			return -errno;
		if (n < 0)
			errors++;
		else if (memcmp(buf, job->data + off, n))
			return -EILSEQ;
		if (seed >> 28 == 0)
			cf_drop_caches();
		posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
		usleep(1000);
	}
	return errors;
}

/* Read for so long, at random; cf_wait() gives the number of EIOs. */
int ds_reader(struct disk_scene *s, int i, struct cf_task *t, int ms)
{
	struct job job = { .end_ms = cf_now_ms() + ms };

	snprintf(job.path, sizeof(job.path), "%s/blob%d/f00", s->env.tmp, i);
	job.data = s->img[i].data + ds_pos(s, i);
	return cf_start(t, read_loop, &job, 0);
}
