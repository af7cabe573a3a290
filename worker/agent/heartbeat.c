/*
 * Heartbeats, and the waiting in which they go on.
 *
 * A heartbeat goes beside the main connection where that is possible, from a
 * timer that nothing delays; otherwise on the main connection, where we may
 * wait.  It tells what runs and the end of its log, and is told which claims
 * the database has ended.
 */
#include "heartbeat.h"

#include "calls.h"
#include "current.h"
#include "events.h"
#include "holdings.h"
#include "log.h"
#include "progress.h"
#include "registration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static double next;				/* when it is due */
static Timer timer;
static char *asked_config, *asked_claim;	/* what ran when the last heartbeat was sent */
static bool stop_seen;			/* what waits has been handed back */

static void timer_fired(void *context);

/* ---------------------------------------------------------------- verdicts */

/*
 * The claims that the database has ended: do not begin them, kill what runs.
 * A verdict without claim is about the one that ran when it was asked for, and
 * is forgotten altogether; one with another claim is about an earlier one that
 * we may have had.
 */
static void
obey_verdicts(const PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++)
	{
		const char *config_id = PQgetvalue(result, i, 0);
		const char *claim_id = PQgetvalue(result, i, 1);
		const Config *config;
		Buffer	   *event;

		if (*claim_id == '\0' && asked_config != NULL && strcmp(config_id, asked_config) == 0)
			claim_id = asked_claim;
		config = holdings_drop(config_id, claim_id);
		if (config == NULL)
			continue;
		current_drop(config);
		event = log_begin(LOG_INFO, "dropped", NULL);
		json_string(event, "config_id", config_id);
		json_string(event, "verdict", PQgetvalue(result, i, 2));
		log_end();
	}
}

static void
answered(const PGresult *result)
{
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		obey_verdicts(result);
	else
		log_message(LOG_ERROR, "heartbeat_refused", "heartbeat: %s", PQresultErrorMessage(result));
}

static void
forget_asked(void)
{
	free(asked_config);
	free(asked_claim);
	asked_config = asked_claim = NULL;
}

/* ----------------------------------------------------------------- sending */

/* On the main connection, until it is answered. */
static void
ask_and_wait(const char *config_id, const Buffer *tail)
{
	PGresult   *result;
	DatabaseStatus status = call_heartbeat(registration_id(), config_id, tail->data, tail->len, &result);

	if (status == DATABASE_OK)
		obey_verdicts(result);
	else if (status == DATABASE_REFUSED)
		log_message(LOG_ERROR, "heartbeat_refused", "heartbeat: %s", database_message());
	PQclear(result);
}

static void
heartbeat(bool may_wait)
{
	const Config *config = current_config();
	const char *config_id = config ? config->config_id : NULL;
	Buffer		tail = {0};
	bool		beside;

	forget_asked();
	if (config != NULL)
	{
		asked_config = xstrdup(config->config_id);
		asked_claim = xstrdup(config->claim_id);
		current_log_tail(&tail);
	}
	beside = call_heartbeat_beside(registration_id(), config_id, tail.data, tail.len, answered);
	if (!beside && may_wait)
		ask_and_wait(asked_config, &tail);
	if (beside || may_wait)
		next = events_now() + registration_heartbeat();
	events_set_timer(&timer, fmax(next, events_now() + registration_heartbeat() / 4), timer_fired, NULL);
	buffer_free(&tail);
}

/* Whatever the main connection is busy with. */
static void
timer_fired(void *context)
{
	(void) context;
	heartbeat(false);
}

void
heartbeat_begin(void)
{
	next = events_now() + registration_heartbeat();
	events_set_timer(&timer, next, timer_fired, NULL);
}

void
heartbeat_end(void)
{
	events_clear_timer(&timer);
	forget_asked();
}

/* ----------------------------------------------------------------- waiting */

void
heartbeat_if_due(void)
{
	if (events_now() >= next)
		heartbeat(true);
}

void
heartbeat_wait(double until)
{
	bool		stopping = events_stop_signal() != 0;

	if (stopping && !stop_seen)
	{
		stop_seen = true;
		holdings_release_waiting();
	}
	else if (events_now() >= next)
		heartbeat(true);
	else if (events_now() >= progress_due())
		progress_show(current_config(), stopping ? "stopping" : "waiting for work");
	else
		events_wait(fmin(until, fmin(next, progress_due())));
}
