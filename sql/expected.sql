-- How long runs are expected to take: the roofline, what was measured, predictions.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();

-- Llama-3.1-8B in bf16 on one H100 (3350 GB/s, 989 TFLOP/s), 1024 in, 128 out: TTFT 14.73 and 471.4 ms, TPOT 4.523 and 5.843 ms
SELECT b AS batch_size, round(r.ttft_ms::numeric, 3) AS ttft_ms, round(r.tpot_ms::numeric, 4) AS tpot_ms
FROM unnest(ARRAY[1, 32]) AS b, benchorch.known_models() AS m, benchorch.roofline(m.architecture, '{}', b, 1024, 128, 1, 3350, 989) AS r
WHERE m.name = 'Llama-3.1-8B';

-- The mean over the decode steps in closed form is that of the steps one by one: windows, experts, either bound
SELECT m.name, x.batch_size, x.s, x.o, abs(r.tpot_ms / steps.ms - 1) < 1e-12 AS equal
FROM benchorch.known_models() AS m,
	(VALUES (1, 1024, 128, 3350.0, 989.0), (256, 1000, 7000, 3350, 30), (64, 3000, 3000, 600, 70), (8, 5000, 2000, 600, 2)) AS x (batch_size, s, o, bw, tf),
	LATERAL (SELECT (m.architecture -> 'matmul_params')::float8 AS pmm, (m.architecture -> 'n_layers')::float8 AS l,
		(m.architecture -> 'n_heads')::float8 * (m.architecture -> 'head_dim')::float8 AS hd,
		2 * 2 * (m.architecture -> 'n_kv_heads')::float8 * (m.architecture -> 'head_dim')::float8 AS kv_layer,
		coalesce((m.architecture -> 'sliding_window')::float8, 0) AS win, coalesce((m.architecture -> 'sliding_layers')::float8, 0) AS sliding) AS a,
	LATERAL (SELECT 1000 * avg(greatest(
			(a.pmm * 2 + x.batch_size * seen * a.kv_layer) / (x.bw * 1e9),
			(2 * a.pmm * x.batch_size + 4 * a.hd * x.batch_size * seen) / (x.tf * 1e12))) AS ms
		FROM (SELECT (a.l - a.sliding) * c + a.sliding * least(c, a.win) AS seen FROM generate_series(x.s + 1, x.s + x.o - 1) AS c) AS step) AS steps,
	benchorch.roofline(m.architecture, '{}', x.batch_size, x.s, x.o, 1, x.bw, x.tf) AS r
WHERE m.name IN ('Gemma-2-9b', 'Mixtral-8x7B-v0.1', 'Llama-3.2-1B') ORDER BY 1, 2;

-- A batch of Mixtral reads more experts than a token uses: of 8, 2 used: batch 1 reads 2, batch 4 reads 8 (1 - 0.75^4) = 5.46875
SELECT b AS batch_size, round((r.tpot_ms / plain.tpot_ms)::numeric, 2) AS times, round((1 + 32 * 3.0 * 4096 * 14336 * (8 * (1 - power(0.75, b)) - 2)
	/ (m.architecture -> 'matmul_params')::float8)::numeric, 2) AS by_hand
FROM unnest(ARRAY[1, 4]) AS b, benchorch.known_models() AS m,
	benchorch.roofline(m.architecture, '{}', b, 16, 2, 1, 1000, NULL, true) AS r, benchorch.roofline(m.architecture, '{}', b, 16, 2, 1, 1000, NULL) AS plain
WHERE m.name = 'Mixtral-8x7B-v0.1';

-- What it does not know
SELECT benchorch.roofline(NULL, '{}', 1, 10, 10, 1, 1000, 1000) IS NULL AS no_architecture,
	benchorch.roofline('{"n_layers": 1}', '{}', 1, 10, 10, 1, 1000, 1000) IS NULL AS no_shape,
	benchorch.roofline(m.architecture, '{}', 1, 10, 10, 1, NULL, NULL) IS NULL AS no_peak,
	benchorch.roofline(m.architecture, '{"precision": "fp7"}', 1, 10, 10, 1, 1000, 1000) IS NULL AS no_precision,
	(benchorch.roofline(m.architecture, '{"precision": 8}', 1, 10, 10, 1, 1000, 1000)) IS NULL AS no_word,
	(benchorch.roofline(m.architecture, '{}', 1, 10, 1, 1, 1000, 1000)).tpot_ms IS NULL AS one_token
FROM benchorch.known_models() AS m WHERE m.name = 'Llama-3.1-8B';

/*
 * A machine of 1000 GB/s without a compute peak, and a model of 1e9 weights of
 * 2 bytes and 1e6 bytes of KV cache a token.  chatbot of 1024: 768 in, 256 out.
 *   TTFT   (2e9 + 768e6) / 1e12 s = 2.768 ms
 *   TPOT   the context is 896 in the mean: (2e9 + 896e6) / 1e12 s = 2.896 ms
 *   batch  2.768 + 255 x 2.896 = 741.248 ms
 * A run of a served framework is 32 of them, of another one 1, and takes twice
 * the least: 47.440 s and 1.482 s.
 */
SELECT benchorch.register_hardware('thousand', '{"gpu_memory_gib": 100, "bandwidth_gbps": 1000, "gpu_count": 4, "price_per_hour": 8}') IS NOT NULL AS registered;
SELECT benchorch.register_framework('once', '{"command": ["once"]}') IS NOT NULL AS registered;
SELECT benchorch.create_template('tiny', '{"hardware": ["thousand"], "frameworks": ["vLLM", "once"], "workloads": ["chatbot"],
	"batch_sizes": [1], "sequence_lengths": [1024], "repeats": 3}') IS NOT NULL AS created;
\set model '''00000000-0000-0000-0000-00000000000e'''
SELECT benchorch.register_model('round', :model, '{"n_layers": 10, "hidden_size": 1000, "n_heads": 10, "ffn_dim": 4000, "vocab_size": 1000,
	"params": 1000000000, "matmul_params": 1000000000, "weight_bytes": 2, "kv_bytes_per_token": 1000000}') IS NOT NULL AS registered;

-- 3 x (47.43987 + 1.482496) s = 146.767 s of one GPU of four, at 8 / 4 an hour; 146.767 / 2 = 73 s with two workers
SET client_min_messages = notice;
SELECT created FROM benchorch.populate_matrix(:model, true, 'tiny');
SET client_min_messages = warning;
SELECT hardware, configs, measured, round(worker_hours::numeric * 3600, 3) AS worker_s, round(gpu_hours::numeric * 3600, 3) AS gpu_s,
	round(cost::numeric, 6) AS cost, extract(epoch FROM makespan) AS makespan FROM benchorch.predict(:model, 'tiny', 2);
-- With 50 workers the longest config is what takes the time
SELECT extract(epoch FROM makespan) AS makespan FROM benchorch.predict(:model, 'tiny', 50) WHERE hardware IS NULL;
SELECT benchorch.predict(:model, 'tiny', 0);
SELECT benchorch.predict(NULL);
SELECT benchorch.predict(:model, 'nothing');
SELECT benchorch.predict('00000000-0000-0000-0000-0000000000ff');

SELECT created FROM benchorch.populate_matrix(:model, template => 'tiny');
SELECT f.name, c.params, round(c.expected_s::float8::numeric, 3) AS expected_s
FROM benchorch.benchmark_configs AS c JOIN benchorch.frameworks AS f ON f.id = c.framework_id WHERE c.model_version_id = :model ORDER BY 1, 2;
-- One that is typed is told the same
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length, params)
SELECT model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length, '{"repeat": 4}'
FROM benchorch.benchmark_configs WHERE model_version_id = :model AND params = '{"repeat": 3}';
SELECT count(DISTINCT expected_s) FROM benchorch.benchmark_configs WHERE model_version_id = :model GROUP BY framework_id;
DELETE FROM benchorch.benchmark_configs WHERE model_version_id = :model AND params = '{"repeat": 4}';
DELETE FROM benchorch.archived_configs WHERE model_version_id = :model;

-- Two of vLLM's runs took 94 and 96 s: the third is expected to take their median, and another length by the lane's pace, 95 / 47.44
CREATE TEMP TABLE claimed AS SELECT * FROM benchorch.claim_batch(6, model_version_id => :model);
SELECT count(*) FROM claimed AS c, LATERAL benchorch.complete(c.config_id, c.claim_id, '{"output_throughput": 1}')
WHERE c.framework_name = 'vLLM' AND (c.params ->> 'repeat')::int < 3;
SELECT count(*) FROM claimed AS c, LATERAL benchorch.update_status(c.config_id, 'pending', NULL, c.claim_id)
WHERE c.framework_name <> 'vLLM' OR (c.params ->> 'repeat')::int = 3;
UPDATE benchorch.benchmark_configs AS c SET completed_at = started_at + make_interval(secs => 92 + 2 * (params ->> 'repeat')::int), version = version + 1
WHERE c.model_version_id = :model AND c.status = 'completed';
SELECT created FROM benchorch.create_template('tiny', '{"sequence_lengths": [1024, 2048]}'), benchorch.populate_matrix(:model, template => 'tiny');
SELECT c.lane_id = p.lane_id AS vllm, round(p.pace::numeric, 4) AS pace, p.runs, round(95 / 47.439872, 4) AS by_hand
FROM benchorch.lane_paces(:model) AS p JOIN claimed AS v ON v.framework_name = 'vLLM' AND (v.params ->> 'repeat')::int = 1
JOIN benchorch.benchmark_configs AS c ON c.id = v.config_id;
SELECT f.name, c.sequence_length, e.basis, round(e.seconds::numeric, 3) AS seconds, round((e.seconds / c.expected_s)::numeric, 4) AS times, count(*)
FROM benchorch.expected_seconds(:model) AS e JOIN benchorch.benchmark_configs AS c ON c.id = e.config_id
JOIN benchorch.frameworks AS f ON f.id = c.framework_id GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2;
-- Ready chunks: the roofline where a config comes in, what was measured once the sweep has seen that a lane's pace is another one
SELECT f.name, c.sequence_length, min(u.work) AS least, max(u.work) AS most, round(max(c.expected_s) * 1000) AS roofline, count(*)
FROM benchorch.lane_chunks AS k, LATERAL unnest(k.ids[k.next:], k.works[k.next:]) AS u (id, work)
JOIN benchorch.benchmark_configs AS c ON c.id = u.id AND c.status = 'pending' JOIN benchorch.frameworks AS f ON f.id = c.framework_id
WHERE k.model_version_id = :model GROUP BY 1, 2 ORDER BY 1, 2;
SELECT benchorch.refresh_expectations(), benchorch.refresh_expectations() AS again;
SELECT f.name, c.sequence_length, min(u.work) AS least, max(u.work) AS most, round(max(c.expected_s) * 1000) AS roofline, count(*)
FROM benchorch.lane_chunks AS k, LATERAL unnest(k.ids[k.next:], k.works[k.next:]) AS u (id, work)
JOIN benchorch.benchmark_configs AS c ON c.id = u.id AND c.status = 'pending' JOIN benchorch.frameworks AS f ON f.id = c.framework_id
WHERE k.model_version_id = :model GROUP BY 1, 2 ORDER BY 1, 2;
-- A dry run knows the same of cells that are not there: a fourth repeat, once 94 s by runs, and at its pace
SELECT configs, measured, round(worker_hours::numeric * 3600, 1) AS worker_s
FROM benchorch.create_template('tiny', '{"repeats": 4, "frameworks": ["vLLM"], "sequence_lengths": [1024]}'), benchorch.predict(:model, 'tiny') WHERE hardware IS NULL;

-- Without an architecture: the mean of what has run, else a minute
\set bare '''00000000-0000-0000-0000-00000000000f'''
SELECT benchorch.register_model('bare', :bare) IS NOT NULL AS registered;
SELECT round(worker_hours::numeric * 3600) AS worker_s FROM benchorch.predict(:bare, 'tiny') WHERE hardware IS NULL;
SELECT created FROM benchorch.populate_matrix(:bare, template => 'tiny');
SELECT DISTINCT e.seconds, e.basis FROM benchorch.expected_seconds(:bare) AS e;

ROLLBACK;
