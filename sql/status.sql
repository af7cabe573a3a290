-- update_status: which transition is allowed, and what becomes of a config that failed.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set SHOW_CONTEXT never
\set m '\'00000000-0000-0000-0000-000000000001\''
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_model('m', :m) = :m AS registered;
SELECT benchorch.create_template('small', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"batch_sizes": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20], "sequence_lengths": [1024, 2048]}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:m, template => 'small');

-- what a statement gave, or how it was refused; numbers that differ from run to run are left out
CREATE FUNCTION pg_temp.answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text; hint text; answer text;
BEGIN
	EXECUTE statement INTO answer;
	RETURN answer;
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT, hint = PG_EXCEPTION_HINT;
	RETURN state || ': ' || regexp_replace(message, '\d{3,}|config \d+', '...', 'g') || CASE WHEN hint <> '' THEN ' (' || hint || ')' ELSE '' END;
END $$;
-- a config in the status wanted, with its last claim
CREATE FUNCTION pg_temp.config(wanted text, OUT id bigint, OUT claim bigint) LANGUAGE plpgsql AS $$
BEGIN
	SELECT config_id, claim_id INTO id, claim FROM benchorch.claim_batch(1, model_version_id => '00000000-0000-0000-0000-000000000001');
	IF wanted = 'pending' THEN
		PERFORM benchorch.update_status(id, 'pending');
	ELSIF wanted = 'failed' THEN
		PERFORM benchorch.update_status(id, 'failed', outcome => 'unsupported');
	ELSIF wanted <> 'running' THEN
		PERFORM benchorch.update_status(id, wanted);
	END IF;
	IF (SELECT status FROM benchorch.benchmark_configs c WHERE c.id = config.id) <> wanted THEN
		RAISE 'config did not become %', wanted;
	END IF;
END $$;

-- the whole table, without and with the claim that held the config last
CREATE TEMP TABLE transitions (nr serial, "from" text, "to" text, unfenced text, fenced text);
DO $$
DECLARE a text; b text; c record; first text; n int := 0;
BEGIN
	FOREACH a IN ARRAY '{pending,running,completed,failed,skipped,cancelled}'::text[] LOOP
		FOREACH b IN ARRAY '{pending,running,completed,failed,skipped,cancelled}'::text[] LOOP
			c := pg_temp.config(a);
			first := pg_temp.answer(format('SELECT benchorch.update_status(%s, %L)', c.id, b));
			IF a IN ('pending', 'running') AND NOT EXISTS (SELECT FROM benchorch.benchmark_configs AS k WHERE k.id = c.id AND k.status = a) THEN
				PERFORM benchorch.update_status(c.id, 'cancelled') FROM benchorch.benchmark_configs k WHERE k.id = c.id AND k.status = 'pending';
				c := pg_temp.config(a);
			END IF;
			INSERT INTO transitions ("from", "to", unfenced, fenced)
			VALUES (a, b, first, pg_temp.answer(format('SELECT benchorch.update_status(%s, %L, claim_id => %s)', c.id, b, c.claim)));
			-- start over with enough pending ones
			DELETE FROM benchorch.benchmark_configs;
			DELETE FROM benchorch.archived_configs;
			PERFORM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001', template => 'small');
			n := n + (SELECT count(*) FROM benchorch.check_invariants());
		END LOOP;
	END LOOP;
	RAISE WARNING 'broken invariants on the way: %', n;
END $$;
SELECT "from", "to", unfenced, fenced FROM transitions ORDER BY nr;

-- foreign, stale and impossible claims change nothing
CREATE TEMP TABLE held AS SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) AS n FROM benchorch.claim_batch(2);
SELECT pg_temp.answer(format('SELECT benchorch.update_status(%s, %L, claim_id => %s)', config_id, s, k))
FROM held, unnest('{completed,failed,pending,skipped,cancelled}'::text[]) s, (VALUES (0), (-1), (42), (9007199254740991)) AS k (k) WHERE n = 1 GROUP BY 1;
SELECT pg_temp.answer(format('SELECT benchorch.start(%s, 42)', config_id)) FROM held WHERE n = 1;
SELECT sqlstate, count(*) FROM benchorch.update_many(ARRAY(SELECT config_id FROM held ORDER BY n), '{0,42}', 'cancelled') GROUP BY 1;
SELECT DISTINCT status, retry_count FROM benchorch.benchmark_configs c JOIN held h ON h.config_id = c.id;
-- a claim that was taken over: the newer run stands
SELECT benchorch.reset_stale(0);
CREATE TEMP TABLE newer AS SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) AS n FROM benchorch.claim_batch(40);
SELECT pg_temp.answer(format('SELECT benchorch.update_status(%s, %L, claim_id => %s)', config_id, s, claim_id)) AS late, count(*)
FROM held, unnest('{completed,failed,pending,skipped,cancelled}'::text[]) s GROUP BY 1;
SELECT pg_temp.answer(format('SELECT benchorch.start(%s, %s)', config_id, claim_id)) AS late FROM held WHERE n = 1;
SELECT pg_temp.answer(format('SELECT benchorch.complete(%s, %s, %L)', config_id, claim_id, '{}')) AS late FROM held WHERE n = 1;
SELECT accepted, status, result_id IS NOT NULL AS kept FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'ok', '{"output_tokens_per_s": 1}') WHERE n = 1;
SELECT DISTINCT c.status, c.claim_id = n.claim_id AS newer_holds_it FROM benchorch.benchmark_configs c JOIN newer n ON n.config_id = c.id JOIN held h ON h.config_id = c.id;
SELECT * FROM benchorch.check_invariants();

-- the claim's holder may start, and start again
SELECT pg_temp.answer(format('SELECT benchorch.start(%s, %s)', config_id, claim_id)) AS started FROM newer WHERE n <= 2;
SELECT run_started, started_at <= clock_timestamp() AS began, count(*) FROM benchorch.benchmark_configs WHERE status = 'running' GROUP BY 1, 2 ORDER BY 1;

-- words, NULLs, unknown configs
SELECT pg_temp.answer('SELECT benchorch.update_status(NULL, ''completed'')');
SELECT pg_temp.answer('SELECT benchorch.update_status(1, NULL)');
SELECT pg_temp.answer('SELECT benchorch.update_status(1, ''done'')');
SELECT pg_temp.answer('SELECT benchorch.update_status(1, ''COMPLETED'')');
SELECT pg_temp.answer('SELECT benchorch.update_status(1, '''')');
SELECT pg_temp.answer('SELECT benchorch.update_status(1, ''failed'', outcome => ''bad'')');
SELECT pg_temp.answer('SELECT benchorch.update_status(1, ''completed'', outcome => ''crash'')');
SELECT pg_temp.answer('SELECT benchorch.update_status(1, ''failed'', outcome => ''ok'')');
SELECT pg_temp.answer('SELECT benchorch.update_status(999999999, ''completed'')');
SELECT pg_temp.answer('SELECT benchorch.update_status(999999999, ''completed'', claim_id => 42)');
SELECT pg_temp.answer('SELECT benchorch.start(NULL, 1)');
SELECT pg_temp.answer('SELECT benchorch.start(1, NULL)');
SELECT pg_temp.answer('SELECT benchorch.start(999999999, 42)');
SELECT pg_temp.answer('SELECT benchorch.update_many(NULL, ''{}'', ''failed'')');
SELECT pg_temp.answer('SELECT benchorch.update_many(''{1}'', ''{}'', ''failed'')');
SELECT pg_temp.answer('SELECT benchorch.update_many(''{NULL}'', ''{1}'', ''failed'')');
SELECT pg_temp.answer('SELECT benchorch.update_many(''{1}'', ''{1}'', ''nonsense'')');
SELECT count(*) FROM benchorch.update_many('{}', '{}', 'failed');
SELECT status, count(*) FROM benchorch.benchmark_configs GROUP BY 1 ORDER BY 1;

-- many in one transaction: in the order given, one that is refused does not spoil the others
SELECT row_number() OVER () AS nr, n.n AS config, u.sqlstate, regexp_replace(u.message, '\d+', '...', 'g') AS message
FROM benchorch.update_many(ARRAY(SELECT config_id FROM newer WHERE n <= 3 ORDER BY n DESC) || 999999999::bigint || ARRAY(SELECT config_id FROM newer WHERE n = 3),
	ARRAY(SELECT CASE n WHEN 2 THEN 42 ELSE claim_id END FROM newer WHERE n <= 3 ORDER BY n DESC) || 42::bigint || ARRAY(SELECT claim_id FROM newer WHERE n = 3),
	'completed') u LEFT JOIN newer n USING (config_id);
SELECT n.n, c.status FROM newer n JOIN benchorch.benchmark_configs c ON c.id = n.config_id WHERE n.n <= 3 ORDER BY n.n;
SELECT * FROM benchorch.check_invariants();

-- what a message says: the replaced system's own words
CREATE TEMP VIEW next AS SELECT n.config_id FROM newer n JOIN benchorch.benchmark_configs c ON c.id = n.config_id AND c.claim_id = n.claim_id
WHERE c.status = 'running' ORDER BY n.config_id LIMIT 1;
SELECT benchorch.update_status(config_id, 'failed', 'OOM killed during inference') FROM next;
SELECT benchorch.update_status(config_id, 'failed', 'torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB') FROM next;
SELECT benchorch.update_status(config_id, 'failed', 'Segmentation fault') FROM next;
SELECT benchorch.update_status(config_id, 'failed', 'OOM killed during inference', outcome => 'timeout') FROM next;
SELECT benchorch.update_status(config_id, 'failed') FROM next;
SELECT outcome, blamed, status, message FROM benchorch.attempts ORDER BY id DESC LIMIT 5;
SELECT status, retry_count, error_message, completed_at IS NOT NULL AS settled, count(*) FROM benchorch.benchmark_configs
WHERE error_message IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 3, 1;
SELECT * FROM benchorch.check_invariants();

-- the retry policy, outcome by outcome: fails until it is failed for good, or eight times
CREATE FUNCTION pg_temp.ordeal(the_outcome text, the_template text DEFAULT 'one', with_worker boolean DEFAULT false) RETURNS TABLE (attempt int, now text, delay text, retry_count int, blamed boolean)
LANGUAGE plpgsql AS $$
DECLARE c record; w uuid;
BEGIN
	PERFORM benchorch.cancel('00000000-0000-0000-0000-000000000001');
	DELETE FROM benchorch.benchmark_configs;
	DELETE FROM benchorch.archived_configs;
	IF NOT EXISTS (SELECT FROM benchorch.templates WHERE name = the_template) THEN
		PERFORM benchorch.create_template(the_template, '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"], "batch_sizes": [1], "sequence_lengths": [1024]}');
	END IF;
	PERFORM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001', template => the_template);
	FOR i IN 1 .. 8 LOOP
		IF with_worker THEN
			w := benchorch.register_worker('w' || i, 'g5.xlarge', '{vLLM, SGLang}');
		END IF;
		SELECT b.config_id, b.claim_id, b.attempt INTO c FROM benchorch.claim_batch(1, worker_id => w) AS b;
		IF NOT FOUND THEN
			RETURN;
		END IF;
		attempt := c.attempt;
		PERFORM benchorch.start(c.config_id, c.claim_id);
		IF the_outcome = 'lost' THEN
			UPDATE benchorch.benchmark_configs AS k SET started_at = now() - interval '3 hours' WHERE k.id = c.config_id;
			PERFORM benchorch.reset_stale();
		ELSE
			PERFORM benchorch.update_status(c.config_id, 'failed', 'attempt ' || i, c.claim_id, the_outcome);
		END IF;
		SELECT k.status, k.retry_count INTO now, retry_count FROM benchorch.benchmark_configs AS k WHERE k.id = c.config_id;
		SELECT a.blamed INTO blamed FROM benchorch.attempts AS a WHERE a.config_id = c.config_id AND a.claim_id = c.claim_id;
		delay := (SELECT (round(extract(epoch FROM d.due_at - clock_timestamp()) / 5) * 5)::int || ' s' FROM benchorch.delayed_configs AS d WHERE d.config_id = c.config_id);
		RETURN NEXT;
		-- its time has come
		UPDATE benchorch.delayed_configs SET due_at = clock_timestamp();
		IF EXISTS (SELECT FROM benchorch.check_invariants()) THEN
			RAISE WARNING 'invariants broken: %', (SELECT string_agg(k::text, ', ') FROM benchorch.check_invariants() AS k);
		END IF;
	END LOOP;
END $$;
SELECT * FROM pg_temp.ordeal('crash');
SELECT * FROM pg_temp.ordeal(NULL);
SELECT * FROM pg_temp.ordeal('timeout');
SELECT * FROM pg_temp.ordeal('bad_output');
SELECT * FROM pg_temp.ordeal('gpu_oom');
SELECT * FROM pg_temp.ordeal('host_oom');
SELECT * FROM pg_temp.ordeal('unsupported');
SELECT * FROM pg_temp.ordeal('bad_config');
SELECT * FROM pg_temp.ordeal('node_fault');
SELECT * FROM pg_temp.ordeal('gpu_fault');
SELECT * FROM pg_temp.ordeal('preempted');
SELECT * FROM pg_temp.ordeal('lost');
-- an operator's retry gives all the retries again
SELECT benchorch.retry_failed(:m);
SELECT status, retry_count, error_message, (SELECT count(*) FROM benchorch.attempts a WHERE a.config_id = c.id AND a.blamed) AS blamed,
	(SELECT count(*) FROM benchorch.attempts a WHERE a.config_id = c.id) AS attempts FROM benchorch.benchmark_configs c;
-- limits and delays are the template's
SELECT benchorch.create_template('strict', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"], "batch_sizes": [1], "sequence_lengths": [1024],
	"limits": {"crash_retries": 2, "crash_delays_s": [5], "timeout_retries": 0, "bad_output_retries": 3, "max_losses": 2, "deadline_s": 90}}') > 0 AS made;
SELECT * FROM pg_temp.ordeal('crash', 'strict');
SELECT * FROM pg_temp.ordeal('timeout', 'strict');
SELECT * FROM pg_temp.ordeal('bad_output', 'strict');
SELECT * FROM pg_temp.ordeal('lost', 'strict');
SELECT benchorch.retry_failed(:m);
SELECT deadline FROM benchorch.claim_batch(1);
-- while it waits, a config is not claimable; at its time it is
SELECT benchorch.update_status(config_id, 'failed', outcome => 'crash') FROM (SELECT id AS config_id FROM benchorch.benchmark_configs WHERE status = 'running') s;
SELECT count(*) FROM benchorch.claim_batch(1);
UPDATE benchorch.delayed_configs SET due_at = clock_timestamp();
SELECT attempt FROM benchorch.claim_batch(1);
-- faults cost the worker: node_fault the framework, gpu_fault all
SELECT * FROM pg_temp.ordeal('node_fault', 'one', true);
SELECT name, state, cardinality(framework_ids) AS frameworks, reason FROM benchorch.workers ORDER BY name;
UPDATE benchorch.workers SET name = 'n' || name;
SELECT * FROM pg_temp.ordeal('gpu_fault', 'one', true) LIMIT 1;
SELECT name, state, cardinality(framework_ids) AS frameworks, reason FROM benchorch.workers WHERE name = 'w1';
-- a crash goes to another worker where there is one
UPDATE benchorch.workers SET state = 'quarantined';
SELECT benchorch.cancel(:m) >= 0 AS cancelled;
SELECT * FROM pg_temp.ordeal('bad_config') LIMIT 1;
SELECT benchorch.register_worker('a', 'g5.xlarge', '{vLLM}') AS a, benchorch.register_worker('b', 'g5.xlarge', '{vLLM}') AS b \gset
SELECT benchorch.retry_failed(:m);
SELECT benchorch.update_status(config_id, 'failed', claim_id => claim_id, outcome => 'crash') FROM benchorch.claim_batch(1, worker_id => :'a');
UPDATE benchorch.delayed_configs SET due_at = clock_timestamp();
SELECT count(*) FROM benchorch.claim_batch(1, worker_id => :'a');
SELECT count(*) FROM benchorch.claim_batch(1, worker_id => :'b');
SELECT benchorch.release(:'b');
SELECT benchorch.update_status(config_id, 'failed', claim_id => claim_id, outcome => 'crash') FROM benchorch.claim_batch(1, worker_id => :'b');
UPDATE benchorch.delayed_configs SET due_at = clock_timestamp();
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute' WHERE worker_id = :'a';
SELECT count(*) AS alone FROM benchorch.claim_batch(1, worker_id => :'b');
SELECT * FROM benchorch.check_invariants();

-- out of GPU memory on a free GPU: what is pending in the lane and at least as large is skipped, naming the witness
\set o '\'00000000-0000-0000-0000-000000000002\''
SELECT benchorch.cancel(:m) >= 0 AS cancelled, benchorch.register_model('oom', :o) = :o AS registered;
SELECT benchorch.create_template('oom', '{"hardware": ["g6.xlarge"], "frameworks": ["vLLM", "SGLang"], "workloads": ["qa", "chatbot"],
	"batch_sizes": [1, 2, 4], "sequence_lengths": [1024, 2048, 4096]}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:o, template => 'oom');
SELECT benchorch.register_worker('oom', 'g6.xlarge', '{vLLM}') AS w \gset
CREATE TEMP VIEW sizes AS SELECT f.name AS framework, c.status, string_agg(c.batch_size || 'x' || c.sequence_length / 1024 || 'k', ' ' ORDER BY c.workload_type, c.batch_size, c.sequence_length) AS sizes
	FROM benchorch.benchmark_configs c JOIN benchorch.frameworks f ON f.id = c.framework_id
	WHERE c.model_version_id = '00000000-0000-0000-0000-000000000002' GROUP BY 1, 2 ORDER BY 1 DESC, 2;
-- the one that meets it first, while others run
UPDATE benchorch.benchmark_configs SET priority = CASE WHEN workload_type = 'qa' AND batch_size = 2 AND sequence_length = 2048 THEN 1 ELSE 2 END
WHERE model_version_id = :o AND workload_type = 'qa' AND batch_size = 2 AND sequence_length >= 2048;
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, row_number() OVER (ORDER BY priority) FROM benchorch.claim_batch(2, worker_id => :'w', model_version_id => :o);
SELECT b.batch_size, b.sequence_length FROM held JOIN benchorch.benchmark_configs b ON b.id = config_id ORDER BY n;
SELECT accepted, status FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'gpu_oom', '', details => '{"gpu_free_share": 0.97, "message": "CUDA out of memory"}') WHERE n = 1;
SELECT * FROM sizes;
SELECT DISTINCT c.status, c.witness_id = h.config_id AS names_the_witness, regexp_replace(c.error_message, '\d+', 'N') AS why
FROM benchorch.benchmark_configs c, held h WHERE c.model_version_id = :o AND c.status = 'skipped' AND h.n = 1;
SELECT * FROM benchorch.check_invariants();
-- undone by retry_failed, alone or with all
SELECT benchorch.retry_failed(:o, 'crash');
SELECT benchorch.retry_failed(:o, 'gpu_oom');
SELECT * FROM sizes;
SELECT * FROM benchorch.check_invariants();
-- not known how much was free: it fails, and prunes nothing
SELECT accepted, status FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'gpu_oom', '') WHERE n = 2;
SELECT status, count(*) FROM benchorch.benchmark_configs WHERE model_version_id = :o GROUP BY 1 ORDER BY 1;
-- something else was on the GPU: the node's fault
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, row_number() OVER (ORDER BY priority) FROM benchorch.claim_batch(1, worker_id => :'w', model_version_id => :o);
SELECT accepted, status FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'gpu_oom', '', details => '{"gpu_free_share": 0.94}');
SELECT a.outcome, a.blamed, w.state, cardinality(w.framework_ids) AS frameworks FROM held h JOIN benchorch.attempts a USING (config_id, claim_id) JOIN benchorch.workers w ON w.id = a.worker_id;
SELECT * FROM benchorch.check_invariants();

-- the engine ran out of it before it was ready: nothing of its lane fits
SELECT benchorch.register_worker('lane', 'g6.xlarge', '{SGLang}') AS l \gset
TRUNCATE held;
INSERT INTO held SELECT config_id, claim_id, 1 FROM benchorch.claim_batch(1, worker_id => :'l', model_version_id => :o);
SELECT status, count(*) FROM benchorch.benchmark_configs c JOIN benchorch.frameworks f ON f.id = c.framework_id AND f.name = 'SGLang' WHERE model_version_id = :o GROUP BY 1 ORDER BY 1;
SELECT accepted, status FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'gpu_oom', '', details => '{"gpu_free_share": 0.99, "before_ready": true}');
SELECT status, count(*) FROM benchorch.benchmark_configs c JOIN benchorch.frameworks f ON f.id = c.framework_id AND f.name = 'SGLang' WHERE model_version_id = :o GROUP BY 1 ORDER BY 1;
SELECT DISTINCT regexp_replace(error_message, '\d+', 'N') AS why FROM benchorch.benchmark_configs c JOIN benchorch.frameworks f ON f.id = c.framework_id AND f.name = 'SGLang'
WHERE model_version_id = :o AND c.status = 'skipped';
SELECT * FROM benchorch.check_invariants();

-- three failures in a row, of different configs: the worker is quarantined, and the attempts are refunded
SELECT benchorch.cancel(:o) > 0 AS cancelled, benchorch.retry_failed(:o) > 0 AS opened;
SELECT benchorch.register_worker('broken', 'g6.xlarge', '{SGLang}') AS b, benchorch.register_worker('sound', 'g6.xlarge', '{SGLang}') AS s \gset
CREATE FUNCTION pg_temp.fail(worker uuid, outcome text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE c record; now text;
BEGIN
	SELECT * INTO c FROM benchorch.claim_batch(1, worker_id => worker, model_version_id => '00000000-0000-0000-0000-000000000002');
	now := (SELECT h.status FROM benchorch.hand_in(c.config_id, c.claim_id, outcome, '') AS h);
	UPDATE benchorch.delayed_configs SET due_at = due_at + interval '1 hour';
	RETURN now || ', worker ' || (SELECT w.state FROM benchorch.workers AS w WHERE w.id = worker);
END $$;
SELECT pg_temp.fail(:'b', 'crash');
SELECT pg_temp.fail(:'b', 'crash');
SELECT pg_temp.fail(:'b', 'crash');
SELECT reason FROM benchorch.workers WHERE id = :'b';
SELECT count(*) AS attempts, count(*) FILTER (WHERE blamed) AS blamed FROM benchorch.attempts WHERE worker_id = :'b';
SELECT count(*) FROM benchorch.claim_batch(1, worker_id => :'b');
SELECT * FROM benchorch.check_invariants();
-- a success in between, or a failure that is the config's own, starts the count again
SELECT benchorch.unquarantine_worker(:'b');
SELECT pg_temp.fail(:'b', 'crash');
SELECT pg_temp.fail(:'b', 'crash');
SELECT status FROM benchorch.claim_batch(1, worker_id => :'b', model_version_id => :o) c, LATERAL benchorch.hand_in(c.config_id, c.claim_id, 'ok', '{"a": 1}');
SELECT pg_temp.fail(:'b', 'crash');
SELECT pg_temp.fail(:'b', 'crash');
SELECT state FROM benchorch.workers WHERE id = :'b';
-- nor where another worker has failed on one of them too: then it is the config
CREATE TEMP TABLE shared AS SELECT config_id FROM benchorch.delayed_configs WHERE false;
SELECT pg_temp.fail(:'s', 'crash');
INSERT INTO shared SELECT config_id FROM benchorch.attempts WHERE worker_id = :'s';
UPDATE benchorch.benchmark_configs SET priority = -1 WHERE id = (SELECT config_id FROM shared);	-- at once, and first
SELECT pg_temp.fail(:'b', 'crash');
SELECT config_id = (SELECT config_id FROM shared) AS the_same FROM benchorch.attempts WHERE worker_id = :'b' ORDER BY id DESC LIMIT 1;
SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
