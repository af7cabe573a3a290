/*
 * Releases: measure anew only what has changed.
 *
 * What a result depends on besides its config's own dimensions stands in four
 * catalog rows.  Triggers keep their history in releases, each time that one
 * of these parts changes:
 *
 *   model       source (the name without one), architecture
 *   hardware    kind, GPU, and details -> driver
 *   framework   version, details -> image, the commands and the environment
 *   workload    output share, dataset
 *
 * The fingerprint of a config at a time is that of these four, as they were
 * then, with its GPUs, batch size, sequence length and params.  A settled
 * config has changed where its fingerprint when its run began is not the one
 * of now; so going back to an old version finds the old results good again
 * where they were not measured anew meanwhile.  And where a result says by
 * which driver it was made (environment), that counts, not what the catalog
 * said then.
 *
 * The user's call, after a new framework release or driver is entered in its
 * row:
 *
 *   SELECT benchorch.register_framework('vLLM', '{"version": "0.12.0"}');
 *   SELECT * FROM benchorch.rerun_changed(model, dry_run => true);
 *   SELECT * FROM benchorch.rerun_changed(model);
 *
 * Changed configs are pending again, completed ones too; their results are
 * kept, marked superseded.  The others are not touched: the next ranking cites
 * their old results (cell_statistics.measured_at tells from when).
 */

CREATE TABLE benchorch.releases
(
	kind			text NOT NULL CHECK (kind IN ('model', 'hardware', 'framework', 'workload')),
	id				text NOT NULL,
	since			timestamptz NOT NULL,
	content			jsonb NOT NULL,
	PRIMARY KEY (kind, id, since)
);
COMMENT ON TABLE benchorch.releases IS 'What results depend on of models, hardware, frameworks and workloads, and since when (data)';
COMMENT ON COLUMN benchorch.releases.id IS 'key of the row that it is of, as text';

SELECT pg_catalog.pg_extension_config_dump('benchorch.releases', '');

CREATE FUNCTION benchorch.note_release(kind text, id text, content jsonb) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO benchorch.releases SELECT $1, $2, clock_timestamp(), $3
	WHERE $3 IS DISTINCT FROM (SELECT r.content FROM benchorch.releases AS r WHERE r.kind = $1 AND r.id = $2 ORDER BY r.since DESC LIMIT 1)
	ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION benchorch.note_release(text, text, jsonb) IS 'Notes what a catalog row says now, where that is news; part of note_release_row()';

CREATE FUNCTION benchorch.note_release_row() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	CASE TG_TABLE_NAME
		WHEN 'model_versions' THEN
			PERFORM benchorch.note_release('model', NEW.id::text, jsonb_build_object('source', coalesce(NEW.source, NEW.name),
				'architecture', NEW.architecture));
		WHEN 'hardware_configs' THEN
			PERFORM benchorch.note_release('hardware', NEW.id::text, jsonb_build_object('kind', NEW.kind, 'gpu', NEW.gpu,
				'driver', NEW.details -> 'driver'));
		WHEN 'frameworks' THEN
			PERFORM benchorch.note_release('framework', NEW.id::text, jsonb_build_object('version', NEW.version,
				'image', NEW.details -> 'image', 'command', NEW.command, 'server_command', NEW.server_command,
				'reset_command', NEW.reset_command, 'warmup_command', NEW.warmup_command, 'env', NEW.env));
		WHEN 'workloads' THEN
			PERFORM benchorch.note_release('workload', NEW.name, jsonb_build_object('output_share', NEW.output_share,
				'dataset', NEW.dataset));
	END CASE;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION benchorch.note_release_row() IS 'Trigger: keeps the history of what results depend on';

CREATE TRIGGER note_release AFTER INSERT OR UPDATE OF id, name, source, architecture ON benchorch.model_versions
	FOR EACH ROW EXECUTE FUNCTION benchorch.note_release_row();
CREATE TRIGGER note_release AFTER INSERT OR UPDATE ON benchorch.hardware_configs
	FOR EACH ROW EXECUTE FUNCTION benchorch.note_release_row();
CREATE TRIGGER note_release AFTER INSERT OR UPDATE ON benchorch.frameworks
	FOR EACH ROW EXECUTE FUNCTION benchorch.note_release_row();
CREATE TRIGGER note_release AFTER INSERT OR UPDATE ON benchorch.workloads
	FOR EACH ROW EXECUTE FUNCTION benchorch.note_release_row();

/* What is older than the history had the first release that is known. */
CREATE FUNCTION benchorch.release_at(kind text, id text, at timestamptz) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT coalesce(
		(SELECT r.content FROM benchorch.releases AS r WHERE r.kind = $1 AND r.id = $2 AND r.since <= $3 ORDER BY r.since DESC LIMIT 1),
		(SELECT r.content FROM benchorch.releases AS r WHERE r.kind = $1 AND r.id = $2 ORDER BY r.since LIMIT 1))
$$;
COMMENT ON FUNCTION benchorch.release_at(text, text, timestamptz) IS 'What a catalog row said at a time';

CREATE FUNCTION benchorch.fingerprint(config_id bigint, at timestamptz DEFAULT clock_timestamp()) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT md5(jsonb_build_array(benchorch.release_at('model', c.model_version_id::text, at),
		benchorch.release_at('hardware', c.hardware_config_id::text, at), benchorch.release_at('framework', c.framework_id::text, at),
		benchorch.release_at('workload', c.workload_type, at), c.gpus, c.batch_size, c.sequence_length, c.params)::text)
	FROM benchorch.benchmark_configs AS c WHERE c.id = $1
$$;
COMMENT ON FUNCTION benchorch.fingerprint(bigint, timestamptz) IS
	'What a config''s result depends on, as of a time, in one word: equal fingerprints need not be measured twice; NULL for a config that does not exist';

CREATE FUNCTION benchorch.changed_configs(model_version_id uuid) RETURNS TABLE (config_id bigint, status text, changed text[])
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
	WITH part AS MATERIALIZED (
		/* from when until when each row said something else than it says now */
		SELECT r.kind, r.id, CASE WHEN r.since = min(r.since) OVER history THEN '-infinity' ELSE r.since END AS since,
			lead(r.since, 1, 'infinity') OVER history AS until, r.content <> benchorch.release_at(r.kind, r.id, 'infinity') AS differs
		FROM benchorch.releases AS r
		WINDOW history AS (PARTITION BY r.kind, r.id ORDER BY r.since)
	), settled AS MATERIALIZED (
		SELECT c.id, c.status, coalesce(c.started_at, c.completed_at) AS at, c.model_version_id::text AS model,
			c.hardware_config_id::text AS hardware, c.framework_id::text AS framework, c.workload_type AS workload,
			r.environment ->> 'driver' AS driver_used, h.details ->> 'driver' AS driver
		FROM benchorch.benchmark_configs AS c
		LEFT JOIN benchorch.benchmark_results AS r ON r.config_id = c.id AND r.claim_id = c.claim_id
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = c.hardware_config_id
		WHERE c.model_version_id = $1 AND c.status IN ('completed', 'failed')
	), difference AS (
		SELECT s.id, p.kind FROM settled AS s JOIN part AS p ON p.differs AND s.at >= p.since AND s.at < p.until
			AND (p.kind, p.id) IN (('model', s.model), ('hardware', s.hardware), ('framework', s.framework), ('workload', s.workload))
		WHERE p.kind <> 'hardware' OR s.driver_used IS NULL OR s.driver IS NULL
		UNION
		SELECT s.id, 'driver' FROM settled AS s WHERE s.driver_used <> s.driver
	)
	SELECT s.id, s.status, array_agg(d.kind ORDER BY d.kind) FROM settled AS s JOIN difference AS d ON d.id = s.id GROUP BY s.id, s.status
$$;
COMMENT ON FUNCTION benchorch.changed_configs(uuid) IS
	'Completed and failed configs of a model version whose fingerprint is no longer the one that they ran with, and what of it has changed: model, hardware, framework, workload, driver';

CREATE FUNCTION benchorch.rerun_configs(model_version_id uuid, config_ids bigint[]) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_rerun';
COMMENT ON FUNCTION benchorch.rerun_configs(uuid, bigint[]) IS 'Opens settled configs again, in the order of the ids; part of rerun_changed()';

CREATE FUNCTION benchorch.rerun_changed(model_version_id uuid, dry_run boolean DEFAULT false,
	OUT changed bigint, OUT unchanged bigint, OUT reasons jsonb) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	ids bigint[];
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	IF dry_run IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'dry_run must not be NULL';
	END IF;
	SELECT coalesce(array_agg(c.config_id ORDER BY c.config_id), '{}'), count(*) INTO ids, changed
	FROM benchorch.changed_configs(rerun_changed.model_version_id) AS c;
	SELECT coalesce(jsonb_object_agg(k.kind, k.n), '{}') INTO reasons FROM (
		SELECT u.kind, count(*) AS n FROM benchorch.changed_configs(rerun_changed.model_version_id) AS c, unnest(c.changed) AS u (kind)
		GROUP BY u.kind) AS k;
	SELECT count(*) - rerun_changed.changed INTO unchanged FROM benchorch.benchmark_configs AS c
	WHERE c.model_version_id = rerun_changed.model_version_id AND c.status IN ('completed', 'failed');
	IF NOT dry_run AND changed > 0 THEN
		changed := benchorch.rerun_configs(model_version_id, ids);
	END IF;
END
$$;
COMMENT ON FUNCTION benchorch.rerun_changed(uuid, boolean) IS
	'After a new release of a framework, a driver, a model or a workload has been entered: opens the completed and failed configs of a model version whose fingerprint has changed, and leaves the others with the results that they have. Returns how many changed and how many did not, and by what; a dry run only tells. Errors: 22023 NULL, 42704';
