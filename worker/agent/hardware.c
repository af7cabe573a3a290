/*
 * The machine: what it is called in the matrix, and what results say about it.
 *
 * A machine without GPU is a hardware of its own, named by its CPU and the
 * cores that the worker may use, so that equal machines share a name and
 * their results compare.
 */
#include "hardware.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>

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

/* cpu-MODEL-CORESc in lower case, with a dash for anything that is no letter or digit. */
static char *
hardware_name(const char *cpu, int cores)
{
	char	   *name = xprintf("cpu-%s", cpu);
	char	   *full;
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
	full = xprintf("%.*s-%dc", (int) to, name, cores);
	free(name);
	return full;
}

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
	machine->hardware = hardware_name(machine->cpu, machine->cores);
}

void
hardware_free(Machine *machine)
{
	free(machine->hardware);
	free(machine->host);
	free(machine->cpu);
	free(machine->kernel);
	*machine = (Machine){0};
}

void
hardware_write_spec(const Machine *machine, const char *key, Buffer *json)
{
	json_open(json, key, '{');
	json_string(json, "kind", "cpu");
	json_int(json, "gpu_count", 1);
	json_int(json, "gpu_memory_bytes", machine->memory_bytes);
	json_open(json, "details", '{');
	json_string(json, "cpu", machine->cpu);
	json_int(json, "cores", machine->cores);
	json_close(json, '}');
	json_close(json, '}');
}

void
hardware_write_environment(const Machine *machine, const char *key, Buffer *json)
{
	json_open(json, key, '{');
	json_string(json, "host", machine->host);
	json_string(json, "cpu", machine->cpu);
	json_int(json, "cores", machine->cores);
	json_int(json, "memory_bytes", machine->memory_bytes);
	json_string(json, "kernel", machine->kernel);
	json_string(json, "worker_version", BENCHORCH_VERSION);
	json_close(json, '}');
}
