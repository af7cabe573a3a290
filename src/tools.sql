/*
 * The tools that are known: where the output of each has which metric.
 *
 * Nothing but rows; docs/results.md says where a tool's definitions are its
 * own.  A key that only some versions of a tool write is a further row with
 * a preference, since a path that finds nothing does no harm.
 */

/*
 * Adds the rows that are missing.  The first list has one row a tool, the
 * second one a time that is told as mean and percentiles (by the tool's words
 * for mean, p50, p90, p95 and p99, NULL where it has none), the third one a
 * single number or fact, the last one where its single requests stand.
 */
CREATE FUNCTION benchorch.seed_adapters() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	WITH tool (position, adapter, method, sign, lines) AS (VALUES
		(10, 'benchorch-engine', '{static_batch}', '$ ? (@.tool == "benchorch-engine")', false),
		(15, 'mlperf', '{}', '$.mlperf', false),
		(20, 'llama-bench', '{static_batch}', '$[*] ? (exists(@.n_gen) && exists(@.avg_ts))', true),
		(30, 'sglang-one-batch', '{static_batch}', '$ ? (exists(@.batch_size) && exists(@.overall_throughput) && exists(@.input_len))', false),
		(40, 'sglang-serving', '{}', '$ ? (exists(@.total_output_tokens_retokenized) || exists(@.median_e2e_latency_ms))', false),
		(50, 'vllm-serve', '{}', '$ ? (exists(@.total_token_throughput) && exists(@.request_throughput))', false),
		(60, 'vllm-throughput', '{}', '$ ? (exists(@.elapsed_time) && exists(@.tokens_per_second))', false),
		(70, 'vllm-latency', '{static_batch}', '$ ? (exists(@.avg_latency) && exists(@.percentiles))', false),
		(80, 'trtllm-bench', '{}', '$.performance.system_output_throughput_tok_s', false),
		(90, 'genai-perf', '{}', '$ ? (exists(@.request_latency.unit) && exists(@.request_throughput.unit))', false),
		(95, 'aiperf-requests', '{}', '$[*] ? (exists(@.metadata) && exists(@.metrics.request_latency))', true),
		(100, 'guidellm', '{}', '$.benchmarks[*].metrics.time_to_first_token_ms', false),
		(110, 'optimum-benchmark', '{static_batch}', '$ ? ((exists(@.prefill.latency.mean) && exists(@.decode.latency.mean)) || exists(@.report.prefill.latency.mean))', false),
		(120, 'inference-perf', '{}', '$ ? (exists(@.load_summary) && exists(@.successes.latency))', false),
		(125, 'inference-perf-requests', '{}', '$[*] ? (exists(@.info.output_token_times) && exists(@.start_time))', false),
		(130, 'llmperf', '{}', '$.results_ttft_s_mean', false),
		(135, 'llmperf-requests', '{}', '$[*] ? (exists(@.ttft_s) && exists(@.end_to_end_latency_s) && exists(@.number_output_tokens))', true),
		(140, 'inferencex', '{}', '$ ? (exists(@.tput_per_gpu) && exists(@.isl))', false),
		(900, 'requests', '{}', '$ ? (exists(@.requests[*].ttft_s) || exists(@.requests[*].e2e_s))', false),
		(905, 'canonical-batch', '{static_batch}', '$ ? (@.static_batch == true)', false),
		(910, 'canonical', '{}', '$ ? (exists(@.output_tokens_per_s) || exists(@.total_tokens_per_s) || exists(@.ttft_mean_ms) || exists(@.ttft_p50_ms)
			|| exists(@.tpot_mean_ms) || exists(@.tpot_p50_ms) || exists(@.e2e_mean_ms) || exists(@.e2e_p50_ms) || exists(@.requests_per_s))', false)
	), spread (adapter, preference, metric, scale, method, mean, p50, p90, p95, p99, path, percentile_method) AS (VALUES
		('benchorch-engine', 1, 'ttft', 1, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.ttft_ms.%s', '{}'),
		('benchorch-engine', 1, 'tpot', 1, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.tpot_ms.%s', '{}'),
		('benchorch-engine', 1, 'itl', 1, '{}', 'mean', 'p50', NULL, 'p95', 'p99', '$.itl_ms.%s', '{}'),
		('benchorch-engine', 1, 'e2e', 1, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.e2e_ms.%s', '{}'),

		('sglang-serving', 1, 'ttft', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_ttft_ms', '{}'),
		('sglang-serving', 1, 'tpot', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_tpot_ms', '{}'),
		('sglang-serving', 1, 'itl', 1, '{}', 'mean', 'median', NULL, 'p95', 'p99', '$.%s_itl_ms', '{}'),
		('sglang-serving', 1, 'e2e', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_e2e_latency_ms', '{}'),

		('vllm-serve', 1, 'ttft', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_ttft_ms', '{}'),
		('vllm-serve', 1, 'tpot', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_tpot_ms', '{}'),
		('vllm-serve', 1, 'itl', 1, '{}', 'mean', 'median', NULL, 'p95', 'p99', '$.%s_itl_ms', '{}'),
		('vllm-serve', 1, 'e2e', 1, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.%s_e2el_ms', '{}'),

		('vllm-latency', 1, 'e2e', 1000, '{}', NULL, '50', '90', '95', '99', '$.percentiles."%s"', '{}'),

		/* percentiles of TensorRT-LLM are the sorted value at int(n p), those of GuideLLM a value of the sample */
		('trtllm-bench', 1, 'ttft', 1, '{}', NULL, 'p50', 'p90', 'p95', 'p99', '$.streaming_metrics.ttft_percentiles.%s', '{ttft=nearest_rank}'),
		('trtllm-bench', 1, 'tpot', 1, '{}', NULL, 'p50', 'p90', 'p95', 'p99', '$.streaming_metrics.tpot_percentiles.%s', '{tpot=nearest_rank}'),
		('trtllm-bench', 1, 'e2e', 1, '{}', NULL, 'p50', 'p90', 'p95', 'p99', '$.performance.request_latency_percentiles_ms.%s', '{e2e=nearest_rank}'),

		/* what genai-perf and AIPerf call inter-token latency is (e2e - ttft) / (output tokens - 1) of a request */
		('genai-perf', 1, 'ttft', 1, '{}', 'avg', 'p50', 'p90', 'p95', 'p99', '$.time_to_first_token ? (@.unit == "ms").%s', '{}'),
		('genai-perf', 1, 'tpot', 1, '{}', 'avg', 'p50', 'p90', 'p95', 'p99', '$.inter_token_latency ? (@.unit == "ms").%s', '{}'),
		('genai-perf', 1, 'e2e', 1, '{}', 'avg', 'p50', 'p90', 'p95', 'p99', '$.request_latency ? (@.unit == "ms").%s', '{}'),

		/* GuideLLM's empty groups are zeros: look at their count; its latencies weigh a request by its tokens */
		('guidellm', 1, 'ttft', 1, '{}', 'mean', 'percentiles.p50', 'percentiles.p90', 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.time_to_first_token_ms.successful ? (@.count > 0).%s', '{ttft=nearest_rank}'),
		('guidellm', 1, 'tpot', 1, '{tpot=incl_first}', 'mean', 'percentiles.p50', 'percentiles.p90', 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.time_per_output_token_ms.successful ? (@.count > 0).%s', '{tpot=nearest_rank}'),
		('guidellm', 1, 'itl', 1, '{itl=request_mean}', 'mean', 'percentiles.p50', NULL, 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.inter_token_latency_ms.successful ? (@.count > 0).%s', '{itl=nearest_rank}'),
		('guidellm', 1, 'e2e', 1000, '{}', 'mean', 'percentiles.p50', 'percentiles.p90', 'percentiles.p95', 'percentiles.p99',
			'$.benchmarks[*].metrics.request_latency.successful ? (@.count > 0).%s', '{e2e=nearest_rank}'),

		/* benchmark_report.json, and the report inside of benchmark.json; rows of a table have no unit beside the number */
		('optimum-benchmark', 1, 'ttft', 1000, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.prefill.latency ? (!exists(@.unit) || @.unit == "s").%s', '{}'),
		('optimum-benchmark', 1, 'itl', 1000, '{}', 'mean', 'p50', NULL, 'p95', 'p99', '$.per_token.latency ? (!exists(@.unit) || @.unit == "s").%s', '{}'),
		('optimum-benchmark', 2, 'ttft', 1000, '{}', 'mean', 'p50', 'p90', 'p95', 'p99', '$.report.prefill.latency ? (!exists(@.unit) || @.unit == "s").%s', '{}'),
		('optimum-benchmark', 2, 'itl', 1000, '{}', 'mean', 'p50', NULL, 'p95', 'p99', '$.report.per_token.latency ? (!exists(@.unit) || @.unit == "s").%s', '{}'),

		('inference-perf', 1, 'ttft', 1000, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.successes.latency.time_to_first_token.%s', '{}'),
		('inference-perf', 1, 'tpot', 1000, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.successes.latency.time_per_output_token.%s', '{}'),
		('inference-perf', 1, 'itl', 1000, '{}', 'mean', 'median', NULL, 'p95', 'p99', '$.successes.latency.inter_token_latency.%s', '{}'),
		('inference-perf', 1, 'e2e', 1000, '{}', 'mean', 'median', 'p90', 'p95', 'p99', '$.successes.latency.request_latency.%s', '{}'),

		/* what LLMPerf calls inter-token latency is e2e / output tokens of a request */
		('llmperf', 1, 'ttft', 1000, '{}', 'mean', 'quantiles_p50', 'quantiles_p90', 'quantiles_p95', 'quantiles_p99', '$.results_ttft_s_%s', '{}'),
		('llmperf', 1, 'tpot', 1000, '{tpot=incl_first}', 'mean', 'quantiles_p50', 'quantiles_p90', 'quantiles_p95', 'quantiles_p99', '$.results_inter_token_latency_s_%s', '{}'),
		('llmperf', 1, 'e2e', 1000, '{}', 'mean', 'quantiles_p50', 'quantiles_p90', 'quantiles_p95', 'quantiles_p99', '$.results_end_to_end_latency_s_%s', '{}'),

		/* seconds; the words of its script before and after they were turned around */
		('inferencex', 1, 'ttft', 1000, '{}', 'mean_ttft', 'median_ttft', 'p90_ttft', 'p95_ttft', 'p99_ttft', '$.%s', '{}'),
		('inferencex', 1, 'tpot', 1000, '{}', 'mean_tpot', 'median_tpot', 'p90_tpot', 'p95_tpot', 'p99_tpot', '$.%s', '{}'),
		('inferencex', 1, 'itl', 1000, '{}', 'mean_itl', 'median_itl', NULL, 'p95_itl', 'p99_itl', '$.%s', '{}'),
		('inferencex', 1, 'e2e', 1000, '{}', 'mean_e2el', 'median_e2el', 'p90_e2el', 'p95_e2el', 'p99_e2el', '$.%s', '{}'),
		('inferencex', 2, 'ttft', 1000, '{}', 'ttft_mean', 'ttft_p50', 'ttft_p90', 'ttft_p95', 'ttft_p99', '$.%s', '{}'),
		('inferencex', 2, 'tpot', 1000, '{}', 'tpot_mean', 'tpot_p50', 'tpot_p90', 'tpot_p95', 'tpot_p99', '$.%s', '{}'),
		('inferencex', 2, 'itl', 1000, '{}', 'itl_mean', 'itl_p50', NULL, 'itl_p95', 'itl_p99', '$.%s', '{}'),
		('inferencex', 2, 'e2e', 1000, '{}', 'e2e_latency_mean', 'e2e_latency_p50', 'e2e_latency_p90', 'e2e_latency_p95', 'e2e_latency_p99', '$.%s', '{}'),

		/* nanoseconds; percentiles are the sorted value at n p */
		('mlperf', 1, 'ttft', 1e-6, '{}', 'Mean First Token latency (ns)', '50.00 percentile first token latency (ns)', '90.00 percentile first token latency (ns)',
			'95.00 percentile first token latency (ns)', '99.00 percentile first token latency (ns)', '$.mlperf."%s"', '{ttft=nearest_rank}'),
		('mlperf', 1, 'tpot', 1e-6, '{}', 'Mean Time to Output Token (ns)', '50.00 percentile time to output token (ns)', '90.00 percentile time to output token (ns)',
			'95.00 percentile time to output token (ns)', '99.00 percentile time to output token (ns)', '$.mlperf."%s"', '{tpot=nearest_rank}'),
		('mlperf', 1, 'e2e', 1e-6, '{}', 'Mean latency (ns)', '50.00 percentile latency (ns)', '90.00 percentile latency (ns)',
			'95.00 percentile latency (ns)', '99.00 percentile latency (ns)', '$.mlperf."%s"', '{e2e=nearest_rank}'),
		('mlperf', 2, 'ttft', 1e-6, '{}', 'result_first_token_mean_latency_ns', 'result_first_token_50.00_percentile_latency_ns', 'result_first_token_90.00_percentile_latency_ns',
			'result_first_token_95.00_percentile_latency_ns', 'result_first_token_99.00_percentile_latency_ns', '$.mlperf."%s"', '{ttft=nearest_rank}'),
		('mlperf', 2, 'e2e', 1e-6, '{}', 'result_mean_latency_ns', 'result_50.00_percentile_latency_ns', 'result_90.00_percentile_latency_ns',
			'result_95.00_percentile_latency_ns', 'result_99.00_percentile_latency_ns', '$.mlperf."%s"', '{e2e=nearest_rank}')
	), single (adapter, metric, preference, scale, method, path) AS (VALUES
		('benchorch-engine', 'tool_version', 1, 1, '{}', '$.version'),
		('benchorch-engine', 'model', 1, 1, '{}', '$.model'),
		('benchorch-engine', 'precision', 1, 1, '{}', '$.precision'),
		('benchorch-engine', 'batch_size', 1, 1, '{}', '$.batch_size'),
		('benchorch-engine', 'input_tokens_mean', 1, 1, '{}', '$.input_tokens_per_request'),
		('benchorch-engine', 'output_tokens_mean', 1, 1, '{}', '$.output_tokens_per_request'),
		('benchorch-engine', 'tensor_parallel', 1, 1, '{}', '$.tensor_parallel'),
		('benchorch-engine', 'accuracy', 1, 1, '{}', '$.accuracy'),
		('benchorch-engine', 'throttled_share', 1, 1, '{}', '$.throttled_share'),

		('sglang-serving', 'requests_per_s', 1, 1, '{}', '$.request_throughput'),
		('sglang-serving', 'output_tokens_per_s', 1, 1, '{}', '$.output_throughput'),
		('sglang-serving', 'total_tokens_per_s', 1, 1, '{}', '$.total_throughput'),
		('sglang-serving', 'concurrency_mean', 1, 1, '{}', '$.concurrency'),
		('sglang-serving', 'requests_completed', 1, 1, '{}', '$.completed'),
		('sglang-serving', 'requests_failed', 1, 1, '{}', '$.failed'),
		('sglang-serving', 'requests_failed', 2, 1, '{}', '$ ? (@.completed >= 0).num_prompts - $.completed'),
		('sglang-serving', 'input_tokens', 1, 1, '{}', '$.total_input_tokens'),
		('sglang-serving', 'output_tokens', 1, 1, '{}', '$.total_output_tokens'),
		('sglang-serving', 'duration_s', 1, 1, '{}', '$.duration'),
		('sglang-serving', 'dataset', 1, 1, '{}', '$.dataset_name'),
		('sglang-serving', 'acceptance_length', 1, 1, '{}', '$.accept_length'),
		('sglang-serving', 'tool_version', 1, 1, '{}', '$.server_info.version'),
		('sglang-serving', 'model', 1, 1, '{}', '$.server_info.model_path'),
		('sglang-serving', 'precision', 1, 1, '{}', '$.server_info.quantization'),
		('sglang-serving', 'precision', 2, 1, '{}', '$.server_info.dtype'),
		('sglang-serving', 'kv_cache_dtype', 1, 1, '{}', '$.server_info.kv_cache_dtype'),
		('sglang-serving', 'tensor_parallel', 1, 1, '{}', '$.server_info.tp_size'),
		('sglang-serving', 'pipeline_parallel', 1, 1, '{}', '$.server_info.pp_size'),
		('sglang-serving', 'data_parallel', 1, 1, '{}', '$.server_info.dp_size'),
		('sglang-serving', 'speculative', 1, 1, '{}', '$.server_info.speculative_algorithm'),

		/* bench_one_batch times its parts, bench_one_batch_server the whole */
		('sglang-one-batch', 'ttft_mean_ms', 1, 1000, '{}', '$.prefill_latency'),
		('sglang-one-batch', 'ttft_mean_ms', 2, 1000, '{}', '$.last_ttft'),
		('sglang-one-batch', 'tpot_mean_ms', 1, 1000, '{}', '($ ? (@.total_latency > 0 && @.prefill_latency > 0 && @.output_len > 1).total_latency - $.prefill_latency) / ($.output_len - 1)'),
		('sglang-one-batch', 'itl_p50_ms', 1, 1000, '{}', '$.median_decode_latency'),
		('sglang-one-batch', 'e2e_mean_ms', 1, 1000, '{}', '$.total_latency'),
		('sglang-one-batch', 'e2e_mean_ms', 2, 1000, '{}', '$.latency'),
		('sglang-one-batch', 'total_tokens_per_s', 1, 1, '{}', '$.overall_throughput'),
		('sglang-one-batch', 'requests_completed', 1, 1, '{}', '$.batch_size'),
		('sglang-one-batch', 'input_tokens', 1, 1, '{}', '$.batch_size * $.input_len'),
		('sglang-one-batch', 'output_tokens', 1, 1, '{}', '$.batch_size * $.output_len'),
		('sglang-one-batch', 'duration_s', 1, 1, '{}', '$.total_latency'),
		('sglang-one-batch', 'duration_s', 2, 1, '{}', '$.latency'),
		('sglang-one-batch', 'batch_size', 1, 1, '{}', '$.batch_size'),
		('sglang-one-batch', 'input_tokens_mean', 1, 1, '{}', '$.input_len'),
		('sglang-one-batch', 'output_tokens_mean', 1, 1, '{}', '$.output_len'),
		('sglang-one-batch', 'acceptance_length', 1, 1, '{}', '$.acc_length'),

		('vllm-serve', 'requests_per_s', 1, 1, '{}', '$.request_throughput'),
		('vllm-serve', 'output_tokens_per_s', 1, 1, '{}', '$.output_throughput'),
		('vllm-serve', 'total_tokens_per_s', 1, 1, '{}', '$.total_token_throughput'),
		/* with a colon in the key for a long time */
		('vllm-serve', 'goodput_per_s', 1, 1, '{}', '$.request_goodput'),
		('vllm-serve', 'goodput_per_s', 2, 1, '{}', '$."request_goodput:"'),
		('vllm-serve', 'requests_completed', 1, 1, '{}', '$.completed'),
		('vllm-serve', 'requests_failed', 1, 1, '{}', '$.failed'),
		('vllm-serve', 'requests_failed', 2, 1, '{}', '$ ? (@.completed >= 0).num_prompts - $.completed'),
		('vllm-serve', 'input_tokens', 1, 1, '{}', '$.total_input_tokens'),
		('vllm-serve', 'output_tokens', 1, 1, '{}', '$.total_output_tokens'),
		('vllm-serve', 'duration_s', 1, 1, '{}', '$.duration'),
		('vllm-serve', 'model', 1, 1, '{}', '$.model_id'),
		('vllm-serve', 'acceptance_length', 1, 1, '{}', '$.spec_decode_acceptance_length'),

		/* its tokens_per_second counts input and output */
		('vllm-throughput', 'requests_per_s', 1, 1, '{}', '$.requests_per_second'),
		('vllm-throughput', 'output_tokens_per_s', 1, 1, '{}', '$.output_tokens_per_second'),
		('vllm-throughput', 'total_tokens_per_s', 1, 1, '{}', '$.tokens_per_second'),
		('vllm-throughput', 'requests_completed', 1, 1, '{}', '$.num_requests'),
		('vllm-throughput', 'input_tokens', 1, 1, '{}', '$.total_input_tokens'),
		('vllm-throughput', 'output_tokens', 1, 1, '{}', '$.total_output_tokens'),
		('vllm-throughput', 'total_tokens', 1, 1, '{}', '$.total_num_tokens'),
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
		('trtllm-bench', 'tool_version', 1, 1, '{}', '$.engine.version'),
		('trtllm-bench', 'model', 1, 1, '{}', '$.engine.model'),
		('trtllm-bench', 'precision', 1, 1, '{}', '$.engine.quantization'),
		('trtllm-bench', 'precision', 2, 1, '{}', '$.engine.dtype'),
		('trtllm-bench', 'kv_cache_dtype', 1, 1, '{}', '$.engine.kv_cache_dtype'),
		('trtllm-bench', 'tensor_parallel', 1, 1, '{}', '$.world_info.tp_size'),
		('trtllm-bench', 'pipeline_parallel', 1, 1, '{}', '$.world_info.pp_size'),
		('trtllm-bench', 'gpus', 1, 1, '{}', '$.world_info.world_size'),
		('trtllm-bench', 'acceptance_length', 1, 1, '{}', '$.decoding_stats.acceptance_length_percentiles.average'),

		/* pp: prompt only; tg: generation only, after n_depth tokens; pg: both, which alone is a request */
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
		('llama-bench', 'tool_version', 1, 1, '{}', '$[0].build_number'),
		('llama-bench', 'weight_bytes', 1, 1, '{}', '$[0].model_size'),
		('llama-bench', 'batch_size', 1, 1, '{}', '1'),
		('llama-bench', 'input_tokens_mean', 1, 1, '{}', '$[*] ? (@.n_prompt > 0 && @.n_gen > 0).n_prompt'),
		('llama-bench', 'input_tokens_mean', 2, 1, '{}', '$[*] ? (@.n_prompt > 0 && @.n_gen == 0).n_prompt'),
		('llama-bench', 'output_tokens_mean', 1, 1, '{}', '$[*] ? (@.n_prompt > 0 && @.n_gen > 0).n_gen'),
		('llama-bench', 'output_tokens_mean', 2, 1, '{}', '$[*] ? (@.n_prompt == 0 && @.n_gen > 0).n_gen'),
		('llama-bench', 'decode_context', 1, 1, '{}', '$[*] ? (@.n_prompt == 0 && @.n_gen > 0).n_depth'),
		('llama-bench', 'decode_context', 2, 1, '{}', '0'),

		('genai-perf', 'requests_per_s', 1, 1, '{}', '$.request_throughput.avg'),
		('genai-perf', 'output_tokens_per_s', 1, 1, '{}', '$.output_token_throughput.avg'),
		('genai-perf', 'total_tokens_per_s', 1, 1, '{}', '$.total_token_throughput.avg'),
		('genai-perf', 'goodput_per_s', 1, 1, '{}', '$.goodput.avg'),
		('genai-perf', 'requests_completed', 1, 1, '{}', '$.request_count.avg'),
		('genai-perf', 'requests_failed', 1, 1, '{}', '$.error_request_count.avg'),
		('genai-perf', 'input_tokens', 1, 1, '{}', '$.input_sequence_length.avg * $.request_count.avg'),
		('genai-perf', 'output_tokens', 1, 1, '{}', '$.output_sequence_length.avg * $.request_count.avg'),
		('genai-perf', 'duration_s', 1, 1, '{}', '$.benchmark_duration ? (@.unit == "sec").avg'),
		('genai-perf', 'input_tokens_mean', 1, 1, '{}', '$.input_sequence_length.avg'),
		('genai-perf', 'output_tokens_mean', 1, 1, '{}', '$.output_sequence_length.avg'),
		('genai-perf', 'model', 1, 1, '{}', '$.input_config.model_names[*]'),
		('genai-perf', 'model', 2, 1, '{}', '$.input_config.endpoint.model_names[*]'),
		('genai-perf', 'model', 3, 1, '{}', '$.input_config.model[*]'),

		('guidellm', 'requests_per_s', 1, 1, '{}', '$.benchmarks[*].metrics.requests_per_second.successful ? (@.count > 0).mean'),
		('guidellm', 'concurrency_mean', 1, 1, '{}', '$.benchmarks[*].metrics.request_concurrency.successful ? (@.count > 0).mean'),
		/* the totals have moved twice */
		('guidellm', 'requests_completed', 1, 1, '{}', '$.benchmarks[*].metrics.request_totals.successful'),
		('guidellm', 'requests_completed', 2, 1, '{}', '$.benchmarks[*].request_totals.successful'),
		('guidellm', 'requests_completed', 3, 1, '{}', '$.benchmarks[*].run_stats.requests_made.successful'),
		('guidellm', 'requests_failed', 1, 1, '{}', '$.benchmarks[*].metrics.request_totals.errored'),
		('guidellm', 'requests_failed', 2, 1, '{}', '$.benchmarks[*].request_totals.errored'),
		('guidellm', 'requests_failed', 3, 1, '{}', '$.benchmarks[*].run_stats.requests_made.errored'),
		('guidellm', 'input_tokens', 1, 1, '{}', '$.benchmarks[*].metrics.prompt_token_count.successful ? (@.count > 0).total_sum'),
		('guidellm', 'output_tokens', 1, 1, '{}', '$.benchmarks[*].metrics.output_token_count.successful ? (@.count > 0).total_sum'),
		('guidellm', 'input_tokens_mean', 1, 1, '{}', '$.benchmarks[*].metrics.prompt_token_count.successful ? (@.count > 0).mean'),
		('guidellm', 'output_tokens_mean', 1, 1, '{}', '$.benchmarks[*].metrics.output_token_count.successful ? (@.count > 0).mean'),
		/* its sums leave out what it trims as warm-up, its duration does not */
		('guidellm', 'duration_s', 1, 1, '{}', '$.benchmarks[*] ? (@.warmup_duration == 0 && @.cooldown_duration == 0).duration'),
		('guidellm', 'tool_version', 1, 1, '{}', '$.metadata.guidellm_version'),
		('guidellm', 'model', 1, 1, '{}', '$.config.spec.backend.model'),
		('guidellm', 'model', 2, 1, '{}', '$.benchmarks[*].config.backend.model'),

		('optimum-benchmark', 'e2e_mean_ms', 1, 1000, '{}',
			'$ ? (@.prefill.latency.mean > 0 && @.decode.latency.mean > 0).prefill.latency ? (!exists(@.unit) || @.unit == "s").mean + $.decode.latency ? (!exists(@.unit) || @.unit == "s").mean'),
		('optimum-benchmark', 'e2e_mean_ms', 2, 1000, '{}',
			'$.report ? (@.prefill.latency.mean > 0 && @.decode.latency.mean > 0).prefill.latency ? (!exists(@.unit) || @.unit == "s").mean + $.report.decode.latency ? (!exists(@.unit) || @.unit == "s").mean'),
		('optimum-benchmark', 'output_tokens_per_s', 1, 1, '{output=decode_only}', '$.decode.throughput ? (!exists(@.unit) || @.unit == "tokens/s").value'),
		('optimum-benchmark', 'output_tokens_per_s', 2, 1, '{output=decode_only}', '$.report.decode.throughput ? (!exists(@.unit) || @.unit == "tokens/s").value'),
		('optimum-benchmark', 'gpu_memory_peak_bytes', 1, 1e6, '{}', '$.decode.memory ? (@.unit == "MB").max_global_vram'),
		('optimum-benchmark', 'gpu_memory_peak_bytes', 2, 1e6, '{}', '$.report.decode.memory ? (!exists(@.unit) || @.unit == "MB").max_global_vram'),
		('optimum-benchmark', 'host_memory_peak_bytes', 1, 1e6, '{}', '$.decode.memory ? (@.unit == "MB").max_ram'),
		('optimum-benchmark', 'host_memory_peak_bytes', 2, 1e6, '{}', '$.report.decode.memory ? (!exists(@.unit) || @.unit == "MB").max_ram'),
		('optimum-benchmark', 'noise_rel', 1, 1, '{noise=stddev}', '$.decode.latency.stdev / $.decode.latency.mean'),
		('optimum-benchmark', 'noise_rel', 2, 1, '{noise=stddev}', '$.report.decode.latency.stdev / $.report.decode.latency.mean'),
		('optimum-benchmark', 'tool_version', 1, 1, '{}', '$.config.environment.optimum_benchmark_version'),
		('optimum-benchmark', 'model', 1, 1, '{}', '$.config.backend.model'),
		('optimum-benchmark', 'precision', 1, 1, '{}', '$.config.backend.quantization_scheme'),
		('optimum-benchmark', 'precision', 2, 1, '{}', '$.config.backend.torch_dtype'),
		('optimum-benchmark', 'batch_size', 1, 1, '{}', '$.config.scenario.input_shapes.batch_size'),
		('optimum-benchmark', 'input_tokens_mean', 1, 1, '{}', '$.config.scenario.input_shapes.sequence_length'),
		('optimum-benchmark', 'output_tokens_mean', 1, 1, '{}', '$.config.scenario.generate_kwargs.max_new_tokens'),

		('inference-perf', 'requests_per_s', 1, 1, '{}', '$.successes.throughput.requests_per_sec'),
		('inference-perf', 'output_tokens_per_s', 1, 1, '{}', '$.successes.throughput.output_tokens_per_sec'),
		('inference-perf', 'total_tokens_per_s', 1, 1, '{}', '$.successes.throughput.total_tokens_per_sec'),
		('inference-perf', 'requests_completed', 1, 1, '{}', '$.successes.count'),
		('inference-perf', 'requests_failed', 1, 1, '{}', '$.failures.count'),
		('inference-perf', 'input_tokens', 1, 1, '{}', '$.successes.prompt_len.mean * $.successes.count'),
		('inference-perf', 'output_tokens', 1, 1, '{}', '$.successes.output_len.mean * $.successes.count'),
		('inference-perf', 'input_tokens_mean', 1, 1, '{}', '$.successes.prompt_len.mean'),
		('inference-perf', 'output_tokens_mean', 1, 1, '{}', '$.successes.output_len.mean'),

		('llmperf', 'requests_per_s', 1, 1.0 / 60, '{}', '$.results_num_completed_requests_per_min'),
		('llmperf', 'output_tokens_per_s', 1, 1, '{}', '$.results_mean_output_throughput_token_per_s'),
		('llmperf', 'requests_completed', 1, 1, '{}', '$.results_num_completed_requests'),
		('llmperf', 'requests_failed', 1, 1, '{}', '$.results_number_errors'),
		('llmperf', 'input_tokens', 1, 1, '{}', '$.results_number_input_tokens_mean * $.results_num_completed_requests'),
		('llmperf', 'output_tokens', 1, 1, '{}', '$.results_number_output_tokens_mean * $.results_num_completed_requests'),
		('llmperf', 'input_tokens_mean', 1, 1, '{}', '$.results_number_input_tokens_mean'),
		('llmperf', 'output_tokens_mean', 1, 1, '{}', '$.results_number_output_tokens_mean'),
		('llmperf', 'duration_s', 1, 60, '{}', '$.results_num_completed_requests / $.results_num_completed_requests_per_min'),
		('llmperf', 'model', 1, 1, '{}', '$.model'),

		/* rates for each GPU; with prefill and decode apart each of them is over other GPUs, and none is taken */
		('inferencex', 'output_tokens_per_s', 1, 1, '{}', '$ ? (@.disagg != true).output_tput_per_gpu * $.tp * $.pp * $.pcp_size'),
		('inferencex', 'output_tokens_per_s', 2, 1, '{}', '$ ? (@.disagg != true).output_tput_per_gpu * $.tp * $.pp'),
		('inferencex', 'output_tokens_per_s', 3, 1, '{}', '$ ? (@.disagg != true && !exists(@.pp)).output_tput_per_gpu * $.tp'),
		('inferencex', 'total_tokens_per_s', 1, 1, '{}', '$ ? (@.disagg != true).tput_per_gpu * $.tp * $.pp * $.pcp_size'),
		('inferencex', 'total_tokens_per_s', 2, 1, '{}', '$ ? (@.disagg != true).tput_per_gpu * $.tp * $.pp'),
		('inferencex', 'total_tokens_per_s', 3, 1, '{}', '$ ? (@.disagg != true && !exists(@.pp)).tput_per_gpu * $.tp'),
		('inferencex', 'energy_j', 1, 1, '{}', '$ ? (@.power_valid == 1).total_gpu_energy_j'),
		('inferencex', 'model', 1, 1, '{}', '$.model'),
		('inferencex', 'precision', 1, 1, '{}', '$.precision'),
		('inferencex', 'tensor_parallel', 1, 1, '{}', '$.tp'),
		('inferencex', 'pipeline_parallel', 1, 1, '{}', '$.pp'),
		('inferencex', 'speculative', 1, 1, '{}', '$.spec_decoding'),
		('inferencex', 'dataset', 1, 1, '{}', '"random"'),

		('mlperf', 'requests_per_s', 1, 1, '{}', '$.mlperf."Completed samples per second"'),
		('mlperf', 'requests_per_s', 2, 1, '{}', '$.mlperf."Samples per second"'),
		('mlperf', 'requests_per_s', 3, 1, '{}', '$.mlperf."result_completed_samples_per_sec"'),
		('mlperf', 'requests_per_s', 4, 1, '{}', '$.mlperf."result_samples_per_second"'),
		('mlperf', 'output_tokens_per_s', 1, 1, '{}', '$.mlperf."Completed tokens per second"'),
		('mlperf', 'output_tokens_per_s', 2, 1, '{}', '$.mlperf."Tokens per second"'),
		('mlperf', 'output_tokens_per_s', 3, 1, '{}', '$.mlperf."result_completed_tokens_per_second"'),
		('mlperf', 'output_tokens_per_s', 4, 1, '{}', '$.mlperf."result_tokens_per_second"'),
		('mlperf', 'validity', 1, 1, '{}', '$.mlperf."Result is"'),
		('mlperf', 'validity', 2, 1, '{}', '$.mlperf."result_validity"')
	), own (adapter, metric) AS (
		/* those who speak in our words */
		SELECT 'benchorch-engine', unnest(ARRAY['requests_per_s', 'output_tokens_per_s', 'total_tokens_per_s', 'concurrency_mean',
			'requests_completed', 'requests_failed', 'input_tokens', 'output_tokens', 'duration_s', 'gpu_memory_peak_bytes',
			'host_memory_peak_bytes', 'energy_j', 'roofline_prefill', 'roofline_decode', 'roofline_prefill_measured',
			'roofline_decode_measured', 'noise_rel'])
		UNION ALL
		SELECT a.adapter, m.metric FROM unnest(ARRAY['canonical', 'canonical-batch']) AS a (adapter), benchorch.metric_names() AS m
	), fields (adapter, field, path, scale) AS (VALUES
		('requests', 'requests', '$.requests[*]', 1),
		('requests', 'start_s', '$.start_s', 1),
		('requests', 'ttft_s', '$.ttft_s', 1),
		('requests', 'e2e_s', '$.e2e_s', 1),
		('requests', 'itl_s', '$.itl_s[*]', 1),
		('requests', 'input_tokens', '$.input_tokens', 1),
		('requests', 'output_tokens', '$.output_tokens', 1),
		('requests', 'failed', '$.error', 1),
		('requests', 'duration_s', '$.duration_s', 1),

		/* --save-detailed: one array a field */
		('vllm-serve', 'start_s', '$.start_times[*]', 1),
		('vllm-serve', 'ttft_s', '$.ttfts[*]', 1),
		('vllm-serve', 'itl_s', '$.itls', 1),
		('vllm-serve', 'input_tokens', '$.input_lens[*]', 1),
		('vllm-serve', 'output_tokens', '$.output_lens[*]', 1),
		('vllm-serve', 'failed', '$.errors[*]', 1),
		('vllm-serve', 'duration_s', '$.duration', 1),
		('sglang-serving', 'ttft_s', '$.ttfts[*]', 1),
		('sglang-serving', 'itl_s', '$.itls', 1),
		('sglang-serving', 'input_tokens', '$.input_lens[*]', 1),
		('sglang-serving', 'output_tokens', '$.output_lens[*]', 1),
		('sglang-serving', 'failed', '$.errors[*]', 1),
		('sglang-serving', 'duration_s', '$.duration', 1),

		('llmperf-requests', 'requests', '$[*]', 1),
		('llmperf-requests', 'ttft_s', '$.ttft_s', 1),
		('llmperf-requests', 'e2e_s', '$.end_to_end_latency_s', 1),
		('llmperf-requests', 'input_tokens', '$.number_input_tokens', 1),
		('llmperf-requests', 'output_tokens', '$.number_output_tokens', 1),
		('llmperf-requests', 'failed', '$.error_code', 1),

		('inference-perf-requests', 'requests', '$[*]', 1),
		('inference-perf-requests', 'start_s', '$.start_time', 1),
		('inference-perf-requests', 'ttft_s', '$.info.output_token_times[0] - $.start_time', 1),
		('inference-perf-requests', 'e2e_s', '$.end_time - $.start_time', 1),
		('inference-perf-requests', 'input_tokens', '$.info.input_tokens', 1),
		('inference-perf-requests', 'output_tokens', '$.info.output_tokens', 1),
		('inference-perf-requests', 'failed', '$.error', 1),

		('aiperf-requests', 'requests', '$[*]', 1),
		('aiperf-requests', 'start_s', '$.metadata.request_start_ns', 1e-9),
		('aiperf-requests', 'ttft_s', '$.metrics.time_to_first_token ? (@.unit == "ms").value', 1e-3),
		('aiperf-requests', 'e2e_s', '$.metrics.request_latency ? (@.unit == "ms").value', 1e-3),
		('aiperf-requests', 'input_tokens', '$.metrics.input_sequence_length.value', 1),
		('aiperf-requests', 'output_tokens', '$.metrics.output_sequence_length.value', 1),
		('aiperf-requests', 'failed', '$.error', 1)
	), told (metric) AS (
		SELECT unnest(ARRAY['tool_version', 'model', 'precision', 'kv_cache_dtype', 'dataset', 'speculative', 'prefix_caching',
			'acceptance_length', 'tensor_parallel', 'pipeline_parallel', 'data_parallel', 'gpus', 'batch_size', 'input_tokens_mean',
			'output_tokens_mean', 'decode_context', 'weight_bytes', 'throttled_share'])
	), row AS (
		SELECT s.adapter, s.metric || '_' || k.statistic || '_ms' AS metric, s.preference, format(s.path, k.word) AS path, s.scale,
			s.method::text[] || CASE WHEN k.statistic <> 'mean' THEN s.percentile_method::text[] END AS method
		FROM spread AS s, LATERAL (VALUES ('mean', s.mean), ('p50', s.p50), ('p90', s.p90), ('p95', s.p95), ('p99', s.p99))
			AS k (statistic, word)
		WHERE k.word IS NOT NULL
		UNION ALL
		SELECT adapter, metric, preference, path, scale, method::text[] FROM single
	), signs AS (
		INSERT INTO benchorch.adapter_signs (adapter, position, sign, lines)
		SELECT adapter, position, sign::jsonpath, lines FROM tool
		ON CONFLICT DO NOTHING
	), request_fields AS (
		INSERT INTO benchorch.request_fields (adapter, field, path, scale)
		SELECT adapter, field, path::jsonpath, scale FROM fields
		ON CONFLICT DO NOTHING
	)
	INSERT INTO benchorch.adapters (adapter, metric, preference, path, scale, method)
	SELECT r.adapter, r.metric, r.preference, r.path::jsonpath, r.scale, r.method || tool.method::text[]
	FROM (
		SELECT adapter, metric, preference,
			CASE adapter WHEN 'guidellm' THEN replace(path, '$.benchmarks[*]', '$ ? (@.benchmarks.size() == 1).benchmarks[*]') ELSE path END AS path,
			scale, method FROM row
		UNION ALL
		SELECT adapter, metric, 1, '$.' || metric, 1, '{}' FROM own
		UNION ALL
		SELECT a.adapter, told.metric, 1, '$.' || told.metric, 1, '{}' FROM unnest(ARRAY['canonical', 'canonical-batch']) AS a (adapter), told
		UNION ALL
		/* of several benchmarks in a report the last one, as of several lines */
		SELECT adapter, metric, preference + 10, replace(path, '[*]', '[last]'), scale, method || '{last_of_several}'::text[]
		FROM row WHERE adapter = 'guidellm' AND path LIKE '%[*]%'
	) AS r JOIN tool ON tool.adapter = r.adapter
	ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION benchorch.seed_adapters() IS
	'Adds the known adapters'' rows that are missing; rows that exist are never changed. Part of seed_reference_data()';
