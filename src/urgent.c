/*
 * Claims without a worker: what is most urgent, of any hardware.
 *
 * Priority chunks are taken in order, SKIP LOCKED.  A chunk is locked only when
 * its turn comes, so a claim holds no more of them than it uses.
 *
 * A chunk that is used up is passed by in every scan until a vacuum removes
 * it, and while somebody holds an old snapshot none does: so a session
 * remembers where the chunks begin.
 */
#include "benchorch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/inval.h"

/* ------------------------------------------------------ where the chunks begin */

/* Used-up chunks that are passed by again and again before the beginning is looked for anew. */
#define SPENT_BEFORE_LOOKING 16

/*
 * All chunks before (priority, id) are gone for good.  Nobody who looks may
 * miss one that has come in since, so who feeds chunks tells all sessions with
 * their commit, by a message about the sequence of their ids, which nothing
 * else changes (feed() in ready.c).  What this session has used up itself comes
 * back where it rolls back.
 */
static struct
{
	bool		known;
	int32		priority;
	int64		id;
	Oid			sequence;
	int			spent;			/* by this session since it has looked */
} beginning;

static Statement first_priority_chunk = {
	.sql = "SELECT priority, id FROM benchorch.priority_chunks WHERE (priority, id) >= ($1, $2)"
	" ORDER BY priority, id LIMIT 1",
	.nargs = 2,
	.types = {INT4OID, INT8OID}
};

static void
forget_at_message(Datum unused, Oid relation)
{
	if (relation == beginning.sequence || relation == InvalidOid)
		beginning.known = false;
}

static void
forget_at_abort(XactEvent event, void *unused)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT)
		beginning.known = false;
}

static void
forget_at_subabort(SubXactEvent event, SubTransactionId child, SubTransactionId parent, void *unused)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		beginning.known = false;
}

static void
find_beginning(void)
{
	static bool registered = false;
	Datum		values[2];

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget_at_message, (Datum) 0);
		RegisterXactCallback(forget_at_abort, NULL);
		RegisterSubXactCallback(forget_at_subabort, NULL);
		registered = true;
	}
	AcceptInvalidationMessages();
	if (IsolationUsesXactSnapshot())
		beginning.known = false;	/* what has come in since its snapshot it cannot see */
	if (beginning.known && beginning.spent < SPENT_BEFORE_LOOKING)
		return;
	if (!beginning.known)
	{
		beginning.priority = PG_INT32_MIN;
		beginning.id = 0;
		beginning.sequence = benchorch_chunk_sequence();
	}
	values[0] = Int32GetDatum(beginning.priority);
	values[1] = Int64GetDatum(beginning.id);
	beginning.known = !IsolationUsesXactSnapshot(); /* a message that comes from here on undoes it */
	beginning.spent = 0;
	if (benchorch_run(&first_priority_chunk, values, NULL) > 0)
	{
		beginning.priority = benchorch_column_int32(0, 1);
		beginning.id = benchorch_column_int64(0, 2);
	}
}

/* ------------------------------------------------------------------ the claim */

static Statement priority_chunks = {
	.sql = "SELECT id, priority, next, ids FROM benchorch.priority_chunks c"
	" WHERE (priority, id) >= ($2, $3) AND priority <= $1"
	" AND model_version_id <> ALL (ARRAY(SELECT m.id FROM benchorch.model_versions m WHERE m.paused))"
	" ORDER BY priority, id FOR UPDATE OF c SKIP LOCKED",
	.nargs = 3,
	.types = {INT4OID, INT4OID, INT8OID}
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

static Portal
open_chunks(const Claim *claim)
{
	Datum		of_model[2] = {Int32GetDatum(claim->threshold), UUIDPGetDatum(&claim->model_version_id)};
	Datum		of_all[3] = {Int32GetDatum(claim->threshold)};

	if (claim->has_model)
		return benchorch_open(&model_priority_chunks, of_model, NULL);
	find_beginning();
	of_all[1] = Int32GetDatum(beginning.priority);
	of_all[2] = Int64GetDatum(beginning.id);
	return benchorch_open(&priority_chunks, of_all, NULL);
}

/* One pass over the chunks that nobody else holds. */
void
benchorch_claim_most_urgent(Claim *claim)
{
	Portal		portal = open_chunks(claim);
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
			beginning.spent += nspent;
		}
		/* ... and take what of them is pending; stale ones call for another round */
		if (n > 0 && !benchorch_take(claim, ids, priorities, n, 0))
			break;
		if (n == need && claim->taken < claim->wanted && more)
		{
			/* the last chunk may have more than was needed then: start over with what is left */
			SPI_cursor_close(portal);
			portal = open_chunks(claim);
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
