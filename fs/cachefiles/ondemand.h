/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * On-demand read mode: structures, lock order and prototypes.
 *
 * A reader that misses the cache makes a request, a daemon fetches the bytes
 * and writes them into the cache file, and that write completes the read.
 *
 * Who pins whom: a blob file pins its object as a user; an OPEN or READ, an
 * anonymous fd and queued flush work pin the object; an object pins its volume;
 * a volume and the bound device pin the instance.  Nothing waits for any of
 * these to go away: the last reference frees.
 *
 * Lock order, outer first:
 *
 *	cachefiles_ondemand_mutex		the list of instances
 *	  cachefiles_ondemand::attach_sem	the bound device
 *	    cachefiles_od_object::fill_mutex	cache file, writes to it
 *	      cachefiles_ondemand::cull_sem	which files are in use
 *	        cachefiles_ondemand::names_mutex	volumes, objects, their users
 *	          cachefiles_od_object::lock	state, map, reads
 *	            cachefiles_reqs::ids.xa_lock	requests
 *
 * cachefiles_od_object::seek_mutex, the position of the cache file, is inside of
 * fill_mutex; only locks of the cache's file system are inside of it.
 *
 * The sleeping ones are held over accesses to the local cache disk at most,
 * never while anything waits for the daemon or for the daemon's memory.
 *
 * Write access to the mount of the cache, which has to be waited for while its
 * file system is frozen, is taken before cachefiles_ondemand_mutex, cull_sem and
 * names_mutex, and after fill_mutex.
 */
#ifndef _CACHEFILES_ONDEMAND_H
#define _CACHEFILES_ONDEMAND_H

#include <linux/types.h>

struct cachefiles_cache;
struct dentry;
struct file;
struct seq_file;

#ifdef CONFIG_CACHEFILES_ONDEMAND

#include <linux/fs.h>
#include <linux/hashtable.h>
#include <linux/interval_tree.h>
#include <linux/mutex.h>
#include <linux/rwsem.h>
#include <linux/poll.h>
#include <linux/u64_stats_sync.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>
#include <uapi/linux/cachefiles.h>
#include "ondemand_map.h"

/*
 * The unit of presence.  Fixed by the protocol and by the maps on disk, so it
 * does not follow PAGE_SIZE.
 */
#define CACHEFILES_GRANULE_SHIFT	12
#define CACHEFILES_GRANULE_SIZE		BIT(CACHEFILES_GRANULE_SHIFT)

/*
 * The most that one READ asks for, in granules.  Neighbouring misses are merged
 * up to here; a readahead window stays several requests so that they overlap.
 */
#define CACHEFILES_READ_GRANULES	(SZ_256K >> CACHEFILES_GRANULE_SHIFT)

/* The names "I<volume key>" and "D<cookie key>"; cachefiles' own limit for keys. */
#define CACHEFILES_VOLUME_KEY_MAX	(NAME_MAX - 1)
#define CACHEFILES_KEY_MAX		(NAME_MAX - 3)

/* What a daemon may answer; above are codes that never leave the kernel. */
#define CACHEFILES_MAX_ERRNO	511

struct cachefiles_ondemand;
struct cachefiles_od_object;
struct cachefiles_req;

/*
 * Request states.  The legal moves:
 *
 *	NEW -> QUEUED | HELD		submitted
 *	HELD -> QUEUED			its object has been opened
 *	QUEUED -> SENDING		a daemon thread picked it
 *	SENDING -> SENT			the message is in the daemon's buffer
 *	SENDING -> QUEUED		it could not be copied
 *	QUEUED | SENDING | SENT -> HELD	the object's fd has gone
 *	any but NEW -> DONE		answered, cancelled, or the cache is dead
 */
enum cachefiles_req_state {
	CACHEFILES_REQ_NEW,
	CACHEFILES_REQ_QUEUED,
	CACHEFILES_REQ_HELD,
	CACHEFILES_REQ_SENDING,
	CACHEFILES_REQ_SENT,
	CACHEFILES_REQ_DONE,
};

/* Where a request goes that could not be sent, see cachefiles_req_unsend(). */
enum cachefiles_req_place {
	CACHEFILES_REQ_FIRST,
	CACHEFILES_REQ_LAST,
	CACHEFILES_REQ_LATER,
};

/**
 * struct cachefiles_reqs - the requests of an instance
 * @ids: all live requests by id; its lock guards everything here
 * @next_id: where the cyclic allocation of ids goes on
 * @queue: what the daemon can read now, oldest first
 * @deferred: what no file descriptor could be had for, until @defer_work runs
 * @pollwq: where the daemon's threads wait for @queue to fill; NULL without a
 *	daemon.  It is the device's, as they are on it before they bind
 * @defer_work: puts @deferred back into @queue
 * @dead: no daemon, and none is waited for; nothing can be submitted
 * @nr_live: how many requests are between submission and DONE
 * @max_live: the largest @nr_live so far
 */
struct cachefiles_reqs {
	struct xarray		ids;
	u32			next_id;
	struct list_head	queue;
	struct list_head	deferred;
	wait_queue_head_t	*pollwq;
	struct delayed_work	defer_work;
	bool			dead;
	unsigned int		nr_live;
	unsigned int		max_live;
};

/**
 * struct cachefiles_req - one request to the daemon
 * @ref: one for the table until DONE, one for each function that works on it
 * @id: msg_id
 * @opcode: enum cachefiles_opcode
 * @state: enum cachefiles_req_state, under the table's lock
 * @asked_again: a READ that was answered without its data before
 * @object_id: the daemon's name of the object, fixed when it enters the queue
 * @link: in the table's queue or deferred list, or in the object's held list;
 *	empty while it is SENDING, SENT or DONE.  Under the table's lock
 * @table: where it is
 * @object: whom it is for, pinned; NULL for a CLOSE or FULL
 * @end: finishes it; called once, by whoever moved it to DONE, without locks
 * @span: READ: first and last granule; in the object's in-flight tree.  Changed
 *	under the object's and the table's lock, and only until it is SENDING
 * @sender: the task that is copying the message, while SENDING
 * @since: when it was submitted
 */
struct cachefiles_req {
	refcount_t			ref;
	u32				id;
	u8				opcode;
	u8				state;
	bool				asked_again;
	u32				object_id;
	struct list_head		link;
	struct cachefiles_reqs		*table;
	struct cachefiles_od_object	*object;
	void				(*end)(struct cachefiles_req *req, int error);
	struct interval_tree_node	span;
	struct task_struct		*sender;
	ktime_t				since;
};

/* ondemand.c */
void cachefiles_reqs_init(struct cachefiles_reqs *table);
void cachefiles_reqs_destroy(struct cachefiles_reqs *table);
struct cachefiles_req *cachefiles_req_alloc(struct cachefiles_reqs *table,
					    enum cachefiles_opcode opcode,
					    struct cachefiles_od_object *object,
					    void (*end)(struct cachefiles_req *req, int error));
void cachefiles_req_put(struct cachefiles_req *req);
void cachefiles_req_discard(struct cachefiles_req *req);
int cachefiles_req_submit(struct cachefiles_req *req, struct list_head *held);
void cachefiles_reqs_wake(struct cachefiles_reqs *table);
struct cachefiles_req *cachefiles_req_next(struct cachefiles_reqs *table, u64 *start, u64 *last);
bool cachefiles_req_sent(struct cachefiles_req *req);
void cachefiles_req_unsend(struct cachefiles_req *req, enum cachefiles_req_place place);
struct cachefiles_req *cachefiles_req_take(struct cachefiles_reqs *table, u32 id,
					   enum cachefiles_opcode opcode,
					   struct cachefiles_od_object *object);
bool cachefiles_req_claim(struct cachefiles_req *req);
bool cachefiles_req_recall(struct cachefiles_req *req);
bool cachefiles_req_end(struct cachefiles_req *req, int error);
bool cachefiles_req_grow(struct cachefiles_req *req, unsigned long last);
bool cachefiles_req_is_new(struct cachefiles_req *req);
bool cachefiles_req_hold(struct cachefiles_req *req, struct list_head *held);
void cachefiles_reqs_release(struct cachefiles_reqs *table, struct list_head *held, u32 object_id);
void cachefiles_reqs_move_held(struct cachefiles_reqs *table, struct list_head *held,
			       struct list_head *list);
struct cachefiles_req *cachefiles_reqs_claim_held(struct cachefiles_reqs *table,
						  struct list_head *held);
void cachefiles_reqs_kill(struct cachefiles_reqs *table);
void cachefiles_reqs_park(struct cachefiles_reqs *table);
void cachefiles_reqs_revive(struct cachefiles_reqs *table, wait_queue_head_t *pollwq);
bool cachefiles_reqs_readable(struct cachefiles_reqs *table);

static inline struct cachefiles_req *cachefiles_req_get(struct cachefiles_req *req)
{
	refcount_inc(&req->ref);
	return req;
}

/* How many classes the time that reads wait is counted in. */
#define CACHEFILES_OD_NR_WAITS	6

/* Why reads of an object fail, each in the log once. */
enum cachefiles_od_complaint {
	CACHEFILES_OD_NOT_REOPENED,
	CACHEFILES_OD_FD_CLOSED,
	CACHEFILES_OD_NOT_FETCHED,
	CACHEFILES_OD_ANSWERED_EMPTY,
	CACHEFILES_OD_NOT_FILLED,
	CACHEFILES_OD_UNREADABLE,
};

/* What an instance counts. */
enum cachefiles_od_counter {
	CACHEFILES_OD_HITS,		/* reads served from the cache file at once */
	CACHEFILES_OD_MISSES,		/* reads that had to wait for the daemon */
	CACHEFILES_OD_JOINED,		/* pieces of reads that somebody else had asked for */
	CACHEFILES_OD_READ_ERRORS,	/* reads that waited and failed */
	CACHEFILES_OD_FILLED_BYTES,	/* bytes written by the daemon that were missing */
	CACHEFILES_OD_BINDS,		/* daemons that have bound it, one after another */
	CACHEFILES_OD_EXPIRIES,		/* times that no daemon came while it was parked */
	CACHEFILES_OD_OPENS,		/* OPENs that were queued */
	CACHEFILES_OD_RESENT,		/* requests taken back from a daemon, to be sent again */
	CACHEFILES_OD_READ_FAILS,	/* READs that the daemon answered with an error */
	CACHEFILES_OD_EMPTY_READS,	/* READs that it answered without their data */
	CACHEFILES_OD_COMPLETED,	/* objects of which the last byte has come */
	CACHEFILES_OD_NO_SPACE,		/* fills that were refused for want of space */
	CACHEFILES_OD_CULLED,		/* cache files removed by "cull" */
	CACHEFILES_OD_OPEN_FAILS,	/* OPENs that were answered and ended with an error */
	CACHEFILES_OD_FILL_ERRORS,	/* fills that the cache's file system refused */
	CACHEFILES_OD_DISK_ERRORS,	/* reads of what is present that the disk failed */
	CACHEFILES_OD_LOST,		/* times that the disk had lost what was filled */
	CACHEFILES_OD_FDS_CLOSED,	/* times that reads failed as fds were closed on and on */
	CACHEFILES_OD_EMPTIED,		/* cache files that did not fit, and start empty */
	CACHEFILES_OD_STALE_ANSWERS,	/* answers to what was not, or no longer, asked */
	/* Reads that had to wait, by how long: below 1 ms, 10 ms, ... 10 s, longer. */
	CACHEFILES_OD_WAITS,
	CACHEFILES_OD_NR_COUNTERS = CACHEFILES_OD_WAITS + CACHEFILES_OD_NR_WAITS,
};

/* What becomes of an instance, for its tracepoint. */
enum cachefiles_od_event {
	CACHEFILES_OD_BOUND,
	CACHEFILES_OD_UNBOUND,
	CACHEFILES_OD_PARKED,
	CACHEFILES_OD_EXPIRED,
	CACHEFILES_OD_NO_SPACE_LEFT,
};

/**
 * struct cachefiles_od_stats - the counters of an instance, per CPU
 * @n: by enum cachefiles_od_counter
 * @syncp: guards them on 32-bit machines
 */
struct cachefiles_od_stats {
	u64_stats_t		n[CACHEFILES_OD_NR_COUNTERS];
	struct u64_stats_sync	syncp;
};

/**
 * struct cachefiles_ondemand - a cache directory in on-demand mode
 * @ref: one for the bound device or, without one, for being kept; one while
 *	@park_work is queued; one per volume; one per plug with a kick in it
 * @put_work: drops a reference where that must not sleep
 * @link: in the list of instances
 * @bound: a device has it, or is about to; under cachefiles_ondemand_mutex
 * @kept: it stays without a device; under cachefiles_ondemand_mutex
 * @keep: it is to stay when the device is closed; the device's
 * @tell_full: the daemon wants a FULL
 * @park_secs: how long requests wait for the next daemon; the device's
 * @park_work: ends that
 * @watch_work: looks for a daemon that is slow
 * @slow_id: the msg_id that it has named last
 * @attach_sem: guards @cache and @parked
 * @cache: the bound device; NULL when the daemon has gone
 * @parked: there is no daemon, and requests wait for the next one
 * @mnt: the mount of the backing file system
 * @root: the directory that was bound
 * @store: its "cache" directory, where objects are
 * @graveyard: its "graveyard" directory, where culled directories go
 * @cred: what the backing file system is accessed with
 * @names_mutex: guards @volumes, @objects and the users of each object
 * @volumes: volumes in use
 * @objects: objects in use, and those whose file is being closed
 * @cull_sem: held for reading to find a cache file and mark it as in use, for
 *	writing to remove one that is not
 * @drop_wq: who waits for the file of a dropped object to be closed
 * @nr_dropped: how many have been
 * @reqs: requests to the daemon
 * @last_object_id: the last object_id given out
 * @unchecked: bytes filled since the free space was looked at
 * @is_short: there was too little of it
 * @stats: counters
 */
struct cachefiles_ondemand {
	refcount_t			ref;
	struct work_struct		put_work;
	struct list_head		link;
	bool				bound;
	bool				kept;
	bool				keep;
	bool				tell_full;
	unsigned int			park_secs;
	struct delayed_work		park_work;
	struct delayed_work		watch_work;
	u32				slow_id;
	struct rw_semaphore		attach_sem; /* see above, as for those below */
	struct cachefiles_cache		*cache;
	bool				parked;
	struct vfsmount			*mnt;
	struct dentry			*root;
	struct dentry			*store;
	struct dentry			*graveyard;
	const struct cred		*cred;
	struct rw_semaphore		cull_sem;
	struct mutex			names_mutex; /* likewise */
	struct list_head		volumes;
	DECLARE_HASHTABLE(objects, 8);
	wait_queue_head_t		drop_wq;
	unsigned int			nr_dropped;
	struct cachefiles_reqs		reqs;
	atomic_t			last_object_id;
	atomic64_t			unchecked;
	bool				is_short;
	struct cachefiles_od_stats __percpu *stats;
};

/* The longest time that requests may be parked for, in seconds. */
#define CACHEFILES_PARK_MAX	86400

/**
 * struct cachefiles_bind_opts - how a cache is bound
 * @park_secs: how long requests wait for the next daemon, in seconds; 0: they fail
 * @keep: the instance stays when the device is closed
 * @full: the daemon wants a FULL
 */
struct cachefiles_bind_opts {
	unsigned int	park_secs;
	bool		keep;
	bool		full;
};

/**
 * struct cachefiles_od_volume - a volume directory
 * @ref: one per object; dropped under names_mutex
 * @link: in the instance's list
 * @od: the instance, pinned
 * @dentry: the directory "I<key>", NULL until needed; under names_mutex
 * @fanout: its subdirectories that are in use, by number; under names_mutex
 * @key_hash: fscache's hash of the key
 * @key_size: bytes in @key, its NUL included
 * @key: the volume key
 */
struct cachefiles_od_volume {
	refcount_t			ref;
	struct list_head		link;
	struct cachefiles_ondemand	*od;
	struct dentry			*dentry;
	struct xarray			fanout;
	u32				key_hash;
	u8				key_size;
	char				key[] __counted_by(key_size);
};

/*
 * Object states:
 *
 *	           OPEN is queued             copen, size >= 0
 *	  CLOSED ------------------> OPENING -----------------> OPEN
 *	    ^ ^                         |                         |
 *	    | '-------------------------'                         |
 *	    |   copen, error; daemon gone; fd closed before       |
 *	    '-----------------------------------------------------'
 *	        the fd is closed; restore; daemon gone
 *
 *	OPENING -> OPENING: an OPEN that a daemon has lost is replaced
 *
 *	  any -> DROPPED, when the last user has gone; final
 *
 * CLOSED with a size is the normal state after a daemon was lost: what is
 * present is served, the next miss queues an OPEN.
 */
enum cachefiles_od_state {
	CACHEFILES_OD_CLOSED,
	CACHEFILES_OD_OPENING,
	CACHEFILES_OD_OPEN,
	CACHEFILES_OD_DROPPED,
};

/*
 * How often in a row the daemon may close an object's fd with READs waiting and
 * nothing filled, before they fail.  Enough for a daemon that is being replaced.
 */
#define CACHEFILES_MAX_FRUITLESS	100

/* How long a fill may wait until the map on disk says so, in jiffies. */
#define CACHEFILES_FLUSH_DELAY	(5 * HZ)

/* Granules being put together from unaligned writes; the oldest is given up. */
#define CACHEFILES_NR_PARTIAL	64

/**
 * struct cachefiles_partial - a granule of which the daemon has written a part
 * @granule: which one
 * @data: what has been written, where it is in the granule; may be NULL if the
 *	slot is free
 * @start: first byte in it that has been written
 * @end: the byte after the last one; 0 if the slot is free
 */
struct cachefiles_partial {
	unsigned long	granule;
	u8		*data;
	u16		start;
	u16		end;
};

/* Ranges of an object that are remembered to have failed; a power of two. */
#define CACHEFILES_NR_FAILURES	8

/**
 * struct cachefiles_failure - a READ that failed, or some that lie side by side
 * @first: its first granule
 * @last: its last granule
 * @error: -errno, 0 in a slot that has not been used
 */
struct cachefiles_failure {
	unsigned long	first;
	unsigned long	last;
	int		error;
};

/**
 * struct cachefiles_od_object - a blob in the cache
 * @ref: one for its users together, one per OPEN or READ, anonymous fd, and
 *	queued @flush_work
 * @hash: in the instance's table until its file has been closed
 * @volume: its volume, pinned
 * @users: blob files; under names_mutex
 * @dropped: there were users, and there will be none again; under names_mutex
 * @lock: guards what follows up to @reads
 * @state: enum cachefiles_od_state
 * @fd_live: the daemon has the fd that was sent with @object_id
 * @announced: the daemon has to be told when the object is dropped
 * @full: everything is present; read without the lock
 * @complained: enum cachefiles_od_complaint, BIT() of what the log has; none after a fill
 * @object_id: what the daemon knows it by
 * @size: bytes, -1 until the daemon has told; set once, read without the lock
 * @open_req: the OPEN in flight while OPENING
 * @close_req: the CLOSE to come, allocated in advance so that a drop can't fail
 * @full_req: the FULL to come, allocated in advance, or NULL; set under @fill_mutex
 * @open_error: how the last OPEN ended
 * @nr_opens: how many OPENs have ended
 * @nr_fruitless: how many fds in a row were closed with nothing filled
 * @next_failure: the slot of @failures to use next
 * @failures: the last READs that failed, side by side ones as one
 * @open_wq: mounting tasks that wait for @nr_opens
 * @held: READs that wait for the object to be opened; under the requests' lock
 * @map: what is present
 * @inflight: READs between submission and their end
 * @reads: reads that wait, by their granules
 * @fill_mutex: guards what follows, and serialises writes to @file
 * @file: the cache file
 * @stored_size: size that the cache file was recorded with, -1 for none
 * @stored_full: it was recorded as complete
 * @closed: @file has been closed for good
 * @wb_err: writeback errors of @file that have been dealt with
 * @nr_lost: how often what had been filled was lost; changes with the map, so under
 *	@lock too, and is read without either
 * @seek_mutex: one at a time asks @file for its holes
 * @partial: unfinished granules, or NULL
 * @next_partial: the slot to reuse next
 * @flush_work: writes the map back; closes the file of a dropped object
 * @key_hash: fscache's hash of volume and key, fixes the place on disk
 * @key_size: bytes in @key, its NUL included
 * @key: the cookie key
 */
struct cachefiles_od_object {
	refcount_t			ref;
	struct hlist_node		hash;
	struct cachefiles_od_volume	*volume;
	unsigned int			users;
	bool				dropped;

	spinlock_t			lock; /* guards the fields down to @reads */
	u8				state;
	bool				fd_live;
	bool				announced;
	bool				full;
	u8				complained;
	u32				object_id;
	loff_t				size;
	struct cachefiles_req		*open_req;
	struct cachefiles_req		*close_req;
	struct cachefiles_req		*full_req;
	int				open_error;
	unsigned int			nr_opens;
	unsigned int			nr_fruitless;
	unsigned int			next_failure;
	struct cachefiles_failure	failures[CACHEFILES_NR_FAILURES];
	wait_queue_head_t		open_wq;
	struct list_head		held;
	struct cachefiles_map		map;
	struct rb_root_cached		inflight;
	struct rb_root_cached		reads;

	struct mutex			fill_mutex; /* guards the fields down to @next_partial */
	struct file			*file;
	loff_t				stored_size;
	bool				stored_full;
	bool				closed;
	errseq_t			wb_err;
	unsigned int			nr_lost;
	struct cachefiles_partial	*partial;
	unsigned int			next_partial;

	struct mutex			seek_mutex; /* inside of all the others */
	struct delayed_work		flush_work;
	u32				key_hash;
	u8				key_size;
	char				key[] __counted_by(key_size);
};

/**
 * struct cachefiles_blob - private data of a blob file
 * @object: what it reads from; the blob is one of its users
 * @reads: the reads through this file that wait; under the object's lock
 * @nr_reads: the reads through this file that have not ended, waiting or not
 * @shut: no more reads; set under the object's lock
 */
struct cachefiles_blob {
	struct cachefiles_od_object	*object;
	struct list_head		reads;
	atomic_t			nr_reads;
	bool				shut;
};

/**
 * struct cachefiles_trust - what a read goes by that trusts the presence map
 * @complete: the cache file was recorded as complete: its disk has it all
 * @wb_err: the writeback errors that the map takes account of
 * @nr_lost: how often before something has been lost
 */
struct cachefiles_trust {
	bool		complete;
	errseq_t	wb_err;
	unsigned int	nr_lost;
};

/**
 * struct cachefiles_read_op - a read that waits for the daemon
 * @span: the granules it needs; in the object's tree of reads
 * @link: in the blob's list, then in that of the reads to be ended
 * @object: what it reads from; pinned by the blob, which is not shut down before
 *	this has ended
 * @iocb: the caller's
 * @iter: where the data goes; the caller keeps what it points to
 * @data: its first byte in the memory that has just been written to the cache
 *	file, NULL if it is to be read from there
 * @work: does the reading if the task that filled the cache is being killed
 * @since: when it began to wait
 * @trust: from when its granules were found present
 * @error: what it ends with, 0 if its granules are present
 */
struct cachefiles_read_op {
	struct interval_tree_node	span;
	struct list_head		link;
	struct cachefiles_od_object	*object;
	struct kiocb			*iocb;
	struct iov_iter			iter;
	const void			*data;
	struct work_struct		work;
	ktime_t				since;
	struct cachefiles_trust		trust;
	int				error;
};

static inline struct cachefiles_ondemand *cachefiles_od(const struct cachefiles_od_object *object)
{
	return object->volume->od;
}

static inline void cachefiles_od_count(struct cachefiles_ondemand *od,
				       enum cachefiles_od_counter counter, u64 n)
{
	struct cachefiles_od_stats *stats = get_cpu_ptr(od->stats);
	unsigned long flags;

	/* A direct read may end in an interrupt. */
	flags = u64_stats_update_begin_irqsave(&stats->syncp);
	u64_stats_add(&stats->n[counter], n);
	u64_stats_update_end_irqrestore(&stats->syncp, flags);
	put_cpu_ptr(od->stats);
}

static inline unsigned long cachefiles_granule(loff_t pos)
{
	return pos >> CACHEFILES_GRANULE_SHIFT;
}

/* Where the data of an object of this size ends in the cache file. */
static inline loff_t cachefiles_data_end(loff_t size)
{
	return round_up(size, CACHEFILES_GRANULE_SIZE);
}

/* ondemand_blob.c */
void cachefiles_blob_end_read(struct kiocb *iocb, ssize_t ret);
ssize_t cachefiles_blob_read_file(struct cachefiles_od_object *object, loff_t pos,
				  struct iov_iter *to, struct cachefiles_trust trust);
ssize_t cachefiles_blob_read_here(struct cachefiles_od_object *object, struct kiocb *iocb,
				  struct iov_iter *to, struct cachefiles_trust trust);

/* ondemand_cache.c */
extern struct workqueue_struct *cachefiles_ondemand_wq;
struct cachefiles_ondemand *cachefiles_ondemand_find(void);
void cachefiles_ondemand_put(struct cachefiles_ondemand *od);
void cachefiles_ondemand_kick(struct cachefiles_ondemand *od);
void cachefiles_ondemand_put_later(struct cachefiles_ondemand *od);
bool cachefiles_ondemand_has_daemon(struct cachefiles_ondemand *od);
void cachefiles_ondemand_restore_all(struct cachefiles_ondemand *od);
void cachefiles_ondemand_for_each(struct seq_file *m,
				  void (*show)(struct seq_file *m, struct cachefiles_ondemand *od));
int cachefiles_ondemand_bind(struct cachefiles_cache *cache, char *args);
void cachefiles_ondemand_detach(struct cachefiles_cache *cache);
int cachefiles_ondemand_init(void);
void cachefiles_ondemand_exit(void);

/* ondemand_dev.c */
bool cachefiles_ondemand_wanted(const char *args);
int cachefiles_ondemand_copen(struct cachefiles_cache *cache, char *args);
int cachefiles_ondemand_restore(struct cachefiles_cache *cache, char *args);
ssize_t cachefiles_ondemand_read(struct cachefiles_cache *cache, char __user *buffer,
				 size_t buflen);
__poll_t cachefiles_ondemand_poll(struct cachefiles_cache *cache);
long cachefiles_ondemand_ioctl(struct file *file, unsigned int cmd, unsigned long arg);
int cachefiles_parse_bind(char *args, struct cachefiles_bind_opts *opts);
int cachefiles_parse_copen(char *args, u32 *id, loff_t *size);

/* ondemand_fd.c */
struct file *cachefiles_odfd_create(struct cachefiles_od_object *object, u32 object_id);
void cachefiles_odfd_set_sent(struct file *file);

/* ondemand_fetch.c */
void cachefiles_fetch(struct cachefiles_od_object *object, unsigned long first, unsigned long last);
void cachefiles_fetch_filled(struct cachefiles_od_object *object, unsigned long first,
			     unsigned long last, const void *data, struct list_head *ended);
void cachefiles_fetch_finish(struct list_head *ended);
ssize_t cachefiles_fetch_wait(struct kiocb *iocb, struct iov_iter *to, unsigned long first,
			      unsigned long last);
void cachefiles_fetch_shutdown(struct cachefiles_blob *blob);
void cachefiles_fetch_again(struct cachefiles_od_object *object);
void cachefiles_fetch_lost(struct cachefiles_od_object *object, unsigned long index,
			   const __le64 *buf);
bool cachefiles_od_present(struct cachefiles_od_object *object, unsigned long first,
			   unsigned long last);
int cachefiles_od_failure(struct cachefiles_od_object *object, unsigned long first,
			  unsigned long last);
void cachefiles_read_req_end(struct cachefiles_req *req, int error);

/* ondemand_fill.c */
void cachefiles_fill_forget_parts(struct cachefiles_od_object *object);
ssize_t cachefiles_fill(struct cachefiles_od_object *object, loff_t pos, struct iov_iter *from);

/* ondemand_names.c */
struct cachefiles_od_object *cachefiles_od_object_use(struct cachefiles_ondemand *od,
						      const char *volume_key, const char *key);
void cachefiles_od_object_unuse(struct cachefiles_od_object *object);
void cachefiles_od_object_forget(struct cachefiles_od_object *object);
void cachefiles_od_object_put(struct cachefiles_od_object *object);

static inline struct cachefiles_od_object *
cachefiles_od_object_get(struct cachefiles_od_object *object)
{
	refcount_inc(&object->ref);
	return object;
}

/* ondemand_object.c */
void cachefiles_od_object_prepare_full(struct cachefiles_od_object *object);
void cachefiles_od_object_tell_full(struct cachefiles_od_object *object);
void cachefiles_od_trouble(struct cachefiles_od_object *object, enum cachefiles_od_counter what,
			   int error);
void cachefiles_od_complain(struct cachefiles_od_object *object,
			    enum cachefiles_od_complaint what, int error);
int cachefiles_od_object_open(struct cachefiles_od_object *object);
void cachefiles_od_object_begin_open(struct cachefiles_od_object *object,
				     struct cachefiles_req *req);
struct cachefiles_req *cachefiles_od_open_req_alloc(struct cachefiles_od_object *object);
int cachefiles_od_object_answer(struct cachefiles_req *req, loff_t size);
void cachefiles_od_end_filled(struct list_head *filled);
void cachefiles_od_object_lost_fd(struct cachefiles_od_object *object, u32 object_id);
void cachefiles_od_object_restore(struct cachefiles_od_object *object, struct list_head *filled);
void cachefiles_od_object_detach(struct cachefiles_od_object *object);
void cachefiles_od_object_drop(struct cachefiles_od_object *object);

/* ondemand_flush.c */
struct cachefiles_trust cachefiles_store_trust(struct cachefiles_od_object *object);
bool cachefiles_store_suspect(struct cachefiles_od_object *object, struct cachefiles_trust trust);
bool cachefiles_store_lacks(struct cachefiles_od_object *object, struct cachefiles_trust trust,
			    loff_t pos, size_t len);
void cachefiles_store_flush_soon(struct cachefiles_od_object *object, unsigned long delay);
void cachefiles_store_flush_work(struct work_struct *work);

/* ondemand_proc.c */
void cachefiles_ondemand_proc_init(void);
void cachefiles_ondemand_proc_exit(void);

/* ondemand_space.c */
int cachefiles_ondemand_set_limits(struct cachefiles_cache *cache, const struct path *root);
int cachefiles_ondemand_check_space(struct cachefiles_ondemand *od, size_t bytes);
int cachefiles_ondemand_space(struct cachefiles_cache *cache, struct cachefiles_space *space);
int cachefiles_ondemand_cull(struct cachefiles_cache *cache, struct dentry *dir, char *name);

/* ondemand_store.c */
void cachefiles_store_release_volume(struct cachefiles_od_volume *volume);
int cachefiles_store_set_size(struct cachefiles_od_object *object, loff_t size);
int cachefiles_store_open_complete(struct cachefiles_od_object *object);
void cachefiles_store_unmark(struct inode *inode);
int cachefiles_store_record(struct cachefiles_od_object *object, loff_t size,
			    unsigned int content);
void cachefiles_store_close(struct cachefiles_od_object *object);

/* ondemand_watch.c */
void cachefiles_ondemand_watch_init(struct cachefiles_ondemand *od);
void cachefiles_ondemand_watch(struct cachefiles_ondemand *od);

#else /* !CONFIG_CACHEFILES_ONDEMAND */

static inline bool cachefiles_ondemand_wanted(const char *args)
{
	return false;
}

static inline int cachefiles_ondemand_bind(struct cachefiles_cache *cache, char *args)
{
	return -EOPNOTSUPP;
}

static inline void cachefiles_ondemand_detach(struct cachefiles_cache *cache)
{
}

static inline ssize_t cachefiles_ondemand_read(struct cachefiles_cache *cache, char __user *buffer,
					       size_t buflen)
{
	return -EOPNOTSUPP;
}

static inline __poll_t cachefiles_ondemand_poll(struct cachefiles_cache *cache)
{
	return 0;
}

static inline int cachefiles_ondemand_cull(struct cachefiles_cache *cache, struct dentry *dir,
					   char *name)
{
	return -EOPNOTSUPP;
}

static inline int cachefiles_ondemand_init(void)
{
	return 0;
}

static inline void cachefiles_ondemand_exit(void)
{
}

#endif /* CONFIG_CACHEFILES_ONDEMAND */

#endif /* _CACHEFILES_ONDEMAND_H */
