/*
 * engine.h: the words that every part of benchorch-engine shares.
 *
 * Functions that can fail return an enum engine_status, whose values are the
 * process's exit codes, and leave a message in a struct engine_error; who
 * called decides what to do.  Nothing below main() exits or prints.  Each
 * status is an outcome of the database's, which the stream protocol says by
 * name and the worker tells from the exit code.
 */
#ifndef ENGINE_H
#define ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum engine_status
{
	ENGINE_OK = 0,
	ENGINE_USAGE = 64,			/* the command line is wrong */
	ENGINE_BAD_CONFIG = 65,		/* the config makes no sense */
	ENGINE_UNSUPPORTED = 66,	/* it does, but this engine cannot run it */
	ENGINE_GPU_OOM = 68,		/* it would need more device memory than there is */
	ENGINE_HOST_OOM = 69,		/* the same of host memory */
	ENGINE_INTERNAL = 70,		/* anything else */
	ENGINE_NO_DEVICE = 72,		/* there is no such device here, or no driver for it */
	ENGINE_GPU_FAULT = 74,		/* the device failed */
};

/* the status in the database's words, such as "gpu_oom" */
extern const char *engine_outcome(enum engine_status status);

struct engine_error
{
	char		message[512];	/* for people, one line */
	char		details[512];	/* the numbers behind it as a JSON object, or "" */
};

/* fills error with a formatted message and returns status */
extern enum engine_status engine_fail(struct engine_error *error,
									  enum engine_status status,
									  const char *format, ...)
	__attribute__((format(printf, 3, 4)));

enum precision
{
	PRECISION_FP32,
	PRECISION_BF16,
};

static inline size_t
precision_bytes(enum precision precision)
{
	return precision == PRECISION_BF16 ? 2 : 4;
}

static inline const char *
precision_name(enum precision precision)
{
	return precision == PRECISION_BF16 ? "bf16" : "fp32";
}

/* the shape of a model, named as in the catalog's architecture JSON */
struct architecture
{
	int64_t		n_layers;
	int64_t		hidden_size;
	int64_t		n_heads;
	int64_t		n_kv_heads;
	int64_t		head_dim;
	int64_t		ffn_dim;
	int64_t		vocab_size;
	int64_t		n_experts;
	int64_t		experts_per_token;
	int64_t		moe_ffn_dim;
	bool		tied_embeddings;
	bool		qkv_bias;
	bool		qk_norm;
};

/* what one config asks for; tokens are per request */
struct workload
{
	enum precision precision;
	int			batch_size;
	int			input_tokens;
	int			output_tokens;
	uint64_t	seed;			/* of the tokens */
};

#endif							/* ENGINE_H */
