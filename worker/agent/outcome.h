/*
 * From how a run ended to the outcome that it is handed in with.
 */
#ifndef AGENT_OUTCOME_H
#define AGENT_OUTCOME_H

#include "process.h"

/* How a run ended, as far as its outcome depends on it. */
typedef struct RunEnd
{
	const char *command;		/* argv[0] */
	int			exec_error;		/* errno of a failed execution, or 0 */
	int			wait_status;	/* as waitpid gives it */
	ProcessStop stop;
	bool		stuck;
	double		deadline;		/* seconds, for the message; so is silence */
	double		silence;
	bool		host_oom_seen;	/* the kernel has killed for memory meanwhile, perhaps another run's process */
	bool		host_oom_own;	/* for certain one of this run: its own control group says so */
	size_t		output_len;		/* bytes of the result */
	size_t		output_limit;
	const char *log;			/* what it printed, head and tail; NULs replaced */
} RunEnd;

/* The outcome (a word of the database's), with a message where it is not ok. */
extern const char *outcome_of(const RunEnd *end, Buffer *message);

#endif							/* AGENT_OUTCOME_H */
