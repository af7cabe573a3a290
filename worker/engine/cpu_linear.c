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

/* weight rows that are widened or multiplied together, at most */
#define PANEL_ROWS 256

/* an item smaller than this costs more to hand out than it gains in balance; a larger one makes others wait */
#define LEAST_ITEM_BYTES (16 * 1024)
#define MOST_ITEM_BYTES (64 * 1024)

static bool
uses_library(const struct backend *cpu, int m)
{
	return cpu->blas.sgemm != NULL && m > CPU_OWN_PRODUCT_ROWS;
}

/* a part of the weight rows, in the calling thread */
static void
product(struct backend *cpu, const void *weights, int n, int k,
		const float *x, int m, float *y, int ldy, bool accumulate, float *panel)
{
	const struct cpu_kernels *kernels = cpu->kernels;
	bool		half = cpu->precision == PRECISION_BF16;
	int			columns = OWN_PRODUCT_BYTES / (4 * k) / 8 * 8;

	if (uses_library(cpu, m))
	{
		if (half)
			kernels->widen(weights, panel, (size_t) n * (size_t) k);
		cpu->blas.sgemm(BLAS_ROW_MAJOR, BLAS_NO_TRANSPOSE, BLAS_TRANSPOSE, m, n, k,
						1.0f, x, k, half ? panel : weights, k,
						accumulate ? 1.0f : 0.0f, y, ldy);
		return;
	}
	if (columns < 8)
		columns = 8;
	for (int c = 0; c < m; c += columns)
	{
		int			taken = cpu_smaller(columns, m - c);
		const float *from = x + (size_t) c * (size_t) k;
		float	   *to = y + (size_t) c * (size_t) ldy;

		if (half)
			kernels->product_bf16(weights, (size_t) k, n, k, from, (size_t) k, taken,
								  to, (size_t) ldy, accumulate);
		else
			kernels->product_f32(weights, (size_t) k, n, k, from, (size_t) k, taken,
								 to, (size_t) ldy, accumulate);
	}
}

struct linear
{
	struct backend *cpu;
	const char *weights;
	int			n;
	int			k;
	int			step;			/* weight rows per item */
	const float *x;
	int			m;
	float	   *y;
	int			ldy;
	bool		accumulate;
};

/*
 * Weight rows per item.  The library wants large parts, and as many as the
 * threads can share evenly; our own kernels want parts small enough that a
 * thread which lost its CPU holds up little.
 */
static int
item_rows(const struct backend *cpu, int n, int k, int m)
{
	int			threads = pool_threads(cpu->pool);
	int			rows;

	if (uses_library(cpu, m))
	{
		int			parts = cpu_parts(n, PANEL_ROWS);

		rows = cpu_parts(n, cpu_parts(parts, threads) * threads);
		rows = cpu_parts(rows, 16) * 16;
	}
	else
	{
		int			row_bytes = k * (int) precision_bytes(cpu->precision);

		rows = n / (threads * 8);
		if (rows > MOST_ITEM_BYTES / row_bytes)
			rows = MOST_ITEM_BYTES / row_bytes;
		if (rows < LEAST_ITEM_BYTES / row_bytes)
			rows = LEAST_ITEM_BYTES / row_bytes;
		if (threads == 1)
			rows = n;
		rows = cpu_parts(rows < 1 ? 1 : rows, 4) * 4;
	}
	return cpu_smaller(rows, PANEL_ROWS);
}

static const char *
weight_rows(const struct linear *linear, int row)
{
	return linear->weights + (size_t) row * (size_t) linear->k * precision_bytes(linear->cpu->precision);
}

static void
linear_item(void *argument, int item, int thread)
{
	struct linear *linear = argument;
	int			first = item * linear->step;

	product(linear->cpu, weight_rows(linear, first),
			cpu_smaller(linear->step, linear->n - first), linear->k,
			linear->x, linear->m, linear->y + first, linear->ldy,
			linear->accumulate, cpu_scratch(linear->cpu, thread));
}

void
cpu_linear(struct backend *cpu, const void *weights, int n, int k,
		   const float *x, int m, float *y, int ldy, bool accumulate)
{
	struct linear linear = {cpu, weights, n, k, item_rows(cpu, n, k, m), x, m, y, ldy, accumulate};

	pool_run(cpu->pool, linear_item, &linear, cpu_parts(n, linear.step));
}

/* the same rows of gate and of up, and what becomes of them */
static void
gate_up_item(void *argument, int item, int thread)
{
	struct linear *linear = argument;
	struct backend *cpu = linear->cpu;
	int			first = item * linear->step;
	int			n = cpu_smaller(linear->step, linear->n - first);
	float	   *gate = cpu_scratch(cpu, thread);
	float	   *up = gate + (size_t) linear->m * (size_t) n;
	float	   *panel = up + (size_t) linear->m * (size_t) n;

	product(cpu, weight_rows(linear, first), n, linear->k,
			linear->x, linear->m, gate, n, false, panel);
	product(cpu, weight_rows(linear, linear->n + first), n, linear->k,
			linear->x, linear->m, up, n, false, panel);
	for (int row = 0; row < linear->m; row++)
		cpu->kernels->swiglu(gate + (size_t) row * (size_t) n, up + (size_t) row * (size_t) n,
							 linear->y + (size_t) row * (size_t) linear->ldy + first, n);
}

void
cpu_gate_up(struct backend *cpu, const void *gate_up, const float *x, int m, float *out)
{
	int			ffn = (int) cpu->a.ffn_dim;
	int			hidden = (int) cpu->a.hidden_size;
	struct linear linear = {cpu, gate_up, ffn, hidden, item_rows(cpu, ffn, hidden, m),
							x, m, out, ffn, false};

	pool_run(cpu->pool, gate_up_item, &linear, cpu_parts(ffn, linear.step));
}

size_t
cpu_linear_scratch(const struct architecture *a, enum precision precision, int rows)
{
	size_t		gate_up = 2 * (size_t) rows * PANEL_ROWS;
	size_t		widest = (size_t) a->hidden_size;

	if (precision != PRECISION_BF16)
		return gate_up;
	if (widest < (size_t) a->ffn_dim)
		widest = (size_t) a->ffn_dim;
	if (widest < (size_t) (a->n_heads * a->head_dim))
		widest = (size_t) (a->n_heads * a->head_dim);
	return gate_up + PANEL_ROWS * widest;
}
