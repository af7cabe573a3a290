/*
 * cpu_rates.h: what this machine reaches without a model.
 */
#ifndef CPU_RATES_H
#define CPU_RATES_H

#include "cpu_state.h"

/* the largest matrices that are multiplied, and the bytes that this takes for a while */
#define CPU_LARGEST_MATRIX 2048
#define CPU_RATES_BYTES ((int64_t) 3 * CPU_LARGEST_MATRIX * CPU_LARGEST_MATRIX * 4)

/* the best rate seen in about that time; NaN where there is nothing to measure it on */
extern double cpu_rate(struct backend *cpu, enum backend_rate which, double seconds);

#endif							/* CPU_RATES_H */
