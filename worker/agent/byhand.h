/*
 * One config run by hand: --run-one.
 */
#ifndef AGENT_BYHAND_H
#define AGENT_BYHAND_H

#include "command.h"

/* Runs it and prints the result; the exit code.  In the database nothing is claimed or changed. */
extern int byhand_run(const char *config_id, const RunSettings *settings);

/* A stop signal came; called by the event loop. */
extern void byhand_on_stop(int count);

#endif							/* AGENT_BYHAND_H */
