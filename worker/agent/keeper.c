/*
 * The process between the worker and a benchmark: it keeps the whole tree.
 *
 * Process groups and sessions are not enough to end a benchmark: servers start
 * workers in sessions of their own, fork twice, and leave them behind.  The
 * keeper is a subreaper, so whatever is orphaned below it becomes its child,
 * and it belongs to one command only: its descendants are that command's
 * tree, whatever else the worker runs.  The tree is over when the keeper has
 * no child left.  Where a control group could be made, that is killed as a
 * whole besides, which no fork can outrun.
 *
 * The keeper outlives the worker for as long as its work takes: when the
 * worker dies, even by SIGKILL, its end of the control pipe closes, and the
 * keeper kills the tree.  So no benchmark holds a GPU after its worker.  No
 * parent-death signal is used: that follows the thread that forked, and is lost
 * across set-user-ID programs.
 *
 * A benchmark that kills its keeper makes its processes children of the
 * worker, which is a subreaper, too: process.c.
 */
#include "keeper.h"

#include "cgroup.h"
#include "events.h"

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
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOOK_FIRST 1			/* milliseconds between two looks whether all is gone */
#define LOOK_LAST 64

/* ------------------------------------------------------------- descendants */

typedef struct Relative
{
	pid_t		pid, parent;
	bool		ours;
} Relative;

/* The parent of a process, 0 where it is gone. */
static pid_t
parent_of(pid_t pid)
{
	char		path[64], stat[512];
	const char *after_name;
	int			fd;
	ssize_t		len;
	int			parent;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return 0;
	len = read(fd, stat, sizeof(stat) - 1);
	close(fd);
	if (len <= 0)
		return 0;
	stat[len] = '\0';
	after_name = strrchr(stat, ')');	/* the name may contain anything */
	if (after_name == NULL || sscanf(after_name + 1, " %*c %d", &parent) != 1)
		return 0;
	return parent;
}

static bool
is_spared(pid_t pid, const pid_t *spared, int spared_count)
{
	for (int i = 0; i < spared_count; i++)
		if (spared[i] == pid)
			return true;
	return false;
}

/* All processes of the machine. */
static Relative *
list_processes(int *count)
{
	DIR		   *directory = opendir("/proc");
	struct dirent *entry;
	Relative   *all = NULL;
	int			size = 0;

	*count = 0;
	while (directory != NULL && (entry = readdir(directory)) != NULL)
	{
		pid_t		pid = atoi(entry->d_name);

		if (pid <= 0)
			continue;
		if (*count == size)
		{
			size = size ? 2 * size : 256;
			all = reallocarray(all, size, sizeof(*all));
			if (all == NULL)
				abort();
		}
		all[(*count)++] = (Relative){.pid = pid, .parent = parent_of(pid)};
	}
	if (directory != NULL)
		closedir(directory);
	return all;
}

int
keeper_kill_descendants(const pid_t *spared, int spared_count)
{
	int			count;
	int			killed = 0;
	Relative   *all = list_processes(&count);
	pid_t		us = getpid();
	bool		grew = true;

	while (grew)
	{
		grew = false;
		for (int i = 0; i < count; i++)
		{
			bool		ours = all[i].parent == us;

			if (all[i].ours || is_spared(all[i].pid, spared, spared_count))
				continue;
			for (int j = 0; j < count && !ours; j++)
				ours = all[j].ours && all[i].parent == all[j].pid;
			grew |= all[i].ours = ours;
		}
	}
	for (int i = 0; i < count; i++)
		if (all[i].ours)
		{
			kill(all[i].pid, SIGKILL);
			killed++;
		}
	free(all);
	return killed;
}

/* -------------------------------------------------------------- the command */

static void
tell_error(int report, int error, bool exec)
{
	KeeperError message;

	memset(&message, 0, sizeof(message));
	message.error = error;
	message.exec = exec;
	/* if nobody listens any more there is nothing to be done */
	if (write(report, &message, sizeof(message)) < 0)
		_exit(126);
}

/* If memory runs out, the kernel should end the benchmark before its worker. */
static void
prefer_for_oom(void)
{
	int			fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, "500", 3) < 0)
		errno = 0;				/* then it is as likely as any other */
	close(fd);
}

/* Becomes the program; tells errno where it cannot. */
static void
become(const KeeperSpec *spec, int report)
{
	struct rlimit no_core = {0, 0};

	setsid();
	prctl(PR_SET_NAME, "benchorch-run");	/* until it is another program */
	events_forget_signals();
	setrlimit(RLIMIT_CORE, &no_core);	/* GPU processes dump tens of gigabytes */
	prefer_for_oom();
	if (spec->cgroup != NULL)
		cgroup_enter(spec->cgroup);
	if (dup2(spec->in, STDIN_FILENO) >= 0 && dup2(spec->out, STDOUT_FILENO) >= 0 &&
		dup2(spec->err, STDERR_FILENO) >= 0 && chdir(spec->directory) == 0)
	{
		environ = spec->env;
		execvp(spec->argv[0], spec->argv);
	}
	tell_error(report, errno, true);
	_exit(127);
}

/*
 * Starts the command and waits until it is the program that it should be; its
 * pid, or -1, the error being told.  The pipe is closed by a successful exec.
 */
static pid_t
start_command(const KeeperSpec *spec, int report)
{
	int			started[2];
	KeeperError error;
	pid_t		pid;

	if (pipe2(started, O_CLOEXEC) < 0 || (pid = fork()) < 0)
	{
		tell_error(report, errno, false);
		return -1;
	}
	if (pid == 0)
		become(spec, started[1]);
	close(started[1]);
	if (read(started[0], &error, sizeof(error)) == sizeof(error))
	{
		waitpid(pid, NULL, 0);
		tell_error(report, error.error, error.exec);
		return -1;
	}
	close(started[0]);
	tell_error(report, 0, false);
	return pid;
}

/* ---------------------------------------------------------------- the keeper */

/* Kills, again and again, until nothing is left; this may be for ever, if a driver holds a process. */
static void
end_tree(const KeeperSpec *spec, pid_t worker)
{
	int			pause = LOOK_FIRST;

	/* mostly nothing is left, and then nothing needs to be looked for */
	while (waitpid(-1, NULL, WNOHANG) >= 0 || errno != ECHILD)
	{
		if (spec->cgroup != NULL)
			cgroup_kill(spec->cgroup);
		keeper_kill_descendants(NULL, 0);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		poll(NULL, 0, pause);
		pause = pause < LOOK_LAST ? 2 * pause : pause;
	}
	/* the worker looks at the group before it removes it */
	if (spec->cgroup != NULL && getppid() != worker)
		cgroup_remove(spec->cgroup);
}

/* Reaps what has ended; true when the command is among it. */
static bool
reap(pid_t command, int report)
{
	bool		ended = false;
	pid_t		pid;
	int			status;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == command)
		{
			ended = true;
			if (write(report, &status, sizeof(status)) < 0)
				continue;		/* the worker is gone, and soon so are we */
		}
	return ended;
}

static void
keep(const KeeperSpec *spec, int control, int report, pid_t worker)
{
	sigset_t	all;
	sigset_t	children;
	struct pollfd polled[2];
	pid_t		command;

	/* nobody's signal ends the keeper but SIGKILL */
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	setsid();
	prctl(PR_SET_NAME, "benchorch-keep");
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	command = start_command(spec, report);
	close(spec->in);
	close(spec->out);
	close(spec->err);
	if (command < 0)
		return;

	sigemptyset(&children);
	sigaddset(&children, SIGCHLD);
	polled[0] = (struct pollfd){.fd = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC), .events = POLLIN};
	polled[1] = (struct pollfd){.fd = control, .events = POLLIN};

	for (;;)
	{
		struct signalfd_siginfo info;
		char		byte;

		poll(polled, 2, -1);
		while (read(polled[0].fd, &info, sizeof(info)) > 0)
			;
		if (reap(command, report))
			break;
		if (polled[1].revents == 0)
			continue;
		if (read(control, &byte, 1) <= 0)
			break;
		kill(-command, SIGTERM);
	}
	end_tree(spec, worker);
}

/*
 * Leaves open only what the keeper and the command need.  The rest is the
 * worker's: connections that must end when it ends, and other runs' pipes.
 */
static KeeperSpec
close_others(const KeeperSpec *spec, int *control, int *report)
{
	int			null = open("/dev/null", O_RDWR | O_CLOEXEC);
	int			needed[] = {spec->in, spec->out, spec->err, *control, *report};
	KeeperSpec	moved = *spec;
	int			count = sizeof(needed) / sizeof(needed[0]);

	/* out of the way first, so that no move overwrites what is still needed */
	for (int i = 0; i < count; i++)
		needed[i] = fcntl(needed[i], F_DUPFD_CLOEXEC, 3 + 2 * count);
	for (int i = 0; i < count; i++)
		dup3(needed[i], 3 + i, O_CLOEXEC);
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		dup2(null, fd);
	closefrom(3 + count);
	moved.in = 3;
	moved.out = 4;
	moved.err = 5;
	*control = 6;
	*report = 7;
	return moved;
}

pid_t
keeper_start(const KeeperSpec *spec, int control, int report)
{
	pid_t		worker = getpid();
	pid_t		pid = fork();
	KeeperSpec	own;

	if (pid != 0)
		return pid;
	own = close_others(spec, &control, &report);
	keep(&own, control, report, worker);
	_exit(0);
}
