/*
 * NVIDIA's management library, where the machine has it.
 */
#ifndef AGENT_NVML_H
#define AGENT_NVML_H

#include "buffer.h"

/* What keeps; NAN and -1 where the driver does not tell. */
typedef struct GpuInfo
{
	void	   *device;			/* the library's handle */
	char		uuid[96];
	char		name[96];
	int64_t		memory_bytes;
	int			ecc, mig;		/* 0, 1, or -1 */
	double		power_limit_w;
	double		max_sm_clock_mhz;
	double		max_memory_clock_mhz;
} GpuInfo;

/* Why clocks are held down, as counters of nanoseconds tell it. */
typedef enum GpuThrottle
{
	THROTTLE_POWER_CAP,
	THROTTLE_THERMAL_SOFTWARE,
	THROTTLE_THERMAL_HARDWARE,
	THROTTLE_POWER_BRAKE,
	THROTTLES
} GpuThrottle;

/* What changes; NAN and -1 where the driver does not tell. */
typedef struct GpuState
{
	double		sm_clock_mhz;
	double		memory_clock_mhz;
	double		temperature_c;
	double		power_w;
	double		energy_j;
	int64_t		memory_free_bytes;
	int64_t		ecc_errors;		/* uncorrected, since the driver was loaded */
	int64_t		throttle_ns[THROTTLES];
} GpuState;

typedef enum NvmlStatus
{
	NVML_OK,
	NVML_NO_GPU,				/* no library, no driver, no GPU */
	NVML_BROKEN					/* there should be GPUs, but the driver does not serve us */
} NvmlStatus;

/* Loads and starts the library; anything but NVML_OK is explained in why. */
extern NvmlStatus nvml_open(Buffer *why);
extern void nvml_close(void);

/* Texts of the driver's version and of the newest CUDA that it serves; "" where it does not tell. */
extern void nvml_versions(char driver[80], char cuda[16]);

/* How many GPUs there are; each of them by its number, or by UUID (MIG devices, too), false where it cannot be had. */
extern int nvml_count(void);
extern bool nvml_gpu_by_index(int index, GpuInfo *gpu);
extern bool nvml_gpu_by_uuid(const char *uuid, GpuInfo *gpu);

extern void nvml_read_state(const GpuInfo *gpu, GpuState *state);

/* What is wrong with a GPU, as a reason not to work on it, appended to why; true where it is well. */
extern bool nvml_is_well(const GpuInfo *gpu, Buffer *why);

/* Appends the Xid errors of the GPUs since the last call, "UUID: Xid 79" a line; lines NULL: forgets them. */
extern void nvml_drain_xids(Buffer *lines);

#endif							/* AGENT_NVML_H */
