/*
 * cuda_nvml.c: a GPU's energy, clocks and throttling, from NVML where it is.
 *
 * Only unversioned calls of plain numbers are used; the declarations stand here,
 * for the toolkit need not bring NVML's header.  Throttling is told by the
 * driver's own counters of nanoseconds, which miss nothing between two looks.
 */
#include "cuda_nvml.h"

#include <dlfcn.h>
#include <math.h>
#include <stdint.h>

#define CLOCK_SM 1
#define CLOCK_MEMORY 2
#define TEMPERATURE_GPU 0

/* counters of nanoseconds */
#define FIELD_POWER_CAP 74
#define FIELD_SOFTWARE_THERMAL 269
#define FIELD_HARDWARE_THERMAL 270
#define FIELD_POWER_BRAKE 271

struct field
{
	uint32_t	id;
	uint32_t	scope;
	int64_t		timestamp;
	int64_t		latency;
	int			type;
	int			result;			/* 0: value holds */
	unsigned long long value;
};

/* a function of the library of type int (*)(...), NULL where it has none */
#define FIND(nvml, function, name) (*(void **) &(function) = dlsym((nvml)->library, name))

void
cuda_nvml_open(struct cuda_nvml *nvml, const char *bus)
{
	int (*init)(void);
	int (*find)(const char *, void **);

	*nvml = (struct cuda_nvml){.library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL)};
	if (nvml->library == NULL)
		return;
	if (FIND(nvml, init, "nvmlInit_v2") == NULL || init() != 0)
	{
		dlclose(nvml->library);
		nvml->library = NULL;
		return;
	}
	if (FIND(nvml, find, "nvmlDeviceGetHandleByPciBusId_v2") == NULL || find(bus, &nvml->device) != 0)
		cuda_nvml_close(nvml);
}

void
cuda_nvml_close(struct cuda_nvml *nvml)
{
	int (*shutdown)(void);

	if (nvml->library == NULL)
		return;
	if (FIND(nvml, shutdown, "nvmlShutdown") != NULL)
		shutdown();
	dlclose(nvml->library);
	*nvml = (struct cuda_nvml){0};
}

static double
clock_of(const struct cuda_nvml *nvml, int which)
{
	int (*get)(void *, int, unsigned *);
	unsigned	megahertz;

	if (FIND(nvml, get, "nvmlDeviceGetClockInfo") == NULL || get(nvml->device, which, &megahertz) != 0)
		return NAN;
	return megahertz * 1e6;
}

static double
energy(const struct cuda_nvml *nvml)
{
	int (*get)(void *, unsigned long long *);
	unsigned long long millijoules;

	if (FIND(nvml, get, "nvmlDeviceGetTotalEnergyConsumption") == NULL || get(nvml->device, &millijoules) != 0)
		return NAN;
	return (double) millijoules * 1e-3;
}

static double
temperature(const struct cuda_nvml *nvml)
{
	int (*get)(void *, int, unsigned *);
	unsigned	degrees;

	if (FIND(nvml, get, "nvmlDeviceGetTemperature") == NULL || get(nvml->device, TEMPERATURE_GPU, &degrees) != 0)
		return NAN;
	return degrees;
}

/* seconds of one counter, NaN where the driver does not keep it */
static double
counter(const struct cuda_nvml *nvml, uint32_t id)
{
	struct field field = {.id = id};
	int (*get)(void *, int, struct field *);

	if (FIND(nvml, get, "nvmlDeviceGetFieldValues") == NULL || get(nvml->device, 1, &field) != 0 || field.result != 0)
		return NAN;
	return (double) field.value * 1e-9;
}

void
cuda_nvml_state(const struct cuda_nvml *nvml, struct device_state *state)
{
	*state = (struct device_state){NAN, NAN, NAN, NAN, NAN, NAN};
	if (nvml->library == NULL)
		return;
	*state = (struct device_state){
		.energy_j = energy(nvml),
		.throttled_s = counter(nvml, FIELD_SOFTWARE_THERMAL) + counter(nvml, FIELD_HARDWARE_THERMAL) +
			counter(nvml, FIELD_POWER_BRAKE),
		.power_capped_s = counter(nvml, FIELD_POWER_CAP),
		.clock_hz = clock_of(nvml, CLOCK_SM),
		.memory_clock_hz = clock_of(nvml, CLOCK_MEMORY),
		.temperature_c = temperature(nvml),
	};
}

void
cuda_nvml_driver(const struct cuda_nvml *nvml, char *version, unsigned size)
{
	int (*get)(char *, unsigned);

	version[0] = 0;
	if (nvml->library != NULL && FIND(nvml, get, "nvmlSystemGetDriverVersion") != NULL && get(version, size) != 0)
		version[0] = 0;
}
