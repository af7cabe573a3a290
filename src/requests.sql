/*
 * Single requests: what a tool tells of each, and the metrics that follow.
 *
 * request_fields says where a tool's JSON has its requests.  The canonical
 * definitions of docs/results.md are computed here once, with PostgreSQL's own
 * percentile_cont and stddev_samp, whoever measured.
 */

CREATE FUNCTION benchorch.number_of(value jsonb) RETURNS float8
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_number_of';
COMMENT ON FUNCTION benchorch.number_of(jsonb) IS 'A number, also one in a string; NULL for anything else, and where float8 cannot hold it';

CREATE FUNCTION benchorch.says_failed(value jsonb) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	SELECT CASE pg_catalog.jsonb_typeof(value)
		WHEN 'boolean' THEN value = 'true'
		WHEN 'number' THEN value <> '0'
		WHEN 'string' THEN value #>> '{}' NOT IN ('', 'null', 'None', '0', 'false')
		WHEN 'object' THEN value <> '{}'
		WHEN 'array' THEN value <> '[]'
		ELSE false END
$$;
COMMENT ON FUNCTION benchorch.says_failed(jsonb) IS 'Whether a request''s error says that it failed: true, a number other than 0, a text, something in an object or array';

CREATE FUNCTION benchorch.requests(adapter text, raw jsonb)
RETURNS TABLE (n bigint, start_s float8, ttft_s float8, e2e_s float8, itl_s float8[], input_tokens float8, output_tokens float8,
	failed boolean, request jsonb)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	f	record;
	a	record;
BEGIN
	SELECT max(r.path::text) FILTER (WHERE r.field = 'requests')::jsonpath AS requests,
		max(r.path::text) FILTER (WHERE r.field = 'failed')::jsonpath AS failed,
		max(r.path::text) FILTER (WHERE r.field = 'start_s')::jsonpath AS start, max(r.scale) FILTER (WHERE r.field = 'start_s') AS start_scale,
		max(r.path::text) FILTER (WHERE r.field = 'ttft_s')::jsonpath AS ttft, max(r.scale) FILTER (WHERE r.field = 'ttft_s') AS ttft_scale,
		max(r.path::text) FILTER (WHERE r.field = 'e2e_s')::jsonpath AS e2e, max(r.scale) FILTER (WHERE r.field = 'e2e_s') AS e2e_scale,
		max(r.path::text) FILTER (WHERE r.field = 'itl_s')::jsonpath AS itl, max(r.scale) FILTER (WHERE r.field = 'itl_s') AS itl_scale,
		max(r.path::text) FILTER (WHERE r.field = 'input_tokens')::jsonpath AS input,
		max(r.path::text) FILTER (WHERE r.field = 'output_tokens')::jsonpath AS output
	INTO f FROM benchorch.request_fields AS r WHERE r.adapter = $1;

	IF f.requests IS NOT NULL THEN
		/* one element a request */
		RETURN QUERY
		SELECT e.n,
			benchorch.number_of(jsonb_path_query_first(e.request, f.start, '{}', true)) * f.start_scale,
			benchorch.number_of(jsonb_path_query_first(e.request, f.ttft, '{}', true)) * f.ttft_scale,
			benchorch.number_of(jsonb_path_query_first(e.request, f.e2e, '{}', true)) * f.e2e_scale,
			CASE WHEN f.itl IS NOT NULL THEN
				ARRAY(SELECT benchorch.number_of(g) * f.itl_scale FROM jsonb_path_query(e.request, f.itl, '{}', true) AS g) END,
			benchorch.number_of(jsonb_path_query_first(e.request, f.input, '{}', true)),
			benchorch.number_of(jsonb_path_query_first(e.request, f.output, '{}', true)),
			benchorch.says_failed(jsonb_path_query_first(e.request, f.failed, '{}', true)),
			e.request
		FROM jsonb_path_query(raw, f.requests, '{}', true) WITH ORDINALITY AS e (request, n)
		WHERE jsonb_typeof(e.request) = 'object';
		RETURN;
	END IF;

	/* one array a field: the n-th of each is the n-th request's, so all that are there must be of one length */
	SELECT jsonb_path_query_array(raw, f.start, '{}', true) AS start, jsonb_path_query_array(raw, f.ttft, '{}', true) AS ttft,
		jsonb_path_query_array(raw, f.e2e, '{}', true) AS e2e, jsonb_path_query_first(raw, f.itl, '{}', true) AS itl,
		jsonb_path_query_array(raw, f.input, '{}', true) AS input, jsonb_path_query_array(raw, f.output, '{}', true) AS output,
		jsonb_path_query_array(raw, f.failed, '{}', true) AS failed
	INTO a;
	RETURN QUERY
	SELECT i.n, benchorch.number_of(a.start -> i.n::int - 1) * f.start_scale, benchorch.number_of(a.ttft -> i.n::int - 1) * f.ttft_scale,
		benchorch.number_of(a.e2e -> i.n::int - 1) * f.e2e_scale,
		CASE WHEN jsonb_typeof(a.itl -> i.n::int - 1) = 'array' THEN
			ARRAY(SELECT benchorch.number_of(g) * f.itl_scale FROM jsonb_array_elements(a.itl -> i.n::int - 1) AS g) END,
		benchorch.number_of(a.input -> i.n::int - 1), benchorch.number_of(a.output -> i.n::int - 1),
		benchorch.says_failed(a.failed -> i.n::int - 1), NULL::jsonb
	FROM (
		SELECT min(jsonb_array_length(v.list)) AS least, max(jsonb_array_length(v.list)) AS most
		FROM (VALUES (a.start), (a.ttft), (a.e2e), (a.itl), (a.input), (a.output), (a.failed)) AS v (list)
		WHERE CASE WHEN jsonb_typeof(v.list) = 'array' THEN v.list <> '[]' END
	) AS length, generate_series(1::bigint, length.most) AS i (n)
	WHERE length.least = length.most;
END
$$;
COMMENT ON FUNCTION benchorch.requests(text, jsonb) IS
	'The single requests in a tool''s JSON, as request_fields says where they are: seconds and tokens, NULL where it does not tell, and the element itself where it has one a request';

/*
 * One row a request with what follows from it.  The last token comes after the
 * first one and all gaps, where the tool does not say when.
 */
CREATE FUNCTION benchorch.request_times(adapter text, raw jsonb)
RETURNS TABLE (failed boolean, start_s float8, ttft_ms float8, tpot_ms float8, e2e_ms float8, itl_ms float8[], input_tokens float8,
	output_tokens float8, output_tokens_per_s float8, request jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
	SELECT r.failed, r.start_s, 1000 * t.ttft_s,
		CASE WHEN t.output_tokens > 1 AND t.e2e_s >= t.ttft_s THEN 1000 * (t.e2e_s - t.ttft_s) / (t.output_tokens - 1) END,
		1000 * t.e2e_s, ARRAY(SELECT 1000 * g FROM unnest(r.itl_s) AS g WHERE g >= 0), t.input_tokens, t.output_tokens,
		t.output_tokens / t.e2e_s, r.request
	FROM benchorch.requests($1, $2) AS r,
		LATERAL (SELECT coalesce(r.e2e_s, r.ttft_s + (SELECT sum(g) FROM unnest(r.itl_s) AS g)) AS s) AS e,
		/* a time that is not positive is none */
		LATERAL (SELECT CASE WHEN r.ttft_s > 0 THEN r.ttft_s END AS ttft_s, CASE WHEN e.s > 0 THEN e.s END AS e2e_s,
			CASE WHEN r.input_tokens >= 0 THEN r.input_tokens END AS input_tokens,
			CASE WHEN r.output_tokens >= 0 THEN r.output_tokens END AS output_tokens) AS t
$$;
COMMENT ON FUNCTION benchorch.request_times(text, jsonb) IS
	'The single requests in a tool''s JSON with TTFT, TPOT = (e2e - ttft) / (output tokens - 1), e2e (given, or ttft + its gaps) and output tokens / e2e';

CREATE FUNCTION benchorch.describe(sample float8[], OUT n bigint, OUT mean float8, OUT stddev float8, OUT min float8, OUT p25 float8,
	OUT p50 float8, OUT p75 float8, OUT p90 float8, OUT p95 float8, OUT p99 float8, OUT max float8) RETURNS record
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT v.n, v.mean, v.stddev, v.min, v.p[1], v.p[2], v.p[3], v.p[4], v.p[5], v.p[6], v.max
	FROM (SELECT count(x) AS n, avg(x) AS mean, stddev_samp(x) AS stddev, min(x) AS min, max(x) AS max,
			percentile_cont(ARRAY[0.25, 0.5, 0.75, 0.9, 0.95, 0.99]) WITHIN GROUP (ORDER BY x) AS p FROM unnest($1) AS x) AS v
$$;
COMMENT ON FUNCTION benchorch.describe(float8[]) IS
	'Number, mean, sample standard deviation, linear percentiles (percentile_cont), least and greatest of a sample; NULLs do not count';

CREATE FUNCTION benchorch.summarize_requests(adapter text, raw jsonb) RETURNS TABLE (metric text, value float8)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
	WITH request AS MATERIALIZED (
		SELECT * FROM benchorch.request_times($1, $2)
	), ok AS MATERIALIZED (
		SELECT * FROM request AS r WHERE NOT r.failed
	), spread AS (
		SELECT 'ttft' AS name, benchorch.describe(array_agg(o.ttft_ms)) AS d FROM ok AS o
		UNION ALL SELECT 'tpot', benchorch.describe(array_agg(o.tpot_ms)) FROM ok AS o
		UNION ALL SELECT 'e2e', benchorch.describe(array_agg(o.e2e_ms)) FROM ok AS o
		UNION ALL SELECT 'itl', benchorch.describe(array_agg(g)) FROM ok AS o, unnest(o.itl_ms) AS g
	), sums AS (
		SELECT count(*) AS all_requests, count(*) FILTER (WHERE NOT r.failed) AS completed,
			sum(r.input_tokens) FILTER (WHERE NOT r.failed) AS input, sum(r.output_tokens) FILTER (WHERE NOT r.failed) AS output,
			sum(r.e2e_ms) FILTER (WHERE NOT r.failed) / 1000 AS busy,
			coalesce((SELECT benchorch.number_of(jsonb_path_query_first($2, f.path, '{}', true)) * f.scale
					FROM benchorch.request_fields AS f WHERE f.adapter = $1 AND f.field = 'duration_s'),
				CASE WHEN count(*) FILTER (WHERE NOT r.failed) = count(r.start_s + r.e2e_ms) FILTER (WHERE NOT r.failed) THEN
					max(r.start_s + r.e2e_ms / 1000) FILTER (WHERE NOT r.failed) - min(r.start_s) END) AS duration
		FROM request AS r
	)
	SELECT s.name || '_' || v.statistic || '_ms', v.value
	FROM spread AS s, LATERAL (VALUES ('mean', (s.d).mean), ('p50', (s.d).p50), ('p90', (s.d).p90), ('p95', (s.d).p95), ('p99', (s.d).p99))
		AS v (statistic, value)
	UNION ALL
	SELECT v.metric, v.value
	FROM sums AS s, LATERAL (VALUES ('requests_completed', s.completed::float8), ('requests_failed', s.all_requests - s.completed),
		('input_tokens', s.input), ('output_tokens', s.output), ('duration_s', s.duration),
		('requests_per_s', s.completed / nullif(s.duration, 0)), ('output_tokens_per_s', s.output / nullif(s.duration, 0)),
		('total_tokens_per_s', (s.input + s.output) / nullif(s.duration, 0)),
		('concurrency_mean', s.busy / nullif(s.duration, 0))) AS v (metric, value)
	WHERE s.all_requests > 0
$$;
COMMENT ON FUNCTION benchorch.summarize_requests(text, jsonb) IS
	'The canonical metrics of the single requests in a tool''s JSON; those that failed count as failed and for nothing else. Duration: the document''s, else from the first start to the last token';

CREATE FUNCTION benchorch.request_statistics(adapter text, raw jsonb)
RETURNS TABLE (metric text, n bigint, mean float8, stddev float8, min float8, p25 float8, p50 float8, p75 float8, p90 float8, p95 float8,
	p99 float8, max float8)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
	WITH ok AS MATERIALIZED (
		SELECT * FROM benchorch.request_times($1, $2) AS r WHERE NOT r.failed
	), sample AS (
		SELECT v.position, v.metric, v.value FROM ok AS o, LATERAL (VALUES (1, 'ttft_ms', o.ttft_ms), (2, 'tpot_ms', o.tpot_ms),
			(4, 'e2e_ms', o.e2e_ms), (5, 'input_tokens', o.input_tokens), (6, 'output_tokens', o.output_tokens),
			(7, 'output_tokens_per_s', o.output_tokens_per_s)) AS v (position, metric, value)
		UNION ALL
		SELECT 3, 'itl_ms', g FROM ok AS o, unnest(o.itl_ms) AS g
		UNION ALL
		SELECT 8, 'own ' || m.key, benchorch.number_of(m.value) FROM ok AS o, jsonb_each(o.request) AS m WHERE jsonb_typeof(m.value) = 'number'
	)
	SELECT s.metric, d.* FROM (SELECT position, metric, array_agg(value) AS values FROM sample GROUP BY 1, 2) AS s,
		LATERAL benchorch.describe(s.values) AS d
	WHERE d.n > 0 ORDER BY s.position, s.metric COLLATE "C"
$$;
COMMENT ON FUNCTION benchorch.request_statistics(text, jsonb) IS
	'Of the requests that completed: number, mean, sample standard deviation and linear percentiles of every canonical figure of a request, and of every number in the tool''s own elements ("own NAME", in its own unit)';
