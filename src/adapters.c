/*
 * What a tool's output means: canonical metrics, and the checks on them.
 *
 * An adapter is rows of benchorch.adapters: the value at this path of the
 * tool's JSON, times this scale, is that metric.  The paths are evaluated
 * here, without SQL; nothing in a result can raise an error.  A value counts
 * only where it cannot be misread: the path finds exactly one, it is a number
 * (or a string that is one and nothing else), finite and not negative, and no
 * time of zero, which is what tools print for "no samples".
 *
 * Rates that a tool does not print are derived from the sums that it does,
 * never from other rates.
 */
#include "benchorch.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/memutils.h"

PG_FUNCTION_INFO_V1(benchorch_normalize_sql);
PG_FUNCTION_INFO_V1(benchorch_guess_adapter_sql);

/* A rate may differ from its sums by this much, and this share of requests may fail. */
#define IDENTITY_TOLERANCE 0.02
#define ERRORS_TOLERANCE 0.05
#define NOISE_TOLERANCE 0.10

/* Energy counters tick too slowly for less. */
#define MIN_ENERGY_SECONDS 3.0

static const char *const metric_names[METRICS] = {
#define METRIC(number, name) #name,
	BENCHORCH_METRICS(METRIC)
#undef METRIC
};

typedef struct AdapterRow
{
	Metric		metric;
	Datum		path;			/* jsonpath */
	double		scale;
	ArrayType  *method;			/* text[] */
} AdapterRow;

struct Adapter
{
	Datum		no_vars;		/* '{}' */
	int			n;
	AdapterRow	rows[FLEXIBLE_ARRAY_MEMBER];
};

static Statement select_adapter = {
	.sql = "SELECT metric, path, scale, method FROM benchorch.adapters WHERE adapter = $1 ORDER BY metric, preference",
	.nargs = 1,
	.types = {TEXTOID}
};

static Statement select_signs = {
	.sql = "SELECT adapter, sign FROM benchorch.adapter_signs ORDER BY position, adapter",
};

static Datum
empty_object(void)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
}

/* What the path finds, as a JSON array; errors of the path find nothing. */
static Jsonb *
find(Jsonb *raw, Datum path, Datum no_vars)
{
	return DatumGetJsonbP(DirectFunctionCall4(jsonb_path_query_array, JsonbPGetDatum(raw), path, no_vars,
											  BoolGetDatum(true)));
}

Adapter *
benchorch_load_adapter(const char *name)
{
	Datum		values[1] = {CStringGetTextDatum(name)};
	uint64		n = benchorch_run(&select_adapter, values, NULL);
	Adapter    *adapter;

	if (n == 0)
		return NULL;
	adapter = palloc(offsetof(Adapter, rows) + n * sizeof(AdapterRow));
	adapter->no_vars = empty_object();
	adapter->n = 0;
	for (uint64 i = 0; i < n; i++)
	{
		char	   *metric = benchorch_column_text(i, 1);
		AdapterRow *row = &adapter->rows[adapter->n];
		bool		isnull;

		for (row->metric = 0; row->metric < METRICS; row->metric++)
			if (strcmp(metric, metric_names[row->metric]) == 0)
				break;
		if (row->metric == METRICS)
			continue;			/* a check constraint forbids it */
		row->path = PointerGetDatum(PG_DETOAST_DATUM_COPY(benchorch_column(i, 2, &isnull)));
		row->scale = DatumGetFloat8(benchorch_column(i, 3, &isnull));
		row->method = DatumGetArrayTypePCopy(benchorch_column(i, 4, &isnull));
		adapter->n++;
	}
	return adapter;
}

char *
benchorch_guess_adapter(Jsonb *raw)
{
	uint64		n = benchorch_run(&select_signs, NULL, NULL);
	Datum		no_vars = empty_object();

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		if (JB_ROOT_COUNT(find(raw, benchorch_column(i, 2, &isnull), no_vars)) > 0)
			return benchorch_column_text(i, 1);
	}
	return NULL;
}

/*
 * The one number that the path found, or NaN.  *half is half a unit of its
 * last printed digit.
 */
static double
number(Jsonb *found, double *half)
{
	JsonbValue *value;
	char	   *text;
	char	   *end;
	char	   *point;
	double		result;

	*half = 0;
	if (JB_ROOT_COUNT(found) != 1)
		return get_float8_nan();
	value = getIthJsonbValueFromContainer(&found->root, 0);
	if (value->type == jbvNumeric)
		text = DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric)));
	else if (value->type == jbvString && value->val.string.len > 0 && value->val.string.len < 64)
		text = pnstrdup(value->val.string.val, value->val.string.len);
	else
		return get_float8_nan();

	/* strtod takes more than JSON calls a number: hexadecimal, words, white space before it */
	if (strspn(text, "0123456789+-.eE") != strlen(text))
		return get_float8_nan();
	result = strtod(text, &end);
	if (*end != '\0' || end == text || !isfinite(result))
		return get_float8_nan();
	if (strpbrk(text, "eE") == NULL)
	{
		point = strchr(text, '.');
		*half = 0.5 * pow(10, point ? -(double) strlen(point + 1) : 0);
	}
	return result;
}

static bool
is_time(Metric metric)
{
	return metric <= METRIC_e2e_p99_ms || metric == METRIC_duration_s;
}

static bool
is_count(Metric metric)
{
	return metric >= METRIC_requests_completed && metric <= METRIC_output_tokens;
}

static bool
is_integer(Metric metric)
{
	return is_count(metric) || metric == METRIC_gpu_memory_peak_bytes || metric == METRIC_host_memory_peak_bytes;
}

static double
usable(Metric metric, double value)
{
	if (!isfinite(value) || value < 0 || (value == 0 && is_time(metric)))
		return get_float8_nan();
	if (is_integer(metric))
	{
		value = rint(value);
		if (value > 9e15)
			return get_float8_nan();
	}
	return value;
}

/* ------------------------------------------------------------------ checks */

/* Adds a member to the flags: a check's name and its numbers. */
static void pg_attribute_printf(2, 3)
	flag(StringInfo flags, const char *format, ...)
{
	appendStringInfoString(flags, flags->len == 1 ? "" : ", ");
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(flags, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(flags, needed);
	}
}

/*
 * The rate that the tool printed against sum / duration, each as far off as
 * its printing allows.
 */
static void
check_identity(StringInfo disagreements, const char *name, double rate, double half_rate, double sum,
			   double duration, double half_duration)
{
	double		low;
	double		high;

	if (isnan(rate) || isnan(sum) || isnan(duration) || duration <= half_duration)
		return;
	low = sum / (duration + half_duration) * (1 - IDENTITY_TOLERANCE);
	high = sum / (duration - half_duration) * (1 + IDENTITY_TOLERANCE);
	if (rate + half_rate < low || rate - half_rate > high)
		flag(disagreements, "\"%s\": {\"printed\": %s, \"computed\": %s}", name,
			 float8out_internal(rate), float8out_internal(sum / duration));
}

static void
check(const double *v, const double *half, StringInfo flags)
{
	double		attempted = v[METRIC_requests_completed] + v[METRIC_requests_failed];
	StringInfoData disagreements;

	initStringInfo(&disagreements);
	appendStringInfoChar(&disagreements, '{');
	check_identity(&disagreements, "requests_per_s", v[METRIC_requests_per_s], half[METRIC_requests_per_s],
				   v[METRIC_requests_completed], v[METRIC_duration_s], half[METRIC_duration_s]);
	check_identity(&disagreements, "output_tokens_per_s", v[METRIC_output_tokens_per_s],
				   half[METRIC_output_tokens_per_s],
				   v[METRIC_output_tokens], v[METRIC_duration_s], half[METRIC_duration_s]);
	check_identity(&disagreements, "total_tokens_per_s", v[METRIC_total_tokens_per_s],
				   half[METRIC_total_tokens_per_s],
				   v[METRIC_input_tokens] + v[METRIC_output_tokens], v[METRIC_duration_s], half[METRIC_duration_s]);
	if (disagreements.len > 1)
		flag(flags, "\"identity\": %s}", disagreements.data);

	/* comparisons with NaN are false */
	if (v[METRIC_requests_failed] > ERRORS_TOLERANCE * attempted)
		flag(flags, "\"errors\": {\"failed\": %.0f, \"attempted\": %.0f}", v[METRIC_requests_failed], attempted);
	if (v[METRIC_noise_rel] > NOISE_TOLERANCE)
		flag(flags, "\"noise\": {\"noise_rel\": %s}", float8out_internal(v[METRIC_noise_rel]));
}

/* --------------------------------------------------------------- normalizing */

static void
derive(double *v, Metric rate, double sum)
{
	if (isnan(v[rate]))
		v[rate] = usable(rate, sum / v[METRIC_duration_s]);
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* The tags of the rows that gave a value, each once, sorted. */
static Datum
method_tags(const Adapter *adapter, const bool *used)
{
	char	  **tags = NULL;
	Datum	   *elements;
	int			n = 0;
	int			unique = 0;

	for (int i = 0; adapter && i < adapter->n; i++)
	{
		Datum	   *values;
		bool	   *nulls;
		int			count;

		if (!used[i] || ARR_NDIM(adapter->rows[i].method) == 0)
			continue;
		deconstruct_array(adapter->rows[i].method, TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
		tags = tags ? repalloc(tags, sizeof(char *) * (n + count)) : palloc(sizeof(char *) * count);
		for (int j = 0; j < count; j++)
			if (!nulls[j])
				tags[n++] = TextDatumGetCString(values[j]);
	}
	if (n == 0)
		return PointerGetDatum(construct_empty_array(TEXTOID));
	qsort(tags, n, sizeof(char *), by_text);
	elements = palloc(sizeof(Datum) * n);
	for (int i = 0; i < n; i++)
		if (i == 0 || strcmp(tags[i], tags[i - 1]) != 0)
			elements[unique++] = CStringGetTextDatum(tags[i]);
	return PointerGetDatum(construct_array(elements, unique, TEXTOID, -1, false, TYPALIGN_INT));
}

void
benchorch_normalize(const Adapter *adapter, Jsonb *raw, Metrics *metrics)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "benchorch normalize", ALLOCSET_DEFAULT_SIZES);
	double	   *v = metrics->values;
	double		half[METRICS] = {0};
	bool	   *used;
	bool		found = false;
	StringInfoData flags;
	Datum		method;
	Datum		flags_json;

	MemoryContextSwitchTo(context);
	for (int i = 0; i < METRICS; i++)
		v[i] = get_float8_nan();
	used = palloc0(sizeof(bool) * (adapter ? adapter->n : 1));
	for (int i = 0; adapter && i < adapter->n; i++)
	{
		const AdapterRow *row = &adapter->rows[i];

		if (!isnan(v[row->metric]))
			continue;			/* a preferred path has found it */
		v[row->metric] = usable(row->metric,
								row->scale * number(find(raw, row->path, adapter->no_vars), &half[row->metric]));
		half[row->metric] *= row->scale;
		used[i] = !isnan(v[row->metric]);
		found |= used[i];
	}

	/* what the tool itself says, before anything is derived from it */
	initStringInfo(&flags);
	appendStringInfoChar(&flags, '{');
	if (!found)
		flag(&flags, "\"no_metrics\": {}");
	check(v, half, &flags);
	appendStringInfoChar(&flags, '}');
	metrics->none_completed = v[METRIC_requests_completed] == 0;

	derive(v, METRIC_requests_per_s, v[METRIC_requests_completed]);
	derive(v, METRIC_output_tokens_per_s, v[METRIC_output_tokens]);
	derive(v, METRIC_total_tokens_per_s, v[METRIC_input_tokens] + v[METRIC_output_tokens]);
	derive(v, METRIC_concurrency_mean, v[METRIC_e2e_mean_ms] / 1000 * v[METRIC_requests_completed]);
	if (v[METRIC_duration_s] < MIN_ENERGY_SECONDS)
		v[METRIC_energy_j] = get_float8_nan();

	method = method_tags(adapter, used);
	flags_json = DirectFunctionCall1(jsonb_in, CStringGetDatum(flags.data));
	MemoryContextSwitchTo(result_context);
	metrics->method = PointerGetDatum(PG_DETOAST_DATUM_COPY(method));
	metrics->flags = PointerGetDatum(PG_DETOAST_DATUM_COPY(flags_json));
	MemoryContextDelete(context);
}

/* A metric as its column has it; false where it is NULL. */
bool
benchorch_metric_datum(const Metrics *metrics, Metric metric, Datum *datum)
{
	double		value = metrics->values[metric];

	if (isnan(value))
		return false;
	*datum = is_integer(metric) ? Int64GetDatum((int64) value) : Float8GetDatum(value);
	return true;
}

/* normalize(adapter text, raw jsonb): the metrics in their order, method, flags */
Datum
benchorch_normalize_sql(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[METRICS + 2];
	bool		nulls[METRICS + 2] = {false};
	Metrics		metrics;
	Adapter    *adapter;
	char	   *name;
	HeapTuple	tuple;

	benchorch_require(fcinfo, 0, "adapter");
	benchorch_require(fcinfo, 1, "raw");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != METRICS + 2)
		elog(ERROR, "benchorch.normalize must return the %d metrics, method and flags", METRICS);
	desc = BlessTupleDesc(desc);
	name = text_to_cstring(PG_GETARG_TEXT_PP(0));

	SPI_connect();
	adapter = benchorch_load_adapter(name);
	if (adapter == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("adapter \"%s\" does not exist", name),
				 errhint("SELECT DISTINCT adapter FROM benchorch.adapters lists them;"
						 " benchorch.seed_reference_data() brings the known ones.")));
	benchorch_normalize(adapter, PG_GETARG_JSONB_P(1), &metrics);
	for (int i = 0; i < METRICS; i++)
	{
		values[i] = (Datum) 0;
		nulls[i] = !benchorch_metric_datum(&metrics, i, &values[i]);
	}
	values[METRICS] = metrics.method;
	values[METRICS + 1] = metrics.flags;
	tuple = SPI_copytuple(heap_form_tuple(desc, values, nulls));
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}

Datum
benchorch_guess_adapter_sql(PG_FUNCTION_ARGS)
{
	char	   *name;
	text	   *result = NULL;

	benchorch_require(fcinfo, 0, "raw");
	SPI_connect();
	name = benchorch_guess_adapter(PG_GETARG_JSONB_P(0));
	if (name)
	{
		Size		size = strlen(name) + VARHDRSZ;

		result = SPI_palloc(size);
		SET_VARSIZE(result, size);
		memcpy(VARDATA(result), name, strlen(name));
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}
