/*
 * One run of one config: from its command to what is handed in.
 */
#ifndef AGENT_RUNNER_H
#define AGENT_RUNNER_H

#include "lane.h"
#include "result.h"

typedef struct Run
{
	const Config *config;
	const RunSettings *settings;
	Lane	   *lane;			/* whose process serves it; NULL: none does */
	char	   *directory;
	char	   *result_file;
	Task		task;			/* the command of its own, at first reset_command */
	bool		resetting;
	bool		server_died;
	LaneLine	answer_kind;	/* of a runner */
	Buffer		answer;
	bool		preempted;		/* killed on our side: there is nothing to hand in */
	double		started_at;		/* seconds since 1970 */
	double		began;			/* the same moment by events_now, which nobody sets */
	Look		before, after;	/* the machine, right before the start and after the end */

	/* set by run_start where nothing could be started */
	const char *outcome;
	Buffer		message;
} Run;

/*
 * Starts the config; run must be zero, and a lane that serves it ready where
 * its protocol has one.  Whether or not it can be started: run_done, run_finish.
 */
extern void run_start(Run *run, const Config *config, Lane *lane, const RunSettings *settings);

/* Goes on with what can be done now; true when the run has come to its end.  Call it after every event. */
extern bool run_done(Run *run);

/* Ends it now: run_done comes true, and there is nothing to hand in. */
extern void run_kill(Run *run);

/* After run_done: decides the outcome, fills result (which must be zero), frees everything else. */
extern void run_finish(Run *run, Result *result);

/* What is to be handed in for a config whose lane did not become ready. */
extern void run_without_lane(const Config *config, const Lane *lane, const RunSettings *settings, Result *result);

/* The last lines of the running command's log, for the heartbeat. */
extern void run_log_tail(const Run *run, Buffer *out);

#endif							/* AGENT_RUNNER_H */
