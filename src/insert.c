/*
 * New rows of benchmark_configs, many at once, without the executor.
 *
 * INSERT takes one row after the other through check constraints, triggers and
 * a tuplestore that the statement trigger reads again; of a million cells that
 * is half of the work (docs/performance.md).  Here a thousand rows are formed,
 * checked and put into the table together, as COPY does, and then entered in
 * the indexes.  What the statement trigger would make of them (ready.c) sees
 * each row as it passes.
 *
 * That is the same as INSERT as long as there is nothing on the table that
 * only the executor sees to: a rule, a policy, a trigger on INSERT, a
 * generated column or a volatile default that a user has added.  Where there
 * is, benchorch_begin_insert() says so, and the caller inserts by a statement.
 */
#include "benchorch.h"

#include "access/table.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_trigger.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "compat.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "storage/lmgr.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/rls.h"

/* Rows that are formed before they are put into the table. */
#define ROWS_AT_ONCE 1000

struct NewConfigs
{
	Relation	rel;
	Oid			sequence;
	EState	   *estate;
	ResultRelInfo *info;
	CommandId	command;
	Datum	   *defaults;
	bool	   *default_nulls;
	MemoryContext per_batch;
	MemoryContext context;		/* of the slots */
	TupleTableSlot *slots[ROWS_AT_ONCE];	/* NULL until a row has come so far */
	int			n;				/* of them full */
	Arrivals   *arrivals;
	ConfigRow	row;			/* the next, as the caller fills it in */
};

/* Is there nothing that only the executor does? */
static bool
is_plain(Relation rel)
{
	const TriggerDesc *triggers = rel->trigdesc;
	const TupleConstr *constraints = RelationGetDescr(rel)->constr;

	for (int i = 0; triggers && i < triggers->numtriggers; i++)
		if (TRIGGER_FOR_INSERT(triggers->triggers[i].tgtype) &&
			strcmp(triggers->triggers[i].tgname, "configs_typed") != 0 &&
			strcmp(triggers->triggers[i].tgname, "configs_inserted") != 0)
			return false;
	return rel->rd_rules == NULL && !(constraints && constraints->has_generated_stored) &&
		check_enable_rls(RelationGetRelid(rel), InvalidOid, true) != RLS_ENABLED;
}

/* What a new row has where nobody says otherwise; false where that differs from row to row. */
static bool
evaluate_defaults(NewConfigs *new)
{
	TupleDesc	desc = RelationGetDescr(new->rel);
	MemoryContext caller = MemoryContextSwitchTo(new->estate->es_query_cxt);
	bool		constant = true;

	new->defaults = palloc0(sizeof(Datum) * desc->natts);
	new->default_nulls = palloc(sizeof(bool) * desc->natts);
	memset(new->default_nulls, true, desc->natts);
	for (int i = 0; i < desc->natts && constant; i++)
	{
		Node	   *expression = NULL;

		if (!TupleDescAttr(desc, i)->attisdropped && i != new->row.columns.id)
			expression = build_column_default(new->rel, i + 1);
		if (expression == NULL)
			continue;
		constant = !contain_volatile_functions(expression);
		if (constant)
			new->defaults[i] = ExecEvalExpr(ExecPrepareExpr((Expr *) expression, new->estate),
											GetPerTupleExprContext(new->estate), &new->default_nulls[i]);
	}
	MemoryContextSwitchTo(caller);
	return constant;
}

/*
 * Pages of an index that a vacuum has emptied can be used again only when the
 * next one has found that nobody can be on his way to them.  Where a matrix is
 * archived and vacuumed before the next one comes in, that would be too late,
 * and the indexes would double: so it is found out here.
 */
static void
recycle_index_pages(NewConfigs *new)
{
	if (!ConditionalLockRelation(new->rel, ShareUpdateExclusiveLock))
		return;					/* a vacuum is at work */
	for (int i = 0; i < new->info->ri_NumIndices; i++)
	{
		IndexVacuumInfo info = compat_index_vacuum_info(new->rel, new->info->ri_IndexRelationDescs[i]);

		index_vacuum_cleanup(&info, NULL);
	}
	UnlockRelation(new->rel, ShareUpdateExclusiveLock);
}

NewConfigs *
benchorch_begin_insert(void)
{
	Oid			schema = get_namespace_oid("benchorch", false);
	NewConfigs *new = palloc0(sizeof(NewConfigs));

	new->rel = table_open(get_relname_relid("benchmark_configs", schema), RowExclusiveLock);
	new->sequence = get_relname_relid("benchmark_configs_id_seq", schema);
	new->row.columns = benchorch_config_columns(RelationGetDescr(new->rel));
	new->estate = CreateExecutorState();
	if (!is_plain(new->rel) || !evaluate_defaults(new))
	{
		FreeExecutorState(new->estate);
		table_close(new->rel, NoLock);
		return NULL;
	}
	new->info = makeNode(ResultRelInfo);
	InitResultRelInfo(new->info, new->rel, 0, NULL, 0);
	ExecOpenIndices(new->info, false);
	recycle_index_pages(new);
	new->command = GetCurrentCommandId(true);
	new->per_batch = AllocSetContextCreate(CurrentMemoryContext, "benchorch new configs", ALLOCSET_DEFAULT_SIZES);
	new->context = CurrentMemoryContext;
	new->row.values = palloc(sizeof(Datum) * RelationGetNumberOfAttributes(new->rel));
	new->row.nulls = palloc(sizeof(bool) * RelationGetNumberOfAttributes(new->rel));
	new->arrivals = benchorch_begin_arrivals(RelationGetDescr(new->rel));
	return new;
}

ConfigRow *
benchorch_blank_row(NewConfigs *new)
{
	int			natts = RelationGetNumberOfAttributes(new->rel);

	memcpy(new->row.values, new->defaults, sizeof(Datum) * natts);
	memcpy(new->row.nulls, new->default_nulls, sizeof(bool) * natts);
	return &new->row;
}

static TupleTableSlot *
next_slot(NewConfigs *new)
{
	if (new->slots[new->n] == NULL)
	{
		MemoryContext caller = MemoryContextSwitchTo(new->context);

		new->slots[new->n] = table_slot_create(new->rel, NULL);
		MemoryContextSwitchTo(caller);
	}
	return new->slots[new->n++];
}

void
benchorch_insert_row(NewConfigs *new)
{
	int			natts = RelationGetNumberOfAttributes(new->rel);
	TupleTableSlot *slot;

	if (new->n == ROWS_AT_ONCE)
		benchorch_flush_rows(new);
	slot = next_slot(new);
	benchorch_set_column(&new->row, new->row.columns.id, Int64GetDatum(nextval_internal(new->sequence, false)));
	memcpy(slot->tts_values, new->row.values, sizeof(Datum) * natts);
	memcpy(slot->tts_isnull, new->row.nulls, sizeof(bool) * natts);
	ExecStoreVirtualTuple(slot);
	ExecConstraints(new->info, slot, new->estate);
	ResetPerTupleExprContext(new->estate);
	benchorch_arrive(new->arrivals, slot);
}

void
benchorch_flush_rows(NewConfigs *new)
{
	MemoryContext caller = MemoryContextSwitchTo(new->per_batch);

	CHECK_FOR_INTERRUPTS();
	table_multi_insert(new->rel, new->slots, new->n, new->command, 0, NULL);
	for (int i = 0; i < new->n; i++)
	{
		compat_insert_index_entries(new->info, new->slots[i], new->estate);
		ResetPerTupleExprContext(new->estate);
		ExecClearTuple(new->slots[i]);
	}
	new->n = 0;
	MemoryContextSwitchTo(caller);
	MemoryContextReset(new->per_batch);
}

void
benchorch_end_insert(NewConfigs *new)
{
	benchorch_flush_rows(new);
	for (int i = 0; i < ROWS_AT_ONCE && new->slots[i]; i++)
		ExecDropSingleTupleTableSlot(new->slots[i]);
	ExecCloseIndices(new->info);
	FreeExecutorState(new->estate);
	table_close(new->rel, NoLock);
	CommandCounterIncrement();
	benchorch_end_arrivals(new->arrivals);
}
