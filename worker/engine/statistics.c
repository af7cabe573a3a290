/*
 * statistics.c: what is said about samples.  Percentiles are linear, as
 * PostgreSQL's percentile_cont.
 */
#include "statistics.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int
compare(const void *left, const void *right)
{
	double		a = *(const double *) left;
	double		b = *(const double *) right;

	return (a > b) - (a < b);
}

static double *
sorted_copy(const double *samples, size_t count)
{
	double	   *copy = malloc(count * sizeof(double));

	if (copy != NULL)
	{
		memcpy(copy, samples, count * sizeof(double));
		qsort(copy, count, sizeof(double), compare);
	}
	return copy;
}

static double
percentile(const double *sorted, size_t count, size_t copies, double fraction)
{
	double		place = fraction * (double) (count * copies - 1);
	size_t		below = (size_t) place;
	double		low = sorted[below / copies];
	double		high = sorted[(below + 1 < count * copies ? below + 1 : below) / copies];

	return low + (place - (double) below) * (high - low);
}

struct summary
statistics_summary(const double *samples, size_t count, size_t copies)
{
	struct summary summary = {NAN, NAN, NAN, NAN, NAN, NAN};
	double	   *sorted = count > 0 ? sorted_copy(samples, count) : NULL;
	double		sum = 0;

	if (sorted == NULL)
		return summary;
	for (size_t i = 0; i < count; i++)
		sum += sorted[i];
	summary.mean = sum / (double) count;
	summary.p10 = percentile(sorted, count, copies, 0.10);
	summary.p50 = percentile(sorted, count, copies, 0.50);
	summary.p90 = percentile(sorted, count, copies, 0.90);
	summary.p95 = percentile(sorted, count, copies, 0.95);
	summary.p99 = percentile(sorted, count, copies, 0.99);
	free(sorted);
	return summary;
}

double
statistics_median(const double *samples, size_t count)
{
	return statistics_summary(samples, count, 1).p50;
}

double
statistics_noise(const double *samples, size_t count)
{
	double		median;
	double		noise = NAN;
	double	   *sorted = count >= 3 ? sorted_copy(samples, count) : NULL;

	if (sorted == NULL)
		return noise;
	median = percentile(sorted, count, 1, 0.5);
	for (size_t i = 0; i < count; i++)
		sorted[i] = fabs(sorted[i] - median);
	qsort(sorted, count, sizeof(double), compare);
	if (median > 0)
		noise = percentile(sorted, count, 1, 0.5) / median;
	free(sorted);
	return noise;
}
