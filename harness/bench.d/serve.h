/* SPDX-License-Identifier: GPL-2.0 */
/* The bench daemon's work: READs, what is fetched for them, and the numbers. */
#ifndef _SERVE_H
#define _SERVE_H

#include <stdbool.h>
#include <stdint.h>

#define PAGE	4096ULL

/**
 * struct blob - what is served
 * @data: its content
 * @bytes: how much of that there is
 * @size: its size as the kernel is told, not less than @bytes
 * @fd: where to write it, of the kernel's latest OPEN
 */
struct blob {
	const char	*data;
	uint64_t	bytes;
	uint64_t	size;
	int		fd;
};

extern struct blob blob;

void serve_start(uint64_t delay_ns, uint64_t unit_bytes);
void serve_read(uint32_t msg_id, uint64_t off, uint64_t len);
void serve_hold(void);
void write_blob(uint64_t off, uint64_t len);
void print_stats(void);

#endif /* _SERVE_H */
