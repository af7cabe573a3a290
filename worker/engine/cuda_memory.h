/*
 * cuda_memory.h: the CUDA backend's memory: its layout, its allocations, the
 * weights.
 */
#ifndef CUDA_MEMORY_H
#define CUDA_MEMORY_H

#include "cuda_state.h"

/* cuBLASLt's workspace, which Hopper's algorithms like large */
#define CUDA_LIBRARY_BYTES (32 << 20)

/* computes, and takes nothing; where workload's batch is 0 there are only the weights */
extern struct cuda_layout cuda_lay_out(const struct architecture *a, const struct workload *workload);

/* allocates and fills the weights, as the backend's layout says */
extern enum engine_status cuda_make_weights(struct backend *cuda, struct engine_error *error);

/* allocates the workspace, or keeps the one there is where that is large enough */
extern enum engine_status cuda_make_workspace(struct backend *cuda, struct engine_error *error);

extern void cuda_free_memory(struct backend *cuda);

#endif							/* CUDA_MEMORY_H */
