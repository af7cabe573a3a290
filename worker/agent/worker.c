/*
 * The life of a registered worker: claim, run, hand in, heartbeat, hand back.
 *
 * One thing after the other, in plain sequence; all waiting is done in the
 * event loop, where the run's output, its deadline and the signals are served
 * whatever the worker waits for.  Who it is stands in registration.c, what it
 * holds in holdings.c, what it runs in turn.c and current.c, the way of a
 * result in handing.c.
 *
 * A run whose claim is gone is killed and not handed in; what had ended before
 * that was known is, and is kept as unaccepted.
 *
 * After the first stop signal no config is begun, what waits is handed back
 * at once, and the one that runs has --grace to end.  The second ends it now.
 */
#include "worker.h"

#include "current.h"
#include "events.h"
#include "handing.h"
#include "heartbeat.h"
#include "holdings.h"
#include "log.h"
#include "preemption.h"
#include "presence.h"
#include "progress.h"
#include "registration.h"
#include "turn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define IDLE_PAUSE_FIRST 1.0
#define IDLE_PAUSE_LAST 5.0		/* no more than what is left behind may wait */
#define HAND_BACK_SECONDS 2.0	/* for the last words after the grace */
#define SICK_PAUSE 30.0			/* between two looks at a sick machine */
#define PRESENCE_SECONDS 2.0	/* that the first claim waits for presence */
#define LANE_IDLE 60.0			/* that a lane's process is kept while there is no work */

static WorkerSetup setup;
static Timer grace_timer;

/* --------------------------------------------------------------- stopping */

static bool
stopping(void)
{
	return events_stop_signal() != 0;
}

static void
grace_over(void *context)
{
	(void) context;
	current_kill();
}

/* What it did not hand back is handed back once more, on the main connection. */
static void
handed_back(const PGresult *result)
{
	(void) result;
}

void
worker_on_stop(int count)
{
	double		grace = count == 1 && current_config() != NULL ? setup.options->grace : 0;

	if (grace > 0)
		log_message(LOG_INFO, "stop", "stopping; what is under way has %g s to end", grace);
	else
		log_message(LOG_INFO, "stop", "stopping");
	/* at once, even if the main connection waits for something */
	if (count == 1 && turn_is_known())
		call_release_waiting_beside(registration_id(), handed_back);
	database_set_limit(events_now() + grace + HAND_BACK_SECONDS);
	if (grace > 0)
		events_set_timer(&grace_timer, events_now() + grace, grace_over, NULL);
	else
		grace_over(NULL);
}

int
worker_register(const WorkerSetup *new_setup)
{
	setup = *new_setup;
	if (!setup.options->register_only)
	{
		DatabaseStatus status = handing_begin(setup.options->spool);

		if (status != DATABASE_OK)
			return registration_failure(status, "could not identify the database");
	}
	holdings_begin(&setup);
	return registration_begin(&setup);
}

/* ---------------------------------------------------------------- claiming */

/* Claims a batch while nothing runs; 0, or the exit code. */
static int
claim(void)
{
	DatabaseStatus status = holdings_claim();

	/* the worker's row is gone: the database is another, or a restored one */
	if (status == DATABASE_REFUSED && strcmp(database_sqlstate(), "42704") == 0 && registration_renew() == 0)
		status = holdings_claim();
	return status == DATABASE_OK || stopping() ? 0 : registration_failure(status, "could not claim");
}

/*
 * Claims, unless the machine is not fit for work: then it waits, because one
 * broken machine would fail many configs.  0, or the exit code.
 */
static int
claim_if_well(void)
{
	double		until = events_now() + SICK_PAUSE;

	if (registration_is_well(current_lane()->state == LANE_CLOSED))
		return claim();
	if (setup.options->until_settled)
		return EXIT_TEMPORARY;
	while (events_now() < until && !stopping())
		heartbeat_wait(until);
	return 0;
}

/* The next config to run, NULL where there is none now; *code is the exit code where claiming failed. */
static Config *
next_config(int *code)
{
	Config	   *config = holdings_next();

	if (config != NULL)
		return config;
	handing_all();
	*code = claim_if_well();
	return holdings_next();
}

/* ---------------------------------------------------------------- idleness */

/* Whether --until-settled has come to its end; *code is the exit code where asking failed. */
static bool
settled(int *code)
{
	const Options *options = setup.options;
	long long	left;
	DatabaseStatus status;

	if (!options->until_settled)
		return false;
	status = call_left(registration_id(), options->model, options->priority_threshold, &left);
	if (status != DATABASE_OK && !stopping())
		*code = registration_failure(status, "could not ask what is left");
	return status == DATABASE_OK && left == 0;
}

static void
log_idle(void)
{
	const Options *options = setup.options;
	Buffer		why = {0};

	if (call_explain_empty(registration_id(), options->model, options->priority_threshold, &why) == DATABASE_OK)
		log_message(LOG_INFO, "idle", "%s", buffer_text(&why));
	buffer_free(&why);
}

/* A growing pause between two claims that get nothing, between half and all of its length. */
static void
pause_idly(double *pause)
{
	double		until = events_now() + *pause * (0.5 + 0.5 * drand48());

	progress_changed();
	while (events_now() < until && !stopping())
		heartbeat_wait(until);
	*pause = fmin(*pause * 1.5, IDLE_PAUSE_LAST);
}

/* --------------------------------------------------------------- the loop */

/* Nothing is claimed that presence does not cover yet, unless it is long in coming. */
static void
wait_for_presence(void)
{
	double		until = events_now() + PRESENCE_SECONDS;

	while (presence_begins() && events_now() < until && !stopping())
		heartbeat_wait(until);
}

static int
work(void)
{
	double		pause = IDLE_PAUSE_FIRST;
	double		idle_since = 0;
	int			code = 0;

	wait_for_presence();
	while (!stopping())
	{
		Config	   *config = next_config(&code);

		if (code != 0)
			return code;
		if (config != NULL)
		{
			heartbeat_if_due();
			if (!config->dropped && !stopping())
				turn_take(config, &setup.run_settings);
			pause = IDLE_PAUSE_FIRST;
			idle_since = events_now();
			continue;
		}
		if (!stopping() && pause == IDLE_PAUSE_FIRST)
			log_idle();
		if (stopping() || settled(&code) || code != 0)
			return code;
		if (current_lane()->state != LANE_CLOSED && events_now() > idle_since + LANE_IDLE)
			turn_close_lane();
		pause_idly(&pause);
	}
	return code;
}

int
worker_work(void)
{
	int			code;

	progress_begin(setup.name, setup.hardware);
	heartbeat_begin();
	events_on_step(current_step);
	if (setup.options->preemption_check != NULL)
		preemption_watch(setup.options->preemption_check);
	code = work();
	preemption_stop();
	handing_all();
	turn_close_lane();
	holdings_release_all();
	events_on_step(NULL);
	heartbeat_end();
	registration_end();
	events_clear_timer(&grace_timer);
	holdings_end();
	handing_end();
	progress_show(NULL, "ended");
	return stopping() ? EXIT_SIGNALLED + events_stop_signal() : code;
}
