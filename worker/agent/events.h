/*
 * The event loop: one poll() for the database, the benchmark and the signals.
 */
#ifndef AGENT_EVENTS_H
#define AGENT_EVENTS_H

#include <stdbool.h>

/* Seconds of a clock that only goes forward; EVENTS_NEVER is later than any time. */
extern double events_now(void);
#define EVENTS_NEVER 1e300

/*
 * Blocks the signals that the loop reads; stop_handler hears of SIGTERM, SIGINT
 * and SIGHUP, where they are not ignored; count is 1 for the first.
 */
extern bool events_open(void (*stop_handler)(int count));
extern void events_close(void);
extern void events_on_child(void (*handler)(void));
/* In a forked child: signals as the program to be run expects them. */
extern void events_forget_signals(void);

/* One watch a descriptor; watching again changes what is waited for (POLLIN, POLLOUT). */
extern void events_watch(int fd, short wanted, void (*handler)(void *context), void *context);
extern void events_unwatch(int fd);

typedef struct Timer
{
	double		when;
	void (*handler)(void *context);
	void	   *context;
} Timer;

/* The timer must live until it fired or was cleared. */
extern void events_set_timer(Timer *timer, double when, void (*handler)(void *context), void *context);
extern void events_clear_timer(Timer *timer);

/*
 * Waits until something happens, at the latest until the time given, and
 * calls the handlers.  Handlers never wait themselves.
 */
extern void events_wait(double until);

/* Called at the end of each wait, whoever waits, when something may have happened; it waits for nothing itself. */
extern void events_on_step(void (*handler)(void));

/* The first stop signal, SIGINT or (for the others) SIGTERM; 0 while there was none. */
extern int events_stop_signal(void);

#endif							/* AGENT_EVENTS_H */
