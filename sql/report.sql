-- report_html: one page, whatever the state, and nothing in a table becomes markup.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();
SELECT benchorch.report_html(NULL);
SELECT benchorch.report_html('00000000-0000-0000-0000-0000000000ff');

-- Which tags a page has, those of the chart library aside
CREATE FUNCTION pg_temp.page(model uuid) RETURNS text LANGUAGE sql AS $$
	SELECT replace(benchorch.report_html(model), (SELECT script FROM benchorch.chart_library()), '')
$$;
CREATE FUNCTION pg_temp.headings(model uuid) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT m[1] FROM regexp_matches(pg_temp.page(model), '<h[123]>(.*?)</h[123]>', 'g') AS m
$$;
\set model '''00000000-0000-0000-0000-0000000000aa'''
\set evil '<script>alert("x")</script>&amp;''</title><!--'
SELECT benchorch.register_model(:'evil', :model, source => :'evil') IS NOT NULL AS registered;
-- Without a matrix, without a result
SELECT * FROM pg_temp.headings(:model);
SELECT benchorch.register_hardware(:'evil', '{"gpu_count": 1, "price_per_hour": 1}') IS NOT NULL AS registered;
SELECT benchorch.register_framework(:'evil', '{"command": ["tool"], "adapter": "benchorch-engine"}') IS NOT NULL AS registered;
SELECT benchorch.register_workload(:'evil', '{}');
SELECT benchorch.create_template('odd', jsonb_build_object('hardware', ARRAY[:'evil'], 'frameworks', ARRAY[:'evil'], 'workloads', ARRAY[:'evil'],
	'batch_sizes', ARRAY[1, 2, 4], 'sequence_lengths', ARRAY[1024], 'dimensions', jsonb_build_object('flag', jsonb_build_object('kind', 'engine', 'values', ARRAY[:'evil'])))) IS NOT NULL AS created;
SELECT created FROM benchorch.populate_matrix(:model, template => 'odd');
SELECT * FROM pg_temp.headings(:model);
CREATE TEMP TABLE claimed AS SELECT * FROM benchorch.claim_batch(10, model_version_id => :model);
SELECT count(*) FROM claimed AS c, LATERAL benchorch.complete(c.config_id, c.claim_id, jsonb_build_object('tool', 'benchorch-engine',
	'output_tokens_per_s', 100 * batch_size, 'ttft_ms', jsonb_build_object('p50', 10), 'tpot_ms', jsonb_build_object('p50', 10 * batch_size))) WHERE batch_size < 4;
SELECT benchorch.update_status(config_id, 'failed', :'evil', claim_id, 'unsupported') FROM claimed WHERE batch_size = 4;
SELECT benchorch.finalize(:model);
SELECT * FROM pg_temp.headings(:model);
-- The only scripts are the data, the library and the page's own; nothing of ours got in
SELECT m[1] FROM regexp_matches(pg_temp.page(:model), '<(script[^>]*|!--)', 'g') AS m;
SELECT pg_temp.page(:model) ~ 'alert\("x"\)' AS raw, regexp_count FROM (SELECT (length(p) - length(replace(p, 'alert(&quot;x&quot;)', ''))) > 0 AS regexp_count
	FROM pg_temp.page(:model) AS p) AS escaped;
-- It loads nothing
SELECT pg_temp.page(:model) ~* '(src|href)\s*=|@import|url\(|fetch\(' AS loads, benchorch.report_html(:model) ~ 'default-src ''none''' AS forbidden;
-- Its data are JSON without a "<": pace, and two cells on the frontier of one workload
SELECT d.data !~ '<' AS safe, (d.data::jsonb) -> 'pareto' AS pareto
FROM (SELECT (regexp_match(pg_temp.page(:model), 'id="data">(.*?)</script>'))[1] AS data) AS d;
-- Figures
SELECT v, benchorch.figure(v) FROM unnest(ARRAY[0, 1234567.8, 12.3456, 0.00123456, -5.5555, 1e300]::float8[]) AS v;
-- While paused, and after its runs were archived
SELECT benchorch.pause(:model);
SELECT pg_temp.page(:model) ~ 'paused' AS told;
SELECT benchorch.archive_completed('-1 hour') AS archived;
SELECT count(*) > 5 AS headings FROM pg_temp.headings(:model);
ROLLBACK;
