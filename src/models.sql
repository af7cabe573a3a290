/*
 * Models: their shapes, and what of a machine's memory they need.
 *
 * An architecture is jsonb in canonical keys; a Hugging Face config.json is
 * turned into one.  Everything that is computed from a shape (parameters,
 * memory) follows docs/reference-data.md, and stands here once.
 */

/* ----------------------------------------------------------- model shapes */

CREATE FUNCTION benchorch.architecture_from_config(config jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	family text;
	layers int;
	key text;
	experts jsonb;
	quantization jsonb;
	sliding_layers int;
BEGIN
	IF pg_catalog.jsonb_typeof(config -> 'text_config') = 'object' THEN
		config := (config - 'text_config') || (config -> 'text_config');
	END IF;
	config := pg_catalog.jsonb_strip_nulls(config);
	family := COALESCE(config ->> 'model_type', '');
	experts := COALESCE(config -> 'num_local_experts', config -> 'num_experts', '0');

	/* what the formulas of normalize_architecture do not describe */
	FOREACH key IN ARRAY ARRAY['kv_lora_rank', 'n_routed_experts', 'n_shared_experts', 'shared_expert_intermediate_size',
							   'interleave_moe_layer_step', 'num_kv_shared_layers', 'linear_num_value_heads',
							   'mamba_d_state', 'ssm_state_size', 'ssm_cfg'] LOOP
		IF config -> key > '0' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('architecture key "%s" describes a shape that cannot be derived', key),
				HINT = 'Give the canonical keys (n_layers, hidden_size, ...), with params, active_params, matmul_params, weight_bytes and kv_bytes_per_token stated outright.';
		END IF;
	END LOOP;
	IF config -> 'mlp_only_layers' <> '[]' OR config -> 'decoder_sparse_step' > '1'
		OR family IN ('gpt_neox', 'gpt2', 'opt', 'bloom', 'falcon', 'phi', 'starcoder2', 'nemotron', 'persimmon', 'llama4', 'llama4_text') THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = pg_catalog.format('model type "%s" with these layers has a shape that cannot be derived', family),
			HINT = 'Give the canonical keys (n_layers, hidden_size, ...), with params, active_params and matmul_params stated outright.';
	END IF;
	FOREACH key IN ARRAY ARRAY['num_hidden_layers', 'hidden_size', 'num_attention_heads', 'intermediate_size', 'vocab_size'] LOOP
		CONTINUE WHEN key = 'intermediate_size' AND config ? 'moe_intermediate_size';
		IF NOT config ? key THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('architecture lacks "%s"', key),
				HINT = 'A Hugging Face config.json must have num_hidden_layers, hidden_size, num_attention_heads, intermediate_size and vocab_size.';
		ELSIF NOT benchorch.spec_type_matches(config -> key, 'a positive integer') THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('architecture key "%s" must be a positive integer', key),
				DETAIL = pg_catalog.format('It is %s.', pg_catalog."left"((config -> key)::text, 100));
		END IF;
	END LOOP;

	/* layers that see a window only: listed, or by the rule of the family */
	layers := (config -> 'num_hidden_layers')::int;
	IF pg_catalog.jsonb_typeof(config -> 'sliding_window') = 'number' AND config -> 'use_sliding_window' IS DISTINCT FROM 'false' THEN
		sliding_layers := CASE
			WHEN pg_catalog.jsonb_typeof(config -> 'layer_types') = 'array' THEN
				pg_catalog.jsonb_array_length(pg_catalog.jsonb_path_query_array(config -> 'layer_types', '$[*] ? (@ == "sliding_attention")'))
			WHEN family = 'gemma2' THEN (layers + 1) / 2
			WHEN family LIKE 'gemma3%' THEN layers - layers / COALESCE((config ->> 'sliding_window_pattern')::int, 6)
			WHEN family LIKE 'qwen%' THEN GREATEST(0, layers - COALESCE((config ->> 'max_window_layers')::int, 0))
			ELSE layers END;
	END IF;

	quantization := config -> 'quantization_config';
	RETURN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
		'n_layers', layers,
		'hidden_size', config -> 'hidden_size',
		'n_heads', config -> 'num_attention_heads',
		'n_kv_heads', config -> 'num_key_value_heads',
		'head_dim', config -> 'head_dim',
		'ffn_dim', CASE WHEN experts = '0' THEN config -> 'intermediate_size' END,
		'vocab_size', config -> 'vocab_size',
		'tied_embeddings', COALESCE(config -> 'tie_word_embeddings', pg_catalog.to_jsonb(family LIKE 'gemma%')),
		'n_experts', experts,
		'experts_per_token', CASE WHEN experts <> '0' THEN config -> 'num_experts_per_tok' END,
		'moe_ffn_dim', CASE WHEN experts <> '0' THEN COALESCE(config -> 'moe_intermediate_size', config -> 'intermediate_size') END,
		'qkv_bias', family IN ('qwen2', 'qwen2_moe')
			OR COALESCE('true' IN (config -> 'attention_bias', config -> 'qkv_bias'), false),
		'qk_norm', family IN ('qwen3', 'qwen3_moe', 'gemma3', 'gemma3_text')
			OR COALESCE(config -> 'use_qk_norm' = 'true', false),
		'norms_per_layer', CASE WHEN family ~ '^gemma[23]' THEN 4 ELSE 2 END,
		'sliding_window', CASE WHEN sliding_layers > 0 THEN config -> 'sliding_window' END,
		'sliding_layers', NULLIF(sliding_layers, 0),
		'weight_bytes', CASE
			WHEN quantization ->> 'quant_method' IN ('fp8', 'fbgemm_fp8') THEN 1
			WHEN quantization ->> 'quant_method' = 'mxfp4' THEN 0.5
			WHEN pg_catalog.jsonb_typeof(quantization -> 'bits') = 'number' THEN (quantization -> 'bits')::numeric / 8 END));
END $$;
COMMENT ON FUNCTION benchorch.architecture_from_config(jsonb) IS
'Hugging Face config.json (as it is, further keys allowed) to canonical keys; 22023 names a key that is missing or describes a shape without known formulas (latent attention, shared experts, feed-forward without gate)';

CREATE FUNCTION benchorch.normalize_architecture(architecture jsonb) RETURNS jsonb
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	known CONSTANT text[] := ARRAY['n_layers', 'hidden_size', 'n_heads', 'n_kv_heads', 'head_dim', 'ffn_dim', 'vocab_size',
		'tied_embeddings', 'n_experts', 'experts_per_token', 'moe_ffn_dim', 'qkv_bias', 'qk_norm', 'norms_per_layer',
		'sliding_window', 'sliding_layers', 'params', 'active_params', 'matmul_params', 'weight_bytes', 'kv_bytes_per_token'];
	flags CONSTANT text[] := ARRAY['tied_embeddings', 'qkv_bias', 'qk_norm'];
	key text;
	value jsonb;
	problem text;
	limits jsonb := '{"n_layers": 4096, "hidden_size": 1048576, "n_heads": 4096, "n_kv_heads": 4096, "head_dim": 4096, "ffn_dim": 4194304, "vocab_size": 16777216, "n_experts": 65536, "experts_per_token": 65536, "moe_ffn_dim": 4194304, "norms_per_layer": 16, "sliding_window": 1073741824, "sliding_layers": 4096}';
	l numeric; h numeric; heads numeric; kv_heads numeric; d numeric; ffn numeric; v numeric;
	experts numeric; top_k numeric; moe_ffn numeric; norms numeric;
	tied boolean; bias boolean; qk_norm boolean;
	attention numeric;			/* of one layer, with bias and QK norm */
	expert numeric;				/* of one layer: one expert, or the dense feed-forward */
	router numeric;
	params numeric; active numeric; matmul numeric; weight_bytes numeric;
BEGIN
	IF architecture IS NULL THEN
		RETURN NULL;
	END IF;
	IF pg_catalog.jsonb_typeof(architecture) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'architecture must be a JSON object';
	END IF;
	IF NOT architecture ? 'n_layers' AND architecture ?| ARRAY['num_hidden_layers', 'num_attention_heads', 'model_type', 'text_config'] THEN
		architecture := benchorch.architecture_from_config(architecture);
	END IF;
	architecture := pg_catalog.jsonb_strip_nulls(architecture);

	FOR key, value IN SELECT e.key, e.value FROM pg_catalog.jsonb_each(architecture) AS e ORDER BY e.key LOOP
		problem := CASE
			WHEN key <> ALL (known) THEN pg_catalog.format('architecture has no key "%s"', key)
			WHEN key = ANY (flags) AND pg_catalog.jsonb_typeof(value) <> 'boolean' THEN
				pg_catalog.format('architecture key "%s" must be true or false, not %s', key, pg_catalog."left"(value::text, 100))
			WHEN key = ANY (flags) THEN NULL
			WHEN pg_catalog.jsonb_typeof(value) <> 'number' THEN
				pg_catalog.format('architecture key "%s" must be a number, not %s', key, pg_catalog."left"(value::text, 100))
			WHEN limits ? key AND (pg_catalog.scale(value::numeric) > 0 OR value::numeric NOT BETWEEN 0 AND (limits -> key)::numeric) THEN
				pg_catalog.format('architecture key "%s" must be an integer from 0 to %s, not %s', key, limits -> key, value)
			WHEN NOT limits ? key AND (value::numeric <= 0 OR value::numeric > 1e18) THEN
				pg_catalog.format('architecture key "%s" must be from 0 to 1e18, not %s', key, value)
			END;
		IF problem IS NOT NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem,
				HINT = pg_catalog.format('Known keys: %s; or give a Hugging Face config.json as it is.', pg_catalog.array_to_string(known, ', '));
		END IF;
	END LOOP;

	l := architecture -> 'n_layers';
	h := architecture -> 'hidden_size';
	heads := architecture -> 'n_heads';
	kv_heads := COALESCE(NULLIF((architecture -> 'n_kv_heads')::numeric, 0), heads);
	d := COALESCE(NULLIF((architecture -> 'head_dim')::numeric, 0), h / NULLIF(heads, 0));
	ffn := COALESCE((architecture -> 'ffn_dim')::numeric, 0);
	v := architecture -> 'vocab_size';
	experts := COALESCE((architecture -> 'n_experts')::numeric, 0);
	top_k := COALESCE((architecture -> 'experts_per_token')::numeric, 0);
	moe_ffn := COALESCE((architecture -> 'moe_ffn_dim')::numeric, 0);
	norms := COALESCE((architecture -> 'norms_per_layer')::numeric, 2);
	tied := COALESCE((architecture -> 'tied_embeddings')::boolean, false);
	bias := COALESCE((architecture -> 'qkv_bias')::boolean, false);
	qk_norm := COALESCE((architecture -> 'qk_norm')::boolean, false);

	problem := CASE
		WHEN COALESCE(l, 0) = 0 THEN 'architecture lacks "n_layers"'
		WHEN COALESCE(h, 0) = 0 THEN 'architecture lacks "hidden_size"'
		WHEN COALESCE(heads, 0) = 0 THEN 'architecture lacks "n_heads"'
		WHEN COALESCE(v, 0) = 0 THEN 'architecture lacks "vocab_size"'
		WHEN experts = 0 AND ffn = 0 THEN 'architecture lacks "ffn_dim"'
		WHEN experts > 0 AND top_k = 0 THEN 'architecture lacks "experts_per_token"'
		WHEN experts > 0 AND moe_ffn = 0 THEN 'architecture lacks "moe_ffn_dim"'
		WHEN top_k > experts THEN 'architecture key "experts_per_token" must not exceed "n_experts"'
		WHEN heads % kv_heads <> 0 THEN 'architecture key "n_heads" must be a multiple of "n_kv_heads"'
		WHEN d <> pg_catalog.trunc(d) THEN 'architecture lacks "head_dim", and "hidden_size" is not a multiple of "n_heads"'
		WHEN architecture ? 'sliding_layers' AND NOT architecture ? 'sliding_window' THEN 'architecture lacks "sliding_window"'
		WHEN (architecture -> 'sliding_layers')::numeric > l THEN 'architecture key "sliding_layers" must not exceed "n_layers"'
		END;
	IF problem IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = problem,
			HINT = pg_catalog.format('Known keys: %s; or give a Hugging Face config.json as it is.', pg_catalog.array_to_string(known, ', '));
	END IF;

	attention := 2 * h * heads * d + 2 * h * kv_heads * d
		+ CASE WHEN bias THEN (heads + 2 * kv_heads) * d ELSE 0 END
		+ CASE WHEN qk_norm THEN 2 * d ELSE 0 END;
	expert := 3 * h * CASE WHEN experts > 0 THEN moe_ffn ELSE ffn END;
	router := h * experts;
	matmul := l * (attention + expert * GREATEST(top_k, 1) + router) + v * h;
	params := l * (attention + norms * h + expert * GREATEST(experts, 1) + router) + v * h * CASE WHEN tied THEN 1 ELSE 2 END + h;
	active := matmul + l * norms * h + h + CASE WHEN tied THEN 0 ELSE v * h END;

	/* stated outright */
	params := COALESCE((architecture -> 'params')::numeric, params);
	active := COALESCE((architecture -> 'active_params')::numeric, LEAST(active, params));
	matmul := COALESCE((architecture -> 'matmul_params')::numeric, LEAST(matmul, active));
	weight_bytes := architecture -> 'weight_bytes';
	IF weight_bytes <= 16 THEN
		weight_bytes := weight_bytes * params;
	END IF;

	RETURN pg_catalog.jsonb_strip_nulls(pg_catalog.jsonb_build_object(
		'n_layers', l, 'hidden_size', h, 'n_heads', heads, 'n_kv_heads', kv_heads, 'head_dim', pg_catalog.trunc(d),
		'ffn_dim', ffn, 'vocab_size', v, 'tied_embeddings', tied,
		'n_experts', experts, 'experts_per_token', top_k, 'moe_ffn_dim', moe_ffn,
		'qkv_bias', bias, 'qk_norm', qk_norm, 'norms_per_layer', norms,
		'sliding_window', NULLIF((architecture -> 'sliding_window')::numeric, 0),
		'sliding_layers', CASE WHEN (architecture -> 'sliding_window')::numeric > 0 THEN COALESCE((architecture -> 'sliding_layers')::numeric, l) END,
		'params', pg_catalog.trunc(params), 'active_params', pg_catalog.trunc(active), 'matmul_params', pg_catalog.trunc(matmul),
		'weight_bytes', pg_catalog.trunc(weight_bytes),
		'kv_bytes_per_token', architecture -> 'kv_bytes_per_token'));
END $$;
COMMENT ON FUNCTION benchorch.normalize_architecture(jsonb) IS
'Checks a model''s shape, given in canonical keys or as a Hugging Face config.json, and returns it in canonical keys with params (all), active_params (used per token) and matmul_params (in matrix products per token: head, router, QKV bias and QK norm included, embedding lookup and layer norms not), each computed unless stated; weight_bytes is all weights (a value up to 16 is bytes per weight); NULL gives NULL; 22023 names the missing or odd key';

CREATE FUNCTION benchorch.known_models() RETURNS TABLE (name text, source text, architecture jsonb)
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT m.name, m.source, benchorch.normalize_architecture(pg_catalog.jsonb_build_object(
		'n_layers', l, 'hidden_size', h, 'n_heads', heads, 'n_kv_heads', kv_heads, 'head_dim', d, 'ffn_dim', ffn,
		'vocab_size', v, 'tied_embeddings', tied, 'n_experts', experts, 'experts_per_token', top_k, 'moe_ffn_dim', moe_ffn,
		'qkv_bias', bias, 'qk_norm', qk_norm) || more)
	FROM (VALUES
		('SmolLM2-135M', 'HuggingFaceTB/SmolLM2-135M', 30, 576, 9, 3, 64, 1536, 49152, true, 0, 0, 0, false, false, '{}'::jsonb),
		('Qwen3-0.6B', 'Qwen/Qwen3-0.6B', 28, 1024, 16, 8, 128, 3072, 151936, true, 0, 0, 0, false, true, '{}'),
		('Llama-3.2-1B', 'meta-llama/Llama-3.2-1B', 16, 2048, 32, 8, 64, 8192, 128256, true, 0, 0, 0, false, false, '{}'),
		('Mistral-7B-v0.3', 'mistralai/Mistral-7B-v0.3', 32, 4096, 32, 8, 128, 14336, 32768, false, 0, 0, 0, false, false, '{}'),
		('Qwen2.5-7B', 'Qwen/Qwen2.5-7B', 28, 3584, 28, 4, 128, 18944, 152064, false, 0, 0, 0, true, false, '{}'),
		('Llama-3.1-8B', 'meta-llama/Meta-Llama-3.1-8B', 32, 4096, 32, 8, 128, 14336, 128256, false, 0, 0, 0, false, false, '{}'),
		('Qwen3-8B', 'Qwen/Qwen3-8B', 36, 4096, 32, 8, 128, 12288, 151936, false, 0, 0, 0, false, true, '{}'),
		('Gemma-2-9b', 'google/gemma-2-9b', 42, 3584, 16, 8, 256, 14336, 256000, true, 0, 0, 0, false, false,
			'{"norms_per_layer": 4, "sliding_window": 4096, "sliding_layers": 21}'),
		('phi-4', 'microsoft/phi-4', 40, 5120, 40, 10, 128, 17920, 100352, false, 0, 0, 0, false, false, '{}'),
		('Qwen3-30B-A3B', 'Qwen/Qwen3-30B-A3B', 48, 2048, 32, 4, 128, 0, 151936, false, 128, 8, 768, false, true, '{}'),
		('Qwen3-32B', 'Qwen/Qwen3-32B', 64, 5120, 64, 8, 128, 25600, 151936, false, 0, 0, 0, false, true, '{}'),
		('Mixtral-8x7B-v0.1', 'mistralai/Mixtral-8x7B-v0.1', 32, 4096, 32, 8, 128, 0, 32000, false, 8, 2, 14336, false, false, '{}'),
		('Llama-3.1-70B', 'meta-llama/Meta-Llama-3.1-70B', 80, 8192, 64, 8, 128, 28672, 128256, false, 0, 0, 0, false, false, '{}'),
		('Llama-3.1-405B', 'meta-llama/Meta-Llama-3.1-405B', 126, 16384, 128, 8, 128, 53248, 128256, false, 0, 0, 0, false, false, '{}')
	) AS m (name, source, l, h, heads, kv_heads, d, ffn, v, tied, experts, top_k, moe_ffn, bias, qk_norm, more)
$$;
COMMENT ON FUNCTION benchorch.known_models() IS
'Models whose names bring their architecture, with their Hugging Face ids; shapes as published in each model''s config.json';

CREATE FUNCTION benchorch.model_key(name text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT pg_catalog.regexp_replace(pg_catalog.regexp_replace(pg_catalog.regexp_replace(
		pg_catalog.lower(name), '^.*/', ''), '^meta-', ''), '-(instruct|it|base)(?=-|$)', '')
$$;
COMMENT ON FUNCTION benchorch.model_key(text) IS
'What a model''s name is compared by: lower case, the part after the last slash, without Meta- in front and without -Instruct, -it or -Base';

CREATE FUNCTION benchorch.register_model(name text, id uuid DEFAULT pg_catalog.gen_random_uuid(),
	architecture jsonb DEFAULT NULL, source text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	shape jsonb := benchorch.normalize_architecture(register_model.architecture);
	known_shape jsonb;
	known_source text;
BEGIN
	PERFORM benchorch.require_arguments('name', register_model.name, 'id', register_model.id::text);

	SELECT k.architecture, CASE
			WHEN register_model.name LIKE '%/%' THEN register_model.name
			WHEN pg_catalog.lower(register_model.name) = pg_catalog.lower(k.name) THEN k.source
			ELSE pg_catalog.split_part(k.source, '/', 1) || '/' || register_model.name END
		INTO known_shape, known_source
		FROM benchorch.known_models() AS k
		WHERE benchorch.model_key(k.name) = benchorch.model_key(register_model.name);

	INSERT INTO benchorch.model_versions AS m (id, name, architecture, source)
	VALUES (register_model.id, register_model.name, COALESCE(shape, known_shape), COALESCE(register_model.source, known_source))
	ON CONFLICT (id) DO UPDATE SET
		name = excluded.name,
		architecture = COALESCE(shape, CASE WHEN m.name <> excluded.name THEN known_shape END, m.architecture, known_shape),
		source = COALESCE(register_model.source, CASE WHEN m.name <> excluded.name THEN known_source END, m.source, known_source);
	RETURN register_model.id;
END $$;
COMMENT ON FUNCTION benchorch.register_model(text, uuid, jsonb, text) IS
'Registers a model version and returns its id; the same id again updates it. architecture: canonical keys or a Hugging Face config.json (see normalize_architecture); source: what {model} becomes in commands. Where they are NULL a known name (known_models) brings its own, else an existing row keeps its values; NULL name or id and a bad architecture are 22023';

/* ------------------------------------------------------------ memory fit */

CREATE FUNCTION benchorch.precision_bytes(word text) RETURNS float8
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_precision_bytes_sql';
COMMENT ON FUNCTION benchorch.precision_bytes(text) IS
'Bytes of one number in a precision (fp32 4; bf16, fp16 2; fp8, int8 1; nvfp4, int4 0.5, scales not counted); NULL for a word that is none, auto among them';

CREATE FUNCTION benchorch.parallel_size(params jsonb, key text) RETURNS int
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	size text := params ->> key;
BEGIN
	IF size IS NULL OR size ~ '^[1-9][0-9]{0,5}$' THEN
		RETURN size::int;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
		MESSAGE = pg_catalog.format('params key "%s" must be a positive integer', key),
		DETAIL = pg_catalog.format('It is %s.', params -> key);
END $$;
COMMENT ON FUNCTION benchorch.parallel_size(jsonb, text) IS
'tensor_parallel, pipeline_parallel or data_parallel of a config''s params, NULL where not given; 22023 unless a positive integer';

CREATE FUNCTION benchorch.memory_per_gpu(architecture jsonb, params jsonb, batch_size int, sequence_length int, gpus int) RETURNS float8
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	precision_word text := NULLIF(pg_catalog.lower(params ->> 'precision'), 'auto');
	kv_word text := COALESCE(NULLIF(pg_catalog.lower(params ->> 'kv_cache_dtype'), 'auto'), precision_word);
	number_bytes float8;		/* of the weights, of the KV cache; NULL: the architecture says, or bf16 */
	kv_number_bytes float8;
	tensor int;
	pipeline int := 1;
	replicas int := 1;
	layers float8;
	kv_heads float8;
	window_tokens float8;
	sliding float8;
	weights float8;
	kv_per_token float8;
	tokens float8 := COALESCE(sequence_length, 0);
BEGIN
	IF kv_word IS NOT NULL THEN
		number_bytes := benchorch.precision_bytes(precision_word);
		kv_number_bytes := benchorch.precision_bytes(kv_word);
		IF kv_number_bytes IS NULL OR (precision_word IS NOT NULL AND number_bytes IS NULL) THEN
			RETURN NULL;
		END IF;
	END IF;
	IF params ?| ARRAY['tensor_parallel', 'pipeline_parallel', 'data_parallel'] THEN
		tensor := benchorch.parallel_size(params, 'tensor_parallel');
		pipeline := COALESCE(benchorch.parallel_size(params, 'pipeline_parallel'), 1);
		replicas := COALESCE(benchorch.parallel_size(params, 'data_parallel'), 1);
	END IF;
	tensor := COALESCE(tensor, GREATEST(COALESCE(gpus, 1) / (pipeline * replicas), 1));
	IF NOT architecture ?& ARRAY['params', 'n_layers', 'n_kv_heads', 'head_dim'] THEN
		architecture := benchorch.normalize_architecture(architecture);
	END IF;
	layers := architecture -> 'n_layers';
	kv_heads := architecture -> 'n_kv_heads';

	weights := COALESCE((architecture -> 'params')::float8 * number_bytes,
						(architecture -> 'weight_bytes')::float8,
						(architecture -> 'params')::float8 * 2);
	kv_per_token := 2 * layers * kv_heads * (architecture -> 'head_dim')::float8;
	kv_per_token := COALESCE(kv_per_token * kv_number_bytes,
							 (architecture -> 'kv_bytes_per_token')::float8,
							 kv_per_token * 2);
	window_tokens := architecture -> 'sliding_window';
	IF tokens > window_tokens THEN
		sliding := COALESCE((architecture -> 'sliding_layers')::float8, layers) / layers;
		tokens := tokens * (1 - sliding) + window_tokens * sliding;
	END IF;
	RETURN weights / (tensor * pipeline)
		+ pg_catalog.ceil(COALESCE(batch_size, 0) / replicas::float8) * tokens * kv_per_token
			/ (LEAST(tensor, kv_heads) * pipeline);
END $$;
COMMENT ON FUNCTION benchorch.memory_per_gpu(jsonb, jsonb, int, int, int) IS
'Bytes of weights and KV cache on each of gpus GPUs: weights / (TP x PP) + ceil(batch / DP) x length x KV bytes per token / (min(TP, KV heads) x PP). TP, PP and DP are tensor_, pipeline_ and data_parallel of params, TP by default what is left of gpus. Precision: of params (precision; kv_cache_dtype for the KV cache), else of the architecture (weight_bytes, kv_bytes_per_token), else bf16. NULL without an architecture or with a precision that has no known size';

CREATE FUNCTION benchorch.fit_gpus(architecture jsonb, params jsonb, batch_size int, sequence_length int,
	gpu_count int, gpu_memory_bytes bigint, OUT gpus int, OUT reason text) RETURNS record
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	gib CONSTANT float8 := 1024.0 * 1024 * 1024;
	given boolean := COALESCE(params ?| ARRAY['tensor_parallel', 'pipeline_parallel', 'data_parallel'], false);
	tensor bigint;
	pipeline bigint;
	replicas bigint;
	usable float8 := 0.9 * gpu_memory_bytes;
	needed float8;
	weights float8;
BEGIN
	gpus := 1;
	IF given THEN
		tensor := COALESCE(benchorch.parallel_size(params, 'tensor_parallel'), 1);
		pipeline := COALESCE(benchorch.parallel_size(params, 'pipeline_parallel'), 1);
		replicas := COALESCE(benchorch.parallel_size(params, 'data_parallel'), 1);
		gpus := LEAST(tensor * pipeline * replicas, 2147483647);
		IF gpus > gpu_count THEN
			reason := pg_catalog.format('Needs %s GPUs (tensor %s x pipeline %s x data parallel %s), and a machine has %s.',
				tensor * pipeline * replicas, tensor, pipeline, replicas, gpu_count);
			RETURN;
		END IF;
	END IF;
	needed := benchorch.memory_per_gpu(architecture, params, batch_size, sequence_length, gpus);
	IF needed IS NULL OR usable IS NULL THEN
		RETURN;
	END IF;
	WHILE needed > usable AND NOT given AND gpus * 2 <= gpu_count LOOP
		gpus := gpus * 2;
		needed := benchorch.memory_per_gpu(architecture, params, batch_size, sequence_length, gpus);
	END LOOP;
	IF needed > usable THEN
		weights := benchorch.memory_per_gpu(architecture, params, 0, sequence_length, gpus);
		reason := pg_catalog.format('Does not fit: %s would hold %s GiB (weights %s, KV cache %s), and 90 %% of its %s GiB are %s GiB.',
			CASE WHEN gpus = 1 THEN 'one GPU' ELSE pg_catalog.format('each of %s GPUs', gpus) END,
			pg_catalog.round((needed / gib)::numeric, 2), pg_catalog.round((weights / gib)::numeric, 2),
			pg_catalog.round(((needed - weights) / gib)::numeric, 2),
			pg_catalog.round((gpu_memory_bytes / gib)::numeric, 2), pg_catalog.round((usable / gib)::numeric, 2));
	END IF;
END $$;
COMMENT ON FUNCTION benchorch.fit_gpus(jsonb, jsonb, int, int, int, bigint) IS
'GPUs that a config takes on a machine with gpu_count GPUs of gpu_memory_bytes each: tensor x pipeline x data parallel of params where any is given, else the smallest power of two whose memory_per_gpu is within 90 % of a GPU; reason is NULL where it fits or cannot be checked, else one sentence with the arithmetic (the config is skipped)';
