/*
 * Processor time, as the kernel tells it.
 */
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

/* Seconds since the processes and the machine began. */
typedef struct Usage
{
	double		server;			/* that the server's processes have had a processor */
	double		server_waited;	/* that they have waited for one; NAN where the kernel does not tell */
	double		own;			/* this process */
	double		busy;			/* all processors, all programs */
	double		whole;			/* all processors, idle or not */
} Usage;

/* Of a server, by its postmaster: all its processes, those included that have ended. */
extern Usage measure_usage(int postmaster);

/* Seconds that one process has had a processor; NAN where the kernel does not tell. */
extern double process_seconds(int pid);

#endif
