// SPDX-License-Identifier: GPL-2.0-or-later
/* A server between the two stand-ins of fake.h, and a directory for a test. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "scene.h"

struct scene scene = { .config.dev = -1 };

void scene_init(void)
{
	snprintf(scene.dir, sizeof(scene.dir), "/tmp/cfod-server.XXXXXX");
	if (!mkdtemp(scene.dir))
		exit(1);
	snprintf(scene.object_path, sizeof(scene.object_path), "%s/object",
		 scene.dir);
	if (!getenv("VERBOSE"))
		log_init(LOG_LEVEL_ERROR - 1);
}

void scene_end(void)
{
	if (chdir(scene.dir) || system("rm -rf ./*") || rmdir(scene.dir))
		exit(1);
}

void scene_device(void)
{
	scene.config.dev = fake_device();
}

void scene_start(struct source *from, unsigned int threads, uint64_t unit)
{
	memset(&scene.stats, 0, sizeof(scene.stats));
	if (scene.config.dev < 0)
		scene_device();
	scene.config.source = from;
	scene.config.stats = &scene.stats;
	scene.config.threads = threads;
	scene.config.fetch_size = unit;
	if (cfod_features(scene.config.dev, &scene.config.features))
		abort();
	scene.server = server_start(&scene.config);
	if (!scene.server)
		abort();
}

int scene_stop(void)
{
	int ret = server_stop(scene.server);

	close(scene.config.dev);
	scene.config = (struct server_config){ .dev = -1 };
	return ret;
}

bool scene_answered(const char *text)
{
	return !strcmp(fake_command(FAKE_WAIT_MS), text);
}

int scene_open(uint32_t object_id, const char *answer)
{
	int fd = fake_object_fd(scene.object_path);

	fake_open(1, object_id, "blob", 4, fd);
	if (!scene_answered(answer))
		abort();
	return fd;
}

bool scene_filled(uint64_t off, uint64_t end)
{
	int fd = open(scene.object_path, O_RDONLY);
	unsigned char buf[BLOCK];
	uint64_t pos = 0;
	bool good = true;
	ssize_t n, i;

	while ((n = pread(fd, buf, sizeof(buf), pos)) > 0) {
		for (i = 0; i < n; i++, pos++)
			good &= buf[i] == (pos >= off && pos < end ?
					   fake_byte(pos) : 0);
	}
	close(fd);
	return good && pos == end;
}
