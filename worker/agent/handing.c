/*
 * Results on their way: from a run's end over the spool to the database.
 *
 * A result is never dropped: it is in the spool from its run's end until the
 * database has answered, whatever the worker waits for meanwhile.  Written, it
 * survives the worker; flushed, a few milliseconds later, the machine's end.
 * A flush may take as long, and the machine had better work by then.  Two
 * results may be under way: the one that is handed in while the next config
 * runs, and that one's, if it ends before the database has answered.
 */
#include "handing.h"

#include "calls.h"
#include "events.h"
#include "faults.h"
#include "holdings.h"
#include "log.h"
#include "progress.h"
#include "spool.h"

#include <stdlib.h>

#define FLUSH_WITHIN 0.005		/* seconds after a run's end: by then the next one has begun */

typedef struct Kept
{
	Result		result;
	struct Kept *next;
} Kept;

static Kept *kept;				/* the oldest first */
static Timer flush_timer;

/* ----------------------------------------------------------------- keeping */

static void
flush_kept(void *context)
{
	(void) context;
	for (Kept *one = kept; one != NULL; one = one->next)
		spool_flush(&one->result);
}

void
handing_keep(Result *result)
{
	Kept	  **link = &kept;

	while (*link != NULL)
		link = &(*link)->next;
	*link = xcalloc(1, sizeof(Kept));
	(*link)->result = *result;
	*result = (Result){0};
	spool_write(&(*link)->result);
	events_set_timer(&flush_timer, events_now() + FLUSH_WITHIN, flush_kept, NULL);
}

/* -------------------------------------------------------------- handing in */

static void
log_end_of_run(const Result *result, const Receipt *receipt)
{
	Buffer	   *event = log_begin(LOG_INFO, "run_end", NULL);

	json_string(event, "config_id", result->config_id);
	json_string(event, "outcome", result->outcome);
	json_number(event, "seconds", result->seconds, 3);
	json_bool(event, "accepted", receipt->accepted);
	json_string(event, "status", receipt->status);
	if (result->message.len > 0)
		json_string(event, "reason", result->message.data);
	log_end();
}

/* The database does not take the result as it is: hand in that, at least.  The result itself stays on disk. */
static DatabaseStatus
hand_in_refusal(Result *result, Receipt *receipt)
{
	Buffer		details = {0};
	DatabaseStatus status;
	char	   *message = xprintf("the database refused the result: %s", database_message());

	json_open(&details, NULL, '{');
	json_string(&details, "message", message);
	json_close(&details, '}');
	status = call_hand_in(result->config_id, result->claim_id, "bad_output", NULL, &result->log, details.data, receipt);
	if (status == DATABASE_OK)
	{
		char	   *kept_as = spool_keep_refused(result);

		log_message(LOG_ERROR, "hand_in_refused", "config %s: %s%s%s", result->config_id, message,
					kept_as != NULL ? "; it is kept as " : "", kept_as != NULL ? kept_as : "");
		free(kept_as);
	}
	buffer_free(&details);
	free(message);
	return status;
}

/* Hands in a result that is in the spool. */
static void
hand_in(Result *result)
{
	Receipt		receipt;
	DatabaseStatus status;

	spool_flush(result);
	FAULT_POINT("before_hand_in");
	status = call_hand_in(result->config_id, result->claim_id, result->outcome,
						  result->has_output ? &result->output : NULL, &result->log, result->details.data, &receipt);
	if (status == DATABASE_REFUSED)
		status = hand_in_refusal(result, &receipt);
	if (status != DATABASE_OK)
	{
		holdings_doubt();
		spool_let_go(result);
		log_message(LOG_ERROR, "hand_in_failed",
					"config %s: its result could not be handed in, it stays in the spool: %s",
					result->config_id, database_message());
		return;
	}
	spool_remove(result);
	progress_count(&receipt);
	log_end_of_run(result, &receipt);
}

bool
handing_next(void)
{
	Kept	   *first = kept;

	if (first == NULL)
		return false;
	kept = first->next;			/* another may come meanwhile */
	hand_in(&first->result);
	result_free(&first->result);
	free(first);
	FAULT_POINT("after_hand_in");
	return true;
}

void
handing_all(void)
{
	while (handing_next())
		;
}

/* ------------------------------------------------------ beginning and end */

DatabaseStatus
handing_begin(const char *spool)
{
	Buffer		identity = {0};
	Result		left = {0};
	DatabaseStatus status = call_identity(&identity);

	if (status == DATABASE_OK)
		spool_open(spool, buffer_text(&identity));
	buffer_free(&identity);
	while (status == DATABASE_OK && spool_next(&left))
	{
		log_message(LOG_INFO, "spool", "handing in what an earlier process has left: config %s", left.config_id);
		hand_in(&left);
		result_free(&left);
	}
	return status;
}

void
handing_end(void)
{
	events_clear_timer(&flush_timer);
	spool_close();
}
