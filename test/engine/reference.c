/*
 * reference.c: benchorch-engine's numbers against independent arithmetic.
 *
 * The transformer is written here a second time, in double precision and plain
 * loops, and shares nothing with the engine but its documentation: the weights
 * come from the formula at the top of model.c, written out again.  Whole logit
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
#include "cpu.h"
#include "model.h"
#include "roofline.h"
#include "statistics.h"

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
	struct ceilings h100 = {3350e9, 989e12};
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

/* ---- the transformer, once more ---- */

struct reference
{
	struct architecture a;
	struct workload workload;
	double	   *keys;			/* [layer][request][position][kv head][d] */
	double	   *values;
	double	   *weights[TENSOR_KINDS];	/* [layer][row][column] */
	double	   *logits;			/* [request][vocab] */
};

static uint64_t
splitmix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static float
round_to_bf16(float value)
{
	uint32_t	bits;
	uint32_t	below;

	memcpy(&bits, &value, 4);
	below = bits & 0xffff;
	bits &= 0xffff0000;
	if (below > 0x8000 || (below == 0x8000 && (bits & 0x10000)))
		bits += 0x10000;
	memcpy(&value, &bits, 4);
	return value;
}

static double
weight(uint64_t seed, int kind, int layer, int row, int column, float scale, float offset, bool half)
{
	uint64_t	key = splitmix(splitmix(splitmix(seed) ^ (uint64_t) (layer * 16 + kind)) ^ (uint64_t) row);
	uint32_t	h = (uint32_t) column * 0x9e3779b9u + (uint32_t) (key & 0xffffffffu);
	float		value;

	h ^= h >> 16;
	h *= 0x7feb352du;
	h ^= h >> 15;
	h *= 0x846ca68bu;
	h ^= h >> 16;
	value = offset + scale * (float) ((int32_t) h / 256 - ((int32_t) h % 256 < 0)) / 8388608.0f;
	return half ? round_to_bf16(value) : value;
}

static double *
make(struct reference *ref, int kind, int layers, int64_t rows, int64_t columns,
	 double variance, float offset, bool matrix)
{
	double	   *to = malloc(sizeof(double) * (size_t) (layers * rows * columns + 1));
	double	   *at = to;
	float		scale = matrix ? (float) sqrt(3 * variance / (double) columns) : 0.1f;

	for (int layer = 0; layer < layers; layer++)
		for (int row = 0; row < rows; row++)
			for (int column = 0; column < columns; column++)
				*at++ = weight(ref->workload.seed, kind, layer, row, column, scale, offset,
							   matrix && ref->workload.precision == PRECISION_BF16);
	return to;
}

static struct reference *
reference_create(const struct architecture *a, const struct workload *workload)
{
	struct reference *ref = calloc(1, sizeof(*ref));
	int			L = (int) a->n_layers;
	int64_t		qkv = (a->n_heads + 2 * a->n_kv_heads) * a->head_dim;
	double		residual = 0.5 / L;
	size_t		cache = (size_t) (L * workload->batch_size * (workload->input_tokens + workload->output_tokens)) *
		(size_t) (a->n_kv_heads * a->head_dim);

	ref->a = *a;
	ref->workload = *workload;
	/* the numbers are the kinds' places in model.h's list */
	ref->weights[0] = make(ref, 0, 1, a->vocab_size, a->hidden_size, 1, 0, true);
	ref->weights[1] = make(ref, 1, 1, a->vocab_size, a->hidden_size, 1, 0, true);
	ref->weights[2] = make(ref, 2, 1, 1, a->hidden_size, 0, 1, false);
	ref->weights[3] = make(ref, 3, L, 1, a->hidden_size, 0, 1, false);
	ref->weights[4] = make(ref, 4, L, qkv, a->hidden_size, 1, 0, true);
	ref->weights[5] = make(ref, 5, L, 1, qkv, 0, 0, false);
	ref->weights[6] = make(ref, 6, L, 1, a->head_dim, 0, 1, false);
	ref->weights[7] = make(ref, 7, L, 1, a->head_dim, 0, 1, false);
	ref->weights[8] = make(ref, 8, L, a->hidden_size, a->n_heads * a->head_dim, residual, 0, true);
	ref->weights[9] = make(ref, 9, L, 1, a->hidden_size, 0, 1, false);
	ref->weights[10] = make(ref, 10, L, 2 * a->ffn_dim, a->hidden_size, 1, 0, true);
	ref->weights[11] = make(ref, 11, L, a->hidden_size, a->ffn_dim, residual, 0, true);
	ref->keys = calloc(cache, sizeof(double));
	ref->values = calloc(cache, sizeof(double));
	ref->logits = calloc((size_t) (workload->batch_size * a->vocab_size), sizeof(double));
	return ref;
}

static void
reference_free(struct reference *ref)
{
	for (int i = 0; i < TENSOR_KINDS; i++)
		free(ref->weights[i]);
	free(ref->keys);
	free(ref->values);
	free(ref->logits);
	free(ref);
}

static void
times(const double *matrix, int64_t rows, int64_t columns, const double *x, double *y)
{
	for (int64_t r = 0; r < rows; r++)
	{
		y[r] = 0;
		for (int64_t c = 0; c < columns; c++)
			y[r] += matrix[r * columns + c] * x[c];
	}
}

static void
norm(const double *x, const double *w, int64_t n, double *y)
{
	double		squares = 0;

	for (int64_t i = 0; i < n; i++)
		squares += x[i] * x[i];
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] / sqrt(squares / (double) n + 1e-5) * w[i];
}

static void
rope(double *x, int64_t d, int position)
{
	for (int64_t i = 0; i < d / 2; i++)
	{
		double		angle = position / pow(10000, 2.0 * (double) i / (double) d);
		double		left = x[i];
		double		right = x[i + d / 2];

		x[i] = left * cos(angle) - right * sin(angle);
		x[i + d / 2] = right * cos(angle) + left * sin(angle);
	}
}

/* one token of one request at a position; its logits replace the request's last */
static void
reference_token(struct reference *ref, int request, int position, int token)
{
	const struct architecture *a = &ref->a;
	int64_t		H = a->hidden_size,
			d = a->head_dim,
			heads = a->n_heads,
			kv = a->n_kv_heads,
			F = a->ffn_dim,
			width = (heads + 2 * kv) * d;
	int64_t		capacity = ref->workload.input_tokens + ref->workload.output_tokens;
	double	   *x = malloc(sizeof(double) * (size_t) (3 * H + width + heads * d + 3 * F + capacity));
	double	   *n = x + H;
	double	   *y = n + H;
	double	   *qkv = y + H;
	double	   *attended = qkv + width;
	double	   *gate_up = attended + heads * d;
	double	   *act = gate_up + 2 * F;
	double	   *p = act + F;

	memcpy(x, ref->weights[0] + token * H, sizeof(double) * (size_t) H);
	for (int64_t layer = 0; layer < a->n_layers; layer++)
	{
		double	   *keys = ref->keys + (layer * ref->workload.batch_size + request) * capacity * kv * d;
		double	   *values = ref->values + (layer * ref->workload.batch_size + request) * capacity * kv * d;

		norm(x, ref->weights[3] + layer * H, H, n);
		times(ref->weights[4] + layer * width * H, width, H, n, qkv);
		for (int64_t i = 0; a->qkv_bias && i < width; i++)
			qkv[i] += ref->weights[5][layer * width + i];
		for (int64_t head = 0; head < heads + kv; head++)
		{
			if (a->qk_norm)
				norm(qkv + head * d, ref->weights[head < heads ? 6 : 7] + layer * d, d, qkv + head * d);
			rope(qkv + head * d, d, position);
		}
		for (int64_t i = 0; i < kv * d; i++)
		{
			bool		half = ref->workload.precision == PRECISION_BF16;
			double		k = qkv[heads * d + i];
			double		v = qkv[(heads + kv) * d + i];

			keys[position * kv * d + i] = half ? round_to_bf16((float) k) : k;
			values[position * kv * d + i] = half ? round_to_bf16((float) v) : v;
		}
		for (int64_t head = 0; head < heads; head++)
		{
			int64_t		from = head / (heads / kv) * d;
			double		total = 0;

			for (int t = 0; t <= position; t++)
			{
				double		dot = 0;

				for (int64_t i = 0; i < d; i++)
					dot += qkv[head * d + i] * keys[t * kv * d + from + i];
				p[t] = exp(dot / sqrt((double) d));
				total += p[t];
			}
			for (int64_t i = 0; i < d; i++)
			{
				attended[head * d + i] = 0;
				for (int t = 0; t <= position; t++)
					attended[head * d + i] += p[t] / total * values[t * kv * d + from + i];
			}
		}
		times(ref->weights[8] + layer * H * heads * d, H, heads * d, attended, y);
		for (int64_t i = 0; i < H; i++)
			x[i] += y[i];
		norm(x, ref->weights[9] + layer * H, H, n);
		times(ref->weights[10] + layer * 2 * F * H, 2 * F, H, n, gate_up);
		for (int64_t i = 0; i < F; i++)
			act[i] = gate_up[i] / (1 + exp(-gate_up[i])) * gate_up[F + i];
		times(ref->weights[11] + layer * H * F, H, F, act, y);
		for (int64_t i = 0; i < H; i++)
			x[i] += y[i];
	}
	norm(x, ref->weights[2], H, n);
	times(ref->weights[a->tied_embeddings ? 0 : 1], a->vocab_size, H, n, ref->logits + request * a->vocab_size);
	free(x);
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

static int32_t
test_token(const struct architecture *a, int request, int position)
{
	return (int32_t) (splitmix((uint64_t) (request * 100003 + position)) % (uint64_t) a->vocab_size);
}

/* ||a - b|| / ||b|| over a whole batch's logits */
static double
difference(const float *logits, const double *expected, size_t count)
{
	double		above = 0;
	double		below = 0;

	for (size_t i = 0; i < count; i++)
	{
		above += (logits[i] - expected[i]) * (logits[i] - expected[i]);
		below += expected[i] * expected[i];
	}
	return sqrt(above / below);
}

static bool
sampled_right(const float *logits, int64_t vocab, const int32_t *sampled, int batch)
{
	for (int i = 0; i < batch; i++)
		for (int64_t t = 0; t < vocab; t++)
			if (logits[i * vocab + t] > logits[i * vocab + sampled[i]])
				return false;
	return true;
}

static void
run_steps(struct backend *backend, const struct architecture *a, int batch, int from, int steps, int32_t *sampled)
{
	int32_t		tokens[CONFIG_MAX_BATCH];

	for (int step = from; step < from + steps; step++)
	{
		for (int i = 0; i < batch; i++)
			tokens[i] = test_token(a, i, step);
		cpu_backend.decode(backend, tokens, sampled);
	}
}

static void
test_run(const struct shape *shape, const struct workload *workload, int run,
		 const double *after_prefill, const double *after_steps)
{
	const struct architecture *a = &shape->a;
	size_t		count = (size_t) (shape->batch * a->vocab_size);
	struct backend_options options = {shape->threads, runs[run].kernels, runs[run].library};
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
	enum engine_status status = cpu_backend.open(a, workload, &options, &backend, &error);

	if (status == ENGINE_USAGE)
		printf("ok %d # skip %s\n", ++tests, error.message);
	else if (status != ENGINE_OK)
		ok(false, "%s: %s", shape->name, error.message);
	else
	{
		for (int i = 0; i < shape->batch; i++)
			for (int t = 0; t < shape->prompt; t++)
				prompt[i * shape->prompt + t] = test_token(a, i, t);
		cpu_backend.prefill(backend, prompt, shape->prompt, sampled);
		memcpy(first, cpu_backend.logits(backend), sizeof(float) * count);
		prefill = difference(first, after_prefill, count);
		sampling = sampled_right(first, a->vocab_size, sampled, shape->batch);
		run_steps(backend, a, shape->batch, shape->prompt, STEPS, sampled);
		steps = difference(cpu_backend.logits(backend), after_steps, count);
		sampling = sampling && sampled_right(cpu_backend.logits(backend), a->vocab_size, sampled, shape->batch);
		/* a second prompt must find nothing of the first */
		cpu_backend.prefill(backend, prompt, shape->prompt, sampled);
		same = memcmp(first, cpu_backend.logits(backend), sizeof(float) * count) == 0;
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
			reference_token(ref, i, t, test_token(&shape->a, i, t));
	memcpy(after_prefill, ref->logits, size);
	for (int i = 0; i < shape->batch; i++)
		for (int t = shape->prompt; t < shape->prompt + STEPS; t++)
			reference_token(ref, i, t, test_token(&shape->a, i, t));
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
