/*
 * pending -> running, the only place where that happens.
 *
 * A chunk is a hint, the config's row the truth: of the ids that a claim brings
 * only those become running that are still pending and still stand where the
 * chunk says.  The others are dropped with the chunk; they stand in another
 * one, or need none.
 *
 * The result's columns that configs share (names, command, deadline, output
 * share) are looked up once for each lane, template and workload.
 */
#include "benchorch.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#define TAKEN_COLUMNS \
	" RETURNING c.id, c.priority, coalesce((c.expected_s * 1000)::bigint, coalesce(c.batch_size, 0)::bigint * coalesce(c.sequence_length, 0)), c.attempt," \
	" c.model_version_id, c.hardware_config_id, c.framework_id, c.workload_type, c.batch_size, c.sequence_length," \
	" c.gpus, c.params, c.lane_id, coalesce(c.template_id, 0)"

static Statement take_configs = {
	.sql = "UPDATE benchorch.benchmark_configs c SET status = 'running', claim_id = $3, started_at = $4,"
	" completed_at = NULL, run_started = false, attempt = c.attempt + 1, version = c.version + 1"
	" FROM unnest($1, $2) AS hint (id, priority)"
	" WHERE c.id = hint.id AND c.priority = hint.priority AND c.status = 'pending' AND ($5 IS NULL OR c.lane_id = $5)"
	" AND c.due_at IS NULL" TAKEN_COLUMNS,
	.nargs = 5,
	.types = {INT8ARRAYOID, INT4ARRAYOID, INT8OID, TIMESTAMPTZOID, INT4OID}
};

/* The same, passing by what others hold. */
static Statement take_free_configs = {
	.sql = "UPDATE benchorch.benchmark_configs c SET status = 'running', claim_id = $3, started_at = $4,"
	" completed_at = NULL, run_started = false, attempt = c.attempt + 1, version = c.version + 1"
	" FROM (SELECT b.id FROM unnest($1, $2) AS hint (id, priority) JOIN benchorch.benchmark_configs b ON b.id = hint.id"
	"  WHERE b.priority = hint.priority AND b.status = 'pending' FOR NO KEY UPDATE OF b SKIP LOCKED) AS free"
	" WHERE c.id = free.id AND c.status = 'pending' AND ($5 IS NULL OR c.lane_id = $5)"
	" AND c.due_at IS NULL" TAKEN_COLUMNS,
	.nargs = 5,
	.types = {INT8ARRAYOID, INT4ARRAYOID, INT8OID, TIMESTAMPTZOID, INT4OID}
};

/* What of the hints stands and was not taken: others hold it. */
static Statement select_held = {
	.sql = "SELECT b.id FROM unnest($1, $2) AS hint (id, priority) JOIN benchorch.benchmark_configs b ON b.id = hint.id"
	" WHERE b.priority = hint.priority AND b.status = 'pending' AND ($3 IS NULL OR b.lane_id = $3)"
	" AND b.due_at IS NULL",
	.nargs = 3,
	.types = {INT8ARRAYOID, INT4ARRAYOID, INT4OID}
};

/* What configs of one lane, template and workload have in common. */
static Statement select_facts = {
	.sql = "SELECT m.name, m.source, m.architecture, h.name, f.name, f.protocol, f.command,"
	" pg_catalog.make_interval(secs => coalesce((SELECT (t.spec -> 'limits' ->> 'deadline_s')::float8"
	"  FROM benchorch.templates t WHERE t.id = $2), 3600)),"
	" (SELECT w.output_share FROM benchorch.workloads w WHERE w.name = $3)"
	" FROM benchorch.lanes l"
	" JOIN benchorch.model_versions m ON m.id = l.model_version_id"
	" JOIN benchorch.frameworks f ON f.id = l.framework_id"
	" LEFT JOIN benchorch.hardware_configs h ON h.id = l.hardware_config_id"
	" WHERE l.id = $1",
	.nargs = 3,
	.types = {INT4OID, INT4OID, TEXTOID}
};

/* Columns of take_configs, from 1. */
enum
{
	TAKEN_ID = 1,
	TAKEN_PRIORITY,
	TAKEN_WORK,
	TAKEN_ATTEMPT,
	TAKEN_MODEL,
	TAKEN_HARDWARE,
	TAKEN_FRAMEWORK,
	TAKEN_WORKLOAD,
	TAKEN_BATCH_SIZE,
	TAKEN_LENGTH,
	TAKEN_GPUS,
	TAKEN_PARAMS,
	TAKEN_LANE,
	TAKEN_TEMPLATE
};

/* A config that was taken, as it is sorted for the result. */
typedef struct Taken
{
	HeapTuple	tuple;			/* a row of take_configs */
	int64		id;
	int64		work;
	int32		priority;
	int32		lane_id;
	int32		template_id;
	char	   *workload;		/* NULL: none */
} Taken;

/* What the members of one group have in common. */
typedef struct Facts
{
	Datum		values[8];		/* the columns of select_facts but the last */
	bool		nulls[8];
	double		output_share;
	bool		has_share;
} Facts;

static int
same_text(const char *a, const char *b)
{
	if (a == NULL || b == NULL)
		return (b == NULL) - (a == NULL);
	return strcmp(a, b);
}

static int
by_group(const void *pa, const void *pb)
{
	const Taken *a = pa;
	const Taken *b = pb;

	if (a->lane_id != b->lane_id)
		return a->lane_id < b->lane_id ? -1 : 1;
	if (a->template_id != b->template_id)
		return a->template_id < b->template_id ? -1 : 1;
	return same_text(a->workload, b->workload);
}

static int
by_urgency(const void *pa, const void *pb)
{
	const Taken *a = *(Taken *const *) pa;
	const Taken *b = *(Taken *const *) pb;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->work != b->work)
		return a->work > b->work ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

static void
read_facts(const Taken *taken, Facts *facts)
{
	Datum		values[3] = {Int32GetDatum(taken->lane_id), Int32GetDatum(taken->template_id),
					   taken->workload ? CStringGetTextDatum(taken->workload) : (Datum) 0};
	bool		isnull;
	Datum		share;

	if (benchorch_run(&select_facts, values, taken->workload ? NULL : "  n") == 0)
		elog(ERROR, "lane %d does not exist", taken->lane_id);
	for (int i = 0; i < lengthof(facts->values); i++)
		facts->values[i] = benchorch_column(0, i + 1, &facts->nulls[i]);
	share = benchorch_column(0, 9, &isnull);
	facts->has_share = !isnull;
	facts->output_share = isnull ? 0 : DatumGetFloat8(share);
}

/* One row of the result. */
static void
put_row(const Claim *claim, const Taken *taken, TupleDesc desc, const Facts *facts)
{
	Datum		values[23];
	bool		nulls[23];

#define COPY(to, column) values[to] = SPI_getbinval(taken->tuple, desc, column, &nulls[to])
#define FACT(to, i) values[to] = facts->values[i], nulls[to] = facts->nulls[i]
	COPY(0, TAKEN_ID);
	values[1] = Int64GetDatum(claim->claim_id);
	nulls[1] = false;
	values[2] = TimestampTzGetDatum(TimestampTzPlusMilliseconds(claim->claimed_at, benchorch_lease * INT64CONST(1000)));
	nulls[2] = !claim->has_worker;
	COPY(3, TAKEN_ATTEMPT);
	COPY(4, TAKEN_MODEL);
	FACT(5, 0);					/* model_name */
	FACT(6, 1);					/* model_source */
	FACT(7, 2);					/* architecture */
	COPY(8, TAKEN_HARDWARE);
	FACT(9, 3);					/* hardware_name */
	COPY(10, TAKEN_FRAMEWORK);
	FACT(11, 4);				/* framework_name */
	FACT(12, 5);				/* protocol */
	FACT(13, 6);				/* command */
	FACT(14, 7);				/* deadline */
	COPY(15, TAKEN_WORKLOAD);
	COPY(16, TAKEN_BATCH_SIZE);
	COPY(17, TAKEN_LENGTH);
	nulls[18] = nulls[19] = nulls[17] || !facts->has_share;
	if (!nulls[18])
	{
		int32		length = DatumGetInt32(values[17]);
		int32		output = (int32) floor(length * facts->output_share + 0.5);

		values[18] = Int32GetDatum(length - output);
		values[19] = Int32GetDatum(output);
	}
	COPY(20, TAKEN_GPUS);
	COPY(21, TAKEN_PARAMS);
	COPY(22, TAKEN_PRIORITY);
#undef COPY
#undef FACT
	tuplestore_putvalues(claim->rsinfo->setResult, claim->rsinfo->setDesc, values, nulls);
}

/* The rows of take_configs, most urgent first, with what their lanes know. */
static void
put_taken(Claim *claim, SPITupleTable *rows, int n)
{
	Taken	   *taken = palloc(sizeof(Taken) * n);
	Taken	  **order = palloc(sizeof(Taken *) * n);
	Facts	  **facts = palloc(sizeof(Facts *) * n);

	for (int i = 0; i < n; i++)
	{
		bool		isnull;
		HeapTuple	tuple = rows->vals[i];

		taken[i].tuple = tuple;
		taken[i].id = DatumGetInt64(SPI_getbinval(tuple, rows->tupdesc, TAKEN_ID, &isnull));
		taken[i].work = DatumGetInt64(SPI_getbinval(tuple, rows->tupdesc, TAKEN_WORK, &isnull));
		taken[i].priority = DatumGetInt32(SPI_getbinval(tuple, rows->tupdesc, TAKEN_PRIORITY, &isnull));
		taken[i].lane_id = DatumGetInt32(SPI_getbinval(tuple, rows->tupdesc, TAKEN_LANE, &isnull));
		taken[i].template_id = DatumGetInt32(SPI_getbinval(tuple, rows->tupdesc, TAKEN_TEMPLATE, &isnull));
		taken[i].workload = SPI_getvalue(tuple, rows->tupdesc, TAKEN_WORKLOAD);
		order[i] = &taken[i];
	}
	qsort(taken, n, sizeof(Taken), by_group);
	for (int i = 0; i < n; i++)
	{
		if (i > 0 && by_group(&taken[i], &taken[i - 1]) == 0)
		{
			facts[i] = facts[i - 1];
			continue;
		}
		facts[i] = palloc(sizeof(Facts));
		read_facts(&taken[i], facts[i]);
	}
	qsort(order, n, sizeof(Taken *), by_urgency);
	for (int i = 0; i < n; i++)
		put_row(claim, order[i], rows->tupdesc, facts[order[i] - taken]);
}

bool
benchorch_take(Claim *claim, const int64 *ids, const int32 *priorities, int n, int32 lane_id)
{
	int		   *order = benchorch_id_order(ids, n);
	int64	   *sorted_ids = palloc(sizeof(int64) * n);
	int32	   *sorted_priorities = palloc(sizeof(int32) * n);
	Datum		values[5];
	uint64		found;
	SPITupleTable *rows;

	/*
	 * The first configs of a claim are waited for, where others hold them, in
	 * id order: that cannot be a circle.  From then on it holds some, even if
	 * it took none: a row that was waited for stays locked.
	 */
	bool		waits = !claim->holds;

	claim->holds = true;
	/* rows are locked in id order */
	for (int i = 0; i < n; i++)
	{
		sorted_ids[i] = ids[order[i]];
		sorted_priorities[i] = priorities[order[i]];
	}
	values[0] = benchorch_int64_array(sorted_ids, n);
	values[1] = benchorch_int32_array(sorted_priorities, n);
	values[2] = Int64GetDatum(claim->claim_id);
	values[3] = TimestampTzGetDatum(claim->claimed_at);
	values[4] = Int32GetDatum(lane_id);
	found = benchorch_run(waits ? &take_configs : &take_free_configs, values, lane_id ? NULL : "    n");
	rows = SPI_tuptable;
	for (uint64 i = 0; i < found; i++)
	{
		claim->ids[claim->taken] = benchorch_column_int64(i, TAKEN_ID);
		claim->models[claim->taken] = benchorch_column_uuid(i, TAKEN_MODEL);
		claim->taken++;
	}
	if (found > 0)
		put_taken(claim, rows, found);
	if (waits)
		return true;

	/* the chunk is gone, and whoever holds the others may roll back: they are hinted at anew */
	values[2] = Int32GetDatum(lane_id);
	found = benchorch_run(&select_held, values, lane_id ? NULL : "  n");
	for (uint64 i = 0; i < found; i++)
		sorted_ids[i] = benchorch_column_int64(i, 1);
	if (found > 0)
		benchorch_feed_ids(sorted_ids, found, NULL);
	return found == 0;
}
