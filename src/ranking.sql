/*
 * Ranking: what the results of one model version say together.
 *
 * finalize() makes cell_statistics and rankings anew, by rank_model (cells.c
 * and ranking.c, where the rules stand).  What it asks for are rows that users
 * own: service levels and weights of each workload.
 *
 * finalize() holds an advisory lock on the model until the end of its
 * transaction, so that two of them never mix their rows.
 */

CREATE TABLE benchorch.service_levels
(
	workload		text PRIMARY KEY,
	ttft_ms			float8 NOT NULL CHECK (ttft_ms > 0),
	tpot_ms			float8 NOT NULL CHECK (tpot_ms > 0),
	source			text
);
COMMENT ON TABLE benchorch.service_levels IS
	'What the slowest hundredth (p99) of a workload''s requests must keep for a cell to be within its service level (data)';

CREATE TABLE benchorch.objective_weights
(
	workload		text NOT NULL,
	objective		text NOT NULL CHECK (objective IN ('output_tokens_per_s', 'tokens_per_s_per_gpu', 'ttft', 'tpot',
		'cost_per_million_tokens', 'joules_per_token', 'roofline', 'goodput_per_gpu')),
	weight			float8 NOT NULL CHECK (weight >= 0 AND weight < 'Infinity'),
	PRIMARY KEY (workload, objective)
);
COMMENT ON TABLE benchorch.objective_weights IS
	'How much each objective counts in a workload''s score; workload * is any that has no rows of its own (data)';

SELECT pg_catalog.pg_extension_config_dump('benchorch.service_levels', '');
SELECT pg_catalog.pg_extension_config_dump('benchorch.objective_weights', '');

/* Levels of MLPerf Inference 5.1; the weights are a judgement, for users to replace by theirs. */
CREATE FUNCTION benchorch.seed_objectives() RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
	INSERT INTO benchorch.service_levels (workload, ttft_ms, tpot_ms, source) VALUES
		('chatbot', 450, 40, 'MLPerf Inference 5.1, llama2-70b Interactive'),
		('qa', 2000, 200, 'MLPerf Inference 5.1, llama2-70b Server'),
		('code-generation', 2000, 200, 'MLPerf Inference 5.1, mixtral-8x7b Server'),
		('creative-writing', 2000, 200, 'MLPerf Inference 5.1, llama2-70b Server'),
		('summarization', 2000, 100, 'MLPerf Inference 5.1, llama3.1-8b Server')
	ON CONFLICT DO NOTHING;

	INSERT INTO benchorch.objective_weights (workload, objective, weight) VALUES
		('*', 'ttft', 1), ('*', 'tpot', 1), ('*', 'tokens_per_s_per_gpu', 1), ('*', 'cost_per_million_tokens', 1),
		('chatbot', 'ttft', 3), ('chatbot', 'tpot', 3), ('chatbot', 'tokens_per_s_per_gpu', 2), ('chatbot', 'cost_per_million_tokens', 2),
		('qa', 'ttft', 4), ('qa', 'tpot', 2), ('qa', 'tokens_per_s_per_gpu', 2), ('qa', 'cost_per_million_tokens', 2),
		('code-generation', 'ttft', 2), ('code-generation', 'tpot', 4), ('code-generation', 'tokens_per_s_per_gpu', 2),
		('code-generation', 'cost_per_million_tokens', 2),
		('creative-writing', 'tpot', 4), ('creative-writing', 'tokens_per_s_per_gpu', 3), ('creative-writing', 'cost_per_million_tokens', 3),
		('summarization', 'tokens_per_s_per_gpu', 5), ('summarization', 'cost_per_million_tokens', 5)
	ON CONFLICT DO NOTHING
$$;
COMMENT ON FUNCTION benchorch.seed_objectives() IS
	'Adds service levels and weights of the reference workloads that are missing; rows that exist are never changed. Part of seed_reference_data()';

CREATE TABLE benchorch.cell_statistics
(
	model_version_id	uuid NOT NULL,
	config_id		bigint NOT NULL,
	hardware_config_id	int,
	framework_id	int NOT NULL,
	workload_type	text,
	batch_size		int,
	sequence_length	int,
	params			jsonb NOT NULL,
	gpus			int NOT NULL,
	method			text[] NOT NULL,
	n				int NOT NULL,
	flags			jsonb NOT NULL,
	measured_at		timestamptz NOT NULL,
	output_tokens_per_s float8, total_tokens_per_s float8, requests_per_s float8, goodput_per_s float8,
	ttft_mean_ms float8, ttft_p50_ms float8, ttft_p99_ms float8,
	tpot_mean_ms float8, tpot_p50_ms float8, tpot_p99_ms float8,
	e2e_mean_ms float8, e2e_p50_ms float8,
	gpu_memory_peak_bytes float8, joules_per_output_token float8,
	roofline_prefill float8, roofline_decode float8, accuracy float8, noise_rel float8,
	output_tokens_per_s_stddev float8, output_tokens_per_s_low float8, output_tokens_per_s_high float8,
	ttft_ms float8, ttft_low_ms float8, ttft_high_ms float8,
	tpot_ms float8, tpot_low_ms float8, tpot_high_ms float8,
	tokens_per_s_per_gpu float8, tokens_per_s_per_user float8, cost_per_million_tokens float8,
	within_service_level boolean, on_frontier boolean NOT NULL,
	score float8,
	PRIMARY KEY (model_version_id, config_id)
);
COMMENT ON TABLE benchorch.cell_statistics IS
	'Medians of each cell''s repeats and what follows from them, made anew by every finalize (derived); low and high are the interval for the median (src/statistics.c)';
COMMENT ON COLUMN benchorch.cell_statistics.config_id IS 'names the cell: of its configs with a result, the one with the least id';
COMMENT ON COLUMN benchorch.cell_statistics.params IS 'without repeat';
COMMENT ON COLUMN benchorch.cell_statistics.method IS 'tags of the results; a cell whose repeats differ in them has a row for each';
COMMENT ON COLUMN benchorch.cell_statistics.n IS 'results that count';
COMMENT ON COLUMN benchorch.cell_statistics.flags IS 'why the cell is left out of rankings; {} is valid';
COMMENT ON COLUMN benchorch.cell_statistics.measured_at IS 'when the last of its results came';
COMMENT ON COLUMN benchorch.cell_statistics.noise_rel IS
	'of output_tokens_per_s: median absolute deviation / median from 3 results on, else the tool''s own';
COMMENT ON COLUMN benchorch.cell_statistics.output_tokens_per_s_stddev IS 'of a sample; NULL for one result';
COMMENT ON COLUMN benchorch.cell_statistics.ttft_ms IS 'the p50 where there is one, else the mean; so is tpot_ms';
COMMENT ON COLUMN benchorch.cell_statistics.tokens_per_s_per_gpu IS 'output_tokens_per_s / gpus of the config';
COMMENT ON COLUMN benchorch.cell_statistics.tokens_per_s_per_user IS 'interactivity: 1000 / tpot_ms';
COMMENT ON COLUMN benchorch.cell_statistics.cost_per_million_tokens IS
	'output tokens, at the price_per_hour of the last finalize: price x gpus / gpu_count / (output_tokens_per_s x 3600) x 1e6; NULL without a price';
COMMENT ON COLUMN benchorch.cell_statistics.within_service_level IS
	'whether the p99 of TTFT and of TPOT keep the workload''s service_levels; NULL: not evaluated, for want of a level or of a p99';
COMMENT ON COLUMN benchorch.cell_statistics.on_frontier IS
	'no other cell of its workload and tags is at least as good in tokens/s/user and tokens/s/GPU and better in one';
COMMENT ON COLUMN benchorch.cell_statistics.score IS 'weighted by objective_weights, from 0 to 1; NULL where it is flagged or has no value';

CREATE TABLE benchorch.rankings
(
	model_version_id	uuid NOT NULL,
	workload_type	text,
	objective		text NOT NULL,
	method			text[] NOT NULL,
	rank			int NOT NULL,
	config_id		bigint NOT NULL,
	metric			text NOT NULL,
	value			float8 NOT NULL,
	low				float8 NOT NULL,
	high			float8 NOT NULL,
	stddev			float8,
	n				int NOT NULL
);
CREATE INDEX rankings_model ON benchorch.rankings (model_version_id, objective, workload_type, rank, config_id);
COMMENT ON TABLE benchorch.rankings IS
	'The first 10,000 cells of each workload by each objective, made anew by every finalize (derived); ties share a rank (src/ranking.c)';
COMMENT ON COLUMN benchorch.rankings.objective IS 'see objectives()';
COMMENT ON COLUMN benchorch.rankings.method IS 'tags that touch the objective: only cells with the same ones are ranked together';
COMMENT ON COLUMN benchorch.rankings.config_id IS 'the cell, as in cell_statistics';
COMMENT ON COLUMN benchorch.rankings.metric IS 'what value is made of';
COMMENT ON COLUMN benchorch.rankings.low IS 'with high the interval for the median; how sure it is: median_confidence(n)';

CREATE FUNCTION benchorch.objectives() RETURNS TABLE (objective text, unit text, best text, meaning text)
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
	VALUES ('output_tokens_per_s', 'tokens/s', 'most', 'output tokens of all requests per second'),
		('tokens_per_s_per_gpu', 'tokens/s/GPU', 'most', 'the same / GPUs of the config'),
		('ttft', 'ms', 'least', 'time to first token: p50, else mean'),
		('tpot', 'ms', 'least', 'time per output token after the first: p50, else mean'),
		('cost_per_million_tokens', 'per 1e6 tokens', 'least', 'price of the GPUs of the config for a million output tokens'),
		('joules_per_token', 'J/token', 'least', 'energy per output token'),
		('roofline', '', 'most', 'decode: least time that datasheet peaks allow / measured'),
		('goodput_per_gpu', '1/s/GPU', 'most', 'requests within the service level per second and GPU: the tool''s count, else all where the p99s keep it'),
		('score', '', 'most', 'weighted mean of value / best over the objectives, by objective_weights')
$$;
COMMENT ON FUNCTION benchorch.objectives() IS 'What cells are ranked by: name, unit, whether most or least is best, what it is';

CREATE FUNCTION benchorch.median_confidence(n int) RETURNS float8
LANGUAGE c IMMUTABLE PARALLEL SAFE
AS 'MODULE_PATHNAME', 'benchorch_median_confidence';
COMMENT ON FUNCTION benchorch.median_confidence(int) IS
	'How sure the interval of n repeats is to hold the true median: the widest order statistics with at least 0.95, else the extremes with 1 - 2^(1 - n); NULL for less than one';

CREATE TABLE benchorch.finalizations
(
	id				bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY,
	model_version_id	uuid NOT NULL,
	finalized_at	timestamptz NOT NULL DEFAULT pg_catalog.now(),
	partial			boolean NOT NULL,
	cells			int NOT NULL
);
CREATE INDEX finalizations_model ON benchorch.finalizations (model_version_id, id);
COMMENT ON TABLE benchorch.finalizations IS 'When each model version was ranked (data)';
COMMENT ON COLUMN benchorch.finalizations.cells IS 'cells that have a rank';

SELECT pg_catalog.pg_extension_config_dump('benchorch.finalizations', '');
SELECT pg_catalog.pg_extension_config_dump('benchorch.finalizations_id_seq', '');

/* Given only while rank_model writes. */
CREATE FUNCTION benchorch.ranked_cells() RETURNS SETOF benchorch.cell_statistics
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'benchorch_ranked_cells';
COMMENT ON FUNCTION benchorch.ranked_cells() IS 'The cells that rank_model has at hand; internal';

CREATE FUNCTION benchorch.ranked_places() RETURNS SETOF benchorch.rankings
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'benchorch_ranked_places';
COMMENT ON FUNCTION benchorch.ranked_places() IS 'The rankings that rank_model has at hand; internal';

CREATE FUNCTION benchorch.rank_model(model_version_id uuid) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = on
SET enable_bitmapscan = on
SET enable_hashjoin = on
SET enable_mergejoin = on
SET enable_nestloop = off
SET work_mem = '64MB'
SET enable_sort = on
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_rank_model';
COMMENT ON FUNCTION benchorch.rank_model(uuid) IS
	'Makes cell_statistics and rankings of a model version anew; returns how many cells have a rank. Part of finalize()';

CREATE FUNCTION benchorch.finalize(model_version_id uuid, partial boolean DEFAULT false) RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_finalize';
COMMENT ON FUNCTION benchorch.finalize(uuid, boolean) IS
	'Aggregates and ranks the results of a model version; returns how many cells have a rank. Refuses (55000) while configs are pending or running, unless partial. Errors: 22023 NULL, 42704 unknown model version';

CREATE FUNCTION benchorch.finalize_due() RETURNS int
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_finalize_due_sql';
COMMENT ON FUNCTION benchorch.finalize_due() IS
	'Ranks every model version that has become settled, once; returns how many. A model that cannot be ranked gives a warning and stays due';
