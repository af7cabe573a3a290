/*
 * What a tool's output means: canonical metrics, and facts about what it ran.
 *
 * An adapter is rows of benchorch.adapters: the value at this path of the
 * tool's JSON, times this scale, is that metric or fact.  The paths are
 * evaluated here, without SQL; nothing in a result can raise an error.  A
 * metric counts only where it cannot be misread: the path finds exactly one
 * value, it is a number (or a string that is one and nothing else), finite and
 * not negative, and no time of zero, which is what tools print for "no
 * samples".
 *
 * Rates that a tool does not print are derived from the sums that it does,
 * never from other rates; what it does not print at all is computed from its
 * single requests where it prints those (requests.sql).  Whether the numbers
 * can be true is checks.c's question.
 */
#include "benchorch.h"
#include "adapters.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/json.h"

PG_FUNCTION_INFO_V1(benchorch_normalize_sql);
PG_FUNCTION_INFO_V1(benchorch_number_of);

/* Energy counters tick too slowly for less. */
#define MIN_ENERGY_SECONDS 3.0

static const char *const metric_names[METRICS] = {
#define METRIC(number, name) #name,
	BENCHORCH_METRICS(METRIC)
#undef METRIC
};

static const char *const fact_names[] = {
#define FACT(name, type) #name,
	BENCHORCH_FACTS(FACT)
#undef FACT
};

typedef enum FactType
{
	FACT_TEXT,
	FACT_NUMBER,
	FACT_WORD					/* a text, or true or false */
} FactType;

static const FactType fact_types[] = {
#define FACT(name, type) FACT_##type,
	BENCHORCH_FACTS(FACT)
#undef FACT
};

static Statement summarize_requests = {
	.sql = "SELECT m.metric, m.value FROM benchorch.summarize_requests($1, $2) AS m",
	.nargs = 2,
	.types = {TEXTOID, JSONBOID}
};

static int
position_of(const char *name, const char *const *names, int n)
{
	for (int i = 0; i < n; i++)
		if (strcmp(name, names[i]) == 0)
			return i;
	return -1;
}

int
benchorch_target(const char *name)
{
	int			fact = position_of(name, fact_names, FACTS);

	return fact >= 0 ? METRICS + fact : position_of(name, metric_names, METRICS);
}

/*
 * The number that was found, or NaN.  *half is half a unit of its last printed
 * digit.
 */
static double
number(const JsonbValue *value, double *half)
{
	char	   *text;
	char	   *end;
	char	   *point;
	double		result;

	*half = 0;
	if (value == NULL)
		return get_float8_nan();
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

/* --------------------------------------------------------------- normalizing */

/* -1, 0, 1: the numbers in two versions, one by one; what a prefix leaves out is equal. */
static int
compare_versions(const char *version, const char *bound)
{
	for (;;)
	{
		char	   *end;
		unsigned long a;
		unsigned long b;

		version += strcspn(version, "0123456789");
		bound += strcspn(bound, "0123456789");
		if (*bound == '\0' || *version == '\0')
			return 0;
		a = strtoul(version, &end, 10);
		version = end;
		b = strtoul(bound, &end, 10);
		bound = end;
		if (a != b)
			return a < b ? -1 : 1;
	}
}

/* Whether a row holds for the version that the tool tells; for one that tells none all rows do. */
static bool
holds(const AdapterRow *row, const char *version)
{
	return version == NULL ||
		((row->min_version == NULL || compare_versions(version, row->min_version) >= 0) &&
		 (row->max_version == NULL || compare_versions(version, row->max_version) <= 0));
}

/* Reads a fact from what a path found; false where it is none. */
static bool
read_fact(Metrics *metrics, Fact fact, const JsonbValue *value, double scale, MemoryContext context)
{
	double		half;
	double		amount;

	if (value == NULL)
		return false;
	if (fact_types[fact] == FACT_NUMBER)
	{
		amount = number(value, &half) * scale;
		if (!isfinite(amount) || amount < 0)
			return false;
		metrics->numbers[fact] = amount;
		return true;
	}
	if (value->type == jbvString && value->val.string.len > 0 && value->val.string.len <= 500)
		metrics->texts[fact] = MemoryContextStrdup(context, pnstrdup(value->val.string.val, value->val.string.len));
	else if (value->type == jbvNumeric)
		metrics->texts[fact] = MemoryContextStrdup(
			context, DatumGetCString(DirectFunctionCall1(numeric_out, NumericGetDatum(value->val.numeric))));
	else if (value->type == jbvBool && fact_types[fact] == FACT_WORD)
		metrics->texts[fact] = MemoryContextStrdup(context, value->val.boolean ? "true" : "false");
	return metrics->texts[fact] != NULL;
}

/* The facts as a JSON object. */
static Datum
facts_json(const Metrics *metrics)
{
	StringInfoData json;

	initStringInfo(&json);
	appendStringInfoChar(&json, '{');
	for (int fact = 0; fact < FACTS; fact++)
	{
		if (metrics->texts[fact] == NULL && isnan(metrics->numbers[fact]))
			continue;
		appendStringInfo(&json, "%s\"%s\": ", json.len > 1 ? ", " : "", fact_names[fact]);
		if (metrics->texts[fact])
			escape_json(&json, metrics->texts[fact]);
		else
			appendStringInfoString(&json, float8out_internal(metrics->numbers[fact]));
	}
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

static void
derive(Metrics *metrics, Metric rate, double sum, double duration)
{
	if (!isnan(metrics->values[rate]))
		return;
	metrics->values[rate] = usable(rate, sum / duration);
	metrics->derived[rate] = !isnan(metrics->values[rate]);
}

/* What the tool does not print, from its single requests; true where that gave something. */
static bool
read_requests(const Adapter *adapter, Jsonb *raw, Metrics *metrics)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[2] = {CStringGetTextDatum(adapter->name), JsonbPGetDatum(raw)};
	bool		found = false;
	uint64		n;

	if (!adapter->has_requests || JB_ROOT_COUNT(benchorch_find(raw, adapter->requests, adapter->no_vars)) == 0)
		return false;
	n = benchorch_run(&summarize_requests, values, NULL);
	MemoryContextSwitchTo(context);
	for (uint64 i = 0; i < n; i++)
	{
		int			metric = position_of(benchorch_column_text(i, 1), metric_names, METRICS);
		bool		isnull;
		Datum		value = benchorch_column(i, 2, &isnull);

		if (metric < 0 || isnull || !isnan(metrics->values[metric]))
			continue;
		metrics->values[metric] = usable(metric, DatumGetFloat8(value));
		metrics->derived[metric] = true;
		found = true;
	}
	return found;
}

static int
by_text(const void *a, const void *b)
{
	return strcmp(*(char *const *) a, *(char *const *) b);
}

/* An array of texts from n of them, each once, sorted. */
static Datum
tag_array(char **tags, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));
	int			unique = 0;

	qsort(tags, n, sizeof(char *), by_text);
	for (int i = 0; i < n; i++)
		if (i == 0 || strcmp(tags[i], tags[i - 1]) != 0)
			elements[unique++] = CStringGetTextDatum(tags[i]);
	return PointerGetDatum(construct_array(elements, unique, TEXTOID, -1, false, TYPALIGN_INT));
}

/* The elements of an array of texts, with room for one more. */
static char **
tag_elements(Datum array, int *n)
{
	Datum	   *values;
	bool	   *nulls;
	int			count;
	char	  **tags;

	deconstruct_array(DatumGetArrayTypeP(array), TEXTOID, -1, false, TYPALIGN_INT, &values, &nulls, &count);
	tags = palloc(sizeof(char *) * (count + 1));
	*n = 0;
	for (int i = 0; i < count; i++)
		if (!nulls[i])
			tags[(*n)++] = TextDatumGetCString(values[i]);
	return tags;
}

bool
benchorch_has_tag(const Metrics *metrics, const char *tag)
{
	int			n;
	char	  **tags = tag_elements(metrics->method, &n);

	return position_of(tag, (const char *const *) tags, n) >= 0;
}

void
benchorch_add_tag(Metrics *metrics, const char *tag)
{
	int			n;
	char	  **tags = tag_elements(metrics->method, &n);

	tags[n] = pstrdup(tag);
	metrics->method = tag_array(tags, n + 1);
}

/* The tags of the rows that gave a value. */
static Datum
method_tags(const Adapter *adapter, const bool *used)
{
	char	  **tags = palloc(sizeof(char *));
	int			n = 0;

	for (int i = 0; adapter && i < adapter->n; i++)
	{
		int			count;
		char	  **more;

		if (!used[i] || ARR_NDIM(adapter->rows[i].method) == 0)
			continue;
		more = tag_elements(PointerGetDatum(adapter->rows[i].method), &count);
		tags = repalloc(tags, sizeof(char *) * (n + count + 1));
		memcpy(tags + n, more, sizeof(char *) * count);
		n += count;
	}
	return tag_array(tags, n);
}

void
benchorch_normalize(const Adapter *adapter, Jsonb *raw, Metrics *metrics)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "benchorch normalize", ALLOCSET_DEFAULT_SIZES);
	double	   *v = metrics->values;
	bool	   *used;
	Datum		method;
	Datum		reported;

	MemoryContextSwitchTo(context);
	memset(metrics, 0, sizeof(Metrics));
	for (int i = 0; i < METRICS; i++)
		v[i] = get_float8_nan();
	for (int i = 0; i < FACTS; i++)
		metrics->numbers[i] = get_float8_nan();
	used = palloc0(sizeof(bool) * (adapter ? adapter->n : 1));
	for (int i = 0; adapter && i < adapter->n; i++)
	{
		const AdapterRow *row = &adapter->rows[i];
		Fact		fact = row->target - METRICS;
		JsonbValue	buffer;
		JsonbValue *value;

		/* a preferred path may have found it */
		if (row->target < METRICS ? !isnan(v[row->target]) : metrics->texts[fact] || !isnan(metrics->numbers[fact]))
			continue;
		if (!holds(row, metrics->texts[FACT_tool_version]))
			continue;
		value = benchorch_find_one(raw, row, adapter->no_vars, &buffer);
		if (row->target < METRICS)
		{
			double	   *half = &metrics->half[row->target];

			v[row->target] = usable(row->target, row->scale * number(value, half));
			*half *= row->scale;
			used[i] = !isnan(v[row->target]);
			metrics->found |= used[i];
		}
		else
			used[i] = read_fact(metrics, fact, value, row->scale, result_context);
	}
	if (adapter)
		metrics->found |= read_requests(adapter, raw, metrics);
	metrics->none_completed = v[METRIC_requests_completed] == 0;

	derive(metrics, METRIC_requests_per_s, v[METRIC_requests_completed], v[METRIC_duration_s]);
	derive(metrics, METRIC_output_tokens_per_s, v[METRIC_output_tokens], v[METRIC_duration_s]);
	derive(metrics, METRIC_total_tokens_per_s, v[METRIC_input_tokens] + v[METRIC_output_tokens], v[METRIC_duration_s]);
	derive(metrics, METRIC_concurrency_mean, v[METRIC_e2e_mean_ms] / 1000 * v[METRIC_requests_completed],
		   v[METRIC_duration_s]);
	if (v[METRIC_duration_s] < MIN_ENERGY_SECONDS)
		v[METRIC_energy_j] = get_float8_nan();
	if (isnan(metrics->numbers[FACT_input_tokens_mean]) && v[METRIC_requests_completed] > 0)
		metrics->numbers[FACT_input_tokens_mean] = v[METRIC_input_tokens] / v[METRIC_requests_completed];
	if (isnan(metrics->numbers[FACT_output_tokens_mean]) && v[METRIC_requests_completed] > 0)
		metrics->numbers[FACT_output_tokens_mean] = v[METRIC_output_tokens] / v[METRIC_requests_completed];

	method = method_tags(adapter, used);
	reported = facts_json(metrics);
	MemoryContextSwitchTo(result_context);
	metrics->method = PointerGetDatum(PG_DETOAST_DATUM_COPY(method));
	metrics->reported = PointerGetDatum(PG_DETOAST_DATUM_COPY(reported));
	MemoryContextDelete(context);
}

const char *
benchorch_metric_name(Metric metric)
{
	return metric_names[metric];
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

/* normalize(adapter text, raw jsonb): the metrics in their order, method, flags, reported */
Datum
benchorch_normalize_sql(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		values[METRICS + 3];
	bool		nulls[METRICS + 3] = {false};
	Metrics		metrics;
	Adapter    *adapter;
	char	   *name;
	HeapTuple	tuple;

	benchorch_require(fcinfo, 0, "adapter");
	benchorch_require(fcinfo, 1, "raw");
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE || desc->natts != METRICS + 3)
		elog(ERROR, "benchorch.normalize must return the %d metrics, method, flags and reported", METRICS);
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
	benchorch_check(&metrics, NULL, NULL);
	for (int i = 0; i < METRICS; i++)
	{
		values[i] = (Datum) 0;
		nulls[i] = !benchorch_metric_datum(&metrics, i, &values[i]);
	}
	values[METRICS] = metrics.method;
	values[METRICS + 1] = metrics.flags;
	values[METRICS + 2] = metrics.reported;
	tuple = SPI_copytuple(heap_form_tuple(desc, values, nulls));
	SPI_finish();
	PG_RETURN_DATUM(HeapTupleGetDatum(tuple));
}

/* number_of(value jsonb): a number, or NULL */
Datum
benchorch_number_of(PG_FUNCTION_ARGS)
{
	double		half;
	double		value;
	Jsonb	   *json;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	json = PG_GETARG_JSONB_P(0);
	value = JB_ROOT_IS_SCALAR(json) ? number(getIthJsonbValueFromContainer(&json->root, 0), &half) : get_float8_nan();
	if (isnan(value))
		PG_RETURN_NULL();
	PG_RETURN_FLOAT8(value);
}
