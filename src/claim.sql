/*
 * Claiming.
 */

CREATE TYPE benchorch.claimed_config AS
(
	config_id		bigint,
	claim_id		bigint,
	lease_expires_at	timestamptz,
	attempt			int,
	model_version_id	uuid,
	model_name		text,
	model_source	text,
	architecture	jsonb,
	hardware_config_id	int,
	hardware_name	text,
	framework_id	int,
	framework_name	text,
	protocol		text,
	command			text[],
	deadline		interval,
	workload_type	text,
	batch_size		int,
	sequence_length	int,
	input_tokens	int,
	output_tokens	int,
	gpus			int,
	params			jsonb,
	priority		int
);
COMMENT ON TYPE benchorch.claimed_config IS
	'A config that claim_batch or claim_next has marked running; deadline is the time that one run may take, lease_expires_at is NULL without a worker';

CREATE FUNCTION benchorch.claim_batch(batch_size int DEFAULT 100, priority_threshold int DEFAULT 1000,
	worker_id uuid DEFAULT NULL, model_version_id uuid DEFAULT NULL) RETURNS SETOF benchorch.claimed_config
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_claim_batch';
COMMENT ON FUNCTION benchorch.claim_batch(int, int, uuid, uuid) IS
	'Marks up to batch_size (1 to 500) claimable configs running and returns them. Without worker_id: any hardware, strictly by priority. With worker_id: one lane that the worker fits, and no more than leave enough for the other live workers. Errors: 22023 NULL or out of range, 42704 unknown worker or model version';

CREATE FUNCTION benchorch.claim_next(config_id bigint DEFAULT NULL, claim_id bigint DEFAULT NULL, priority_threshold int DEFAULT 1000,
	worker_id uuid DEFAULT NULL, model_version_id uuid DEFAULT NULL) RETURNS SETOF benchorch.claimed_config
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_claim_next';
COMMENT ON FUNCTION benchorch.claim_next(bigint, bigint, int, uuid, uuid) IS
	'Completes a config and claims the next one, in one call: update_status to completed (one that is so already stays so), then claim_batch of one; no row where nothing is claimable, and the completion stands all the same. Without config_id and claim_id it only claims. Where the config was its claim''s only one, the next one mostly has the same claim_id; a pair (config_id, claim_id) is never used again. Errors: 22023 NULL, 42704 unknown worker or model version, BO001 stale claim; then nothing is completed';
