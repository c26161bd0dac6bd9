// SPDX-License-Identifier: GPL-2.0
/*
 * Those who read, in every way, and compare each byte: an error is all right, a
 * wrong byte or a file that is cut short is not.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#include "odfuzz.h"

#define EROFS_MAGIC	0xe0f5e1e2U
#define BUF_SIZE	(64 << 10)

static _Alignas(GRANULE) char buffer[BUF_SIZE];
static sigjmp_buf bus_error;

/* What was read of a file is what is in it. */
bool fz_same(const struct fz_image *img, const struct fz_file *f, __u64 off, const void *buf,
	     size_t len, const char *how)
{
	const unsigned char *have = buf, *want = (const unsigned char *)f->data + off;
	size_t i, first = len, wrong = 0, zeros = 0;

	if (off > f->size || len > f->size - off) {
		fz_fail("%s of %s, %s: %llu+%zu is beyond its %llu bytes", how, img->opts, f->path,
			off, len, f->size);
		return false;
	}
	fz_add("bytes compared", 0, len);
	if (!memcmp(have, want, len))
		return true;
	for (i = 0; i < len; i++) {
		if (have[i] == want[i])
			continue;
		first = first < len ? first : i;
		wrong++;
		zeros += !have[i];
	}
	fz_fail("%s of %s, %s: %zu wrong bytes in %llu+%zu, %zu are 0; the first at %llu: %#x",
		how, img->opts, f->path, wrong, off, len, zeros, off + first, have[first]);
	return false;
}

/* An image and a mount point of it; the point's fd if it is mounted there. */
static int pick(struct fz_worker *w, const struct fz_image **img)
{
	char path[200];
	struct statfs st;
	int i, n, fd;

	for (n = 0; n < 6; n++) {
		i = fz_below(w, fz_nr_images);
		fz_point(path, sizeof(path), i, fz_below(w, FZ_POINTS));
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (!fstatfs(fd, &st) && (__u32)st.f_type == EROFS_MAGIC) {
			*img = &fz_image[i];
			return fd;
		}
		close(fd);
	}
	return -ENODEV;
}

/* One of its files, open. */
static int pick_file(struct fz_worker *w, const struct fz_image **img, const struct fz_file **file,
		     int flags)
{
	int fd, dir = pick(w, img);
	const struct fz_file *f;
	struct stat st;

	if (dir < 0)
		return dir;
	if (!(*img)->compared) {
		close(dir);
		return -ENODEV;
	}
	f = &(*img)->file[fz_below(w, (*img)->nr_files)];
	fd = openat(dir, f->path, O_RDONLY | O_CLOEXEC | flags);
	if (fd < 0)
		fd = -errno;
	close(dir);
	if (fd == -ENOENT || fd == -ENOTDIR)
		fz_fail("%s of %s: %s", f->path, (*img)->opts, strerror(-fd));
	if (fd >= 0 && !fstat(fd, &st) && (__u64)st.st_size != f->size)
		fz_fail("%s of %s has %lld bytes", f->path, (*img)->opts, (long long)st.st_size);
	*file = f;
	return fd;
}

/* pread() it all; an end before the file's is as wrong as a wrong byte. */
static long compare_range(int fd, const struct fz_image *img, const struct fz_file *f, __u64 off,
			  size_t len, const char *how)
{
	size_t done = 0;
	ssize_t n;

	if (off >= f->size)
		len = 0;
	else if (len > f->size - off)
		len = f->size - off;
	while (done < len) {
		n = pread(fd, buffer, len - done < BUF_SIZE ? len - done : BUF_SIZE, off + done);
		if (n < 0)
			return -errno;
		if (!n) {
			fz_fail("%s of %s, %s ends at %llu", how, img->opts, f->path, off + done);
			return -ENODATA;
		}
		if (!fz_same(img, f, off + done, buffer, n, how))
			return -EILSEQ;
		done += n;
	}
	if (done)
		fz_count("reads compared");
	return 0;
}

static long do_pread(struct fz_worker *w, void *ctx)
{
	const struct fz_image *img;
	const struct fz_file *f;
	int fd = pick_file(w, &img, &f, 0), i;
	long ret = fd;

	for (i = fz_below(w, 6); fd >= 0 && i >= 0; i--)
		ret = compare_range(fd, img, f, fz_below(w, f->size + 100),
				    1 + fz_below(w, fz_chance(w, 50) ? 5000 : BUF_SIZE), "pread");
	if (fd >= 0)
		close(fd);
	return ret;
}

static long do_read_whole(struct fz_worker *w, void *ctx)
{
	const struct fz_image *img;
	const struct fz_file *f;
	int fd = pick_file(w, &img, &f, 0);
	long ret = fd;

	if (fd >= 0) {
		ret = compare_range(fd, img, f, 0, f->size, "read");
		close(fd);
	}
	return ret;
}

static long do_read_direct(struct fz_worker *w, void *ctx)
{
	const struct fz_image *img;
	const struct fz_file *f;
	int fd = pick_file(w, &img, &f, O_DIRECT);
	long ret = fd;
	__u64 off;
	ssize_t n;

	if (fd < 0)
		return ret;
	off = fz_below(w, f->size / GRANULE + 1) * GRANULE;
	n = pread(fd, buffer, (1 + fz_below(w, BUF_SIZE / GRANULE)) * GRANULE, off);
	ret = n < 0 ? -errno : 0;
	if (n > 0)
		fz_same(img, f, off, buffer, n, "direct read");
	close(fd);
	return ret;
}

static void on_bus_error(int sig)
{
	siglongjmp(bus_error, 1);
}

static long do_mmap(struct fz_worker *w, void *ctx)
{
	const struct fz_image *img;
	const struct fz_file *f;
	int fd = pick_file(w, &img, &f, 0), i;
	__u64 off, len;
	long ret = 0;
	char *p;

	if (fd < 0)
		return fd;
	p = mmap(NULL, f->size ?: 1, PROT_READ, (fz_chance(w, 50) ? MAP_SHARED : MAP_PRIVATE) |
		 (fz_chance(w, 10) ? MAP_POPULATE : 0), fd, 0);
	close(fd);
	if (p == MAP_FAILED)
		return -errno;
	if (fz_chance(w, 20))
		madvise(p, f->size, fz_chance(w, 50) ? MADV_WILLNEED : MADV_RANDOM);
	/* Nothing that is needed afterwards changes in between. */
	if (sigsetjmp(bus_error, 1)) {
		ret = -EIO;
	} else {
		for (i = fz_below(w, 8); i >= 0 && f->size; i--) {
			off = fz_below(w, f->size);
			len = 1 + fz_below(w, f->size - off);
			if (len > BUF_SIZE)
				len = BUF_SIZE;
			if (!fz_same(img, f, off, p + off, len, "mmap"))
				break;
		}
	}
	munmap(p, f->size ?: 1);
	return ret;
}

static long do_splice(struct fz_worker *w, void *ctx)
{
	const struct fz_image *img;
	const struct fz_file *f;
	int fd = pick_file(w, &img, &f, 0), pfd[2];
	long ret = fd;
	loff_t off;
	ssize_t n;

	if (fd < 0)
		return ret;
	off = fz_below(w, f->size + 1);
	if (!pipe2(pfd, O_CLOEXEC)) {
		loff_t pos = off;

		n = splice(fd, &pos, pfd[1], NULL, 1 + fz_below(w, 30000), 0);
		ret = n < 0 ? -errno : 0;
		if (n > 0 && read(pfd[0], buffer, n) == n)
			fz_same(img, f, off, buffer, n, "splice");
		close(pfd[0]);
		close(pfd[1]);
	}
	close(fd);
	return ret;
}

/* Only what is in the page cache. */
static long do_nowait(struct fz_worker *w, void *ctx)
{
	struct iovec iov = { buffer, 1 + fz_below(w, BUF_SIZE) };
	const struct fz_image *img;
	const struct fz_file *f;
	int fd = pick_file(w, &img, &f, 0);
	__u64 off;
	ssize_t n;

	if (fd < 0)
		return fd;
	off = fz_below(w, f->size + 1);
	n = preadv2(fd, &iov, 1, off, RWF_NOWAIT);
	if (n < 0)
		n = -errno;
	if (n > 0)
		fz_same(img, f, off, buffer, n, "preadv2");
	close(fd);
	return n;
}

static long do_advise(struct fz_worker *w, void *ctx)
{
	static const int advice[] = {
		POSIX_FADV_DONTNEED, POSIX_FADV_DONTNEED, POSIX_FADV_WILLNEED, POSIX_FADV_RANDOM,
		POSIX_FADV_SEQUENTIAL,
	};
	const struct fz_image *img;
	const struct fz_file *f;
	int fd = pick_file(w, &img, &f, 0);
	long ret = 0;

	if (fd < 0)
		return fd;
	if (fz_chance(w, 30))
		readahead(fd, fz_below(w, f->size + 1), 1 + fz_below(w, 1 << 20));
	posix_fadvise(fd, 0, 0, advice[fz_below(w, FZ_NELEM(advice))]);
	if (fz_chance(w, 50))
		ret = compare_range(fd, img, f, fz_below(w, f->size + 1), 9000, "advised read");
	if (fz_chance(w, 5))
		syncfs(fd);
	close(fd);
	return ret;
}

static long do_drop_caches(struct fz_worker *w, void *ctx)
{
	return cf_drop_caches();
}

/* With a mount namespace of its own, in which nobody unmounts. */
static long do_namespace(struct fz_worker *w, void *ctx)
{
	const struct fz_image *img;
	const struct fz_file *f;
	int fd, status;
	pid_t pid;

	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (unshare(CLONE_NEWNS) < 0)
			_exit(0);
		fd = pick_file(w, &img, &f, 0);
		usleep(fz_below(w, 1000000));
		if (fd >= 0)
			compare_range(fd, img, f, 0, f->size, "read in a namespace");
		_exit(0);
	}
	if (pid < 0 || waitpid(pid, &status, 0) < 0)
		return -errno;
	return 0;
}

/* A look at everything in a spoiled image; the kernel has to bear it. */
static long do_tour(struct fz_worker *w, void *ctx)
{
	const struct fz_image *img;
	int dir = pick(w, &img), fd, n = 0;
	struct dirent *de;
	struct stat st;
	DIR *list;

	if (dir < 0)
		return dir;
	list = fdopendir(dir);
	if (!list) {
		close(dir);
		return -errno;
	}
	while (n++ < 20 && (de = readdir(list))) {
		if (fstatat(dir, de->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
			continue;
		readlinkat(dir, de->d_name, buffer, 100);
		fd = openat(dir, de->d_name, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			continue;
		flistxattr(fd, buffer, BUF_SIZE);
		fgetxattr(fd, "user.fp", buffer, 100);
		if (pread(fd, buffer, BUF_SIZE, 0) < 0 && errno == EISDIR) {
			DIR *sub = fdopendir(fd);

			if (sub && readdir(sub) && readdir(sub))
				fz_count("directories in a directory");
			if (sub)
				closedir(sub);
			continue;
		}
		pread(fd, buffer, GRANULE, fz_below(w, (st.st_size ?: 1) + 1));
		close(fd);
	}
	closedir(list);
	return 0;
}

/* Every file of an image, from beginning to end. */
long fz_check_image(const struct fz_image *img, const char *point)
{
	char path[300];
	long ret = 0;
	int i, fd;

	for (i = 0; i < img->nr_files && !ret; i++) {
		const struct fz_file *f = &img->file[i];

		snprintf(path, sizeof(path), "%s/%s", point, f->path);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		ret = compare_range(fd, img, f, 0, f->size, "honest read");
		close(fd);
	}
	return ret;
}

static const struct fz_choice choices[] = {
	{ 30, "pread", do_pread },
	{ 15, "read whole file", do_read_whole },
	{ 6, "direct read", do_read_direct },
	{ 20, "mmap", do_mmap },
	{ 8, "splice from a file", do_splice },
	{ 5, "read without waiting", do_nowait },
	{ 14, "advice", do_advise },
	{ 1, "drop caches", do_drop_caches },
	{ 3, "namespace", do_namespace },
	{ 8, "tour", do_tour },
};

void fz_reader(struct fz_worker *w)
{
	struct sigaction action = { .sa_handler = on_bus_error };

	sigaction(SIGBUS, &action, NULL);
	while (!fz_stopping()) {
		fz_step(w, choices, FZ_NELEM(choices), NULL);
		usleep(fz_below(w, 8000));
	}
}
