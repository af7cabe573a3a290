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

/* the tile of a product that fits into the registers: columns, and streams that are worked on together */
#if LANES == 16
#define WIDEST_TILE 6
#define TILE_STREAMS(columns) CPU_STREAMS
#else
#define WIDEST_TILE 4
#define TILE_STREAMS(columns) ((columns) <= 2 ? CPU_STREAMS : 2)
#endif

/* what is left of a row after its vectors; rare, so it may stay out of the way */
static __attribute__((noinline)) float
product_rest(const bool bf16, const void *w, const float *x, int first, int k)
{
	float		result = 0;

	for (int i = first; i < k; i++)
		result += (bf16 ? widen_one(((const uint16_t *) w)[i]) : ((const float *) w)[i]) * x[i];
	return result;
}

/*
 * One tile of a product, in registers: a row of each of S streams × C columns.
 * S, C and bf16 are constants wherever this is expanded.
 */
INLINE void
product_tile(const int S, const int C, const bool bf16, const struct cpu_product *p,
			 const struct cpu_stream *streams, int row, int column)
{
	const size_t size = bf16 ? 2 : 4;
	const float *x = p->x + (size_t) column * p->ldx;
	const char *w[CPU_STREAMS];
	vector		total[CPU_STREAMS * WIDEST_TILE];
	int			i = 0;

#pragma GCC unroll 4
	for (int s = 0; s < S; s++)
		w[s] = (const char *) streams[s].w + (size_t) row * (size_t) p->k * size;
#pragma GCC unroll 32
	for (int t = 0; t < S * C; t++)
		total[t] = (vector){0};
	for (; i + LANES <= p->k; i += LANES)
	{
		vector		rows[CPU_STREAMS];

#pragma GCC unroll 4
		for (int s = 0; s < S; s++)
		{
			const char *at = w[s] + (size_t) i * size;

			rows[s] = bf16 ? load_bf16((const uint16_t *) at) : load((const float *) at);
			__builtin_prefetch(at + CPU_STREAM_AHEAD);
		}
#pragma GCC unroll 8
		for (int c = 0; c < C; c++)
		{
			vector		values = load(x + (size_t) c * p->ldx + i);

#pragma GCC unroll 4
			for (int s = 0; s < S; s++)
				total[s * C + c] += rows[s] * values;
		}
	}
#pragma GCC unroll 8
	for (int c = 0; c < C; c++)
	{
		float		results[CPU_STREAMS];

		sum_each(S, total + c, C, results);
#pragma GCC unroll 4
		for (int s = 0; s < S; s++)
		{
			float	   *to = streams[s].y + (size_t) (column + c) * p->ldy + row;

			if (i < p->k)
				results[s] += product_rest(bf16, w[s], x + (size_t) c * p->ldx, i, p->k);
			*to = p->accumulate ? *to + results[s] : results[s];
		}
	}
}

/* C columns of the rows from first on, of all streams that have them */
INLINE void
product_columns(const int C, const bool bf16, const struct cpu_product *p, int first, int end, int column)
{
	const int	S = TILE_STREAMS(C);

	for (int row = first; row < end; row++)
		for (int s = 0; s < CPU_STREAMS; s += S)
		{
			const struct cpu_stream *streams = p->streams + s;
			bool		all = true;

#pragma GCC unroll 4
			for (int i = 0; i < S; i++)
				all = all && row < streams[i].rows;
			if (all)
				product_tile(S, C, bf16, p, streams, row, column);
			for (int i = 0; i < S && !all; i++)
				if (row < streams[i].rows)
					product_tile(1, C, bf16, p, streams + i, row, column);
		}
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
#define ROW_GROUP 4

INLINE void
product(const bool bf16, const struct cpu_product *p)
{
	int			rows = p->streams[0].rows;

	for (int first = 0; first < rows; first += ROW_GROUP)
	{
		int			end = first + ROW_GROUP < rows ? first + ROW_GROUP : rows;

		for (int c = 0, taken; c < p->columns; c += taken)
		{
			taken = tile_width(p->columns - c);
			switch (taken)
			{
				case 1:
					product_columns(1, bf16, p, first, end, c);
					break;
				case 2:
					product_columns(2, bf16, p, first, end, c);
					break;
				case 3:
					product_columns(3, bf16, p, first, end, c);
					break;
				case 4:
					product_columns(4, bf16, p, first, end, c);
					break;
#if WIDEST_TILE == 6
				case 5:
					product_columns(5, bf16, p, first, end, c);
					break;
				case 6:
					product_columns(6, bf16, p, first, end, c);
					break;
#endif
			}
		}
	}
}

static void
product_f32(const struct cpu_product *p)
{
	product(false, p);
}

static void
product_bf16(const struct cpu_product *p)
{
	product(true, p);
}

/* the most columns of a sum that are worked on together: four vectors of each are in registers */
#define WIDEST_SUM (LANES == 16 ? 6 : 2)

/*
 * V vectors of C columns of the result, in registers while the rows of all
 * streams go by: these, which must come from memory, are read once for all of
 * them.  C, V and bf16 are constants wherever this is expanded.
 */
INLINE void
sum_tile(const int C, const int V, const bool bf16, const struct cpu_sum *p, int column, int first)
{
	const size_t size = bf16 ? 2 : 4;
	vector		total[4 * WIDEST_SUM];

#define ADD_ROW(stream) \
	do \
	{ \
		const float *y = (stream)->y + (size_t) column * p->ldy + row; \
		const char *at = (const char *) (stream)->w + ((size_t) row * (size_t) p->k + (size_t) first) * size; \
		vector values[4]; \
\
		_Pragma("GCC unroll 4") for (int i = 0; i < V; i++, at += LANES * size) \
		{ \
			values[i] = bf16 ? load_bf16((const uint16_t *) at) : load((const float *) at); \
			__builtin_prefetch(at + CPU_STREAM_AHEAD); \
		} \
		_Pragma("GCC unroll 6") for (int c = 0; c < C; c++) \
			_Pragma("GCC unroll 4") for (int i = 0; i < V; i++) \
				total[c * V + i] += y[(size_t) c * p->ldy] * values[i]; \
	} while (0)

#pragma GCC unroll 24
	for (int i = 0; i < C * V; i++)
		total[i] = (vector){0};
	for (int row = 0; row < p->streams[CPU_STREAMS - 1].rows; row++)
#pragma GCC unroll 4
		for (int s = 0; s < CPU_STREAMS; s++)
			ADD_ROW(&p->streams[s]);
	for (const struct cpu_stream *stream = p->streams; stream < p->streams + CPU_STREAMS; stream++)
		for (int row = p->streams[CPU_STREAMS - 1].rows; row < stream->rows; row++)
			ADD_ROW(stream);
#undef ADD_ROW
#pragma GCC unroll 6
	for (int c = 0; c < C; c++)
#pragma GCC unroll 4
		for (int i = 0; i < V; i++)
			store(p->out + (size_t) (column + c) * p->ldout + first + i * LANES, total[c * V + i]);
}

/* one element of the result */
static float
sum_element(const bool bf16, const struct cpu_sum *p, int column, int i)
{
	float		total = 0;

	for (const struct cpu_stream *stream = p->streams; stream < p->streams + CPU_STREAMS; stream++)
		for (int row = 0; row < stream->rows; row++)
		{
			size_t		at = (size_t) row * (size_t) p->k + (size_t) i;

			total += stream->y[(size_t) column * p->ldy + (size_t) row] *
				(bf16 ? widen_one(((const uint16_t *) stream->w)[at]) : ((const float *) stream->w)[at]);
		}
	return total;
}

INLINE void
sum_columns(const int C, const bool bf16, const struct cpu_sum *p, int column)
{
	int			i = 0;

	for (; i + 4 * LANES <= p->k; i += 4 * LANES)
		sum_tile(C, 4, bf16, p, column, i);
	for (; i + LANES <= p->k; i += LANES)
		sum_tile(C, 1, bf16, p, column, i);
	for (; i < p->k; i++)
		for (int c = column; c < column + C; c++)
			p->out[(size_t) c * p->ldout + (size_t) i] = sum_element(bf16, p, c, i);
}

/* the next columns to be taken together, as tile_width() */
INLINE int
sum_width(int columns)
{
	if (columns <= WIDEST_SUM)
		return columns;
	return WIDEST_SUM == 6 && columns <= 8 ? 4 : WIDEST_SUM;
}

INLINE void
sum_rows(const bool bf16, const struct cpu_sum *p)
{
	for (int c = 0, taken; c < p->columns; c += taken)
	{
		taken = sum_width(p->columns - c);
		switch (taken)
		{
			case 1:
				sum_columns(1, bf16, p, c);
				break;
			case 2:
				sum_columns(2, bf16, p, c);
				break;
#if LANES == 16
			case 3:
				sum_columns(3, bf16, p, c);
				break;
			case 4:
				sum_columns(4, bf16, p, c);
				break;
			case 5:
				sum_columns(5, bf16, p, c);
				break;
			case 6:
				sum_columns(6, bf16, p, c);
				break;
#endif
		}
	}
}

static void
sum_f32(const struct cpu_sum *p)
{
	sum_rows(false, p);
}

static void
sum_bf16(const struct cpu_sum *p)
{
	sum_rows(true, p);
}

/* square by square; what the matrix has none of is zeros, and written only within width */
INLINE void
transpose(const bool bf16, const void *from, size_t ld, int rows, int columns, float *to, int width)
{
	for (int c = 0; c < columns; c += LANES)
		for (int r = 0; r < width; r += LANES)
		{
			vector		square[LANES] = {0};

			for (int i = 0; i < LANES && r + i < rows; i++)
			{
				size_t		at = (size_t) (r + i) * ld + (size_t) c;
				const uint16_t *halves = (const uint16_t *) from + at;
				const float *floats = (const float *) from + at;

				if (c + LANES <= columns)
					square[i] = bf16 ? load_bf16(halves) : load(floats);
				else
					for (int j = 0; j < columns - c; j++)
						square[i][j] = bf16 ? widen_one(halves[j]) : floats[j];
			}
			transpose_square(square);
			for (int j = 0; j < LANES && c + j < columns; j++)
				store(to + (size_t) (c + j) * (size_t) width + r, square[j]);
		}
}

static void
transpose_f32(const void *from, size_t ld, int rows, int columns, float *to, int width)
{
	transpose(false, from, ld, rows, columns, to, width);
}

static void
transpose_bf16(const void *from, size_t ld, int rows, int columns, float *to, int width)
{
	transpose(true, from, ld, rows, columns, to, width);
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
	if (i < n)
	{
		vector		e = exponential(load_first(s + i, n - i) * scale - most);

		store_first(s + i, e, n - i);
		for (; i < n; i++)
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
	if (i < n)
	{
		vector		g = load_first(gate + i, n - i);

		store_first(out + i, g / (1.0f + exponential(-g)) * load_first(up + i, n - i), n - i);
	}
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
	.sum_f32 = sum_f32,
	.sum_bf16 = sum_bf16,
	.transpose_f32 = transpose_f32,
	.transpose_bf16 = transpose_bf16,
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
