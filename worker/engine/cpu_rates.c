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

/* pieces of memory, of whole slices; each is read as streams that begin at its quarters */
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
	int			piece = index >= moving->slices[0];
	size_t		slice = SLICE_BYTES / CPU_STREAMS;

	if (piece == 1)
		index -= moving->slices[0];
	if (moving->to != NULL)
		memcpy(moving->to + index * SLICE_BYTES, moving->from[piece] + index * SLICE_BYTES, SLICE_BYTES);
	else
		/* the sum goes where nobody looks, but the compiler cannot know */
		cpu_scratch(moving->cpu, thread)[0] =
			moving->cpu->kernels->read(moving->from[piece] + index * slice, moving->slices[piece] * slice, slice);
}

/* all slices once; answers their bytes */
static size_t
pass_over(struct moving *moving)
{
	size_t		slices = moving->slices[0] + moving->slices[1];

	pool_run(moving->cpu->pool, move_item, moving, (int) slices);
	return slices * SLICE_BYTES;
}

/* bytes per second of the best pass over all slices */
static double
best_pass(struct moving *moving, double seconds)
{
	double		begin = machine_now();
	double		best = 0;

	if (moving->slices[0] + moving->slices[1] == 0)
		return NAN;
	/* the first pass warms the caches and does not count */
	for (int pass = 0; pass < 3 || machine_now() - begin < seconds; pass++)
	{
		double		start = machine_now();
		double		bytes = (double) pass_over(moving);
		double		rate = bytes / (machine_now() - start);

		if (pass > 0 && rate > best)
			best = rate;
	}
	return best;
}

/* the matrices and the KV cache: what a decode step at the end of the context reads */
static struct moving
step_reading(struct backend *cpu)
{
	const struct cpu_layout *layout = &cpu->layout;

	return (struct moving){
		.cpu = cpu,
		.from = {cpu_area(cpu, AREA_WEIGHTS), cpu_area(cpu, AREA_KEYS)},
		.slices = {layout->size[AREA_WEIGHTS] / SLICE_BYTES,
				   (layout->offset[AREA_ROPE] - layout->offset[AREA_KEYS]) / SLICE_BYTES},
	};
}

size_t
cpu_read_once(struct backend *cpu)
{
	struct moving reading = step_reading(cpu);

	return pass_over(&reading);
}

static double
read_rate(struct backend *cpu, double seconds)
{
	struct moving reading = step_reading(cpu);

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

static void
multiply_item(void *argument, int item, int thread)
{
	struct cpu_square *square = argument;
	struct backend *cpu = square->cpu;
	int			size = square->size;
	size_t		elements = (size_t) size * (size_t) size;
	const float *a = square->matrices;
	const float *b = a + elements;
	float	   *c = square->matrices + 2 * elements;
	int			threads = pool_threads(cpu->pool);
	int			first = (int) ((int64_t) size * item / threads);
	int			rows = (int) ((int64_t) size * (item + 1) / threads) - first;

	(void) thread;
	if (cpu->blas.sgemm != NULL)
		cpu->blas.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANSPOSE, BLAS_TRANSPOSE, size, rows, size, 1.0f, a, size,
						b + (size_t) first * (size_t) size, size, 0.0f, c + first, size);
	else
	{
		struct cpu_product product = {
			.k = size, .x = a, .ldx = (size_t) size, .columns = size, .ldy = (size_t) size
		};

		cpu_cut(product.streams, b + (size_t) first * (size_t) size, (size_t) size * sizeof(float), rows, c + first);
		cpu->kernels->product_f32(&product);
	}
}

bool
cpu_square_open(struct backend *cpu, int size, struct cpu_square *square)
{
	size_t		elements = (size_t) size * (size_t) size;

	*square = (struct cpu_square){cpu, size, malloc(3 * elements * sizeof(float))};
	if (square->matrices != NULL)
		cpu->kernels->fill(square->matrices, cpu->workload.seed, (int) (2 * elements), 1.0f, 0.0f);
	return square->matrices != NULL;
}

double
cpu_square_once(struct cpu_square *square)
{
	pool_run(square->cpu->pool, multiply_item, square, pool_threads(square->cpu->pool));
	return 2.0 * square->size * square->size * square->size;
}

void
cpu_square_close(struct cpu_square *square)
{
	free(square->matrices);
}

/* square products of growing size, each thread with its share of the columns */
static double
matrix_rate(struct backend *cpu, double seconds)
{
	double		begin = machine_now();
	double		best = 0;

	for (int size = CPU_SMALLEST_MATRIX; size <= CPU_LARGEST_MATRIX; size *= 2)
	{
		struct cpu_square square;
		double		last = 0;

		if (!cpu_square_open(cpu, size, &square))
			break;
		for (int pass = 0; pass < 4; pass++)
		{
			double		start = machine_now();
			double		flops;

			if (pass > 1 && start + last > begin + seconds)
				break;
			flops = cpu_square_once(&square);
			last = machine_now() - start;
			if (pass > 0)
				best = fmax(best, flops / last);
		}
		cpu_square_close(&square);
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
