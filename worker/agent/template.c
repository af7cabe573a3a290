/*
 * Commands with {placeholders}, and the name-value lists that fill them.
 *
 * Each element of a command is filled by itself and stays one argument
 * whatever the value holds: no shell is involved and nothing is split.
 * Values are inserted as they are and not looked into again.
 *
 * Lists arrive from the database as text with the ASCII separators: US (1F)
 * between entries, RS (1E) between a name and its value; a value that is
 * several arguments begins with GS (1D), and each of them ends with it.
 */
#include "template.h"

#include <stdlib.h>
#include <string.h>

#define UNIT_SEPARATOR '\x1f'
#define RECORD_SEPARATOR '\x1e'
#define GROUP_SEPARATOR '\x1d'

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
pairs_split(Pairs *pairs, const char *text)
{
	int			count;
	char	  **entries = strings_split(text, &count);

	for (int i = 0; i < count; i++)
	{
		char	   *value = strchr(entries[i], RECORD_SEPARATOR);

		if (value != NULL)
			*value++ = '\0';
		pairs_add(pairs, entries[i], value);
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

/* Families of placeholders of which any member may be asked for. */
static bool
has_family(const char *name)
{
	return strncmp(name, "params.", 7) == 0 || strncmp(name, "arguments.", 10) == 0;
}

/* Why {name} cannot be filled. */
static void
explain_missing(const char *name, const Pairs *values, Buffer *error)
{
	const char *separator = "";

	if (pairs_find(values, name) != NULL || has_family(name))
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
		if (has_family(values->items[i].name))
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
		else if (fallback != NULL && (pair != NULL || has_family(name)))
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

/*
 * The list that an element stands for, or NULL where it is an ordinary one.
 * Of a dimension that neither the config nor the framework knows it is empty.
 */
static const char *
find_list(const char *element, const Pairs *values)
{
	size_t		len = strlen(element);
	const Pair *pair;
	char	   *name;

	if (len < 3 || element[0] != '{' || strcspn(element + 1, "{}:") != len - 2 || element[len - 1] != '}')
		return NULL;
	name = xprintf("%.*s", (int) len - 2, element + 1);
	pair = pairs_find(values, name);
	if (pair == NULL && strncmp(name, "arguments.", 10) == 0)
	{
		free(name);
		return "";
	}
	free(name);
	return pair && pair->value && pair->value[0] == GROUP_SEPARATOR ? pair->value + 1 : NULL;
}

char **
template_fill_command(char **command, const Pairs *values, Buffer *error)
{
	char	  **filled;
	int			size = 1, n = 0;

	for (char **element = command; *element; element++)
	{
		const char *list = find_list(*element, values);

		for (size++; list && *list; list++)
			size += *list == GROUP_SEPARATOR;
	}
	filled = xcalloc(size, sizeof(char *));
	for (char **element = command; *element; element++)
	{
		const char *list = find_list(*element, values);
		Buffer		out = {0};

		for (; list && *list; list = strchr(list, GROUP_SEPARATOR) + 1)
			filled[n++] = xprintf("%.*s", (int) (strchr(list, GROUP_SEPARATOR) - list), list);
		if (list)
			continue;
		if (!template_fill(*element, values, &out, error))
		{
			buffer_free(&out);
			strings_free(filled);
			return NULL;
		}
		filled[n++] = out.data;
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
