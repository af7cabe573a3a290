/*
 * Results on their way in: running -> completed with what a benchmark gave.
 *
 * hand_in.c makes HandIns of what it was called with; benchorch_settle_results()
 *
 *   - completes, in one statement, every config whose claim is current,
 *   - ends the attempts that failed or whose output is no result,
 *   - stores the results, and answers repeated calls from what is stored.
 *
 * A result belongs to its pair (config_id, claim_id), and a unique index keeps
 * one for each.  The config's row decides who is first: of two callers with
 * the same pair the second waits for the first's row, finds the claim no
 * longer current, and then, with a new snapshot, the first's result.
 *
 * Nothing here uses a subtransaction: what a benchmark printed cannot raise an
 * error (json.c, adapters.c).
 *
 * Whatever acknowledges a result is flushed, whatever synchronous_commit says:
 * the worker deletes its copy then.
 */
#include "benchorch.h"
#include "table.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "compat.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(benchorch_given_results);

/* ------------------------------------------------------------- what is known */

/* Which worker holds the item's claim; one that is over has no row. */
static void
look_up_worker(HandIn *item, int64 *last_id, ClaimRow *last)
{
	if (item->claim_id != *last_id && !benchorch_read_claim(item->claim_id, last))
		last->has_worker = false;
	*last_id = item->claim_id;
	item->has_worker = last->has_worker;
	item->worker_id = last->worker_id;
}

/* As benchorch.subject() has it, which a check of a user's own looks at. */
static Statement select_subject = {
	.sql = "SELECT benchorch.subject(model_version_id, hardware_config_id, workload_type, batch_size, sequence_length,"
	" gpus, params)"
	" FROM benchorch.benchmark_configs WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static void
read_whole_subject(HandIn *item)
{
	bool		isnull;

	if (benchorch_run(&select_subject, (Datum[]){Int64GetDatum(item->config_id)}, NULL) > 0)
		benchorch_read_subject((Jsonb *) PG_DETOAST_DATUM_COPY(benchorch_column(0, 1, &isnull)), &item->subject);
}

/* What a result of this config is about: the same, put together from what is kept. */
static void
read_subject(HandIn *item, const ConfigRow *row)
{
	const ConfigColumns *at = &row->columns;
	Subject    *subject = &item->subject;
	const Workload *workload = NULL;
	int32		hardware = row->nulls[at->hardware_config_id]
		? 0
		: DatumGetInt32(row->values[at->hardware_config_id]);

#define NUMBER(column) (row->nulls[at->column] ? get_float8_nan() : DatumGetInt32(row->values[at->column]))
	*subject = *benchorch_kept_place(&item->model_version_id, hardware);
	subject->gpus = NUMBER(gpus);
	subject->batch_size = NUMBER(batch_size);
	subject->params = (Jsonb *) PG_DETOAST_DATUM_COPY(row->values[at->params]);
	if (!row->nulls[at->workload_type])
		workload = benchorch_kept_workload(TextDatumGetCString(row->values[at->workload_type]));
	if (workload)
	{
		double		length = NUMBER(sequence_length);

		subject->dataset = workload->dataset;
		subject->output_tokens = floor(workload->output_share * length + 0.5);
		subject->input_tokens = length - subject->output_tokens;
	}
#undef NUMBER
	item->has_subject = true;
}

/* The items' configs, and what is known of them. */
static void
look_up_items(HandIn *items, int n)
{
	int64	   *config_ids = palloc(sizeof(int64) * n);
	int64	   *sorted = palloc(sizeof(int64) * n);
	int		   *order;
	ConfigTable *configs;
	ClaimRow	claim = {0};
	int64		claim_id = 0;	/* no claim is called so */

	for (int i = 0; i < n; i++)
		config_ids[i] = items[i].config_id;
	order = benchorch_id_order(config_ids, n);
	for (int i = 0; i < n; i++)
		sorted[i] = config_ids[order[i]];
	configs = benchorch_open_configs(sorted, n);
	for (int i = 0; i < n; i++)
	{
		HandIn	   *item = &items[order[i]];
		const ConfigRow *row = benchorch_read_next(configs);

		if (row == NULL)
			continue;
		item->exists = true;
		item->model_version_id = *DatumGetUUIDP(row->values[row->columns.model_version_id]);
		if (item->adapter == NULL)
		{
			int32		id = DatumGetInt32(row->values[row->columns.framework_id]);
			const KeptFramework *framework = benchorch_kept_framework(id);

			item->adapter = framework ? framework->adapter : NULL;
		}
		if (item->sqlstate == 0 && item->parsed)
			read_subject(item, row);
	}
	benchorch_close_configs(configs);
	for (int i = 0; i < n; i++)
		if (items[i].exists)
			look_up_worker(&items[i], &claim_id, &claim);
}

/* Whether the results that have metrics can be true. */
static void
check_items(HandIn *items, int n)
{
	for (int i = 0; i < n; i++)
	{
		HandIn	   *item = &items[i];
		Jsonb	   *environment = item->environment ? DatumGetJsonbP(item->environment) : NULL;

		if (item->sqlstate != 0 || item->parsed == NULL)
			continue;
		if (environment == NULL && item->details)
			environment = benchorch_member_object(DatumGetJsonbP(item->details), "environment");
		if (item->has_subject && item->subject.own_checks && item->metrics.found)
			read_whole_subject(item);
		benchorch_check(&item->metrics, item->has_subject ? &item->subject : NULL, environment);
	}
}

/* Metrics for every item with a result. */
static void
normalize_items(HandIn *items, int n)
{
	for (int i = 0; i < n; i++)
	{
		HandIn	   *item = &items[i];

		if (item->sqlstate != 0 || item->parsed == NULL)
			continue;
		if (item->adapter == NULL)
			item->adapter = benchorch_guess_adapter(item->parsed, NULL);
		benchorch_normalize(item->adapter ? benchorch_kept_adapter(item->adapter) : NULL, item->parsed, &item->metrics);
		if (item->metrics.none_completed)
		{
			item->parsed = NULL;
			item->message = "not one request of the benchmark completed";
		}
	}
}

/* ------------------------------------------------------------------ storing */

#define METRIC(number, name) #name ", "
#define METRIC_COLUMNS BENCHORCH_METRICS(METRIC)

static Statement insert_results = {
	.sql = "INSERT INTO benchorch.benchmark_results (" METRIC_COLUMNS
	" config_id, claim_id, accepted, model_version_id, worker_id, adapter, method, flags, unchecked,"
	" reported, parsed, raw, log, environment)"
	" SELECT " METRIC_COLUMNS
	" config_id, claim_id, accepted, model_version_id, worker_id, adapter, method, flags, unchecked, reported, parsed,"
	" raw, log, environment FROM benchorch.given_results()"
	" ON CONFLICT (config_id, claim_id) DO NOTHING RETURNING config_id, claim_id, id",
};

/* What given_results() gives: the results that store() is storing, NULL outside of it. */
typedef struct GivenResults
{
	HandIn	  **items;
	int			n;
	bool		accepted;
} GivenResults;

static GivenResults *given = NULL;

/*
 * What is known of a run's environment: what a script gave, or of a worker's
 * details the environment, and under "details" whatever else they have.
 */
static Datum
whole_environment(const HandIn *item)
{
	Datum		key = CStringGetTextDatum("environment");
	Jsonb	   *environment;
	Jsonb	   *rest;
	JsonbInState state = {0};
	JsonbValue	name = {.type = jbvString, .val.string = {.val = "details", .len = strlen("details")}};
	JsonbValue	value;
	Datum		details;

	if (item->details == (Datum) 0)
		return item->environment;
	environment = benchorch_member_object(DatumGetJsonbP(item->details), "environment");
	rest = DatumGetJsonbP(environment ? DirectFunctionCall2(jsonb_delete, item->details, key) : item->details);
	if (environment && JB_ROOT_COUNT(rest) == 0)
		return JsonbPGetDatum(environment);
	JsonbToJsonbValue(rest, &value);
	compat_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	compat_push_jsonb(&state, WJB_KEY, &name);
	compat_push_jsonb(&state, WJB_VALUE, &value);
	compat_push_jsonb(&state, WJB_END_OBJECT, NULL);
	details = JsonbPGetDatum(JsonbValueToJsonb(state.result));
	return environment ? DirectFunctionCall2(jsonb_concat, JsonbPGetDatum(environment), details) : details;
}

StaticAssertDecl(RESULT_METRICS + METRICS == RESULT_PARSED, "metrics stand in benchmark_results as table.h says");

/* An item's columns of benchmark_results, by position from 0; NULL where there is none. */
static void
result_columns(const HandIn *item, bool accepted, Datum *values, bool *nulls)
{
	memset(values, 0, sizeof(Datum) * RESULT_COLUMNS);
	values[RESULT_MODEL - 1] = item->exists ? UUIDPGetDatum(&item->model_version_id) : (Datum) 0;
	values[RESULT_WORKER - 1] = item->has_worker ? UUIDPGetDatum(&item->worker_id) : (Datum) 0;
	values[RESULT_ADAPTER - 1] = item->adapter ? CStringGetTextDatum(item->adapter) : (Datum) 0;
	values[RESULT_PARSED - 1] = item->parsed ? JsonbPGetDatum(item->parsed) : (Datum) 0;
	values[RESULT_RAW - 1] = item->raw;
	values[RESULT_LOG - 1] = item->log;
	values[RESULT_ENVIRONMENT - 1] = whole_environment(item);
	if (item->parsed)
	{
		values[RESULT_METHOD - 1] = item->metrics.method;
		values[RESULT_FLAGS - 1] = item->metrics.flags;
		values[RESULT_UNCHECKED - 1] = item->metrics.unchecked;
		values[RESULT_REPORTED - 1] = item->metrics.reported;
	}
	else
	{
		values[RESULT_METHOD - 1] = PointerGetDatum(construct_empty_array(TEXTOID));
		values[RESULT_FLAGS - 1] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"bad_output\": {}}"));
		values[RESULT_UNCHECKED - 1] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
		values[RESULT_REPORTED - 1] = values[RESULT_UNCHECKED - 1];
	}
	for (int column = 0; column < RESULT_COLUMNS; column++)
		nulls[column] = values[column] == (Datum) 0;

	/* where 0 is a value */
	for (int metric = 0; metric < METRICS && item->parsed; metric++)
		nulls[RESULT_METRICS - 1 + metric] =
			!benchorch_metric_datum(&item->metrics, metric, &values[RESULT_METRICS - 1 + metric]);
	values[RESULT_CONFIG - 1] = Int64GetDatum(item->config_id);
	values[RESULT_CLAIM - 1] = Int64GetDatum(item->claim_id);
	values[RESULT_ACCEPTED - 1] = BoolGetDatum(accepted);
	nulls[RESULT_CONFIG - 1] = nulls[RESULT_CLAIM - 1] = nulls[RESULT_ACCEPTED - 1] = false;
}

/*
 * given_results() -> rows of benchmark_results.  So a statement takes any
 * number of results of any size as they are; as parameters they would be a
 * dozen arrays, limited to 1 GB each.
 */
Datum
benchorch_given_results(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (rsinfo->setDesc->natts < RESULT_COLUMNS)
		elog(ERROR, "benchorch.benchmark_results must have at least %d columns", RESULT_COLUMNS);
	for (int i = 0; given && i < given->n; i++)
	{
		Datum	   *values = palloc0(sizeof(Datum) * rsinfo->setDesc->natts);
		bool	   *nulls = palloc(sizeof(bool) * rsinfo->setDesc->natts);

		memset(nulls, true, rsinfo->setDesc->natts);
		result_columns(given->items[i], given->accepted, values, nulls);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Stores accepted results without the executor; false where only a statement
 * will do.  Their configs have just been completed under these claims, so none
 * of them is there already.
 */
static bool
append_accepted(HandIn **items, int n)
{
	Oid			sequence = benchorch_oid("benchmark_results_id_seq");
	Table	   *results = benchorch_open_table("benchmark_results", NULL, RowExclusiveLock);
	bool		plain = benchorch_is_plain(results) && benchorch_columns(results) == RESULT_COLUMNS;

	for (int i = 0; plain && i < n; i++)
	{
		Datum		values[RESULT_COLUMNS];
		bool		nulls[RESULT_COLUMNS];
		Datum		id = DirectFunctionCall1(nextval_oid, ObjectIdGetDatum(sequence));

		result_columns(items[i], true, values, nulls);
		values[RESULT_ID - 1] = id;
		values[RESULT_CREATED_AT - 1] = TimestampTzGetDatum(GetCurrentTransactionStartTimestamp());
		nulls[RESULT_ID - 1] = nulls[RESULT_CREATED_AT - 1] = false;
		benchorch_add_row(results, values, nulls);
		items[i]->result_id = DatumGetInt64(id);
		items[i]->answered = true;
	}
	benchorch_close_table(results);
	return plain;
}

/*
 * Stores the results that "wanted" picks, in the order of the configs; those
 * whose pair has one already are left without an answer.
 */
static void
store(HandIn *items, const int *order, int n, bool (*wanted)(const HandIn *), bool accepted)
{
	GivenResults results = {.items = palloc(sizeof(HandIn *) * n), .accepted = accepted};
	GivenResults *outer = given;
	uint64		stored = 0;
	int			next = 0;

	for (int i = 0; i < n; i++)
		if (wanted(&items[order[i]]))
			results.items[results.n++] = &items[order[i]];
	if (results.n == 0 || (accepted && append_accepted(results.items, results.n)))
		return;
	PG_TRY();
	{
		given = &results;
		stored = benchorch_run(&insert_results, NULL, NULL);
	}
	PG_FINALLY();
	{
		given = outer;
	}
	PG_END_TRY();

	/* rows come back in the order given, without those that were there */
	for (uint64 row = 0; row < stored; row++)
	{
		int64		config_id = benchorch_column_int64(row, 1);
		int64		claim_id = benchorch_column_int64(row, 2);
		HandIn	   *item;

		while (next < results.n &&
			   (results.items[next]->config_id != config_id || results.items[next]->claim_id != claim_id))
			next++;
		if (next == results.n)
			elog(ERROR, "stored results came back in another order");
		item = results.items[next++];
		item->result_id = benchorch_column_int64(row, 3);
		item->current = accepted;
		item->answered = true;
	}
}

static Statement select_stored = {
	.sql = "SELECT id, accepted FROM benchorch.benchmark_results WHERE config_id = $1 AND claim_id = $2"
	" UNION ALL"
	" SELECT id, accepted FROM benchorch.archived_results WHERE config_id = $1 AND claim_id = $2",
	.nargs = 2,
	.types = {INT8OID, INT8OID}
};

/* An earlier call for the same pair, or a faster one, may have stored its result. */
static bool
find_stored(HandIn *item)
{
	Datum		values[2] = {Int64GetDatum(item->config_id), Int64GetDatum(item->claim_id)};
	bool		isnull;

	if (benchorch_run(&select_stored, values, NULL) == 0)
		return false;
	item->result_id = benchorch_column_int64(0, 1);
	item->current = DatumGetBool(benchorch_column(0, 2, &isnull));
	item->answered = true;
	return true;
}

/* ----------------------------------------------------------------- settling */

static bool
is_current_result(const HandIn *item)
{
	return item->sqlstate == 0 && item->parsed != NULL && item->current;
}

static bool
is_late_result(const HandIn *item)
{
	return item->sqlstate == 0 && item->outcome == OUTCOME_OK && !item->answered;
}

/* What a failed attempt leaves to read: its log, and what it printed. */
static Datum
failure_log(const HandIn *item)
{
	bytea	   *log = item->log ? DatumGetByteaPP(item->log) : NULL;
	bytea	   *raw = item->raw ? DatumGetByteaPP(item->raw) : NULL;
	static const char line[] = "\n--- output ---\n";
	bytea	   *both;
	char	   *at;

	if (log == NULL || VARSIZE_ANY_EXHDR(log) == 0)
		return raw && VARSIZE_ANY_EXHDR(raw) > 0 ? PointerGetDatum(raw) : (Datum) 0;
	if (raw == NULL || VARSIZE_ANY_EXHDR(raw) == 0 ||
		VARSIZE_ANY_EXHDR(log) + VARSIZE_ANY_EXHDR(raw) > MaxAllocSize - 1024)
		return PointerGetDatum(log);
	both = palloc(VARHDRSZ + VARSIZE_ANY_EXHDR(log) + strlen(line) + VARSIZE_ANY_EXHDR(raw));
	at = VARDATA(both);
	memcpy(at, VARDATA_ANY(log), VARSIZE_ANY_EXHDR(log));
	at += VARSIZE_ANY_EXHDR(log);
	memcpy(at, line, strlen(line));
	at += strlen(line);
	memcpy(at, VARDATA_ANY(raw), VARSIZE_ANY_EXHDR(raw));
	at += VARSIZE_ANY_EXHDR(raw);
	SET_VARSIZE(both, at - (char *) both);
	return PointerGetDatum(both);
}

/* details->>'message' */
static const char *
failure_message(const HandIn *item)
{
	JsonbValue	value;

	if (item->message || item->details == (Datum) 0 ||
		getKeyJsonValueFromContainer(&DatumGetJsonbP(item->details)->root, "message", strlen("message"),
									 &value) == NULL ||
		value.type != jbvString)
		return item->message;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static void
end_attempt(HandIn *item)
{
	Outcome		outcome = item->outcome == OUTCOME_OK ? OUTCOME_BAD_OUTPUT : item->outcome;
	const char *message = failure_message(item);

	if (item->outcome != OUTCOME_OK)
		outcome = benchorch_judge(outcome, item->log, item->raw, item->details, &message);
	if (benchorch_end_attempt(item->config_id, item->claim_id, outcome, false, message, failure_log(item),
							  item->details, &item->status) ||
		benchorch_ended_attempt(item->config_id, item->claim_id, &item->status))
	{
		item->answered = true;
		item->current = true;
		item->has_status = true;
	}
}

/*
 * Settles the items that are not refused (sqlstate) yet.  keep_late: a result
 * whose claim is no longer current is kept as unaccepted.  Those that were
 * late, kept or not, are BO001 afterwards, and not current.
 */
void
benchorch_settle_results(HandIn *items, int n, bool keep_late)
{
	int64	   *config_ids = palloc(sizeof(int64) * Max(n, 1));
	int64	   *claim_ids = palloc(sizeof(int64) * Max(n, 1));
	int		   *positions = palloc(sizeof(int) * Max(n, 1));
	bool	   *done = palloc(sizeof(bool) * Max(n, 1));
	int		   *order;
	int			results = 0;
	int			failures = 0;
	bool		late = false;

	if (n == 0)
		return;
	benchorch_begin_reference();
	look_up_items(items, n);
	normalize_items(items, n);
	check_items(items, n);
	for (int i = 0; i < n; i++)
	{
		config_ids[i] = items[i].config_id;
		/* a script is told; a worker's attempt has ended */
		if (!keep_late && items[i].sqlstate == 0 && items[i].parsed == NULL)
			items[i].sqlstate = ERRCODE_INVALID_PARAMETER_VALUE;
	}
	order = benchorch_id_order(config_ids, n);

	for (int i = 0; i < n; i++)
	{
		if (items[i].sqlstate != 0)
			continue;
		if (items[i].parsed)
			positions[results++] = i;
		else
			failures++;
	}

	/* every verb locks configs in id order; two kinds of change must not take turns */
	if (failures > 0 && n > 1)
		benchorch_lock_configs(config_ids, n);
	if (results > 0)
	{
		for (int i = 0; i < results; i++)
		{
			config_ids[i] = items[positions[i]].config_id;
			claim_ids[i] = items[positions[i]].claim_id;
		}
		benchorch_complete_configs(config_ids, claim_ids, results, done);
		for (int i = 0; i < results; i++)
			items[positions[i]].current = done[i];
		store(items, order, n, is_current_result, true);
	}
	for (int i = 0; failures > 0 && i < n; i++)
	{
		HandIn	   *item = &items[order[i]];

		if (item->sqlstate == 0 && item->parsed == NULL)
			end_attempt(item);
	}

	/* whatever has no answer yet was there before, or is late */
	for (int i = 0; i < n; i++)
		if (items[i].sqlstate == 0 && !items[i].answered && !find_stored(&items[i]))
			late = true;
	if (late && keep_late)
	{
		store(items, order, n, is_late_result, false);
		for (int i = 0; i < n; i++)
			if (is_late_result(&items[i]))
				find_stored(&items[i]);
	}
	for (int i = 0; i < n; i++)
		if (items[i].sqlstate == 0 && !items[i].current)
			items[i].sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;

	/* who gets an answer may forget what it holds */
	ForceSyncCommit();
}
