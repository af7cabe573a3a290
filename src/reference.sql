/*
 * What sessions keep of small tables (src/reference.c): whoever changes these
 * tables says so.  ALWAYS: also where changes come by replication.
 */

CREATE FUNCTION benchorch.reference_changed() RETURNS trigger
LANGUAGE c
AS 'MODULE_PATHNAME', 'benchorch_reference_changed';
COMMENT ON FUNCTION benchorch.reference_changed() IS 'Trigger: sessions read the table anew that they keep rows of';

DO $$
DECLARE
	name	text;
BEGIN
	FOREACH name IN ARRAY ARRAY['adapters', 'request_fields', 'frameworks', 'workloads', 'hardware_configs',
		'checks', 'check_switches', 'templates', 'workers', 'model_versions']
	LOOP
		/* a new model version is nothing that anybody keeps, nor is a ranking */
		EXECUTE format('CREATE TRIGGER reference_changed AFTER %s ON benchorch.%I FOR EACH STATEMENT EXECUTE FUNCTION benchorch.reference_changed()',
			CASE name WHEN 'model_versions' THEN 'UPDATE OF id, name, source, architecture, paused OR DELETE OR TRUNCATE'
				ELSE 'INSERT OR UPDATE OR DELETE OR TRUNCATE' END, name);
		EXECUTE format('ALTER TABLE benchorch.%I ENABLE ALWAYS TRIGGER reference_changed', name);
	END LOOP;
END
$$;

/* one that comes in paused is */
CREATE TRIGGER comes_paused AFTER INSERT ON benchorch.model_versions
	FOR EACH ROW WHEN (NEW.paused) EXECUTE FUNCTION benchorch.reference_changed();
ALTER TABLE benchorch.model_versions ENABLE ALWAYS TRIGGER comes_paused;
