/*
 * How long a run is expected to take.
 *
 * What is known of a config's run, the best first:
 *
 *   measured   the median of the runs that completed of the same cell (its other repeats)
 *   lane       its roofline expectation x the pace of its lane: the median of
 *              measured / expected over what has completed in the lane
 *   roofline   the expectation alone: 2 x the least time that the machine's
 *              peaks allow (roofline.c), since engines reach about half of
 *              them; for a served framework as many rounds of it as its
 *              prompts fill, max(32, 10 x batch) / batch
 *   mean       the mean of what has completed of the model version on the
 *              hardware, else of the model version, else a minute
 *
 * The roofline's part depends on nothing that changes, so it is computed when
 * a config comes into the matrix and stands in its row (expected_s): what
 * orders and shares work (ready chunks) reads it there.  The rest needs what
 * was measured, and is for predictions: expected_seconds(), predict().
 *
 * Time is from the start of the run to its completion, as the database saw it.
 */

CREATE FUNCTION benchorch.roofline(architecture jsonb, params jsonb, batch_size int, input_tokens int, output_tokens int,
	gpus int, bandwidth_gbps float8, tflops float8, expert_reads boolean DEFAULT false,
	OUT ttft_ms float8, OUT tpot_ms float8, OUT prefill_tflop float8) RETURNS record
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_roofline_sql';
COMMENT ON FUNCTION benchorch.roofline(jsonb, jsonb, int, int, int, int, float8, float8, boolean) IS
	'The least TTFT and TPOT of a batch on gpus GPUs that share the model, each of bandwidth_gbps (1e9 bytes/s) and tflops, either NULL where unknown, and the FLOPs of its prefill; formulas in src/roofline.c. Precision: of params (precision, kv_cache_dtype), else of the architecture, else bf16. expert_reads counts the experts that a batch reads, not only the active ones. NULL without an architecture in canonical keys, with an unknown precision, or without any peak';

CREATE FUNCTION benchorch.batch_seconds(architecture jsonb, params jsonb, batch_size int, input_tokens int, output_tokens int,
	gpus int, bandwidth_gbps float8, tflops float8) RETURNS float8
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_batch_seconds';
COMMENT ON FUNCTION benchorch.batch_seconds(jsonb, jsonb, int, int, int, int, float8, float8) IS
	'The least seconds of one whole batch, 1e9 at most: TTFT + (output tokens - 1) x TPOT of roofline(), experts counted as read; NULL as there';

CREATE FUNCTION benchorch.compute_tflops(params jsonb, bf16_tflops float8, fp8_tflops float8, nvfp4_tflops float8) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE
		WHEN pg_catalog.lower(params ->> 'precision') IN ('fp32', 'float32', 'float', 'f32') THEN NULL
		WHEN pg_catalog.lower(params ->> 'precision') LIKE 'fp8%' THEN COALESCE(fp8_tflops, bf16_tflops)
		WHEN pg_catalog.lower(params ->> 'precision') = 'nvfp4' THEN COALESCE(nvfp4_tflops, bf16_tflops)
		ELSE bf16_tflops END
$$;
COMMENT ON FUNCTION benchorch.compute_tflops(jsonb, float8, float8, float8) IS
	'The peak that a precision computes with: weight-only int4 and int8 in bf16, and so does what the GPU has no peak for; NULL for fp32';

CREATE FUNCTION benchorch.rounds(protocol text, batch_size int) RETURNS float8
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$ SELECT CASE protocol WHEN 'served' THEN GREATEST(32.0, 10.0 * batch_size) / batch_size ELSE 1 END::float8 $$;
COMMENT ON FUNCTION benchorch.rounds(text, int) IS
	'How many batches one after the other a run is about: of a served framework max(32, 10 x batch) prompts, batch at a time';

CREATE FUNCTION benchorch.expected_by_roofline(model_version_id uuid, hardware_config_id int, framework_id int,
	workload text, batch_size int, sequence_length int, params jsonb, gpus int) RETURNS real
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT (2 * benchorch.rounds(f.protocol, batch_size) * benchorch.batch_seconds(m.architecture, params, batch_size,
		sequence_length - o.tokens, o.tokens, gpus,
		h.bandwidth_gbps, benchorch.compute_tflops(params, h.bf16_tflops, h.fp8_tflops, h.nvfp4_tflops)))::real
	FROM benchorch.model_versions AS m, benchorch.hardware_configs AS h, benchorch.frameworks AS f, benchorch.workloads AS w,
	LATERAL (SELECT floor(w.output_share * sequence_length + 0.5)::int AS tokens) AS o
	WHERE m.id = $1 AND h.id = $2 AND f.id = $3 AND w.name = $4
$$;
COMMENT ON FUNCTION benchorch.expected_by_roofline(uuid, int, int, text, int, int, jsonb, int) IS
	'What expected_s of a config is, for one config; NULL where the roofline says nothing';

CREATE FUNCTION benchorch.measured_runs(model_version_id uuid) RETURNS TABLE (lane_id int, hardware_config_id int,
	framework_id int, workload_type text, batch_size int, sequence_length int, params jsonb, seconds float8, expected_s real)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT c.lane_id, c.hardware_config_id, c.framework_id, c.workload_type, c.batch_size, c.sequence_length, c.params - 'repeat',
		extract(epoch FROM c.completed_at - c.started_at)::float8, c.expected_s
	FROM benchorch.benchmark_configs AS c
	WHERE c.model_version_id = $1 AND c.status = 'completed' AND c.completed_at > c.started_at
	UNION ALL
	SELECT c.lane_id, c.hardware_config_id, c.framework_id, c.workload_type, c.batch_size, c.sequence_length, c.params - 'repeat',
		extract(epoch FROM c.completed_at - c.started_at)::float8, c.expected_s
	FROM benchorch.archived_configs AS c
	WHERE c.model_version_id = $1 AND c.status = 'completed' AND c.completed_at > c.started_at
$$;
COMMENT ON FUNCTION benchorch.measured_runs(uuid) IS
	'The runs of a model version that completed, archived ones too: lane, cell, seconds, and what the roofline had expected';

CREATE FUNCTION benchorch.lane_paces(model_version_id uuid) RETURNS TABLE (lane_id int, pace float8, runs bigint)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT r.lane_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds / r.expected_s), count(*)
	FROM benchorch.measured_runs($1) AS r WHERE r.expected_s > 0 GROUP BY r.lane_id
$$;
COMMENT ON FUNCTION benchorch.lane_paces(uuid) IS
	'For each lane in which something has completed: the median of measured / expected seconds, and over how many runs';

CREATE FUNCTION benchorch.expected_seconds(model_version_id uuid) RETURNS TABLE (config_id bigint, seconds float8, basis text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
	WITH run AS MATERIALIZED (
		SELECT * FROM benchorch.measured_runs($1)
	), cell AS MATERIALIZED (
		SELECT lane_id, workload_type, batch_size, sequence_length, params,
			percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds) AS seconds
		FROM run AS r GROUP BY 1, 2, 3, 4, 5
	), pace AS MATERIALIZED (
		SELECT lane_id, percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds / r.expected_s) AS pace
		FROM run AS r WHERE r.expected_s > 0 GROUP BY 1
	), machine AS MATERIALIZED (
		SELECT hardware_config_id, avg(r.seconds) AS mean FROM run AS r GROUP BY 1
	)
	SELECT c.id, coalesce(cell.seconds, c.expected_s * pace.pace, c.expected_s, machine.mean, (SELECT avg(r.seconds) FROM run AS r), 60),
		CASE WHEN cell.seconds IS NOT NULL THEN 'measured' WHEN c.expected_s * pace.pace IS NOT NULL THEN 'lane'
			WHEN c.expected_s IS NOT NULL THEN 'roofline' ELSE 'mean' END
	FROM benchorch.benchmark_configs AS c
	LEFT JOIN cell ON cell.lane_id = c.lane_id AND cell.workload_type = c.workload_type AND cell.batch_size = c.batch_size
		AND cell.sequence_length = c.sequence_length AND cell.params = c.params - 'repeat'
	LEFT JOIN pace ON pace.lane_id = c.lane_id
	LEFT JOIN machine ON machine.hardware_config_id = c.hardware_config_id
	WHERE c.model_version_id = $1 AND c.status IN ('pending', 'running')
$$;
COMMENT ON FUNCTION benchorch.expected_seconds(uuid) IS
	'For every pending or running config of a model version the seconds that its run is expected to take, and on what that rests: measured, lane, roofline or mean';
