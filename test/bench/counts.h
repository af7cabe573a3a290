/*
 * What a run has cost the server.
 */
#ifndef BENCH_COUNTS_H
#define BENCH_COUNTS_H

#include "database.h"

typedef struct Counts
{
	double		wal;			/* bytes ever written */
	double		checkpoints;
	double		updates;		/* rows, of all tables of the database */
	double		hot_updates;
	double		relations;		/* bytes of the database's tables and indexes */
} Counts;

extern Counts read_counts(PGconn *connection);

/* Waits until the sessions of ended clients have told the statistics what they did. */
extern void wait_for_sessions(PGconn *connection);

#endif
