/*
 * What is handed in for one config.
 */
#ifndef AGENT_RESULT_H
#define AGENT_RESULT_H

#include "buffer.h"

/* It points to nothing that it does not own. */
typedef struct Result
{
	char	   *config_id;
	char	   *claim_id;		/* NULL: run by hand */
	char	   *outcome;
	bool		has_output;
	Buffer		output;
	Buffer		log;
	Buffer		details;		/* JSON */
	Buffer		message;		/* stands in details, too */
	double		seconds;
	struct SpoolFile *spooled;	/* its file in the spool; NULL: none */
} Result;

extern void result_free(Result *result);

#endif							/* AGENT_RESULT_H */
