/*
 * One claimed config, as the database describes it to the worker.
 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <stdbool.h>

typedef enum Protocol
{
	PROTOCOL_ONESHOT,
	PROTOCOL_STREAM,
	PROTOCOL_SERVED
} Protocol;

/*
 * Texts as the database printed them, NULL for NULL; they live as long as the
 * batch that they belong to.  Lists have the separators of template.h.
 */
typedef struct Config
{
	const char *config_id;
	const char *claim_id;		/* NULL: run by hand, without a claim */
	const char *lane;			/* what one engine can serve without a restart */
	Protocol	protocol;
	const char *hardware;		/* NULL: any */
	const char *framework;
	const char *workload;
	const char *batch_size;
	const char *sequence_length;
	int			gpus;			/* that it needs */
	const char *command;		/* list, like the commands below */
	const char *server_command;
	const char *ready_command;
	const char *reset_command;
	const char *warmup_command;
	const char *env;			/* list of names and values */
	const char *values;			/* of the placeholders: list of names and values */
	const char *json;			/* what a runner is sent */
	double		deadline;		/* seconds */
	double		ready_timeout;	/* seconds */
	double		work;			/* in a lane it compares as the expected durations do; 0: unknown */
	bool		dropped;		/* the claim no longer holds: do not run it, do not hand in */
} Config;

#endif							/* AGENT_CONFIG_H */
