-- Checks: physics, throttled, not_applied and their "not evaluated", switching them, a check of one's own.
-- Everything happens in one transaction that is rolled back.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
\pset null -
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();
\set model '''00000000-0000-0000-0000-0000000000c1'''
SELECT benchorch.register_model('Llama-3.1-8B', :model) IS NOT NULL AS registered;
SELECT count(*) AS built_in, count(*) FILTER (WHERE enabled) AS enabled FROM benchorch.checks;

-- A result of a static batch on one H100: 1024 tokens in, 128 out.  The bounds of docs/results.md:
-- batch 1: TTFT 14.73 ms, TPOT 4.523 ms; batch 32: 471.4 ms, 5.843 ms.
CREATE FUNCTION pg_temp.subject(more jsonb DEFAULT '{}', hardware text DEFAULT 'p5.48xlarge') RETURNS jsonb LANGUAGE sql AS $$
	SELECT benchorch.subject('00000000-0000-0000-0000-0000000000c1', h.id, NULL, 1, NULL, 1, '{}')
		|| '{"input_tokens": 1024, "output_tokens": 128}' || more
	FROM (SELECT max(id) AS id FROM benchorch.hardware_configs WHERE name = hardware) AS h
$$;
CREATE FUNCTION pg_temp.says(result jsonb, subject jsonb, environment jsonb DEFAULT NULL, checked text DEFAULT 'physics',
	adapter text DEFAULT 'canonical-batch', OUT flag jsonb, OUT lacks text) LANGUAGE sql AS $$
	SELECT jsonb_path_query_first((e.flags -> checked), '$'), e.unchecked ->> checked
	FROM benchorch.evaluate(adapter, result, subject, environment) AS e
$$;
-- 0.98 of a bound is the limit
SELECT v.batch, v.ttft, v.tpot, s.flag FROM (VALUES (1, 14.73 * 0.981, 4.523 * 0.981), (1, 14.73 * 0.979, 4.6), (1, 15, 4.523 * 0.979),
	(32, 471.4 * 0.981, 5.843 * 0.981), (32, 471.4 * 0.979, 6), (32, 472, 5.843 * 0.979)) AS v (batch, ttft, tpot),
	pg_temp.says(jsonb_build_object('ttft_p50_ms', v.ttft, 'tpot_p50_ms', v.tpot), pg_temp.subject(jsonb_build_object('batch_size', v.batch))) AS s;
-- the median is compared where there is one, else the mean
SELECT flag FROM pg_temp.says('{"ttft_p50_ms": 20, "ttft_mean_ms": 10}', pg_temp.subject());
SELECT flag FROM pg_temp.says('{"ttft_mean_ms": 10}', pg_temp.subject());
-- e2e: 14.73 + 127 x 4.523 = 589.1 ms; so 217.3 output tokens/s and 1955.5 in all at most
SELECT flag FROM pg_temp.says('{"e2e_p50_ms": 578, "output_tokens_per_s": 221, "total_tokens_per_s": 1994}', pg_temp.subject());
SELECT flag FROM pg_temp.says('{"e2e_p50_ms": 577, "output_tokens_per_s": 222, "total_tokens_per_s": 1995}', pg_temp.subject());
-- memory of batch 32: 19.46 GiB
SELECT flag FROM pg_temp.says('{"gpu_memory_peak_bytes": 20500000000}', pg_temp.subject('{"batch_size": 32}'));
SELECT flag FROM pg_temp.says('{"gpu_memory_peak_bytes": 20400000000}', pg_temp.subject('{"batch_size": 32}'));
-- the fractions of the roofline: 14.73 / 20 and 4.523 / 9
SELECT round(e.roofline_prefill::numeric, 4) AS prefill, round(e.roofline_decode::numeric, 4) AS decode
FROM benchorch.evaluate('canonical-batch', '{"ttft_p50_ms": 20, "tpot_p50_ms": 9}', pg_temp.subject(), NULL) AS e;
-- two GPUs halve the bound, two replicas halve the batch
SELECT flag FROM pg_temp.says('{"tpot_p50_ms": 2.3}', pg_temp.subject('{"gpus": 2}'));
SELECT flag FROM pg_temp.says('{"tpot_p50_ms": 2.3}', pg_temp.subject('{"gpus": 2, "batch_size": 2, "params": {"data_parallel": 2}}'));
-- fp8: half the bytes, twice the FLOP/s
SELECT flag FROM pg_temp.says('{"tpot_p50_ms": 2.3}', pg_temp.subject('{"params": {"precision": "fp8"}}'));
SELECT flag FROM pg_temp.says('{"tpot_p50_ms": 2.3, "precision": "bfloat16"}', pg_temp.subject('{"params": {"precision": "fp8"}}'));

-- served: batch 1 on all GPUs for the times, and the FLOPs of all requests
SELECT flag FROM pg_temp.says('{"ttft_p50_ms": 14, "tpot_p50_ms": 4.4, "dataset": "random"}', pg_temp.subject('{"batch_size": 32}'), adapter => 'canonical');
SELECT flag FROM pg_temp.says('{"ttft_p50_ms": 15, "tpot_p50_ms": 4.5, "dataset": "random"}', pg_temp.subject('{"batch_size": 32}'), adapter => 'canonical');
-- a request is 14.57 + 2.0 TFLOP, so 989 TFLOP/s make 59.7 requests/s at most, or 486 without the prefill
SELECT flag FROM pg_temp.says('{"requests_per_s": 59, "dataset": "random"}', pg_temp.subject(), adapter => 'canonical');
SELECT flag FROM pg_temp.says('{"requests_per_s": 62, "dataset": "random"}', pg_temp.subject(), adapter => 'canonical');
SELECT flag FROM pg_temp.says('{"output_tokens_per_s": 8000, "dataset": "random"}', pg_temp.subject(), adapter => 'canonical');

-- not evaluated, and why
SELECT v.what, s.* FROM (VALUES
	('no architecture', pg_temp.subject() - 'architecture', '{"ttft_p50_ms": 1}'::jsonb),
	('no hardware', pg_temp.subject('{}', 'none'), '{"ttft_p50_ms": 1}'),
	('a CPU', pg_temp.subject('{"machine": {"name": "cpu-64", "kind": "cpu"}}'), '{"ttft_p50_ms": 1}'),
	('no peaks', pg_temp.subject('{"machine": {"name": "box", "kind": "gpu"}}'), '{"ttft_p50_ms": 1}'),
	('GPUs unknown', pg_temp.subject() - 'gpus', '{"ttft_p50_ms": 1}'),
	('lengths unknown', pg_temp.subject() - 'input_tokens', '{"ttft_p50_ms": 1}'),
	('unknown precision', pg_temp.subject('{"params": {"precision": "q4_k"}}'), '{"ttft_p50_ms": 1}'),
	('no peak for it', pg_temp.subject('{"params": {"precision": "fp8"}}', 'p4d.24xlarge'), '{"ttft_p50_ms": 1}'),
	('fp32', pg_temp.subject('{"params": {"precision": "fp32"}}'), '{"ttft_p50_ms": 1}'),
	('odd weights', pg_temp.subject(), '{"ttft_p50_ms": 1, "weight_bytes": 4677120000}'),
	('batch unknown', pg_temp.subject() - 'batch_size', '{"ttft_p50_ms": 1}'),
	('speculative', pg_temp.subject('{"params": {"speculative_model": "small"}}'), '{"tpot_p50_ms": 1}'),
	('speculative, told', pg_temp.subject('{"params": {"speculative_model": "small"}}'), '{"tpot_p50_ms": 1.4, "acceptance_length": 3}'),
	('speculative, too fast', pg_temp.subject('{"params": {"speculative_model": "small"}}'), '{"tpot_p50_ms": 1.4, "acceptance_length": 2}'),
	('nothing to compare', pg_temp.subject(), '{"goodput_per_s": 1}')
) AS v (what, subject, result), pg_temp.says(v.result, v.subject) AS s;
-- prefixes that may have been cached
SELECT v.what, s.*, e.method FROM (VALUES
	('unknown', '{"ttft_p50_ms": 1, "tpot_p50_ms": 5}'::jsonb),
	('on', '{"ttft_p50_ms": 1, "tpot_p50_ms": 5, "prefix_caching": true}'),
	('on, distinct prompts', '{"ttft_p50_ms": 1, "tpot_p50_ms": 5, "prefix_caching": true, "dataset": "random"}'),
	('off', '{"ttft_p50_ms": 1, "tpot_p50_ms": 5, "prefix_caching": false}')
) AS v (what, result), pg_temp.says(v.result, pg_temp.subject(), adapter => 'canonical') AS s,
	benchorch.evaluate('canonical', v.result, pg_temp.subject(), NULL) AS e;
-- weights that fit a cache: no bound by bandwidth.  SmolLM2-135M on 8 MI300X: 33 of 256 MiB
SELECT flag, lacks FROM pg_temp.says('{"tpot_p50_ms": 0.001}',
	pg_temp.subject('{"gpus": 8}', 'ND MI300X v5') || jsonb_build_object('architecture', (SELECT architecture FROM benchorch.known_models() WHERE name = 'SmolLM2-135M')));
-- a sliding window bounds what is read: Gemma-2-9b after 32768 tokens, 21 of 42 layers see 4096.  18.48 GB of weights and
-- (32769 + 4096) / 2 x 344064 B of KV cache over 3350 GB/s are 7.41 ms; without the window it would be 8.88 ms
SELECT e.flags ? 'physics' AS flagged FROM (VALUES (8.2), (7.2)) AS v (ms), benchorch.evaluate('canonical-batch', jsonb_build_object('tpot_p50_ms', v.ms),
	pg_temp.subject('{"input_tokens": 32768, "output_tokens": 2}') || jsonb_build_object('architecture', (SELECT architecture FROM benchorch.known_models() WHERE name = 'Gemma-2-9b')), NULL) AS e;
-- an active expert is read, not all of them
SELECT s.flag IS NULL AS honest, round(e.roofline_decode::numeric, 2) AS fraction FROM (SELECT pg_temp.subject('{"batch_size": 8}')
	|| jsonb_build_object('architecture', architecture) AS subject FROM benchorch.known_models() WHERE name = 'Qwen3-30B-A3B') AS m,
	pg_temp.says('{"tpot_p50_ms": 11}', m.subject) AS s, benchorch.evaluate('canonical-batch', '{"tpot_p50_ms": 11}', m.subject, NULL) AS e;

-- throttled: counters of the environment record, or the tool's own share; the power cap is no fault
CREATE FUNCTION pg_temp.environment(counter text, ns bigint) RETURNS jsonb LANGUAGE sql AS $$
	SELECT jsonb_build_object('seconds', 100, 'gpus', jsonb_build_array(
		'{"before": {"throttle_ns": {"power_cap": 0, "thermal_software": 0, "thermal_hardware": 7, "power_brake": 0}}, "after": {"throttle_ns": {"power_cap": 0, "thermal_software": 0, "thermal_hardware": 7, "power_brake": 0}}}'::jsonb,
		jsonb_build_object('before', jsonb_build_object('throttle_ns', jsonb_build_object(counter, 5000000000)),
			'after', jsonb_build_object('throttle_ns', jsonb_build_object(counter, 5000000000 + ns)))))
$$;
SELECT v.counter, v.ns, s.* FROM (VALUES ('thermal_hardware', 1000000000), ('thermal_hardware', 1100000000), ('thermal_software', 1100000000),
	('power_brake', 1100000000), ('power_cap', 99000000000)) AS v (counter, ns),
	pg_temp.says('{"ttft_p50_ms": 20}', NULL, pg_temp.environment(v.counter, v.ns), 'throttled') AS s;
SELECT * FROM pg_temp.says('{"ttft_p50_ms": 20}', NULL, '{"seconds": 100, "gpus": [{"before": null}]}', 'throttled');
SELECT * FROM pg_temp.says('{"ttft_p50_ms": 20}', NULL, NULL, 'throttled');
SELECT * FROM pg_temp.says('{"ttft_p50_ms": 20, "throttled_share": 0.01}', NULL, pg_temp.environment('power_brake', 9000000000), 'throttled');
SELECT * FROM pg_temp.says('{"ttft_p50_ms": 20, "throttled_share": 0.02}', NULL, NULL, 'throttled');

-- not_applied: what is reported otherwise than asked
SELECT v.result - 'ttft_p50_ms' AS reported, s.* FROM (VALUES
	('{"model": "meta-llama/Llama-3.1-8B-Instruct"}'::jsonb), ('{"model": "meta-llama/Llama-3.1-70B"}'), ('{"model": "/models/some-path"}'),
	('{"precision": "bfloat16"}'), ('{"precision": "fp8"}'), ('{"precision": "auto"}'), ('{"precision": "int3"}'), ('{"kv_cache_dtype": "fp8_e4m3"}'),
	('{"tensor_parallel": 2}'), ('{"tensor_parallel": 4}'), ('{"tensor_parallel": 1, "pipeline_parallel": 2}'), ('{"gpus": 8}'),
	('{"input_tokens_mean": 975}'), ('{"input_tokens_mean": 970}'), ('{"output_tokens_mean": 134}'), ('{"output_tokens_mean": 135}'), ('{}')
) AS v (result), pg_temp.says(v.result || '{"ttft_p50_ms": 20}', pg_temp.subject('{"gpus": 2, "params": {"precision": "bf16", "tensor_parallel": 2, "kv_cache_dtype": "fp8"}}'),
	checked => 'not_applied') AS s;

-- never: mean e2e against ttft + tpot (n - 1), or itl against tpot
SELECT e.flags FROM benchorch.evaluate('canonical', '{"ttft_mean_ms": 50, "tpot_mean_ms": 10, "itl_mean_ms": 90, "e2e_mean_ms": 400, "output_tokens_mean": 128}', NULL, NULL) AS e;

-- switched off for a model version, and on again; the others keep it
SELECT result_id AS id FROM benchorch.import_result('{"static_batch": true, "ttft_p50_ms": 1, "tpot_p50_ms": 9}', :model, 'p5.48xlarge', gpus => 1, batch_size => 1, sequence_length => 1024,
	workload => 'chatbot') \gset
SELECT check_name, verdict, numbers, reason FROM benchorch.explain_result(:id);
SELECT benchorch.switch_check('physics', false, :model) AS flagged_otherwise;
SELECT flags, unchecked ? 'physics' AS lacks FROM benchorch.benchmark_results WHERE id = :id;
SELECT verdict FROM benchorch.explain_result(:id) WHERE check_name = 'physics';
SELECT flag IS NOT NULL AS still_flagged FROM pg_temp.says('{"ttft_p50_ms": 1}', pg_temp.subject() - 'off');
SELECT benchorch.switch_check('physics', true, :model) AS flagged_otherwise;
SELECT benchorch.switch_check('physics', false) AS flagged_otherwise;
SELECT flags ? 'physics' AS flagged_by_its_own_switch FROM benchorch.benchmark_results WHERE id = :id;
SELECT benchorch.switch_check('physic', false);
SELECT benchorch.switch_check('physics', NULL);
SELECT benchorch.switch_check('physics', false, '00000000-0000-0000-0000-0000000000ff');
-- peaks that are corrected later count with the next recheck
UPDATE benchorch.hardware_configs SET bf16_tflops = 98900, bandwidth_gbps = 335000 WHERE name = 'p5.48xlarge';
SELECT benchorch.recheck(:model) AS flagged_otherwise;
SELECT flags FROM benchorch.benchmark_results WHERE id = :id;

-- a check of one's own
CREATE FUNCTION public.check_mlperf(of jsonb) RETURNS jsonb LANGUAGE sql AS
	$$SELECT CASE of -> 'reported' ->> 'validity' WHEN 'VALID' THEN NULL WHEN 'INVALID' THEN '{"result": "INVALID"}'::jsonb ELSE '"it tells no validity"' END$$;
CREATE FUNCTION public.check_broken(of jsonb) RETURNS jsonb LANGUAGE sql AS $$SELECT to_jsonb(1 / 0)$$;
INSERT INTO benchorch.checks (name, function, description) VALUES ('mlperf', 'public.check_mlperf', 'MLPerf itself calls it invalid'),
	('broken', 'public.check_broken', 'fails'), ('absent', 'public.no_such_check', 'is not there');
SELECT v.output, b.flags, b.unchecked - 'errors' - 'identity' - 'noise' - 'throttled' - 'not_applied' - 'physics' AS unchecked
FROM (VALUES ('VALID'), ('INVALID'), ('')) AS v (output),
	benchorch.import_result(convert_to(E'MLPerf Results Summary\nMean latency (ns) : 5000000\nResult is : ' || v.output, 'UTF8'), :model) AS i,
	LATERAL (SELECT flags, unchecked FROM benchorch.evaluate(NULL, (benchorch.parse_output(convert_to(E'MLPerf Results Summary\nMean latency (ns) : 5000000\nResult is : ' || v.output, 'UTF8'))).parsed,
		benchorch.checks_of(:model), NULL)) AS b;
DROP FUNCTION public.check_mlperf, public.check_broken;
ROLLBACK;
