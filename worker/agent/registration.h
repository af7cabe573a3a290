/*
 * Who this worker is to the database, and whether its machine is fit for work.
 */
#ifndef AGENT_REGISTRATION_H
#define AGENT_REGISTRATION_H

#include "database.h"
#include "setup.h"

/* Tells the database who we are; 0, or the exit code.  setup must live as long as the worker. */
extern int registration_begin(const WorkerSetup *setup);
/* The same again: after a restore, or when the machine's state has changed. */
extern int registration_renew(void);
extern void registration_end(void);

/* The worker's id, and the seconds between its heartbeats, as its lease allows. */
extern const char *registration_id(void);
extern double registration_heartbeat(void);

/* Whether the machine is fit for work, idle when nothing of ours is on it; the database is told of a change. */
extern bool registration_is_well(bool idle);

/* The exit code for a statement that failed, after telling so. */
extern int registration_failure(DatabaseStatus status, const char *what);

#endif							/* AGENT_REGISTRATION_H */
