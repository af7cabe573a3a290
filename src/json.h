/*
 * The JSON scanner: what json.c offers to those who look for JSON in text.
 */
#ifndef BENCHORCH_JSON_H
#define BENCHORCH_JSON_H

#include "benchorch.h"

#include "lib/stringinfo.h"

/*
 * A jsonb's containers are limited to 256 MB, and to 2^23 members before the
 * array that jsonb_in collects them in becomes too large to allocate.
 */
#define JSON_MAX_SIZE 0x0FFFFFFF

typedef struct Scanner
{
	const char *start;			/* of the whole output */
	const char *end;
	const char *at;
	StringInfo	copy;			/* NULL: only look */
	Size		values;			/* so far */
	const char *error;			/* what is wrong at "at" */
	bool		limit;			/* it is JSON, but more than jsonb takes */
	bool		object_first;	/* the first member of a top-level array is an object */
} Scanner;

/*
 * Scans one value, at "at" and without white space before it.  Where false is
 * returned, "at" and "error" say why.
 */
extern bool benchorch_scan_json(Scanner *s);
extern void benchorch_skip_space(Scanner *s);
/* What is wrong, and where: byte and line from 1. */
extern char *benchorch_describe_fault(const Scanner *s);
/* The copy that the scanner has made, as jsonb; NULL where the database's encoding cannot have it: *why says why. */
extern Jsonb *benchorch_copy_to_jsonb(StringInfo copy, char **why);

static inline bool
benchorch_is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

#endif							/* BENCHORCH_JSON_H */
