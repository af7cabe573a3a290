/*
 * Results: handing them in, and what their numbers mean.
 *
 * Adapters are data: adapters says where the JSON of which tool has which
 * metric, adapter_signs how a tool is told by its JSON.  Both are filled by
 * seed_adapters(); users may change rows and add tools.
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
		'accuracy', 'noise_rel')),
	preference		int NOT NULL DEFAULT 1,
	path			jsonpath NOT NULL,
	scale			float8 NOT NULL DEFAULT 1 CHECK (scale > 0 AND scale < 'Infinity'),
	method			text[] NOT NULL DEFAULT '{}',
	PRIMARY KEY (adapter, metric, preference)
);
COMMENT ON TABLE benchorch.adapters IS 'Where a tool''s JSON has a canonical metric: the one number at path, times scale (data)';
COMMENT ON COLUMN benchorch.adapters.metric IS 'a column of benchmark_results';
COMMENT ON COLUMN benchorch.adapters.preference IS 'the lowest whose path finds a number is taken';
COMMENT ON COLUMN benchorch.adapters.path IS 'lax jsonpath; finding nothing, more than one value, or no number gives NULL';
COMMENT ON COLUMN benchorch.adapters.scale IS 'from the tool''s unit to the metric''s: 1000 where it prints seconds and the metric is in ms';
COMMENT ON COLUMN benchorch.adapters.method IS
	'tags where the tool''s definition is not the canonical one: metric=definition, or a word that holds for the whole result';

CREATE TABLE benchorch.adapter_signs
(
	adapter			text PRIMARY KEY,
	position		int NOT NULL,
	sign			jsonpath NOT NULL
);
COMMENT ON TABLE benchorch.adapter_signs IS 'How a result whose framework names no adapter is told: the first adapter by position whose sign finds something (data)';

SELECT pg_catalog.pg_extension_config_dump('benchorch.adapters', '');
SELECT pg_catalog.pg_extension_config_dump('benchorch.adapter_signs', '');

/*
 * Adds the rows that are missing.  The first list has one row a tool, the
 * second one a time that is told as mean and percentiles (by the tool's words
 * for mean, p50, p90, p95 and p99, NULL where it has none), the third one a
 * single number.
 */
CREATE FUNCTION benchorch.seed_adapters() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH tool (position, adapter, method, sign) AS (VALUES
		(10, 'benchorch-engine', '{static_batch}', '$ ? (@.tool == "benchorch-engine")'),
		(20, 'llama-bench', '{static_batch}', '$[*] ? (exists(@.n_gen) && exists(@.avg_ts))'),
		(30, 'sglang-one-batch', '{static_batch}', '$ ? (exists(@.prefill_latency) && exists(@.median_decode_latency))'),
		(40, 'sglang-serving', '{}', '$ ? (exists(@.total_output_tokens_retokenized) || exists(@.median_e2e_latency_ms))'),
		(50, 'vllm-serve', '{}', '$ ? (exists(@.total_token_throughput) && exists(@.request_throughput))'),
		(60, 'vllm-throughput', '{}', '$ ? (exists(@.elapsed_time) && exists(@.tokens_per_second))'),
		(70, 'vllm-latency', '{static_batch}', '$ ? (exists(@.avg_latency) && exists(@.percentiles))'),
		(80, 'trtllm-bench', '{}', '$.performance.system_output_throughput_tok_s'),
		(90, 'genai-perf', '{}', '$ ? (exists(@.request_latency.unit) && exists(@.request_throughput.unit))'),
		(100, 'guidellm', '{}', '$.benchmarks[*].metrics.time_to_first_token_ms'),
		(110, 'optimum-benchmark', '{static_batch}', '$ ? (exists(@.prefill.latency.unit) && exists(@.decode.latency.unit))'),
		(120, 'inference-perf', '{}', '$ ? (exists(@.load_summary) && exists(@.successes.latency))'),
		(130, 'llmperf', '{}', '$.results_ttft_s_mean')
	), spread (adapter, metric, scale, method, mean, p50, p90, p95, p99, path, percentile_method) AS (VALUES
		('benchorch-engine', 'ttft', 1, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.ttft_ms.%s', '{}'),
		('benchorch-engine', 'tpot', 1, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.tpot_ms.%s', '{}'),
		('benchorch-engine', 'itl', 1, '{}', 'mean', 'p50', NULL, 'p95', 'p99', '$.itl_ms.%s', '{}'),
		('benchorch-engine', 'e2e', 1, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.e2e_ms.%s', '{}'),
		('sglang-serving', 'ttft', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_ttft_ms', '{}'),
		('sglang-serving', 'tpot', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_tpot_ms', '{}'),
		('sglang-serving', 'itl', 1, '{}', 'mean', 'median', NULL, 'p95', 'p99', '$.%s_itl_ms', '{}'),
		('sglang-serving', 'e2e', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_e2e_latency_ms', '{}'),
		('vllm-serve', 'ttft', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_ttft_ms', '{}'),
		('vllm-serve', 'tpot', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_tpot_ms', '{}'),
		('vllm-serve', 'itl', 1, '{}', 'mean', 'median', NULL, 'p95', 'p99', '$.%s_itl_ms', '{}'),
		('vllm-serve', 'e2e', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_e2el_ms', '{}'),
		('vllm-latency', 'e2e', 1000, '{}', NULL, '50', '90', '95', '99', '$.percentiles."%s"', '{}'),
		/* percentiles of TensorRT-LLM are the sorted value at int(n p), those of GuideLLM a value of the sample */
		('trtllm-bench', 'ttft', 1, '{}', NULL, 'p50', 'p90', 'p95', 'p99', '$.streaming_metrics.ttft_percentiles.%s', '{ttft=nearest_rank}'),
		('trtllm-bench', 'tpot', 1, '{}', NULL, 'p50', 'p90', 'p95', 'p99', '$.streaming_metrics.tpot_percentiles.%s', '{tpot=nearest_rank}'),
		('trtllm-bench', 'e2e', 1, '{}', NULL, 'p50', 'p90', 'p95', 'p99', '$.performance.request_latency_percentiles_ms.%s', '{e2e=nearest_rank}'),
		/* what genai-perf and AIPerf call inter-token latency is (e2e - ttft) / (output tokens - 1) of a request */
		('genai-perf', 'ttft', 1, '{}', 'avg', 'p50', 'p90', 'p95', 'p99', '$.time_to_first_token ? (@.unit == "ms").%s', '{}'),
		('genai-perf', 'tpot', 1, '{}', 'avg', 'p50', 'p90', 'p95', 'p99', '$.inter_token_latency ? (@.unit == "ms").%s', '{}'),
		('genai-perf', 'e2e', 1, '{}', 'avg', 'p50', 'p90', 'p95', 'p99', '$.request_latency ? (@.unit == "ms").%s', '{}'),
		/* GuideLLM's empty groups are zeros: look at their count; its latencies weigh a request by its tokens */
		('guidellm', 'ttft', 1, '{}', 'mean', 'percentiles.p50', 'percentiles.p90', 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.time_to_first_token_ms.successful ? (@.count > 0).%s', '{ttft=nearest_rank}'),
		('guidellm', 'tpot', 1, '{tpot=incl_first}', 'mean', 'percentiles.p50', 'percentiles.p90', 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.time_per_output_token_ms.successful ? (@.count > 0).%s', '{tpot=nearest_rank}'),
		('guidellm', 'itl', 1, '{itl=request_mean}', 'mean', 'percentiles.p50', NULL, 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.inter_token_latency_ms.successful ? (@.count > 0).%s', '{itl=nearest_rank}'),
		('guidellm', 'e2e', 1000, '{}', 'mean', 'percentiles.p50', 'percentiles.p90', 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.request_latency.successful ? (@.count > 0).%s', '{e2e=nearest_rank}'),
		('optimum-benchmark', 'ttft', 1000, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.prefill.latency ? (@.unit == "s").%s', '{}'),
		('optimum-benchmark', 'itl', 1000, '{}', 'mean', 'p50', NULL, 'p95', 'p99', '$.per_token.latency ? (@.unit == "s").%s', '{}'),
		('inference-perf', 'ttft', 1000, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.successes.latency.time_to_first_token.%s', '{}'),
		('inference-perf', 'tpot', 1000, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.successes.latency.time_per_output_token.%s', '{}'),
		('inference-perf', 'itl', 1000, '{}', 'mean', 'median', NULL, 'p95', 'p99', '$.successes.latency.inter_token_latency.%s', '{}'),
		('inference-perf', 'e2e', 1000, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.successes.latency.request_latency.%s', '{}'),
		/* what LLMPerf calls inter-token latency is e2e / output tokens of a request */
		('llmperf', 'ttft', 1000, '{}', 'mean', 'quantiles_p50', 'quantiles_p90', 'quantiles_p95', 'quantiles_p99', '$.results_ttft_s_%s', '{}'),
		('llmperf', 'tpot', 1000, '{tpot=incl_first}', 'mean', 'quantiles_p50', 'quantiles_p90', 'quantiles_p95', 'quantiles_p99', '$.results_inter_token_latency_s_%s', '{}'),
		('llmperf', 'e2e', 1000, '{}', 'mean', 'quantiles_p50', 'quantiles_p90', 'quantiles_p95', 'quantiles_p99', '$.results_end_to_end_latency_s_%s', '{}')
	), single (adapter, metric, preference, scale, method, path) AS (VALUES
		('sglang-serving', 'requests_per_s', 1, 1, '{}', '$.request_throughput'),
		('sglang-serving', 'output_tokens_per_s', 1, 1, '{}', '$.output_throughput'),
		('sglang-serving', 'total_tokens_per_s', 1, 1, '{}', '$.total_throughput'),
		('sglang-serving', 'concurrency_mean', 1, 1, '{}', '$.concurrency'),
		('sglang-serving', 'requests_completed', 1, 1, '{}', '$.completed'),
		('sglang-serving', 'requests_failed', 1, 1, '{}', '$.failed'),
		('sglang-serving', 'requests_failed', 2, 1, '{}', '$.num_prompts - $.completed'),
		('sglang-serving', 'input_tokens', 1, 1, '{}', '$.total_input_tokens'),
		('sglang-serving', 'output_tokens', 1, 1, '{}', '$.total_output_tokens'),
		('sglang-serving', 'duration_s', 1, 1, '{}', '$.duration'),

		('sglang-one-batch', 'ttft_mean_ms', 1, 1000, '{}', '$.prefill_latency'),
		('sglang-one-batch', 'tpot_mean_ms', 1, 1000, '{}', '($.total_latency - $.prefill_latency) / ($.output_len - 1)'),
		('sglang-one-batch', 'itl_p50_ms', 1, 1000, '{}', '$.median_decode_latency'),
		('sglang-one-batch', 'e2e_mean_ms', 1, 1000, '{}', '$.total_latency'),
		('sglang-one-batch', 'total_tokens_per_s', 1, 1, '{}', '$.overall_throughput'),
		('sglang-one-batch', 'requests_completed', 1, 1, '{}', '$.batch_size'),
		('sglang-one-batch', 'input_tokens', 1, 1, '{}', '$.batch_size * $.input_len'),
		('sglang-one-batch', 'output_tokens', 1, 1, '{}', '$.batch_size * $.output_len'),
		('sglang-one-batch', 'duration_s', 1, 1, '{}', '$.total_latency'),

		('vllm-serve', 'requests_per_s', 1, 1, '{}', '$.request_throughput'),
		('vllm-serve', 'output_tokens_per_s', 1, 1, '{}', '$.output_throughput'),
		('vllm-serve', 'total_tokens_per_s', 1, 1, '{}', '$.total_token_throughput'),
		('vllm-serve', 'goodput_per_s', 1, 1, '{}', '$.request_goodput'),
		('vllm-serve', 'goodput_per_s', 2, 1, '{}', '$."request_goodput:"'),
		('vllm-serve', 'requests_completed', 1, 1, '{}', '$.completed'),
		('vllm-serve', 'requests_failed', 1, 1, '{}', '$.failed'),
		('vllm-serve', 'requests_failed', 2, 1, '{}', '$.num_prompts - $.completed'),
		('vllm-serve', 'input_tokens', 1, 1, '{}', '$.total_input_tokens'),
		('vllm-serve', 'output_tokens', 1, 1, '{}', '$.total_output_tokens'),
		('vllm-serve', 'duration_s', 1, 1, '{}', '$.duration'),

		/* its tokens_per_second counts input and output */
		('vllm-throughput', 'requests_per_s', 1, 1, '{}', '$.requests_per_second'),
		('vllm-throughput', 'output_tokens_per_s', 1, 1, '{}', '$.output_tokens_per_second'),
		('vllm-throughput', 'total_tokens_per_s', 1, 1, '{}', '$.tokens_per_second'),
		('vllm-throughput', 'requests_completed', 1, 1, '{}', '$.num_requests'),
		('vllm-throughput', 'input_tokens', 1, 1, '{}', '$.total_input_tokens'),
		('vllm-throughput', 'output_tokens', 1, 1, '{}', '$.total_output_tokens'),
		('vllm-throughput', 'duration_s', 1, 1, '{}', '$.elapsed_time'),

		('vllm-latency', 'e2e_mean_ms', 1, 1000, '{}', '$.avg_latency'),

		('trtllm-bench', 'ttft_mean_ms', 1, 1, '{}', '$.streaming_metrics.avg_ttft_ms'),
		('trtllm-bench', 'tpot_mean_ms', 1, 1, '{}', '$.streaming_metrics.avg_tpot_ms'),
		('trtllm-bench', 'e2e_mean_ms', 1, 1, '{}', '$.performance.avg_request_latency_ms'),
		('trtllm-bench', 'requests_per_s', 1, 1, '{}', '$.performance.request_throughput_req_s'),
		('trtllm-bench', 'output_tokens_per_s', 1, 1, '{}', '$.performance.system_output_throughput_tok_s'),
		('trtllm-bench', 'total_tokens_per_s', 1, 1, '{}', '$.performance.system_total_throughput_tok_s'),
		('trtllm-bench', 'concurrency_mean', 1, 1, '{}', '$.request_info.avg_num_concurrent_requests'),
		('trtllm-bench', 'requests_completed', 1, 1, '{}', '$.request_info.num_requests'),
		('trtllm-bench', 'input_tokens', 1, 1, '{}', '$.request_info.avg_input_length * $.request_info.num_requests'),
		('trtllm-bench', 'output_tokens', 1, 1, '{}', '$.request_info.avg_output_length * $.request_info.num_requests'),
		('trtllm-bench', 'duration_s', 1, 0.001, '{}', '$.performance.total_latency_ms'),
		('trtllm-bench', 'energy_j', 1, 1, '{}', '$.energy.total_energy_j'),

		/* pp: prompt only; tg: generation only, from an empty context; pg: both, which alone is a request */
		('llama-bench', 'ttft_mean_ms', 1, 1e-6, '{ttft=prefill}', '$[*] ? (@.n_prompt > 0 && @.n_gen == 0).avg_ns'),
		('llama-bench', 'tpot_mean_ms', 1, 1e-6, '{tpot=decode_only}',
			'$[*] ? (@.n_prompt == 0 && @.n_gen > 0).avg_ns / $[*] ? (@.n_prompt == 0 && @.n_gen > 0).n_gen'),
		('llama-bench', 'e2e_mean_ms', 1, 1e-6, '{}', '$[*] ? (@.n_prompt > 0 && @.n_gen > 0).avg_ns'),
		('llama-bench', 'output_tokens_per_s', 1, 1e9, '{}',
			'$[*] ? (@.n_prompt > 0 && @.n_gen > 0).n_gen / $[*] ? (@.n_prompt > 0 && @.n_gen > 0).avg_ns'),
		('llama-bench', 'output_tokens_per_s', 2, 1, '{output=decode_only}', '$[*] ? (@.n_prompt == 0 && @.n_gen > 0).avg_ts'),
		('llama-bench', 'total_tokens_per_s', 1, 1, '{}', '$[*] ? (@.n_prompt > 0 && @.n_gen > 0).avg_ts'),
		('llama-bench', 'noise_rel', 1, 1, '{noise=stddev}',
			'$[*] ? (@.n_prompt == 0 && @.n_gen > 0).stddev_ts / $[*] ? (@.n_prompt == 0 && @.n_gen > 0).avg_ts'),

		('genai-perf', 'requests_per_s', 1, 1, '{}', '$.request_throughput.avg'),
		('genai-perf', 'output_tokens_per_s', 1, 1, '{}', '$.output_token_throughput.avg'),
		('genai-perf', 'total_tokens_per_s', 1, 1, '{}', '$.total_token_throughput.avg'),
		('genai-perf', 'goodput_per_s', 1, 1, '{}', '$.goodput.avg'),
		('genai-perf', 'requests_completed', 1, 1, '{}', '$.request_count.avg'),
		('genai-perf', 'requests_failed', 1, 1, '{}', '$.error_request_count.avg'),
		('genai-perf', 'input_tokens', 1, 1, '{}', '$.input_sequence_length.avg * $.request_count.avg'),
		('genai-perf', 'output_tokens', 1, 1, '{}', '$.output_sequence_length.avg * $.request_count.avg'),
		('genai-perf', 'duration_s', 1, 1, '{}', '$.benchmark_duration ? (@.unit == "sec").avg'),

		('guidellm', 'requests_per_s', 1, 1, '{}', '$.benchmarks[*].metrics.requests_per_second.successful ? (@.count > 0).mean'),
		('guidellm', 'concurrency_mean', 1, 1, '{}', '$.benchmarks[*].metrics.request_concurrency.successful ? (@.count > 0).mean'),
		('guidellm', 'requests_completed', 1, 1, '{}', '$.benchmarks[*].metrics.request_totals.successful'),
		('guidellm', 'requests_failed', 1, 1, '{}', '$.benchmarks[*].metrics.request_totals.errored'),
		('guidellm', 'input_tokens', 1, 1, '{}', '$.benchmarks[*].metrics.prompt_token_count.successful ? (@.count > 0).total_sum'),
		('guidellm', 'output_tokens', 1, 1, '{}', '$.benchmarks[*].metrics.output_token_count.successful ? (@.count > 0).total_sum'),
		/* its sums leave out what it trims as warm-up, its duration does not */
		('guidellm', 'duration_s', 1, 1, '{}', '$.benchmarks[*] ? (@.warmup_duration == 0 && @.cooldown_duration == 0).duration'),

		('optimum-benchmark', 'e2e_mean_ms', 1, 1000, '{}',
			'$.prefill.latency ? (@.unit == "s").mean + $.decode.latency ? (@.unit == "s").mean'),
		('optimum-benchmark', 'output_tokens_per_s', 1, 1, '{output=decode_only}', '$.decode.throughput ? (@.unit == "tokens/s").value'),
		('optimum-benchmark', 'gpu_memory_peak_bytes', 1, 1e6, '{}', '$.decode.memory ? (@.unit == "MB").max_global_vram'),
		('optimum-benchmark', 'host_memory_peak_bytes', 1, 1e6, '{}', '$.decode.memory ? (@.unit == "MB").max_ram'),
		('optimum-benchmark', 'noise_rel', 1, 1, '{noise=stddev}', '$.decode.latency.stdev / $.decode.latency.mean'),

		('inference-perf', 'requests_per_s', 1, 1, '{}', '$.successes.throughput.requests_per_sec'),
		('inference-perf', 'output_tokens_per_s', 1, 1, '{}', '$.successes.throughput.output_tokens_per_sec'),
		('inference-perf', 'total_tokens_per_s', 1, 1, '{}', '$.successes.throughput.total_tokens_per_sec'),
		('inference-perf', 'requests_completed', 1, 1, '{}', '$.successes.count'),
		('inference-perf', 'requests_failed', 1, 1, '{}', '$.failures.count'),
		('inference-perf', 'input_tokens', 1, 1, '{}', '$.successes.prompt_len.mean * $.successes.count'),
		('inference-perf', 'output_tokens', 1, 1, '{}', '$.successes.output_len.mean * $.successes.count'),

		('llmperf', 'requests_per_s', 1, 1.0 / 60, '{}', '$.results_num_completed_requests_per_min'),
		('llmperf', 'output_tokens_per_s', 1, 1, '{}', '$.results_mean_output_throughput_token_per_s'),
		('llmperf', 'requests_completed', 1, 1, '{}', '$.results_num_completed_requests'),
		('llmperf', 'requests_failed', 1, 1, '{}', '$.results_number_errors'),
		('llmperf', 'input_tokens', 1, 1, '{}', '$.results_number_input_tokens_mean * $.results_num_completed_requests'),
		('llmperf', 'output_tokens', 1, 1, '{}', '$.results_number_output_tokens_mean * $.results_num_completed_requests')
	), own (metric) AS (
		/* benchorch-engine says them in our words */
		SELECT unnest(ARRAY['requests_per_s', 'output_tokens_per_s', 'total_tokens_per_s', 'concurrency_mean',
			'requests_completed', 'requests_failed', 'input_tokens', 'output_tokens', 'duration_s', 'gpu_memory_peak_bytes',
			'host_memory_peak_bytes', 'energy_j', 'roofline_prefill', 'roofline_decode', 'roofline_prefill_measured',
			'roofline_decode_measured', 'noise_rel'])
	), signs AS (
		INSERT INTO benchorch.adapter_signs (adapter, position, sign)
		SELECT adapter, position, sign::jsonpath FROM tool
		ON CONFLICT DO NOTHING
	)
	INSERT INTO benchorch.adapters (adapter, metric, preference, path, scale, method)
	SELECT r.adapter, r.metric, r.preference, r.path::jsonpath, r.scale, r.method || tool.method::text[]
	FROM (
		SELECT s.adapter, s.metric || '_' || k.statistic || '_ms' AS metric, 1 AS preference, format(s.path, k.word) AS path, s.scale,
			s.method::text[] || CASE WHEN k.statistic <> 'mean' THEN s.percentile_method::text[] END AS method
		FROM spread AS s, LATERAL (VALUES ('mean', s.mean), ('p50', s.p50), ('p90', s.p90), ('p95', s.p95), ('p99', s.p99))
			AS k (statistic, word)
		WHERE k.word IS NOT NULL
		UNION ALL
		SELECT adapter, metric, preference, path, scale, method::text[] FROM single
		UNION ALL
		SELECT 'benchorch-engine', metric, 1, '$.' || metric, 1, '{}' FROM own
	) AS r JOIN tool ON tool.adapter = r.adapter
	ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION benchorch.seed_adapters() IS
	'Adds the known adapters'' rows that are missing; rows that exist are never changed. Part of seed_reference_data()';

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
	OUT method text[], OUT flags jsonb) RETURNS record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_normalize_sql';
COMMENT ON FUNCTION benchorch.normalize(text, jsonb) IS
	'What an adapter reads from a tool''s JSON: the canonical metrics (units in the names, NULL where the tool does not say), the tags of its own definitions, and the checks that failed. Errors: 22023 NULL, 42704 unknown adapter; none for what the JSON holds';

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

CREATE TYPE benchorch.given_result AS
(
	ttft_mean_ms float8, ttft_p50_ms float8, ttft_p90_ms float8, ttft_p95_ms float8, ttft_p99_ms float8,
	tpot_mean_ms float8, tpot_p50_ms float8, tpot_p90_ms float8, tpot_p95_ms float8, tpot_p99_ms float8,
	itl_mean_ms float8, itl_p50_ms float8, itl_p95_ms float8, itl_p99_ms float8,
	e2e_mean_ms float8, e2e_p50_ms float8, e2e_p90_ms float8, e2e_p95_ms float8, e2e_p99_ms float8,
	requests_per_s float8, output_tokens_per_s float8, total_tokens_per_s float8, goodput_per_s float8, concurrency_mean float8,
	requests_completed bigint, requests_failed bigint, input_tokens bigint, output_tokens bigint,
	duration_s float8, gpu_memory_peak_bytes bigint, host_memory_peak_bytes bigint, energy_j float8,
	roofline_prefill float8, roofline_decode float8, roofline_prefill_measured float8, roofline_decode_measured float8,
	accuracy float8, noise_rel float8,
	config_id bigint, claim_id bigint, accepted boolean, model_version_id uuid, worker_id uuid, adapter text,
	method text[], flags jsonb, parsed jsonb, raw bytea, log bytea, environment jsonb, details jsonb
);
COMMENT ON TYPE benchorch.given_result IS 'A result on its way into benchmark_results; internal';

CREATE FUNCTION benchorch.given_results() RETURNS SETOF benchorch.given_result
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'benchorch_given_results';
COMMENT ON FUNCTION benchorch.given_results() IS 'The results that a call has at hand, as rows; internal';

CREATE FUNCTION benchorch.hand_in(config_id bigint, claim_id bigint, outcome text, output bytea, log bytea DEFAULT NULL,
	details jsonb DEFAULT NULL, OUT accepted boolean, OUT status text, OUT result_id bigint) RETURNS record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_hand_in';
COMMENT ON FUNCTION benchorch.hand_in(bigint, bigint, text, bytea, bytea, jsonb) IS
	'Settles a claimed config with what its benchmark printed, as it is: outcome ok stores the result in output and completes, output that is none ends the attempt as bad_output, any other outcome ends the attempt. accepted: the claim held the config; if not, nothing is raised, a result is kept as unaccepted, and status is what the config has (NULL: it is gone). Repeated, it answers the same. details: a JSON object; argv, exit_code, signal and message are read from a failure''s, environment from a result''s. Errors: 22023';

CREATE FUNCTION benchorch.hand_in_many(config_ids bigint[], claim_ids bigint[], outcomes text[], outputs bytea[],
	logs bytea[] DEFAULT NULL, details jsonb[] DEFAULT NULL,
	OUT config_id bigint, OUT result_id bigint, OUT sqlstate text, OUT message text) RETURNS SETOF record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_hand_in_many';
COMMENT ON FUNCTION benchorch.hand_in_many(bigint[], bigint[], text[], bytea[], bytea[], jsonb[]) IS
	'hand_in for many configs in one transaction: a row each, in the order given; sqlstate and message are NULL where it was accepted, BO001 where the claim held the config no longer (a result is kept as unaccepted), 22P02 where the output was no result (the attempt has ended), 22023 where an argument was wrong (nothing was done)';

CREATE FUNCTION benchorch.complete(config_id bigint, claim_id bigint, result jsonb, adapter text DEFAULT NULL,
	environment jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_complete';
COMMENT ON FUNCTION benchorch.complete(bigint, bigint, jsonb, text, jsonb) IS
	'Stores a result with its metrics, completes the config and returns the result''s id; the same call twice returns the same id. adapter: the framework''s, or a guess, where NULL. Errors: 22023 NULL, no JSON object, or not one request completed; 42704 unknown adapter; BO001 the claim is no longer current or the config is gone';

CREATE FUNCTION benchorch.complete_many(config_ids bigint[], claim_ids bigint[], results text[],
	environment jsonb DEFAULT NULL,
	OUT config_id bigint, OUT result_id bigint, OUT sqlstate text, OUT message text) RETURNS SETOF record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_complete_many';
COMMENT ON FUNCTION benchorch.complete_many(bigint[], bigint[], text[], jsonb) IS
	'complete for many configs in one transaction: a row each, in the order given; sqlstate and message are NULL where it was done, and a refused one (BO001, 22P02 no JSON, 22023 no object) spoils none of the others and stays as it was';
