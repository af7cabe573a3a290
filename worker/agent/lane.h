/*
 * The lane's long-lived process: the runner of the protocol stream, the server of served.
 */
#ifndef AGENT_LANE_H
#define AGENT_LANE_H

#include "task.h"

typedef enum LaneState
{
	LANE_CLOSED,
	LANE_STARTING,
	LANE_READY,
	LANE_FAILED,				/* it has ended, or does not become ready; still to be closed */
	LANE_CLOSING
} LaneState;

/* Zero-initialise it. */
typedef struct Lane
{
	LaneState	state;
	const RunSettings *settings;
	Protocol	protocol;
	char	   *identity;		/* what configs must share to be run by this process */
	char	   *directory;
	int			port;			/* of a server */
	Look		before;			/* the machine, right before the start */
	Look		last;			/* and after the last config */
	Task		main;			/* the runner or the server */
	int			answered;		/* configs that it has answered */
	size_t		taken;			/* bytes of its output that have been read, */
	size_t		scanned;		/* and after these such in which there is no newline */

	/* while it starts */
	const Config *config;
	Task		check;			/* ready_command, then warmup_command */
	bool		warming;
	double		next_check;
	double		check_pause;
	double		give_up;		/* when it has not become ready in time */

	/* once it has failed before it was ready */
	const char *outcome;
	Buffer		message;
} Lane;

/* Whether there is a process that can run the config. */
extern bool lane_serves(const Lane *lane, const Config *config);

/* Starts the process for the config; lane must be closed.  The config must live until it is ready. */
extern void lane_open(Lane *lane, const Config *config, const RunSettings *settings);

/* Goes on with what can be done now; call it after every event. */
extern void lane_step(Lane *lane);
/* When lane_step is to be called even if nothing happens. */
extern double lane_due(const Lane *lane);

/* What the process has logged since the last config began. */
extern void lane_forget_log(Lane *lane);

/* Begins to end the process; with lane_step it becomes closed. */
extern void lane_close(Lane *lane);
extern void lane_kill(Lane *lane);

/* The next whole line of a runner's output, moved into line; what is no answer goes to its log. */
typedef enum LaneLine
{
	LANE_NO_LINE,
	LANE_LOG,
	LANE_HELLO,
	LANE_RESULT,
	LANE_ERROR					/* line is "OUTCOME MESSAGE" */
} LaneLine;
extern LaneLine lane_read(Lane *lane, Buffer *line);
/* The outcome with which a LANE_ERROR begins. */
extern const char *lane_error_outcome(const char *line);

#endif							/* AGENT_LANE_H */
