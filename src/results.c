/*
 * Results: running -> completed with what the benchmark gave.
 *
 * hand_in takes bytes as a worker has them, complete takes a jsonb that a
 * script has; both come as one and as many.  All of them make Items of their
 * arguments and hand them to settle(), which
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

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(benchorch_hand_in);
PG_FUNCTION_INFO_V1(benchorch_hand_in_many);
PG_FUNCTION_INFO_V1(benchorch_complete);
PG_FUNCTION_INFO_V1(benchorch_complete_many);
PG_FUNCTION_INFO_V1(benchorch_given_results);

/* One result or failure on its way in, and the answer to it. */
typedef struct HandIn
{
	/* given; 0 where there is none */
	int64		config_id;
	int64		claim_id;
	Outcome		outcome;
	Datum		raw;			/* bytea: what was printed */
	Datum		log;			/* bytea */
	Datum		details;		/* jsonb, of the worker */
	Datum		environment;	/* jsonb, of a script */
	Jsonb	   *parsed;			/* NULL: the attempt failed */
	const char *message;		/* why it failed */

	/* looked up */
	bool		exists;
	bool		has_worker;
	pg_uuid_t	model_version_id;
	pg_uuid_t	worker_id;
	const char *adapter;		/* given, or the framework's, or guessed */
	Metrics		metrics;

	/* the answer */
	bool		answered;
	bool		current;		/* the claim held the config */
	int64		result_id;		/* 0: none */
	ConfigStatus status;
	bool		has_status;		/* false: the config is gone */
	int			sqlstate;		/* why it was refused; 0: it was not */
} HandIn;

/* ------------------------------------------------------------------- arrays */

/* The elements of an array argument, NULLs as 0; n of them, as there are config_ids. */
static Datum *
array_argument(FunctionCallInfo fcinfo, int argno, const char *name, Oid type, int n)
{
	Datum	   *elements;
	bool	   *nulls;
	int			count;

	if (PG_ARGISNULL(argno))
		return palloc0(sizeof(Datum) * Max(n, 1));
	deconstruct_array(PG_GETARG_ARRAYTYPE_P(argno), type, -1, false, TYPALIGN_INT, &elements, &nulls, &count);
	if (count != n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("config_ids and %s differ in length", name),
				 errdetail("There are %d config_ids and %d %s.", n, count, name)));
	for (int i = 0; i < count; i++)
		if (nulls[i])
			elements[i] = (Datum) 0;
	return elements;
}

/* Items for the pairs of two array arguments. */
static HandIn *
pair_arguments(FunctionCallInfo fcinfo, int *n)
{
	int64	   *config_ids;
	int64	   *claim_ids;
	int			claims;
	HandIn	   *items;

	benchorch_require(fcinfo, 0, "config_ids");
	benchorch_require(fcinfo, 1, "claim_ids");
	config_ids = benchorch_array_int64(PG_GETARG_DATUM(0), n);
	claim_ids = benchorch_array_int64(PG_GETARG_DATUM(1), &claims);
	if (*n != claims)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("config_ids and claim_ids differ in length"),
				 errdetail("There are %d config_ids and %d claim_ids.", *n, claims)));
	items = palloc0(sizeof(HandIn) * Max(*n, 1));
	for (int i = 0; i < *n; i++)
	{
		items[i].config_id = config_ids[i];
		items[i].claim_id = claim_ids[i];
	}
	return items;
}

/* ------------------------------------------------------------- what is known */

static Statement look_up = {
	.sql = "SELECT p.i, c.model_version_id, f.adapter, k.worker_id"
	" FROM ROWS FROM (pg_catalog.unnest($1), pg_catalog.unnest($2)) WITH ORDINALITY AS p (config_id, claim_id, i)"
	" JOIN benchorch.benchmark_configs c ON c.id = p.config_id"
	" LEFT JOIN benchorch.frameworks f ON f.id = c.framework_id"
	" LEFT JOIN benchorch.claims k ON k.claim_id = p.claim_id",
	.nargs = 2,
	.types = {INT8ARRAYOID, INT8ARRAYOID}
};

static void
look_up_items(HandIn *items, int n)
{
	int64	   *config_ids = palloc(sizeof(int64) * n);
	int64	   *claim_ids = palloc(sizeof(int64) * n);
	Datum		values[2];
	uint64		found;

	for (int i = 0; i < n; i++)
	{
		config_ids[i] = items[i].config_id;
		claim_ids[i] = items[i].claim_id;
	}
	values[0] = benchorch_int64_array(config_ids, n);
	values[1] = benchorch_int64_array(claim_ids, n);
	found = benchorch_run(&look_up, values, NULL);
	for (uint64 row = 0; row < found; row++)
	{
		HandIn	   *item = &items[benchorch_column_int64(row, 1) - 1];
		bool		isnull;

		item->exists = true;
		item->model_version_id = benchorch_column_uuid(row, 2);
		if (item->adapter == NULL)
			item->adapter = benchorch_column_text(row, 3);
		benchorch_column(row, 4, &isnull);
		item->has_worker = !isnull;
		if (item->has_worker)
			item->worker_id = benchorch_column_uuid(row, 4);
	}
}

/* Metrics for every item with a result; an adapter that serves many is loaded once. */
static void
normalize_items(HandIn *items, int n)
{
	const char *loaded = NULL;
	Adapter    *adapter = NULL;

	for (int i = 0; i < n; i++)
	{
		HandIn	   *item = &items[i];

		if (item->sqlstate != 0 || item->parsed == NULL)
			continue;
		if (item->adapter == NULL)
			item->adapter = benchorch_guess_adapter(item->parsed);
		if (item->adapter && (loaded == NULL || strcmp(loaded, item->adapter) != 0))
		{
			adapter = benchorch_load_adapter(item->adapter);
			loaded = item->adapter;
		}
		benchorch_normalize(item->adapter ? adapter : NULL, item->parsed, &item->metrics);
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
	" config_id, claim_id, accepted, model_version_id, worker_id, adapter, method, flags, parsed, raw, log, environment)"
	" SELECT " METRIC_COLUMNS
	" config_id, claim_id, accepted, model_version_id, worker_id, adapter, method, flags, parsed, raw, log,"
	" CASE WHEN details IS NULL THEN environment"
	"  WHEN pg_catalog.jsonb_typeof(details -> 'environment') IS DISTINCT FROM 'object'"
	"  THEN pg_catalog.jsonb_build_object('details', details)"
	"  WHEN details - 'environment' = '{}' THEN details -> 'environment'"
	"  ELSE (details -> 'environment') || pg_catalog.jsonb_build_object('details', details - 'environment') END"
	" FROM benchorch.given_results()"
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
 * given_results() -> rows of the type given_result.  So a statement takes any
 * number of results of any size as they are; as parameters they would be a
 * dozen arrays, limited to 1 GB each.
 */
Datum
benchorch_given_results(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	enum
	{
		/* after the metrics, as in the type */
		GIVEN_CONFIG = METRICS, GIVEN_CLAIM, GIVEN_ACCEPTED, GIVEN_MODEL, GIVEN_WORKER, GIVEN_ADAPTER, GIVEN_METHOD,
		GIVEN_FLAGS, GIVEN_PARSED, GIVEN_RAW, GIVEN_LOG, GIVEN_ENVIRONMENT, GIVEN_DETAILS,
		GIVEN_COLUMNS
	};

	InitMaterializedSRF(fcinfo, 0);
	if (rsinfo->setDesc->natts != GIVEN_COLUMNS)
		elog(ERROR, "type benchorch.given_result must have %d columns", GIVEN_COLUMNS);
	for (int i = 0; given && i < given->n; i++)
	{
		HandIn	   *item = given->items[i];
		Datum		values[GIVEN_COLUMNS] = {0};
		bool		nulls[GIVEN_COLUMNS];

		if (item->parsed)
		{
			for (int metric = 0; metric < METRICS; metric++)
				nulls[metric] = !benchorch_metric_datum(&item->metrics, metric, &values[metric]);
			values[GIVEN_METHOD] = item->metrics.method;
			values[GIVEN_FLAGS] = item->metrics.flags;
		}
		else
		{
			for (int metric = 0; metric < METRICS; metric++)
				nulls[metric] = true;
			values[GIVEN_METHOD] = PointerGetDatum(construct_empty_array(TEXTOID));
			values[GIVEN_FLAGS] = DirectFunctionCall1(jsonb_in, CStringGetDatum("{\"bad_output\": {}}"));
		}
		values[GIVEN_MODEL] = item->exists ? UUIDPGetDatum(&item->model_version_id) : (Datum) 0;
		values[GIVEN_WORKER] = item->has_worker ? UUIDPGetDatum(&item->worker_id) : (Datum) 0;
		values[GIVEN_ADAPTER] = item->adapter ? CStringGetTextDatum(item->adapter) : (Datum) 0;
		values[GIVEN_PARSED] = item->parsed ? JsonbPGetDatum(item->parsed) : (Datum) 0;
		values[GIVEN_RAW] = item->raw;
		values[GIVEN_LOG] = item->log;
		values[GIVEN_ENVIRONMENT] = item->environment;
		values[GIVEN_DETAILS] = item->details;
		for (int column = METRICS; column < GIVEN_COLUMNS; column++)
			nulls[column] = values[column] == (Datum) 0;
		values[GIVEN_CONFIG] = Int64GetDatum(item->config_id);
		values[GIVEN_CLAIM] = Int64GetDatum(item->claim_id);
		values[GIVEN_ACCEPTED] = BoolGetDatum(given->accepted);
		nulls[GIVEN_CONFIG] = nulls[GIVEN_CLAIM] = nulls[GIVEN_ACCEPTED] = false;
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

/*
 * Stores the results that "wanted" picks, in the order of the configs; those
 * whose pair has one already are left without an answer.
 */
static void
store(HandIn *items, const int *order, int n, bool (*wanted) (const HandIn *), bool accepted)
{
	GivenResults results = {.items = palloc(sizeof(HandIn *) * n), .accepted = accepted};
	GivenResults *outer = given;
	uint64		stored = 0;
	int			next = 0;

	for (int i = 0; i < n; i++)
		if (wanted(&items[order[i]]))
			results.items[results.n++] = &items[order[i]];
	if (results.n == 0)
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

		while (next < results.n && (results.items[next]->config_id != config_id || results.items[next]->claim_id != claim_id))
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

static Statement select_archived = {
	.sql = "SELECT status FROM benchorch.archived_configs WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
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

static Statement lock_configs = {
	.sql = "SELECT id FROM benchorch.benchmark_configs WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

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
		getKeyJsonValueFromContainer(&DatumGetJsonbP(item->details)->root, "message", strlen("message"), &value) == NULL ||
		value.type != jbvString)
		return item->message;
	return pnstrdup(value.val.string.val, value.val.string.len);
}

static void
end_attempt(HandIn *item)
{
	Outcome		outcome = item->outcome == OUTCOME_OK ? OUTCOME_BAD_OUTPUT : item->outcome;

	if (benchorch_end_attempt(item->config_id, item->claim_id, outcome, failure_message(item), failure_log(item),
							  item->details, &item->status) ||
		benchorch_ended_attempt(item->config_id, item->claim_id, &item->status))
	{
		item->answered = true;
		item->current = true;
		item->has_status = true;
	}
}

static void
read_status(HandIn *item)
{
	Config		config;
	Datum		id = Int64GetDatum(item->config_id);

	if (item->has_status)
		return;
	if (item->current)
	{
		item->status = CONFIG_COMPLETED;
		item->has_status = true;
	}
	else if (benchorch_get_config(item->config_id, &config))
	{
		item->status = config.status;
		item->has_status = true;
	}
	else if (benchorch_run(&select_archived, &id, NULL) > 0)
	{
		item->status = benchorch_status_from_name(benchorch_column_text(0, 1));
		item->has_status = true;
	}
}

/*
 * Settles the items that are not refused (sqlstate) yet.  keep_late: a result
 * whose claim is no longer current is kept as unaccepted.  Those that were
 * late, kept or not, are BO001 afterwards, and not current.
 */
static void
settle(HandIn *items, int n, bool keep_late)
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
	look_up_items(items, n);
	normalize_items(items, n);
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
	{
		Datum		ids = benchorch_int64_array(config_ids, n);

		benchorch_run(&lock_configs, &ids, NULL);
	}
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

/* ---------------------------------------------------------------- arguments */

static bool
is_object(Jsonb *json)
{
	return JB_ROOT_IS_OBJECT(json) != 0;
}

/* Not empty, and of nothing but objects. */
static bool
is_array_of_objects(Jsonb *json)
{
	JsonbContainer *root = &json->root;

	if (!JB_ROOT_IS_ARRAY(json) || JB_ROOT_IS_SCALAR(json) || JB_ROOT_COUNT(json) == 0)
		return false;
	for (uint32 i = 0; i < JB_ROOT_COUNT(json); i++)
		if (!JBE_ISCONTAINER(root->children[i]) ||
			!JsonContainerIsObject(getIthJsonbValueFromContainer(root, i)->val.binary.data))
			return false;
	return true;
}

/* Parses what was printed under the outcome ok: parsed, or a message. */
static void
parse_raw(HandIn *item)
{
	bytea	   *output = DatumGetByteaPP(item->raw);
	char	   *why;

	item->parsed = benchorch_parse_output(VARDATA_ANY(output), VARSIZE_ANY_EXHDR(output), &why);
	if (item->parsed == NULL)
		item->message = psprintf("output is no result: %s", why);
	else if (!is_object(item->parsed) && !is_array_of_objects(item->parsed))
	{
		item->parsed = NULL;
		item->message = "output is no result: a JSON array of other than objects";
	}
}

static void
refuse(HandIn *item, int sqlstate, const char *message)
{
	item->sqlstate = sqlstate;
	item->message = message;
}

/* The message of an answer: NULL where all is well. */
static const char *
answer_message(const HandIn *item)
{
	if (item->sqlstate == ERRCODE_BENCHORCH_STALE_CLAIM)
		return psprintf("claim " INT64_FORMAT " no longer holds config " INT64_FORMAT, item->claim_id, item->config_id);
	return item->sqlstate != 0 ? item->message : NULL;
}

/* Rows of (config_id, result_id, sqlstate, message). */
static void
put_answers(FunctionCallInfo fcinfo, const HandIn *items, int n)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	for (int i = 0; i < n; i++)
	{
		const char *message = answer_message(&items[i]);
		Datum		values[4] = {Int64GetDatum(items[i].config_id), Int64GetDatum(items[i].result_id)};
		bool		nulls[4] = {false, items[i].result_id == 0, message == NULL, message == NULL};

		if (message)
		{
			values[2] = CStringGetTextDatum(unpack_sql_state(items[i].sqlstate));
			values[3] = CStringGetTextDatum(message);
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* ---------------------------------------------------------------- the verbs */

/* hand_in(config_id, claim_id, outcome, output, log, details) -> (accepted, status, result_id) */
Datum
benchorch_hand_in(PG_FUNCTION_ARGS)
{
	HandIn		item = {0};
	TupleDesc	desc;
	Datum		values[3];
	bool		nulls[3] = {false};

	benchorch_require(fcinfo, 0, "config_id");
	benchorch_require(fcinfo, 1, "claim_id");
	benchorch_require(fcinfo, 2, "outcome");
	benchorch_require(fcinfo, 3, "output");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "benchorch.hand_in must return a row");
	desc = BlessTupleDesc(desc);
	item.config_id = PG_GETARG_INT64(0);
	item.claim_id = PG_GETARG_INT64(1);
	item.outcome = benchorch_outcome_from_name(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	item.raw = PointerGetDatum(PG_GETARG_BYTEA_PP(3));
	if (!PG_ARGISNULL(4))
		item.log = PointerGetDatum(PG_GETARG_BYTEA_PP(4));
	if (!PG_ARGISNULL(5))
		item.details = JsonbPGetDatum(PG_GETARG_JSONB_P(5));
	if (item.details && !is_object(DatumGetJsonbP(item.details)))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("details must be a JSON object")));

	SPI_connect();
	if (item.outcome == OUTCOME_OK)
		parse_raw(&item);
	settle(&item, 1, true);
	read_status(&item);
	SPI_finish();

	values[0] = BoolGetDatum(item.current);
	nulls[1] = !item.has_status;
	values[1] = item.has_status ? CStringGetTextDatum(benchorch_status_name(item.status)) : (Datum) 0;
	nulls[2] = item.result_id == 0;
	values[2] = Int64GetDatum(item.result_id);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

/* hand_in_many(config_ids, claim_ids, outcomes, outputs, logs, details) */
Datum
benchorch_hand_in_many(PG_FUNCTION_ARGS)
{
	int			n;
	HandIn	   *items = pair_arguments(fcinfo, &n);
	Datum	   *outcomes;
	Datum	   *outputs;
	Datum	   *logs;
	Datum	   *details;

	benchorch_require(fcinfo, 2, "outcomes");
	benchorch_require(fcinfo, 3, "outputs");
	outcomes = array_argument(fcinfo, 2, "outcomes", TEXTOID, n);
	outputs = array_argument(fcinfo, 3, "outputs", BYTEAOID, n);
	logs = array_argument(fcinfo, 4, "logs", BYTEAOID, n);
	details = array_argument(fcinfo, 5, "details", JSONBOID, n);
	InitMaterializedSRF(fcinfo, 0);

	SPI_connect();
	for (int i = 0; i < n; i++)
	{
		HandIn	   *item = &items[i];

		item->raw = outputs[i];
		item->log = logs[i];
		item->details = details[i];
		if (outcomes[i])
		{
			const char *name = TextDatumGetCString(outcomes[i]);

			for (item->outcome = OUTCOME_OK; item->outcome < OUTCOMES; item->outcome++)
				if (strcmp(benchorch_outcome_name(item->outcome), name) == 0)
					break;
			if (item->outcome == OUTCOMES)
				refuse(item, ERRCODE_INVALID_PARAMETER_VALUE, psprintf("unknown outcome \"%s\"", name));
		}
		else
			refuse(item, ERRCODE_INVALID_PARAMETER_VALUE, "outcome must not be NULL");
		if (item->sqlstate == 0 && outputs[i] == (Datum) 0)
			refuse(item, ERRCODE_INVALID_PARAMETER_VALUE, "output must not be NULL");
		if (item->sqlstate == 0 && details[i] && !is_object(DatumGetJsonbP(details[i])))
			refuse(item, ERRCODE_INVALID_PARAMETER_VALUE, "details must be a JSON object");
		if (item->sqlstate == 0 && item->outcome == OUTCOME_OK)
			parse_raw(item);
	}
	settle(items, n, true);
	/* an attempt that ended with bad_output is told as such, though nothing went wrong in the telling */
	for (int i = 0; i < n; i++)
		if (items[i].sqlstate == 0 && items[i].outcome == OUTCOME_OK && items[i].parsed == NULL)
			items[i].sqlstate = ERRCODE_INVALID_TEXT_REPRESENTATION;
	put_answers(fcinfo, items, n);
	SPI_finish();
	PG_RETURN_NULL();
}

/* complete(config_id, claim_id, result, adapter, environment) -> result_id */
Datum
benchorch_complete(PG_FUNCTION_ARGS)
{
	HandIn		item = {.outcome = OUTCOME_OK};

	benchorch_require(fcinfo, 0, "config_id");
	benchorch_require(fcinfo, 1, "claim_id");
	benchorch_require(fcinfo, 2, "result");
	item.config_id = PG_GETARG_INT64(0);
	item.claim_id = PG_GETARG_INT64(1);
	item.parsed = PG_GETARG_JSONB_P(2);
	if (!is_object(item.parsed))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("result must be a JSON object"),
				 errhint("benchorch.hand_in() takes a benchmark's output as it is.")));
	if (!PG_ARGISNULL(4))
		item.environment = JsonbPGetDatum(PG_GETARG_JSONB_P(4));

	SPI_connect();
	if (!PG_ARGISNULL(3))
	{
		item.adapter = text_to_cstring(PG_GETARG_TEXT_PP(3));
		if (benchorch_load_adapter(item.adapter) == NULL)
			ereport(ERROR,
					(errcode(ERRCODE_UNDEFINED_OBJECT),
					 errmsg("adapter \"%s\" does not exist", item.adapter),
					 errhint("SELECT DISTINCT adapter FROM benchorch.adapters lists them.")));
	}
	settle(&item, 1, false);
	SPI_finish();
	if (item.sqlstate == ERRCODE_BENCHORCH_STALE_CLAIM)
		benchorch_stale_claim(item.config_id, item.claim_id);
	if (item.sqlstate != 0)
		ereport(ERROR,
				(errcode(item.sqlstate),
				 errmsg("%s", item.message),
				 errhint("End the attempt: benchorch.update_status(..., 'failed', outcome => 'bad_output').")));
	PG_RETURN_INT64(item.result_id);
}

/* complete_many(config_ids, claim_ids, results, environment) */
Datum
benchorch_complete_many(PG_FUNCTION_ARGS)
{
	int			n;
	HandIn	   *items = pair_arguments(fcinfo, &n);
	Datum	   *results;
	Datum		environment = PG_ARGISNULL(3) ? (Datum) 0 : JsonbPGetDatum(PG_GETARG_JSONB_P(3));

	benchorch_require(fcinfo, 2, "results");
	results = array_argument(fcinfo, 2, "results", TEXTOID, n);
	InitMaterializedSRF(fcinfo, 0);

	SPI_connect();
	for (int i = 0; i < n; i++)
	{
		HandIn	   *item = &items[i];
		char	   *json;
		char	   *why;

		item->outcome = OUTCOME_OK;
		item->environment = environment;
		if (results[i] == (Datum) 0)
		{
			refuse(item, ERRCODE_INVALID_PARAMETER_VALUE, "result must not be NULL");
			continue;
		}
		item->raw = results[i];	/* the bytes of a text are a bytea */
		json = TextDatumGetCString(results[i]);
		json = pg_server_to_any(json, strlen(json), PG_UTF8);
		item->parsed = benchorch_parse_output(json, strlen(json), &why);
		if (item->parsed == NULL)
			refuse(item, ERRCODE_INVALID_TEXT_REPRESENTATION, psprintf("result is no JSON: %s", why));
		else if (!is_object(item->parsed))
			refuse(item, ERRCODE_INVALID_PARAMETER_VALUE, "result must be a JSON object");
	}
	settle(items, n, false);
	put_answers(fcinfo, items, n);
	SPI_finish();
	PG_RETURN_NULL();
}
