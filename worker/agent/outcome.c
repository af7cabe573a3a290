/*
 * From how a run ended to the outcome that it is handed in with.
 *
 * The order: what the worker itself knows for certain (it could not be
 * executed, it printed too much), then known messages in the log, then exit
 * codes that a command is known to give, then the bare exit code or signal.
 * Messages count only where the run failed: a benchmark that probes how much
 * fits may print "out of memory" and end well.
 *
 * Whether an output is a good result is not decided here: the database parses.
 */
#include "outcome.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

/* Messages whose meaning is beyond doubt; a false one would quarantine a machine or skip configs. */
static const struct
{
	const char *fragment;
	const char *outcome;
} known_messages[] = {
	{"CUDA out of memory", "gpu_oom"},
	{"CUDA_ERROR_OUT_OF_MEMORY", "gpu_oom"},
	{"OutOfMemoryError", "gpu_oom"},
	{"uncorrectable ECC error", "gpu_fault"},
	{"CUDA driver version is insufficient", "node_fault"},
	{"No space left on device", "node_fault"},
};

/* Exit codes of commands that document them. */
static const struct
{
	const char *command;
	int			exit_code;
	const char *outcome;
} known_exit_codes[] = {
	{"benchorch-engine", 64, "bad_config"},
	{"benchorch-engine", 65, "bad_config"},
	{"benchorch-engine", 66, "unsupported"},
	{"benchorch-engine", 68, "gpu_oom"},
	{"benchorch-engine", 69, "host_oom"},
	{"benchorch-engine", 72, "node_fault"},
	{"benchorch-engine", 74, "gpu_fault"},
};

/* Appends the line that surrounds at. */
static void
append_line(Buffer *message, const char *text, const char *at)
{
	const char *start = at;
	size_t		len;

	while (start > text && start[-1] != '\n')
		start--;
	len = strcspn(start, "\r\n");
	buffer_append(message, start, len < 500 ? len : 500);
}

/* Appends ": " and the last line that is not blank. */
static void
append_last_line(Buffer *message, const char *text)
{
	const char *end = text + strlen(text);

	while (end > text && strchr(" \t\r\n", end[-1]) != NULL)
		end--;
	if (end == text)
		return;
	buffer_puts(message, ": ");
	append_line(message, text, end - 1);
}

static const char *
base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static const char *
exec_failed(const RunEnd *end, Buffer *message)
{
	if (end->exec_error == ENOENT || end->exec_error == ENOTDIR)
		buffer_printf(message, "command not found: %s", end->command);
	else
		buffer_printf(message, "command could not be executed: %s: %s", end->command, strerror(end->exec_error));
	return "node_fault";
}

/* The run was ended by a signal, or by an exit code that stands for SIGKILL further down. */
static const char *
killed(const RunEnd *end, int signal, Buffer *message)
{
	if (signal == SIGKILL && end->host_oom_seen)
	{
		buffer_puts(message, "killed by the kernel: the machine or its memory limit ran out of memory");
		return "host_oom";
	}
	if (signal == SIGKILL)
		buffer_puts(message, "killed by signal 9 (exit 137)");
	else
		buffer_printf(message, "killed by signal %d (%s)", signal, strsignal(signal));
	append_last_line(message, end->log);
	return "crash";
}

const char *
outcome_of(const RunEnd *end, Buffer *message)
{
	int			code = WIFEXITED(end->wait_status) ? WEXITSTATUS(end->wait_status) : -1;

	if (end->exec_error != 0)
		return exec_failed(end, message);
	if (end->stuck)
	{
		buffer_puts(message,
					"a process of the benchmark does not end on SIGKILL; look at the machine's driver and disks");
		return "node_fault";
	}
	if (end->stop == PROCESS_OVERFLOW)
	{
		buffer_printf(message,
					  "more than %zu bytes on standard output; write the result to {result_file}, or print less",
					  end->output_limit);
		return "bad_output";
	}
	if (end->stop == PROCESS_BY_ITSELF && code == 0 && end->output_len > 0)
		return "ok";

	for (size_t i = 0; i < sizeof(known_messages) / sizeof(known_messages[0]); i++)
	{
		const char *at = strstr(end->log, known_messages[i].fragment);

		if (at == NULL)
			continue;
		append_line(message, end->log, at);
		return known_messages[i].outcome;
	}

	if (end->stop == PROCESS_DEADLINE)
	{
		buffer_printf(message, "not finished after %g s", end->deadline);
		append_last_line(message, end->log);
		return "timeout";
	}
	if (end->stop == PROCESS_SILENCE)
	{
		buffer_printf(message, "printed nothing for %g s", end->silence);
		append_last_line(message, end->log);
		return "timeout";
	}
	if (end->stop == PROCESS_KILLED)
	{
		buffer_puts(message, "killed by the worker");
		return "preempted";
	}
	if (WIFSIGNALED(end->wait_status))
		return killed(end, WTERMSIG(end->wait_status), message);
	if (code == 128 + SIGKILL)
		return killed(end, SIGKILL, message);
	if (code == 0)
	{
		buffer_puts(message, "the command ended without output");
		append_last_line(message, end->log);
		return "bad_output";
	}

	buffer_printf(message, "exit code %d", code);
	append_last_line(message, end->log);
	for (size_t i = 0; i < sizeof(known_exit_codes) / sizeof(known_exit_codes[0]); i++)
		if (known_exit_codes[i].exit_code == code && strcmp(known_exit_codes[i].command, base_name(end->command)) == 0)
			return known_exit_codes[i].outcome;
	return "crash";
}
