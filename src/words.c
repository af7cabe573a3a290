/*
 * The words of the state machine: statuses and outcomes, what is said when
 * one is unknown or does not fit.
 */
#include "benchorch.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"

static const char *const status_names[CONFIG_STATUSES] = {
	[CONFIG_PENDING] = "pending",
	[CONFIG_RUNNING] = "running",
	[CONFIG_COMPLETED] = "completed",
	[CONFIG_FAILED] = "failed",
	[CONFIG_SKIPPED] = "skipped",
	[CONFIG_CANCELLED] = "cancelled",
};

static const char *const outcome_names[OUTCOMES] = {
	[OUTCOME_NONE] = "crash",	/* a failure with no outcome given counts as one */
	[OUTCOME_OK] = "ok",
	[OUTCOME_GPU_OOM] = "gpu_oom",
	[OUTCOME_HOST_OOM] = "host_oom",
	[OUTCOME_UNSUPPORTED] = "unsupported",
	[OUTCOME_BAD_CONFIG] = "bad_config",
	[OUTCOME_TIMEOUT] = "timeout",
	[OUTCOME_CRASH] = "crash",
	[OUTCOME_BAD_OUTPUT] = "bad_output",
	[OUTCOME_GPU_FAULT] = "gpu_fault",
	[OUTCOME_NODE_FAULT] = "node_fault",
	[OUTCOME_PREEMPTED] = "preempted",
	[OUTCOME_LOST] = "lost",
};

const char *
benchorch_status_name(ConfigStatus status)
{
	return status_names[status];
}

ConfigStatus
benchorch_status_from_bytes(const char *bytes, int len)
{
	for (int i = 0; i < CONFIG_STATUSES; i++)
		if (strlen(status_names[i]) == len && memcmp(status_names[i], bytes, len) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown status \"%.*s\"", len, bytes),
			 errhint("Statuses are pending, running, completed, failed, skipped and cancelled.")));
}

ConfigStatus
benchorch_status_from_name(const char *name)
{
	return benchorch_status_from_bytes(name, strlen(name));
}

const char *
benchorch_outcome_name(Outcome outcome)
{
	return outcome_names[outcome];
}

Outcome
benchorch_outcome_from_name(const char *name)
{
	for (int i = OUTCOME_OK; i < OUTCOMES; i++)
		if (strcmp(outcome_names[i], name) == 0)
			return i;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			 errmsg("unknown outcome \"%s\"", name),
			 errhint("Outcomes are ok, gpu_oom, host_oom, unsupported, bad_config, timeout, crash, bad_output,"
					 " gpu_fault, node_fault, preempted and lost.")));
}

/* What a failure without an outcome says by its message. */
Outcome
benchorch_outcome_from_message(const char *message)
{
	static const struct
	{
		const char *words;
		Outcome		outcome;
	} known[] = {
		{"CUDA out of memory", OUTCOME_GPU_OOM},
		{"OOM killed", OUTCOME_HOST_OOM},
	};

	for (int i = 0; message != NULL && i < lengthof(known); i++)
		if (strstr(message, known[i].words) != NULL)
			return known[i].outcome;
	return OUTCOME_NONE;
}

/* ------------------------------------------------------------------ errors */

void
benchorch_no_such_config(int64 config_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("config " INT64_FORMAT " does not exist", config_id),
			 errhint("See benchorch.list_configs().")));
}

void
benchorch_stale_claim(int64 config_id, int64 claim_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_BENCHORCH_STALE_CLAIM),
			 errmsg("claim " INT64_FORMAT " no longer holds config " INT64_FORMAT, claim_id, config_id),
			 errdetail("The config was settled, put back or claimed again in the meantime; nothing was changed."),
			 errhint("Drop this attempt; benchorch.hand_in() keeps its result as unaccepted.")));
}

void
benchorch_bad_transition(int64 config_id, ConfigStatus from, ConfigStatus to)
{
	const char *hint = "benchorch.retry_failed() opens failed, skipped and cancelled configs again.";

	if (to == CONFIG_RUNNING)
		hint = "Only benchorch.claim_batch() makes configs running.";
	else if (from == CONFIG_PENDING)
		hint = "Claim it first: benchorch.claim_batch().";
	ereport(ERROR,
			(errcode(ERRCODE_BENCHORCH_BAD_TRANSITION),
			 errmsg("config " INT64_FORMAT " is %s and cannot become %s",
					config_id, status_names[from], status_names[to]),
			 errhint("%s", hint)));
}

void
benchorch_no_such_worker(const pg_uuid_t *worker_id)
{
	ereport(ERROR,
			(errcode(ERRCODE_UNDEFINED_OBJECT),
			 errmsg("worker %s does not exist",
					DatumGetCString(DirectFunctionCall1(uuid_out, UUIDPGetDatum(worker_id)))),
			 errhint("Register it first: benchorch.register_worker().")));
}
