/*
 * cuda_read.cu: reading for its own sake, the ceiling of decoding.
 */
#include "cuda_device.cuh"

#define THREADS 512
#define BLOCKS_PER_PROCESSOR 4
#define AT_ONCE 8

__global__ void
read_kernel(const uint4 *from, int64_t pieces, uint32_t *sink)
{
	int64_t		threads = (int64_t) gridDim.x * blockDim.x;
	int64_t		i = (int64_t) blockIdx.x * blockDim.x + threadIdx.x;
	uint32_t	sum = 0;

	for (; i + (AT_ONCE - 1) * threads < pieces; i += AT_ONCE * threads)
	{
		uint4		pieces_read[AT_ONCE];

#pragma unroll
		for (int j = 0; j < AT_ONCE; j++)
			pieces_read[j] = load_streaming(from + i + j * threads);
#pragma unroll
		for (int j = 0; j < AT_ONCE; j++)
			sum += pieces_read[j].x ^ pieces_read[j].y ^ pieces_read[j].z ^ pieces_read[j].w;
	}
	for (; i < pieces; i += threads)
	{
		uint4		piece = load_streaming(from + i);

		sum += piece.x ^ piece.y ^ piece.z ^ piece.w;
	}
	/* as good as never, but the compiler cannot know */
	if (sum == 0x9e3779b9u)
		*sink = sum;
}

cudaError_t
cuda_read(const struct cuda_queue *queue, const void *from, size_t bytes, uint32_t *sink)
{
	return launch_alone(queue, read_kernel, queue->processors * BLOCKS_PER_PROCESSOR, THREADS, (const uint4 *) from,
						(int64_t) (bytes / 16), sink);
}
