/*
 * What the worker says to the database: one function a statement.
 *
 * Every statement may be run twice (database_query repeats it after a lost
 * connection), and each is a transaction of its own.  Those that need not
 * survive a crash of the server, claims, starts and heartbeats, switch
 * synchronous_commit off for their transaction in the same statement, which
 * saves a flush without a round trip; what acknowledges a result is flushed
 * by the server in any case.
 *
 * The worker parses no arrays and no JSON: the statements take them apart
 * into texts with the separators of template.h.
 */
#include "calls.h"

#include <stdlib.h>
#include <string.h>

#define UNFLUSHED "pg_catalog.set_config('synchronous_commit', 'off', true) AS unflushed, "

DatabaseStatus
call_protocols(const char *frameworks, PGresult **result)
{
	const DatabaseParam params[] = {TEXT_PARAM(frameworks)};

	return database_query("SELECT wanted.name, f.protocol"
						  " FROM pg_catalog.unnest(pg_catalog.string_to_array($1, E'\\x1f')) AS wanted (name)"
						  " LEFT JOIN benchorch.frameworks AS f ON f.name = wanted.name",
						  1, params, result);
}

DatabaseStatus
call_match_hardware(const char *gpu, int gpu_count, int64_t gpu_memory_bytes, Buffer *name)
{
	char	   *count = xprintf("%d", gpu_count);
	char	   *memory = xprintf("%lld", (long long) gpu_memory_bytes);
	const DatabaseParam params[] = {TEXT_PARAM(gpu), TEXT_PARAM(count), TEXT_PARAM(memory)};
	PGresult   *result;
	DatabaseStatus status = database_query("SELECT benchorch.match_hardware($1, $2, $3)", 3, params, &result);

	if (status == DATABASE_OK && !PQgetisnull(result, 0, 0))
		buffer_puts(name, PQgetvalue(result, 0, 0));
	PQclear(result);
	free(count);
	free(memory);
	return status;
}

DatabaseStatus
call_register(const char *name, const char *hardware, const char *frameworks, const char *details, PGresult **result)
{
	const DatabaseParam params[] = {TEXT_PARAM(name), TEXT_PARAM(hardware), TEXT_PARAM(frameworks),
									TEXT_PARAM(details)};

	return database_query("SELECT w.id, pg_catalog.date_part('epoch',"
						  " NULLIF(pg_catalog.current_setting('benchorch.lease', true), '')::interval)"
						  " FROM benchorch.register_worker($1, $2,"
						  " pg_catalog.string_to_array($3, E'\\x1f'), $4::jsonb) AS w (id)",
						  4, params, result);
}

/* A column by name, NULL for NULL; the rows' own memory. */
static const char *
column(const PGresult *rows, int row, const char *name)
{
	int			number = PQfnumber(rows, name);

	return number < 0 || PQgetisnull(rows, row, number) ? NULL : PQgetvalue(rows, row, number);
}

DatabaseStatus
call_claim(int batch_size, const char *priority_threshold, const char *worker_id, const char *model, Batch *batch)
{
	static const char sql[] =
		"SELECT c.config_id, c.claim_id, c.protocol,"
		" COALESCE(c.model_source, c.model_name) AS model, c.model_name, c.architecture,"
		" c.hardware_name AS hardware, c.framework_name AS framework, c.workload_type AS workload,"
		" c.batch_size, c.sequence_length, c.input_tokens, c.output_tokens, c.gpus,"
		" pg_catalog.array_to_string(c.command, E'\\x1f', '') AS command,"
		" (SELECT pg_catalog.string_agg(e.key || E'\\x1e' || e.value, E'\\x1f')"
		"  FROM benchorch.frameworks AS f, pg_catalog.jsonb_each_text(f.env) AS e WHERE f.id = c.framework_id) AS env,"
		" (SELECT pg_catalog.string_agg(p.key || E'\\x1e' || p.value, E'\\x1f')"
		"  FROM pg_catalog.jsonb_each_text(c.params) AS p) AS params,"
		" pg_catalog.to_jsonb(c) AS json,"
		" pg_catalog.date_part('epoch', c.deadline) AS deadline"
		" FROM " UNFLUSHED "benchorch.claim_batch($1, COALESCE($2::int, 1000), $3, $4) AS c";
	char	   *size = xprintf("%d", batch_size);
	const DatabaseParam params[] = {TEXT_PARAM(size), TEXT_PARAM(priority_threshold), TEXT_PARAM(worker_id),
									TEXT_PARAM(model)};
	DatabaseStatus status = database_query(sql, 4, params, &batch->rows);

	free(size);
	batch->count = status == DATABASE_OK ? PQntuples(batch->rows) : 0;
	batch->configs = xcalloc(batch->count, sizeof(Config));
	for (int i = 0; i < batch->count; i++)
	{
		const char *deadline = column(batch->rows, i, "deadline");

		batch->configs[i] = (Config){
			.config_id = column(batch->rows, i, "config_id"),
			.claim_id = column(batch->rows, i, "claim_id"),
			.protocol = column(batch->rows, i, "protocol"),
			.model = column(batch->rows, i, "model"),
			.model_name = column(batch->rows, i, "model_name"),
			.architecture = column(batch->rows, i, "architecture"),
			.hardware = column(batch->rows, i, "hardware"),
			.framework = column(batch->rows, i, "framework"),
			.workload = column(batch->rows, i, "workload"),
			.batch_size = column(batch->rows, i, "batch_size"),
			.sequence_length = column(batch->rows, i, "sequence_length"),
			.input_tokens = column(batch->rows, i, "input_tokens"),
			.output_tokens = column(batch->rows, i, "output_tokens"),
			.gpus = column(batch->rows, i, "gpus"),
			.command = column(batch->rows, i, "command"),
			.env = column(batch->rows, i, "env"),
			.params = column(batch->rows, i, "params"),
			.json = column(batch->rows, i, "json"),
			.deadline = deadline ? strtod(deadline, NULL) : 3600.0,
		};
	}
	return status;
}

void
batch_free(Batch *batch)
{
	PQclear(batch->rows);
	free(batch->configs);
	*batch = (Batch){0};
}

DatabaseStatus
call_start(const Config *config)
{
	const DatabaseParam params[] = {TEXT_PARAM(config->config_id), TEXT_PARAM(config->claim_id)};
	PGresult   *result;
	DatabaseStatus status =
		database_query("SELECT FROM " UNFLUSHED "benchorch.start($1, $2) AS started", 2, params, &result);

	PQclear(result);
	return status;
}

DatabaseStatus
call_hand_in(const Config *config, const char *outcome, const char *output, size_t output_len, const char *log,
			 size_t log_len, const char *details, Receipt *receipt)
{
	const DatabaseParam params[] = {TEXT_PARAM(config->config_id), TEXT_PARAM(config->claim_id),
									TEXT_PARAM(outcome), BYTES_PARAM(output ? output : "", output_len),
									BYTES_PARAM(log, log_len), TEXT_PARAM(details)};
	PGresult   *result;
	DatabaseStatus status = database_query(
		"SELECT accepted, status FROM benchorch.hand_in($1, $2, $3, $4, $5, $6::jsonb)", 6, params, &result);

	*receipt = (Receipt){0};
	if (status == DATABASE_OK && PQntuples(result) == 1)
	{
		receipt->accepted = PQgetvalue(result, 0, 0)[0] == 't';
		strncpy(receipt->status, PQgetvalue(result, 0, 1), sizeof(receipt->status) - 1);
	}
	PQclear(result);
	return status;
}

DatabaseStatus
call_heartbeat(const char *worker_id, const char *running, const char *log_tail, size_t log_tail_len, PGresult **result)
{
	char	   *array = running ? xprintf("{%s}", running) : xstrdup("{}");
	const DatabaseParam params[] = {TEXT_PARAM(worker_id), TEXT_PARAM(array), BYTES_PARAM(log_tail, log_tail_len)};
	DatabaseStatus status = database_query("SELECT h.config_id, h.claim_id, h.verdict"
										   " FROM " UNFLUSHED "benchorch.heartbeat($1, $2, $3) AS h",
										   3, params, result);

	free(array);
	return status;
}

DatabaseStatus
call_release_waiting(const char *worker_id)
{
	const DatabaseParam params[] = {TEXT_PARAM(worker_id)};
	PGresult   *result;
	DatabaseStatus status = database_query("SELECT benchorch.release_waiting($1)", 1, params, &result);

	PQclear(result);
	return status;
}

DatabaseStatus
call_release(const char *worker_id, const char *outcome)
{
	const DatabaseParam params[] = {TEXT_PARAM(worker_id), TEXT_PARAM(outcome)};
	PGresult   *result;
	DatabaseStatus status = database_query("SELECT benchorch.release($1, $2)", 2, params, &result);

	PQclear(result);
	return status;
}

DatabaseStatus
call_left(const char *worker_id, const char *model, const char *priority_threshold, long long *left)
{
	const DatabaseParam params[] = {TEXT_PARAM(worker_id), TEXT_PARAM(model), TEXT_PARAM(priority_threshold)};
	PGresult   *result;
	DatabaseStatus status =
		database_query("SELECT benchorch.left_for($1, $2, COALESCE($3::int, 1000))", 3, params, &result);

	*left = status == DATABASE_OK ? atoll(PQgetvalue(result, 0, 0)) : 0;
	PQclear(result);
	return status;
}

DatabaseStatus
call_explain_empty(const char *worker_id, const char *model, const char *priority_threshold, Buffer *why)
{
	const DatabaseParam params[] = {TEXT_PARAM(worker_id), TEXT_PARAM(model), TEXT_PARAM(priority_threshold)};
	PGresult   *result;
	DatabaseStatus status =
		database_query("SELECT benchorch.explain_empty($1, $2, COALESCE($3::int, 1000))", 3, params, &result);

	if (status == DATABASE_OK)
		buffer_puts(why, PQgetvalue(result, 0, 0));
	PQclear(result);
	return status;
}
