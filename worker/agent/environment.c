/*
 * What a run was measured on, and what else went on there meanwhile.
 *
 * A look is taken right before a run and right after it; the record holds the
 * machine, the differences of counters of the kernel, and both states of each
 * GPU.  A look costs some file reads of /proc and the NVML calls, well below a
 * millisecond on most machines.
 */
#include "environment.h"

#include "events.h"

#include <dirent.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The beginning of a small file; false where it cannot be read. */
static bool
read_text(const char *path, char *text, size_t size)
{
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		len = fd >= 0 ? read(fd, text, size - 1) : -1;

	text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
	return len > 0;
}

/*
 * The same of a file of the kernel's that is read before and after each run: it
 * stays open, and read again from its beginning it tells what is so now.
 */
static bool
read_again(int *fd, const char *path, char *text, size_t size)
{
	ssize_t		len;

	if (*fd < 0)
		*fd = open(path, O_RDONLY | O_CLOEXEC);
	len = *fd >= 0 ? pread(*fd, text, size - 1, 0) : -1;
	text[len > 0 ? len : 0] = '\0';
	return len > 0;
}

/* ---------------------------------------------------------------- CPU time */

/* The machine's, from the first line of /proc/stat. */
static void
read_machine_time(double *busy_s, double *steal_s)
{
	double		hz = (double) sysconf(_SC_CLK_TCK);
	unsigned long long user, nice, system, idle, iowait, irq, softirq, steal;
	static int	fd = -1;
	char		text[256];

	*busy_s = *steal_s = NAN;
	if (!read_again(&fd, "/proc/stat", text, sizeof(text)) ||
		sscanf(text, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &iowait, &irq,
			   &softirq, &steal) != 8)
		return;
	*busy_s = (double) (user + nice + system + irq + softirq) / hz;
	*steal_s = (double) steal / hz;
}

/* What a process and the children that it has waited for have used; *threads is how many it has. */
static double
process_time(pid_t pid, long *threads)
{
	char		path[64], text[512];
	const char *after_name;
	unsigned long long user, system;
	long long	child_user, child_system;

	*threads = 0;
	snprintf(path, sizeof(path), "/proc/%d/stat", (int) pid);
	if (!read_text(path, text, sizeof(text)) || (after_name = strrchr(text, ')')) == NULL ||
		sscanf(after_name + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %lld %lld %*d %*d %ld", &user,
			   &system, &child_user, &child_system, threads) != 5)
		return 0;
	return (double) (user + system + child_user + child_system) / (double) sysconf(_SC_CLK_TCK);
}

static double tree_time(pid_t pid, int depth);

/* Of everything below one thread. */
static double
children_time(pid_t pid, const char *thread, int depth)
{
	double		seconds = 0;
	char		path[96], text[4096];
	char	   *at = text;
	long		child;

	snprintf(path, sizeof(path), "/proc/%d/task/%.20s/children", (int) pid, thread);
	read_text(path, text, sizeof(text));
	while ((child = strtol(at, &at, 10)) > 0)
		seconds += tree_time((pid_t) child, depth + 1);
	return seconds;
}

/*
 * Of a process and everything below it.  The kernel lists a process's children
 * by its threads; mostly there is one, which has the process's number.
 */
static double
tree_time(pid_t pid, int depth)
{
	long		thread_count;
	double		seconds = process_time(pid, &thread_count);
	char		path[64];
	DIR		   *threads;
	struct dirent *entry;

	if (depth >= 64 || thread_count == 0)
		return seconds;
	if (thread_count == 1)
	{
		snprintf(path, sizeof(path), "%d", (int) pid);
		return seconds + children_time(pid, path, depth);
	}
	snprintf(path, sizeof(path), "/proc/%d/task", (int) pid);
	threads = opendir(path);
	while (threads != NULL && (entry = readdir(threads)) != NULL)
		if (entry->d_name[0] != '.')
			seconds += children_time(pid, entry->d_name, depth);
	if (threads != NULL)
		closedir(threads);
	return seconds;
}

/* ---------------------------------------------------------------- pressure */

static const char *const pressure_names[PRESSURES] = {"cpu", "memory", "io"};

/* The time in which some process waited, from "some avg10=... total=MICROSECONDS". */
static double
read_pressure(Pressure of)
{
	static int	fds[PRESSURES] = {-1, -1, -1};
	char		path[64], text[256];
	const char *total;

	snprintf(path, sizeof(path), "/proc/pressure/%s", pressure_names[of]);
	if (!read_again(&fds[of], path, text, sizeof(text)) || (total = strstr(text, "total=")) == NULL)
		return NAN;
	return strtod(total + 6, NULL) / 1e6;
}

/* ------------------------------------------------------------------ looking */

void
environment_look(const Machine *machine, int gpus, Look *look)
{
	if (gpus > machine->gpu_count || gpus <= 0)
		gpus = machine->gpu_count;
	look->gpu_count = gpus < LOOK_GPUS ? gpus : LOOK_GPUS;
	for (int i = 0; i < look->gpu_count; i++)
		nvml_read_state(&machine->gpus[i], &look->gpus[i]);
	look->at = events_now();
	read_machine_time(&look->busy_s, &look->steal_s);
	look->own_s = tree_time(getpid(), 0);
	for (int i = 0; i < PRESSURES; i++)
		look->waited_s[i] = read_pressure((Pressure) i);
}

double
environment_free_share(const Machine *machine, const Look *look)
{
	double		least = -1;

	for (int i = 0; i < look->gpu_count; i++)
	{
		double		share = (double) look->gpus[i].memory_free_bytes / (double) machine->gpus[i].memory_bytes;

		if (look->gpus[i].memory_free_bytes < 0)
			return -1;
		if (least < 0 || share < least)
			least = share;
	}
	return least;
}

/* ---------------------------------------------------------------- the record */

/* null where it is not known */
static void
write_number(Buffer *json, const char *key, double value, int decimals)
{
	if (isnan(value))
		json_null(json, key);
	else
		json_number(json, key, value, decimals);
}

static void
write_count(Buffer *json, const char *key, int64_t value)
{
	if (value < 0)
		json_null(json, key);
	else
		json_int(json, key, value);
}

static void
write_mode(Buffer *json, const char *key, int mode)
{
	if (mode < 0)
		json_null(json, key);
	else
		json_bool(json, key, mode != 0);
}

static void
write_state(Buffer *json, const char *key, const GpuState *state)
{
	static const char *const throttle_names[THROTTLES] = {
		[THROTTLE_POWER_CAP] = "power_cap",
		[THROTTLE_THERMAL_SOFTWARE] = "thermal_software",
		[THROTTLE_THERMAL_HARDWARE] = "thermal_hardware",
		[THROTTLE_POWER_BRAKE] = "power_brake",
	};

	json_open(json, key, '{');
	write_number(json, "sm_clock_mhz", state->sm_clock_mhz, 0);
	write_number(json, "memory_clock_mhz", state->memory_clock_mhz, 0);
	write_number(json, "temperature_c", state->temperature_c, 0);
	write_number(json, "power_w", state->power_w, 1);
	write_number(json, "energy_j", state->energy_j, 3);
	write_count(json, "memory_free_bytes", state->memory_free_bytes);
	write_count(json, "ecc_errors", state->ecc_errors);
	json_open(json, "throttle_ns", '{');
	for (int i = 0; i < THROTTLES; i++)
		write_count(json, throttle_names[i], state->throttle_ns[i]);
	json_close(json, '}');
	json_close(json, '}');
}

static void
write_gpus(Buffer *json, const Machine *machine, const Look *before, const Look *after)
{
	int			count = before != NULL ? before->gpu_count : machine->gpu_count;

	json_open(json, "gpus", '[');
	for (int i = 0; i < count; i++)
	{
		const GpuInfo *gpu = &machine->gpus[i];

		json_open(json, NULL, '{');
		json_string(json, "uuid", gpu->uuid);
		json_string(json, "name", gpu->name);
		json_int(json, "memory_bytes", gpu->memory_bytes);
		write_mode(json, "ecc", gpu->ecc);
		write_mode(json, "mig", gpu->mig);
		write_number(json, "power_limit_w", gpu->power_limit_w, 1);
		write_number(json, "max_sm_clock_mhz", gpu->max_sm_clock_mhz, 0);
		write_number(json, "max_memory_clock_mhz", gpu->max_memory_clock_mhz, 0);
		if (before != NULL)
			write_state(json, "before", &before->gpus[i]);
		if (after != NULL)
			write_state(json, "after", &after->gpus[i]);
		json_close(json, '}');
	}
	json_close(json, ']');
}

static void
write_between(Buffer *json, const Look *before, const Look *after)
{
	double		seconds = after->at - before->at;
	double		run = after->own_s - before->own_s;

	write_number(json, "seconds", seconds, 6);
	write_number(json, "run_cpu_s", run, 2);
	/* counters of the machine and of processes tick apart by a hair */
	write_number(json, "others_cpu_s", fmax(0, after->busy_s - before->busy_s - run), 2);
	write_number(json, "steal_cpu_s", after->steal_s - before->steal_s, 2);
	json_open(json, "pressure", '{');
	for (int i = 0; i < PRESSURES; i++)
		write_number(json, pressure_names[i],
					 seconds > 0 ? fmin(1, (after->waited_s[i] - before->waited_s[i]) / seconds) : NAN, 4);
	json_close(json, '}');
}

void
environment_write(const Machine *machine, const Look *before, const Look *after, const char *key, Buffer *json)
{
	char		governor[64];

	json_open(json, key, '{');
	json_string(json, "host", machine->host);
	json_string(json, "kernel", machine->kernel);
	json_string(json, "worker_version", BENCHORCH_VERSION);
	json_string(json, "cpu", machine->cpu);
	json_int(json, "cores", machine->cores);
	json_int(json, "memory_bytes", machine->memory_bytes);
	if (read_text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof(governor)))
	{
		governor[strcspn(governor, "\n")] = '\0';
		json_string(json, "governor", governor);
	}
	else
		json_null(json, "governor");
	if (machine->gpu_count > 0)
	{
		json_string(json, "driver", machine->driver);
		json_string(json, "cuda", machine->cuda);
		write_gpus(json, machine, before, after);
	}
	if (before != NULL && after != NULL)
		write_between(json, before, after);
	json_close(json, '}');
}
