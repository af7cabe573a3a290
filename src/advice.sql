/*
 * recommend: one row of plain words and figures out of what finalize() found.
 */

CREATE FUNCTION benchorch.objective_value(cell benchorch.cell_statistics, objective text) RETURNS float8
LANGUAGE sql IMMUTABLE
AS $$
	SELECT CASE objective
		WHEN 'output_tokens_per_s' THEN cell.output_tokens_per_s
		WHEN 'tokens_per_s_per_gpu' THEN cell.tokens_per_s_per_gpu
		WHEN 'ttft' THEN cell.ttft_ms
		WHEN 'tpot' THEN cell.tpot_ms
		WHEN 'cost_per_million_tokens' THEN cell.cost_per_million_tokens
		WHEN 'joules_per_token' THEN cell.joules_per_output_token
		WHEN 'roofline' THEN cell.roofline_decode
		WHEN 'goodput_per_gpu' THEN COALESCE(cell.goodput_per_s, CASE WHEN cell.within_service_level THEN cell.requests_per_s END) / cell.gpus
		WHEN 'score' THEN cell.score END
$$;
COMMENT ON FUNCTION benchorch.objective_value(benchorch.cell_statistics, text) IS 'What a cell is ranked by';

/* A limit that a cell has no figure for is missed: nobody knows that it is kept. */
CREATE FUNCTION benchorch.missed_constraints(cell benchorch.cell_statistics, model text, hardware text, framework text, wanted jsonb)
RETURNS text[]
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(array_agg(c.name ORDER BY c.position) FILTER (WHERE wanted ? c.name AND c.kept IS NOT TRUE), '{}')
	FROM (VALUES
		(1, 'model', wanted ->> 'model' IN (model, cell.model_version_id::text)),
		(2, 'hardware', wanted -> 'hardware' ? hardware),
		(3, 'frameworks', wanted -> 'frameworks' ? framework),
		(4, 'max_gpus', cell.gpus <= (wanted ->> 'max_gpus')::int),
		(5, 'batch_size', cell.batch_size = (wanted ->> 'batch_size')::int),
		(6, 'sequence_length', cell.sequence_length = (wanted ->> 'sequence_length')::int),
		(7, 'max_ttft_ms', cell.ttft_ms <= (wanted ->> 'max_ttft_ms')::float8),
		(8, 'max_tpot_ms', cell.tpot_ms <= (wanted ->> 'max_tpot_ms')::float8),
		(9, 'max_cost_per_million_tokens', cell.cost_per_million_tokens <= (wanted ->> 'max_cost_per_million_tokens')::float8),
		(10, 'min_output_tokens_per_s', cell.output_tokens_per_s >= (wanted ->> 'min_output_tokens_per_s')::float8),
		(11, 'min_tokens_per_s_per_user', cell.tokens_per_s_per_user >= (wanted ->> 'min_tokens_per_s_per_user')::float8),
		(12, 'service_level', cell.within_service_level OR NOT (wanted ->> 'service_level')::boolean)
	) AS c (position, name, kept)
$$;
COMMENT ON FUNCTION benchorch.missed_constraints(benchorch.cell_statistics, text, text, text, jsonb) IS
	'Which of recommend()''s constraints a cell does not keep';

CREATE FUNCTION benchorch.describe_cell(cell benchorch.cell_statistics, model text, hardware text, framework text) RETURNS text
LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT format('%s on %s with %s, %s GPU%s%s%s%s', model, coalesce(hardware, 'any hardware'), framework, cell.gpus,
			CASE WHEN cell.gpus > 1 THEN 's' ELSE '' END, ', batch ' || cell.batch_size, ', length ' || cell.sequence_length,
			CASE WHEN cell.params <> '{}' THEN ', ' || cell.params::text END)
		|| ': ' || concat_ws(', ',
			round(cell.output_tokens_per_s::numeric, 1) || ' output tokens/s',
			'TTFT ' || round(cell.ttft_ms::numeric, 1) || ' ms',
			'TPOT ' || round(cell.tpot_ms::numeric, 2) || ' ms',
			round(cell.cost_per_million_tokens::numeric, 2) || ' per million output tokens',
			cell.n || CASE WHEN cell.n = 1 THEN ' run' ELSE ' runs' END)
$$;
COMMENT ON FUNCTION benchorch.describe_cell(benchorch.cell_statistics, text, text, text) IS 'A cell and its figures in words; what it lacks is left out';

CREATE FUNCTION benchorch.recommend(workload text, constraints jsonb DEFAULT '{}',
	OUT advice text, OUT model text, OUT hardware text, OUT framework text, OUT gpus int, OUT batch_size int,
	OUT sequence_length int, OUT params jsonb, OUT objective text, OUT value float8, OUT ttft_ms float8, OUT tpot_ms float8,
	OUT output_tokens_per_s float8, OUT cost_per_million_tokens float8, OUT runs int, OUT fitting bigint, OUT considered bigint,
	OUT model_version_id uuid, OUT config_id bigint) RETURNS record
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	wanted CONSTANT jsonb := coalesce(constraints, '{}');
	goal CONSTANT text := coalesce(wanted ->> 'objective', 'score');
	sign int;
	best record;
BEGIN
	PERFORM benchorch.require_arguments('workload', recommend.workload);
	PERFORM benchorch.check_spec('constraints', wanted, ARRAY['model: a string', 'hardware: an array of strings (at least one)',
		'frameworks: an array of strings (at least one)', 'max_gpus: a positive integer', 'batch_size: a positive integer',
		'sequence_length: a positive integer', 'max_ttft_ms: a positive number', 'max_tpot_ms: a positive number',
		'max_cost_per_million_tokens: a positive number', 'min_output_tokens_per_s: a positive number',
		'min_tokens_per_s_per_user: a positive number', 'service_level: true or false', 'objective: a string']);
	PERFORM benchorch.require_objective(goal);
	SELECT CASE o.best WHEN 'most' THEN -1 ELSE 1 END INTO sign FROM benchorch.objectives() AS o WHERE o.objective = goal;

	/* what fits best, or misses least; and, in words, what comes next */
	WITH cell AS MATERIALIZED (
		SELECT s AS cell, m.name AS model, h.name AS hardware, f.name AS framework, benchorch.objective_value(s, goal) AS value,
			benchorch.missed_constraints(s, m.name, h.name, f.name, wanted) AS missed
		FROM benchorch.cell_statistics AS s
		JOIN benchorch.model_versions AS m ON m.id = s.model_version_id
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = s.hardware_config_id
		LEFT JOIN benchorch.frameworks AS f ON f.id = s.framework_id
		WHERE s.workload_type = recommend.workload AND s.flags = '{}'
	), sorted AS (
		SELECT c.*, count(*) FILTER (WHERE c.missed = '{}' AND c.value IS NOT NULL) OVER () AS fitting, count(*) OVER () AS considered,
			row_number() OVER (ORDER BY cardinality(c.missed), c.value IS NULL, sign * c.value, (c.cell).score DESC NULLS LAST,
				c.model, c.hardware, c.framework, (c.cell).config_id) AS position
		FROM cell AS c
	)
	SELECT x.*, CASE WHEN y.missed = '{}' AND y.value IS NOT NULL THEN benchorch.describe_cell(y.cell, y.model, y.hardware, y.framework) END AS next
	INTO best
	FROM sorted AS x LEFT JOIN sorted AS y ON y.position = 2 WHERE x.position = 1;

	objective := goal;
	fitting := coalesce(best.fitting, 0);
	considered := coalesce(best.considered, 0);
	IF considered = 0 THEN
		advice := format('Nothing has been measured for %s yet: benchorch.finalize() ranks what has.', workload);
	ELSIF fitting = 0 AND best.missed = '{}' THEN
		advice := format('None of %s cells for %s has a value of %s.', considered, workload, goal);
	ELSIF fitting = 0 THEN
		advice := format('None of %s cells for %s fits. The nearest misses %s: %s.', considered, workload,
			array_to_string(best.missed, ', '), benchorch.describe_cell(best.cell, best.model, best.hardware, best.framework));
	ELSE
		advice := format('For %s take %s; the best of %s that fit (of %s) by %s.', workload,
			benchorch.describe_cell(best.cell, best.model, best.hardware, best.framework), fitting, considered, goal)
			|| coalesce(' Next: ' || best.next || '.', '');
		model := best.model;
		hardware := best.hardware;
		framework := best.framework;
		value := best.value;
		gpus := (best.cell).gpus;
		batch_size := (best.cell).batch_size;
		sequence_length := (best.cell).sequence_length;
		params := (best.cell).params;
		ttft_ms := (best.cell).ttft_ms;
		tpot_ms := (best.cell).tpot_ms;
		output_tokens_per_s := (best.cell).output_tokens_per_s;
		cost_per_million_tokens := (best.cell).cost_per_million_tokens;
		runs := (best.cell).n;
		model_version_id := (best.cell).model_version_id;
		config_id := (best.cell).config_id;
	END IF;
END
$$;
COMMENT ON FUNCTION benchorch.recommend(text, jsonb) IS
	'What to use for a workload, in words and figures, out of everything that is finalized and not flagged. constraints: model (name or id), hardware, frameworks (arrays of names), max_gpus, batch_size, sequence_length, max_ttft_ms, max_tpot_ms, max_cost_per_million_tokens, min_output_tokens_per_s, min_tokens_per_s_per_user, service_level (true: p99s within service_levels), objective (see objectives(); default score). A limit that a cell has no figure for counts as missed. Where nothing fits only advice, fitting and considered are given. Errors: 22023 for unknown keys and wrong types';
