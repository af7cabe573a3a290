/*
 * A system under test: a file of SQL, in sections that begin with a line
 * "-- @NAME".  What the driver runs of it:
 *
 *   client            once for each client, before the clock starts; what it returns is {worker}
 *   claim             one claim; its columns id and, if it has one, token are what completing needs
 *   claim unflushed   the same in a transaction that need not be flushed
 *   complete          completes {ids}
 *   complete one      the same where a batch is one, if there is a call of its own for that
 *   next              completes {id} and claims one in one statement, if there is one for that
 *   store             completes {ids} with {results}, 1 kB of JSON each
 *   ready             how many can be claimed
 *   settled           how many are completed by now
 *   check             returns a row for whatever is wrong after a run
 *
 * Words in braces are parameters: {batch}, {client} (0, 1, ...), {worker},
 * {ids}, {tokens} and {results} (arrays), {id} and {token} (the first of them);
 * {batch literal} is the number itself.
 */
#ifndef BENCH_SYSTEM_H
#define BENCH_SYSTEM_H

#include <stdbool.h>

#include "database.h"

typedef enum Parameter
{
	PARAMETER_BATCH,
	PARAMETER_CLIENT,
	PARAMETER_WORKER,
	PARAMETER_IDS,
	PARAMETER_TOKENS,
	PARAMETER_ID,
	PARAMETER_TOKEN,
	PARAMETER_RESULTS,
	NUM_PARAMETERS
} Parameter;

typedef struct Call
{
	char	   *sql;			/* with $1, $2, ...; NULL: the system has no such call */
	const char *name;			/* of the prepared statement; "" where it is not prepared */
	int			nparams;
	Parameter	params[NUM_PARAMETERS];
} Call;

typedef struct System
{
	Call		client;
	Call		claim;
	Call		claim_unflushed;
	Call		complete;
	Call		next;
	Call		store;
	Call		ready;
	Call		settled;
	Call		check;
} System;

/* prepared: the calls of claims and completions are, in each session; otherwise they are planned each time. */
extern System read_system(const char *path, int batch, bool prepared);

/* Prepares the call in a session, where it is to be. */
extern void prepare_call(PGconn *connection, const Call *call);

/* Sends it; values are one for each Parameter. */
extern void send_call(PGconn *connection, const Call *call, const char *const *values);

/* The same, and waits for the result, which is to be cleared. */
extern PGresult *run_call(PGconn *connection, const Call *call, const char *const *values);

#endif
