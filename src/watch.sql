/*
 * Watching a model version, for psql's \watch.
 */

/*
 * What watch() says below a lane: some of what runs, why configs failed, and
 * what no machine lives long enough for.
 */
CREATE FUNCTION benchorch.lane_notes(model_version_id uuid, OUT lane_id int, OUT line_order int, OUT id bigint, OUT line text)
RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	/* at most three that run, the longest first */
	SELECT r.lane_id, 1, r.nth, CASE WHEN r.nth <= 3
		THEN format('config %s on %s for %s%s', r.id, r.worker, to_char(clock_timestamp() - r.started_at, 'HH24:MI:SS'),
			CASE WHEN r.attempt > 1 THEN format(', attempt %s', r.attempt) ELSE '' END)
		ELSE format('and %s more', r.total - 3) END
	FROM (SELECT c.lane_id, c.id, c.attempt, c.started_at, w.name AS worker,
			row_number() OVER (PARTITION BY c.lane_id ORDER BY c.started_at, c.id) AS nth, count(*) OVER (PARTITION BY c.lane_id) AS total
		  FROM benchorch.benchmark_configs AS c
		  JOIN benchorch.claims AS h ON h.claim_id = c.claim_id
		  JOIN benchorch.workers AS w ON w.id = h.worker_id
		  WHERE c.model_version_id = $1 AND c.status = 'running' AND c.run_started) AS r
	WHERE r.nth <= 4
	UNION ALL
	/* by the last attempt of each config that failed */
	SELECT f.lane_id, 2, -count(*), format('failed: %s × %s, as in config %s: %s', f.outcome, count(*), min(f.id),
		coalesce((array_agg(left(f.message, 200) ORDER BY f.id))[1], 'no message'))
	FROM (SELECT DISTINCT ON (c.id) c.lane_id, c.id, a.outcome, a.message
		  FROM benchorch.benchmark_configs AS c JOIN benchorch.attempts AS a ON a.config_id = c.id
		  WHERE c.model_version_id = $1 AND c.status = 'failed'
		  ORDER BY c.id, a.id DESC) AS f
	GROUP BY f.lane_id, f.outcome
	UNION ALL
	SELECT o.lane_id, 3, o.id, format('config %s outlives this fleet: preempted %s times in a row', o.id, o.times)
	FROM (SELECT c.lane_id, c.id, count(*) AS times
		  FROM benchorch.benchmark_configs AS c JOIN benchorch.attempts AS a ON a.config_id = c.id
		  WHERE c.model_version_id = $1 AND c.status IN ('pending', 'running') AND a.outcome = 'preempted'
			AND NOT EXISTS (SELECT FROM benchorch.attempts AS other
							WHERE other.config_id = c.id AND other.id > a.id AND other.outcome <> 'preempted')
		  GROUP BY c.id) AS o
	WHERE o.times >= 5
$$;
COMMENT ON FUNCTION benchorch.lane_notes(uuid) IS 'The lines that watch() shows below a lane, in the order of line_order and id';

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
	recent	record;
	lane	record;
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
	SELECT count(*) AS results, extract(epoch FROM clock_timestamp() - min(r.created_at)) AS seconds INTO recent
	FROM (SELECT b.created_at FROM benchorch.benchmark_results AS b
		  WHERE b.model_version_id = watch.model_version_id AND b.config_id IS NOT NULL
		  ORDER BY b.id DESC LIMIT 200) AS r;
	IF (p ->> 'running')::bigint > 0 AND recent.results > 1 AND recent.seconds > 0 THEN
		RETURN NEXT format('%s results a minute, from %s workers', round((60 * recent.results / recent.seconds)::numeric, 1),
			(SELECT count(DISTINCT h.worker_id) FROM benchorch.benchmark_configs AS c JOIN benchorch.claims AS h ON h.claim_id = c.claim_id
			 WHERE c.model_version_id = watch.model_version_id AND c.status = 'running' AND c.run_started));
	END IF;

	FOR lane IN
		SELECT format('%s / %s%s', coalesce(h.name, 'any hardware'), f.name, CASE WHEN l.engine <> '{}' THEN ' ' || l.engine::text ELSE '' END) AS name,
			c.*, notes.lines, row_number() OVER w = count(*) OVER () AS last
		FROM benchorch.lanes AS l
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = l.hardware_config_id
		JOIN benchorch.frameworks AS f ON f.id = l.framework_id
		JOIN (SELECT b.lane_id, count(*) AS total, count(*) FILTER (WHERE b.status = 'running') AS running,
				count(*) FILTER (WHERE b.status = 'failed') AS failed, count(*) FILTER (WHERE b.status = 'skipped') AS skipped,
				count(*) FILTER (WHERE b.status NOT IN ('pending', 'running')) AS settled
			  FROM benchorch.benchmark_configs AS b WHERE b.model_version_id = watch.model_version_id
			  GROUP BY b.lane_id) AS c ON c.lane_id = l.id
		LEFT JOIN (SELECT n.lane_id, array_agg(n.line ORDER BY n.line_order, n.id) AS lines
				   FROM benchorch.lane_notes(watch.model_version_id) AS n GROUP BY n.lane_id) AS notes ON notes.lane_id = l.id
		WINDOW w AS (ORDER BY h.name, f.name, l.id)
		ORDER BY h.name, f.name, l.id
	LOOP
		RETURN NEXT format('%s %s  %s of %s settled%s%s%s', CASE WHEN lane.last THEN '└─' ELSE '├─' END, lane.name, lane.settled, lane.total,
			CASE WHEN lane.running > 0 THEN format(', %s running', lane.running) ELSE '' END,
			CASE WHEN lane.failed > 0 THEN format(', %s failed', lane.failed) ELSE '' END,
			CASE WHEN lane.skipped > 0 THEN format(', %s skipped', lane.skipped) ELSE '' END);
		FOR i IN 1 .. coalesce(cardinality(lane.lines), 0) LOOP
			RETURN NEXT format('%s %s %s', CASE WHEN lane.last THEN '  ' ELSE '│ ' END,
				CASE WHEN i = cardinality(lane.lines) THEN '└─' ELSE '├─' END, lane.lines[i]);
		END LOOP;
	END LOOP;
END
$$;
COMMENT ON FUNCTION benchorch.watch(uuid) IS
	'A progress bar, counts, pace, the expected end, and a tree of lanes: what runs where, why configs failed, and which outlive this fleet; made for psql''s \watch 1. Errors: 22023 NULL, 42704 unknown model version';

/* Bytes as text: what is not valid in the database's encoding becomes a question mark. */
CREATE FUNCTION benchorch.readable(bytes bytea) RETURNS text
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_readable';
COMMENT ON FUNCTION benchorch.readable(bytea) IS 'Bytes that a program printed, as text; what is no valid text becomes ?';

CREATE FUNCTION benchorch.argv_of(details jsonb) RETURNS text[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN jsonb_typeof(details -> 'argv') = 'array' THEN ARRAY(SELECT jsonb_array_elements_text(details -> 'argv')) END
$$;
COMMENT ON FUNCTION benchorch.argv_of(jsonb) IS 'The argument vector in a worker''s details, NULL where there is none';

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
		FROM (SELECT a.attempt AS nth, format('attempt %s: %s', a.attempt, a.outcome) AS run, a.ended_at AS at, a.worker_id AS worker,
				a.argv AS argv, a.message AS message, a.log AS log
			  FROM benchorch.attempts AS a WHERE a.config_id = logs.config_id
			  UNION ALL
			  SELECT CASE WHEN r.accepted THEN c.attempt END, CASE WHEN r.accepted THEN 'ok' ELSE 'late result' END, r.created_at, r.worker_id,
				benchorch.argv_of(r.environment -> 'details'), NULL, r.log
			  FROM benchorch.benchmark_results AS r LEFT JOIN benchorch.benchmark_configs AS c ON c.id = r.config_id
			  WHERE r.config_id = logs.config_id
			  UNION ALL
			  SELECT CASE WHEN r.accepted THEN c.attempt END, CASE WHEN r.accepted THEN 'ok' ELSE 'late result' END, r.created_at, r.worker_id,
				benchorch.argv_of(r.environment -> 'details'), NULL, r.log
			  FROM benchorch.archived_results AS r LEFT JOIN benchorch.archived_configs AS c ON c.id = r.config_id
			  WHERE r.config_id = logs.config_id
			  UNION ALL
			  SELECT c.attempt, 'running', coalesce(v.at, clock_timestamp()), h.worker_id, NULL,
				CASE WHEN c.run_started THEN format('running for %s', to_char(clock_timestamp() - c.started_at, 'HH24:MI:SS'))
					 ELSE 'claimed, not begun' END || coalesce('; as of ' || to_char(v.at, 'HH24:MI:SS'), ''), v.tail
			  FROM benchorch.benchmark_configs AS c
			  JOIN benchorch.claims AS h ON h.claim_id = c.claim_id
			  LEFT JOIN benchorch.live_logs AS v ON v.worker_id = h.worker_id AND c.id = ANY (v.config_ids)
			  WHERE c.id = logs.config_id AND c.status = 'running') AS k
		LEFT JOIN benchorch.workers AS w ON w.id = k.worker,
		LATERAL (
			SELECT -1, '$ ' || (SELECT string_agg(CASE WHEN g ~ '^[A-Za-z0-9_@%+=:,./-]+$' THEN g ELSE quote_literal(g) END, ' ' ORDER BY o)
								FROM unnest(k.argv) WITH ORDINALITY AS e (g, o))
			WHERE k.argv <> '{}'
			UNION ALL
			SELECT 0, '# ' || concat_ws(': ', 'on ' || w.name, k.message) WHERE coalesce(w.name, k.message) IS NOT NULL
			UNION ALL
			SELECT t.n, t.content FROM regexp_split_to_table(rtrim(benchorch.readable(k.log), E'\n'), E'\r?\n') WITH ORDINALITY AS t (content, n)
			WHERE length(k.log) > 0) AS l (n, content)
		WHERE logs.attempt IS NULL OR k.nth = logs.attempt
		ORDER BY k.at, l.n;
END
$$;
COMMENT ON FUNCTION benchorch.logs(bigint, int) IS
	'What a config''s runs printed (head and tail, as the worker kept them), oldest run first; of a running one what its last heartbeat brought. Line -1 is the command, line 0 the worker and the reason of a failure. Errors: 22023 NULL, 42704';
