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
	PROCESS_SILENCE,			/* it printed nothing for too long */
	PROCESS_OVERFLOW,			/* it printed more than the limit */
	PROCESS_KILLED				/* process_kill */
} ProcessStop;

typedef struct ProcessSpec
{
	char	  **argv;
	char	  **env;			/* argv[0] is looked up on the PATH in it */
	const char *directory;
	double		deadline;		/* seconds from the start; 0: none */
	double		silence;		/* seconds that it may print nothing; 0: any number */
	double		deadline_grace; /* seconds from SIGTERM to SIGKILL, once either has passed */
	size_t		output_limit;	/* bytes of standard output that are kept whole */
	bool		output_to_log;	/* standard output goes into the log as well */
	bool		output_is_log;	/* standard output goes into the log only */
	bool		input;			/* standard input is what process_send sends; else /dev/null */
} ProcessSpec;

/* It must stay where it is from process_start to process_finish. */
typedef struct Process
{
	pid_t		keeper;			/* see keeper.h */
	int			control, report;	/* our ends of its pipes, -1 once closed; so are the following */
	int			in, out, err;
	size_t		output_limit;
	bool		output_to_log;
	bool		output_is_log;
	double		silence;
	double		deadline_grace;
	Timer		deadline_timer;
	Timer		silence_timer;
	Timer		kill_timer;		/* from SIGTERM to SIGKILL, and then until the tree counts as stuck */
	Timer		look_timer;		/* orphaned: between two looks */
	ProcessStop stop;
	bool		exited;			/* the command has; wait_status says how */
	int			wait_status;
	bool		orphaned;		/* the keeper was killed: what is left is ours to kill */
	bool		gone;			/* all of it has vanished */
	bool		stuck;			/* it does not even end on SIGKILL */
	char	   *cgroup;			/* directory of its control group, or NULL */
	int64_t		oom_kills;		/* before the start */
	bool		host_oom;		/* set by process_finish: the kernel has killed for memory meanwhile, */
	bool		host_oom_own;	/* and for certain in this one */
	Buffer		input;			/* sent and not yet written */
	Buffer		output;			/* standard output; a reader may take away what it has used */
	Capture		log;
	struct Process *next;		/* of those that run */
} Process;

/* Orphans of processes that we start become our children, so that none escapes.  Once. */
extern bool process_init(void);

/*
 * Starts it; process must be zero.  0, or the errno of what failed: *exec_failed
 * tells whether that was the execution of argv[0] or something of ours.
 */
extern int process_start(Process *process, const ProcessSpec *spec, bool *exec_failed);

/* Bytes for its standard input, written as it takes them. */
extern void process_send(Process *process, const void *bytes, size_t len);

/* Seconds from now; 0: none any more.  For a process that serves one thing after the other. */
extern void process_set_deadline(Process *process, double seconds);

/*
 * True when the whole tree has ended, what the command has left behind being
 * killed, or never will; then call process_finish.
 */
extern bool process_done(const Process *process);

/* Kills the whole tree with SIGKILL; process_done comes true. */
extern void process_kill(Process *process);

/* Closes its standard input; SIGTERM after the patience (seconds), SIGKILL after the grace. */
extern void process_end(Process *process, double patience);

/* Kills for memory so far are not told.  For a process that serves one thing after the other. */
extern void process_forget_oom(Process *process);

/* Reads what is left in the pipes, and looks how it ended; once more changes nothing. */
extern void process_finish(Process *process);

/* Frees the buffers. */
extern void process_free(Process *process);

#endif							/* AGENT_PROCESS_H */
