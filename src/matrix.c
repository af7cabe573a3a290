/*
 * populate_matrix: the cells of a template become configs.
 *
 * One INSERT ... SELECT makes them all, so that a million cells are one
 * statement; the insert trigger (ready.c) feeds chunks and counters.  The
 * memory check runs once for each hardware, engine and size, not for each
 * cell.  The rows come out lane after lane, so that configs that are claimed
 * together stand together.
 *
 * An advisory lock on the model keeps two populations of it apart: what one
 * counts as existing is committed.
 */
#include "benchorch.h"

#include <math.h>

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(benchorch_populate_matrix);
PG_FUNCTION_INFO_V1(benchorch_predict);

/*
 * The cells.  $1 model version, $2 template, $3 its spec, $4 architecture.
 * Planned anew at each call, without nested loops where a join will do: the
 * planner cannot know how many rows the lists of a template have.
 */
#define CELLS \
	"WITH machine AS MATERIALIZED (" \
	" SELECT id, name, gpu_count, gpu_memory_bytes, bandwidth_gbps, bf16_tflops, fp8_tflops, nvfp4_tflops" \
	" FROM benchorch.hardware_configs" \
	" WHERE enabled AND ($3 -> 'hardware' IS NULL OR $3 -> 'hardware' ? name))," \
	" framework AS MATERIALIZED (" \
	" SELECT id, name, protocol FROM benchorch.frameworks" \
	" WHERE enabled AND ($3 -> 'frameworks' IS NULL OR $3 -> 'frameworks' ? name))," \
	" size AS MATERIALIZED (" \
	" SELECT w.name AS workload, b::int AS batch_size, s::int AS sequence_length," \
	"  pg_catalog.floor(w.output_share * s::int + 0.5)::int AS output_tokens," \
	"  benchorch.config_priority(w.name, b::int, s::int) AS priority" \
	" FROM benchorch.workloads w, pg_catalog.jsonb_array_elements_text($3 -> 'batch_sizes') AS b," \
	"  pg_catalog.jsonb_array_elements_text($3 -> 'sequence_lengths') AS s" \
	" WHERE w.enabled AND ($3 -> 'workloads' IS NULL OR $3 -> 'workloads' ? w.name))," \
	" fit AS MATERIALIZED (" \
	" SELECT m.id AS hardware_config_id, m.name AS hardware, e AS engine, e || r AS params," \
	"  s.batch_size, s.sequence_length, f.gpus, f.reason, m.bandwidth_gbps," \
	"  benchorch.compute_tflops(e || r, m.bf16_tflops, m.fp8_tflops, m.nvfp4_tflops) AS tflops" \
	" FROM machine m, benchorch.combinations($3 -> 'dimensions', 'engine') AS e," \
	"  benchorch.combinations($3 -> 'dimensions', 'request') AS r," \
	"  (SELECT DISTINCT batch_size, sequence_length FROM size) AS s," \
	"  LATERAL benchorch.fit_gpus($4, e || r, s.batch_size, s.sequence_length, m.gpu_count, m.gpu_memory_bytes) AS f)," \
	" paced AS MATERIALIZED (" \
	" SELECT fit.*, s.output_tokens, benchorch.batch_seconds($4, fit.params, fit.batch_size," \
	"  fit.sequence_length - s.output_tokens, s.output_tokens, fit.gpus, fit.bandwidth_gbps, fit.tflops) AS batch_seconds" \
	" FROM fit JOIN (SELECT DISTINCT batch_size, sequence_length, output_tokens FROM size) AS s" \
	"  USING (batch_size, sequence_length))," \
	" cell AS (" \
	" SELECT paced.*, size.workload, size.priority, framework.id AS framework_id," \
	"  2 * benchorch.rounds(framework.protocol, paced.batch_size) * paced.batch_seconds AS expected_s," \
	"  paced.params || pg_catalog.jsonb_build_object('repeat', n) AS all_params" \
	" FROM size JOIN paced USING (batch_size, sequence_length, output_tokens), framework," \
	"  pg_catalog.generate_series(1, coalesce(($3 ->> 'repeats')::int, 1)) AS n" \
	" WHERE coalesce($3 -> 'exclude', '[]') = '[]' OR NOT benchorch.is_excluded($3 -> 'exclude', paced.params ||" \
	"  pg_catalog.jsonb_build_object('hardware', paced.hardware, 'framework', framework.name, 'workload', size.workload," \
	"  'batch_size', paced.batch_size, 'sequence_length', paced.sequence_length)))"

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
	" batch_size, sequence_length, params, gpus, priority, status, completed_at, error_message, lane_id, template_id," \
	" expected_s)" \
	" SELECT $1, cell.hardware_config_id, cell.framework_id, cell.workload, cell.batch_size, cell.sequence_length," \
	"  cell.all_params, cell.gpus, cell.priority, CASE WHEN cell.reason IS NULL THEN 'pending' ELSE 'skipped' END," \
	"  CASE WHEN cell.reason IS NOT NULL THEN pg_catalog.now() END, cell.reason, l.id, $2," \
	"  cell.expected_s::real" \
	" FROM cell" LANE

/* A lane's configs stand side by side, in the order in which they are claimed: rows.c lives by it. */
#define IN_LANE_ORDER " ORDER BY l.id, cell.priority"
#define UNLESS_KNOWN " ON CONFLICT DO NOTHING"

static const char insert_first_configs[] = CELLS INSERT_CONFIGS IN_LANE_ORDER;
static const char insert_configs[] = CELLS INSERT_CONFIGS IN_LANE_ORDER UNLESS_KNOWN;
static const char insert_unarchived_configs[] = CELLS INSERT_CONFIGS " WHERE NOT " ARCHIVED IN_LANE_ORDER UNLESS_KNOWN;

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

/*
 * What the cells that would be created are expected to take, as
 * expected_seconds() (expected.sql) says it of configs: one row a machine type.
 */
static const char predict_cells[] =
	CELLS
	", run AS MATERIALIZED (SELECT * FROM benchorch.measured_runs($1)),"
	" measured AS MATERIALIZED ("
	" SELECT hardware_config_id, framework_id, workload_type, batch_size, sequence_length, params,"
	"  pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds FROM run GROUP BY 1, 2, 3, 4, 5, 6),"
	" pace AS MATERIALIZED ("
	" SELECT l.hardware_config_id, l.framework_id, l.gpus, l.engine,"
	"  pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds / r.expected_s) AS pace"
	" FROM run r JOIN benchorch.lanes l ON l.id = r.lane_id WHERE r.expected_s > 0 GROUP BY 1, 2, 3, 4),"
	" machine_mean AS MATERIALIZED ("
	" SELECT hardware_config_id, pg_catalog.avg(seconds) AS mean FROM run GROUP BY 1),"
	" timed AS ("
	" SELECT cell.hardware_config_id, cell.gpus, measured.seconds IS NOT NULL AS known,"
	"  coalesce(measured.seconds, cell.expected_s * pace.pace, cell.expected_s, machine_mean.mean,"
	"  (SELECT pg_catalog.avg(seconds) FROM run), 60) AS seconds"
	" FROM cell"
	" LEFT JOIN measured ON measured.hardware_config_id = cell.hardware_config_id"
	"  AND measured.framework_id = cell.framework_id AND measured.workload_type = cell.workload"
	"  AND measured.batch_size = cell.batch_size AND measured.sequence_length = cell.sequence_length"
	"  AND measured.params = cell.params"
	" LEFT JOIN pace ON pace.hardware_config_id = cell.hardware_config_id AND pace.framework_id = cell.framework_id"
	"  AND pace.gpus = cell.gpus AND pace.engine = cell.engine"
	" LEFT JOIN machine_mean ON machine_mean.hardware_config_id = cell.hardware_config_id"
	" WHERE cell.reason IS NULL AND $2 IS NOT NULL AND NOT " ARCHIVED
	"  AND NOT EXISTS (SELECT FROM benchorch.benchmark_configs k WHERE " SAME_CELL "))"
	" SELECT h.name, pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE t.known), pg_catalog.sum(t.seconds),"
	" pg_catalog.sum(t.seconds * t.gpus), pg_catalog.max(t.seconds),"
	" pg_catalog.sum(t.seconds * t.gpus / 3600 * h.price_per_hour / h.gpu_count)"
	" FROM timed t JOIN benchorch.hardware_configs h ON h.id = t.hardware_config_id GROUP BY h.id ORDER BY h.id";

static Statement count_live_workers = {
	.sql = "SELECT pg_catalog.count(*) FROM benchorch.workers w JOIN benchorch.worker_leases l ON l.worker_id = w.id"
	" WHERE w.state = 'active' AND l.expires_at > pg_catalog.clock_timestamp()",
	.nargs = 0
};

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

static Statement any_config = {
	.sql = "SELECT 1 FROM benchorch.benchmark_configs WHERE model_version_id = $1 LIMIT 1",
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

/*
 * What every text over the cells asks: the model version, the template's id and
 * spec, the architecture.
 */
static void
read_matrix(Datum model_version_id, Datum template, Datum *values, char *nulls)
{
	bool		isnull;
	char	   *name = text_to_cstring(DatumGetTextPP(template));

	values[0] = model_version_id;
	benchorch_require_model(DatumGetUUIDP(model_version_id));
	benchorch_run(&select_model, values, NULL);
	values[3] = benchorch_column(0, 1, &isnull);
	nulls[3] = isnull ? 'n' : ' ';
	if (benchorch_run(&select_template, &template, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("template \"%s\" does not exist", name),
				 strcmp(name, "default") == 0
					 ? errhint("Load the reference data first: SELECT benchorch.seed_reference_data();")
					 : errhint("Create it first: benchorch.create_template().")));
	values[1] = Int32GetDatum(benchorch_column_int32(0, 1));
	values[2] = benchorch_column(0, 2, &isnull);
	if (benchorch_run(&unknown_names, values + 2, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s \"%s\" of template \"%s\" does not exist",
						benchorch_column_text(0, 1), benchorch_column_text(0, 2), name),
				 errhint("Register it, or change the template: benchorch.create_template().")));
}

/* ---------------------------------------------------------------- prediction */

/* The pods of the replaced system's main job: what a prediction assumes where no worker lives. */
#define USUAL_WORKERS 50

static Datum
seconds_interval(double seconds)
{
	return DirectFunctionCall7(make_interval, Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0),
							   Int32GetDatum(0), Int32GetDatum(0), Float8GetDatum(rint(seconds)));
}

/* What a matrix, or one machine type's part of it, is expected to take. */
typedef struct Prediction
{
	int64		configs;
	int64		measured;		/* of them, known from runs of the same cell */
	double		seconds;		/* of one worker that does it all */
	double		gpu_seconds;
	double		longest;		/* the longest config, in seconds */
	double		cost;			/* of the machines that have a price */
	int			priced;			/* machine types that have one */
	int			unpriced;
} Prediction;

/* The least time in which so many workers can be done, if the machines are shared out well. */
static double
makespan(const Prediction *prediction, int workers)
{
	return Max(prediction->longest, prediction->seconds / workers);
}

static int
workers_or_default(FunctionCallInfo fcinfo, int argno)
{
	int			workers;

	if (argno < PG_NARGS() && !PG_ARGISNULL(argno))
	{
		workers = PG_GETARG_INT32(argno);
		if (workers < 1)
			ereport(ERROR,
					(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					 errmsg("workers must be at least 1"),
					 errdetail("It is %d.", workers)));
		return workers;
	}
	benchorch_run(&count_live_workers, NULL, NULL);
	workers = (int) benchorch_column_int64(0, 1);
	return workers > 0 ? workers : USUAL_WORKERS;
}

/* A row of predict_cells; the whole is added up. */
static Prediction
read_prediction(uint64 row, Prediction *total)
{
	bool		no_cost;
	bool		isnull;
	Datum		cost = benchorch_column(row, 7, &no_cost);
	Prediction	part = {
		.configs = benchorch_column_int64(row, 2),
		.measured = benchorch_column_int64(row, 3),
		.seconds = DatumGetFloat8(benchorch_column(row, 4, &isnull)),
		.gpu_seconds = DatumGetFloat8(benchorch_column(row, 5, &isnull)),
		.longest = DatumGetFloat8(benchorch_column(row, 6, &isnull)),
		.cost = no_cost ? 0 : DatumGetFloat8(cost),
		.priced = !no_cost,
		.unpriced = no_cost
	};

	total->configs += part.configs;
	total->measured += part.measured;
	total->seconds += part.seconds;
	total->gpu_seconds += part.gpu_seconds;
	total->longest = Max(total->longest, part.longest);
	total->cost += part.cost;
	total->priced += part.priced;
	total->unpriced += part.unpriced;
	return part;
}

static void
put_prediction(ReturnSetInfo *rsinfo, const char *hardware, const Prediction *p, int workers)
{
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = hardware ? CStringGetTextDatum(hardware) : (Datum) 0;
	nulls[0] = hardware == NULL;
	values[1] = Int64GetDatum(p->configs);
	values[2] = Int64GetDatum(p->measured);
	values[3] = Float8GetDatum(p->seconds / 3600);
	values[4] = Float8GetDatum(p->gpu_seconds / 3600);
	values[5] = Float8GetDatum(p->cost);
	nulls[5] = p->priced == 0 || p->unpriced > 0;
	values[6] = hardware ? (Datum) 0 : seconds_interval(makespan(p, workers));
	nulls[6] = hardware != NULL;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* predict(model_version_id, template, workers): a row a machine type, and one for all. */
Datum
benchorch_predict(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Prediction	total = {0};
	Datum		values[4];
	char		nulls[5] = "    ";
	uint64		rows;
	int			workers;

	benchorch_require(fcinfo, 0, "model_version_id");
	benchorch_require(fcinfo, 1, "template");
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	workers = workers_or_default(fcinfo, 2);
	read_matrix(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), values, nulls);
	rows = run_cells(predict_cells, values, nulls);
	for (uint64 row = 0; row < rows; row++)
	{
		Prediction	part = read_prediction(row, &total);

		put_prediction(rsinfo, benchorch_column_text(row, 1), &part, workers);
	}
	put_prediction(rsinfo, NULL, &total, workers);
	SPI_finish();
	PG_RETURN_NULL();
}

/* The same in words, for a dry run. */
static void
tell_prediction(FunctionCallInfo fcinfo, Datum *values, const char *nulls)
{
	Prediction	total = {0};
	uint64		rows = run_cells(predict_cells, values, nulls);
	int			workers;

	for (uint64 row = 0; row < rows; row++)
		read_prediction(row, &total);
	if (total.configs == 0)
		return;
	workers = workers_or_default(fcinfo, 3);
	ereport(NOTICE,
			(errmsg("Predicted: %.1f GPU-hours, %.1f hours with %d workers", total.gpu_seconds / 3600,
					makespan(&total, workers) / 3600, workers),
			 errhint("benchorch.predict() tells it by machine, and for any number of workers.")));
	if (total.priced > 0)
		ereport(NOTICE,
				(errmsg("Predicted cost: %.2f%s", total.cost,
						total.unpriced > 0 ? psprintf(", without %d machines that have no price", total.unpriced)
										   : "")));
}

/* ---------------------------------------------------------------- population */

/*
 * Inserts the cells that are not there yet; returns how many.  A model's first
 * cells meet none, and the check for it is a quarter of the work: it is left
 * out, in a subtransaction, because somebody may be inserting one by hand.
 */
static int64
insert_cells(Datum *values, const char *nulls)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	int64 volatile created = -1;

	if (benchorch_run(&any_archived, values, NULL) > 0)
		return run_cells(insert_unarchived_configs, values, nulls);
	if (benchorch_run(&any_config, values, NULL) > 0)
		return run_cells(insert_configs, values, nulls);

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		created = run_cells(insert_first_configs, values, nulls);
		ReleaseCurrentSubTransaction();
	}
	PG_CATCH();
	{
		ErrorData  *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		RollbackAndReleaseCurrentSubTransaction();
		MemoryContextSwitchTo(context);
		CurrentResourceOwner = owner;
		if (error->sqlerrcode != ERRCODE_UNIQUE_VIOLATION)
			ReThrowError(error);
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return created >= 0 ? created : (int64) run_cells(insert_configs, values, nulls);
}

Datum
benchorch_populate_matrix(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		result[8];
	bool		result_nulls[8] = {false};
	Datum		values[4];
	char		nulls[5] = "    ";
	bool		dry_run;
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
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	SPI_connect();
	read_matrix(PG_GETARG_DATUM(0), PG_GETARG_DATUM(2), values, nulls);
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
		tell_prediction(fcinfo, values, nulls);
	}
	else
	{
		int64		skipped_before = counted(&count_skipped, values);

		run_cells(insert_lanes, values, nulls);
		created = insert_cells(values, nulls);
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
