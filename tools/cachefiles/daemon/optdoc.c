// SPDX-License-Identifier: GPL-2.0-or-later
/* Prints the OPTIONS of the man page, from the table of options.c. */
#include <stdio.h>

#include "options.h"

/* Text with what roff takes for a command or a hyphen quoted. */
static void roff(const char *text)
{
	for (; *text; text++) {
		if (*text == '-')
			fputs("\\-", stdout);
		else if (*text == '\\')
			fputs("\\e", stdout);
		else
			putchar(*text);
	}
}

int main(void)
{
	size_t i;

	for (i = 0; i < option_count; i++) {
		const struct option_desc *desc = &option_table[i];

		printf(".TP\n.B \\-\\-");
		roff(desc->name);
		if (desc->arg) {
			printf(" \\fI");
			roff(desc->arg);
			printf("\\fR");
		}
		putchar('\n');
		roff(desc->text);
		putchar('\n');
	}
	return 0;
}
