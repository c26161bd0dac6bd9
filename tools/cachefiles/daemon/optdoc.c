// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Prints what the man pages say of the options of cachefiles-ondemandd, or with
 * an argument of the commands of cachefiles-ondemandctl, from their own tables.
 */
#include <stdio.h>

#include "ctl.h"
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

static void item(const char *prefix, const char *name, const char *arg,
		 const char *text)
{
	printf(".TP\n.B ");
	roff(prefix);
	roff(name);
	if (arg) {
		printf(" \\fI");
		roff(arg);
		printf("\\fR");
	}
	putchar('\n');
	roff(text);
	putchar('\n');
}

int main(int argc, char **argv)
{
	size_t i;

	(void)argv;
	if (argc > 1)
		for (i = 0; i < VERB_COUNT; i++)
			item("", verb_table[i].name, verb_table[i].arg,
			     verb_table[i].text);
	else
		for (i = 0; i < option_count; i++)
			item("--", option_table[i].name, option_table[i].arg,
			     option_table[i].text);
	return 0;
}
