/*
 * engine.h: the words that every part of benchorch-engine shares.
 *
 * Functions that can fail return an enum engine_status, whose values are the
 * process's exit codes, and leave a message in a struct engine_error; who
 * called decides what to do.  Nothing below main() exits or prints.
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
	ENGINE_BAD_CONFIG = 65,		/* the config asks for what cannot be run */
	ENGINE_DOES_NOT_FIT = 69,	/* it would need more memory than there is */
	ENGINE_INTERNAL = 70,		/* anything else */
};

struct engine_error
{
	char		message[512];
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
	uint64_t	seed;
};

#endif							/* ENGINE_H */
