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
 * The worker parses no arrays and no JSON: the database gives it texts with
 * the separators of template.h (src/runner.sql).
 */
#include "calls.h"

#include "presence.h"

#include <stdlib.h>
#include <string.h>

#define UNFLUSHED "pg_catalog.set_config('synchronous_commit', 'off', true)"

/*
 * A call waits so long for a lock, and is then made again.  While a claim
 * waits, for a config that somebody has locked, it holds the worker's lease,
 * and heartbeats wait for that: they must come between two tries.  Nor does
 * a call that was given up wait on the server for ever, a connection each.
 */
#define PATIENT(seconds) "pg_catalog.set_config('lock_timeout', '" seconds "', true)"

/*
 * $1, as the first argument of a call: the settings are made on its way, and
 * so before the call.  As tables that are joined with it they would cost the
 * server more than start itself does.
 */
#define FIRST(settings, type) "CASE WHEN " settings " IS NOT NULL THEN $1::" type " END"

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

DatabaseStatus
call_identity(Buffer *identity)
{
	PGresult   *result;
	DatabaseStatus status = database_query("SELECT c.system_identifier || '-' || d.oid"
										   " FROM pg_catalog.pg_control_system() AS c, pg_catalog.pg_database AS d"
										   " WHERE d.datname = pg_catalog.current_database()",
										   0, NULL, &result);

	if (status == DATABASE_OK)
		buffer_puts(identity, PQgetvalue(result, 0, 0));
	PQclear(result);
	return status;
}

/* A column by name, NULL for NULL; the rows' own memory. */
static const char *
column(const PGresult *rows, int row, const char *name)
{
	int			number = PQfnumber(rows, name);

	return number < 0 || PQgetisnull(rows, row, number) ? NULL : PQgetvalue(rows, row, number);
}

static Protocol
protocol_of(const char *name)
{
	if (name != NULL && strcmp(name, "stream") == 0)
		return PROTOCOL_STREAM;
	return name != NULL && strcmp(name, "served") == 0 ? PROTOCOL_SERVED : PROTOCOL_ONESHOT;
}

static double
number(const char *text, double otherwise)
{
	return text ? strtod(text, NULL) : otherwise;
}

/* Configs that point into the rows. */
static void
read_configs(Batch *batch)
{
	batch->count = PQntuples(batch->rows);
	batch->configs = xcalloc(batch->count, sizeof(Config));
	for (int i = 0; i < batch->count; i++)
		batch->configs[i] = (Config){
			.config_id = column(batch->rows, i, "config_id"),
			.claim_id = column(batch->rows, i, "claim_id"),
			.lane = column(batch->rows, i, "lane"),
			.protocol = protocol_of(column(batch->rows, i, "protocol")),
			.hardware = column(batch->rows, i, "hardware"),
			.framework = column(batch->rows, i, "framework"),
			.workload = column(batch->rows, i, "workload"),
			.batch_size = column(batch->rows, i, "batch_size"),
			.sequence_length = column(batch->rows, i, "sequence_length"),
			.gpus = (int) number(column(batch->rows, i, "gpus"), 0),
			.command = column(batch->rows, i, "command"),
			.server_command = column(batch->rows, i, "server_command"),
			.ready_command = column(batch->rows, i, "ready_command"),
			.reset_command = column(batch->rows, i, "reset_command"),
			.warmup_command = column(batch->rows, i, "warmup_command"),
			.env = column(batch->rows, i, "env"),
			.values = column(batch->rows, i, "placeholders"),
			.json = column(batch->rows, i, "json"),
			.deadline = number(column(batch->rows, i, "deadline"), 3600),
			.ready_timeout = number(column(batch->rows, i, "ready_timeout"), 600),
			.work = number(column(batch->rows, i, "work"), 0),
		};
}

DatabaseStatus
call_claim(int batch_size, const char *priority_threshold, const char *worker_id, const char *model, Batch *batch)
{
	char	   *size = xprintf("%d", batch_size);
	const DatabaseParam params[] = {TEXT_PARAM(size), TEXT_PARAM(priority_threshold), TEXT_PARAM(worker_id),
									TEXT_PARAM(model)};
	DatabaseStatus status = database_query(
		"SELECT * FROM benchorch.claim_runs(" FIRST(PATIENT("2s") " || " UNFLUSHED, "int") ", COALESCE($2::int, 1000), $3, $4)",
		4, params, &batch->rows);

	free(size);
	if (status == DATABASE_OK)
		read_configs(batch);
	return status;
}

DatabaseStatus
call_describe(const char *config_id, Batch *batch)
{
	const DatabaseParam params[] = {TEXT_PARAM(config_id)};
	DatabaseStatus status = database_query("SELECT * FROM benchorch.describe_run($1)", 1, params, &batch->rows);

	if (status == DATABASE_OK)
		read_configs(batch);
	return status;
}

void
batch_free(Batch *batch)
{
	PQclear(batch->rows);
	free(batch->configs);
	*batch = (Batch){0};
}

static const char start_sql[] =
	"SELECT benchorch.start(" FIRST(PATIENT("2s") " || " UNFLUSHED, "bigint") ", $2)";

DatabaseStatus
call_start(const Config *config)
{
	const DatabaseParam params[] = {TEXT_PARAM(config->config_id), TEXT_PARAM(config->claim_id)};
	PGresult   *result;
	DatabaseStatus status = database_query(start_sql, 2, params, &result);

	PQclear(result);
	return status;
}

/* Not longer than a second: heartbeats go the same way, and may have no other. */
static const char start_beside_sql[] =
	"SELECT benchorch.start(" FIRST(PATIENT("1s") " || " UNFLUSHED, "bigint") ", $2)";

bool
call_start_beside(const Config *config, void (*answer)(const PGresult *result))
{
	const DatabaseParam params[] = {TEXT_PARAM(config->config_id), TEXT_PARAM(config->claim_id)};

	return presence_ask(start_beside_sql, 2, params, answer);
}

DatabaseStatus
call_hand_in(const char *config_id, const char *claim_id, const char *outcome, const Buffer *output, const Buffer *log,
			 const char *details, Receipt *receipt)
{
	const DatabaseParam params[] = {TEXT_PARAM(config_id),
									TEXT_PARAM(claim_id),
									TEXT_PARAM(outcome),
									BYTES_PARAM(output ? buffer_text(output) : "", output ? output->len : 0),
									BYTES_PARAM(log->data, log->len),
									TEXT_PARAM(details)};
	PGresult   *result;
	DatabaseStatus status = database_query(
		"SELECT accepted, status FROM benchorch.hand_in(" FIRST(PATIENT("2s"), "bigint") ", $2, $3, $4, $5, $6::jsonb)",
		6, params, &result);

	*receipt = (Receipt){0};
	if (status == DATABASE_OK && PQntuples(result) == 1)
	{
		receipt->accepted = PQgetvalue(result, 0, 0)[0] == 't';
		strncpy(receipt->status, PQgetvalue(result, 0, 1), sizeof(receipt->status) - 1);
	}
	PQclear(result);
	return status;
}

static const char heartbeat_sql[] =
	"SELECT config_id, claim_id, verdict FROM benchorch.heartbeat(" FIRST(PATIENT("10s") " || " UNFLUSHED, "uuid") ", $2, $3)";

DatabaseStatus
call_heartbeat(const char *worker_id, const char *running, const char *log_tail, size_t log_tail_len, PGresult **result)
{
	char	   *array = running ? xprintf("{%s}", running) : xstrdup("{}");
	const DatabaseParam params[] = {TEXT_PARAM(worker_id), TEXT_PARAM(array), BYTES_PARAM(log_tail, log_tail_len)};
	DatabaseStatus status = database_query(heartbeat_sql, 3, params, result);

	free(array);
	return status;
}

bool
call_heartbeat_beside(const char *worker_id, const char *running, const char *log_tail, size_t log_tail_len,
					  void (*answer)(const PGresult *result))
{
	char	   *array = running ? xprintf("{%s}", running) : xstrdup("{}");
	const DatabaseParam params[] = {TEXT_PARAM(worker_id), TEXT_PARAM(array), BYTES_PARAM(log_tail, log_tail_len)};
	bool		sent = presence_ask(heartbeat_sql, 3, params, answer);

	free(array);
	return sent;
}

static const char release_waiting_sql[] =
	"SELECT benchorch.release_waiting(" FIRST(PATIENT("2s"), "uuid") ")";

DatabaseStatus
call_release_waiting(const char *worker_id)
{
	const DatabaseParam params[] = {TEXT_PARAM(worker_id)};
	PGresult   *result;
	DatabaseStatus status = database_query(release_waiting_sql, 1, params, &result);

	PQclear(result);
	return status;
}

bool
call_release_waiting_beside(const char *worker_id, void (*answer)(const PGresult *result))
{
	const DatabaseParam params[] = {TEXT_PARAM(worker_id)};

	return presence_ask(release_waiting_sql, 1, params, answer);
}

DatabaseStatus
call_release(const char *worker_id, const char *outcome)
{
	const DatabaseParam params[] = {TEXT_PARAM(worker_id), TEXT_PARAM(outcome)};
	PGresult   *result;
	DatabaseStatus status = database_query(
		"SELECT benchorch.release(" FIRST(PATIENT("2s"), "uuid") ", $2)", 2, params, &result);

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
