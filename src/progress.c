/*
 * Counters, and the end of a model: how many configs of a model have which status.
 *
 * Every transition adds what it changed to the session's own row of the model,
 * so that no two sessions ever wait for one counter; the sweep folds the rows
 * into one.  The sum of a model's rows is its counts, in every snapshot, because
 * they commit with what they count.
 */
#include "benchorch.h"
#include "table.h"

#include "access/xact.h"
#include "common/hashfn.h"
#include "miscadmin.h"
#include "utils/fmgrprotos.h"

PG_FUNCTION_INFO_V1(benchorch_mark_endgame_sql);

/* Where this session has left its row of a model. */
#define WRITTEN_ROWS 4096

static struct
{
	pg_uuid_t	model_version_id;
	ItemPointerData address;
} written_rows[WRITTEN_ROWS];

/*
 * Adds changes to the session's row of the model; false where there is none, or
 * somebody is at it.  Above READ COMMITTED a sweep that has folded it would be
 * an error, which a new row never is.
 */
static bool
add_to_row(Table *deltas, ItemPointer address, const pg_uuid_t *model_version_id, const int64 *changes)
{
	int			columns[CONFIG_STATUSES];
	Datum		values[CONFIG_STATUSES];

	if (IsolationUsesXactSnapshot() ||
		!benchorch_find_row_at(deltas, address, DELTA_MODEL, UUIDPGetDatum(model_version_id), uuid_eq))
		return false;
	for (int status = 0; status < CONFIG_STATUSES; status++)
	{
		int64		sum;

		columns[status] = DELTA_PENDING + status;
		sum = DatumGetInt32(benchorch_row_datum(deltas, columns[status])) + changes[status];
		if (sum < PG_INT32_MIN || sum > PG_INT32_MAX)
			return false;
		values[status] = Int32GetDatum((int32) sum);
	}
	return benchorch_update_row(deltas, columns, values, CONFIG_STATUSES) == TM_Ok;
}

static void
add_row(Table *deltas, const pg_uuid_t *model_version_id, const int64 *changes)
{
	Datum		values[1 + CONFIG_STATUSES];

	values[0] = UUIDPGetDatum(model_version_id);
	for (int status = 0; status < CONFIG_STATUSES; status++)
		values[1 + status] = Int32GetDatum((int32) changes[status]);
	benchorch_add_row(deltas, values, NULL);
}

static void
append_delta(Table *deltas, const pg_uuid_t *model_version_id, const int64 *changes)
{
	int			place = hash_bytes(model_version_id->data, UUID_LEN) % WRITTEN_ROWS;
	bool		known = memcmp(&written_rows[place].model_version_id, model_version_id, UUID_LEN) == 0;
	bool		any = false;

	for (int status = 0; status < CONFIG_STATUSES; status++)
		any |= changes[status] != 0;
	if (!any)
		return;
	if (!known || !add_to_row(deltas, &written_rows[place].address, model_version_id, changes))
		add_row(deltas, model_version_id, changes);
	written_rows[place].model_version_id = *model_version_id;
	written_rows[place].address = benchorch_written_address(deltas);
}

/* Counts changes of a model, one number a status. */
void
benchorch_count(const pg_uuid_t *model_version_id, const int64 *changes)
{
	Table	   *deltas = benchorch_open_table("progress_deltas", NULL, RowExclusiveLock);

	append_delta(deltas, model_version_id, changes);
	benchorch_close_table(deltas);
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

static int
by_uuid(const void *a, const void *b)
{
	return memcmp(a, b, UUID_LEN);
}

int
benchorch_count_moves(pg_uuid_t *models, int n, ConfigStatus from, ConfigStatus to)
{
	Table	   *deltas = benchorch_open_table("progress_deltas", NULL, RowExclusiveLock);
	int			unique = 0;
	int			end;

	qsort(models, n, sizeof(pg_uuid_t), by_uuid);
	for (int start = 0; start < n; start = end)
	{
		int64		changes[CONFIG_STATUSES] = {0};

		for (end = start + 1; end < n && by_uuid(&models[end], &models[start]) == 0; end++)
			;
		changes[from] -= end - start;
		changes[to] += end - start;
		append_delta(deltas, &models[start], changes);
		models[unique++] = models[start];
	}
	benchorch_close_table(deltas);
	return unique;
}

/* --------------------------------------------------------- the end of a model */

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
 * transaction forgets it.
 */
static FullTransactionId marked_in;
static SubTransactionId marked_in_part;
static pg_uuid_t marked;

void
benchorch_forget_mark(void)
{
	marked_in = InvalidFullTransactionId;
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
	benchorch_tell(MARKS);
	marked_in = GetTopFullTransactionId();
	marked_in_part = GetCurrentSubTransactionId();
	marked = *model_version_id;
}

/* Is any of these configs pending?  Sorts them. */
static bool
any_pending(int64 *ids, int n)
{
	ConfigTable *configs;
	bool		any = false;

	qsort(ids, n, sizeof(int64), benchorch_compare_int64);
	configs = benchorch_open_configs(ids, n);
	for (int i = 0; i < n && !any; i++)
		any = benchorch_is_pending(benchorch_read_next(configs));
	benchorch_close_configs(configs);
	return any;
}

/* The configs that a chunk has left; in a context of the caller's. */
static int64 *
left_in_chunk(Table *chunk, int next_column, int ids_column, int *n)
{
	int			next = DatumGetInt32(benchorch_row_datum(chunk, next_column)) - 1;
	int64	   *ids = benchorch_array_int64(benchorch_row_datum(chunk, ids_column), n);

	*n -= next;
	return ids + next;
}

bool
benchorch_is_marked(const pg_uuid_t *model_version_id)
{
	Table	   *marks = benchorch_open_table("endgames", NULL, AccessShareLock);
	bool		found = false;

	benchorch_scan(marks, NULL, 0);
	while (!found && benchorch_next_row(marks))
		found = memcmp(DatumGetUUIDP(benchorch_row_datum(marks, 1)), model_version_id, UUID_LEN) == 0;
	benchorch_close_table(marks);
	return found;
}

/* A model that may be near its end, and a config that may show that it is not. */
typedef struct Suspect
{
	int64		id;
	const pg_uuid_t *model_version_id;
} Suspect;

/* What this session has last seen pending of some models: mostly it is still. */
#define SEEN_PENDING 4096

typedef struct Seen
{
	int64		id;
	pg_uuid_t	model_version_id;
} Seen;

static Seen seen_pending[SEEN_PENDING];

static Seen *
seen_of(const pg_uuid_t *model_version_id)
{
	return &seen_pending[hash_bytes(model_version_id->data, UUID_LEN) % SEEN_PENDING];
}

/* Is the row of a pending config of the model? */
static bool
is_pending_of(const ConfigRow *row, const pg_uuid_t *model_version_id)
{
	return benchorch_is_pending(row) &&
		by_uuid(DatumGetUUIDP(row->values[row->columns.model_version_id]), model_version_id) == 0;
}

static bool
is_seen_pending(ConfigTable *configs, const pg_uuid_t *model_version_id)
{
	const Seen *seen = seen_of(model_version_id);

	return by_uuid(&seen->model_version_id, model_version_id) == 0 &&
		is_pending_of(benchorch_read_other(configs, seen->id), model_version_id);
}

/* The last config of the last chunk is the last one to be claimed. */
static bool
find_tail(Table *chunks, int next_column, int ids_column, Suspect *suspect)
{
	int			length;
	int64	   *ids;

	if (!benchorch_find_last_row(chunks, UUIDPGetDatum(suspect->model_version_id), F_UUID_EQ))
		return false;
	ids = left_in_chunk(chunks, next_column, ids_column, &length);
	suspect->id = ids[length - 1];
	return true;
}

/*
 * Takes off the list those of which the last config of the last chunk of one
 * kind is pending, and remembers it.  Returns how many are left.
 */
static int
clear_suspects(const char *table, const char *index, int next_column, int ids_column, Suspect *suspects, int n)
{
	Table	   *chunks = benchorch_open_table(table, index, AccessShareLock);
	Suspect    *with_config = palloc(sizeof(Suspect) * n);
	int64	   *ids = palloc(sizeof(int64) * n);
	ConfigTable *configs;
	int			nwith = 0;
	int			left = 0;

	for (int i = 0; i < n; i++)
		if (find_tail(chunks, next_column, ids_column, &suspects[i]))
			with_config[nwith++] = suspects[i];
		else
			suspects[left++] = suspects[i];
	benchorch_close_table(chunks);

	qsort(with_config, nwith, sizeof(Suspect), benchorch_compare_int64);
	for (int i = 0; i < nwith; i++)
		ids[i] = with_config[i].id;
	configs = benchorch_open_configs(ids, nwith);
	for (int i = 0; i < nwith; i++)
	{
		const pg_uuid_t *model = with_config[i].model_version_id;

		if (is_pending_of(benchorch_read_next(configs), model))
			*seen_of(model) = (Seen){with_config[i].id, *model};
		else
			suspects[left++] = with_config[i];
	}
	benchorch_close_configs(configs);
	return left;
}

/* Is anything of the model pending still?  Spent chunks are removed on the way. */
static bool
is_anything_pending(Table *chunks, const pg_uuid_t *model_version_id)
{
	for (bool more = benchorch_find_row(chunks, UUIDPGetDatum(model_version_id), F_UUID_EQ); more;
		 more = benchorch_next_row(chunks))
	{
		int			n;
		int64	   *ids = left_in_chunk(chunks, LANE_CHUNK_NEXT, LANE_CHUNK_IDS, &n);

		if (any_pending(ids, n))
			return true;
		benchorch_delete_row(chunks);
		CHECK_FOR_INTERRUPTS();
	}
	return benchorch_has_row("delayed_configs", "delayed_configs_model", UUIDPGetDatum(model_version_id), F_UUID_EQ);
}

void
benchorch_check_endgames(const pg_uuid_t *models, int nmodels, ConfigTable *configs, bool by_lane)
{
	Suspect    *suspects = palloc(sizeof(Suspect) * Max(nmodels, 1));
	int			n = 0;
	Table	   *chunks;

	for (int i = 0; i < nmodels; i++)
		if (configs == NULL || !is_seen_pending(configs, &models[i]))
			suspects[n++].model_version_id = &models[i];
	for (int i = 0; i < 2 && n > 0; i++)
		n = (i == 0) == by_lane
			? clear_suspects("lane_chunks", "lane_chunks_model", LANE_CHUNK_NEXT, LANE_CHUNK_IDS, suspects, n)
			: clear_suspects("priority_chunks", "priority_chunks_model", PRIORITY_CHUNK_NEXT, PRIORITY_CHUNK_IDS,
							 suspects, n);
	if (n == 0)
		return;
	chunks = benchorch_open_table("lane_chunks", "lane_chunks_model", RowExclusiveLock);
	for (int i = 0; i < n; i++)
		if (!is_anything_pending(chunks, suspects[i].model_version_id))
			benchorch_mark_endgame(suspects[i].model_version_id);
	benchorch_close_table(chunks);
}

Datum
benchorch_mark_endgame_sql(PG_FUNCTION_ARGS)
{
	SPI_connect();
	benchorch_mark_endgame(PG_GETARG_UUID_P(0));
	SPI_finish();
	PG_RETURN_VOID();
}
