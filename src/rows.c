/*
 * Rows of benchmark_configs, changed by key.
 *
 * A claim and a completion change a few columns of up to hundreds of rows.
 * As SQL each row would pass a tree of executor nodes, check constraints on
 * columns that do not change and the trigger for typed statements; that costs
 * more than twice what the change itself does (docs/performance.md).  Here a
 * row is an index look-up and a heap-only update.
 *
 * The rules are those of an UPDATE: the row is found in the snapshot of the
 * call; where somebody has changed it since, its newest version is locked and
 * looked at again (an error 40001 above READ COMMITTED); who comes for many
 * rows comes in id order.  Where a user has put a trigger of their own on the
 * table, the row is locked and changed by an UPDATE statement, so that the
 * trigger fires.
 */
#include "benchorch.h"
#include "table.h"

#include "access/heapam.h"
#include "access/htup_details.h"
#include "access/relscan.h"
#include "access/table.h"
#include "access/tupmacs.h"
#include "access/xact.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/bufmgr.h"
#include "storage/lmgr.h"
#include "tcop/utility.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Ids that are not further apart are read by one scan of the index. */
#define NEAR 4

/*
 * Where this session has found configs: the address of each that the index
 * has.  A claim and its completions mostly come from one session, which then
 * need not ask the index twice.  It is a hint: what stands there is looked at
 * like any other row, and what no longer does is looked for in the index.
 */
#define REMEMBERED 4096

typedef struct Remembered
{
	int64		id;
	ItemPointerData root;		/* of its heap-only versions */
} Remembered;

static Remembered remembered[REMEMBERED];

struct ConfigTable
{
	const int64 *ids;			/* ascending */
	int			n;
	int			next;			/* which comes next */
	int			run_end;		/* up to which the scan goes */
	int64		ahead;			/* 0, or up to where it goes on behind the last one */
	int64		at_id;			/* where it stands */
	Relation	rel;
	Relation	index;			/* its primary key; these two: NULL until it is asked */
	IndexScanDesc scan;
	Buffer		page;			/* that was looked at last, pinned */
	Snapshot	snapshot;
	CommandId	command;
	bool		user_triggers;
	TupleTableSlot *old;
	TupleTableSlot *new;		/* the values of the next version */
	TupleTableSlot *formed;		/* the same as a tuple; these two: NULL until a row is changed */
	EState	   *estate;			/* these two: NULL until an index needs an entry */
	ResultRelInfo *info;
	ConfigRow	row;
};

ConfigColumns
benchorch_config_columns(TupleDesc desc)
{
#define COLUMN(name) .name = SPI_fnumber(desc, #name) - 1
	ConfigColumns columns = {
		COLUMN(id), COLUMN(model_version_id), COLUMN(hardware_config_id), COLUMN(framework_id), COLUMN(workload_type),
		COLUMN(batch_size), COLUMN(sequence_length), COLUMN(params), COLUMN(gpus), COLUMN(priority), COLUMN(status),
		COLUMN(started_at), COLUMN(completed_at), COLUMN(retry_count), COLUMN(error_message), COLUMN(lane_id),
		COLUMN(template_id),
		COLUMN(claim_id), COLUMN(attempt), COLUMN(run_started), COLUMN(version), COLUMN(due_at), COLUMN(expected_s)
	};
#undef COLUMN

	return columns;
}

static bool
has_status(const ConfigRow *row, ConfigStatus status)
{
	text	   *name = DatumGetTextPP(row->values[row->columns.status]);

	return benchorch_status_from_bytes(VARDATA_ANY(name), VARSIZE_ANY_EXHDR(name)) == status;
}

bool
benchorch_is_pending(const ConfigRow *row)
{
	return row && has_status(row, CONFIG_PENDING);
}

bool
benchorch_is_held_by(const ConfigRow *row, int64 claim_id)
{
	return row && !row->nulls[row->columns.claim_id] &&
		DatumGetInt64(row->values[row->columns.claim_id]) == claim_id && has_status(row, CONFIG_RUNNING);
}

/* They never change in a table, so they are looked for once. */
static ConfigColumns
config_columns(Relation rel)
{
	static Oid	table = InvalidOid;
	static ConfigColumns columns;

	if (table != RelationGetRelid(rel))
	{
		columns = benchorch_config_columns(RelationGetDescr(rel));
		table = RelationGetRelid(rel);
	}
	return columns;
}

/* Is there a trigger on UPDATE that is not ours? */
static bool
has_user_triggers(const TriggerDesc *triggers)
{
	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		if (TRIGGER_FOR_UPDATE(triggers->triggers[i].tgtype) &&
			strcmp(triggers->triggers[i].tgname, "config_updated") != 0)
			return true;
	return false;
}

static Oid
configs_oid(void)
{
	return benchorch_oid("benchmark_configs");
}

void
benchorch_lock_configs_table(void)
{
	LockRelationOid(configs_oid(), RowExclusiveLock);
}

ConfigTable *
benchorch_open_configs(const int64 *ids, int n)
{
	ConfigTable *table = palloc0(sizeof(ConfigTable));

	table->ids = ids;
	table->n = n;
	table->rel = table_open(configs_oid(), RowExclusiveLock);
	table->user_triggers = has_user_triggers(table->rel->trigdesc);

	CommandCounterIncrement();
	PushActiveSnapshot(GetTransactionSnapshot());
	table->snapshot = GetActiveSnapshot();
	table->command = GetCurrentCommandId(true);
	table->page = InvalidBuffer;

	table->old = table_slot_create(table->rel, NULL);
	table->row.columns = config_columns(table->rel);
	return table;
}

void
benchorch_close_configs(ConfigTable *table)
{
	if (table->estate)
	{
		ExecCloseIndices(table->info);
		FreeExecutorState(table->estate);
	}
	if (table->scan)
	{
		index_endscan(table->scan);
		index_close(table->index, NoLock);
	}
	if (BufferIsValid(table->page))
		ReleaseBuffer(table->page);
	ExecDropSingleTupleTableSlot(table->old);
	if (table->new)
	{
		ExecDropSingleTupleTableSlot(table->new);
		ExecDropSingleTupleTableSlot(table->formed);
	}
	PopActiveSnapshot();
	table_close(table->rel, NoLock);
	CommandCounterIncrement();
}

/* The new version did not fit on the page: every index gets an entry. */
static void
insert_index_entries(ConfigTable *table)
{
	if (table->estate == NULL)
	{
		table->estate = CreateExecutorState();
		table->info = makeNode(ResultRelInfo);
		InitResultRelInfo(table->info, table->rel, 0, NULL, 0);
		ExecOpenIndices(table->info, false);
	}
	compat_insert_index_entries(table->info, table->new, table->estate);
	ResetPerTupleExprContext(table->estate);
}

static Statement update_config = {
	.sql = "UPDATE benchorch.benchmark_configs SET status = $2, started_at = $3, completed_at = $4,"
	" error_message = $5, claim_id = $6, attempt = $7, run_started = $8, version = $9 WHERE id = $1",
	.nargs = 9,
	.types = {INT8OID, TEXTOID, TIMESTAMPTZOID, TIMESTAMPTZOID, TEXTOID, INT8OID, INT4OID, BOOLOID, INT4OID}
};

static void
update_by_statement(const ConfigRow *row)
{
	const ConfigColumns *at = &row->columns;
	const int	columns[9] = {at->id, at->status, at->started_at, at->completed_at, at->error_message,
							at->claim_id, at->attempt, at->run_started, at->version};
	Datum		values[9];
	char		nulls[10] = "         ";

	for (int i = 0; i < lengthof(columns); i++)
	{
		values[i] = row->values[columns[i]];
		nulls[i] = row->nulls[columns[i]] ? 'n' : ' ';
	}
	benchorch_run(&update_config, values, nulls);
}

/*
 * Fetches the version of a row that the snapshot shows, by the address that the
 * index has.  As index_getnext_slot() does it, but for the pruning, which that
 * does to each page that is fuller than the fillfactor wants: here the
 * fillfactor makes room for the versions of a whole life, and pruning between
 * them would cost as much as a change of a row does.
 */
static bool
fetch_version(ConfigTable *table, ItemPointerData root, bool *all_dead)
{
	BufferHeapTupleTableSlot *slot = (BufferHeapTupleTableSlot *) table->old;
	ItemPointer tid = &root;
	bool		found;

	table->page = ReleaseAndReadBuffer(table->page, table->rel, ItemPointerGetBlockNumber(tid));
	if (PageGetHeapFreeSpace(BufferGetPage(table->page)) < ALMOST_FULL)
		compat_prune(table->rel, table->page);
	LockBuffer(table->page, BUFFER_LOCK_SHARE);
	found = heap_hot_search_buffer(tid, table->rel, table->page, table->snapshot, &slot->base.tupdata, all_dead, true);
	slot->base.tupdata.t_self = *tid;
	LockBuffer(table->page, BUFFER_LOCK_UNLOCK);
	if (found)
		ExecStoreBufferHeapTuple(&slot->base.tupdata, table->old, table->page);
	else
		ExecClearTuple(table->old);
	return found;
}

static int64
found_id(ConfigTable *table)
{
	bool		isnull;

	return DatumGetInt64(slot_getattr(table->old, table->row.columns.id + 1, &isnull));
}

/* Somebody may have chosen another access method. */
static bool
is_heap(const ConfigTable *table)
{
	return TTS_IS_BUFFERTUPLE(table->old);
}

/* The next row of the scan; false where there is none. */
static bool
next_in_scan(ConfigTable *table)
{
	ItemPointer tid;

	if (!is_heap(table))
		return index_getnext_slot(table->scan, ForwardScanDirection, table->old);
	while ((tid = index_getnext_tid(table->scan, ForwardScanDirection)) != NULL)
	{
		bool		all_dead;

		if (fetch_version(table, *tid, &all_dead))
		{
			int64		id = found_id(table);

			remembered[(uint64) id % REMEMBERED] = (Remembered){id, *tid};
			return true;
		}
		table->scan->kill_prior_tuple = all_dead;
	}
	return false;
}

/* Finds the row where it was found before; false where it is not there. */
static bool
find_remembered(ConfigTable *table, int64 config_id)
{
	Remembered	at = remembered[(uint64) config_id % REMEMBERED];
	bool		all_dead;

	if (at.id != config_id || !ItemPointerIsValid(&at.root) || !is_heap(table))
		return false;
	return benchorch_has_block(table->rel, ItemPointerGetBlockNumber(&at.root)) &&
		fetch_version(table, at.root, &all_dead) && found_id(table) == config_id;
}

static void
ask_index(ConfigTable *table)
{
	list_free(RelationGetIndexList(table->rel));	/* finds rd_pkindex */
	table->index = index_open(table->rel->rd_pkindex, RowExclusiveLock);
	table->scan = compat_index_beginscan(table->rel, table->index, table->snapshot, 2);
	table->scan->xs_want_itup = table->ahead != 0;
}

/* Begins a scan of the index from an id to another one. */
static void
scan_ids(ConfigTable *table, int64 from, int64 to)
{
	ScanKeyData keys[2];

	if (table->scan == NULL)
		ask_index(table);
	ScanKeyInit(&keys[0], 1, BTGreaterEqualStrategyNumber, F_INT8GE, Int64GetDatum(from));
	ScanKeyInit(&keys[1], 1, BTLessEqualStrategyNumber, F_INT8LE, Int64GetDatum(to));
	index_rescan(table->scan, keys, 2, NULL, 0);
	table->at_id = PG_INT64_MIN;
}

/* Goes on until it stands at the id, or where that would be. */
static bool
scan_to(ConfigTable *table, int64 config_id)
{
	while (table->at_id < config_id)
		table->at_id = next_in_scan(table) ? found_id(table) : PG_INT64_MAX;
	return table->at_id == config_id;
}

/* Remembers where the ids are that the scan has behind the one it stands at. */
static void
remember_ahead(ConfigTable *table)
{
	ItemPointer tid;

	while ((tid = index_getnext_tid(table->scan, ForwardScanDirection)) != NULL)
	{
		bool		isnull;
		int64		id = DatumGetInt64(index_getattr(table->scan->xs_itup, 1, RelationGetDescr(table->index), &isnull));

		remembered[(uint64) id % REMEMBERED] = (Remembered){id, *tid};
	}
}

/*
 * Finds the next of the ids.  The configs of a lane stand side by side, so ids
 * that are near each other are read by one scan of the index.
 */
static bool
find_row(ConfigTable *table, int64 config_id)
{
	if (find_remembered(table, config_id))
	{
		table->next++;
		table->at_id = config_id;
		return true;
	}
	if (table->next >= table->run_end)
	{
		int64		last;

		for (table->run_end = table->next + 1; table->run_end < table->n; table->run_end++)
			if (table->ids[table->run_end] - table->ids[table->run_end - 1] > NEAR)
				break;
		last = table->ids[table->run_end - 1];
		scan_ids(table, config_id, table->run_end == table->n ? Max(last, table->ahead) : last);
	}
	table->next++;
	if (!scan_to(table, config_id))
		return false;
	if (table->ahead && table->next == table->n && is_heap(table))
		remember_ahead(table);
	return true;
}

static const ConfigRow *
found_row(ConfigTable *table)
{
	slot_getallattrs(table->old);
	table->row.values = table->old->tts_values;
	table->row.nulls = table->old->tts_isnull;
	return &table->row;
}

const ConfigRow *
benchorch_read_next(ConfigTable *table)
{
	return find_row(table, table->ids[table->next]) ? found_row(table) : NULL;
}

const ConfigRow *
benchorch_read_other(ConfigTable *table, int64 config_id)
{
	table->run_end = table->next;	/* the next one is looked for anew */
	if (!find_remembered(table, config_id))
	{
		scan_ids(table, config_id, config_id);
		if (!scan_to(table, config_id))
			return NULL;
	}
	return found_row(table);
}

void
benchorch_read_ahead(ConfigTable *table, int64 last_id)
{
	table->ahead = last_id;
}

/* Locks the newest version of the row that was found and makes it the old one; false if there is none or it is held. */
static bool
lock_found(ConfigTable *table, bool waits, bool *held)
{
	int64		id = table->at_id;
	bool		locked = benchorch_lock_newest(table->rel, table->old, table->snapshot, table->command, waits, held);

	table->at_id = locked ? id : PG_INT64_MIN;
	return locked;
}

/* Does the change want the row as it is now? */
static bool
wanted(ConfigTable *table, int64 config_id, ConfigChange change, void *context)
{
	int			natts = table->old->tts_tupleDescriptor->natts;

	if (table->new == NULL)
	{
		table->new = MakeSingleTupleTableSlot(RelationGetDescr(table->rel), &TTSOpsVirtual);
		table->formed = MakeSingleTupleTableSlot(RelationGetDescr(table->rel), &TTSOpsHeapTuple);
	}
	slot_getallattrs(table->old);
	ExecClearTuple(table->new);
	memcpy(table->new->tts_values, table->old->tts_values, sizeof(Datum) * natts);
	memcpy(table->new->tts_isnull, table->old->tts_isnull, sizeof(bool) * natts);
	table->row.values = table->new->tts_values;
	table->row.nulls = table->new->tts_isnull;
	if (DatumGetInt64(table->row.values[table->row.columns.id]) != config_id || !change(&table->row, context))
		return false;
	ExecStoreVirtualTuple(table->new);
	return true;
}

/*
 * How long the columns from status on can be, in a tuple; 0 where one is kept
 * elsewhere, compressed, or is not of a kind that form_version() knows.
 */
static Size
length_of_changing(const ConfigTable *table)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	Size		length = 0;

	for (int i = table->row.columns.status; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Pointer		value = DatumGetPointer(table->new->tts_values[i]);

		if (table->new->tts_isnull[i])
			continue;
		if (attribute->attbyval)
			length += 2 * sizeof(Datum);	/* with what it is aligned by */
		else if (attribute->attlen == -1 && (!VARATT_IS_EXTENDED(value) || VARATT_IS_SHORT(value)))
			length += VARSIZE_ANY(value) + sizeof(int32);
		else
			return 0;
	}
	return length;
}

/*
 * The next version as a tuple: its header and the columns before status, none
 * of which changes, as they lie in the old one, the others put together.  That
 * is what heap_form_tuple() makes of all the columns, with less work; a tuple
 * that is in any way unusual is left to it.
 */
static TupleTableSlot *
form_version(ConfigTable *table)
{
	TupleDesc	desc = RelationGetDescr(table->rel);
	const ConfigColumns *at = &table->row.columns;
	Size		changing = length_of_changing(table);
	HeapTuple	old;
	HeapTuple	new;
	Size		kept;
	char	   *end;

	/* no columns of a user's, whatever their type */
	if (!is_heap(table) || changing == 0 || desc->natts != at->template_id + 1)
		return table->new;
	old = ExecFetchSlotHeapTuple(table->old, false, NULL);
	if (HeapTupleHeaderGetNatts(old->t_data) != desc->natts || HeapTupleNoNulls(old) || HeapTupleHasExternal(old))
		return table->new;

	kept = DatumGetPointer(table->old->tts_values[at->status]) - (char *) old->t_data;
	new = palloc0(HEAPTUPLESIZE + kept + changing);
	new->t_data = (HeapTupleHeader) ((char *) new + HEAPTUPLESIZE);
	new->t_tableOid = RelationGetRelid(table->rel);
	ItemPointerSetInvalid(&new->t_self);
	memcpy(new->t_data, old->t_data, kept);
	end = (char *) new->t_data + kept;
	for (int i = at->status; i < desc->natts; i++)
	{
		Form_pg_attribute attribute = TupleDescAttr(desc, i);
		Datum		value = table->new->tts_values[i];
		bits8		bit = 1 << (i % BITS_PER_BYTE);

		if (table->new->tts_isnull[i])
		{
			new->t_data->t_bits[i / BITS_PER_BYTE] &= ~bit;
			continue;
		}
		new->t_data->t_bits[i / BITS_PER_BYTE] |= bit;
		if (attribute->attbyval)
		{
			end = (char *) att_align_nominal(end, attribute->attalign);
			store_att_byval(end, value, attribute->attlen);
			end += attribute->attlen;
		}
		else
		{
			text	   *string = (text *) DatumGetPointer(value);
			Size		length = VARSIZE_ANY_EXHDR(string);

			if (length + VARHDRSZ_SHORT <= VARATT_SHORT_MAX)
			{
				SET_VARSIZE_SHORT(end, length + VARHDRSZ_SHORT);
				memcpy(VARDATA_SHORT(end), VARDATA_ANY(string), length);
				end += length + VARHDRSZ_SHORT;
			}
			else
			{
				end = (char *) att_align_nominal(end, attribute->attalign);
				SET_VARSIZE(end, length + VARHDRSZ);
				memcpy(VARDATA(end), VARDATA_ANY(string), length);
				end += length + VARHDRSZ;
			}
		}
	}
	new->t_len = end - (char *) new->t_data;
	ExecStoreHeapTuple(new, table->formed, true);
	return table->formed;
}

bool
benchorch_change_next(ConfigTable *table, ConfigChange change, void *context, bool waits, bool *held)
{
	int64		config_id = table->ids[table->next];
	bool		lock = table->user_triggers;

	PreventCommandIfReadOnly("UPDATE");
	if (!find_row(table, config_id) || !wanted(table, config_id, change, context))
		return false;
	for (;;)
	{
		TM_FailureData failure;
		LockTupleMode mode;
		TM_Result	result;
		TupleTableSlot *version;
		bool		new_entries;

		if (lock && (!lock_found(table, waits, held) || !wanted(table, config_id, change, context)))
			return false;
		if (table->user_triggers)
		{
			update_by_statement(&table->row);
			return true;
		}
		version = form_version(table);
		result = compat_tuple_update(table->rel, &table->old->tts_tid, version, table->command, table->snapshot,
									 waits || lock, &failure, &mode, &new_entries);
		table->new->tts_tid = version->tts_tid;
		switch (result)
		{
			case TM_Ok:
				if (new_entries)
					insert_index_entries(table);
				return true;
			case TM_BeingModified:	/* by somebody whom it does not wait for, or locked by this transaction */
				lock = true;
				break;
			case TM_Updated:
				benchorch_refuse_above_read_committed();
				lock = true;
				break;
			case TM_Deleted:
				benchorch_refuse_above_read_committed();
				return false;
			case TM_SelfModified:	/* named twice */
				return false;
			default:
				elog(ERROR, "unexpected result of updating a config: %d", result);
		}
	}
}
