/*
 * One benchmark process and everything that it starts.
 */
#ifndef AGENT_PROCESS_H
#define AGENT_PROCESS_H

#include "capture.h"
#include "events.h"

#include <sys/types.h>

/* Who ended the process. */
typedef enum ProcessStop
{
	PROCESS_BY_ITSELF,
	PROCESS_DEADLINE,			/* its time was up */
	PROCESS_OVERFLOW,			/* it printed more than the limit */
	PROCESS_KILLED				/* process_kill */
} ProcessStop;

typedef struct ProcessSpec
{
	char	  **argv;
	char	  **env;			/* argv[0] is looked up on the PATH in it */
	const char *directory;
	double		deadline;		/* seconds from the start; then SIGTERM, and SIGKILL after the grace */
	double		deadline_grace;
	size_t		output_limit;	/* bytes of standard output that are kept whole */
	bool		output_to_log;	/* standard output goes into the log as well */
} ProcessSpec;

typedef struct Process
{
	pid_t		pid;			/* also its process group and session */
	int			out, err;		/* our ends of its pipes, -1 once closed */
	size_t		output_limit;
	bool		output_to_log;
	double		deadline_grace;
	Timer		timer;
	ProcessStop stop;
	bool		exited;			/* the main process has; wait_status says how */
	int			wait_status;
	double		patience;		/* once it has exited: until when what it has left behind may take to vanish */
	double		pause;			/* between two looks at that */
	bool		gone;			/* all of it has vanished */
	bool		stuck;			/* it does not even end on SIGKILL */
	Buffer		output;
	Capture		log;
} Process;

/* Orphans of the processes that we start become our children, so that none escapes.  Once. */
extern bool process_init(void);

/*
 * Starts it; process must be zero.  0, or the errno of what failed: *exec_failed
 * tells whether that was the execution of argv[0] or something of ours.
 */
extern int process_start(Process *process, const ProcessSpec *spec, bool *exec_failed);

/*
 * True when the whole tree has ended, what the main process has left behind
 * being killed, or never will; then call process_finish.
 */
extern bool process_done(const Process *process);

/* Kills the whole tree with SIGKILL; process_done comes true. */
extern void process_kill(Process *process);

/* Reads what is left in the pipes. */
extern void process_finish(Process *process);

/* Frees the buffers. */
extern void process_free(Process *process);

#endif							/* AGENT_PROCESS_H */
