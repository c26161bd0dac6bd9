/* SPDX-License-Identifier: GPL-2.0 */
/* What is in the files: a function of a file's number and the offset in it. */
#ifndef _CONTENT_H
#define _CONTENT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* splitmix64: every word depends on every bit of its place. */
static inline uint64_t content_mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
	x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
	return x ^ (x >> 31);
}

static inline uint64_t content_word(uint64_t file, uint64_t offset)
{
	return content_mix(file << 40 ^ offset / 8);
}

/* @offset is a multiple of 8. */
static inline void content_fill(void *buf, uint64_t file, uint64_t offset, size_t len)
{
	for (size_t done = 0; done < len; done += 8) {
		uint64_t word = content_word(file, offset + done);

		memcpy((char *)buf + done, &word, len - done < 8 ? len - done : 8);
	}
}

/* How many bytes at the start of @buf are right: @len if all are. */
static inline size_t content_check(const void *buf, uint64_t file, uint64_t offset, size_t len)
{
	for (size_t done = 0; done < len; done += 8) {
		uint64_t word = content_word(file, offset + done);

		if (memcmp((const char *)buf + done, &word, len - done < 8 ? len - done : 8))
			return done;
	}
	return len;
}

#endif /* _CONTENT_H */
