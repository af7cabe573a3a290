/*
 * What cells.c (results into cells) and ranking.c (cells into ranks) share.
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

#endif							/* BENCHORCH_RANKING_H */
