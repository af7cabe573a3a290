/*
 * cpu_rates.c: what this machine reaches without a model: reading, copying and
 * multiplying, by the same threads and kernels that the model uses.
 */
#include "cpu_rates.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

/* how much a thread reads or copies before it asks for more */
#define SLICE_BYTES (64 << 10)

struct moving
{
	struct backend *cpu;
	const char *from[2];
	size_t		slices[2];
	char	   *to;				/* copied there, NULL: only read */
};

static void
move_item(void *argument, int item, int thread)
{
	struct moving *moving = argument;
	size_t		index = (size_t) item;
	int			part = index >= moving->slices[0];
	const char *from;

	if (part == 1)
		index -= moving->slices[0];
	from = moving->from[part] + index * SLICE_BYTES;
	if (moving->to != NULL)
		memcpy(moving->to + index * SLICE_BYTES, from, SLICE_BYTES);
	else
		/* the sum goes where nobody looks, but the compiler cannot know */
		cpu_scratch(moving->cpu, thread)[0] = moving->cpu->kernels->read(from, SLICE_BYTES);
}

/* bytes per second of the best pass over all slices */
static double
best_pass(struct moving *moving, double seconds)
{
	struct pool *pool = moving->cpu->pool;
	size_t		slices = moving->slices[0] + moving->slices[1];
	double		begin = machine_now();
	double		best = 0;

	if (slices == 0)
		return NAN;
	/* the first pass warms the caches and does not count */
	for (int pass = 0; pass < 3 || machine_now() - begin < seconds; pass++)
	{
		double		start = machine_now();
		double		rate;

		pool_run(pool, move_item, moving, (int) slices);
		rate = (double) (slices * SLICE_BYTES) / (machine_now() - start);
		if (pass > 0 && rate > best)
			best = rate;
	}
	return best;
}

/* the matrices and the KV cache: what a decode step at the end of the context reads */
static double
read_rate(struct backend *cpu, double seconds)
{
	const struct cpu_layout *layout = &cpu->layout;
	struct moving reading = {
		.cpu = cpu,
		.from = {cpu_area(cpu, AREA_WEIGHTS), cpu_area(cpu, AREA_KEYS)},
		.slices = {layout->size[AREA_WEIGHTS] / SLICE_BYTES,
				   (layout->offset[AREA_ROPE] - layout->offset[AREA_KEYS]) / SLICE_BYTES},
	};

	return best_pass(&reading, seconds);
}

/* within the memory that the matrix product is allowed, too */
static double
copy_rate(struct backend *cpu, double seconds)
{
	size_t		size = CPU_RATES_BYTES / 2 / SLICE_BYTES * SLICE_BYTES;
	char	   *memory = malloc(2 * size);
	struct moving copying = {.cpu = cpu, .from = {memory}, .slices = {size / SLICE_BYTES}, .to = memory + size};
	double		rate;

	if (memory == NULL)
		return NAN;
	memset(memory, 1, 2 * size);
	/* each byte is read and written */
	rate = 2 * best_pass(&copying, seconds);
	free(memory);
	return rate;
}

struct multiplication
{
	struct backend *cpu;
	int			size;
	const float *a;
	const float *b;
	float	   *c;
};

static void
multiply_item(void *argument, int item, int thread)
{
	struct multiplication *m = argument;
	int			threads = pool_threads(m->cpu->pool);
	int			first = (int) ((int64_t) m->size * item / threads);
	int			rows = (int) ((int64_t) m->size * (item + 1) / threads) - first;

	(void) thread;
	if (m->cpu->blas.sgemm != NULL)
		m->cpu->blas.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANSPOSE, BLAS_TRANSPOSE,
						   m->size, rows, m->size, 1.0f, m->a, m->size,
						   m->b + (size_t) first * (size_t) m->size, m->size,
						   0.0f, m->c + first, m->size);
	else
		m->cpu->kernels->product_f32(m->b + (size_t) first * (size_t) m->size, (size_t) m->size,
									 rows, m->size, m->a, (size_t) m->size, m->size,
									 m->c + first, (size_t) m->size, false);
}

/* square products of growing size, each thread with its share of the columns */
static double
matrix_rate(struct backend *cpu, double seconds)
{
	double		begin = machine_now();
	double		best = 0;

	for (int size = 512; size <= CPU_LARGEST_MATRIX; size *= 2)
	{
		size_t		elements = (size_t) size * (size_t) size;
		float	   *matrices = malloc(3 * elements * sizeof(float));
		struct multiplication m = {cpu, size, matrices, NULL, NULL};
		double		last = 0;

		if (matrices == NULL)
			break;
		m.b = matrices + elements;
		m.c = matrices + 2 * elements;
		cpu->kernels->fill(matrices, cpu->workload.seed, (int) (2 * elements), 1.0f, 0.0f);
		for (int pass = 0; pass < 4; pass++)
		{
			double		start = machine_now();

			if (pass > 1 && start + last > begin + seconds)
				break;
			pool_run(cpu->pool, multiply_item, &m, pool_threads(cpu->pool));
			last = machine_now() - start;
			if (pass > 0)
				best = fmax(best, 2.0 * size * (double) elements / last);
		}
		free(matrices);
		/* the next size takes eight times as long, at least twice */
		if (machine_now() + 16 * last > begin + seconds)
			break;
	}
	return best;
}

double
cpu_rate(struct backend *cpu, enum backend_rate which, double seconds)
{
	switch (which)
	{
		case RATE_READ:
			return read_rate(cpu, seconds);
		case RATE_COPY:
			return copy_rate(cpu, seconds);
		case RATE_MATRIX:
			return matrix_rate(cpu, seconds);
	}
	return NAN;
}
