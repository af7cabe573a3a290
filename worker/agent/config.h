/*
 * One claimed config, as the database describes it to the worker.
 */
#ifndef AGENT_CONFIG_H
#define AGENT_CONFIG_H

#include <stdbool.h>

/*
 * Texts as the database printed them, NULL for NULL; they live as long as the
 * batch that they belong to.  Lists have the separators of template.h.
 */
typedef struct Config
{
	const char *config_id;
	const char *claim_id;
	const char *protocol;
	const char *model;			/* source, else name */
	const char *model_name;
	const char *architecture;	/* JSON */
	const char *hardware;		/* NULL: any */
	const char *framework;
	const char *workload;
	const char *batch_size;
	const char *sequence_length;
	const char *input_tokens;
	const char *output_tokens;
	const char *gpus;
	const char *command;		/* list */
	const char *env;			/* list of names and values */
	const char *params;			/* list of names and values */
	const char *json;			/* all of it */
	double		deadline;		/* seconds */
	bool		dropped;		/* the claim no longer holds: do not run it, do not hand in */
} Config;

#endif							/* AGENT_CONFIG_H */
