/*
 * json.h: a small strict JSON reader, and the two things that are easy to get
 * wrong when writing JSON: strings and numbers.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum json_type
{
	JSON_NULL,
	JSON_BOOL,
	JSON_NUMBER,
	JSON_STRING,
	JSON_ARRAY,
	JSON_OBJECT,
};

struct json
{
	enum json_type type;
	bool		boolean;
	double		number;
	char	   *string;			/* UTF-8, no zero byte inside */
	char	   *key;			/* of a member of an object */
	struct json *first;			/* elements or members, in order */
	struct json *next;
};

/*
 * Parses exactly one JSON value.  Answers NULL and a message with the byte
 * offset when the text is not JSON.  The caller frees it with json_free().
 */
extern struct json *json_parse(const char *text, char *error, size_t error_size);
extern void json_free(struct json *value);

/* the last member of that name, or NULL; NULL too when object is none */
extern const struct json *json_member(const struct json *object, const char *key);

/* writes a quoted string; bytes that are not UTF-8 become U+FFFD */
extern void json_write_string(FILE *out, const char *string);

/* writes the shortest form that reads back as the same double; NaN is null */
extern void json_write_number(FILE *out, double number);

#endif							/* JSON_H */
