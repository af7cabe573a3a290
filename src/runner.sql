/*
 * What a worker needs to run configs, as texts that it need not parse.
 *
 * Lists are texts with the ASCII separators: US (1F) between entries, RS (1E)
 * between a name and its value; a name without RS has no value; a value that
 * is several arguments begins with GS (1D), and each of them ends with it.
 *
 * What a runner is sent (json, docs/runner-protocol.md) and what placeholders
 * stand for (placeholders) say the same.  Tools have words of their own: in a
 * framework's details, "words" gives another text for a value of a dimension,
 * {"precision": {"bf16": "bfloat16"}} for {params.precision}, and "arguments"
 * the arguments that it means, {"precision": {"fp8": ["--quantization", "fp8"]}}
 * for {arguments.precision}; there are none where the config has no such
 * dimension, and no value where the word is not among them.
 */

CREATE TYPE benchorch.described_run AS
(
	config_id		bigint,
	claim_id		bigint,
	lane			int,
	protocol		text,
	hardware		text,
	framework		text,
	workload		text,
	batch_size		int,
	sequence_length	int,
	gpus			int,
	command			text,
	server_command	text,
	ready_command	text,
	reset_command	text,
	warmup_command	text,
	ready_timeout	float8,
	deadline		float8,
	env				text,
	placeholders	text,
	json			jsonb
);
COMMENT ON TYPE benchorch.described_run IS
	'A config as a worker runs it: commands, env and placeholders are lists (src/runner.sql), ready_timeout and deadline are seconds, json is what a runner is sent';

CREATE FUNCTION benchorch.placeholder_list(config jsonb, framework_details jsonb) RETURNS text
LANGUAGE c IMMUTABLE
AS 'MODULE_PATHNAME', 'benchorch_placeholder_list';
COMMENT ON FUNCTION benchorch.placeholder_list(jsonb, jsonb) IS
	'What the placeholders of a framework''s commands stand for in a config that is described as a runner is sent it; a word without arguments in details leaves {arguments.NAME} without value';

CREATE FUNCTION benchorch.describe_runs(configs benchorch.claimed_config[]) RETURNS SETOF benchorch.described_run
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp	/* every claim asks, and plpgsql keeps its plans */
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off SET enable_hashjoin = off SET enable_mergejoin = off SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY SELECT c.config_id, c.claim_id, b.lane_id, c.protocol, c.hardware_name, c.framework_name, c.workload_type, c.batch_size,
		c.sequence_length, c.gpus,
		array_to_string(f.command, E'\x1f', ''), array_to_string(f.server_command, E'\x1f', ''),
		array_to_string(f.ready_command, E'\x1f', ''), array_to_string(f.reset_command, E'\x1f', ''),
		array_to_string(f.warmup_command, E'\x1f', ''),
		date_part('epoch', f.ready_timeout), date_part('epoch', c.deadline),
		(SELECT string_agg(e.key || E'\x1e' || e.value, E'\x1f') FROM jsonb_each_text(f.env) AS e),
		benchorch.placeholder_list(line.json, f.details),
		line.json
	FROM unnest(configs) WITH ORDINALITY AS c
	LEFT JOIN benchorch.frameworks AS f ON f.id = c.framework_id
	LEFT JOIN benchorch.benchmark_configs AS b ON b.id = c.config_id
	LEFT JOIN benchorch.workloads AS w ON w.name = c.workload_type,
	LATERAL (SELECT jsonb_build_object('config_id', c.config_id, 'attempt', c.attempt,
		'model', COALESCE(c.model_source, c.model_name), 'model_name', c.model_name, 'architecture', c.architecture,
		'hardware', c.hardware_name, 'framework', c.framework_name, 'workload', c.workload_type, 'dataset', w.dataset,
		'batch_size', c.batch_size, 'sequence_length', c.sequence_length, 'input_tokens', c.input_tokens,
		'output_tokens', c.output_tokens, 'num_prompts', GREATEST(32, 10 * COALESCE(c.batch_size, 1)), 'gpus', c.gpus,
		'seed', c.config_id % 2147483648, 'deadline_s', date_part('epoch', c.deadline), 'params', c.params) AS json) AS line
	ORDER BY c.ordinality;
END
$$;
COMMENT ON FUNCTION benchorch.describe_runs(benchorch.claimed_config[]) IS 'Claimed configs as a worker runs them, in the same order';

CREATE FUNCTION benchorch.claim_runs(batch_size int DEFAULT 100, priority_threshold int DEFAULT 1000, worker_id uuid DEFAULT NULL,
	model_version_id uuid DEFAULT NULL) RETURNS SETOF benchorch.described_run
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	RETURN QUERY SELECT * FROM benchorch.describe_runs(ARRAY(
		SELECT c FROM benchorch.claim_batch(claim_runs.batch_size, claim_runs.priority_threshold, claim_runs.worker_id,
			claim_runs.model_version_id) AS c));
END $$;
COMMENT ON FUNCTION benchorch.claim_runs(int, int, uuid, uuid) IS 'claim_batch for benchorch-worker: the same claim, described as it runs it; errors as there';

CREATE FUNCTION benchorch.describe_run(config_id bigint) RETURNS SETOF benchorch.described_run
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.require_arguments('config_id', describe_run.config_id::text);
	RETURN QUERY SELECT * FROM benchorch.describe_runs(ARRAY(
		SELECT ROW(b.id, NULL, NULL, b.retry_count + 1, b.model_version_id, m.name, m.source, m.architecture, b.hardware_config_id, h.name,
			b.framework_id, f.name, f.protocol, f.command,
			make_interval(secs => COALESCE((t.spec -> 'limits' ->> 'deadline_s')::float8, 3600)),
			b.workload_type, b.batch_size, b.sequence_length,
			b.sequence_length - floor(b.sequence_length * w.output_share + 0.5)::int,
			floor(b.sequence_length * w.output_share + 0.5)::int, b.gpus, b.params, b.priority)::benchorch.claimed_config
		FROM benchorch.benchmark_configs AS b
		JOIN benchorch.model_versions AS m ON m.id = b.model_version_id
		JOIN benchorch.frameworks AS f ON f.id = b.framework_id
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = b.hardware_config_id
		LEFT JOIN benchorch.workloads AS w ON w.name = b.workload_type
		LEFT JOIN benchorch.templates AS t ON t.id = b.template_id
		WHERE b.id = describe_run.config_id));
	IF NOT FOUND THEN
		RAISE EXCEPTION USING ERRCODE = 'undefined_object', MESSAGE = format('config %s does not exist', describe_run.config_id);
	END IF;
END $$;
COMMENT ON FUNCTION benchorch.describe_run(bigint) IS
	'One config as a worker would run it, without a claim: for benchorch-worker --run-one; 42704 where there is none';
