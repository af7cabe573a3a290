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

#include "catalog/pg_type.h"
#include "utils/array.h"
#include "utils/builtins.h"


/* What may follow what by a status update; claims and reopening have functions of their own. */
static const bool may_follow[CONFIG_STATUSES][CONFIG_STATUSES] = {
	[CONFIG_PENDING] = {[CONFIG_SKIPPED] = true, [CONFIG_CANCELLED] = true},
	[CONFIG_RUNNING] = {
		[CONFIG_PENDING] = true, [CONFIG_COMPLETED] = true, [CONFIG_FAILED] = true,
		[CONFIG_SKIPPED] = true, [CONFIG_CANCELLED] = true
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

/* A config that waited for its retry time no longer does. */
void
benchorch_forget_delay(int64 config_id)
{
	benchorch_run(&delete_delayed, (Datum[]) {Int64GetDatum(config_id)}, NULL);
}

/* n of the claim's configs have left it in this call. */
void
benchorch_leave_claim(int64 claim_id, int n)
{
	Datum		values[2] = {Int64GetDatum(claim_id), Int32GetDatum(n)};

	benchorch_run(&delete_claim, values, NULL);
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
		benchorch_leave_claim(pairs[start].claim_id, end - start);
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
	values[2] = CStringGetTextDatum(psprintf("%s: %s", benchorch_outcome_name(outcome), message ? message : "no message"));
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
	benchorch_leave_claim(config->claim_id, 1);
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
ConfigStatus
benchorch_change_status(int64 config_id, ConfigStatus to, const char *message, int64 claim_id, Outcome outcome, int *sqlstate)
{
	Config		config;
	ConfigStatus status = to;

	*sqlstate = 0;
	if (!benchorch_lock_config(config_id, &config))
	{
		*sqlstate = claim_id ? ERRCODE_BENCHORCH_STALE_CLAIM : ERRCODE_UNDEFINED_OBJECT;
		return CONFIG_PENDING;
	}
	if (claim_id != 0 && config.claim_id != claim_id)
	{
		*sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;
		return config.status;
	}
	if (config.status == to && to != CONFIG_RUNNING)
		return to;				/* it is so already */
	if (claim_id != 0 && config.status != CONFIG_RUNNING)
	{
		*sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;
		return config.status;
	}
	if (!benchorch_may_follow(config.status, to))
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
				outcome = benchorch_outcome_from_message(message);
			benchorch_end_attempt(config_id, config.claim_id, outcome, message, (Datum) 0, (Datum) 0, &status);
			break;
		case CONFIG_PENDING:
			if (outcome == OUTCOME_NONE)
				benchorch_put_back(&config, true, message, 0, NULL);
			else
				benchorch_end_attempt(config_id, config.claim_id, outcome, message, (Datum) 0, (Datum) 0, &status);
			break;
		default:
			benchorch_settle(&config, to, message, 0);
	}
	return status;
}
