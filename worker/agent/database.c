/*
 * The connection: a query is answered, refused, or given up.
 *
 * Only unnamed parameterised statements, each a transaction of its own: it
 * works through a pooler that gives every transaction another server
 * connection.  No session state is set or relied on.
 *
 * Nothing here blocks: connecting and waiting for answers go through the
 * event loop, so a benchmark is drained and its deadline kept while the
 * database is away.  A name look-up is the exception; libpq does it at once.
 *
 * A dead network is noticed by TCP (keepalives, tcp_user_timeout, which the
 * connection string may override) and by a limit for each answer.
 */
#include "database.h"

#include "events.h"
#include "faults.h"
#include "hosts.h"
#include "log.h"

#include <math.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_SECONDS 30.0	/* for a host, unless the connection string has a connect_timeout */
#define ANSWER_SECONDS 60.0
#define SECONDS_PER_MEGABYTE 1.0	/* more for what is sent */
#define PAUSE_FIRST 0.5
#define PAUSE_LAST 30.0

static PGconn *connection;
static int	watched = -1;		/* its socket in the event loop */
static const char *conninfo;
static const char *application;
static double limit = EVENTS_NEVER;
static bool interrupted;
static bool was_connected;
static bool hopeless;			/* the first connection has failed, and trying again cannot help */
static char sqlstate[6];
static Buffer message;
static Buffer address;

void
database_init(const char *info, const char *application_name)
{
	conninfo = info;
	application = application_name;
}

static void
disconnect(void)
{
	if (watched >= 0)
		events_unwatch(watched);
	watched = -1;
	PQfinish(connection);
	connection = NULL;
}

void
database_close(void)
{
	disconnect();
	hosts_forget();
	buffer_free(&message);
	buffer_free(&address);
}

void
database_set_limit(double new_limit)
{
	limit = new_limit;
}

/* Waits in the event loop until the socket is ready or the time has come; false for the latter. */
static bool
wait_for_socket(short wanted, double until)
{
	int			fd = PQsocket(connection);

	if (watched >= 0 && watched != fd)
		events_unwatch(watched);
	watched = fd;
	events_watch(fd, wanted, NULL, NULL);
	events_wait(fmin(until, limit));
	return events_now() < fmin(until, limit);
}

/* Growing pauses, each between half and all of its length. */
static void
pause_before_retry(double *pause)
{
	double		until = events_now() + *pause * (0.5 + 0.5 * drand48());

	while (events_now() < fmin(until, limit))
		events_wait(fmin(until, limit));
	*pause = fmin(*pause * 2, PAUSE_LAST);
}

static void
keep_error(const char *state, const char *text)
{
	size_t		len = strlen(text);

	while (len > 0 && text[len - 1] == '\n')
		len--;
	strncpy(sqlstate, state ? state : "", sizeof(sqlstate) - 1);
	buffer_reset(&message);
	buffer_append(&message, text, len);
}

static void
log_notice(void *context, const PGresult *notice)
{
	const char *text = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);

	(void) context;
	log_message(LOG_INFO, "notice", "%s", text ? text : PQresultErrorMessage(notice));
}

/* What libpq is told; where, if not as the connection string says. */
typedef struct Keywords
{
	const char *names[12];
	const char *values[12];
} Keywords;

/* The connection string may override what stands before it, and what stands after it overrides the string. */
static Keywords
make_keywords(const char *application_name, const char *host, const char *hostaddr, const char *port)
{
	return (Keywords){
		{"client_encoding", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout",
		 "fallback_application_name", "dbname", "host", "hostaddr", "port", NULL},
		{"UTF8", "10", "5", "3", "10000", application_name, conninfo, host, hostaddr, port, NULL},
	};
}

static PGconn *
begin_connection(const char *application_name, const char *host, const char *hostaddr, const char *port)
{
	Keywords	keywords = make_keywords(application_name, host, hostaddr, port);

	return PQconnectStartParams(keywords.names, keywords.values, 1);
}

PGconn *
database_begin_beside(const char *application_name)
{
	if (connection == NULL || PQstatus(connection) != CONNECTION_OK)
		return NULL;
	return begin_connection(application_name, PQhost(connection), PQhostaddr(connection), PQport(connection));
}

/* Whether libpq finds no sense in what it is told, and does not even try; asked after a try has failed at once. */
static bool
makes_no_sense(void)
{
	Keywords	keywords = make_keywords(application, NULL, NULL, NULL);

	/* of numbers that are none PQping says that the server does not answer */
	return PQpingParams(keywords.names, keywords.values, 1) == PQPING_NO_ATTEMPT ||
		strncmp(buffer_text(&message), "invalid ", 8) == 0;
}

/*
 * The server's SQLSTATE in a line of an error of libpq's, which tells it in
 * verbose messages only: "FATAL:  28P01: text".  NULL where there is none.
 */
static const char *
find_sqlstate(const char *line, size_t len)
{
	static const char digits[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

	for (size_t i = 0; i + 10 <= len; i++)
		if (strncmp(line + i, ":  ", 3) == 0 && strspn(line + i + 3, digits) == 5 &&
			strncmp(line + i + 8, ": ", 2) == 0)
			return line + i + 3;
	return NULL;
}

/* Keeps a verbose error: its SQLSTATE, and its text as it is told otherwise. */
static void
keep_verbose_error(const char *text)
{
	char		state[6] = "";
	Buffer		plain = {0};

	for (const char *line = text; *line != '\0';)
	{
		size_t		len = strcspn(line, "\n");
		const char *at = find_sqlstate(line, len);

		if (at != NULL)
		{
			memcpy(state, at, 5);
			buffer_append(&plain, line, at - line);
			buffer_append(&plain, at + 7, line + len - at - 7);
		}
		else if (strncmp(line, "LOCATION:", 9) != 0)
			buffer_append(&plain, line, len);
		buffer_puts(&plain, "\n");
		line += len + (line[len] == '\n');
	}
	keep_error(state, buffer_text(&plain));
	buffer_free(&plain);
}

/* No such user, database or right, or a setting that the server does not know. */
static bool
refused_for_good(void)
{
	static const char *const classes[] = {"22", "28", "3D", "42"};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++)
		if (strncmp(sqlstate, classes[i], 2) == 0)
			return true;
	return false;
}

/* One try; false, with the error kept, where it failed. */
static bool
try_to_connect(void)
{
	const char *host;
	double		until, patience;
	bool		at_once;
	PostgresPollingStatusType state = PGRES_POLLING_WRITING;

	connection = begin_connection(application, hosts_first(), hosts_first_address(), hosts_first_port());
	at_once = PQstatus(connection) == CONNECTION_BAD;
	PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
	patience = hosts_patience(connection, CONNECT_SECONDS);
	until = events_now() + patience;
	host = PQhost(connection);
	while (PQstatus(connection) != CONNECTION_BAD && state != PGRES_POLLING_OK && state != PGRES_POLLING_FAILED)
	{
		/* libpq closes and opens sockets as it goes through the hosts */
		if (!wait_for_socket(state == PGRES_POLLING_READING ? POLLIN : POLLOUT, until))
			break;
		state = PQconnectPoll(connection);
		if (watched >= 0 && PQsocket(connection) != watched)
		{
			events_unwatch(watched);
			watched = -1;
		}
		if (PQhost(connection) != host)
			until = events_now() + patience;
		host = PQhost(connection);
	}
	if (state == PGRES_POLLING_OK)
	{
		PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
		PQsetnonblocking(connection, 1);
		PQsetNoticeReceiver(connection, log_notice, NULL);
		buffer_reset(&address);
		buffer_printf(&address, "%s:%s/%s", PQhost(connection), PQport(connection), PQdb(connection));
		was_connected = true;
		return true;
	}
	if (PQstatus(connection) == CONNECTION_BAD)
	{
		keep_verbose_error(PQerrorMessage(connection));
		if (PQconnectionNeedsPassword(connection))
			strcpy(sqlstate, "28P01");
	}
	else
	{
		keep_error(NULL, "connection timed out");
		hosts_turn(connection);
	}
	disconnect();
	hopeless = !was_connected && (refused_for_good() || (at_once && sqlstate[0] == '\0' && makes_no_sense()));
	return false;
}

bool
database_connect(void)
{
	double		pause = PAUSE_FIRST;
	bool		told = false;

	while (connection == NULL)
	{
		if (try_to_connect())
			break;
		if (hopeless)
			return false;
		if (!told)
			log_message(LOG_WARNING, "database_away", "database is away, trying again: %s", buffer_text(&message));
		told = true;
		if (events_now() >= limit)
			return false;
		pause_before_retry(&pause);
	}
	if (told)
		log_message(LOG_INFO, "database_back", "database is back: %s", buffer_text(&address));
	return true;
}

/* Sends and waits for the answer; NULL, disconnected, where the connection is lost. */
static PGresult *
try_query(const char *sql, int nparams, const DatabaseParam *params)
{
	const char *values[8];
	int			lengths[8], formats[8];
	size_t		total = 0;
	double		until;
	int			unsent = 1;
	PGresult   *result = NULL, *next;
	bool		ok, ended = false;

	for (int i = 0; i < nparams; i++)
	{
		values[i] = params[i].bytes;
		lengths[i] = (int) params[i].len;
		formats[i] = params[i].binary;
		total += params[i].len;
	}
	until = events_now() + ANSWER_SECONDS + SECONDS_PER_MEGABYTE * total / 1e6;

	ok = PQsendQueryParams(connection, sql, nparams, NULL, values, lengths, formats, 0) == 1;
	while (ok && !ended)
	{
		if (unsent > 0 && (unsent = PQflush(connection)) == 0)
			FAULT_SENT(sql);
		ok = unsent >= 0 && PQconsumeInput(connection) == 1;
		/* between the answer and the end of its transaction the server may take its time */
		while (ok && unsent == 0 && !ended && !PQisBusy(connection))
		{
			next = PQgetResult(connection);
			ended = next == NULL;
			if (ended)
				break;
			PQclear(result);
			result = next;
		}
		if (ok && !ended && !wait_for_socket(unsent ? POLLIN | POLLOUT : POLLIN, until))
		{
			keep_error(NULL, "no answer from the database in time");
			PQclear(result);
			disconnect();
			return NULL;
		}
	}
	if (watched >= 0)
		events_unwatch(watched);
	watched = -1;

	/* an error that ends the connection says nothing about the statement */
	if (!ended || result == NULL || PQstatus(connection) == CONNECTION_BAD)
	{
		keep_error(result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL, PQerrorMessage(connection));
		PQclear(result);
		disconnect();
		return NULL;
	}
	return result;
}

/* Message, detail and hint in one line; where in our own SQL it happened is of no interest. */
static void
describe_error(const PGresult *result, Buffer *text)
{
	static const struct
	{
		int			field;
		const char *before;
	} parts[] = {{PG_DIAG_MESSAGE_PRIMARY, ""}, {PG_DIAG_MESSAGE_DETAIL, "; "}, {PG_DIAG_MESSAGE_HINT, "; "}};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
	{
		const char *part = PQresultErrorField(result, parts[i].field);

		if (part != NULL)
			buffer_printf(text, "%s%s", parts[i].before, part);
	}
}

/* Whether the same statement may succeed a little later. */
static bool
passing(const char *state)
{
	static const char *const states[] = {
		"08", "40", "53", "57", "55P03",	/* connection, serialization, resources, operator, lock */
		"25006",				/* read only: a primary that has become a standby */
	};

	for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++)
		if (strncmp(state, states[i], strlen(states[i])) == 0)
			return true;
	return false;
}

DatabaseStatus
database_query(const char *sql, int nparams, const DatabaseParam *params, PGresult **result)
{
	double		pause = PAUSE_FIRST;

	interrupted = false;
	*result = NULL;
	for (;;)
	{
		ExecStatusType status;
		const char *state;
		Buffer		text = {0};

		if (events_now() >= limit || !database_connect())
			return DATABASE_AWAY;
		*result = try_query(sql, nparams, params);
		if (*result == NULL)
		{
			log_message(LOG_WARNING, "database_lost", "connection lost: %s", buffer_text(&message));
			interrupted = true;
			pause_before_retry(&pause);
			continue;
		}
		status = PQresultStatus(*result);
		if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
			return DATABASE_OK;

		state = PQresultErrorField(*result, PG_DIAG_SQLSTATE);
		describe_error(*result, &text);
		keep_error(state, buffer_text(&text));
		buffer_free(&text);
		PQclear(*result);
		*result = NULL;
		if (!passing(sqlstate))
			return DATABASE_REFUSED;
		log_message(LOG_WARNING, "database_retry", "trying again: %s", buffer_text(&message));
		if (strcmp(sqlstate, "25006") == 0)
			disconnect();
		/* the server has waited already */
		if (strcmp(sqlstate, "55P03") == 0)
			pause = PAUSE_FIRST;
		pause_before_retry(&pause);
	}
}

bool
database_is_hopeless(void)
{
	return hopeless;
}

bool
database_interrupted(void)
{
	return interrupted;
}

const char *
database_sqlstate(void)
{
	return sqlstate;
}

const char *
database_message(void)
{
	return buffer_text(&message);
}

const char *
database_address(void)
{
	return buffer_text(&address);
}
