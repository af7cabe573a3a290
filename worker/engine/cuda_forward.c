/*
 * cuda_forward.c: the transformer's layers in their order.
 *
 * A prompt goes through in chunks of at most CUDA_PREFILL_ROWS rows, which are
 * whole requests or a part of one, with cuBLASLt's products.  A decode step is
 * one graph, captured once: its kernels read where they are from the device's
 * memory, so one graph serves every step.  Steps of few requests use our own
 * products, which read the weights once with all that stands between them
 * folded in; larger ones cuBLASLt's.
 *
 * The last request's logits and tokens are left where the host finds them.
 */
#include "cuda_forward.h"

#include <math.h>
#include <string.h>

#include "cuda_error.h"

/* the matrix products of a layer, by their place in it; the head is the last */
enum place
{
	PLACE_QKV,
	PLACE_OUTPUT,
	PLACE_GATE_UP,
	PLACE_DOWN,
	PLACE_HEAD,
	PLACES
};

/* of the most that could be had, for attention's blocks */
#define ENOUGH_OCCUPANCY 0.85

/* does the rest only where all was well before */
#define THEN(status, result, what, error) \
	do \
	{ \
		if ((status) == ENGINE_OK) \
			(status) = cuda_check(result, what, error); \
	} while (0)

static int
qkv_width(const struct backend *cuda)
{
	return (int) ((cuda->a.n_heads + 2 * cuda->a.n_kv_heads) * cuda->a.head_dim);
}

/* one of a layer's products of many rows, on the areas that it works on */
static struct cuda_product
product_of(const struct backend *cuda, const struct cuda_layer *layer, enum place place, int rows, bool step)
{
	int			hidden = (int) cuda->a.hidden_size;
	int			heads = (int) (cuda->a.n_heads * cuda->a.head_dim);
	int			ffn = (int) cuda->a.ffn_dim;
	const void *normed = cuda_area(cuda, AREA_NORMED);

	switch (place)
	{
		case PLACE_QKV:
			/* a step's attention takes floats */
			return (struct cuda_product){layer->qkv, normed, cuda_area(cuda, AREA_QKV), rows, qkv_width(cuda), hidden,
										 step ? CUDA_FLOATS : CUDA_HALVES};
		case PLACE_OUTPUT:
			return (struct cuda_product){layer->output, cuda_area(cuda, AREA_ATTENTION), cuda_area(cuda, AREA_HIDDEN),
										 rows, hidden, heads, CUDA_ADD_FLOATS};
		case PLACE_GATE_UP:
			return (struct cuda_product){layer->gate_up, normed, cuda_area(cuda, AREA_GATE_UP), rows, 2 * ffn, hidden,
										 CUDA_HALVES};
		case PLACE_DOWN:
			return (struct cuda_product){layer->down, cuda_area(cuda, AREA_FFN), cuda_area(cuda, AREA_HIDDEN), rows,
										 hidden, ffn, CUDA_ADD_FLOATS};
		default:
			return (struct cuda_product){cuda->head, normed, cuda_area(cuda, AREA_LOGITS), rows,
										 (int) cuda->a.vocab_size, hidden, CUDA_FLOATS};
	}
}

static enum engine_status
multiply(struct backend *cuda, const struct cuda_layer *layer, enum place place, int rows, bool step,
		 struct engine_error *error)
{
	struct cuda_product product = product_of(cuda, layer, place, rows, step);

	return cuda_multiply(&cuda->products, &product, error);
}

static struct cuda_attention
attention_of(const struct backend *cuda, int layer)
{
	size_t		elements = (size_t) layer * (size_t) cuda->workload.batch_size * (size_t) cuda->a.n_kv_heads *
		(size_t) cuda->layout.capacity * (size_t) cuda->a.head_dim;

	return (struct cuda_attention){
		.heads = (int) cuda->a.n_heads,
		.kv_heads = (int) cuda->a.n_kv_heads,
		.d = (int) cuda->a.head_dim,
		.capacity = cuda->layout.capacity,
		.epsilon = (float) MODEL_NORM_EPSILON,
		.keys = (uint16_t *) cuda_area(cuda, AREA_KEYS) + elements,
		.values = (uint16_t *) cuda_area(cuda, AREA_VALUES) + elements,
		.rope = cuda_area(cuda, AREA_ROPE),
		.bias = cuda->layers[layer].qkv_bias,
		.q_norm = cuda->layers[layer].q_norm,
		.k_norm = cuda->layers[layer].k_norm,
	};
}

static cudaError_t
normalise(struct backend *cuda, const float *x, const float *norm, int rows)
{
	return cuda_norm(&cuda->queue, x, 1, norm, (float) MODEL_NORM_EPSILON, rows, (int) cuda->a.hidden_size,
					 cuda_area(cuda, AREA_NORMED));
}

/* from the attention's result to the end of a layer, for many rows */
static enum engine_status
finish_layer(struct backend *cuda, const struct cuda_layer *layer, int rows, bool step, struct engine_error *error)
{
	void	   *gate_up = cuda_area(cuda, AREA_GATE_UP);
	void	   *ffn = cuda_area(cuda, AREA_FFN);
	enum engine_status status = multiply(cuda, layer, PLACE_OUTPUT, rows, step, error);

	THEN(status, normalise(cuda, cuda_area(cuda, AREA_HIDDEN), layer->ffn_norm, rows), "norm", error);
	if (status == ENGINE_OK)
		status = multiply(cuda, layer, PLACE_GATE_UP, rows, step, error);
	THEN(status, cuda_swiglu(&cuda->queue, gate_up, rows, (int) cuda->a.ffn_dim, ffn), "SwiGLU", error);
	if (status == ENGINE_OK)
		status = multiply(cuda, layer, PLACE_DOWN, rows, step, error);
	return status;
}

/* a product of few rows by our own kernels; norm may be NULL */
static cudaError_t
multiply_vectors(struct backend *cuda, const uint16_t *weights, int rows, int k, const void *x, const float *norm,
				 void *y, enum cuda_ending ending)
{
	struct cuda_vector_product product = {
		.weights = weights,
		.x = x,
		.norm = norm,
		.epsilon = (float) MODEL_NORM_EPSILON,
		.y = y,
		.rows = rows,
		.k = k,
		.vectors = cuda->workload.batch_size,
		.ending = ending,
	};

	return cuda_vector_multiply(&cuda->queue, &product);
}

/* one row per request through the final norm and the head, and the greedy choice */
static enum engine_status
run_head(struct backend *cuda, const float *rows, struct engine_error *error)
{
	int			batch = cuda->workload.batch_size;
	int			vocab = (int) cuda->a.vocab_size;
	int			hidden = (int) cuda->a.hidden_size;
	float	   *logits = cuda_area(cuda, AREA_LOGITS);
	const float *norm = cuda->final_norm;
	enum engine_status status = ENGINE_OK;

	if (cuda->own_products)
		THEN(status, multiply_vectors(cuda, cuda->head, vocab, hidden, rows, norm, logits, CUDA_STORE), "head",
			 error);
	else
	{
		THEN(status, normalise(cuda, rows, norm, batch), "norm", error);
		if (status == ENGINE_OK)
			status = multiply(cuda, NULL, PLACE_HEAD, batch, true, error);
	}
	THEN(status, cuda_argmax(&cuda->queue, logits, batch, vocab, cuda->device_mailbox->sampled),
		 "choice", error);
	return status;
}

/* one token per request to what attention makes of it, as the products after it want it */
static enum engine_status
attend(struct backend *cuda, int layer, struct engine_error *error)
{
	struct cuda_attention attention = attention_of(cuda, layer);
	int			batch = cuda->workload.batch_size;
	float	   *floats = cuda->own_products ? cuda_area(cuda, AREA_ATTENTION) : NULL;
	uint16_t   *halves = cuda->own_products ? NULL : cuda_area(cuda, AREA_ATTENTION);
	float	   *partials = cuda_area(cuda, AREA_PARTIALS);
	enum engine_status status = cuda_check(
		cuda_attend_step(&cuda->queue, &attention, cuda_area(cuda, AREA_QKV), batch, cuda_area(cuda, AREA_STEP),
						 cuda->splits, partials),
		"attention", error);

	THEN(status,
		 cuda_combine(&cuda->queue, partials, batch, attention.heads, attention.d, cuda->splits, floats, halves),
		 "attention", error);
	return status;
}

/* one layer of a decode step of few requests */
static enum engine_status
step_vectors(struct backend *cuda, int index, struct engine_error *error)
{
	const struct cuda_layer *layer = &cuda->layers[index];
	int			hidden = (int) cuda->a.hidden_size;
	int			heads = (int) (cuda->a.n_heads * cuda->a.head_dim);
	int			ffn = (int) cuda->a.ffn_dim;
	float	   *x = cuda_area(cuda, AREA_HIDDEN);
	float	   *qkv = cuda_area(cuda, AREA_QKV);
	float	   *attended = cuda_area(cuda, AREA_ATTENTION);
	float	   *act = cuda_area(cuda, AREA_FFN);
	const float *norm = layer->attention_norm;
	enum engine_status status = ENGINE_OK;

	THEN(status, multiply_vectors(cuda, layer->qkv, qkv_width(cuda), hidden, x, norm, qkv, CUDA_STORE), "qkv", error);
	if (status == ENGINE_OK)
		status = attend(cuda, index, error);
	norm = layer->ffn_norm;
	THEN(status, multiply_vectors(cuda, layer->output, hidden, heads, attended, NULL, x, CUDA_ADD), "output", error);
	THEN(status, multiply_vectors(cuda, layer->gate_up, ffn, hidden, x, norm, act, CUDA_SWIGLU), "gate", error);
	THEN(status, multiply_vectors(cuda, layer->down, hidden, ffn, act, NULL, x, CUDA_ADD), "down", error);
	return status;
}

/* the same of more requests */
static enum engine_status
step_rows(struct backend *cuda, int index, struct engine_error *error)
{
	const struct cuda_layer *layer = &cuda->layers[index];
	int			batch = cuda->workload.batch_size;
	enum engine_status status = ENGINE_OK;

	THEN(status, normalise(cuda, cuda_area(cuda, AREA_HIDDEN), layer->attention_norm, batch), "norm", error);
	if (status == ENGINE_OK)
		status = multiply(cuda, layer, PLACE_QKV, batch, true, error);
	if (status == ENGINE_OK)
		status = attend(cuda, index, error);
	if (status == ENGINE_OK)
		status = finish_layer(cuda, layer, batch, true, error);
	return status;
}

static enum engine_status
run_step(struct backend *cuda, struct engine_error *error)
{
	struct cuda_mailbox *mailbox = cuda->device_mailbox;
	enum engine_status status = cuda_check(
		cuda_embed(&cuda->queue, cuda->embedding, mailbox->tokens, cuda->workload.batch_size,
				   (int) cuda->a.hidden_size, cuda_area(cuda, AREA_HIDDEN), &mailbox->position,
				   cuda_area(cuda, AREA_STEP)),
		"embedding", error);

	for (int i = 0; i < cuda->a.n_layers && status == ENGINE_OK; i++)
		status = cuda->own_products ? step_vectors(cuda, i, error) : step_rows(cuda, i, error);
	if (status == ENGINE_OK)
		status = run_head(cuda, cuda_area(cuda, AREA_HIDDEN), error);
	return status;
}

static void
forget_step(struct backend *cuda)
{
	if (cuda->step != NULL)
		cudaGraphExecDestroy(cuda->step);
	cuda->step = NULL;
}

static enum engine_status
capture(struct backend *cuda, struct engine_error *error)
{
	cudaGraph_t graph = NULL;
	cudaError_t ended;
	enum engine_status status = cuda_check(cudaStreamBeginCapture(cuda->queue.stream, cudaStreamCaptureModeThreadLocal),
										   "could not begin to capture a step", error);

	if (status != ENGINE_OK)
		return status;
	status = run_step(cuda, error);
	/* whatever happened, the stream must not stay in capture */
	ended = cudaStreamEndCapture(cuda->queue.stream, &graph);
	THEN(status, ended, "could not capture a step", error);
	THEN(status, cudaGraphInstantiate(&cuda->step, graph, 0), "could not make a graph of a step", error);
	THEN(status, cudaGraphUpload(cuda->step, cuda->queue.stream), "could not upload the graph of a step", error);
	if (graph != NULL)
		cudaGraphDestroy(graph);
	if (status != ENGINE_OK)
		forget_step(cuda);
	return status;
}

/* a step as a graph; where a driver cannot put overlapping launches into one, without overlap */
static enum engine_status
capture_step(struct backend *cuda, struct engine_error *error)
{
	enum engine_status status;

	forget_step(cuda);
	/* once without: what is loaded at first use must not be loaded within a capture */
	*cuda->mailbox = (struct cuda_mailbox){0};
	status = run_step(cuda, error);
	THEN(status, cudaStreamSynchronize(cuda->queue.stream), "while the first step ran", error);
	if (status != ENGINE_OK)
		return status;
	status = capture(cuda, error);
	if (status == ENGINE_INTERNAL && cuda->queue.overlap)
	{
		cuda->queue.overlap = false;
		status = capture(cuda, error);
	}
	return status;
}

/* the four products of a layer, or the head's, on this number of rows */
static enum engine_status
tune(struct backend *cuda, int rows, bool step, struct engine_error *error)
{
	enum engine_status status = ENGINE_OK;

	for (int place = PLACE_QKV; place < PLACE_HEAD && status == ENGINE_OK; place++)
	{
		struct cuda_product product = product_of(cuda, &cuda->layers[0], place, rows, step);

		status = cuda_tune(&cuda->products, &product, error);
	}
	return status;
}

/* rows of the largest chunk of a prompt: whole requests, or part of one */
static int
chunk_rows(const struct backend *cuda, int length)
{
	return length <= cuda->layout.rows ? cuda->layout.rows / length * length : cuda->layout.rows;
}

/* rows of the chunk that begins at that row of the batch's prompts */
static int
next_rows(const struct backend *cuda, int64_t first, int length)
{
	int64_t		left = (int64_t) cuda->workload.batch_size * length - first;
	int			rows = chunk_rows(cuda, length);

	if (length > rows && left > length - first % length)
		left = length - first % length;
	return left < rows ? (int) left : rows;
}

/* the share of the device that is busy while so many blocks run, of which it holds so many at once */
static double
occupancy(int blocks, int held)
{
	int			waves = (blocks + held - 1) / held;

	return (double) blocks / ((double) waves * held);
}

/*
 * The fewest parts of the context that keep nearly as much of the device busy as
 * any number would; none of less than 64 positions at the end of the context.
 */
static int
choose_splits(const struct backend *cuda)
{
	struct cuda_attention attention = attention_of(cuda, 0);
	int			heads;
	int			resident = cuda_step_blocks(&attention, &heads);
	int			held = cuda->queue.processors * (resident > 0 ? resident : 2);
	int			group = attention.heads / attention.kv_heads;
	int			blocks = cuda->workload.batch_size * attention.kv_heads * ((group + heads - 1) / heads);
	int			most = (cuda->layout.capacity + 63) / 64;
	double		best = 0;
	int			splits = 1;

	if (most > CUDA_MAX_SPLITS)
		most = CUDA_MAX_SPLITS;
	for (int i = 1; i <= most; i++)
		best = fmax(best, occupancy(blocks * i, held));
	while (splits < most && occupancy(blocks * splits, held) < ENOUGH_OCCUPANCY * best)
		splits++;
	return splits;
}

/* do our own products have a form for this batch, and is there shared memory for it? */
static bool
suits_own_products(const struct backend *cuda)
{
	int64_t		longest = cuda->a.hidden_size;

	if (longest < cuda->a.ffn_dim)
		longest = cuda->a.ffn_dim;
	if (longest < cuda->a.n_heads * cuda->a.head_dim)
		longest = cuda->a.n_heads * cuda->a.head_dim;
	return cuda->workload.batch_size <= CUDA_MOST_VECTORS &&
		cuda_vector_shared((int) longest, cuda->workload.batch_size) + 1024 <= cuda->shared;
}

void
cuda_choose(struct backend *cuda)
{
	cuda->own_products = suits_own_products(cuda);
	cuda->splits = choose_splits(cuda);
}

enum engine_status
cuda_settle(struct backend *cuda, struct engine_error *error)
{
	int			length = cuda->workload.input_tokens;
	int64_t		total = (int64_t) cuda->workload.batch_size * length;
	enum engine_status status = ENGINE_OK;
	int			rows;

	for (int64_t first = 0; first < total && status == ENGINE_OK; first += rows)
	{
		rows = next_rows(cuda, first, length);
		status = tune(cuda, rows, false, error);
	}
	if (status == ENGINE_OK && !cuda->own_products)
	{
		struct cuda_product head = product_of(cuda, NULL, PLACE_HEAD, cuda->workload.batch_size, true);

		status = tune(cuda, cuda->workload.batch_size, true, error);
		if (status == ENGINE_OK)
			status = cuda_tune(&cuda->products, &head, error);
	}
	if (status == ENGINE_OK)
		status = capture_step(cuda, error);
	THEN(status, cudaStreamSynchronize(cuda->queue.stream), "while a workload was prepared", error);
	return status;
}

/* one chunk of the prompts through all layers */
static enum engine_status
run_chunk(struct backend *cuda, const int32_t *tokens, int rows, const struct cuda_prompt *prompt,
		  struct engine_error *error)
{
	int			hidden = (int) cuda->a.hidden_size;
	float	   *x = cuda_area(cuda, AREA_HIDDEN);
	void	   *qkv = cuda_area(cuda, AREA_QKV);
	int32_t    *at = cuda_area(cuda, AREA_TOKENS);
	enum engine_status status = cuda_check(cudaMemcpyAsync(at, tokens, (size_t) rows * sizeof(int32_t),
														   cudaMemcpyHostToDevice, cuda->queue.stream),
										   "could not copy tokens", error);

	THEN(status, cuda_embed(&cuda->queue, cuda->embedding, at, rows, hidden, x, NULL, NULL), "embedding", error);
	for (int i = 0; i < cuda->a.n_layers && status == ENGINE_OK; i++)
	{
		const struct cuda_layer *layer = &cuda->layers[i];
		struct cuda_attention attention = attention_of(cuda, i);

		THEN(status, normalise(cuda, x, layer->attention_norm, rows), "norm", error);
		if (status == ENGINE_OK)
			status = multiply(cuda, layer, PLACE_QKV, rows, false, error);
		THEN(status, cuda_place(&cuda->queue, &attention, qkv, prompt), "placing", error);
		THEN(status, cuda_attend_prompt(&cuda->queue, &attention, qkv, prompt, cuda_area(cuda, AREA_ATTENTION)),
			 "attention", error);
		if (status == ENGINE_OK)
			status = finish_layer(cuda, layer, rows, false, error);
	}
	return status;
}

/* the rows that end a request, which are apart by its length */
static cudaError_t
gather_last(struct backend *cuda, const struct cuda_prompt *prompt)
{
	size_t		hidden = (size_t) cuda->a.hidden_size;
	const float *x = cuda_area(cuda, AREA_HIDDEN);
	float	   *last = cuda_area(cuda, AREA_LAST);

	return cuda_gather(&cuda->queue, x + (size_t) (prompt->length - 1) * hidden, prompt->length, prompt->requests,
					   (int) hidden, last + (size_t) prompt->request * hidden);
}

enum engine_status
cuda_prefill(struct backend *cuda, const int32_t *tokens, int length, int32_t *sampled, struct engine_error *error)
{
	int64_t		total = (int64_t) cuda->workload.batch_size * length;
	float	   *last = cuda_area(cuda, AREA_LAST);
	enum engine_status status = ENGINE_OK;
	int			rows;

	for (int64_t first = 0; first < total && status == ENGINE_OK; first += rows)
	{
		struct cuda_prompt prompt;

		rows = next_rows(cuda, first, length);
		prompt.request = (int) (first / length);
		prompt.position = (int) (first % length);
		prompt.requests = rows < length ? 1 : rows / length;
		prompt.length = rows / prompt.requests;
		status = run_chunk(cuda, tokens + first, rows, &prompt, error);
		if (prompt.position + prompt.length == length)
			THEN(status, gather_last(cuda, &prompt), "last positions", error);
	}
	if (status == ENGINE_OK)
		status = run_head(cuda, last, error);
	THEN(status, cudaStreamSynchronize(cuda->queue.stream), "while a prompt ran", error);
	cuda->context = length;
	memcpy(sampled, cuda->mailbox->sampled, (size_t) cuda->workload.batch_size * sizeof(int32_t));
	return status;
}

enum engine_status
cuda_decode(struct backend *cuda, const int32_t *tokens, int32_t *sampled, struct engine_error *error)
{
	size_t		size = (size_t) cuda->workload.batch_size * sizeof(int32_t);
	enum engine_status status;

	/* the stream is idle: the last call has waited for it */
	memcpy(cuda->mailbox->tokens, tokens, size);
	cuda->mailbox->position = cuda->context;
	status = cuda_check(cudaGraphLaunch(cuda->step, cuda->queue.stream), "could not start a step", error);
	THEN(status, cudaStreamSynchronize(cuda->queue.stream), "while a step ran", error);
	cuda->context++;
	memcpy(sampled, cuda->mailbox->sampled, size);
	return status;
}

enum engine_status
cuda_time_attention(struct backend *cuda, double *seconds, struct engine_error *error)
{
	cudaStream_t stream = cuda->queue.stream;
	cudaEvent_t events[2] = {NULL, NULL};
	enum engine_status status = ENGINE_OK;

	*seconds = NAN;
	for (int i = 0; i < 2; i++)
		THEN(status, cudaEventCreate(&events[i]), "could not make an event", error);
	/* where the last step was; the first run warms up */
	for (int run = 0; run < 4 && status == ENGINE_OK; run++)
	{
		float		milliseconds = 0;

		THEN(status, cudaEventRecord(events[0], stream), "could not record an event", error);
		for (int i = 0; i < cuda->a.n_layers && status == ENGINE_OK; i++)
			status = attend(cuda, i, error);
		THEN(status, cudaEventRecord(events[1], stream), "could not record an event", error);
		THEN(status, cudaEventSynchronize(events[1]), "while attention was timed", error);
		THEN(status, cudaEventElapsedTime(&milliseconds, events[0], events[1]), "could not read an event", error);
		if (status == ENGINE_OK && run > 0)
			*seconds = fmin(milliseconds * 1e-3, isnan(*seconds) ? INFINITY : *seconds);
	}
	for (int i = 0; i < 2; i++)
		if (events[i] != NULL)
			cudaEventDestroy(events[i]);
	return status;
}

double
cuda_prompt_product_seconds(const struct backend *cuda)
{
	int			length = cuda->workload.input_tokens;
	int64_t		total = (int64_t) cuda->workload.batch_size * length;
	double		seconds = 0;
	int			rows;

	for (int64_t first = 0; first < total; first += rows)
	{
		rows = next_rows(cuda, first, length);
		for (int place = PLACE_QKV; place < PLACE_HEAD; place++)
		{
			struct cuda_product product = product_of(cuda, &cuda->layers[0], place, rows, false);

			seconds += (double) cuda->a.n_layers * cuda_product_seconds(&cuda->products, &product);
		}
	}
	return seconds;
}

int
cuda_prompt_algorithm(const struct backend *cuda)
{
	struct cuda_product product = product_of(cuda, &cuda->layers[0], PLACE_GATE_UP,
											 next_rows(cuda, 0, cuda->workload.input_tokens), false);

	return cuda_product_algorithm(&cuda->products, &product);
}
