/*
 * What a worker has done so far, as a person sees it.
 */
#ifndef AGENT_PROGRESS_H
#define AGENT_PROGRESS_H

#include "calls.h"

/* name and hardware must live as long as the worker. */
extern void progress_begin(const char *name, const char *hardware);

/* Counts what became of a config. */
extern void progress_count(const Receipt *receipt);

/* Shows the progress line: the config that runs, or (NULL) what the worker does instead. */
extern void progress_show(const Config *running, const char *instead);

/* When it is to be shown again (events_now's clock); progress_changed: at once. */
extern double progress_due(void);
extern void progress_changed(void);

#endif							/* AGENT_PROGRESS_H */
