/*
 * The lane's long-lived process: the runner of the protocol stream, the server of served.
 *
 * Its life: closed, starting, ready, closing, closed.  Nothing here waits:
 * lane_step goes on with what has become possible, and the worker calls it
 * after every event.
 *
 * A process serves the configs of one lane for which its command and its
 * environment are the same; everything else needs another one.
 */
#include "lane.h"

#include "log.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK_PAUSE_FIRST 0.05	/* seconds between two calls of ready_command */
#define CHECK_PAUSE_LAST 1.0
#define CHECK_SECONDS 10.0		/* that one of them may take */
#define RUNNER_PATIENCE 10.0	/* that a runner has to end after its input has */

static const char *const error_outcomes[] = {"gpu_oom", "host_oom", "unsupported", "bad_config", "timeout",
											 "crash", "bad_output", "gpu_fault", "node_fault"};

/* ---------------------------------------------------------------- identity */

static const char *
main_command(const Config *config)
{
	return config->protocol == PROTOCOL_SERVED ? config->server_command : config->command;
}

/* Everything by which processes differ; NULL where the command cannot be filled in. */
static char *
identify(const Config *config, const RunSettings *settings, const Given *given)
{
	Buffer		identity = {0}, error = {0};
	char	  **argv = command_fill(main_command(config), config, settings, given, &error);

	buffer_free(&error);
	if (argv == NULL)
		return NULL;
	buffer_printf(&identity, "%s\n%d\n%s\n", config->lane ? config->lane : "", config->protocol,
				  config->env ? config->env : "");
	for (char **arg = argv; *arg; arg++)
		buffer_printf(&identity, "%s\x1f", *arg);
	strings_free(argv);
	return identity.data;
}

bool
lane_serves(const Lane *lane, const Config *config)
{
	Given		given = {.directory = lane->directory, .port = lane->port};
	char	   *identity;
	bool		same;

	if (lane->state != LANE_READY || lane->main.process.exited)
		return false;
	identity = identify(config, lane->settings, &given);
	same = identity != NULL && strcmp(identity, lane->identity) == 0;
	free(identity);
	return same;
}

/* --------------------------------------------------------------- beginning */

static void
fail(Lane *lane, const char *outcome)
{
	lane->state = LANE_FAILED;
	lane->outcome = outcome;
}

/* A port on which nobody listens at this moment; 0 where there is none. */
static int
free_port(void)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t	len = sizeof(address);
	int			fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int			port = 0;

	if (fd >= 0 && bind(fd, (struct sockaddr *) &address, sizeof(address)) == 0 &&
		getsockname(fd, (struct sockaddr *) &address, &len) == 0)
		port = ntohs(address.sin_port);
	if (fd >= 0)
		close(fd);
	return port;
}

void
lane_open(Lane *lane, const Config *config, const RunSettings *settings)
{
	TaskSpec	spec = {.command = main_command(config)};
	Buffer	   *event;

	*lane = (Lane){
		.state = LANE_STARTING,
		.settings = settings,
		.protocol = config->protocol,
		.config = config,
		.check_pause = CHECK_PAUSE_FIRST,
		.give_up = events_now() + config->ready_timeout,
	};
	lane->directory = command_directory(config, settings, &lane->message);
	if (lane->directory == NULL)
	{
		fail(lane, "node_fault");
		return;
	}
	if (config->protocol == PROTOCOL_SERVED && (lane->port = free_port()) == 0)
	{
		buffer_puts(&lane->message, "there is no free port on 127.0.0.1");
		fail(lane, "node_fault");
		return;
	}
	spec.given = (Given){.directory = lane->directory, .port = lane->port};
	spec.directory = lane->directory;
	spec.input = config->protocol == PROTOCOL_STREAM;
	spec.output_is_log = config->protocol == PROTOCOL_SERVED;
	environment_look(settings->machine, config->gpus, &lane->before);
	if (!task_start(&lane->main, &spec, config, settings))
	{
		buffer_puts(&lane->message, buffer_text(&lane->main.message));
		fail(lane, lane->main.outcome);
		return;
	}
	lane->identity = identify(config, settings, &spec.given);
	event = log_begin(LOG_INFO, "lane_start", NULL);
	json_string(event, "framework", config->framework);
	if (lane->port > 0)
		json_int(event, "port", lane->port);
	log_end();
}

static void
become_ready(Lane *lane)
{
	lane->state = LANE_READY;
	lane->config = NULL;
	log_message(LOG_INFO, "lane_ready", "ready");
}

/* It has ended, or must, before it was ready: by what it has printed and how it ended. */
static void
fail_before_ready(Lane *lane)
{
	RunEnd		end;
	Buffer		log = {0};

	if (process_done(&lane->main.process))
		process_finish(&lane->main.process);
	end = task_end(&lane->main);
	end.deadline = lane->config->ready_timeout;
	capture_render(&lane->main.process.log, &log);
	end.log = buffer_text(&log);
	buffer_puts(&lane->message, "before it was ready: ");
	if (!process_done(&lane->main.process))
		end.stop = PROCESS_DEADLINE;
	fail(lane, outcome_of(&end, &lane->message));
	if (strcmp(lane->outcome, "bad_output") == 0)
		lane->outcome = "crash";	/* it ended with 0, but not to be a result */
	buffer_free(&log);
}

/* Starts ready_command or warmup_command. */
static void
start_check(Lane *lane)
{
	const Config *config = lane->config;
	TaskSpec	spec = {
		.command = lane->warming ? config->warmup_command : config->ready_command,
		.given = {.directory = lane->directory, .port = lane->port},
		.directory = lane->directory,
		.deadline = lane->warming ? fmax(lane->give_up - events_now(), 1) : CHECK_SECONDS,
		.output_is_log = true,
	};

	if (task_start(&lane->check, &spec, config, lane->settings))
		return;
	buffer_printf(&lane->message, "%s: %s", lane->warming ? "warmup_command" : "ready_command",
				  buffer_text(&lane->check.message));
	fail(lane, lane->check.outcome);
	task_free(&lane->check);
}

/* ready_command or warmup_command has ended. */
static void
end_check(Lane *lane)
{
	RunEnd		end;
	bool		good;
	Buffer		log = {0};

	process_finish(&lane->check.process);
	end = task_end(&lane->check);
	end.deadline = lane->config->ready_timeout;
	good = end.stop == PROCESS_BY_ITSELF && WIFEXITED(end.wait_status) && WEXITSTATUS(end.wait_status) == 0;
	if (!good && lane->warming)
	{
		buffer_puts(&lane->message, "warmup_command: ");
		capture_render(&lane->main.process.log, &log);
		capture_render(&lane->check.process.log, &log);
		end.log = buffer_text(&log);
		fail(lane, outcome_of(&end, &lane->message));
	}
	else if (good && (lane->warming || lane->config->warmup_command == NULL))
		become_ready(lane);
	else if (good)
		lane->warming = true;
	else
	{
		lane->next_check = events_now() + lane->check_pause;
		lane->check_pause = fmin(lane->check_pause * 1.5, CHECK_PAUSE_LAST);
	}
	task_free(&lane->check);
	buffer_free(&log);
}

static void
step_to_ready(Lane *lane)
{
	Buffer		line = {0};

	if (lane->check.started)
	{
		if (task_done(&lane->check))
			end_check(lane);
	}
	else if (process_done(&lane->main.process) || lane->main.process.stop != PROCESS_BY_ITSELF ||
			 events_now() >= lane->give_up)
		fail_before_ready(lane);
	else if (lane->protocol == PROTOCOL_STREAM)
	{
		LaneLine	kind;

		while (lane->state == LANE_STARTING && (kind = lane_read(lane, &line)) != LANE_NO_LINE)
			if (kind == LANE_HELLO && strcmp(line.data, "1") == 0)
				become_ready(lane);
			else if (kind == LANE_HELLO)
			{
				buffer_printf(&lane->message,
							  "the runner speaks version %s of the stream protocol, this worker version 1", line.data);
				fail(lane, "node_fault");
			}
	}
	else if (!lane->main.process.exited && (lane->warming || events_now() >= lane->next_check))
		start_check(lane);
	buffer_free(&line);
}

/* -------------------------------------------------------------- the middle */

/*
 * Takes the first line off the runner's output; the last one needs no newline
 * once the runner has ended.  What has been taken is removed when no line is
 * left: a runner that prints much may have left many.
 */
static bool
take_line(Lane *lane, Buffer *line)
{
	Buffer	   *output = &lane->main.process.output;
	size_t		left = output->len - lane->taken;
	const char *start = buffer_text(output) + lane->taken;
	const char *end = NULL;
	size_t		len;

	buffer_reset(line);
	if (left > lane->scanned)
		end = memchr(start + lane->scanned, '\n', left - lane->scanned);
	if (end == NULL && !(left > 0 && process_done(&lane->main.process) && lane->main.process.out < 0))
	{
		if (lane->taken > 0)
			buffer_cut(output, lane->taken);
		lane->taken = 0;
		lane->scanned = left;
		return false;
	}
	len = end ? (size_t) (end - start) : left;
	buffer_append(line, start, len);
	lane->taken += end ? len + 1 : len;
	lane->scanned = 0;
	return true;
}

const char *
lane_error_outcome(const char *line)
{
	size_t		len = strcspn(line, " ");

	for (size_t i = 0; i < sizeof(error_outcomes) / sizeof(error_outcomes[0]); i++)
		if (strlen(error_outcomes[i]) == len && strncmp(line, error_outcomes[i], len) == 0)
			return error_outcomes[i];
	return NULL;
}

LaneLine
lane_read(Lane *lane, Buffer *line)
{
	if (!take_line(lane, line))
		return LANE_NO_LINE;
	while (line->len > 0 && line->data[line->len - 1] == '\r')
		line->data[--line->len] = '\0';
	if (lane->state == LANE_READY && line->len > 0 && line->data[0] == '{')
		return LANE_RESULT;
	if (lane->state == LANE_READY && strncmp(buffer_text(line), "error ", 6) == 0 &&
		lane_error_outcome(line->data + 6) != NULL)
	{
		buffer_cut(line, strlen("error "));
		return LANE_ERROR;
	}
	if (lane->state == LANE_STARTING && strncmp(buffer_text(line), "ready ", 6) == 0)
	{
		buffer_cut(line, strlen("ready "));
		return LANE_HELLO;
	}
	capture_append(&lane->main.process.log, buffer_text(line), line->len);
	capture_append(&lane->main.process.log, "\n", 1);
	return LANE_LOG;
}

void
lane_forget_log(Lane *lane)
{
	lane->main.process.log.total = 0;
}

/* ----------------------------------------------------------------- the end */

void
lane_close(Lane *lane)
{
	if (lane->state == LANE_CLOSED || lane->state == LANE_CLOSING)
		return;
	if (lane->check.started)
		process_kill(&lane->check.process);
	if (lane->main.started)
		process_end(&lane->main.process, lane->protocol == PROTOCOL_STREAM ? RUNNER_PATIENCE : 0);
	lane->state = LANE_CLOSING;
	lane_step(lane);
}

void
lane_kill(Lane *lane)
{
	if (lane->check.started)
		process_kill(&lane->check.process);
	if (lane->main.started)
		process_kill(&lane->main.process);
}

static void
step_to_closed(Lane *lane)
{
	if (!task_done(&lane->check) || !task_done(&lane->main))
		return;
	if (lane->check.started)
		process_finish(&lane->check.process);
	if (lane->main.started)
		process_finish(&lane->main.process);
	task_free(&lane->check);
	task_free(&lane->main);
	command_remove_directory(lane->directory, lane->settings);
	free(lane->identity);
	buffer_free(&lane->message);
	*lane = (Lane){0};
}

/* ---------------------------------------------------------------- stepping */

void
lane_step(Lane *lane)
{
	if (lane->state == LANE_STARTING)
		step_to_ready(lane);
	if (lane->state == LANE_CLOSING)
		step_to_closed(lane);
}

double
lane_due(const Lane *lane)
{
	if (lane->state != LANE_STARTING)
		return EVENTS_NEVER;
	if (lane->protocol == PROTOCOL_STREAM || lane->check.started)
		return lane->give_up;
	return lane->warming ? 0 : fmin(lane->next_check, lane->give_up);
}
