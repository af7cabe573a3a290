/*
 * Importing: results that no config of ours produced.
 *
 * An imported result says what it is about (subject).  Where a config is just
 * that cell, the result bears its config_id; it never settles it.  Results
 * with the same bytes about the same thing are one: the digest tells.
 */

CREATE TYPE benchorch.import_item AS
(
	raw				bytea,
	result			jsonb,
	model_version_id	uuid,
	hardware		text,
	framework		text,
	workload		text,
	batch_size		int,
	sequence_length	int,
	input_tokens	float8,
	output_tokens	float8,
	gpus			int,
	params			jsonb,
	dataset			text,
	adapter			text,
	environment		jsonb,
	source			text,
	sqlstate		text,
	problem			text
);
COMMENT ON TYPE benchorch.import_item IS 'A result on its way in through import_results; internal';

/*
 * Stores what has no problem, and answers for all.  No nested loops over the
 * catalog: a hundred thousand items are one join.
 */
CREATE FUNCTION benchorch.store_imports(items benchorch.import_item[])
RETURNS TABLE (item bigint, result_id bigint, config_id bigint, duplicate boolean, adapter text, flags jsonb, sqlstate text, message text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	RETURN QUERY
	WITH item AS MATERIALIZED (
		SELECT i.*, h.id AS hardware_config_id, f.id AS framework_id, f.adapter AS framework_adapter,
			coalesce(i.sequence_length, (i.input_tokens + i.output_tokens)::int) AS length,
			coalesce(i.params, '{}') AS given_params,
			CASE WHEN i.problem IS NOT NULL THEN i.sqlstate
				WHEN i.model_version_id IS NOT NULL AND m.id IS NULL OR i.hardware IS NOT NULL AND h.id IS NULL
					OR i.framework IS NOT NULL AND f.id IS NULL THEN '42704' END AS refused,
			CASE WHEN i.problem IS NOT NULL THEN i.problem
				WHEN i.model_version_id IS NOT NULL AND m.id IS NULL THEN format('model version %s does not exist', i.model_version_id)
				WHEN i.hardware IS NOT NULL AND h.id IS NULL THEN format('hardware "%s" does not exist', i.hardware)
				WHEN i.framework IS NOT NULL AND f.id IS NULL THEN format('framework "%s" does not exist', i.framework) END AS why
		FROM (SELECT row_number() OVER () AS n, u.* FROM unnest(items) AS u) AS i
		LEFT JOIN benchorch.model_versions AS m ON m.id = i.model_version_id
		LEFT JOIN benchorch.hardware_configs AS h ON h.name = i.hardware
		LEFT JOIN benchorch.frameworks AS f ON f.name = i.framework
	), read AS MATERIALIZED (
		SELECT i.*, c.id AS fits, coalesce(i.gpus, c.gpus) AS known_gpus, coalesce(i.result, p.parsed) AS parsed,
			coalesce(i.refused, CASE WHEN p.problem IS NOT NULL THEN '22P02' END) AS refused_2,
			coalesce(i.why, 'output is no result: ' || p.problem) AS why_2,
			jsonb_build_array(i.model_version_id, i.hardware_config_id, i.workload, i.batch_size, i.length, coalesce(i.gpus, c.gpus),
				i.given_params) AS cell
		FROM item AS i
		LEFT JOIN LATERAL (
			SELECT c.id, c.gpus FROM benchorch.benchmark_configs AS c
			WHERE c.model_version_id = i.model_version_id AND c.hardware_config_id = i.hardware_config_id
			  AND c.framework_id = i.framework_id AND c.workload_type = i.workload AND c.batch_size = i.batch_size
			  AND c.sequence_length = i.length AND c.params - 'repeat' = i.given_params - 'repeat'
			  AND (c.params -> 'repeat' = i.given_params -> 'repeat' OR NOT i.given_params ? 'repeat')
			ORDER BY c.id LIMIT 1) AS c ON i.workload IS NOT NULL
		LEFT JOIN LATERAL benchorch.parse_output(CASE WHEN i.result IS NULL AND i.refused IS NULL THEN i.raw END, i.adapter) AS p ON true
	), cell AS MATERIALIZED (
		SELECT k.cell, benchorch.subject((k.cell ->> 0)::uuid, (k.cell ->> 1)::int, k.cell ->> 2, (k.cell ->> 3)::int, (k.cell ->> 4)::int,
			(k.cell ->> 5)::int, k.cell -> 6) - 'dataset' AS subject
		FROM (SELECT DISTINCT r.cell FROM read AS r) AS k
	), evaluated AS MATERIALIZED (
		SELECT r.n, r.fits, r.gpus AS given_gpus, r.adapter AS given_adapter, r.model_version_id AS version, r.raw, r.parsed, r.environment,
			jsonb_strip_nulls(jsonb_build_object('hardware', r.hardware, 'framework', r.framework, 'workload', r.workload,
				'batch_size', r.batch_size, 'sequence_length', r.length, 'input_tokens', r.input_tokens, 'output_tokens', r.output_tokens,
				'gpus', r.known_gpus, 'params', nullif(r.given_params, '{}'), 'dataset', r.dataset, 'source', r.source)) AS subject,
			coalesce(r.refused_2, CASE WHEN e.problem IS NOT NULL THEN CASE WHEN e.problem LIKE 'adapter %' THEN '42704' ELSE '22023' END END)
				AS refused, coalesce(r.why_2, e.problem) AS why, e.*
		FROM read AS r
		JOIN cell AS c ON c.cell = r.cell
		LEFT JOIN LATERAL benchorch.evaluate(r.adapter, CASE WHEN r.refused_2 IS NULL THEN r.parsed END,
			c.subject || jsonb_strip_nulls(jsonb_build_object('input_tokens', r.input_tokens, 'output_tokens', r.output_tokens, 'dataset', r.dataset)),
			r.environment, r.framework_adapter) AS e ON true
	), told AS MATERIALIZED (
		/* of what was given, not of what was found: the config that it fits may be gone tomorrow */
		SELECT e.*, CASE WHEN e.refused IS NULL THEN
			sha256(convert_to(concat_ws(E'\n', e.version, e.subject - 'gpus', e.given_gpus, e.given_adapter, CASE WHEN e.raw IS NULL THEN e.parsed::text END), 'UTF8')
				|| coalesce(e.raw, '')) END AS digest
		FROM evaluated AS e
	), archived AS (
		SELECT DISTINCT ON (t.digest) t.digest, a.id, a.config_id FROM told AS t
		JOIN benchorch.archived_results AS a ON a.import_digest = t.digest
	), stored AS (
		INSERT INTO benchorch.benchmark_results AS s (config_id, model_version_id, adapter, method, flags, unchecked, reported,
			ttft_mean_ms, ttft_p50_ms, ttft_p90_ms, ttft_p95_ms, ttft_p99_ms, tpot_mean_ms, tpot_p50_ms, tpot_p90_ms, tpot_p95_ms, tpot_p99_ms,
			itl_mean_ms, itl_p50_ms, itl_p95_ms, itl_p99_ms, e2e_mean_ms, e2e_p50_ms, e2e_p90_ms, e2e_p95_ms, e2e_p99_ms,
			requests_per_s, output_tokens_per_s, total_tokens_per_s, goodput_per_s, concurrency_mean, requests_completed, requests_failed,
			input_tokens, output_tokens, duration_s, gpu_memory_peak_bytes, host_memory_peak_bytes, energy_j, roofline_prefill,
			roofline_decode, roofline_prefill_measured, roofline_decode_measured, accuracy, noise_rel,
			parsed, raw, environment, subject, import_digest)
		SELECT t.fits, t.version, t.known_adapter, t.method, t.flags, t.unchecked, t.reported,
			t.ttft_mean_ms, t.ttft_p50_ms, t.ttft_p90_ms, t.ttft_p95_ms, t.ttft_p99_ms, t.tpot_mean_ms, t.tpot_p50_ms, t.tpot_p90_ms, t.tpot_p95_ms, t.tpot_p99_ms,
			t.itl_mean_ms, t.itl_p50_ms, t.itl_p95_ms, t.itl_p99_ms, t.e2e_mean_ms, t.e2e_p50_ms, t.e2e_p90_ms, t.e2e_p95_ms, t.e2e_p99_ms,
			t.requests_per_s, t.output_tokens_per_s, t.total_tokens_per_s, t.goodput_per_s, t.concurrency_mean, t.requests_completed, t.requests_failed,
			t.input_tokens, t.output_tokens, t.duration_s, t.gpu_memory_peak_bytes, t.host_memory_peak_bytes, t.energy_j, t.roofline_prefill,
			t.roofline_decode, t.roofline_prefill_measured, t.roofline_decode_measured, t.accuracy, t.noise_rel,
			t.parsed, t.raw, t.environment, t.subject, t.digest
		FROM told AS t
		WHERE t.refused IS NULL AND NOT EXISTS (SELECT FROM archived AS a WHERE a.digest = t.digest)
		ORDER BY t.n
		ON CONFLICT (import_digest) WHERE import_digest IS NOT NULL DO NOTHING
		RETURNING s.id, s.import_digest
	), answered AS (
		SELECT t.*, row_number() OVER (PARTITION BY t.digest ORDER BY t.n) AS same FROM told AS t
	)
	SELECT a.n, b.id, CASE WHEN a.refused IS NULL THEN coalesce(b.config_id, a.fits) END,
		CASE WHEN a.refused IS NULL THEN s.id IS NULL OR a.same > 1 END, a.known_adapter, CASE WHEN a.refused IS NULL THEN a.flags END,
		a.refused, a.why
	FROM answered AS a
	LEFT JOIN stored AS s ON s.import_digest = a.digest
	LEFT JOIN archived AS o ON o.digest = a.digest
	LEFT JOIN LATERAL (
		SELECT s.id, a.fits AS config_id WHERE s.id IS NOT NULL
		UNION ALL SELECT o.id, o.config_id WHERE o.id IS NOT NULL
		UNION ALL SELECT r.id, r.config_id FROM benchorch.benchmark_results AS r WHERE r.import_digest = a.digest AND s.id IS NULL) AS b ON true
	ORDER BY a.n;
END
$$;
COMMENT ON FUNCTION benchorch.store_imports(benchorch.import_item[]) IS 'What import_result and import_results share';

CREATE FUNCTION benchorch.import_result(output bytea, model_version_id uuid DEFAULT NULL, hardware text DEFAULT NULL,
	framework text DEFAULT NULL, workload text DEFAULT NULL, batch_size int DEFAULT NULL, sequence_length int DEFAULT NULL,
	params jsonb DEFAULT '{}', gpus int DEFAULT NULL, adapter text DEFAULT NULL, environment jsonb DEFAULT NULL, source text DEFAULT NULL,
	dataset text DEFAULT NULL, OUT result_id bigint, OUT config_id bigint, OUT duplicate boolean, OUT known_adapter text, OUT flags jsonb) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	answer	record;
	item	benchorch.import_item;
BEGIN
	PERFORM benchorch.require_arguments('output', encode(substr(output, 1, 1), 'hex'));
	item.raw := output;
	item.model_version_id := model_version_id;
	item.hardware := hardware;
	item.framework := framework;
	item.workload := workload;
	item.batch_size := batch_size;
	item.sequence_length := sequence_length;
	item.params := params;
	item.gpus := gpus;
	item.adapter := adapter;
	item.environment := environment;
	item.source := source;
	item.dataset := dataset;
	SELECT * INTO answer FROM benchorch.store_imports(ARRAY[item]);
	IF answer.sqlstate IS NOT NULL THEN
		RAISE EXCEPTION USING ERRCODE = answer.sqlstate, MESSAGE = answer.message;
	END IF;
	result_id := answer.result_id;
	config_id := answer.config_id;
	duplicate := answer.duplicate;
	known_adapter := answer.adapter;
	flags := answer.flags;
END
$$;
COMMENT ON FUNCTION benchorch.import_result(bytea, uuid, text, text, text, int, int, jsonb, int, text, jsonb, text, text) IS
	'Stores the output of a benchmark that no config produced, and says what of it: the result''s id, the config that it fits (NULL: none), whether it was there before, the adapter, the checks that failed. What is not given is not checked. Errors: 22023 NULL output, or not one request completed; 22P02 no result in the output; 42704 unknown model version, hardware, framework or adapter';

CREATE FUNCTION benchorch.import_results(items jsonb)
RETURNS TABLE (item bigint, result_id bigint, config_id bigint, duplicate boolean, adapter text, flags jsonb, sqlstate text, message text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
#variable_conflict use_column
DECLARE
	known	CONSTANT text[] := ARRAY['result', 'output', 'requests', 'model_version_id', 'hardware', 'framework', 'workload', 'batch_size',
		'sequence_length', 'input_tokens', 'output_tokens', 'gpus', 'params', 'dataset', 'adapter', 'environment', 'source'];
	rows	benchorch.import_item[];
BEGIN
	IF items IS NULL OR jsonb_typeof(items) <> 'array' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'items must be a JSON array of objects',
			HINT = format('Each has one of result, output and requests, and any of %s.', array_to_string(known[4:], ', '));
	END IF;
	SELECT array_agg(ROW(
			CASE WHEN jsonb_typeof(i.value -> 'output') = 'string' THEN convert_to(i.value ->> 'output', 'UTF8') END,
			CASE WHEN i.value ? 'requests' THEN jsonb_build_object('requests', i.value -> 'requests') ELSE i.value -> 'result' END,
			CASE WHEN p.problem IS NULL THEN (i.value ->> 'model_version_id')::uuid END,
			i.value ->> 'hardware', i.value ->> 'framework', i.value ->> 'workload', f.batch_size, f.sequence_length,
			benchorch.number_of(i.value -> 'input_tokens'), benchorch.number_of(i.value -> 'output_tokens'), f.gpus,
			nullif(i.value -> 'params', 'null'), i.value ->> 'dataset', i.value ->> 'adapter', nullif(i.value -> 'environment', 'null'),
			i.value ->> 'source', CASE WHEN p.problem IS NOT NULL THEN '22023' END, p.problem)::benchorch.import_item ORDER BY i.n)
	INTO rows
	FROM jsonb_array_elements(items) WITH ORDINALITY AS i (value, n),
		LATERAL (SELECT benchorch.small_int(i.value -> 'batch_size') AS batch_size, benchorch.small_int(i.value -> 'sequence_length') AS sequence_length,
			benchorch.small_int(i.value -> 'gpus') AS gpus) AS f,
		LATERAL (SELECT CASE
			WHEN jsonb_typeof(i.value) <> 'object' THEN 'an item must be a JSON object'
			WHEN num_nonnulls(nullif(i.value -> 'result', 'null'), nullif(i.value -> 'output', 'null'), nullif(i.value -> 'requests', 'null')) <> 1 THEN
				'an item must have exactly one of "result", "output" and "requests"'
			WHEN i.value ? 'result' AND jsonb_typeof(i.value -> 'result') NOT IN ('object', 'array', 'null') THEN '"result" must be an object or an array; "output" takes text'
			WHEN i.value ? 'output' AND jsonb_typeof(i.value -> 'output') NOT IN ('string', 'null') THEN '"output" must be a string'
			WHEN i.value ? 'model_version_id' AND i.value ->> 'model_version_id' !~* '^[0-9a-f]{8}-?([0-9a-f]{4}-?){3}[0-9a-f]{12}$' THEN
				'"model_version_id" must be a UUID'
			WHEN num_nonnulls(f.batch_size, f.sequence_length, f.gpus) <> num_nonnulls(nullif(i.value -> 'batch_size', 'null'),
				nullif(i.value -> 'sequence_length', 'null'), nullif(i.value -> 'gpus', 'null')) THEN
				'"batch_size", "sequence_length" and "gpus" must be positive integers'
			WHEN jsonb_typeof(nullif(i.value -> 'params', 'null')) <> 'object' THEN '"params" must be an object'
			WHEN jsonb_typeof(nullif(i.value -> 'environment', 'null')) <> 'object' THEN '"environment" must be an object'
			ELSE (SELECT format('an item has no key "%s"; known are %s', min(k), array_to_string(known, ', '))
				FROM jsonb_object_keys(i.value) AS k WHERE k <> ALL (known) HAVING count(*) > 0) END AS problem) AS p;
	RETURN QUERY SELECT * FROM benchorch.store_imports(coalesce(rows, '{}'));
END
$$;
COMMENT ON FUNCTION benchorch.import_results(jsonb) IS
	'import_result for many: an array of objects with one of "result" (JSON), "output" (text as it was printed) and "requests" (single requests), and any of model_version_id, hardware, framework, workload, batch_size, sequence_length, input_tokens, output_tokens, gpus, params, dataset, adapter, environment, source. A row each, in the order given: one that is refused (sqlstate, message) spoils no other, a duplicate is told and not stored. Errors: 22023 no array';

CREATE FUNCTION benchorch.csv_rows(csv text, delimiter text DEFAULT ',') RETURNS SETOF jsonb
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	names	text[];
	fields	text[];
	line	text;
	record	text := NULL;
	value	jsonb;
	cell	jsonb;
	path	text[];
BEGIN
	IF csv IS NULL OR delimiter IS NULL OR length(delimiter) <> 1 OR delimiter = '"' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'csv must not be NULL, and delimiter must be one character that is no quote';
	END IF;
	FOREACH line IN ARRAY string_to_array(ltrim(replace(csv, E'\r\n', E'\n'), U&'\FEFF'), E'\n') LOOP
		/* a quoted field may go over lines */
		record := concat(record || E'\n', line);
		CONTINUE WHEN (length(record) - length(replace(record, '"', ''))) % 2 = 1 OR record = '';
		fields := ARRAY(
			SELECT CASE WHEN m.f[1] LIKE '"%' THEN replace(substr(m.f[1], 2, length(m.f[1]) - 2), '""', '"') ELSE m.f[1] END
			FROM regexp_matches(delimiter || record, '[' || CASE WHEN delimiter ~ '[\]\\^-]' THEN '\' ELSE '' END || delimiter || ']("(?:[^"]|"")*"|[^"'
				|| CASE WHEN delimiter ~ '[\]\\^-]' THEN '\' ELSE '' END || delimiter || ']*)', 'g') AS m (f));
		record := NULL;
		IF names IS NULL THEN
			names := fields;
			CONTINUE;
		END IF;
		value := '{}';
		FOR i IN 1 .. least(cardinality(names), cardinality(fields)) LOOP
			CONTINUE WHEN fields[i] = '';
			cell := CASE WHEN fields[i] ~ '^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]{1,3})?$' AND length(fields[i]) < 400 THEN fields[i]::jsonb
				ELSE to_jsonb(fields[i]) END;
			/* a.b is b inside of a, as tables of flattened JSON have it */
			path := string_to_array(names[i], '.');
			FOR depth IN 1 .. cardinality(path) - 1 LOOP
				IF value #> path[1:depth] IS NULL THEN
					value := jsonb_set(value, path[1:depth], '{}');
				END IF;
			END LOOP;
			value := jsonb_set(value, path, cell);
		END LOOP;
		RETURN NEXT value;
	END LOOP;
END
$$;
COMMENT ON FUNCTION benchorch.csv_rows(text, text) IS
	'The rows of a table in CSV with a header as JSON objects: numbers as they are printed, empty fields left out, a.b as b inside of a. Errors: 22023';
