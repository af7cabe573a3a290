/*
 * A typed UPDATE of benchmark_configs ends in the same rules as a call.
 *
 * The trigger sees rows whose version has not grown: the extension's own
 * updates always make it grow, and so pass by.  It runs after the row was
 * changed, and either mends what the statement could not know (claim, lane,
 * chunks, counters) or refuses it.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(benchorch_config_updated);

static Statement normalize_pending = {
	.sql = "UPDATE benchorch.benchmark_configs SET started_at = NULL, completed_at = NULL, claim_id = NULL,"
	" due_at = NULL, run_started = false, version = version + 1 WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static Statement end_wait = {
	.sql = "UPDATE benchorch.benchmark_configs SET due_at = NULL, version = version + 1 WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

static Statement normalize_settled = {
	.sql = "UPDATE benchorch.benchmark_configs SET completed_at = coalesce(completed_at, pg_catalog.clock_timestamp()),"
	" error_message = CASE WHEN status = 'skipped' THEN coalesce(error_message, 'skipped by a direct UPDATE')"
	"  ELSE error_message END,"
	" due_at = NULL, run_started = false, version = version + 1 WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

/* The lane that a config's dimensions belong to, and the GPUs that it needs. */
static Statement place_row = {
	.sql = "UPDATE benchorch.benchmark_configs c SET lane_id = p.lane_id, gpus = p.gpus, version = c.version + 1"
	" FROM benchorch.benchmark_configs o, LATERAL benchorch.place(o.model_version_id, o.hardware_config_id, o.framework_id,"
	" o.batch_size, o.sequence_length, o.params, o.template_id) p WHERE c.id = $1 AND o.id = $1 RETURNING p.reason",
	.nargs = 1,
	.types = {INT8OID}
};

/* What a typed UPDATE must leave alone. */
static const char *const fixed_columns[] = {
	"id", "lane_id", "claim_id", "gpus", "attempt", "run_started", "witness_id", "due_at"
};

static bool
same_value(TriggerData *trigger, const char *column)
{
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	int			number = SPI_fnumber(desc, column);
	char	   *old = SPI_getvalue(trigger->tg_trigtuple, desc, number);
	char	   *new = SPI_getvalue(trigger->tg_newtuple, desc, number);

	return (old == NULL) == (new == NULL) && (old == NULL || strcmp(old, new) == 0);
}

static bool
same_cell(TriggerData *trigger)
{
	static const char *const columns[] = {
		"model_version_id", "hardware_config_id", "framework_id", "workload_type",
		"batch_size", "sequence_length", "params"
	};

	for (int i = 0; i < lengthof(columns); i++)
		if (!same_value(trigger, columns[i]))
			return false;
	return true;
}

/*
 * AFTER UPDATE ... FOR EACH ROW WHEN (OLD.version = NEW.version): somebody
 * typed an UPDATE.  It ends in the same state as a call would have.
 */
Datum
benchorch_config_updated(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;
	TupleDesc	desc = RelationGetDescr(trigger->tg_relation);
	bool		isnull;
	Datum		id = SPI_getbinval(trigger->tg_newtuple, desc, SPI_fnumber(desc, "id"), &isnull);
	int			model_column = SPI_fnumber(desc, "model_version_id");
	int			status_column = SPI_fnumber(desc, "status");
	pg_uuid_t  *model = DatumGetUUIDP(SPI_getbinval(trigger->tg_newtuple, desc, model_column, &isnull));
	pg_uuid_t  *old_model = DatumGetUUIDP(SPI_getbinval(trigger->tg_trigtuple, desc, model_column, &isnull));
	ConfigStatus from = benchorch_status_from_name(SPI_getvalue(trigger->tg_trigtuple, desc, status_column));
	ConfigStatus to = benchorch_status_from_name(SPI_getvalue(trigger->tg_newtuple, desc, status_column));
	int64		claim_id = DatumGetInt64(SPI_getbinval(trigger->tg_trigtuple, desc, SPI_fnumber(desc, "claim_id"),
												 &isnull));
	int64		config_id = DatumGetInt64(id);
	bool		moved = !same_cell(trigger);
	bool		waits = SPI_getvalue(trigger->tg_newtuple, desc, SPI_fnumber(desc, "due_at")) != NULL;
	char	   *reason = NULL;	/* why it cannot fit its hardware */

	for (int i = 0; i < lengthof(fixed_columns); i++)
		if (!same_value(trigger, fixed_columns[i]))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("%s of config " INT64_FORMAT " cannot be changed", fixed_columns[i], config_id),
					 errdetail("It follows from the config's dimensions and claims."),
					 errhint("Change the dimensions instead, say params.")));
	if (from != to && !benchorch_may_follow(from, to))
		benchorch_bad_transition(config_id, from, to);
	if (moved && (from != CONFIG_PENDING || to != CONFIG_PENDING))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("config " INT64_FORMAT " is %s: what it measures cannot be changed",
						config_id, benchorch_status_name(from)),
				 errdetail("Its results would be told as those of another cell."),
				 errhint("Insert a new config instead.")));

	SPI_connect();
	if (moved)
	{
		benchorch_run(&place_row, &id, NULL);
		reason = benchorch_column_text(0, 1);
	}
	if (memcmp(model, old_model, UUID_LEN) != 0)
	{
		int64		changes[CONFIG_STATUSES] = {0};

		changes[CONFIG_PENDING] = -1;
		benchorch_count(old_model, changes);
		changes[CONFIG_PENDING] = 1;
		benchorch_count(model, changes);
		benchorch_mark_endgame(old_model);
		benchorch_open_model(model);
	}
	if (from != to)
	{
		if (from == CONFIG_RUNNING)
			benchorch_leave_claim(claim_id, 1);
		else
			benchorch_forget_delay(config_id);
		benchorch_run(to == CONFIG_PENDING ? &normalize_pending : &normalize_settled, &id, NULL);
		benchorch_count_move(model, from, to, 1);
	}
	/* ready at once, where it belongs now; what an old chunk says of it no longer matters */
	if (to == CONFIG_PENDING && (from != to || waits || moved || !same_value(trigger, "priority")))
	{
		if (waits)
		{
			benchorch_forget_delay(config_id);
			benchorch_run(&end_wait, &id, NULL);
		}
		benchorch_feed_ids(&config_id, 1, NULL);
	}
	if (to != CONFIG_PENDING && from == CONFIG_PENDING)
		benchorch_mark_endgame(model);
	else if (to != CONFIG_PENDING && from != to)
		benchorch_check_endgames(model, 1, NULL, true);
	if (reason)
	{
		Config		config = {.id = config_id, .status = CONFIG_PENDING, .model_version_id = *model};

		benchorch_settle(&config, CONFIG_SKIPPED, reason, 0);
	}
	SPI_finish();
	PG_RETURN_POINTER(NULL);
}
