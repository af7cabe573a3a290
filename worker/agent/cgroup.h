/*
 * Control groups (version 2) of runs, where the worker may make them.
 */
#ifndef AGENT_CGROUP_H
#define AGENT_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

/* Finds out whether groups can be made, and prepares for it.  Once; may move the worker into a group of its own. */
extern void cgroup_init(void);

/* Why none can be made; NULL where they can. */
extern const char *cgroup_missing(void);

/* Whether runs have a memory limit of their own, which is known to be theirs. */
extern bool cgroup_limits_memory(void);

/* A new group for one run: its directory, to be freed; NULL where none can be made. */
extern char *cgroup_make(void);
/* Moves the calling process into it. */
extern bool cgroup_enter(const char *directory);
/* SIGKILL to all that is in it. */
extern void cgroup_kill(const char *directory);
/* Removes the empty group. */
extern void cgroup_remove(const char *directory);

/* Whether kills for memory are counted in this group (or NULL) by itself. */
extern bool cgroup_counts_memory(const char *directory);

/*
 * How often the kernel has killed for memory in a group and those below it so
 * far; without one (NULL) in the worker's own.  -1 where that cannot be told.
 */
extern int64_t cgroup_oom_kills(const char *directory);

#endif							/* AGENT_CGROUP_H */
