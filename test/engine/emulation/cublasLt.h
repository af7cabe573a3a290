/*
 * cublasLt.h: as much of cuBLASLt as the engine calls, on the CPU; see library.cpp.
 */
#ifndef EMULATED_CUBLASLT_H
#define EMULATED_CUBLASLT_H

#include <stddef.h>
#include <stdint.h>

#include "cuda_runtime_api.h"

#ifdef __cplusplus
extern "C"
{
#endif

typedef enum
{
	CUBLAS_STATUS_SUCCESS = 0,
	CUBLAS_STATUS_ALLOC_FAILED = 3,
	CUBLAS_STATUS_INVALID_VALUE = 7,
	CUBLAS_STATUS_NOT_SUPPORTED = 15,
} cublasStatus_t;

typedef enum
{
	CUDA_R_32F = 0,
	CUDA_R_16BF = 14,
} cudaDataType_t;

typedef enum
{
	CUBLAS_OP_N = 0,
	CUBLAS_OP_T = 1,
} cublasOperation_t;

typedef enum
{
	CUBLAS_COMPUTE_32F = 68,
} cublasComputeType_t;

typedef enum
{
	CUBLASLT_MATMUL_DESC_TRANSA = 3,
} cublasLtMatmulDescAttributes_t;

typedef enum
{
	CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES = 1,
} cublasLtMatmulPreferenceAttributes_t;

typedef enum
{
	CUBLASLT_ALGO_CONFIG_ID = 0,
} cublasLtMatmulAlgoConfigAttributes_t;

typedef struct emulated_library *cublasLtHandle_t;
typedef struct emulated_operation *cublasLtMatmulDesc_t;
typedef struct emulated_matrix *cublasLtMatrixLayout_t;
typedef struct emulated_preference *cublasLtMatmulPreference_t;

typedef struct
{
	int			id;
} cublasLtMatmulAlgo_t;

typedef struct
{
	cublasLtMatmulAlgo_t algo;
} cublasLtMatmulHeuristicResult_t;

const char *cublasLtGetStatusString(cublasStatus_t status);
size_t cublasLtGetVersion(void);
cublasStatus_t cublasLtCreate(cublasLtHandle_t *library);
cublasStatus_t cublasLtDestroy(cublasLtHandle_t library);
cublasStatus_t cublasLtMatmulDescCreate(cublasLtMatmulDesc_t *operation, cublasComputeType_t compute,
										cudaDataType_t scale);
cublasStatus_t cublasLtMatmulDescSetAttribute(cublasLtMatmulDesc_t operation, cublasLtMatmulDescAttributes_t attribute,
											  const void *value, size_t size);
cublasStatus_t cublasLtMatmulDescDestroy(cublasLtMatmulDesc_t operation);
cublasStatus_t cublasLtMatrixLayoutCreate(cublasLtMatrixLayout_t *matrix, cudaDataType_t type, uint64_t rows,
										  uint64_t columns, int64_t ld);
cublasStatus_t cublasLtMatrixLayoutDestroy(cublasLtMatrixLayout_t matrix);
cublasStatus_t cublasLtMatmulPreferenceCreate(cublasLtMatmulPreference_t *preference);
cublasStatus_t cublasLtMatmulPreferenceSetAttribute(cublasLtMatmulPreference_t preference,
													cublasLtMatmulPreferenceAttributes_t attribute, const void *value,
													size_t size);
cublasStatus_t cublasLtMatmulPreferenceDestroy(cublasLtMatmulPreference_t preference);
cublasStatus_t cublasLtMatmulAlgoGetHeuristic(cublasLtHandle_t library, cublasLtMatmulDesc_t operation,
											  cublasLtMatrixLayout_t a, cublasLtMatrixLayout_t b,
											  cublasLtMatrixLayout_t c, cublasLtMatrixLayout_t d,
											  cublasLtMatmulPreference_t preference, int most,
											  cublasLtMatmulHeuristicResult_t *proposals, int *count);
cublasStatus_t cublasLtMatmulAlgoConfigGetAttribute(const cublasLtMatmulAlgo_t *algorithm,
													cublasLtMatmulAlgoConfigAttributes_t attribute, void *value,
													size_t size, size_t *written);
cublasStatus_t cublasLtMatmul(cublasLtHandle_t library, cublasLtMatmulDesc_t operation, const void *alpha, const void *a,
							  cublasLtMatrixLayout_t of_a, const void *b, cublasLtMatrixLayout_t of_b, const void *beta,
							  const void *c, cublasLtMatrixLayout_t of_c, void *d, cublasLtMatrixLayout_t of_d,
							  const cublasLtMatmulAlgo_t *algorithm, void *workspace, size_t workspace_size,
							  cudaStream_t stream);

#ifdef __cplusplus
}
#endif

#endif							/* EMULATED_CUBLASLT_H */
