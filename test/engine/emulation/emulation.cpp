/*
 * emulation.cpp: a CUDA device of one thread, to test kernels without a GPU.
 *
 * The threads of a block are contexts that take turns: each runs until it must
 * wait for others, at a barrier or an exchange within its warp.  Each warp goes as
 * far as it can, and in every other block the last one begins, so that a barrier
 * that is missing shows.  Blocks run one after the other, work put into a stream at once, and a captured graph is a
 * list of such work.  It says nothing about speed and finds no race between
 * blocks, but indices, tails, fragments and the order of things are the device's
 * own; and a kernel that may overlap and does not wait ends the process.
 *
 * BENCHORCH_EMULATED_FAILURE=WHAT:N lets the N-th kernel, malloc or instantiate
 * fail; after a kernel's failure everything does, as on a device whose context is
 * lost.
 */
#include "cuda_runtime.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <ucontext.h>

#include <vector>

#define WARP 32
#define STACK_BYTES (64 << 10)
#define PROCESSORS 3
#define DEVICE_BYTES ((size_t) 1 << 30)

dim3 threadIdx;
dim3 blockIdx;
dim3 blockDim;
dim3 gridDim;

/* who waits for each other */
struct meeting
{
	unsigned	size;
	unsigned	arrived;
	unsigned	generation;
};

struct thread
{
	ucontext_t	context;		/* where it begins */
	jmp_buf		place;			/* where it goes on: unlike contexts, these need no system calls */
	std::vector<char> stack;
	bool		begun;
	bool		ended;
	bool		waited;			/* for the kernels before */
};

static std::vector<thread> threads;
static std::vector<meeting> warps;
static std::vector<std::vector<uint64_t>> exchanged;
static meeting block;
static jmp_buf scheduler;
static unsigned current;
static unsigned progress;		/* grows whenever somebody got further */
static std::vector<unsigned char> shared_memory;
static const std::function<void()> *body;
static bool must_wait;
static unsigned blocks;			/* that have run */

/* of what was put into the stream; it stays */
static cudaError_t failed = cudaSuccess;

/* is it this one's turn to fail? */
static bool
fails(const char *what)
{
	static const char *given = getenv("BENCHORCH_EMULATED_FAILURE");
	static long left = given != nullptr && strchr(given, ':') != nullptr ? atol(strchr(given, ':') + 1) : 0;

	return given != nullptr && strncmp(given, what, strlen(what)) == 0 && --left == 0;
}

unsigned char *
emulated_shared_memory()
{
	return (unsigned char *) (((uintptr_t) shared_memory.data() + 15) / 16 * 16);
}

/* the others' turn */
static void
pause_thread()
{
	if (_setjmp(threads[current].place) == 0)
		_longjmp(scheduler, 1);
}

/* the thread's turn, until it pauses */
static __attribute__((noinline)) void
resume_thread(thread &t)
{
	if (_setjmp(scheduler) != 0)
		return;
	if (t.begun)
		_longjmp(t.place, 1);
	t.begun = true;
	setcontext(&t.context);
}

static void
wait_at(meeting &m)
{
	unsigned	generation = m.generation;

	progress++;
	if (++m.arrived == m.size)
	{
		m.arrived = 0;
		m.generation++;
		return;
	}
	while (m.generation == generation)
		pause_thread();
}

void
__syncthreads()
{
	wait_at(block);
}

void
__syncwarp()
{
	wait_at(warps[current / WARP]);
}

const uint64_t *
emulated_exchange(uint64_t mine)
{
	std::vector<uint64_t> &values = exchanged[current / WARP];

	/* two sides take turns, so that nobody writes while others still read */
	unsigned	side = warps[current / WARP].generation % 2 * WARP;

	values[side + current % WARP] = mine;
	__syncwarp();
	return values.data() + side;
}

void
wait_for_previous()
{
	threads[current].waited = true;
}

static void
thread_main()
{
	(*body)();
	if (must_wait && !threads[current].waited)
	{
		fprintf(stderr, "emulation: a kernel that may overlap has not waited for the one before\n");
		abort();
	}
	threads[current].ended = true;
	progress++;
	pause_thread();
}

static void
start_thread(thread &t)
{
	t.stack.resize(STACK_BYTES);
	t.begun = false;
	t.ended = false;
	t.waited = false;
	getcontext(&t.context);
	t.context.uc_stack.ss_sp = t.stack.data();
	t.context.uc_stack.ss_size = t.stack.size();
	t.context.uc_link = nullptr;
	makecontext(&t.context, thread_main, 0);
}

/* the warp's threads take turns for as long as one of them gets further; answers how many have ended */
static unsigned
run_warp(unsigned first, unsigned end)
{
	unsigned	before;
	unsigned	ended;

	do
	{
		before = progress;
		ended = 0;
		for (current = first; current < end; current++)
		{
			if (!threads[current].ended)
			{
				threadIdx = dim3(current);
				resume_thread(threads[current]);
			}
			ended += threads[current].ended;
		}
	} while (progress != before && ended < end - first);
	return ended;
}

/* all threads of one block, to their end */
static void
run_block(unsigned count)
{
	unsigned	ended = 0;
	bool		backwards = blocks++ % 2 == 1;

	block = meeting{count, 0, 0};
	warps.assign((count + WARP - 1) / WARP, meeting{WARP, 0, 0});
	if (count % WARP != 0)
		warps.back().size = count % WARP;
	exchanged.assign(warps.size(), std::vector<uint64_t>(2 * WARP));
	/* what nobody wrote is no number */
	std::fill(shared_memory.begin(), shared_memory.end(), 0xff);
	for (unsigned i = 0; i < count; i++)
		start_thread(threads[i]);
	while (ended < count)
	{
		unsigned	before = progress;

		ended = 0;
		for (unsigned i = 0; i < warps.size(); i++)
		{
			unsigned	first = (backwards ? (unsigned) warps.size() - 1 - i : i) * WARP;

			ended += run_warp(first, first + WARP < count ? first + WARP : count);
		}
		if (progress == before && ended < count)
		{
			fprintf(stderr, "emulation: the threads of a block wait for each other for ever\n");
			abort();
		}
	}
}

cudaError_t
emulated_grid(dim3 grid, dim3 size, size_t shared, bool overlaps, const std::function<void()> &kernel)
{
	if (size.y != 1 || size.z != 1 || size.x == 0 || size.x > 1024 || grid.x == 0 || grid.y == 0 || grid.z == 0 ||
		grid.y > 65535 || grid.z > 65535 || shared > 227 * 1024)
		return cudaErrorInvalidValue;
	if (fails("kernel"))
	{
		/* who waits for the stream is told */
		failed = cudaErrorIllegalAddress;
		return cudaSuccess;
	}
	gridDim = grid;
	blockDim = size;
	body = &kernel;
	must_wait = overlaps;
	shared_memory.assign(shared + 16, 0);
	if (threads.size() < size.x)
		threads.resize(size.x);
	for (unsigned z = 0; z < grid.z; z++)
		for (unsigned y = 0; y < grid.y; y++)
			for (unsigned x = 0; x < grid.x; x++)
			{
				blockIdx = dim3(x, y, z);
				run_block(size.x);
			}
	return cudaSuccess;
}

/* ---- streams and graphs ---- */

struct emulated_graph
{
	std::vector<std::function<cudaError_t()>> work;
};

static emulated_graph *capture;

cudaError_t
emulated_put(std::function<cudaError_t()> work)
{
	if (failed != cudaSuccess)
		return failed;
	if (capture == nullptr)
		return work();
	capture->work.push_back(work);
	return cudaSuccess;
}

cudaError_t
cudaStreamBeginCapture(cudaStream_t, enum cudaStreamCaptureMode)
{
	if (capture != nullptr)
		return cudaErrorInvalidValue;
	capture = new emulated_graph;
	return cudaSuccess;
}

cudaError_t
cudaStreamEndCapture(cudaStream_t, cudaGraph_t *graph)
{
	*graph = capture;
	capture = nullptr;
	return *graph != nullptr ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t
cudaGraphInstantiate(cudaGraphExec_t *executable, cudaGraph_t graph, unsigned long long)
{
	if (fails("instantiate"))
		return cudaErrorInvalidValue;
	*executable = new emulated_graph(*graph);
	return cudaSuccess;
}

cudaError_t
cudaGraphUpload(cudaGraphExec_t, cudaStream_t)
{
	return cudaSuccess;
}

cudaError_t
cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t)
{
	for (const auto &work : executable->work)
	{
		cudaError_t result = failed == cudaSuccess ? work() : cudaSuccess;

		if (failed == cudaSuccess)
			failed = result;
	}
	return cudaSuccess;
}

cudaError_t
cudaGraphDestroy(cudaGraph_t graph)
{
	delete graph;
	return cudaSuccess;
}

cudaError_t
cudaGraphExecDestroy(cudaGraphExec_t executable)
{
	delete executable;
	return cudaSuccess;
}

cudaError_t
cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned)
{
	*stream = (cudaStream_t) malloc(1);
	return cudaSuccess;
}

cudaError_t
cudaStreamDestroy(cudaStream_t stream)
{
	free(stream);
	return cudaSuccess;
}

/* as on the device, waiting within a capture is an error */
cudaError_t
cudaStreamSynchronize(cudaStream_t)
{
	return capture != nullptr ? cudaErrorInvalidValue : failed;
}

/* ---- the device and its memory ---- */

static size_t taken;

cudaError_t
cudaMalloc(void **memory, size_t size)
{
	/* as on the device, not within a capture */
	if (capture != nullptr)
		return cudaErrorInvalidValue;
	if (failed != cudaSuccess)
		return failed;
	if (taken + size > DEVICE_BYTES || fails("malloc"))
		return cudaErrorMemoryAllocation;
	/* the size in front; what nobody wrote is no number */
	*memory = (char *) aligned_alloc(256, (size + 511) / 256 * 256) + 256;
	memset(*memory, 0xff, size);
	*(size_t *) ((char *) *memory - 256) = size;
	taken += size;
	return cudaSuccess;
}

cudaError_t
cudaFree(void *memory)
{
	if (memory == nullptr)
		return cudaSuccess;
	taken -= *(size_t *) ((char *) memory - 256);
	free((char *) memory - 256);
	return cudaSuccess;
}

cudaError_t
cudaHostAlloc(void **memory, size_t size, unsigned)
{
	*memory = calloc(1, size);
	return cudaSuccess;
}

cudaError_t
cudaFreeHost(void *memory)
{
	free(memory);
	return cudaSuccess;
}

cudaError_t
cudaHostGetDevicePointer(void **device, void *host, unsigned)
{
	*device = host;
	return cudaSuccess;
}

cudaError_t
cudaMemGetInfo(size_t *available, size_t *all)
{
	*all = DEVICE_BYTES;
	*available = DEVICE_BYTES - taken;
	return failed;
}

cudaError_t
cudaMemsetAsync(void *memory, int value, size_t size, cudaStream_t)
{
	return emulated_put([=] { memset(memory, value, size); return cudaSuccess; });
}

cudaError_t
cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind, cudaStream_t)
{
	return emulated_put([=] { memcpy(to, from, size); return cudaSuccess; });
}

cudaError_t
cudaGetDeviceCount(int *count)
{
	*count = 1;
	return cudaSuccess;
}

cudaError_t
cudaSetDevice(int)
{
	return cudaSuccess;
}

cudaError_t
cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int)
{
	*value = attribute == cudaDevAttrMultiProcessorCount ? PROCESSORS :
		attribute == cudaDevAttrMaxSharedMemoryPerBlockOptin ? 227 * 1024 :
		attribute == cudaDevAttrComputeCapabilityMajor ? 9 : 0;
	return cudaSuccess;
}

cudaError_t
cudaOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, const void *, int, size_t)
{
	*blocks = 4;
	return cudaSuccess;
}

cudaError_t
cudaGetDeviceProperties(struct cudaDeviceProp *properties, int)
{
	*properties = {};
	strcpy(properties->name, "emulation");
	return cudaSuccess;
}

cudaError_t
cudaDeviceGetPCIBusId(char *bus, int size, int)
{
	snprintf(bus, (size_t) size, "0000:01:00.0");
	return cudaSuccess;
}

cudaError_t
cudaDriverGetVersion(int *version)
{
	*version = 0;
	return cudaSuccess;
}

cudaError_t
cudaRuntimeGetVersion(int *version)
{
	*version = 0;
	return cudaSuccess;
}

cudaError_t
cudaGetLastError(void)
{
	return cudaSuccess;
}

const char *
cudaGetErrorString(cudaError_t error)
{
	return error == cudaErrorMemoryAllocation ? "out of memory" : "an error";
}

const char *
cudaGetErrorName(cudaError_t)
{
	return "emulated";
}

/* ---- events ---- */

struct emulated_event
{
	struct timespec at;
};

cudaError_t
cudaEventCreate(cudaEvent_t *event)
{
	*event = new emulated_event();
	return cudaSuccess;
}

cudaError_t
cudaEventDestroy(cudaEvent_t event)
{
	delete event;
	return cudaSuccess;
}

cudaError_t
cudaEventRecord(cudaEvent_t event, cudaStream_t)
{
	clock_gettime(CLOCK_MONOTONIC, &event->at);
	return cudaSuccess;
}

cudaError_t
cudaEventSynchronize(cudaEvent_t)
{
	return failed;
}

cudaError_t
cudaEventElapsedTime(float *milliseconds, cudaEvent_t begin, cudaEvent_t end)
{
	*milliseconds = (float) ((double) (end->at.tv_sec - begin->at.tv_sec) * 1e3 +
							 (double) (end->at.tv_nsec - begin->at.tv_nsec) * 1e-6);
	return cudaSuccess;
}
