/*
 * How rows come into the matrix and leave it, whoever moves them: statement
 * triggers, so that a call, a typed statement, COPY and a restore end in the
 * same state.
 */

CREATE FUNCTION benchorch.configs_inserted() RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_configs_inserted';
COMMENT ON FUNCTION benchorch.configs_inserted() IS 'Trigger: feeds ready chunks and counters from the rows that came in';

CREATE TRIGGER configs_inserted AFTER INSERT ON benchorch.benchmark_configs
	REFERENCING NEW TABLE AS inserted
	FOR EACH STATEMENT EXECUTE FUNCTION benchorch.configs_inserted();

CREATE FUNCTION benchorch.configs_delayed() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'benchorch_configs_delayed';
COMMENT ON FUNCTION benchorch.configs_delayed() IS 'Trigger: sessions look anew when the next retry time comes';

CREATE TRIGGER configs_delayed AFTER INSERT OR UPDATE ON benchorch.delayed_configs
	FOR EACH STATEMENT EXECUTE FUNCTION benchorch.configs_delayed();
ALTER TABLE benchorch.delayed_configs ENABLE ALWAYS TRIGGER configs_delayed;

/* Deleting is archiving: nothing is lost. */
CREATE FUNCTION benchorch.configs_deleted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	INSERT INTO benchorch.archived_configs SELECT d.*, now() FROM deleted AS d;
	WITH moved AS (
		DELETE FROM benchorch.benchmark_results AS r USING deleted AS d WHERE r.config_id = d.id RETURNING r.*)
	INSERT INTO benchorch.archived_results SELECT m.*, now() FROM moved AS m;
	DELETE FROM benchorch.delayed_configs AS w USING deleted AS d WHERE w.config_id = d.id;
	INSERT INTO benchorch.progress_deltas
	SELECT d.model_version_id,
		-count(*) FILTER (WHERE d.status = 'pending'), -count(*) FILTER (WHERE d.status = 'running'),
		-count(*) FILTER (WHERE d.status = 'completed'), -count(*) FILTER (WHERE d.status = 'failed'),
		-count(*) FILTER (WHERE d.status = 'skipped'), -count(*) FILTER (WHERE d.status = 'cancelled')
	FROM deleted AS d GROUP BY d.model_version_id;
	/* what was open and is gone may have been the last */
	PERFORM benchorch.mark_endgame(o.model_version_id)
	FROM (SELECT DISTINCT d.model_version_id FROM deleted AS d WHERE d.status IN ('pending', 'running')) AS o;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION benchorch.configs_deleted() IS 'Trigger: moves deleted configs and their results to the archive';

CREATE TRIGGER configs_deleted AFTER DELETE ON benchorch.benchmark_configs
	REFERENCING OLD TABLE AS deleted
	FOR EACH STATEMENT EXECUTE FUNCTION benchorch.configs_deleted();

CREATE FUNCTION benchorch.configs_truncated() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	DELETE FROM benchorch.benchmark_configs;
	DELETE FROM benchorch.lane_chunks;
	DELETE FROM benchorch.priority_chunks;
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION benchorch.configs_truncated() IS 'Trigger: TRUNCATE archives too';

CREATE TRIGGER configs_truncated BEFORE TRUNCATE ON benchorch.benchmark_configs
	FOR EACH STATEMENT EXECUTE FUNCTION benchorch.configs_truncated();

/* RESTART IDENTITY would hand out ids that archived configs and attempts bear. */
CREATE FUNCTION benchorch.ids_restarted() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM setval('benchorch.benchmark_configs_id_seq', a.id)
	FROM (SELECT max(id) AS id FROM benchorch.archived_configs) AS a
	WHERE a.id > (SELECT last_value FROM benchorch.benchmark_configs_id_seq);
	RETURN NULL;
END
$$;
COMMENT ON FUNCTION benchorch.ids_restarted() IS 'Trigger: TRUNCATE ... RESTART IDENTITY does not repeat ids';

CREATE TRIGGER ids_restarted AFTER TRUNCATE ON benchorch.benchmark_configs
	FOR EACH STATEMENT EXECUTE FUNCTION benchorch.ids_restarted();
