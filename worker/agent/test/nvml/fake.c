/*
 * A fake libnvidia-ml.so.1, for tests of the worker without a GPU.
 *
 * The environment's FAKE_NVML names a file that says what the driver tells, a
 * line each, "KEY VALUE" for all GPUs or "KEY.NUMBER VALUE" for one.  It is
 * read at every call, so a test may change it while the worker runs.  What is
 * not in it is an idle, healthy H200.  Counters that grow by "KEY_step" do so
 * at every reading.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GPUS 16
#define NOT_SUPPORTED 3
#define NOT_FOUND 6
#define TIMEOUT 10

typedef struct
{
	int			number;
} Device;

static Device devices[GPUS];
static unsigned long long readings[GPUS];
static long long told_xid;

/* The value of a key, or the fallback. */
static const char *
look_up(const char *key, int gpu, const char *fallback)
{
	static char line[256];
	static char found[256];
	FILE	   *file = getenv("FAKE_NVML") ? fopen(getenv("FAKE_NVML"), "r") : NULL;
	char		own[128];

	snprintf(own, sizeof(own), "%s.%d", key, gpu);
	snprintf(found, sizeof(found), "%s", fallback);
	while (file != NULL && fgets(line, sizeof(line), file))
	{
		size_t		len = strcspn(line, " \n");

		line[strcspn(line, "\n")] = '\0';
		if (line[len] == '\0' || (strncmp(line, own, len) != 0 && strncmp(line, key, len) != 0))
			continue;
		if (strlen(own) == len || strlen(key) == len)
			snprintf(found, sizeof(found), "%s", line + len + 1);
	}
	if (file != NULL)
		fclose(file);
	return found;
}

static long long
number(const char *key, int gpu, const char *fallback)
{
	return atoll(look_up(key, gpu, fallback));
}

/* A counter: its value and what has been added by readings. */
static unsigned long long
counter(const char *key, int gpu)
{
	char		step[128];

	snprintf(step, sizeof(step), "%s_step", key);
	return number(key, gpu, "0") + number(step, gpu, "0") * readings[gpu];
}

static int
number_of(void *device)
{
	return ((Device *) device)->number;
}

int
nvmlInit_v2(void)
{
	for (int i = 0; i < GPUS; i++)
		devices[i].number = i;
	return (int) number("init", 0, "0");
}

int
nvmlShutdown(void)
{
	return 0;
}

const char *
nvmlErrorString(int code)
{
	return code == 15 ? "GPU is lost" : code == 18 ? "Driver/library version mismatch"
												   : "Unknown Error";
}

int
nvmlSystemGetDriverVersion(char *version, unsigned size)
{
	snprintf(version, size, "%s", look_up("driver", 0, "580.65.06"));
	return 0;
}

int
nvmlSystemGetCudaDriverVersion_v2(int *version)
{
	*version = (int) number("cuda", 0, "13000");
	return 0;
}

int
nvmlDeviceGetCount_v2(unsigned *count)
{
	*count = (unsigned) number("count", 0, "1");
	return 0;
}

int
nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device)
{
	if (index >= number("count", 0, "1"))
		return NOT_FOUND;
	*device = &devices[index];
	return (int) number("handle", (int) index, "0");
}

int
nvmlDeviceGetUUID(void *device, char *uuid, unsigned size)
{
	snprintf(uuid, size, "%s%d", look_up("uuid", number_of(device), "GPU-00000000-fake-0000-0000-00000000000"),
			 number_of(device));
	return 0;
}

int
nvmlDeviceGetHandleByUUID(const char *uuid, void **device)
{
	for (int i = 0; i < number("count", 0, "1"); i++)
	{
		char		own[96];

		nvmlDeviceGetUUID(&devices[i], own, sizeof(own));
		if (strcmp(own, uuid) != 0)
			continue;
		*device = &devices[i];
		return 0;
	}
	return NOT_FOUND;
}

int
nvmlDeviceGetName(void *device, char *name, unsigned size)
{
	snprintf(name, size, "%s", look_up("name", number_of(device), "NVIDIA H200"));
	return 0;
}

int
nvmlDeviceGetMemoryInfo(void *device, unsigned long long memory[3])
{
	memory[0] = number("memory", number_of(device), "150754820096");
	memory[1] = number("free", number_of(device), "150000000000");
	memory[2] = memory[0] - memory[1];
	return (int) number("lost", number_of(device), "0");
}

int
nvmlDeviceGetEccMode(void *device, unsigned *current, unsigned *pending)
{
	*current = *pending = (unsigned) number("ecc", number_of(device), "1");
	return 0;
}

int
nvmlDeviceGetMigMode(void *device, unsigned *current, unsigned *pending)
{
	(void) device;
	(void) current;
	(void) pending;
	return NOT_SUPPORTED;
}

int
nvmlDeviceGetEnforcedPowerLimit(void *device, unsigned *milliwatts)
{
	*milliwatts = (unsigned) number("power_limit", number_of(device), "700000");
	return 0;
}

int
nvmlDeviceGetMaxClockInfo(void *device, unsigned clock, unsigned *mhz)
{
	(void) device;
	*mhz = clock == 1 ? 1980 : 3201;
	return 0;
}

int
nvmlDeviceGetClockInfo(void *device, unsigned clock, unsigned *mhz)
{
	*mhz = clock == 1 ? (unsigned) number("sm_clock", number_of(device), "345") : 3201;
	return 0;
}

int
nvmlDeviceGetTemperature(void *device, unsigned sensor, unsigned *celsius)
{
	(void) sensor;
	*celsius = (unsigned) number("temperature", number_of(device), "31");
	return 0;
}

int
nvmlDeviceGetTotalEnergyConsumption(void *device, unsigned long long *millijoules)
{
	*millijoules = counter("energy", number_of(device));
	return 0;
}

int
nvmlDeviceGetTotalEccErrors(void *device, unsigned kind, unsigned counters, unsigned long long *errors)
{
	(void) kind;
	(void) counters;
	*errors = number("ecc_errors", number_of(device), "0");
	return 0;
}

int
nvmlDeviceGetRemappedRows(void *device, unsigned *corrected, unsigned *uncorrected, unsigned *pending, unsigned *failed)
{
	*corrected = *uncorrected = 0;
	*pending = (unsigned) number("remap_pending", number_of(device), "0");
	*failed = (unsigned) number("remap_failed", number_of(device), "0");
	return 0;
}

/* As the library lays it out. */
typedef struct
{
	unsigned	id, scope;
	long long	timestamp, latency;
	int			type, result;
	unsigned long long value;
} FieldValue;

int
nvmlDeviceGetFieldValues(void *device, int count, FieldValue *values)
{
	for (int i = 0; i < count; i++)
	{
		char		key[32];

		snprintf(key, sizeof(key), "field_%u", values[i].id);
		values[i].type = 3;
		values[i].value = counter(key, number_of(device));
		/* the software's thermal counter is the one that this driver lacks */
		values[i].result = values[i].id == 269 ? NOT_SUPPORTED : 0;
	}
	readings[number_of(device)]++;
	return 0;
}

int
nvmlEventSetCreate(void **set)
{
	*set = &told_xid;
	return 0;
}

int
nvmlEventSetFree(void *set)
{
	(void) set;
	return 0;
}

int
nvmlDeviceRegisterEvents(void *device, unsigned long long types, void *set)
{
	(void) device;
	(void) types;
	(void) set;
	return 0;
}

typedef struct
{
	void	   *device;
	unsigned long long type, data;
	unsigned	gpu_instance, compute_instance;
} EventData;

/* One Xid event each time that the file's "xid" is another one than before. */
int
nvmlEventSetWait_v2(void *set, EventData *event, unsigned milliseconds)
{
	long long	xid = number("xid", 0, "0");

	(void) set;
	(void) milliseconds;
	if (xid == 0 || xid == told_xid)
		return TIMEOUT;
	told_xid = xid;
	*event = (EventData){.device = &devices[0], .type = 8, .data = xid};
	return 0;
}
