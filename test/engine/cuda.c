/*
 * cuda.c: the CUDA backend's numbers against independent arithmetic.
 *
 * Built twice: with the emulation of test/engine/emulation, where every kernel
 * runs on the CPU against the float64 reference; and for the plugin, where a GPU
 * computes the same and, on shapes that the reference is too slow for, is
 * compared with the CPU backend.  Weights and tokens are new in every run;
 * BENCHORCH_ENGINE_SEED repeats one.
 *
 * Prints TAP.  Run from the repository's root.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "backend.h"
#ifdef CUDA_EMULATION
#include "cuda_product.h"
#endif
#include "machine.h"
#include "transformer.h"

/*
 * What goes into products is rounded to bf16's eight bits, which comes to 4e-3 to
 * 9e-3 of the logits.  Models of a few dozen numbers scatter around that; a wrong
 * index anywhere is off by 1e-1 or more in them.
 */
#define TOLERANCE 1e-2
#define TINY_TOLERANCE 2e-2
#define TINY_VOCABULARY 100

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

struct shape
{
	const char *name;
	struct architecture a;
	int			batch;
	int			prompt;
	int			steps;
};

#define SHAPE(L, H, h, k, d, F, V) \
	.n_layers = L, .hidden_size = H, .n_heads = h, .n_kv_heads = k, .head_dim = d, .ffn_dim = F, .vocab_size = V

/* the emulation's chunks of a prompt are 96 rows, so that some of these have several */
static const struct shape shapes[] = {
	{"one token, one head, tied", {SHAPE(1, 64, 1, 1, 64, 64, 40), .tied_embeddings = true}, 1, 1, 2},
	{"a strip and a tail", {SHAPE(2, 264, 2, 1, 128, 520, 77)}, 1, 5, 3},
	{"batch 2, bias", {SHAPE(2, 96, 4, 2, 64, 200, 51), .qkv_bias = true}, 2, 17, 3},
	{"batch 3, norm of q and k", {SHAPE(2, 136, 3, 1, 128, 104, 61), .qk_norm = true}, 3, 9, 3},
	{"batch 4, groups of 7", {SHAPE(1, 128, 7, 1, 64, 72, 33), .tied_embeddings = true}, 4, 3, 3},
	{"groups of 9: two chunks of heads", {SHAPE(1, 64, 9, 1, 64, 64, 35), .qkv_bias = true}, 1, 30, 3},
	{"groups of 5 heads of 128", {SHAPE(1, 64, 5, 1, 128, 64, 40)}, 1, 30, 2},
	{"batch 5: the library's products", {SHAPE(2, 72, 4, 2, 64, 88, 45), .qkv_bias = true, .qk_norm = true}, 5, 7, 3},
	{"batch 17", {SHAPE(1, 64, 2, 2, 64, 64, 37)}, 17, 4, 2},
	{"batch 64", {SHAPE(1, 64, 1, 1, 64, 64, 30)}, 64, 2, 2},
	{"tiles of keys: 64 and one more", {SHAPE(1, 64, 2, 1, 64, 64, 40)}, 1, 65, 2},
	{"a whole tile", {SHAPE(1, 64, 1, 1, 128, 64, 40)}, 1, 64, 2},
	{"several requests in a chunk", {SHAPE(2, 64, 2, 1, 64, 64, 40)}, 5, 40, 2},
	{"a prompt of several chunks", {SHAPE(2, 64, 2, 1, 64, 64, 40), .qk_norm = true}, 2, 230, 2},
	{"wider", {SHAPE(1, 256, 4, 2, 64, 512, 1000), .tied_embeddings = true}, 1, 20, 2},
	{"a context cut into parts", {SHAPE(1, 64, 2, 1, 64, 64, 40)}, 1, 300, 3},
};

static uint64_t seed;

static struct backend_options options = {.threads = 1, .library = true};

/* prompt and steps of a shape; first and last are the logits after them */
static enum engine_status
run_shape(const struct backend_operations *operations, const struct shape *shape, float *first, float *last,
		  struct engine_error *error)
{
	size_t		count = (size_t) (shape->batch * shape->a.vocab_size);
	struct workload workload = {PRECISION_BF16, shape->batch, shape->prompt, shape->steps + 1, seed};
	int32_t    *prompt = malloc(sizeof(int32_t) * (size_t) (shape->batch * shape->prompt));
	int32_t		tokens[64];
	int32_t		sampled[64];
	const float *logits = NULL;
	struct backend *backend = NULL;
	enum engine_status status = operations->open(&shape->a, PRECISION_BF16, seed, &options, &backend, error);

	for (int i = 0; i < shape->batch; i++)
		for (int t = 0; t < shape->prompt; t++)
			prompt[i * shape->prompt + t] = reference_input(&shape->a, i, t);
	if (status == ENGINE_OK)
		status = operations->prepare(backend, &workload, error);
	/* a shorter prompt before must leave nothing behind */
	if (status == ENGINE_OK)
		status = operations->prefill(backend, prompt, (shape->prompt + 1) / 2, sampled, error);
	if (status == ENGINE_OK)
		status = operations->settle(backend, error);
	if (status == ENGINE_OK)
		status = operations->prefill(backend, prompt, shape->prompt, sampled, error);
	if (status == ENGINE_OK)
		status = operations->logits(backend, &logits, error);
	if (status == ENGINE_OK)
		memcpy(first, logits, sizeof(float) * count);
	for (int step = 0; step < shape->steps && status == ENGINE_OK; step++)
	{
		for (int i = 0; i < shape->batch; i++)
			tokens[i] = reference_input(&shape->a, i, shape->prompt + step);
		status = operations->decode(backend, tokens, sampled, error);
	}
	if (status == ENGINE_OK)
		status = operations->logits(backend, &logits, error);
	if (status == ENGINE_OK)
		memcpy(last, logits, sizeof(float) * count);
	/* the token that is said is the largest logit's */
	for (int i = 0; i < shape->batch && status == ENGINE_OK; i++)
		for (int64_t v = 0; v < shape->a.vocab_size; v++)
			if (last[i * shape->a.vocab_size + v] > last[i * shape->a.vocab_size + sampled[i]])
				status = engine_fail(error, ENGINE_INTERNAL, "wrong token chosen");
	operations->close(backend);
	free(prompt);
	return status;
}

/* what the reference says after the prompt and after the steps */
static void
run_reference(const struct shape *shape, double *first, double *last)
{
	struct workload workload = {PRECISION_BF16, shape->batch, shape->prompt, shape->steps + 1, seed};
	struct reference *ref = reference_create(&shape->a, &workload);
	size_t		size = sizeof(double) * (size_t) (shape->batch * shape->a.vocab_size);

	for (int i = 0; i < shape->batch; i++)
		for (int t = 0; t < shape->prompt; t++)
			reference_token(ref, i, t, reference_input(&shape->a, i, t));
	memcpy(first, ref->logits, size);
	for (int i = 0; i < shape->batch; i++)
		for (int t = shape->prompt; t < shape->prompt + shape->steps; t++)
			reference_token(ref, i, t, reference_input(&shape->a, i, t));
	memcpy(last, ref->logits, size);
	reference_free(ref);
}

static void
test_shape(const struct backend_operations *operations, const struct shape *shape, bool against_cpu)
{
	size_t		count = (size_t) (shape->batch * shape->a.vocab_size);
	float	   *got = malloc(2 * count * sizeof(float));
	double	   *expected = malloc(2 * count * sizeof(double));
	struct engine_error error = {"", ""};
	enum engine_status status = ENGINE_OK;

	if (against_cpu)
	{
		status = run_shape(&cpu_backend, shape, got, got + count, &error);
		for (size_t i = 0; i < 2 * count; i++)
			expected[i] = got[i];
	}
	else
		run_reference(shape, expected, expected + count);
	if (status == ENGINE_OK)
		status = run_shape(operations, shape, got, got + count, &error);
	if (status != ENGINE_OK)
		ok(false, "%s: %s", shape->name, error.message);
	else
	{
		double		first = reference_difference(got, expected, count);
		double		last = reference_difference(got + count, expected + count, count);
		double		tolerance = shape->a.vocab_size < TINY_VOCABULARY ? TINY_TOLERANCE : TOLERANCE;

		ok(first <= tolerance && last <= tolerance, "%s: off by %.1e after the prompt, %.1e after %d steps",
		   shape->name, first, last, shape->steps);
	}
	free(got);
	free(expected);
}

#ifdef CUDA_EMULATION

extern const struct backend_operations benchorch_engine_backend;

static const struct backend_operations *
find_backend(void)
{
	return &benchorch_engine_backend;
}

static struct cuda_product
product_of_rows(int rows)
{
	static uint16_t weights[16];
	static uint16_t x[8 * (CUDA_MOST_SHAPES + 1)];
	static float y[2 * (CUDA_MOST_SHAPES + 1)];

	return (struct cuda_product){weights, x, y, rows, 2, 8, CUDA_FLOATS};
}

/* what is in use keeps the algorithm that was the best, however many shapes a lane has seen */
static void
test_many_shapes(void)
{
	struct cuda_products products;
	struct engine_error error;
	enum engine_status status = cuda_products_open(&products, NULL, &error);
	struct cuda_product first = product_of_rows(1);

	for (int rows = 1; rows <= CUDA_MOST_SHAPES + 1 && status == ENGINE_OK; rows++)
	{
		struct cuda_product product = product_of_rows(rows);

		/* the first one is used again before the one too many comes */
		if (rows == CUDA_MOST_SHAPES + 1)
			status = cuda_tune(&products, &first, &error);
		if (status == ENGINE_OK)
			status = cuda_tune(&products, &product, &error);
	}
	ok(status == ENGINE_OK && products.n_shapes == CUDA_MOST_SHAPES && !isnan(cuda_product_seconds(&products, &first)),
	   "a shape that is used stays timed when others must go");
	cuda_products_close(&products);
}

/* what cannot be run is told, with the reason and before anything is taken */
static void
test_refusals(void)
{
	struct architecture a = {SHAPE(1, 64, 1, 1, 64, 64, 40)};
	struct workload workload = {PRECISION_BF16, 1, 8, 8, 1};
	struct memory_plan plan;
	struct engine_error error;
	struct backend *backend;

	ok(benchorch_engine_backend.plan(NULL, &a, &workload, &options, &plan, &error) == ENGINE_OK &&
		   plan.total == plan.weights + plan.kv_cache + plan.activations + plan.library,
	   "a plan adds up");
	workload.precision = PRECISION_FP32;
	ok(benchorch_engine_backend.plan(NULL, &a, &workload, &options, &plan, &error) == ENGINE_UNSUPPORTED &&
		   strstr(error.message, "only bf16") != NULL,
	   "fp32 is not supported: %s", error.message);
	a.head_dim = 32;
	ok(benchorch_engine_backend.open(&a, PRECISION_BF16, 1, &options, &backend, &error) == ENGINE_UNSUPPORTED &&
		   backend == NULL,
	   "head_dim 32 is not supported: %s", error.message);
	a = (struct architecture){SHAPE(40, 4096, 32, 8, 128, 14336, 40)};
	ok(benchorch_engine_backend.open(&a, PRECISION_BF16, 1, &options, &backend, &error) == ENGINE_GPU_OOM &&
		   backend == NULL,
	   "too large for the device: %s", error.message);
}

#else

/* widths of real models, few layers: the reference would take hours */
static const struct shape large_shapes[] = {
	{"Llama-3.2-1B, two layers", {SHAPE(2, 2048, 32, 8, 64, 8192, 128256), .tied_embeddings = true}, 1, 300, 4},
	{"Llama-3.1-8B, two layers, batch 4", {SHAPE(2, 4096, 32, 8, 128, 14336, 32000)}, 4, 100, 4},
	{"Qwen3-8B, one layer, batch 16", {SHAPE(1, 4096, 32, 8, 128, 12288, 32000), .qk_norm = true}, 16, 70, 4},
	{"Qwen2.5-7B, one layer, batch 64", {SHAPE(1, 3584, 28, 4, 128, 18944, 8000), .qkv_bias = true}, 64, 33, 4},
};

static const struct backend_operations *
find_backend(void)
{
	const struct backend_operations *operations;
	struct engine_error error;

	if (backend_find("cuda", &operations, &error) == ENGINE_OK)
		return operations;
	printf("1..0 # skip %s\n", error.message);
	return NULL;
}

static void
test_refusals(void)
{
}

#endif

int
main(void)
{
	const char *given = getenv("BENCHORCH_ENGINE_SEED");
	const struct backend_operations *operations = find_backend();

	/* a crash leaves no plan, and prove says so */
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (operations == NULL)
		return 0;
	seed = given != NULL ? strtoull(given, NULL, 10) : (uint64_t) time(NULL);
	printf("# BENCHORCH_ENGINE_SEED=%llu\n", (unsigned long long) seed);
#ifndef CUDA_EMULATION
	/* what the GPU is compared with is computed by all CPUs */
	options.threads = machine_cpus();
#endif
	test_refusals();
#ifdef CUDA_EMULATION
	test_many_shapes();
#endif
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
		test_shape(operations, &shapes[i], false);
#ifndef CUDA_EMULATION
	for (size_t i = 0; i < sizeof(large_shapes) / sizeof(large_shapes[0]); i++)
		test_shape(operations, &large_shapes[i], true);
#endif
	printf("1..%d\n", tests);
	return failures == 0 ? 0 : 1;
}
