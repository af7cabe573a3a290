-- claim_batch: who gets what, in which order, and how much of it.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set SHOW_CONTEXT never
\set m '\'00000000-0000-0000-0000-000000000001\''
\set other '\'00000000-0000-0000-0000-000000000002\''
\set VERBOSITY terse
SELECT benchorch.seed_reference_data();
SELECT count(benchorch.register_model('m' || n, ('00000000-0000-0000-0000-00000000000' || n)::uuid, source => 'org/m' || n)) FROM generate_series(1, 4) AS n;
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE state text; message text;
BEGIN
	EXECUTE statement;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN state || ': ' || message;
END $$;

-- nothing there: nothing claimed
SELECT count(*) FROM benchorch.claim_batch();
SELECT created FROM benchorch.populate_matrix(:m);

-- bad arguments change nothing
SELECT pg_temp.refusal('SELECT benchorch.claim_batch(0)');
SELECT pg_temp.refusal('SELECT benchorch.claim_batch(-1)');
SELECT pg_temp.refusal('SELECT benchorch.claim_batch(501)');
SELECT pg_temp.refusal('SELECT benchorch.claim_batch(NULL)');
SELECT pg_temp.refusal('SELECT benchorch.claim_batch(1, NULL)');
SELECT pg_temp.refusal($$SELECT benchorch.claim_batch(worker_id => 'ffffffff-0000-0000-0000-000000000000')$$);
SELECT pg_temp.refusal($$SELECT benchorch.claim_batch(model_version_id => 'ffffffff-0000-0000-0000-000000000000')$$);
SELECT status, count(*) FROM benchorch.benchmark_configs GROUP BY 1;

-- what a claim says of a config
SELECT attempt, lease_expires_at IS NULL AS no_lease, model_version_id = :m AS model, model_name, model_source, hardware_name IS NOT NULL AS hardware,
	framework_name IS NOT NULL AS framework, protocol, command[1] IS NOT NULL AS command, deadline, workload_type, batch_size, sequence_length,
	input_tokens, output_tokens, gpus, params, priority
FROM benchorch.claim_batch(1);
SELECT status, attempt, started_at <= clock_timestamp() AS started, run_started, claim_id BETWEEN 1 AND 1::bigint << 53 AS below_2_53,
	retry_count FROM benchorch.benchmark_configs WHERE status = 'running';
SELECT * FROM benchorch.check_invariants();

-- input + output tokens = sequence length, by the workload's share
SELECT DISTINCT workload_type, sequence_length, input_tokens, output_tokens, input_tokens + output_tokens = sequence_length AS add_up
FROM benchorch.claim_batch(500) WHERE sequence_length = 4096 ORDER BY 1;
SELECT benchorch.reset_stale(0) > 0 AS put_back;
SELECT status, count(*) FROM benchorch.benchmark_configs GROUP BY 1;

-- strictly by priority, exactly as many as asked, no config twice
CREATE TEMP TABLE held AS SELECT 0 AS call, c.* FROM benchorch.claim_batch(1) WITH ORDINALITY c WITH NO DATA;
DO $$ BEGIN
	FOR nth IN 1 .. 18 LOOP
		INSERT INTO held SELECT nth, c.* FROM benchorch.claim_batch() WITH ORDINALITY AS c;
	END LOOP;
END $$;
SELECT call, count(*), min(priority), max(priority), count(DISTINCT claim_id) AS claims FROM held GROUP BY call ORDER BY call;
SELECT count(*) AS handed_out, count(DISTINCT config_id) AS configs FROM held;
SELECT count(*) AS too_early FROM (SELECT call, max(priority) AS most, lead(min(priority)) OVER (ORDER BY call) AS next FROM held GROUP BY call) s WHERE next < most;
SELECT count(*) FROM benchorch.claim_batch();
SELECT * FROM benchorch.check_invariants();
-- the order is by priority in the answer too
SELECT count(*) AS out_of_order FROM (SELECT priority, lag(priority) OVER (ORDER BY ordinality) AS before FROM held WHERE call = 3) s WHERE priority < before;
SELECT benchorch.reset_stale(0);

-- every size from 1 to 500
SELECT n, (SELECT count(*) FROM benchorch.claim_batch(n)) FROM (VALUES (1), (7), (99), (100), (101), (499), (500)) AS s (n);
SELECT count(*) FROM benchorch.claim_batch(500);
SELECT benchorch.reset_stale(0);

-- the threshold is inclusive; what is over it stays
SELECT count(*), min(priority), max(priority) FROM benchorch.claim_batch(500, 129);
SELECT count(*), min(priority), max(priority) FROM benchorch.claim_batch(500, 130);
SELECT count(*) FROM benchorch.claim_batch(500, 99);
UPDATE benchorch.benchmark_configs SET priority = 2000 WHERE priority > 500 AND status = 'pending';
SELECT count(*) FROM benchorch.claim_batch(500);
SELECT count(*) > 0 AS more FROM benchorch.claim_batch(500);
SELECT count(*) > 0 AS more FROM benchorch.claim_batch(500);
SELECT count(*) FROM benchorch.claim_batch(500);
SELECT count(*) FROM benchorch.claim_batch(500, 2147483647);
SELECT * FROM benchorch.check_invariants();

-- only the model version that is asked for
SELECT benchorch.cancel(:m) > 0 AS cancelled;
SELECT benchorch.create_template('four', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"], "batch_sizes": [1, 2], "sequence_lengths": [1024, 2048]}') > 0 AS made;
SELECT count(benchorch.populate_matrix(('00000000-0000-0000-0000-00000000000' || n)::uuid, template => 'four')) FROM generate_series(2, 3) AS n;
SELECT model_name, count(*) FROM benchorch.claim_batch(500, model_version_id => :other) GROUP BY 1;
SELECT count(*) FROM benchorch.claim_batch(500, model_version_id => :other);
SELECT model_name, count(*) FROM benchorch.claim_batch(500) GROUP BY 1;
SELECT benchorch.reset_stale(0);

-- a batch of several model versions goes strictly by priority
UPDATE benchorch.benchmark_configs SET priority = 5 WHERE model_version_id = '00000000-0000-0000-0000-000000000003' AND batch_size = 2 AND sequence_length = 2048;
SELECT model_name, priority FROM benchorch.claim_batch(3) ORDER BY priority, model_name;
SELECT benchorch.reset_stale(0);
SELECT count(benchorch.cancel(('00000000-0000-0000-0000-00000000000' || n)::uuid)) FROM generate_series(2, 3) AS n;
SELECT * FROM benchorch.check_invariants();

-- a worker gets only what it fits: hardware, frameworks, GPUs
SELECT benchorch.create_template('wide', '{"hardware": ["p5.48xlarge", "g5.xlarge"], "frameworks": ["vLLM", "SGLang"], "workloads": ["qa", "chatbot"],
	"batch_sizes": [1, 2], "sequence_lengths": [1024], "dimensions": {"tensor_parallel": {"kind": "engine", "values": [1, 8]}},
	"exclude": [{"hardware": "g5.xlarge", "tensor_parallel": 8}]}') > 0 AS made;
\set w '\'00000000-0000-0000-0000-000000000004\''
SELECT created FROM benchorch.populate_matrix(:w, template => 'wide');
SELECT benchorch.register_worker('slot', 'p5.48xlarge', '{vLLM}', '{"gpus": 4}') AS slot,
	benchorch.register_worker('whole', 'p5.48xlarge', '{vLLM, SGLang}') AS whole,
	benchorch.register_worker('small', 'g5.xlarge', '{SGLang}') AS small,
	benchorch.register_worker('none', 'p4d.24xlarge', '{vLLM}') AS none \gset
-- each alone: the others' leases have run out
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute' WHERE worker_id <> :'slot';
SELECT hardware_name, framework_name, gpus, params -> 'tensor_parallel' AS tp, count(*), bool_and(lease_expires_at > now()) AS lease
FROM benchorch.claim_batch(100, worker_id => :'slot') GROUP BY 1, 2, 3, 4;
SELECT count(*) FROM benchorch.claim_batch(100, worker_id => :'slot');
SELECT count(*) FROM benchorch.claim_batch(100, worker_id => :'none');
SELECT hardware_name, framework_name, gpus, count(*) FROM benchorch.claim_batch(100, worker_id => :'small') GROUP BY 1, 2, 3;
SELECT count(*) FROM benchorch.claim_batch(100, worker_id => :'small');
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute' WHERE worker_id IN (:'none', :'small');
SELECT benchorch.release(:'slot') AS slot, benchorch.release(:'small') AS small;
SELECT status, retry_count, count(*) FROM benchorch.benchmark_configs WHERE model_version_id = :w GROUP BY 1, 2;

-- one lane per batch, and the warm lane until it is empty, however urgent the others are
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute' WHERE worker_id <> :'whole';
CREATE TEMP TABLE batches AS SELECT 0 AS call, c.* FROM benchorch.claim_batch(1) c WITH NO DATA;
SELECT benchorch.reset_stale(0);
DO $$
DECLARE n int;
BEGIN
	FOR nth IN 1 .. 20 LOOP
		INSERT INTO batches SELECT nth, c.* FROM benchorch.claim_batch(3, worker_id => (SELECT id FROM benchorch.workers WHERE name = 'whole')) AS c;
		GET DIAGNOSTICS n = ROW_COUNT;
		EXIT WHEN n = 0;
	END LOOP;
END $$;
SELECT call, count(*), count(DISTINCT (framework_name, gpus)) AS lanes, count(DISTINCT claim_id) AS claims, min(priority), max(priority)
FROM batches GROUP BY call ORDER BY call;
SELECT hardware_name, count(DISTINCT config_id) AS configs FROM batches GROUP BY 1;
-- how often an engine was started: once a lane
SELECT count(*) FILTER (WHERE lane IS DISTINCT FROM before) AS engine_starts, count(DISTINCT lane) AS lanes
FROM (SELECT call, min(framework_name || gpus) AS lane, lag(min(framework_name || gpus)) OVER (ORDER BY call) AS before FROM batches GROUP BY call) s;
SELECT benchorch.release(:'whole');
SELECT * FROM benchorch.check_invariants();

-- unless another lane is more urgent by more than the cost of a switch
SELECT lane_id AS warm FROM benchorch.worker_leases WHERE worker_id = :'whole' \gset
UPDATE benchorch.benchmark_configs c SET priority = -900 + 100 WHERE lane_id <> :warm AND model_version_id = :w AND workload_type = 'chatbot' AND gpus = 8;
SELECT count(*), bool_and(c.lane_id = :warm) AS warm FROM benchorch.claim_batch(1, worker_id => :'whole') b JOIN benchorch.benchmark_configs c ON c.id = b.config_id;
UPDATE benchorch.benchmark_configs c SET priority = -2000 WHERE lane_id <> :warm AND model_version_id = :w AND workload_type = 'chatbot' AND gpus = 8;
SELECT count(*), bool_and(c.lane_id = :warm) AS warm, min(b.priority) FROM benchorch.claim_batch(1, worker_id => :'whole') b JOIN benchorch.benchmark_configs c ON c.id = b.config_id;
SELECT benchorch.release(:'whole');
SELECT * FROM benchorch.check_invariants();

-- a draining or quarantined worker gets nothing
UPDATE benchorch.workers SET state = 'quarantined', reason = 'test' WHERE name = 'whole';
SELECT count(*) FROM benchorch.claim_batch(100, worker_id => :'whole');
UPDATE benchorch.workers SET state = 'draining' WHERE name = 'whole';
SELECT count(*) FROM benchorch.claim_batch(100, worker_id => :'whole');
UPDATE benchorch.workers SET state = 'active', reason = NULL WHERE name = 'whole';

-- the longest first among equals
SELECT benchorch.cancel(:w) > 0 AS cancelled;
DELETE FROM benchorch.benchmark_configs WHERE model_version_id = :other;
BEGIN;
DELETE FROM benchorch.archived_configs;
UPDATE benchorch.priority_weights SET weight = 0 WHERE dimension IN ('batch_size', 'sequence_length');
SELECT created FROM benchorch.populate_matrix(:other, template => 'four');
COMMIT;
SELECT benchorch.register_worker('g5', 'g5.xlarge', '{vLLM}') AS g5 \gset
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute' WHERE worker_id <> :'g5';
SELECT priority, batch_size * sequence_length AS work FROM benchorch.claim_batch(1, worker_id => :'g5');
SELECT priority, batch_size * sequence_length AS work FROM benchorch.claim_batch(2, worker_id => :'g5');
SELECT priority, batch_size * sequence_length AS work FROM benchorch.claim_batch(1, worker_id => :'g5');
SELECT benchorch.release(:'g5');

-- paused: neither kind of claim takes it, and resumed it is all there
SELECT benchorch.pause(:other);
SELECT count(*) FROM benchorch.claim_batch();
SELECT count(*) FROM benchorch.claim_batch(worker_id => :'g5');
SELECT count(*) FROM benchorch.claim_batch(model_version_id => :other);
SELECT benchorch.resume(:other);
SELECT count(*) FROM benchorch.claim_batch(worker_id => :'g5');
SELECT benchorch.release(:'g5');
SELECT * FROM benchorch.check_invariants();
SELECT benchorch.cancel(:other);

-- a batch leaves enough for the other live workers: ten of them end 600 equal configs together
\set fair '\'00000000-0000-0000-0000-000000000003\''
SELECT benchorch.create_template('fair', jsonb_build_object('hardware', '["g6.xlarge"]'::jsonb, 'frameworks', '["vLLM"]'::jsonb, 'workloads', '["chatbot"]'::jsonb,
	'batch_sizes', (SELECT jsonb_agg(n) FROM generate_series(1, 300) n), 'sequence_lengths', '[1024, 2048]'::jsonb)) > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:fair, template => 'fair');
SELECT count(benchorch.register_worker('fair' || n, 'g6.xlarge', '{vLLM}')) FROM generate_series(1, 10) n;
CREATE TEMP TABLE work (turn int, worker text, n bigint);
-- each turn is a time unit: who has nothing left claims, then everybody runs one config
DO $$
DECLARE
	turn int := 0;
	w record;
	left_over int[] := array_fill(0, ARRAY[10]);
	got int;
	done int := 0;
BEGIN
	WHILE done < 600 AND turn < 1000 LOOP
		turn := turn + 1;
		FOR w IN SELECT id, name, substr(name, 5)::int AS i FROM benchorch.workers WHERE name ~ '^fair' ORDER BY 3 LOOP
			IF left_over[w.i] = 0 THEN
				WITH c AS (SELECT * FROM benchorch.claim_batch(100, 100000, w.id))
				INSERT INTO work SELECT turn, w.name, count(*) FROM c RETURNING n INTO got;
				left_over[w.i] := got;
			END IF;
			IF left_over[w.i] > 0 THEN
				left_over[w.i] := left_over[w.i] - 1;
				done := done + 1;
			END IF;
		END LOOP;
	END LOOP;
	RAISE WARNING 'configs done: %, ideal turns: 60, at most 5 %% more: %', done, turn <= 63;
END $$;
SELECT sum(n) AS claimed, max(n) <= 100 AS within_the_batch_size, min(n) FILTER (WHERE n > 0) AS least,
	(SELECT max(n) FROM work WHERE turn = 1) <= 60 AS first_leaves_enough FROM work;
-- alone, a worker gets what it asks for
SELECT count(benchorch.release(id)) FROM benchorch.workers WHERE name ~ '^fair';
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute';
CREATE TEMP TABLE taken AS SELECT config_id FROM benchorch.claim_batch(100, 100000, (SELECT id FROM benchorch.workers WHERE name = 'fair1'));
SELECT count(*) FROM taken;
-- the two kinds of claim know of each other
INSERT INTO taken SELECT config_id FROM benchorch.claim_batch(450, 100000);
INSERT INTO taken SELECT config_id FROM benchorch.claim_batch(100, 100000, (SELECT id FROM benchorch.workers WHERE name = 'fair1'));
INSERT INTO taken SELECT config_id FROM benchorch.claim_batch(100, 100000);
SELECT count(*), count(DISTINCT config_id) FROM taken;
-- nor is taken what was cancelled
SELECT benchorch.reset_stale(0) > 0 AS put_back, benchorch.release((SELECT id FROM benchorch.workers WHERE name = 'fair1')) > 0 AS released;
SELECT benchorch.update_status(id, 'cancelled') AS now, count(*) FROM benchorch.benchmark_configs WHERE model_version_id = :fair AND batch_size <= 150 GROUP BY 1;
SELECT count(*), min(batch_size) FROM benchorch.claim_batch(250, 100000, model_version_id => :fair);
SELECT count(*), min(batch_size) FROM benchorch.claim_batch(250, 100000, (SELECT id FROM benchorch.workers WHERE name = 'fair1'));
SELECT * FROM benchorch.check_invariants();

-- claim_next: completes one and claims the next, under the same claim where that was its only config
SELECT count(benchorch.cancel(id)) FROM benchorch.model_versions;
SELECT benchorch.reset_stale(0);
SELECT count(benchorch.release(id)) FROM benchorch.workers;
\set next '\'00000000-0000-0000-0000-000000000005\''
SELECT benchorch.register_model('m5', :next) IS NOT NULL AS registered;
SELECT benchorch.create_template('nine', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"], "batch_sizes": [1, 2, 3, 4, 5, 6, 7, 8, 9], "sequence_lengths": [1024]}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:next, template => 'nine');
CREATE FUNCTION pg_temp.look() RETURNS TABLE (statuses text, claims bigint, counted boolean, broken bigint) LANGUAGE sql AS $$
	SELECT (SELECT string_agg(status, ' ' ORDER BY batch_size) FROM benchorch.benchmark_configs WHERE model_version_id = '00000000-0000-0000-0000-000000000005'),
		(SELECT count(*) FROM benchorch.claims), (SELECT (benchorch.progress('00000000-0000-0000-0000-000000000005') ->> 'completed')::bigint = count(*)
		FROM benchorch.benchmark_configs WHERE status = 'completed' AND model_version_id = '00000000-0000-0000-0000-000000000005'),
		(SELECT count(*) FROM benchorch.check_invariants()) $$;
SELECT pg_temp.refusal('SELECT benchorch.claim_next(1)');
SELECT pg_temp.refusal('SELECT benchorch.claim_next(claim_id => 1)');
SELECT pg_temp.refusal('SELECT benchorch.claim_next(priority_threshold => NULL)');
SELECT pg_temp.refusal('SELECT benchorch.claim_next(0, 0)');
-- without a config it only claims
SELECT config_id AS c1, claim_id AS k1, batch_size, attempt, lease_expires_at IS NULL AS no_lease FROM benchorch.claim_next() \gset first_
SELECT :first_batch_size AS batch_size, :first_attempt AS attempt, :'first_no_lease' AS no_lease;
SELECT * FROM pg_temp.look();
SELECT config_id AS c2, claim_id AS k2, batch_size FROM benchorch.claim_next(:first_c1, :first_k1) \gset second_
SELECT :second_batch_size AS batch_size, :second_k2 = :first_k1 AS same_claim, :second_c2 <> :first_c1 AS other_config;
SELECT * FROM pg_temp.look();
SELECT config_ids = ARRAY[:second_c2]::bigint[] AS claim_has_it FROM benchorch.claims;
-- what is late, or another's, is refused, and nothing is claimed; what is completed already stays so, and the next claim is a new one
SELECT pg_temp.refusal(format('SELECT benchorch.claim_next(%s, %s)', :second_c2, :first_k1 + 1)) ~ '^BO001' AS refused;
SELECT pg_temp.refusal(format('SELECT benchorch.claim_next(%s, %s)', 999999999, :first_k1)) ~ '^BO001' AS refused;
SELECT pg_temp.refusal(format('SELECT benchorch.claim_next(%s, %s, worker_id => %L)', :second_c2, :second_k2, 'ffffffff-0000-0000-0000-000000000000')) ~ '^42704' AS refused;
SELECT * FROM pg_temp.look();
SELECT batch_size, claim_id = :first_k1 AS same_claim FROM benchorch.claim_next(:first_c1, :first_k1);
SELECT * FROM pg_temp.look();
-- a config that was claimed before begins a claim of its own: no pair is used twice
SELECT batch_size FROM benchorch.claim_next();
SELECT benchorch.update_status(id, 'pending') FROM benchorch.benchmark_configs WHERE model_version_id = :next AND batch_size = 6;
UPDATE benchorch.benchmark_configs SET priority = -1 WHERE model_version_id = :next AND batch_size = 6;
SELECT batch_size, attempt, claim_id = :second_k2 AS same_claim, config_id AS c3, claim_id AS k3 FROM benchorch.claim_next(:second_c2, :second_k2) \gset third_
SELECT :third_batch_size AS batch_size, :third_attempt AS attempt, :'third_same_claim' AS same_claim;
SELECT * FROM pg_temp.look();
-- from one claim of several each begins a new one, and the last that is left of it ends it
SELECT count(*) FROM benchorch.claim_next(:third_c3, :third_k3, priority_threshold => -1);
CREATE TEMP TABLE pair AS SELECT * FROM benchorch.claim_batch(2);
SELECT n.batch_size, n.claim_id = p.claim_id AS same_claim FROM (SELECT * FROM pair ORDER BY batch_size LIMIT 1) AS p, LATERAL benchorch.claim_next(p.config_id, p.claim_id) AS n;
SELECT * FROM pg_temp.look();
SELECT count(*) FROM (SELECT * FROM pair ORDER BY batch_size DESC LIMIT 1) AS p, LATERAL benchorch.claim_next(p.config_id, p.claim_id) AS n;
SELECT * FROM pg_temp.look();
-- the last ones: nothing follows, and the model is ranked
SELECT count(benchorch.update_status(id, 'cancelled')) FROM benchorch.benchmark_configs WHERE model_version_id = :next AND status = 'pending';
SELECT count(n) AS more FROM benchorch.benchmark_configs AS c, LATERAL benchorch.claim_next(c.id, c.claim_id) AS n
WHERE c.model_version_id = :next AND c.status = 'running';
SELECT finalized_at IS NOT NULL AS ranked FROM benchorch.model_versions WHERE id = :next;
SELECT * FROM pg_temp.look();
-- of a worker: the same, with a lease; under another worker, or none, the claim does not go on
DELETE FROM benchorch.benchmark_configs;
DELETE FROM benchorch.archived_configs;
SELECT created FROM benchorch.populate_matrix(:next, template => 'nine');
SELECT benchorch.register_worker('g5', 'g5.xlarge', '{vLLM}') AS g5, benchorch.register_worker('h5', 'g5.xlarge', '{vLLM}') AS h5 \gset
CREATE TEMP TABLE steps (n int, who text, config_id bigint, claim_id bigint, lease boolean);
DO $$
DECLARE
	w	text;
	n	int := 0;
BEGIN
	FOREACH w IN ARRAY '{g5,g5,h5,nobody,nobody,g5}'::text[] LOOP
		n := n + 1;
		INSERT INTO steps SELECT n, w, c.config_id, c.claim_id, c.lease_expires_at > now() FROM benchorch.claim_next((SELECT s.config_id FROM steps AS s ORDER BY s.n DESC LIMIT 1),
			(SELECT s.claim_id FROM steps AS s ORDER BY s.n DESC LIMIT 1), worker_id => (SELECT id FROM benchorch.workers WHERE name = w)) AS c;
	END LOOP;
END $$;
SELECT n, who, claim_id = lag(claim_id) OVER (ORDER BY n) AS same_claim, lease FROM steps ORDER BY n;
SELECT l.config_ids = ARRAY[s.config_id] AS its, w.name FROM benchorch.claims AS l JOIN steps AS s USING (claim_id) LEFT JOIN benchorch.workers AS w ON w.id = l.worker_id;
SELECT * FROM pg_temp.look();
-- a worker that drains is given nothing more, and its last completion stands, though its lease has run out
UPDATE benchorch.workers SET state = 'draining' WHERE name = 'g5';
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute';
SELECT count(n) AS more FROM (SELECT * FROM steps ORDER BY n DESC LIMIT 1) AS s, LATERAL benchorch.claim_next(s.config_id, s.claim_id, worker_id => :'g5') AS n;
SELECT * FROM pg_temp.look();
-- what the claim that goes on has completed itself, and is to be measured anew, is taken under another one
SELECT config_id AS c, claim_id AS k FROM benchorch.claim_next() \gset first_
SELECT config_id AS c, claim_id AS k, claim_id = :first_k AS same_claim FROM benchorch.claim_next(:first_c, :first_k) \gset second_
SELECT benchorch.register_framework('vLLM', '{"version": "newer"}') IS NOT NULL AS registered;
SELECT changed > 0 AS changed FROM benchorch.rerun_changed(:next);
UPDATE benchorch.benchmark_configs SET priority = -1 WHERE id = :first_c;
SELECT config_id = :first_c AS again, attempt, :'second_same_claim' AS went_on, claim_id = :first_k AS same_claim FROM benchorch.claim_next(:second_c, :second_k);
SELECT count(benchorch.update_status(id, 'skipped', 'x')) FROM benchorch.benchmark_configs WHERE status = 'running';
-- in a transaction of its own claims it can be rolled back, to a savepoint too
BEGIN;
SELECT config_id AS c, claim_id AS k FROM benchorch.claim_next() \gset last_
SAVEPOINT s;
SELECT count(*) FROM benchorch.claim_next(:last_c, :last_k);
ROLLBACK TO s;
SELECT * FROM pg_temp.look();
SELECT count(*) FROM benchorch.claim_next(:last_c, :last_k);
ROLLBACK;
SELECT * FROM pg_temp.look();
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
