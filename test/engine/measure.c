/*
 * measure.c: what a measurement consists of, and when it ends, on a clock and a
 * device of the test's own: a prompt and a step take as long as each test says,
 * so that every rule of worker/engine/measure.c is exact and nothing waits.
 *
 * Prints TAP.
 */
#include "measure.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "machine.h"

static int	tests = 0;
static int	failures = 0;

static void ok(bool condition, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void
ok(bool condition, const char *format, ...)
{
	va_list		args;

	printf("%sok %d - ", condition ? "" : "not ", ++tests);
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	putchar('\n');
	failures += !condition;
}

/* ---- the clock ---- */

static double clock_s;

double
machine_now(void)
{
	return clock_s;
}

struct machine_usage
machine_usage(void)
{
	/* half a CPU is always busy with something else */
	return (struct machine_usage){clock_s, clock_s, 1.5 * clock_s, 0};
}

/* ---- the device ---- */

struct backend
{
	/* how long it takes, in seconds */
	double		prompt_s;		/* for a whole prompt */
	double		step_s;
	double		wobble;			/* of three whole prompts one takes that share longer, one twice that, */
	double		drift;			/* and each one that share longer than the one before */
	double		warm_s;			/* from then on all takes twice as long */

	/* what it counts */
	double		watts;			/* NaN: it has no counter */
	double		throttled;		/* share of all time */

	/* what rate() says, by turns */
	double		read_rates[2];

	/* what was asked of it */
	double		begun_s;		/* when the first repeat began: the state was asked for */
	bool		settled;
	bool		decoded_unsettled;
	int			prompts;		/* whole ones */
	int			prompts_before;
	int			steps_before;
	int			reads;
	int			products;
	int			copies;
	bool		no_numbers;
};

static const struct architecture small = {
	.n_layers = 1, .hidden_size = 64, .n_heads = 1, .n_kv_heads = 1, .head_dim = 64, .ffn_dim = 64, .vocab_size = 4
};
static const struct workload workload = {PRECISION_FP32, 1, 64, 11, 1};

static double
slowness(const struct backend *backend)
{
	return backend->warm_s > 0 && !isnan(backend->begun_s) && clock_s - backend->begun_s >= backend->warm_s ? 2 : 1;
}

static enum engine_status
fake_settle(struct backend *backend, struct engine_error *error)
{
	(void) error;
	backend->settled = true;
	clock_s += 0.01;
	return ENGINE_OK;
}

static enum engine_status
fake_prefill(struct backend *backend, const int32_t *tokens, int length, int32_t *sampled, struct engine_error *error)
{
	double		seconds = backend->prompt_s * length / workload.input_tokens * slowness(backend);

	(void) tokens;
	(void) error;
	sampled[0] = 0;
	if (length == workload.input_tokens)
	{
		seconds *= 1 + (backend->prompts % 3) * backend->wobble + backend->prompts * backend->drift;
		backend->prompts++;
	}
	clock_s += seconds;
	return ENGINE_OK;
}

static enum engine_status
fake_decode(struct backend *backend, const int32_t *tokens, int32_t *sampled, struct engine_error *error)
{
	(void) tokens;
	(void) error;
	sampled[0] = 0;
	if (!backend->settled)
		backend->decoded_unsettled = true;
	if (isnan(backend->begun_s))
		backend->steps_before++;
	clock_s += backend->step_s * slowness(backend);
	return ENGINE_OK;
}

static enum engine_status
fake_logits(struct backend *backend, const float **logits, struct engine_error *error)
{
	static float values[4];

	(void) error;
	for (int i = 0; i < 4; i++)
		values[i] = backend->no_numbers ? NAN : (float) (i + 1);
	*logits = values;
	return ENGINE_OK;
}

static enum engine_status
fake_rate(struct backend *backend, enum backend_rate which, double seconds, double *rate, struct engine_error *error)
{
	(void) error;
	clock_s += seconds;
	*rate = which == RATE_READ ? backend->read_rates[backend->reads++ % 2] : 1e12;
	backend->products += which == RATE_MATRIX;
	backend->copies += which == RATE_COPY;
	return ENGINE_OK;
}

static void
fake_state(struct backend *backend, struct device_state *state)
{
	if (isnan(backend->begun_s))
	{
		backend->begun_s = clock_s;
		backend->prompts_before = backend->prompts;
	}
	*state = (struct device_state){backend->watts * clock_s, backend->throttled * clock_s, NAN, 1e9, 1e9, 40};
}

static const struct backend_operations operations = {
	.interface = BACKEND_INTERFACE,
	.name = "fake",
	.settle = fake_settle,
	.prefill = fake_prefill,
	.decode = fake_decode,
	.logits = fake_logits,
	.rate = fake_rate,
	.state = fake_state,
};

static struct measurement m;
static struct engine_error error;

/* a repeat of an untroubled device takes 0.1 s */
static struct backend
device(void)
{
	return (struct backend){
		.prompt_s = 0.05, .step_s = 0.005, .watts = NAN, .throttled = NAN, .read_rates = {1e9, 2e9}, .begun_s = NAN};
}

static enum engine_status
measure(struct backend *backend, double budget, struct ceilings *ceilings)
{
	clock_s = 1000;
	return measure_run(&operations, backend, &small, &workload, clock_s, budget, ceilings, &m, &error);
}

static bool
near(double value, double expected)
{
	return fabs(value - expected) <= 1e-6 * fabs(expected);
}

/* ---- the rules ---- */

static void
test_order(void)
{
	struct ceilings ceilings = {NAN, NAN, NAN};
	struct backend backend = device();

	ok(measure(&backend, 10, &ceilings) == ENGINE_OK, "a measurement");
	ok(backend.settled && !backend.decoded_unsettled, "nothing is decoded before the device has settled");
	ok(backend.steps_before >= 3 && m.warm_up_s >= 0.5, "it warms up for %.2f s and %d steps", m.warm_up_s,
	   backend.steps_before);
	ok(backend.products == 1 && backend.copies == 1 && backend.reads == 2, "is calibrated, for reading twice");
	ok(ceilings.read_bytes_per_s == 2e9 && m.ceilings.read_bytes_per_s == 2e9, "of which the better one counts");
	ok(backend.prompts - backend.prompts_before == m.repeats && m.gaps == (size_t) (10 * m.repeats),
	   "every sample is kept: %d repeats, %zu gaps", m.repeats, m.gaps);
	ok(near(m.ttft_ms[0], 50) && near(m.tpot_ms[0], 5) && near(m.e2e_ms[0], 100) &&
		   near(m.output_tokens_per_s[0], 110) && near(m.duration_s, 0.1 * m.repeats),
	   "and is what the device took");
	ok(near(m.others_busy_cpus, 0.5), "others had %.2f CPUs meanwhile", m.others_busy_cpus);
	measure_free(&m);

	backend = device();
	ok(measure(&backend, 10, &ceilings) == ENGINE_OK && backend.products == 0 && backend.copies == 0 &&
		   backend.reads == 2,
	   "what is known of the device is not measured again");
	measure_free(&m);
}

static void
test_stopping(void)
{
	struct ceilings ceilings = {NAN, NAN, NAN};
	struct backend backend = device();

	measure(&backend, 10, &ceilings);
	ok(strcmp(m.stop_reason, "precision") == 0 && m.repeats >= 3 && m.duration_s >= 0.5 && m.duration_s < 0.7,
	   "without noise: %s after %d repeats, %.1f s", m.stop_reason, m.repeats, m.duration_s);
	measure_free(&m);

	backend = device();
	backend.wobble = 0.2;
	measure(&backend, 10, &ceilings);
	ok(strcmp(m.stop_reason, "noise_stable") == 0 && m.repeats >= 16 && m.repeats < 24 && m.noise_rel > 0.01,
	   "with noise that more repeats do not lower: %s after %d, at %.3f", m.stop_reason, m.repeats, m.noise_rel);
	measure_free(&m);

	backend = device();
	backend.drift = 0.05;
	measure(&backend, 10, &ceilings);
	ok(strcmp(m.stop_reason, "budget") == 0 && clock_s < 1010.5 && clock_s > 1009,
	   "with noise that grows: %s after %d, %.2f s of 10", m.stop_reason, m.repeats, clock_s - 1000);
	measure_free(&m);

	backend = device();
	backend.prompt_s = 30;
	ceilings = (struct ceilings){NAN, NAN, NAN};
	ok(measure(&backend, 10, &ceilings) == ENGINE_OK && strcmp(m.stop_reason, "budget") == 0 && m.repeats == 1 &&
		   isnan(m.noise_rel) && backend.reads == 0 && isnan(m.bound.ttft_s),
	   "one that takes longer than the budget is made once, and not calibrated");
	measure_free(&m);
}

static void
test_device(void)
{
	struct ceilings ceilings = {NAN, NAN, NAN};
	struct backend backend = device();

	backend.watts = 100;
	backend.throttled = 0.25;
	measure(&backend, 20, &ceilings);
	ok(m.duration_s >= 4 && near(m.energy_j, 100 * m.duration_s), "a counter of energy makes it last: %.0f J in %.1f s",
	   m.energy_j, m.duration_s);
	ok(near(m.throttled_share, 0.25) && isnan(m.power_capped_share), "a quarter of the time it was throttled");
	measure_free(&m);

	backend = device();
	backend.watts = 100;
	measure(&backend, 2, &ceilings);
	ok(isnan(m.energy_j) && m.duration_s < 3, "over less than 3 s there is no energy");
	measure_free(&m);

	backend = device();
	backend.watts = 100;
	backend.warm_s = 2;
	measure(&backend, 20, &ceilings);
	ok(near(m.burst_tokens_per_s, 110) && near(m.sustained_tokens_per_s, 55),
	   "one that slows down: %.0f tokens/s at first, %.0f sustained", m.burst_tokens_per_s, m.sustained_tokens_per_s);
	measure_free(&m);

	backend = device();
	measure(&backend, 10, &ceilings);
	ok(near(m.burst_tokens_per_s, 110) && isnan(m.sustained_tokens_per_s),
	   "a short one says nothing of what is sustained");
	measure_free(&m);

	backend = device();
	backend.no_numbers = true;
	ok(measure(&backend, 10, &ceilings) == ENGINE_INTERNAL, "logits that are no numbers: %s", error.message);
	measure_free(&m);
}

int
main(void)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_order();
	test_stopping();
	test_device();
	printf("1..%d\n", tests);
	return failures == 0 ? 0 : 1;
}
