/*
 * model.h: the shape of the transformer, its counts, and its synthetic
 * weights.  Every backend asks here, so that all run the same model.
 */
#ifndef MODEL_H
#define MODEL_H

#include "engine.h"

#define MODEL_NORM_EPSILON 1e-5
#define MODEL_ROPE_BASE 10000.0

/* the weight matrices and vectors; rows × columns as model_tensor() says */
enum model_tensor_kind
{
	TENSOR_EMBEDDING,			/* vocab × hidden; also the head where tied */
	TENSOR_HEAD,				/* vocab × hidden, only where not tied */
	TENSOR_FINAL_NORM,
	TENSOR_ATTENTION_NORM,
	TENSOR_QKV,					/* rows: all of q, then k, then v */
	TENSOR_QKV_BIAS,
	TENSOR_Q_NORM,
	TENSOR_K_NORM,
	TENSOR_OUTPUT,				/* hidden × (heads × head_dim) */
	TENSOR_FFN_NORM,
	TENSOR_GATE_UP,				/* rows: all of gate, then up */
	TENSOR_DOWN,				/* hidden × ffn */
	TENSOR_KINDS
};

struct model_tensor
{
	int64_t		rows;			/* 0: this architecture has none */
	int64_t		columns;
	bool		per_layer;
	bool		matrix;			/* stored in the weights' precision; else fp32 */
	float		scale;			/* values are offset + scale × [-1, 1) */
	float		offset;
};

extern struct model_tensor model_tensor(const struct architecture *a,
										enum model_tensor_kind kind);

/* the key of a tensor, which a device makes the rows' keys from; layer is 0 for tensors outside the layers */
extern uint64_t model_tensor_key(uint64_t seed, enum model_tensor_kind kind, int64_t layer);

/* the key from which all values of one row are derived */
extern uint64_t model_row_key(uint64_t seed, enum model_tensor_kind kind,
							  int64_t layer, int64_t row);

/* the seeded input token of a request at a position */
extern int32_t model_token(const struct architecture *a, uint64_t seed,
						   int request, int position);

extern double model_parameters(const struct architecture *a);
extern double model_matmul_parameters(const struct architecture *a);
extern double model_kv_bytes_per_token(const struct architecture *a,
									   enum precision precision);

#endif							/* MODEL_H */
