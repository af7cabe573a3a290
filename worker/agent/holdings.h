/*
 * What the worker holds: the batch that it runs, and the one that it has claimed ahead.
 */
#ifndef AGENT_HOLDINGS_H
#define AGENT_HOLDINGS_H

#include "calls.h"
#include "setup.h"

/* setup must live as long as the worker. */
extern void holdings_begin(const WorkerSetup *setup);
extern void holdings_end(void);

/* The next config to run; it lives until the next call.  NULL where nothing is held: holdings_claim then claims. */
extern Config *holdings_next(void);

/* Claims, while nothing is held and nothing runs.  DATABASE_OK also with nothing. */
extern DatabaseStatus holdings_claim(void);

/* Whether anything waits to be run. */
extern bool holdings_wait(void);
/* Hands back what waits; everything, while nothing runs. */
extern void holdings_release_waiting(void);
extern void holdings_release_all(void);

/* An answer was lost on its way: the database may hold claims for us that we do not know. */
extern void holdings_doubt(void);

/* A claim that the database has ended: it is not begun any more.  NULL where it is not held. */
extern Config *holdings_drop(const char *config_id, const char *claim_id);

/*
 * While a run lasts: holdings_step does what is due, claiming ahead or handing
 * back what was, at holdings_due.
 */
extern void holdings_run_begins(const Config *config);
extern void holdings_run_ended(void);
extern double holdings_due(void);
extern void holdings_step(void);

#endif							/* AGENT_HOLDINGS_H */
