/*
 * What a session keeps of small tables that seldom change: adapters, the
 * adapter of each framework, workloads, and of each model version and
 * hardware what all their results are about.
 *
 * Whoever changes one of these tables says so: a trigger sends an
 * invalidation of the table, which reaches this session with its next command
 * and the others with the commit.  A call that begins after such a message
 * begins with nothing.  So nobody is told what is older than the call: what it
 * reads, it reads in snapshots taken after its begin, when all messages of
 * changes committed so far that these snapshots do not show are still to come.
 * Above READ COMMITTED a snapshot may be older than the call; there each call
 * begins with nothing.
 */
#include "benchorch.h"
#include "adapters.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

PG_FUNCTION_INFO_V1(benchorch_reference_changed);

/* The tables with the trigger reference_changed (reference.sql). */
static const char *const tables[] = {
	"adapters", "request_fields", "frameworks", "workloads", "model_versions",
	"hardware_configs", "checks", "check_switches"
};

/* As many places are kept; a place is an architecture and a few numbers. */
#define MAX_PLACES 1000

typedef struct Framework
{
	int32		id;				/* the key */
	const char *adapter;		/* NULL: none */
} Framework;

typedef struct PlaceKey
{
	pg_uuid_t	model_version_id;
	int32		hardware_config_id; /* 0: none */
} PlaceKey;

typedef struct Place
{
	PlaceKey	key;
	Subject		subject;		/* without what is of one config alone */
} Place;

static struct
{
	MemoryContext context;		/* NULL: nothing is kept yet */
	Oid			watched[lengthof(tables)];
	List	   *adapters;		/* Adapter */
	List	   *workloads;		/* Workload */
	HTAB	   *frameworks;		/* Framework */
	HTAB	   *places;			/* Place */
} kept;

static bool stale = true;

/* ------------------------------------------------------------- what is stale */

/* A statement changed the table of this trigger. */
Datum
benchorch_reference_changed(PG_FUNCTION_ARGS)
{
	if (!CALLED_AS_TRIGGER(fcinfo))
		elog(ERROR, "benchorch.reference_changed() is a trigger");
	CacheInvalidateRelcache(((TriggerData *) fcinfo->context)->tg_relation);
	return PointerGetDatum(NULL);
}

static void
forget(Datum argument, Oid relation)
{
	for (int i = 0; i < lengthof(tables) && !stale; i++)
		stale = relation == InvalidOid || relation == kept.watched[i];
}

static HTAB *
make_table(const char *name, Size key, Size entry)
{
	HASHCTL		control = {.keysize = key, .entrysize = entry, .hcxt = kept.context};

	return hash_create(name, 64, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
}

void
benchorch_begin_reference(void)
{
	static bool registered = false;
	Oid			schema;

	if (!registered)
	{
		CacheRegisterRelcacheCallback(forget, (Datum) 0);
		registered = true;
	}
	AcceptInvalidationMessages();
	if (!stale && !IsolationUsesXactSnapshot() && hash_get_num_entries(kept.places) < MAX_PLACES)
		return;

	/* a call further up may be using it */
	if (kept.context)
		MemoryContextSetParent(kept.context, TopTransactionContext);
	memset(&kept, 0, sizeof(kept));
	stale = true;
	schema = get_namespace_oid("benchorch", false);
	for (int i = 0; i < lengthof(tables); i++)
		kept.watched[i] = get_relname_relid(tables[i], schema);
	kept.context = AllocSetContextCreate(CacheMemoryContext, "benchorch reference", ALLOCSET_DEFAULT_SIZES);
	kept.frameworks = make_table("benchorch frameworks", sizeof(int32), sizeof(Framework));
	kept.places = make_table("benchorch places", sizeof(PlaceKey), sizeof(Place));
	stale = IsolationUsesXactSnapshot();
}

/* ------------------------------------------------------------- what is kept */

const Adapter *
benchorch_kept_adapter(const char *name)
{
	Adapter    *adapter;
	MemoryContext outer;
	ListCell   *cell;

	foreach (cell, kept.adapters)
	{
		adapter = lfirst(cell);
		if (strcmp(adapter->name, name) == 0)
			return adapter;
	}
	outer = MemoryContextSwitchTo(kept.context);
	adapter = benchorch_load_adapter(name);
	if (adapter)
		kept.adapters = lappend(kept.adapters, adapter);
	MemoryContextSwitchTo(outer);
	return adapter;
}

static Statement select_framework = {
	.sql = "SELECT adapter FROM benchorch.frameworks WHERE id = $1",
	.nargs = 1,
	.types = {INT4OID}
};

const char *
benchorch_framework_adapter(int32 framework_id)
{
	Framework  *framework = hash_search(kept.frameworks, &framework_id, HASH_FIND, NULL);
	const char *adapter;

	if (framework)
		return framework->adapter;
	if (benchorch_run(&select_framework, (Datum[]){Int32GetDatum(framework_id)}, NULL) == 0)
		return NULL;
	adapter = benchorch_column_text(0, 1);
	if (adapter)
		adapter = MemoryContextStrdup(kept.context, adapter);
	framework = hash_search(kept.frameworks, &framework_id, HASH_ENTER, NULL);
	framework->adapter = adapter;
	return adapter;
}

static Statement select_workload = {
	.sql = "SELECT dataset, output_share FROM benchorch.workloads WHERE name = $1",
	.nargs = 1,
	.types = {TEXTOID}
};

const Workload *
benchorch_kept_workload(const char *name)
{
	Workload   *workload;
	MemoryContext outer;
	ListCell   *cell;
	bool		isnull;

	foreach (cell, kept.workloads)
	{
		workload = lfirst(cell);
		if (strcmp(workload->name, name) == 0)
			return workload;
	}
	if (benchorch_run(&select_workload, (Datum[]){CStringGetTextDatum(name)}, NULL) == 0)
		return NULL;
	outer = MemoryContextSwitchTo(kept.context);
	workload = palloc(sizeof(Workload));
	workload->name = pstrdup(name);
	workload->dataset = benchorch_column_text(0, 1);
	if (workload->dataset)
		workload->dataset = pstrdup(workload->dataset);
	workload->output_share = DatumGetFloat8(benchorch_column(0, 2, &isnull));
	kept.workloads = lappend(kept.workloads, workload);
	MemoryContextSwitchTo(outer);
	return workload;
}

static Statement select_place = {
	.sql = "SELECT benchorch.subject_place($1, $2)",
	.nargs = 2,
	.types = {UUIDOID, INT4OID}
};

const Subject *
benchorch_kept_place(const pg_uuid_t *model_version_id, int32 hardware_config_id)
{
	PlaceKey	key;
	Place	   *place;
	Subject		subject;
	MemoryContext outer;
	bool		isnull;

	memset(&key, 0, sizeof(key));	/* a hash looks at every byte */
	key.model_version_id = *model_version_id;
	key.hardware_config_id = hardware_config_id;
	place = hash_search(kept.places, &key, HASH_FIND, NULL);
	if (place)
		return &place->subject;
	benchorch_run(&select_place, (Datum[]){UUIDPGetDatum(model_version_id), Int32GetDatum(hardware_config_id)},
				  hardware_config_id ? NULL : " n");
	outer = MemoryContextSwitchTo(kept.context);
	benchorch_read_subject((Jsonb *) PG_DETOAST_DATUM_COPY(benchorch_column(0, 1, &isnull)), &subject);
	place = hash_search(kept.places, &key, HASH_ENTER, NULL);
	place->subject = subject;
	MemoryContextSwitchTo(outer);
	return &place->subject;
}
