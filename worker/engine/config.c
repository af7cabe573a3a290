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

static enum engine_status
read_architecture(const struct json *json, struct architecture *architecture, struct engine_error *error)
{
	char		missing[256] = "";
	enum engine_status status = ENGINE_OK;

	memset(architecture, 0, sizeof(*architecture));
	if (json->type != JSON_OBJECT)
		return engine_fail(error, ENGINE_BAD_CONFIG, "architecture must be a JSON object");
	for (int i = 0; i < (int) (sizeof(keys) / sizeof(keys[0])) && status == ENGINE_OK; i++)
	{
		const struct json *value = json_member(json, keys[i].name);

		if (value != NULL && value->type != JSON_NULL)
			status = read_key(i, value, architecture, error);
		else if (keys[i].type == KEY_REQUIRED)
			snprintf(missing + strlen(missing), sizeof(missing) - strlen(missing),
					 "%s\"%s\"", missing[0] ? ", " : "", keys[i].name);
	}
	if (status != ENGINE_OK)
		return status;
	return complete(architecture, missing, sizeof(missing), error);
}

enum engine_status
config_read_architecture(const char *text, struct architecture *architecture,
						 struct engine_error *error)
{
	char		problem[256];
	struct json *json = json_parse(text, problem, sizeof(problem));
	enum engine_status status;

	if (json == NULL)
		return engine_fail(error, ENGINE_BAD_CONFIG, "architecture: %s", problem);
	status = read_architecture(json, architecture, error);
	json_free(json);
	return status;
}

bool
config_same_architecture(const struct architecture *a, const struct architecture *b)
{
	for (int i = 0; i < (int) (sizeof(keys) / sizeof(keys[0])); i++)
	{
		const char *left = (const char *) a + keys[i].offset;
		const char *right = (const char *) b + keys[i].offset;
		size_t		size = keys[i].type == KEY_FLAG ? sizeof(bool) : sizeof(int64_t);

		if (memcmp(left, right, size) != 0)
			return false;
	}
	return true;
}

enum engine_status
config_read_precision(const char *text, enum precision *precision, struct engine_error *error)
{
	if (strcmp(text, precision_name(PRECISION_FP32)) == 0)
		*precision = PRECISION_FP32;
	else if (strcmp(text, precision_name(PRECISION_BF16)) == 0)
		*precision = PRECISION_BF16;
	else
		return engine_fail(error, ENGINE_UNSUPPORTED, "precision \"%.100s\" is not supported, only fp32 and bf16",
						   text);
	return ENGINE_OK;
}

/* a member of a line, NULL where it is absent or null */
static const struct json *
line_member(const struct json *json, const char *name)
{
	const struct json *value = json_member(json, name);

	return value != NULL && value->type != JSON_NULL ? value : NULL;
}

/* a whole number up to most; *number stays where the member is absent */
static enum engine_status
read_count(const struct json *json, const char *name, double most, double *number,
		   struct engine_error *error)
{
	const struct json *value = line_member(json, name);

	if (value == NULL)
		return ENGINE_OK;
	if (value->type != JSON_NUMBER || value->number != floor(value->number) ||
		value->number < 0 || value->number > most)
		return engine_fail(error, ENGINE_BAD_CONFIG, "\"%s\" must be an integer from 0 to %.0f", name, most);
	*number = value->number;
	return ENGINE_OK;
}

static enum engine_status
read_int(const struct json *json, const char *name, int *number, struct engine_error *error)
{
	double		value = *number;
	enum engine_status status = read_count(json, name, INT32_MAX, &value, error);

	*number = (int) value;
	return status;
}

/* the dimensions that are ours: precision, and budget as a number or as text */
static enum engine_status
read_params(const struct json *params, struct request *request, struct engine_error *error)
{
	const struct json *precision = line_member(params, "precision");
	const struct json *budget = line_member(params, "budget");
	enum engine_status status = ENGINE_OK;

	if (precision != NULL && precision->type != JSON_STRING)
		return engine_fail(error, ENGINE_BAD_CONFIG, "params.precision must be a string");
	if (precision != NULL)
		status = config_read_precision(precision->string, &request->workload.precision, error);
	if (status != ENGINE_OK || budget == NULL)
		return status;
	request->budget = budget->type == JSON_NUMBER ? budget->number : NAN;
	if (budget->type == JSON_STRING)
		request->budget = strtod(budget->string, NULL);
	if (!(request->budget > 0) || request->budget > CONFIG_MOST_BUDGET)
		return engine_fail(error, ENGINE_BAD_CONFIG, "params.budget must be seconds, more than 0 and at most %d",
						   CONFIG_MOST_BUDGET);
	return ENGINE_OK;
}

static bool
is_missing(const struct workload *workload)
{
	return workload->batch_size == -1 || workload->input_tokens == -1 || workload->output_tokens == -1;
}

static enum engine_status
read_members(const struct json *json, struct request *request, struct engine_error *error)
{
	const struct json *architecture = line_member(json, "architecture");
	const struct json *model = line_member(json, "model_name");
	struct workload *workload = &request->workload;
	double		seed = (double) workload->seed;
	enum engine_status status = ENGINE_OK;

	if (architecture != NULL)
	{
		status = read_architecture(architecture, &request->architecture, error);
		request->has_architecture = status == ENGINE_OK;
	}
	if (model != NULL && model->type == JSON_STRING)
		snprintf(request->model, sizeof(request->model), "%s", model->string);
	if (status == ENGINE_OK)
		status = read_int(json, "batch_size", &workload->batch_size, error);
	if (status == ENGINE_OK)
		status = read_int(json, "input_tokens", &workload->input_tokens, error);
	if (status == ENGINE_OK)
		status = read_int(json, "output_tokens", &workload->output_tokens, error);
	if (status == ENGINE_OK)
		status = read_count(json, "seed", 0x1p53, &seed, error);
	workload->seed = (uint64_t) seed;
	if (status == ENGINE_OK)
		status = read_params(json_member(json, "params"), request, error);
	if (status == ENGINE_OK && (!request->has_architecture || is_missing(workload)))
		status = engine_fail(error, ENGINE_BAD_CONFIG,
							 "the config lacks one of architecture, batch_size, input_tokens and output_tokens");
	return status;
}

enum engine_status
config_read_line(const char *line, struct request *request, struct engine_error *error)
{
	char		problem[256];
	struct json *json = json_parse(line, problem, sizeof(problem));
	enum engine_status status;

	if (json == NULL)
		return engine_fail(error, ENGINE_BAD_CONFIG, "the config: %s", problem);
	if (json->type == JSON_OBJECT)
		status = read_members(json, request, error);
	else
		status = engine_fail(error, ENGINE_BAD_CONFIG, "the config must be a JSON object");
	json_free(json);
	return status;
}

enum engine_status
config_check(const struct architecture *a, const struct workload *workload,
			 struct engine_error *error)
{
	if (a->n_experts > 0)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "a mixture of experts is not supported: n_experts is %lld, this engine runs dense models only",
						   (long long) a->n_experts);
	if (a->n_heads % a->n_kv_heads != 0)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "n_heads %lld is not a multiple of n_kv_heads %lld",
						   (long long) a->n_heads, (long long) a->n_kv_heads);
	if (a->head_dim % 2 != 0)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "head_dim %lld is odd: rotary embedding turns pairs", (long long) a->head_dim);
	if (a->n_heads * a->head_dim > 1 << 20)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "n_heads × head_dim is %lld, the limit is %d",
						   (long long) (a->n_heads * a->head_dim), 1 << 20);
	if (workload->batch_size < 1)
		return engine_fail(error, ENGINE_BAD_CONFIG, "batch size must be from 1 to %d", CONFIG_MAX_BATCH);
	if (workload->batch_size > CONFIG_MAX_BATCH)
		return engine_fail(error, ENGINE_UNSUPPORTED, "batch size must be from 1 to %d, not %d",
						   CONFIG_MAX_BATCH, workload->batch_size);
	if (workload->input_tokens < 1 || workload->output_tokens < 1 ||
		(int64_t) workload->input_tokens + workload->output_tokens > CONFIG_MAX_TOKENS)
		return engine_fail(error, ENGINE_BAD_CONFIG,
						   "input and output tokens must each be at least 1 and together at most %d",
						   CONFIG_MAX_TOKENS);
	return ENGINE_OK;
}
