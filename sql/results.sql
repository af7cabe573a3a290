-- Results: handing in and completing, what counts as a result, adapters and checks.
-- Everything happens in one transaction that is rolled back; a statement that
-- fails undoes only itself.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();

-- 60 configs of one lane, all claimed in one call; c(n) is the n-th, k() the claim
SELECT benchorch.register_framework('tool', '{"command": ["tool"]}') IS NOT NULL AS registered;
SELECT benchorch.create_template('small', '{"hardware": ["p5.48xlarge"], "frameworks": ["tool"]}') IS NOT NULL AS created;
\set model '''00000000-0000-0000-0000-00000000000a'''
SELECT benchorch.register_model('results', :model) IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix(:model, template => 'small');
CREATE TEMP TABLE claimed AS
	SELECT row_number() OVER (ORDER BY config_id) AS n, config_id, claim_id FROM benchorch.claim_batch(60, model_version_id => :model);
CREATE FUNCTION pg_temp.c(n int) RETURNS bigint LANGUAGE sql AS 'SELECT config_id FROM claimed WHERE claimed.n = c.n';
CREATE FUNCTION pg_temp.k() RETURNS bigint LANGUAGE sql AS 'SELECT claim_id FROM claimed LIMIT 1';
CREATE FUNCTION pg_temp.status(n int) RETURNS text LANGUAGE sql AS
	'SELECT status FROM benchorch.benchmark_configs WHERE id = pg_temp.c(n)';
-- ids differ from run to run
CREATE FUNCTION pg_temp.masked(message text) RETURNS text LANGUAGE sql AS
	$$SELECT regexp_replace(message, '(claim|config) \d+', '\1 N', 'g')$$;

-- A result completes its config, with its bytes, its JSON and its metrics
SELECT accepted, status, result_id IS NOT NULL AS stored
FROM benchorch.hand_in(pg_temp.c(1), pg_temp.k(), 'ok',
	'{"tool": "benchorch-engine", "ttft_ms": {"mean": 12.5, "p50": 12}, "output_tokens_per_s": 100.25}', 'a log',
	'{"argv": ["tool", "-x"], "environment": {"driver": "1.2"}}');
SELECT pg_temp.status(1);
SELECT r.adapter, r.accepted, r.ttft_mean_ms, r.ttft_p50_ms, r.output_tokens_per_s, r.method, r.flags, r.parsed, length(r.raw) AS raw,
	convert_from(r.log, 'UTF8') AS log, r.environment, r.model_version_id = :model AS same_model, r.worker_id
FROM benchorch.benchmark_results AS r WHERE r.config_id = pg_temp.c(1) \gx

-- The same call again answers the same and stores nothing twice, whatever it brings
SELECT a.accepted, a.status, a.result_id = r.id AS same
FROM benchorch.benchmark_results AS r,
	benchorch.hand_in(pg_temp.c(1), pg_temp.k(), 'ok', '{"other": 1}') AS a WHERE r.config_id = pg_temp.c(1);
SELECT a.accepted, a.status, a.result_id = r.id AS same
FROM benchorch.benchmark_results AS r,
	benchorch.hand_in(pg_temp.c(1), pg_temp.k(), 'crash', 'boom') AS a WHERE r.config_id = pg_temp.c(1);
SELECT benchorch.complete(pg_temp.c(1), pg_temp.k(), '{}') = id AS same FROM benchorch.benchmark_results WHERE config_id = pg_temp.c(1);
SELECT count(*) FROM benchorch.benchmark_results WHERE config_id = pg_temp.c(1);

-- A stale claim: hand_in keeps the result as unaccepted, complete refuses
SELECT accepted, status, result_id IS NOT NULL AS stored FROM benchorch.hand_in(pg_temp.c(2), 1, 'ok', '{"a": 1}');
SELECT accepted, status, result_id IS NOT NULL AS stored FROM benchorch.hand_in(pg_temp.c(2), 1, 'ok', '{"a": 1}');
SELECT accepted, status, result_id IS NOT NULL AS stored FROM benchorch.hand_in(pg_temp.c(2), 2, 'ok', 'no JSON');
SELECT accepted, status, result_id IS NOT NULL AS stored FROM benchorch.hand_in(pg_temp.c(2), 3, 'crash', 'no JSON');
SELECT accepted, status, result_id IS NOT NULL AS stored FROM benchorch.hand_in(-1, 1, 'ok', '{}');
SELECT claim_id, accepted, parsed, flags, convert_from(raw, 'UTF8') AS raw FROM benchorch.benchmark_results
WHERE config_id = pg_temp.c(2) ORDER BY claim_id;
DO $$
BEGIN
	PERFORM benchorch.complete(pg_temp.c(2), 1, '{}');
EXCEPTION WHEN SQLSTATE 'BO001' THEN
	RAISE WARNING '%: %', SQLSTATE, pg_temp.masked(SQLERRM);
END $$;
\set VERBOSITY sqlstate
SELECT benchorch.complete(-1, 1, '{}');
\set VERBOSITY default
SELECT pg_temp.status(2);

-- The worker is told by the claim
SELECT benchorch.register_worker('results-worker', 'p5.48xlarge', '{tool}', '{"gpus": 8}') AS worker \gset
SELECT benchorch.register_model('results 2', '00000000-0000-0000-0000-00000000000b') IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-00000000000b', template => 'small');
CREATE TEMP TABLE held AS SELECT * FROM benchorch.claim_batch(1, worker_id => :'worker');
SELECT a.accepted, a.status FROM held AS h, benchorch.hand_in(h.config_id, h.claim_id, 'ok', '{}') AS a;
SELECT r.worker_id = :'worker' AS same_worker FROM benchorch.benchmark_results AS r JOIN held AS h ON h.config_id = r.config_id;

-- An archived result answers too
SAVEPOINT archive;
SELECT r.id AS stored FROM benchorch.benchmark_results AS r WHERE r.config_id = pg_temp.c(1) \gset
SELECT benchorch.archive_completed('-1 hour') > 0 AS archived;
SELECT accepted, status, result_id = :stored AS same FROM benchorch.hand_in(pg_temp.c(1), pg_temp.k(), 'ok', '{}');
SELECT benchorch.complete(pg_temp.c(1), pg_temp.k(), '{}') = :stored AS same;
ROLLBACK TO archive;

-- What is no result ends the attempt, and the output is kept
SELECT accepted, status, result_id FROM benchorch.hand_in(pg_temp.c(3), pg_temp.k(), 'ok', 'Segmentation fault', 'stderr', '{"argv": ["tool"], "exit_code": 0}');
SELECT accepted, status, result_id FROM benchorch.hand_in(pg_temp.c(3), pg_temp.k(), 'ok', 'Segmentation fault');
SELECT accepted, status, result_id FROM benchorch.hand_in(pg_temp.c(4), pg_temp.k(), 'bad_config', 'usage: tool', NULL, '{"message": "unknown option"}');
SELECT accepted, status, result_id FROM benchorch.hand_in(pg_temp.c(4), pg_temp.k(), 'bad_config', 'usage: tool');
SELECT accepted, status, result_id FROM benchorch.hand_in(pg_temp.c(4), pg_temp.k(), 'timeout', '');
SELECT accepted, status, result_id FROM benchorch.hand_in(pg_temp.c(5), pg_temp.k(), 'ok',
	'{"tool": "benchorch-engine", "requests_completed": 0, "requests_failed": 8}');
SELECT c.n, a.outcome, a.status, a.message, a.argv, a.exit_code, convert_from(a.log, 'UTF8') AS log
FROM benchorch.attempts AS a JOIN claimed AS c USING (config_id) ORDER BY c.n;

-- NULL everywhere
SELECT benchorch.hand_in(NULL, 1, 'ok', '');
SELECT benchorch.hand_in(1, NULL, 'ok', '');
SELECT benchorch.hand_in(1, 1, NULL, '');
SELECT benchorch.hand_in(1, 1, 'ok', NULL);
SELECT benchorch.hand_in(1, 1, 'fine', '');
SELECT benchorch.hand_in(1, 1, 'ok', '{}', NULL, '[]');
SELECT benchorch.complete(NULL, 1, '{}');
SELECT benchorch.complete(1, NULL, '{}');
SELECT benchorch.complete(1, 1, NULL);
SELECT benchorch.complete(1, 1, '[{}]');
SELECT benchorch.complete(pg_temp.c(6), pg_temp.k(), '"text"');
SELECT benchorch.complete(pg_temp.c(6), pg_temp.k(), '{}', 'no-such-tool');
SELECT benchorch.complete(pg_temp.c(6), pg_temp.k(), '{"completed": 0}', 'vllm-serve');
SELECT benchorch.complete_many(NULL, '{}', '{}');
SELECT benchorch.complete_many('{}', NULL, '{}');
SELECT benchorch.complete_many('{}', '{}', NULL);
SELECT benchorch.complete_many('{1}', '{1,2}', '{}');
SELECT benchorch.complete_many('{1}', '{1}', '{}');
SELECT benchorch.complete_many('{NULL}', '{1}', '{"{}"}');
SELECT benchorch.complete_many('{}', '{}', '{}');
SELECT benchorch.hand_in_many('{1}', '{1}', '{ok,ok}', '{a}');
SELECT benchorch.hand_in_many('{1}', '{1}', '{ok}', NULL);
SELECT benchorch.normalize(NULL, '{}');
SELECT benchorch.normalize('vllm-serve', NULL);
SELECT benchorch.normalize('no-such-tool', '{}');
SELECT benchorch.guess_adapter(NULL);
SELECT benchorch.guess_adapter('{}'), benchorch.guess_adapter('[]'), benchorch.guess_adapter('1'), benchorch.guess_adapter('null');
SELECT pg_temp.status(6);

-- Many: one that is refused spoils none of the others
SELECT c.n, a.result_id IS NOT NULL AS stored, a.sqlstate, pg_temp.masked(a.message) AS message
FROM benchorch.complete_many(
	ARRAY[pg_temp.c(9), pg_temp.c(7), pg_temp.c(8), pg_temp.c(10), pg_temp.c(11), pg_temp.c(12), pg_temp.c(7), pg_temp.c(1)],
	ARRAY[pg_temp.k(), pg_temp.k(), 1, pg_temp.k(), pg_temp.k(), pg_temp.k(), pg_temp.k(), pg_temp.k()],
	ARRAY['{"tool": "benchorch-engine", "duration_s": 2, "output_tokens": 30}', '{}', '{}', '{"a": ', '[{"a": 1}]', NULL, '{}', '{}'],
	'{"where": "here"}') WITH ORDINALITY AS a (config_id, result_id, sqlstate, message, i)
LEFT JOIN claimed AS c USING (config_id) ORDER BY a.i;
SELECT n, status, r.adapter, r.output_tokens_per_s, r.flags, r.environment, convert_from(r.raw, 'UTF8') AS raw
FROM claimed AS c JOIN benchorch.benchmark_configs AS b ON b.id = c.config_id LEFT JOIN benchorch.benchmark_results AS r USING (config_id)
WHERE n BETWEEN 7 AND 12 ORDER BY n;
SELECT c.n, a.result_id IS NOT NULL AS stored, a.sqlstate, pg_temp.masked(a.message) AS message, pg_temp.status(c.n::int)
FROM benchorch.hand_in_many(
	ARRAY[pg_temp.c(13), pg_temp.c(14), pg_temp.c(15), pg_temp.c(16), pg_temp.c(17), pg_temp.c(18), pg_temp.c(19)],
	ARRAY[pg_temp.k(), pg_temp.k(), pg_temp.k(), 1, pg_temp.k(), pg_temp.k(), pg_temp.k()],
	ARRAY['ok', 'host_oom', 'ok', 'ok', 'odd', NULL, 'ok'],
	ARRAY['{}', 'Killed', 'no JSON', '{}', '{}', '{}', NULL]::bytea[]) WITH ORDINALITY AS a (config_id, result_id, sqlstate, message, i)
LEFT JOIN claimed AS c USING (config_id) ORDER BY a.i;

-- What counts as a result; every output here is handed in under a claim of its own, so only the parser decides
CREATE FUNCTION pg_temp.reads(output bytea) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	config bigint;
	result bigint;
BEGIN
	SELECT c.config_id INTO config FROM claimed AS c JOIN benchorch.benchmark_configs AS b ON b.id = c.config_id
	WHERE b.status = 'running' ORDER BY c.n DESC LIMIT 1;
	SELECT h.result_id INTO result FROM benchorch.hand_in(config, pg_temp.k(), 'ok', output) AS h;
	IF result IS NULL THEN
		RETURN (SELECT message FROM benchorch.attempts WHERE config_id = config);
	END IF;
	RETURN (SELECT left(parsed::text, 60) FROM benchorch.benchmark_results WHERE id = result);
END $$;
SELECT what, pg_temp.reads(output) FROM (VALUES
	('nothing', ''),
	('white space', E' \n\t'),
	('an object', ' {"a": [1, {"b": "c"}], "d": true} '),
	('not numbers', '{"a": NaN, "b": [Infinity, -Infinity], "c": "NaN", "d": -nan, "e": inf}'),
	('a key twice', '{"a": 1, "b": 2, "a": 3}'),
	('an array of objects', '[{"a": 1}, {"b": 2}]'),
	('an array of others', '[{"a": 1}, 2]'),
	('an empty array', '[]'),
	('a number', '42'),
	('lines of JSON', E'{"a": 1}\n{"a": 2}\n'),
	('a line among others', E'INFO start\n{"a": 1}\nINFO [12] done {x}\n'),
	('a block after lines', E'[INFO] start\n[10]\n{\n  "a": {\n    "b": 1\n  },\n  "c": [\n    {"d": 2}\n  ]\n}\n'),
	('a line after a block that never ended', E'{"a": [1,\n{"b": 2}'),
	('part of a broken block', E'{\n  "a": {\n    "b": 1\n  },\n  "c": [\n    {"d": 2}\n  ]\n  x\n}\n'),
	('something else follows', '{"a": 1} seconds'),
	('a comma too many', E'{"a": 1,\n "b": [1, 2,]}'),
	('no colon', '{"a" 1}'),
	('single quotes', '{''a'': 1}'),
	('leading zero', '{"a": 007}'),
	('a tab in a string', E'{"a": "b\tc"}'),
	('a large number', '{"a": 1e1000000}'),
	('a number that numeric can take', '{"a": 1e30, "b": 1E-30}'),
	('too large a number in the last line', E'{"a": 1}\n{"a": 1e1000000}\n')
) AS v (what, text), convert_to(text, 'UTF8') AS output;
SELECT what, pg_temp.reads(output) FROM (VALUES
	('a broken byte', '\x7b2261223a2022ff227d'::bytea),
	('a NUL byte', '\x7b2261223a202200227d'),
	('half a character', '\x7b2261223a2022e4b8227d'),
	('an escaped NUL', '{"a": "x\\u0000y", "b": "\\u00e9\\ud83d\\ude00", "c": "\\ud83d", "d": "\\u0022"}'),
	('500 deep', convert_to(repeat('{"a":', 499) || '{}' || repeat('}', 499), 'UTF8')),
	('501 deep', convert_to(repeat('{"a":', 500) || '{}' || repeat('}', 500), 'UTF8')),
	('1001 digits', convert_to('{"a": ' || repeat('7', 1001) || '}', 'UTF8')),
	('10 MB', convert_to('{"a": "' || repeat('0123456789', 1000000) || '"}', 'UTF8')),
	('10 MB that end too early', convert_to('{"a": "' || repeat('0123456789', 1000000), 'UTF8')),
	('10 MB of opening brackets', convert_to(repeat('[', 10000000), 'UTF8'))
) AS v (what, output);

-- Adapters: a published output of each tool, shortened, by hand
CREATE FUNCTION pg_temp.metrics(adapter text, raw jsonb) RETURNS TABLE (metric text, value text) LANGUAGE sql AS $$
	SELECT key, CASE WHEN jsonb_typeof(j.value) = 'number' THEN round(j.value::numeric, 4)::text ELSE j.value::text END
	FROM jsonb_each(to_jsonb((SELECT n FROM benchorch.normalize(adapter, raw) AS n))) AS j
	WHERE j.value <> 'null' ORDER BY key COLLATE "C"
$$;
-- tokens are 30 x 500 and 30 x 100 in 10 s
\set serve '{"backend": "vllm", "num_prompts": 32, "request_rate": "inf", "max_concurrency": null, "duration": 10.0, "completed": 30, "total_input_tokens": 15000, "total_output_tokens": 3000, "request_throughput": 3.0, "request_goodput:": 2.5, "output_throughput": 300.0, "total_token_throughput": 1800.0, "mean_ttft_ms": 54.5, "median_ttft_ms": 52.25, "p99_ttft_ms": 98, "mean_tpot_ms": 13.75, "median_tpot_ms": 13.5, "mean_itl_ms": 13.6, "median_itl_ms": 13.1, "p95_itl_ms": 20, "p99_itl_ms": 34.5}'
SELECT benchorch.guess_adapter(:'serve');
SELECT * FROM pg_temp.metrics('vllm-serve', :'serve');
-- strings that are numbers are, whatever else is of the wrong type is NULL
SELECT metric, value FROM pg_temp.metrics('vllm-serve', '{"mean_ttft_ms": "54.5", "median_ttft_ms": "54 ms", "p99_ttft_ms": [1, 2], "mean_tpot_ms": {"a": 1},
	"median_tpot_ms": true, "p99_tpot_ms": -1, "mean_itl_ms": 0.0, "median_itl_ms": 1e400, "duration": "Infinity", "completed": "0x10",
	"output_throughput": " 5", "total_token_throughput": ""}');
SELECT metric, value FROM pg_temp.metrics('vllm-serve', '[{"mean_ttft_ms": 1}, {"mean_ttft_ms": 2}]');
SELECT metric, value FROM pg_temp.metrics('vllm-serve', '"text"');
-- a rate that contradicts its sums; half a unit of the last digit is allowed
SELECT value FROM pg_temp.metrics('vllm-throughput', '{"elapsed_time": 120.5, "num_requests": 1000, "total_input_tokens": 5014, "total_output_tokens": 1500,
	"requests_per_second": 8.30, "tokens_per_second": 1244.81, "output_tokens_per_second": 1072.15}') WHERE metric = 'flags';
SELECT value FROM pg_temp.metrics('vllm-throughput', '{"elapsed_time": 4.70, "num_requests": 1, "requests_per_second": 0.2}') WHERE metric = 'flags';
SELECT value FROM pg_temp.metrics('vllm-throughput', '{"elapsed_time": 4.70, "num_requests": 1, "requests_per_second": 0.20}') WHERE metric = 'flags';
-- more than 5 % failed
SELECT n.flags FROM benchorch.normalize('benchorch-engine', '{"requests_completed": 95, "requests_failed": 5}') AS n;
SELECT n.flags FROM benchorch.normalize('benchorch-engine', '{"requests_completed": 94, "requests_failed": 6}') AS n;
-- noise
SELECT n.flags FROM benchorch.normalize('benchorch-engine', '{"noise_rel": 0.1}') AS n;
SELECT n.flags FROM benchorch.normalize('benchorch-engine', '{"noise_rel": 0.11}') AS n;
-- energy over less than 3 s is none
SELECT n.energy_j FROM benchorch.normalize('benchorch-engine', '{"energy_j": 50, "duration_s": 2.9}') AS n;
SELECT n.energy_j FROM benchorch.normalize('benchorch-engine', '{"energy_j": 50, "duration_s": 3}') AS n;

SELECT * FROM pg_temp.metrics('vllm-latency', '{"avg_latency": 1.0012, "latencies": [1.0], "percentiles": {"10": 0.99, "50": 1.0003, "90": 1.00358, "99": 1.004318}}');
-- 2 requests of 24 s in 8 s; no rates in the older schema
SELECT * FROM pg_temp.metrics('sglang-serving', '{"backend": "sglang", "request_rate": null, "total_input_tokens": 1000, "total_output_tokens": 400, "total_output_tokens_retokenized": 390,
	"mean_e2e_latency_ms": 24000, "median_e2e_latency_ms": 23000, "median_ttft_ms": 218.5, "median_itl_ms": 38.75, "output_throughput": 50, "duration": 8, "completed": 2}');
-- TPOT (0.5 - 0.1) s / 31; 16 x 544 tokens in 0.5 s
SELECT * FROM pg_temp.metrics('sglang-one-batch', '{"run_name": "r", "batch_size": 16, "input_len": 512, "output_len": 32, "prefill_latency": 0.1, "prefill_throughput": 81920,
	"median_decode_latency": 0.0125, "median_decode_throughput": 1280, "total_latency": 0.5, "overall_throughput": 17408}');
SELECT metric, value FROM pg_temp.metrics('sglang-one-batch', '{"output_len": 1, "prefill_latency": 0.1, "total_latency": 0.1}') WHERE metric LIKE 'tpot%';
SELECT * FROM pg_temp.metrics('trtllm-bench', '{"request_info": {"num_requests": 10, "avg_input_length": 64.0, "avg_output_length": 16.0, "avg_num_concurrent_requests": 2.5},
	"performance": {"total_latency_ms": 4000.0, "avg_request_latency_ms": 1000.0, "request_throughput_req_s": 2.5, "system_output_throughput_tok_s": 40.0,
	"system_total_throughput_tok_s": 200.0, "request_latency_percentiles_ms": {"p50": 990.0, "p99": 1100.0}},
	"energy": {"total_energy_j": 56.1}, "streaming_metrics": {"avg_ttft_ms": 45.5, "avg_tpot_ms": 14.0, "ttft_percentiles": {"p50": 45.0}, "tpot_percentiles": {"p50": 13.9}}}');
-- pp 512 and tg 128: decode only; TPOT 1280 ms / 128; with a pg row 128 tokens in 1.6 s
SELECT * FROM pg_temp.metrics('llama-bench', '[{"n_prompt": 512, "n_gen": 0, "avg_ns": 72000000, "avg_ts": 7111.1, "stddev_ts": 140.3}, {"n_prompt": 0, "n_gen": 128, "avg_ns": 1280000000, "avg_ts": 100.0, "stddev_ts": 2.0}]');
SELECT * FROM pg_temp.metrics('llama-bench', '{"n_prompt": 512, "n_gen": 128, "avg_ns": 1600000000, "avg_ts": 400.0, "stddev_ts": 2.0}');
-- inter_token_latency of genai-perf is our TPOT; another unit than expected is not guessed at
SELECT * FROM pg_temp.metrics('genai-perf', '{"request_throughput": {"unit": "requests/sec", "avg": 17.25}, "request_latency": {"unit": "ms", "avg": 5767.5, "p50": 5778.5},
	"time_to_first_token": {"unit": "us", "avg": 184.5}, "inter_token_latency": {"unit": "ms", "avg": 2.175, "p50": 2.25}, "request_count": {"unit": "requests", "avg": 80.0}}');
-- empty groups of GuideLLM are zeros; 16 tokens in 5 s
SELECT * FROM pg_temp.metrics('guidellm', '{"benchmarks": [{"duration": 5.0, "warmup_duration": 0.0, "cooldown_duration": 0.0, "metrics": {
	"request_totals": {"successful": 2, "errored": 0, "incomplete": 0, "total": 2},
	"request_latency": {"successful": {"mean": 0.02, "count": 2, "percentiles": {"p50": 0.0195}}},
	"time_to_first_token_ms": {"successful": {"mean": 11.5, "count": 2, "percentiles": {"p50": 11.25}}, "errored": {"mean": 0.0, "count": 0}},
	"time_per_output_token_ms": {"successful": {"mean": 0.0, "count": 0, "percentiles": {"p50": 0.0}}},
	"inter_token_latency_ms": {"successful": {"mean": 1.25, "count": 14}},
	"prompt_token_count": {"successful": {"total_sum": 144.0, "count": 2}}, "output_token_count": {"successful": {"total_sum": 16.0, "count": 2}}}}]}');
SELECT * FROM pg_temp.metrics('optimum-benchmark', '{"prefill": {"latency": {"unit": "s", "mean": 0.125, "p50": 0.12}, "throughput": {"unit": "samples/s", "value": 8}},
	"decode": {"memory": {"unit": "MB", "max_ram": 2085.5, "max_global_vram": 144667.75}, "latency": {"unit": "s", "mean": 6.25, "stdev": 0.0125}, "throughput": {"unit": "tokens/s", "value": 10.08}},
	"per_token": {"latency": {"unit": "s", "mean": 0.0992, "p50": 0.099}}}');
-- seconds, whatever its documentation says
SELECT * FROM pg_temp.metrics('inference-perf', '{"load_summary": {"count": 10}, "successes": {"count": 10, "latency": {"request_latency": {"mean": 3.0, "median": 3.5},
	"time_per_output_token": {"mean": 0.0125, "median": 0.012}, "time_to_first_token": {"mean": 1.5, "median": 2.0, "p99": 2.75}, "inter_token_latency": {"mean": 0.0125, "median": 0.00005}},
	"throughput": {"output_tokens_per_sec": 46.5, "total_tokens_per_sec": 195.0, "requests_per_sec": 0.75}, "prompt_len": {"mean": 200.5}, "output_len": {"mean": 62.8}},
	"failures": {"count": 0, "request_latency": null}}');
SELECT * FROM pg_temp.metrics('llmperf', '{"results_ttft_s_mean": 0.25, "results_ttft_s_quantiles_p50": 0.2125, "results_inter_token_latency_s_mean": 0.016, "results_end_to_end_latency_s_mean": 2.35,
	"results_mean_output_throughput_token_per_s": 207.5, "results_request_output_throughput_token_per_s_mean": 25.6, "results_num_completed_requests": 150, "results_number_errors": 0,
	"results_num_completed_requests_per_min": 84, "results_number_output_tokens_mean": 146, "results_number_input_tokens_mean": 550, "results_number_output_tokens_min": "22"}');

-- Every adapter is recognised by its output, and has a row
SELECT s.adapter, count(*) > 0 AS has_metrics FROM benchorch.adapter_signs AS s JOIN benchorch.adapters USING (adapter)
GROUP BY s.adapter, s.position ORDER BY s.position;
-- Seeding again changes nothing that a user has edited
UPDATE benchorch.adapters SET scale = 7 WHERE adapter = 'vllm-serve' AND metric = 'duration_s';
DELETE FROM benchorch.adapters WHERE adapter = 'vllm-serve' AND metric = 'ttft_mean_ms';
SELECT benchorch.seed_adapters();
SELECT metric, path, scale FROM benchorch.adapters WHERE adapter = 'vllm-serve' AND metric IN ('duration_s', 'ttft_mean_ms') ORDER BY metric;
-- A tool of one's own is two rows
INSERT INTO benchorch.adapters (adapter, metric, path, scale, method) VALUES ('mine', 'ttft_mean_ms', '$.first', 1000, '{ttft=mine}');
INSERT INTO benchorch.adapter_signs VALUES ('mine', 5, '$.first');
SELECT benchorch.guess_adapter('{"first": 0.5}'), n.ttft_mean_ms, n.method FROM benchorch.normalize('mine', '{"first": 0.5}') AS n;
INSERT INTO benchorch.adapters (adapter, metric, path) VALUES ('mine', 'speed', '$.speed');

ROLLBACK;
