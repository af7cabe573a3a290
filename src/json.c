/*
 * Reading JSON as programs print it.
 *
 * A scanner walks over one value: it checks the grammar and, where asked,
 * writes a clean copy, which becomes a jsonb without fail.  Nothing here raises
 * an error for what a benchmark printed, so that no caller needs a
 * subtransaction; whoever gets false gets the reason too.
 *
 * What the copy changes: NaN and infinities become null; NUL bytes, \u0000,
 * invalid UTF-8 and lone surrogates become U+FFFD; other \u escapes become the
 * characters that they mean.  What the scanner refuses beyond the grammar is
 * what jsonb would raise errors for: numbers beyond numeric, deep nesting, and
 * values larger than a jsonb can be.
 */
#include "benchorch.h"
#include "json.h"

#include <ctype.h>

#include "catalog/namespace.h"
#include "compat.h"
#include "lib/stringinfo.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"

#define MAX_DEPTH 500			/* of objects and arrays in one another */
#define MAX_DIGITS 1000			/* of a number, in all */
#define MAX_EXPONENT 1000

/* Every value costs at most its length in text and this. */
#define VALUE_SIZE 32

#define REPLACEMENT "\xEF\xBF\xBD"	/* U+FFFD */

static bool
fail(Scanner *s, const char *error)
{
	s->error = error;
	return false;
}

static bool
refuse(Scanner *s, const char *error)
{
	s->limit = true;
	return fail(s, error);
}

static void
put(Scanner *s, const char *bytes, Size len)
{
	if (s->copy)
		appendBinaryStringInfo(s->copy, bytes, len);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

void
benchorch_skip_space(Scanner *s)
{
	while (s->at < s->end && benchorch_is_space(*s->at))
		s->at++;
}

/* Four hexadecimal digits at p, or -1. */
static int
hex4(const Scanner *s, const char *p)
{
	int			value = 0;

	if (s->end - p < 4)
		return -1;
	for (int i = 0; i < 4; i++)
	{
		char		c = p[i];

		if (is_digit(c))
			value = value * 16 + c - '0';
		else if (c >= 'a' && c <= 'f')
			value = value * 16 + c - 'a' + 10;
		else if (c >= 'A' && c <= 'F')
			value = value * 16 + c - 'A' + 10;
		else
			return -1;
	}
	return value;
}

/* At the u of \u: writes the character that it means. */
static bool
scan_unicode_escape(Scanner *s)
{
	int			c = hex4(s, s->at + 1);
	unsigned char utf8[4];

	if (c < 0)
		return fail(s, "\\u must be followed by four hexadecimal digits");
	s->at += 5;
	if (c >= 0xD800 && c <= 0xDBFF)
	{
		int			low = s->end - s->at >= 6 && s->at[0] == '\\' && s->at[1] == 'u' ? hex4(s, s->at + 2) : -1;

		if (low >= 0xDC00 && low <= 0xDFFF)
		{
			c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
			s->at += 6;
		}
		else
			c = 0xFFFD;
	}
	else if ((c >= 0xDC00 && c <= 0xDFFF) || c == 0)
		c = 0xFFFD;

	if (c < 0x20 || c == '"' || c == '\\')
		put(s, s->at - 6, 6);	/* must stay an escape */
	else
	{
		unicode_to_utf8(c, utf8);
		put(s, (char *) utf8, pg_utf_mblen(utf8));
	}
	return true;
}

/* At the opening quote. */
static bool
scan_string(Scanner *s)
{
	put(s, s->at, 1);
	s->at++;
	for (;;)
	{
		const char *run = s->at;

		while (s->at < s->end && (unsigned char) *s->at >= 0x20 && (unsigned char) *s->at < 0x80 &&
			   *s->at != '"' && *s->at != '\\')
			s->at++;
		put(s, run, s->at - run);
		if (s->at == s->end)
			return fail(s, "string does not end");

		if (*s->at == '"')
		{
			put(s, s->at, 1);
			s->at++;
			return true;
		}
		else if (*s->at == '\\')
		{
			s->at++;
			if (s->at == s->end)
				return fail(s, "string does not end");
			if (*s->at == 'u')
			{
				if (!scan_unicode_escape(s))
					return false;
			}
			else if (*s->at != '\0' && strchr("\"\\/bfnrt", *s->at) != NULL)
			{
				put(s, s->at - 1, 2);
				s->at++;
			}
			else
				return fail(s, "unknown escape in a string");
		}
		else if ((unsigned char) *s->at >= 0x80)
		{
			int			len = pg_utf_mblen((const unsigned char *) s->at);

			if (len <= s->end - s->at && pg_utf8_islegal((const unsigned char *) s->at, len))
			{
				put(s, s->at, len);
				s->at += len;
			}
			else
			{
				put(s, REPLACEMENT, strlen(REPLACEMENT));
				s->at++;
			}
		}
		else if (*s->at == '\0')
		{
			put(s, REPLACEMENT, strlen(REPLACEMENT));
			s->at++;
		}
		else
			return fail(s, "control character in a string");
	}
}

/* A word that must not go on. */
static bool
scan_word(Scanner *s, const char *word)
{
	Size		len = strlen(word);

	if (s->end - s->at < len || memcmp(s->at, word, len) != 0)
		return false;
	if (s->end - s->at > len && (isalnum((unsigned char) s->at[len]) || s->at[len] == '_'))
		return false;
	s->at += len;
	return true;
}

/* At a digit, or at a minus before one. */
static bool
scan_number(Scanner *s)
{
	const char *begin = s->at;
	const char *p = s->at;
	int			digits = 0;

	if (*p == '-')
		p++;
	if (*p == '0' && p + 1 < s->end && is_digit(p[1]))
		return fail(s, "number with a leading zero");
	for (; p < s->end && is_digit(*p); p++)
		digits++;
	if (p < s->end && *p == '.')
	{
		p++;
		if (p == s->end || !is_digit(*p))
		{
			s->at = p;
			return fail(s, "number without digits after its point");
		}
		for (; p < s->end && is_digit(*p); p++)
			digits++;
	}
	if (digits > MAX_DIGITS)
		return refuse(s, "number of more than 1000 digits");
	if (p < s->end && (*p == 'e' || *p == 'E'))
	{
		int			exponent = 0;

		p++;
		if (p < s->end && (*p == '+' || *p == '-'))
			p++;
		if (p == s->end || !is_digit(*p))
		{
			s->at = p;
			return fail(s, "number without digits in its exponent");
		}
		for (; p < s->end && is_digit(*p); p++)
			exponent = Min(exponent * 10 + *p - '0', MAX_EXPONENT + 1);
		if (exponent > MAX_EXPONENT)
			return refuse(s, "number with an exponent beyond 1000");
	}
	put(s, begin, p - begin);
	s->at = p;
	return true;
}

/* A string, a number, a literal, or what only programs print. */
static bool
scan_scalar(Scanner *s)
{
	static const char *const literals[] = {"true", "false", "null"};
	static const char *const no_numbers[] = {"NaN", "nan", "-nan", "Infinity", "-Infinity", "inf", "-inf"};

	if (s->at == s->end)
		return fail(s, "output ends where a value should stand");
	if (*s->at == '"')
		return scan_string(s);
	if (is_digit(*s->at) || (*s->at == '-' && s->end - s->at > 1 && is_digit(s->at[1])))
		return scan_number(s);
	for (int i = 0; i < lengthof(literals); i++)
		if (scan_word(s, literals[i]))
		{
			put(s, literals[i], strlen(literals[i]));
			return true;
		}
	for (int i = 0; i < lengthof(no_numbers); i++)
		if (scan_word(s, no_numbers[i]))
		{
			put(s, "null", 4);
			return true;
		}
	return fail(s, "unexpected character");
}

/*
 * One value, at "at" and without white space before it.  Where false is
 * returned, "at" and "error" say why.
 */
bool
benchorch_scan_json(Scanner *s)
{
	char		closing[MAX_DEPTH];
	const char *begin = s->at;
	int			depth = 0;

	s->values = 0;
	s->error = NULL;
	s->limit = false;
	s->object_first = false;
	for (;;)
	{
		char		c = s->at < s->end ? *s->at : '\0';

		/* a value begins here */
		CHECK_FOR_INTERRUPTS();
		s->values++;
		if ((s->at - begin) + s->values * VALUE_SIZE > JSON_MAX_SIZE)
			return refuse(s, "more than a jsonb can hold");
		if (c == '{' || c == '[')
		{
			if (depth == MAX_DEPTH)
				return refuse(s, "nested deeper than 500");
			if (depth == 1 && closing[0] == ']' && s->values == 2)
				s->object_first = c == '{';
			closing[depth++] = c + 2;	/* both brackets close two places on */
			put(s, s->at, 1);
			s->at++;
			benchorch_skip_space(s);
			if (s->at == s->end || *s->at != c + 2)
			{
				if (c == '{')
					goto key;
				continue;
			}
		}
		else if (!scan_scalar(s))
			return false;

		/* a value has ended, or an empty container is about to */
		for (;;)
		{
			if (depth == 0)
				return true;
			benchorch_skip_space(s);
			if (s->at == s->end)
			{
				bool		in_object = closing[depth - 1] == '}';

				return fail(s, in_object ? "output ends within an object" : "output ends within an array");
			}
			if (*s->at == closing[depth - 1])
			{
				put(s, s->at, 1);
				s->at++;
				depth--;
				continue;
			}
			if (*s->at != ',')
				return fail(s, closing[depth - 1] == '}' ? "expected \",\" or \"}\"" : "expected \",\" or \"]\"");
			put(s, s->at, 1);
			s->at++;
			benchorch_skip_space(s);
			break;
		}
		if (closing[depth - 1] == ']')
			continue;

key:
		s->values++;
		if (s->at == s->end)
			return fail(s, "output ends within an object");
		if (*s->at != '"')
			return fail(s, "expected a member's name in quotes");
		if (!scan_string(s))
			return false;
		benchorch_skip_space(s);
		if (s->at == s->end || *s->at != ':')
			return fail(s, "expected \":\" after a member's name");
		put(s, s->at, 1);
		s->at++;
		benchorch_skip_space(s);
	}
}

char *
benchorch_describe_fault(const Scanner *s)
{
	int			line = 1;

	for (const char *p = s->start; p < s->at; p++)
		line += *p == '\n';
	return psprintf("%s at byte %zu, line %d", s->error, (Size) (s->at - s->start) + 1, line);
}

/*
 * The clean copy, which is valid UTF-8, in the database's encoding.  What that
 * encoding lacks becomes a question mark.
 */
static char *
to_database_encoding(StringInfo text, char **why)
{
	int			encoding = GetDatabaseEncoding();
	StringInfoData out;
	Oid			conversion;
	const unsigned char *at = (const unsigned char *) text->data;
	const unsigned char *end = at + text->len;

	if (encoding == PG_UTF8 || encoding == PG_SQL_ASCII || text->len == 0)
		return text->data;
	conversion = FindDefaultConversionProc(PG_UTF8, encoding);
	if (!OidIsValid(conversion))
	{
		*why = psprintf("there is no conversion from UTF-8 to the database's encoding %s",
						pg_encoding_to_char(encoding));
		return NULL;
	}
	initStringInfo(&out);
	while (at < end)
	{
		int			len = Min(end - at, 8192);
		int			done;

		while (at + len < end && (at[len] & 0xC0) == 0x80)
			len--;				/* no character in two pieces */
		enlargeStringInfo(&out, len * MAX_CONVERSION_GROWTH + 8);
		done = pg_do_encoding_conversion_buf(conversion, PG_UTF8, encoding, (unsigned char *) at, len,
											 (unsigned char *) out.data + out.len,
											 len * MAX_CONVERSION_GROWTH + 8, true);
		out.len += strlen(out.data + out.len);
		at += done;
		if (done < len)
		{
			appendStringInfoChar(&out, '?');
			at += pg_utf_mblen(at);
		}
	}
	return out.data;
}

/* ------------------------------------------------------------------ to jsonb */

/* The character of an escape that the scanner has left: one that JSON must not have bare. */
static char
escaped(const char **at)
{
	static const char names[] = "bfnrt";
	static const char means[] = "\b\f\n\r\t";
	char		c = *(*at)++;
	const char *name;

	if (c == 'u')
	{
		c = (char) strtol(pnstrdup(*at, 4), NULL, 16);
		*at += 4;
		return c;
	}
	name = strchr(names, c);
	return name ? means[name - names] : c;
}

/* A string, at its opening quote. */
static JsonbValue
cut_string(const char **at)
{
	const char *begin = *at + 1;
	const char *end = begin + strcspn(begin, "\"\\");
	JsonbValue	value = {.type = jbvString};
	char	   *bytes;
	int			len = 0;

	value.val.string.val = unconstify(char *, begin);
	value.val.string.len = end - begin;
	*at = end + 1;
	if (*end == '"')
		return value;
	for (; *end != '"'; end++)
		end += *end == '\\';
	value.val.string.val = bytes = palloc(end - begin);
	for (*at = begin; *at < end;)
	{
		char		c = *(*at)++;

		bytes[len++] = c == '\\' ? escaped(at) : c;
	}
	value.val.string.len = len;
	*at = end + 1;
	return value;
}

/* A number, true, false or null. */
static JsonbValue
cut_word(const char **at)
{
	int			len = strcspn(*at, ",]}");
	JsonbValue	value = {.type = jbvNull};

	if (**at == 't' || **at == 'f')
	{
		value.type = jbvBool;
		value.val.boolean = **at == 't';
	}
	else if (**at != 'n')
	{
		value.type = jbvNumeric;
		value.val.numeric = DatumGetNumeric(DirectFunctionCall3(numeric_in, CStringGetDatum(pnstrdup(*at, len)),
																ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1)));
	}
	*at += len;
	return value;
}

/*
 * The clean copy of an object or array as jsonb: what jsonb_in makes of it,
 * without looking again whether it is JSON.  It has no white space.
 */
static Jsonb *
build(const char *at)
{
	JsonbInState state = {0};
	JsonbValue	value;
	bool		in_object[MAX_DEPTH] = {false};
	int			depth = 0;
	bool		key = false;

	while (*at)
	{
		CHECK_FOR_INTERRUPTS();
		switch (*at)
		{
			case '{':
			case '[':
				in_object[depth++] = key = *at == '{';
				compat_push_jsonb(&state, key ? WJB_BEGIN_OBJECT : WJB_BEGIN_ARRAY, NULL);
				at++;
				break;
			case '}':
			case ']':
				compat_push_jsonb(&state, *at == '}' ? WJB_END_OBJECT : WJB_END_ARRAY, NULL);
				depth--;
				at++;
				break;
			case ',':
				key = in_object[depth - 1];
				at++;
				break;
			case ':':
				key = false;
				at++;
				break;
			default:
				value = *at == '"' ? cut_string(&at) : cut_word(&at);
				compat_push_jsonb(&state, key ? WJB_KEY : in_object[depth - 1] ? WJB_VALUE
																			   : WJB_ELEM,
								  &value);
		}
	}
	return JsonbValueToJsonb(state.result);
}

Jsonb *
benchorch_copy_to_jsonb(StringInfo copy, char **why)
{
	char	   *text = to_database_encoding(copy, why);

	if (text == NULL)
		return NULL;
	return build(text);
}
