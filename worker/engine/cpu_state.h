/*
 * cpu_state.h: the CPU backend's state and the layout of its memory.  The
 * lowest of its parts; each of the others includes only what stands below it:
 *
 *   cpu.c           the table of operations
 *   cpu_forward.c   the layers in their order      cpu_rates.c  calibration
 *   cpu_memory.c    layout, mappings, weights
 *   cpu_linear.c, cpu_attention.c
 *   cpu_kernels.c, cpu_blas.c, pool.c
 */
#ifndef CPU_STATE_H
#define CPU_STATE_H

#include "backend.h"
#include "cpu_blas.h"
#include "cpu_kernels.h"
#include "model.h"
#include "pool.h"

/* rows of activations that go through the layers together in a prefill */
#define CPU_PREFILL_ROWS 1024

/* rows up to which our own product beats a matrix library */
#define CPU_OWN_PRODUCT_ROWS 16

/* parts into which the context is cut for a decode step, at most */
#define CPU_MAX_SPLITS 64

/*
 * Weights lie in one mapping, everything else in another, in this order.  What
 * a decode step reads (the layers' matrices and the head) is one piece, so that
 * calibration can read just that; an embedding that is not the head lies after it.
 */
enum cpu_area
{
	AREA_WEIGHTS,				/* all matrices that every step reads */
	AREA_EMBEDDING,				/* only where not tied */
	AREA_VECTORS,				/* norms and biases, fp32 */
	CPU_WEIGHT_AREAS,
	AREA_KEYS = CPU_WEIGHT_AREAS,	/* [layer][request][kv head][position][head_dim] */
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

/* offsets are from the beginning of the area's mapping */
struct cpu_layout
{
	size_t		offset[CPU_AREAS];
	size_t		size[CPU_AREAS];
	size_t		scratch_floats; /* of each thread */
	size_t		weights;		/* bytes of the one mapping */
	size_t		workspace;		/* and of the other */
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
	enum precision precision;
	uint64_t	weights_seed;
	struct workload workload;
	struct cpu_layout layout;
	char	   *weights;
	char	   *workspace;
	size_t		reserved;		/* bytes of the workspace's addresses, */
	size_t		mapped;			/* of these what may be used, at least what the layout says, */
	size_t		touched;		/* and whose pages are given out */
	const struct cpu_kernels *kernels;
	struct cpu_blas blas;
	struct pool *pool;
	struct cpu_layer *layers;
	const void *embedding;
	const void *head;
	const float *final_norm;
	int			context;		/* positions that the KV cache holds */
};

static inline void *
cpu_area(const struct backend *cpu, enum cpu_area area)
{
	return (area < CPU_WEIGHT_AREAS ? cpu->weights : cpu->workspace) + cpu->layout.offset[area];
}

static inline float *
cpu_floats(const struct backend *cpu, enum cpu_area area)
{
	return cpu_area(cpu, area);
}

/* a thread's own memory */
static inline float *
cpu_scratch(const struct backend *cpu, int thread)
{
	return cpu_floats(cpu, AREA_SCRATCH) + (size_t) thread * cpu->layout.scratch_floats;
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

#endif							/* CPU_STATE_H */
