/*
 * A config as a worker runs it (src/runner.sql): its commands, what their
 * placeholders stand for, as a list that a worker need not parse, and what a
 * runner is sent.
 */
#include "benchorch.h"

#include "compat.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/float.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(benchorch_describe_run);

/* The separators of lists. */
#define BETWEEN '\x1f'			/* entries */
#define VALUE '\x1e'			/* a name and its value */
#define ARGUMENT '\x1d'			/* the arguments that a value is */

static void
add(StringInfo list, const char *prefix, const char *name, const char *value)
{
	if (list->len > 0)
		appendStringInfoChar(list, BETWEEN);
	appendStringInfoString(list, prefix);
	appendStringInfoString(list, name);
	if (value == NULL)
		return;
	appendStringInfoChar(list, VALUE);
	appendStringInfoString(list, value);
}

/* As ->> has it: NULL for none and for null. */
static char *
text_of(JsonbValue *value)
{
	if (value->type == jbvBinary)
		return JsonbToCString(NULL, value->val.binary.data, value->val.binary.len);
	return benchorch_value_text(value);
}

static char *
member_text(Jsonb *object, const char *key)
{
	JsonbValue	value = benchorch_member(object, key);

	return text_of(&value);
}

/* Over the members of an object, in its order. */
#define FOR_EACH_MEMBER(object, name, value) \
	for (JsonbIterator *each = (object) && JB_ROOT_IS_OBJECT(object) ? JsonbIteratorInit(&(object)->root) : NULL; \
		 each && next_member(&each, &(name), &(value));)

static bool
next_member(JsonbIterator **iterator, char **name, JsonbValue *value)
{
	JsonbIteratorToken token;

	do
		token = JsonbIteratorNext(iterator, value, true);
	while (token == WJB_BEGIN_OBJECT);
	if (token != WJB_KEY)
		return false;
	*name = pnstrdup(value->val.string.val, value->val.string.len);
	JsonbIteratorNext(iterator, value, true);
	return true;
}

static bool
has(Jsonb *object, const char *name, JsonbValue *value)
{
	return object && JB_ROOT_IS_OBJECT(object) &&
		getKeyJsonValueFromContainer(&object->root, name, strlen(name), value) != NULL;
}

/* What stands in details under kind, the name of a dimension and one of its words. */
static JsonbValue
meaning(Jsonb *details, const char *kind, const char *name, const char *word)
{
	return benchorch_member(benchorch_member_object(benchorch_member_object(details, kind), name), word);
}

/* The arguments that a word means, each of them ended. */
static char *
arguments(JsonbValue *words)
{
	StringInfoData list;

	initStringInfo(&list);
	appendStringInfoChar(&list, ARGUMENT);
	if (words->type == jbvBinary)
	{
		JsonbContainer *array = words->val.binary.data;

		for (uint32 i = 0; JsonContainerIsArray(array) && i < JsonContainerSize(array); i++)
		{
			char	   *argument = text_of(getIthJsonbValueFromContainer(array, i));

			if (argument == NULL)
				continue;
			appendStringInfoString(&list, argument);
			appendStringInfoChar(&list, ARGUMENT);
		}
	}
	return list.data;
}

/* ----------------------------------------------------------------- placeholders */

/* What they stand for in a config that is described as a runner is sent it; details of the framework, or NULL. */
static Datum
placeholder_list(Jsonb *config, Jsonb *details)
{
	static const char nothing[] = {ARGUMENT, '\0'};
	Jsonb	   *params = benchorch_member_object(config, "params");
	Jsonb	   *words = benchorch_member_object(details, "arguments");
	StringInfoData list;
	JsonbValue	value;
	char	   *name;
	char	   *text;
	int			pipeline;
	int			data;

	initStringInfo(&list);
	FOR_EACH_MEMBER(config, name, value)
	if (strcmp(name, "params") != 0 && strcmp(name, "hardware") != 0 && strcmp(name, "architecture") != 0)
		add(&list, "", name, text_of(&value));

	text = member_text(config, "architecture");
	add(&list, "", "architecture", text && *text ? text : "{}");
	add(&list, "", "item", member_text(params, "item"));
	text = member_text(params, "repeat");
	add(&list, "", "repeat", text ? text : "1");
	text = member_text(params, "pipeline_parallel");
	pipeline = text ? pg_strtoint32(text) : 1;
	add(&list, "", "pipeline_parallel", psprintf("%d", pipeline));
	text = member_text(params, "data_parallel");
	data = text ? pg_strtoint32(text) : 1;
	add(&list, "", "data_parallel", psprintf("%d", data));
	text = member_text(params, "tensor_parallel");
	if (text == NULL)
	{
		char	   *gpus = member_text(config, "gpus");

		text = psprintf("%d", Max(gpus ? pg_strtoint32(gpus) / Max(pipeline * data, 1) : 1, 1));
	}
	add(&list, "", "tensor_parallel", text);

	FOR_EACH_MEMBER(params, name, value)
	{
		JsonbValue	word;

		text = text_of(&value);
		if (text)
		{
			word = meaning(details, "words", name, text);
			add(&list, "params.", name, word.type == jbvNull ? text : text_of(&word));
		}
		else
			add(&list, "params.", name, NULL);
	}
	FOR_EACH_MEMBER(params, name, value)
	{
		JsonbValue	word;

		text = text_of(&value);
		if (text == NULL)
			add(&list, "arguments.", name, nothing);
		else if (has(benchorch_member_object(words, name), text, &word))
			add(&list, "arguments.", name, arguments(&word));
		else
			add(&list, "arguments.", name, NULL);
	}
	FOR_EACH_MEMBER(words, name, value)
	if (!has(params, name, &value))
		add(&list, "arguments.", name, nothing);
	return PointerGetDatum(cstring_to_text_with_len(list.data, list.len));
}

/* ------------------------------------------------------------------ the runner */

/* A member of the object that a runner is sent. */
static void
put_member(JsonbInState *state, const char *name, JsonbValue *value)
{
	JsonbValue	key = {.type = jbvString, .val.string = {.val = (char *) name, .len = (int) strlen(name)}};

	compat_push_jsonb(state, WJB_KEY, &key);
	/* an array or object is put in whole */
	compat_push_jsonb(state, WJB_VALUE, value);
}

/* Where not present, null. */
static void
put_number(JsonbInState *state, const char *name, bool present, int64 number)
{
	JsonbValue	value = {.type = jbvNull};

	if (present)
	{
		value.type = jbvNumeric;
		value.val.numeric = int64_to_numeric(number);
	}
	put_member(state, name, &value);
}

static void
put_text(JsonbInState *state, const char *name, Datum text)
{
	JsonbValue	value = {.type = jbvNull};

	if (text)
	{
		value.type = jbvString;
		value.val.string.val = VARDATA_ANY(DatumGetPointer(text));
		value.val.string.len = VARSIZE_ANY_EXHDR(DatumGetPointer(text));
	}
	put_member(state, name, &value);
}

static void
put_json(JsonbInState *state, const char *name, Datum json)
{
	JsonbValue	value = {.type = jbvNull};

	if (json)
		JsonbToJsonbValue(DatumGetJsonbP(json), &value);
	put_member(state, name, &value);
}

/* Deadlines are given in seconds, so they have neither days nor months. */
static double
seconds(Interval deadline)
{
	return deadline.time / (double) USECS_PER_SEC;
}

/* What a runner is sent (docs/runner-protocol.md). */
static Jsonb *
runner_line(const Taken *taken, const KeptModel *model, const KeptHardware *hardware, const KeptFramework *framework,
			double deadline)
{
	const Workload *workload = taken->workload ? benchorch_kept_workload(TextDatumGetCString(taken->workload)) : NULL;
	JsonbInState state = {0};
	JsonbValue	number = {.type = jbvNumeric};
	int32		input = 0;
	int32		output = 0;
	bool		tokens = benchorch_tokens(taken, &input, &output);

	number.val.numeric = DatumGetNumeric(DirectFunctionCall1(float8_numeric, Float8GetDatum(deadline)));
	compat_push_jsonb(&state, WJB_BEGIN_OBJECT, NULL);
	/* in the order that jsonb keeps, shorter names first, so that nothing is to be sorted */
	put_number(&state, "gpus", true, taken->gpus);
	put_number(&state, "seed", true, taken->id % (INT64CONST(1) << 31));
	put_text(&state, "model", model == NULL ? (Datum) 0 : model->source ? model->source
																		: model->name);
	put_json(&state, "params", taken->params);
	put_number(&state, "attempt", true, taken->attempt);
	put_text(&state, "dataset", workload ? CStringGetTextDatum(workload->dataset) : (Datum) 0);
	put_text(&state, "hardware", hardware ? hardware->name : (Datum) 0);
	put_text(&state, "workload", taken->workload);
	put_number(&state, "config_id", true, taken->id);
	put_text(&state, "framework", framework ? framework->name : (Datum) 0);
	put_number(&state, "batch_size", taken->batch_size > 0, taken->batch_size);
	put_member(&state, "deadline_s", &number);
	put_text(&state, "model_name", model ? model->name : (Datum) 0);
	put_number(&state, "num_prompts", true, Max(32, 10 * (int64) Max(taken->batch_size, 1)));
	put_json(&state, "architecture", model ? model->architecture : (Datum) 0);
	put_number(&state, "input_tokens", tokens, input);
	put_number(&state, "output_tokens", tokens, output);
	put_number(&state, "sequence_length", taken->sequence_length > 0, taken->sequence_length);
	compat_push_jsonb(&state, WJB_END_OBJECT, NULL);
	return JsonbValueToJsonb(state.result);
}

/* One row of the result: described_run. */
void
benchorch_put_run(ReturnSetInfo *rsinfo, const Claim *claim, const Taken *taken)
{
	const KeptModel *model = benchorch_kept_model(&taken->model_version_id);
	const KeptHardware *hardware = benchorch_kept_hardware(taken->hardware_config_id);
	const KeptFramework *framework = benchorch_kept_framework(taken->framework_id);
	double		deadline = seconds(benchorch_deadline(taken));
	Jsonb	   *line = runner_line(taken, model, hardware, framework, deadline);
	Datum		values[21] = {0};
	bool		nulls[21];

	if (framework)
	{
		values[3] = framework->protocol;
		values[5] = framework->name;
		values[10] = framework->command_list;
		values[11] = framework->server_command;
		values[12] = framework->ready_command;
		values[13] = framework->reset_command;
		values[14] = framework->warmup_command;
		values[15] = framework->ready_timeout;
		values[17] = framework->env;
	}
	values[1] = claim ? Int64GetDatum(claim->claim_id) : (Datum) 0;
	values[4] = hardware ? hardware->name : (Datum) 0;
	values[6] = taken->workload;
	values[7] = Int32GetDatum(taken->batch_size);
	values[8] = Int32GetDatum(taken->sequence_length);
	values[18] = placeholder_list(line, framework && framework->details ? DatumGetJsonbP(framework->details) : NULL);
	values[19] = JsonbPGetDatum(line);
	for (int column = 0; column < lengthof(values); column++)
		nulls[column] = values[column] == (Datum) 0;

		/* and those that are never NULL, or where 0 is a value */
#define PUT(column, value) (values[column] = (value), nulls[column] = false)
	PUT(0, Int64GetDatum(taken->id));
	PUT(2, Int32GetDatum(taken->lane_id));
	PUT(9, Int32GetDatum(taken->gpus));
	if (framework)
		PUT(15, framework->ready_timeout);
	PUT(16, Float8GetDatum(deadline));
	PUT(20, Float8GetDatum((double) taken->work));
#undef PUT
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* describe_run(config_id): the same without a claim. */
Datum
benchorch_describe_run(PG_FUNCTION_ARGS)
{
	int64		config_id;
	ConfigTable *configs;
	const ConfigRow *row;

	benchorch_require(fcinfo, 0, "config_id");
	config_id = PG_GETARG_INT64(0);
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	benchorch_begin_reference();
	configs = benchorch_open_configs(&config_id, 1);
	row = benchorch_read_next(configs);
	if (row == NULL)
		benchorch_no_such_config(config_id);
	else
	{
		Taken		taken = benchorch_read_taken(row);

		taken.attempt = DatumGetInt32(row->values[row->columns.retry_count]) + 1;
		benchorch_put_run((ReturnSetInfo *) fcinfo->resultinfo, NULL, &taken);
	}
	benchorch_close_configs(configs);
	SPI_finish();
	PG_RETURN_NULL();
}
