-- What an operator calls: cancel, retry, pause, priorities, submissions, workers, the archive, lists.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set SHOW_CONTEXT never
\set VERBOSITY terse
\set m '\'00000000-0000-0000-0000-000000000001\''
\set other '\'00000000-0000-0000-0000-000000000002\''
\set nobody '\'ffffffff-0000-0000-0000-000000000000\''
SELECT benchorch.seed_reference_data();
SELECT count(benchorch.register_model('m', id::uuid)) FROM (VALUES (:m), (:other)) AS s (id);
SELECT benchorch.create_template('ten', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"batch_sizes": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "sequence_lengths": [1024]}') > 0 AS made;
SELECT count(benchorch.populate_matrix(id::uuid, template => 'ten')) FROM (VALUES (:m), (:other)) AS s (id);
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text;
BEGIN
	EXECUTE statement;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN state || ': ' || regexp_replace(message, '\d{4,}|config \d+', '...', 'g');
END $$;
CREATE TEMP VIEW state AS SELECT CASE WHEN model_version_id = '00000000-0000-0000-0000-000000000001' THEN 'm' ELSE 'other' END AS model, status, count(*),
	min(priority) AS least, max(priority) AS most FROM benchorch.benchmark_configs GROUP BY 1, 2 ORDER BY 1, 2;

-- arguments
SELECT f, pg_temp.refusal(format('SELECT benchorch.%s(NULL%s)', f, a)) AS for_null,
	pg_temp.refusal(format('SELECT benchorch.%s(%L%s)', f, :nobody, a)) AS for_unknown
FROM (VALUES ('cancel', ''), ('retry_failed', ''), ('pause', ''), ('resume', ''), ('reprioritize', ', 1'), ('drain_worker', ''),
	('quarantine_worker', ', ''why'''), ('unquarantine_worker', ''), ('list_configs', ''), ('watch', '')) AS s (f, a);
SELECT pg_temp.refusal(format('SELECT benchorch.reprioritize(%L, NULL)', :m));
SELECT pg_temp.refusal(format('SELECT benchorch.retry_failed(%L, %L)', :m, 'nonsense'));
SELECT pg_temp.refusal('SELECT benchorch.archive_completed(NULL)');
SELECT * FROM state;

-- cancel ends what is open, running claims at once, of one model version only
CREATE TEMP TABLE held AS SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) AS n FROM benchorch.claim_batch(4, model_version_id => :m);
SELECT benchorch.complete(config_id, claim_id, '{"output_tokens_per_s": 1}') IS NOT NULL AS completed FROM held WHERE n = 1;
SELECT benchorch.update_status(config_id, 'failed', outcome => 'unsupported') FROM held WHERE n = 2;
SELECT benchorch.cancel(:m);
SELECT benchorch.cancel(:m);
SELECT * FROM state;
SELECT DISTINCT pg_temp.refusal(format('SELECT benchorch.complete(%s, %s, %L)', config_id, claim_id, '{}')) FROM held WHERE n > 2;
SELECT count(*) FROM benchorch.claim_batch(model_version_id => :m);
SELECT * FROM benchorch.check_invariants();

-- retry_failed: by outcome, or all that failed or was cancelled; what has completed stays
SELECT benchorch.retry_failed(:m, 'crash');
SELECT benchorch.retry_failed(:m, 'unsupported');
SELECT * FROM state WHERE model = 'm';
SELECT benchorch.retry_failed(:m);
SELECT benchorch.retry_failed(:m);
SELECT * FROM state WHERE model = 'm';
SELECT count(*) FROM benchorch.benchmark_configs WHERE status = 'pending' AND (completed_at IS NOT NULL OR started_at IS NOT NULL OR claim_id IS NOT NULL OR error_message IS NOT NULL);
SELECT * FROM benchorch.check_invariants();

-- pause: nothing is claimed, what runs goes on, put-backs wait too; resume makes it all claimable
SELECT count(*) FROM benchorch.claim_batch(3, model_version_id => :m);
SELECT benchorch.pause(:m);
SELECT benchorch.pause(:m);
SELECT count(*) FROM benchorch.claim_batch(model_version_id => :m);
SELECT benchorch.reset_stale(0);
SELECT count(*) FROM benchorch.claim_batch(model_version_id => :m);
UPDATE benchorch.benchmark_configs SET priority = 3 WHERE model_version_id = :m AND status = 'pending' AND batch_size = 4;
SELECT count(*) FROM benchorch.claim_batch(model_version_id => :m);
SELECT count(*) AS other_goes_on FROM benchorch.claim_batch(2);
SELECT * FROM benchorch.check_invariants();
SELECT benchorch.resume(:m);
SELECT benchorch.resume(:m);
SELECT * FROM benchorch.check_invariants();
SELECT count(*), count(DISTINCT config_id), min(priority) FROM benchorch.claim_batch(model_version_id => :m);
SELECT benchorch.reset_stale(0);

-- reprioritize: pending and running, in both kinds of claim at once
SELECT count(*) FROM benchorch.claim_batch(2, model_version_id => :m);
SELECT benchorch.reprioritize(:m, -1000);
SELECT * FROM state;
SELECT max(priority) < 0 AS m_first, count(*) FROM benchorch.claim_batch(7);
SELECT benchorch.reprioritize(:m, 3000);
SELECT count(*) FROM benchorch.claim_batch(model_version_id => :m);
SELECT benchorch.reset_stale(0) > 0 AS put_back;
SELECT count(*) AS over_the_threshold FROM benchorch.claim_batch(model_version_id => :m);
SELECT benchorch.reprioritize(:m, -2000);
SELECT count(*) FROM benchorch.claim_batch(model_version_id => :m);
SELECT * FROM benchorch.check_invariants();
SELECT benchorch.reset_stale(0) > 0 AS put_back;

-- submit: one config for each element, any hardware
SELECT benchorch.submit('vLLM', '["Argo", "Is", {"a": [1, null]}, null, 5]', 'say') AS s \gset
SELECT name, submission FROM benchorch.model_versions WHERE id = :'s';
SELECT params -> 'item' AS item, hardware_config_id, workload_type, batch_size, sequence_length, gpus, status FROM benchorch.benchmark_configs WHERE model_version_id = :'s' ORDER BY id;
SELECT (benchorch.progress(:'s') - 'eta') -> 'total' AS total;
SELECT benchorch.register_worker('any', 'p4d.24xlarge', '{vLLM}') AS w \gset
SELECT params -> 'item' AS item, hardware_name, input_tokens, model_name FROM benchorch.claim_batch(1, worker_id => :'w');
SELECT count(*) FROM benchorch.claim_batch(10, worker_id => :'w');
SELECT count(*) FROM benchorch.complete_many((SELECT array_agg(id) FROM benchorch.benchmark_configs WHERE model_version_id = :'s'),
	(SELECT array_agg(claim_id) FROM benchorch.benchmark_configs WHERE model_version_id = :'s'), (SELECT array_agg('{"said": true}'::text) FROM benchorch.benchmark_configs WHERE model_version_id = :'s')) WHERE sqlstate IS NULL;
SELECT benchorch.finalize(:'s');
SELECT pg_temp.refusal('SELECT benchorch.submit(NULL, ''[1]'')');
SELECT pg_temp.refusal('SELECT benchorch.submit(''vLLM'', NULL)');
SELECT pg_temp.refusal('SELECT benchorch.submit(''vLLM'', ''[]'')');
SELECT pg_temp.refusal('SELECT benchorch.submit(''vLLM'', ''{}'')');
SELECT pg_temp.refusal('SELECT benchorch.submit(''vLLM'', ''"x"'')');
SELECT pg_temp.refusal('SELECT benchorch.submit(''unheard of'', ''[1]'')');
SELECT count(*) FROM benchorch.model_versions WHERE submission;
SELECT * FROM benchorch.check_invariants();

-- workers: drained and quarantined ones claim no more and hand back what they have not begun
SELECT benchorch.register_worker('g5', 'g5.xlarge', '{vLLM}') AS g \gset
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) FROM benchorch.claim_batch(5, worker_id => :'g');
SELECT benchorch.start(config_id, claim_id) FROM held WHERE n = 1;
SELECT benchorch.drain_worker(:'g') = (SELECT count(*) - 1 FROM held) AS handed_back;
SELECT state FROM benchorch.workers WHERE id = :'g';
SELECT count(*) FROM benchorch.claim_batch(5, worker_id => :'g');
SELECT benchorch.complete(config_id, claim_id, '{"output_tokens_per_s": 1}') IS NOT NULL AS what_runs_goes_on FROM held WHERE n = 1;
SELECT benchorch.register_worker('g5', 'g5.xlarge', '{vLLM}') = :'g' AS same, (SELECT state FROM benchorch.workers WHERE id = :'g');
SELECT state FROM benchorch.workers WHERE id = :'g';
SELECT count(*) > 0 AS claims_again FROM benchorch.claim_batch(5, worker_id => :'g');
SELECT benchorch.quarantine_worker(:'g', 'it smokes') > 0 AS handed_back;
SELECT benchorch.register_worker('g5', 'g5.xlarge', '{vLLM}') = :'g' AS same;
SELECT state, reason FROM benchorch.workers WHERE id = :'g';
SELECT count(*) FROM benchorch.claim_batch(5, worker_id => :'g');
SELECT benchorch.explain_empty(:'g') LIKE '%quarantined%it smokes%' AS told_why;
SELECT benchorch.unquarantine_worker(:'g');
SELECT state, reason FROM benchorch.workers WHERE id = :'g';
SELECT count(*) > 0 AS claims_again FROM benchorch.claim_batch(5, worker_id => :'g');
SELECT benchorch.release(:'g') > 0 AS released;
SELECT pg_temp.refusal(format('SELECT benchorch.quarantine_worker(%L, NULL)', :'g'));
SELECT * FROM benchorch.check_invariants();

-- explain_empty: the five things that an empty batch can mean, and more
SELECT benchorch.register_model('empty', '00000000-0000-0000-0000-000000000003') IS NOT NULL AS registered;
SELECT benchorch.explain_empty(model_version_id => '00000000-0000-0000-0000-000000000003');
SELECT benchorch.explain_empty(model_version_id => :'s');
SELECT benchorch.explain_empty(model_version_id => :m);
SELECT benchorch.explain_empty(model_version_id => :m, priority_threshold => 5);
SELECT benchorch.explain_empty(:'w', :m);
SELECT benchorch.pause(:m) > 0 AS paused;
SELECT benchorch.explain_empty(model_version_id => :m);
SELECT benchorch.resume(:m) > 0 AS resumed;
SELECT count(*) > 0 AS claimed FROM benchorch.claim_batch(500, model_version_id => :m);
SELECT benchorch.explain_empty(model_version_id => :m) ~ 'held' AS held_by_others;
SELECT benchorch.update_status(id, 'failed', outcome => 'crash') AS now, count(*) FROM benchorch.benchmark_configs WHERE model_version_id = :m AND status = 'running' GROUP BY 1;
SELECT benchorch.explain_empty(model_version_id => :m) ~ 'retry time' AS waiting;
SELECT pg_temp.refusal('SELECT benchorch.explain_empty(priority_threshold => NULL)');
SELECT pg_temp.refusal(format('SELECT benchorch.explain_empty(%L)', :nobody));

-- list_configs: pages in id order
SELECT count(*), bool_and(model_version_id = :m) FROM benchorch.list_configs(:m);
SELECT count(*) FROM benchorch.list_configs(:m, max_rows => 0);
DO $$
DECLARE last bigint := 0; page bigint[]; seen bigint[] := '{}';
BEGIN
	LOOP
		page := ARRAY(SELECT id FROM benchorch.list_configs('00000000-0000-0000-0000-000000000001', NULL, 3, last));
		EXIT WHEN page = '{}';
		seen := seen || page;
		last := page[cardinality(page)];
	END LOOP;
	RAISE WARNING 'every config once and in order: %', seen = ARRAY(SELECT id FROM benchorch.benchmark_configs
		WHERE model_version_id = '00000000-0000-0000-0000-000000000001' ORDER BY id);
END $$;
SELECT status, count(*) FROM benchorch.list_configs(:m, 'completed') GROUP BY 1;
SELECT pg_temp.refusal(format('SELECT benchorch.list_configs(%L, %L)', :m, 'done'));
SELECT pg_temp.refusal(format('SELECT benchorch.list_configs(%L, max_rows => -1)', :m));
SELECT pg_temp.refusal(format('SELECT benchorch.list_configs(%L, max_rows => NULL)', :m));
SELECT pg_temp.refusal(format('SELECT benchorch.list_configs(%L, after_id => NULL)', :m));

-- the archive: with results, and nothing is lost
SELECT status, count(*) FROM benchorch.benchmark_configs GROUP BY 1 ORDER BY 1;
SELECT benchorch.archive_completed();
UPDATE benchorch.benchmark_configs SET completed_at = now() - interval '91 days' WHERE status = 'completed' AND model_version_id = :m;
SELECT benchorch.archive_completed();
SELECT benchorch.archive_completed('0 s');
SELECT (SELECT count(*) FROM benchorch.archived_configs) AS configs, (SELECT count(*) FROM benchorch.archived_results) AS results,
	(SELECT count(*) FROM benchorch.benchmark_results) AS results_left;
SELECT bool_and(c.status = 'completed' AND r.accepted AND r.claim_id = c.claim_id AND r.parsed IS NOT NULL) AS whole
FROM benchorch.archived_configs c LEFT JOIN benchorch.archived_results r ON r.config_id = c.id;
SELECT created, existing FROM benchorch.populate_matrix(:m, template => 'ten');
SELECT * FROM benchorch.check_invariants();

-- the bar
SELECT regexp_replace(w, '\d\d:\d\d:\d\d', 'hh:mm:ss') AS watch FROM benchorch.watch(:other) AS w;
-- without pg_cron: a clear error, and the next step
SELECT pg_temp.refusal('SELECT benchorch.schedule_maintenance()');
SELECT pg_temp.refusal('SELECT benchorch.schedule_maintenance(NULL)');
SELECT pg_temp.refusal('SELECT benchorch.schedule_maintenance(timeout_minutes => -1)');
SELECT pg_temp.refusal('SELECT benchorch.unschedule_maintenance()');
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
