/*
 * cuda.c: the CUDA backend's table of operations, what the plugin
 * benchorch-engine-cuda.so consists of for who opens it.
 *
 * It runs bf16 weights on the first device that CUDA_VISIBLE_DEVICES leaves.  Sums
 * are in fp32, the residual stream too; what goes into a prompt's products is bf16.
 * No error ends the process: what CUDA says becomes a status, and after one that
 * loses the device's context (ENGINE_GPU_FAULT) only another process can go on.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cuda_error.h"
#include "cuda_forward.h"
#include "cuda_memory.h"
#include "cuda_rates.h"

/* code of the kernels and of cuBLASLt, which is loaded as it is used */
#define LIBRARY_BYTES (256 << 20)

#define DEVICE 0

static enum engine_status
probe(struct engine_error *error)
{
	int			count = 0;
	void	   *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	enum engine_status status;

	/* the runtime would call it too old */
	if (driver == NULL)
		return engine_fail(error, ENGINE_NO_DEVICE, "no GPU can be used: there is no NVIDIA driver");
	dlclose(driver);
	status = cuda_check(cudaGetDeviceCount(&count), "no GPU can be used", error);

	if (status == ENGINE_OK && count == 0)
		status = engine_fail(error, ENGINE_NO_DEVICE, "no GPU can be used: there is none");
	return status;
}

/* what of the shapes and precisions that make sense this backend can run */
static enum engine_status
check_support(const struct architecture *a, enum precision precision, struct engine_error *error)
{
	if (precision != PRECISION_BF16)
		return engine_fail(error, ENGINE_UNSUPPORTED, "precision %s is not supported by the cuda backend, only bf16",
						   precision_name(precision));
	if (!cuda_attention_supports((int) a->n_heads, (int) a->n_kv_heads, (int) a->head_dim))
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "head_dim %lld is not supported by the cuda backend, only 64 and 128", (long long) a->head_dim);
	if (a->hidden_size % 8 != 0 || a->ffn_dim % 8 != 0)
		return engine_fail(error, ENGINE_UNSUPPORTED,
						   "hidden_size %lld and ffn_dim %lld must be multiples of 8 for the cuda backend",
						   (long long) a->hidden_size, (long long) a->ffn_dim);
	return ENGINE_OK;
}

static enum engine_status
plan(const struct backend *cuda, const struct architecture *a, const struct workload *workload,
	 const struct backend_options *options, struct memory_plan *plan, struct engine_error *error)
{
	struct cuda_layout layout;
	size_t		available;
	size_t		all;
	enum engine_status status = check_support(a, workload->precision, error);

	(void) options;
	if (status == ENGINE_OK)
		status = cuda_check(cudaSetDevice(DEVICE), "could not use the GPU", error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaMemGetInfo(&available, &all), "could not ask for the GPU's memory", error);
	if (status != ENGINE_OK)
		return status;
	layout = cuda_lay_out(a, workload);
	plan->weights = (int64_t) layout.weights;
	plan->kv_cache = (int64_t) (layout.offset[AREA_ROPE] - layout.offset[AREA_KEYS]);
	plan->activations = (int64_t) layout.workspace - plan->kv_cache;
	plan->library = LIBRARY_BYTES + CUDA_RATES_BYTES;
	plan->total = plan->weights + plan->kv_cache + plan->activations + plan->library;
	plan->available = (int64_t) available;
	if (cuda != NULL)
		plan->available += (int64_t) (cuda->layout.weights + cuda->allocated) + LIBRARY_BYTES;
	/* the libraries may not be loaded yet */
	if (plan->available > (int64_t) all)
		plan->available = (int64_t) all;
	return ENGINE_OK;
}

static void
cuda_close(struct backend *cuda)
{
	if (cuda == NULL)
		return;
	if (cuda->queue.stream != NULL)
		cudaStreamSynchronize(cuda->queue.stream);
	if (cuda->step != NULL)
		cudaGraphExecDestroy(cuda->step);
	cuda_products_close(&cuda->products);
	cuda_free_memory(cuda);
	cudaFreeHost(cuda->mailbox);
	if (cuda->queue.stream != NULL)
		cudaStreamDestroy(cuda->queue.stream);
	cuda_nvml_close(&cuda->nvml);
	free(cuda->logits);
	free(cuda);
}

static enum engine_status
open_device(struct backend *cuda, const struct backend_options *options, struct engine_error *error)
{
	int			shared = 0;
	int			major = 0;
	char		bus[32] = "";
	enum engine_status status = cuda_check(cudaSetDevice(DEVICE), "could not use the GPU", error);

	if (status == ENGINE_OK)
		status = cuda_check(cudaDeviceGetAttribute(&cuda->queue.processors, cudaDevAttrMultiProcessorCount, DEVICE),
							"could not ask the GPU", error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaDeviceGetAttribute(&shared, cudaDevAttrMaxSharedMemoryPerBlockOptin, DEVICE),
							"could not ask the GPU", error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, DEVICE),
							"could not ask the GPU", error);
	if (status == ENGINE_OK && major < 8)
		status = engine_fail(error, ENGINE_NO_DEVICE, "the GPU has compute capability %d, at least 8.0 is needed",
							 major);
	if (status == ENGINE_OK)
		status = cuda_check(cudaStreamCreateWithFlags(&cuda->queue.stream, cudaStreamNonBlocking),
							"could not make a stream", error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaHostAlloc((void **) &cuda->mailbox, sizeof(*cuda->mailbox), cudaHostAllocMapped),
							"could not allocate host memory", error);
	if (status == ENGINE_OK)
		status = cuda_check(cudaHostGetDevicePointer((void **) &cuda->device_mailbox, cuda->mailbox, 0),
							"could not map host memory", error);
	if (status == ENGINE_OK)
		status = cuda_products_open(&cuda->products, cuda->queue.stream, error);
	if (status != ENGINE_OK)
		return status;
	cuda->shared = (size_t) shared;
	/* programmatic launches came with Hopper; --kernels plain does without */
	cuda->queue.overlap = major >= 9 && (options->kernels == NULL || strcmp(options->kernels, "plain") != 0);
	if (cudaDeviceGetPCIBusId(bus, sizeof(bus), DEVICE) == cudaSuccess)
		cuda_nvml_open(&cuda->nvml, bus);
	return ENGINE_OK;
}

static enum engine_status
cuda_open(const struct architecture *a, enum precision precision, uint64_t weights_seed,
		  const struct backend_options *options, struct backend **backend, struct engine_error *error)
{
	struct backend *cuda = calloc(1, sizeof(*cuda));
	struct workload nothing = {.precision = precision};
	enum engine_status status = check_support(a, precision, error);

	*backend = NULL;
	if (cuda == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	if (options->kernels != NULL && strcmp(options->kernels, "plain") != 0)
		status = engine_fail(error, ENGINE_USAGE, "the cuda backend has no kernels \"%s\", only plain",
							 options->kernels);
	cuda->a = *a;
	cuda->weights_seed = weights_seed;
	cuda->layout = cuda_lay_out(a, &nothing);
	if (status == ENGINE_OK)
		status = open_device(cuda, options, error);
	if (status == ENGINE_OK)
		status = cuda_make_weights(cuda, error);
	if (status == ENGINE_OK)
		*backend = cuda;
	else
		cuda_close(cuda);
	return status;
}

static enum engine_status
prepare(struct backend *cuda, const struct workload *workload, struct engine_error *error)
{
	int64_t		taken;
	enum engine_status status;

	cuda->workload = *workload;
	cuda->layout = cuda_lay_out(&cuda->a, workload);
	cuda->context = 0;
	free(cuda->logits);
	cuda->logits = malloc((size_t) workload->batch_size * (size_t) cuda->a.vocab_size * sizeof(float));
	if (cuda->logits == NULL)
		return engine_fail(error, ENGINE_INTERNAL, "out of memory");
	status = cuda_make_workspace(cuda, error);
	if (status == ENGINE_OK)
		cuda_choose(cuda);
	taken = (int64_t) (cuda->layout.weights + cuda->allocated);
	if (taken > cuda->most_memory)
		cuda->most_memory = taken;
	return status;
}

static enum engine_status
logits(struct backend *cuda, const float **logits, struct engine_error *error)
{
	size_t		size = (size_t) cuda->workload.batch_size * (size_t) cuda->a.vocab_size * sizeof(float);
	enum engine_status status = cuda_check(cudaMemcpyAsync(cuda->logits, cuda_area(cuda, AREA_LOGITS), size,
														   cudaMemcpyDeviceToHost, cuda->queue.stream),
										   "could not copy logits", error);

	if (status == ENGINE_OK)
		status = cuda_check(cudaStreamSynchronize(cuda->queue.stream), "while logits were copied", error);
	*logits = cuda->logits;
	return status;
}

static void
state(struct backend *cuda, struct device_state *state)
{
	cuda_nvml_state(&cuda->nvml, state);
}

static int64_t
device_memory(struct backend *cuda)
{
	return cuda->most_memory;
}

static int
facts(struct backend *cuda, struct backend_fact *fact)
{
	struct cudaDeviceProp properties;
	double		products = cuda_prompt_product_seconds(cuda);
	struct engine_error ignored;
	double		attention = NAN;
	int			driver = 0;
	int			runtime = 0;
	int			clock = 0;
	int			bus = 0;
	int			n = 0;

#define FACT(key, ...) \
	do \
	{ \
		fact[n].name = key; \
		snprintf(fact[n++].value, sizeof(fact[0].value), __VA_ARGS__); \
	} while (0)

	if (cudaGetDeviceProperties(&properties, DEVICE) == cudaSuccess)
	{
		const unsigned char *id = (const unsigned char *) properties.uuid.bytes;

		FACT("gpu", "%s", properties.name);
		FACT("gpu_uuid", "GPU-%02x%02x%02x%02x-%02x%02x-%02x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x",
			 id[0], id[1], id[2], id[3], id[4], id[5], id[6], id[7],
			 id[8], id[9], id[10], id[11], id[12], id[13], id[14], id[15]);
		FACT("compute_capability", "%d.%d", properties.major, properties.minor);
		FACT("processors", "%d", properties.multiProcessorCount);
	}
	cuda_nvml_driver(&cuda->nvml, fact[n].value, sizeof(fact[0].value));
	fact[n++].name = "driver";
	cudaDriverGetVersion(&driver);
	cudaRuntimeGetVersion(&runtime);
	FACT("cuda_driver", "%d.%d", driver / 1000, driver % 1000 / 10);
	FACT("cuda_runtime", "%d.%d", runtime / 1000, runtime % 1000 / 10);
	FACT("cublaslt", "%lld", (long long) cuda_products_version());
	FACT("decode_products", "%s", cuda->own_products ? "own" : "cublaslt");
	FACT("prompt_algorithm", "%d", cuda_prompt_algorithm(cuda));
	FACT("splits", "%d", cuda->splits);
	FACT("overlap", "%s", cuda->queue.overlap ? "yes" : "no");
	/* the datasheet's bandwidth, and what a prompt's products take alone at their best */
	if (cudaDeviceGetAttribute(&clock, cudaDevAttrMemoryClockRate, DEVICE) == cudaSuccess &&
		cudaDeviceGetAttribute(&bus, cudaDevAttrGlobalMemoryBusWidth, DEVICE) == cudaSuccess && clock > 0)
		FACT("datasheet_bytes_per_s", "%.4g", 2.0 * clock * 1e3 * bus / 8);
	if (!isnan(products))
		FACT("prompt_products_ms", "%.4g", products * 1e3);
	/* a step's attention alone, at the end of the context */
	if (cuda->context > cuda->workload.input_tokens && cuda_time_attention(cuda, &attention, &ignored) == ENGINE_OK)
	{
		FACT("attention_ms", "%.4g", attention * 1e3);
		FACT("attention_context", "%d", cuda->context);
	}
#undef FACT
	return n;
}

/* the one thing that the program looks for */
__attribute__((visibility("default"))) const struct backend_operations benchorch_engine_backend = {
	.interface = BACKEND_INTERFACE,
	.name = "cuda",
	.out_of_memory = ENGINE_GPU_OOM,
	.probe = probe,
	.plan = plan,
	.open = cuda_open,
	.close = cuda_close,
	.prepare = prepare,
	.settle = cuda_settle,
	.prefill = cuda_prefill,
	.decode = cuda_decode,
	.logits = logits,
	.rate = cuda_rate,
	.state = state,
	.device_memory = device_memory,
	.facts = facts,
};
