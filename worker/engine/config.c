/*
 * config.c: from the catalog's architecture JSON to a checked struct.
 *
 * The upper limits are far above any model; they are there so that no product
 * of sizes (weights, KV cache, in bytes) can overflow 63 bits.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json.h"

enum key_type
{
	KEY_REQUIRED,				/* an integer of at least 1 */
	KEY_OPTIONAL,				/* an integer, absent or null is 0 */
	KEY_FLAG,					/* true or false, absent or null is false */
};

static const struct
{
	const char *name;
	enum key_type type;
	int64_t		limit;
	size_t		offset;
} keys[] = {
	{"n_layers", KEY_REQUIRED, 1 << 12, offsetof(struct architecture, n_layers)},
	{"hidden_size", KEY_REQUIRED, 1 << 20, offsetof(struct architecture, hidden_size)},
	{"n_heads", KEY_REQUIRED, 1 << 12, offsetof(struct architecture, n_heads)},
	{"n_kv_heads", KEY_OPTIONAL, 1 << 12, offsetof(struct architecture, n_kv_heads)},
	{"head_dim", KEY_OPTIONAL, 1 << 12, offsetof(struct architecture, head_dim)},
	{"ffn_dim", KEY_OPTIONAL, 1 << 22, offsetof(struct architecture, ffn_dim)},
	{"vocab_size", KEY_REQUIRED, 1 << 24, offsetof(struct architecture, vocab_size)},
	{"n_experts", KEY_OPTIONAL, 1 << 16, offsetof(struct architecture, n_experts)},
	{"experts_per_token", KEY_OPTIONAL, 1 << 16, offsetof(struct architecture, experts_per_token)},
	{"moe_ffn_dim", KEY_OPTIONAL, 1 << 22, offsetof(struct architecture, moe_ffn_dim)},
	{"tied_embeddings", KEY_FLAG, 1, offsetof(struct architecture, tied_embeddings)},
	{"qkv_bias", KEY_FLAG, 1, offsetof(struct architecture, qkv_bias)},
	{"qk_norm", KEY_FLAG, 1, offsetof(struct architecture, qk_norm)},
};

/* reads one key into its field; absent keys are the caller's business */
static enum engine_status
read_key(int i, const struct json *value, struct architecture *architecture,
		 struct engine_error *error)
{
	char	   *field = (char *) architecture + keys[i].offset;
	double		least = keys[i].type == KEY_REQUIRED ? 1 : 0;

	if (keys[i].type == KEY_FLAG)
	{
		if (value->type != JSON_BOOL)
			return engine_fail(error, ENGINE_BAD_CONFIG,
							   "architecture key \"%s\" must be true or false", keys[i].name);
		*(bool *) field = value->boolean;
		return ENGINE_OK;
	}
	if (value->type != JSON_NUMBER || value->number != floor(value->number) ||
		value->number < least || value->number > (double) keys[i].limit)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "architecture key \"%s\" must be an integer from %.0f to %lld",
						   keys[i].name, least, (long long) keys[i].limit);
	*(int64_t *) field = (int64_t) value->number;
	return ENGINE_OK;
}

/* fills what has a default, and names everything that is missing */
static enum engine_status
complete(struct architecture *a, char *missing, size_t missing_size,
		 struct engine_error *error)
{
	const char *ffn = a->n_experts > 0 ? "moe_ffn_dim" : "ffn_dim";

	if ((a->n_experts > 0 ? a->moe_ffn_dim : a->ffn_dim) == 0)
		snprintf(missing + strlen(missing), missing_size - strlen(missing),
				 "%s\"%s\"", missing[0] ? ", " : "", ffn);
	if (missing[0] != 0)
		return engine_fail(error, ENGINE_BAD_CONFIG, "architecture lacks %s", missing);
	if (a->n_kv_heads == 0)
		a->n_kv_heads = a->n_heads;
	if (a->head_dim == 0)
	{
		if (a->hidden_size % a->n_heads != 0)
			return engine_fail(error, ENGINE_BAD_CONFIG,
							   "architecture lacks \"head_dim\", and hidden_size %lld is not a multiple of n_heads %lld",
							   (long long) a->hidden_size, (long long) a->n_heads);
		a->head_dim = a->hidden_size / a->n_heads;
	}
	if (a->n_experts > 0 && (a->experts_per_token < 1 || a->experts_per_token > a->n_experts))
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "experts_per_token must be from 1 to n_experts %lld",
						   (long long) a->n_experts);
	return ENGINE_OK;
}

enum engine_status
config_read_architecture(const char *text, struct architecture *architecture,
						 struct engine_error *error)
{
	char		problem[256];
	char		missing[256] = "";
	struct json *json = json_parse(text, problem, sizeof(problem));
	enum engine_status status = ENGINE_OK;

	memset(architecture, 0, sizeof(*architecture));
	if (json == NULL)
		return engine_fail(error, ENGINE_BAD_CONFIG, "architecture: %s", problem);
	if (json->type != JSON_OBJECT)
		status = engine_fail(error, ENGINE_BAD_CONFIG, "architecture must be a JSON object");
	for (int i = 0; i < (int) (sizeof(keys) / sizeof(keys[0])) && status == ENGINE_OK; i++)
	{
		const struct json *value = json_member(json, keys[i].name);

		if (value != NULL && value->type != JSON_NULL)
			status = read_key(i, value, architecture, error);
		else if (keys[i].type == KEY_REQUIRED)
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
					 "%s\"%s\"", missing[0] ? ", " : "", keys[i].name);
	}
	json_free(json);
	if (status != ENGINE_OK)
		return status;
	return complete(architecture, missing, sizeof(missing), error);
}

enum engine_status
config_check(const struct architecture *a, const struct workload *workload,
			 struct engine_error *error)
{
	if (a->n_experts > 0)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "a mixture of experts is not supported: n_experts is %lld, this engine runs dense models only",
						   (long long) a->n_experts);
	if (a->n_heads % a->n_kv_heads != 0)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "n_heads %lld is not a multiple of n_kv_heads %lld",
						   (long long) a->n_heads, (long long) a->n_kv_heads);
	if (a->head_dim % 2 != 0)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "head_dim %lld is odd: rotary embedding turns pairs", (long long) a->head_dim);
	if (a->n_heads * a->head_dim > 1 << 20)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "n_heads × head_dim is %lld, the limit is %d",
						   (long long) (a->n_heads * a->head_dim), 1 << 20);
	if (workload->batch_size < 1 || workload->batch_size > CONFIG_MAX_BATCH)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "batch size must be from 1 to %d", CONFIG_MAX_BATCH);
	if (workload->input_tokens < 1 || workload->output_tokens < 1 ||
		(int64_t) workload->input_tokens + workload->output_tokens > CONFIG_MAX_TOKENS)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "input and output tokens must each be at least 1 and together at most %d",
						   CONFIG_MAX_TOKENS);
	return ENGINE_OK;
}
