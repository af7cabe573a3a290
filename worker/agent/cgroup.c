/*
 * Control groups (version 2) of runs, where the worker may make them.
 *
 * A group makes two things certain that are guesses without it: that a kill
 * reaches every process of a run, and that it was this run that the kernel
 * killed for memory.  It may be made where the worker's own group is writable:
 * for root on a machine of its own, in a container with a writable
 * /sys/fs/cgroup, in a systemd unit with Delegate=yes.
 *
 * Memory is counted by run only if the worker's group hands the controller
 * down, which it may do when no process is in it; so the worker moves into a
 * group beside those of its runs.  A memory limit of the worker's group is
 * repeated, a little lower, for the run: the kernel then finds the run at its
 * limit, and not the worker's group, all of which it might kill.
 *
 * Everything here may fail without harm; process.c does without.
 */
#include "cgroup.h"

#include "buffer.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_FOR_WORKER ((long long) 64 * 1024 * 1024)

static char *base;				/* the group in which groups are made */
static char *missing;
static bool counts_memory;
static int	made;

/* ------------------------------------------------------------------- files */

static bool
write_file(const char *directory, const char *name, const char *text)
{
	char	   *path = xprintf("%s/%s", directory, name);
	int			fd = open(path, O_WRONLY | O_CLOEXEC);
	bool		ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t) strlen(text);
	int			error = errno;

	if (fd >= 0)
		close(fd);
	free(path);
	errno = error;
	return ok;
}

/* The beginning of a small file; "" where there is none. */
static void
read_file(const char *directory, const char *name, char *text, size_t size)
{
	char	   *path = xprintf("%s/%s", directory, name);
	int			fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t		len = fd >= 0 ? read(fd, text, size - 1) : 0;

	text[len > 0 ? len : 0] = '\0';
	if (fd >= 0)
		close(fd);
	free(path);
}

/* ---------------------------------------------------------- where we are */

/*
 * The worker's own group in a hierarchy: as a directory, or NULL.  Lines of
 * /proc/self/cgroup are number:controllers:path; version 2 has number 0 and
 * no controllers.
 */
static char *
own_path(bool (*wanted)(const char *line))
{
	FILE	   *file = fopen("/proc/self/cgroup", "re");
	char		line[4096];
	char	   *path = NULL;

	while (file && path == NULL && fgets(line, sizeof(line), file))
	{
		line[strcspn(line, "\n")] = '\0';
		if (wanted(line))
			path = xstrdup(strchr(strchr(line, ':') + 1, ':') + 1);
	}
	if (file)
		fclose(file);
	return path;
}

static bool
is_version_2(const char *line)
{
	return strncmp(line, "0::", 3) == 0;
}

static bool
is_memory_of_version_1(const char *line)
{
	return strstr(line, ":memory:") != NULL;
}

/*
 * Where version 2 is mounted, joined with our path; NULL where it is not.
 * Lines of mountinfo: id parent device root mount-point options ... - type.
 */
static char *
own_directory(void)
{
	FILE	   *file = fopen("/proc/self/mountinfo", "re");
	char	   *path = own_path(is_version_2);
	char	   *directory = NULL;
	char		line[4096], root[1024], mount[1024];

	while (file && path && directory == NULL && fgets(line, sizeof(line), file))
	{
		size_t		len;

		if (strstr(line, " - cgroup2 ") == NULL || sscanf(line, "%*s %*s %*s %1023s %1023s", root, mount) != 2)
			continue;
		/* of a hierarchy that is mounted in part, our path may stand below that part */
		len = strcmp(root, "/") == 0 ? 0 : strlen(root);
		if (strncmp(path, root, len) == 0)
			directory = xprintf("%s%s", mount, strcmp(path + len, "/") == 0 ? "" : path + len);
	}
	if (file)
		fclose(file);
	free(path);
	return directory;
}

/* Removes what workers that are gone have left; the kernel keeps what is in use. */
static void
remove_leftovers(void)
{
	char	   *pattern = xprintf("%s/benchorch-*", base);
	glob_t		found;

	if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
	{
		for (size_t i = 0; i < found.gl_pathc; i++)
			rmdir(found.gl_pathv[i]);
		globfree(&found);
	}
	free(pattern);
}

/*
 * Hands the memory controller down; the worker moves out of the way if it
 * must.  Where others stay in the group, a shell that waits for the worker, it
 * moves back: that group is the one whose kills it is told.
 */
static bool
hand_down_memory(void)
{
	char	   *directory;
	bool		ok;

	if (write_file(base, "cgroup.subtree_control", "+memory"))
		return true;
	if (errno != EBUSY)
		return false;
	directory = xprintf("%s/benchorch-worker-%d", base, (int) getpid());
	ok = mkdir(directory, 0755) == 0 && cgroup_enter(directory) &&
		write_file(base, "cgroup.subtree_control", "+memory");
	/* another worker may have done it meanwhile: then there is no way back, and none is needed */
	if (!ok && !cgroup_enter(base))
		ok = write_file(base, "cgroup.subtree_control", "+memory");
	if (!ok)
		rmdir(directory);
	free(directory);
	return ok;
}

void
cgroup_init(void)
{
	char		controllers[1024];
	char	   *probe;

	base = own_directory();
	if (base == NULL)
	{
		missing = xstrdup("control groups of version 2 are not mounted");
		return;
	}
	remove_leftovers();
	probe = cgroup_make();
	/* cgroup.kill has come with Linux 5.14 */
	if (probe == NULL)
		missing = xprintf("no group can be made in %s: %s", base, strerror(errno));
	else if (!write_file(probe, "cgroup.kill", "1"))
		missing = xprintf("groups in %s cannot be killed: %s", base, strerror(errno));
	if (probe != NULL)
		cgroup_remove(probe);
	free(probe);
	if (missing != NULL)
	{
		free(base);
		base = NULL;
		return;
	}
	read_file(base, "cgroup.controllers", controllers, sizeof(controllers));
	counts_memory = strstr(controllers, "memory") != NULL && hand_down_memory();
}

const char *
cgroup_missing(void)
{
	return missing;
}

/* ------------------------------------------------------------------ groups */

/* What a run may use of the memory that the worker's group has, all but a little; 0: no limit. */
static long long
memory_limit(void)
{
	char		text[64];
	long long	limit;

	if (!counts_memory)
		return 0;
	read_file(base, "memory.max", text, sizeof(text));
	limit = atoll(text);		/* 0 for "max" */
	return limit > 4 * MEMORY_FOR_WORKER ? limit - MEMORY_FOR_WORKER : 0;
}

bool
cgroup_limits_memory(void)
{
	return memory_limit() > 0;
}

char *
cgroup_make(void)
{
	char	   *directory;

	if (base == NULL)
		return NULL;
	directory = xprintf("%s/benchorch-run-%d-%d", base, (int) getpid(), made++);
	if (mkdir(directory, 0755) < 0)
	{
		free(directory);
		return NULL;
	}
	if (memory_limit() > 0)
	{
		char	   *limit = xprintf("%lld", memory_limit());

		write_file(directory, "memory.max", limit);
		free(limit);
	}
	return directory;
}

bool
cgroup_enter(const char *directory)
{
	return write_file(directory, "cgroup.procs", "0");
}

void
cgroup_kill(const char *directory)
{
	write_file(directory, "cgroup.kill", "1");
}

void
cgroup_remove(const char *directory)
{
	rmdir(directory);
}

bool
cgroup_counts_memory(const char *directory)
{
	return directory != NULL && counts_memory;
}

/* The oom_kill counter in a group's file, -1 where there is none. */
static int64_t
read_oom_kills(const char *directory, const char *name)
{
	char		text[16384];	/* vmstat is long */
	const char *at;

	read_file(directory, name, text, sizeof(text));
	for (at = text; at != NULL && *at != '\0'; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL)
		if (strncmp(at, "oom_kill ", 9) == 0)
			return atoll(at + 9);
	return -1;
}

int64_t
cgroup_oom_kills(const char *directory)
{
	char	   *own = NULL;
	int64_t		kills = -1;

	if (cgroup_counts_memory(directory))
		return read_oom_kills(directory, "memory.events");
	if ((own = own_directory()) != NULL)
		kills = read_oom_kills(own, "memory.events");
	free(own);
	if (kills < 0 && (own = own_path(is_memory_of_version_1)) != NULL)
	{
		char	   *mounted = xprintf("/sys/fs/cgroup/memory%s", own);

		kills = read_oom_kills(mounted, "memory.oom_control");
		free(mounted);
		free(own);
	}
	/* outside of any group: the whole machine's count */
	return kills < 0 ? read_oom_kills("/proc", "vmstat") : kills;
}
