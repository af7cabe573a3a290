/*
 * cuda_prompt.cu: placing and attention of a prompt's rows.
 *
 * Attention is done in blocks of 64 queries of one head, 16 to a warp, against
 * tiles of 64 keys and values that come into shared memory while the tile before
 * is worked on.  Products are the tensor cores' 16 × 8 × 16; the softmax is kept
 * in registers and corrected as larger scores are found, and what it gives goes
 * from the first product's sums right into the second's first factor.
 */
#include "cuda_device.cuh"

#define THREADS 128
#define WARPS (THREADS / WARP)
#define QUERIES 64				/* of a block, 16 of each warp */
#define TILE 64					/* keys */
#define PAD 8					/* rows of a tile begin in different banks */

/* a warp has one head of one row: bias, norm, rotary embedding; keys and values go into the cache */
template<int D>
__global__ void __launch_bounds__(THREADS)
place_kernel(struct cuda_attention attention, uint16_t *qkv, struct cuda_prompt prompt)
{
	int			lane = (int) threadIdx.x % WARP;
	int			head = (int) blockIdx.y * WARPS + (int) threadIdx.x / WARP;
	int			all_heads = attention.heads + 2 * attention.kv_heads;
	int64_t		row = blockIdx.x;
	int			request = prompt.request + (int) (row / prompt.length);
	int			position = prompt.position + (int) (row % prompt.length);
	const float *angles = attention.rope + (int64_t) position * D;
	const float *norm = nullptr;
	uint16_t   *from = qkv + (row * all_heads + head) * D;
	uint16_t   *to = from;
	float		values[D / WARP];
	float		squares = 0;

	wait_for_previous();
	if (head >= all_heads)
		return;
	if (head < attention.heads)
		norm = attention.q_norm;
	else
	{
		bool		key = head < attention.heads + attention.kv_heads;
		int			kv_head = (head - attention.heads) % attention.kv_heads;

		norm = key ? attention.k_norm : nullptr;
		to = (key ? attention.keys : attention.values) +
			(((int64_t) request * attention.kv_heads + kv_head) * attention.capacity + position) * D;
	}
#pragma unroll
	for (int i = 0; i < D / WARP; i++)
	{
		int			dimension = i * WARP + lane;

		values[i] = widen(from[dimension]) + (attention.bias != nullptr ? attention.bias[head * D + dimension] : 0);
		squares += values[i] * values[i];
	}
	if (norm != nullptr)
	{
		float		factor = rsqrtf(sum_lanes<WARP>(squares) / D + attention.epsilon);

#pragma unroll
		for (int i = 0; i < D / WARP; i++)
			values[i] *= factor * norm[i * WARP + lane];
	}
#pragma unroll
	for (int i = 0; i < D / WARP / 2; i++)
	{
		int			dimension = i * WARP + lane;
		bool		turns = head < attention.heads + attention.kv_heads;
		float		cosine = turns ? angles[dimension] : 1;
		float		sine = turns ? angles[D / 2 + dimension] : 0;
		float		first = values[i];
		float		second = values[i + D / WARP / 2];

		to[dimension] = narrow(first * cosine - second * sine);
		to[D / 2 + dimension] = narrow(second * cosine + first * sine);
	}
}

/* keys or values from first on into shared memory, zeros from end on */
template<int D>
static __device__ __forceinline__ void
fetch_tile(uint16_t *tile, const uint16_t *from, int first, int end)
{
	constexpr int PIECES = D / 8;	/* 16 bytes each */

#pragma unroll
	for (int i = 0; i < TILE * PIECES / THREADS; i++)
	{
		int			piece = i * THREADS + (int) threadIdx.x;
		int			row = piece / PIECES;
		int			column = piece % PIECES * 8;
		bool		there = first + row < end;

		copy_async(tile + row * (D + PAD) + column, from + (there ? (int64_t) (first + row) * D + column : 0),
				   there ? 16 : 0);
	}
}

/* scores[8 keys each] of the warp's queries */
template<int D>
static __device__ __forceinline__ void
multiply_keys(const uint16_t *keys, const uint32_t (&queries)[D / 16][4], float (&scores)[TILE / 8][4])
{
	int			lane = (int) threadIdx.x % WARP;

#pragma unroll
	for (int n = 0; n < TILE / 8; n++)
#pragma unroll
		for (int i = 0; i < 4; i++)
			scores[n][i] = 0;
#pragma unroll
	for (int k = 0; k < D / 16; k++)
#pragma unroll
		for (int n = 0; n < TILE / 16; n++)
		{
			uint32_t	b[4];

			load_matrices(b, keys + (n * 16 + lane / 16 * 8 + lane % 8) * (D + PAD) + k * 16 + lane / 8 % 2 * 8);
			multiply_add(scores[2 * n], queries[k], b[0], b[1]);
			multiply_add(scores[2 * n + 1], queries[k], b[2], b[3]);
		}
}

/* sum += weights · values */
template<int D>
static __device__ __forceinline__ void
multiply_values(const uint16_t *values, const float (&weights)[TILE / 8][4], float (&sum)[D / 8][4])
{
	int			lane = (int) threadIdx.x % WARP;

#pragma unroll
	for (int k = 0; k < TILE / 16; k++)
	{
		const uint32_t a[4] = {
			pack_bf16(weights[2 * k][0], weights[2 * k][1]),
			pack_bf16(weights[2 * k][2], weights[2 * k][3]),
			pack_bf16(weights[2 * k + 1][0], weights[2 * k + 1][1]),
			pack_bf16(weights[2 * k + 1][2], weights[2 * k + 1][3]),
		};

#pragma unroll
		for (int n = 0; n < D / 16; n++)
		{
			uint32_t	b[4];

			load_transposed(b, values + (k * 16 + lane / 8 % 2 * 8 + lane % 8) * (D + PAD) + n * 16 + lane / 16 * 8);
			multiply_add(sum[2 * n], a, b[0], b[1]);
			multiply_add(sum[2 * n + 1], a, b[2], b[3]);
		}
	}
}

/*
 * Scores become weights: row 0 of a lane is its first two columns of each eight,
 * row 1 the others.  positions are those of the lane's rows.
 */
template<int D>
static __device__ __forceinline__ void
weigh(float (&scores)[TILE / 8][4], int first_key, const int (&positions)[2], float (&largest)[2], float (&total)[2],
	  float (&sum)[D / 8][4])
{
	const float scale = 1.4426950408889634f * rsqrtf((float) D);
	int			lane = (int) threadIdx.x % WARP;

#pragma unroll
	for (int row = 0; row < 2; row++)
	{
		float		most = largest[row];
		float		correction;

#pragma unroll
		for (int n = 0; n < TILE / 8; n++)
#pragma unroll
			for (int i = 0; i < 2; i++)
			{
				int			key = first_key + n * 8 + lane % 4 * 2 + i;
				float	   *score = &scores[n][row * 2 + i];

				*score = key <= positions[row] ? *score * scale : -INFINITY;
				most = fmaxf(most, *score);
			}
		most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 1));
		most = fmaxf(most, __shfl_xor_sync(ALL_LANES, most, 2));
		/* the first key is seen by all, so most is a number */
		correction = exp2f(largest[row] - most);
		largest[row] = most;
		total[row] *= correction;
#pragma unroll
		for (int n = 0; n < D / 8; n++)
		{
			sum[n][row * 2] *= correction;
			sum[n][row * 2 + 1] *= correction;
		}
#pragma unroll
		for (int n = 0; n < TILE / 8; n++)
#pragma unroll
			for (int i = 0; i < 2; i++)
			{
				float	   *score = &scores[n][row * 2 + i];

				*score = exp2f(*score - most);
				total[row] += *score;
			}
	}
}

template<int D>
static constexpr size_t TILE_BYTES = (size_t) TILE * (D + PAD) * sizeof(uint16_t);

template<int D>
__global__ void __launch_bounds__(THREADS)
prompt_kernel(struct cuda_attention attention, const uint16_t *qkv, struct cuda_prompt prompt, uint16_t *to)
{
	DYNAMIC_SHARED(memory);
	uint16_t   *tiles = (uint16_t *) memory;	/* [2] of keys, then [2] of values */
	constexpr int TILE_SIZE = TILE * (D + PAD);
	int			lane = (int) threadIdx.x % WARP;
	int			head = (int) blockIdx.y;
	int			kv_head = head / (attention.heads / attention.kv_heads);

	/* the last queries see the longest context: first, so that none ends alone */
	int			first = (int) (gridDim.x - 1 - blockIdx.x) * QUERIES;
	int			last = first + QUERIES < prompt.length ? first + QUERIES : prompt.length;
	int			context = prompt.position + last;
	int			n_tiles = (context + TILE - 1) / TILE;
	int64_t		row_width = (int64_t) (attention.heads + 2 * attention.kv_heads) * D;
	int64_t		first_row = (int64_t) blockIdx.z * prompt.length;
	int64_t		cache = ((int64_t) (prompt.request + (int) blockIdx.z) * attention.kv_heads + kv_head) *
		attention.capacity * D;
	const uint16_t *keys = attention.keys + cache;
	const uint16_t *values = attention.values + cache;
	uint32_t	queries[D / 16][4];
	float		sum[D / 8][4] = {};
	float		largest[2] = {-INFINITY, -INFINITY};
	float		total[2] = {0, 0};
	int			rows[2];
	int			positions[2];

	wait_for_previous();
	fetch_tile<D>(tiles, keys, 0, context);
	fetch_tile<D>(tiles + 2 * TILE_SIZE, values, 0, context);
	copy_commit();

#pragma unroll
	for (int i = 0; i < 2; i++)
	{
		rows[i] = first + (int) threadIdx.x / WARP * 16 + lane / 4 + i * 8;
		positions[i] = prompt.position + rows[i];
	}
#pragma unroll
	for (int k = 0; k < D / 16; k++)
#pragma unroll
		for (int i = 0; i < 4; i++)
		{
			int			row = rows[i % 2];
			int			column = k * 16 + i / 2 * 8 + lane % 4 * 2;

			queries[k][i] = row < last ?
				*(const uint32_t *) (qkv + (first_row + row) * row_width + head * D + column) : 0;
		}

	for (int tile = 0; tile < n_tiles; tile++)
	{
		int			other = (tile + 1) % 2;
		float		scores[TILE / 8][4];

		if (tile + 1 < n_tiles)
		{
			fetch_tile<D>(tiles + other * TILE_SIZE, keys, (tile + 1) * TILE, context);
			fetch_tile<D>(tiles + (2 + other) * TILE_SIZE, values, (tile + 1) * TILE, context);
			copy_commit();
			copy_wait<1>();
		}
		else
			copy_wait<0>();
		__syncthreads();
		multiply_keys<D>(tiles + tile % 2 * TILE_SIZE, queries, scores);
		weigh<D>(scores, tile * TILE, positions, largest, total, sum);
		multiply_values<D>(tiles + (2 + tile % 2) * TILE_SIZE, scores, sum);
		/* before what was read now is written again */
		__syncthreads();
	}

#pragma unroll
	for (int i = 0; i < 2; i++)
	{
		float		all = sum_lanes<4>(total[i]);
		uint16_t   *out = to + ((first_row + rows[i]) * attention.heads + head) * D + lane % 4 * 2;

		if (rows[i] >= last)
			continue;
#pragma unroll
		for (int n = 0; n < D / 8; n++)
			*(uint32_t *) (out + n * 8) = pack_bf16(sum[n][i * 2] / all, sum[n][i * 2 + 1] / all);
	}
}

template<int D>
static cudaError_t
start_place(const struct cuda_queue *queue, const struct cuda_attention *attention, uint16_t *qkv,
			const struct cuda_prompt *prompt)
{
	dim3		grid((unsigned) (prompt->requests * prompt->length),
					 (unsigned) parts_of(attention->heads + 2 * attention->kv_heads, WARPS));

	return launch(queue, place_kernel<D>, grid, THREADS, 0, *attention, qkv, *prompt);
}

cudaError_t
cuda_place(const struct cuda_queue *queue, const struct cuda_attention *attention, uint16_t *qkv,
		   const struct cuda_prompt *prompt)
{
	if (attention->d == 64)
		return start_place<64>(queue, attention, qkv, prompt);
	if (attention->d == 128)
		return start_place<128>(queue, attention, qkv, prompt);
	return cudaErrorInvalidValue;
}

template<int D>
static cudaError_t
start_attend(const struct cuda_queue *queue, const struct cuda_attention *attention, const uint16_t *qkv,
			 const struct cuda_prompt *prompt, uint16_t *to)
{
	dim3		grid((unsigned) parts_of(prompt->length, QUERIES), (unsigned) attention->heads, (unsigned) prompt->requests);

	return launch(queue, prompt_kernel<D>, grid, THREADS, 4 * TILE_BYTES<D>, *attention, qkv, *prompt, to);
}

cudaError_t
cuda_attend_prompt(const struct cuda_queue *queue, const struct cuda_attention *attention, const uint16_t *qkv,
				   const struct cuda_prompt *prompt, uint16_t *to)
{
	if (attention->d == 64)
		return start_attend<64>(queue, attention, qkv, prompt, to);
	if (attention->d == 128)
		return start_attend<128>(queue, attention, qkv, prompt, to);
	return cudaErrorInvalidValue;
}
