-- Importing: results that no config produced, many in one call, tables, single requests, logs that are no JSON, and the
-- older and newer schemas of tools.  Everything happens in one transaction that is rolled back.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
\pset null -
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();
\set model '''00000000-0000-0000-0000-0000000000d1'''
SELECT benchorch.register_model('imported', :model) IS NOT NULL AS registered;
SELECT benchorch.create_template('two', '{"hardware": ["p5.48xlarge"], "frameworks": ["vLLM"], "workloads": ["chatbot"], "batch_sizes": [1, 8],
	"sequence_lengths": [1024], "repeats": 2}') IS NOT NULL AS created;
SELECT created FROM benchorch.populate_matrix(:model, template => 'two');

-- One result; it bears the config that it fits, and settles nothing
CREATE FUNCTION pg_temp.config(id bigint) RETURNS text LANGUAGE sql AS
	$$SELECT format('batch %s, %s, %s', batch_size, params, status) FROM benchorch.benchmark_configs WHERE benchmark_configs.id = config.id$$;
SELECT result_id AS first, pg_temp.config(config_id) AS config, duplicate, known_adapter, flags
FROM benchorch.import_result('{"output_tokens_per_s": 100, "ttft_p50_ms": 50}', :model, 'p5.48xlarge', 'vLLM', 'chatbot', 8, 1024, source => 'a paper') \gset
\echo :config :duplicate :known_adapter :flags
SELECT config_id IS NOT NULL AS fits, claim_id, accepted, convert_from(raw, 'UTF8') AS raw, parsed, subject, output_tokens_per_s FROM benchorch.benchmark_results WHERE id = :first;
-- the same again is told and not stored; about something else it is another one
SELECT result_id = :first AS same, duplicate FROM benchorch.import_result('{"output_tokens_per_s": 100, "ttft_p50_ms": 50}', :model, 'p5.48xlarge', 'vLLM', 'chatbot', 8, 1024, source => 'a paper');
SELECT result_id = :first AS same, duplicate, pg_temp.config(config_id) FROM benchorch.import_result('{"output_tokens_per_s": 100, "ttft_p50_ms": 50}', :model, 'p5.48xlarge', 'vLLM', 'chatbot', 8, 1024, params => '{"repeat": 2}');
SELECT duplicate, config_id FROM benchorch.import_result('{"output_tokens_per_s": 100}', :model, 'p5.48xlarge', 'vLLM', 'chatbot', 8, 1024, params => '{"precision": "fp8"}');
SELECT duplicate, config_id FROM benchorch.import_result('{"output_tokens_per_s": 100}');
-- also in the archive
SAVEPOINT archive;
SELECT count(*) FROM (SELECT benchorch.update_status(id, 'cancelled') FROM benchorch.benchmark_configs WHERE model_version_id = :model) AS c;
DELETE FROM benchorch.benchmark_configs WHERE model_version_id = :model;
SELECT count(*) AS archived FROM benchorch.archived_results WHERE model_version_id = :model;
SELECT result_id = :first AS same, duplicate FROM benchorch.import_result('{"output_tokens_per_s": 100, "ttft_p50_ms": 50}', :model, 'p5.48xlarge', 'vLLM', 'chatbot', 8, 1024, source => 'a paper');
ROLLBACK TO archive;
SELECT benchorch.import_result(NULL);
SELECT benchorch.import_result('Killed');
SELECT benchorch.import_result(E'{"a": 1,\n "b": 007}');
SELECT benchorch.import_result('{}', '00000000-0000-0000-0000-0000000000ff');
SELECT benchorch.import_result('{}', hardware => 'none');
SELECT benchorch.import_result('{}', framework => 'none');
SELECT benchorch.import_result('{}', adapter => 'none');
SELECT benchorch.import_result('{"requests_completed": 0, "ttft_mean_ms": 5}');

-- Many: one that is refused spoils no other
SELECT item, result_id IS NOT NULL AS stored, duplicate, adapter, flags, sqlstate, left(message, 90) AS message FROM benchorch.import_results('[
	{"result": {"output_tokens_per_s": 1}}, {"result": {"output_tokens_per_s": 1}}, {"output": "INFO\n{\"output_tokens_per_s\": 2}\n", "source": "log"},
	{"requests": [{"ttft_s": 1, "e2e_s": 2}]}, {"result": {"nothing": 1}}, {"result": 3}, {}, {"result": {}, "colour": "red"}, {"result": {}, "model_version_id": "x"},
	{"result": {}, "batch_size": 1.5}, {"output": "x"}, {"result": {}, "adapter": "none"}, 5, {"result": {}, "framework": "none"}, {"result": {}, "output": "{}"}]');
SELECT benchorch.import_results(NULL);
SELECT benchorch.import_results('{}');
SELECT count(*) FROM benchorch.import_results('[]');

-- A published table: rates of 4 sequences of 100 + 50 tokens in 2 s are 300 tokens/s; one row tells those of one sequence
INSERT INTO benchorch.adapters (adapter, metric, path, method) VALUES ('table', 'total_tokens_per_s', '$.throughput', '{static_batch}'), ('table', 'duration_s', '$.latency', '{}'),
	('table', 'e2e_mean_ms', '$.latency * 1000', '{}'), ('table', 'input_tokens', '$.batch * $.in', '{}'), ('table', 'output_tokens', '$.batch * $.out', '{}');
SELECT i.item, i.flags FROM benchorch.import_results((SELECT jsonb_agg(jsonb_build_object('adapter', 'table', 'result', row))
	FROM benchorch.csv_rows(E'hw,batch,in,out,latency,throughput\nA100,4,100,50,2.0,300\nA100,4,100,50,2.0,75\n"H100 ""SXM"", 80 GB",4,100,50,,300\n') AS row)) AS i;
SELECT parsed, total_tokens_per_s, duration_s FROM benchorch.benchmark_results WHERE adapter = 'table' ORDER BY id;
SELECT * FROM benchorch.csv_rows(E'\uFEFFa;b.c;b.d\r\n1.50;"two\nlines";x\r\n-0.5e3;;007\r\n', ';');
SELECT benchorch.csv_rows('a', ',,');
-- the columns of optimum-benchmark's tables are its JSON, flattened
SELECT e.ttft_mean_ms, e.itl_p50_ms, e.output_tokens_per_s, e.e2e_mean_ms, e.reported FROM benchorch.csv_rows(E'config.backend.model,config.scenario.input_shapes.batch_size,report.prefill.latency.mean,report.decode.latency.mean,report.per_token.latency.p50,report.decode.throughput.value\nm/x,2,0.125,6.25,0.099,20.16\n') AS row,
	benchorch.evaluate(NULL, row, NULL, NULL) AS e;

-- Single requests.  TTFT 0.1 and 0.3 s; e2e 0.1 + 0.2 + 0.2 = 0.5 s, and 1.1 s; TPOT 0.4 / 2 and 0.8 / 4; from 0 to 2.1 s; one failed
\set requests '{"requests": [{"start_s": 0, "ttft_s": 0.1, "itl_s": [0.2, 0.2], "input_tokens": 10, "output_tokens": 3}, {"start_s": 1, "ttft_s": 0.3, "e2e_s": 1.1, "input_tokens": 20, "output_tokens": 5}, {"start_s": 1.5, "error": "timeout"}]}'
SELECT known_adapter, ttft_mean_ms, ttft_p90_ms, tpot_p50_ms, itl_mean_ms, e2e_mean_ms, duration_s, requests_completed AS ok, requests_failed AS failed, input_tokens, output_tokens,
	round(output_tokens_per_s::numeric, 6) AS output_rate, round(concurrency_mean::numeric, 6) AS concurrency, flags FROM benchorch.evaluate(NULL, :'requests', NULL, NULL);
SELECT metric, n, round(mean::numeric, 6) AS mean, round(stddev::numeric, 6) AS stddev, round(p25::numeric, 6) AS p25, round(p99::numeric, 6) AS p99, max
FROM benchorch.request_statistics('requests', :'requests') WHERE metric NOT LIKE 'own%';
-- against PostgreSQL's own aggregates, to 1e-9
CREATE TEMP TABLE request AS SELECT i, 0.1 + 0.9 * abs(sin(i)) AS ttft, 2 + cos(i * 7) AS e2e, 50 + i % 13 AS tokens FROM generate_series(1, 2845) AS i;
SELECT s.metric, s.n, max(abs(d.got / d.want - 1)) < 1e-9 AS equal FROM (SELECT jsonb_agg(jsonb_build_object('ttft_s', ttft, 'end_to_end_latency_s', e2e, 'number_output_tokens', tokens,
		'number_input_tokens', 550, 'error_code', NULL) ORDER BY i) AS all_requests FROM request) AS r,
	benchorch.request_statistics('llmperf-requests', r.all_requests) AS s,
	(SELECT percentile_cont(ARRAY[0.25, 0.5, 0.75, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY ttft * 1000) AS t, avg(ttft * 1000) AS tm, stddev_samp(ttft * 1000) AS ts,
		percentile_cont(ARRAY[0.25, 0.5, 0.75, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY e2e * 1000) AS e, avg(e2e * 1000) AS em, stddev_samp(e2e * 1000) AS es FROM request) AS w,
	LATERAL (VALUES (s.p25, CASE s.metric WHEN 'ttft_ms' THEN w.t[1] ELSE w.e[1] END), (s.p50, CASE s.metric WHEN 'ttft_ms' THEN w.t[2] ELSE w.e[2] END),
		(s.p75, CASE s.metric WHEN 'ttft_ms' THEN w.t[3] ELSE w.e[3] END), (s.p90, CASE s.metric WHEN 'ttft_ms' THEN w.t[4] ELSE w.e[4] END),
		(s.p95, CASE s.metric WHEN 'ttft_ms' THEN w.t[5] ELSE w.e[5] END), (s.p99, CASE s.metric WHEN 'ttft_ms' THEN w.t[6] ELSE w.e[6] END),
		(s.mean, CASE s.metric WHEN 'ttft_ms' THEN w.tm ELSE w.em END), (s.stddev, CASE s.metric WHEN 'ttft_ms' THEN w.ts ELSE w.es END)) AS d (got, want)
WHERE s.metric IN ('ttft_ms', 'e2e_ms') GROUP BY s.metric, s.n ORDER BY 1;
-- what vllm bench serve --save-detailed adds gives what it does not print; arrays of different lengths give nothing
SELECT e.ttft_mean_ms, e.ttft_p90_ms, e.e2e_p50_ms, e.itl_mean_ms, e.requests_completed FROM (VALUES ('[0.1, 0.3]'), ('[0.1, 0.3, 0.5]')) AS v (ttfts),
	benchorch.evaluate('vllm-serve', jsonb_build_object('mean_ttft_ms', 199, 'ttfts', v.ttfts::jsonb, 'itls', '[[0.1], [0.1, 0.2]]'::jsonb, 'output_lens', '[2, 3]'::jsonb, 'errors', '["", ""]'::jsonb, 'duration', 2), NULL, NULL) AS e;
-- the files of inference-perf and AIPerf with one element or line a request
SELECT e.known_adapter, e.ttft_mean_ms, e.e2e_mean_ms, e.tpot_mean_ms, e.duration_s, e.requests_failed FROM benchorch.evaluate(NULL, '[{"start_time": 10.0, "end_time": 12.0, "info": {"input_tokens": 5, "output_tokens": 3, "output_token_times": [10.5, 11, 12]}, "error": null},
	{"start_time": 11.0, "end_time": 13.5, "info": {"input_tokens": 5, "output_tokens": 3, "output_token_times": [11.25, 12, 13.5]}, "error": null}]', NULL, NULL) AS e;
SELECT e.known_adapter, e.ttft_mean_ms, e.e2e_mean_ms, e.tpot_mean_ms, e.requests_completed AS ok, e.requests_failed AS failed FROM benchorch.parse_output(
	E'{"metadata": {"request_start_ns": 0}, "metrics": {"time_to_first_token": {"value": 50, "unit": "ms"}, "request_latency": {"value": 250, "unit": "ms"}, "output_sequence_length": {"value": 5, "unit": "tokens"}}, "error": null}\n{"metadata": {"request_start_ns": 1}, "metrics": {"request_latency": {"value": 1, "unit": "ms"}}, "error": {"code": 500}}\n') AS p,
	benchorch.evaluate(NULL, p.parsed, NULL, NULL) AS e;

-- Lines that belong together: llama-bench -o jsonl.  A line that was cut is a fault, with its place
\set lines '{"n_prompt": 512, "n_gen": 0, "n_depth": 0, "avg_ns": 72000000, "avg_ts": 7111.1, "stddev_ts": 1}\n{"n_prompt": 0, "n_gen": 128, "n_depth": 0, "avg_ns": 1280000000, "avg_ts": 100.0, "stddev_ts": 2}\n'
SELECT e.known_adapter, e.ttft_mean_ms, e.tpot_mean_ms FROM benchorch.parse_output(convert_to(:'lines', 'UTF8')) AS p, benchorch.evaluate(NULL, p.parsed, NULL, NULL) AS e;
SELECT p.problem FROM benchorch.parse_output(convert_to('{"n_prompt": 512, "avg' || E'\n' || :'lines', 'UTF8')) AS p;
-- MLPerf's load generator: its summary, and its detail log
SELECT p.parsed, e.known_adapter, e.ttft_p99_ms, e.e2e_mean_ms, e.requests_per_s, e.output_tokens_per_s, e.reported FROM benchorch.parse_output(
	E'====\nMLPerf Results Summary\n====\nSUT name : PySUT\nCompleted samples per second    : 81.68\nCompleted tokens per second: 24593.77\nResult is : VALID\n * Run successful.\nMean latency (ns)               : 43579602295\n99.00 percentile first token latency (ns)   : 1914647645\nCompleted tokens per second                 : 24593.77\n') AS p,
	benchorch.evaluate(NULL, p.parsed, NULL, NULL) AS e;
SELECT p.problem, e.output_tokens_per_s, e.reported, e.unchecked ? 'identity' AS identity_lacks FROM (VALUES (''), ('}')) AS v (cut), benchorch.parse_output(convert_to(replace(
	E':::MLLOG {"key": "result_completed_tokens_per_second", "value": 102907, "time_ms": 1.5, "metadata": {"is_error": false}}\n:::MLLOG {"key": "result_validity", "value": "INVALID"', 'x', '') || v.cut || E'\n', 'UTF8')) AS p,
	benchorch.evaluate(NULL, p.parsed, NULL, NULL) AS e;

-- Rows that hold for some versions of a tool only
INSERT INTO benchorch.adapters (adapter, metric, path, scale, min_version, max_version, preference) VALUES ('drifts', 'tool_version', '$.version', 1, NULL, NULL, 1),
	('drifts', 'ttft_mean_ms', '$.ttft', 1000, NULL, '0.9', 1), ('drifts', 'ttft_mean_ms', '$.ttft', 1, '0.10', NULL, 2);
SELECT v.version, e.ttft_mean_ms FROM (VALUES ('0.8'), ('0.9'), ('0.9.4'), ('0.10.0rc1'), ('v1.0'), (NULL)) AS v (version),
	benchorch.evaluate('drifts', jsonb_build_object('version', v.version, 'ttft', 0.5), NULL, NULL) AS e;
-- newer and older schemas
SELECT v.what, e.known_adapter, e.method, e.ttft_p50_ms, e.tpot_mean_ms, e.e2e_mean_ms, e.requests_failed AS failed, e.output_tokens_per_s AS output_rate, e.reported FROM (VALUES
	('sglang, newer', '{"total_throughput": 30, "median_e2e_latency_ms": 9, "p90_ttft_ms": 3, "median_ttft_ms": 2, "accept_length": 2.5, "server_info": {"version": "0.5.1", "tp_size": 2, "model_path": "m/x", "dtype": "bfloat16", "quantization": null}}'::jsonb),
	('sglang one batch server', '{"run_name": "d", "batch_size": 2, "input_len": 10, "output_len": 20, "latency": 0.5, "output_throughput": 99, "overall_throughput": 120}'),
	('guidellm, several', '{"benchmarks": [{"metrics": {"time_to_first_token_ms": {"successful": {"count": 2, "mean": 1, "percentiles": {"p50": 1}}}}}, {"metrics": {"time_to_first_token_ms": {"successful": {"count": 2, "mean": 3, "percentiles": {"p50": 3}}}}, "run_stats": {"requests_made": {"errored": 4}}}]}'),
	('inferencex, older', '{"tput_per_gpu": 10, "output_tput_per_gpu": 5, "isl": 1024, "tp": 4, "median_ttft": 0.25, "mean_tpot": 0.02, "mean_e2el": 1.5, "precision": "fp4"}'),
	('inferencex, disaggregated', '{"tput_per_gpu": 10, "output_tput_per_gpu": 5, "isl": 1024, "tp": 4, "pp": 1, "disagg": true, "ttft_p50": 0.25}'),
	('optimum, with its config', '{"config": {"backend": {"model": "m/x", "torch_dtype": "float16"}, "scenario": {"input_shapes": {"batch_size": 4}}}, "report": {"prefill": {"latency": {"unit": "s", "mean": 0.1, "p50": 0.1}}, "decode": {"latency": {"unit": "s", "mean": 1.0}, "throughput": {"unit": "tokens/s", "value": 8}}}}'),
	('vllm, a newer key', '{"total_token_throughput": 3, "request_throughput": 1, "median_ttft_ms": 2, "failed": 7, "num_prompts": 10, "completed": 1, "spec_decode_acceptance_length": 2.4, "model_id": "m/x"}'),
	('aiperf, newer', '{"schema_version": "1.0", "request_throughput": {"unit": "requests/sec", "avg": 2}, "request_latency": {"unit": "ms", "avg": 50}, "time_to_first_token": {"unit": "ms", "p50": 5}, "inter_token_latency": {"unit": "ms", "avg": 4}, "error_request_count": {"unit": "requests", "avg": 1}}')
) AS v (what, raw), benchorch.evaluate(NULL, v.raw, NULL, NULL) AS e;

-- 100,000 in one call, then again
CREATE TEMP TABLE big AS SELECT jsonb_agg(jsonb_build_object('model_version_id', :model, 'hardware', 'p5.48xlarge', 'framework', 'vLLM', 'workload', 'chatbot', 'batch_size', 1,
	'sequence_length', 1024, 'adapter', 'canonical', 'result', jsonb_build_object('ttft_p50_ms', 50 + i, 'output_tokens_per_s', 10))) AS items FROM generate_series(1, 100000) AS i;
SELECT count(*), count(*) FILTER (WHERE i.duplicate) AS duplicates, count(DISTINCT i.result_id) AS results, count(DISTINCT i.config_id) AS configs, count(i.sqlstate) AS refused FROM big, benchorch.import_results(items) AS i;
SELECT count(*), count(*) FILTER (WHERE i.duplicate) AS duplicates FROM big, benchorch.import_results((SELECT jsonb_path_query_array(items, '$[0 to 999]') FROM big)) AS i;
SELECT * FROM benchorch.check_invariants();
ROLLBACK;
