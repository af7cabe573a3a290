/*
 * populate_matrix: the cells of a template become configs.
 *
 * The database says which cells there are, one row a cell (template.h); each
 * becomes as many configs as it has repeats.  The rows come out lane after
 * lane in the order in which they are claimed, so that configs that are claimed
 * together stand together: rows.c lives by it.
 *
 * A model's first configs meet none that is there, so they go straight into
 * the table (insert.c), a million in one call.  Later ones, and those of a
 * table on which a user has put something of their own, go through an INSERT
 * that leaves out what is known.
 *
 * An advisory lock on the model keeps two populations of it apart: what one
 * counts as existing is committed.
 */
#include "template.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/resowner.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_populate_matrix);

static const char count_cells[] =
	CELLS
	" SELECT (SELECT pg_catalog.count(*) FROM machine)::int, (SELECT pg_catalog.count(*) FROM framework)::int,"
	" (SELECT pg_catalog.count(DISTINCT workload) FROM size)::int,"
	" " REPEATS " * CASE WHEN coalesce($3 -> 'exclude', '[]') = '[]'"
	"  THEN (SELECT pg_catalog.count(*) FROM fit JOIN size USING (batch_size, sequence_length))"
	"   * (SELECT pg_catalog.count(*) FROM framework)"
	"  ELSE (SELECT pg_catalog.count(*) FROM cell) END,"
	" $2";

static const char count_existing[] =
	CELLS
	" SELECT pg_catalog.count(*) FILTER (WHERE known), pg_catalog.count(*) FILTER (WHERE NOT known AND reason IS NOT NULL)"
	" FROM (SELECT repeat.reason, " ARCHIVED " OR " KNOWN " AS known FROM repeat) AS repeats WHERE $2 IS NOT NULL";

static const char insert_lanes[] =
	CELLS
	" INSERT INTO benchorch.lanes (model_version_id, hardware_config_id, framework_id, gpus, engine)"
	" SELECT DISTINCT $1, fit.hardware_config_id, framework.id, fit.gpus, fit.engine FROM fit, framework"
	" ORDER BY fit.hardware_config_id, framework.id, fit.gpus, fit.engine ON CONFLICT DO NOTHING";

/* The lane of a cell, or of a repeat of it. */
#define ITS_LANE(cell) \
	" JOIN benchorch.lanes l ON l.model_version_id = $1 AND l.hardware_config_id = " cell ".hardware_config_id" \
	" AND l.framework_id = " cell ".framework_id AND l.gpus = " cell ".gpus AND l.engine = " cell ".engine"

/* As ready.c orders a lane. */
#define IN_LANE_ORDER \
	" ORDER BY l.id, priority, coalesce(expected_s * 1000, batch_size::float8 * sequence_length) DESC"

/* The params of a variant's repeats, all of a variant together, in the order of its number. */
static const char select_params[] =
	CELLS
	" SELECT variant.params || pg_catalog.jsonb_build_object('repeat', n)"
	" FROM variant, pg_catalog.generate_series(1, " REPEATS ") AS n WHERE $2 IS NOT NULL ORDER BY variant.number, n";

/* In the order of CellColumn. */
static const char select_cells[] =
	CELLS
	" SELECT cell.hardware_config_id, cell.framework_id, workload, batch_size, sequence_length, cell.gpus, priority, reason,"
	" l.id, expected_s::real, variant, " REPEATS " FROM cell" ITS_LANE("cell") " WHERE $2 IS NOT NULL" IN_LANE_ORDER;

#define INSERT_UNKNOWN(condition) \
	CELLS ", inserted AS (" \
		  " INSERT INTO benchorch.benchmark_configs (model_version_id, hardware_config_id, framework_id, workload_type," \
		  " batch_size, sequence_length, params, gpus, priority, status, completed_at, error_message, lane_id, template_id," \
		  " expected_s)" \
		  " SELECT $1, repeat.hardware_config_id, repeat.framework_id, workload, batch_size, sequence_length, all_params," \
		  "  repeat.gpus, priority, CASE WHEN reason IS NULL THEN 'pending' ELSE 'skipped' END," \
		  "  CASE WHEN reason IS NOT NULL THEN pg_catalog.now() END, reason, l.id, $2, expected_s::real" \
		  " FROM repeat" ITS_LANE("repeat") condition IN_LANE_ORDER \
		" ON CONFLICT DO NOTHING RETURNING status)" \
		" SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE status = 'skipped') FROM inserted"

static const char insert_unknown[] = INSERT_UNKNOWN("");
static const char insert_unarchived[] = INSERT_UNKNOWN(" WHERE NOT " ARCHIVED);

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

/* ------------------------------------------------------- a model's first configs */

enum CellColumn
{
	CELL_HARDWARE = 1,
	CELL_FRAMEWORK,
	CELL_WORKLOAD,
	CELL_BATCH_SIZE,
	CELL_SEQUENCE_LENGTH,
	CELL_GPUS,
	CELL_PRIORITY,
	CELL_REASON,
	CELL_LANE,
	CELL_EXPECTED_S,
	CELL_VARIANT,
	CELL_REPEATS
};

/* How many configs were made, and how many of those cannot fit. */
typedef struct Created
{
	int64		configs;
	int64		skipped;
} Created;

/* The params that select_params returns. */
static Datum *
read_params(Matrix *matrix)
{
	uint64		n = benchorch_run_cells(select_params, matrix);
	Datum	   *params = palloc_extended(sizeof(Datum) * Max(n, 1), MCXT_ALLOC_HUGE);
	bool		isnull;

	for (uint64 i = 0; i < n; i++)
		params[i] = benchorch_column(i, 1, &isnull);
	return params;
}

/* Fills in what the repeats of a cell share. */
static void
set_cell(ConfigRow *row, const Matrix *matrix, uint64 cell)
{
	const ConfigColumns *at = &row->columns;
	const struct
	{
		int			column;
		enum CellColumn source;
	} copied[] = {
		{at->hardware_config_id, CELL_HARDWARE},
		{at->framework_id, CELL_FRAMEWORK},
		{at->workload_type, CELL_WORKLOAD},
		{at->batch_size, CELL_BATCH_SIZE},
		{at->sequence_length, CELL_SEQUENCE_LENGTH},
		{at->gpus, CELL_GPUS},
		{at->priority, CELL_PRIORITY},
		{at->error_message, CELL_REASON},
		{at->lane_id, CELL_LANE},
		{at->expected_s, CELL_EXPECTED_S},
	};

	for (int i = 0; i < lengthof(copied); i++)
		row->values[copied[i].column] = benchorch_column(cell, copied[i].source, &row->nulls[copied[i].column]);
	benchorch_set_column(row, at->model_version_id, matrix->values[0]);
	benchorch_set_column(row, at->template_id, matrix->values[1]);
	if (!row->nulls[at->error_message])
	{
		benchorch_set_column(row, at->status, CStringGetTextDatum(benchorch_status_name(CONFIG_SKIPPED)));
		benchorch_set_column(row, at->completed_at, TimestampTzGetDatum(GetCurrentTransactionStartTimestamp()));
	}
}

/* The repeats of a cell. */
static void
insert_repeats(NewConfigs *new, const Matrix *matrix, uint64 cell, const Datum *params, Created *created)
{
	ConfigRow  *row = benchorch_blank_row(new);
	int			repeats = benchorch_column_int32(cell, CELL_REPEATS);
	int64		first = (int64) benchorch_column_int32(cell, CELL_VARIANT) * repeats;

	set_cell(row, matrix, cell);
	for (int i = 0; i < repeats; i++)
	{
		benchorch_set_column(row, row->columns.params, params[first + i]);
		benchorch_insert_row(new);
	}
	created->configs += repeats;
	if (!row->nulls[row->columns.error_message])
		created->skipped += repeats;
}

#define CELLS_AT_ONCE 1000

/* All configs of the matrix, of a model that has none; false where only an INSERT statement will do. */
static bool
insert_first(Matrix *matrix, Created *created)
{
	NewConfigs *new = benchorch_begin_insert();
	MemoryContext of_cells;
	Datum	   *params;
	Portal		portal;

	if (new == NULL)
		return false;
	params = read_params(matrix);
	of_cells = AllocSetContextCreate(CurrentMemoryContext, "benchorch cells", ALLOCSET_DEFAULT_SIZES);
	portal = benchorch_open_cells(select_cells, matrix);
	for (;;)
	{
		MemoryContext caller;

		SPI_cursor_fetch(portal, true, CELLS_AT_ONCE);
		if (SPI_processed == 0)
			break;
		caller = MemoryContextSwitchTo(of_cells);
		for (uint64 cell = 0; cell < SPI_processed; cell++)
			insert_repeats(new, matrix, cell, params, created);
		benchorch_flush_rows(new);
		SPI_freetuptable(SPI_tuptable);
		MemoryContextSwitchTo(caller);
		MemoryContextReset(of_cells);
	}
	SPI_cursor_close(portal);
	benchorch_end_insert(new);
	return true;
}

/*
 * The same, where somebody may be inserting one of them by hand: then nothing
 * is left of them, and the answer is false, too.
 */
static bool
try_insert_first(Matrix *matrix, Created *created)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool volatile done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		done = insert_first(matrix, created);
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
	return done;
}

/* ---------------------------------------------------------------- population */

/* Inserts the configs that are not there yet. */
static Created
insert_configs(Matrix *matrix)
{
	bool		archived = benchorch_run(&any_archived, matrix->values, NULL) > 0;
	Created		created = {0};

	if (!archived && benchorch_run(&any_config, matrix->values, NULL) == 0 && try_insert_first(matrix, &created))
		return created;
	benchorch_run_cells(archived ? insert_unarchived : insert_unknown, matrix);
	return (Created){benchorch_column_int64(0, 1), benchorch_column_int64(0, 2)};
}

Datum
benchorch_populate_matrix(PG_FUNCTION_ARGS)
{
	TupleDesc	desc;
	Datum		result[8];
	bool		result_nulls[8] = {false};
	Matrix		matrix;
	Created		created = {0};
	bool		dry_run;
	int64		expected;
	int64		existing;
	int32		machines;
	int32		frameworks;

	benchorch_require(fcinfo, 0, "model_version_id");
	benchorch_require(fcinfo, 1, "dry_run");
	benchorch_require(fcinfo, 2, "template");
	dry_run = PG_GETARG_BOOL(1);
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");

	SPI_connect();
	benchorch_read_matrix(PG_GETARG_DATUM(0), PG_GETARG_DATUM(2), &matrix);
	if (!dry_run)
		benchorch_run(&lock_model, matrix.values, NULL);
	benchorch_run_cells(count_cells, &matrix);
	machines = benchorch_column_int32(0, 1);
	frameworks = benchorch_column_int32(0, 2);
	expected = benchorch_column_int64(0, 4);
	result[0] = PG_GETARG_DATUM(0);
	result[1] = Int32GetDatum(machines);
	result[2] = Int32GetDatum(frameworks);
	result[3] = Int32GetDatum(benchorch_column_int32(0, 3));

	ereport(NOTICE, (errmsg("Benchmark Matrix Population")));
	ereport(NOTICE, (errmsg("Model Version ID: %s", DatumGetCString(DirectFunctionCall1(uuid_out, matrix.values[0])))));
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

		benchorch_run_cells(count_existing, &matrix);
		existing = benchorch_column_int64(0, 1);
		cannot_fit = benchorch_column_int64(0, 2);
		ereport(NOTICE,
				(errmsg("Dry run: would create %s, of which %s cannot fit their hardware and would be skipped",
						with_commas(expected - existing), with_commas(cannot_fit))));
		benchorch_tell_prediction(&matrix);
	}
	else
	{
		benchorch_run_cells(insert_lanes, &matrix);
		created = insert_configs(&matrix);
		existing = expected - created.configs;
		if (created.skipped > 0)
			ereport(NOTICE, (errmsg("Skipped: %s configs cannot fit their hardware", with_commas(created.skipped))));
		ereport(NOTICE,
				(errmsg("Successfully created %s benchmark configurations!", with_commas(created.configs))));
	}
	SPI_finish();

	result[4] = Int64GetDatum(expected);
	result[5] = Int64GetDatum(created.configs);
	result[6] = Int64GetDatum(existing);
	result[7] = Int64GetDatum(created.skipped);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, result, result_nulls)));
}
