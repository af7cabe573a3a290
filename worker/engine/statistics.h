/*
 * statistics.h: what is said about samples, as the database would say it.
 */
#ifndef STATISTICS_H
#define STATISTICS_H

#include <stddef.h>

/* a summary of samples; every field is NaN where there are none */
struct summary
{
	double		mean;
	double		p10;
	double		p50;
	double		p90;
	double		p95;
	double		p99;
};

/*
 * Each of the count samples stands for copies equal ones (the requests of one
 * static batch share their times).  The samples are not changed.  Answers all
 * NaN when count is 0 or memory runs out.
 */
extern struct summary statistics_summary(const double *samples, size_t count, size_t copies);

/* NaN where there are none, or memory runs out */
extern double statistics_median(const double *samples, size_t count);

/* median absolute deviation ÷ median; NaN below 3 samples */
extern double statistics_noise(const double *samples, size_t count);

#endif							/* STATISTICS_H */
