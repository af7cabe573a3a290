-- Ranking: medians of repeats, ranks, what is left out, and when a model is due.
-- Everything happens in one transaction that is rolled back; a statement that
-- fails undoes only itself.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();

-- 2 machines x 3 batch sizes x 3 repeats
SELECT benchorch.register_framework('tool', '{"command": ["tool"]}') IS NOT NULL AS registered;
SELECT benchorch.create_template('small', '{"hardware": ["p5.48xlarge", "p4d.24xlarge"], "frameworks": ["tool"], "workloads": ["chatbot"],
	"batch_sizes": [1, 2, 4], "sequence_lengths": [1024], "repeats": 3}') IS NOT NULL AS created;
\set model '''00000000-0000-0000-0000-00000000000c'''
SELECT benchorch.register_model('ranked', :model) IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix(:model, template => 'small');
CREATE TEMP TABLE claimed AS
	SELECT config_id, claim_id, hardware_name AS hardware, batch_size, (params ->> 'repeat')::int AS repeat
	FROM benchorch.claim_batch(18, model_version_id => :model);

CREATE TEMP TABLE measured (hardware text, batch_size int, repeat int, metrics jsonb);
INSERT INTO measured VALUES
	-- median 102, deviation 2
	('p5.48xlarge', 1, 1, '{"output_tokens_per_s": 104, "ttft_ms": {"p50": 12, "mean": 99}, "tpot_ms": {"p50": 5}}'),
	('p5.48xlarge', 1, 2, '{"output_tokens_per_s": 100, "ttft_ms": {"p50": 10, "mean": 99}, "tpot_ms": {"p50": 5}}'),
	('p5.48xlarge', 1, 3, '{"output_tokens_per_s": 102, "ttft_ms": {"p50": 11, "mean": 99}, "tpot_ms": {"p50": 5}}'),
	-- median 200; the outlier does not move it
	('p5.48xlarge', 2, 1, '{"output_tokens_per_s": 200, "ttft_ms": {"p50": 20}, "tpot_ms": {"p50": 6}}'),
	('p5.48xlarge', 2, 2, '{"output_tokens_per_s": 200, "ttft_ms": {"p50": 20}, "tpot_ms": {"p50": 6}}'),
	('p5.48xlarge', 2, 3, '{"output_tokens_per_s": 236, "ttft_ms": {"p50": 20}, "tpot_ms": {"p50": 6}}'),
	-- noise: median 200, median absolute deviation 100
	('p5.48xlarge', 4, 1, '{"output_tokens_per_s": 100}'),
	('p5.48xlarge', 4, 2, '{"output_tokens_per_s": 200}'),
	('p5.48xlarge', 4, 3, '{"output_tokens_per_s": 400}'),
	-- ties with the first cell, by the mean where there is no p50
	('p4d.24xlarge', 1, 1, '{"output_tokens_per_s": 102, "ttft_ms": {"mean": 11}}'),
	('p4d.24xlarge', 1, 2, '{"output_tokens_per_s": 102, "ttft_ms": {"mean": 11}}'),
	('p4d.24xlarge', 1, 3, '{"output_tokens_per_s": 102, "ttft_ms": {"mean": 11}}'),
	-- one of three is flagged: median of two is 52
	('p4d.24xlarge', 2, 1, '{"output_tokens_per_s": 50, "ttft_ms": {"p50": 40}}'),
	('p4d.24xlarge', 2, 2, '{"output_tokens_per_s": 54, "ttft_ms": {"p50": 42}}'),
	('p4d.24xlarge', 2, 3, '{"output_tokens_per_s": 900, "requests_completed": 9, "requests_failed": 1}');

-- A late result of an older claim never counts
SELECT DISTINCT accepted FROM claimed AS c, benchorch.hand_in(c.config_id, 1, 'ok', '{"tool": "benchorch-engine", "output_tokens_per_s": 9999}')
WHERE c.batch_size = 1;

-- While work is left only partially
SELECT benchorch.finalize(NULL);
SELECT benchorch.finalize(:model, NULL);
SELECT benchorch.finalize('00000000-0000-0000-0000-0000000000ff');
SELECT benchorch.finalize(:model);
SELECT benchorch.finalize(:model, partial => true);
SELECT sqlstate, count(*) FROM benchorch.complete_many(
	ARRAY(SELECT config_id FROM claimed JOIN measured USING (hardware, batch_size, repeat) WHERE hardware = 'p5.48xlarge' ORDER BY config_id),
	ARRAY(SELECT claim_id FROM claimed JOIN measured USING (hardware, batch_size, repeat) WHERE hardware = 'p5.48xlarge' ORDER BY config_id),
	ARRAY(SELECT ('{"tool": "benchorch-engine"}' || metrics)::text FROM claimed JOIN measured USING (hardware, batch_size, repeat)
		WHERE hardware = 'p5.48xlarge' ORDER BY config_id)) GROUP BY sqlstate;
SELECT benchorch.finalize(:model);
SELECT benchorch.finalize(:model, partial => true);
SELECT benchorch.finalize_due();
SELECT sqlstate, count(*) FROM benchorch.complete_many(
	ARRAY(SELECT config_id FROM claimed JOIN measured USING (hardware, batch_size, repeat) WHERE hardware <> 'p5.48xlarge' ORDER BY config_id DESC),
	ARRAY(SELECT claim_id FROM claimed JOIN measured USING (hardware, batch_size, repeat) WHERE hardware <> 'p5.48xlarge' ORDER BY config_id DESC),
	ARRAY(SELECT ('{"tool": "benchorch-engine"}' || metrics)::text FROM claimed JOIN measured USING (hardware, batch_size, repeat)
		WHERE hardware <> 'p5.48xlarge' ORDER BY config_id DESC)) GROUP BY sqlstate;
SELECT benchorch.update_status(config_id, 'failed', 'no', claim_id, 'unsupported') FROM claimed
WHERE hardware <> 'p5.48xlarge' AND batch_size = 4;

-- A failed ranking harms nothing, and the model stays due
SAVEPOINT broken;
ALTER TABLE benchorch.rankings ADD CONSTRAINT broken CHECK (rank < 0) NOT VALID;
SELECT benchorch.finalize_due();
SELECT count(*) > 0 AS due FROM benchorch.endgames WHERE model_version_id = :model;
ROLLBACK TO broken;

-- Settled, it is due: once
SELECT benchorch.finalize_due();
SELECT benchorch.finalize_due();
SELECT count(*) FROM benchorch.endgames WHERE model_version_id = :model;
SELECT count(*) FROM benchorch.lane_chunks WHERE model_version_id = :model;
SELECT count(*) FROM benchorch.priority_chunks WHERE model_version_id = :model;
SELECT finalized_at IS NOT NULL AS finalized FROM benchorch.model_versions WHERE id = :model;
SELECT partial, cells FROM benchorch.finalizations WHERE model_version_id = :model ORDER BY id;
SELECT workload, objective, rank, hardware, framework, gpus, batch_size, sequence_length, params, value, unit, round(spread::numeric, 3) AS spread,
	n, metric, method FROM benchorch.leaderboard WHERE model = 'ranked';
SELECT h.name AS hardware, s.batch_size, s.n, s.flags, s.output_tokens_per_s, round(s.output_tokens_per_s_stddev::numeric, 3) AS stddev,
	round(s.noise_rel::numeric, 4) AS noise_rel
FROM benchorch.cell_statistics AS s JOIN benchorch.hardware_configs AS h ON h.id = s.hardware_config_id
WHERE s.model_version_id = :model ORDER BY h.name, s.batch_size;

-- The same results in any order give the same ranks
CREATE TEMP TABLE before AS SELECT * FROM benchorch.rankings WHERE model_version_id = :model;
CREATE TEMP TABLE shuffled AS SELECT * FROM benchorch.benchmark_results WHERE model_version_id = :model ORDER BY parsed::text DESC, config_id DESC;
DELETE FROM benchorch.benchmark_results WHERE model_version_id = :model;
INSERT INTO benchorch.benchmark_results SELECT * FROM shuffled;
SELECT benchorch.finalize(:model);
(SELECT workload_type, objective, method, rank, config_id, value FROM before EXCEPT
 SELECT workload_type, objective, method, rank, config_id, value FROM benchorch.rankings WHERE model_version_id = :model)
UNION ALL
(SELECT workload_type, objective, method, rank, config_id, value FROM benchorch.rankings WHERE model_version_id = :model EXCEPT
 SELECT workload_type, objective, method, rank, config_id, value FROM before);

-- Only equal methods are ranked together, and only by the tags that touch the objective
UPDATE benchorch.benchmark_results SET method = '{static_batch,ttft=prefill}'
WHERE config_id IN (SELECT config_id FROM claimed WHERE hardware <> 'p5.48xlarge');
SELECT benchorch.finalize(:model);
SELECT objective, rank, hardware, batch_size, value, method FROM benchorch.leaderboard WHERE model = 'ranked' AND objective <> 'tpot';

-- Archived configs count like the others
SELECT benchorch.archive_completed('-1 hour') AS archived;
SELECT benchorch.finalize(:model);

-- Opened again it is not final, and due again when it has settled
SELECT benchorch.retry_failed(:model);
SELECT finalized_at IS NOT NULL AS finalized FROM benchorch.model_versions WHERE id = :model;
SELECT benchorch.finalize(:model);
SELECT benchorch.finalize_due();
SELECT benchorch.cancel(:model);
SELECT benchorch.finalize_due();
SELECT benchorch.finalize_due();

ROLLBACK;
