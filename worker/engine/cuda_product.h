/*
 * cuda_product.h: products of weights and many rows, by cuBLASLt.
 */
#ifndef CUDA_PRODUCT_H
#define CUDA_PRODUCT_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine.h"

enum cuda_output
{
	CUDA_HALVES,				/* y = */
	CUDA_FLOATS,				/* y = */
	CUDA_ADD_FLOATS,			/* y += */
};

/* y[m × n] from x[m × k] · transposed weights[n × k] */
struct cuda_product
{
	const uint16_t *weights;
	const uint16_t *x;
	void	   *y;
	int			m;
	int			n;
	int			k;
	enum cuda_output output;
};

#define CUDA_MOST_SHAPES 64

/* an algorithm for each shape that was seen */
struct cuda_products
{
	void	   *library;		/* cuBLASLt's handle */
	cudaStream_t stream;
	void	   *workspace;
	size_t		workspace_size;
	struct cuda_shape *shapes;
	int			n_shapes;
	uint64_t	uses;
};

extern enum engine_status cuda_products_open(struct cuda_products *products, cudaStream_t stream,
											 struct engine_error *error);
extern void cuda_products_close(struct cuda_products *products);

/* puts it into the stream */
extern enum engine_status cuda_multiply(struct cuda_products *products, const struct cuda_product *product,
										struct engine_error *error);

/* times the library's proposals on this very shape and keeps the best; writes into y.  Waits for the stream. */
extern enum engine_status cuda_tune(struct cuda_products *products, const struct cuda_product *product,
									struct engine_error *error);

/* what the best took for a shape that was tuned; NaN for others */
extern double cuda_product_seconds(const struct cuda_products *products, const struct cuda_product *product);

/* version of the library, and the algorithm that a shape has; -1 for none */
extern int64_t cuda_products_version(void);
extern int cuda_product_algorithm(const struct cuda_products *products, const struct cuda_product *product);

#endif							/* CUDA_PRODUCT_H */
