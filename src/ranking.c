/*
 * Cells into ranks: rank_model, the heart of finalize().
 *
 * All of it is arithmetic in memory over the cells that cells.c has read, by
 * what objectives.c makes of them; then cell_statistics is written whole, and
 * of every ranking the first 10,000.
 *
 * Cells are ranked together where their workload is the same, and the tags
 * that touch the objective: those that are one word and hold for the whole
 * result (static_batch), and those of the objective's own metric (ttft=...).
 *
 * A rank.  Cells are sorted by value, the best first.  The first one leads;
 * whoever's interval overlaps the leader's shares its rank, and the first that
 * does not leads the next one, whose number is its place.  To overlap is no
 * order by itself (A may overlap B and B overlap C, but A not C); measured
 * against a leader it is one.  Equal values are sorted by their intervals, then
 * by id, so nothing depends on the order in which results came.
 *
 * The frontier.  A cell is off it only where another of the same workload and
 * tags is at least as good in both tokens/s/user and tokens/s/GPU, and better
 * in one: equal points are on it together.
 */
#include "benchorch.h"
#include "ranking.h"

#include <float.h>
#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(benchorch_rank_model);
PG_FUNCTION_INFO_V1(benchorch_ranked_cells);
PG_FUNCTION_INFO_V1(benchorch_ranked_places);

/* How many cells of a ranking are written. */
#define RANKED_CELLS 10000

/* ------------------------------------------------------------------- ranking */

static int
by_value(const void *pa, const void *pb)
{
	const Entry *a = pa;
	const Entry *b = pb;

	if (a->workload != b->workload)
		return a->workload < b->workload ? -1 : 1;
	if (a->tags != b->tags)
		return a->tags < b->tags ? -1 : 1;
	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	if (a->low != b->low)
		return a->low < b->low ? -1 : 1;
	if (a->high != b->high)
		return a->high < b->high ? -1 : 1;
	return (a->config_id > b->config_id) - (a->config_id < b->config_id);
}

static bool
same_ranking(const Entry *a, const Entry *b)
{
	return a->workload == b->workload && a->tags == b->tags;
}

/* The cells that have a value of the objective; notes the best of each ranking. */
static void
collect_entries(Ranks *ranks, ObjectiveName objective)
{
	Cells	   *cells = ranks->cells;

	ranks->nentries = 0;
	for (int64 i = 0; i < cells->ncells; i++)
	{
		Cell	   *cell = &cells->cells[i];
		Measure		measure;
		Entry	   *entry;
		bool		most_first = benchorch_objectives[objective].most_first;

		if (cell->flagged)
			continue;
		measure = benchorch_measure(ranks, cell, objective);
		if (measure.summary.n == 0)
			continue;
		if (objective == SCORE)
			cell->score = measure.summary.median;
		cell->ranked = true;
		entry = &ranks->entries[ranks->nentries++];
		entry->workload = cell->key.workload;
		entry->tags = benchorch_tags_of(ranks, cell, objective, measure.derived);
		entry->key = most_first ? -measure.summary.median : measure.summary.median;
		entry->low = most_first ? -measure.summary.high : measure.summary.low;
		entry->high = most_first ? -measure.summary.low : measure.summary.high;
		entry->cell = i;
		entry->config_id = cell->config_id;
	}
	qsort(ranks->entries, ranks->nentries, sizeof(Entry), by_value);
}

static void
note_best(Ranks *ranks, ObjectiveName objective)
{
	for (int64 i = 0; i < ranks->nentries; i++)
	{
		const Entry *entry = &ranks->entries[i];
		double		value = benchorch_objectives[objective].most_first ? -entry->key : entry->key;

		if (i > 0 && same_ranking(entry, entry - 1))
			continue;
		*benchorch_best(ranks, objective, entry->workload, entry->tags) = value;
		*benchorch_best(ranks, objective, entry->workload, ranks->tags.n) = value;
	}
}

static void
place_entries(Ranks *ranks, ObjectiveName objective)
{
	const Entry *leader = NULL;
	int64		start = 0;
	int32		rank = 0;

	for (int64 i = 0; i < ranks->nentries; i++)
	{
		const Entry *entry = &ranks->entries[i];

		if (leader == NULL || !same_ranking(entry, leader))
			start = i;
		if (start == i || entry->low > leader->high)
		{
			leader = entry;
			rank = (int32) (i - start + 1);
		}
		if (i - start >= RANKED_CELLS)
			continue;
		if (ranks->nplaces == ranks->places_allocated)
		{
			ranks->places_allocated *= 2;
			ranks->places = repalloc_huge(ranks->places, sizeof(Place) * ranks->places_allocated);
		}
		ranks->places[ranks->nplaces++] = (Place){objective, entry->tags, rank, entry->cell};
	}
}

/* ------------------------------------------------------------------ frontier */

static double
tokens_per_s_per_user(const Ranks *ranks, const Cell *cell)
{
	double		tpot = benchorch_measure(ranks, cell, TPOT).summary.median;

	return tpot > 0 ? 1000 / tpot : NAN;
}

static int
by_point(const void *pa, const void *pb)
{
	const Entry *a = pa;
	const Entry *b = pb;

	if (a->workload != b->workload)
		return a->workload < b->workload ? -1 : 1;
	if (a->tags != b->tags)
		return a->tags < b->tags ? -1 : 1;
	if (a->low != b->low)
		return a->low > b->low ? -1 : 1;
	return (a->high < b->high) - (a->high > b->high);
}

/* Entries here are points: low is tokens/s/user, high is tokens/s/GPU, the tags are all of the tool's. */
static void
mark_frontier(Ranks *ranks)
{
	Cells	   *cells = ranks->cells;
	double		highest = 0;	/* tokens/s/GPU of what is faster for a user */
	double		highest_here = 0;	/* and of what is as fast */

	ranks->nentries = 0;
	for (int64 i = 0; i < cells->ncells; i++)
	{
		const Cell *cell = &cells->cells[i];
		Entry		point = {.workload = cell->key.workload, .cell = i};

		if (cell->flagged)
			continue;
		point.tags = benchorch_tags_of(ranks, cell, SCORE, false);
		point.low = tokens_per_s_per_user(ranks, cell);
		point.high = benchorch_measure(ranks, cell, TOKENS_PER_S_PER_GPU).summary.median;
		if (!isnan(point.low) && !isnan(point.high))
			ranks->entries[ranks->nentries++] = point;
	}
	qsort(ranks->entries, ranks->nentries, sizeof(Entry), by_point);
	for (int64 i = 0; i < ranks->nentries; i++)
	{
		const Entry *point = &ranks->entries[i];

		if (i == 0 || !same_ranking(point, point - 1))
		{
			highest = -1;
			highest_here = point->high;
		}
		else if (point->low != (point - 1)->low)
		{
			highest = Max(highest, highest_here);
			highest_here = point->high;
		}
		cells->cells[point->cell].on_frontier = point->high == highest_here && point->high > highest;
	}
}

/* ------------------------------------------------------------------- writing */

/* What ranked_cells() and ranked_places() give while rank_model() writes. */
static const Ranks *given = NULL;

static void
put(Datum *values, bool *nulls, int *column, Datum value, bool isnull)
{
	values[*column] = value;
	nulls[(*column)++] = isnull;
}

#define PUT(value) put(values, nulls, &column, (value), false)
#define PUT_IF(present, value) put(values, nulls, &column, (value), !(present))
#define PUT_NUMBER(number) put_number(values, nulls, &column, (number))

static void
put_number(Datum *values, bool *nulls, int *column, double number)
{
	put(values, nulls, column, Float8GetDatum(number), isnan(number));
}

static void
put_interval(Datum *values, bool *nulls, int *column, Summary summary)
{
	put_number(values, nulls, column, summary.median);
	put_number(values, nulls, column, summary.low);
	put_number(values, nulls, column, summary.high);
}

/* The columns of cell_statistics. */
#define CELL_COLUMNS (13 + CELL_METRIC_COUNT + 15)

static Datum
flags_of(const Cell *cell)
{
	const char *flags = "{}";

	if (cell->flagged)
		flags = psprintf("{\"noise\": {\"noise_rel\": %.15g}}", Min(cell->noise_rel, DBL_MAX));
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(flags));
}

static void
put_cell(ReturnSetInfo *rsinfo, const Ranks *ranks, const Cell *cell, Datum no_flags)
{
	const Cells *cells = ranks->cells;
	const CellKey *key = &cell->key;
	Datum		values[CELL_COLUMNS];
	bool		nulls[CELL_COLUMNS];
	int			column = 0;
	int			within = benchorch_within_service_level(ranks, cell);
	Summary		output = benchorch_cell_summary(cells, cell, CELL_output_tokens_per_s);

	PUT(UUIDPGetDatum(&ranks->model_version_id));
	PUT(Int64GetDatum(cell->config_id));
	PUT_IF(key->hardware_config_id != 0, Int32GetDatum(key->hardware_config_id));
	PUT(Int32GetDatum(key->framework_id));
	PUT_IF(key->workload >= 0, key->workload >= 0 ? cells->workloads.datums[key->workload] : (Datum) 0);
	PUT_IF(key->batch_size != 0, Int32GetDatum(key->batch_size));
	PUT_IF(key->sequence_length != 0, Int32GetDatum(key->sequence_length));
	PUT(cells->params.datums[key->params]);
	PUT(Int32GetDatum(key->gpus));
	PUT(cells->methods.datums[key->method]);
	PUT(Int32GetDatum(cell->n));
	PUT(cell->flagged ? flags_of(cell) : no_flags);
	PUT(TimestampTzGetDatum(cell->measured_at));
	for (int metric = 0; metric < CELL_METRIC_COUNT; metric++)
		PUT_NUMBER(metric == CELL_noise_rel ? cell->noise_rel : benchorch_cell_summary(cells, cell, metric).median);
	PUT_NUMBER(output.stddev);
	PUT_NUMBER(output.low);
	PUT_NUMBER(output.high);
	put_interval(values, nulls, &column, benchorch_measure(ranks, cell, TTFT).summary);
	put_interval(values, nulls, &column, benchorch_measure(ranks, cell, TPOT).summary);
	PUT_NUMBER(output.median / key->gpus);
	PUT_NUMBER(tokens_per_s_per_user(ranks, cell));
	PUT_NUMBER(benchorch_measure(ranks, cell, COST_PER_MILLION_TOKENS).summary.median);
	PUT_IF(within >= 0, BoolGetDatum(within == 1));
	PUT(BoolGetDatum(cell->on_frontier));
	PUT_NUMBER(cell->score);
	Assert(column == CELL_COLUMNS);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ranked_cells() -> rows of cell_statistics */
Datum
benchorch_ranked_cells(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum		no_flags = flags_of(&(Cell){.flagged = false});

	InitMaterializedSRF(fcinfo, 0);
	if (rsinfo->setDesc->natts != CELL_COLUMNS)
		elog(ERROR, "benchorch.cell_statistics must have %d columns", CELL_COLUMNS);
	for (int64 i = 0; given && i < given->cells->ncells; i++)
		put_cell(rsinfo, given, &given->cells->cells[i], no_flags);
	return (Datum) 0;
}

#define PLACE_COLUMNS 12

/* ranked_places() -> rows of rankings */
Datum
benchorch_ranked_places(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;

	InitMaterializedSRF(fcinfo, 0);
	if (rsinfo->setDesc->natts != PLACE_COLUMNS)
		elog(ERROR, "benchorch.rankings must have %d columns", PLACE_COLUMNS);
	for (int64 i = 0; given && i < given->nplaces; i++)
	{
		const Place *place = &given->places[i];
		const Cell *cell = &given->cells->cells[place->cell];
		int			workload = cell->key.workload;
		Measure		measure = benchorch_measure(given, cell, place->objective);
		Datum		values[PLACE_COLUMNS];
		bool		nulls[PLACE_COLUMNS];
		int			column = 0;

		PUT(UUIDPGetDatum(&given->model_version_id));
		PUT_IF(workload >= 0, workload >= 0 ? given->cells->workloads.datums[workload] : (Datum) 0);
		PUT(CStringGetTextDatum(benchorch_objectives[place->objective].name));
		PUT(given->tags.datums[place->tags]);
		PUT(Int32GetDatum(place->rank));
		PUT(Int64GetDatum(cell->config_id));
		PUT(CStringGetTextDatum(measure.metric));
		put_interval(values, nulls, &column, measure.summary);
		PUT_NUMBER(measure.summary.stddev);
		PUT(Int32GetDatum(measure.summary.n));
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
	return (Datum) 0;
}

static Statement delete_cells = {
	.sql = "DELETE FROM benchorch.cell_statistics WHERE model_version_id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement delete_places = {
	.sql = "DELETE FROM benchorch.rankings WHERE model_version_id = $1",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement insert_cells = {
	.sql = "INSERT INTO benchorch.cell_statistics SELECT * FROM benchorch.ranked_cells()",
	.nargs = 0
};

static Statement insert_places = {
	.sql = "INSERT INTO benchorch.rankings SELECT * FROM benchorch.ranked_places()",
	.nargs = 0
};

static void
write_ranks(const Ranks *ranks)
{
	const Ranks *outer = given;
	Datum		model = UUIDPGetDatum(&ranks->model_version_id);

	benchorch_run(&delete_cells, &model, NULL);
	benchorch_run(&delete_places, &model, NULL);
	PG_TRY();
	{
		given = ranks;
		benchorch_run(&insert_cells, NULL, NULL);
		benchorch_run(&insert_places, NULL, NULL);
	}
	PG_FINALLY();
	{
		given = outer;
	}
	PG_END_TRY();
}

/* ---------------------------------------------------------------- rank_model */

static Ranks *
make_ranks(const pg_uuid_t *model_version_id)
{
	Ranks	   *ranks = palloc0(sizeof(Ranks));
	Cells	   *cells = benchorch_read_cells(model_version_id);

	ranks->model_version_id = *model_version_id;
	ranks->cells = cells;
	benchorch_read_demands(ranks);
	ranks->entries = palloc_extended(sizeof(Entry) * Max(cells->ncells, 1), MCXT_ALLOC_HUGE);
	ranks->places_allocated = 1024;
	ranks->places = palloc(sizeof(Place) * ranks->places_allocated);
	return ranks;
}

/* rank_model(model_version_id): how many cells have a rank. */
Datum
benchorch_rank_model(PG_FUNCTION_ARGS)
{
	MemoryContext own;
	MemoryContext caller;
	Ranks	   *ranks;
	int64		ranked = 0;

	SPI_connect();
	own = AllocSetContextCreate(CurrentMemoryContext, "benchorch ranking", ALLOCSET_DEFAULT_SIZES);
	caller = MemoryContextSwitchTo(own);
	ranks = make_ranks(PG_GETARG_UUID_P(0));
	for (int objective = 0; objective < OBJECTIVES; objective++)
	{
		collect_entries(ranks, objective);
		note_best(ranks, objective);
		place_entries(ranks, objective);
		CHECK_FOR_INTERRUPTS();
	}
	mark_frontier(ranks);
	for (int64 i = 0; i < ranks->cells->ncells; i++)
		ranked += ranks->cells->cells[i].ranked;
	write_ranks(ranks);
	MemoryContextSwitchTo(caller);
	MemoryContextDelete(own);
	SPI_finish();
	PG_RETURN_INT32((int32) ranked);
}
