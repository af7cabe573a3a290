/*
 * The command line.
 */
#ifndef AGENT_OPTIONS_H
#define AGENT_OPTIONS_H

#include "buffer.h"

/* Exit codes; docs/worker.md tells them. */
#define EXIT_DONE 0
#define EXIT_BAD_USAGE 64
#define EXIT_BAD_CONFIG 65
#define EXIT_TEMPORARY 75
#define EXIT_SIGNALLED 128		/* plus the signal */

/* Constant texts are the command line's own memory; NULL where not given. */
typedef struct Options
{
	const char *db;
	const char *name;
	const char *hardware;
	Buffer		frameworks;		/* list with the separators of template.h; empty: not given */
	const char *model;
	int			batch_size;
	const char *priority_threshold;
	bool		until_settled;
	bool		register_only;
	bool		no_presence;
	int			gpus;			/* 0: not given */
	double		grace;
	double		heartbeat;		/* 0: not given */
	double		silence;		/* 0: any */
	char	   *preemption_check;	/* absolute; NULL: none */
	char	   *work_dir;		/* absolute */
	char	   *spool;			/* absolute */
	const char *run_one;		/* a config id */
	bool		keep;
	char	  **pass_env;		/* NULL-terminated */
	const char *log;
	bool		quiet;
} Options;

/* -1: go on; otherwise the exit code, everything having been said. */
extern int options_parse(Options *options, int argc, char **argv);
extern void options_free(Options *options);

#endif							/* AGENT_OPTIONS_H */
