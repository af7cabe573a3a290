/*
 * cuda_rates.c: what this device reaches without a model: reading, copying and
 * multiplying.  Times are the device's own, between two events.
 */
#include "cuda_rates.h"

#include <math.h>

#include "cuda_error.h"
#include "machine.h"

struct rate
{
	struct backend *cuda;
	char	   *memory;			/* CUDA_RATES_BYTES of it, for copying and multiplying */
	double		work;			/* bytes or FLOPs of one run */
};

/* what a decode step at the end of the context reads: the matrices and the KV cache */
static enum engine_status
read_once(struct rate *rate, struct engine_error *error)
{
	struct backend *cuda = rate->cuda;
	const struct cuda_layout *layout = &cuda->layout;
	size_t		matrices = layout->size[AREA_WEIGHTS] / 16 * 16;
	size_t		cache = layout->offset[AREA_ROPE] - layout->offset[AREA_KEYS];
	uint32_t   *sink = cuda_area(cuda, AREA_STEP);
	enum engine_status status = cuda_check(
		cuda_read(&cuda->queue, cuda_area(cuda, AREA_WEIGHTS), matrices, sink), "could not read", error);

	rate->work = (double) (matrices + cache);
	if (status == ENGINE_OK)
		status = cuda_check(cuda_read(&cuda->queue, cuda_area(cuda, AREA_KEYS), cache, sink), "could not read", error);
	return status;
}

/* each byte is read and written */
static enum engine_status
copy_once(struct rate *rate, struct engine_error *error)
{
	size_t		half = CUDA_RATES_BYTES / 2;

	rate->work = (double) (2 * half);
	return cuda_check(cudaMemcpyAsync(rate->memory + half, rate->memory, half, cudaMemcpyDeviceToDevice,
									  rate->cuda->queue.stream),
					  "could not copy", error);
}

static enum engine_status
multiply_once(struct rate *rate, struct engine_error *error)
{
	int			n = CUDA_RATES_MATRIX;
	size_t		matrix = (size_t) n * (size_t) n;
	uint16_t   *a = (uint16_t *) rate->memory;
	struct cuda_product product = {a, a + matrix, a + 2 * matrix, n, n, n, CUDA_HALVES};

	rate->work = 2.0 * n * (double) matrix;
	return cuda_multiply(&rate->cuda->products, &product, error);
}

typedef enum engine_status (*run_once)(struct rate *rate, struct engine_error *error);

/* the best of runs for about that time, at least three; the first does not count */
static enum engine_status
best_run(struct rate *rate, run_once run, double seconds, double *best, struct engine_error *error)
{
	cudaStream_t stream = rate->cuda->queue.stream;
	cudaEvent_t begin = NULL;
	cudaEvent_t end = NULL;
	double		start = machine_now();
	enum engine_status status = cuda_check(cudaEventCreate(&begin), "could not make an event", error);

	if (status == ENGINE_OK)
		status = cuda_check(cudaEventCreate(&end), "could not make an event", error);
	*best = 0;
	for (int i = 0; status == ENGINE_OK && (i < 4 || machine_now() - start < seconds); i++)
	{
		float		milliseconds = INFINITY;

		status = cuda_check(cudaEventRecord(begin, stream), "could not record an event", error);
		if (status == ENGINE_OK)
			status = run(rate, error);
		if (status == ENGINE_OK)
			status = cuda_check(cudaEventRecord(end, stream), "could not record an event", error);
		if (status == ENGINE_OK)
			status = cuda_check(cudaEventSynchronize(end), "while the device was calibrated", error);
		if (status == ENGINE_OK)
			status = cuda_check(cudaEventElapsedTime(&milliseconds, begin, end), "could not read an event", error);
		if (status == ENGINE_OK && i > 0)
			*best = fmax(*best, rate->work / (milliseconds * 1e-3));
	}
	if (begin != NULL)
		cudaEventDestroy(begin);
	if (end != NULL)
		cudaEventDestroy(end);
	return status;
}

enum engine_status
cuda_rate(struct backend *cuda, enum backend_rate which, double seconds, double *best, struct engine_error *error)
{
	struct rate rate = {.cuda = cuda};
	int			n = CUDA_RATES_MATRIX;
	enum engine_status status;

	if (which == RATE_READ)
		return best_run(&rate, read_once, seconds, best, error);
	status = cuda_check(cudaMalloc((void **) &rate.memory, CUDA_RATES_BYTES), "could not allocate for calibration",
						error);
	/* zeros would be multiplied with less power, and so faster, than any model is */
	if (status == ENGINE_OK)
		status = cuda_check(cuda_fill(&cuda->queue, rate.memory, true, cuda->weights_seed, 3 * (int64_t) n, n,
									  1, 0),
							"could not fill memory", error);
	if (status == ENGINE_OK && which == RATE_MATRIX)
	{
		size_t		matrix = (size_t) n * (size_t) n;
		uint16_t   *a = (uint16_t *) rate.memory;
		struct cuda_product product = {a, a + matrix, a + 2 * matrix, n, n, n, CUDA_HALVES};

		status = cuda_tune(&cuda->products, &product, error);
	}
	if (status == ENGINE_OK)
		status = best_run(&rate, which == RATE_COPY ? copy_once : multiply_once, seconds, best, error);
	cudaStreamSynchronize(cuda->queue.stream);
	cudaFree(rate.memory);
	return status;
}
