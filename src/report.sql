/*
 * report_html: what is known of a model version, on one page that needs no
 * network: the chart library (vendor/uplot) is in it, and its policy forbids
 * it to load anything.
 *
 * Everything that comes out of a table goes through html(), or, for the
 * charts, through JSON in which no "<" is left, so that no name and no message
 * becomes markup.  The page is made of sections, a function each; a section
 * that has nothing to say is left out.
 */

CREATE FUNCTION benchorch.html(value text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT replace(replace(replace(replace(replace(coalesce(value, ''), '&', '&amp;'), '<', '&lt;'), '>', '&gt;'), '"', '&quot;'), '''', '&#39;')
$$;
COMMENT ON FUNCTION benchorch.html(text) IS 'Text as it may stand in HTML, attributes included; NULL is empty';

/* Numbers are right-aligned by the page's script-free means: a class a cell. */
CREATE FUNCTION benchorch.html_row(tag text, cells text[]) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<tr>' || string_agg(format('<%1$s%2$s>%3$s</%1$s>', tag,
		CASE WHEN tag = 'td' AND c.cell ~ '^-?[0-9][0-9., ]*$' THEN ' class="n"' ELSE '' END, benchorch.html(c.cell)), '' ORDER BY c.i) || '</tr>'
	FROM unnest(cells) WITH ORDINALITY AS c (cell, i)
$$;
COMMENT ON FUNCTION benchorch.html_row(text, text[]) IS 'A row of a table of th or td; the cells are escaped';

CREATE FUNCTION benchorch.html_section(title text, headers text[], rows text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section><h2>' || benchorch.html(title) || '</h2><table><thead>' || benchorch.html_row('th', headers)
		|| '</thead><tbody>' || rows || '</tbody></table></section>'
$$;
COMMENT ON FUNCTION benchorch.html_section(text, text[], text) IS 'A titled table; rows are html_row()s, NULL gives NULL';

/* A figure with three significant digits or more, as people read it. */
CREATE FUNCTION benchorch.figure(value float8) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT CASE WHEN value IS NULL THEN NULL WHEN value = 0 THEN '0' WHEN abs(value) >= 1e15 OR abs(value) < 1e-6 THEN value::text
		ELSE trim_scale(round(value::numeric, greatest(0, 2 - floor(log(abs(value)::numeric))::int)))::text END
$$;
COMMENT ON FUNCTION benchorch.figure(float8) IS 'A number rounded to at least three significant digits';

CREATE FUNCTION benchorch.report_progress(model_version_id uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section><h2>Progress</h2><p>' || benchorch.html(format('%s %% completed, %s %% settled, of %s configs', p.p ->> 'progress_pct',
			p.p ->> 'settled_pct', p.p ->> 'total')) || '</p><div class="bar">'
		|| coalesce((SELECT string_agg(format('<i class="%s" style="flex-grow:%s" title="%s"></i>', s, p.p ->> s, s || ': ' || (p.p ->> s)), '' ORDER BY i)
			FROM unnest(ARRAY['completed', 'failed', 'skipped', 'cancelled', 'running', 'pending']) WITH ORDINALITY AS u (s, i)
			WHERE (p.p ->> s)::bigint > 0), '')
		|| '</div><p class="key">' || (SELECT string_agg(format('<i class="%s"></i>%s %s', s, s, p.p ->> s), ' ' ORDER BY i)
			FROM unnest(ARRAY['completed', 'failed', 'skipped', 'cancelled', 'running', 'pending']) WITH ORDINALITY AS u (s, i))
		|| '</p><div id="pace" class="chart"></div></section>'
	FROM (SELECT benchorch.progress($1) AS p) AS p
$$;
COMMENT ON FUNCTION benchorch.report_progress(uuid) IS 'Part of report_html(): counts by status, and where the chart of the pace goes';

CREATE FUNCTION benchorch.report_lanes(model_version_id uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT benchorch.html_section('Lanes', ARRAY['hardware', 'framework', 'GPUs', 'engine', 'configs', 'completed', 'failed', 'skipped', 'open'],
		string_agg(benchorch.html_row('td', ARRAY[l.hardware, l.framework, l.gpus::text, l.engine, l.n::text, l.completed::text, l.failed::text,
			l.skipped::text, l.open::text]), '' ORDER BY l.hardware, l.framework, l.gpus, l.engine))
	FROM (SELECT coalesce(h.name, 'any') AS hardware, f.name AS framework, l.gpus, nullif(l.engine, '{}')::text AS engine, count(*) AS n,
			count(*) FILTER (WHERE c.status = 'completed') AS completed, count(*) FILTER (WHERE c.status = 'failed') AS failed,
			count(*) FILTER (WHERE c.status IN ('skipped', 'cancelled')) AS skipped,
			count(*) FILTER (WHERE c.status IN ('pending', 'running')) AS open
		FROM benchorch.benchmark_configs AS c JOIN benchorch.lanes AS l ON l.id = c.lane_id
		LEFT JOIN benchorch.hardware_configs AS h ON h.id = l.hardware_config_id LEFT JOIN benchorch.frameworks AS f ON f.id = l.framework_id
		WHERE c.model_version_id = $1 GROUP BY l.id, h.name, f.name ORDER BY count(*) DESC LIMIT 500) AS l
$$;
COMMENT ON FUNCTION benchorch.report_lanes(uuid) IS 'Part of report_html(): the 500 largest lanes; NULL without configs';

CREATE FUNCTION benchorch.report_failures(model_version_id uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT benchorch.html_section('Failures', ARRAY['configs', 'outcome', 'message', 'lanes', 'for example'], string_agg(benchorch.html_row('td',
		ARRAY[a.configs::text, a.outcome, left(a.error_message, 300), a.lanes::text, 'config ' || array_to_string(a.examples, ', ')]), ''
		ORDER BY a.configs DESC, a.error_message))
	FROM (SELECT * FROM benchorch.failure_analysis AS a WHERE a.model_version_id = $1 LIMIT 50) AS a
$$;
COMMENT ON FUNCTION benchorch.report_failures(uuid) IS 'Part of report_html(): the 50 most frequent failures; NULL where nothing failed';

CREATE FUNCTION benchorch.report_flags(model_version_id uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT benchorch.html_section('Left out of rankings', ARRAY['check', 'results', 'for example', 'its figures'], string_agg(benchorch.html_row('td',
		ARRAY[f.flag, f.n::text, 'config ' || f.config_id, left(f.figures, 300)]), '' ORDER BY f.n DESC, f.flag))
	FROM (SELECT e.key AS flag, count(*) AS n, min(r.config_id) AS config_id, (array_agg(e.value::text ORDER BY r.config_id))[1] AS figures
		FROM benchorch.benchmark_results AS r, jsonb_each(r.flags) AS e
		WHERE r.model_version_id = $1 AND r.accepted AND r.superseded_at IS NULL GROUP BY e.key) AS f
$$;
COMMENT ON FUNCTION benchorch.report_flags(uuid) IS 'Part of report_html(): which checks flagged how many results; NULL where none did';

CREATE FUNCTION benchorch.report_rankings(model_version_id uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT string_agg(t.part, '' ORDER BY t.position)
	FROM (
		SELECT o.position, benchorch.html_section(o.title, ARRAY['workload', 'rank', 'hardware', 'framework', 'GPUs', 'batch', 'length', 'params',
				o.unit, 'from', 'to', 'runs'],
			string_agg(benchorch.html_row('td', ARRAY[r.workload_type, r.rank::text, r.hardware, r.framework, r.gpus::text, r.batch_size::text,
				r.sequence_length::text, nullif(r.params, '{}')::text, benchorch.figure(r.value), benchorch.figure(r.low), benchorch.figure(r.high),
				r.n::text]), '' ORDER BY r.workload_type, r.method, r.rank, r.hardware, r.framework, r.config_id)) AS part
		FROM (VALUES (1, 'score', 'Best by score', 'score'), (2, 'tokens_per_s_per_gpu', 'Most tokens per second and GPU', 'tokens/s/GPU'),
				(3, 'ttft', 'Least time to first token', 'ms'), (4, 'cost_per_million_tokens', 'Least cost', 'per 1e6 output tokens')
			) AS o (position, objective, title, unit)
		CROSS JOIN LATERAL benchorch.rank_configs($1, o.objective, max_rows => 5) AS r
		GROUP BY o.position, o.title, o.unit
	) AS t
$$;
COMMENT ON FUNCTION benchorch.report_rankings(uuid) IS 'Part of report_html(): the first five of each workload by score, throughput, TTFT and cost; NULL where nothing is ranked';

CREATE FUNCTION benchorch.report_pareto(model_version_id uuid) RETURNS text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT '<section><h2>Interactivity against throughput</h2>'
		|| string_agg(format('<h3>%s</h3><div id="pareto%s" class="chart"></div>', benchorch.html(w.workload_type), w.i), '' ORDER BY w.i) || '</section>'
		|| (SELECT benchorch.html_section('The frontier', ARRAY['workload', 'tokens/s/user', 'tokens/s/GPU', 'hardware', 'framework', 'GPUs', 'batch', 'length', 'params'],
			string_agg(benchorch.html_row('td', ARRAY[p.workload_type, benchorch.figure(p.tokens_per_s_per_user), benchorch.figure(p.tokens_per_s_per_gpu),
				p.hardware, p.framework, p.gpus::text, p.batch_size::text, p.sequence_length::text, nullif(p.params, '{}')::text]), '' ORDER BY p.workload_type, p.method,
				p.tokens_per_s_per_user DESC, p.config_id))
			FROM (SELECT * FROM benchorch.pareto($1) LIMIT 200) AS p)
	FROM (SELECT s.workload_type, row_number() OVER (ORDER BY s.workload_type) AS i FROM benchorch.cell_statistics AS s
		WHERE s.model_version_id = $1 AND s.on_frontier GROUP BY s.workload_type) AS w
	HAVING count(*) > 0
$$;
COMMENT ON FUNCTION benchorch.report_pareto(uuid) IS 'Part of report_html(): where the charts of the frontier go, and its cells; NULL where nothing is ranked';

/* At most 2,000 cells a workload, those on the frontier first: a page must stay a page. */
CREATE FUNCTION benchorch.report_data(model_version_id uuid) RETURNS jsonb
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT jsonb_build_object(
		'pace', (SELECT jsonb_build_array(coalesce(jsonb_agg(extract(epoch FROM t.hour) ORDER BY t.hour), '[]'),
				coalesce(jsonb_agg(t.done ORDER BY t.hour), '[]'))
			FROM (SELECT p.hour, sum(p.configs_completed + p.configs_failed) OVER (ORDER BY p.hour) AS done
				FROM benchorch.progress_over_time AS p WHERE p.model_version_id = $1) AS t),
		'pareto', (SELECT coalesce(jsonb_agg(w.points ORDER BY w.workload_type), '[]') FROM (
			SELECT c.workload_type, jsonb_build_array(jsonb_agg(c.x ORDER BY c.x, c.y), jsonb_agg(c.y ORDER BY c.x, c.y),
				jsonb_agg(CASE WHEN c.on_frontier THEN c.y END ORDER BY c.x, c.y)) AS points
			FROM (SELECT s.workload_type, s.tokens_per_s_per_user AS x, s.tokens_per_s_per_gpu AS y, s.on_frontier,
					row_number() OVER (PARTITION BY s.workload_type ORDER BY s.on_frontier DESC, s.score DESC NULLS LAST, s.config_id) AS place,
					bool_or(s.on_frontier) OVER (PARTITION BY s.workload_type) AS any_frontier
				FROM benchorch.cell_statistics AS s
				WHERE s.model_version_id = $1 AND s.flags = '{}' AND s.tokens_per_s_per_user IS NOT NULL AND s.tokens_per_s_per_gpu IS NOT NULL) AS c
			WHERE c.place <= 2000 AND c.any_frontier GROUP BY c.workload_type) AS w))
$$;
COMMENT ON FUNCTION benchorch.report_data(uuid) IS 'Part of report_html(): what its charts draw';

CREATE FUNCTION benchorch.report_html(model_version_id uuid) RETURNS text
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
DECLARE
	model benchorch.model_versions;
	library record;
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	SELECT * INTO model FROM benchorch.model_versions AS m WHERE m.id = report_html.model_version_id;
	SELECT * INTO library FROM benchorch.chart_library();
	RETURN concat('<!DOCTYPE html>', E'\n', '<html lang="en"><head><meta charset="utf-8"><title>', benchorch.html(model.name), '</title>',
		'<meta name="viewport" content="width=device-width">',
		'<meta http-equiv="Content-Security-Policy" content="default-src ''none''; style-src ''unsafe-inline''; script-src ''unsafe-inline''">',
		E'\n<!-- The charts are drawn by uPlot:\n', benchorch.html(library.license), E'\n-->\n',
		'<style>', library.style, '
body{font:15px/1.45 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem;color:#222;background:#fff}
h1{margin-bottom:0}h2{margin:2rem 0 .5rem}h3{margin:1rem 0 0;font-weight:500}.sub{color:#666;margin-top:.2rem}
table{border-collapse:collapse;font-size:.87em;width:100%;display:block;overflow-x:auto}
th,td{padding:.25rem .6rem;border-bottom:1px solid #e4e4e4;text-align:left;vertical-align:top}th{background:#f6f6f6}td.n{text-align:right;font-variant-numeric:tabular-nums}
.bar{display:flex;height:1.4rem;border-radius:.3rem;overflow:hidden;background:#eee}.key i{display:inline-block;width:.8em;height:.8em;margin:0 .3em 0 1em;border-radius:2px}
.completed{background:#3a9d5d}.failed{background:#cf3f3f}.skipped{background:#b9b9b9}.cancelled{background:#8a8a8a}.running{background:#3f7fcf}.pending{background:#dcdcdc}
.chart{margin:.5rem 0}
</style></head><body>', E'\n',
		'<h1>', benchorch.html(model.name), '</h1><p class="sub">', benchorch.html(concat_ws(', ', nullif(model.source, model.name), model.id::text,
			CASE WHEN model.paused_by = 'budget' THEN 'budget used up' WHEN model.paused THEN 'paused'
				WHEN model.finalized_at IS NOT NULL THEN 'ranked ' || to_char(model.finalized_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"') END,
			'as of ' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI "UTC"'))), '</p>', E'\n',
		benchorch.report_progress(model_version_id), E'\n',
		coalesce(benchorch.report_pareto(model_version_id) || E'\n' || benchorch.report_rankings(model_version_id),
			'<section><h2>Rankings</h2><p>Nothing has been ranked yet.</p></section>'), E'\n',
		benchorch.report_failures(model_version_id), benchorch.report_flags(model_version_id), benchorch.report_lanes(model_version_id), E'\n',
		'<script type="application/json" id="data">', replace(benchorch.report_data(model_version_id)::text, '<', '\u003c'), '</script>', E'\n',
		'<script>', library.script, '</script>', E'\n', '<script>
"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const width = () => Math.min(document.body.clientWidth, 1100);
const grid = {stroke: "#eee"};
if (data.pace[0].length > 1)
	new uPlot({width: width(), height: 220, title: "settled", legend: {show: false},
		series: [{}, {label: "settled", stroke: "#3a9d5d", fill: "#3a9d5d22"}], axes: [{grid}, {grid}]}, data.pace, document.getElementById("pace"));
data.pareto.forEach((points, i) => new uPlot({
	width: width(), height: 340, scales: {x: {time: false}},
	series: [{label: "tokens/s/user"},
		{label: "tokens/s/GPU", stroke: "#999", paths: () => null, points: {show: true, size: 5, fill: "#999"}},
		{label: "frontier", stroke: "#cf3f3f", width: 2, spanGaps: true, points: {show: true, size: 7, fill: "#cf3f3f"}}],
	axes: [{grid, label: "tokens/s/user"}, {grid, label: "tokens/s/GPU"}]}, points, document.getElementById("pareto" + (i + 1))));
</script></body></html>', E'\n');
END
$$;
COMMENT ON FUNCTION benchorch.report_html(uuid) IS
	'Everything about a model version on one self-contained page: progress, the frontier, rankings, failures, flagged results, lanes. Loads nothing; everything from tables is escaped. psql -XAtqc "SELECT benchorch.report_html(''...'')" > report.html. Errors: 22023 NULL, 42704';
