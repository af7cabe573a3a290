/*
 * cuda_error.h: what CUDA says, in the engine's words.
 */
#ifndef CUDA_ERROR_H
#define CUDA_ERROR_H

#include <cuda_runtime_api.h>

#include "engine.h"

/* ENGINE_OK for cudaSuccess; what says what was tried */
extern enum engine_status cuda_check(cudaError_t result, const char *what, struct engine_error *error);

#endif							/* CUDA_ERROR_H */
