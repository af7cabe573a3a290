/*
 * cpu.h: the CPU backend's own state, shared by its parts: cpu.c (memory,
 * weights, calibration) → cpu_forward.c (the layers in their order) →
 * cpu_linear.c, cpu_attention.c → cpu_kernels.c, cpu_blas.c, pool.c.
 */
#ifndef CPU_H
#define CPU_H

#include "backend.h"
#include "cpu_blas.h"
#include "cpu_kernels.h"
#include "model.h"
#include "pool.h"

/* rows of activations that go through the layers together in a prefill */
#define CPU_PREFILL_ROWS 1024

/* rows up to which our own product beats a matrix library */
#define CPU_OWN_PRODUCT_ROWS 16

/* queries of one head that attend together */
#define CPU_QUERY_BLOCK 64

/* weight rows that are widened or multiplied together, at most */
#define CPU_PANEL_ROWS 256

/* parts into which the context is cut for a decode step, at most */
#define CPU_MAX_SPLITS 64

/*
 * Everything lives in one mapping, in this order.  What a decode step reads
 * (the layers' matrices and the head) is one piece, so that calibration can read just
 * that; an embedding that is not the head lies after it.
 */
enum cpu_area
{
	AREA_WEIGHTS,				/* all matrices that every step reads */
	AREA_EMBEDDING,				/* only where not tied */
	AREA_VECTORS,				/* norms and biases, fp32 */
	AREA_KEYS,					/* [layer][request][kv head][position][head_dim] */
	AREA_VALUES,
	AREA_ROPE,					/* [position][head_dim / 2] of cos, then sin */
	AREA_HIDDEN,				/* [row][hidden]: the residual stream */
	AREA_NORMED,				/* [row][hidden] */
	AREA_QKV,					/* [row][(heads + 2 kv heads) × head_dim] */
	AREA_ATTENTION,				/* [row][heads × head_dim] */
	AREA_FFN,					/* [row][ffn] */
	AREA_LAST,					/* [request][hidden]: last position of each prompt */
	AREA_LOGITS,				/* [request][vocab] */
	AREA_PARTIALS,				/* [request][kv head][split][group][head_dim + 2] */
	AREA_SCRATCH,				/* [thread][scratch_floats] */
	CPU_AREAS
};

struct cpu_layout
{
	size_t		offset[CPU_AREAS];
	size_t		size[CPU_AREAS];
	size_t		scratch_floats; /* of each thread */
	size_t		total;
	int			rows;			/* activations hold that many */
	int			capacity;		/* positions in the KV cache per request */
};

/* where one layer's weights begin */
struct cpu_layer
{
	const void *qkv;
	const void *output;
	const void *gate_up;
	const void *down;
	const float *attention_norm;
	const float *ffn_norm;
	const float *qkv_bias;		/* NULL where the architecture has none */
	const float *q_norm;
	const float *k_norm;
};

struct backend
{
	struct architecture a;
	struct workload workload;
	struct cpu_layout layout;
	char	   *memory;
	const struct cpu_kernels *kernels;
	struct cpu_blas blas;
	struct pool *pool;
	struct cpu_layer *layers;
	const void *embedding;
	const void *head;
	const float *final_norm;
	int			context;		/* positions that the KV cache holds */
};

static inline float *
cpu_floats(const struct backend *cpu, enum cpu_area area)
{
	return (float *) (cpu->memory + cpu->layout.offset[area]);
}

static inline int
cpu_smaller(int a, int b)
{
	return a < b ? a : b;
}

static inline int
cpu_parts(int whole, int part)
{
	return (whole + part - 1) / part;
}

/* in cpu_linear.c */

/* y[m × n] (+)= x[m × k] · transposed weights[n × k]; rows of y are ldy apart */
extern void cpu_linear(struct backend *cpu, const void *weights, int n, int k,
					   const float *x, int m, float *y, int ldy, bool accumulate);

/* out[m × ffn] = silu(x · transposed gate) · (x · transposed up) */
extern void cpu_gate_up(struct backend *cpu, const void *gate_up,
						const float *x, int m, float *out);

/* floats that a thread of these needs, for that many rows */
extern size_t cpu_linear_scratch(const struct architecture *a, enum precision precision, int rows);

/* in cpu_attention.c */

/* consecutive positions of one request, whose activations are consecutive rows */
struct cpu_block
{
	int			request;
	int			position;
	int			length;
	int			row;
};

/* after the qkv product: bias, norm and rotary embedding; k and v into the cache */
extern void cpu_place(struct backend *cpu, int layer, const struct cpu_block *blocks, int n_blocks);

/* causal attention of the placed rows to everything in the cache up to them */
extern void cpu_attend_prompt(struct backend *cpu, int layer, const struct cpu_block *blocks, int n_blocks);

/* the same for one row per request, all at one position */
extern void cpu_attend_step(struct backend *cpu, int layer, int position);

extern size_t cpu_attention_scratch(const struct architecture *a, int capacity);

/* in cpu_forward.c */
extern void cpu_prefill(struct backend *cpu, const int32_t *tokens, int length, int32_t *sampled);
extern void cpu_decode(struct backend *cpu, const int32_t *tokens, int32_t *sampled);

#endif							/* CPU_H */
