-- What CREATE EXTENSION makes, who may use it, and what DROP EXTENSION leaves: nothing.
SET client_min_messages = warning;
SET search_path = public;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;

-- the script makes its own schema
SELECT count(*) AS objects_elsewhere FROM pg_depend d JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid
LEFT JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
LEFT JOIN pg_class c ON d.classid = 'pg_class'::regclass AND c.oid = d.objid
WHERE e.extname = 'benchorch' AND d.deptype = 'e' AND coalesce(p.pronamespace, c.relnamespace) <> 'benchorch'::regnamespace;
SELECT nspname AS schema FROM pg_namespace n JOIN pg_depend d ON d.classid = 'pg_namespace'::regclass AND d.objid = n.oid
JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND d.refobjid = e.oid AND e.extname = 'benchorch';

-- the tables that users query, and the columns that the manual promises
SELECT t.name AS missing_table
FROM unnest('{benchmark_configs,benchmark_results,attempts,hardware_configs,frameworks,workloads,model_versions,workers}'::text[]) AS t (name)
WHERE to_regclass('benchorch.' || t.name) IS NULL;
SELECT c.name AS missing_column
FROM unnest('{id,model_version_id,hardware_config_id,framework_id,workload_type,batch_size,sequence_length,params,gpus,priority,status,started_at,completed_at,retry_count,error_message}'::text[]) AS c (name)
WHERE NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = 'benchorch.benchmark_configs'::regclass AND a.attname = c.name);
SELECT attrelid::regclass AS table, attname AS time_without_zone
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
WHERE c.relnamespace = 'benchorch'::regnamespace AND a.atttypid = 'timestamp'::regtype;

-- the functions that the manual promises: arguments, their order and defaults
\pset format unaligned
SELECT p.proname AS function, pg_get_function_arguments(p.oid) AS arguments
FROM pg_proc p
WHERE p.pronamespace = 'benchorch'::regnamespace AND p.proname IN (
	'seed_reference_data', 'register_model', 'register_hardware', 'register_framework', 'register_workload', 'create_template',
	'register_worker', 'populate_matrix', 'claim_batch', 'claim_next', 'start', 'hand_in', 'hand_in_many', 'complete', 'complete_many',
	'update_status', 'update_many', 'heartbeat', 'release', 'reset_stale', 'schedule_maintenance', 'unschedule_maintenance',
	'progress', 'list_configs', 'watch', 'finalize', 'check_invariants', 'cancel', 'retry_failed', 'archive_completed',
	'grant_worker', 'grant_operator', 'grant_reader', 'submit', 'pause', 'resume', 'reprioritize', 'drain_worker',
	'quarantine_worker', 'unquarantine_worker', 'explain_empty', 'logs')
ORDER BY p.proname COLLATE "C";

-- where the columns stand that C reads and writes by position: src/table.h says the same
SELECT attrelid::regclass AS table, string_agg(attname, ' ' ORDER BY attnum) AS columns
FROM pg_attribute
WHERE attrelid::regclass::text IN ('benchorch.lane_chunks', 'benchorch.priority_chunks', 'benchorch.claims', 'benchorch.worker_leases',
		'benchorch.workers', 'benchorch.progress_deltas', 'benchorch.endgames', 'benchorch.model_versions', 'benchorch.delayed_configs',
		'benchorch.benchmark_results')
	AND attnum > 0
GROUP BY attrelid ORDER BY attrelid::regclass::text;
\pset format aligned
SELECT a.attname AS claim_batch_returns, format_type(a.atttypid, a.atttypmod) AS type
FROM pg_proc p JOIN pg_type t ON t.oid = p.prorettype JOIN pg_attribute a ON a.attrelid = t.typrelid AND a.attnum > 0
WHERE p.oid = 'benchorch.claim_batch'::regproc ORDER BY a.attnum;

-- no public function is STRICT: NULL is answered, not swallowed
SELECT p.oid::regprocedure AS strict_function FROM pg_proc p WHERE p.pronamespace = 'benchorch'::regnamespace AND p.proisstrict;

-- everything says what it is
SELECT p.oid::regprocedure AS function_without_comment FROM pg_proc p
WHERE p.pronamespace = 'benchorch'::regnamespace AND obj_description(p.oid, 'pg_proc') IS NULL ORDER BY 1;
SELECT c.oid::regclass AS relation_without_comment FROM pg_class c
WHERE c.relnamespace = 'benchorch'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm') AND obj_description(c.oid, 'pg_class') IS NULL ORDER BY 1;
SELECT obj_description('benchorch'::regnamespace, 'pg_namespace') IS NOT NULL AS schema_has_comment;

-- nothing is PUBLIC's
SELECT p.oid::regprocedure AS public_may_execute FROM pg_proc p
WHERE p.pronamespace = 'benchorch'::regnamespace AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1;
SELECT c.oid::regclass AS public_may_touch FROM pg_class c
WHERE c.relnamespace = 'benchorch'::regnamespace AND c.relkind IN ('r', 'v')
	AND has_table_privilege('public', c.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE') ORDER BY 1;
SELECT has_schema_privilege('public', 'benchorch', 'USAGE') AS public_may_use_schema;

-- what runs with the owner's rights looks nowhere else
SELECT p.oid::regprocedure AS unpinned FROM pg_proc p
WHERE p.pronamespace = 'benchorch'::regnamespace AND p.prosecdef
	AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (p.proconfig), false) ORDER BY 1;

-- no index of the matrix mentions what changes in the life of a config
SELECT i.indexrelid::regclass AS index, a.attname AS changing_column
FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = ANY (i.indkey)
WHERE i.indrelid = 'benchorch.benchmark_configs'::regclass
	AND a.attname IN ('status', 'started_at', 'completed_at', 'retry_count', 'claim_id', 'attempt', 'error_message');

-- what pg_dump takes along: data and its sequences, nothing that is derived
SELECT c.relname AS dumped_though_derived FROM pg_extension e JOIN pg_class c ON c.oid = ANY (e.extconfig)
WHERE e.extname = 'benchorch' AND obj_description(c.oid, 'pg_class') ~ '\((derived|passing)' ORDER BY 1;
SELECT c.relname AS data_not_dumped FROM pg_class c
WHERE c.relnamespace = 'benchorch'::regnamespace AND obj_description(c.oid, 'pg_class') ~ '\(data' AND NOT EXISTS (
	SELECT FROM pg_extension e WHERE e.extname = 'benchorch' AND c.oid = ANY (e.extconfig)) ORDER BY 1;
SELECT s.relname AS sequence_not_dumped
FROM pg_class s JOIN pg_depend d ON d.objid = s.oid AND d.deptype = 'i' JOIN pg_class t ON t.oid = d.refobjid
WHERE s.relkind = 'S' AND s.relnamespace = 'benchorch'::regnamespace AND EXISTS (
	SELECT FROM pg_extension e WHERE e.extname = 'benchorch' AND t.oid = ANY (e.extconfig)) AND NOT EXISTS (
	SELECT FROM pg_extension e WHERE e.extname = 'benchorch' AND s.oid = ANY (e.extconfig)) ORDER BY 1;

-- the install script brings no rows
SELECT (SELECT count(*) FROM benchorch.hardware_configs) + (SELECT count(*) FROM benchorch.frameworks)
	+ (SELECT count(*) FROM benchorch.workloads) + (SELECT count(*) FROM benchorch.templates) AS rows;

-- every function can be called by a session that sees nothing but pg_catalog
SET search_path = pg_catalog;
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_model('m', '00000000-0000-0000-0000-000000000001') IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001');
SELECT count(*) FROM benchorch.claim_batch(3);
SELECT benchorch.reset_stale();
SELECT benchorch.progress('00000000-0000-0000-0000-000000000001') ->> 'total' AS total;
SELECT * FROM benchorch.check_invariants();
SET search_path = public;

-- a shadowed operator or function in front does not get in
CREATE SCHEMA trap;
CREATE FUNCTION trap.now() RETURNS timestamptz LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE FUNCTION trap.equal(int, int) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE 'trapped'; END $$;
CREATE OPERATOR trap.= (LEFTARG = int, RIGHTARG = int, FUNCTION = trap.equal);
SET search_path = trap, pg_catalog;
SELECT count(*) FROM benchorch.claim_batch(1);
SELECT benchorch.reset_stale(0) >= 0 AS reset;
SELECT benchorch.archive_completed();
SELECT existing FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001');
INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length)
VALUES ('00000000-0000-0000-0000-000000000001', 1, 1, 'shadow', 1, 1);
SET search_path = public;
DROP SCHEMA trap CASCADE;

-- dropping it leaves nothing, and it comes back
DROP EXTENSION benchorch;
SELECT count(*) AS schemas FROM pg_namespace WHERE nspname = 'benchorch';
SELECT count(*) AS functions FROM pg_proc WHERE probin LIKE '%benchorch%';
SELECT count(*) AS locks FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid();
CREATE EXTENSION benchorch;
SELECT benchorch.seed_reference_data();
SELECT benchorch.register_model('m', '00000000-0000-0000-0000-000000000001') IS NOT NULL AS registered;
SELECT created FROM benchorch.populate_matrix('00000000-0000-0000-0000-000000000001');
-- in the same session too: prepared plans do not remember the old tables
SELECT count(*) FROM benchorch.claim_batch(3);
SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
CREATE EXTENSION benchorch;
