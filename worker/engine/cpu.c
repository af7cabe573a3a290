/*
 * cpu.c: the CPU backend's table of operations.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cpu_forward.h"
#include "cpu_memory.h"
#include "cpu_rates.h"
#include "machine.h"
#include "sensors.h"

/* what OpenBLAS takes: its code, and packing buffers in each thread */
#define LIBRARY_BYTES (48 << 20)
#define LIBRARY_BYTES_PER_THREAD (32 << 20)

static enum engine_status
probe(struct engine_error *error)
{
	(void) error;
	return ENGINE_OK;
}

static enum engine_status
plan(const struct backend *cpu, const struct architecture *a, const struct workload *workload,
	 const struct backend_options *options, struct memory_plan *plan, struct engine_error *error)
{
	struct cpu_layout layout = cpu_lay_out(a, workload, options->threads);

	(void) error;
	plan->weights = (int64_t) layout.weights;
	plan->kv_cache = (int64_t) (layout.offset[AREA_ROPE] - layout.offset[AREA_KEYS]);
	plan->activations = (int64_t) (layout.workspace - layout.offset[AREA_ROPE]);
	plan->library = CPU_RATES_BYTES;
	if (options->library)
		plan->library += LIBRARY_BYTES + (int64_t) LIBRARY_BYTES_PER_THREAD * options->threads;
	plan->total = plan->weights + plan->kv_cache + plan->activations + plan->library;
	plan->available = machine_available_memory();
	if (cpu != NULL)
		plan->available += (int64_t) (cpu->layout.weights + cpu->touched) + plan->library;
	return ENGINE_OK;
}

/* the named set of kernels, or the best that this CPU can run; NULL if it cannot */
static const struct cpu_kernels *
choose_kernels(const char *name)
{
	const struct cpu_kernels *candidates[3];
	int			n = 0;

#if defined(__x86_64__)
	if (cpu_has_avx512())
		candidates[n++] = &cpu_kernels_avx512;
	if (cpu_has_avx2())
		candidates[n++] = &cpu_kernels_avx2;
#endif
	candidates[n++] = &cpu_kernels_plain;
	for (int i = 0; i < n; i++)
		if (name == NULL || strcmp(candidates[i]->name, name) == 0)
			return candidates[i];
	return NULL;
}

static void
cpu_close(struct backend *cpu)
{
	if (cpu == NULL)
		return;
	pool_destroy(cpu->pool);
	cpu_free_memory(cpu);
	free(cpu);
}

static enum engine_status
cpu_open(const struct architecture *a, enum precision precision, uint64_t weights_seed,
		 const struct backend_options *options, struct backend **backend,
		 struct engine_error *error)
{
	struct backend *cpu = calloc(1, sizeof(*cpu));
	struct workload nothing = {.precision = precision};

	*backend = NULL;
	if (cpu == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	cpu->a = *a;
	cpu->precision = precision;
	cpu->weights_seed = weights_seed;
	cpu->layout = cpu_lay_out(a, &nothing, options->threads);
	cpu->kernels = choose_kernels(options->kernels);
	if (cpu->kernels == NULL)
	{
		cpu_close(cpu);
		return engine_fail(error, ENGINE_USAGE, "this CPU has no kernels \"%s\"", options->kernels);
	}
	/* before there are threads: it changes the environment */
	cpu->blas = cpu_blas_load(options->library, options->threads);
	cpu->pool = pool_create(options->threads, options->pinned);
	if (cpu->pool == NULL)
	{
		cpu_close(cpu);
		return engine_fail(error, ENGINE_INTERNAL, "could not start %d threads", options->threads);
	}
	if (!cpu_make_weights(cpu))
	{
		size_t		needed = cpu->layout.weights;

		cpu_close(cpu);
		return engine_fail(error, ENGINE_HOST_OOM, "could not map %zu bytes of memory for the weights", needed);
	}
	*backend = cpu;
	return ENGINE_OK;
}

static enum engine_status
prepare(struct backend *cpu, const struct workload *workload, struct engine_error *error)
{
	cpu->workload = *workload;
	cpu->layout = cpu_lay_out(&cpu->a, workload, pool_threads(cpu->pool));
	cpu->context = 0;
	if (!cpu_make_workspace(cpu))
		return engine_fail(error, ENGINE_HOST_OOM, "could not map %zu bytes of memory for the KV cache and activations",
						   cpu->layout.workspace);
	return ENGINE_OK;
}

static enum engine_status
settle(struct backend *cpu, struct engine_error *error)
{
	(void) error;
	cpu_touch_workspace(cpu);
	return ENGINE_OK;
}

static enum engine_status
prefill(struct backend *cpu, const int32_t *tokens, int length, int32_t *sampled, struct engine_error *error)
{
	(void) error;
	cpu_prefill(cpu, tokens, length, sampled);
	return ENGINE_OK;
}

static enum engine_status
decode(struct backend *cpu, const int32_t *tokens, int32_t *sampled, struct engine_error *error)
{
	(void) error;
	cpu_decode(cpu, tokens, sampled);
	return ENGINE_OK;
}

static enum engine_status
logits(struct backend *cpu, const float **logits, struct engine_error *error)
{
	(void) error;
	*logits = cpu_floats(cpu, AREA_LOGITS);
	return ENGINE_OK;
}

static enum engine_status
rate(struct backend *cpu, enum backend_rate which, double seconds, double *rate, struct engine_error *error)
{
	(void) error;
	*rate = cpu_rate(cpu, which, seconds);
	return ENGINE_OK;
}

static void
state(struct backend *cpu, struct device_state *state)
{
	(void) cpu;
	sensors_cpu(state);
}

static int64_t
device_memory(struct backend *cpu)
{
	(void) cpu;
	return -1;
}

static int
facts(struct backend *cpu, struct backend_fact *fact)
{
	int			n = 0;

#define FACT(key, ...) \
	do \
	{ \
		fact[n].name = key; \
		snprintf(fact[n++].value, sizeof(fact[0].value), __VA_ARGS__); \
	} while (0)

	FACT("kernels", "%s", cpu->kernels->name);
	FACT("blas_library", "%s", cpu->blas.library);
	FACT("blas_corename", "%s", cpu->blas.corename);
	FACT("blas_version", "%s", cpu->blas.version);
	FACT("waiting", "%s", pool_pinned(cpu->pool) ? "pinned" : "passive");
	FACT("matrix_product", "%s", cpu->blas.sgemm != NULL ? "openblas" : "own");
#undef FACT
	return n;
}

const struct backend_operations cpu_backend = {
	.interface = BACKEND_INTERFACE,
	.name = "cpu",
	.out_of_memory = ENGINE_HOST_OOM,
	.probe = probe,
	.plan = plan,
	.open = cpu_open,
	.close = cpu_close,
	.prepare = prepare,
	.settle = settle,
	.prefill = prefill,
	.decode = decode,
	.logits = logits,
	.rate = rate,
	.state = state,
	.device_memory = device_memory,
	.facts = facts,
};
