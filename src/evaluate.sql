/*
 * Evaluating results: what adapters and checks say of one, now or again.
 */

CREATE FUNCTION benchorch.parse_output(output bytea, adapter text DEFAULT NULL, OUT parsed jsonb, OUT problem text) RETURNS record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_parse_output_sql';
COMMENT ON FUNCTION benchorch.parse_output(bytea, text) IS
	'The result in what a benchmark printed, by the rules of docs/results.md; or the problem, with its position. adapter: whose lines of JSON may belong together. NULL gives NULL; no errors for what the output holds';

CREATE FUNCTION benchorch.evaluate(adapter text, parsed jsonb, subject jsonb, environment jsonb, otherwise text DEFAULT NULL,
	OUT ttft_mean_ms float8, OUT ttft_p50_ms float8, OUT ttft_p90_ms float8, OUT ttft_p95_ms float8, OUT ttft_p99_ms float8,
	OUT tpot_mean_ms float8, OUT tpot_p50_ms float8, OUT tpot_p90_ms float8, OUT tpot_p95_ms float8, OUT tpot_p99_ms float8,
	OUT itl_mean_ms float8, OUT itl_p50_ms float8, OUT itl_p95_ms float8, OUT itl_p99_ms float8,
	OUT e2e_mean_ms float8, OUT e2e_p50_ms float8, OUT e2e_p90_ms float8, OUT e2e_p95_ms float8, OUT e2e_p99_ms float8,
	OUT requests_per_s float8, OUT output_tokens_per_s float8, OUT total_tokens_per_s float8, OUT goodput_per_s float8, OUT concurrency_mean float8,
	OUT requests_completed bigint, OUT requests_failed bigint, OUT input_tokens bigint, OUT output_tokens bigint,
	OUT duration_s float8, OUT gpu_memory_peak_bytes bigint, OUT host_memory_peak_bytes bigint, OUT energy_j float8,
	OUT roofline_prefill float8, OUT roofline_decode float8, OUT roofline_prefill_measured float8, OUT roofline_decode_measured float8,
	OUT accuracy float8, OUT noise_rel float8,
	OUT known_adapter text, OUT method text[], OUT flags jsonb, OUT unchecked jsonb, OUT reported jsonb, OUT problem text) RETURNS record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_evaluate';
COMMENT ON FUNCTION benchorch.evaluate(text, jsonb, jsonb, jsonb, text) IS
	'What adapters and checks say of a result: the metrics, method, flags and so on of benchmark_results. adapter: NULL is guessed, else it is the one of otherwise. subject (see benchorch.subject) and environment may be NULL: what is not known is not checked. problem: why it is no result';

/* What a stored result is about. */
CREATE FUNCTION benchorch.subject_of(result benchorch.benchmark_results) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN $1.import_digest IS NULL THEN (
		SELECT benchorch.subject(c.model_version_id, c.hardware_config_id, c.workload_type, c.batch_size, c.sequence_length, c.gpus, c.params)
		FROM benchorch.benchmark_configs AS c WHERE c.id = $1.config_id)
	ELSE (benchorch.subject($1.model_version_id,
			(SELECT h.id FROM benchorch.hardware_configs AS h WHERE h.name = $1.subject ->> 'hardware'), $1.subject ->> 'workload',
			($1.subject -> 'batch_size')::int, ($1.subject -> 'sequence_length')::int, ($1.subject -> 'gpus')::int,
			coalesce($1.subject -> 'params', '{}')) - 'dataset')
		|| jsonb_strip_nulls(jsonb_build_object('input_tokens', $1.subject -> 'input_tokens', 'output_tokens', $1.subject -> 'output_tokens',
			'dataset', $1.subject -> 'dataset')) END
$$;
COMMENT ON FUNCTION benchorch.subject_of(benchorch.benchmark_results) IS 'What a stored result is about (see benchorch.subject): its config''s, or what was imported with it';

CREATE FUNCTION benchorch.recheck(model_version_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
	WITH again AS MATERIALIZED (
		SELECT r.id AS result_id, r.flags AS flags_before, e.*
		FROM benchorch.benchmark_results AS r,
			LATERAL benchorch.evaluate(r.adapter, r.parsed, benchorch.subject_of(r), r.environment) AS e
		WHERE r.parsed IS NOT NULL AND ($1 IS NULL OR r.model_version_id = $1)
	), updated AS (
		UPDATE benchorch.benchmark_results AS r SET (adapter, method, flags, unchecked, reported,
			ttft_mean_ms, ttft_p50_ms, ttft_p90_ms, ttft_p95_ms, ttft_p99_ms, tpot_mean_ms, tpot_p50_ms, tpot_p90_ms, tpot_p95_ms, tpot_p99_ms,
			itl_mean_ms, itl_p50_ms, itl_p95_ms, itl_p99_ms, e2e_mean_ms, e2e_p50_ms, e2e_p90_ms, e2e_p95_ms, e2e_p99_ms,
			requests_per_s, output_tokens_per_s, total_tokens_per_s, goodput_per_s, concurrency_mean, requests_completed, requests_failed,
			input_tokens, output_tokens, duration_s, gpu_memory_peak_bytes, host_memory_peak_bytes, energy_j, roofline_prefill,
			roofline_decode, roofline_prefill_measured, roofline_decode_measured, accuracy, noise_rel) = ROW(e.known_adapter, e.method, e.flags, e.unchecked, e.reported,
			e.ttft_mean_ms, e.ttft_p50_ms, e.ttft_p90_ms, e.ttft_p95_ms, e.ttft_p99_ms, e.tpot_mean_ms, e.tpot_p50_ms, e.tpot_p90_ms, e.tpot_p95_ms, e.tpot_p99_ms,
			e.itl_mean_ms, e.itl_p50_ms, e.itl_p95_ms, e.itl_p99_ms, e.e2e_mean_ms, e.e2e_p50_ms, e.e2e_p90_ms, e.e2e_p95_ms, e.e2e_p99_ms,
			e.requests_per_s, e.output_tokens_per_s, e.total_tokens_per_s, e.goodput_per_s, e.concurrency_mean, e.requests_completed, e.requests_failed,
			e.input_tokens, e.output_tokens, e.duration_s, e.gpu_memory_peak_bytes, e.host_memory_peak_bytes, e.energy_j, e.roofline_prefill,
			e.roofline_decode, e.roofline_prefill_measured, e.roofline_decode_measured, e.accuracy, e.noise_rel)
		FROM again AS e WHERE r.id = e.result_id AND e.problem IS NULL
		RETURNING e.flags IS DISTINCT FROM e.flags_before AS changed
	)
	SELECT count(*) FILTER (WHERE changed) FROM updated
$$;
COMMENT ON FUNCTION benchorch.recheck(uuid) IS
	'Evaluates the stored results of a model version (NULL: of all) again, by the adapters, checks, architecture and peaks of now, and returns how many are flagged otherwise than before. Rankings follow with the next finalize. Archived results stay as they are';

CREATE FUNCTION benchorch.switch_check(name text, enabled boolean, model_version_id uuid DEFAULT NULL) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.require_arguments('name', switch_check.name, 'enabled', switch_check.enabled::text);
	IF NOT EXISTS (SELECT FROM benchorch.checks AS k WHERE k.name = switch_check.name) THEN
		RAISE undefined_object USING MESSAGE = format('check "%s" does not exist', switch_check.name),
			HINT = format('Known are %s.', coalesce((SELECT string_agg(k.name, ', ' ORDER BY k.name) FROM benchorch.checks AS k),
				'none (see benchorch.seed_reference_data())'));
	END IF;
	IF model_version_id IS NULL THEN
		UPDATE benchorch.checks AS k SET enabled = switch_check.enabled WHERE k.name = switch_check.name;
	ELSE
		PERFORM benchorch.require_model(model_version_id);
		INSERT INTO benchorch.check_switches AS s (model_version_id, name, enabled)
		VALUES (switch_check.model_version_id, switch_check.name, switch_check.enabled)
		ON CONFLICT ON CONSTRAINT check_switches_pkey DO UPDATE SET enabled = excluded.enabled;
	END IF;
	RETURN benchorch.recheck(model_version_id);
END
$$;
COMMENT ON FUNCTION benchorch.switch_check(text, boolean, uuid) IS
	'Switches a check on or off for a model version (NULL: for all that have no switch of their own), evaluates its results again, and returns how many are flagged otherwise than before. Errors: 22023 NULL, 42704 unknown check or model version';

CREATE FUNCTION benchorch.explain_result(result_id bigint) RETURNS TABLE (check_name text, verdict text, numbers jsonb, reason text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT k.name, CASE WHEN r.flags ? k.name THEN 'flagged'
			WHEN NOT coalesce(s.enabled, k.enabled) THEN 'switched off'
			WHEN r.unchecked ? k.name AND k.name <> 'physics' THEN 'not evaluated'
			WHEN r.unchecked ? k.name THEN 'not evaluated, or not in full'
			WHEN r.flags ? 'no_metrics' THEN 'not evaluated'
			ELSE 'passed' END,
		r.flags -> k.name, r.unchecked ->> k.name
	FROM (SELECT id, model_version_id, flags, unchecked FROM benchorch.benchmark_results WHERE id = $1
		UNION ALL SELECT id, model_version_id, flags, unchecked FROM benchorch.archived_results WHERE id = $1) AS r
	CROSS JOIN benchorch.checks AS k
	LEFT JOIN benchorch.check_switches AS s ON s.model_version_id = r.model_version_id AND s.name = k.name
	ORDER BY k.name
$$;
COMMENT ON FUNCTION benchorch.explain_result(bigint) IS
	'What each check says of a stored result: flagged, with the numbers; not evaluated (physics: or not in full), with the reason; switched off; passed. No rows for an id that does not exist';
