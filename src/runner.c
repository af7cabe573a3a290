/*
 * What a framework's placeholders stand for in a config, as a list that a
 * worker need not parse (src/runner.sql): in C, because every claimed config
 * asks.
 */
#include "benchorch.h"

#include "lib/stringinfo.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(benchorch_placeholder_list);

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

/* placeholder_list(config, framework_details) */
Datum
benchorch_placeholder_list(PG_FUNCTION_ARGS)
{
	static const char nothing[] = {ARGUMENT, '\0'};
	Jsonb	   *config = PG_GETARG_JSONB_P(0);
	Jsonb	   *details = PG_ARGISNULL(1) ? NULL : PG_GETARG_JSONB_P(1);
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
	PG_RETURN_TEXT_P(cstring_to_text_with_len(list.data, list.len));
}
