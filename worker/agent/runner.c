/*
 * One run of one config: from its command to what is handed in.
 *
 * oneshot: the command is started for every config; its standard output is
 * the result, or the file {result_file} where the command names it.
 * stream: the config is a line to the lane's runner, the result a line from it.
 * served: reset_command, then the command, like oneshot, while the lane's
 * server runs; if the server ends, that ends the run.
 *
 * Every command has a directory of its own, which is removed afterwards.
 */
#include "runner.h"

#include "log.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define LOG_TAIL 8192			/* of a heartbeat */
#define LOOK_FRESH 0.02			/* seconds */

static double
wall_clock(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* ----------------------------------------------------------------- running */

/* Starts reset_command, or the config's own. */
static void
start_task(Run *run)
{
	const Config *config = run->config;
	TaskSpec	spec = {
		.command = run->resetting ? config->reset_command : config->command,
		.given = {run->directory, run->result_file, run->lane ? run->lane->port : 0},
		.directory = run->directory,
		.deadline = config->deadline,
		.silence = run->settings->silence,
		.output_to_log = run->result_file != NULL,
		.output_is_log = run->resetting,
	};

	if (task_start(&run->task, &spec, config, run->settings))
		return;
	buffer_puts(&run->message, buffer_text(&run->task.message));
	run->outcome = run->task.outcome;
}

/* Hands the config to the lane's runner. */
static void
send_line(Run *run)
{
	Process    *runner = &run->lane->main.process;
	char	   *line = xprintf("%s\n", run->config->json);

	/* what it says before it has a config is log */
	while (lane_read(run->lane, &run->answer) != LANE_NO_LINE)
		;
	process_set_deadline(runner, run->config->deadline);
	process_send(runner, line, strlen(line));
	free(line);
}

void
run_start(Run *run, const Config *config, Lane *lane, const RunSettings *settings)
{
	run->config = config;
	run->settings = settings;
	if (config->protocol == PROTOCOL_ONESHOT)
		lane = NULL;
	run->lane = lane;
	run->started_at = wall_clock();
	run->began = events_now();
	nvml_drain_xids(NULL);		/* what came before is not the run's */
	/* configs follow each other fast: one look ends the one and begins the other */
	if (lane != NULL && events_now() - lane->last.at < LOOK_FRESH)
		run->before = lane->last;
	else
		environment_look(settings->machine, config->gpus, &run->before);
	if (lane != NULL)
	{
		lane_forget_log(lane);
		process_forget_oom(&lane->main.process);
		for (int i = 0; i < run->before.gpu_count; i++)
			run->before.gpus[i].memory_free_bytes = lane->before.gpus[i].memory_free_bytes;
	}
	if (config->protocol == PROTOCOL_STREAM)
	{
		send_line(run);
		return;
	}
	run->directory = command_directory(config, settings, &run->message);
	if (run->directory == NULL)
	{
		run->outcome = "node_fault";
		return;
	}
	if (command_names(config->command, "result_file"))
		run->result_file = xprintf("%s/result.json", run->directory);
	run->resetting = config->protocol == PROTOCOL_SERVED && config->reset_command != NULL;
	start_task(run);
}

/* Looks for the runner's answer. */
static bool
stream_done(Run *run)
{
	Process    *runner = &run->lane->main.process;

	while (run->answer_kind != LANE_RESULT && run->answer_kind != LANE_ERROR)
	{
		run->answer_kind = lane_read(run->lane, &run->answer);
		if (run->answer_kind != LANE_NO_LINE)
			continue;
		if (!process_done(runner))
			return false;
		if (runner->out < 0)
			return true;
		process_finish(runner);
	}
	return true;
}

static bool
reset_was_good(const Task *task)
{
	return task->process.stop == PROCESS_BY_ITSELF && WIFEXITED(task->process.wait_status) &&
		WEXITSTATUS(task->process.wait_status) == 0;
}

bool
run_done(Run *run)
{
	if (run->outcome != NULL)
		return true;
	if (run->config->protocol == PROTOCOL_STREAM)
		return stream_done(run);
	if (run->lane != NULL && run->lane->main.process.exited && !run->server_died)
	{
		run->server_died = true;
		process_kill(&run->task.process);
	}
	if (!task_done(&run->task) || (run->server_died && !process_done(&run->lane->main.process)))
		return false;
	if (run->resetting && !run->server_died && !run->preempted && reset_was_good(&run->task))
	{
		process_finish(&run->task.process);
		task_free(&run->task);
		run->resetting = false;
		start_task(run);
		return run->outcome != NULL;
	}
	return true;
}

void
run_kill(Run *run)
{
	Task	   *task = run->config->protocol == PROTOCOL_STREAM ? &run->lane->main : &run->task;

	if (!task->started || task->process.exited)
		return;					/* it has come to its end by itself */
	run->preempted = true;
	process_kill(&task->process);
}

/* ----------------------------------------------------------------- judging */

/* The result file's contents; false where there is nothing in it. */
static bool
read_result_file(const Run *run, Buffer *out)
{
	int			fd = open(run->result_file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	char		bytes[65536];
	ssize_t		n;

	while (fd >= 0 && out->len <= OUTPUT_LIMIT && (n = read(fd, bytes, sizeof(bytes))) > 0)
		buffer_append(out, bytes, n);
	if (fd >= 0)
		close(fd);
	return out->len > 0;
}

/* Standard output as a log: head and tail. */
static void
show_output(const Buffer *output, Buffer *out)
{
	Capture    *capture = xcalloc(1, sizeof(Capture));

	capture_append(capture, output->data, output->len);
	if (capture->total > 0)
	{
		buffer_puts(out, "[standard output]\n");
		capture_render(capture, out);
		buffer_puts(out, "\n");
	}
	free(capture);
}

static RunEnd
end_of(const Run *run, const Task *task)
{
	RunEnd		end = task_end(task);

	end.deadline = run->config->deadline;
	end.silence = run->settings->silence;
	return end;
}

/* The outcome by how it ended and what stands in the logs. */
static const char *
judge_end(RunEnd *end, const Buffer *first, const Buffer *second, Buffer *message)
{
	Buffer		everything = {0};
	const char *outcome;

	buffer_append(&everything, first->data, first->len);
	buffer_append(&everything, second->data, second->len);
	for (size_t i = 0; i < everything.len; i++)
		if (everything.data[i] == '\0')
			everything.data[i] = ' ';
	end->log = buffer_text(&everything);
	outcome = outcome_of(end, message);
	buffer_free(&everything);
	return outcome;
}

/* A command of the config's own: oneshot, and the client of served. */
static const char *
judge_command(Run *run, Result *result)
{
	const char *outcome;
	RunEnd		end = end_of(run, &run->task);
	Buffer		shown = {0};
	bool		from_file = run->result_file != NULL && !run->resetting && read_result_file(run, &result->output);

	if (!from_file && !run->resetting)
		buffer_append(&result->output, run->task.process.output.data, run->task.process.output.len);
	if (run->result_file == NULL)
		show_output(&run->task.process.output, &shown);
	if (from_file && result->output.len > OUTPUT_LIMIT)
		end.stop = PROCESS_OVERFLOW;
	end.output_len = result->output.len;
	if (run->resetting)
		buffer_puts(&result->message, "reset_command: ");
	outcome = judge_end(&end, &shown, &result->log, &result->message);
	/* a failed command's log shows its output, too */
	if (strcmp(outcome, "ok") != 0)
		buffer_append(&result->log, shown.data, shown.len);
	result->has_output = result->output.len > 0 && end.stop != PROCESS_OVERFLOW;
	buffer_free(&shown);
	return outcome;
}

/* The server has ended in the middle of a run. */
static const char *
judge_server(Run *run, Result *result)
{
	RunEnd		end;

	process_finish(&run->lane->main.process);
	end = end_of(run, &run->lane->main);
	if (end.stop == PROCESS_BY_ITSELF && WIFEXITED(end.wait_status) && WEXITSTATUS(end.wait_status) == 0)
	{
		buffer_puts(&result->message, "the server has ended with exit code 0 in the middle of a run");
		return "crash";
	}
	buffer_puts(&result->message, "the server: ");
	return judge_end(&end, &result->log, &(Buffer){0}, &result->message);
}

/* What the runner has answered, or how it ended without. */
static const char *
judge_answer(Run *run, Lane *lane, Result *result)
{
	bool		served_before = lane->answered++ > 0;
	const char *outcome;
	RunEnd		end;

	process_set_deadline(&lane->main.process, 0);
	if (run->answer_kind == LANE_RESULT)
	{
		result->has_output = true;
		result->output = run->answer;
		run->answer = (Buffer){0};
		return "ok";
	}
	if (run->answer_kind == LANE_ERROR)
	{
		const char *space = strchrnul(run->answer.data, ' ');

		buffer_puts(&result->message, *space ? space + 1 : "");
		return lane_error_outcome(run->answer.data);
	}
	process_finish(&lane->main.process);
	end = end_of(run, &lane->main);
	outcome = judge_end(&end, &result->log, &(Buffer){0}, &result->message);
	/* it had ended before it took the config: nobody's fault, and the next one will take it */
	if (served_before && end.stop == PROCESS_BY_ITSELF && end.wait_status == 0)
		outcome = "preempted";
	return outcome;
}

/* ----------------------------------------------------------- what comes out */

static void
write_details(const Run *run, const Task *task, bool before_ready, uint64_t bytes_dropped, Result *result)
{
	Buffer	   *json = &result->details;
	int			status = task->process.wait_status;
	bool		ended = task->started && task->process.exited;
	double		free_share = environment_free_share(run->settings->machine, &run->before);

	json_open(json, NULL, '{');
	json_open(json, "argv", '[');
	for (char **arg = task->argv; arg && *arg; arg++)
		json_string(json, NULL, *arg);
	json_close(json, ']');
	if (ended && WIFEXITED(status))
		json_int(json, "exit_code", WEXITSTATUS(status));
	else
		json_null(json, "exit_code");
	if (ended && WIFSIGNALED(status))
		json_int(json, "signal", WTERMSIG(status));
	else
		json_null(json, "signal");
	json_string(json, "message", result->message.len > 0 ? result->message.data : NULL);
	json_number(json, "started_at", run->started_at, 6);
	json_number(json, "ended_at", run->started_at + result->seconds, 6);
	json_int(json, "bytes_dropped", bytes_dropped);
	if (before_ready)
		json_bool(json, "before_ready", true);
	if (free_share >= 0)
		json_number(json, "gpu_free_share", free_share, 4);
	environment_write(run->settings->machine, &run->before, &run->after, "environment", json);
	json_close(json, '}');
	log_mask(json);
}

/* The log of the config's own command, then the server's below a heading, or the runner's. */
static uint64_t
render_logs(const Run *run, Buffer *log, size_t *own_len)
{
	uint64_t	dropped = 0;

	if (run->task.started)
		dropped += capture_render(&run->task.process.log, log);
	*own_len = log->len;
	if (run->lane == NULL)
		return dropped;
	if (run->config->protocol == PROTOCOL_SERVED && run->lane->main.process.log.total > 0)
		buffer_puts(log, log->len > 0 && log->data[log->len - 1] != '\n' ? "\n[server]\n" : "[server]\n");
	return dropped + capture_render(&run->lane->main.process.log, log);
}

void
run_finish(Run *run, Result *result)
{
	Protocol	protocol = run->config->protocol;
	Lane	   *lane = run->lane;
	Task	   *task = protocol == PROTOCOL_STREAM ? &lane->main : &run->task;
	const char *outcome = run->outcome;
	uint64_t	bytes_dropped;
	size_t		own_len;

	environment_look(run->settings->machine, run->config->gpus, &run->after);
	if (protocol != PROTOCOL_ONESHOT)
		lane->last = run->after;
	if (run->task.started)
		process_finish(&run->task.process);
	result->config_id = xstrdup(run->config->config_id);
	result->claim_id = run->config->claim_id ? xstrdup(run->config->claim_id) : NULL;
	bytes_dropped = render_logs(run, &result->log, &own_len);
	if (outcome != NULL)
		buffer_puts(&result->message, buffer_text(&run->message));
	else if (protocol == PROTOCOL_STREAM)
		outcome = judge_answer(run, lane, result);
	else if (run->server_died)
		outcome = judge_server(run, result);
	else
		outcome = judge_command(run, result);
	/* of what went well the server's chatter is not kept */
	if (protocol == PROTOCOL_SERVED && strcmp(outcome, "ok") == 0)
		result->log.len = own_len;
	result->outcome = xstrdup(outcome);
	nvml_drain_xids(&result->log);

	result->seconds = events_now() - run->began;
	log_mask(&result->log);
	log_mask(&result->message);
	write_details(run, run->server_died ? &lane->main : task, false, bytes_dropped, result);

	task_free(&run->task);
	command_remove_directory(run->directory, run->settings);
	free(run->result_file);
	buffer_free(&run->answer);
	buffer_free(&run->message);
	*run = (Run){0};
}

void
run_without_lane(const Config *config, const Lane *lane, const RunSettings *settings, Result *result)
{
	Run			run = {.config = config, .settings = settings, .started_at = wall_clock(), .before = lane->before};
	uint64_t	bytes_dropped = 0;

	environment_look(settings->machine, config->gpus, &run.after);
	result->config_id = xstrdup(config->config_id);
	result->claim_id = config->claim_id ? xstrdup(config->claim_id) : NULL;
	result->outcome = xstrdup(lane->outcome);
	buffer_puts(&result->message, buffer_text(&lane->message));
	if (lane->main.started)
		bytes_dropped = capture_render(&lane->main.process.log, &result->log);
	log_mask(&result->log);
	log_mask(&result->message);
	write_details(&run, &lane->main, true, bytes_dropped, result);
}

void
run_log_tail(const Run *run, Buffer *out)
{
	const Task *task = run->config->protocol == PROTOCOL_STREAM ? &run->lane->main : &run->task;

	if (!task->started)
		return;
	capture_recent(&task->process.log, LOG_TAIL, out);
	log_mask(out);
}
