-- benchorch, claims of registered workers: one lane at a time.

-- @like benchorch

-- @client
SELECT benchorch.register_worker('worker ' || {client}::text, 'bench', '{vLLM, SGLang, TensorRT-LLM}')

-- @claim
SELECT c.config_id AS id, c.claim_id AS token, c.model_version_id, c.hardware_config_id, c.framework_id, c.workload_type,
	c.batch_size, c.sequence_length, c.params, c.priority, c.attempt, c.lease_expires_at
FROM benchorch.claim_batch({batch}::int, 1000, {worker}::uuid) AS c

-- @claim unflushed
SELECT c.config_id AS id, c.claim_id AS token, c.model_version_id, c.hardware_config_id, c.framework_id, c.workload_type,
	c.batch_size, c.sequence_length, c.params, c.priority, c.attempt, c.lease_expires_at
FROM pg_catalog.set_config('synchronous_commit', 'off', true) AS unflushed,
	benchorch.claim_batch({batch}::int, 1000, {worker}::uuid) AS c

-- @next
SELECT c.config_id AS id, c.claim_id AS token, c.model_version_id, c.hardware_config_id, c.framework_id, c.workload_type,
	c.batch_size, c.sequence_length, c.params, c.priority, c.attempt, c.lease_expires_at
FROM benchorch.claim_next({id}::bigint, {token}::bigint, 1000, {worker}::uuid) AS c
