/*
 * The life of a registered worker: claim, run, hand in, heartbeat, hand back.
 *
 * One thing after the other, in plain sequence; all waiting is done in the
 * event loop, where the run's output, its deadline and the signals are served
 * whatever the worker waits for.  Rules:
 *
 *   a config is run only under a claim that start() has confirmed
 *   the machine does not wait for the database: while a config runs, the
 *   result before it is handed in and, near its end, the next batch is claimed
 *   a result is never dropped: it is in the spool from its run's end until the
 *   database has answered
 *   a run whose claim is gone is killed and not handed in; what had ended
 *   before that was known is, and is kept as unaccepted
 *   what the worker holds without knowing (an answer that was lost on the
 *   way) is handed back as soon as nothing runs; otherwise heartbeats would
 *   hold it for ever.  What an earlier process of the same name held the
 *   database takes back itself, told by the session word.
 *
 * After the first stop signal no config is begun, what waits is handed back
 * at once, and the one that runs has --grace to end.  The second ends it now.
 */
#include "worker.h"

#include "calls.h"
#include "events.h"
#include "faults.h"
#include "log.h"
#include "preemption.h"
#include "presence.h"
#include "progress.h"
#include "spool.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_LEASE 60.0
#define DEFAULT_HEARTBEAT 15.0
#define IDLE_PAUSE_FIRST 1.0
#define IDLE_PAUSE_LAST 5.0		/* no more than what is left behind may wait */
#define HAND_BACK_SECONDS 2.0	/* for the last words after the grace */
#define SICK_PAUSE 30.0			/* between two looks at a sick machine */
#define PRESENCE_SECONDS 2.0	/* that the first claim waits for presence */
#define LANE_IDLE 60.0			/* that a lane's process is kept while there is no work */
#define PREFETCH_AT 0.9			/* of the time that the run before took: then the next batch is claimed */
#define PREFETCH_KEPT 1.0		/* seconds that it may wait, and */
#define PREFETCH_KEPT_SHARE 0.25	/* of the time that the run before took */

static WorkerSetup setup;
static char id[40];
static char session[33];		/* a word of this process */
static double heartbeat_interval;
static double next_heartbeat;
static Timer heartbeat_timer;
static char *asked_config, *asked_claim;	/* what ran when the last heartbeat was sent */
static bool holds_unknown;		/* claims that we do not know may be ours */

static Batch batch;				/* what is run, from position on */
static int	position;
static Batch next_batch;		/* claimed ahead */
static Lane lane;
static Run	run;
static bool running;
static bool prefetched;			/* or tried to, while this run lasts */
static double prefetched_at;
static double run_began;
static double last_seconds;		/* that the last run took; 0: there was none */
static Result finished;			/* the last run's, not handed in yet; config_id NULL: none */

static Buffer sick;				/* why the machine is not fit for work; empty while it is */

static bool stop_seen;			/* what waits has been handed back */
static Timer grace_timer;

const char *
worker_id(void)
{
	return id;
}

/* --------------------------------------------------------------- stopping */

static void
grace_over(void *context)
{
	(void) context;
	if (running)
		run_kill(&run);
	lane_kill(&lane);
}

void
worker_on_stop(int count)
{
	double		grace = count == 1 && running ? setup.options->grace : 0;

	if (grace > 0)
		log_message(LOG_INFO, "stop", "stopping; what is under way has %g s to end", grace);
	else
		log_message(LOG_INFO, "stop", "stopping");
	database_set_limit(events_now() + grace + HAND_BACK_SECONDS);
	if (grace > 0)
		events_set_timer(&grace_timer, events_now() + grace, grace_over, NULL);
	else
		grace_over(NULL);
}

static bool
stopping(void)
{
	return events_stop_signal() != 0;
}

/* Hands back what waits. */
static void
release_waiting(void)
{
	if (call_release_waiting(id) != DATABASE_OK)
	{
		holds_unknown = true;
		log_message(LOG_ERROR, "release_failed", "could not hand back what waits; its lease will run out: %s",
					database_message());
	}
	position = batch.count;
	batch_free(&next_batch);
}

/* ------------------------------------------------------------ registering */

/*
 * The interval between heartbeats for the server's lease (0: not known); 0,
 * the error being told, where the option does not fit.
 */
static double
choose_heartbeat(double lease)
{
	if (lease <= 0)
		lease = DEFAULT_LEASE;
	if (setup.options->heartbeat >= lease)
	{
		log_message(LOG_ERROR, "usage",
					"--heartbeat must be less than the lease, which is %g s; a quarter of it is usual", lease);
		return 0;
	}
	return setup.options->heartbeat > 0 ? setup.options->heartbeat : fmin(DEFAULT_HEARTBEAT, lease / 4);
}

static char *
make_details(void)
{
	Buffer		json = {0};

	json_open(&json, NULL, '{');
	json_string(&json, "session", session);
	if (setup.machine->gpu_count > 0 || setup.options->gpus > 0)
		json_int(&json, "gpus", setup.machine->gpu_count > 0 ? setup.machine->gpu_count : setup.options->gpus);
	if (sick.len > 0)
		json_string(&json, "sick", sick.data);
	/* a name that was given must exist: it may be misspelt */
	if (setup.options->hardware == NULL)
		hardware_write_spec(setup.machine, "hardware", &json);
	environment_write(setup.machine, NULL, NULL, "environment", &json);
	json_close(&json, '}');
	return json.data;
}

/* The exit code for a statement that failed. */
static int
failure(DatabaseStatus status, const char *what)
{
	const char *state = database_sqlstate();
	const char *hint = "";

	if (status == DATABASE_AWAY)
	{
		log_message(LOG_ERROR, "database_away", "%s: the database cannot be reached: %s", what, database_message());
		return EXIT_TEMPORARY;
	}
	if (strcmp(state, "3F000") == 0 || strcmp(state, "42P01") == 0 || strcmp(state, "42883") == 0)
		hint = "; is the extension there? CREATE EXTENSION benchorch, or ALTER EXTENSION benchorch UPDATE";
	else if (strcmp(state, "42501") == 0)
		hint = "; give the role its rights: SELECT benchorch.grant_worker('ROLE')";
	log_message(LOG_ERROR, "refused", "%s: %s%s", what, database_message(), hint);
	return EXIT_BAD_CONFIG;
}

static int
register_again(void)
{
	char	   *details = make_details();
	PGresult   *result;
	DatabaseStatus status = call_register(setup.name, setup.hardware, setup.frameworks, details, &result);

	free(details);
	if (status != DATABASE_OK)
		return failure(status, "could not register");
	snprintf(id, sizeof(id), "%s", PQgetvalue(result, 0, 0));
	heartbeat_interval = choose_heartbeat(atof(PQgetvalue(result, 0, 1)));
	next_heartbeat = events_now() + heartbeat_interval;
	PQclear(result);
	if (heartbeat_interval <= 0)
		return EXIT_BAD_USAGE;
	if (!setup.options->register_only && !setup.options->no_presence)
		presence_start(id);
	return 0;
}

/* A word that no other process has: random, or else the process and the time. */
static void
choose_session(void)
{
	unsigned char bytes[16];

	if (getentropy(bytes, sizeof(bytes)) == 0)
		for (size_t i = 0; i < sizeof(bytes); i++)
			snprintf(session + 2 * i, 3, "%02x", bytes[i]);
	else
		snprintf(session, sizeof(session), "%d-%ld", (int) getpid(), (long) time(NULL));
}

/* -------------------------------------------------------------- heartbeat */

static void
obey_verdict(Batch *of, const char *config_id, const char *claim_id, const char *verdict)
{
	for (int i = 0; i < of->count; i++)
	{
		Config	   *config = &of->configs[i];
		Buffer	   *event;

		if (strcmp(config->config_id, config_id) != 0 || strcmp(config->claim_id, claim_id) != 0 || config->dropped)
			continue;
		config->dropped = true;
		if (running && run.config == config)
			run_kill(&run);
		event = log_begin(LOG_INFO, "dropped", NULL);
		json_string(event, "config_id", config_id);
		json_string(event, "verdict", verdict);
		log_end();
	}
}

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

		if (*claim_id == '\0' && asked_config != NULL && strcmp(config_id, asked_config) == 0)
			claim_id = asked_claim;
		obey_verdict(&batch, config_id, claim_id, PQgetvalue(result, i, 2));
		obey_verdict(&next_batch, config_id, claim_id, PQgetvalue(result, i, 2));
	}
}

static void
forget_asked(void)
{
	free(asked_config);
	free(asked_claim);
	asked_config = asked_claim = NULL;
}

static void
heartbeat_answered(const PGresult *result)
{
	if (PQresultStatus(result) == PGRES_TUPLES_OK)
		obey_verdicts(result);
	else
		log_message(LOG_ERROR, "heartbeat_refused", "heartbeat: %s", PQresultErrorMessage(result));
}

static void heartbeat_due(void *context);

/* A heartbeat, beside the main connection if possible, otherwise, where we may wait, on it. */
static void
heartbeat(bool may_wait)
{
	const char *config_id = running ? run.config->config_id : NULL;
	Buffer		tail = {0};
	bool		beside;

	forget_asked();
	if (running)
	{
		asked_config = xstrdup(config_id);
		asked_claim = xstrdup(run.config->claim_id);
		run_log_tail(&run, &tail);
	}
	beside = call_heartbeat_beside(id, config_id, tail.data, tail.len, heartbeat_answered);
	if (!beside && may_wait)
	{
		PGresult   *result;
		DatabaseStatus status = call_heartbeat(id, config_id, tail.data, tail.len, &result);

		if (status == DATABASE_OK)
			obey_verdicts(result);
		else if (status == DATABASE_REFUSED)
			log_message(LOG_ERROR, "heartbeat_refused", "heartbeat: %s", database_message());
		PQclear(result);
	}
	if (beside || may_wait)
		next_heartbeat = events_now() + heartbeat_interval;
	events_set_timer(&heartbeat_timer, fmax(next_heartbeat, events_now() + heartbeat_interval / 4), heartbeat_due,
					 NULL);
	buffer_free(&tail);
}

/* Whatever the main connection is busy with. */
static void
heartbeat_due(void *context)
{
	(void) context;
	heartbeat(false);
}

/*
 * One step of waiting: what is due, or else whatever comes first.  Callers
 * look again in between: much may happen while a heartbeat is answered.
 */
static void
wait_step(double until)
{
	if (stopping() && !stop_seen)
	{
		stop_seen = true;
		release_waiting();
	}
	else if (events_now() >= next_heartbeat)
		heartbeat(true);
	else if (events_now() >= progress_due())
		progress_show(running ? run.config : NULL, stopping() ? "stopping" : "waiting for work");
	else
		events_wait(fmin(until, fmin(next_heartbeat, progress_due())));
}

/* -------------------------------------------------------------- handing in */

static void
log_end_of_run(const Result *result, const Receipt *receipt)
{
	Buffer	   *event = log_begin(LOG_INFO, "run_end", NULL);

	json_string(event, "config_id", result->config_id);
	json_string(event, "outcome", result->outcome);
	json_number(event, "seconds", result->seconds, 3);
	json_bool(event, "accepted", receipt->accepted);
	json_string(event, "status", receipt->status);
	if (result->message.len > 0)
		json_string(event, "reason", result->message.data);
	log_end();
}

/* The database does not take the result as it is: hand in that, at least. */
static DatabaseStatus
hand_in_refusal(const Result *result, Receipt *receipt)
{
	Buffer		details = {0};
	DatabaseStatus status;
	char	   *message = xprintf("the database refused the result: %s", database_message());

	log_message(LOG_ERROR, "hand_in_refused", "config %s: %s", result->config_id, message);
	json_open(&details, NULL, '{');
	json_string(&details, "message", message);
	json_close(&details, '}');
	status = call_hand_in(result->config_id, result->claim_id, "bad_output", NULL, &result->log, details.data, receipt);
	buffer_free(&details);
	free(message);
	return status;
}

/* Hands in a result that is in the spool. */
static void
hand_in(const Result *result)
{
	Receipt		receipt;
	DatabaseStatus status;

	spool_flush();
	status = call_hand_in(result->config_id, result->claim_id, result->outcome,
						  result->has_output ? &result->output : NULL, &result->log, result->details.data, &receipt);
	if (status == DATABASE_REFUSED)
		status = hand_in_refusal(result, &receipt);
	if (status != DATABASE_OK)
	{
		holds_unknown = true;
		log_message(LOG_ERROR, "hand_in_failed",
					"config %s: its result could not be handed in, it stays in the spool: %s",
					result->config_id, database_message());
		return;
	}
	spool_remove(result);
	progress_count(&receipt);
	log_end_of_run(result, &receipt);
}

static void
hand_in_finished(void)
{
	if (finished.config_id == NULL)
		return;
	hand_in(&finished);
	result_free(&finished);
	FAULT_POINT("after_hand_in");
}

/* Before this worker says that it is there: what was claimed by the process before it may still be current. */
static int
hand_in_spool(void)
{
	Buffer		identity = {0};
	Result		left = {0};
	DatabaseStatus status = call_identity(&identity);

	if (status == DATABASE_OK)
		spool_open(setup.options->spool, buffer_text(&identity));
	buffer_free(&identity);
	if (status != DATABASE_OK)
		return failure(status, "could not identify the database");
	while (spool_next(&left))
	{
		log_message(LOG_INFO, "spool", "handing in what an earlier process has left: config %s", left.config_id);
		hand_in(&left);
		result_free(&left);
	}
	holds_unknown = false;
	return 0;
}

int
worker_register(const WorkerSetup *new_setup)
{
	Buffer	   *event;
	int			code;

	setup = *new_setup;
	choose_session();
	code = setup.options->register_only ? 0 : hand_in_spool();
	if (code == 0)
		code = register_again();
	if (code != 0)
		return code;
	event = log_begin(LOG_INFO, "registered", NULL);
	json_string(event, "worker", setup.name);
	json_string(event, "worker_id", id);
	json_string(event, "hardware", setup.hardware);
	json_string(event, "database", database_address());
	log_end();
	return 0;
}

/* ---------------------------------------------------------------- the lane */

static void
close_lane(void)
{
	if (stopping())
		lane_kill(&lane);
	lane_close(&lane);
	for (lane_step(&lane); lane.state != LANE_CLOSED; lane_step(&lane))
		wait_step(EVENTS_NEVER);
}

static DatabaseStatus
start(const Config *config)
{
	DatabaseStatus status = call_start(config);

	if (status != DATABASE_OK && strcmp(database_sqlstate(), "BO001") != 0)
	{
		holds_unknown = true;
		log_message(LOG_ERROR, "start_refused", "config %s could not be started: %s", config->config_id,
					database_message());
	}
	return status;
}

/*
 * The lane's process did not become ready: that is the config's outcome.  What
 * waits in the batch is of the same lane: it goes back, so that the database
 * decides what becomes of it.
 */
static void
hand_in_failed_lane(Config *config)
{
	run_without_lane(config, &lane, &setup.run_settings, &finished);
	close_lane();
	if (stopping() || config->dropped || start(config) != DATABASE_OK)
	{
		result_free(&finished);
		return;
	}
	spool_write(&finished);
	release_waiting();
	hand_in_finished();
}

/* Whether the lane's process can take the config, where its protocol has one. */
static bool
bring_up(Config *config)
{
	if (config->protocol != PROTOCOL_ONESHOT && lane_serves(&lane, config))
		return true;
	if (lane.state != LANE_CLOSED || config->protocol != PROTOCOL_ONESHOT)
		hand_in_finished();		/* what follows may take minutes */
	close_lane();
	if (config->protocol == PROTOCOL_ONESHOT || stopping() || config->dropped)
		return !stopping() && !config->dropped;

	lane_open(&lane, config, &setup.run_settings);
	progress_changed();
	for (lane_step(&lane); lane.state == LANE_STARTING && !stopping() && !config->dropped; lane_step(&lane))
		wait_step(lane_due(&lane));
	if (lane.state == LANE_READY)
		return true;
	if (lane.state == LANE_FAILED)
		hand_in_failed_lane(config);
	else
		close_lane();
	return false;
}

/* ---------------------------------------------------------------- running */

static DatabaseStatus
claim_batch(Batch *into)
{
	const Options *options = setup.options;

	return call_claim(options->batch_size, options->priority_threshold, id, options->model, into);
}

/*
 * When the next batch is to be claimed, while the last config of this one
 * runs: near its end, as far as the run before tells, so that others get what
 * this worker could not begin for long.  What it has claimed too early goes
 * back: others may be waiting for it.
 */
static double
prefetch_time(void)
{
	if (position < batch.count || prefetched || holds_unknown || stopping() || last_seconds == 0)
		return EVENTS_NEVER;
	return run_began + PREFETCH_AT * last_seconds;
}

static double
hand_back_time(void)
{
	return next_batch.count == 0 ? EVENTS_NEVER : prefetched_at + PREFETCH_KEPT + PREFETCH_KEPT_SHARE * last_seconds;
}

static void
prefetch(void)
{
	Buffer		why = {0};
	bool		well = hardware_is_well(setup.machine, false, &why);

	prefetched = true;
	buffer_free(&why);
	if (!well)
		return;
	if (claim_batch(&next_batch) != DATABASE_OK)
		batch_free(&next_batch);
	else if (database_interrupted())
		holds_unknown = true;
	if (next_batch.count == 0)
		batch_free(&next_batch);
	prefetched_at = events_now();
}

/* Runs one config to its end; its result is finished, and in the spool. */
static void
run_config(Config *config)
{
	Buffer	   *event;
	bool		preempted;

	if (!bring_up(config))
		return;
	FAULT_POINT("before_start");
	if (start(config) != DATABASE_OK)
		return;
	FAULT_POINT("after_start");
	if (stopping())
		return;

	run_start(&run, config, &lane, &setup.run_settings);
	running = true;
	prefetched = false;
	run_began = events_now();
	progress_changed();
	event = log_begin(LOG_INFO, "run_start", NULL);
	json_string(event, "config_id", config->config_id);
	json_string(event, "framework", config->framework);
	log_end();
	FAULT_POINT("during_run");
	hand_in_finished();
	while (!run_done(&run))
		if (events_now() >= prefetch_time())
			prefetch();
		else if (events_now() >= hand_back_time())
			release_waiting();
		else
			wait_step(fmin(prefetch_time(), hand_back_time()));
	running = false;
	last_seconds = events_now() - run_began;
	preempted = run.preempted;
	run_finish(&run, &finished);
	FAULT_POINT("after_run");

	/*
	 * A run that was cut short by the stop is released at the end, with all
	 * else.  Who stops us may have told our processes as well (a batch system,
	 * a container's end): that is why they crash.
	 */
	if (preempted || (stopping() && strcmp(finished.outcome, "crash") == 0))
	{
		result_free(&finished);
		return;
	}
	spool_write(&finished);
	FAULT_POINT("after_spool");
	/*
	 * What went wrong may change what comes next: configs are pruned, if they
	 * wait for no worker, and this worker is quarantined.
	 */
	if (strcmp(finished.outcome, "gpu_oom") == 0 && (position < batch.count || next_batch.count > 0))
		release_waiting();
	if (strcmp(finished.outcome, "ok") != 0)
		hand_in_finished();
}

/* --------------------------------------------------------------- the loop */

/* Hands back everything; only while nothing runs and nothing waits. */
static void
release_all(const char *outcome)
{
	DatabaseStatus status = call_release(id, outcome);

	holds_unknown = status != DATABASE_OK;
	if (holds_unknown)
		log_message(LOG_ERROR, "release_failed",
					"could not hand back what this worker holds; its lease will run out: %s", database_message());
}

/* Claims a batch while nothing runs; 0, or the exit code. */
static int
claim(void)
{
	bool		registered_again = false;

	for (;;)
	{
		DatabaseStatus status;

		FAULT_POINT("before_claim");
		status = claim_batch(&batch);
		FAULT_POINT("after_claim");
		if (status == DATABASE_OK && !database_interrupted())
			return 0;
		/* a claim may have been made whose answer was lost: start afresh */
		holds_unknown |= database_interrupted();
		batch_free(&batch);
		if (stopping())
			return 0;
		if (status == DATABASE_OK)
		{
			release_all("preempted");
			continue;
		}
		/* the worker's row is gone: the database is another, or a restored one */
		if (status == DATABASE_REFUSED && strcmp(database_sqlstate(), "42704") == 0 && !registered_again &&
			register_again() == 0)
		{
			registered_again = true;
			continue;
		}
		return failure(status, "could not claim");
	}
}

/*
 * Whether the machine is fit for work.  While it is not, nothing is claimed:
 * one broken machine would fail many configs.  The database is told why.
 */
static bool
is_well(void)
{
	Buffer		why = {0};
	bool		well = hardware_is_well(setup.machine, lane.state == LANE_CLOSED, &why);
	bool		changed = strcmp(buffer_text(&why), buffer_text(&sick)) != 0;

	buffer_free(&sick);
	sick = why;
	if (changed && well)
		log_message(LOG_INFO, "well", "the machine is fit for work again");
	else if (changed)
		log_message(LOG_ERROR, "sick", "nothing is claimed: %s", buffer_text(&sick));
	if (changed)
		register_again();
	return well;
}

/* Claims, unless the machine is sick; then it waits. */
static int
claim_if_well(void)
{
	double		until = events_now() + SICK_PAUSE;

	if (is_well())
		return claim();
	if (setup.options->until_settled)
		return EXIT_TEMPORARY;
	while (events_now() < until && !stopping())
		wait_step(until);
	return 0;
}

/* The next config to run, NULL where there is none now; *code is the exit code where claiming failed. */
static Config *
next_config(int *code)
{
	if (position == batch.count)
	{
		batch_free(&batch);
		position = 0;
		batch = next_batch;
		next_batch = (Batch){0};
	}
	if (batch.count == 0)
	{
		hand_in_finished();
		if (holds_unknown)
			release_all("preempted");
		*code = claim_if_well();
	}
	return position < batch.count ? &batch.configs[position++] : NULL;
}

/* Whether --until-settled has come to its end; *code is the exit code where asking failed. */
static bool
settled(int *code)
{
	const Options *options = setup.options;
	long long	left;
	DatabaseStatus status;

	if (!options->until_settled)
		return false;
	status = call_left(id, options->model, options->priority_threshold, &left);
	if (status != DATABASE_OK && !stopping())
		*code = failure(status, "could not ask what is left");
	return status == DATABASE_OK && left == 0;
}

static void
log_idle(void)
{
	const Options *options = setup.options;
	Buffer		why = {0};

	if (call_explain_empty(id, options->model, options->priority_threshold, &why) == DATABASE_OK)
		log_message(LOG_INFO, "idle", "%s", buffer_text(&why));
	buffer_free(&why);
}

static int
work(void)
{
	double		pause = IDLE_PAUSE_FIRST;
	double		until = events_now() + PRESENCE_SECONDS;
	double		idle_since = 0;
	int			code = 0;

	/* nothing is claimed that presence does not cover yet, unless it is long in coming */
	while (presence_begins() && events_now() < until && !stopping())
		wait_step(until);
	while (!stopping())
	{
		Config	   *config = next_config(&code);

		if (code != 0)
			return code;
		if (config != NULL)
		{
			if (events_now() >= next_heartbeat)
				heartbeat(true);
			if (!config->dropped && !stopping())
				run_config(config);
			pause = IDLE_PAUSE_FIRST;
			idle_since = events_now();
			continue;
		}
		if (!stopping() && pause == IDLE_PAUSE_FIRST)
			log_idle();
		if (stopping() || settled(&code) || code != 0)
			return code;
		if (lane.state != LANE_CLOSED && events_now() > idle_since + LANE_IDLE)
			close_lane();

		progress_changed();
		until = events_now() + pause * (0.5 + 0.5 * drand48());
		while (events_now() < until && !stopping())
			wait_step(until);
		pause = fmin(pause * 1.5, IDLE_PAUSE_LAST);
	}
	return code;
}

int
worker_work(void)
{
	int			code;

	progress_begin(setup.name, setup.hardware);
	events_set_timer(&heartbeat_timer, next_heartbeat, heartbeat_due, NULL);
	if (setup.options->preemption_check != NULL)
		preemption_watch(setup.options->preemption_check);
	code = work();
	preemption_stop();
	hand_in_finished();
	close_lane();
	release_all("preempted");
	presence_stop();
	events_clear_timer(&heartbeat_timer);
	events_clear_timer(&grace_timer);
	forget_asked();
	batch_free(&batch);
	buffer_free(&sick);
	batch_free(&next_batch);
	spool_close();
	progress_show(NULL, "ended");
	return stopping() ? EXIT_SIGNALLED + events_stop_signal() : code;
}
