// SPDX-License-Identifier: GPL-2.0
/* mkfiles PLAN DIRECTORY: makes the files of the plan. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "content.h"
#include "plan.h"

static void make_parents(char *path)
{
	for (char *slash = strchr(path, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		mkdir(path, 0755);
		*slash = '/';
	}
}

static void make_file(const struct plan_file *file)
{
	static char buf[1 << 20];
	int fd = open(file->path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	if (fd < 0)
		err(1, "%s", file->path);
	for (uint64_t done = 0, n; done < file->size; done += n) {
		n = file->size - done < sizeof(buf) ? file->size - done : sizeof(buf);
		content_fill(buf, file->number, done, n);
		if (write(fd, buf, n) != (ssize_t)n)
			err(1, "%s", file->path);
	}
	close(fd);
}

int main(int argc, char **argv)
{
	static struct plan plan;

	if (argc != 3)
		errx(2, "usage: mkfiles PLAN DIRECTORY");
	plan_read(&plan, argv[1]);
	if (chdir(argv[2]))
		err(1, "%s", argv[2]);
	for (size_t i = 0; i < plan.nr; i++) {
		make_parents(plan.files[i].path);
		make_file(&plan.files[i]);
	}
	return 0;
}
