/*
 * finalize: a model version is ranked, and what it has left in the chunks is
 * spent.
 *
 * Models that have come to their end are marked (progress.c); claims,
 * heartbeats and the sweep look at the marks and rank what is due, each once
 * for each time that it became settled: under an advisory lock on the model,
 * so that no two do it, and holding the model's row, which whoever opens
 * configs of the model takes too.
 *
 * That a model cannot be ranked harms nothing else: it is ranked in a
 * subtransaction, and stays due.
 */
#include "benchorch.h"
#include "table.h"

#include "access/xact.h"
#include "catalog/pg_collation.h"
#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/resowner.h"

PG_FUNCTION_INFO_V1(benchorch_finalize);
PG_FUNCTION_INFO_V1(benchorch_finalize_due_sql);

/* -------------------------------------------------------------------- one model */

/* The key of the advisory lock on a model: hashtextextended('benchorch:' || id, 0). */
static Datum
lock_key(const pg_uuid_t *model_version_id)
{
	char	   *id = DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(model_version_id)));

	return DirectFunctionCall2Coll(hashtextextended, DEFAULT_COLLATION_OID,
								   CStringGetTextDatum(psprintf("benchorch:%s", id)), Int64GetDatum(0));
}

/* What of a model is pending and running, in a new snapshot. */
static void
read_open(const pg_uuid_t *model_version_id, int64 *pending, int64 *running)
{
	Table	   *deltas = benchorch_open_table("progress_deltas", "progress_deltas_model", AccessShareLock);

	*pending = *running = 0;
	for (bool more = benchorch_find_row(deltas, UUIDPGetDatum(model_version_id), F_UUID_EQ); more;
		 more = benchorch_next_row(deltas))
	{
		*pending += DatumGetInt32(benchorch_row_datum(deltas, DELTA_PENDING));
		*running += DatumGetInt32(benchorch_row_datum(deltas, DELTA_RUNNING));
	}
	benchorch_close_table(deltas);
}

static Statement rank_model = {
	.sql = "SELECT benchorch.rank_model($1)",
	.nargs = 1,
	.types = {UUIDOID}
};

/* How many cells have a rank; where there is nothing to rank and nothing ranked there is nothing to do. */
static int32
rank(const pg_uuid_t *model_version_id)
{
	Datum		model = UUIDPGetDatum(model_version_id);

	if (!benchorch_has_row("benchmark_results", "benchmark_results_model", model, F_UUID_EQ) &&
		!benchorch_has_row("archived_results", "archived_results_model", model, F_UUID_EQ) &&
		!benchorch_has_row("cell_statistics", "cell_statistics_pkey", model, F_UUID_EQ) &&
		!benchorch_has_row("rankings", "rankings_model", model, F_UUID_EQ))
		return 0;
	benchorch_run(&rank_model, &model, NULL);
	return benchorch_column_int32(0, 1);
}

/* By statements: users may have put triggers on these two, to hear of it. */
static Statement insert_finalization = {
	.sql = "INSERT INTO benchorch.finalizations (model_version_id, partial, cells) VALUES ($1, $2, $3)",
	.nargs = 3,
	.types = {UUIDOID, BOOLOID, INT4OID}
};

static Statement set_finalized = {
	.sql = "UPDATE benchorch.model_versions SET finalized_at = pg_catalog.now() WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

/* Marks that somebody else has just made stay: they may stand for more than what was ranked. */
static void
delete_marks(const pg_uuid_t *model_version_id)
{
	Table	   *marks = benchorch_open_table("endgames", NULL, RowExclusiveLock);

	benchorch_forget_mark();
	benchorch_scan(marks, NULL, 0);
	while (benchorch_next_row(marks))
		if (memcmp(DatumGetUUIDP(benchorch_row_datum(marks, 1)), model_version_id, UUID_LEN) == 0)
			benchorch_delete_row(marks);
	benchorch_close_table(marks);
}

static int32
finalize(const pg_uuid_t *model_version_id, bool partial)
{
	Datum		model = UUIDPGetDatum(model_version_id);
	Table	   *models;
	int64		pending;
	int64		running;
	int32		cells;

	DirectFunctionCall1(pg_advisory_xact_lock_int8, lock_key(model_version_id));
	/* nobody opens configs of the model from here on; what was opened before is counted next */
	models = benchorch_open_table("model_versions", "model_versions_pkey", RowExclusiveLock);
	if (!benchorch_find_row(models, model, F_UUID_EQ) || !benchorch_lock_row(models, true))
		benchorch_require_model(model_version_id);
	benchorch_close_table(models);
	read_open(model_version_id, &pending, &running);
	if (!partial && pending + running > 0)
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("model version %s has work left", DatumGetCString(DirectFunctionCall1(uuid_out, model))),
				 errdetail(INT64_FORMAT " configs are pending, " INT64_FORMAT " are running.", pending, running),
				 errhint("Wait until they have settled, benchorch.cancel() them, or rank what there is:"
						 " benchorch.finalize(..., partial => true).")));

	cells = rank(model_version_id);
	benchorch_run(&insert_finalization, (Datum[]){model, BoolGetDatum(partial), Int32GetDatum(cells)}, NULL);
	if (!partial)
	{
		benchorch_run(&set_finalized, &model, NULL);
		benchorch_delete_chunks(model_version_id);
		delete_marks(model_version_id);
	}
	return cells;
}

Datum
benchorch_finalize(PG_FUNCTION_ARGS)
{
	int32		cells;

	benchorch_require(fcinfo, 0, "model_version_id");
	SPI_connect();
	benchorch_require_model(PG_GETARG_UUID_P(0));
	benchorch_require(fcinfo, 1, "partial");
	cells = finalize(PG_GETARG_UUID_P(0), PG_GETARG_BOOL(1));
	SPI_finish();
	PG_RETURN_INT32(cells);
}

/* ---------------------------------------------------------------- what is due */

/* finalize() in a subtransaction: false, and a warning, where it failed. */
static bool
try_finalize(const pg_uuid_t *model_version_id)
{
	MemoryContext context = CurrentMemoryContext;
	ResourceOwner owner = CurrentResourceOwner;
	bool volatile done = false;

	BeginInternalSubTransaction(NULL);
	MemoryContextSwitchTo(context);
	PG_TRY();
	{
		finalize(model_version_id, false);
		ReleaseCurrentSubTransaction();
		done = true;
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
		/* who cancels, cancels all; what was opened again meanwhile will be due once more */
		if (error->sqlerrcode == ERRCODE_QUERY_CANCELED)
			ReThrowError(error);
		if (error->sqlerrcode != ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE)
			ereport(WARNING,
					(errmsg("model version %s could not be ranked: %s",
							DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(model_version_id))),
							error->message),
					 errhint("Nothing else is affected; benchorch.finalize() tells more.")));
	}
	PG_END_TRY();
	MemoryContextSwitchTo(context);
	CurrentResourceOwner = owner;
	return done;
}

/* A model version of which nothing is open is ranked, unless somebody else is at it. */
static bool
finalize_settled(const pg_uuid_t *model_version_id)
{
	Datum		model = UUIDPGetDatum(model_version_id);
	Table	   *models;
	bool		locked;
	bool		not_final = false;

	/* somebody else is at it: do not queue, and do not do it again after them */
	if (!DatumGetBool(DirectFunctionCall1(pg_try_advisory_xact_lock_int8, lock_key(model_version_id))) ||
		!benchorch_is_marked(model_version_id))
		return false;
	/* somebody opens configs of it, or has opened and ranked it since */
	models = benchorch_open_table("model_versions", "model_versions_pkey", RowExclusiveLock);
	locked = benchorch_find_row(models, model, F_UUID_EQ) && benchorch_lock_row(models, false);
	if (locked)
		benchorch_row_value(models, MODEL_FINALIZED_AT, &not_final);
	benchorch_close_table(models);
	if (!locked)
		return false;
	if (not_final && benchorch_has_row("benchmark_configs", "benchmark_configs_model", model, F_UUID_EQ))
		return try_finalize(model_version_id);
	/* nothing is left of it in the matrix, or it came ranked out of a dump */
	delete_marks(model_version_id);
	return false;
}

/* A model that is marked. */
typedef struct Marked
{
	pg_uuid_t	model_version_id;
	bool		pending;		/* something of it */
	bool		due;
} Marked;

static int
by_model(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

/* The models that are marked, each once.  Marks of those that have something pending go: others mark them again. */
static Marked *
look_at_marks(int *n)
{
	Table	   *marks = benchorch_open_table("endgames", NULL, RowExclusiveLock);
	Marked	   *models = NULL;

	*n = 0;
	benchorch_scan(marks, NULL, 0);
	while (benchorch_next_row(marks))
	{
		pg_uuid_t  *id = DatumGetUUIDP(benchorch_row_datum(marks, 1));
		int			at = 0;

		while (at < *n && by_model(&models[at], id) != 0)
			at++;
		if (at == *n)
		{
			int64		pending;
			int64		running;

			read_open(id, &pending, &running);
			models = models ? repalloc(models, sizeof(Marked) * (*n + 1)) : palloc(sizeof(Marked));
			models[(*n)++] = (Marked){*id, pending > 0, pending + running == 0};
		}
		if (models[at].pending)
		{
			benchorch_forget_mark();
			benchorch_delete_row(marks);
		}
	}
	benchorch_close_table(marks);
	return models;
}

/* Ranks what has come to its end; mostly nothing is marked, or what is marked still runs.  Returns how many. */
int
benchorch_finalize_due(void)
{
	static uint64 none_in = 0;	/* the generation in which nothing is marked, as far as the session knows */
	uint64		generation = benchorch_generation(MARKS);
	Marked	   *models;
	int			n;
	int			finalized = 0;

	if (none_in == generation)
		return 0;
	models = look_at_marks(&n);
	if (n == 0)
		none_in = generation;
	if (n > 1)
		qsort(models, n, sizeof(Marked), by_model);
	for (int i = 0; i < n; i++)
		if (models[i].due)
			finalized += finalize_settled(&models[i].model_version_id);
	return finalized;
}

Datum
benchorch_finalize_due_sql(PG_FUNCTION_ARGS)
{
	int			finalized;

	SPI_connect();
	finalized = benchorch_finalize_due();
	SPI_finish();
	PG_RETURN_INT32(finalized);
}
