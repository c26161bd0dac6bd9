/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcachefiles-ondemand: the daemon's side of cachefiles' on-demand mode.
 *
 * The kernel asks for blobs and for ranges of blobs by messages that are read
 * from /dev/cachefiles; a daemon answers them.  This library opens and binds
 * the device, turns messages into events, and sends the answers.  It holds no
 * state, starts no thread and prints nothing; every function may be called
 * from any thread at any time, but see cfod_cull().
 *
 * Unless said otherwise a function returns 0, or a negative errno.
 *
 * The life of a daemon:
 *
 *	dev = cfod_open(NULL);
 *	cfod_bind(dev, "/var/cache/images", NULL, NULL);
 *	for (;;) {
 *		poll dev for POLLIN
 *		while (cfod_next(dev, &buf, &event) > 0)
 *			switch (event.opcode) {
 *			case CACHEFILES_OP_OPEN:
 *				keep event.open.fd under event.object_id
 *				cfod_answer_open(dev, event.msg_id, size);
 *				break;
 *			case CACHEFILES_OP_READ:
 *				cfod_fill(fd, data, len, event.read.off);
 *				cfod_complete_read(fd, event.msg_id);
 *				break;
 *			case CACHEFILES_OP_CLOSE:
 *			case CACHEFILES_OP_FULL:
 *				close the fd kept under event.object_id
 *				break;
 *			}
 *	}
 */
#ifndef CACHEFILES_ONDEMAND_H
#define CACHEFILES_ONDEMAND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <cachefiles_ondemand_uapi.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The device that cfod_open() opens when it is given no path. */
#define CFOD_DEVICE "/dev/cachefiles"

/**
 * enum cfod_step - the steps of getting a cache, for cfod_explain()
 * @CFOD_STEP_OPEN: cfod_open()
 * @CFOD_STEP_LIMITS: cfod_limits()
 * @CFOD_STEP_DIR: naming the cache's directory
 * @CFOD_STEP_TAG: naming the cache
 * @CFOD_STEP_BIND: binding it in on-demand mode
 */
enum cfod_step {
	CFOD_STEP_OPEN,
	CFOD_STEP_LIMITS,
	CFOD_STEP_DIR,
	CFOD_STEP_TAG,
	CFOD_STEP_BIND,
};

/**
 * struct cfod_mode - how a cache is bound, where the kernel can do it
 * @park: CACHEFILES_FEATURE_PARK: when the device is closed requests wait so
 *	many seconds, 1 to 86400, for the next daemon; 0: they fail at once
 * @keep: CACHEFILES_FEATURE_KEEP: complete objects can be mounted after the
 *	device was closed
 * @full: CACHEFILES_FEATURE_FULL: CACHEFILES_OP_FULL is wanted
 */
struct cfod_mode {
	unsigned int park;
	bool keep;
	bool full;
};

/**
 * struct cfod_msgbuf - room for the longest message
 * @bytes: the message; the pointers of &struct cfod_event point in here
 * @align: gives it the alignment of its 64-bit fields
 */
struct cfod_msgbuf {
	union {
		unsigned char bytes[CACHEFILES_MSG_MAX_SIZE];
		uint64_t align;
	};
};

/**
 * struct cfod_event - a message that was understood
 * @opcode: enum cachefiles_opcode; says which of the union's members is valid:
 *	none for CLOSE and FULL
 * @msg_id: names the request in the answer
 * @object_id: the object meant; a later OPEN of the same blob has another one
 * @open: OPEN only
 * @open.volume: volume key, with a NUL at its end ("erofs,<domain or fsid>")
 * @open.volume_len: its length without the NUL
 * @open.key: the blob's key; any bytes, no NUL at the end
 * @open.key_len: its length
 * @open.fd: write the object's bytes here; the receiver's to close
 * @open.flags: 0 so far
 * @read: READ only
 * @read.off: first byte that is missing
 * @read.len: how many bytes, at least 1; the end is at or before the object's
 *	size
 */
struct cfod_event {
	uint32_t opcode;
	uint32_t msg_id;
	uint32_t object_id;
	union {
		struct {
			const char *volume;
			size_t volume_len;
			const unsigned char *key;
			size_t key_len;
			int fd;
			uint32_t flags;
		} open;
		struct {
			uint64_t off;
			uint64_t len;
		} read;
	};
};

/**
 * cfod_open - open the device
 * @path: the device, or NULL for CFOD_DEVICE
 *
 * The fd does not block and is closed by exec.  Closing it ends the cache:
 * what waits for the daemon fails with EIO.
 *
 * Return: the fd.  -EPERM or -EACCES: no CAP_SYS_ADMIN; -ENOENT, -ENXIO or
 * -ENODEV: the kernel has no cachefiles, or its module is not loaded; -EBUSY:
 * another daemon has it open.
 */
int cfod_open(const char *path);

/**
 * cfod_command - send one command of the device's text interface
 * @dev: the device
 * @name: "brun", "cull", "inuse", "secctx", ...
 * @arg: its argument, or NULL
 *
 * Return: -EINVAL also if @name or @arg could not arrive as they are (a
 * newline, an empty argument, a blank in front); -ENAMETOOLONG: longer than
 * the kernel takes.
 */
int cfod_command(int dev, const char *name, const char *arg);

/**
 * cfod_features - ask what the kernel has beyond the plain protocol
 * @dev: the device, bound or not
 * @features: set to CACHEFILES_FEATURE_*; 0 for a kernel without any
 */
int cfod_features(int dev, uint64_t *features);

/* What people call the feature 1 << @bit, one word; NULL: not known here. */
const char *cfod_feature_name(unsigned int bit);

/**
 * cfod_limits - set how much of the file system the cache leaves free
 * @dev: the device, not bound yet
 * @run: percentage of blocks and of files: stop culling above it
 * @cull: begin culling below
 * @stop: nothing is filled below
 *
 * The kernel's defaults are 7, 5 and 1.
 *
 * Return: -ERANGE unless stop < cull < run < 100.
 */
int cfod_limits(int dev, unsigned int run, unsigned int cull,
		unsigned int stop);

/**
 * cfod_bind - make a directory the device's cache, in on-demand mode
 * @dev: the device
 * @dir: the directory, by an absolute path
 * @tag: name of the cache, or NULL for the kernel's default
 * @failed: if not NULL: set to the step that failed
 *
 * cfod_limits() goes ahead of this.  From the return on messages can arrive.
 *
 * Return: -EINVAL at CFOD_STEP_BIND: the kernel was built without
 * CONFIG_CACHEFILES_ONDEMAND; -EOPNOTSUPP: the file system of @dir lacks
 * extended attributes, O_TMPFILE or the like; -EROFS; -EBUSY: the directory is
 * a cache already; cfod_explain() has the words.
 */
int cfod_bind(int dev, const char *dir, const char *tag,
	      enum cfod_step *failed);

/**
 * cfod_bind_mode - cfod_bind() with what newer kernels can do
 * @dev: the device
 * @dir: the directory, by an absolute path
 * @tag: name of the cache, or NULL
 * @mode: nothing that cfod_features() does not have
 * @failed: if not NULL: set to the step that failed
 *
 * Return: as for cfod_bind(); -EINVAL also for a @mode that the kernel cannot
 * do.
 */
int cfod_bind_mode(int dev, const char *dir, const char *tag,
		   const struct cfod_mode *mode, enum cfod_step *failed);

/**
 * cfod_explain - say what an error means at a step, and what helps
 * @step: where it happened
 * @error: the negative errno that was returned
 *
 * Return: a constant string, one line without a stop at its end; NULL when
 * there is nothing to say beyond strerror().
 */
const char *cfod_explain(enum cfod_step step, int error);

/**
 * cfod_next - take the next message off the device
 * @dev: the device
 * @buf: filled with the message
 * @event: the message, understood; points into @buf
 *
 * Does not block.  Several threads may call it; each message goes to one.
 *
 * Return: 1 for a message, 0 when there is none.  -EBADMSG (does not fit the
 * protocol) and -EOPNOTSUPP (unknown opcode): the message is gone, go on with
 * the next one; @event->msg_id, opcode and object_id are set for -EOPNOTSUPP.
 * -ENOMEM: try again later.  All others come from read(2), and the device is
 * of no more use.
 */
int cfod_next(int dev, struct cfod_msgbuf *buf, struct cfod_event *event);

/**
 * cfod_parse - understand a message that was read by other means
 * @buf: the message
 * @len: what read(2) returned
 * @event: set
 *
 * Return: as for cfod_next(), without its 0.
 */
int cfod_parse(const struct cfod_msgbuf *buf, size_t len,
	       struct cfod_event *event);

/**
 * cfod_answer_open - answer an OPEN
 * @dev: the device
 * @msg_id: that of the OPEN
 * @result: the blob's size in bytes, or a negative errno (-1 to -511) for the
 *	mount that waits
 *
 * READs can arrive, in any thread, before this returns: what they need must be
 * in its place before the call.
 *
 * Return: -EINVAL: nobody waits for this answer any more; -EFBIG: the size is
 * beyond the cache's file system; -ESTALE: re-opened with another size than
 * before; others: the cache file could not be made.  After an error the object
 * is not open, and its fd is of no use.
 */
int cfod_answer_open(int dev, uint32_t msg_id, int64_t result);

/**
 * cfod_fill - write bytes of an object into the cache
 * @fd: the object's fd
 * @data: the bytes
 * @len: how many
 * @off: where they belong
 *
 * Whatever read waits for these bytes goes on.  Bytes that are there already
 * are not changed.  Whole 4 KiB blocks, aligned, cost least.
 *
 * Return: -ENOBUFS: the size is not known yet (fill after
 * cfod_answer_open()); -EFBIG: beyond the size; -ESTALE: the object is
 * no longer used; -ENOSPC and so on from the cache's file system.
 */
int cfod_fill(int fd, const void *data, size_t len, uint64_t off);

/**
 * cfod_fillv - cfod_fill() from several pieces
 * @fd: the object's fd
 * @iov: the pieces; used up
 * @iovcnt: how many
 * @off: where the first byte belongs
 *
 * Return: as for cfod_fill().
 */
int cfod_fillv(int fd, struct iovec *iov, int iovcnt, uint64_t off);

/**
 * cfod_complete_read - answer a READ
 * @fd: the fd of the READ's object
 * @msg_id: that of the READ
 *
 * If the range has not been filled the kernel asks once more, then fails the
 * reader with EIO.  To kernels without CACHEFILES_FEATURE_READ_FAIL this is how
 * to report an error.
 *
 * Return: -EINVAL: nobody waits for this answer any more.
 */
int cfod_complete_read(int fd, uint32_t msg_id);

/**
 * cfod_fail_read - answer a READ with an error
 * @fd: the fd of the READ's object
 * @msg_id: that of the READ
 * @error: a negative errno (-1 to -511) for those who wait for what of the
 *	range has not been filled; any other number is -EIO
 *
 * Needs CACHEFILES_FEATURE_READ_FAIL.  The kernel does not ask once more.
 *
 * Return: -EINVAL: nobody waits for this answer any more.
 */
int cfod_fail_read(int fd, uint32_t msg_id, int error);

/**
 * cfod_next_hole - find the first byte that is missing
 * @fd: the object's fd
 * @off: where to begin
 *
 * Moves the fd's file position, which no other function here uses.
 *
 * Return: an offset >= @off, at most the object's size, or a negative errno.
 */
int64_t cfod_next_hole(int fd, uint64_t off);

/**
 * cfod_space - look how full the cache's file system is
 * @dev: the device, bound
 * @space: set
 *
 * Needs CACHEFILES_FEATURE_SPACE.  poll(2) tells by POLLOUT when
 * CACHEFILES_SPACE_CULL is set, or would be if it were looked.
 *
 * Return: -ENOTTY: the kernel lacks it.
 */
int cfod_space(int dev, struct cachefiles_space *space);

/**
 * cfod_cull - remove a file of the cache that is not in use
 * @dev: the device, bound
 * @dir: an fd of the directory that the file is in
 * @name: its name there
 *
 * This and cfod_inuse() change the working directory to @dir, for the kernel
 * goes by that one: call them from a process, or from a thread after
 * unshare(CLONE_FS), in which nobody else relies on it.
 *
 * Return: -EBUSY: it is in use; -ESTALE: there is no such file.
 */
int cfod_cull(int dev, int dir, const char *name);

/* Is a file of the cache in use?  Return: 0 if it is not; as for cfod_cull(). */
int cfod_inuse(int dev, int dir, const char *name);

/**
 * cfod_restore - have everything unanswered sent again
 * @dev: the device, taken over from a daemon that is gone
 *
 * Objects in use are opened again, then their READs follow.
 *
 * Return: see above.
 */
int cfod_restore(int dev);

#ifdef __cplusplus
}
#endif

#endif /* CACHEFILES_ONDEMAND_H */
