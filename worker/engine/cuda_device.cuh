/*
 * cuda_device.cuh: what all CUDA kernels share: bf16 as bits, sums over a warp,
 * launches, and the few instructions that C++ has no words for.
 *
 * The kernels use nothing of CUDA beyond what stands here and threadIdx,
 * blockIdx, __syncthreads, __syncwarp and __shfl_xor_sync, so that
 * test/engine/emulation can run them on a machine without a GPU.
 */
#ifndef CUDA_DEVICE_CUH
#define CUDA_DEVICE_CUH

#include <cuda_runtime.h>
#include <stdint.h>

extern "C"
{
#include "cuda_kernels.h"
}

#define WARP 32
#define ALL_LANES 0xffffffffu

#ifndef CUDA_EMULATION

#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]

/*
 * With overlap a kernel may begin while the one before it in the stream ends;
 * it must call wait_for_previous() before it reads what any of them wrote or
 * writes anything.
 */
template<typename... Parameters, typename... Arguments>
static cudaError_t
launch(const struct cuda_queue *queue, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
	   Arguments... arguments)
{
	cudaLaunchConfig_t config = {};
	cudaLaunchAttribute attribute = {};

	if (shared > 48 * 1024)
	{
		cudaError_t result = cudaFuncSetAttribute((const void *) kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
												  (int) shared);

		if (result != cudaSuccess)
			return result;
	}
	attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
	attribute.val.programmaticStreamSerializationAllowed = 1;
	config.gridDim = grid;
	config.blockDim = block;
	config.dynamicSmemBytes = shared;
	config.stream = queue->stream;
	config.attrs = &attribute;
	config.numAttrs = queue->overlap ? 1 : 0;
	return cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...);
}

static __device__ __forceinline__ void
wait_for_previous()
{
#if __CUDA_ARCH__ >= 900
	cudaGridDependencySynchronize();
#endif
}

/* the next kernel may be brought in once every block of this one has come here */
static __device__ __forceinline__ void
let_next_begin()
{
#if __CUDA_ARCH__ >= 900
	cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/* 16 bytes of what is read once: past the first-level cache, and not kept in it */
static __device__ __forceinline__ uint4
load_streaming(const void *from)
{
	uint4 value;

	asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
				 : "=r"(value.x), "=r"(value.y), "=r"(value.z), "=r"(value.w)
				 : "l"(from));
	return value;
}

/* two floats to two bf16, to the nearest; low is the one that comes first in memory */
static __device__ __forceinline__ uint32_t
pack_bf16(float low, float high)
{
	uint32_t packed;

	asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
	return packed;
}

static __device__ __forceinline__ float
bits_as_float(uint32_t bits)
{
	return __uint_as_float(bits);
}

/* 16 bytes into shared memory, without waiting; zeros where size is 0 */
static __device__ __forceinline__ void
copy_async(void *to, const void *from, int size)
{
	asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;"
				 :
				 : "r"((uint32_t) __cvta_generic_to_shared(to)), "l"(from), "r"(size)
				 : "memory");
}

static __device__ __forceinline__ void
copy_commit()
{
	asm volatile("cp.async.commit_group;" : : : "memory");
}

/* until all but that many of this thread's last groups have arrived */
template<int LEFT>
static __device__ __forceinline__ void
copy_wait()
{
	asm volatile("cp.async.wait_group %0;" : : "n"(LEFT) : "memory");
}

/* four 8 x 8 matrices of bf16: lane i gives row i % 8 of matrix i / 8 and gets elements (i / 4, 2 (i % 4) + 0, 1) of each */
static __device__ __forceinline__ void
load_matrices(uint32_t (&to)[4], const uint16_t *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
				 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
				 : "r"((uint32_t) __cvta_generic_to_shared(row))
				 : "memory");
}

/* the same of the transposed matrices */
static __device__ __forceinline__ void
load_transposed(uint32_t (&to)[4], const uint16_t *row)
{
	asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
				 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
				 : "r"((uint32_t) __cvta_generic_to_shared(row))
				 : "memory");
}

/* sum[16 x 8] += a[16 x 16] · b[16 x 8], spread over the warp as PTX's mma.m16n8k16 */
static __device__ __forceinline__ void
multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
	asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
				 "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
				 : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
				 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

#endif							/* CUDA_EMULATION */

/* the two bf16 in a word */
static __device__ __forceinline__ float
low_half(uint32_t pair)
{
	return bits_as_float(pair << 16);
}

static __device__ __forceinline__ float
high_half(uint32_t pair)
{
	return bits_as_float(pair & 0xffff0000u);
}

static __device__ __forceinline__ float
widen(uint16_t half)
{
	return bits_as_float((uint32_t) half << 16);
}

static __device__ __forceinline__ uint16_t
narrow(float value)
{
	return (uint16_t) (pack_bf16(value, 0) & 0xffff);
}

/* eight bf16 as floats */
static __device__ __forceinline__ void
widen_eight(const uint4 &from, float (&to)[8])
{
	to[0] = low_half(from.x);
	to[1] = high_half(from.x);
	to[2] = low_half(from.y);
	to[3] = high_half(from.y);
	to[4] = low_half(from.z);
	to[5] = high_half(from.z);
	to[6] = low_half(from.w);
	to[7] = high_half(from.w);
}

/* the sum over each aligned group of that many lanes, in all of them */
template<int LANES>
static __device__ __forceinline__ float
sum_lanes(float value)
{
#pragma unroll
	for (int step = LANES / 2; step > 0; step /= 2)
		value += __shfl_xor_sync(ALL_LANES, value, step);
	return value;
}

/* the sum over the block, in all threads; parts has a place for each warp */
static __device__ __forceinline__ float
sum_block(float value, float *parts)
{
	int			warps = (int) blockDim.x / WARP;
	float		total = 0;

	value = sum_lanes<WARP>(value);
	if (threadIdx.x % WARP == 0)
		parts[threadIdx.x / WARP] = value;
	__syncthreads();
	for (int i = 0; i < warps; i++)
		total += parts[i];
	__syncthreads();
	return total;
}

/* a kernel that waits for nothing by itself: after all that is in the stream, and before all that follows */
template<typename... Parameters, typename... Arguments>
static cudaError_t
launch_alone(const struct cuda_queue *queue, void (*kernel)(Parameters...), dim3 grid, dim3 block,
			 Arguments... arguments)
{
	struct cuda_queue alone = *queue;

	alone.overlap = false;
	return launch(&alone, kernel, grid, block, 0, arguments...);
}

static inline int
parts_of(int64_t whole, int64_t part)
{
	return (int) ((whole + part - 1) / part);
}

#endif							/* CUDA_DEVICE_CUH */
