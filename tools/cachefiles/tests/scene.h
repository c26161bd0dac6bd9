/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A server between the two stand-ins of fake.h, and a directory for a test. */
#ifndef SCENE_H
#define SCENE_H

#include "fake.h"
#include "server.h"

#define BLOCK 4096
#define MIB (1024 * 1024)
#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/**
 * struct scene - what is on the stage
 * @config: what the server is started with; zeroed by scene_stop()
 * @server: the server
 * @stats: its counters; zeroed by scene_start()
 * @source: the fake source
 * @dir: a directory of the test's own
 * @object_path: in it: what all objects are filled into
 */
struct scene {
	struct server_config config;
	struct server *server;
	struct stats stats;
	struct fake_source source;
	char dir[64];
	char object_path[80];
};

extern struct scene scene;

/* Make the directory, and keep the log quiet. */
void scene_init(void);

/* Remove it. */
void scene_end(void);

/* Start a server with the kernel's features, all by default; and end it. */
void scene_start(struct source *from, unsigned int threads, uint64_t unit);
int scene_stop(void);

/* A new device, for a scene_start() that follows and keeps its state. */
void scene_device(void);

/* Does this command come? */
bool scene_answered(const char *text);

/* Open an object of the fake source; return its fd in the server's hands. */
int scene_open(uint32_t object_id, const char *answer);

/* Does the object have the blob's bytes in this range, and only there? */
bool scene_filled(uint64_t off, uint64_t end);

#endif
