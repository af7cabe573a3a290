/*
 * Transitions of one config and of many.
 */

CREATE FUNCTION benchorch.update_status(config_id bigint, status text, error_message text DEFAULT NULL,
	claim_id bigint DEFAULT NULL, outcome text DEFAULT NULL) RETURNS text
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_update_status';
COMMENT ON FUNCTION benchorch.update_status(bigint, text, text, bigint, text) IS
	'Moves a config to completed, failed, skipped, cancelled or pending and returns the status that it now has (pending when it will be retried). With claim_id only while that claim holds it; without, whoever holds it. Errors: 22023, 42704 unknown config, BO001 stale claim, BO002 no such transition';

CREATE TYPE benchorch.settled_config AS
(
	config_id		bigint,
	result_id		bigint,
	sqlstate		text,
	message			text
);
COMMENT ON TYPE benchorch.settled_config IS
	'What update_many, hand_in_many and complete_many say of a config: sqlstate and message are NULL where it was done, result_id where no result was stored';

CREATE FUNCTION benchorch.update_many(config_ids bigint[], claim_ids bigint[], status text, outcome text DEFAULT NULL)
	RETURNS SETOF benchorch.settled_config
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_update_many';
COMMENT ON FUNCTION benchorch.update_many(bigint[], bigint[], text, text) IS
	'update_status under claims for many configs in one transaction: a row each, in the order given; sqlstate and message are NULL where it was done, and a refused one (BO001, BO002) spoils none of the others';

CREATE FUNCTION benchorch.start(config_id bigint, claim_id bigint) RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'benchorch_start';
COMMENT ON FUNCTION benchorch.start(bigint, bigint) IS
	'The run of a claimed config begins now: deadline and blame count from here. Errors: 22023 NULL, BO001 stale claim';

CREATE FUNCTION benchorch.mark_endgame(model_version_id uuid) RETURNS void
LANGUAGE c VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_mark_endgame_sql';
COMMENT ON FUNCTION benchorch.mark_endgame(uuid) IS 'Marks a model version that may be near its end, so that it is ranked once nothing is pending or running';

CREATE FUNCTION benchorch.config_updated() RETURNS trigger
LANGUAGE c SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET enable_seqscan = off
SET jit = off
AS 'MODULE_PATHNAME', 'benchorch_config_updated';
COMMENT ON FUNCTION benchorch.config_updated() IS 'Trigger: a typed UPDATE ends in the same rules as a call';

CREATE TRIGGER config_updated AFTER UPDATE ON benchorch.benchmark_configs
	FOR EACH ROW WHEN (OLD.version = NEW.version) EXECUTE FUNCTION benchorch.config_updated();
