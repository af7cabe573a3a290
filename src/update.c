/*
 * The status calls of workers and scripts: update_status, update_many, start.
 * They check what they are given; status.c and attempts.c make the transitions.
 */
#include "benchorch.h"

#include "access/xact.h"
#include "catalog/pg_type.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"
#include "utils/tuplestore.h"

PG_FUNCTION_INFO_V1(benchorch_update_status);
PG_FUNCTION_INFO_V1(benchorch_update_many);
PG_FUNCTION_INFO_V1(benchorch_start);

/* ----------------------------------------------------------- update_status */

/*
 * The status update of one config.  claim_id 0: unfenced.  Returns the status
 * that the config has now; *sqlstate is 0, or what was wrong (BO001, BO002,
 * 42704), and then nothing was changed.
 */
static ConfigStatus
change_status(int64 config_id, ConfigStatus to, const char *message, int64 claim_id, Outcome outcome,
			  int *sqlstate)
{
	Config		config;
	ConfigStatus status = to;

	*sqlstate = 0;
	if (to == CONFIG_COMPLETED && claim_id != 0)
	{
		bool		done;

		benchorch_complete_configs(&config_id, &claim_id, 1, &done);
		if (done)
			return to;
	}
	if (!benchorch_lock_config(config_id, &config))
	{
		*sqlstate = claim_id ? ERRCODE_BENCHORCH_STALE_CLAIM : ERRCODE_UNDEFINED_OBJECT;
		return CONFIG_PENDING;
	}
	if (claim_id != 0 && config.claim_id != claim_id)
	{
		*sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;
		return config.status;
	}
	if (config.status == to && to != CONFIG_RUNNING)
		return to;				/* it is so already */
	if (claim_id != 0 && config.status != CONFIG_RUNNING)
	{
		*sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;
		return config.status;
	}
	if (!benchorch_may_follow(config.status, to))
	{
		*sqlstate = ERRCODE_BENCHORCH_BAD_TRANSITION;
		return config.status;
	}
	switch (to)
	{
		case CONFIG_COMPLETED:
		{
			bool		done;

			benchorch_complete_configs(&config_id, &config.claim_id, 1, &done);
			Assert(done);
			break;
		}
		case CONFIG_FAILED:
			if (outcome == OUTCOME_NONE)
				outcome = benchorch_outcome_from_message(message);
			benchorch_end_attempt(config_id, config.claim_id, outcome, false, message, (Datum) 0, (Datum) 0, &status);
			break;
		case CONFIG_PENDING:
			if (outcome == OUTCOME_NONE)
				benchorch_put_back(&config, true, message, 0, NULL);
			else
				benchorch_end_attempt(config_id, config.claim_id, outcome, false, message, (Datum) 0, (Datum) 0,
									  &status);
			break;
		default:
			benchorch_settle(&config, to, message, 0);
	}
	return status;
}

/* An outcome goes with the status that it explains. */
static Outcome
outcome_argument(FunctionCallInfo fcinfo, int argno, ConfigStatus status)
{
	Outcome		outcome;

	if (PG_ARGISNULL(argno))
		return OUTCOME_NONE;
	outcome = benchorch_outcome_from_name(text_to_cstring(PG_GETARG_TEXT_PP(argno)));
	if ((outcome == OUTCOME_OK) != (status == CONFIG_COMPLETED) ||
		(outcome != OUTCOME_OK && status != CONFIG_FAILED && status != CONFIG_PENDING))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("outcome \"%s\" does not go with status \"%s\"",
						benchorch_outcome_name(outcome), benchorch_status_name(status)),
				 errhint("ok goes with completed, the other outcomes with failed.")));
	return outcome;
}

static Datum
update_status(PG_FUNCTION_ARGS)
{
	int64		config_id;
	ConfigStatus status;
	char	   *message = NULL;
	int64		claim_id;
	Outcome		outcome;
	int			sqlstate;
	ConfigStatus now;

	benchorch_require(fcinfo, 0, "config_id");
	benchorch_require(fcinfo, 1, "status");
	config_id = PG_GETARG_INT64(0);
	status = benchorch_status_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	if (!PG_ARGISNULL(2))
		message = text_to_cstring(PG_GETARG_TEXT_PP(2));
	claim_id = PG_ARGISNULL(3) ? 0 : PG_GETARG_INT64(3);
	outcome = outcome_argument(fcinfo, 4, status);
	/* 0 stands for no claim inside; no claim is ever called so */
	if (!PG_ARGISNULL(3) && claim_id == 0)
		benchorch_stale_claim(config_id, claim_id);

	SPI_connect();
	now = change_status(config_id, status, message, claim_id, outcome, &sqlstate);
	SPI_finish();

	if (sqlstate == ERRCODE_UNDEFINED_OBJECT)
		benchorch_no_such_config(config_id);
	if (sqlstate == ERRCODE_BENCHORCH_STALE_CLAIM)
		benchorch_stale_claim(config_id, claim_id);
	if (sqlstate == ERRCODE_BENCHORCH_BAD_TRANSITION)
		benchorch_bad_transition(config_id, now, status);
	ForceSyncCommit();
	PG_RETURN_TEXT_P(cstring_to_text(benchorch_status_name(now)));
}

Datum
benchorch_update_status(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(update_status, fcinfo);
}

/* ------------------------------------------------------------- update_many */

static void
put_refusal(ReturnSetInfo *rsinfo, int64 config_id, int sqlstate, const char *message)
{
	Datum		values[4] = {Int64GetDatum(config_id)};
	bool		nulls[4] = {false, true, sqlstate == 0, sqlstate == 0};

	if (sqlstate != 0)
	{
		values[2] = CStringGetTextDatum(unpack_sql_state(sqlstate));
		values[3] = CStringGetTextDatum(message);
	}
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

static const char *
refusal_message(int sqlstate, int64 config_id, int64 claim_id, ConfigStatus now, ConfigStatus to)
{
	if (sqlstate == ERRCODE_BENCHORCH_STALE_CLAIM)
		return psprintf("claim " INT64_FORMAT " no longer holds config " INT64_FORMAT, claim_id, config_id);
	if (sqlstate == ERRCODE_BENCHORCH_BAD_TRANSITION)
		return psprintf("config " INT64_FORMAT " is %s and cannot become %s",
						config_id, benchorch_status_name(now), benchorch_status_name(to));
	return NULL;
}

/* 0 stands for no claim inside, and no claim is ever called so: refused like a stale one. */
static bool
fenced(int64 claim_id, int *sqlstate)
{
	if (claim_id == 0)
		*sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;
	return claim_id != 0;
}

/*
 * What to say of a pair that could not be completed: it is completed already,
 * or stale.  Told without a lock: rows are held already, and not in an order
 * that another one would fit into.
 */
static void
tell_undone(int64 config_id, int64 claim_id, ConfigStatus *now, int *sqlstate)
{
	if (!fenced(claim_id, sqlstate))
		return;
	*now = CONFIG_PENDING;
	if (benchorch_is_completed(config_id, claim_id))
		*now = CONFIG_COMPLETED;
	else
		*sqlstate = ERRCODE_BENCHORCH_STALE_CLAIM;
}

static Datum
update_many(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	int64	   *config_ids;
	int64	   *claim_ids;
	int			n;
	int			claims;
	ConfigStatus status;
	Outcome		outcome;
	int		   *order;
	int		   *sqlstates;
	ConfigStatus *now;

	benchorch_require(fcinfo, 0, "config_ids");
	benchorch_require(fcinfo, 1, "claim_ids");
	benchorch_require(fcinfo, 2, "status");
	config_ids = benchorch_array_int64(PG_GETARG_DATUM(0), &n);
	claim_ids = benchorch_array_int64(PG_GETARG_DATUM(1), &claims);
	status = benchorch_status_from_name(text_to_cstring(PG_GETARG_TEXT_PP(2)));
	outcome = outcome_argument(fcinfo, 3, status);
	if (n != claims)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("config_ids and claim_ids differ in length"),
				 errdetail("There are %d config_ids and %d claim_ids.", n, claims)));

	InitMaterializedSRF(fcinfo, MAT_SRF_USE_EXPECTED_DESC);
	sqlstates = palloc0(sizeof(int) * Max(n, 1));
	now = palloc0(sizeof(ConfigStatus) * Max(n, 1));
	order = benchorch_id_order(config_ids, n);

	SPI_connect();
	if (status == CONFIG_COMPLETED)
	{
		bool	   *done = palloc(sizeof(bool) * Max(n, 1));

		benchorch_complete_configs(config_ids, claim_ids, n, done);
		for (int i = 0; i < n; i++)
			if (!done[i])
				tell_undone(config_ids[i], claim_ids[i], &now[i], &sqlstates[i]);
	}
	else
	{
		if (n > 1)
			benchorch_lock_configs(config_ids, n);
		for (int i = 0; i < n; i++)
		{
			int			k = order[i];

			if (fenced(claim_ids[k], &sqlstates[k]))
				now[k] = change_status(config_ids[k], status, NULL, claim_ids[k], outcome, &sqlstates[k]);
		}
	}
	SPI_finish();
	ForceSyncCommit();

	for (int i = 0; i < n; i++)
		put_refusal(rsinfo, config_ids[i], sqlstates[i],
					refusal_message(sqlstates[i], config_ids[i], claim_ids[i], now[i], status));
	PG_RETURN_NULL();
}

Datum
benchorch_update_many(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(update_many, fcinfo);
}

/* ------------------------------------------------------------------- start */

static bool
become_started(ConfigRow *row, void *context)
{
	const ConfigColumns *at = &row->columns;

	if (!benchorch_is_held_by(row, *(int64 *) context))
		return false;
	row->values[at->started_at] = TimestampTzGetDatum(GetCurrentTimestamp());
	row->nulls[at->started_at] = false;
	row->values[at->run_started] = BoolGetDatum(true);
	row->values[at->version] = Int32GetDatum(DatumGetInt32(row->values[at->version]) + 1);
	return true;
}

static Datum
start(PG_FUNCTION_ARGS)
{
	int64		config_id;
	int64		claim_id;
	ConfigTable *configs;
	bool		held;
	bool		started;

	benchorch_require(fcinfo, 0, "config_id");
	benchorch_require(fcinfo, 1, "claim_id");
	config_id = PG_GETARG_INT64(0);
	claim_id = PG_GETARG_INT64(1);
	SPI_connect();
	configs = benchorch_open_configs(&config_id, 1);
	started = benchorch_change_next(configs, become_started, &claim_id, true, &held);
	benchorch_close_configs(configs);
	SPI_finish();
	if (!started)
		benchorch_stale_claim(config_id, claim_id);
	PG_RETURN_VOID();
}

Datum
benchorch_start(PG_FUNCTION_ARGS)
{
	return benchorch_by_index(start, fcinfo);
}
