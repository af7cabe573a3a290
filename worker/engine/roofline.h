/*
 * roofline.h: the least time and memory a config can take on given ceilings.
 */
#ifndef ROOFLINE_H
#define ROOFLINE_H

#include "engine.h"

/* NaN where it was not measured; copying counts what is read and what is written */
struct ceilings
{
	double		read_bytes_per_s;
	double		flops_per_s;
	double		copy_bytes_per_s;
};

struct roofline
{
	double		ttft_s;
	double		tpot_s;			/* NaN for one output token */
	double		memory_bytes;
};

extern struct roofline roofline_bound(const struct architecture *a,
									  const struct workload *workload,
									  struct ceilings ceilings);

/* what one decode step reads at a context of that many tokens */
extern double roofline_decode_bytes(const struct architecture *a,
									const struct workload *workload,
									double context);

#endif							/* ROOFLINE_H */
