/*
 * Talking to the database, for the benches: statements one at a time, and an
 * end with a message where anything is refused.
 */
#ifndef BENCH_DATABASE_H
#define BENCH_DATABASE_H

#include <libpq-fe.h>

extern void die(const char *format, ...) __attribute__((noreturn, format(printf, 1, 2)));

/* Seconds on a clock that nobody sets. */
extern double now(void);

extern PGconn *connect_to(const char *conninfo);

/* Runs a statement; the result is to be cleared. */
extern PGresult *query(PGconn *connection, const char *sql, int nparams, const char *const *params);

/* The first value of what a statement returns, "" where there is none; to be freed. */
extern char *ask(PGconn *connection, const char *sql);

extern double ask_number(PGconn *connection, const char *sql);

#endif
