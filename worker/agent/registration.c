/*
 * Who this worker is to the database, and whether its machine is fit for work.
 *
 * Registering again is always allowed: the same name is the same worker.  The
 * session word tells the database whether it is also the same process; what
 * an earlier process of the name held it takes back itself.
 */
#include "registration.h"

#include "calls.h"
#include "events.h"
#include "log.h"
#include "presence.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_LEASE 60.0
#define DEFAULT_HEARTBEAT 15.0

static const WorkerSetup *setup;
static char id[40];
static char session[33];		/* a word of this process */
static double heartbeat_interval;
static Buffer sick;				/* why the machine is not fit for work; empty while it is */

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

/*
 * The interval between heartbeats for the server's lease (0: not known); 0,
 * the error being told, where the option does not fit.
 */
static double
choose_heartbeat(double lease)
{
	double		wanted = setup->options->heartbeat;

	if (lease <= 0)
		lease = DEFAULT_LEASE;
	if (wanted >= lease)
	{
		log_message(LOG_ERROR, "usage",
					"--heartbeat must be less than the lease, which is %g s; a quarter of it is usual", lease);
		return 0;
	}
	return wanted > 0 ? wanted : fmin(DEFAULT_HEARTBEAT, lease / 4);
}

static char *
make_details(void)
{
	const Machine *machine = setup->machine;
	Buffer		json = {0};

	json_open(&json, NULL, '{');
	json_string(&json, "session", session);
	if (machine->gpu_count > 0 || setup->options->gpus > 0)
		json_int(&json, "gpus", machine->gpu_count > 0 ? machine->gpu_count : setup->options->gpus);
	if (sick.len > 0)
		json_string(&json, "sick", sick.data);
	/* a name that was given must exist: it may be misspelt */
	if (setup->options->hardware == NULL)
		hardware_write_spec(machine, "hardware", &json);
	environment_write(machine, NULL, NULL, "environment", &json);
	json_close(&json, '}');
	return json.data;
}

int
registration_failure(DatabaseStatus status, const char *what)
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

int
registration_renew(void)
{
	char	   *details = make_details();
	PGresult   *result;
	DatabaseStatus status = call_register(setup->name, setup->hardware, setup->frameworks, details, &result);

	free(details);
	if (status != DATABASE_OK)
		return registration_failure(status, "could not register");
	snprintf(id, sizeof(id), "%s", PQgetvalue(result, 0, 0));
	heartbeat_interval = choose_heartbeat(atof(PQgetvalue(result, 0, 1)));
	PQclear(result);
	if (heartbeat_interval <= 0)
		return EXIT_BAD_USAGE;
	if (!setup->options->register_only && !setup->options->no_presence)
		presence_start(id);
	return 0;
}

int
registration_begin(const WorkerSetup *new_setup)
{
	Buffer	   *event;
	int			code;

	setup = new_setup;
	choose_session();
	code = registration_renew();
	if (code != 0)
		return code;
	event = log_begin(LOG_INFO, "registered", NULL);
	json_string(event, "worker", setup->name);
	json_string(event, "worker_id", id);
	json_string(event, "hardware", setup->hardware);
	json_string(event, "database", database_address());
	log_end();
	return 0;
}

void
registration_end(void)
{
	presence_stop();
	buffer_free(&sick);
}

const char *
registration_id(void)
{
	return id;
}

double
registration_heartbeat(void)
{
	return heartbeat_interval;
}

bool
registration_is_well(bool idle)
{
	Buffer		why = {0};
	bool		well = hardware_is_well(setup->machine, idle, &why);
	bool		changed = strcmp(buffer_text(&why), buffer_text(&sick)) != 0;

	buffer_free(&sick);
	sick = why;
	if (changed && well)
		log_message(LOG_INFO, "well", "the machine is fit for work again");
	else if (changed)
		log_message(LOG_ERROR, "sick", "nothing is claimed: %s", buffer_text(&sick));
	if (changed)
		registration_renew();
	return well;
}
