/*
 * Which of a connection string's hosts is tried first, and for how long.
 */
#ifndef AGENT_HOSTS_H
#define AGENT_HOSTS_H

#include <libpq-fe.h>

/* For libpq, the lists that it is to use instead of the connection string's; NULL: those. */
extern const char *hosts_first(void);
extern const char *hosts_first_address(void);
extern const char *hosts_first_port(void);

/* Seconds that one host may take: connect_timeout, where the connection has one. */
extern double hosts_patience(PGconn *connection, double otherwise);

/* A host of the connection has not answered in time: the next try begins with the one after the first. */
extern void hosts_turn(PGconn *connection);
extern void hosts_forget(void);

#endif							/* AGENT_HOSTS_H */
