/*
 * cuda_state.h: the CUDA backend's state and the layout of its memory.  The
 * lowest of its parts; each of the others includes only what stands below it:
 *
 *   cuda.c            the table of operations
 *   cuda_forward.c    the layers in their order     cuda_rates.c   calibration
 *   cuda_memory.c     layout, allocations, weights
 *   cuda_product.c    cuBLASLt                      cuda_nvml.c    energy, clocks
 *   cuda_kernels.h    the kernels, in *.cu          cuda_error.c
 */
#ifndef CUDA_STATE_H
#define CUDA_STATE_H

#include "backend.h"
#include "cuda_kernels.h"
#include "cuda_nvml.h"
#include "cuda_product.h"
#include "model.h"

/* rows of activations that go through the layers together in a prefill; tests have less */
#ifndef CUDA_PREFILL_ROWS
#define CUDA_PREFILL_ROWS 4096
#endif

/* parts into which the context is cut for a decode step, at most */
#define CUDA_MAX_SPLITS 64

/*
 * Weights are one allocation, everything else another, in this order.  What a
 * decode step reads (the layers' matrices and the head) is one piece.  Where a
 * size differs between prompts (halves) and decode steps (floats) there is room
 * for both.
 */
enum cuda_area
{
	AREA_WEIGHTS,				/* all matrices that every step reads */
	AREA_EMBEDDING,				/* only where not tied */
	AREA_VECTORS,				/* norms and biases, fp32 */
	CUDA_WEIGHT_AREAS,
	AREA_KEYS = CUDA_WEIGHT_AREAS,	/* [layer][request][kv head][position][head_dim] */
	AREA_VALUES,
	AREA_ROPE,					/* [position][head_dim / 2] of cos, then sin */
	AREA_TOKENS,				/* [row] */
	AREA_STEP,					/* the position of the decode step under way */
	AREA_HIDDEN,				/* [row][hidden] floats: the residual stream */
	AREA_NORMED,				/* [row][hidden] halves */
	AREA_QKV,					/* [row][(heads + 2 kv heads) × head_dim] halves, or floats */
	AREA_ATTENTION,				/* [row][heads × head_dim] halves, or floats */
	AREA_GATE_UP,				/* [row][2 ffn] halves */
	AREA_FFN,					/* [row][ffn] halves, or floats */
	AREA_LAST,					/* [request][hidden] floats: last position of each prompt */
	AREA_LOGITS,				/* [request][vocab] floats */
	AREA_PARTIALS,				/* [request][head][split][head_dim + 2] floats */
	AREA_LIBRARY,				/* cuBLASLt's workspace */
	CUDA_AREAS
};

/* offsets are from the beginning of the area's allocation */
struct cuda_layout
{
	size_t		offset[CUDA_AREAS];
	size_t		size[CUDA_AREAS];
	size_t		weights;
	size_t		workspace;
	int			rows;			/* activations hold that many */
	int			capacity;		/* positions in the KV cache per request */
};

struct cuda_layer
{
	const uint16_t *qkv;
	const uint16_t *output;
	const uint16_t *gate_up;
	const uint16_t *down;
	const float *attention_norm;
	const float *ffn_norm;
	const float *qkv_bias;		/* NULL where the architecture has none */
	const float *q_norm;
	const float *k_norm;
};

/* what host and device both see, for a step's input and output */
struct cuda_mailbox
{
	int32_t		position;
	int32_t		tokens[64];
	int32_t		sampled[64];
};

struct backend
{
	struct architecture a;
	uint64_t	weights_seed;
	struct workload workload;
	struct cuda_layout layout;
	char	   *weights;
	char	   *workspace;
	size_t		allocated;		/* bytes of the workspace, at least what the layout says */
	struct cuda_queue queue;
	size_t		shared;			/* bytes of shared memory that a block may have */
	struct cuda_products products;
	struct cuda_nvml nvml;
	struct cuda_layer *layers;
	const uint16_t *embedding;
	const uint16_t *head;
	const float *final_norm;
	struct cuda_mailbox *mailbox;	/* as the host sees it */
	struct cuda_mailbox *device_mailbox;	/* as kernels see it */
	cudaGraphExec_t step;		/* one decode step, NULL until it is captured */
	bool		own_products;	/* decode steps multiply with our own kernels */
	int			splits;
	int			context;		/* positions that the KV cache holds */
	float	   *logits;			/* the host's copy */
	int64_t		most_memory;	/* that was taken, without libraries */
};

static inline void *
cuda_area(const struct backend *cuda, enum cuda_area area)
{
	return (area < CUDA_WEIGHT_AREAS ? cuda->weights : cuda->workspace) + cuda->layout.offset[area];
}

#endif							/* CUDA_STATE_H */
