/*
 * Readiness: the chunks in which every claimable config stands.
 *
 * Invariant 9: a config that is pending, due and not paused stands in a lane
 * chunk (for claims with a worker) and in a priority chunk (for claims
 * without one); one that waits for its retry time stands in delayed_configs.
 * Chunks are hints: they may also name configs that are no longer pending.
 *
 * Rows come in by INSERT, COPY or a restore alike: one statement trigger
 * feeds the chunks and the counters from what was inserted.  It looks at
 * nothing but those rows, because a restore brings them before the tables
 * that they refer to.
 */
#include "benchorch.h"
#include "table.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "common/hashfn.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(benchorch_configs_inserted);
PG_FUNCTION_INFO_V1(benchorch_configs_delayed);
PG_FUNCTION_INFO_V1(benchorch_refeed);

/* A pending config as the chunks need it. */
typedef struct ReadyConfig
{
	int64		id;
	int64		work;			/* expected milliseconds: orders equals, sizes batches */
	pg_uuid_t	model_version_id;
	int32		lane_id;
	int32		hardware_config_id; /* 0: any */
	int32		framework_id;
	int32		gpus;
	int32		priority;
} ReadyConfig;

static Statement insert_lane_chunk = {
	.sql = "INSERT INTO benchorch.lane_chunks (model_version_id, lane_id, hardware_config_id, framework_id, gpus,"
	" priority, work, work_left, avoid_worker_id, ids, priorities, works)"
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
	.nargs = 12,
	.types = {UUIDOID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID, INT8OID, UUIDOID,
			  INT8ARRAYOID, INT4ARRAYOID, INT4ARRAYOID}};

static Statement insert_priority_chunk = {
	.sql = "INSERT INTO benchorch.priority_chunks (model_version_id, priority, ids) VALUES ($1, $2, $3)",
	.nargs = 3,
	.types = {UUIDOID, INT4OID, INT8ARRAYOID}
};

/*
 * How long a run is expected to take (expected.sql), in milliseconds.  Where
 * nothing is known, size stands in for time: a millisecond a token.
 */
#define TOKENS "coalesce(c.batch_size, 1)::float8 * coalesce(c.sequence_length, 1)"
#define PENDING_COLUMNS \
	"SELECT c.id, c.model_version_id, c.lane_id, coalesce(c.hardware_config_id, 0), c.framework_id, c.gpus, c.priority,"
#define FROM_PENDING " FROM benchorch.benchmark_configs c"

/* A few configs: by the roofline, and by the pace of their lane as the last sweep knew it. */
static Statement select_pending = {
	.sql = PENDING_COLUMNS
	" pg_catalog.round(coalesce(c.expected_s * 1000 * coalesce(l.pace, 1), " TOKENS "))::bigint" FROM_PENDING
	" LEFT JOIN benchorch.lanes l ON l.id = c.lane_id WHERE c.id = ANY ($1) AND c.status = 'pending'",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

/* A whole model: by all that is known. */
static Statement select_model_pending = {
	.sql = PENDING_COLUMNS
	" pg_catalog.round(CASE e.basis WHEN 'mean' THEN " TOKENS " ELSE e.seconds * 1000 END)::bigint" FROM_PENDING
	" JOIN benchorch.expected_seconds($1) e ON e.config_id = c.id WHERE c.model_version_id = $1 AND c.status = 'pending'"
	" AND NOT EXISTS (SELECT FROM benchorch.delayed_configs d WHERE d.config_id = c.id)",
	.nargs = 1,
	.types = {UUIDOID}
};

/* A restored claim stands in for its configs until the sweep takes them back. */
static Statement insert_restored_claim = {
	.sql = "INSERT INTO benchorch.claims (claim_id, claimed_at, restored, config_ids)"
	" VALUES ($1, pg_catalog.now(), true, $2)"
	" ON CONFLICT (claim_id) DO UPDATE SET config_ids = claims.config_ids || excluded.config_ids",
	.nargs = 2,
	.types = {INT8OID, INT8ARRAYOID}
};

static Statement insert_delayed = {
	.sql = "INSERT INTO benchorch.delayed_configs (config_id, model_version_id, due_at) VALUES ($1, $2, $3)",
	.nargs = 3,
	.types = {INT8OID, UUIDOID, TIMESTAMPTZOID}
};

static Statement lock_model = {
	.sql = "SELECT finalized_at IS NULL FROM benchorch.model_versions WHERE id = $1 FOR NO KEY UPDATE",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement reopen_model = {
	.sql = "UPDATE benchorch.model_versions SET finalized_at = NULL WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

/*
 * Configs of the model are opened in this transaction: it is not, or no
 * longer, finalized, and nobody finalizes it before the transaction ends.
 * A restore has no row of it yet.
 */
void
benchorch_open_model(const pg_uuid_t *model_version_id)
{
	Datum		values[1] = {UUIDPGetDatum(model_version_id)};
	bool		isnull;

	if (benchorch_run(&lock_model, values, NULL) > 0 && !DatumGetBool(benchorch_column(0, 1, &isnull)))
		benchorch_run(&reopen_model, values, NULL);
}

static int
compare_uuid(const pg_uuid_t *a, const pg_uuid_t *b)
{
	return memcmp(a->data, b->data, UUID_LEN);
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* By lane, most urgent first, the largest work first among equals. */
static int
by_lane(const void *pa, const void *pb)
{
	const ReadyConfig *a = pa;
	const ReadyConfig *b = pb;
	int			c = COMPARE(a->lane_id, b->lane_id);

	if (c == 0)
		c = COMPARE(a->priority, b->priority);
	if (c == 0)
		c = COMPARE(b->work, a->work);
	return c != 0 ? c : COMPARE(a->id, b->id);
}

static int
by_priority(const void *pa, const void *pb)
{
	const ReadyConfig *a = pa;
	const ReadyConfig *b = pb;
	int			c = COMPARE(a->priority, b->priority);

	if (c == 0)
		c = compare_uuid(&a->model_version_id, &b->model_version_id);
	return c != 0 ? c : COMPARE(a->id, b->id);
}

static void
put_lane_chunk(ReadyConfig *first, int n, const pg_uuid_t *avoid_worker)
{
	int64	   *ids = palloc(sizeof(int64) * n);
	int32	   *priorities = palloc(sizeof(int32) * n);
	int32	   *works = palloc(sizeof(int32) * n);
	int64		work_left = 0;
	Datum		values[12];

	for (int i = 0; i < n; i++)
	{
		ids[i] = first[i].id;
		priorities[i] = first[i].priority;
		works[i] = (int32) Min(first[i].work, PG_INT32_MAX);
		work_left += works[i];
	}
	values[0] = UUIDPGetDatum(&first->model_version_id);
	values[1] = Int32GetDatum(first->lane_id);
	values[2] = Int32GetDatum(first->hardware_config_id);
	values[3] = Int32GetDatum(first->framework_id);
	values[4] = Int32GetDatum(first->gpus);
	values[5] = Int32GetDatum(first->priority);
	values[6] = Int32GetDatum(works[0]);
	values[7] = Int64GetDatum(work_left);
	values[8] = UUIDPGetDatum(avoid_worker);
	values[9] = benchorch_int64_array(ids, n);
	values[10] = benchorch_int32_array(priorities, n);
	values[11] = benchorch_int32_array(works, n);
	benchorch_run(&insert_lane_chunk, values, avoid_worker ? NULL : "        n   ");
}

static void
put_priority_chunk(ReadyConfig *first, int n)
{
	int64	   *ids = palloc(sizeof(int64) * n);
	Datum		values[3];

	for (int i = 0; i < n; i++)
		ids[i] = first[i].id;
	values[0] = UUIDPGetDatum(&first->model_version_id);
	values[1] = Int32GetDatum(first->priority);
	values[2] = benchorch_int64_array(ids, n);
	benchorch_run(&insert_priority_chunk, values, NULL);
}

/* A statement has put something into delayed_configs. */
Datum
benchorch_configs_delayed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "benchorch.configs_delayed() is a trigger");
	benchorch_tell(READINESS);
	return PointerGetDatum(NULL);
}

/* Puts pending configs into chunks; sorts the array. */
static void
feed(ReadyConfig *configs, int n, const pg_uuid_t *avoid_worker)
{
	MemoryContext per_chunk;
	MemoryContext caller;
	int			end;

	if (n == 0)
		return;
	per_chunk = AllocSetContextCreate(CurrentMemoryContext, "benchorch chunk", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(per_chunk);
	benchorch_tell(READINESS);
	qsort(configs, n, sizeof(ReadyConfig), by_lane);
	for (int start = 0; start < n; start = end)
	{
		for (end = start + 1; end < n && end - start < benchorch_chunk_size; end++)
			if (configs[end].lane_id != configs[start].lane_id)
				break;
		put_lane_chunk(configs + start, end - start, avoid_worker);
		MemoryContextReset(per_chunk);
		CHECK_FOR_INTERRUPTS();
	}

	qsort(configs, n, sizeof(ReadyConfig), by_priority);
	for (int start = 0; start < n; start = end)
	{
		for (end = start + 1; end < n && end - start < benchorch_chunk_size; end++)
			if (configs[end].priority != configs[start].priority ||
				compare_uuid(&configs[end].model_version_id, &configs[start].model_version_id) != 0)
				break;
		put_priority_chunk(configs + start, end - start);
		MemoryContextReset(per_chunk);
		CHECK_FOR_INTERRUPTS();
	}
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(per_chunk);
}

/* Feeds the rows that select_pending or select_model_pending has returned. */
static void
feed_returned(uint64 found, const pg_uuid_t *avoid_worker)
{
	ReadyConfig *configs;

	if (found == 0)
		return;
	configs = palloc_extended(sizeof(ReadyConfig) * found, MCXT_ALLOC_HUGE);
	for (uint64 i = 0; i < found; i++)
	{
		configs[i].id = benchorch_column_int64(i, 1);
		configs[i].model_version_id = benchorch_column_uuid(i, 2);
		configs[i].lane_id = benchorch_column_int32(i, 3);
		configs[i].hardware_config_id = benchorch_column_int32(i, 4);
		configs[i].framework_id = benchorch_column_int32(i, 5);
		configs[i].gpus = benchorch_column_int32(i, 6);
		configs[i].priority = benchorch_column_int32(i, 7);
		configs[i].work = benchorch_column_int64(i, 8);
	}
	feed(configs, found, avoid_worker);
}

/* The same by id: reads the rows, passes by those that are not pending; returns how many are. */
int
benchorch_feed_ids(const int64 *ids, int n, const pg_uuid_t *avoid_worker)
{
	Datum		values[1] = {benchorch_int64_array(ids, n)};
	uint64		found = benchorch_run(&select_pending, values, NULL);

	feed_returned(found, avoid_worker);
	return found;
}

/* Deletes the chunks of one kind that a model has. */
static void
delete_chunks(const char *table, const char *index, Datum model_version_id)
{
	Table	   *chunks = benchorch_open_table(table, index, RowExclusiveLock);

	for (bool more = benchorch_find_row(chunks, model_version_id, F_UUID_EQ); more; more = benchorch_next_row(chunks))
		if (benchorch_is_free_now(chunks, benchorch_delete_row(chunks)))
			benchorch_delete_row(chunks);
	benchorch_close_table(chunks);
}

void
benchorch_delete_chunks(const pg_uuid_t *model_version_id)
{
	delete_chunks("lane_chunks", "lane_chunks_model", UUIDPGetDatum(model_version_id));
	delete_chunks("priority_chunks", "priority_chunks_model", UUIDPGetDatum(model_version_id));
}

/*
 * refeed(model_version_id, feed): puts what of a model is pending into new
 * chunks, or takes its chunks away.  What the old ones say is spent then; those
 * that a claim holds are not waited for, since who calls may hold configs that
 * the claim waits for.
 */
Datum
benchorch_refeed(PG_FUNCTION_ARGS)
{
	Datum		values[1] = {PG_GETARG_DATUM(0)};
	uint64		found = 0;

	SPI_connect();
	if (PG_GETARG_BOOL(1))
	{
		found = benchorch_run(&select_model_pending, values, NULL);
		feed_returned(found, NULL);
	}
	else
	{
		benchorch_delete_chunks(PG_GETARG_UUID_P(0));
	}
	SPI_finish();
	PG_RETURN_INT32((int32) found);
}

/* ------------------------------------------------------------ what came in */

static int32
slot_int32(TupleTableSlot *slot, int column, int32 when_null)
{
	bool		isnull;
	Datum		value = slot_getattr(slot, column + 1, &isnull);

	return isnull ? when_null : DatumGetInt32(value);
}

/* What TOKENS and the roofline say of a new row; its lane may not be there yet. */
static int64
slot_work(TupleTableSlot *slot, const ConfigColumns *columns)
{
	bool		isnull;
	Datum		expected_s = slot_getattr(slot, columns->expected_s + 1, &isnull);

	if (!isnull)
		return (int64) rint(DatumGetFloat4(expected_s) * 1000.0);
	return (int64) slot_int32(slot, columns->batch_size, 1) * slot_int32(slot, columns->sequence_length, 1);
}

static void
put_restored_claim(TupleTableSlot *slot, const ConfigColumns *columns, int64 config_id)
{
	bool		isnull;
	Datum		values[2];

	values[0] = slot_getattr(slot, columns->claim_id + 1, &isnull);
	if (isnull)
		ereport(ERROR,
				(errcode(ERRCODE_BENCHORCH_BAD_TRANSITION),
				 errmsg("config " INT64_FORMAT " cannot be inserted as running", config_id),
				 errhint("Insert it as pending and call benchorch.claim_batch().")));
	values[1] = benchorch_int64_array(&config_id, 1);
	benchorch_run(&insert_restored_claim, values, NULL);
}

/* A config that waited for its retry time when it was dumped goes on waiting. */
static bool
put_delayed(TupleTableSlot *slot, const ConfigColumns *columns, int64 config_id, pg_uuid_t *model_version_id)
{
	bool		isnull;
	Datum		values[3] = {Int64GetDatum(config_id), UUIDPGetDatum(model_version_id)};

	values[2] = slot_getattr(slot, columns->due_at + 1, &isnull);
	if (!isnull)
		benchorch_run(&insert_delayed, values, NULL);
	return !isnull;
}

/* One model of the rows that came in. */
typedef struct Arrived
{
	pg_uuid_t	model_version_id;	/* hash key: must be first */
	int64		counts[CONFIG_STATUSES];
} Arrived;

struct Arrivals
{
	ConfigColumns columns;
	HTAB	   *models;			/* of Arrived */
	ReadyConfig *ready;
	int			n_ready;
	Size		allocated;
};

Arrivals *
benchorch_begin_arrivals(TupleDesc desc)
{
	HASHCTL		info = {.keysize = UUID_LEN, .entrysize = sizeof(Arrived), .hcxt = CurrentMemoryContext};
	Arrivals   *arrivals = palloc(sizeof(Arrivals));

	arrivals->columns = benchorch_config_columns(desc);
	arrivals->models = hash_create("benchorch arrivals", 16, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	arrivals->n_ready = 0;
	arrivals->allocated = 1024;
	arrivals->ready = palloc(sizeof(ReadyConfig) * arrivals->allocated);
	return arrivals;
}

void
benchorch_arrive(Arrivals *arrivals, TupleTableSlot *slot)
{
	const ConfigColumns *columns = &arrivals->columns;
	bool		isnull;
	bool		found;
	int64		id = DatumGetInt64(slot_getattr(slot, columns->id + 1, &isnull));
	pg_uuid_t  *model_id = DatumGetUUIDP(slot_getattr(slot, columns->model_version_id + 1, &isnull));
	text	   *name = DatumGetTextPP(slot_getattr(slot, columns->status + 1, &isnull));
	ConfigStatus status = benchorch_status_from_bytes(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name));
	Arrived    *model = hash_search(arrivals->models, model_id, HASH_ENTER, &found);

	if (!found)
		memset(model->counts, 0, sizeof(model->counts));
	model->counts[status]++;

	if (status == CONFIG_RUNNING)
		put_restored_claim(slot, columns, id);
	if (status != CONFIG_PENDING || put_delayed(slot, columns, id, model_id))
		return;
	if (arrivals->n_ready == arrivals->allocated)
	{
		arrivals->allocated *= 2;
		arrivals->ready = repalloc_huge(arrivals->ready, sizeof(ReadyConfig) * arrivals->allocated);
	}
	arrivals->ready[arrivals->n_ready++] = (ReadyConfig){
		.id = id,
		.work = slot_work(slot, columns),
		.model_version_id = *model_id,
		.lane_id = slot_int32(slot, columns->lane_id, 0),
		.hardware_config_id = slot_int32(slot, columns->hardware_config_id, 0),
		.framework_id = slot_int32(slot, columns->framework_id, 0),
		.gpus = slot_int32(slot, columns->gpus, 1),
		.priority = slot_int32(slot, columns->priority, 0)};
}

void
benchorch_end_arrivals(Arrivals *arrivals)
{
	HASH_SEQ_STATUS scan;
	Arrived    *model;

	feed(arrivals->ready, arrivals->n_ready, NULL);

	hash_seq_init(&scan, arrivals->models);
	while ((model = hash_seq_search(&scan)) != NULL)
	{
		benchorch_count(&model->model_version_id, model->counts);
		if (model->counts[CONFIG_PENDING] + model->counts[CONFIG_RUNNING] > 0)
			benchorch_open_model(&model->model_version_id);
		else
			benchorch_mark_endgame(&model->model_version_id);
	}
}

/* AFTER INSERT ... FOR EACH STATEMENT, REFERENCING NEW TABLE. */
Datum
benchorch_configs_inserted(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsMinimalTuple);
	Arrivals   *arrivals = benchorch_begin_arrivals(desc);

	SPI_connect();
	tuplestore_rescan(trigger->tg_newtable);
	while (tuplestore_gettupleslot(trigger->tg_newtable, true, false, slot))
		benchorch_arrive(arrivals, slot);
	ExecDropSingleTupleTableSlot(slot);
	benchorch_end_arrivals(arrivals);
	SPI_finish();
	PG_RETURN_POINTER(NULL);
}
