/*
 * The connection: a query is answered, refused, or given up.
 */
#ifndef AGENT_DATABASE_H
#define AGENT_DATABASE_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum DatabaseStatus
{
	DATABASE_OK,				/* answered */
	DATABASE_REFUSED,			/* an error of the server that will not go away by itself */
	DATABASE_AWAY				/* given up: the limit has passed */
} DatabaseStatus;

/* bytes NULL is NULL; binary is for bytea. */
typedef struct DatabaseParam
{
	const char *bytes;
	size_t		len;
	bool		binary;
} DatabaseParam;

#define TEXT_PARAM(text) ((DatabaseParam){(text), 0, false})
#define BYTES_PARAM(data, length) ((DatabaseParam){(data), (length), true})

/* conninfo may be NULL: libpq's environment then says where the database is. */
extern void database_init(const char *conninfo, const char *application_name);
extern void database_close(void);

/*
 * Begins a connection to the same address as the present one, for PQconnectPoll;
 * NULL where there is none.  The caller finishes it.
 */
extern PGconn *database_begin_beside(const char *application_name);

/* Until when queries and reconnects are tried (events_now's clock); EVENTS_NEVER by default. */
extern void database_set_limit(double limit);

/* Connects, trying again with growing pauses; false at the limit, or where the first connection is hopeless. */
extern bool database_connect(void);

/*
 * Whether that cannot succeed by trying again: the server refuses the user or
 * the database (database_sqlstate), or libpq finds no sense in the connection string (no SQLSTATE).
 */
extern bool database_is_hopeless(void);

/*
 * Runs one statement in a transaction of its own.  Where the connection drops
 * it is run again on the next one: every statement here may be run twice.
 * *result is set for DATABASE_OK only; the caller clears it.
 */
extern DatabaseStatus database_query(const char *sql, int nparams, const DatabaseParam *params, PGresult **result);

/* Whether the last query had lost its connection once: an earlier try may have been carried out unseen. */
extern bool database_interrupted(void);

/* Of the last failure: SQLSTATE ("" where it was none of the server's) and text, with the hint. */
extern const char *database_sqlstate(void);
extern const char *database_message(void);

/* HOST:PORT/DATABASE of the connection. */
extern const char *database_address(void);

#endif							/* AGENT_DATABASE_H */
