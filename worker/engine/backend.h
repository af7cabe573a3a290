/*
 * backend.h: the table of operations that a device fills.
 *
 * A backend is one opened model on one device.  plan() takes nothing and is
 * asked first; open() takes all the memory it said and nothing is allocated
 * afterwards, so that a config that does not fit is refused and never killed.
 *
 * prefill() and decode() return when the sampled tokens are in host memory:
 * the caller's clock around them is the measurement.  Which tokens are fed is
 * the caller's choice, so that timing does not depend on what a synthetic
 * model happens to say.
 */
#ifndef BACKEND_H
#define BACKEND_H

#include "engine.h"

struct		backend;

struct backend_options
{
	int			threads;		/* of the host, at least 1 */
	const char *kernels;		/* which set of kernels, NULL for the best */
	bool		library;		/* use a vendor's matrix library where there is one */
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

#define BACKEND_MAX_FACTS 16

struct backend_operations
{
	const char *name;

	enum engine_status (*plan)(const struct architecture *architecture,
							   const struct workload *workload,
							   const struct backend_options *options,
							   struct memory_plan *plan,
							   struct engine_error *error);

	/* makes the weights from the seed; *backend is NULL unless it succeeds */
	enum engine_status (*open)(const struct architecture *architecture,
							   const struct workload *workload,
							   const struct backend_options *options,
							   struct backend **backend,
							   struct engine_error *error);
	void (*close)(struct backend *backend);

	/*
	 * Empties the KV cache and runs tokens[request × length + position];
	 * length may be less than the workload's input tokens.  sampled has one
	 * token per request.
	 */
	void (*prefill)(struct backend *backend, const int32_t *tokens,
					int			length, int32_t *sampled);

	/* one more token for each request */
	void (*decode)(struct backend *backend, const int32_t *tokens,
				   int32_t *sampled);

	/* the last step's logits, batch × vocabulary, in host memory */
	const float *(*logits)(struct backend *backend);

	/* the best rate seen in about that time, reading what a decode step reads */
	double (*read_bandwidth)(struct backend *backend, double seconds);

	/* the best rate seen in about that time, FLOP/s of a large matrix product */
	double (*matrix_rate)(struct backend *backend, double seconds);

	/* answers how many facts it wrote */
	int (*facts)(struct backend *backend, struct backend_fact *facts);
};

extern const struct backend_operations cpu_backend;

/* by name, or the best there is for "auto"; NULL if there is none of that name */
extern const struct backend_operations *backend_find(const char *name);

#endif							/* BACKEND_H */
