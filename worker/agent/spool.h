/*
 * Results on disk, from their run's end until the database has taken them.
 */
#ifndef AGENT_SPOOL_H
#define AGENT_SPOOL_H

#include "result.h"

/* One result on disk. */
typedef struct SpoolFile SpoolFile;

/*
 * Opens the spool of one database, identity, below a directory that is made
 * where it is missing.  False, having told why, where that is not possible:
 * then the calls below do nothing.
 */
extern bool spool_open(const char *directory, const char *identity);
/* Removes what is empty. */
extern void spool_close(void);

/*
 * Once it is written a result survives this process, and the machine's end
 * once it is flushed.  What is let go another process may take; what is
 * removed is gone; what the database has refused is kept under a name, which
 * the caller frees, under which no process takes it (NULL: it is not kept).
 */
extern void spool_write(Result *result);
extern void spool_flush(Result *result);
extern void spool_let_go(Result *result);
extern void spool_remove(Result *result);
extern char *spool_keep_refused(Result *result);

/*
 * Reads what processes that have ended have left, one result each call; false
 * when there is none any more.  What is damaged is set aside and told.
 */
extern bool spool_next(Result *result);

#endif							/* AGENT_SPOOL_H */
