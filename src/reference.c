/*
 * What a session keeps of small tables that seldom change: adapters and
 * workloads, what a claim says of models, hardware, frameworks and templates,
 * what other workers can run, and of each model version and hardware what all
 * their results are about.
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
#include "table.h"
#include "adapters.h"

#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_reference_changed);

/* The tables with the trigger reference_changed (reference.sql). */
static const char *const tables[] = {
	"adapters", "request_fields", "frameworks", "workloads", "model_versions",
	"hardware_configs", "checks", "check_switches", "templates", "workers"
};

/* As many places, and models, are kept; each is an architecture and a few numbers. */
#define MAX_PLACES 1000

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
	HTAB	   *models;			/* KeptModel */
	HTAB	   *hardware;		/* KeptHardware */
	HTAB	   *frameworks;		/* KeptFramework */
	HTAB	   *templates;		/* KeptTemplate */
	HTAB	   *workers;		/* KeptWorker */
	HTAB	   *places;			/* Place */
	bool		has_paused;
	int			npaused;
	pg_uuid_t  *paused;			/* model versions */
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
	if (!stale && !IsolationUsesXactSnapshot() && hash_get_num_entries(kept.places) < MAX_PLACES &&
		hash_get_num_entries(kept.models) < MAX_PLACES && hash_get_num_entries(kept.workers) < MAX_PLACES * 10)
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
	kept.models = make_table("benchorch models", sizeof(pg_uuid_t), sizeof(KeptModel));
	kept.hardware = make_table("benchorch hardware", sizeof(int32), sizeof(KeptHardware));
	kept.frameworks = make_table("benchorch frameworks", sizeof(int32), sizeof(KeptFramework));
	kept.templates = make_table("benchorch templates", sizeof(int32), sizeof(KeptTemplate));
	kept.workers = make_table("benchorch workers", sizeof(pg_uuid_t), sizeof(KeptWorker));
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

/* A column of the row that a statement has returned, kept; 0 for NULL. */
static Datum
keep_column(int column)
{
	Oid			type = SPI_gettypeid(SPI_tuptable->tupdesc, column);
	MemoryContext outer;
	bool		isnull;
	Datum		value = benchorch_column(0, column, &isnull);
	int16		length;
	bool		byval;

	if (isnull)
		return (Datum) 0;
	get_typlenbyval(type, &length, &byval);
	outer = MemoryContextSwitchTo(kept.context);
	value = length == -1 ? PointerGetDatum(PG_DETOAST_DATUM_COPY(value)) : datumCopy(value, byval, length);
	MemoryContextSwitchTo(outer);
	return value;
}

static Statement select_model = {
	.sql = "SELECT name, source, architecture FROM benchorch.model_versions WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

const KeptModel *
benchorch_kept_model(const pg_uuid_t *id)
{
	KeptModel  *model = hash_search(kept.models, id, HASH_FIND, NULL);
	KeptModel	row;

	if (model)
		return model;
	if (benchorch_run(&select_model, (Datum[]){UUIDPGetDatum(id)}, NULL) == 0)
		return NULL;
	row = (KeptModel){*id, keep_column(1), keep_column(2), keep_column(3)};
	model = hash_search(kept.models, id, HASH_ENTER, NULL);
	*model = row;
	return model;
}

/* The model versions that are paused; there is an index of them. */
const pg_uuid_t *
benchorch_kept_paused(int *n)
{
	if (!kept.has_paused)
	{
		Table	   *models = benchorch_open_table("model_versions", "model_versions_paused", AccessShareLock);
		int			room = 4;

		kept.npaused = 0;
		kept.paused = MemoryContextAlloc(kept.context, sizeof(pg_uuid_t) * room);
		benchorch_scan(models, NULL, 0);
		while (benchorch_next_row(models))
		{
			if (kept.npaused == room)
				kept.paused = repalloc(kept.paused, sizeof(pg_uuid_t) * (room *= 2));
			kept.paused[kept.npaused++] = *DatumGetUUIDP(benchorch_row_datum(models, MODEL_ID));
		}
		benchorch_close_table(models);
		kept.has_paused = true;
	}
	*n = kept.npaused;
	return kept.paused;
}

static Statement select_hardware = {
	.sql = "SELECT name FROM benchorch.hardware_configs WHERE id = $1",
	.nargs = 1,
	.types = {INT4OID}
};

const KeptHardware *
benchorch_kept_hardware(int32 id)
{
	KeptHardware *hardware = hash_search(kept.hardware, &id, HASH_FIND, NULL);
	KeptHardware row;

	if (hardware || id == 0)
		return hardware;
	if (benchorch_run(&select_hardware, (Datum[]){Int32GetDatum(id)}, NULL) == 0)
		return NULL;
	row = (KeptHardware){id, keep_column(1)};
	hardware = hash_search(kept.hardware, &id, HASH_ENTER, NULL);
	*hardware = row;
	return hardware;
}

static Statement select_framework = {
	.sql = "SELECT name, protocol, command, adapter,"
	" pg_catalog.array_to_string(command, E'\\x1f', ''), pg_catalog.array_to_string(server_command, E'\\x1f', ''),"
	" pg_catalog.array_to_string(ready_command, E'\\x1f', ''), pg_catalog.array_to_string(reset_command, E'\\x1f', ''),"
	" pg_catalog.array_to_string(warmup_command, E'\\x1f', ''),"
	" (SELECT pg_catalog.string_agg(e.key || E'\\x1e' || e.value, E'\\x1f') FROM pg_catalog.jsonb_each_text(env) AS e),"
	" pg_catalog.date_part('epoch', ready_timeout), details FROM benchorch.frameworks WHERE id = $1",
	.nargs = 1,
	.types = {INT4OID}
};

const KeptFramework *
benchorch_kept_framework(int32 id)
{
	KeptFramework *framework = hash_search(kept.frameworks, &id, HASH_FIND, NULL);
	KeptFramework row;
	const char *adapter;

	if (framework)
		return framework;
	if (benchorch_run(&select_framework, (Datum[]){Int32GetDatum(id)}, NULL) == 0)
		return NULL;
	adapter = benchorch_column_text(0, 4);
	row = (KeptFramework){id, keep_column(1), keep_column(2), keep_column(3),
						  adapter ? MemoryContextStrdup(kept.context, adapter) : NULL, keep_column(5), keep_column(6),
						  keep_column(7), keep_column(8), keep_column(9), keep_column(10), keep_column(11),
						  keep_column(12)};
	framework = hash_search(kept.frameworks, &id, HASH_ENTER, NULL);
	*framework = row;
	return framework;
}

static Statement select_template = {
	.sql = "SELECT pg_catalog.make_interval(secs => coalesce((spec -> 'limits' ->> 'deadline_s')::float8, 3600))"
	" FROM benchorch.templates WHERE id = $1",
	.nargs = 1,
	.types = {INT4OID}
};

const KeptTemplate *
benchorch_kept_template(int32 id)
{
	KeptTemplate *template = hash_search(kept.templates, &id, HASH_FIND, NULL);
	KeptTemplate row = {.id = id};
	bool		isnull;

	if (template)
		return template;
	if (benchorch_run(&select_template, (Datum[]){Int32GetDatum(id)}, NULL) == 0)
		return NULL;
	row.deadline = *DatumGetIntervalP(benchorch_column(0, 1, &isnull));
	template = hash_search(kept.templates, &id, HASH_ENTER, NULL);
	*template = row;
	return template;
}

static bool
is_active(Datum state)
{
	text	   *word = DatumGetTextPP(state);

	return VARSIZE_ANY_EXHDR(word) == strlen("active") && memcmp(VARDATA_ANY(word), "active", strlen("active")) == 0;
}

/* By key, without a statement: in a large fleet a session that begins, or hears of a change, looks for all of it. */
const KeptWorker *
benchorch_kept_worker(const pg_uuid_t *id)
{
	KeptWorker *worker = hash_search(kept.workers, id, HASH_FIND, NULL);
	Table	   *workers;

	if (worker)
		return worker;
	workers = benchorch_open_table("workers", "workers_pkey", AccessShareLock);
	if (benchorch_find_row(workers, UUIDPGetDatum(id), F_UUID_EQ))
	{
		KeptWorker	row = {.id = *id};
		MemoryContext outer = MemoryContextSwitchTo(kept.context);

		row.hardware_config_id = DatumGetInt32(benchorch_row_datum(workers, WORKER_HARDWARE));
		row.framework_ids = benchorch_array_int32(benchorch_row_datum(workers, WORKER_FRAMEWORKS), &row.nframeworks);
		row.gpus = DatumGetInt32(benchorch_row_datum(workers, WORKER_GPUS));
		row.active = is_active(benchorch_row_datum(workers, WORKER_STATE));
		worker = hash_search(kept.workers, id, HASH_ENTER, NULL);
		*worker = row;
		MemoryContextSwitchTo(outer);
	}
	benchorch_close_table(workers);
	return worker;
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
