/*
 * What repeats of one measurement say together; see statistics.c.
 */
#ifndef BENCHORCH_STATISTICS_H
#define BENCHORCH_STATISTICS_H

/* Of n values; NaN where there is none. */
typedef struct Summary
{
	int			n;
	double		median;
	double		low;			/* of the interval for the median */
	double		high;
	double		stddev;			/* of a sample; NaN for one value */
} Summary;

/* Sorts the values. */
extern Summary benchorch_summarize(double *values, int n);
/* Median absolute deviation / median; NaN where the median is 0.  Changes the values. */
extern double benchorch_relative_noise(double *values, int n);
/* Which of n sorted values, from 1, begins the interval for the median; the one as far from the end closes it. */
extern int benchorch_median_interval(int n, double *confidence);

#endif							/* BENCHORCH_STATISTICS_H */
