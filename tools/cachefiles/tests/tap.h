/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Results in the form of the Test Anything Protocol. */
#ifndef TAP_H
#define TAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#ifndef __printf
#define __printf(fmt, args) __attribute((format(printf, fmt, args)))
#endif

static int tap_count;
static int tap_failed;

/* One result; @name in the manner of printf(). */
__printf(2, 3)
static bool ok(bool good, const char *name, ...)
{
	va_list args;

	printf("%sok %d - ", good ? "" : "not ", ++tap_count);
	va_start(args, name);
	vprintf(name, args);
	va_end(args);
	putchar('\n');
	fflush(stdout);
	if (!good)
		tap_failed++;
	return good;
}

/* The exit code, after the plan was printed. */
static int tap_end(void)
{
	printf("1..%d\n", tap_count);
	return tap_failed != 0;
}

#endif
