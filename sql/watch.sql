-- What people look at while it runs: the tree of watch, and logs.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_model('m', '00000000-0000-0000-0000-000000000001') \gset
\set m '''00000000-0000-0000-0000-000000000001'''
SELECT benchorch.create_template('few', '{"hardware": ["g5.xlarge", "g6.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"batch_sizes": [1, 2, 3, 4, 5, 6], "sequence_lengths": [1024], "limits": {"crash_retries": 0, "timeout_retries": 0}}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:m, template => 'few');
CREATE FUNCTION pg_temp.watched() RETURNS SETOF text LANGUAGE sql AS $$
	SELECT regexp_replace(regexp_replace(regexp_replace(w, '\d\d:\d\d:\d\d', 'hh:mm:ss'), '[0-9.]+ results', 'n results'), '^(│?  )', '\1')
	FROM benchorch.watch('00000000-0000-0000-0000-000000000001') AS w $$;
SELECT * FROM pg_temp.watched();

-- one worker at work, with failures
SELECT benchorch.register_worker('node1', 'g5.xlarge', '{vLLM}') AS w \gset
CREATE TEMP TABLE held AS SELECT row_number() OVER (ORDER BY config_id) AS n, config_id, claim_id FROM benchorch.claim_batch(2, worker_id => :'w');
SELECT benchorch.start(config_id, claim_id) FROM held WHERE n = 1;
SELECT benchorch.heartbeat(:'w', ARRAY[(SELECT config_id FROM held WHERE n = 1)], 'loading\012ready \377\012');
SELECT * FROM pg_temp.watched();
SELECT run, line, regexp_replace(content, '\d\d:\d\d:\d\d', 'hh:mm:ss', 'g') AS content FROM held, benchorch.logs(config_id) WHERE n = 1;
SELECT status FROM held, benchorch.hand_in(config_id, claim_id, 'crash', '', convert_to(E'starting\nlast words\n', 'UTF8'),
	'{"argv": ["bench", "--name", "it''s one", "-n=1"], "exit_code": 3, "message": "exit code 3: last words"}') WHERE n = 1;
SELECT run, line, content FROM held, benchorch.logs(config_id) WHERE n = 1;
INSERT INTO held SELECT 2 + row_number() OVER (ORDER BY config_id), config_id, claim_id FROM benchorch.claim_batch(2, worker_id => :'w');
SELECT benchorch.start(config_id, claim_id) FROM held WHERE n IN (2, 3);
SELECT status FROM held, benchorch.hand_in(config_id, claim_id, 'timeout', '', details => '{"message": "not finished after 1 s"}') WHERE n = 2;
SELECT status FROM held, benchorch.hand_in(config_id, claim_id, 'ok', '{"output_tokens_per_s": 1}', 'fine', '{"argv": ["bench"], "environment": {}}') WHERE n = 3;
SELECT run, line, content FROM held, benchorch.logs(config_id, 1) WHERE n = 3;
SELECT * FROM pg_temp.watched();

-- a machine that is always taken away before it is done: five times in a row
DO $$
DECLARE
	worker uuid := benchorch.register_worker('spot', 'g6.xlarge', '{vLLM}');
	c record;
BEGIN
	FOR i IN 1 .. 5 LOOP
		SELECT * INTO c FROM benchorch.claim_batch(1, worker_id => worker);
		PERFORM benchorch.start(c.config_id, c.claim_id);
		PERFORM benchorch.release(worker);
		IF i = 4 THEN
			RAISE WARNING 'four times: % lines about it', (SELECT count(*) FROM pg_temp.watched() AS w WHERE w LIKE '%outlives%');
		END IF;
	END LOOP;
END $$;
SELECT w FROM pg_temp.watched() AS w WHERE w LIKE '%outlives%';
-- until it ends otherwise
SELECT status FROM benchorch.register_worker('spot', 'g6.xlarge', '{vLLM}') AS worker, LATERAL benchorch.claim_batch(1, worker_id => worker) AS c,
	LATERAL benchorch.start(c.config_id, c.claim_id) AS started, LATERAL benchorch.hand_in(c.config_id, c.claim_id, 'lost', '') AS h;
SELECT count(*) FROM pg_temp.watched() AS w WHERE w LIKE '%outlives%';
-- an archived config's log is still there
UPDATE benchorch.benchmark_configs SET completed_at = now() - interval '91 days' WHERE status = 'completed';
SELECT benchorch.archive_completed();
SELECT run, line, content FROM held, benchorch.logs(config_id) WHERE n = 3;
SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
