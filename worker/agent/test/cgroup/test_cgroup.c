/*
 * Runs in control groups of their own, where this process may make them: what
 * leaves its run is killed with it, and the kernel's kills for memory are told
 * by run.  Prints TAP; where groups cannot be made, it is skipped with the reason.
 *
 * For the memory part the process must be in a group with a limit, of at
 * least 300 MiB, that has the memory controller:
 *
 *   mkdir /sys/fs/cgroup/box; echo 400M >/sys/fs/cgroup/box/memory.max
 *   sh -c 'echo $$ >/sys/fs/cgroup/box/cgroup.procs; exec build/test-cgroup'
 */
#include "../../cgroup.h"
#include "../../process.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int	tests;
static int	failures;

static void
check(bool ok, const char *name)
{
	printf("%sok %d - %s\n", ok ? "" : "not ", ++tests, name);
	failures += !ok;
}

static void
nothing(int count)
{
	(void) count;
}

/* Runs a shell command to its end; whether its group was there meanwhile and is gone now. */
static bool
run_shell(const char *text, Process *process)
{
	char	   *argv[] = {"sh", "-c", (char *) text, NULL};
	ProcessSpec spec = {
		.argv = argv, .env = environ, .directory = "/", .deadline = 60, .deadline_grace = 1, .output_limit = 1 << 20
	};
	bool		exec_failed;
	struct stat info;
	bool		had_group;

	memset(process, 0, sizeof(*process));
	if (process_start(process, &spec, &exec_failed) != 0)
		return false;
	had_group = process->cgroup != NULL && stat(process->cgroup, &info) == 0;
	while (!process_done(process))
		events_wait(events_now() + 10);
	process_finish(process);
	return had_group && stat(process->cgroup, &info) != 0;
}

int
main(void)
{
	static Process process;

	if (!events_open(nothing) || !process_init())
		return 1;
	if (cgroup_missing() != NULL)
	{
		printf("1..0 # SKIP %s\n", cgroup_missing());
		return 0;
	}

	check(run_shell("grep -c benchorch-run /proc/self/cgroup", &process), "a run has a group, which goes with it");
	check(process.output.len > 0 && process.output.data[0] != '0', "and is in it");
	check(!process.host_oom && process.wait_status == 0, "it ended well");
	process_free(&process);

	check(run_shell("setsid sh -c 'setsid sleep 1000 & sleep 1000' & sleep 0.2; echo left", &process) && !process.stuck,
		  "what a run has left behind is killed with its group");
	process_free(&process);

	check(run_shell("kill -9 $PPID; sleep 1000", &process) && !process.stuck, "also when it has killed its keeper");
	process_free(&process);

	if (cgroup_limits_memory())
	{
		check(run_shell("exec perl -e '$x[$_] = \"x\" x 10_000_000 for 0 .. 1e6' 2>&1", &process) && process.host_oom,
			  "a run that allocates until the kernel kills it is told by its group");
		check(WIFSIGNALED(process.wait_status) && WTERMSIG(process.wait_status) == SIGKILL, "it, and not this process, was killed");
		process_free(&process);
		check(run_shell("kill -9 $$", &process) && !process.host_oom, "any other SIGKILL is not");
		process_free(&process);
	}
	else
		printf("ok %d # SKIP no memory limit here, or groups do not count memory\n", ++tests);
	printf("1..%d\n", tests);
	return failures > 0;
}
