/*
 * What a matrix is expected to take, before it is populated: predict(), and
 * the words of a dry run.
 */
#include "template.h"

#include <math.h>

#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(benchorch_predict);

/*
 * What the cells that would be created are expected to take, as
 * expected_seconds() (expected.sql) says it of configs: one row a machine type.
 */
static const char predict_cells[] =
	CELLS
	", run AS MATERIALIZED (SELECT * FROM benchorch.measured_runs($1)),"
	" measured AS MATERIALIZED ("
	" SELECT hardware_config_id, framework_id, workload_type, batch_size, sequence_length, params,"
	"  pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds) AS seconds FROM run GROUP BY 1, 2, 3, 4, 5, 6),"
	" pace AS MATERIALIZED ("
	" SELECT l.hardware_config_id, l.framework_id, l.gpus, l.engine,"
	"  pg_catalog.percentile_cont(0.5) WITHIN GROUP (ORDER BY r.seconds / r.expected_s) AS pace"
	" FROM run r JOIN benchorch.lanes l ON l.id = r.lane_id WHERE r.expected_s > 0 GROUP BY 1, 2, 3, 4),"
	" machine_mean AS MATERIALIZED ("
	" SELECT hardware_config_id, pg_catalog.avg(seconds) AS mean FROM run GROUP BY 1),"
	" timed AS ("
	" SELECT repeat.hardware_config_id, repeat.gpus, measured.seconds IS NOT NULL AS known,"
	"  coalesce(measured.seconds, repeat.expected_s * pace.pace, repeat.expected_s, machine_mean.mean,"
	"  (SELECT pg_catalog.avg(seconds) FROM run), 60) AS seconds"
	" FROM repeat"
	" LEFT JOIN measured ON measured.hardware_config_id = repeat.hardware_config_id"
	"  AND measured.framework_id = repeat.framework_id AND measured.workload_type = repeat.workload"
	"  AND measured.batch_size = repeat.batch_size AND measured.sequence_length = repeat.sequence_length"
	"  AND measured.params = repeat.params"
	" LEFT JOIN pace ON pace.hardware_config_id = repeat.hardware_config_id AND pace.framework_id = repeat.framework_id"
	"  AND pace.gpus = repeat.gpus AND pace.engine = repeat.engine"
	" LEFT JOIN machine_mean ON machine_mean.hardware_config_id = repeat.hardware_config_id"
	" WHERE repeat.reason IS NULL AND $2 IS NOT NULL AND NOT " ARCHIVED
	"  AND NOT " KNOWN ")"
	" SELECT h.name, pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE t.known), pg_catalog.sum(t.seconds),"
	" pg_catalog.sum(t.seconds * t.gpus), pg_catalog.max(t.seconds),"
	" pg_catalog.sum(t.seconds * t.gpus / 3600 * h.price_per_hour / h.gpu_count)"
	" FROM timed t JOIN benchorch.hardware_configs h ON h.id = t.hardware_config_id GROUP BY h.id ORDER BY h.id";

static Statement count_live_workers = {
	.sql = "SELECT pg_catalog.count(*) FROM benchorch.workers w JOIN benchorch.worker_leases l ON l.worker_id = w.id"
	" WHERE w.state = 'active' AND l.expires_at > pg_catalog.clock_timestamp()",
	.nargs = 0
};

/* The pods of the replaced system's main job: what a prediction assumes where no worker lives. */
#define USUAL_WORKERS 50

static Datum
seconds_interval(double seconds)
{
	return DirectFunctionCall7(make_interval, Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0), Int32GetDatum(0),
							   Int32GetDatum(0), Int32GetDatum(0), Float8GetDatum(rint(seconds)));
}

/* What a matrix, or one machine type's part of it, is expected to take. */
typedef struct Prediction
{
	int64		configs;
	int64		measured;		/* of them, known from runs of the same cell */
	double		seconds;		/* of one worker that does it all */
	double		gpu_seconds;
	double		longest;		/* the longest config, in seconds */
	double		cost;			/* of the machines that have a price */
	int			priced;			/* machine types that have one */
	int			unpriced;
} Prediction;

/* The least time in which so many workers can be done, if the machines are shared out well. */
static double
makespan(const Prediction *prediction, int workers)
{
	return Max(prediction->longest, prediction->seconds / workers);
}

static int
live_workers(void)
{
	int			workers;

	benchorch_run(&count_live_workers, NULL, NULL);
	workers = (int) benchorch_column_int64(0, 1);
	return workers > 0 ? workers : USUAL_WORKERS;
}

/* A row of predict_cells; the whole is added up. */
static Prediction
read_prediction(uint64 row, Prediction *total)
{
	bool		no_cost;
	bool		isnull;
	Datum		cost = benchorch_column(row, 7, &no_cost);
	Prediction	part = {
		.configs = benchorch_column_int64(row, 2),
		.measured = benchorch_column_int64(row, 3),
		.seconds = DatumGetFloat8(benchorch_column(row, 4, &isnull)),
		.gpu_seconds = DatumGetFloat8(benchorch_column(row, 5, &isnull)),
		.longest = DatumGetFloat8(benchorch_column(row, 6, &isnull)),
		.cost = no_cost ? 0 : DatumGetFloat8(cost),
		.priced = !no_cost,
		.unpriced = no_cost
	};

	total->configs += part.configs;
	total->measured += part.measured;
	total->seconds += part.seconds;
	total->gpu_seconds += part.gpu_seconds;
	total->longest = Max(total->longest, part.longest);
	total->cost += part.cost;
	total->priced += part.priced;
	total->unpriced += part.unpriced;
	return part;
}

static void
put_prediction(ReturnSetInfo *rsinfo, const char *hardware, const Prediction *p, int workers)
{
	Datum		values[7];
	bool		nulls[7] = {false};

	values[0] = hardware ? CStringGetTextDatum(hardware) : (Datum) 0;
	nulls[0] = hardware == NULL;
	values[1] = Int64GetDatum(p->configs);
	values[2] = Int64GetDatum(p->measured);
	values[3] = Float8GetDatum(p->seconds / 3600);
	values[4] = Float8GetDatum(p->gpu_seconds / 3600);
	values[5] = Float8GetDatum(p->cost);
	nulls[5] = p->priced == 0 || p->unpriced > 0;
	values[6] = hardware ? (Datum) 0 : seconds_interval(makespan(p, workers));
	nulls[6] = hardware != NULL;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* predict(model_version_id, template, workers): a row a machine type, and one for all. */
Datum
benchorch_predict(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Prediction	total = {0};
	Matrix		matrix;
	uint64		rows;
	int			workers;

	benchorch_require(fcinfo, 0, "model_version_id");
	benchorch_require(fcinfo, 1, "template");
	if (!PG_ARGISNULL(2) && PG_GETARG_INT32(2) < 1)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("workers must be at least 1"),
				 errdetail("It is %d.", PG_GETARG_INT32(2))));
	InitMaterializedSRF(fcinfo, 0);
	SPI_connect();
	workers = PG_ARGISNULL(2) ? live_workers() : PG_GETARG_INT32(2);
	benchorch_read_matrix(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), &matrix);
	rows = benchorch_run_cells(predict_cells, &matrix);
	for (uint64 row = 0; row < rows; row++)
	{
		Prediction	part = read_prediction(row, &total);

		put_prediction(rsinfo, benchorch_column_text(row, 1), &part, workers);
	}
	put_prediction(rsinfo, NULL, &total, workers);
	SPI_finish();
	PG_RETURN_NULL();
}

void
benchorch_tell_prediction(Matrix *matrix)
{
	Prediction	total = {0};
	uint64		rows = benchorch_run_cells(predict_cells, matrix);
	int			workers;

	for (uint64 row = 0; row < rows; row++)
		read_prediction(row, &total);
	if (total.configs == 0)
		return;
	workers = live_workers();
	ereport(NOTICE,
			(errmsg("Predicted: %.1f GPU-hours, %.1f hours with %d workers", total.gpu_seconds / 3600,
					makespan(&total, workers) / 3600, workers),
			 errhint("benchorch.predict() tells it by machine, and for any number of workers.")));
	if (total.priced > 0)
		ereport(NOTICE,
				(errmsg("Predicted cost: %.2f%s", total.cost,
						total.unpriced > 0 ? psprintf(", without %d machines that have no price", total.unpriced)
										   : "")));
}
