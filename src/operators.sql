/*
 * Operators' calls.
 */

CREATE FUNCTION benchorch.cancel(model_version_id uuid) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_cancel';
COMMENT ON FUNCTION benchorch.cancel(uuid) IS
	'Cancels what is pending or running of a model version, running claims at once (their workers hear of it at the next heartbeat); returns how many configs';

CREATE FUNCTION benchorch.retry_failed(model_version_id uuid, outcome text DEFAULT NULL) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_retry_failed';
COMMENT ON FUNCTION benchorch.retry_failed(uuid, text) IS
	'Opens failed and cancelled configs again, and those skipped for a witness, with all their retries; with an outcome only those whose last attempt (or whose witness''s) ended so; returns how many';

CREATE FUNCTION benchorch.archive_completed(older_than interval DEFAULT '90 days') RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	n	bigint;
BEGIN
	IF older_than IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'older_than must not be NULL';
	END IF;
	DELETE FROM benchorch.benchmark_configs AS c WHERE c.status = 'completed' AND c.completed_at < now() - older_than;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
COMMENT ON FUNCTION benchorch.archive_completed(interval) IS
	'Moves configs that completed longer ago, with their results, to archived_configs and archived_results; returns how many';

CREATE FUNCTION benchorch.schedule_maintenance(schedule text DEFAULT '*/30 * * * *', timeout_minutes int DEFAULT 120)
RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	job	bigint;
BEGIN
	IF schedule IS NULL OR timeout_minutes IS NULL OR timeout_minutes < 0 THEN
		RAISE invalid_parameter_value USING MESSAGE = 'schedule must not be NULL, and timeout_minutes 0 or more';
	END IF;
	PERFORM benchorch.require_cron();
	EXECUTE 'SELECT cron.schedule($1, $2, $3)' INTO job
		USING 'benchorch-maintenance', schedule, format('SELECT benchorch.reset_stale(%s)', timeout_minutes);
	RETURN job;
END
$$;
COMMENT ON FUNCTION benchorch.schedule_maintenance(text, int) IS
	'Makes pg_cron call reset_stale(timeout_minutes) on schedule, under the job name benchorch-maintenance; returns the job''s id. Again: changes it. 55000 with a hint where pg_cron is missing or lives in another database';

CREATE FUNCTION benchorch.require_cron() RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF to_regprocedure('cron.schedule(text, text, text)') IS NOT NULL THEN
		RETURN;
	END IF;
	RAISE object_not_in_prerequisite_state USING MESSAGE = 'pg_cron is not installed in this database',
		DETAIL = format('pg_cron lives in the database "%s".', coalesce(current_setting('cron.database_name', true), 'postgres')),
		HINT = 'Add pg_cron to shared_preload_libraries, set cron.database_name to this database (and cron.use_background_workers = on), restart, and run CREATE EXTENSION pg_cron; or call benchorch.reset_stale() from any other scheduler.';
END
$$;
COMMENT ON FUNCTION benchorch.require_cron() IS 'Raises 55000 where pg_cron cannot be used';

CREATE FUNCTION benchorch.unschedule_maintenance() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	removed	boolean;
BEGIN
	PERFORM benchorch.require_cron();
	EXECUTE 'SELECT coalesce(bool_or(cron.unschedule(jobid)), false) FROM cron.job WHERE jobname = $1'
		INTO removed USING 'benchorch-maintenance';
	RETURN removed;
END
$$;
COMMENT ON FUNCTION benchorch.unschedule_maintenance() IS 'Removes the job of schedule_maintenance; false where there was none';
