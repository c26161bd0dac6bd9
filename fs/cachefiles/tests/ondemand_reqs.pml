/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model of the on-demand read mode: what there is, the table of requests, and
 * their delivery.  Part of ondemand.pml, which says what is modelled and how.
 *
 * A d_step or atomic is one critical section.  One that begins with "!olock" is
 * under the object's lock; where the code takes the table's lock more than once in
 * such a section, each time is a step of its own, and olock is set meanwhile.  What
 * needs the table's lock only can get in between, as in the code.
 *
 * Inlines are named after the functions that they stand for, cachefiles_ and od_
 * left out.  Those without a step of their own are parts of one.  Of the caller's
 * variables they use s and h, requests that it works on; id, an object_id; and
 * opening, more, filled and go, which say how a function goes on.
 */

#define NR_REQS		6	/* more than are ever in use, asserted */
#define NR_IDS		5	/* likewise */

#define FREE		0
mtype = { NEW, QUEUED, HELD, SENDING, SENT, DONE };	/* enum cachefiles_req_state */
mtype = { OP_OPEN, OP_READ, OP_CLOSE };			/* enum cachefiles_opcode */
mtype = { CLOSED, OPENING, OPEN, DROPPED };		/* enum cachefiles_od_state */

/* struct cachefiles_req; its number is the msg_id, 0 is none. */
typedef request {
	mtype st;
	mtype op;
	bit granule;
	bit asked_again;
	bit ended;			/* its end has been seen to */
	bit lost;			/* who has the message will not answer */
	unsigned object_id : 3;
	unsigned sender : 3;
	unsigned list : 3;		/* whose list it is on, 0: the object's */
	unsigned ref : 3;
};

/* struct cachefiles_od_object */
typedef od_object {
	mtype state = CLOSED;
	bit fd_live;
	bit announced;
	bit size_known;
	unsigned object_id : 3;
	unsigned open_req : 3;
	unsigned fruitless : 2;
};

request r[NR_REQS + 1];
bit dead, killing;

od_object object;
bit present[2];			/* the map, of two granules */
byte inflight[2];		/* the READ for each of them */

/* The locks; the table's is never held from one step to the next. */
bit olock, names_mutex, daemon_mutex, expiring;

/* A user: it waits for a granule, an OPEN has ended since it asked, its read's end. */
bit waits[2];
bit open_ended[2];
byte result[2];
unsigned users : 2 = 2;

#define READ_OK		1
#define FAILED		2

/* The daemon, and what it has by object_id: anonymous fds, and what it was told. */
bit bound = 1;
bit alive = 1;
bit busy;
unsigned in_device : 2;
byte fd[NR_IDS + 1];
byte told[NR_IDS + 1];
unsigned restored : 3;		/* what object_restore() works on */

#define NO_FD		0
#define FD_RESERVED	1
#define FD_OPEN		2
#define FD_CLOSING	3

#define TOLD		1
#define TOLD_ANOTHER	2	/* a daemon before this one */
#define TOLD_BEFORE	3	/* before "restore", or of another OPEN */

bit parked, given_up, to_blame, restoring, owes_close;
unsigned faults : 2 = NR_FAULTS;
unsigned restores : 2 = NR_RESTORES;
unsigned deaths : 2 = NR_DEATHS;
unsigned binds : 2 = NR_BINDS;

/* They live within one step. */
hidden byte i_, n_;

#define IS_LIVE(s) \
	(r[s].st == QUEUED || r[s].st == HELD || r[s].st == SENDING || r[s].st == SENT)
#define IS_QUEUED(s)		(r[s].st == QUEUED)
#define IS_HELD(s)		(r[s].st == HELD && r[s].list == 0)
#define IS_HELD_BY_ME(s)	(r[s].st == HELD && r[s].list == _pid)
#define IS_FILLED_BY_ME(s)	(r[s].st == DONE && r[s].list == _pid)
#define IS_NOTICE(s)		(IS_LIVE(s) && r[s].op == OP_CLOSE)
/* mutant SENDER in DELIVERY: a delivery counts whoever began it */
#ifdef BUG_SENDER
#define IS_MINE(s)		(r[s].st == SENDING)
#else
#define IS_MINE(s)		(r[s].st == SENDING && r[s].sender == _pid)
#endif

#define ANY(P)	(P(1) || P(2) || P(3) || P(4) || P(5) || P(6))
#define PICK(P, s) \
	if \
	:: P(1) -> s = 1 \
	:: P(2) -> s = 2 \
	:: P(3) -> s = 3 \
	:: P(4) -> s = 4 \
	:: P(5) -> s = 5 \
	:: P(6) -> s = 6 \
	fi
#define ANY_ID(P)	(P(1) || P(2) || P(3) || P(4) || P(5))
#define PICK_ID(P, i) \
	if \
	:: P(1) -> i = 1 \
	:: P(2) -> i = 2 \
	:: P(3) -> i = 3 \
	:: P(4) -> i = 4 \
	:: P(5) -> i = 5 \
	fi

/*
 * The daemon's threads are alike, so the second one begins something only while
 * the first one is at something.  Other processes do not enter.
 */
#define MY_TURN	(_pid == 2 || busy)

inline enter(on_device, command)
{
	busy = busy || _pid == 2;
	device = on_device;
	in_device = in_device + on_device;
	daemon_mutex = daemon_mutex || command;
	has_mutex = command
}

inline leave()
{
	busy = busy && _pid != 2;
	in_device = in_device - device;
	device = 0;
	daemon_mutex = daemon_mutex && !has_mutex;
	has_mutex = 0
}

inline req_set_state(s, to)
{
	assert((r[s].st == NEW && (to == QUEUED || to == HELD)) ||
	       (r[s].st == QUEUED && (to == SENDING || to == HELD || to == DONE)) ||
	       (r[s].st == HELD && (to == QUEUED || to == DONE)) ||
	       (r[s].st == SENDING && to != SENDING && to != NEW) ||
	       (r[s].st == SENT && (to == HELD || to == DONE)));
	r[s].st = to
}

inline req_free(s)
{
	r[s].st = FREE;
	r[s].op = 0;
	r[s].granule = 0;
	r[s].asked_again = 0;
	r[s].ended = 0;
	r[s].lost = 0;
	r[s].object_id = 0;
	r[s].sender = 0;
	r[s].list = 0;
	r[s].ref = 0
}

inline req_put(s)
{
	assert(r[s].ref > 0);
	r[s].ref--;
	if
	:: r[s].ref == 0 -> assert(r[s].st == DONE && r[s].ended); req_free(s)
	:: else
	fi
}

/*
 * Leaves it in n_.  Where the search for a free one begins makes for fewer states:
 * the same requests are at the same places whatever came before.
 */
inline req_alloc(opcode, first, step)
{
	n_ = first;
	do
	:: n_ >= 1 && n_ <= NR_REQS && r[n_].st != FREE -> n_ = n_ + (step)
	:: else -> break
	od;
	assert(n_ >= 1 && n_ <= NR_REQS);
	r[n_].st = NEW;
	r[n_].op = opcode;
	r[n_].ref = 1
}

inline req_finish_locked(s)
{
	req_set_state(s, DONE);
	r[s].object_id = 0;
	r[s].sender = 0;
	r[s].list = 0;
	r[s].lost = 0
}

/* What stands for the call of its end function, if it has one. */
inline req_ends(s)
{
	assert(r[s].ref > 0 && r[s].st == DONE && !r[s].ended);
	r[s].ended = 1
}

inline req_hold(s)
{
	assert(r[s].ref > 0);
	if
	:: r[s].st == DONE || r[s].st == HELD
	:: else ->
		req_set_state(s, HELD);
		r[s].object_id = 0;
		r[s].sender = 0;
		r[s].lost = 0
	fi
}

inline reqs_release()
{
	for (i_ : 1 .. NR_REQS) {
		if
		:: IS_HELD(i_) ->
			r[i_].object_id = object.object_id;
			req_set_state(i_, QUEUED)
		:: else
		fi
	};
	skip
}

inline reqs_move_held()
{
	for (i_ : 1 .. NR_REQS) {
		if
		:: IS_HELD(i_) -> r[i_].list = _pid; more = 1
		:: else
		fi
	};
	skip
}

/* mutant KILL_LEAVES_HELD in DEATH: READs that are held do not end with the daemon */
#ifdef BUG_KILL_LEAVES_HELD
#define IS_KILLED(s)	(IS_LIVE(s) && r[s].st != HELD)
#else
#define IS_KILLED(s)	IS_LIVE(s)
#endif

inline reqs_kill()
{
	d_step {
/* mutant DEAD_LAST in DEATH: requests can be submitted while they are ended */
#ifndef BUG_DEAD_LAST
		dead = 1;
#endif
		killing = 1;
		given_up = 1
	};
	do
	:: atomic {
		PICK(IS_KILLED, s);
		d_step { req_finish_locked(s) }
	   };
	   if
	   :: r[s].op == OP_OPEN -> object_end_open(s, 1)
	   :: r[s].op == OP_READ -> read_req_end(s, 1, 0)
	   :: r[s].op == OP_CLOSE -> d_step { req_ends(s); req_put(s); s = 0 }
	   fi
	:: atomic { !ANY(IS_KILLED) -> killing = 0 };
	   break
	od;
#ifdef BUG_DEAD_LAST
	dead = 1;
#endif
	skip
}

inline reqs_park()
{
	do
	:: d_step {
		ANY(IS_NOTICE) ->
		PICK(IS_NOTICE, s);
		req_finish_locked(s);
		req_ends(s);
		req_put(s);
		s = 0
	   }
	:: !ANY(IS_NOTICE) -> break
	od;
	skip
}

/* cachefiles_ondemand_read() begins with cachefiles_req_next(). */
inline req_next()
{
	atomic {
		bound && alive && MY_TURN && ANY(IS_QUEUED) ->
		PICK(IS_QUEUED, s);
		d_step {
			enter(1, 0);
			req_set_state(s, SENDING);
			r[s].sender = _pid;
			r[s].ref++;
			id = r[s].object_id
		}
/* mutant FD_EARLY in DELIVERY: the fd is published before the message is copied */
#ifdef BUG_FD_EARLY
		;
		if
		:: r[s].op == OP_OPEN -> fd[id] = FD_OPEN
		:: else
		fi
#endif
	}
}

inline delivered()
{
	req_put(s);
	s = 0;
	id = 0;
	leave()
}

/* The message could not be copied, or no file descriptor be had. */
inline req_unsend()
{
	d_step {
		faults > 0 ->
		CHARGE(1);
		if
/* mutant UNSEND in DELIVERY: a message that can't be copied is not put back */
#ifndef BUG_UNSEND
		:: IS_MINE(s) ->
			req_set_state(s, QUEUED);
			r[s].sender = 0;
			r[s].lost = 0
#endif
		:: else
		fi;
		delivered()
	}
}

inline deliver_read()
{
	d_step {
		if
		:: IS_MINE(s) ->
			assert(told[id] == TOLD || (restoring && told[id] == TOLD_BEFORE));
			assert(id == object.object_id);
			req_set_state(s, SENT)
		:: else
		fi;
		delivered()
	}
}

inline deliver_notice()
{
	d_step {
		assert(told[id] == TOLD || told[id] == TOLD_BEFORE);
		assert(object.state == DROPPED);
		if
		:: IS_LIVE(s) ->
			req_finish_locked(s);
			req_ends(s);
			req_put(s);
			owes_close = 0
		:: else
		fi;
		delivered()
	}
}

inline deliver_open()
{
	d_step {
		!olock ->
		if
		:: IS_MINE(s) ->
			assert(object.open_req == s && object.object_id == id);
			req_set_state(s, SENT);
			object.fd_live = 1;
			object.announced = 1;
			told[id] = TOLD;
			fd[id] = FD_RESERVED
		:: else -> id = 0
		fi;
		req_put(s);
		s = 0
	};
	/* fd_publish() */
	d_step {
		if
		:: id != 0 -> fd[id] = FD_OPEN
		:: else
		fi;
		id = 0;
		leave()
	}
}
