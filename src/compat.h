/*
 * Where PostgreSQL 15 to 19 differ: one wrapper with one signature for each.
 */
#ifndef BENCHORCH_COMPAT_H
#define BENCHORCH_COMPAT_H

#include "access/genam.h"
#include "access/heapam.h"
#include "access/tableam.h"
#include "executor/executor.h"
#include "storage/bufmgr.h"
#include "utils/jsonb.h"

/* 18 can count what a scan does, 19 has flags. */
static inline IndexScanDesc
compat_index_beginscan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 190000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0, SO_NONE);
#elif PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

static inline TableScanDesc
compat_table_beginscan(Relation rel, Snapshot snapshot, int nkeys, ScanKeyData *keys)
{
#if PG_VERSION_NUM >= 190000
	return table_beginscan(rel, snapshot, nkeys, keys, SO_NONE);
#else
	return table_beginscan(rel, snapshot, nkeys, keys);
#endif
}

/* Prunes a pinned page where that is worth it.  19 may pin a page of the visibility map for that, and leaves it so. */
static inline void
compat_prune(Relation rel, Buffer page)
{
#if PG_VERSION_NUM >= 190000
	Buffer		map = InvalidBuffer;

	heap_page_prune_opt(rel, page, &map, false);
	if (BufferIsValid(map))
		ReleaseBuffer(map);
#else
	heap_page_prune_opt(rel, page);
#endif
}

/* waits: for who is changing the row. */
static inline TM_Result
compat_tuple_delete(Relation rel, ItemPointer tid, CommandId cid, Snapshot snapshot, bool waits,
					TM_FailureData *failure)
{
#if PG_VERSION_NUM >= 190000
	return table_tuple_delete(rel, tid, cid, 0, snapshot, InvalidSnapshot, waits, failure);
#else
	return table_tuple_delete(rel, tid, cid, snapshot, InvalidSnapshot, waits, failure, false);
#endif
}

/* 16 tells which indexes need an entry; *new_entries: whether any does.  waits: for who is changing the row. */
static inline TM_Result
compat_tuple_update(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid, Snapshot snapshot, bool waits,
					TM_FailureData *failure, LockTupleMode *mode, bool *new_entries)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes which;
	TM_Result	result;

#if PG_VERSION_NUM >= 190000
	result = table_tuple_update(rel, tid, slot, cid, 0, snapshot, InvalidSnapshot, waits, failure, mode, &which);
#else
	result = table_tuple_update(rel, tid, slot, cid, snapshot, InvalidSnapshot, waits, failure, mode, &which);
#endif
	*new_entries = which != TU_None;
	return result;
#else
	return table_tuple_update(rel, tid, slot, cid, snapshot, InvalidSnapshot, waits, failure, mode, new_entries);
#endif
}

/* Entries of a new row version in every index. */
static inline void
compat_insert_index_entries(ResultRelInfo *info, TupleTableSlot *slot, EState *estate)
{
#if PG_VERSION_NUM >= 190000
	list_free(ExecInsertIndexTuples(info, estate, 0, slot, NIL, NULL));
#elif PG_VERSION_NUM >= 160000
	list_free(ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL, false));
#else
	list_free(ExecInsertIndexTuples(info, slot, estate, false, false, NULL, NIL));
#endif
}

/* 16 asks for the table, too. */
static inline IndexVacuumInfo
compat_index_vacuum_info(Relation heap, Relation index)
{
	IndexVacuumInfo info = {.index = index, .estimated_count = true, .message_level = DEBUG2};

	info.num_heap_tuples = heap->rd_rel->reltuples;
#if PG_VERSION_NUM >= 160000
	info.heaprel = heap;
#endif
	return info;
}

/* A jsonb in the making; before 19 the server has no name for it. */
#if PG_VERSION_NUM < 190000
typedef struct JsonbInState
{
	JsonbValue *result;			/* NULL until it is whole */
	JsonbParseState *parseState;
} JsonbInState;
#endif

static inline void
compat_push_jsonb(JsonbInState *state, JsonbIteratorToken token, JsonbValue *value)
{
#if PG_VERSION_NUM >= 190000
	pushJsonbValue(state, token, value);
#else
	state->result = pushJsonbValue(&state->parseState, token, value);
#endif
}

#endif							/* BENCHORCH_COMPAT_H */
