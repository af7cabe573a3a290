/*
 * machine.c: what Linux says about this machine and the control group we are
 * in.  Every file may be missing (containers hide some); what is not known is
 * left out of the answer, never guessed.
 */
#define _GNU_SOURCE
#include "machine.h"

#include <math.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define CGROUP_ROOT "/sys/fs/cgroup"

double
machine_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double) now.tv_sec + (double) now.tv_nsec * 1e-9;
}

/* the first line that starts with prefix, without it; false if there is none */
static bool
find_line(const char *path, const char *prefix, char *line, size_t size)
{
	FILE	   *file = fopen(path, "re");
	bool		found = false;

	if (file == NULL)
		return false;
	while (!found && fgets(line, (int) size, file) != NULL)
		found = strncmp(line, prefix, strlen(prefix)) == 0;
	fclose(file);
	if (found)
	{
		memmove(line, line + strlen(prefix), strlen(line) - strlen(prefix) + 1);
		line[strcspn(line, "\n")] = 0;
	}
	return found;
}

/*
 * Calls visit for our control group (version 2) and each of its ancestors, for
 * a limit anywhere above counts.  In a container's own namespace that is just
 * the root.
 */
static void
visit_cgroups(void (*visit)(const char *directory, void *argument), void *argument)
{
	char		group[2048];
	char		directory[2048 + sizeof(CGROUP_ROOT)];

	if (!find_line("/proc/self/cgroup", "0::", group, sizeof(group)))
		strcpy(group, "/");
	for (;;)
	{
		char	   *slash = strrchr(group, '/');

		snprintf(directory, sizeof(directory), "%s%s", CGROUP_ROOT, group);
		visit(directory, argument);
		if (slash == NULL || group[1] == 0)
			break;
		slash[slash == group] = 0;
	}
}

/* a file of a control group that holds one number; "max" and nothing are infinite */
static double
cgroup_number(const char *directory, const char *file)
{
	char		path[4096];
	char		line[128];

	snprintf(path, sizeof(path), "%s/%s", directory, file);
	if (!find_line(path, "", line, sizeof(line)) || strcmp(line, "max") == 0)
		return INFINITY;
	return strtod(line, NULL);
}

static void
lower_cpus(const char *directory, void *argument)
{
	double	   *cpus = argument;
	char		path[4096];
	char		line[128];
	double		quota;
	double		period;

	snprintf(path, sizeof(path), "%s/cpu.max", directory);
	if (find_line(path, "", line, sizeof(line)) &&
		sscanf(line, "%lf %lf", &quota, &period) == 2 && period > 0)
		*cpus = fmin(*cpus, quota / period);
}

int
machine_cpus(void)
{
	double		cpus = 1;
	double		quota = cgroup_number(CGROUP_ROOT "/cpu", "cpu.cfs_quota_us");
	double		period = cgroup_number(CGROUP_ROOT "/cpu", "cpu.cfs_period_us");

	/* the mask must be as wide as the kernel's, which only trying tells */
	for (int bits = 1024; bits <= 1 << 20; bits *= 2)
	{
		cpu_set_t  *set = CPU_ALLOC(bits);
		bool		fits = set != NULL && sched_getaffinity(0, CPU_ALLOC_SIZE(bits), set) == 0;

		if (fits)
			cpus = CPU_COUNT_S(CPU_ALLOC_SIZE(bits), set);
		CPU_FREE(set);
		if (fits)
			break;
	}
	visit_cgroups(lower_cpus, &cpus);
	/* version 1, where no quota is -1 */
	if (isfinite(quota) && quota > 0 && period > 0)
		cpus = fmin(cpus, quota / period);
	/* a thread beyond the quota only gets all of them throttled */
	return cpus < 1 ? 1 : (int) cpus;
}

static void
lower_memory(const char *directory, void *argument)
{
	double	   *available = argument;
	double		limit = cgroup_number(directory, "memory.max");
	double		used = cgroup_number(directory, "memory.current");
	double		reclaimable = 0;
	char		path[4096];
	char		line[128];

	if (!isfinite(limit) || !isfinite(used))
		return;
	snprintf(path, sizeof(path), "%s/memory.stat", directory);
	if (find_line(path, "inactive_file ", line, sizeof(line)))
		reclaimable = strtod(line, NULL);
	*available = fmin(*available, limit - used + reclaimable);
}

int64_t
machine_available_memory(void)
{
	char		line[128];
	double		available = INFINITY;
	double		limit = cgroup_number(CGROUP_ROOT "/memory", "memory.limit_in_bytes");
	double		used = cgroup_number(CGROUP_ROOT "/memory", "memory.usage_in_bytes");

	if (find_line("/proc/meminfo", "MemAvailable:", line, sizeof(line)))
		available = strtod(line, NULL) * 1024;
	visit_cgroups(lower_memory, &available);
	if (isfinite(limit) && isfinite(used))
		available = fmin(available, limit - used);
	if (!isfinite(available))
		available = (double) sysconf(_SC_AVPHYS_PAGES) * (double) sysconf(_SC_PAGESIZE);
	return available < 0 ? 0 : (int64_t) available;
}

int64_t
machine_peak_memory(void)
{
	char		line[128];

	if (!find_line("/proc/self/status", "VmHWM:", line, sizeof(line)))
		return -1;
	return strtoll(line, NULL, 10) * 1024;
}

void
machine_cpu_model(char *name, size_t size)
{
	char		line[256];
	const char *at;

	if (!find_line("/proc/cpuinfo", "model name", line, sizeof(line)))
	{
		snprintf(name, size, "unknown");
		return;
	}
	at = line + strspn(line, "\t :");
	snprintf(name, size, "%s", at);
}

double
machine_cpu_pressure(void)
{
	char		line[128];

	if (!find_line("/proc/pressure/cpu", "some avg10=", line, sizeof(line)))
		return NAN;
	return strtod(line, NULL) / 100;
}

struct machine_usage
machine_usage(void)
{
	struct machine_usage usage = {machine_now(), 0, NAN, NAN};
	struct rusage own;
	double user,
		nice,
		system,
		idle,
		iowait,
		irq,
		softirq,
		steal;
	double		tick = 1.0 / (double) sysconf(_SC_CLK_TCK);
	char		line[512];

	getrusage(RUSAGE_SELF, &own);
	usage.own = (double) own.ru_utime.tv_sec + (double) own.ru_stime.tv_sec +
		(double) (own.ru_utime.tv_usec + own.ru_stime.tv_usec) * 1e-6;
	if (find_line("/proc/stat", "cpu ", line, sizeof(line)) &&
		sscanf(line, "%lf %lf %lf %lf %lf %lf %lf %lf", &user, &nice, &system,
			   &idle, &iowait, &irq, &softirq, &steal) == 8)
	{
		usage.all = (user + nice + system + irq + softirq) * tick;
		usage.stolen = steal * tick;
	}
	return usage;
}
