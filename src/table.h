/*
 * Small tables of ours without the executor (table.c), and where their columns
 * stand (schema.sql; sql/install.sql compares the two).
 */
#ifndef BENCHORCH_TABLE_H
#define BENCHORCH_TABLE_H

#include "access/skey.h"
#include "access/stratnum.h"
#include "access/tableam.h"
#include "storage/lockdefs.h"
#include "utils/relcache.h"
#include "utils/fmgroids.h"

enum
{
	LANE_CHUNK_ID = 1,
	LANE_CHUNK_MODEL,
	LANE_CHUNK_LANE,
	LANE_CHUNK_HARDWARE,
	LANE_CHUNK_FRAMEWORK,
	LANE_CHUNK_GPUS,
	LANE_CHUNK_PRIORITY,
	LANE_CHUNK_WORK,
	LANE_CHUNK_WORK_LEFT,
	LANE_CHUNK_AVOID_WORKER,
	LANE_CHUNK_NEXT,
	LANE_CHUNK_IDS,
	LANE_CHUNK_PRIORITIES,
	LANE_CHUNK_WORKS
};

enum
{
	PRIORITY_CHUNK_ID = 1,
	PRIORITY_CHUNK_MODEL,
	PRIORITY_CHUNK_PRIORITY,
	PRIORITY_CHUNK_NEXT,
	PRIORITY_CHUNK_IDS
};

enum
{
	CLAIM_ID = 1,
	CLAIM_WORKER,
	CLAIM_CLAIMED_AT,
	CLAIM_RESTORED,
	CLAIM_CONFIGS,
	CLAIM_COLUMNS = CLAIM_CONFIGS
};

enum
{
	LEASE_WORKER = 1,
	LEASE_EXPIRES_AT,
	LEASE_HEARTBEAT_AT,
	LEASE_LANE,
	LEASE_PRESENCE_AT,
	LEASE_ABSENT_SINCE
};

enum
{
	WORKER_ID = 1,
	WORKER_NAME,
	WORKER_HARDWARE,
	WORKER_FRAMEWORKS,
	WORKER_GPUS,
	WORKER_STATE
};

enum
{
	DELTA_MODEL = 1,
	DELTA_PENDING,
	DELTA_RUNNING				/* and the other statuses in their order */
};

enum
{
	MODEL_ID = 1,
	MODEL_NAME,
	MODEL_SOURCE,
	MODEL_ARCHITECTURE,
	MODEL_SUBMISSION,
	MODEL_PAUSED,
	MODEL_PAUSED_BY,
	MODEL_CREATED_AT,
	MODEL_FINALIZED_AT
};

enum
{
	RESULT_ID = 1,
	RESULT_CONFIG,
	RESULT_CLAIM,
	RESULT_MODEL,
	RESULT_WORKER,
	RESULT_ACCEPTED,
	RESULT_CREATED_AT,
	RESULT_ADAPTER,
	RESULT_METHOD,
	RESULT_FLAGS,
	RESULT_UNCHECKED,
	RESULT_REPORTED,
	RESULT_METRICS,				/* the first of them, in the order of BENCHORCH_METRICS */
	RESULT_PARSED = RESULT_METRICS + 38,
	RESULT_RAW,
	RESULT_LOG,
	RESULT_ENVIRONMENT,
	RESULT_COLUMNS = RESULT_ENVIRONMENT + 4
};

enum
{
	DELAYED_CONFIG = 1,
	DELAYED_MODEL,
	DELAYED_DUE_AT
};

/* A page with less free space is pruned where a row of it is looked for: its next versions need the room. */
#define ALMOST_FULL (BLCKSZ / 5)

/* The OID of a relation of ours; InvalidOid: there is none.  The name must be a literal. */
extern Oid benchorch_oid(const char *name);

/* A table that is open until benchorch_close_table(), and the row of it that was found last. */
typedef struct Table Table;

/* index: that scans go by, or NULL.  mode: AccessShareLock to read, RowExclusiveLock to write. */
extern Table *benchorch_open_table(const char *name, const char *index, LOCKMODE mode);
extern void benchorch_close_table(Table *table);

/* Has nobody put triggers, rules, checks or generated columns on it?  Else only statements are to change it. */
extern bool benchorch_is_plain(const Table *table);

extern int benchorch_columns(const Table *table);

/*
 * Does the relation, which is open and locked, reach so far?  Its file is asked
 * only where this session has not seen it so long: nobody cuts what is locked,
 * and who has cut it before has told all sessions.
 */
extern bool benchorch_has_block(Relation rel, BlockNumber block);

/* Begins a scan, with keys on columns of the index, under a new snapshot. */
extern void benchorch_scan(Table *table, ScanKeyData *keys, int n);
/* Other keys of its index, under the same snapshot. */
extern void benchorch_scan_on(Table *table, ScanKeyData *keys, int n);
/* Goes to its next row; false where there is none. */
extern bool benchorch_next_row(Table *table);
/* The first row whose first index column is this key. */
extern bool benchorch_find_row(Table *table, Datum key, RegProcedure equal);
/* The last of them. */
extern bool benchorch_find_last_row(Table *table, Datum key, RegProcedure equal);

/*
 * The row of which a column is this key, where it still stands at an address at
 * which this session has written it.  Spares asking the index.
 */
extern bool benchorch_find_row_at(Table *table, ItemPointer address, int column, Datum key, PGFunction equal);

/* The same as a single step. */
extern bool benchorch_has_row(const char *name, const char *index, Datum key, RegProcedure equal);

/* Scans that begin from now on can go on from row to index entry. */
extern void benchorch_want_entries(Table *table);
/* The next entry of the scan's index: its columns, and where its row was put; false where there is none. */
extern bool benchorch_next_entry(Table *table, Datum *columns, ItemPointer address);

/* Columns of the row, from 1; what they point to holds until the scan moves on. */
extern Datum benchorch_row_value(Table *table, int column, bool *isnull);
extern Datum benchorch_row_datum(Table *table, int column);

/* Where the row stands that was written last. */
extern ItemPointerData benchorch_written_address(const Table *table);

/* Where the row found stands, and back to it from further on in the scan. */
extern ItemPointerData benchorch_row_address(const Table *table);
extern void benchorch_go_to_row(Table *table, ItemPointer address);

/* Is somebody else changing or locking the row, as far as a look at it tells?  Spares trying to change it. */
extern bool benchorch_is_held(Table *table);

/*
 * Locks the newest version of the row, which becomes the row found; false
 * where it is gone or, without waits, held by somebody.
 */
extern bool benchorch_lock_row(Table *table, bool waits);

/*
 * Deletes the row, or sets columns of it, where it is as it was found: TM_Ok,
 * or nothing is changed.  A row that is locked is never TM_Updated or
 * TM_BeingModified.
 */
extern TM_Result benchorch_delete_row(Table *table);
extern TM_Result benchorch_update_row(Table *table, const int *columns, const Datum *values, int n);

/*
 * After a change that was not TM_Ok: has the row a newer version, or only a lock
 * of this transaction's own?  Then it is the row found, and locked.
 */
extern bool benchorch_is_free_now(Table *table, TM_Result result);

/* All columns; nulls may be NULL: there is none. */
extern void benchorch_add_row(Table *table, const Datum *values, const bool *nulls);
/* The same as a single step, without NULLs. */
extern void benchorch_append_row(const char *name, const Datum *values);

/* 40001 above READ COMMITTED, where a row has been changed since the snapshot. */
extern void benchorch_refuse_above_read_committed(void);
/* Locks the newest version of the row in the slot, which gets it; false where it is gone, or *held by somebody. */
extern bool benchorch_lock_newest(Relation rel, TupleTableSlot *slot, Snapshot snapshot, CommandId command, bool waits,
								  bool *held);

#endif							/* BENCHORCH_TABLE_H */
