/*
 * One config's turn on the machine: its lane's process, its start, its run.
 *
 * The machine does not wait for the database: while a config runs, its start
 * is answered, the result before it is handed in and, near its end, the next
 * batch is claimed.
 *
 * A config that kills its worker must be blamed for that, so no command of a
 * config is begun before the start call has left: the kernel has all of its
 * bytes, and delivers them whatever becomes of this process.  It goes beside
 * the main connection, on the one that shows presence.  The server reads one
 * connection in order: it has carried out the start before it finds out that
 * the process has gone and takes back what had not begun.  Where that
 * connection is busy or not there, start is called on the main one, and its
 * answer awaited.
 *
 * Where the answer says that the claim is gone the run is killed; where it
 * had ended, its result is handed in and kept as unaccepted.  Nothing is
 * handed in for a config, and no other begun, before its start was answered.
 */
#include "turn.h"

#include "current.h"
#include "events.h"
#include "faults.h"
#include "handing.h"
#include "heartbeat.h"
#include "holdings.h"
#include "log.h"
#include "presence.h"
#include "progress.h"

#include <math.h>
#include <string.h>

static bool
stopping(void)
{
	return events_stop_signal() != 0;
}

/* --------------------------------------------------------------- starting */

static bool start_unanswered;	/* it went beside the main connection */

bool
turn_is_known(void)
{
	return !start_unanswered;
}

/* Calls start on the main connection: whether the claim holds. */
static bool
start_and_wait(const Config *config)
{
	DatabaseStatus status = call_start(config);

	start_unanswered = false;
	if (status == DATABASE_OK)
	{
		FAULT_POINT("after_start");
		return true;
	}
	if (strcmp(database_sqlstate(), "BO001") == 0)
		log_message(LOG_INFO, "start_refused", "config %s is not ours any more: %s", config->config_id,
					database_message());
	else
	{
		holdings_doubt();
		log_message(LOG_ERROR, "start_refused", "config %s could not be started: %s", config->config_id,
					database_message());
	}
	return false;
}

/* A start that is refused is asked for again, by start_confirm, which judges the answer. */
static void
start_answered(const PGresult *result)
{
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		return;
	start_unanswered = false;
	FAULT_POINT("after_start");
}

/* Sends the start call; false where the claim is known to be gone, or the worker stops. */
static bool
start(const Config *config)
{
	bool		beside;

	FAULT_POINT("before_start");
	beside = start_unanswered = call_start_beside(config, start_answered);
	while (presence_is_sending() && !stopping())
		heartbeat_wait(EVENTS_NEVER);
	if (stopping())
		return false;
	if (beside && (presence_is_asked() || !start_unanswered))
		return true;
	return start_and_wait(config) && !stopping();
}

/* Whether the answer will not come by itself: refused, lost, or there is no time to wait for it. */
static bool
start_needs_asking(void)
{
	return start_unanswered && (!presence_is_asked() || stopping());
}

/* Asks once more, beside what runs; ends that where the claim is gone. */
static void
start_confirm(Config *config)
{
	if (start_and_wait(config))
		return;
	config->dropped = true;
	current_drop(config);
}

/* ---------------------------------------------------------------- the lane */

void
turn_close_lane(void)
{
	Lane	   *lane = current_lane();

	if (stopping())
		lane_kill(lane);
	lane_close(lane);
	for (lane_step(lane); lane->state != LANE_CLOSED; lane_step(lane))
		heartbeat_wait(EVENTS_NEVER);
}

/*
 * The lane's process did not become ready: that is the config's outcome.  What
 * waits in the batch is of the same lane: it goes back, so that the database
 * decides what becomes of it.
 */
static void
keep_failed_lane(const Config *config, const RunSettings *settings)
{
	Result		result = {0};

	run_without_lane(config, current_lane(), settings, &result);
	if (stopping() || config->dropped)
		result_free(&result);
	else
		handing_keep(&result);
	turn_close_lane();
	if (stopping() || config->dropped)
		return;
	holdings_release_waiting();
	handing_all();
}

/*
 * Starts the lane's process for the config; true when it is ready.  A loss of
 * the worker meanwhile is blamed on the config.
 */
static bool
open_lane(Config *config, const RunSettings *settings)
{
	Lane	   *lane = current_lane();

	if (!start(config))
		return false;
	lane_open(lane, config, settings);
	progress_changed();
	for (lane_step(lane); lane->state == LANE_STARTING && !stopping() && !config->dropped; lane_step(lane))
		if (start_needs_asking())
			start_confirm(config);
		else
			heartbeat_wait(lane_due(lane));
	if (lane->state == LANE_READY)
		return true;
	if (lane->state == LANE_FAILED)
		keep_failed_lane(config, settings);
	else
		turn_close_lane();
	return false;
}

/* Whether the config can be run now, by the lane's process where its protocol has one. */
static bool
bring_up(Config *config, const RunSettings *settings)
{
	Lane	   *lane = current_lane();
	bool		needs_lane = config->protocol != PROTOCOL_ONESHOT;

	if (needs_lane && lane_serves(lane, config))
		return true;
	if (lane->state != LANE_CLOSED || needs_lane)
		handing_all();			/* what follows may take minutes */
	turn_close_lane();
	if (stopping() || config->dropped)
		return false;
	return !needs_lane || open_lane(config, settings);
}

/* ----------------------------------------------------------------- the run */

void
turn_take(Config *config, const RunSettings *settings)
{
	const char *outcome;

	if (!bring_up(config, settings) || !start(config))
		return;
	current_start(config, settings);
	handing_next();				/* one: if the run has ended meanwhile, the next comes first */
	for (current_step(); current_config() != NULL || start_unanswered; current_step())
	{
		/* nothing is handed back meanwhile: what has not begun for the database would go, too */
		double		due = start_unanswered ? EVENTS_NEVER : holdings_due();

		if (start_needs_asking())
			start_confirm(config);
		else if (events_now() >= due)
			holdings_step();
		else
			heartbeat_wait(due);
	}

	/*
	 * What went wrong may change what comes next: configs are pruned, if they
	 * wait for no worker, and this worker is quarantined.
	 */
	outcome = current_outcome();
	if (outcome == NULL)
		return;
	if (strcmp(outcome, "gpu_oom") == 0 && holdings_wait())
		holdings_release_waiting();
	if (strcmp(outcome, "ok") != 0)
		handing_all();
}
