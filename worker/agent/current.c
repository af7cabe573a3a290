/*
 * The config that runs now, and the lane's process that may serve it.
 *
 * A run's end waits for nobody: its result is in the spool when current_step
 * returns, whatever the worker is busy with.
 */
#include "current.h"

#include "events.h"
#include "faults.h"
#include "handing.h"
#include "holdings.h"
#include "log.h"
#include "progress.h"

#include <string.h>

static Lane lane;
static Run	run;
static bool running;
static char outcome[24];		/* of the last run; empty: it was cut short */

Lane *
current_lane(void)
{
	return &lane;
}

void
current_start(const Config *config, const RunSettings *settings)
{
	Buffer	   *event;

	run_start(&run, config, &lane, settings);
	running = true;
	holdings_run_begins(config);
	progress_changed();
	event = log_begin(LOG_INFO, "run_start", NULL);
	json_string(event, "config_id", config->config_id);
	json_string(event, "framework", config->framework);
	log_end();
	FAULT_POINT("during_run");
}

const Config *
current_config(void)
{
	return running ? run.config : NULL;
}

const char *
current_outcome(void)
{
	return outcome[0] != '\0' ? outcome : NULL;
}

/*
 * A run that was cut short is released at the end, with all else.  Who stops
 * us may have told our processes as well (a batch system, a container's end):
 * that is why they crash.
 */
static bool
cut_short(bool preempted, const Result *result)
{
	return preempted || (events_stop_signal() != 0 && strcmp(result->outcome, "crash") == 0);
}

void
current_step(void)
{
	Result		result = {0};
	bool		preempted;

	if (!running || !run_done(&run))
		return;
	running = false;
	holdings_run_ended();
	preempted = run.preempted;
	run_finish(&run, &result);
	FAULT_POINT("after_run");
	outcome[0] = '\0';
	if (cut_short(preempted, &result))
	{
		result_free(&result);
		return;
	}
	strncpy(outcome, result.outcome, sizeof(outcome) - 1);
	handing_keep(&result);
	FAULT_POINT("after_spool");
}

void
current_drop(const Config *config)
{
	if (running && run.config == config)
		run_kill(&run);
}

void
current_kill(void)
{
	if (running)
		run_kill(&run);
	lane_kill(&lane);
}

void
current_log_tail(Buffer *out)
{
	if (running)
		run_log_tail(&run, out);
}
