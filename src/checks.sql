/*
 * Checks: which there are, for which models they are switched off, and what
 * they look at.
 *
 * The rules of the built-in ones are in docs/results.md, their code in
 * checks.c and physics.c.  A user's own check is a row with the name of a
 * function from jsonb to jsonb.
 */

CREATE TABLE benchorch.checks
(
	name			text PRIMARY KEY,
	function		text,
	enabled			boolean NOT NULL DEFAULT true,
	description		text NOT NULL
);
COMMENT ON TABLE benchorch.checks IS 'Checks of results (data); seed_reference_data() brings the built-in ones';
COMMENT ON COLUMN benchorch.checks.function IS
	'NULL: built in. Else a function, with its schema, that is called with {"metrics", "reported", "subject", "environment"} and returns NULL (well), an object (what is wrong, with the numbers) or a text (what it lacks); it runs with the rights of the extension''s owner, who alone may write this table';
COMMENT ON COLUMN benchorch.checks.enabled IS 'for model versions that check_switches does not name';

CREATE TABLE benchorch.check_switches
(
	model_version_id	uuid NOT NULL,
	name			text NOT NULL,
	enabled			boolean NOT NULL,
	PRIMARY KEY (model_version_id, name)
);
COMMENT ON TABLE benchorch.check_switches IS 'Checks that are switched on or off for one model version (data); set by switch_check()';

SELECT pg_catalog.pg_extension_config_dump('benchorch.checks', '');
SELECT pg_catalog.pg_extension_config_dump('benchorch.check_switches', '');

CREATE FUNCTION benchorch.seed_checks() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO benchorch.checks (name, description) VALUES
		('no_metrics', 'the adapter found nothing'),
		('identity', 'a printed rate is more than 2 % off the tool''s own sums / duration'),
		('errors', 'more than 5 % of the requests failed'),
		('noise', 'the spread is more than 10 %'),
		('throttled', 'slowed down by heat or a power brake for more than 1 % of the measurement'),
		('not_applied', 'model, parallelism, precision or lengths are reported otherwise than asked'),
		('physics', 'faster than the hardware can be')
	ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION benchorch.seed_checks() IS 'Adds the built-in checks that are missing. Part of seed_reference_data()';

/* What is the same for all results of a model version: the checks that are off, and users' own. */
CREATE FUNCTION benchorch.checks_of(model_version_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER	/* every result asks, and plpgsql keeps its plans */
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
	RETURN (SELECT jsonb_strip_nulls(jsonb_build_object(
		'off', jsonb_agg(k.name) FILTER (WHERE NOT coalesce(s.enabled, k.enabled)),
		'own_checks', jsonb_object_agg(k.name, k.function) FILTER (WHERE k.function IS NOT NULL AND coalesce(s.enabled, k.enabled))))
	FROM benchorch.checks AS k
	LEFT JOIN benchorch.check_switches AS s ON s.model_version_id = $1 AND s.name = k.name);
END
$$;
COMMENT ON FUNCTION benchorch.checks_of(uuid) IS 'The checks that are switched off for a model version, and those that users have added, as members of a subject; internal';

/* Of a subject what all results of a model version on one hardware share. */
CREATE FUNCTION benchorch.subject_place(model_version_id uuid, hardware_config_id int) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER	/* as above */
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
	RETURN (SELECT jsonb_strip_nulls(jsonb_build_object('model', m.name, 'source', m.source, 'architecture', m.architecture,
		'machine', CASE WHEN h.id IS NOT NULL THEN jsonb_build_object('name', h.name, 'kind', h.kind,
			'bandwidth_gbps', h.bandwidth_gbps, 'bf16_tflops', h.bf16_tflops, 'fp8_tflops', h.fp8_tflops,
			'nvfp4_tflops', h.nvfp4_tflops, 'last_level_cache_bytes', h.details -> 'last_level_cache_bytes') END))
		|| benchorch.checks_of($1)
	FROM (SELECT) AS one
	LEFT JOIN benchorch.model_versions AS m ON m.id = $1
	LEFT JOIN benchorch.hardware_configs AS h ON h.id = $2);
END
$$;
COMMENT ON FUNCTION benchorch.subject_place(uuid, int) IS 'Of a subject (benchorch.subject) the model, the machine and the checks';

/* And what is of one config alone; without settings of its own, so that it becomes part of the statement that calls it. */
CREATE FUNCTION benchorch.subject_sizes(dataset text, output_share float8, batch_size int, sequence_length int, gpus int,
	params jsonb) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
	SELECT pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object('gpus', gpus, 'batch_size', batch_size,
		'input_tokens', sequence_length OPERATOR(pg_catalog.-) pg_catalog.floor(output_share OPERATOR(pg_catalog.*) sequence_length OPERATOR(pg_catalog.+) 0.5)::pg_catalog.int4,
		'output_tokens', pg_catalog.floor(output_share OPERATOR(pg_catalog.*) sequence_length OPERATOR(pg_catalog.+) 0.5)::pg_catalog.int4,
		'dataset', dataset, 'params', params))
$$;
COMMENT ON FUNCTION benchorch.subject_sizes(text, float8, int, int, int, jsonb) IS 'Of a subject (benchorch.subject) the lengths in tokens, the batch size, the GPUs and the params';

CREATE FUNCTION benchorch.subject(model_version_id uuid, hardware_config_id int, workload text, batch_size int,
	sequence_length int, gpus int, params jsonb) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER	/* as above */
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $$
BEGIN
	RETURN benchorch.subject_place($1, $2) || (
		SELECT benchorch.subject_sizes(w.dataset, w.output_share, $4, $5, $6, $7)
		FROM (SELECT) AS one LEFT JOIN benchorch.workloads AS w ON w.name = $3);
END
$$;
COMMENT ON FUNCTION benchorch.subject(uuid, int, text, int, int, int, jsonb) IS
	'What a result of such a config is about, as the checks see it: model, shape, machine and its peaks, lengths in tokens, params; what is not known is not there';
