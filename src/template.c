/*
 * Templates: reading one, and asking questions over the cells that it spans.
 */
#include "template.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"

static Statement select_model = {
	.sql = "SELECT architecture FROM benchorch.model_versions WHERE id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement select_template = {
	.sql = "SELECT id, spec FROM benchorch.templates WHERE name = $1",
	.nargs = 1,
	.types = {TEXTOID}
};

static Statement unknown_names = {
	.sql = "SELECT kind, name FROM ("
	" SELECT 'hardware' AS kind, n AS name FROM pg_catalog.jsonb_array_elements_text($1 -> 'hardware') AS n"
	"  WHERE n NOT IN (SELECT name FROM benchorch.hardware_configs)"
	" UNION ALL SELECT 'framework', n FROM pg_catalog.jsonb_array_elements_text($1 -> 'frameworks') AS n"
	"  WHERE n NOT IN (SELECT name FROM benchorch.frameworks)"
	" UNION ALL SELECT 'workload', n FROM pg_catalog.jsonb_array_elements_text($1 -> 'workloads') AS n"
	"  WHERE n NOT IN (SELECT name FROM benchorch.workloads)) AS unknown",
	.nargs = 1,
	.types = {JSONBOID}
};

static Oid	types[4] = {UUIDOID, INT4OID, JSONBOID, JSONBOID};

uint64
benchorch_run_cells(const char *sql, Matrix *matrix)
{
	int			rc = SPI_execute_with_args(sql, lengthof(types), types, matrix->values, matrix->nulls, false, 0);

	if (rc < 0)
		elog(ERROR, "could not execute: %s", SPI_result_code_string(rc));
	return SPI_processed;
}

Portal
benchorch_open_cells(const char *sql, Matrix *matrix)
{
	return SPI_cursor_open_with_args(NULL, sql, lengthof(types), types, matrix->values, matrix->nulls, false, 0);
}

void
benchorch_read_matrix(Datum model_version_id, Datum template, Matrix *matrix)
{
	Datum	   *values = matrix->values;
	bool		isnull;
	char	   *name = text_to_cstring(DatumGetTextPP(template));

	values[0] = model_version_id;
	benchorch_require_model(DatumGetUUIDP(model_version_id));
	benchorch_run(&select_model, values, NULL);
	values[3] = benchorch_column(0, 1, &isnull);
	strcpy(matrix->nulls, isnull ? "   n" : "    ");
	if (benchorch_run(&select_template, &template, NULL) == 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("template \"%s\" does not exist", name),
				 strcmp(name, "default") == 0
					 ? errhint("Load the reference data first: SELECT benchorch.seed_reference_data();")
					 : errhint("Create it first: benchorch.create_template().")));
	values[1] = Int32GetDatum(benchorch_column_int32(0, 1));
	values[2] = benchorch_column(0, 2, &isnull);
	if (benchorch_run(&unknown_names, values + 2, NULL) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_OBJECT),
				 errmsg("%s \"%s\" of template \"%s\" does not exist",
						benchorch_column_text(0, 1), benchorch_column_text(0, 2), name),
				 errhint("Register it, or change the template: benchorch.create_template().")));
}
