/*
 * reference.c: benchorch-engine's numbers against independent arithmetic.
 *
 * The transformer is written a second time in transformer.c.  Whole logit
 * vectors are compared, for a single chosen token would hide most mistakes.
 * Percentiles, roofline and parameter counts are checked against worked values.
 *
 * Prints TAP.  Run from the repository's root.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "config.h"
#include "roofline.h"
#include "statistics.h"
#include "transformer.h"

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

static bool
near(double value, double expected, double relative)
{
	return fabs(value - expected) <= relative * fabs(expected);
}

/* ---- statistics ---- */

static void
test_statistics(void)
{
	double		four[] = {40, 10, 30, 20};
	double		three[] = {100, 101, 90};
	struct summary s = statistics_summary(four, 4, 1);

	/* select percentile_cont(array[0.5, 0.9, 0.95, 0.99]) ... over 10, 20, 30, 40 */
	ok(near(s.mean, 25, 1e-12) && near(s.p50, 25, 1e-12) && near(s.p90, 37, 1e-12) &&
		   near(s.p95, 38.5, 1e-12) && near(s.p99, 39.7, 1e-12),
	   "percentiles are linear");
	/* the same with every value three times: 10 10 10 20 20 20 30 30 30 40 40 40 */
	s = statistics_summary(four, 4, 3);
	ok(near(s.mean, 25, 1e-12) && near(s.p50, 25, 1e-12) && near(s.p90, 40, 1e-12),
	   "a batch's requests count each in percentiles");
	ok(near(statistics_summary(four, 1, 1).p99, 40, 1e-12), "one sample is every percentile");
	ok(isnan(statistics_summary(four, 0, 1).p50), "no samples have no percentile");
	ok(four[0] == 40, "samples keep their order");
	ok(isnan(statistics_noise(four, 2)), "two samples have no noise");
	ok(near(statistics_noise(three, 3), 0.01, 1e-12), "noise is the median deviation over the median");
}

/* ---- roofline and counts ---- */

static void
test_roofline(void)
{
	struct architecture llama = {
		.n_layers = 32,
		.hidden_size = 4096,
		.n_heads = 32,
		.n_kv_heads = 8,
		.head_dim = 128,
		.ffn_dim = 14336,
		.vocab_size = 128256,
	};
	struct workload workload = {PRECISION_BF16, 1, 1024, 128, 1};
	struct ceilings h100 = {3350e9, 989e12, NAN};
	struct roofline r = roofline_bound(&llama, &workload, h100);

	ok(near(r.ttft_s, 14.73e-3, 5e-4), "8B, batch 1: TTFT bound %.3f ms", r.ttft_s * 1e3);
	ok(near(r.tpot_s, 4.523e-3, 2e-4), "8B, batch 1: TPOT bound %.4f ms", r.tpot_s * 1e3);
	ok(near(r.memory_bytes / (1 << 30), 15.10, 5e-4), "8B, batch 1: memory %.3f GiB", r.memory_bytes / (1 << 30));
	workload.batch_size = 32;
	r = roofline_bound(&llama, &workload, h100);
	ok(near(r.ttft_s, 471.4e-3, 2e-4), "8B, batch 32: TTFT bound %.2f ms", r.ttft_s * 1e3);
	ok(near(r.tpot_s, 5.843e-3, 2e-4), "8B, batch 32: TPOT bound %.4f ms", r.tpot_s * 1e3);
	ok(near(r.memory_bytes / (1 << 30), 19.46, 5e-4), "8B, batch 32: memory %.3f GiB", r.memory_bytes / (1 << 30));
	workload.output_tokens = 1;
	ok(isnan(roofline_bound(&llama, &workload, h100).tpot_s), "one output token has no TPOT bound");
}

/* the index-th comma-separated field of a line */
static const char *
csv_field(const char *line, int index, char *field, size_t size)
{
	for (; index > 0; index--)
		line = strchr(line, ',') + 1;
	snprintf(field, size, "%.*s", (int) strcspn(line, ",\n"), line);
	return field;
}

static void
test_counts(void)
{
	const char *shared = getenv("BENCHORCH_SHARED");
	char		path[4096];
	FILE	   *file;
	char		line[1024];
	char		text[256];

	snprintf(path, sizeof(path), "%s/data/models.csv", shared ? shared : "../shared");
	file = fopen(path, "r");
	if (file == NULL || fgets(line, sizeof(line), file) == NULL)
	{
		printf("ok %d # skip no reference data at BENCHORCH_SHARED/data/models.csv\n", ++tests);
		return;
	}
	while (fgets(line, sizeof(line), file) != NULL)
	{
#define NUMBER(i) atof(csv_field(line, i, text, sizeof(text)))
#define FLAG(i) (strcmp(csv_field(line, i, text, sizeof(text)), "True") == 0)
		struct architecture a = {
			.n_layers = (int64_t) NUMBER(1),
			.hidden_size = (int64_t) NUMBER(2),
			.n_heads = (int64_t) NUMBER(3),
			.n_kv_heads = (int64_t) NUMBER(4),
			.head_dim = (int64_t) NUMBER(5),
			.ffn_dim = (int64_t) NUMBER(6),
			.vocab_size = (int64_t) NUMBER(7),
			.n_experts = (int64_t) NUMBER(9),
			.experts_per_token = (int64_t) NUMBER(10),
			.moe_ffn_dim = (int64_t) NUMBER(11),
			.tied_embeddings = FLAG(8),
			.qkv_bias = FLAG(12),
			.qk_norm = FLAG(13),
		};
		double		parameters = NUMBER(14);
		double		matmul = NUMBER(16);
		double		kv = NUMBER(18);
		double		unstated = 0;

		csv_field(line, 0, text, sizeof(text));
		/* it has four norms a layer, which no key of the architecture says */
		if (strncmp(text, "Gemma-2", 7) == 0)
			unstated = 2.0 * (double) (a.n_layers * a.hidden_size);
		ok(model_parameters(&a) + unstated == parameters && model_matmul_parameters(&a) == matmul &&
			   model_kv_bytes_per_token(&a, PRECISION_BF16) == kv,
		   "%s: %.0f parameters, %.0f in products, %.0f bytes of KV cache a token", text,
		   model_parameters(&a), model_matmul_parameters(&a), model_kv_bytes_per_token(&a, PRECISION_BF16));
	}
	fclose(file);
}

/* ---- the engine against it ---- */

struct shape
{
	const char *name;
	struct architecture a;
	int			batch;
	int			prompt;
	int			threads;
};

#define SHAPE(L, H, h, k, d, F, V) \
	.n_layers = L, .hidden_size = H, .n_heads = h, .n_kv_heads = k, .head_dim = d, .ffn_dim = F, .vocab_size = V

static const struct shape shapes[] = {
	{"one token, one head, tied", {SHAPE(1, 32, 1, 1, 32, 64, 64), .tied_embeddings = true}, 1, 1, 1},
	{"one token, odd sizes", {SHAPE(2, 37, 3, 3, 10, 29, 101)}, 3, 1, 2},
	{"groups of 1, batch 3", {SHAPE(2, 48, 4, 4, 12, 56, 97)}, 3, 17, 2},
	{"groups of 2, odd sizes", {SHAPE(3, 45, 6, 3, 14, 51, 77)}, 1, 19, 3},
	{"groups of 8, one kv head, tied", {SHAPE(2, 52, 8, 1, 6, 70, 90), .tied_embeddings = true}, 8, 18, 2},
	{"bias", {SHAPE(2, 40, 4, 2, 10, 33, 65), .qkv_bias = true}, 3, 21, 2},
	{"norm of q and k", {SHAPE(2, 40, 4, 2, 34, 33, 65), .qk_norm = true, .tied_embeddings = true}, 2, 21, 2},
	{"bias and norm, several blocks", {SHAPE(2, 36, 6, 2, 20, 44, 83), .qkv_bias = true, .qk_norm = true}, 2, 150, 2},
	{"batch 8", {SHAPE(2, 67, 5, 1, 18, 131, 203)}, 8, 20, 1},
	{"batch 7", {SHAPE(2, 64, 4, 2, 16, 96, 130)}, 7, 5, 2},
	{"batch 21, beyond our own product", {SHAPE(1, 33, 2, 1, 22, 35, 61)}, 21, 3, 2},
	{"batch 64", {SHAPE(1, 24, 2, 1, 12, 35, 61)}, 64, 2, 2},
	{"more rows than one chunk", {SHAPE(2, 20, 2, 1, 10, 21, 40)}, 8, 150, 2},
	{"a context cut into parts", {SHAPE(1, 24, 4, 2, 8, 20, 40)}, 1, 300, 4},
};

#define STEPS 4
#define RUNS 6

/* one way to run the engine: kernels, with or without OpenBLAS */
static const struct
{
	const char *kernels;
	bool		library;
} runs[RUNS] = {
	{"avx512", true},
	{"avx512", false},
	{"avx2", true},
	{"avx2", false},
	{"plain", true},
	{"plain", false},
};

static bool
sampled_right(const float *logits, int64_t vocab, const int32_t *sampled, int batch)
{
	for (int i = 0; i < batch; i++)
		for (int64_t t = 0; t < vocab; t++)
			if (logits[i * vocab + t] > logits[i * vocab + sampled[i]])
				return false;
	return true;
}

static const float *
logits_of(struct backend *backend)
{
	struct engine_error error;
	const float *logits;

	cpu_backend.logits(backend, &logits, &error);
	return logits;
}

static void
run_steps(struct backend *backend, const struct architecture *a, int batch, int from, int steps, int32_t *sampled)
{
	struct engine_error error;
	int32_t		tokens[CONFIG_MAX_BATCH];

	for (int step = from; step < from + steps; step++)
	{
		for (int i = 0; i < batch; i++)
			tokens[i] = reference_input(a, i, step);
		cpu_backend.decode(backend, tokens, sampled, &error);
	}
}

static void
test_run(const struct shape *shape, const struct workload *workload, int run,
		 const double *after_prefill, const double *after_steps)
{
	const struct architecture *a = &shape->a;
	size_t		count = (size_t) (shape->batch * a->vocab_size);
	struct backend_options options = {shape->threads, runs[run].kernels, runs[run].library, false};
	double		tolerance = workload->precision == PRECISION_BF16 ? 1e-3 : 1e-5;
	int32_t    *prompt = malloc(sizeof(int32_t) * (size_t) (shape->batch * shape->prompt));
	int32_t		sampled[CONFIG_MAX_BATCH];
	float	   *first = malloc(sizeof(float) * count);
	struct backend *backend;
	struct engine_error error;
	double		prefill;
	double		steps;
	bool		sampling;
	bool		same;
	enum engine_status status = cpu_backend.open(a, workload->precision, workload->seed, &options, &backend, &error);

	if (status == ENGINE_OK)
		status = cpu_backend.prepare(backend, workload, &error);
	if (status == ENGINE_OK)
		status = cpu_backend.settle(backend, &error);
	if (status == ENGINE_USAGE)
		printf("ok %d # skip %s\n", ++tests, error.message);
	else if (status != ENGINE_OK)
		ok(false, "%s: %s", shape->name, error.message);
	else
	{
		for (int i = 0; i < shape->batch; i++)
			for (int t = 0; t < shape->prompt; t++)
				prompt[i * shape->prompt + t] = reference_input(a, i, t);
		cpu_backend.prefill(backend, prompt, shape->prompt, sampled, &error);
		memcpy(first, logits_of(backend), sizeof(float) * count);
		prefill = reference_difference(first, after_prefill, count);
		sampling = sampled_right(first, a->vocab_size, sampled, shape->batch);
		run_steps(backend, a, shape->batch, shape->prompt, STEPS, sampled);
		steps = reference_difference(logits_of(backend), after_steps, count);
		sampling = sampling && sampled_right(logits_of(backend), a->vocab_size, sampled, shape->batch);
		/* a second prompt must find nothing of the first */
		cpu_backend.prefill(backend, prompt, shape->prompt, sampled, &error);
		same = memcmp(first, logits_of(backend), sizeof(float) * count) == 0;
		ok(prefill <= tolerance && steps <= tolerance && sampling && same,
		   "%s, %s, %s%s: off by %.1e after the prompt, %.1e after %d steps%s%s", shape->name,
		   precision_name(workload->precision), runs[run].kernels, runs[run].library ? ", openblas" : "",
		   prefill, steps, STEPS, sampling ? "" : ", wrong token sampled", same ? "" : ", a repeat differs");
		cpu_backend.close(backend);
	}
	free(first);
	free(prompt);
}

static void
test_shape(const struct shape *shape, enum precision precision)
{
	struct workload workload = {precision, shape->batch, shape->prompt, STEPS + 1, 7};
	size_t		size = sizeof(double) * (size_t) (shape->batch * shape->a.vocab_size);
	struct reference *ref = reference_create(&shape->a, &workload);
	double	   *after_prefill = malloc(size);

	for (int i = 0; i < shape->batch; i++)
		for (int t = 0; t < shape->prompt; t++)
			reference_token(ref, i, t, reference_input(&shape->a, i, t));
	memcpy(after_prefill, ref->logits, size);
	for (int i = 0; i < shape->batch; i++)
		for (int t = shape->prompt; t < shape->prompt + STEPS; t++)
			reference_token(ref, i, t, reference_input(&shape->a, i, t));
	for (int run = 0; run < RUNS; run++)
		test_run(shape, &workload, run, after_prefill, ref->logits);
	free(after_prefill);
	reference_free(ref);
}

int
main(void)
{
	/* a crash leaves no plan, and prove says so */
	setvbuf(stdout, NULL, _IOLBF, 0);
	test_statistics();
	test_roofline();
	test_counts();
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
	{
		test_shape(&shapes[i], PRECISION_FP32);
		test_shape(&shapes[i], PRECISION_BF16);
	}
	printf("1..%d\n", tests);
	return failures == 0 ? 0 : 1;
}
