/*
 * transformer.c: the transformer a second time, in double precision and plain
 * loops.  It shares nothing with the engine but its documentation: the weights
 * come from the formula at the top of model.c, written out again.
 */
#include "transformer.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
splitmix(uint64_t x)
{
	x += 0x9e3779b97f4a7c15u;
	x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
	x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
	return x ^ (x >> 31);
}

static float
round_to_bf16(float value)
{
	uint32_t	bits;
	uint32_t	below;

	memcpy(&bits, &value, 4);
	below = bits & 0xffff;
	bits &= 0xffff0000;
	if (below > 0x8000 || (below == 0x8000 && (bits & 0x10000)))
		bits += 0x10000;
	memcpy(&value, &bits, 4);
	return value;
}

static double
weight(uint64_t seed, int kind, int layer, int row, int column, float scale, float offset, bool half)
{
	uint64_t	key = splitmix(splitmix(splitmix(seed) ^ (uint64_t) (layer * 16 + kind)) ^ (uint64_t) row);
	uint32_t	h = (uint32_t) column * 0x9e3779b9u + (uint32_t) (key & 0xffffffffu);
	float		value;

	h ^= h >> 16;
	h *= 0x7feb352du;
	h ^= h >> 15;
	h *= 0x846ca68bu;
	h ^= h >> 16;
	value = offset + scale * (float) ((int32_t) h / 256 - ((int32_t) h % 256 < 0)) / 8388608.0f;
	return half ? round_to_bf16(value) : value;
}

static double *
make(struct reference *ref, int kind, int layers, int64_t rows, int64_t columns,
	 double variance, float offset, bool matrix)
{
	double	   *to = malloc(sizeof(double) * (size_t) (layers * rows * columns + 1));
	double	   *at = to;
	float		scale = matrix ? (float) sqrt(3 * variance / (double) columns) : 0.1f;

	for (int layer = 0; layer < layers; layer++)
		for (int row = 0; row < rows; row++)
			for (int column = 0; column < columns; column++)
				*at++ = weight(ref->workload.seed, kind, layer, row, column, scale, offset,
							   matrix && ref->workload.precision == PRECISION_BF16);
	return to;
}

struct reference *
reference_create(const struct architecture *a, const struct workload *workload)
{
	struct reference *ref = calloc(1, sizeof(*ref));
	int			L = (int) a->n_layers;
	int64_t		qkv = (a->n_heads + 2 * a->n_kv_heads) * a->head_dim;
	double		residual = 0.5 / L;
	size_t		cache = (size_t) (L * workload->batch_size * (workload->input_tokens + workload->output_tokens)) *
		(size_t) (a->n_kv_heads * a->head_dim);

	ref->a = *a;
	ref->workload = *workload;
	/* the numbers are the kinds' places in model.h's list */
	ref->weights[0] = make(ref, 0, 1, a->vocab_size, a->hidden_size, 1, 0, true);
	ref->weights[1] = make(ref, 1, 1, a->vocab_size, a->hidden_size, 1, 0, true);
	ref->weights[2] = make(ref, 2, 1, 1, a->hidden_size, 0, 1, false);
	ref->weights[3] = make(ref, 3, L, 1, a->hidden_size, 0, 1, false);
	ref->weights[4] = make(ref, 4, L, qkv, a->hidden_size, 1, 0, true);
	ref->weights[5] = make(ref, 5, L, 1, qkv, 0, 0, false);
	ref->weights[6] = make(ref, 6, L, 1, a->head_dim, 0, 1, false);
	ref->weights[7] = make(ref, 7, L, 1, a->head_dim, 0, 1, false);
	ref->weights[8] = make(ref, 8, L, a->hidden_size, a->n_heads * a->head_dim, residual, 0, true);
	ref->weights[9] = make(ref, 9, L, 1, a->hidden_size, 0, 1, false);
	ref->weights[10] = make(ref, 10, L, 2 * a->ffn_dim, a->hidden_size, 1, 0, true);
	ref->weights[11] = make(ref, 11, L, a->hidden_size, a->ffn_dim, residual, 0, true);
	ref->keys = calloc(cache, sizeof(double));
	ref->values = calloc(cache, sizeof(double));
	ref->logits = calloc((size_t) (workload->batch_size * a->vocab_size), sizeof(double));
	return ref;
}

void
reference_free(struct reference *ref)
{
	for (int i = 0; i < TENSOR_KINDS; i++)
		free(ref->weights[i]);
	free(ref->keys);
	free(ref->values);
	free(ref->logits);
	free(ref);
}

static void
times(const double *matrix, int64_t rows, int64_t columns, const double *x, double *y)
{
	for (int64_t r = 0; r < rows; r++)
	{
		y[r] = 0;
		for (int64_t c = 0; c < columns; c++)
			y[r] += matrix[r * columns + c] * x[c];
	}
}

static void
norm(const double *x, const double *w, int64_t n, double *y)
{
	double		squares = 0;

	for (int64_t i = 0; i < n; i++)
		squares += x[i] * x[i];
	for (int64_t i = 0; i < n; i++)
		y[i] = x[i] / sqrt(squares / (double) n + 1e-5) * w[i];
}

static void
rope(double *x, int64_t d, int position)
{
	for (int64_t i = 0; i < d / 2; i++)
	{
		double		angle = position / pow(10000, 2.0 * (double) i / (double) d);
		double		left = x[i];
		double		right = x[i + d / 2];

		x[i] = left * cos(angle) - right * sin(angle);
		x[i + d / 2] = right * cos(angle) + left * sin(angle);
	}
}

void
reference_token(struct reference *ref, int request, int position, int token)
{
	const struct architecture *a = &ref->a;
	int64_t		H = a->hidden_size,
			d = a->head_dim,
			heads = a->n_heads,
			kv = a->n_kv_heads,
			F = a->ffn_dim,
			width = (heads + 2 * kv) * d;
	int64_t		capacity = ref->workload.input_tokens + ref->workload.output_tokens;
	double	   *x = malloc(sizeof(double) * (size_t) (3 * H + width + heads * d + 3 * F + capacity));
	double	   *n = x + H;
	double	   *y = n + H;
	double	   *qkv = y + H;
	double	   *attended = qkv + width;
	double	   *gate_up = attended + heads * d;
	double	   *act = gate_up + 2 * F;
	double	   *p = act + F;

	memcpy(x, ref->weights[0] + token * H, sizeof(double) * (size_t) H);
	for (int64_t layer = 0; layer < a->n_layers; layer++)
	{
		double	   *keys = ref->keys + (layer * ref->workload.batch_size + request) * capacity * kv * d;
		double	   *values = ref->values + (layer * ref->workload.batch_size + request) * capacity * kv * d;

		norm(x, ref->weights[3] + layer * H, H, n);
		times(ref->weights[4] + layer * width * H, width, H, n, qkv);
		for (int64_t i = 0; a->qkv_bias && i < width; i++)
			qkv[i] += ref->weights[5][layer * width + i];
		for (int64_t head = 0; head < heads + kv; head++)
		{
			if (a->qk_norm)
				norm(qkv + head * d, ref->weights[head < heads ? 6 : 7] + layer * d, d, qkv + head * d);
			rope(qkv + head * d, d, position);
		}
		for (int64_t i = 0; i < kv * d; i++)
		{
			bool		half = ref->workload.precision == PRECISION_BF16;
			double		k = qkv[heads * d + i];
			double		v = qkv[(heads + kv) * d + i];

			keys[position * kv * d + i] = half ? round_to_bf16((float) k) : k;
			values[position * kv * d + i] = half ? round_to_bf16((float) v) : v;
		}
		for (int64_t head = 0; head < heads; head++)
		{
			int64_t		from = head / (heads / kv) * d;
			double		total = 0;

			for (int t = 0; t <= position; t++)
			{
				double		dot = 0;

				for (int64_t i = 0; i < d; i++)
					dot += qkv[head * d + i] * keys[t * kv * d + from + i];
				p[t] = exp(dot / sqrt((double) d));
				total += p[t];
			}
			for (int64_t i = 0; i < d; i++)
			{
				attended[head * d + i] = 0;
				for (int t = 0; t <= position; t++)
					attended[head * d + i] += p[t] / total * values[t * kv * d + from + i];
			}
		}
		times(ref->weights[8] + layer * H * heads * d, H, heads * d, attended, y);
		for (int64_t i = 0; i < H; i++)
			x[i] += y[i];
		norm(x, ref->weights[9] + layer * H, H, n);
		times(ref->weights[10] + layer * 2 * F * H, 2 * F, H, n, gate_up);
		for (int64_t i = 0; i < F; i++)
			act[i] = gate_up[i] / (1 + exp(-gate_up[i])) * gate_up[F + i];
		times(ref->weights[11] + layer * H * F, H, F, act, y);
		for (int64_t i = 0; i < H; i++)
			x[i] += y[i];
	}
	norm(x, ref->weights[2], H, n);
	times(ref->weights[a->tied_embeddings ? 0 : 1], a->vocab_size, H, n, ref->logits + request * a->vocab_size);
	free(x);
}

int32_t
reference_input(const struct architecture *a, int request, int position)
{
	return (int32_t) (splitmix((uint64_t) (request * 100003 + position)) % (uint64_t) a->vocab_size);
}

double
reference_difference(const float *logits, const double *expected, size_t count)
{
	double		above = 0;
	double		below = 0;

	for (size_t i = 0; i < count; i++)
	{
		above += (logits[i] - expected[i]) * (logits[i] - expected[i]);
		below += expected[i] * expected[i];
	}
	return sqrt(above / below);
}
