/*
 * The calls by which results come in: hand_in and complete, as one and as many.
 *
 * hand_in takes bytes as a worker has them, complete takes a jsonb that a
 * script has.  They check and parse; results.c settles and stores.
 */
#include "benchorch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(benchorch_hand_in);
PG_FUNCTION_INFO_V1(benchorch_hand_in_many);
PG_FUNCTION_INFO_V1(benchorch_complete);
PG_FUNCTION_INFO_V1(benchorch_complete_many);

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

	item->parsed = benchorch_read_result(VARDATA_ANY(output), VARSIZE_ANY_EXHDR(output), NULL, &why);
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

static Statement select_archived = {
	.sql = "SELECT status FROM benchorch.archived_configs WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

/* The status that the config has now, for the answer. */
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

/* ---------------------------------------------------------------- the verbs */

/* hand_in(config_id, claim_id, outcome, output, log, details) -> (accepted, status, result_id) */
static Datum
hand_in(PG_FUNCTION_ARGS)
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
	benchorch_settle_results(&item, 1, true);
	read_status(&item);
	SPI_finish();

	values[0] = BoolGetDatum(item.current);
	nulls[1] = !item.has_status;
	values[1] = item.has_status ? CStringGetTextDatum(benchorch_status_name(item.status)) : (Datum) 0;
	nulls[2] = item.result_id == 0;
	values[2] = Int64GetDatum(item.result_id);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}

Datum
benchorch_hand_in(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(hand_in, fcinfo);
}

/* hand_in_many(config_ids, claim_ids, outcomes, outputs, logs, details) */
static Datum
hand_in_many(PG_FUNCTION_ARGS)
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
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

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
	benchorch_settle_results(items, n, true);
	/* an attempt that ended with bad_output is told as such, though nothing went wrong in the telling */
	for (int i = 0; i < n; i++)
		if (items[i].sqlstate == 0 && items[i].outcome == OUTCOME_OK && items[i].parsed == NULL)
			items[i].sqlstate = ERRCODE_INVALID_TEXT_REPRESENTATION;
	put_answers(fcinfo, items, n);
	SPI_finish();
	PG_RETURN_NULL();
}

Datum
benchorch_hand_in_many(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(hand_in_many, fcinfo);
}

/* complete(config_id, claim_id, result, adapter, environment) -> result_id */
static Datum
complete(PG_FUNCTION_ARGS)
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
	benchorch_settle_results(&item, 1, false);
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

Datum
benchorch_complete(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(complete, fcinfo);
}

/* complete_many(config_ids, claim_ids, results, environment) */
static Datum
complete_many(PG_FUNCTION_ARGS)
{
	int			n;
	HandIn	   *items = pair_arguments(fcinfo, &n);
	Datum	   *results;
	Datum		environment = PG_ARGISNULL(3) ? (Datum) 0 : JsonbPGetDatum(PG_GETARG_JSONB_P(3));

	benchorch_require(fcinfo, 2, "results");
	results = array_argument(fcinfo, 2, "results", TEXTOID, n);
	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);

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
		item->raw = results[i]; /* the bytes of a text are a bytea */
		json = TextDatumGetCString(results[i]);
		json = pg_server_to_any(json, strlen(json), PG_UTF8);
		item->parsed = benchorch_parse_output(json, strlen(json), &why);
		if (item->parsed == NULL)
			refuse(item, ERRCODE_INVALID_TEXT_REPRESENTATION, psprintf("result is no JSON: %s", why));
		else if (!is_object(item->parsed))
			refuse(item, ERRCODE_INVALID_PARAMETER_VALUE, "result must be a JSON object");
	}
	benchorch_settle_results(items, n, false);
	put_answers(fcinfo, items, n);
	SPI_finish();
	PG_RETURN_NULL();
}

Datum
benchorch_complete_many(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(complete_many, fcinfo);
}
