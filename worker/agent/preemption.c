/*
 * The notice that this machine will be taken away.
 *
 * Clouds tell it in many ways, a metadata service for most, so how to ask is a
 * command of the user's, or a file that something else writes.  A command that
 * hangs is ended, and asked again; one that fails says nothing.
 */
#include "preemption.h"

#include "log.h"
#include "process.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE 2.0				/* seconds between two questions */
#define LOOK 0.1				/* seconds between two looks whether the command has answered */
#define COMMAND_SECONDS 5.0		/* that it may take */
#define COMMAND_OUTPUT 65536

static const char *watched;
static Timer timer;
static Process command;
static bool asking;
static bool told;
static bool failed;				/* it could not be run once, which was told */

static void ask(void *context);

static void
give_notice(void)
{
	told = true;
	log_message(LOG_WARNING, "preemption", "notice by %s: this machine will be taken away", watched);
	kill(getpid(), SIGTERM);
}

/* Whether the command has answered; if so, what. */
static void
look(void *context)
{
	if (!process_done(&command))
	{
		events_set_timer(&timer, events_now() + LOOK, look, context);
		return;
	}
	process_finish(&command);
	asking = false;
	if (command.stop == PROCESS_BY_ITSELF && WIFEXITED(command.wait_status) && WEXITSTATUS(command.wait_status) == 0)
		give_notice();
	process_free(&command);
	if (!told)
		events_set_timer(&timer, events_now() + PAUSE, ask, context);
}

static bool
is_command(const char *path)
{
	struct stat info;

	return stat(path, &info) == 0 && S_ISREG(info.st_mode) && access(path, X_OK) == 0;
}

static void
ask(void *context)
{
	char	   *argv[] = {(char *) watched, NULL};
	ProcessSpec spec = {
		.argv = argv,
		.env = environ,
		.directory = "/",
		.deadline = COMMAND_SECONDS,
		.output_limit = COMMAND_OUTPUT,
	};
	bool		exec_failed;
	int			error;

	if (!is_command(watched))
	{
		if (access(watched, F_OK) == 0)
			give_notice();
		else
			events_set_timer(&timer, events_now() + PAUSE, ask, context);
		return;
	}
	memset(&command, 0, sizeof(command));
	error = process_start(&command, &spec, &exec_failed);
	asking = error == 0;
	if (asking)
		look(context);
	else
	{
		if (!failed)
			log_message(LOG_WARNING, "preemption_check",
						"%s could not be run: %s; see that it runs by itself: until then nothing tells of a notice", watched,
						strerror(error));
		failed = true;
		events_set_timer(&timer, events_now() + PAUSE, ask, context);
	}
}

void
preemption_watch(const char *path)
{
	watched = path;
	told = false;
	events_set_timer(&timer, events_now(), ask, NULL);
}

void
preemption_stop(void)
{
	events_clear_timer(&timer);
	if (!asking)
		return;
	process_kill(&command);
	process_finish(&command);
	process_free(&command);
	asking = false;
}
