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

Datum
benchorch_retry_failed(PG_FUNCTION_ARGS)
{
	Datum		values[2];
	uint64		n;
	int64	   *ids;
	int			reopened = 0;

	benchorch_require(fcinfo, 0, "model_version_id");
	values[0] = PG_GETARG_DATUM(0);
	values[1] = PG_ARGISNULL(1) ? (Datum) 0 : PG_GETARG_DATUM(1);
	if (!PG_ARGISNULL(1))
		benchorch_outcome_from_name(text_to_cstring(PG_GETARG_TEXT_PP(1)));
	SPI_connect();
	benchorch_require_model(DatumGetUUIDP(values[0]));
	benchorch_open_model(DatumGetUUIDP(values[0]));
	n = benchorch_run(&select_settled, values, PG_ARGISNULL(1) ? " n" : NULL);
	ids = returned_ids(n);
	for (uint64 i = 0; i < n; i++)
	{
		Config		config;
		Datum		id = Int64GetDatum(ids[i]);

		if (!benchorch_lock_config(ids[i], &config) ||
			(config.status != CONFIG_FAILED && config.status != CONFIG_SKIPPED && config.status != CONFIG_CANCELLED))
			continue;
		benchorch_run(&reopen_config, &id, NULL);
		benchorch_run(&forgive_attempts, &id, NULL);
		benchorch_count_move(&config.model_version_id, config.status, CONFIG_PENDING, 1);
		ids[reopened++] = ids[i];
		CHECK_FOR_INTERRUPTS();
	}
	if (reopened > 0)
		benchorch_feed_ids(ids, reopened, NULL);
	else
		benchorch_mark_endgame(DatumGetUUIDP(values[0]));
	SPI_finish();
	PG_RETURN_INT32(reopened);
}
