/*
 * cpu_blas.h: OpenBLAS, found at run time or not at all.
 */
#ifndef CPU_BLAS_H
#define CPU_BLAS_H

#include <stdbool.h>
#include <stddef.h>

/* cblas_sgemm, whose enumerations are plain integers in its ABI */
typedef void (*blas_sgemm)(int order, int transpose_a, int transpose_b,
						   int m, int n, int k,
						   float alpha, const float *a, int lda,
						   const float *b, int ldb,
						   float beta, float *c, int ldc);

#define BLAS_ROW_MAJOR 101
#define BLAS_NO_TRANSPOSE 111
#define BLAS_TRANSPOSE 112

struct cpu_blas
{
	blas_sgemm	sgemm;			/* NULL: there is no usable OpenBLAS */
	char		library[256];	/* its file, or why there is none */
	char		corename[64];	/* whose kernels it runs, "" if unknown */
	char		version[256];
};

/*
 * Loads OpenBLAS for callers that bring their own threads: each call runs in
 * the thread that makes it.  The library stays loaded until the process ends.
 * Changes the environment, so call it before other threads read that.
 */
extern struct cpu_blas cpu_blas_load(bool wanted, int threads);

#endif							/* CPU_BLAS_H */
