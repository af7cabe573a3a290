/*
 * library.cpp: cuBLASLt's products for the emulation, as the library has them:
 * column-major, each matrix with its own type and leading dimension.  One
 * algorithm is proposed, for all do the same here.
 */
#include "cuda_runtime.h"

#include "cublasLt.h"

struct emulated_operation
{
	bool		transposed;		/* the first factor */
};

struct emulated_matrix
{
	cudaDataType_t type;
	uint64_t	rows;
	uint64_t	columns;
	int64_t		ld;
};

struct emulated_preference
{
	uint64_t	workspace;
};

const char *
cublasLtGetStatusString(cublasStatus_t status)
{
	return status == CUBLAS_STATUS_SUCCESS ? "success" : "not in the emulation";
}

size_t
cublasLtGetVersion(void)
{
	return 0;
}

cublasStatus_t
cublasLtCreate(cublasLtHandle_t *library)
{
	/* nobody looks at it, but it is not nothing */
	*library = (cublasLtHandle_t) &cublasLtCreate;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtDestroy(cublasLtHandle_t)
{
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *operation, cublasComputeType_t, cudaDataType_t)
{
	*operation = new emulated_operation{false};
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t, const void *value,
							   size_t)
{
	operation->transposed = *(const cublasOperation_t *) value == CUBLAS_OP_T;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation)
{
	delete operation;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *matrix, cudaDataType_t type, uint64_t rows, uint64_t columns,
						   int64_t ld)
{
	*matrix = new emulated_matrix{type, rows, columns, ld};
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matrix)
{
	delete matrix;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference)
{
	*preference = new emulated_preference{0};
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference, cublasLtMatmulPreferenceAttributes_t,
									 const void *value, size_t)
{
	preference->workspace = *(const uint64_t *) value;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference)
{
	delete preference;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t, cublasLtMatmulDesc_t, cublasLtMatrixLayout_t, cublasLtMatrixLayout_t,
							   cublasLtMatrixLayout_t, cublasLtMatrixLayout_t, cublasLtMatmulPreference_t, int most,
							   cublasLtMatmulHeuristicResult_t *proposals, int *count)
{
	*count = most < 1 ? most : 1;
	proposals[0].algo.id = 0;
	return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t
cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algorithm, cublasLtMatmulAlgoConfigAttributes_t,
									 void *value, size_t, size_t *written)
{
	*(int *) value = algorithm->id;
	*written = sizeof(int);
	return CUBLAS_STATUS_SUCCESS;
}

static float
element(const void *of, size_t at)
{
	return bits_as_float((uint32_t) ((const uint16_t *) of)[at] << 16);
}

cublasStatus_t
cublasLtMatmul(cublasLtHandle_t, cublasLtMatmulDesc_t operation, const void *alpha, const void *a,
			   cublasLtMatrixLayout_t of_a, const void *b, cublasLtMatrixLayout_t of_b, const void *beta, const void *c,
			   cublasLtMatrixLayout_t of_c, void *d, cublasLtMatrixLayout_t of_d, const cublasLtMatmulAlgo_t *, void *,
			   size_t, cudaStream_t)
{
	const emulated_matrix weights = *of_a;
	const emulated_matrix x = *of_b;
	const emulated_matrix y = *of_d;
	float		scale = *(const float *) alpha;
	float		keep = *(const float *) beta;

	if (!operation->transposed || weights.rows != x.rows || weights.columns != y.rows || x.columns != y.columns ||
		weights.type != CUDA_R_16BF || x.type != CUDA_R_16BF || of_c->type != y.type || of_c->ld != y.ld || c != d ||
		(keep != 0 && y.type != CUDA_R_32F))
		return CUBLAS_STATUS_NOT_SUPPORTED;
	return emulated_put([=] {
		for (uint64_t column = 0; column < y.columns; column++)
			for (uint64_t row = 0; row < y.rows; row++)
			{
				size_t		at = (size_t) row + (size_t) column * (size_t) y.ld;
				float		sum = 0;

				for (uint64_t i = 0; i < x.rows; i++)
					sum += element(a, i + row * (size_t) weights.ld) * element(b, i + column * (size_t) x.ld);
				if (y.type == CUDA_R_16BF)
					((uint16_t *) d)[at] = (uint16_t) emulated_bf16(scale * sum);
				else
					((float *) d)[at] = scale * sum + (keep != 0 ? keep * ((const float *) d)[at] : 0);
			}
		return cudaSuccess;
	}) == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}
