/*
 * cpu_vector.h: the compiler's generic vectors, as wide as the instructions
 * that it was allowed, and what the inner loops of cpu_kernels.c do with them.
 *
 * Only for cpu_kernels.c, which is compiled once per set of instructions:
 * everything here is static and inlined.
 */
#ifndef CPU_VECTOR_H
#define CPU_VECTOR_H

#include <stdint.h>
#include <string.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES 64
#elif defined(__AVX2__)
#define VECTOR_BYTES 32
#else
#define VECTOR_BYTES 16
#endif
#define LANES (VECTOR_BYTES / 4)

typedef float vector __attribute__((vector_size(VECTOR_BYTES)));
typedef int32_t ivector __attribute__((vector_size(VECTOR_BYTES)));
typedef uint32_t uvector __attribute__((vector_size(VECTOR_BYTES)));
typedef uint16_t half_vector __attribute__((vector_size(VECTOR_BYTES / 2)));

/* the same in memory: anywhere, and whatever was written there */
typedef float memory_vector __attribute__((vector_size(VECTOR_BYTES), aligned(4), may_alias));
typedef uint16_t memory_half __attribute__((vector_size(VECTOR_BYTES / 2), aligned(2), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vector
load(const float *from)
{
	return *(const memory_vector *) from;
}

INLINE void
store(float *to, vector value)
{
	*(memory_vector *) to = value;
}

/* fewer than LANES, at the end of a row; zeros after them */
INLINE vector
load_first(const float *from, int n)
{
	vector		value = {0};

	for (int i = 0; i < n; i++)
		value[i] = from[i];
	return value;
}

INLINE void
store_first(float *to, vector value, int n)
{
	for (int i = 0; i < n; i++)
		to[i] = value[i];
}

INLINE vector
load_bf16(const uint16_t *from)
{
	half_vector half = *(const memory_half *) from;

	return (vector) (__builtin_convertvector(half, uvector) << 16);
}

INLINE float
widen_one(uint16_t half)
{
	uint32_t	bits = (uint32_t) half << 16;
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

INLINE vector
splat(float value)
{
	return (vector){0} + value;
}

/* a where the mask is set, else b */
INLINE vector
choose(ivector mask, vector a, vector b)
{
	return (vector) ((mask & (ivector) a) | (~mask & (ivector) b));
}

INLINE vector
larger(vector a, vector b)
{
	return choose(a > b, a, b);
}

/* lane i of the result is lane i + by of the argument, round about; by is constant */
#define AT(i, by) (((i) + (by)) % LANES)
#define FOUR(i, by) AT(i, by), AT((i) + 1, by), AT((i) + 2, by), AT((i) + 3, by)
#if LANES == 16
#define ROTATED(by) FOUR(0, by), FOUR(4, by), FOUR(8, by), FOUR(12, by)
#elif LANES == 8
#define ROTATED(by) FOUR(0, by), FOUR(4, by)
#else
#define ROTATED(by) FOUR(0, by)
#endif
#define ROTATE(v, by) __builtin_shufflevector(v, v, ROTATED(by))

/* lanes of two vectors side by side, and the lanes of each four turned by some */
#define RUN(from) (from), (from) + 1, (from) + 2, (from) + 3
#define TURNED(from, by) (from) + (by), (from) + (1 + (by)) % 4, (from) + (2 + (by)) % 4, (from) + (3 + (by)) % 4
#if LANES == 16
#define LOW_HALVES RUN(0), RUN(4), RUN(16), RUN(20)
#define HIGH_HALVES RUN(8), RUN(12), RUN(24), RUN(28)
#define EVEN_QUARTERS RUN(0), RUN(8), RUN(16), RUN(24)
#define ODD_QUARTERS RUN(4), RUN(12), RUN(20), RUN(28)
#define ROTATE_FOURS(v, by) __builtin_shufflevector(v, v, TURNED(0, by), TURNED(4, by), TURNED(8, by), TURNED(12, by))
#elif LANES == 8
#define LOW_HALVES RUN(0), RUN(8)
#define HIGH_HALVES RUN(4), RUN(12)
#define ROTATE_FOURS(v, by) __builtin_shufflevector(v, v, TURNED(0, by), TURNED(4, by))
#endif

INLINE float
sum(vector v)
{
#if LANES >= 16
	v += ROTATE(v, 8);
#endif
#if LANES >= 8
	v += ROTATE(v, 4);
#endif
	v += ROTATE(v, 2);
	v += ROTATE(v, 1);
	return v[0];
}

/*
 * to[i] = sum(v[i × stride]) of n vectors, n a constant.  Several are added
 * together as long as that saves work; each in the order of sum().
 */
INLINE void
sum_each(const int n, const vector *v, int stride, float *to)
{
#if LANES == 16
	if (n == 4)
	{
		/* halves, then quarters: each quarter of d is one vector's */
		vector		a = __builtin_shufflevector(v[0], v[stride], LOW_HALVES) +
			__builtin_shufflevector(v[0], v[stride], HIGH_HALVES);
		vector		b = __builtin_shufflevector(v[2 * stride], v[3 * stride], LOW_HALVES) +
			__builtin_shufflevector(v[2 * stride], v[3 * stride], HIGH_HALVES);
		vector		d = __builtin_shufflevector(a, b, EVEN_QUARTERS) + __builtin_shufflevector(a, b, ODD_QUARTERS);

		d += ROTATE_FOURS(d, 2);
		d += ROTATE_FOURS(d, 1);
		for (int i = 0; i < 4; i++)
			to[i] = d[4 * i];
		return;
	}
#elif LANES == 8
	if (n == 2)
	{
		vector		a = __builtin_shufflevector(v[0], v[stride], LOW_HALVES) +
			__builtin_shufflevector(v[0], v[stride], HIGH_HALVES);

		a += ROTATE_FOURS(a, 2);
		a += ROTATE_FOURS(a, 1);
		to[0] = a[0];
		to[1] = a[4];
		return;
	}
#endif
	for (int i = 0; i < n; i++)
		to[i] = sum(v[i * stride]);
}

/* lanes of two vectors in turn, of their first halves and of their second ones */
#define PAIR(i) (i), (i) + LANES
#define TWO(i) PAIR(i), PAIR((i) + 1)
#if LANES == 16
#define ALTERNATE(from) TWO(from), TWO((from) + 2), TWO((from) + 4), TWO((from) + 6)
#elif LANES == 8
#define ALTERNATE(from) TWO(from), TWO((from) + 2)
#else
#define ALTERNATE(from) TWO(from)
#endif

/* LANES vectors as the rows of a matrix become its columns */
INLINE void
transpose_square(vector *v)
{
	vector		next[LANES];

#pragma GCC unroll 4
	for (int step = 1; step < LANES; step *= 2)
	{
#pragma GCC unroll 8
		for (int i = 0; i < LANES / 2; i++)
		{
			next[2 * i] = __builtin_shufflevector(v[i], v[i + LANES / 2], ALTERNATE(0));
			next[2 * i + 1] = __builtin_shufflevector(v[i], v[i + LANES / 2], ALTERNATE(LANES / 2));
		}
#pragma GCC unroll 16
		for (int i = 0; i < LANES; i++)
			v[i] = next[i];
	}
}

INLINE float
largest_lane(vector v)
{
#if LANES >= 16
	v = larger(v, ROTATE(v, 8));
#endif
#if LANES >= 8
	v = larger(v, ROTATE(v, 4));
#endif
	v = larger(v, ROTATE(v, 2));
	v = larger(v, ROTATE(v, 1));
	return v[0];
}

/*
 * exp(x) to about 1e-7 relative: x = n·ln 2 + f, a polynomial in f (Cephes'
 * expf), and n put into the exponent.
 */
INLINE vector
exponential(vector x)
{
	const vector low = splat(-87.0f);
	const vector high = splat(88.0f);
	const float magic = 12582912.0f;	/* 1.5 × 2^23 rounds to an integer */
	vector n,
		f,
		y;

	x = choose(x < low, low, x);
	x = choose(x > high, high, x);
	n = (x * 1.44269504088896341f + magic) - magic;
	f = x - n * 0.693359375f + n * 2.12194440e-4f;
	y = splat(1.9875691500e-4f);
	y = y * f + 1.3981999507e-3f;
	y = y * f + 8.3334519073e-3f;
	y = y * f + 4.1665795894e-2f;
	y = y * f + 1.6666665459e-1f;
	y = y * f + 5.0000001201e-1f;
	y = y * f * f + f + 1.0f;
	return y * (vector) ((__builtin_convertvector(n, ivector) + 127) << 23);
}

#endif							/* CPU_VECTOR_H */
