/*
 * Counters, and the end of a model: how many configs of a model have which status.
 *
 * Every transition appends what it changed, one row a call and model, so that
 * no two sessions ever wait for one counter; the sweep folds the rows into
 * one.  The sum of a model's rows is its counts, in every snapshot, because
 * they commit with what they count.
 */
#include "benchorch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/array.h"

PG_FUNCTION_INFO_V1(benchorch_mark_endgame_sql);
PG_FUNCTION_INFO_V1(benchorch_forget_marks);

/* Appends changes of a model's counts, one number a status. */
void
benchorch_count(const pg_uuid_t *model_version_id, const int64 *changes)
{
	Datum		values[1 + CONFIG_STATUSES];
	bool		any = false;

	values[0] = UUIDPGetDatum(model_version_id);
	for (int status = 0; status < CONFIG_STATUSES; status++)
	{
		values[1 + status] = Int32GetDatum((int32) changes[status]);
		any |= changes[status] != 0;
	}
	if (any)
		benchorch_append_row("progress_deltas", values);
}

/* n configs of a model went from one status to another. */
void
benchorch_count_move(const pg_uuid_t *model_version_id, ConfigStatus from, ConfigStatus to, int64 n)
{
	int64		changes[CONFIG_STATUSES] = {0};

	changes[from] -= n;
	changes[to] += n;
	benchorch_count(model_version_id, changes);
}

static Statement insert_deltas = {
	.sql = "INSERT INTO benchorch.progress_deltas SELECT m, n * $3, n * $4, n * $5, n * $6, n * $7, n * $8"
	" FROM ROWS FROM (unnest($1), unnest($2)) AS moved (m, n)",
	.nargs = 8,
	.types = {UUIDARRAYOID, INT4ARRAYOID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID}
};

static int
by_uuid(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

static Datum
uuid_array(const pg_uuid_t *uuids, int n)
{
	Datum	   *elements = palloc(sizeof(Datum) * n);

	for (int i = 0; i < n; i++)
		elements[i] = UUIDPGetDatum(&uuids[i]);
	return PointerGetDatum(construct_array(elements, n, UUIDOID, UUID_LEN, false, TYPALIGN_CHAR));
}

int
benchorch_count_moves(pg_uuid_t *models, int n, ConfigStatus from, ConfigStatus to)
{
	int32	   *counts = palloc(sizeof(int32) * Max(n, 1));
	Datum		values[2 + CONFIG_STATUSES];
	int			unique = 0;

	qsort(models, n, sizeof(pg_uuid_t), by_uuid);
	for (int i = 0; i < n; i++)
	{
		if (unique > 0 && by_uuid(&models[i], &models[unique - 1]) == 0)
		{
			counts[unique - 1]++;
			continue;
		}
		counts[unique] = 1;
		models[unique++] = models[i];
	}
	if (unique == 1)
		benchorch_count_move(&models[0], from, to, counts[0]);
	else if (unique > 1)
	{
		values[0] = uuid_array(models, unique);
		values[1] = benchorch_int32_array(counts, unique);
		for (int status = 0; status < CONFIG_STATUSES; status++)
			values[2 + status] = Int32GetDatum((status == to) - (status == from));
		benchorch_run(&insert_deltas, values, NULL);
	}
	return unique;
}

/* --------------------------------------------------------- the end of a model */

/* Of these models those of which none of the first hints is pending: mostly there is one, no need to look further. */
#define FIRST_PENDING(chunks) \
	"(SELECT 1 FROM (SELECT k.ids[k.next] AS id FROM benchorch." chunks " k WHERE k.model_version_id = m.id" \
	"  ORDER BY k.model_version_id, k.priority, k.id LIMIT 8) AS head" \
	" JOIN benchorch.benchmark_configs c ON c.id = head.id AND c.status = 'pending' LIMIT 1)"

static Statement perhaps_ending = {
	.sql = "SELECT m.id FROM unnest($1) AS m (id)"
	" WHERE " FIRST_PENDING("lane_chunks") " IS NULL AND " FIRST_PENDING("priority_chunks") " IS NULL",
	.nargs = 1,
	.types = {UUIDARRAYOID}
};

static Statement next_chunk = {
	.sql = "SELECT priority, id, EXISTS (SELECT FROM benchorch.benchmark_configs c"
	"  WHERE c.id = ANY (k.ids[k.next:]) AND c.status = 'pending') FROM benchorch.lane_chunks k"
	" WHERE model_version_id = $1 AND (priority, id) > ($2, $3) ORDER BY priority, id LIMIT 1",
	.nargs = 3,
	.types = {UUIDOID, INT4OID, INT8OID}
};

static Statement any_delayed = {
	.sql = "SELECT 1 FROM benchorch.delayed_configs WHERE model_version_id = $1 LIMIT 1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement delete_spent_chunk = {
	.sql = "DELETE FROM benchorch.lane_chunks WHERE id IN"
	" (SELECT id FROM benchorch.lane_chunks WHERE id = $1 FOR UPDATE SKIP LOCKED)",
	.nargs = 1,
	.types = {INT8OID}
};

/*
 * The end of a model.  Its last settlers cannot see each other's uncommitted
 * work, so none of them can know that it is the last.  Therefore they only
 * mark the model (endgames), and whoever comes later looks at the counts,
 * which are right in the very commit of the last of them:
 *
 *   - who settles what was pending marks it always;
 *   - who settles what was running marks it unless something is pending still:
 *     whatever is pending then is settled by somebody who marks or looks later.
 *
 * A mark is a row of its own each time, never one that another session has
 * written: finalize_due() takes marks away where something is pending, and it
 * sees only those that were there when it counted.
 */

/*
 * The last mark of this session: once a (sub)transaction is enough, since a
 * mark commits with all that it stands for.  Who takes marks away in the same
 * transaction forgets it (forget_marks).
 */
static FullTransactionId marked_in;
static SubTransactionId marked_in_part;
static pg_uuid_t marked;

Datum
benchorch_forget_marks(PG_FUNCTION_ARGS)
{
	marked_in = InvalidFullTransactionId;
	PG_RETURN_VOID();
}

void
benchorch_mark_endgame(const pg_uuid_t *model_version_id)
{
	Datum		values[1] = {UUIDPGetDatum(model_version_id)};

	if (FullTransactionIdEquals(marked_in, GetTopFullTransactionId()) &&
		marked_in_part == GetCurrentSubTransactionId() &&
		memcmp(marked.data, model_version_id->data, UUID_LEN) == 0)
		return;
	benchorch_append_row("endgames", values);
	marked_in = GetTopFullTransactionId();
	marked_in_part = GetCurrentSubTransactionId();
	marked = *model_version_id;
}

/* Is anything of the model pending still?  Spent chunks are removed on the way. */
static void
check_endgame(const pg_uuid_t *model_version_id)
{
	Datum		model = UUIDPGetDatum(model_version_id);
	int32		priority = PG_INT32_MIN;
	int64		id = 0;

	for (;;)
	{
		Datum		values[3] = {model, Int32GetDatum(priority), Int64GetDatum(id)};
		Datum		chunk[1];
		bool		isnull;

		if (benchorch_run(&next_chunk, values, NULL) == 0)
			break;
		priority = benchorch_column_int32(0, 1);
		id = benchorch_column_int64(0, 2);
		if (DatumGetBool(benchorch_column(0, 3, &isnull)))
			return;
		chunk[0] = Int64GetDatum(id);
		benchorch_run(&delete_spent_chunk, chunk, NULL);
		CHECK_FOR_INTERRUPTS();
	}
	if (benchorch_run(&any_delayed, &model, NULL) == 0)
		benchorch_mark_endgame(model_version_id);
}

void
benchorch_check_endgames(const pg_uuid_t *models, int n)
{
	Datum		values[1];
	uint64		ending;
	pg_uuid_t  *perhaps;

	if (n == 1)
	{
		check_endgame(&models[0]);
		return;
	}
	values[0] = uuid_array(models, n);
	ending = benchorch_run(&perhaps_ending, values, NULL);
	perhaps = palloc(sizeof(pg_uuid_t) * Max(ending, 1));
	for (uint64 i = 0; i < ending; i++)
		perhaps[i] = benchorch_column_uuid(i, 1);
	for (uint64 i = 0; i < ending; i++)
		check_endgame(&perhaps[i]);
}

Datum
benchorch_mark_endgame_sql(PG_FUNCTION_ARGS)
{
	SPI_connect();
	benchorch_mark_endgame(PG_GETARG_UUID_P(0));
	SPI_finish();
	PG_RETURN_VOID();
}

static Statement any_endgame = {
	.sql = "SELECT 1 FROM benchorch.endgames LIMIT 1",
	.nargs = 0
};

static Statement finalize_due = {
	.sql = "SELECT benchorch.finalize_due()",
	.nargs = 0
};

/* Ranks what has come to its end; nearly always there is nothing. */
void
benchorch_finalize_due(void)
{
	if (benchorch_run(&any_endgame, NULL, NULL) > 0)
		benchorch_run(&finalize_due, NULL, NULL);
}
