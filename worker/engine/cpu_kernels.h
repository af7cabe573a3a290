/*
 * cpu_kernels.h: the inner loops of the CPU backend, as one table.
 *
 * cpu_kernels.c is compiled once for each set of vector instructions; which
 * table is used is decided at run time, from what the CPU has.  Matrices are
 * row-major, a leading dimension (ld...) is the distance between two rows in
 * elements.  "bf16" weights are the upper halves of floats.
 */
#ifndef CPU_KERNELS_H
#define CPU_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Memory is read as that many streams, which begin some way from each other and
 * are gone through side by side: it answers sooner than to one, for what a CPU
 * asks for ahead of time ends at a page, and each stream has its own.
 */
#define CPU_STREAMS 4

/* how far ahead a stream is asked for, in bytes */
#define CPU_STREAM_AHEAD 2048

/* rows of floats or halves, and a float of each for the first column */
struct cpu_stream
{
	const void *w;
	float	   *y;
	int			rows;
};

/*
 * For each stream, its rows r and columns c: y[c × ldy + r] = Σ_i w[r × k + i] · x[c × ldx + i]; with accumulate it
 * is added to y.
 */
struct cpu_product
{
	struct cpu_stream streams[CPU_STREAMS]; /* the first has the most rows */
	int			k;
	const float *x;
	size_t		ldx;
	int			columns;
	size_t		ldy;
	bool		accumulate;
};

/* out[c × ldout + i] = Σ_r y[c × ldy + r] · w[r × k + i], over the rows r of all streams, for columns c */
struct cpu_sum
{
	struct cpu_stream streams[CPU_STREAMS]; /* the last has the fewest rows */
	int			k;
	int			columns;
	size_t		ldy;
	float	   *out;
	size_t		ldout;
};

/* cuts n rows that follow each other */
static inline void
cpu_cut(struct cpu_stream *streams, const void *w, size_t row_bytes, int n, float *y)
{
	int			piece = (n + CPU_STREAMS - 1) / CPU_STREAMS;

	for (int i = 0; i < CPU_STREAMS; i++)
	{
		int			first = i * piece < n ? i * piece : n;

		streams[i] = (struct cpu_stream){(const char *) w + (size_t) first * row_bytes, y + first,
										 n - first < piece ? n - first : piece};
	}
}

struct cpu_kernels
{
	const char *name;

	void (*product_f32)(const struct cpu_product *product);
	void (*product_bf16)(const struct cpu_product *product);

	void (*sum_f32)(const struct cpu_sum *sum);
	void (*sum_bf16)(const struct cpu_sum *sum);

	/* to[c × width + r] = from[r × ld + c]; zeros from row rows to width, a multiple of 16 */
	void (*transpose_f32)(const void *from, size_t ld, int rows, int columns, float *to, int width);
	void (*transpose_bf16)(const void *from, size_t ld, int rows, int columns, float *to, int width);

	/* s[i] = exp(scale · s[i] − largest); answers their sum */
	float (*exponentials)(float *s, int n, float scale, float *largest);

	/* out = gate · sigmoid(gate) · up; out may be gate */
	void (*swiglu)(const float *gate, const float *up, float *out, int n);

	/* out = x ÷ rms(x) · weight; out may be x */
	void (*rmsnorm)(const float *x, const float *weight, float *out, int n, float epsilon);

	/* turns the pairs (x[i], x[i + half]) by the angles given as cos and sin */
	void (*rotate_pairs)(float *x, const float *cosines, const float *sines, int half);

	void (*add)(float *to, const float *from, int n);
	void (*widen)(const uint16_t *from, float *to, size_t n);
	void (*narrow)(const float *from, uint16_t *to, size_t n);

	/* the first index of the largest value */
	int (*argmax)(const float *x, int n);

	/* reads bytes (a multiple of 128) of each stream and nothing else; the sum keeps the compiler honest */
	float (*read)(const void *from, size_t apart, size_t bytes);

	/* one row of synthetic weights, see model.c */
	void (*fill)(float *to, uint64_t key, int n, float scale, float offset);
};

extern const struct cpu_kernels cpu_kernels_plain;
#if defined(__x86_64__)
extern const struct cpu_kernels cpu_kernels_avx2;
extern const struct cpu_kernels cpu_kernels_avx512;

/* exactly what the sets above were compiled for */
static inline bool
cpu_has_avx2(void)
{
	return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static inline bool
cpu_has_avx512(void)
{
	return cpu_has_avx2() &&
		__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
		__builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

#endif							/* CPU_KERNELS_H */
