/*
 * cpu_forward.h: the transformer's layers in their order.
 */
#ifndef CPU_FORWARD_H
#define CPU_FORWARD_H

#include "cpu_state.h"

extern void cpu_prefill(struct backend *cpu, const int32_t *tokens, int length, int32_t *sampled);
extern void cpu_decode(struct backend *cpu, const int32_t *tokens, int32_t *sampled);

#endif							/* CPU_FORWARD_H */
