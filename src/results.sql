/*
 * Results: handing them in.  What their numbers mean is said by adapters.sql
 * and tools.sql, what is wrong with them by checks.sql.
 */

CREATE FUNCTION benchorch.given_results() RETURNS SETOF benchorch.benchmark_results
LANGUAGE c VOLATILE
AS 'MODULE_PATHNAME', 'benchorch_given_results';
COMMENT ON FUNCTION benchorch.given_results() IS 'The results that a call has at hand, as rows without ids; internal';

CREATE FUNCTION benchorch.hand_in(config_id bigint, claim_id bigint, outcome text, output bytea, log bytea DEFAULT NULL,
	details jsonb DEFAULT NULL, OUT accepted boolean, OUT status text, OUT result_id bigint) RETURNS record
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_hand_in';
COMMENT ON FUNCTION benchorch.hand_in(bigint, bigint, text, bytea, bytea, jsonb) IS
	'Settles a claimed config with what its benchmark printed, as it is: outcome ok stores the result in output and completes, output that is none ends the attempt as bad_output, any other outcome ends the attempt. accepted: the claim held the config; if not, nothing is raised, a result is kept as unaccepted, and status is what the config has (NULL: it is gone). Repeated, it answers the same. details: a JSON object; argv, exit_code, signal and message are read from a failure''s, environment from a result''s. Errors: 22023';

CREATE FUNCTION benchorch.hand_in_many(config_ids bigint[], claim_ids bigint[], outcomes text[], outputs bytea[],
	logs bytea[] DEFAULT NULL, details jsonb[] DEFAULT NULL) RETURNS SETOF benchorch.settled_config
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_hand_in_many';
COMMENT ON FUNCTION benchorch.hand_in_many(bigint[], bigint[], text[], bytea[], bytea[], jsonb[]) IS
	'hand_in for many configs in one transaction: a row each, in the order given; sqlstate and message are NULL where it was accepted, BO001 where the claim held the config no longer (a result is kept as unaccepted), 22P02 where the output was no result (the attempt has ended), 22023 where an argument was wrong (nothing was done)';

CREATE FUNCTION benchorch.complete(config_id bigint, claim_id bigint, result jsonb, adapter text DEFAULT NULL,
	environment jsonb DEFAULT NULL) RETURNS bigint
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_complete';
COMMENT ON FUNCTION benchorch.complete(bigint, bigint, jsonb, text, jsonb) IS
	'Stores a result with its metrics, completes the config and returns the result''s id; the same call twice returns the same id. adapter: the framework''s, or a guess, where NULL. Errors: 22023 NULL, no JSON object, or not one request completed; 42704 unknown adapter; BO001 the claim is no longer current or the config is gone';

CREATE FUNCTION benchorch.complete_many(config_ids bigint[], claim_ids bigint[], results text[],
	environment jsonb DEFAULT NULL) RETURNS SETOF benchorch.settled_config
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_complete_many';
COMMENT ON FUNCTION benchorch.complete_many(bigint[], bigint[], text[], jsonb) IS
	'complete for many configs in one transaction: a row each, in the order given; sqlstate and message are NULL where it was done, and a refused one (BO001, 22P02 no JSON, 22023 no object) spoils none of the others and stays as it was';
