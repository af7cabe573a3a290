/*
 * Fault points, for tests only: where a worker that is built with
 * BENCHORCH_FAULTS kills itself (SIGKILL) the N-th time that it gets there, if
 * the environment says BENCHORCH_FAULT=POINT[:N].  The worker that is
 * installed is built without, and contains nothing of this.
 */
#ifndef AGENT_FAULTS_H
#define AGENT_FAULTS_H

#ifdef BENCHORCH_FAULTS
extern void fault_point(const char *name);
/* after_CALL_sent: the statement has left, its answer has not been read. */
extern void fault_sent(const char *sql);
#define FAULT_POINT(name) fault_point(name)
#define FAULT_SENT(sql) fault_sent(sql)
#else
#define FAULT_POINT(name) ((void) 0)
#define FAULT_SENT(sql) ((void) 0)
#endif

#endif							/* AGENT_FAULTS_H */
