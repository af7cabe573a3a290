-- The catalog: reference data, registrations, model shapes, memory fit.
-- Everything happens in one transaction that is rolled back; a statement that
-- fails undoes only itself.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
RESET client_min_messages;
BEGIN;

-- Seeding adds the reference rows, and only those that are missing
SELECT benchorch.seed_reference_data();
SELECT (SELECT count(*) FROM benchorch.hardware_configs) AS hardware,
       (SELECT count(*) FROM benchorch.frameworks) AS frameworks,
       (SELECT count(*) FROM benchorch.workloads) AS workloads,
       (SELECT count(*) FROM benchorch.templates) AS templates,
       (SELECT count(*) FROM benchorch.priority_weights) AS weights;
SELECT name, cloud, gpu, gpu_count AS gpus, round(gpu_memory_bytes / 1024.0 ^ 3, 2) AS gib, bandwidth_gbps AS gbps,
       bf16_tflops AS bf16, fp8_tflops AS fp8, tdp_w, interconnect_gbps AS link, price_per_hour AS price, match_names
FROM benchorch.hardware_configs ORDER BY id;
SELECT name, protocol, array_to_string(server_command, ' ') AS server, array_to_string(command, ' ') AS client,
       array_to_string(ready_command, ' ') AS ready, array_to_string(reset_command, ' ') AS reset
FROM benchorch.frameworks ORDER BY id \gx
SELECT name, output_share, dataset, enabled FROM benchorch.workloads ORDER BY output_share, name;
SELECT * FROM benchorch.priority_weights ORDER BY dimension DESC, weight;
SELECT name, spec FROM benchorch.templates;

-- A second time it changes nothing that a user has edited; a deleted row comes back
UPDATE benchorch.hardware_configs SET price_per_hour = 55.04, enabled = false WHERE name = 'p5.48xlarge';
UPDATE benchorch.frameworks SET command = '{my-bench}' WHERE name = 'vLLM';
UPDATE benchorch.priority_weights SET weight = 1 WHERE (dimension, value) = ('workload', 'qa');
SELECT benchorch.register_workload('chatbot', '{"output_share": 0.3}');
SELECT benchorch.create_template('default', '{"repeats": 3}') IS NOT NULL AS id;
DELETE FROM benchorch.workloads WHERE name = 'summarization';
SELECT benchorch.seed_reference_data();
SELECT h.price_per_hour, h.enabled, f.command, p.weight, w.output_share, t.spec
FROM benchorch.hardware_configs h, benchorch.frameworks f, benchorch.priority_weights p, benchorch.workloads w, benchorch.templates t
WHERE h.name = 'p5.48xlarge' AND f.name = 'vLLM' AND (p.dimension, p.value) = ('workload', 'qa') AND w.name = 'chatbot' AND t.name = 'default';
SELECT (SELECT count(*) FROM benchorch.hardware_configs) AS hardware,
       (SELECT count(*) FROM benchorch.frameworks) AS frameworks,
       (SELECT count(*) FROM benchorch.workloads) AS workloads,
       (SELECT count(*) FROM benchorch.templates) AS templates;

-- The parameter counts of known models follow from their shapes
SELECT name, source, (architecture -> 'params')::bigint AS params, (architecture -> 'active_params')::bigint AS active,
       (architecture -> 'matmul_params')::bigint AS matmul,
       benchorch.memory_per_gpu(architecture, '{}', 0, 0, 1)::bigint AS weight_bytes,
       (benchorch.memory_per_gpu(architecture, '{}', 1, 1, 1) - benchorch.memory_per_gpu(architecture, '{}', 0, 1, 1))::bigint AS kv_bytes
FROM benchorch.known_models() ORDER BY (architecture -> 'params')::bigint;
SELECT count(*) AS not_normal FROM benchorch.known_models() WHERE benchorch.normalize_architecture(architecture) <> architecture;

-- A Hugging Face config.json is taken as it is: dense, tied and sliding, experts
SELECT k.name, benchorch.normalize_architecture(c.config) = k.architecture AS same
FROM (VALUES
	('Llama-3.1-8B', '{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096,
		"num_attention_heads": 32, "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
		"attention_bias": false, "tie_word_embeddings": false, "head_dim": null, "torch_dtype": "bfloat16",
		"rope_scaling": {"factor": 8.0}}'::jsonb),
	('Qwen2.5-7B', '{"model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584, "num_attention_heads": 28,
		"num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "tie_word_embeddings": false,
		"sliding_window": 131072, "use_sliding_window": false, "max_window_layers": 28}'),
	('Qwen3-0.6B', '{"model_type": "qwen3", "num_hidden_layers": 28, "hidden_size": 1024, "num_attention_heads": 16,
		"num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 3072, "vocab_size": 151936, "tie_word_embeddings": true,
		"attention_bias": false, "sliding_window": null, "use_sliding_window": false}'),
	('Gemma-2-9b', '{"model_type": "gemma2", "num_hidden_layers": 42, "hidden_size": 3584, "num_attention_heads": 16,
		"num_key_value_heads": 8, "head_dim": 256, "intermediate_size": 14336, "vocab_size": 256000, "sliding_window": 4096}'),
	('Qwen3-30B-A3B', '{"model_type": "qwen3_moe", "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 32,
		"num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768, "num_experts": 128,
		"num_experts_per_tok": 8, "mlp_only_layers": [], "decoder_sparse_step": 1, "vocab_size": 151936, "tie_word_embeddings": false}'),
	('Mixtral-8x7B-v0.1', '{"model_type": "mixtral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
		"num_key_value_heads": 8, "intermediate_size": 14336, "num_local_experts": 8, "num_experts_per_tok": 2, "vocab_size": 32000,
		"tie_word_embeddings": false, "sliding_window": null}')
	) AS c (name, config) JOIN benchorch.known_models() AS k USING (name) ORDER BY 1;
SELECT benchorch.normalize_architecture('{"model_type": "llama", "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 64, "vocab_size": 100}');
SELECT benchorch.normalize_architecture('{"model_type": "deepseek_v3", "num_hidden_layers": 61, "kv_lora_rank": 512}');
SELECT benchorch.normalize_architecture('{"model_type": "gpt_neox", "num_hidden_layers": 2}');

-- Canonical keys: a minimum, what is stated outright, and what is wrong
SELECT benchorch.normalize_architecture('{"n_layers": 2, "hidden_size": 64, "n_heads": 4, "ffn_dim": 128, "vocab_size": 1000}');
SELECT a -> 'params' AS params, a -> 'weight_bytes' AS weight_bytes, a -> 'kv_bytes_per_token' AS kv
FROM benchorch.normalize_architecture('{"n_layers": 2, "hidden_size": 64, "n_heads": 4, "ffn_dim": 128, "vocab_size": 1000,
	"params": 1000000, "weight_bytes": 0.5, "kv_bytes_per_token": 640}') AS a;
SELECT benchorch.normalize_architecture('{"n_layers": 2, "hidden": 64}');
SELECT benchorch.normalize_architecture('{"n_layers": 2, "hidden_size": 64, "n_heads": 4, "ffn_dim": 128}');
SELECT benchorch.normalize_architecture('{"n_layers": 2.5, "hidden_size": 64, "n_heads": 4, "ffn_dim": 128, "vocab_size": 1000}');
SELECT benchorch.normalize_architecture('{"n_layers": 2, "hidden_size": 64, "n_heads": 4, "n_kv_heads": 3, "ffn_dim": 128, "vocab_size": 1000}');
SELECT benchorch.normalize_architecture('{"n_layers": 2, "hidden_size": 64, "n_heads": 4, "n_experts": 8, "vocab_size": 1000}');
SELECT benchorch.normalize_architecture('[]');

-- Known names bring their architecture and source
SELECT benchorch.register_model(name, id) IS NOT NULL AS id FROM (VALUES
	('llama-3.1-8b', '00000000-0000-0000-0000-000000000001'::uuid),
	('meta-llama/Llama-3.1-8B-Instruct', '00000000-0000-0000-0000-000000000002'),
	('Mistral-7B-Instruct-v0.3', '00000000-0000-0000-0000-000000000003'),
	('meta-llama/Meta-Llama-3.1-70B', '00000000-0000-0000-0000-000000000004'),
	('my-finetune', '00000000-0000-0000-0000-000000000005')) AS m (name, id);
SELECT name, source, (architecture -> 'params')::bigint AS params FROM benchorch.model_versions
WHERE id::text LIKE '00000000-0000-0000-0000-00000000000_' ORDER BY id;
-- The same id again updates; what is NULL stays
SELECT benchorch.register_model('my-finetune', '00000000-0000-0000-0000-000000000005',
	'{"n_layers": 2, "hidden_size": 64, "n_heads": 4, "ffn_dim": 128, "vocab_size": 1000}', '/models/my-finetune');
SELECT benchorch.register_model('my finetune, renamed', '00000000-0000-0000-0000-000000000005');
SELECT name, source, architecture -> 'params' AS params FROM benchorch.model_versions WHERE id = '00000000-0000-0000-0000-000000000005';
SELECT benchorch.register_model('x') IS NOT NULL AS generated;
SELECT benchorch.register_model(NULL);
SELECT benchorch.register_model('');
SELECT benchorch.register_model('x', NULL);
SELECT benchorch.register_model('x', architecture => '{"layers": 3}');

-- Memory: the worked example, Llama-3.1-8B in bf16, 1024 + 128 tokens
CREATE TEMP VIEW llama AS SELECT name, architecture AS a FROM benchorch.known_models() WHERE name LIKE 'Llama-3.1-%';
SELECT batch_size, round((benchorch.memory_per_gpu(a, '{}', batch_size, 1152, 1) / 1024.0 ^ 3)::numeric, 2) AS gib
FROM llama, (VALUES (1), (32)) AS b (batch_size) WHERE name = 'Llama-3.1-8B';
-- Precision, parallelism, and what cannot be told
SELECT params, gpus, round((benchorch.memory_per_gpu(a, params, 8, 4096, gpus) / 1024.0 ^ 3)::numeric, 3) AS gib
FROM llama, (VALUES (1, '{}'::jsonb), (1, '{"precision": "auto"}'), (1, '{"precision": "fp32"}'), (1, '{"precision": "FP8"}'),
	(1, '{"precision": "fp8", "kv_cache_dtype": "bf16"}'), (1, '{"precision": "nvfp4"}'), (1, '{"kv_cache_dtype": "fp8_e4m3"}'),
	(1, '{"precision": "posit8"}'), (2, '{}'), (16, '{}'), (2, '{"pipeline_parallel": 2}'), (2, '{"data_parallel": 2}'),
	(8, '{"tensor_parallel": 2, "data_parallel": 4}')) AS p (gpus, params)
WHERE name = 'Llama-3.1-8B';
SELECT benchorch.memory_per_gpu(NULL, '{}', 1, 1024, 1) AS no_architecture;
-- Layers with a window hold no more than the window
SELECT tokens, round((benchorch.memory_per_gpu(architecture, '{}', 1, tokens, 1) - benchorch.memory_per_gpu(architecture, '{}', 0, tokens, 1))::numeric / 344064) AS full_tokens
FROM benchorch.known_models(), (VALUES (4096), (8192)) AS t (tokens) WHERE name = 'Gemma-2-9b';

-- GPUs: the smallest power of two that fits, what params say, or a reason
SELECT name, params, gpu_count, gib, f.gpus, f.reason
FROM llama, (VALUES (1, 80, '{}'::jsonb), (8, 80, '{}'), (1, 24, '{}'), (8, 80, '{"precision": "fp8"}'), (6, 192, '{}'),
	(8, 80, '{"tensor_parallel": 8, "pipeline_parallel": 2}'), (8, 80, '{"tensor_parallel": 2}'), (8, NULL, '{}')) AS m (gpu_count, gib, params),
	LATERAL benchorch.fit_gpus(a, params, 8, 4096, gpu_count, gib::bigint << 30) AS f
ORDER BY (a -> 'params')::bigint, gpu_count, gib, params;
SELECT * FROM benchorch.fit_gpus(NULL, '{}', 8, 4096, 8, 80::bigint << 30);
SELECT * FROM benchorch.fit_gpus(NULL, '{"tensor_parallel": 4}', 8, 4096, 8, 80::bigint << 30);
SELECT * FROM benchorch.fit_gpus(NULL, '{"tensor_parallel": 16}', 8, 4096, 8, 80::bigint << 30);
SELECT * FROM benchorch.fit_gpus(NULL, '{"tensor_parallel": "two"}', 8, 4096, 8, 80::bigint << 30);

-- Hardware: a key that is not named keeps its value, null clears, the rest is an error
SELECT benchorch.register_hardware('box', '{"gpu": "NVIDIA H200", "gpu_count": 2, "gpu_memory_gib": 1.5, "match_names": ["a", "b"], "price_per_hour": 3}')
     = benchorch.register_hardware('box', '{"price_per_hour": null, "enabled": false}') AS same;
SELECT name, kind, gpu, gpu_count, gpu_memory_bytes, price_per_hour, match_names, enabled FROM benchorch.hardware_configs WHERE name = 'box';
SELECT benchorch.register_hardware(NULL, '{}');
SELECT benchorch.register_hardware('box', NULL);
SELECT benchorch.register_hardware('box', '[]');
SELECT benchorch.register_hardware('box', '{"gpus": 2}');
SELECT benchorch.register_hardware('box', '{"gpu_count": 0}');
SELECT benchorch.register_hardware('box', '{"gpu_count": "2"}');
SELECT benchorch.register_hardware('box', '{"gpu_count": null}');
SELECT benchorch.register_hardware('box', '{"kind": "tpu"}');
SELECT benchorch.register_hardware('box', '{"match_names": ["a", 1]}');
SELECT benchorch.register_hardware('box', '{"match_names": [["a"]]}');
SELECT benchorch.register_hardware('box', '{"gpu_memory_gib": 1, "gpu_memory_bytes": 1}');

-- Frameworks
SELECT benchorch.register_framework('mine', '{"command": ["mine", "--len={input_tokens}"], "ready_timeout": "90 s", "env": {"A": "1"}}')
     = benchorch.register_framework('mine', '{"version": "2"}') AS same;
SELECT name, version, protocol, command, extract(epoch FROM ready_timeout)::int AS ready_s, env, enabled FROM benchorch.frameworks WHERE name = 'mine';
SELECT benchorch.register_framework('new', '{}');
SELECT benchorch.register_framework('mine', '{"protocol": "served"}');
SELECT benchorch.register_framework('mine', '{"protocol": "grpc"}');
SELECT benchorch.register_framework('mine', '{"command": "mine --len 1"}');
SELECT benchorch.register_framework('mine', '{"command": []}');
SELECT benchorch.register_framework('mine', '{"ready_timeout": "soon"}');
SELECT benchorch.register_framework('mine', '{"env": {"A": 1}}');
SELECT benchorch.register_framework('mine', '{"cmd": []}');

-- Workloads
SELECT benchorch.register_workload('agents', '{"output_share": 0.4, "base_priority": 50}');
SELECT benchorch.register_workload('agents', '{"enabled": false}');
SELECT w.*, p.weight FROM (SELECT name, output_share, dataset, enabled FROM benchorch.workloads) AS w
JOIN benchorch.priority_weights AS p ON p.dimension = 'workload' AND p.value = w.name WHERE w.name = 'agents';
SELECT benchorch.register_workload('agents', '{"output_share": 1}');
SELECT benchorch.register_workload('agents', '{"share": 0.5}');
SELECT benchorch.register_workload(NULL, '{}');

-- Templates
SELECT benchorch.create_template('sweep', '{"hardware": ["p5.48xlarge"], "batch_sizes": [1, 16], "repeats": 3,
	"dimensions": {"precision": {"kind": "engine", "values": ["bf16", "fp8"]}, "tensor_parallel": {"kind": "engine", "values": [1, 8]},
		"cold": {"kind": "request", "values": [true, false]}},
	"exclude": [{"precision": "fp8", "hardware": ["g5.xlarge", "p4d.24xlarge"]}, {"batch_size": {"min": 8}, "tensor_parallel": 1}],
	"limits": {"deadline_s": 600, "crash_delays_s": [0.5, 2]}}') IS NOT NULL AS id;
SELECT benchorch.create_template('sweep', '{"hardware": null, "batch_sizes": null}') IS NOT NULL AS id;
SELECT jsonb_pretty(spec) FROM benchorch.templates WHERE name = 'sweep';
SELECT l.* FROM benchorch.templates, benchorch.template_limits(spec) AS l WHERE name = 'sweep';
SELECT * FROM benchorch.template_limits('{}');
SELECT benchorch.create_template('sweep', '{"batch": [1]}');
SELECT benchorch.create_template('sweep', '{"batch_sizes": [0]}');
SELECT benchorch.create_template('sweep', '{"batch_sizes": [1, 2, 1]}');
SELECT benchorch.create_template('sweep', '{"sequence_lengths": [1]}');
SELECT benchorch.create_template('sweep', '{"sequence_lengths": 1024}');
SELECT benchorch.create_template('sweep', '{"repeats": 1001}');
SELECT benchorch.create_template('sweep', '{"workloads": "qa"}');
SELECT benchorch.create_template('sweep', '{"dimensions": {"batch_size": {"kind": "engine", "values": [1]}}}');
SELECT benchorch.create_template('sweep', '{"exclude": [], "dimensions": {"precision": ["bf16"]}}');
SELECT benchorch.create_template('sweep', '{"exclude": [], "dimensions": {"precision": {"kind": "both", "values": ["bf16"]}}}');
SELECT benchorch.create_template('sweep', '{"exclude": [], "dimensions": {"precision": {"kind": "engine", "values": [["bf16"]]}}}');
SELECT benchorch.create_template('sweep', '{"exclude": [], "dimensions": {"tensor_parallel": {"kind": "engine", "values": [0]}}}');
SELECT benchorch.create_template('sweep', '{"exclude": [{"flag": 1}]}');
SELECT benchorch.create_template('sweep', '{"exclude": [{}]}');
SELECT benchorch.create_template('sweep', '{"exclude": [{"batch_size": {"above": 2}}]}');
SELECT benchorch.create_template('sweep', '{"limits": {"retries": 2}}');
SELECT benchorch.create_template('sweep', '{"limits": {"deadline_s": 0}}');
SELECT benchorch.create_template('sweep', '{"limits": {"crash_delays_s": []}}');
SELECT benchorch.create_template('sweep', '{"limits": {"crash_delays_s": [1, -1]}}');
SELECT benchorch.create_template('sweep', '{"limits": {"max_losses": 4.0}}');
SELECT benchorch.create_template(NULL, '{}');

-- Workers: the same name is the same worker
SELECT benchorch.register_worker('w1', 'p5.48xlarge', '{vLLM,SGLang}', '{"gpus": 4, "host": "a"}') AS w1 \gset
SELECT benchorch.register_worker('w1', 'p5.48xlarge', '{SGLang,SGLang}') = :'w1' AS same;
SELECT w.name, h.name AS hardware, w.gpus, w.state, w.details, ARRAY(SELECT f.name FROM benchorch.frameworks f WHERE f.id = ANY (w.framework_ids)) AS frameworks,
       extract(epoch FROM l.expires_at - l.heartbeat_at)::int AS lease_s
FROM benchorch.workers w JOIN benchorch.hardware_configs h ON h.id = w.hardware_config_id JOIN benchorch.worker_leases l ON l.worker_id = w.id;
-- Draining ends with a new registration, quarantine does not
UPDATE benchorch.workers SET state = 'draining', reason = 'maintenance';
SELECT benchorch.register_worker('w1', 'p5.48xlarge', '{SGLang}') = :'w1' AS same;
SELECT state, reason FROM benchorch.workers;
UPDATE benchorch.workers SET state = 'quarantined', reason = 'driver mismatch';
SELECT benchorch.register_worker('w1', 'p5.48xlarge', '{SGLang}') = :'w1' AS same;
SELECT state, reason FROM benchorch.workers;
-- Its own machine and the built-in engine are created, not enabled
SELECT benchorch.register_worker('w2', 'laptop', '{benchorch-engine}', '{"hardware": {"kind": "cpu", "gpu_memory_gib": 16}}') IS NOT NULL AS id;
SELECT name, kind, gpu_memory_bytes, enabled FROM benchorch.hardware_configs WHERE name = 'laptop';
SELECT name, protocol, adapter, enabled, array_to_string(command, ' ') AS command FROM benchorch.frameworks WHERE name = 'benchorch-engine';
SELECT benchorch.register_worker('w3', 'desktop', '{vLLM}');
SELECT benchorch.register_worker('w3', 'desktop', '{vLLM}', '{"hardware": {"memory": 16}}');
SELECT benchorch.register_worker('w3', 'p5.48xlarge', '{vllm}');
SELECT benchorch.register_worker('w3', 'p5.48xlarge', '{}');
SELECT benchorch.register_worker('w3', 'p5.48xlarge', NULL);
SELECT benchorch.register_worker('w3', NULL, '{vLLM}');
SELECT benchorch.register_worker(NULL, 'p5.48xlarge', '{vLLM}');
SELECT benchorch.register_worker('w3', 'p5.48xlarge', '{vLLM}', '{"gpus": 9}');
SELECT benchorch.register_worker('w3', 'p5.48xlarge', '{vLLM}', NULL);
SELECT count(*) FROM benchorch.workers;
ROLLBACK;
