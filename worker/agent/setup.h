/*
 * What everything of a registered worker is about; set up by main.c.
 */
#ifndef AGENT_SETUP_H
#define AGENT_SETUP_H

#include "command.h"
#include "options.h"

typedef struct WorkerSetup
{
	const Options *options;
	const Machine *machine;
	const char *name;
	const char *hardware;
	const char *frameworks;		/* list with the separators of template.h */
	RunSettings run_settings;
} WorkerSetup;

#endif							/* AGENT_SETUP_H */
