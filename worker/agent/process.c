/*
 * One benchmark process and everything that it starts.
 *
 * The process leads a session of its own, so the terminal's signals do not
 * reach it and its group can be signalled.  Groups are not enough: servers
 * start workers in sessions of their own and leave them behind.  The worker
 * is therefore a subreaper: whatever is orphaned below it becomes its child.
 * One run is under way at a time, so every descendant of the worker belongs
 * to that run, and a run is over when the worker has no child left.
 *
 * No parent-death signal is used: it follows the thread that forked, not the
 * process, and is lost across set-user-ID programs.
 */
#include "process.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_SIZE 65536
#define KILL_PATIENCE 10.0		/* seconds that a killed process may take to vanish */
#define LOOK_FIRST 0.001		/* seconds between two looks whether it has */
#define LOOK_LAST 0.05

static Process *current;		/* the one that runs */

static void clear_up(void *context);

/*
 * Reaps every child that has ended, and notes the end of the current one.
 * Every descendant is or becomes our child: when no child is left, all is gone.
 */
static void
reap(void)
{
	pid_t		pid;
	int			status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
	{
		if (current == NULL || pid != current->pid)
			continue;
		current->exited = true;
		current->wait_status = status;
		current->patience = events_now() + KILL_PATIENCE;
		current->pause = LOOK_FIRST;
		events_set_timer(&current->timer, events_now(), clear_up, current);
	}
	if (current != NULL && current->exited && pid < 0 && errno == ECHILD)
	{
		current->gone = true;
		events_clear_timer(&current->timer);
	}
}

bool
process_init(void)
{
	events_on_child(reap);
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

/* The parent of a process, 0 where it is gone. */
static pid_t
parent_of(pid_t pid)
{
	char		path[64], stat[512];
	const char *after_name;
	FILE	   *file;
	size_t		len;
	int			parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	file = fopen(path, "re");
	if (file == NULL)
		return 0;
	len = fread(stat, 1, sizeof(stat) - 1, file);
	fclose(file);
	stat[len] = '\0';
	after_name = strrchr(stat, ')');	/* the name may contain anything */
	if (after_name == NULL || sscanf(after_name + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

/* Sends SIGKILL to every descendant of ours that exists now. */
static void
kill_descendants(void)
{
	DIR		   *directory = opendir("/proc");
	struct dirent *entry;
	struct
	{
		pid_t		pid, parent;
		bool		ours;
	} *all = NULL;
	int			count = 0, size = 0;
	bool		grew = true;

	if (directory == NULL)
		return;
	while ((entry = readdir(directory)) != NULL)
	{
		pid_t		pid = atoi(entry->d_name);

		if (pid <= 0)
			continue;
		if (count == size)
		{
			size = size ? 2 * size : 256;
			all = reallocarray(all, size, sizeof(*all));
			if (all == NULL)
				abort();
		}
		all[count].pid = pid;
		all[count].parent = parent_of(pid);
		all[count].ours = all[count].parent == getpid();
		count++;
	}
	closedir(directory);

	while (grew)
	{
		grew = false;
		for (int i = 0; i < count; i++)
			for (int j = 0; j < count && !all[i].ours; j++)
				if (all[j].ours && all[i].parent == all[j].pid)
					grew = all[i].ours = true;
	}
	for (int i = 0; i < count; i++)
		if (all[i].ours)
			kill(all[i].pid, SIGKILL);
	free(all);
}

/* After the end of the main process: kills what it has left behind, again and again, until that has vanished. */
static void
clear_up(void *context)
{
	Process    *process = context;

	kill_descendants();
	reap();
	if (process->gone)
		return;
	if (events_now() > process->patience)
	{
		process->stuck = true;
		return;
	}
	events_set_timer(&process->timer, events_now() + process->pause, clear_up, process);
	if (process->pause < LOOK_LAST)
		process->pause *= 2;
}

static void
give_up(void *context)
{
	((Process *) context)->stuck = true;
}

static void
kill_tree(void *context)
{
	Process    *process = context;

	if (process->exited)		/* then clear_up is at it */
		return;
	kill(-process->pid, SIGKILL);
	kill_descendants();
	events_set_timer(&process->timer, events_now() + KILL_PATIENCE, give_up, process);
}

static void
deadline_passed(void *context)
{
	Process    *process = context;

	if (process->exited)
		return;
	process->stop = PROCESS_DEADLINE;
	kill(-process->pid, SIGTERM);
	events_set_timer(&process->timer, events_now() + process->deadline_grace, kill_tree, process);
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

static void
close_pipe(int *fd)
{
	if (*fd < 0)
		return;
	events_unwatch(*fd);
	close(*fd);
	*fd = -1;
}

static void
keep_output(Process *process, const char *bytes, size_t len)
{
	if (process->output_to_log)
		capture_append(&process->log, bytes, len);
	if (process->output.len + len <= process->output_limit)
		buffer_append(&process->output, bytes, len);
	else if (process->stop == PROCESS_BY_ITSELF)
	{
		/* it can no longer become a result, and may never end */
		process->stop = PROCESS_OVERFLOW;
		kill_tree(process);
	}
}

/* Reads once; false when there is nothing to be read now. */
static bool
read_pipe(Process *process, int *fd)
{
	char		bytes[READ_SIZE];
	ssize_t		n = *fd < 0 ? -1 : read(*fd, bytes, sizeof(bytes));

	if (n > 0)
	{
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

/* In the child: becomes the program; tells errno through report where it cannot. */
static void
become(const ProcessSpec *spec, int in, int out, int err, int report)
{
	struct rlimit no_core = {0, 0};
	int			error;

	setsid();
	events_forget_signals();
	setrlimit(RLIMIT_CORE, &no_core);	/* GPU processes dump tens of gigabytes */
	if (dup2(in, STDIN_FILENO) >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(err, STDERR_FILENO) >= 0 &&
		chdir(spec->directory) == 0)
	{
		environ = spec->env;
		execvp(spec->argv[0], spec->argv);
	}
	error = errno;
	if (write(report, &error, sizeof(error)) < 0)
		_exit(126);
	_exit(127);
}

int
process_start(Process *process, const ProcessSpec *spec, bool *exec_failed)
{
	int			out[2] = {-1, -1}, err[2] = {-1, -1}, report[2] = {-1, -1};
	int			in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	int			error = 0;

	*exec_failed = false;
	process->out = process->err = -1;
	process->output_limit = spec->output_limit;
	process->output_to_log = spec->output_to_log;
	process->deadline_grace = spec->deadline_grace;

	if (in < 0 || pipe2(out, O_CLOEXEC) < 0 || pipe2(err, O_CLOEXEC) < 0 || pipe2(report, O_CLOEXEC) < 0 ||
		(process->pid = fork()) < 0)
		error = errno;
	else if (process->pid == 0)
		become(spec, in, out[1], err[1], report[1]);

	close(in);
	close(out[1]);
	close(err[1]);
	close(report[1]);
	if (error == 0)
	{
		/* setsid() precedes exec, so that once this returns the group exists */
		current = process;
		if (read(report[0], &error, sizeof(error)) == sizeof(error))
		{
			*exec_failed = true;
			waitpid(process->pid, &process->wait_status, 0);
			current = NULL;
		}
		else
			error = 0;
	}
	close(report[0]);
	if (error != 0)
	{
		close(out[0]);
		close(err[0]);
		return error;
	}

	fcntl(out[0], F_SETFL, O_NONBLOCK);
	fcntl(err[0], F_SETFL, O_NONBLOCK);
	process->out = out[0];
	process->err = err[0];
	events_watch(process->out, POLLIN, out_ready, process);
	events_watch(process->err, POLLIN, err_ready, process);
	events_set_timer(&process->timer, events_now() + spec->deadline, deadline_passed, process);
	return 0;
}

bool
process_done(const Process *process)
{
	return process->gone || process->stuck;
}

void
process_finish(Process *process)
{
	events_clear_timer(&process->timer);
	current = NULL;

	while (read_pipe(process, &process->out))
		;
	while (read_pipe(process, &process->err))
		;
	events_clear_timer(&process->timer);	/* the last bytes may have been too many */
	close_pipe(&process->out);
	close_pipe(&process->err);
}

void
process_free(Process *process)
{
	buffer_free(&process->output);
}
