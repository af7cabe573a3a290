/*
 * What repeats of one measurement say together.
 *
 * The value is the median.  Its interval is made of order statistics, and
 * assumes nothing of how the values are spread: of n sorted values the k-th
 * least and the k-th greatest enclose the true median unless fewer than k fell
 * on one side of it, each falling there with probability 1/2 (the sign test):
 *
 *   confidence = 1 - 2 P(Binomial(n, 1/2) < k)
 *
 * k is the greatest with at least 95 %.  Up to 5 values not even the extremes
 * reach that: then k = 1, from the least to the greatest, with a confidence of
 * 1 - 2^(1 - n): 50, 75, 87.5 and 93.75 % for 2 to 5 values.  One value has no
 * spread, and its interval is itself.
 */
#include "benchorch.h"
#include "statistics.h"

#include <math.h>

PG_FUNCTION_INFO_V1(benchorch_median_confidence);

#define CONFIDENCE 0.95

/* Up to so many values the interval is all of them. */
#define SURELY_EXTREMES 5

/* From here on 2^-n is near the least number there is, and the binomial is a normal distribution. */
#define MANY 1000

int
benchorch_median_interval(int n, double *confidence)
{
	double		probability = n < MANY ? pow(0.5, n) : 0;	/* of exactly k - 1 */
	double		below = probability;	/* of fewer than k */
	int			k = 1;

	if (n >= MANY)
	{
		*confidence = CONFIDENCE;
		return (int) floor((n + 1 - 1.959964 * sqrt(n)) / 2);
	}
	while (k < n / 2)
	{
		double		next = probability * (n - k + 1) / k;

		if (1 - 2 * (below + next) < CONFIDENCE)
			break;
		probability = next;
		below += next;
		k++;
	}
	*confidence = Max(0, 1 - 2 * below);
	return k;
}

static int
by_value(const void *a, const void *b)
{
	double		x = *(const double *) a;
	double		y = *(const double *) b;

	return (x > y) - (x < y);
}

/* percentile_cont(0.5) of sorted values */
static double
middle(const double *sorted, int n)
{
	return n % 2 == 1 ? sorted[n / 2] : sorted[n / 2 - 1] + 0.5 * (sorted[n / 2] - sorted[n / 2 - 1]);
}

Summary
benchorch_summarize(double *values, int n)
{
	Summary		summary = {n, NAN, NAN, NAN, NAN};
	double		confidence;
	double		mean = 0;
	double		squares = 0;
	int			k;

	if (n == 0)
		return summary;
	if (n == 1)
		return (Summary){1, values[0], values[0], values[0], NAN};
	qsort(values, n, sizeof(double), by_value);
	k = n <= SURELY_EXTREMES ? 1 : benchorch_median_interval(n, &confidence);
	summary.median = middle(values, n);
	summary.low = values[k - 1];
	summary.high = values[n - k];
	for (int i = 0; i < n; i++)
		mean += values[i] / n;
	for (int i = 0; i < n; i++)
		squares += (values[i] - mean) * (values[i] - mean);
	summary.stddev = sqrt(squares / (n - 1));
	return summary;
}

double
benchorch_relative_noise(double *values, int n)
{
	double		median;

	qsort(values, n, sizeof(double), by_value);
	median = middle(values, n);
	if (median == 0)
		return NAN;
	for (int i = 0; i < n; i++)
		values[i] = fabs(values[i] - median);
	qsort(values, n, sizeof(double), by_value);
	return middle(values, n) / median;
}

/* median_confidence(n): how sure the interval of n repeats is. */
Datum
benchorch_median_confidence(PG_FUNCTION_ARGS)
{
	double		confidence;

	if (PG_ARGISNULL(0) || PG_GETARG_INT32(0) < 1)
		PG_RETURN_NULL();
	benchorch_median_interval(PG_GETARG_INT32(0), &confidence);
	PG_RETURN_FLOAT8(confidence);
}
