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
 *   failed, skipped, cancelled ──▶ pending    retry_failed only
 *
 * Who makes which arrow, and nobody else does:
 *
 *   pending -> running                     claim.c      (benchorch_claim_batch)
 *   running -> completed                   status.c     (benchorch_complete_configs)
 *   running -> pending or failed           status.c     (benchorch_end_attempt)
 *   running, pending -> skipped, cancelled status.c     (settle)
 *   settled -> pending                     status.c     (benchorch_reopen)
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

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_update_status);
PG_FUNCTION_INFO_V1(benchorch_update_many);
PG_FUNCTION_INFO_V1(benchorch_start);
PG_FUNCTION_INFO_V1(benchorch_retry_failed);
PG_FUNCTION_INFO_V1(benchorch_cancel);
PG_FUNCTION_INFO_V1(benchorch_config_updated);
PG_FUNCTION_INFO_V1(benchorch_check_endgame_sql);

/* ------------------------------------------------------------------- words */

static const char *const status_names[CONFIG_STATUSES] = {
	[CONFIG_PENDING] = "pending",
	[CONFIG_RUNNING] = "running",
	[CONFIG_COMPLETED] = "completed",
	[CONFIG_FAILED] = "failed",
	[CONFIG_SKIPPED] = "skipped",
	[CONFIG_CANCELLED] = "cancelled",
};

static const char *const outcome_names[OUTCOMES] = {
	[OUTCOME_NONE] = "crash",	/* a failure with no outcome given counts as one */
	[OUTCOME_OK] = "ok",
	[OUTCOME_GPU_OOM] = "gpu_oom",
	[OUTCOME_HOST_OOM] = "host_oom",
	[OUTCOME_UNSUPPORTED] = "unsupported",
	[OUTCOME_BAD_CONFIG] = "bad_config",
	[OUTCOME_TIMEOUT] = "timeout",
	[OUTCOME_CRASH] = "crash",
	[OUTCOME_BAD_OUTPUT] = "bad_output",
	[OUTCOME_GPU_FAULT] = "gpu_fault",
	[OUTCOME_NODE_FAULT] = "node_fault",
	[OUTCOME_PREEMPTED] = "preempted",
	[OUTCOME_LOST] = "lost",
};

/* What may follow what by a status update; claims and reopening have functions of their own. */
static const bool may_follow[CONFIG_STATUSES][CONFIG_STATUSES] = {
	[CONFIG_PENDING] = {[CONFIG_SKIPPED] = true, [CONFIG_CANCELLED] = true},
	[CONFIG_RUNNING] = {
		[CONFIG_PENDING] = true, [CONFIG_COMPLETED] = true, [CONFIG_FAILED] = true,
		[CONFIG_SKIPPED] = true, [CONFIG_CANCELLED] = true
	},
};

const char *
benchorch_status_name(ConfigStatus status)
{
	return status_names[status];
}

ConfigStatus
benchorch_status_from_bytes(const char *bytes, int len)
{
	for (int i = 0; i < CONFIG_STATUSES; i++)
		if (strlen(status_names[i]) == len && memcmp(status_names[i], bytes, len) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown status \"%.*s\"", len, bytes),
			 errhint("Statuses are pending, running, completed, failed, skipped and cancelled.")));
}

ConfigStatus
benchorch_status_from_name(const char *name)
{
	return benchorch_status_from_bytes(name, strlen(name));
}

const char *
benchorch_outcome_name(Outcome outcome)
{
	return outcome_names[outcome];
}

Outcome
benchorch_outcome_from_name(const char *name)
{
	for (int i = OUTCOME_OK; i < OUTCOMES; i++)
		if (strcmp(outcome_names[i], name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown outcome \"%s\"", name),
			 errhint("Outcomes are ok, gpu_oom, host_oom, unsupported, bad_config, timeout, crash, bad_output,"
					 " gpu_fault, node_fault, preempted and lost.")));
}

/* What a failure without an outcome says by its message. */
static Outcome
outcome_from_message(const char *message)
{
	static const struct
	{
		const char *words;
		Outcome		outcome;
	}			known[] = {
		{"CUDA out of memory", OUTCOME_GPU_OOM},
		{"OOM killed", OUTCOME_HOST_OOM},
	};

	for (int i = 0; message != NULL && i < lengthof(known); i++)
		if (strstr(message, known[i].words) != NULL)
			return known[i].outcome;
	return OUTCOME_NONE;
}

/* ------------------------------------------------------------------ errors */

void
benchorch_no_such_config(int64 config_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("config " INT64_FORMAT " does not exist", config_id),
			 errhint("See benchorch.list_configs().")));
}

void
benchorch_stale_claim(int64 config_id, int64 claim_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_BENCHORCH_STALE_CLAIM),
			 errmsg("claim " INT64_FORMAT " no longer holds config " INT64_FORMAT, claim_id, config_id),
			 errdetail("The config was settled, put back or claimed again in the meantime; nothing was changed."),
			 errhint("Drop this attempt; benchorch.hand_in() keeps its result as unaccepted.")));
}

static void pg_attribute_noreturn()
bad_transition(int64 config_id, ConfigStatus from, ConfigStatus to)
{
	ereport(ERROR,
			(errcode(ERRCODE_BENCHORCH_BAD_TRANSITION),
			 errmsg("config " INT64_FORMAT " is %s and cannot become %s",
					config_id, status_names[from], status_names[to]),
			 to == CONFIG_RUNNING ? errhint("Only benchorch.claim_batch() makes configs running.") :
			 from == CONFIG_PENDING ? errhint("Claim it first: benchorch.claim_batch().") :
			 errhint("benchorch.retry_failed() opens failed, skipped and cancelled configs again.")));
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

/* ---------------------------------------------------- what every arrow does */

/* A claim whose configs have all left it needs no row. */
static Statement delete_claim = {
	.sql = "DELETE FROM benchorch.claims WHERE claim_id = $1 AND pg_catalog.cardinality(config_ids) <= $2",
	.nargs = 2,
	.types = {INT8OID, INT4OID}
};

static Statement delete_delayed = {
	.sql = "DELETE FROM benchorch.delayed_configs WHERE config_id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

/* n of the claim's configs have left it in this call. */
static void
leave_claim(int64 claim_id, int n)
{
	Datum		values[2] = {Int64GetDatum(claim_id), Int32GetDatum(n)};

	benchorch_run(&delete_claim, values, NULL);
}

static Statement next_chunk = {
	.sql = "SELECT priority, id, ids[next:] FROM benchorch.lane_chunks"
	" WHERE model_version_id = $1 AND (priority, id) > ($2, $3) ORDER BY priority, id LIMIT 1",
	.nargs = 3,
	.types = {UUIDOID, INT4OID, INT8OID}
};

static Statement any_pending = {
	.sql = "SELECT 1 FROM benchorch.benchmark_configs WHERE id = ANY ($1) AND status = 'pending' LIMIT 1",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

static Statement any_delayed = {
	.sql = "SELECT 1 FROM benchorch.delayed_configs WHERE model_version_id = $1 LIMIT 1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement delete_spent_chunk = {
	.sql = "DELETE FROM benchorch.lane_chunks WHERE id IN"
	" (SELECT id FROM benchorch.lane_chunks WHERE id = $1 FOR UPDATE SKIP LOCKED)",
	.nargs = 1,
	.types = {INT8OID}
};

static Statement insert_endgame = {
	.sql = "INSERT INTO benchorch.endgames SELECT $1"
	" WHERE NOT EXISTS (SELECT FROM benchorch.endgames WHERE model_version_id = $1)",
	.nargs = 1,
	.types = {UUIDOID}
};

/*
 * After configs of a model have settled: is anything of it pending still?
 * If not, the model goes to the endgames, where the next claim, heartbeat or
 * sweep looks until nothing runs either, and ranks it.
 *
 * No settler can see another's uncommitted work, so none of them can know
 * that it is the last.  But the last of them to look here finds nothing
 * pending: whatever were pending for it would have to be claimed and settled
 * by a later one.  So the model is marked, whoever commits when.
 */
void
benchorch_check_endgame(const pg_uuid_t *model_version_id)
{
	Datum		model = UUIDPGetDatum(model_version_id);
	int32		priority = PG_INT32_MIN;
	int64		id = 0;

	for (;;)
	{
		Datum		values[3] = {model, Int32GetDatum(priority), Int64GetDatum(id)};
		Datum		ids[1];
		Datum		chunk[1];
		bool		isnull;

		if (benchorch_run(&next_chunk, values, NULL) == 0)
			break;
		priority = benchorch_column_int32(0, 1);
		id = benchorch_column_int64(0, 2);
		ids[0] = benchorch_column(0, 3, &isnull);
		if (benchorch_run(&any_pending, ids, NULL) > 0)
			return;
		chunk[0] = Int64GetDatum(id);
		benchorch_run(&delete_spent_chunk, chunk, NULL);
		CHECK_FOR_INTERRUPTS();
	}
	if (benchorch_run(&any_delayed, &model, NULL) == 0)
		benchorch_run(&insert_endgame, &model, NULL);
}

Datum
benchorch_check_endgame_sql(PG_FUNCTION_ARGS)
{
	SPI_connect();
	benchorch_check_endgame(PG_GETARG_UUID_P(0));
	SPI_finish();
	PG_RETURN_VOID();
}

/* ------------------------------------------------------ running -> completed */

static Statement complete_pairs = {
	.sql = "UPDATE benchorch.benchmark_configs c"
	" SET status = 'completed', completed_at = pg_catalog.clock_timestamp(), error_message = NULL, run_started = false,"
	" version = version + 1"
	" FROM unnest($1, $2) AS pair (id, claim_id)"
	" WHERE c.id = pair.id AND c.claim_id = pair.claim_id AND c.status = 'running'"
	" RETURNING c.id, c.claim_id, c.model_version_id",
	.nargs = 2,
	.types = {INT8ARRAYOID, INT8ARRAYOID}
};

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

static int
by_model(const void *pa, const void *pb)
{
	return memcmp(((const Pair *) pa)->model_version_id.data, ((const Pair *) pb)->model_version_id.data, UUID_LEN);
}

void
benchorch_complete_configs(const int64 *config_ids, const int64 *claim_ids, int n, bool *done)
{
	Pair	   *pairs = palloc(sizeof(Pair) * Max(n, 1));
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));
	int64	   *claims = palloc(sizeof(int64) * Max(n, 1));
	Datum		values[2];
	uint64		found;
	int			unique = 0;
	int			end;

	for (int i = 0; i < n; i++)
	{
		pairs[i] = (Pair) {.config_id = config_ids[i], .claim_id = claim_ids[i], .position = i};
		done[i] = false;
	}
	/* in id order, each pair once: that is the order in which the rows are locked */
	qsort(pairs, n, sizeof(Pair), by_config);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && pairs[i].config_id == pairs[i - 1].config_id && pairs[i].claim_id == pairs[i - 1].claim_id)
			continue;
		ids[unique] = pairs[i].config_id;
		claims[unique++] = pairs[i].claim_id;
	}
	values[0] = benchorch_int64_array(ids, unique);
	values[1] = benchorch_int64_array(claims, unique);
	found = benchorch_run(&complete_pairs, values, NULL);
	if (found == 0)
		return;

	for (uint64 i = 0; i < found; i++)
	{
		Pair		key = {.config_id = benchorch_column_int64(i, 1), .claim_id = benchorch_column_int64(i, 2), .position = -1};
		int			low = 0;
		int			high = n;

		/* the first of its equals */
		while (low < high)
		{
			int			middle = (low + high) / 2;

			if (by_config(&pairs[middle], &key) < 0)
				low = middle + 1;
			else
				high = middle;
		}
		pairs[low].done = true;
		pairs[low].model_version_id = benchorch_column_uuid(i, 3);
		done[pairs[low].position] = true;
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
		leave_claim(pairs[start].claim_id, end - start);
	}
	qsort(pairs, unique, sizeof(Pair), by_model);
	for (int start = 0; start < unique; start = end)
	{
		for (end = start + 1; end < unique && by_model(&pairs[end], &pairs[start]) == 0; end++)
			;
		benchorch_count_move(&pairs[start].model_version_id, CONFIG_RUNNING, CONFIG_COMPLETED, end - start);
		benchorch_check_endgame(&pairs[start].model_version_id);
	}
}

/* ---------------------------------- running, pending -> skipped, cancelled, failed */

static Statement settle_config = {
	.sql = "UPDATE benchorch.benchmark_configs"
	" SET status = $2, completed_at = pg_catalog.clock_timestamp(), error_message = coalesce($3, error_message),"
	" run_started = false, version = version + 1, witness_id = $4 WHERE id = $1",
	.nargs = 4,
	.types = {INT8OID, TEXTOID, TEXTOID, INT8OID}
};

/* Settles a config whose row is locked. */
static void
settle(const Config *config, ConfigStatus status, const char *message, int64 witness_id)
{
	Datum		values[4];
	char		nulls[5] = "    ";

	if (message == NULL && status == CONFIG_SKIPPED)
		message = "skipped by a status update";
	values[0] = Int64GetDatum(config->id);
	values[1] = CStringGetTextDatum(status_names[status]);
	values[2] = message ? CStringGetTextDatum(message) : (Datum) 0;
	nulls[2] = message ? ' ' : 'n';
	values[3] = Int64GetDatum(witness_id);
	nulls[3] = witness_id ? ' ' : 'n';
	benchorch_run(&settle_config, values, nulls);
	if (config->status == CONFIG_RUNNING)
		leave_claim(config->claim_id, 1);
	else
		benchorch_run(&delete_delayed, values, NULL);
	benchorch_count_move(&config->model_version_id, config->status, status, 1);
	benchorch_check_endgame(&config->model_version_id);
}

/* -------------------------------------------- running -> pending again, or failed */

/* What becomes of a config by the outcome of its attempt. */
typedef struct Policy
{
	const char *limit;			/* member of the template's limits; NULL: there is none */
	int			retries;		/* by default; -1: any number */
	bool		blamed;			/* counts towards the limit */
	bool		delayed;		/* waits before it is ready again */
	bool		counted;		/* counts in retry_count */
	bool		elsewhere;		/* not to the same worker, where there is another */
} Policy;

static const Policy policies[OUTCOMES] = {
	[OUTCOME_NONE] = {"crash_retries", 4, true, true, true, true},
	[OUTCOME_CRASH] = {"crash_retries", 4, true, true, true, true},
	[OUTCOME_TIMEOUT] = {"timeout_retries", 1, true, false, true, false},
	[OUTCOME_BAD_OUTPUT] = {"bad_output_retries", 1, true, false, true, false},
	[OUTCOME_GPU_OOM] = {NULL, 0, true, false, true, false},
	[OUTCOME_HOST_OOM] = {NULL, 0, true, false, true, false},
	[OUTCOME_UNSUPPORTED] = {NULL, 0, true, false, true, false},
	[OUTCOME_BAD_CONFIG] = {NULL, 0, true, false, true, false},
	[OUTCOME_GPU_FAULT] = {NULL, -1, false, false, true, true},
	[OUTCOME_NODE_FAULT] = {NULL, -1, false, false, true, true},
	[OUTCOME_PREEMPTED] = {NULL, -1, false, false, false, false},
	[OUTCOME_LOST] = {"max_losses", 4, true, false, true, false},
};

/* A running config and what the policy asks about it. */
static Statement lock_attempt = {
	.sql = "SELECT coalesce(c.claim_id, 0), c.status, c.model_version_id, c.run_started, c.framework_id, l.worker_id,"
	" (SELECT pg_catalog.count(*) FROM benchorch.attempts a WHERE a.config_id = c.id AND a.blamed AND a.outcome = $2),"
	" (t.spec -> 'limits' ->> $3)::int,"
	" (SELECT pg_catalog.array_agg(d::float8 ORDER BY n) FROM pg_catalog.jsonb_array_elements_text"
	"  (coalesce(t.spec -> 'limits' -> 'crash_delays_s', '[15, 30, 60, 120]')) WITH ORDINALITY AS e (d, n))"
	" FROM benchorch.benchmark_configs c"
	" LEFT JOIN benchorch.claims l ON l.claim_id = c.claim_id"
	" LEFT JOIN benchorch.templates t ON t.id = c.template_id"
	" WHERE c.id = $1 FOR NO KEY UPDATE OF c",
	.nargs = 3,
	.types = {INT8OID, TEXTOID, TEXTOID}
};

static Statement put_back_config = {
	.sql = "UPDATE benchorch.benchmark_configs"
	" SET status = 'pending', started_at = NULL, claim_id = NULL, run_started = false, version = version + 1,"
	" retry_count = retry_count + $2, error_message = coalesce($3, error_message) WHERE id = $1",
	.nargs = 3,
	.types = {INT8OID, INT4OID, TEXTOID}
};

static Statement insert_delayed = {
	.sql = "INSERT INTO benchorch.delayed_configs (config_id, model_version_id, due_at, avoid_worker_id)"
	" VALUES ($1, $2, pg_catalog.clock_timestamp() + pg_catalog.make_interval(secs => $3), $4)"
	" ON CONFLICT (config_id) DO UPDATE SET due_at = excluded.due_at, avoid_worker_id = excluded.avoid_worker_id",
	.nargs = 4,
	.types = {INT8OID, UUIDOID, FLOAT8OID, UUIDOID}
};

static Statement insert_attempt = {
	.sql = "INSERT INTO benchorch.attempts (config_id, claim_id, attempt, worker_id, outcome, blamed, status,"
	" argv, exit_code, signal, claimed_at, message, log, details)"
	" SELECT c.id, $2, c.attempt, $3, $4, $5, $6,"
	" CASE WHEN pg_catalog.jsonb_typeof($9 -> 'argv') = 'array' THEN"
	"  ARRAY(SELECT pg_catalog.jsonb_array_elements_text($9 -> 'argv')) END,"
	" CASE WHEN pg_catalog.jsonb_typeof($9 -> 'exit_code') = 'number' THEN ($9 -> 'exit_code')::int END,"
	" CASE WHEN pg_catalog.jsonb_typeof($9 -> 'signal') = 'number' THEN ($9 -> 'signal')::int END,"
	" c.started_at, $7, $8, $9 FROM benchorch.benchmark_configs c WHERE c.id = $1"
	" ON CONFLICT (config_id, claim_id) DO NOTHING",
	.nargs = 9,
	.types = {INT8OID, INT8OID, UUIDOID, TEXTOID, BOOLOID, TEXTOID, TEXTOID, BYTEAOID, JSONBOID}
};

/* A worker whose node is at fault loses the framework; without one, or with a broken GPU, it is quarantined. */
static Statement fault_worker = {
	.sql = "UPDATE benchorch.workers SET framework_ids = pg_catalog.array_remove(framework_ids, $2),"
	" state = CASE WHEN $2 IS NULL OR pg_catalog.array_remove(framework_ids, $2) = '{}' THEN 'quarantined' ELSE state END,"
	" reason = $3 WHERE id = $1",
	.nargs = 3,
	.types = {UUIDOID, INT4OID, TEXTOID}
};

static void
blame_worker(const pg_uuid_t *worker, Outcome outcome, int32 framework_id, const char *message)
{
	Datum		values[3];

	values[0] = UUIDPGetDatum(worker);
	values[1] = Int32GetDatum(framework_id);
	values[2] = CStringGetTextDatum(psprintf("%s: %s", outcome_names[outcome], message ? message : "no message"));
	benchorch_run(&fault_worker, values, outcome == OUTCOME_GPU_FAULT ? " n " : NULL);
}

bool
benchorch_end_attempt(int64 config_id, int64 claim_id, Outcome outcome,
					  const char *message, Datum log, Datum details, ConfigStatus *status)
{
	const Policy *policy = &policies[outcome];
	Config		config = {.id = config_id};
	Datum		values[9];
	char		nulls[10] = "         ";
	bool		isnull;
	bool		has_worker;
	bool		run_started;
	bool		blamed;
	pg_uuid_t	worker;
	int32		framework_id;
	int64		spent;
	int			retries;
	double		delay = 0;

	Assert(outcome != OUTCOME_OK);

	values[0] = Int64GetDatum(config_id);
	values[1] = CStringGetTextDatum(outcome_names[outcome]);
	values[2] = CStringGetTextDatum(policy->limit ? policy->limit : "");
	if (benchorch_run(&lock_attempt, values, NULL) == 0)
		return false;
	config.claim_id = benchorch_column_int64(0, 1);
	config.status = benchorch_status_from_name(benchorch_column_text(0, 2));
	config.model_version_id = benchorch_column_uuid(0, 3);
	if (config.status != CONFIG_RUNNING || config.claim_id != claim_id)
		return false;
	run_started = DatumGetBool(benchorch_column(0, 4, &isnull));
	framework_id = benchorch_column_int32(0, 5);
	has_worker = (benchorch_column(0, 6, &isnull), !isnull);
	if (has_worker)
		worker = benchorch_column_uuid(0, 6);
	spent = benchorch_column_int64(0, 7);
	retries = policy->retries;
	if (benchorch_column(0, 8, &isnull), !isnull)
		retries = benchorch_column_int32(0, 8);

	/* a loss is blamed only on what had been started; without a worker nobody knows, so on all */
	blamed = policy->blamed && (outcome != OUTCOME_LOST || run_started || !has_worker);
	if (blamed)
		spent++;
	if (outcome == OUTCOME_LOST)
		retries--;				/* the limit counts losses, not retries */
	*status = (retries < 0 && !policy->blamed) || !blamed || spent <= retries ? CONFIG_PENDING : CONFIG_FAILED;

	if (policy->delayed && *status == CONFIG_PENDING)
	{
		Datum		array = benchorch_column(0, 9, &isnull);

		if (!isnull)
		{
			ArrayType  *delays = DatumGetArrayTypeP(array);
			int			n = ArrayGetNItems(ARR_NDIM(delays), ARR_DIMS(delays));

			if (n > 0)
				delay = ((float8 *) ARR_DATA_PTR(delays))[Min(spent, n) - 1];
		}
	}

	values[0] = Int64GetDatum(config_id);
	values[1] = Int64GetDatum(claim_id);
	values[2] = UUIDPGetDatum(&worker);
	nulls[2] = has_worker ? ' ' : 'n';
	values[3] = CStringGetTextDatum(outcome_names[outcome]);
	values[4] = BoolGetDatum(blamed);
	values[5] = CStringGetTextDatum(status_names[*status]);
	values[6] = message ? CStringGetTextDatum(message) : (Datum) 0;
	nulls[6] = message ? ' ' : 'n';
	values[7] = log;
	nulls[7] = log ? ' ' : 'n';
	values[8] = details;
	nulls[8] = details ? ' ' : 'n';
	benchorch_run(&insert_attempt, values, nulls);

	if (*status == CONFIG_FAILED)
		settle(&config, CONFIG_FAILED, message ? message : outcome_names[outcome], 0);
	else
	{
		bool		avoid = policy->elsewhere && has_worker;

		benchorch_put_back(&config, policy->counted, message, delay, avoid ? &worker : NULL);
	}
	if (has_worker && (outcome == OUTCOME_NODE_FAULT || outcome == OUTCOME_GPU_FAULT))
		blame_worker(&worker, outcome, framework_id, message);
	return true;
}

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
	benchorch_run(&put_back_config, values, nulls);
	leave_claim(config->claim_id, 1);
	benchorch_count_move(&config->model_version_id, CONFIG_RUNNING, CONFIG_PENDING, 1);

	if (delay <= 0)
	{
		benchorch_feed_ids(&config->id, 1, avoid_worker);
		return;
	}
	values[1] = UUIDPGetDatum(&config->model_version_id);
	values[2] = Float8GetDatum(delay);
	values[3] = UUIDPGetDatum(avoid_worker);
	nulls[2] = ' ';
	nulls[3] = avoid_worker ? ' ' : 'n';
	benchorch_run(&insert_delayed, values, nulls);
}

static Statement select_attempt = {
	.sql = "SELECT status FROM benchorch.attempts WHERE config_id = $1 AND claim_id = $2",
	.nargs = 2,
	.types = {INT8OID, INT8OID}
};

bool
benchorch_ended_attempt(int64 config_id, int64 claim_id, ConfigStatus *status)
{
	Datum		values[2] = {Int64GetDatum(config_id), Int64GetDatum(claim_id)};

	if (benchorch_run(&select_attempt, values, NULL) == 0)
		return false;
	*status = benchorch_status_from_name(benchorch_column_text(0, 1));
	return true;
}

/* ----------------------------------------------------------- update_status */

/*
 * The status update of one config.  claim_id 0: unfenced.  Returns the status
 * that the config has now; *sqlstate is 0, or what was wrong (BO001, BO002,
 * 42704), and then nothing was changed.
 */
static ConfigStatus
change_status(int64 config_id, ConfigStatus to, const char *message, int64 claim_id, Outcome outcome, int *sqlstate)
{
	Config		config;
	ConfigStatus status = to;

	*sqlstate = 0;
	if (!benchorch_lock_config(config_id, &config))
	{
		*sqlstate = claim_id ? ERRCODE_BENCHORCH_STALE_CLAIM : ERRCODE_UNDEFINED_OBJECT;
		return CONFIG_PENDING;
	}
	if (claim_id != 0 && (config.claim_id != claim_id || config.status == CONFIG_PENDING))
	{
		*sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;
		return config.status;
	}
	if (config.status == to && to != CONFIG_RUNNING)
		return to;				/* it is so already */
	if (!may_follow[config.status][to])
	{
		*sqlstate = ERRCODE_BENCHORCH_BAD_TRANSITION;
		return config.status;
	}
	switch (to)
	{
		case CONFIG_COMPLETED:
			{
				bool		done;

				benchorch_complete_configs(&config_id, &config.claim_id, 1, &done);
				Assert(done);
				break;
			}
		case CONFIG_FAILED:
			if (outcome == OUTCOME_NONE)
				outcome = outcome_from_message(message);
			benchorch_end_attempt(config_id, config.claim_id, outcome, message, (Datum) 0, (Datum) 0, &status);
			break;
		case CONFIG_PENDING:
			if (outcome == OUTCOME_NONE)
				benchorch_put_back(&config, true, message, 0, NULL);
			else
				benchorch_end_attempt(config_id, config.claim_id, outcome, message, (Datum) 0, (Datum) 0, &status);
			break;
		default:
			settle(&config, to, message, 0);
	}
	return status;
}

/* An outcome goes with the status that it explains. */
static Outcome
outcome_argument(FunctionCallInfo fcinfo, int argno, ConfigStatus status)
{
	Outcome		outcome;

	if (PG_ARGISNULL(argno))
		return OUTCOME_NONE;
	outcome = benchorch_outcome_from_name(text_to_cstring(PG_GETARG_TEXT_PP(argno)));
	if ((outcome == OUTCOME_OK) != (status == CONFIG_COMPLETED) ||
		(outcome != OUTCOME_OK && status != CONFIG_FAILED && status != CONFIG_PENDING))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("outcome \"%s\" does not go with status \"%s\"", outcome_names[outcome], status_names[status]),
				 errhint("ok goes with completed, the other outcomes with failed.")));
	return outcome;
}

Datum
benchorch_update_status(PG_FUNCTION_ARGS)
{
	int64		config_id;
	ConfigStatus status;
	char	   *message = NULL;
	int64		claim_id;
	Outcome		outcome;
	int			sqlstate;
	ConfigStatus now;

	benchorch_require(fcinfo, 0, "config_id");
	benchorch_require(fcinfo, 1, "status");
	config_id = PG_GETARG_INT64(0);
	status = benchorch_status_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (!PG_ARGISNULL(2))
		message = text_to_cstring(PG_GETARG_TEXT_PP(2));
	claim_id = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3);
	outcome = outcome_argument(fcinfo, 4, status);
	/* 0 stands for no claim inside; no claim is ever called so */
	if (!PG_ARGISNULL(3) && claim_id == 0)
		benchorch_stale_claim(config_id, claim_id);

	SPI_connect();
	now = change_status(config_id, status, message, claim_id, outcome, &sqlstate);
	SPI_finish();

	if (sqlstate == ERRCODE_UNDEFINED_OBJECT)
		benchorch_no_such_config(config_id);
	if (sqlstate == ERRCODE_BENCHORCH_STALE_CLAIM)
		benchorch_stale_claim(config_id, claim_id);
	if (sqlstate == ERRCODE_BENCHORCH_BAD_TRANSITION)
		bad_transition(config_id, now, status);
	ForceSyncCommit();
	PG_RETURN_TEXT_P(cstring_to_text(status_names[now]));
}

/* ------------------------------------------------------------- update_many */

static void
put_refusal(ReturnSetInfo *rsinfo, int64 config_id, int sqlstate, const char *message)
{
	Datum		values[4] = {Int64GetDatum(config_id)};
	bool		nulls[4] = {false, true, sqlstate == 0, sqlstate == 0};

	if (sqlstate != 0)
	{
		values[2] = CStringGetTextDatum(unpack_sql_state(sqlstate));
		values[3] = CStringGetTextDatum(message);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static const char *
refusal_message(int sqlstate, int64 config_id, int64 claim_id, ConfigStatus now, ConfigStatus to)
{
	if (sqlstate == ERRCODE_BENCHORCH_STALE_CLAIM)
		return psprintf("claim " INT64_FORMAT " no longer holds config " INT64_FORMAT, claim_id, config_id);
	if (sqlstate == ERRCODE_BENCHORCH_BAD_TRANSITION)
		return psprintf("config " INT64_FORMAT " is %s and cannot become %s",
						config_id, status_names[now], status_names[to]);
	return NULL;
}

Datum
benchorch_update_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64	   *config_ids;
	int64	   *claim_ids;
	int			n;
	int			claims;
	ConfigStatus status;
	Outcome		outcome;
	int		   *order;
	int		   *sqlstates;
	ConfigStatus *now;

	benchorch_require(fcinfo, 0, "config_ids");
	benchorch_require(fcinfo, 1, "claim_ids");
	benchorch_require(fcinfo, 2, "status");
	config_ids = benchorch_array_int64(PG_GETARG_DATUM(0), &n);
	claim_ids = benchorch_array_int64(PG_GETARG_DATUM(1), &claims);
	status = benchorch_status_from_name(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	outcome = outcome_argument(fcinfo, 3, status);
	if (n != claims)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("config_ids and claim_ids differ in length"),
				 errdetail("There are %d config_ids and %d claim_ids.", n, claims)));

	InitMaterializedSRF(fcinfo, 0);
	sqlstates = palloc0(sizeof(int) * Max(n, 1));
	now = palloc0(sizeof(ConfigStatus) * Max(n, 1));
	order = benchorch_id_order(config_ids, n);

	SPI_connect();
	if (status == CONFIG_COMPLETED)
	{
		bool	   *done = palloc(sizeof(bool) * Max(n, 1));

		benchorch_complete_configs(config_ids, claim_ids, n, done);
		/* what was not done is looked at one by one: it is stale, or completed already */
		for (int i = 0; i < n; i++)
			if (!done[i])
				now[i] = change_status(config_ids[i], status, NULL, claim_ids[i], outcome, &sqlstates[i]);
	}
	else
	{
		for (int i = 0; i < n; i++)
			now[order[i]] = change_status(config_ids[order[i]], status, NULL, claim_ids[order[i]], outcome,
										  &sqlstates[order[i]]);
	}
	SPI_finish();
	ForceSyncCommit();

	for (int i = 0; i < n; i++)
		put_refusal(rsinfo, config_ids[i], sqlstates[i],
					refusal_message(sqlstates[i], config_ids[i], claim_ids[i], now[i], status));
	PG_RETURN_NULL();
}

/* ------------------------------------------------------------------- start */

static Statement start_config = {
	.sql = "UPDATE benchorch.benchmark_configs SET started_at = pg_catalog.clock_timestamp(), run_started = true,"
	" version = version + 1 WHERE id = $1 AND claim_id = $2 AND status = 'running'",
	.nargs = 2,
	.types = {INT8OID, INT8OID}
};

Datum
benchorch_start(PG_FUNCTION_ARGS)
{
	Datum		values[2];
	uint64		found;

	benchorch_require(fcinfo, 0, "config_id");
	benchorch_require(fcinfo, 1, "claim_id");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_GETARG_DATUM(1);
	SPI_connect();
	found = benchorch_run(&start_config, values, NULL);
	SPI_finish();
	if (found == 0)
		benchorch_stale_claim(DatumGetInt64(values[0]), DatumGetInt64(values[1]));
	PG_RETURN_VOID();
}

/* ------------------------------------------------------- operators' arrows */

static Statement select_open = {
	.sql = "SELECT id FROM benchorch.benchmark_configs WHERE model_version_id = $1 AND status IN ('pending', 'running')"
	" ORDER BY id",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement select_settled = {
	.sql = "SELECT id FROM benchorch.benchmark_configs c WHERE model_version_id = $1"
	" AND (status = 'failed' OR (status = 'skipped' AND witness_id IS NOT NULL) OR (status = 'cancelled' AND $2 IS NULL))"
	" AND ($2 IS NULL OR $2 = (SELECT a.outcome FROM benchorch.attempts a WHERE a.config_id = coalesce(c.witness_id, c.id)"
	"  ORDER BY a.id DESC LIMIT 1))"
	" ORDER BY id",
	.nargs = 2,
	.types = {UUIDOID, TEXTOID}
};

static Statement reopen_config = {
	.sql = "UPDATE benchorch.benchmark_configs SET status = 'pending', started_at = NULL, completed_at = NULL,"
	" claim_id = NULL, error_message = NULL, witness_id = NULL, run_started = false, version = version + 1"
	" WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

/* The attempts so far no longer count towards the limits. */
static Statement forgive_attempts = {
	.sql = "UPDATE benchorch.attempts SET blamed = false WHERE config_id = $1 AND blamed",
	.nargs = 1,
	.types = {INT8OID}
};

static Statement mark_open = {
	.sql = "UPDATE benchorch.model_versions SET finalized_at = NULL WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

/* The first column of what the last plan returned. */
static int64 *
returned_ids(uint64 n)
{
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));

	for (uint64 i = 0; i < n; i++)
		ids[i] = benchorch_column_int64(i, 1);
	return ids;
}

Datum
benchorch_cancel(PG_FUNCTION_ARGS)
{
	Datum		values[1];
	uint64		n;
	int64	   *ids;
	int			cancelled = 0;

	benchorch_require(fcinfo, 0, "model_version_id");
	values[0] = PG_GETARG_DATUM(0);
	SPI_connect();
	benchorch_require_model(DatumGetUUIDP(values[0]));
	n = benchorch_run(&select_open, values, NULL);
	ids = returned_ids(n);
	for (uint64 i = 0; i < n; i++)
	{
		int			sqlstate;

		/* one that has settled meanwhile is refused, and stays as it is */
		change_status(ids[i], CONFIG_CANCELLED, "cancelled", 0, OUTCOME_NONE, &sqlstate);
		cancelled += sqlstate == 0;
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	PG_RETURN_INT32(cancelled);
}

Datum
benchorch_retry_failed(PG_FUNCTION_ARGS)
{
	Datum		values[2];
	uint64		n;
	int64	   *ids;
	int			reopened = 0;

	benchorch_require(fcinfo, 0, "model_version_id");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	if (!PG_ARGISNULL(1))
		benchorch_outcome_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	SPI_connect();
	benchorch_require_model(DatumGetUUIDP(values[0]));
	n = benchorch_run(&select_settled, values, PG_ARGISNULL(1) ? " n" : NULL);
	ids = returned_ids(n);
	for (uint64 i = 0; i < n; i++)
	{
		Config		config;
		Datum		id = Int64GetDatum(ids[i]);

		if (!benchorch_lock_config(ids[i], &config) ||
			(config.status != CONFIG_FAILED && config.status != CONFIG_SKIPPED && config.status != CONFIG_CANCELLED))
			continue;
		benchorch_run(&reopen_config, &id, NULL);
		benchorch_run(&forgive_attempts, &id, NULL);
		benchorch_count_move(&config.model_version_id, config.status, CONFIG_PENDING, 1);
		ids[reopened++] = ids[i];
		CHECK_FOR_INTERRUPTS();
	}
	if (reopened > 0)
	{
		benchorch_run(&mark_open, values, NULL);
		benchorch_feed_ids(ids, reopened, NULL);
	}
	SPI_finish();
	PG_RETURN_INT32(reopened);
}

/* ------------------------------------------------- what a user types directly */

static Statement normalize_pending = {
	.sql = "UPDATE benchorch.benchmark_configs SET started_at = NULL, completed_at = NULL, claim_id = NULL,"
	" run_started = false, version = version + 1 WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static Statement normalize_settled = {
	.sql = "UPDATE benchorch.benchmark_configs SET completed_at = coalesce(completed_at, pg_catalog.clock_timestamp()),"
	" error_message = CASE WHEN status = 'skipped' THEN coalesce(error_message, 'skipped by a direct UPDATE')"
	"  ELSE error_message END,"
	" run_started = false, version = version + 1 WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

/* The lane that a config's dimensions belong to, and the GPUs that it needs. */
static Statement place_row = {
	.sql = "UPDATE benchorch.benchmark_configs c SET lane_id = p.lane_id, gpus = p.gpus, version = version + 1"
	" FROM benchorch.benchmark_configs o, LATERAL benchorch.place(o.model_version_id, o.hardware_config_id, o.framework_id,"
	" o.batch_size, o.sequence_length, o.params, o.template_id) p WHERE c.id = $1 AND o.id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static bool
same_value(TriggerData *trigger, const char *column)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, column);
	char	   *old = SPI_getvalue(trigger->tg_trigtuple, desc, number);
	char	   *new = SPI_getvalue(trigger->tg_newtuple, desc, number);

	return (old == NULL) == (new == NULL) && (old == NULL || strcmp(old, new) == 0);
}

static bool
same_cell(TriggerData *trigger)
{
	static const char *const columns[] = {
		"model_version_id", "hardware_config_id", "framework_id", "workload_type",
		"batch_size", "sequence_length", "params"
	};

	for (int i = 0; i < lengthof(columns); i++)
		if (!same_value(trigger, columns[i]))
			return false;
	return true;
}

/*
 * AFTER UPDATE ... FOR EACH ROW WHEN (OLD.version = NEW.version): somebody
 * typed an UPDATE.  It ends in the same state as a call would have.
 */
Datum
benchorch_config_updated(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;
	Datum		id = SPI_getbinval(trigger->tg_newtuple, desc, SPI_fnumber(desc, "id"), &isnull);
	pg_uuid_t  *model = DatumGetUUIDP(SPI_getbinval(trigger->tg_newtuple, desc, SPI_fnumber(desc, "model_version_id"), &isnull));
	pg_uuid_t  *old_model = DatumGetUUIDP(SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "model_version_id"), &isnull));
	ConfigStatus from = benchorch_status_from_name(SPI_getvalue(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "status")));
	ConfigStatus to = benchorch_status_from_name(SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "status")));
	int64		claim_id = DatumGetInt64(SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "claim_id"), &isnull));
	int64		config_id = DatumGetInt64(id);
	bool		moved = !same_cell(trigger);

	if (!same_value(trigger, "id") || !same_value(trigger, "claim_id") || !same_value(trigger, "lane_id"))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("id, claim_id and lane_id of config " INT64_FORMAT " cannot be changed", config_id),
				 errhint("They belong to the extension; the other columns can be updated.")));
	if (from != to && !may_follow[from][to])
		bad_transition(config_id, from, to);
	if (moved && (from != CONFIG_PENDING || to != CONFIG_PENDING))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("config " INT64_FORMAT " is %s: what it measures cannot be changed", config_id, status_names[from]),
				 errdetail("Its results would be told as those of another cell."),
				 errhint("Insert a new config instead.")));

	SPI_connect();
	if (moved)
		benchorch_run(&place_row, &id, NULL);
	if (memcmp(model, old_model, UUID_LEN) != 0)
	{
		int64		changes[CONFIG_STATUSES] = {0};

		changes[CONFIG_PENDING] = -1;
		benchorch_count(old_model, changes);
		changes[CONFIG_PENDING] = 1;
		benchorch_count(model, changes);
		benchorch_check_endgame(old_model);
		benchorch_run(&mark_open, (Datum[]) {UUIDPGetDatum(model)}, NULL);
	}
	if (from != to)
	{
		if (from == CONFIG_RUNNING)
			leave_claim(claim_id, 1);
		else
			benchorch_run(&delete_delayed, &id, NULL);
		benchorch_run(to == CONFIG_PENDING ? &normalize_pending : &normalize_settled, &id, NULL);
		benchorch_count_move(model, from, to, 1);
	}
	if (to == CONFIG_PENDING && (from != to || moved || !same_value(trigger, "priority")))
	{
		/* ready at once, where it belongs now; what an old chunk says of it no longer matters */
		benchorch_run(&delete_delayed, &id, NULL);
		benchorch_feed_ids(&config_id, 1, NULL);
	}
	if (to != CONFIG_PENDING && from != to)
		benchorch_check_endgame(model);
	SPI_finish();
	PG_RETURN_POINTER(NULL);
}
