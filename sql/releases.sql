-- A new release measures anew only what it changes.  Rolled back at the end.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_framework(name, '{"command": ["tool"], "adapter": "benchorch-engine", "version": "1"}') IS NOT NULL AS registered FROM unnest(ARRAY['one', 'two']) AS name;
SELECT benchorch.create_template('both', '{"hardware": ["g5.xlarge", "g6.xlarge"], "frameworks": ["one", "two"], "workloads": ["chatbot", "qa"],
	"batch_sizes": [1], "sequence_lengths": [1024]}') IS NOT NULL AS created;
\set model '''00000000-0000-0000-0000-0000000000f0'''
SELECT benchorch.register_model('steady', :model) IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix(:model, template => 'both');
CREATE FUNCTION pg_temp.run(speed int) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	CREATE TEMP TABLE claimed ON COMMIT DROP AS SELECT * FROM benchorch.claim_batch(100, model_version_id => '00000000-0000-0000-0000-0000000000f0');
	/* the run begins after the claim, at the clock's time */
	PERFORM benchorch.start(c.config_id, c.claim_id) FROM claimed AS c;
	SELECT count(*) INTO n FROM claimed AS c, LATERAL benchorch.complete(c.config_id, c.claim_id,
		jsonb_build_object('tool', 'benchorch-engine', 'output_tokens_per_s', speed), environment => '{"driver": "580.1"}');
	DROP TABLE claimed;
	PERFORM benchorch.finalize('00000000-0000-0000-0000-0000000000f0');
	RETURN n;
END $$;
SELECT pg_temp.run(100);
SELECT * FROM benchorch.rerun_changed(:model);
-- What no result depends on
SELECT benchorch.register_hardware('g5.xlarge', '{"price_per_hour": 2}') IS NOT NULL AS registered;
SELECT benchorch.register_framework('one', '{"enabled": true, "adapter": "benchorch-engine"}') IS NOT NULL AS registered;
SELECT * FROM benchorch.rerun_changed(:model, dry_run => true);
-- A new release of a framework: its 4 of the 8
SELECT benchorch.register_framework('one', '{"version": "2"}') IS NOT NULL AS registered;
SELECT * FROM benchorch.rerun_changed(:model, dry_run => true);
SELECT count(DISTINCT (benchorch.fingerprint(c.id) = benchorch.fingerprint(c.id, c.started_at), f.name)) AS kinds
FROM benchorch.benchmark_configs AS c JOIN benchorch.frameworks AS f ON f.id = c.framework_id WHERE c.model_version_id = :model;
SELECT status, count(*) FROM benchorch.benchmark_configs WHERE model_version_id = :model GROUP BY 1;
CREATE TEMP TABLE spent AS SELECT spent_gpu_hours FROM benchorch.budget_used(:model);
SELECT * FROM benchorch.rerun_changed(:model);
-- what they have used stays used
SELECT round((u.spent_gpu_hours - s.spent_gpu_hours)::numeric, 9) AS forgotten FROM spent AS s, benchorch.budget_used(:model) AS u;
SELECT f.name, c.status, count(*) FROM benchorch.benchmark_configs AS c JOIN benchorch.frameworks AS f ON f.id = c.framework_id
WHERE c.model_version_id = :model GROUP BY 1, 2 ORDER BY 1;
SELECT pg_temp.run(130);
-- The ranking has the new results of one, and cites the old ones of two; nothing is lost
SELECT framework, value, count(*) FROM benchorch.leaderboard WHERE model = 'steady' AND objective = 'output_tokens_per_s' GROUP BY 1, 2 ORDER BY 1;
SELECT superseded_at IS NOT NULL AS superseded, output_tokens_per_s, count(*) FROM benchorch.benchmark_results WHERE model_version_id = :model GROUP BY 1, 2 ORDER BY 1;
SELECT * FROM benchorch.rerun_changed(:model);
SELECT * FROM benchorch.check_invariants();
-- Taken back before anything ran: nothing to do
SELECT benchorch.register_framework('two', '{"version": "9"}') IS NOT NULL AS registered;
SELECT changed, reasons FROM benchorch.rerun_changed(:model, dry_run => true);
SELECT benchorch.register_framework('two', '{"version": "1"}') IS NOT NULL AS registered;
SELECT changed, reasons FROM benchorch.rerun_changed(:model, dry_run => true);
-- A driver: the results say that they were made with 580.1
SELECT benchorch.register_hardware('g5.xlarge', '{"details": {"driver": "580.1"}}') IS NOT NULL AS registered;
SELECT changed, reasons FROM benchorch.rerun_changed(:model, dry_run => true);
SELECT benchorch.register_hardware('g5.xlarge', '{"details": {"driver": "585.2"}}') IS NOT NULL AS registered;
SELECT changed, unchanged, reasons FROM benchorch.rerun_changed(:model, dry_run => true);
-- A workload: all of its cells
SELECT benchorch.register_workload('qa', '{"output_share": 0.2}');
SELECT changed, unchanged, reasons FROM benchorch.rerun_changed(:model);
SELECT * FROM benchorch.check_invariants();
SELECT benchorch.rerun_changed(NULL);
SELECT benchorch.rerun_changed(:model, NULL);
SELECT benchorch.rerun_changed('00000000-0000-0000-0000-0000000000ff');
ROLLBACK;
