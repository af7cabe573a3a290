-- progress says what counting says, and what a user can expect.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set SHOW_CONTEXT never
\set VERBOSITY terse
\set m '\'00000000-0000-0000-0000-000000000001\''
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_model('m', :m) = :m AS registered;

-- nothing there
SELECT benchorch.progress(:m);
SELECT benchorch.progress(NULL);
SELECT benchorch.progress('ffffffff-0000-0000-0000-000000000000');

-- the replaced system's example: 1200 of 1800 is 66.67
SELECT created FROM benchorch.populate_matrix(:m);
SELECT benchorch.progress(:m) - 'eta';
CREATE TEMP TABLE held (config_id bigint, claim_id bigint, n bigserial);
INSERT INTO held SELECT config_id, claim_id FROM benchorch.claim_batch(500);
INSERT INTO held SELECT config_id, claim_id FROM benchorch.claim_batch(500);
INSERT INTO held SELECT config_id, claim_id FROM benchorch.claim_batch(400);
SELECT count(*), count(sqlstate) AS refused FROM benchorch.complete_many((SELECT array_agg(config_id ORDER BY n) FROM held WHERE n <= 1200),
	(SELECT array_agg(claim_id ORDER BY n) FROM held WHERE n <= 1200), (SELECT array_agg('{"output_tokens_per_s": 5}'::text) FROM held WHERE n <= 1200));
SELECT benchorch.update_status(config_id, 'failed', 'it crashed', claim_id, 'unsupported') AS now, count(*) FROM held WHERE n BETWEEN 1201 AND 1300 GROUP BY 1;
SELECT benchorch.progress(:m) - 'eta' AS progress, (benchorch.progress(:m) ->> 'eta')::timestamptz > now() - interval '1 day' AS eta;
SELECT * FROM benchorch.check_invariants();

-- every status is counted, and the sum is the total
SELECT benchorch.update_status(id, s.status) AS now, count(*) FROM (SELECT id, CASE WHEN row_number() OVER (ORDER BY id) <= 10 THEN 'skipped' ELSE 'cancelled' END AS status
	FROM benchorch.benchmark_configs WHERE status = 'pending' ORDER BY id LIMIT 30) s GROUP BY 1;
SELECT benchorch.progress(:m) - 'eta' AS progress;
SELECT count(*) AS wrong FROM (SELECT status, count(*) AS n FROM benchorch.benchmark_configs GROUP BY 1) c WHERE (benchorch.progress(:m) ->> c.status)::bigint <> c.n;

-- the sweep folds the counters and changes none
SELECT benchorch.progress(:m) - 'eta' AS before \gset
SELECT benchorch.reset_stale();
SELECT count(*) FROM benchorch.progress_deltas;
SELECT benchorch.progress(:m) - 'eta' = :'before' AS the_same;
-- what is rolled back is not counted
BEGIN;
SELECT count(*) FROM benchorch.claim_batch(100);
SELECT benchorch.progress(:m) -> 'running' AS running;
ROLLBACK;
SELECT benchorch.progress(:m) - 'eta' = :'before' AS the_same;

-- unclaimable: pending, and no live worker fits
SELECT benchorch.progress(:m) ->> 'unclaimable' = benchorch.progress(:m) ->> 'pending' AS nobody_is_there;
SELECT benchorch.register_worker('g5', 'g5.xlarge', '{vLLM}') IS NOT NULL AS registered;
SELECT (benchorch.progress(:m) ->> 'unclaimable')::bigint = (SELECT count(*) FROM benchorch.benchmark_configs c JOIN benchorch.hardware_configs h ON h.id = c.hardware_config_id
	JOIN benchorch.frameworks f ON f.id = c.framework_id WHERE c.status = 'pending' AND NOT (h.name = 'g5.xlarge' AND f.name = 'vLLM')) AS by_one_worker;
SELECT count(benchorch.register_worker(name, name, '{vLLM, SGLang, TensorRT-LLM}')) FROM benchorch.hardware_configs;
SELECT benchorch.progress(:m) -> 'unclaimable' AS by_a_whole_fleet;
UPDATE benchorch.workers SET state = 'quarantined' WHERE name = 'p5.48xlarge';
UPDATE benchorch.worker_leases SET expires_at = now() - interval '1 minute' WHERE worker_id = (SELECT id FROM benchorch.workers WHERE name = 'p4d.24xlarge');
SELECT (benchorch.progress(:m) ->> 'unclaimable')::bigint = (SELECT count(*) FROM benchorch.benchmark_configs c JOIN benchorch.hardware_configs h ON h.id = c.hardware_config_id
	WHERE c.status = 'pending' AND h.name IN ('p5.48xlarge', 'p4d.24xlarge')) AS without_the_quarantined_and_the_dead;

-- all settled: 100 per cent settled, however much has failed
SELECT benchorch.cancel(:m) > 0 AS cancelled;
SELECT p -> 'pending' AS pending, p -> 'running' AS running, p -> 'progress_pct' AS progress_pct, p -> 'settled_pct' AS settled_pct, p -> 'unclaimable' AS unclaimable, p -> 'eta' AS eta
FROM benchorch.progress(:m) AS p;
SELECT * FROM benchorch.check_invariants();

-- an archived config is no longer in the matrix
DELETE FROM benchorch.benchmark_configs WHERE status = 'completed';
SELECT benchorch.progress(:m) - 'eta' AS progress;
DELETE FROM benchorch.benchmark_configs;
SELECT benchorch.progress(:m) - 'eta' AS progress;
SELECT * FROM benchorch.check_invariants();

-- the invariants' own alarm rings: each of these is broken behind the extension's back, and is found
\set one '\'00000000-0000-0000-0000-000000000002\''
SELECT benchorch.register_model('alarm', :one) = :one AS registered;
SELECT benchorch.create_template('two', '{"hardware": ["g5.xlarge"], "frameworks": ["vLLM"], "workloads": ["qa"], "batch_sizes": [1, 2], "sequence_lengths": [1024]}') > 0 AS made;
SELECT created FROM benchorch.populate_matrix(:one, template => 'two');
BEGIN; DELETE FROM benchorch.lane_chunks; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; DELETE FROM benchorch.priority_chunks; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; INSERT INTO benchorch.progress_deltas SELECT :one, 1, 0, 0, 0, 0, 0; SELECT DISTINCT invariant FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; UPDATE benchorch.model_versions SET finalized_at = now() WHERE id = :one; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
SELECT count(*) FROM benchorch.claim_batch(1);
BEGIN; DELETE FROM benchorch.claims; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; UPDATE benchorch.benchmark_configs SET claim_id = 5, version = version + 1 WHERE status = 'pending'; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; UPDATE benchorch.benchmark_configs SET status = 'skipped', version = version + 1 WHERE status = 'pending'; SELECT DISTINCT invariant FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; INSERT INTO benchorch.benchmark_results (config_id, model_version_id) SELECT id, :one FROM benchorch.benchmark_configs LIMIT 1; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; INSERT INTO benchorch.attempts (config_id, claim_id, attempt, outcome, blamed, status) SELECT min(id), n, n, 'crash', true, 'pending' FROM benchorch.benchmark_configs, generate_series(1, 6) n GROUP BY n; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; INSERT INTO benchorch.attempts (config_id, claim_id, attempt, outcome, blamed, status) SELECT min(id), 1, 1, 'preempted', true, 'pending' FROM benchorch.benchmark_configs; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
BEGIN; SELECT benchorch.cancel(:one); DELETE FROM benchorch.endgames; SELECT DISTINCT invariant, problem FROM benchorch.check_invariants(); ROLLBACK;
SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
