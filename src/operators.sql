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
	PERFORM FROM benchorch.benchmark_configs AS c WHERE c.status = 'completed' AND c.completed_at < now() - older_than
	ORDER BY c.id FOR UPDATE;
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

/* --------------------------------------------------------- whole model versions */

CREATE FUNCTION benchorch.refeed(model_version_id uuid, feed boolean) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_nestloop = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_refeed';
COMMENT ON FUNCTION benchorch.refeed(uuid, boolean) IS
	'Puts the pending configs of a model version into new ready chunks, or takes its chunks away; returns how many configs were put in';

/*
 * What was measured orders and shares the work that is left: not with every
 * completion, but where the sweep finds that a lane's pace is another one by a
 * quarter or more.  It costs a scan of the model version, and new chunks only
 * where something has changed.
 */
CREATE FUNCTION benchorch.refresh_expectations() RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	model	uuid;
	n		int := 0;
BEGIN
	/* one at a time, and nobody waits */
	IF NOT pg_try_advisory_xact_lock(hashtextextended('benchorch:expectations', 0)) THEN
		RETURN 0;
	END IF;
	FOR model IN
		SELECT m.id FROM benchorch.model_versions AS m
		WHERE m.finalized_at IS NULL AND NOT m.paused
		  AND EXISTS (SELECT FROM benchorch.lane_chunks AS c WHERE c.model_version_id = m.id)
		ORDER BY m.id
	LOOP
		UPDATE benchorch.lanes AS l SET pace = p.pace FROM benchorch.lane_paces(model) AS p
		WHERE l.id = p.lane_id AND (l.pace IS NULL OR p.pace NOT BETWEEN l.pace * 0.8 AND l.pace * 1.25);
		IF FOUND THEN
			PERFORM benchorch.refeed(model, false), benchorch.refeed(model, true);
			n := n + 1;
		END IF;
	END LOOP;
	RETURN n;
END
$$;
COMMENT ON FUNCTION benchorch.refresh_expectations() IS
	'Orders what is pending anew where lanes have turned out to be faster or slower than was expected; returns of how many model versions. reset_stale calls it';

CREATE FUNCTION benchorch.pause(model_version_id uuid) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	UPDATE benchorch.model_versions AS m SET paused = true, paused_by = NULL WHERE m.id = pause.model_version_id;
	PERFORM benchorch.refeed(model_version_id, false);
	RETURN (SELECT coalesce(sum(d.pending), 0) FROM benchorch.progress_deltas AS d
			WHERE d.model_version_id = pause.model_version_id);
END
$$;
COMMENT ON FUNCTION benchorch.pause(uuid) IS
	'Nothing more of the model version is claimed; what runs goes on. Returns how many configs wait. Errors: 22023 NULL, 42704';

CREATE FUNCTION benchorch.resume(model_version_id uuid) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	UPDATE benchorch.model_versions AS m SET paused = false, paused_by = NULL WHERE m.id = resume.model_version_id;
	PERFORM benchorch.refeed(model_version_id, true);
	IF EXISTS (SELECT FROM benchorch.budgets AS b WHERE b.model_version_id = resume.model_version_id)
		AND benchorch.apply_budget(model_version_id) THEN
		RAISE WARNING USING MESSAGE = 'budget used up: nothing is claimed',
			DETAIL = (SELECT benchorch.describe_budget(b) FROM benchorch.budgets AS b WHERE b.model_version_id = resume.model_version_id),
			HINT = 'Raise it: benchorch.set_budget().';
		RETURN 0;
	END IF;
	RETURN (SELECT coalesce(sum(d.pending), 0) FROM benchorch.progress_deltas AS d
			WHERE d.model_version_id = resume.model_version_id);
END
$$;
COMMENT ON FUNCTION benchorch.resume(uuid) IS
	'Ends a pause; returns how many configs are claimable again, or will be when their retry time comes: 0, with a warning, where the budget is used up. Errors: 22023 NULL, 42704';

CREATE FUNCTION benchorch.reprioritize(model_version_id uuid, delta int) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	held	bigint[];
	n	int;
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	IF delta IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'delta must not be NULL';
	END IF;
	/* none but these: what was opened while we waited for one of them would be locked out of order */
	held := ARRAY(SELECT c.id FROM benchorch.benchmark_configs AS c
		WHERE c.model_version_id = reprioritize.model_version_id AND c.status IN ('pending', 'running')
		ORDER BY c.id FOR NO KEY UPDATE);
	UPDATE benchorch.benchmark_configs AS c SET priority = c.priority + delta, version = c.version + 1
	FROM unnest(held) AS h (id) WHERE c.id = h.id AND c.status IN ('pending', 'running');
	GET DIAGNOSTICS n = ROW_COUNT;
	PERFORM benchorch.refeed(m.id, NOT m.paused) FROM benchorch.model_versions AS m
	WHERE m.id = reprioritize.model_version_id;
	RETURN n;
END
$$;
COMMENT ON FUNCTION benchorch.reprioritize(uuid, int) IS
	'Adds delta to the priority of what is pending or running (lower goes first); returns how many configs. Errors: 22023 NULL, 42704';

CREATE FUNCTION benchorch.submit(framework text, items jsonb, name text DEFAULT NULL) RETURNS uuid
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	framework_id	int;
	model_id		uuid := gen_random_uuid();
	lane_id			int;
BEGIN
	IF framework IS NULL OR items IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'framework and items must not be NULL';
	END IF;
	IF jsonb_typeof(items) <> 'array' OR items = '[]' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'items must be a JSON array with at least one element',
			HINT = 'For example: ''["Argo", "Is", "Awesome"]''.';
	END IF;
	SELECT f.id INTO framework_id FROM benchorch.frameworks AS f WHERE f.name = submit.framework;
	IF NOT FOUND THEN
		RAISE undefined_object USING MESSAGE = format('framework "%s" does not exist', framework),
			HINT = 'Register it first: benchorch.register_framework().';
	END IF;
	INSERT INTO benchorch.model_versions (id, name, submission)
	VALUES (model_id, coalesce(submit.name, 'submission ' || left(model_id::text, 8)), true);
	INSERT INTO benchorch.lanes (model_version_id, framework_id, gpus) VALUES (model_id, framework_id, 1)
	RETURNING lanes.id INTO lane_id;
	INSERT INTO benchorch.benchmark_configs (model_version_id, framework_id, params, priority, lane_id)
	SELECT model_id, framework_id, jsonb_build_object('item', i.item, 'index', i.n - 1),
		benchorch.config_priority(NULL, NULL, NULL), lane_id
	FROM jsonb_array_elements(items) WITH ORDINALITY AS i (item, n) ORDER BY i.n;
	RETURN model_id;
END
$$;
COMMENT ON FUNCTION benchorch.submit(text, jsonb, text) IS
	'One config for each element of a JSON array, any hardware: {item} in the framework''s command is the element, params.index its place from 0. Returns a UUID that works wherever a model version''s does. Errors: 22023 no array or empty, 42704 unknown framework';

/* ---------------------------------------------------------------- workers */

CREATE FUNCTION benchorch.set_worker_state(worker_id uuid, state text, reason text) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF worker_id IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'worker_id must not be NULL';
	END IF;
	UPDATE benchorch.workers AS w SET state = set_worker_state.state, reason = set_worker_state.reason WHERE w.id = worker_id;
	IF NOT FOUND THEN
		RAISE undefined_object USING MESSAGE = format('worker %s does not exist', worker_id),
			HINT = 'See benchorch.workers.';
	END IF;
END
$$;
COMMENT ON FUNCTION benchorch.set_worker_state(uuid, text, text) IS 'What drain_worker, quarantine_worker and unquarantine_worker share';

CREATE FUNCTION benchorch.drain_worker(worker_id uuid) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	released	int := benchorch.release_waiting(worker_id);
BEGIN
	/* the worker's row comes after the configs, as where an attempt ends */
	PERFORM benchorch.set_worker_state(worker_id, 'draining', 'drained by an operator');
	RETURN released;
END
$$;
COMMENT ON FUNCTION benchorch.drain_worker(uuid) IS
	'The worker claims no more: what it has not begun is handed back (returns how many), what runs goes on; registering again ends it. Errors: 22023 NULL, 42704';

CREATE FUNCTION benchorch.quarantine_worker(worker_id uuid, reason text) RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	released	int;
BEGIN
	IF reason IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'reason must not be NULL';
	END IF;
	released := benchorch.release_waiting(worker_id);
	PERFORM benchorch.set_worker_state(worker_id, 'quarantined', reason);
	RETURN released;
END
$$;
COMMENT ON FUNCTION benchorch.quarantine_worker(uuid, text) IS
	'The worker claims no more until unquarantine_worker, however often it registers; what it has not begun is handed back (returns how many). Errors: 22023 NULL, 42704';

CREATE FUNCTION benchorch.unquarantine_worker(worker_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.set_worker_state(worker_id, 'active', NULL);
END
$$;
COMMENT ON FUNCTION benchorch.unquarantine_worker(uuid) IS
	'The worker may claim again; frameworks that it has lost come back when it registers. Errors: 22023 NULL, 42704';

/* ---------------------------------------------------------- why nothing comes */

CREATE FUNCTION benchorch.explain_empty(worker_id uuid DEFAULT NULL, model_version_id uuid DEFAULT NULL,
	priority_threshold int DEFAULT 1000) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	worker	benchorch.workers;
	n		record;
	reasons	text[] := '{}';
BEGIN
	IF priority_threshold IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'priority_threshold must not be NULL';
	END IF;
	IF model_version_id IS NOT NULL THEN
		PERFORM benchorch.require_model(model_version_id);
	END IF;
	IF worker_id IS NOT NULL THEN
		SELECT * INTO worker FROM benchorch.workers AS w WHERE w.id = worker_id;
		IF NOT FOUND THEN
			RAISE undefined_object USING MESSAGE = format('worker %s does not exist', worker_id),
				HINT = 'Register it first: benchorch.register_worker().';
		END IF;
		IF worker.state <> 'active' THEN
			RETURN format('The worker is %s (%s): benchorch.unquarantine_worker() or registering again ends it.',
				worker.state, worker.reason);
		END IF;
	END IF;

	SELECT count(*) AS total,
		count(*) FILTER (WHERE c.status = 'running') AS running,
		count(*) FILTER (WHERE c.status = 'pending') AS pending,
		count(*) FILTER (WHERE c.status = 'pending' AND m.paused AND m.paused_by IS NULL) AS paused,
		count(*) FILTER (WHERE c.status = 'pending' AND m.paused_by = 'budget') AS spent,
		count(*) FILTER (WHERE c.status = 'pending' AND NOT m.paused AND d.config_id IS NOT NULL) AS delayed,
		min(d.due_at) AS due_at,
		count(*) FILTER (WHERE c.status = 'pending' AND NOT m.paused AND c.priority > priority_threshold) AS over_threshold,
		count(*) FILTER (WHERE c.status = 'pending' AND NOT m.paused AND c.hardware_config_id <> worker.hardware_config_id) AS hardware,
		count(*) FILTER (WHERE c.status = 'pending' AND NOT m.paused AND c.framework_id <> ALL (worker.framework_ids)) AS framework,
		count(*) FILTER (WHERE c.status = 'pending' AND NOT m.paused AND c.gpus > worker.gpus) AS gpus,
		count(*) FILTER (WHERE c.status = 'pending' AND NOT m.paused AND d.config_id IS NULL AND c.priority <= priority_threshold
			AND coalesce(c.hardware_config_id = worker.hardware_config_id, true)
			AND coalesce(c.framework_id = ANY (worker.framework_ids), true) AND coalesce(c.gpus <= worker.gpus, true)) AS claimable
	INTO n
	FROM benchorch.benchmark_configs AS c
	JOIN benchorch.model_versions AS m ON m.id = c.model_version_id
	LEFT JOIN benchorch.delayed_configs AS d ON d.config_id = c.id
	WHERE explain_empty.model_version_id IS NULL OR c.model_version_id = explain_empty.model_version_id;

	IF n.claimable > 0 THEN
		RETURN format('Not empty: %s configs can be claimed now.', n.claimable);
	ELSIF n.total = 0 THEN
		RETURN 'The matrix is not populated: benchorch.populate_matrix() makes the configs.';
	ELSIF n.pending = 0 AND n.running = 0 THEN
		RETURN format('All %s configs are settled: nothing is left to do.', n.total);
	ELSIF n.pending = 0 THEN
		RETURN format('Nothing is pending: %s configs are held by other claims.', n.running);
	END IF;
	IF n.spent > 0 THEN
		reasons := reasons || format('%s wait with their budget used up (benchorch.set_budget() raises it)', n.spent);
	END IF;
	IF n.paused > 0 THEN
		reasons := reasons || format('%s are paused (benchorch.resume() ends it)', n.paused);
	END IF;
	IF n.delayed > 0 THEN
		reasons := reasons || format('%s wait for their retry time, the first in %s s', n.delayed,
			greatest(0, ceil(extract(epoch FROM n.due_at - clock_timestamp()))));
	END IF;
	IF n.over_threshold > 0 THEN
		reasons := reasons || format('%s have a priority over the threshold of %s', n.over_threshold, priority_threshold);
	END IF;
	IF n.hardware > 0 THEN
		reasons := reasons || format('%s are for other hardware', n.hardware);
	END IF;
	IF n.framework > 0 THEN
		reasons := reasons || format('%s are for frameworks that this worker does not have', n.framework);
	END IF;
	IF n.gpus > 0 THEN
		reasons := reasons || format('%s need more GPUs than the %s of its slot', n.gpus, worker.gpus);
	END IF;
	RETURN format('Of %s pending configs %s%s.', n.pending, array_to_string(reasons, '; '),
		CASE WHEN n.running > 0 THEN format('; %s more are held by other claims', n.running) ELSE '' END);
END
$$;
COMMENT ON FUNCTION benchorch.explain_empty(uuid, uuid, int) IS
	'Why a claim with these arguments returns nothing, in words: not populated, settled, held by others, paused, budget used up, waiting for a retry time, over the threshold, other hardware, framework or GPUs, quarantined. Errors: 22023, 42704';
