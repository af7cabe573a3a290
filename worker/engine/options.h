/*
 * options.h: benchorch-engine's command line.
 */
#ifndef OPTIONS_H
#define OPTIONS_H

#include "backend.h"
#include "config.h"

enum action
{
	ACTION_RUN,					/* one config from the command line */
	ACTION_STREAM,				/* configs from standard input */
	ACTION_CALIBRATE,
	ACTION_DONE,				/* help or version were written */
};

struct options
{
	enum action action;
	const char *output;			/* NULL: standard output */
	const char *backend;
	struct backend_options host;
	struct request request;		/* a stream's lines change what they name */
};

/* fills options with the defaults and what the command line says */
extern enum engine_status options_parse(int argc, char **argv, struct options *options,
										struct engine_error *error);

#endif							/* OPTIONS_H */
