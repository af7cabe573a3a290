/*
 * The life of a registered worker: claim, run, hand in, heartbeat, hand back.
 */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include "setup.h"

/* Tells the database who we are; 0, or the exit code. */
extern int worker_register(const WorkerSetup *setup);

/* Works until nothing is left, or until a stop signal; the exit code. */
extern int worker_work(void);

/* A stop signal came; called by the event loop. */
extern void worker_on_stop(int count);

#endif							/* AGENT_WORKER_H */
