/*
 * Talking to the database, for the benches.
 */
#define _GNU_SOURCE

#include "database.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

void
die(const char *format, ...)
{
	va_list		args;

	fputs("bench: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	exit(1);
}

double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

PGconn *
connect_to(const char *conninfo)
{
	PGconn	   *connection = PQconnectdb(conninfo);

	if (PQstatus(connection) != CONNECTION_OK)
		die("%s", PQerrorMessage(connection));
	return connection;
}

PGresult *
query(PGconn *connection, const char *sql, int nparams, const char *const *params)
{
	PGresult   *result = PQexecParams(connection, sql, nparams, NULL, params, NULL, NULL, 0);

	if (PQresultStatus(result) != PGRES_TUPLES_OK && PQresultStatus(result) != PGRES_COMMAND_OK)
		die("%s in: %s", PQerrorMessage(connection), sql);
	return result;
}

char *
ask(PGconn *connection, const char *sql)
{
	PGresult   *result = query(connection, sql, 0, NULL);
	char	   *value = strdup(PQntuples(result) ? PQgetvalue(result, 0, 0) : "");

	PQclear(result);
	return value;
}

double
ask_number(PGconn *connection, const char *sql)
{
	char	   *value = ask(connection, sql);
	double		number = strtod(value, NULL);

	free(value);
	return number;
}
