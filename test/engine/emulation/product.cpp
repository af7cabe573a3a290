/*
 * product.cpp: cuda_product.h without cuBLASLt, for the emulation.
 */
#include "cuda_runtime.h"

extern "C"
{
#include "cuda_product.h"
}

enum engine_status
cuda_products_open(struct cuda_products *products, cudaStream_t stream, struct engine_error *)
{
	*products = {};
	products->stream = stream;
	return ENGINE_OK;
}

void
cuda_products_close(struct cuda_products *)
{
}

static cudaError_t
multiply(const struct cuda_product &p)
{
	for (int64_t row = 0; row < p.m; row++)
		for (int64_t column = 0; column < p.n; column++)
		{
			float		sum = 0;

			for (int64_t i = 0; i < p.k; i++)
				sum += bits_as_float((uint32_t) p.x[row * p.k + i] << 16) *
					bits_as_float((uint32_t) p.weights[column * p.k + i] << 16);
			if (p.output == CUDA_HALVES)
				((uint16_t *) p.y)[row * p.n + column] = (uint16_t) emulated_bf16(sum);
			else if (p.output == CUDA_FLOATS)
				((float *) p.y)[row * p.n + column] = sum;
			else
				((float *) p.y)[row * p.n + column] += sum;
		}
	return cudaSuccess;
}

enum engine_status
cuda_multiply(struct cuda_products *, const struct cuda_product *product, struct engine_error *)
{
	struct cuda_product copy = *product;

	return emulated_put([=] { return multiply(copy); }) == cudaSuccess ? ENGINE_OK : ENGINE_INTERNAL;
}

/* as the real one it spoils what y points to, which must not matter */
enum engine_status
cuda_tune(struct cuda_products *, const struct cuda_product *product, struct engine_error *)
{
	size_t		size = (size_t) product->m * (size_t) product->n * (product->output == CUDA_HALVES ? 2 : 4);

	memset(product->y, 0x40, size);
	return ENGINE_OK;
}

double
cuda_product_seconds(const struct cuda_products *, const struct cuda_product *)
{
	return 1e-3;
}

int64_t
cuda_products_version(void)
{
	return 0;
}

int
cuda_product_algorithm(const struct cuda_products *, const struct cuda_product *)
{
	return -1;
}
