/*
 * Budgets: GPU-hours or money that a model version may use.
 *
 * Nothing is counted while configs are claimed and settled.  What a model has
 * used stands in the rows that its runs leave anyway:
 *
 *   spent       the last run of every settled config, every attempt that ended
 *               badly, runs whose results are superseded, and what runs now,
 *               so far; times the GPUs of each
 *   committed   what the configs that are claimed are still expected to take
 *               (expected_seconds), begun or not
 *
 * check_budgets() adds that up for models that have a budget, seconds apart
 * and so seldom that it takes at most a twentieth of one CPU: claims, the
 * sweep and heartbeats call it on their way, and only one of them does it.  Where
 * spent + committed reach the budget the model is held: paused, with paused_by
 * = 'budget'.  So no claim looks at budgets; what is claimed runs to its end.
 * The hold ends by itself when runs take less than expected, or when
 * set_budget() raises the budget; it never ends an operator's pause.
 *
 * Money is by the machines' current price_per_hour; what runs on a machine
 * without one costs nothing here, and set_budget() warns of it.
 */

CREATE TABLE benchorch.budgets
(
	model_version_id	uuid PRIMARY KEY,
	gpu_hours		float8 CHECK (gpu_hours >= 0),
	cost			float8 CHECK (cost >= 0),
	spent_gpu_hours	float8 NOT NULL DEFAULT 0,
	spent_cost		float8 NOT NULL DEFAULT 0,
	committed_gpu_hours	float8 NOT NULL DEFAULT 0,
	committed_cost	float8 NOT NULL DEFAULT 0,
	checked_at		timestamptz,
	next_check		timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE benchorch.budgets IS 'What model versions may use, and what they had used at the last look (data)';
COMMENT ON COLUMN benchorch.budgets.cost IS 'money, in the currency of price_per_hour';
COMMENT ON COLUMN benchorch.budgets.committed_gpu_hours IS 'what is claimed and not yet done is expected to take from now on';

SELECT pg_catalog.pg_extension_config_dump('benchorch.budgets', '');

CREATE FUNCTION benchorch.budget_used(model_version_id uuid, OUT spent_gpu_hours float8, OUT spent_cost float8,
	OUT committed_gpu_hours float8, OUT committed_cost float8) RETURNS record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET jit = off
AS $$
	WITH settled AS (
		SELECT c.id, c.hardware_config_id, c.gpus, c.status, c.started_at, c.completed_at FROM benchorch.benchmark_configs AS c
		WHERE c.model_version_id = $1
		UNION ALL
		SELECT c.id, c.hardware_config_id, c.gpus, c.status, c.started_at, c.completed_at FROM benchorch.archived_configs AS c
		WHERE c.model_version_id = $1
	), held AS MATERIALIZED (
		/* what waits in a worker's claim has not begun; of a claim without worker nobody knows */
		SELECT c.id, c.hardware_config_id, c.gpus, CASE WHEN c.run_started OR l.worker_id IS NULL
			THEN greatest(extract(epoch FROM clock_timestamp() - c.started_at), 0)::float8 ELSE 0 END AS seconds
		FROM benchorch.claims AS l JOIN benchorch.benchmark_configs AS c ON c.id = ANY (l.config_ids) AND c.claim_id = l.claim_id
		WHERE c.model_version_id = $1 AND c.status = 'running'
	), used AS (
		/* a run that failed has its attempt */
		SELECT s.hardware_config_id, extract(epoch FROM s.completed_at - s.started_at)::float8 * s.gpus AS spent, 0::float8 AS committed
		FROM settled AS s WHERE s.status IN ('completed', 'skipped', 'cancelled') AND s.completed_at > s.started_at
		UNION ALL
		SELECT s.hardware_config_id, extract(epoch FROM a.ended_at - a.claimed_at)::float8 * s.gpus, 0
		FROM benchorch.attempts AS a JOIN settled AS s ON s.id = a.config_id WHERE a.ended_at > a.claimed_at
		UNION ALL
		SELECT s.hardware_config_id, r.superseded_run_s * s.gpus, 0
		FROM benchorch.benchmark_results AS r JOIN settled AS s ON s.id = r.config_id
		WHERE r.model_version_id = $1 AND r.superseded_at IS NOT NULL
		UNION ALL
		SELECT h.hardware_config_id, h.seconds * h.gpus, greatest(e.seconds - h.seconds, 0) * h.gpus
		FROM held AS h LEFT JOIN benchorch.expected_seconds($1) AS e ON e.config_id = h.id
	)
	SELECT coalesce(sum(u.spent), 0) / 3600, coalesce(sum(u.spent * m.price_per_hour / m.gpu_count), 0) / 3600,
		coalesce(sum(u.committed), 0) / 3600, coalesce(sum(u.committed * m.price_per_hour / m.gpu_count), 0) / 3600
	FROM used AS u LEFT JOIN benchorch.hardware_configs AS m ON m.id = u.hardware_config_id
$$;
COMMENT ON FUNCTION benchorch.budget_used(uuid) IS
	'GPU-hours and money that a model version''s runs have used so far, and what is claimed is still expected to use; added up from the runs themselves';

/* One model; the caller holds its row. */
CREATE FUNCTION benchorch.apply_budget(model_version_id uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	begun timestamptz := clock_timestamp();
	budget benchorch.budgets;
	model benchorch.model_versions;
	hold boolean;
BEGIN
	UPDATE benchorch.budgets AS b SET (spent_gpu_hours, spent_cost, committed_gpu_hours, committed_cost, checked_at) =
		(SELECT u.spent_gpu_hours, u.spent_cost, u.committed_gpu_hours, u.committed_cost, clock_timestamp()
		 FROM benchorch.budget_used(apply_budget.model_version_id) AS u)
	WHERE b.model_version_id = apply_budget.model_version_id;
	UPDATE benchorch.budgets AS b SET next_check = clock_timestamp() + greatest(interval '5 seconds', 20 * (clock_timestamp() - begun))
	WHERE b.model_version_id = apply_budget.model_version_id RETURNING * INTO budget;
	hold := coalesce(budget.spent_gpu_hours + budget.committed_gpu_hours >= budget.gpu_hours, false)
		OR coalesce(budget.spent_cost + budget.committed_cost >= budget.cost, false);

	SELECT * INTO model FROM benchorch.model_versions AS m WHERE m.id = apply_budget.model_version_id;
	IF hold AND NOT model.paused THEN
		UPDATE benchorch.model_versions AS m SET paused = true, paused_by = 'budget' WHERE m.id = apply_budget.model_version_id;
		PERFORM benchorch.refeed(model_version_id, false);
		RETURN true;
	ELSIF NOT hold AND model.paused_by = 'budget' THEN
		UPDATE benchorch.model_versions AS m SET paused = false, paused_by = NULL WHERE m.id = apply_budget.model_version_id;
		PERFORM benchorch.refeed(model_version_id, true);
		RETURN true;
	END IF;
	RETURN false;
END
$$;
COMMENT ON FUNCTION benchorch.apply_budget(uuid) IS
	'Adds up what a model version has used, and holds it or lets it go on; true where that changed something. Part of check_budgets()';

CREATE FUNCTION benchorch.check_budgets() RETURNS int
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	due uuid;
	changed int := 0;
BEGIN
	FOR due IN SELECT b.model_version_id FROM benchorch.budgets AS b JOIN benchorch.model_versions AS m ON m.id = b.model_version_id
		WHERE b.next_check <= clock_timestamp() AND m.finalized_at IS NULL ORDER BY 1
	LOOP
		/* never waits: who holds the row is at it, or will be soon */
		PERFORM FROM benchorch.model_versions AS m JOIN benchorch.budgets AS b ON b.model_version_id = m.id
		WHERE m.id = due AND b.next_check <= clock_timestamp() FOR NO KEY UPDATE SKIP LOCKED;
		IF FOUND AND benchorch.apply_budget(due) THEN
			changed := changed + 1;
		END IF;
	END LOOP;
	RETURN changed;
END
$$;
COMMENT ON FUNCTION benchorch.check_budgets() IS
	'Looks after the budgets whose time has come: holds models that have used theirs up, lets those go on that have not; returns how many changed. Claims, heartbeats and the sweep call it';

CREATE FUNCTION benchorch.set_budget(model_version_id uuid, gpu_hours float8 DEFAULT NULL, cost float8 DEFAULT NULL) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	unpriced text;
	budget benchorch.budgets;
	model benchorch.model_versions;
BEGIN
	PERFORM benchorch.require_model(model_version_id);
	IF gpu_hours < 0 OR cost < 0 OR gpu_hours = 'NaN' OR cost = 'NaN' THEN
		RAISE invalid_parameter_value USING MESSAGE = 'gpu_hours and cost must not be negative';
	END IF;
	PERFORM FROM benchorch.model_versions AS m WHERE m.id = set_budget.model_version_id FOR NO KEY UPDATE;
	INSERT INTO benchorch.budgets AS b (model_version_id, gpu_hours, cost)
	VALUES (set_budget.model_version_id, set_budget.gpu_hours, set_budget.cost)
	ON CONFLICT ON CONSTRAINT budgets_pkey DO UPDATE SET gpu_hours = excluded.gpu_hours, cost = excluded.cost;
	PERFORM benchorch.apply_budget(model_version_id);
	IF cost IS NOT NULL THEN
		SELECT string_agg(DISTINCT h.name, ', ' ORDER BY h.name) INTO unpriced
		FROM benchorch.lanes AS l JOIN benchorch.hardware_configs AS h ON h.id = l.hardware_config_id
		WHERE l.model_version_id = set_budget.model_version_id AND h.price_per_hour IS NULL;
		IF unpriced IS NOT NULL THEN
			RAISE WARNING USING MESSAGE = format('no price is known of %s: runs there cost nothing', unpriced),
				HINT = 'Set price_per_hour: benchorch.register_hardware().';
		END IF;
	END IF;
	SELECT * INTO budget FROM benchorch.budgets AS b WHERE b.model_version_id = set_budget.model_version_id;
	SELECT * INTO model FROM benchorch.model_versions AS m WHERE m.id = set_budget.model_version_id;
	IF gpu_hours IS NULL AND cost IS NULL THEN
		DELETE FROM benchorch.budgets AS b WHERE b.model_version_id = set_budget.model_version_id;
		RETURN 'No budget.';
	END IF;
	RETURN benchorch.describe_budget(budget) || CASE WHEN model.paused_by = 'budget' THEN ' Budget used up: nothing more is claimed.' ELSE '' END;
END
$$;
COMMENT ON FUNCTION benchorch.set_budget(uuid, float8, float8) IS
	'Sets what a model version may use in GPU-hours, in money, or both; both NULL: no budget. Once it is used up nothing more is claimed, and what runs goes on; a higher one lets it go on. Returns how it stands. Errors: 22023 NULL or negative, 42704 unknown model version';

CREATE FUNCTION benchorch.describe_budget(budget benchorch.budgets) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $$
	SELECT concat_ws(', ',
		CASE WHEN budget.gpu_hours IS NOT NULL THEN format('%s of %s GPU-hours spent, %s more committed',
			round(budget.spent_gpu_hours::numeric, 2), round(budget.gpu_hours::numeric, 2), round(budget.committed_gpu_hours::numeric, 2)) END,
		CASE WHEN budget.cost IS NOT NULL THEN format('%s of %s in money spent, %s more committed',
			round(budget.spent_cost::numeric, 2), round(budget.cost::numeric, 2), round(budget.committed_cost::numeric, 2)) END) || '.'
$$;
COMMENT ON FUNCTION benchorch.describe_budget(benchorch.budgets) IS 'How a budget stood at the last look, in words';
