/*
 * cuda_step.cu: attention of one token per request, what decoding spends its
 * time on when contexts are long.
 *
 * A block has one kv head of one request, a part of its context, and up to
 * eight of the heads that share it, so that keys and values are read once for
 * all of them.  Each warp goes through the part by itself, some positions at a
 * time, with a softmax that it corrects as it finds larger scores; a lane holds
 * eight dimensions of the queries and of the sum.  The warps are put together
 * at the end, and the parts by a second kernel.
 *
 * Placing the token is folded in: each block turns its own queries, and those
 * whose part has the last position write its key and value first.  Where several
 * blocks do that they write the same bytes, and each reads only its own.
 */
#include "cuda_device.cuh"

#define THREADS 128
#define WARPS (THREADS / WARP)
#define PIECE 8					/* dimensions of a lane */
#define AT_ONCE 4				/* loads of keys, and of values, under way in a lane */
#define MOST_GROUP 8

/* one head's row as it goes into attention: bias, norm, rotary embedding; by one warp, in shared memory */
template<int D>
static __device__ __forceinline__ void
place_head(const float *from, const float *bias, const float *norm, const float *angles, float epsilon, float *to)
{
	int			lane = (int) threadIdx.x % WARP;
	float		values[D / WARP];
	float		squares = 0;

#pragma unroll
	for (int i = 0; i < D / WARP; i++)
	{
		int			dimension = i * WARP + lane;

		values[i] = from[dimension] + (bias != nullptr ? bias[dimension] : 0);
		squares += values[i] * values[i];
	}
	if (norm != nullptr)
	{
		float		factor = rsqrtf(sum_lanes<WARP>(squares) / D + epsilon);

#pragma unroll
		for (int i = 0; i < D / WARP; i++)
			values[i] *= factor * norm[i * WARP + lane];
	}
	/* dimension i turns with i + D / 2, which is the same lane's */
#pragma unroll
	for (int i = 0; i < D / WARP / 2; i++)
	{
		int			dimension = i * WARP + lane;
		float		cosine = angles != nullptr ? angles[dimension] : 1;
		float		sine = angles != nullptr ? angles[D / 2 + dimension] : 0;
		float		first = values[i];
		float		second = values[i + D / WARP / 2];

		to[dimension] = first * cosine - second * sine;
		to[D / 2 + dimension] = second * cosine + first * sine;
	}
}

/* what a warp knows of its positions so far, for each head: a lane has eight dimensions of sum */
template<int GROUP>
struct running
{
	float		largest[GROUP];
	float		total[GROUP];	/* of the lane's own positions */
	float		sum[GROUP][PIECE];
};

/*
 * AT_ONCE × (lane groups) positions from first on; those from end on are left
 * out.  queries are scaled so that scores are exponents of 2.
 */
template<int D, int GROUP>
static __device__ __forceinline__ void
attend_positions(const uint16_t *keys, const uint16_t *values, int first, int end,
				 const float (&queries)[GROUP][PIECE], struct running<GROUP> &run)
{
	constexpr int LANES = D / PIECE;	/* that have one position together */
	constexpr int TOGETHER = WARP / LANES;	/* positions in one load of the warp */
	int			lane = (int) threadIdx.x % WARP;
	int			mine = first + lane / LANES;
	int			dimension = lane % LANES * PIECE;
	uint4		key[AT_ONCE];
	uint4		value[AT_ONCE];
	float		scores[GROUP][AT_ONCE];

#pragma unroll
	for (int i = 0; i < AT_ONCE; i++)
	{
		int64_t		position = mine + i * TOGETHER;

		/* beyond the end the first one, which is always there, stands in */
		if (position >= end)
			position = first;
		key[i] = *(const uint4 *) (keys + position * D + dimension);
		value[i] = *(const uint4 *) (values + position * D + dimension);
	}
#pragma unroll
	for (int i = 0; i < AT_ONCE; i++)
	{
		float		wide[PIECE];

		widen_eight(key[i], wide);
#pragma unroll
		for (int g = 0; g < GROUP; g++)
		{
			float		dot = 0;

#pragma unroll
			for (int j = 0; j < PIECE; j++)
				dot += queries[g][j] * wide[j];
			dot = sum_lanes<LANES>(dot);
			scores[g][i] = mine + i * TOGETHER < end ? dot : -INFINITY;
		}
	}
#pragma unroll
	for (int g = 0; g < GROUP; g++)
	{
		float		largest = run.largest[g];
		float		correction;

#pragma unroll
		for (int i = 0; i < AT_ONCE; i++)
			largest = fmaxf(largest, scores[g][i]);
		/* the same in all lanes: their sums are added at the end */
#pragma unroll
		for (int step = WARP / 2; step >= LANES; step /= 2)
			largest = fmaxf(largest, __shfl_xor_sync(ALL_LANES, largest, step));
		correction = exp2f(run.largest[g] - largest);
		run.largest[g] = largest;
		run.total[g] *= correction;
#pragma unroll
		for (int j = 0; j < PIECE; j++)
			run.sum[g][j] *= correction;
#pragma unroll
		for (int i = 0; i < AT_ONCE; i++)
		{
			scores[g][i] = exp2f(scores[g][i] - largest);
			run.total[g] += scores[g][i];
		}
	}
#pragma unroll
	for (int i = 0; i < AT_ONCE; i++)
	{
		float		wide[PIECE];

		widen_eight(value[i], wide);
#pragma unroll
		for (int g = 0; g < GROUP; g++)
#pragma unroll
			for (int j = 0; j < PIECE; j++)
				run.sum[g][j] += scores[g][i] * wide[j];
	}
}

/* the warps of the block together, into the partial result of each head */
template<int D, int GROUP>
static __device__ __forceinline__ void
write_partials(const struct running<GROUP> &run, float *shared, float *to, int64_t stride, int heads)
{
	constexpr int LANES = D / PIECE;
	int			lane = (int) threadIdx.x % WARP;
	int			warp = (int) threadIdx.x / WARP;

	/* shared is [warp][D + 2] and used head after head */
	for (int g = 0; g < heads; g++)
	{
		float	   *mine = shared + warp * (D + 2);
		float		largest = -INFINITY;
		float		total = 0;

#pragma unroll
		for (int known = 0; known < GROUP; known++)
		{
			if (known != g)
				continue;
#pragma unroll
			for (int j = 0; j < PIECE; j++)
			{
				float		sum = run.sum[known][j];

#pragma unroll
				for (int step = WARP / 2; step >= LANES; step /= 2)
					sum += __shfl_xor_sync(ALL_LANES, sum, step);
				if (lane < LANES)
					mine[lane * PIECE + j] = sum;
			}
			/* each lane of a position has counted it */
			total = sum_lanes<WARP>(run.total[known]) / LANES;
			if (lane == 0)
			{
				mine[D] = total;
				mine[D + 1] = run.largest[known];
			}
		}
		__syncthreads();
		for (int w = 0; w < WARPS; w++)
			largest = fmaxf(largest, shared[w * (D + 2) + D + 1]);
		for (int i = (int) threadIdx.x; i <= D; i += THREADS)
		{
			float		sum = 0;

			for (int w = 0; w < WARPS; w++)
			{
				float		of_warp = shared[w * (D + 2) + D + 1];

				/* a warp without positions, or a part without any */
				if (of_warp > -INFINITY)
					sum += shared[w * (D + 2) + i] * exp2f(of_warp - largest);
			}
			to[g * stride + i] = sum;
		}
		if (threadIdx.x == 0)
			to[g * stride + D + 1] = largest;
		__syncthreads();
	}
}

template<int D, int GROUP>
__global__ void __launch_bounds__(THREADS)
step_kernel(struct cuda_attention attention, const float *qkv, const int32_t *step, int chunks, float *partials)
{
	constexpr int LANES = D / PIECE;
	constexpr int TOGETHER = WARP / LANES;
	__shared__ float placed[(GROUP + 2) * D];
	__shared__ float shared[WARPS * (D + 2)];
	int			split = (int) blockIdx.x;
	int			splits = (int) gridDim.x;
	int			kv_head = (int) blockIdx.y / chunks;
	int			request = (int) blockIdx.z;
	int			warp = (int) threadIdx.x / WARP;
	int			lane = (int) threadIdx.x % WARP;
	int			group = attention.heads / attention.kv_heads;
	int			first_head = (int) blockIdx.y % chunks * GROUP;	/* within the group */
	int			heads = group - first_head < GROUP ? group - first_head : GROUP;
	int			width = (attention.heads + 2 * attention.kv_heads) * D;
	int64_t		cache = ((int64_t) request * attention.kv_heads + kv_head) * attention.capacity * D;
	uint16_t   *keys = attention.keys + cache;
	uint16_t   *values = attention.values + cache;
	float		queries[GROUP][PIECE];
	struct running<GROUP> run;
	const float *angles;
	int			position;
	int			context;
	int			part;
	int			begin;
	int			end;

	wait_for_previous();
	let_next_begin();
	position = *step;
	context = position + 1;
	/* parts are whole rounds of all warps, so that loads of a warp stay together */
	part = (context + splits - 1) / splits;
	part = (part + WARPS * TOGETHER - 1) / (WARPS * TOGETHER) * (WARPS * TOGETHER);
	begin = split * part;
	end = begin + part < context ? begin + part : context;

	/* the heads, then the key, then the value, which does not turn */
	angles = attention.rope + (int64_t) position * D;
	for (int i = warp; i < heads + 2; i += WARPS)
	{
		int			head = i < heads ? kv_head * group + first_head + i :
			attention.heads + (i - heads) * attention.kv_heads + kv_head;
		const float *norm = i < heads ? attention.q_norm : i == heads ? attention.k_norm : nullptr;

		place_head<D>(qkv + (int64_t) request * width + head * D,
					  attention.bias != nullptr ? attention.bias + head * D : nullptr, norm,
					  i <= heads ? angles : nullptr, attention.epsilon, placed + i * D);
	}
	__syncthreads();
	if (begin <= position && position < end)
	{
		for (int i = (int) threadIdx.x; i < D; i += THREADS)
		{
			keys[(int64_t) position * D + i] = narrow(placed[heads * D + i]);
			values[(int64_t) position * D + i] = narrow(placed[(heads + 1) * D + i]);
		}
		__syncthreads();
	}

	/* exponents of 2 are cheaper: scores come out times log2(e) */
#pragma unroll
	for (int g = 0; g < GROUP; g++)
	{
#pragma unroll
		for (int j = 0; j < PIECE; j++)
		{
			queries[g][j] = g < heads ? placed[g * D + lane % LANES * PIECE + j] : 0;
			queries[g][j] *= 1.4426950408889634f * rsqrtf((float) D);
			run.sum[g][j] = 0;
		}
		run.largest[g] = -INFINITY;
		run.total[g] = 0;
	}
	for (int first = begin + warp * AT_ONCE * TOGETHER; first < end; first += WARPS * AT_ONCE * TOGETHER)
		attend_positions<D, GROUP>(keys, values, first, end, queries, run);
	partials += (((int64_t) request * attention.heads + kv_head * group + first_head) * splits + split) * (D + 2);
	write_partials<D, GROUP>(run, shared, partials, (int64_t) splits * (D + 2), heads);
}

template<int D, int GROUP>
static cudaError_t
start(const struct cuda_queue *queue, const struct cuda_attention *attention, const float *qkv, int requests,
	  const int32_t *step, int splits, float *partials)
{
	int			chunks = parts_of(attention->heads / attention->kv_heads, GROUP);
	dim3		grid((unsigned) splits, (unsigned) (attention->kv_heads * chunks), (unsigned) requests);

	return launch(queue, step_kernel<D, GROUP>, grid, THREADS, 0, *attention, qkv, step, chunks, partials);
}

/* heads that a block has, of those that share a kv head: one of the sizes that there are kernels for */
static int
group_of(const struct cuda_attention *attention)
{
	int			group = attention->heads / attention->kv_heads;

	return group <= 2 ? group : group <= 4 ? 4 : MOST_GROUP;
}

template<int D>
static cudaError_t
start_group(const struct cuda_queue *queue, const struct cuda_attention *attention, const float *qkv, int requests,
			const int32_t *step, int splits, float *partials)
{
	switch (group_of(attention))
	{
		case 1:
			return start<D, 1>(queue, attention, qkv, requests, step, splits, partials);
		case 2:
			return start<D, 2>(queue, attention, qkv, requests, step, splits, partials);
		case 4:
			return start<D, 4>(queue, attention, qkv, requests, step, splits, partials);
		default:
			return start<D, MOST_GROUP>(queue, attention, qkv, requests, step, splits, partials);
	}
}

template<int D>
static const void *
kernel_of(int group)
{
	return group == 1 ? (const void *) step_kernel<D, 1> : group == 2 ? (const void *) step_kernel<D, 2> :
		group == 4 ? (const void *) step_kernel<D, 4> : (const void *) step_kernel<D, MOST_GROUP>;
}

int
cuda_step_blocks(const struct cuda_attention *attention, int *heads_of_block)
{
	int			group = group_of(attention);
	int			blocks = 0;

	*heads_of_block = group;
	if (cudaOccupancyMaxActiveBlocksPerMultiprocessor(
			&blocks, attention->d == 64 ? kernel_of<64>(group) : kernel_of<128>(group), THREADS, 0) != cudaSuccess)
		return 0;
	return blocks;
}

bool
cuda_attention_supports(int heads, int kv_heads, int d)
{
	return heads % kv_heads == 0 && (d == 64 || d == 128);
}

cudaError_t
cuda_attend_step(const struct cuda_queue *queue, const struct cuda_attention *attention, const float *qkv, int requests,
				 const int32_t *step, int splits, float *partials)
{
	if (attention->d == 64)
		return start_group<64>(queue, attention, qkv, requests, step, splits, partials);
	if (attention->d == 128)
		return start_group<128>(queue, attention, qkv, requests, step, splits, partials);
	return cudaErrorInvalidValue;
}

/* a block has one head of one request; a thread one dimension */
__global__ void
combine_kernel(const float *partials, int d, int splits, float *to, uint16_t *to_halves)
{
	int64_t		head = (int64_t) blockIdx.y * gridDim.x + blockIdx.x;
	const float *from = partials + head * splits * (d + 2);
	int			dimension = (int) threadIdx.x;
	float		largest = -INFINITY;
	float		total = 0;
	float		sum = 0;

	wait_for_previous();
	let_next_begin();
	for (int split = 0; split < splits; split++)
		largest = fmaxf(largest, from[split * (d + 2) + d + 1]);
	for (int split = 0; split < splits; split++)
	{
		const float *part = from + split * (d + 2);

		/* nothing is what a part beyond the context has */
		if (part[d + 1] > -INFINITY)
		{
			float		share = exp2f(part[d + 1] - largest);

			total += share * part[d];
			sum += share * part[dimension];
		}
	}
	if (to != nullptr)
		to[head * d + dimension] = sum / total;
	else
		to_halves[head * d + dimension] = narrow(sum / total);
}

cudaError_t
cuda_combine(const struct cuda_queue *queue, const float *partials, int requests, int heads, int d, int splits,
			 float *to, uint16_t *to_halves)
{
	return launch(queue, combine_kernel, dim3((unsigned) heads, (unsigned) requests), d, 0, partials, d, splits, to,
				  to_halves);
}
