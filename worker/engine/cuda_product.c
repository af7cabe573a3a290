/*
 * cuda_product.c: products of weights and many rows, by cuBLASLt.
 *
 * The library counts in columns: our row-major weights[n × k] are its k × n,
 * transposed, x[m × k] its k × m, and y[m × n] its n × m.  Sums are in fp32.
 * Whichever algorithm a shape has stays with it, so that a captured graph and
 * every repeat use the same.
 */
#include "cuda_product.h"

#include <cublasLt.h>
#include <math.h>
#include <stdlib.h>

#include "cuda_error.h"

#define PROPOSALS 8
#define TIMED_RUNS 3
#define HOPELESS 1.3

struct cuda_shape
{
	int			m;
	int			n;
	int			k;
	enum cuda_output output;
	uint64_t	used;			/* when it was last, counted in uses */
	double		seconds;		/* NaN: not timed */
	cublasLtMatmulAlgo_t algorithm;
	cublasLtMatmulDesc_t operation;
	cublasLtMatrixLayout_t weights;
	cublasLtMatrixLayout_t x;
	cublasLtMatrixLayout_t y;
};

static enum engine_status
check(cublasStatus_t result, const char *what, struct engine_error *error)
{
	if (result == CUBLAS_STATUS_SUCCESS)
		return ENGINE_OK;
	return engine_fail(error, result == CUBLAS_STATUS_ALLOC_FAILED ? ENGINE_GPU_OOM : ENGINE_INTERNAL,
					   "%s: %s", what, cublasLtGetStatusString(result));
}

enum engine_status
cuda_products_open(struct cuda_products *products, cudaStream_t stream, struct engine_error *error)
{
	cublasLtHandle_t handle;
	enum engine_status status = check(cublasLtCreate(&handle), "could not start cuBLASLt", error);

	if (status != ENGINE_OK)
		return status;
	*products = (struct cuda_products){.library = handle, .stream = stream};
	products->shapes = calloc(CUDA_MOST_SHAPES, sizeof(*products->shapes));
	if (products->shapes == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	return ENGINE_OK;
}

static void
forget_shape(struct cuda_shape *shape)
{
	if (shape->operation != NULL)
		cublasLtMatmulDescDestroy(shape->operation);
	if (shape->weights != NULL)
		cublasLtMatrixLayoutDestroy(shape->weights);
	if (shape->x != NULL)
		cublasLtMatrixLayoutDestroy(shape->x);
	if (shape->y != NULL)
		cublasLtMatrixLayoutDestroy(shape->y);
	*shape = (struct cuda_shape){0};
}

void
cuda_products_close(struct cuda_products *products)
{
	for (int i = 0; i < products->n_shapes; i++)
		forget_shape(&products->shapes[i]);
	free(products->shapes);
	if (products->library != NULL)
		cublasLtDestroy(products->library);
	*products = (struct cuda_products){0};
}

static struct cuda_shape *
find_shape(const struct cuda_products *products, const struct cuda_product *product)
{
	for (int i = 0; i < products->n_shapes; i++)
	{
		struct cuda_shape *shape = &products->shapes[i];

		if (shape->m == product->m && shape->n == product->n && shape->k == product->k &&
			shape->output == product->output)
			return shape;
	}
	return NULL;
}

/* the same for one that is about to be used */
static struct cuda_shape *
use_shape(struct cuda_products *products, const struct cuda_product *product)
{
	struct cuda_shape *shape = find_shape(products, product);

	if (shape != NULL)
		shape->used = ++products->uses;
	return shape;
}

static enum engine_status
describe(struct cuda_shape *shape, struct engine_error *error)
{
	cudaDataType_t output = shape->output == CUDA_HALVES ? CUDA_R_16BF : CUDA_R_32F;
	cublasOperation_t transposed = CUBLAS_OP_T;
	uint64_t	m = (uint64_t) shape->m;
	uint64_t	n = (uint64_t) shape->n;
	uint64_t	k = (uint64_t) shape->k;
	cublasStatus_t result = cublasLtMatmulDescCreate(&shape->operation, CUBLAS_COMPUTE_32F, CUDA_R_32F);

	if (result == CUBLAS_STATUS_SUCCESS)
		result = cublasLtMatmulDescSetAttribute(shape->operation, CUBLASLT_MATMUL_DESC_TRANSA, &transposed,
												sizeof(transposed));
	if (result == CUBLAS_STATUS_SUCCESS)
		result = cublasLtMatrixLayoutCreate(&shape->weights, CUDA_R_16BF, k, n, (int64_t) k);
	if (result == CUBLAS_STATUS_SUCCESS)
		result = cublasLtMatrixLayoutCreate(&shape->x, CUDA_R_16BF, k, m, (int64_t) k);
	if (result == CUBLAS_STATUS_SUCCESS)
		result = cublasLtMatrixLayoutCreate(&shape->y, output, n, m, (int64_t) n);
	return check(result, "could not describe a product to cuBLASLt", error);
}

static enum engine_status
propose(struct cuda_products *products, struct cuda_shape *shape, cublasLtMatmulHeuristicResult_t *proposals,
		int *count, struct engine_error *error)
{
	cublasLtMatmulPreference_t preference;
	cublasStatus_t result = cublasLtMatmulPreferenceCreate(&preference);

	if (result != CUBLAS_STATUS_SUCCESS)
		return check(result, "could not ask cuBLASLt", error);
	result = cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
												  &products->workspace_size, sizeof(products->workspace_size));
	if (result == CUBLAS_STATUS_SUCCESS)
		result = cublasLtMatmulAlgoGetHeuristic(products->library, shape->operation, shape->weights, shape->x,
												shape->y, shape->y, preference, PROPOSALS, proposals, count);
	cublasLtMatmulPreferenceDestroy(preference);
	if (result == CUBLAS_STATUS_SUCCESS && *count == 0)
		result = CUBLAS_STATUS_NOT_SUPPORTED;
	if (result != CUBLAS_STATUS_SUCCESS)
		return engine_fail(error, ENGINE_INTERNAL, "cuBLASLt has no algorithm for %d x %d x %d: %s", shape->m, shape->n,
						   shape->k, cublasLtGetStatusString(result));
	return ENGINE_OK;
}

static enum engine_status
run(struct cuda_products *products, const struct cuda_shape *shape, const cublasLtMatmulAlgo_t *algorithm,
	const struct cuda_product *product, struct engine_error *error)
{
	float		alpha = 1;
	float		beta = product->output == CUDA_ADD_FLOATS ? 1 : 0;
	cublasStatus_t result;

	result = cublasLtMatmul(products->library, shape->operation, &alpha, product->weights, shape->weights, product->x,
							shape->x, &beta, product->y, shape->y, product->y, shape->y, algorithm, products->workspace,
							products->workspace_size, products->stream);
	/* where a kernel before has lost the device's context, all that comes after it fails */
	if (result != CUBLAS_STATUS_SUCCESS &&
		cuda_check(cudaStreamSynchronize(products->stream), "a product failed", error) == ENGINE_GPU_FAULT)
		return ENGINE_GPU_FAULT;
	return check(result, "a product failed in cuBLASLt", error);
}

/* where a new shape goes; the one that was not used for longest makes room */
static struct cuda_shape *
make_room(struct cuda_products *products)
{
	struct cuda_shape *oldest = &products->shapes[0];

	if (products->n_shapes < CUDA_MOST_SHAPES)
		return &products->shapes[products->n_shapes++];
	for (int i = 1; i < products->n_shapes; i++)
		if (products->shapes[i].used < oldest->used)
			oldest = &products->shapes[i];
	forget_shape(oldest);
	return oldest;
}

/* a shape with its first proposal */
static enum engine_status
add_shape(struct cuda_products *products, const struct cuda_product *product,
		  cublasLtMatmulHeuristicResult_t *proposals, int *count, struct cuda_shape **added, struct engine_error *error)
{
	struct cuda_shape shape = {
		.m = product->m, .n = product->n, .k = product->k, .output = product->output, .seconds = NAN
	};
	enum engine_status status = describe(&shape, error);

	if (status == ENGINE_OK)
		status = propose(products, &shape, proposals, count, error);
	if (status != ENGINE_OK)
	{
		forget_shape(&shape);
		return status;
	}
	shape.algorithm = proposals[0].algo;
	shape.used = ++products->uses;
	*added = make_room(products);
	**added = shape;
	return ENGINE_OK;
}

enum engine_status
cuda_multiply(struct cuda_products *products, const struct cuda_product *product, struct engine_error *error)
{
	cublasLtMatmulHeuristicResult_t proposals[PROPOSALS];
	struct cuda_shape *shape = use_shape(products, product);
	enum engine_status status = ENGINE_OK;
	int			count = 0;

	if (shape == NULL)
		status = add_shape(products, product, proposals, &count, &shape, error);
	if (status == ENGINE_OK)
		status = run(products, shape, &shape->algorithm, product, error);
	return status;
}

/*
 * Seconds of one run, the best of some; infinite where the algorithm does not
 * run.  One that is far behind the least so far is not tried again.
 */
static double
time_runs(struct cuda_products *products, const struct cuda_shape *shape, const cublasLtMatmulAlgo_t *algorithm,
		  const struct cuda_product *product, double least, cudaEvent_t begin, cudaEvent_t end)
{
	struct engine_error ignored;
	double		best = INFINITY;

	for (int i = 0; i <= TIMED_RUNS && (isinf(best) || best < HOPELESS * least); i++)
	{
		float		milliseconds;

		cudaEventRecord(begin, products->stream);
		if (run(products, shape, algorithm, product, &ignored) != ENGINE_OK)
			return INFINITY;
		cudaEventRecord(end, products->stream);
		if (cudaEventSynchronize(end) != cudaSuccess ||
			cudaEventElapsedTime(&milliseconds, begin, end) != cudaSuccess)
			return INFINITY;
		/* the first one warms up */
		if (i > 0)
			best = fmin(best, milliseconds * 1e-3);
	}
	return best;
}

enum engine_status
cuda_tune(struct cuda_products *products, const struct cuda_product *product, struct engine_error *error)
{
	cublasLtMatmulHeuristicResult_t proposals[PROPOSALS];
	struct cuda_shape *shape = use_shape(products, product);
	cudaEvent_t begin = NULL;
	cudaEvent_t end = NULL;
	enum engine_status status = ENGINE_OK;
	int			count = 0;

	if (shape != NULL && !isnan(shape->seconds))
		return ENGINE_OK;
	if (shape == NULL)
		status = add_shape(products, product, proposals, &count, &shape, error);
	else
		status = propose(products, shape, proposals, &count, error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaEventCreate(&begin), "could not make an event", error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaEventCreate(&end), "could not make an event", error);
	for (int i = 0; i < count && status == ENGINE_OK; i++)
	{
		double		least = i == 0 ? INFINITY : shape->seconds;
		double		seconds = time_runs(products, shape, &proposals[i].algo, product, least, begin, end);

		if (i == 0 || seconds < shape->seconds)
		{
			shape->seconds = seconds;
			shape->algorithm = proposals[i].algo;
		}
	}
	if (begin != NULL)
		cudaEventDestroy(begin);
	if (end != NULL)
		cudaEventDestroy(end);
	if (status == ENGINE_OK && isinf(shape->seconds))
	{
		shape->seconds = NAN;
		status = cuda_check(cudaStreamSynchronize(products->stream), "while products were timed", error);
		if (status == ENGINE_OK)
			status = engine_fail(error, ENGINE_INTERNAL, "none of cuBLASLt's algorithms runs %d x %d x %d", product->m,
								 product->n, product->k);
	}
	return status;
}

double
cuda_product_seconds(const struct cuda_products *products, const struct cuda_product *product)
{
	const struct cuda_shape *shape = find_shape(products, product);

	return shape != NULL ? shape->seconds : NAN;
}

int64_t
cuda_products_version(void)
{
	return (int64_t) cublasLtGetVersion();
}

int
cuda_product_algorithm(const struct cuda_products *products, const struct cuda_product *product)
{
	const struct cuda_shape *shape = find_shape(products, product);
	int			id = -1;
	size_t		written;

	if (shape == NULL ||
		cublasLtMatmulAlgoConfigGetAttribute(&shape->algorithm, CUBLASLT_ALGO_CONFIG_ID, &id, sizeof(id), &written) !=
			CUBLAS_STATUS_SUCCESS)
		return -1;
	return id;
}
