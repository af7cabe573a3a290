/*
 * engine.c: how near benchorch-engine's CPU backend comes to this machine's own
 * limits, on a machine that others use meanwhile.
 *
 *   bench-engine decode THREADS PRECISION STEPS
 *   bench-engine prefill THREADS PRECISION PROMPTS
 *
 * Each prints one line: the share of the limit as the median, the 10th and the
 * 90th percentile, the same median in CPU time, then limit and speed in units
 * per second.
 *
 * What is measured and what it is measured against take turns in one process,
 * step by step: a decode step of SmolLM2-135M's shape lies between two passes of
 * a kernel that only reads, over the same bytes; a prompt between matrix products
 * of the size that is fastest.  Each share is that of a step and its own two
 * neighbours, so what others do to all three cancels out, and a median of the
 * shares is left.  CPU time leaves out the time in which others had the CPU, but
 * has the spinning of a thread that waits for another.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "config.h"
#include "cpu_rates.h"
#include "machine.h"
#include "roofline.h"
#include "statistics.h"

#define MOST_STEPS 4096
#define DECODE_CONTEXT 1024
#define PROMPT_TOKENS 512
#define PRODUCT_FLOPS 7e10		/* about half a prompt's */

static const struct architecture smollm = {
	.n_layers = 30,
	.hidden_size = 576,
	.n_heads = 9,
	.n_kv_heads = 3,
	.head_dim = 64,
	.ffn_dim = 1536,
	.vocab_size = 49152,
	.tied_embeddings = true,
};

static struct engine_error error;

static void
must(enum engine_status status)
{
	if (status == ENGINE_OK)
		return;
	fprintf(stderr, "bench-engine: %s\n", error.message);
	exit(status);
}

/* seconds on two clocks */
struct moment
{
	double		wall;
	double		cpu;
};

static struct moment
now(void)
{
	struct timespec cpu;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
	return (struct moment){machine_now(), (double) cpu.tv_sec + (double) cpu.tv_nsec * 1e-9};
}

static struct moment
since(struct moment begin)
{
	struct moment end = now();

	return (struct moment){end.wall - begin.wall, end.cpu - begin.cpu};
}

/* units per second of a step, and of the limit before and after it */
struct shares
{
	int			count;
	double		wall[MOST_STEPS];
	double		cpu[MOST_STEPS];
	double		speed[MOST_STEPS];
	double		limit[MOST_STEPS];
};

static void
print_shares(const struct shares *shares)
{
	size_t		n = (size_t) shares->count;
	struct summary wall = statistics_summary(shares->wall, n, 1);

	printf("%.3f %.3f %.3f %.3f %.4g %.4g\n", wall.p50, wall.p10, wall.p90, statistics_median(shares->cpu, n),
		   statistics_median(shares->limit, n), statistics_median(shares->speed, n));
}

static struct backend *
open_model(int threads, enum precision precision, int input, int output)
{
	struct backend_options options = {.threads = threads, .library = true};
	struct workload workload = {precision, 1, input, output, 1};
	struct backend *cpu;

	must(cpu_backend.open(&smollm, precision, 1, &options, &cpu, &error));
	must(cpu_backend.prepare(cpu, &workload, &error));
	must(cpu_backend.settle(cpu, &error));
	return cpu;
}

static struct moment
read_once(struct backend *cpu, double *bytes)
{
	struct moment begin = now();

	*bytes = (double) cpu_read_once(cpu);
	return since(begin);
}

static void
bench_decode(struct backend *cpu, int steps, struct shares *shares)
{
	int32_t		tokens[DECODE_CONTEXT];
	int32_t		token;
	double		read_bytes;
	struct moment before;

	for (int i = 0; i < DECODE_CONTEXT; i++)
		tokens[i] = model_token(&smollm, 1, 0, i);
	must(cpu_backend.prefill(cpu, tokens, DECODE_CONTEXT, &token, &error));
	/* what is done for the first time is slower */
	read_once(cpu, &read_bytes);
	must(cpu_backend.decode(cpu, tokens, &token, &error));
	before = read_once(cpu, &read_bytes);
	for (int i = 0; i < steps; i++)
	{
		double		bytes = roofline_decode_bytes(&smollm, &cpu->workload, cpu->context + 1);
		struct moment begin = now();
		struct moment step;
		struct moment after;

		must(cpu_backend.decode(cpu, tokens + i % DECODE_CONTEXT, &token, &error));
		step = since(begin);
		after = read_once(cpu, &read_bytes);
		shares->limit[i] = 2 * read_bytes / (before.wall + after.wall);
		shares->speed[i] = bytes / step.wall;
		shares->wall[i] = shares->speed[i] / shares->limit[i];
		shares->cpu[i] = bytes / step.cpu / (2 * read_bytes / (before.cpu + after.cpu));
		before = after;
	}
	shares->count = steps;
}

/* one product after the other for that many FLOPs at least */
static struct moment
multiply(struct cpu_square *square, double least, double *flops)
{
	struct moment begin = now();

	for (*flops = 0; *flops < least;)
		*flops += cpu_square_once(square);
	return since(begin);
}

/* the size whose products are fastest, by CPU time */
static struct cpu_square
best_square(struct backend *cpu)
{
	struct cpu_square best = {NULL, 0, NULL};
	double		most = 0;

	for (int size = CPU_SMALLEST_MATRIX; size <= CPU_LARGEST_MATRIX; size *= 2)
	{
		struct cpu_square square;
		double		flops;
		struct moment took;

		if (!cpu_square_open(cpu, size, &square))
			continue;
		cpu_square_once(&square);
		took = multiply(&square, PRODUCT_FLOPS, &flops);
		if (flops / took.cpu > most)
		{
			most = flops / took.cpu;
			cpu_square_close(&best);
			best = square;
		}
		else
			cpu_square_close(&square);
	}
	return best;
}

static void
bench_prefill(struct backend *cpu, int prompts, struct shares *shares)
{
	struct ceilings one = {1, 1, 1};
	double		flops = roofline_bound(&smollm, &cpu->workload, one).ttft_s;
	struct cpu_square square = best_square(cpu);
	int32_t		tokens[PROMPT_TOKENS];
	int32_t		token;
	double		product_flops;
	struct moment before;

	for (int i = 0; i < PROMPT_TOKENS; i++)
		tokens[i] = model_token(&smollm, 1, 0, i);
	must(cpu_backend.prefill(cpu, tokens, PROMPT_TOKENS, &token, &error));
	before = multiply(&square, PRODUCT_FLOPS, &product_flops);
	for (int i = 0; i < prompts; i++)
	{
		struct moment begin = now();
		struct moment step;
		struct moment after;

		must(cpu_backend.prefill(cpu, tokens, PROMPT_TOKENS, &token, &error));
		step = since(begin);
		after = multiply(&square, PRODUCT_FLOPS, &product_flops);
		shares->limit[i] = 2 * product_flops / (before.wall + after.wall);
		shares->speed[i] = flops / step.wall;
		shares->wall[i] = shares->speed[i] / shares->limit[i];
		shares->cpu[i] = flops / step.cpu / (2 * product_flops / (before.cpu + after.cpu));
		before = after;
	}
	shares->count = prompts;
	cpu_square_close(&square);
}

int
main(int argc, char **argv)
{
	static struct shares shares;
	enum precision precision;
	bool		decode = argc == 5 && strcmp(argv[1], "decode") == 0;
	int			threads = argc == 5 ? atoi(argv[2]) : 0;
	int			count = argc == 5 ? atoi(argv[4]) : 0;

	if ((!decode && (argc != 5 || strcmp(argv[1], "prefill") != 0)) || threads < 1 || count < 1 || count > MOST_STEPS)
	{
		fprintf(stderr, "usage: bench-engine decode|prefill THREADS fp32|bf16 COUNT\n");
		return ENGINE_USAGE;
	}
	must(config_read_precision(argv[3], &precision, &error));
	if (decode)
		bench_decode(open_model(threads, precision, DECODE_CONTEXT, count + 2), count, &shares);
	else
		bench_prefill(open_model(threads, precision, PROMPT_TOKENS, 1), count, &shares);
	print_shares(&shares);
	return 0;
}
