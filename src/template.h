/*
 * What a template spans, for those who make its configs (matrix.c) and those
 * who say what they will take (predict.c).
 */
#ifndef BENCHORCH_TEMPLATE_H
#define BENCHORCH_TEMPLATE_H

#include "benchorch.h"

/* What every text over the cells asks: $1 model version, $2 template, $3 its spec, $4 architecture. */
typedef struct Matrix
{
	Datum		values[4];
	char		nulls[5];
} Matrix;

/* Raises 42704 for a model version, a template, or a name in it that does not exist. */
extern void benchorch_read_matrix(Datum model_version_id, Datum template, Matrix *matrix);
/* Runs a text over the cells; returns the number of rows processed. */
extern uint64 benchorch_run_cells(const char *sql, Matrix *matrix);
/* The same as a cursor. */
extern Portal benchorch_open_cells(const char *sql, Matrix *matrix);

#define REPEATS "coalesce(($3 ->> 'repeats')::int, 1)"

/*
 * The cells: every combination of the dimensions.  Planned anew at each call,
 * without nested loops where a join will do: the planner cannot know how many
 * rows the lists of a template have.  What depends on fewer dimensions (memory,
 * pace, priority) is worked out for those alone.
 */
#define CELLS \
	"WITH machine AS MATERIALIZED (" \
	" SELECT id, name, gpu_count, gpu_memory_bytes, bandwidth_gbps, bf16_tflops, fp8_tflops, nvfp4_tflops" \
	" FROM benchorch.hardware_configs" \
	" WHERE enabled AND ($3 -> 'hardware' IS NULL OR $3 -> 'hardware' ? name))," \
	" framework AS MATERIALIZED (" \
	" SELECT id, name, protocol FROM benchorch.frameworks" \
	" WHERE enabled AND ($3 -> 'frameworks' IS NULL OR $3 -> 'frameworks' ? name))," \
	" size AS MATERIALIZED (" \
	" SELECT w.name AS workload, b::int AS batch_size, s::int AS sequence_length," \
	"  pg_catalog.floor(w.output_share * s::int + 0.5)::int AS output_tokens," \
	"  benchorch.config_priority(w.name, b::int, s::int) AS priority" \
	" FROM benchorch.workloads w, pg_catalog.jsonb_array_elements_text($3 -> 'batch_sizes') AS b," \
	"  pg_catalog.jsonb_array_elements_text($3 -> 'sequence_lengths') AS s" \
	" WHERE w.enabled AND ($3 -> 'workloads' IS NULL OR $3 -> 'workloads' ? w.name))," \
	" variant AS MATERIALIZED (" \
	" SELECT e AS engine, e || r AS params, (pg_catalog.row_number() OVER (ORDER BY e || r))::int - 1 AS number" \
	" FROM benchorch.combinations($3 -> 'dimensions', 'engine') AS e," \
	"  benchorch.combinations($3 -> 'dimensions', 'request') AS r)," \
	" fit AS MATERIALIZED (" \
	" SELECT m.id AS hardware_config_id, m.name AS hardware, v.number AS variant, v.engine, v.params," \
	"  s.batch_size, s.sequence_length, f.gpus, f.reason, m.bandwidth_gbps," \
	"  benchorch.compute_tflops(v.params, m.bf16_tflops, m.fp8_tflops, m.nvfp4_tflops) AS tflops" \
	" FROM machine m, variant v, (SELECT DISTINCT batch_size, sequence_length FROM size) AS s," \
	"  LATERAL benchorch.fit_gpus($4, v.params, s.batch_size, s.sequence_length, m.gpu_count, m.gpu_memory_bytes) AS f)," \
	" paced AS MATERIALIZED (" \
	" SELECT fit.*, s.output_tokens, benchorch.batch_seconds($4, fit.params, fit.batch_size," \
	"  fit.sequence_length - s.output_tokens, s.output_tokens, fit.gpus, fit.bandwidth_gbps, fit.tflops) AS batch_seconds" \
	" FROM fit JOIN (SELECT DISTINCT batch_size, sequence_length, output_tokens FROM size) AS s" \
	"  USING (batch_size, sequence_length))," \
	" cell AS (" \
	" SELECT paced.*, size.workload, size.priority, framework.id AS framework_id," \
	"  2 * benchorch.rounds(framework.protocol, paced.batch_size) * paced.batch_seconds AS expected_s" \
	" FROM size JOIN paced USING (batch_size, sequence_length, output_tokens), framework" \
	" WHERE coalesce($3 -> 'exclude', '[]') = '[]' OR NOT benchorch.is_excluded($3 -> 'exclude', paced.params ||" \
	"  pg_catalog.jsonb_build_object('hardware', paced.hardware, 'framework', framework.name, 'workload', size.workload," \
	"  'batch_size', paced.batch_size, 'sequence_length', paced.sequence_length)))," \
	" repeat AS (" \
	" SELECT cell.*, cell.params || pg_catalog.jsonb_build_object('repeat', n) AS all_params" \
	" FROM cell, pg_catalog.generate_series(1, " REPEATS ") AS n)"

/* A config k is the repeat of a cell: all dimensions, and not what follows from them. */
#define SAME_CONFIG \
	"k.model_version_id = $1 AND k.hardware_config_id = repeat.hardware_config_id AND k.framework_id = repeat.framework_id" \
	" AND k.workload_type = repeat.workload AND k.batch_size = repeat.batch_size" \
	" AND k.sequence_length = repeat.sequence_length AND k.params = repeat.all_params"

#define ARCHIVED \
	"EXISTS (SELECT FROM benchorch.archived_configs k WHERE " SAME_CONFIG ")"

#define KNOWN \
	"EXISTS (SELECT FROM benchorch.benchmark_configs k WHERE " SAME_CONFIG ")"

/* ------------------------------------------------------------- in predict.c */

/* Says what the configs that would be created are expected to take, for a dry run. */
extern void benchorch_tell_prediction(Matrix *matrix);

#endif							/* BENCHORCH_TEMPLATE_H */
