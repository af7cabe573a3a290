/*
 * Recovery: what a dead worker held becomes ready again.
 *
 * A worker's claims hold as long as its lease; heartbeat and claim_batch
 * extend it.  The sweep locks the lease's row before it looks at it, so that a
 * heartbeat either comes first (and the claims hold) or waits and is told
 * which claims are lost.  Claims without a worker have no lease: reset_stale
 * takes back what of them began longer ago than its timeout.
 *
 * A worker may show its presence by a session lock on a connection of its own
 * (announce): where the lock is free, the connection has dropped, and nobody
 * need wait for the lease.  The sweep probes it and lets it go at once; it
 * never probes in the session that holds it, where it would always succeed.
 *
 * A loss is blamed on what had been started, and only there is an attempt
 * recorded; what merely waited in the claim is ready again at no cost.
 */
#include "benchorch.h"
#include "table.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_reset_stale);
PG_FUNCTION_INFO_V1(benchorch_release);
PG_FUNCTION_INFO_V1(benchorch_abandon);
PG_FUNCTION_INFO_V1(benchorch_note_epoch);
PG_FUNCTION_INFO_V1(benchorch_lease_seconds);

/* Sweeps of the claims themselves: at most one in this time, in each session. */
#define SWEEP_INTERVAL_MS 1000

/* Leases come first, whatever the planner thinks of it: mostly none has expired, however many claims there are. */
static Statement expired_claims = {
	.sql = "WITH expired AS MATERIALIZED (SELECT worker_id FROM benchorch.worker_leases"
	"  WHERE expires_at < pg_catalog.clock_timestamp() FOR UPDATE SKIP LOCKED)"
	" SELECT l.claim_id, l.config_ids FROM expired e, LATERAL (SELECT c.claim_id, c.config_ids FROM benchorch.claims c"
	"  WHERE c.worker_id = e.worker_id OFFSET 0) AS l"
	" UNION ALL SELECT claim_id, config_ids FROM benchorch.claims WHERE worker_id IS NULL AND restored"
	" LIMIT $1",
	.nargs = 1,
	.types = {INT4OID}
};

/*
 * Workers that hold something and have shown their presence since the server
 * came up, or since its promotion.
 */
static Statement present_workers = {
	.sql = "SELECT l.worker_id, pg_catalog.hashtextextended('benchorch:' || l.worker_id, 1), l.presence_at"
	" FROM benchorch.worker_leases l"
	" WHERE l.presence_at > greatest($1, (SELECT seen_at FROM benchorch.server_epoch))"
	" AND EXISTS (SELECT FROM benchorch.claims c WHERE c.worker_id = l.worker_id)",
	.nargs = 1,
	.types = {TIMESTAMPTZOID}
};

/* The first look that finds the lock free begins the absence; how long has it lasted? */
static Statement mark_absent = {
	.sql = "UPDATE benchorch.worker_leases SET absent_since = coalesce(absent_since, pg_catalog.clock_timestamp())"
	" WHERE worker_id IN (SELECT worker_id FROM benchorch.worker_leases"
	"  WHERE worker_id = $1 AND presence_at = $3 FOR UPDATE SKIP LOCKED)"
	" RETURNING absent_since + pg_catalog.make_interval(secs => $2) <= pg_catalog.clock_timestamp()",
	.nargs = 3,
	.types = {UUIDOID, FLOAT8OID, TIMESTAMPTZOID}
};

static Statement restored_claims = {
	.sql = "SELECT claim_id, config_ids FROM benchorch.claims WHERE worker_id IS NULL AND restored LIMIT $1",
	.nargs = 1,
	.types = {INT4OID}
};

static Statement stale_configs = {
	.sql = "SELECT c.id, c.claim_id FROM benchorch.claims l"
	" JOIN benchorch.benchmark_configs c ON c.id = ANY (l.config_ids) AND c.claim_id = l.claim_id"
	" WHERE l.worker_id IS NULL AND NOT l.restored AND c.status = 'running'"
	" AND coalesce(c.started_at, l.claimed_at) < pg_catalog.clock_timestamp() - pg_catalog.make_interval(mins => $1)"
	" AND $1 >= 0",
	.nargs = 1,
	.types = {INT4OID}
};

static Statement worker_claims = {
	.sql = "SELECT claim_id, config_ids FROM benchorch.claims WHERE worker_id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement worker_exists = {
	.sql = "SELECT 1 FROM benchorch.workers WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

/* Who completes the last config of a claim deletes its row too: neither waits for the other. */
static Statement delete_claims = {
	.sql = "DELETE FROM benchorch.claims WHERE claim_id = ANY (ARRAY("
	" SELECT l.claim_id FROM benchorch.claims l WHERE l.claim_id = ANY ($1) AND NOT EXISTS ("
	"  SELECT FROM benchorch.benchmark_configs c WHERE c.id = ANY (l.config_ids) AND c.claim_id = l.claim_id"
	"  AND c.status = 'running') FOR UPDATE OF l SKIP LOCKED))",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

/* A config that a claim holds: its model, whether its run has begun, whether somebody would know. */
#define HELD_CONFIG \
	"SELECT c.model_version_id, c.run_started, l.worker_id IS NOT NULL OR l.restored" \
	" FROM benchorch.benchmark_configs c LEFT JOIN benchorch.claims l ON l.claim_id = c.claim_id" \
	" WHERE c.id = $1 AND c.claim_id = $2 AND c.status = 'running' AND NOT (c.run_started AND $3)" \
	" FOR NO KEY UPDATE OF c"

static Statement lock_held = {
	.sql = HELD_CONFIG,
	.nargs = 3,
	.types = {INT8OID, INT8OID, BOOLOID}
};

static Statement lock_held_if_free = {
	.sql = HELD_CONFIG " SKIP LOCKED",
	.nargs = 3,
	.types = {INT8OID, INT8OID, BOOLOID}
};

static Statement select_epoch = {
	.sql = "SELECT seen_at + pg_catalog.make_interval(secs => $3) < pg_catalog.clock_timestamp()"
	" FROM benchorch.server_epoch WHERE started_at = $1 AND timeline = $2",
	.nargs = 3,
	.types = {TIMESTAMPTZOID, INT4OID, FLOAT8OID}
};

/* Never waits for another session that is at it. */
static Statement note_epoch = {
	.sql = "UPDATE benchorch.server_epoch SET started_at = $1, timeline = $2, seen_at = pg_catalog.clock_timestamp()"
	" WHERE singleton IN (SELECT singleton FROM benchorch.server_epoch"
	"  WHERE (started_at, timeline) IS DISTINCT FROM ($1, $2) FOR UPDATE SKIP LOCKED)",
	.nargs = 2,
	.types = {TIMESTAMPTZOID, INT4OID}
};

/*
 * After a restart or a promotion the workers have one lease period to come
 * back before any lease is voided.  Told by the server's start time and
 * timeline: a promotion keeps the one, a restart the other.
 */
static bool
grace_is_over(void)
{
	static TimestampTz known_start = 0;
	static TimeLineID known_timeline = 0;
	TimeLineID	timeline = GetWALInsertionTimeLine();
	Datum		values[3] = {
		TimestampTzGetDatum(PgStartTime), Int32GetDatum((int32) timeline), Float8GetDatum(benchorch_lease)
	};
	bool		isnull;

	if (known_start == PgStartTime && known_timeline == timeline)
		return true;
	if (benchorch_run(&select_epoch, values, NULL) == 0)
	{
		benchorch_run(&note_epoch, values, NULL);
		return false;
	}
	if (!DatumGetBool(benchorch_column(0, 1, &isnull)))
		return false;
	known_start = PgStartTime;
	known_timeline = timeline;
	return true;
}

/* One config to be taken out of one claim. */
typedef struct Held
{
	int64		config_id;
	int64		claim_id;
	bool		only_waiting;	/* not if its run has begun */
	const char *message;
} Held;

typedef struct HeldList
{
	Held	   *items;
	int			n;
	int			allocated;
} HeldList;

static void
add_held(HeldList *list, int64 config_id, int64 claim_id, bool only_waiting, const char *message)
{
	if (list->n == list->allocated)
	{
		list->allocated = Max(64, list->allocated * 2);
		list->items = list->items ? repalloc_huge(list->items, sizeof(Held) * list->allocated)
								  : palloc(sizeof(Held) * list->allocated);
	}
	list->items[list->n++] = (Held){config_id, claim_id, only_waiting, message};
}

/* Adds the rows (claim_id, config_ids) of the last statement; *claims gets the claims. */
static void
add_claims(HeldList *list, uint64 rows, bool only_waiting, const char *message, int64 **claims)
{
	*claims = palloc(sizeof(int64) * Max(rows, 1));
	for (uint64 i = 0; i < rows; i++)
	{
		bool		isnull;
		int			length;
		int64	   *ids = benchorch_array_int64(benchorch_column(i, 2, &isnull), &length);

		(*claims)[i] = benchorch_column_int64(i, 1);
		for (int j = 0; j < length; j++)
			add_held(list, ids[j], (*claims)[i], only_waiting, message);
	}
}

static int
by_config(const void *a, const void *b)
{
	int64		x = ((const Held *) a)->config_id;
	int64		y = ((const Held *) b)->config_id;

	return (x > y) - (x < y);
}

/*
 * Takes one config out of its claim; false where the claim does not hold it.
 * What had been started has an attempt that ends; what waited goes back.
 */
static bool
take_back(const Held *held, Outcome outcome, bool waits)
{
	Datum		values[3] = {
		Int64GetDatum(held->config_id), Int64GetDatum(held->claim_id), BoolGetDatum(held->only_waiting)
	};
	Config		config = {.id = held->config_id, .claim_id = held->claim_id, .status = CONFIG_RUNNING};
	bool		isnull;
	bool		run_started;
	bool		knows;
	ConfigStatus status;

	if (benchorch_run(waits ? &lock_held : &lock_held_if_free, values, NULL) == 0)
		return false;
	config.model_version_id = benchorch_column_uuid(0, 1);
	run_started = DatumGetBool(benchorch_column(0, 2, &isnull));
	knows = DatumGetBool(benchorch_column(0, 3, &isnull)) && !isnull;
	if (run_started || !knows)
		return benchorch_end_attempt(held->config_id, held->claim_id, outcome, outcome != OUTCOME_LOST, held->message,
									 (Datum) 0, (Datum) 0, &status);
	benchorch_put_back(&config, outcome == OUTCOME_LOST, held->message, 0, NULL);
	return true;
}

/*
 * All of the list, locked in id order, or without waiting for what somebody
 * else is at; returns how many were taken back.
 */
static int
take_back_list(HeldList *list, Outcome outcome, bool waits)
{
	int			taken = 0;

	if (list->n > 1)
		qsort(list->items, list->n, sizeof(Held), by_config);
	/* a fault is the worker's: its row is locked with the first config */
	if (list->n > 1 && (outcome == OUTCOME_NODE_FAULT || outcome == OUTCOME_GPU_FAULT))
	{
		int64	   *ids = palloc(sizeof(int64) * list->n);

		for (int i = 0; i < list->n; i++)
			ids[i] = list->items[i].config_id;
		benchorch_lock_configs(ids, list->n);
	}
	for (int i = 0; i < list->n; i++)
	{
		taken += take_back(&list->items[i], outcome, waits);
		CHECK_FOR_INTERRUPTS();
	}
	return taken;
}

/* Takes back what a worker holds, or only what of it waits; returns how many configs. */
static int
take_back_all(const pg_uuid_t *worker, Outcome outcome, bool only_waiting, const char *message)
{
	Datum		values[1] = {UUIDPGetDatum(worker)};
	HeldList	list = {0};
	int64	   *claims;

	add_claims(&list, benchorch_run(&worker_claims, values, NULL), only_waiting, message, &claims);
	return take_back_list(&list, outcome, true);
}

/*
 * What absent workers hold: their connection has dropped, told by the session
 * lock that it held.  What waits is lost at once, what runs after a grace, in
 * which the worker may come back.
 */
static void
add_absent(HeldList *list)
{
	Datum		values[3] = {TimestampTzGetDatum(PgStartTime)};
	uint64		n = benchorch_run(&present_workers, values, NULL);
	SPITupleTable *present = SPI_tuptable;

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		Datum		worker = SPI_getbinval(present->vals[i], present->tupdesc, 1, &isnull);
		Datum		key = SPI_getbinval(present->vals[i], present->tupdesc, 2, &isnull);
		int64	   *claims;

		if (!DatumGetBool(DirectFunctionCall1(pg_try_advisory_lock_shared_int8, key)))
			continue;
		DirectFunctionCall1(pg_advisory_unlock_shared_int8, key);
		values[0] = worker;
		values[1] = Float8GetDatum(benchorch_presence_grace);
		values[2] = SPI_getbinval(present->vals[i], present->tupdesc, 3, &isnull);
		if (benchorch_run(&mark_absent, values, NULL) > 0)
		{
			bool		too_long = DatumGetBool(benchorch_column(0, 1, &isnull));

			add_claims(list, benchorch_run(&worker_claims, &worker, NULL), !too_long,
					   "the worker's connection dropped", &claims);
		}
	}
}

/*
 * The sweep: what expired leases (of at most max_claims claims) and absent
 * workers hold, and, where timeout_minutes is not negative, what claims
 * without worker hold that began longer ago.  All is collected first and then
 * locked in id order.  Returns how many configs were taken back; *holds becomes
 * true where rows are locked now.
 */
static int
sweep(int max_claims, int timeout_minutes, bool *holds)
{
	Datum		values[1] = {Int32GetDatum(max_claims)};
	HeldList	list = {0};
	uint64		rows = benchorch_run(grace_is_over() ? &expired_claims : &restored_claims, values, NULL);
	int64	   *claims;
	int			taken;

	add_claims(&list, rows, false, "lease expired", &claims);
	add_absent(&list);
	if (timeout_minutes >= 0)
	{
		uint64		stale;

		values[0] = Int32GetDatum(timeout_minutes);
		stale = benchorch_run(&stale_configs, values, NULL);
		for (uint64 i = 0; i < stale; i++)
			add_held(&list, benchorch_column_int64(i, 1), benchorch_column_int64(i, 2), false,
					 "no sign of life for longer than the timeout");
	}
	*holds |= list.n > 0;
	/* a claim's sweep waits for nobody: its transaction may hold others already */
	taken = take_back_list(&list, OUTCOME_LOST, timeout_minutes >= 0);
	if (rows > 0)
	{
		values[0] = benchorch_int64_array(claims, rows);
		benchorch_run(&delete_claims, values, NULL);
	}
	return taken;
}

/* The sweep of a claim that found nothing; returns how many configs it took back. */
int
benchorch_sweep_leases(int max_claims, bool *holds)
{
	return sweep(max_claims, -1, holds);
}

/* Budgets are looked after now and then, too (budget.sql); where there is none that is one look at an empty table. */
static Statement check_budgets = {
	.sql = "SELECT benchorch.check_budgets()"
	" WHERE EXISTS (SELECT FROM benchorch.budgets WHERE next_check <= pg_catalog.clock_timestamp())",
	.nargs = 0
};

/*
 * The sweep that claims make on their way, not each of them: returns how many
 * configs it took back, or -1 where it was not made.
 */
int
benchorch_sweep_now_and_then(bool *holds)
{
	static TimestampTz last = 0;
	TimestampTz now = GetCurrentTimestamp();

	if (!TimestampDifferenceExceeds(last, now, SWEEP_INTERVAL_MS))
		return -1;
	last = now;
	*holds |= benchorch_run(&check_budgets, NULL, NULL) > 0;
	return sweep(20, -1, holds);
}

/*
 * The configs are locked too, so that nobody changes their priority between the
 * look at it and the chunk that says it; what somebody holds is left for later.
 */
static Statement wake_delayed = {
	.sql = "WITH due AS MATERIALIZED ("
	" SELECT d.config_id FROM benchorch.delayed_configs d JOIN benchorch.benchmark_configs c ON c.id = d.config_id"
	" WHERE d.due_at <= pg_catalog.clock_timestamp()"
	" ORDER BY d.due_at LIMIT 100 FOR NO KEY UPDATE OF c SKIP LOCKED FOR UPDATE OF d SKIP LOCKED"
	"), woken AS (UPDATE benchorch.benchmark_configs SET due_at = NULL, version = version + 1"
	" WHERE id = ANY (ARRAY(SELECT config_id FROM due)))"
	" DELETE FROM benchorch.delayed_configs WHERE config_id = ANY (ARRAY(SELECT config_id FROM due))"
	" RETURNING config_id, avoid_worker_id",
	.nargs = 0
};

/* Has the next retry time come?  The session remembers it as it does where chunks begin (heard.c). */
static bool
any_due(void)
{
	static uint64 believed_in = 0;
	static TimestampTz next = DT_NOEND;
	uint64		generation = benchorch_generation(READINESS);
	TimestampTz now = GetCurrentTimestamp();
	Table	   *delayed;

	if (believed_in == generation && now < next)
		return false;
	delayed = benchorch_open_table("delayed_configs", "delayed_configs_due", AccessShareLock);
	benchorch_scan(delayed, NULL, 0);
	next = benchorch_next_row(delayed) ? DatumGetTimestampTz(benchorch_row_datum(delayed, DELAYED_DUE_AT)) : DT_NOEND;
	believed_in = generation;
	benchorch_close_table(delayed);
	return next <= now;
}

/*
 * Configs whose retry time has come become ready; returns how many.  Mostly
 * there is none.  Where somebody holds one of the two rows of a config, it is
 * passed by, but the other may be locked, so *holds becomes true even then.
 */
int
benchorch_wake_delayed(bool *holds)
{
	bool		any = any_due();
	uint64		n = any ? benchorch_run(&wake_delayed, NULL, NULL) : 0;
	SPITupleTable *due = SPI_tuptable;

	*holds |= any;
	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;
		bool		avoids;
		int64		id = DatumGetInt64(SPI_getbinval(due->vals[i], due->tupdesc, 1, &isnull));
		Datum		worker = SPI_getbinval(due->vals[i], due->tupdesc, 2, &isnull);

		avoids = !isnull;
		benchorch_feed_ids(&id, 1, avoids ? DatumGetUUIDP(worker) : NULL);
	}
	return n;
}

/* ------------------------------------------------------------- reset_stale */

static Statement fold_progress = {
	.sql = "WITH folded AS (DELETE FROM benchorch.progress_deltas WHERE ctid = ANY (ARRAY("
	"  SELECT ctid FROM benchorch.progress_deltas LIMIT 1000000 FOR UPDATE SKIP LOCKED))"
	"  RETURNING *)"
	" INSERT INTO benchorch.progress_deltas"
	" SELECT model_version_id, pg_catalog.sum(pending), pg_catalog.sum(running), pg_catalog.sum(completed),"
	"  pg_catalog.sum(failed), pg_catalog.sum(skipped), pg_catalog.sum(cancelled)"
	" FROM folded GROUP BY model_version_id"
	" HAVING pg_catalog.sum(pending) <> 0 OR pg_catalog.sum(running) <> 0 OR pg_catalog.sum(completed) <> 0"
	"  OR pg_catalog.sum(failed) <> 0 OR pg_catalog.sum(skipped) <> 0 OR pg_catalog.sum(cancelled) <> 0",
	.nargs = 0
};

static Statement delete_empty_claims = {
	.sql = "DELETE FROM benchorch.claims WHERE claim_id = ANY (ARRAY("
	" SELECT l.claim_id FROM benchorch.claims l WHERE NOT EXISTS ("
	"  SELECT FROM benchorch.benchmark_configs c WHERE c.id = ANY (l.config_ids) AND c.claim_id = l.claim_id"
	"  AND c.status = 'running') FOR UPDATE OF l SKIP LOCKED))",
	.nargs = 0
};

/* Models that are settled, but that no settler has seen at their end. */
static Statement find_endgames = {
	.sql = "INSERT INTO benchorch.endgames SELECT p.model_version_id FROM benchorch.progress_deltas p"
	" JOIN benchorch.model_versions m ON m.id = p.model_version_id"
	" WHERE m.finalized_at IS NULL AND NOT EXISTS ("
	"  SELECT FROM benchorch.endgames e WHERE e.model_version_id = p.model_version_id)"
	" GROUP BY p.model_version_id"
	" HAVING pg_catalog.sum(p.pending) = 0 AND pg_catalog.sum(p.running) = 0"
	"  AND pg_catalog.sum(p.completed + p.failed + p.skipped + p.cancelled) > 0",
	.nargs = 0
};

static Statement refresh_expectations = {
	.sql = "SELECT benchorch.refresh_expectations()",
	.nargs = 0
};

Datum
benchorch_reset_stale(PG_FUNCTION_ARGS)
{
	int			reset;
	bool		holds = false;

	benchorch_require(fcinfo, 0, "timeout_minutes");
	if (PG_GETARG_INT32(0) < 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("timeout_minutes must not be negative"),
				 errdetail("It is %d.", PG_GETARG_INT32(0))));

	SPI_connect();
	reset = sweep(PG_INT32_MAX, PG_GETARG_INT32(0), &holds);
	while (benchorch_wake_delayed(&holds) > 0)
		;
	benchorch_run(&delete_empty_claims, NULL, NULL);
	benchorch_run(&refresh_expectations, NULL, NULL);
	benchorch_run(&fold_progress, NULL, NULL);
	if (benchorch_run(&find_endgames, NULL, NULL) > 0)
		benchorch_tell(MARKS);
	benchorch_run(&check_budgets, NULL, NULL);
	benchorch_finalize_due();
	SPI_finish();
	PG_RETURN_INT32(reset);
}

/* ----------------------------------------------------------------- release */

/* The frameworks of what a worker holds. */
static Statement held_frameworks = {
	.sql = "SELECT DISTINCT c.framework_id FROM benchorch.claims l"
	" JOIN benchorch.benchmark_configs c ON c.id = ANY (l.config_ids) AND c.claim_id = l.claim_id AND c.status = 'running'"
	" WHERE l.worker_id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

/*
 * A release for a fault, which is the worker's whether a run had begun or not:
 * it loses the frameworks of what it held, or all where it held nothing.
 */
static int
release_faulty(const pg_uuid_t *worker, Outcome outcome)
{
	Datum		values[1] = {UUIDPGetDatum(worker)};
	int			n = benchorch_run(&held_frameworks, values, NULL);
	int32	   *frameworks = palloc0(sizeof(int32) * Max(n, 1));
	int			released;

	for (int i = 0; i < n; i++)
		frameworks[i] = benchorch_column_int32(i, 1);
	released = take_back_all(worker, outcome, false, NULL);
	for (int i = 0; i < Max(n, 1); i++)
		benchorch_blame_worker(worker, outcome, frameworks[i], "the worker said so");
	return released;
}

/* release(worker_id, outcome, only_waiting) */
Datum
benchorch_release(PG_FUNCTION_ARGS)
{
	Datum		values[1];
	Outcome		outcome;
	int			released;

	benchorch_require(fcinfo, 0, "worker_id");
	benchorch_require(fcinfo, 1, "outcome");
	values[0] = PG_GETARG_DATUM(0);
	outcome = benchorch_outcome_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (outcome != OUTCOME_PREEMPTED && outcome != OUTCOME_NODE_FAULT && outcome != OUTCOME_GPU_FAULT)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("outcome \"%s\" does not go with a release", benchorch_outcome_name(outcome)),
				 errhint("A release costs no retries: preempted, node_fault or gpu_fault.")));

	SPI_connect();
	if (benchorch_run(&worker_exists, values, NULL) == 0)
		benchorch_no_such_worker(DatumGetUUIDP(values[0]));
	if (outcome == OUTCOME_PREEMPTED)
		released = take_back_all(PG_GETARG_UUID_P(0), outcome, PG_GETARG_BOOL(2), NULL);
	else
		released = release_faulty(PG_GETARG_UUID_P(0), outcome);
	SPI_finish();
	PG_RETURN_INT32(released);
}

/* A new process has taken the worker's name: what the old one held is lost. */
Datum
benchorch_abandon(PG_FUNCTION_ARGS)
{
	int			taken;

	SPI_connect();
	taken = take_back_all(PG_GETARG_UUID_P(0), OUTCOME_LOST, false, "another process has taken the worker's name");
	SPI_finish();
	PG_RETURN_INT32(taken);
}

/* Presence counts only if it is shown after the server's start was noted. */
Datum
benchorch_note_epoch(PG_FUNCTION_ARGS)
{
	SPI_connect();
	grace_is_over();
	SPI_finish();
	PG_RETURN_VOID();
}

Datum
benchorch_lease_seconds(PG_FUNCTION_ARGS)
{
	PG_RETURN_FLOAT8(benchorch_lease);
}
