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
	json			jsonb,
	work			float8
);
COMMENT ON TYPE benchorch.described_run IS
	'A config as a worker runs it: commands, env and placeholders are lists (src/runner.sql), ready_timeout and deadline are seconds, json is what a runner is sent, work is how much there is to do: within a lane, two of them compare as the expected durations do';

CREATE FUNCTION benchorch.claim_runs(batch_size int DEFAULT 100, priority_threshold int DEFAULT 1000, worker_id uuid DEFAULT NULL,
	model_version_id uuid DEFAULT NULL) RETURNS SETOF benchorch.described_run
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_claim_runs';
COMMENT ON FUNCTION benchorch.claim_runs(int, int, uuid, uuid) IS 'claim_batch for benchorch-worker: the same claim, described as it runs it; errors as there';

CREATE FUNCTION benchorch.describe_run(config_id bigint) RETURNS SETOF benchorch.described_run
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_describe_run';
COMMENT ON FUNCTION benchorch.describe_run(bigint) IS
	'One config as a worker would run it, without a claim: for benchorch-worker --run-one; 42704 where there is none';
