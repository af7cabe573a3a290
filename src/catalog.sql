/*
 * The catalog: models and their shapes, machines, frameworks, workloads,
 * templates, workers; and what a config needs of a GPU's memory.
 *
 * All of it is plain rows that users own.  The register functions are upserts
 * with one rule: a key that a spec does not name keeps its value on a row that
 * exists, and takes its default on a new one.  seed_reference_data() only adds
 * rows that are missing, so that no edit is ever overwritten.
 *
 * Errors of arguments are 22023, names that do not exist are 42704.
 */

/* ------------------------------------------------------------- arguments */

CREATE FUNCTION benchorch.require_arguments(VARIADIC arguments text[]) RETURNS void
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	FOR i IN 1 .. pg_catalog.cardinality(arguments) BY 2 LOOP
		IF arguments[i + 1] IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s must not be NULL', arguments[i]);
		ELSIF arguments[i + 1] = '' THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s must not be empty', arguments[i]);
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION benchorch.require_arguments(text[]) IS
'Raises 22023 for the first argument that is NULL or empty; arguments: name, value, name, value, ...';

CREATE FUNCTION benchorch.spec_type_matches(value jsonb, type text) RETURNS boolean
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	kind text := pg_catalog.jsonb_typeof(value);
BEGIN
	CASE
		WHEN type = 'any' THEN
			RETURN true;
		WHEN type = 'a string' THEN
			RETURN kind = 'string' AND value #>> '{}' <> '';
		WHEN type = 'a positive integer' THEN
			RETURN kind = 'number' AND pg_catalog.scale(value::numeric) = 0
				AND value::numeric BETWEEN 1 AND 2147483647;
		WHEN type = 'a positive number of bytes' THEN
			RETURN kind = 'number' AND pg_catalog.scale(value::numeric) = 0
				AND value::numeric BETWEEN 1 AND 9223372036854775807;
		WHEN type = 'a positive number' THEN
			RETURN kind = 'number' AND value::numeric BETWEEN 1e-300 AND 1e300;
		WHEN type = 'a number that is not negative' THEN
			RETURN kind = 'number' AND (value::numeric = 0 OR value::numeric BETWEEN 1e-300 AND 1e300);
		WHEN type = 'a number between 0 and 1' THEN
			RETURN kind = 'number' AND value::numeric BETWEEN 1e-9 AND 1 - 1e-9;
		WHEN type = 'an integer' THEN
			RETURN kind = 'number' AND pg_catalog.scale(value::numeric) = 0
				AND value::numeric BETWEEN -2147483648 AND 2147483647;
		WHEN type = 'true or false' THEN
			RETURN kind = 'boolean';
		WHEN type = 'an array of strings' THEN
			RETURN kind = 'array' AND NOT value @? 'strict $[*] ? (@.type() != "string")';
		WHEN type = 'an array of strings (at least one)' THEN
			RETURN kind = 'array' AND value <> '[]' AND NOT value @? 'strict $[*] ? (@.type() != "string")';
		WHEN type = 'an object' THEN
			RETURN kind = 'object';
		WHEN type = 'an object of strings' THEN
			RETURN kind = 'object' AND NOT value @? 'strict $.* ? (@.type() != "string")';
		WHEN type = 'an interval, such as "10 minutes"' THEN
			BEGIN
				RETURN kind = 'string' AND (value #>> '{}')::interval > '0 s'::interval;
			EXCEPTION WHEN data_exception THEN
				RETURN false;
			END;
		WHEN type LIKE 'one of %' THEN
			RETURN kind = 'string'
				AND value #>> '{}' = ANY (pg_catalog.string_to_array(pg_catalog.substr(type, 8), ', '));
	END CASE;
END $$;
COMMENT ON FUNCTION benchorch.spec_type_matches(jsonb, text) IS
'Whether a member of a spec is of a type, which is named in the words that an error message uses';

CREATE FUNCTION benchorch.check_spec(what text, spec jsonb, known text[]) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	key text;
	value jsonb;
	type text;
BEGIN
	IF pg_catalog.jsonb_typeof(spec) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
			MESSAGE = pg_catalog.format('%s must be a JSON object', what),
			DETAIL = pg_catalog.format('It is of type %s.', pg_catalog.jsonb_typeof(spec));
	END IF;
	FOR key, value, type IN
		SELECT e.key, e.value, k.type
		FROM pg_catalog.jsonb_each(spec) AS e
		LEFT JOIN (SELECT pg_catalog.split_part(known_key, ': ', 1) AS key, pg_catalog.split_part(known_key, ': ', 2) AS type
				   FROM pg_catalog.unnest(known) AS known_key) AS k USING (key)
		ORDER BY e.key
	LOOP
		IF type IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s has no key "%s"', what, key),
				HINT = pg_catalog.format('Known keys: %s.',
					(SELECT pg_catalog.string_agg(pg_catalog.split_part(known_key, ': ', 1), ', ')
					 FROM pg_catalog.unnest(known) AS known_key));
		END IF;
		CONTINUE WHEN value = 'null' AND type LIKE '% or null';
		IF benchorch.spec_type_matches(value, pg_catalog.regexp_replace(type, ' or null$', '')) IS NOT TRUE THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('%s key "%s" must be %s', what, key, type),
				DETAIL = pg_catalog.format('It is %s.', pg_catalog."left"(value::text, 100));
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION benchorch.check_spec(text, jsonb, text[]) IS
'Raises 22023 unless spec is an object whose keys are all known and of their types; known: "key: type" each, in the order that the hint lists them; what: how messages call the spec';

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
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE
		WHEN w IN ('fp32', 'float32', 'float', 'f32') THEN 4.0
		WHEN w IN ('bf16', 'fp16', 'bfloat16', 'float16', 'half', 'f16') THEN 2.0
		WHEN w IN ('fp8', 'int8', 'fp8_e4m3', 'fp8_e5m2') THEN 1.0
		WHEN w IN ('nvfp4', 'int4', 'fp4', 'mxfp4') THEN 0.5
		END::float8
	FROM (SELECT pg_catalog.lower(word) AS w) AS s
$$;
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

/* ---------------------------------------- machines, frameworks, workloads */

CREATE FUNCTION benchorch.register_hardware(name text, spec jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	defaults CONSTANT jsonb := '{"kind": "gpu", "gpu_count": 1, "match_names": [], "details": {}, "enabled": true}';
	h benchorch.hardware_configs;
BEGIN
	PERFORM benchorch.require_arguments('name', register_hardware.name, 'spec', register_hardware.spec::text);
	PERFORM benchorch.check_spec('hardware spec', spec, ARRAY[
		'kind: one of gpu, cpu', 'cloud: a string or null', 'gpu: a string or null', 'gpu_count: a positive integer',
		'gpu_memory_bytes: a positive number of bytes or null', 'gpu_memory_gib: a positive number',
		'bandwidth_gbps: a positive number or null', 'bf16_tflops: a positive number or null',
		'fp8_tflops: a positive number or null', 'nvfp4_tflops: a positive number or null',
		'tdp_w: a positive number or null', 'interconnect_gbps: a positive number or null',
		'price_per_hour: a number that is not negative or null', 'match_names: an array of strings',
		'details: an object', 'enabled: true or false']);
	IF spec ? 'gpu_memory_gib' THEN
		IF spec ? 'gpu_memory_bytes' OR (spec -> 'gpu_memory_gib')::numeric > 1048576 THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = 'hardware spec key "gpu_memory_gib" must be at most 1048576, and not beside "gpu_memory_bytes"';
		END IF;
		spec := (spec - 'gpu_memory_gib') || pg_catalog.jsonb_build_object('gpu_memory_bytes',
			pg_catalog.ceil((spec -> 'gpu_memory_gib')::numeric * 1073741824));
	END IF;

	LOOP
		SELECT * INTO h FROM benchorch.hardware_configs AS c WHERE c.name = register_hardware.name FOR UPDATE;
		IF FOUND THEN
			h := pg_catalog.jsonb_populate_record(h, spec);
			UPDATE benchorch.hardware_configs AS c SET
				(kind, cloud, gpu, gpu_count, gpu_memory_bytes, bandwidth_gbps, bf16_tflops, fp8_tflops, nvfp4_tflops,
				 tdp_w, interconnect_gbps, price_per_hour, match_names, details, enabled) =
				(h.kind, h.cloud, h.gpu, h.gpu_count, h.gpu_memory_bytes, h.bandwidth_gbps, h.bf16_tflops, h.fp8_tflops, h.nvfp4_tflops,
				 h.tdp_w, h.interconnect_gbps, h.price_per_hour, h.match_names, h.details, h.enabled)
				WHERE c.id = h.id;
			RETURN h.id;
		END IF;
		h := pg_catalog.jsonb_populate_record(NULL::benchorch.hardware_configs, defaults || spec);
		INSERT INTO benchorch.hardware_configs (name, kind, cloud, gpu, gpu_count, gpu_memory_bytes, bandwidth_gbps, bf16_tflops,
			fp8_tflops, nvfp4_tflops, tdp_w, interconnect_gbps, price_per_hour, match_names, details, enabled)
		VALUES (register_hardware.name, h.kind, h.cloud, h.gpu, h.gpu_count, h.gpu_memory_bytes, h.bandwidth_gbps, h.bf16_tflops,
			h.fp8_tflops, h.nvfp4_tflops, h.tdp_w, h.interconnect_gbps, h.price_per_hour, h.match_names, h.details, h.enabled)
		ON CONFLICT DO NOTHING RETURNING id INTO h.id;
		IF FOUND THEN
			RETURN h.id;
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION benchorch.register_hardware(text, jsonb) IS
'Creates or changes a machine type and returns its id. Keys: the columns of hardware_configs, or gpu_memory_gib for gpu_memory_bytes; null clears what may be unknown; 22023 for unknown keys and wrong types';

CREATE FUNCTION benchorch.register_framework(name text, spec jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	defaults CONSTANT jsonb := '{"protocol": "oneshot", "ready_timeout": "10 minutes", "env": {}, "details": {}, "enabled": true}';
	f benchorch.frameworks;
	existing boolean;
BEGIN
	PERFORM benchorch.require_arguments('name', register_framework.name, 'spec', register_framework.spec::text);
	PERFORM benchorch.check_spec('framework spec', spec, ARRAY[
		'version: a string or null', 'protocol: one of oneshot, stream, served', 'command: an array of strings (at least one)',
		'server_command: an array of strings (at least one) or null', 'ready_command: an array of strings (at least one) or null',
		'ready_timeout: an interval, such as "10 minutes"', 'reset_command: an array of strings (at least one) or null',
		'warmup_command: an array of strings (at least one) or null', 'env: an object of strings',
		'adapter: a string or null', 'details: an object', 'enabled: true or false']);

	LOOP
		SELECT * INTO f FROM benchorch.frameworks AS c WHERE c.name = register_framework.name FOR UPDATE;
		existing := FOUND;
		IF existing THEN
			f := pg_catalog.jsonb_populate_record(f, spec);
		ELSE
			f := pg_catalog.jsonb_populate_record(NULL::benchorch.frameworks, defaults || spec);
		END IF;
		IF f.command IS NULL OR (f.protocol = 'served' AND (f.server_command IS NULL OR f.ready_command IS NULL)) THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('framework spec lacks "%s"', CASE
					WHEN f.command IS NULL THEN 'command' WHEN f.server_command IS NULL THEN 'server_command' ELSE 'ready_command' END),
				HINT = 'Every framework needs command; the protocol served needs server_command and ready_command too.';
		END IF;
		IF existing THEN
			UPDATE benchorch.frameworks AS c SET
				(version, protocol, command, server_command, ready_command, ready_timeout, reset_command, warmup_command,
				 env, adapter, details, enabled) =
				(f.version, f.protocol, f.command, f.server_command, f.ready_command, f.ready_timeout, f.reset_command, f.warmup_command,
				 f.env, f.adapter, f.details, f.enabled)
				WHERE c.id = f.id;
			RETURN f.id;
		END IF;
		INSERT INTO benchorch.frameworks (name, version, protocol, command, server_command, ready_command, ready_timeout,
			reset_command, warmup_command, env, adapter, details, enabled)
		VALUES (register_framework.name, f.version, f.protocol, f.command, f.server_command, f.ready_command, f.ready_timeout,
			f.reset_command, f.warmup_command, f.env, f.adapter, f.details, f.enabled)
		ON CONFLICT DO NOTHING RETURNING id INTO f.id;
		IF FOUND THEN
			RETURN f.id;
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION benchorch.register_framework(text, jsonb) IS
'Creates or changes a framework and returns its id. Keys: the columns of frameworks; commands are JSON arrays of strings, filled per element and run without a shell; ready_timeout is an interval in a string; 22023 for unknown keys, wrong types and commands that the protocol lacks';

CREATE FUNCTION benchorch.register_workload(name text, spec jsonb) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	defaults CONSTANT jsonb := '{"output_share": 0.5, "dataset": "random", "details": {}, "enabled": true}';
	w benchorch.workloads;
BEGIN
	PERFORM benchorch.require_arguments('name', register_workload.name, 'spec', register_workload.spec::text);
	PERFORM benchorch.check_spec('workload spec', spec, ARRAY[
		'output_share: a number between 0 and 1', 'dataset: a string', 'details: an object', 'enabled: true or false',
		'base_priority: an integer']);

	w := pg_catalog.jsonb_populate_record(NULL::benchorch.workloads, defaults || spec);
	INSERT INTO benchorch.workloads AS c (name, output_share, dataset, details, enabled)
	VALUES (register_workload.name, w.output_share, w.dataset, w.details, w.enabled)
	ON CONFLICT (name) DO UPDATE SET
		output_share = CASE WHEN spec ? 'output_share' THEN excluded.output_share ELSE c.output_share END,
		dataset = CASE WHEN spec ? 'dataset' THEN excluded.dataset ELSE c.dataset END,
		details = CASE WHEN spec ? 'details' THEN excluded.details ELSE c.details END,
		enabled = CASE WHEN spec ? 'enabled' THEN excluded.enabled ELSE c.enabled END;
	IF spec ? 'base_priority' THEN
		INSERT INTO benchorch.priority_weights (dimension, value, weight)
		VALUES ('workload', register_workload.name, (spec -> 'base_priority')::int)
		ON CONFLICT (dimension, value) DO UPDATE SET weight = excluded.weight;
	END IF;
	RETURN register_workload.name;
END $$;
COMMENT ON FUNCTION benchorch.register_workload(text, jsonb) IS
'Creates or changes a workload and returns its name. Keys: output_share (of the sequence length, between 0 and 1), dataset, details, enabled, and base_priority, which sets its row of priority_weights; 22023 for unknown keys and wrong types';

/* -------------------------------------------------------------- templates */

CREATE FUNCTION benchorch.template_error(problem text, hint text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF hint IS NULL THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'template spec ' || problem;
	END IF;
	RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'template spec ' || problem, HINT = hint;
END $$;
COMMENT ON FUNCTION benchorch.template_error(text, text) IS 'Raises 22023 about a template''s spec';

CREATE FUNCTION benchorch.check_integers(key text, list jsonb, lowest numeric, highest numeric) RETURNS void
LANGUAGE plpgsql IMMUTABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF pg_catalog.jsonb_typeof(list) <> 'array' OR list = '[]' OR EXISTS (
			SELECT FROM pg_catalog.jsonb_array_elements(list) AS e
			WHERE CASE WHEN pg_catalog.jsonb_typeof(e) = 'number'
				THEN e::numeric NOT BETWEEN lowest AND highest OR pg_catalog.scale(e::numeric) > 0 ELSE true END) THEN
		PERFORM benchorch.template_error(pg_catalog.format('key "%s" must be an array of integers from %s to %s, at least one', key, lowest, highest));
	END IF;
END $$;
COMMENT ON FUNCTION benchorch.check_integers(text, jsonb, numeric, numeric) IS
'Raises 22023 unless a member of a template''s spec is an array of integers in a range';

CREATE FUNCTION benchorch.check_template(spec jsonb) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	built_in CONSTANT text[] := ARRAY['hardware', 'framework', 'workload', 'batch_size', 'sequence_length'];
	parallel CONSTANT text[] := ARRAY['tensor_parallel', 'pipeline_parallel', 'data_parallel'];
	known text[];
	key text;
	value jsonb;
	rule jsonb;
	problem text;
	odd boolean;
	lowest numeric;
	highest numeric;
BEGIN
	PERFORM benchorch.check_spec('template spec', spec, ARRAY[
		'hardware: an array of strings (at least one) or null', 'frameworks: an array of strings (at least one) or null',
		'workloads: an array of strings (at least one) or null', 'batch_sizes: any', 'sequence_lengths: any',
		'repeats: a positive integer', 'dimensions: an object', 'exclude: any', 'limits: an object']);
	PERFORM benchorch.check_integers('batch_sizes', spec -> 'batch_sizes', 1, 1000000);
	PERFORM benchorch.check_integers('sequence_lengths', spec -> 'sequence_lengths', 2, 100000000);
	IF (spec -> 'repeats')::numeric > 1000 THEN
		PERFORM benchorch.template_error('key "repeats" must be an integer from 1 to 1000');
	END IF;

	/* dimensions */
	known := built_in;
	FOR key, value IN SELECT d.key, d.value FROM pg_catalog.jsonb_each(COALESCE(spec -> 'dimensions', '{}')) AS d LOOP
		problem := CASE
			WHEN key = ANY (built_in) OR key = 'repeat' THEN 'has the name of a built-in one'
			WHEN key !~ '^[A-Za-z_][A-Za-z0-9_.-]*$' THEN 'must have a name of letters, digits, and _ . -'
			WHEN pg_catalog.jsonb_typeof(value) <> 'object' OR NOT value ?& ARRAY['kind', 'values'] OR value - 'kind' - 'values' <> '{}' THEN
				'must be an object with the keys "kind" and "values"'
			WHEN value -> 'kind' NOT IN ('"engine"', '"request"') THEN 'must be of kind "engine" or "request"'
			WHEN key = ANY (parallel) AND value -> 'kind' <> '"engine"' THEN 'must be of kind "engine"'
			WHEN pg_catalog.jsonb_typeof(value -> 'values') <> 'array' OR value -> 'values' = '[]'
				OR value -> 'values' @? 'strict $[*] ? (@.type() == "object" || @.type() == "array" || @.type() == "null")' THEN
				'must have an array of strings, numbers or booleans as its "values", at least one'
			WHEN key = ANY (parallel) AND EXISTS (SELECT FROM pg_catalog.jsonb_array_elements(value -> 'values') AS e
				WHERE NOT benchorch.spec_type_matches(e, 'a positive integer')) THEN
				'must have positive integers as its "values"'
			END;
		IF problem IS NOT NULL THEN
			PERFORM benchorch.template_error(pg_catalog.format('dimension "%s" %s', key, problem), CASE
				WHEN key = ANY (built_in) OR key = 'repeat' THEN
					'Use hardware, frameworks, workloads, batch_sizes, sequence_lengths or repeats.' END);
		END IF;
		known := known || key;
	END LOOP;

	/* nothing twice: a cell would be expected twice and created once */
	SELECT l.name INTO key
	FROM (SELECT k, spec -> k FROM pg_catalog.unnest(ARRAY['hardware', 'frameworks', 'workloads', 'batch_sizes', 'sequence_lengths']) AS k
		  UNION ALL
		  SELECT d.key, d.value -> 'values' FROM pg_catalog.jsonb_each(COALESCE(spec -> 'dimensions', '{}')) AS d) AS l (name, list)
	WHERE pg_catalog.jsonb_typeof(l.list) = 'array'
		AND (SELECT pg_catalog.count(*) > pg_catalog.count(DISTINCT e) FROM pg_catalog.jsonb_array_elements(l.list) AS e)
	LIMIT 1;
	IF FOUND THEN
		PERFORM benchorch.template_error(pg_catalog.format('key "%s" names a value twice', key));
	END IF;

	/* exclusions */
	IF pg_catalog.jsonb_typeof(spec -> 'exclude') <> 'array' THEN
		PERFORM benchorch.template_error('key "exclude" must be an array of objects');
	END IF;
	FOR rule IN SELECT e FROM pg_catalog.jsonb_array_elements(COALESCE(spec -> 'exclude', '[]')) AS e LOOP
		IF pg_catalog.jsonb_typeof(rule) <> 'object' OR rule = '{}' THEN
			PERFORM benchorch.template_error('key "exclude" must be an array of objects with at least one member each');
		END IF;
		FOR key, value IN SELECT r.key, r.value FROM pg_catalog.jsonb_each(rule) AS r LOOP
			odd := CASE pg_catalog.jsonb_typeof(value)
				WHEN 'null' THEN true
				WHEN 'array' THEN value = '[]'
					OR value @? 'strict $[*] ? (@.type() == "object" || @.type() == "array" || @.type() == "null")'
				WHEN 'object' THEN value = '{}' OR value - 'min' - 'max' <> '{}' OR value @? 'strict $.* ? (@.type() != "number")'
				ELSE false END;
			IF key <> ALL (known) THEN
				PERFORM benchorch.template_error(pg_catalog.format('exclusion names no dimension: "%s"', key),
					pg_catalog.format('Dimensions: %s.', pg_catalog.array_to_string(known, ', ')));
			ELSIF odd THEN
				PERFORM benchorch.template_error(pg_catalog.format(
					'exclusion of "%s" must be a value, an array of values, or {"min": number, "max": number}', key));
			END IF;
		END LOOP;
	END LOOP;

	/* limits */
	PERFORM benchorch.check_spec('template limits', COALESCE(spec -> 'limits', '{}'), ARRAY[
		'deadline_s: an integer', 'max_losses: an integer', 'crash_retries: an integer', 'crash_delays_s: any',
		'timeout_retries: an integer', 'bad_output_retries: an integer']);
	FOR key, lowest, highest IN VALUES ('deadline_s', 1, 2592000), ('max_losses', 1, 1000), ('crash_retries', 0, 1000),
			('timeout_retries', 0, 1000), ('bad_output_retries', 0, 1000) LOOP
		IF (spec -> 'limits' -> key)::numeric NOT BETWEEN lowest AND highest THEN
			PERFORM benchorch.template_error(pg_catalog.format('limit "%s" must be an integer from %s to %s', key, lowest, highest));
		END IF;
	END LOOP;
	value := spec -> 'limits' -> 'crash_delays_s';
	IF pg_catalog.jsonb_typeof(value) <> 'array' OR value = '[]'
		OR value @? 'strict $[*] ? (@.type() != "number" || @ < 0 || @ > 86400)' THEN
		PERFORM benchorch.template_error('limit "crash_delays_s" must be an array of seconds from 0 to 86400, at least one');
	END IF;
END $$;
COMMENT ON FUNCTION benchorch.check_template(jsonb) IS
'Raises 22023 unless a template''s spec is well formed; names of hardware, frameworks and workloads are looked up only by populate_matrix';

CREATE FUNCTION benchorch.create_template(name text, spec jsonb) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	defaults CONSTANT jsonb := '{"batch_sizes": [1, 2, 4, 8], "sequence_lengths": [1024, 2048, 4096], "repeats": 1}';
	merged jsonb;
	template_id int;
BEGIN
	PERFORM benchorch.require_arguments('name', create_template.name, 'spec', create_template.spec::text);
	PERFORM benchorch.check_spec('template spec', create_template.spec, ARRAY[
		'hardware: any', 'frameworks: any', 'workloads: any', 'batch_sizes: any', 'sequence_lengths: any',
		'repeats: any', 'dimensions: any', 'exclude: any', 'limits: any']);
	LOOP
		SELECT t.id, t.spec INTO template_id, merged FROM benchorch.templates AS t WHERE t.name = create_template.name FOR UPDATE;
		/* null takes a member out; what every template has returns to its default */
		merged := defaults || pg_catalog.jsonb_strip_nulls(COALESCE(merged, '{}') || (
			SELECT COALESCE(pg_catalog.jsonb_object_agg(e.key, e.value), '{}') FROM pg_catalog.jsonb_each(create_template.spec) AS e));
		PERFORM benchorch.check_template(merged);
		IF template_id IS NOT NULL THEN
			UPDATE benchorch.templates AS t SET spec = merged WHERE t.id = template_id;
			RETURN template_id;
		END IF;
		INSERT INTO benchorch.templates (name, spec) VALUES (create_template.name, merged)
		ON CONFLICT DO NOTHING RETURNING id INTO template_id;
		IF FOUND THEN
			RETURN template_id;
		END IF;
	END LOOP;
END $$;
COMMENT ON FUNCTION benchorch.create_template(text, jsonb) IS
'Creates or changes a template and returns its id. Keys: hardware, frameworks, workloads (names; absent: all that are enabled), batch_sizes, sequence_lengths (tokens), repeats (1 to 1000), dimensions {"name": {"kind": "engine" or "request", "values": [...]}}, exclude [{"dimension": value, [values] or {"min": n, "max": n}, ...}, ...] (left out is what matches every member), limits {deadline_s, max_losses, crash_retries, crash_delays_s, timeout_retries, bad_output_retries}. A key replaces the one before as a whole, null takes it out; configs that exist are not changed, but limits hold for them from now on; 22023 for what is not well formed';

CREATE FUNCTION benchorch.template_limits(spec jsonb, OUT deadline_s int, OUT max_losses int, OUT crash_retries int,
	OUT crash_delays_s float8[], OUT timeout_retries int, OUT bad_output_retries int) RETURNS record
LANGUAGE sql IMMUTABLE PARALLEL SAFE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
	SELECT COALESCE((l -> 'deadline_s')::int, 3600),
		COALESCE((l -> 'max_losses')::int, 4),
		COALESCE((l -> 'crash_retries')::int, 4),
		CASE WHEN pg_catalog.jsonb_typeof(l -> 'crash_delays_s') = 'array'
			THEN ARRAY(SELECT e::float8 FROM pg_catalog.jsonb_array_elements(l -> 'crash_delays_s') WITH ORDINALITY AS a (e, i) ORDER BY i)
			ELSE ARRAY[15, 30, 60, 120] END,
		COALESCE((l -> 'timeout_retries')::int, 1),
		COALESCE((l -> 'bad_output_retries')::int, 1)
	FROM (SELECT spec -> 'limits' AS l) AS s
$$;
COMMENT ON FUNCTION benchorch.template_limits(jsonb) IS
'Retry policy of a template''s spec, defaults filled in: deadline_s per attempt; max_losses blamed losses that fail a config; retries per outcome; crash_delays_s before each retry of a crash, the last one again where there are more retries; NULL spec gives the defaults';

/* ---------------------------------------------------------------- workers */

CREATE FUNCTION benchorch.register_worker(name text, hardware text, frameworks text[], details jsonb DEFAULT '{}') RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	h benchorch.hardware_configs;
	framework text;
	ids int[] := '{}';
	framework_id int;
	slot int;
	worker uuid;
	lease interval := COALESCE(NULLIF(pg_catalog.current_setting('benchorch.lease', true), ''), '60')::interval;
BEGIN
	PERFORM benchorch.require_arguments('name', register_worker.name, 'hardware', register_worker.hardware,
		'frameworks', pg_catalog.array_to_string(register_worker.frameworks, ',', '?'), 'details', register_worker.details::text);
	IF pg_catalog.jsonb_typeof(register_worker.details) <> 'object' THEN
		RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value', MESSAGE = 'details must be a JSON object';
	END IF;

	SELECT * INTO h FROM benchorch.hardware_configs AS c WHERE c.name = register_worker.hardware;
	IF NOT FOUND THEN
		IF NOT register_worker.details ? 'hardware' THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = pg_catalog.format('hardware "%s" does not exist', register_worker.hardware),
				HINT = 'Register it with benchorch.register_hardware(), or describe it in details as "hardware".';
		END IF;
		PERFORM benchorch.register_hardware(register_worker.hardware, (register_worker.details -> 'hardware') || '{"enabled": false}');
		SELECT * INTO h FROM benchorch.hardware_configs AS c WHERE c.name = register_worker.hardware;
	END IF;

	FOREACH framework IN ARRAY register_worker.frameworks LOOP
		PERFORM benchorch.require_arguments('each of frameworks', framework);
		SELECT f.id INTO framework_id FROM benchorch.frameworks AS f WHERE f.name = framework;
		IF NOT FOUND AND framework = 'benchorch-engine' THEN
			framework_id := benchorch.register_framework(framework, '{
				"protocol": "oneshot", "adapter": "benchorch-engine", "enabled": false,
				"command": ["benchorch-engine", "--architecture", "{architecture}", "--model", "{model_name}",
					"--batch-size", "{batch_size}", "--input-tokens", "{input_tokens}", "--output-tokens", "{output_tokens}",
					"--precision", "{params.precision:fp32}", "--seed", "{seed}", "--threads", "{params.threads:auto}",
					"--budget", "{params.budget:10}"]}');
		ELSIF framework_id IS NULL THEN
			RAISE EXCEPTION USING ERRCODE = 'undefined_object',
				MESSAGE = pg_catalog.format('framework "%s" does not exist', framework),
				HINT = pg_catalog.format('Known are %s. Register others with benchorch.register_framework().', COALESCE(
					(SELECT pg_catalog.string_agg(f.name, ', ' ORDER BY f.id) FROM benchorch.frameworks AS f),
					'none (see benchorch.seed_reference_data())'));
		END IF;
		IF framework_id <> ALL (ids) THEN
			ids := ids || framework_id;
		END IF;
	END LOOP;

	slot := h.gpu_count;
	IF register_worker.details ? 'gpus' THEN
		IF NOT benchorch.spec_type_matches(register_worker.details -> 'gpus', 'a positive integer')
			OR (register_worker.details -> 'gpus')::numeric > h.gpu_count THEN
			RAISE EXCEPTION USING ERRCODE = 'invalid_parameter_value',
				MESSAGE = pg_catalog.format('details key "gpus" must be an integer from 1 to %s, the GPUs of %s', h.gpu_count, h.name),
				DETAIL = pg_catalog.format('It is %s.', register_worker.details -> 'gpus');
		END IF;
		slot := register_worker.details -> 'gpus';
	END IF;

	INSERT INTO benchorch.workers AS w (name, hardware_config_id, framework_ids, gpus, details)
	VALUES (register_worker.name, h.id, ids, slot, register_worker.details)
	ON CONFLICT (name) DO UPDATE SET
		hardware_config_id = excluded.hardware_config_id,
		framework_ids = excluded.framework_ids,
		gpus = excluded.gpus,
		details = excluded.details,
		state = CASE WHEN w.state = 'quarantined' THEN w.state ELSE 'active' END,
		reason = CASE WHEN w.state = 'quarantined' THEN w.reason END,
		registered_at = excluded.registered_at
	RETURNING w.id INTO worker;
	INSERT INTO benchorch.worker_leases AS l (worker_id, expires_at, heartbeat_at)
	VALUES (worker, pg_catalog.now() + lease, pg_catalog.now())
	ON CONFLICT (worker_id) DO UPDATE SET expires_at = excluded.expires_at, heartbeat_at = excluded.heartbeat_at;
	RETURN worker;
END $$;
COMMENT ON FUNCTION benchorch.register_worker(text, text, text[], jsonb) IS
'Registers a worker process and returns its id; the same name again is the same worker: its hardware, frameworks and details are replaced, and it is active unless quarantined. details: "gpus", the size of its slot (default: all of the machine''s); "hardware", a register_hardware spec for hardware that is unknown, created not enabled; anything else is kept. Unknown hardware or framework is 42704; the framework benchorch-engine is created, not enabled, where it is unknown';

/* --------------------------------------------------------- reference data */

CREATE FUNCTION benchorch.seed_reference_data() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
#variable_conflict use_column
DECLARE
	gib CONSTANT bigint := 1073741824;
BEGIN
	INSERT INTO benchorch.hardware_configs (name, cloud, gpu, gpu_count, gpu_memory_bytes, bandwidth_gbps, bf16_tflops,
		fp8_tflops, tdp_w, interconnect_gbps, match_names, details)
	SELECT r.name, r.cloud, r.gpu, r.gpu_count, r.memory, r.bandwidth, r.bf16, r.fp8, r.tdp, r.link, r.match_names, r.details
	FROM (VALUES
		(1, 'g5.xlarge', 'aws', 'NVIDIA A10G', 1, 24 * gib, 600, 70, NULL, 300, NULL,
			ARRAY['NVIDIA A10G'], '{"interconnect": "none (PCIe4)", "note": "bf16_tflops: published by AWS; there is no data sheet of the A10G"}'::jsonb),
		(2, 'g6.xlarge', 'aws', 'NVIDIA L4', 1, 24 * gib, 300, 121, 242, 72, NULL,
			ARRAY['NVIDIA L4'], '{"interconnect": "none (PCIe4)"}'),
		(3, 'g6e.xlarge', 'aws', 'NVIDIA L40S', 1, 48 * gib, 864, 362.05, 733, 350, NULL,
			ARRAY['NVIDIA L40S'], '{"interconnect": "none (PCIe4)", "note": "46068 MiB are usable as the driver reports it"}'),
		(4, 'a2-highgpu-1g', 'gcp', 'NVIDIA A100-SXM4-40GB', 1, 40 * gib, 1555, 312, NULL, 400, 300,
			ARRAY['NVIDIA A100-SXM4-40GB'], '{"interconnect": "NVLink3"}'),
		(5, 'p4d.24xlarge', 'aws', 'NVIDIA A100-SXM4-40GB', 8, 40 * gib, 1555, 312, NULL, 400, 300,
			ARRAY['NVIDIA A100-SXM4-40GB'], '{"interconnect": "NVLink3/NVSwitch"}'),
		(6, 'p4de.24xlarge', 'aws', 'NVIDIA A100-SXM4-80GB', 8, 80 * gib, 2039, 312, NULL, 400, 300,
			ARRAY['NVIDIA A100-SXM4-80GB'], '{"interconnect": "NVLink3/NVSwitch"}'),
		(7, 'p5.48xlarge', 'aws', 'NVIDIA H100-SXM5-80GB', 8, 80 * gib, 3350, 989, 1979, 700, 450,
			ARRAY['NVIDIA H100 80GB HBM3'], '{"interconnect": "NVLink4/NVSwitch"}'),
		(8, 'p5en.48xlarge', 'aws', 'NVIDIA H200-SXM-141GB', 8, 141000000000, 4800, 989, 1979, 700, 450,
			ARRAY['NVIDIA H200'], '{"interconnect": "NVLink4/NVSwitch", "note": "gpu_memory_bytes: 141 GB are decimal"}'),
		(9, 'p6-b200.48xlarge', 'aws', 'NVIDIA B200-SXM-180GB', 8, 180 * gib, 8000, 2250, 4500, 1000, 900,
			ARRAY['NVIDIA B200'], '{"interconnect": "NVLink5", "note": "bandwidth_gbps: sources say 7700 or 8000; nvfp4_tflops: not in our sources"}'),
		(10, 'ND MI300X v5', 'azure', 'AMD Instinct MI300X', 8, 192 * gib, 5300, 1307, 2615, 750, 448,
			ARRAY['AMD Instinct MI300X', 'AMD Instinct MI300X OAM'], '{"interconnect": "Infinity Fabric", "note": "tdp_w: not verified"}')
	) AS r (position, name, cloud, gpu, gpu_count, memory, bandwidth, bf16, fp8, tdp, link, match_names, details)
	WHERE NOT EXISTS (SELECT FROM benchorch.hardware_configs AS c WHERE c.name = r.name)
	ORDER BY r.position
	ON CONFLICT (name) DO NOTHING;

	/*
	 * The benchmark clients that each project ships.  All three send random
	 * token ids at {batch_size} requests in flight, as fast as they are
	 * answered, of exactly the asked lengths (SGLang's range ratio 1 means
	 * what 0 means to the others).  A server lives for a lane, so its command
	 * uses nothing that differs inside one.
	 */
	INSERT INTO benchorch.frameworks (name, protocol, command, server_command, ready_command, ready_timeout, reset_command,
		warmup_command, env, details)
	SELECT r.name, 'served', r.command, r.server_command, ARRAY['curl', '-sf', 'http://127.0.0.1:{port}/health'], '30 minutes',
		r.reset_command, r.warmup_command, r.env, r.details
	FROM (VALUES
		(1, 'vLLM',
			ARRAY['vllm', 'bench', 'serve', '--backend', 'vllm', '--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random', '--random-input-len', '{input_tokens}', '--random-output-len', '{output_tokens}',
				'--random-range-ratio', '0', '--num-prompts', '{num_prompts}', '--max-concurrency', '{batch_size}',
				'--request-rate', 'inf', '--ignore-eos', '--seed', '{seed}',
				'--percentile-metrics', 'ttft,tpot,itl,e2el', '--metric-percentiles', '50,90,95,99',
				'--save-result', '--result-filename', '{result_file}'],
			ARRAY['vllm', 'serve', '{model}', '--host', '127.0.0.1', '--port', '{port}',
				'--tensor-parallel-size', '{gpus}', '--pipeline-parallel-size', '{params.pipeline_parallel:1}',
				'--data-parallel-size', '{params.data_parallel:1}', '--dtype', '{params.precision:auto}',
				'--kv-cache-dtype', '{params.kv_cache_dtype:auto}', '--max-model-len', '{params.max_model_len:8192}'],
			ARRAY['curl', '-sf', '-X', 'POST', 'http://127.0.0.1:{port}/reset_prefix_cache'],
			ARRAY['vllm', 'bench', 'serve', '--backend', 'vllm', '--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random', '--random-input-len', '256', '--random-output-len', '64',
				'--num-prompts', '16', '--max-concurrency', '8', '--ignore-eos'],
			'{"VLLM_SERVER_DEV_MODE": "1"}'::jsonb,
			'{"note": "VLLM_SERVER_DEV_MODE enables /reset_prefix_cache"}'::jsonb),
		(2, 'SGLang',
			ARRAY['python3', '-m', 'sglang.bench_serving', '--backend', 'sglang', '--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random-ids', '--tokenize-prompt',
				'--random-input-len', '{input_tokens}', '--random-output-len', '{output_tokens}',
				'--random-range-ratio', '1', '--num-prompts', '{num_prompts}', '--max-concurrency', '{batch_size}',
				'--request-rate', 'inf', '--seed', '{seed}', '--output-file', '{result_file}'],
			ARRAY['python3', '-m', 'sglang.launch_server', '--model-path', '{model}', '--host', '127.0.0.1', '--port', '{port}',
				'--tp-size', '{gpus}', '--pp-size', '{params.pipeline_parallel:1}', '--dp-size', '{params.data_parallel:1}',
				'--dtype', '{params.precision:auto}', '--kv-cache-dtype', '{params.kv_cache_dtype:auto}',
				'--context-length', '{params.max_model_len:8192}'],
			ARRAY['curl', '-sf', '-X', 'POST', 'http://127.0.0.1:{port}/flush_cache'],
			NULL,
			'{}',
			'{"note": "the client ignores the end of sequence unless told otherwise, and warms up with one request"}'),
		(3, 'TensorRT-LLM',
			ARRAY['python3', '-m', 'tensorrt_llm.serve.scripts.benchmark_serving', '--backend', 'openai',
				'--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random', '--random-ids', '--tokenize-on-client',
				'--random-input-len', '{input_tokens}', '--random-output-len', '{output_tokens}', '--random-prefix-len', '0',
				'--random-range-ratio', '0', '--num-prompts', '{num_prompts}', '--max-concurrency', '{batch_size}',
				'--request-rate', 'inf', '--ignore-eos', '--seed', '{seed}',
				'--percentile-metrics', 'ttft,tpot,itl,e2el', '--metric-percentiles', '50,90,95,99',
				'--save-result', '--result-filename', '{result_file}'],
			ARRAY['trtllm-serve', '{model}', '--backend', 'pytorch', '--host', '127.0.0.1', '--port', '{port}',
				'--tp_size', '{gpus}', '--pp_size', '{params.pipeline_parallel:1}', '--max_seq_len', '{params.max_model_len:8192}'],
			NULL,
			ARRAY['python3', '-m', 'tensorrt_llm.serve.scripts.benchmark_serving', '--backend', 'openai',
				'--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random', '--random-ids', '--tokenize-on-client', '--random-input-len', '256', '--random-output-len', '64',
				'--num-prompts', '16', '--max-concurrency', '8', '--ignore-eos'],
			'{}',
			'{"note": "the server has no call that empties its prefix cache; each config has its own seed"}')
	) AS r (position, name, command, server_command, reset_command, warmup_command, env, details)
	WHERE NOT EXISTS (SELECT FROM benchorch.frameworks AS f WHERE f.name = r.name)
	ORDER BY r.position
	ON CONFLICT (name) DO NOTHING;

	INSERT INTO benchorch.workloads (name, output_share) VALUES
		('chatbot', 0.25), ('qa', 0.125), ('code-generation', 0.5), ('creative-writing', 0.75), ('summarization', 0.125)
	ON CONFLICT (name) DO NOTHING;

	INSERT INTO benchorch.priority_weights (dimension, value, weight) VALUES
		('workload', 'chatbot', 100), ('workload', 'qa', 200), ('workload', 'code-generation', 300),
		('workload', 'creative-writing', 400), ('workload', 'summarization', 500), ('workload', '*', 600),
		('batch_size', 'step', 10),
		('sequence_length', '1024', 0), ('sequence_length', '2048', 20), ('sequence_length', '4096', 40),
		('sequence_length', '8192', 60), ('sequence_length', '*', 80)
	ON CONFLICT (dimension, value) DO NOTHING;

	IF NOT EXISTS (SELECT FROM benchorch.templates AS t WHERE t.name = 'default') THEN
		PERFORM benchorch.create_template('default', '{}');
	END IF;

	PERFORM benchorch.seed_adapters();
END $$;
COMMENT ON FUNCTION benchorch.seed_reference_data() IS
'Adds the reference rows that are missing: 10 machine types, 3 frameworks, 5 workloads, the priority weights, the template default, the adapters of results. Rows that exist are never changed; a row that was deleted comes back, so disable what is not wanted';
