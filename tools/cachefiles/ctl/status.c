// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * cachefiles-ondemandctl status: the kernel's lines, each a word and then pairs
 * of a name and a value, for people.  What the pairs are is the kernel's affair.
 */
#include <stdlib.h>
#include <string.h>

#include "ctl.h"

static const char blanks[] = "\n ";

/* A path in which the kernel has escaped blanks and the like: \040. */
static void print_path(const char *path, FILE *out)
{
	while (*path) {
		unsigned char c = *path++;

		if (c == '\\' && strspn(path, "01234567") >= 3) {
			char digits[4] = { path[0], path[1], path[2] };

			c = strtoul(digits, NULL, 8);
			path += 3;
		}
		/* A terminal takes other characters than these for commands. */
		fputc(c < ' ' || c == 0x7f ? '?' : c, out);
	}
}

static void print_bytes(const char *value, FILE *out)
{
	static const char * const units[] = { "bytes", "KiB", "MiB", "GiB", "TiB" };
	double n = strtod(value, NULL);
	unsigned int unit;

	for (unit = 0; n >= 1024 && unit < 4; unit++)
		n /= 1024;
	fprintf(out, unit ? "%.1f %s" : "%.0f %s", n, units[unit]);
}

/* Does @name end so?  Then cut that off. */
static bool ends(char *name, const char *end)
{
	size_t len = strlen(name), end_len = strlen(end);

	if (len <= end_len || strcmp(name + len - end_len, end))
		return false;
	name[len - end_len] = '\0';
	return true;
}

static void print_pair(char *pair, FILE *out)
{
	char *value = strchr(pair, '=');
	bool bytes, ms;
	char *s;

	if (!value) {
		fputs(pair, out);
		return;
	}
	*value++ = '\0';
	bytes = ends(pair, "_bytes");
	ms = ends(pair, "_ms");
	for (s = pair; *s; s++)
		if (*s == '_')
			*s = ' ';
	fprintf(out, "%s ", pair);
	if (bytes)
		print_bytes(value, out);
	else
		fprintf(out, "%s%s", value, ms ? " ms" : "");
}

void ctl_status(FILE *in, FILE *out)
{
	const char *sep;
	char *line = NULL, *word, *next;
	size_t size = 0;
	bool any = false;

	while (getline(&line, &size, in) > 0) {
		word = strtok_r(line, blanks, &next);
		if (!word)
			continue;
		if (!strcmp(word, "cache")) {
			if (any)
				fputc('\n', out);
			word = strtok_r(NULL, blanks, &next);
			print_path(word ? word : "?", out);
			any = true;
		} else {
			fprintf(out, "  %s", word);
		}
		for (sep = ": "; (word = strtok_r(NULL, blanks, &next)); sep = ", ") {
			fputs(sep, out);
			print_pair(word, out);
		}
		fputc('\n', out);
	}
	if (!any)
		fputs("no cache is bound in on-demand mode\n", out);
	free(line);
}
