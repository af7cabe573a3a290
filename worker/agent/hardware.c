/*
 * The machine, and the GPUs of it that are this worker's.
 *
 * Which hardware_configs row it is, the database says (match_hardware()).
 * What that does not know gets a row of its own: a machine with GPUs one for
 * their model and number, a machine without one for its CPU and the cores that
 * the worker may use, so that equal machines share a name and their results
 * compare.
 */
#include "hardware.h"

#include <ctype.h>
#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <unistd.h>

#define FREE_SHARE 0.9			/* of its memory that an idle GPU has free; the driver keeps a few percent */
#define GIB (1024.0 * 1024 * 1024)

/* The CPU's product name from /proc/cpuinfo; the architecture where it has none. */
static char *
cpu_name(const char *architecture)
{
	static const char *const keys[] = {"model name", "cpu model", "Model", "Hardware"};
	FILE	   *file = fopen("/proc/cpuinfo", "re");
	char		line[512];
	char	   *name = NULL;

	while (file && name == NULL && fgets(line, sizeof(line), file))
	{
		char	   *value = strchr(line, ':');

		for (size_t i = 0; value && i < sizeof(keys) / sizeof(keys[0]) && name == NULL; i++)
		{
			if (strncmp(line, keys[i], strlen(keys[i])) != 0)
				continue;
			value += 1 + strspn(value + 1, " \t");
			value[strcspn(value, "\r\n")] = '\0';
			if (*value != '\0')
				name = xstrdup(value);
		}
	}
	if (file)
		fclose(file);
	return name ? name : xstrdup(architecture);
}

/* In lower case, with a dash for anything that is no letter or digit. */
static char *
slug(const char *text)
{
	char	   *name = xstrdup(text);
	size_t		to = 0;

	for (size_t from = 0; name[from] != '\0'; from++)
	{
		unsigned char c = name[from];

		if (isalnum(c))
			name[to++] = tolower(c);
		else if (to > 0 && name[to - 1] != '-')
			name[to++] = '-';
	}
	while (to > 0 && name[to - 1] == '-')
		to--;
	name[to] = '\0';
	return name;
}

/* cpu-MODEL-CORESc, or MODEL-COUNTx of its GPUs. */
static char *
hardware_name(const Machine *machine)
{
	char	   *model = slug(machine->gpu_count > 0 ? machine->gpus[0].name : machine->cpu);
	char	   *name = machine->gpu_count > 0 ? xprintf("%s-%dx", model, machine->all_gpus)
										: xprintf("cpu-%s-%dc", model, machine->cores);

	free(model);
	return name;
}

/* --------------------------------------------------------------------- GPUs */

static void
add_gpu(Machine *machine, bool found, const GpuInfo *gpu, const char *what)
{
	if (!found)
	{
		if (machine->sick == NULL)
			machine->sick = xprintf("GPU %s cannot be used: it does not answer the driver", what);
		return;
	}
	machine->gpus = reallocarray(machine->gpus, machine->gpu_count + 1, sizeof(GpuInfo));
	if (machine->gpus == NULL)
		abort();
	machine->gpus[machine->gpu_count++] = *gpu;
}

/*
 * All GPUs, or those that CUDA_VISIBLE_DEVICES lets us see: numbers, in the
 * order of the PCI bus as NVML has them, or UUIDs.
 */
static void
detect_gpus(Machine *machine)
{
	const char *visible = getenv("CUDA_VISIBLE_DEVICES");
	Buffer		why = {0};
	NvmlStatus	status = nvml_open(&why);
	GpuInfo		gpu;

	if (status == NVML_BROKEN)
		machine->sick = xstrdup(buffer_text(&why));
	buffer_free(&why);
	if (status != NVML_OK)
		return;
	nvml_versions(machine->driver, machine->cuda);
	if (visible == NULL)
		for (int i = 0; i < nvml_count(); i++)
		{
			char		number[16];

			snprintf(number, sizeof(number), "%d", i);
			add_gpu(machine, nvml_gpu_by_index(i, &gpu), &gpu, number);
		}
	while (visible != NULL && *visible != '\0')
	{
		size_t		len = strcspn(visible, ",");
		char	   *name = xprintf("%.*s", (int) len, visible);

		if (isdigit((unsigned char) *name))
			add_gpu(machine, nvml_gpu_by_index(atoi(name), &gpu), &gpu, name);
		else if (*name != '\0')
			add_gpu(machine, nvml_gpu_by_uuid(name, &gpu), &gpu, name);
		free(name);
		visible += len + (visible[len] == ',');
	}
	machine->all_gpus = machine->gpu_count;
}

/* A GPU belongs to one worker at a time.  The lock is an abstract socket, which vanishes with the process. */
static bool
lock_gpu(const char *uuid)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int			fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int			len = snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "benchorch-gpu %s", uuid);

	if (fd < 0)
		return true;
	if (bind(fd, (struct sockaddr *) &address, offsetof(struct sockaddr_un, sun_path) + 1 + len) == 0)
		return true;			/* held until the process ends */
	close(fd);
	return errno != EADDRINUSE;
}

bool
hardware_take_gpus(Machine *machine, int wanted, Buffer *error)
{
	int			all = machine->all_gpus;
	int			taken = 0;
	Buffer		uuids = {0};

	if (all == 0)
		return true;
	if (wanted == 0)
		wanted = all;
	for (int i = 0; i < all && taken < wanted; i++)
		if (lock_gpu(machine->gpus[i].uuid))
			machine->gpus[taken++] = machine->gpus[i];
	if (taken < wanted)
	{
		buffer_printf(error, "%d of the %d GPUs of this machine %s free, and %d %s wanted", taken, all,
					  taken == 1 ? "is" : "are", wanted, wanted == 1 ? "is" : "are");
		if (all >= wanted)
			buffer_puts(error, "; other workers have the rest: give each its share with --gpus");
		return false;
	}
	machine->gpu_count = taken;
	for (int i = 0; i < taken; i++)
		buffer_printf(&uuids, "%s%s", i > 0 ? "," : "", machine->gpus[i].uuid);
	free(machine->visible);
	machine->visible = uuids.data;
	return true;
}

char *
hardware_visible_gpus(const Machine *machine, int gpus)
{
	const char *end = machine->visible;

	if (end == NULL)
		return NULL;
	for (int i = 0; i < gpus && end != NULL; i++)
		end = strchr(end + (i > 0), ',');
	return end == NULL ? xstrdup(machine->visible) : xprintf("%.*s", (int) (end - machine->visible), machine->visible);
}

bool
hardware_is_well(const Machine *machine, bool idle, Buffer *why)
{
	if (machine->sick != NULL)
	{
		buffer_puts(why, machine->sick);
		return false;
	}
	for (int i = 0; i < machine->gpu_count; i++)
	{
		const GpuInfo *gpu = &machine->gpus[i];
		GpuState	state;

		if (!nvml_is_well(gpu, why))
			return false;
		if (idle)
			nvml_read_state(gpu, &state);
		if (idle && state.memory_free_bytes >= 0 && state.memory_free_bytes < FREE_SHARE * gpu->memory_bytes)
		{
			buffer_printf(why, "somebody else uses GPU %s: only %.1f of its %.1f GiB are free", gpu->uuid,
						  state.memory_free_bytes / GIB, gpu->memory_bytes / GIB);
			return false;
		}
	}
	return true;
}

/* ------------------------------------------------------------------ the whole */

void
hardware_detect(Machine *machine)
{
	struct utsname kernel;
	struct sysinfo memory;
	cpu_set_t	cpus;

	uname(&kernel);
	sysinfo(&memory);
	machine->host = xstrdup(kernel.nodename);
	machine->kernel = xprintf("%s %s %s", kernel.sysname, kernel.release, kernel.machine);
	machine->cpu = cpu_name(kernel.machine);
	machine->cores = sched_getaffinity(0, sizeof(cpus), &cpus) == 0 ? CPU_COUNT(&cpus) : get_nprocs();
	machine->memory_bytes = (int64_t) memory.totalram * memory.mem_unit;
	detect_gpus(machine);
	machine->hardware = hardware_name(machine);
}

void
hardware_free(Machine *machine)
{
	free(machine->hardware);
	free(machine->host);
	free(machine->cpu);
	free(machine->kernel);
	free(machine->gpus);
	free(machine->visible);
	free(machine->sick);
	nvml_close();
	*machine = (Machine){0};
}

void
hardware_write_spec(const Machine *machine, const char *key, Buffer *json)
{
	bool		has_gpus = machine->gpu_count > 0;

	json_open(json, key, '{');
	json_string(json, "kind", has_gpus ? "gpu" : "cpu");
	if (has_gpus)
	{
		json_string(json, "gpu", machine->gpus[0].name);
		json_open(json, "match_names", '[');
		json_string(json, NULL, machine->gpus[0].name);
		json_close(json, ']');
	}
	json_int(json, "gpu_count", has_gpus ? machine->all_gpus : 1);
	json_int(json, "gpu_memory_bytes", has_gpus ? machine->gpus[0].memory_bytes : machine->memory_bytes);
	json_open(json, "details", '{');
	json_string(json, "cpu", machine->cpu);
	json_int(json, "cores", machine->cores);
	json_close(json, '}');
	json_close(json, '}');
}
