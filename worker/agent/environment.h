/*
 * What a run was measured on, and what else went on there meanwhile.
 */
#ifndef AGENT_ENVIRONMENT_H
#define AGENT_ENVIRONMENT_H

#include "hardware.h"

#define LOOK_GPUS 16			/* at most so many are looked at */

typedef enum Pressure
{
	PRESSURE_CPU,
	PRESSURE_MEMORY,
	PRESSURE_IO,
	PRESSURES
} Pressure;

/* The machine at one moment; NAN and -1 for what cannot be told. */
typedef struct Look
{
	double		at;				/* seconds of events_now's clock */
	double		busy_s;			/* CPU time of the whole machine so far */
	double		steal_s;
	double		own_s;			/* CPU time of the worker and all that it has started */
	double		waited_s[PRESSURES];	/* time in which some process waited for it */
	int			gpu_count;
	GpuState	gpus[LOOK_GPUS];
} Look;

/* gpus: how many of the slot's, from the first, the run may use. */
extern void environment_look(const Machine *machine, int gpus, Look *look);

/* The share of memory that was free, of the GPU that had least of it; -1 where that cannot be told. */
extern double environment_free_share(const Machine *machine, const Look *look);

/* The environment record of a run between two looks; docs/worker.md lists its keys.  NULL: of the machine alone. */
extern void environment_write(const Machine *machine, const Look *before, const Look *after, const char *key,
							  Buffer *json);

#endif							/* AGENT_ENVIRONMENT_H */
