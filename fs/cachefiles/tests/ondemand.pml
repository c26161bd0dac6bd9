/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model of the on-demand read mode for spin: all that can happen to the requests
 * of one object of two granules, in any order, up to the bounds given below.
 *
 * Two users mount, read one granule each, and unmount; any of them may be killed.
 * The daemon's two threads read messages, answer OPENs and READs, fill, and close
 * anonymous fds, in any order, and each can answer what the other has read.
 * Copies to the daemon fail, it is killed while it answers, it refuses, it answers
 * without data, it closes an fd too early; it is replaced and "restore" is written
 * while threads of it are in the kernel still; it gets stuck; it goes, with its fds
 * or without, and the next one binds.  How much of this comes together is what the
 * configurations differ in.
 *
 * What may not happen:
 *
 * - a move that ondemand.h does not draw; a request that is ended twice, or used
 *   after its last reference; READs for the same granule in flight at a time: the
 *   assertions in the sections;
 * - a READ that is held without an OPEN under way; one that can be delivered or
 *   answered and is not the current OPEN's; an fd in the daemon's hands whose
 *   message did not count: Monitor, after each step;
 * - a reader that is told of success and has no data; with an honest daemon, one
 *   that fails before the daemon was given up; with a wrong one, of which objects are
 *   taken back by "restore" or "park", one that fails for anything but that: User;
 * - a READ that is answered on another fd than that of the OPEN that it is for; one
 *   that is delivered, after a "restore", to a daemon that was told of the object
 *   before it only: Daemon, deliver_read();
 * - a CLOSE that its daemon was not told the object of, or no CLOSE for one that it
 *   has open: deliver_notice(), and "owes_close" in Monitor;
 * - a request or a user that is left when nothing can move any more.  As all that
 *   anybody does is bounded, every run comes to this, and as the daemon goes on
 *   while it is neither gone nor stuck: nobody waits for ever.  That every run does
 *   come to it is checked as the absence of cycles where the code is what bounds it.
 *
 * What is left out:
 *
 * - Memory and barriers: a step sees what the steps before have done.  Waking: who
 *   waits for something has it at once.  KUnit has tests of the wake-ups.
 * - The order of the queue: any message in it may be read next.  What is deferred is
 *   in the queue.
 * - Requests made in advance: they are made when they are submitted.
 * - Ranges: a READ is for one granule and does not grow.  Partial fills; loss of what
 *   was filled; the size, which is known or not; complete objects without a daemon.
 * - Anybody but these two users: who comes after the drop has another object.
 * - FULL: it goes the way of CLOSE.  "keep" has no requests.
 * - Answers to what is not SENT, by ids of old: they change nothing.  KUnit and the
 *   kselftests send them.
 * - References to the object: every request and fd has one.
 *
 * Each of these configurations is explored with
 *
 *	spin -a -DDELIVERY ondemand.pml && cc -O1 -DSAFETY pan.c -o pan && ./pan -m10000
 *
 * and that with "cycles", in which nothing else bounds what the daemon does, with
 * -DNP -DNOFAIR instead of -DSAFETY, and ./pan -l -m10000.
 *
 * check DELIVERY: failed copies and "restore" lose nothing
 * check DAEMON: a daemon that does two things wrong strands nobody
 * check JOIN: likewise, and both readers wait for the same READ
 * check FRUITLESS cycles: a daemon that goes on doing so is given up
 * check DEATH: the daemon's end ends what waits, the next one adopts what is left
 * check PARK: with "park" it waits for the next daemon, or until the time is up
 * check DROP: users of a stuck daemon can be killed, and the object is dropped
 * check RESTORE: a daemon that does one thing wrong uses "restore" at any moment, once
 * check HANDOVER: with "park" one of a single thread dies instead, the next one takes over
 *
 * With each of the mistakes that are marked "mutant", made by -DBUG_NAME, an error
 * has to be found.
 */

/*
 * HONEST: the daemon does nothing wrong.  KILL: which users may be killed, a bit for
 * each.  NR_FAULTS: failed copies, answers by a killed task and, if not HONEST, wrong
 * doings.  NR_RESTORES, NR_DEATHS, NR_BINDS: how often these come.  WANT(): which
 * granule a user reads.  STUCK: the daemon may stop to do anything.
 */
#if defined(DELIVERY)
#define HONEST
#define NR_FAULTS	1
#define NR_RESTORES	1
#elif defined(RESTORE)
#define NR_FAULTS	1
#define NR_RESTORES	1
#elif defined(DAEMON)
#define KILL		2
#define NR_FAULTS	2
#elif defined(JOIN)
#define KILL		2
#define NR_FAULTS	2
#define WANT(i)		0
#elif defined(FRUITLESS)
#define ONE_THREAD
#elif defined(DEATH)
#define HONEST
#define KILL		2
#define NR_DEATHS	1
#define NR_BINDS	1
#elif defined(PARK)
#define HONEST
#define KILL		2
#define NR_DEATHS	1
#define NR_BINDS	1
#elif defined(HANDOVER)
#define PARK
#define ONE_THREAD
#define KILL		2
#define NR_FAULTS	1
#define NR_DEATHS	1
#define NR_BINDS	1
#elif defined(DROP)
#define KILL		3
#define NR_FAULTS	1
#define STUCK
#endif

#ifndef WANT
#define WANT(i)		(i)
#endif
#ifndef KILL
#define KILL		0
#endif
#ifndef NR_FAULTS
#define NR_FAULTS	0
#endif
#ifndef NR_RESTORES
#define NR_RESTORES	0
#endif
#ifndef NR_DEATHS
#define NR_DEATHS	0
#endif
#ifndef NR_BINDS
#define NR_BINDS	0
#endif
#define MAX_FRUITLESS	1

#if defined(HONEST)
#define MAY_FAIL	false
#elif defined(FRUITLESS)
#define MAY_FAIL	true
#else
#define MAY_FAIL	(faults > 0)
#endif
#ifdef FRUITLESS
#define CHARGE(n)	skip
#else
#define CHARGE(n)	faults = faults - (n)
#endif

/* For what readers may fail, where it must not be for a "restore" or the like of it. */
#if (NR_RESTORES || defined(PARK)) && !defined(HONEST)
#define BLAME(doing)	to_blame = to_blame || (doing)
#else
#define BLAME(doing)	skip
#endif

#ifdef STUCK
#define MAY_STOP	true
#define IS_STUCK	(bound && !alive)
#else
#define MAY_STOP	(!bound)
#define IS_STUCK	false
#endif
/* mutant UNKILLABLE in DROP: users wait for a stuck daemon */
#ifdef BUG_UNKILLABLE
#define MAY_BE_KILLED	false
#else
#define MAY_BE_KILLED	(((KILL) >> _pid & 1) || IS_STUCK)
#endif

#include "ondemand_reqs.pml"
#include "ondemand_object.pml"

/* Processes 0 and 1: who mounts, reads a granule, unmounts; with a blob of its own. */
active [2] proctype User()
{
	byte s;
	bit opening, device, has_mutex;

	/* cachefiles_od_object_ask() */
	d_step {
		!olock ->
		open_ended[_pid] = 0;
		if
		:: !object.size_known && object.state == CLOSED -> object_begin_open()
		:: else
		fi
	};
	/* Its wait, and cachefiles_fetch_wait(). */
	if
	:: d_step {
		!olock && (object.size_known || open_ended[_pid]) ->
		open_ended[_pid] = 1;
		if
		:: !object.size_known -> result[_pid] = FAILED
		:: object.size_known && present[WANT(_pid)] -> result[_pid] = READ_OK
		:: else -> waits[_pid] = 1
		fi
	   }
	:: MAY_BE_KILLED -> goto unuse
	fi;
	/* cachefiles_fetch() */
	if
	:: result[_pid]
	:: else ->
		d_step {
			!olock ->
			if
			:: present[WANT(_pid)] || inflight[WANT(_pid)]
			:: else -> submit_read(WANT(_pid), 0)
			fi
		};
		submit_open(0)
	fi;
	if
	:: result[_pid]
	/* cachefiles_fetch_shutdown() */
	:: MAY_BE_KILLED && !result[_pid] -> d_step {
			!olock ->
			waits[_pid] = 0
		};
		goto unuse
	fi;
	assert(result[_pid] == FAILED || present[WANT(_pid)]);
#if defined(HONEST) || NR_RESTORES || defined(PARK)
	assert(result[_pid] == READ_OK || given_up || to_blame);
#endif
unuse:
	/* cachefiles_od_object_unuse() */
	atomic {
		!names_mutex ->
		open_ended[_pid] = 1;
		result[_pid] = 0;
		users--;
		if
		:: users == 0 -> names_mutex = 1
		:: else -> goto gone
		fi
	};
	object_drop();
	names_mutex = 0;
gone:
	skip
}

#define IS_OPEN_SENT(s)	(r[s].st == SENT && r[s].op == OP_OPEN && !r[s].lost)
#define IS_READ_SENT(s)	(r[s].st == SENT && r[s].op == OP_READ && !r[s].lost && \
			 (present[r[s].granule] || MAY_FAIL))
/* mutant OLD_FD in DAEMON: a READ is answered on the fd of an earlier OPEN */
#ifdef BUG_OLD_FD
#define MAY_ANSWER(i)	(fd[i] == FD_OPEN && (i == object.object_id || MAY_FAIL))
#else
#define MAY_ANSWER(i)	(fd[i] == FD_OPEN && i == object.object_id)
#endif
#define IN_USE(i)	(bound && i == object.object_id)
#define MAY_CLOSE(i)	(fd[i] == FD_OPEN && (!IN_USE(i) || MAY_FAIL))
#define IS_OPEN_FD(i)	(fd[i] == FD_OPEN)

/* Processes 2 and 3: threads of the daemon. */
#ifdef ONE_THREAD
active proctype Daemon()
#else
active [2] proctype Daemon()
#endif
{
	byte s, h, id;
	bit opening, more, filled, go, device, has_mutex;

end:
	do
	/* read(2) on the device */
	:: req_next();
	   if
	   :: req_unsend()
	   :: r[s].op == OP_OPEN -> deliver_open()
	   :: r[s].op == OP_READ -> deliver_read()
	   :: r[s].op == OP_CLOSE -> deliver_notice()
	   fi
	/* cachefiles_ondemand_copen() */
	:: atomic {
		bound && alive && MY_TURN && !daemon_mutex && ANY(IS_OPEN_SENT) ->
		PICK(IS_OPEN_SENT, s);
		d_step { enter(1, 1); req_finish_locked(s) }
	   };
	   if
	   :: d_step { MAY_FAIL -> CHARGE(1); BLAME(true) };
	      object_end_open(s, 1)
	   :: d_step {
		/* cachefiles_store_set_size() */
		go = (object.state == DROPPED);
		object.size_known = object.size_known || !go
	      };
	      object_end_open(s, go);
	      go = 0
	   :: d_step { faults > 0 -> CHARGE(1) };
	      object_ask_again(s)
	   fi
	/* cachefiles_fill() */
	:: atomic {
		alive && MY_TURN && !olock && object.size_known && object.state != DROPPED &&
		ANY_ID(IS_OPEN_FD) && !(present[0] && present[1]) ->
		if
		:: !present[0] -> d_step { fetch_filled(0) }
		:: !present[1] -> d_step { fetch_filled(1) }
		fi
	   }
	/* cachefiles_odfd_answer() */
	:: atomic {
		alive && MY_TURN && !olock && object.state == OPEN && ANY_ID(MAY_ANSWER) &&
		ANY(IS_READ_SENT) ->
		PICK(IS_READ_SENT, s);
		PICK_ID(MAY_ANSWER, id);
		d_step {
			assert(r[s].object_id == id);
			id = 0;
			enter(0, 0);
			CHARGE(!present[r[s].granule]);
			BLAME(!present[r[s].granule] && r[s].asked_again);
/* mutant TAKE in DAEMON: an answered READ stays in the table */
#ifndef BUG_TAKE
			req_finish_locked(s);
#endif
			go = !present[r[s].granule]
		}
	   };
	   if
	   :: go = 0; read_req_end(s, 0, 1)
	   :: d_step { go -> go = 0; BLAME(true) };
	      read_req_end(s, 1, 1)
	   fi
	/* cachefiles_odfd_release() */
	:: atomic {
		alive && MY_TURN && ANY_ID(MAY_CLOSE) ->
		PICK_ID(MAY_CLOSE, id);
		d_step { enter(0, 0); CHARGE(IN_USE(id)); fd[id] = FD_CLOSING }
	   };
	   object_lost_fd(id, 1);
	   id = 0
#if NR_DEATHS || defined(STUCK)
	:: atomic { alive && MY_TURN && MAY_STOP -> alive = 0 }
#endif
	od
}

/* Nobody is left who could answer what has been delivered, or is at this moment. */
inline lose_messages()
{
	d_step {
		for (i_ : 1 .. NR_REQS) {
			if
			:: r[i_].st == SENDING || r[i_].st == SENT -> r[i_].lost = 1
			:: else
			fi
		};
		skip
	}
}

#if NR_RESTORES || NR_DEATHS
/* Process 4: who replaces the daemon, or closes and binds the device. */
active proctype Device()
{
	byte s, h;
	bit opening, more, filled, go, device, has_mutex;

end:
	do
#if NR_RESTORES
	:: atomic {
		bound && restores > 0 ->
		restores--;
		alive = 1;
		if
		:: lose_messages()
		:: true
		fi
	   };
	   /* cachefiles_ondemand_restore() */
	   d_step {
		!daemon_mutex ->
		daemon_mutex = 1;
		in_device++;
		restoring = 1;
		for (i_ : 1 .. NR_IDS) {
			if
			:: told[i_] == TOLD -> told[i_] = TOLD_BEFORE
			:: else
			fi
		};
		skip
	   };
	   object_restore();
	   d_step { restoring = 0; daemon_mutex = 0; in_device-- }
#endif
#if NR_DEATHS
	/* cachefiles_ondemand_detach(); a call on the device keeps it from being released. */
	:: atomic {
		bound && deaths > 0 && in_device == 0 ->
		deaths--;
		bound = 0;
		owes_close = 0;
		if
		:: lose_messages()
		:: true
		fi
	   };
#ifdef PARK
	   /* cachefiles_ondemand_park() */
/* mutant PARK_FIRST in PARK: CLOSEs are dropped before the objects are lost */
#ifdef BUG_PARK_FIRST
	   reqs_park();
	   object_restore();
#else
/* mutant PARK_ONLY in PARK: what was delivered does not go back */
#ifndef BUG_PARK_ONLY
	   object_restore();
#endif
	   reqs_park();
#endif
	   parked = 1
#else
	   /* cachefiles_ondemand_fail_all() */
	   reqs_kill();
/* mutant NO_DETACH in DEATH: the next daemon is asked about what only the last one opened */
#ifndef BUG_NO_DETACH
	   object_detach()
#endif
#endif
#endif
#if NR_BINDS
	/* cachefiles_ondemand_attach() */
/* mutant BIND_GOES_AHEAD in PARK: a daemon binds while the time's end ends requests */
#ifdef BUG_BIND_GOES_AHEAD
	:: atomic { !bound && binds > 0 ->
#else
	:: atomic { !bound && binds > 0 && !expiring ->
#endif
		d_step {
			binds--;
			bound = 1;
			alive = 1;
			dead = 0;
			parked = 0;
			for (i_ : 1 .. NR_IDS) {
				if
				:: told[i_] -> told[i_] = TOLD_ANOTHER
				:: else
				fi
			};
			skip
		}
	   }
#endif
	od
}
#endif

#ifdef PARK
/* Process 5: cachefiles_ondemand_park_work() */
active proctype Timer()
{
	byte s, h;
	bit opening, more, device, has_mutex;

end:
	do
	:: atomic { parked -> expiring = 1; parked = 0 };
	   reqs_kill();
	   object_detach();
	   expiring = 0
	od
}
#endif

#define IS_ASTRAY(s)	(r[s].op == OP_READ && r[s].st != HELD && IS_LIVE(s) && \
			 (object.state != OPEN || r[s].object_id != object.object_id))
#define IS_STRAY_FD(i)	(fd[i] == FD_OPEN && !told[i])
#define IS_LEFT(s)	(r[s].st != FREE && !(r[s].op == OP_CLOSE && r[s].st == QUEUED && \
					      !dead && !(bound && alive)))

active proctype Monitor()
{
end:
	if
	/* A READ that is held has an OPEN under way. */
	:: atomic {
		!olock && !killing && object.state != OPENING && ANY(IS_HELD) ->
		assert(false)
	   }
	:: atomic {
		!olock && (object.state == OPENING) != (object.open_req != 0) ->
		assert(false)
	   }
	/* One that is not belongs to the OPEN that has been answered. */
	:: atomic { !olock && ANY(IS_ASTRAY) -> assert(false) }
	:: atomic {
		ANY_ID(IS_STRAY_FD) ->
		assert(false)
	   }
	/* Nothing moves any more. */
	:: atomic {
		timeout ->
		assert(users == 0 && object.state == DROPPED);
		assert(!ANY(IS_LEFT));
		assert(!(owes_close && bound && alive));
		assert(!inflight[0] && !inflight[1]);
		assert(!in_device && !daemon_mutex && !names_mutex && !olock && !killing)
	   }
	fi
}
