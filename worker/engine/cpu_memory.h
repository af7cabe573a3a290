/*
 * cpu_memory.h: the CPU backend's memory: its layout, its mappings, the weights.
 */
#ifndef CPU_MEMORY_H
#define CPU_MEMORY_H

#include "cpu_state.h"

/* computes, and takes nothing; where workload's batch is 0 there are only the weights */
extern struct cpu_layout cpu_lay_out(const struct architecture *a, const struct workload *workload, int threads);

/* maps and fills the weights, as the backend's layout says; false where memory runs out */
extern bool cpu_make_weights(struct backend *cpu);

/* makes the workspace as large as the layout says, or leaves it so; likewise.  Its new pages are not given out yet. */
extern bool cpu_make_workspace(struct backend *cpu);

/* gives out all pages of the workspace, before anything is timed */
extern void cpu_touch_workspace(struct backend *cpu);

extern void cpu_free_memory(struct backend *cpu);

#endif							/* CPU_MEMORY_H */
