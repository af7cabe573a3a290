/*
 * The event loop: one poll() for the database, the benchmark and the signals.
 *
 * Whoever waits, waits here: a query for its answer, a reconnect for its
 * pause, a run for its end.  So while the worker waits for one thing, all
 * others go on: output is drained, deadlines fire, signals are heard.
 * Handlers are short and never call events_wait, which keeps the flow of the
 * callers sequential.
 */
#include "events.h"

#include <math.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_WATCHES 64
#define MAX_TIMERS 64

typedef struct Watch
{
	void (*handler)(void *context);
	void	   *context;
} Watch;

static struct pollfd polled[MAX_WATCHES];	/* the first is the signals' */
static Watch watches[MAX_WATCHES];
static int	watch_count;
static Timer *timers[MAX_TIMERS];
static int	timer_count;

static void (*on_stop)(int count);
static void (*on_child)(void);
static void (*on_step)(void);
static int	stop_signal;
static int	stop_count;

double
events_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static void
read_signals(void *context)
{
	struct signalfd_siginfo info;

	(void) context;
	while (read(polled[0].fd, &info, sizeof(info)) == sizeof(info))
	{
		if (info.ssi_signo == SIGCHLD)
		{
			if (on_child != NULL)
				on_child();
			continue;
		}
		if (stop_signal == 0)
			stop_signal = info.ssi_signo == SIGINT ? SIGINT : SIGTERM;
		on_stop(++stop_count);
	}
}

bool
events_open(void (*stop_handler)(int count))
{
	static const int stops[] = {SIGTERM, SIGINT, SIGHUP};
	sigset_t	set;
	int			fd;

	on_stop = stop_handler;
	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(stops) / sizeof(stops[0]); i++)
	{
		struct sigaction action;

		/* what nohup or a shell's & has told us to ignore stays ignored */
		if (sigaction(stops[i], NULL, &action) == 0 && action.sa_handler != SIG_IGN)
			sigaddset(&set, stops[i]);
	}
	sigaddset(&set, SIGCHLD);
	signal(SIGCHLD, SIG_DFL);	/* ignored, it would hide how children ended */
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return false;
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return false;
	watch_count = 0;
	events_watch(fd, POLLIN, read_signals, NULL);
	return true;
}

void
events_close(void)
{
	close(polled[0].fd);
	watch_count = 0;
}

void
events_on_child(void (*handler)(void))
{
	on_child = handler;
}

void
events_on_step(void (*handler)(void))
{
	on_step = handler;
}

void
events_forget_signals(void)
{
	/* SIGPIPE we ignore ourselves; the others a shell's & or nohup has told us to */
	static const int ignored[] = {SIGPIPE, SIGINT, SIGQUIT, SIGHUP};
	sigset_t	none;

	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_DFL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int
find_watch(int fd)
{
	for (int i = 0; i < watch_count; i++)
		if (polled[i].fd == fd)
			return i;
	return -1;
}

void
events_watch(int fd, short wanted, void (*handler)(void *context), void *context)
{
	int			i = find_watch(fd);

	if (i < 0)
		i = watch_count++;
	polled[i] = (struct pollfd){.fd = fd, .events = wanted};
	watches[i] = (Watch){handler, context};
}

void
events_unwatch(int fd)
{
	int			i = find_watch(fd);

	if (i < 0)
		return;
	watch_count--;
	polled[i] = polled[watch_count];
	watches[i] = watches[watch_count];
}

void
events_set_timer(Timer *timer, double when, void (*handler)(void *context), void *context)
{
	events_clear_timer(timer);
	*timer = (Timer){when, handler, context};
	timers[timer_count++] = timer;
}

void
events_clear_timer(Timer *timer)
{
	for (int i = 0; i < timer_count; i++)
		if (timers[i] == timer)
			timers[i--] = timers[--timer_count];
}

void
events_wait(double until)
{
	double		now = events_now();
	int			timeout;
	int			ready[MAX_WATCHES];
	int			ready_count = 0;

	for (int i = 0; i < timer_count; i++)
		until = fmin(until, timers[i]->when);
	timeout = until <= now ? 0 : (int) fmin(ceil((until - now) * 1000), 60000);

	/* handlers may change the watches: note the descriptors first */
	if (poll(polled, watch_count, timeout) > 0)
		for (int i = 0; i < watch_count; i++)
			if (polled[i].revents != 0)
				ready[ready_count++] = polled[i].fd;
	for (int i = 0; i < ready_count; i++)
	{
		int			at = find_watch(ready[i]);

		if (at >= 0 && watches[at].handler != NULL)
			watches[at].handler(watches[at].context);
	}

	now = events_now();
	for (int i = 0; i < timer_count; i++)
	{
		Timer	   *timer = timers[i];

		if (timer->when > now)
			continue;
		events_clear_timer(timer);
		timer->handler(timer->context);
		i = -1;					/* the handler may have changed the list */
	}
	if (on_step != NULL)
		on_step();
}

int
events_stop_signal(void)
{
	return stop_signal;
}
