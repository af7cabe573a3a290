/*
 * How attempts end badly: the retry policy, and who is to blame.
 *
 * Each outcome has a policy (the table below): how often the config is tried
 * again, after what delay, whether elsewhere.  Limits and delays are members
 * of the template's limits.  An attempt that counts towards its limit is
 * blamed; preemptions, faults of the node, and losses of what had not begun
 * are not.
 *
 * Three more rules keep one fault from costing many configs:
 *
 *   - a node at fault loses the framework, a broken GPU the whole worker;
 *   - three failures in a row, of different configs, on one worker are the
 *     worker's, unless one of the configs has failed elsewhere too: it is
 *     quarantined, and the attempts are refunded;
 *   - a config that ran out of the GPU's memory, with nothing else on it, is a
 *     witness: what is pending in its lane and at least as large in batch size
 *     and sequence length is skipped; all of the lane where its engine had not
 *     become ready.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

/* Failures in a row that quarantine a worker. */
#define BREAKER_FAILURES 3

/* Of the GPU's memory, how much must have been free for an out-of-memory to be the config's own. */
#define FREE_GPU_SHARE 0.95

/* What becomes of a config by the outcome of its attempt. */
typedef struct Policy
{
	const char *limit;			/* member of the template's limits; NULL: there is none */
	int			retries;		/* by default; -1: any number */
	bool		blamed;			/* counts towards the limit */
	bool		delayed;		/* waits before it is ready again */
	bool		counted;		/* counts in retry_count */
	bool		elsewhere;		/* not to the same worker, where there is another */
	bool		suspect;		/* may be the worker's fault: counts towards the breaker */
} Policy;

static const Policy policies[OUTCOMES] = {
	[OUTCOME_NONE] = {"crash_retries", 4, true, true, true, true, true},
	[OUTCOME_CRASH] = {"crash_retries", 4, true, true, true, true, true},
	[OUTCOME_TIMEOUT] = {"timeout_retries", 1, true, false, true, true, true},
	[OUTCOME_BAD_OUTPUT] = {"bad_output_retries", 1, true, false, true, true, true},
	[OUTCOME_GPU_OOM] = {NULL, 0, true, false, true, false, false},
	[OUTCOME_HOST_OOM] = {NULL, 0, true, false, true, false, false},
	[OUTCOME_UNSUPPORTED] = {NULL, 0, true, false, true, false, false},
	[OUTCOME_BAD_CONFIG] = {NULL, 0, true, false, true, false, false},
	[OUTCOME_GPU_FAULT] = {NULL, -1, false, false, true, true, false},
	[OUTCOME_NODE_FAULT] = {NULL, -1, false, false, true, true, false},
	[OUTCOME_PREEMPTED] = {NULL, -1, false, false, false, false, false},
	[OUTCOME_LOST] = {"max_losses", 4, true, false, true, false, false},
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

void
benchorch_blame_worker(const pg_uuid_t *worker, Outcome outcome, int32 framework_id, const char *message)
{
	bool		framework = framework_id != 0 && outcome != OUTCOME_GPU_FAULT;
	Datum		values[3];

	values[0] = UUIDPGetDatum(worker);
	values[1] = Int32GetDatum(framework_id);
	values[2] = CStringGetTextDatum(psprintf("%s: %s", benchorch_outcome_name(outcome),
											 message ? message : "no message"));
	benchorch_run(&fault_worker, values, framework ? NULL : " n ");
}

/* The row of failures on a worker, this config added. */
static Statement add_failure = {
	.sql = "INSERT INTO benchorch.worker_failures AS f (worker_id, config_ids) VALUES ($1, ARRAY[$2])"
	" ON CONFLICT (worker_id) DO UPDATE SET config_ids = pg_catalog.array_remove(f.config_ids, $2) || $2"
	" RETURNING config_ids",
	.nargs = 2,
	.types = {UUIDOID, INT8OID}
};

static Statement clear_failures = {
	.sql = "DELETE FROM benchorch.worker_failures WHERE worker_id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement failed_elsewhere = {
	.sql = "SELECT 1 FROM benchorch.attempts WHERE config_id = ANY ($2) AND worker_id <> $1 AND blamed LIMIT 1",
	.nargs = 2,
	.types = {UUIDOID, INT8ARRAYOID}
};

static Statement refund_attempts = {
	.sql = "UPDATE benchorch.attempts SET blamed = false WHERE config_id = ANY ($2) AND worker_id = $1 AND blamed",
	.nargs = 2,
	.types = {UUIDOID, INT8ARRAYOID}
};

/* What waits for its retry time only because of this worker is ready for the others. */
static Statement wake_refunded = {
	.sql = "UPDATE benchorch.delayed_configs SET due_at = pg_catalog.clock_timestamp() WHERE config_id = ANY ($1)",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

static Statement quarantine_worker = {
	.sql = "UPDATE benchorch.workers SET state = 'quarantined', reason = $2 WHERE id = $1",
	.nargs = 2,
	.types = {UUIDOID, TEXTOID}
};

static Statement waiting_configs = {
	.sql = "SELECT c.id FROM benchorch.claims l JOIN benchorch.benchmark_configs c ON c.id = ANY (l.config_ids)"
	" AND c.claim_id = l.claim_id AND c.status = 'running' AND NOT c.run_started"
	" WHERE l.worker_id = $1 FOR NO KEY UPDATE OF c SKIP LOCKED",
	.nargs = 1,
	.types = {UUIDOID}
};

/*
 * What the worker has claimed and not begun goes back to the others, at no
 * cost; what somebody else holds is on its way already.
 */
static void
put_back_waiting(const pg_uuid_t *worker)
{
	Datum		values[1] = {UUIDPGetDatum(worker)};
	uint64		n = benchorch_run(&waiting_configs, values, NULL);
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));

	for (uint64 i = 0; i < n; i++)
		ids[i] = benchorch_column_int64(i, 1);
	for (uint64 i = 0; i < n; i++)
	{
		Config		config;

		if (benchorch_lock_config(ids[i], &config) && config.status == CONFIG_RUNNING)
			benchorch_put_back(&config, false, NULL, 0, NULL);
	}
}

/* A failure that may be the worker's: is it the third in a row? */
static void
note_failure(const pg_uuid_t *worker, int64 config_id, const char *message)
{
	Datum		values[2] = {UUIDPGetDatum(worker), Int64GetDatum(config_id)};
	Datum		configs;
	int			n;
	bool		isnull;

	benchorch_run(&add_failure, values, NULL);
	benchorch_tell(FAILURES);
	configs = benchorch_column(0, 1, &isnull);
	benchorch_array_int64(configs, &n);
	if (n < BREAKER_FAILURES)
		return;
	values[1] = configs;
	if (benchorch_run(&failed_elsewhere, values, NULL) > 0)
		return;
	benchorch_run(&refund_attempts, values, NULL);
	benchorch_run(&wake_refunded, &configs, NULL);
	benchorch_run(&clear_failures, values, NULL);
	values[1] = CStringGetTextDatum(psprintf("%d failures in a row of different configs, the last: %s",
											 n, message ? message : "no message"));
	benchorch_run(&quarantine_worker, values, NULL);
	put_back_waiting(worker);
}

static Statement dominated_configs = {
	.sql = "SELECT c.id FROM benchorch.benchmark_configs w JOIN benchorch.benchmark_configs c"
	" ON c.model_version_id = w.model_version_id AND c.lane_id = w.lane_id"
	" WHERE w.id = $1 AND c.id <> w.id AND c.status = 'pending'"
	" AND ($2 OR (c.batch_size >= w.batch_size AND c.sequence_length >= w.sequence_length))"
	" FOR NO KEY UPDATE OF c SKIP LOCKED",
	.nargs = 2,
	.types = {INT8OID, BOOLOID}
};

/*
 * What needs at least the memory of a config that ran out of it is not tried,
 * unless somebody is claiming it just now: the witness is locked already, so
 * others are not waited for.
 */
static void
prune(int64 witness_id, bool whole_lane)
{
	Datum		values[2] = {Int64GetDatum(witness_id), BoolGetDatum(whole_lane)};
	uint64		n = benchorch_run(&dominated_configs, values, NULL);
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));
	char	   *reason = psprintf(whole_lane ? "the engine of its lane ran out of GPU memory before it was ready,"
										 " in config " INT64_FORMAT
									   : "needs at least the GPU memory of config " INT64_FORMAT
										 ", which ran out of it",
							witness_id);

	for (uint64 i = 0; i < n; i++)
		ids[i] = benchorch_column_int64(i, 1);
	for (uint64 i = 0; i < n; i++)
	{
		Config		config;

		if (benchorch_lock_config(ids[i], &config) && config.status == CONFIG_PENDING)
			benchorch_settle(&config, CONFIG_SKIPPED, reason, witness_id);
	}
}

/* A member of details; NULL where it is missing or of another type. */
static JsonbValue *
detail(Datum details, const char *key, enum jbvType type, JsonbValue *buffer)
{
	JsonbValue *value;

	if (details == (Datum) 0 || !JB_ROOT_IS_OBJECT(DatumGetJsonbP(details)))
		return NULL;
	value = getKeyJsonValueFromContainer(&DatumGetJsonbP(details)->root, key, strlen(key), buffer);
	return value != NULL && value->type == type ? value : NULL;
}

/* The share of the GPU's memory that was free before the run, as the worker saw it; -1 where it did not look. */
static double
free_gpu_share(Datum details)
{
	JsonbValue	buffer;
	JsonbValue *value = detail(details, "gpu_free_share", jbvNumeric, &buffer);

	if (value == NULL)
		return -1;
	return DatumGetFloat8(DirectFunctionCall1(numeric_float8, NumericGetDatum(value->val.numeric)));
}

/* Whether the lane's engine had not even become ready. */
static bool
ended_before_ready(Datum details)
{
	JsonbValue	buffer;
	JsonbValue *value = detail(details, "before_ready", jbvBool, &buffer);

	return value != NULL && value->val.boolean;
}

bool
benchorch_end_attempt(int64 config_id, int64 claim_id, Outcome outcome, bool released,
					  const char *message, Datum log, Datum details, ConfigStatus *status)
{
	double		free_share = outcome == OUTCOME_GPU_OOM ? free_gpu_share(details) : -1;
	const Policy *policy;
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
	/* somebody else's memory: not the config's fault */
	if (free_share >= 0 && free_share < FREE_GPU_SHARE)
		outcome = OUTCOME_NODE_FAULT;
	policy = &policies[outcome];

	values[0] = Int64GetDatum(config_id);
	values[1] = CStringGetTextDatum(benchorch_outcome_name(outcome));
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
	values[3] = CStringGetTextDatum(benchorch_outcome_name(outcome));
	values[4] = BoolGetDatum(blamed);
	values[5] = CStringGetTextDatum(benchorch_status_name(*status));
	values[6] = message ? CStringGetTextDatum(message) : (Datum) 0;
	nulls[6] = message ? ' ' : 'n';
	values[7] = log;
	nulls[7] = log ? ' ' : 'n';
	values[8] = details;
	nulls[8] = details ? ' ' : 'n';
	benchorch_run(&insert_attempt, values, nulls);

	if (*status == CONFIG_FAILED)
		benchorch_settle(&config, CONFIG_FAILED, message ? message : benchorch_outcome_name(outcome), 0);
	else
	{
		bool		avoid = policy->elsewhere && has_worker;

		benchorch_put_back(&config, policy->counted && !released, message, delay, avoid ? &worker : NULL);
	}
	if (has_worker && (outcome == OUTCOME_NODE_FAULT || outcome == OUTCOME_GPU_FAULT))
		benchorch_blame_worker(&worker, outcome, framework_id, message);
	if (has_worker && policy->suspect)
		note_failure(&worker, config_id, message);
	if (outcome == OUTCOME_GPU_OOM && free_share >= FREE_GPU_SHARE)
		prune(config_id, ended_before_ready(details));
	return true;
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
