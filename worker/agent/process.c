/*
 * One benchmark process and everything that it starts, as the worker's event
 * loop sees it: pipes that are drained, timers that fire, and the order to
 * kill.  Who belongs to it, and the killing, are the keeper's (keeper.c).
 *
 * The command ends; its keeper reports that, kills what is left, and ends when
 * all is gone.  If that takes too long, because a driver holds a process for
 * example, the process counts as stuck, and the worker goes on without it.
 */
#include "process.h"

#include "cgroup.h"
#include "keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_SIZE 65536
#define KILL_PATIENCE 10.0		/* seconds that a killed process may take to vanish */
#define LOOK_PAUSE 0.02			/* between two looks at what a killed keeper has left */
#define MAX_KEEPERS 64

static Process *processes;		/* those that run */

static void
close_pipe(int *fd)
{
	if (*fd < 0)
		return;
	events_unwatch(*fd);
	close(*fd);
	*fd = -1;
}

/* ------------------------------------------------------------------- killing */

static void
give_up(void *context)
{
	((Process *) context)->stuck = true;
}

/* The keeper kills when its control pipe ends. */
static void
kill_tree(void *context)
{
	Process    *process = context;

	if (process->control < 0)
		return;
	close_pipe(&process->control);
	events_set_timer(&process->kill_timer, events_now() + KILL_PATIENCE, give_up, process);
}

static void
send_sigterm(void *context)
{
	Process    *process = context;

	if (write(process->control, "T", 1) < 0)
		return;					/* no keeper: the end of that is under way */
	events_set_timer(&process->kill_timer, events_now() + process->deadline_grace, kill_tree, process);
}

static void
terminate(Process *process, ProcessStop stop)
{
	if (process->exited || process->stop != PROCESS_BY_ITSELF)
		return;
	process->stop = stop;
	send_sigterm(process);
}

static void
deadline_passed(void *context)
{
	terminate(context, PROCESS_DEADLINE);
}

static void
silence_passed(void *context)
{
	terminate(context, PROCESS_SILENCE);
}

void
process_kill(Process *process)
{
	if (process->exited)
		return;
	if (process->stop == PROCESS_BY_ITSELF)
		process->stop = PROCESS_KILLED;
	kill_tree(process);
}

void
process_set_deadline(Process *process, double seconds)
{
	if (process->exited || process->stop != PROCESS_BY_ITSELF)
		return;
	if (seconds > 0)
		events_set_timer(&process->deadline_timer, events_now() + seconds, deadline_passed, process);
	else
		events_clear_timer(&process->deadline_timer);
}

void
process_end(Process *process, double patience)
{
	close_pipe(&process->in);
	if (process->exited)
		return;
	if (process->stop == PROCESS_BY_ITSELF)
		process->stop = PROCESS_KILLED;
	events_set_timer(&process->kill_timer, events_now() + patience, send_sigterm, process);
}

static void
heard(Process *process)
{
	if (process->silence > 0 && !process->exited)
		events_set_timer(&process->silence_timer, events_now() + process->silence, silence_passed, process);
}

/* -------------------------------------------------------------------- ending */

static void
command_ended(Process *process, int wait_status)
{
	process->exited = true;
	process->wait_status = wait_status;
	events_clear_timer(&process->deadline_timer);
	events_clear_timer(&process->silence_timer);
	events_set_timer(&process->kill_timer, events_now() + KILL_PATIENCE, give_up, process);
}

/* The keeper tells how the command ended. */
static void
report_ready(void *context)
{
	Process    *process = context;
	int			wait_status;

	if (!process->exited && read(process->report, &wait_status, sizeof(wait_status)) == sizeof(wait_status))
		command_ended(process, wait_status);
	close_pipe(&process->report);
}

/* The children of ours that are no keepers are what killed keepers have left. */
static void
kill_orphans(void *context)
{
	Process    *process = context;
	pid_t		keepers[MAX_KEEPERS];
	int			count = 0;

	for (Process *other = processes; other != NULL && count < MAX_KEEPERS; other = other->next)
		if (!other->gone && !other->orphaned)
			keepers[count++] = other->keeper;
	if (keeper_kill_descendants(keepers, count) > 0)
		events_set_timer(&process->look_timer, events_now() + LOOK_PAUSE, kill_orphans, process);
	else
	{
		process->gone = true;
		events_clear_timer(&process->kill_timer);
	}
}

static void
keeper_ended(Process *process, int wait_status)
{
	if (process->report >= 0)
		report_ready(process);
	if (process->exited)
	{
		process->gone = true;
		events_clear_timer(&process->kill_timer);
		return;
	}
	/* it was killed; how its command ends nobody will know, but that is killed as well */
	process->orphaned = true;
	command_ended(process, wait_status);
	if (process->cgroup != NULL)
		cgroup_kill(process->cgroup);
	kill_orphans(process);
}

/* Reaps every child that has ended: keepers, and what killed ones have left. */
static void
reap(void)
{
	pid_t		pid;
	int			status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		for (Process *process = processes; process != NULL; process = process->next)
			if (process->keeper == pid && !process->gone && !process->orphaned)
				keeper_ended(process, status);
}

bool
process_init(void)
{
	cgroup_init();
	events_on_child(reap);
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

bool
process_done(const Process *process)
{
	return process->gone || process->stuck;
}

/* --------------------------------------------------------------------- pipes */

static void
keep_output(Process *process, const char *bytes, size_t len)
{
	if (process->output_to_log || process->output_is_log)
		capture_append(&process->log, bytes, len);
	if (process->output_is_log)
		return;
	if (process->output.len + len <= process->output_limit)
		buffer_append(&process->output, bytes, len);
	else if (process->stop == PROCESS_BY_ITSELF && !process->exited)
	{
		/* it can no longer become a result, and may never end */
		process->stop = PROCESS_OVERFLOW;
		kill_tree(process);
	}
	else if (process->stop == PROCESS_BY_ITSELF)
		process->stop = PROCESS_OVERFLOW;
}

/* Reads once; false when there is nothing to be read now. */
static bool
read_pipe(Process *process, int *fd)
{
	char		bytes[READ_SIZE];
	ssize_t		n = *fd < 0 ? -1 : read(*fd, bytes, sizeof(bytes));

	if (n > 0)
	{
		heard(process);
		if (fd == &process->out)
			keep_output(process, bytes, n);
		else
			capture_append(&process->log, bytes, n);
		return true;
	}
	if (*fd >= 0 && (n == 0 || (errno != EAGAIN && errno != EINTR)))
		close_pipe(fd);
	return false;
}

static void
out_ready(void *context)
{
	read_pipe(context, &((Process *) context)->out);
}

static void
err_ready(void *context)
{
	read_pipe(context, &((Process *) context)->err);
}

/* Writes what it takes now; the rest when it is ready for it. */
static void
write_input(void *context)
{
	Process    *process = context;
	ssize_t		n = 0;

	while (process->input.len > 0 && (n = write(process->in, process->input.data, process->input.len)) > 0)
		buffer_cut(&process->input, n);
	if (process->input.len == 0)
		events_unwatch(process->in);
	else if (n < 0 && (errno == EAGAIN || errno == EINTR))
		events_watch(process->in, POLLOUT, write_input, process);
	else
		close_pipe(&process->in);	/* it takes no more */
}

void
process_send(Process *process, const void *bytes, size_t len)
{
	if (process->in < 0)
		return;
	buffer_append(&process->input, bytes, len);
	write_input(process);
}

/* ------------------------------------------------------------------ starting */

/* A pipe; *ours is our end of it (end 0 or 1), *theirs the other.  False with errno. */
static bool
make_pipe(int end, int *ours, int *theirs)
{
	int			ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return false;
	*ours = ends[end];
	*theirs = ends[1 - end];
	return true;
}

int
process_start(Process *process, const ProcessSpec *spec, bool *exec_failed)
{
	KeeperSpec	keeper = {
		.argv = spec->argv, .env = spec->env, .directory = spec->directory, .in = -1, .out = -1, .err = -1
	};
	KeeperError error = {0};
	int			control = -1, report = -1;

	*exec_failed = false;
	process->control = process->report = process->in = process->out = process->err = -1;
	process->output_limit = spec->output_limit;
	process->output_to_log = spec->output_to_log;
	process->output_is_log = spec->output_is_log;
	process->silence = spec->silence;
	process->deadline_grace = spec->deadline_grace;
	keeper.cgroup = process->cgroup = cgroup_make();
	process->oom_kills = cgroup_oom_kills(process->cgroup);

	if (!make_pipe(1, &process->control, &control) || !make_pipe(0, &process->report, &report) ||
		!make_pipe(0, &process->out, &keeper.out) || !make_pipe(0, &process->err, &keeper.err) ||
		(spec->input && !make_pipe(1, &process->in, &keeper.in)) ||
		(!spec->input && (keeper.in = open("/dev/null", O_RDONLY | O_CLOEXEC)) < 0) ||
		(process->keeper = keeper_start(&keeper, control, report)) < 0)
		error.error = errno;
	for (size_t i = 0; i < 5; i++)
	{
		const int	theirs[] = {control, report, keeper.in, keeper.out, keeper.err};

		if (theirs[i] >= 0)
			close(theirs[i]);
	}
	/* no word of it: the command has been started, and has killed its keeper already */
	if (error.error == 0 && read(process->report, &error, sizeof(error)) != sizeof(error))
		error.error = 0;
	if (error.error != 0)
	{
		close_pipe(&process->control);
		close_pipe(&process->report);
		close_pipe(&process->in);
		close_pipe(&process->out);
		close_pipe(&process->err);
		if (process->cgroup != NULL)
			cgroup_remove(process->cgroup);
		free(process->cgroup);
		process->cgroup = NULL;
		*exec_failed = error.exec;
		return error.error;
	}

	process->next = processes;
	processes = process;
	fcntl(process->out, F_SETFL, O_NONBLOCK);
	fcntl(process->err, F_SETFL, O_NONBLOCK);
	if (process->in >= 0)
		fcntl(process->in, F_SETFL, O_NONBLOCK);
	events_watch(process->out, POLLIN, out_ready, process);
	events_watch(process->err, POLLIN, err_ready, process);
	events_watch(process->report, POLLIN, report_ready, process);
	process_set_deadline(process, spec->deadline);
	heard(process);
	return 0;
}

void
process_forget_oom(Process *process)
{
	if (cgroup_counts_memory(process->cgroup))
		process->oom_kills = cgroup_oom_kills(process->cgroup);
}

void
process_finish(Process *process)
{
	for (Process **link = &processes; *link != NULL; link = &(*link)->next)
		if (*link == process)
		{
			*link = process->next;
			break;
		}
	events_clear_timer(&process->deadline_timer);
	events_clear_timer(&process->silence_timer);
	events_clear_timer(&process->kill_timer);
	events_clear_timer(&process->look_timer);
	process->exited = true;
	while (read_pipe(process, &process->out))
		;
	while (read_pipe(process, &process->err))
		;
	close_pipe(&process->control);
	close_pipe(&process->report);
	close_pipe(&process->in);
	close_pipe(&process->out);
	close_pipe(&process->err);
	/* once more it finds no group */
	process->host_oom |= cgroup_oom_kills(process->cgroup) > process->oom_kills;
	process->host_oom_own = process->host_oom && cgroup_counts_memory(process->cgroup);
	if (process->cgroup != NULL)
		cgroup_remove(process->cgroup);
}

void
process_free(Process *process)
{
	buffer_free(&process->input);
	buffer_free(&process->output);
	free(process->cgroup);
}
