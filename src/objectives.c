/*
 * What a cell is worth: its value of each objective, with its interval.
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
#include "utils/array.h"
#include "utils/builtins.h"

const Objective benchorch_objectives[OBJECTIVES] = {
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
			if (strcmp(name, benchorch_objectives[i].name) == 0)
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

int
benchorch_tags_of(const Ranks *ranks, const Cell *cell, ObjectiveName objective, bool derived)
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

int
benchorch_within_service_level(const Ranks *ranks, const Cell *cell)
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
		return (Measure){.summary = {0, NAN, NAN, NAN, NAN}, .metric = "output_tokens_per_s"};
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

	if (measure.summary.n == 0 && benchorch_within_service_level(ranks, cell) == 1)
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

double *
benchorch_best(const Ranks *ranks, ObjectiveName objective, int workload, int tags)
{
	int64		row = (int64) objective * (ranks->cells->workloads.n + 1) + workload + 1;

	return &ranks->best[row * (ranks->tags.n + 1) + tags];
}

static Measure
score(const Ranks *ranks, const Cell *cell)
{
	const Demand *demand = cell->key.workload < 0 ? NULL : &ranks->demands[cell->key.workload];
	Measure		measure = {.metric = "score"};
	double		weights = 0;
	Summary		sum = {.stddev = NAN};

	for (int i = 0; demand && i < SCORE; i++)
	{
		const Objective *objective = &benchorch_objectives[i];
		/* in any ranking of the workload: number -1 of the tags */
		bool		anybody = !isnan(*benchorch_best(ranks, i, cell->key.workload, ranks->tags.n));
		Measure		part;
		double		best;

		if (!(demand->weights[i] > 0) || !anybody)
			continue;
		weights += demand->weights[i];
		part = benchorch_measure(ranks, cell, i);
		if (part.summary.n == 0)
			continue;
		best = *benchorch_best(ranks, i, cell->key.workload, benchorch_tags_of(ranks, cell, i, part.derived));
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

Measure
benchorch_measure(const Ranks *ranks, const Cell *cell, ObjectiveName objective)
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

/* ------------------------------------------------------------------ demands */

void
benchorch_read_demands(Ranks *ranks)
{
	Cells	   *cells = ranks->cells;
	int64		nbest;

	ranks->prices = read_prices();
	ranks->demands = palloc(sizeof(Demand) * Max(cells->workloads.n, 1));
	for (int i = 0; i < cells->workloads.n; i++)
		ranks->demands[i] = read_demand(cells->workloads.datums[i]);
	ranks->tags = benchorch_make_words("benchorch tags");
	ranks->tags_of = palloc(sizeof(int) * Max(cells->methods.n, 1) * OBJECTIVES * 2);
	for (int method = 0; method < cells->methods.n; method++)
		for (int i = 0; i < OBJECTIVES * 2; i++)
			ranks->tags_of[method * OBJECTIVES * 2 + i] =
				tags_number(ranks, cells->methods.datums[method], &benchorch_objectives[i / 2], i % 2);
	nbest = (int64) OBJECTIVES * (cells->workloads.n + 1) * (ranks->tags.n + 1);
	ranks->best = palloc_extended(sizeof(double) * nbest, MCXT_ALLOC_HUGE);
	for (int64 i = 0; i < nbest; i++)
		ranks->best[i] = NAN;
}
