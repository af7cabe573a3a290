/*
 * noop: a runner of the stream protocol that does nothing, for test/bench/runner.
 *
 *   noop [SECONDS]
 *
 * Answers each config at once, or after SECONDS, with the time that it had
 * waited for it: {"gap_s": 0.000123}.  That is what a GPU would have stood idle.
 */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double
now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	double		seconds = argc > 1 ? atof(argv[1]) : 0;
	struct timespec pause = {(time_t) seconds, (long) ((seconds - (time_t) seconds) * 1e9)};
	char	   *line = NULL;
	size_t		size = 0;
	double		answered;

	puts("ready 1");
	fflush(stdout);
	for (answered = now(); getline(&line, &size, stdin) > 0; answered = now())
	{
		double		gap = now() - answered;

		if (seconds > 0)
			nanosleep(&pause, NULL);
		printf("{\"gap_s\": %.9f}\n", gap);
		fflush(stdout);
	}
	free(line);
	return 0;
}
