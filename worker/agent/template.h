/*
 * Commands with {placeholders}, and the name-value lists that fill them.
 */
#ifndef AGENT_TEMPLATE_H
#define AGENT_TEMPLATE_H

#include "buffer.h"

/* A list of names and values; a NULL value is a name that is known and has none. */
typedef struct Pair
{
	char	   *name;
	char	   *value;
} Pair;

/* Zero-initialise it. */
typedef struct Pairs
{
	int			count;
	Pair	   *items;
} Pairs;

extern void pairs_add(Pairs *pairs, const char *name, const char *value);
/* Adds "name RS value US name RS value ..."; a name without RS has no value; text may be NULL. */
extern void pairs_split(Pairs *pairs, const char *text);
extern const Pair *pairs_find(const Pairs *pairs, const char *name);
extern void pairs_free(Pairs *pairs);

/* Splits "one US two US ..." into a NULL-terminated list; free with strings_free. */
extern char **strings_split(const char *text, int *count);
extern void strings_free(char **strings);

/*
 * Appends pattern to out with its placeholders filled: {name}, {name:default},
 * {{ and }} for braces.  False, with the reason in error, for a name that is
 * not known, one without value and default, and unbalanced braces.
 */
extern bool template_fill(const char *pattern, const Pairs *values, Buffer *out, Buffer *error);

/*
 * Fills each element of a command; NULL and the reason where one cannot be
 * filled.  An element that is nothing but a placeholder whose value is a list
 * (GS, then elements that end with GS) becomes as many elements as that has.
 */
extern char **template_fill_command(char **command, const Pairs *values, Buffer *error);

/* Whether an element of the command has the placeholder, with or without default. */
extern bool template_names(char **command, const char *name);

#endif							/* AGENT_TEMPLATE_H */
