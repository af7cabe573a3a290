/*
 * The state machine of a config.
 *
 *                    claim_batch                complete, hand_in,
 *    INSERT                                     update_status, UPDATE
 *   ───────▶ pending ───────────▶ running ───────────────────────▶ completed
 *             │   ▲                │   │
 *             │   │  put back      │   │ attempts used up, or an outcome
 *             │   └────────────────┘   │ that fails at once
 *             │      lost, released,   ├──────────────────────────▶ failed
 *             │      retried, reset    │
 *             │                        │ update_status, cancel
 *             └────────────────────────┴──────────▶ skipped, cancelled
 *
 *   failed, skipped, cancelled ──▶ pending    retry_failed, rerun_changed
 *   completed ──▶ pending                     rerun_changed only
 *
 * Who makes which arrow, and nobody else does:
 *
 *   pending -> running                     take.c       (benchorch_take)
 *   running -> completed                   status.c     (benchorch_complete_configs)
 *   running -> pending                     status.c     (benchorch_put_back)
 *   running, pending -> failed, skipped,
 *                       cancelled          status.c     (benchorch_settle)
 *   settled -> pending                     operators.c  (reopen: retry_failed, rerun)
 *
 * Rules.  A transition locks the config's row first and looks at it then;
 * calls that touch many configs lock them in id order.  The claim_id of a
 * running row is the claim that holds it: whoever acts under a claim names
 * it, and where the row bears another one nothing is changed.  Every
 * transition counts itself (progress.c), grows the row's version (that is how
 * the triggers tell a typed UPDATE) and, where it settles, asks whether the
 * model may be near its end.
 */
#include "benchorch.h"
#include "table.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/timestamp.h"

/* What may follow what by a status update; claims and reopening have functions of their own. */
static const bool may_follow[CONFIG_STATUSES][CONFIG_STATUSES] = {
	[CONFIG_PENDING] = {[CONFIG_SKIPPED] = true, [CONFIG_CANCELLED] = true},
	[CONFIG_RUNNING] = {
		[CONFIG_PENDING] = true,
		[CONFIG_COMPLETED] = true,
		[CONFIG_FAILED] = true,
		[CONFIG_SKIPPED] = true,
		[CONFIG_CANCELLED] = true,
	},
};

bool
benchorch_may_follow(ConfigStatus from, ConfigStatus to)
{
	return may_follow[from][to];
}

/* -------------------------------------------------------------- looking up */

static Statement select_config = {
	.sql = "SELECT coalesce(claim_id, 0), status, model_version_id FROM benchorch.benchmark_configs WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static Statement lock_config = {
	.sql = "SELECT coalesce(claim_id, 0), status, model_version_id FROM benchorch.benchmark_configs WHERE id = $1"
	" FOR NO KEY UPDATE",
	.nargs = 1,
	.types = {INT8OID}
};

static bool
read_config(Statement *statement, int64 config_id, Config *config)
{
	Datum		values[1] = {Int64GetDatum(config_id)};

	if (benchorch_run(statement, values, NULL) == 0)
		return false;
	config->id = config_id;
	config->claim_id = benchorch_column_int64(0, 1);
	config->status = benchorch_status_from_name(benchorch_column_text(0, 2));
	config->model_version_id = benchorch_column_uuid(0, 3);
	return true;
}

bool
benchorch_get_config(int64 config_id, Config *config)
{
	return read_config(&select_config, config_id, config);
}

bool
benchorch_lock_config(int64 config_id, Config *config)
{
	return read_config(&lock_config, config_id, config);
}

static Statement lock_configs = {
	.sql = "SELECT id FROM benchorch.benchmark_configs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

void
benchorch_lock_configs(const int64 *ids, int n)
{
	benchorch_run(&lock_configs, (Datum[]){benchorch_int64_array(ids, n)}, NULL);
}

/* ---------------------------------------------------- what every arrow does */

static Statement delete_delayed = {
	.sql = "DELETE FROM benchorch.delayed_configs WHERE config_id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

/* A config that waited for its retry time no longer does. */
void
benchorch_forget_delay(int64 config_id)
{
	benchorch_run(&delete_delayed, (Datum[]){Int64GetDatum(config_id)}, NULL);
}

/* A success ends a worker's row of failures (attempts.c); nobody is waited for, since others may hold several. */
static Statement forget_failures = {
	.sql = "DELETE FROM benchorch.worker_failures WHERE worker_id = (SELECT worker_id FROM benchorch.worker_failures"
	" WHERE worker_id = $1 FOR UPDATE SKIP LOCKED)",
	.nargs = 1,
	.types = {UUIDOID}
};

/* Where this session has written the rows of its last claims, which mostly it completes, too. */
static struct
{
	int64		claim_id;
	ItemPointerData address;
} written_claims[256];

static int
place_of(int64 claim_id)
{
	return (uint64) (claim_id >> CLAIM_RANDOM_BITS) % lengthof(written_claims);
}

void
benchorch_remember_claim(int64 claim_id, ItemPointerData address)
{
	int			place = place_of(claim_id);

	written_claims[place].claim_id = claim_id;
	written_claims[place].address = address;
}

static bool
find_claim(Table *claims, int64 claim_id, ClaimRow *claim)
{
	int			place = place_of(claim_id);
	ArrayType  *config_ids;
	Datum		worker;
	bool		isnull;

	if (!(written_claims[place].claim_id == claim_id &&
		  benchorch_find_row_at(claims, &written_claims[place].address, CLAIM_ID, Int64GetDatum(claim_id), int8eq)) &&
		!benchorch_find_row(claims, Int64GetDatum(claim_id), F_INT8EQ))
		return false;
	worker = benchorch_row_value(claims, CLAIM_WORKER, &isnull);
	claim->has_worker = !isnull;
	if (claim->has_worker)
		claim->worker_id = *DatumGetUUIDP(worker);
	claim->restored = DatumGetBool(benchorch_row_datum(claims, CLAIM_RESTORED));
	config_ids = DatumGetArrayTypeP(benchorch_row_datum(claims, CLAIM_CONFIGS));
	claim->nconfigs = ArrayGetNItems(ARR_NDIM(config_ids), ARR_DIMS(config_ids));
	return true;
}

bool
benchorch_read_claim(int64 claim_id, ClaimRow *claim)
{
	Table	   *claims = benchorch_open_table("claims", "claims_pkey", AccessShareLock);
	bool		found = find_claim(claims, claim_id, claim);

	benchorch_close_table(claims);
	return found;
}

/* n of the claim's configs have left it: one that all have left needs no row, unless a claim goes on with it. */
static bool
leave_claim(int64 claim_id, int n, ClaimRow *claim, Handover *handover)
{
	Table	   *claims = benchorch_open_table("claims", "claims_pkey", RowExclusiveLock);
	bool		found = find_claim(claims, claim_id, claim);
	bool		over = found && claim->nconfigs <= n;

	if (over && handover)
	{
		handover->has_row = true;
		handover->row = benchorch_row_address(claims);
		handover->claim = *claim;
	}
	else if (over)
		benchorch_delete_row(claims);	/* who is at it deletes it too, or leaves it to the sweep */
	benchorch_close_table(claims);
	return found;
}

/* n of the claim's configs have left it in this call. */
void
benchorch_leave_claim(int64 claim_id, int n)
{
	ClaimRow	claim;

	leave_claim(claim_id, n, &claim, NULL);
}

static void
end_failures(const pg_uuid_t *worker)
{
	/* of this one the session knows that it has none */
	static uint64 known_in = 0;
	static pg_uuid_t without;
	uint64		generation = benchorch_generation(FAILURES);
	Datum		id = UUIDPGetDatum(worker);

	if (known_in == generation && memcmp(&without, worker, UUID_LEN) == 0)
		return;
	if (benchorch_has_row("worker_failures", "worker_failures_pkey", id, F_UUID_EQ))
		benchorch_run(&forget_failures, &id, NULL);
	else
	{
		known_in = generation;
		without = *worker;
	}
}

/* n configs of the claim have been completed in this call; did a worker have them? */
static bool
end_success(int64 claim_id, int n, Handover *handover)
{
	ClaimRow	claim;

	if (!leave_claim(claim_id, n, &claim, handover) || !claim.has_worker)
		return false;
	end_failures(&claim.worker_id);
	return true;
}

/* ------------------------------------------------------ running -> completed */

typedef struct Pair
{
	int64		config_id;
	int64		claim_id;
	int			position;
	bool		done;
	pg_uuid_t	model_version_id;
} Pair;

static int
by_config(const void *pa, const void *pb)
{
	const Pair *a = pa;
	const Pair *b = pb;

	if (a->config_id != b->config_id)
		return a->config_id < b->config_id ? -1 : 1;
	if (a->claim_id != b->claim_id)
		return a->claim_id < b->claim_id ? -1 : 1;
	return a->position - b->position;
}

static int
by_claim(const void *pa, const void *pb)
{
	const Pair *a = pa;
	const Pair *b = pb;

	return (a->claim_id > b->claim_id) - (a->claim_id < b->claim_id);
}

/* What becomes completed, if its claim is this pair's. */
typedef struct Completion
{
	Pair	   *pair;
	Datum		completed;
	TimestampTz now;
} Completion;

static bool
become_completed(ConfigRow *row, void *context)
{
	const Completion *completion = context;
	const ConfigColumns *at = &row->columns;

	if (!benchorch_is_held_by(row, completion->pair->claim_id))
		return false;
	completion->pair->model_version_id = *DatumGetUUIDP(row->values[at->model_version_id]);
	row->values[at->status] = completion->completed;
	row->values[at->completed_at] = TimestampTzGetDatum(completion->now);
	row->nulls[at->completed_at] = false;
	row->nulls[at->error_message] = true;
	row->values[at->run_started] = BoolGetDatum(false);
	row->values[at->version] = Int32GetDatum(DatumGetInt32(row->values[at->version]) + 1);
	return true;
}

void
benchorch_complete_configs(const int64 *config_ids, const int64 *claim_ids, int n, bool *done)
{
	Pair	   *pairs = palloc(sizeof(Pair) * Max(n, 1));
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));
	pg_uuid_t  *models = palloc(sizeof(pg_uuid_t) * Max(n, 1));
	Completion	completion = {.completed = CStringGetTextDatum("completed"), .now = GetCurrentTimestamp()};
	ConfigTable *configs;
	bool		by_lane = false;
	int			unique = 0;
	int			end;

	for (int i = 0; i < n; i++)
		pairs[i] = (Pair){.config_id = config_ids[i], .claim_id = claim_ids[i], .position = i};
	/* rows are locked in id order; a pair that is named twice finds its config completed the second time */
	qsort(pairs, n, sizeof(Pair), by_config);
	for (int i = 0; i < n; i++)
		ids[i] = pairs[i].config_id;
	configs = benchorch_open_configs(ids, n);
	for (int i = 0; i < n; i++)
	{
		bool		held;

		completion.pair = &pairs[i];
		pairs[i].done = benchorch_change_next(configs, become_completed, &completion, true, &held);
		done[pairs[i].position] = pairs[i].done;
	}

	/* keep those that were done; see to their claims, then to their models */
	unique = 0;
	for (int i = 0; i < n; i++)
		if (pairs[i].done)
			pairs[unique++] = pairs[i];
	qsort(pairs, unique, sizeof(Pair), by_claim);
	for (int start = 0; start < unique; start = end)
	{
		for (end = start + 1; end < unique && pairs[end].claim_id == pairs[start].claim_id; end++)
			;
		by_lane |= end_success(pairs[start].claim_id, end - start, NULL);
	}
	for (int i = 0; i < unique; i++)
		models[i] = pairs[i].model_version_id;
	unique = benchorch_count_moves(models, unique, CONFIG_RUNNING, CONFIG_COMPLETED);
	benchorch_check_endgames(models, unique, configs, by_lane);
	benchorch_close_configs(configs);
}

bool
benchorch_complete_for_next(int64 config_id, int64 claim_id, Handover *handover)
{
	Pair		pair = {.config_id = config_id, .claim_id = claim_id};
	Completion	completion = {
		.pair = &pair, .completed = CStringGetTextDatum("completed"), .now = GetCurrentTimestamp()
	};
	ConfigTable *configs = benchorch_open_configs(&config_id, 1);
	bool		held;
	bool		done = benchorch_change_next(configs, become_completed, &completion, true, &held);

	*handover = (Handover){.claim_id = claim_id, .model_version_id = pair.model_version_id};
	benchorch_close_configs(configs);
	if (done)
		end_success(claim_id, 1, handover);
	return done;
}

bool
benchorch_is_completed(int64 config_id, int64 claim_id)
{
	Config		config;

	return benchorch_get_config(config_id, &config) && config.claim_id == claim_id &&
		config.status == CONFIG_COMPLETED;
}

/* ---------------------------------- running, pending -> skipped, cancelled, failed */

static Statement settle_config = {
	.sql = "UPDATE benchorch.benchmark_configs"
	" SET status = $2, completed_at = pg_catalog.clock_timestamp(), error_message = coalesce($3, error_message),"
	" due_at = NULL, run_started = false, version = version + 1, witness_id = $4 WHERE id = $1",
	.nargs = 4,
	.types = {INT8OID, TEXTOID, TEXTOID, INT8OID}
};

/* Settles a config whose row is locked. */
void
benchorch_settle(const Config *config, ConfigStatus status, const char *message, int64 witness_id)
{
	Datum		values[4];
	char		nulls[5] = "    ";

	if (message == NULL && status == CONFIG_SKIPPED)
		message = "skipped by a status update";
	values[0] = Int64GetDatum(config->id);
	values[1] = CStringGetTextDatum(benchorch_status_name(status));
	values[2] = message ? CStringGetTextDatum(message) : (Datum) 0;
	nulls[2] = message ? ' ' : 'n';
	values[3] = Int64GetDatum(witness_id);
	nulls[3] = witness_id ? ' ' : 'n';
	benchorch_run(&settle_config, values, nulls);
	if (config->status == CONFIG_RUNNING)
		benchorch_leave_claim(config->claim_id, 1);
	else
		benchorch_forget_delay(config->id);
	benchorch_count_move(&config->model_version_id, config->status, status, 1);
	if (config->status == CONFIG_PENDING)
		benchorch_mark_endgame(&config->model_version_id);
	else
		benchorch_check_endgames(&config->model_version_id, 1, NULL, true);
}

/* ------------------------------------------------------- running -> pending again */

static Statement put_back_config = {
	.sql = "UPDATE benchorch.benchmark_configs"
	" SET status = 'pending', started_at = NULL, claim_id = NULL, run_started = false, version = version + 1,"
	" retry_count = retry_count + $2, error_message = coalesce($3, error_message), due_at = $4 WHERE id = $1",
	.nargs = 4,
	.types = {INT8OID, INT4OID, TEXTOID, TIMESTAMPTZOID}
};

static Statement insert_delayed = {
	.sql = "INSERT INTO benchorch.delayed_configs (config_id, model_version_id, due_at, avoid_worker_id)"
	" VALUES ($1, $2, $3, $4)"
	" ON CONFLICT (config_id) DO UPDATE SET due_at = excluded.due_at, avoid_worker_id = excluded.avoid_worker_id",
	.nargs = 4,
	.types = {INT8OID, UUIDOID, TIMESTAMPTZOID, UUIDOID}
};

/* A running config, its row locked, is pending again: after a delay in seconds, or at once. */
void
benchorch_put_back(const Config *config, bool counted, const char *message, double delay, const pg_uuid_t *avoid_worker)
{
	Datum		values[4];
	char		nulls[5] = "    ";

	values[0] = Int64GetDatum(config->id);
	values[1] = Int32GetDatum(counted ? 1 : 0);
	values[2] = message ? CStringGetTextDatum(message) : (Datum) 0;
	nulls[2] = message ? ' ' : 'n';
	values[3] = TimestampTzGetDatum(GetCurrentTimestamp() + (TimestampTz) (delay * USECS_PER_SEC));
	nulls[3] = delay > 0 ? ' ' : 'n';
	benchorch_run(&put_back_config, values, nulls);
	benchorch_leave_claim(config->claim_id, 1);
	benchorch_count_move(&config->model_version_id, CONFIG_RUNNING, CONFIG_PENDING, 1);

	if (delay <= 0)
	{
		benchorch_feed_ids(&config->id, 1, avoid_worker);
		return;
	}
	values[1] = UUIDPGetDatum(&config->model_version_id);
	values[2] = values[3];
	values[3] = UUIDPGetDatum(avoid_worker);
	nulls[2] = ' ';
	nulls[3] = avoid_worker ? ' ' : 'n';
	benchorch_run(&insert_delayed, values, nulls);
}
