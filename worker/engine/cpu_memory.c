/*
 * cpu_memory.c: the CPU backend's memory: its layout, its mappings, the
 * weights.
 *
 * The weights are one mapping and the workspace (KV cache and activations)
 * another, whose layouts are computed before they are taken.  Every page is
 * touched before anything is timed: a measurement neither allocates nor faults.
 *
 * Of the workspace only addresses are taken, as many as the machine has memory;
 * it grows within them and keeps the pages that it has, for giving out new ones
 * is slow (a second for some hundred megabytes on a virtual machine).  So they
 * are touched apart, when the first launch has been made.
 */
#define _GNU_SOURCE
#include "cpu_memory.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cpu_attention.h"
#include "cpu_linear.h"

#define PAGE 4096
#define HUGE_PAGE (2 << 20)

/* how much a thread clears or makes before it asks for more */
#define SLICE_BYTES (1 << 20)

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

struct cpu_layout
cpu_lay_out(const struct architecture *a, const struct workload *workload, int threads)
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
		size_t	   *total = area < CPU_WEIGHT_AREAS ? &layout.weights : &layout.workspace;

		layout.offset[area] = *total;
		*total += round_up(size[area], PAGE);
	}
	return layout;
}

/* addresses from a huge page's boundary on, so that huge pages can be used; NULL where there are none */
static char *
map_memory(size_t size, int protection)
{
	char	   *memory = mmap(NULL, size + HUGE_PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
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

struct touching
{
	char	   *from;
	size_t		size;
};

static void
touch_item(void *argument, int item, int thread)
{
	struct touching *touching = argument;
	size_t		first = (size_t) item * SLICE_BYTES;
	size_t		left = touching->size - first;

	(void) thread;
	for (size_t i = 0; i < left && i < SLICE_BYTES; i += PAGE)
		*(volatile char *) (touching->from + first + i) = 0;
}

/* has pages of fresh memory given out, by all threads */
static void
touch_memory(struct pool *pool, char *from, size_t size)
{
	struct touching touching = {from, size};

	pool_run(pool, touch_item, &touching, (int) ((size + SLICE_BYTES - 1) / SLICE_BYTES));
}

struct filling
{
	struct backend *cpu;
	struct model_tensor tensor;
	enum model_tensor_kind kind;
	int			layer;
	void	   *to;
	int			rows_per_item;
	float	   *rows;			/* [thread][columns], where values are narrowed from */
};

static void
fill_item(void *argument, int item, int thread)
{
	struct filling *filling = argument;
	struct backend *cpu = filling->cpu;
	const struct model_tensor *tensor = &filling->tensor;
	size_t		columns = (size_t) tensor->columns;
	bool		half = tensor->matrix && cpu->precision == PRECISION_BF16;
	int64_t		first = (int64_t) item * filling->rows_per_item;

	for (int64_t row = first; row < tensor->rows && row < first + filling->rows_per_item; row++)
	{
		uint64_t	key = model_row_key(cpu->weights_seed, filling->kind, filling->layer, row);
		size_t		at = (size_t) row * columns;
		float	   *values = half ? filling->rows + (size_t) thread * columns : (float *) filling->to + at;

		cpu->kernels->fill(values, key, (int) columns, tensor->scale, tensor->offset);
		if (half)
			cpu->kernels->narrow(values, (uint16_t *) filling->to + at, columns);
	}
}

/* fills one tensor at *at and moves on behind it; NULL if the architecture has none */
static const void *
make_tensor(struct backend *cpu, enum model_tensor_kind kind, int layer, float *rows, size_t *at)
{
	struct filling filling = {cpu, model_tensor(&cpu->a, kind), kind, layer, NULL, 1, rows};
	enum cpu_area area = tensor_area(&cpu->a, kind);

	if (filling.tensor.rows == 0)
		return NULL;
	filling.to = (char *) cpu_area(cpu, area) + at[area];
	at[area] += tensor_bytes(&cpu->a, cpu->precision, kind);
	filling.rows_per_item = cpu_parts(SLICE_BYTES / 4, (int) filling.tensor.columns);
	pool_run(cpu->pool, fill_item, &filling,
			 (int) ((filling.tensor.rows + filling.rows_per_item - 1) / filling.rows_per_item));
	return filling.to;
}

static void
make_tensors(struct backend *cpu, float *rows)
{
	size_t		at[CPU_AREAS] = {0};

	cpu->embedding = make_tensor(cpu, TENSOR_EMBEDDING, 0, rows, at);
	cpu->head = make_tensor(cpu, TENSOR_HEAD, 0, rows, at);
	if (cpu->head == NULL)
		cpu->head = cpu->embedding;
	cpu->final_norm = make_tensor(cpu, TENSOR_FINAL_NORM, 0, rows, at);
	for (int i = 0; i < cpu->a.n_layers; i++)
	{
		struct cpu_layer *layer = &cpu->layers[i];

		layer->attention_norm = make_tensor(cpu, TENSOR_ATTENTION_NORM, i, rows, at);
		layer->qkv = make_tensor(cpu, TENSOR_QKV, i, rows, at);
		layer->qkv_bias = make_tensor(cpu, TENSOR_QKV_BIAS, i, rows, at);
		layer->q_norm = make_tensor(cpu, TENSOR_Q_NORM, i, rows, at);
		layer->k_norm = make_tensor(cpu, TENSOR_K_NORM, i, rows, at);
		layer->output = make_tensor(cpu, TENSOR_OUTPUT, i, rows, at);
		layer->ffn_norm = make_tensor(cpu, TENSOR_FFN_NORM, i, rows, at);
		layer->gate_up = make_tensor(cpu, TENSOR_GATE_UP, i, rows, at);
		layer->down = make_tensor(cpu, TENSOR_DOWN, i, rows, at);
	}
}

/* the longest row of any tensor */
static size_t
most_columns(const struct architecture *a)
{
	int64_t		most = 0;

	for (int kind = 0; kind < TENSOR_KINDS; kind++)
		if (model_tensor(a, kind).columns > most)
			most = model_tensor(a, kind).columns;
	return (size_t) most;
}

bool
cpu_make_weights(struct backend *cpu)
{
	float	   *rows = malloc((size_t) pool_threads(cpu->pool) * most_columns(&cpu->a) * sizeof(float));

	cpu->weights = map_memory(cpu->layout.weights, PROT_READ | PROT_WRITE);
	cpu->layers = calloc((size_t) cpu->a.n_layers, sizeof(struct cpu_layer));
	if (cpu->weights != NULL && cpu->layers != NULL && rows != NULL)
	{
		touch_memory(cpu->pool, cpu->weights, cpu->layout.weights);
		make_tensors(cpu, rows);
	}
	free(rows);
	return cpu->weights != NULL && cpu->layers != NULL && rows != NULL;
}

static void
rope_item(void *argument, int item, int thread)
{
	struct backend *cpu = argument;
	int			d = (int) cpu->a.head_dim;

	(void) thread;
	for (int i = 0; i < d / 2; i++)
	{
		double		frequency = pow(MODEL_ROPE_BASE, -2.0 * i / d);

		for (int position = item * 256; position < cpu_smaller(cpu->layout.capacity, (item + 1) * 256); position++)
		{
			float	   *cosines = cpu_floats(cpu, AREA_ROPE) + (size_t) position * (size_t) d;

			cosines[i] = (float) cos(position * frequency);
			cosines[d / 2 + i] = (float) sin(position * frequency);
		}
	}
}

/* addresses for the largest workspace that there can be, or at least for this one */
static bool
reserve_workspace(struct backend *cpu, size_t size)
{
	size_t		all = (size_t) sysconf(_SC_PHYS_PAGES) * (size_t) sysconf(_SC_PAGESIZE);

	if (cpu->workspace != NULL)
		munmap(cpu->workspace, cpu->reserved);
	cpu->mapped = cpu->touched = 0;
	cpu->reserved = all > size ? round_up(all, PAGE) : size;
	cpu->workspace = map_memory(cpu->reserved, PROT_NONE);
	if (cpu->workspace == NULL)
	{
		/* a limit on addresses */
		cpu->reserved = size;
		cpu->workspace = map_memory(size, PROT_NONE);
	}
	return cpu->workspace != NULL;
}

bool
cpu_make_workspace(struct backend *cpu)
{
	size_t		size = round_up(cpu->layout.workspace, PAGE);

	if (cpu->reserved < size && !reserve_workspace(cpu, size))
		cpu->reserved = 0;
	if (cpu->mapped < size && cpu->reserved >= size)
	{
		if (mprotect(cpu->workspace, size, PROT_READ | PROT_WRITE) != 0)
			return false;
		cpu->mapped = size;
	}
	if (cpu->mapped < size)
		return false;
	pool_run(cpu->pool, rope_item, cpu, cpu_parts(cpu->layout.capacity, 256));
	return true;
}

void
cpu_touch_workspace(struct backend *cpu)
{
	if (cpu->touched >= cpu->mapped)
		return;
	touch_memory(cpu->pool, cpu->workspace + cpu->touched, cpu->mapped - cpu->touched);
	cpu->touched = cpu->mapped;
}

void
cpu_free_memory(struct backend *cpu)
{
	if (cpu->weights != NULL)
		munmap(cpu->weights, cpu->layout.weights);
	if (cpu->workspace != NULL)
		munmap(cpu->workspace, cpu->reserved);
	free(cpu->layers);
}
