/*
 * The matrix: cells of a template, and where a config belongs.
 */

/* Every combination of the template's added dimensions of one kind, as objects; one empty object where there are none. */
CREATE FUNCTION benchorch.combinations(dimensions jsonb, kind text) RETURNS SETOF jsonb
LANGUAGE plpgsql IMMUTABLE ROWS 4
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	sofar	jsonb[] := ARRAY['{}'::jsonb];
	name	text;
	spec	jsonb;
BEGIN
	FOR name, spec IN SELECT e.key, e.value FROM jsonb_each(coalesce(dimensions, '{}')) AS e ORDER BY e.key LOOP
		CONTINUE WHEN spec ->> 'kind' <> combinations.kind;
		sofar := ARRAY(SELECT s || jsonb_build_object(name, v)
					   FROM unnest(sofar) AS s, jsonb_array_elements(spec -> 'values') AS v);
	END LOOP;
	RETURN QUERY SELECT unnest(sofar);
END
$$;
COMMENT ON FUNCTION benchorch.combinations(jsonb, text) IS
	'Cross product of a template''s dimensions of one kind (engine or request), an object each';

/* Does any rule leave the cell out?  A rule matches where every one of its members does. */
CREATE FUNCTION benchorch.is_excluded(rules jsonb, cell jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$
	SELECT EXISTS (
		SELECT FROM pg_catalog.jsonb_array_elements(rules) AS rule
		WHERE NOT EXISTS (
			SELECT FROM pg_catalog.jsonb_each(rule) AS member (dimension, wanted)
			WHERE NOT coalesce(
				CASE pg_catalog.jsonb_typeof(wanted)
					WHEN 'array' THEN wanted @> (cell -> dimension)
					WHEN 'object' THEN (wanted -> 'min' IS NULL OR cell -> dimension >= wanted -> 'min')
								   AND (wanted -> 'max' IS NULL OR cell -> dimension <= wanted -> 'max')
					ELSE cell -> dimension = wanted
				END, false)))
$$;
COMMENT ON FUNCTION benchorch.is_excluded(jsonb, jsonb) IS
	'Whether any of a template''s exclude rules matches a cell: value, [values] or {"min", "max"} for each dimension named';

CREATE FUNCTION benchorch.config_priority(workload text, batch_size int, sequence_length int) RETURNS int
LANGUAGE sql STABLE
AS $$
	SELECT (coalesce((SELECT weight FROM benchorch.priority_weights WHERE dimension = 'workload' AND value = $1),
					 (SELECT weight FROM benchorch.priority_weights WHERE dimension = 'workload' AND value = '*'), 600)
		  + coalesce(($2 - 1) * (SELECT weight FROM benchorch.priority_weights WHERE dimension = 'batch_size' AND value = 'step'), 0)
		  + coalesce((SELECT weight FROM benchorch.priority_weights WHERE dimension = 'sequence_length' AND value = $3::text),
					 (SELECT weight FROM benchorch.priority_weights WHERE dimension = 'sequence_length' AND value = '*'), 0))
$$;
COMMENT ON FUNCTION benchorch.config_priority(text, int, int) IS
	'Priority by benchorch.priority_weights, lower first: workload + (batch size - 1) x step + sequence length';

/* Which of a config's params an engine must be restarted for. */
CREATE FUNCTION benchorch.engine_params(params jsonb, template_id int) RETURNS jsonb
LANGUAGE sql STABLE
AS $$
	SELECT coalesce(pg_catalog.jsonb_object_agg(p.key, p.value), '{}')
	FROM pg_catalog.jsonb_each(params) AS p
	WHERE p.key <> 'repeat'
	  AND (SELECT t.spec -> 'dimensions' -> p.key ->> 'kind' FROM benchorch.templates AS t WHERE t.id = template_id)
		  IS DISTINCT FROM 'request'
$$;
COMMENT ON FUNCTION benchorch.engine_params(jsonb, int) IS
	'The members of params that belong to the lane; without a template all but repeat';

/* The lane and the GPUs of a config by its dimensions; the lane is made where there is none. */
CREATE FUNCTION benchorch.place(model_version_id uuid, hardware_config_id int, framework_id int, batch_size int,
	sequence_length int, params jsonb, template_id int, OUT lane_id int, OUT gpus int, OUT reason text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	model		benchorch.model_versions;
	hardware	benchorch.hardware_configs;
	dims		jsonb := benchorch.engine_params(params, template_id);
BEGIN
	SELECT * INTO model FROM benchorch.model_versions AS m WHERE m.id = place.model_version_id;
	IF NOT FOUND THEN
		RAISE undefined_object USING MESSAGE = format('model version %s does not exist', place.model_version_id),
			HINT = 'Register it first: benchorch.register_model().';
	END IF;
	IF place.hardware_config_id IS NOT NULL THEN
		SELECT * INTO hardware FROM benchorch.hardware_configs AS h WHERE h.id = place.hardware_config_id;
		IF NOT FOUND THEN
			RAISE undefined_object USING MESSAGE = format('hardware config %s does not exist', place.hardware_config_id),
				HINT = 'Register it first: benchorch.register_hardware().';
		END IF;
	END IF;
	IF NOT EXISTS (SELECT FROM benchorch.frameworks AS f WHERE f.id = place.framework_id) THEN
		RAISE undefined_object USING MESSAGE = format('framework %s does not exist', place.framework_id),
			HINT = 'Register it first: benchorch.register_framework().';
	END IF;
	SELECT f.gpus, f.reason INTO gpus, reason
	FROM benchorch.fit_gpus(CASE WHEN hardware.id IS NOT NULL AND batch_size IS NOT NULL AND sequence_length IS NOT NULL
								 THEN model.architecture END,
							params, coalesce(batch_size, 1), coalesce(sequence_length, 1),
							coalesce(hardware.gpu_count, 2147483647), hardware.gpu_memory_bytes) AS f;
	LOOP
		SELECT l.id INTO lane_id FROM benchorch.lanes AS l
		WHERE l.model_version_id = place.model_version_id
		  AND coalesce(l.hardware_config_id, 0) = coalesce(place.hardware_config_id, 0)
		  AND l.framework_id = place.framework_id AND l.gpus = place.gpus AND l.engine = dims;
		EXIT WHEN FOUND;
		INSERT INTO benchorch.lanes (model_version_id, hardware_config_id, framework_id, gpus, engine)
		VALUES (place.model_version_id, place.hardware_config_id, place.framework_id, place.gpus, dims)
		ON CONFLICT DO NOTHING;
	END LOOP;
END
$$;
COMMENT ON FUNCTION benchorch.place(uuid, int, int, int, int, jsonb, int) IS
	'Lane and GPUs of a config with these dimensions; reason is not NULL where it cannot fit; 42704 for an unknown model version, hardware or framework';

/* A row that somebody typed or copied without the extension's own columns gets them. */
CREATE FUNCTION benchorch.complete_config_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	placed	record;
BEGIN
	IF NEW.status = 'running' THEN
		RAISE SQLSTATE 'BO002' USING MESSAGE = 'a config cannot be inserted as running',
			HINT = 'Insert it as pending and call benchorch.claim_batch().';
	END IF;
	IF NEW.status = 'skipped' AND NEW.error_message IS NULL THEN
		NEW.error_message := 'inserted as skipped';
	END IF;
	SELECT * INTO placed FROM benchorch.place(NEW.model_version_id, NEW.hardware_config_id, NEW.framework_id,
		NEW.batch_size, NEW.sequence_length, NEW.params, NEW.template_id);
	NEW.lane_id := placed.lane_id;
	NEW.gpus := placed.gpus;
	NEW.claim_id := NULL;
	NEW.due_at := NULL;
	NEW.expected_s := benchorch.expected_by_roofline(NEW.model_version_id, NEW.hardware_config_id, NEW.framework_id,
		NEW.workload_type, NEW.batch_size, NEW.sequence_length, NEW.params, placed.gpus);
	IF placed.reason IS NOT NULL AND NEW.status = 'pending' THEN
		NEW.status := 'skipped';
		NEW.error_message := placed.reason;
	END IF;
	IF NEW.status NOT IN ('pending', 'running') AND NEW.completed_at IS NULL THEN
		NEW.completed_at := now();
	END IF;
	NEW.priority := coalesce(NEW.priority,
		benchorch.config_priority(NEW.workload_type, NEW.batch_size, NEW.sequence_length));
	RETURN NEW;
END
$$;
COMMENT ON FUNCTION benchorch.complete_config_row() IS 'Trigger: lane, GPUs, priority and the memory check of a config that was inserted directly';

CREATE TRIGGER configs_typed BEFORE INSERT ON benchorch.benchmark_configs
	FOR EACH ROW WHEN (NEW.lane_id IS NULL) EXECUTE FUNCTION benchorch.complete_config_row();

CREATE FUNCTION benchorch.populate_matrix(INOUT model_version_id uuid, dry_run boolean DEFAULT false,
	template text DEFAULT 'default', OUT hardware_configs int, OUT frameworks int, OUT workloads int,
	OUT expected_total bigint, OUT created bigint, OUT existing bigint, OUT skipped bigint)
RETURNS record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_populate_matrix';
COMMENT ON FUNCTION benchorch.populate_matrix(uuid, boolean, text) IS
	'Creates the configs of a template that the model version does not have yet (archived ones count as existing); created includes skipped, which cannot fit their hardware; a dry run writes nothing. Errors: 22023 NULL, 42704 unknown model version, template or a name in the template';

CREATE FUNCTION benchorch.predict(model_version_id uuid, template text DEFAULT 'default', workers int DEFAULT NULL)
RETURNS TABLE (hardware text, configs bigint, measured bigint, worker_hours float8, gpu_hours float8, cost float8, makespan interval)
LANGUAGE c STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_predict';
COMMENT ON FUNCTION benchorch.predict(uuid, text, int) IS
	'What populate_matrix would create and that is expected to take: a row a machine type, and one for all (hardware NULL). measured: configs whose cell has runs; worker_hours: of one worker for it all; gpu_hours: times the GPUs of each config; cost: by price_per_hour, NULL where a machine has none; makespan: max(longest config, worker time / workers), the ideal of so many workers (NULL: those that live, else 50). See src/expected.sql. Errors: 22023, 42704';
