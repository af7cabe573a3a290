-- Budgets: what counts, when a model is held, and how it goes on.  Rolled back at the end.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_framework('tool', '{"command": ["tool"], "adapter": "benchorch-engine"}') IS NOT NULL AS registered;
SELECT benchorch.register_hardware('four', '{"gpu_count": 4, "price_per_hour": 8}') IS NOT NULL AS registered;
SELECT benchorch.create_template('pairs', '{"hardware": ["four"], "frameworks": ["tool"], "workloads": ["chatbot"], "batch_sizes": [1],
	"sequence_lengths": [1024], "repeats": 8, "dimensions": {"tensor_parallel": {"kind": "engine", "values": [2]}}}') IS NOT NULL AS created;
\set model '''00000000-0000-0000-0000-0000000000b0'''
SELECT benchorch.register_model('thrifty', :model) IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix(:model, template => 'pairs');

/*
 * Every config takes 2 GPUs of 4, at 8 / 4 an hour each:
 *   two runs of half an hour completed              2 GPU-hours
 *   one failed after an hour                        2
 *   one has run for a quarter of an hour            0.5, and is expected to take another quarter (the median of the
 *                                                   completed repeats is half an hour): 0.5 committed
 * spent 4.5 (money 9), committed 0.5 (money 1)
 */
CREATE TEMP TABLE claimed AS SELECT config_id, claim_id, row_number() OVER (ORDER BY config_id) AS n FROM benchorch.claim_batch(4, model_version_id => :model);
UPDATE benchorch.benchmark_configs AS c SET started_at = now() - s.ago, version = version + 1
FROM claimed AS k JOIN (VALUES (1, interval '30 min'), (2, '30 min'), (3, '1 hour'), (4, '15 min')) AS s (n, ago) ON s.n = k.n WHERE c.id = k.config_id;
SELECT count(*) FROM claimed AS k, LATERAL benchorch.complete(k.config_id, k.claim_id, '{"tool": "benchorch-engine", "output_tokens_per_s": 1}') WHERE n <= 2;
UPDATE benchorch.benchmark_configs SET completed_at = now(), version = version + 1 WHERE model_version_id = :model AND status = 'completed';
SELECT benchorch.update_status(config_id, 'failed', 'no', claim_id, 'unsupported') FROM claimed WHERE n = 3;
SELECT round(spent_gpu_hours::numeric, 1) AS spent, round(spent_cost::numeric, 1) AS spent_cost, round(committed_gpu_hours::numeric, 1) AS committed,
	round(committed_cost::numeric, 1) AS committed_cost FROM benchorch.budget_used(:model);

-- Enough of it, too little of it
SELECT benchorch.set_budget(NULL, 1);
SELECT benchorch.set_budget(:model, -1);
SELECT benchorch.set_budget(:model, 'NaN');
SELECT benchorch.set_budget('00000000-0000-0000-0000-0000000000ff', 1);
SELECT benchorch.set_budget(:model, 5.2) ~ '^4.5.* of 5.20 GPU-hours spent, 0.[45].* more committed.$' AS told;
SELECT paused FROM benchorch.model_versions WHERE id = :model;
SELECT benchorch.set_budget(:model, 4.9) ~ 'Budget used up' AS told;
SELECT paused, paused_by FROM benchorch.model_versions WHERE id = :model;
SELECT count(*) FROM benchorch.claim_batch(100, model_version_id => :model);
SELECT benchorch.explain_empty(NULL, :model);
SELECT * FROM benchorch.watch(:model) LIMIT 1;
-- An operator cannot talk it away
SET client_min_messages = error;
SELECT benchorch.resume(:model);
SET client_min_messages = warning;
SELECT count(*) FROM benchorch.claim_batch(100, model_version_id => :model);
-- What runs goes on; less than expected lets another one in: 4 + 0.5 (it ended now) < 4.9
SELECT count(*) FROM claimed AS k, LATERAL benchorch.complete(k.config_id, k.claim_id, '{"tool": "benchorch-engine", "output_tokens_per_s": 1}') WHERE n = 4;
UPDATE benchorch.benchmark_configs SET completed_at = now(), version = version + 1 WHERE model_version_id = :model AND status = 'completed';
UPDATE benchorch.budgets SET next_check = 'infinity' WHERE model_version_id = :model;
SELECT benchorch.check_budgets();
UPDATE benchorch.budgets SET next_check = '-infinity' WHERE model_version_id = :model;
SELECT benchorch.check_budgets();
SELECT paused, paused_by FROM benchorch.model_versions WHERE id = :model;
-- Its claim commits 1 GPU-hour: the next look, which a claim makes, holds it again
SELECT count(*) FROM benchorch.claim_batch(1, model_version_id => :model);
UPDATE benchorch.budgets SET next_check = '-infinity' WHERE model_version_id = :model;
SELECT benchorch.check_budgets();
SELECT benchorch.explain_empty(NULL, :model);
-- Raised, it goes on
SELECT benchorch.set_budget(:model, 100) ~ 'used up' AS told;
SELECT count(*) FROM benchorch.claim_batch(1, model_version_id => :model);
-- Money: 2 an hour and GPU, 9 are spent
SELECT benchorch.set_budget(:model, cost => 8) ~ '^9.0.* of 8.00 in money spent, .* used up' AS told;
SELECT benchorch.set_budget(:model, cost => 800) ~ 'used up' AS told;
-- It ends no operator's pause, and an operator's pause no budget's
SELECT benchorch.pause(:model);
SELECT benchorch.set_budget(:model, 100) ~ 'used up' AS told;
SELECT paused, paused_by FROM benchorch.model_versions WHERE id = :model;
SELECT benchorch.resume(:model);
SELECT benchorch.set_budget(:model);
SELECT count(*) FROM benchorch.budgets WHERE model_version_id = :model;
-- Archived runs have cost what they cost
SELECT benchorch.archive_completed('-1 hour') > 0 AS archived;
SELECT round(spent_gpu_hours::numeric, 1) AS spent FROM benchorch.budget_used(:model);
-- A machine without a price
UPDATE benchorch.hardware_configs SET price_per_hour = NULL WHERE name = 'four';
SELECT benchorch.set_budget(:model, cost => 1) ~ 'used up' AS told;
SELECT * FROM benchorch.check_invariants();
ROLLBACK;
