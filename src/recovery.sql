/*
 * Leases, and what happens when they end.
 */

CREATE FUNCTION benchorch.reset_stale(timeout_minutes int DEFAULT 120) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_reset_stale';
COMMENT ON FUNCTION benchorch.reset_stale(int) IS
	'Takes back what expired leases hold, and claims without worker that began longer ago than the timeout; returns how many configs. Also wakes due retries, orders what is left by what was measured, folds counters and ranks models that are due. Errors: 22023 NULL or negative';

CREATE FUNCTION benchorch.release_claims(worker_id uuid, outcome text, only_waiting boolean) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_release';
COMMENT ON FUNCTION benchorch.release_claims(uuid, text, boolean) IS
	'What release and release_waiting share';

CREATE FUNCTION benchorch.release(worker_id uuid, outcome text DEFAULT 'preempted') RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT benchorch.release_claims(worker_id, outcome, false) $$;

COMMENT ON FUNCTION benchorch.release(uuid, text) IS
	'Hands back all that the worker holds, at no cost to any config''s retries; returns how many. outcome node_fault: the worker loses the frameworks of what it held, or is quarantined where nothing is left or it held nothing; gpu_fault: it is quarantined. Errors: 22023 NULL or an outcome that a release cannot have, 42704 unknown worker';

CREATE FUNCTION benchorch.release_waiting(worker_id uuid) RETURNS int
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$ SELECT benchorch.release_claims(worker_id, 'preempted', true) $$;
COMMENT ON FUNCTION benchorch.release_waiting(uuid) IS
	'Hands back the configs of the worker whose runs have not begun, at no cost; returns how many';

CREATE FUNCTION benchorch.heartbeat(worker_id uuid, running bigint[] DEFAULT NULL, log_tail bytea DEFAULT NULL)
RETURNS TABLE (config_id bigint, claim_id bigint, verdict text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS $$
#variable_conflict use_column
BEGIN
	IF heartbeat.worker_id IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'worker_id must not be NULL';
	END IF;
	/* a heartbeat ends an absence; its presence counts again once it has been announced again */
	UPDATE benchorch.worker_leases AS l SET heartbeat_at = clock_timestamp(), absent_since = NULL,
		presence_at = CASE WHEN l.absent_since IS NULL THEN l.presence_at END,
		expires_at = clock_timestamp() + make_interval(secs => benchorch.lease_seconds())
	WHERE l.worker_id = heartbeat.worker_id;
	IF NOT FOUND THEN
		IF NOT EXISTS (SELECT FROM benchorch.workers AS w WHERE w.id = heartbeat.worker_id) THEN
			RAISE undefined_object USING MESSAGE = format('worker %s does not exist', heartbeat.worker_id),
				HINT = 'Register it first: benchorch.register_worker().';
		END IF;
		INSERT INTO benchorch.worker_leases (worker_id, heartbeat_at, expires_at)
		VALUES (heartbeat.worker_id, clock_timestamp(),
			clock_timestamp() + make_interval(secs => benchorch.lease_seconds()))
		ON CONFLICT DO NOTHING;
	END IF;
	IF log_tail IS NOT NULL THEN
		INSERT INTO benchorch.live_logs VALUES (heartbeat.worker_id, coalesce(running, '{}'), clock_timestamp(), log_tail)
		ON CONFLICT (worker_id) DO UPDATE SET config_ids = excluded.config_ids, at = excluded.at, tail = excluded.tail;
	END IF;
	PERFORM benchorch.finalize_due();
	PERFORM benchorch.check_budgets();
	RETURN QUERY
		SELECT held.id, coalesce(held.claim_id, CASE WHEN c.status = 'cancelled' THEN c.claim_id END,
				(SELECT a.claim_id FROM benchorch.attempts AS a
				 WHERE a.config_id = held.id AND a.worker_id = heartbeat.worker_id ORDER BY a.id DESC LIMIT 1)),
			CASE WHEN c.status = 'cancelled' THEN 'cancelled' ELSE 'lost' END
		FROM (SELECT r AS id, (SELECT l.claim_id FROM benchorch.claims AS l
							   WHERE l.worker_id = heartbeat.worker_id AND r = ANY (l.config_ids) ORDER BY l.claimed_at DESC LIMIT 1)
					 AS claim_id
			  FROM unnest(running) AS r
			  UNION
			  SELECT i, l.claim_id FROM benchorch.claims AS l, unnest(l.config_ids) AS i
			  WHERE l.worker_id = heartbeat.worker_id) AS held
		LEFT JOIN benchorch.benchmark_configs AS c ON c.id = held.id
		WHERE NOT coalesce(c.status = 'running' AND c.claim_id = held.claim_id, false)
		  AND (held.id = ANY (running) OR c.status = 'cancelled');
END
$$;
COMMENT ON FUNCTION benchorch.heartbeat(uuid, bigint[], bytea) IS
	'Extends the worker''s lease, and returns the configs that it is to drop: cancelled, or lost (the claim is no longer current). running: the configs that it runs now; log_tail: the end of what they have printed. Errors: 22023 NULL, 42704 unknown worker';

CREATE FUNCTION benchorch.note_epoch() RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_note_epoch';
COMMENT ON FUNCTION benchorch.note_epoch() IS 'Notes a restart or promotion of the server, where nobody has yet';

CREATE FUNCTION benchorch.announce(worker_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF worker_id IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'worker_id must not be NULL';
	END IF;
	IF NOT EXISTS (SELECT FROM benchorch.workers AS w WHERE w.id = announce.worker_id) THEN
		RAISE undefined_object USING MESSAGE = format('worker %s does not exist', worker_id),
			HINT = 'Register it first: benchorch.register_worker().';
	END IF;
	IF NOT pg_try_advisory_lock(hashtextextended('benchorch:' || announce.worker_id, 1)) THEN
		RETURN false;
	END IF;
	PERFORM benchorch.note_epoch();
	UPDATE benchorch.worker_leases AS l SET presence_at = clock_timestamp(), absent_since = NULL
	WHERE l.worker_id = announce.worker_id;
	RETURN true;
END
$$;
COMMENT ON FUNCTION benchorch.announce(uuid) IS
	'Shows the worker''s presence as long as this session lives, so that a dropped connection is noticed at once; call it on a connection that nothing else uses, and never through a transaction pooler (pg_backend_pid() differs from the client''s). False: another session still holds the lock, try again later. Errors: 22023 NULL, 42704';

CREATE FUNCTION benchorch.abandon(worker_id uuid) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_abandon';
COMMENT ON FUNCTION benchorch.abandon(uuid) IS
	'What a worker held when its process was replaced by another of its name is taken back as lost; returns how many configs';

CREATE FUNCTION benchorch.lease_seconds() RETURNS float8
LANGUAGE c STABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_lease_seconds';
COMMENT ON FUNCTION benchorch.lease_seconds() IS 'The setting benchorch.lease in seconds';
