/*
 * populate_matrix: the cells of a template become configs.
 *
 * One INSERT ... SELECT makes them all, so that a million cells are one
 * statement; the insert trigger (ready.c) feeds chunks and counters.  The
 * memory check runs once for each hardware, engine and size, not for each
 * cell.  The rows come out lane after lane inside each size, so that configs
 * that are claimed together do not share a page.
 *
 * An advisory lock on the model keeps two populations of it apart: what one
 * counts as existing is committed.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(benchorch_populate_matrix);

/*
 * The cells.  $1 model version, $2 template, $3 its spec, $4 architecture.
 * Planned anew at each call, without nested loops where a join will do: the
 * planner cannot know how many rows the lists of a template have.
 */
#define CELLS \
	"WITH machine AS MATERIALIZED (" \
	" SELECT id, name, gpu_count, gpu_memory_bytes FROM benchorch.hardware_configs" \
	" WHERE enabled AND ($3 -> 'hardware' IS NULL OR $3 -> 'hardware' ? name))," \
	" framework AS MATERIALIZED (" \
	" SELECT id, name FROM benchorch.frameworks" \
	" WHERE enabled AND ($3 -> 'frameworks' IS NULL OR $3 -> 'frameworks' ? name))," \
	" size AS MATERIALIZED (" \
	" SELECT w.name AS workload, b::int AS batch_size, s::int AS sequence_length," \
	"  benchorch.config_priority(w.name, b::int, s::int) AS priority" \
	" FROM benchorch.workloads w, pg_catalog.jsonb_array_elements_text($3 -> 'batch_sizes') AS b," \
	"  pg_catalog.jsonb_array_elements_text($3 -> 'sequence_lengths') AS s" \
	" WHERE w.enabled AND ($3 -> 'workloads' IS NULL OR $3 -> 'workloads' ? w.name))," \
	" fit AS MATERIALIZED (" \
	" SELECT m.id AS hardware_config_id, m.name AS hardware, e AS engine, e || r AS params," \
	"  s.batch_size, s.sequence_length, f.gpus, f.reason" \
	" FROM machine m, benchorch.combinations($3 -> 'dimensions', 'engine') AS e," \
	"  benchorch.combinations($3 -> 'dimensions', 'request') AS r," \
	"  (SELECT DISTINCT batch_size, sequence_length FROM size) AS s," \
	"  LATERAL benchorch.fit_gpus($4, e || r, s.batch_size, s.sequence_length, m.gpu_count, m.gpu_memory_bytes) AS f)," \
	" cell AS (" \
	" SELECT fit.*, size.workload, size.priority, framework.id AS framework_id," \
	"  fit.params || pg_catalog.jsonb_build_object('repeat', n) AS all_params" \
	" FROM size JOIN fit USING (batch_size, sequence_length), framework," \
	"  pg_catalog.generate_series(1, coalesce(($3 ->> 'repeats')::int, 1)) AS n" \
	" WHERE coalesce($3 -> 'exclude', '[]') = '[]' OR NOT benchorch.is_excluded($3 -> 'exclude', fit.params ||" \
	"  pg_catalog.jsonb_build_object('hardware', fit.hardware, 'framework', framework.name, 'workload', size.workload," \
	"  'batch_size', fit.batch_size, 'sequence_length', fit.sequence_length)))"

/* A config k is the cell: all dimensions, and not what follows from them. */
#define SAME_CELL \
	"k.model_version_id = $1 AND k.hardware_config_id = cell.hardware_config_id AND k.framework_id = cell.framework_id" \
	" AND k.workload_type = cell.workload AND k.batch_size = cell.batch_size" \
	" AND k.sequence_length = cell.sequence_length AND k.params = cell.all_params"

#define ARCHIVED \
	"EXISTS (SELECT FROM benchorch.archived_configs k WHERE " SAME_CELL ")"

#define LANE \
	" JOIN benchorch.lanes l ON l.model_version_id = $1 AND l.hardware_config_id = cell.hardware_config_id" \
	" AND l.framework_id = cell.framework_id AND l.gpus = cell.gpus AND l.engine = cell.engine"

static const char insert_lanes[] =
	CELLS
	" INSERT INTO benchorch.lanes (model_version_id, hardware_config_id, framework_id, gpus, engine)"
	" SELECT DISTINCT $1, fit.hardware_config_id, framework.id, fit.gpus, fit.engine FROM fit, framework"
	" ON CONFLICT DO NOTHING";

#define INSERT_CONFIGS \
	" INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type," \
	" batch_size, sequence_length, params, gpus, priority, status, completed_at, error_message, lane_id, template_id)" \
	" SELECT $1, cell.hardware_config_id, cell.framework_id, cell.workload, cell.batch_size, cell.sequence_length," \
	"  cell.all_params, cell.gpus, cell.priority, CASE WHEN cell.reason IS NULL THEN 'pending' ELSE 'skipped' END," \
	"  CASE WHEN cell.reason IS NOT NULL THEN pg_catalog.now() END, cell.reason, l.id, $2" \
	" FROM cell" LANE

static const char insert_configs[] = CELLS INSERT_CONFIGS " ON CONFLICT DO NOTHING";
static const char insert_unarchived_configs[] = CELLS INSERT_CONFIGS " WHERE NOT " ARCHIVED " ON CONFLICT DO NOTHING";

static const char count_cells[] =
	CELLS
	" SELECT (SELECT pg_catalog.count(*) FROM machine)::int, (SELECT pg_catalog.count(*) FROM framework)::int,"
	" (SELECT pg_catalog.count(DISTINCT workload) FROM size)::int,"
	" CASE WHEN coalesce($3 -> 'exclude', '[]') = '[]'"
	"  THEN (SELECT pg_catalog.count(*) FROM fit JOIN size USING (batch_size, sequence_length))"
	"   * (SELECT pg_catalog.count(*) FROM framework) * coalesce(($3 ->> 'repeats')::int, 1)"
	"  ELSE (SELECT pg_catalog.count(*) FROM cell) END,"
	" $2";

static const char count_existing[] =
	CELLS
	" SELECT pg_catalog.count(*) FILTER (WHERE known), pg_catalog.count(*) FILTER (WHERE NOT known AND reason IS NOT NULL)"
	" FROM (SELECT cell.reason, " ARCHIVED " OR EXISTS (SELECT FROM benchorch.benchmark_configs k WHERE " SAME_CELL ") AS known"
	" FROM cell) AS cells WHERE $2 IS NOT NULL";

static Statement select_model = {
	.sql = "SELECT architecture FROM benchorch.model_versions WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement select_template = {
	.sql = "SELECT id, spec FROM benchorch.templates WHERE name = $1",
	.nargs = 1,
	.types = {TEXTOID}
};

static Statement unknown_names = {
	.sql = "SELECT kind, name FROM ("
	" SELECT 'hardware' AS kind, n AS name FROM pg_catalog.jsonb_array_elements_text($1 -> 'hardware') AS n"
	"  WHERE n NOT IN (SELECT name FROM benchorch.hardware_configs)"
	" UNION ALL SELECT 'framework', n FROM pg_catalog.jsonb_array_elements_text($1 -> 'frameworks') AS n"
	"  WHERE n NOT IN (SELECT name FROM benchorch.frameworks)"
	" UNION ALL SELECT 'workload', n FROM pg_catalog.jsonb_array_elements_text($1 -> 'workloads') AS n"
	"  WHERE n NOT IN (SELECT name FROM benchorch.workloads)) AS unknown",
	.nargs = 1,
	.types = {JSONBOID}
};

static Statement lock_model = {
	.sql = "SELECT pg_catalog.pg_advisory_xact_lock(pg_catalog.hashtextextended('benchorch:' || $1::text, 0))",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement any_archived = {
	.sql = "SELECT 1 FROM benchorch.archived_configs WHERE model_version_id = $1 LIMIT 1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement count_skipped = {
	.sql = "SELECT pg_catalog.count(*) FROM benchorch.benchmark_configs"
	" WHERE model_version_id = $1 AND status = 'skipped'",
	.nargs = 1,
	.types = {UUIDOID}
};

/* Runs one of the texts over the cells; returns the number of rows processed. */
static uint64
run_cells(const char *sql, Datum *values, const char *nulls)
{
	Oid			types[4] = {UUIDOID, INT4OID, JSONBOID, JSONBOID};
	int			rc = SPI_execute_with_args(sql, 4, types, values, nulls, false, 0);

	if (rc < 0)
		elog(ERROR, "could not execute: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

/* 1800 as "1,800" */
static char *
with_commas(int64 n)
{
	char	   *digits = psprintf(INT64_FORMAT, n);
	int			length = strlen(digits);
	StringInfoData text;

	initStringInfo(&text);
	for (int i = 0; i < length; i++)
	{
		if (i > 0 && (length - i) % 3 == 0)
			appendStringInfoChar(&text, ',');
		appendStringInfoChar(&text, digits[i]);
	}
	return text.data;
}

/* The number of rows that a counting statement returned. */
static int64
counted(Statement *statement, Datum *values)
{
	benchorch_run(statement, values, NULL);
	return benchorch_column_int64(0, 1);
}

Datum
benchorch_populate_matrix(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		result[8];
	bool		result_nulls[8] = {false};
	Datum		values[4];
	char		nulls[5] = "    ";
	bool		isnull;
	bool		dry_run;
	char	   *template;
	int64		expected;
	int64		created = 0;
	int64		existing;
	int64		skipped = 0;
	int32		machines;
	int32		frameworks;

	benchorch_require(fcinfo, 0, "model_version_id");
	benchorch_require(fcinfo, 1, "dry_run");
	benchorch_require(fcinfo, 2, "template");
	dry_run = PG_GETARG_BOOL(1);
	template = text_to_cstring(PG_GETARG_TEXT_PP(2));
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	SPI_connect();
	values[0] = PG_GETARG_DATUM(0);
	benchorch_require_model(PG_GETARG_UUID_P(0));
	benchorch_run(&select_model, values, NULL);
	values[3] = benchorch_column(0, 1, &isnull);
	nulls[3] = isnull ? 'n' : ' ';
	if (benchorch_run(&select_template, (Datum[]){PG_GETARG_DATUM(2)}, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("template \"%s\" does not exist", template),
				 strcmp(template, "default") == 0
					 ? errhint("Load the reference data first: SELECT benchorch.seed_reference_data();")
					 : errhint("Create it first: benchorch.create_template().")));
	values[1] = Int32GetDatum(benchorch_column_int32(0, 1));
	values[2] = benchorch_column(0, 2, &isnull);
	if (benchorch_run(&unknown_names, values + 2, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s \"%s\" of template \"%s\" does not exist",
						benchorch_column_text(0, 1), benchorch_column_text(0, 2), template),
				 errhint("Register it, or change the template: benchorch.create_template().")));

	if (!dry_run)
		benchorch_run(&lock_model, values, NULL);
	run_cells(count_cells, values, nulls);
	machines = benchorch_column_int32(0, 1);
	frameworks = benchorch_column_int32(0, 2);
	expected = benchorch_column_int64(0, 4);
	result[0] = PG_GETARG_DATUM(0);
	result[1] = Int32GetDatum(machines);
	result[2] = Int32GetDatum(frameworks);
	result[3] = Int32GetDatum(benchorch_column_int32(0, 3));

	ereport(NOTICE, (errmsg("Benchmark Matrix Population")));
	ereport(NOTICE, (errmsg("Model Version ID: %s", DatumGetCString(DirectFunctionCall1(uuid_out, values[0])))));
	ereport(NOTICE, (errmsg("Hardware Configs: %d", machines)));
	ereport(NOTICE, (errmsg("Frameworks: %d", frameworks)));
	ereport(NOTICE, (errmsg("Expected Total: %s configs", with_commas(expected))));
	if (expected == 0)
		ereport(WARNING,
				(errmsg("the template spans no cells"),
				 errhint("Are hardware, frameworks and workloads enabled? Do the exclusion rules leave any?")));

	if (dry_run)
	{
		int64		cannot_fit;

		run_cells(count_existing, values, nulls);
		existing = benchorch_column_int64(0, 1);
		cannot_fit = benchorch_column_int64(0, 2);
		ereport(NOTICE,
				(errmsg("Dry run: would create %s, of which %s cannot fit their hardware and would be skipped",
						with_commas(expected - existing), with_commas(cannot_fit))));
	}
	else
	{
		int64		skipped_before = counted(&count_skipped, values);
		bool		archived = benchorch_run(&any_archived, values, NULL) > 0;

		run_cells(insert_lanes, values, nulls);
		created = run_cells(archived ? insert_unarchived_configs : insert_configs, values, nulls);
		existing = expected - created;
		skipped = counted(&count_skipped, values) - skipped_before;
		if (skipped > 0)
			ereport(NOTICE, (errmsg("Skipped: %s configs cannot fit their hardware", with_commas(skipped))));
		ereport(NOTICE, (errmsg("Successfully created %s benchmark configurations!", with_commas(created))));
	}
	SPI_finish();

	result[4] = Int64GetDatum(expected);
	result[5] = Int64GetDatum(created);
	result[6] = Int64GetDatum(existing);
	result[7] = Int64GetDatum(skipped);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, result, result_nulls)));
}
