/*
 * cuda_rates.h: what this device reaches without a model.
 */
#ifndef CUDA_RATES_H
#define CUDA_RATES_H

#include "cuda_state.h"

/* the side of the square matrices that are multiplied, and the bytes that this takes for a while */
#ifndef CUDA_RATES_MATRIX
#define CUDA_RATES_MATRIX 8192
#endif
#define CUDA_RATES_BYTES ((int64_t) 3 * CUDA_RATES_MATRIX * CUDA_RATES_MATRIX * 2)

/* the best rate seen in about that time */
extern enum engine_status cuda_rate(struct backend *cuda, enum backend_rate which, double seconds, double *rate,
									struct engine_error *error);

#endif							/* CUDA_RATES_H */
