/*
 * A system under test: a file of SQL.
 */
#define _GNU_SOURCE

#include "system.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const words[NUM_PARAMETERS] =
	{"{batch}", "{client}", "{worker}", "{ids}", "{tokens}", "{id}", "{token}", "{results}"};
static const char literal_batch[] = "{batch literal}";

static char *
read_whole(const char *path)
{
	FILE	   *file = fopen(path, "r");
	char	   *text = NULL;
	size_t		size = 0;

	if (file == NULL || getdelim(&text, &size, '\0', file) < 0)
		die("%s cannot be read", path);
	fclose(file);
	return text;
}

/* What stands below "-- @NAME", up to the next section; NULL where there is none. */
static char *
section(const char *text, const char *name)
{
	char	   *title;
	const char *begin;
	const char *end;

	if (asprintf(&title, "\n-- @%s\n", name) < 0)
		die("out of memory");
	begin = strstr(text, title);
	if (begin)
		begin += strlen(title);
	free(title);
	if (begin == NULL)
		return NULL;
	end = strstr(begin - 1, "\n-- @");
	return strndup(begin, end ? (size_t) (end - begin) : strlen(begin));
}

static bool
has_section(const char *text, const char *name)
{
	char	   *sql = section(text, name);

	free(sql);
	return sql != NULL;
}

static Parameter
parameter_at(const char *text)
{
	Parameter	parameter = 0;

	while (parameter < NUM_PARAMETERS && strncmp(text, words[parameter], strlen(words[parameter])) != 0)
		parameter++;
	return parameter;
}

static int
position_of(Call *call, Parameter parameter)
{
	int			position = 0;

	while (position < call->nparams && call->params[position] != parameter)
		position++;
	if (position == call->nparams)
		call->params[call->nparams++] = parameter;
	return position + 1;
}

static Call
read_call(const char *text, const char *name, int batch, bool prepared)
{
	Call		call = {.name = prepared ? name : ""};
	char	   *sql = section(text, name);
	size_t		size;
	FILE	   *out;

	if (sql == NULL)
		return call;
	out = open_memstream(&call.sql, &size);
	for (const char *p = sql; *p;)
	{
		Parameter	parameter = parameter_at(p);

		if (strncmp(p, literal_batch, strlen(literal_batch)) == 0)
		{
			fprintf(out, "%d", batch);
			p += strlen(literal_batch);
		}
		else if (parameter == NUM_PARAMETERS)
			fputc(*p++, out);
		else
		{
			fprintf(out, "$%d", position_of(&call, parameter));
			p += strlen(words[parameter]);
		}
	}
	fclose(out);
	free(sql);
	return call;
}

System
read_system(const char *path, int batch, bool prepared)
{
	char	   *text = read_whole(path);
	const char *complete = batch == 1 && has_section(text, "complete one") ? "complete one" : "complete";
	System		system = {
		.client = read_call(text, "client", batch, false),
		.claim = read_call(text, "claim", batch, prepared),
		.claim_unflushed = read_call(text, "claim unflushed", batch, prepared),
		.complete = read_call(text, complete, batch, prepared),
		.next = batch == 1 ? read_call(text, "next", batch, prepared) : (Call){0},
		.store = read_call(text, "store", batch, prepared),
		.ready = read_call(text, "ready", batch, false),
		.settled = read_call(text, "settled", batch, false),
		.check = read_call(text, "check", batch, false),
	};

	free(text);
	return system;
}

void
prepare_call(PGconn *connection, const Call *call)
{
	PGresult   *result;

	if (call->sql == NULL || *call->name == '\0')
		return;
	result = PQprepare(connection, call->name, call->sql, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die("%s in: %s", PQerrorMessage(connection), call->sql);
	PQclear(result);
}

void
send_call(PGconn *connection, const Call *call, const char *const *values)
{
	const char *params[NUM_PARAMETERS];
	int			sent;

	for (int i = 0; i < call->nparams; i++)
		params[i] = values[call->params[i]];
	if (*call->name)
		sent = PQsendQueryPrepared(connection, call->name, call->nparams, params, NULL, NULL, 0);
	else
		sent = PQsendQueryParams(connection, call->sql, call->nparams, NULL, params, NULL, NULL, 0);
	if (!sent)
		die("%s in: %s", PQerrorMessage(connection), call->sql);
}

PGresult *
run_call(PGconn *connection, const Call *call, const char *const *values)
{
	PGresult   *result;
	PGresult   *more;

	send_call(connection, call, values);
	result = PQgetResult(connection);
	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		die("%s in: %s", PQerrorMessage(connection), call->sql);
	while ((more = PQgetResult(connection)) != NULL)
		PQclear(more);
	return result;
}
