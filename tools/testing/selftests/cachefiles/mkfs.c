// SPDX-License-Identifier: GPL-2.0
/*
 * Runs mkfs.erofs with nothing between: a shell and its helpers take a debug
 * kernel under emulation seconds for each image.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include "mkfs.h"

#define MAX_WORDS	32

const char *mkfs_erofs_name(void)
{
	return getenv("MKFS_EROFS") ?: "mkfs.erofs";
}

static int add_words(char **word, int nr, const char *text)
{
	char *copy = strdup(text), *at;

	if (!copy)
		return -1;
	for (at = strtok(copy, " "); at; at = strtok(NULL, " ")) {
		/* Three more are to come. */
		if (nr == MAX_WORDS - 3)
			return -1;
		word[nr++] = at;
	}
	return nr;
}

/* Its temporary files have to be on the file system of the image. */
static void run(const char *dir, char **word)
{
	int log;

	if (chdir(dir) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
	    mount(".", "/tmp", NULL, MS_BIND, NULL) < 0)
		return;
	log = open("mkfs.log", O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0600);
	if (log < 0 || dup2(log, STDOUT_FILENO) < 0 || dup2(log, STDERR_FILENO) < 0)
		return;
	execvp(*word, word);
}

int mkfs_erofs(const char *dir, const char *options, const char *image,
	       const char *source)
{
	char *word[MAX_WORDS] = {}, last[2][64] = {};
	int nr, status;
	pid_t pid;

	nr = add_words(word, 0, mkfs_erofs_name());
	if (nr > 0)
		nr = add_words(word, nr, options);
	if (nr <= 0 || strlen(image) >= sizeof(last[0]) ||
	    strlen(source) >= sizeof(last[1]))
		return -ENOEXEC;
	word[nr] = strcpy(last[0], image);
	word[nr + 1] = strcpy(last[1], source);
	pid = fork();
	if (!pid) {
		run(dir, word);
		_exit(127);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid || status)
		return -ENOEXEC;
	return 0;
}
