/*
 * The life of a registered worker: claim, run, hand in, heartbeat, hand back.
 *
 * One thing after the other, in plain sequence; all waiting is done in the
 * event loop, where the run's output, its deadline and the signals are served
 * whatever the worker waits for.  Rules:
 *
 *   a config is run only under a claim that start() has confirmed
 *   a result is never dropped: it is handed in until the database has answered
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
#include "presence.h"
#include "progress.h"

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

static WorkerSetup setup;
static char id[40];
static char session[33];		/* a word of this process */
static double heartbeat_interval;
static double next_heartbeat;
static bool holds_unknown;		/* claims that we do not know may be ours */

static Batch batch;
static Run	run;
static bool busy;				/* a config is started and not yet handed in */
static bool running;			/* and run has a process */

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
		process_kill(&run.process);
}

void
worker_on_stop(int count)
{
	double		grace = count == 1 && busy ? setup.options->grace : 0;

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

/* Hands back what waits, once. */
static void
hand_back_waiting(void)
{
	stop_seen = true;
	if (call_release_waiting(id) != DATABASE_OK)
		log_message(LOG_ERROR, "release_failed", "could not hand back what waits; its lease will run out: %s",
					database_message());
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

int
worker_register(const WorkerSetup *new_setup)
{
	Buffer	   *event;
	int			code;

	setup = *new_setup;
	choose_session();
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

/* -------------------------------------------------------------- heartbeat */

/*
 * The claims that the database has ended: do not begin them, kill what runs.
 * A verdict without claim is about a claim that is forgotten altogether; one
 * with another claim is about an earlier one that we may have had.
 */
static void
obey_verdicts(PGresult *result)
{
	for (int i = 0; i < PQntuples(result); i++)
	{
		const char *config_id = PQgetvalue(result, i, 0);
		const char *claim_id = PQgetvalue(result, i, 1);
		Buffer	   *event;

		for (int j = 0; j < batch.count; j++)
		{
			Config	   *config = &batch.configs[j];

			if (strcmp(config->config_id, config_id) != 0 ||
				(*claim_id != '\0' && strcmp(config->claim_id, claim_id) != 0) || config->dropped)
				continue;
			config->dropped = true;
			if (running && run.config == config)
				process_kill(&run.process);
			event = log_begin(LOG_INFO, "dropped", NULL);
			json_string(event, "config_id", config_id);
			json_string(event, "verdict", PQgetvalue(result, i, 2));
			log_end();
		}
	}
}

static void
heartbeat(void)
{
	Buffer		tail = {0};
	PGresult   *result;
	DatabaseStatus status;

	if (running)
		run_log_tail(&run, &tail);
	status = call_heartbeat(id, running ? run.config->config_id : NULL, tail.data, tail.len, &result);
	next_heartbeat = events_now() + heartbeat_interval;
	if (status == DATABASE_OK)
		obey_verdicts(result);
	else if (status == DATABASE_REFUSED)
		log_message(LOG_ERROR, "heartbeat_refused", "heartbeat: %s", database_message());
	PQclear(result);
	buffer_free(&tail);
}

/*
 * One step of waiting: what is due, or else whatever comes first.  Callers
 * look again in between: much may happen while a heartbeat is answered.
 */
static void
wait_step(double until)
{
	if (stopping() && !stop_seen)
		hand_back_waiting();
	else if (events_now() >= next_heartbeat)
		heartbeat();
	else if (events_now() >= progress_due())
		progress_show(running ? run.config : NULL, stopping() ? "stopping" : "waiting for work");
	else
		events_wait(fmin(until, fmin(next_heartbeat, progress_due())));
}

/* ---------------------------------------------------------------- running */

static void
log_end_of_run(const Receipt *receipt)
{
	Buffer	   *event = log_begin(LOG_INFO, "run_end", NULL);

	json_string(event, "config_id", run.config->config_id);
	json_string(event, "outcome", run.outcome);
	json_number(event, "seconds", run.ended_at - run.started_at, 3);
	json_bool(event, "accepted", receipt->accepted);
	json_string(event, "status", receipt->status);
	if (run.message.len > 0)
		json_string(event, "reason", run.message.data);
	log_end();
}

/* The database does not take the result as it is: hand in that, at least. */
static DatabaseStatus
hand_in_refusal(Receipt *receipt)
{
	Buffer		details = {0};
	DatabaseStatus status;
	char	   *message = xprintf("the database refused the result: %s", database_message());

	log_message(LOG_ERROR, "hand_in_refused", "config %s: %s", run.config->config_id, message);
	json_open(&details, NULL, '{');
	json_string(&details, "message", message);
	json_close(&details, '}');
	status = call_hand_in(run.config, "bad_output", NULL, 0, run.log.data, run.log.len, details.data, receipt);
	buffer_free(&details);
	free(message);
	return status;
}

static void
hand_in(void)
{
	Receipt		receipt;
	DatabaseStatus status = call_hand_in(run.config, run.outcome, run.output, run.output_len, run.log.data, run.log.len,
										 run.details.data, &receipt);

	if (status == DATABASE_REFUSED)
		status = hand_in_refusal(&receipt);
	if (status != DATABASE_OK)
	{
		holds_unknown = true;
		log_message(LOG_ERROR, "hand_in_failed", "config %s: its result could not be handed in: %s",
					run.config->config_id, database_message());
		return;
	}
	progress_count(&receipt);
	log_end_of_run(&receipt);
}

/* Runs one config to its end and hands in what came out. */
static void
run_config(Config *config)
{
	Buffer	   *event;
	DatabaseStatus status;

	FAULT_POINT("before_start");
	status = call_start(config);
	if (status != DATABASE_OK)
	{
		if (strcmp(database_sqlstate(), "BO001") != 0)
		{
			holds_unknown = true;
			log_message(LOG_ERROR, "start_refused", "config %s could not be started: %s", config->config_id,
						database_message());
		}
		return;
	}
	FAULT_POINT("after_start");
	if (stopping())
		return;
	event = log_begin(LOG_INFO, "run_start", NULL);
	json_string(event, "config_id", config->config_id);
	json_string(event, "framework", config->framework);
	log_end();

	busy = true;
	running = run_start(&run, config, &setup.run_settings);
	progress_changed();
	FAULT_POINT("during_run");
	while (running && !process_done(&run.process))
		wait_step(EVENTS_NEVER);
	run_finish(&run);
	running = false;
	FAULT_POINT("after_run");

	/* a run that was cut short by the stop is released at the end, with all else */
	if (run.process.stop != PROCESS_KILLED)
		hand_in();
	FAULT_POINT("after_hand_in");
	run_free(&run);
	busy = false;
}

static void
run_batch(void)
{
	for (int i = 0; i < batch.count && !stopping(); i++)
	{
		if (events_now() >= next_heartbeat)
			heartbeat();
		if (!batch.configs[i].dropped && !stopping())
			run_config(&batch.configs[i]);
	}
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

/* Claims a batch; 0, or the exit code. */
static int
claim(void)
{
	const Options *options = setup.options;
	bool		registered_again = false;

	for (;;)
	{
		DatabaseStatus status;

		FAULT_POINT("before_claim");
		status = call_claim(options->batch_size, options->priority_threshold, id, options->model, &batch);
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
	bool		well = hardware_is_well(setup.machine, true, &why);
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
	int			code = 0;

	/* nothing is claimed that presence does not cover yet, unless it is long in coming */
	while (presence_begins() && events_now() < until && !stopping())
		wait_step(until);
	while (!stopping())
	{
		if (holds_unknown)
			release_all("preempted");
		if (!is_well())
		{
			if (setup.options->until_settled)
				return EXIT_TEMPORARY;
			until = events_now() + SICK_PAUSE;
			while (events_now() < until && !stopping())
				wait_step(until);
			continue;
		}
		if ((code = claim()) != 0)
			return code;
		if (batch.count > 0)
		{
			run_batch();
			batch_free(&batch);
			pause = IDLE_PAUSE_FIRST;
			continue;
		}
		batch_free(&batch);
		if (!stopping() && pause == IDLE_PAUSE_FIRST)
			log_idle();
		if (stopping() || settled(&code) || code != 0)
			return code;

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
	code = work();
	release_all("preempted");
	presence_stop();
	events_clear_timer(&grace_timer);
	batch_free(&batch);
	buffer_free(&sick);
	progress_show(NULL, "ended");
	return stopping() ? EXIT_SIGNALLED + events_stop_signal() : code;
}
