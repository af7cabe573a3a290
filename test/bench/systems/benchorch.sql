-- benchorch, claims without worker: any hardware, strictly by priority.
-- A claim asks for what the peers' rows have: names, architecture and command (35 words of an argument vector) they keep elsewhere, or not at all.

-- @schema
CREATE EXTENSION benchorch;
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_hardware('bench', '{}');

-- @work
SELECT benchorch.create_template('bench', jsonb_build_object('hardware', ARRAY['bench'],
	'frameworks', ARRAY['vLLM', 'SGLang', 'TensorRT-LLM'], 'repeats', :repeats) ||
	CASE WHEN :variants > 1 THEN jsonb_build_object('dimensions', jsonb_build_object('variant', jsonb_build_object(
		'kind', 'request', 'values', ARRAY(SELECT generate_series(1, :variants))))) ELSE '{}' END);
SELECT benchorch.register_model('model ' || :cycle || ' ' || n) FROM generate_series(1, :models) AS n;

-- @populate
SELECT benchorch.populate_matrix(id, template => 'bench') FROM benchorch.model_versions
WHERE name LIKE 'model ' || :cycle || ' %';

-- @ready
SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'pending'

-- @claim
SELECT c.config_id AS id, c.claim_id AS token, c.model_version_id, c.hardware_config_id, c.framework_id, c.workload_type,
	c.batch_size, c.sequence_length, c.params, c.priority, c.attempt, c.lease_expires_at
FROM benchorch.claim_batch({batch}::int) AS c

-- @claim unflushed
SELECT c.config_id AS id, c.claim_id AS token, c.model_version_id, c.hardware_config_id, c.framework_id, c.workload_type,
	c.batch_size, c.sequence_length, c.params, c.priority, c.attempt, c.lease_expires_at
FROM pg_catalog.set_config('synchronous_commit', 'off', true) AS unflushed, benchorch.claim_batch({batch}::int) AS c

-- @complete
SELECT u.config_id, u.sqlstate FROM benchorch.update_many({ids}::bigint[], {tokens}::bigint[], 'completed') AS u
WHERE u.sqlstate IS NOT NULL

-- @complete one
SELECT benchorch.update_status({id}::bigint, 'completed', claim_id => {token}::bigint)

-- @next
SELECT c.config_id AS id, c.claim_id AS token, c.model_version_id, c.hardware_config_id, c.framework_id, c.workload_type,
	c.batch_size, c.sequence_length, c.params, c.priority, c.attempt, c.lease_expires_at
FROM benchorch.claim_next({id}::bigint, {token}::bigint) AS c

-- @store
SELECT m.config_id, m.sqlstate FROM benchorch.complete_many({ids}::bigint[], {tokens}::bigint[], {results}::text[]) AS m
WHERE m.sqlstate IS NOT NULL

-- @settled
SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'completed'

-- @check
SELECT pg_catalog.concat_ws(' ', i.*) FROM benchorch.check_invariants() AS i
