/*
 * Looking at a model: progress, lists, what is wrong.
 */

CREATE FUNCTION benchorch.require_model(model_version_id uuid) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF model_version_id IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'model_version_id must not be NULL';
	END IF;
	IF NOT EXISTS (SELECT FROM benchorch.model_versions AS m WHERE m.id = require_model.model_version_id) THEN
		RAISE undefined_object USING MESSAGE = format('model version %s does not exist', model_version_id),
			HINT = 'Register it first: benchorch.register_model().';
	END IF;
END
$$;
COMMENT ON FUNCTION benchorch.require_model(uuid) IS 'Raises 22023 for NULL, 42704 for a model version that does not exist';

CREATE FUNCTION benchorch.require_status(status text) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	IF status NOT IN ('pending', 'running', 'completed', 'failed', 'skipped', 'cancelled') THEN
		RAISE invalid_parameter_value USING MESSAGE = format('unknown status "%s"', status),
			HINT = 'Statuses are pending, running, completed, failed, skipped and cancelled.';
	END IF;
END
$$;
COMMENT ON FUNCTION benchorch.require_status(text) IS 'Raises 22023 for a word that is no status';

/* Lanes that a live worker fits. */
CREATE FUNCTION benchorch.served_lanes(model_version_id uuid) RETURNS SETOF int
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT l.id FROM benchorch.lanes AS l
	WHERE l.model_version_id = $1 AND EXISTS (
		SELECT FROM benchorch.workers AS w JOIN benchorch.worker_leases AS s ON s.worker_id = w.id
		WHERE w.state = 'active' AND s.expires_at > clock_timestamp()
		  AND (l.hardware_config_id IS NULL OR l.hardware_config_id = w.hardware_config_id)
		  AND l.framework_id = ANY (w.framework_ids) AND l.gpus <= w.gpus)
$$;
COMMENT ON FUNCTION benchorch.served_lanes(uuid) IS 'Lanes of a model version that at least one live worker fits';

CREATE FUNCTION benchorch.model_counts(model_version_id uuid, OUT pending bigint, OUT running bigint, OUT completed bigint,
	OUT failed bigint, OUT skipped bigint, OUT cancelled bigint) RETURNS record
LANGUAGE c STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_model_counts';
COMMENT ON FUNCTION benchorch.model_counts(uuid) IS
	'How many configs of a model version have which status, as the counters (benchorch.progress_deltas) say. Errors: 22023 NULL';

CREATE FUNCTION benchorch.progress(model_version_id uuid) RETURNS jsonb
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	n			record;
	total		bigint;
	settled		bigint;
	lanes		int[];
	unclaimable	bigint;
	recent		record;
	eta			timestamptz;
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	n := benchorch.model_counts(model_version_id);
	settled := n.completed + n.failed + n.skipped + n.cancelled;
	total := n.pending + n.running + settled;

	/* counted only where some lanes are served and some are not */
	lanes := ARRAY(SELECT benchorch.served_lanes(model_version_id));
	IF n.pending = 0 THEN
		unclaimable := 0;
	ELSIF lanes = '{}' THEN
		unclaimable := n.pending;
	ELSIF NOT EXISTS (SELECT FROM benchorch.lanes AS l
					  WHERE l.model_version_id = progress.model_version_id AND l.id <> ALL (lanes)) THEN
		unclaimable := 0;
	ELSE
		SELECT count(*) INTO unclaimable FROM benchorch.benchmark_configs AS c
		WHERE c.model_version_id = progress.model_version_id AND c.status = 'pending' AND c.lane_id <> ALL (lanes);
	END IF;

	/* at the pace of the last results */
	SELECT count(*) AS results, extract(epoch FROM clock_timestamp() - min(r.created_at)) AS seconds INTO recent
	FROM (SELECT b.created_at FROM benchorch.benchmark_results AS b
		  WHERE b.model_version_id = progress.model_version_id AND b.config_id IS NOT NULL
		  ORDER BY b.id DESC LIMIT 200) AS r;
	IF n.pending + n.running - unclaimable > 0 AND recent.results > 1 AND recent.seconds > 0 THEN
		eta := clock_timestamp() + make_interval(secs => (n.pending + n.running - unclaimable) * recent.seconds / recent.results);
	END IF;

	RETURN jsonb_build_object('total', total, 'pending', n.pending, 'running', n.running, 'completed', n.completed,
		'failed', n.failed, 'skipped', n.skipped, 'cancelled', n.cancelled, 'unclaimable', unclaimable,
		'progress_pct', CASE WHEN total = 0 THEN 0 ELSE round(100.0 * n.completed / total, 2) END,
		'settled_pct', CASE WHEN total = 0 THEN 0 ELSE round(100.0 * settled / total, 2) END,
		'eta', eta);
END
$$;
COMMENT ON FUNCTION benchorch.progress(uuid) IS
	'Counts by status, total, unclaimable (pending, and no live worker fits), progress_pct = round(100 x completed / total, 2), settled_pct, eta (timestamp at the pace of the last results, or null). Errors: 22023 NULL, 42704 unknown model version';

CREATE FUNCTION benchorch.list_configs(model_version_id uuid, status text DEFAULT NULL, max_rows int DEFAULT 100,
	after_id bigint DEFAULT 0) RETURNS SETOF benchorch.benchmark_configs
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	PERFORM benchorch.require_status(status);
	IF max_rows IS NULL OR max_rows < 0 OR after_id IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'max_rows must be 0 or more, and after_id not NULL';
	END IF;
	RETURN QUERY SELECT c.* FROM benchorch.benchmark_configs AS c
		WHERE c.model_version_id = list_configs.model_version_id AND c.id > after_id
		  AND (list_configs.status IS NULL OR c.status = list_configs.status)
		ORDER BY c.model_version_id, c.id LIMIT max_rows;
END
$$;
COMMENT ON FUNCTION benchorch.list_configs(uuid, text, int, bigint) IS
	'Configs of a model version in id order, a page at a time: pass the last id as after_id. Errors: 22023 NULL, unknown status, negative max_rows; 42704 unknown model version';

CREATE FUNCTION benchorch.left_for(worker_id uuid, model_version_id uuid DEFAULT NULL, priority_threshold int DEFAULT 1000)
RETURNS bigint
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	worker	benchorch.workers;
	n		bigint;
BEGIN
	SELECT * INTO worker FROM benchorch.workers AS w WHERE w.id = worker_id;
	IF NOT FOUND THEN
		RAISE undefined_object USING MESSAGE = format('worker %s does not exist', worker_id),
			HINT = 'Register it first: benchorch.register_worker().';
	END IF;
	IF worker.state <> 'active' THEN
		RETURN 0;
	END IF;
	SELECT count(*) INTO n FROM (
		SELECT FROM benchorch.model_versions AS m
		JOIN benchorch.lanes AS l ON l.model_version_id = m.id
		JOIN benchorch.benchmark_configs AS c ON c.model_version_id = m.id AND c.lane_id = l.id
		WHERE m.finalized_at IS NULL AND NOT m.paused
		  AND (left_for.model_version_id IS NULL OR m.id = left_for.model_version_id)
		  AND (l.hardware_config_id IS NULL OR l.hardware_config_id = worker.hardware_config_id)
		  AND l.framework_id = ANY (worker.framework_ids) AND l.gpus <= worker.gpus
		  AND c.status IN ('pending', 'running') AND c.priority <= priority_threshold
		LIMIT 1000) AS open;
	RETURN n;
END
$$;
COMMENT ON FUNCTION benchorch.left_for(uuid, uuid, int) IS
	'How many configs (1000 at most are counted) are open that this worker fits: 0 tells a worker that it may go. Paused models and priorities over the threshold do not count';

/*
 * One row for each thing that is wrong: the invariants of docs/architecture.md
 * that can be read off the tables.
 */
CREATE FUNCTION benchorch.check_invariants() RETURNS TABLE (invariant int, problem text, object text)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
	SELECT 1, 'running without a current claim', 'config ' || c.id
	FROM benchorch.benchmark_configs AS c
	WHERE c.status = 'running' AND NOT EXISTS (
		SELECT FROM benchorch.claims AS l WHERE l.claim_id = c.claim_id AND c.id = ANY (l.config_ids))
	UNION ALL
	SELECT 1, 'pending under a claim', 'config ' || c.id
	FROM benchorch.benchmark_configs AS c WHERE c.status = 'pending' AND c.claim_id IS NOT NULL
	UNION ALL
	SELECT 9, 'its lane is another model version''s, hardware''s, framework''s or size''s', 'config ' || c.id
	FROM benchorch.benchmark_configs AS c LEFT JOIN benchorch.lanes AS l ON l.id = c.lane_id
	WHERE (l.model_version_id, coalesce(l.hardware_config_id, 0), l.framework_id, l.gpus)
		IS DISTINCT FROM (c.model_version_id, coalesce(c.hardware_config_id, 0), c.framework_id, c.gpus)
	UNION ALL
	SELECT 2, 'accepted result without a claim', 'result ' || r.id
	FROM benchorch.benchmark_results AS r WHERE r.accepted AND r.config_id IS NOT NULL AND r.claim_id IS NULL AND r.import_digest IS NULL
	UNION ALL
	SELECT 2, 'accepted result of an attempt that failed', 'result ' || r.id
	FROM benchorch.benchmark_results AS r
	JOIN benchorch.attempts AS a ON a.config_id = r.config_id AND a.claim_id = r.claim_id
	WHERE r.accepted
	UNION ALL
	SELECT 2, 'accepted result of a claim that did not settle the config', 'result ' || r.id
	FROM benchorch.benchmark_results AS r JOIN benchorch.benchmark_configs AS c ON c.id = r.config_id
	WHERE r.accepted AND c.status = 'completed' AND r.claim_id <> c.claim_id AND r.superseded_at IS NULL
	UNION ALL
	SELECT 3, 'more blamed attempts than the limit', 'config ' || b.config_id || ', ' || b.outcome
	FROM (SELECT a.config_id, a.outcome, count(*) AS n FROM benchorch.attempts AS a WHERE a.blamed
		  GROUP BY a.config_id, a.outcome) AS b
	JOIN benchorch.benchmark_configs AS c ON c.id = b.config_id
	LEFT JOIN benchorch.templates AS t ON t.id = c.template_id
	WHERE b.n > CASE b.outcome
		WHEN 'crash' THEN coalesce((t.spec -> 'limits' ->> 'crash_retries')::int, 4) + 1
		WHEN 'timeout' THEN coalesce((t.spec -> 'limits' ->> 'timeout_retries')::int, 1) + 1
		WHEN 'bad_output' THEN coalesce((t.spec -> 'limits' ->> 'bad_output_retries')::int, 1) + 1
		WHEN 'lost' THEN coalesce((t.spec -> 'limits' ->> 'max_losses')::int, 4)
		ELSE 1 END
	UNION ALL
	SELECT 3, 'a preemption or a fault of the node is blamed', 'attempt ' || a.id
	FROM benchorch.attempts AS a WHERE a.blamed AND a.outcome IN ('preempted', 'gpu_fault', 'node_fault')
	UNION ALL
	SELECT 8, format('counted %s, told %s', counted.n, told.n), 'model version ' || coalesce(counted.id, told.id)
	FROM (SELECT c.model_version_id AS id, jsonb_object_agg(c.status, c.n) AS n
		  FROM (SELECT model_version_id, status, count(*) AS n FROM benchorch.benchmark_configs GROUP BY 1, 2) AS c
		  GROUP BY 1) AS counted
	FULL JOIN (SELECT d.model_version_id AS id, jsonb_object_agg(s.status, s.n) FILTER (WHERE s.n <> 0) AS n
			   FROM (SELECT model_version_id, sum(pending) AS pending, sum(running) AS running, sum(completed) AS completed,
						sum(failed) AS failed, sum(skipped) AS skipped, sum(cancelled) AS cancelled
					 FROM benchorch.progress_deltas GROUP BY 1) AS d,
			   LATERAL (VALUES ('pending', d.pending), ('running', d.running), ('completed', d.completed),
						('failed', d.failed), ('skipped', d.skipped), ('cancelled', d.cancelled)) AS s (status, n)
			   GROUP BY 1) AS told USING (id)
	WHERE counted.n IS DISTINCT FROM told.n
	UNION ALL
	SELECT 6, 'skipped without a reason', 'config ' || c.id
	FROM benchorch.benchmark_configs AS c WHERE c.status = 'skipped' AND c.error_message IS NULL
	UNION ALL
	SELECT 7, 'finalized, but not settled', 'model version ' || m.id
	FROM benchorch.model_versions AS m
	WHERE m.finalized_at IS NOT NULL AND EXISTS (
		SELECT FROM benchorch.benchmark_configs AS c
		WHERE c.model_version_id = m.id AND c.status IN ('pending', 'running'))
	UNION ALL
	SELECT 7, 'settled, but neither finalized nor due', 'model version ' || m.id
	FROM benchorch.model_versions AS m
	WHERE m.finalized_at IS NULL
	  AND EXISTS (SELECT FROM benchorch.benchmark_configs AS c WHERE c.model_version_id = m.id)
	  AND NOT EXISTS (SELECT FROM benchorch.benchmark_configs AS c
					  WHERE c.model_version_id = m.id AND c.status IN ('pending', 'running'))
	  AND NOT EXISTS (SELECT FROM benchorch.endgames AS e WHERE e.model_version_id = m.id)
	UNION ALL
	SELECT 9, 'waits for its retry time, but nothing will wake it', 'config ' || c.id
	FROM benchorch.benchmark_configs AS c LEFT JOIN benchorch.delayed_configs AS d ON d.config_id = c.id
	WHERE c.due_at IS NOT NULL AND (c.status <> 'pending' OR d.config_id IS NULL)
	UNION ALL
	SELECT 9, 'pending, but no claim with a worker can reach it', 'config ' || c.id
	FROM benchorch.benchmark_configs AS c JOIN benchorch.model_versions AS m ON m.id = c.model_version_id
	LEFT JOIN (SELECT k.lane_id, u.id, u.priority FROM benchorch.lane_chunks AS k,
			   LATERAL unnest(k.ids[k.next:], k.priorities[k.next:]) AS u (id, priority)) AS hint
		ON hint.id = c.id AND hint.priority = c.priority AND hint.lane_id = c.lane_id
	LEFT JOIN benchorch.delayed_configs AS d ON d.config_id = c.id
	WHERE c.status = 'pending' AND NOT m.paused AND hint.id IS NULL AND d.config_id IS NULL
	UNION ALL
	SELECT 9, 'pending, but no claim without worker can reach it', 'config ' || c.id
	FROM benchorch.benchmark_configs AS c JOIN benchorch.model_versions AS m ON m.id = c.model_version_id
	LEFT JOIN (SELECT k.priority, u.id FROM benchorch.priority_chunks AS k,
			   LATERAL unnest(k.ids[k.next:]) AS u (id)) AS hint
		ON hint.id = c.id AND hint.priority = c.priority
	LEFT JOIN benchorch.delayed_configs AS d ON d.config_id = c.id
	WHERE c.status = 'pending' AND NOT m.paused AND hint.id IS NULL AND d.config_id IS NULL
$$;
COMMENT ON FUNCTION benchorch.check_invariants() IS
	'What is wrong: (number of the invariant in docs/architecture.md, what, where); no row when all holds. Reads the whole matrix';
