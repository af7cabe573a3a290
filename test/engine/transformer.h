/*
 * transformer.h: the transformer a second time, to compare backends with.
 */
#ifndef TRANSFORMER_H
#define TRANSFORMER_H

#include "model.h"

struct reference
{
	struct architecture a;
	struct workload workload;
	double	   *keys;			/* [layer][request][position][kv head][d] */
	double	   *values;
	double	   *weights[TENSOR_KINDS];	/* [layer][row][column] */
	double	   *logits;			/* [request][vocab] */
};

/* the workload's seed is that of the weights */
extern struct reference *reference_create(const struct architecture *a, const struct workload *workload);
extern void reference_free(struct reference *ref);

/* one token of one request at a position; its logits replace the request's last */
extern void reference_token(struct reference *ref, int request, int position, int token);

/* an input token that a test feeds, the same to everyone */
extern int32_t reference_input(const struct architecture *a, int request, int position);

/* ||a - b|| / ||b|| over a whole batch's logits */
extern double reference_difference(const float *logits, const double *expected, size_t count);

#endif							/* TRANSFORMER_H */
