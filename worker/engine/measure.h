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
	double		setup_s;		/* from the config's arrival to the first launch */
	double		warm_up_s;		/* from there on, with what is readied for the first time */

	/* one value per repeat: a whole batch, from prompt to last token */
	int			repeats;
	double		began_s[MEASURE_MAX_REPEATS];	/* since the first repeat began */
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

	/*
	 * Median output tokens per second of the repeats that began in the first
	 * second, and of those that began after three: a cool device is faster than
	 * a warm one.  NaN where there are none.
	 */
	double		burst_tokens_per_s;
	double		sustained_tokens_per_s;

	/* NaN where the budget had no room for calibration */
	struct ceilings ceilings;
	struct roofline bound;

	/* over the repeats; NaN where the device does not tell */
	struct device_state before;
	struct device_state after;
	double		energy_j;		/* NaN also below 3 s */
	double		throttled_share;	/* of the time slowed down for heat or by a power brake */
	double		power_capped_share;

	double		others_busy_cpus;	/* during the repeats; NaN if unknown */
	double		stolen_cpus;
	double		logits_checksum;
};

/*
 * begin is when the config came, on machine_now()'s clock, and budget the
 * seconds from there: the last repeat is begun only if it should end within,
 * but there is always one.  What ceilings has of the device's own rates is not
 * measured again; what it lacks is added.  Fails as the backend does, and with
 * ENGINE_INTERNAL when memory runs out or the model computed something that is
 * no number.  measure_free() is right after success and failure.
 */
extern enum engine_status measure_run(const struct backend_operations *operations,
									  struct backend *backend,
									  const struct architecture *a,
									  const struct workload *workload,
									  double begin, double budget,
									  struct ceilings *ceilings,
									  struct measurement *measurement,
									  struct engine_error *error);
extern void measure_free(struct measurement *measurement);

#endif							/* MEASURE_H */
