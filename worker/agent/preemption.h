/*
 * The notice that this machine will be taken away.
 */
#ifndef AGENT_PREEMPTION_H
#define AGENT_PREEMPTION_H

/*
 * Looks every few seconds: an executable file is run, and tells by exit code 0
 * that there is a notice; any other path is a notice as soon as it exists.
 * With a notice the worker stops as on SIGTERM.
 */
extern void preemption_watch(const char *path);
extern void preemption_stop(void);

#endif							/* AGENT_PREEMPTION_H */
