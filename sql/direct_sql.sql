-- Statements typed directly against benchmark_configs end in the same rules as the calls.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set SHOW_CONTEXT never
\set VERBOSITY default
SELECT benchorch.seed_reference_data();
SELECT count(benchorch.register_model('m' || n, ('00000000-0000-0000-0000-00000000000' || n)::uuid)) FROM generate_series(1, 5) n;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001');
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text;
BEGIN
	EXECUTE statement;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN state || ': ' || regexp_replace(message, '\d{4,}|config \d+', '...', 'g');
END $$;

-- The replaced system's own statements, as its manual has them.  First something for them to find:
-- 10 completed (5 long ago), 3 failed, 4 running for three hours, 3 running just now.
SET search_path = benchorch, public;
CREATE TEMP TABLE held AS SELECT config_id, claim_id, row_number() OVER (ORDER BY priority, config_id) AS n FROM claim_batch(20);
SELECT count(result_id) FROM complete_many((SELECT array_agg(config_id ORDER BY n) FROM held WHERE n <= 10), (SELECT array_agg(claim_id ORDER BY n) FROM held WHERE n <= 10),
	(SELECT array_agg('{"output_tokens_per_s": 7}'::text) FROM held WHERE n <= 10));
SELECT update_status(config_id, 'failed', CASE WHEN n = 13 THEN 'unsupported' ELSE 'OOM killed during inference' END, outcome => CASE WHEN n = 13 THEN 'unsupported' END)
FROM held WHERE n BETWEEN 11 AND 13;
UPDATE benchmark_configs SET completed_at = completed_at - interval '91 days' WHERE id IN (SELECT config_id FROM held WHERE n <= 5);
UPDATE benchmark_configs SET started_at = now() - interval '3 hours' WHERE id IN (SELECT config_id FROM held WHERE n BETWEEN 14 AND 17);

-- Status Distribution
SELECT status, COUNT(*)
FROM benchmark_configs
WHERE model_version_id = '00000000-0000-0000-0000-000000000001'
GROUP BY status;

-- Find Stale Configs
SELECT id, hardware_config_id, workload_type, started_at
FROM benchmark_configs
WHERE status = 'running'
  AND started_at < NOW() - INTERVAL '2 hours' \g (format=unaligned tuples_only=on) | wc -l

-- Failed Configs Analysis
SELECT error_message, COUNT(*)
FROM benchmark_configs
WHERE status = 'failed' AND model_version_id = '00000000-0000-0000-0000-000000000001'
GROUP BY error_message
ORDER BY COUNT(*) DESC;

-- Progress Over Time
SELECT count(*) AS hours, sum(configs_completed) AS configs FROM (
SELECT
  DATE_TRUNC('hour', completed_at) as hour,
  COUNT(*) as configs_completed
FROM benchmark_configs
WHERE status = 'completed' AND model_version_id = '00000000-0000-0000-0000-000000000001'
GROUP BY hour
ORDER BY hour
) AS progress_over_time;

-- Monitor Database
SELECT count(*) FROM pg_stat_activity WHERE datname = 'model_catalog';

-- Analyze performance trends
SELECT workload_type, AVG(retry_count) as avg_retries
  FROM benchmark_configs
  WHERE status IN ('completed', 'failed')
  GROUP BY workload_type;

-- Finds configs stuck in 'running' > 2 hours
UPDATE benchmark_configs
SET status = 'pending', started_at = NULL, retry_count = retry_count + 1
WHERE status = 'running' AND started_at < NOW() - INTERVAL '2 hours';
SELECT * FROM check_invariants();
-- the claims have ended, the newer runs stand, no retry is spent, and the configs are ready at once
SELECT c.status, c.retry_count, c.claim_id IS NULL AS free, c.started_at IS NULL AS not_started, count(*), (SELECT count(*) FROM attempts a WHERE a.outcome = 'lost') AS losses
FROM benchmark_configs c JOIN held h ON h.config_id = c.id WHERE h.n BETWEEN 14 AND 20 GROUP BY 1, 2, 3, 4 ORDER BY 1;
SELECT DISTINCT pg_temp.refusal(format('SELECT benchorch.complete(%s, %s, %L)', config_id, claim_id, '{}')) FROM held WHERE n BETWEEN 14 AND 17;
SELECT count(*) AS taken_again FROM claim_batch(100, 100) b JOIN held h USING (config_id) WHERE h.n BETWEEN 14 AND 17;
SELECT DISTINCT pg_temp.refusal(format('SELECT benchorch.update_status(%s, %L, claim_id => %s)', config_id, 'completed', claim_id)) FROM held WHERE n BETWEEN 14 AND 17;
SELECT * FROM check_invariants();

-- Archive configs older than 90 days
DELETE FROM benchmark_configs
WHERE status = 'completed'
  AND completed_at < NOW() - INTERVAL '90 days';
SELECT (SELECT count(*) FROM benchmark_configs c JOIN held h ON h.config_id = c.id WHERE n <= 5) AS left, count(*) AS archived, count(r.config_id) AS with_results,
	(SELECT count(*) FROM benchmark_results) AS results_left
FROM archived_configs c LEFT JOIN archived_results r ON r.config_id = c.id AND r.accepted AND r.claim_id = c.claim_id AND r.parsed @> '{"output_tokens_per_s": 7}';
SELECT * FROM check_invariants();
SET search_path = public;
-- those claims have done their work: told again, the answer is the same
SELECT DISTINCT h.accepted, h.status, h.result_id IS NOT NULL AS result FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'ok', '{"output_tokens_per_s": 7}') h WHERE n <= 5;

-- INSERT: with the least that a user knows, and with all
\set m2 '\'00000000-0000-0000-0000-000000000002\''
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
VALUES (:m2, 1, 1, 'qa', 1, 1024), (:m2, 1, 1, 'qa', 2, 1024), (:m2, 2, 1, 'chatbot', 1, 1024);
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length, params, priority, status)
VALUES (:m2, 7, 2, 'mine', 3, 777, '{"tensor_parallel": 4}', 5, 'pending'), (:m2, 7, 2, 'qa', 1, 1024, '{}', 5, 'skipped'),
	(:m2, 7, 2, 'qa', 2, 1024, '{}', 5, 'completed'), (:m2, NULL, 3, NULL, NULL, NULL, '{"item": 1}', 5, 'pending');
SELECT c.hardware_config_id AS hw, c.framework_id AS fw, c.workload_type, c.batch_size, c.gpus, c.priority, c.status, c.error_message, c.completed_at IS NOT NULL AS settled,
	l.gpus = c.gpus AND l.framework_id = c.framework_id AND l.hardware_config_id IS NOT DISTINCT FROM c.hardware_config_id AND l.model_version_id = c.model_version_id AS in_its_lane
FROM benchorch.benchmark_configs c JOIN benchorch.lanes l ON l.id = c.lane_id WHERE c.model_version_id = :m2 ORDER BY c.id;
SELECT * FROM benchorch.check_invariants();
SELECT benchorch.progress(:m2) - 'eta';
SELECT count(*), min(priority) FROM benchorch.claim_batch(10, model_version_id => :m2);
-- what cannot fit is skipped, as populate_matrix does it
INSERT INTO benchorch.model_versions SELECT '00000000-0000-0000-0000-00000000000a', 'big', NULL, (SELECT architecture FROM benchorch.known_models() WHERE name = 'Llama-3.1-405B');
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
VALUES ('00000000-0000-0000-0000-00000000000a', 1, 1, 'qa', 1, 1024), ('00000000-0000-0000-0000-00000000000a', 9, 1, 'qa', 1, 1024);
SELECT hardware_config_id, gpus, status, error_message FROM benchorch.benchmark_configs WHERE model_version_id = '00000000-0000-0000-0000-00000000000a' ORDER BY id;
SELECT * FROM benchorch.check_invariants();
-- what is wrong is refused
SELECT pg_temp.refusal($$INSERT INTO benchorch.benchmark_configs (model_version_id, framework_id) VALUES ('ffffffff-0000-0000-0000-000000000000', 1)$$);
SELECT pg_temp.refusal($$INSERT INTO benchorch.benchmark_configs (model_version_id, framework_id) VALUES ('00000000-0000-0000-0000-000000000002', 99)$$);
SELECT pg_temp.refusal($$INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id) VALUES ('00000000-0000-0000-0000-000000000002', 99, 1)$$);
SELECT pg_temp.refusal($$INSERT INTO benchorch.benchmark_configs (model_version_id, framework_id, status) VALUES ('00000000-0000-0000-0000-000000000002', 1, 'running')$$);
SELECT pg_temp.refusal($$INSERT INTO benchorch.benchmark_configs (model_version_id, framework_id, status) VALUES ('00000000-0000-0000-0000-000000000002', 1, 'done')$$);
SELECT pg_temp.refusal($$INSERT INTO benchorch.benchmark_configs (model_version_id, framework_id, batch_size) VALUES ('00000000-0000-0000-0000-000000000002', 1, 0)$$);
SELECT pg_temp.refusal($$INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
	VALUES ('00000000-0000-0000-0000-000000000002', 1, 1, 'qa', 1, 1024)$$);
-- a cell that is there already may be left alone
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
VALUES (:m2, 1, 1, 'qa', 1, 1024), (:m2, 1, 1, 'qa', 64, 1024) ON CONFLICT DO NOTHING;
SELECT (benchorch.progress(:m2) ->> 'total')::int AS total;
SELECT * FROM benchorch.check_invariants();

-- COPY in
COPY benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length, params) FROM stdin;
00000000-0000-0000-0000-000000000003	3	1	qa	1	1024	{}
00000000-0000-0000-0000-000000000003	3	1	qa	2	1024	{"repeat": 2}
00000000-0000-0000-0000-000000000003	3	2	chatbot	1	2048	{"precision": "fp8"}
00000000-0000-0000-0000-000000000003	\N	2	\N	\N	\N	{"item": "x"}
\.
SELECT hardware_config_id, framework_id, workload_type, gpus, priority, status FROM benchorch.benchmark_configs WHERE model_version_id = '00000000-0000-0000-0000-000000000003' ORDER BY id;
SELECT * FROM benchorch.check_invariants();
SELECT count(*) FROM benchorch.claim_batch(10, model_version_id => '00000000-0000-0000-0000-000000000003');
SELECT benchorch.reset_stale(0) > 0 AS put_back;

-- UPDATE of priority: both kinds of claim follow
\set m4 '\'00000000-0000-0000-0000-000000000004\''
SELECT benchorch.create_template('four', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"], "batch_sizes": [1, 2, 3, 4], "sequence_lengths": [1024]}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:m4, template => 'four');
UPDATE benchorch.benchmark_configs SET priority = 1 WHERE model_version_id = :m4 AND batch_size = 4;
UPDATE benchorch.benchmark_configs SET priority = 5000 WHERE model_version_id = :m4 AND batch_size = 1;
SELECT * FROM benchorch.check_invariants();
SELECT batch_size, priority FROM benchorch.claim_batch(2, model_version_id => :m4);
SELECT benchorch.register_worker('w', 'g5.xlarge', '{vLLM}') AS w \gset
SELECT batch_size, priority FROM benchorch.claim_batch(10, worker_id => :'w', model_version_id => :m4);
SELECT batch_size, priority FROM benchorch.claim_batch(10, 5000, model_version_id => :m4);
SELECT benchorch.release(:'w'), benchorch.reset_stale(0) > 0 AS put_back;
SELECT * FROM benchorch.check_invariants();

-- UPDATE of what a pending config measures: its lane and GPUs follow
UPDATE benchorch.benchmark_configs SET hardware_config_id = 7 WHERE model_version_id = :m4 AND batch_size = 1;
UPDATE benchorch.benchmark_configs SET params = params || '{"tensor_parallel": 8}' WHERE model_version_id = :m4 AND batch_size = 1;
UPDATE benchorch.benchmark_configs SET framework_id = 2, workload_type = 'chatbot', batch_size = 16 WHERE model_version_id = :m4 AND batch_size = 2;
UPDATE benchorch.benchmark_configs SET model_version_id = '00000000-0000-0000-0000-000000000005' WHERE model_version_id = :m4 AND batch_size = 3;
UPDATE benchorch.benchmark_configs SET model_version_id = '00000000-0000-0000-0000-00000000000a' WHERE model_version_id = :m4 AND batch_size = 4;
SELECT right(c.model_version_id::text, 1) AS model, c.hardware_config_id AS hw, c.framework_id AS fw, c.batch_size, c.gpus, c.params, c.status, c.error_message,
	l.gpus = c.gpus AND l.framework_id = c.framework_id AND l.hardware_config_id IS NOT DISTINCT FROM c.hardware_config_id AND l.model_version_id = c.model_version_id AS in_its_lane
FROM benchorch.benchmark_configs c JOIN benchorch.lanes l ON l.id = c.lane_id
WHERE c.model_version_id::text ~ '[45a]$' ORDER BY c.id;
SELECT * FROM benchorch.check_invariants();
SELECT right(m::text, 1) AS model, benchorch.progress(m) -> 'total' AS total, benchorch.progress(m) -> 'pending' AS pending
FROM unnest('{00000000-0000-0000-0000-000000000004,00000000-0000-0000-0000-000000000005,00000000-0000-0000-0000-00000000000a}'::uuid[]) m;
SELECT count(*) FROM benchorch.claim_batch(10, 10000, model_version_id => '00000000-0000-0000-0000-000000000005');
SELECT pg_temp.refusal($$UPDATE benchorch.benchmark_configs SET model_version_id = 'ffffffff-0000-0000-0000-000000000000' WHERE model_version_id = '00000000-0000-0000-0000-000000000004'$$);
SELECT pg_temp.refusal($$UPDATE benchorch.benchmark_configs SET framework_id = 99 WHERE model_version_id = '00000000-0000-0000-0000-000000000004'$$);
-- but not of a config that runs or has run, nor of what is the extension's own
SELECT pg_temp.refusal($$UPDATE benchorch.benchmark_configs SET params = '{"x": 1}' WHERE model_version_id = '00000000-0000-0000-0000-000000000005'$$);
SELECT pg_temp.refusal($$UPDATE benchorch.benchmark_configs SET batch_size = 99 WHERE status = 'completed'$$);
SELECT pg_temp.refusal(format('UPDATE benchorch.benchmark_configs SET %s WHERE model_version_id = ''00000000-0000-0000-0000-000000000004''', s))
FROM unnest('{id = id + 1000000,claim_id = 5,lane_id = 1,gpus = gpus * 2}'::text[]) s;
SELECT pg_temp.refusal($$UPDATE benchorch.benchmark_configs SET batch_size = 0 WHERE model_version_id = '00000000-0000-0000-0000-000000000004'$$);
SELECT * FROM benchorch.check_invariants();

-- UPDATE of status: from × to, typed
SELECT benchorch.create_template('forty', '{"hardware": ["g6.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"], "sequence_lengths": [1024],
	"batch_sizes": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36]}') > 0 AS made;
SELECT benchorch.cancel(m) >= 0 AS cancelled, count(*) FROM unnest('{00000000-0000-0000-0000-000000000001,00000000-0000-0000-0000-000000000002,00000000-0000-0000-0000-000000000003}'::uuid[]) m GROUP BY 1;
SELECT created FROM benchorch.populate_matrix(:m4, template => 'forty');
CREATE TEMP TABLE typed AS SELECT id, (row_number() OVER (ORDER BY id) - 1)::int AS n FROM benchorch.benchmark_configs WHERE model_version_id = :m4 AND hardware_config_id = 2;
CREATE TEMP TABLE words AS SELECT s, i - 1 AS i FROM unnest('{pending,running,completed,failed,skipped,cancelled}'::text[]) WITH ORDINALITY u (s, i);
DO $$
DECLARE t record;
BEGIN
	PERFORM benchorch.claim_batch(500, 100000, model_version_id => '00000000-0000-0000-0000-000000000004');
	FOR t IN SELECT id, s FROM typed JOIN words ON i = n / 6 LOOP
		IF t.s = 'failed' THEN
			PERFORM benchorch.update_status(t.id, 'failed', outcome => 'unsupported');
		ELSIF t.s <> 'running' THEN
			PERFORM benchorch.update_status(t.id, t.s);
		END IF;
	END LOOP;
END $$;
SELECT f.s AS "from", w.s AS "to", pg_temp.refusal(format('UPDATE benchorch.benchmark_configs SET status = %L WHERE id = %s', w.s, t.id)) AS answer
FROM typed t JOIN words f ON f.i = t.n / 6 JOIN words w ON w.i = t.n % 6 ORDER BY t.n;
SELECT f.s AS "from", string_agg(c.status, ' ' ORDER BY t.n) AS now, bool_and((c.completed_at IS NOT NULL) = (c.status NOT IN ('pending', 'running'))) AS times_fit,
	bool_and(c.status <> 'skipped' OR c.error_message IS NOT NULL) AS reasons
FROM typed t JOIN words f ON f.i = t.n / 6 JOIN benchorch.benchmark_configs c ON c.id = t.id GROUP BY f.i, 1 ORDER BY f.i;
SELECT * FROM benchorch.check_invariants();
SELECT count(*) AS ready_again FROM benchorch.claim_batch(500, model_version_id => :m4) b JOIN typed t ON t.id = b.config_id;
SELECT pg_temp.refusal('UPDATE benchorch.benchmark_configs SET status = ''done'' WHERE status = ''pending''');
-- many at once, some of which may not: all or nothing
SELECT pg_temp.refusal($$UPDATE benchorch.benchmark_configs SET status = 'pending' WHERE status IN ('running', 'completed')$$);
SELECT * FROM benchorch.check_invariants();
-- a config that waits for its retry time and is settled by hand waits no more
SELECT benchorch.update_status(b.id, 'failed', outcome => 'crash') AS now FROM benchorch.benchmark_configs b JOIN typed t USING (id) WHERE b.status = 'running' ORDER BY b.id LIMIT 1;
UPDATE benchorch.benchmark_configs SET status = 'cancelled' WHERE id IN (SELECT config_id FROM benchorch.delayed_configs);
SELECT count(*) FROM benchorch.delayed_configs;
SELECT * FROM benchorch.check_invariants();

-- DELETE: pending, running, completed; all of it moves to the archive
SELECT benchorch.cancel(:m4) >= 0 AS cancelled;
DELETE FROM benchorch.archived_results;
DELETE FROM benchorch.archived_configs;
SELECT benchorch.retry_failed('00000000-0000-0000-0000-000000000002') > 0 AS opened;
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) FROM benchorch.claim_batch(3, model_version_id => :m2);
SELECT benchorch.complete(config_id, claim_id, '{"output_tokens_per_s": 3}') IS NOT NULL AS completed FROM held WHERE n = 1;
SELECT benchorch.update_status(config_id, 'failed', outcome => 'crash') FROM held WHERE n = 2;
SELECT status, count(*) FROM benchorch.benchmark_configs WHERE model_version_id = :m2 GROUP BY 1 ORDER BY 1;
DELETE FROM benchorch.benchmark_configs WHERE model_version_id = :m2;
SELECT c.status, count(*), count(r.id) AS results FROM benchorch.archived_configs c LEFT JOIN benchorch.archived_results r ON r.config_id = c.id GROUP BY 1 ORDER BY 1;
SELECT benchorch.progress(:m2) -> 'total' AS total;
SELECT pg_temp.refusal(format('SELECT benchorch.complete(%s, %s, %L)', config_id, claim_id, '{}')) AS late FROM held WHERE n = 3;
SELECT pg_temp.refusal(format('SELECT benchorch.update_status(%s, %L, claim_id => %s)', config_id, 'completed', claim_id)) AS late FROM held WHERE n = 3;
SELECT h.accepted, h.status, h.result_id IS NOT NULL AS kept FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'ok', '{"output_tokens_per_s": 3}') h WHERE n = 3;
SELECT count(*) FROM benchorch.delayed_configs;
SELECT count(*) FROM benchorch.claim_batch(10, model_version_id => :m2);
SELECT benchorch.reset_stale(0);
SELECT * FROM benchorch.check_invariants();

-- TRUNCATE archives too
SELECT count(*) AS configs, (SELECT count(*) FROM benchorch.archived_configs) AS before FROM benchorch.benchmark_configs \gset
TRUNCATE benchorch.benchmark_configs;
SELECT (SELECT count(*) FROM benchorch.benchmark_configs) AS left, (SELECT count(*) FROM benchorch.archived_configs) = :before + :configs AS archived,
	(SELECT count(*) FROM benchorch.lane_chunks) + (SELECT count(*) FROM benchorch.priority_chunks) + (SELECT count(*) FROM benchorch.delayed_configs) AS hints;
SELECT * FROM benchorch.check_invariants();
SELECT count(*) FROM benchorch.claim_batch();
SELECT benchorch.reset_stale(0);
SELECT created, existing FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001');
-- what is rolled back never was
BEGIN;
TRUNCATE benchorch.benchmark_configs RESTART IDENTITY;
ROLLBACK;
BEGIN;
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length) VALUES (:m2, 1, 1, 'qa', 1, 1024);
DELETE FROM benchorch.benchmark_configs;
ROLLBACK;
SELECT * FROM benchorch.check_invariants();
-- a savepoint inside, an update of one's own rows in the same transaction
BEGIN;
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length) VALUES (:m2, 1, 1, 'qa', 1, 1024);
SAVEPOINT s;
UPDATE benchorch.benchmark_configs SET status = 'cancelled' WHERE model_version_id = :m2;
ROLLBACK TO s;
UPDATE benchorch.benchmark_configs SET priority = 9 WHERE model_version_id = :m2;
COMMIT;
SELECT * FROM benchorch.check_invariants();
SELECT priority FROM benchorch.claim_batch(10, model_version_id => :m2);

-- a trigger of one's own fires on claims and completions, too
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
SELECT :m2, 1, 1, 'chatbot', b, 1024 FROM generate_series(1, 3) AS b;
CREATE TABLE public.seen (was text, became text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (OLD.status, NEW.status); RETURN NULL; END $$;
CREATE TRIGGER see AFTER UPDATE OF status ON benchorch.benchmark_configs FOR EACH ROW EXECUTE FUNCTION see();
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(10, model_version_id => :m2) \gset
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT was, became, count(*) FROM public.seen GROUP BY 1, 2 ORDER BY 1 DESC;
SELECT status, claim_id = (:'claims'::bigint[])[1] AS its_claim, attempt, completed_at IS NOT NULL AS dated FROM benchorch.benchmark_configs WHERE id = (:'ids'::bigint[])[1];
SELECT * FROM benchorch.check_invariants();
DROP TABLE public.seen;
DROP FUNCTION see CASCADE;
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
