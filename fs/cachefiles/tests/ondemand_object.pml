/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Model of the on-demand read mode: READs, and the states of an object.  Part of
 * ondemand.pml; how it is written is said in ondemand_reqs.pml.
 */

/* ondemand_fetch.c */

#define WAITED_FOR(nr)	((waits[0] && WANT(0) == nr) || (waits[1] && WANT(1) == nr))

inline end_reads(nr, how)
{
	for (i_ : 0 .. 1) {
		if
		:: waits[i_] && WANT(i_) == nr -> waits[i_] = 0; result[i_] = how
		:: else
		fi
	};
	skip
}

inline fetch_filled(nr)
{
	present[nr] = 1;
	object.fruitless = 0;
	end_reads(nr, READ_OK)
}

/* Continued by submit_open() if the object has to be opened. */
inline submit_read(nr, anew)
{
	if
	:: object.state == DROPPED -> end_reads(nr, FAILED)
	:: else ->
		req_alloc(OP_READ, NR_REQS - nr, -2);
		r[n_].granule = nr;
		r[n_].asked_again = anew;
		if
		:: dead -> req_free(n_); end_reads(nr, FAILED)
		:: else ->
			assert(!inflight[nr]);
			inflight[nr] = n_;
			if
			:: object.state == OPEN ->
				r[n_].object_id = object.object_id;
				req_set_state(n_, QUEUED)
			:: else -> req_set_state(n_, HELD)
			fi;
			if
			:: object.state == CLOSED -> olock = 1; opening = 1
			:: else
			fi
		fi
	fi
}

inline submit_open(is_last)
{
	if
	:: opening -> d_step {
/* mutant HELD_WITHOUT_OPEN in DAEMON: a READ is held, and nothing opens the object */
#ifndef BUG_HELD_WITHOUT_OPEN
			object_begin_open();
#endif
			opening = 0;
			olock = 0;
			if
			:: is_last -> leave()
			:: else
			fi
		}
	:: else
	fi
}

/* mutant ASK_FOR_EVER in FRUITLESS: a READ without its data is always asked again */
#ifdef BUG_ASK_FOR_EVER
#define MAY_ASK_AGAIN(s)	true
#else
#define MAY_ASK_AGAIN(s)	(!r[s].asked_again)
#endif

/* With the reference put that the caller has to it. */
inline read_req_end(s, error, is_last)
{
	d_step {
		!olock ->
		req_ends(s);
		assert(inflight[r[s].granule] == s);
		inflight[r[s].granule] = 0;
		if
		:: present[r[s].granule]
/* mutant TRUST_ANSWER in JOIN: an answer is taken for the data */
#ifdef BUG_TRUST_ANSWER
		:: !present[r[s].granule] && !(error) -> end_reads(r[s].granule, READ_OK)
#else
		:: !present[r[s].granule] && !(error) && MAY_ASK_AGAIN(s) &&
		   WAITED_FOR(r[s].granule) ->
			submit_read(r[s].granule, 1)
#endif
		:: else -> end_reads(r[s].granule, FAILED)
		fi;
		req_put(s);
		s = 0;
		if
		:: is_last && !opening -> leave()
		:: else
		fi
	};
	submit_open(is_last)
}

/* ondemand_object.c */

inline set_state(to)
{
	/* From OPENING to OPENING when an OPEN takes another's place. */
	assert((object.state == CLOSED && to == OPENING) ||
	       (object.state == OPENING && (to == OPEN || to == CLOSED || to == OPENING)) ||
	       (object.state == OPEN && to == CLOSED) ||
	       (object.state != DROPPED && to == DROPPED));
	object.state = to
}

inline fail_held()
{
	do
	:: more ->
		d_step {
			if
			:: ANY(IS_HELD_BY_ME) -> PICK(IS_HELD_BY_ME, h); req_finish_locked(h)
			:: else -> more = 0; leave()
			fi
		};
		if
		:: more -> read_req_end(h, 1, 0)
		:: else
		fi
	:: else -> break
	od;
	skip
}

inline object_begin_open()
{
	/* An id that nobody knows any more stands for a new one. */
	i_ = 1;
	do
	:: i_ <= NR_IDS && (object.object_id == i_ || restored == i_ || fd[i_] != NO_FD) -> i_++
	:: else -> break
	od;
	assert(i_ <= NR_IDS);
	told[object.object_id] = (fd[object.object_id] != NO_FD && told[object.object_id] ->
				 TOLD_BEFORE : 0);
	object.object_id = i_;
	told[i_] = 0;
	object.fd_live = 0;
	set_state(OPENING);
	if
	:: dead ->
		object.open_req = 0;
		set_state(CLOSED);
		open_ended[0] = 1;
		open_ended[1] = 1
	:: else ->
		req_alloc(OP_OPEN, 1, 1);
		r[n_].ref = 2;
		r[n_].object_id = object.object_id;
		object.open_req = n_;
		req_set_state(n_, QUEUED)
	fi
}

/* mutant OPEN_WITHOUT_FD in DAEMON: the answer counts though the fd has been closed */
#ifdef BUG_OPEN_WITHOUT_FD
#define HAS_FD	true
#else
#define HAS_FD	object.fd_live
#endif

/* With the reference put that the caller has to it. */
inline object_end_open(s, error)
{
	d_step {
		!olock ->
		req_ends(s);
		if
		:: object.open_req != s
		:: else ->
			object.open_req = 0;
			if
			:: !(error) && HAS_FD ->
				set_state(OPEN);
				reqs_release()
			:: else ->
				set_state(CLOSED);
				reqs_move_held();
				object.announced = 0
			fi;
			open_ended[0] = 1;
			open_ended[1] = 1;
			req_put(s)
		fi;
		req_put(s);
		s = 0;
		if
		:: !more -> leave()
		:: else
		fi
	};
	fail_held()
}

/* Likewise. */
inline object_ask_again(s)
{
	d_step {
		!olock ->
		req_ends(s);
		if
		:: object.open_req == s ->
			object.announced = 0;
			object_begin_open();
			req_put(s)
		:: else
		fi;
		req_put(s);
		s = 0;
		leave()
	}
}

/* cachefiles_od_hold_reads(), one READ of it. */
inline hold_read(nr)
{
	n_ = inflight[nr];
	if
	:: n_ != 0 && !present[nr] -> req_hold(n_)
	:: n_ != 0 && present[nr] && IS_LIVE(n_) ->
		req_finish_locked(n_);
		r[n_].list = _pid;
		filled = 1
	:: else
	fi
}

/* mutant ANY_FD in DELIVERY: closing any fd of the object closes it */
#if defined(BUG_ANY_FD)
#define IS_FD_OF(id, closed)	true
/* mutant RESTORED_ID in RESTORE: "restore" takes whatever fd there is by then */
#elif defined(BUG_RESTORED_ID)
#define IS_FD_OF(id, closed)	(!(closed) || object.object_id == id)
#else
#define IS_FD_OF(id, closed)	(object.object_id == id)
#endif

/* mutant RESTORE_COUNTS in RESTORE: "restore" counts as an fd that is closed */
#ifdef BUG_RESTORE_COUNTS
#define COUNTS(closed)	1
#else
#define COUNTS(closed)	(closed)
#endif

/* mutant FRUITLESS in FRUITLESS: an fd is always replaced when it is closed */
#ifdef BUG_FRUITLESS
#define TOO_FRUITLESS	false
#else
#define TOO_FRUITLESS	(object.fruitless > MAX_FRUITLESS)
#endif

inline object_lost_fd(id, closed)
{
	d_step {
		!olock ->
		if
		:: IS_FD_OF(id, closed) && object.fd_live ->
			object.fd_live = 0;
			if
			:: object.state == OPEN ->
				set_state(CLOSED);
				object.announced = 0;
				olock = 1;
				go = 1
			:: else -> BLAME(closed)
			fi
		:: else
		fi;
		if
		:: closed -> fd[id] = NO_FD; told[id] = (id == object.object_id -> told[id] : 0)
		:: else -> restored = 0
		fi;
		if
		:: !go -> leave()
		:: else
		fi
	};
	if
	:: go ->
		d_step { hold_read(0) };
		d_step {
			hold_read(1);
			if
			:: !ANY(IS_HELD) ->
				olock = 0;
				go = 0;
				if
				:: !filled -> leave()
				:: else
				fi
			:: else
			fi
		};
		if
		:: go -> d_step {
				object.fruitless = object.fruitless + COUNTS(closed);
				if
				:: TOO_FRUITLESS ->
					object.fruitless = 0;
					BLAME(closed);
					reqs_move_held()
				:: else -> object_begin_open()
				fi;
				olock = 0;
				go = 0;
				if
				:: !filled && !more -> leave()
				:: else
				fi
			}
		:: else
		fi;
		do
		:: filled ->
			d_step {
				PICK(IS_FILLED_BY_ME, h);
				r[h].list = 0;
				filled = ANY(IS_FILLED_BY_ME)
			};
			read_req_end(h, 0, !filled && !more)
		:: else -> break
		od;
		fail_held()
	:: else
	fi
}

/* cachefiles_req_recall() */
/* mutant RECALL in DELIVERY: "restore" leaves an OPEN that is being delivered */
#ifdef BUG_RECALL
#define CAN_RECALL(s)	(r[s].st == SENT)
#else
#define CAN_RECALL(s)	(r[s].st == SENDING || r[s].st == SENT)
#endif

/* cachefiles_ondemand_restore_all(): there is but this object. */
inline object_restore()
{
	d_step {
		!names_mutex && !olock ->
		if
		:: users == 0
		:: else ->
			names_mutex = 1;
			if
			:: object.state == OPENING && CAN_RECALL(object.open_req) ->
				s = object.open_req;
				req_finish_locked(s)
			:: object.state == OPEN -> restored = object.object_id
			:: else
			fi
		fi
	};
	if
	:: s != 0 -> object_ask_again(s)
	:: s == 0 && restored != 0 -> object_lost_fd(restored, 0)
	:: else
	fi;
	names_mutex = 0
}

inline object_detach()
{
	d_step {
		!names_mutex && !olock ->
		object.fd_live = 0;
		object.announced = 0;
		object.object_id = 0;
		if
		:: object.state == OPEN -> set_state(CLOSED)
		:: else
		fi
	}
}

/* The part of cachefiles_od_object_drop() for one READ. */
inline drop_read(nr)
{
	n_ = inflight[nr];
	if
	:: n_ != 0 && IS_LIVE(n_) ->
		req_finish_locked(n_);
		req_ends(n_);
		inflight[nr] = 0;
		req_put(n_)
	:: else
	fi
}

/* mutant CLOSE_UNASKED in DROP: a CLOSE follows whether the daemon had the OPEN or not */
#if defined(BUG_CLOSE_UNASKED)
#define IS_ANNOUNCED	true
/* mutant NO_CLOSE in DAEMON: it never does */
#elif defined(BUG_NO_CLOSE)
#define IS_ANNOUNCED	false
#else
#define IS_ANNOUNCED	object.announced
#endif

inline object_drop()
{
	d_step {
		!olock ->
		olock = 1;
		assert(!waits[0] && !waits[1]);
		assert(!object.announced || told[object.object_id] == TOLD ||
		       (restoring && told[object.object_id] == TOLD_BEFORE));
		owes_close = bound && (object.state == OPENING || object.state == OPEN) &&
			     told[object.object_id] == TOLD && fd[object.object_id] == FD_OPEN;
		set_state(DROPPED);
		s = object.open_req;
		object.open_req = 0;
		if
		:: s != 0 && IS_LIVE(s) -> req_finish_locked(s); req_ends(s); req_put(s)
		:: else
		fi
	};
	d_step {
		if
		:: IS_ANNOUNCED && !dead ->
			req_alloc(OP_CLOSE, 1, 1);
			r[n_].object_id = object.object_id;
			req_set_state(n_, QUEUED)
		:: else
		fi
	};
/* mutant DROP_LEAVES_READS in DROP: READs without readers outlive the object */
#ifndef BUG_DROP_LEAVES_READS
	d_step { drop_read(0) };
	d_step { drop_read(1) };
#endif
	d_step {
		olock = 0;
		if
		:: s != 0 -> req_put(s); s = 0
		:: else
		fi
	}
}
