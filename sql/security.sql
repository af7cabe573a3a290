-- Who may do what: a worker, an operator, a reader, and somebody without any grant.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set SHOW_CONTEXT never
DROP ROLE IF EXISTS regress_benchorch_worker, regress_benchorch_operator, regress_benchorch_reader, regress_benchorch_nobody;
CREATE ROLE regress_benchorch_worker;
CREATE ROLE regress_benchorch_operator;
CREATE ROLE regress_benchorch_reader;
CREATE ROLE regress_benchorch_nobody;
SELECT benchorch.grant_worker('regress_benchorch_worker');
SELECT benchorch.grant_operator('regress_benchorch_operator');
SELECT benchorch.grant_reader('regress_benchorch_reader');
CREATE FUNCTION public.regress_answer(statement text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE statement;
		RAISE SQLSTATE 'OK000';
	EXCEPTION WHEN OTHERS THEN
		RETURN CASE SQLSTATE WHEN 'OK000' THEN 'yes' WHEN '42501' THEN '-' ELSE SQLSTATE END;
	END;
END $$;
GRANT EXECUTE ON FUNCTION public.regress_answer TO PUBLIC;

-- a small world
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_model('m', '00000000-0000-0000-0000-000000000001') IS NOT NULL AS registered;
SELECT benchorch.create_template('ten', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"],
	"batch_sizes": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "sequence_lengths": [1024]}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001', template => 'ten');
SELECT benchorch.register_worker('w', 'g5.xlarge', '{vLLM}') AS w \gset
SELECT config_id AS c, claim_id AS k FROM benchorch.claim_batch(1, worker_id => :'w') \gset
CREATE TEMP TABLE calls (nr serial, what text, statement text);
INSERT INTO calls (what, statement)
SELECT what, replace(replace(replace(replace(statement, ':w', quote_literal(:'w')), ':c', :'c'), ':k', :'k'), ':m', quote_literal('00000000-0000-0000-0000-000000000001'))
FROM (VALUES
	('register_worker', $$SELECT benchorch.register_worker('other', 'g5.xlarge', '{vLLM}')$$),
	('claim_batch', $$SELECT benchorch.claim_batch(1)$$),
	('claim_batch with worker', $$SELECT benchorch.claim_batch(1, worker_id => :w)$$),
	('claim_next', $$SELECT benchorch.claim_next(:c, :k)$$),
	('start', $$SELECT benchorch.start(:c, :k)$$),
	('heartbeat', $$SELECT benchorch.heartbeat(:w, ARRAY[:c], 'log')$$),
	('hand_in', $$SELECT benchorch.hand_in(:c, :k, 'ok', '{"output_tokens_per_s": 1}')$$),
	('complete', $$SELECT benchorch.complete(:c, :k, '{}')$$),
	('complete_many', $$SELECT benchorch.complete_many('{:c}', '{:k}', '{"{}"}')$$),
	('update_status', $$SELECT benchorch.update_status(:c, 'failed', claim_id => :k)$$),
	('update_many', $$SELECT benchorch.update_many('{:c}', '{:k}', 'failed')$$),
	('release', $$SELECT benchorch.release(:w)$$),
	('progress', $$SELECT benchorch.progress(:m)$$),
	('list_configs', $$SELECT benchorch.list_configs(:m)$$),
	('watch', $$SELECT benchorch.watch(:m)$$),
	('explain_empty', $$SELECT benchorch.explain_empty()$$),
	('check_invariants', $$SELECT benchorch.check_invariants()$$),
	('finalize', $$SELECT benchorch.finalize(:m, true)$$),
	('populate_matrix', $$SELECT benchorch.populate_matrix(:m, template => 'ten')$$),
	('seed_reference_data', $$SELECT benchorch.seed_reference_data()$$),
	('register_model', $$SELECT benchorch.register_model('n')$$),
	('register_hardware', $$SELECT benchorch.register_hardware('box', '{}')$$),
	('register_framework', $$SELECT benchorch.register_framework('f', '{"command": ["true"]}')$$),
	('register_workload', $$SELECT benchorch.register_workload('mine', '{}')$$),
	('create_template', $$SELECT benchorch.create_template('t', '{}')$$),
	('submit', $$SELECT benchorch.submit('vLLM', '[1]')$$),
	('cancel', $$SELECT benchorch.cancel(:m)$$),
	('retry_failed', $$SELECT benchorch.retry_failed(:m)$$),
	('pause', $$SELECT benchorch.pause(:m)$$),
	('resume', $$SELECT benchorch.resume(:m)$$),
	('reprioritize', $$SELECT benchorch.reprioritize(:m, 1)$$),
	('drain_worker', $$SELECT benchorch.drain_worker(:w)$$),
	('quarantine_worker', $$SELECT benchorch.quarantine_worker(:w, 'x')$$),
	('reset_stale', $$SELECT benchorch.reset_stale()$$),
	('archive_completed', $$SELECT benchorch.archive_completed()$$),
	('schedule_maintenance', $$SELECT benchorch.schedule_maintenance()$$),
	('grant_worker', $$SELECT benchorch.grant_worker('regress_benchorch_nobody')$$),
	('grant_operator', $$SELECT benchorch.grant_operator('regress_benchorch_nobody')$$),
	('grant_reader', $$SELECT benchorch.grant_reader('regress_benchorch_nobody')$$),
	('SELECT configs', $$SELECT count(*) FROM benchorch.benchmark_configs$$),
	('SELECT results', $$SELECT count(*) FROM benchorch.benchmark_results$$),
	('SELECT attempts', $$SELECT count(*) FROM benchorch.attempts$$),
	('SELECT workers', $$SELECT count(*) FROM benchorch.workers$$),
	('SELECT frameworks', $$SELECT count(*) FROM benchorch.frameworks$$),
	('SELECT claims', $$SELECT count(*) FROM benchorch.claims$$),
	('reset by UPDATE', $$UPDATE benchorch.benchmark_configs SET status = 'pending', started_at = NULL, retry_count = retry_count + 1 WHERE status = 'running'$$),
	('UPDATE priority', $$UPDATE benchorch.benchmark_configs SET priority = 1 WHERE status = 'pending'$$),
	('DELETE completed', $$DELETE FROM benchorch.benchmark_configs WHERE status = 'completed'$$),
	('DELETE all', $$DELETE FROM benchorch.benchmark_configs$$),
	('INSERT', $$INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length) VALUES (:m, 1, 1, 'qa', 77, 1024)$$),
	('TRUNCATE', $$TRUNCATE benchorch.benchmark_configs$$),
	('UPDATE version', $$UPDATE benchorch.benchmark_configs SET version = version + 1$$),
	('UPDATE claim_id', $$UPDATE benchorch.benchmark_configs SET claim_id = 1$$),
	('UPDATE lane_id', $$UPDATE benchorch.benchmark_configs SET lane_id = 1$$),
	('INSERT as running', $$INSERT INTO benchorch.benchmark_configs (model_version_id, framework_id, workload_type, batch_size, sequence_length, status, claim_id, lane_id, priority) VALUES (:m, 1, 'qa', 78, 1024, 'running', 5, 1, 1)$$),
	('INSERT results', $$INSERT INTO benchorch.benchmark_results (config_id) VALUES (1)$$),
	('UPDATE results', $$UPDATE benchorch.benchmark_results SET output_tokens_per_s = 1e9$$),
	('DELETE attempts', $$DELETE FROM benchorch.attempts$$),
	('DELETE claims', $$DELETE FROM benchorch.claims$$),
	('DELETE archive', $$DELETE FROM benchorch.archived_configs$$),
	('UPDATE leases', $$UPDATE benchorch.worker_leases SET expires_at = now()$$),
	('UPDATE weights', $$UPDATE benchorch.priority_weights SET weight = weight$$),
	('UPDATE prices', $$UPDATE benchorch.hardware_configs SET price_per_hour = 1$$),
	('UPDATE command', $$UPDATE benchorch.frameworks SET command = '{true}'$$),
	('INSERT chunks', $$INSERT INTO benchorch.priority_chunks (model_version_id, priority, ids) VALUES (:m, 1, '{1}')$$)
) AS v (what, statement);
GRANT SELECT ON calls TO PUBLIC;
CREATE TEMP TABLE answers (role text, nr int, answer text);
GRANT INSERT ON answers TO PUBLIC;
SET ROLE regress_benchorch_worker;
INSERT INTO answers SELECT 'worker', nr, public.regress_answer(statement) FROM calls;
SET ROLE regress_benchorch_operator;
INSERT INTO answers SELECT 'operator', nr, public.regress_answer(statement) FROM calls;
SET ROLE regress_benchorch_reader;
INSERT INTO answers SELECT 'reader', nr, public.regress_answer(statement) FROM calls;
SET ROLE regress_benchorch_nobody;
INSERT INTO answers SELECT 'nobody', nr, public.regress_answer(statement) FROM calls;
RESET ROLE;
-- yes: it worked; -: permission denied; else what else was wrong with it
SELECT c.what, max(answer) FILTER (WHERE role = 'worker') AS worker, max(answer) FILTER (WHERE role = 'operator') AS operator,
	max(answer) FILTER (WHERE role = 'reader') AS reader, max(answer) FILTER (WHERE role = 'nobody') AS nobody
FROM calls c JOIN answers a USING (nr) GROUP BY c.nr, c.what ORDER BY c.nr;
SELECT count(*) AS nothing_happened FROM benchorch.benchmark_configs;
SELECT * FROM benchorch.check_invariants();

-- the whole job by the roles: an operator makes the matrix, a worker runs it, a reader looks
SET ROLE regress_benchorch_operator;
SELECT benchorch.register_model('mine', '00000000-0000-0000-0000-000000000002') IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000002', template => 'ten');
SET ROLE regress_benchorch_worker;
SELECT benchorch.register_worker('roles', 'g5.xlarge', '{vLLM}') AS r \gset
CREATE TEMP TABLE held AS SELECT config_id, claim_id FROM benchorch.claim_batch(3, worker_id => :'r', model_version_id => '00000000-0000-0000-0000-000000000002');
SELECT count(benchorch.start(config_id, claim_id)) AS started FROM held;
SELECT accepted, status FROM held, LATERAL benchorch.hand_in(config_id, claim_id, 'ok', '{"request_throughput": 1, "total_token_throughput": 9, "output_throughput": 5}');
SELECT count(*) FROM benchorch.heartbeat(:'r');
SET ROLE regress_benchorch_operator;
UPDATE benchorch.benchmark_configs SET priority = 4 WHERE model_version_id = '00000000-0000-0000-0000-000000000002' AND status = 'pending';
SELECT benchorch.cancel('00000000-0000-0000-0000-000000000002') AS cancelled;
SELECT benchorch.finalize('00000000-0000-0000-0000-000000000002') > 0 AS ranked;
DELETE FROM benchorch.benchmark_configs WHERE status = 'completed';
SELECT count(*) FROM benchorch.archived_configs;
TRUNCATE benchorch.benchmark_configs;
SET ROLE regress_benchorch_reader;
SELECT (benchorch.progress('00000000-0000-0000-0000-000000000002') ->> 'total')::int AS total;
SELECT count(*) FROM benchorch.archived_results;
RESET ROLE;
SELECT * FROM benchorch.check_invariants();

-- a function of a schema in front is not called with the owner's rights
CREATE SCHEMA regress_trap AUTHORIZATION regress_benchorch_operator;
SET ROLE regress_benchorch_operator;
CREATE FUNCTION regress_trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'called as %', current_user; END $$;
CREATE FUNCTION regress_trap.unnest(bigint[]) RETURNS SETOF bigint LANGUAGE plpgsql AS $$ BEGIN RAISE 'called as %', current_user; END $$;
SET search_path = regress_trap, pg_catalog;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000002', template => 'default');
SELECT count(*) FROM benchorch.claim_batch(3);
SELECT benchorch.reset_stale(0);
DELETE FROM benchorch.benchmark_configs WHERE status = 'completed';
RESET ROLE;
SET search_path = public;

SELECT benchorch.grant_worker(NULL);
SELECT benchorch.grant_reader('regress_benchorch_unheard_of');
DROP SCHEMA regress_trap CASCADE;
DROP TABLE held, calls, answers;
DROP FUNCTION public.regress_answer;
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
DROP ROLE regress_benchorch_worker, regress_benchorch_operator, regress_benchorch_reader, regress_benchorch_nobody;
