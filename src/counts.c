/*
 * Reading the counts of a model: the sum of its progress_deltas.
 *
 * After tens of thousands of claims since the last sweep a model has as many
 * rows.  An index look-up and six aggregates cost 1,600 instructions a row;
 * the whole of a small table is read for a quarter of that.
 */
#include "benchorch.h"
#include "table.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "compat.h"
#include "funcapi.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(benchorch_model_counts);

/* Up to so many pages, 30,000 rows, all are read: 2 ms. */
#define SMALL_TABLE 256

/* A row of progress_deltas: no column is ever NULL, so it stands in memory as it does in C. */
typedef struct Delta
{
	pg_uuid_t	model_version_id;
	int32		counts[CONFIG_STATUSES];
} Delta;

#define MODEL_COLUMN 1

static void
add(TupleTableSlot *slot, const pg_uuid_t *model_version_id, int64 *counts)
{
	bool		copied;
	HeapTuple	tuple = ExecFetchSlotHeapTuple(slot, false, &copied);
	const Delta *delta = (const Delta *) GETSTRUCT(tuple);

	if (memcmp(&delta->model_version_id, model_version_id, UUID_LEN) == 0)
		for (int status = 0; status < CONFIG_STATUSES; status++)
			counts[status] += delta->counts[status];
	if (copied)
		heap_freetuple(tuple);
}

static void
add_from_table(Relation rel, TupleTableSlot *slot, const pg_uuid_t *model_version_id, int64 *counts)
{
	TableScanDesc scan = compat_table_beginscan(rel, GetActiveSnapshot(), 0, NULL);

	while (table_scan_getnextslot(scan, ForwardScanDirection, slot))
		add(slot, model_version_id, counts);
	table_endscan(scan);
}

static void
add_by_index(Relation rel, TupleTableSlot *slot, const pg_uuid_t *model_version_id, int64 *counts)
{
	Oid			oid = benchorch_oid("progress_deltas_model");
	Relation	index = index_open(oid, AccessShareLock);
	IndexScanDesc scan = compat_index_beginscan(rel, index, GetActiveSnapshot(), 1);
	ScanKeyData key;

	ScanKeyInit(&key, MODEL_COLUMN, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(model_version_id));
	index_rescan(scan, &key, 1, NULL, 0);
	while (index_getnext_slot(scan, ForwardScanDirection, slot))
		add(slot, model_version_id, counts);
	index_endscan(scan);
	index_close(index, AccessShareLock);
}

/* model_counts(model_version_id): its configs by status; 0 where it has none. */
Datum
benchorch_model_counts(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *model_version_id;
	Relation	rel;
	TupleTableSlot *slot;
	int64		counts[CONFIG_STATUSES] = {0};
	Datum		values[CONFIG_STATUSES];
	bool		nulls[CONFIG_STATUSES] = {false};
	TupleDesc	desc;

	benchorch_require(fcinfo, 0, "model_version_id");
	model_version_id = PG_GETARG_UUID_P(0);
	rel = table_open(benchorch_oid("progress_deltas"), AccessShareLock);
	slot = table_slot_create(rel, NULL);
	if (RelationGetNumberOfBlocks(rel) <= SMALL_TABLE)
		add_from_table(rel, slot, model_version_id, counts);
	else
		add_by_index(rel, slot, model_version_id, counts);
	ExecDropSingleTupleTableSlot(slot);
	table_close(rel, AccessShareLock);

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	for (int status = 0; status < CONFIG_STATUSES; status++)
		values[status] = Int64GetDatum(counts[status]);
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
