/*
 * Where PostgreSQL 14 to 18 differ: one wrapper with one signature for each.
 */
#ifndef BENCHORCH_COMPAT_H
#define BENCHORCH_COMPAT_H

#include "access/genam.h"
#include "access/tableam.h"
#include "executor/executor.h"

/* 18 can count what a scan does. */
static inline IndexScanDesc
compat_index_beginscan(Relation heap, Relation index, Snapshot snapshot, int nkeys)
{
#if PG_VERSION_NUM >= 180000
	return index_beginscan(heap, index, snapshot, NULL, nkeys, 0);
#else
	return index_beginscan(heap, index, snapshot, nkeys, 0);
#endif
}

/* 16 tells which indexes need an entry; *new_entries: whether any does.  waits: for who is changing the row. */
static inline TM_Result
compat_tuple_update(Relation rel, ItemPointer tid, TupleTableSlot *slot, CommandId cid, Snapshot snapshot, bool waits,
					TM_FailureData *failure, LockTupleMode *mode, bool *new_entries)
{
#if PG_VERSION_NUM >= 160000
	TU_UpdateIndexes which;
	TM_Result	result = table_tuple_update(rel, tid, slot, cid, snapshot, InvalidSnapshot, waits, failure, mode,
										  &which);

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
#if PG_VERSION_NUM >= 160000
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

#endif							/* BENCHORCH_COMPAT_H */
