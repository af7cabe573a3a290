/*
 * Statements that are prepared once a session and kept.
 *
 * A Statement is forced generic, because planning again costs three times what
 * most of our statements do.  That is safe only where the plan does not
 * depend on the parameters: every statement here reaches its rows by an
 * index, and the functions that call in set enable_seqscan off, so that
 * a plan made while a table was empty is an index plan too.
 *
 * Functions that are called seldom say so with SET in SQL.  That costs 2,500
 * instructions a setting, so the calls that every config needs go through
 * benchorch_by_index().
 *
 * Plans hold no OIDs of ours: the plan cache resolves the names again after
 * DROP EXTENSION and CREATE EXTENSION in one session.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "jit/jit.h"
#include "optimizer/cost.h"
#include "utils/array.h"
#include "utils/builtins.h"

/* What makes a plan of something else than nested loops over indexes, or compiles it. */
static bool *const settings[] = {
	&enable_seqscan, &enable_bitmapscan, &enable_sort, &enable_hashjoin, &enable_mergejoin, &jit_enabled
};

static void
restore(const bool *before)
{
	for (int i = 0; i < lengthof(settings); i++)
		*settings[i] = before[i];
}

Datum
benchorch_by_index(PGFunction body, FunctionCallInfo fcinfo)
{
	bool		before[lengthof(settings)];
	Datum volatile result;

	for (int i = 0; i < lengthof(settings); i++)
	{
		before[i] = *settings[i];
		*settings[i] = false;
	}
	PG_TRY();
	{
		result = body(fcinfo);
	}
	PG_CATCH();
	{
		restore(before);
		PG_RE_THROW();
	}
	PG_END_TRY();
	restore(before);
	return result;
}

static void
prepare(Statement *statement)
{
	SPIPlanPtr	prepared = SPI_prepare_cursor(statement->sql, statement->nargs, statement->types,
											 CURSOR_OPT_GENERIC_PLAN);

	if (prepared == NULL)
		elog(ERROR, "could not prepare: %s: %s", SPI_result_code_string(SPI_result), statement->sql);
	SPI_keepplan(prepared);
	statement->plan = prepared;
}

uint64
benchorch_run(Statement *statement, Datum *values, const char *nulls)
{
	int			rc;

	if (statement->plan == NULL)
		prepare(statement);
	rc = SPI_execute_plan(statement->plan, values, nulls, false, 0);
	if (rc < 0)
		elog(ERROR, "could not execute: %s: %s", SPI_result_code_string(rc), statement->sql);
	return SPI_processed;
}

Portal
benchorch_open(Statement *statement, Datum *values, const char *nulls)
{
	if (statement->plan == NULL)
		prepare(statement);
	return SPI_cursor_open(NULL, statement->plan, values, nulls, false);
}

Datum
benchorch_column(uint64 row, int column, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column, isnull);
}

/* For columns that cannot be NULL. */
static Datum
column_not_null(uint64 row, int column)
{
	bool		isnull;
	Datum		value = benchorch_column(row, column, &isnull);

	if (isnull)
		elog(ERROR, "unexpected NULL in column \"%s\"", SPI_fname(SPI_tuptable->tupdesc, column));
	return value;
}

int64
benchorch_column_int64(uint64 row, int column)
{
	return DatumGetInt64(column_not_null(row, column));
}

int32
benchorch_column_int32(uint64 row, int column)
{
	return DatumGetInt32(column_not_null(row, column));
}

pg_uuid_t
benchorch_column_uuid(uint64 row, int column)
{
	return *DatumGetUUIDP(column_not_null(row, column));
}

char *
benchorch_column_text(uint64 row, int column)
{
	return SPI_getvalue(SPI_tuptable->vals[row], SPI_tuptable->tupdesc, column);
}

Datum
benchorch_int64_array(const int64 *values, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int64GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, INT8OID, sizeof(int64), FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

Datum
benchorch_int32_array(const int32 *values, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * Max(n, 1));

	for (int i = 0; i < n; i++)
		elements[i] = Int32GetDatum(values[i]);
	return PointerGetDatum(construct_array(elements, n, INT4OID, sizeof(int32), true, TYPALIGN_INT));
}

/* The elements of an array of a fixed-length type, as they stand in it; 22023 where one is NULL. */
static const char *
array_elements(Datum datum, int *n)
{
	ArrayType  *array = DatumGetArrayTypeP(datum);

	*n = ArrayGetNItems(ARR_NDIM(array), ARR_DIMS(array));
	if (array_contains_nulls(array))
	{
		const uint8 *present = ARR_NULLBITMAP(array);
		int			i = 0;

		while (present[i / 8] & (1 << (i % 8)))
			i++;
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("array must not contain NULL"),
				 errdetail("Element %d is NULL.", i + 1)));
	}
	return ARR_DATA_PTR(array);
}

int64 *
benchorch_array_int64(Datum datum, int *n)
{
	const char *elements = array_elements(datum, n);
	int64	   *values = palloc(sizeof(int64) * Max(*n, 1));

	memcpy(values, elements, sizeof(int64) * *n);
	return values;
}

int32 *
benchorch_array_int32(Datum datum, int *n)
{
	const char *elements = array_elements(datum, n);
	int32	   *values = palloc(sizeof(int32) * Max(*n, 1));

	memcpy(values, elements, sizeof(int32) * *n);
	return values;
}

void
benchorch_require(FunctionCallInfo fcinfo, int argno, const char *name)
{
	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("%s must not be NULL", name)));
}

int
benchorch_compare_int64(const void *a, const void *b)
{
	int64		x = *(const int64 *) a;
	int64		y = *(const int64 *) b;

	return (x > y) - (x < y);
}

typedef struct Position
{
	int64		id;
	int			position;
} Position;

static int
by_id(const void *pa, const void *pb)
{
	const Position *a = pa;
	const Position *b = pb;

	if (a->id != b->id)
		return a->id < b->id ? -1 : 1;
	return a->position - b->position;
}

int *
benchorch_id_order(const int64 *ids, int n)
{
	Position   *positions = palloc(sizeof(Position) * Max(n, 1));
	int		   *order = palloc(sizeof(int) * Max(n, 1));

	for (int i = 0; i < n; i++)
		positions[i] = (Position){ids[i], i};
	qsort(positions, n, sizeof(Position), by_id);
	for (int i = 0; i < n; i++)
		order[i] = positions[i].position;
	return order;
}

static Statement model_exists = {
	.sql = "SELECT 1 FROM benchorch.model_versions WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

void
benchorch_require_model(const pg_uuid_t *model_version_id)
{
	Datum		values[1] = {UUIDPGetDatum(model_version_id)};

	if (benchorch_run(&model_exists, values, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("model version %s does not exist", DatumGetCString(DirectFunctionCall1(uuid_out, values[0]))),
				 errhint("Register it first: benchorch.register_model().")));
}
