-- What a dead worker held becomes claimable again; what a live one holds does not.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set SHOW_CONTEXT never
\set VERBOSITY terse
\set m '\'00000000-0000-0000-0000-000000000001\''
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_model('m', :m) = :m AS registered;
SELECT benchorch.create_template('ten', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"batch_sizes": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "sequence_lengths": [1024]}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:m, template => 'ten');
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text;
BEGIN
	EXECUTE statement;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN state || ': ' || regexp_replace(message, '\d{4,}|config \d+', '...', 'g');
END $$;
-- n configs for a worker, in as many calls as it takes (a call may give fewer)
CREATE FUNCTION pg_temp.take(worker text, n int) RETURNS SETOF benchorch.claimed_config LANGUAGE plpgsql AS $$
DECLARE got int := 0; more int;
BEGIN
	WHILE got < n LOOP
		RETURN QUERY SELECT * FROM benchorch.claim_batch(n - got, worker_id => (SELECT id FROM benchorch.workers WHERE name = worker));
		GET DIAGNOSTICS more = ROW_COUNT;
		EXIT WHEN more = 0;
		got := got + more;
	END LOOP;
END $$;
CREATE TEMP VIEW state AS SELECT status, retry_count, run_started, claim_id IS NOT NULL AS claimed, started_at IS NOT NULL AS started,
	left(error_message, 40) AS error, count(*) FROM benchorch.benchmark_configs GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 1, 2, 3;

-- arguments
SELECT pg_temp.refusal('SELECT benchorch.reset_stale(NULL)');
SELECT pg_temp.refusal('SELECT benchorch.reset_stale(-1)');
SELECT pg_temp.refusal('SELECT benchorch.release(NULL)');
SELECT pg_temp.refusal($$SELECT benchorch.release('ffffffff-0000-0000-0000-000000000000')$$);
SELECT pg_temp.refusal($$SELECT benchorch.release('ffffffff-0000-0000-0000-000000000000', NULL)$$);
SELECT pg_temp.refusal($$SELECT benchorch.release('ffffffff-0000-0000-0000-000000000000', 'ok')$$);
SELECT pg_temp.refusal($$SELECT benchorch.release('ffffffff-0000-0000-0000-000000000000', 'nonsense')$$);
SELECT pg_temp.refusal('SELECT benchorch.heartbeat(NULL)');
SELECT pg_temp.refusal($$SELECT benchorch.heartbeat('ffffffff-0000-0000-0000-000000000000')$$);

-- claims without worker: by their age, direct edits of started_at honoured
CREATE TEMP TABLE held AS SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) AS n FROM benchorch.claim_batch(4);
SELECT benchorch.reset_stale();
SELECT benchorch.reset_stale(1);
UPDATE benchorch.benchmark_configs SET started_at = now() - interval '119 minutes' WHERE id = (SELECT config_id FROM held WHERE n = 1);
UPDATE benchorch.benchmark_configs SET started_at = now() - interval '121 minutes' WHERE id = (SELECT config_id FROM held WHERE n = 2);
SELECT benchorch.reset_stale(120);
SELECT h.n, c.status, c.retry_count FROM held h JOIN benchorch.benchmark_configs c ON c.id = h.config_id ORDER BY 1;
SELECT benchorch.reset_stale(118);
-- 0 is everything
SELECT benchorch.reset_stale(0);
SELECT benchorch.reset_stale(0);
SELECT * FROM state;
SELECT outcome, blamed, status, count(*) FROM benchorch.attempts GROUP BY 1, 2, 3;
SELECT DISTINCT pg_temp.refusal(format('SELECT benchorch.update_status(%s, %L, claim_id => %s)', config_id, 'completed', claim_id)) FROM held;
SELECT * FROM benchorch.check_invariants();

-- a worker's claims: never while its lease is alive, however old they are
SELECT benchorch.register_worker('one', 'g5.xlarge', '{vLLM}') AS one, benchorch.register_worker('two', 'g5.xlarge', '{vLLM}', '{"note": 1}') AS two \gset
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute' WHERE worker_id = :'two';
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) FROM pg_temp.take('one', 4);
SELECT benchorch.start(config_id, claim_id) FROM held WHERE n <= 2;
UPDATE benchorch.benchmark_configs SET started_at = now() - interval '1 day' WHERE status = 'running';
SELECT benchorch.reset_stale(0);
-- its lease runs out: the started are blamed, the waiting are not; all are ready at once
UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 second' WHERE worker_id = :'one';
SELECT benchorch.reset_stale();
SELECT h.n, c.status, c.retry_count - CASE WHEN a.config_id IS NULL THEN 0 ELSE a.n END AS more_than_blamed, w.outcome, w.blamed
FROM held h JOIN benchorch.benchmark_configs c ON c.id = h.config_id
LEFT JOIN benchorch.attempts w ON w.config_id = h.config_id AND w.claim_id = h.claim_id
LEFT JOIN (SELECT config_id, count(*) AS n FROM benchorch.attempts WHERE blamed GROUP BY 1) a ON a.config_id = h.config_id ORDER BY 1;
SELECT count(*) FROM benchorch.claim_batch(10);
SELECT benchorch.reset_stale(0);
-- the worker hears of it, and its late results change nothing
SELECT h.n, b.claim_id = h.claim_id OR b.claim_id IS NULL AS its_claim, b.verdict FROM benchorch.heartbeat(:'one', ARRAY(SELECT config_id FROM held WHERE n <= 2)) b JOIN held h USING (config_id) ORDER BY 1;
SELECT DISTINCT pg_temp.refusal(format('SELECT benchorch.complete(%s, %s, %L)', config_id, claim_id, '{}')) FROM held;
SELECT DISTINCT h.accepted, h.status FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'ok', '{"a": 1}') AS h;
SELECT accepted, count(*) FROM benchorch.benchmark_results GROUP BY 1;
SELECT status, count(*) FROM benchorch.benchmark_configs GROUP BY 1;
SELECT * FROM benchorch.check_invariants();

-- an expired lease is taken back by the next claim too, without any sweep
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) FROM pg_temp.take('one', 10);
SELECT count(*) FROM held;
UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 second' WHERE worker_id = :'one';
SELECT count(*), count(DISTINCT config_id) FROM pg_temp.take('two', 10);
SELECT DISTINCT pg_temp.refusal(format('SELECT benchorch.update_status(%s, %L, claim_id => %s)', config_id, 'completed', claim_id)) FROM held;
SELECT verdict, count(*) FROM benchorch.heartbeat(:'one', ARRAY(SELECT config_id FROM held)) GROUP BY 1;
-- never is another worker's token told
SELECT count(*) AS leaked FROM benchorch.heartbeat(:'one', ARRAY(SELECT config_id FROM held)) b
JOIN benchorch.benchmark_configs c ON c.id = b.config_id AND c.claim_id = b.claim_id AND c.status = 'running';
SELECT count(*) FROM benchorch.heartbeat(:'two', ARRAY(SELECT config_id FROM held));
SELECT * FROM benchorch.check_invariants();

-- a heartbeat in time keeps the claims; after the lease has run out, but before anybody has swept, it does so too
UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() + interval '1 second' WHERE worker_id = :'two';
SELECT count(*) FROM benchorch.heartbeat(:'two');
SELECT expires_at > clock_timestamp() + interval '30 seconds' AS extended, expires_at < clock_timestamp() + interval '90 seconds' AS by_the_lease FROM benchorch.worker_leases WHERE worker_id = :'two';
UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 second' WHERE worker_id = :'two';
SELECT count(*) FROM benchorch.heartbeat(:'two', ARRAY(SELECT config_id FROM held));
SELECT benchorch.reset_stale();
-- the lease is a setting
SET benchorch.lease = '10min';
SELECT count(*) FROM benchorch.heartbeat(:'two');
SELECT expires_at > clock_timestamp() + interval '9 minutes' AS longer FROM benchorch.worker_leases WHERE worker_id = :'two';
RESET benchorch.lease;

-- release: at no cost, the started ones too
SELECT benchorch.start(id, claim_id) FROM benchorch.benchmark_configs WHERE status = 'running' ORDER BY id LIMIT 3;
CREATE TEMP TABLE before AS SELECT id, retry_count FROM benchorch.benchmark_configs;
SELECT benchorch.release_waiting(:'two');
SELECT run_started, count(*) FROM benchorch.benchmark_configs WHERE status = 'running' GROUP BY 1;
SELECT benchorch.release_waiting(:'two');
SELECT benchorch.release(:'two');
SELECT benchorch.release(:'two');
SELECT count(*) AS paid FROM benchorch.benchmark_configs c JOIN before b USING (id) WHERE c.retry_count <> b.retry_count OR c.status <> 'pending';
SELECT outcome, blamed, count(*) FROM benchorch.attempts WHERE outcome = 'preempted' GROUP BY 1, 2;
SELECT count(*) > 0 AS claimed FROM pg_temp.take('two', 3);
SELECT benchorch.start(id, claim_id) FROM benchorch.benchmark_configs WHERE status = 'running' ORDER BY id LIMIT 1;
SELECT benchorch.release(:'two', 'node_fault') > 0 AS released;
SELECT count(*) AS paid FROM benchorch.benchmark_configs c JOIN before b USING (id) WHERE c.retry_count <> b.retry_count OR c.status <> 'pending';
SELECT * FROM benchorch.check_invariants();

-- a release for a fault costs the worker what it held, begun or not; all where it held nothing
UPDATE benchorch.workers SET state = 'active', reason = NULL, framework_ids = (SELECT array_agg(id ORDER BY id) FROM benchorch.frameworks) WHERE id = :'two';
SELECT count(*) > 0 AS claimed FROM pg_temp.take('two', 3);
SELECT benchorch.release(:'two', 'node_fault') > 0 AS released;
SELECT state, cardinality(framework_ids) AS frameworks, reason FROM benchorch.workers WHERE id = :'two';
SELECT benchorch.release(:'two', 'node_fault');
SELECT state, cardinality(framework_ids) AS frameworks, reason FROM benchorch.workers WHERE id = :'two';
UPDATE benchorch.workers SET state = 'active', reason = NULL, framework_ids = (SELECT array_agg(id ORDER BY id) FROM benchorch.frameworks) WHERE id = :'two';
SELECT count(*) > 0 AS claimed FROM pg_temp.take('two', 3);
SELECT benchorch.release(:'two', 'gpu_fault') > 0 AS released;
SELECT state, cardinality(framework_ids) AS frameworks, reason FROM benchorch.workers WHERE id = :'two';
SELECT count(*) AS paid FROM benchorch.benchmark_configs c JOIN before b USING (id) WHERE c.retry_count <> b.retry_count OR c.status <> 'pending';

-- heartbeat says what was cancelled, once it is told what runs and even if not
UPDATE benchorch.workers SET state = 'active';
UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 second' WHERE worker_id = :'two';
SELECT benchorch.register_worker('one', 'g5.xlarge', '{vLLM}') = :'one' AS same_worker;
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) FROM pg_temp.take('one', 3);
SELECT benchorch.update_status(config_id, 'cancelled') FROM held WHERE n = 1;
SELECT h.n, b.claim_id = h.claim_id AS its_claim, b.verdict FROM benchorch.heartbeat(:'one', ARRAY(SELECT config_id FROM held)) b JOIN held h USING (config_id) ORDER BY 1;
SELECT h.n, b.claim_id = h.claim_id AS its_claim, b.verdict FROM benchorch.heartbeat(:'one') b JOIN held h USING (config_id) ORDER BY 1;
SELECT benchorch.cancel(:m) > 0 AS cancelled;
SELECT h.n, b.claim_id = h.claim_id AS its_claim, b.verdict FROM benchorch.heartbeat(:'one', ARRAY(SELECT config_id FROM held WHERE n >= 2)) b JOIN held h USING (config_id) ORDER BY 1;
SELECT * FROM benchorch.check_invariants();

-- a worker that loses one config for good takes no other along
SELECT benchorch.retry_failed(:m);
DO $$
DECLARE k record; w uuid := (SELECT id FROM benchorch.workers WHERE name = 'one');
BEGIN
	FOR i IN 1 .. 4 LOOP
		PERFORM benchorch.heartbeat(w);
		UPDATE benchorch.benchmark_configs SET priority = 1 WHERE status = 'pending' AND batch_size = 10 AND priority <> 1;
		FOR k IN SELECT * FROM pg_temp.take('one', 10) AS b ORDER BY b.batch_size DESC LIMIT 1 LOOP
			PERFORM benchorch.start(k.config_id, k.claim_id);
		END LOOP;
		UPDATE benchorch.worker_leases SET expires_at = clock_timestamp() - interval '1 second' WHERE worker_id = w;
		PERFORM benchorch.reset_stale();
	END LOOP;
END $$;
SELECT status, array_agg(batch_size ORDER BY batch_size) AS batch_sizes, min(error_message) AS why FROM benchorch.benchmark_configs GROUP BY 1 ORDER BY 1;
SELECT outcome, blamed, attempt FROM benchorch.attempts a WHERE outcome = 'lost' AND config_id = (SELECT id FROM benchorch.benchmark_configs WHERE status = 'failed') ORDER BY id DESC LIMIT 4;
SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
