/*
 * What a session may go on believing, until it hears otherwise.
 *
 * Sessions remember what a claim or a completion would else look for each
 * time: where the chunks begin, their own chunk, when the next retry is due,
 * that no model is marked, that a worker has not failed.  Each belongs to a
 * matter, and is believed for as long as the matter's generation lasts.
 *
 * Nobody who looks may miss what has come in since.  Who changes a matter
 * tells all sessions with the commit, by a message about a relation that
 * seldom changes otherwise; and what this session has taken away itself comes
 * back where it rolls back.  After either a new generation begins.
 *
 * Why where the chunks begin: one that is used up is passed by in every scan
 * of its index until a vacuum removes it, and while somebody holds an old
 * snapshot none does.  So who scans chunks in order remembers the first that
 * was there (a place in the index), and begins with it the next time: all
 * before it are gone for good.  A chunk that is only advanced moves towards
 * the end, or stays.
 */
#include "benchorch.h"
#include "table.h"

#include "access/xact.h"
#include "utils/inval.h"

/* What messages of each matter are about. */
static const char *const names[MATTERS] = {
	[READINESS] = "priority_chunks_id_seq",
	[MARKS] = "endgames",
	[FAILURES] = "worker_failures"
};

static Oid	relations[MATTERS];
static uint64 generations[MATTERS];

static void
end_all(void)
{
	for (Matter matter = 0; matter < MATTERS; matter++)
		generations[matter]++;
}

static void
end_at_message(Datum unused, Oid relation)
{
	for (Matter matter = 0; matter < MATTERS; matter++)
		generations[matter] += relation == relations[matter] || relation == InvalidOid;
}

/* What is only prepared may be rolled back by another session. */
static void
end_at_abort(XactEvent event, void *unused)
{
	if (event == XACT_EVENT_ABORT || event == XACT_EVENT_PARALLEL_ABORT || event == XACT_EVENT_PREPARE)
		end_all();
}

static void
end_at_subabort(SubXactEvent event, SubTransactionId child, SubTransactionId parent, void *unused)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_all();
}

uint64
benchorch_generation(Matter matter)
{
	static bool registered = false;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(end_at_message, (Datum) 0);
		RegisterXactCallback(end_at_abort, NULL);
		RegisterSubXactCallback(end_at_subabort, NULL);
		end_all();				/* nothing is believed in generation 0 */
		registered = true;
	}
	relations[matter] = benchorch_oid(names[matter]);
	CommandCounterIncrement();	/* messages of this transaction's own */
	AcceptInvalidationMessages();
	/* a snapshot of the transaction's begin may not show what has come in since: a generation that is over at once */
	if (IsolationUsesXactSnapshot())
		generations[matter] += 2;
	return IsolationUsesXactSnapshot() ? generations[matter] - 1 : generations[matter];
}

void
benchorch_tell(Matter matter)
{
	CacheInvalidateRelcacheByRelid(benchorch_oid(names[matter]));
}
