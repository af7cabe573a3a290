/*
 * Which part of what a benchmark printed is its result.
 *
 * Benchmarks print JSON among log lines, with NaN and Infinity, with broken
 * bytes, or not at all.  The rules (docs/results.md):
 *
 *   1. all of it, where it is one object or array;
 *   2. else the last object, or array of objects, that begins in the first
 *      column and has nothing but white space after it on its last line;
 *   3. or the last line that is an object, where that stands after it (inside
 *      of something that began earlier and never ended);
 *   4. where an adapter says that its lines of JSON belong together: an array
 *      of all lines that are objects;
 *   5. where there is no JSON: the logs of MLPerf's load generator (mlperf.c).
 *
 * What is indented is part of something larger, and never the result.
 * Every step takes time in proportion to the length of the output.
 */
#include "benchorch.h"
#include "json.h"

#include "miscadmin.h"

/* Where the line that contains p ends, and where it begins. */
static const char *
line_end(const Scanner *s, const char *p)
{
	const char *newline = memchr(p, '\n', s->end - p);

	return newline ? newline : s->end;
}

static const char *
line_start(const Scanner *s, const char *p)
{
	while (p > s->start && p[-1] != '\n')
		p--;
	return p;
}

/* Whether nothing but white space follows on the line. */
static bool
at_line_end(const Scanner *s)
{
	for (const char *p = s->at; p < s->end && *p != '\n'; p++)
		if (!benchorch_is_space(*p))
			return false;
	return true;
}

/*
 * Rule 2.  A candidate that fails on a later line is not tried again from the
 * lines between: what they held was part of it.  Returns where the last one
 * begins (NULL: none); *end is where it ends.  Where the last one is JSON that
 * jsonb cannot take, that is the answer, and not an earlier one: *limit is set.
 * *failed stands where the last that failed did.
 */
static const char *
last_block(Scanner *s, const char **end, bool *limit, Scanner *failed)
{
	const char *found = NULL;
	const char *line = s->start;

	while (line < s->end)
	{
		const char *next = line_end(s, line) + 1;

		CHECK_FOR_INTERRUPTS();
		if (*line == '{' || *line == '[')
		{
			bool		whole;
			bool		candidate;

			s->at = line;
			whole = benchorch_scan_json(s);
			candidate = *line == '{' || s->object_first;
			if (whole && candidate && at_line_end(s))
			{
				found = line;
				*end = s->at;
				*limit = false;
			}
			else if (!whole && candidate && (s->limit || !*limit))
			{
				*failed = *s;
				*limit = s->limit;
			}
			if (whole)
				next = Max(next, line_end(s, s->at) + 1);
			else if (s->at >= next)
				next = line_start(s, s->at);
		}
		line = next;
	}
	return found;
}

/* Rule 3: from the last line back to "after"; the rest is as in last_block. */
static const char *
last_line(const Scanner *s, const char *after, const char **end, bool *limit, Scanner *failed)
{
	const char *line_stop = s->end;

	while (line_stop > after)
	{
		const char *line = line_start(s, line_stop);

		CHECK_FOR_INTERRUPTS();
		if (line < line_stop && *line == '{' && line >= after)
		{
			Scanner		one = {.start = s->start, .end = line_stop, .at = line};

			if (!benchorch_scan_json(&one))
			{
				if (one.limit)
				{
					*limit = true;
					*failed = one;
					return NULL;
				}
			}
			else if (at_line_end(&one))
			{
				*end = one.at;
				return line;
			}
		}
		line_stop = line > s->start ? line - 1 : s->start;
	}
	return NULL;
}

/* Whether a line of JSON stands before this one. */
static bool
has_line_before(const Scanner *s, const char *line)
{
	const char *p = s->start;

	while (p < line)
	{
		if (*p == '{')
			return true;
		p = line_end(s, p) + 1;
	}
	return false;
}

/* Rule 4: an array of all lines that are objects; one that is none is a fault. */
static bool
copy_lines(Scanner *s, StringInfo copy, Scanner *failed)
{
	const char *line = s->start;

	appendStringInfoChar(copy, '[');
	while (line < s->end)
	{
		const char *stop = line_end(s, line);

		CHECK_FOR_INTERRUPTS();
		if (*line == '{')
		{
			Scanner		one = {.start = s->start, .end = stop, .at = line, .copy = copy};

			if (copy->len > 1)
				appendStringInfoChar(copy, ',');
			if (!benchorch_scan_json(&one) || !at_line_end(&one))
			{
				if (one.error == NULL)
					one.error = "text follows the JSON";
				*failed = one;
				return false;
			}
		}
		line = stop + 1;
	}
	appendStringInfoChar(copy, ']');
	return true;
}

/* The same for both calls below: by the rules 1 to 3, and whether more lines of JSON stand before the result. */
static Jsonb *
parse(const char *bytes, Size len, bool *more_lines, char **why)
{
	Scanner		s = {.start = bytes, .end = bytes + len, .at = bytes};
	StringInfoData copy;
	const char *begin;
	const char *end = bytes + len;

	*why = NULL;
	*more_lines = false;
	if (len >= 3 && memcmp(bytes, "\xEF\xBB\xBF", 3) == 0)
		s.at = s.start += 3;	/* a byte order mark */
	benchorch_skip_space(&s);
	begin = s.at;
	if (begin == s.end)
	{
		*why = pstrdup("no output");
		return NULL;
	}
	if (len > JSON_MAX_SIZE)
	{
		*why = psprintf("output of %zu bytes is more than a jsonb can hold", len);
		return NULL;
	}

	initStringInfo(&copy);
	s.copy = &copy;
	if ((*begin != '{' && *begin != '[') || !benchorch_scan_json(&s) || (benchorch_skip_space(&s), s.at != s.end))
	{
		Scanner		failed = s;
		const char *line;
		const char *line_stop;
		bool		limit = false;

		/* look without copying, then copy what was chosen */
		s.copy = NULL;
		if (s.at > begin && s.error == NULL)
			failed.error = "text follows the JSON";
		begin = last_block(&s, &end, &limit, &failed);
		if (!limit)
		{
			line = last_line(&s, begin ? end : s.start, &line_stop, &limit, &failed);
			if (line)
			{
				begin = line;
				end = line_stop;
			}
			*more_lines = begin && *begin == '{' && has_line_before(&s, begin);
		}
		if (begin == NULL || limit)
		{
			*why = failed.error ? benchorch_describe_fault(&failed) : pstrdup("no JSON object in the output");
			return NULL;
		}
		resetStringInfo(&copy);
		s.copy = &copy;
		s.at = begin;
		s.end = end;
		if (!benchorch_scan_json(&s))
			elog(ERROR, "JSON could not be read again: %s", benchorch_describe_fault(&s));
	}

	return benchorch_copy_to_jsonb(&copy, why);
}

/*
 * The result in what a benchmark printed, as jsonb: an object or an array.
 * NULL where there is none, and *why says why, with the position.
 */
Jsonb *
benchorch_parse_output(const char *bytes, Size len, char **why)
{
	bool		more_lines;

	return parse(bytes, len, &more_lines, why);
}

/*
 * The same by all rules.  adapter: whose output it is; where it is NULL, and
 * there are several lines of JSON, the last one tells.
 */
Jsonb *
benchorch_read_result(const char *bytes, Size len, const char *adapter, char **why)
{
	bool		more_lines;
	bool		together = false;
	Jsonb	   *result;
	StringInfoData copy;
	Scanner		s = {.start = bytes, .end = bytes + len, .at = bytes};
	Scanner		failed;

	result = parse(bytes, len, &more_lines, why);
	if (result == NULL && benchorch_is_mlperf(bytes, len))
		return benchorch_parse_mlperf(bytes, len, why);
	if (result == NULL || !more_lines)
		return result;
	if (adapter)
		together = benchorch_adapter_has_lines(adapter);
	else if (benchorch_guess_adapter(result, &together) == NULL)
		together = false;
	if (!together)
		return result;
	initStringInfo(&copy);
	if (!copy_lines(&s, &copy, &failed))
	{
		*why = benchorch_describe_fault(&failed);
		return NULL;
	}
	return benchorch_copy_to_jsonb(&copy, why);
}
