/*
 * Adapters: the rows that say which number of a tool's JSON is what, loaded,
 * and the signs by which a tool is told.  normalize.c evaluates them.
 */
#include "benchorch.h"
#include "adapters.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonpath.h"

PG_FUNCTION_INFO_V1(benchorch_guess_adapter_sql);

/* The tool's version comes first: it decides which rows hold. */
static Statement select_adapter = {
	.sql = "SELECT metric, path, scale, method, min_version, max_version FROM benchorch.adapters WHERE adapter = $1"
	" ORDER BY metric <> 'tool_version', metric, preference",
	.nargs = 1,
	.types = {TEXTOID}
};

static Statement select_requests = {
	.sql = "SELECT path FROM benchorch.request_fields WHERE adapter = $1 AND field IN ('requests', 'ttft_s', 'e2e_s')"
	" ORDER BY field <> 'requests', field DESC LIMIT 1",
	.nargs = 1,
	.types = {TEXTOID}
};

static Statement select_signs = {
	.sql = "SELECT adapter, sign, lines FROM benchorch.adapter_signs ORDER BY position, adapter",
};

static Statement select_lines = {
	.sql = "SELECT lines FROM benchorch.adapter_signs WHERE adapter = $1",
	.nargs = 1,
	.types = {TEXTOID}
};

static Datum
empty_object(void)
{
	return DirectFunctionCall1(jsonb_in, CStringGetDatum("{}"));
}

Jsonb *
benchorch_find(Jsonb *raw, Datum path, Datum no_vars)
{
	return DatumGetJsonbP(DirectFunctionCall4(jsonb_path_query_array, JsonbPGetDatum(raw), path, no_vars,
											  BoolGetDatum(true)));
}

/* Most paths are plain members of objects in one another. */
static void
read_keys(AdapterRow *row)
{
	JsonPathItem item;
	JsonPathItem next;

	jspInit(&item, DatumGetJsonPathP(row->path));
	if (item.type != jpiRoot)
		return;
	for (int n = 0; jspGetNext(&item, &next); item = next)
	{
		int32		len;

		if (next.type != jpiKey)
		{
			row->nkeys = 0;
			return;
		}
		row->keys = row->keys ? repalloc(row->keys, sizeof(JsonbValue) * (n + 1)) : palloc(sizeof(JsonbValue));
		row->keys[n].type = jbvString;
		row->keys[n].val.string.val = jspGetString(&next, &len);
		row->keys[n].val.string.len = len;
		row->nkeys = ++n;
	}
}

JsonbValue *
benchorch_find_one(Jsonb *raw, const AdapterRow *row, Datum no_vars, JsonbValue *buffer)
{
	JsonbContainer *object = &raw->root;
	JsonbValue *value = NULL;
	Jsonb	   *found;

	for (int i = 0; i < row->nkeys && JsonContainerIsObject(object); i++)
	{
		value = getKeyJsonValueFromContainer(object, row->keys[i].val.string.val, row->keys[i].val.string.len, buffer);
		if (value == NULL || i == row->nkeys - 1)
			return value;
		if (value->type != jbvBinary)
			return NULL;		/* a scalar has no members */
		object = value->val.binary.data;
	}
	/* arrays may have a meaning to the path */
	found = benchorch_find(raw, row->path, no_vars);
	return JB_ROOT_COUNT(found) == 1 ? getIthJsonbValueFromContainer(&found->root, 0) : NULL;
}

Adapter *
benchorch_load_adapter(const char *name)
{
	MemoryContext context = CurrentMemoryContext;
	Datum		values[1] = {CStringGetTextDatum(name)};
	uint64		n = benchorch_run(&select_adapter, values, NULL);
	Adapter    *adapter;

	/* SPI leaves its own context as the current one */
	MemoryContextSwitchTo(context);
	adapter = palloc0(offsetof(Adapter, rows) + n * sizeof(AdapterRow));
	adapter->name = pstrdup(name);
	adapter->no_vars = empty_object();
	for (uint64 i = 0; i < n; i++)
	{
		char	   *metric = benchorch_column_text(i, 1);
		AdapterRow *row = &adapter->rows[adapter->n];
		bool		isnull;

		row->target = benchorch_target(metric);
		if (row->target < 0)
			continue;			/* a check constraint forbids it */
		row->path = PointerGetDatum(PG_DETOAST_DATUM_COPY(benchorch_column(i, 2, &isnull)));
		read_keys(row);
		row->scale = DatumGetFloat8(benchorch_column(i, 3, &isnull));
		row->method = DatumGetArrayTypePCopy(benchorch_column(i, 4, &isnull));
		row->min_version = benchorch_column_text(i, 5);
		row->max_version = benchorch_column_text(i, 6);
		adapter->n++;
	}
	if (benchorch_run(&select_requests, values, NULL) > 0)
	{
		bool		isnull;

		MemoryContextSwitchTo(context);
		adapter->has_requests = true;
		adapter->requests = PointerGetDatum(PG_DETOAST_DATUM_COPY(benchorch_column(0, 1, &isnull)));
	}
	MemoryContextSwitchTo(context);
	return n > 0 || adapter->has_requests ? adapter : NULL;
}

char *
benchorch_guess_adapter(Jsonb *raw, bool *lines)
{
	uint64		n = benchorch_run(&select_signs, NULL, NULL);
	Datum		no_vars = empty_object();

	for (uint64 i = 0; i < n; i++)
	{
		bool		isnull;

		if (JB_ROOT_COUNT(benchorch_find(raw, benchorch_column(i, 2, &isnull), no_vars)) > 0)
		{
			if (lines)
				*lines = DatumGetBool(benchorch_column(i, 3, &isnull));
			return benchorch_column_text(i, 1);
		}
	}
	return NULL;
}

bool
benchorch_adapter_has_lines(const char *name)
{
	Datum		values[1] = {CStringGetTextDatum(name)};
	bool		isnull;

	return benchorch_run(&select_lines, values, NULL) > 0 && DatumGetBool(benchorch_column(0, 1, &isnull));
}

Datum
benchorch_guess_adapter_sql(PG_FUNCTION_ARGS)
{
	char	   *name;
	text	   *result = NULL;

	benchorch_require(fcinfo, 0, "raw");
	SPI_connect();
	name = benchorch_guess_adapter(PG_GETARG_JSONB_P(0), NULL);
	if (name)
	{
		Size		size = strlen(name) + VARHDRSZ;

		result = SPI_palloc(size);
		SET_VARSIZE(result, size);
		memcpy(VARDATA(result), name, strlen(name));
	}
	SPI_finish();
	if (result == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(result);
}
