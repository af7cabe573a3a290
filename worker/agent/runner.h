/*
 * One run of one config: from its command to what is handed in.
 */
#ifndef AGENT_RUNNER_H
#define AGENT_RUNNER_H

#include "config.h"
#include "environment.h"
#include "process.h"

/* What all runs of a worker share. */
typedef struct RunSettings
{
	const Machine *machine;
	const char *hardware;		/* {hardware} of a config for any hardware */
	const char *work_dir;		/* runs get directories of their own below it */
	char	  **pass_env;		/* names, beside the usual ones, that the command gets */
	double		silence;		/* seconds that a command may print nothing; 0: any number */
	char	   *own_directory;	/* of the worker's binary, last on the command's PATH; or NULL */
} RunSettings;

typedef struct Run
{
	const Config *config;
	const RunSettings *settings;
	char	  **argv;
	char	   *directory;
	char	   *result_file;
	bool		started;		/* there is a process */
	Process		process;
	double		started_at;		/* seconds since 1970 */
	double		ended_at;
	Look		before, after;	/* the machine, right before the start and after the end */

	/* set by run_finish, or by run_start where nothing could be started */
	const char *outcome;
	Buffer		message;
	Buffer		result_bytes;	/* contents of the result file */
	const char *output;			/* the result; NULL: none */
	size_t		output_len;
	Buffer		log;
	Buffer		details;		/* JSON */
} Run;

/*
 * Starts the config's command; run must be zero.  False where that is not
 * possible: the outcome is set, and run_finish need not wait for anything.
 */
extern bool run_start(Run *run, const Config *config, const RunSettings *settings);

/* After process_done, or a run_start that was false: decides the outcome, reads the result. */
extern void run_finish(Run *run);

/* The last lines of the running command's log, for the heartbeat. */
extern void run_log_tail(const Run *run, Buffer *out);

/* Removes the run's directory and frees everything. */
extern void run_free(Run *run);

#endif							/* AGENT_RUNNER_H */
