/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stand-ins for the two ends of the server: the kernel, played over a socket
 * pair by the test, in the same process, so that fds in messages are valid; and
 * a source whose requests end when the test says so.
 */
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "cachefiles_ondemand.h"
#include "source.h"

/* Time for what must happen; and for what must not. */
#define FAKE_WAIT_MS 10000
#define FAKE_QUIET_MS 100

/* "ld --wrap=..." has the server call the second ones, which know more. */
int __real_ioctl(int fd, unsigned long cmd, ...);
int __wrap_ioctl(int fd, unsigned long cmd, ...);
ssize_t __real_write(int fd, const void *buf, size_t len);
ssize_t __wrap_write(int fd, const void *buf, size_t len);

/*
 * Make a device: the server's end is returned.  It has all features, and an
 * empty disk.
 */
int fake_device(void);

/* The features that it has from now on. */
void fake_features(uint64_t features);

/*
 * How full the disk is from now on.  "cull" of a file frees its blocks; it
 * fails with EBUSY if the name has "busy" in it, and "inuse" says so.
 */
void fake_disk(const struct cachefiles_space *space);
struct cachefiles_space fake_disk_now(void);

/* Take blocks from it; false if the stop limit keeps them. */
bool fake_disk_take(uint64_t blocks);

/* Have "cull" wait; return how many there were. */
void fake_hold_culls(bool hold);
unsigned int fake_culls(void);

/* Close our end. */
void fake_hang_up(void);

/* Send messages. */
void fake_send(const void *data, size_t len);
void fake_open(uint32_t msg_id, uint32_t object_id, const char *key,
	       size_t key_len, int fd);
void fake_read(uint32_t msg_id, uint32_t object_id, uint64_t off,
	       uint64_t len);
void fake_close(uint32_t msg_id, uint32_t object_id);
void fake_full(uint32_t msg_id, uint32_t object_id);

/* Wait for the next command; empty if none comes in time. */
const char *fake_command(int ms);

/* Wait until a READ is answered; false if it is not in time. */
bool fake_completed(uint32_t msg_id, int ms);

/* The errno that a READ was answered with; 0: completed, or no answer yet. */
int fake_read_error(uint32_t msg_id);

/* Wait until @fd is closed. */
bool fake_fd_closed(int fd);

/* A file that stands for the kernel's fd of an object; nobody else has it. */
int fake_object_fd(const char *path);

/**
 * struct fake_source - a source that the test is in control of
 * @base: what is common to all sources
 * @size: of every blob
 * @hold: keep requests until fake_release()
 * @error: what requests end with
 * @fill_error: if not NULL: called for each block; the error to fill it with
 * @limit: requests that an engine takes at a time; 0: any number
 * @lookups: how many there were
 * @fetches: how many there were
 * @cancelled: how many ended because nobody wanted them
 */
struct fake_source {
	struct source base;
	atomic_ullong size;
	atomic_bool hold;
	atomic_int error;
	int (*fill_error)(void);
	atomic_uint limit;
	atomic_uint lookups;
	atomic_uint fetches;
	atomic_uint cancelled;
};

void fake_source_init(struct fake_source *source, struct stats *stats);

/* Let go what is held. */
void fake_release(struct fake_source *source);

/* The byte at an offset of every blob. */
static inline unsigned char fake_byte(uint64_t off)
{
	return 1 + (off * 2654435761u >> 13) % 255;
}

#endif
