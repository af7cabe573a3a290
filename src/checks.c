/*
 * Whether a result can be true: the checks.
 *
 * A check looks at the metrics and facts of a result, and at what it is about
 * (subjects.c), and says one of three things: nothing is wrong, or what is,
 * with the numbers, or that it lacks something to tell, and what.  What is
 * wrong makes the result flagged, and rankings leave it out; what is not
 * evaluated is recorded and changes nothing.  An honest result that is flagged
 * is as bad as a false one that is not, so a check that could be mistaken is
 * not evaluated.
 *
 * Which checks there are stands in benchorch.checks; those that users have
 * added are functions in SQL, run in a subtransaction of their own.  The check
 * against physics is in physics.c.  docs/results.md has the rules.
 */
#include "benchorch.h"
#include "checks.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/json.h"
#include "utils/resowner.h"

/* A rate may differ from its sums by this much, this share of requests may fail, and so on. */
#define IDENTITY_TOLERANCE 0.02
#define ERRORS_TOLERANCE 0.05
#define THROTTLED_TOLERANCE 0.01
#define LENGTH_TOLERANCE 0.05

/* What is wrong or lacking is kept as an object up to this size in text. */
#define MAX_KEPT_TEXT 8192

/* ------------------------------------------------------------------ verdicts */

static void pg_attribute_printf(2, 0)
	append_va(StringInfo buffer, const char *format, va_list args)
{
	for (;;)
	{
		va_list		copy;
		int			needed;

		va_copy(copy, args);
		needed = appendStringInfoVA(buffer, format, copy);
		va_end(copy);
		if (needed == 0)
			break;
		enlargeStringInfo(buffer, needed);
	}
}

/* Adds a member to what is wrong. */
void
benchorch_wrong(Case *c, const char *format, ...)
{
	va_list		args;

	c->is_wrong = true;
	appendStringInfoString(&c->wrong, c->wrong.len > 0 ? ", " : "");
	va_start(args, format);
	append_va(&c->wrong, format, args);
	va_end(args);
}

/* Adds a sentence to what is lacking. */
void
benchorch_lacking(Case *c, const char *format, ...)
{
	va_list		args;

	appendStringInfoString(&c->lacking, c->lacking.len > 0 ? "; " : "");
	va_start(args, format);
	append_va(&c->lacking, format, args);
	va_end(args);
}

static char *
quoted(const char *text)
{
	StringInfoData json;

	initStringInfo(&json);
	escape_json(&json, text);
	return json.data;
}

/* ----------------------------------------------------- the result by itself */

/*
 * The rate that the tool printed against sum / duration, each as far off as
 * its printing allows.  True where there was something to compare.
 */
static bool
compare_rate(Case *c, Metric metric, double sum)
{
	const Metrics *m = c->metrics;
	double		rate = m->values[metric];
	double		half_rate = m->half[metric];
	double		duration = m->values[METRIC_duration_s];
	double		half_duration = m->half[METRIC_duration_s];

	if (isnan(rate) || m->derived[metric] || isnan(sum) || isnan(duration) || m->derived[METRIC_duration_s] ||
		duration <= half_duration)
		return false;
	if (rate + half_rate < sum / (duration + half_duration) * (1 - IDENTITY_TOLERANCE) ||
		rate - half_rate > sum / (duration - half_duration) * (1 + IDENTITY_TOLERANCE))
		benchorch_wrong(c, "\"%s\": {\"printed\": %s, \"computed\": %s}", benchorch_metric_name(metric),
						float8out_internal(rate), float8out_internal(sum / duration));
	return true;
}

/* What a tool printed as a sum; NaN where it is our own. */
static double
printed(const Metrics *m, Metric metric)
{
	return m->derived[metric] ? get_float8_nan() : m->values[metric];
}

static void
check_identity(Case *c)
{
	const Metrics *m = c->metrics;
	double		total = printed(m, METRIC_input_tokens) + printed(m, METRIC_output_tokens);
	bool		compared;

	if (isnan(total))
		total = m->numbers[FACT_total_tokens];
	compared = compare_rate(c, METRIC_requests_per_s, printed(m, METRIC_requests_completed));
	compared |= compare_rate(c, METRIC_output_tokens_per_s, printed(m, METRIC_output_tokens));
	compared |= compare_rate(c, METRIC_total_tokens_per_s, total);
	if (!compared)
		benchorch_lacking(c, "the tool does not print a rate beside its sum and its duration");
}

static void
check_errors(Case *c)
{
	double		failed = c->metrics->values[METRIC_requests_failed];
	double		attempted = c->metrics->values[METRIC_requests_completed] + failed;

	if (isnan(attempted))
		benchorch_lacking(c, "the tool does not count failed requests");
	else if (failed > ERRORS_TOLERANCE * attempted)
		benchorch_wrong(c, "\"failed\": %.0f, \"attempted\": %.0f", failed, attempted);
}

static void
check_noise(Case *c)
{
	double		noise = c->metrics->values[METRIC_noise_rel];

	if (isnan(noise))
		benchorch_lacking(c, "the tool tells no spread of its own (of 3 repeats and more the ranking tells it)");
	else if (noise > BENCHORCH_NOISE_TOLERANCE)
		benchorch_wrong(c, "\"noise_rel\": %s", float8out_internal(noise));
}

/* ------------------------------------------------------------------ throttled */

/*
 * The seconds by which a GPU's counter of the environment record grew; NaN
 * where it tells none.
 */
static double
throttled_s(Jsonb *gpu, const char *counter)
{
	Jsonb	   *before = benchorch_member_object(benchorch_member_object(gpu, "before"), "throttle_ns");
	Jsonb	   *after = benchorch_member_object(benchorch_member_object(gpu, "after"), "throttle_ns");

	return (benchorch_member_number(after, counter) - benchorch_member_number(before, counter)) / 1e9;
}

/* What slows the hardware down; the software's power cap is in the record, and no fault. */
static const char *const throttles[] = {"thermal_hardware", "thermal_software", "power_brake"};

static void
check_throttled(Case *c)
{
	double		share = c->metrics->numbers[FACT_throttled_share];
	double		seconds = benchorch_member_number(c->environment, "seconds");
	Jsonb	   *gpus = benchorch_member_object(c->environment, "gpus");
	bool		known = false;

	/* the tool's own window is the measurement, without its loading */
	if (!isnan(share))
	{
		if (share > THROTTLED_TOLERANCE)
			benchorch_wrong(c, "\"share\": %s", float8out_internal(share));
		return;
	}
	for (uint32 i = 0; gpus && JB_ROOT_IS_ARRAY(gpus) && seconds > 0 && i < JB_ROOT_COUNT(gpus); i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(&gpus->root, i);
		Jsonb	   *gpu = value->type == jbvBinary ? JsonbValueToJsonb(value) : NULL;

		for (int j = 0; j < lengthof(throttles); j++)
		{
			double		throttled = throttled_s(gpu, throttles[j]);

			known |= !isnan(throttled);
			if (throttled > THROTTLED_TOLERANCE * seconds)
				benchorch_wrong(c, "\"gpu %u %s\": {\"throttled_s\": %s, \"of_s\": %s}", i, throttles[j],
								float8out_internal(throttled), float8out_internal(seconds));
		}
	}
	if (!known)
		benchorch_lacking(c, "no counters of throttling in the environment record");
}

/* ---------------------------------------------------------------- not_applied */

/*
 * What a model's name is compared by: letters and digits of the part after the
 * last slash, in lower case.
 */
static char *
model_key(const char *name)
{
	const char *slash;
	char	   *key = pstrdup(name);
	int			len = strlen(key);
	int			n = 0;

	while (len > 0 && key[len - 1] == '/')
		key[--len] = '\0';
	slash = strrchr(key, '/');
	for (const char *p = slash ? slash + 1 : key; *p; p++)
		if ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
			(unsigned char) *p >= 0x80)
			key[n++] = pg_tolower((unsigned char) *p);
	key[n] = '\0';
	return key;
}

/* One name within the other: Llama-3.1-8B is Meta-Llama-3.1-8B-Instruct. */
static bool
same_model(const char *reported, const char *asked)
{
	char	   *a;
	char	   *b;

	if (asked == NULL)
		return false;
	if (strcmp(reported, asked) == 0)
		return true;
	a = model_key(reported);
	b = model_key(asked);
	return *a != '\0' && *b != '\0' && (strstr(a, b) || strstr(b, a));
}

static bool
compare_model(Case *c)
{
	const char *reported = c->metrics->texts[FACT_model];
	const Subject *s = c->subject;

	/* a path says where the weights lie, not what they are */
	if (reported == NULL || s->model_name == NULL || *reported == '/' || *reported == '.')
		return false;
	if (!same_model(reported, s->model_name) && !same_model(reported, s->model_source))
		benchorch_wrong(c, "\"model\": {\"asked\": %s, \"reported\": %s}",
						quoted(s->model_source ? s->model_source : s->model_name), quoted(reported));
	return true;
}

static bool
compare_word(Case *c, Fact fact, const char *name)
{
	const char *reported = c->metrics->texts[fact];
	const char *asked = benchorch_member_text(c->subject->params, name);
	const char *compute_reported;
	const char *compute_asked;
	double		bytes_reported;
	double		bytes_asked;

	if (reported == NULL || asked == NULL || pg_strcasecmp(asked, "auto") == 0 || pg_strcasecmp(reported, "auto") == 0)
		return false;
	bytes_reported = benchorch_number_size(reported, &compute_reported);
	bytes_asked = benchorch_number_size(asked, &compute_asked);
	if (isnan(bytes_reported) || isnan(bytes_asked))
		return pg_strcasecmp(asked, reported) == 0; /* equal, or words that nobody here knows */
	if (bytes_reported != bytes_asked || strcmp(compute_reported, compute_asked) != 0)
		benchorch_wrong(c, "\"%s\": {\"asked\": %s, \"reported\": %s}", name, quoted(asked), quoted(reported));
	return true;
}

static bool
compare_number(Case *c, double reported, double asked, double tolerance, const char *name)
{
	if (isnan(reported) || isnan(asked) || asked <= 0)
		return false;
	if (fabs(reported - asked) > tolerance * asked)
		benchorch_wrong(c, "\"%s\": {\"asked\": %s, \"reported\": %s}", name, float8out_internal(asked),
						float8out_internal(reported));
	return true;
}

static void
check_not_applied(Case *c)
{
	const double *reported = c->metrics->numbers;
	const Subject *s = c->subject;
	double		degrees = reported[FACT_tensor_parallel];
	bool		compared;

	if (s == NULL)
	{
		benchorch_lacking(c, "it is not known what was asked");
		return;
	}
	if (!isnan(reported[FACT_pipeline_parallel]))
		degrees *= reported[FACT_pipeline_parallel];
	if (!isnan(reported[FACT_data_parallel]))
		degrees *= reported[FACT_data_parallel];

	compared = compare_model(c);
	compared |= compare_word(c, FACT_precision, "precision");
	compared |= compare_word(c, FACT_kv_cache_dtype, "kv_cache_dtype");
	compared |= compare_number(c, reported[FACT_tensor_parallel],
							   benchorch_member_number(s->params, "tensor_parallel"), 0, "tensor_parallel");
	compared |= compare_number(c, reported[FACT_pipeline_parallel],
							   benchorch_member_number(s->params, "pipeline_parallel"), 0, "pipeline_parallel");
	compared |= compare_number(c, reported[FACT_data_parallel], benchorch_member_number(s->params, "data_parallel"), 0,
							   "data_parallel");
	compared |= compare_number(c, isnan(reported[FACT_gpus]) ? degrees : reported[FACT_gpus], s->gpus, 0, "gpus");
	compared |= compare_number(c, reported[FACT_input_tokens_mean], s->input_tokens, LENGTH_TOLERANCE, "input_tokens");
	compared |= compare_number(c, reported[FACT_output_tokens_mean], s->output_tokens, LENGTH_TOLERANCE,
							   "output_tokens");
	if (!compared)
		benchorch_lacking(c, "the tool reports nothing that was asked for");
}

/* -------------------------------------------------------------- all of them */

static void
check_no_metrics(Case *c)
{
	if (!c->metrics->found)
		benchorch_wrong(c, "%s", "");
}

static const struct
{
	const char *name;
	void (*check)(Case *c);
} built_in[] = {
	{"no_metrics", check_no_metrics},
	{"identity", check_identity},
	{"errors", check_errors},
	{"noise", check_noise},
	{"throttled", check_throttled},
	{"not_applied", check_not_applied},
	{"physics", benchorch_check_physics},
};

static bool
is_off(const Subject *subject, const char *name)
{
	JsonbValue	key = {.type = jbvString};

	if (subject == NULL || subject->off == NULL)
		return false;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = strlen(name);
	return findJsonbValueFromContainer(&subject->off->root, JB_FARRAY, &key) != NULL;
}

/* Moves what a check said into the two objects. */
static void
collect(Case *c, const char *name, StringInfo flags, StringInfo unchecked)
{
	if (c->is_wrong)
		appendStringInfo(flags, "%s%s: {%s}", flags->len > 1 ? ", " : "", quoted(name), c->wrong.data);
	if (c->lacking.len > 0)
		appendStringInfo(unchecked, "%s%s: %s", unchecked->len > 1 ? ", " : "", quoted(name), quoted(c->lacking.data));
	c->is_wrong = false;
	resetStringInfo(&c->wrong);
	resetStringInfo(&c->lacking);
}

/* What a check of a user's own is called with. */
static Jsonb *
case_document(const Case *c)
{
	StringInfoData json;
	bool		first = true;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"metrics\": {");
	for (int metric = 0; metric < METRICS; metric++)
	{
		if (isnan(c->metrics->values[metric]))
			continue;
		appendStringInfo(&json, "%s\"%s\": %s", first ? "" : ", ", benchorch_metric_name(metric),
						 float8out_internal(c->metrics->values[metric]));
		first = false;
	}
	appendStringInfoString(&json, "}, \"reported\": ");
	JsonbToCString(&json, &DatumGetJsonbP(c->metrics->reported)->root, 0);
	if (c->subject)
	{
		appendStringInfoString(&json, ", \"subject\": ");
		JsonbToCString(&json, &c->subject->json->root, 0);
	}
	if (c->environment)
	{
		appendStringInfoString(&json, ", \"environment\": ");
		JsonbToCString(&json, &c->environment->root, 0);
	}
	appendStringInfoChar(&json, '}');
	return DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data)));
}

/*
 * Runs a check of a user's own: NULL is well, an object what is wrong, a text
 * what is lacking.  Its error harms nothing but the check.
 */
static void
check_own(Case *c, const char *function)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	Datum		argument = JsonbPGetDatum(case_document(c));
	Oid			type = JSONBOID;
	char	   *query = psprintf("SELECT (SELECT %s($1)) AS said", function);
	char	   *error = NULL;
	char	   *said = NULL;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		if (SPI_execute_with_args(query, 1, &type, &argument, NULL, false, 1) != SPI_OK_SELECT || SPI_processed != 1)
			elog(ERROR, "the check gave no row");
		said = SPI_getvalue(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1);
		ReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
	}
	PG_CATCH();
	{
		ErrorData  *data;

		MemoryContextSwitchTo(context);
		data = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		error = pstrdup(data->message);
	}
	PG_END_TRY();

	if (error)
		benchorch_lacking(c, "%s failed: %s", function, error);
	else if (said && *said == '{')
		benchorch_wrong(c, "%s", pnstrdup(said + 1, strlen(said) - 2));
	else if (said)
		benchorch_lacking(c, "%s", said);
}

/*
 * The object of this text.  Result after result of a tool lacks the same, so
 * the last of each kind is kept.
 */
static Datum
object_of(const StringInfo text, int kind)
{
	static struct
	{
		char	   *text;
		Jsonb	   *object;
	} last[2];
	Datum		object;

	if (last[kind].text == NULL || strcmp(last[kind].text, text->data) != 0)
	{
		object = DirectFunctionCall1(jsonb_in, CStringGetDatum(text->data));
		if (text->len > MAX_KEPT_TEXT)
			return object;
		if (last[kind].text)
		{
			pfree(last[kind].text);
			last[kind].text = NULL;
			pfree(last[kind].object);
		}
		last[kind].object = MemoryContextAlloc(TopMemoryContext, VARSIZE(DatumGetPointer(object)));
		memcpy(last[kind].object, DatumGetPointer(object), VARSIZE(DatumGetPointer(object)));
		last[kind].text = MemoryContextStrdup(TopMemoryContext, text->data);
	}
	return JsonbPGetDatum(last[kind].object);
}

void
benchorch_check(Metrics *metrics, const Subject *subject, Jsonb *environment)
{
	MemoryContext result_context = CurrentMemoryContext;
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "benchorch check", ALLOCSET_DEFAULT_SIZES);
	Case		c = {
		.metrics = metrics, .subject = subject, .environment = environment, .result_context = result_context
	};
	StringInfoData flags;
	StringInfoData unchecked;
	Datum		flags_json;
	Datum		unchecked_json;

	MemoryContextSwitchTo(context);
	initStringInfo(&c.wrong);
	initStringInfo(&c.lacking);
	initStringInfo(&flags);
	initStringInfo(&unchecked);
	appendStringInfoChar(&flags, '{');
	appendStringInfoChar(&unchecked, '{');

	for (int i = 0; i < lengthof(built_in); i++)
	{
		if (is_off(c.subject, built_in[i].name))
			continue;
		built_in[i].check(&c);
		collect(&c, built_in[i].name, &flags, &unchecked);
		if (!metrics->found)
			break;				/* there is nothing that the others could look at */
	}
	if (c.subject && c.subject->own_checks && metrics->found)
	{
		JsonbIterator *iterator = JsonbIteratorInit(&c.subject->own_checks->root);
		JsonbValue	value;
		JsonbIteratorToken token;
		char	   *name = NULL;

		while ((token = JsonbIteratorNext(&iterator, &value, true)) != WJB_DONE)
		{
			if (token == WJB_KEY)
				name = pnstrdup(value.val.string.val, value.val.string.len);
			else if (token == WJB_VALUE && value.type == jbvString && name)
			{
				check_own(&c, pnstrdup(value.val.string.val, value.val.string.len));
				collect(&c, name, &flags, &unchecked);
			}
		}
	}

	appendStringInfoChar(&flags, '}');
	appendStringInfoChar(&unchecked, '}');
	flags_json = object_of(&flags, 0);
	unchecked_json = object_of(&unchecked, 1);
	MemoryContextSwitchTo(result_context);
	metrics->flags = PointerGetDatum(PG_DETOAST_DATUM_COPY(flags_json));
	metrics->unchecked = PointerGetDatum(PG_DETOAST_DATUM_COPY(unchecked_json));
	MemoryContextDelete(context);
}
