// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Instances of the on-demand mode: a cache directory, and the daemon that is
 * bound to it or not.
 *
 * An instance lives as long as anything in it is used, while it is parked, and for
 * as long as it is kept.  A daemon that binds the same directory finds it again,
 * with the objects that are mounted.
 */
#include <linux/blk_plug.h>
#include <linux/module.h>
#include <linux/mount.h>
#include <linux/namei.h>
#include <linux/slab.h>
#include "internal.h"

#define CREATE_TRACE_POINTS
#include <trace/events/cachefiles_ondemand.h>

static DEFINE_MUTEX(cachefiles_ondemand_mutex);
static LIST_HEAD(cachefiles_ondemand_list);

struct workqueue_struct *cachefiles_ondemand_wq;

static void cachefiles_ondemand_put_work(struct work_struct *work)
{
	cachefiles_ondemand_put(container_of(work, struct cachefiles_ondemand, put_work));
}

/* Nobody is there who could answer. */
static void cachefiles_ondemand_fail_all(struct cachefiles_ondemand *od)
{
	struct cachefiles_od_object *object;
	int bucket;

	cachefiles_reqs_kill(&od->reqs);
	guard(mutex)(&od->names_mutex);
	hash_for_each(od->objects, bucket, object, hash)
		cachefiles_od_object_detach(object);
}

/**
 * cachefiles_ondemand_restore_all - have everything sent again
 * @od: the instance
 *
 * Context: may sleep.
 */
void cachefiles_ondemand_restore_all(struct cachefiles_ondemand *od)
{
	struct cachefiles_od_object *object;
	LIST_HEAD(filled);
	int bucket;

	scoped_guard(mutex, &od->names_mutex)
		hash_for_each(od->objects, bucket, object, hash)
			if (object->users)
				cachefiles_od_object_restore(object, &filled);
	/* Without the lock: whoever read may want it next. */
	cachefiles_od_end_filled(&filled);
}

/*
 * No daemon has come in time.  Holds no lock that a completion could need, and
 * bind waits for it: what it ends is never what the next daemon has been asked.
 */
static void cachefiles_ondemand_park_work(struct work_struct *work)
{
	struct cachefiles_ondemand *od =
		container_of(to_delayed_work(work), struct cachefiles_ondemand, park_work);

	pr_warn("on-demand cache %pd: no daemon has come within %u s, what waits fails\n",
		od->root, od->park_secs);
	cachefiles_od_count(od, CACHEFILES_OD_EXPIRIES, 1);
	trace_cachefiles_od_cache(od, CACHEFILES_OD_EXPIRED);
	scoped_guard(rwsem_write, &od->attach_sem)
		WRITE_ONCE(od->parked, false);
	cachefiles_ondemand_fail_all(od);
	cachefiles_ondemand_put(od); /* that of the parking */
}

static struct cachefiles_ondemand *cachefiles_ondemand_alloc(const struct path *root)
{
	struct cachefiles_ondemand *od = kzalloc_obj(*od);

	if (!od)
		return NULL;
	od->stats = alloc_percpu(struct cachefiles_od_stats);
	if (!od->stats) {
		kfree(od);
		return NULL;
	}
	refcount_set(&od->ref, 1); /* the bound device's */
	/* Work and plugs may outlive every file that pins the module. */
	__module_get(THIS_MODULE);
	INIT_WORK(&od->put_work, cachefiles_ondemand_put_work);
	INIT_DELAYED_WORK(&od->park_work, cachefiles_ondemand_park_work);
	cachefiles_ondemand_watch_init(od);
	init_rwsem(&od->attach_sem);
	init_rwsem(&od->cull_sem);
	mutex_init(&od->names_mutex);
	INIT_LIST_HEAD(&od->volumes);
	hash_init(od->objects);
	init_waitqueue_head(&od->drop_wq);
	cachefiles_reqs_init(&od->reqs);
	od->mnt = mntget(root->mnt);
	od->root = dget(root->dentry);
	return od;
}

/*
 * Not after the mutex has been let go of: whoever binds the directory then makes
 * an instance of its own, and would find these in use.
 */
static void cachefiles_ondemand_put_dirs(struct cachefiles_ondemand *od)
{
	lockdep_assert_held(&cachefiles_ondemand_mutex);
	cachefiles_put_directory(od->graveyard);
	cachefiles_put_directory(od->store);
}

static void cachefiles_ondemand_free(struct cachefiles_ondemand *od)
{
	cancel_delayed_work_sync(&od->watch_work);
	cachefiles_reqs_destroy(&od->reqs);
	dput(od->root);
	mntput(od->mnt);
	put_cred(od->cred);
	free_percpu(od->stats);
	kfree(od);
	/* The caller is a work of ours, or has a file of ours open. */
	module_put(THIS_MODULE);
}

/**
 * cachefiles_ondemand_put - drop a reference to an instance
 * @od: the instance
 *
 * Context: may sleep.
 */
void cachefiles_ondemand_put(struct cachefiles_ondemand *od)
{
	if (!refcount_dec_and_mutex_lock(&od->ref, &cachefiles_ondemand_mutex))
		return;
	list_del_init(&od->link);
	cachefiles_ondemand_put_dirs(od);
	mutex_unlock(&cachefiles_ondemand_mutex);
	cachefiles_ondemand_free(od);
}

/**
 * cachefiles_ondemand_put_later - drop a reference to an instance, from anywhere
 * @od: the instance
 *
 * Context: any; does not sleep.
 */
void cachefiles_ondemand_put_later(struct cachefiles_ondemand *od)
{
	if (!refcount_dec_not_one(&od->ref))
		queue_work(cachefiles_ondemand_wq, &od->put_work);
}

/**
 * struct cachefiles_plug - a kick that waits for the end of a block plug
 * @cb: links it to the plug
 * @pinned: it has a reference to its instance
 */
struct cachefiles_plug {
	struct blk_plug_cb	cb;
	bool			pinned;
};

static void cachefiles_ondemand_unplug(struct blk_plug_cb *cb, bool from_schedule)
{
	struct cachefiles_ondemand *od = cb->data;

	kfree(container_of(cb, struct cachefiles_plug, cb));
	cachefiles_reqs_wake(&od->reqs);
	/* This may be the scheduler. */
	cachefiles_ondemand_put_later(od);
}

/**
 * cachefiles_ondemand_kick - tell the daemon that there is something to read
 * @od: the instance
 *
 * Inside a block plug, as in readahead, this waits until the plug is finished
 * or the task sleeps: the misses of one window are merged before a daemon
 * thread that has nothing to do takes the first of them.
 *
 * Context: any task; does not sleep.
 */
void cachefiles_ondemand_kick(struct cachefiles_ondemand *od)
{
	struct blk_plug_cb *cb = blk_check_plugged(cachefiles_ondemand_unplug, od,
						   sizeof(struct cachefiles_plug));
	struct cachefiles_plug *plug = container_of(cb, struct cachefiles_plug, cb);

	if (!cb) {
		cachefiles_reqs_wake(&od->reqs);
	} else if (!plug->pinned) {
		plug->pinned = true;
		refcount_inc(&od->ref);
	}
	cachefiles_ondemand_watch(od);
}

/**
 * cachefiles_ondemand_find - find the instance to open a blob of
 *
 * That with a daemon; or the one that waits for a daemon; or the last one that
 * has been bound and is still there, as complete blobs need no daemon.  One that
 * is being bound at this moment is what it was before.
 *
 * Context: may sleep.
 * Return: the instance, with a reference, or NULL.
 */
struct cachefiles_ondemand *cachefiles_ondemand_find(void)
{
	struct cachefiles_ondemand *od, *best = NULL;

	guard(mutex)(&cachefiles_ondemand_mutex);
	/* The last one bound is the last one here. */
	list_for_each_entry_reverse(od, &cachefiles_ondemand_list, link) {
		if (READ_ONCE(od->cache)) {
			best = od;
			break;
		}
		if (!best || (READ_ONCE(od->parked) && !READ_ONCE(best->parked)))
			best = od;
	}
	if (best)
		refcount_inc(&best->ref);
	return best;
}

/**
 * cachefiles_ondemand_has_daemon - is there anybody to ask, or will there be?
 * @od: the instance
 *
 * Context: may sleep.
 * Return: false if nothing is bound to the instance, and none is waited for.
 */
bool cachefiles_ondemand_has_daemon(struct cachefiles_ondemand *od)
{
	guard(rwsem_read)(&od->attach_sem);
	return od->cache || od->parked;
}

/* What this mode needs of a file system, and which of it is wanting. */
static int cachefiles_ondemand_check_root(const struct path *root)
{
	struct super_block *sb = root->dentry->d_sb;
	struct inode *inode = d_backing_inode(root->dentry);
	const char *lack = NULL;

	if (sb_rdonly(sb))
		return -EROFS;
	if (is_idmapped_mnt(root->mnt))
		lack = "a mount that is not idmapped";
	else if (sb->s_stack_depth)
		lack = "a file system that is not stacked on another";
	else if (!inode->i_op->lookup || !inode->i_op->mkdir || !inode->i_op->create)
		lack = "directories and files that can be created";
	else if (!(inode->i_opflags & IOP_XATTR))
		lack = "extended attributes";
	else if (!sb->s_op->statfs || !sb->s_op->sync_fs)
		lack = "statfs and sync";
	/* A larger one is no hole as soon as one of its granules has been filled. */
	else if (sb->s_blocksize > CACHEFILES_GRANULE_SIZE)
		lack = "blocks of 4 KiB at most";
	/* After a power cut what they were before would be part of the map. */
	else if (!strcmp(sb->s_type->name, "ext2"))
		lack = "blocks that are written before a file has them";
	if (!lack)
		return 0;
	pr_err("on-demand mode needs %s: not so on %s\n", lack, sb->s_id);
	return -EOPNOTSUPP;
}

/* Take the instance's directories for the helpers of the plain mode. */
static void cachefiles_ondemand_lend(struct cachefiles_ondemand *od, struct cachefiles_cache *cache)
{
	cache->mnt = od->mnt;
	cache->store = od->store;
	cache->graveyard = od->graveyard;
}

static void cachefiles_ondemand_take_back(struct cachefiles_cache *cache)
{
	cache->mnt = NULL;
	cache->store = NULL;
	cache->graveyard = NULL;
}

/* Make the directories of a new instance; called with the cache's credentials. */
static int cachefiles_ondemand_make_dirs(struct cachefiles_ondemand *od,
					 struct cachefiles_cache *cache)
{
	struct dentry *dir;

	cache->mnt = od->mnt;
	dir = cachefiles_get_directory(cache, od->root, "cache", NULL);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	od->store = dir;
	dir = cachefiles_get_directory(cache, od->root, "graveyard", NULL);
	if (IS_ERR(dir))
		return PTR_ERR(dir);
	od->graveyard = dir;
	return 0;
}

/*
 * Find the instance of a directory, or with @create make one, and claim it for a
 * device.  Its place in the list is as if it were not bound, as it has no daemon
 * yet.  With @create the caller has write access to the mount.
 */
static struct cachefiles_ondemand *cachefiles_ondemand_get(struct cachefiles_cache *cache,
							   const struct path *root, bool create)
{
	struct cachefiles_ondemand *od;
	int ret;

	guard(mutex)(&cachefiles_ondemand_mutex);
	list_for_each_entry(od, &cachefiles_ondemand_list, link) {
		if (od->root == root->dentry) {
			if (od->bound)
				return ERR_PTR(-EBUSY);
			od->bound = true;
			/* The reference of what is kept becomes the device's. */
			if (od->kept)
				od->kept = false;
			else
				refcount_inc(&od->ref);
			return od;
		}
	}
	if (!create)
		return ERR_PTR(-ENOENT);
	od = cachefiles_ondemand_alloc(root);
	if (!od)
		return ERR_PTR(-ENOMEM);
	ret = cachefiles_ondemand_make_dirs(od, cache);
	if (ret) {
		cachefiles_ondemand_take_back(cache);
		cachefiles_ondemand_put_dirs(od);
		cachefiles_ondemand_free(od);
		return ERR_PTR(ret);
	}
	od->cred = get_cred(cache->cache_cred);
	od->bound = true;
	list_add(&od->link, &cachefiles_ondemand_list);
	return od;
}

static int cachefiles_ondemand_attach(struct cachefiles_cache *cache, const struct path *root,
				      const struct cachefiles_bind_opts *opts)
{
	struct cachefiles_ondemand *od = cachefiles_ondemand_get(cache, root, false);
	int ret;

	if (od == ERR_PTR(-ENOENT)) {
		/* Before the mutex: while the disk is frozen others go on. */
		ret = mnt_want_write(root->mnt);
		if (ret)
			return ret;
		od = cachefiles_ondemand_get(cache, root, true);
		mnt_drop_write(root->mnt);
	}
	if (IS_ERR(od))
		return PTR_ERR(od);
	if (cancel_delayed_work_sync(&od->park_work))
		cachefiles_ondemand_put(od); /* that of the parking; not the last */
	od->park_secs = opts->park_secs;
	od->keep = opts->keep;
	WRITE_ONCE(od->tell_full, opts->full);
	cachefiles_ondemand_lend(od, cache);
	WRITE_ONCE(cache->ondemand, od);
	cachefiles_reqs_revive(&od->reqs, &cache->daemon_pollwq);
	scoped_guard(rwsem_write, &od->attach_sem) {
		WRITE_ONCE(od->cache, cache);
		WRITE_ONCE(od->parked, false);
	}
	scoped_guard(mutex, &cachefiles_ondemand_mutex)
		list_move_tail(&od->link, &cachefiles_ondemand_list);
	cachefiles_od_count(od, CACHEFILES_OD_BINDS, 1);
	trace_cachefiles_od_cache(od, CACHEFILES_OD_BOUND);
	return 0;
}

/**
 * cachefiles_ondemand_bind - "bind ondemand"
 * @cache: the device, with its "dir" and limits set
 * @args: the arguments of "bind"; changed
 *
 * Nothing is registered with fscache: network file systems do not see a cache
 * in this mode.
 *
 * Context: may sleep; under daemon_mutex.
 * Return: 0; -EINVAL for an option that is unknown, malformed or given twice;
 * -EROFS; -EOPNOTSUPP if the file system lacks something, the log says what;
 * -EBUSY if the directory is in use; or another error of the file system or the
 * security module.
 */
int cachefiles_ondemand_bind(struct cachefiles_cache *cache, char *args)
{
	struct cachefiles_bind_opts opts;
	const struct cred *saved_cred;
	struct path root;
	int ret;

	ret = cachefiles_parse_bind(args, &opts);
	if (ret) {
		pr_err("'bind ondemand' takes 'park=SECONDS' of at most %u, 'keep' and 'full'\n",
		       CACHEFILES_PARK_MAX);
		return ret;
	}
	ret = cachefiles_get_security_ID(cache);
	if (ret)
		return ret;
	cachefiles_begin_secure(cache, &saved_cred);
	ret = kern_path(cache->rootdirname, LOOKUP_DIRECTORY, &root);
	if (!ret) {
		ret = cachefiles_ondemand_check_root(&root) ?:
			cachefiles_determine_cache_security(cache, root.dentry, &saved_cred) ?:
			cachefiles_ondemand_set_limits(cache, &root) ?:
			cachefiles_ondemand_attach(cache, &root, &opts);
		path_put(&root);
	}
	cachefiles_end_secure(cache, saved_cred);
	if (ret) {
		put_cred(cache->cache_cred);
		cache->cache_cred = NULL;
		pr_err("binding %s in on-demand mode failed: %d\n", cache->rootdirname, ret);
		return ret;
	}
	smp_mb__before_atomic(); /* pairs with that in cachefiles_in_ondemand_mode() */
	set_bit(CACHEFILES_READY, &cache->flags);
	/* Who was woken before could not read yet. */
	cachefiles_ondemand_kick(cache->ondemand);
	cachefiles_has_space(cache, 0, 0, cachefiles_has_space_check);
	pr_info("on-demand cache at %s bound\n", cache->rootdirname);
	return 0;
}

/*
 * Leave what waits for the daemon to the next one, for a time.  The instance
 * lives through it by a reference of its own.
 */
static void cachefiles_ondemand_park(struct cachefiles_ondemand *od)
{
	refcount_inc(&od->ref);
	/* In this order: from then on there is nothing that the daemon is to be told. */
	cachefiles_ondemand_restore_all(od);
	cachefiles_reqs_park(&od->reqs);
	trace_cachefiles_od_cache(od, CACHEFILES_OD_PARKED);
	queue_delayed_work(cachefiles_ondemand_wq, &od->park_work,
			   secs_to_jiffies(od->park_secs));
}

/**
 * cachefiles_ondemand_detach - the daemon has closed the device
 * @cache: the device
 *
 * Everything that waits for the daemon ends with an error, or waits for the next
 * daemon if the device was bound so.  Objects in use stay as they are; what is
 * present in them can be read.  Does nothing to a device that is not bound in
 * this mode.
 *
 * Context: may sleep, for the local disk at most.
 */
void cachefiles_ondemand_detach(struct cachefiles_cache *cache)
{
	struct cachefiles_ondemand *od = cache->ondemand;
	bool kept;

	if (!od)
		return;
	scoped_guard(rwsem_write, &od->attach_sem) {
		WRITE_ONCE(od->parked, od->park_secs > 0);
		WRITE_ONCE(od->cache, NULL);
	}
	if (od->parked)
		cachefiles_ondemand_park(od);
	else
		cachefiles_ondemand_fail_all(od);
	trace_cachefiles_od_cache(od, CACHEFILES_OD_UNBOUND);

	/* What was lent must not be put by the plain mode. */
	clear_bit(CACHEFILES_READY, &cache->flags);
	cachefiles_ondemand_take_back(cache);
	cache->ondemand = NULL;
	pr_info("on-demand cache at %s unbound%s%s\n", cache->rootdirname,
		od->parked ? ", requests wait for the next daemon" : "",
		od->keep ? ", kept for what is complete" : "");
	scoped_guard(mutex, &cachefiles_ondemand_mutex) {
		od->bound = false;
		kept = od->keep;
		od->kept = kept;
	}
	if (!kept)
		cachefiles_ondemand_put(od);
}

/**
 * cachefiles_ondemand_for_each - print all instances
 * @m: where to
 * @show: prints one, under the lock of the list
 */
void cachefiles_ondemand_for_each(struct seq_file *m,
				  void (*show)(struct seq_file *m, struct cachefiles_ondemand *od))
{
	struct cachefiles_ondemand *od;

	guard(mutex)(&cachefiles_ondemand_mutex);
	list_for_each_entry(od, &cachefiles_ondemand_list, link)
		show(m, od);
}

int __init cachefiles_ondemand_init(void)
{
	/* Objects are closed by it while the cache's disk may need memory. */
	cachefiles_ondemand_wq = alloc_workqueue("cachefiles-ondemand",
						 WQ_UNBOUND | WQ_MEM_RECLAIM, 0);
	if (!cachefiles_ondemand_wq)
		return -ENOMEM;
	cachefiles_ondemand_proc_init();
	return 0;
}

void cachefiles_ondemand_exit(void)
{
	cachefiles_ondemand_proc_exit();
	destroy_workqueue(cachefiles_ondemand_wq);
}
