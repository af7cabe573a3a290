/*
 * The logs of MLPerf's load generator, which are no JSON.
 *
 *   mlperf_log_summary.txt   lines "key : value", among rules and remarks
 *   mlperf_log_detail.txt    lines ":::MLLOG {"key": ..., "value": ...}"
 *
 * Both become {"mlperf": {key: value, ...}}, the keys as they are printed, a
 * value a number where it is one by the grammar of JSON and else a text.  A key
 * that is printed twice keeps the later value, as in any JSON here.  A line of
 * the summary without a colon says nothing; a line of the detail log that is
 * no JSON is a fault, for it was cut.
 */
#include "benchorch.h"
#include "json.h"

#include "miscadmin.h"
#include "utils/builtins.h"

#define MLLOG ":::MLLOG"
#define SUMMARY "MLPerf Results Summary"

static const char *
next_line(const char *at, const char *end)
{
	const char *newline = memchr(at, '\n', end - at);

	return newline ? newline + 1 : end;
}

static bool
begins_with(const char *at, const char *end, const char *word)
{
	return end - at >= strlen(word) && memcmp(at, word, strlen(word)) == 0;
}

bool
benchorch_is_mlperf(const char *bytes, Size len)
{
	const char *end = bytes + len;

	for (const char *at = bytes; at < end; at = next_line(at, end))
		if (begins_with(at, end, MLLOG) || begins_with(at, end, SUMMARY))
			return true;
	return false;
}

/* What is between two places, without white space around it. */
static void
trim(const char **from, const char **to)
{
	while (*from < *to && benchorch_is_space(**from))
		(*from)++;
	while (*from < *to && benchorch_is_space((*to)[-1]))
		(*to)--;
}

static void
put_string(StringInfo json, const char *from, const char *to)
{
	appendStringInfoChar(json, '"');
	for (; from < to; from++)
	{
		if (*from == '"' || *from == '\\')
			appendStringInfoChar(json, '\\');
		if ((unsigned char) *from < 0x20)
			appendStringInfo(json, "\\u%04x", (unsigned char) *from);
		else
			appendStringInfoChar(json, *from);
	}
	appendStringInfoChar(json, '"');
}

static void
put_key(StringInfo json, const char *from, const char *to)
{
	if (json->data[json->len - 1] != '{')
		appendStringInfoChar(json, ',');
	put_string(json, from, to);
	appendStringInfoChar(json, ':');
}

/* A number as it is, else a text. */
static void
put_value(StringInfo json, const char *from, const char *to)
{
	Scanner		number = {.start = from, .end = to, .at = from};

	if (from < to && (*from == '-' || (*from >= '0' && *from <= '9')) && benchorch_scan_json(&number) &&
		number.at == to)
		appendBinaryStringInfo(json, from, to - from);
	else
		put_string(json, from, to);
}

/* A line of the summary. */
static void
put_summary_line(StringInfo json, const char *line, const char *end)
{
	const char *colon = memchr(line, ':', end - line);
	const char *key = line;
	const char *value;

	if (colon == NULL)
		return;
	value = colon + 1;
	trim(&key, &colon);
	trim(&value, &end);
	if (key == colon || value == end)
		return;
	put_key(json, key, colon);
	put_value(json, value, end);
}

/* A line of the detail log, whose object begins at s->at and is copied by it; false where it is none. */
static bool
put_detail_line(StringInfo json, Scanner *s)
{
	Jsonb	   *object;
	char	   *why;
	char	   *key;
	JsonbValue	value;

	if (!benchorch_scan_json(s))
		return false;
	object = benchorch_copy_to_jsonb(s->copy, &why);
	key = object ? benchorch_member_text(object, "key") : NULL;
	if (key == NULL)
		return true;
	value = benchorch_member(object, "value");
	put_key(json, key, key + strlen(key));
	if (value.type == jbvBinary)
		JsonbToCString(json, value.val.binary.data, value.val.binary.len);
	else if (value.type == jbvNull)
		appendStringInfoString(json, "null");
	else
	{
		char	   *text = benchorch_member_text(object, "value");

		if (value.type == jbvString)
			put_string(json, text, text + strlen(text));
		else
			appendStringInfoString(json, text);
	}
	return true;
}

Jsonb *
benchorch_parse_mlperf(const char *bytes, Size len, char **why)
{
	const char *end = bytes + len;
	StringInfoData json;
	StringInfoData copy;
	Scanner		s;

	initStringInfo(&json);
	appendStringInfoString(&json, "{\"mlperf\":{");
	for (const char *line = bytes; line < end; line = next_line(line, end))
	{
		const char *stop = next_line(line, end);

		CHECK_FOR_INTERRUPTS();
		if (begins_with(line, stop, MLLOG))
		{
			initStringInfo(&copy);
			s = (Scanner){.start = bytes, .end = stop, .at = line + strlen(MLLOG), .copy = &copy};
			benchorch_skip_space(&s);
			if (!put_detail_line(&json, &s))
			{
				*why = benchorch_describe_fault(&s);
				return NULL;
			}
		}
		else
			put_summary_line(&json, line, stop);
	}
	appendStringInfoString(&json, "}}");

	/* the scanner cleans what is no UTF-8 */
	initStringInfo(&copy);
	s = (Scanner){.start = json.data, .end = json.data + json.len, .at = json.data, .copy = &copy};
	if (!benchorch_scan_json(&s))
	{
		*why = benchorch_describe_fault(&s);
		return NULL;
	}
	return benchorch_copy_to_jsonb(&copy, why);
}
