/*
 * The config that runs now, and the lane's process that may serve it.
 */
#ifndef AGENT_CURRENT_H
#define AGENT_CURRENT_H

#include "runner.h"

/* The lane's process; closed at first. */
extern Lane *current_lane(void);

/* Starts a config while none runs, on the lane where its protocol has one; it must live until its run has ended. */
extern void current_start(const Config *config, const RunSettings *settings);

/* The config that runs; NULL where none does. */
extern const Config *current_config(void);

/*
 * Goes on with what can be done now; to be called after every event.  Where
 * the run has come to its end its result is kept, and current_config is NULL.
 */
extern void current_step(void);

/* How the last run ended; NULL where it was cut short by us and is nobody's result. */
extern const char *current_outcome(void);

/* Ends the run now, if it is the config's: there is nothing to hand in, unless it had ended already. */
extern void current_drop(const Config *config);
/* Ends the run and the lane's process now. */
extern void current_kill(void);

/* The last lines of the run's log. */
extern void current_log_tail(Buffer *out);

#endif							/* AGENT_CURRENT_H */
