/*
 * Who may do what.  Nothing is granted to PUBLIC: the owner of the extension
 * hands roles what they need by grant_worker, grant_operator, grant_reader.
 */

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA benchorch FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA benchorch FROM PUBLIC;

CREATE FUNCTION benchorch.grant_functions(role name, signatures text[]) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
	signature	text;
BEGIN
	IF role IS NULL THEN
		RAISE invalid_parameter_value USING MESSAGE = 'role must not be NULL';
	END IF;
	EXECUTE format('GRANT USAGE ON SCHEMA benchorch TO %I', role);
	FOR signature IN
		SELECT p.oid::regprocedure::text FROM pg_proc AS p
		WHERE p.pronamespace = 'benchorch'::regnamespace AND p.proname = ANY (signatures)
	LOOP
		EXECUTE format('GRANT EXECUTE ON FUNCTION %s TO %I', signature, role);
	END LOOP;
END
$$;
COMMENT ON FUNCTION benchorch.grant_functions(name, text[]) IS 'Grants the functions of these names; what the grant_ functions share';

CREATE FUNCTION benchorch.grant_reader(role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.grant_functions(role, ARRAY['progress', 'list_configs', 'explain_empty', 'watch', 'lane_notes', 'logs', 'argv_of', 'readable', 'report_html',
		'check_invariants', 'known_models', 'normalize', 'guess_adapter', 'metric_names', 'requests', 'request_times',
		'request_statistics', 'summarize_requests', 'describe', 'number_of', 'says_failed', 'subject', 'subject_of', 'checks_of', 'evaluate', 'parse_output', 'explain_result', 'csv_rows', 'normalize_architecture', 'memory_per_gpu', 'fit_gpus',
		'roofline', 'batch_seconds', 'precision_bytes', 'compute_tflops', 'rounds', 'expected_seconds', 'lane_paces', 'predict',
		'rank_configs', 'pareto', 'compare', 'recommend', 'objectives', 'budget_used', 'describe_budget', 'fingerprint', 'changed_configs', 'median_confidence',
		'require_model', 'require_status', 'served_lanes']);
	EXECUTE format('GRANT SELECT ON ALL TABLES IN SCHEMA benchorch TO %I', role);
END
$$;
COMMENT ON FUNCTION benchorch.grant_reader(name) IS 'Lets a role look at everything: SELECT on the tables and views, and the functions that only read';

CREATE FUNCTION benchorch.grant_worker(role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.grant_functions(role, ARRAY['register_worker', 'match_hardware', 'claim_batch', 'claim_next', 'claim_runs', 'describe_run', 'start', 'hand_in', 'hand_in_many',
		'complete', 'complete_many', 'update_status', 'update_many', 'heartbeat', 'announce', 'release', 'release_waiting', 'left_for',
		'explain_empty']);
	EXECUTE format('GRANT SELECT ON benchorch.frameworks TO %I', role);
END
$$;
COMMENT ON FUNCTION benchorch.grant_worker(name) IS 'Lets a role be a worker: register, claim, start, hand in, heartbeat, release';

CREATE FUNCTION benchorch.grant_operator(role name) RETURNS void
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
	PERFORM benchorch.grant_reader(role);
	PERFORM benchorch.grant_worker(role);
	PERFORM benchorch.grant_functions(role, ARRAY['seed_reference_data', 'register_model', 'register_hardware',
		'register_framework', 'register_workload', 'create_template', 'populate_matrix', 'submit', 'reset_stale', 'finalize',
		'pause', 'resume', 'set_budget', 'check_budgets', 'rerun_changed', 'cancel', 'retry_failed', 'reprioritize', 'drain_worker', 'quarantine_worker',
		'unquarantine_worker', 'archive_completed', 'schedule_maintenance', 'unschedule_maintenance',
		'config_priority', 'import_result', 'import_results', 'recheck', 'switch_check']);
	/* not lane_id, claim_id and the like: they belong to the extension */
	EXECUTE format('GRANT DELETE, TRUNCATE, INSERT (%1$s), UPDATE (%1$s) ON benchorch.benchmark_configs TO %2$I',
		'model_version_id, hardware_config_id, framework_id, workload_type, batch_size, sequence_length, params, priority,'
		' status, started_at, completed_at, retry_count, error_message, template_id', role);
	EXECUTE format('GRANT INSERT, UPDATE, DELETE ON benchorch.model_versions, benchorch.hardware_configs, benchorch.frameworks,'
		' benchorch.workloads, benchorch.templates, benchorch.priority_weights, benchorch.adapters,'
		' benchorch.adapter_signs, benchorch.request_fields, benchorch.outcome_rules,'
		' benchorch.service_levels, benchorch.objective_weights TO %I', role);
	EXECUTE format('GRANT USAGE ON ALL SEQUENCES IN SCHEMA benchorch TO %I', role);
END
$$;
COMMENT ON FUNCTION benchorch.grant_operator(name) IS
	'Lets a role run the whole: what readers and workers may, the operators'' calls, and direct SQL on benchmark_configs and the catalog';

REVOKE ALL ON FUNCTION benchorch.grant_functions(name, text[]), benchorch.grant_reader(name),
	benchorch.grant_worker(name), benchorch.grant_operator(name) FROM PUBLIC;
