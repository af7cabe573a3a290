/*
 * Rows of the small tables that every completion looks at or appends to, read
 * and written without the executor: setting it up costs more than the row.
 *
 * Only for tables that are the extension's own, and nobody else's business:
 * no defaults, constraints, triggers or row security are looked at.
 */
#include "benchorch.h"

#include "access/relscan.h"
#include "access/table.h"
#include "catalog/namespace.h"
#include "compat.h"
#include "miscadmin.h"
#include "tcop/utility.h"
#include "utils/datum.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

static Relation
open_table(const char *name, LOCKMODE mode)
{
	return table_open(get_relname_relid(name, get_namespace_oid("benchorch", false)), mode);
}

bool
benchorch_read_row(const char *table, Datum key, RegProcedure equal, const int *columns, int n, Datum *values,
				   bool *nulls)
{
	Relation	rel = open_table(table, AccessShareLock);
	Relation	index;
	TupleTableSlot *slot = table_slot_create(rel, NULL);
	IndexScanDesc scan;
	ScanKeyData scan_key;
	bool		found;

	list_free(RelationGetIndexList(rel));	/* finds rd_pkindex */
	index = index_open(rel->rd_pkindex, AccessShareLock);
	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	scan = compat_index_beginscan(rel, index, GetActiveSnapshot(), 1);
	ScanKeyInit(&scan_key, 1, BTEqualStrategyNumber, equal, key);
	index_rescan(scan, &scan_key, 1, NULL, 0);
	found = index_getnext_slot(scan, ForwardScanDirection, slot);
	for (int i = 0; found && i < n; i++)
	{
		FormData_pg_attribute *attribute = TupleDescAttr(RelationGetDescr(rel), columns[i] - 1);

		values[i] = slot_getattr(slot, columns[i], &nulls[i]);
		if (!nulls[i])
			values[i] = datumCopy(values[i], attribute->attbyval, attribute->attlen);
	}
	index_endscan(scan);
	PopActiveSnapshot();
	ExecDropSingleTupleTableSlot(slot);
	index_close(index, NoLock);
	table_close(rel, NoLock);
	return found;
}

void
benchorch_append_row(const char *table, const Datum *values)
{
	Relation	rel = open_table(table, RowExclusiveLock);
	EState	   *estate = CreateExecutorState();
	ResultRelInfo *info = makeNode(ResultRelInfo);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	int			natts = RelationGetDescr(rel)->natts;

	PreventCommandIfReadOnly("INSERT");
	InitResultRelInfo(info, rel, 0, NULL, 0);
	ExecOpenIndices(info, false);
	memcpy(slot->tts_values, values, sizeof(Datum) * natts);
	memset(slot->tts_isnull, 0, sizeof(bool) * natts);
	ExecStoreVirtualTuple(slot);
	simple_table_tuple_insert(rel, slot);
	if (info->ri_NumIndices > 0)
		compat_insert_index_entries(info, slot, estate);
	ExecCloseIndices(info);
	ExecDropSingleTupleTableSlot(slot);
	FreeExecutorState(estate);
	table_close(rel, NoLock);
}
