/*
 * One command of a config: started, and told how it ended.
 */
#ifndef AGENT_TASK_H
#define AGENT_TASK_H

#include "command.h"
#include "outcome.h"
#include "process.h"

#define OUTPUT_LIMIT ((size_t) 64 * 1024 * 1024)
#define DEADLINE_GRACE 5.0		/* seconds from SIGTERM to SIGKILL */

/* Zero-initialise it. */
typedef struct Task
{
	char	  **argv;
	bool		started;		/* there is a process */
	Process		process;
	const char *outcome;		/* where it could not be started */
	Buffer		message;		/* why */
} Task;

/* What differs from command to command. */
typedef struct TaskSpec
{
	const char *command;		/* list with placeholders */
	Given		given;
	const char *directory;
	double		deadline;		/* seconds; 0: none; so is silence */
	double		silence;
	bool		output_to_log;	/* as in ProcessSpec */
	bool		output_is_log;
	bool		input;
} TaskSpec;

/* False where it could not be started: then outcome and message say why. */
extern bool task_start(Task *task, const TaskSpec *spec, const Config *config, const RunSettings *settings);

/* Whether there is nothing to wait for any more. */
extern bool task_done(const Task *task);

/* After process_finish: how it ended, for outcome_of; the caller adds times, log and output. */
extern RunEnd task_end(const Task *task);

extern void task_free(Task *task);

#endif							/* AGENT_TASK_H */
