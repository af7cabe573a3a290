/*
 * From how a run ended to the outcome that it is handed in with.
 *
 * Only what the worker itself knows: it could not be executed, it printed too
 * much, its time was up, its exit code or signal.  What a framework's words
 * mean, the database knows (its table outcome_rules), and whether an output is
 * a good result: it parses.
 */
#include "outcome.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

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
exec_failed(const RunEnd *end, Buffer *message)
{
	if (end->exec_error == ENOENT || end->exec_error == ENOTDIR)
		buffer_printf(message, "command not found: %s", end->command);
	else
		buffer_printf(message, "command could not be executed: %s: %s", end->command, strerror(end->exec_error));
	return "node_fault";
}

/* Whether the command died by SIGKILL that nobody here has sent, or says so of what it ran. */
static bool
was_killed(const RunEnd *end)
{
	return end->stop == PROCESS_BY_ITSELF &&
		(WIFSIGNALED(end->wait_status) ? WTERMSIG(end->wait_status) == SIGKILL
									   : WEXITSTATUS(end->wait_status) == 128 + SIGKILL);
}

/*
 * The kernel has killed a process of the run for memory, and the run has failed
 * in another way: its parent gave up, or waited for it in vain.
 */
static const char *
starved(const RunEnd *end, Buffer *message)
{
	buffer_puts(message,
				"the kernel has killed a process of it: the machine or its memory limit ran out of memory");
	append_last_line(message, end->log);
	return "host_oom";
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

	if (end->host_oom_own && end->stop != PROCESS_KILLED && !was_killed(end))
		return starved(end, message);
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
	if (was_killed(end))
		return killed(end, SIGKILL, message);
	if (WIFSIGNALED(end->wait_status))
		return killed(end, WTERMSIG(end->wait_status), message);
	if (code == 0)
	{
		buffer_puts(message, "the command ended without output");
		append_last_line(message, end->log);
		return "bad_output";
	}

	buffer_printf(message, "exit code %d", code);
	append_last_line(message, end->log);
	return "crash";
}
