/*
 * report.h: the one JSON object that says what was measured.
 */
#ifndef REPORT_H
#define REPORT_H

#include <stdio.h>

#include "measure.h"

struct report_environment
{
	char		cpu_model[256];
	int			cpus;			/* that this process may use */
	int			threads;
	double		cpu_pressure;	/* NaN if unknown */
	struct backend_fact facts[BACKEND_MAX_FACTS];
	int			n_facts;
};

struct report
{
	const char *tool;
	const char *backend;
	const char *model;			/* NULL if not said */
	const struct architecture *architecture;
	const struct workload *workload;
	const struct measurement *measurement;
	struct memory_plan plan;
	uint64_t	weights_seed;
	int64_t		host_memory_peak;	/* -1 if unknown */
	int64_t		device_memory_peak; /* -1 where it has none of its own */
	double		budget_s;
	struct report_environment environment;
};

/* the caller checks the stream for errors */
extern void report_write(FILE *out, const struct report *report);

/* the same frame with the ceilings alone */
extern void report_write_calibration(FILE *out, const struct report *report,
									 struct ceilings ceilings, double footprint_bytes);

#endif							/* REPORT_H */
