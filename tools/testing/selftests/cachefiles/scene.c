// SPDX-License-Identifier: GPL-2.0
/*
 * A mounted image whose file is missing, and the steps that most tests take
 * from there.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>

#include "scene.h"

int scene_init(struct scene *s, __u64 file_size)
{
	int ret;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	ret = cf_env_init(&s->env);
	if (!ret)
		ret = img_simple(&s->img, file_size);
	if (!ret)
		ret = cf_bind(&s->env, "ondemand");
	return ret;
}

void scene_fini(struct scene *s)
{
	cf_env_fini(&s->env);
}

/* Take an OPEN; answer it if the size is not 0. */
int scene_open(struct scene *s, long long size)
{
	struct cf_msg m;
	int ret;

	ret = cf_expect(s->env.dev, &m, CACHEFILES_OP_OPEN);
	if (ret)
		return ret;
	s->fd = m.fd;
	s->object = m.object;
	s->open_id = m.id;
	memcpy(s->volume, m.volume, sizeof(s->volume));
	return size ? cf_copen(s->env.dev, m.id, size) : 0;
}

/*
 * Wait for a task that needs metadata only, which is there; acknowledge what
 * was asked for before it was there, so that the queue is empty afterwards.
 */
int scene_absorb(struct scene *s, struct cf_task *t)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	struct cf_msg m;
	int ret;

	for (;;) {
		bool running = cf_running(t, 0);

		ret = cf_next(s->env.dev, &m, running ? 10 : 50);
		if (ret == -ETIME) {
			if (!running)
				return 0;
			if (cf_now_ms() > end)
				return -ETIME;
			continue;
		}
		if (ret)
			return ret;
		if (m.op != CACHEFILES_OP_READ || m.object != s->object) {
			ksft_print_msg("unexpected message, opcode %u\n", m.op);
			return -EPROTO;
		}
		if (m.off + m.size > IMG_DATA_POS) {
			ksft_print_msg("READ %llu+%llu not for metadata\n",
				       (unsigned long long)m.off,
				       (unsigned long long)m.size);
			return -EPROTO;
		}
		ret = cf_complete(s->fd, m.id);
		if (ret)
			return ret;
	}
}

/* With its neighbourhood, so that nothing is asked for any more. */
int scene_fill_metadata(struct scene *s)
{
	return cf_fill(s->fd, s->img.data, 0, IMG_AROUND) ?:
	       cf_fill(s->fd, s->img.data, IMG_DIR_POS, IMG_AROUND);
}

/* Mount on <tmp>/<name>, with the metadata filled and nothing else. */
int scene_mount(struct scene *s, const char *name, const char *fmt, ...)
{
	struct cf_task t;
	char opts[1024];
	va_list ap;
	int ret;

	va_start(ap, fmt);
	vsnprintf(opts, sizeof(opts), fmt, ap);
	va_end(ap);

	ret = cf_mount_start(&s->env, &t, name, "%s", opts);
	if (ret)
		return ret;
	ret = scene_open(s, s->img.size);
	/* The reason for there being no OPEN. */
	if (ret == -ETIME && !cf_running(&t, 0))
		ret = cf_wait(&t, 0);
	if (!ret)
		ret = scene_fill_metadata(s);
	if (!ret)
		ret = scene_absorb(s, &t);
	return ret ?: cf_wait(&t, WAIT_MS);
}

/* Somebody reads from the file. */
int scene_read_start(struct scene *s, struct cf_task *t, __u64 off,
		     size_t len)
{
	return cf_read_start(&s->env, t, SCENE_FILE, off, len);
}

/*
 * A READ of the present object that lies in its only file; other READs of the
 * same readahead may come first.  @off is what it has to cover.
 */
int scene_expect_read(struct scene *s, struct cf_msg *m, __u64 off)
{
	__u64 pos = s->img.file[0].pos + off;
	int ret;

	ret = cf_expect(s->env.dev, m, CACHEFILES_OP_READ);
	if (ret)
		return ret;
	if (m->object != s->object || m->off > pos ||
	    m->off + m->size <= pos || m->off + m->size > s->img.size ||
	    ((m->off + m->size) % GRANULE &&
	     m->off + m->size != s->img.size)) {
		ksft_print_msg("READ %llu+%llu of object %u, not %llu of %u\n",
			       (unsigned long long)m->off,
			       (unsigned long long)m->size, m->object,
			       (unsigned long long)pos, s->object);
		return -EPROTO;
	}
	return 0;
}

/* Be an honest daemon until the task ends. */
int scene_serve(struct scene *s, struct cf_task *t)
{
	__u64 end = cf_now_ms() + WAIT_MS;
	struct cf_msg m;
	int ret;

	while (cf_running(t, 0)) {
		if (cf_now_ms() > end)
			return -ETIME;
		ret = cf_next(s->env.dev, &m, 10);
		if (ret == -ETIME)
			continue;
		if (ret)
			return ret;
		switch (m.op) {
		case CACHEFILES_OP_OPEN:
			s->fd = m.fd;
			s->object = m.object;
			ret = cf_copen(s->env.dev, m.id, s->img.size);
			break;
		case CACHEFILES_OP_READ:
			if (m.object != s->object)
				return -EPROTO;
			ret = cf_fill(s->fd, s->img.data, m.off, m.size) ?:
			      cf_complete(s->fd, m.id);
			break;
		case CACHEFILES_OP_CLOSE:
			s->closed = m.object;
			break;
		}
		if (ret)
			return ret;
	}
	return 0;
}

/* The reader has got just the bytes of the image. */
int scene_check(struct scene *s, struct cf_task *t, __u64 off, size_t len)
{
	struct img_file *f = &s->img.file[0];
	long ret = cf_wait(t, WAIT_MS);

	if (off + len > f->size)
		len = off < f->size ? f->size - off : 0;
	if (ret < 0)
		return ret;
	if ((size_t)ret != len)
		return -EMSGSIZE;
	return memcmp(t->out->buf, s->img.data + f->pos + off, len) ? -EILSEQ :
								      0;
}
