/*
 * cuda_runtime.h: as much of CUDA C++ as the engine's kernels use, on the CPU.
 *
 * The kernels are compiled as they are.  What cuda_device.cuh says in PTX stands
 * here a second time in plain words, from the instructions' documentation.
 */
#ifndef EMULATED_CUDA_RUNTIME_H
#define EMULATED_CUDA_RUNTIME_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include <functional>

#include "cuda_runtime_api.h"

extern "C"
{
#include "cuda_kernels.h"
}

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __shared__ static		/* blocks run one after the other */
#define __expf expf
#define DYNAMIC_SHARED(name) unsigned char *name = emulated_shared_memory()

struct dim3
{
	unsigned	x;
	unsigned	y;
	unsigned	z;

	dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1): x(x), y(y), z(z)
	{
	}
};

struct alignas(16) uint4
{
	uint32_t	x;
	uint32_t	y;
	uint32_t	z;
	uint32_t	w;
};

struct alignas(16) float4
{
	float		x;
	float		y;
	float		z;
	float		w;
};

static inline uint4
make_uint4(uint32_t x, uint32_t y, uint32_t z, uint32_t w)
{
	return uint4{x, y, z, w};
}

/* of the thread that runs */
extern dim3 threadIdx;
extern dim3 blockIdx;
extern dim3 blockDim;
extern dim3 gridDim;

extern unsigned char *emulated_shared_memory();

/* all threads of the block, or of the warp, come here before one goes on */
extern void __syncthreads();
extern void __syncwarp();

/* what each lane of the warp gave; valid until the warp's next exchange */
extern const uint64_t *emulated_exchange(uint64_t mine);

/* runs it now, or records it where the stream is in capture */
extern cudaError_t emulated_put(std::function<cudaError_t()> work);
extern cudaError_t emulated_grid(dim3 grid, dim3 block, size_t shared, bool overlaps,
								 const std::function<void()> &kernel);

template<typename T>
static inline T
__shfl_xor_sync(unsigned, T value, int step)
{
	uint64_t	bits = 0;
	T			result;

	memcpy(&bits, &value, sizeof(value));
	bits = emulated_exchange(bits)[threadIdx.x % 32 ^ (unsigned) step];
	memcpy(&result, &bits, sizeof(result));
	return result;
}

/* Under a name of its own, for C23's libraries have a function of this name. */
#define rsqrtf emulated_rsqrtf
static inline float
rsqrtf(float x)
{
	return 1 / sqrtf(x);
}

/* ---- cuda_device.cuh's PTX, in plain words ---- */

template<typename... Parameters, typename... Arguments>
static cudaError_t
launch(const struct cuda_queue *queue, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared,
	   Arguments... arguments)
{
	bool		overlaps = queue->overlap;

	return emulated_put([=] {
		return emulated_grid(grid, block, shared, overlaps, [=] { kernel(Parameters(arguments)...); });
	});
}

/* every thread of a kernel that may overlap must come here */
extern void wait_for_previous();

static inline void
let_next_begin()
{
}

static inline uint4
load_streaming(const void *from)
{
	/* the device wants 16 bytes on 16 bytes */
	if ((uintptr_t) from % 16 != 0)
		__builtin_trap();
	return *(const uint4 *) from;
}

static inline float
bits_as_float(uint32_t bits)
{
	float		value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

static inline uint32_t
emulated_bf16(float value)
{
	uint32_t	bits;

	memcpy(&bits, &value, sizeof(bits));
	return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
}

static inline uint32_t
pack_bf16(float low, float high)
{
	return emulated_bf16(low) | emulated_bf16(high) << 16;
}

static inline void
copy_async(void *to, const void *from, int size)
{
	if ((uintptr_t) to % 16 != 0 || (uintptr_t) from % 16 != 0)
		__builtin_trap();
	memset(to, 0, 16);
	memcpy(to, from, (size_t) size);
}

static inline void
copy_commit()
{
}

template<int LEFT>
static inline void
copy_wait()
{
}

/* matrix i's rows are those that lanes 8 i to 8 i + 7 point to */
static inline void
emulated_ldmatrix(uint32_t (&to)[4], const uint16_t *row, bool transposed)
{
	unsigned	lane = threadIdx.x % 32;
	const uint64_t *rows = emulated_exchange((uint64_t) (uintptr_t) row);

	if ((uintptr_t) row % 16 != 0)
		__builtin_trap();
	for (unsigned i = 0; i < 4; i++)
	{
		unsigned	a = lane / 4;
		unsigned	b = lane % 4 * 2;
		const uint16_t *first = (const uint16_t *) (uintptr_t) rows[8 * i + (transposed ? b : a)];
		const uint16_t *second = (const uint16_t *) (uintptr_t) rows[8 * i + (transposed ? b + 1 : a)];

		to[i] = first[transposed ? a : b] | (uint32_t) second[transposed ? a : b + 1] << 16;
	}
}

static inline void
load_matrices(uint32_t (&to)[4], const uint16_t *row)
{
	emulated_ldmatrix(to, row, false);
}

static inline void
load_transposed(uint32_t (&to)[4], const uint16_t *row)
{
	emulated_ldmatrix(to, row, true);
}

/* one element of a fragment: which register of which lane has it, and which half */
static inline float
emulated_half(uint32_t pair, unsigned which)
{
	return bits_as_float(which == 0 ? pair << 16 : pair & 0xffff0000u);
}

static inline void
multiply_add(float (&sum)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1)
{
	unsigned	lane = threadIdx.x % 32;
	uint32_t	all_a[4][32];
	uint32_t	all_b[2][32];

	for (unsigned i = 0; i < 2; i++)
	{
		const uint64_t *got = emulated_exchange(a[2 * i] | (uint64_t) a[2 * i + 1] << 32);

		for (unsigned l = 0; l < 32; l++)
		{
			all_a[2 * i][l] = (uint32_t) got[l];
			all_a[2 * i + 1][l] = (uint32_t) (got[l] >> 32);
		}
	}
	{
		const uint64_t *got = emulated_exchange(b0 | (uint64_t) b1 << 32);

		for (unsigned l = 0; l < 32; l++)
		{
			all_b[0][l] = (uint32_t) got[l];
			all_b[1][l] = (uint32_t) (got[l] >> 32);
		}
	}
	for (unsigned i = 0; i < 4; i++)
	{
		unsigned	row = lane / 4 + i / 2 * 8;
		unsigned	column = lane % 4 * 2 + i % 2;

		for (unsigned k = 0; k < 16; k++)
		{
			/* a: row % 8 is the lane's group, k / 2 % 4 its place; rows from 8 and k from 8 are other registers */
			unsigned	of_a = row % 8 * 4 + k % 8 / 2;
			unsigned	of_b = column * 4 + k % 8 / 2;

			sum[i] += emulated_half(all_a[row / 8 + k / 8 * 2][of_a], k % 2) * emulated_half(all_b[k / 8][of_b], k % 2);
		}
	}
}

#endif							/* EMULATED_CUDA_RUNTIME_H */
