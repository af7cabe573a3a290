/*
 * cuda_forward.h: the transformer's layers in their order.
 */
#ifndef CUDA_FORWARD_H
#define CUDA_FORWARD_H

#include "cuda_state.h"

/* chooses how a workload is run */
extern void cuda_choose(struct backend *cuda);

/* times the workload's products, for the best of the library's, and captures its decode step */
extern enum engine_status cuda_settle(struct backend *cuda, struct engine_error *error);

extern enum engine_status cuda_prefill(struct backend *cuda, const int32_t *tokens, int length, int32_t *sampled,
									   struct engine_error *error);
extern enum engine_status cuda_decode(struct backend *cuda, const int32_t *tokens, int32_t *sampled,
									  struct engine_error *error);

/* what attention alone takes in all layers of the last decode step, the best of some runs */
extern enum engine_status cuda_time_attention(struct backend *cuda, double *seconds, struct engine_error *error);

/* what the best products of a whole prompt take, without anything else; NaN where they were not timed */
extern double cuda_prompt_product_seconds(const struct backend *cuda);

/* the algorithm of the largest product of a prompt; -1 for none */
extern int cuda_prompt_algorithm(const struct backend *cuda);

#endif							/* CUDA_FORWARD_H */
