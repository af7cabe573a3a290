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

/* the same for what is left over at the end of a row */
INLINE float
exponential_one(float x)
{
	return exponential(splat(x))[0];
}

#endif							/* CPU_VECTOR_H */
