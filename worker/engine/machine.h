/*
 * machine.h: what this machine lends us: CPUs, memory, and how much of it
 * others are using meanwhile.
 */
#ifndef MACHINE_H
#define MACHINE_H

#include <stddef.h>
#include <stdint.h>

/* seconds on a clock that only goes forward */
extern double machine_now(void);

/* CPUs we may use: the affinity mask, capped by the control group's quota */
extern int machine_cpus(void);

/* bytes we may still take: available memory, capped by the control group's limit */
extern int64_t machine_available_memory(void);

/* the most memory this process ever had resident, in bytes; -1 if unknown */
extern int64_t machine_peak_memory(void);

extern void machine_cpu_model(char *name, size_t size);

/* the share of time in which some task waited for a CPU, last 10 s; NaN if unknown */
extern double machine_cpu_pressure(void);

/* busy CPU time so far, in seconds */
struct machine_usage
{
	double		wall;
	double		own;			/* this process */
	double		all;			/* all processes, NaN if unknown */
	double		stolen;			/* by other virtual machines, NaN if unknown */
};

extern struct machine_usage machine_usage(void);

#endif							/* MACHINE_H */
