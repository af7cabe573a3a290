/*
 * What the worker says to the database: one function a statement.
 */
#ifndef AGENT_CALLS_H
#define AGENT_CALLS_H

#include "buffer.h"
#include "config.h"
#include "database.h"

/* What tells this database from all others, also after a fail-over; appended to identity. */
extern DatabaseStatus call_identity(Buffer *identity);

/* The name that hardware_configs has for a machine with these GPUs, appended to name; nothing where it has none. */
extern DatabaseStatus call_match_hardware(const char *gpu, int gpu_count, int64_t gpu_memory_bytes, Buffer *name);

/* One row (worker id, lease in seconds or NULL). */
extern DatabaseStatus call_register(const char *name, const char *hardware, const char *frameworks, const char *details,
									PGresult **result);

/* A batch: the rows, and one Config a row that points into them. */
typedef struct Batch
{
	PGresult   *rows;
	int			count;
	Config	   *configs;
} Batch;

/* model and priority_threshold may be NULL.  batch must be empty; batch_free empties it. */
extern DatabaseStatus call_claim(int batch_size, const char *priority_threshold, const char *worker_id,
								 const char *model, Batch *batch);
/* A batch of one config that nobody claims, to be run by hand. */
extern DatabaseStatus call_describe(const char *config_id, Batch *batch);
extern void batch_free(Batch *batch);

extern DatabaseStatus call_start(const Config *config);
/* The same beside the main connection, without waiting: false where that is not possible now. */
extern bool call_start_beside(const Config *config, void (*answer)(const PGresult *result));

/* What became of a config that was handed in. */
typedef struct Receipt
{
	bool		accepted;
	char		status[16];
} Receipt;

/* output NULL: there was none. */
extern DatabaseStatus call_hand_in(const char *config_id, const char *claim_id, const char *outcome,
								   const Buffer *output, const Buffer *log, const char *details, Receipt *receipt);

/* running: the config that runs, or NULL.  Rows (config id, claim id, verdict). */
extern DatabaseStatus call_heartbeat(const char *worker_id, const char *running, const char *log_tail,
									 size_t log_tail_len, PGresult **result);

/* The same beside the main connection, without waiting: false where that is not possible now. */
extern bool call_heartbeat_beside(const char *worker_id, const char *running, const char *log_tail, size_t log_tail_len,
								  void (*answer)(const PGresult *result));

/* Hands back what is not started; with an outcome, everything. */
extern DatabaseStatus call_release_waiting(const char *worker_id);
/* The same beside the main connection, without waiting: false where that is not possible now. */
extern bool call_release_waiting_beside(const char *worker_id, void (*answer)(const PGresult *result));
extern DatabaseStatus call_release(const char *worker_id, const char *outcome);

/* How many configs are left that this worker may get to run. */
extern DatabaseStatus call_left(const char *worker_id, const char *model, const char *priority_threshold,
								long long *left);

/* Why a claim returns nothing, appended to why. */
extern DatabaseStatus call_explain_empty(const char *worker_id, const char *model, const char *priority_threshold,
										 Buffer *why);

#endif							/* AGENT_CALLS_H */
