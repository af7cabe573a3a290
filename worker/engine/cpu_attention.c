/*
 * cpu_attention.c: rotary embedding, the KV cache, and causal attention.
 *
 * The cache holds [layer][request][kv head][position][head_dim] in the weights'
 * precision, so that all positions of one head are one matrix.  A prompt is
 * cut into blocks of queries, each a small matrix product with the keys and
 * one with the values; these are our own, for of a product that is so narrow
 * a library spends a third on copying.  A decode step has one query per head; there the
 * context is cut into parts instead, so that one request can keep all threads
 * busy, and the parts' softmaxes are put together at the end.
 */
#include "cpu_attention.h"

#include <math.h>
#include <string.h>

/* keys whose scores are summed side by side */
#define PANEL 64

struct attention
{
	struct backend *cpu;
	int			layer;
	const struct cpu_block *blocks;
	int			n_blocks;
	int			context;		/* of a decode step, its own token included */
	int			splits;
};

/* the position-0 row of one kv head's keys or values */
static void *
cache_head(struct backend *cpu, enum cpu_area area, int layer, int request, int head)
{
	size_t		index = ((size_t) layer * (size_t) cpu->workload.batch_size + (size_t) request) *
			(size_t) cpu->a.n_kv_heads +
		(size_t) head;

	return (char *) cpu_area(cpu, area) +
		index * (size_t) cpu->layout.capacity * (size_t) cpu->a.head_dim *
		precision_bytes(cpu->precision);
}

static void
write_cache(struct backend *cpu, enum cpu_area area, int layer, int request, int head,
			int position, const float *from)
{
	size_t		d = (size_t) cpu->a.head_dim;
	size_t		at = (size_t) position * d;
	void	   *to = cache_head(cpu, area, layer, request, head);

	if (cpu->precision == PRECISION_BF16)
		cpu->kernels->narrow(from, (uint16_t *) to + at, d);
	else
		memcpy((float *) to + at, from, d * sizeof(float));
}

static void
place_row(struct backend *cpu, int layer, int request, int position, float *qkv)
{
	const struct cpu_kernels *kernels = cpu->kernels;
	const struct cpu_layer *weights = &cpu->layers[layer];
	int			d = (int) cpu->a.head_dim;
	int			heads = (int) cpu->a.n_heads;
	int			kv_heads = (int) cpu->a.n_kv_heads;
	const float *cosines = cpu_floats(cpu, AREA_ROPE) + (size_t) position * (size_t) d;

	if (weights->qkv_bias != NULL)
		kernels->add(qkv, weights->qkv_bias, (heads + 2 * kv_heads) * d);
	for (int head = 0; head < heads + kv_heads; head++)
	{
		const float *norm = head < heads ? weights->q_norm : weights->k_norm;

		if (norm != NULL)
			kernels->rmsnorm(qkv + head * d, norm, qkv + head * d, d, (float) MODEL_NORM_EPSILON);
		kernels->rotate_pairs(qkv + head * d, cosines, cosines + d / 2, d / 2);
	}
	for (int head = 0; head < kv_heads; head++)
	{
		write_cache(cpu, AREA_KEYS, layer, request, head, position, qkv + (heads + head) * d);
		write_cache(cpu, AREA_VALUES, layer, request, head, position,
					qkv + (heads + kv_heads + head) * d);
	}
}

/* a few single rows are done sooner than they are handed out */
static void
run_rows(struct backend *cpu, pool_work work, struct attention *attention, int rows)
{
	if (rows > 4)
		pool_run(cpu->pool, work, attention, rows);
	else
		for (int i = 0; i < rows; i++)
			work(attention, i, 0);
}

static size_t
qkv_width(const struct backend *cpu)
{
	return (size_t) ((cpu->a.n_heads + 2 * cpu->a.n_kv_heads) * cpu->a.head_dim);
}

static void
place_item(void *argument, int item, int thread)
{
	struct attention *attention = argument;
	struct backend *cpu = attention->cpu;
	const struct cpu_block *block = &attention->blocks[item];

	(void) thread;
	for (int i = 0; i < block->length; i++)
		place_row(cpu, attention->layer, block->request, block->position + i,
				  cpu_floats(cpu, AREA_QKV) + (size_t) (block->row + i) * qkv_width(cpu));
}

void
cpu_place(struct backend *cpu, int layer, const struct cpu_block *blocks, int n_blocks)
{
	struct attention attention = {cpu, layer, blocks, n_blocks, 0, 0};

	if (blocks[0].length == 1)
		run_rows(cpu, place_item, &attention, n_blocks);
	else
		pool_run(cpu->pool, place_item, &attention, n_blocks);
}

/* one query block of one head; keys are panels of them, transposed, and scores has room for length × their number */
static void
attend_head(struct backend *cpu, const struct cpu_block *block, int head,
			const float *keys, const float *values, float *scores)
{
	const struct cpu_kernels *kernels = cpu->kernels;
	int			d = (int) cpu->a.head_dim;
	int			context = block->position + block->length;
	int			width = cpu_parts(context, PANEL) * PANEL;
	size_t		row_width = qkv_width(cpu);
	size_t		out_width = (size_t) (cpu->a.n_heads * d);
	float	   *queries = cpu_floats(cpu, AREA_QKV) + (size_t) block->row * row_width + head * d;
	struct cpu_sum sum = {.k = PANEL, .columns = block->length, .ldy = row_width, .ldout = (size_t) width};
	float		shares[CPU_QUERY_BLOCK];

	for (int t = 0; t < width; t += PANEL)
	{
		sum.out = scores + t;
		cpu_cut(sum.streams, keys + (size_t) t * (size_t) d, PANEL * sizeof(float), d, queries);
		kernels->sum_f32(&sum);
	}
	for (int i = 0; i < block->length; i++)
	{
		float	   *row = scores + (size_t) i * (size_t) width;
		int			visible = block->position + i + 1;
		float		largest;

		shares[i] = 1.0f / kernels->exponentials(row, visible, 1.0f / sqrtf((float) d), &largest);
		memset(row + visible, 0, (size_t) (context - visible) * sizeof(float));
	}
	sum = (struct cpu_sum){
		.k = d,
		.columns = block->length,
		.ldy = (size_t) width,
		.out = cpu_floats(cpu, AREA_ATTENTION) + (size_t) block->row * out_width + head * d,
		.ldout = out_width,
	};
	cpu_cut(sum.streams, values, (size_t) d * sizeof(float), context, scores);
	kernels->sum_f32(&sum);
	for (int i = 0; i < block->length; i++)
		for (int j = 0; j < d; j++)
			sum.out[(size_t) i * out_width + (size_t) j] *= shares[i];
}

/* one query block of all heads that share one kv head */
static void
prompt_item(void *argument, int item, int thread)
{
	struct attention *attention = argument;
	struct backend *cpu = attention->cpu;
	bool		half = cpu->precision == PRECISION_BF16;
	int			d = (int) cpu->a.head_dim;
	int			kv_heads = (int) cpu->a.n_kv_heads;
	int			group = (int) cpu->a.n_heads / kv_heads;
	int			kv_head = item % kv_heads;

	/* the latest blocks see the longest context: first, so that none ends alone */
	const struct cpu_block *block = &attention->blocks[attention->n_blocks - 1 - item / kv_heads];
	int			context = block->position + block->length;
	const char *keys = cache_head(cpu, AREA_KEYS, attention->layer, block->request, kv_head);
	const void *values = cache_head(cpu, AREA_VALUES, attention->layer, block->request, kv_head);
	size_t		elements = (size_t) d * (size_t) (cpu_parts(context, PANEL) * PANEL);
	float	   *panels = cpu_scratch(cpu, thread);
	float	   *wide_values = panels + elements;
	float	   *scores = wide_values + elements;

	for (int t = 0; t < context; t += PANEL)
		(half ? cpu->kernels->transpose_bf16 : cpu->kernels->transpose_f32)(
			keys + (size_t) t * (size_t) d * precision_bytes(cpu->precision), (size_t) d,
			cpu_smaller(PANEL, context - t), d, panels + (size_t) t * (size_t) d, PANEL);
	if (half)
		cpu->kernels->widen(values, wide_values, (size_t) d * (size_t) context);
	for (int i = 0; i < group; i++)
		attend_head(cpu, block, kv_head * group + i, panels, half ? wide_values : values, scores);
}

void
cpu_attend_prompt(struct backend *cpu, int layer, const struct cpu_block *blocks, int n_blocks)
{
	struct attention attention = {cpu, layer, blocks, n_blocks, 0, 0};

	pool_run(cpu->pool, prompt_item, &attention, n_blocks * (int) cpu->a.n_kv_heads);
}

/* a part's result: head_dim values, the sum of exponentials, their largest exponent */
static float *
partial(struct backend *cpu, int splits, int request, int head, int split)
{
	size_t		index = ((size_t) request * (size_t) cpu->a.n_heads + (size_t) head) *
			(size_t) splits +
		(size_t) split;

	return cpu_floats(cpu, AREA_PARTIALS) + index * (size_t) (cpu->a.head_dim + 2);
}

/*
 * One part of the context for all heads that share one kv head: a piece of each
 * of the streams that the whole context makes, so that the next part goes on
 * where this one ends.
 */
static void
step_item(void *argument, int item, int thread)
{
	struct attention *attention = argument;
	struct backend *cpu = attention->cpu;
	const struct cpu_kernels *kernels = cpu->kernels;
	bool		half = cpu->precision == PRECISION_BF16;
	int			d = (int) cpu->a.head_dim;
	int			kv_heads = (int) cpu->a.n_kv_heads;
	int			group = (int) cpu->a.n_heads / kv_heads;
	int			split = item % attention->splits;
	int			kv_head = item / attention->splits % kv_heads;
	int			request = item / attention->splits / kv_heads;
	const char *keys = cache_head(cpu, AREA_KEYS, attention->layer, request, kv_head);
	const char *values = cache_head(cpu, AREA_VALUES, attention->layer, request, kv_head);
	size_t		row_bytes = (size_t) d * precision_bytes(cpu->precision);
	int			piece = cpu_parts(attention->context, CPU_STREAMS);
	int			first = (int) ((int64_t) piece * split / attention->splits);
	int			most = (int) ((int64_t) piece * (split + 1) / attention->splits) - first;
	float	   *scores = cpu_scratch(cpu, thread);
	struct cpu_product product = {
		.k = d,
		.x = cpu_floats(cpu, AREA_QKV) + (size_t) request * qkv_width(cpu) + kv_head * group * d,
		.ldx = (size_t) d,
		.columns = group,
	};
	struct cpu_sum sum = {
		.k = d,
		.columns = group,
		.out = partial(cpu, attention->splits, request, kv_head * group, split),
		.ldout = (size_t) attention->splits * (size_t) (d + 2),
	};
	int			length = 0;

	for (int i = 0; i < CPU_STREAMS; i++)
	{
		int			position = i * piece + first;
		int			rows = position < attention->context ? cpu_smaller(most, attention->context - position) : 0;

		product.streams[i] = (struct cpu_stream){keys + (size_t) position * row_bytes, scores + length, rows};
		sum.streams[i] = (struct cpu_stream){values + (size_t) position * row_bytes, scores + length, rows};
		length += rows;
	}
	product.ldy = sum.ldy = (size_t) length;
	(half ? kernels->product_bf16 : kernels->product_f32)(&product);
	for (int i = 0; i < group; i++)
	{
		float	   *out = sum.out + (size_t) i * sum.ldout;

		out[d] = kernels->exponentials(scores + (size_t) i * (size_t) length, length, 1.0f / sqrtf((float) d),
									   &out[d + 1]);
	}
	(half ? kernels->sum_bf16 : kernels->sum_f32)(&sum);
}

/* puts the parts of one head's context together */
static void
combine(struct backend *cpu, int splits, int request, int head)
{
	int			d = (int) cpu->a.head_dim;
	float	   *out = cpu_floats(cpu, AREA_ATTENTION) +
		((size_t) request * (size_t) cpu->a.n_heads + (size_t) head) * (size_t) d;
	float		largest = -INFINITY;
	float		total = 0;

	for (int split = 0; split < splits; split++)
		largest = fmaxf(largest, partial(cpu, splits, request, head, split)[d + 1]);
	for (int split = 0; split < splits; split++)
	{
		const float *part = partial(cpu, splits, request, head, split);

		total += part[d] * expf(part[d + 1] - largest);
	}
	memset(out, 0, (size_t) d * sizeof(float));
	for (int split = 0; split < splits; split++)
	{
		const float *part = partial(cpu, splits, request, head, split);
		float		share = expf(part[d + 1] - largest) / total;

		for (int i = 0; i < d; i++)
			out[i] += share * part[i];
	}
}

static void
combine_item(void *argument, int item, int thread)
{
	struct attention *attention = argument;

	(void) thread;
	for (int head = 0; head < attention->cpu->a.n_heads; head++)
		combine(attention->cpu, attention->splits, item, head);
}

void
cpu_attend_step(struct backend *cpu, int layer, int position)
{
	int			threads = pool_threads(cpu->pool);
	int			heads = cpu->workload.batch_size * (int) cpu->a.n_kv_heads;
	struct attention attention = {cpu, layer, NULL, 0, position + 1, 1};

	/* parts of at least 64 positions, and no more than keep all threads busy */
	if (threads > 1)
	{
		attention.splits = cpu_smaller(cpu_parts(4 * threads, heads), CPU_MAX_SPLITS);
		attention.splits = cpu_smaller(attention.splits, cpu_parts(attention.context, 64));
	}
	pool_run(cpu->pool, step_item, &attention, heads * attention.splits);
	run_rows(cpu, combine_item, &attention, cpu->workload.batch_size);
}

size_t
cpu_attention_scratch(const struct architecture *a, int capacity)
{
	size_t		group = (size_t) (a->n_heads / a->n_kv_heads);
	size_t		queries = group > CPU_QUERY_BLOCK ? group : CPU_QUERY_BLOCK;

	/* scores, and the keys and widened values of one head */
	return (queries + 2 * (size_t) a->head_dim) * (size_t) (cpu_parts(capacity, PANEL) * PANEL);
}
