/*
 * cpu_rates.h: what this machine reaches without a model.
 */
#ifndef CPU_RATES_H
#define CPU_RATES_H

#include "cpu_state.h"

/* the sizes of matrices that are multiplied, and the bytes that this takes for a while */
#define CPU_SMALLEST_MATRIX 512
#define CPU_LARGEST_MATRIX 2048
#define CPU_RATES_BYTES ((int64_t) 3 * CPU_LARGEST_MATRIX * CPU_LARGEST_MATRIX * 4)

/* the best rate seen in about that time; NaN where there is nothing to measure it on */
extern double cpu_rate(struct backend *cpu, enum backend_rate which, double seconds);

/* one pass of what RATE_READ repeats: what a decode step at the end of the context reads; answers its bytes */
extern size_t cpu_read_once(struct backend *cpu);

/* a square matrix product by all threads, what RATE_MATRIX repeats; once answers its FLOPs */
struct cpu_square
{
	struct backend *cpu;
	int			size;
	float	   *matrices;		/* two factors and their product */
};

extern bool cpu_square_open(struct backend *cpu, int size, struct cpu_square *square);
extern double cpu_square_once(struct cpu_square *square);
extern void cpu_square_close(struct cpu_square *square);

#endif							/* CPU_RATES_H */
