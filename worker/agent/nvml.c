/*
 * NVIDIA's management library, where the machine has it.
 *
 * It is loaded at run time, so that the worker starts anywhere, and its
 * prototypes are stated here, so that it builds anywhere.  Only calls without
 * versioned structs are used, where there is a choice.  A driver may lack any
 * of the functions, or not support one on its GPU: then that figure is
 * unknown, and nothing else.
 *
 * Throttling is read from counters of nanoseconds, not from the bit mask of the
 * moment, which misses what happens between two looks.
 */
#include "nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

/* of nvmlReturn_t */
#define RETURN_OK 0
#define RETURN_NO_PERMISSION 4
#define RETURN_DRIVER_NOT_LOADED 9
#define RETURN_GPU_IS_LOST 15
#define RETURN_RESET_REQUIRED 16

#define CLOCK_SM 1
#define CLOCK_MEMORY 2
#define ECC_UNCORRECTED 1
#define ECC_VOLATILE 0
#define TEMPERATURE_GPU 0
#define EVENT_XID 0x8

/* Fields of nvmlDeviceGetFieldValues, in the order of GpuThrottle. */
static const unsigned throttle_fields[THROTTLES] = {74, 269, 270, 271};

typedef struct MemoryInfo
{
	unsigned long long total, free, used;
} MemoryInfo;

typedef struct FieldValue
{
	unsigned	id;
	unsigned	scope;
	long long	timestamp;
	long long	latency;
	int			value_type;		/* 0 double, 1 unsigned, 2 unsigned long, 3 unsigned long long, 4 long long */
	int			result;
	union
	{
		double		number;
		unsigned	small;
		unsigned long long large;
	} value;
} FieldValue;

typedef struct EventData
{
	void	   *device;
	unsigned long long type;
	unsigned long long data;
	unsigned	gpu_instance;
	unsigned	compute_instance;
} EventData;

/* name, parameters: each becomes a function pointer in the struct below, NULL where the library lacks it */
#define NVML_FUNCTIONS(F) \
	F(Init_v2, (void) ) \
	F(Shutdown, (void) ) \
	F(SystemGetDriverVersion, (char *, unsigned) ) \
	F(SystemGetCudaDriverVersion_v2, (int *) ) \
	F(DeviceGetCount_v2, (unsigned *) ) \
	F(DeviceGetHandleByIndex_v2, (unsigned, void **) ) \
	F(DeviceGetHandleByUUID, (const char *, void **) ) \
	F(DeviceGetUUID, (void *, char *, unsigned) ) \
	F(DeviceGetName, (void *, char *, unsigned) ) \
	F(DeviceGetMemoryInfo, (void *, MemoryInfo *) ) \
	F(DeviceGetEccMode, (void *, unsigned *, unsigned *) ) \
	F(DeviceGetMigMode, (void *, unsigned *, unsigned *) ) \
	F(DeviceGetEnforcedPowerLimit, (void *, unsigned *) ) \
	F(DeviceGetMaxClockInfo, (void *, unsigned, unsigned *) ) \
	F(DeviceGetClockInfo, (void *, unsigned, unsigned *) ) \
	F(DeviceGetTemperature, (void *, unsigned, unsigned *) ) \
	F(DeviceGetPowerUsage, (void *, unsigned *) ) \
	F(DeviceGetTotalEnergyConsumption, (void *, unsigned long long *) ) \
	F(DeviceGetTotalEccErrors, (void *, unsigned, unsigned, unsigned long long *) ) \
	F(DeviceGetRemappedRows, (void *, unsigned *, unsigned *, unsigned *, unsigned *) ) \
	F(DeviceGetFieldValues, (void *, int, FieldValue *) ) \
	F(EventSetCreate, (void **) ) \
	F(EventSetFree, (void *) ) \
	F(DeviceRegisterEvents, (void *, unsigned long long, void *) ) \
	F(EventSetWait_v2, (void *, EventData *, unsigned) )

static struct
{
	void	   *library;
	const char *(*ErrorString)(int);
#define FUNCTION(name, parameters) int(*name) parameters;
	NVML_FUNCTIONS(FUNCTION)
#undef FUNCTION
	void	   *events;			/* of all GPUs that were asked for */
} nvml;

/* Whether a call can be made and succeeds. */
#define CALL(name, ...) (nvml.name != NULL && nvml.name(__VA_ARGS__) == RETURN_OK)

/* A call whose failure changes nothing. */
#define TRY(name, ...) ((void) CALL(name, __VA_ARGS__))

static const char *
error_text(int code)
{
	return nvml.ErrorString != NULL ? nvml.ErrorString(code) : "error";
}

NvmlStatus
nvml_open(Buffer *why)
{
	int			code;

	nvml.library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
	if (nvml.library == NULL)
	{
		buffer_puts(why, "there is no NVIDIA driver (libnvidia-ml.so.1)");
		return NVML_NO_GPU;
	}
	*(void **) &nvml.ErrorString = dlsym(nvml.library, "nvmlErrorString");
#define FUNCTION(name, parameters) *(void **) &nvml.name = dlsym(nvml.library, "nvml" #name);
	NVML_FUNCTIONS(FUNCTION)
#undef FUNCTION
	if (nvml.Init_v2 == NULL)
	{
		buffer_puts(why, "libnvidia-ml.so.1 lacks nvmlInit_v2: the driver is too old");
		return NVML_BROKEN;
	}
	code = nvml.Init_v2();
	if (code != RETURN_OK)
	{
		buffer_printf(why, "the NVIDIA driver does not answer: %s (%d)", error_text(code), code);
		return code == RETURN_DRIVER_NOT_LOADED ? NVML_NO_GPU : NVML_BROKEN;
	}
	if (nvml_count() == 0)
	{
		buffer_puts(why, "the NVIDIA driver shows no GPU");
		return NVML_NO_GPU;
	}
	TRY(EventSetCreate, &nvml.events);
	return NVML_OK;
}

void
nvml_close(void)
{
	if (nvml.library == NULL)
		return;
	if (nvml.events != NULL)
		TRY(EventSetFree, nvml.events);
	if (nvml.Shutdown != NULL)
		nvml.Shutdown();
	dlclose(nvml.library);
	memset(&nvml, 0, sizeof(nvml));
}

void
nvml_versions(char driver[80], char cuda[16])
{
	int			version;

	driver[0] = cuda[0] = '\0';
	TRY(SystemGetDriverVersion, driver, 80);
	if (CALL(SystemGetCudaDriverVersion_v2, &version))
		snprintf(cuda, 16, "%d.%d", version / 1000, version % 1000 / 10);
}

int
nvml_count(void)
{
	unsigned	count;

	return CALL(DeviceGetCount_v2, &count) ? (int) count : 0;
}

/* ----------------------------------------------------------------- one GPU */

/* What a call gives, in a unit so many times as large; NAN where it gives nothing.  Needs an unsigned called value. */
#define READ(unit, name, ...) (CALL(name, __VA_ARGS__, &value) ? value / (double) (unit) : NAN)

static bool
describe(void *device, GpuInfo *gpu)
{
	MemoryInfo	memory;
	unsigned	mode, pending, value = 0;

	*gpu = (GpuInfo){.device = device};
	if (!CALL(DeviceGetUUID, device, gpu->uuid, sizeof(gpu->uuid)) ||
		!CALL(DeviceGetName, device, gpu->name, sizeof(gpu->name)) || !CALL(DeviceGetMemoryInfo, device, &memory))
		return false;
	gpu->memory_bytes = memory.total;
	gpu->ecc = CALL(DeviceGetEccMode, device, &mode, &pending) ? (int) mode : -1;
	gpu->mig = CALL(DeviceGetMigMode, device, &mode, &pending) ? (int) mode : -1;
	gpu->power_limit_w = READ(1000, DeviceGetEnforcedPowerLimit, device);
	gpu->max_sm_clock_mhz = READ(1, DeviceGetMaxClockInfo, device, CLOCK_SM);
	gpu->max_memory_clock_mhz = READ(1, DeviceGetMaxClockInfo, device, CLOCK_MEMORY);
	if (nvml.events != NULL)
		TRY(DeviceRegisterEvents, device, EVENT_XID, nvml.events);
	return true;
}

bool
nvml_gpu_by_index(int index, GpuInfo *gpu)
{
	void	   *device;

	return CALL(DeviceGetHandleByIndex_v2, index, &device) && describe(device, gpu);
}

bool
nvml_gpu_by_uuid(const char *uuid, GpuInfo *gpu)
{
	void	   *device;

	return CALL(DeviceGetHandleByUUID, uuid, &device) && describe(device, gpu);
}

static void
read_throttles(void *device, int64_t ns[THROTTLES])
{
	FieldValue	values[THROTTLES] = {0};

	for (int i = 0; i < THROTTLES; i++)
	{
		values[i].id = throttle_fields[i];
		ns[i] = -1;
	}
	if (!CALL(DeviceGetFieldValues, device, THROTTLES, values))
		return;
	for (int i = 0; i < THROTTLES; i++)
		if (values[i].result == RETURN_OK)
			ns[i] = values[i].value_type == 1 ? (int64_t) values[i].value.small : (int64_t) values[i].value.large;
}

void
nvml_read_state(const GpuInfo *gpu, GpuState *state)
{
	void	   *device = gpu->device;
	unsigned long long large;
	unsigned	value = 0;
	MemoryInfo	memory;

	state->sm_clock_mhz = READ(1, DeviceGetClockInfo, device, CLOCK_SM);
	state->memory_clock_mhz = READ(1, DeviceGetClockInfo, device, CLOCK_MEMORY);
	state->temperature_c = READ(1, DeviceGetTemperature, device, TEMPERATURE_GPU);
	state->power_w = READ(1000, DeviceGetPowerUsage, device);
	state->energy_j = CALL(DeviceGetTotalEnergyConsumption, device, &large) ? large / 1e3 : NAN;
	state->memory_free_bytes = CALL(DeviceGetMemoryInfo, device, &memory) ? (int64_t) memory.free : -1;
	state->ecc_errors =
		CALL(DeviceGetTotalEccErrors, device, ECC_UNCORRECTED, ECC_VOLATILE, &large) ? (int64_t) large : -1;
	read_throttles(device, state->throttle_ns);
}

/* ------------------------------------------------------------------- health */

bool
nvml_is_well(const GpuInfo *gpu, Buffer *why)
{
	unsigned	corrected, uncorrected, pending, failed;
	unsigned long long errors;
	MemoryInfo	memory;
	int			code = nvml.DeviceGetMemoryInfo(gpu->device, &memory);

	if (code != RETURN_OK && code != RETURN_NO_PERMISSION)
		buffer_printf(why, "GPU %s does not answer: %s%s", gpu->uuid, error_text(code),
					  code == RETURN_GPU_IS_LOST		  ? "; it has fallen off the bus: restart the machine"
						  : code == RETURN_RESET_REQUIRED ? "; it must be reset"
														  : "");
	else if (CALL(DeviceGetTotalEccErrors, gpu->device, ECC_UNCORRECTED, ECC_VOLATILE, &errors) && errors > 0)
		buffer_printf(why, "GPU %s has had %llu uncorrectable memory errors since the driver was loaded: reset it",
					  gpu->uuid, errors);
	else if (CALL(DeviceGetRemappedRows, gpu->device, &corrected, &uncorrected, &pending, &failed) && failed > 0)
		buffer_printf(why, "GPU %s could not replace broken rows of its memory: it is to be exchanged", gpu->uuid);
	else if (CALL(DeviceGetRemappedRows, gpu->device, &corrected, &uncorrected, &pending, &failed) && pending > 0)
		buffer_printf(why, "GPU %s is to replace broken rows of its memory: reset it", gpu->uuid);
	else
		return true;
	return false;
}

void
nvml_drain_xids(Buffer *lines)
{
	EventData	event;
	char		uuid[96];

	while (nvml.events != NULL && CALL(EventSetWait_v2, nvml.events, &event, 0))
		if (event.type == EVENT_XID && lines != NULL)
			buffer_printf(lines, "%s%s: Xid %llu\n", lines->len > 0 && lines->data[lines->len - 1] != '\n' ? "\n" : "",
						  CALL(DeviceGetUUID, event.device, uuid, sizeof(uuid)) ? uuid : "a GPU", event.data);
}
