/*
 * Presence: a session lock that shows the database that this worker lives.
 *
 * When the process dies, its socket closes and the server ends the session
 * and lets go of the lock: what the worker has not started is taken back at
 * once, not when its lease has run out.  That is all that presence is for;
 * where there is none, the lease decides.
 *
 * It has a connection of its own, and lives by handlers of the event loop
 * alone: nobody waits for it.  It goes to the very address of the main
 * connection, so no name is looked up.  Heartbeats go there, too: so no long
 * statement of the main connection delays them.
 *
 * Behind a transaction pooler the lock would be another client's: there the
 * server's process is not the one that libpq was told of, announce() is not
 * called, presence stays off, and the connection is for heartbeats alone.
 */
#include "presence.h"

#include "buffer.h"
#include "database.h"
#include "events.h"
#include "faults.h"
#include "log.h"

#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_SECONDS 30.0
#define ANSWER_SECONDS 30.0
#define PAUSE_FIRST 0.5
#define PAUSE_LAST 30.0

static enum {
	PRESENCE_OFF,
	PRESENCE_AWAY,				/* no connection; the timer begins the next try */
	PRESENCE_CONNECTING,
	PRESENCE_ASKING,			/* announce() is under way */
	PRESENCE_TAKEN,				/* another session held the lock; the timer asks again */
	PRESENCE_SHOWN,
	PRESENCE_POOLED				/* connected to a pooler: no presence, but heartbeats */
} state = PRESENCE_OFF;

static char id[40];
static PGconn *connection;
static int	watched = -1;		/* its socket in the event loop */
static Timer timer;				/* the next try, or the end of our patience */
static PGresult *answer;
static double pause_length;
static bool first;				/* no try has come to an end yet */
static bool told;				/* that it is not shown */
static void (*asked)(const PGresult *result);	/* who waits for the answer to a statement of presence_ask */
static int	unsent;				/* 1: some of it waits for the socket */

static void try_to_connect(void *context);
static void ready(void *context);

static void
watch(short wanted)
{
	int			fd = PQsocket(connection);

	if (watched >= 0 && watched != fd)
		events_unwatch(watched);
	watched = fd;
	events_watch(fd, wanted, ready, NULL);
}

static void
disconnect(void)
{
	PQclear(answer);
	answer = NULL;
	asked = NULL;
	events_clear_timer(&timer);
	if (watched >= 0)
		events_unwatch(watched);
	watched = -1;
	PQfinish(connection);
	connection = NULL;
}

/* Growing pauses, each between half and all of its length. */
static void
pause_before(void (*next)(void *context))
{
	events_set_timer(&timer, events_now() + pause_length * (0.5 + 0.5 * drand48()), next, NULL);
	pause_length = fmin(pause_length * 2, PAUSE_LAST);
}

static void
tell(const char *why)
{
	if (!told)
		log_message(LOG_WARNING, "presence_lost", "presence is not shown, the lease decides: %.*s",
					(int) strcspn(why, "\n"), why);
	told = true;
}

static void
lost(const char *why)
{
	tell(why);
	disconnect();
	state = PRESENCE_AWAY;
	first = false;
	pause_before(try_to_connect);
}

static void
patience_over(void *context)
{
	(void) context;
	lost("no answer from the database in time");
}

static void
turn_off(const char *why)
{
	log_message(LOG_INFO, "presence_off", "presence is off, the lease decides: %s", why);
	disconnect();
	state = PRESENCE_OFF;
	first = false;
}

static void
announce(void *context)
{
	char		pid[16];
	const char *const values[] = {pid, id};

	(void) context;
	snprintf(pid, sizeof(pid), "%d", PQbackendPID(connection));
	state = PRESENCE_ASKING;
	events_set_timer(&timer, events_now() + ANSWER_SECONDS, patience_over, NULL);
	if (PQsendQueryParams(connection,
						  "SELECT CASE WHEN pg_catalog.pg_backend_pid() = $1::int THEN benchorch.announce($2) END", 2,
						  NULL, values, NULL, NULL, 0) != 1)
		lost(PQerrorMessage(connection));
	else
		watch(POLLIN | POLLOUT);
}

static void
shown(void)
{
	state = PRESENCE_SHOWN;
	pause_length = PAUSE_FIRST;
	first = told = false;
	log_message(LOG_INFO, "presence", "presence is shown");
}

/* By the session of a process before us that has not ended yet, or for an instant by somebody who looks. */
static void
taken(void)
{
	if (pause_length > PAUSE_FIRST)
		tell("another session of this worker holds the lock");
	state = PRESENCE_TAKEN;
	first = false;
	pause_before(announce);
}

/* The answer to announce(). */
static void
judge(void)
{
	const char *sqlstate = PQresultErrorField(answer, PG_DIAG_SQLSTATE);

	events_clear_timer(&timer);
	if (PQresultStatus(answer) == PGRES_TUPLES_OK && PQntuples(answer) == 1)
	{
		if (PQgetisnull(answer, 0, 0))
		{
			log_message(LOG_INFO, "presence_off",
						"presence is off, the lease decides: there is a pooler between the worker and the database");
			state = PRESENCE_POOLED;
			first = false;
		}
		else if (PQgetvalue(answer, 0, 0)[0] == 't')
			shown();
		else
			taken();
	}
	else if (sqlstate != NULL && strcmp(sqlstate, "42883") == 0)
		turn_off("the extension in the database is older than this worker");
	else
		lost(answer ? PQresultErrorMessage(answer) : PQerrorMessage(connection));
	PQclear(answer);
	answer = NULL;
}

/* The answer to a statement of presence_ask. */
static void
pass_on(void)
{
	void (*whom)(const PGresult *result) = asked;
	PGresult   *result = answer;

	events_clear_timer(&timer);
	asked = NULL;
	answer = NULL;
	if (PQstatus(connection) == CONNECTION_BAD)
		lost(PQerrorMessage(connection));
	else
		whom(result);
	PQclear(result);
}

bool
presence_ask(const char *sql, int nparams, const DatabaseParam *params, void (*answer_handler)(const PGresult *result))
{
	const char *values[4];
	int			lengths[4], formats[4];

	if ((state != PRESENCE_SHOWN && state != PRESENCE_POOLED) || asked != NULL)
		return false;
	for (int i = 0; i < nparams; i++)
	{
		values[i] = params[i].bytes;
		lengths[i] = (int) params[i].len;
		formats[i] = params[i].binary;
	}
	if (PQsendQueryParams(connection, sql, nparams, NULL, values, lengths, formats, 0) != 1)
	{
		lost(PQerrorMessage(connection));
		return false;
	}
	asked = answer_handler;
	unsent = PQflush(connection);
	if (unsent == 0)
		FAULT_SENT(sql);
	events_set_timer(&timer, events_now() + ANSWER_SECONDS, patience_over, NULL);
	watch(unsent ? POLLIN | POLLOUT : POLLIN);
	return true;
}

bool
presence_is_asked(void)
{
	return asked != NULL;
}

bool
presence_is_sending(void)
{
	return asked != NULL && unsent != 0;
}

static void
continue_connecting(PostgresPollingStatusType polled)
{
	if (polled == PGRES_POLLING_FAILED)
		lost(PQerrorMessage(connection));
	else if (polled == PGRES_POLLING_OK)
	{
		PQsetnonblocking(connection, 1);
		announce(NULL);
	}
	else
		watch(polled == PGRES_POLLING_READING ? POLLIN : POLLOUT);
}

static void
ignore_notice(void *context, const PGresult *notice)
{
	(void) context;
	(void) notice;
}

static void
try_to_connect(void *context)
{
	(void) context;
	connection = database_begin_beside("benchorch-worker presence");
	if (connection == NULL)
	{
		/* the main connection is away itself */
		pause_length = PAUSE_FIRST;
		pause_before(try_to_connect);
		return;
	}
	PQsetNoticeReceiver(connection, ignore_notice, NULL);
	state = PRESENCE_CONNECTING;
	events_set_timer(&timer, events_now() + CONNECT_SECONDS, patience_over, NULL);
	continue_connecting(PQstatus(connection) == CONNECTION_BAD ? PGRES_POLLING_FAILED : PGRES_POLLING_WRITING);
}

/* The socket is ready: for the next step, or because the connection ends. */
static void
ready(void *context)
{
	(void) context;
	if (state == PRESENCE_CONNECTING)
	{
		continue_connecting(PQconnectPoll(connection));
		return;
	}
	unsent = PQflush(connection);
	if (unsent < 0 || PQconsumeInput(connection) != 1)
	{
		lost(PQerrorMessage(connection));
		return;
	}
	watch(unsent ? POLLIN | POLLOUT : POLLIN);
	while ((state == PRESENCE_ASKING || asked != NULL) && !PQisBusy(connection))
	{
		PGresult   *result = PQgetResult(connection);

		if (result == NULL && asked != NULL)
			pass_on();
		else if (result == NULL)
			judge();
		else
		{
			PQclear(answer);
			answer = result;
		}
	}
}

void
presence_start(const char *worker_id)
{
	if (strcmp(id, worker_id) == 0)
		return;
	presence_stop();
	snprintf(id, sizeof(id), "%s", worker_id);
	pause_length = PAUSE_FIRST;
	first = true;
	told = false;
	try_to_connect(NULL);
}

void
presence_stop(void)
{
	disconnect();
	state = PRESENCE_OFF;
	first = false;
	id[0] = '\0';
}

bool
presence_begins(void)
{
	return first;
}
