-- populate_matrix: cells of a template become configs, once each.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
SELECT benchorch.seed_reference_data();
\set model '\'00000000-0000-0000-0000-000000000001\''
\set VERBOSITY default
\set SHOW_CONTEXT never
SELECT benchorch.register_model('plain', :model) = :model AS registered;

-- a dry run says the numbers and writes nothing
SELECT hardware_configs, frameworks, workloads, expected_total, created, existing, skipped
FROM benchorch.populate_matrix(:model, dry_run => true);
SELECT (SELECT count(*) FROM benchorch.benchmark_configs) AS configs, (SELECT count(*) FROM benchorch.lanes) AS lanes,
	(SELECT count(*) FROM benchorch.progress_deltas) AS deltas, (SELECT count(*) FROM benchorch.lane_chunks) AS chunks;

-- the reference matrix: 10 machines x 3 frameworks x 60 cells
SET client_min_messages = notice;
SELECT hardware_configs, frameworks, workloads, expected_total, created, existing, skipped FROM benchorch.populate_matrix(:model);
SET client_min_messages = warning;
SELECT count(*) AS configs, count(DISTINCT (hardware_config_id, framework_id, workload_type, batch_size, sequence_length, params)) AS cells,
	count(DISTINCT lane_id) AS lanes, min(status) AS least, max(status) AS most, min(gpus) AS gpus, min(params::text) AS params
FROM benchorch.benchmark_configs;
SELECT * FROM benchorch.check_invariants();

-- twice creates nothing twice
SELECT expected_total, created, existing, skipped FROM benchorch.populate_matrix(:model);
SELECT expected_total, created, existing, skipped FROM benchorch.populate_matrix(:model, true);
SELECT count(*) FROM benchorch.benchmark_configs;

-- what is missing comes back, whatever the others' status is
DELETE FROM benchorch.benchmark_configs WHERE workload_type = 'qa' AND batch_size = 8;	-- archived: counts as existing
SELECT created, existing FROM benchorch.populate_matrix(:model);
SELECT count(*) FROM benchorch.claim_batch(500);
SELECT created, existing FROM benchorch.populate_matrix(:model);
SELECT created, existing FROM benchorch.populate_matrix(:model, true);
SELECT * FROM benchorch.check_invariants();

-- a new machine adds its cells
SELECT benchorch.register_hardware('box', '{"gpu_count": 2}') > 0 AS registered;
SELECT hardware_configs, expected_total, created, existing FROM benchorch.populate_matrix(:model);

-- rows that are not enabled are left out; what they have already stays
UPDATE benchorch.hardware_configs SET enabled = false WHERE name IN ('box', 'g5.xlarge', 'g6.xlarge');
SELECT hardware_configs, frameworks, workloads, expected_total, created, existing FROM benchorch.populate_matrix(:model);
SELECT benchorch.register_model('other', '00000000-0000-0000-0000-000000000002') IS NOT NULL AS registered;
SELECT hardware_configs, expected_total, created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000002');
UPDATE benchorch.hardware_configs SET enabled = true WHERE name <> 'box';

-- priorities: all 60 cells, from 100 to 610
SELECT count(*) AS cells, count(DISTINCT priority) AS priorities, min(priority) AS least, max(priority) AS most,
	count(*) FILTER (WHERE priority = CASE workload_type WHEN 'chatbot' THEN 100 WHEN 'qa' THEN 200 WHEN 'code-generation' THEN 300
		WHEN 'creative-writing' THEN 400 WHEN 'summarization' THEN 500 END + (batch_size - 1) * 10
		+ CASE sequence_length WHEN 1024 THEN 0 WHEN 2048 THEN 20 WHEN 4096 THEN 40 END) AS by_the_formula
FROM (SELECT DISTINCT workload_type, batch_size, sequence_length, priority FROM benchorch.benchmark_configs
	WHERE model_version_id = '00000000-0000-0000-0000-000000000002') AS cells;
SELECT benchorch.config_priority('chatbot', 1, 1024) AS least, benchorch.config_priority('summarization', 8, 4096) AS most,
	benchorch.config_priority('chatbot', 1, 8192) AS long, benchorch.config_priority('chatbot', 1, 3000) AS odd,
	benchorch.config_priority('mine', 3, 1024) AS other;
-- the weights are the user's
BEGIN;
UPDATE benchorch.priority_weights SET weight = 7 WHERE (dimension, value) = ('workload', 'chatbot');
UPDATE benchorch.priority_weights SET weight = 100 WHERE (dimension, value) = ('batch_size', 'step');
INSERT INTO benchorch.priority_weights VALUES ('sequence_length', '512', -3);
SELECT benchorch.config_priority('chatbot', 2, 512);
ROLLBACK;

-- what cannot fit is skipped, with the arithmetic: Llama-3.1-405B has 811 GB of weights
SELECT benchorch.register_model('Llama-3.1-405B', '00000000-0000-0000-0000-000000000003') IS NOT NULL AS registered;
SELECT expected_total, created, existing, skipped FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000003', true);
SELECT expected_total, created, existing, skipped FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000003');
SELECT h.name, c.status, c.gpus, count(*), count(*) FILTER (WHERE c.error_message IS NOT NULL AND c.completed_at IS NOT NULL) AS with_reason
FROM benchorch.benchmark_configs c JOIN benchorch.hardware_configs h ON h.id = c.hardware_config_id
WHERE c.model_version_id = '00000000-0000-0000-0000-000000000003' GROUP BY h.id, h.name, 2, 3 ORDER BY h.id, 2, 3;
SELECT c.error_message FROM benchorch.benchmark_configs c JOIN benchorch.hardware_configs h ON h.id = c.hardware_config_id
WHERE c.model_version_id = '00000000-0000-0000-0000-000000000003' AND h.name IN ('g5.xlarge', 'p5.48xlarge')
	AND c.workload_type = 'qa' AND c.batch_size = 8 AND c.sequence_length = 4096 AND c.framework_id = 1 ORDER BY h.id;
SELECT expected_total, created, existing, skipped FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000003');
SELECT * FROM benchorch.check_invariants();

-- a model version with an architecture gets the GPUs that it needs, in a lane of its own
SELECT benchorch.register_model('Llama-3.1-70B', '00000000-0000-0000-0000-000000000004') IS NOT NULL AS registered;
SELECT created, skipped FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000004');
SELECT h.name, c.gpus, count(*) FILTER (WHERE c.status = 'pending') AS pending, count(*) FILTER (WHERE c.status = 'skipped') AS skipped,
	bool_and(l.gpus = c.gpus AND l.hardware_config_id = c.hardware_config_id AND l.framework_id = c.framework_id) AS in_its_lane
FROM benchorch.benchmark_configs c JOIN benchorch.hardware_configs h ON h.id = c.hardware_config_id JOIN benchorch.lanes l ON l.id = c.lane_id
WHERE c.model_version_id = '00000000-0000-0000-0000-000000000004' GROUP BY h.id, h.name, 2 ORDER BY h.id, 2;

-- the architecture may come later: the cells are still the same cells
SELECT benchorch.register_model('late', '00000000-0000-0000-0000-000000000005') IS NOT NULL AS registered;
SELECT created, skipped FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000005');
SELECT benchorch.register_model('late', '00000000-0000-0000-0000-000000000005',
	(SELECT architecture FROM benchorch.known_models() WHERE name = 'Llama-3.1-405B')) IS NOT NULL AS registered;
SELECT created, existing FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000005', true);
SELECT created, existing FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000005');

-- templates restrict by name and add dimensions; engine ones make lanes, request ones do not; repeats are configs of their own
\set model '\'00000000-0000-0000-0000-000000000011\''
SELECT benchorch.register_model('dims', :model) IS NOT NULL AS registered;
SELECT benchorch.create_template('dims', '{"hardware": ["p5.48xlarge", "p4d.24xlarge"], "frameworks": ["vLLM"], "workloads": ["qa", "chatbot"],
	"batch_sizes": [1, 16], "sequence_lengths": [1024],
	"dimensions": {"precision": {"kind": "engine", "values": ["bf16", "fp8"]}, "tensor_parallel": {"kind": "engine", "values": [1, 2]},
		"request_rate": {"kind": "request", "values": [1, 4, 16]}}, "repeats": 3}') IS NOT NULL AS made;
SELECT hardware_configs, frameworks, workloads, expected_total, created FROM benchorch.populate_matrix(:model, template => 'dims');
SELECT count(DISTINCT lane_id) AS lanes, count(DISTINCT params - 'repeat') AS engines_and_rates, count(DISTINCT params -> 'repeat') AS repeats,
	min(params ->> 'repeat') AS first, max(params ->> 'repeat') AS last
FROM benchorch.benchmark_configs WHERE model_version_id = :model;
SELECT l.engine, l.gpus, count(*) FROM benchorch.lanes l JOIN benchorch.benchmark_configs c ON c.lane_id = l.id
WHERE l.model_version_id = :model GROUP BY 1, 2 ORDER BY 1, 2;
SELECT created, existing FROM benchorch.populate_matrix(:model, template => 'dims');
-- more repeats later: only the new ones
SELECT benchorch.create_template('dims', (SELECT spec || '{"repeats": 4}' FROM benchorch.templates WHERE name = 'dims')) IS NOT NULL AS made;
SELECT created, existing FROM benchorch.populate_matrix(:model, template => 'dims');

-- exclusion rules: a value, several, a range; the members of a rule all have to match, one rule is enough
\set model '\'00000000-0000-0000-0000-000000000012\''
SELECT benchorch.register_model('rules', :model) IS NOT NULL AS registered;
SELECT benchorch.create_template('rules', '{"hardware": ["g5.xlarge", "p5.48xlarge"], "frameworks": ["vLLM", "SGLang"], "workloads": ["qa"],
	"batch_sizes": [1, 2, 4, 8], "sequence_lengths": [1024, 2048, 4096],
	"dimensions": {"precision": {"kind": "engine", "values": ["bf16", "fp8"]}},
	"exclude": [{"hardware": "g5.xlarge", "precision": "fp8"},
		{"batch_size": {"min": 4}, "sequence_length": {"min": 2048, "max": 3000}},
		{"framework": ["SGLang", "TensorRT-LLM"], "sequence_length": 4096}]}') IS NOT NULL AS made;
SELECT expected_total, created, skipped FROM benchorch.populate_matrix(:model, template => 'rules');
SELECT count(*) FILTER (WHERE h.name = 'g5.xlarge' AND c.params ->> 'precision' = 'fp8') AS by_values,
	count(*) FILTER (WHERE c.batch_size >= 4 AND c.sequence_length = 2048) AS by_ranges,
	count(*) FILTER (WHERE f.name = 'SGLang' AND c.sequence_length = 4096) AS by_array, count(*) AS left_over,
	/* of the hardware and precisions that are left: 12 sizes less 2, for SGLang less 4 more */
	3 * ((12 - 2) + (12 - 2 - 4)) AS by_hand
FROM benchorch.benchmark_configs c JOIN benchorch.hardware_configs h ON h.id = c.hardware_config_id
	JOIN benchorch.frameworks f ON f.id = c.framework_id WHERE c.model_version_id = :model;
SELECT created, existing FROM benchorch.populate_matrix(:model, true, 'rules');
SELECT * FROM benchorch.check_invariants();

-- rules that leave nothing: a warning, and no row
SELECT benchorch.create_template('nothing', '{"workloads": ["qa"], "exclude": [{"workload": "qa"}]}') IS NOT NULL AS made;
SELECT expected_total, created FROM benchorch.populate_matrix(:model, template => 'nothing');

-- both roads into the table make the same of a template: straight in, and by a statement where a trigger of the user's is to fire
SELECT benchorch.register_model('Llama-3.1-70B', '00000000-0000-0000-0000-000000000021') IS NOT NULL AS registered;
SELECT benchorch.register_model('Llama-3.1-70B', '00000000-0000-0000-0000-000000000022') IS NOT NULL AS registered;
SELECT created, skipped FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000021', template => 'dims');
CREATE TABLE seen (status text);
CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen VALUES (NEW.status); RETURN NULL; END $$;
CREATE TRIGGER see AFTER INSERT ON benchorch.benchmark_configs FOR EACH ROW EXECUTE FUNCTION see();
SELECT created, skipped FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000022', template => 'dims');
SELECT count(*) AS seen FROM seen;
DROP TRIGGER see ON benchorch.benchmark_configs;
DROP FUNCTION see();
DROP TABLE seen;
CREATE FUNCTION pg_temp.made(model uuid) RETURNS SETOF jsonb LANGUAGE sql AS $$
	SELECT to_jsonb(c) - '{id,model_version_id,lane_id,completed_at}'::text[] || jsonb_build_object('engine', l.engine,
		'settled', c.completed_at IS NOT NULL, 'chunk', (SELECT k.works[array_position(k.ids, c.id)]
			FROM benchorch.lane_chunks AS k WHERE k.lane_id = c.lane_id AND c.id = ANY (k.ids)),
		'urgent', (SELECT k.priority FROM benchorch.priority_chunks AS k WHERE c.id = ANY (k.ids)))
	FROM benchorch.benchmark_configs AS c JOIN benchorch.lanes AS l ON l.id = c.lane_id WHERE c.model_version_id = model $$;
SELECT count(*) AS configs, count(*) FILTER (WHERE m ->> 'status' = 'skipped') AS skipped, min((m ->> 'chunk')::int) > 0 AS in_chunks
FROM pg_temp.made('00000000-0000-0000-0000-000000000021') AS m;
SELECT pg_temp.made('00000000-0000-0000-0000-000000000021') EXCEPT ALL SELECT pg_temp.made('00000000-0000-0000-0000-000000000022');
SELECT pg_temp.made('00000000-0000-0000-0000-000000000022') EXCEPT ALL SELECT pg_temp.made('00000000-0000-0000-0000-000000000021');

-- and so is what else a user has put on the table: columns with defaults, constraints, indexes
ALTER TABLE benchorch.benchmark_configs ADD COLUMN team text NOT NULL DEFAULT 'ours';
CREATE INDEX configs_by_team ON benchorch.benchmark_configs (team, id);
SELECT benchorch.register_model('teams', '00000000-0000-0000-0000-000000000023') IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000023', template => 'dims');
SET enable_seqscan = off;
SELECT team, count(*) FROM benchorch.benchmark_configs WHERE team = 'ours' AND model_version_id = '00000000-0000-0000-0000-000000000023'
GROUP BY 1;
RESET enable_seqscan;
ALTER TABLE benchorch.benchmark_configs ALTER COLUMN team SET DEFAULT pg_catalog.gen_random_uuid()::text;
SELECT benchorch.register_model('each its own', '00000000-0000-0000-0000-000000000024') IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000024', template => 'dims');
SELECT count(*) = count(DISTINCT team) AS each_its_own FROM benchorch.benchmark_configs
WHERE model_version_id = '00000000-0000-0000-0000-000000000024';
ALTER TABLE benchorch.benchmark_configs DROP COLUMN team;
ALTER TABLE benchorch.benchmark_configs ADD CONSTRAINT small CHECK (batch_size < 16) NOT VALID;
SELECT benchorch.register_model('small', '00000000-0000-0000-0000-000000000025') IS NOT NULL AS registered;
DO $$ BEGIN
	PERFORM benchorch.populate_matrix('00000000-0000-0000-0000-000000000025', template => 'dims');
EXCEPTION WHEN check_violation THEN RAISE WARNING 'refused: %', SQLERRM;
END $$;
ALTER TABLE benchorch.benchmark_configs DROP CONSTRAINT small;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000025', template => 'dims');
SELECT * FROM benchorch.check_invariants();

-- what is wrong is told, and changes nothing
SELECT count(*) AS before FROM benchorch.benchmark_configs \gset
CREATE FUNCTION pg_temp.refusal(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE hint text; state text; message text;
BEGIN
	EXECUTE statement;
	RETURN 'accepted';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT, state = RETURNED_SQLSTATE, message = MESSAGE_TEXT;
	RETURN state || ': ' || message || CASE WHEN hint <> '' THEN ' (' || hint || ')' ELSE '' END;
END $$;
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('ffffffff-0000-0000-0000-000000000000')$$);
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('ffffffff-0000-0000-0000-000000000000', true)$$);
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix(NULL)$$);
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('00000000-0000-0000-0000-000000000012', NULL)$$);
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('00000000-0000-0000-0000-000000000012', template => NULL)$$);
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('00000000-0000-0000-0000-000000000012', template => 'unknown')$$);
SELECT benchorch.create_template('bad hardware', '{"hardware": ["p5.48xlarge", "cray-1"]}') IS NOT NULL AS made;
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('00000000-0000-0000-0000-000000000012', template => 'bad hardware')$$);
SELECT benchorch.create_template('bad framework', '{"frameworks": ["lam"]}') IS NOT NULL AS made;
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('00000000-0000-0000-0000-000000000012', template => 'bad framework')$$);
SELECT benchorch.create_template('bad workload', '{"workloads": ["poetry"]}') IS NOT NULL AS made;
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('00000000-0000-0000-0000-000000000012', template => 'bad workload')$$);
SELECT pg_temp.refusal($$SELECT benchorch.create_template('x', '{"hardwares": ["p5.48xlarge"]}')$$) LIKE '22023: %' AS unknown_key;
SELECT pg_temp.refusal($$SELECT benchorch.create_template('x', '{"batch_sizes": [0]}')$$) LIKE '22023: %' AS bad_batch_size;
SELECT pg_temp.refusal($$SELECT benchorch.create_template('x', '{"repeats": 0}')$$) LIKE '22023: %' AS bad_repeats;
SELECT pg_temp.refusal($$SELECT benchorch.create_template(NULL, '{}')$$) LIKE '22023: %' AS null_name;
SELECT pg_temp.refusal($$SELECT benchorch.create_template('x', NULL)$$) LIKE '22023: %' AS null_spec;
SELECT count(*) = :before AS nothing_changed FROM benchorch.benchmark_configs;
-- no reference data yet: the hint says the next step
DELETE FROM benchorch.templates;
SELECT pg_temp.refusal($$SELECT benchorch.populate_matrix('00000000-0000-0000-0000-000000000012')$$);
SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
