/*
 * What adapters and checks say of a result, as SQL functions: for imports, for
 * evaluating stored results again, and for looking.
 */
#include "benchorch.h"

#include "funcapi.h"
#include "utils/array.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(benchorch_evaluate);
PG_FUNCTION_INFO_V1(benchorch_parse_output_sql);

/* The last adapter of a call site: most imports are of one tool. */
typedef struct LoadedAdapter
{
	char	   *name;
	Adapter    *adapter;		/* NULL: there is none of that name */
	MemoryContext context;
} LoadedAdapter;

static Adapter *
load_adapter(FmgrInfo *flinfo, const char *name)
{
	LoadedAdapter *loaded = flinfo->fn_extra;
	MemoryContext outer;

	if (loaded && strcmp(loaded->name, name) == 0)
		return loaded->adapter;
	if (loaded == NULL)
	{
		loaded = MemoryContextAllocZero(flinfo->fn_mcxt, sizeof(LoadedAdapter));
		loaded->context = AllocSetContextCreate(flinfo->fn_mcxt, "benchorch adapter", ALLOCSET_SMALL_SIZES);
	}
	flinfo->fn_extra = NULL;	/* an error leaves nothing half done */
	MemoryContextReset(loaded->context);
	outer = MemoryContextSwitchTo(loaded->context);
	loaded->name = pstrdup(name);
	loaded->adapter = benchorch_load_adapter(name);
	MemoryContextSwitchTo(outer);
	flinfo->fn_extra = loaded;
	return loaded->adapter;
}

/*
 * evaluate(adapter, parsed, subject, environment, otherwise): the metrics in
 * their order, adapter, method, flags, unchecked, reported, problem.  An
 * adapter that is NULL is guessed, else it is the one of "otherwise".
 */
Datum
benchorch_evaluate(PG_FUNCTION_ARGS)
{
	enum
	{
		OUT_ADAPTER = METRICS,
		OUT_METHOD,
		OUT_FLAGS,
		OUT_UNCHECKED,
		OUT_REPORTED,
		OUT_PROBLEM,
		OUT_COLUMNS
	};
	TupleDesc	desc;
	Datum		values[OUT_COLUMNS] = {0};
	bool		nulls[OUT_COLUMNS];
	Jsonb	   *parsed;
	char	   *name = NULL;
	char	   *problem = NULL;
	Adapter    *adapter = NULL;
	Metrics    *metrics = palloc(sizeof(Metrics));
	Subject		subject;
	HeapTuple	tuple;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != OUT_COLUMNS)
		elog(ERROR, "benchorch.evaluate must return %d columns", OUT_COLUMNS);
	desc = BlessTupleDesc(desc);
	if (PG_ARGISNULL(1))
		PG_RETURN_NULL();
	parsed = PG_GETARG_JSONB_P(1);

	SPI_connect();
	if (!PG_ARGISNULL(0))
		name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	else
		name = benchorch_guess_adapter(parsed, NULL);
	if (name == NULL && !PG_ARGISNULL(4))
		name = text_to_cstring(PG_GETARG_TEXT_PP(4));
	if (name)
		adapter = load_adapter(fcinfo->flinfo, name);
	if (name && adapter == NULL && !PG_ARGISNULL(0))
		problem = psprintf("adapter \"%s\" does not exist", name);
	benchorch_normalize(adapter, parsed, metrics);
	if (metrics->none_completed)
		problem = "not one request of the benchmark completed";
	if (!PG_ARGISNULL(2))
		benchorch_read_subject(PG_GETARG_JSONB_P(2), &subject);
	benchorch_check(metrics, PG_ARGISNULL(2) ? NULL : &subject, PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3));

	for (int i = 0; i < METRICS; i++)
		nulls[i] = !benchorch_metric_datum(metrics, i, &values[i]);
	values[OUT_ADAPTER] = name ? CStringGetTextDatum(name) : (Datum) 0;
	values[OUT_METHOD] = metrics->method;
	values[OUT_FLAGS] = metrics->flags;
	values[OUT_UNCHECKED] = metrics->unchecked;
	values[OUT_REPORTED] = metrics->reported;
	values[OUT_PROBLEM] = problem ? CStringGetTextDatum(problem) : (Datum) 0;
	for (int i = METRICS; i < OUT_COLUMNS; i++)
		nulls[i] = values[i] == (Datum) 0;
	tuple = SPI_copytuple(heap_form_tuple(desc, values, nulls));
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}

/* parse_output(output bytea, adapter) -> (parsed jsonb, problem text) */
Datum
benchorch_parse_output_sql(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[2] = {0};
	bool		nulls[2];
	bytea	   *output;
	char	   *why = NULL;
	Jsonb	   *parsed;
	HeapTuple	tuple;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != 2)
		elog(ERROR, "benchorch.parse_output must return two columns");
	desc = BlessTupleDesc(desc);
	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	output = PG_GETARG_BYTEA_PP(0);

	SPI_connect();
	parsed = benchorch_read_result(VARDATA_ANY(output), VARSIZE_ANY_EXHDR(output),
								   PG_ARGISNULL(1) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(1)), &why);
	values[0] = parsed ? JsonbPGetDatum(parsed) : (Datum) 0;
	values[1] = parsed ? (Datum) 0 : CStringGetTextDatum(why);
	nulls[0] = parsed == NULL;
	nulls[1] = parsed != NULL;
	tuple = SPI_copytuple(heap_form_tuple(desc, values, nulls));
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}
