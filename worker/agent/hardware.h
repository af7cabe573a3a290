/*
 * The machine, and the GPUs of it that are this worker's.
 */
#ifndef AGENT_HARDWARE_H
#define AGENT_HARDWARE_H

#include "nvml.h"

typedef struct Machine
{
	char	   *hardware;		/* what it is called where hardware_configs has no name for it */
	char	   *host;
	char	   *cpu;
	char	   *kernel;
	int			cores;			/* that this process may use */
	int64_t		memory_bytes;

	/* where there are GPUs that the worker may use */
	char		driver[80];
	char		cuda[16];
	GpuInfo    *gpus;			/* of this worker's slot */
	int			gpu_count;
	int			all_gpus;		/* of the machine, as far as we see them */
	char	   *visible;		/* their UUIDs, with commas */

	char	   *sick;			/* why GPUs that should be there cannot be used, or NULL */
} Machine;

/* Detects the machine with all of its GPUs. */
extern void hardware_detect(Machine *machine);

/*
 * Keeps only so many GPUs (0: all) as the worker's own, and keeps other workers of this machine
 * from taking them, until the process ends.  False, with the reason, where there are fewer that are free.
 */
extern bool hardware_take_gpus(Machine *machine, int wanted, Buffer *error);

extern void hardware_free(Machine *machine);

/* The object that register_hardware() takes for it. */
extern void hardware_write_spec(const Machine *machine, const char *key, Buffer *json);

/*
 * Whether the GPUs are fit for work now; false with the reason.  idle: nothing
 * of ours is on them, so that their memory must be free.
 */
extern bool hardware_is_well(const Machine *machine, bool idle, Buffer *why);

/* The value of CUDA_VISIBLE_DEVICES for a config that needs so many GPUs: to be freed; NULL where there are none. */
extern char *hardware_visible_gpus(const Machine *machine, int gpus);

#endif							/* AGENT_HARDWARE_H */
