/*
 * One client: claims a batch, completes it, and so on.
 */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stdatomic.h>
#include <stdint.h>

#include "system.h"

/* How a client claims and completes. */
typedef enum Way
{
	WAY_FLUSHED,				/* two transactions, both flushed */
	WAY_UNFLUSHED,				/* two transactions, the claim's not flushed */
	WAY_ONE_TRIP,				/* completion and the next claim in one round trip, the claim not flushed */
	WAY_ONE_TRANSACTION,		/* both in one transaction, flushed, and in one call if there is one for that */
	NUM_WAYS
} Way;

extern const char *const way_names[NUM_WAYS];

/* What all clients of a run share. */
typedef struct Run
{
	const System *system;
	Way			way;
	const Call *completion;		/* NULL: what was claimed stays claimed */
	int			batch;
	int64_t		configs;		/* so many are to be claimed */
	atomic_llong claimed;
	atomic_int	empty;			/* claims that brought nothing */
} Run;

/* A claim that brought something, and its completion. */
typedef struct Round
{
	double		ended;
	double		claim;			/* seconds; NAN where it cannot be told from the completion */
	double		both;
	int			configs;
} Round;

typedef struct Client
{
	Run		   *run;
	PGconn	   *connection;
	char	   *worker;
	char		number[12];
	char		batch[12];
	int			n;				/* claimed and not completed */
	char	   *ids;			/* arrays as PostgreSQL reads them */
	char	   *tokens;
	char	   *id;				/* the first of each */
	char	   *token;
	char	   *results;
	Round	   *rounds;
	int			nrounds;
} Client;

extern void client_connect(Client *client, Run *run, int number, const char *conninfo);

/* A few rounds, so that the session has its plans. */
extern void client_warm_up(Client *client, int rounds);

/* Until the run's configs are claimed, and completed; forgets the warm-up. */
extern void client_work(Client *client);

#endif
