/*
 * measure.h: runs one config on an opened backend until its numbers are good
 * enough or its time is up.
 */
#ifndef MEASURE_H
#define MEASURE_H

#include "backend.h"
#include "roofline.h"
#include "statistics.h"

#define MEASURE_MAX_REPEATS 1000

struct measurement
{
	/* one value per repeat: a whole batch, from prompt to last token */
	int			repeats;
	double		ttft_ms[MEASURE_MAX_REPEATS];
	double		tpot_ms[MEASURE_MAX_REPEATS];
	double		e2e_ms[MEASURE_MAX_REPEATS];
	double		output_tokens_per_s[MEASURE_MAX_REPEATS];

	/* every gap between two tokens, of all repeats */
	double	   *itl_ms;
	size_t		gaps;

	double		duration_s;		/* sum of the repeats' times */
	double		noise_rel;		/* of output_tokens_per_s; NaN below 3 repeats */
	const char *stop_reason;	/* precision, noise_stable or budget */

	/* NaN where the budget had no room for calibration */
	struct ceilings ceilings;
	struct roofline bound;

	double		others_busy_cpus;	/* during the repeats; NaN if unknown */
	double		stolen_cpus;
	double		logits_checksum;
};

/*
 * deadline is on machine_now()'s clock: the last repeat is begun only if it
 * should end before, but there is always one.  Fails with ENGINE_INTERNAL when
 * memory runs out or the model computed something that is no number.
 * measure_free() is right after success and failure.
 */
extern enum engine_status measure_run(const struct backend_operations *operations,
									  struct backend *backend,
									  const struct architecture *a,
									  const struct workload *workload,
									  double budget, double deadline,
									  struct measurement *measurement,
									  struct engine_error *error);
extern void measure_free(struct measurement *measurement);

#endif							/* MEASURE_H */
