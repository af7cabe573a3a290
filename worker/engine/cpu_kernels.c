/*
 * cpu_kernels.c: the inner loops of the CPU backend.
 *
 * Compiled once per set of vector instructions, with KERNELS set to its name.
 * Nothing here may be called, nor even initialised, unless the CPU has them.
 *
 * A result element is always summed in the same order, whatever the number of
 * rows or columns that are worked on together, so that results do not depend
 * on how the work was shared out.
 */
#include "cpu_kernels.h"

#include <math.h>
#include <string.h>

#include "cpu_vector.h"

/* the tile of a product that fits into the registers: columns and rows */
#if LANES == 16
#define WIDEST_TILE 6
#define MOST_ROWS 4
#else
#define WIDEST_TILE 4
#define MOST_ROWS 2
#endif
#define MOST_TOTALS 24			/* MOST_ROWS × WIDEST_TILE, or 2 × 4 */

/* bytes: memory takes about as long to answer as these take to be used */
#define LEAST_AHEAD 8192

/*
 * One tile of a product: R rows × C columns kept in registers, each as U sums
 * that take turns along k.  R, C, U and bf16 are constants wherever this is
 * expanded.
 */
INLINE void
product_tile(const int R, const int C, const int U, const bool bf16,
			 const void *w, size_t ldw, int k, const float *x, size_t ldx,
			 float *y, size_t ldy, bool accumulate)
{
	const float *wide = w;
	const uint16_t *half = w;
	const size_t size = bf16 ? 2 : 4;
	const size_t tile = (size_t) R * ldw * size;
	const char *ahead = (const char *) w + (tile > LEAST_AHEAD ? tile : LEAST_AHEAD);
	vector		total[MOST_TOTALS];
	int			i = 0;

#define LOAD_ROW(r, at) (bf16 ? load_bf16(half + (size_t) (r) *ldw + (at)) : load(wide + (size_t) (r) *ldw + (at)))
#define ADD_TILE(u) \
	do \
	{ \
		vector rows[MOST_ROWS]; \
\
		_Pragma("GCC unroll 8") for (int r = 0; r < R; r++) \
		{ \
			rows[r] = LOAD_ROW(r, i + (u) *LANES); \
			__builtin_prefetch(ahead + ((size_t) r * ldw + (size_t) (i + (u) *LANES)) * size); \
		} \
		_Pragma("GCC unroll 8") for (int c = 0; c < C; c++) \
		{ \
			vector column = load(x + (size_t) c * ldx + i + (u) *LANES); \
\
			_Pragma("GCC unroll 8") for (int r = 0; r < R; r++) \
				total[((u) *R + r) * C + c] += rows[r] * column; \
		} \
	} while (0)

#pragma GCC unroll 32
	for (int t = 0; t < U * R * C; t++)
		total[t] = (vector){0};
	for (; i + U * LANES <= k; i += U * LANES)
	{
#pragma GCC unroll 4
		for (int u = 0; u < U; u++)
			ADD_TILE(u);
	}
	for (; U > 1 && i + LANES <= k; i += LANES)
		ADD_TILE(0);
#pragma GCC unroll 8
	for (int c = 0; c < C; c++)
	{
		float		results[MOST_ROWS];
		float	   *to = y + (size_t) c * ldy;

#pragma GCC unroll 4
		for (int u = 1; u < U; u++)
#pragma GCC unroll 8
			for (int r = 0; r < R; r++)
				total[r * C + c] += total[(u * R + r) * C + c];
		sum_each(R, total + c, C, results);
#pragma GCC unroll 8
		for (int r = 0; r < R; r++)
		{
			for (int j = i; j < k; j++)
				results[r] += (bf16 ? widen_one(half[(size_t) r * ldw + j]) : wide[(size_t) r * ldw + j]) *
					x[(size_t) c * ldx + j];
			to[r] = accumulate ? to[r] + results[r] : results[r];
		}
	}
#undef ADD_TILE
#undef LOAD_ROW
}

/*
 * All rows for C columns.  Few rows at a time read the weights as one stream,
 * which memory likes best; more rows use each column for several products,
 * which is what many columns need.
 */
INLINE void
product_columns(const int R, const int C, const int U, const bool bf16,
				const void *w, size_t ldw, int rows, int k, const float *x, size_t ldx,
				float *y, size_t ldy, bool accumulate)
{
	const size_t row_bytes = ldw * (bf16 ? 2 : 4);
	const char *at = w;
	int			r = 0;

	for (; r + R <= rows; r += R)
		product_tile(R, C, U, bf16, at + (size_t) r * row_bytes, ldw, k, x, ldx, y + r, ldy, accumulate);
	for (; R > 1 && r < rows; r++)
		product_tile(1, C, U, bf16, at + (size_t) r * row_bytes, ldw, k, x, ldx, y + r, ldy, accumulate);
}

/* the next columns to be taken together; seven and eight go as four and the rest */
INLINE int
tile_width(int columns)
{
	if (columns <= WIDEST_TILE)
		return columns;
	return WIDEST_TILE == 6 && columns > 8 ? 6 : 4;
}

/* a group of rows stays in the first-level cache while the columns go by */
#define ROW_GROUP 16

INLINE void
product(const bool bf16, const void *w, size_t ldw, int rows, int k,
		const float *x, size_t ldx, int columns, float *y, size_t ldy, bool accumulate)
{
	for (int first = 0; first < rows; first += ROW_GROUP)
	{
		int			n = rows - first < ROW_GROUP ? rows - first : ROW_GROUP;
		const char *from = (const char *) w + (size_t) first * ldw * (bf16 ? 2 : 4);

		for (int c = 0, taken; c < columns; c += taken)
		{
			const float *column = x + (size_t) c * ldx;
			float	   *to = y + (size_t) c * ldy + first;

#define COLUMNS(R, C, U) product_columns(R, C, U, bf16, from, ldw, n, k, column, ldx, to, ldy, accumulate)
			taken = tile_width(columns - c);
			switch (taken)
			{
				case 1:
					COLUMNS(1, 1, 4);
					break;
				case 2:
					COLUMNS(1, 2, 4);
					break;
				case 3:
					COLUMNS(MOST_ROWS, 3, 1);
					break;
				case 4:
					COLUMNS(MOST_ROWS, 4, 1);
					break;
#if WIDEST_TILE == 6
				case 5:
					COLUMNS(MOST_ROWS, 5, 1);
					break;
				case 6:
					COLUMNS(MOST_ROWS, 6, 1);
					break;
#endif
			}
#undef COLUMNS
		}
	}
}

static void
product_f32(const float *w, size_t ldw, int rows, int k, const float *x, size_t ldx,
			int columns, float *y, size_t ldy, bool accumulate)
{
	product(false, w, ldw, rows, k, x, ldx, columns, y, ldy, accumulate);
}

static void
product_bf16(const uint16_t *w, size_t ldw, int rows, int k, const float *x, size_t ldx,
			 int columns, float *y, size_t ldy, bool accumulate)
{
	product(true, w, ldw, rows, k, x, ldx, columns, y, ldy, accumulate);
}

/* the most columns of a weighted sum that are worked on together: four vectors of each are in registers */
#define WIDEST_SUM (LANES == 16 ? 4 : 2)

/*
 * V vectors of C columns of the result, in registers while all of p goes by: v,
 * which is what must come from memory, is read once for all of them.  C, V and
 * bf16 are constants wherever this is expanded.
 */
INLINE void
weighted_tile(const int C, const int V, const bool bf16, const float *p, size_t ldp, int n,
			  const void *v, int width, float *out, size_t ldout)
{
	const float *wide = v;
	const uint16_t *half = v;
	const size_t size = bf16 ? 2 : 4;
	vector		total[16];

#pragma GCC unroll 16
	for (int i = 0; i < C * V; i++)
		total[i] = (vector){0};
	for (int t = 0; t < n; t++)
	{
		size_t		row = (size_t) t * (size_t) width;
		vector		values[4];

#pragma GCC unroll 4
		for (int i = 0; i < V; i++)
		{
			size_t		at = row + (size_t) (i * LANES);

			values[i] = bf16 ? load_bf16(half + at) : load(wide + at);
			__builtin_prefetch((const char *) v + at * size + LEAST_AHEAD);
		}
#pragma GCC unroll 4
		for (int c = 0; c < C; c++)
#pragma GCC unroll 4
			for (int i = 0; i < V; i++)
				total[c * V + i] += p[(size_t) c * ldp + (size_t) t] * values[i];
	}
#pragma GCC unroll 4
	for (int c = 0; c < C; c++)
#pragma GCC unroll 4
		for (int i = 0; i < V; i++)
			store(out + (size_t) c * ldout + i * LANES, total[c * V + i]);
}

INLINE void
weighted_columns(const int C, const bool bf16, const float *p, size_t ldp, int n,
				 const void *v, int width, float *out, size_t ldout)
{
	const char *at = v;
	const size_t size = bf16 ? 2 : 4;
	int			j = 0;

	for (; j + 4 * LANES <= width; j += 4 * LANES)
		weighted_tile(C, 4, bf16, p, ldp, n, at + (size_t) j * size, width, out + j, ldout);
	for (; j + LANES <= width; j += LANES)
		weighted_tile(C, 1, bf16, p, ldp, n, at + (size_t) j * size, width, out + j, ldout);
	for (; j < width; j++)
		for (int c = 0; c < C; c++)
		{
			float		total = 0;

			for (int t = 0; t < n; t++)
			{
				size_t		element = (size_t) t * (size_t) width + (size_t) j;

				total += p[(size_t) c * ldp + (size_t) t] *
					(bf16 ? widen_one(((const uint16_t *) v)[element]) : ((const float *) v)[element]);
			}
			out[(size_t) c * ldout + (size_t) j] = total;
		}
}

INLINE void
weighted_sum(const bool bf16, const float *p, size_t ldp, int columns, int n,
			 const void *v, int width, float *out, size_t ldout)
{
	for (int c = 0, taken; c < columns; c += taken)
	{
		const float *weights = p + (size_t) c * ldp;
		float	   *to = out + (size_t) c * ldout;

		taken = columns - c < WIDEST_SUM ? columns - c : WIDEST_SUM;
		switch (taken)
		{
			case 1:
				weighted_columns(1, bf16, weights, ldp, n, v, width, to, ldout);
				break;
			case 2:
				weighted_columns(2, bf16, weights, ldp, n, v, width, to, ldout);
				break;
#if LANES == 16
			case 3:
				weighted_columns(3, bf16, weights, ldp, n, v, width, to, ldout);
				break;
			case 4:
				weighted_columns(4, bf16, weights, ldp, n, v, width, to, ldout);
				break;
#endif
		}
	}
}

static void
weighted_sum_f32(const float *p, size_t ldp, int columns, int n, const float *v, int width, float *out, size_t ldout)
{
	weighted_sum(false, p, ldp, columns, n, v, width, out, ldout);
}

static void
weighted_sum_bf16(const float *p, size_t ldp, int columns, int n, const uint16_t *v, int width, float *out,
				  size_t ldout)
{
	weighted_sum(true, p, ldp, columns, n, v, width, out, ldout);
}

static float
maximum(const float *x, int n)
{
	vector		most = splat(x[0]);
	float		result;
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
		most = larger(most, load(x + i));
	result = largest_lane(most);
	for (; i < n; i++)
		result = x[i] > result ? x[i] : result;
	return result;
}

static float
exponentials(float *s, int n, float scale, float *largest)
{
	float		most = maximum(s, n) * scale;
	vector		total = {0};
	float		result;
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		vector		e = exponential(load(s + i) * scale - most);

		store(s + i, e);
		total += e;
	}
	result = sum(total);
	for (; i < n; i++)
	{
		s[i] = exponential_one(s[i] * scale - most);
		result += s[i];
	}
	*largest = most;
	return result;
}

static void
swiglu(const float *gate, const float *up, float *out, int n)
{
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
	{
		vector		g = load(gate + i);

		store(out + i, g / (1.0f + exponential(-g)) * load(up + i));
	}
	for (; i < n; i++)
		out[i] = gate[i] / (1.0f + exponential_one(-gate[i])) * up[i];
}

static void
rmsnorm(const float *x, const float *weight, float *out, int n, float epsilon)
{
	vector		squares = {0};
	float		total;
	float		factor;
	int			i = 0;

	for (; i + LANES <= n; i += LANES)
		squares += load(x + i) * load(x + i);
	total = sum(squares);
	for (; i < n; i++)
		total += x[i] * x[i];
	factor = 1.0f / sqrtf(total / (float) n + epsilon);
	for (i = 0; i + LANES <= n; i += LANES)
		store(out + i, load(x + i) * factor * load(weight + i));
	for (; i < n; i++)
		out[i] = x[i] * factor * weight[i];
}

static void
rotate_pairs(float *x, const float *cosines, const float *sines, int half)
{
	for (int i = 0; i < half; i++)
	{
		float		first = x[i];
		float		second = x[i + half];

		x[i] = first * cosines[i] - second * sines[i];
		x[i + half] = second * cosines[i] + first * sines[i];
	}
}

static void
add(float *to, const float *from, int n)
{
	for (int i = 0; i < n; i++)
		to[i] += from[i];
}

static void
widen(const uint16_t *from, float *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
		to[i] = widen_one(from[i]);
}

/* to the nearest, ties to even; what comes here is finite */
static void
narrow(const float *from, uint16_t *to, size_t n)
{
	for (size_t i = 0; i < n; i++)
	{
		uint32_t	bits;

		memcpy(&bits, from + i, sizeof(bits));
		to[i] = (uint16_t) ((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
	}
}

static int
argmax(const float *x, int n)
{
	float		most = maximum(x, n);

	for (int i = 0; i < n; i++)
		if (x[i] == most)
			return i;
	return 0;
}

static float
read_memory(const void *from, size_t apart, size_t bytes)
{
	vector		total[CPU_STREAMS] = {0};

	for (size_t i = 0; i < bytes; i += 128)
#pragma GCC unroll 4
		for (int stream = 0; stream < CPU_STREAMS; stream++)
		{
			const char *at = (const char *) from + (size_t) stream * apart + i;

			__builtin_prefetch(at + CPU_STREAM_AHEAD);
			__builtin_prefetch(at + CPU_STREAM_AHEAD + 64);
#pragma GCC unroll 8
			for (int j = 0; j < 128; j += VECTOR_BYTES)
				total[stream] += load((const float *) (at + j));
		}
	return sum(total[0] + total[1] + total[2] + total[3]);
}

static void
fill(float *to, uint64_t key, int n, float scale, float offset)
{
	for (int i = 0; i < n; i++)
	{
		uint32_t	h = (uint32_t) i * 0x9e3779b9u + (uint32_t) key;

		h = (h ^ h >> 16) * 0x7feb352du;
		h = (h ^ h >> 15) * 0x846ca68bu;
		h ^= h >> 16;
		to[i] = offset + scale * ((float) ((int32_t) h >> 8) * 0x1p-23f);
	}
}

#define PASTE2(a, b) a##b
#define PASTE(a, b) PASTE2(a, b)
#define QUOTE2(a) #a
#define QUOTE(a) QUOTE2(a)

const struct cpu_kernels PASTE(cpu_kernels_, KERNELS) = {
	.name = QUOTE(KERNELS),
	.product_f32 = product_f32,
	.product_bf16 = product_bf16,
	.weighted_sum_f32 = weighted_sum_f32,
	.weighted_sum_bf16 = weighted_sum_bf16,
	.exponentials = exponentials,
	.swiglu = swiglu,
	.rmsnorm = rmsnorm,
	.rotate_pairs = rotate_pairs,
	.add = add,
	.widen = widen,
	.narrow = narrow,
	.argmax = argmax,
	.read = read_memory,
	.fill = fill,
};
