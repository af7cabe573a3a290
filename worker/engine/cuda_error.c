/*
 * cuda_error.c: what CUDA says, in the engine's words.
 */
#include "cuda_error.h"

/* cudaErrorContained, for which older toolkits have no name */
#define CONTAINED 226

static enum engine_status
status_of(cudaError_t result)
{
	switch ((int) result)
	{
		case cudaErrorMemoryAllocation:
			return ENGINE_GPU_OOM;
		case cudaErrorInsufficientDriver:
		case cudaErrorNoDevice:
		case cudaErrorStubLibrary:
		case cudaErrorSystemDriverMismatch:
		case cudaErrorSystemNotReady:
		case cudaErrorDevicesUnavailable:
			return ENGINE_NO_DEVICE;
		case cudaErrorECCUncorrectable:
		case cudaErrorHardwareStackError:
		case cudaErrorIllegalInstruction:
		case cudaErrorMisalignedAddress:
		case cudaErrorInvalidAddressSpace:
		case cudaErrorInvalidPc:
		case cudaErrorIllegalAddress:
		case cudaErrorLaunchFailure:
		case cudaErrorLaunchTimeout:
		case cudaErrorNvlinkUncorrectable:
		case CONTAINED:
			/* the context is lost, and with it the process */
			return ENGINE_GPU_FAULT;
		default:
			return ENGINE_INTERNAL;
	}
}

enum engine_status
cuda_check(cudaError_t result, const char *what, struct engine_error *error)
{
	if (result == cudaSuccess)
		return ENGINE_OK;
	/* what can be forgotten is; a lost context says it again */
	cudaGetLastError();
	return engine_fail(error, status_of(result), "%s: %s (%s)", what, cudaGetErrorString(result),
					   cudaGetErrorName(result));
}
