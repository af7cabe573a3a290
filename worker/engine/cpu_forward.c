/*
 * cpu_forward.c: the transformer's layers in their order.
 *
 * Rows of activations are tokens; a prompt goes through in chunks of at most
 * CPU_PREFILL_ROWS rows, of one or several requests, a decode step has one row
 * per request.  Every chunk leaves its keys and values in the cache, so later
 * chunks see them; the head is applied once, to the last position of each
 * request.
 */
#include "cpu_forward.h"

#include <string.h>

#include "cpu_attention.h"
#include "cpu_linear.h"

/* rows that one thread normalises at a time: fewer are not worth sharing */
#define NORM_ROWS 16

struct norm
{
	struct backend *cpu;
	const float *weight;
	const float *from;
	float	   *to;
	int			rows;
};

static void
norm_item(void *argument, int item, int thread)
{
	struct norm *norm = argument;
	size_t		hidden = (size_t) norm->cpu->a.hidden_size;
	int			first = item * NORM_ROWS;

	(void) thread;
	for (int row = first; row < cpu_smaller(first + NORM_ROWS, norm->rows); row++)
		norm->cpu->kernels->rmsnorm(norm->from + (size_t) row * hidden, norm->weight,
									norm->to + (size_t) row * hidden, (int) hidden,
									(float) MODEL_NORM_EPSILON);
}

static void
normalise(struct backend *cpu, const float *weight, const float *from, float *to, int rows)
{
	struct norm norm = {cpu, weight, from, to, rows};

	pool_run(cpu->pool, norm_item, &norm, cpu_parts(rows, NORM_ROWS));
}

static void
embed(struct backend *cpu, int32_t token, float *to)
{
	size_t		hidden = (size_t) cpu->a.hidden_size;
	size_t		at = (size_t) token * hidden;

	if (cpu->precision == PRECISION_BF16)
		cpu->kernels->widen((const uint16_t *) cpu->embedding + at, to, hidden);
	else
		memcpy(to, (const float *) cpu->embedding + at, hidden * sizeof(float));
}

/* the rows of the blocks through all layers; step is set for a decode step */
static void
run_layers(struct backend *cpu, const struct cpu_block *blocks, int n_blocks, int rows, bool step)
{
	int			hidden = (int) cpu->a.hidden_size;
	int			heads = (int) (cpu->a.n_heads * cpu->a.head_dim);
	int			qkv = heads + 2 * (int) (cpu->a.n_kv_heads * cpu->a.head_dim);
	float	   *x = cpu_floats(cpu, AREA_HIDDEN);
	float	   *normed = cpu_floats(cpu, AREA_NORMED);

	for (int i = 0; i < cpu->a.n_layers; i++)
	{
		const struct cpu_layer *layer = &cpu->layers[i];

		normalise(cpu, layer->attention_norm, x, normed, rows);
		cpu_linear(cpu, layer->qkv, qkv, hidden, normed, rows,
				   cpu_floats(cpu, AREA_QKV), qkv, false);
		cpu_place(cpu, i, blocks, n_blocks);
		if (step)
			cpu_attend_step(cpu, i, blocks[0].position);	/* NOLINT: a step has a block */
		else
			cpu_attend_prompt(cpu, i, blocks, n_blocks);
		cpu_linear(cpu, layer->output, hidden, heads, cpu_floats(cpu, AREA_ATTENTION), rows,
				   x, hidden, true);
		normalise(cpu, layer->ffn_norm, x, normed, rows);
		cpu_gate_up(cpu, layer->gate_up, normed, rows, cpu_floats(cpu, AREA_FFN));
		cpu_linear(cpu, layer->down, hidden, (int) cpu->a.ffn_dim, cpu_floats(cpu, AREA_FFN), rows,
				   x, hidden, true);
	}
}

struct sampling
{
	struct backend *cpu;
	int32_t    *sampled;
};

static void
sample_item(void *argument, int item, int thread)
{
	struct sampling *sampling = argument;
	struct backend *cpu = sampling->cpu;

	(void) thread;
	sampling->sampled[item] =
		cpu->kernels->argmax(cpu_floats(cpu, AREA_LOGITS) + (size_t) item * (size_t) cpu->a.vocab_size,
							 (int) cpu->a.vocab_size);
}

/* one row per request through the final norm and the head, and the greedy choice */
static void
run_head(struct backend *cpu, const float *rows, int32_t *sampled)
{
	int			batch = cpu->workload.batch_size;
	int			vocab = (int) cpu->a.vocab_size;
	struct sampling sampling = {cpu, sampled};

	normalise(cpu, cpu->final_norm, rows, cpu_floats(cpu, AREA_NORMED), batch);
	cpu_linear(cpu, cpu->head, vocab, (int) cpu->a.hidden_size, cpu_floats(cpu, AREA_NORMED), batch,
			   cpu_floats(cpu, AREA_LOGITS), vocab, false);
	pool_run(cpu->pool, sample_item, &sampling, batch);
}

/*
 * Cuts the rows from first on, at most as many as the activations hold, into
 * blocks: none crosses from one request to the next.
 */
static int
cut_blocks(const struct backend *cpu, int64_t first, int length, struct cpu_block *blocks, int *rows)
{
	int64_t		left = (int64_t) cpu->workload.batch_size * length - first;
	int			n_blocks = 0;

	if (left > cpu->layout.rows)
		left = cpu->layout.rows;
	for (*rows = 0; *rows < left; *rows += blocks[n_blocks++].length)
	{
		struct cpu_block *block = &blocks[n_blocks];

		block->row = *rows;
		block->request = (int) ((first + *rows) / length);
		block->position = (int) ((first + *rows) % length);
		block->length = cpu_smaller(CPU_QUERY_BLOCK,
									cpu_smaller(length - block->position, (int) left - *rows));
	}
	return n_blocks;
}

void
cpu_prefill(struct backend *cpu, const int32_t *tokens, int length, int32_t *sampled)
{
	struct cpu_block blocks[CPU_PREFILL_ROWS];
	size_t		hidden = (size_t) cpu->a.hidden_size;
	float	   *x = cpu_floats(cpu, AREA_HIDDEN);
	int64_t		total = (int64_t) cpu->workload.batch_size * length;
	int			rows;

	for (int64_t first = 0; first < total; first += rows)
	{
		int			n_blocks = cut_blocks(cpu, first, length, blocks, &rows);

		for (int row = 0; row < rows; row++)
			embed(cpu, tokens[first + row], x + (size_t) row * hidden);
		run_layers(cpu, blocks, n_blocks, rows, false);
		for (int i = 0; i < n_blocks; i++)
			if (blocks[i].position + blocks[i].length == length)
				memcpy(cpu_floats(cpu, AREA_LAST) + (size_t) blocks[i].request * hidden,
					   x + (size_t) (blocks[i].row + blocks[i].length - 1) * hidden,
					   hidden * sizeof(float));
	}
	cpu->context = length;
	run_head(cpu, cpu_floats(cpu, AREA_LAST), sampled);
}

void
cpu_decode(struct backend *cpu, const int32_t *tokens, int32_t *sampled)
{
	struct cpu_block blocks[CPU_PREFILL_ROWS];
	int			batch = cpu->workload.batch_size;
	float	   *x = cpu_floats(cpu, AREA_HIDDEN);

	for (int i = 0; i < batch; i++)
	{
		blocks[i] = (struct cpu_block){i, cpu->context, 1, i};
		embed(cpu, tokens[i], x + (size_t) i * (size_t) cpu->a.hidden_size);
	}
	run_layers(cpu, blocks, batch, batch, true);
	cpu->context++;
	run_head(cpu, x, sampled);
}
