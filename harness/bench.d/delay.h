/* SPDX-License-Identifier: GPL-2.0 */
/* A store of blobs that takes a fixed time per fetch, for any number at once. */
#ifndef _DELAY_H
#define _DELAY_H

#include <stdint.h>

/**
 * struct fetch - bytes that are on their way from the store
 * @next: the fetch that arrives after it
 * @due: when it arrives
 * @msg_id: the READ that it is for, 0 if it is for a unit
 * @off: first byte
 * @len: how many
 * @first: what is waited for of it begins here
 * @last: and ends here
 */
struct fetch {
	struct fetch	*next;
	uint64_t	due;
	uint32_t	msg_id;
	uint64_t	off;
	uint64_t	len;
	uint64_t	first;
	uint64_t	last;
};

uint64_t now_ns(void);

/* Call @arrived for each fetch, in threads of its own, @delay_ns after delay_add(). */
void delay_start(uint64_t delay_ns, void (*arrived)(struct fetch *fetch));

/* The fetch becomes @arrived's to free. */
void delay_add(struct fetch *fetch);

#endif /* _DELAY_H */
