/*
 * What finalize() has found, for people: leaderboards, comparisons, advice,
 * and the queries that the replaced system's operators ran every week.
 */

CREATE VIEW benchorch.leaderboard AS
	SELECT m.name AS model, r.workload_type AS workload, r.objective, r.rank, h.name AS hardware, f.name AS framework,
		s.gpus, s.batch_size, s.sequence_length, s.params, r.value,
		o.unit, r.stddev AS spread, r.n, r.metric, r.method, r.model_version_id, r.config_id, r.low, r.high, s.measured_at
	FROM benchorch.rankings AS r
	JOIN benchorch.objectives() AS o ON o.objective = r.objective
	JOIN benchorch.cell_statistics AS s ON s.model_version_id = r.model_version_id AND s.config_id = r.config_id
	JOIN benchorch.model_versions AS m ON m.id = r.model_version_id
	LEFT JOIN benchorch.hardware_configs AS h ON h.id = s.hardware_config_id
	LEFT JOIN benchorch.frameworks AS f ON f.id = s.framework_id
	ORDER BY m.name, r.model_version_id, r.workload_type, r.objective, r.method, r.rank, h.name, f.name, s.gpus,
		s.batch_size, s.sequence_length, s.params, r.config_id;
COMMENT ON VIEW benchorch.leaderboard IS
	'The rankings with names, in order; spread is the standard deviation of the cell''s repeats, low and high the interval for the median, method the tags that its rivals share';

CREATE FUNCTION benchorch.require_objective(objective text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF objective IS NULL OR objective NOT IN (SELECT o.objective FROM benchorch.objectives() AS o) THEN
		RAISE invalid_parameter_value USING MESSAGE = format('unknown objective "%s"', coalesce(objective, 'NULL')),
			HINT = format('Objectives are %s.', (SELECT string_agg(o.objective, ', ') FROM benchorch.objectives() AS o));
	END IF;
END
$$;
COMMENT ON FUNCTION benchorch.require_objective(text) IS 'Raises 22023 for a word that is no objective';

CREATE FUNCTION benchorch.rank_configs(model_version_id uuid, objective text DEFAULT 'score', workload text DEFAULT NULL,
	max_rows int DEFAULT 10)
RETURNS TABLE (workload_type text, rank int, hardware text, framework text, gpus int, batch_size int, sequence_length int,
	params jsonb, value float8, low float8, high float8, unit text, n int, metric text, method text[], measured_at timestamptz,
	config_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	PERFORM benchorch.require_model(rank_configs.model_version_id);
	PERFORM benchorch.require_objective(rank_configs.objective);
	IF rank_configs.max_rows IS NULL OR rank_configs.max_rows < 0 THEN
		RAISE invalid_parameter_value USING MESSAGE = 'max_rows must be 0 or more';
	END IF;
	RETURN QUERY
		SELECT r.workload_type, r.rank, h.name, f.name, s.gpus, s.batch_size, s.sequence_length, s.params, r.value, r.low,
			r.high, o.unit, r.n, r.metric, r.method, s.measured_at, r.config_id
		FROM (SELECT DISTINCT w.name FROM (
				SELECT k.name FROM benchorch.workloads AS k WHERE rank_configs.workload IS NULL
				UNION ALL SELECT rank_configs.workload WHERE rank_configs.workload IS NOT NULL) AS w) AS w
		CROSS JOIN LATERAL (
			SELECT * FROM benchorch.rankings AS k
			WHERE k.model_version_id = rank_configs.model_version_id AND k.objective = rank_configs.objective
			  AND k.workload_type = w.name
			ORDER BY k.rank, k.config_id LIMIT rank_configs.max_rows) AS r
		JOIN benchorch.objectives() AS o ON o.objective = r.objective
		JOIN benchorch.cell_statistics AS s ON s.model_version_id = r.model_version_id AND s.config_id = r.config_id
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = s.hardware_config_id
		LEFT JOIN benchorch.frameworks AS f ON f.id = s.framework_id
		ORDER BY r.workload_type, r.method, r.rank, h.name, f.name, s.gpus, s.batch_size, s.sequence_length, s.params;
END
$$;
COMMENT ON FUNCTION benchorch.rank_configs(uuid, text, text, int) IS
	'The best cells of a model version by an objective (see objectives()), max_rows of each workload, or of one; low and high are the interval for the median of n repeats, cells of different method have rankings of their own. As of the last finalize. Errors: 22023 unknown objective, NULL or negative max_rows, 42704 unknown model version';

CREATE FUNCTION benchorch.pareto(model_version_id uuid, workload text DEFAULT NULL)
RETURNS TABLE (workload_type text, tokens_per_s_per_user float8, tokens_per_s_per_gpu float8, hardware text, framework text,
	gpus int, batch_size int, sequence_length int, params jsonb, cost_per_million_tokens float8, ttft_ms float8, method text[],
	config_id bigint)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	PERFORM benchorch.require_model(pareto.model_version_id);
	RETURN QUERY
		SELECT s.workload_type, s.tokens_per_s_per_user, s.tokens_per_s_per_gpu, h.name, f.name, s.gpus, s.batch_size,
			s.sequence_length, s.params, s.cost_per_million_tokens, s.ttft_ms, s.method, s.config_id
		FROM benchorch.cell_statistics AS s
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = s.hardware_config_id
		LEFT JOIN benchorch.frameworks AS f ON f.id = s.framework_id
		WHERE s.model_version_id = pareto.model_version_id AND s.on_frontier
		  AND (pareto.workload IS NULL OR s.workload_type = pareto.workload)
		ORDER BY s.workload_type, s.method, s.tokens_per_s_per_user DESC, s.tokens_per_s_per_gpu, h.name, f.name, s.gpus,
			s.batch_size, s.sequence_length, s.params, s.config_id;
END
$$;
COMMENT ON FUNCTION benchorch.pareto(uuid, text) IS
	'The cells of each workload (and method) that no other beats: none is at least as good in both tokens/s/user (1000 / TPOT in ms) and tokens/s/GPU and better in one, so equal points stay together; the fastest for a user first. As of the last finalize. Errors: 22023 NULL, 42704';

/*
 * Two model versions, cell by cell.  A difference counts where it is more than
 * noise: the intervals do not overlap and, because few repeats make narrow
 * intervals, the medians are further apart than the noise of either cell.
 */
CREATE FUNCTION benchorch.compare(model_a uuid, model_b uuid)
RETURNS TABLE (workload_type text, hardware text, framework text, gpus int, batch_size int, sequence_length int, params jsonb,
	objective text, a float8, b float8, change_pct float8, noise_pct float8, better text, n_a int, n_b int)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	PERFORM benchorch.require_model(compare.model_a);
	PERFORM benchorch.require_model(compare.model_b);
	RETURN QUERY
		WITH cell AS MATERIALIZED (
			SELECT s.*, coalesce(s.noise_rel, 0.05) AS noise FROM benchorch.cell_statistics AS s
			WHERE s.model_version_id IN (compare.model_a, compare.model_b) AND s.flags = '{}'
		)
		SELECT x.workload_type, h.name, f.name, x.gpus, x.batch_size, x.sequence_length, x.params, v.objective, v.a, v.b,
			100 * (v.b / v.a - 1), 100 * d.noise,
			CASE WHEN (v.b > v.a) = v.most_first THEN 'b' ELSE 'a' END, x.n, y.n
		FROM cell AS x
		JOIN cell AS y ON y.model_version_id = compare.model_b AND y.framework_id = x.framework_id AND y.params = x.params
			AND y.gpus = x.gpus AND y.method = x.method AND coalesce(y.hardware_config_id, 0) = coalesce(x.hardware_config_id, 0)
			AND coalesce(y.workload_type, '') = coalesce(x.workload_type, '') AND coalesce(y.batch_size, 0) = coalesce(x.batch_size, 0)
			AND coalesce(y.sequence_length, 0) = coalesce(x.sequence_length, 0)
		CROSS JOIN LATERAL (SELECT greatest(x.noise, y.noise) AS noise) AS d
		CROSS JOIN LATERAL (VALUES
			(1, 'output_tokens_per_s', true, x.output_tokens_per_s, x.output_tokens_per_s_low, x.output_tokens_per_s_high,
				y.output_tokens_per_s, y.output_tokens_per_s_low, y.output_tokens_per_s_high),
			(2, 'ttft', false, x.ttft_ms, x.ttft_low_ms, x.ttft_high_ms, y.ttft_ms, y.ttft_low_ms, y.ttft_high_ms),
			(3, 'tpot', false, x.tpot_ms, x.tpot_low_ms, x.tpot_high_ms, y.tpot_ms, y.tpot_low_ms, y.tpot_high_ms)
		) AS v (position, objective, most_first, a, a_low, a_high, b, b_low, b_high)
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = x.hardware_config_id
		LEFT JOIN benchorch.frameworks AS f ON f.id = x.framework_id
		WHERE x.model_version_id = compare.model_a AND v.a > 0 AND (v.a_high < v.b_low OR v.b_high < v.a_low)
		  AND abs(v.b / v.a - 1) > d.noise
		ORDER BY abs(v.b / v.a - 1) DESC, x.workload_type, h.name, f.name, x.gpus, x.batch_size, x.sequence_length, x.params,
			v.position;
END
$$;
COMMENT ON FUNCTION benchorch.compare(uuid, uuid) IS
	'Cells that two model versions share and that differ by more than their noise, the largest change first: the intervals do not overlap, and the medians differ by more than the larger noise_rel of the two (5 % where it is unknown). change_pct is from a to b; better says which. Flagged cells are left out. As of the last finalize of each. Errors: 22023 NULL, 42704';

/* ------------------------------------------------------------ for every week */

CREATE VIEW benchorch.failure_analysis AS
	SELECT m.name AS model, c.error_message, last.outcome, count(*) AS configs, count(DISTINCT c.lane_id) AS lanes,
		min(c.completed_at) AS first_at, max(c.completed_at) AS last_at, (array_agg(c.id ORDER BY c.id))[1:5] AS examples,
		c.model_version_id
	FROM benchorch.benchmark_configs AS c
	JOIN benchorch.model_versions AS m ON m.id = c.model_version_id
	LEFT JOIN LATERAL (SELECT a.outcome FROM benchorch.attempts AS a WHERE a.config_id = c.id ORDER BY a.id DESC LIMIT 1) AS last ON true
	WHERE c.status = 'failed'
	GROUP BY c.model_version_id, m.name, c.error_message, last.outcome
	ORDER BY count(*) DESC, c.error_message;
COMMENT ON VIEW benchorch.failure_analysis IS
	'Why configs failed: how many by message and last outcome, most first, with the first five ids for logs()';

CREATE VIEW benchorch.progress_over_time AS
	SELECT m.name AS model, date_trunc('hour', c.completed_at) AS hour,
		count(*) FILTER (WHERE c.status = 'completed') AS configs_completed,
		count(*) FILTER (WHERE c.status = 'failed') AS configs_failed,
		sum(extract(epoch FROM c.completed_at - c.started_at) * c.gpus) FILTER (WHERE c.completed_at > c.started_at) / 3600 AS gpu_hours,
		c.model_version_id
	FROM benchorch.benchmark_configs AS c JOIN benchorch.model_versions AS m ON m.id = c.model_version_id
	WHERE c.status IN ('completed', 'failed') AND c.completed_at IS NOT NULL
	GROUP BY c.model_version_id, m.name, date_trunc('hour', c.completed_at)
	ORDER BY m.name, c.model_version_id, date_trunc('hour', c.completed_at);
COMMENT ON VIEW benchorch.progress_over_time IS
	'Configs that completed or failed in each hour, and the GPU-hours of their last runs';

CREATE VIEW benchorch.retry_statistics AS
	SELECT m.name AS model, c.workload_type, count(*) AS configs, avg(c.retry_count) AS avg_retries, max(c.retry_count) AS max_retries,
		count(*) FILTER (WHERE c.retry_count > 0) AS retried,
		count(*) FILTER (WHERE c.retry_count > 0 AND c.status = 'completed') AS saved_by_retries, c.model_version_id
	FROM benchorch.benchmark_configs AS c JOIN benchorch.model_versions AS m ON m.id = c.model_version_id
	WHERE c.status IN ('completed', 'failed')
	GROUP BY c.model_version_id, m.name, c.workload_type
	ORDER BY m.name, c.model_version_id, c.workload_type;
COMMENT ON VIEW benchorch.retry_statistics IS
	'Of what completed or failed: how often it was put back in the mean and at most, and how many completed only by a retry';

CREATE VIEW benchorch.framework_leaderboard AS
	SELECT m.name AS model, s.workload_type AS workload, f.name AS framework, count(*) AS cells,
		count(*) FILTER (WHERE best.framework_id = s.framework_id) AS wins,
		exp(avg(ln(s.tokens_per_s_per_gpu)) FILTER (WHERE s.tokens_per_s_per_gpu > 0)) AS tokens_per_s_per_gpu,
		exp(avg(ln(s.ttft_ms)) FILTER (WHERE s.ttft_ms > 0)) AS ttft_ms,
		exp(avg(ln(s.tpot_ms)) FILTER (WHERE s.tpot_ms > 0)) AS tpot_ms,
		max(s.measured_at) AS measured_at, s.method, s.model_version_id
	FROM benchorch.cell_statistics AS s
	JOIN benchorch.model_versions AS m ON m.id = s.model_version_id
	JOIN benchorch.frameworks AS f ON f.id = s.framework_id
	LEFT JOIN (SELECT DISTINCT ON (b.model_version_id, b.hardware_config_id, b.workload_type, b.batch_size, b.sequence_length, b.params, b.method)
			b.model_version_id, b.hardware_config_id, b.workload_type, b.batch_size, b.sequence_length, b.params, b.method, b.framework_id
		FROM benchorch.cell_statistics AS b WHERE b.flags = '{}' AND b.tokens_per_s_per_gpu IS NOT NULL
		ORDER BY b.model_version_id, b.hardware_config_id, b.workload_type, b.batch_size, b.sequence_length, b.params, b.method,
			b.tokens_per_s_per_gpu DESC, b.framework_id) AS best
		ON (best.model_version_id, best.hardware_config_id, best.workload_type, best.batch_size, best.sequence_length, best.params, best.method)
			= (s.model_version_id, s.hardware_config_id, s.workload_type, s.batch_size, s.sequence_length, s.params, s.method)
	WHERE s.flags = '{}'
	GROUP BY s.model_version_id, m.name, s.workload_type, f.name, s.method
	ORDER BY m.name, s.model_version_id, s.workload_type, s.method, wins DESC, f.name;
COMMENT ON VIEW benchorch.framework_leaderboard IS
	'Frameworks of each workload: geometric means over their cells, and in how many cells each has the most tokens/s/GPU of all frameworks';

CREATE VIEW benchorch.hardware_leaderboard AS
	SELECT m.name AS model, s.workload_type AS workload, h.name AS hardware, count(*) AS cells,
		max(s.output_tokens_per_s) AS most_tokens_per_s, max(s.tokens_per_s_per_gpu) AS most_tokens_per_s_per_gpu,
		min(s.ttft_ms) AS least_ttft_ms, min(s.tpot_ms) AS least_tpot_ms, min(s.cost_per_million_tokens) AS least_cost_per_million_tokens,
		min(s.joules_per_output_token) AS least_joules_per_token, count(*) FILTER (WHERE s.on_frontier) AS on_frontier,
		count(*) FILTER (WHERE s.within_service_level) AS within_service_level, max(s.measured_at) AS measured_at, s.method, s.model_version_id
	FROM benchorch.cell_statistics AS s
	JOIN benchorch.model_versions AS m ON m.id = s.model_version_id
	LEFT JOIN benchorch.hardware_configs AS h ON h.id = s.hardware_config_id
	WHERE s.flags = '{}'
	GROUP BY s.model_version_id, m.name, s.workload_type, h.name, s.method
	ORDER BY m.name, s.model_version_id, s.workload_type, s.method, most_tokens_per_s_per_gpu DESC NULLS LAST, h.name;
COMMENT ON VIEW benchorch.hardware_leaderboard IS
	'The best that each machine type reaches in each workload, over all frameworks and settings';
