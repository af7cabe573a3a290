/*
 * cpu.c: the CPU backend's memory, weights and calibration.
 *
 * All memory is one mapping whose layout is computed before it is taken, and
 * every page of it is touched while opening: a measurement neither allocates
 * nor faults.  Only the OpenBLAS buffers are not ours; the plan has an
 * allowance for them.
 */
#define _GNU_SOURCE
#include "cpu.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "machine.h"

#define PAGE 4096
#define HUGE_PAGE (2 << 20)

/* what OpenBLAS takes: its code, and packing buffers in each thread */
#define LIBRARY_BYTES (48 << 20)
#define LIBRARY_BYTES_PER_THREAD (32 << 20)

/* the largest matrices that the calibration multiplies */
#define LARGEST_MATRIX 2048
#define CALIBRATION_BYTES ((int64_t) 3 * LARGEST_MATRIX * LARGEST_MATRIX * 4)

/* how much a thread clears or makes, and reads, before it asks for more */
#define SLICE_BYTES (1 << 20)
#define READ_SLICE_BYTES (64 << 10)

static size_t
round_up(size_t size, size_t to)
{
	return (size + to - 1) / to * to;
}

/* bytes of one tensor of one layer; matrices begin on a cache line */
static size_t
tensor_bytes(const struct architecture *a, enum precision precision, enum model_tensor_kind kind)
{
	struct model_tensor tensor = model_tensor(a, kind);
	size_t		element = tensor.matrix ? precision_bytes(precision) : sizeof(float);

	return round_up((size_t) (tensor.rows * tensor.columns) * element, 64);
}

static enum cpu_area
tensor_area(const struct architecture *a, enum model_tensor_kind kind)
{
	if (kind == TENSOR_EMBEDDING && !a->tied_embeddings)
		return AREA_EMBEDDING;
	return model_tensor(a, kind).matrix ? AREA_WEIGHTS : AREA_VECTORS;
}

static struct cpu_layout
lay_out(const struct architecture *a, const struct workload *workload, int threads)
{
	struct cpu_layout layout = {0};
	size_t	   *size = layout.size;
	size_t		batch = (size_t) workload->batch_size;
	size_t		tokens = batch * (size_t) workload->input_tokens;
	size_t		rows = tokens < CPU_PREFILL_ROWS ? tokens : CPU_PREFILL_ROWS;
	size_t		hidden = (size_t) a->hidden_size;
	size_t		d = (size_t) a->head_dim;
	size_t		kv;
	size_t		attention;

	layout.rows = (int) (rows < batch ? batch : rows);
	rows = (size_t) layout.rows;
	layout.capacity = workload->input_tokens + workload->output_tokens;
	for (int kind = 0; kind < TENSOR_KINDS; kind++)
		size[tensor_area(a, kind)] += tensor_bytes(a, workload->precision, kind) *
			(size_t) (model_tensor(a, kind).per_layer ? a->n_layers : 1);
	kv = (size_t) (a->n_layers * a->n_kv_heads) * batch * (size_t) layout.capacity * d *
		precision_bytes(workload->precision);
	size[AREA_KEYS] = kv;
	size[AREA_VALUES] = kv;
	size[AREA_ROPE] = (size_t) layout.capacity * d * sizeof(float);
	size[AREA_HIDDEN] = rows * hidden * sizeof(float);
	size[AREA_NORMED] = rows * hidden * sizeof(float);
	size[AREA_QKV] = rows * (size_t) (a->n_heads + 2 * a->n_kv_heads) * d * sizeof(float);
	size[AREA_ATTENTION] = rows * (size_t) a->n_heads * d * sizeof(float);
	size[AREA_FFN] = rows * (size_t) a->ffn_dim * sizeof(float);
	size[AREA_LAST] = batch * hidden * sizeof(float);
	size[AREA_LOGITS] = batch * (size_t) a->vocab_size * sizeof(float);
	size[AREA_PARTIALS] = batch * (size_t) a->n_heads * CPU_MAX_SPLITS * (d + 2) * sizeof(float);
	layout.scratch_floats = cpu_linear_scratch(a, workload->precision, layout.rows);
	attention = cpu_attention_scratch(a, layout.capacity);
	if (layout.scratch_floats < attention)
		layout.scratch_floats = attention;
	/* threads do not share pages, nor begin at the same place in a cache */
	layout.scratch_floats = round_up(layout.scratch_floats, PAGE / 4) + PAGE / 4;
	size[AREA_SCRATCH] = layout.scratch_floats * sizeof(float) * (size_t) threads;
	for (int area = 0; area < CPU_AREAS; area++)
	{
		layout.offset[area] = layout.total;
		layout.total += round_up(size[area], PAGE);
	}
	return layout;
}

static enum engine_status
cpu_plan(const struct architecture *a, const struct workload *workload,
		 const struct backend_options *options, struct memory_plan *plan,
		 struct engine_error *error)
{
	struct cpu_layout layout = lay_out(a, workload, options->threads);

	(void) error;
	plan->weights = (int64_t) layout.offset[AREA_KEYS];
	plan->kv_cache = (int64_t) (layout.offset[AREA_ROPE] - layout.offset[AREA_KEYS]);
	plan->activations = (int64_t) (layout.total - layout.offset[AREA_ROPE]);
	plan->library = CALIBRATION_BYTES;
	if (options->library)
		plan->library += LIBRARY_BYTES + (int64_t) LIBRARY_BYTES_PER_THREAD * options->threads;
	plan->total = plan->weights + plan->kv_cache + plan->activations + plan->library;
	plan->available = machine_available_memory();
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

/* pages are given out and the whole mapping is zero afterwards */
static void
touch_item(void *argument, int item, int thread)
{
	struct backend *cpu = argument;
	size_t		first = (size_t) item * SLICE_BYTES;
	size_t		left = cpu->layout.total - first;

	(void) thread;
	memset(cpu->memory + first, 0, left < SLICE_BYTES ? left : SLICE_BYTES);
}

struct filling
{
	struct backend *cpu;
	struct model_tensor tensor;
	enum model_tensor_kind kind;
	int			layer;
	void	   *to;
	int			rows_per_item;
};

static void
fill_item(void *argument, int item, int thread)
{
	struct filling *filling = argument;
	struct backend *cpu = filling->cpu;
	const struct model_tensor *tensor = &filling->tensor;
	size_t		columns = (size_t) tensor->columns;
	bool		half = tensor->matrix && cpu->workload.precision == PRECISION_BF16;
	float	   *row_values = cpu_floats(cpu, AREA_SCRATCH) + (size_t) thread * cpu->layout.scratch_floats;
	int64_t		first = (int64_t) item * filling->rows_per_item;

	for (int64_t row = first; row < tensor->rows && row < first + filling->rows_per_item; row++)
	{
		uint64_t	key = model_row_key(cpu->workload.seed, filling->kind, filling->layer, row);
		size_t		at = (size_t) row * columns;

		if (!half)
			row_values = (float *) filling->to + at;
		cpu->kernels->fill(row_values, key, (int) columns, tensor->scale, tensor->offset);
		if (half)
			cpu->kernels->narrow(row_values, (uint16_t *) filling->to + at, columns);
	}
}

/* fills one tensor at *at and moves on behind it; NULL if the architecture has none */
static const void *
make_tensor(struct backend *cpu, enum model_tensor_kind kind, int layer, size_t *at)
{
	struct filling filling = {cpu, model_tensor(&cpu->a, kind), kind, layer, NULL, 1};
	enum cpu_area area = tensor_area(&cpu->a, kind);

	if (filling.tensor.rows == 0)
		return NULL;
	filling.to = cpu->memory + cpu->layout.offset[area] + at[area];
	at[area] += tensor_bytes(&cpu->a, cpu->workload.precision, kind);
	filling.rows_per_item = cpu_parts(SLICE_BYTES / 4, (int) filling.tensor.columns);
	pool_run(cpu->pool, fill_item, &filling,
			 (int) ((filling.tensor.rows + filling.rows_per_item - 1) / filling.rows_per_item));
	return filling.to;
}

static void
make_weights(struct backend *cpu)
{
	size_t		at[CPU_AREAS] = {0};

	cpu->embedding = make_tensor(cpu, TENSOR_EMBEDDING, 0, at);
	cpu->head = make_tensor(cpu, TENSOR_HEAD, 0, at);
	if (cpu->head == NULL)
		cpu->head = cpu->embedding;
	cpu->final_norm = make_tensor(cpu, TENSOR_FINAL_NORM, 0, at);
	for (int i = 0; i < cpu->a.n_layers; i++)
	{
		struct cpu_layer *layer = &cpu->layers[i];

		layer->attention_norm = make_tensor(cpu, TENSOR_ATTENTION_NORM, i, at);
		layer->qkv = make_tensor(cpu, TENSOR_QKV, i, at);
		layer->qkv_bias = make_tensor(cpu, TENSOR_QKV_BIAS, i, at);
		layer->q_norm = make_tensor(cpu, TENSOR_Q_NORM, i, at);
		layer->k_norm = make_tensor(cpu, TENSOR_K_NORM, i, at);
		layer->output = make_tensor(cpu, TENSOR_OUTPUT, i, at);
		layer->ffn_norm = make_tensor(cpu, TENSOR_FFN_NORM, i, at);
		layer->gate_up = make_tensor(cpu, TENSOR_GATE_UP, i, at);
		layer->down = make_tensor(cpu, TENSOR_DOWN, i, at);
	}
}

static void
rope_item(void *argument, int item, int thread)
{
	struct backend *cpu = argument;
	int			d = (int) cpu->a.head_dim;

	(void) thread;
	for (int position = item * 256; position < cpu_smaller(cpu->layout.capacity, (item + 1) * 256); position++)
	{
		float	   *cosines = cpu_floats(cpu, AREA_ROPE) + (size_t) position * (size_t) d;

		for (int i = 0; i < d / 2; i++)
		{
			double		angle = position * pow(MODEL_ROPE_BASE, -2.0 * i / d);

			cosines[i] = (float) cos(angle);
			cosines[d / 2 + i] = (float) sin(angle);
		}
	}
}

static void
cpu_close(struct backend *cpu)
{
	if (cpu == NULL)
		return;
	pool_destroy(cpu->pool);
	if (cpu->memory != NULL)
		munmap(cpu->memory, cpu->layout.total);
	free(cpu->layers);
	free(cpu);
}

/* the one mapping, on a huge page's boundary so that huge pages can be used */
static char *
map_memory(size_t size)
{
	char	   *memory = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
						MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t		before;

	if (memory == MAP_FAILED)
		return NULL;
	before = round_up((size_t) memory, HUGE_PAGE) - (size_t) memory;
	if (before > 0)
		munmap(memory, before);
	munmap(memory + before + round_up(size, PAGE), HUGE_PAGE - before);
	madvise(memory + before, size, MADV_HUGEPAGE);
	return memory + before;
}

static enum engine_status
cpu_open(const struct architecture *a, const struct workload *workload,
		 const struct backend_options *options, struct backend **backend,
		 struct engine_error *error)
{
	struct backend *cpu = calloc(1, sizeof(*cpu));

	*backend = NULL;
	if (cpu == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	cpu->a = *a;
	cpu->workload = *workload;
	cpu->layout = lay_out(a, workload, options->threads);
	cpu->kernels = choose_kernels(options->kernels);
	if (cpu->kernels == NULL)
	{
		cpu_close(cpu);
		return engine_fail(error, ENGINE_USAGE, "this CPU has no kernels \"%s\"", options->kernels);
	}
	/* before there are threads: it changes the environment */
	cpu->blas = cpu_blas_load(options->library, options->threads);
	cpu->pool = pool_create(options->threads);
	cpu->layers = calloc((size_t) a->n_layers, sizeof(struct cpu_layer));
	if (cpu->pool == NULL || cpu->layers == NULL)
	{
		cpu_close(cpu);
		return engine_fail(error, ENGINE_INTERNAL, "could not start %d threads", options->threads);
	}
	cpu->memory = map_memory(cpu->layout.total);
	if (cpu->memory == NULL)
	{
		size_t		needed = cpu->layout.total;

		cpu_close(cpu);
		return engine_fail(error, ENGINE_DOES_NOT_FIT, "could not map %zu bytes of memory", needed);
	}
	pool_run(cpu->pool, touch_item, cpu,
			 (int) ((cpu->layout.total + SLICE_BYTES - 1) / SLICE_BYTES));
	make_weights(cpu);
	pool_run(cpu->pool, rope_item, cpu, cpu_parts(cpu->layout.capacity, 256));
	*backend = cpu;
	return ENGINE_OK;
}

static const float *
cpu_logits(struct backend *cpu)
{
	return cpu_floats(cpu, AREA_LOGITS);
}

struct reading
{
	struct backend *cpu;
	const char *from[2];
	size_t		slices[2];
};

static void
read_item(void *argument, int item, int thread)
{
	struct reading *reading = argument;
	size_t		index = (size_t) item;
	int			part = index >= reading->slices[0];

	if (part == 1)
		index -= reading->slices[0];
	/* the sum goes where nobody looks, but the compiler cannot know */
	cpu_floats(reading->cpu, AREA_SCRATCH)[(size_t) thread * reading->cpu->layout.scratch_floats] =
		reading->cpu->kernels->read(reading->from[part] + index * READ_SLICE_BYTES, READ_SLICE_BYTES);
}

/* the matrices and the KV cache: what a decode step at the end of the context reads */
static double
cpu_read_bandwidth(struct backend *cpu, double seconds)
{
	const struct cpu_layout *layout = &cpu->layout;
	struct reading reading = {
		.cpu = cpu,
		.from = {cpu->memory, cpu->memory + layout->offset[AREA_KEYS]},
		.slices = {layout->size[AREA_WEIGHTS] / READ_SLICE_BYTES,
				   (layout->offset[AREA_ROPE] - layout->offset[AREA_KEYS]) / READ_SLICE_BYTES},
	};
	size_t		slices = reading.slices[0] + reading.slices[1];
	double		begin = machine_now();
	double		best = 0;

	if (slices == 0)
		return NAN;
	/* the first pass warms the caches and does not count */
	for (int pass = 0; pass < 3 || machine_now() - begin < seconds; pass++)
	{
		double		start = machine_now();
		double		rate;

		pool_run(cpu->pool, read_item, &reading, (int) slices);
		rate = (double) (slices * READ_SLICE_BYTES) / (machine_now() - start);
		if (pass > 0 && rate > best)
			best = rate;
	}
	return best;
}

struct multiplication
{
	struct backend *cpu;
	int			size;
	const float *a;
	const float *b;
	float	   *c;
};

static void
multiply_item(void *argument, int item, int thread)
{
	struct multiplication *m = argument;
	int			threads = pool_threads(m->cpu->pool);
	int			first = (int) ((int64_t) m->size * item / threads);
	int			rows = (int) ((int64_t) m->size * (item + 1) / threads) - first;

	(void) thread;
	if (m->cpu->blas.sgemm != NULL)
		m->cpu->blas.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANSPOSE, BLAS_TRANSPOSE,
						   m->size, rows, m->size, 1.0f, m->a, m->size,
						   m->b + (size_t) first * (size_t) m->size, m->size,
						   0.0f, m->c + first, m->size);
	else
		m->cpu->kernels->product_f32(m->b + (size_t) first * (size_t) m->size, (size_t) m->size,
									 rows, m->size, m->a, (size_t) m->size, m->size,
									 m->c + first, (size_t) m->size, false);
}

/* square products of growing size, each thread with its share of the columns */
static double
cpu_matrix_rate(struct backend *cpu, double seconds)
{
	double		begin = machine_now();
	double		best = 0;

	for (int size = 512; size <= LARGEST_MATRIX; size *= 2)
	{
		size_t		elements = (size_t) size * (size_t) size;
		float	   *matrices = malloc(3 * elements * sizeof(float));
		struct multiplication m = {cpu, size, matrices, NULL, NULL};
		double		last = 0;

		if (matrices == NULL)
			break;
		m.b = matrices + elements;
		m.c = matrices + 2 * elements;
		cpu->kernels->fill(matrices, cpu->workload.seed, (int) (2 * elements), 1.0f, 0.0f);
		for (int pass = 0; pass < 4; pass++)
		{
			double		start = machine_now();

			if (pass > 1 && start + last > begin + seconds)
				break;
			pool_run(cpu->pool, multiply_item, &m, pool_threads(cpu->pool));
			last = machine_now() - start;
			if (pass > 0)
				best = fmax(best, 2.0 * size * (double) elements / last);
		}
		free(matrices);
		/* the next size takes eight times as long, at least twice */
		if (machine_now() + 16 * last > begin + seconds)
			break;
	}
	return best;
}

static int
cpu_facts(struct backend *cpu, struct backend_fact *facts)
{
	int			n = 0;

#define FACT(fact, ...) \
	do \
	{ \
		facts[n].name = fact; \
		snprintf(facts[n++].value, sizeof(facts[0].value), __VA_ARGS__); \
	} while (0)

	FACT("kernels", "%s", cpu->kernels->name);
	FACT("blas_library", "%s", cpu->blas.library);
	FACT("blas_corename", "%s", cpu->blas.corename);
	FACT("blas_version", "%s", cpu->blas.version);
	FACT("matrix_product", "%s", cpu->blas.sgemm != NULL ? "openblas" : "own");
#undef FACT
	return n;
}

const struct backend_operations cpu_backend = {
	.name = "cpu",
	.plan = cpu_plan,
	.open = cpu_open,
	.close = cpu_close,
	.prefill = cpu_prefill,
	.decode = cpu_decode,
	.logits = cpu_logits,
	.read_bandwidth = cpu_read_bandwidth,
	.matrix_rate = cpu_matrix_rate,
	.facts = cpu_facts,
};
