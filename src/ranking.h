/*
 * What cells.c (results into cells), objectives.c (what a cell is worth) and
 * ranking.c (cells into ranks) share.
 */
#ifndef BENCHORCH_RANKING_H
#define BENCHORCH_RANKING_H

#include "postgres.h"

#include "datatype/timestamp.h"
#include "statistics.h"
#include "utils/hsearch.h"
#include "utils/uuid.h"

/* What of a result counts: number, column of cell_statistics, expression over benchmark_results r. */
/* clang-format off */
#define CELL_METRICS(M) \
	M(0, output_tokens_per_s, "r.output_tokens_per_s") \
	M(1, total_tokens_per_s, "r.total_tokens_per_s") \
	M(2, requests_per_s, "r.requests_per_s") \
	M(3, goodput_per_s, "r.goodput_per_s") \
	M(4, ttft_mean_ms, "r.ttft_mean_ms") M(5, ttft_p50_ms, "r.ttft_p50_ms") M(6, ttft_p99_ms, "r.ttft_p99_ms") \
	M(7, tpot_mean_ms, "r.tpot_mean_ms") M(8, tpot_p50_ms, "r.tpot_p50_ms") M(9, tpot_p99_ms, "r.tpot_p99_ms") \
	M(10, e2e_mean_ms, "r.e2e_mean_ms") M(11, e2e_p50_ms, "r.e2e_p50_ms") \
	M(12, gpu_memory_peak_bytes, "r.gpu_memory_peak_bytes::float8") \
	M(13, joules_per_output_token, "r.energy_j / nullif(r.output_tokens, 0)") \
	M(14, roofline_prefill, "r.roofline_prefill") M(15, roofline_decode, "r.roofline_decode") \
	M(16, accuracy, "r.accuracy") M(17, noise_rel, "r.noise_rel")
/* clang-format on */

typedef enum CellMetric
{
#define CELL_METRIC(number, name, expression) CELL_##name = number,
	CELL_METRICS(CELL_METRIC)
#undef CELL_METRIC
		CELL_METRIC_COUNT
} CellMetric;

/* Bytes that many rows share, kept once and known by a number from 0; -1 is NULL. */
typedef struct Words
{
	HTAB	   *known;
	Datum	   *datums;			/* varlenas, by number */
	int			n;
	int			allocated;
} Words;

extern Words benchorch_make_words(const char *name);
extern int benchorch_word(Words *words, Datum datum, bool isnull);

/* One result's metrics; NaN: none. */
typedef struct CellResult
{
	int64		next;			/* of the same cell; -1: none */
	double		values[CELL_METRIC_COUNT];
} CellResult;

/* What makes a cell: numbers are 0 where NULL, the last three are Words. */
typedef struct CellKey
{
	int32		hardware_config_id;
	int32		framework_id;
	int32		batch_size;
	int32		sequence_length;
	int32		gpus;
	int32		workload;
	int32		params;
	int32		method;
} CellKey;

typedef struct Cell
{
	CellKey		key;
	int64		config_id;		/* names it: the least of its configs with a result */
	int64		first_result;
	TimestampTz measured_at;	/* the last of its results */
	double		noise_rel;
	double		score;
	int			n;				/* results */
	bool		flagged;
	bool		on_frontier;
	bool		ranked;
} Cell;

typedef struct Cells
{
	Words		workloads;
	Words		params;
	Words		methods;
	Cell	   *cells;
	int64		ncells;
	int64		cells_allocated;
	CellResult *results;
	int64		nresults;
	int64		results_allocated;
	int			most;			/* results of the largest cell */
	double	   *buffer;			/* for that many values */
} Cells;

/* Reads what counts of a model version's results, in the current memory context. */
extern Cells *benchorch_read_cells(const pg_uuid_t *model_version_id);
/* The repeats of one metric of a cell. */
extern Summary benchorch_cell_summary(const Cells *cells, const Cell *cell, CellMetric metric);

typedef enum ObjectiveName
{
	OUTPUT_TOKENS_PER_S,
	TOKENS_PER_S_PER_GPU,
	TTFT,
	TPOT,
	COST_PER_MILLION_TOKENS,
	JOULES_PER_TOKEN,
	ROOFLINE,
	GOODPUT_PER_GPU,
	SCORE,
	OBJECTIVES
} ObjectiveName;

typedef struct Objective
{
	const char *name;
	const char *about;			/* its tags begin with this and "="; NULL: all tags touch it */
	bool		most_first;
} Objective;

extern const Objective benchorch_objectives[OBJECTIVES];

/* A cell's value of an objective. */
typedef struct Measure
{
	Summary		summary;		/* n 0: it has none */
	const char *metric;			/* what it was made of */
	bool		derived;		/* a goodput that the tool did not count itself */
} Measure;

/* What a workload asks for. */
typedef struct Demand
{
	double		ttft_ms;		/* service level; NaN: none */
	double		tpot_ms;
	double		weights[OBJECTIVES];
} Demand;

/* A cell in one ranking. */
typedef struct Entry
{
	int32		workload;
	int32		tags;			/* number in Ranks.tags */
	double		key;			/* the value, negated where most is best; and its interval */
	double		low;
	double		high;
	int64		cell;
	int64		config_id;
} Entry;

/* A row of rankings. */
typedef struct Place
{
	ObjectiveName objective;
	int32		tags;
	int32		rank;
	int64		cell;
} Place;

typedef struct Ranks
{
	pg_uuid_t	model_version_id;
	Cells	   *cells;
	HTAB	   *prices;			/* by hardware */
	Demand	   *demands;		/* by workload number */
	Words		tags;
	int		   *tags_of;		/* number in tags, by method, objective and derived or not */
	Entry	   *entries;
	int64		nentries;
	double	   *best;			/* by objective, workload and tags; NaN: no value */
	Place	   *places;
	int64		nplaces;
	int64		places_allocated;
} Ranks;

/* What objectives.c needs to know: prices, service levels, weights, tags; room for the best of each ranking. */
extern void benchorch_read_demands(Ranks *ranks);
/* The number in ranks->tags of the tags that touch an objective of a cell. */
extern int benchorch_tags_of(const Ranks *ranks, const Cell *cell, ObjectiveName objective, bool derived);
extern Measure benchorch_measure(const Ranks *ranks, const Cell *cell, ObjectiveName objective);
/* The best value of a ranking, NaN before it is known; with tags = ranks->tags.n of all rankings of the workload. */
extern double *benchorch_best(const Ranks *ranks, ObjectiveName objective, int workload, int tags);
/* 1: the tails of TTFT and TPOT keep the workload's service level, 0: they do not, -1: not evaluated. */
extern int benchorch_within_service_level(const Ranks *ranks, const Cell *cell);

#endif							/* BENCHORCH_RANKING_H */
