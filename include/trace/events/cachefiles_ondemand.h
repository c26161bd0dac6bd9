/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Events of cachefiles' on-demand mode: one per change of state. */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM cachefiles_ondemand

#if !defined(_TRACE_CACHEFILES_ONDEMAND_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_CACHEFILES_ONDEMAND_H

#include <linux/tracepoint.h>

TRACE_DEFINE_ENUM(CACHEFILES_OP_OPEN);
TRACE_DEFINE_ENUM(CACHEFILES_OP_CLOSE);
TRACE_DEFINE_ENUM(CACHEFILES_OP_READ);
TRACE_DEFINE_ENUM(CACHEFILES_OP_FULL);
TRACE_DEFINE_ENUM(CACHEFILES_REQ_NEW);
TRACE_DEFINE_ENUM(CACHEFILES_REQ_QUEUED);
TRACE_DEFINE_ENUM(CACHEFILES_REQ_HELD);
TRACE_DEFINE_ENUM(CACHEFILES_REQ_SENDING);
TRACE_DEFINE_ENUM(CACHEFILES_REQ_SENT);
TRACE_DEFINE_ENUM(CACHEFILES_REQ_DONE);
TRACE_DEFINE_ENUM(CACHEFILES_OD_CLOSED);
TRACE_DEFINE_ENUM(CACHEFILES_OD_OPENING);
TRACE_DEFINE_ENUM(CACHEFILES_OD_OPEN);
TRACE_DEFINE_ENUM(CACHEFILES_OD_DROPPED);
TRACE_DEFINE_ENUM(CACHEFILES_OD_BOUND);
TRACE_DEFINE_ENUM(CACHEFILES_OD_UNBOUND);
TRACE_DEFINE_ENUM(CACHEFILES_OD_PARKED);
TRACE_DEFINE_ENUM(CACHEFILES_OD_EXPIRED);
TRACE_DEFINE_ENUM(CACHEFILES_OD_NO_SPACE_LEFT);
TRACE_DEFINE_ENUM(CACHEFILES_OD_EMPTY_READS);
TRACE_DEFINE_ENUM(CACHEFILES_OD_OPEN_FAILS);
TRACE_DEFINE_ENUM(CACHEFILES_OD_FILL_ERRORS);
TRACE_DEFINE_ENUM(CACHEFILES_OD_DISK_ERRORS);
TRACE_DEFINE_ENUM(CACHEFILES_OD_LOST);
TRACE_DEFINE_ENUM(CACHEFILES_OD_FDS_CLOSED);
TRACE_DEFINE_ENUM(CACHEFILES_OD_EMPTIED);

#define show_od_opcode(value)				\
	__print_symbolic(value,				\
		{ CACHEFILES_OP_OPEN,	"OPEN" },	\
		{ CACHEFILES_OP_CLOSE,	"CLOSE" },	\
		{ CACHEFILES_OP_READ,	"READ" },	\
		{ CACHEFILES_OP_FULL,	"FULL" })

#define show_od_req_state(value)				\
	__print_symbolic(value,				\
		{ CACHEFILES_REQ_NEW,	"new" },	\
		{ CACHEFILES_REQ_QUEUED,	"queued" },	\
		{ CACHEFILES_REQ_HELD,	"held" },	\
		{ CACHEFILES_REQ_SENDING,	"sending" },	\
		{ CACHEFILES_REQ_SENT,	"sent" },	\
		{ CACHEFILES_REQ_DONE,	"done" })

#define show_od_state(value)				\
	__print_symbolic(value,				\
		{ CACHEFILES_OD_CLOSED,	"closed" },	\
		{ CACHEFILES_OD_OPENING,	"opening" },	\
		{ CACHEFILES_OD_OPEN,	"open" },	\
		{ CACHEFILES_OD_DROPPED,	"dropped" })

#define show_od_event(value)				\
	__print_symbolic(value,				\
		{ CACHEFILES_OD_BOUND,	"bound" },	\
		{ CACHEFILES_OD_UNBOUND,	"unbound" },	\
		{ CACHEFILES_OD_PARKED,	"parked" },	\
		{ CACHEFILES_OD_EXPIRED,	"expired" },	\
		{ CACHEFILES_OD_NO_SPACE_LEFT,	"no space" })

#define show_od_trouble(value)				\
	__print_symbolic(value,				\
		{ CACHEFILES_OD_EMPTY_READS,	"empty" },	\
		{ CACHEFILES_OD_OPEN_FAILS,	"open" },	\
		{ CACHEFILES_OD_FILL_ERRORS,	"fill" },	\
		{ CACHEFILES_OD_DISK_ERRORS,	"disk" },	\
		{ CACHEFILES_OD_LOST,	"lost" },	\
		{ CACHEFILES_OD_FDS_CLOSED,	"closed" },	\
		{ CACHEFILES_OD_EMPTIED,	"emptied" })

TRACE_EVENT(cachefiles_od_cache,
	TP_PROTO(const struct cachefiles_ondemand *od, unsigned int event),

	TP_ARGS(od, event),

	TP_STRUCT__entry(
		__string(name,		od->root->d_name.name)
		__field(u8,		event)
		__field(unsigned int,	pending)
	),

	TP_fast_assign(
		__assign_str(name);
		__entry->event		= event;
		__entry->pending	= od->reqs.nr_live;
	),

	TP_printk("%s %s pending=%u", __get_str(name), show_od_event(__entry->event),
		  __entry->pending)
);

TRACE_EVENT(cachefiles_od_read_fail,
	TP_PROTO(const struct cachefiles_od_object *object, const struct cachefiles_req *req,
		 int error),

	TP_ARGS(object, req, error),

	TP_STRUCT__entry(
		__string(volume,	object->volume->key)
		__string(key,		object->key)
		__field(u32,		id)
		__field(int,		error)
		__field(unsigned long,	first)
		__field(unsigned long,	last)
	),

	TP_fast_assign(
		__assign_str(volume);
		__assign_str(key);
		__entry->id		= req->id;
		__entry->error		= error;
		__entry->first		= req->span.start;
		__entry->last		= req->span.last;
	),

	TP_printk("%s/%s id=%u error=%d granules=%lu-%lu", __get_str(volume),
		  __get_str(key), __entry->id, __entry->error, __entry->first, __entry->last)
);

TRACE_EVENT(cachefiles_od_trouble,
	TP_PROTO(const struct cachefiles_od_object *object, unsigned int what, int error),

	TP_ARGS(object, what, error),

	TP_STRUCT__entry(
		__string(volume,	object->volume->key)
		__string(key,		object->key)
		__field(u8,		what)
		__field(int,		error)
	),

	TP_fast_assign(
		__assign_str(volume);
		__assign_str(key);
		__entry->what		= what;
		__entry->error		= error;
	),

	TP_printk("%s/%s %s error=%d", __get_str(volume), __get_str(key),
		  show_od_trouble(__entry->what), __entry->error)
);

TRACE_EVENT(cachefiles_od_complete,
	TP_PROTO(const struct cachefiles_od_object *object, bool recorded),

	TP_ARGS(object, recorded),

	TP_STRUCT__entry(
		__string(volume,	object->volume->key)
		__string(key,		object->key)
		__field(s64,		size)
		__field(bool,		recorded)
	),

	TP_fast_assign(
		__assign_str(volume);
		__assign_str(key);
		__entry->size		= object->size;
		__entry->recorded	= recorded;
	),

	TP_printk("%s/%s size=%lld recorded=%d", __get_str(volume), __get_str(key),
		  __entry->size, __entry->recorded)
);

TRACE_EVENT(cachefiles_od_cull,
	TP_PROTO(const struct cachefiles_ondemand *od, const char *file, int error),

	TP_ARGS(od, file, error),

	TP_STRUCT__entry(
		__string(name,		od->root->d_name.name)
		__string(file,		file)
		__field(int,		error)
	),

	TP_fast_assign(
		__assign_str(name);
		__assign_str(file);
		__entry->error		= error;
	),

	TP_printk("%s %s error=%d", __get_str(name), __get_str(file), __entry->error)
);

TRACE_EVENT(cachefiles_od_stale_answer,
	TP_PROTO(const struct cachefiles_ondemand *od, unsigned int opcode, u32 id),

	TP_ARGS(od, opcode, id),

	TP_STRUCT__entry(
		__string(name,		od->root->d_name.name)
		__field(u32,		id)
		__field(u8,		opcode)
	),

	TP_fast_assign(
		__assign_str(name);
		__entry->id		= id;
		__entry->opcode		= opcode;
	),

	TP_printk("%s %s id=%u", __get_str(name), show_od_opcode(__entry->opcode), __entry->id)
);

TRACE_EVENT(cachefiles_od_req,
	TP_PROTO(const struct cachefiles_req *req, unsigned int to),

	TP_ARGS(req, to),

	TP_STRUCT__entry(
		__field(u32,		id)
		__field(u32,		object_id)
		__field(u8,		opcode)
		__field(u8,		from)
		__field(u8,		to)
		__field(unsigned long,	first)
		__field(unsigned long,	last)
	),

	TP_fast_assign(
		__entry->id		= req->id;
		__entry->object_id	= req->object_id;
		__entry->opcode		= req->opcode;
		__entry->from		= req->state;
		__entry->to		= to;
		__entry->first		= req->span.start;
		__entry->last		= req->span.last;
	),

	TP_printk("%s id=%u oid=%u %s -> %s granules=%lu-%lu",
		  show_od_opcode(__entry->opcode),
		  __entry->id, __entry->object_id,
		  show_od_req_state(__entry->from),
		  show_od_req_state(__entry->to),
		  __entry->first, __entry->last)
);

TRACE_EVENT(cachefiles_od_object,
	TP_PROTO(const struct cachefiles_od_object *object, unsigned int to),

	TP_ARGS(object, to),

	TP_STRUCT__entry(
		__string(volume,	object->volume->key)
		__string(key,		object->key)
		__field(u32,		object_id)
		__field(u8,		from)
		__field(u8,		to)
		__field(s64,		size)
	),

	TP_fast_assign(
		__assign_str(volume);
		__assign_str(key);
		__entry->object_id	= object->object_id;
		__entry->from		= object->state;
		__entry->to		= to;
		__entry->size		= object->size;
	),

	TP_printk("%s/%s oid=%u %s -> %s size=%lld",
		  __get_str(volume), __get_str(key), __entry->object_id,
		  show_od_state(__entry->from),
		  show_od_state(__entry->to),
		  __entry->size)
);

TRACE_EVENT(cachefiles_od_read_wait,
	TP_PROTO(const struct cachefiles_od_object *object, unsigned long first,
		 unsigned long last),

	TP_ARGS(object, first, last),

	TP_STRUCT__entry(
		__string(key,		object->key)
		__field(unsigned long,	first)
		__field(unsigned long,	last)
	),

	TP_fast_assign(
		__assign_str(key);
		__entry->first		= first;
		__entry->last		= last;
	),

	TP_printk("%s granules=%lu-%lu", __get_str(key), __entry->first, __entry->last)
);

TRACE_EVENT(cachefiles_od_read_done,
	TP_PROTO(const struct cachefiles_od_object *object, loff_t pos, ssize_t ret),

	TP_ARGS(object, pos, ret),

	TP_STRUCT__entry(
		__string(key,		object->key)
		__field(s64,		pos)
		__field(s64,		ret)
	),

	TP_fast_assign(
		__assign_str(key);
		__entry->pos		= pos;
		__entry->ret		= ret;
	),

	TP_printk("%s pos=%lld ret=%lld", __get_str(key), __entry->pos, __entry->ret)
);

TRACE_EVENT(cachefiles_od_filled,
	TP_PROTO(const struct cachefiles_od_object *object, unsigned long first,
		 unsigned long last, unsigned long added),

	TP_ARGS(object, first, last, added),

	TP_STRUCT__entry(
		__string(key,		object->key)
		__field(unsigned long,	first)
		__field(unsigned long,	last)
		__field(unsigned long,	added)
	),

	TP_fast_assign(
		__assign_str(key);
		__entry->first		= first;
		__entry->last		= last;
		__entry->added		= added;
	),

	TP_printk("%s granules=%lu-%lu added=%lu", __get_str(key), __entry->first,
		  __entry->last, __entry->added)
);

#endif /* _TRACE_CACHEFILES_ONDEMAND_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
