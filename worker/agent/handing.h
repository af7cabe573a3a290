/*
 * Results on their way: from a run's end over the spool to the database.
 */
#ifndef AGENT_HANDING_H
#define AGENT_HANDING_H

#include "database.h"
#include "result.h"

/* Takes the result over, and writes it to the spool; waits for nothing. */
extern void handing_keep(Result *result);

/* Hands in the oldest that was kept; false where there is none.  All of them. */
extern bool handing_next(void);
extern void handing_all(void);

/*
 * Opens the spool below the directory and hands in what processes that have
 * ended have left there.  Before this worker says that it is there: what was
 * claimed by the process before it may still be current.  Not DATABASE_OK
 * where the database could not be asked which one it is.
 */
extern DatabaseStatus handing_begin(const char *spool);
extern void handing_end(void);

#endif							/* AGENT_HANDING_H */
