/*
 * Claims without a worker: what is most urgent, of any hardware.
 *
 * Priority chunks are taken in order, SKIP LOCKED.  A chunk is locked only when
 * its turn comes, so a claim holds no more of them than it uses.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"

static Statement priority_chunks = {
	.sql = "SELECT id, priority, next, ids FROM benchorch.priority_chunks c"
	" WHERE priority <= $1"
	" AND model_version_id <> ALL (ARRAY(SELECT m.id FROM benchorch.model_versions m WHERE m.paused))"
	" ORDER BY priority, id FOR UPDATE OF c SKIP LOCKED",
	.nargs = 1,
	.types = {INT4OID}
};

static Statement model_priority_chunks = {
	.sql = "SELECT id, priority, next, ids FROM benchorch.priority_chunks c"
	" WHERE priority <= $1 AND model_version_id = $2"
	" AND model_version_id <> ALL (ARRAY(SELECT m.id FROM benchorch.model_versions m WHERE m.paused))"
	" ORDER BY priority, id FOR UPDATE OF c SKIP LOCKED",
	.nargs = 2,
	.types = {INT4OID, UUIDOID}
};

static Statement any_priority_chunk = {
	.sql = "SELECT 1 FROM benchorch.priority_chunks c WHERE priority <= $1 AND ($2 IS NULL OR model_version_id = $2)"
	" AND model_version_id <> ALL (ARRAY(SELECT m.id FROM benchorch.model_versions m WHERE m.paused)) LIMIT 1",
	.nargs = 2,
	.types = {INT4OID, UUIDOID}
};

static Statement delete_priority_chunks = {
	.sql = "DELETE FROM benchorch.priority_chunks WHERE id = ANY ($1)",
	.nargs = 1,
	.types = {INT8ARRAYOID}
};

static Statement advance_priority_chunk = {
	.sql = "UPDATE benchorch.priority_chunks SET next = $2 WHERE id = $1",
	.nargs = 2,
	.types = {INT8OID, INT4OID}
};

/* One pass over the chunks that nobody else holds. */
void
benchorch_claim_most_urgent(Claim *claim)
{
	Datum		values[2] = {Int32GetDatum(claim->threshold), UUIDPGetDatum(&claim->model_version_id)};
	Portal		portal = benchorch_open(claim->has_model ? &model_priority_chunks : &priority_chunks, values, NULL);
	bool		more = true;

	while (more && claim->taken < claim->wanted)
	{
		int64		ids[BENCHORCH_MAX_BATCH];
		int32		priorities[BENCHORCH_MAX_BATCH];
		int64	   *spent = NULL;
		int			nspent = 0;
		int			n = 0;
		int			need = claim->wanted - claim->taken;

		/* collect as many ids as are needed ... */
		while (n < need)
		{
			int64		chunk_id;
			int32		priority;
			int			next;
			int64	   *chunk_ids;
			int			length;
			bool		isnull;

			SPI_cursor_fetch(portal, true, 1);
			if (SPI_processed == 0)
			{
				more = false;
				break;
			}
			chunk_id = benchorch_column_int64(0, 1);
			priority = benchorch_column_int32(0, 2);
			next = benchorch_column_int32(0, 3) - 1;
			chunk_ids = benchorch_array_int64(benchorch_column(0, 4, &isnull), &length);
			while (next < length && n < need)
			{
				ids[n] = chunk_ids[next++];
				priorities[n++] = priority;
			}
			if (next == length)
			{
				spent = spent ? repalloc(spent, sizeof(int64) * (nspent + 1)) : palloc(sizeof(int64));
				spent[nspent++] = chunk_id;
			}
			else
			{
				Datum		advance[2] = {Int64GetDatum(chunk_id), Int32GetDatum(next + 1)};

				benchorch_run(&advance_priority_chunk, advance, NULL);
				/* the portal would show the old row again only to another fetch: there is none */
			}
		}
		if (nspent > 0)
		{
			Datum		chunk[1] = {benchorch_int64_array(spent, nspent)};

			benchorch_run(&delete_priority_chunks, chunk, NULL);
		}
		/* ... and take what of them is pending; stale ones call for another round */
		if (n > 0 && !benchorch_take(claim, ids, priorities, n, 0))
			break;
		if (n == need && claim->taken < claim->wanted && more)
		{
			/* the last chunk may have more than was needed then: start over with what is left */
			SPI_cursor_close(portal);
			portal = benchorch_open(claim->has_model ? &model_priority_chunks : &priority_chunks, values, NULL);
		}
		CHECK_FOR_INTERRUPTS();
	}
	SPI_cursor_close(portal);
}

bool
benchorch_urgent_is_left(const Claim *claim)
{
	Datum		values[2] = {Int32GetDatum(claim->threshold), UUIDPGetDatum(&claim->model_version_id)};

	return benchorch_run(&any_priority_chunk, values, claim->has_model ? NULL : " n") > 0;
}
