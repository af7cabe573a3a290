/*
 * main.c: benchorch-engine's command line.  One process runs one config and
 * writes one JSON object.
 *
 * Standard output carries the result and nothing else; everything for people
 * goes to standard error.  A process that has nothing to run opens no library.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backend.h"
#include "config.h"
#include "machine.h"
#include "measure.h"
#include "model.h"
#include "report.h"

#ifndef BENCHORCH_VERSION
#error "the build sets BENCHORCH_VERSION, from the extension's control file"
#endif

#define TOOL "benchorch-engine"
#define MOST_BUDGET 86400
#define MOST_THREADS 1024
#define LARGEST_FILE (1 << 20)

/* what --calibrate reads when it is given no architecture: 513 MiB of weights in fp32 */
static const char default_shape[] =
	"{\"n_layers\":30,\"hidden_size\":576,\"n_heads\":9,\"n_kv_heads\":3,\"head_dim\":64,"
	"\"ffn_dim\":1536,\"vocab_size\":49152,\"tied_embeddings\":true}";

static const char help[] =
	"usage: " TOOL " --architecture JSON|@FILE --batch-size N --input-tokens N --output-tokens N\n"
	"\n"
	"Runs a decoder-only transformer of the given shape, with synthetic weights, and\n"
	"writes what it measured as one JSON object.\n"
	"\n"
	"  --architecture JSON|@FILE  the model's shape: n_layers, hidden_size, n_heads, ffn_dim,\n"
	"                             vocab_size; optional n_kv_heads (n_heads), head_dim\n"
	"                             (hidden_size ÷ n_heads), tied_embeddings, qkv_bias, qk_norm.\n"
	"                             Dense models only: a mixture of experts is refused.\n"
	"  --model NAME               a name to repeat in the result\n"
	"  --batch-size N             requests that run together, 1 to 64\n"
	"  --input-tokens N           tokens of each prompt\n"
	"  --output-tokens N          tokens to produce for each request\n"
	"  --precision fp32|bf16      of weights and KV cache, default fp32; bf16 computes in fp32\n"
	"  --seed N                   of weights and tokens, default 1\n"
	"  --threads N|auto           default auto: the CPUs this process may use\n"
	"  --budget SECONDS           for the whole process, default 10; one repeat is always made\n"
	"  --backend auto|cpu         default auto\n"
	"  --output FILE              write the result there instead of standard output\n"
	"  --calibrate                only measure this machine: read bandwidth over the\n"
	"                             architecture's footprint, and the best matrix product\n"
	"  --kernels NAME             plain, avx2 or avx512 instead of the best (for tests)\n"
	"  --no-blas                  do not use OpenBLAS (for tests)\n"
	"  --help, --version\n"
	"\n"
	"The tokens fed come from the seed, not from the model.  OpenBLAS is used where it\n"
	"is installed; BENCHORCH_BLAS_CORETYPE overrides which of its kernels.\n"
	"\n"
	"Exit codes: 0 ok, 64 wrong command line, 65 a config that cannot be run,\n"
	"69 does not fit into memory, 70 internal error.\n";

enum action
{
	ACTION_RUN,
	ACTION_CALIBRATE,
	ACTION_DONE,				/* help or version */
};

struct arguments
{
	enum action action;
	const char *architecture;
	const char *model;
	const char *output;
	const char *backend;
	struct backend_options options;
	struct workload workload;
	double		budget;
};

/* a whole number in decimal; anything else is a usage error */
static enum engine_status
parse_integer(const char *option, const char *text, int64_t *number, struct engine_error *error)
{
	char	   *end;

	errno = 0;
	*number = strtoll(text, &end, 10);
	if (errno != 0 || end == text || *end != 0)
		return engine_fail(error, ENGINE_USAGE, "--%s needs a whole number, not \"%s\"", option, text);
	return ENGINE_OK;
}

/* the same, but within what an int holds: config_check() has the real limits */
static enum engine_status
parse_int(const char *option, const char *text, int *number, struct engine_error *error)
{
	int64_t		parsed;
	enum engine_status status = parse_integer(option, text, &parsed, error);

	if (status == ENGINE_OK && (parsed < 0 || parsed > INT32_MAX))
		return engine_fail(error, ENGINE_BAD_CONFIG, "--%s %s is out of range", option, text);
	*number = (int) parsed;
	return status;
}

static enum engine_status
parse_threads(const char *text, int *threads, struct engine_error *error)
{
	enum engine_status status;

	if (strcmp(text, "auto") == 0)
	{
		*threads = machine_cpus();
		return ENGINE_OK;
	}
	status = parse_int("threads", text, threads, error);
	if (status == ENGINE_OK && (*threads < 1 || *threads > MOST_THREADS))
		return engine_fail(error, ENGINE_USAGE, "--threads must be from 1 to %d, or auto", MOST_THREADS);
	return status;
}

static enum engine_status
parse_budget(const char *text, double *budget, struct engine_error *error)
{
	char	   *end;

	*budget = strtod(text, &end);
	if (end == text || *end != 0 || !(*budget > 0) || *budget > MOST_BUDGET)
		return engine_fail(error, ENGINE_USAGE, "--budget needs seconds, more than 0 and at most %d", MOST_BUDGET);
	return ENGINE_OK;
}

static enum engine_status
parse_precision(const char *text, enum precision *precision, struct engine_error *error)
{
	if (strcmp(text, precision_name(PRECISION_FP32)) == 0)
		*precision = PRECISION_FP32;
	else if (strcmp(text, precision_name(PRECISION_BF16)) == 0)
		*precision = PRECISION_BF16;
	else
		return engine_fail(error, ENGINE_BAD_CONFIG, "precision \"%s\" is not supported, only fp32 and bf16", text);
	return ENGINE_OK;
}

static enum engine_status
parse_option(int option, const char *name, const char *text, struct arguments *arguments,
			 struct engine_error *error)
{
	int64_t		seed;
	enum engine_status status;

	switch (option)
	{
		case 'a':
			arguments->architecture = text;
			return ENGINE_OK;
		case 'm':
			arguments->model = text;
			return ENGINE_OK;
		case 'b':
			return parse_int(name, text, &arguments->workload.batch_size, error);
		case 'i':
			return parse_int(name, text, &arguments->workload.input_tokens, error);
		case 'o':
			return parse_int(name, text, &arguments->workload.output_tokens, error);
		case 'p':
			return parse_precision(text, &arguments->workload.precision, error);
		case 's':
			status = parse_integer(name, text, &seed, error);
			/* the result repeats it, and JSON numbers are exact to 2^53 */
			if (status == ENGINE_OK && (seed < 0 || seed > (int64_t) 1 << 53))
				return engine_fail(error, ENGINE_USAGE, "--seed must be from 0 to 2^53");
			arguments->workload.seed = (uint64_t) seed;
			return status;
		case 't':
			return parse_threads(text, &arguments->options.threads, error);
		case 'g':
			return parse_budget(text, &arguments->budget, error);
		case 'B':
			arguments->backend = text;
			return ENGINE_OK;
		case 'O':
			arguments->output = text;
			return ENGINE_OK;
		case 'k':
			arguments->options.kernels = text;
			return ENGINE_OK;
		case 'n':
			arguments->options.library = false;
			return ENGINE_OK;
		case 'c':
			arguments->action = ACTION_CALIBRATE;
			return ENGINE_OK;
		case 'h':
			fputs(help, stdout);
			arguments->action = ACTION_DONE;
			return ENGINE_OK;
		case 'v':
			puts(TOOL " " BENCHORCH_VERSION);
			arguments->action = ACTION_DONE;
			return ENGINE_OK;
		default:
			return engine_fail(error, ENGINE_USAGE, "see --help");
	}
}

static enum engine_status
parse_arguments(int argc, char **argv, struct arguments *arguments, struct engine_error *error)
{
	static const struct option options[] = {
		{"architecture", required_argument, NULL, 'a'},
		{"model", required_argument, NULL, 'm'},
		{"batch-size", required_argument, NULL, 'b'},
		{"input-tokens", required_argument, NULL, 'i'},
		{"output-tokens", required_argument, NULL, 'o'},
		{"precision", required_argument, NULL, 'p'},
		{"seed", required_argument, NULL, 's'},
		{"threads", required_argument, NULL, 't'},
		{"budget", required_argument, NULL, 'g'},
		{"backend", required_argument, NULL, 'B'},
		{"output", required_argument, NULL, 'O'},
		{"kernels", required_argument, NULL, 'k'},
		{"no-blas", no_argument, NULL, 'n'},
		{"calibrate", no_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	enum engine_status status = ENGINE_OK;
	int			option;
	int			index = 0;

	while (status == ENGINE_OK && arguments->action != ACTION_DONE &&
		   (option = getopt_long(argc, argv, "", options, &index)) != -1)
		status = parse_option(option, option == '?' ? NULL : options[index].name, optarg, arguments, error);
	if (status != ENGINE_OK || arguments->action == ACTION_DONE)
		return status;
	if (optind < argc)
		return engine_fail(error, ENGINE_USAGE, "\"%s\" is no option, see --help", argv[optind]);
	if (arguments->action == ACTION_CALIBRATE)
		return ENGINE_OK;
	if (arguments->architecture == NULL || arguments->workload.batch_size == -1 ||
		arguments->workload.input_tokens == -1 || arguments->workload.output_tokens == -1)
		return engine_fail(error, ENGINE_USAGE,
						   "--architecture, --batch-size, --input-tokens and --output-tokens are required, see --help");
	return ENGINE_OK;
}

/* JSON text, or a file's contents after an @ */
static enum engine_status
read_architecture(const char *source, struct architecture *architecture, struct engine_error *error)
{
	char	   *text;
	FILE	   *file;
	size_t		length;
	enum engine_status status;

	if (source[0] != '@')		/* NOLINT: the options were checked */
		return config_read_architecture(source, architecture, error);
	file = fopen(source + 1, "re");
	text = calloc(1, LARGEST_FILE + 1);
	if (file == NULL || text == NULL)
	{
		status = engine_fail(error, ENGINE_BAD_CONFIG, "could not open \"%s\": %s", source + 1, strerror(errno));
		if (file != NULL)
			fclose(file);
		free(text);
		return status;
	}
	length = fread(text, 1, LARGEST_FILE + 1, file);
	if (ferror(file) || length > LARGEST_FILE)
		status = engine_fail(error, ENGINE_BAD_CONFIG, "could not read \"%s\", or it is too large", source + 1);
	else
		status = config_read_architecture(text, architecture, error);
	fclose(file);
	free(text);
	return status;
}

/* refuses what does not fit, with the arithmetic for people and for programs */
static enum engine_status
check_memory(const struct memory_plan *plan, struct engine_error *error)
{
	const double gib = 1 << 30;

	if (plan->total <= plan->available)
		return ENGINE_OK;
	fprintf(stderr, "{\"outcome\":\"host_oom\",\"needed_bytes\":%" PRId64 ",\"available_bytes\":%" PRId64,
			plan->total, plan->available);
	fprintf(stderr, ",\"weights_bytes\":%" PRId64 ",\"kv_cache_bytes\":%" PRId64, plan->weights, plan->kv_cache);
	fprintf(stderr, ",\"activations_bytes\":%" PRId64 ",\"library_bytes\":%" PRId64 "}\n",
			plan->activations, plan->library);
	return engine_fail(error, ENGINE_DOES_NOT_FIT,
					   "does not fit: weights %.2f + KV cache %.2f + activations %.2f + libraries %.2f = %.2f GiB, available are %.2f GiB",
					   (double) plan->weights / gib, (double) plan->kv_cache / gib,
					   (double) plan->activations / gib, (double) plan->library / gib,
					   (double) plan->total / gib, (double) plan->available / gib);
}

/* all of it at once, when it is complete: a reader never sees half an object */
static enum engine_status
write_result(const char *output, const char *text, size_t length, struct engine_error *error)
{
	FILE	   *file = output == NULL ? stdout : fopen(output, "we");
	bool		written = file != NULL && fwrite(text, 1, length, file) == length;

	/* a full disk may show only here */
	if (file != NULL && fclose(file) != 0)
		written = false;
	if (!written)
		return engine_fail(error, ENGINE_INTERNAL, "could not write %s: %s",
						   output == NULL ? "standard output" : output, strerror(errno));
	return ENGINE_OK;
}

static void
describe_environment(const struct backend_operations *operations, struct backend *backend,
					 const struct arguments *arguments, struct report_environment *environment)
{
	machine_cpu_model(environment->cpu_model, sizeof(environment->cpu_model));
	environment->cpus = machine_cpus();
	environment->threads = arguments->options.threads;
	environment->cpu_pressure = machine_cpu_pressure();
	environment->n_facts = operations->facts(backend, environment->facts);
}

static enum engine_status
emit(const struct arguments *arguments, const struct report *report,
	 const struct ceilings *ceilings, struct engine_error *error)
{
	char	   *text = NULL;
	size_t		length = 0;
	FILE	   *out = open_memstream(&text, &length);
	enum engine_status status;

	if (out == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	if (ceilings != NULL)
	{
		const struct workload *w = report->workload;
		double		bytes = roofline_decode_bytes(report->architecture, w, w->input_tokens + w->output_tokens);

		report_write_calibration(out, report, *ceilings, bytes);
	}
	else
		report_write(out, report);
	if (fclose(out) != 0)
		status = engine_fail(error, ENGINE_INTERNAL, "out of memory");
	else
		status = write_result(arguments->output, text, length, error);
	free(text);
	return status;
}

/* measures on the opened backend and writes the result */
static enum engine_status
run_opened(const struct arguments *arguments, const struct backend_operations *operations,
		   struct backend *backend, struct report *report, double begin, struct engine_error *error)
{
	static struct measurement measurement;
	struct ceilings ceilings;
	enum engine_status status;

	if (arguments->action == ACTION_CALIBRATE)
	{
		double		seconds = fmin(1, arguments->budget / 4);

		ceilings.read_bytes_per_s = operations->read_bandwidth(backend, seconds);
		ceilings.flops_per_s = operations->matrix_rate(backend, seconds);
		describe_environment(operations, backend, arguments, &report->environment);
		return emit(arguments, report, &ceilings, error);
	}
	status = measure_run(operations, backend, report->architecture, report->workload,
						 arguments->budget, begin + arguments->budget, &measurement, error);
	if (status == ENGINE_OK)
	{
		report->measurement = &measurement;
		report->host_memory_peak = machine_peak_memory();
		describe_environment(operations, backend, arguments, &report->environment);
		status = emit(arguments, report, NULL, error);
	}
	measure_free(&measurement);
	return status;
}

static enum engine_status
run(const struct arguments *arguments, double begin, struct engine_error *error)
{
	const struct backend_operations *operations = backend_find(arguments->backend);
	struct backend *backend;
	struct architecture architecture;
	struct report report = {
		.tool = TOOL,
		.version = BENCHORCH_VERSION,
		.model = arguments->model,
		.architecture = &architecture,
		.workload = &arguments->workload,
		.budget_s = arguments->budget,
	};
	enum engine_status status;

	if (operations == NULL)
		return engine_fail(error, ENGINE_USAGE, "there is no backend \"%s\"", arguments->backend);
	report.backend = operations->name;
	status = read_architecture(arguments->architecture, &architecture, error);
	if (status == ENGINE_OK)
		status = config_check(&architecture, &arguments->workload, error);
	if (status == ENGINE_OK)
		status = operations->plan(&architecture, &arguments->workload, &arguments->options, &report.plan, error);
	if (status == ENGINE_OK)
		status = check_memory(&report.plan, error);
	if (status == ENGINE_OK)
		status = operations->open(&architecture, &arguments->workload, &arguments->options, &backend, error);
	if (status == ENGINE_OK)
	{
		status = run_opened(arguments, operations, backend, &report, begin, error);
		operations->close(backend);
	}
	return status;
}

int
main(int argc, char **argv)
{
	double		begin = machine_now();
	struct engine_error error = {""};
	struct arguments arguments = {
		.backend = "auto",
		.options = {.threads = 0, .library = true},
		.workload = {PRECISION_FP32, -1, -1, -1, 1},
		.budget = 10,
	};
	enum engine_status status = parse_arguments(argc, argv, &arguments, &error);

	if (status == ENGINE_OK && arguments.action != ACTION_DONE)
	{
		if (arguments.options.threads == 0)
			arguments.options.threads = machine_cpus();
		if (arguments.action == ACTION_CALIBRATE)
		{
			if (arguments.architecture == NULL)
				arguments.architecture = default_shape;
			arguments.workload.batch_size = arguments.workload.input_tokens = arguments.workload.output_tokens = 1;
		}
		status = run(&arguments, begin, &error);
	}
	if (status != ENGINE_OK)
		fprintf(stderr, TOOL ": %s\n", error.message);
	return status;
}
