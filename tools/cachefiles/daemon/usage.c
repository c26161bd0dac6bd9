// SPDX-License-Identifier: GPL-2.0-or-later
/* What --help prints, for the daemon and for cachefiles-ondemandctl. */
#include <string.h>

#include "usage.h"

#define INDENT 24
#define WIDTH 79

/* Print @text in lines of at most WIDTH, INDENT blanks in front of each. */
static void wrap(FILE *out, const char *text)
{
	int column = INDENT;

	while (*text) {
		int len = strcspn(text, " ");

		if (column > INDENT && column + 1 + len > WIDTH) {
			fprintf(out, "\n%*s", INDENT, "");
			column = INDENT;
		}
		if (column > INDENT) {
			fputc(' ', out);
			column++;
		}
		fprintf(out, "%.*s", len, text);
		column += len;
		text += len;
		while (*text == ' ')
			text++;
	}
	fputc('\n', out);
}

void usage_item(FILE *out, const char *prefix, const char *name,
		const char *arg, const char *text)
{
	char head[64];

	snprintf(head, sizeof(head), "  %s%s%s%s", prefix, name,
		 arg ? " " : "", arg ? arg : "");
	if (strlen(head) < INDENT)
		fprintf(out, "%-*s", INDENT, head);
	else
		fprintf(out, "%s\n%*s", head, INDENT, "");
	wrap(out, text);
}
