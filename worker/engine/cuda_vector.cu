/*
 * cuda_vector.cu: products of weights and a few vectors, what decoding spends
 * its time on.
 *
 * Each warp takes two rows of weights at a time and reads them once, 16 bytes a
 * lane, past the first-level cache; the vectors lie in shared memory as floats.
 * The norm in front is folded in: x · weight goes into shared memory, and the
 * row's sum is scaled by 1 ÷ rms(x) at the end.  Of the two rows of a SwiGLU one
 * is the gate and the other what it lets through, so its end is one line, too.
 *
 * A warp asks for its first weights before it waits for the kernel before: they
 * do not depend on it, and memory stays busy between two kernels.
 */
#include "cuda_device.cuh"

#define MOST_WARPS 16			/* of a block */
#define LEAST_WARPS 4
#define ROWS 2
#define AT_ONCE 4				/* loads of 16 bytes of each row under way in a lane */
#define PIECE 8					/* weights in 16 bytes */
#define MOST_SHARED (160 * 1024) /* of a processor, even of the smaller chips */
#define STRIP (WARP * PIECE)	/* columns that a warp reads in one load */

/*
 * Where column lies in shared memory: of each strip first the lanes' first four
 * columns and then their last four, so that lanes read neighbouring 16 bytes.
 */
static __device__ __forceinline__ int
place_of(int column)
{
	return column / STRIP * STRIP + column % PIECE / 4 * (STRIP / 2) + column % STRIP / PIECE * 4 + column % 4;
}

/* the lane's pieces of AT_ONCE strips of both rows; zeros beyond the end */
static __device__ __forceinline__ void
load_rows(uint4 (&to)[ROWS][AT_ONCE], const uint16_t *const (&rows)[ROWS], int from, int k)
{
#pragma unroll
	for (int i = 0; i < AT_ONCE; i++)
	{
		int			column = from + i * STRIP;

#pragma unroll
		for (int r = 0; r < ROWS; r++)
			to[r][i] = column < k ? load_streaming(rows[r] + column) : make_uint4(0, 0, 0, 0);
	}
}

/* x, or x · norm, into shared memory with zeros up to a whole strip; answers 1 ÷ rms(x), or 1 */
template<int VECTORS>
static __device__ __forceinline__ void
take_vectors(const struct cuda_vector_product &product, float *shared, float *parts, float (&factor)[VECTORS])
{
	int			k = product.k;
	int			padded = (k + STRIP - 1) / STRIP * STRIP;

#pragma unroll
	for (int v = 0; v < VECTORS; v++)
	{
		float		squares = 0;

		for (int i = (int) threadIdx.x; i < padded; i += (int) blockDim.x)
		{
			float		value = i < k ? product.x[(int64_t) v * k + i] : 0;

			squares += value * value;
			if (product.norm != nullptr && i < k)
				value *= product.norm[i];
			shared[v * padded + place_of(i)] = value;
		}
		factor[v] = 1;
		if (product.norm != nullptr)
			factor[v] = rsqrtf(sum_block(squares, parts) / (float) k + product.epsilon);
	}
	__syncthreads();
}

/* blocks of a processor at once, by their registers */
template<int VECTORS>
static constexpr int RESIDENT = VECTORS == 1 ? 2 : 1;

template<int VECTORS, int ENDING>
__global__ void __launch_bounds__(MOST_WARPS * WARP, RESIDENT<VECTORS>)
vector_kernel(struct cuda_vector_product product)
{
	DYNAMIC_SHARED(memory);
	__shared__ float parts[MOST_WARPS];
	const float *shared = (const float *) memory;
	int			lane = (int) threadIdx.x % WARP;
	int			k = product.k;
	int			padded = (k + STRIP - 1) / STRIP * STRIP;

	/* a pair is two neighbouring rows, or a gate and its value */
	int			pairs = ENDING == CUDA_SWIGLU ? product.rows : (product.rows + 1) / 2;
	int			warps = (int) blockDim.x / WARP;
	int			all_warps = (int) gridDim.x * warps;
	int			pair = (int) blockIdx.x * warps + (int) threadIdx.x / WARP;
	float		factor[VECTORS];
	uint4		weights[ROWS][AT_ONCE];
	const uint16_t *rows[ROWS];

#define FIND_ROWS() \
	do \
	{ \
		int			first = ENDING == CUDA_SWIGLU ? pair : 2 * pair; \
		int			second = ENDING == CUDA_SWIGLU ? pair + product.rows : 2 * pair + 1; \
\
		if (ENDING != CUDA_SWIGLU && second >= product.rows) \
			second = first; \
		rows[0] = product.weights + (int64_t) first * k; \
		rows[1] = product.weights + (int64_t) second * k; \
	} while (0)

	if (pair < pairs)
	{
		FIND_ROWS();
		load_rows(weights, rows, lane * PIECE, k);
	}
	wait_for_previous();
	let_next_begin();
	take_vectors<VECTORS>(product, (float *) memory, parts, factor);
	for (; pair < pairs; pair += all_warps)
	{
		float		sums[ROWS][VECTORS] = {};

		FIND_ROWS();
		for (int strip = 0; strip < padded; strip += AT_ONCE * STRIP)
		{
			/* what the block began with is there already */
			if (strip > 0 || pair >= all_warps)
				load_rows(weights, rows, strip + lane * PIECE, k);
#pragma unroll
			for (int i = 0; i < AT_ONCE; i++)
			{
				float		wide[ROWS][8];

				if (strip + i * STRIP >= padded)
					break;
#pragma unroll
				for (int r = 0; r < ROWS; r++)
					widen_eight(weights[r][i], wide[r]);
#pragma unroll
				for (int v = 0; v < VECTORS; v++)
				{
					const float *at = shared + v * padded + strip + i * STRIP + lane * 4;
					float4		low = *(const float4 *) at;
					float4		high = *(const float4 *) (at + STRIP / 2);

#pragma unroll
					for (int r = 0; r < ROWS; r++)
						sums[r][v] += wide[r][0] * low.x + wide[r][1] * low.y + wide[r][2] * low.z +
							wide[r][3] * low.w + wide[r][4] * high.x + wide[r][5] * high.y +
							wide[r][6] * high.z + wide[r][7] * high.w;
				}
			}
		}
#pragma unroll
		for (int v = 0; v < VECTORS; v++)
		{
			float		first = sum_lanes<WARP>(sums[0][v]) * factor[v];
			float		second = sum_lanes<WARP>(sums[1][v]) * factor[v];
			float	   *y = product.y + (int64_t) v * product.rows;

			if (lane != 0)
				continue;
			if (ENDING == CUDA_SWIGLU)
				y[pair] = first / (1 + __expf(-first)) * second;
			else
			{
				y[2 * pair] = ENDING == CUDA_ADD ? y[2 * pair] + first : first;
				if (2 * pair + 1 < product.rows)
					y[2 * pair + 1] = ENDING == CUDA_ADD ? y[2 * pair + 1] + second : second;
			}
		}
	}
#undef FIND_ROWS
}

size_t
cuda_vector_shared(int k, int vectors)
{
	return (size_t) parts_of(k, STRIP) * STRIP * sizeof(float) * (size_t) vectors;
}

template<int VECTORS, int ENDING>
static cudaError_t
start(const struct cuda_queue *queue, const struct cuda_vector_product *product)
{
	size_t		shared = cuda_vector_shared(product->k, VECTORS);
	int			pairs = ENDING == CUDA_SWIGLU ? product->rows : (product->rows + 1) / 2;
	int			warps = MOST_WARPS;
	int			blocks;

	/* as many as the device holds at once: each reads the vectors only once */
	int			most = queue->processors * (shared <= MOST_SHARED / RESIDENT<VECTORS> ? RESIDENT<VECTORS> : 1);

	/* few rows are spread over all processors */
	while (warps > LEAST_WARPS && parts_of(pairs, warps) < queue->processors)
		warps /= 2;
	blocks = parts_of(pairs, warps);
	return launch(queue, vector_kernel<VECTORS, ENDING>, blocks < most ? blocks : most, warps * WARP, shared, *product);
}

template<int VECTORS>
static cudaError_t
start_ending(const struct cuda_queue *queue, const struct cuda_vector_product *product)
{
	switch (product->ending)
	{
		case CUDA_STORE:
			return start<VECTORS, CUDA_STORE>(queue, product);
		case CUDA_ADD:
			return start<VECTORS, CUDA_ADD>(queue, product);
		case CUDA_SWIGLU:
			return start<VECTORS, CUDA_SWIGLU>(queue, product);
	}
	return cudaErrorInvalidValue;
}

cudaError_t
cuda_vector_multiply(const struct cuda_queue *queue, const struct cuda_vector_product *product)
{
	switch (product->vectors)
	{
		case 1:
			return start_ending<1>(queue, product);
		case 2:
			return start_ending<2>(queue, product);
		case 3:
			return start_ending<3>(queue, product);
		case 4:
			return start_ending<4>(queue, product);
	}
	return cudaErrorInvalidValue;
}
