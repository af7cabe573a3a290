/*
 * Where the chunks begin, as far as a session knows.
 *
 * A chunk that is used up is passed by in every scan of its index until a
 * vacuum removes it, and while somebody holds an old snapshot none does.  So
 * who scans chunks in order remembers the first that was there (a place in the
 * index), and begins with it the next time: all before it are gone for good.
 *
 * Nobody who looks may miss one that has come in before that since.  Who feeds
 * chunks, or delays a config, tells all sessions with the commit, by a message
 * about the sequence of the chunks' ids, which nothing else changes
 * (tell_readiness() in ready.c); and what this session has used up itself comes
 * back where it rolls back.  After either a new generation begins, and what was
 * seen in an older one is no longer believed: places, the session's own chunk,
 * when the next retry is due.  A chunk that is only advanced moves towards the
 * end, or stays.
 */
#include "benchorch.h"

#include "access/xact.h"
#include "utils/inval.h"

static uint64 generation = 1;
static Oid	sequence = InvalidOid;

static void
end_at_message(Datum unused, Oid relation)
{
	if (relation == sequence || relation == InvalidOid)
		generation++;
}

/* What is only prepared may be rolled back by another session. */
static void
end_at_abort(XactEvent event, void *unused)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT || event == XACT_EVENT_PREPARE)
		generation++;
}

static void
end_at_subabort(SubXactEvent event, SubTransactionId child, SubTransactionId parent, void *unused)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		generation++;
}

uint64
benchorch_chunk_generation(void)
{
	if (sequence == InvalidOid)
	{
		CacheRegisterRelcacheCallback(end_at_message, (Datum) 0);
		RegisterXactCallback(end_at_abort, NULL);
		RegisterSubXactCallback(end_at_subabort, NULL);
	}
	sequence = benchorch_chunk_sequence();
	CommandCounterIncrement();	/* messages of this transaction's own */
	AcceptInvalidationMessages();
	/* a snapshot of the transaction's begin may not show what has come in since: a generation that is over at once */
	if (IsolationUsesXactSnapshot())
		generation += 2;
	return IsolationUsesXactSnapshot() ? generation - 1 : generation;
}
