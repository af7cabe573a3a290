/*
 * measure.c: runs one config on an opened backend until its numbers are good
 * enough or its time is up.
 *
 * In this order, all within the budget where that is possible: warm-up,
 * calibration, repeats, and the reading half of the calibration again, since a
 * ceiling taken in a bad moment would flatter the model.  A repeat is one batch
 * from its prompt to its last token; it always has all its tokens.
 *
 * The repeats end
 *   - for precision, when the noise (relative median absolute deviation of
 *     output tokens per second) of at least 3 of them is below 1 %, and they
 *     took long enough for that to mean something;
 *   - because the noise is stable: more repeats would not lower it;
 *   - because of the budget.
 * Where the device counts its energy they take four seconds: three for the
 * counter to mean something, and one of what is sustained.
 *
 * The tokens that are fed come from the seed, not from the model: a synthetic
 * model soon repeats itself.  The token that it says is computed all the same.
 */
#include "measure.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"
#include "model.h"

#define PRECISION 0.01
#define STABLE_REPEATS 16		/* fewer tell nothing about stability */
#define STABLE_WINDOW 8
#define STABLE_CHANGE 0.05

/* the warm-up's first, short look: enough to touch everything once */
#define PEEK_TOKENS 32
#define PEEK_STEPS 3

/* shares of the budget, and the most that they may be in seconds */
#define WARM_UP_SHARE 0.1
#define WARM_UP_MOST 0.5
#define CALIBRATION_SHARE 0.05
#define CALIBRATION_MOST 0.5
#define REPEATS_SHARE 0.25
#define REPEATS_LEAST 0.5

/* energy over less than that says little */
#define ENERGY_LEAST 3

/* where there is a counter, repeats go on so long */
#define COUNTED_SHARE 0.5
#define COUNTED_LEAST 4

/* repeats that began before the one are a burst, after the other sustained */
#define BURST_END 1
#define SUSTAINED_BEGIN 3

struct run
{
	const struct backend_operations *operations;
	struct backend *backend;
	const struct workload *workload;
	int32_t    *prompt;			/* [request][input tokens] */
	int32_t    *fed;			/* [step][request] */
	int32_t    *sampled;		/* [request] */
	double		deadline;
	double		step_s;			/* the warm-up's guess, 0 without steps */
	double		repeat_s;		/* how long the next repeat may take */
	struct engine_error *error;
};

static int
steps_of(const struct workload *workload)
{
	return workload->output_tokens - 1;
}

static bool
make_tokens(struct run *run, const struct architecture *a)
{
	size_t		batch = (size_t) run->workload->batch_size;
	size_t		input = (size_t) run->workload->input_tokens;
	size_t		steps = (size_t) steps_of(run->workload);
	uint64_t	seed = run->workload->seed;

	run->prompt = malloc(batch * input * sizeof(int32_t));
	run->fed = malloc((batch * steps + 1) * sizeof(int32_t));
	run->sampled = malloc(batch * sizeof(int32_t));
	if (run->prompt == NULL || run->fed == NULL || run->sampled == NULL)
		return false;
	for (size_t request = 0; request < batch; request++)
	{
		for (size_t i = 0; i < input; i++)
			run->prompt[request * input + i] = model_token(a, seed, (int) request, (int) i);
		for (size_t i = 0; i < steps; i++)
			run->fed[i * batch + request] = model_token(a, seed, (int) request, (int) (input + i));
	}
	return true;
}

static enum engine_status
prefill(struct run *run, int length)
{
	return run->operations->prefill(run->backend, run->prompt, length, run->sampled, run->error);
}

static enum engine_status
decode(struct run *run, int step)
{
	return run->operations->decode(run->backend, run->fed + (size_t) step * (size_t) run->workload->batch_size,
								   run->sampled, run->error);
}

/* decodes that many steps after a prefill, for their time */
static enum engine_status
warm_steps(struct run *run, int steps)
{
	double		start = machine_now();
	enum engine_status status = ENGINE_OK;

	for (int i = 0; i < steps && status == ENGINE_OK; i++)
		status = decode(run, i);
	run->step_s = steps > 0 ? (machine_now() - start) / steps : 0;
	return status;
}

/*
 * By time and by steps.  The first look is short, so that a model whose prompt
 * alone would use up the budget is not run twice.
 */
static enum engine_status
warm_up(struct run *run, double budget)
{
	const struct workload *workload = run->workload;
	double		begin = machine_now();
	double		least = fmin(WARM_UP_MOST, WARM_UP_SHARE * budget);
	int			peek = workload->input_tokens < PEEK_TOKENS ? workload->input_tokens : PEEK_TOKENS;
	int			steps = steps_of(workload) < PEEK_STEPS ? steps_of(workload) : PEEK_STEPS;
	double		start;
	double		prefill_s;
	enum engine_status status = prefill(run, peek);

	prefill_s = machine_now() - begin;
	if (status == ENGINE_OK)
		status = run->operations->settle(run->backend, run->error);
	begin = machine_now();
	start = begin - prefill_s;
	/* the very first run pays for what is set up lazily: time the second */
	if (status == ENGINE_OK && prefill_s < budget / 20)
	{
		start = machine_now();
		status = prefill(run, peek);
	}
	prefill_s = (machine_now() - start) * workload->input_tokens / peek;
	if (status == ENGINE_OK)
		status = warm_steps(run, steps);
	while (status == ENGINE_OK && machine_now() - begin < least &&
		   machine_now() - begin + prefill_s < 2 * least)
	{
		start = machine_now();
		status = prefill(run, workload->input_tokens);
		prefill_s = machine_now() - start;
		if (status == ENGINE_OK)
			status = warm_steps(run, steps);
	}
	run->repeat_s = prefill_s + steps_of(workload) * run->step_s;
	return status;
}

/* one of the device's own rates, unless it is known */
static enum engine_status
calibrate_device(struct run *run, enum backend_rate which, double seconds, double *rate)
{
	if (!isnan(*rate))
		return ENGINE_OK;
	return run->operations->rate(run->backend, which, seconds, rate, run->error);
}

/* a better ceiling replaces a worse one; the later call has only the reads */
static enum engine_status
calibrate(struct run *run, double budget, struct ceilings *ceilings)
{
	double		seconds = fmin(CALIBRATION_MOST, CALIBRATION_SHARE * budget);
	bool		first = isnan(ceilings->read_bytes_per_s);
	double		left = run->deadline - machine_now();
	double		rate;
	enum engine_status status;

	/* reading takes at least three passes, each about as long as a step */
	if (left <= fmax(seconds, 3 * run->step_s) + (first ? seconds + run->repeat_s : 0))
		return ENGINE_OK;
	status = run->operations->rate(run->backend, RATE_READ, seconds, &rate, run->error);
	if (status == ENGINE_OK)
		ceilings->read_bytes_per_s = fmax(ceilings->read_bytes_per_s, rate);
	if (status == ENGINE_OK && first)
		status = calibrate_device(run, RATE_MATRIX, seconds, &ceilings->flops_per_s);
	if (status == ENGINE_OK && first)
		status = calibrate_device(run, RATE_COPY, seconds / 2, &ceilings->copy_bytes_per_s);
	return status;
}

/* one batch from its prompt to its last token */
static enum engine_status
repeat(struct run *run, struct measurement *m)
{
	int			batch = run->workload->batch_size;
	int			steps = steps_of(run->workload);
	double	   *gaps = m->itl_ms + m->gaps;
	double		begin = machine_now();
	enum engine_status status = prefill(run, run->workload->input_tokens);
	double		first = machine_now();
	double		last = first;

	for (int i = 0; i < steps && status == ENGINE_OK; i++)
	{
		double		now;

		status = decode(run, i);
		now = machine_now();
		gaps[i] = (now - last) * 1000;
		last = now;
	}
	if (status != ENGINE_OK)
		return status;
	m->gaps += (size_t) steps;
	m->ttft_ms[m->repeats] = (first - begin) * 1000;
	m->e2e_ms[m->repeats] = (last - begin) * 1000;
	m->tpot_ms[m->repeats] = steps > 0 ? (last - first) * 1000 / steps : NAN;
	m->output_tokens_per_s[m->repeats] = (double) batch * (steps + 1) / (last - begin);
	m->duration_s += last - begin;
	m->repeats++;
	return ENGINE_OK;
}

/* has the noise stopped changing over the last repeats? */
static bool
noise_is_stable(const double *noise, int repeats)
{
	double		least = INFINITY;
	double		most = 0;

	if (repeats < STABLE_REPEATS)
		return false;
	for (int i = repeats - STABLE_WINDOW; i < repeats; i++)
	{
		least = fmin(least, noise[i]);
		most = fmax(most, noise[i]);
	}
	return most - least < STABLE_CHANGE * least;
}

static enum engine_status
run_repeats(struct run *run, double least, struct measurement *m)
{
	double		noise[MEASURE_MAX_REPEATS];
	size_t		steps = (size_t) steps_of(run->workload);
	double		begin = machine_now();

	for (m->stop_reason = NULL; m->stop_reason == NULL;)
	{
		double	   *more = realloc(m->itl_ms, (m->gaps + steps + 1) * sizeof(double));
		enum engine_status status;

		if (more == NULL)
			return engine_fail(run->error, ENGINE_INTERNAL, "out of memory");
		m->itl_ms = more;
		m->began_s[m->repeats] = machine_now() - begin;
		status = repeat(run, m);
		if (status != ENGINE_OK)
			return status;
		m->noise_rel = statistics_noise(m->output_tokens_per_s, (size_t) m->repeats);
		noise[m->repeats - 1] = m->noise_rel;
		run->repeat_s = m->duration_s / m->repeats;
		if (m->noise_rel < PRECISION && m->duration_s >= least)
			m->stop_reason = "precision";
		else if (m->repeats == MEASURE_MAX_REPEATS ||
				 (m->duration_s >= least && noise_is_stable(noise, m->repeats)))
			m->stop_reason = "noise_stable";
		else if (machine_now() + run->repeat_s > run->deadline)
			m->stop_reason = "budget";
	}
	return ENGINE_OK;
}

/* the repeats, with what the machine and the device did meanwhile */
static enum engine_status
measure_repeats(struct run *run, double budget, struct measurement *m)
{
	double		least = fmin(REPEATS_LEAST, REPEATS_SHARE * budget);
	struct machine_usage before;
	struct machine_usage after;
	double		wall;
	enum engine_status status;

	run->operations->state(run->backend, &m->before);
	if (!isnan(m->before.energy_j))
		least = fmin(COUNTED_LEAST, COUNTED_SHARE * budget);
	before = machine_usage();
	status = run_repeats(run, least, m);
	after = machine_usage();
	run->operations->state(run->backend, &m->after);

	wall = after.wall - before.wall;
	/* counted in ticks, so a short measurement can come out below zero */
	m->others_busy_cpus = (after.all - before.all - (after.own - before.own)) / wall;
	if (m->others_busy_cpus < 0)
		m->others_busy_cpus = 0;
	m->stolen_cpus = (after.stolen - before.stolen) / wall;
	m->energy_j = wall >= ENERGY_LEAST ? m->after.energy_j - m->before.energy_j : NAN;
	m->throttled_share = (m->after.throttled_s - m->before.throttled_s) / wall;
	m->power_capped_share = (m->after.power_capped_s - m->before.power_capped_s) / wall;
	return status;
}

/* the first repeats and the last ones apart */
static void
split_repeats(struct measurement *m)
{
	int			burst = 0;
	int			sustained = 0;

	while (burst < m->repeats && m->began_s[burst] < BURST_END)
		burst++;
	while (sustained < m->repeats && m->began_s[sustained] < SUSTAINED_BEGIN)
		sustained++;
	m->burst_tokens_per_s = statistics_median(m->output_tokens_per_s, (size_t) burst);
	m->sustained_tokens_per_s =
		statistics_median(m->output_tokens_per_s + sustained, (size_t) (m->repeats - sustained));
}

/*
 * A number that is nearly the same on every backend and set of kernels, and
 * far off when the model is wrong: the logits' sum with seeded signs, in units
 * of their own root of squares.  NaN when one of them is no number.
 */
static double
checksum(const float *logits, size_t count, uint64_t seed)
{
	double		sum = 0;
	double		squares = 0;

	for (size_t i = 0; i < count; i++)
	{
		bool		minus = model_row_key(seed, TENSOR_KINDS, -1, (int64_t) i) & 1;

		sum += minus ? -(double) logits[i] : (double) logits[i];
		squares += (double) logits[i] * (double) logits[i];
	}
	return isfinite(squares) && squares > 0 ? sum / sqrt(squares) : NAN;
}

/* what the last step said, as one number */
static enum engine_status
check_logits(struct run *run, const struct architecture *a, struct measurement *m)
{
	const float *logits;
	enum engine_status status = run->operations->logits(run->backend, &logits, run->error);

	if (status != ENGINE_OK)
		return status;
	m->logits_checksum = checksum(logits, (size_t) run->workload->batch_size * (size_t) a->vocab_size,
								  run->workload->seed);
	if (isnan(m->logits_checksum))
		return engine_fail(run->error, ENGINE_INTERNAL, "the model's logits are not finite numbers");
	return ENGINE_OK;
}

enum engine_status
measure_run(const struct backend_operations *operations, struct backend *backend,
			const struct architecture *a, const struct workload *workload,
			double begin, double budget, struct ceilings *ceilings,
			struct measurement *m, struct engine_error *error)
{
	struct run	run = {
		.operations = operations,
		.backend = backend,
		.workload = workload,
		.deadline = begin + budget,
		.error = error,
	};
	enum engine_status status = ENGINE_OK;

	memset(m, 0, sizeof(*m));
	m->ceilings = *ceilings;
	/* how fast it can be read depends on how much there is to read */
	m->ceilings.read_bytes_per_s = NAN;
	if (!make_tokens(&run, a))
		status = engine_fail(error, ENGINE_INTERNAL, "out of memory");
	m->setup_s = machine_now() - begin;
	if (status == ENGINE_OK)
		status = warm_up(&run, budget);
	m->warm_up_s = machine_now() - begin - m->setup_s;
	if (status == ENGINE_OK)
		status = calibrate(&run, budget, &m->ceilings);
	if (status == ENGINE_OK)
		status = measure_repeats(&run, budget, m);
	if (status == ENGINE_OK)
		status = check_logits(&run, a, m);
	if (status == ENGINE_OK && !isnan(m->ceilings.read_bytes_per_s))
		status = calibrate(&run, budget, &m->ceilings);
	if (status == ENGINE_OK)
	{
		split_repeats(m);
		m->bound = roofline_bound(a, workload, m->ceilings);
		*ceilings = m->ceilings;
	}
	free(run.prompt);
	free(run.fed);
	free(run.sampled);
	return status;
}

void
measure_free(struct measurement *measurement)
{
	free(measurement->itl_ms);
	measurement->itl_ms = NULL;
}
