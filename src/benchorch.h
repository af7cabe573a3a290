/*
 * What crosses the files of the extension, grouped by the file that defines
 * it.  A file calls only what lies below it:
 *
 *   claim -> lane, urgent -> take, recovery -> finalize    claim -> runner -> take
 *   operators    update    hand_in -> results -> outcomes    direct
 *     -> attempts -> status -> ready, progress -> heard, rows -> table (table.h) -> plans, words
 *   matrix -> predict (template.h) -> template    matrix -> insert -> ready, rows
 *   lane, take, results -> reference -> adapters, subjects, table
 *   results -> checks -> physics (checks.h) -> subjects -> roofline (roofline.h)
 *   results -> normalize -> adapters (adapters.h)    hand_in -> output -> mlperf -> json (json.h)
 *   ranking -> objectives -> cells (ranking.h) -> statistics (statistics.h)
 *
 * Every function here that takes or changes rows runs inside SPI: the SQL
 * callable functions connect, the rest is called while connected.
 */
#ifndef BENCHORCH_H
#define BENCHORCH_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/uuid.h"

#include "roofline.h"

/* SQLSTATEs of our own */
#define ERRCODE_BENCHORCH_STALE_CLAIM MAKE_SQLSTATE('B', 'O', '0', '0', '1')
#define ERRCODE_BENCHORCH_BAD_TRANSITION MAKE_SQLSTATE('B', 'O', '0', '0', '2')

/* ------------------------------------------------------------ in benchorch.c */

extern int	benchorch_lease;	/* seconds */
extern int	benchorch_presence_grace;	/* seconds */
extern int	benchorch_lane_switch_cost;
extern int	benchorch_chunk_size;

/* ---------------------------------------------------------------- in plans.c */

#define STATEMENT_MAX_ARGS 24

/*
 * A statement that is prepared once a session and kept.  Declare it static
 * and const-initialise sql, nargs and types; plan belongs to plans.c.  The
 * plan is forced generic: every statement must reach its rows by an index
 * whatever the parameters are.
 */
typedef struct Statement
{
	const char *sql;
	int			nargs;
	Oid			types[STATEMENT_MAX_ARGS];
	SPIPlanPtr	plan;
} Statement;

/* Runs the plan; returns the number of rows processed (SPI_tuptable holds what it returned). */
extern uint64 benchorch_run(Statement *statement, Datum *values, const char *nulls);
/* The same as a cursor, so that rows are locked only as they are fetched. */
extern Portal benchorch_open(Statement *statement, Datum *values, const char *nulls);

/* Calls what is behind a function of SQL; meanwhile plans go by indexes, and nothing is compiled for them. */
extern Datum benchorch_by_index(PGFunction body, FunctionCallInfo fcinfo);

/* Column of a row of SPI_tuptable, by position from 1. */
extern Datum benchorch_column(uint64 row, int column, bool *isnull);
extern int64 benchorch_column_int64(uint64 row, int column);
extern int32 benchorch_column_int32(uint64 row, int column);
extern pg_uuid_t benchorch_column_uuid(uint64 row, int column);
extern char *benchorch_column_text(uint64 row, int column); /* NULL for NULL */

/* int8[] and int4[] without NULLs */
extern Datum benchorch_int64_array(const int64 *values, int n);
extern int64 *benchorch_array_int64(Datum array, int *n);
extern Datum benchorch_int32_array(const int32 *values, int n);
extern int32 *benchorch_array_int32(Datum array, int *n);

extern int benchorch_compare_int64(const void *a, const void *b);	/* for qsort */

/* Positions of the ids, in the order of the ids: the order in which rows are locked. */
extern int *benchorch_id_order(const int64 *ids, int n);

/* An argument that must not be NULL: raises 22023 naming it. */
extern void benchorch_require(FunctionCallInfo fcinfo, int argno, const char *name);
/* A model version that must exist: raises 42704. */
extern void benchorch_require_model(const pg_uuid_t *model_version_id);

/* ---------------------------------------------------------------- in words.c */

typedef enum ConfigStatus
{
	CONFIG_PENDING,
	CONFIG_RUNNING,
	CONFIG_COMPLETED,
	CONFIG_FAILED,
	CONFIG_SKIPPED,
	CONFIG_CANCELLED,
	CONFIG_STATUSES				/* how many there are */
} ConfigStatus;

typedef enum Outcome
{
	OUTCOME_NONE,				/* none given */
	OUTCOME_OK,
	OUTCOME_GPU_OOM,
	OUTCOME_HOST_OOM,
	OUTCOME_UNSUPPORTED,
	OUTCOME_BAD_CONFIG,
	OUTCOME_TIMEOUT,
	OUTCOME_CRASH,
	OUTCOME_BAD_OUTPUT,
	OUTCOME_GPU_FAULT,
	OUTCOME_NODE_FAULT,
	OUTCOME_PREEMPTED,
	OUTCOME_LOST,
	OUTCOMES					/* how many there are */
} Outcome;

extern ConfigStatus benchorch_status_from_bytes(const char *bytes, int len);
extern const char *benchorch_status_name(ConfigStatus status);
extern ConfigStatus benchorch_status_from_name(const char *name);	/* 22023 where unknown */
extern const char *benchorch_outcome_name(Outcome outcome);
extern Outcome benchorch_outcome_from_name(const char *name);	/* 22023 where unknown */

/* What a failure without an outcome says by its message; OUTCOME_NONE where it says nothing. */
extern Outcome benchorch_outcome_from_message(const char *message);

/* Errors that several verbs raise. */
_Noreturn extern void benchorch_no_such_config(int64 config_id);	/* 42704 */
_Noreturn extern void benchorch_no_such_worker(const pg_uuid_t *worker_id); /* 42704 */
_Noreturn extern void benchorch_stale_claim(int64 config_id, int64 claim_id);	/* BO001 */
_Noreturn extern void benchorch_bad_transition(int64 config_id, ConfigStatus from, ConfigStatus to);	/* BO002 */

/* ----------------------------------------------------------------- in rows.c */

/* Where the columns of benchmark_configs stand in a row, from 0. */
typedef struct ConfigColumns
{
	int id,
		model_version_id,
		hardware_config_id,
		framework_id,
		workload_type,
		batch_size,
		sequence_length,
		params,
		gpus,
		priority,
		status,
		started_at,
		completed_at,
		retry_count,
		error_message,
		lane_id,
		template_id,
		claim_id,
		attempt,
		run_started,
		version,
		due_at,
		expected_s;
} ConfigColumns;

extern ConfigColumns benchorch_config_columns(TupleDesc desc);

/* A row of benchmark_configs that a change looks at and fills in; values are valid during that call only. */
typedef struct ConfigRow
{
	ConfigColumns columns;
	Datum	   *values;
	bool	   *nulls;
} ConfigRow;

/* Gives one of the columns above a value. */
static inline void
benchorch_set_column(ConfigRow *row, int column, Datum value)
{
	row->values[column] = value;
	row->nulls[column] = false;
}

/* What a row says; NULL is neither. */
extern bool benchorch_is_pending(const ConfigRow *row);
/* Is it running under the claim? */
extern bool benchorch_is_held_by(const ConfigRow *row, int64 claim_id);

/*
 * Looks at a row as it stands: false where it is to stay so, or sets what
 * changes: status, started_at, completed_at, error_message, claim_id, attempt,
 * run_started and version, no other column.  Called again where somebody else
 * was faster.
 */
typedef bool (*ConfigChange)(ConfigRow *row, void *context);

/* Before any row of ours is locked: TRUNCATE holds the table when it comes for the chunks. */
extern void benchorch_lock_configs_table(void);

typedef struct ConfigTable ConfigTable;

/* Opens the table for changes of these configs, the ids ascending. */
extern ConfigTable *benchorch_open_configs(const int64 *ids, int n);
extern void benchorch_close_configs(ConfigTable *table);

/* Reads the next of them, as the snapshot shows it; NULL where there is none.  Valid until the next. */
extern const ConfigRow *benchorch_read_next(ConfigTable *table);
/* The same of any config, between two of them. */
extern const ConfigRow *benchorch_read_other(ConfigTable *table, int64 config_id);
/* Ids after the last one will soon be asked for, too, up to this one: where they stand is found with it. */
extern void benchorch_read_ahead(ConfigTable *table, int64 last_id);

/*
 * Changes the next of them; false where there is none or the change did not
 * want it.  Where another transaction is changing the row, it is waited for,
 * or, with waits false, passed by, and *held becomes true.
 */
extern bool benchorch_change_next(ConfigTable *table, ConfigChange change, void *context, bool waits, bool *held);

/* --------------------------------------------------------------- in status.c */

/* A config as the last transition or look-up left it. */
typedef struct Config
{
	int64		id;
	int64		claim_id;		/* 0: none */
	ConfigStatus status;
	pg_uuid_t	model_version_id;
} Config;

/* Looks a config up without locking it; false where there is none. */
extern bool benchorch_get_config(int64 config_id, Config *config);

/* The same, locking its row. */
extern bool benchorch_lock_config(int64 config_id, Config *config);

/*
 * Locks many, in id order.  Who is going to end more than one attempt calls it
 * first: the end of an attempt locks the row of its worker, too, and nobody
 * may wait for a config who holds a worker.
 */
extern void benchorch_lock_configs(const int64 *ids, int n);

extern bool benchorch_may_follow(ConfigStatus from, ConfigStatus to);

/* Settles a config whose row is locked: failed, skipped or cancelled. */
extern void benchorch_settle(const Config *config, ConfigStatus status, const char *message, int64 witness_id);

/* What leaves a claim, or a delay, beside the config's own row. */
extern void benchorch_leave_claim(int64 claim_id, int n);
/* The worker of a claim that is not over, and how many configs it took; false where there is none. */
typedef struct ClaimRow
{
	bool		has_worker;
	pg_uuid_t	worker_id;
	bool		restored;
	int			nconfigs;
} ClaimRow;
extern bool benchorch_read_claim(int64 claim_id, ClaimRow *claim);
/* The lower bits of a claim_id are random, those above are numbers in a row. */
#define CLAIM_RANDOM_BITS 21
/* This session has written its row there. */
extern void benchorch_remember_claim(int64 claim_id, ItemPointerData address);
extern void benchorch_forget_delay(int64 config_id);

/*
 * running -> completed, for every pair (config_ids[i], claim_ids[i]) whose
 * claim is current.  done[i] says which were; the others are unchanged.
 * Counts, the endgame and the claims' rows are seen to.  The arrays may be in
 * any order; a pair that occurs twice is done once.
 */
extern void benchorch_complete_configs(const int64 *config_ids, const int64 *claim_ids, int n, bool *done);

/* What the completion of one config leaves to a claim that follows in the same call. */
typedef struct Handover
{
	int64		claim_id;		/* that held the config */
	pg_uuid_t	model_version_id;	/* of the config: its count, and whether that was the end of it, are left, too */
	bool		has_row;		/* the claim's row still stands: nothing runs under it any more */
	ItemPointerData row;
	ClaimRow	claim;			/* what it says */
} Handover;

/* The same for one pair, but for what is handed over; false: its claim is not current. */
extern bool benchorch_complete_for_next(int64 config_id, int64 claim_id, Handover *handover);

/* Has the config been completed under this claim?  Looked at without a lock. */
extern bool benchorch_is_completed(int64 config_id, int64 claim_id);

/*
 * running -> pending for a config whose row is locked: ready at once, or after
 * a delay in seconds.  avoid_worker may be NULL.
 */
extern void benchorch_put_back(const Config *config, bool counted, const char *message, double delay,
							   const pg_uuid_t *avoid_worker);

/* ------------------------------------------------------------- in attempts.c */

/*
 * The current claim of a config has ended badly: applies the retry policy of
 * the outcome (pending again, now or later, or failed) and writes the attempt
 * row.  Where the claim is no longer current it changes nothing and returns
 * false.  message, log and details may be NULL (0); the members of details
 * that are known (argv, exit_code, signal) become columns.  released: the
 * worker has handed it back, whatever for, and that costs no retry.
 */
extern bool benchorch_end_attempt(int64 config_id, int64 claim_id, Outcome outcome, bool released,
								  const char *message, Datum log, Datum details, ConfigStatus *status);

/*
 * What an earlier benchorch_end_attempt answered for the same claim: false
 * where there was none.
 */
/* A fault of the node costs the worker the framework (0: none in particular, so all of it), one of the GPU all. */
extern void benchorch_blame_worker(const pg_uuid_t *worker, Outcome outcome, int32 framework_id, const char *message);
extern bool benchorch_ended_attempt(int64 config_id, int64 claim_id, ConfigStatus *status);

/* ----------------------------------------------------------------- in take.c */

#define BENCHORCH_MAX_BATCH 500

/* A config that was taken: what the result says of it. */
typedef struct Taken
{
	int64		id;
	int64		work;
	pg_uuid_t	model_version_id;
	int32		hardware_config_id; /* 0: any */
	int32		framework_id;
	int32		template_id;	/* 0: none */
	int32		lane_id;
	int32		priority;
	int32		attempt;
	int32		batch_size;		/* 0: none */
	int32		sequence_length;	/* 0: none */
	int32		gpus;
	Datum		workload;		/* text; 0: none */
	Datum		params;			/* jsonb */
} Taken;

typedef struct Claim Claim;

/* Adds the row that says what was taken to the result of a claim. */
typedef void (*PutTaken)(ReturnSetInfo *rsinfo, const Claim *claim, const Taken *taken);

/* A claim on its way. */
struct Claim
{
	int64		claim_id;
	TimestampTz claimed_at;
	int			wanted;
	int			threshold;
	bool		has_model;
	pg_uuid_t	model_version_id;
	bool		has_worker;
	pg_uuid_t	worker_id;
	int			taken;			/* configs so far */
	bool		holds;			/* its transaction holds others: it waits for none */
	int64		ahead;			/* 0, or up to this id the worker's next claims will go on from what is taken */
	int			npaused;
	const pg_uuid_t *paused;	/* model versions */
	int64	   *ids;			/* these two: of what was taken, with room for what is wanted */
	pg_uuid_t  *models;
	Handover   *after;			/* of the config that was completed first; NULL: none was */
	ReturnSetInfo *rsinfo;
	PutTaken	put;
};

/*
 * Makes running what of the hinted configs (ids with the priorities that their
 * chunk says) is pending and of the lane (0: any); adds the rows to the
 * claim's result.  A claim that holds configs already waits for no others: it
 * returns false where somebody held some.
 */
extern bool benchorch_take(Claim *claim, const int64 *ids, const int32 *priorities, int n, int32 lane_id);

/* What a row of benchmark_configs says of its config, which is to be taken, or described. */
extern Taken benchorch_read_taken(const ConfigRow *row);

/* Input and output tokens of one request; false where that is not known. */
extern bool benchorch_tokens(const Taken *taken, int32 *input, int32 *output);

/* How long one run may take. */
extern Interval benchorch_deadline(const Taken *taken);

/* Rows of claimed_config. */
extern void benchorch_put_claimed(ReturnSetInfo *rsinfo, const Claim *claim, const Taken *taken);

static inline bool
benchorch_is_paused(const Claim *claim, const pg_uuid_t *model_version_id)
{
	for (int i = 0; i < claim->npaused; i++)
		if (memcmp(&claim->paused[i], model_version_id, UUID_LEN) == 0)
			return true;
	return false;
}

/* ---------------------------------------------------------------- in claim.c */

/* A claim_id that was never handed out. */
extern int64 benchorch_new_claim_id(void);

/* --------------------------------------------------------------- in runner.c */

/* Rows of described_run; without a claim (NULL) for who runs it by hand. */
extern void benchorch_put_run(ReturnSetInfo *rsinfo, const Claim *claim, const Taken *taken);

/* --------------------------------------------------------------- in urgent.c */

/* One pass over the chunks that nobody else holds; and is there anything left, held or not? */
extern void benchorch_claim_most_urgent(Claim *claim);
extern bool benchorch_urgent_is_left(const Claim *claim);

/* ----------------------------------------------------------------- in lane.c */

/* Where a claim's configs are to run. */
typedef struct Slot
{
	const struct KeptWorker *worker;
	int32		warm_lane;		/* 0: none */
} Slot;

/* Renews the worker's lease, where it is active, so that nobody else is at it; 42704 where there is no such worker. */
extern Slot benchorch_read_slot(const Claim *claim);
/* The same as in urgent.c. */
extern void benchorch_claim_lane(Claim *claim, const Slot *slot);
extern bool benchorch_lane_is_left(Claim *claim, const Slot *slot);

/* ------------------------------------------------------------- in recovery.c */

/* *holds becomes true where the transaction may hold rows now that others wait for. */
extern int benchorch_sweep_leases(int max_claims, bool *holds);
extern int benchorch_sweep_now_and_then(bool *holds);
extern int benchorch_wake_delayed(bool *holds);

/* ---------------------------------------------------------------- in ready.c */

extern void benchorch_open_model(const pg_uuid_t *model_version_id);
extern void benchorch_delete_chunks(const pg_uuid_t *model_version_id);
extern int benchorch_feed_ids(const int64 *ids, int n, const pg_uuid_t *avoid_worker);

/* Rows that come in, whoever brings them: each is seen, and in the end chunks and counters have them. */
typedef struct Arrivals Arrivals;

extern Arrivals *benchorch_begin_arrivals(TupleDesc desc);
extern void benchorch_arrive(Arrivals *arrivals, TupleTableSlot *slot);
extern void benchorch_end_arrivals(Arrivals *arrivals);

/* ---------------------------------------------------------------- in heard.c */

/* What sessions remember things of. */
typedef enum Matter
{
	READINESS,					/* chunks that come in, or come back; retries that become due */
	MARKS,						/* of models that may be near their end */
	FAILURES,					/* of workers */
	MATTERS
} Matter;

/* Grows whenever what is remembered of the matter may no longer be so; never 0. */
extern uint64 benchorch_generation(Matter matter);
/* Something new: all sessions hear of it with the commit. */
extern void benchorch_tell(Matter matter);

/* --------------------------------------------------------------- in insert.c */

typedef struct NewConfigs NewConfigs;

/* NULL where only an INSERT statement will do. */
extern NewConfigs *benchorch_begin_insert(void);
/* The row to be filled in, with every column as by default. */
extern ConfigRow *benchorch_blank_row(NewConfigs *new);
/* Inserts it under an id of its own; it stays as it is.  What it points to must stay, too, until it is flushed. */
extern void benchorch_insert_row(NewConfigs *new);
extern void benchorch_flush_rows(NewConfigs *new);
/* Flushes, and feeds chunks and counters. */
extern void benchorch_end_insert(NewConfigs *new);

/* ------------------------------------------------------------- in progress.c */

extern void benchorch_count(const pg_uuid_t *model_version_id, const int64 *changes);
/*
 * Running configs of these models have settled: marks those of which nothing
 * is pending.  configs: where to read what was pending before; may be NULL.
 * by_lane: a worker had them, so what is pending is found soonest in lane
 * chunks.
 */
extern void benchorch_check_endgames(const pg_uuid_t *models, int n, ConfigTable *configs, bool by_lane);
extern void benchorch_mark_endgame(const pg_uuid_t *model_version_id);
extern bool benchorch_is_marked(const pg_uuid_t *model_version_id);
/* For who takes marks away: what this transaction has marked may have to be marked again. */
extern void benchorch_forget_mark(void);
extern void benchorch_count_move(const pg_uuid_t *model_version_id, ConfigStatus from, ConfigStatus to, int64 n);
/* The same for many configs, given the model of each; leaves each model once in the array and returns how many. */
extern int benchorch_count_moves(pg_uuid_t *models, int n, ConfigStatus from, ConfigStatus to);

/* ------------------------------------------------------------- in finalize.c */

/* Ranks every model version that has become settled, once; returns how many.  Waits for nobody. */
extern int benchorch_finalize_due(void);

/* ------------------------------------------------------------- in outcomes.c */

/*
 * The outcome of a failed run: the given one, or where that says little, what
 * the rows of outcome_rules make of what it printed; *message then has the line
 * that says so.  log, raw (bytea) and details (jsonb) may be NULL (0).
 */
extern Outcome benchorch_judge(Outcome outcome, Datum log, Datum raw, Datum details, const char **message);

/* ---------------------------------------------------------------- in watch.c */

extern Datum benchorch_readable(PG_FUNCTION_ARGS);

/* ---------------------------------------------------------------- in output.c */

/*
 * The result in what a benchmark printed: an object or an array.  Never raises
 * an error for it: NULL where there is none, and *why says why.
 */
extern Jsonb *benchorch_parse_output(const char *bytes, Size len, char **why);
/* The same, also for lines that belong together and for what is no JSON.  adapter may be NULL: unknown. */
extern Jsonb *benchorch_read_result(const char *bytes, Size len, const char *adapter, char **why);

/* ---------------------------------------------------------------- in mlperf.c */

extern bool benchorch_is_mlperf(const char *bytes, Size len);
extern Jsonb *benchorch_parse_mlperf(const char *bytes, Size len, char **why);

/* ------------------------------------------------------------- in adapters.c */

/* The canonical metrics, as columns of benchmark_results; see docs/results.md. */
/* clang-format off */
#define BENCHORCH_METRICS(M) \
	M(0, ttft_mean_ms) \
	M(1, ttft_p50_ms) M(2, ttft_p90_ms) M(3, ttft_p95_ms) M(4, ttft_p99_ms) \
	M(5, tpot_mean_ms) M(6, tpot_p50_ms) M(7, tpot_p90_ms) M(8, tpot_p95_ms) M(9, tpot_p99_ms) \
	M(10, itl_mean_ms) M(11, itl_p50_ms) M(12, itl_p95_ms) M(13, itl_p99_ms) M(14, e2e_mean_ms) \
	M(15, e2e_p50_ms) M(16, e2e_p90_ms) M(17, e2e_p95_ms) M(18, e2e_p99_ms) M(19, requests_per_s) \
	M(20, output_tokens_per_s) M(21, total_tokens_per_s) M(22, goodput_per_s) M(23, concurrency_mean) \
	M(24, requests_completed) M(25, requests_failed) M(26, input_tokens) M(27, output_tokens) \
	M(28, duration_s) M(29, gpu_memory_peak_bytes) M(30, host_memory_peak_bytes) M(31, energy_j) \
	M(32, roofline_prefill) M(33, roofline_decode) M(34, roofline_prefill_measured) \
	M(35, roofline_decode_measured) M(36, accuracy) M(37, noise_rel)
/* clang-format on */

typedef enum Metric
{
#define METRIC(number, name) METRIC_##name = number,
	BENCHORCH_METRICS(METRIC)
#undef METRIC
		METRICS					/* how many there are */
} Metric;

/* What a tool may say about what it ran: keys of benchmark_results.reported. */
/* clang-format off */
#define BENCHORCH_FACTS(F) \
	F(tool_version, TEXT) F(model, TEXT) F(precision, TEXT) F(kv_cache_dtype, TEXT) F(dataset, TEXT) F(validity, TEXT) \
	F(speculative, WORD) F(prefix_caching, WORD) F(acceptance_length, NUMBER) \
	F(tensor_parallel, NUMBER) F(pipeline_parallel, NUMBER) F(data_parallel, NUMBER) F(gpus, NUMBER) \
	F(batch_size, NUMBER) F(input_tokens_mean, NUMBER) F(output_tokens_mean, NUMBER) F(decode_context, NUMBER) \
	F(total_tokens, NUMBER) F(weight_bytes, NUMBER) F(throttled_share, NUMBER)
/* clang-format on */

typedef enum Fact
{
#define FACT(name, type) FACT_##name,
	BENCHORCH_FACTS(FACT)
#undef FACT
		FACTS					/* how many there are */
} Fact;

/* What an adapter made of a result, and what the checks say of it. */
typedef struct Metrics
{
	double		values[METRICS];	/* NaN: none */
	double		half[METRICS];	/* half a unit of the last digit that the tool printed */
	bool		derived[METRICS];	/* not the tool's own figure */
	const char *texts[FACTS];	/* NULL: none, or a number */
	double		numbers[FACTS]; /* NaN: none, or a text */
	bool		found;			/* any metric */
	bool		none_completed; /* requests were counted, and not one completed */
	Datum		method;			/* text[], sorted */
	Datum		reported;		/* jsonb: the facts */
	Datum		flags;			/* jsonb: the checks that failed */
	Datum		unchecked;		/* jsonb: the checks that lack something */
} Metrics;

typedef struct Adapter Adapter;

/* An adapter's rows; NULL where it has none.  Lives in the current context. */
extern Adapter *benchorch_load_adapter(const char *name);
/* The adapter whose sign the result bears; NULL where there is none.  lines (may be NULL) as in adapter_signs. */
extern char *benchorch_guess_adapter(Jsonb *raw, bool *lines);
/* Whether its lines of JSON belong together. */
extern bool benchorch_adapter_has_lines(const char *name);

/* ------------------------------------------------------------ in normalize.c */

/* Without an adapter (NULL) there is no metric.  The checks are left to benchorch_check(). */
extern void benchorch_normalize(const Adapter *adapter, Jsonb *raw, Metrics *metrics);
/* A metric as its column has it; false where it is NULL. */
extern bool benchorch_metric_datum(const Metrics *metrics, Metric metric, Datum *datum);
extern const char *benchorch_metric_name(Metric metric);
extern bool benchorch_has_tag(const Metrics *metrics, const char *tag);
extern void benchorch_add_tag(Metrics *metrics, const char *tag);

/* ------------------------------------------------------------- in subjects.c */

/* A machine's peaks for one GPU, in bytes/s and FLOP/s; NaN where unknown. */
typedef struct Machine
{
	const char *name;
	bool		cpu;
	double		bandwidth;
	double		bf16;
	double		fp8;
	double		nvfp4;
	double		last_level_cache;	/* bytes */
} Machine;

/* What a result is about: what was asked, of which model, on what. */
typedef struct Subject
{
	const char *model_name;		/* NULL: unknown */
	const char *model_source;	/* NULL: none */
	Jsonb	   *architecture;	/* canonical keys; NULL: unknown */
	bool		has_shape;		/* it has all keys that the roofline needs */
	RooflineModel shape;
	double		parameters;		/* of the architecture: NaN where unknown */
	double		kv_elements;	/* of the KV cache per token */
	double		kv_heads;
	bool		has_machine;
	Machine		machine;
	double		gpus;			/* NaN where unknown, here and below */
	double		batch_size;
	double		input_tokens;
	double		output_tokens;
	Jsonb	   *params;			/* NULL: none */
	const char *dataset;		/* NULL: unknown */
	Jsonb	   *off;			/* array of the checks that are switched off for the model; NULL: none */
	Jsonb	   *own_checks;		/* object of the checks that users have added, and their functions; NULL: none */
	Jsonb	   *json;			/* what it was read from */
} Subject;

/* Reads what SQL has put together (benchorch.config_subjects and the like). */
extern void benchorch_read_subject(Jsonb *json, Subject *subject);
/* A member of an object: jbvNull where there is none. */
extern JsonbValue benchorch_member(Jsonb *object, const char *key);
/* A scalar as text; NULL where it is null or none. */
extern char *benchorch_value_text(const JsonbValue *value);
/* A member of a jsonb object as text, without case; NULL where it is none, or no scalar. */
extern char *benchorch_member_text(Jsonb *object, const char *key);
/* The same as a number, also of a string that is one; NaN where it is none. */
extern double benchorch_member_number(Jsonb *object, const char *key);
/* The same as an object; NULL where it is none. */
extern Jsonb *benchorch_member_object(Jsonb *object, const char *key);

/* ------------------------------------------------------------ in reference.c */

typedef struct Workload
{
	const char *name;
	const char *dataset;
	double		output_share;
} Workload;

typedef struct KeptModel
{
	pg_uuid_t	id;				/* the key, here and below */
	Datum		name;			/* text */
	Datum		source;			/* text; 0: none */
	Datum		architecture;	/* jsonb; 0: none */
} KeptModel;

typedef struct KeptHardware
{
	int32		id;
	Datum		name;			/* text */
} KeptHardware;

typedef struct KeptFramework
{
	int32		id;
	Datum		name;			/* text */
	Datum		protocol;		/* text */
	Datum		command;		/* text[] */
	const char *adapter;		/* NULL: none */
	/* as a worker has them (src/runner.sql): lists, texts; 0: none */
	Datum		command_list;
	Datum		server_command;
	Datum		ready_command;
	Datum		reset_command;
	Datum		warmup_command;
	Datum		env;
	Datum		ready_timeout;	/* seconds, float8 */
	Datum		details;		/* jsonb */
} KeptFramework;

typedef struct KeptTemplate
{
	int32		id;
	Interval	deadline;		/* of one run */
} KeptTemplate;

typedef struct KeptWorker
{
	pg_uuid_t	id;
	int32		hardware_config_id;
	int			nframeworks;
	int32	   *framework_ids;
	int32		gpus;			/* of its slot */
	bool		active;
} KeptWorker;

/*
 * What a session keeps of small tables; a call that asks for it begins so.
 * What the others return holds until the end of the transaction; NULL: there
 * is no such row.
 */
extern void benchorch_begin_reference(void);
extern const Adapter *benchorch_kept_adapter(const char *name); /* NULL: it has no rows */
extern const Workload *benchorch_kept_workload(const char *name);
extern const KeptModel *benchorch_kept_model(const pg_uuid_t *id);
extern const KeptHardware *benchorch_kept_hardware(int32 id);	/* 0: none */
extern const KeptFramework *benchorch_kept_framework(int32 id);
extern const KeptTemplate *benchorch_kept_template(int32 id);
extern const KeptWorker *benchorch_kept_worker(const pg_uuid_t *id);
extern const pg_uuid_t *benchorch_kept_paused(int *n);	/* model versions */
/* Of what a result is about all that is the same for this model version and hardware (0: none); no own json. */
extern const Subject *benchorch_kept_place(const pg_uuid_t *model_version_id, int32 hardware_config_id);

/* --------------------------------------------------------------- in checks.c */

/* A result, or a cell of several, whose runs differ by more is flagged. */
#define BENCHORCH_NOISE_TOLERANCE 0.10

/*
 * Fills flags, unchecked and the fractions of the roofline.  subject and
 * environment may be NULL: nothing is known of what was asked, or of the run.
 */
extern void benchorch_check(Metrics *metrics, const Subject *subject, Jsonb *environment);

/* -------------------------------------------------------------- in results.c */

/* One result or failure on its way in, and the answer to it. */
typedef struct HandIn
{
	/* given; 0 where there is none */
	int64		config_id;
	int64		claim_id;
	Outcome		outcome;
	Datum		raw;			/* bytea: what was printed */
	Datum		log;			/* bytea */
	Datum		details;		/* jsonb, of the worker */
	Datum		environment;	/* jsonb, of a script */
	Jsonb	   *parsed;			/* NULL: the attempt failed */
	const char *message;		/* why it failed */

	/* looked up */
	bool		exists;
	bool		has_worker;
	pg_uuid_t	model_version_id;
	pg_uuid_t	worker_id;
	const char *adapter;		/* given, or the framework's, or guessed */
	Metrics		metrics;
	bool		has_subject;
	Subject		subject;

	/* the answer */
	bool		answered;
	bool		current;		/* the claim held the config */
	int64		result_id;		/* 0: none */
	ConfigStatus status;
	bool		has_status;		/* false: the config is gone */
	int			sqlstate;		/* why it was refused; 0: it was not */
} HandIn;

/*
 * Completes what is current and has a result, ends the attempts that failed,
 * stores the results and answers each item.  keep_late: results under stale
 * claims are kept as unaccepted.
 */
extern void benchorch_settle_results(HandIn *items, int n, bool keep_late);

#endif							/* BENCHORCH_H */
