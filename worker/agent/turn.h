/*
 * One config's turn on the machine: its lane's process, its start, its run.
 */
#ifndef AGENT_TURN_H
#define AGENT_TURN_H

#include "calls.h"
#include "command.h"

/* From a claimed config to its result in the spool, unless the claim has gone or the worker stops. */
extern void turn_take(Config *config, const RunSettings *settings);

/*
 * Whether the database knows of all that has begun.  While it does not, nothing
 * may be handed back: what has not begun for the database would go, too.
 */
extern bool turn_is_known(void);

/* Ends the lane's process. */
extern void turn_close_lane(void);

#endif							/* AGENT_TURN_H */
