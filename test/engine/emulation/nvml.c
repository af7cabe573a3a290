/*
 * nvml.c: a libnvidia-ml.so.1 for the rehearsal of make gpu-check: a GPU that
 * takes 100 W, is never throttled, and keeps the counters that the engine reads.
 */
#include <string.h>
#include <time.h>

#define FIELD_POWER_CAP 74
#define FIRST_FIELD 269
#define LAST_FIELD 271
#define NOT_SUPPORTED 3

int nvmlInit_v2(void);
int nvmlShutdown(void);
int nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device);
int nvmlDeviceGetClockInfo(void *device, int which, unsigned *megahertz);
int nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules);
int nvmlDeviceGetTemperature(void *device, int which, unsigned *degrees);
int nvmlSystemGetDriverVersion(char *version, unsigned size);

struct field
{
	unsigned	id;
	unsigned	scope;
	long long	timestamp;
	long long	latency;
	int			type;
	int			result;
	unsigned long long value;
};

int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields);

static int	device_of_bus;

int
nvmlInit_v2(void)
{
	return 0;
}

int
nvmlShutdown(void)
{
	return 0;
}

int
nvmlDeviceGetHandleByPciBusId_v2(const char *bus, void **device)
{
	*device = &device_of_bus;
	return strcmp(bus, "0000:01:00.0") == 0 ? 0 : 6;
}

int
nvmlDeviceGetClockInfo(void *device, int which, unsigned *megahertz)
{
	(void) device;
	*megahertz = which == 1 ? 1980 : 2619;
	return 0;
}

int
nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules)
{
	struct timespec now;

	(void) device;
	clock_gettime(CLOCK_MONOTONIC, &now);
	*millijoules = (unsigned long long) now.tv_sec * 100000 + (unsigned long long) now.tv_nsec / 10000;
	return 0;
}

int
nvmlDeviceGetTemperature(void *device, int which, unsigned *degrees)
{
	(void) device;
	*degrees = 42;
	return which == 0 ? 0 : NOT_SUPPORTED;
}

int
nvmlSystemGetDriverVersion(char *version, unsigned size)
{
	strncpy(version, "580.0 of the rehearsal", size);
	return 0;
}

int
nvmlDeviceGetFieldValues(void *device, int count, struct field *fields)
{
	(void) device;
	for (int i = 0; i < count; i++)
	{
		unsigned	id = fields[i].id;

		fields[i].result = id == FIELD_POWER_CAP || (id >= FIRST_FIELD && id <= LAST_FIELD) ? 0 : NOT_SUPPORTED;
		fields[i].value = 0;
	}
	return 0;
}
