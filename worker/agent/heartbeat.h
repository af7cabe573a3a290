/*
 * Heartbeats, and the waiting in which they go on.
 */
#ifndef AGENT_HEARTBEAT_H
#define AGENT_HEARTBEAT_H

/* Once the worker is registered. */
extern void heartbeat_begin(void);
extern void heartbeat_end(void);

/* Sends one where it is due. */
extern void heartbeat_if_due(void);

/*
 * One step of waiting: what is due, or else whatever comes first, at the
 * latest at the time given.  Callers look again in between: much may happen
 * while a heartbeat is answered.
 */
extern void heartbeat_wait(double until);

#endif							/* AGENT_HEARTBEAT_H */
