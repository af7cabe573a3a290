/*
 * Watching a model version, for psql's \watch.
 */

CREATE FUNCTION benchorch.watch(model_version_id uuid) RETURNS SETOF text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	p		jsonb := benchorch.progress(model_version_id);
	model	benchorch.model_versions;
	width	CONSTANT int := 40;
	done	int;
BEGIN
	SELECT * INTO model FROM benchorch.model_versions AS m WHERE m.id = watch.model_version_id;
	done := floor(width * (p ->> 'settled_pct')::numeric / 100);
	RETURN NEXT format('%s  %s', model.name, CASE
		WHEN model.paused_by = 'budget' THEN 'budget used up'
		WHEN model.paused THEN 'paused'
		WHEN (p ->> 'total')::bigint = 0 THEN 'not populated'
		WHEN model.finalized_at IS NOT NULL THEN 'finalized ' || to_char(model.finalized_at, 'YYYY-MM-DD HH24:MI:SS')
		WHEN (p ->> 'pending')::bigint + (p ->> 'running')::bigint = 0 THEN 'settled'
		ELSE 'running' END);
	RETURN NEXT format('[%s%s] %s %%  %s of %s settled%s', repeat('#', done), repeat('.', width - done), p ->> 'settled_pct',
		(p ->> 'total')::bigint - (p ->> 'pending')::bigint - (p ->> 'running')::bigint, p ->> 'total',
		coalesce(', done about ' || to_char((p ->> 'eta')::timestamptz, 'HH24:MI:SS'), ''));
	RETURN NEXT format('%s pending, %s running, %s completed, %s failed, %s skipped, %s cancelled%s',
		p ->> 'pending', p ->> 'running', p ->> 'completed', p ->> 'failed', p ->> 'skipped', p ->> 'cancelled',
		CASE WHEN (p ->> 'unclaimable')::bigint > 0
			 THEN format('; %s that no live worker fits', p ->> 'unclaimable') ELSE '' END);
	RETURN QUERY
		SELECT format('%s %s / %s%s  %s of %s settled%s%s',
			CASE WHEN row_number() OVER (ORDER BY h.name, f.name, l.id) = count(*) OVER () THEN '└─' ELSE '├─' END,
			coalesce(h.name, 'any hardware'), f.name,
			CASE WHEN l.engine <> '{}' THEN ' ' || l.engine::text ELSE '' END,
			c.settled, c.total,
			CASE WHEN c.running > 0 THEN format(', %s running', c.running) ELSE '' END,
			CASE WHEN c.failed > 0 THEN format(', %s failed', c.failed) ELSE '' END)
		FROM benchorch.lanes AS l
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = l.hardware_config_id
		JOIN benchorch.frameworks AS f ON f.id = l.framework_id
		JOIN (SELECT b.lane_id, count(*) AS total, count(*) FILTER (WHERE b.status = 'running') AS running,
				count(*) FILTER (WHERE b.status = 'failed') AS failed,
				count(*) FILTER (WHERE b.status NOT IN ('pending', 'running')) AS settled
			  FROM benchorch.benchmark_configs AS b WHERE b.model_version_id = watch.model_version_id
			  GROUP BY b.lane_id) AS c ON c.lane_id = l.id
		ORDER BY h.name, f.name, l.id;
END
$$;
COMMENT ON FUNCTION benchorch.watch(uuid) IS
	'A progress bar, counts, the expected end and a line for each lane; made for psql''s \watch 1. Errors: 22023 NULL, 42704 unknown model version';

/* Bytes as text: what is not valid in the database's encoding becomes a question mark. */
CREATE FUNCTION benchorch.readable(bytes bytea) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_readable';
COMMENT ON FUNCTION benchorch.readable(bytea) IS 'Bytes that a program printed, as text; what is no valid text becomes ?';

CREATE FUNCTION benchorch.logs(config_id bigint, attempt int DEFAULT NULL)
RETURNS TABLE (run text, line bigint, content text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
BEGIN
	IF config_id IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'config_id must not be NULL';
	END IF;
	IF NOT EXISTS (SELECT FROM benchorch.benchmark_configs AS c WHERE c.id = logs.config_id)
	   AND NOT EXISTS (SELECT FROM benchorch.archived_configs AS c WHERE c.id = logs.config_id) THEN
		RAISE undefined_object USING MESSAGE = format('config %s does not exist', config_id),
			HINT = 'See benchorch.list_configs().';
	END IF;
	RETURN QUERY
		SELECT k.run, l.n, l.content
		FROM (SELECT a.attempt AS nth, format('attempt %s: %s', a.attempt, a.outcome) AS run, a.ended_at AS at, a.log AS log
			  FROM benchorch.attempts AS a WHERE a.config_id = logs.config_id
			  UNION ALL
			  SELECT NULL, CASE WHEN r.accepted THEN 'ok' ELSE 'late result' END, r.created_at, r.log
			  FROM benchorch.benchmark_results AS r WHERE r.config_id = logs.config_id
			  UNION ALL
			  SELECT c.attempt, 'running', v.at, v.tail
			  FROM benchorch.benchmark_configs AS c
			  JOIN benchorch.claims AS h ON h.claim_id = c.claim_id
			  JOIN benchorch.live_logs AS v ON v.worker_id = h.worker_id AND c.id = ANY (v.config_ids)
			  WHERE c.id = logs.config_id AND c.status = 'running') AS k,
		LATERAL regexp_split_to_table(benchorch.readable(k.log), E'\r?\n') WITH ORDINALITY AS l (content, n)
		WHERE k.log IS NOT NULL AND (logs.attempt IS NULL OR k.nth = logs.attempt)
		ORDER BY k.at, l.n;
END
$$;
COMMENT ON FUNCTION benchorch.logs(bigint, int) IS
	'What a config''s runs printed (head and tail, as the worker kept them), oldest run first; of a running one what its last heartbeat brought. Errors: 22023 NULL, 42704';
