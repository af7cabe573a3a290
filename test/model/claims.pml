/*
 * The claim protocol of benchorch: who may hold a config, and when its model
 * version is ranked.  README.md beside this file says how to read it, what is
 * left out, and which line of C or SQL each guard stands for.
 *
 * The database is modelled as transactions see it under READ COMMITTED.
 * now[] is what is committed.  Whoever changes a row locks it and works on
 * mine[], which nobody else sees; commit() makes all of a transaction's work
 * visible at once, and checks every invariant; roll_back() leaves no trace.
 * Each step of a session is one statement with a snapshot of its own.  Waiting
 * for a row that another session has locked may also end in a rollback:
 * PostgreSQL's deadlock detector, a cancelled query, a lost connection.
 *
 * A session may make any call at any time under any claim that was ever
 * handed out.  So a worker that dies, freezes, comes back late or hands in
 * twice needs no process of its own: its call is not made, or made late, or
 * made again.  Time is left open likewise: a lease may run out at any moment,
 * and a delayed retry may become due at any moment.
 */

/* ------------------------------------------------------------------ bounds */

#ifndef CONFIGS
#define CONFIGS		2		/* 1 or 2 */
#endif
#ifndef TOKENS
#define TOKENS		3		/* claims in all: at most MAX_TOKENS */
#endif
#ifndef SESSIONS
#define SESSIONS	2
#endif
#ifndef LIMIT
#define LIMIT		2		/* blamed attempts after which a config fails */
#endif
#ifndef REOPENINGS
#define REOPENINGS	1		/* calls of retry_failed that open a config */
#endif
#define MAX_TOKENS	4
#define MAX_ENTRIES	1		/* chunk entries for one config that no claim has locked; more would do what these do */
#define WORKERS		2		/* 1 and 2; 0 stands for a claim without worker */
#define LAST		(CONFIGS - 1)

/* ----------------------------------------------------------------- the data */

#define PENDING		0
#define RUNNING		1
#define COMPLETED	2
#define FAILED		3
#define CANCELLED	4		/* or skipped */
#define SETTLED(s)	((s) >= COMPLETED)

typedef Row					/* of benchmark_configs, with what attempts tells of it */
{
	byte status;
	byte claim;				/* the current one; 0: none */
	bit started;
	byte spent				/* blamed attempts */
};
Row now[CONFIGS];			/* committed */
Row mine[CONFIGS];			/* as the holder of the lock sees it */
byte lock[CONFIGS];			/* the session that holds the row; 0: none */

/* Chunks: how many entries name a config, and how many of those a claim on its way has locked.  Entries may be stale. */
byte lane_chunks[CONFIGS] = 1, lane_locked[CONFIGS];			/* for workers */
byte priority_chunks[CONFIGS] = 1, priority_locked[CONFIGS];	/* for claims without worker */

bit delayed[CONFIGS];		/* rows of delayed_configs */
byte delay_lock[CONFIGS];

byte tokens;				/* claims handed out: 1 to tokens */
byte claiming;				/* claims on their way */
byte owner[MAX_TOKENS + 1];
byte held[MAX_TOKENS + 1];	/* the configs that a claim took: bits */
byte claims;				/* rows of the table claims: bits */
#ifdef TOKENS_REPEAT
byte number[MAX_TOKENS + 1], sequence;	/* what a bare sequence gives */
#endif

#define NONE		0
#define VALID		1
#define EXPIRED		2
byte lease[WORKERS + 1], lease_lock[WORKERS + 1];

bit accepted[CONFIGS];		/* there is an accepted result */
byte busy;					/* sessions inside a transaction */

#ifdef ENDGAME
bit mark;					/* rows of endgames */
bit finalized;				/* model_versions.finalized_at */
byte model_lock;			/* the row of model_versions */
byte advisory;				/* the advisory lock on the model */
byte reopenings;
bit due;					/* for the checks: became settled, and was not ranked since */
bit outdated;				/* for the checks: became settled again since results were last read */
#endif

#ifdef CRASHES
Row safe[CONFIGS];			/* what is flushed */
byte safe_lane[CONFIGS] = 1, safe_priority[CONFIGS] = 1, safe_claims, safe_lease[WORKERS + 1];
bit safe_delayed[CONFIGS], safe_accepted[CONFIGS];
bit acknowledged[CONFIGS];	/* for the checks: a caller was told that its result is accepted */
#ifdef TOKENS_REPEAT
byte safe_sequence;
#endif
#endif

#define ME				(_pid + 1)
#define BIT(n)			(1 << (n))
#define HAS(set, n)		(((set) >> (n)) & 1)
#define ONE_BIT(set)	(((set) & ((set) - 1)) == 0)
#define FREE(i)			(lock[i] == 0 || lock[i] == ME)
#define SEES(i)			(lock[i] == ME -> mine[i].status : now[i].status)
/* Rows of the table claims of a worker, or without one. */
#define HAS_CLAIMS(worker) \
	((HAS(claims, 1) && owner[1] == worker) || (HAS(claims, 2) && owner[2] == worker) || \
	 (HAS(claims, 3) && owner[3] == worker) || (HAS(claims, 4) && owner[4] == worker))
#define ALL_SETTLED		(SETTLED(now[0].status) && SETTLED(now[LAST].status))

/* ------------------------------------------------------------------- guards */

#if defined(NO_FENCE) || defined(NO_TAKE_BACK_FENCE) || defined(NO_CLAIM_ROW) || defined(CRASHES)
#define KEEP_DEAD_CLAIMS
#endif

/* Taken out by -DNAME each, as are some further down: the table in README.md has them all. */

#ifdef NO_PENDING_RECHECK
#define STILL_PENDING(i)	true
#else
#define STILL_PENDING(i)	(now[i].status == PENDING)
#endif

/* A call under a claim finds the claim current. */
#ifdef NO_FENCE
#define CURRENT(token, i)	(now[i].status == RUNNING && HAS(held[token], i))
#else
#ifdef TOKENS_REPEAT
#define CURRENT(token, i)	(now[i].status == RUNNING && HAS(held[token], i) && number[now[i].claim] == number[token])
#else
#define CURRENT(token, i)	(now[i].status == RUNNING && now[i].claim == token)
#endif
#endif

/* A config is still what the list of a sweep or release said. */
#ifdef NO_TAKE_BACK_FENCE
#define STILL_HELD(i)		(now[i].status == RUNNING)
#else
#define STILL_HELD(i)		(now[i].status == RUNNING && HAS(list, now[i].claim))
#endif

#ifdef NO_TRANSITION_TABLE
#define MAY_CANCEL(i)		(SEES(i) != CANCELLED)
#else
#define MAY_CANCEL(i)		(!SETTLED(SEES(i)))
#endif

#ifdef NO_ATTEMPT_LIMIT
#define USED_UP(i)			false
#else
#define USED_UP(i)			(mine[i].spent >= LIMIT)
#endif

#ifdef STALE_DELAY_COUNTS
#define WAITS(i)			((delayed[i] && !HAS(woken, i)) || HAS(waits, i))
#else
#define WAITS(i)			(((delayed[i] && !HAS(woken, i)) || HAS(waits, i)) && SEES(i) == PENDING)
#endif

/* What a session is at. */
#define CLAIM		1
#define HAND_IN		2
#define SWEEP		3
#define RELEASE		4
#define RESET_STALE	5
#define CANCEL		6
#define RESET		7
#define WAKE		8
#define RETRY		9
#define FINALIZE	10
#define UNMARK		11

/* The worker opts in to unflushed claims, and what a claim does on its way is unflushed with it. */
#ifdef COMPLETIONS_UNFLUSHED
#define MAY_STAY_UNFLUSHED	true
#else
#define MAY_STAY_UNFLUSHED	(verb == CLAIM || verb == SWEEP || verb == WAKE)
#endif

/* --------------------------------------------------------------- the checks */

/* Always 0: what is violated is told by its name. */
hidden byte one_current_claim_and_no_way_back, accepted_once_and_of_the_current_claim, only_its_own_are_taken_back,
	no_lease_is_voided_that_holds, what_runs_is_found_by_the_sweep, what_is_pending_can_be_claimed, attempts_have_an_end,
	what_has_a_result_does_not_run_again, finalized_only_while_settled, what_is_due_is_marked, ranked_once_each_time,
	no_acknowledged_result_is_lost;

/*
 * What may become of a config in one transaction.  running -> running under
 * another claim would be two current claims, and only retry_failed opens what
 * is settled.
 */
#define LEGAL(i) ( \
	(now[i].status == PENDING && (mine[i].status == PENDING || mine[i].status == RUNNING || mine[i].status == CANCELLED)) || \
	(now[i].status == RUNNING && (mine[i].status != RUNNING || mine[i].claim == now[i].claim)) || \
	(now[i].status == mine[i].status && SETTLED(now[i].status)) || \
	(verb == RETRY && (now[i].status == FAILED || now[i].status == CANCELLED) && mine[i].status == PENDING))

inline check()
{
	j = 0;
	do
	:: j < CONFIGS ->
		/* running: there is a current claim, and the sweep finds it */
		assert(what_runs_is_found_by_the_sweep || now[j].status != RUNNING || (HAS(claims, now[j].claim) && HAS(held[now[j].claim], j)));
		/* pending: claims of both kinds find it, or the alarm clock does */
		assert(what_is_pending_can_be_claimed || now[j].status != PENDING || (lane_chunks[j] > 0 && priority_chunks[j] > 0) || delayed[j]);
		/* attempts have an end */
		assert(attempts_have_an_end || (now[j].spent <= LIMIT && (now[j].spent < LIMIT || SETTLED(now[j].status))));
		/* what has a result is never run again */
		assert(what_has_a_result_does_not_run_again || !accepted[j] || now[j].status == COMPLETED);
		j++
	:: else -> break
	od;
#ifdef ENDGAME
	/* finalized only while settled; what is due is marked */
	assert(finalized_only_while_settled || !finalized || ALL_SETTLED);
	assert(what_is_due_is_marked || !due || !ALL_SETTLED || mark);
#endif
	j = 0
}

/* ------------------------------------------------------------- transactions */

inline lock_row(i)
{
	if
	:: lock[i] != ME ->
		lock[i] = ME;
		mine[i].status = now[i].status;
		mine[i].claim = now[i].claim;
		mine[i].started = now[i].started;
		mine[i].spent = now[i].spent
	:: else
	fi
}

/* The end of a transaction, however it ends. */
inline forget()
{
	j = 0;
	do
	:: j < CONFIGS ->
		if
		:: lock[j] == ME ->
			lock[j] = 0;
			mine[j].status = 0; mine[j].claim = 0; mine[j].started = 0; mine[j].spent = 0
		:: else
		fi;
		lane_locked[j] = lane_locked[j] - HAS(took_lane, j);
		priority_locked[j] = priority_locked[j] - HAS(took_priority, j);
		if :: delay_lock[j] == ME -> delay_lock[j] = 0 :: else fi;
		j++
	:: else -> break
	od;
	j = 1;
	do
	:: j <= WORKERS ->
		if :: lease_lock[j] == ME -> lease_lock[j] = 0 :: else fi;
		j++
	:: else -> break
	od;
	if :: verb == CLAIM -> claiming-- :: else fi;
#ifdef ENDGAME
	if :: model_lock == ME -> model_lock = 0 :: else fi;
	if :: advisory == ME -> advisory = 0 :: else fi;
	marks = 0; unmark = 0; saw = 0;
#endif
	verb = 0; c = 0; w = 0; list = 0; got = 0; gone = 0; took_lane = 0; took_priority = 0; fed = 0; waits = 0; woken = 0;
	result = 0; j = 0;
	busy--
}

/* What can matter to nobody any more looks like what never was: fewer states. */
inline tidy()
{
	j = 1;
	do
	:: j <= MAX_TOKENS ->
#ifndef KEEP_DEAD_CLAIMS
		if :: !HAS(claims, j) -> owner[j] = 0; held[j] = 0 :: else fi;
#endif
		if :: j <= WORKERS && lease_lock[j] == 0 && !HAS_CLAIMS(j) -> lease[j] = NONE :: else fi;
		j++
	:: else -> break
	od
}

#ifdef CRASHES
inline copy_row(to, from)
{
	to.status = from.status;
	to.claim = from.claim;
	to.started = from.started;
	to.spent = from.spent
}

inline save()
{
	j = 0;
	do
	:: j < CONFIGS ->
		copy_row(safe[j], now[j]);
		safe_lane[j] = lane_chunks[j];
		safe_priority[j] = priority_chunks[j];
		safe_delayed[j] = delayed[j];
		safe_accepted[j] = accepted[j];
		j++
	:: else -> break
	od;
	j = 0;
	safe_claims = claims;
	safe_lease[1] = lease[1];
	safe_lease[2] = lease[2];
#ifdef TOKENS_REPEAT
	safe_sequence = sequence
#endif
}
#endif

inline publish_row(i)
{
	if :: HAS(got, i) -> mine[i].claim = tokens :: else fi;
	assert(one_current_claim_and_no_way_back || LEGAL(i));
	/* a sweep or release takes from the worker that it is about, and from nobody else */
	assert(only_its_own_are_taken_back || (verb != SWEEP && verb != RELEASE && verb != RESET_STALE) || owner[now[i].claim] == w);
	/* a result is accepted of the claim that is current */
	if
	:: result != 0 ->
		assert(accepted_once_and_of_the_current_claim || (now[i].status == RUNNING && now[i].claim == result && !accepted[i]));
		accepted[i] = 1
	:: else
	fi;
	now[i].status = mine[i].status;
	now[i].claim = (mine[i].status == RUNNING -> mine[i].claim : 0);
	now[i].started = mine[i].started;
	now[i].spent = mine[i].spent
}

inline commit()
{
	atomic {
#ifdef CRASHES
		/* flushed, or not yet: a flush takes with it all that was committed before */
		if :: flushed = 1 :: MAY_STAY_UNFLUSHED -> flushed = 0 fi;
#endif
		d_step {
			j = 0;
			/* a claim's token and its row come with what it took */
			if
			:: got != 0 ->
				tokens++;
				owner[tokens] = w;
				held[tokens] = got;
#ifndef NO_CLAIM_ROW
				claims = claims | BIT(tokens);
#endif
#ifdef TOKENS_REPEAT
				sequence++;
				number[tokens] = sequence
#endif
			:: else
			fi;
			/* no lease is voided that holds */
			assert(no_lease_is_voided_that_holds || verb != SWEEP || lease[w] == EXPIRED);
			if :: verb == CLAIM && got != 0 && w != 0 -> lease[w] = VALID :: else fi;
#ifdef ENDGAME
			was_settled = ALL_SETTLED;
#endif
			j = 0;
			do
			:: j < CONFIGS ->
				if :: lock[j] == ME -> publish_row(j) :: else fi;
				lane_chunks[j] = lane_chunks[j] - HAS(took_lane, j);
				priority_chunks[j] = priority_chunks[j] - HAS(took_priority, j);
				if
				:: HAS(fed, j) ->
					if :: lane_chunks[j] < MAX_ENTRIES + lane_locked[j] -> lane_chunks[j]++ :: else fi;
					if :: priority_chunks[j] < MAX_ENTRIES + priority_locked[j] -> priority_chunks[j]++ :: else fi
				:: else
				fi;
				if :: HAS(woken, j) -> delayed[j] = 0 :: else fi;
				if :: HAS(waits, j) -> delayed[j] = 1 :: else fi;
				j++
			:: else -> break
			od;
#ifdef ENDGAME
			if :: marks -> mark = 1 :: else fi;
			if
			:: verb == FINALIZE ->
				/* exactly once for each time that the model became settled */
				assert(ranked_once_each_time || due);
				due = outdated;
				finalized = 1
			:: verb == RETRY && model_lock == ME -> finalized = 0
			:: else
			fi;
			if :: unmark -> mark = 0 :: else fi;
			if
			:: !was_settled && ALL_SETTLED -> due = 1; outdated = 1
			:: !ALL_SETTLED -> due = 0; outdated = 0
			:: else
			fi;
			was_settled = 0;
#endif
#ifdef CRASHES
			if :: result != 0 -> acknowledged[c] = 1 :: else fi;
#endif
			claims = claims & ~gone;
			forget();
			tidy();
#ifdef CRASHES
			if :: flushed -> save() :: else fi;
			flushed = 0;
#endif
			check()
		}
	}
}

/* --------------------------------------------------------- what calls share */

/* A claim whose only config has left it needs no row: leave_claim(). */
inline leave_claim(i)
{
	if :: ONE_BIT(held[mine[i].claim]) -> gone = gone | BIT(mine[i].claim) :: else fi
}

/* running -> pending: benchorch_put_back(). */
inline put_back(i, later)
{
	leave_claim(i);
	mine[i].status = PENDING;
	mine[i].claim = 0;
	mine[i].started = 0;
	if
	:: later -> waits = waits | BIT(i)
	:: else ->
#ifndef NO_CHUNK_ON_PUT_BACK
		fed = fed | BIT(i)
#else
		skip
#endif
	fi
}

/* running -> pending, or failed when the attempts are used up: benchorch_end_attempt(). */
inline end_attempt(i, later)
{
	mine[i].spent++;
	if
	:: USED_UP(i) ->
		leave_claim(i);
		mine[i].status = FAILED;
		mine[i].started = 0
	:: else -> put_back(i, later)
	fi
}

/* ------------------------------------------------------------------ a session */

#ifdef LIVENESS
#define MAY_ROLL_BACK	false
#define MAY_CLAIM		(tokens + claiming < TOKENS && !(mark && ALL_SETTLED))	/* a claim ranks what is due first */
#else
#define MAY_ROLL_BACK	true
#define MAY_CLAIM		(tokens + claiming < TOKENS)
#endif

#define LANES_READY			(lane_chunks[0] > lane_locked[0] || lane_chunks[LAST] > lane_locked[LAST])
#define LANE_READY(i)		(lane_chunks[i] > lane_locked[i] && !HAS(took_lane, i))
#define PRIORITY_READY(i)	(priority_chunks[i] > priority_locked[i] && !HAS(took_priority, i))
#define READY(i)			(w == 0 -> PRIORITY_READY(i) : LANE_READY(i))
/* the claims of w that the table claims has, and that took a config */
#define OF(token)			(HAS(claims, token) && owner[token] == w -> BIT(token) : 0)
#define SETTLES				((lock[0] == ME && SETTLED(mine[0].status)) || (lock[LAST] == ME && SETTLED(mine[LAST].status)))
#define LISTED(i)			((HAS(list, 1) && HAS(held[1], i)) || (HAS(list, 2) && HAS(held[2], i)) || \
							 (HAS(list, 3) && HAS(held[3], i)) || (HAS(list, 4) && HAS(held[4], i)))
#define BEGIN(what)			busy++; verb = what

/* One call: the claims of w, of which something may run. */
#define TAKE_BACK(what, worker) \
	d_step { BEGIN(what); w = worker; list = OF(1) | OF(2) | OF(3) | OF(4) }
#define UNDER(token, i)	:: CURRENT(token, i) && lock[i] == 0 -> d_step { BEGIN(HAND_IN); c = i; t = token }
#define START(token, i)	:: CURRENT(token, i) && lock[i] == 0 && !now[i].started -> now[i].started = 1; goto end_idle

#ifdef ENDGAME
/* failed, cancelled -> pending. */
inline reopen()
{
	lock_row(c);
	mine[c].status = PENDING;
	mine[c].spent = 0;
	fed = fed | BIT(c)
}
#endif

/* pending, running -> skipped, cancelled, where nobody has it: benchorch_settle(). */
inline cancel_config()
{
	if
	:: MAY_CANCEL(c) ->
		lock_row(c);
		if
		:: mine[c].status == RUNNING -> leave_claim(c)
		:: else ->
			if :: delayed[c] -> delay_lock[c] = ME; woken = woken | BIT(c) :: else fi;
#if defined(ENDGAME) && !defined(NO_MARK_FOR_PENDING)
			/* whoever settles what was pending may be the last, whatever it sees of others */
			marks = 1
#endif
		fi;
		mine[c].status = CANCELLED;
		mine[c].started = 0
	:: else
	fi
}

/*
 * A transaction of one row, and without a second look at the model, might as
 * well be one step: nobody can tell.
 */
#ifdef ENDGAME
#define LOOK	look
#define FINISH	finish
#else
#define LOOK	at_once
#define FINISH	at_once
#endif

active [SESSIONS] proctype session()
{
	byte verb, c, t, w, j, list, got, gone, took_lane, took_priority, fed, waits, woken, result;
#ifdef ENDGAME
	bit marks, unmark, was_settled, saw;
#endif
#ifdef CRASHES
	bit flushed;
#endif

end_idle:
	if
	/* ---- calls that begin here and go on below */
	:: atomic { MAY_CLAIM && LANES_READY && lease_lock[1] == 0 -> BEGIN(CLAIM); claiming++; w = 1; lease_lock[1] = ME }; goto claim
	/* the workers are alike: while neither has anything, the first comes first */
	:: atomic { MAY_CLAIM && LANES_READY && lease_lock[2] == 0 && (HAS_CLAIMS(1) || HAS_CLAIMS(2) || claiming > 0) ->
			BEGIN(CLAIM); claiming++; w = 2; lease_lock[2] = ME };
		goto claim
#ifndef WORKERS_ONLY
	:: atomic { MAY_CLAIM && (priority_chunks[0] > priority_locked[0] || priority_chunks[LAST] > priority_locked[LAST]) ->
			BEGIN(CLAIM); claiming++ };
		goto claim
#endif
	:: atomic { if UNDER(1, 0) UNDER(2, 0) UNDER(3, 0) UNDER(4, 0)
#if CONFIGS > 1
			UNDER(1, 1) UNDER(2, 1) UNDER(3, 1) UNDER(4, 1)
#endif
			fi;
			/* hand_in, complete, update_status: late ones change nothing and need no step */
			lock_row(c);
			if
			:: result = t; leave_claim(c); mine[c].status = COMPLETED; mine[c].started = 0	/* ok */
			:: t = 0; end_attempt(c, false)		/* failed: ready again at once, */
#ifndef WITHOUT_DELAYS
			:: t = 0; end_attempt(c, true)		/* or after a delay */
#endif
			fi;
			t = 0;
			if :: SETTLES -> goto LOOK :: else -> goto FINISH fi }
#ifndef WITHOUT_LOSSES
	:: atomic { if START(1, 0) START(2, 0) START(3, 0) START(4, 0)
#if CONFIGS > 1
			START(1, 1) START(2, 1) START(3, 1) START(4, 1)
#endif
			fi }
#ifdef NO_LEASE_LOCK
	:: atomic { lease[1] == EXPIRED && HAS_CLAIMS(1) -> TAKE_BACK(SWEEP, 1) }; goto take_back
	:: atomic { lease[2] == EXPIRED && HAS_CLAIMS(2) -> TAKE_BACK(SWEEP, 2) }; goto take_back
#else
	:: atomic { lease[1] == EXPIRED && lease_lock[1] == 0 && HAS_CLAIMS(1) -> lease_lock[1] = ME; TAKE_BACK(SWEEP, 1) }; goto take_back
	:: atomic { lease[2] == EXPIRED && lease_lock[2] == 0 && HAS_CLAIMS(2) -> lease_lock[2] = ME; TAKE_BACK(SWEEP, 2) }; goto take_back
#endif
	:: atomic { HAS_CLAIMS(1) -> TAKE_BACK(RELEASE, 1) }; goto take_back
	:: atomic { HAS_CLAIMS(2) -> TAKE_BACK(RELEASE, 2) }; goto take_back
	:: atomic { HAS_CLAIMS(0) -> TAKE_BACK(RESET_STALE, 0) }; goto take_back
	:: atomic { now[0].status == RUNNING && lock[0] == 0 -> BEGIN(RESET); lock_row(c); put_back(c, false) }; goto FINISH	/* update_status, typed UPDATE */
#if CONFIGS > 1
	:: atomic { now[1].status == RUNNING && lock[1] == 0 -> BEGIN(RESET); c = 1; lock_row(c); put_back(c, false) }; goto FINISH
#endif
#endif
	:: atomic { MAY_CANCEL(0) && lock[0] == 0 -> BEGIN(CANCEL) }; goto cancel
#if CONFIGS > 1
	:: atomic { MAY_CANCEL(1) && lock[1] == 0 -> BEGIN(CANCEL); c = 1 }; goto cancel
#endif
	:: atomic { delayed[0] && delay_lock[0] == 0 -> BEGIN(WAKE); delay_lock[c] = ME; woken = BIT(c) }; goto wake
#if CONFIGS > 1
	:: atomic { delayed[1] && delay_lock[1] == 0 -> BEGIN(WAKE); c = 1; delay_lock[c] = ME; woken = BIT(c) }; goto wake
#endif
#ifdef ENDGAME
	:: atomic { (now[0].status == FAILED || now[0].status == CANCELLED) && lock[0] == 0 && reopenings < REOPENINGS ->
			BEGIN(RETRY); reopenings++; reopen() };
		goto retry
#if CONFIGS > 1
	:: atomic { (now[1].status == FAILED || now[1].status == CANCELLED) && lock[1] == 0 && reopenings < REOPENINGS ->
			BEGIN(RETRY); reopenings++; c = 1; reopen() };
		goto retry
#endif
#ifdef FINALIZE_WITHOUT_LOOKING
	:: atomic { mark -> BEGIN(FINALIZE) }; goto finalize
#else
	:: atomic { mark && ALL_SETTLED -> BEGIN(FINALIZE) }; goto finalize
#endif
#endif
	fi;
	goto end_idle;

	/* ---- claim_batch, with the lease locked: a chunk's entry (SKIP LOCKED), then the config that it names */
claim:
	atomic {
		if
		:: READY(0) -> c = 0
#if CONFIGS > 1
		:: READY(1) -> c = 1
#endif
		:: else -> goto finish
		fi;
		if
		:: w == 0 -> priority_locked[c]++; took_priority = took_priority | BIT(c)
		:: else -> lane_locked[c]++; took_lane = took_lane | BIT(c)
		fi;
		/* the snapshot of the UPDATE: what is not pending in it is dropped with the chunk */
		if :: SEES(c) == PENDING && !HAS(got, c) :: else -> goto claimed fi
	};
	atomic {
		if
		:: FREE(c) ->
			/* after waiting for the row it looks again */
			if
			:: STILL_PENDING(c) ->
				lock_row(c);
				mine[c].status = RUNNING;
				mine[c].started = 0;
				got = got | BIT(c)
			:: else
			fi
		:: !FREE(c) && got == 0 -> goto give_up
		/* who holds configs waits for none: the chunk is gone, so there is a new one */
		:: !FREE(c) && got != 0 ->
#ifndef NO_HINT_ANEW
			if :: now[c].status == PENDING -> fed = fed | BIT(c) :: else fi;
#endif
			goto finish
		fi
	};
claimed:
	if :: READY(0) || READY(LAST) -> goto claim :: goto finish fi;

	/* ---- the sweep, release, reset_stale: what the list says, in id order, each looked at under its lock */
take_back:
	atomic {
		do
		:: c < CONFIGS && !LISTED(c) -> c++
		:: else -> break
		od;
		if
		:: c == CONFIGS ->
			/* nothing runs under them any more */
			if :: verb == SWEEP -> gone = gone | list :: else fi;
			if :: SETTLES -> goto look :: else -> goto finish fi
		:: c < CONFIGS && lock[c] == 0 ->
			if
			:: STILL_HELD(c) ->
				lock_row(c);
				if
				:: verb == RESET_STALE || (verb == SWEEP && mine[c].started) -> end_attempt(c, false)
				:: else -> put_back(c, false)
				fi
			:: else
			fi;
			c++
		:: c < CONFIGS && lock[c] != 0 -> goto give_up
		fi
	};
	goto take_back;

	/* ---- cancel, update_status to skipped or cancelled, OOM dominance; cancel goes on in id order */
cancel:
	atomic {
		if
		:: FREE(c) && (!delayed[c] || delay_lock[c] == 0) -> cancel_config()
		:: else -> goto give_up
		fi;
#ifdef ENDGAME
		if :: lock[c] == ME -> goto look :: else fi;
#endif
		if :: c < LAST -> c++ :: else -> goto finish fi
	};
	if :: goto cancel :: goto finish fi;

	/* ---- a retry time has come, the row of delayed_configs is deleted: a chunk for what is pending */
wake:
	if :: SEES(c) == PENDING -> fed = fed | BIT(c) :: else fi;
	goto finish;

	/* ---- check_endgame: after the update, with a snapshot of its own */
look:
#ifdef ENDGAME
	atomic {
		j = 0;
		saw = 0;
		do
		:: j < CONFIGS ->
			if
			:: SEES(j) == PENDING ->
				if :: lane_chunks[j] > HAS(took_lane, j) || HAS(fed, j) || WAITS(j) -> saw = 1 :: else fi
			:: else ->
				if :: WAITS(j) -> saw = 1 :: else fi;
#ifdef MARK_IF_ALONE
				if :: SEES(j) == RUNNING -> saw = 1 :: else fi;
#endif
				/* a spent chunk goes */
				if :: LANE_READY(j) -> lane_locked[j]++; took_lane = took_lane | BIT(j) :: else fi
			fi;
			j++
		:: else -> break
		od;
		j = 0;
		if :: !saw && !mark -> marks = 1 :: else fi;
		saw = 0;
		/* cancel settles one config after the other */
		if :: verb == CANCEL && c < LAST -> c++ :: else -> goto finish fi
	};
	if :: goto cancel :: goto finish fi;

	/* ---- retry_failed, and whatever else opens a model version: after the config, its row */
retry:
	atomic {
		if
#ifdef NO_LOCK_ON_OPENING
		:: !finalized
#endif
		:: model_lock == 0 -> model_lock = ME
		:: model_lock != 0 -> goto give_up
		fi
	};
	goto finish;

	/* ---- finalize_due: its locks, whether the model version is still due, then finalize */
finalize:
#ifndef FINALIZE_WITHOUT_LOCK
	/* not to queue behind another one */
	atomic { if :: advisory == 0 -> advisory = ME :: else -> goto give_up fi };
#ifndef NO_MODEL_LOCK
	/* nobody opens it from here on */
	atomic { if :: model_lock == 0 -> model_lock = ME :: else -> goto give_up fi };
#endif
#endif
#ifndef NO_ENDGAME_RECHECK
	/* somebody else has ranked it meanwhile */
	atomic { if :: finalized -> verb = UNMARK; unmark = 1; goto finish :: else fi };
#endif
#ifndef FINALIZE_WITHOUT_LOOKING
	if :: ALL_SETTLED :: else -> goto give_up fi;
#endif
	outdated = 0;				/* the results are read */
	atomic {
		if :: model_lock == 0 || model_lock == ME -> model_lock = ME :: else -> goto give_up fi;
		unmark = 1
	};
	goto finish;
#endif

	/* ---- how it ends */
finish:
	if
	:: commit()
	:: MAY_ROLL_BACK -> goto give_up
	fi;
	goto end_idle;
#ifndef ENDGAME
at_once:
	commit();
	goto end_idle;
#endif
give_up:
	atomic {
		t = 0;
		d_step { forget() }
	};
	goto end_idle
}

/* ---------------------------------------------------- time, and the server */

#ifndef WITHOUT_LOSSES
/* Leases run out; heartbeats bring them back, unless a sweep has the row. */
active proctype clock()
{
end_clock:
	do
	:: atomic { lease[1] == VALID -> lease[1] = EXPIRED }
	:: atomic { lease[2] == VALID -> lease[2] = EXPIRED }
	:: atomic { lease[1] == EXPIRED && lease_lock[1] == 0 -> lease[1] = VALID }
	:: atomic { lease[2] == EXPIRED && lease_lock[2] == 0 -> lease[2] = VALID }
	od
}
#endif

#ifdef CRASHES
/*
 * The server dies once, and comes back with what is flushed.  Transactions
 * that it cuts short are those that have rolled back just before.
 */
active proctype server()
{
	byte j;

	atomic {
		busy == 0 ->
		d_step {
			do
			:: j < CONFIGS ->
				copy_row(now[j], safe[j]);
				lane_chunks[j] = safe_lane[j];
				priority_chunks[j] = safe_priority[j];
				delayed[j] = safe_delayed[j];
				accepted[j] = safe_accepted[j];
				/* no acknowledged result is lost */
				assert(no_acknowledged_result_is_lost || !acknowledged[j] || accepted[j]);
				j++
			:: else -> break
			od;
			claims = safe_claims;
			lease[1] = safe_lease[1];
			lease[2] = safe_lease[2];
#ifdef TOKENS_REPEAT
			sequence = safe_sequence;
#endif
			check()
		}
	}
}
#endif

#ifdef LIVENESS
/* Whenever the model version has become settled, it is ranked, or opened again. */
ltl ranked { [] (due -> <> !due) }
#endif
