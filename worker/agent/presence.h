/*
 * Presence: a session lock that shows the database that this worker lives.
 */
#ifndef AGENT_PRESENCE_H
#define AGENT_PRESENCE_H

#include "database.h"

/*
 * Shows the worker's presence from now on, as soon as that is possible; again
 * with the same id, does nothing.  Needs the main connection to be there.
 */
extern void presence_start(const char *worker_id);
extern void presence_stop(void);

/*
 * Runs a statement beside the main connection, whatever that is busy with;
 * false where that is not possible now.  answer is called from the event loop
 * with what came back; not at all where the connection is lost.
 */
extern bool presence_ask(const char *sql, int nparams, const DatabaseParam *params,
						 void (*answer)(const PGresult *result));

/* Whether such a statement is under way, and whether some of it has not left yet. */
extern bool presence_is_asked(void);
extern bool presence_is_sending(void);

/* Whether the first try has not come to an end yet. */
extern bool presence_begins(void);

#endif							/* AGENT_PRESENCE_H */
