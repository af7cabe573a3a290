/*
 * cpu_linear.c: activations times weights.
 *
 * Weight rows are shared out over the pool.  Few activation rows (decode) go
 * through our own kernels, which read the weights once at memory speed; many
 * (prefill) through OpenBLAS, in whose calling thread each part is computed.
 * OpenBLAS has no bf16 product, so there a panel of weights is widened first;
 * without OpenBLAS our own kernels do everything, and slower.
 */
#include "cpu_linear.h"

/* columns of x that stay in the second-level cache beside the weights */
#define OWN_PRODUCT_BYTES (256 * 1024)

/* weight rows of an item, at most: the library copies all of x for each */
#define LIBRARY_ROWS 512
#define OWN_ROWS 256

/* an item smaller than this costs more to hand out than it gains in balance; a larger one makes others wait */
#define LEAST_ITEM_BYTES (16 * 1024)
#define MOST_ITEM_BYTES (128 * 1024)

static bool
uses_library(const struct backend *cpu, int m)
{
	return cpu->blas.sgemm != NULL && m > CPU_OWN_PRODUCT_ROWS;
}

/*
 * The rows that are worked on side by side: for our own kernels streams, for the
 * library one part of them, or gate and up.
 */
struct linear
{
	struct backend *cpu;
	const char *weights;
	int			k;
	const float *x;
	int			m;
	float	   *y;
	int			ldy;
	bool		accumulate;
	int			streams;
	int			piece;			/* rows of the first stream, and no fewer than of the others */
	int			begin[CPU_STREAMS];
	int			end[CPU_STREAMS];
	int			step;			/* rows of each stream in an item */
};

/*
 * Rows of each stream in an item.  The library wants large items, and as many as
 * the threads can share evenly; our own kernels want them small enough that a
 * thread which lost its CPU holds up little.
 */
static int
step_rows(const struct linear *linear)
{
	int			threads = pool_threads(linear->cpu->pool);
	int			bytes = linear->k * (int) precision_bytes(linear->cpu->precision) * CPU_STREAMS;
	int			rows;

	if (uses_library(linear->cpu, linear->m))
	{
		rows = cpu_parts(linear->piece, cpu_parts(cpu_parts(linear->piece, LIBRARY_ROWS), threads) * threads);
		return cpu_smaller(cpu_parts(rows, 16) * 16, LIBRARY_ROWS);
	}
	rows = linear->piece / (threads * 8);
	if (rows > MOST_ITEM_BYTES / bytes)
		rows = MOST_ITEM_BYTES / bytes;
	if (rows < LEAST_ITEM_BYTES / bytes)
		rows = LEAST_ITEM_BYTES / bytes;
	if (threads == 1 || rows > OWN_ROWS / CPU_STREAMS)
		rows = OWN_ROWS / CPU_STREAMS;
	return rows < 1 ? 1 : rows;
}

/* shares out the work: parts (gate and up, or one) of n rows each */
static void
run_items(struct linear *linear, pool_work work, int parts, int n)
{
	linear->streams = uses_library(linear->cpu, linear->m) ? parts : CPU_STREAMS;
	linear->piece = cpu_parts(n, linear->streams / parts);
	for (int i = 0; i < linear->streams; i++)
	{
		int			part = i / (linear->streams / parts);

		linear->begin[i] = part * n + i % (linear->streams / parts) * linear->piece;
		linear->end[i] = cpu_smaller(linear->begin[i] + linear->piece, (part + 1) * n);
	}
	linear->step = step_rows(linear);
	pool_run(linear->cpu->pool, work, linear, cpu_parts(linear->piece, linear->step));
}

/* the rows that an item has of a stream; of the last ones there may be none */
static int
item_rows(const struct linear *linear, int item, int stream)
{
	int			left = linear->end[stream] - linear->begin[stream] - item * linear->step;

	return left < 0 ? 0 : cpu_smaller(left, linear->step);
}

static const char *
item_weights(const struct linear *linear, int item, int stream)
{
	size_t		row_bytes = (size_t) linear->k * precision_bytes(linear->cpu->precision);

	return linear->weights + (size_t) (linear->begin[stream] + item * linear->step) * row_bytes;
}

/* one item of one part by the library, in the calling thread */
static void
library_product(const struct linear *linear, int item, int part, float *y, int ldy, float *panel)
{
	struct backend *cpu = linear->cpu;
	bool		half = cpu->precision == PRECISION_BF16;
	const void *weights = item_weights(linear, item, part);
	int			n = item_rows(linear, item, part);
	int			k = linear->k;

	if (half)
		cpu->kernels->widen(weights, panel, (size_t) n * (size_t) k);
	cpu->blas.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANSPOSE, BLAS_TRANSPOSE, linear->m, n, k, 1.0f, linear->x, k,
					half ? panel : weights, k, linear->accumulate ? 1.0f : 0.0f, y, ldy);
}

/* one item by our own kernels; the streams' results go to y, y_apart from each other */
static void
own_product(const struct linear *linear, int item, float *y, int y_apart, int ldy)
{
	const struct cpu_kernels *kernels = linear->cpu->kernels;
	bool		half = linear->cpu->precision == PRECISION_BF16;
	int			k = linear->k;
	int			columns = OWN_PRODUCT_BYTES / (4 * k) / 8 * 8;

	if (columns < 8)
		columns = 8;
	for (int c = 0; c < linear->m; c += columns)
	{
		struct cpu_product product = {
			.k = k,
			.x = linear->x + (size_t) c * (size_t) k,
			.ldx = (size_t) k,
			.columns = cpu_smaller(columns, linear->m - c),
			.ldy = (size_t) ldy,
			.accumulate = linear->accumulate,
		};

		for (int i = 0; i < CPU_STREAMS; i++)
			product.streams[i] = (struct cpu_stream){
				item_weights(linear, item, i), y + i * y_apart + (size_t) c * (size_t) ldy, item_rows(linear, item, i)};
		(half ? kernels->product_bf16 : kernels->product_f32)(&product);
	}
}

static void
linear_item(void *argument, int item, int thread)
{
	struct linear *linear = argument;
	float	   *y = linear->y + item * linear->step;

	if (uses_library(linear->cpu, linear->m))
		library_product(linear, item, 0, y, linear->ldy, cpu_scratch(linear->cpu, thread));
	else
		own_product(linear, item, y, linear->piece, linear->ldy);
}

void
cpu_linear(struct backend *cpu, const void *weights, int n, int k,
		   const float *x, int m, float *y, int ldy, bool accumulate)
{
	struct linear linear = {
		.cpu = cpu, .weights = weights, .k = k, .x = x, .m = m, .y = y, .ldy = ldy, .accumulate = accumulate
	};

	run_items(&linear, linear_item, 1, n);
}

/* the same rows of gate and of up, and what becomes of them; the gate waits where the result goes */
static void
library_gate_up(const struct linear *linear, int item, float *up)
{
	int			width = linear->step;
	float	   *panel = up + (size_t) linear->m * (size_t) width;

	library_product(linear, item, 0, linear->y + item * width, linear->ldy, panel);
	library_product(linear, item, 1, up, width, panel);
	for (int row = 0; row < linear->m; row++)
	{
		float	   *gate = linear->y + (size_t) row * (size_t) linear->ldy + item * width;

		linear->cpu->kernels->swiglu(gate, up + (size_t) row * (size_t) width, gate, item_rows(linear, item, 0));
	}
}

static void
own_gate_up(const struct linear *linear, int item, float *both)
{
	int			up = linear->streams / 2;
	int			step = linear->step;
	int			width = linear->streams * step;

	own_product(linear, item, both, step, width);
	for (int row = 0; row < linear->m; row++)
	{
		const float *from = both + (size_t) row * (size_t) width;
		float	   *to = linear->y + (size_t) row * (size_t) linear->ldy + item * step;

		for (int i = 0; i < up; i++)
			linear->cpu->kernels->swiglu(from + i * step, from + (i + up) * step, to + linear->begin[i],
										 item_rows(linear, item, i));
	}
}

static void
gate_up_item(void *argument, int item, int thread)
{
	struct linear *linear = argument;
	float	   *scratch = cpu_scratch(linear->cpu, thread);

	if (uses_library(linear->cpu, linear->m))
		library_gate_up(linear, item, scratch);
	else
		own_gate_up(linear, item, scratch);
}

void
cpu_gate_up(struct backend *cpu, const void *gate_up, const float *x, int m, float *out)
{
	int			ffn = (int) cpu->a.ffn_dim;
	struct linear linear = {
		.cpu = cpu, .weights = gate_up, .k = (int) cpu->a.hidden_size, .x = x, .m = m, .y = out, .ldy = ffn
	};

	run_items(&linear, gate_up_item, 2, ffn);
}

size_t
cpu_linear_scratch(const struct architecture *a, enum precision precision, int rows)
{
	/* of our own product both gate and up, of the library's only up */
	size_t		gate_up = (size_t) rows * LIBRARY_ROWS;
	size_t		widest = (size_t) a->hidden_size;

	if (precision != PRECISION_BF16)
		return gate_up;
	if (widest < (size_t) a->ffn_dim)
		widest = (size_t) a->ffn_dim;
	if (widest < (size_t) (a->n_heads * a->head_dim))
		widest = (size_t) (a->n_heads * a->head_dim);
	return gate_up + LIBRARY_ROWS * widest;
}
