/*
 * Adapters: what the numbers of a tool's output are called here.
 *
 * Adapters are data.  adapters says where the JSON of which tool has which
 * metric or fact, adapter_signs how a tool is told by its JSON.  Both are
 * filled by seed_adapters() (tools.sql); users may change rows and add tools.
 *
 * A metric is a column of benchmark_results.  A fact is what the tool says
 * about what it ran (model, precision, parallelism ...); facts are kept
 * together in the column reported, and the checks compare them with what was
 * asked.
 */

CREATE TABLE benchorch.adapters
(
	adapter			text NOT NULL,
	metric			text NOT NULL CHECK (metric IN (
		'ttft_mean_ms', 'ttft_p50_ms', 'ttft_p90_ms', 'ttft_p95_ms', 'ttft_p99_ms',
		'tpot_mean_ms', 'tpot_p50_ms', 'tpot_p90_ms', 'tpot_p95_ms', 'tpot_p99_ms',
		'itl_mean_ms', 'itl_p50_ms', 'itl_p95_ms', 'itl_p99_ms',
		'e2e_mean_ms', 'e2e_p50_ms', 'e2e_p90_ms', 'e2e_p95_ms', 'e2e_p99_ms',
		'requests_per_s', 'output_tokens_per_s', 'total_tokens_per_s', 'goodput_per_s', 'concurrency_mean',
		'requests_completed', 'requests_failed', 'input_tokens', 'output_tokens',
		'duration_s', 'gpu_memory_peak_bytes', 'host_memory_peak_bytes', 'energy_j',
		'roofline_prefill', 'roofline_decode', 'roofline_prefill_measured', 'roofline_decode_measured',
		'accuracy', 'noise_rel',
		/* facts */
		'tool_version', 'model', 'precision', 'kv_cache_dtype', 'dataset', 'validity', 'speculative', 'prefix_caching',
		'acceptance_length', 'tensor_parallel', 'pipeline_parallel', 'data_parallel', 'gpus', 'batch_size',
		'input_tokens_mean', 'output_tokens_mean', 'decode_context', 'total_tokens', 'weight_bytes', 'throttled_share')),
	preference		int NOT NULL DEFAULT 1,
	path			jsonpath NOT NULL,
	scale			float8 NOT NULL DEFAULT 1 CHECK (scale > 0 AND scale < 'Infinity'),
	method			text[] NOT NULL DEFAULT '{}',
	min_version		text,
	max_version		text,
	PRIMARY KEY (adapter, metric, preference)
);
COMMENT ON TABLE benchorch.adapters IS 'Where a tool''s JSON has a canonical metric or fact: the one value at path, times scale (data)';
COMMENT ON COLUMN benchorch.adapters.metric IS 'a column of benchmark_results, or a fact, which becomes a key of its column reported; docs/results.md lists both';
COMMENT ON COLUMN benchorch.adapters.preference IS 'the lowest whose path finds a value is taken';
COMMENT ON COLUMN benchorch.adapters.path IS 'lax jsonpath; finding nothing, more than one value, or for a metric no number gives NULL';
COMMENT ON COLUMN benchorch.adapters.scale IS 'from the tool''s unit to the metric''s: 1000 where it prints seconds and the metric is in ms';
COMMENT ON COLUMN benchorch.adapters.method IS
	'tags where the tool''s definition is not the canonical one: metric=definition, or a word that holds for the whole result';
COMMENT ON COLUMN benchorch.adapters.min_version IS
	'the row holds from this version of the tool on (its numbers compared one by one: 0.9 < 0.10); NULL, or a tool that does not tell its version: always';
COMMENT ON COLUMN benchorch.adapters.max_version IS 'the row holds up to this version of the tool, it included (1.2 includes 1.2.3)';

CREATE TABLE benchorch.adapter_signs
(
	adapter			text PRIMARY KEY,
	position		int NOT NULL,
	sign			jsonpath NOT NULL,
	lines			boolean NOT NULL DEFAULT false
);
COMMENT ON TABLE benchorch.adapter_signs IS 'How a result whose framework names no adapter is told: the first adapter by position whose sign finds something (data)';
COMMENT ON COLUMN benchorch.adapter_signs.lines IS
	'its lines of JSON belong together and are read as one array; false: of several lines the last one is the result';

CREATE TABLE benchorch.request_fields
(
	adapter			text NOT NULL,
	field			text NOT NULL CHECK (field IN ('requests', 'start_s', 'ttft_s', 'e2e_s', 'itl_s', 'input_tokens', 'output_tokens',
		'failed', 'duration_s')),
	path			jsonpath NOT NULL,
	scale			float8 NOT NULL DEFAULT 1 CHECK (scale > 0 AND scale < 'Infinity'),
	PRIMARY KEY (adapter, field)
);
COMMENT ON TABLE benchorch.request_fields IS
	'Where a tool''s JSON has its single requests, so that metrics that it does not print are computed from them (data)';
COMMENT ON COLUMN benchorch.request_fields.field IS
	'requests: path finds each request, and the other paths look inside of it; without that row each path finds one value for each request. itl_s: finds its gaps. failed: finds true, a text, a number other than 0, or an object where it failed. duration_s looks at the whole document';

SELECT pg_catalog.pg_extension_config_dump('benchorch.adapters', '');
SELECT pg_catalog.pg_extension_config_dump('benchorch.adapter_signs', '');
SELECT pg_catalog.pg_extension_config_dump('benchorch.request_fields', '');

CREATE FUNCTION benchorch.normalize(adapter text, raw jsonb,
	OUT ttft_mean_ms float8, OUT ttft_p50_ms float8, OUT ttft_p90_ms float8, OUT ttft_p95_ms float8, OUT ttft_p99_ms float8,
	OUT tpot_mean_ms float8, OUT tpot_p50_ms float8, OUT tpot_p90_ms float8, OUT tpot_p95_ms float8, OUT tpot_p99_ms float8,
	OUT itl_mean_ms float8, OUT itl_p50_ms float8, OUT itl_p95_ms float8, OUT itl_p99_ms float8,
	OUT e2e_mean_ms float8, OUT e2e_p50_ms float8, OUT e2e_p90_ms float8, OUT e2e_p95_ms float8, OUT e2e_p99_ms float8,
	OUT requests_per_s float8, OUT output_tokens_per_s float8, OUT total_tokens_per_s float8, OUT goodput_per_s float8, OUT concurrency_mean float8,
	OUT requests_completed bigint, OUT requests_failed bigint, OUT input_tokens bigint, OUT output_tokens bigint,
	OUT duration_s float8, OUT gpu_memory_peak_bytes bigint, OUT host_memory_peak_bytes bigint, OUT energy_j float8,
	OUT roofline_prefill float8, OUT roofline_decode float8, OUT roofline_prefill_measured float8, OUT roofline_decode_measured float8,
	OUT accuracy float8, OUT noise_rel float8,
	OUT method text[], OUT flags jsonb, OUT reported jsonb) RETURNS record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_normalize_sql';
COMMENT ON FUNCTION benchorch.normalize(text, jsonb) IS
	'What an adapter reads from a tool''s JSON: the canonical metrics (units in the names, NULL where the tool does not say), the tags of its own definitions, the checks that failed of those that look at nothing but the result, and the facts that it reports. Errors: 22023 NULL, 42704 unknown adapter; none for what the JSON holds';

CREATE FUNCTION benchorch.guess_adapter(raw jsonb) RETURNS text
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_guess_adapter_sql';
COMMENT ON FUNCTION benchorch.guess_adapter(jsonb) IS
	'The adapter for a tool''s JSON by adapter_signs; NULL where no sign fits. Errors: 22023 NULL';

CREATE FUNCTION benchorch.metric_names() RETURNS TABLE (metric text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT a.name
	FROM pg_proc AS p, unnest(p.proargnames, p.proargmodes, p.proallargtypes) WITH ORDINALITY AS a (name, mode, type, position)
	WHERE p.oid = 'benchorch.normalize(text, jsonb)'::regprocedure AND a.mode = 'o' AND a.type IN ('float8'::regtype, 'bigint'::regtype)
	ORDER BY a.position
$$;
COMMENT ON FUNCTION benchorch.metric_names() IS 'The canonical metrics in their order: the columns of benchmark_results that an adapter may fill';
