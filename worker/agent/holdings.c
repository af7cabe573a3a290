/*
 * What the worker holds: the batch that it runs, and the one that it has claimed ahead.
 *
 * The next batch is claimed while the last config of this one runs: near its
 * end, so that others get what this worker could not begin for long, but early
 * enough for the answer to be there.  When it ends is told by how long the run
 * before took, as their work compares in one lane unless that has misled, and
 * how long claims take by the last ones.  What was claimed too early goes back:
 * others may be waiting for it.
 *
 * What the worker holds without knowing, because an answer was lost on its
 * way, is handed back as soon as nothing runs; otherwise heartbeats would hold
 * it for ever.
 */
#include "holdings.h"

#include "events.h"
#include "faults.h"
#include "log.h"
#include "registration.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define AHEAD_AT 0.9			/* of the time that the run is expected to take, */
#define AHEAD_AT_LEAST 0.5		/* or earlier where claims take long, but not before this share */
#define AHEAD_KEPT 1.0			/* seconds that it may wait, and */
#define AHEAD_KEPT_SHARE 0.25	/* of the time that the run is expected to take */

static const WorkerSetup *setup;
static Batch batch;				/* what is run, from position on */
static int	position;
static Batch ahead;				/* claimed ahead */
static bool in_doubt;			/* claims that we do not know may be ours */

static bool looked_ahead;		/* since this run has begun */
static double ahead_since;
static double run_began;
static long run_lane;			/* of its config */
static double run_work;
static double last_seconds;		/* that the last run took; 0: there was none */
static long last_lane;
static double last_work;
static double work_misleads;	/* over 0: runs took rather as long as the one before than as their work compares */
static double claim_seconds;	/* that a claim ahead takes */

void
holdings_begin(const WorkerSetup *new_setup)
{
	setup = new_setup;
	in_doubt = false;
}

void
holdings_end(void)
{
	batch_free(&batch);
	batch_free(&ahead);
}

void
holdings_doubt(void)
{
	in_doubt = true;
}

/* --------------------------------------------------------------- releasing */

void
holdings_release_waiting(void)
{
	if (call_release_waiting(registration_id()) != DATABASE_OK)
	{
		in_doubt = true;
		log_message(LOG_ERROR, "release_failed", "could not hand back what waits; its lease will run out: %s",
					database_message());
	}
	position = batch.count;
	batch_free(&ahead);
}

void
holdings_release_all(void)
{
	in_doubt = call_release(registration_id(), "preempted") != DATABASE_OK;
	if (in_doubt)
		log_message(LOG_ERROR, "release_failed",
					"could not hand back what this worker holds; its lease will run out: %s", database_message());
}

static Config *
find(Batch *in, const char *config_id, const char *claim_id)
{
	for (int i = 0; i < in->count; i++)
		if (strcmp(in->configs[i].config_id, config_id) == 0 && strcmp(in->configs[i].claim_id, claim_id) == 0)
			return &in->configs[i];
	return NULL;
}

Config *
holdings_drop(const char *config_id, const char *claim_id)
{
	Config	   *config = find(&batch, config_id, claim_id);

	if (config == NULL)
		config = find(&ahead, config_id, claim_id);
	if (config == NULL || config->dropped)
		return NULL;
	config->dropped = true;
	return config;
}

/* ---------------------------------------------------------------- claiming */

static DatabaseStatus
claim(Batch *into)
{
	const Options *options = setup->options;

	return call_claim(options->batch_size, options->priority_threshold, registration_id(), options->model, into);
}

DatabaseStatus
holdings_claim(void)
{
	if (in_doubt)
		holdings_release_all();
	for (;;)
	{
		DatabaseStatus status;

		FAULT_POINT("before_claim");
		status = claim(&batch);
		FAULT_POINT("after_claim");
		if (!database_interrupted())
			return status;
		/* a claim may have been made whose answer was lost: start afresh */
		in_doubt = true;
		batch_free(&batch);
		if (status != DATABASE_OK || events_stop_signal() != 0)
			return status;
		holdings_release_all();
	}
}

Config *
holdings_next(void)
{
	if (position == batch.count)
	{
		batch_free(&batch);
		position = 0;
		batch = ahead;
		ahead = (Batch){0};
	}
	return position < batch.count ? &batch.configs[position++] : NULL;
}

bool
holdings_wait(void)
{
	return position < batch.count || ahead.count > 0;
}

/* ---------------------------------------------------------- claiming ahead */

void
holdings_run_begins(const Config *config)
{
	looked_ahead = false;
	run_began = events_now();
	run_lane = atol(config->lane);
	run_work = config->work;
}

/* By the work: how long the run would take; the time that the one before took where they do not compare. */
static double
scaled_seconds(void)
{
	return run_lane == last_lane && run_work > 0 && last_work > 0 ? last_seconds * run_work / last_work : last_seconds;
}

static double
expected_seconds(void)
{
	return work_misleads > 0 ? last_seconds : scaled_seconds();
}

void
holdings_run_ended(void)
{
	double		seconds = events_now() - run_began;

	if (last_seconds > 0 && seconds > 0)
		work_misleads = (work_misleads + fabs(log(seconds / scaled_seconds())) - fabs(log(seconds / last_seconds))) / 2;
	last_seconds = seconds;
	last_lane = run_lane;
	last_work = run_work;
}

static double
claim_due(void)
{
	double		expected = expected_seconds();

	if (position < batch.count || looked_ahead || in_doubt || events_stop_signal() != 0 || last_seconds == 0)
		return EVENTS_NEVER;
	return run_began + fmax(AHEAD_AT_LEAST * expected, fmin(AHEAD_AT * expected, expected - claim_seconds));
}

double
holdings_due(void)
{
	return ahead.count > 0 ? ahead_since + AHEAD_KEPT + AHEAD_KEPT_SHARE * expected_seconds() : claim_due();
}

static void
claim_ahead(void)
{
	Buffer		why = {0};
	bool		well = hardware_is_well(setup->machine, false, &why);
	double		asked = events_now();

	looked_ahead = true;
	buffer_free(&why);
	if (!well)
		return;
	if (claim(&ahead) != DATABASE_OK || ahead.count == 0)
		batch_free(&ahead);
	in_doubt |= database_interrupted();
	ahead_since = events_now();
	claim_seconds = (claim_seconds + ahead_since - asked) / 2;
}

void
holdings_step(void)
{
	if (events_now() < holdings_due())
		return;
	if (ahead.count > 0)
		holdings_release_waiting();
	else
		claim_ahead();
}
