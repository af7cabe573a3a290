-- Rows of benchmark_configs changed by key: where a session remembers them, and tuples that are unusual.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
\set m '\'00000000-0000-0000-0000-000000000001\''
-- so many pending ones with ids from 1, in a table of its own
CREATE PROCEDURE pg_temp.begin(wanted int) LANGUAGE plpgsql AS $$
BEGIN
	PERFORM benchorch.seed_reference_data(), benchorch.register_model('m', '00000000-0000-0000-0000-000000000001');
	INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
	SELECT '00000000-0000-0000-0000-000000000001', 1, 1, 'qa', n, 1024 FROM generate_series(1, wanted) AS n;
END $$;
CALL pg_temp.begin(60);
CREATE TEMP TABLE was AS SELECT * FROM benchorch.benchmark_configs;
-- every column that never changes is as it was
CREATE VIEW pg_temp.kept AS
SELECT count(*) FILTER (WHERE (c.model_version_id, c.hardware_config_id, c.framework_id, c.batch_size, c.sequence_length, c.workload_type, c.params, c.gpus, c.priority,
	c.lane_id, c.template_id, c.expected_s) IS NOT DISTINCT FROM (w.model_version_id, w.hardware_config_id, w.framework_id, w.batch_size, w.sequence_length, w.workload_type,
	w.params, w.gpus, w.priority, w.lane_id, w.template_id, w.expected_s)) AS kept, count(*) FILTER (WHERE c.status = 'completed') AS completed
FROM benchorch.benchmark_configs AS c JOIN was AS w USING (id);

-- the table is written anew between a claim and its completion
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(10) \gset
VACUUM FULL benchorch.benchmark_configs;
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(10) \gset
CLUSTER benchorch.benchmark_configs USING benchmark_configs_model;
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
-- a row moves: its page is full
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(10) \gset
UPDATE benchorch.benchmark_configs SET error_message = repeat('x', 1500) WHERE status = 'pending';
UPDATE benchorch.benchmark_configs SET error_message = repeat('y', 1500) WHERE id = ANY (:'ids');
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
TABLE pg_temp.kept;
SELECT * FROM benchorch.check_invariants();
-- the end of the table is cut off, and what stood there is asked for
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(10) \gset
DELETE FROM benchorch.benchmark_configs;
VACUUM (TRUNCATE) benchorch.benchmark_configs;
SELECT pg_relation_size('benchorch.benchmark_configs') AS bytes;
SELECT count(*) FILTER (WHERE sqlstate = 'BO001') AS refused FROM benchorch.update_many(:'ids', :'claims', 'completed');
-- the same ids in the same place, of another life
CALL pg_temp.begin(60);
TRUNCATE benchorch.benchmark_configs RESTART IDENTITY;
CALL pg_temp.begin(60);
SELECT count(*) FILTER (WHERE sqlstate = 'BO001') AS refused FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(10) \gset
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
CALL pg_temp.begin(60);
SELECT count(*) FILTER (WHERE sqlstate = 'BO001') AS refused FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(10) \gset
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT * FROM benchorch.check_invariants();

-- messages short, long, compressed and kept elsewhere: they go along until they are over
CREATE TEMP TABLE messages AS SELECT nr, message, length(message), md5(message) FROM unnest(ARRAY['s', repeat('126', 42), repeat('127', 42) || '7', repeat('long', 100),
	repeat('a very long message. ', 400), (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 60) AS n), (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 400) AS n)])
	WITH ORDINALITY AS t (message, nr);
UPDATE benchorch.benchmark_configs AS c SET error_message = m.message FROM messages AS m WHERE c.id = 20 + m.nr;
CREATE VIEW pg_temp.told AS SELECT m.nr, m.length, c.status, c.run_started, c.error_message = m.message AS same FROM messages AS m JOIN benchorch.benchmark_configs AS c ON c.id = 20 + m.nr;
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(20) \gset
SELECT count(*) AS started FROM pg_temp.told, benchorch.start(20 + nr, (:'claims'::bigint[])[1]) WHERE status = 'running' AND nr % 2 = 0;
SELECT * FROM pg_temp.told ORDER BY nr;
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT status, count(error_message), count(*) FROM benchorch.benchmark_configs GROUP BY 1 ORDER BY 1;
DO $$
DECLARE said text;
BEGIN
	FOR said IN SELECT message FROM messages ORDER BY nr LOOP
		PERFORM benchorch.update_status(c.config_id, 'failed', said, c.claim_id, outcome => 'unsupported') FROM benchorch.claim_batch(1) AS c;
	END LOOP;
END $$;
SELECT m.nr, c.error_message = m.message AS same FROM messages AS m JOIN benchorch.benchmark_configs AS c ON c.id = 30 + m.nr ORDER BY 1;
SELECT * FROM benchorch.check_invariants();

-- columns of a user's own, before and after rows have them
CALL pg_temp.begin(0);
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
SELECT :m, 1, 1, 'chatbot', n, 1024 FROM generate_series(1, 6) AS n;
ALTER TABLE benchorch.benchmark_configs ADD COLUMN owner name, ADD COLUMN tags text[] DEFAULT '{new}';
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(2) \gset
UPDATE benchorch.benchmark_configs SET owner = 'me', tags = '{a,b}' WHERE batch_size IN (1, 3) AND workload_type = 'chatbot';
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(2) \gset
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT batch_size, status, owner, tags FROM benchorch.benchmark_configs WHERE workload_type = 'chatbot' ORDER BY 1;
ALTER TABLE benchorch.benchmark_configs DROP COLUMN owner, DROP COLUMN tags;
SELECT array_agg(config_id) AS ids, array_agg(claim_id) AS claims FROM benchorch.claim_batch(2) \gset
SELECT count(*) FILTER (WHERE sqlstate IS NULL) AS completed FROM benchorch.update_many(:'ids', :'claims', 'completed');
SELECT count(*) FROM benchorch.benchmark_configs WHERE workload_type = 'chatbot' AND status = 'completed';
SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
