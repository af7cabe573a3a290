/*
 * options.c: benchorch-engine's command line.
 */
#define _GNU_SOURCE
#include "options.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "machine.h"

#ifndef BENCHORCH_VERSION
#error "the build sets BENCHORCH_VERSION, from the extension's control file"
#endif

#define MOST_THREADS 1024
#define LARGEST_FILE (1 << 20)

/* what --calibrate reads when it is given no architecture: 513 MiB of weights in fp32 */
static const char default_shape[] =
	"{\"n_layers\":30,\"hidden_size\":576,\"n_heads\":9,\"n_kv_heads\":3,\"head_dim\":64,"
	"\"ffn_dim\":1536,\"vocab_size\":49152,\"tied_embeddings\":true}";

static const char help[] =
	"usage: " ENGINE_TOOL " --architecture JSON|@FILE --batch-size N --input-tokens N --output-tokens N\n"
	"       " ENGINE_TOOL " --stream [--architecture JSON|@FILE]\n"
	"\n"
	"Runs a decoder-only transformer of the given shape, with synthetic weights, and\n"
	"writes what it measured as one JSON object.  With --stream it stays up, reads one\n"
	"config a line from standard input and writes one result a line; the weights stay\n"
	"while model and precision do.  See docs/runner-protocol.md.\n"
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
	"  --seed N                   of weights and tokens, default 1; a stream's configs bring\n"
	"                             their own for the tokens\n"
	"  --threads N|auto           default auto: the CPUs this process may use\n"
	"  --budget SECONDS           for the whole process, default 10; one repeat is always made\n"
	"  --pin                      each thread keeps a CPU of its own busy, also while it waits;\n"
	"                             default: threads go where there is room, and sleep\n"
	"  --backend auto|cpu|cuda    default auto: CUDA where there is a GPU and the precision is\n"
	"                             bf16, its only one; else the CPU\n"
	"  --output FILE              write the result there instead of standard output\n"
	"  --calibrate                only measure this machine: read bandwidth over the\n"
	"                             architecture's footprint, copy bandwidth, and the best\n"
	"                             matrix product\n"
	"  --kernels NAME             plain, avx2 or avx512 instead of the best (for tests); on CUDA\n"
	"                             plain: no launch overlaps with the one before\n"
	"  --no-blas                  do not use OpenBLAS (for tests)\n"
	"  --help, --version\n"
	"\n"
	"The tokens fed come from the seed, not from the model.  OpenBLAS is used where it\n"
	"is installed; BENCHORCH_BLAS_CORETYPE overrides which of its kernels.\n"
	"\n"
	"Exit codes: 0 ok, 64 wrong command line, 65 a config that makes no sense, 66 one that\n"
	"this engine does not support, 68 does not fit into the GPU's memory, 69 into the host's,\n"
	"70 internal error, 72 no such device or driver, 74 the GPU failed.\n";

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
	if (end == text || *end != 0 || !(*budget > 0) || *budget > CONFIG_MOST_BUDGET)
		return engine_fail(error, ENGINE_USAGE, "--budget needs seconds, more than 0 and at most %d",
						   CONFIG_MOST_BUDGET);
	return ENGINE_OK;
}

/* JSON text, or a file's contents after an @ */
static enum engine_status
read_architecture(const char *source, struct request *request, struct engine_error *error)
{
	char	   *text;
	FILE	   *file;
	size_t		length;
	enum engine_status status;

	request->has_architecture = true;
	if (source[0] != '@')
		return config_read_architecture(source, &request->architecture, error);
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
		status = config_read_architecture(text, &request->architecture, error);
	fclose(file);
	free(text);
	return status;
}

static enum engine_status
parse_option(int option, const char *name, const char *text, struct options *options,
			 struct engine_error *error)
{
	int64_t		seed;
	enum engine_status status;

	switch (option)
	{
		case 'a':
			return read_architecture(text, &options->request, error);
		case 'm':
			snprintf(options->request.model, sizeof(options->request.model), "%s", text);
			return ENGINE_OK;
		case 'b':
			return parse_int(name, text, &options->request.workload.batch_size, error);
		case 'i':
			return parse_int(name, text, &options->request.workload.input_tokens, error);
		case 'o':
			return parse_int(name, text, &options->request.workload.output_tokens, error);
		case 'p':
			return config_read_precision(text, &options->request.workload.precision, error);
		case 's':
			status = parse_integer(name, text, &seed, error);
			/* the result repeats it, and JSON numbers are exact to 2^53 */
			if (status == ENGINE_OK && (seed < 0 || seed > (int64_t) 1 << 53))
				return engine_fail(error, ENGINE_USAGE, "--seed must be from 0 to 2^53");
			options->request.workload.seed = (uint64_t) seed;
			options->request.weights_seed = (uint64_t) seed;
			return status;
		case 't':
			return parse_threads(text, &options->host.threads, error);
		case 'g':
			return parse_budget(text, &options->request.budget, error);
		case 'B':
			options->backend = text;
			return ENGINE_OK;
		case 'O':
			options->output = text;
			return ENGINE_OK;
		case 'k':
			options->host.kernels = text;
			return ENGINE_OK;
		case 'n':
			options->host.library = false;
			return ENGINE_OK;
		case 'P':
			options->host.pinned = true;
			return ENGINE_OK;
		case 'S':
			options->action = ACTION_STREAM;
			return ENGINE_OK;
		case 'c':
			options->action = ACTION_CALIBRATE;
			return ENGINE_OK;
		case 'h':
			fputs(help, stdout);
			options->action = ACTION_DONE;
			return ENGINE_OK;
		case 'v':
			puts(ENGINE_TOOL " " BENCHORCH_VERSION);
			options->action = ACTION_DONE;
			return ENGINE_OK;
		default:
			return engine_fail(error, ENGINE_USAGE, "see --help");
	}
}

static enum engine_status
parse_all(int argc, char **argv, struct options *options, struct engine_error *error)
{
	static const struct option known[] = {
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
		{"pin", no_argument, NULL, 'P'},
		{"stream", no_argument, NULL, 'S'},
		{"calibrate", no_argument, NULL, 'c'},
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	enum engine_status status = ENGINE_OK;
	int			option;
	int			index = 0;

	while (status == ENGINE_OK && options->action != ACTION_DONE &&
		   (option = getopt_long(argc, argv, "", known, &index)) != -1)
		status = parse_option(option, option == '?' ? NULL : known[index].name, optarg, options, error);
	if (status == ENGINE_OK && options->action != ACTION_DONE && optind < argc)
		return engine_fail(error, ENGINE_USAGE, "\"%s\" is no option, see --help", argv[optind]);
	return status;
}

enum engine_status
options_parse(int argc, char **argv, struct options *options, struct engine_error *error)
{
	struct request *request = &options->request;
	enum engine_status status;

	*options = (struct options){
		.backend = "auto",
		.host = {.library = true},
		.request = {.workload = {PRECISION_FP32, -1, -1, -1, 1}, .weights_seed = 1, .budget = 10},
	};
	status = parse_all(argc, argv, options, error);
	if (options->host.threads == 0)
		options->host.threads = machine_cpus();
	if (status != ENGINE_OK || options->action == ACTION_DONE || options->action == ACTION_STREAM)
		return status;
	if (options->action == ACTION_CALIBRATE)
	{
		request->workload.batch_size = request->workload.input_tokens = request->workload.output_tokens = 1;
		return request->has_architecture ? ENGINE_OK : read_architecture(default_shape, request, error);
	}
	if (!request->has_architecture || request->workload.batch_size == -1 ||
		request->workload.input_tokens == -1 || request->workload.output_tokens == -1)
		return engine_fail(error, ENGINE_USAGE,
						   "--architecture, --batch-size, --input-tokens and --output-tokens are required, see --help");
	return ENGINE_OK;
}
