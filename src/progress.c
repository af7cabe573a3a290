/*
 * Counters: how many configs of a model have which status.
 *
 * Every transition appends what it changed, one row a call and model, so that
 * no two sessions ever wait for one counter; the sweep folds the rows into
 * one.  The sum of a model's rows is its counts, in every snapshot, because
 * they commit with what they count.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"

static Statement insert_delta = {
	.sql = "INSERT INTO benchorch.progress_deltas VALUES ($1, $2, $3, $4, $5, $6, $7)",
	.nargs = 7,
	.types = {UUIDOID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID, INT4OID}
};

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
		benchorch_run(&insert_delta, values, NULL);
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
