/*
 * Why a run failed, by what it printed: the rows of outcome_rules.
 *
 * The worker hands in what it knows for certain; where that says little (crash,
 * timeout, a silent end), what the run has printed decides.  A run that ended
 * well is never looked at: a benchmark that probes how much fits may print
 * "out of memory" and be right.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

/* Of an output that is no result, so much of its beginning and end is looked at. */
#define OUTPUT_HEAD (16 * 1024)
#define OUTPUT_TAIL (64 * 1024)

static Statement find_rule = {
	.sql = "SELECT r.outcome,"
	" pg_catalog.left((pg_catalog.regexp_match($1, '(?n)(^.*(?:' || r.pattern || ').*$)'))[1], 500)"
	" FROM benchorch.outcome_rules r"
	" WHERE r.enabled"
	" AND (r.exit_code IS NULL OR r.exit_code = CASE WHEN pg_catalog.jsonb_typeof($2 -> 'exit_code') = 'number'"
	"  THEN ($2 -> 'exit_code')::int END)"
	" AND (r.command IS NULL OR r.command = pg_catalog.regexp_replace($2 -> 'argv' ->> 0, '^.*/', ''))"
	" AND (r.pattern IS NULL OR $1 OPERATOR(pg_catalog.~) ('(?n)' || r.pattern))"
	" ORDER BY r.position, r.name LIMIT 1",
	.nargs = 2,
	.types = {TEXTOID, JSONBOID}
};

/* Appends the bytes, of many only the first and the last. */
static void
append_ends(StringInfo text, Datum bytes)
{
	bytea	   *given = bytes ? DatumGetByteaPP(bytes) : NULL;
	Size		len = given ? VARSIZE_ANY_EXHDR(given) : 0;
	const char *data = given ? VARDATA_ANY(given) : NULL;

	if (len <= OUTPUT_HEAD + OUTPUT_TAIL)
		appendBinaryStringInfo(text, data, len);
	else
	{
		appendBinaryStringInfo(text, data, OUTPUT_HEAD);
		appendStringInfoChar(text, '\n');
		appendBinaryStringInfo(text, data + len - OUTPUT_TAIL, OUTPUT_TAIL);
	}
}

/* What was printed, as text. */
static Datum
printed_text(Datum log, Datum raw)
{
	StringInfoData text;
	bytea	   *bytes;

	initStringInfo(&text);
	if (log)
		appendBinaryStringInfo(&text, VARDATA_ANY(DatumGetByteaPP(log)), VARSIZE_ANY_EXHDR(DatumGetByteaPP(log)));
	appendStringInfoChar(&text, '\n');
	append_ends(&text, raw);
	bytes = palloc(VARHDRSZ + text.len);
	SET_VARSIZE(bytes, VARHDRSZ + text.len);
	memcpy(VARDATA(bytes), text.data, text.len);
	return DirectFunctionCall1(benchorch_readable, PointerGetDatum(bytes));
}

static bool
is_open_question(Outcome outcome, Datum raw)
{
	switch (outcome)
	{
		case OUTCOME_CRASH:
		case OUTCOME_TIMEOUT:
			return true;
		case OUTCOME_BAD_OUTPUT:
			return raw == (Datum) 0 || VARSIZE_ANY_EXHDR(DatumGetByteaPP(raw)) == 0;
		default:
			return false;
	}
}

Outcome
benchorch_judge(Outcome outcome, Datum log, Datum raw, Datum details, const char **message)
{
	Datum		values[2];
	char	   *line;

	if (!is_open_question(outcome, raw))
		return outcome;
	values[0] = printed_text(log, raw);
	values[1] = details;
	if (benchorch_run(&find_rule, values, details ? NULL : " n") == 0)
		return outcome;
	line = benchorch_column_text(0, 2);
	/* the worker's message says where and how, the line why; often it ends with the line */
	if (line != NULL && *message == NULL)
		*message = line;
	else if (line != NULL && strstr(*message, line) == NULL)
		*message = psprintf("%s (%s)", line, *message);
	return benchorch_outcome_from_name(benchorch_column_text(0, 1));
}
