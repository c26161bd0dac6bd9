// SPDX-License-Identifier: GPL-2.0-or-later
/* /proc/fs/fscache/ondemand: what on-demand caches do and what they wait for */
#include <linux/proc_fs.h>
#include <linux/seq_file.h>
#include "internal.h"

/* Where fscache has its files; /proc/fs/fscache is a link to it. */
#define CACHEFILES_OD_PROC	"fs/netfs/ondemand"

/* No more requests than these are listed, oldest id first. */
#define CACHEFILES_OD_PROC_REQS	64

static const char * const cachefiles_req_states[] = {
	[CACHEFILES_REQ_NEW]		= "new",
	[CACHEFILES_REQ_QUEUED]		= "queued",
	[CACHEFILES_REQ_HELD]		= "held",
	[CACHEFILES_REQ_SENDING]	= "sending",
	[CACHEFILES_REQ_SENT]		= "sent",
	[CACHEFILES_REQ_DONE]		= "done",
};

static const char * const cachefiles_opcodes[] = {
	[CACHEFILES_OP_OPEN]	= "open",
	[CACHEFILES_OP_CLOSE]	= "close",
	[CACHEFILES_OP_READ]	= "read",
	[CACHEFILES_OP_FULL]	= "full",
};

static const char * const cachefiles_wait_classes[CACHEFILES_OD_NR_WAITS] = {
	"1ms", "10ms", "100ms", "1s", "10s", "more",
};

static u64 cachefiles_od_sum(struct cachefiles_ondemand *od, enum cachefiles_od_counter counter)
{
	u64 sum = 0;
	int cpu;

	for_each_possible_cpu(cpu) {
		struct cachefiles_od_stats *stats = per_cpu_ptr(od->stats, cpu);
		unsigned int start;
		u64 n;

		do {
			start = u64_stats_fetch_begin(&stats->syncp);
			n = u64_stats_read(&stats->n[counter]);
		} while (u64_stats_fetch_retry(&stats->syncp, start));
		sum += n;
	}
	return sum;
}

static void cachefiles_od_show_reqs(struct seq_file *m, struct cachefiles_reqs *table)
{
	ktime_t now = ktime_get();
	struct cachefiles_req *req;
	unsigned long id;
	int left = CACHEFILES_OD_PROC_REQS;

	guard(spinlock)(&table->ids.xa_lock);
	xa_for_each(&table->ids, id, req) {
		if (req->state == CACHEFILES_REQ_NEW)
			continue;
		if (!left--)
			break;
		seq_printf(m, "  request id=%u op=%s state=%s age_ms=%lld object_id=%u",
			   req->id, cachefiles_opcodes[req->opcode],
			   cachefiles_req_states[req->state], ktime_ms_delta(now, req->since),
			   req->object_id);
		if (req->object)
			seq_printf(m, " object=%s/%s", req->object->volume->key, req->object->key);
		if (req->opcode == CACHEFILES_OP_READ)
			seq_printf(m, " granules=%lu-%lu", req->span.start, req->span.last);
		seq_putc(m, '\n');
	}
}

static void cachefiles_od_show(struct seq_file *m, struct cachefiles_ondemand *od)
{
	struct path root = { .mnt = od->mnt, .dentry = od->root };
	int i;

	seq_puts(m, "cache ");
	seq_path(m, &root, " \t\n\\");
	seq_printf(m, " daemon=%s pending=%u max_pending=%u\n",
		   READ_ONCE(od->cache) ? "bound" : READ_ONCE(od->parked) ? "awaited" : "none",
		   READ_ONCE(od->reqs.nr_live), READ_ONCE(od->reqs.max_live));
	seq_printf(m, "  reads hits=%llu misses=%llu joined=%llu errors=%llu filled_bytes=%llu disk_errors=%llu\n",
		   cachefiles_od_sum(od, CACHEFILES_OD_HITS),
		   cachefiles_od_sum(od, CACHEFILES_OD_MISSES),
		   cachefiles_od_sum(od, CACHEFILES_OD_JOINED),
		   cachefiles_od_sum(od, CACHEFILES_OD_READ_ERRORS),
		   cachefiles_od_sum(od, CACHEFILES_OD_FILLED_BYTES),
		   cachefiles_od_sum(od, CACHEFILES_OD_DISK_ERRORS));
	seq_printf(m, "  daemon binds=%llu expiries=%llu opens=%llu resent=%llu read_fails=%llu empty_reads=%llu open_fails=%llu closed_fds=%llu stale_answers=%llu\n",
		   cachefiles_od_sum(od, CACHEFILES_OD_BINDS),
		   cachefiles_od_sum(od, CACHEFILES_OD_EXPIRIES),
		   cachefiles_od_sum(od, CACHEFILES_OD_OPENS),
		   cachefiles_od_sum(od, CACHEFILES_OD_RESENT),
		   cachefiles_od_sum(od, CACHEFILES_OD_READ_FAILS),
		   cachefiles_od_sum(od, CACHEFILES_OD_EMPTY_READS),
		   cachefiles_od_sum(od, CACHEFILES_OD_OPEN_FAILS),
		   cachefiles_od_sum(od, CACHEFILES_OD_FDS_CLOSED),
		   cachefiles_od_sum(od, CACHEFILES_OD_STALE_ANSWERS));
	seq_printf(m, "  space completed=%llu no_space=%llu culled=%llu fill_errors=%llu lost=%llu emptied=%llu\n",
		   cachefiles_od_sum(od, CACHEFILES_OD_COMPLETED),
		   cachefiles_od_sum(od, CACHEFILES_OD_NO_SPACE),
		   cachefiles_od_sum(od, CACHEFILES_OD_CULLED),
		   cachefiles_od_sum(od, CACHEFILES_OD_FILL_ERRORS),
		   cachefiles_od_sum(od, CACHEFILES_OD_LOST),
		   cachefiles_od_sum(od, CACHEFILES_OD_EMPTIED));
	seq_puts(m, "  waits");
	for (i = 0; i < CACHEFILES_OD_NR_WAITS; i++)
		seq_printf(m, " %s=%llu", cachefiles_wait_classes[i],
			   cachefiles_od_sum(od, CACHEFILES_OD_WAITS + i));
	seq_putc(m, '\n');
	cachefiles_od_show_reqs(m, &od->reqs);
}

static int cachefiles_ondemand_proc_show(struct seq_file *m, void *v)
{
	cachefiles_ondemand_for_each(m, cachefiles_od_show);
	return 0;
}

void __init cachefiles_ondemand_proc_init(void)
{
	/* Without it the mode works the same. */
	proc_create_single(CACHEFILES_OD_PROC, 0400, NULL, cachefiles_ondemand_proc_show);
}

void cachefiles_ondemand_proc_exit(void)
{
	remove_proc_entry(CACHEFILES_OD_PROC, NULL);
}
