-- What people ask of the rankings: best configs, the frontier, comparisons, advice, the weekly views.
-- Everything happens in one transaction that is rolled back.
\set SHOW_CONTEXT never
\set VERBOSITY default
\set ON_ERROR_ROLLBACK on
SET client_min_messages = warning;
CREATE EXTENSION IF NOT EXISTS benchorch;
BEGIN;
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_framework('tool', '{"command": ["tool"], "adapter": "benchorch-engine"}') IS NOT NULL AS registered;
SELECT benchorch.register_hardware('four', '{"gpu_count": 4, "price_per_hour": 8}') IS NOT NULL AS registered;
SELECT benchorch.register_hardware('single', '{"gpu_count": 1, "price_per_hour": 1}') IS NOT NULL AS registered;
SELECT benchorch.create_template('small', '{"hardware": ["four", "single"], "frameworks": ["tool"], "workloads": ["chatbot"],
	"batch_sizes": [1, 2, 4], "sequence_lengths": [1024]}') IS NOT NULL AS created;
\set a '''00000000-0000-0000-0000-0000000000a1'''
\set b '''00000000-0000-0000-0000-0000000000b1'''
SELECT benchorch.register_model('old', :a) IS NOT NULL AS registered;
SELECT benchorch.register_model('new', :b) IS NOT NULL AS registered;

/*
 * tokens/s, TTFT, TPOT of old and of new.  1000 / TPOT is tokens/s/user, every
 * config takes one GPU; a GPU of "four" costs 8 / 4 an hour, "single" 1:
 * a million tokens cost price / (tokens/s x 3600) x 1e6.
 */
CREATE TEMP TABLE measured (hardware text, batch_size int, a jsonb, b jsonb);
INSERT INTO measured
SELECT hardware, batch_size, jsonb_build_object('output_tokens_per_s', s, 'ttft_ms', jsonb_build_object('p50', f, 'p99', 10 * f),
		'tpot_ms', jsonb_build_object('p50', o, 'p99', o)),
	jsonb_build_object('output_tokens_per_s', s2, 'ttft_ms', jsonb_build_object('p50', f2), 'tpot_ms', jsonb_build_object('p50', o2))
FROM (VALUES
	('four', 1, 100, 10, 10.0, 110, 10, 10.0),		-- 100 per user, 100 per GPU; 5.5556
	('four', 2, 180, 15, 12.5, 183, 15, 12.5),		-- 80, 180; 3.0864
	('four', 4, 180, 30, 20.0, 180, 30, 20.0),		-- 50, 180: beaten by the one above; 3.0864
	('single', 1, 100, 20, 10.0, 100, 20, 10.0),	-- 100, 100: equal to the first; 2.7778
	('single', 2, 150, 25, 12.5, 150, 25, 12.5),	-- 80, 150: beaten; 1.8519
	('single', 4, 300, 60, 40.0, 250, 90, 40.0)		-- 25, 300; 0.9259; its slowest TTFT is 600 ms
) AS v (hardware, batch_size, s, f, o, s2, f2, o2);
CREATE FUNCTION pg_temp.run(model uuid, which text) RETURNS bigint LANGUAGE sql AS $$
	SELECT count(*) FROM benchorch.claim_batch(100, model_version_id => model) AS c JOIN measured AS m
		ON m.hardware = c.hardware_name AND m.batch_size = c.batch_size,
	LATERAL benchorch.complete(c.config_id, c.claim_id, '{"tool": "benchorch-engine"}' || CASE which WHEN 'a' THEN m.a ELSE m.b END)
$$;
SELECT created FROM benchorch.populate_matrix(:a, template => 'small');
SELECT created FROM benchorch.populate_matrix(:b, template => 'small');
SELECT pg_temp.run(:a, 'a'), pg_temp.run(:b, 'b');
SELECT benchorch.finalize(:a), benchorch.finalize(:b);

-- The best by each objective
SELECT rank, hardware, batch_size, round(value::numeric, 4) AS value, unit, n, metric FROM benchorch.rank_configs(:a, 'cost_per_million_tokens');
SELECT rank, hardware, batch_size, value, unit FROM benchorch.rank_configs(:a, 'tokens_per_s_per_gpu', 'chatbot', 3);
SELECT rank, hardware, batch_size, value, unit FROM benchorch.rank_configs(:a, 'tpot', max_rows => 4);
/*
 * The score of chatbot: TTFT 3, TPOT 3, tokens/s/GPU 2, cost 2, of 10.
 *   single 4  10/60, 10/40, 300/300, .9259/.9259     (3 x .16667 + 3 x .25 + 2 + 2) / 10           = .5250
 *   four 1    1, 1, 100/300, .9259/5.5556            (3 + 3 + 2 x .33333 + 2 x .16667) / 10        = .7000
 *   single 1  10/20, 1, 1/3, .9259/2.7778            (1.5 + 3 + .66667 + .66667) / 10              = .5833
 *   four 2    10/15, 10/12.5, .6, .3                 (2 + 2.4 + 1.2 + .6) / 10                     = .6200
 */
SELECT rank, hardware, batch_size, round(value::numeric, 4) AS score FROM benchorch.rank_configs(:a);
-- Other weights
UPDATE benchorch.objective_weights SET weight = 0 WHERE workload = 'chatbot' AND objective <> 'ttft';
SELECT benchorch.finalize(:a);
SELECT rank, hardware, batch_size, round(value::numeric, 4) AS score FROM benchorch.rank_configs(:a, max_rows => 2);
SELECT benchorch.rank_configs(:a, 'speed');
SELECT benchorch.rank_configs(:a, NULL);
SELECT benchorch.rank_configs(:a, max_rows => -1);
SELECT benchorch.rank_configs('00000000-0000-0000-0000-0000000000ff');
SELECT count(*) FROM benchorch.rank_configs(:a, 'ttft', 'poetry');
-- chatbot's level is 450 ms and 40 ms at the 99th percentile: only "single" with batch 4 fails it; without p99 nobody knows
SELECT model_version_id = :a AS old, within_service_level, count(*) FROM benchorch.cell_statistics WHERE model_version_id IN (:a, :b) GROUP BY 1, 2 ORDER BY 1, 2;

-- The frontier; equal points are on it together
SELECT hardware, batch_size, tokens_per_s_per_user, tokens_per_s_per_gpu, round(cost_per_million_tokens::numeric, 4) AS cost FROM benchorch.pareto(:a);
SELECT count(*) FROM benchorch.pareto(:a, 'qa');
SELECT benchorch.pareto(NULL);

-- What differs by more than noise, 5 % where nobody knows it: +10 % and not +1.7 %, -16.7 %, +50 %
SELECT hardware, batch_size, objective, a, b, round(change_pct::numeric, 2) AS change_pct, noise_pct, better FROM benchorch.compare(:a, :b);
SELECT count(*) FROM benchorch.compare(:a, :a);
SELECT benchorch.compare(:a, NULL);

-- Advice
SELECT advice FROM benchorch.recommend('chatbot', '{"model": "old", "objective": "cost_per_million_tokens"}');
SELECT advice, hardware, batch_size, round(value::numeric, 4) AS value, fitting, considered
FROM benchorch.recommend('chatbot', '{"model": "old", "max_ttft_ms": 25, "objective": "cost_per_million_tokens"}');
SELECT hardware, batch_size, fitting FROM benchorch.recommend('chatbot', '{"service_level": true, "objective": "tokens_per_s_per_gpu"}');
SELECT * FROM benchorch.recommend('chatbot', '{"max_ttft_ms": 12, "max_cost_per_million_tokens": 1, "model": "old"}');
SELECT advice FROM benchorch.recommend('chatbot', '{"objective": "joules_per_token"}');
SELECT advice FROM benchorch.recommend('qa');
SELECT benchorch.recommend('chatbot', '{"max_tfft_ms": 12}');
SELECT benchorch.recommend('chatbot', '{"max_ttft_ms": "12"}');
SELECT benchorch.recommend('chatbot', '{"objective": "speed"}');
SELECT benchorch.recommend(NULL);

-- The boards: geometric means of tokens/s/GPU (100 180 180 100 150 300)^(1/6) = 156.30
SELECT workload, framework, cells, wins, round(tokens_per_s_per_gpu::numeric, 2) AS per_gpu FROM benchorch.framework_leaderboard WHERE model = 'old';
SELECT hardware, cells, most_tokens_per_s, least_ttft_ms, least_tpot_ms, round(least_cost_per_million_tokens::numeric, 4) AS cost, on_frontier, within_service_level
FROM benchorch.hardware_leaderboard WHERE model = 'old';

-- The weekly queries: of four configs of another model one fails at once, one is tried twice, one is cancelled
\set c '''00000000-0000-0000-0000-0000000000c1'''
SELECT benchorch.register_model('weekly', :c) IS NOT NULL AS registered;
SELECT created FROM benchorch.create_template('small', '{"hardware": ["single"], "batch_sizes": [1, 2, 4, 8]}'), benchorch.populate_matrix(:c, template => 'small');
CREATE TEMP TABLE claimed AS SELECT * FROM benchorch.claim_batch(10, model_version_id => :c);
SELECT c.batch_size, benchorch.update_status(c.config_id, s.status, s.message, c.claim_id, s.outcome) FROM claimed AS c
JOIN (VALUES (1, 'failed', 'no kernel', 'unsupported'), (2, 'failed', 'killed', 'timeout'), (4, 'completed', NULL, NULL),
	(8, 'cancelled', NULL, NULL)) AS s (batch_size, status, message, outcome) USING (batch_size) ORDER BY 1;
SELECT count(*) FROM benchorch.claim_batch(10, model_version_id => :c) AS c, LATERAL benchorch.complete(c.config_id, c.claim_id, '{"tool": "benchorch-engine", "output_tokens_per_s": 1}');
SELECT model, error_message, outcome, configs, lanes, cardinality(examples) AS examples FROM benchorch.failure_analysis WHERE model = 'weekly';
SELECT model, sum(configs_completed) AS completed, sum(configs_failed) AS failed FROM benchorch.progress_over_time WHERE model = 'weekly' GROUP BY 1;
SELECT workload_type, configs, round(avg_retries, 3) AS avg_retries, max_retries, retried, saved_by_retries FROM benchorch.retry_statistics WHERE model = 'weekly';

-- Intervals: 3 repeats are from the least to the greatest, 75 %; 6 too, 96.9 %; of 9 the second from each end, 96.1 %
SELECT n, round(benchorch.median_confidence(n)::numeric, 4) AS confidence FROM unnest(ARRAY[1, 2, 3, 5, 6, 9, 100, 1000]) AS n;
SELECT benchorch.median_confidence(0), benchorch.median_confidence(NULL);

/*
 * Ranks are an order.  100 cells of 9 repeats, many of which overlap: a rank
 * is the place of its leader, and everybody in it overlaps the leader, whose
 * interval is the only one that counts.  Whatever order the results come in.
 */
\set d '''00000000-0000-0000-0000-0000000000d1'''
SELECT benchorch.register_model('many', :d) IS NOT NULL AS registered;
SELECT created FROM benchorch.create_template('many', '{"hardware": ["single"], "frameworks": ["tool"], "workloads": ["chatbot"], "batch_sizes": [1],
	"sequence_lengths": [1024], "repeats": 9, "dimensions": {"x": {"kind": "engine", "values": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]},
	"y": {"kind": "request", "values": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]}}}'), benchorch.populate_matrix(:d, template => 'many');
SELECT setseed(0.25) IS NULL AS seeded;
CREATE TEMP TABLE many AS SELECT c.config_id, c.claim_id, 100 + (c.params ->> 'x')::int + (c.params ->> 'y')::int + round((8 * random())::numeric, 1) AS speed
FROM generate_series(1, 2) AS i, LATERAL (SELECT * FROM benchorch.claim_batch(450 + 0 * i, model_version_id => :d)) AS c;
SELECT count(*) FROM many AS m, LATERAL benchorch.complete(m.config_id, m.claim_id,
	jsonb_build_object('tool', 'benchorch-engine', 'output_tokens_per_s', m.speed));
SELECT benchorch.finalize(:d);
CREATE TEMP TABLE first_ranks AS SELECT * FROM benchorch.rankings WHERE model_version_id = :d;
SELECT count(*) AS cells, count(DISTINCT rank) < count(*) AS ties, count(DISTINCT rank) > 1 AS ranks FROM first_ranks WHERE objective = 'output_tokens_per_s';
-- the interval of 9 repeats is from the second to the eighth
SELECT count(*) AS wrong FROM first_ranks AS r JOIN LATERAL (
	SELECT array_agg(m.speed ORDER BY m.speed) AS speeds FROM many AS m
	JOIN benchorch.benchmark_configs AS c ON c.id = m.config_id JOIN benchorch.benchmark_configs AS named ON named.id = r.config_id
	WHERE c.params - 'repeat' = named.params - 'repeat') AS s ON true
WHERE r.objective = 'output_tokens_per_s' AND (r.value, r.low, r.high) IS DISTINCT FROM (s.speeds[5]::float8, s.speeds[2]::float8, s.speeds[8]::float8);
-- everybody overlaps the leader of its rank, the leader of the next rank does not, and a rank is a place
WITH board AS (
	SELECT *, row_number() OVER (ORDER BY value DESC, high DESC, low DESC, config_id) AS place FROM first_ranks WHERE objective = 'output_tokens_per_s'
), leader AS (SELECT * FROM board WHERE rank = place)
SELECT count(*) FILTER (WHERE b.high < l.low) AS apart, count(*) FILTER (WHERE next.high >= l.low) AS joined, count(*) FILTER (WHERE l.rank IS NULL) AS leaderless
FROM board AS b LEFT JOIN leader AS l ON l.rank = b.rank
LEFT JOIN LATERAL (SELECT * FROM leader AS k WHERE k.rank > b.rank ORDER BY k.rank LIMIT 1) AS next ON true;
-- five random orders of arrival
CREATE FUNCTION pg_temp.shuffled(model uuid) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
	CREATE TEMP TABLE shuffled ON COMMIT DROP AS SELECT * FROM benchorch.benchmark_results WHERE model_version_id = model;
	DELETE FROM benchorch.benchmark_results WHERE model_version_id = model;
	INSERT INTO benchorch.benchmark_results SELECT * FROM shuffled ORDER BY random();
	DROP TABLE shuffled;
	PERFORM benchorch.finalize(model);
	RETURN (SELECT count(*) FROM (
		(SELECT * FROM first_ranks EXCEPT SELECT * FROM benchorch.rankings WHERE model_version_id = model)
		UNION ALL (SELECT * FROM benchorch.rankings WHERE model_version_id = model EXCEPT SELECT * FROM first_ranks)) AS differ);
END $$;
SELECT sum(pg_temp.shuffled(:d)) AS differences FROM generate_series(1, 5);
ROLLBACK;
