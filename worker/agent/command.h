/*
 * What a config's commands are run with: arguments, environment, directory.
 */
#ifndef AGENT_COMMAND_H
#define AGENT_COMMAND_H

#include "config.h"
#include "environment.h"
#include "template.h"

/* What all runs of a worker share. */
typedef struct RunSettings
{
	const Machine *machine;
	const char *hardware;		/* {hardware} of a config for any hardware */
	const char *work_dir;		/* runs get directories of their own below it */
	char	  **pass_env;		/* names, beside the usual ones, that the command gets */
	double		silence;		/* seconds that a command may print nothing; 0: any number */
	char	   *own_directory;	/* of the worker's binary, last on the command's PATH; or NULL */
	bool		keep;			/* directories stay */
} RunSettings;

/* What the worker itself gives to a command; 0 or NULL: nothing. */
typedef struct Given
{
	const char *directory;		/* {work_dir} */
	const char *result_file;
	int			port;
} Given;

/* A command of the config with its placeholders filled in; NULL and the reason where that is not possible. */
extern char **command_fill(const char *command, const Config *config, const RunSettings *settings, const Given *given,
						   Buffer *error);
extern bool command_names(const char *command, const char *placeholder);

/* NULL-terminated NAME=value; the framework's own on top of what is passed on. */
extern char **command_environment(const Config *config, const RunSettings *settings);

/* A new directory for the config's run; NULL and the reason where there can be none. */
extern char *command_directory(const Config *config, const RunSettings *settings, Buffer *error);
/* Removes it, or keeps it where the settings say so; frees the path, which may be NULL. */
extern void command_remove_directory(char *directory, const RunSettings *settings);

#endif							/* AGENT_COMMAND_H */
