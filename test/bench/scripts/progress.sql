-- How long progress() takes, in a session that has called it before.
CREATE TEMPORARY TABLE took (seconds float8);
DO $$
DECLARE
	model	uuid := (SELECT id FROM benchorch.model_versions LIMIT 1);
	begun	timestamptz;
BEGIN
	FOR i IN 1 .. 60 LOOP
		begun := clock_timestamp();
		PERFORM benchorch.progress(model);
		INSERT INTO took SELECT extract(epoch FROM clock_timestamp() - begun) WHERE i > 10;
	END LOOP;
END
$$;
SELECT json_build_object('progress_p50_ms', round((1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds))::numeric, 3))
FROM took;
