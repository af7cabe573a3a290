-- Why a run failed, by what it printed.
SET client_min_messages = warning;
DROP EXTENSION IF EXISTS benchorch CASCADE;
CREATE EXTENSION benchorch;
SELECT benchorch.seed_reference_data();
\set VERBOSITY terse

-- hands in a failed run of one item, and says what became of the attempt
CREATE FUNCTION pg_temp.judged(given text, log bytea, output bytea DEFAULT '', details jsonb DEFAULT '{"exit_code": 1, "argv": ["/opt/bin/tool", "x"]}',
	OUT outcome text, OUT message text) LANGUAGE plpgsql AS $$
DECLARE
	submission uuid := benchorch.submit('vLLM', '["x"]');
	c record;
BEGIN
	SELECT * INTO c FROM benchorch.claim_batch(1, model_version_id => submission);
	PERFORM benchorch.hand_in(c.config_id, c.claim_id, given, output, log, details);
	SELECT a.outcome, a.message INTO outcome, message FROM benchorch.attempts AS a WHERE a.config_id = c.config_id ORDER BY a.id;
END $$;

-- every known message means what its row says, wherever it stands in the log
SELECT r.name, r.outcome, j.outcome AS judged, j.message FROM benchorch.outcome_rules AS r,
	LATERAL pg_temp.judged('crash', convert_to(E'INFO starting\n' || r.example || E'\nTraceback, or something else\n', 'UTF8')) AS j
WHERE r.example IS NOT NULL AND (j.outcome <> r.outcome OR j.message <> r.example);
SELECT outcome, count(*) > 0 AS known FROM benchorch.outcome_rules GROUP BY outcome ORDER BY outcome;

-- and so do exit codes, of the program that they are known of
SELECT * FROM pg_temp.judged('crash', '', details => '{"exit_code": 69, "argv": ["/usr/bin/benchorch-engine"], "message": "exit code 69"}');
SELECT * FROM pg_temp.judged('crash', '', details => '{"exit_code": 69, "argv": ["/usr/bin/other"], "message": "exit code 69"}');

-- what the machine's fault explains comes first
SELECT * FROM pg_temp.judged('crash', E'CUDA out of memory\nCUDA error: uncorrectable ECC error encountered\n');
-- also after a deadline, and in standard output, and of a silent end; not where there was an output, nor where the worker is sure
SELECT * FROM pg_temp.judged('timeout', 'CUDA out of memory');
SELECT * FROM pg_temp.judged('crash', '', 'torch.OutOfMemoryError: no');
SELECT * FROM pg_temp.judged('bad_output', 'CUDA out of memory');
SELECT * FROM pg_temp.judged('ok', 'CUDA out of memory', 'half {');
SELECT * FROM pg_temp.judged('host_oom', 'CUDA out of memory');
SELECT * FROM pg_temp.judged('crash', 'something nobody knows', details => '{"message": "exit code 1: something nobody knows"}');
SELECT * FROM pg_temp.judged('crash', E'std::bad_alloc\nbye', details => '{"message": "killed by signal 6 (Aborted): bye"}');
SELECT * FROM pg_temp.judged('crash', E'std::bad_alloc\n', details => '{"message": "killed by signal 6 (Aborted): std::bad_alloc"}');
SELECT * FROM pg_temp.judged('crash', NULL, details => NULL);
-- any bytes may stand around it, and any number: the ends of a long output are looked at
SELECT * FROM pg_temp.judged('crash', '\x00ff0a43554441206f7574206f66206d656d6f7279c30a00'::bytea);
SELECT outcome, length(message) FROM pg_temp.judged('crash', convert_to('a' || repeat('x', 600) || ' CUDA out of memory', 'UTF8'));
SELECT * FROM pg_temp.judged('crash', '', convert_to(repeat('progress' || chr(10), 100000) || 'CUDA out of memory', 'UTF8'));

-- a user's rows
INSERT INTO benchorch.outcome_rules (name, outcome, pattern, command, position) VALUES ('ours', 'unsupported', '(?:fp|bf)(4|8) is not for us', 'tool', 1);
SELECT * FROM pg_temp.judged('crash', E'one\nERROR: fp8 is not for us, CUDA out of memory\n');
SELECT * FROM pg_temp.judged('crash', E'ERROR: fp8 is not for us\n', details => '{"argv": ["other"]}');
UPDATE benchorch.outcome_rules SET enabled = false WHERE name = 'ours';
SELECT * FROM pg_temp.judged('crash', E'one\nERROR: fp8 is not for us, CUDA out of memory\n');
INSERT INTO benchorch.outcome_rules (name, outcome, pattern) VALUES ('wrong', 'crash', '(');
INSERT INTO benchorch.outcome_rules (name, outcome, pattern) VALUES ('wrong', 'oom', 'x');
INSERT INTO benchorch.outcome_rules (name, outcome) VALUES ('wrong', 'crash');
-- seeding again changes nothing
SELECT benchorch.seed_reference_data();
SELECT outcome, enabled FROM benchorch.outcome_rules WHERE name = 'ours';

SELECT * FROM benchorch.check_invariants();
DROP EXTENSION benchorch CASCADE;
