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

struct cpu_kernels
{
	const char *name;

	/*
	 * y[c × ldy + r] = Σ_i w[r × ldw + i] · x[c × ldx + i], for rows r and
	 * columns c; with accumulate it is added to y.
	 */
	void (*product_f32)(const float *w, size_t ldw, int rows, int k,
						const float *x, size_t ldx, int columns,
						float	   *y, size_t ldy, bool accumulate);
	void (*product_bf16)(const uint16_t *w, size_t ldw, int rows, int k,
						 const float *x, size_t ldx, int columns,
						 float *y, size_t ldy, bool accumulate);

	/* out[c × ldout + j] = Σ_t p[c × ldp + t] · v[t × width + j], for columns c and n positions t */
	void (*weighted_sum_f32)(const float *p, size_t ldp, int columns, int n,
							 const float *v, int width, float *out, size_t ldout);
	void (*weighted_sum_bf16)(const float *p, size_t ldp, int columns, int n,
							  const uint16_t *v, int width, float *out, size_t ldout);

	/* s[i] = exp(scale · s[i] − largest); answers their sum */
	float (*exponentials)(float *s, int n, float scale, float *largest);

	/* out = gate · sigmoid(gate) · up */
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
