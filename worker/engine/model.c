/*
 * model.c: the shape of the transformer, its counts, and its synthetic
 * weights.
 *
 * The weights are a documented function of (seed, tensor, layer, row, column),
 * so that any backend, and an independent reference, can make the same ones in
 * any order:
 *
 *   key    = mix(mix(mix(seed) ^ (layer × 16 + kind)) ^ row)
 *   h      = hash32(column × 0x9e3779b9 + low 32 bits of key)
 *   u      = (h as a signed integer >> 8) × 2^-23, in [-1, 1)
 *   value  = offset + scale × u, in fp32
 *
 * mix() is splitmix64 and hash32() is Wellons' lowbias32.  Matrices have
 * variance 1/columns; those that write to the residual stream another
 * 1/(2 × layers), which keeps a deep model finite.  Norms lie around 1 and
 * biases around 0, not at them, so that forgetting one changes the result.
 */
#include "model.h"

#include <math.h>

static uint64_t
mix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static struct model_tensor
matrix(int64_t rows, int64_t columns, bool per_layer, double variance)
{
	return (struct model_tensor){
		rows, columns, per_layer, true, (float) sqrt(3 * variance / (double) columns), 0};
}

static struct model_tensor
vector(int64_t columns, bool present, bool per_layer, float offset)
{
	return (struct model_tensor){
		present ? 1 : 0, columns, per_layer, false, 0.1f, offset};
}

struct model_tensor
model_tensor(const struct architecture *a, enum model_tensor_kind kind)
{
	int64_t		heads = a->n_heads * a->head_dim;
	int64_t		qkv = (a->n_heads + 2 * a->n_kv_heads) * a->head_dim;
	double		residual = 1 / (2.0 * (double) a->n_layers);

	switch (kind)
	{
		case TENSOR_EMBEDDING:
			return matrix(a->vocab_size, a->hidden_size, false, 1);
		case TENSOR_HEAD:
			return matrix(a->tied_embeddings ? 0 : a->vocab_size, a->hidden_size, false, 1);
		case TENSOR_FINAL_NORM:
			return vector(a->hidden_size, true, false, 1);
		case TENSOR_ATTENTION_NORM:
		case TENSOR_FFN_NORM:
			return vector(a->hidden_size, true, true, 1);
		case TENSOR_QKV:
			return matrix(qkv, a->hidden_size, true, 1);
		case TENSOR_QKV_BIAS:
			return vector(qkv, a->qkv_bias, true, 0);
		case TENSOR_Q_NORM:
		case TENSOR_K_NORM:
			return vector(a->head_dim, a->qk_norm, true, 1);
		case TENSOR_OUTPUT:
			return matrix(a->hidden_size, heads, true, residual);
		case TENSOR_GATE_UP:
			return matrix(2 * a->ffn_dim, a->hidden_size, true, 1);
		case TENSOR_DOWN:
			return matrix(a->hidden_size, a->ffn_dim, true, residual);
		case TENSOR_KINDS:
			break;
	}
	return (struct model_tensor){0};
}

uint64_t
model_tensor_key(uint64_t seed, enum model_tensor_kind kind, int64_t layer)
{
	return mix(mix(seed) ^ ((uint64_t) layer * 16 + kind));
}

uint64_t
model_row_key(uint64_t seed, enum model_tensor_kind kind, int64_t layer, int64_t row)
{
	return mix(model_tensor_key(seed, kind, layer) ^ (uint64_t) row);
}

int32_t
model_token(const struct architecture *a, uint64_t seed, int request, int position)
{
	/* a kind that no tensor has keeps tokens apart from weights */
	uint64_t	key = model_row_key(seed, TENSOR_KINDS, request, position);

	return (int32_t) (key % (uint64_t) a->vocab_size);
}

/*
 * Parameters of one layer without its two big norms, with that many experts
 * where it has any.  Biases and the norms of q and k count with the projection
 * they belong to, as in the catalog.
 */
static double
layer_parameters(const struct architecture *a, int64_t experts)
{
	double		hidden = (double) a->hidden_size;
	double		qkv = (double) ((a->n_heads + 2 * a->n_kv_heads) * a->head_dim);
	double		attention = hidden * (qkv + (double) (a->n_heads * a->head_dim));

	if (a->qkv_bias)
		attention += qkv;
	if (a->qk_norm)
		attention += 2 * (double) a->head_dim;
	if (a->n_experts == 0)
		return attention + 3 * hidden * (double) a->ffn_dim;
	/* the router reads every token */
	return attention + 3 * hidden * (double) a->moe_ffn_dim * (double) experts +
		hidden * (double) a->n_experts;
}

/* all parameters, each once; doubles are exact to 2^53 */
double
model_parameters(const struct architecture *a)
{
	double		hidden = (double) a->hidden_size;

	return (a->tied_embeddings ? 1 : 2) * (double) a->vocab_size * hidden +
		(double) a->n_layers * (layer_parameters(a, a->n_experts) + 2 * hidden) + hidden;
}

/*
 * Parameters in matrix products per token: the head included, the embedding
 * lookup not, and of experts only the active ones.
 */
double
model_matmul_parameters(const struct architecture *a)
{
	return (double) a->n_layers * layer_parameters(a, a->experts_per_token) +
		(double) a->vocab_size * (double) a->hidden_size;
}

double
model_kv_bytes_per_token(const struct architecture *a, enum precision precision)
{
	return 2.0 * (double) (a->n_layers * a->n_kv_heads * a->head_dim) *
		(double) precision_bytes(precision);
}
