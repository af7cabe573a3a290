/*
 * json.c: a small strict JSON reader (RFC 8259), and a writer for strings and
 * numbers.
 *
 * The reader keeps these rules: one value and nothing after it; at most 64
 * levels deep, so that hostile text cannot exhaust the stack; \u0000 is
 * refused, because strings are C strings here.
 */
#include "json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64

struct reader
{
	const char *text;
	const char *at;
	const char *problem;
};

static struct json *read_value(struct reader *reader, int depth);

static void
skip_space(struct reader *reader)
{
	reader->at += strspn(reader->at, " \t\r\n");
}

static void *
problem(struct reader *reader, const char *what)
{
	if (reader->problem == NULL)
		reader->problem = what;
	return NULL;
}

static struct json *
new_value(struct reader *reader, enum json_type type)
{
	struct json *value = calloc(1, sizeof(*value));

	if (value == NULL)
		return problem(reader, "out of memory");
	value->type = type;
	return value;
}

/* four hexadecimal digits, or -1 */
static long
read_hex4(struct reader *reader)
{
	long		code = 0;

	for (int i = 0; i < 4; i++)
	{
		char		c = *reader->at;

		if (c >= '0' && c <= '9')
			code = code * 16 + (c - '0');
		else if (c >= 'a' && c <= 'f')
			code = code * 16 + (c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			code = code * 16 + (c - 'A' + 10);
		else
			return -1;
		reader->at++;
	}
	return code;
}

static char *
put_utf8(char *to, long code)
{
	if (code < 0x80)
		*to++ = (char) code;
	else if (code < 0x800)
	{
		*to++ = (char) (0xC0 | code >> 6);
		*to++ = (char) (0x80 | (code & 0x3F));
	}
	else if (code < 0x10000)
	{
		*to++ = (char) (0xE0 | code >> 12);
		*to++ = (char) (0x80 | (code >> 6 & 0x3F));
		*to++ = (char) (0x80 | (code & 0x3F));
	}
	else
	{
		*to++ = (char) (0xF0 | code >> 18);
		*to++ = (char) (0x80 | (code >> 12 & 0x3F));
		*to++ = (char) (0x80 | (code >> 6 & 0x3F));
		*to++ = (char) (0x80 | (code & 0x3F));
	}
	return to;
}

/* a \u escape, the two halves of a surrogate pair together, or -1 */
static long
read_unicode_escape(struct reader *reader)
{
	long		code = read_hex4(reader);
	long		low;

	if (code < 0xD800 || code > 0xDFFF)
		return code == 0 ? -1 : code;
	if (code > 0xDBFF || reader->at[0] != '\\' || reader->at[1] != 'u')
		return -1;
	reader->at += 2;
	low = read_hex4(reader);
	if (low < 0xDC00 || low > 0xDFFF)
		return -1;
	return 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
}

static char *
read_string(struct reader *reader)
{
	static const char plain[] = "\"\\/bfnrt";
	static const char meant[] = "\"\\/\b\f\n\r\t";
	char	   *string;
	char	   *to;

	if (*reader->at++ != '"')
		return problem(reader, "expected a string");
	/* no escape is shorter than what it stands for */
	string = malloc(strlen(reader->at) + 1);
	if (string == NULL)
		return problem(reader, "out of memory");
	to = string;
	while (*reader->at != '"')
	{
		unsigned char c = (unsigned char) *reader->at;

		if (c < 0x20)
		{
			free(string);
			return problem(reader, c == 0 ? "unterminated string" : "control character in a string");
		}
		if (c != '\\')
		{
			*to++ = *reader->at++;
			continue;
		}
		reader->at++;
		if (*reader->at == 'u')
		{
			long		code;

			reader->at++;
			code = read_unicode_escape(reader);
			if (code < 0)
			{
				free(string);
				return problem(reader, "invalid unicode escape");
			}
			to = put_utf8(to, code);
		}
		else
		{
			const char *escape = *reader->at == 0 ? NULL : strchr(plain, *reader->at);

			if (escape == NULL)
			{
				free(string);
				return problem(reader, "invalid escape");
			}
			*to++ = meant[escape - plain];
			reader->at++;
		}
	}
	reader->at++;
	*to = 0;
	return string;
}

static struct json *
read_number(struct reader *reader)
{
	const char *from = reader->at;
	const char *at = from;
	struct json *value;

	/* strtod() alone would take hexadecimal, infinity and leading zeros */
	at += *at == '-';
	if (*at == '0')
		at++;
	else if (*at >= '1' && *at <= '9')
		at += strspn(at, "0123456789");
	else
		return problem(reader, "expected a value");
	if (*at == '.')
	{
		size_t		digits = strspn(at + 1, "0123456789");

		if (digits == 0)
			return problem(reader, "invalid number");
		at += 1 + digits;
	}
	if (*at == 'e' || *at == 'E')
	{
		size_t		digits;

		at++;
		at += *at == '-' || *at == '+';
		digits = strspn(at, "0123456789");
		if (digits == 0)
			return problem(reader, "invalid number");
		at += digits;
	}
	value = new_value(reader, JSON_NUMBER);
	if (value != NULL)
	{
		value->number = strtod(from, NULL);
		reader->at = at;
	}
	return value;
}

static struct json *
read_literal(struct reader *reader, const char *word, enum json_type type, bool boolean)
{
	struct json *value;

	if (strncmp(reader->at, word, strlen(word)) != 0)
		return problem(reader, "expected a value");
	value = new_value(reader, type);
	if (value != NULL)
	{
		value->boolean = boolean;
		reader->at += strlen(word);
	}
	return value;
}

/* an array or an object: they differ in the keys and the closing bracket */
static struct json *
read_container(struct reader *reader, enum json_type type, int depth)
{
	char		closing = type == JSON_OBJECT ? '}' : ']';
	struct json *container;
	struct json **tail;

	if (depth >= MAX_DEPTH)
		return problem(reader, "nested too deeply");
	container = new_value(reader, type);
	if (container == NULL)
		return NULL;
	tail = &container->first;
	reader->at++;
	skip_space(reader);
	if (*reader->at == closing)
	{
		reader->at++;
		return container;
	}
	for (;;)
	{
		char	   *key = NULL;

		skip_space(reader);
		if (type == JSON_OBJECT)
		{
			key = read_string(reader);
			if (key == NULL)
				break;
			skip_space(reader);
			if (*reader->at != ':')
			{
				free(key);
				problem(reader, "expected a colon");
				break;
			}
			reader->at++;
		}
		*tail = read_value(reader, depth + 1);
		if (*tail == NULL)
		{
			free(key);
			break;
		}
		(*tail)->key = key;
		tail = &(*tail)->next;
		skip_space(reader);
		if (*reader->at == closing)
		{
			reader->at++;
			return container;
		}
		if (*reader->at != ',')
		{
			problem(reader, "expected a comma or the end of the list");
			break;
		}
		reader->at++;
	}
	json_free(container);
	return NULL;
}

static struct json *
read_value(struct reader *reader, int depth)
{
	struct json *value;

	skip_space(reader);
	switch (*reader->at)
	{
		case '{':
			return read_container(reader, JSON_OBJECT, depth);
		case '[':
			return read_container(reader, JSON_ARRAY, depth);
		case '"':
			value = new_value(reader, JSON_STRING);
			if (value != NULL && (value->string = read_string(reader)) == NULL)
			{
				json_free(value);
				return NULL;
			}
			return value;
		case 't':
			return read_literal(reader, "true", JSON_BOOL, true);
		case 'f':
			return read_literal(reader, "false", JSON_BOOL, false);
		case 'n':
			return read_literal(reader, "null", JSON_NULL, false);
		default:
			return read_number(reader);
	}
}

struct json *
json_parse(const char *text, char *error, size_t error_size)
{
	struct reader reader = {text, text, NULL};
	struct json *value = read_value(&reader, 0);

	skip_space(&reader);
	if (value != NULL && *reader.at != 0)
	{
		problem(&reader, "text after the value");
		json_free(value);
		value = NULL;
	}
	if (value == NULL)
		snprintf(error, error_size, "invalid JSON at byte %td: %s",
				 reader.at - text, reader.problem);
	return value;
}

void
json_free(struct json *value)
{
	while (value != NULL)
	{
		struct json *next = value->next;

		json_free(value->first);
		free(value->string);
		free(value->key);
		free(value);
		value = next;
	}
}

const struct json *
json_member(const struct json *object, const char *key)
{
	const struct json *found = NULL;

	if (object == NULL || object->type != JSON_OBJECT)
		return NULL;
	for (const struct json *member = object->first; member != NULL; member = member->next)
		if (strcmp(member->key, key) == 0)
			found = member;
	return found;
}

/* the length of the valid UTF-8 sequence at s, or 0 */
static int
utf8_length(const unsigned char *s)
{
	int			length = s[0] < 0x80 ? 1 : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
		: (s[0] & 0xF0) == 0xE0								   ? 3
		: s[0] >= 0xF0 && s[0] < 0xF5						   ? 4
															   : 0;

	for (int i = 1; i < length; i++)
		if ((s[i] & 0xC0) != 0x80)
			return 0;
	/* overlong forms, surrogates, and beyond the last code point */
	if ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
		(s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F))
		return 0;
	return length;
}

void
json_write_string(FILE *out, const char *string)
{
	const unsigned char *s = (const unsigned char *) string;

	putc('"', out);
	while (*s != 0)
	{
		int			length = utf8_length(s);

		if (length == 0)
		{
			fputs("\\ufffd", out);
			length = 1;
		}
		else if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s < 0x20)
			fprintf(out, "\\u%04x", *s);
		else
			fwrite(s, 1, (size_t) length, out);
		s += length;
	}
	putc('"', out);
}

void
json_write_number(FILE *out, double number)
{
	char		text[40];

	if (!isfinite(number))
	{
		fputs("null", out);
		return;
	}
	for (int digits = 15; digits <= 17; digits++)
	{
		snprintf(text, sizeof(text), "%.*g", digits, number);
		if (strtod(text, NULL) == number)
			break;
	}
	fputs(text, out);
}
