// SPDX-License-Identifier: GPL-2.0
/*
 * What the tests of dying daemons have in common: a cache and an image, the end
 * of a daemon, and the next one.
 */
#include <string.h>
#include <unistd.h>

#include "deaths.h"

int deaths_begin(struct scene *s, const char *how)
{
	memset(s, 0, sizeof(*s));
	s->fd = -1;
	return cf_env_init(&s->env) ?: img_simple(&s->img, DEATHS_FILE) ?: cf_bind(&s->env, how);
}

/* Whoever binds with neither policy leaves nothing that waits or is kept. */
void deaths_end(struct scene *s)
{
	cf_kill_all();
	if (s->env.dev >= 0)
		cf_dev_close(&s->env);
	cf_bind(&s->env, "ondemand");
	scene_fini(s);
}

/* All that the daemon had is closed, as by the end of its process. */
int deaths_die(struct scene *s)
{
	int ret = cf_dev_close(&s->env);

	if (s->fd >= 0)
		close(s->fd);
	s->fd = -1;
	return ret;
}

/* A read of the file, with its bytes compared. */
int deaths_read(struct scene *s, __u64 off, size_t len)
{
	struct cf_task t;

	return scene_read_start(s, &t, off, len) ?: scene_check(s, &t, off, len);
}

/* The next daemon: an honest one, for two images of the same content. */
int deaths_next_daemon(struct scene *s, struct od_server *srv, const char *how)
{
	int ret = cf_bind(&s->env, how);

	if (ret)
		return ret;
	od_init(srv, s->env.dev);
	od_add(srv, "img", s->img.data, s->img.size);
	od_add(srv, "other", s->img.data, s->img.size);
	return od_run(srv, 1);
}
