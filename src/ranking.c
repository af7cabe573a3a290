/*
 * Cells into ranks: rank_model, the heart of finalize().
 *
 * All of it is arithmetic in memory over the cells that cells.c has read; then
 * cell_statistics is written whole, and of every ranking the first 10,000.
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
 *
 * The score is the weighted mean of value / best (best / value where less is
 * better), each against the best that it is ranked with.  An objective that no
 * cell of the workload has a value for does not count; where only this cell
 * lacks it, it counts as 0.
 */
#include "benchorch.h"
#include "ranking.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(benchorch_rank_model);
PG_FUNCTION_INFO_V1(benchorch_ranked_cells);
PG_FUNCTION_INFO_V1(benchorch_ranked_places);

/* How many cells of a ranking are written. */
#define RANKED_CELLS 10000

typedef enum ObjectiveName
{
	OUTPUT_TOKENS_PER_S,
	TOKENS_PER_S_PER_GPU,
	TTFT,
	TPOT,
	COST_PER_MILLION_TOKENS,
	JOULES_PER_TOKEN,
	ROOFLINE,
	GOODPUT_PER_GPU,
	SCORE,
	OBJECTIVES
} ObjectiveName;

typedef struct Objective
{
	const char *name;
	const char *about;			/* its tags begin with this and "="; NULL: all tags touch it */
	bool		most_first;
} Objective;

static const Objective objectives[OBJECTIVES] = {
	[OUTPUT_TOKENS_PER_S] = {"output_tokens_per_s", "output", true},
	[TOKENS_PER_S_PER_GPU] = {"tokens_per_s_per_gpu", "output", true},
	[TTFT] = {"ttft", "ttft", false},
	[TPOT] = {"tpot", "tpot", false},
	[COST_PER_MILLION_TOKENS] = {"cost_per_million_tokens", "output", false},
	[JOULES_PER_TOKEN] = {"joules_per_token", "energy", false},
	[ROOFLINE] = {"roofline", "roofline", true},
	[GOODPUT_PER_GPU] = {"goodput_per_gpu", "goodput", true},
	[SCORE] = {"score", NULL, true},
};

/* A cell's value of an objective. */
typedef struct Measure
{
	Summary		summary;		/* n 0: it has none */
	const char *metric;			/* what it was made of */
	bool		derived;		/* a goodput that the tool did not count itself */
} Measure;

/* What a workload asks for. */
typedef struct Demand
{
	double		ttft_ms;		/* service level; NaN: none */
	double		tpot_ms;
	double		weights[OBJECTIVES];
} Demand;

/* A cell in one ranking. */
typedef struct Entry
{
	int32		workload;
	int32		tags;			/* number in Ranks.tags */
	double		key;			/* the value, negated where most is best; and its interval */
	double		low;
	double		high;
	int64		cell;
	int64		config_id;
} Entry;

/* A row of rankings. */
typedef struct Place
{
	ObjectiveName objective;
	int32		tags;
	int32		rank;
	int64		cell;
} Place;

typedef struct Ranks
{
	pg_uuid_t	model_version_id;
	Cells	   *cells;
	HTAB	   *prices;			/* by hardware */
	Demand	   *demands;		/* by workload number */
	Words		tags;
	int		   *tags_of;		/* number in tags, by method, objective and derived or not */
	Entry	   *entries;
	int64		nentries;
	double	   *best;			/* by objective, workload and tags; NaN: no value */
	Place	   *places;
	int64		nplaces;
	int64		places_allocated;
} Ranks;

/* ------------------------------------------------------------------- catalog */

typedef struct Price
{
	int32		id;				/* hash key: must be first */
	double		gpu_price;		/* of one GPU for an hour; NaN: unknown */
} Price;

static Statement select_prices = {
	.sql = "SELECT id, price_per_hour / gpu_count FROM benchorch.hardware_configs",
	.nargs = 0
};

static Statement select_demand = {
	.sql = "SELECT s.ttft_ms, s.tpot_ms, w.objective, w.weight"
	" FROM (VALUES (1)) AS one LEFT JOIN benchorch.service_levels s ON s.workload = $1"
	" LEFT JOIN benchorch.objective_weights w ON w.workload ="
	"  CASE WHEN EXISTS (SELECT FROM benchorch.objective_weights o WHERE o.workload = $1) THEN $1 ELSE '*' END",
	.nargs = 1,
	.types = {TEXTOID}
};

static HTAB *
read_prices(void)
{
	HASHCTL		info = {.keysize = sizeof(int32), .entrysize = sizeof(Price), .hcxt = CurrentMemoryContext};
	HTAB	   *prices = hash_create("benchorch prices", 64, &info, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
	uint64		n = benchorch_run(&select_prices, NULL, NULL);

	for (uint64 i = 0; i < n; i++)
	{
		int32		id = benchorch_column_int32(i, 1);
		bool		isnull;
		Datum		value = benchorch_column(i, 2, &isnull);
		Price	   *price = hash_search(prices, &id, HASH_ENTER, NULL);

		price->gpu_price = isnull ? NAN : DatumGetFloat8(value);
	}
	return prices;
}

static double
number_or_nan(uint64 row, int column)
{
	bool		isnull;
	Datum		value = benchorch_column(row, column, &isnull);

	return isnull ? NAN : DatumGetFloat8(value);
}

static Demand
read_demand(Datum workload)
{
	Demand		demand = {0};
	uint64		n = benchorch_run(&select_demand, &workload, NULL);

	demand.ttft_ms = number_or_nan(0, 1);
	demand.tpot_ms = number_or_nan(0, 2);
	for (uint64 row = 0; row < n; row++)
	{
		char	   *name = benchorch_column_text(row, 3);

		for (int i = 0; name && i < SCORE; i++)
			if (strcmp(name, objectives[i].name) == 0)
				demand.weights[i] = number_or_nan(row, 4);
	}
	return demand;
}

/* The tags of a method that touch an objective. */
static int
tags_number(Ranks *ranks, Datum method, const Objective *objective, bool derived)
{
	Datum	   *tags;
	int			n;
	int			kept = 0;
	Size		about = objective->about ? strlen(objective->about) : 0;

	deconstruct_array(DatumGetArrayTypeP(method), TEXTOID, -1, false, TYPALIGN_INT, &tags, NULL, &n);
	for (int i = 0; i < n; i++)
	{
		char	   *tag = TextDatumGetCString(tags[i]);

		if (objective->about == NULL || strchr(tag, '=') == NULL ||
			(strncmp(tag, objective->about, about) == 0 && tag[about] == '='))
			tags[kept++] = tags[i];
	}
	if (derived)
	{
		tags = memcpy(palloc(sizeof(Datum) * (kept + 1)), tags, sizeof(Datum) * kept);
		tags[kept++] = CStringGetTextDatum("goodput=p99");
	}
	return benchorch_word(&ranks->tags, PointerGetDatum(construct_array(tags, kept, TEXTOID, -1, false, TYPALIGN_INT)),
						  false);
}

static int
tags_of(const Ranks *ranks, const Cell *cell, ObjectiveName objective, bool derived)
{
	return ranks->tags_of[(cell->key.method * OBJECTIVES + objective) * 2 + derived];
}

/* -------------------------------------------------------------------- values */

static Summary
scaled(Summary summary, double factor)
{
	summary.median *= factor;
	summary.low *= factor;
	summary.high *= factor;
	summary.stddev *= factor;
	return summary;
}

static Measure
measure_metric(const Ranks *ranks, const Cell *cell, CellMetric metric, const char *name)
{
	return (Measure){.summary = benchorch_cell_summary(ranks->cells, cell, metric), .metric = name};
}

/* The first of two metrics that the cell has. */
static Measure
measure_either(const Ranks *ranks, const Cell *cell, CellMetric first, const char *first_name, CellMetric second,
			   const char *second_name)
{
	Measure		measure = measure_metric(ranks, cell, first, first_name);

	return measure.summary.n > 0 ? measure : measure_metric(ranks, cell, second, second_name);
}

/* 1: the tails of TTFT and TPOT keep the workload's service level, 0: they do not, -1: not evaluated. */
static int
within_service_level(const Ranks *ranks, const Cell *cell)
{
	const Demand *demand = cell->key.workload < 0 ? NULL : &ranks->demands[cell->key.workload];
	double		ttft = benchorch_cell_summary(ranks->cells, cell, CELL_ttft_p99_ms).median;
	double		tpot = benchorch_cell_summary(ranks->cells, cell, CELL_tpot_p99_ms).median;

	if (demand == NULL || isnan(demand->ttft_ms) || isnan(demand->tpot_ms) || isnan(ttft) || isnan(tpot))
		return -1;
	return ttft <= demand->ttft_ms && tpot <= demand->tpot_ms;
}

static Measure
cost(const Ranks *ranks, const Cell *cell)
{
	Measure		measure = measure_metric(ranks, cell, CELL_output_tokens_per_s, "output_tokens_per_s");
	Summary    *s = &measure.summary;
	Price	   *found = hash_search(ranks->prices, &cell->key.hardware_config_id, HASH_FIND, NULL);
	double		price = found ? found->gpu_price * cell->key.gpus / 3600 * 1e6 : NAN;
	Summary		speed = *s;

	if (isnan(price) || s->n == 0 || s->low <= 0)
		return (Measure){.metric = "output_tokens_per_s"};
	s->median = price / speed.median;
	s->low = price / speed.high;
	s->high = price / speed.low;
	s->stddev = price / speed.median * (speed.stddev / speed.median);	/* to the first order */
	return measure;
}

static Measure
goodput(const Ranks *ranks, const Cell *cell)
{
	Measure		measure = measure_metric(ranks, cell, CELL_goodput_per_s, "goodput_per_s");

	if (measure.summary.n == 0 && within_service_level(ranks, cell) == 1)
	{
		measure = measure_metric(ranks, cell, CELL_requests_per_s, "requests_per_s");
		measure.derived = true;
	}
	measure.summary = scaled(measure.summary, 1.0 / cell->key.gpus);
	return measure;
}

/* How good a value is beside the best, from 0 to 1. */
static double
share_of_best(const Objective *objective, double value, double best)
{
	double		share = objective->most_first ? value / best : best / value;

	return value == best ? 1 : isnan(share) ? 0
											: Min(share, 1);
}

static double *
best_of(const Ranks *ranks, ObjectiveName objective, int workload, int tags)
{
	return &ranks->best[((int64) objective * (ranks->cells->workloads.n + 1) + workload + 1) * (ranks->tags.n + 1) + tags];
}

static Measure measure_of(const Ranks *ranks, const Cell *cell, ObjectiveName objective);

static Measure
score(const Ranks *ranks, const Cell *cell)
{
	const Demand *demand = cell->key.workload < 0 ? NULL : &ranks->demands[cell->key.workload];
	Measure		measure = {.metric = "score"};
	double		weights = 0;
	Summary		sum = {.stddev = NAN};

	for (int i = 0; demand && i < SCORE; i++)
	{
		const Objective *objective = &objectives[i];
		/* in any ranking of the workload: number -1 of the tags */
		bool		anybody = !isnan(*best_of(ranks, i, cell->key.workload, ranks->tags.n));
		Measure		part;
		double		best;

		if (!(demand->weights[i] > 0) || !anybody)
			continue;
		weights += demand->weights[i];
		part = measure_of(ranks, cell, i);
		if (part.summary.n == 0)
			continue;
		best = *best_of(ranks, i, cell->key.workload, tags_of(ranks, cell, i, part.derived));
		sum.n = Max(sum.n, part.summary.n);
		sum.median += demand->weights[i] * share_of_best(objective, part.summary.median, best);
		sum.low += demand->weights[i] *
			share_of_best(objective, objective->most_first ? part.summary.low : part.summary.high, best);
		sum.high += demand->weights[i] *
			share_of_best(objective, objective->most_first ? part.summary.high : part.summary.low, best);
	}
	if (sum.n > 0)
		measure.summary = scaled(sum, 1 / weights);
	return measure;
}

static Measure
measure_of(const Ranks *ranks, const Cell *cell, ObjectiveName objective)
{
	Measure		measure = {.metric = ""};

	switch (objective)
	{
		case OUTPUT_TOKENS_PER_S:
			return measure_metric(ranks, cell, CELL_output_tokens_per_s, "output_tokens_per_s");
		case TOKENS_PER_S_PER_GPU:
			measure = measure_metric(ranks, cell, CELL_output_tokens_per_s, "output_tokens_per_s");
			measure.summary = scaled(measure.summary, 1.0 / cell->key.gpus);
			return measure;
		case TTFT:
			return measure_either(ranks, cell, CELL_ttft_p50_ms, "ttft_p50_ms", CELL_ttft_mean_ms, "ttft_mean_ms");
		case TPOT:
			return measure_either(ranks, cell, CELL_tpot_p50_ms, "tpot_p50_ms", CELL_tpot_mean_ms, "tpot_mean_ms");
		case COST_PER_MILLION_TOKENS:
			return cost(ranks, cell);
		case JOULES_PER_TOKEN:
			return measure_metric(ranks, cell, CELL_joules_per_output_token, "energy_j");
		case ROOFLINE:
			return measure_metric(ranks, cell, CELL_roofline_decode, "roofline_decode");
		case GOODPUT_PER_GPU:
			return goodput(ranks, cell);
		case SCORE:
			return score(ranks, cell);
		case OBJECTIVES:
			break;
	}
	return measure;
}

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
		bool		most_first = objectives[objective].most_first;

		if (cell->flagged)
			continue;
		measure = measure_of(ranks, cell, objective);
		if (measure.summary.n == 0)
			continue;
		if (objective == SCORE)
			cell->score = measure.summary.median;
		cell->ranked = true;
		entry = &ranks->entries[ranks->nentries++];
		entry->workload = cell->key.workload;
		entry->tags = tags_of(ranks, cell, objective, measure.derived);
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
		double		value = objectives[objective].most_first ? -entry->key : entry->key;

		if (i > 0 && same_ranking(entry, entry - 1))
			continue;
		*best_of(ranks, objective, entry->workload, entry->tags) = value;
		*best_of(ranks, objective, entry->workload, ranks->tags.n) = value;
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
	double		tpot = measure_of(ranks, cell, TPOT).summary.median;

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
		point.tags = tags_of(ranks, cell, SCORE, false);
		point.low = tokens_per_s_per_user(ranks, cell);
		point.high = measure_of(ranks, cell, TOKENS_PER_S_PER_GPU).summary.median;
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
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(cell->flagged ? psprintf("{\"noise\": {\"noise_rel\": %.15g}}", cell->noise_rel) : "{}"));
}

static void
put_cell(ReturnSetInfo *rsinfo, const Ranks *ranks, const Cell *cell, Datum no_flags)
{
	const Cells *cells = ranks->cells;
	const CellKey *key = &cell->key;
	Datum		values[CELL_COLUMNS];
	bool		nulls[CELL_COLUMNS];
	int			column = 0;
	int			within = within_service_level(ranks, cell);
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
	put_interval(values, nulls, &column, measure_of(ranks, cell, TTFT).summary);
	put_interval(values, nulls, &column, measure_of(ranks, cell, TPOT).summary);
	PUT_NUMBER(output.median / key->gpus);
	PUT_NUMBER(tokens_per_s_per_user(ranks, cell));
	PUT_NUMBER(cost(ranks, cell).summary.n > 0 ? cost(ranks, cell).summary.median : NAN);
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
		Measure		measure = measure_of(given, cell, place->objective);
		Datum		values[PLACE_COLUMNS];
		bool		nulls[PLACE_COLUMNS];
		int			column = 0;

		PUT(UUIDPGetDatum(&given->model_version_id));
		PUT_IF(workload >= 0, workload >= 0 ? given->cells->workloads.datums[workload] : (Datum) 0);
		PUT(CStringGetTextDatum(objectives[place->objective].name));
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
	int64		nbest;

	ranks->model_version_id = *model_version_id;
	ranks->cells = cells;
	ranks->prices = read_prices();
	ranks->demands = palloc(sizeof(Demand) * Max(cells->workloads.n, 1));
	for (int i = 0; i < cells->workloads.n; i++)
		ranks->demands[i] = read_demand(cells->workloads.datums[i]);
	ranks->tags = benchorch_make_words("benchorch tags");
	ranks->tags_of = palloc(sizeof(int) * Max(cells->methods.n, 1) * OBJECTIVES * 2);
	for (int method = 0; method < cells->methods.n; method++)
		for (int i = 0; i < OBJECTIVES * 2; i++)
			ranks->tags_of[method * OBJECTIVES * 2 + i] =
				tags_number(ranks, cells->methods.datums[method], &objectives[i / 2], i % 2);
	nbest = (int64) OBJECTIVES * (cells->workloads.n + 1) * (ranks->tags.n + 1);
	ranks->best = palloc_extended(sizeof(double) * nbest, MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < nbest; i++)
		ranks->best[i] = NAN;
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
