/*
 * The catalog: machines, frameworks, workloads, templates, workers.
 *
 * All of it is plain rows that users own.  The register functions are upserts
 * with one rule: a key that a spec does not name keeps its value on a row that
 * exists, and takes its default on a new one.  seed_reference_data() only adds
 * rows that are missing, so that no edit is ever overwritten.
 *
 * Errors of arguments are 22023, names that do not exist are 42704.
 */

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

CREATE FUNCTION benchorch.match_hardware(gpu text, gpu_count int, gpu_memory_bytes bigint) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	tolerance CONSTANT float8 := 0.1;
	found text[];
BEGIN
	PERFORM benchorch.require_arguments('gpu', match_hardware.gpu, 'gpu_count', match_hardware.gpu_count::text,
		'gpu_memory_bytes', match_hardware.gpu_memory_bytes::text);
	/* drivers, labels and people write the same product with dashes or spaces, with or without the maker's name */
	SELECT c.names INTO found
	FROM (SELECT pg_catalog.array_agg(h.name::text ORDER BY h.id) AS names, h.gpu_count, h.enabled
		  FROM benchorch.hardware_configs AS h, pg_catalog.unnest(h.match_names) AS m (name)
		  WHERE h.kind = 'gpu' AND h.gpu_count >= match_hardware.gpu_count
			AND pg_catalog.abs(h.gpu_memory_bytes - match_hardware.gpu_memory_bytes) <= tolerance * h.gpu_memory_bytes
			AND pg_catalog.regexp_replace(pg_catalog.lower(m.name), '^nvidia|[^a-z0-9]', '', 'g')
			  = pg_catalog.regexp_replace(pg_catalog.lower(match_hardware.gpu), '^nvidia|[^a-z0-9]', '', 'g')
		  GROUP BY h.gpu_count, h.enabled) AS c
	ORDER BY c.enabled DESC, c.gpu_count LIMIT 1;
	IF pg_catalog.cardinality(found) > 1 THEN
		RAISE invalid_parameter_value USING
			MESSAGE = pg_catalog.format('%s x %s matches more than one hardware: %s', match_hardware.gpu_count, match_hardware.gpu,
				pg_catalog.array_to_string(found, ', ')),
			HINT = 'Say which with --hardware, or disable all but one.';
	END IF;
	RETURN found[1];
END $$;
COMMENT ON FUNCTION benchorch.match_hardware(text, int, bigint) IS
'The name of the hardware that a machine with gpu_count GPUs of this product (a name that the driver reports: match_names) and memory (bytes of one GPU, within 10 %) is; where none has as many GPUs, of the smallest that has more; enabled rows first; NULL where none matches. Errors: 22023 NULL, or more than one matches';

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
	session text;
	lease interval := pg_catalog.make_interval(secs => benchorch.lease_seconds());
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
				"protocol": "stream", "adapter": "benchorch-engine", "enabled": false,
				"command": ["benchorch-engine", "--stream", "--architecture", "{architecture}", "--model", "{model_name}",
					"--precision", "{params.precision:fp32}", "--threads", "{params.threads:auto}", "--budget", "{params.budget:10}"]}');
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

	SELECT w.id, w.details ->> 'session' INTO worker, session FROM benchorch.workers AS w WHERE w.name = register_worker.name;
	/* the order of locks: lease, configs, worker */
	UPDATE benchorch.worker_leases AS l SET expires_at = pg_catalog.now() + lease, heartbeat_at = pg_catalog.now()
	WHERE l.worker_id = worker;
	IF register_worker.details ->> 'session' <> COALESCE(session, '') AND worker IS NOT NULL THEN
		/* the presence, too, was the other process's */
		UPDATE benchorch.worker_leases AS l SET presence_at = NULL, absent_since = NULL WHERE l.worker_id = worker;
		PERFORM benchorch.abandon(worker);
	END IF;
	INSERT INTO benchorch.workers AS w (name, hardware_config_id, framework_ids, gpus, details, state, reason)
	VALUES (register_worker.name, h.id, ids, slot, register_worker.details,
		CASE WHEN register_worker.details ? 'sick' THEN 'draining' ELSE 'active' END, register_worker.details ->> 'sick')
	ON CONFLICT (name) DO UPDATE SET
		hardware_config_id = excluded.hardware_config_id,
		framework_ids = excluded.framework_ids,
		gpus = excluded.gpus,
		details = excluded.details,
		state = CASE WHEN w.state = 'quarantined' THEN w.state ELSE excluded.state END,
		reason = CASE WHEN w.state = 'quarantined' THEN w.reason ELSE excluded.reason END,
		registered_at = excluded.registered_at
	RETURNING w.id INTO worker;
	INSERT INTO benchorch.worker_leases AS l (worker_id, expires_at, heartbeat_at)
	VALUES (worker, pg_catalog.now() + lease, pg_catalog.now())
	ON CONFLICT (worker_id) DO NOTHING;
	RETURN worker;
END $$;
COMMENT ON FUNCTION benchorch.register_worker(text, text, text[], jsonb) IS
'Registers a worker process and returns its id; the same name again is the same worker: its hardware, frameworks and details are replaced, and it is active unless quarantined. details: "gpus", the size of its slot (default: all of the machine''s); "hardware", a register_hardware spec for hardware that is unknown, created not enabled; "session", one word for each process: where it differs, the process before it is gone, and what that held is taken back; "sick", why its machine is not fit for work: it gets none until it registers without; anything else is kept. Unknown hardware or framework is 42704; the framework benchorch-engine is created, not enabled, where it is unknown';

/* ------------------------------------------------------- what is used stays */

CREATE FUNCTION benchorch.keep_used() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	user_of text;
BEGIN
	IF TG_OP = 'UPDATE' AND NEW.id = OLD.id THEN
		RETURN NEW;
	END IF;
	CASE TG_TABLE_NAME
		WHEN 'model_versions' THEN
			SELECT 'configs' INTO user_of FROM benchorch.lanes AS l WHERE l.model_version_id = OLD.id LIMIT 1;
		WHEN 'hardware_configs' THEN
			SELECT u.name INTO user_of FROM (
				SELECT 'configs' AS name FROM benchorch.lanes AS l WHERE l.hardware_config_id = OLD.id
				UNION ALL SELECT 'workers' FROM benchorch.workers AS w WHERE w.hardware_config_id = OLD.id) AS u LIMIT 1;
		WHEN 'frameworks' THEN
			SELECT u.name INTO user_of FROM (
				SELECT 'configs' AS name FROM benchorch.lanes AS l WHERE l.framework_id = OLD.id
				UNION ALL SELECT 'workers' FROM benchorch.workers AS w WHERE OLD.id = ANY (w.framework_ids)) AS u LIMIT 1;
	END CASE;
	IF user_of IS NOT NULL THEN
		RAISE foreign_key_violation USING
			MESSAGE = format('"%s" of %s is used by %s', OLD.name, TG_TABLE_NAME, user_of),
			HINT = CASE WHEN TG_TABLE_NAME = 'model_versions' THEN 'benchorch.cancel() stops its configs, and they can be archived; the row stays.'
						ELSE 'Set enabled to false to keep it out of new matrices.' END;
	END IF;
	RETURN CASE TG_OP WHEN 'UPDATE' THEN NEW ELSE OLD END;
END
$$;
COMMENT ON FUNCTION benchorch.keep_used() IS 'Trigger: models, hardware and frameworks that configs or workers refer to cannot be deleted or renumbered';

CREATE TRIGGER keep_used BEFORE DELETE OR UPDATE OF id ON benchorch.model_versions
	FOR EACH ROW EXECUTE FUNCTION benchorch.keep_used();
CREATE TRIGGER keep_used BEFORE DELETE OR UPDATE OF id ON benchorch.hardware_configs
	FOR EACH ROW EXECUTE FUNCTION benchorch.keep_used();
CREATE TRIGGER keep_used BEFORE DELETE OR UPDATE OF id ON benchorch.frameworks
	FOR EACH ROW EXECUTE FUNCTION benchorch.keep_used();

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
			ARRAY['NVIDIA A10G'], '{"last_level_cache_bytes": 6291456, "interconnect": "none (PCIe4)", "note": "bf16_tflops: published by AWS; there is no data sheet of the A10G"}'::jsonb),
		(2, 'g6.xlarge', 'aws', 'NVIDIA L4', 1, 24 * gib, 300, 121, 242, 72, NULL,
			ARRAY['NVIDIA L4'], '{"last_level_cache_bytes": 50331648, "interconnect": "none (PCIe4)"}'),
		(3, 'g6e.xlarge', 'aws', 'NVIDIA L40S', 1, 48 * gib, 864, 362.05, 733, 350, NULL,
			ARRAY['NVIDIA L40S'], '{"last_level_cache_bytes": 100663296, "interconnect": "none (PCIe4)", "note": "46068 MiB are usable as the driver reports it"}'),
		(4, 'a2-highgpu-1g', 'gcp', 'NVIDIA A100-SXM4-40GB', 1, 40 * gib, 1555, 312, NULL, 400, 300,
			ARRAY['NVIDIA A100-SXM4-40GB'], '{"last_level_cache_bytes": 41943040, "interconnect": "NVLink3"}'),
		(5, 'p4d.24xlarge', 'aws', 'NVIDIA A100-SXM4-40GB', 8, 40 * gib, 1555, 312, NULL, 400, 300,
			ARRAY['NVIDIA A100-SXM4-40GB'], '{"last_level_cache_bytes": 41943040, "interconnect": "NVLink3/NVSwitch"}'),
		(6, 'p4de.24xlarge', 'aws', 'NVIDIA A100-SXM4-80GB', 8, 80 * gib, 2039, 312, NULL, 400, 300,
			ARRAY['NVIDIA A100-SXM4-80GB'], '{"last_level_cache_bytes": 41943040, "interconnect": "NVLink3/NVSwitch"}'),
		(7, 'p5.48xlarge', 'aws', 'NVIDIA H100-SXM5-80GB', 8, 80 * gib, 3350, 989, 1979, 700, 450,
			ARRAY['NVIDIA H100 80GB HBM3'], '{"last_level_cache_bytes": 52428800, "interconnect": "NVLink4/NVSwitch"}'),
		(8, 'p5en.48xlarge', 'aws', 'NVIDIA H200-SXM-141GB', 8, 141000000000, 4800, 989, 1979, 700, 450,
			ARRAY['NVIDIA H200'], '{"last_level_cache_bytes": 52428800, "interconnect": "NVLink4/NVSwitch", "note": "gpu_memory_bytes: 141 GB are decimal"}'),
		(9, 'p6-b200.48xlarge', 'aws', 'NVIDIA B200-SXM-180GB', 8, 180 * gib, 8000, 2250, 4500, 1000, 900,
			ARRAY['NVIDIA B200'], '{"last_level_cache_bytes": 132120576, "interconnect": "NVLink5", "note": "bandwidth_gbps: sources say 7700 or 8000; nvfp4_tflops: not in our sources"}'),
		(10, 'ND MI300X v5', 'azure', 'AMD Instinct MI300X', 8, 192 * gib, 5300, 1307, 2615, 750, 448,
			ARRAY['AMD Instinct MI300X', 'AMD Instinct MI300X OAM'], '{"last_level_cache_bytes": 268435456, "interconnect": "Infinity Fabric", "note": "tdp_w: not verified"}')
	) AS r (position, name, cloud, gpu, gpu_count, memory, bandwidth, bf16, fp8, tdp, link, match_names, details)
	WHERE NOT EXISTS (SELECT FROM benchorch.hardware_configs AS c WHERE c.name = r.name)
	ORDER BY r.position
	ON CONFLICT (name) DO NOTHING;

	/*
	 * The benchmark clients that each project ships.  All three send random
	 * token ids at {batch_size} requests in flight, as fast as they are
	 * answered, of exactly the asked lengths (SGLang's range ratio 1 means
	 * what 0 means to the others).  A server lives for a lane, so its command
	 * uses nothing that differs inside one.  TensorRT-LLM's client descends
	 * from vLLM's and writes its format.
	 */
	INSERT INTO benchorch.frameworks (name, protocol, command, server_command, ready_command, ready_timeout, reset_command,
		warmup_command, env, adapter, details)
	SELECT r.name, 'served', r.command, r.server_command, ARRAY['curl', '-sf', 'http://127.0.0.1:{port}/health'], '30 minutes',
		r.reset_command, r.warmup_command, r.env,
		CASE r.name WHEN 'SGLang' THEN 'sglang-serving' ELSE 'vllm-serve' END, r.details
	FROM (VALUES
		(1, 'vLLM',
			ARRAY['vllm', 'bench', 'serve', '--backend', 'vllm', '--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random', '--random-input-len', '{input_tokens}', '--random-output-len', '{output_tokens}',
				'--random-range-ratio', '0', '--num-prompts', '{num_prompts}', '--max-concurrency', '{batch_size}',
				'--request-rate', 'inf', '--ignore-eos', '--seed', '{seed}',
				'--percentile-metrics', 'ttft,tpot,itl,e2el', '--metric-percentiles', '50,90,95,99',
				'--save-result', '--result-filename', '{result_file}'],
			ARRAY['vllm', 'serve', '{model}', '--host', '127.0.0.1', '--port', '{port}',
				'--tensor-parallel-size', '{tensor_parallel}', '--pipeline-parallel-size', '{pipeline_parallel}',
				'--data-parallel-size', '{data_parallel}', '{arguments.precision}',
				'--kv-cache-dtype', '{params.kv_cache_dtype:auto}', '--max-model-len', '{params.max_model_len:8192}'],
			ARRAY['curl', '-sf', '-X', 'POST', 'http://127.0.0.1:{port}/reset_prefix_cache'],
			ARRAY['vllm', 'bench', 'serve', '--backend', 'vllm', '--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random', '--random-input-len', '256', '--random-output-len', '64',
				'--num-prompts', '16', '--max-concurrency', '8', '--ignore-eos'],
			'{"VLLM_SERVER_DEV_MODE": "1"}'::jsonb,
			'{"note": "VLLM_SERVER_DEV_MODE enables /reset_prefix_cache",
			  "words": {"kv_cache_dtype": {"bf16": "auto", "fp16": "auto"}},
			  "arguments": {"precision": {"auto": [], "fp32": ["--dtype", "float32"], "fp16": ["--dtype", "float16"],
				"bf16": ["--dtype", "bfloat16"], "fp8": ["--quantization", "fp8"]}}}'::jsonb),
		(2, 'SGLang',
			ARRAY['python3', '-m', 'sglang.bench_serving', '--backend', 'sglang', '--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random-ids', '--tokenize-prompt',
				'--random-input-len', '{input_tokens}', '--random-output-len', '{output_tokens}',
				'--random-range-ratio', '1', '--num-prompts', '{num_prompts}', '--max-concurrency', '{batch_size}',
				'--request-rate', 'inf', '--seed', '{seed}', '--output-file', '{result_file}'],
			ARRAY['python3', '-m', 'sglang.launch_server', '--model-path', '{model}', '--host', '127.0.0.1', '--port', '{port}',
				'--tp-size', '{tensor_parallel}', '--pp-size', '{pipeline_parallel}', '--dp-size', '{data_parallel}',
				'{arguments.precision}', '--kv-cache-dtype', '{params.kv_cache_dtype:auto}',
				'--context-length', '{params.max_model_len:8192}'],
			ARRAY['curl', '-sf', '-X', 'POST', 'http://127.0.0.1:{port}/flush_cache'],
			NULL,
			'{}',
			'{"note": "the client ignores the end of sequence unless told otherwise, and warms up with one request",
			  "words": {"kv_cache_dtype": {"bf16": "auto", "fp16": "auto", "fp8": "fp8_e4m3"}},
			  "arguments": {"precision": {"auto": [], "fp32": ["--dtype", "float32"], "fp16": ["--dtype", "float16"],
				"bf16": ["--dtype", "bfloat16"], "fp8": ["--quantization", "fp8"]}}}'),
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
				'--tp_size', '{tensor_parallel}', '--pp_size', '{pipeline_parallel}', '{arguments.precision}', '--max_seq_len', '{params.max_model_len:8192}'],
			NULL,
			ARRAY['python3', '-m', 'tensorrt_llm.serve.scripts.benchmark_serving', '--backend', 'openai',
				'--host', '127.0.0.1', '--port', '{port}', '--model', '{model}',
				'--dataset-name', 'random', '--random-ids', '--tokenize-on-client', '--random-input-len', '256', '--random-output-len', '64',
				'--num-prompts', '16', '--max-concurrency', '8', '--ignore-eos'],
			'{}',
			'{"note": "the server has no call that empties its prefix cache; each config has its own seed; the precision is the checkpoint''s",
			  "arguments": {"precision": {"auto": []}}}')
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
	PERFORM benchorch.seed_checks();
	PERFORM benchorch.seed_outcome_rules();
	PERFORM benchorch.seed_objectives();
END $$;
COMMENT ON FUNCTION benchorch.seed_reference_data() IS
'Adds the reference rows that are missing: 10 machine types, 3 frameworks, 5 workloads, the priority weights, the template default, the adapters of results, the rules of outcomes, service levels and weights of objectives. Rows that exist are never changed; a row that was deleted comes back, so disable what is not wanted';
