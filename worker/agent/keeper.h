/*
 * The process between the worker and a benchmark: it keeps the whole tree.
 */
#ifndef AGENT_KEEPER_H
#define AGENT_KEEPER_H

#include <stdbool.h>
#include <sys/types.h>

/* What the command gets. */
typedef struct KeeperSpec
{
	char	  **argv;
	char	  **env;			/* argv[0] is looked up on the PATH in it */
	const char *directory;
	const char *cgroup;			/* directory of one of its own, or NULL */
	int			in, out, err;	/* its standard streams */
} KeeperSpec;

/* Why a command could not be started. */
typedef struct KeeperError
{
	int			error;			/* errno; 0: it has been started */
	bool		exec;			/* execution failed, rather than something of ours */
} KeeperError;

/*
 * Forks the keeper, which starts the command; returns its pid, or -1 with
 * errno set.  It lives by the other end of control:
 *
 *   a byte there      SIGTERM to the command and its process group
 *   the end of it     all of the tree is killed, and the keeper ends
 *
 * To report it writes a KeeperError, then, when the command has ended, its
 * wait status (int), and kills what the command has left behind.  When
 * nothing is left it ends.  The ends given are closed in it as in the worker
 * they should be, and so is everything else that the worker has open.
 */
extern pid_t keeper_start(const KeeperSpec *spec, int control, int report);

/* Sends SIGKILL to all descendants of ours but the processes spared and theirs; how many there were. */
extern int keeper_kill_descendants(const pid_t *spared, int spared_count);

#endif							/* AGENT_KEEPER_H */
