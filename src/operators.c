/*
 * Operators' calls that move configs: cancel, retry_failed.
 *
 * They walk a model's configs in id order and lock one row at a time; what has
 * changed since they looked is left as it is.
 */
#include "benchorch.h"

#include "catalog/pg_type.h"
#include "miscadmin.h"
#include "utils/builtins.h"

PG_FUNCTION_INFO_V1(benchorch_cancel);
PG_FUNCTION_INFO_V1(benchorch_retry_failed);
PG_FUNCTION_INFO_V1(benchorch_rerun);

static Statement select_open = {
	.sql = "SELECT id FROM benchorch.benchmark_configs WHERE model_version_id = $1 AND status IN ('pending', 'running')"
	" ORDER BY id",
	.nargs = 1,
	.types = {UUIDOID}
};

static Statement select_settled = {
	.sql = "SELECT id FROM benchorch.benchmark_configs c WHERE model_version_id = $1"
	" AND (status = 'failed' OR (status = 'skipped' AND witness_id IS NOT NULL) OR (status = 'cancelled' AND $2 IS NULL))"
	" AND ($2 IS NULL OR $2 = (SELECT a.outcome FROM benchorch.attempts a WHERE a.config_id = coalesce(c.witness_id, c.id)"
	"  ORDER BY a.id DESC LIMIT 1))"
	" ORDER BY id",
	.nargs = 2,
	.types = {UUIDOID, TEXTOID}
};

static Statement reopen_config = {
	.sql = "UPDATE benchorch.benchmark_configs SET status = 'pending', started_at = NULL, completed_at = NULL,"
	" claim_id = NULL, error_message = NULL, witness_id = NULL, due_at = NULL, run_started = false, version = version + 1"
	" WHERE id = $1",
	.nargs = 1,
	.types = {INT8OID}
};

/* What is measured anew supersedes what was; the old result is kept. */
static Statement supersede_results = {
	.sql = "UPDATE benchorch.benchmark_results r SET superseded_at = pg_catalog.now(),"
	" superseded_run_s = extract(epoch FROM c.completed_at - c.started_at)"
	" FROM benchorch.benchmark_configs c"
	" WHERE c.id = $1 AND r.config_id = c.id AND r.accepted AND r.superseded_at IS NULL",
	.nargs = 1,
	.types = {INT8OID}
};

/* The attempts so far no longer count towards the limits. */
static Statement forgive_attempts = {
	.sql = "UPDATE benchorch.attempts SET blamed = false WHERE config_id = $1 AND blamed",
	.nargs = 1,
	.types = {INT8OID}
};

/* The first column of what the last plan returned. */
static int64 *
returned_ids(uint64 n)
{
	int64	   *ids = palloc(sizeof(int64) * Max(n, 1));

	for (uint64 i = 0; i < n; i++)
		ids[i] = benchorch_column_int64(i, 1);
	return ids;
}

Datum
benchorch_cancel(PG_FUNCTION_ARGS)
{
	Datum		values[1];
	uint64		n;
	int64	   *ids;
	int			cancelled = 0;

	benchorch_require(fcinfo, 0, "model_version_id");
	values[0] = PG_GETARG_DATUM(0);
	SPI_connect();
	benchorch_require_model(DatumGetUUIDP(values[0]));
	n = benchorch_run(&select_open, values, NULL);
	ids = returned_ids(n);
	for (uint64 i = 0; i < n; i++)
	{
		Config		config;

		/* one that has settled meanwhile stays as it is */
		if (benchorch_lock_config(ids[i], &config) && benchorch_may_follow(config.status, CONFIG_CANCELLED))
		{
			benchorch_settle(&config, CONFIG_CANCELLED, "cancelled", 0);
			cancelled++;
		}
		CHECK_FOR_INTERRUPTS();
	}
	SPI_finish();
	PG_RETURN_INT32(cancelled);
}

/*
 * Settled configs of a model are pending again, completed ones only where that
 * is meant; what has been opened meanwhile is left as it is.  Changes the ids.
 */
static int
reopen(const pg_uuid_t *model_version_id, int64 *ids, uint64 n, bool completed_too)
{
	int			reopened = 0;

	for (uint64 i = 0; i < n; i++)
	{
		Config		config;
		Datum		id = Int64GetDatum(ids[i]);

		if (!benchorch_lock_config(ids[i], &config) || config.status == CONFIG_PENDING ||
			config.status == CONFIG_RUNNING || (config.status == CONFIG_COMPLETED && !completed_too))
			continue;
		if (config.status == CONFIG_COMPLETED)
			benchorch_run(&supersede_results, &id, NULL);
		benchorch_run(&reopen_config, &id, NULL);
		benchorch_run(&forgive_attempts, &id, NULL);
		benchorch_count_move(&config.model_version_id, config.status, CONFIG_PENDING, 1);
		ids[reopened++] = ids[i];
		CHECK_FOR_INTERRUPTS();
	}
	if (reopened > 0)
		benchorch_feed_ids(ids, reopened, NULL);
	else
		benchorch_mark_endgame(model_version_id);
	return reopened;
}

Datum
benchorch_retry_failed(PG_FUNCTION_ARGS)
{
	Datum		values[2];
	uint64		n;
	int			reopened;

	benchorch_require(fcinfo, 0, "model_version_id");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	if (!PG_ARGISNULL(1))
		benchorch_outcome_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	SPI_connect();
	benchorch_require_model(DatumGetUUIDP(values[0]));
	benchorch_open_model(DatumGetUUIDP(values[0]));
	n = benchorch_run(&select_settled, values, PG_ARGISNULL(1) ? " n" : NULL);
	reopened = reopen(DatumGetUUIDP(values[0]), returned_ids(n), n, false);
	SPI_finish();
	PG_RETURN_INT32(reopened);
}

/* rerun(model_version_id, config_ids): settled configs, completed ones among them, are to be measured anew. */
Datum
benchorch_rerun(PG_FUNCTION_ARGS)
{
	int			n;
	int64	   *ids = benchorch_array_int64(PG_GETARG_DATUM(1), &n);
	int			reopened;

	SPI_connect();
	benchorch_open_model(PG_GETARG_UUID_P(0));
	reopened = reopen(PG_GETARG_UUID_P(0), ids, n, true);
	SPI_finish();
	PG_RETURN_INT32(reopened);
}
