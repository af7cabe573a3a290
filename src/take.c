/*
 * pending -> running, the only place where that happens.
 *
 * A chunk is a hint, the config's row the truth: of the ids that a claim brings
 * only those become running that are still pending and still stand where the
 * chunk says.  The others are dropped with the chunk; they stand in another
 * one, or need none.
 *
 * What the rows of the result share (names, command, deadline, output share)
 * is kept by the session (reference.c).
 */
#include "benchorch.h"

#include <math.h>

#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

/* ------------------------------------------------------------------ the arrow */

/* What a claim wants of one row. */
typedef struct Hint
{
	Claim	   *claim;
	int32		priority;
	int32		lane_id;		/* 0: any */
	Datum		running;
	Taken	   *taken;			/* what it was, where it is taken */
} Hint;

Taken
benchorch_read_taken(const ConfigRow *row)
{
	const ConfigColumns *at = &row->columns;
	Taken		taken;

#define INT32_OR_0(column) (row->nulls[at->column] ? 0 : DatumGetInt32(row->values[at->column]))
	taken = (Taken){
		.id = DatumGetInt64(row->values[at->id]),
		.model_version_id = *DatumGetUUIDP(row->values[at->model_version_id]),
		.hardware_config_id = INT32_OR_0(hardware_config_id),
		.framework_id = DatumGetInt32(row->values[at->framework_id]),
		.template_id = INT32_OR_0(template_id),
		.lane_id = DatumGetInt32(row->values[at->lane_id]),
		.priority = DatumGetInt32(row->values[at->priority]),
		.attempt = DatumGetInt32(row->values[at->attempt]) + 1,
		.batch_size = INT32_OR_0(batch_size),
		.sequence_length = INT32_OR_0(sequence_length),
		.gpus = DatumGetInt32(row->values[at->gpus]),
		.workload = row->nulls[at->workload_type] ? (Datum) 0 : datumCopy(row->values[at->workload_type], false, -1),
		.params = datumCopy(row->values[at->params], false, -1),
	};
#undef INT32_OR_0
	taken.work = row->nulls[at->expected_s] ? (int64) taken.batch_size * taken.sequence_length
											: (int64) rint(DatumGetFloat4(row->values[at->expected_s]) * 1000.0);
	return taken;
}

static bool
become_running(ConfigRow *row, void *context)
{
	const Hint *hint = context;
	const ConfigColumns *at = &row->columns;

	if (!benchorch_is_pending(row) || DatumGetInt32(row->values[at->priority]) != hint->priority ||
		!row->nulls[at->due_at] || (hint->lane_id && DatumGetInt32(row->values[at->lane_id]) != hint->lane_id))
		return false;
	*hint->taken = benchorch_read_taken(row);
	/* a pair is never used again: who was claimed before may have been so by the claim that goes on */
	if (hint->claim->after && hint->taken->attempt > 1)
		hint->claim->claim_id = benchorch_new_claim_id();

	row->values[at->status] = hint->running;
	row->values[at->claim_id] = Int64GetDatum(hint->claim->claim_id);
	row->nulls[at->claim_id] = false;
	row->values[at->started_at] = TimestampTzGetDatum(hint->claim->claimed_at);
	row->nulls[at->started_at] = false;
	row->nulls[at->completed_at] = true;
	row->values[at->run_started] = BoolGetDatum(false);
	row->values[at->attempt] = Int32GetDatum(hint->taken->attempt);
	row->values[at->version] = Int32GetDatum(DatumGetInt32(row->values[at->version]) + 1);
	return true;
}

/* ----------------------------------------------------------------- the result */

static int
by_urgency(const void *pa, const void *pb)
{
	const Taken *a = pa;
	const Taken *b = pb;

	if (a->priority != b->priority)
		return a->priority < b->priority ? -1 : 1;
	if (a->work != b->work)
		return a->work > b->work ? -1 : 1;
	return (a->id > b->id) - (a->id < b->id);
}

Interval
benchorch_deadline(const Taken *taken)
{
	const KeptTemplate *template = taken->template_id ? benchorch_kept_template(taken->template_id) : NULL;

	return template ? template->deadline : (Interval){.time = 3600 * USECS_PER_SEC};
}

bool
benchorch_tokens(const Taken *taken, int32 *input, int32 *output)
{
	const Workload *workload = taken->workload ? benchorch_kept_workload(TextDatumGetCString(taken->workload)) : NULL;

	if (workload == NULL || taken->sequence_length == 0)
		return false;
	*output = (int32) floor(taken->sequence_length * workload->output_share + 0.5);
	*input = taken->sequence_length - *output;
	return true;
}

/* One row of the result: claimed_config, by column number from 0. */
void
benchorch_put_claimed(ReturnSetInfo *rsinfo, const Claim *claim, const Taken *taken)
{
	const KeptModel *model = benchorch_kept_model(&taken->model_version_id);
	const KeptHardware *hardware = benchorch_kept_hardware(taken->hardware_config_id);
	const KeptFramework *framework = benchorch_kept_framework(taken->framework_id);
	Interval	deadline = benchorch_deadline(taken);
	int32		input;
	int32		output;
	Datum		values[23] = {0};
	bool		nulls[23];

	values[5] = model ? model->name : (Datum) 0;	/* model_name */
	values[6] = model ? model->source : (Datum) 0;	/* model_source */
	values[7] = model ? model->architecture : (Datum) 0;	/* architecture */
	values[8] = Int32GetDatum(taken->hardware_config_id);	/* 0: none */
	values[9] = hardware ? hardware->name : (Datum) 0;	/* hardware_name */
	values[11] = framework ? framework->name : (Datum) 0;	/* framework_name */
	values[12] = framework ? framework->protocol : (Datum) 0;
	values[13] = framework ? framework->command : (Datum) 0;
	values[15] = taken->workload;
	values[16] = Int32GetDatum(taken->batch_size);	/* 0: none */
	values[17] = Int32GetDatum(taken->sequence_length); /* 0: none */
	for (int column = 0; column < lengthof(values); column++)
		nulls[column] = values[column] == (Datum) 0;

		/* and those that are never NULL, or where 0 is a value */
#define PUT(column, value) (values[column] = (value), nulls[column] = false)
	PUT(0, Int64GetDatum(taken->id));
	PUT(1, Int64GetDatum(claim->claim_id));
	if (claim->has_worker)
		PUT(2, TimestampTzGetDatum(TimestampTzPlusMilliseconds(claim->claimed_at, benchorch_lease * INT64CONST(1000))));
	PUT(3, Int32GetDatum(taken->attempt));
	PUT(4, UUIDPGetDatum(&taken->model_version_id));
	PUT(10, Int32GetDatum(taken->framework_id));
	PUT(14, IntervalPGetDatum(&deadline));
	if (benchorch_tokens(taken, &input, &output))
	{
		PUT(18, Int32GetDatum(input));
		PUT(19, Int32GetDatum(output));
	}
	PUT(20, Int32GetDatum(taken->gpus));
	PUT(21, taken->params);
	PUT(22, Int32GetDatum(taken->priority));
#undef PUT
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

/* ------------------------------------------------------------------- the claim */

bool
benchorch_take(Claim *claim, const int64 *ids, const int32 *priorities, int n, int32 lane_id)
{
	int		   *order = benchorch_id_order(ids, n);
	Taken	   *taken = palloc(sizeof(Taken) * n);
	int64	   *passed = palloc(sizeof(int64) * n);
	Hint		hint = {.claim = claim, .lane_id = lane_id, .running = CStringGetTextDatum("running")};
	int64	   *sorted = palloc(sizeof(int64) * n);
	ConfigTable *configs;
	int			ntaken = 0;
	int			npassed = 0;

	/*
	 * The first configs of a claim are waited for, where others hold them, in
	 * id order: that cannot be a circle.  From then on it holds some, even if
	 * it took none: a row that was waited for stays locked.
	 */
	bool		waits = !claim->holds;

	claim->holds = true;
	for (int i = 0; i < n; i++)
		sorted[i] = ids[order[i]];
	configs = benchorch_open_configs(sorted, n);
	benchorch_read_ahead(configs, claim->ahead);
	for (int i = 0; i < n; i++)
	{
		bool		held = false;

		hint.priority = priorities[order[i]];
		hint.taken = &taken[ntaken];
		if (benchorch_change_next(configs, become_running, &hint, waits, &held))
			ntaken++;
		else if (held)
			passed[npassed++] = sorted[i];
	}
	benchorch_close_configs(configs);

	if (ntaken > 0)
	{
		for (int i = 0; i < ntaken; i++)
		{
			claim->ids[claim->taken] = taken[i].id;
			claim->models[claim->taken++] = taken[i].model_version_id;
		}
		qsort(taken, ntaken, sizeof(Taken), by_urgency);
		for (int i = 0; i < ntaken; i++)
			claim->put(claim->rsinfo, claim, &taken[i]);
	}
	/* their chunk is gone, and whoever holds them may roll back: they are hinted at anew */
	if (npassed > 0)
		benchorch_feed_ids(passed, npassed, NULL);
	return npassed == 0;
}
