/*
 * One config's turn on the machine: its lane's process, its start, its run.
 *
 * The machine does not wait for the database: while a config runs, the result
 * before it is handed in and, near its end, the next batch is claimed.
 */
#include "turn.h"

#include "current.h"
#include "events.h"
#include "faults.h"
#include "handing.h"
#include "heartbeat.h"
#include "holdings.h"
#include "log.h"
#include "progress.h"

#include <math.h>
#include <string.h>

static bool
stopping(void)
{
	return events_stop_signal() != 0;
}

static DatabaseStatus
start(const Config *config)
{
	DatabaseStatus status = call_start(config);

	if (status != DATABASE_OK && strcmp(database_sqlstate(), "BO001") != 0)
	{
		holdings_doubt();
		log_message(LOG_ERROR, "start_refused", "config %s could not be started: %s", config->config_id,
					database_message());
	}
	return status;
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
	turn_close_lane();
	if (stopping() || config->dropped || start(config) != DATABASE_OK)
	{
		result_free(&result);
		return;
	}
	handing_keep(&result);
	holdings_release_waiting();
	handing_all();
}

/* Starts the lane's process for the config; true when it is ready. */
static bool
open_lane(const Config *config, const RunSettings *settings)
{
	Lane	   *lane = current_lane();

	lane_open(lane, config, settings);
	progress_changed();
	for (lane_step(lane); lane->state == LANE_STARTING && !stopping() && !config->dropped; lane_step(lane))
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
bring_up(const Config *config, const RunSettings *settings)
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

	if (!bring_up(config, settings))
		return;
	FAULT_POINT("before_start");
	if (start(config) != DATABASE_OK)
		return;
	FAULT_POINT("after_start");
	if (stopping())
		return;

	current_start(config, settings);
	handing_all();
	for (current_step(); current_config() != NULL; current_step())
		if (events_now() >= holdings_due())
			holdings_step();
		else
			heartbeat_wait(holdings_due());

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
