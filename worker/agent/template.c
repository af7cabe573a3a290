/*
 * Commands with {placeholders}, and the name-value lists that fill them.
 *
 * Each element of a command is filled by itself and stays one argument
 * whatever the value holds: no shell is involved and nothing is split.
 * Values are inserted as they are and not looked into again.
 *
 * Lists arrive from the database as text with the ASCII separators: US (1F)
 * between entries, RS (1E) between a name and its value.
 */
#include "template.h"

#include <stdlib.h>
#include <string.h>

#define UNIT_SEPARATOR '\x1f'
#define RECORD_SEPARATOR '\x1e'

void
pairs_add(Pairs *pairs, const char *name, const char *value)
{
	Pair	   *items = xcalloc(pairs->count + 1, sizeof(Pair));

	if (pairs->count > 0)
		memcpy(items, pairs->items, pairs->count * sizeof(Pair));
	free(pairs->items);
	pairs->items = items;
	items[pairs->count].name = xstrdup(name);
	items[pairs->count].value = value ? xstrdup(value) : NULL;
	pairs->count++;
}

void
pairs_split(Pairs *pairs, const char *prefix, const char *text)
{
	int			count;
	char	  **entries = strings_split(text, &count);

	for (int i = 0; i < count; i++)
	{
		char	   *value = strchr(entries[i], RECORD_SEPARATOR);
		char	   *name;

		if (value == NULL)
			continue;
		*value++ = '\0';
		name = xprintf("%s%s", prefix, entries[i]);
		pairs_add(pairs, name, value);
		free(name);
	}
	strings_free(entries);
}

const Pair *
pairs_find(const Pairs *pairs, const char *name)
{
	for (int i = 0; i < pairs->count; i++)
		if (strcmp(pairs->items[i].name, name) == 0)
			return &pairs->items[i];
	return NULL;
}

void
pairs_free(Pairs *pairs)
{
	for (int i = 0; i < pairs->count; i++)
	{
		free(pairs->items[i].name);
		free(pairs->items[i].value);
	}
	free(pairs->items);
	*pairs = (Pairs){0};
}

char **
strings_split(const char *text, int *count)
{
	char	  **strings;
	int			n = text ? 1 : 0;

	for (const char *c = text; c && *c; c++)
		n += *c == UNIT_SEPARATOR;
	strings = xcalloc(n + 1, sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		const char *end = strchrnul(text, UNIT_SEPARATOR);

		strings[i] = xprintf("%.*s", (int) (end - text), text);
		text = end + 1;
	}
	*count = n;
	return strings;
}

void
strings_free(char **strings)
{
	for (char **s = strings; s && *s; s++)
		free(*s);
	free(strings);
}

/* Why {name} cannot be filled. */
static void
explain_missing(const char *name, const Pairs *values, Buffer *error)
{
	const char *separator = "";

	if (pairs_find(values, name) != NULL || strncmp(name, "params.", 7) == 0)
	{
		buffer_printf(error,
					  "placeholder {%s} has no value in this config; write {%s:DEFAULT} in the framework's command to "
					  "give it one",
					  name, name);
		return;
	}
	buffer_printf(error, "unknown placeholder {%s} in the framework's command; known are ", name);
	for (int i = 0; i < values->count; i++)
	{
		if (strncmp(values->items[i].name, "params.", 7) == 0)
			continue;
		buffer_printf(error, "%s%s", separator, values->items[i].name);
		separator = ", ";
	}
	buffer_puts(error, " and params.NAME; write {{ and }} for braces");
}

bool
template_fill(const char *pattern, const Pairs *values, Buffer *out, Buffer *error)
{
	const char *c = pattern;

	buffer_append(out, "", 0);
	while (*c != '\0')
	{
		const char *end;
		char	   *name, *fallback;
		const Pair *pair;

		if (*c != '{' && *c != '}')
		{
			size_t		n = strcspn(c, "{}");

			buffer_append(out, c, n);
			c += n;
			continue;
		}
		if (c[1] == *c)
		{
			buffer_append(out, c, 1);
			c += 2;
			continue;
		}
		end = strchr(c, '}');
		if (*c == '}' || end == NULL)
		{
			buffer_printf(error, "unbalanced %c in \"%s\" of the framework's command; write %c%c for a literal brace",
						  *c, pattern, *c, *c);
			return false;
		}
		name = xprintf("%.*s", (int) (end - c - 1), c + 1);
		fallback = strchr(name, ':');
		if (fallback != NULL)
			*fallback++ = '\0';
		pair = pairs_find(values, name);
		if (pair != NULL && pair->value != NULL)
			buffer_puts(out, pair->value);
		else if (fallback != NULL && (pair != NULL || strncmp(name, "params.", 7) == 0))
			buffer_puts(out, fallback);
		else
		{
			explain_missing(name, values, error);
			free(name);
			return false;
		}
		free(name);
		c = end + 1;
	}
	return true;
}

char **
template_fill_command(char **command, const Pairs *values, Buffer *error)
{
	char	  **filled;
	int			n = 0;

	while (command[n] != NULL)
		n++;
	filled = xcalloc(n + 1, sizeof(char *));
	for (int i = 0; i < n; i++)
	{
		Buffer		element = {0};

		if (!template_fill(command[i], values, &element, error))
		{
			buffer_free(&element);
			strings_free(filled);
			return NULL;
		}
		filled[i] = element.data;
	}
	return filled;
}

bool
template_names(char **command, const char *name)
{
	char	   *open = xprintf("{%s", name);
	size_t		len = strlen(open);
	bool		found = false;

	for (char **element = command; *element && !found; element++)
		for (const char *at = *element; (at = strchr(at, '{')) != NULL && !found;)
		{
			if (at[1] == '{')
			{
				at += 2;
				continue;
			}
			found = strncmp(at, open, len) == 0 && (at[len] == '}' || at[len] == ':');
			at++;
		}
	free(open);
	return found;
}
