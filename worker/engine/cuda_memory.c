/*
 * cuda_memory.c: the CUDA backend's memory: its layout, its allocations, the
 * weights.
 *
 * Everything is computed before it is taken, and taken in two pieces: the
 * weights, and the workspace of a workload, which is kept for the next one
 * where it is large enough.
 */
#include "cuda_memory.h"

#include <stdlib.h>

#include "cuda_error.h"

#define ALIGNMENT 256

static size_t
round_up(size_t size)
{
	return (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

static size_t
larger(size_t a, size_t b)
{
	return a > b ? a : b;
}

static size_t
tensor_bytes(const struct architecture *a, enum model_tensor_kind kind)
{
	struct model_tensor tensor = model_tensor(a, kind);

	return round_up((size_t) (tensor.rows * tensor.columns) * (tensor.matrix ? sizeof(uint16_t) : sizeof(float)));
}

static enum cuda_area
tensor_area(const struct architecture *a, enum model_tensor_kind kind)
{
	if (kind == TENSOR_EMBEDDING && !a->tied_embeddings)
		return AREA_EMBEDDING;
	return model_tensor(a, kind).matrix ? AREA_WEIGHTS : AREA_VECTORS;
}

struct cuda_layout
cuda_lay_out(const struct architecture *a, const struct workload *workload)
{
	struct cuda_layout layout = {0};
	size_t	   *size = layout.size;
	size_t		batch = (size_t) workload->batch_size;
	size_t		tokens = batch * (size_t) workload->input_tokens;
	size_t		rows = larger(tokens < CUDA_PREFILL_ROWS ? tokens : CUDA_PREFILL_ROWS, batch);
	size_t		hidden = (size_t) a->hidden_size;
	size_t		ffn = (size_t) a->ffn_dim;
	size_t		d = (size_t) a->head_dim;
	size_t		heads = (size_t) a->n_heads * d;
	size_t		qkv = heads + 2 * (size_t) a->n_kv_heads * d;
	size_t		kv;

	layout.rows = (int) rows;
	layout.capacity = workload->input_tokens + workload->output_tokens;
	for (int kind = 0; kind < TENSOR_KINDS; kind++)
		size[tensor_area(a, kind)] += tensor_bytes(a, kind) *
			(size_t) (model_tensor(a, kind).per_layer ? a->n_layers : 1);
	kv = (size_t) (a->n_layers * a->n_kv_heads) * batch * (size_t) layout.capacity * d * sizeof(uint16_t);
	size[AREA_KEYS] = kv;
	size[AREA_VALUES] = kv;
	size[AREA_ROPE] = (size_t) layout.capacity * d * sizeof(float);
	size[AREA_TOKENS] = rows * sizeof(int32_t);
	size[AREA_STEP] = sizeof(int32_t);
	size[AREA_HIDDEN] = rows * hidden * sizeof(float);
	size[AREA_NORMED] = rows * hidden * sizeof(uint16_t);
	size[AREA_QKV] = larger(rows * sizeof(uint16_t), batch * sizeof(float)) * qkv;
	size[AREA_ATTENTION] = larger(rows * sizeof(uint16_t), batch * sizeof(float)) * heads;
	size[AREA_GATE_UP] = rows * 2 * ffn * sizeof(uint16_t);
	size[AREA_FFN] = larger(rows * sizeof(uint16_t), batch * sizeof(float)) * ffn;
	size[AREA_LAST] = batch * hidden * sizeof(float);
	size[AREA_LOGITS] = batch * (size_t) a->vocab_size * sizeof(float);
	size[AREA_PARTIALS] = batch * (size_t) a->n_heads * CUDA_MAX_SPLITS * (d + 2) * sizeof(float);
	size[AREA_LIBRARY] = CUDA_LIBRARY_BYTES;
	for (int area = 0; area < CUDA_AREAS; area++)
	{
		size_t	   *total = area < CUDA_WEIGHT_AREAS ? &layout.weights : &layout.workspace;

		layout.offset[area] = *total;
		*total += round_up(size[area]);
	}
	return layout;
}

/* fills one tensor at *at and moves on behind it; NULL if the architecture has none, or after a failure */
static const void *
make_tensor(struct backend *cuda, enum model_tensor_kind kind, int layer, size_t *at, cudaError_t *result)
{
	struct model_tensor tensor = model_tensor(&cuda->a, kind);
	enum cuda_area area = tensor_area(&cuda->a, kind);
	char	   *to;

	if (tensor.rows == 0 || *result != cudaSuccess)
		return NULL;
	to = (char *) cuda_area(cuda, area) + at[area];
	at[area] += tensor_bytes(&cuda->a, kind);
	*result = cuda_fill(&cuda->queue, to, tensor.matrix, model_tensor_key(cuda->weights_seed, kind, layer), tensor.rows,
						tensor.columns, tensor.scale, tensor.offset);
	return to;
}

static cudaError_t
make_tensors(struct backend *cuda)
{
	size_t		at[CUDA_WEIGHT_AREAS] = {0};
	cudaError_t result = cudaSuccess;

	cuda->embedding = make_tensor(cuda, TENSOR_EMBEDDING, 0, at, &result);
	cuda->head = make_tensor(cuda, TENSOR_HEAD, 0, at, &result);
	if (cuda->head == NULL)
		cuda->head = cuda->embedding;
	cuda->final_norm = make_tensor(cuda, TENSOR_FINAL_NORM, 0, at, &result);
	for (int i = 0; i < cuda->a.n_layers; i++)
	{
		struct cuda_layer *layer = &cuda->layers[i];

		layer->attention_norm = make_tensor(cuda, TENSOR_ATTENTION_NORM, i, at, &result);
		layer->qkv = make_tensor(cuda, TENSOR_QKV, i, at, &result);
		layer->qkv_bias = make_tensor(cuda, TENSOR_QKV_BIAS, i, at, &result);
		layer->q_norm = make_tensor(cuda, TENSOR_Q_NORM, i, at, &result);
		layer->k_norm = make_tensor(cuda, TENSOR_K_NORM, i, at, &result);
		layer->output = make_tensor(cuda, TENSOR_OUTPUT, i, at, &result);
		layer->ffn_norm = make_tensor(cuda, TENSOR_FFN_NORM, i, at, &result);
		layer->gate_up = make_tensor(cuda, TENSOR_GATE_UP, i, at, &result);
		layer->down = make_tensor(cuda, TENSOR_DOWN, i, at, &result);
	}
	return result;
}

enum engine_status
cuda_make_weights(struct backend *cuda, struct engine_error *error)
{
	enum engine_status status;

	cuda->layers = calloc((size_t) cuda->a.n_layers, sizeof(struct cuda_layer));
	if (cuda->layers == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	status = cuda_check(cudaMalloc((void **) &cuda->weights, cuda->layout.weights),
						"could not allocate the weights", error);
	if (status == ENGINE_OK)
		status = cuda_check(make_tensors(cuda), "could not make the weights", error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaStreamSynchronize(cuda->queue.stream), "while the weights were made", error);
	return status;
}

enum engine_status
cuda_make_workspace(struct backend *cuda, struct engine_error *error)
{
	enum engine_status status = ENGINE_OK;

	if (cuda->allocated < cuda->layout.workspace)
	{
		/* not both at once: what was planned is the larger alone */
		cudaFree(cuda->workspace);
		cuda->workspace = NULL;
		cuda->allocated = 0;
		status = cuda_check(cudaMalloc((void **) &cuda->workspace, cuda->layout.workspace),
							"could not allocate the KV cache and activations", error);
		if (status != ENGINE_OK)
			return status;
		cuda->allocated = cuda->layout.workspace;
	}
	/* products are timed on it before anything is computed */
	status = cuda_check(cudaMemsetAsync(cuda->workspace, 0, cuda->layout.workspace, cuda->queue.stream),
						"could not clear the workspace", error);
	if (status == ENGINE_OK)
		status = cuda_check(cuda_fill_rope(&cuda->queue, cuda_area(cuda, AREA_ROPE), cuda->layout.capacity,
										   (int) cuda->a.head_dim, MODEL_ROPE_BASE),
							"could not make the rotary angles", error);
	cuda->products.workspace = cuda_area(cuda, AREA_LIBRARY);
	cuda->products.workspace_size = cuda->layout.size[AREA_LIBRARY];
	return status;
}

void
cuda_free_memory(struct backend *cuda)
{
	cudaFree(cuda->weights);
	cudaFree(cuda->workspace);
	free(cuda->layers);
}
