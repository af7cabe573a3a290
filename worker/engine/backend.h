/*
 * backend.h: the table of operations that a device fills.
 *
 * A backend is one model on one device.  open() makes its weights, prepare()
 * takes what a workload needs beside them, as often as workloads change, and
 * settle() does what would disturb a measurement later and need not be waited
 * for by the first launch; nothing is allocated afterwards.  plan() takes nothing
 * and is asked first, so that a config that does not fit is refused and never
 * killed.
 *
 * prefill() and decode() return when the sampled tokens are in host memory:
 * the caller's clock around them is the measurement.  Which tokens are fed is
 * the caller's choice, so that timing does not depend on what a synthetic
 * model happens to say.
 *
 * Only the CPU is linked in.  CUDA is a plugin beside the program, so that a
 * process that does not need it never loads a library of it.
 */
#ifndef BACKEND_H
#define BACKEND_H

#include "engine.h"

/* grows with every change of this file; a plugin of another number is refused */
#define BACKEND_INTERFACE 2

/* a plugin benchorch-engine-NAME.so has one struct backend_operations of this name */
#define BACKEND_SYMBOL "benchorch_engine_backend"

struct		backend;

struct backend_options
{
	int			threads;		/* of the host, at least 1 */
	const char *kernels;		/* which set of kernels, NULL for the best */
	bool		library;		/* use a vendor's matrix library where there is one */
	bool		pinned;			/* each thread to a CPU of its own, which it may keep busy waiting */
};

/* bytes; total is their sum */
struct memory_plan
{
	int64_t		weights;
	int64_t		kv_cache;
	int64_t		activations;
	int64_t		library;		/* an allowance for libraries and calibration */
	int64_t		total;
	int64_t		available;
};

/* one fact about how the device runs, for the result's environment */
struct backend_fact
{
	const char *name;
	char		value[256];
};

#define BACKEND_MAX_FACTS 32

enum backend_rate
{
	RATE_READ,					/* bytes/s, reading what a decode step reads */
	RATE_COPY,					/* bytes/s read and written, of a large copy */
	RATE_MATRIX,				/* FLOP/s of a large matrix product */
};

/* counters that only grow, and what holds at the moment; NaN where unknown */
struct device_state
{
	double		energy_j;
	double		throttled_s;	/* slowed down for heat or by a power brake */
	double		power_capped_s; /* slowed down to keep a power limit */
	double		clock_hz;
	double		memory_clock_hz;
	double		temperature_c;
};

struct backend_operations
{
	int			interface;		/* BACKEND_INTERFACE */
	const char *name;
	enum engine_status out_of_memory;	/* what it means where the plan does not fit */

	/* is there a device that can be used? */
	enum engine_status (*probe)(struct engine_error *error);

	/* what backend holds already, where it is not NULL, counts as available */
	enum engine_status (*plan)(const struct backend *backend,
							   const struct architecture *architecture,
							   const struct workload *workload,
							   const struct backend_options *options,
							   struct memory_plan *plan,
							   struct engine_error *error);

	/* makes the weights from the seed; *backend is NULL unless it succeeds */
	enum engine_status (*open)(const struct architecture *architecture,
							   enum precision precision, uint64_t weights_seed,
							   const struct backend_options *options,
							   struct backend **backend,
							   struct engine_error *error);
	void (*close)(struct backend *backend);

	/* readies the opened model for a workload of its precision: prefill() may be called */
	enum engine_status (*prepare)(struct backend *backend,
								  const struct workload *workload,
								  struct engine_error *error);

	/* once after prepare(), before decode(), rate() and whatever is timed */
	enum engine_status (*settle)(struct backend *backend, struct engine_error *error);

	/*
	 * Empties the KV cache and runs tokens[request × length + position];
	 * length may be less than the workload's input tokens.  sampled has one
	 * token per request.
	 */
	enum engine_status (*prefill)(struct backend *backend, const int32_t *tokens,
								  int length, int32_t *sampled,
								  struct engine_error *error);

	/* one more token for each request */
	enum engine_status (*decode)(struct backend *backend, const int32_t *tokens,
								 int32_t *sampled, struct engine_error *error);

	/* the last step's logits, batch × vocabulary, in host memory */
	enum engine_status (*logits)(struct backend *backend, const float **logits,
								 struct engine_error *error);

	/* the best rate seen in about that time */
	enum engine_status (*rate)(struct backend *backend, enum backend_rate which,
							   double seconds, double *rate,
							   struct engine_error *error);

	void (*state)(struct backend *backend, struct device_state *state);

	/* the most device memory that was taken, in bytes; -1 where that is the host's */
	int64_t (*device_memory)(struct backend *backend);

	/* answers how many facts it wrote */
	int (*facts)(struct backend *backend, struct backend_fact *facts);
};

extern const struct backend_operations cpu_backend;

/*
 * By name, from a plugin where it is not linked in.  "auto" is the first of
 * CUDA and the CPU that works here; where that passes a GPU by, error says why.
 */
extern enum engine_status backend_find(const char *name,
									   const struct backend_operations **operations,
									   struct engine_error *error);

#endif							/* BACKEND_H */
