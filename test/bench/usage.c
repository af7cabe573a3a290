/*
 * Processor time, as the kernel tells it.
 */
#define _GNU_SOURCE

#include "usage.h"

#include <dirent.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* What the scheduler says of a process: seconds that it ran, and that it waited. */
static bool
read_schedule(int pid, double *ran, double *waited)
{
	char		path[64];
	FILE	   *file;
	bool		told;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return false;
	told = fscanf(file, "%lf %lf", ran, waited) == 2;
	fclose(file);
	if (told)
	{
		*ran /= 1e9;
		*waited /= 1e9;
	}
	return told;
}

double
process_seconds(int pid)
{
	double		ran;
	double		waited;

	return read_schedule(pid, &ran, &waited) ? ran : NAN;
}

static void
add_process(int pid, Usage *usage)
{
	double		ran;
	double		waited;

	if (read_schedule(pid, &ran, &waited))
	{
		usage->server += ran;
		usage->server_waited += waited;
	}
	else
		usage->server_waited = NAN;
}

/* The parent of a process, and the ticks of its children that have ended. */
static int
parent_of(int pid, double *children)
{
	char		path[64];
	char		line[1024] = "";
	FILE	   *file;
	char	   *rest;
	int			parent = 0;
	double		user = 0;
	double		system = 0;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	if (file == NULL)
		return 0;
	if (fgets(line, sizeof(line), file) && (rest = strrchr(line, ')')) != NULL)
		sscanf(rest + 1, " %*c %d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %lf %lf", &parent, &user, &system);
	fclose(file);
	*children = user + system;
	return parent;
}

Usage
measure_usage(int postmaster)
{
	Usage		usage = {0};
	DIR		   *directory = opendir("/proc");
	struct dirent *entry;
	struct rusage self;
	double		fields[8] = {0};
	double		children;
	FILE	   *file = fopen("/proc/stat", "r");
	double		tick = sysconf(_SC_CLK_TCK);

	while (directory && (entry = readdir(directory)) != NULL)
	{
		int			pid = atoi(entry->d_name);

		if (pid > 0 && (pid == postmaster || parent_of(pid, &children) == postmaster))
			add_process(pid, &usage);
	}
	if (directory)
		closedir(directory);
	parent_of(postmaster, &children);
	usage.server += children / tick;
	getrusage(RUSAGE_SELF, &self);
	usage.own = self.ru_utime.tv_sec + self.ru_stime.tv_sec + (self.ru_utime.tv_usec + self.ru_stime.tv_usec) / 1e6;
	if (file)
	{
		if (fscanf(file, "cpu %lf %lf %lf %lf %lf %lf %lf %lf", &fields[0], &fields[1], &fields[2], &fields[3],
				   &fields[4], &fields[5], &fields[6], &fields[7]) == 8)
		{
			for (int i = 0; i < 8; i++)
				usage.whole += fields[i] / tick;
			usage.busy = usage.whole - (fields[3] + fields[4]) / tick;
		}
		fclose(file);
	}
	return usage;
}
