/*
 * cpu_linear.h: activations times weights.
 */
#ifndef CPU_LINEAR_H
#define CPU_LINEAR_H

#include "cpu_state.h"

/* y[m × n] (+)= x[m × k] · transposed weights[n × k]; rows of y are ldy apart */
extern void cpu_linear(struct backend *cpu, const void *weights, int n, int k,
					   const float *x, int m, float *y, int ldy, bool accumulate);

/* out[m × ffn] = silu(x · transposed gate) · (x · transposed up) */
extern void cpu_gate_up(struct backend *cpu, const void *gate_up,
						const float *x, int m, float *out);

/* floats that a thread of these needs, for that many rows */
extern size_t cpu_linear_scratch(const struct architecture *a, enum precision precision, int rows);

#endif							/* CPU_LINEAR_H */
