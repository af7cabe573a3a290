/*
 * Rows of our small tables, read and changed without the executor: setting it
 * up costs more than the row does.  Chunks, claims, leases, counters and marks
 * are what every claim and completion touches, so they go this way; whatever
 * is asked seldom goes by statement (plans.c).
 *
 * Only for tables that are the extension's own and nobody else's business: no
 * defaults, constraints, triggers or row security are looked at.
 *
 * The rules are those of statements.  A scan sees what its snapshot shows, one
 * that is taken when it begins and knows what this transaction has done so
 * far.  A row is changed in the version that the scan has found: where somebody
 * has changed it since (TM_Updated), its newest version can be locked and is
 * to be looked at anew; where somebody is at it, nobody waits (TM_BeingModified)
 * unless the row is locked first.  Above READ COMMITTED a row that has been
 * changed since is an error 40001.
 */
#include "benchorch.h"
#include "table.h"

#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/procarray.h"
#include "storage/smgr.h"
#include "tcop/utility.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/syscache.h"

struct Table
{
	Relation	rel;
	const char *index_name;		/* NULL: rows come one after the other */
	Relation	index;			/* NULL until a scan needs it */
	bool		wants_entries;	/* of it */
	IndexScanDesc by_index;		/* of these two the one that is under way */
	TableScanDesc by_table;
	Snapshot	snapshot;		/* of the scan */
	TupleTableSlot *row;		/* what was found */
	bool		locked;			/* by us, so that it can be changed without skipping */
	bool		written;		/* anything */
	TupleTableSlot *new;		/* NULL until a row is written */
	EState	   *estate;			/* these two: NULL until an index needs an entry */
	ResultRelInfo *info;
};

/* The relations of ours that this session has looked for, until any relation changes its name. */
static struct
{
	const char *name;
	Oid			oid;
} known[64];
static int	nknown = 0;

static void
forget_known(Datum unused, int cache, uint32 hash)
{
	nknown = 0;
}

Oid
benchorch_oid(const char *name)
{
	static bool registered = false;
	Oid			oid;

	if (!registered)
		CacheRegisterSyscacheCallback(RELNAMENSP, forget_known, (Datum) 0);
	registered = true;
	for (int i = 0; i < nknown; i++)
		if (known[i].name == name)
			return known[i].oid;
	oid = get_relname_relid(name, get_namespace_oid("benchorch", false));
	if (OidIsValid(oid) && nknown < lengthof(known))
	{
		known[nknown].name = name;
		known[nknown++].oid = oid;
	}
	return oid;
}

Table *
benchorch_open_table(const char *name, const char *index, LOCKMODE mode)
{
	Table	   *table = palloc0(sizeof(Table));

	table->rel = table_open(benchorch_oid(name), mode);
	table->index_name = index;
	table->row = table_slot_create(table->rel, NULL);
	return table;
}

bool
benchorch_is_plain(const Table *table)
{
	const TupleConstr *constraints = RelationGetDescr(table->rel)->constr;

	return table->rel->trigdesc == NULL && table->rel->rd_rules == NULL &&
		!(constraints && (constraints->num_check > 0 || constraints->has_generated_stored));
}

int
benchorch_columns(const Table *table)
{
	return RelationGetDescr(table->rel)->natts;
}

bool
benchorch_has_block(Relation rel, BlockNumber block)
{
	BlockNumber seen = RelationGetSmgr(rel)->smgr_cached_nblocks[MAIN_FORKNUM];

	return (seen != InvalidBlockNumber && block < seen) || block < RelationGetNumberOfBlocks(rel);
}

static void
end_scan(Table *table)
{
	ExecClearTuple(table->row);
	if (table->by_index)
		index_endscan(table->by_index);
	if (table->by_table)
		table_endscan(table->by_table);
	if (table->snapshot)
		UnregisterSnapshot(table->snapshot);
	table->by_index = NULL;
	table->by_table = NULL;
	table->snapshot = NULL;
}

void
benchorch_close_table(Table *table)
{
	end_scan(table);
	ExecDropSingleTupleTableSlot(table->row);
	if (table->new)
		ExecDropSingleTupleTableSlot(table->new);
	if (table->estate)
	{
		ExecCloseIndices(table->info);
		FreeExecutorState(table->estate);
	}
	if (table->written)
		CommandCounterIncrement();
	if (table->index)
		index_close(table->index, NoLock);
	table_close(table->rel, NoLock);
	pfree(table);
}

/* ------------------------------------------------------------------- reading */

static void
begin_scan(Table *table)
{
	end_scan(table);
	CommandCounterIncrement();
	table->snapshot = RegisterSnapshot(GetTransactionSnapshot());
	table->locked = false;
}

static void
scan(Table *table, ScanKeyData *keys, int n)
{
	if (table->index_name)
	{
		if (table->index == NULL)
			table->index = index_open(benchorch_oid(table->index_name), AccessShareLock);
		table->by_index = compat_index_beginscan(table->rel, table->index, table->snapshot, n);
		table->by_index->xs_want_itup = table->wants_entries;
		index_rescan(table->by_index, keys, n, NULL, 0);
	}
	else
		table->by_table = compat_table_beginscan(table->rel, table->snapshot, n, keys);
}

void
benchorch_scan(Table *table, ScanKeyData *keys, int n)
{
	begin_scan(table);
	scan(table, keys, n);
}

void
benchorch_scan_on(Table *table, ScanKeyData *keys, int n)
{
	ExecClearTuple(table->row);
	index_endscan(table->by_index);
	scan(table, keys, n);
}

bool
benchorch_next_row(Table *table)
{
	table->locked = false;
	if (table->by_index)
		return index_getnext_slot(table->by_index, ForwardScanDirection, table->row);
	return table->by_table && table_scan_getnextslot(table->by_table, ForwardScanDirection, table->row);
}

void
benchorch_want_entries(Table *table)
{
	table->wants_entries = true;
}

bool
benchorch_next_entry(Table *table, Datum *columns, ItemPointer address)
{
	ItemPointer tid = index_getnext_tid(table->by_index, ForwardScanDirection);

	if (tid == NULL)
		return false;
	*address = *tid;
	for (int i = 0; i < IndexRelationGetNumberOfKeyAttributes(table->index); i++)
	{
		bool		isnull;

		columns[i] = index_getattr(table->by_index->xs_itup, i + 1, RelationGetDescr(table->index), &isnull);
	}
	return true;
}

bool
benchorch_find_row(Table *table, Datum key, RegProcedure equal)
{
	ScanKeyData scan_key;

	ScanKeyInit(&scan_key, 1, BTEqualStrategyNumber, equal, key);
	benchorch_scan(table, &scan_key, 1);
	return benchorch_next_row(table);
}

bool
benchorch_find_row_at(Table *table, ItemPointer address, int column, Datum key, PGFunction equal)
{
	bool		found;

	begin_scan(table);
	if (!ItemPointerIsValid(address) || !TTS_IS_BUFFERTUPLE(table->row) ||
		!benchorch_has_block(table->rel, ItemPointerGetBlockNumber(address)))
		return false;
	found = table_tuple_fetch_row_version(table->rel, address, table->snapshot, table->row);
	if (found)
	{
		Buffer		page = ((BufferHeapTupleTableSlot *) table->row)->buffer;

		if (PageGetHeapFreeSpace(BufferGetPage(page)) < ALMOST_FULL)
		{
			/* rows move within it */
			IncrBufferRefCount(page);
			ExecClearTuple(table->row);
			compat_prune(table->rel, page);
			ReleaseBuffer(page);
			found = table_tuple_fetch_row_version(table->rel, address, table->snapshot, table->row);
		}
	}
	return found && DatumGetBool(DirectFunctionCall2(equal, benchorch_row_datum(table, column), key));
}

bool
benchorch_find_last_row(Table *table, Datum key, RegProcedure equal)
{
	ScanKeyData scan_key;

	ScanKeyInit(&scan_key, 1, BTEqualStrategyNumber, equal, key);
	benchorch_scan(table, &scan_key, 1);
	return index_getnext_slot(table->by_index, BackwardScanDirection, table->row);
}

bool
benchorch_has_row(const char *name, const char *index, Datum key, RegProcedure equal)
{
	Table	   *table = benchorch_open_table(name, index, AccessShareLock);
	bool		found = benchorch_find_row(table, key, equal);

	benchorch_close_table(table);
	return found;
}

Datum
benchorch_row_value(Table *table, int column, bool *isnull)
{
	return slot_getattr(table->row, column, isnull);
}

/* For columns that are never NULL. */
Datum
benchorch_row_datum(Table *table, int column)
{
	bool		isnull;
	Datum		value = slot_getattr(table->row, column, &isnull);

	if (isnull)
		elog(ERROR, "column %d of benchorch.%s is NULL", column, RelationGetRelationName(table->rel));
	return value;
}

ItemPointerData
benchorch_written_address(const Table *table)
{
	return table->new->tts_tid;
}

ItemPointerData
benchorch_row_address(const Table *table)
{
	return table->row->tts_tid;
}

void
benchorch_go_to_row(Table *table, ItemPointer address)
{
	table->locked = false;
	if (!table_tuple_fetch_row_version(table->rel, address, table->snapshot, table->row))
		elog(ERROR, "a row of benchorch.%s is gone", RelationGetRelationName(table->rel));
}

/* ------------------------------------------------------------------ changing */

void
benchorch_refuse_above_read_committed(void)
{
	if (IsolationUsesXactSnapshot())
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("could not serialize access due to concurrent update")));
}

bool
benchorch_lock_newest(Relation rel, TupleTableSlot *slot, Snapshot snapshot, CommandId command, bool waits, bool *held)
{
	ItemPointerData tid = slot->tts_tid;
	TM_FailureData failure;
	TM_Result	result;

	ExecClearTuple(slot);
	result = table_tuple_lock(rel, &tid, snapshot, slot, command, LockTupleNoKeyExclusive,
							  waits ? LockWaitBlock : LockWaitSkip, TUPLE_LOCK_FLAG_FIND_LAST_VERSION, &failure);
	switch (result)
	{
		case TM_Ok:
			if (failure.traversed)
				benchorch_refuse_above_read_committed();
			return true;
		case TM_WouldBlock:
			*held = true;
			return false;
		case TM_Deleted:
			benchorch_refuse_above_read_committed();
			return false;
		case TM_SelfModified:
			return false;
		default:
			elog(ERROR, "unexpected result of locking a row: %d", result);
	}
}

bool
benchorch_is_held(Table *table)
{
	HeapTupleHeader header = ExecFetchSlotHeapTuple(table->row, false, NULL)->t_data;
	TransactionId xmax = HeapTupleHeaderGetRawXmax(header);

	/* several lockers are a matter for who tries */
	if (header->t_infomask & (HEAP_XMAX_INVALID | HEAP_XMAX_IS_MULTI))
		return false;
	return !TransactionIdIsCurrentTransactionId(xmax) && TransactionIdIsInProgress(xmax);
}

bool
benchorch_lock_row(Table *table, bool waits)
{
	bool		held = false;

	PreventCommandIfReadOnly("SELECT FOR UPDATE");
	table->locked = benchorch_lock_newest(table->rel, table->row, table->snapshot, GetCurrentCommandId(true), waits,
										  &held);
	return table->locked;
}

/* The new row: its values are to be filled in and stored. */
static void
begin_row(Table *table)
{
	table->written = true;
	if (table->new)
		ExecClearTuple(table->new);
	else
		table->new = MakeSingleTupleTableSlot(RelationGetDescr(table->rel), &TTSOpsVirtual);
}

static void
insert_index_entries(Table *table)
{
	if (table->estate == NULL)
	{
		table->estate = CreateExecutorState();
		table->info = makeNode(ResultRelInfo);
		InitResultRelInfo(table->info, table->rel, 0, NULL, 0);
		ExecOpenIndices(table->info, false);
	}
	if (table->info->ri_NumIndices > 0)
		compat_insert_index_entries(table->info, table->new, table->estate);
	ResetPerTupleExprContext(table->estate);
}

/* Somebody has changed the row since the snapshot. */
static TM_Result
changed_since(TM_Result result)
{
	if (result == TM_Updated || result == TM_Deleted)
		benchorch_refuse_above_read_committed();
	return result;
}

TM_Result
benchorch_delete_row(Table *table)
{
	TM_FailureData failure;

	PreventCommandIfReadOnly("DELETE");
	table->written = true;
	return changed_since(compat_tuple_delete(table->rel, &table->row->tts_tid, GetCurrentCommandId(true),
											 table->snapshot, table->locked, &failure));
}

TM_Result
benchorch_update_row(Table *table, const int *columns, const Datum *values, int n)
{
	int			natts = RelationGetDescr(table->rel)->natts;
	TM_FailureData failure;
	LockTupleMode mode;
	bool		new_entries;
	TM_Result	result;

	PreventCommandIfReadOnly("UPDATE");
	begin_row(table);
	slot_getallattrs(table->row);
	memcpy(table->new->tts_values, table->row->tts_values, sizeof(Datum) * natts);
	memcpy(table->new->tts_isnull, table->row->tts_isnull, sizeof(bool) * natts);
	for (int i = 0; i < n; i++)
	{
		table->new->tts_values[columns[i] - 1] = values[i];
		table->new->tts_isnull[columns[i] - 1] = false;
	}
	ExecStoreVirtualTuple(table->new);
	result = compat_tuple_update(table->rel, &table->row->tts_tid, table->new, GetCurrentCommandId(true),
								 table->snapshot,
								 table->locked, &failure, &mode, &new_entries);
	if (result == TM_Ok && new_entries)
		insert_index_entries(table);
	return changed_since(result);
}

bool
benchorch_is_free_now(Table *table, TM_Result result)
{
	return (result == TM_Updated || result == TM_BeingModified) && benchorch_lock_row(table, false);
}

void
benchorch_add_row(Table *table, const Datum *values, const bool *nulls)
{
	int			natts = RelationGetDescr(table->rel)->natts;

	PreventCommandIfReadOnly("INSERT");
	begin_row(table);
	memcpy(table->new->tts_values, values, sizeof(Datum) * natts);
	if (nulls)
		memcpy(table->new->tts_isnull, nulls, sizeof(bool) * natts);
	else
		memset(table->new->tts_isnull, 0, sizeof(bool) * natts);
	ExecStoreVirtualTuple(table->new);
	simple_table_tuple_insert(table->rel, table->new);
	insert_index_entries(table);
}

void
benchorch_append_row(const char *name, const Datum *values)
{
	Table	   *table = benchorch_open_table(name, NULL, RowExclusiveLock);

	benchorch_add_row(table, values, NULL);
	benchorch_close_table(table);
}
