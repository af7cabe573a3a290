/*
 * cpu_attention.h: rotary embedding, the KV cache, and causal attention.
 */
#ifndef CPU_ATTENTION_H
#define CPU_ATTENTION_H

#include "cpu_state.h"

/* queries of one head that attend together */
#define CPU_QUERY_BLOCK 64

/* consecutive positions of one request, whose activations are consecutive rows */
struct cpu_block
{
	int			request;
	int			position;
	int			length;
	int			row;
};

/* after the qkv product: bias, norm and rotary embedding; k and v into the cache */
extern void cpu_place(struct backend *cpu, int layer, const struct cpu_block *blocks, int n_blocks);

/* causal attention of the placed rows to everything in the cache up to them */
extern void cpu_attend_prompt(struct backend *cpu, int layer, const struct cpu_block *blocks, int n_blocks);

/* the same for one row per request, all at one position */
extern void cpu_attend_step(struct backend *cpu, int layer, int position);

/* floats that a thread of these needs */
extern size_t cpu_attention_scratch(const struct architecture *a, int capacity);

#endif							/* CPU_ATTENTION_H */
