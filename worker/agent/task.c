/*
 * One command of a config: started, and told how it ended.
 */
#include "task.h"

#include "log.h"

#include <stdlib.h>
#include <string.h>

bool
task_start(Task *task, const TaskSpec *spec, const Config *config, const RunSettings *settings)
{
	ProcessSpec process = {
		.directory = spec->directory,
		.deadline = spec->deadline,
		.silence = spec->silence,
		.deadline_grace = DEADLINE_GRACE,
		.output_limit = OUTPUT_LIMIT,
		.output_to_log = spec->output_to_log,
		.output_is_log = spec->output_is_log,
		.input = spec->input,
	};
	bool		exec_failed;
	int			error;

	task->argv = command_fill(spec->command, config, settings, &spec->given, &task->message);
	if (task->argv == NULL)
	{
		task->outcome = "bad_config";
		return false;
	}
	log_add_secret_arguments(task->argv);
	process.argv = task->argv;
	process.env = command_environment(config, settings);
	error = process_start(&task->process, &process, &exec_failed);
	strings_free(process.env);
	task->started = error == 0;
	if (exec_failed)
	{
		RunEnd		end = {.command = task->argv[0], .exec_error = error};

		task->outcome = outcome_of(&end, &task->message);
	}
	else if (error != 0)
	{
		buffer_printf(&task->message, "could not start a process: %s", strerror(error));
		task->outcome = "node_fault";
	}
	return task->started;
}

bool
task_done(const Task *task)
{
	return !task->started || process_done(&task->process);
}

RunEnd
task_end(const Task *task)
{
	return (RunEnd){
		.command = task->argv[0],
		.wait_status = task->process.wait_status,
		.stop = task->process.stop,
		.stuck = task->process.stuck,
		.host_oom_seen = task->process.host_oom,
		.host_oom_own = task->process.host_oom_own,
		.output_limit = OUTPUT_LIMIT,
	};
}

void
task_free(Task *task)
{
	if (task->started)
		process_free(&task->process);
	strings_free(task->argv);
	buffer_free(&task->message);
	*task = (Task){0};
}
