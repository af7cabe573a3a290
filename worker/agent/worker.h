/*
 * The life of a registered worker: claim, run, hand in, heartbeat, hand back.
 */
#ifndef AGENT_WORKER_H
#define AGENT_WORKER_H

#include "options.h"
#include "runner.h"

/* Everything that outlives a batch; set up by main.c. */
typedef struct WorkerSetup
{
	const Options *options;
	const Machine *machine;
	const char *name;
	const char *hardware;
	const char *frameworks;		/* list with the separators of template.h */
	RunSettings run_settings;
} WorkerSetup;

/* Tells the database who we are; 0, or the exit code. */
extern int worker_register(const WorkerSetup *setup);
extern const char *worker_id(void);

/* Works until nothing is left, or until a stop signal; the exit code. */
extern int worker_work(void);

/* A stop signal came; called by the event loop. */
extern void worker_on_stop(int count);

#endif							/* AGENT_WORKER_H */
