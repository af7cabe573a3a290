/*
 * cuda_fill.cu: kernels that are done once (weights, rotary angles), and those
 * that a prompt needs between its products, one block to a row or to a piece.
 */
#include "cuda_device.cuh"

#define THREADS 256

static __device__ __forceinline__ uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

/* model.c's formula; a block takes every gridDim.x-th row */
__global__ void
fill_kernel(void *to, bool halves, uint64_t tensor_key, int64_t rows, int64_t columns, float scale, float offset)
{
	for (int64_t row = blockIdx.x; row < rows; row += gridDim.x)
	{
		uint32_t	key = (uint32_t) mix(tensor_key ^ (uint64_t) row);

		for (int64_t column = threadIdx.x; column < columns; column += blockDim.x)
		{
			uint32_t	h = (uint32_t) column * 0x9e3779b9u + key;
			float		value;

			h = (h ^ h >> 16) * 0x7feb352du;
			h = (h ^ h >> 15) * 0x846ca68bu;
			h ^= h >> 16;
			value = offset + scale * ((float) ((int32_t) h >> 8) * 0x1p-23f);
			if (halves)
				((uint16_t *) to)[row * columns + column] = narrow(value);
			else
				((float *) to)[row * columns + column] = value;
		}
	}
}

cudaError_t
cuda_fill(const struct cuda_queue *queue, void *to, bool halves, uint64_t tensor_key, int64_t rows, int64_t columns,
		  float scale, float offset)
{
	int			blocks = rows < 65536 ? (int) rows : 65536;

	return launch_alone(queue, fill_kernel, blocks, THREADS, to, halves, tensor_key, rows, columns, scale, offset);
}

__global__ void
rope_kernel(float *to, int d, double base)
{
	int			position = (int) blockIdx.x;

	for (int i = (int) threadIdx.x; i < d / 2; i += (int) blockDim.x)
	{
		double		angle = position * pow(base, -2.0 * i / d);

		to[(int64_t) position * d + i] = (float) cos(angle);
		to[(int64_t) position * d + d / 2 + i] = (float) sin(angle);
	}
}

cudaError_t
cuda_fill_rope(const struct cuda_queue *queue, float *to, int positions, int d, double base)
{
	return launch_alone(queue, rope_kernel, positions, 64, to, d, base);
}

__global__ void
embed_kernel(const uint16_t *embedding, const int32_t *tokens, int hidden, float *x, const int32_t *position,
			 int32_t *step)
{
	int64_t		row = blockIdx.x;
	const uint16_t *from;

	wait_for_previous();
	from = embedding + (int64_t) tokens[row] * hidden;
	for (int i = (int) threadIdx.x; i < hidden; i += (int) blockDim.x)
		x[row * hidden + i] = widen(from[i]);
	if (position != nullptr && row == 0 && threadIdx.x == 0)
		*step = *position;
}

cudaError_t
cuda_embed(const struct cuda_queue *queue, const uint16_t *embedding, const int32_t *tokens, int rows, int hidden,
		   float *x, const int32_t *position, int32_t *step)
{
	return launch_alone(queue, embed_kernel, rows, THREADS, embedding, tokens, hidden, x, position, step);
}

__global__ void
norm_kernel(const float *x, int64_t row_stride, const float *weight, float epsilon, int hidden, uint16_t *to)
{
	__shared__ float parts[THREADS / WARP];
	const float *from;
	float		squares = 0;
	float		factor;

	wait_for_previous();
	from = x + (int64_t) blockIdx.x * row_stride * hidden;
	for (int i = (int) threadIdx.x; i < hidden; i += (int) blockDim.x)
		squares += from[i] * from[i];
	factor = rsqrtf(sum_block(squares, parts) / (float) hidden + epsilon);
	/* hidden is even, so that two go into a word */
	for (int i = 2 * (int) threadIdx.x; i < hidden; i += 2 * (int) blockDim.x)
		*(uint32_t *) (to + (int64_t) blockIdx.x * hidden + i) =
			pack_bf16(from[i] * factor * weight[i], from[i + 1] * factor * weight[i + 1]);
}

cudaError_t
cuda_norm(const struct cuda_queue *queue, const float *x, int64_t row_stride, const float *weight, float epsilon,
		  int rows, int hidden, uint16_t *to)
{
	return launch(queue, norm_kernel, rows, THREADS, 0, x, row_stride, weight, epsilon, hidden, to);
}

static __device__ __forceinline__ float
silu(float gate)
{
	return gate / (1 + __expf(-gate));
}

/* eight values at a time: ffn is a multiple of eight */
__global__ void
swiglu_kernel(const uint16_t *gate_up, int64_t pieces, int ffn, uint16_t *to)
{
	int64_t		piece = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
	int64_t		row;
	int64_t		column;
	float		gate[8];
	float		up[8];
	uint4		result;

	wait_for_previous();
	if (piece >= pieces)
		return;
	row = piece / (ffn / 8);
	column = piece % (ffn / 8) * 8;
	widen_eight(*(const uint4 *) (gate_up + row * 2 * ffn + column), gate);
	widen_eight(*(const uint4 *) (gate_up + row * 2 * ffn + ffn + column), up);
	result.x = pack_bf16(silu(gate[0]) * up[0], silu(gate[1]) * up[1]);
	result.y = pack_bf16(silu(gate[2]) * up[2], silu(gate[3]) * up[3]);
	result.z = pack_bf16(silu(gate[4]) * up[4], silu(gate[5]) * up[5]);
	result.w = pack_bf16(silu(gate[6]) * up[6], silu(gate[7]) * up[7]);
	*(uint4 *) (to + row * ffn + column) = result;
}

cudaError_t
cuda_swiglu(const struct cuda_queue *queue, const uint16_t *gate_up, int rows, int ffn, uint16_t *to)
{
	int64_t		pieces = (int64_t) rows * (ffn / 8);

	return launch(queue, swiglu_kernel, parts_of(pieces, THREADS), THREADS, 0, gate_up, pieces, ffn, to);
}

__global__ void
gather_kernel(const float *from, int64_t stride, int width, float *to)
{
	wait_for_previous();
	for (int i = (int) threadIdx.x; i < width; i += (int) blockDim.x)
		to[(int64_t) blockIdx.x * width + i] = from[(int64_t) blockIdx.x * stride * width + i];
}

cudaError_t
cuda_gather(const struct cuda_queue *queue, const float *from, int64_t stride, int rows, int width, float *to)
{
	return launch(queue, gather_kernel, rows, THREADS, 0, from, stride, width, to);
}

/* the larger value, and of equal ones the earlier index */
static __device__ __forceinline__ void
keep_larger(float *value, int *index, float other, int other_index)
{
	if (other > *value || (other == *value && other_index < *index))
	{
		*value = other;
		*index = other_index;
	}
}

#define ARGMAX_THREADS 1024

__global__ void
argmax_kernel(const float *values, int width, int32_t *to)
{
	__shared__ float best[ARGMAX_THREADS / WARP];
	__shared__ int best_index[ARGMAX_THREADS / WARP];
	const float *row = values + (int64_t) blockIdx.x * width;
	float		value = -INFINITY;
	int			index = width;

	wait_for_previous();
	for (int i = (int) threadIdx.x; i < width; i += (int) blockDim.x)
		keep_larger(&value, &index, row[i], i);
#pragma unroll
	for (int step = WARP / 2; step > 0; step /= 2)
	{
		float		other = __shfl_xor_sync(ALL_LANES, value, step);
		int			other_index = __shfl_xor_sync(ALL_LANES, index, step);

		keep_larger(&value, &index, other, other_index);
	}
	if (threadIdx.x % WARP == 0)
	{
		best[threadIdx.x / WARP] = value;
		best_index[threadIdx.x / WARP] = index;
	}
	__syncthreads();
	if (threadIdx.x == 0)
	{
		for (int i = 1; i < ARGMAX_THREADS / WARP; i++)
			keep_larger(&value, &index, best[i], best_index[i]);
		/* of values that are no numbers none is the largest */
		to[blockIdx.x] = index < width ? index : 0;
	}
}

cudaError_t
cuda_argmax(const struct cuda_queue *queue, const float *values, int rows, int width, int32_t *to)
{
	return launch(queue, argmax_kernel, rows, ARGMAX_THREADS, 0, values, width, to);
}
