/*
 * cuda_kernels.h: the CUDA backend's kernels, as functions that put them into a
 * stream.  Each answers what the launch said; errors of the run itself show
 * when the stream is waited for.
 *
 * bf16 values are their bits, uint16_t.  All matrices are row-major and begin
 * on 16 bytes; rows of weights are multiples of 16 bytes.  C++ includes this as
 * extern "C".
 */
#ifndef CUDA_KERNELS_H
#define CUDA_KERNELS_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

/* where kernels are put */
struct cuda_queue
{
	cudaStream_t stream;
	bool		overlap;		/* a kernel may begin while the one before it ends */
	int			processors;		/* of the device */
};

/* ---- cuda_fill.cu: what is done once, and what a prompt needs between its products ---- */

/* rows × columns synthetic weights whose keys come from the tensor's (model.h); halves or floats */
extern cudaError_t cuda_fill(const struct cuda_queue *queue, void *to, bool halves, uint64_t tensor_key,
							 int64_t rows, int64_t columns, float scale, float offset);

/* to[position][d] = cosines of d / 2 angles, then their sines */
extern cudaError_t cuda_fill_rope(const struct cuda_queue *queue, float *to, int positions, int d, double base);

/* x[row][hidden] = the tokens' rows of the embedding; *step = position, for the kernels after it */
extern cudaError_t cuda_embed(const struct cuda_queue *queue, const uint16_t *embedding, const int32_t *tokens,
							  int rows, int hidden, float *x, const int32_t *position, int32_t *step);

/* to = x ÷ rms(x) · weight, row by row; row_stride is the distance of x's rows in rows */
extern cudaError_t cuda_norm(const struct cuda_queue *queue, const float *x, int64_t row_stride, const float *weight,
							 float epsilon, int rows, int hidden, uint16_t *to);

/* to[row][ffn] = silu(gate) · up, of rows that are all of gate and then all of up */
extern cudaError_t cuda_swiglu(const struct cuda_queue *queue, const uint16_t *gate_up, int rows, int ffn,
							   uint16_t *to);

/* copies rows of floats that are stride rows apart */
extern cudaError_t cuda_gather(const struct cuda_queue *queue, const float *from, int64_t stride, int rows, int width,
							   float *to);

/* the first index of the largest of each row's values */
extern cudaError_t cuda_argmax(const struct cuda_queue *queue, const float *values, int rows, int width, int32_t *to);

/* ---- cuda_vector.cu: products of weights and a few vectors, for decoding ---- */

#define CUDA_MOST_VECTORS 4

enum cuda_ending
{
	CUDA_STORE,					/* y = */
	CUDA_ADD,					/* y += */
	CUDA_SWIGLU,				/* y[r] = silu(row r) · row r + rows */
};

/* y[vector][row] from weights[rows or 2 × rows][k] · x[vector][k]; with a norm x is normalised first */
struct cuda_vector_product
{
	const uint16_t *weights;
	const float *x;
	const float *norm;			/* its weights, or NULL */
	float		epsilon;
	float	   *y;
	int			rows;
	int			k;
	int			vectors;		/* 1 to CUDA_MOST_VECTORS */
	enum cuda_ending ending;
};

/* shared memory that it needs; more than the device has cannot be run */
extern size_t cuda_vector_shared(int k, int vectors);

extern cudaError_t cuda_vector_multiply(const struct cuda_queue *queue, const struct cuda_vector_product *product);

/* ---- cuda_step.cu and cuda_prompt.cu: attention ---- */

/*
 * The KV cache of one layer is [request][kv head][capacity][d]; a row of qkv has
 * the heads, then the keys, then the values.
 */
struct cuda_attention
{
	int			heads;
	int			kv_heads;
	int			d;
	int			capacity;
	float		epsilon;
	uint16_t   *keys;
	uint16_t   *values;
	const float *rope;
	const float *bias;			/* NULL where there is none, as the next two */
	const float *q_norm;
	const float *k_norm;
};

/*
 * One token per request: places it (bias, norm, rotary embedding, into the cache) and attends to everything
 * up to it, each split to a part of the context.  partials is [request][head][split][d + 2]: a weighted sum of
 * values, the sum of its weights, and their largest exponent.
 */
extern cudaError_t cuda_attend_step(const struct cuda_queue *queue, const struct cuda_attention *attention,
									const float *qkv, int requests, const int32_t *step, int splits, float *partials);

/* blocks of it that a processor holds at once, 0 where that cannot be told; each has a split of that many heads */
extern int cuda_step_blocks(const struct cuda_attention *attention, int *heads_of_block);

/* puts the splits together, as floats or (where to is NULL) as halves: [request][heads × d] */
extern cudaError_t cuda_combine(const struct cuda_queue *queue, const float *partials, int requests, int heads, int d,
								int			splits, float *to, uint16_t *to_halves);

/* rows of a prompt: requests × length of them, from request and position on */
struct cuda_prompt
{
	int			request;
	int			requests;
	int			position;
	int			length;
};

/* as above, into the cache; the heads stay in qkv */
extern cudaError_t cuda_place(const struct cuda_queue *queue, const struct cuda_attention *attention, uint16_t *qkv,
							  const struct cuda_prompt *prompt);

/* causal attention of the placed rows to everything in the cache up to them; to is [row][heads × d] */
extern cudaError_t cuda_attend_prompt(const struct cuda_queue *queue, const struct cuda_attention *attention,
									  const uint16_t *qkv, const struct cuda_prompt *prompt, uint16_t *to);

/* is there a kernel for this shape of heads? */
extern bool cuda_attention_supports(int heads, int kv_heads, int d);

/* ---- cuda_read.cu ---- */

/* reads that many bytes, a multiple of 16, and nothing else */
extern cudaError_t cuda_read(const struct cuda_queue *queue, const void *from, size_t bytes, uint32_t *sink);

#endif							/* CUDA_KERNELS_H */
