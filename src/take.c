/*
 * pending -> running, the only place where that happens.
 *
 * A chunk is a hint, the config's row the truth: of the ids that a claim brings
 * only those become running that are still pending and still stand where the
 * chunk says.  The others are dropped with the chunk; they stand in another
 * one, or need none.
 *
 * What the rows of the result share (names, command, deadline, output share)
 * is looked up once for all of them.
 */
#include "benchorch.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"

/* A config that was taken: what the result says of it. */
typedef struct Taken
{
	int64		id;
	int64		work;
	pg_uuid_t	model_version_id;
	int32		hardware_config_id; /* 0: any */
	int32		framework_id;
	int32		template_id;	/* 0: none */
	int32		priority;
	int32		attempt;
	int32		batch_size;		/* 0: none */
	int32		sequence_length;	/* 0: none */
	int32		gpus;
	Datum		workload;		/* text; 0: none */
	Datum		params;			/* jsonb */
} Taken;

/* ------------------------------------------------------------------ the arrow */

/* What a claim wants of one row. */
typedef struct Hint
{
	const Claim *claim;
	int32		priority;
	int32		lane_id;		/* 0: any */
	Datum		running;
	Taken	   *taken;			/* what it was, where it is taken */
} Hint;

static bool
become_running(ConfigRow *row, void *context)
{
	const Hint *hint = context;
	const ConfigColumns *at = &row->columns;
	Taken	   *taken = hint->taken;
	text	   *status = DatumGetTextPP(row->values[at->status]);

#define INT32_OR_0(column) (row->nulls[at->column] ? 0 : DatumGetInt32(row->values[at->column]))
	if (benchorch_status_from_bytes(VARDATA_ANY(status), VARSIZE_ANY_EXHDR(status)) != CONFIG_PENDING ||
		DatumGetInt32(row->values[at->priority]) != hint->priority || !row->nulls[at->due_at] ||
		(hint->lane_id && DatumGetInt32(row->values[at->lane_id]) != hint->lane_id))
		return false;

	*taken = (Taken){
		.id = DatumGetInt64(row->values[at->id]),
		.model_version_id = *DatumGetUUIDP(row->values[at->model_version_id]),
		.hardware_config_id = INT32_OR_0(hardware_config_id),
		.framework_id = DatumGetInt32(row->values[at->framework_id]),
		.template_id = INT32_OR_0(template_id),
		.priority = hint->priority,
		.attempt = DatumGetInt32(row->values[at->attempt]) + 1,
		.batch_size = INT32_OR_0(batch_size),
		.sequence_length = INT32_OR_0(sequence_length),
		.gpus = DatumGetInt32(row->values[at->gpus]),
		.workload = row->nulls[at->workload_type] ? (Datum) 0 : datumCopy(row->values[at->workload_type], false, -1),
		.params = datumCopy(row->values[at->params], false, -1),
	};
	taken->work = row->nulls[at->expected_s] ? (int64) taken->batch_size * taken->sequence_length
											 : (int64) rint(DatumGetFloat4(row->values[at->expected_s]) * 1000.0);
#undef INT32_OR_0

	row->values[at->status] = hint->running;
	row->values[at->claim_id] = Int64GetDatum(hint->claim->claim_id);
	row->nulls[at->claim_id] = false;
	row->values[at->started_at] = TimestampTzGetDatum(hint->claim->claimed_at);
	row->nulls[at->started_at] = false;
	row->nulls[at->completed_at] = true;
	row->values[at->run_started] = BoolGetDatum(false);
	row->values[at->attempt] = Int32GetDatum(taken->attempt);
	row->values[at->version] = Int32GetDatum(DatumGetInt32(row->values[at->version]) + 1);
	return true;
}

/* ----------------------------------------------------------------- the result */

/* What a row says of its model, hardware, framework, template or workload. */
static Statement select_models = {
	.sql = "SELECT id, name, source, architecture FROM benchorch.model_versions WHERE id = ANY ($1)",
	.nargs = 1,
	.types = {UUIDARRAYOID}
};

static Statement select_hardware = {
	.sql = "SELECT id, name FROM benchorch.hardware_configs WHERE id = ANY ($1)",
	.nargs = 1,
	.types = {INT4ARRAYOID}
};

static Statement select_frameworks = {
	.sql = "SELECT id, name, protocol, command FROM benchorch.frameworks WHERE id = ANY ($1)",
	.nargs = 1,
	.types = {INT4ARRAYOID}
};

static Statement select_deadlines = {
	.sql = "SELECT id, pg_catalog.make_interval(secs => coalesce((spec -> 'limits' ->> 'deadline_s')::float8, 3600))"
	" FROM benchorch.templates WHERE id = ANY ($1)",
	.nargs = 1,
	.types = {INT4ARRAYOID}
};

static Statement select_shares = {
	.sql = "SELECT name, output_share FROM benchorch.workloads WHERE name = ANY ($1)",
	.nargs = 1,
	.types = {TEXTARRAYOID}
};

typedef struct Facts
{
	SPITupleTable *rows;
	uint64		n;
	int16		length;			/* of the key's type */
	bool		byval;
	uint64		last;			/* the row found last */
} Facts;

/* The rows of the keys, which may be named more than once; a key of 0 has none where zero_is_none. */
static Facts
look_up(Statement *statement, Datum *keys, int n, Oid type, bool zero_is_none)
{
	Facts		facts = {0};
	char		align;
	int			unique = 0;
	Datum		values[1];

	get_typlenbyvalalign(type, &facts.length, &facts.byval, &align);
	for (int i = 0; i < n; i++)
		if (!(zero_is_none && keys[i] == (Datum) 0) &&
			(unique == 0 || !datum_image_eq(keys[i], keys[unique - 1], facts.byval, facts.length)))
			keys[unique++] = keys[i];
	if (unique == 0)
		return facts;
	values[0] = PointerGetDatum(construct_array(keys, unique, type, facts.length, facts.byval, align));
	facts.n = benchorch_run(statement, values, NULL);
	facts.rows = SPI_tuptable;
	return facts;
}

/* The row of a key, or NULL. */
static HeapTuple
fact_row(Facts *facts, Datum key)
{
	for (uint64 i = 0; i < facts->n; i++)
	{
		uint64		row = (facts->last + i) % facts->n;
		bool		isnull;

		if (datum_image_eq(SPI_getbinval(facts->rows->vals[row], facts->rows->tupdesc, 1, &isnull), key,
						   facts->byval, facts->length))
		{
			facts->last = row;
			return facts->rows->vals[row];
		}
	}
	return NULL;
}

/* One of its columns, from 1; NULL where there is no row. */
static Datum
fact(const Facts *facts, HeapTuple row, int column, bool *isnull)
{
	*isnull = true;
	return row ? SPI_getbinval(row, facts->rows->tupdesc, column, isnull) : (Datum) 0;
}

static int
by_urgency(const void *pa, const void *pb)
{
	const Taken *a = pa;
	const Taken *b = pb;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->work != b->work)
		return a->work > b->work ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

/* What the rows of one result share, each looked up once. */
typedef struct AllFacts
{
	Facts		models;
	Facts		hardware;
	Facts		frameworks;
	Facts		deadlines;
	Facts		shares;
} AllFacts;

static AllFacts
look_up_all(const Taken *taken, int n)
{
	Datum	   *keys = palloc(sizeof(Datum) * n);
	AllFacts	all;

	for (int i = 0; i < n; i++)
		keys[i] = UUIDPGetDatum(&taken[i].model_version_id);
	all.models = look_up(&select_models, keys, n, UUIDOID, false);
	for (int i = 0; i < n; i++)
		keys[i] = Int32GetDatum(taken[i].hardware_config_id);
	all.hardware = look_up(&select_hardware, keys, n, INT4OID, true);
	for (int i = 0; i < n; i++)
		keys[i] = Int32GetDatum(taken[i].framework_id);
	all.frameworks = look_up(&select_frameworks, keys, n, INT4OID, false);
	for (int i = 0; i < n; i++)
		keys[i] = Int32GetDatum(taken[i].template_id);
	all.deadlines = look_up(&select_deadlines, keys, n, INT4OID, true);
	for (int i = 0; i < n; i++)
		keys[i] = taken[i].workload;
	all.shares = look_up(&select_shares, keys, n, TEXTOID, true);
	return all;
}

/* One row of the result: claimed_config, by column number from 0. */
static void
put_row(const Claim *claim, const Taken *taken, AllFacts *facts)
{
	HeapTuple	model = fact_row(&facts->models, UUIDPGetDatum(&taken->model_version_id));
	HeapTuple	hardware = fact_row(&facts->hardware, Int32GetDatum(taken->hardware_config_id));
	HeapTuple	framework = fact_row(&facts->frameworks, Int32GetDatum(taken->framework_id));
	HeapTuple	deadline = fact_row(&facts->deadlines, Int32GetDatum(taken->template_id));
	HeapTuple	share = taken->workload ? fact_row(&facts->shares, taken->workload) : NULL;
	Interval	one_hour = {.time = 3600 * USECS_PER_SEC};
	Datum		values[23];
	bool		nulls[23] = {false};

	values[0] = Int64GetDatum(taken->id);
	values[1] = Int64GetDatum(claim->claim_id);
	values[2] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(claim->claimed_at, benchorch_lease * INT64CONST(1000)));
	nulls[2] = !claim->has_worker;
	values[3] = Int32GetDatum(taken->attempt);
	values[4] = UUIDPGetDatum(&taken->model_version_id);
	values[5] = fact(&facts->models, model, 2, &nulls[5]);	/* model_name */
	values[6] = fact(&facts->models, model, 3, &nulls[6]);	/* model_source */
	values[7] = fact(&facts->models, model, 4, &nulls[7]);	/* architecture */
	values[8] = Int32GetDatum(taken->hardware_config_id);
	nulls[8] = taken->hardware_config_id == 0;
	values[9] = fact(&facts->hardware, hardware, 2, &nulls[9]); /* hardware_name */
	values[10] = Int32GetDatum(taken->framework_id);
	values[11] = fact(&facts->frameworks, framework, 2, &nulls[11]);	/* framework_name */
	values[12] = fact(&facts->frameworks, framework, 3, &nulls[12]);	/* protocol */
	values[13] = fact(&facts->frameworks, framework, 4, &nulls[13]);	/* command */
	values[14] = fact(&facts->deadlines, deadline, 2, &nulls[14]);
	if (nulls[14])
	{
		values[14] = IntervalPGetDatum(&one_hour);
		nulls[14] = false;
	}
	values[15] = taken->workload;
	nulls[15] = taken->workload == (Datum) 0;
	values[16] = Int32GetDatum(taken->batch_size);
	nulls[16] = taken->batch_size == 0;
	values[17] = Int32GetDatum(taken->sequence_length);
	nulls[17] = taken->sequence_length == 0;
	values[18] = fact(&facts->shares, share, 2, &nulls[18]);
	nulls[18] |= nulls[17];
	nulls[19] = nulls[18];
	if (!nulls[18])
	{
		int32		output = (int32) floor(taken->sequence_length * DatumGetFloat8(values[18]) + 0.5);

		values[18] = Int32GetDatum(taken->sequence_length - output);	/* input_tokens */
		values[19] = Int32GetDatum(output); /* output_tokens */
	}
	values[20] = Int32GetDatum(taken->gpus);
	values[21] = taken->params;
	values[22] = Int32GetDatum(taken->priority);
	tuplestore_putvalues(claim->rsinfo->setResult, claim->rsinfo->setDesc, values, nulls);
}

/* ------------------------------------------------------------------- the claim */

bool
benchorch_take(Claim *claim, const int64 *ids, const int32 *priorities, int n, int32 lane_id)
{
	int		   *order = benchorch_id_order(ids, n);
	Taken	   *taken = palloc(sizeof(Taken) * n);
	int64	   *passed = palloc(sizeof(int64) * n);
	Hint		hint = {.claim = claim, .lane_id = lane_id, .running = CStringGetTextDatum("running")};
	int64	   *sorted = palloc(sizeof(int64) * n);
	ConfigTable *configs;
	int			ntaken = 0;
	int			npassed = 0;

	/*
	 * The first configs of a claim are waited for, where others hold them, in
	 * id order: that cannot be a circle.  From then on it holds some, even if
	 * it took none: a row that was waited for stays locked.
	 */
	bool		waits = !claim->holds;

	claim->holds = true;
	for (int i = 0; i < n; i++)
		sorted[i] = ids[order[i]];
	configs = benchorch_open_configs(sorted, n);
	for (int i = 0; i < n; i++)
	{
		bool		held = false;

		hint.priority = priorities[order[i]];
		hint.taken = &taken[ntaken];
		if (benchorch_change_next(configs, become_running, &hint, waits, &held))
			ntaken++;
		else if (held)
			passed[npassed++] = sorted[i];
	}
	benchorch_close_configs(configs);

	if (ntaken > 0)
	{
		AllFacts	facts;

		for (int i = 0; i < ntaken; i++)
		{
			claim->ids[claim->taken] = taken[i].id;
			claim->models[claim->taken++] = taken[i].model_version_id;
		}
		qsort(taken, ntaken, sizeof(Taken), by_urgency);
		facts = look_up_all(taken, ntaken);
		for (int i = 0; i < ntaken; i++)
			put_row(claim, &taken[i], &facts);
	}
	/* their chunk is gone, and whoever holds them may roll back: they are hinted at anew */
	if (npassed > 0)
		benchorch_feed_ids(passed, npassed, NULL);
	return npassed == 0;
}
